"""Answers of the DER walk and of its oracles about one certificate.

The danger of a small parser is that it reads *another* key than the TLS library did.
So a test calls `ask` for pinverify's answer, and compares it with `strict` and
`lenient`, the oracles of ``oracle_der.py``.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple

import pytest

import oracle_der
from oracle_der import FrameError
from pinverify import core
from pinverify._core import lib
from pinverify.core._keys import status_text
from pinverify.errors import DERError
from places import TESTS

__all__ = [
    "DIVERGENCES",
    "FIELDS",
    "STATUS_BY_TEXT",
    "Answer",
    "accepted",
    "ask",
    "everybody_accepts",
    "lenient",
    "refused",
    "sha1_of_key",
    "strict",
]

DIVERGENCES = TESTS / "vectors" / "divergences.json"
# Which field each status of the walk stands for, as its phrase must name it.
FIELDS = {
    "PV_ERR_DER_CERTIFICATE": "Certificate",
    "PV_ERR_DER_TBS": "tbsCertificate",
    "PV_ERR_DER_VERSION": "version",
    "PV_ERR_DER_SERIAL": "serialNumber",
    "PV_ERR_DER_SIGNATURE": "tbsCertificate.signature",
    "PV_ERR_DER_ISSUER": "issuer",
    "PV_ERR_DER_VALIDITY": "validity",
    "PV_ERR_DER_SUBJECT": "subject",
    "PV_ERR_DER_SPKI": "subjectPublicKeyInfo",
    "PV_ERR_DER_SPKI_ALGORITHM": "subjectPublicKeyInfo.algorithm",
    "PV_ERR_DER_SPKI_KEY": "subjectPublicKeyInfo.subjectPublicKey",
    "PV_ERR_DER_UNIQUE_ID": "issuerUniqueID or subjectUniqueID",
    "PV_ERR_DER_EXTENSIONS": "extensions",
    "PV_ERR_DER_TBS_END": "tbsCertificate",
    "PV_ERR_DER_SIGNATURE_ALGORITHM": "signatureAlgorithm",
    "PV_ERR_DER_SIGNATURE_VALUE": "signatureValue",
    "PV_ERR_DER_CERTIFICATE_END": "Certificate",
}
STATUS_BY_TEXT = {status_text(getattr(lib, name)): name for name in FIELDS}


class Answer(NamedTuple):
    """The answer of pinverify about one input."""

    spki: bytes | None
    status: str  # the name of the pv_status


def ask(der: bytes) -> Answer:
    """Ask pinverify for the key of one certificate.

    The way on which the key is hashed meanwhile must lead to the same answer.
    """
    try:
        answer = Answer(core.spki(der), "PV_OK")
    except DERError as error:
        # Advice may follow in brackets.
        phrase = str(error).partition(": ")[2].partition(" (")[0]
        answer = Answer(None, STATUS_BY_TEXT[phrase])
        with pytest.raises(DERError, match=f"^{re.escape(str(error))}$"):
            core.spki_sha256(der)
    else:
        assert core.spki_sha256(der) == hashlib.sha256(answer.spki or b"").digest()
    return answer


def strict(der: bytes) -> bytes | None:
    """Return the key by the oracle's strict frame check, None if that refuses."""
    try:
        return oracle_der.strict_spki(der)
    except FrameError:
        return None


def lenient(der: bytes) -> bytes | None:
    """Return the key by the oracle's lenient walk, None if there is none."""
    try:
        return oracle_der.lenient_spki(der).raw
    except FrameError:
        return None


def sha1_of_key(spki: bytes) -> str:
    """Return what ``openssl x509 -ocspid`` prints for this key."""
    bits = oracle_der.key_bits(spki)
    return hashlib.sha1(bits, usedforsecurity=False).hexdigest()


def everybody_accepts(der: bytes) -> bool:
    """Return True if OpenSSL and the parser of `cryptography` accept."""
    return oracle_der.d2i_accepts(der) and oracle_der.cryptography_accepts(der)


def refused(der: bytes, status: str) -> None:
    """Check that pinverify refuses with this status, and the frame check too."""
    assert ask(der) == Answer(None, status)
    assert strict(der) is None


def accepted(der: bytes) -> None:
    """Check that pinverify accepts, with the key that the oracles find."""
    key = ask(der).spki
    assert key is not None
    assert key == strict(der) == lenient(der)
