"""The adapter of OpenSSL on OpenSSL 3.0, compiled with the headers of this machine.

The package mysql-connector-python contains that library. A program finds it instead of
the system's, as after an upgrade or a downgrade of libssl.so.3.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from c_objects import ended
from openssl_cast import write_cases, write_cast
from openssl_programs import OPENSSL, SCENARIOS, objects
from optional import client_library
from pki import Pki
from test_openssl_adapter import VERSIONS, names
from test_openssl_evidence import RUN, program_of, tell, told

__all__: list[str] = []

VERSION = "OpenSSL 3.0.17 1 Jul 2025"


@pytest.fixture(scope="module")
def library() -> Path:
    """The folder with libssl.so.3 and libcrypto.so.3 of OpenSSL 3.0."""
    folder = Path(client_library("mysql").__path__[0]) / "vendor"
    if sys.platform != "linux":
        pytest.skip("the package has OpenSSL 3.0 on Linux only")
    assert (folder / "libssl.so.3").is_file()
    return folder


@pytest.fixture(scope="module")
def program(library: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The program that runs scenarios, on that library."""
    folder = tmp_path_factory.mktemp("scenarios")
    path = objects().linked(folder / "scenarios", *SCENARIOS)
    return ["env", f"LD_LIBRARY_PATH={library}", str(path)]


def test_the_scenarios_run_on_openssl_3_0(program: list[str]) -> None:
    """Without that, the test below would say nothing."""
    assert ended([*program, "--library"]) == (0, f"{VERSION}\n", "")


@pytest.mark.parametrize("tls", VERSIONS)
def test_all_scenarios_hold_on_openssl_3_0(
    tls: str, program: list[str], pki: Pki, tmp_path: Path
) -> None:
    """A failure names the line in tests/c/openssl and the condition there."""
    cast = write_cast(tmp_path, pki)
    listed = "".join(f"{name}\n" for name in names())
    assert ended([*program, cast, tls, *names()]) == (0, listed, "")


@pytest.mark.parametrize("tls", VERSIONS)
def test_pitfall_64_the_adapter_decides_each_case_on_openssl_3_0(
    tls: str,
    library: Path,
    pki: Pki,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Outcome and reason are those of the file, and so are notices."""
    program = program_of(OPENSSL)
    cases = write_cases(write_cast(tmp_path, pki), pki, OPENSSL.name)
    assert (cases.num, cases.left_out) == (RUN[OPENSSL.name], {})
    path = f"LD_LIBRARY_PATH={library}"
    assert ended(["env", path, program, tmp_path, tls, cases.file]) == told(cases)
    tell(VERSION, tls, cases, capsys)
