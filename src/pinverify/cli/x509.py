"""Subjects and roles of certificates, read by `cryptography`; never for decisions.

If `cryptography` cannot read a certificate that pinverify can, the answer is
printed without them.
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
    """Claims of a certificate about itself, unchecked.

    Attributes:
        subject: in the form of RFC 4514; its author may write anything there.
        role: "leaf" if it may not issue certificates; "root" if it may and names
            itself as its issuer; else "intermediate".
    """

    subject: str
    role: Role | None


def facts(cert: bytes) -> Facts:
    """Return the subject and role of a DER certificate."""
    try:
        with warnings.catch_warnings(action="ignore"):
            certificate = x509.load_der_x509_certificate(cert)
            return Facts(certificate.subject.rfc4514_string(), _role(certificate))
    except Exception:  # noqa: BLE001 - a subject is not worth an error
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
    """Return the key as ``public_key().public_bytes(…)`` encodes it.

    Most recipes compute a pin from that. If a key has more than one encoding
    (RSASSA-PSS, explicit or compressed curve points, RSA without NULL), it can
    differ from the encoding in the certificate, which is the one that counts.

    Returns:
        A SubjectPublicKeyInfo, or None if `cryptography` cannot read *spki*.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return load_der_public_key(spki).public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
    except Exception:  # noqa: BLE001 - a hint is not worth an error
        return None
