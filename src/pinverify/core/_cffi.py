"""The compiled core: its functions and statuses, and the memory that they read.

Without the core nothing is decided: there is no second implementation in Python.
"""

from __future__ import annotations

import struct
from array import array
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
    return str(ffi.string(lib.pv_status_text(status)), "ascii")


def as_bytes(data: Any) -> bytes:  # noqa: ANN401 - any argument
    """Return the bytes of a buffer; TypeError for anything else."""
    if type(data) is bytes:
        return data
    if not isinstance(data, bytes | bytearray | memoryview):
        msg = f"expected bytes, got {type(data).__name__}"
        raise TypeError(msg)
    return memoryview(data).tobytes()  # a subclass may redefine len()


def view(data: Buffer) -> memoryview:
    """Return a view of contiguous bytes, no copy; TypeError for anything else."""
    found = memoryview(data)
    if not found.c_contiguous:
        msg = "expected contiguous bytes; make a copy of them first"
        raise TypeError(msg)
    return found


def address(held: memoryview) -> Any:  # noqa: ANN401 - a C pointer
    """Return a pointer to the first byte of a view that the caller keeps.

    No variable keeps the result of `from_buffer`, not even in the traceback of a
    KeyboardInterrupt, so cffi releases the view at once. If a variable kept the result,
    the garbage collector could release the view before it, and crash.
    """
    return ffi.cast("uint8_t *", ffi.from_buffer(held))


class Chain(NamedTuple):
    """Certificates of one chain, in the layout that C reads in one call."""

    certs: Sequence[bytes]
    """DER, leaf first."""
    data: bytes
    """The same, back to back."""
    offsets: bytes
    """Where each certificate begins, and where the last ends: 4 bytes each."""


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
        """Make positions that nobody can change; copy them if somebody could.

        A view may be read-only while the memory behind it is not.
        """
        found: Any = _positions(offsets)
        own = type(found.obj) is bytes or not is_buffer(offsets)
        return cls(found if own else memoryview(found.tobytes()).cast(found.format))

    def part(self, first: int, num: int) -> tuple[Any, int, int]:
        """Return the ``pv_offsets`` of *num* pieces, from number *first* on."""
        return (self._address + self.width * first, self.width, num)

    def from_zero(self, first: int, num: int) -> Positions:
        """Return the positions of *num* pieces, from number *first* on, moved to zero.

        The first position is subtracted from all in a copy; if it is zero, nothing is
        copied. ValueError if it is negative, or exceeds the last or one in the copy.
        """
        some = self.view[first : first + num + 1]
        start = some[0]
        if not 0 <= start <= some[-1]:
            raise ValueError(_DESCEND)
        if start == 0:
            return Positions(some)
        try:
            return Positions(array("Q", (at - start for at in some)))
        except OverflowError:
            raise ValueError(_DESCEND) from None


class Column:
    """Byte strings in one buffer: a ``pv_column``, and the memory it points to."""

    __slots__ = ("_address", "data", "data_len", "handle", "num", "positions")

    def __init__(self, data: Buffer, offsets: Offsets | Positions) -> None:
        given = offsets if isinstance(offsets, Positions) else Positions(offsets)
        self.data = view(data)
        self.data_len = self.data.nbytes
        if given.view.format in _SIGNED and given.width == _NARROW:
            # No signed position exceeds this, and C reads a negative one as larger.
            self.data_len = min(self.data_len, _NARROW_MAX)
        self.positions = given
        self.num = given.num
        self._address = address(self.data)
        self.handle = self.part(0, self.num)

    @classmethod
    def of_list(cls, items: Sequence[bytes]) -> Column:
        """Make a column of a list of byte strings, which are copied."""
        if set(map(type, items)) - {bytes}:
            items = [as_bytes(item) for item in items]
        return cls(b"".join(items), ends(items))

    @classmethod
    def of_texts(cls, texts: Sequence[str]) -> Column:
        """Make a column of a list of texts; UnicodeEncodeError if one is not ASCII."""
        return cls("".join(texts).encode("ascii"), ends(texts))

    def item(self, row: int) -> bytes:
        """Return a copy of one string; C must have written or accepted the offsets."""
        at = self.positions.view
        return bytes(self.data[at[row] : at[row + 1]])

    def texts(self) -> list[str]:
        """Return all strings; C must have written or accepted the offsets."""
        at = self.positions.view
        text = bytes(self.data[: at[-1]]).decode("ascii")
        return [text[a:b] for a, b in pairwise(at)]

    def text(self, row: int) -> str:
        """Return one string, with escapes where it is not UTF-8."""
        at = self.positions.view
        text = self.data.tobytes()[at[row] : at[row + 1]]
        return text.decode("utf-8", "backslashreplace")

    def part(self, first: int, num: int) -> Any:  # noqa: ANN401 - a C struct
        """Return a ``pv_column`` of *num* strings, from number *first* on."""
        positions = self.positions.part(first, num)
        return ffi.new("pv_column *", (self._address, self.data_len, positions))


# Lists are joined this many at a time, so that the copies stay in the caches.
_ITEMS_AT_ONCE = 256


def as_columns(
    items: Sequence[bytes] | Buffer, offsets: Offsets | None
) -> tuple[int, Iterator[tuple[int, Column]]]:
    """Return the number of byte strings, and the columns that hold them.

    Each column comes with the index of its first string. The number of strings is a
    multiple of `_ITEMS_AT_ONCE` in every column but the last.
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
_NARROW, _NARROW_MAX = 4, 2**31 - 1


def _positions(offsets: Offsets) -> memoryview:
    """Return offsets as integers of 4 or 8 bytes; a buffer is not copied."""
    given: Any = offsets
    if not is_buffer(given):
        try:
            given = array("Q", given)
        except OverflowError:
            msg = "an offset is negative or has more than 64 bits"
            raise ValueError(msg) from None
    found = memoryview(given)
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


def ends(items: Sequence[Sequence[Any]]) -> array[int]:
    """Return the offsets of items that lie back to back, in the narrowest integers."""
    try:
        return array("I", accumulate(map(len, items), initial=0))
    except OverflowError:
        return array("Q", accumulate(map(len, items), initial=0))


_DESCEND = "offsets descend, or exceed the end of the buffer"


def check_offsets(status: int) -> None:
    """Raise ValueError unless C accepted the offsets of a column."""
    if status != lib.PV_OK:
        raise ValueError(_DESCEND)
