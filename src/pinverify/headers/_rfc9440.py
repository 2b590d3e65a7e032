"""Certificates in the headers of RFC 9440: byte sequences, and lists of these.

This reader accepts less than a reader of structured fields must (RFC 8941, now RFC
9651): the declared proxy sends one spelling, and any other is a sign that somebody else
wrote the header. So it refuses parameters other than the secret, an empty sequence,
missing padding, and bits set after the last byte.
"""

from __future__ import annotations

import binascii
import re

__all__ = [
    "FormError",
    "byte_sequence",
    "byte_sequences",
    "exact_base64",
    "secret_of_item",
    "secrets_of_list",
]

_SEQUENCE = re.compile(rb":([A-Za-z0-9+/]+={0,2}):")


class FormError(Exception):
    """Raised for a header that is not in the declared form; the text says why."""


def byte_sequence(value: bytes) -> bytes:
    """Return the bytes of one byte sequence (RFC 8941, 3.3.5; RFC 9440, 2.1).

    Args:
        value: a colon, base64, a colon.

    Raises:
        FormError: *value* is anything else, or the sequence is empty.
    """
    found = _SEQUENCE.fullmatch(value)
    if found is None:
        msg = "it is not one byte sequence of RFC 9440, which is :base64:"
        raise FormError(msg)
    return exact_base64(found[1])


def byte_sequences(value: bytes) -> list[bytes]:
    """Return the members of a list of byte sequences (RFC 8941, 3.1; RFC 9440, 2.3).

    Args:
        value: byte sequences, with commas and any blanks or tabs between them.

    Raises:
        FormError: a member is not a byte sequence, or *value* is empty or begins with a
            tab.
    """
    if value.lstrip(b" ").startswith(b"\t"):
        msg = "it begins with a tab, which is allowed only beside commas"
        raise FormError(msg)
    return [byte_sequence(member.strip(b" \t")) for member in value.split(b",")]


def secret_of_item(value: bytes) -> tuple[bytes, bytes]:
    """Return the parameter ``secret`` of an item, and the item without it.

    The secret is a string without escapes (RFC 8941, 3.3.3) and the only parameter; the
    secret is empty if the item has none. Blanks after the parameter stay with the item;
    only an item of a list may have such blanks.
    """
    item, _, end = value.partition(b';secret="')
    secret, quote, blanks = end.partition(b'"')
    if not quote or blanks.strip(b" \t"):
        return b"", value
    return secret, item + blanks


def secrets_of_list(value: bytes) -> tuple[list[bytes], bytes]:
    """Return the parameter ``secret`` of each member, and the list without them.

    Each member needs the secret: a server may join the proxy's header and a client's
    header into one list.
    """
    pairs = [secret_of_item(member) for member in value.split(b",")]
    return [secret for secret, _ in pairs], b",".join(item for _, item in pairs)


def exact_base64(text: bytes) -> bytes:
    """Return the bytes whose only base64 is *text* (RFC 4648, 3.5 and 4).

    Raises:
        FormError: *text* is empty, is not base64, or has bits behind its last byte.
    """
    try:
        data = binascii.a2b_base64(text, strict_mode=True)
    except binascii.Error as error:
        msg = f"its base64 is wrong: {error}"
        raise FormError(msg) from None
    if not data or binascii.b2a_base64(data, newline=False) != text:
        msg = "its base64 is empty, or has bits behind its last byte"
        raise FormError(msg)
    return data
