"""The Arrow C data interface: columns for other libraries, without a copy.

https://arrow.apache.org/docs/format/CDataInterface.html defines the structs, and
CDataInterface/PyCapsuleInterface.html defines how Python objects hand them over.

A consumer may move each struct by itself, children too. So each struct keeps the
`Owner` of all of them, until csrc/python/arrow.h releases that struct.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify import _core
from pinverify.core._keys import address, ffi, view

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ArrowColumn",
    "array_capsule",
    "schema_capsule",
    "stream_capsule",
    "struct_of",
]


class ArrowColumn(NamedTuple):
    """An Arrow array: a column, or a struct or list of columns."""

    name: str
    kind: str
    """Its type: a format string of the interface."""
    length: int
    buffers: Sequence[Any]
    """All its buffers but the first, which is `valid`: bytes or memoryviews."""
    children: Sequence[ArrowColumn] = ()
    valid: bytes | None = None
    """One bit for each row, 0 if it is null; None if the column can have no nulls."""


class Owner(list[object]):
    """The structs of one capsule, and everything that they point to."""

    __slots__ = ("__weakref__",)


def schema_capsule(column: ArrowColumn) -> object:
    """Return an ``arrow_schema`` capsule with the type of a column."""
    return _schema(column, Owner(), top=True)[1]


def array_capsule(column: ArrowColumn) -> object:
    """Return an ``arrow_array`` capsule with a column."""
    return _array(column, Owner(), top=True)[1]


def stream_capsule(column: ArrowColumn) -> object:
    """Return an ``arrow_array_stream`` capsule whose only array is a column."""
    arrays = iter([column])

    def make(of_type: bool) -> object:  # noqa: FBT001 - C calls it
        if of_type:
            return schema_capsule(column)
        return next(map(array_capsule, arrays), None)

    return _core.arrow_stream(make)


def struct_of(capsule: object, name: str) -> Any:  # noqa: ANN401 - a C struct
    """Return a pointer to the struct in a capsule of another library."""
    kind = name.title().replace("_", "")  # "ArrayStream" for "array_stream"
    place = _core.arrow_address(capsule, f"arrow_{name}")
    return ffi.cast(f"struct Arrow{kind} *", place)


def _schema(column: ArrowColumn, owner: Owner, *, top: bool = False) -> Any:  # noqa: ANN401
    children = [_schema(child, owner)[0] for child in column.children]
    kind, name = (ffi.new("char[]", text.encode()) for text in column[1::-1])
    struct = ffi.new("struct ArrowSchema *")
    places = ffi.new("struct ArrowSchema *[]", children)
    struct.format, struct.name = kind, name
    struct.flags = 0 if column.valid is None else 2  # ARROW_FLAG_NULLABLE
    struct.n_children, struct.children = len(children), places
    owner += [struct, kind, name, places]
    return struct, _core.own_schema(_address(struct), owner, top)


def _array(column: ArrowColumn, owner: Owner, *, top: bool = False) -> Any:  # noqa: ANN401
    children = [_array(child, owner)[0] for child in column.children]
    held = [view(buffer) for buffer in (column.valid or b"", *column.buffers)]
    struct = ffi.new("struct ArrowArray *")
    places = ffi.new("struct ArrowArray *[]", children)
    nulls, *others = map(address, held)
    buffers = ffi.new(
        "const void *[]", [ffi.NULL if column.valid is None else nulls, *others]
    )
    struct.length = column.length
    if column.valid is not None:
        num_valid = int.from_bytes(column.valid, "little").bit_count()
        struct.null_count = column.length - num_valid
    struct.n_buffers, struct.buffers = len(buffers), buffers
    struct.n_children, struct.children = len(children), places
    owner += [struct, held, places, buffers]
    return struct, _core.own_array(_address(struct), owner, top)


def _address(struct: Any) -> int:  # noqa: ANN401 - a C struct
    return int(ffi.cast("uintptr_t", struct))
