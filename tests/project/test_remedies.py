"""remedies.toml names existing lines and tests; its runner finds faults.

`make remedies` runs it all. These tests are fast, so that whoever changes a remedy
learns of it at once.
"""

from __future__ import annotations

import ast
import functools

import pytest

from anchors import AnchorError, Change
from remedies import run, witness
from remedies.run import Remedy

__all__: list[str] = []

pytestmark = pytest.mark.ci

REMEDIES = run.remedies()
FIRST = 30  # the numbers after these may have gaps


def test_every_pitfall_has_a_remedy() -> None:
    """None of them is forgotten, and none is called what it is not."""
    numbers = set(run.cases())
    assert numbers >= set(range(1, FIRST + 1))
    assert {remedy.pitfall for remedy in REMEDIES} == numbers


@pytest.mark.parametrize(
    "remedy", REMEDIES, ids=lambda remedy: f"{remedy.pitfall}: {remedy.what}"
)
def test_a_remedy_is_where_the_list_says(remedy: Remedy) -> None:
    """Its lines are in the source, once; without them it is Python still."""
    run.changed(remedy.changes)
    assert run.faults_of_pages([remedy]) == []
    assert bool(remedy.changes) is not bool(remedy.page)
    assert remedy.tests
    for test in remedy.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert _docstrings(file).get(name), test


@functools.cache
def _docstrings(file: str) -> dict[str, str | None]:
    """Return those of the functions in a test file, by their names."""
    tree = ast.parse((run.ROOT / file).read_text(encoding="utf-8"))
    return {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }


def test_a_change_that_does_not_fit_is_an_error() -> None:
    """An entry that no longer fits would prove nothing, nor would one that breaks."""
    with pytest.raises(AnchorError, match=r"has no '51'; .*make anchors FIX=1"):
        run.changed([Change(scope="_VERIFY_CODE", find="51", put="50")])
    with pytest.raises(SyntaxError):
        run.changed([Change(scope="_VERIFY_CODE", find="50", put="")])


def test_a_remedy_whose_lines_are_gone_is_a_row_that_says_so() -> None:
    """The other remedies go on."""
    change = Change(scope="_VERIFY_CODE", find="51", put="50")
    (row,) = run.tried(
        Remedy(1, "what", ("tests/engine/policy/test_pin.py::x",), (change,))
    )
    assert not row.good
    assert "`_VERIFY_CODE` has no '51'" in row.result


# A test that passes whatever the source is; and one that fails at once.
_PASSES = "tests/project/test_remedies.py::test_every_pitfall_has_a_remedy"


def _cut(after: str) -> Remedy:
    change = Change(scope="_VERIFY_CODE", find="_VERIFY_CODE = 50", put=after)
    test = "test_pitfall_19_the_attributes_are_those_of_an_ssl_error"
    tests = (f"tests/engine/policy/test_pinning_error.py::{test}", _PASSES)
    return Remedy(19, "what", tests, (change,))


def test_the_runner_tells_a_dead_mutant_from_a_living_one() -> None:
    """A test that does not fail without its remedy is what it is there to find."""
    killed, survived = run.tried(_cut("_VERIFY_CODE = 51"))
    assert (killed.result, killed.good) == ("1 killed", True)
    assert (survived.result, survived.good) == ("1 passed", False)


def test_a_broken_import_kills_nothing() -> None:
    """Whatever fails then fails for another reason."""
    rows = run.tried(_cut("import no_such_module"))
    assert not any(row.good for row in rows)


def test_a_test_that_is_gone_kills_nothing() -> None:
    """Nobody may think that it has failed."""
    remedy = Remedy(1, "what", (f"{_PASSES}[no such parameter]",))
    (row,) = run.tried(remedy)
    assert not row.good
    assert row.result == "1 no such test"


def test_a_test_is_meant_by_its_function_or_by_its_parameters() -> None:
    """Brackets are no pattern, and stars stand for any text."""
    name = "tests/test_a.py::test_b[TLS1.2-not verifying]"
    for test in (
        "tests/test_a.py::test_b",
        "tests/test_a.py::test_b[TLS1.2-*]",
        "tests/test_a.py::test_b[*-not verifying]",
        name,
    ):
        assert witness.is_meant(test, name)
    for test in (
        "tests/test_a.py::test_",
        "tests/test_a.py::test_b[TLS1.3-*]",
        "tests/test_a.py::test_b[not verifying]",
    ):
        assert not witness.is_meant(test, name)


def test_the_table_says_a_thing_once() -> None:
    """A case and a remedy stand in the first of their rows."""
    remedy = Remedy(1, "a remedy", ("f::one", "f::two"), (Change(find="a", put="b"),))
    rows = [run.Row(remedy, test, "1 killed", good=True) for test in remedy.tests]
    rows.append(run.Row(remedy, "f::three", "1 passed", good=False))
    lines = list(run.table(rows, {1: "a case"}))[2:]
    assert [line.split() for line in lines] == [
        ["1", "a", "case", "a", "remedy", "one", "1", "killed"],
        ["two", "1", "killed"],
        ["three", "WRONG"],
    ]
