"""Arrays of Arrow made by hand: in any layout, in any slice, with any wrong field.

Libraries make few of these layouts. This module needs no library.
"""

from __future__ import annotations

import contextlib
import itertools
import struct
from array import array
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pinverify import _core
from pinverify._core import ffi
from pinverify.core import _arrow
from pinverify.core._arrow import ArrowColumn

__all__ = [
    "STRINGS",
    "Chunks",
    "Given",
    "Lent",
    "lists",
    "strings",
    "values",
]

STRINGS = ("z", "u", "Z", "U", "vz", "vu")
"""The types of strings of any length, as the interface spells them."""


def bitmap(flags: Sequence[bool]) -> bytes:
    """Return an Arrow bitmap: the first flag in the lowest bit of the first byte."""
    bits = sum(flag << i for i, flag in enumerate(flags))
    return bits.to_bytes((len(flags) + 7) // 8, "little")


def ends(items: Sequence[Sequence[Any]], code: str = "i") -> array[int]:
    """Return the offsets of items that lie back to back."""
    return array(code, itertools.accumulate(map(len, items), initial=0))


def strings(rows: Sequence[bytes | None], kind: str) -> ArrowColumn:
    """Return a column of byte strings, or null.

    A null row is not empty in the buffers: what is there must not matter. Strings of
    views are in two buffers by turns, each of which has other bytes at both ends.
    """
    valid = None if None not in rows else bitmap([row is not None for row in rows])
    there = [b"\xff null \xff" * 3 if row is None else row for row in rows]
    if kind.startswith("w:"):
        there = [
            row if None is not old else bytes(int(kind[2:]))
            for row, old in zip(there, rows, strict=True)
        ]
        buffers: list[Any] = [b"".join(there)]
    elif kind.startswith("v"):
        buffers = _views(there, rows)
    else:
        buffers = [ends(there, "q" if kind in "ZU" else "i"), b"".join(there)]
    return ArrowColumn("", kind, len(rows), buffers, valid=valid)


def _views(there: Sequence[bytes], rows: Sequence[bytes | None]) -> list[Any]:
    views, data = bytearray(), (bytearray(b"before"), bytearray(b"?"))
    for i, row in enumerate(there):
        if rows[i] is None:
            views += struct.pack("=i4sii", -5, b"null", 2**31 - 1, -1)
        elif len(row) <= 12:
            views += struct.pack("=i12s", len(row), row)
        else:
            views += struct.pack("=i4sii", len(row), row[:4], i % 2, len(data[i % 2]))
            data[i % 2].extend(row)
    for buffer in data:
        buffer.extend(b"behind")
    return [views, *data, array("q", map(len, data))]


def lists(rows: Sequence[Sequence[bytes] | None], kind: str, of: str) -> ArrowColumn:
    """Return a column of lists of byte strings, or null."""
    valid = None if None not in rows else bitmap([row is not None for row in rows])
    there = [[b"in a null list"] if row is None else row for row in rows]
    child = strings([item for row in there for item in row], of)
    offsets = ends(there, "q" if kind == "+L" else "i")
    return ArrowColumn("", kind, len(rows), [offsets], [child], valid=valid)


def _struct(capsule: object, name: str) -> Any:  # noqa: ANN401 - a C struct
    address = _core.arrow_address(capsule, name)
    kind = "ArrowSchema" if name == "arrow_schema" else "ArrowArray"
    return ffi.cast(f"struct {kind} *", address)


class Structs(NamedTuple):
    """The structs behind two capsules."""

    schema: Any
    array: Any

    @classmethod
    def of(cls, capsules: tuple[object, object]) -> Structs:
        """Find them."""
        return cls(*map(_struct, capsules, ("arrow_schema", "arrow_array")))


class Given:
    """An array that another library could give: a column, or a slice of it."""

    def __init__(
        self, column: ArrowColumn, first: int = 0, stop: int | None = None
    ) -> None:
        """Make the structs."""
        self.column = column
        rows = range(column.length)[first:stop]
        self.capsules = _arrow.schema_capsule(column), _arrow.array_capsule(column)
        self.structs = Structs.of(self.capsules)
        self.structs.array.offset, self.structs.array.length = rows.start, len(rows)
        if self.structs.array.null_count > 0:
            self.structs.array.null_count = -1  # not known of the slice

    def __arrow_c_array__(self) -> tuple[object, object]:
        """Return the same capsules each time."""
        return self.capsules

    @contextlib.contextmanager
    def lie(self, path: str, value: Any) -> Iterator[None]:  # noqa: ANN401
        """Let a field of a struct be something else for a while.

        Args:
            path: the field, such as "array.length" or "array.children[0]".
            value: of the field.
        """
        names = {"schema": self.structs.schema, "array": self.structs.array}
        before = eval(path, names.copy())  # noqa: S307 - our own text
        exec(f"{path} = value", names | {"value": value})  # noqa: S102
        try:
            yield
        finally:
            exec(f"{path} = value", names | {"value": before})  # noqa: S102


class Lent:
    """An array that whoever reads it is the only one to hold."""

    def __init__(self, column: ArrowColumn) -> None:
        """Make the structs."""
        self._capsules = [(_arrow.schema_capsule(column), _arrow.array_capsule(column))]

    def __arrow_c_array__(self) -> tuple[object, object]:
        """Give them away."""
        return self._capsules.pop()


class Chunks:
    """A chunked array that another library could give."""

    def __init__(self, kind: ArrowColumn, arrays: Sequence[Given]) -> None:
        """Take the type from a column."""
        self._kind = kind
        self._arrays = arrays

    def __arrow_c_stream__(self) -> object:
        """Return a stream of them. They can be moved only once."""
        arrays = iter(self._arrays)

        def make(of_type: bool) -> object:  # noqa: FBT001 - C calls it
            if of_type:
                return _arrow.schema_capsule(self._kind)
            return next((given.capsules[1] for given in arrays), None)

        return _core.arrow_stream(make)


def values(column: Any) -> list[Any]:  # noqa: ANN401 - an answer
    """Return the rows of an answer, as the structs that it hands over have them."""
    capsules = column.__arrow_c_array__()
    return _values(*Structs.of(capsules))


def _values(schema: Any, one: Any) -> list[Any]:  # noqa: ANN401
    kind = ffi.string(schema.format).decode()
    num = one.length
    if kind == "+s":
        fields = [
            (
                ffi.string(schema.children[i].name).decode(),
                schema.children[i],
                one.children[i],
            )
            for i in range(schema.n_children)
        ]
        columns = {name: _values(*field) for name, *field in fields}
        rows = zip(*columns.values(), strict=True)
        return [dict(zip(columns, row, strict=True)) for row in rows]
    assert schema.flags == 2, "a column that may have nulls says so"
    valid = _bits(one.buffers[0], num)
    assert valid.count(0) == one.null_count
    there: list[Any] = _plain(kind, one.buffers[1], num)
    return [there[i] if valid[i] else None for i in range(num)]


def _bits(pointer: Any, num: int) -> list[int]:  # noqa: ANN401
    data = bytes(ffi.buffer(ffi.cast("char *", pointer), (num + 7) // 8))
    assert int.from_bytes(data, "little") >> num == 0, "bits behind the last row"
    return [data[i // 8] >> i % 8 & 1 for i in range(num)]


def _plain(kind: str, pointer: Any, num: int) -> list[Any]:  # noqa: ANN401
    if kind == "b":
        return [bit == 1 for bit in _bits(pointer, num)]
    if kind == "w:32":
        data = bytes(ffi.buffer(ffi.cast("char *", pointer), 32 * num))
        return [data[32 * i : 32 * i + 32] for i in range(num)]
    width = {"C": "uint8_t *", "I": "uint32_t *"}[kind]
    return [int(ffi.cast(width, pointer)[i]) for i in range(num)]
