"""Places in the checkout that tests and their helpers read from."""

from __future__ import annotations

from pathlib import Path

__all__ = ["HELPERS", "ROOT", "TESTS"]

HELPERS = Path(__file__).resolve().parent
TESTS = HELPERS.parent
ROOT = TESTS.parent
