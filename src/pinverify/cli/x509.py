"""Describe certificates and keys to people; no decision depends on it.

`cryptography` re-encodes keys. Importing it takes longer than the rest of a command. So
it is imported only for keys that may have several encodings.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, NamedTuple

from pinverify.errors import shortened
from pinverify.policy._certs_and_pins import (
    dotted,
    element,
    inside,
    name_text,
    tbs_fields,
)
from pinverify.review._certificates import names_of, validity_of

__all__ = ["Details", "details", "key_text", "reencoded"]


# ---- details --------------------------------------------------------------------

_TEXT_MAX = 95
_NAMES_MAX = 8
_NAME_MAX = 64


class Details(NamedTuple):
    """Details of a key, and of the certificate that has it.

    Attributes:
        key: kind and size of the key; empty if unreadable.
        issuer: the issuer, as RFC 4514 writes it; empty if unreadable, or without a
            certificate.
        names: the names in subjectAltName.
        validity: notBefore and notAfter; None if unreadable, or without a certificate.
    """

    key: str
    issuer: str = ""
    names: tuple[str, ...] = ()
    validity: tuple[dt.datetime, dt.datetime] | None = None

    def rows(self) -> list[tuple[str, str]]:
        """Return the name and the text of each known detail, for people."""
        more = len(self.names) - _NAMES_MAX
        names = [shortened(name, _NAME_MAX) for name in self.names[:_NAMES_MAX]]
        if more > 0:
            names.append(f"and {more:,} more")
        rows = [
            ("key", self.key),
            ("issuer", shortened(self.issuer, _TEXT_MAX)),
            ("names", ", ".join(names)),
            ("valid", self._valid()),
        ]
        return [(name, text) for name, text in rows if text]

    def _valid(self) -> str:
        if self.validity is None:
            return ""
        start, end = self.validity
        now = dt.datetime.now(dt.UTC)
        state = ", not yet" if now < start else ", expired" if now > end else ""
        return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}{state}"

    def to_dict(self) -> dict[str, Any]:
        """Return the details as JSON values."""
        times = [time.isoformat() for time in self.validity or ()]
        return {
            "key": self.key or None,
            "issuer": self.issuer or None,
            "names": self.names,
            "not_before": times[0] if times else None,
            "not_after": times[1] if times else None,
        }


def details(cert: bytes, spki: bytes) -> Details:
    """Return the details of a certificate that has a key."""
    return Details(key_text(spki), _issuer(cert), names_of(cert), validity_of(cert))


def _issuer(cert: bytes) -> str:
    try:
        _, _, issuer, *_ = tbs_fields(cert)
        return name_text(cert, issuer)
    except (IndexError, ValueError):
        return ""


# ---- keys ----------------------------------------------------------------------

_RSA, _EC = "1.2.840.113549.1.1.1", "1.2.840.10045.2.1"
_KINDS = {
    _RSA: "RSA",
    _EC: "EC",
    "1.2.840.113549.1.1.10": "RSA-PSS",
    "1.2.840.10040.4.1": "DSA",
    "1.3.101.112": "Ed25519",
    "1.3.101.113": "Ed448",
    "2.16.840.1.101.3.4.3.17": "ML-DSA-44",
    "2.16.840.1.101.3.4.3.18": "ML-DSA-65",
    "2.16.840.1.101.3.4.3.19": "ML-DSA-87",
}
_CURVES = {
    "1.2.840.10045.3.1.7": "P-256",
    "1.3.132.0.34": "P-384",
    "1.3.132.0.35": "P-521",
    "1.3.132.0.10": "secp256k1",
    "1.3.36.3.3.2.8.1.1.7": "brainpoolP256r1",
    "1.3.36.3.3.2.8.1.1.11": "brainpoolP384r1",
    "1.3.36.3.3.2.8.1.1.13": "brainpoolP512r1",
}
_OID = 0x06


def key_text(spki: bytes) -> str:
    """Return the kind and size of a key; empty if unreadable."""
    try:
        algorithm, bits, *_ = inside(spki, element(spki, 0))
        oid, *parameters = inside(spki, algorithm)
        kind = dotted(spki[oid.start : oid.end])
        if kind in {_RSA, "1.2.840.113549.1.1.10"}:
            key = element(spki, bits.start + 1)  # after the number of unused bits
            modulus, *_ = inside(spki, key)
            length = int.from_bytes(spki[modulus.start : modulus.end], "big")
            return f"{_KINDS[kind]}, {length.bit_length()} bits"
        if kind == _EC:
            if parameters[0].tag != _OID:
                return "EC, with parameters of its own"
            curve = dotted(spki[parameters[0].start : parameters[0].end])
            return f"EC, {_CURVES.get(curve, curve)}"
        return _KINDS.get(kind, kind)
    except (IndexError, ValueError):
        return ""


def reencoded(spki: bytes) -> bytes | None:
    """Return the key as ``public_key().public_bytes(…)`` encodes it.

    Most recipes compute a pin from this encoding. For a key with several encodings
    (RSASSA-PSS, explicit or compressed curve points, RSA without NULL), this encoding
    can differ from the one in the certificate. Only the one in the certificate counts.

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
# Usual keys by the length of their SubjectPublicKeyInfo: the bytes before the key
# itself, and those after it. Only the key itself varies, so an encoder has no choice.
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
    """Return True for a usual key, which has only one encoding."""
    prefix, after = _LAYOUTS.get(len(spki), ("", b""))
    before = bytes.fromhex(prefix)
    is_laid_out = prefix and spki.startswith(before) and spki.endswith(after)
    # An RSA modulus is an INTEGER: the zero before it must be needed for its sign.
    return bool(is_laid_out) and (not after or spki[len(before)] >= 0x80)  # noqa: PLR2004
