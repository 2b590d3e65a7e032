"""Pins as other systems write them, and what a text is that is nearly one.

People paste fingerprints from many tools. A list of the right spellings helps nobody
who has a wrong one: the message says what the text is.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.policy import Pin

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["key_pin", "shown"]

_MAX_SHOWN = 80
_MAX_READ = 4096
_BASE64_LENGTH = 44


def key_pin(text: str) -> Pin:
    """Read the base64 of the SHA-256 of a public key, without any prefix.

    Raises:
        PolicyError: *text* is something else; the message says what it looks like,
            and what to write.
    """
    if len(text) == _BASE64_LENGTH:  # "sha256//" and 44 characters are of curl
        with contextlib.suppress(PolicyError):
            return Pin.parse(f"sha256/{text}")
    text = text[:_MAX_READ]
    why = next((why for is_it, why in _NEAR if is_it(text)), "") or _near_base64(text)
    msg = f"{shown(text)} is not the base64 of a SHA-256: {why}"
    raise PolicyError(msg)


def shown(text: str) -> str:
    """Return a quotation of *text* that is short enough for a message."""
    if len(text) > _MAX_SHOWN:
        return f"{text[:_MAX_SHOWN]!r}…"
    return repr(text)


_RECIPE = "`pinverify pin` prints the pins of a server or a file"


def _like(pattern: str) -> Callable[[str], object]:
    return re.compile(pattern).search


_NEAR: tuple[tuple[Callable[[str], object], str], ...] = (
    (lambda text: not text, f"it is empty; {_RECIPE}"),
    (_like("-----BEGIN"), f"it is a PEM block and not its hash; {_RECIPE}"),
    (lambda text: text != text.strip(), "there are blanks around it; remove them"),
    (
        _like(r"[A-Za-z0-9+/]{43}=.*[A-Za-z0-9+/]{43}="),
        "these are several pins in one text; write each by itself",
    ),
    (
        _like(r"^(?i:sha-?256(//|/|:|=)|pin-sha256=)"),
        "remove what stands before the base64",
    ),
    (_like(r"^(?i:sha-?1|md5)\b"), f"SHA-1 and MD5 can be forged; {_RECIPE}"),
    (
        _like(r"^(?:[0-9A-Fa-f]{2}:?){16,64}$"),
        f"it is hex; write the base64 of the same bytes; {_RECIPE}",
    ),
    (
        _like(r"\.(pem|crt|cer|der|key)$"),
        f"it is the name of a file; {_RECIPE}",
    ),
)

_OTHER_HASHES = {
    16: "it has 16 bytes, as MD5 has, which can be forged",
    20: "it has 20 bytes, as SHA-1 has, which can be forged",
    48: "it has 48 bytes, as SHA-384 has; only SHA-256 can be pinned",
    64: "it has 64 bytes, as SHA-512 has; only SHA-256 can be pinned",
}
_LENGTH = 32


def _near_base64(text: str) -> str:
    """Return what is wrong with text that may be some base64."""
    digits = text.rstrip("=").translate(str.maketrans("-_", "+/"))
    if not re.fullmatch(r"[A-Za-z0-9+/]*", digits):
        return f"it has characters that base64 has not; {_RECIPE}"
    try:
        digest = base64.b64decode(digits + "=" * (-len(digits) % 4))
    except binascii.Error:
        return f"it is cut off; {_RECIPE}"
    right = base64.b64encode(digest).decode("ascii")
    if len(digest) != _LENGTH:
        length = f"it has {len(digest)} bytes and not {_LENGTH}"
        return f"{_OTHER_HASHES.get(len(digest), length)}; {_RECIPE}"
    if digits != text.rstrip("="):
        return f"it is base64 of the URL alphabet; write {right}"
    if digits == right.rstrip("="):
        return f"the padding is wrong; write {right}"
    return (
        "no 32 bytes are encoded so: its last character is wrong, as it is in many "
        f"placeholders; {_RECIPE}"
    )
