"""DER and PEM: tell them apart, and read PEM (RFC 7468); for the whole package."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import DERError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Block", "blocks", "is_pem", "one_der", "pem"]


def is_pem(data: bytes) -> bool:
    """Return True for PEM, False for DER.

    A long DER element begins with bytes that no text begins with. Inside it there may
    be anything, even something that looks like PEM.
    """
    return re.match(rb"\x30[\x81-\xff]", data) is None and b"-----BEGIN " in data


class Block(NamedTuple):
    """One block of a PEM text.

    Attributes:
        label: for instance CERTIFICATE.
        body: base64 without line ends; None if the END line is missing.
    """

    label: str
    body: bytes | None

    def der(self) -> bytes:
        """Return the decoded contents.

        Raises:
            DERError: the block has no end, or is not base64.
        """
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
    """Yield each block of a PEM text in order, also blocks without an END line."""
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
    """Return DER as it is, or the one block *label* of a PEM text.

    Raises:
        DERError: the text has another number of such blocks, or a damaged one.
        TypeError: *der_or_pem* is neither bytes nor text.
    """
    data = der_or_pem.encode("utf-8") if isinstance(der_or_pem, str) else der_or_pem
    if not isinstance(data, bytes | bytearray):
        msg = f"expected DER or PEM, got {type(data).__name__}; of a key or a "
        msg += "certificate of `cryptography` give its public_bytes(…)"
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
