"""Libraries that a test needs, but not every environment has.

`make test` runs without client libraries, so their tests are skipped. `make clients`,
`make remedies` and `make mutants` have an environment with all of them, and set a
variable. Then a library that cannot be imported fails its test: otherwise an update
that breaks it would go unnoticed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import Any

import pytest

__all__ = ["ALL_CLIENTS", "client_library", "is_expected", "lacks_parsers"]

ALL_CLIENTS = "PINVERIFY_ALL_CLIENTS"
"""The environment variable; the Makefile sets it."""


def is_expected() -> bool:
    """Return True if every client library must be there."""
    return bool(os.environ.get(ALL_CLIENTS))


def client_library(name: str) -> Any:  # noqa: ANN401 - a module
    """Import a module of a client library; without it, skip the test or fail."""
    if is_expected():
        return importlib.import_module(name)
    return pytest.importorskip(name, reason=f"{name} is not installed")


def lacks_parsers() -> bool:
    """Return True if tests of source code are skipped: tree-sitter is not installed.

    That it is there and cannot be imported, or that the child process fails, is no
    reason to skip a test.
    """
    names = [f"tree_sitter{one}" for one in ("", "_kotlin", "_java", "_swift")]
    is_absent = any(importlib.util.find_spec(name) is None for name in names)
    return is_absent and not is_expected()
