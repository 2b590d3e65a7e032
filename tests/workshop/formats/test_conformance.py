"""Vectors of other systems: the cases that are equal, and why the others differ.

`conformance/systems.py` compares them; `conformance/divergences.toml` has the reasons.
The table in docs/formats.md has the results of these tests.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping

import pytest

from conformance.systems import SYSTEMS, Case
from places import ROOT, TESTS

__all__: list[str] = []

DIVERGENCES: dict[str, dict[str, str]] = tomllib.loads(
    (TESTS / "conformance" / "divergences.toml").read_text(encoding="utf-8")
)


def problems(cases: Iterable[Case], reasons: Mapping[str, str]) -> list[str]:
    """Return what is wrong: no one reason for a difference, or one without need."""
    equal = {}
    found = []
    for case in cases:
        if case.name in equal:
            found.append(f"{case.name} is there twice")
        equal[case.name] = case.equal
    found += [f"{n} differs" for n, same in equal.items() if not same | (n in reasons)]
    found += [f"{n} is equal" for n, same in equal.items() if same & (n in reasons)]
    return found + [f"there is no {name}" for name in reasons if name not in equal]


def rows() -> dict[str, tuple[int, int, int]]:
    """Return the rows of the page: cases, equal ones, divergent ones."""
    page = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    table = page.partition("## Conformance")[2].partition("\n## ")[0]
    row = r"^\| ([^|]+) \| [^|]+ \| (\d+) \| (\d+) \| (\d+) \|"
    found = re.findall(row, table, re.MULTILINE)
    return {name: (int(a), int(b), int(c)) for name, a, b, c in found}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_agrees_but_for_the_list(system: str) -> None:
    """Each divergence has a reason, and an unexpected agreement fails, too."""
    cases = list(SYSTEMS[system]())
    assert problems(cases, DIVERGENCES.get(system, {})) == []
    equal = sum(case.equal for case in cases)
    assert rows()[system] == (len(cases), equal, len(cases) - equal)


def test_the_page_has_a_row_for_each_system() -> None:
    """Also where the vectors are not: with as many divergences as have reasons."""
    assert list(rows()) == list(SYSTEMS)
    assert DIVERGENCES.keys() <= SYSTEMS.keys()
    for system, (num, equal, divergent) in rows().items():
        assert divergent == len(DIVERGENCES.get(system, {}))
        assert num == equal + divergent


def test_a_planted_difference_is_seen() -> None:
    """And a planted agreement, and a reason for nothing."""
    cases = [Case("a", equal=True), Case("b", equal=False)]
    assert problems(cases, {"b": "a reason"}) == []
    assert problems(cases, {}) == ["b differs"]
    assert problems(cases, {"a": "", "b": ""}) == ["a is equal"]
    assert problems(cases, {"b": "", "c": ""}) == ["there is no c"]
    assert problems([*cases, cases[0]], {"b": ""}) == ["a is there twice"]
