"""The report of the core about one peer: its bytes, and the fields in them."""

from __future__ import annotations

import struct
from typing import NamedTuple

from pinverify.core._library import DIGEST_LEN, ffi, lib

__all__ = [
    "CLIENTS",
    "NO_DEPTH",
    "NO_RULE",
    "SHAPE_PREFIXES",
    "RawReport",
    "fields_of",
    "packed",
    "rejection",
]

SHAPE_PREFIXES = ("", "*.", "**.")
"""The beginning of a pattern, by ``pv_shape``."""

CLIENTS: int = lib.PV_CLIENTS
"""The ``pv_shape`` of a decision about a peer without a name."""

NO_RULE: int = lib.PV_NO_RULE
NO_DEPTH: int = lib.PV_NO_DEPTH


class RawReport(NamedTuple):
    """The fields of a ``pv_report``; see pinverify.h."""

    accepted: int
    reason: int
    mode: int
    matched_kind: int
    shape: int
    name_len: int
    rule: int
    depth: int
    num_seen: int
    detail: int
    matched: bytes


_REPORT = struct.Struct("=6B2x4I32s")
"""A ``pv_report`` in memory."""


if _REPORT.size != ffi.sizeof("pv_report"):
    msg = "pinverify._core has another version: build or install it again"
    raise ImportError(msg)


def fields_of(raw: bytes) -> RawReport:
    """Return the fields of a ``pv_report``, given as its bytes."""
    return RawReport._make(_REPORT.unpack(raw))


def packed(report: RawReport) -> bytes:
    """Return a ``pv_report`` as its bytes."""
    return _REPORT.pack(*report)


def rejection(reason: int, num_seen: int = 0) -> bytes:
    """Return the ``pv_report`` of a rejection without a policy's decision."""
    none = bytes(DIGEST_LEN)
    return packed(
        RawReport(0, reason, 0, 0, 0, 0, NO_RULE, NO_DEPTH, num_seen, 0, none)
    )
