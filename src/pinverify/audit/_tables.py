"""Parquet and Arrow IPC, read in pieces by pyarrow, which the extra `audit` installs.

A row group may be larger than memory, so its columns are read page by page. A batch of
Arrow IPC is read in one piece, whose size its writer chose.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from pinverify.arrow._read import read
from pinverify.audit._rows import (
    BATCH_BYTES,
    BINARY,
    NAME_ANOTHER,
    ROWS,
    TEXT,
    Batch,
    Fault,
    Place,
    chosen,
    der_of_text,
    none_fits,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pinverify.audit._rows import Moved, Read, Wanted

__all__ = ["read_ipc_file", "read_ipc_stream", "read_parquet"]

_BUFFER = 1 << 18
_ROWS_MIN = 64
_END = b"\xff\xff\xff\xff\0\0\0\0"
_NO_END = "without the mark of its end, and may be cut; write or fetch it again"
_ONE = "give each stream as an input of its own"
_AGAIN = "write or fetch the file again"
_OTHERS = "the other parts were read"


def read_parquet(path: Path, source: str, wanted: Wanted, moved: Moved) -> Read:
    """Read a Parquet file, whose row groups are numbered from 0."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(
            path,
            pre_buffer=False,
            buffer_size=_BUFFER,
            page_checksum_verification=True,
        )
    except (pa.ArrowException, OSError) as error:
        yield Fault(source, _with_advice(_reason(error)))
        return
    with file:
        place = _place(pa, file.schema_arrow, wanted)
        if isinstance(place, str):
            yield Fault(source, place)
            return
        metadata, first = file.metadata, 0
        groups = range(metadata.num_row_groups)
        num = sum(metadata.row_group(number).num_rows for number in groups)
        if num != metadata.num_rows:
            text = f"{metadata.num_rows:,} rows, but {num:,} in its row groups"
            yield Fault(source, f"{text}; write or fetch it again")
        size = path.stat().st_size
        for number in groups:
            group = metadata.row_group(number)
            done = 0
            pieces = file.iter_batches(
                _rows_at_once(group),
                row_groups=[number],
                columns=list(filter(None, place)),
                use_threads=False,
            )
            problem = ""
            found = _caught(pa, pieces)
            for piece in found:
                if isinstance(piece, str):
                    problem = piece
                    break
                try:
                    batch = _batch(pa, piece, place, source, first + done)
                except (pa.ArrowException, TypeError, ValueError) as error:
                    problem = _reason(error)
                    break
                yield batch
                done += piece.num_rows
                moved(size * piece.num_rows // max(metadata.num_rows, 1))
            if done != group.num_rows:
                last = first + group.num_rows - 1
                reason = problem or f"it has {done:,} rows, not {group.num_rows:,}"
                others = [_OTHERS] if len(groups) > 1 else []
                yield Fault(
                    source,
                    f"row group {number}, rows {first + done} to {last}: "
                    f"{_with_advice(reason, *others)}",
                )
            first += group.num_rows


def read_ipc_file(path: Path, source: str, wanted: Wanted, moved: Moved) -> Read:
    """Read an Arrow IPC file (Feather), whose batches are numbered from 0."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(pa.OSFile(str(path)))
        place = _place(pa, reader.schema, wanted)
        if isinstance(place, str):
            yield Fault(source, place)
            return
        num = reader.num_record_batches
    except (pa.ArrowException, OSError) as error:
        yield Fault(source, _with_advice(_reason(error)))
        return
    first, size = 0, path.stat().st_size
    for number in range(num):
        try:
            table = reader.get_batch(number)
            batches = _batches(pa, table, place, source, first)
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            text = _with_advice(_reason(error), _OTHERS)
            yield Fault(source, f"batch {number}: {text}")
            continue
        yield from batches
        first += table.num_rows
        moved(size // num)


def read_ipc_stream(file: IO[bytes], source: str, wanted: Wanted, moved: Moved) -> Read:
    """Read an Arrow IPC stream, also from a pipe; nothing is read after a fault."""
    import pyarrow as pa

    number = first = 0
    counted = _Counted(file, moved)
    try:
        reader = pa.ipc.open_stream(pa.PythonFile(counted, mode="r"))
        place = _place(pa, reader.schema, wanted)
    except (pa.ArrowException, OSError) as error:
        yield Fault(source, _with_advice(_reason(error)))
        return
    if isinstance(place, str):
        yield Fault(source, place)
        return
    while True:
        try:
            table = reader.read_next_batch()
            batches = _batches(pa, table, place, source, first)
        except StopIteration:
            if counted.tail != _END:
                yield Fault(source, f"it ends after batch {number - 1}, {_NO_END}")
            elif counted.read(1):
                yield Fault(source, f"bytes follow the end of the stream; {_ONE}")
            return
        except (pa.ArrowException, OSError, TypeError, ValueError) as error:
            text = f"batch {number} and all after it: {_reason(error)}; write it again"
            yield Fault(source, text)
            return
        yield from batches
        first += table.num_rows
        number += 1


class _Counted:
    """A file that reports how much of it was read, and keeps the last bytes read."""

    closed = False
    tail = b""

    def __init__(self, file: IO[bytes], moved: Moved) -> None:
        self._file, self._moved = file, moved

    def read(self, length: int = -1) -> bytes:
        data = self._file.read(length)
        self.tail = (self.tail + data[-len(_END) :])[-len(_END) :]
        self._moved(len(data))
        return data

    def close(self) -> None:
        """Leave the file to the caller."""


def _caught(pa: Any, pieces: Iterator[Any]) -> Iterator[Any]:  # noqa: ANN401
    """Yield pieces; if an error ends them, yield its text."""
    while True:
        try:
            piece = next(pieces, None)
        except (pa.ArrowException, OSError, ValueError) as error:
            yield _reason(error)
            return
        if piece is None:
            return
        yield piece


def _reason(error: Exception) -> str:
    """Return the first line of an error of pyarrow."""
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")


def _with_advice(reason: str, *done: str) -> str:
    """Return a reason and the next step, and between them what was done."""
    if NAME_ANOTHER in reason:
        return reason
    encrypted = "decrypt" in reason.lower()
    advice = "it is encrypted, so write a copy that is not" if encrypted else _AGAIN
    return "; ".join((reason, *done, advice))


def _rows_at_once(group: Any) -> int:  # noqa: ANN401 - metadata of a row group
    """Return a number of rows that fits into some megabytes."""
    row = max(group.total_byte_size // max(group.num_rows, 1), 1)
    return int(min(max(BATCH_BYTES // row, _ROWS_MIN), ROWS))


# ---- columns -----------------------------------------------------------------


def _place(pa: Any, schema: Any, wanted: Wanted) -> Place | str:  # noqa: ANN401
    types: dict[str, str] = {}
    for one in schema:
        types[one.name] = (
            _type(pa.types, one.type) if one.name not in types else "of two columns"
        )
    return chosen(types, wanted)


def _type(types: Any, kind: Any) -> str:  # noqa: ANN401 - pyarrow's
    if types.is_dictionary(kind):
        return _type(types, kind.value_type)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return BINARY
    if types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return BINARY
    if types.is_string(kind) or types.is_large_string(kind):
        return TEXT
    return TEXT if types.is_string_view(kind) else str(kind)


def _batches(
    pa: Any,  # noqa: ANN401
    table: Any,  # noqa: ANN401
    place: Place,
    source: str,
    first: int,
) -> list[Batch]:
    """Return the batches of a record batch, after a check of all its offsets."""
    for name in filter(None, place):
        _binary(pa, table.column(name)).validate(full=True)
    return [
        _batch(pa, table.slice(at, ROWS), place, source, first + at)
        for at in range(0, table.num_rows, ROWS)
    ]


def _batch(pa: Any, table: Any, place: Place, source: str, first: int) -> Batch:  # noqa: ANN401
    certs = table.column(place.certificates)
    if _type(pa.types, certs.type) == TEXT:
        texts = _binary(pa, certs).to_pylist()
        ders = rows_of([None if one is None else der_of_text(one) for one in texts])
        if first == 0 and any(texts) and not any(b"M" in one for one in texts if one):
            raise ValueError(none_fits(place.certificates, texts))
    else:
        (ders,) = read(_binary(pa, certs), place.certificates, "certificates")
    hosts = None
    if place.hosts is not None:
        (hosts,) = read(_binary(pa, table.column(place.hosts)), place.hosts, "hosts")
    return Batch(source, first, ders, hosts)


def _binary(pa: Any, column: Any) -> Any:  # noqa: ANN401
    """Return a column without a dictionary, and with texts as bytes."""
    if pa.types.is_dictionary(column.type):
        column.validate(full=True)  # or an index could lead outside of the dictionary
        column = column.dictionary_decode()
    if _type(pa.types, column.type) == TEXT:
        kind = pa.large_binary() if pa.types.is_large_string(column.type) else None
        if pa.types.is_string_view(column.type):
            kind = pa.binary_view()
        column = column.cast(kind or pa.binary())
    return column
