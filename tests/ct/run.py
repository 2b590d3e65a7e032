"""Is the scan constant-time? Asked of binaries, not of the source.

The promise: the time of comparing a digest with pins does not depend on which pin,
or how much of one, matched. Three methods look for what would break it, in what
compilers made of csrc, and in the compiled module that Python loads:

trace     runs each scan one instruction at a time over many pins and digests. All
          must run the same instructions and touch the same addresses, and none may
          be an instruction whose time depends on its operands.
memcheck  valgrind is told that pins and digest are unset memory, and reports
          each branch and each address that depends on them.
MSan      does the same inside the program. It sees least, and never counts alone.

Kernels are those that the table of csrc/scan.c lists on this machine. leaky_scans.c has
scans that leak: a method that sees nothing in one of them fails the run.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import single_step

__all__: list[str] = []

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CSRC = ROOT / "csrc"
BUILD = HERE / "build"

COMPILERS = ("gcc", "clang-19")
MSAN_COMPILER = "clang-19"

# What stands in a cell of the table. A twin ought to leak, the others not.
CLEAN, LEAKS, SEEN, MISSED, BLIND = "clean", "LEAKS", "seen", "MISSED", "-"

# What a method can't see, and why. A kernel whose instructions valgrind does not
# know is not listed by a program that runs under it.
BLIND_SPOTS = {
    ("MSan", "avx512 pv_packed_contain"): "it takes VPTERNLOG for a use",
    ("MSan", "avx512 pv_packed_contain_many"): "it takes VPTERNLOG for a use",
    ("memcheck", "twin twin_division"): "no branch, no address",
    ("memcheck", "twin twin_mask_register"): "valgrind knows no AVX-512",
    ("MSan", "twin twin_division"): "no branch, no address",
}

# What the processor must have to run a twin.
TWIN_NEEDS = {
    "twin_gather": "avx2",
    "twin_mask_register": "avx512vl",
    "twin_vector_branch": "avx2",
}


@dataclass(frozen=True)
class Finding:
    """The answer of one method about one scan of one binary."""

    kernel: str
    scan: str
    method: str
    binary: str
    leaks: bool | None  # None: the method is blind here
    detail: str = ""

    @property
    def cell(self) -> str:
        """The text of this finding in the table."""
        if self.leaks is None:
            return BLIND
        if self.kernel == "twin":
            return SEEN if self.leaks else MISSED
        return LEAKS if self.leaks else CLEAN


# ---- building ----------------------------------------------------------------


def module_flags() -> list[str]:
    """Return the flags with which the Python package is compiled."""
    path = CSRC / "python" / "build_cffi.py"
    spec = importlib.util.spec_from_file_location("build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return [*module.compile_flags(), "-DPV_API="]


def compile_core(compiler: str, output: str, *flags: str | Path) -> Path:
    """Compile csrc and the twins with *flags* into tests/ct/build."""
    BUILD.mkdir(exist_ok=True)
    path = BUILD / output
    core = sorted(p for p in CSRC.rglob("*.c") if p.parent.name != "openssl")
    sources = [HERE / "leaky_scans.c", *core]
    command = [compiler, *module_flags(), f"-I{CSRC}", *flags, *sources, "-o", path]
    subprocess.run(list(map(str, command)), check=True)
    return path


def traced_library(compiler: str) -> Path:
    """Return csrc as a shared library, compiled as the module is."""
    flags = ("-fPIC", "-shared", "-Wl,-Bsymbolic")
    return compile_core(compiler, f"traced-{compiler}.so", *flags)


def memcheck_program(compiler: str) -> Path:
    """Return poison.c for valgrind."""
    return compile_core(compiler, f"memcheck-{compiler}", "-g", HERE / "poison.c")


def msan_program(compiler: str) -> Path:
    """Return poison.c with MSan in it.

    MSan takes an argument of a function for a use of it, unless told not to, and
    knows no fortified functions.
    """
    return compile_core(
        *(compiler, f"msan-{compiler}", "-g", "-O1", "-fsanitize=memory"),
        *("-fno-sanitize-memory-param-retval", "-fno-builtin"),
        *("-U_FORTIFY_SOURCE", "-include", HERE / "no_barrier.h", HERE / "poison.c"),
    )


# ---- memcheck and MSan -------------------------------------------------------

FOUND = 99  # what a checker ends with once it has found something


def poison(method: str, binary: str, program: Path) -> list[Finding]:
    """Run poison.c under one checker, once for each kernel and scan."""
    environment = dict(os.environ, MSAN_OPTIONS=f"exitcode={FOUND}")
    command = [str(program)]
    if method == "memcheck":
        command = ["valgrind", "--quiet", f"--error-exitcode={FOUND}", *command]

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
    kernels = re.findall(r"^kernel (\w+)$", listed.stdout, re.MULTILINE)
    scans = re.findall(r"^scan (\w+)$", listed.stdout, re.MULTILINE)
    assert kernels, listed.stderr
    findings = []
    for number, kernel, scan in subjects(kernels, scans):
        leaks, detail = None, BLIND_SPOTS.get((method, f"{kernel} {scan}"), "")
        if not detail:
            ended = run(str(number), scan)
            assert ended.returncode in (0, FOUND), (kernel, scan, ended)
            leaks, detail = ended.returncode == FOUND, ended.stderr
        findings.append(Finding(kernel, scan, method, binary, leaks, detail))
    return findings


def subjects(
    kernels: Sequence[str], scans: Sequence[str]
) -> Iterator[tuple[int, str, str]]:
    """Yield each scan with each kernel; the twins, which have none, once."""
    for scan in scans:
        if not scan.startswith("twin_"):
            for number, kernel in enumerate(kernels):
                yield number, kernel, scan
        elif TWIN_NEEDS.get(scan, "") in cpu_flags():
            yield 0, "twin", scan


def cpu_flags() -> set[str]:
    """Return the instruction sets of this machine, and the empty name."""
    text = Path("/proc/cpuinfo").read_text(encoding="ascii")
    return {"", *re.findall(r"^flags\s*:(.*)$", text, re.MULTILINE)[0].split()}


# ---- pins and digests --------------------------------------------------------

NUMBERS_OF_PINS = (0, 1, 2, 3, 4, 5, 8, 9, 16, 17, 64)

# What takes several digests does many times the work, so there is less of it.
NUMBERS_OF_PINS_FOR_MANY = (0, 1, 4, 5, 9, 17)
NUMBERS_OF_DIGESTS = (1, 2, 3, 4, 5)
MOST_DIGESTS = max(NUMBERS_OF_DIGESTS)

# More than a kernel takes for small: one of them goes on in another way then.
# That is 20,000 instructions or more, so only three calls are traced: the digest is
# absent, the first pin, the last one.
MOST_PINS = 1300


@dataclass(frozen=True)
class Secret:
    """Pins and a digest, and what is special about them."""

    name: str
    pins: bytes
    digest: bytes


def flipped(digest: bytes, start: int, stop: int = 32) -> bytes:
    """Return a digest with other bytes from *start* to *stop*."""
    middle = bytes(0xFF ^ byte for byte in digest[start:stop])
    return digest[:start] + middle + digest[stop:]


def secrets(num_pins: int) -> Iterator[Secret]:
    """Yield that many pins, each time with a digest that meets them otherwise."""
    noise = random.Random(num_pins)  # noqa: S311  (a test, no key)
    pins = [noise.randbytes(32) for _ in range(num_pins)]
    joined = b"".join(pins)
    absent = noise.randbytes(32)
    yield Secret("absent", joined, absent)
    yield Secret("zero pins, zero digest", bytes(32 * num_pins), bytes(32))
    yield Secret("zero pins, one bit", bytes(32 * num_pins), bytes(31) + b"\1")
    yield Secret("0xff pins, zero digest", b"\xff" * 32 * num_pins, bytes(32))
    if not pins:
        return
    yield Secret("every pin hit", absent * num_pins, absent)
    for at in sorted({0, 1, 4, 7, num_pins // 2, num_pins - 1}):
        if at < num_pins:
            yield Secret(f"hit of pin {at}", joined, pins[at])
    for at in sorted({0, num_pins - 1}):
        for same in (1, 8, 15, 16, 31):
            near = flipped(pins[at], same)
            yield Secret(f"{same} bytes of pin {at}", joined, near)
        for byte in (0, 7, 8, 31):
            near = flipped(pins[at], byte, byte + 1)
            yield Secret(f"all of pin {at} but byte {byte}", joined, near)


def arrangements(secret: Secret, num_digests: int) -> Iterator[bytes]:
    """Yield several digests: the special one first, last, or everywhere."""
    others = bytes(range(1, 33)) * (num_digests - 1)
    yield secret.digest + others
    if num_digests > 1:
        yield others + secret.digest
        yield secret.digest * num_digests


# ---- traces ------------------------------------------------------------------


class Library:
    """A binary that holds the core, loaded here."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()
        self._loaded = ctypes.CDLL(str(self.path))
        maps = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        base = min(int(m.split("-")[0], 16) for m in maps if m.endswith(str(self.path)))
        self.functions: dict[str, int] = {}
        self.places: list[tuple[int, str]] = []  # static names may occur twice
        self.kernels_compiled: list[str] = []
        listing = subprocess.run(
            ["nm", str(self.path)], capture_output=True, text=True, check=True
        )
        for line in listing.stdout.splitlines():
            *address, kind, name = line.split()
            if kind in "tT":
                self.functions[name] = base + int(address[0], 16)
                self.places.append((self.functions[name], name))
            elif kind in "rRdD" and name.startswith("pv_scan_"):
                self.kernels_compiled.append(name.removeprefix("pv_scan_"))

    def call(self, name: str, *arguments: Any) -> int:  # noqa: ANN401
        """Call a function that returns a number, by its name."""
        types: list[Any] = [type(argument) for argument in arguments]
        function = ctypes.CFUNCTYPE(ctypes.c_uint32, *types)(self.functions[name])
        return int(function(*arguments))

    def kernels(self) -> list[str]:
        """Return the kernels that this machine can run, best first."""
        address = self.functions["pv_scan_kernel_name"]
        name = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_size_t)(address)
        names: list[str] = []
        while (found := name(len(names))) is not None:
            names.append(found.decode("ascii"))
        return names

    def place(self, address: int) -> str:
        """Return an address as the name of a function and an offset."""
        below = [(at, name) for at, name in self.places if at <= address]
        at, name = max(below, default=(0, "?"))
        return f"{name}+{address - at:#x}"


Call = Callable[[], object]


class Arena:
    """Where pins, digests and answers lie: the same place in every call."""

    def __init__(self, library: Library) -> None:
        self.library = library
        self.rows = ctypes.create_string_buffer(32 * MOST_PINS)
        self.packed = ctypes.create_string_buffer(32 * (MOST_PINS + 8))
        self.digests = ctypes.create_string_buffer(32 * MOST_DIGESTS)
        self.answers = ctypes.create_string_buffer(4 * MOST_DIGESTS)

    def fill(self, num_pins: int, pins: bytes, digests: bytes) -> None:
        """Put pins, packed and not, and digests in their places."""
        ctypes.memmove(self.rows, pins, len(pins))
        ctypes.memmove(self.digests, digests, len(digests))
        size = ctypes.c_size_t(num_pins)
        self.library.call("pv_pins_pack", self.packed, self.rows, size)

    def calls(self, scan: str) -> Iterator[list[tuple[str, Call]]]:
        """Yield groups of calls; within a group only secrets differ."""
        many = scan.endswith("_many")
        for num_pins in NUMBERS_OF_PINS_FOR_MANY if many else NUMBERS_OF_PINS:
            for num_digests in NUMBERS_OF_DIGESTS if many else (1,):
                group = []
                for secret in islice(secrets(num_pins), 0, None, 5 if many else 1):
                    for digests in arrangements(secret, num_digests):
                        call = self.one_call(scan, num_pins, secret.pins, digests)
                        group.append((f"{num_pins} pins, {secret.name}", call))
                yield group
        if scan == "pv_packed_contain":
            group = []
            for secret in islice(secrets(MOST_PINS), 0, 11, 5):
                call = self.one_call(scan, MOST_PINS, secret.pins, secret.digest)
                group.append((f"{MOST_PINS} pins, {secret.name}", call))
            yield group

    def one_call(self, scan: str, num_pins: int, pins: bytes, digests: bytes) -> Call:
        """Return a call of one scan with these secrets."""
        size = ctypes.c_size_t(num_pins)
        where = self.packed if "packed" in scan else self.rows
        arguments: tuple[object, ...] = (where, size, self.digests)
        if scan.endswith("_many"):
            num_digests = ctypes.c_size_t(len(digests) // 32)
            arguments = (self.answers, *arguments, num_digests)

        def call() -> None:
            self.fill(num_pins, pins, digests)
            self.library.call(scan, *arguments)

        return call


def trace(binary: str, path: Path) -> list[Finding]:
    """Trace every scan of one binary with every kernel."""
    library = Library(path)
    kernels = library.kernels()
    arena = Arena(library)
    findings = []
    for number, kernel, scan in subjects(kernels, scans_of(library)):
        library.call("pv_scan_use_kernel", ctypes.c_size_t(number))
        detail = difference(library, arena, scan)
        leaks = bool(detail)
        findings.append(Finding(kernel, scan, "trace", binary, leaks, detail))
    for kernel in sorted(set(library.kernels_compiled) - set(kernels)):
        scan = "(this machine can't run it)"
        findings.append(Finding(kernel, scan, "trace", binary, None))
    return findings


def scans_of(library: Library) -> list[str]:
    """Return the scans of a binary, and its twins."""
    twins = [name for name in library.functions if name.startswith("twin_")]
    return [*declared_scans(), *sorted(twins)]


def declared_scans() -> list[str]:
    """Return the scans that pinverify.h promises to be constant-time."""
    header = (CSRC / "pinverify.h").read_text(encoding="ascii")
    return re.findall(r"^PV_API \w+ (pv_\w+_contain\w*)\(", header, re.MULTILINE)


def difference(library: Library, arena: Arena, scan: str) -> str:
    """Return where two traces of one scan part, or an empty text."""
    for group in arena.calls(scan):
        names, calls = zip(*group, strict=True)
        try:
            traced = single_step.traces(library.functions[scan], calls)
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


def all_findings() -> list[Finding]:
    """Run every method over every binary."""
    with ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        jobs = [pool.submit(trace, "module", module_path())]
        for compiler in COMPILERS:
            library = traced_library(compiler)
            jobs.append(pool.submit(trace, compiler, library))
        for compiler in COMPILERS:
            program = memcheck_program(compiler)
            jobs.append(pool.submit(poison, "memcheck", compiler, program))
        program = msan_program(MSAN_COMPILER)
        jobs.append(pool.submit(poison, "MSan", MSAN_COMPILER, program))
        return [finding for job in jobs for finding in job.result()]


def print_table(findings: Sequence[Finding]) -> None:
    """Print a line for each scan of each kernel, a column for each method."""
    columns = list(dict.fromkeys((f.method, f.binary) for f in findings))
    lines = list(dict.fromkeys((f.kernel, f.scan) for f in findings))
    cells = {(f.kernel, f.scan, f.method, f.binary): f.cell for f in findings}
    names = [f"{method} {binary}" for method, binary in columns]
    first = max(len(f"{kernel} {scan}") for kernel, scan in lines)
    print(" " * first, *names, sep="  ")
    for line in lines:
        row = [cells.get((*line, *column), BLIND) for column in columns]
        padded = [cell.ljust(len(name)) for cell, name in zip(row, names, strict=True)]
        print(" ".join(line).ljust(first), *padded, sep="  ")


def faults(findings: Sequence[Finding]) -> list[str]:
    """Return what must not be: a leak of ours, or a twin's that nobody saw."""
    looked_at = {(f.method, f.scan) for f in findings if f.leaks is not None}
    found = [
        f"{scan} is in pinverify.h, and {method} does not look at it"
        for method in ("trace", "memcheck", "MSan")
        for scan in declared_scans()
        if (method, scan) not in looked_at
    ]
    for f in findings:
        where = f"{f.kernel} {f.scan}, {f.method} {f.binary}"
        if f.cell == LEAKS:
            found.append(f"{where}: {f.detail}")
        elif f.cell == MISSED:
            found.append(f"{where}: the leak was not seen")
    return found


CONDITIONAL_JUMP = re.compile(r"\tj(?!mp)")


def print_jumps() -> None:
    """Print how many conditional jumps each kernel has: loops, no more.

    A tripwire for readers. Compilers differ, so nothing is compared; that no jump
    depends on a secret is what the traces show.
    """
    for compiler in COMPILERS:
        texts = []
        for source in sorted(CSRC.glob("kernels/scan_*.c")):
            path = BUILD / f"{source.stem}-{compiler}.o"
            command = [compiler, *module_flags(), f"-I{CSRC}", "-c", "-o", path, source]
            subprocess.run(list(map(str, command)), check=True)
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
    """Run everything; return 0 if nothing leaks and every twin was seen to."""
    if missing := missing_tools():
        print("install first:", *missing, file=sys.stderr)
        return 2
    findings = all_findings()
    print_table(findings)
    print_jumps()
    wrong = faults(findings)
    print(*wrong, sep="\n")
    num = len(findings)
    print(f"{num - len(wrong)} passed, {len(wrong)} failed")
    return 1 if wrong else 0


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    sys.exit(main())
