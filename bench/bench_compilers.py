"""The cost of a SHA-256 block, as compiled by different compilers.

The same source can be fast with one compiler and slow with the next. Here each
compiler of this machine builds the core, and the programs take turns. The figure of a
function is its least number of cycles for one block, and the spread is how much more
the worst compiler takes than the best.

The position of a long loop in the program can cost a tenth, for which the compiler is
not to blame. So each program is built several times, with its code moved.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from bench_counts import FOLDER, compiler_name

__all__ = ["COMPILERS", "MOST_SPREAD", "Cycles", "cycles", "spread"]

COMPILERS = ("gcc", "gcc-12", "gcc-14", "clang-19")
MOST_SPREAD = 0.10
MOVED_BY = (16, 1040, 2064, 3088)  # bytes: over a page, and past its beginning

Cycles = dict[str, dict[str, float]]
"""Cycles for one block, by function and compiler."""


def _programs() -> dict[str, list[Path]]:
    """Build with each compiler, and return the programs by the compilers' names."""
    found = {}
    for compiler in filter(shutil.which, COMPILERS):
        folder = Path("build", compiler)
        targets = [folder / f"sha256_blocks_{moved}" for moved in MOVED_BY]
        command = ["make", "-s", "-C", str(FOLDER / "c"), f"CC={compiler}"]
        subprocess.run([*command, *map(str, targets)], check=True)
        found[compiler_name(compiler)] = [FOLDER / "c" / target for target in targets]
    return found


def cycles(rounds: int = 3) -> Cycles:
    """Return the least cycles of each function; nanoseconds where none are counted."""
    found: Cycles = {}
    programs = _programs()
    for turn in range(rounds * len(MOVED_BY)):
        for compiler, moved in programs.items():
            program = moved[turn % len(moved)]
            done = subprocess.run([program], capture_output=True, text=True, check=True)
            for line in map(json.loads, done.stdout.splitlines()):
                of_function = found.setdefault(line["function"], {})
                cost = line["cycles"] or line["ns"]
                of_function[compiler] = min(cost, of_function.get(compiler, cost))
    return found


def spread(of_function: dict[str, float]) -> float:
    """Return by how much the worst compiler is worse than the best: 0.1 is 10 %."""
    return max(of_function.values()) / min(of_function.values()) - 1


def test_the_spread_is_that_of_the_best_and_the_worst() -> None:
    """One compiler alone has none."""
    assert spread({"gcc 12": 100.0}) == 0
    assert spread({"gcc 12": 100.0, "gcc 14": 105.0, "clang 19": 120.0}) == (
        pytest.approx(0.2)
    )
