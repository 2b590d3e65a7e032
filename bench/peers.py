"""Competitors: other ways to check the key of a certificate from Python.

Each function takes pins (32-byte digests) and returns a function that says whether a
DER certificate is pinned. They are written as users of the library would write them,
with nothing superfluous. All but two compare the SHA-256 of the SubjectPublicKeyInfo;
``assert_fingerprint`` can only hash the whole certificate.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence

import asn1crypto.x509  # type: ignore[import-untyped]
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

from pinverify import Pin, Policy, core

__all__ = ["PEERS", "is_pinned_by", "whole_certificate"]

IsPinned = Callable[[bytes], bool]


def pinverify_matcher(pins: Sequence[bytes]) -> IsPinned:
    """The cheapest call of pinverify."""
    return core.matcher(b"".join(pins))


def pinverify_policy(pins: Sequence[bytes]) -> IsPinned:
    """A policy, a host, and a whole report."""
    policy = Policy({"api.example.com": [Pin.spki(pin) for pin in pins]})
    evaluate = policy.evaluate

    def is_pinned(der: bytes) -> bool:
        return evaluate("api.example.com", [der]).accepted

    return is_pinned


def by_cryptography(pins: Sequence[bytes]) -> IsPinned:
    """The recipe of cryptography's users."""
    wanted = frozenset(pins)
    load, sha256 = x509.load_der_x509_certificate, hashlib.sha256
    der_, spki_ = Encoding.DER, PublicFormat.SubjectPublicKeyInfo

    def is_pinned(der: bytes) -> bool:
        spki = load(der).public_key().public_bytes(der_, spki_)
        return sha256(spki).digest() in wanted

    return is_pinned


def by_pyopenssl(pins: Sequence[bytes]) -> IsPinned:
    """The recipe of pyOpenSSL's users."""
    wanted = frozenset(pins)
    load, dump, sha256 = crypto.load_certificate, crypto.dump_publickey, hashlib.sha256
    asn1 = crypto.FILETYPE_ASN1

    def is_pinned(der: bytes) -> bool:
        return sha256(dump(asn1, load(asn1, der).get_pubkey())).digest() in wanted

    return is_pinned


def by_asn1crypto(pins: Sequence[bytes]) -> IsPinned:
    """The recipe of asn1crypto's users."""
    wanted = frozenset(pins)
    load, sha256 = asn1crypto.x509.Certificate.load, hashlib.sha256

    def is_pinned(der: bytes) -> bool:
        spki = load(der)["tbs_certificate"]["subject_public_key_info"].dump()
        return sha256(spki).digest() in wanted

    return is_pinned


def by_python_walk(pins: Sequence[bytes]) -> IsPinned:
    """A DER walk in Python, as short as it gets: it skips, and checks nothing."""
    wanted = frozenset(pins)
    sha256, from_bytes = hashlib.sha256, int.from_bytes

    def is_pinned(der: bytes) -> bool:
        n = der[1]  # Certificate
        at = 2 if n < 0x80 else n - 0x7E
        n = der[at + 1]  # tbsCertificate
        at += 2 if n < 0x80 else n - 0x7E
        # version, serialNumber, signature, issuer, validity, subject
        for _ in range(6 if der[at] == 0xA0 else 5):
            n = der[at + 1]
            if n < 0x80:
                at += 2 + n
            else:
                content = at + n - 0x7E
                at = content + from_bytes(der[at + 2 : content], "big")
        n = der[at + 1]
        if n < 0x80:
            end = at + 2 + n
        else:
            content = at + n - 0x7E
            end = content + from_bytes(der[at + 2 : content], "big")
        return sha256(der[at:end]).digest() in wanted

    return is_pinned


PEERS: dict[str, Callable[[Sequence[bytes]], IsPinned]] = {
    "pinverify matcher": pinverify_matcher,
    "pinverify Policy": pinverify_policy,
    "cryptography": by_cryptography,
    "pyOpenSSL": by_pyopenssl,
    "asn1crypto": by_asn1crypto,
    "Python DER walk": by_python_walk,
}
"""The competitors that hash the SubjectPublicKeyInfo."""


def whole_certificate(cert: bytes) -> dict[str, IsPinned]:
    """Return the competitors that hash the whole certificate; *cert* is pinned.

    They do less: to them a renewed certificate with the same key is a different one.
    """
    try:
        from urllib3.util.ssl_ import assert_fingerprint  # noqa: PLC0415 - optional
    except ImportError:
        return {}
    fingerprint = hashlib.sha256(cert).hexdigest()

    def is_pinned(der: bytes) -> bool:
        assert_fingerprint(der, fingerprint)
        return True

    return {"urllib3 assert_fingerprint": is_pinned}


def is_pinned_by(answer: IsPinned, der: bytes) -> bool:
    """Ask a competitor; an exception counts as a refusal."""
    with contextlib.suppress(Exception):
        return answer(der)
    return False
