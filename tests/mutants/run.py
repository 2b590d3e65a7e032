"""Break the source in one small way at a time, and see that a test fails.

    make mutants                          # every mutant
    make mutants MUTANTS="host judge"     # those of these files or functions
    make mutants MUTANTS=python           # those of one list: core, openssl or python
    make mutants PART=2/3                 # every third, from the second on
    make mutants FIX=1                    # update the lists after names have changed

Three lists say what is broken, and which tests should notice: core.toml for the C core,
openssl.toml for the adapter of OpenSSL, whose tests are scenarios in C, and python.toml
for the Python layer that enforces pins. If these tests pass with a mutant, all tests of
its layer run; if none of them fails, a test is missing. A mutant shows nothing, and is
an error, if it does not compile, its module cannot be imported, it uses a name that
does not exist, or its tests are skipped. It is also an error if its place in the source
is gone: see anchors.py in tests/anchoring for how a row names its place, and
follow_renames.py for how it gets a new one.

The source is never touched: each mutant is planted and tested in a copy. Without a
mutant, all tests must pass there. ``JOBS`` (2) says how many copies are used at once.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import os
import queue
import shutil
import sys
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
from mutants.compiling import Build, MutantError
from mutants.scenarios import outcome_of_scenarios
from mutants.testing import TIMEOUT_OF_ALL, Outcome, outcome_of
from parts import in_part, passed
from pinverify import core
from pinverify.core._kernels import scan_kernels

__all__ = [
    "LAYERS",
    "Copy",
    "Layer",
    "Mutant",
    "chosen",
    "mutants",
    "tell",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

# What a copy has: the tests read each other, and pyproject.toml tells how they run.
COPIED = ("csrc", "docs", "src", "tests", "pyproject.toml")
MODULE = Path("src", "pinverify", "_core.abi3.so")


# ---- the lists ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Layer:
    """A part of the source.

    Attributes:
        name: what it is called.
        short: what `make mutants` calls it.
        folder: where it is.
        table: the list of its mutants.
        tests: all of its tests, for what a mutant's own tests let pass.
    """

    name: str
    short: str
    folder: str
    table: str
    tests: tuple[str, ...]

    @property
    def is_compiled(self) -> bool:
        """True if its mutants need a module of their own."""
        return self.folder == "csrc"


C_CORE = Layer(
    "the C core",
    "core",
    "csrc",
    "core.toml",
    (
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
        "policy_texts",
        "policy_model",
        "policy_c",
        "policy_arguments",
        "policy_map",
        "c_programs",
        "other_processors",
    ),
)
ADAPTER = Layer("the adapter of OpenSSL", "openssl", "csrc/openssl", "openssl.toml", ())
PYTHON = Layer(
    "the Python layer",
    "python",
    "src/pinverify",
    "python.toml",
    (
        "hosts",
        "pin",
        "policy_files",
        "rules_round_trip",
        "rules_values",
        "compiled_bytes",
        "compiled_fields",
        "compiled_files",
        "policy_patterns",
        "policy_pinset",
        "policy_clients",
        "policy_decision",
        "policy_report",
        "policy_arguments",
        "pinning_error",
        "rejection_text",
        "core_columns",
        "core_edges",
        "tls_evidence",
        "tls_adapters",
        "tls_memo",
        "tls_connection",
        "tls_policy",
        "tls_contexts",
        "tls_install",
        "tls_asyncio",
        "tls_connect",
        "tls_classes",
        "tls_verify_mode",
        "tls_bypass",
        "tls_chain",
        "tls_resumption",
        "tls_hosts",
        "tls_server_side",
        "tls_renegotiation",
        "tls_fail_closed",
        "pyopenssl_bypass",
        "pyopenssl_chain",
        "pyopenssl_connection",
        "pyopenssl_errors",
        "pyopenssl_fail_closed",
        "pyopenssl_policy",
        "pyopenssl_resumption",
        "pyopenssl_server_side",
        "pyopenssl_verify",
        "compat",
        "twisted",
    ),
)
LAYERS = (C_CORE, ADAPTER, PYTHON)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One small fault.

    Attributes:
        what: the fault, in words.
        layer: what it is a fault of.
        change: how it gets into the source.
        tests: they should fail: ``tests/test_x.py::test_y``; of the adapter of OpenSSL,
            scenarios.
        needs: a kernel without which the tests do not run these lines, or die of them.
    """

    what: str
    layer: Layer
    change: Change
    tests: tuple[str, ...]
    needs: str = ""

    @property
    def where(self) -> str:
        """The function that it is in, or the file."""
        return self.change.scope or self.change.file

    @property
    def can_run(self) -> bool:
        """True if this processor has the kernel that it needs."""
        return not self.needs or self.needs in {*core.kernels(), *scan_kernels()}

    @property
    def file(self) -> str:
        """The file of its layer that it is in; empty if its place is gone."""
        return _file_of(self.change, self.layer)


@functools.cache
def _file_of(change: Change, layer: Layer) -> str:
    try:
        return anchors.locate(change, sources(layer)).file
    except AnchorError:
        return ""


@functools.cache
def sources(layer: Layer) -> dict[str, str]:
    """Return the files of a layer."""
    return anchors.read(ROOT / layer.folder)


def mutants() -> list[Mutant]:
    """Return all mutants, in the order of the lists."""
    return [mutant for layer in LAYERS for mutant in _listed(layer)]


def _listed(layer: Layer) -> Iterator[Mutant]:
    table = (HERE / layer.table).read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(table)["mutant"]
    for row in rows:
        yield Mutant(
            what=row["what"],
            layer=layer,
            change=Change.of(row),
            tests=tuple(row["tests"]),
            needs=row.get("needs", ""),
        )


def chosen(names: Sequence[str]) -> list[Mutant]:
    """Return the mutants of the named lists, files or functions; without a name, all.

    The underscore before the name of a private file of Python may be left out.

    Raises:
        MutantError: no mutant is in a file or function of that name.
    """
    everything = mutants()
    if not names:
        return everything
    known = [
        {
            m.layer.short,
            Path(m.file).stem,
            _shown(m),
            Path(m.file).name,
            m.file,
            m.where,
        }
        for m in everything
    ]
    unknown = [name for name in names if not any(name in each for each in known)]
    if unknown:
        stems = sorted({_shown(mutant) for mutant in everything})
        msg = f"no mutant of {', '.join(unknown)}; there are: {' '.join(stems)}"
        raise MutantError(msg)
    pairs = zip(everything, known, strict=True)
    return [mutant for mutant, each in pairs if not each.isdisjoint(names)]


def _shown(mutant: Mutant) -> str:
    return Path(mutant.file).stem.lstrip("_")


# ---- copies of the tree ------------------------------------------------------


class Copy:
    """A copy of the tree, for one mutant after the other."""

    def __init__(self, folder: Path, build: Build | None) -> None:
        """Copy it into *folder*; mutants of the C core need a *build*."""
        self.folder = folder
        self._build = build
        self._module = folder / MODULE.name  # that of the mutants of Python
        leave = shutil.ignore_patterns("__pycache__", "*.so", "build", ".*")
        for name in COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name, ignore=leave)
            else:
                shutil.copy(ROOT / name, folder / name)
        shutil.copy(ROOT / MODULE, self._module)

    @contextlib.contextmanager
    def without_fault(self, layer: Layer) -> Iterator[None]:
        """Have the source as it is, and the module that *layer* is tested with."""
        if layer.is_compiled and self._build is not None:
            self._build.link(self.folder / MODULE)
        else:
            shutil.copy(self._module, self.folder / MODULE)
        yield

    @contextlib.contextmanager
    def planted(self, mutant: Mutant) -> Iterator[None]:
        """Have a fault in the copy for a while, in its source and in its module.

        Raises:
            AnchorError: its place is gone.
            MutantError: it is no program.
        """
        layer = mutant.layer
        file, text = anchors.made(mutant.change, sources(layer))
        path = self.folder / layer.folder / file
        self._write(path, text)
        try:
            if layer.is_compiled and self._build is not None:
                csrc = self.folder / layer.folder
                self._build.link(self.folder / MODULE, csrc, file)
                yield
            else:
                with self.without_fault(layer):
                    yield
        finally:
            self._write(path, sources(layer)[file])

    @staticmethod
    def _write(path: Path, text: str) -> None:
        path.write_text(text, encoding="utf-8")
        if path.suffix == ".py":  # its time and its size may be the same
            Path(importlib.util.cache_from_source(str(path))).unlink(missing_ok=True)


# ---- testing -----------------------------------------------------------------


def path_of(name: str) -> str:
    """Return the path of a test file, whose name is there once.

    Raises:
        ValueError: it is not there.
    """
    (path,) = (ROOT / "tests").rglob(f"test_{name}.py")
    return path.relative_to(ROOT).as_posix()


def tried(copy: Copy, mutant: Mutant) -> Outcome:
    """Make a mutant, and let the tests meet it: first its own, then all."""
    if not mutant.can_run:
        return Outcome("skipped", f"this processor has no {mutant.needs}")
    try:
        if mutant.layer is ADAPTER:
            changed = dict([anchors.made(mutant.change, sources(ADAPTER))])
            own = outcome_of_scenarios(changed, mutant.tests)
            return (
                outcome_of_scenarios(changed, ()) if own.verdict == "survived" else own
            )
        with copy.planted(mutant):
            own = outcome_of(copy.folder, mutant.tests)
            if own.verdict != "survived":
                return own
            rest = [path_of(name) for name in mutant.layer.tests]
            return outcome_of(copy.folder, rest, TIMEOUT_OF_ALL)
    except (AnchorError, MutantError) as error:
        return Outcome("invalid", str(error))


def unchanged(copy: Copy, layer: Layer, all_chosen: Sequence[Mutant]) -> Outcome:
    """Run all tests of these mutants of a layer on a copy without a fault."""
    of_layer = [m for m in all_chosen if m.layer is layer and m.can_run]
    tests = sorted({test for mutant in of_layer for test in mutant.tests})
    if layer is ADAPTER:
        return outcome_of_scenarios({}, tests)
    with copy.without_fault(layer):
        return outcome_of(copy.folder, tests, TIMEOUT_OF_ALL)


def _by_its_own(mutant: Mutant, outcome: Outcome) -> bool:
    """Say whether a test killed it that its row names, or another one of that file."""
    names = (test.partition("::")[0] for test in mutant.tests)
    return any(name in outcome.by for name in names)


# ---- all of them -------------------------------------------------------------


def tell(mutant: Mutant, outcome: Outcome) -> None:
    """Print one line of the table, and below it what went wrong."""
    verdict, why = outcome.verdict, ""
    if verdict == "skipped":
        # As pytest writes it, with the reason: CI looks for that.
        verdict, why = "SKIPPED", f": {outcome.by}"
    print(f"{verdict:<9} {mutant.where:<20} {mutant.what}{why}", flush=True)
    if verdict == "killed":
        test = outcome.by.rpartition("::")[2]
        print(f"{'':31}{test}  {outcome.error:.60}".rstrip(), flush=True)
    elif outcome.by and not why:
        print("    " + outcome.by.replace("\n", "\n    "), flush=True)


def main(names: Sequence[str]) -> int:
    """Try the mutants that were asked for; return the exit status."""
    try:
        rows = [row for row in enumerate(chosen(names)) if in_part(row[0])]
        all_chosen = [mutant for _, mutant in rows]
    except MutantError as error:
        sys.exit(str(error))
    start = time.monotonic()
    num_jobs = int(os.environ.get("JOBS", "2"))
    counts = dict.fromkeys(("killed", "survived", "invalid", "skipped"), 0)
    with (
        tempfile.TemporaryDirectory(prefix="mutants-") as folder,
        ThreadPoolExecutor(num_jobs) as pool,
    ):
        is_compiled = any(mutant.layer.is_compiled for mutant in all_chosen)
        build = Build(Path(folder), pool) if is_compiled else None
        copies = queue.SimpleQueue[Copy]()
        for number in range(num_jobs):
            copies.put(Copy(Path(folder) / f"copy{number}", build))

        def in_a_copy(work: Callable[[Copy], Outcome]) -> Outcome:
            copy = copies.get()
            try:
                return work(copy)
            finally:
                copies.put(copy)

        layers = [
            layer for layer in LAYERS if any(m.layer is layer for m in all_chosen)
        ]
        controls = pool.map(
            lambda layer: in_a_copy(lambda copy: unchanged(copy, layer, all_chosen)),
            layers,
        )
        outcomes = pool.map(
            lambda mutant: in_a_copy(lambda copy: tried(copy, mutant)), all_chosen
        )
        for (number, mutant), outcome in zip(rows, outcomes, strict=True):
            tell(mutant, outcome)
            counts[outcome.verdict] += 1
            if outcome.verdict == "killed" and _by_its_own(mutant, outcome):
                passed(number)
        without = dict(zip(layers, controls, strict=True))
    seconds = time.monotonic() - start
    print(f"{len(all_chosen)} mutants in {seconds:.0f} s: ", end="")
    print(", ".join(f"{number} {verdict}" for verdict, number in counts.items()))
    for layer, outcome in without.items():
        if outcome.verdict != "survived":
            print(
                f"WRONG: without a fault the tests of {layer.name} are "
                f"{outcome.verdict}: {outcome.by}"
            )
            return 1
    print("Without a fault all of these tests pass.")
    return 1 if counts["survived"] or counts["invalid"] else 0
