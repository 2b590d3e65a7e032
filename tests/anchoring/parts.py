"""A part of the rows of a table, for a run without time for all of them.

    make mutants PART=2/3       every third mutant, from the second on
    make prove PART=2/3         every third proof, likewise
    make remedies PART=2/3      every third remedy

CI takes a different part for each commit, so that a few commits cover all rows.
"""

from __future__ import annotations

import os
import re
import sys

__all__ = ["in_part"]


def in_part(number: int) -> bool:
    """Say whether row *number*, from 0 on, is in the part that ``PART`` names."""
    text = os.environ.get("PART") or "1/1"
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
    if found is None or int(found[1]) > int(found[2]):
        sys.exit(f"PART={text}: write 2/3 for every third row, from the second on")
    return number % int(found[2]) == int(found[1]) - 1
