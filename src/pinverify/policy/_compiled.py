"""Compiled policies: conversion of rules to bytes, and back.

csrc/pinverify_compile.h, section 1, describes each byte. Here the pins and PinSets are
laid out; the C core writes the index of the hosts and the digest. It checks all bytes
when it opens a policy, so it does not trust what is written here.
"""

from __future__ import annotations

import struct
import sys
from array import array
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from pinverify.core._keys import pack
from pinverify.core._library import DIGEST_LEN, Column
from pinverify.core._policies import PINSET_LEN, OpenPolicy, Source, begins_as_policy
from pinverify.core._policies import UNPINNED as NO_PINSET
from pinverify.errors import PolicyError
from pinverify.policy._pin import Pin, PinKind
from pinverify.policy._report import MODES
from pinverify.policy._rules import (
    LISTS,
    UNPINNED,
    PinSet,
    Rules,
    Unpinned,
    moment,
    read_pins,
    seconds_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from pinverify.core._library import Buffer

__all__ = [
    "PinTable",
    "compile_rules",
    "digests_of",
    "flags_of",
    "lay_out_pinsets",
    "read_compiled",
    "read_rules",
]

_HEAD = struct.Struct("<BB6xq")
_RUN = struct.Struct("<II")
_TWO_RUNS = struct.Struct("<IIII")  # pins of keys, pins of certificates
_NUM_ROWS = struct.Struct("<Q")
_SIZE = struct.Struct("<Q")
_SIZE_AT = 40
_NUM_ROWS_AT = 64
_BLOCKED_AT = 80
_HEADER_LEN = 128
_PIECE = 2**24

# An item of a list that shares its pins takes 8 bytes: as many as the file, and more.
_BYTES_FOR_ITEM = 8
_FREE_ITEMS = 2**20

_REJECT_UNPINNED = 1
_CLIENTS = 2
_ROWS_MAX = 4  # up to this many pins, rows are packed pins already

_NEVER, _ALLOW, _REJECT = 0, 1, 2  # after_expiry
_NO_RUN = bytes(_RUN.size)
_NO_RUNS = _NO_RUN + _NO_RUN
_PLAIN_HEAD = bytes(_HEAD.size)
_SPKI = PinKind.SPKI

# ---- from rules to bytes -----------------------------------------------------


def compile_rules(rules: Rules) -> bytearray:
    """Return the bytes of a compiled policy. Equal rules give equal bytes."""
    # PinSets are read in the order in which they lie in memory, each once, and then
    # numbered in the order of the patterns, because it does not depend on that.
    contents: dict[_Content, int] = {}
    read = [
        NO_PINSET
        if isinstance(value, Unpinned)
        else contents.setdefault(_pinset_content(value), len(contents))
        for value in rules.hosts.values()
    ]
    first = []
    if rules.clients is not None:  # theirs is PinSet 0, see the header
        content = _pinset_content(rules.clients)
        first.append(contents.setdefault(content, len(contents)))
    patterns = list(rules.hosts)
    order = sorted(range(len(patterns)), key=patterns.__getitem__)
    in_order = [read[i] for i in order]
    used = dict.fromkeys(first + in_order)
    used.pop(NO_PINSET, None)
    numbers = {number: new for new, number in enumerate(used)}
    numbers[NO_PINSET] = NO_PINSET
    by_read = list(contents)
    pins = PinTable()
    source = Source(
        Column.of_texts([patterns[i] for i in order]),
        array("I", map(numbers.__getitem__, in_order)),
        flags_of(rules.unpinned, clients=rules.clients is not None),
        pins.runs(digests_of(rules.blocked)),
        lay_out_pinsets([by_read[number] for number in used], pins),
        pins.data,
    )
    return source.compile()


def flags_of(unpinned: Literal["allow", "reject"], *, clients: bool) -> int:
    """Return the flags of the header."""
    return _REJECT_UNPINNED * (unpinned == "reject") | _CLIENTS * clients


_Digests: TypeAlias = tuple[bytes, bytes]
"""The digests of SPKI pins and of certificate pins, back to back."""

_Content: TypeAlias = bytes | tuple[bytes, _Digests, _Digests, _Digests, _Digests]
"""The digests of a PinSet that has SPKI pins and nothing else; of any other, its first
bytes and its lists."""

_NO_DIGESTS = b"", b""


def _pinset_content(pinset: PinSet) -> _Content:
    pins = digests_of(pinset.pins)
    leaf = digests_of(pinset.leaf)
    ca = digests_of(pinset.ca)
    blocked = digests_of(pinset.blocked)
    head = _PLAIN_HEAD
    if pinset.expires is not None:
        after_expiry = _REJECT if pinset.after_expiry == "reject" else _ALLOW
        expires = seconds_of(pinset.expires)
        head = _HEAD.pack(MODES.index(pinset.mode), after_expiry, expires)
    elif pinset.mode != MODES[0]:
        head = _HEAD.pack(MODES.index(pinset.mode), _NEVER, 0)
    elif not (pins[1] or pinset.leaf or pinset.ca or pinset.blocked):
        return pins[0]
    return head, pins, leaf, ca, blocked


def digests_of(pins: tuple[Pin, ...]) -> _Digests:
    """Return the digests of sorted pins, by their kind."""
    if not pins:  # fast path: most lists of a PinSet are empty
        return _NO_DIGESTS
    digests = b"".join([pin.digest for pin in pins])
    if pins[-1].kind is _SPKI:  # they are sorted by kind
        return digests, b""
    end = DIGEST_LEN * sum(pin.kind is _SPKI for pin in pins)
    return digests[:end], digests[end:]


def lay_out_pinsets(contents: Collection[_Content], pins: PinTable) -> Buffer:
    """Return the PinSets with these contents, which are all different.

    Their pins are added to a table.
    """
    plain = [content for content in contents if isinstance(content, bytes)]
    lengths = set(map(len, plain))
    if len(plain) == len(contents) and len(lengths) == 1 and not pins.data:
        num_pins = lengths.pop() // DIGEST_LEN
        if num_pins <= _ROWS_MAX:  # fast path
            pins.data = bytearray().join(plain)
            return _alike(len(plain), num_pins)
    return b"".join([_pinset(content, pins) for content in contents])


def _pinset(content: _Content, pins: PinTable) -> bytes:
    if isinstance(content, bytes):
        content = _PLAIN_HEAD, (content, b""), *(_NO_DIGESTS,) * 3
    head, listed, leaf, ca, blocked = content
    runs = pins.runs
    return head + runs(listed) + runs(leaf) + runs(ca) + runs(blocked)


def _alike(num_pinsets: int, num_pins: int) -> Buffer:
    """Return PinSets that have that many SPKI pins each, and nothing else."""
    fields = array("I", [0]) * (_FIELDS * num_pinsets)
    with memoryview(fields) as view:
        view[_FIRST_ROW::_FIELDS] = array(
            "I", range(0, num_pins * num_pinsets, num_pins)
        )
        view[_NUM_PINS::_FIELDS] = array("I", [num_pins]) * num_pinsets
    if sys.byteorder == "big":
        fields.byteswap()
    return fields


# A PinSet as numbers of 4 bytes: how many, and where the run of its SPKI pins is.
_FIELDS = PINSET_LEN // 4
_FIRST_ROW, _NUM_PINS = 4, 5


class PinTable:
    """The pins section: runs of packed pins, equal ones stored once."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._runs = {b"": _NO_RUN}

    def runs(self, digests: _Digests) -> bytes:
        """Return the runs of SPKI pins and of certificate pins."""
        if digests is _NO_DIGESTS:  # fast path
            return _NO_RUNS
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


# ---- from bytes to rules -----------------------------------------------------


def read_rules(handle: OpenPolicy) -> Rules:
    """Return the rules of a compiled policy.

    Raises:
        PolicyError: an expiry is outside the calendar, or lists of pins overlap.
            pinverify does not compile such a policy, but another program may have.
            Or very many lists share very many pins.
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
    """Lists of pins, each read once: PinSets share those that lie in the same rows.

    So the rules take no more memory than the policy has pins. Runs that overlap would
    be read again for each; pinverify compiles none. Lists that share the pins of keys
    and not those of certificates hold the same pins, and their number is bounded.
    """

    def __init__(self, handle: OpenPolicy) -> None:
        self._handle = handle
        (num_rows,) = _NUM_ROWS.unpack_from(handle.data, _NUM_ROWS_AT)
        self._pinsets_at = _HEADER_LEN + DIGEST_LEN * num_rows
        self._rows_left = num_rows
        self._items_left = _FREE_ITEMS + len(handle.data) // _BYTES_FOR_ITEM
        self._rows: set[tuple[int, int]] = set()
        self._runs: dict[tuple[PinKind, int, int], list[Pin]] = {}
        self._lists: dict[tuple[int, ...], tuple[Pin, ...]] = {}

    def of_pinset(self, index: int) -> list[tuple[Pin, ...]]:
        """Return the lists of a PinSet, in the order of `LISTS`."""
        runs_at = self._pinsets_at + PINSET_LEN * index + _HEAD.size
        return [
            self._list(index, number, runs_at + 2 * _RUN.size * number)
            for number in range(len(LISTS))
        ]

    def blocked(self) -> tuple[Pin, ...]:
        """Return the pins that are blocked for every host."""
        return self._list(None, LISTS.index("blocked"), _BLOCKED_AT)

    def _list(self, pinset: int | None, number: int, runs_at: int) -> tuple[Pin, ...]:
        """Return a list, whose two runs are at *runs_at*."""
        runs = _TWO_RUNS.unpack_from(self._handle.data, runs_at)
        found = self._lists.get(runs)
        if found is None:
            pins: list[Pin] = []
            for kind, first, length in zip(PinKind, runs[::2], runs[1::2], strict=True):
                run = self._runs.get((kind, first, length))
                if run is None:
                    self._count(first, length)
                    digests = self._handle.pins(pinset, number, kind, length)
                    run = [Pin(kind, digest) for digest in digests]
                    self._runs[kind, first, length] = run
                self._count_items(length)
                pins += run
            found = self._lists[runs] = read_pins(pins, LISTS[number])
        return found

    def _count(self, first: int, length: int) -> None:
        """Count the rows of a run that is new."""
        if (first, length) not in self._rows:
            self._rows.add((first, length))
            self._rows_left -= length
        if self._rows_left < 0:
            msg = (
                "lists of pins overlap in the compiled policy; compile the rules again"
            )
            raise PolicyError(msg)

    def _count_items(self, length: int) -> None:
        """Count the items of a list, most of which may be in others, too."""
        self._items_left -= length
        if self._items_left < 0:
            msg = (
                "very many lists share very many pins, so the rules would take far "
                "more memory than the compiled policy; compile fewer pins"
            )
            raise PolicyError(msg)


# ---- files -------------------------------------------------------------------


def read_compiled(file: IO[bytes], file_len: int | None = None) -> bytes:
    """Return the bytes of a compiled policy; no more are read than its header says.

    What else it may be, such as a device that never ends, is refused by its first
    bytes. All others are checked when it is opened.

    Args:
        file: unbuffered or buffered; at its first byte.
        file_len: its length; None if it is not known before it is read.

    Raises:
        PolicyError: it is too short or too long, or not a compiled policy.
    """
    data = _read(file, _HEADER_LEN)
    if not data:
        msg = "it is empty; compile the policy again"
        raise PolicyError(msg)
    if len(data) < _HEADER_LEN or not begins_as_policy(data):
        OpenPolicy(data)  # raises
    (size,) = _SIZE.unpack_from(data, _SIZE_AT)
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
    """Return some bytes, or fewer where there are no more: in pieces.

    The header of a pipe may lie: no more memory is taken than bytes have come.
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
