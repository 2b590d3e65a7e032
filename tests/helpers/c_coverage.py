"""Coverage of the C core: the lines and branches that tests and corpora reach.

This module reads the output of ``llvm-cov export -format=lcov``, and compares the lines
that were never reached with ``vectors/uncovered.json``, which has a reason for each. A
line that is not listed fails, and so does a listed one that was reached.

    python tests/helpers/c_coverage.py build/core.lcov
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pinverify import core
from pinverify.core._kernels import scan_kernels
from places import ROOT, TESTS

__all__ = ["UNCOVERED", "Covered", "faults", "read_lcov"]

CSRC = ROOT / "csrc"
UNCOVERED = TESTS / "vectors" / "uncovered.json"

LEAST_LINES = 0.99
LEAST_BRANCHES = 0.95

# Files of a kernel that not every machine can run, and the kernel's name.
KERNEL_FILES = {
    "kernels/sha256_x86_shani.c": "shani",
    "kernels/sha256_x86_avx2.c": "avx2",
    "kernels/sha256_x86_avx512.c": "avx512",
    "kernels/sha256_x86_bmi2.c": "avx2",
    "kernels/scan_x86_avx2.c": "avx2",
    "kernels/scan_x86_avx512.c": "avx512",
    "kernels/siphash_x86.c": "avx512",
}


@dataclass
class Covered:
    """How often each line of one file was reached, and each way of a branch."""

    lines: dict[int, int] = field(default_factory=dict)
    branches: dict[tuple[str, ...], int] = field(default_factory=dict)

    def missed(self, text: list[str]) -> list[str]:
        """Return the lines that were never reached, each behind the one before it.

        The brace that ends a block adds nothing to what stands in it.
        """
        missed = [
            n for n, c in self.lines.items() if not c and text[n - 1].strip() != "}"
        ]
        return [_behind_another(text, n) for n in missed]


def _behind_another(text: list[str], number: int) -> str:
    """Return a line behind the one before it, as the list has it."""
    return f"{text[number - 2].strip()} {text[number - 1].strip()}"


def read_lcov(report: str) -> dict[str, Covered]:
    """Return each C file of the core with what was reached in it."""
    files: dict[str, Covered] = {}
    current = Covered()
    for line in report.splitlines():
        key, _, value = line.partition(":")
        if key == "SF":
            path = Path(value).resolve()
            known = path.is_relative_to(CSRC)
            name = str(path.relative_to(CSRC)) if known else ""
            current = files.setdefault(name, Covered()) if known else Covered()
        elif key == "DA":
            number, count = map(int, value.split(",")[:2])
            current.lines[number] = current.lines.get(number, 0) + count
        elif key == "BRDA":
            *where, taken = value.split(",")
            times = 0 if taken == "-" else int(taken)
            way = tuple(where)
            current.branches[way] = current.branches.get(way, 0) + times
    return files


def kernels_here() -> set[str]:
    """Return the kernels of this machine, as `KERNEL_FILES` and the list name them."""
    digests = {part for name in core.kernels() for part in name.split("+")}
    return digests | set(scan_kernels())


def runnable(
    files: dict[str, Covered],
    listed: dict[str, Any],
    texts: dict[str, list[str]],
    here: set[str],
) -> dict[str, Covered]:
    """Return the files, and in them the lines, that a machine with kernels can run."""
    needs = {(e["file"], e["line"]): e.get("needs") for e in listed["lines"]}
    found = {}
    for name, covered in files.items():
        # Of the public header llvm-cov reports nothing but constants.
        if name == "pinverify.h" or KERNEL_FILES.get(name, "portable") not in here:
            continue
        kernels = {
            number: needs.get((name, _behind_another(texts[name], number)))
            for number in covered.lines
        }
        lines = {
            number: count
            for number, count in covered.lines.items()
            if (kernels[number] or "portable") in here
        }
        found[name] = Covered(lines, covered.branches)
    return found


def _share(reached: list[bool]) -> float:
    return sum(reached) / len(reached) if reached else 1.0


def faults(
    files: dict[str, Covered], listed: dict[str, Any], texts: dict[str, list[str]]
) -> list[str]:
    """Return what is missed and unlisted, listed and reached, or too little."""
    expected = [entry for entry in listed["lines"] if "needs" not in entry]
    known = {(entry["file"], entry["line"]) for entry in expected}
    # Some lines are reached on other machines.
    always = {(e["file"], e["line"]) for e in expected if not e["elsewhere"]}
    missed = {(n, line) for n, c in files.items() for line in c.missed(texts[n])}
    wrong = [f"never reached, and not listed: {n}: {x}" for n, x in missed - known]
    wrong += [
        f"listed, but reached or gone: {name}: {line}"
        for name, line in always - missed
        if name in files
    ]
    wrong += [
        f"listed, but gone: {entry['file']}: {entry['line']}"
        for entry in listed["lines"]
        if "needs" in entry
        and (text := texts.get(entry["file"]))
        and entry["line"]
        not in (_behind_another(text, n + 1) for n in range(len(text)))
    ]
    lines = [count > 0 for c in files.values() for count in c.lines.values()]
    branches = [count > 0 for c in files.values() for count in c.branches.values()]
    if _share(lines) < LEAST_LINES:
        wrong.append(f"only {_share(lines):.2%} of the lines")
    if _share(branches) < LEAST_BRANCHES:
        wrong.append(f"only {_share(branches):.2%} of the branches")
    return sorted(wrong)


def table(files: dict[str, Covered]) -> str:
    """Return the shares as lines of text."""
    whole: dict[str, tuple[list[bool], list[bool]]] = {"all": ([], [])}
    for name, covered in sorted(files.items()):
        lines = [count > 0 for count in covered.lines.values()]
        branches = [count > 0 for count in covered.branches.values()]
        whole[name] = lines, branches
        whole["all"][0].extend(lines)
        whole["all"][1].extend(branches)
    return "\n".join(
        f"{name:<20} {sum(lines):>5} of {len(lines):>5} lines {_share(lines):>8.2%}"
        f"   {sum(branches):>5} of {len(branches):>5} branches {_share(branches):>8.2%}"
        for name, (lines, branches) in whole.items()
    )


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="What is reached in the C core.")
    parser.add_argument("report", type=Path)
    options = parser.parse_args()
    files = read_lcov(options.report.read_text(encoding="utf-8"))
    texts = {
        name: (CSRC / name).read_text(encoding="ascii").splitlines() for name in files
    }
    listed = json.loads(UNCOVERED.read_text(encoding="utf-8"))
    files = runnable(files, listed, texts, kernels_here())
    print(table(files))  # noqa: T201 - it is what was asked for
    for name, covered in sorted(files.items()):
        for number, count in sorted(covered.lines.items()):
            if not count:
                print(f"{name}:{number}: {texts[name][number - 1]}")  # noqa: T201
    wrong = faults(files, listed, texts) if files else ["nothing to read"]
    sys.exit("\n".join(wrong) or None)


if __name__ == "__main__":
    main()
