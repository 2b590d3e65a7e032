"""Remove one remedy at a time, and check that its tests fail.

    make remedies                    all of them
    make remedies REMEDIES='5 13'    those of pitfalls 5 and 13
    make remedies PART=2/3           every third, from the second on
    make remedies FIX=1              update the list after names have changed

remedies.toml lists the pitfalls, the remedy for each, the source of the remedy, and the
tests that must fail without it. A test that passes all the same shows nothing, and is
an error. So is a remedy whose source has changed: its entry must be updated. See
anchors.py in tests/anchoring for how an entry names the source, and follow_renames.py
for how it is updated.

The source is never touched: remedies are taken out of a copy.
"""
# ruff: noqa: T201 - a program that prints what it found

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anchors
from anchors import AnchorError, Change
from parts import in_part, passed
from remedies import witness

__all__ = ["Remedy", "Row", "cases", "changed", "remedies", "table", "tried"]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PACKAGE = ROOT / "src" / "pinverify"
LIST = HERE / "remedies.toml"

TIMEOUT = 300  # seconds for the tests of one remedy; they take two or three, if alone
TIMEOUT_OF_ALL = 900  # for all tests together, without a change


# ---- the list ----------------------------------------------------------------


@dataclass(frozen=True)
class Remedy:
    """A remedy of a pitfall, and the tests that fail without it.

    Attributes:
        pitfall: its number.
        what: the remedy, in words.
        tests: names of tests; see `witness.is_meant`.
        changes: they take the remedy away, and the tests must fail then.
        page: without changes: the page that says what happens. The tests show it.
        says: words that stand there.
    """

    pitfall: int
    what: str
    tests: tuple[str, ...]
    changes: tuple[Change, ...] = ()
    page: str = ""
    says: str = ""


def _list() -> dict[str, Any]:
    return tomllib.loads(LIST.read_text(encoding="utf-8"))


def cases() -> dict[int, str]:
    """Return what each pitfall is, by its number."""
    return {int(number): case for number, case in _list()["cases"].items()}


def remedies() -> list[Remedy]:
    """Return all remedies, in the order of the list."""
    return [
        Remedy(
            pitfall=entry.pop("pitfall"),
            what=entry.pop("what"),
            tests=tuple(entry.pop("tests")),
            changes=tuple(Change.of(change) for change in entry.pop("change", ())),
            **entry,
        )
        for entry in _list()["remedy"]
    ]


# ---- one run -----------------------------------------------------------------


def changed(changes: Sequence[Change]) -> dict[str, str]:
    """Return the files of the package that *changes* are in, with these made.

    Raises:
        AnchorError: a change does not fit any more.
        SyntaxError: what comes of one is no Python.
    """
    sources = anchors.read(PACKAGE)
    files = {}
    for change in changes:
        file, text = anchors.made(change, sources)
        ast.parse(text, file)
        sources[file] = files[file] = text
    return files


def copied(folder: Path, changes: Sequence[Change] = ()) -> Path:
    """Copy the package into *folder*, with changes; return *folder*.

    Raises:
        AnchorError: as `changed` does.
        SyntaxError: as `changed` does.
    """
    sources = changed(changes)
    ignore = shutil.ignore_patterns("__pycache__")
    package = shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=ignore)
    for file, source in sources.items():
        (package / file).write_text(source, encoding="utf-8")
    return folder


def outcomes(
    folder: Path, tests: Sequence[str], timeout: float = TIMEOUT
) -> dict[str, str]:
    """Run tests on the package in *folder*; return how each one ended.

    witness.py has the words for that.
    """
    names = folder / "tests.json"
    names.write_text(json.dumps(tests), encoding="utf-8")
    plugins = ["-p", "remedies.witness", "-p", "no:cacheprovider", "-m", "not slow"]
    functions = sorted({test.partition("[")[0] for test in tests})
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *plugins, "--quiet", "--tb=short", *functions],
        cwd=ROOT,
        env={
            **os.environ,
            "PINVERIFY_FULL": "1",
            witness.FOLDER: str(folder),
            "PYTHONPATH": os.pathsep.join([str(folder), str(HERE.parent)]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        text, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # so that tests end what they have begun
        process.communicate()
        return dict.fromkeys(tests, f"not over after {timeout} s")
    written = folder / "outcomes.json"
    if not written.exists():
        return dict.fromkeys(tests, f"pytest did not run: {text}")
    ended: dict[str, str] = json.loads(written.read_text(encoding="utf-8"))
    for test in tests:
        if not _of(test, ended):
            ended[test] = "no such test"
    return ended


def _of(test: str, ended: dict[str, str]) -> dict[str, str]:
    """Return how *test* ended, with each of its parameters."""
    return {
        name: outcome
        for name, outcome in ended.items()
        if name == test or witness.is_meant(test, name)
    }


@dataclass(frozen=True)
class Row:
    """The result of one test when one remedy was taken away."""

    remedy: Remedy
    test: str
    result: str
    good: bool


def tried(remedy: Remedy) -> list[Row]:
    """Take a remedy away, and return a row for each of its tests."""
    wanted = "killed" if remedy.changes else "passed"
    with tempfile.TemporaryDirectory(prefix="pinverify-") as name:
        try:
            folder = copied(Path(name), remedy.changes)
        except (AnchorError, SyntaxError) as error:
            return [Row(remedy, "-", str(error), good=False)]
        ended = outcomes(folder, remedy.tests)
    rows = []
    for test in remedy.tests:
        counts = Counter(_of(test, ended).values())
        good = set(counts) == {wanted}
        result = f"{counts[wanted]} {wanted}" if good else _in_words(counts)
        rows.append(Row(remedy, test, result, good=good))
    return rows


def _in_words(counts: Counter[str]) -> str:
    return "; ".join(f"{number} {outcome}" for outcome, number in counts.most_common())


# ---- all of them -------------------------------------------------------------


def faults_unchanged(chosen: Sequence[Remedy]) -> list[str]:
    """Run all tests on an unchanged copy; return those that do not pass."""
    tests = sorted({test for remedy in chosen for test in remedy.tests})
    with tempfile.TemporaryDirectory(prefix="pinverify-") as name:
        ended = outcomes(copied(Path(name)), tests, TIMEOUT_OF_ALL)
    return [f"{test}: {how}" for test, how in ended.items() if how != "passed"]


def faults_of_pages(chosen: Sequence[Remedy]) -> list[str]:
    """Return the pages that do not say what they should."""
    return [
        f"{remedy.page} does not say {remedy.says!r}"
        for remedy in chosen
        if remedy.page and remedy.says not in _words(ROOT / remedy.page)
    ]


def _words(path: Path) -> str:
    return " ".join(path.read_text(encoding="utf-8").split())


_WIDTHS = (3, 34, 44, 58, 12)


def table(rows: Sequence[Row], names: dict[int, str]) -> Iterator[str]:
    """Yield the lines of the table. What stands above is not said again."""
    yield _line("no.", "case", "remedy removed", "test", "result")
    yield _line(*("-" * width for width in _WIDTHS))
    number, above = 0, None
    for row in rows:
        remedy = row.remedy
        case = names[remedy.pitfall] if remedy.pitfall != number else ""
        what = remedy.what if remedy is not above else ""
        if remedy is not above and not remedy.changes:
            what = f"(documented) {what}"
        name = row.test.partition("::")[2] or row.test
        result = row.result if row.good else "WRONG"
        yield _line(str(remedy.pitfall) if case else "", case, what, name, result)
        number, above = remedy.pitfall, remedy


def _line(*cells: str) -> str:
    """Lay out one row, on as many lines as its longest cell needs."""
    columns = [
        textwrap.wrap(cell, width) or [""]
        for cell, width in zip(cells, _WIDTHS, strict=True)
    ]
    height = max(map(len, columns))
    padded = [column + [""] * (height - len(column)) for column in columns]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, _WIDTHS, strict=True)).rstrip()
        for line in zip(*padded, strict=True)
    )


def main() -> int:
    """Try the remedies that were asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", type=int, help="of pitfalls; or all")
    numbers = parser.parse_args().numbers
    names = cases()
    chosen = [r for r in remedies() if not numbers or r.pitfall in numbers]
    if missing := set(numbers or names) - {remedy.pitfall for remedy in chosen}:
        sys.exit(f"no remedy is listed for pitfall {sorted(missing)}")
    numbered = [row for row in enumerate(chosen) if in_part(row[0])]
    chosen = [remedy for _, remedy in numbered]
    if faults := [*faults_of_pages(chosen), *faults_unchanged(chosen)]:
        print("These must be in order before anything is removed:", *faults, sep="\n")
        return 1
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = []
        for (number, _), tests in zip(numbered, pool.map(tried, chosen), strict=True):
            rows += tests
            if all(row.good for row in tests):
                passed(number)
    print(*table(rows, names), sep="\n")
    wrong = [row for row in rows if not row.good]
    for row in wrong:
        print(f"\nWRONG: {row.remedy.pitfall}, {row.remedy.what}\n  {row.test}")
        print(textwrap.indent(row.result, "  "))
    num_pitfalls = len({remedy.pitfall for remedy in chosen})
    print(
        f"\nPython {sys.version.split()[0]}: {len(chosen)} remedies of "
        f"{num_pitfalls} pitfalls, {len(wrong)} rows wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
