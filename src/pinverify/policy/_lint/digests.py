"""Digests that are the pin of no key: hashes of nothing, placeholders, examples."""

from __future__ import annotations

import binascii
import re

from pinverify import core
from pinverify.core._hosts import is_address
from pinverify.policy._pin import Pin

__all__ = ["example_of", "is_for_examples", "is_placeholder", "nothing_hashed"]

# The output of a pipe whose first command failed.
_NOTHING = {
    core.sha256(b""): "nothing",
    core.sha256(b"\n"): "an empty line",
}


def nothing_hashed(digest: bytes) -> str:
    """Return the words for the nothing that was hashed; empty for other digests."""
    return _NOTHING.get(digest, "")


# ---- placeholders --------------------------------------------------------------

_FEW = 16
_WORD = 8
_COUNTING = bytes(range(256)) * 2
_REPEATED = bytes(_WORD - 1)
_ALPHABET = re.compile(rb"ABCDEFGH|abcdefgh|STUVWXYZ|stuvwxyz|01234567|12345678")


def is_placeholder(digest: bytes) -> bool:
    """Return True for 32 bytes that a person typed and no SHA-256 gave.

    They have few different bytes, as those have that repeat something short; or they
    count; or their base64 begins again, repeats a character or follows the alphabet. Of
    random digests each of these is true for fewer than one in a thousand million.
    """
    if len(set(digest)) <= _FEW or digest in _COUNTING:
        return True
    text = binascii.b2a_base64(digest)
    if text.find(text[:_WORD], 1) > 0:
        return True
    # Where a character is that before it, their difference is zero. That is four times
    # as fast as a regular expression, and files may have a million pins.
    number = int.from_bytes(text)
    differences = (number ^ number >> 8).to_bytes(len(text))
    return _REPEATED in differences or _ALPHABET.search(text) is not None


# ---- examples ------------------------------------------------------------------

# Base64 of pins that documentations show, and that people copy with the rest. No pin
# of an authority is among them that is still in use: somebody may mean it.
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
_OWNERS = {
    Pin.spki(text).digest: owner for owner, texts in _EXAMPLES.items() for text in texts
}


def example_of(digest: bytes) -> str:
    """Return the documentation that has a digest as an example, or an empty text."""
    return _OWNERS.get(digest, "")


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
