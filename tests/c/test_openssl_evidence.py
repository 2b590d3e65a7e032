"""The cases of the rule of evidence, as handshakes with the adapter of OpenSSL.

Python and the adapter have one rule in two languages, so both run the cases of one
file: see `evidence_cases.py`. A rule there leaves out what a library cannot show.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from c_objects import Ended, ended
from openssl_cast import Cases, write_cases, write_cast
from openssl_programs import BORINGSSL, OPENSSL, Library, objects
from pki import Pki
from test_openssl_adapter import VERSIONS

__all__ = ["program_of", "tell", "told"]

# With BoringSSL, the same is for `make checks`.
LIBRARIES = [
    pytest.param(OPENSSL, id=OPENSSL.name),
    pytest.param(BORINGSSL, id=BORINGSSL.name, marks=pytest.mark.ci),
]

# The cases that each library runs, and the others. A change of these is a change of
# what is tested: it has to be meant.
RUN = {"OpenSSL": 2944, "BoringSSL": 2584}
LEFT_OUT = {"OpenSSL": [], "BoringSSL": [360]}


def program_of(library: Library) -> Path:
    """Return the program that runs cases."""
    return objects(library).program("evidence_cases", "dialogue")


def told(cases: Cases) -> Ended:
    """Return how the program ends if all cases are decided as the file says."""
    return 0, f"{cases.num} cases, 0 decided otherwise\n", ""


def tell(
    library: str, tls: str, cases: Cases, capsys: pytest.CaptureFixture[str]
) -> None:
    """Print how many cases a library has run, and which ones it cannot show."""
    with capsys.disabled():
        print(f"\n{library}, {tls}: {cases.num} cases, 0 decided otherwise")  # noqa: T201
        for why, num in cases.left_out.items():
            print(f"{library}, {tls}: {num} cases left out: {why}")  # noqa: T201


@pytest.mark.parametrize("tls", VERSIONS)
@pytest.mark.parametrize("library", LIBRARIES)
def test_pitfall_64_the_adapter_decides_each_case_as_python_does(
    library: Library,
    tls: str,
    pki: Pki,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Outcome and reason are those of the file, and so are notices."""
    program = program_of(library)
    cases = write_cases(write_cast(tmp_path, pki), pki, library.name)
    assert cases.num == RUN[library.name]
    assert [*cases.left_out.values()] == LEFT_OUT[library.name]
    assert ended([program, tmp_path, tls, cases.file]) == told(cases)
    tell(library.name, tls, cases, capsys)


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("accepted\tMATCH", "rejected\tMATCH"), ("\tNOT_CHECKED\t", "\tMISMATCH\t")],
    ids=["outcome", "reason"],
)
def test_a_case_that_is_decided_otherwise_is_seen(
    right: str, wrong: str, pki: Pki, tmp_path: Path
) -> None:
    """The test above does not pass by comparing nothing."""
    program = program_of(OPENSSL)
    cases = write_cases(write_cast(tmp_path, pki), pki, OPENSSL.name)
    rows = cases.file.read_text(encoding="ascii").splitlines(keepends=True)
    row = next(row for row in rows if right in row)
    cases.file.write_text(row + row.replace(right, wrong), encoding="ascii")
    code, printed, errors = ended([program, tmp_path, "TLS1.3", cases.file])
    assert (code, errors) == (1, "")
    assert printed.startswith("row 2: ")
    assert printed.endswith("\n2 cases, 1 decided otherwise\n")
