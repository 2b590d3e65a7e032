"""Instruction counts of the core, which have no noise.

callgrind counts the instructions for one certificate, for one peer whose host has a
rule or a wildcard, and for one block of SHA-256 and one pin in every kernel that
valgrind can run (it has no SHA-NI and no AVX-512). The counts depend only on the
compiler, so they are compared with stored ones. A change of more than two percent,
better or worse, fails until somebody has looked at it. The core as one file, which
`make amalgamation` writes, is counted as well: with the flags of its manual it may take
five percent more than the objects of the Python module.

    make counts              compares with bench/counts.json
    make counts UPDATE=1     stores what is counted now: a change to be reviewed
    make counts CC=gcc-14    ... with another compiler
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

import certificates

__all__ = ["FOLDER", "compare_counts", "compiler_name", "count_all"]

FOLDER = Path(__file__).resolve().parent
STORED = FOLDER / "counts.json"
TOLERANCE = 0.02
ONE_FILE_TOLERANCE = 0.05

Counts = dict[str, float]


def compiler_name(compiler: str) -> str:
    """Return the name of a compiler and its major version: "gcc 14"."""
    command = [compiler, "-dM", "-E", "-x", "c", os.devnull]
    macros = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for name, macro in (("clang", "__clang_major__"), ("gcc", "__GNUC__")):
        if found := re.search(rf"^#define {macro} (\d+)$", macros, re.MULTILINE):
            return f"{name} {found[1]}"
    msg = f"{compiler} is neither gcc nor clang: give CC=gcc or CC=clang"
    raise ValueError(msg)


def _built(compiler: str, program: str = "count") -> Path:
    target = Path("build", Path(compiler).name, program)
    command = ["make", "-s", "-C", str(FOLDER / "c"), f"CC={compiler}", str(target)]
    subprocess.run(command, check=True)
    return FOLDER / "c" / target


def _instructions(program: Path, name: str, times: int, certs: Path) -> int:
    command = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [str(program), name, str(times), str(certs)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None:
        msg = f"callgrind can't count {name}: {done.stderr}"
        raise RuntimeError(msg)
    return int(found[1])


def _times(name: str) -> tuple[int, int]:
    """Return how often a thing is done in the two runs that are compared."""
    if name.startswith("walk/"):
        num = len(certificates.by_name(name.removeprefix("walk/")))
        return num, 2 * num  # each certificate once more
    # A run by itself takes a dozen instructions more or less, by what is around it.
    return 100, 300


def count_all(compiler: str, certs: Path, built: str = "count") -> Counts:
    """Return how many instructions each thing takes.

    Args:
        compiler: the C compiler.
        certs: a folder for the certificates.
        built: the program that is counted.
    """
    program = _built(compiler, built)
    certificates.write(certs)
    listed = subprocess.run(
        ["valgrind", "-q", "--tool=none", str(program), "list"],
        capture_output=True,
        text=True,
        check=True,
    )
    counts = {}
    for line in listed.stdout.splitlines():
        name, units = line.split("\t")
        few, many = _times(name)
        at_few, at_many = (
            _instructions(program, name, times, certs) for times in (few, many)
        )
        counts[name] = round((at_many - at_few) / (many - few) / float(units), 2)
    return counts


@dataclass(frozen=True, slots=True)
class Deviation:
    """A count that is not what is stored."""

    name: str
    stored: float | None
    counted: float | None

    def __str__(self) -> str:
        """Return the deviation as one line."""
        if self.stored is None:
            return f"{self.name}: {self.counted} instructions, and none stored"
        if self.counted is None:
            return f"{self.name}: {self.stored} stored, and it is not there any more"
        change = 100 * (self.counted / self.stored - 1)
        return f"{self.name}: {self.counted}, stored {self.stored} ({change:+.1f} %)"


def compare_counts(stored: Counts, counted: Counts) -> list[Deviation]:
    """Return what deviates by more than `TOLERANCE`, is missing, or is new."""
    deviations = []
    for name in sorted(stored.keys() | counted.keys()):
        old, new = stored.get(name), counted.get(name)
        if old is None or new is None or abs(new - old) > TOLERANCE * old:
            deviations.append(Deviation(name, old, new))
    return deviations


def slower(counted: Counts, one_file: Counts) -> list[str]:
    """Return what takes more in the core as one file, by `ONE_FILE_TOLERANCE`."""
    return [
        f"{name} as one file: {one_file[name]} instructions, not {number}"
        for name, number in counted.items()
        if one_file[name] > number * (1 + ONE_FILE_TOLERANCE)
    ]


def _stored() -> dict[str, Counts]:
    if not STORED.exists():
        return {}
    found: dict[str, Counts] = json.loads(STORED.read_text(encoding="utf-8"))
    return found


def _store(compiler: str, counts: Counts) -> None:
    everything = _stored() | {compiler: counts}
    text = json.dumps(everything, indent=2, sort_keys=True) + "\n"
    STORED.write_text(text, encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Count, print, compare; or store."""
    parser = argparse.ArgumentParser(description="Counts of instructions.")
    parser.add_argument("--cc", default="gcc", help="the C compiler")
    parser.add_argument("--update", action="store_true", help="store the counts")
    options = parser.parse_args(arguments)
    if shutil.which("valgrind") is None:
        print("counts: there is no valgrind: apt install valgrind")
        return 2
    compiler = compiler_name(options.cc)
    with tempfile.TemporaryDirectory() as folder:
        counts = count_all(options.cc, Path(folder))
        one_file = count_all(options.cc, Path(folder), "count_one_file")
    for name, number in counts.items():
        print(f"{number:>10} {name}, as one file {one_file[name]}")
    if options.update:
        _store(compiler, counts)
        print(f"stored for {compiler} in {STORED.name}: look at its diff")
        return 0
    deviations = compare_counts(_stored().get(compiler, {}), counts)
    for deviation in deviations:
        print(f"counts: {deviation}")
    if deviations:
        print(f"If this is meant: make counts CC={options.cc} UPDATE=1")
        return 1
    if losses := slower(counts, one_file):
        print("counts: " + "; ".join(losses))
        print("Look for a function that another file's text keeps from being inlined.")
        return 1
    print(f"counts: as stored for {compiler}, within {100 * TOLERANCE:g} %")
    return 0


# ---- tests -------------------------------------------------------------------


def test_a_deviation_is_seen_in_either_direction() -> None:
    """More is a regression, less is stored with the change that brought it."""
    stored = {"walk": 100.0}
    assert compare_counts(stored, {"walk": 102.0}) == []
    assert compare_counts(stored, {"walk": 98.0}) == []
    assert [str(d) for d in compare_counts(stored, {"walk": 102.1})] == [
        "walk: 102.1, stored 100.0 (+2.1 %)"
    ]
    assert len(compare_counts(stored, {"walk": 97.9})) == 1


def test_a_count_without_its_twin_is_seen() -> None:
    """A new kernel needs a stored count, and a lost one takes its own along."""
    assert len(compare_counts({}, {"walk": 1.0})) == 1
    assert len(compare_counts({"walk": 1.0}, {})) == 1


def test_a_slower_file_is_seen() -> None:
    """Less is no fault there, and a few percent more are none."""
    assert slower({"a": 100.0, "b": 100.0}, {"a": 105.0, "b": 50.0}) == []
    assert slower({"a": 100.0}, {"a": 105.1}) == [
        "a as one file: 105.1 instructions, not 100.0"
    ]


@pytest.mark.slow
def test_one_thing_can_be_counted(tmp_path: Path) -> None:
    """A block takes some instructions, and two take twice as many."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or shutil.which("valgrind") is None:
        pytest.skip("no C compiler, or no valgrind")
    program = _built(compiler)
    name = "sha256/portable/one message, a block"
    once, twice, thrice = (
        _instructions(program, name, times, tmp_path) for times in (2, 4, 6)
    )
    assert twice - once == thrice - twice > 1000


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
