"""Oracles of the DER walk: how other parsers read the same bytes.

Nothing here is shared with ``csrc``. There are three kinds of oracle.

**A walk of our own**, in two strengths. ``lenient_spki`` understands what OpenSSL
understands (indefinite and non-minimal lengths, the high form of a tag, bytes after
the certificate) and only says where the SubjectPublicKeyInfo lies. ``strict_spki`` is
the strict frame check: a second, independent statement of what pinverify promises to
refuse. It splits a SEQUENCE into all of its elements and then matches them, where the
C walk moves one cursor.

**asn1crypto**, whose ``tbs['subject_public_key_info']`` keeps the bytes as they came.
``public_bytes`` of `cryptography` is not an oracle: it encodes the key again.

**OpenSSL.** "OpenSSL accepts" means: ``d2i_X509`` makes a certificate of the bytes and
has then read all of them. That is what OpenSSL requires of a certificate in a TLS
handshake (the entry and the certificate must have the same length), while ``d2i_X509``
alone ignores what follows. An input is read to its end exactly if it is accepted and
the same input without its last byte is not, so this needs no parser of ours. There are
three ways to ask, through different libraries:

``d2i_X509``
    pyOpenSSL's ``load_certificate``: the OpenSSL inside the wheel of `cryptography`.
``openssl x509``
    The command: the OpenSSL of this machine, often another version, after a decoder
    that looks at the outer shape before ``d2i_X509`` does.
``cryptography``
    ``load_der_x509_certificate``. Its parser has not been OpenSSL since version 35: it
    is rust-asn1, strict DER, and reads names and dates at once. It is a fourth opinion
    about the frame, and stricter than TLS is.

Signatures, keys, dates and extensions do not matter for "accepts": a certificate with
a key that OpenSSL cannot decode is accepted here, and fails later in a handshake.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import asn1crypto  # type: ignore[import-untyped]
import asn1crypto.x509  # type: ignore[import-untyped]
import cryptography
from cryptography import x509 as cryptography_x509
from OpenSSL import SSL, crypto

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "HARMLESS",
    "Element",
    "FrameError",
    "Verdicts",
    "asn1crypto_spki",
    "cryptography_accepts",
    "d2i_accepts",
    "encode",
    "key_bits",
    "lenient_spki",
    "read",
    "repair",
    "split",
    "strict_spki",
    "verdicts",
    "versions",
]

INTEGER = 0x02
BIT_STRING = 0x03
NULL = 0x05
OID = 0x06
SEQUENCE = 0x30
VERSION = 0xA0
ISSUER_UNIQUE_ID = 0x81
SUBJECT_UNIQUE_ID = 0x82
EXTENSIONS = 0xA3

LONGEST = (1 << 24) - 1  # pinverify reads no longer element
DEEPEST = 30  # OpenSSL's limit of nested indefinite lengths


# ---------------------------------------------------------------------------
# BER elements
# ---------------------------------------------------------------------------


class FrameError(Exception):
    """The bytes are not what they should be; ``field`` says where."""

    def __init__(self, field: str) -> None:
        """Remember the *field*, named as RFC 5280 does."""
        super().__init__(field)
        self.field = field


@dataclass(frozen=True, slots=True)
class Element:
    """One BER element of *data*: where it lies and how its header is spelled."""

    data: bytes
    start: int
    body: int  # where the content begins
    body_end: int
    end: int  # after the two zero bytes that end an indefinite length
    tag: int  # the identifier octet, as its low form would spell it
    strict: bool  # low form of the tag; minimal, definite length below 2^24

    @property
    def raw(self) -> bytes:
        """The element, header included."""
        return self.data[self.start : self.end]

    @property
    def content(self) -> bytes:
        """The element without its header."""
        return self.data[self.body : self.body_end]


def read(data: bytes, at: int, limit: int, depth: int = 0) -> Element:
    """Read the BER element that begins at *at* and ends at or before *limit*.

    Raises:
        FrameError: there is none.
    """
    start = at
    try:
        first = data[at]
        at += 1
        number, low_form = first & 0x1F, True
        if number == 0x1F:
            low_form, number = False, 0
            while True:
                octet = data[at]
                at += 1
                number = number << 7 | octet & 0x7F
                if octet < 0x80:
                    break
        # One octet says it all for the numbers that occur; others get one that no
        # field has.
        tag = first & 0xE0 | min(number, 0x1F)
        length = data[at]
        at += 1
        minimal = True
        if length == 0x80:
            return _indefinite(data, start, at, limit, tag, depth)
        if length > 0x80:
            octets = data[at : at + length - 0x80]
            if len(octets) < length - 0x80:
                raise FrameError(field="length")
            at += len(octets)
            minimal = octets[0] != 0 and not (len(octets) == 1 and octets[0] < 0x80)
            length = int.from_bytes(octets, "big")
    except IndexError:
        raise FrameError(field="header") from None
    if at > limit or length > limit - at:
        raise FrameError(field="length")
    strict = low_form and minimal and length <= LONGEST
    return Element(data, start, at, at + length, at + length, tag, strict)


def _indefinite(  # noqa: PLR0913, PLR0917 - what `read` knows when it calls
    data: bytes, start: int, at: int, limit: int, tag: int, depth: int
) -> Element:
    """Read elements up to the two zero bytes that end an indefinite length."""
    if not tag & 0x20 or depth >= DEEPEST:
        raise FrameError(field="length")
    body = at
    while data[at : at + 2] != b"\x00\x00":
        at = read(data, at, limit, depth + 1).end
    if at + 2 > limit:
        raise FrameError(field="length")
    return Element(data, start, body, at, at + 2, tag, strict=False)


def split(parent: Element) -> list[Element]:
    """Return the elements inside *parent*, by the rules of BER.

    Raises:
        FrameError: its content is not a row of elements.
    """
    elements = []
    at = parent.body
    while at < parent.body_end:
        elements.append(read(parent.data, at, parent.body_end))
        at = elements[-1].end
    return elements


def encode(tag: int, *contents: bytes) -> bytes:
    """Return one DER element with *contents* back to back."""
    content = b"".join(contents)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    length = len(content).to_bytes((len(content).bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content


# ---------------------------------------------------------------------------
# The walk, lenient: where is the key?
# ---------------------------------------------------------------------------


def lenient_spki(data: bytes) -> Element:
    """Find the SubjectPublicKeyInfo as OpenSSL would, wherever BER has put it.

    Raises:
        FrameError: there is no element where the key should be.
    """
    certificate = read(data, 0, len(data))
    tbs = read(data, certificate.body, certificate.body_end)
    at = tbs.body
    fields = ["serialNumber", "signature", "issuer", "validity", "subject"]
    if read(data, at, tbs.body_end).tag == VERSION:
        fields.insert(0, "version")
    for _ in fields:
        at = read(data, at, tbs.body_end).end
    spki = read(data, at, tbs.body_end)
    if spki.tag != SEQUENCE:
        raise FrameError(field="subjectPublicKeyInfo")
    return spki


def key_bits(spki: bytes) -> bytes:
    """Return the bytes of the key's BIT STRING in one DER SubjectPublicKeyInfo."""
    _algorithm, bits = split(read(spki, 0, len(spki)))
    return bits.content[1:]


# ---------------------------------------------------------------------------
# The walk, strict: the frame check
# ---------------------------------------------------------------------------


def strict_spki(data: bytes) -> bytes:
    """Return the SubjectPublicKeyInfo of one Certificate in strict DER.

    Raises:
        FrameError: some field is not strict DER; the first such field.
    """
    rows = _strict_split("certificate", data, 0, len(data))
    certificate = _only(rows, "certificate", SEQUENCE)
    outer = _Row(_strict_split("certificate", data, certificate.body, len(data)))
    tbs = outer.next("tbsCertificate", SEQUENCE)
    spki = _strict_tbs(tbs)
    _strict_algorithm(outer.next("signatureAlgorithm", SEQUENCE), "signatureAlgorithm")
    if not _is_bit_string(outer.next("signatureValue", BIT_STRING).content):
        raise FrameError(field="signatureValue")
    outer.end("certificate end")
    return spki


def _strict_tbs(tbs: Element) -> bytes:
    """Return the SPKI of a TBSCertificate of which every field is strict DER."""
    row = _Row(_strict_split("tbsCertificate", tbs.data, tbs.body, tbs.body_end))
    version = row.maybe(VERSION)
    if version is not None:
        # X.690, 11.5: a DEFAULT is not encoded, so 0 (v1) should not stand here; but
        # there are such certificates.
        numbers = [encode(VERSION, encode(INTEGER, bytes((n,)))) for n in range(3)]
        if version.raw not in numbers:
            raise FrameError(field="version")
    serial = row.next("serialNumber", INTEGER).content
    if not serial or serial != _shortest_integer(serial):
        raise FrameError(field="serialNumber")
    _strict_algorithm(row.next("signature", SEQUENCE), "signature")
    for name in ("issuer", "validity", "subject"):
        row.next(name, SEQUENCE)
    spki = row.next("subjectPublicKeyInfo", SEQUENCE)
    _strict_key(spki)
    for tag in (ISSUER_UNIQUE_ID, SUBJECT_UNIQUE_ID):
        unique_id = row.maybe(tag)
        if unique_id is not None and not _is_bit_string(unique_id.content):
            raise FrameError(field="uniqueID")
    extensions = row.maybe(EXTENSIONS)
    if extensions is not None:
        inner = _strict_split(
            "extensions", tbs.data, extensions.body, extensions.body_end
        )
        _only(inner, "extensions", SEQUENCE)
    row.end("tbsCertificate end")
    return spki.raw


def _strict_key(spki: Element) -> None:
    """Check the frame of a SubjectPublicKeyInfo."""
    row = _Row(
        _strict_split("subjectPublicKeyInfo", spki.data, spki.body, spki.body_end)
    )
    name = "subjectPublicKeyInfo.algorithm"
    _strict_algorithm(row.next(name, SEQUENCE), name)
    key = row.next("subjectPublicKeyInfo.subjectPublicKey", BIT_STRING).content
    if len(key) < 2 or key[0] != 0:
        raise FrameError(field="subjectPublicKeyInfo.subjectPublicKey")
    row.end("subjectPublicKeyInfo")


def _strict_algorithm(algorithm: Element, field: str) -> None:
    """Check that *algorithm* is one OBJECT IDENTIFIER and at most one element."""
    row = _Row(_strict_split(field, algorithm.data, algorithm.body, algorithm.body_end))
    oid = row.next(field, OID).content
    if not _is_oid(oid):
        raise FrameError(field)
    parameters = row.any(field)
    if parameters is not None and not _are_parameters(parameters):
        raise FrameError(field)
    row.end(field)


def _is_oid(content: bytes) -> bool:
    """Return True if *content* is one or more whole arcs, none of them padded."""
    # An octet below 0x80 ends an arc; the next may not begin with 0x80.
    padded = re.search(rb"(?:\A|[\x00-\x7f])\x80", content)
    return bool(content) and content[-1] < 0x80 and not padded


def _are_parameters(element: Element) -> bool:
    """Return True if *element* has a type that parameters have, and is sound itself."""
    universal = element.tag < 0x40
    sound = {NULL: element.content == b"", OID: _is_oid(element.content)}
    opaque = element.tag in {0x04, SEQUENCE, 0x31}  # OCTET STRING, SET
    return not universal or opaque or sound.get(element.tag, False)


def _is_bit_string(content: bytes) -> bool:
    """Return True if *content* begins with a possible count of unused bits."""
    # X.690, 8.6.2.3: without bits, there are no unused ones.
    return content == b"\x00" or (len(content) > 1 and content[0] <= 7)


def _shortest_integer(content: bytes) -> bytes:
    """Return the DER content of the INTEGER that *content* stands for."""
    value = int.from_bytes(content, "big", signed=True)
    bits = (value if value >= 0 else ~value).bit_length()
    return value.to_bytes(bits // 8 + 1, "big", signed=True)


class _Row:
    """The elements of one SEQUENCE, to be matched from left to right."""

    def __init__(self, elements: list[Element | FrameError]) -> None:
        self.elements = elements
        self.at = 0

    def peek(self) -> Element | FrameError | None:
        """Return the next element, or what stands there instead of one."""
        return self.elements[self.at] if self.at < len(self.elements) else None

    def next(self, field: str, tag: int) -> Element:
        """Return the next element, which must have this *tag*."""
        element = self.peek()
        if not isinstance(element, Element) or element.tag != tag:
            raise FrameError(field)
        self.at += 1
        return element

    def maybe(self, tag: int) -> Element | None:
        """Return the next element if it has this *tag*."""
        element = self.peek()
        if not isinstance(element, Element) or element.tag != tag:
            return None
        self.at += 1
        return element

    def any(self, field: str) -> Element | None:
        """Return the next element, whatever its tag, if there is one."""
        element = self.peek()
        if isinstance(element, FrameError) or element is None:
            if element is not None:
                raise FrameError(field)
            return None
        self.at += 1
        return element

    def end(self, field: str) -> None:
        """Insist that nothing is left."""
        if self.peek() is not None:
            raise FrameError(field)


def _strict_split(
    field: str, data: bytes, start: int, end: int
) -> list[Element | FrameError]:
    """Return strict elements up to *end*, or up to the first that is not strict."""
    elements: list[Element | FrameError] = []
    at = start
    while at < end:
        try:
            element = read(data, at, end)
        except FrameError:
            return [*elements, FrameError(field)]
        if not element.strict:
            return [*elements, FrameError(field)]
        elements.append(element)
        at = element.end
    return elements


def _only(elements: list[Element | FrameError], field: str, tag: int) -> Element:
    """Return the one element there is, of this *tag*."""
    row = _Row(elements)
    element = row.next(field, tag)
    row.end(field)
    return element


# ---------------------------------------------------------------------------
# Repair: where does a difference lie?
# ---------------------------------------------------------------------------

_GOOD_NAME = encode(SEQUENCE)
_GOOD_ALGORITHM = bytes.fromhex("300d06092a864886f70d0101010500")  # rsaEncryption
_BASIC_CONSTRAINTS = bytes.fromhex("30090603551d130402") + b"\x30\x00"

# Fields that pinverify does not interpret, or in which it accepts more than DER, and
# something harmless for each.
HARMLESS = {
    "version": encode(VERSION, encode(INTEGER, b"\x02")),
    "signature": _GOOD_ALGORITHM,
    "issuer": _GOOD_NAME,
    "validity": encode(SEQUENCE, *2 * [encode(0x17, b"300101000000Z")]),
    "subject": _GOOD_NAME,
    "subjectPublicKeyInfo.algorithm": _GOOD_ALGORITHM,
    "extensions": encode(EXTENSIONS, encode(SEQUENCE, _BASIC_CONSTRAINTS)),
    "signatureAlgorithm": _GOOD_ALGORITHM,
}


def repair(data: bytes, fields: Iterable[str]) -> bytes:
    """Return one strict-DER certificate with *fields* replaced by harmless ones.

    If others accept the repaired certificate, then what they had refused lay inside
    these fields and nowhere else. That is how "a difference inside a field that is
    not interpreted" is told from one in the frame.
    """
    new = {field: HARMLESS[field] for field in fields}
    certificate = read(data, 0, len(data))
    tbs, algorithm, signature = split(certificate)
    rows = split(tbs)
    before = 1 if rows[0].tag == VERSION else 0  # then comes serialNumber
    names = ("signature", "issuer", "validity", "subject", "subjectPublicKeyInfo")
    parts = [row.raw for row in rows]
    if before and "version" in new:
        parts[0] = new["version"]
    for i, name in enumerate(names, start=before + 1):
        parts[i] = new.get(name, parts[i])
    if "subjectPublicKeyInfo.algorithm" in new:
        _old, key = split(rows[before + 5])
        parts[before + 5] = encode(
            SEQUENCE, new["subjectPublicKeyInfo.algorithm"], key.raw
        )
    if "extensions" in new and rows[-1].tag == EXTENSIONS:
        parts[-1] = new["extensions"]
    return encode(
        SEQUENCE,
        encode(SEQUENCE, *parts),
        new.get("signatureAlgorithm", algorithm.raw),
        signature.raw,
    )


# ---------------------------------------------------------------------------
# asn1crypto
# ---------------------------------------------------------------------------


def asn1crypto_spki(data: bytes) -> bytes | None:
    """Return the raw SubjectPublicKeyInfo that asn1crypto finds, or None."""
    try:
        certificate = asn1crypto.x509.Certificate.load(data)
        spki = certificate["tbs_certificate"]["subject_public_key_info"]
        raw: bytes = spki.dump()
    except (ValueError, TypeError, KeyError, IndexError):
        return None
    return raw


# ---------------------------------------------------------------------------
# OpenSSL, and the parser of `cryptography`
# ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The parsers that accept one input; see the module's docstring."""

    d2i: bool
    command: bool | None  # None: there is no openssl command on this machine
    cryptography: bool
    # SHA-1 of the key's bits as the command holds them (RFC 6960, 4.1.1:
    # issuerKeyHash), which it prints without encoding the key again. So the command
    # says not only that it accepts but also which key it has read.
    key_sha1: str | None

    @property
    def openssl(self) -> set[bool]:
        """The verdicts of OpenSSL, which are one if its versions agree."""
        return {self.d2i} if self.command is None else {self.d2i, self.command}

    def by_name(self) -> dict[str, str]:
        """Return each verdict in words, for a list that people read."""
        found = {
            "d2i_X509": self.d2i,
            "openssl x509": self.command,
            "cryptography": self.cryptography,
        }
        words = {True: "accepts", False: "refuses"}
        return {who: words[v] for who, v in found.items() if v is not None}


def verdicts(inputs: Sequence[bytes]) -> list[Verdicts]:
    """Ask all of them about each input."""
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(4) as threads:
        paths = [Path(folder) / f"{i}.der" for i in range(len(inputs))]
        return list(threads.map(_verdict, inputs, paths))


def versions() -> dict[str, str]:
    """Return the versions whose verdicts these are."""
    found = {
        "d2i_X509": SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode(),
        "cryptography": cryptography.__version__,
        "asn1crypto": asn1crypto.__version__,
    }
    program = shutil.which("openssl")
    if program is not None:
        done = subprocess.run(
            [program, "version"], capture_output=True, text=True, check=True, timeout=60
        )
        found["openssl x509"] = done.stdout.strip()
    return found


def _verdict(data: bytes, path: Path) -> Verdicts:
    d2i = d2i_accepts(data)
    accepted, key_sha1 = _command(data, path)
    if accepted and not d2i:
        # It may have stopped before the end: see the module's docstring.
        accepted = not _command(data[:-1], path)[0]
    return Verdicts(d2i, accepted, cryptography_accepts(data), key_sha1)


def d2i_accepts(data: bytes) -> bool:
    """Return True if ``d2i_X509`` makes a certificate of *data*, read to its end."""
    return _d2i(data) and not _d2i(data[:-1])


def _d2i(data: bytes) -> bool:
    try:
        crypto.load_certificate(crypto.FILETYPE_ASN1, data)
    except crypto.Error:
        return False
    return True


def _command(data: bytes, path: Path) -> tuple[bool | None, str | None]:
    """Ask ``openssl x509`` whether it accepts, and for the SHA-1 of the key."""
    program = shutil.which("openssl")
    if program is None:
        return None, None
    path.write_bytes(data)
    done = subprocess.run(
        [program, "x509", "-inform", "DER", "-noout", "-ocspid", "-in", str(path)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode != 0:
        return False, None
    return True, done.stdout.split()[-1].lower()


def cryptography_accepts(data: bytes) -> bool:
    """Return True if the parser of `cryptography` makes a certificate of *data*."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says what it will refuse one day
        try:
            cryptography_x509.load_der_x509_certificate(data)
        except (ValueError, cryptography_x509.InvalidVersion):
            return False
    return True
