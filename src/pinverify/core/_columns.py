"""Columns: many byte strings in one buffer, the layout that C reads."""

from __future__ import annotations

import struct
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.core._library import as_bytes, ffi, lib, view

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.core._library import Buffer, Offsets

__all__ = [
    "Chain",
    "Chains",
    "Column",
    "as_columns",
    "bytes_at",
    "chain",
    "check_offsets",
]


class Chain(NamedTuple):
    """Certificates of one chain, in the layout that C reads in one call."""

    certs: Sequence[bytes]
    """DER, leaf first."""
    data: bytes
    """The same, back to back."""
    lens: bytes
    """The length of each: 4 bytes, little-endian."""


def chain(certs: Sequence[bytes]) -> Chain:
    """Return *certs* (DER, leaf first) as a `Chain`."""
    lens = struct.pack(f"<{len(certs)}I", *map(len, certs))
    return Chain(certs, b"".join(certs), lens)


class Column:
    """A ``pv_column``, together with the buffers that it points to."""

    __slots__ = ("_kept", "handle", "num")

    def __init__(self, data: Buffer, offsets: Offsets) -> None:
        held, positions = view(data), _positions(offsets)
        data_len = len(held)
        if positions.format in _SIGNED and positions.itemsize == _NARROW:
            # Signed positions are at most this, so a negative one exceeds the end.
            data_len = min(data_len, _NARROW_MAX)
        at = ffi.from_buffer(positions)
        self.num = len(positions) - 1
        self.handle = ffi.new(
            "pv_column *", (held, data_len, (at, positions.itemsize, self.num))
        )
        self._kept = held, at

    @classmethod
    def of_list(cls, items: Sequence[bytes]) -> Column:
        """Make a column of a list of byte strings, which are copied."""
        if set(map(type, items)) - {bytes}:
            items = [as_bytes(item) for item in items]
        return cls(b"".join(items), _ends(items))


class Chains:
    """n chains of certificates, for `OpenPolicy.evaluate_many`."""

    __slots__ = ("certs", "handle", "num", "positions")

    def __init__(
        self,
        chains: Sequence[Sequence[bytes]] | Buffer,
        offsets: Offsets | None = None,
        chain_offsets: Offsets | None = None,
    ) -> None:
        """Find the certificates, and the boundaries of the chains.

        Args:
            chains: n chains, each leaf first; or, with *offsets*, one buffer that
                holds all certificates.
            offsets: certificate j is bytes offsets[j] to offsets[j + 1].
            chain_offsets: chain i is certificates chain_offsets[i] to
                chain_offsets[i + 1]; None if each certificate is a chain.
        """
        given: Any = chains
        if offsets is not None:
            self.certs = Column(given, offsets)
            if chain_offsets is None:
                chain_offsets = range(self.certs.num + 1)
        elif chain_offsets is None:
            _check_list(given)
            lists = [list(certs) for certs in given]
            self.certs = Column.of_list([cert for certs in lists for cert in certs])
            chain_offsets = _ends(lists)
        else:
            msg = "chain_offsets are for certificates in one buffer: give offsets too"
            raise TypeError(msg)
        self.positions = _positions(chain_offsets)
        self.num = len(self.positions) - 1
        at = ffi.from_buffer(self.positions)
        self.handle = ffi.new("pv_offsets *", (at, self.positions.itemsize, self.num))


# Lists are joined this many at a time, so that the copies stay in the caches.
_ITEMS_AT_ONCE = 256


def as_columns(
    items: Sequence[bytes] | Buffer, offsets: Offsets | None
) -> tuple[int, Iterator[tuple[int, Column]]]:
    """Return the number of byte strings, and the columns that hold them.

    Each column comes with the index of its first. All but the last have a multiple
    of `_ITEMS_AT_ONCE`.
    """
    given: Any = items
    if offsets is not None:
        column = Column(given, offsets)
        return column.num, iter([(0, column)])
    _check_list(given)
    rows = list(given)
    firsts = range(0, len(rows), _ITEMS_AT_ONCE)
    columns = (
        (first, Column.of_list(rows[first : first + _ITEMS_AT_ONCE]))
        for first in firsts
    )
    return len(rows), columns


def _check_list(items: Any) -> None:  # noqa: ANN401 - any argument
    try:
        memoryview(items)
    except TypeError:
        return
    msg = "expected a list of byte strings; for one buffer give offsets as well"
    raise TypeError(msg)


_SIGNED, _UNSIGNED = ("i", "l", "q"), ("I", "L", "Q")
_NARROW, _WIDE = 4, 8
_NARROW_MAX = 2**31 - 1


def _positions(offsets: Offsets) -> memoryview:
    """Return offsets as integers of 4 or 8 bytes; those of a buffer are not copied."""
    given: Any = offsets
    try:
        found = memoryview(given)
    except TypeError:
        found = memoryview(_as_array(given))
    if found.ndim != 1 or found.format not in _SIGNED + _UNSIGNED:
        msg = (
            f"offsets are integers of 4 or 8 bytes, got a buffer of {found.format!r}; "
            "for an Arrow buffer write memoryview(offsets).cast('i') if the "
            "column is binary, .cast('q') if it is large_binary"
        )
        raise TypeError(msg)
    if not found.c_contiguous:
        msg = "the offsets are not contiguous; make a copy of them first"
        raise TypeError(msg)
    if len(found) == 0:
        msg = "offsets need one entry more than there are items, so at least one"
        raise ValueError(msg)
    return found


def _as_array(offsets: Sequence[int]) -> array[int]:
    try:
        return array("Q", offsets)
    except OverflowError:
        msg = "an offset is negative or has more than 64 bits"
        raise ValueError(msg) from None


def _ends(items: Sequence[Sequence[Any]]) -> array[int]:
    return array("Q", accumulate(map(len, items), initial=0))


def bytes_at(buffer: bytearray) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a buffer that C writes to."""
    return ffi.from_buffer("uint8_t[]", buffer)


def check_offsets(status: int) -> None:
    """Raise ValueError unless C accepted the offsets of a column."""
    if status != lib.PV_OK:
        msg = "offsets descend, or exceed the end of the buffer"
        raise ValueError(msg)
