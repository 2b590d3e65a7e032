"""Elements of a certificate's DER, for display: what it claims, not what is decided.

The core alone reads certificates for decisions, and strictly. This reader is loose: it
only stays inside its buffer, and what it makes of damaged bytes may be nonsense.
"""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Element",
    "element",
    "extensions",
    "inside",
    "issuer_and_subject",
    "moment_of",
    "tbs_fields",
    "validity_of",
    "validity_texts",
]

_VERSION = 0xA0


class Element(NamedTuple):
    """One DER element: its tag, and where its contents are."""

    tag: int
    start: int
    end: int


def element(der: bytes, at: int) -> Element:
    """Read the element that begins at a position.

    Raises:
        ValueError: it ends after the buffer.
        IndexError: it begins at the end of the buffer.
    """
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        digits = length & 0x7F
        length = int.from_bytes(der[start : start + digits], "big")
        start += digits
    if start + length > len(der):
        msg = "an element ends after its buffer"
        raise ValueError(msg)
    return Element(tag, start, start + length)


def inside(der: bytes, outer: Element) -> Iterator[Element]:
    """Yield the elements inside another; the errors are those of `element`."""
    at = outer.start
    while at < outer.end:
        one = element(der, at)
        at = one.end
        yield one


def tbs_fields(cert: bytes) -> Iterator[Element]:
    """Yield the fields of a certificate from its serialNumber on (RFC 5280, 4.1)."""
    certificate = element(cert, 0)
    tbs = element(cert, certificate.start)
    return (field for field in inside(cert, tbs) if field.tag != _VERSION)


_EXTENSIONS = 0xA3


def extensions(cert: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield OID and value of each extension of a certificate (RFC 5280, 4.2)."""
    _, _, _, _, _, _, *optional = tbs_fields(cert)
    for field in optional:
        if field.tag == _EXTENSIONS:
            for extension in inside(cert, element(cert, field.start)):
                oid, *_, value = inside(cert, extension)
                yield cert[oid.start : oid.end], cert[value.start : value.end]


def issuer_and_subject(cert: bytes) -> tuple[bytes, bytes]:
    """Return the DER of both names without their headers; empty if unreadable."""
    try:
        _, _, issuer, _, subject, *_ = tbs_fields(cert)
    except (IndexError, ValueError):
        return b"", b""
    return cert[issuer.start : issuer.end], cert[subject.start : subject.end]


_UTC_TIME = 0x17
_TIME_LEN = 15  # YYYYMMDDHHMMSSZ


def validity_of(cert: bytes) -> tuple[dt.datetime, dt.datetime] | None:
    """Return notBefore and notAfter of a certificate, in UTC; None if unreadable."""
    try:
        start, end = map(moment_of, validity_texts(cert) or ())
    except ValueError:
        return None
    return start, end


def moment_of(text: str) -> dt.datetime:
    """Return the moment of YYYYMMDDHHMMSSZ.

    Raises:
        ValueError: the calendar has none such.
    """
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC)


def validity_texts(cert: bytes) -> tuple[str, str] | None:
    """Return both as YYYYMMDDHHMMSSZ; None if unreadable.

    It is quicker than `validity_of`: nothing behind them is looked at, and the
    calendar may have no such day.
    """
    try:
        _, _, _, validity = islice(tbs_fields(cert), 4)
        start, end = (_time(cert, one) for one in inside(cert, validity))
    except (IndexError, ValueError):
        return None
    return start, end


def _time(cert: bytes, element: Element) -> str:
    """Read a Time (RFC 5280, 4.1.2.5).

    Raises:
        ValueError: it is none.
    """
    text = cert[element.start : element.end].decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    if len(text) != _TIME_LEN or not (text[:-1].isdigit() and text[-1] == "Z"):
        msg = f"{text!r} is no time"
        raise ValueError(msg)
    return text
