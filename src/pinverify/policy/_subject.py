"""The subject of a certificate as one line of text, for people.

The decision has been made when a subject is read, and nothing depends on it. It may
hold anything that the peer likes, so whoever shows it escapes and cuts it. It is read
here and not by another library, because the log names peers in the middle of a
handshake, where nothing may be imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["subject_of"]

_SUBJECT_MAX = 4096  # bytes that are read; no honest subject is that long

_VERSION = 0xA0
_FIELDS_BEFORE = 4  # serialNumber, signature, issuer, validity

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


class _Element(NamedTuple):
    """One DER element: its tag, and where its contents are."""

    tag: int
    start: int
    end: int


def subject_of(cert: bytes) -> str:
    """Return a certificate's subject as RFC 4514 writes it; empty if unreadable."""
    try:
        return _subject(cert)
    except (IndexError, ValueError):  # not DER, or text in another encoding
        return ""


def _subject(cert: bytes) -> str:
    certificate = _element(cert, 0)
    tbs = _element(cert, certificate.start)
    fields = _inside(cert, tbs)
    before = _FIELDS_BEFORE + (cert[tbs.start] == _VERSION)
    for _ in range(before):
        next(fields, None)
    subject = next(fields, None)
    if subject is None or subject.end - subject.start > _SUBJECT_MAX:
        return ""
    names = ["+".join(_attributes(cert, one)) for one in _inside(cert, subject)]
    return ",".join(reversed(names))


def _element(der: bytes, at: int) -> _Element:
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        digits = length & 0x7F
        length = int.from_bytes(der[start : start + digits], "big")
        start += digits
    if start + length > len(der):
        msg = "an element ends after its buffer"
        raise ValueError(msg)
    return _Element(tag, start, start + length)


def _inside(der: bytes, outer: _Element) -> Iterator[_Element]:
    at = outer.start
    while at < outer.end:
        element = _element(der, at)
        at = element.end
        yield element


def _attributes(der: bytes, names: _Element) -> Iterator[str]:
    """Yield each attribute of a RelativeDistinguishedName, such as ``CN=name``."""
    for attribute in _inside(der, names):
        oid, value = _inside(der, attribute)
        number = der[oid.start : oid.end]
        yield f"{_KEYWORDS.get(number) or _dotted(number)}={_value(der, value)}"


def _value(der: bytes, value: _Element) -> str:
    contents = der[value.start : value.end]
    encoding = _ENCODINGS.get(value.tag)
    return (
        "#" + contents.hex()
        if encoding is None
        else _escaped(contents.decode(encoding))
    )


def _escaped(text: str) -> str:
    """Escape the characters that separate names (RFC 4514, 2.4)."""
    text = "".join("\\" + c if c in '\\",+;<>' else c for c in text)
    text = text.replace("\0", "\\00")
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") else text


def _dotted(oid: bytes) -> str:
    """Return an OID as numbers with dots."""
    numbers = [0]
    for byte in oid:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:-1]]))
