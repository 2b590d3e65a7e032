"""Names, dates and role that a certificate claims, for checks that decide nothing.

Certificates are read loosely here: see `policy._certs_and_pins`.
"""

from __future__ import annotations

import datetime as dt
from itertools import islice
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify.core._hosts import canonical_host
from pinverify.policy._certs_and_pins import element, inside, name_text, tbs_fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.policy._certs_and_pins import Element

__all__ = [
    "Facts",
    "Role",
    "facts",
    "issuer_and_subject",
    "moment_of",
    "names_of",
    "validity_of",
    "validity_texts",
]


Role: TypeAlias = Literal["leaf", "intermediate", "root"]


class Facts(NamedTuple):
    """Claims of a certificate about itself, unchecked.

    Attributes:
        subject: in the form of RFC 4514; its author may write anything there.
        role: "leaf" if it may not issue certificates; "root" if it may and names
            itself as its issuer; else "intermediate". None if unreadable.
    """

    subject: str
    role: Role | None


def facts(cert: bytes) -> Facts:
    """Return the subject and role of a DER certificate; empty if unreadable."""
    try:
        _, _, issuer, _, subject, *_ = tbs_fields(cert)
        name = name_text(cert, subject)
        if not _may_issue(cert):
            return Facts(name, "leaf")
        itself = name_text(cert, issuer) == name
        return Facts(name, "root" if itself else "intermediate")
    except (IndexError, ValueError):  # a subject is not worth an error
        return Facts("", None)


_BASIC_CONSTRAINTS = b"\x55\x1d\x13"
_TRUE = b"\x01\x01\xff"


def _may_issue(cert: bytes) -> bool:
    """Return True if the certificate has BasicConstraints with cA TRUE."""
    for oid, value in _extensions(cert):
        if oid == _BASIC_CONSTRAINTS:
            return value.startswith(_TRUE, element(value, 0).start)
    return False


_EXTENSIONS = 0xA3


def _extensions(cert: bytes) -> Iterator[tuple[bytes, bytes]]:
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
        ValueError: the calendar has no such moment.
    """
    return dt.datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=dt.UTC)


def validity_texts(cert: bytes) -> tuple[str, str] | None:
    """Return notBefore and notAfter as YYYYMMDDHHMMSSZ; None if unreadable.

    This is quicker than `validity_of`, since no date is compared with the calendar: a
    text may name a day that does not exist.
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
        ValueError: *element* is not a Time.
    """
    text = cert[element.start : element.end].decode("ascii")
    if element.tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    if len(text) != _TIME_LEN or not (text[:-1].isdigit() and text[-1] == "Z"):
        msg = f"{text!r} is no time"
        raise ValueError(msg)
    return text


# ---- subjectAltName ----------------------------------------------------------

_SUBJECT_ALT_NAME = b"\x55\x1d\x11"
_EMAIL, _DNS, _URI, _ADDRESS = 0x81, 0x82, 0x86, 0x87


def names_of(cert: bytes) -> tuple[str, ...]:
    """Return names, addresses and URIs of subjectAltName (RFC 5280, 4.2.1.6)."""
    try:
        value = dict(_extensions(cert)).get(_SUBJECT_ALT_NAME, b"")
        return tuple(_general_names(value)) if value else ()
    except (IndexError, ValueError):
        return ()


def _general_names(value: bytes) -> Iterator[str]:
    for name in inside(value, element(value, 0)):
        contents = value[name.start : name.end]
        if name.tag in {_EMAIL, _DNS, _URI}:
            yield contents.decode("ascii")
        elif name.tag == _ADDRESS:
            yield _address(contents)


def _address(contents: bytes) -> str:
    """Return an address of 4 or 16 bytes, as RFC 5952 writes it.

    Raises:
        ValueError: the address has another length.
    """
    if len(contents) == _IPV4_LEN:
        return ".".join(map(str, contents))
    if len(contents) != _IPV6_LEN:
        msg = "an address has 4 or 16 bytes"
        raise ValueError(msg)
    return canonical_host(contents.hex(":", 2))


_IPV4_LEN, _IPV6_LEN = 4, 16
