"""`make coverage` fails for an unlisted line that is missed, and for an old list."""

from __future__ import annotations

import json

import pytest

import c_coverage

__all__: list[str] = []

pytestmark = pytest.mark.ci

TEXTS = {"spki.c": ["int f(int x) {", "if (x) {", "return 1;", "}", "return 2;", "}"]}
REPORT = f"""SF:{c_coverage.CSRC}/spki.c
DA:1,7
DA:2,7
DA:3,0
DA:4,0
DA:5,7
DA:6,7
BRDA:2,0,0,0
BRDA:2,0,1,7
end_of_record
SF:/elsewhere/spki.c
DA:1,0
end_of_record
"""
MISSED = {"file": "spki.c", "line": "if (x) { return 1;", "elsewhere": False}


def faults(report: str, *listed: dict[str, object]) -> list[str]:
    """Return what is wrong with a report, shares apart."""
    files = c_coverage.read_lcov(report)
    found = c_coverage.faults(files, {"lines": listed}, TEXTS)
    return [fault for fault in found if not fault.startswith("only ")]


def test_a_line_that_is_never_reached_is_listed_or_a_fault() -> None:
    """It is known by its text and the line before, so that it can move."""
    assert faults(REPORT, MISSED) == []
    assert faults(REPORT) == [
        "never reached, and not listed: spki.c: if (x) { return 1;"
    ]


def test_a_listed_line_that_is_reached_is_a_fault() -> None:
    """Unless it is reached on some machines alone."""
    reached = REPORT.replace("DA:3,0", "DA:3,1")
    assert faults(reached, MISSED) == [
        "listed, but reached or gone: spki.c: if (x) { return 1;"
    ]
    assert faults(reached, MISSED | {"elsewhere": True}) == []


def test_a_line_that_needs_a_kernel_counts_where_that_runs() -> None:
    """And nowhere else, neither as missed nor in the shares."""
    listed = {"lines": [MISSED | {"elsewhere": True, "needs": "shani"}]}
    missed = "never reached, and not listed: spki.c: if (x) { return 1;"
    for here, share, others in (
        ({"portable"}, "80.00%", []),
        ({"portable", "shani"}, "66.67%", [missed]),
    ):
        files = c_coverage.read_lcov(REPORT)
        files = c_coverage.runnable(files, listed, TEXTS, here)
        found = c_coverage.faults(files, listed, TEXTS)
        few = ["only 50.00% of the branches", f"only {share} of the lines"]
        assert found == [*others, *few]
    gone = {"lines": [listed["lines"][0] | {"line": "if (y) { return 1;"}]}
    found = c_coverage.faults(c_coverage.read_lcov(REPORT), gone, TEXTS)
    assert "listed, but gone: spki.c: if (y) { return 1;" in found


def test_too_few_lines_and_branches_are_a_fault() -> None:
    """99 % and 95 %, over all files."""
    files = c_coverage.read_lcov(REPORT)
    found = c_coverage.faults(files, {"lines": [MISSED]}, TEXTS)
    assert found == ["only 50.00% of the branches", "only 66.67% of the lines"]


def test_two_programs_reach_more_than_one() -> None:
    """A line that one of them has reached is reached."""
    other = REPORT.replace("DA:3,0", "DA:3,1").replace("0,0,0", "0,0,5")
    files = c_coverage.read_lcov(REPORT + other)
    assert files["spki.c"].lines[3] == 1
    assert set(files["spki.c"].branches.values()) == {5, 14}


def test_every_listed_line_has_a_reason_and_exists() -> None:
    """The list is about the code as it is."""
    listed = json.loads(c_coverage.UNCOVERED.read_text(encoding="utf-8"))["lines"]
    assert listed
    for entry in listed:
        text = (c_coverage.CSRC / entry["file"]).read_text(encoding="ascii")
        assert entry["line"] in " ".join(text.split())
        assert len(entry["reason"].split()) > 5
