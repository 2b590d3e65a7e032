"""Certificates built from their fields, each of which a test may replace."""

from __future__ import annotations

import oracle_der
from corpora import ALGORITHM, EMPTY_BITS
from oracle_der import SEQUENCE, encode

__all__ = [
    "EXTENSIONS",
    "ISSUER_ID",
    "KEY_ALGORITHM",
    "KEY_BITS",
    "NULL",
    "RSA_OID",
    "SUBJECT_ID",
    "TOY_KEY",
    "V1_EXPLICIT",
    "V2",
    "V3",
    "certificate",
    "rows_of",
]

TOY_KEY = bytes.fromhex("30030401f3")


V1_EXPLICIT, V2, V3 = (encode(0xA0, encode(0x02, bytes((n,)))) for n in range(3))
NULL = b"\x05\x00"
KEY_ALGORITHM = oracle_der.HARMLESS["subjectPublicKeyInfo.algorithm"]
KEY_BITS = encode(0x03, b"\0", bytes(range(64)))
EXTENSIONS = oracle_der.HARMLESS["extensions"]
ISSUER_ID, SUBJECT_ID = encode(0x81, b"\0i"), encode(0x82, b"\0s")
RSA_OID = encode(0x06, bytes.fromhex("2a864886f70d010101"))


def certificate(  # noqa: PLR0913 - one argument for each field there is
    *,
    version: bytes = V3,
    serial: bytes = encode(0x02, b"\x01"),
    signature: bytes = ALGORITHM,
    issuer: bytes = oracle_der.HARMLESS["issuer"],
    validity: bytes = oracle_der.HARMLESS["validity"],
    subject: bytes = oracle_der.HARMLESS["subject"],
    algorithm: bytes = KEY_ALGORITHM,
    key: bytes = KEY_BITS,
    spki: bytes | None = None,
    unique_ids: bytes = b"",
    extensions: bytes = EXTENSIONS,
    signature_algorithm: bytes = ALGORITHM,
    signature_value: bytes = EMPTY_BITS,
) -> bytes:
    """Make a certificate field by field; as it is, everybody accepts it."""
    if spki is None:
        spki = encode(SEQUENCE, algorithm, key)
    names = (issuer, validity, subject)
    tbs = (version, serial, signature, *names, spki, unique_ids, extensions)
    outer = (encode(SEQUENCE, *tbs), signature_algorithm, signature_value)
    return encode(SEQUENCE, *outer)


def rows_of(der: bytes) -> list[bytes]:
    """Return the three elements of a Certificate."""
    return [row.raw for row in oracle_der.split(oracle_der.read(der, 0, len(der)))]
