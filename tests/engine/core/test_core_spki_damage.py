"""Damaged certificates: the DER walk refuses them, or reads the key of the oracles."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpora
import oracle_der
from certificate_parts import ISSUER_ID, SUBJECT_ID, V2, certificate
from examples import examples
from spki_answers import ask, lenient, strict

__all__: list[str] = []


# Each kind of frame once: v3 with NULL, with absent, with EC and with PSS
# parameters, v1, explicit curve, v2 and v3 with unique identifiers.
SEEDS = {
    "RSA": "cacert.pem#0",
    "v1": "v1_cert.pem#0",
    "Ed25519": "ed25519/root-ed25519.pem#0",
    "explicit EC": "custom/ec_no_named_curve.pem#0",
    "EC": "custom/ca/ca.pem#0",
    "PSS": "custom/rsa_pss.pem#0",
}
STATUS_BY_FIELD = {
    "certificate": "PV_ERR_DER_CERTIFICATE",
    "tbsCertificate": "PV_ERR_DER_TBS",
    "version": "PV_ERR_DER_VERSION",
    "serialNumber": "PV_ERR_DER_SERIAL",
    "signature": "PV_ERR_DER_SIGNATURE",
    "issuer": "PV_ERR_DER_ISSUER",
    "validity": "PV_ERR_DER_VALIDITY",
    "subject": "PV_ERR_DER_SUBJECT",
    "subjectPublicKeyInfo": "PV_ERR_DER_SPKI",
    "subjectPublicKeyInfo.algorithm": "PV_ERR_DER_SPKI_ALGORITHM",
    "subjectPublicKeyInfo.subjectPublicKey": "PV_ERR_DER_SPKI_KEY",
    "issuerUniqueID": "PV_ERR_DER_UNIQUE_ID",
    "subjectUniqueID": "PV_ERR_DER_UNIQUE_ID",
    "extensions": "PV_ERR_DER_EXTENSIONS",
    "signatureAlgorithm": "PV_ERR_DER_SIGNATURE_ALGORITHM",
    "signatureValue": "PV_ERR_DER_SIGNATURE_VALUE",
}


def seeds() -> dict[str, bytes]:
    """Return the certificates that the mutants are made of."""
    named = {entry.name: entry.der for entry in corpora.inputs()}
    found = {kind: named[name] for kind, name in SEEDS.items()}
    ids = ISSUER_ID + SUBJECT_ID
    found["v2, identifiers"] = certificate(version=V2, unique_ids=ids, extensions=b"")
    found["v3, identifiers"] = certificate(unique_ids=ids)
    return found


def status_of_damaged_length(mutant: corpora.Mutant) -> str | None:
    """Return the status that damage to a length must lead to, None if not clear."""
    if not mutant.damage.startswith(("length in", "length of", "indefinite")):
        return None
    field = mutant.field
    while field not in STATUS_BY_FIELD:  # a part of it, which has no name of its own
        field = field.rpartition(".")[0]
    return STATUS_BY_FIELD[field]


@pytest.mark.parametrize("kind", [*SEEDS, "v2, identifiers", "v3, identifiers"])
def test_no_mutant_makes_pinverify_read_another_key(kind: str) -> None:
    """One fault in one element of the frame, in every way we could think of.

    pinverify and the strict frame check agree about each; damage to a length is
    refused for its field; where OpenSSL accepts too, the key is at the same place;
    and what OpenSSL alone refuses lies inside a field that is not interpreted.
    """
    counts: Counter[str] = Counter()
    for mutant in corpora.mutants(seeds()[kind]):
        answer, openssl = ask(mutant.der), oracle_der.d2i_accepts(mutant.der)
        assert answer.spki == strict(mutant.der), mutant
        expected = status_of_damaged_length(mutant)
        if expected is not None:
            assert answer.status == expected, mutant
            counts["damaged lengths"] += 1
        if answer.spki is None:
            counts["refused by pinverify alone"] += openssl
            continue
        assert answer.spki == lenient(mutant.der), mutant
        if openssl:
            counts["accepted by both"] += 1
        else:
            repaired = oracle_der.repair(mutant.der, oracle_der.HARMLESS)
            assert oracle_der.d2i_accepts(repaired), mutant
            counts["accepted by pinverify alone"] += 1
    assert counts["damaged lengths"] > 150
    assert counts["accepted by both"] > 10
    assert counts["refused by pinverify alone"] > 150


@st.composite
def damaged_certificates(draw: st.DrawFn) -> bytes:
    """Draw a real certificate with some bytes changed, inserted or removed."""
    der = bytearray(draw(st.sampled_from(sorted(seeds().values()))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(der)))
        gone = draw(st.integers(0, 2))
        der[at : at + gone] = draw(st.binary(max_size=2))
    return bytes(der)


@settings(deadline=None, max_examples=examples(1000))
@given(der=st.one_of(st.binary(max_size=64), damaged_certificates()))
def test_any_bytes_are_refused_or_hold_the_key_where_the_oracle_says(
    der: bytes,
) -> None:
    """For whatever comes over the wire: DERError, or a slice of the input."""
    answer = ask(der)
    assert answer.spki == strict(der)
    if answer.spki is not None:
        place = oracle_der.lenient_spki(der)
        assert der[place.start : place.end] == answer.spki
