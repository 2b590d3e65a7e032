"""Rows of the tables name places in the source, and follow it after a rename."""

from __future__ import annotations

from pathlib import Path

import pytest

import anchors
from anchor_rows import rows_of

__all__: list[str] = []

ROOT = Path(__file__).resolve().parent.parent
CSRC = anchors.read(ROOT / "csrc")
PROOFS = [
    pytest.param(row.change, id=f"{path.stem}: {row.title}")
    for path in sorted((ROOT / "tests" / "prove").glob("*.toml"))
    for row in rows_of(path.read_text(encoding="utf-8"))
    if row.data
]


@pytest.mark.parametrize("bug", PROOFS)
def test_a_planted_bug_of_a_proof_is_where_the_table_says(bug: anchors.Change) -> None:
    """Otherwise the proof would show it only after minutes."""
    file, text = anchors.made(bug, CSRC)
    assert text != CSRC[file]
