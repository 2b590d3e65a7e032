"""Read certificates, requests and public keys: any number in PEM, or one in DER."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify import core
from pinverify.errors import DERError
from pinverify.policy._certs_and_pins import blocks, element, inside, is_pem, name_text

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Item", "Kind", "contents", "is_private_key", "read_items"]

Kind: TypeAlias = Literal["certificate", "public key"]


class Item(NamedTuple):
    """One certificate, or one public key (a SubjectPublicKeyInfo).

    Attributes:
        kind: "certificate" or "public key".
        der: its bytes.
        subject: the subject in a certificate request for the key; None without a
            request.
    """

    kind: Kind
    der: bytes
    subject: str | None = None


_REQUEST: Literal["request"] = "request"
_KINDS: dict[str, Kind | Literal["request"]] = {
    "CERTIFICATE": "certificate",
    "X509 CERTIFICATE": "certificate",  # RFC 7468, 5.3
    "CERTIFICATE REQUEST": _REQUEST,
    "NEW CERTIFICATE REQUEST": _REQUEST,  # RFC 7468, 7
    "PUBLIC KEY": "public key",
}

# Other kinds of files, each with the command that extracts a public key.
_HINTS = {
    "RSA PUBLIC KEY": "openssl rsa -RSAPublicKey_in -pubout -in FILE",
    "PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "RSA PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "EC PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "ENCRYPTED PRIVATE KEY": "openssl pkey -pubout -in FILE",
    "TRUSTED CERTIFICATE": "openssl x509 -in FILE",
    "PKCS7": "openssl pkcs7 -print_certs -in FILE",
}


def contents(source: str) -> bytes:
    """Read a file or stdin without pathlib, which `pinverify pin` need not import."""
    if source == "-":
        return sys.stdin.buffer.read()
    with open(source, "rb") as file:  # noqa: PTH123
        return file.read()


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
            der = block.der()
            yield _checked(_requested(der) if kind == _REQUEST else Item(kind, der))
        except DERError as error:
            yield error
    if not found:
        raise DERError(_nothing_in(others))


def is_private_key(data: bytes) -> bool:
    """Return True for a private key without a certificate, in PEM or DER."""
    if is_pem(data):
        labels = [block.label for block in blocks(data)]
        return any("PRIVATE KEY" in each for each in labels) and not any(
            each in _KINDS for each in labels
        )
    try:
        first, *_ = inside(data, element(data, 0))
    except (IndexError, ValueError):
        return False
    # PKCS #8, PKCS #1 and SEC 1 begin with a version; encrypted DER does not.
    return (
        data[:1] == b"\x30" and first.tag == _INTEGER and first.end - first.start == 1
    )


_INTEGER = 2


def _item_of_der(data: bytes) -> Item:
    try:
        return _checked(Item("certificate", data))
    except DERError as not_a_certificate:
        for read in (partial(Item, "public key"), _requested):
            try:
                return _checked(read(data))
            except DERError:
                pass
        if data[:1] != b"\x30":
            what = "neither PEM nor DER" if data else "empty"
            msg = f"{what}; give a certificate or a public key"
            raise DERError(msg) from None
        if extra := _bytes_after(data):
            msg = f"{extra:,} bytes follow the DER; cut them off"
            raise DERError(msg) from None
        msg = f"{not_a_certificate}; it is not a public key either"
        raise DERError(msg) from None


def _bytes_after(data: bytes) -> int:
    """Return the number of bytes after the first DER element; 0 if it has no end."""
    try:
        return len(data) - element(data, 0).end
    except (IndexError, ValueError):
        return 0


def _requested(der: bytes) -> Item:
    """Return the key in a certificate request (RFC 2986, 4).

    The signature of the request is not checked: it would only show that its writer
    has the key.

    Raises:
        DERError: *der* is not a request.
    """
    try:
        whole = element(der, 0)
        info, _, _ = inside(der, whole)
        _, subject, key, *_ = inside(der, info)
    except (IndexError, ValueError):
        msg = "not a certificate request"
        raise DERError(msg) from None
    if whole.end != len(der):
        msg = "bytes follow the certificate request"
        raise DERError(msg)
    name = ""
    with contextlib.suppress(IndexError, ValueError):  # in an unusual encoding
        name = name_text(der, subject)
    return Item("public key", der[subject.end : key.end], name)


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
