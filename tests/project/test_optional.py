"""Tests of missing libraries: skipped, or failed where all should be installed."""

from __future__ import annotations

import importlib.util

import pytest

from optional import ALL_CLIENTS, client_library, lacks_parsers

__all__: list[str] = []

pytestmark = pytest.mark.ci


def test_without_a_library_its_test_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make test` asks for none of them."""
    monkeypatch.delenv(ALL_CLIENTS, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_library is not installed"):
        client_library("no_such_library")


def test_where_all_libraries_should_be_a_missing_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """`make clients` would pass with nothing tested otherwise."""
    monkeypatch.setenv(ALL_CLIENTS, "1")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        client_library("no_such_library")
    assert client_library("json").loads("1") == 1


def test_only_missing_parsers_skip_a_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child process that fails is a failure, whatever its error says."""
    monkeypatch.delenv(ALL_CLIENTS, raising=False)
    found = {f"tree_sitter{one}" for one in ("", "_kotlin", "_java", "_swift")}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name in found or None)
    assert not lacks_parsers()
    for name in sorted(found):
        found.remove(name)
        assert lacks_parsers()
        found.add(name)
    found.clear()
    monkeypatch.setenv(ALL_CLIENTS, "1")
    assert not lacks_parsers()
