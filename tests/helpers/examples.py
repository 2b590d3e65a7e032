"""Fewer examples and fewer rows for `make test`; all of them for the other checks.

`make checks`, `make release-check`, and the runners of mutants and remedies set
``PINVERIFY_FULL``. What `make test` leaves out has the mark ``ci``.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TypeVar

import pytest

__all__ = ["FULL", "examples", "some_of"]

FULL = bool(os.environ.get("PINVERIFY_FULL"))

Row = TypeVar("Row")


def examples(number: int) -> int:
    """Return *number*, as the examples of Hypothesis; in `make test` a fifth of it."""
    return number if FULL else max(number // 5, 10)


def some_of(rows: Iterable[Row], number: int) -> list[object]:
    """Return rows for `parametrize`; all but *number* of them are for `make checks`.

    Those that `make test` runs are spread evenly, so that each kind is among them.
    """
    found = list(rows)
    step = max(len(found) // number, 1)
    chosen = {*range(0, step * number, step)}
    return [
        row if place in chosen else pytest.param(row, marks=pytest.mark.ci)
        for place, row in enumerate(found)
    ]
