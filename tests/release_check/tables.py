"""Tables whose rows are kept one by one: which rows there are, and what each means.

A row is in its table's own order, which is what ``ROWS`` and ``PASSED`` number (see
parts.py in tests/anchoring).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import anchors
from mutants import run as of_mutants
from prove import run as of_proofs
from release_check.depends import (
    ROOT,
    between,
    matching,
    of_c,
    of_proof,
    of_python,
    of_tests,
    users_of_c,
)
from remedies import run as of_remedies

__all__ = ["TABLES", "Row"]


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        text: all that it says.
        files: the files that its result depends on.
    """

    text: str
    files: frozenset[str]


def proofs() -> list[Row]:
    """Return the rows of tests/prove; the runner counts among their files."""
    own = matching("tests/prove/run.py", "tests/anchoring/*.py")
    return [
        Row(repr(proof), own | of_proof(proof.harness, proof.link))
        for proof in of_proofs.chosen([])
    ]


def mutants() -> list[Row]:
    """Return the rows of tests/mutants, of the core, the adapter and Python."""
    own = matching("tests/mutants/*.py", "tests/anchoring/*.py")
    rows = []
    for mutant in of_mutants.mutants():
        folder = mutant.layer.folder
        if mutant.layer is of_mutants.ADAPTER:  # its tests are scenarios in C
            broken = of_c(f"openssl/{mutant.file}")
            broken |= users_of_c(f"openssl/{mutant.file}")
            tests = matching("tests/c/openssl/*", "tests/helpers/*.py")
        else:
            if folder.startswith("src"):
                broken = of_python(mutant.file)
            else:
                broken = of_c(mutant.file) | users_of_c(mutant.file)
            broken |= between(f"{folder}/{mutant.file}", mutant.tests)
            tests = of_tests(mutant.tests)
        rows.append(Row(repr(mutant), own | broken | tests))
    return rows


def remedies() -> list[Row]:
    """Return the rows of tests/remedies."""
    own = matching("tests/remedies/*.py", "tests/anchoring/*.py")
    sources = anchors.read(ROOT / "src" / "pinverify")
    rows = []
    for remedy in of_remedies.remedies():
        found = own | of_tests(remedy.tests)
        if remedy.page:  # without a change: the tests pass on the product as it is
            found |= matching(remedy.page, "src/*", "csrc/*")
        for change in remedy.changes:
            broken = anchors.locate(change, sources).file
            found |= of_python(broken)
            found |= between(f"src/pinverify/{broken}", remedy.tests)
        rows.append(Row(repr(remedy), found))
    return rows


TABLES: dict[str, Callable[[], list[Row]]] = {
    "proofs": proofs,
    "mutants": mutants,
    "remedies": remedies,
}
