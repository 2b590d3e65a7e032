"""Pins that were computed in a wrong way, and what was hashed in their place.

People hash what a command printed: the PEM text, the hex of a digest, the key without
its algorithm. Such a pin matches nothing, and looks like a right one. Who has the
certificate can compute all of these, and tell which one it is.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, NamedTuple

from pinverify import core
from pinverify.errors import DERError
from pinverify.policy._loose_der import element, inside
from pinverify.policy._pin import Pin, PinKind

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Mistaken", "mistaken_pins", "pins_of"]


class Mistaken(NamedTuple):
    """A wrong pin that belongs to a certificate.

    Attributes:
        hashed: the bytes that were hashed, in words.
        right: the pin that was meant.
    """

    hashed: str
    right: Pin


def pins_of(cert: bytes) -> tuple[Pin, ...]:
    """Return the pins of a certificate and of its key; none if it is not strict DER."""
    try:
        key = core.spki_sha256(cert)
    except DERError:
        return ()
    return Pin(PinKind.SPKI, key), Pin(PinKind.CERTIFICATE, core.sha256(cert))


def mistaken_pins(cert: bytes) -> dict[Pin, Mistaken]:
    """Return every pin that a wrong recipe makes of a certificate.

    Empty for what is not strict DER. The right pins are not among them.
    """
    right = pins_of(cert)
    if not right:
        return {}
    key, whole = right
    found = {
        Pin(PinKind.SPKI, core.sha256(data)): Mistaken(hashed, key)
        for hashed, data in _hashed_instead(cert, core.spki(cert), key.digest)
    }
    found[Pin(PinKind.SPKI, whole.digest)] = Mistaken("the whole certificate", whole)
    found[Pin(PinKind.CERTIFICATE, key.digest)] = Mistaken("the public key", key)
    return found


def _hashed_instead(
    cert: bytes, spki: bytes, digest: bytes
) -> Iterator[tuple[str, bytes]]:
    """Yield what people hash in place of a SubjectPublicKeyInfo, in words and bytes."""
    _, bits = inside(spki, element(spki, 0))
    yield "the key without its algorithm", spki[bits.start + 1 : bits.end]
    for what, der, label in (
        ("the key", spki, "PUBLIC KEY"),
        ("the certificate", cert, "CERTIFICATE"),
    ):
        pem = _pem(der, label)
        yield f"the PEM text of {what}", pem
        yield f"the PEM text of {what}", pem.rstrip(b"\n")
        yield f"the base64 text of {what}", base64.b64encode(der)
        yield f"the hex text of {what}", der.hex().encode()
    yield "the hex text of its hash", digest.hex().encode()
    yield "the base64 text of its hash", base64.b64encode(digest)


_PEM_LINE = 64  # characters; RFC 7468, 2


def _pem(der: bytes, label: str) -> bytes:
    text = base64.b64encode(der).decode("ascii")
    lines = [text[i : i + _PEM_LINE] for i in range(0, len(text), _PEM_LINE)]
    whole = [f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""]
    return "\n".join(whole).encode("ascii")
