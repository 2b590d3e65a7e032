"""Columns of other libraries: the structs of Arrow that they hand over.

The interface (see `core._arrow`) gives pointers to buffers, and lengths only for the
buffers of views. So a producer is trusted about the memory that it points to, as a
caller in C is. All that can be checked is checked: a struct was not released and fits
its type, no number is negative, and no needed pointer is null. C checks that offsets do
not descend, and that views are inside their buffers. The last offset says where the
data ends.

Data are copied only from views. Offsets are copied only for a slice of lists, and made
for views and columns of one width, which have none.
"""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pinverify.core._arrow import struct_of
from pinverify.core._keys import Column, Positions, ffi, lib

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Content", "Rows", "read", "some"]


Content: TypeAlias = Literal["certificates", "chains", "hosts"]


class Rows(NamedTuple):
    """Some rows of a column: byte strings, or lists of them."""

    num: int
    valid: int
    """One bit for each row, 0 if it is null; the first row is the lowest bit."""
    strings: Column
    lists: Positions | None
    """List i is strings lists[i] to lists[i + 1]; None if each row is a string."""
    kept: object
    """The structs of the producer, whose memory the columns point to."""

    def part(self, first: int, num: int) -> Rows:
        """Return *num* rows of these, beginning with row *first*."""
        valid = self.valid >> first & _ones(num)
        if self.lists is not None:
            lists = self.lists.from_zero(first, num)
            strings = some(self.strings, self.lists.view[first], lists.view[-1])
            return Rows(num, valid, strings, lists, self.kept)
        return Rows(num, valid, some(self.strings, first, num), None, self.kept)


def some(column: Column, first: int, num: int) -> Column:
    """Return *num* strings of a column, beginning with string *first*."""
    return Column(column.data, column.positions.view[first : first + num + 1])


def read(given: Any, name: str, content: Content) -> Iterator[Rows]:  # noqa: ANN401
    """Yield the rows of a column, one array after the other.

    Args:
        given: an array or a chunked array, which is an object with
            ``__arrow_c_array__`` or ``__arrow_c_stream__``.
        name: the argument, for messages.
        content: the meaning of its rows: "certificates" are binary; "chains" are lists
            of certificates, or leaves alone; "hosts" are binary or text.

    Raises:
        TypeError: *given* is not such an object, or has another type.
        ValueError: its data contradict themselves.
    """
    arrays = _arrays(given)
    while True:
        try:
            found = next(arrays, None)
            rows = None if found is None else _rows(*found, content)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            msg = f"{name}: {error}"
            raise kind(msg) from error
        if rows is None:
            return
        yield rows


def _arrays(given: Any) -> Iterator[tuple[Any, Any, object]]:  # noqa: ANN401
    """Yield schema and array of each chunk, and the object that keeps them alive."""
    if hasattr(given, "__arrow_c_array__"):
        capsules = given.__arrow_c_array__()
        schema, one = map(struct_of, capsules, ("schema", "array"))
        yield schema, one, capsules
    elif hasattr(given, "__arrow_c_stream__"):
        capsule = given.__arrow_c_stream__()
        stream = struct_of(capsule, "array_stream")
        _check(stream.release, "the stream has been released")
        schema = _received(stream, "get_schema", "struct ArrowSchema *")
        while (one := _received(stream, "get_next", "struct ArrowArray *")).release:
            yield schema, one, (schema, one)
    else:
        msg = (
            "expected an Arrow column, such as a pyarrow.Array or a polars.Series, got "
            f"{type(given).__name__}; pyarrow.array makes one of a list"
        )
        raise TypeError(msg)


def _received(stream: Any, call: str, kind: str) -> Any:  # noqa: ANN401
    """Return a struct that a stream fills in, and that is released when unused."""
    struct = ffi.gc(ffi.new(kind), _release)
    if getattr(stream, call)(stream, struct) != 0:
        text = stream.get_last_error(stream)
        said = ffi.string(text, _TEXT_MAX).decode("utf-8", "replace") if text else "-"
        msg = f"the stream failed: {said}"
        raise ValueError(msg)
    return struct


def _release(struct: Any) -> None:  # noqa: ANN401
    if struct.release:
        struct.release(struct)


# ---- types -------------------------------------------------------------------

_TEXT_MAX = 1000

# The code of the offsets by format string; "" for views, which have none.
_STRINGS = {"z": "i", "u": "i", "Z": "q", "U": "q", "vz": "", "vu": ""}
_LISTS = {"+l": "i", "+L": "q"}
_FIXED = "w:"


def _format(schema: Any) -> str:  # noqa: ANN401
    _check(schema.release and schema.format, "the schema has been released")
    if schema.dictionary:
        msg = "the column is dictionary-encoded; decode it, or cast it to its values"
        raise TypeError(msg)
    text: bytes = ffi.string(schema.format, _TEXT_MAX)
    return text.decode("utf-8", "replace")


def _rows(schema: Any, one: Any, kept: object, content: Content) -> Rows:  # noqa: ANN401
    kind = _format(schema)
    if _is_binary(kind) or (content == "hosts" and kind in _STRINGS):
        _check_array(one, kind)
        num, valid = int(one.length), _valid(one, 0, one.length)
        return Rows(num, valid, _strings(one, kind, 0, num), None, kept)
    of = _format(_child(schema)) if content == "chains" and kind in _LISTS else ""
    if not _is_binary(of):
        got = f"{kind!r} of {of!r}" if of else repr(kind)
        wanted, advice = _WANTED[content]
        msg = f"expected {wanted}, got the Arrow type {got}; {advice}"
        raise TypeError(msg)
    return _rows_of_lists(one, kind, of, kept)


def _is_binary(kind: str) -> bool:
    return kind in ("z", "Z", "vz") or kind.startswith(_FIXED)


_BINARY = "binary of any kind (large, view, fixed size)"
_DER = "certificates are DER, so decode PEM and base64"
_WANTED = {
    "certificates": (_BINARY, _DER),
    "chains": (f"lists of binary, or {_BINARY}", _DER),
    "hosts": ("texts", "take one column, and cast it"),
}


def _rows_of_lists(one: Any, kind: str, of: str, kept: object) -> Rows:  # noqa: ANN401
    _check_array(one, kind)
    child = _child(one)
    _check_array(child, of)
    num, valid = int(one.length), _valid(one, 0, one.length)
    if num == 0:
        return Rows(0, 0, _EMPTY, Positions(_NO_OFFSETS), kept)
    at = _offsets(one, 1, _LISTS[kind], 0, num)
    _check(at[-1] <= child.length, "a list ends behind the last certificate")
    first, used = at[0], at[-1] - at[0]
    if _valid(child, first, used) != _ones(used):
        msg = "a null in a list; drop it, or make the whole list null"
        raise ValueError(msg)
    # Only the strings of these lists: the core looks at every offset of a column.
    strings = _strings(child, of, first, used)
    return Rows(num, valid, strings, Positions(at).from_zero(0, num), kept)


# ---- arrays ------------------------------------------------------------------


def _check(holds: object, message: str) -> None:
    if not holds:
        raise ValueError(message)


def _check_array(one: Any, kind: str) -> None:  # noqa: ANN401 - a struct ArrowArray
    """Check the numbers and pointers of an array of a type."""
    _check(one.release, "the array has been released")
    _check(one.length >= 0 and one.offset >= 0, "a length or an offset is negative")
    _check(one.length + one.offset <= sys.maxsize // 64, "the array is too long")
    _check(-1 <= one.null_count <= one.length, "the number of nulls is wrong")
    _check(not one.dictionary, "the type has no dictionary, but the array has one")
    views = kind in _STRINGS and not _STRINGS[kind]
    num = 2 if kind in _LISTS or kind.startswith(_FIXED) else 3
    right = num <= one.n_buffers <= _MOST_BUFFERS if views else one.n_buffers == num
    _check(right and one.buffers, "the number of buffers is wrong")
    _check(one.n_children == (kind in _LISTS), "the number of children is wrong")


_MOST_BUFFERS = 2**31
"""A view names a buffer by a number of 31 bits."""


def _child(struct: Any) -> Any:  # noqa: ANN401
    """Return the child of a schema or an array of lists."""
    _check(struct.n_children == 1, "the number of children is wrong")
    _check(struct.children and struct.children[0], "a child is missing")
    return struct.children[0]


def _memory(pointer: Any, num: int, code: str) -> memoryview:  # noqa: ANN401
    """Return a read-only view of *num* items behind a pointer."""
    size = num * _SIZES[code]
    if size == 0:
        return memoryview(b"").cast(_as_code(code))
    _check(pointer, "a buffer is missing")
    _check(size <= sys.maxsize, "a buffer is too long")
    place = memoryview(ffi.buffer(ffi.cast("char *", pointer), size))
    return place.toreadonly().cast("B").cast(_as_code(code))


_SIZES = {"B": 1, "i": 4, "q": 8}


def _as_code(code: str) -> Any:  # noqa: ANN401 - a literal, to the type checker
    return code


def _ones(num: int) -> int:
    return (1 << num) - 1


def _valid(one: Any, first: int, num: int) -> int:  # noqa: ANN401
    """Return one bit for each of some rows, 0 if it is null."""
    if not one.buffers[0]:
        _check(one.null_count <= 0, "there are nulls, but no bitmap says where")
        return _ones(num)
    start = int(one.offset) + first
    bitmap = _memory(one.buffers[0], (start + num + 7) // 8, "B")[start // 8 :]
    return int.from_bytes(bitmap, "little") >> start % 8 & _ones(num)


def _offsets(one: Any, buffer: int, code: str, first: int, num: int) -> memoryview:  # noqa: ANN401
    """Return the offsets of one or more rows; C checks those in between."""
    start = one.offset + first
    at = _memory(one.buffers[buffer], start + num + 1, code)[start:]
    _check(0 <= at[0] <= at[-1], "offsets descend, or are negative")
    return at


_NO_OFFSETS = memoryview(bytes(4)).cast("i")
_EMPTY = Column(b"", _NO_OFFSETS)


def _strings(one: Any, kind: str, first: int, num: int) -> Column:  # noqa: ANN401
    """Return some rows of an array of byte strings."""
    if num == 0:
        return _EMPTY
    if kind.startswith(_FIXED):
        return _of_one_width(one, kind, first, num)
    code = _STRINGS[kind]
    if not code:
        return _of_views(one, first, num)
    at = _offsets(one, 1, code, first, num)
    return Column(_memory(one.buffers[2], at[-1], "B"), at)


def _of_one_width(one: Any, kind: str, first: int, num: int) -> Column:  # noqa: ANN401
    text = kind.removeprefix(_FIXED)
    _check(text.isdecimal() and text.isascii(), f"no width in {kind!r}")
    width, start = int(text), one.offset + first
    data = _memory(one.buffers[1], width * (start + num), "B")[width * start :]
    return Column(data, array("Q", (width * i for i in range(num + 1))))


def _of_views(one: Any, first: int, num: int) -> Column:  # noqa: ANN401
    """Copy the strings, which lie in several buffers and in the views."""
    start, num_others = one.offset + first, one.n_buffers - 3
    views, lengths = one.buffers[1], one.buffers[one.n_buffers - 1]
    _check(views and (lengths or not num_others), "a buffer is missing")
    given = ffi.new(
        "arrow_views *",
        {
            "at": ffi.cast("uint8_t *", views),
            "valid": ffi.cast("uint8_t *", one.buffers[0]),
            "buffers": ffi.cast("void **", one.buffers + 2),
            "lengths": ffi.cast("uint8_t *", lengths),
            "num_buffers": num_others,
            "first": start,
            "num": num,
        },
    )
    length = lib.arrow_views_len(given)
    _check(
        length >= 0,
        "a view is not inside of its buffer, or all strings are too long together",
    )
    data, offsets = bytearray(length), bytearray(8 * (num + 1))
    copied = lib.arrow_views_copy(
        ffi.from_buffer("uint8_t[]", data),
        length,
        ffi.from_buffer("uint64_t[]", offsets),
        given,
    )
    _check(copied, "the views were changed during the call")
    return Column(data, memoryview(offsets).cast("Q"))
