"""Hosts, pins and times that the tests of policies share."""

from __future__ import annotations

import datetime as dt
from typing import Literal

__all__ = ["ABSENT", "HOST", "MODES", "NOON", "NOW", "OTHER", "SECOND", "SHAPES"]

ABSENT = "sha256/" + "A" * 43 + "="
OTHER = "sha256/" + "B" * 42 + "A="
HOST = "api.example.com"
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MODES: tuple[Literal["enforce", "report"], ...] = ("enforce", "report")

SHAPES = ("", "*.", "**.")

NOW = 1_767_268_800  # 2026-01-01T12:00:00Z
