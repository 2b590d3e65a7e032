"""The ways to write a fingerprint: the values of ``pinverify pin --format``."""

from __future__ import annotations

import binascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.cli.key_files import Kind

__all__ = ["SPELLINGS", "Spelling"]


class Spelling(NamedTuple):
    """One way to write a fingerprint.

    Attributes:
        kind: the kind of the thing that was hashed.
        write: the function that writes a digest.
    """

    kind: Kind
    write: Callable[[bytes], str]


def _base64(digest: bytes) -> str:
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()


SPELLINGS = {
    "sha256": Spelling("public key", lambda d: f"sha256/{_base64(d)}"),
    "curl": Spelling("public key", lambda d: f"sha256//{_base64(d)}"),
    "hpkp": Spelling("public key", lambda d: f'pin-sha256="{_base64(d)}"'),
    "base64": Spelling("public key", _base64),
    "hex": Spelling("public key", _colons),
    "base16": Spelling("public key", bytes.hex),
    "cert": Spelling("certificate", lambda d: f"cert-sha256:{d.hex()}"),
    "cert-hex": Spelling("certificate", _colons),
    "cert-base16": Spelling("certificate", bytes.hex),
}
