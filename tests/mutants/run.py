"""Break the C core in one small way at a time, and see that a test fails.

    make mutants                          # every mutant
    make mutants MUTANTS="host is_oid"    # those of these files or functions
    make mutants FIX=1                    # let the list follow names that have changed

mutants.toml lists what is broken, and the tests that should notice. A mutant that
they let pass meets all tests of the core; if none of them fails, a test is missing.
A mutant that does not compile, or whose module cannot be imported, shows nothing: it
is an error here, and so is one whose place in the source is gone: tests/anchoring has
how a row names its place (anchors.py), and gets a new one (follow_renames.py).

The source is never touched: each mutant is planted and tested in a copy. Without any,
all tests must pass there. ``JOBS`` (2) says how many copies are worked on side by side.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anchors
from anchors import AnchorError, Change
from pinverify import core
from pinverify.core._kernels import scan_kernels

__all__ = [
    "Build",
    "Copy",
    "Mutant",
    "MutantError",
    "Outcome",
    "compiled",
    "mutants",
    "outcome_of",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CSRC = ROOT / "csrc"
LIST = HERE / "mutants.toml"

# What a copy has: the tests read each other, and pyproject.toml tells how they run.
COPIED = ("csrc", "src", "tests", "pyproject.toml")

# All tests of the core, for what a mutant's own tests let pass.
CORE_TESTS = (
    "core_spki_corpora",
    "core_spki_fields",
    "core_spki_damage",
    "core_spki_many",
    "core_outputs",
    "core_edges",
    "core_sha256",
    "core_scan",
    "core_chunks",
    "core_columns",
    "hosts",
    "compiled_bytes",
    "compiled_damage",
    "compiled_fields",
    "compiled_files",
    "policy_patterns",
    "policy_pinset",
    "policy_decision",
    "policy_report",
    "policy_model",
    "policy_c",
    "policy_arguments",
    "c_programs",
    "other_processors",
)

TIMEOUT = 120  # seconds for the tests of one mutant; most take two
TIMEOUT_OF_ALL = 600

# The same examples each time. conftest.py has that profile.
HYPOTHESIS = ("--hypothesis-seed=0", "--hypothesis-profile=unshrunk")

# Fast to compile. What C leaves undefined, such as an index out of range, ends the
# program, as it does under `make sanitize`: it would not always change an answer.
FLAGS = (
    *("-std=c11", "-O1", "-fPIC", "-fvisibility=hidden", "-DPV_API=", "-w"),
    *("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"),
)


class MutantError(Exception):
    """A mutant that shows nothing: it does not fit, or it is no program."""


# ---- the list ----------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small fault.

    Attributes:
        what: the fault, in words.
        change: how it gets into csrc.
        tests: they should fail: ``tests/test_x.py::test_y``.
        needs: a kernel without which nobody here runs these lines.
    """

    what: str
    change: Change
    tests: tuple[str, ...]
    needs: str = ""

    @property
    def where(self) -> str:
        """The function that it is in, or the file."""
        return self.change.scope or self.change.file

    @property
    def file(self) -> str:
        """The file of csrc that it is in; empty if its place is gone."""
        try:
            return anchors.locate(self.change, sources()).file
        except AnchorError:
            return ""


@functools.cache
def sources() -> dict[str, str]:
    """Return the files of csrc."""
    return anchors.read(CSRC)


def mutants() -> list[Mutant]:
    """Return all mutants, in the order of the list."""
    rows: list[dict[str, Any]] = tomllib.loads(LIST.read_text(encoding="utf-8"))[
        "mutant"
    ]
    return [
        Mutant(
            what=row["what"],
            change=Change.of(row),
            tests=tuple(row["tests"]),
            needs=row.get("needs", ""),
        )
        for row in rows
    ]


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of the named files or functions; without a name, all.

    Raises:
        MutantError: no mutant is in a file or function of that name.
    """
    everything = mutants()
    if not names:
        return everything
    known = [{Path(m.file).stem, Path(m.file).name, m.where} for m in everything]
    unknown = [name for name in names if not any(name in each for each in known)]
    if unknown:
        stems = sorted({Path(mutant.file).stem for mutant in everything})
        msg = f"no mutant of {', '.join(unknown)}; there are: {' '.join(stems)}"
        raise MutantError(msg)
    pairs = zip(everything, known, strict=True)
    return [mutant for mutant, each in pairs if not each.isdisjoint(names)]


# ---- compiling ---------------------------------------------------------------


def compiled(source: Path, out: Path, *flags: str) -> Path:
    """Compile one C file; return its object.

    Raises:
        MutantError: it is no C any more.
    """
    _run([*_compiler(), *FLAGS, *flags, "-c", "-o", str(out), str(source)])
    return out


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["gcc"]


def _run(command: Sequence[str], cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{command[0]} ended with {done.returncode}:\n{done.stderr[-1500:]}"
        raise MutantError(msg)


# What cffi makes of the header: a C file that includes those of csrc/python.
_GENERATE = "import build_cffi; build_cffi.ffibuilder.emit_c_code({!r})"


def _compile(csrc: Path, name: str, out: Path) -> Path:
    """Compile a C file of the core, or with the name ``_core.c`` cffi's."""
    include = [f"-I{csrc}"]
    source = csrc / name
    if name == "_core.c":
        include.append(f"-I{sysconfig.get_path('include')}")
        include.append("-DPy_LIMITED_API=0x030B0000")
        source = out.with_suffix(".c")
        _run([sys.executable, "-c", _GENERATE.format(str(source))], csrc / "python")
    return compiled(source, out, *include)


def _seen_from(csrc: Path, name: str) -> set[str]:
    """Return the files that go into the object of a C file."""
    if name == "_core.c":
        headers = ("pinverify.h", "python/matcher.h", "python/evaluator.h")
        return {"_core.c", *headers, "python/build_cffi.py"}
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        file = waiting.pop()
        if file not in seen and (csrc / file).exists():
            seen.add(file)
            text = (csrc / file).read_text(encoding="ascii")
            names = re.findall(r'^#include "([\w./]+\.h)"', text, re.MULTILINE)
            waiting += [os.path.normpath(Path(file).parent / n) for n in names]
    return seen


class Build:
    """The core without a fault, compiled."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        """Compile every file into *folder*."""
        names = sorted(
            [*(name for name in sources() if name.endswith(".c")), "_core.c"]
        )
        self.users = {name: _seen_from(CSRC, name) for name in names}
        objects = pool.map(
            lambda name: _compile(CSRC, name, folder / f"{Path(name).name}.o"), names
        )
        self.objects = dict(zip(names, objects, strict=True))


class Copy:
    """A copy of the tree, for one mutant after the other."""

    def __init__(self, folder: Path, build: Build) -> None:
        """Copy it into *folder*."""
        self.folder = folder
        self._build = build
        leave = shutil.ignore_patterns("__pycache__", "*.so", "build", ".*")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=leave)
            else:
                shutil.copy(ROOT / name, folder / name)

    @contextlib.contextmanager
    def planted(self, mutant: Mutant | None) -> Iterator[None]:
        """Have a fault in the copy for a while, in its source and in its module.

        Raises:
            AnchorError: its place is gone.
            MutantError: as `compiled` does.
        """
        if mutant is None:
            self._link(self._build.objects)
            yield
            return
        file, text = anchors.made(mutant.change, sources())
        path = self.folder / "csrc" / file
        path.write_text(text, encoding="ascii")
        try:
            objects = dict(self._build.objects)
            for name, seen in self._build.users.items():
                if file in seen:
                    out = self.folder / f"{Path(name).name}.o"
                    objects[name] = _compile(self.folder / "csrc", name, out)
            self._link(objects)
            yield
        finally:
            path.write_text(sources()[file], encoding="ascii")

    def _link(self, objects: dict[str, Path]) -> None:
        module = self.folder / "src" / "pinverify" / "_core.abi3.so"
        link = ["-shared", "-Wl,-Bsymbolic", "-o", str(module)]
        _run([*_compiler(), *link, *map(str, objects.values())])


# ---- testing -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run of tests.

    Attributes:
        verdict: "killed", "survived", "skipped", or "invalid".
        by: the test that failed; for what is invalid, what happened.
    """

    verdict: str
    by: str = ""


def outcome_of(folder: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> Outcome:
    """Run tests in a copy, until one of them fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=short"]
    command += ["-p", "no:cacheprovider", *HYPOTHESIS, *tests]
    with subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder / "src")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,  # what a test has started is to end with it
    ) as process:
        try:
            text, _ = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return Outcome("invalid", f"not over after {timeout} s")
    return _outcome(process.returncode, text)


# As pytest names a test that failed; and as faulthandler names one in which the
# process came to its end.
_FAILED = re.compile(r"^FAILED (tests/[\w/.]+::\w+)", re.MULTILINE)
_CRASHED = re.compile(r'File ".*?(tests/test_\w+\.py)", line \d+ in (test_\w+)')
_PASSED = re.compile(r"^\d+ passed", re.MULTILINE)


def _outcome(code: int, text: str) -> Outcome:
    failed = _FAILED.search(text)
    if code == 1 and failed is not None:
        return Outcome("killed", failed[1])
    crashed = _CRASHED.search(text)
    if code < 0 and crashed is not None:
        return Outcome("killed", f"{crashed[1]}::{crashed[2]}")
    if code == 0:
        return Outcome("survived" if _PASSED.search(text) else "skipped")
    return Outcome("invalid", f"pytest ended with {code}:\n{text[-1500:]}")


def tried(copy: Copy, mutant: Mutant) -> Outcome:
    """Make a mutant, and let the tests meet it: first its own, then all."""
    if mutant.needs and mutant.needs not in {*core.kernels(), *scan_kernels()}:
        return Outcome("skipped", f"this processor has no {mutant.needs}")
    try:
        with copy.planted(mutant):
            own = outcome_of(copy.folder, mutant.tests)
            if own.verdict != "survived":
                return own
            rest = [f"tests/test_{name}.py" for name in CORE_TESTS]
            return outcome_of(copy.folder, rest, TIMEOUT_OF_ALL)
    except (AnchorError, MutantError) as error:
        return Outcome("invalid", str(error))


def unchanged(copy: Copy, all_chosen: Sequence[Mutant]) -> Outcome:
    """Run all tests of these mutants on a copy without a fault."""
    tests = sorted({test for mutant in all_chosen for test in mutant.tests})
    with copy.planted(None):
        return outcome_of(copy.folder, tests, TIMEOUT_OF_ALL)


# ---- all of them -------------------------------------------------------------


def tell(mutant: Mutant, outcome: Outcome) -> None:
    """Print one line of the table, and below it what went wrong."""
    test = outcome.by.rpartition("::")[2] if outcome.verdict == "killed" else ""
    print(f"{outcome.verdict:<9} {mutant.where:<20} {mutant.what}", flush=True)
    if test:
        print(f"{'':31}{test}", flush=True)
    elif outcome.by:
        print("    " + outcome.by.replace("\n", "\n    "), flush=True)


def main(names: Sequence[str]) -> int:
    """Try the mutants that were asked for; return the exit status."""
    try:
        all_chosen = chosen(names)
    except MutantError as error:
        sys.exit(str(error))
    start = time.monotonic()
    num_jobs = int(os.environ.get("JOBS", "2"))
    counts = dict.fromkeys(("killed", "survived", "invalid", "skipped"), 0)
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(num_jobs) as pool,
    ):
        build = Build(Path(folder), pool)
        copies = queue.SimpleQueue[Copy]()
        for number in range(num_jobs):
            copies.put(Copy(Path(folder) / f"copy{number}", build))

        def in_a_copy(work: Callable[[Copy], Outcome]) -> Outcome:
            copy = copies.get()
            try:
                return work(copy)
            finally:
                copies.put(copy)

        control = pool.submit(in_a_copy, lambda copy: unchanged(copy, all_chosen))
        outcomes = pool.map(
            lambda mutant: in_a_copy(lambda copy: tried(copy, mutant)), all_chosen
        )
        for mutant, outcome in zip(all_chosen, outcomes, strict=True):
            tell(mutant, outcome)
            counts[outcome.verdict] += 1
        without = control.result()
    seconds = time.monotonic() - start
    print(f"{len(all_chosen)} mutants in {seconds:.0f} s: ", end="")
    print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    if without.verdict != "survived":
        print(f"WRONG: without a fault the tests are {without.verdict}: {without.by}")
        return 1
    print("Without a fault all of these tests pass.")
    return 1 if counts["survived"] or counts["invalid"] else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Mutants of the C core.")
    parser.add_argument(
        "files", nargs="*", help="of csrc, without .c, or functions; or all"
    )
    sys.exit(main(parser.parse_args().files))
