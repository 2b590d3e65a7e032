"""The DER walk, field by field: each certificate is refused for its own field."""

from __future__ import annotations

import pytest

import oracle_der
from certificate_parts import (
    EXTENSIONS,
    ISSUER_ID,
    KEY_ALGORITHM,
    KEY_BITS,
    NULL,
    RSA_OID,
    SUBJECT_ID,
    TOY_KEY,
    V1_EXPLICIT,
    V2,
    V3,
    certificate,
    rows_of,
)
from corpora import ALGORITHM, EMPTY_BITS
from oracle_der import SEQUENCE, encode
from pinverify._core import lib
from spki_answers import FIELDS, STATUS_BY_TEXT, accepted, everybody_accepts, refused

__all__: list[str] = []


def test_each_status_of_the_walk_has_words_that_name_its_field() -> None:
    """A person reads in the message where the certificate is wrong."""
    names = [name for name in dir(lib) if name.startswith("PV_ERR_DER_")]
    assert sorted(names) == sorted(FIELDS)
    assert len(STATUS_BY_TEXT) == len(FIELDS)
    for text, name in STATUS_BY_TEXT.items():
        assert text.startswith(FIELDS[name] + " ")


def test_the_certificate_that_the_next_tests_damage_is_good() -> None:
    """The refusals of the next tests come from the damage alone."""
    accepted(certificate())
    assert everybody_accepts(certificate())


def in_long_form(element: bytes, octets: int) -> bytes:
    """Spell the length of a short element in that many octets."""
    return element[:1] + bytes((0x80 | octets, *bytes(octets - 1))) + element[1:]


def test_an_indefinite_length_is_refused() -> None:
    """X.690, 10.1: DER has definite lengths only. OpenSSL reads them."""
    whole = b"\x30\x80" + b"".join(rows_of(certificate())) + b"\0\0"
    assert oracle_der.d2i_accepts(whole)
    refused(whole, "PV_ERR_DER_CERTIFICATE")
    spki = b"\x30\x80" + KEY_ALGORITHM + KEY_BITS + b"\0\0"
    assert oracle_der.d2i_accepts(certificate(spki=spki))
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")
    # 0x80 is no length of 128 either.
    refused(certificate(subject=b"\x30\x80" + bytes(128)), "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("octets", [1, 2, 3, 4, 8])
def test_a_length_that_is_not_minimal_is_refused(octets: int) -> None:
    """X.690, 10.1: as few octets as will do. OpenSSL reads any number."""
    der = certificate(subject=in_long_form(encode(SEQUENCE), octets))
    assert oracle_der.d2i_accepts(der)
    refused(der, "PV_ERR_DER_SUBJECT")
    spki = encode(SEQUENCE, KEY_ALGORITHM, in_long_form(KEY_BITS, octets))
    assert oracle_der.d2i_accepts(certificate(spki=spki))
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI_KEY")


@pytest.mark.parametrize("size", [1, 126, 127, 128, 255, 256, 65535, 65536])
def test_a_length_in_one_octet_more_than_it_needs_is_refused(size: int) -> None:
    """The shortest spelling passes at each size where it gets longer."""
    good = encode(SEQUENCE, bytes(size))
    accepted(certificate(subject=good))
    header = good[: len(good) - size]
    octets = len(header) - 2  # of the long form; the short form has none
    longer = bytes((0x30, 0x81 + octets)) + size.to_bytes(octets + 1, "big")
    der = certificate(subject=longer + bytes(size))
    refused(der, "PV_ERR_DER_SUBJECT")


def test_a_length_of_2_to_the_24_or_more_is_refused() -> None:
    """The longest element that is read has 2^24 - 1 bytes."""
    half = 1 << 23  # what surrounds the key is as long as with the whole
    around = len(certificate(key=encode(0x03, bytes(half)))) - half
    room = 5 + (1 << 24) - 1 - around
    longest = certificate(key=encode(0x03, bytes(room)))
    assert longest[:5] == b"\x30\x83\xff\xff\xff"
    accepted(longest)
    refused(certificate(key=encode(0x03, bytes(room + 1))), "PV_ERR_DER_CERTIFICATE")


@pytest.mark.parametrize("first", [0x84, 0x88, 0xFF])
def test_a_length_of_more_than_three_octets_is_refused(first: int) -> None:
    """Nobody may take three of them for all."""
    subject = bytes((0x30, first)) + (1 << 16).to_bytes(3, "big") + bytes(1 << 16)
    refused(certificate(subject=subject), "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("tag", [0x10, 0x70, 0xB0, 0xF0])
def test_the_class_of_a_tag_counts(tag: int) -> None:
    """[16] is no SEQUENCE, whatever its class is; nor is one that is primitive."""
    for field in ("issuer", "validity", "subject"):
        other = {field: encode(tag, b"")}
        refused(certificate(**other), f"PV_ERR_DER_{field.upper()}")
    spki = encode(tag, KEY_ALGORITHM, KEY_BITS)
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")


def test_the_high_form_of_a_tag_is_refused() -> None:
    """X.690, 8.1.2.4: tags up to 30 have one octet. OpenSSL reads two."""
    for subject in (b"\x3f\x10\x00", b"\x3f\x80\x10\x00"):
        der = certificate(subject=subject)
        assert oracle_der.d2i_accepts(der)
        refused(der, "PV_ERR_DER_SUBJECT")


@pytest.mark.parametrize("tail", [b"\0", b"\0\0", b"\x30\0", certificate()])
def test_a_byte_after_the_certificate_is_refused(tail: bytes) -> None:
    """One certificate is one input: nothing may hide behind it."""
    refused(certificate() + tail, "PV_ERR_DER_CERTIFICATE")


def test_a_certificate_that_ends_early_is_refused() -> None:
    """No prefix of a certificate is one."""
    good = certificate()
    for end in range(len(good)):
        refused(good[:end], "PV_ERR_DER_CERTIFICATE")


@pytest.mark.parametrize("extra", [NULL, encode(SEQUENCE), EMPTY_BITS, b"\0"])
def test_an_element_too_many_is_refused_in_each_sequence(extra: bytes) -> None:
    """Certificate, TBSCertificate, SubjectPublicKeyInfo, AlgorithmIdentifier."""
    outer = encode(SEQUENCE, *rows_of(certificate()), extra)
    refused(outer, "PV_ERR_DER_CERTIFICATE_END")
    tbs_end = certificate(extensions=EXTENSIONS + extra)
    refused(tbs_end, "PV_ERR_DER_TBS_END")
    spki = encode(SEQUENCE, KEY_ALGORITHM, KEY_BITS, extra)
    refused(certificate(spki=spki), "PV_ERR_DER_SPKI")
    algorithm = encode(SEQUENCE, RSA_OID, NULL, extra)
    for field, status in (
        ("signature", "PV_ERR_DER_SIGNATURE"),
        ("algorithm", "PV_ERR_DER_SPKI_ALGORITHM"),
        ("signature_algorithm", "PV_ERR_DER_SIGNATURE_ALGORITHM"),
    ):
        refused(certificate(**{field: algorithm}), status)


def test_a_second_key_is_refused() -> None:
    """Two SubjectPublicKeyInfos: whichever is read, the other one is too many."""
    spki = encode(SEQUENCE, KEY_ALGORITHM, KEY_BITS)
    refused(certificate(spki=spki + spki), "PV_ERR_DER_TBS_END")
    refused(certificate(extensions=EXTENSIONS + spki), "PV_ERR_DER_TBS_END")


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"version": b"", "serial": encode(0x02, b"\1") + V3}, "PV_ERR_DER_SIGNATURE"),
        ({"version": encode(0x02, b"\1"), "serial": V3}, "PV_ERR_DER_SIGNATURE"),
        ({"serial": b""}, "PV_ERR_DER_SERIAL"),
        ({"subject": b""}, "PV_ERR_DER_SPKI"),
        ({"unique_ids": EXTENSIONS}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": SUBJECT_ID + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": ISSUER_ID + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"unique_ids": SUBJECT_ID + SUBJECT_ID}, "PV_ERR_DER_TBS_END"),
        ({"extensions": EXTENSIONS + ISSUER_ID}, "PV_ERR_DER_TBS_END"),
        ({"algorithm": KEY_BITS, "key": KEY_ALGORITHM}, "PV_ERR_DER_SPKI_ALGORITHM"),
        ({"key": b""}, "PV_ERR_DER_SPKI_KEY"),
        ({"spki": KEY_BITS}, "PV_ERR_DER_SPKI"),
        (
            {"signature_algorithm": EMPTY_BITS, "signature_value": ALGORITHM},
            "PV_ERR_DER_SIGNATURE_ALGORITHM",
        ),
        ({"signature_value": b""}, "PV_ERR_DER_SIGNATURE_VALUE"),
    ],
)
def test_a_field_that_is_out_of_order_or_missing_is_refused(
    changes: dict[str, bytes], status: str
) -> None:
    """RFC 5280, 4.1, says which field comes when."""
    refused(certificate(**changes), status)


@pytest.mark.parametrize("number", ["03", "7f", "80", "ff", "0002", "0102", ""])
def test_a_version_other_than_v1_v2_and_v3_is_refused(number: str) -> None:
    """There are three versions."""
    version = encode(0xA0, encode(0x02, bytes.fromhex(number)))
    refused(certificate(version=version), "PV_ERR_DER_VERSION")


def test_a_version_that_is_not_one_integer_is_refused() -> None:
    """[0] is EXPLICIT: it holds one INTEGER and nothing more."""
    for inside in (b"", NULL, encode(0x0A, b"\2"), 2 * encode(0x02, b"\2")):
        refused(certificate(version=encode(0xA0, inside)), "PV_ERR_DER_VERSION")


@pytest.mark.parametrize("version", [b"", V1_EXPLICIT, V2, V3])
@pytest.mark.parametrize("ids", [b"", ISSUER_ID, SUBJECT_ID, ISSUER_ID + SUBJECT_ID])
@pytest.mark.parametrize("extensions", [b"", EXTENSIONS])
def test_every_version_may_have_what_a_later_one_has(
    version: bytes, ids: bytes, extensions: bytes
) -> None:
    """RFC 5280, 4.1.2.8 and 4.1.2.9, are not kept by every authority.

    OpenSSL verifies such chains. The key stands before all of it. A v1 that is written
    out is no DER (X.690, 11.5), but a single encoding all the same.
    """
    der = certificate(version=version, unique_ids=ids, extensions=extensions)
    assert oracle_der.d2i_accepts(der)
    accepted(der)


@pytest.mark.parametrize("version", [b"", V1_EXPLICIT, V2])
def test_an_earlier_version_may_have_no_more_than_v3(version: bytes) -> None:
    """Fields after the key are framed as strictly in every version."""
    for ids, extensions, status in (
        (2 * ISSUER_ID, EXTENSIONS, "PV_ERR_DER_TBS_END"),
        (SUBJECT_ID + ISSUER_ID, EXTENSIONS, "PV_ERR_DER_TBS_END"),
        (b"", EXTENSIONS + ISSUER_ID, "PV_ERR_DER_TBS_END"),
        (b"", 2 * EXTENSIONS, "PV_ERR_DER_TBS_END"),
        (encode(0x81), EXTENSIONS, "PV_ERR_DER_UNIQUE_ID"),
        (b"", encode(0xA3, EXTENSIONS), "PV_ERR_DER_EXTENSIONS"),
    ):
        der = certificate(version=version, unique_ids=ids, extensions=extensions)
        refused(der, status)


def test_extensions_that_are_not_one_sequence_are_refused() -> None:
    """[3] is EXPLICIT too. What stands in the SEQUENCE is not looked at."""
    for inside in (b"", NULL, encode(0x04), 2 * encode(SEQUENCE)):
        refused(certificate(extensions=encode(0xA3, inside)), "PV_ERR_DER_EXTENSIONS")
    accepted(certificate(extensions=encode(0xA3, encode(SEQUENCE, b"\xff"))))


def test_a_unique_identifier_that_is_constructed_is_refused() -> None:
    """BIT STRINGs are primitive in DER (X.690, 10.2). OpenSSL joins the parts."""
    for tag in (0xA1, 0xA2):
        der = certificate(unique_ids=encode(tag, encode(0x03, b"\0i")))
        assert oracle_der.d2i_accepts(der)
        refused(der, "PV_ERR_DER_TBS_END")


def test_a_unique_identifier_that_is_no_bit_string_is_refused() -> None:
    """Empty, or with more unused bits than there are."""
    for tag, content in ((0x81, ""), (0x82, ""), (0x81, "0800"), (0x82, "01")):
        ids = encode(tag, bytes.fromhex(content))
        refused(certificate(unique_ids=ids), "PV_ERR_DER_UNIQUE_ID")


@pytest.mark.parametrize("serial", ["", "0001", "0000", "007f", "ff80", "ffff"])
def test_a_serial_that_is_empty_or_not_minimal_is_refused(serial: str) -> None:
    """X.690, 8.3.2: the first nine bits are never all the same."""
    der = certificate(serial=encode(0x02, bytes.fromhex(serial)))
    refused(der, "PV_ERR_DER_SERIAL")


@pytest.mark.parametrize("serial", ["00", "80", "ff", "0080", "ff7f", "7f" + 60 * "00"])
def test_a_serial_that_is_zero_negative_or_long_passes(serial: str) -> None:
    """Such certificates exist, and their serial does not matter here."""
    accepted(certificate(serial=encode(0x02, bytes.fromhex(serial))))


@pytest.mark.parametrize(
    "oid", ["", "80", "2a80", "2a8001", "2aff", "2a8648ce80", "ff"]
)
def test_an_oid_that_is_empty_unfinished_or_padded_is_refused(oid: str) -> None:
    """X.690, 8.19.2, in each AlgorithmIdentifier."""
    algorithm = encode(SEQUENCE, encode(0x06, bytes.fromhex(oid)), NULL)
    for field, status in (
        ("signature", "PV_ERR_DER_SIGNATURE"),
        ("algorithm", "PV_ERR_DER_SPKI_ALGORITHM"),
        ("signature_algorithm", "PV_ERR_DER_SIGNATURE_ALGORITHM"),
    ):
        refused(certificate(**{field: algorithm}), status)


@pytest.mark.parametrize("octets", range(2, 21))
def test_a_padded_arc_is_found_anywhere_in_a_long_oid(octets: int) -> None:
    """Eight octets are looked at together, and 0x80 within an arc is none's padding."""
    for at in range(1, octets - 1):
        padded = bytearray(b"\x2a" + (octets - 1) * b"\x03")
        padded[at] = 0x80
        algorithm = encode(SEQUENCE, encode(0x06, bytes(padded)))
        refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
        padded[at - 1] |= 0x81  # now the arc begins there
        algorithm = encode(SEQUENCE, encode(0x06, bytes(padded)))
        accepted(certificate(algorithm=algorithm))


def test_a_null_with_content_is_refused() -> None:
    """X.690, 8.8.2, as parameters of each AlgorithmIdentifier."""
    algorithm = encode(SEQUENCE, RSA_OID, b"\x05\x01\x00")
    refused(certificate(signature=algorithm), "PV_ERR_DER_SIGNATURE")
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
    refused(
        certificate(signature_algorithm=algorithm), "PV_ERR_DER_SIGNATURE_ALGORITHM"
    )


@pytest.mark.parametrize("tag", [0x01, 0x02, 0x03, 0x0A, 0x0C, 0x17, 0x18, 0x24, 0x25])
def test_parameters_of_another_simple_type_are_refused(tag: int) -> None:
    """OpenSSL decodes them unasked, by rules that the walk does not repeat."""
    algorithm = encode(SEQUENCE, RSA_OID, encode(tag, b"\0"))
    refused(certificate(signature=algorithm), "PV_ERR_DER_SIGNATURE")
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")
    refused(
        certificate(signature_algorithm=algorithm), "PV_ERR_DER_SIGNATURE_ALGORITHM"
    )


@pytest.mark.parametrize("oid", ["", "80", "8001", "2a80", "2a8001"])
def test_parameters_that_are_no_whole_oid_are_refused(oid: str) -> None:
    """X.690, 8.19.2, as in the algorithm itself."""
    algorithm = encode(SEQUENCE, RSA_OID, encode(0x06, bytes.fromhex(oid)))
    refused(certificate(algorithm=algorithm), "PV_ERR_DER_SPKI_ALGORITHM")


def test_parameters_with_a_tag_of_two_octets_are_refused() -> None:
    """[32], of 31 bytes: who takes the second octet of the tag for a length is lost."""
    algorithm = encode(SEQUENCE, RSA_OID, b"\xbf\x20\x1f" + bytes(31))
    der = certificate(algorithm=algorithm)
    assert oracle_der.d2i_accepts(der)
    refused(der, "PV_ERR_DER_SPKI_ALGORITHM")


def test_other_parameters_and_none_pass() -> None:
    """They are not interpreted; only their frame is read."""
    others = (
        b"",
        encode(0x06, b"\x2a\x03"),
        encode(0x04, b"?"),
        encode(SEQUENCE, b"?"),
        encode(0x31, b"?"),
        encode(0x80, b"?"),
    )
    for parameters in others:
        algorithm = encode(SEQUENCE, RSA_OID, parameters)
        accepted(certificate(signature=algorithm, signature_algorithm=algorithm))
        accepted(certificate(algorithm=algorithm))


@pytest.mark.parametrize(
    "key",
    [
        encode(0x03),
        EMPTY_BITS,
        encode(0x23, EMPTY_BITS, KEY_BITS),
        b"\x23\x80" + KEY_BITS + b"\0\0",
        *(encode(0x03, bytes((unused,)), b"\0") for unused in (1, 7, 8, 255)),
    ],
)
def test_a_key_that_is_empty_constructed_or_has_unused_bits_is_refused(
    key: bytes,
) -> None:
    """Every kind of key is a whole number of octets."""
    refused(certificate(key=key), "PV_ERR_DER_SPKI_KEY")


def test_an_octet_string_is_no_algorithm_of_a_key() -> None:
    """The toy key of other projects' tests; OpenSSL refuses it as well."""
    assert not oracle_der.d2i_accepts(certificate(spki=TOY_KEY))
    refused(certificate(spki=TOY_KEY), "PV_ERR_DER_SPKI_ALGORITHM")


def test_a_key_of_an_unknown_kind_passes() -> None:
    """Keys are never decoded. Keys of tomorrow are just longer."""
    algorithm = encode(SEQUENCE, encode(0x06, b"\x2a\x03\x04"))
    accepted(certificate(algorithm=algorithm, key=encode(0x03, bytes(100_000))))
    accepted(certificate(algorithm=algorithm, key=encode(0x03, bytes(2))))


@pytest.mark.parametrize(
    "value",
    [
        encode(0x03),
        encode(0x23, EMPTY_BITS),
        *(encode(0x03, bytes((unused,)), b"\0") for unused in (8, 9, 255)),
        *(encode(0x03, bytes((unused,))) for unused in (1, 7)),
    ],
)
def test_a_signature_that_is_empty_constructed_or_has_8_unused_bits_is_refused(
    value: bytes,
) -> None:
    """X.690, 8.6.2: up to 7 bits can be unused, and only if there are some."""
    refused(certificate(signature_value=value), "PV_ERR_DER_SIGNATURE_VALUE")


def test_a_signature_with_up_to_7_unused_bits_passes() -> None:
    """The signature's bits are the TLS library's to read."""
    for unused in range(8):
        value = encode(0x03, bytes((unused, 0x80)))
        accepted(certificate(signature_value=value))


def test_what_is_not_interpreted_may_hold_anything() -> None:
    """Names, dates, and extensions are the TLS library's to read."""
    rubbish = encode(SEQUENCE, b"\xff\xff\xff")
    accepted(
        certificate(
            issuer=rubbish,
            validity=rubbish,
            subject=rubbish,
            extensions=encode(0xA3, rubbish),
        )
    )
