"""Subjects, roles and re-encoded keys: the same as `cryptography` gives."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)
from hypothesis import given
from hypothesis import strategies as st

from corpora import Input, inputs
from pinverify import DERError, core
from pinverify.cli import x509 as ours
from pinverify.cli.x509 import reencoded
from pinverify.review._certificates import Facts, facts
from pki import Pki

__all__: list[str] = []


def theirs(cert: bytes) -> Facts | None:
    """Return what `cryptography` reads; None if it cannot."""
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        certificate = x509.load_der_x509_certificate(cert)
        subject = certificate.subject.rfc4514_string()
        try:
            found = certificate.extensions.get_extension_for_class(
                x509.BasicConstraints
            )
        except x509.ExtensionNotFound:
            return Facts(subject, "leaf")
        if not found.value.ca:
            return Facts(subject, "leaf")
        itself = certificate.issuer == certificate.subject
        return Facts(subject, "root" if itself else "intermediate")
    return None


def test_facts_are_those_that_cryptography_reads() -> None:
    """Of all certificates that it reads, each subject and each role."""
    roles: dict[object, int] = {}
    for one in inputs():
        read = theirs(one.der)
        if read is not None:
            assert facts(one.der) == read, one
            roles[read.role] = roles.get(read.role, 0) + 1
    assert min(roles.get(role, 0) for role in ("leaf", "intermediate", "root")) > 10


@given(data=st.data())
def test_a_damaged_certificate_raises_nothing(pki: Pki, data: st.DataObject) -> None:
    """A fact is shown beside a pin, and must not keep anybody from the pin."""
    der = bytearray(pki.ca.der)
    at = data.draw(st.integers(0, len(der) - 1))
    der[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(der)))
    assert isinstance(facts(bytes(der)), Facts)
    assert isinstance(facts(bytes(der[:end])), Facts)


def encoded_by_cryptography(spki: bytes) -> bytes | None:
    """Return a key as `cryptography` encodes it; None if it cannot read it."""
    with contextlib.suppress(Exception), warnings.catch_warnings(action="ignore"):
        return load_der_public_key(spki).public_bytes(
            Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        )
    return None


def keys() -> dict[bytes, Input]:
    """Return the keys of all certificates that are strict DER."""
    found = {}
    for one in inputs():
        with contextlib.suppress(DERError):
            found[core.spki(one.der)] = one
    return found


def test_a_key_is_reencoded_as_cryptography_does() -> None:
    """Of the keys that it reads; most are answered without asking it."""
    usual = 0
    for spki, one in keys().items():
        encoded = encoded_by_cryptography(spki)
        if encoded is not None:
            assert reencoded(spki) == encoded, one
            usual += ours._has_one_encoding(spki)  # noqa: SLF001
    assert usual > 100


KEYS: dict[str, Callable[[], Any]] = {
    "P-256": partial(ec.generate_private_key, ec.SECP256R1()),
    "P-384": partial(ec.generate_private_key, ec.SECP384R1()),
    "P-521": partial(ec.generate_private_key, ec.SECP521R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA-2048": partial(rsa.generate_private_key, 65537, 2048),
    "RSA-3072": partial(rsa.generate_private_key, 65537, 3072),
    "RSA-4096": partial(rsa.generate_private_key, 65537, 4096),
}


def value_of(key: Any) -> bytes:  # noqa: ANN401 - a public key
    """Return the bytes of a key that depend on the key alone."""
    if isinstance(key, rsa.RSAPublicKey):
        return key.public_numbers().n.to_bytes(key.key_size // 8, "big")
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return point[1:]
    raw: bytes = key.public_bytes_raw()
    return raw


@pytest.mark.parametrize("kind", KEYS)
def test_a_usual_key_has_the_usual_bytes_around_its_value(kind: str) -> None:
    """A key that differs anywhere else is one to ask about."""
    key = KEYS[kind]().public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = value_of(key)
    first = spki.index(value)
    assert ours._has_one_encoding(spki)  # noqa: SLF001
    for at in range(len(spki)):
        other = bytearray(spki)
        other[at] ^= 0x80
        is_value = first <= at < first + len(value)
        # Without its upper bit, a modulus needs no zero before it.
        is_sign = kind.startswith("RSA") and at == first
        usual = ours._has_one_encoding(bytes(other))  # noqa: SLF001
        assert usual is (is_value and not is_sign), at
