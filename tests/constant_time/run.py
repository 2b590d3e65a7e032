"""Check on binaries, not on the source, that the search for a pin is constant-time.

The promise of pinverify.h is that the time of a function does not depend on the bytes
of the pins, on which of them matches, or on how much of one does. Every function with
this promise is examined. Three methods look for what would break it, in binaries that
compilers make of csrc, and in the compiled module that Python loads:

trace     runs a function one instruction at a time over many pins and digests. All
          calls with the same answer must run the same instructions and touch the same
          addresses, and none may be an instruction whose time depends on its operands.
memcheck  valgrind is told that pins and digests are unset memory, and reports
          each branch and each address that depends on them.
MSan      does the same inside the program. It sees least, and is never used alone.

The kernels are those of csrc/kernels/scan_*.c. Those that this machine can't run are
named.

leaks.toml has leaks to plant in copies of the source: the run fails if a method misses
one that it should see.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anchors
from anchors import Change
from constant_time import single_step
from constant_time.calls import DECISIONS, Arena, Library, policies, sample_certificate
from core_sources import core_sources

__all__: list[str] = []

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CSRC = ROOT / "csrc"
BUILD = HERE / "build"

COMPILERS = ("gcc", "clang-19")
MSAN_COMPILER = "clang-19"
METHODS = ("trace", "memcheck", "MSan")

# What stands in a cell of the table. A planted leak must be seen.
CLEAN, LEAKS, SEEN, MISSED, BLIND = "clean", "LEAKS", "seen", "MISSED", "-"

# What a machine must have to run a kernel: its architecture, and flags of Linux. A
# checker runs the kernel over models on every machine.
KERNEL_NEEDS = {
    "portable": ("", ""),
    "avx2": ("x86_64", "avx2 bmi1 bmi2"),
    "avx512": ("x86_64", "avx2 bmi1 bmi2 avx512f avx512vl avx512bw"),
    "neon": ("aarch64", ""),
}
OVER_MODELS = {"memcheck": {"avx512"}, "MSan": {"avx512"}}


@dataclass(frozen=True)
class Leak:
    """A leak that is planted: a row of leaks.toml.

    Attributes:
        what: it, in words.
        change: where, and how.
        kernel: the kernel that leaks then.
        run: the function that is called.
        seen_by: the methods that must find it; the others need not.
    """

    what: str
    change: Change
    kernel: str
    run: str
    seen_by: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """The answer of one method about one function of one binary."""

    kernel: str
    function: str
    method: str
    binary: str
    leaks: bool
    detail: str = ""
    planted: str = ""  # the leak that should be found

    @property
    def line(self) -> str:
        """The name of its line in the table."""
        return self.planted or f"{self.kernel} {self.function}"

    @property
    def cell(self) -> str:
        """The text of this finding in the table."""
        if self.planted:
            return SEEN if self.leaks else MISSED
        return LEAKS if self.leaks else CLEAN


# ---- what has to be examined -------------------------------------------------


def header() -> str:
    """Return the public headers of the core, as one text."""
    names = ("pinverify.h", "pinverify_compile.h")
    return "".join((CSRC / name).read_text(encoding="ascii") for name in names)


def promised(text: str) -> list[str]:
    """Return the functions whose time does not depend on pins, as a header says it."""
    found: list[str] = []
    blocks = re.findall(r"((?://[^\n]*\n)+)((?:PV_API[^;]*;\n)+)", text)
    for comment, declarations in blocks:
        words = " ".join(re.sub(r"^// ?", "", comment, flags=re.MULTILINE).split())
        _, _, time = words.rpartition("Time: ")
        like = re.match(r"like (pv_\w+)", time)
        if "independent of the bytes of" in time or (like and like[1] in found):
            found += re.findall(r"\b(pv_\w+)\(", declarations)
    return found


def kernels() -> list[str]:
    """Return every kernel of the scan that there is, for any processor."""
    texts = [path.read_text("ascii") for path in sorted(CSRC.glob("kernels/scan_*.c"))]
    names = re.findall(r'pv_kernel pv__scan_\w+ = \{\.name = "(\w+)"', "".join(texts))
    assert len(names) == len(texts), "a kernel that is not found"
    return names


def why_not_here(kernel: str) -> str:
    """Return why this machine can't run a kernel; empty if it can."""
    machine = platform.machine()
    wanted, flags = KERNEL_NEEDS[kernel]
    if wanted and wanted != machine:
        return f"this machine is {machine}, not {wanted}"
    lacking = set(flags.split()) - cpu_flags()
    return f"this machine lacks {' '.join(sorted(lacking))}" if lacking else ""


def can_run(method: str, kernel: str) -> bool:
    """Can a method run a kernel on this machine?"""
    return kernel in OVER_MODELS.get(method, ()) or not why_not_here(kernel)


def cpu_flags() -> set[str]:
    """Return the instruction sets of this machine."""
    text = Path("/proc/cpuinfo").read_text(encoding="ascii")
    return set(re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)[0].split())


def leaks() -> list[Leak]:
    """Return the leaks to plant."""
    table = tomllib.loads((HERE / "leaks.toml").read_text(encoding="utf-8"))
    return [
        Leak(row["what"], Change.of(row), row["kernel"], row["run"], (*row["seen_by"],))
        for row in table["leak"]
    ]


# ---- building ----------------------------------------------------------------


@functools.cache
def module_flags() -> tuple[str, ...]:
    """Return the flags with which the Python package is compiled."""
    path = CSRC / "python" / "build_cffi.py"
    spec = importlib.util.spec_from_file_location("build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return (*module.compile_flags(), "-DPV_API=")


@dataclass(frozen=True)
class Build:
    """How a binary is made: its objects are compiled once, leaks beside them."""

    name: str
    compiler: str
    flags: tuple[str | Path, ...]
    program: bool

    def compile(self, source: Path, csrc: Path, output: Path) -> Path:
        """Compile one file; one kernel over models, where a checker runs it."""
        flags = [*module_flags(), *self.flags, f"-I{csrc}", f"-I{csrc / 'kernels'}"]
        if self.program and source.stem == "scan_x86_avx512":
            models = HERE / "over_models.h"
            flags += [f"-I{ROOT / 'tests' / 'prove'}", "-Wno-psabi", "-include", models]
        run_tool(self.compiler, *flags, "-c", "-o", output, source)
        return output

    @functools.cached_property
    def objects(self) -> dict[str, Path]:
        """The objects of the core, and of poison.c, by the names of their sources."""
        folder = BUILD / self.name
        folder.mkdir(parents=True, exist_ok=True)
        sources = {str(path.relative_to(CSRC)): path for path in core_sources()}
        if self.program:
            sources["poison.c"] = HERE / "poison.c"
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            made = pool.map(
                lambda path: self.compile(path, CSRC, folder / f"{path.stem}.o"),
                sources.values(),
            )
            return dict(zip(sources, made, strict=True))

    def link(self, name: str, objects: dict[str, Path]) -> Path:
        """Make a binary of objects."""
        path = BUILD / self.name / f"binary{name}"
        how = () if self.program else ("-shared", "-Wl,-Bsymbolic")
        run_tool(self.compiler, *self.flags, *how, *objects.values(), "-o", path)
        return path

    @functools.cached_property
    def binary(self) -> Path:
        """The binary of the source as it is."""
        return self.link("", self.objects)

    def with_leak(self, number: int, leak: Leak) -> Path:
        """Return the binary of a source in which a leak is planted."""
        file, text = anchors.made(leak.change, anchors.read(CSRC))
        source = BUILD / f"leak-{number}" / file
        if not source.exists() or source.read_text(encoding="ascii") != text:
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(text, encoding="ascii")
        output = BUILD / self.name / f"leak-{number}.o"
        self.compile(source, CSRC, output)
        return self.link(f"-leak-{number}", self.objects | {file: output})


def run_tool(*command: str | Path) -> None:
    """Run a compiler, which must not fail."""
    subprocess.run([*map(str, command)], check=True)


def traced_build(compiler: str) -> Build:
    """Return csrc as a shared library, compiled as the module is."""
    return Build(f"traced-{compiler}", compiler, ("-fPIC",), program=False)


def memcheck_build(compiler: str) -> Build:
    """Return poison.c for valgrind."""
    flags = ("-g", "-include", HERE / "declassify.h")
    return Build(f"memcheck-{compiler}", compiler, flags, program=True)


def msan_build() -> Build:
    """Return poison.c with MSan in it.

    MSan takes an argument of a function for a use of it, unless told not to, and
    knows no fortified functions.
    """
    flags = (
        *("-g", "-O1", "-fsanitize=memory", "-fno-sanitize-memory-param-retval"),
        *("-fno-builtin", "-U_FORTIFY_SOURCE"),
        *("-include", HERE / "no_barrier.h", "-include", HERE / "declassify.h"),
    )
    return Build(f"msan-{MSAN_COMPILER}", MSAN_COMPILER, flags, program=True)


# ---- memcheck and MSan -------------------------------------------------------

FOUND = 99  # what a checker ends with once it has found something


def poison(
    method: str, binary: str, program: Path, leak: Leak | None = None
) -> list[Finding]:
    """Run poison.c under one checker: for each kernel and function, or for a leak."""
    environment = dict(os.environ, MSAN_OPTIONS=f"exitcode={FOUND}")
    command = [str(program)]
    if method == "memcheck":
        command = ["valgrind", "--quiet", f"--error-exitcode={FOUND}", *command]
    files = [str(BUILD / "certificate"), *map(str, sorted(BUILD.glob("policy-*")))]

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            env=environment,
        )

    listed = run()
    names = re.findall(r"^kernel (\w+)$", listed.stdout, re.MULTILINE)
    functions = re.findall(r"^function (\w+)$", listed.stdout, re.MULTILINE)
    assert names, listed.stderr
    findings = []
    for number, kernel, function in subjects(names, functions, leak):
        ended = run(str(number), function, *files)
        assert ended.returncode in (0, FOUND), (kernel, function, ended)
        found = ended.returncode == FOUND
        finding = Finding(kernel, function, method, binary, found, ended.stderr)
        findings.append(finding)
    return findings


def subjects(
    names: Sequence[str], functions: Sequence[str], leak: Leak | None
) -> Iterator[tuple[int, str, str]]:
    """Yield each function with each kernel; of a leak the one that has it."""
    for function in functions:
        for number, kernel in enumerate(names):
            if leak is None or (kernel, function) == (leak.kernel, leak.run):
                yield number, kernel, function


# ---- traces ------------------------------------------------------------------


def trace(
    binary: str, path: Path, function: str, leak: Leak | None = None
) -> list[Finding]:
    """Trace one function of one binary with each kernel, or with that of a leak.

    What a decision does beside the scan is the same with each kernel, and long: only
    the best one is traced.
    """
    library = Library(path)
    arena = Arena(library)
    library.call("pv_sha256_use_kernel", ctypes.c_size_t(0))  # none is chosen later
    names = library.kernels()
    if leak is None and function in DECISIONS:
        names = names[:1]
    findings = []
    for number, kernel, _ in subjects(names, [function], leak):
        library.call("pv_scan_use_kernel", ctypes.c_size_t(number))
        detail = difference(library, arena, function)
        finding = Finding(kernel, function, "trace", binary, bool(detail), detail)
        findings.append(finding)
    return findings


def difference(library: Library, arena: Arena, function: str) -> str:
    """Return where two traces of one function part, or an empty text."""
    for group in arena.calls(function):
        names, calls = zip(*group, strict=True)
        try:
            traced = single_step.traces(library.functions[function], calls)
            labelled = zip(names, traced, strict=True)
            for (name, one), (other_name, other) in pairwise(labelled):
                parted = single_step.first_difference(one, other)
                if parted is not None:
                    _number, a, b = parted
                    return (
                        f"{name}, and {other_name}: "
                        f"{library.place(a[0])} {a[1:]} and "
                        f"{library.place(b[0])} {b[1:]}"
                    )
        except single_step.TraceError as error:
            return str(error)
    return ""


# ---- the run -----------------------------------------------------------------


def module_path() -> Path:
    """Return the compiled module that Python loads."""
    spec = importlib.util.find_spec("pinverify._core")
    if spec is None or spec.origin is None:
        sys.exit("pinverify is not installed: make ct")
    return Path(spec.origin)


def missing_tools() -> list[str]:
    """Return the programs that this machine lacks."""
    needed = (*COMPILERS, MSAN_COMPILER, "nm", "objdump", "valgrind")
    return [name for name in needed if shutil.which(name) is None]


def write_inputs() -> None:
    """Write what poison.c reads."""
    shutil.rmtree(BUILD, ignore_errors=True)
    BUILD.mkdir()
    (BUILD / "certificate").write_bytes(sample_certificate())
    for number, policy in enumerate(policies()):
        (BUILD / f"policy-{number}").write_bytes(policy)


def all_findings() -> list[Finding]:
    """Run every method over every binary, and over each planted leak."""
    write_inputs()
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs: list[tuple[str, Future[list[Finding]]]] = []

        def submit(what: Any, *arguments: Any, planted: str = "") -> None:  # noqa: ANN401
            jobs.append((planted, pool.submit(what, *arguments)))

        traced = [traced_build(compiler) for compiler in COMPILERS]
        checked = [memcheck_build(compiler) for compiler in COMPILERS]
        msan = msan_build()
        for function in promised(header()):
            submit(trace, "module", module_path(), function)
        for build in traced:
            for function in promised(header()):
                submit(trace, build.compiler, build.binary, function)
        for build in checked:
            submit(poison, "memcheck", build.compiler, build.binary)
        submit(poison, "MSan", msan.compiler, msan.binary)
        for number, leak in enumerate(leaks()):
            for method in leak.seen_by:
                if not can_run(method, leak.kernel):
                    continue
                if method == "trace":
                    path = traced[0].with_leak(number, leak)
                    submit(trace, "gcc", path, leak.run, leak, planted=leak.what)
                else:
                    build = msan if method == "MSan" else checked[0]
                    path = build.with_leak(number, leak)
                    arguments = (method, build.compiler, path, leak)
                    submit(poison, *arguments, planted=leak.what)
        return [
            replace(finding, planted=planted)
            for planted, job in jobs
            for finding in job.result()
        ]


def print_table(findings: Sequence[Finding]) -> None:
    """Print a line for each function of each kernel, a column for each binary."""
    columns = list(dict.fromkeys((f.method, f.binary) for f in findings))
    lines = list(dict.fromkeys(f.line for f in findings))
    cells = {(f.line, f.method, f.binary): f.cell for f in findings}
    names = [f"{method} {binary}" for method, binary in columns]
    first = max(map(len, lines))
    print(" " * first, *names, sep="  ")
    for line in lines:
        row = [cells.get((line, *column), BLIND) for column in columns]
        padded = [cell.ljust(len(name)) for cell, name in zip(row, names, strict=True)]
        print(line.ljust(first), *padded, sep="  ")


def faults(findings: Sequence[Finding]) -> list[str]:
    """Return what must not be: a leak of ours, or a planted one that nobody saw.

    Nor may anybody leave out a function that promises constant time, or a kernel that
    this machine can run.
    """
    own = [f for f in findings if not f.planted]
    wanted = promised(header())
    found = [
        f"{function} is examined, and pinverify.h promises nothing of its time"
        for function in sorted({f.function for f in own} - set(wanted))
    ]
    for method, binary in dict.fromkeys((f.method, f.binary) for f in own):
        here = [k for k in kernels() if can_run(method, k)]
        for function in wanted:
            looked_at = {
                f.kernel
                for f in own
                if (f.method, f.binary, f.function) == (method, binary, function)
            }
            missing = set(here) - looked_at
            if method == "trace" and function in DECISIONS and looked_at:
                missing = set()
            found += [
                f"{kernel} {function}: {method} {binary} does not look at it"
                for kernel in sorted(missing)
            ]
    found += [
        f"no function is examined by {method}"
        for method in sorted({*METHODS} - {f.method for f in own})
    ]
    seen = {(f.planted, f.method) for f in findings if f.cell == SEEN}
    found += [
        f"{leak.what}: {method} did not see it"
        for leak in leaks()
        for method in leak.seen_by
        if (leak.what, method) not in seen and can_run(method, leak.kernel)
    ]
    found += [
        f"{f.line}, {f.method} {f.binary}: {f.detail}"
        for f in findings
        if f.cell == LEAKS
    ]
    return found


def print_not_run() -> None:
    """Print each kernel that some method could not run here, and why."""
    for kernel in kernels():
        if why := why_not_here(kernel):
            methods = [method for method in METHODS if not can_run(method, kernel)]
            print(f"{kernel}: not run by {', '.join(methods)}: {why}")


CONDITIONAL_JUMP = re.compile(r"\tj(?!mp)")


def print_jumps() -> None:
    """Print how many conditional jumps each kernel has: loops, no more.

    A tripwire for readers. Compilers differ, so nothing is compared; that no jump
    depends on a secret is what the methods show.
    """
    for compiler in COMPILERS:
        texts = []
        for source in sorted(CSRC.glob("kernels/scan_*.c")):
            path = BUILD / f"traced-{compiler}" / f"{source.stem}.o"
            code = subprocess.run(
                ["objdump", "-d", "--no-show-raw-insn", str(path)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            functions = re.split(r"^[0-9a-f]+ <(\w+)>:$", code, flags=re.MULTILINE)[1:]
            counts = [
                f"{name} {len(CONDITIONAL_JUMP.findall(body))}"
                for name, body in zip(functions[::2], functions[1::2], strict=True)
            ]
            if counts:
                texts.append(f"{source.name}: {', '.join(counts)}")
        print(f"conditional jumps, {compiler}: {'; '.join(texts)}")


def main() -> int:
    """Run everything; return 0 if nothing leaks and every planted leak was seen."""
    if missing := missing_tools():
        print("install first:", *missing, file=sys.stderr)
        return 2
    findings = all_findings()
    print_table(findings)
    print_not_run()
    print_jumps()
    wrong = faults(findings)
    print(*wrong, sep="\n")
    num_leaks = len(leaks())
    print(f"{len(findings)} findings, {num_leaks} planted leaks: {len(wrong)} faults")
    return 1 if wrong else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    sys.exit(main())
