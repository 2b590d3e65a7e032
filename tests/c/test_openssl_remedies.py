"""Remedies of the adapter of OpenSSL, removed one by one: a scenario must fail.

tests/remedies/openssl.toml lists them. The source is never touched: a changed copy of
one file is compiled, and linked with the objects of the others.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

import anchors
from anchors import Change
from c_objects import ended
from core_sources import CSRC
from openssl_cast import write_cast
from openssl_programs import Objects, objects, scenarios
from pki import Pki
from places import TESTS
from test_openssl_adapter import VERSIONS, names

__all__: list[str] = []

ADAPTER = CSRC / "openssl"
LIST = TESTS / "remedies" / "openssl.toml"
REMEDIES = tomllib.loads(LIST.read_text(encoding="utf-8"))["remedy"]

# The pitfalls that can happen to a C program, which has most in common with Python.
PITFALLS = {
    *(1, 3, 5, 6, 8, 9, 10, 11, 12, 13, 23, 24, 28, 31, 40, 41, 42, 43, 44, 48, 50),
    *(52, 53, 62, 64),
}


@pytest.fixture(scope="module")
def cast(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with certificates and policies."""
    return write_cast(tmp_path_factory.mktemp("cast"), pki)


def without(remedy: dict[str, Any], folder: Path, made: Objects) -> Path:
    """Return the program that runs scenarios, without a remedy."""
    sources = anchors.read(ADAPTER)
    changed = {}
    for change in remedy["change"]:
        file, text = anchors.made(Change.of(change), sources)
        sources[file] = changed[file] = text
    return scenarios(folder, changed, made)


def test_every_pitfall_has_a_remedy() -> None:
    """None of them is forgotten, and each names scenarios that there are."""
    assert {remedy["pitfall"] for remedy in REMEDIES} >= PITFALLS
    for remedy in REMEDIES:
        assert remedy["scenarios"]
        assert set(remedy["scenarios"]) <= set(names()), remedy["what"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "remedy", REMEDIES, ids=lambda remedy: f"{remedy['pitfall']}: {remedy['what']}"
)
def test_a_scenario_fails_without_its_remedy(
    remedy: dict[str, Any], cast: Path, tmp_path: Path
) -> None:
    """It sees a condition that does not hold; a crash would show nothing."""
    program = without(remedy, tmp_path, objects())
    for name in remedy["scenarios"]:
        codes = [ended([program, cast, tls, name])[0] for tls in VERSIONS]
        assert set(codes) <= {0, 1}, name
        assert 1 in codes, f"{name} holds without the remedy"
