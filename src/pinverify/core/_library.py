"""The compiled core: its functions and statuses, and the memory that they read.

Many byte strings lie in one buffer, a column, with the positions that cut it.
"""

from __future__ import annotations

import struct
import sys
from array import array
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify._core import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _typeshed import ReadableBuffer

__all__ = [
    "DIGEST_LEN",
    "Buffer",
    "Chain",
    "Column",
    "Offsets",
    "Positions",
    "address",
    "as_bytes",
    "as_columns",
    "bytes_at",
    "chain",
    "check_offsets",
    "ends",
    "ffi",
    "is_buffer",
    "lib",
    "status_text",
    "view",
]

if not lib.complete_module():
    msg = "pinverify._core cannot be completed: build or install it again"
    raise ImportError(msg)

DIGEST_LEN: int = lib.PV_DIGEST_LEN

Buffer: TypeAlias = "ReadableBuffer"
"""Anything with contiguous bytes: bytes, bytearray, memoryview, mmap.mmap,
array.array, a numpy array, a pyarrow buffer."""

Offsets: TypeAlias = "Sequence[int] | ReadableBuffer"
"""n + 1 ascending positions: item i is from position i to position i + 1.

A buffer of 4- or 8-byte integers is not copied: array.array, a numpy array, or
``memoryview(buffer).cast("i")`` of an Arrow buffer.
"""


def status_text(status: int) -> str:
    """Return the phrase for a ``pv_status``."""
    text: bytes = ffi.string(lib.pv_status_text(status))
    return text.decode("ascii")


def as_bytes(data: Any) -> bytes:  # noqa: ANN401 - any argument
    """Return the bytes of a buffer.

    Raises:
        TypeError: *data* is not a buffer.
    """
    if type(data) is bytes:
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"expected bytes, got {type(data).__name__}"
        raise TypeError(msg)
    return memoryview(data).tobytes()  # a subclass may redefine len()


def view(data: Buffer) -> memoryview:
    """Return a view of the bytes of *data*, without a copy.

    Raises:
        TypeError: *data* is not a buffer, or not contiguous.
    """
    found = memoryview(data)
    if not found.c_contiguous:
        msg = "expected contiguous bytes; make a copy of them first"
        raise TypeError(msg)
    return found


def address(held: memoryview) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a view that the caller keeps.

    cffi lets go of the view at once: no variable has what `from_buffer` returns, not
    even in the traceback of a KeyboardInterrupt. If something had it when the view
    became garbage, the garbage collector could release the view first, and crash.
    """
    return ffi.cast("uint8_t *", ffi.from_buffer(held))


# ---- columns -----------------------------------------------------------------


class Chain(NamedTuple):
    """Certificates of one chain, in the layout that C reads in one call."""

    certs: Sequence[bytes]
    """DER, leaf first."""
    data: bytes
    """The same, back to back."""
    offsets: bytes
    """Where each begins, and the last one ends: 4 bytes for each."""


def chain(certs: Sequence[bytes]) -> Chain:
    """Return *certs* (DER, leaf first) as a `Chain`."""
    ends = accumulate(map(len, certs), initial=0)
    return Chain(certs, b"".join(certs), struct.pack(f"={len(certs) + 1}I", *ends))


class Positions:
    """n + 1 positions that cut a sequence into n pieces: ``pv_offsets``."""

    __slots__ = ("_address", "num", "view", "width")

    def __init__(self, offsets: Offsets) -> None:
        self.view = _positions(offsets)
        self.width = self.view.itemsize
        self.num = len(self.view) - 1
        self._address = address(self.view)

    @classmethod
    def kept(cls, offsets: Offsets) -> Positions:
        """Make positions that nobody can change: a copy, if somebody could.

        A view may be read-only while the memory behind it is not.
        """
        found: Any = _positions(offsets)
        own = type(found.obj) is bytes or not is_buffer(offsets)
        return cls(found if own else memoryview(found.tobytes()).cast(found.format))

    def part(self, first: int, num: int) -> tuple[Any, int, int]:
        """Return the ``pv_offsets`` of *num* pieces, from number *first* on."""
        return (self._address + self.width * first, self.width, num)

    def from_zero(self, first: int, num: int) -> Positions:
        """Return those of *num* pieces, from number *first* on, as if they were all.

        The first one becomes zero: they are a copy, unless it is zero already. One that
        was before the first exceeds every end then, so that C refuses it.

        Raises:
            ValueError: the first or the last is negative, or they descend.
        """
        some = self.view[first : first + num + 1]
        start, end = some[0], some[-1]
        if not 0 <= start <= end:
            raise ValueError(_DESCEND)
        if start == 0:
            return Positions(some)
        # All are digits of one number, from which the first is subtracted once: a loop
        # takes longer than many decisions. A digit below it borrows from the next one.
        order, size = sys.byteorder, self.width * len(some)
        ones = _ones(self.width, len(some))
        difference = int.from_bytes(some, order) - start * ones
        if difference < 0:
            raise ValueError(_DESCEND)
        data = memoryview(difference.to_bytes(size, order))
        return Positions(data.cast("I" if self.width == _NARROW else "Q"))


@lru_cache(maxsize=4)
def _ones(width: int, num: int) -> int:
    """Return the number with *num* digits of *width* bytes, each of which is 1."""
    return int.from_bytes((1).to_bytes(width, sys.byteorder) * num, sys.byteorder)


class Column:
    """A ``pv_column``, together with the buffers that it points to."""

    __slots__ = ("_data", "_held", "handle", "num", "positions")

    def __init__(self, data: Buffer, offsets: Offsets | Positions) -> None:
        given = offsets if isinstance(offsets, Positions) else Positions(offsets)
        self._held = view(data)
        data_len = self._held.nbytes
        if given.view.format in _SIGNED and given.width == _NARROW:
            # Signed positions are at most this, so a negative one exceeds the end.
            data_len = min(data_len, _NARROW_MAX)
        self.positions = given
        self.num = given.num
        self._data = address(self._held), data_len
        self.handle = self.part(0, self.num)

    @classmethod
    def of_list(cls, items: Sequence[bytes]) -> Column:
        """Make a column of a list of byte strings, which are copied."""
        if set(map(type, items)) - {bytes}:
            items = [as_bytes(item) for item in items]
        return cls(b"".join(items), ends(items))

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Column:
        """Make a column of a list of ASCII texts.

        Raises:
            UnicodeEncodeError: a text is not ASCII.
        """
        return cls("".join(texts).encode("ascii"), ends(texts))

    @property
    def data_len(self) -> int:
        """The number of bytes that positions are relative to."""
        length: int = self._data[1]
        return length

    @property
    def data(self) -> memoryview:
        """The bytes that positions are relative to."""
        return self._held

    def item(self, row: int) -> bytes:
        """Return a copy of one string of such a column as `texts` is for."""
        at = self.positions.view
        return bytes(self._held[at[row] : at[row + 1]])

    def texts(self) -> list[str]:
        """Return the strings of a column whose offsets C has written or accepted."""
        at = self.positions.view
        text = bytes(self._held[: at[-1]]).decode("ascii")
        return [text[a:b] for a, b in pairwise(at)]

    def text(self, row: int) -> str:
        """Return one string of such a column, as far as it is UTF-8."""
        at = self.positions.view
        text = self._held.tobytes()[at[row] : at[row + 1]]
        return text.decode("utf-8", "backslashreplace")

    def some(self, first: int, num: int) -> Column:
        """Return a column of *num* of the strings, from number *first* on."""
        return Column(self._held, self.positions.view[first : first + num + 1])

    def part(self, first: int, num: int) -> Any:  # noqa: ANN401 - a C struct
        """Return a ``pv_column`` of *num* strings, from number *first* on."""
        return ffi.new("pv_column *", (*self._data, self.positions.part(first, num)))


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
    if is_buffer(given):
        msg = "expected a list of byte strings; for one buffer give offsets as well"
        raise TypeError(msg)
    rows = list(given)
    firsts = range(0, len(rows), _ITEMS_AT_ONCE)
    columns = (
        (first, Column.of_list(rows[first : first + _ITEMS_AT_ONCE]))
        for first in firsts
    )
    return len(rows), columns


def is_buffer(given: Any) -> bool:  # noqa: ANN401 - any argument
    try:
        memoryview(given)
    except TypeError:
        return False
    return True


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


def ends(items: Sequence[Sequence[Any]]) -> array[int]:
    """Return the offsets of items that lie back to back, as narrow as they fit."""
    try:
        return array("I", accumulate(map(len, items), initial=0))
    except OverflowError:
        return array("Q", accumulate(map(len, items), initial=0))


def bytes_at(buffer: bytearray) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a buffer that C writes to."""
    return ffi.from_buffer("uint8_t[]", buffer)


_DESCEND = "offsets descend, or exceed the end of the buffer"


def check_offsets(status: int) -> None:
    """Raise ValueError unless C accepted the offsets of a column."""
    if status != lib.PV_OK:
        raise ValueError(_DESCEND)
