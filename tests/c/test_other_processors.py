"""Kernels on processors other than this machine's, which QEMU emulates.

tests/c/kernels.c is compiled with the core for another processor and run by QEMU. It
says which kernels it finds there, and compares each with the digests of hashlib. So
the instructions of ARMv8 are tested on a machine without them, and the choice of
kernels is tested on processors that lack features of this one.
"""

from __future__ import annotations

import functools
import hashlib
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from c_objects import FLAGS, compiler, core_objects
from compiled import compiled_object
from pinverify import core
from pinverify.core._kernels import scan_kernels
from places import ROOT

__all__: list[str] = []

PROGRAM = ROOT / "tests" / "c" / "kernels.c"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow")
LONGEST = 300


class Processor(NamedTuple):
    """A processor, and the kernels that it must find."""

    compiler: str
    emulator: tuple[str, ...]
    sha256: str
    scan: str


def x86(model: str, sha256: str, scan: str) -> Processor:
    """Return a model of x86-64 as QEMU names it."""
    return Processor("gcc", ("qemu-x86_64", "-cpu", model), sha256, scan)


PROCESSORS = {
    "ARMv8 with SHA-2": Processor(
        "aarch64-linux-gnu-gcc",
        ("qemu-aarch64", "-cpu", "max"),
        "armv8-x2 armv8 portable",
        "neon portable",
    ),
    "x86-64 of 2008": x86("Nehalem", "portable", "portable"),
    "AVX2": x86("Haswell", "avx2 portable", "avx2 portable"),
    "AVX2 without the consent of the system": x86(
        "Haswell,-xsave", "portable", "portable"
    ),
    "AVX without AVX2": x86("Haswell,-avx2", "portable", "portable"),
    "AVX2 without BMI2": x86("Haswell,-bmi2", "portable", "portable"),
    "SHA instructions": x86("Denverton", "shani-x2 shani portable", "portable"),
    "SHA instructions without SSE4.1": x86("Denverton,-sse4.1", "portable", "portable"),
    "SHA instructions and AVX2": x86(
        "EPYC", "shani-x2 shani avx2 portable", "avx2 portable"
    ),
}


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )


def records(folder: Path) -> Path:
    """Write messages of 0 to 300 bytes, each with the digest of hashlib."""
    noise = hashlib.shake_256(b"records").digest(LONGEST * (LONGEST + 1) // 2)
    file = folder / "records"
    with file.open("wb") as out:
        for length in range(LONGEST + 1):
            start = length * (length - 1) // 2
            message = noise[start : start + length]
            out.write(message + hashlib.sha256(message).digest())
    return file


def compile_kernels(command: tuple[str, ...], program: Path, *instead: Path) -> Path:
    """Compile the program with the core, in which files may stand for others."""
    names = {path.name for path in instead}
    objects = core_objects(command).items()
    files = [obj for source, obj in objects if source.name not in names]
    include = f"-I{ROOT / 'csrc'}"
    main = compiled_object([*command, include], PROGRAM)
    done = run(*command, include, "-o", program, main, *files, *instead)
    assert (done.returncode, done.stderr) == (0, "")
    return program


@pytest.fixture(scope="module")
def program_here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program for this processor, of objects that other tests have compiled."""
    if sys.platform != "linux":
        pytest.skip("the program is for Linux")
    folder = tmp_path_factory.mktemp("here")
    return compile_kernels((*compiler(), *FLAGS), folder / "kernels")


Programs = Callable[[str], Path]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    """The program, by the compiler that makes it, when it is first asked for."""
    folder = tmp_path_factory.mktemp("kernels")

    @functools.cache
    def made(name: str) -> Path:
        if sys.platform != "linux" or shutil.which(name) is None:
            pytest.skip(f"no {name} here (Debian and Ubuntu have it)")
        # The emulator need not find a libc.
        flags = ("-std=c11", "-D_DEFAULT_SOURCE", "-O2", *WARNINGS, "-static")
        return compile_kernels((name, *flags), folder / name)

    return made


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="QEMU runs programs of Linux")
@pytest.mark.parametrize("name", PROCESSORS)
def test_each_kernel_of_another_processor_gives_the_digests_of_hashlib(
    programs: Programs, tmp_path: Path, name: str
) -> None:
    """And those that it cannot run are not among its kernels."""
    processor = PROCESSORS[name]
    emulator, *options = processor.emulator
    if emulator == "qemu-x86_64" and platform.machine() != "x86_64":
        pytest.skip("gcc makes no programs for x86-64 here")
    if shutil.which(emulator) is None:
        pytest.skip(f"no {emulator} here (Debian and Ubuntu: qemu-user)")
    program = programs(processor.compiler)
    done = run(emulator, *options, program, records(tmp_path))
    assert done.stdout.splitlines() == [
        f"sha256: {processor.sha256}",
        f"scan: {processor.scan}",
        f"{LONGEST + 1} messages, up to 40 pins: as expected",
    ]
    assert done.returncode == 0


@pytest.mark.slow
def test_the_kernels_of_this_processor_are_those_of_the_module(
    programs: Programs, tmp_path: Path
) -> None:
    """The program sees here what it is trusted to see elsewhere."""
    done = run(programs("gcc"), records(tmp_path))
    assert done.returncode == 0, done.stdout
    sha256, scan, _ = done.stdout.splitlines()
    assert sha256.split()[1:] == list(core.kernels())
    assert scan.split()[1:] == list(scan_kernels())


def test_a_wrong_digest_is_seen(program_here: Path, tmp_path: Path) -> None:
    """In the first record, in the last, and in one between."""
    good = records(tmp_path).read_bytes()
    for place in (0, len(good) // 2, len(good) - 1):
        damaged = tmp_path / "damaged"
        damaged.write_bytes(
            good[:place] + bytes((good[place] ^ 1,)) + good[place + 1 :]
        )
        done = run(program_here, damaged)
        assert done.returncode == 1
        assert "wrong: length" in done.stdout


def test_records_that_are_none_are_no_success(
    program_here: Path, tmp_path: Path
) -> None:
    """A program that has asked nothing has shown nothing."""
    file = records(tmp_path)
    file.write_bytes(file.read_bytes()[:-1])
    assert run(program_here, file).returncode == 2
    file.write_bytes(b"")
    assert run(program_here, file).returncode == 2
    assert run(program_here, tmp_path / "nowhere").returncode == 2


# ---- this processor ----------------------------------------------------------

# What the kernel of Linux calls the instructions that a kernel of ours needs.
NEEDS_SHANI = {"sha_ni", "ssse3", "sse4_1"}
NEEDS_AVX2 = {"avx2", "bmi1", "bmi2"}
NEEDS_AVX512 = NEEDS_AVX2 | {"avx512f", "avx512vl", "avx512bw"}
SHA256_NEEDS = {
    "avx512+shani": NEEDS_AVX512 | NEEDS_SHANI | {"GenuineIntel"},
    "shani-x3": NEEDS_AVX512 | NEEDS_SHANI,
    "shani-x2": NEEDS_SHANI,
    "shani": NEEDS_SHANI,
    "avx512": NEEDS_AVX512,
    "avx2": NEEDS_AVX2,
    "portable": set[str](),
}
SCAN_NEEDS = {"avx512": NEEDS_AVX512, "avx2": NEEDS_AVX2, "portable": set[str]()}


IS_X86_LINUX = sys.platform == "linux" and platform.machine() == "x86_64"
needs_cpuinfo = pytest.mark.skipif(
    not IS_X86_LINUX,
    reason="Linux tells what a processor of x86-64 has",
)


def words_of_cpuinfo() -> set[str]:
    """Return what Linux says that this processor has, and who made it."""
    text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    found = [
        re.search(rf"^{field}\s*: (.*)$", text, re.MULTILINE)
        for field in ("flags", "vendor_id")
    ]
    has = {word for hit in found if hit is not None for word in hit[1].split()}
    assert "fpu" in has
    return has


@needs_cpuinfo
def test_the_kernels_here_are_those_that_linux_says_can_run() -> None:
    """All of them, and no other: /proc/cpuinfo knows nothing of cpu.c."""
    has = words_of_cpuinfo()
    for kernels, needs in (
        (core.kernels(), SHA256_NEEDS),
        (scan_kernels(), SCAN_NEEDS),
    ):
        assert list(kernels) == [name for name, words in needs.items() if words <= has]


MAKER = """
#include "kernels.h"
#include <stdio.h>

int main(void) {
  const bool is_intel = (pv__cpu_features() & CPU_INTEL) != 0;
  return puts(is_intel ? "Intel" : "another") < 0;
}
"""


@pytest.mark.skipif(
    not IS_X86_LINUX,
    reason="gcc makes programs for x86-64 of Linux where it is one",
)
def test_the_maker_of_a_processor_is_told_apart(tmp_path: Path) -> None:
    """Wherever this runs: QEMU's models name their makers, as CPUID does."""
    if shutil.which("qemu-x86_64") is None:
        pytest.skip("no qemu-x86_64 here (Debian and Ubuntu: qemu-user)")
    source, program = tmp_path / "maker.c", tmp_path / "maker"
    source.write_text(MAKER, encoding="ascii")
    csrc = ROOT / "csrc"
    flags = ("-std=c11", "-D_DEFAULT_SOURCE", "-static", f"-I{csrc}")
    compiled = run("gcc", *flags, "-o", program, source, csrc / "cpu.c")
    assert (compiled.returncode, compiled.stderr) == (0, "")
    makers = {
        model: run("qemu-x86_64", "-cpu", model, program).stdout.strip()
        for model in ("Haswell", "Denverton", "EPYC", "Opteron_G3")
    }
    assert makers == {
        "Haswell": "Intel",
        "Denverton": "Intel",
        "EPYC": "another",
        "Opteron_G3": "another",
    }


@needs_cpuinfo
def test_the_kernel_for_intel_gives_the_digests_of_hashlib(tmp_path: Path) -> None:
    """It is slower elsewhere, so cpu.c gives it to Intel's alone: here to anybody's.

    It is the only one that goes on with few lanes after many.
    """
    if not SHA256_NEEDS["avx512+shani"] - {"GenuineIntel"} <= words_of_cpuinfo():
        pytest.skip("its instructions are not installed in this processor")
    intel = "(ebx0 == INTEL_EBX)"
    text = (ROOT / "csrc" / "cpu.c").read_text(encoding="ascii")
    assert text.count(intel) == 1
    changed = tmp_path / "cpu.c"
    changed.write_text(text.replace(intel, "(INTEL_EBX != 0)"), encoding="ascii")
    program = compile_kernels((*compiler(), *FLAGS), tmp_path / "kernels", changed)
    done = run(program, records(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "avx512+shani" in done.stdout.splitlines()[0]
