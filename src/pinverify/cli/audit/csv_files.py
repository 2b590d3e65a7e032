"""CSV with certificates in PEM or base64."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pinverify.cli.audit.columns import chosen, none_fits
from pinverify.cli.audit.rows import ROWS, Batch, Fault, der_of_text, rows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

    from pinverify.cli.audit.rows import Moved, Read, Wanted

__all__ = ["read_csv"]

_CELL_MAX = 1 << 20
_BATCH_BYTES = 1 << 23
_DELIMITERS = ",;\t|"


def read_csv(file: IO[bytes], source: str, wanted: Wanted, moved: Moved) -> Read:
    """Read a CSV file with a header; rows are numbered from 0, without it."""
    csv.field_size_limit(_CELL_MAX)
    with io.TextIOWrapper(
        file, encoding="utf-8-sig", errors="backslashreplace", newline=""
    ) as text:
        yield from _read_lines(_counted(text, moved), source, wanted)


def _read_lines(lines: Iterator[str], source: str, wanted: Wanted) -> Read:
    header = next(lines, "")
    if "\0" in header:  # as each Latin letter of UTF-16 has
        advice = "convert it, as `iconv -f UTF-16 -t UTF-8` does"
        yield Fault(
            source, f"it has zero bytes, as UTF-16 has, and is not UTF-8; {advice}"
        )
        return
    delimiter = max(_DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    place = chosen(dict.fromkeys(names, "text"), wanted)
    if isinstance(place, str):
        yield Fault(source, place)
        return
    at_cert = names.index(place.certificates)
    at_host = None if place.hosts is None else names.index(place.hosts)
    # Strictly, or a stray quote would make all that follows one cell.
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    first = 0
    try:
        for certs, hosts in _pieces(rows, at_cert, at_host):
            if first == 0 and _is_no_certificate(certs):
                yield Fault(source, none_fits(place.certificates, certs))
                return
            ders = rows_of([c if not c else der_of_text(c) for c in certs])
            column = None if at_host is None else rows_of(hosts)
            yield Batch(source, first, ders, column)
            first += len(certs)
    except csv.Error as error:
        advice = "write the line again; the rest was not read"
        yield Fault(
            source, f"after row {first}, line {rows.line_num}: {error}; {advice}"
        )


def _counted(text: io.TextIOWrapper, moved: Moved) -> Iterator[str]:
    for line in text:
        moved(len(line))
        yield line


def _pieces(
    rows: Iterator[list[str]], at_cert: int, at_host: int | None
) -> Iterator[tuple[list[bytes | None], list[bytes | None]]]:
    """Yield certificates and hosts of some rows; an empty cell is null.

    A row that ends before its certificate has a malformed one.
    """
    certs: list[bytes | None] = []
    hosts: list[bytes | None] = []
    length = 0
    try:
        for row in rows:
            if not row:  # an empty line
                continue
            certs.append(_cell(row, at_cert, b""))
            if at_host is not None:
                hosts.append(_cell(row, at_host, None))
            length += len(certs[-1] or b"")
            if len(certs) == ROWS or length > _BATCH_BYTES:
                yield certs, hosts
                certs, hosts, length = [], [], 0
    except csv.Error:
        if certs:
            yield certs, hosts
        raise
    if certs:
        yield certs, hosts


def _cell(row: list[str], at: int, missing: bytes | None) -> bytes | None:
    return row[at].encode() or None if at < len(row) else missing


def _is_no_certificate(certs: list[bytes | None]) -> bool:
    """Return True if no cell looks as PEM or base64 of DER does."""
    cells = [cell for cell in certs if cell]
    return bool(cells) and not any(
        b"-----BEGIN " in cell or cell.lstrip().startswith(b"M") for cell in cells
    )
