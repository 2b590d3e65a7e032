"""The Arrow C data interface: columns for other libraries, without a copy.

https://arrow.apache.org/docs/format/CDataInterface.html says what the structs mean, and
CDataInterface/PyCapsuleInterface.html how Python objects hand them over.

A consumer may move a struct elsewhere, and each child by itself. So each struct keeps
the `Owner` of all of them, until csrc/python/arrow.h releases it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify import _core
from pinverify.core._library import address, ffi, view

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ArrowColumn", "Owner", "array_capsule", "schema_capsule"]


class ArrowColumn(NamedTuple):
    """An Arrow array without nulls: a column, or a struct or list of columns."""

    name: str
    kind: str
    """Its type, as the interface spells it."""
    length: int
    buffers: Sequence[Any]
    """Bytes or memoryviews, without the bitmap for nulls, which comes first."""
    children: Sequence[ArrowColumn] = ()


class Owner(list[object]):
    """Everything that the structs of one capsule point to, and they themselves."""

    __slots__ = ("__weakref__",)


def schema_capsule(column: ArrowColumn) -> object:
    """Return an ``arrow_schema`` capsule with the type of a column."""
    return _schema(column, Owner(), top=True)[1]


def array_capsule(column: ArrowColumn) -> object:
    """Return an ``arrow_array`` capsule with a column."""
    return _array(column, Owner(), top=True)[1]


def _schema(column: ArrowColumn, owner: Owner, *, top: bool = False) -> Any:  # noqa: ANN401
    children = [_schema(child, owner)[0] for child in column.children]
    kind, name = (ffi.new("char[]", text.encode()) for text in column[1::-1])
    struct = ffi.new("struct ArrowSchema *")
    places = ffi.new("struct ArrowSchema *[]", children)
    struct.format, struct.name = kind, name
    struct.n_children, struct.children = len(children), places
    owner += [struct, kind, name, places]
    return struct, _core.own_schema(_address(struct), owner, top)


def _array(column: ArrowColumn, owner: Owner, *, top: bool = False) -> Any:  # noqa: ANN401
    children = [_array(child, owner)[0] for child in column.children]
    held = [view(buffer) for buffer in column.buffers]
    struct = ffi.new("struct ArrowArray *")
    places = ffi.new("struct ArrowArray *[]", children)
    buffers = ffi.new("const void *[]", [ffi.NULL, *map(address, held)])
    struct.length = column.length
    struct.n_buffers, struct.buffers = len(buffers), buffers
    struct.n_children, struct.children = len(children), places
    owner += [struct, held, places, buffers]
    return struct, _core.own_array(_address(struct), owner, top)


def _address(struct: Any) -> int:  # noqa: ANN401 - a C struct
    return int(ffi.cast("uintptr_t", struct))
