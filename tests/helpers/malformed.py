"""Malformed certificates that are validly signed: for handshakes, not for parsers.

A certificate whose signature fails shows nothing about a handshake. So each of
these is made from a good one: its TBSCertificate is taken apart, one part is
encoded differently or put where it does not belong, and the authority signs the
result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from oracle_der import BIT_STRING, SEQUENCE, Element, encode, read, split
from pki import Authority, Identity, self_signed

__all__ = [
    "ALLOWED",
    "FIELDS",
    "MISTAKES",
    "OTHER_SPKI",
    "SPELLINGS",
    "misspelt",
    "mistaken",
]

# A place in a certificate: child number after child number.
Place = tuple[int, ...]

FIELDS: dict[str, Place] = {
    "Certificate": (),
    "tbsCertificate": (0,),
    "version": (0, 0),
    "version: INTEGER": (0, 0, 0),
    "serialNumber": (0, 1),
    "signature": (0, 2),
    "signature: OID": (0, 2, 0),
    "issuer": (0, 3),
    "validity": (0, 4),
    "subject": (0, 5),
    "subjectPublicKeyInfo": (0, 6),
    "SPKI: algorithm": (0, 6, 0),
    "SPKI: algorithm, OID": (0, 6, 0, 0),
    "SPKI: algorithm, curve": (0, 6, 0, 1),
    "SPKI: subjectPublicKey": (0, 6, 1),
    "extensions": (0, 7),
    "extensions: SEQUENCE": (0, 7, 0),
    "signatureAlgorithm": (1,),
    "signatureAlgorithm: OID": (1, 0),
    "signatureValue": (2,),
}
"""Every element of the frame."""


# ---- spellings -----------------------------------------------------------------

# An element to how it is spelt otherwise; None where there is no such form.
Spelling = Callable[[Element], bytes | None]


def _indefinite(element: Element) -> bytes | None:
    """X.690, 8.1.3.6: for what is constructed alone."""
    if not element.tag & 0x20:
        return None
    return bytes((element.tag, 0x80)) + element.content + b"\0\0"


def _long(element: Element) -> bytes:
    """One octet of length more than it takes."""
    length = len(element.content)
    octets = length.to_bytes(1 if length < 0x80 else 3, "big")
    return bytes((element.tag, 0x80 | len(octets))) + octets + element.content


def _high(element: Element) -> bytes:
    """The tag as if its number were too large for one octet."""
    tag = bytes((element.tag | 0x1F, element.tag & 0x1F))
    return tag + element.raw[1:]


def _constructed(element: Element) -> bytes | None:
    """A string made of one piece (X.690, 8.6.4): the same value."""
    return None if element.tag & 0x20 else encode(element.tag | 0x20, element.raw)


SPELLINGS: dict[str, Spelling] = {
    "indefinite length": _indefinite,
    "long length": _long,
    "high tag": _high,
    "constructed": _constructed,
}


# ---- mistakes ------------------------------------------------------------------

OTHER_SPKI = self_signed("other.example").spki
"""A key that is in none of these certificates but as the second of two."""

_NULL = b"\x05\x00"


def _last_inside(extra: bytes) -> Callable[[Element], bytes]:
    return lambda element: encode(element.tag, element.content, extra)


def _behind(extra: bytes) -> Callable[[Element], bytes]:
    return lambda element: element.raw + extra


def _before(extra: bytes) -> Callable[[Element], bytes]:
    return lambda element: extra + element.raw


def _instead(new: bytes) -> Callable[[Element], bytes]:
    return lambda _: new


def _twice(element: Element) -> bytes:
    return 2 * element.raw


def _unused_bits(number: int) -> Callable[[Element], bytes]:
    return lambda element: encode(element.tag, bytes((number,)), element.content[1:])


MISTAKES: dict[str, tuple[str, Callable[[Element], bytes]]] = {
    "a byte after the certificate": ("Certificate", _behind(b"\0")),
    "the certificate twice in its place": ("Certificate", _twice),
    "a NULL after signatureValue": ("signatureValue", _behind(_NULL)),
    "8 unused bits in signatureValue": ("signatureValue", _unused_bits(8)),
    "a third element in signatureAlgorithm": (
        "signatureAlgorithm: OID",
        _behind(2 * _NULL),
    ),
    "another key before the key": ("subjectPublicKeyInfo", _before(OTHER_SPKI)),
    "another key after the key": ("subjectPublicKeyInfo", _behind(OTHER_SPKI)),
    "the key twice": ("subjectPublicKeyInfo", _twice),
    "another key after the extensions": ("extensions", _behind(OTHER_SPKI)),
    "another key in subjectPublicKeyInfo": (
        "subjectPublicKeyInfo",
        _last_inside(OTHER_SPKI),
    ),
    "a NULL in subjectPublicKeyInfo": ("subjectPublicKeyInfo", _last_inside(_NULL)),
    "a third element in its algorithm": ("SPKI: algorithm", _last_inside(_NULL)),
    "1 unused bit in its subjectPublicKey": ("SPKI: subjectPublicKey", _unused_bits(1)),
    "8 unused bits in its subjectPublicKey": (
        "SPKI: subjectPublicKey",
        _unused_bits(8),
    ),
    "subjectPublicKey twice": ("SPKI: subjectPublicKey", _twice),
    "version 0, written": ("version: INTEGER", _instead(b"\x02\x01\x00")),
    "version 3": ("version: INTEGER", _instead(b"\x02\x01\x03")),
    "version -1": ("version: INTEGER", _instead(b"\x02\x01\xff")),
    "version 2 in two octets": ("version: INTEGER", _instead(b"\x02\x02\x00\x02")),
    "two versions in one": ("version: INTEGER", _twice),
    "version twice": ("version", _twice),
    "extensions in v2": ("version: INTEGER", _instead(b"\x02\x01\x01")),
    "extensions in v1": ("version", _instead(b"")),
    "no serialNumber": ("serialNumber", _instead(b"")),
    "an empty serialNumber": ("serialNumber", _instead(b"\x02\x00")),
    "a padded serialNumber": (
        "serialNumber",
        _instead(b"\x02\x02\x00\x01"),
    ),
    "subject twice": ("subject", _twice),
    "extensions twice": ("extensions", _twice),
    "a NULL after the extensions": ("extensions", _behind(_NULL)),
    "two zero bytes after the extensions": ("extensions", _behind(b"\0\0")),
    "a unique identifier that is constructed": (
        "extensions",
        _before(b"\xa1\x04\x03\x02\x00\x01"),
    ),
    "a unique identifier with 8 unused bits": (
        "extensions",
        _before(b"\x81\x02\x08\x01"),
    ),
    "the second unique identifier first": (
        "extensions",
        _before(b"\x82\x02\x00\x01\x81\x02\x00\x01"),
    ),
}
"""Mistakes by name: the field that is wrong, and what becomes of it."""

ALLOWED = ("version 0, written", "extensions in v2", "extensions in v1")
"""Mistakes that the walk accepts: they leave no doubt which bytes are the key."""


# ---- certificates --------------------------------------------------------------


def misspelt(good: Identity, issuer: Authority) -> Iterator[tuple[str, str, bytes]]:
    """Yield each field in each spelling: field, spelling, certificate.

    Args:
        good: the certificate that is spelt otherwise.
        issuer: whose key, on P-256, has signed it and signs it again.
    """
    for field, place in FIELDS.items():
        for name, spell in SPELLINGS.items():
            spelt = spell(_find(good.der, place))
            if spelt is not None:
                yield field, name, _with(good, issuer, place, spelt)


def mistaken(good: Identity, issuer: Authority) -> Iterator[tuple[str, bytes]]:
    """Yield a certificate with each of `MISTAKES`: its name, certificate.

    The arguments are those of `misspelt`.
    """
    for name, (field, make) in MISTAKES.items():
        place = FIELDS[field]
        yield name, _with(good, issuer, place, make(_find(good.der, place)))


def _with(good: Identity, issuer: Authority, place: Place, new: bytes) -> bytes:
    """Return *good* with *new* in that place, signed anew if that is signed."""
    if place[:1] != (0,):
        return _replace(good.der, place, new)
    tbs, algorithm, _ = _children(good.der)
    tbs = _replace(tbs, place[1:], new)
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    return encode(SEQUENCE, tbs, algorithm, encode(BIT_STRING, b"\0", signature))


def _element(data: bytes) -> Element:
    return read(data, 0, len(data))


def _children(data: bytes) -> list[bytes]:
    return [child.raw for child in split(_element(data))]


def _find(data: bytes, place: Place) -> Element:
    for number in place:
        data = _children(data)[number]
    return _element(data)


def _replace(data: bytes, place: Place, new: bytes) -> bytes:
    """Return *data* with *new* in that place, the lengths around it made right."""
    if not place:
        return new
    children = _children(data)
    children[place[0]] = _replace(children[place[0]], place[1:], new)
    return encode(data[0], *children)
