"""The C library as one file, which `make amalgamation` writes.

Each compiler that the project names compiles it by itself, a C++ program can use it,
and it answers as the Python module does.
"""

from __future__ import annotations

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cffi import FFI

import corpora
from pinverify import Pin, PinSet, Policy, Reason, _core
from places import ROOT
from policy_samples import NOW

__all__: list[str] = []

CSRC = ROOT / "csrc"
HEADERS = ["pinverify.h", "pinverify_compile.h"]
WARNINGS = (
    *("-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"),
    *("-Wconversion", "-Wshadow"),
)

# By compiler, the package of Debian and Ubuntu that has it.
COMPILERS = {
    "gcc": "gcc",
    "clang-19": "clang-19",
    "musl-gcc": "musl-tools",
    "x86_64-w64-mingw32-gcc": "gcc-mingw-w64-x86-64-posix",
}

CPP = """
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "pinverify_compile.h"

int main() {
  char host[PV_HOST_MAX + 1];
  std::size_t len = 0;
  const pv_status status = pv_host_canonical(host, &len, "A.Example.", 10);
  std::printf("%s %s\\n", host, pv_status_text(status));

  const std::uint32_t ends[] = {0, 9};
  const std::uint32_t unpinned = PV_UNPINNED;
  pv_policy_source source = {};
  source.patterns.data = reinterpret_cast<const std::uint8_t *>(host);
  source.patterns.data_len = len;
  source.patterns.offsets = {ends, sizeof ends[0], 1};
  source.pinset_of = &unpinned;
  std::uint8_t bytes[256];
  std::size_t row = 0;
  const std::size_t bytes_len = pv_policy_compiled_len(&source);
  pv_policy policy;
  if (bytes_len > sizeof bytes ||
      pv_policy_compile(bytes, bytes_len, &row, &source) != PV_OK ||
      pv_policy_open(&policy, bytes, bytes_len) != PV_OK) {
    return 1;
  }
  std::printf("rule %u of %u\\n",
              static_cast<unsigned>(pv_policy_find(&policy, host, len)),
              static_cast<unsigned>(pv_policy_num_rules(&policy)));
  return std::strcmp(pv_version(), PV_VERSION);
}
"""


def run(*command: str | Path) -> str:
    """Run a command that must succeed without a word to stderr."""
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def needs(program: str, package: str) -> None:
    """Skip a test for which a compiler is missing."""
    if shutil.which(program) is None:
        pytest.skip(f"no {program} here (Debian and Ubuntu: {package})")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files, in a folder of their own."""
    needs("make", "make")
    out = tmp_path_factory.mktemp("one") / "pinverify"
    run("make", "-s", "-C", ROOT, "amalgamation", f"AMALGAMATION={out}")
    return out


def test_there_are_three_files_that_need_no_other(folder: Path) -> None:
    """Every file of the library is in them, and every header where it is used."""
    assert sorted(path.name for path in folder.iterdir()) == ["pinverify.c", *HEADERS]
    for name in HEADERS:
        assert (folder / name).read_bytes() == (CSRC / name).read_bytes()
    text = (folder / "pinverify.c").read_text(encoding="ascii")
    assert re.findall(r'#include "(.*)"', text) == HEADERS
    parts = re.findall(r"^// -{9,} (\S+\.c) -+$", text, re.MULTILINE)
    assert sorted(parts) == sorted(
        str(path.relative_to(CSRC))
        for source in (CSRC, CSRC / "compile", CSRC / "kernels")
        for path in source.glob("*.c")
    )


def test_it_is_written_the_same_twice(folder: Path, tmp_path: Path) -> None:
    """A difference between two of them is one of the library."""
    run(sys.executable, CSRC / "amalgamate.py", tmp_path)
    for name in ("pinverify.c", *HEADERS):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("compiler", COMPILERS)
def test_each_compiler_compiles_it_alone(
    folder: Path, compiler: str, tmp_path: Path
) -> None:
    """Without a warning, and a program links with it."""
    needs(compiler, COMPILERS[compiler])
    program = tmp_path / "program"
    main = ROOT / "tests" / "c" / "verify_chain.c"
    shutil.copy(main, tmp_path)  # not beside the folder of the library
    files = (tmp_path / main.name, folder / "pinverify.c")
    run(compiler, *WARNINGS, "-O1", f"-I{folder}", "-o", program, *files)
    if "mingw" in compiler:
        program = program.with_suffix(".exe")
        assert program.read_bytes()[:2] == b"MZ"
        return
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: verify_chain")


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["g++", "clang++-19"])
def test_a_cpp_program_uses_it(folder: Path, compiler: str, tmp_path: Path) -> None:
    """The headers have no word of C++, and the compiler of policies is there."""
    needs(compiler, "g++ or clang-19")
    main, program, obj = (tmp_path / name for name in ("main.cpp", "main", "c.o"))
    main.write_text(CPP, encoding="ascii")
    run("gcc", "-std=c11", "-O0", "-c", "-o", obj, folder / "pinverify.c")
    strict = ("-std=c++17", *WARNINGS[1:])
    run(compiler, *strict, f"-I{folder}", "-o", program, main, obj)
    assert run(program) == "a.example no error\nrule 0 of 1\n"


# ---- the same answers --------------------------------------------------------


class Library(NamedTuple):
    """The core, as cffi has it."""

    ffi: Any
    lib: Any


Libraries = tuple[Library, Library]

MANUALS = "-O3"


def declarations() -> str:
    """Return what cffi reads of the headers."""
    path = CSRC / "python" / "build_cffi.py"
    spec = importlib.util.spec_from_file_location("build_cffi", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.declarations())


@pytest.fixture(scope="module")
def compiled(folder: Path) -> Callable[[str], Libraries]:
    """The one file, compiled when it is first asked for, and the Python module."""
    needs("gcc", "gcc")

    @functools.cache
    def made(level: str) -> Libraries:
        library = folder.parent / f"pinverify{level}.so"
        flags = ("-std=c11", level, "-shared", "-fPIC")
        run("gcc", *flags, "-o", library, folder / "pinverify.c")
        ffi = FFI()
        ffi.cdef(declarations())
        return Library(ffi, ffi.dlopen(str(library))), Library(_core.ffi, _core.lib)

    return made


@pytest.fixture(params=["-O0", pytest.param(MANUALS, marks=pytest.mark.ci)])
def libraries(
    compiled: Callable[[str], Libraries], request: pytest.FixtureRequest
) -> Libraries:
    """Both, without optimization, and with that of the manual, which takes seconds."""
    return compiled(request.param)


@pytest.fixture
def optimized(compiled: Callable[[str], Libraries]) -> Libraries:
    """Both, with the flags of the manual."""
    return compiled(MANUALS)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """The corpora, by kind; certificates of Let's Encrypt, and a policy for them."""
    folder = tmp_path_factory.mktemp("corpora")
    corpora.export(folder)
    found = {
        kind: [path.read_bytes() for path in sorted((folder / kind).iterdir())]
        for kind in ("cert", "host", "policy")
    }
    pem = ROOT / "tests" / "vectors" / "lets_encrypt.pem"
    found["cert"][:0] = [der for _, der in corpora.pem_blocks(pem.read_bytes())]
    pinned, other = map(Pin.from_certificate, found["cert"][1:3])
    rules = {
        "api.example.com": PinSet([pinned]),
        "*.example.com": PinSet(leaf=[other]),
        "**.example.org": PinSet([pinned], blocked=[other]),
    }
    found["policy"].append(Policy(rules).compile())
    found["host"] += [b"api.example.com", b"www.example.com", b"example.org"]
    return found


def keys(library: Library, certs: list[bytes]) -> list[tuple[int, bytes]]:
    """Return the status and the digest of each certificate."""
    ffi, lib = library
    answers = []
    for cert in certs:
        out = ffi.new("uint8_t[32]")
        status = lib.pv_spki_sha256(out, cert, len(cert))
        answers.append((int(status), bytes(out)))
    return answers


def names(library: Library, hosts: list[bytes]) -> list[tuple[int, bytes]]:
    """Return the status and the spelling of each host."""
    ffi, lib = library
    answers = []
    for host in hosts:
        out, out_len = ffi.new("char[254]"), ffi.new("size_t *")
        status = lib.pv_host_canonical(out, out_len, host, len(host))
        answers.append((int(status), bytes(ffi.buffer(out, out_len[0]))))
    return answers


def reports(library: Library, inputs: dict[str, list[bytes]]) -> list[bytes]:
    """Return the report about each host and some certificates, for each policy."""
    ffi, lib = library
    answers = []
    chain = [ffi.from_buffer(cert) for cert in inputs["cert"][:3]]
    spans = ffi.new("pv_span[]", [(cert, len(cert)) for cert in chain])
    for policy in inputs["policy"]:
        opened, report = ffi.new("pv_policy *"), ffi.new("pv_report *")
        data = ffi.from_buffer(policy)
        assert lib.pv_policy_open(opened, data, len(data)) == lib.PV_OK
        for host in [b"", *inputs["host"]]:
            spkis = ffi.new("uint8_t[96]")
            status = lib.pv_evaluate(
                report, spkis, opened, host, len(host), spans, 3, NOW
            )
            assert status == lib.PV_OK
            answers.append(bytes(ffi.buffer(report)) + bytes(spkis))
    return answers


@pytest.mark.slow
def test_it_finds_the_keys_that_the_module_finds(
    optimized: Libraries, inputs: dict[str, list[bytes]]
) -> None:
    """For each certificate of the corpora, and each damaged one."""
    one, module = (keys(library, inputs["cert"]) for library in optimized)
    assert one == module
    statuses = [status for status, _ in one]
    assert 0 < statuses.count(0) < len(statuses) > 1000


@pytest.mark.slow
def test_it_decides_as_the_module_decides(
    optimized: Libraries, inputs: dict[str, list[bytes]]
) -> None:
    """Each host has the same spelling, and each peer gets the same report."""
    one, module = (names(library, inputs["host"]) for library in optimized)
    assert one == module
    one_decides, module_decides = (reports(library, inputs) for library in optimized)
    assert one_decides == module_decides
    assert {report[0] for report in one_decides} == {0, 1}
    reasons = {report[1] for report in one_decides}
    assert reasons >= {Reason.MATCH, Reason.MISMATCH, Reason.BLOCKED, Reason.BAD_HOST}


def test_it_has_the_kernels_of_the_module(libraries: Libraries) -> None:
    """Nothing of one processor is lost where another's part came first."""
    for name in ("pv_sha256_kernel_name", "pv_scan_kernel_name"):
        one, module = (
            [
                bytes(ffi.string(text))
                for i in range(9)
                if (text := getattr(lib, name)(i)) != ffi.NULL
            ]
            for ffi, lib in libraries
        )
        assert one == module != []


def test_each_kernel_hashes_alike(libraries: Libraries) -> None:
    """Messages of each length around a block, in each kernel of both."""
    found = []
    for ffi, lib in libraries:
        in_use = lib.pv_sha256_kernel()
        kernel = 0
        while lib.pv_sha256_use_kernel(kernel) == lib.PV_OK:
            out = ffi.new("uint8_t[]", 32 * 200)
            for size in range(200):
                lib.pv_sha256(out + 32 * size, bytes(range(size)), size)
            found.append(bytes(out))
            kernel += 1
        assert lib.pv_sha256_use_kernel(in_use) == lib.PV_OK
    assert len(found) >= 2
    assert len(set(found)) == 1
