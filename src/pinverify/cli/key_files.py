"""Certificates and public keys in files: PEM with any number of them, or DER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify import core
from pinverify.errors import DERError
from pinverify.policy._pem import blocks, is_pem

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Item", "Kind", "read_items"]

Kind: TypeAlias = Literal["certificate", "public key"]


class Item(NamedTuple):
    """One certificate, or one public key (a SubjectPublicKeyInfo)."""

    kind: Kind
    der: bytes


_KINDS: dict[str, Kind] = {
    "CERTIFICATE": "certificate",
    "X509 CERTIFICATE": "certificate",  # RFC 7468, 5.3
    "PUBLIC KEY": "public key",
}

# Other kinds of files, each with the command that extracts a public key.
_HINTS = {
    "CERTIFICATE REQUEST": "openssl req -pubkey -noout -in FILE",
    "NEW CERTIFICATE REQUEST": "openssl req -pubkey -noout -in FILE",
    "RSA PUBLIC KEY": "openssl rsa -RSAPublicKey_in -pubout -in FILE",
    "PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "RSA PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "EC PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "ENCRYPTED PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "TRUSTED CERTIFICATE": "openssl x509 -in FILE",
    "PKCS7": "openssl pkcs7 -print_certs -in FILE",
}


def read_items(data: bytes) -> Iterator[Item | DERError]:
    """Read the certificates and public keys in a file; yield an error for a bad one.

    Blocks of other kinds, such as a private key before its certificate, are
    skipped.

    Raises:
        DERError: the file has no certificate and no public key.
    """
    if not is_pem(data):
        yield _item_of_der(data)
        return
    others = []
    found = 0
    for block in blocks(data):
        kind = _KINDS.get(block.label)
        if kind is None:
            others.append(block.label)
            continue
        found += 1
        try:
            yield _checked(Item(kind, block.der()))
        except DERError as error:
            yield error
    if not found:
        raise DERError(_nothing_in(others))


def _item_of_der(data: bytes) -> Item:
    try:
        return _checked(Item("certificate", data))
    except DERError as not_a_certificate:
        try:
            return _checked(Item("public key", data))
        except DERError:
            pass
        if data[:1] != b"\x30":
            what = "neither PEM nor DER" if data else "empty"
            msg = f"{what}; give a certificate or a public key"
            raise DERError(msg) from None
        msg = f"{not_a_certificate}; it is not a public key either"
        raise DERError(msg) from None


def _checked(item: Item) -> Item:
    if item.kind == "certificate":
        core.spki(item.der)
    else:
        from pinverify.policy import Pin

        Pin.from_public_key(item.der)
    return item


def _nothing_in(labels: list[str]) -> str:
    if not labels:
        return "no certificate and no public key in the PEM text"
    hints = (_HINTS[label] for label in labels if label in _HINTS)
    advice = f"; {hint} writes one" if (hint := next(hints, "")) else ""
    return f"no certificate and no public key, only {', '.join(labels)}{advice}"
