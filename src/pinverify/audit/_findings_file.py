"""The findings in Parquet: a row for each, written whole or not at all."""

from __future__ import annotations

import contextlib
from typing import IO, TYPE_CHECKING, Any, Self

from pinverify.errors import printable
from pinverify.review._certificates import moment_of

if TYPE_CHECKING:
    import datetime as dt
    from pathlib import Path

    from pinverify.audit._summary import Finding

__all__ = ["FindingsFile", "is_findings"]

_ROWS_AT_ONCE = 10_000


class FindingsFile:
    """A Parquet file of findings, which is complete when its `with` block has ended."""

    def __init__(self, file: IO[bytes]) -> None:
        """Begin to write to a file."""
        import pyarrow as pa

        self._schema = _schema(pa)
        self._batch = pa.RecordBatch
        self._rows: list[dict[str, Any]] = []
        self._writer = _quiet_writer(file, self._schema)

    def add(self, found: Finding) -> None:
        """Append a finding."""
        row = found._asdict()
        row["spki_sha256"] = row.pop("key")
        start, end = row.pop("validity") or (None, None)
        row["source"] = printable(found.source)  # it may have bytes that are not text
        row["not_before"], row["not_after"] = _moment(start), _moment(end)
        self._rows.append(row)
        if len(self._rows) == _ROWS_AT_ONCE:
            self._write()

    def _write(self) -> None:
        self._writer.write_batch(self._batch.from_pylist(self._rows, self._schema))
        self._rows = []

    def __enter__(self) -> Self:
        """Return the file."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Write the last findings and the end of the file, unless the block failed."""
        if kind is None:
            self._write()
            self._writer.close()


def _quiet_writer(file: IO[bytes], schema: Any) -> Any:  # noqa: ANN401
    """Return a writer that does not complain when it is freed.

    A writer completes its file when it is freed. But after Ctrl-C, which may come at
    any moment, the file has been closed and removed before the writer is freed.
    """
    from pyarrow import parquet

    class QuietWriter(parquet.ParquetWriter):  # type: ignore[misc]
        def __del__(self) -> None:
            with contextlib.suppress(Exception):
                super().__del__()

    return QuietWriter(file, schema, compression="zstd")


def is_findings(path: Path) -> bool:
    """Return True if a file has findings."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        return bool(parquet.read_schema(path).names == _schema(pa).names)
    except (pa.ArrowException, OSError):
        return False


def _schema(pa: Any) -> Any:  # noqa: ANN401
    moment = pa.timestamp("s", "UTC")
    return pa.schema(
        [
            ("source", pa.string()),
            ("row", pa.int64()),
            ("leaf_index", pa.int64()),
            ("host", pa.string()),
            ("other_hosts", pa.list_(pa.string())),
            ("reason", pa.string()),
            ("accepted", pa.bool_()),
            ("rule", pa.string()),
            ("spki_sha256", pa.binary(32)),
            ("not_before", moment),
            ("not_after", moment),
        ]
    )


def _moment(text: str | None) -> dt.datetime | None:
    """Return the moment of YYYYMMDDHHMMSSZ; None if the calendar does not have it."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return moment_of(text)
    return None
