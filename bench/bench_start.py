"""The start of a process: the shortest commands, beside Python that does nothing.

Nearly all of their time is imports, so it grows with what they import without need.
Python writes bytecode for the modules in the first round, as an installer does.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import certificates
import measure

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CASES", "START", "figures"]

START = "start"
NOTHING = ("-c", "pass")
CLI = ("-m", "pinverify")
LIMIT = 60


CASES = {
    "--version": (*CLI, "--version"),
    "pin FILE": (*CLI, "pin", "leaf.der"),
    "import": ("-c", "import pinverify"),
}
"""The arguments of Python for each case."""


def environment() -> dict[str, str]:
    """Return the environment without what keeps Python from caching bytecode."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


@contextlib.contextmanager
def folder() -> Iterator[str]:
    """Make the folder that the processes run in."""
    with tempfile.TemporaryDirectory() as path:
        leaf = certificates.same_type("P-256")[0]
        Path(path, "leaf.der").write_bytes(leaf)
        yield path


def run(arguments: tuple[str, ...], where: str, variables: dict[str, str]) -> str:
    """Run Python, and return what it prints."""
    return subprocess.run(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        cwd=where,
        env=variables,
        check=True,
        text=True,
        timeout=LIMIT,
    ).stdout


def figures(rounds: int = measure.ROUNDS) -> list[measure.Figure]:
    """Compare each case with a process that does nothing."""
    with folder() as where:

        def task(arguments: tuple[str, ...]) -> measure.Task:
            who = f"python {' '.join(arguments)}"
            return measure.Task.call(who, run, arguments, where, environment())

        return [
            measure.compare(
                START,
                case,
                task(arguments),
                task(NOTHING),
                unit="process",
                rounds=rounds,
                wall_clock=True,
            )
            for case, arguments in CASES.items()
        ]


@pytest.mark.parametrize("case", CASES)
def test_start(benchmark: Any, case: str) -> None:  # noqa: ANN401
    """A whole process, from its start to its end."""
    benchmark.group = START
    with folder() as where:
        said = benchmark(run, CASES[case], where, environment())
    assert bool(said) is (case != "import")


def test_python_that_does_nothing(benchmark: Any) -> None:  # noqa: ANN401
    """No program in Python can start faster than this."""
    benchmark.group = START
    with folder() as where:
        assert benchmark(run, NOTHING, where, environment()) == ""


def test_the_figures_are_ratios() -> None:
    """One round of each comparison, for `make bench`."""
    found = figures(rounds=1)
    assert len(found) == len(CASES)
    assert all(figure.ratio.median > 0 for figure in found)


def main() -> None:
    """Print the table: wall time, and its ratio to Python that does nothing."""
    print("| process | least time | `python -c pass` | ours by that | quartiles |")  # noqa: T201
    print("|---|---|---|---|---|")  # noqa: T201
    for one in figures():
        ratio = one.ratio.inverse()
        spread = f"{ratio.low:.2f} to {ratio.high:.2f}"
        least = f"{one.ours_ns / 1e6:.1f} ms | {one.theirs_ns / 1e6:.1f} ms"
        print(f"| {one.case} | {least} | {ratio.median:.2f} | {spread} |")  # noqa: T201


if __name__ == "__main__":
    main()
