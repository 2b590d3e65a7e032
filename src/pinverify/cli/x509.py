"""Subjects and roles of certificates, and re-encoded keys; never for decisions.

`cryptography` re-encodes keys. It takes longer to import than the rest of a command
takes, so it is asked only about keys that it might encode in another way.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from pinverify.policy._der_and_pem import element, extensions, name_text, tbs_fields

__all__ = ["Facts", "Role", "facts", "reencoded"]

Role: TypeAlias = Literal["leaf", "intermediate", "root"]


class Facts(NamedTuple):
    """Claims of a certificate about itself, unchecked.

    Attributes:
        subject: in the form of RFC 4514; its author may write anything there.
        role: "leaf" if it may not issue certificates; "root" if it may and names
            itself as its issuer; else "intermediate". None if unreadable.
    """

    subject: str
    role: Role | None


def facts(cert: bytes) -> Facts:
    """Return the subject and role of a DER certificate; empty if unreadable."""
    try:
        _, _, issuer, _, subject, *_ = tbs_fields(cert)
        name = name_text(cert, subject)
        if not _may_issue(cert):
            return Facts(name, "leaf")
        itself = name_text(cert, issuer) == name
        return Facts(name, "root" if itself else "intermediate")
    except (IndexError, ValueError):  # a subject is not worth an error
        return Facts("", None)


_BASIC_CONSTRAINTS = b"\x55\x1d\x13"
_TRUE = b"\x01\x01\xff"


def _may_issue(cert: bytes) -> bool:
    """Return True if the certificate has BasicConstraints with cA TRUE."""
    for oid, value in extensions(cert):
        if oid == _BASIC_CONSTRAINTS:
            return value.startswith(_TRUE, element(value, 0).start)
    return False


def reencoded(spki: bytes) -> bytes | None:
    """Return the key as ``public_key().public_bytes(…)`` encodes it.

    Most recipes compute a pin from that. If a key has more than one encoding
    (RSASSA-PSS, explicit or compressed curve points, RSA without NULL), it can
    differ from the encoding in the certificate, which is the one that counts.

    Returns:
        A SubjectPublicKeyInfo, or None if `cryptography` cannot read *spki*.
    """
    if _has_one_encoding(spki):
        return spki
    import warnings

    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_der_public_key,
    )

    try:
        with warnings.catch_warnings(action="ignore"):
            return load_der_public_key(spki).public_bytes(
                Encoding.DER, PublicFormat.SubjectPublicKeyInfo
            )
    except Exception:  # noqa: BLE001 - a hint is not worth an error
        return None


_65537 = bytes.fromhex("0203010001")
# The usual keys, by the length of their SubjectPublicKeyInfo: the bytes before the key
# itself, and after it. Only the key itself varies, so an encoder has no choice.
_LAYOUTS = {
    44: ("302a300506032b6570032100", b""),  # Ed25519
    # uncompressed points on P-256, P-384 and P-521
    91: ("3059301306072a8648ce3d020106082a8648ce3d03010703420004", b""),
    120: ("3076301006072a8648ce3d020106052b8104002203620004", b""),
    158: ("30819b301006072a8648ce3d020106052b810400230381860004", b""),
    # RSA of 2048, 3072 and 4096 bits
    294: (
        "30820122300d06092a864886f70d01010105000382010f003082010a0282010100",
        _65537,
    ),
    422: (
        "308201a2300d06092a864886f70d01010105000382018f003082018a0282018100",
        _65537,
    ),
    550: (
        "30820222300d06092a864886f70d01010105000382020f003082020a0282020100",
        _65537,
    ),
}


def _has_one_encoding(spki: bytes) -> bool:
    """Return True for a usual key, whose encoding is the only one that there is."""
    prefix, after = _LAYOUTS.get(len(spki), ("", b""))
    before = bytes.fromhex(prefix)
    is_laid_out = prefix and spki.startswith(before) and spki.endswith(after)
    # An RSA modulus is an INTEGER: the zero before it must be needed for its sign.
    return bool(is_laid_out) and (not after or spki[len(before)] >= 0x80)  # noqa: PLR2004
