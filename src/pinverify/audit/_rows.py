"""Batches of certificates, which every reader yields, and the columns of tables."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pinverify.arrow._read import Rows
from pinverify.core._keys import Column
from pinverify.errors import DERError, shown
from pinverify.policy._certs_and_pins import blocks, is_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = [
    "BATCH_BYTES",
    "BINARY",
    "CERTIFICATE",
    "ROWS",
    "TEXT",
    "Batch",
    "Fault",
    "Moved",
    "Place",
    "Read",
    "Wanted",
    "chosen",
    "der_of_text",
    "is_valid",
    "none_fits",
    "rows_of",
    "text_of",
]

ROWS = 4096
"""The largest number of rows in a batch."""

BATCH_BYTES = 1 << 23
"""About the largest size of a batch with several certificates, in bytes."""

CERTIFICATE = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
"""Labels of certificates in PEM (RFC 7468, 5.1 and 5.3)."""


class Batch(NamedTuple):
    """Certificates that are judged together.

    Attributes:
        source: the file.
        first: the number of its first row in the file, counted from 0.
        certs: the certificates, in DER.
        hosts: the host of each; None if the names in the certificates count.
        indices: the numbers of the entries in their log, if they come from one.
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
"""The batches and faults that a reader yields."""

Moved: TypeAlias = "Callable[[int], None]"
"""Function that takes the number of bytes just read, for the progress bar."""


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
    """Return row *i* as text; bytes that are not UTF-8 are escaped."""
    return rows.strings.item(i).decode("utf-8", "backslashreplace")


def der_of_text(text: bytes) -> bytes:
    """Return the first certificate of a PEM text, or the DER that base64 encodes.

    Any other text is a malformed certificate: return no bytes for it.
    """
    try:
        if is_pem(text):
            found = (block for block in blocks(text) if block.label in CERTIFICATE)
            block = next(found, None)
            return b"" if block is None else block.der()
        return base64.b64decode(b"".join(text.split()), validate=True)
    except (DERError, ValueError):
        return b""


# ---- columns -----------------------------------------------------------------

BINARY, TEXT = "binary", "text"
"""Types of columns that may have certificates: as DER; as PEM or base64."""

_CERTIFICATES = (
    *("certificate", "cert", "der", "pem", "leaf", "x509", "certificate_der"),
    *("cert_der", "leaf_der", "der_certificate", "certificate_pem", "cert_pem"),
    *("leaf_pem", "leaf_cert", "leaf_certificate", "raw", "server_certificate"),
)
_HOSTS = (
    *("host", "hostname", "host_name", "server_name", "servername", "server"),
    *("domain", "domain_name", "fqdn", "sni", "dns_name", "peer"),
)
_NAMES_MAX = 12

NAME_ANOTHER = "name another one with"
"""The beginning of the advice about a column without certificates or hosts."""


class Place(NamedTuple):
    """The names of both columns; without *hosts*, the names in certificates count."""

    certificates: str
    hosts: str | None


def chosen(types: Mapping[str, str], wanted: Wanted) -> Place | str:
    """Return the columns to read; or what is wrong, and the next step.

    Args:
        types: the type of each column: BINARY, TEXT, or the name of another type.
        wanted: the columns that the user named.
    """
    cert = _one(types, wanted.certificates, _CERTIFICATES, _Role.certificates())
    if isinstance(cert, _Wrong):
        return cert.text
    if cert is None:
        listed = ", ".join(shown(name, 30) for name in list(types)[:_NAMES_MAX])
        more = ", …" if len(types) > _NAMES_MAX else ""
        return (
            f"no column of certificates among {listed}{more}; name it with "
            "--certificates"
        )
    host = _one(types, wanted.hosts, _HOSTS, _Role.hosts())
    if isinstance(host, _Wrong):
        return host.text
    return Place(cert, host)


def none_fits(name: str, cells: Sequence[bytes | None]) -> str:
    """Return what is wrong with a column of texts that are not certificates."""
    first = next((cell for cell in cells if cell), b"").decode("utf-8", "replace")
    return (
        f"the column {name!r} has no PEM and no base64 of DER, but {shown(first, 30)}; "
        f"{NAME_ANOTHER} --certificates"
    )


class _Role(NamedTuple):
    """The use of a column, and how to name another one."""

    holds: str
    option: str

    @classmethod
    def certificates(cls) -> _Role:
        return cls("certificates are binary (DER) or text (PEM)", "--certificates")

    @classmethod
    def hosts(cls) -> _Role:
        return cls("hosts are text", "--hosts")


class _Wrong(NamedTuple):
    text: str


def _one(
    types: Mapping[str, str], wanted: str | None, usual: Sequence[str], role: _Role
) -> str | _Wrong | None:
    if wanted is not None:
        if wanted not in types:
            listed = ", ".join(shown(name, 30) for name in list(types)[:_NAMES_MAX])
            return _Wrong(f"no column {wanted!r}; it has {listed}; see {role.option}")
        found = [wanted]
    else:
        lower = {name.lower().replace("-", "_"): name for name in reversed([*types])}
        found = [lower[name] for name in usual if name in lower]
    fitting = [name for name in found if types[name] in {BINARY, TEXT}]
    if found and not fitting:
        name = found[0]
        return _Wrong(
            f"the column {name!r} has the type {types[name]}; {role.holds}: name "
            f"another one with {role.option}"
        )
    return fitting[0] if fitting else None
