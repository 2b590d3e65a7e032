"""A part of the rows of a table, for a run without time for all of them.

    make mutants PART=2/3       every third mutant, from the second on
    make prove PART=2/3         every third proof, likewise
    make remedies PART=2/3      every third remedy

`make release-check` runs the rows that are stale: the file that ``ROWS`` names has
their numbers, and the number of each row that passes is written to ``PASSED``.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

__all__ = ["in_part", "passed"]


def in_part(number: int) -> bool:
    """Say whether row *number*, from 0 on, is in the part that is asked for."""
    if rows := os.environ.get("ROWS"):
        return str(number) in Path(rows).read_text(encoding="ascii").split()
    text = os.environ.get("PART") or "1/1"
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if found is None or int(found[1]) > int(found[2]):
        sys.exit(f"PART={text}: write 2/3 for every third row, from the second on")
    return number % int(found[2]) == int(found[1]) - 1


def passed(number: int) -> None:
    """Note that a row is as it should be, at once: the run may be interrupted."""
    if file := os.environ.get("PASSED"):
        with Path(file).open("a", encoding="ascii") as out:
            out.write(f"{number}\n")
