"""Elements of a certificate's DER, for display: what it claims, not what is decided.

The core alone reads certificates for decisions, and strictly. This reader is loose: it
only stays inside its buffer, and what it makes of damaged bytes may be nonsense.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Element", "element", "inside", "tbs_fields"]

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
