"""Constant time on ARMv8: the steps of a scan do not depend on pins and digest.

`make ct` examines binaries of x86-64. Here QEMU runs tests/c/scan_steps.c, compiled for
AArch64, one instruction at a time, and logs each one with the registers before it. All
secrets must lead to the same instructions and the same addresses.

That shows nothing about other compilers, nor about the time that a processor takes for
an instruction, which QEMU does not model.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from compiled import compiled_object
from places import ROOT
from test_other_processors import WARNINGS

__all__: list[str] = []

COMPILER, EMULATOR, SYMBOLS = (
    "aarch64-linux-gnu-gcc",
    "qemu-aarch64",
    "aarch64-linux-gnu-nm",
)

# The place of the pin that is in the digest, and how many of its last bytes differ.
NOWHERE = 99
SECRETS = ((NOWHERE, 0), (0, 0), (2, 0), (0, 1), (1, 31))

# Up to four pins are rows, more are blocks.
SCANS = {"pv_pins_contain": 3, "pv_packed_contain": 9, "pv_packed_contain_many": 9}
KERNELS = ("neon", "portable")

OF_THE_SCAN = re.compile(r"main|scan_\w+|pv_\w+|early_exit|(?:neon|portable)_scan\w+")
DEPENDS_ON_OPERANDS = re.compile(r"[us]div|f(?:div|sqrt)")


class Step(NamedTuple):
    """One instruction, and the values of the registers that its address is made of."""

    instruction: str
    address: tuple[str, ...]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return tests/c/scan_steps.c for AArch64."""
    for name in (COMPILER, EMULATOR, SYMBOLS):
        if shutil.which(name) is None:
            pytest.skip(f"no {name} here (Debian and Ubuntu have it)")
    path = tmp_path_factory.mktemp("steps") / "scan_steps"
    sources = [ROOT / "tests" / "c" / "scan_steps.c"]
    sources += [ROOT / "csrc" / name for name in ("scan.c", "cpu.c")]
    kernels = ROOT / "csrc" / "kernels"
    sources += [*kernels.glob("scan_*.c"), *kernels.glob("siphash_*.c")]
    flags = ["-std=c11", "-D_DEFAULT_SOURCE", "-O3", *WARNINGS]
    flags += [f"-I{ROOT / 'csrc'}", "-static"]
    objects = [compiled_object([COMPILER, *flags], source) for source in sources]
    run(COMPILER, *flags, "-o", path, *objects)
    return path


def run(*command: str | Path) -> str:
    """Run a program to its good end; return what it prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def code_of_the_scan(program: Path) -> str:
    """Return the addresses between which the core is, as QEMU takes them."""
    lines = re.findall(
        r"^([0-9a-f]+) ([0-9a-f]+) [tT] (\w+)$",
        run(SYMBOLS, "-S", program),
        re.MULTILINE,
    )
    found = [
        (int(at, 16), int(size, 16))
        for at, size, name in lines
        if OF_THE_SCAN.fullmatch(name)
    ]
    last, size = max(found)
    return f"{min(found)[0]:#x}..{last + size:#x}"


def traces(program: Path, *arguments: object) -> list[list[Step]]:
    """Return the steps between scan_begins and scan_ends, for each secret."""
    log = program.with_suffix(".log")
    tracing = ["-one-insn-per-tb", "-d", "in_asm,exec,cpu,nochain"]
    tracing += ["-dfilter", code_of_the_scan(program), "-D", str(log)]
    secrets = [number for secret in SECRETS for number in secret]
    run(EMULATOR, *tracing, program, *map(str, (*arguments, *secrets)))
    return read_log(log.read_text(encoding="ascii"))


def read_log(log: str) -> list[list[Step]]:
    """Read what QEMU has written down."""
    instructions = dict(
        re.findall(r"^0x([0-9a-f]+):\s+[0-9a-f]{8}\s+(.+)$", log, re.MULTILINE)
    )
    found: list[list[Step]] = []
    within = False
    for step in log.split("\nTrace ")[1:]:
        head, _, state = step.partition("\n")
        function = head.rpartition(" ")[2]
        if function == "scan_begins" and not within:
            found.append([])
        if function in {"scan_begins", "scan_ends"}:
            within = function == "scan_begins"
        elif within:
            found[-1].append(_step(state, instructions))
    return found


def _step(state: str, instructions: dict[str, str]) -> Step:
    values = dict(re.findall(r"\b(X\d\d|SP|PC)=([0-9a-f]+)", state))
    text = instructions[values["PC"].lstrip("0").rjust(8, "0")]
    used = re.findall(r"\b[xw]\d+|\bsp", "".join(re.findall(r"\[(.*?)\]", text)))
    names = [f"X{int(name[1:]):02}" if name != "sp" else "SP" for name in used]
    return Step(f"{values['PC']} {text}", tuple(values[name] for name in names))


def different(program: Path, kernel: int, scan: str, num_pins: int) -> set[int]:
    """Return the secrets, by number, whose steps are not those of the first."""
    found = traces(program, kernel, scan, num_pins)
    assert len(found) == len(SECRETS)
    assert len(found[0]) > 10
    for text, _ in found[0]:
        assert not DEPENDS_ON_OPERANDS.match(text.split()[1])
    return {number for number, trace in enumerate(found) if trace != found[0]}


@pytest.mark.ci
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_scan_takes_the_same_steps_whatever_the_bytes_are(
    program: Path, kernel: str, scan: str
) -> None:
    """A pin is first, last or absent; a near miss is near at its first or last byte."""
    found = different(program, KERNELS.index(kernel), scan, SCANS[scan])
    assert found == set()


@pytest.mark.ci
def test_a_scan_that_ends_early_is_seen(program: Path) -> None:
    """The comparison does not pass by seeing nothing."""
    assert different(program, 0, "early_exit", 3) >= {1}


def test_an_address_that_depends_on_a_secret_is_seen() -> None:
    """Two traces of the same instructions, with another register."""
    log = """IN: scan
0x00400010:  ad40785f  ldp      q31, q30, [x2, x3]
Trace 0: 0x0 [0/0000000000400000/0/0] scan_begins
 PC=0000000000400000 X00=0000000000000000
Trace 0: 0x0 [0/0000000000400010/0/0] scan
 PC=0000000000400010 X02=0000000000000{:03} X03=0000000000000004
Trace 0: 0x0 [0/0000000000400020/0/0] scan_ends
 PC=0000000000400020 X00=0000000000000000
"""
    first, second = read_log(log.format(1)), read_log(log.format(2))
    assert [len(trace) for trace in first] == [len(trace) for trace in second] == [1]
    assert first[0][0].instruction == second[0][0].instruction
    assert first != second
