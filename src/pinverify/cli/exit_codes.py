"""The exit codes of all commands.

0    done; check: a pin matches
1    check, audit: rejected; lint: errors; diff: accepts less; rotate: not safe; demo:
     something did not happen as described
2    wrong usage, or no answer: no such file, no connection, no valid certificate;
     audit: a part of the input could not be read
3    check, audit: accepted although no pin matched; convert: done, but may accept more;
     diff: accepts more, or other peers
130  Ctrl-C

`check.exit_code_of` returns the code for a report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ACCEPTED_UNMATCHED",
    "ACCEPTS_LESS",
    "ACCEPTS_MORE",
    "FOUND",
    "INTERRUPTED",
    "NOT_SAFE",
    "NOT_SHOWN",
    "NO_ANSWER",
    "REJECTED",
    "WRONG_USE",
    "worst_of",
]

REJECTED = FOUND = ACCEPTS_LESS = NOT_SAFE = NOT_SHOWN = 1
WRONG_USE = NO_ANSWER = 2
ACCEPTED_UNMATCHED = ACCEPTS_MORE = 3
INTERRUPTED = 130


def worst_of(codes: Iterable[int]) -> int:
    """Return the code of several decisions: the lowest that is not 0, else 0."""
    return min(filter(None, codes), default=0)
