"""Compiled policies: conversion of rules to bytes, and back.

csrc/pinverify.h, section 5, describes each byte. The C core checks all of them when
it opens a policy, so it does not trust what is written here.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Literal, NamedTuple

from pinverify import core
from pinverify.core._library import DIGEST_LEN
from pinverify.core._pins import pack
from pinverify.errors import PolicyError
from pinverify.policy._moments import moment, seconds_of
from pinverify.policy._pin import Pin, PinKind
from pinverify.policy._report import MODES
from pinverify.policy._rules import LISTS, UNPINNED, PinSet, Rules, Unpinned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pinverify.core._handle import OpenPolicy

__all__ = ["compile_rules", "read_rules"]

_MAGIC = b"pinvpol1"
_HEADER = struct.Struct("<QIIIIQQIIII32x")  # the fields after the digest
_PINSET = struct.Struct("<BB6xq16I")
_RULE = struct.Struct("<IIIBB2x")
_HEADER_LEN = len(_MAGIC) + DIGEST_LEN + _HEADER.size

_REJECT_UNPINNED = 1
_CLIENTS = 2
_UNPINNED = 0xFFFFFFFF
_ROWS_MAX = 4  # up to this many pins, rows are packed pins already

_NEVER, _ALLOW, _REJECT = 0, 1, 2  # after_expiry
_NO_RUN = (0, 0)

# ---- from rules to bytes -----------------------------------------------------


def compile_rules(rules: Rules) -> bytes:
    """Return the bytes of a compiled policy. Equal rules give equal bytes."""
    pins = _PinTable()
    pinsets = _PinSetTable(pins)
    blocked_runs = _runs(pins, rules.blocked)
    if rules.clients is not None:
        pinsets.index(rules.clients)  # it must be number 0: see the header
    in_order = sorted(rules.hosts.items(), key=lambda rule: rule[0])
    entries = [_entry(pattern, value, pinsets) for pattern, value in in_order]
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
    flags = _REJECT_UNPINNED * (rules.unpinned == "reject")
    flags |= _CLIENTS * (rules.clients is not None)
    covered = _HEADER.pack(
        size,
        flags,
        len(entries),
        bucket_mask + 1,
        pinsets.num,
        len(pins.data) // DIGEST_LEN,
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

    def run(self, digests: tuple[bytes, ...]) -> tuple[int, int]:
        """Return the first row of these digests, and their number."""
        if not digests:  # fast path: most of the eight runs of a PinSet are empty
            return _NO_RUN
        found = self._runs.get(digests)
        if found is None:
            found = (len(self.data) // DIGEST_LEN, len(digests))
            rows = b"".join(digests)
            self.data += rows if found[1] <= _ROWS_MAX else pack(rows)
            self._runs[digests] = found
        return found


def _runs(table: _PinTable, pins: Iterable[Pin]) -> tuple[int, ...]:
    """Return the run of the SPKI pins, and the run of the certificate pins."""
    if not pins:
        return _NO_RUN + _NO_RUN
    by_kind: tuple[list[bytes], list[bytes]] = ([], [])
    for pin in pins:
        by_kind[pin.kind].append(pin.digest)
    return table.run(tuple(by_kind[0])) + table.run(tuple(by_kind[1]))


class _PinSetTable:
    """The pinsets section; equal PinSets are stored once."""

    def __init__(self, pins: _PinTable) -> None:
        self.data = bytearray()
        self.num = 0
        self._pins = pins
        self._indices: dict[PinSet, int] = {}

    def index(self, pinset: PinSet) -> int:
        """Return the index of a PinSet."""
        index = self._indices.setdefault(pinset, self.num)
        if index == self.num:
            self.data += self._packed(pinset)
            self.num += 1
        return index

    def _packed(self, pinset: PinSet) -> bytes:
        expires, after_expiry = 0, _NEVER
        if pinset.expires is not None:
            expires = seconds_of(pinset.expires)
            after_expiry = _REJECT if pinset.after_expiry == "reject" else _ALLOW
        runs = [n for name in LISTS for n in _runs(self._pins, getattr(pinset, name))]
        return _PINSET.pack(MODES.index(pinset.mode), after_expiry, expires, *runs)


class _Entry(NamedTuple):
    """A rule as it is stored."""

    name: bytes
    shape: int
    hash: int
    pinset: int


def _entry(pattern: str, value: PinSet | Unpinned, pinsets: _PinSetTable) -> _Entry:
    name = pattern.lstrip("*")  # a canonical name has no asterisk
    shape = len(pattern) - len(name)
    encoded = name[shape > 0 :].encode("ascii")  # without the wildcard's dot
    pinset = _UNPINNED if isinstance(value, Unpinned) else pinsets.index(value)
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


# ---- from bytes to rules -----------------------------------------------------


def read_rules(handle: OpenPolicy) -> Rules:
    """Return the rules of a compiled policy.

    Raises:
        PolicyError: an expiry is outside the calendar. pinverify does not compile such
            a policy, but another program may have.
    """
    pinsets: dict[int, PinSet] = {}
    hosts: dict[str, PinSet | Unpinned] = {}
    for index in range(handle.num_rules):
        pattern, pinset = handle.rule(index)
        if pinset is None:
            hosts[pattern] = UNPINNED
            continue
        if pinset not in pinsets:
            pinsets[pinset] = _read_pinset(handle, pinset, repr(pattern))
        hosts[pattern] = pinsets[pinset]
    lengths = tuple(map(handle.num_blocked, PinKind))
    return Rules(
        hosts,
        unpinned="reject" if handle.rejects_unpinned else "allow",
        blocked=_read_pins(handle, None, LISTS.index("blocked"), lengths),
        clients=_read_pinset(handle, 0, "clients") if handle.has_clients else None,
    )


def _read_pinset(handle: OpenPolicy, index: int, where: str) -> PinSet:
    raw = handle.pinset(index)
    lists = [
        _read_pins(handle, index, number, raw.num_pins[2 * number : 2 * number + 2])
        for number in range(len(LISTS))
    ]
    try:
        expires = None if raw.expires is None else moment(raw.expires)
    except PolicyError as error:
        msg = f"the rule of {where}: expires: {error}"
        raise PolicyError(msg) from None
    after_expiry: Literal["allow", "reject"] | None = None
    if expires is not None:
        after_expiry = "reject" if raw.expired_rejects else "allow"
    return PinSet(
        *lists, mode=MODES[raw.mode], expires=expires, after_expiry=after_expiry
    )


def _read_pins(
    handle: OpenPolicy, pinset: int | None, number: int, lengths: tuple[int, ...]
) -> list[Pin]:
    return [
        Pin(kind, digest)
        for kind, length in zip(PinKind, lengths, strict=True)
        for digest in handle.pins(pinset, number, kind, 0, length)
    ]
