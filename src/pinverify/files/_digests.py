"""Digests that nobody should pin: hashes of nothing, placeholders, examples."""

from __future__ import annotations

import binascii
import re
from typing import TYPE_CHECKING

from pinverify import core
from pinverify.core._hosts import is_address
from pinverify.policy._certs_and_pins import Pin

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "EXAMPLE_OF",
    "NOTHING_HASHED",
    "is_for_examples",
    "is_placeholder",
    "known_among",
]

NOTHING_HASHED = {core.sha256(b""): "nothing", core.sha256(b"\n"): "an empty line"}
"""Inputs without a key, by their digests. Such an input is hashed if the command that
should print the key fails, as in ``openssl … | sha256sum``."""

_FEW = 16
_FIRST = 18
_WORD = 8
_COUNTING = {bytes((first + i) % 256 for i in range(32)) for first in range(256)}
_REPEATED = bytes(_WORD - 1)
_ALPHABET = (
    *(b"ABCDEFGH", b"abcdefgh", b"STUVWXYZ", b"stuvwxyz"),
    *(b"01234567", b"12345678"),
)


def is_placeholder(digest: bytes) -> bool:
    """Return True for 32 bytes that a person typed and no SHA-256 gave.

    They have few different values, as if something short was repeated; or they count
    up; or their base64 begins again, repeats a character or follows the alphabet. Each
    of these is true for fewer than one in a thousand million random digests.
    """
    return bool(_placeholders([digest]))


def _placeholders(digests: Sequence[bytes]) -> set[bytes]:
    """Return the placeholders among many digests: files may have a million pins."""
    lines = [binascii.b2a_base64(digest) for digest in digests]
    found = {
        digest
        for digest, line in zip(digests, lines, strict=True)
        if _has_few_bytes(digest) or line.find(line[:_WORD], 1) > 0
    }
    if _has_typed_word(b"".join(lines)):  # in one of them, so which?
        pairs = zip(digests, lines, strict=True)
        found.update(digest for digest, line in pairs if _has_typed_word(line))
    return found | _COUNTING.intersection(digests)


def _has_few_bytes(digest: bytes) -> bool:
    # For most digests the first bytes are enough: a set of these is made faster.
    return len(set(digest[:_FIRST])) <= _FEW and len(set(digest)) <= _FEW


def _has_typed_word(lines: bytes) -> bool:
    """Return True if a line repeats a character or follows the alphabet."""
    # The difference of two equal characters in a row is zero. To search for zeros is
    # far faster than a regular expression.
    number = int.from_bytes(lines)
    differences = (number ^ number >> 8).to_bytes(len(lines))
    return _REPEATED in differences or any(word in lines for word in _ALPHABET)


# Base64 of pins that documentation shows, and that people copy with the rest. Pins of
# authorities that are still in use are left out: somebody may mean them.
_EXAMPLES = {
    "OkHttp": ("afwiKY3RxoMmLkuRW1l7QsPZTJPwDS2pdDROQjXw8ig=",),
    "Android": (
        "7HIpactkIAq2Y49orFOOQKurWxmmSFZhBCoQYcRhJ3Y=",
        "fwza0LRMXouZHRC8Ei+4PyuldPDcf3UKgO/04cDM1oE=",
    ),
    "RFC 7469": (
        "d6qzRu9zOECb90Uez27xWltNsj0e1Md7GkYYkVoZWmM=",
        "E9CZ9INDbd+2eRQozYqqbQ2yXLVKB9+xcprMF+44U1g=",
        "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=",
    ),
    "MDN": (
        "cUPcTAZWKaASuYWhhneDttWpY3oBAkE3h2+soZS7sWs=",
        "M8HztCzM3elUxkcjR2S5P4hhyBNf6lHkmjAHKhpGPWE=",
    ),
    "TrustKit": (
        "HXXQgxueCIU5TTLHob/bPbwcKOKw6DkfsTWYHbxbqTY=",
        "0SDf3cRToyZJaMsoS17oF72VMavLxj/N7WBNasNuiR8=",
        "TQEtdMbmwFgYUifM4LDF+xgEtd0z69mPGmkp014d6ZY=",
    ),
    # Of private keys that everybody has: the numbers 1, 3 and 4.
    "pinverify": (
        "XNJS+wzokyQ2+vjM0QQJgbie5K1rn+niorfnGqyyfNM=",
        "K5hbrfG6yCk/a5LowKzBE5vFpey7+Xpicdzw1PbGivY=",
        "Pqs/ulAmth0AfL9BG5DzyI/4nPCoCIy7/D6qyoZ91mM=",
    ),
}
EXAMPLE_OF = {
    Pin.spki(text).digest: owner for owner, texts in _EXAMPLES.items() for text in texts
}
"""The documentation that has a pin as an example, by its digest."""

_AT_ONCE = 1024  # so that their base64 stays in the caches


def known_among(digests: Sequence[bytes]) -> set[bytes]:
    """Return those digests that are a hash of nothing, a placeholder or an example."""
    found = {*NOTHING_HASHED, *EXAMPLE_OF}.intersection(digests)
    for first in range(0, len(digests), _AT_ONCE):
        found |= _placeholders(digests[first : first + _AT_ONCE])
    return found


# RFC 2606, 2 and 3; RFC 5737; RFC 3849.
_RESERVED = re.compile(
    r"(?:\A|\.)(?:example|test|invalid|localhost|example\.(?:com|net|org))\Z"
)
_RESERVED_ADDRESS = re.compile(
    r"\A(?:192\.0\.2\.|198\.51\.100\.|203\.0\.113\.|2001:db8:)"
)


def is_for_examples(name: str) -> bool:
    """Return True for a name or address that is reserved for examples and tests."""
    reserved = _RESERVED_ADDRESS if is_address(name) else _RESERVED
    return reserved.search(name) is not None
