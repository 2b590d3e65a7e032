"""PEM, and a reader of DER for display only: the core alone reads DER for decisions.

The core is strict. The reader of DER here is lenient: it stays inside its buffer, but
may make nonsense of damaged bytes.

A subject may contain anything that the peer likes, so each caller escapes and cuts its
text. Subjects are read here and not by a library, because the log names peers in the
middle of a handshake, where nothing may be imported.
"""

from __future__ import annotations

import base64
import binascii
import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import DERError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "Element",
    "blocks",
    "dotted",
    "element",
    "inside",
    "is_pem",
    "name_text",
    "one_der",
    "pem",
    "subject_of",
    "tbs_fields",
]


def is_pem(data: bytes) -> bool:
    """Return True for PEM, False for DER."""
    # DER may contain what looks like PEM, but then it is a SEQUENCE of 128 bytes or
    # more, and no ASCII text begins like that.
    return re.match(rb"\x30[\x81-\xff]", data) is None and b"-----BEGIN " in data


class Block(NamedTuple):
    """One PEM block (RFC 7468): its label, such as CERTIFICATE, and its body."""

    label: str
    body: bytes | None
    """Base64 without line ends; None if the END line is missing."""

    def der(self) -> bytes:
        """Return the decoded body."""
        if self.body is None:
            msg = f"a BEGIN {self.label} line without its END line"
            raise DERError(msg)
        try:
            return base64.b64decode(self.body, validate=True)
        except binascii.Error as error:
            msg = f"the {self.label} block is not base64: {error}"
            raise DERError(msg) from None


_BOUNDARY = re.compile(rb"-----(BEGIN|END) ([^-]+)-----")


def blocks(data: bytes) -> Iterator[Block]:
    """Yield each block of a PEM text in order, even blocks without an END line."""
    label: str | None = None
    body_at = 0
    for boundary in _BOUNDARY.finditer(data):
        found = boundary[2].decode("latin-1")
        if boundary[1] == b"BEGIN":
            if label is not None:
                yield Block(label, None)
            label, body_at = found, boundary.end()
        elif found == label:
            yield Block(found, b"".join(data[body_at : boundary.start()].split()))
            label = None
    if label is not None:
        yield Block(label, None)


def one_der(der_or_pem: bytes | str, label: str) -> bytes:
    """Return DER as it is, or the one block *label* of a PEM text."""
    data = der_or_pem.encode("utf-8") if isinstance(der_or_pem, str) else der_or_pem
    if not isinstance(data, bytes | bytearray):
        msg = (
            f"expected DER or PEM, got {type(data).__name__}; of a key or a "
            "certificate of `cryptography` give its public_bytes(…)"
        )
        raise TypeError(msg)
    data = bytes(data)
    if not is_pem(data):
        return data
    found = [block for block in blocks(data) if block.label == label]
    whole = [block for block in found if block.body is not None]
    if len(whole) != 1 or len(found) != 1:
        damaged = ", and a damaged one" if len(found) > len(whole) else ""
        msg = f"expected one {label} block in the PEM text, found {len(whole)}"
        raise DERError(msg + damaged)
    return whole[0].der()


def pem(label: str, der: bytes) -> str:
    """Return the PEM of one DER element, in lines of 64 characters."""
    body = base64.b64encode(der).decode("ascii")
    lines = [body[at : at + 64] for at in range(0, len(body), 64)]
    return "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])


_VERSION = 0xA0


class Element(NamedTuple):
    """One DER element: its tag, and where its contents are."""

    tag: int
    start: int
    end: int


def element(der: bytes, at: int) -> Element:
    """Read the element that begins at a position.

    ValueError if it ends after the buffer; IndexError if it has no tag or length.
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
    tbs = element(cert, element(cert, 0).start)
    return (field for field in inside(cert, tbs) if field.tag != _VERSION)


_SUBJECT_MAX = 4096  # bytes that are read; no honest subject is that long

# The keywords of RFC 4514, 3, by the bytes of their OIDs.
_KEYWORDS = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x09": "STREET",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": "UID",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC",
}

# The string types of ASN.1, by their tags.
_ENCODINGS = {
    12: "utf-8",
    18: "ascii",
    19: "ascii",
    20: "latin-1",
    22: "ascii",
    26: "ascii",
    28: "utf-32-be",
    30: "utf-16-be",
}


def subject_of(cert: bytes) -> str:
    """Return a certificate's subject as RFC 4514 writes it; empty if unreadable."""
    try:
        _serial, _signature, _issuer, _validity, subject = islice(tbs_fields(cert), 5)
        if subject.end - subject.start > _SUBJECT_MAX:
            return ""
        return name_text(cert, subject)
    except (IndexError, ValueError):  # not DER, or a text not in its tag's encoding
        return ""


def name_text(cert: bytes, name: Element) -> str:
    """Return one name of a certificate as RFC 4514 writes it.

    ValueError or IndexError if it is not DER, or a text is not in its tag's encoding.
    """
    names = ["+".join(_attributes(cert, one)) for one in inside(cert, name)]
    return ",".join(reversed(names))


def _attributes(der: bytes, names: Element) -> Iterator[str]:
    """Yield each attribute of a RelativeDistinguishedName, such as ``CN=name``."""
    for attribute in inside(der, names):
        oid, value = inside(der, attribute)
        number = der[oid.start : oid.end]
        contents = der[value.start : value.end]
        encoding = _ENCODINGS.get(value.tag)
        text = _escaped(contents.decode(encoding)) if encoding else f"#{contents.hex()}"
        yield f"{_KEYWORDS.get(number) or dotted(number)}={text}"


def _escaped(text: str) -> str:
    """Escape the characters that separate names (RFC 4514, 2.4)."""
    text = "".join("\\" + c if c in '\\",+;<>' else c for c in text)
    text = text.replace("\0", "\\00")
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") else text


_OID_MAX = 63  # bytes: the longest that `cryptography` reads


def dotted(oid: bytes) -> str:
    """Return the contents of an OID as numbers with dots; ValueError if it is long."""
    if len(oid) > _OID_MAX:
        msg = "an OID that long names nothing"
        raise ValueError(msg)
    numbers = [0]
    for byte in oid:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:-1]]))
