"""The start of a process: the shortest commands, compared with an idle Python.

Nearly all of their time is imports, so needless imports cost most. Python writes
bytecode for the modules in the first round, as an installer does. For two figures,
callgrind counts instructions, which no other work disturbs.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
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

__all__ = ["CASES", "CONTEXT", "SHOW", "START", "figures", "instructions"]

START = "start"
NOTHING = ("-c", "pass")
CLI = ("-m", "pinverify")
LIMIT = 60
ROOT = Path(__file__).resolve().parent.parent

CONTEXT = "instructions to import pin_context"
SHOW = "instructions of show"
BEFORE = "2905595"
"""The revision whose import of `pin_context` is to be halved."""

TWO_RULES = """
version = 1
hosts."api.example.com" = [
    "sha256/K5hbrfG6yCk/a5LowKzBE5vFpey7+Xpicdzw1PbGivY=",
    "sha256/Pqs/ulAmth0AfL9BG5DzyI/4nPCoCIy7/D6qyoZ91mM=",
]
hosts."**.example.org" = ["sha256/3AzmM9vMkT2vr6S4msRNjOaD/fw/YMi98hITufK1NLo="]
"""

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
        Path(path, "pins.toml").write_text(TWO_RULES, encoding="utf-8")
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


# ---- instructions ------------------------------------------------------------


def instructions() -> dict[str, float]:
    """Count two of the processes, and return their ratios to others.

    Without valgrind there are none; without the history of the source, that of the
    import is left out.
    """
    if shutil.which("valgrind") is None:
        return {}
    pinned = ("-c", "from pinverify import pin_context")
    with folder() as where:
        nothing = _counted(NOTHING, where)
        shown = _counted((*CLI, "show", "pins.toml"), where)
        found = {SHOW: shown / nothing}
        if _unpack_source_before(Path(where)):
            ssl = _counted(("-c", "import ssl"), where)
            before = _counted(pinned, where, PYTHONPATH=str(Path(where, "src")))
            found[CONTEXT] = (_counted(pinned, where) - ssl) / (before - ssl)
    return found


def _counted(arguments: tuple[str, ...], where: str, **variables: str) -> int:
    """Return the instructions of a process; one before it writes the bytecode."""
    fixed = {"PYTHONHASHSEED": "0", "PYTHONPYCACHEPREFIX": str(Path(where, "cache"))}
    env = environment() | fixed | variables
    run(arguments, where, env)
    count = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={os.devnull}"]
    done = subprocess.run(
        [*count, sys.executable, *arguments],
        capture_output=True,
        cwd=where,
        env=env,
        check=True,
        text=True,
        timeout=10 * LIMIT,
    )
    found = re.search(r"Collected : (\d+)", done.stderr)
    if found is None:
        msg = f"callgrind counted nothing: {done.stderr}"
        raise RuntimeError(msg)
    return int(found[1])


def _unpack_source_before(where: Path) -> bool:
    """Write the package as it was, with today's core; return False without history."""
    packed = where / "src.tar"
    command = ["git", "archive", f"--output={packed}", BEFORE, "src"]
    try:
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        return False
    shutil.unpack_archive(packed, where, filter="data")
    for core in (ROOT / "src" / "pinverify").glob("_core.*.so"):
        shutil.copy(core, where / "src" / "pinverify")
    return True


@pytest.mark.slow
def test_instructions_are_counted() -> None:
    """Both are within their gates, whatever else this machine does."""
    if shutil.which("valgrind") is None:
        pytest.skip("no valgrind")
    found = instructions()
    assert found[SHOW] <= 6
    assert found.get(CONTEXT, 0) <= 0.5


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
    for what, counted in instructions().items():
        print(f"{what}: {counted:.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
