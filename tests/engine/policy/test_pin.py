"""Pins: each spelling that is read, and how strictly.

A pin that is read as another one locks somebody out or lets somebody in, so what is
not exactly one pin in one spelling is refused, with a message that says what to write.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import itertools
import textwrap

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pinverify import DERError, Pin, PinKind, PolicyError
from pki import Authority, Pki

__all__: list[str] = []

DIGEST = bytes(range(32))
HEX = DIGEST.hex()
COLONS = DIGEST.hex(":").upper()
BASE64 = base64.b64encode(DIGEST).decode("ascii")

DIGESTS = st.binary(min_size=32, max_size=32)
# Base64 that begins with a slash, or two: the digest begins with 0b111111.
SLASH = bytes([0xFC]) + DIGEST[1:]
SLASHES = bytes([0xFF, 0xF0]) + DIGEST[2:]


def b64(digest: bytes) -> str:
    """Return the base64 of a digest, by the standard library."""
    return base64.b64encode(digest).decode("ascii")


# ---- the spellings -----------------------------------------------------------

SPKI_SPELLINGS = {
    "OkHttp and Chromium": "sha256/{}",
    "curl": "sha256//{}",
    "HPKP": 'pin-sha256="{}"',
}


@pytest.mark.parametrize("spelling", SPKI_SPELLINGS.values(), ids=SPKI_SPELLINGS)
@settings(deadline=None)
@given(digest=DIGESTS)
@example(digest=SLASH)
@example(digest=SLASHES)
@example(digest=bytes(32))
@example(digest=b"\xff" * 32)
def test_the_spki_spellings_are_read(spelling: str, digest: bytes) -> None:
    """OkHttp's, curl's and RFC 7469's, each with any digest."""
    assert Pin.parse(spelling.format(b64(digest))) == Pin(PinKind.SPKI, digest)


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        ("sha256/" + b64(SLASH), SLASH),
        ("sha256//" + b64(SLASH), SLASH),
        ("sha256/" + b64(SLASHES), SLASHES),
        ("sha256//" + b64(SLASHES), SLASHES),
    ],
)
def test_base64_that_begins_with_a_slash_is_read_in_both_forms(
    text: str, digest: bytes
) -> None:
    """Slashes can't be counted to tell OkHttp's form from curl's."""
    assert text.startswith("sha256//")
    assert Pin.parse(text) == Pin(PinKind.SPKI, digest)


def test_one_slash_too_many_is_refused() -> None:
    """The number of characters decides, and 45 are no digest."""
    for digest in (DIGEST, SLASH, SLASHES):
        with pytest.raises(PolicyError):
            Pin.parse("sha256///" + b64(digest))
        with pytest.raises(PolicyError):
            Pin.parse("sha256/" + b64(digest)[1:])


CERTIFICATE_SPELLINGS = {
    "hex": "cert-sha256:" + HEX,
    "HEX": "cert-sha256:" + HEX.upper(),
    "colons": "cert-sha256:" + COLONS.lower(),
    "COLONS": "cert-sha256:" + COLONS,
    "openssl 1": "SHA256 Fingerprint=" + COLONS,
    "openssl 3": "sha256 Fingerprint=" + COLONS,
    "openssl without colons": "SHA256 Fingerprint=" + HEX,
}


@pytest.mark.parametrize(
    "text", CERTIFICATE_SPELLINGS.values(), ids=CERTIFICATE_SPELLINGS
)
def test_the_certificate_spellings_are_read(text: str) -> None:
    """Hex of either case, with colons or without, and OpenSSL's line."""
    assert Pin.parse(text) == Pin(PinKind.CERTIFICATE, DIGEST)


@settings(deadline=None)
@given(DIGESTS)
def test_a_certificate_pin_of_any_digest_is_read(digest: bytes) -> None:
    """The same for any digest."""
    for text in (digest.hex(), digest.hex(":"), digest.hex().upper()):
        pin = Pin.parse("cert-sha256:" + text)
        assert pin == Pin(PinKind.CERTIFICATE, digest)


@settings(deadline=None)
@given(DIGESTS, st.sampled_from(PinKind))
def test_a_pin_is_written_in_the_spelling_that_is_read(
    digest: bytes, kind: PinKind
) -> None:
    """``str`` and ``parse`` are each other's inverse."""
    pin = Pin(kind, digest)
    expected = {
        PinKind.SPKI: "sha256/" + b64(digest),
        PinKind.CERTIFICATE: "cert-sha256:" + digest.hex(),
    }
    assert str(pin) == expected[kind]
    assert Pin.parse(str(pin)) == pin


# ---- strictness --------------------------------------------------------------

# 32 bytes leave two bits of the 43rd digit unused; only zero is canonical.
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
NOT_BASE64 = {
    f"unused bits {bits:02b}": BASE64[:42]
    + DIGITS[DIGITS.index(BASE64[42]) | bits]
    + "="
    for bits in (1, 2, 3)
} | {
    "empty": "",
    "31 bytes": b64(DIGEST[:31]),
    "33 bytes": b64(DIGEST + b"\0"),
    "30 bytes, 40 characters": b64(DIGEST[:30]),
    "no padding": BASE64.rstrip("="),
    "too much padding": BASE64 + "=",
    "padding in the middle": BASE64[:20] + "=" + BASE64[21:],
    "44 digits": "A" * 44,
    "url-safe": b64(SLASHES).replace("/", "_").replace("+", "-"),
    "url-safe minus": "-" + BASE64[1:],
    "a blank before": " " + BASE64,
    "a blank after": BASE64 + " ",
    "a line feed after": BASE64 + "\n",
    "a line feed inside": BASE64[:20] + "\n" + BASE64[20:],
    "a line feed in place of a digit": BASE64[:20] + "\n" + BASE64[21:],
    "a blank in place of a digit": BASE64[:20] + " " + BASE64[21:],
    "a letter that is not ASCII": "\u0410" + BASE64[1:],
    "a digit that is not ASCII": "\u0661" + BASE64[1:],
    "an asterisk": "*" + BASE64[1:],
    "two pins": BASE64 + "," + BASE64,
    "hex": HEX,
    "NUL": BASE64 + "\0",
}


@pytest.mark.parametrize("spelling", SPKI_SPELLINGS.values(), ids=SPKI_SPELLINGS)
@pytest.mark.parametrize("text", NOT_BASE64.values(), ids=NOT_BASE64)
def test_base64_is_strict(spelling: str, text: str) -> None:
    """One digest has one spelling (RFC 4648, 3.5), of exactly 32 bytes."""
    text = spelling.format(text)
    with pytest.raises(PolicyError) as caught:
        Pin.parse(text)
    assert str(caught.value).startswith(f"not a SHA-256 pin: {text!r}: ")


NOT_HEX = {
    "empty": "",
    "31 bytes": HEX[2:],
    "33 bytes": HEX + "00",
    "an odd digit": HEX[1:],
    "not hex": "g" + HEX[1:],
    "0x": "0x" + HEX[2:],
    "a blank before": " " + HEX,
    "a line feed after": HEX + "\n",
    "blanks between": DIGEST.hex(" "),
    "dashes between": DIGEST.hex("-"),
    "a colon after": COLONS + ":",
    "a colon before": ":" + COLONS,
    "two colons": COLONS.replace(":", "::", 1),
    "a colon too few": COLONS.replace(":", "", 1),
    "colons after four digits": DIGEST.hex(":", 2),
    "a misplaced colon": "0:0" + COLONS[3:],
    "a digit that is not ASCII": "\u0661" + HEX[1:],
    "a full-width digit": "\uff11" + HEX[1:],
    "base64": BASE64,
    "two pins": HEX + HEX,
    "NUL": HEX + "\0",
}


@pytest.mark.parametrize("prefix", ["cert-sha256:", "SHA256 Fingerprint="])
@pytest.mark.parametrize("text", NOT_HEX.values(), ids=NOT_HEX)
def test_hex_is_strict(prefix: str, text: str) -> None:
    """64 digits; colons after every second one, or none at all."""
    text = prefix + text
    with pytest.raises(PolicyError) as caught:
        Pin.parse(text)
    assert str(caught.value).startswith(f"not a SHA-256 pin: {text!r}: ")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256",
        "sha256/",
        " sha256/" + BASE64,
        "sha256/ " + BASE64,
        "sha256/" + BASE64 + "\n",
        "SHA256/" + BASE64,
        "sha-256/" + BASE64,
        "sha256:" + BASE64,
        "sha256-" + BASE64,
        "sha512/" + BASE64,
        "sha256/" + BASE64 + ";sha256/" + BASE64,
        "pin-sha256=" + BASE64,
        "pin-sha256='" + BASE64 + "'",
        'pin-sha256="' + BASE64,
        'pin-sha256="' + BASE64 + '"; max-age=1',
        'pin-sha256="' + BASE64 + '"\n',
        "sha256/" + HEX,
        "cert-sha256/" + HEX,
        "cert-sha256: " + HEX,
        "cert-sha1:" + HEX,
        "sha384 Fingerprint=" + COLONS,
        "SHA256 Fingerprint = " + COLONS,
        "SHA256 Fingerprint=" + COLONS + "\n",
    ],
)
def test_any_other_text_is_refused(text: str) -> None:
    """The message quotes it and names the spellings."""
    with pytest.raises(PolicyError) as caught:
        Pin.parse(text)
    assert repr(text) in str(caught.value)


def test_a_spelling_has_ascii_letters_alone() -> None:
    """A long s is no s, and a dotless i no i, whatever a regular expression says."""
    for text in ("\u017fha256 Fingerprint=", "SHA256 F\u0131ngerprint="):
        with pytest.raises(PolicyError):
            Pin.parse(text + COLONS)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_parse_gives_a_pin_or_a_policy_error(text: str) -> None:
    """Nothing else comes out, whatever goes in."""
    try:
        pin = Pin.parse(text)
    except PolicyError:
        return
    assert Pin.parse(str(pin)) == pin


@settings(deadline=None)
@given(st.data())
def test_one_changed_character_gives_another_pin_or_none(data: st.DataObject) -> None:
    """There is one spelling per form: no second text for the same digest."""
    spellings = [s.format(BASE64) for s in SPKI_SPELLINGS.values()]
    text = data.draw(st.sampled_from(spellings))
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.characters(max_codepoint=127))
    changed = text[:at] + letter + text[at + 1 :]
    if changed == text:
        return
    try:
        pin = Pin.parse(changed)
    except PolicyError:
        return
    assert pin.digest != DIGEST


@pytest.mark.parametrize("text", [BASE64, HEX, HEX.upper(), COLONS, b64(SLASH)])
def test_bare_base64_and_bare_hex_are_refused(text: str) -> None:
    """They may be of either kind. The message names the two ways to say which."""
    with pytest.raises(PolicyError) as caught:
        Pin.parse(text)
    message = str(caught.value)
    assert repr(text) in message
    digest = Pin.spki(text).digest
    assert f"of a key write {Pin.spki(digest)}, " in message
    assert f"of a certificate {Pin.certificate(digest)}" in message


@pytest.mark.parametrize(
    "text",
    [
        "sha1/" + b64(DIGEST[:20]),
        "sha1//" + b64(DIGEST[:20]),
        "sha-1/" + b64(DIGEST[:20]),
        "SHA1 Fingerprint=" + DIGEST[:20].hex(":").upper(),
        "sha1 Fingerprint=" + DIGEST[:20].hex(":").upper(),
        "MD5 Fingerprint=" + DIGEST[:16].hex(":").upper(),
        "md5/" + b64(DIGEST[:16]),
    ],
)
def test_sha1_and_md5_are_refused(text: str) -> None:
    """They can be forged, and the message says so."""
    with pytest.raises(PolicyError, match="can be forged; pin SHA-256") as caught:
        Pin.parse(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", [DIGEST[:20].hex(":"), b64(DIGEST[:20]), "aa" * 16])
def test_a_shorter_digest_is_refused(text: str) -> None:
    """A SHA-1 or MD5 digest is refused under whatever name it comes."""
    forms = ("{}", "sha256/{}", 'pin-sha256="{}"', "cert-sha256:{}")
    for form in forms:
        with pytest.raises(PolicyError):
            Pin.parse(form.format(text))
    for make in (Pin.spki, Pin.certificate):
        with pytest.raises(PolicyError, match="32 bytes"):
            make(text)


def test_what_is_no_text_is_not_parsed() -> None:
    """Bytes could be a digest, or its spelling: parse reads text."""
    for wrong in (DIGEST, b"sha256/" + BASE64.encode(), None, 7, ["sha256/" + BASE64]):
        with pytest.raises(TypeError, match="a pin is text"):
            Pin.parse(wrong)  # type: ignore[arg-type]


# ---- the two kinds -----------------------------------------------------------


@settings(deadline=None)
@given(DIGESTS)
def test_the_explicit_makers_take_bytes_hex_and_base64(digest: bytes) -> None:
    """Where the caller says the kind, the digest may come in any form."""
    makers = {Pin.spki: PinKind.SPKI, Pin.certificate: PinKind.CERTIFICATE}
    for make, kind in makers.items():
        for form in (digest, digest.hex(), digest.hex(":"), b64(digest)):
            assert make(form) == Pin(kind, digest)


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        DIGEST[:31],
        DIGEST + b"\0",
        HEX.encode(),
        "",
        HEX[2:],
        BASE64.rstrip("="),
        "sha256/" + BASE64,
        "cert-sha256:" + HEX,
        *NOT_BASE64.values(),
    ],
)
def test_the_explicit_makers_are_strict_too(wrong: bytes | str) -> None:
    """32 bytes; a spelling that names a kind is for parse."""
    if wrong == HEX:
        return  # hex is no base64, and fine here
    for make in (Pin.spki, Pin.certificate):
        with pytest.raises(PolicyError, match="32 bytes"):
            make(wrong)


def test_the_explicit_makers_take_nothing_else() -> None:
    """A bytearray can change, and an int has no length."""
    for wrong in (bytearray(DIGEST), memoryview(DIGEST), None, 7, [DIGEST]):
        for make in (Pin.spki, Pin.certificate):
            with pytest.raises(TypeError, match="bytes or text"):
                make(wrong)  # type: ignore[arg-type]


def test_a_pin_is_checked_when_it_is_made() -> None:
    """There is no Pin with another length or kind."""
    for digest in (b"", DIGEST[:20], DIGEST + b"\0"):
        with pytest.raises(PolicyError, match="32 bytes"):
            Pin(PinKind.SPKI, digest)
    with pytest.raises(TypeError):
        Pin(PinKind.SPKI, bytearray(DIGEST))  # type: ignore[arg-type]
    for kind in (0, 1, "spki", None):
        with pytest.raises(TypeError):
            Pin(kind, DIGEST)  # type: ignore[arg-type]


@settings(deadline=None)
@given(DIGESTS)
def test_pins_of_different_kinds_never_compare_equal(digest: bytes) -> None:
    """The same 32 bytes mean something else."""
    spki, certificate = Pin.spki(digest), Pin.certificate(digest)
    assert spki != certificate
    assert not spki == certificate  # noqa: SIM201  (both operators)
    assert len({spki, certificate}) == 2
    assert str(spki) != str(certificate)


def test_a_pin_is_a_value() -> None:
    """Equal, hashed and ordered by what it says, and it can't be changed."""
    one, same = Pin.spki(DIGEST), Pin.parse("sha256//" + BASE64)
    assert one == same
    assert hash(one) == hash(same)
    low, high = bytes(32), b"\xff" * 32
    ascending = [make(d) for make in (Pin.spki, Pin.certificate) for d in (low, high)]
    for pins in itertools.permutations(ascending):
        assert sorted(pins) == ascending
    others: list[object] = [BASE64, DIGEST, (PinKind.SPKI, DIGEST), None]
    assert one not in others
    with pytest.raises(AttributeError):
        one.digest = low  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del one.digest
    assert copy.copy(one) == one
    with pytest.raises(TypeError):
        one < BASE64  # noqa: B015


# ---- certificates and keys ---------------------------------------------------

Key = (
    rsa.RSAPrivateKey
    | ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | x25519.X25519PrivateKey
)
KEYS: dict[str, Key] = {
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "P-521": ec.generate_private_key(ec.SECP521R1()),
    "RSA-2048": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "Ed25519": ed25519.Ed25519PrivateKey.generate(),
    "X25519": x25519.X25519PrivateKey.generate(),
}


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_the_pin_of_a_public_key_is_the_sha256_of_its_spki(
    key: Key,
) -> None:
    """DER or PEM, bytes or text, the same pin (RFC 7469, 2.4)."""
    public = key.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    der = public.public_bytes(serialization.Encoding.DER, spki)
    pem = public.public_bytes(serialization.Encoding.PEM, spki)
    expected = Pin(PinKind.SPKI, hashlib.sha256(der).digest())
    for form in (der, pem, pem.decode("ascii"), pem.replace(b"\n", b"\r\n")):
        assert Pin.from_public_key(form) == expected


def test_the_pins_of_a_certificate_are_those_that_cryptography_gives(pki: Pki) -> None:
    """Of the key without kind=, of the whole certificate with it; DER or PEM."""
    rsa_root = Authority.root("RSA Root", key_type="rsa")
    for identity in (pki.server, pki.ca, pki.root, rsa_root):
        public = identity.certificate.public_key()
        spki = public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        key_pin = Pin(PinKind.SPKI, hashlib.sha256(spki).digest())
        fingerprint = identity.certificate.fingerprint(hashes.SHA256())
        whole_pin = Pin(PinKind.CERTIFICATE, fingerprint)
        pem = identity.pem
        for form in (identity.der, pem, pem.encode(), pem.replace("\n", "\r\n")):
            assert Pin.from_certificate(form) == key_pin
            assert Pin.from_certificate(form, kind=PinKind.SPKI) == key_pin
            assert Pin.from_certificate(form, kind=PinKind.CERTIFICATE) == whole_pin
        assert Pin.from_public_key(spki) == key_pin


def test_text_around_the_one_block_is_passed_over(pki: Pki) -> None:
    """``openssl x509 -text`` writes some, and a key may stand beside it."""
    text = "Certificate:\n    Data: ...\n" + pki.server.key_pem + pki.server.pem
    assert str(Pin.from_certificate(text)) == pki.server.pin
    text = "# bücher\n" + pki.server.public_key_pem + pki.server.pem
    assert str(Pin.from_public_key(text)) == pki.server.pin
    assert str(Pin.from_certificate(text)) == pki.server.pin


def test_pem_must_have_exactly_one_block_of_the_right_kind(pki: Pki) -> None:
    """Of two, nobody knows which is meant; and a private key has no place here."""
    server = pki.server
    cases = [
        (Pin.from_certificate, server.pem_chain(), 2),
        (Pin.from_certificate, server.public_key_pem, 0),
        (Pin.from_certificate, server.key_pem, 0),
        (Pin.from_certificate, server.pem.replace("CERT", "TRUSTED CERT"), 0),
        (Pin.from_certificate, server.pem.replace("CERT", "X509 CERT"), 0),
        (Pin.from_certificate, server.pem.replace("-----END", "-----end"), 0),
        (Pin.from_public_key, server.pem, 0),
        (Pin.from_public_key, server.key_pem, 0),
        (Pin.from_public_key, server.public_key_pem * 2, 2),
        (Pin.from_public_key, server.public_key_pem.replace("PUB", "RSA PUB"), 0),
    ]
    for make, text, found in cases:
        with pytest.raises(DERError, match=f"expected one .* found {found}"):
            make(text)


def test_a_damaged_block_beside_a_good_one_is_not_passed_over(pki: Pki) -> None:
    """The pin would be that of another certificate than the one on top."""
    lines = pki.server.pem.splitlines(keepends=True)
    damaged = ["".join(lines[:-1]), "".join([*lines[:3], "-\n", *lines[3:]])]
    for first in damaged:
        with pytest.raises(DERError):
            Pin.from_certificate(first + pki.ca.pem)


def test_a_block_that_is_no_base64_or_no_der_is_refused(pki: Pki) -> None:
    """The message says which block, and what is wrong with it."""
    begin, end = "-----BEGIN CERTIFICATE-----\n", "-----END CERTIFICATE-----\n"
    for content in ("", "AAAA\n", "MA*=\n", "MAA\n", b64(pki.server.der[:-1])):
        with pytest.raises(DERError):
            Pin.from_certificate(begin + content + end)
    lines = "\n".join(textwrap.wrap(b64(pki.server.der), 64))
    assert str(Pin.from_certificate(begin + lines + end)) == pki.server.pin


def test_what_is_not_strict_der_is_refused_for_both_kinds(pki: Pki) -> None:
    """A certificate pin of bytes that no TLS library takes would never hit."""
    der = pki.server.der
    for wrong in (b"", der[:-1], der + b"\0", b"\x30\x00", pki.server.spki, "text"):
        for kind in PinKind:
            with pytest.raises(DERError, match="not a strict-DER certificate"):
                Pin.from_certificate(wrong, kind=kind)


def test_what_is_not_one_strict_der_public_key_is_refused(pki: Pki) -> None:
    """Nothing before, nothing after, no certificate, no private key."""
    spki = pki.server.spki
    private = pki.server.key.private_bytes(
        serialization.Encoding.DER,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    pkcs1 = KEYS["RSA-2048"].public_key()
    assert isinstance(pkcs1, rsa.RSAPublicKey)
    wrong: list[bytes | str] = [
        b"",
        spki[:-1],
        spki + b"\0",
        spki + spki,
        spki + b"\xa3\x02\x30\x00",  # reads as extensions, where it is put to the test
        spki + b"\x81\x02\x00\x00",  # ... and as an identifier
        b"\x30\x80" + spki[2:] + b"\0\0",
        b"\x31" + spki[1:],
        b"\x30\x00",
        pki.server.der,
        private,
        pkcs1.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.PKCS1
        ),
        "text",
    ]
    for key in wrong:
        with pytest.raises(DERError, match="not one strict-DER SubjectPublicKeyInfo"):
            Pin.from_public_key(key)


def test_a_key_that_looks_like_pem_inside_is_read_as_der() -> None:
    """Anything may stand in a subject, also "-----BEGIN"; DER begins otherwise."""
    name = "-----BEGIN CERTIFICATE-----AAAA-----END CERTIFICATE-----"
    identity = Authority.root(name)
    assert b"-----BEGIN " in identity.der
    assert str(Pin.from_certificate(identity.der)) == identity.pin


def test_the_pin_survives_a_renewal_and_the_certificate_pin_does_not(pki: Pki) -> None:
    """The same key in another certificate: that is what SPKI pins are for."""
    renewed = pki.ca.leaf("localhost", key=pki.server.key)
    assert isinstance(renewed.certificate, x509.Certificate)
    assert Pin.from_certificate(renewed.der) == Pin.from_certificate(pki.server.der)
    whole = [
        Pin.from_certificate(der, kind=PinKind.CERTIFICATE)
        for der in (renewed.der, pki.server.der)
    ]
    assert whole[0] != whole[1]
