"""Run tests of other projects with every context pinned, and again without pins.

    make suites                   all suites
    make suites SUITES=cpython    some of them

Pins that accept every peer must break nothing. suites.toml names the suites, and the
tests that pins are meant to fail, each with the reason. child.py pins the contexts.

A test counts if it passes without pins on the same interpreter. If it does not pass
with them, it must be on the list; a test on the list that passes is an error, too.
Some tests fail now and then by themselves, more often on a busy machine, so a test that
fails is repeated both ways. The failure does not count if the test now fails without
pins, or passes with them.
"""
# ruff: noqa: T201 - a program that prints what it found

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

__all__ = ["Run", "Suite", "Verdict", "compared", "failures", "listed", "suites"]

HERE = Path(__file__).resolve().parent
LIST = HERE / "suites.toml"
SOURCES = Path(sys.prefix) / "suites"  # source distributions, beside the packages

TIMEOUT = 1800  # seconds for one suite; alone it takes one or two minutes
REPEATS = 10  # of a test both ways, to see whether pins make it fail


# ---- the list ----------------------------------------------------------------


@dataclass(frozen=True)
class Suite:
    """Tests of another project.

    Attributes:
        name: of the project; for pytest, of its package.
        kind: "unittest" or "pytest".
        arguments: modules, or the arguments of pytest.
    """

    name: str
    kind: str
    arguments: tuple[str, ...]


def _list() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def suites() -> list[Suite]:
    """Return all suites, in the order of the list."""
    found = _list()["suite"]
    return [Suite(one["name"], one["kind"], tuple(one["arguments"])) for one in found]


def failures() -> list[dict[str, Any]]:
    """Return the failures that are meant, each with its suite, reason and tests."""
    found: list[dict[str, Any]] = _list()["failure"]
    return found


def listed(suite: str, *, new: bool = False) -> dict[str, str]:
    """Return the failures of a suite that are meant: the reasons, by the tests.

    With *new* only those of tests that older releases of the project do not have.
    """
    return {
        test: one["reason"]
        for one in failures()
        if one["suite"] == suite and (one.get("new", False) or not new)
        for test in one["tests"]
    }


def left_out(suite: str) -> list[str]:
    """Return the tests of a suite that are not run."""
    return [
        test
        for one in _list().get("left_out", ())
        if one["suite"] == suite
        for test in one["tests"]
    ]


# ---- one run -----------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """The result of one run.

    Attributes:
        outcomes: "passed", "skipped" or "failed", by the names of tests.
        contexts: how many contexts were pinned.
        judged: how many peers were judged.
        text: what was printed.
    """

    outcomes: dict[str, str]
    contexts: int
    judged: int
    text: str


def ran(
    suite: Suite, pins: str, tests: Iterable[str] = (), without: Iterable[str] = ()
) -> Run:
    """Run a suite, or only some of its tests, "plain" or "pinned".

    With pytest, those of *without* are left out.
    """
    arguments = tuple(tests) or suite.arguments
    if suite.kind == "pytest":
        arguments += tuple(f"--without={test}" for test in without)
    with tempfile.TemporaryDirectory(prefix="pinverify-") as folder:
        out = Path(folder) / "outcomes.json"
        where = source(suite.name) if suite.kind == "pytest" else Path(folder)
        command = [sys.executable, str(HERE / "child.py"), str(out), pins, suite.kind]
        try:
            done = subprocess.run(
                [*command, *arguments],
                cwd=where,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="replace",
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            sys.exit(f"{suite.name}, {pins}: not over after {TIMEOUT} s")
        if not out.exists():
            sys.exit(f"{suite.name}, {pins}: it did not run:\n{done.stdout[-3000:]}")
        found = json.loads(out.read_text(encoding="utf-8"))
    counts = found["counts"]
    return Run(
        found["outcomes"],
        counts.get("contexts", 0),
        counts.get("judged", 0),
        done.stdout,
    )


def _environment(folder: str) -> dict[str, str]:
    """Return an environment without proxies, and with a folder for temporary files."""
    kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    return kept | {"TMPDIR": folder, "PYTHONDONTWRITEBYTECODE": "1"}


def source(package: str) -> Path:
    """Return the source distribution of an installed package; fetch it once."""
    name = f"{package}-{importlib.metadata.version(package)}"
    if not (SOURCES / name).exists():
        SOURCES.mkdir(exist_ok=True)
        pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
        what = ["--no-deps", "--no-binary=:all:", name.replace("-", "==")]
        with tempfile.TemporaryDirectory(dir=SOURCES) as folder:
            subprocess.run([*pip, "download", "--dest", folder, *what], check=True)
            (archive,) = Path(folder).glob("*.tar.gz")
            with tarfile.open(archive) as opened:
                opened.extractall(folder, filter="data")
            # This package has no compiled modules: the installed one is meant.
            shutil.rmtree(Path(folder) / name / package, ignore_errors=True)
            (Path(folder) / name).rename(SOURCES / name)
    return SOURCES / name


# ---- the verdict -------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """The comparison of two runs.

    Attributes:
        passed: how many tests pass both ways.
        ailing: the tests that fail without pins, too.
        skipped: the tests that are skipped without pins.
        meant: the tests that fail as the list says.
        new: the tests that pass without pins only, and are not on the list.
        gone: the tests on the list that pass with pins, or that do not exist.
    """

    passed: int
    ailing: frozenset[str]
    skipped: frozenset[str]
    meant: frozenset[str]
    new: frozenset[str]
    gone: frozenset[str]


def compared(
    plain: dict[str, str],
    pinned: dict[str, str],
    expected: Iterable[str],
    new_ones: Iterable[str] = (),
) -> Verdict:
    """Compare the outcomes without pins and with them.

    Args:
        plain: those without pins, by the tests.
        pinned: those with them.
        expected: the tests that are meant to fail with them.
        new_ones: those of them that older releases do not have.
    """
    works, ailing, skipped = (
        frozenset(test for test, outcome in plain.items() if outcome == wanted)
        for wanted in ("passed", "failed", "skipped")
    )
    worked = {test for test, outcome in pinned.items() if outcome == "passed"}
    expected = frozenset(expected)
    broken = works - worked  # failed, skipped, or not run at all
    return Verdict(
        passed=len(works & worked),
        ailing=ailing,
        skipped=skipped,
        meant=frozenset(broken & expected),
        new=frozenset(broken - expected),
        gone=frozenset(expected & worked | expected - set(plain) - set(new_ones)),
    )


def unsteady(suite: Suite, tests: frozenset[str]) -> set[str]:
    """Return those of *tests* that fail without pins, too, or with them only once."""
    failed: dict[str, set[str]] = {"plain": set(), "pinned": set()}
    for _ in range(REPEATS):
        for how, found in failed.items():
            if left := sorted(tests - failed["plain"] - found):
                again = ran(suite, how, left).outcomes
                worked = {test for test in left if again.get(test) == "passed"}
                found.update({*left} - worked)
    return failed["plain"] | {*tests} - failed["pinned"]


def tried(suite: Suite) -> bool:
    """Run a suite both ways, print what came of it, and return True if all is well."""
    start = time.monotonic()
    version = ".".join(map(str, sys.version_info[:2]))
    if suite.kind == "pytest":
        source(suite.name)
    elif absent := [name for name in suite.arguments if find_spec(name) is None]:
        sys.exit(
            f"this Python has no {absent[0]}: install its own tests (Debian and "
            f"Ubuntu: apt install libpython{version}-testsuite)"
        )
    # A test that fails can leave sockets open, which then count against a later one.
    # So what fails without pins is left out with them.
    without = left_out(suite.name)
    plain = ran(suite, "plain", without=without)
    ailing = sorted(test for test, how in plain.outcomes.items() if how == "failed")
    pinned = ran(suite, "pinned", without=without + ailing)
    reasons = listed(suite.name)
    new_ones = listed(suite.name, new=True)
    verdict = compared(plain.outcomes, pinned.outcomes, reasons, new_ones)
    shaky = unsteady(suite, verdict.new)
    new = verdict.new - shaky
    for test in sorted(shaky):
        print(f"unsteady: {test}")
    print(
        f"{suite.name}: {len(plain.outcomes)} tests, {verdict.passed} pass both ways, "
        f"{len(verdict.skipped)} are skipped, {len(verdict.ailing)} fail without pins, "
        f"{len(verdict.meant)} fail as listed, {len(shaky)} are unsteady; "
        f"{pinned.contexts} contexts pinned, {pinned.judged} peers judged; "
        f"{time.monotonic() - start:.0f} s"
    )
    for test in sorted(new):
        print(f"WRONG: {test}: fails with pins only, and is not in {LIST.name}")
    for test in sorted(verdict.gone):
        print(f"WRONG: {test}: is in {LIST.name}, and passes with pins or is not there")
    if not (verdict.passed and pinned.judged):
        print(f"WRONG: {suite.name}: no test passes, or no peer was judged")
    if new:
        print(pinned.text[-20000:])
    return not (new or verdict.gone) and bool(verdict.passed and pinned.judged)


def main() -> int:
    """Try the suites that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of suites; or all")
    names = parser.parse_args().names
    chosen = [suite for suite in suites() if not names or suite.name in names]
    if missing := set(names) - {suite.name for suite in chosen}:
        sys.exit(f"no suite has the name {sorted(missing)}")
    good = [tried(suite) for suite in chosen]
    print(f"Python {sys.version.split()[0]}: {good.count(False)} suites wrong")
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
