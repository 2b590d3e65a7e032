"""Compiled policies: conversion of rules to bytes, and back.

csrc/pinverify_compile.h, section 1, describes each byte. Here the pins and PinSets are
laid out; the C core writes the index of the hosts and the digest. The core checks all
bytes when it opens a policy, so it does not trust what is written here.
"""

from __future__ import annotations

import struct
from array import array
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from pinverify.core._keys import DIGEST_LEN, Column, pack
from pinverify.core._policies import (
    PINSET_LEN,
    OpenPolicy,
    begins_as_policy,
    compile_policy,
)
from pinverify.core._policies import UNPINNED as NO_PINSET
from pinverify.errors import PolicyError
from pinverify.policy._certs_and_pins import Pin, PinKind
from pinverify.policy._report import MODES
from pinverify.policy._rules import (
    LISTS,
    UNPINNED,
    PinSet,
    Rules,
    Unpinned,
    lists_of,
    moment,
    read_pins,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from pinverify.core._keys import Buffer

__all__ = [
    "PinTable",
    "compile_rules",
    "compiled",
    "flags_of",
    "lay_out_pinsets",
    "read_compiled",
    "read_rules",
]

_HEAD = struct.Struct("<BB6xq")
_RUN = struct.Struct("<II")
_SIZE = slice(40, 48)
_HEADER_LEN = 128
_PIECE = 2**24

# Lists that share pins may have _FREE_ITEMS items, and one more for each
# _BYTES_FOR_ITEM bytes of the policy.
_FREE_ITEMS = 2**20
_BYTES_FOR_ITEM = 8

_REJECT_UNPINNED = 1
_CLIENTS = 2
_ROWS_MAX = 4  # up to this many pins, rows are packed pins already

_AFTER_EXPIRY = (None, "allow", "reject")  # by their numbers in a PinSet
_NO_RUN = bytes(_RUN.size)
_PLAIN_HEAD = bytes(_HEAD.size)
_SPKI = PinKind.SPKI


def compile_rules(rules: Rules) -> bytearray:
    """Return the bytes of a compiled policy. Equal rules give equal bytes."""
    patterns = sorted(rules.hosts)
    numbers: dict[_Content, int] = {}
    if rules.clients is not None:
        numbers[_pinset_content(rules.clients)] = 0  # see pinverify_compile.h
    pinset_of = [
        NO_PINSET
        if isinstance(value, Unpinned)
        else numbers.setdefault(_pinset_content(value), len(numbers))
        for value in map(rules.hosts.__getitem__, patterns)
    ]
    flags = flags_of(rules.unpinned, clients=rules.clients is not None)
    hosts = Column.of_texts(patterns)
    return compiled(hosts, array("I", pinset_of), numbers, flags, rules.blocked)


def compiled(
    patterns: Column,
    pinset_of: array[int],
    contents: Collection[_Content],
    flags: int,
    blocked: tuple[Pin, ...],
) -> bytearray:
    """Return the compiled policy with these PinSets, which are all different."""
    pins = PinTable()
    runs = pins.runs(_digests_of(blocked))
    pinsets = lay_out_pinsets(contents, pins)
    return compile_policy(patterns, pinset_of, flags, runs, pinsets, pins.data)


def flags_of(unpinned: Literal["allow", "reject"], *, clients: bool) -> int:
    """Return the flags of the header."""
    return _REJECT_UNPINNED * (unpinned == "reject") | _CLIENTS * clients


_Digests: TypeAlias = tuple[bytes, bytes]
"""The digests of SPKI pins and of certificate pins, back to back."""

_Content: TypeAlias = bytes | tuple[bytes, tuple[_Digests, ...]]
"""The contents of a PinSet: the digests of its pins, if it has SPKI pins in the list
`pins` and nothing else; otherwise its first bytes and its lists."""

_NO_DIGESTS = b"", b""


def _pinset_content(pinset: PinSet) -> _Content:
    lists = tuple(map(_digests_of, lists_of(pinset)))
    after_expiry = _AFTER_EXPIRY.index(pinset.after_expiry)
    expires = 0 if pinset.expires is None else seconds_of(pinset.expires)
    head = _HEAD.pack(MODES.index(pinset.mode), after_expiry, expires)
    spki, certificate = lists[0]
    others = certificate or pinset.leaf or pinset.ca or pinset.blocked
    return (head, lists) if others or head != _PLAIN_HEAD else spki


def _digests_of(pins: tuple[Pin, ...]) -> _Digests:
    """Return the digests of sorted pins, by their kind."""
    if not pins:  # fast path: most lists of a PinSet are empty
        return _NO_DIGESTS
    digests = b"".join([pin.digest for pin in pins])
    if pins[-1].kind is _SPKI:  # they are sorted by kind
        return digests, b""
    end = DIGEST_LEN * sum(pin.kind is _SPKI for pin in pins)
    return digests[:end], digests[end:]


def lay_out_pinsets(contents: Collection[_Content], pins: PinTable) -> Buffer:
    """Return the PinSets with these contents, and add their pins to a table."""
    plain = [content for content in contents if isinstance(content, bytes)]
    lengths = set(map(len, plain))
    if len(plain) == len(contents) and len(lengths) == 1 and not pins.data:
        num_pins = lengths.pop() // DIGEST_LEN
        if num_pins <= _ROWS_MAX:  # fast path
            pins.data = bytearray().join(plain)
            other_runs = bytes(PINSET_LEN - _HEAD.size - _RUN.size)
            rows = range(0, num_pins * len(plain), num_pins)
            return b"".join(
                [_PLAIN_HEAD + _RUN.pack(row, num_pins) + other_runs for row in rows]
            )
    return b"".join([_pinset(content, pins) for content in contents])


def _pinset(content: _Content, pins: PinTable) -> bytes:
    if isinstance(content, bytes):
        content = _PLAIN_HEAD, ((content, b""), *(_NO_DIGESTS,) * 3)
    head, lists = content
    return head + b"".join(map(pins.runs, lists))


class PinTable:
    """The pins section: runs of packed pins, equal ones stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._runs = {b"": _NO_RUN}

    def runs(self, digests: _Digests) -> bytes:
        """Return the runs of SPKI pins and of certificate pins."""
        spki, certificate = digests
        return self._run(spki) + self._run(certificate)

    def _run(self, digests: bytes) -> bytes:
        run = self._runs.get(digests)
        if run is None:
            num = len(digests) // DIGEST_LEN
            run = _RUN.pack(len(self.data) // DIGEST_LEN, num)
            self._runs[digests] = run
            self.data += digests if num <= _ROWS_MAX else pack(digests)
        return run


def read_rules(handle: OpenPolicy) -> Rules:
    """Return the rules of a compiled policy.

    PolicyError if an expiry is outside the calendar, if lists of pins overlap, or if
    very many lists share very many pins: another program may have compiled the policy.
    """
    lists = _Lists(handle)
    pinsets: dict[int, PinSet] = {}
    hosts: dict[str, PinSet | Unpinned] = {}
    for index in range(handle.num_rules):
        pattern, pinset = handle.rule(index)
        if pinset is None:
            hosts[pattern] = UNPINNED
            continue
        if pinset not in pinsets:
            pinsets[pinset] = _read_pinset(handle, lists, pinset, repr(pattern))
        hosts[pattern] = pinsets[pinset]
    has_clients = handle.has_clients
    return Rules(
        hosts,
        unpinned="reject" if handle.rejects_unpinned else "allow",
        blocked=lists.blocked(),
        clients=_read_pinset(handle, lists, 0, "clients") if has_clients else None,
    )


def _read_pinset(handle: OpenPolicy, lists: _Lists, index: int, where: str) -> PinSet:
    raw = handle.pinset(index)
    try:
        expires = None if raw.expires is None else moment(raw.expires)
    except PolicyError as error:
        msg = f"the rule of {where}: expires: {error}"
        raise PolicyError(msg) from None
    after_expiry: Literal["allow", "reject"] | None = None
    if expires is not None:
        after_expiry = "reject" if raw.expired_rejects else "allow"
    return PinSet(
        *lists.of_pinset(index),
        mode=MODES[raw.mode],
        expires=expires,
        after_expiry=after_expiry,
    )


class _Lists:
    """Lists of pins, each read once: PinSets share the lists that have the same rows.

    So if pinverify compiled a policy, the memory for its rules is bounded by its pins.
    For policies of other programs there are two more bounds: on the rows of all runs,
    because runs that overlap are read one by one; and on the items of all lists,
    because lists may share one of their two runs.
    """

    def __init__(self, handle: OpenPolicy) -> None:
        self._handle = handle
        self._rows_left = handle.num_rows
        self._items_left = _FREE_ITEMS + len(handle.data) // _BYTES_FOR_ITEM
        self._rows: set[tuple[int, int]] = set()
        self._runs: dict[tuple[PinKind, int, int], list[Pin]] = {}
        self._lists: dict[tuple[int, ...], tuple[Pin, ...]] = {}

    def of_pinset(self, index: int) -> list[tuple[Pin, ...]]:
        """Return the lists of a PinSet, in the order of `LISTS`."""
        return [self._list(index, number) for number in range(len(LISTS))]

    def blocked(self) -> tuple[Pin, ...]:
        """Return the pins that are blocked for every host."""
        return self._list(None, LISTS.index("blocked"))

    def _list(self, pinset: int | None, number: int) -> tuple[Pin, ...]:
        runs = self._handle.runs(pinset, number)
        found = self._lists.get(runs)
        if found is None:
            pins: list[Pin] = []
            for kind, first, length in zip(PinKind, runs[::2], runs[1::2], strict=True):
                self._count(first, length)
                run = self._runs.get((kind, first, length))
                if run is None:
                    digests = self._handle.pins(pinset, number, kind, length)
                    run = [Pin(kind, digest) for digest in digests]
                    self._runs[kind, first, length] = run
                pins += run
            found = self._lists[runs] = read_pins(pins, LISTS[number])
        return found

    def _count(self, first: int, length: int) -> None:
        if (first, length) not in self._rows:
            self._rows.add((first, length))
            self._rows_left -= length
        self._items_left -= length
        if self._rows_left < 0:
            msg = (
                "lists of pins overlap in the compiled policy; compile the rules again"
            )
            raise PolicyError(msg)
        if self._items_left < 0:
            msg = (
                "very many lists share very many pins, so the rules would take far "
                "more memory than the compiled policy; compile fewer pins"
            )
            raise PolicyError(msg)


def read_compiled(file: IO[bytes], file_len: int | None = None) -> bytes:
    """Return the bytes of a compiled policy; at most one more is read than it has.

    Other contents, such as a device that never ends, are refused by the first bytes.
    The other bytes are checked when the policy is opened. *file_len* is None for a
    pipe: its length is not known before it is read.
    """
    data = _read(file, _HEADER_LEN)
    if not data:
        msg = "it is empty; compile the policy again"
        raise PolicyError(msg)
    if len(data) < _HEADER_LEN or not begins_as_policy(data):
        OpenPolicy(data)  # raises
    size = int.from_bytes(data[_SIZE], "little")
    if size < _HEADER_LEN or (file_len is not None and file_len != size):
        there = len(data) if file_len is None else file_len
        raise PolicyError(_other_size(there, size))
    data += _read(file, size - len(data))
    longer = file.read(1)
    if len(data) == size and not longer:
        return data
    if file_len is None:
        raise PolicyError(_other_size(len(data), size, "more than " * bool(longer)))
    msg = (
        f"it had {file_len:,} bytes, and {'grew' if longer else 'shrank'} while it was "
        "read; write a new file, and rename it, as pinverify compile does"
    )
    raise PolicyError(msg)


def _read(file: IO[bytes], num: int) -> bytes:
    """Return *num* bytes, or fewer if the file ends before; read them in pieces.

    The header of a pipe may lie, so no more memory is taken than bytes have come.
    """
    pieces = []
    while num > 0 and (piece := file.read(min(num, _PIECE))):
        pieces.append(piece)
        num -= len(piece)
    return b"".join(pieces)


def _other_size(there: int, size: int, more: str = "") -> str:
    return (
        f"not a compiled policy: it is truncated, or bytes were appended: it has {more}"
        f"{there:,} bytes, and its header says {size:,}; fetch or compile it again"
    )
