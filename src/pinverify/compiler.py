"""Writes compiled policies; csrc/pinverify.h, section 5, describes each byte.

The C core reads them, and checks all of it again: nothing here is trusted.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from pinverify import core

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pinverify.core import PinSetFields

__all__ = ["Rule", "compile_policy"]

_MAGIC = b"pinvpol1"
_HEADER = struct.Struct("<QIIIIQQIIII32x")  # what follows the digest
_PINSET = struct.Struct("<BB6xq16I")
_RULE = struct.Struct("<IIIBB2x")
_HEADER_LEN = len(_MAGIC) + core.DIGEST_LEN + _HEADER.size

_REJECT_UNPINNED = 1
_EVERY_PEER = 2
_UNPINNED = 0xFFFFFFFF
_ROWS_MAX = 4  # pins up to this many are rows anyway

_NO_RUN = (0, 0)


class Rule(NamedTuple):
    """One rule: a canonical pattern, and its PinSet (None: unpinned)."""

    pattern: str
    pinset: PinSetFields | None


def compile_policy(
    rules: Iterable[Rule],
    blocked: Sequence[Sequence[bytes]] = ((), ()),
    *,
    reject_unpinned: bool = False,
    every_peer: PinSetFields | None = None,
) -> bytes:
    """Return the bytes of a compiled policy.

    The same arguments give the same bytes.

    Args:
        rules: with different patterns.
        blocked: digests that no host may show: of public keys, of certificates.
        reject_unpinned: what hosts without pins meet.
        every_peer: one PinSet for every peer, in place of rules.
    """
    pins = _PinTable()
    pinsets = _PinSetTable(pins)
    blocked_runs = [number for digests in blocked for number in pins.run(digests)]
    if every_peer is not None:
        pinsets.index(every_peer)
    entries = [_entry(rule, pinsets) for rule in rules]
    bucket_mask = (1 << max(len(entries) - 1, 0).bit_length()) - 1
    entries.sort(key=lambda entry: _order(entry, bucket_mask))
    contents = b"".join(
        (
            pins.data,
            pinsets.data,
            _rules_section(entries),
            _buckets_section(entries, bucket_mask),
            names := b"".join(entry.name for entry in entries),
        )
    )
    size = -(-(_HEADER_LEN + len(contents)) // 8) * 8
    covered = _HEADER.pack(
        size,
        _REJECT_UNPINNED * reject_unpinned | _EVERY_PEER * (every_peer is not None),
        len(entries),
        bucket_mask + 1,
        pinsets.num,
        len(pins.data) // core.DIGEST_LEN,
        len(names),
        *blocked_runs,
    )
    covered += contents.ljust(size - _HEADER_LEN, b"\0")
    return _MAGIC + core.sha256(covered) + covered


class _PinTable:
    """The pins section: runs of packed pins, equal ones stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._runs: dict[tuple[bytes, ...], tuple[int, int]] = {}

    def run(self, digests: Sequence[bytes]) -> tuple[int, int]:
        """Return the row where these digests begin, and how many they are."""
        if not digests:  # most of a PinSet's eight runs, so this is worth a line
            return _NO_RUN
        distinct = tuple(dict.fromkeys(digests))
        found = self._runs.get(distinct)
        if found is None:
            found = (len(self.data) // core.DIGEST_LEN, len(distinct))
            rows = b"".join(distinct)
            self.data += rows if found[1] <= _ROWS_MAX else core.pack_pins(rows)
            self._runs[distinct] = found
        return found


class _PinSetTable:
    """The pinsets section; equal PinSets are stored once."""

    def __init__(self, pins: _PinTable) -> None:
        self.data = bytearray()
        self.num = 0
        self._pins = pins
        self._indices: dict[bytes, int] = {}

    def index(self, fields: PinSetFields) -> int:
        """Return the index of a PinSet with these fields."""
        after_expiry = 0
        if fields.expires is not None:
            after_expiry = 2 if fields.expired_rejects else 1
        runs = [number for run in fields.runs for number in self._pins.run(run)]
        packed = _PINSET.pack(fields.mode, after_expiry, fields.expires or 0, *runs)
        index = self._indices.setdefault(packed, self.num)
        if index == self.num:
            self.data += packed
            self.num += 1
        return index


class _Entry(NamedTuple):
    """A rule as it is stored."""

    name: bytes
    shape: int
    hash: int
    pinset: int


def _entry(rule: Rule, pinsets: _PinSetTable) -> _Entry:
    name = rule.pattern.lstrip("*")  # a canonical name has no asterisk
    shape = len(rule.pattern) - len(name)
    encoded = name[shape > 0 :].encode("ascii")  # without the wildcard's dot
    pinset = _UNPINNED if rule.pinset is None else pinsets.index(rule.pinset)
    return _Entry(encoded, shape, _hash(encoded), pinset)


def _hash(name: bytes) -> int:
    """Return FNV-1a of 64 bits, from the last byte to the first."""
    value = 0xCBF29CE484222325
    for byte in reversed(name):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def _bucket(entry: _Entry, bucket_mask: int) -> int:
    return (entry.hash ^ entry.hash >> 32) & bucket_mask


def _order(entry: _Entry, bucket_mask: int) -> tuple[int, int, bytes, int]:
    return _bucket(entry, bucket_mask), entry.hash >> 32, entry.name, entry.shape


def _rules_section(entries: list[_Entry]) -> bytes:
    section = bytearray()
    name_at = 0
    for entry in entries:
        section += _RULE.pack(
            name_at, entry.hash >> 32, entry.pinset, len(entry.name), entry.shape
        )
        name_at += len(entry.name)
    return bytes(section)


def _buckets_section(entries: list[_Entry], bucket_mask: int) -> bytes:
    starts = [0] * (bucket_mask + 2)
    for entry in entries:
        starts[_bucket(entry, bucket_mask) + 1] += 1
    for i in range(bucket_mask + 1):
        starts[i + 1] += starts[i]
    return struct.pack(f"<{len(starts)}I", *starts)
