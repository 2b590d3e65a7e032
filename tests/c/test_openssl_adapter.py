"""The adapter of OpenSSL: scenarios in C, with certificates that the tests make.

tests/c/openssl has the scenarios, each of which is one function. A client and a server
talk over BIOs in memory, with TLS 1.2 and 1.3.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from c_objects import ended
from openssl_cast import write_cast
from openssl_programs import SCENARIOS, objects
from pki import Pki
from places import ROOT
from tls_servers import TLSServer, server_context

__all__: list[str] = []

VERSIONS = ("TLS1.2", "TLS1.3")
SOURCES = ("client", "server", "composition", "verify_callbacks", "early")

# Those of `make test`; HANDSHAKES=100000 runs more.
HANDSHAKES = int(os.environ.get("HANDSHAKES", "1000"))
THREADS = 8

# Texts of pv_reason_text.
MATCHES = "the chain matches the pins"
MISMATCHES = "the chain does not match the pins"


def read_names(*sources: str) -> list[str]:
    """Return the names of scenarios in files, as their tables have them."""
    folder = ROOT / "tests" / "c" / "openssl"
    texts = [(folder / f"{s}.c").read_text(encoding="ascii") for s in sources]
    return [
        name
        for text in texts
        for name in re.findall(r'\{"(\w+)",', text.partition("_scenarios[] =")[2])
    ]


def names() -> list[str]:
    """Return the names of all scenarios for OpenSSL."""
    return read_names(*SOURCES)


@pytest.fixture(scope="module")
def cast(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with certificates and policies."""
    return write_cast(tmp_path_factory.mktemp("cast"), pki)


@pytest.fixture(scope="module")
def program() -> Path:
    """The program that runs scenarios."""
    return objects().program(*SCENARIOS)


def test_each_scenario_is_run_here(program: Path) -> None:
    """The program and this file know the same scenarios."""
    assert ended([program]) == (0, "".join(f"{name}\n" for name in names()), "")
    assert len(names()) > 60


@pytest.mark.parametrize("tls", VERSIONS)
@pytest.mark.parametrize("name", names())
def test_the_scenario_holds(name: str, tls: str, program: Path, cast: Path) -> None:
    """A failure names the line in tests/c/openssl and the condition there."""
    assert ended([program, cast, tls, name]) == (0, f"{name}\n", "")


@pytest.mark.slow
@pytest.mark.parametrize("tls", VERSIONS)
def test_an_allocation_that_fails_accepts_nobody(tls: str, cast: Path) -> None:
    """Every seventh one of OpenSSL's and of ours, in full and resumed handshakes."""
    faults = objects().program("faults", "dialogue")
    code, told, errors = ended([faults, cast, tls, "7"])
    assert (code, errors) == (0, "")
    numbers = [int(number) for number in re.findall(r"(\d+) faults", told)]
    assert len(numbers) == 2
    assert min(numbers) > 100


@pytest.mark.parametrize("who", ["server", "impostor"])
def test_the_client_of_the_page_connects_to_the_right_server(
    who: str, pki: Pki, cast: Path, serve: Callable[..., TLSServer], tmp_path: Path
) -> None:
    """The first program of docs/openssl.md, compiled as it is."""
    page = (ROOT / "docs" / "openssl.md").read_text(encoding="utf-8")
    source = tmp_path / "client.c"
    source.write_text(page.partition("```c\n")[2].partition("```")[0], "ascii")
    compiled = objects().compiled(source, tmp_path)
    client = objects().linked(tmp_path / "client", compiled, "policy_map")
    server = serve(server_context(getattr(pki, who)))
    address = f"127.0.0.1:{server.port}"
    code, told, errors = ended(
        [client, cast / "leaf.pvpol", cast / "trust.pem", "localhost", address]
    )
    if who == "server":
        assert (code, told) == (0, f"accepted: {MATCHES}\n{pki.server.pin}\n")
        assert errors == ""
    else:
        assert (code, told) == (1, f"rejected: {MISMATCHES}\n")
        assert f"pinverify: {MISMATCHES}" in errors


@pytest.mark.parametrize("tls", VERSIONS)
def test_each_handshake_is_decided_by_exactly_one_policy(tls: str, cast: Path) -> None:
    """Eight threads connect while a ninth replaces policies and frees the old ones."""
    swaps = objects().program("swaps", "dialogue")
    arguments = [str(THREADS), str(HANDSHAKES)]
    code, told, errors = ended([swaps, cast, tls, *arguments], timeout=900)
    assert (code, errors) == (0, "")
    assert told.startswith(f"{HANDSHAKES} handshakes, ")
