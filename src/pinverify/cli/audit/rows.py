"""Batches of certificates, and faults: the answers of every reader."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pinverify.core._arrow_read import Rows
from pinverify.core._columns import Column
from pinverify.errors import DERError
from pinverify.policy._pem import blocks, is_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "CERTIFICATE",
    "ROWS",
    "Batch",
    "Fault",
    "Moved",
    "Read",
    "Wanted",
    "der_of_text",
    "is_valid",
    "rows_of",
    "text_of",
]

ROWS = 4096
"""The most rows of a batch: some megabytes of certificates."""

CERTIFICATE = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
"""Labels of certificates in PEM (RFC 7468, 5.1 and 5.3)."""


class Batch(NamedTuple):
    """Certificates that are judged together.

    Attributes:
        source: the file.
        first: the number of the first row in it, from 0 on.
        certs: DER.
        hosts: the host of each; None if the names of the certificates count.
        indices: the numbers of the entries in their log, if they are of one.
    """

    source: str
    first: int
    certs: Rows
    hosts: Rows | None = None
    indices: Sequence[int | None] | None = None


class Fault(NamedTuple):
    """A part of an input that could not be read.

    Attributes:
        source: the file.
        text: the part, the reason and the next step.
    """

    source: str
    text: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.source}: {self.text}"


Read: TypeAlias = "Iterator[Batch | Fault]"
"""The answers of a reader."""

Moved: TypeAlias = "Callable[[int], None]"
"""Told of a number of bytes that were read, for the progress bar."""


class Wanted(NamedTuple):
    """The columns that the user named; None for the usual names."""

    certificates: str | None = None
    hosts: str | None = None


def rows_of(strings: Sequence[bytes | None]) -> Rows:
    """Return byte strings as rows; None is null."""
    flags = "".join("0" if one is None else "1" for one in reversed(strings))
    column = Column.of_list([one or b"" for one in strings])
    return Rows(len(strings), int(flags or "0", 2), column, None, None)


def is_valid(rows: Rows, i: int) -> bool:
    """Return True if row *i* is not null."""
    return rows.valid >> i & 1 == 1


def text_of(rows: Rows, i: int) -> str:
    """Return row *i* as text; bytes that are no UTF-8 are escaped."""
    return rows.strings.item(i).decode("utf-8", "backslashreplace")


def der_of_text(text: bytes) -> bytes:
    """Return the first certificate of a PEM text, or the DER that base64 encodes.

    A text that is neither is a malformed certificate: no bytes.
    """
    try:
        if is_pem(text):
            found = (block for block in blocks(text) if block.label in CERTIFICATE)
            block = next(found, None)
            return b"" if block is None else block.der()
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (DERError, ValueError):
        return b""
