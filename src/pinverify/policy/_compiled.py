"""Compiled policies: conversion of rules to bytes, and back.

csrc/pinverify.h, section 5, describes each byte. The C core checks all of them when
it opens a policy, so it does not trust what is written here.
"""

from __future__ import annotations

import struct
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING, Literal, NamedTuple

from pinverify import core
from pinverify.core._library import DIGEST_LEN
from pinverify.core._pins import pack
from pinverify.errors import PolicyError
from pinverify.policy._epoch_seconds import moment, seconds_of
from pinverify.policy._pin import Pin, PinKind
from pinverify.policy._report import MODES
from pinverify.policy._rules import LISTS, UNPINNED, PinSet, Rules, Unpinned

if TYPE_CHECKING:
    from pinverify.core._open_policy import OpenPolicy

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
    blocked_runs = pins.runs(rules.blocked)
    # Equal PinSets are stored once. That of clients must be number 0: see the header.
    numbers = {} if rules.clients is None else {rules.clients: 0}
    num_buckets = 1 << max(len(rules.hosts) - 1, 0).bit_length()
    rows = []
    for pattern, value in sorted(rules.hosts.items(), key=itemgetter(0)):
        number = _UNPINNED
        if isinstance(value, PinSet):
            number = numbers.setdefault(value, len(numbers))
        rows.append(_row(pattern, number, num_buckets))
    rows.sort()
    names = b"".join(row.name for row in rows)
    names_at = accumulate([len(row.name) for row in rows], initial=0)
    in_bucket = [0] * (num_buckets + 1)
    for row in rows:
        in_bucket[row.bucket + 1] += 1
    pinsets = [_pinset(pinset, pins) for pinset in numbers]
    contents = b"".join(
        (
            pins.data,
            *pinsets,
            *(
                _RULE.pack(at, row.hash, row.pinset, len(row.name), row.shape)
                for at, row in zip(names_at, rows, strict=False)
            ),
            struct.pack(f"<{num_buckets + 1}I", *accumulate(in_bucket)),
            names,
        )
    )
    size = -(-(_HEADER_LEN + len(contents)) // 8) * 8
    flags = _REJECT_UNPINNED * (rules.unpinned == "reject")
    flags |= _CLIENTS * (rules.clients is not None)
    covered = _HEADER.pack(
        size,
        flags,
        len(rows),
        num_buckets,
        len(pinsets),
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
        self._runs: dict[tuple[bytes, ...], tuple[int, int]] = {(): _NO_RUN}

    def runs(self, pins: tuple[Pin, ...]) -> tuple[int, ...]:
        """Return first row and length of the SPKI pins, then of the certificates'."""
        if not pins:  # fast path: most lists of a PinSet are empty
            return _NO_RUN + _NO_RUN
        by_kind: tuple[list[bytes], list[bytes]] = ([], [])
        for pin in pins:
            by_kind[pin.kind].append(pin.digest)
        return self._run(tuple(by_kind[0])) + self._run(tuple(by_kind[1]))

    def _run(self, digests: tuple[bytes, ...]) -> tuple[int, int]:
        run = self._runs.get(digests)
        if run is None:
            run = self._runs[digests] = len(self.data) // DIGEST_LEN, len(digests)
            rows = b"".join(digests)
            self.data += rows if len(digests) <= _ROWS_MAX else pack(rows)
        return run


def _pinset(pinset: PinSet, pins: _PinTable) -> bytes:
    expires, after_expiry = 0, _NEVER
    if pinset.expires is not None:
        expires = seconds_of(pinset.expires)
        after_expiry = _REJECT if pinset.after_expiry == "reject" else _ALLOW
    runs = [n for name in LISTS for n in pins.runs(getattr(pinset, name))]
    return _PINSET.pack(MODES.index(pinset.mode), after_expiry, expires, *runs)


class _Row(NamedTuple):
    """A rule as it is stored, and what rules are sorted by."""

    bucket: int
    hash: int  # the upper half
    name: bytes
    shape: int
    pinset: int


def _row(pattern: str, pinset: int, num_buckets: int) -> _Row:
    shape = pattern.count("*")  # a canonical name has no asterisk
    name = pattern[shape + (shape > 0) :].encode("ascii")  # without the wildcard's dot
    value = 0xCBF29CE484222325  # FNV-1a of 64 bits, from the last byte to the first
    for byte in reversed(name):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    bucket = (value ^ value >> 32) & (num_buckets - 1)
    return _Row(bucket, value >> 32, name, shape, pinset)


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
