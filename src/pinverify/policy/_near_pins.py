"""Texts that are nearly pins, and what is wrong with each.

People paste fingerprints from many tools. A list of the right spellings helps nobody
who has a wrong one: the message says what the text is, and what to write.
"""

from __future__ import annotations

import base64
import re

__all__ = ["near_base64", "near_pin"]

_MAX_READ = 4096
_LENGTH = 32
_RECIPE = "`pinverify pin` prints the pins of a server or a file"
_FORGED = "SHA-1 and MD5 can be forged"

# Tried from top to bottom, with `re.search`, on any text.
_ANYWHERE = (
    (r"-----BEGIN", f"it is a PEM block and not its hash; {_RECIPE}"),
    (r"^\s|\s$", "there are blanks around it; remove them"),
    (
        r"(?s)[A-Za-z0-9+/]{43}=.*[A-Za-z0-9+/]{43}=",
        "these are several pins in one text; write each by itself",
    ),
    (r"\.(pem|crt|cer|der|key)$", f"it is the name of a file; {_RECIPE}"),
    (r"(?i)^sha-?(224|384|512|3\b)", f"only SHA-256 can be pinned; {_RECIPE}"),
    (
        r"^SHA256:[A-Za-z0-9+/]{43}$",
        f"it is the fingerprint of a key of SSH, which TLS has not; {_RECIPE}",
    ),
)
# The same, where base64 alone belongs.
_BARE = (
    (r"^$", f"it is empty; {_RECIPE}"),
    *_ANYWHERE[:4],
    (
        r"(?i)^(sha-?256(//|/|:|=)|pin-sha256=)",
        "remove what stands before the base64",
    ),
    (r"(?i)^(sha-?1|md5)\b", f"{_FORGED}; {_RECIPE}"),
    (
        r"^(?:[0-9A-Fa-f]{2}:?){16,64}$",
        f"it is hex; write the base64 of the same bytes; {_RECIPE}",
    ),
)
_OF_KEY = re.compile(
    r"(?:pin-)?sha-?256 ?(?://|[/:=-]) ?[\"']?(.*?)[\"']?",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_OF_CERTIFICATE = re.compile(
    r"(?:cert-sha-?256 ?[:/=]|sha-?256 ?fingerprint ?=) ?(.*)",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_OTHER_HASHES = {
    16: "it has 16 bytes, as MD5 has, which can be forged",
    20: "it has 20 bytes, as SHA-1 has, which can be forged",
    48: "it has 48 bytes, as SHA-384 has; only SHA-256 can be pinned",
    64: "it has 64 bytes, as SHA-512 has; only SHA-256 can be pinned",
}


def near_base64(text: str) -> str:
    """Return what is wrong with text that should be the base64 of a SHA-256."""
    text = text[:_MAX_READ]
    return _first(_BARE, text) or _wrong_base64(text)


def near_pin(text: str) -> str:
    """Return what is wrong with text that `Pin.parse` refuses.

    It is empty if the text is like no pin.
    """
    text = text[:_MAX_READ]
    if why := _first(_ANYWHERE, text):
        return why
    if match := _OF_CERTIFICATE.fullmatch(text):
        return _wrong_hex(match[1])
    if match := _OF_KEY.fullmatch(text):
        return _wrong_key(match[1])
    if digits := _hex_digits(text):
        return _length_of(len(digits) // 2)
    if re.fullmatch(r"[A-Za-z0-9+/_-]{20,}=*", text):
        return _wrong_base64(text)
    return ""


def _first(rows: tuple[tuple[str, str], ...], text: str) -> str:
    return next((why for pattern, why in rows if re.search(pattern, text)), "")


def _wrong_key(rest: str) -> str:
    """Return what is wrong with *rest*, behind a word that names SHA-256."""
    digits = _hex_digits(rest)
    if len(digits) == 2 * _LENGTH:
        of_key = base64.b64encode(bytes.fromhex(digits)).decode("ascii")
        return (
            f"it is hex; write sha256/{of_key} for the hash of a key, "
            f"cert-sha256:{digits} for that of a certificate"
        )
    if digits:
        return _length_of(len(digits) // 2)
    inside = re.match(r"([A-Za-z0-9+/]{43}=)[^=]", rest)
    if inside:
        return f"remove what stands behind the pin; write sha256/{inside[1]}"
    if rest != rest.strip():
        return "there are blanks around the base64; remove them"
    return _wrong_base64(rest, "sha256/")


def _wrong_hex(rest: str) -> str:
    """Return what is wrong with *rest*, behind a word for a hash of a certificate."""
    if rest != rest.strip():
        return "there are blanks around the hex; remove them"
    if digits := _hex_digits(rest):
        if len(digits) == 2 * _LENGTH:
            return f"write cert-sha256:{digits}"
        return _length_of(len(digits) // 2)
    digest = _decoded(rest.rstrip("=").translate(_FROM_URL))
    if digest is not None and len(digest) == _LENGTH:
        return f"it is base64; write cert-sha256:{digest.hex()}"
    return f"a certificate's hash has 64 hex digits; {_RECIPE}"


def _hex_digits(text: str) -> str:
    """Return the hex digits of 16 bytes or more in any layout, or nothing."""
    text = text.lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f](?:[: -]{0,2}[0-9a-f]){31,}:?", text.lstrip(":")):
        return ""
    digits = re.sub("[: -]", "", text)
    return digits if len(digits) % 2 == 0 else ""


def _length_of(num_bytes: int) -> str:
    length = f"it has {num_bytes} bytes and not {_LENGTH}"
    why = _OTHER_HASHES.get(num_bytes, length)
    return f"{why}; {_RECIPE}"


def _wrong_base64(text: str, prefix: str = "") -> str:
    """Return what is wrong with text that may be some base64."""
    if not text:
        return f"the base64 is missing; {_RECIPE}"
    digits = text.rstrip("=").translate(_FROM_URL)
    digest = _decoded(digits)
    if digest is None:
        cut = re.fullmatch(r"[A-Za-z0-9+/]*", digits)
        why = "it is cut off" if cut else "it has characters that base64 has not"
        return f"{why}; {_RECIPE}"
    if len(digest) != _LENGTH:
        return _length_of(len(digest))
    right = base64.b64encode(digest).decode("ascii")
    if digits != right.rstrip("="):
        return (
            "no 32 bytes are encoded so: its last character is wrong, as it is in "
            f"many placeholders; {_RECIPE}"
        )
    write = f"write {prefix}{right}"
    if digits != text.rstrip("="):
        return f"it is base64 of the URL alphabet; {write}"
    return write if text == right else f"the padding is wrong; {write}"


_FROM_URL = str.maketrans("-_", "+/")


def _decoded(digits: str) -> bytes | None:
    """Decode base64 without padding; None if it is none."""
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return None
