"""Run what judges a release, and only what is stale.

    make release-check                   every step of steps.toml that is stale
    make release-check STEP="prove ct"   these steps
    make release-check LIST=1            say what is stale, and run nothing
    make release-check FRESH=1           believe nothing that passed before

A step that passed is kept by one hash: of the files that it depends on (depends.py), of
its command and of its tools' versions. So a second run repeats only what is stale, and
after an interruption the run goes on where it was. Proofs, mutants and remedies are
kept row by row.

What passed is kept in the user's cache, and docs/evidence.md has a row for each step
that passed as a whole: a step whose row has the present hash is fresh on any machine.
"""
# ruff: noqa: T201 - a program that prints what it found

from __future__ import annotations

import argparse
import datetime as dt
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from release_check import depends
from release_check.depends import ROOT

__all__ = ["Kept", "Page", "Step", "main", "steps"]

HERE = Path(__file__).resolve().parent
PAGE = ROOT / "docs" / "evidence.md"
LOGS = ROOT / "build" / "release-check"

EVERY = 60  # seconds between two lines about a step that runs

HEAD = """\
# Evidence

`make release-check` writes this page.
Each row is a step that passed as a whole, on that day, version and commit.
The hash is of all that the step depends on.
`make release-check LIST=1` says which rows are no longer of the present source.

| step | shows | passed on | version | hash | counts |
|---|---|---|---|---|---|
"""


# ---- what passed -----------------------------------------------------------------


class Kept:
    """Hashes of what passed on this machine: one small file for each."""

    def __init__(self, folder: Path | None = None) -> None:
        """Keep it in *folder*, or in the user's cache."""
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.folder = folder or Path(cache) / "pinverify" / "release-check"
        self.folder.mkdir(parents=True, exist_ok=True)

    def __contains__(self, key: str) -> bool:
        """Say whether what has this hash passed."""
        return (self.folder / key).exists()

    def last(self, keys: Iterable[str]) -> tuple[str, dt.datetime]:
        """Return what was noted about the last of these that passed, and when."""
        path = max((self.folder / key for key in keys), key=lambda p: p.stat().st_mtime)
        when = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
        return path.read_text(encoding="utf-8").strip(), when

    def add(self, key: str, what: str) -> None:
        """Note that it passed: whole or not at all, as the run may be interrupted."""
        new = self.folder / f"{key}.new.{os.getpid()}"
        new.write_text(what, encoding="utf-8")
        new.replace(self.folder / key)


@dataclass
class Page:
    """The rows of docs/evidence.md, by their steps."""

    path: Path = PAGE

    def rows(self) -> dict[str, list[str]]:
        """Return the cells of each row."""
        if not self.path.exists():
            return {}
        lines = self.path.read_text(encoding="utf-8").splitlines()
        cells = [
            [cell.strip() for cell in line.strip("|").split("|")]
            for line in lines
            if line.startswith("| `")
        ]
        return {row[0].strip("`"): row for row in cells}

    def hash_of(self, name: str) -> str:
        """Return the hash that a step had when it passed, or nothing."""
        row = self.rows().get(name)
        return row[4].strip("`") if row else ""

    def put(self, step: Step, counts: str, when: dt.datetime) -> None:
        """Write the row of a step, and leave the others as they are."""
        rows = self.rows()
        today = when.date().isoformat()
        counts = counts.replace("|", "/")
        cells = [f"`{step.name}`", step.shows, today, _version(), f"`{step.key}`"]
        rows[step.name] = [*cells, counts]
        order = [one.name for one in steps()]
        known = [rows[name] for name in order if name in rows]
        text = HEAD + "".join(f"| {' | '.join(cells)} |\n" for cells in known)
        new = self.path.with_suffix(".new")
        new.write_text(text, encoding="utf-8")
        new.replace(self.path)


def _version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    command = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    return f"{project['project']['version']}, {commit}"


# ---- steps -----------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """A step of steps.toml, which says what the columns mean."""

    name: str
    shows: str
    command: str
    files: tuple[str, ...] = ("*",)
    tools: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    rows: str = ""
    counts: str = ""

    @cached_property
    def versions(self) -> dict[str, str]:
        """The versions of its tools; nothing for one that is not there."""
        return {tool: _version_of(tool) for tool in self.tools}

    @cached_property
    def own(self) -> tuple[str, ...]:
        """The texts that count for each of its rows, besides files."""
        tools = (f"{tool}: {text}" for tool, text in self.versions.items())
        return (self.name, self.command, *tools)

    @cached_property
    def keys(self) -> list[str]:
        """The hashes of its rows, or the one of the whole step."""
        always = depends.matching("Makefile", "pyproject.toml")
        if not self.rows:
            return [depends.digest(depends.matching(*self.files) | always, *self.own)]
        from release_check.tables import TABLES  # noqa: PLC0415 - takes a second

        return [
            depends.digest(row.files | always, row.text, *self.own)
            for row in TABLES[self.rows]()
        ]

    @property
    def key(self) -> str:
        """The hash of the whole step, as docs/evidence.md has it."""
        return depends.digest([], *self.keys)[:16]


def _version_of(tool: str) -> str:
    path = shutil.which(tool)
    if tool.startswith("~"):  # of a folder that pyenv names after the whole version
        found = sorted(Path.home().glob(tool.removeprefix("~/")))
        path = str(found[-1]) if found else None
    if path is None:
        return ""
    option = {"openssl": "version", "nginx": "-v"}.get(tool, "--version")
    done = subprocess.run(
        [path, option],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    text = done.stdout.decode(errors="replace")
    return next((line.strip() for line in text.splitlines() if line.strip()), "there")


def steps() -> list[Step]:
    """Return all steps, in the order of the table."""
    table = (HERE / "steps.toml").read_text(encoding="utf-8")
    rows: list[dict[str, Any]] = tomllib.loads(table)["step"]
    found = []
    for row in rows:
        values: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in row.items()
        }
        found.append(Step(**values))
    return found


def stale(step: Step, kept: Kept, page: Page, *, fresh: bool) -> list[int]:
    """Return the numbers of its rows that did not pass as they are; of a step, 0."""
    if fresh:
        return [*range(len(step.keys))]
    if page.hash_of(step.name) == step.key:
        return []
    return [number for number, key in enumerate(step.keys) if key not in kept]


# ---- running ---------------------------------------------------------------------


@dataclass
class Running:
    """A step that runs: its rows are kept as soon as they have passed."""

    step: Step
    numbers: Sequence[int]
    kept: Kept
    folder: Path
    seen: int = 0
    moved: tuple[str, ...] = ()  # files that changed meanwhile
    start: float = field(default_factory=time.monotonic)
    said: float = field(default_factory=time.monotonic)

    def variables(self) -> dict[str, str]:
        """Tell the command which rows are wanted, and where to note what passed."""
        rows, passed = self.folder / "rows", self.folder / "passed"
        rows.write_text(" ".join(map(str, self.numbers)), encoding="ascii")
        passed.touch()
        return {"ROWS": str(rows), "PASSED": str(passed)} if self.step.rows else {}

    def keep(self) -> None:
        """Keep what passed since the last look, unless a file has changed."""
        noted = (self.folder / "passed").read_text(encoding="ascii")
        whole = noted.rpartition("\n")[0]  # the last line may be half written
        new = whole.splitlines()[self.seen :]
        if new:
            self.moved = self.moved or depends.changed()
        if not self.moved:
            for number in new:
                self.kept.add(self.step.keys[int(number)], "")
            self.seen += len(new)

    def look(self) -> None:
        """Keep what passed, and say now and then how far it is."""
        self.keep()
        if time.monotonic() - self.said >= EVERY:
            self.said = time.monotonic()
            of = f"{self.seen} of {len(self.numbers)} rows, " if self.step.rows else ""
            print(f"        {self.step.name}: {of}{self.seconds:.0f} s", flush=True)

    @property
    def seconds(self) -> float:
        """For how long it has run."""
        return time.monotonic() - self.start


def run(step: Step, numbers: Sequence[int], kept: Kept, page: Page) -> bool:
    """Run a step, or its stale rows; keep what passes, and say how it ended."""
    if missing := [tool for tool, version in step.versions.items() if not version]:
        print(f"FAILED  {step.name}: there is no {', '.join(missing)}", end="")
        packages = " ".join(step.packages)
        print(f" (Debian and Ubuntu: apt install {packages})" if packages else "")
        return False
    LOGS.mkdir(parents=True, exist_ok=True)
    log = LOGS / f"{step.name}.log"
    with tempfile.TemporaryDirectory(prefix="release-check-") as name:
        running = Running(step, numbers, kept, Path(name))
        variables = running.variables()
        try:
            status = _execute(step.command, variables, log, running.look)
        finally:
            running.keep()
    if moved := running.moved or depends.changed():
        print(f"FAILED  {step.name}: changed while it ran: {', '.join(moved)}")
        print("        Start again: what passed before that is kept.", flush=True)
        return False
    text = log.read_text(encoding="utf-8", errors="replace")
    if status != 0:
        print(f"FAILED  {step.name}: {running.seconds:.0f} s; the whole log is {log}")
        print("        " + "\n        ".join(text.splitlines()[-25:]), flush=True)
        return False
    counts = _counts(step, text)
    if step.rows:
        counts = f"{len(step.keys)} rows" + (f"; last run: {counts}" if counts else "")
    else:
        kept.add(step.keys[0], f"{counts}\n")
    # A row may have been left out, as this processor cannot run it.
    left = [number for number in numbers if step.keys[number] not in kept]
    if not left:
        page.put(step, counts, dt.datetime.now(dt.UTC))
    also = f"; {len(left)} rows cannot run here" if left else ""
    print(f"passed  {step.name}: {running.seconds:.0f} s, {counts}{also}", flush=True)
    return True


def recall(step: Step, kept: Kept, page: Page) -> None:
    """Write the row of a step that is fresh, if the page has not its present hash.

    It may have passed in several runs, of some rows each, or before a change that has
    been taken back.
    """
    if page.hash_of(step.name) != step.key:
        counts, when = kept.last(step.keys)
        page.put(step, f"{len(step.keys)} rows" if step.rows else counts, when)


def _execute(
    command: str, variables: dict[str, str], log: Path, look: Callable[[], None]
) -> int:
    """Run a command, calling *look* meanwhile, and return its status.

    It has a process group of its own, so that all it has started ends with this: also
    if a signal comes while it starts, as its handler only makes a note.
    """
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        with (
            log.open("wb") as out,
            subprocess.Popen(
                ["bash", "-c", command],
                cwd=ROOT,
                env=os.environ | variables,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            ) as process,
        ):
            try:
                while process.poll() is None and not came:
                    time.sleep(0.2)
                    look()
            finally:
                if process.returncode is None:
                    _end(process.pid)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        sys.exit(128 + came[0])
    return process.returncode


def _end(group: int) -> None:
    """End a process group: as Ctrl-C does, and after ten seconds by force."""
    os.killpg(group, signal.SIGINT)
    for _ in range(100):
        if os.waitid(os.P_PID, group, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.1)
    os.killpg(group, signal.SIGKILL)  # it is not waited for yet, so this is still it


def _counts(step: Step, text: str) -> str:
    fitting = re.findall(step.counts, text) if step.counts else []
    return str(fitting[-1]).strip(" =") if fitting else ""


def told(step: Step, numbers: Sequence[int]) -> str:
    """Return the line about a step that says whether it is stale."""
    if not numbers:
        return f"fresh   {step.name}"
    of = f": {len(numbers)} of {len(step.keys)} rows" if step.rows else ""
    return f"stale   {step.name}{of}"


def main(arguments: Sequence[str]) -> int:
    """Run what is stale, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of steps; or all")
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--page", action="store_true", help="believe the page alone")
    parser.add_argument("--fresh", action="store_true", help="believe nothing")
    wanted = parser.parse_args(arguments)
    known = {step.name: step for step in steps()}
    if unknown := [name for name in wanted.names if name not in known]:
        sys.exit(f"no step {', '.join(unknown)}; there are: {' '.join(known)}")
    chosen = [known[name] for name in wanted.names or known]
    page = Page()
    with tempfile.TemporaryDirectory(prefix="release-check-") as nothing:
        kept = Kept(Path(nothing) if wanted.page else None)
        failed = []
        for number, step in enumerate(chosen, 1):
            numbers = stale(step, kept, page, fresh=wanted.fresh)
            if wanted.list or not numbers:
                print(told(step, numbers), flush=True)
                if not wanted.list:
                    recall(step, kept, page)
                continue
            print(f"[{number}/{len(chosen)}] {step.name}: {step.shows}", flush=True)
            if not run(step, numbers, kept, page):
                failed.append(step.name)
    if failed:
        print(f"failed: {' '.join(failed)}")
    return 1 if failed else 0
