"""Pins, and the certificates that they are made of: PEM, and DER for display.

An SPKI pin is the SHA-256 of a DER SubjectPublicKeyInfo (RFC 7469, 2.4): it stays
valid when the certificate is renewed with the same key. A certificate pin is the
SHA-256 of one whole DER certificate. The two never compare equal.

The core alone reads DER for decisions, and is strict. The reader of DER here is for
display, and lenient: it stays inside its buffer, but may make nonsense of damaged
bytes. A subject may contain anything that the peer likes, so each caller escapes and
cuts its text. Subjects are read here and not by a library, because the log names peers
in the middle of a handshake, where nothing may be imported.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import enum
import re
from functools import total_ordering
from itertools import islice
from operator import attrgetter
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    NoReturn,
    dataclass_transform,
)

from pinverify import core
from pinverify.core._keys import DIGEST_LEN
from pinverify.errors import DERError, PolicyError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "ANYWHERE",
    "MAX_READ",
    "RECIPE",
    "Element",
    "Pin",
    "PinKind",
    "Value",
    "blocks",
    "dotted",
    "element",
    "first_fault",
    "inside",
    "is_pem",
    "key_pin",
    "name_text",
    "one_der",
    "pem",
    "pins_of",
    "plain_digests",
    "subject_of",
    "tbs_fields",
    "wrong_base64",
]

# ---- immutable values --------------------------------------------------------------

# `Value` does what `dataclass(frozen=True, slots=True)` does, without an import of
# `dataclasses` and so of `inspect`, which takes half as long as that of `ssl`. The
# functions `fields`, `asdict` and `replace` of `dataclasses` work on it all the same.


class _Fields:
    """The fields as `dataclasses` describes them, made when one of its tools asks."""

    def __get__(self, _value: object, owner: type) -> dict[str, Any]:
        from dataclasses import make_dataclass  # noqa: PLC0415 - see above

        made: Any = make_dataclass(owner.__name__, owner.__annotations__.items())
        return dict(made.__dataclass_fields__)


@dataclass_transform(frozen_default=True)
class Value:
    """Base class of immutable values, which are compared by their fields.

    A subclass annotates its fields, and names them in ``__slots__`` and, in order, in
    ``__match_args__``. Its ``__init__`` writes them through the slots, as `_fill` does.
    """

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    __dataclass_fields__: ClassVar[Any] = _Fields()
    _values: ClassVar[Any]
    _setters: ClassVar[Any]

    def __init_subclass__(cls) -> None:
        """Prepare to read and to write all fields at once."""
        cls._values = property(attrgetter(*cls.__match_args__))
        cls._setters = tuple(vars(cls)[name].__set__ for name in cls.__match_args__)

    def _fill(self, *values: object) -> None:
        """Write all fields of a new value."""
        for setter, value in zip(self._setters, values, strict=True):
            setter(self, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        msg = f"cannot assign to field {name!r}"
        raise AttributeError(msg)

    def __delattr__(self, name: str) -> NoReturn:
        msg = f"cannot delete field {name!r}"
        raise AttributeError(msg)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Value) or type(other) is not type(self):
            return NotImplemented
        return bool(self._values == other._values)

    def __hash__(self) -> int:
        return hash(self._values)

    def __getstate__(self) -> tuple[object, ...]:
        return tuple(self._values)

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self._fill(*state)


# ---- texts that are nearly pins, and what is wrong with each -----------------------

# People paste fingerprints from many tools, so a message says what to write instead.

MAX_READ = 4096
RECIPE = "`pinverify pin` prints the pins of a server or a file"

# Tried from top to bottom, with `re.search`, on any text.
ANYWHERE = (
    (r"-----BEGIN", f"it is a PEM block and not its hash; {RECIPE}"),
    (r"^\s|\s$", "there are blanks around it; remove them"),
    (
        r"(?s)[A-Za-z0-9+/]{43}=.*[A-Za-z0-9+/]{43}=",
        "these are several pins in one text; write each by itself",
    ),
    (r"\.(pem|crt|cer|der|key)$", f"it is the name of a file; {RECIPE}"),
    (r"(?i)^sha-?(224|384|512|3\b)", f"only SHA-256 can be pinned; {RECIPE}"),
    (
        r"^SHA256:[A-Za-z0-9+/]{43}$",
        f"it is the fingerprint of a key of SSH, which TLS has not; {RECIPE}",
    ),
)
_OF_KEY = re.compile(r"(?ais)(?:pin-)?sha-?256 ?(?://|[/:=-]) ?[\"']?(.*?)[\"']?")
_OF_CERTIFICATE = re.compile(
    r"(?ais)(?:cert-sha-?256 ?[:/=]|sha-?256 ?fingerprint ?=) ?(.*)"
)
_OTHER_HASHES = {
    16: "it has 16 bytes, as MD5 has, which can be forged",
    20: "it has 20 bytes, as SHA-1 has, which can be forged",
    48: "it has 48 bytes, as SHA-384 has; only SHA-256 can be pinned",
    64: "it has 64 bytes, as SHA-512 has; only SHA-256 can be pinned",
}


def near_pin(text: str) -> str:
    """Return what is wrong with text that is not a pin; empty if that is unknown."""
    text = text[:MAX_READ]
    if why := first_fault(ANYWHERE, text):
        return why
    if match := _OF_CERTIFICATE.fullmatch(text):
        return _wrong_hex(match[1])
    if match := _OF_KEY.fullmatch(text):
        return _wrong_key(match[1])
    if digits := _hex_digits(text):
        return _length_of(len(digits) // 2)
    if re.fullmatch(r"[A-Za-z0-9+/_-]{20,}=*", text):
        return wrong_base64(text)
    return ""


def first_fault(rows: tuple[tuple[str, str], ...], text: str) -> str:
    """Return the fault in the first row whose pattern is found in text, or nothing."""
    return next((why for pattern, why in rows if re.search(pattern, text)), "")


def _wrong_key(rest: str) -> str:
    """Return what is wrong with *rest*, which follows a word that names SHA-256."""
    digits = _hex_digits(rest)
    if len(digits) == 2 * DIGEST_LEN:
        of_key = base64.b64encode(bytes.fromhex(digits)).decode("ascii")
        return (
            f"it is hex; write sha256/{of_key} for the hash of a key, "
            f"cert-sha256:{digits} for that of a certificate"
        )
    if digits:
        return _length_of(len(digits) // 2)
    if inside := re.match(r"([A-Za-z0-9+/]{43}=)[^=]", rest):
        return f"remove what stands behind the pin; write sha256/{inside[1]}"
    if rest != rest.strip():
        return "there are blanks around the base64; remove them"
    return wrong_base64(rest, "sha256/")


def _wrong_hex(rest: str) -> str:
    """Return what is wrong with *rest*, which follows ``cert-sha256:`` or the like."""
    if rest != rest.strip():
        return "there are blanks around the hex; remove them"
    if digits := _hex_digits(rest):
        if len(digits) == 2 * DIGEST_LEN:
            return f"write cert-sha256:{digits}"
        return _length_of(len(digits) // 2)
    digest = _decoded(rest.rstrip("=").translate(_FROM_URL))
    if digest is not None and len(digest) == DIGEST_LEN:
        return f"it is base64; write cert-sha256:{digest.hex()}"
    return f"a certificate's hash has 64 hex digits; {RECIPE}"


def _hex_digits(text: str) -> str:
    """Return the hex digits of 16 bytes or more in any layout, or nothing."""
    text = text.lower().removeprefix("0x")
    if not re.fullmatch(r"[0-9a-f](?:[: -]{0,2}[0-9a-f]){31,}:?", text.lstrip(":")):
        return ""
    digits = re.sub("[: -]", "", text)
    return digits if len(digits) % 2 == 0 else ""


def _length_of(num_bytes: int) -> str:
    length = f"it has {num_bytes} bytes and not {DIGEST_LEN}"
    why = _OTHER_HASHES.get(num_bytes, length)
    return f"{why}; {RECIPE}"


def wrong_base64(text: str, prefix: str = "") -> str:
    """Return what is wrong with text that may be base64."""
    if not text:
        return f"the base64 is missing; {RECIPE}"
    digits = text.rstrip("=").translate(_FROM_URL)
    digest = _decoded(digits)
    if digest is None:
        cut = re.fullmatch(r"[A-Za-z0-9+/]*", digits)
        why = "it is cut off" if cut else "it has characters that base64 has not"
        return f"{why}; {RECIPE}"
    if len(digest) != DIGEST_LEN:
        return _length_of(len(digest))
    right = base64.b64encode(digest).decode("ascii")
    if digits != right.rstrip("="):
        return (
            "no 32 bytes are encoded so: its last character is wrong, as it is in "
            f"many placeholders; {RECIPE}"
        )
    write = f"write {prefix}{right}"
    if digits != text.rstrip("="):
        return f"it is base64 of the URL alphabet; {write}"
    return write if text == right else f"the padding is wrong; {write}"


_FROM_URL = str.maketrans("-_", "+/")


def _decoded(digits: str) -> bytes | None:
    """Decode text without padding; None if it is not base64."""
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except ValueError:
        return None


_MAX_QUOTED = 160  # enough for a text with two pins
_FORMS = (
    'sha256/<base64>, sha256//<base64>, pin-sha256="<base64>" (public keys), '
    "cert-sha256:<hex> or SHA256 Fingerprint=<hex> (certificates)"
)


class PinKind(enum.IntEnum):
    """The kind of bytes whose SHA-256 a pin holds."""

    __module__ = "pinverify"

    SPKI = 0
    """The SubjectPublicKeyInfo."""
    CERTIFICATE = 1
    """The whole certificate."""


@total_ordering
class Pin(Value):
    """One pin: its kind, and the 32 bytes of a SHA-256 digest.

    Attributes:
        kind: what was hashed.
        digest: 32 bytes.
    """

    __module__ = "pinverify"

    __match_args__ = ("kind", "digest")
    __slots__ = __match_args__

    kind: PinKind
    digest: bytes

    def __init__(self, kind: PinKind, digest: bytes) -> None:
        if not isinstance(kind, PinKind):
            msg = f"the kind of a pin is a PinKind, got {kind!r}"
            raise TypeError(msg)
        if not isinstance(digest, bytes):
            msg = f"the digest of a pin is bytes, got {type(digest).__name__}"
            raise TypeError(msg)
        if len(digest) != DIGEST_LEN:
            msg = f"a pin has 32 bytes, got {len(digest)}"
            raise PolicyError(msg, kind="pin")
        _fill_kind(self, kind)
        _fill_digest(self, digest)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Pin):
            return NotImplemented
        return (self.kind, self.digest) < (other.kind, other.digest)

    def __repr__(self) -> str:
        return f"Pin.parse({str(self)!r})"

    def __str__(self) -> str:
        """Return ``sha256/<base64>`` or ``cert-sha256:<hex>``."""
        if self.kind is PinKind.SPKI:
            return "sha256/" + base64.b64encode(self.digest).decode("ascii")
        return "cert-sha256:" + self.digest.hex()

    @classmethod
    def parse(cls, text: str) -> Pin:
        """Read one pin in a spelling that names its kind.

        ``sha256/<base64>`` (OkHttp, Chromium), ``sha256//<base64>`` (curl) and
        ``pin-sha256="<base64>"`` (RFC 7469) are SPKI pins;
        ``cert-sha256:<hex>``, colons allowed, and OpenSSL's ``SHA256
        Fingerprint=AA:BB:…`` are certificate pins.

        Args:
            text: exactly one pin, without blanks around it.

        Raises:
            PolicyError: *text* is not one pin, or could be of either kind.
        """
        if not isinstance(text, str):
            msg = f"a pin is text, got {type(text).__name__}; expected {_FORMS}"
            raise TypeError(msg)
        for pattern, kind, decode in _SPELLINGS:
            match = pattern.fullmatch(text)
            digest = decode(match[1]) if match else None
            if digest is not None:
                return cls(kind, digest)
        raise PolicyError(_complaint(text), kind="pin")

    @classmethod
    def spki(cls, digest: bytes | str) -> Pin:
        """Make an SPKI pin from 32 bytes, or from their hex or base64.

        Raises:
            PolicyError: *digest* is not the 32 bytes of a SHA-256.
        """
        return cls(PinKind.SPKI, _digest(digest))

    @classmethod
    def certificate(cls, digest: bytes | str) -> Pin:
        """Make a certificate pin from 32 bytes, or from their hex or base64.

        Raises:
            PolicyError: *digest* is not the 32 bytes of a SHA-256.
        """
        return cls(PinKind.CERTIFICATE, _digest(digest))

    @classmethod
    def from_certificate(
        cls, der_or_pem: bytes | str, *, kind: PinKind = PinKind.SPKI
    ) -> Pin:
        """Compute the pin of a certificate.

        Args:
            der_or_pem: one certificate, DER, or PEM with exactly one
                ``CERTIFICATE`` block (RFC 7468, 5).
            kind: the kind of pin to compute.

        Raises:
            DERError: *der_or_pem* is not one strict-DER certificate.
        """
        der = one_der(der_or_pem, "CERTIFICATE")
        spki = core.spki(der)  # also for a certificate pin: it checks the DER
        return cls(kind, core.sha256(spki if kind is PinKind.SPKI else der))

    @classmethod
    def from_public_key(cls, der_or_pem: bytes | str) -> Pin:
        """Compute the SPKI pin of a public key that has no certificate yet.

        Args:
            der_or_pem: one SubjectPublicKeyInfo, DER, or PEM with exactly one
                ``PUBLIC KEY`` block (RFC 7468, 13).

        Raises:
            DERError: *der_or_pem* is not one strict-DER SubjectPublicKeyInfo.
        """
        spki = one_der(der_or_pem, "PUBLIC KEY")
        # The core reads only keys in certificates, so wrap this one in the smallest.
        with contextlib.suppress(DERError):
            if core.spki(_around(spki)) == spki:
                return cls(PinKind.SPKI, core.sha256(spki))
        msg = "not one strict-DER SubjectPublicKeyInfo"
        raise DERError(msg)


# Faster than `Value._fill`, because a policy may have millions of pins.
_fill_kind, _fill_digest = Pin._setters  # noqa: SLF001 - of the same file


def pins_of(cert: bytes) -> tuple[Pin, ...]:
    """Return the pins of a certificate and of its key; none if it is not strict DER."""
    try:
        key = core.spki_sha256(cert)
    except DERError:
        return ()
    return Pin(PinKind.SPKI, key), Pin(PinKind.CERTIFICATE, core.sha256(cert))


def key_pin(cert: bytes) -> str:
    """Return the pin of a certificate's key for display."""
    return str(next(iter(pins_of(cert)), "(not strict DER)"))


# The canonical base64 of 32 bytes (RFC 4648, 3.5): its last digit has two unused bits,
# which are zero.
_BASE64 = "[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="


def _from_base64(text: str) -> bytes | None:
    """Decode the canonical base64 of 32 bytes, and nothing else."""
    return binascii.a2b_base64(text) if re.fullmatch(_BASE64, text) else None


_PLAIN = re.compile(f"sha256/{_BASE64}")


def plain_digests(texts: Iterable[object]) -> bytes | None:
    """Return the digests of SPKI pins; None unless each text is as `Pin` prints it."""
    found = []
    for text in texts:
        if type(text) is not str or not _PLAIN.fullmatch(text):
            return None
        found.append(binascii.a2b_base64(text[len("sha256/") :]))
    return b"".join(found)


def _from_hex(text: str) -> bytes | None:
    """Decode 64 hex digits, with or without a colon after every second one."""
    if not re.fullmatch(r"[0-9A-Fa-f]{64}|(?:[0-9A-Fa-f]{2}:){31}[0-9A-Fa-f]{2}", text):
        return None
    return bytes.fromhex(text.replace(":", ""))


# After ``sha256/`` a slash may be the second one of curl, or the first character of the
# base64. So the base64 must have exactly 44 characters.
_SPELLINGS = (
    (re.compile(rf"sha256//?({_BASE64})"), PinKind.SPKI, binascii.a2b_base64),
    (re.compile(rf'pin-sha256="({_BASE64})"'), PinKind.SPKI, binascii.a2b_base64),
    (re.compile(r"cert-sha256:(.*)"), PinKind.CERTIFICATE, _from_hex),
    (re.compile(r"(?ai)sha256 Fingerprint=(.*)"), PinKind.CERTIFICATE, _from_hex),
)


def _complaint(text: str) -> str:
    digest = _from_hex(text) or _from_base64(text)
    if digest is not None:
        return (
            f"{text!r} may be the hash of a key or of a certificate; of a key write "
            f"{Pin.spki(digest)}, of a certificate {Pin.certificate(digest)}"
        )
    quoted = shown(text, _MAX_QUOTED)
    if re.match(r"(cert-)?(sha-?1|md5)\b", text, re.IGNORECASE):
        return f"{quoted} is not SHA-256, and SHA-1 and MD5 can be forged; pin SHA-256"
    if why := near_pin(text):
        return f"not a SHA-256 pin: {quoted}: {why}"
    return f"not a SHA-256 pin: {quoted}; expected {_FORMS}"


def _digest(digest: bytes | str) -> bytes:
    if isinstance(digest, bytes):
        return digest
    if not isinstance(digest, str):
        msg = f"a digest is bytes or text, got {type(digest).__name__}"
        raise TypeError(msg)
    found = _from_hex(digest) or _from_base64(digest)
    if found is None:
        msg = f"not 32 bytes in hex or base64: {digest!r}"
        raise PolicyError(msg, kind="pin")
    return found


def _element(tag: int, *contents: bytes) -> bytes:
    """Return one DER element (X.690, 8.1)."""
    content = b"".join(contents)
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    if len(content) < 0x80:  # noqa: PLR2004 - X.690, 8.1.3.4: the short form
        return bytes([tag, len(content)]) + content
    return bytes([tag, 0x80 | len(length)]) + length + content


def _around(spki: bytes) -> bytes:
    """Return the smallest certificate whose key is *spki*; nobody signed it."""
    algorithm = _element(0x30, _element(0x06, b"\x2a"))
    empty = _element(0x30)
    tbs = _element(0x30, _element(0x02, b"\x01"), algorithm, empty, empty, empty, spki)
    return _element(0x30, tbs, algorithm, _element(0x03, b"\x00"))


# ---- PEM, and DER for display -------------------------------------------------------


def is_pem(data: bytes) -> bool:
    """Return True for PEM, False for DER."""
    # DER may contain what looks like PEM, but then it is a SEQUENCE of 128 bytes or
    # more, and no ASCII text begins like that.
    return re.match(rb"\x30[\x81-\xff]", data) is None and b"-----BEGIN " in data


class Block(NamedTuple):
    """One PEM block (RFC 7468): its label, such as CERTIFICATE, and its body."""

    label: str
    body: bytes | None
    """Base64 without line ends; None if the END line is missing."""

    def der(self) -> bytes:
        """Return the decoded body."""
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
    """Yield each block of a PEM text in order, even blocks without an END line."""
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
    """Return DER as it is, or the one block *label* of a PEM text."""
    data = der_or_pem.encode("utf-8") if isinstance(der_or_pem, str) else der_or_pem
    if not isinstance(data, bytes | bytearray):
        msg = (
            f"expected DER or PEM, got {type(data).__name__}; of a key or a "
            "certificate of `cryptography` give its public_bytes(…)"
        )
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


_VERSION = 0xA0


class Element(NamedTuple):
    """One DER element: its tag, and where its contents are."""

    tag: int
    start: int
    end: int


def element(der: bytes, at: int) -> Element:
    """Read the element that begins at a position.

    ValueError if it ends after the buffer; IndexError if it has no tag or length.
    """
    tag, length, start = der[at], der[at + 1], at + 2
    if length & 0x80:
        digits = length & 0x7F
        length = int.from_bytes(der[start : start + digits], "big")
        start += digits
    if start + length > len(der):
        msg = "an element ends after its buffer"
        raise ValueError(msg)
    return Element(tag, start, start + length)


def inside(der: bytes, outer: Element) -> Iterator[Element]:
    """Yield the elements inside another; the errors are those of `element`."""
    at = outer.start
    while at < outer.end:
        one = element(der, at)
        at = one.end
        yield one


def tbs_fields(cert: bytes) -> Iterator[Element]:
    """Yield the fields of a certificate from its serialNumber on (RFC 5280, 4.1)."""
    tbs = element(cert, element(cert, 0).start)
    return (field for field in inside(cert, tbs) if field.tag != _VERSION)


_SUBJECT_MAX = 4096  # bytes that are read; no honest subject is that long

# The keywords of RFC 4514, 3, by the bytes of their OIDs.
_KEYWORDS = {
    b"\x55\x04\x03": "CN",
    b"\x55\x04\x06": "C",
    b"\x55\x04\x07": "L",
    b"\x55\x04\x08": "ST",
    b"\x55\x04\x09": "STREET",
    b"\x55\x04\x0a": "O",
    b"\x55\x04\x0b": "OU",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01": "UID",
    b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19": "DC",
}

# The string types of ASN.1, by their tags.
_ENCODINGS = {
    12: "utf-8",
    18: "ascii",
    19: "ascii",
    20: "latin-1",
    22: "ascii",
    26: "ascii",
    28: "utf-32-be",
    30: "utf-16-be",
}


def subject_of(cert: bytes) -> str:
    """Return a certificate's subject as RFC 4514 writes it; empty if unreadable."""
    try:
        _serial, _signature, _issuer, _validity, subject = islice(tbs_fields(cert), 5)
        if subject.end - subject.start > _SUBJECT_MAX:
            return ""
        return name_text(cert, subject)
    except (IndexError, ValueError):  # not DER, or a text not in its tag's encoding
        return ""


def name_text(cert: bytes, name: Element) -> str:
    """Return one name of a certificate as RFC 4514 writes it.

    ValueError or IndexError if it is not DER, or a text is not in its tag's encoding.
    """
    names = ["+".join(_attributes(cert, one)) for one in inside(cert, name)]
    return ",".join(reversed(names))


def _attributes(der: bytes, names: Element) -> Iterator[str]:
    """Yield each attribute of a RelativeDistinguishedName, such as ``CN=name``."""
    for attribute in inside(der, names):
        oid, value = inside(der, attribute)
        number = der[oid.start : oid.end]
        contents = der[value.start : value.end]
        encoding = _ENCODINGS.get(value.tag)
        text = _escaped(contents.decode(encoding)) if encoding else f"#{contents.hex()}"
        yield f"{_KEYWORDS.get(number) or dotted(number)}={text}"


def _escaped(text: str) -> str:
    """Escape the characters that separate names (RFC 4514, 2.4)."""
    text = "".join("\\" + c if c in '\\",+;<>' else c for c in text)
    text = text.replace("\0", "\\00")
    if text.startswith(("#", " ")):
        text = "\\" + text
    return text[:-1] + "\\ " if text.endswith(" ") else text


_OID_MAX = 63  # bytes: the longest that `cryptography` reads


def dotted(oid: bytes) -> str:
    """Return the contents of an OID as numbers with dots; ValueError if it is long."""
    if len(oid) > _OID_MAX:
        msg = "an OID that long names nothing"
        raise ValueError(msg)
    numbers = [0]
    for byte in oid:
        numbers[-1] = numbers[-1] << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(0)
    first = min(numbers[0] // 40, 2)
    return ".".join(map(str, [first, numbers[0] - 40 * first, *numbers[1:-1]]))
