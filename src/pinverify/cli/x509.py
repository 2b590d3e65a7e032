"""What `cryptography` says of a certificate or key: for people, not for decisions.

A certificate that pinverify reads and `cryptography` does not is still answered;
then nothing is said of it.
"""

from __future__ import annotations

import warnings
from typing import Literal, NamedTuple, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

__all__ = ["Facts", "Role", "facts", "reencoded"]

Role: TypeAlias = Literal["leaf", "intermediate", "root"]


class Facts(NamedTuple):
    """What a certificate says of itself. Nobody has checked it.

    Attributes:
        subject: as RFC 4514 writes it; whatever its author wanted.
        role: "leaf" without the right to issue certificates; "root" if it also
            names itself as its issuer.
    """

    subject: str
    role: Role | None


def facts(cert: bytes) -> Facts:
    """Read a DER certificate."""
    try:
        with warnings.catch_warnings(action="ignore"):
            certificate = x509.load_der_x509_certificate(cert)
            return Facts(certificate.subject.rfc4514_string(), _role(certificate))
    except Exception:  # noqa: BLE001 - a subject is never worth an error
        return Facts("", None)


def _role(certificate: x509.Certificate) -> Role:
    try:
        constraints = certificate.extensions.get_extension_for_class(
            x509.BasicConstraints
        )
    except x509.ExtensionNotFound:
        return "leaf"
    if not constraints.value.ca:
        return "leaf"
    return "root" if certificate.issuer == certificate.subject else "intermediate"


def reencoded(spki: bytes) -> bytes | None:
    """Return the key as ``public_key().public_bytes(…)`` writes it.

    That is how most recipes compute a pin. Where a key has more than one
    encoding (RSASSA-PSS, explicit or compressed curve points, RSA without NULL),
    it can differ from what stands in the certificate, which is what counts.

    Returns:
        A SubjectPublicKeyInfo, or None if `cryptography` can't read *spki*.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return load_der_public_key(spki).public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
    except Exception:  # noqa: BLE001 - nor is a hint
        return None
