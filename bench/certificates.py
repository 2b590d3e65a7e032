"""The certificates that the benches read: the same bytes on every machine.

They are leaves like those of web servers, made here from a fixed seed. Their keys are
valid, so every library reads them. They are not signed, since no competitor here
verifies a signature. ``real()`` returns certificates of other projects.

    python bench/certificates.py FOLDER     writes the sets for the C benches: of
                                            each certificate its length (4 bytes,
                                            little-endian), then its DER
"""

from __future__ import annotations

import functools
import random
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from OpenSSL import crypto

import corpora
from oracle_der import encode
from pinverify import core

__all__ = [
    "KEY_TYPES",
    "WEB_SHARES",
    "by_name",
    "leaf",
    "real",
    "same_type",
    "web",
    "write",
]

SEED = 20_260_101

# ---- keys --------------------------------------------------------------------

_ORDER_BITS = 255  # below the order of every curve used here


def _spki(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> bytes:
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _on_curve(curve: ec.EllipticCurve) -> Callable[[random.Random], bytes]:
    def make(rng: random.Random) -> bytes:
        number = 1 + rng.getrandbits(_ORDER_BITS)
        return _spki(ec.derive_private_key(number, curve).public_key())

    return make


def _rsa(bits: int) -> Callable[[random.Random], bytes]:
    def make(rng: random.Random) -> bytes:
        # Odd and of full length: a modulus that every parser takes. That nobody
        # knows its factors does not matter here.
        modulus = rng.getrandbits(bits) | 1 << bits - 1 | 1
        return _spki(rsa.RSAPublicNumbers(65537, modulus).public_key())

    return make


def _ed25519(rng: random.Random) -> bytes:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(rng.randbytes(32))
    return private.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _ml_dsa(arc: int, key_len: int) -> Callable[[random.Random], bytes]:
    """Return a maker of ML-DSA keys: any bytes of the right length are one."""
    oid = bytes.fromhex("6086480165030403") + bytes((arc,))
    algorithm = encode(0x30, encode(0x06, oid))

    def make(rng: random.Random) -> bytes:
        key = encode(0x03, b"\0", rng.randbytes(key_len))
        return encode(0x30, algorithm, key)

    return make


KEY_TYPES: dict[str, Callable[[random.Random], bytes]] = {
    "P-256": _on_curve(ec.SECP256R1()),
    "RSA-2048": _rsa(2048),
    "RSA-4096": _rsa(4096),
    "Ed25519": _ed25519,
    "P-384": _on_curve(ec.SECP384R1()),
    "ML-DSA-44": _ml_dsa(17, 1312),
    "ML-DSA-65": _ml_dsa(18, 1952),
}
"""Makers of a SubjectPublicKeyInfo, by the name of its kind."""

WEB_SHARES = {
    "P-256": 520,
    "RSA-2048": 400,
    "RSA-4096": 50,
    "P-384": 20,
    "Ed25519": 5,
    "ML-DSA-44": 3,
    "ML-DSA-65": 2,
}
"""Of a thousand leaves of the web; the last three are a look ahead."""

# ---- certificates ------------------------------------------------------------

_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_RSA = bytes.fromhex("300d06092a864886f70d01010b0500")


def _oid(hex_: str) -> bytes:
    return encode(0x06, bytes.fromhex(hex_))


def _name(**attributes: str) -> bytes:
    oids = {"c": "550406", "o": "55040a", "cn": "550403"}
    return encode(
        0x30,
        *(
            encode(0x31, encode(0x30, _oid(oids[key]), encode(0x0C, text.encode())))
            for key, text in attributes.items()
        ),
    )


def _extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    flag = encode(0x01, b"\xff") if critical else b""
    return encode(0x30, _oid(oid), flag, encode(0x04, value))


def _extensions(hosts: Sequence[str], rng: random.Random) -> bytes:
    """Return what a public CA puts into a leaf, SCTs of two logs included."""
    uri = functools.partial(encode, 0x86)
    access = encode(
        0x30,
        encode(0x30, _oid("2b06010505073001"), uri(b"http://o.ca.example")),
        encode(0x30, _oid("2b06010505073002"), uri(b"http://i.ca.example/e7.crt")),
    )
    crl = encode(0xA0, encode(0xA0, uri(b"http://c.ca.example/r/7.crl")))
    return encode(
        0xA3,
        encode(
            0x30,
            _extension("551d0f", bytes.fromhex("03020780"), critical=True),
            _extension("551d25", encode(0x30, _oid("2b06010505070301"))),
            _extension("551d13", encode(0x30), critical=True),
            _extension("551d0e", encode(0x04, rng.randbytes(20))),
            _extension("551d23", encode(0x30, encode(0x80, rng.randbytes(20)))),
            _extension("2b06010505070101", access),
            _extension(
                "551d11",
                encode(0x30, *(encode(0x82, host.encode()) for host in hosts)),
            ),
            _extension("551d20", encode(0x30, encode(0x30, _oid("67810c010201")))),
            _extension("551d1f", encode(0x30, encode(0x30, crl))),
            _extension("2b06010401d679020402", encode(0x04, _scts(rng))),
        ),
    )


def _scts(rng: random.Random) -> bytes:
    """Return a SignedCertificateTimestampList of two (RFC 6962, 3.2 and 3.3)."""
    scts = b""
    for _ in range(2):
        signature = b"\x04\x03\0\x46" + rng.randbytes(70)
        sct = b"\0" + rng.randbytes(32) + b"\0\0\x01" + rng.randbytes(5) + b"\0\0"
        sct += signature
        scts += len(sct).to_bytes(2, "big") + sct
    return len(scts).to_bytes(2, "big") + scts


def leaf(key_type: str, rng: random.Random) -> bytes:
    """Return one leaf with a fresh key of that type, DER.

    An issuer signs with a key of its leaf's family: RSA for RSA, else ECDSA P-384.
    """
    label = f"shop{rng.randrange(1_000_000)}"
    names = ("www", "api", "cdn", "mail", "static", "m")
    some = rng.sample(names, rng.randrange(1, 4))
    hosts = [f"{label}.example", *(f"{name}.{label}.example" for name in some)]
    by_rsa = key_type.startswith("RSA")
    algorithm = _RSA if by_rsa else _ECDSA
    signature = rng.randbytes(256) if by_rsa else _ecdsa_signature(rng)
    tbs = encode(
        0x30,
        encode(0xA0, encode(0x02, b"\x02")),
        encode(0x02, b"\x04", rng.randbytes(17)),
        algorithm,
        _name(c="US", o="Example Trust Services", cn="Example R11"),
        encode(0x30, encode(0x17, b"260101000000Z"), encode(0x17, b"260401000000Z")),
        _name(cn=hosts[0]),
        KEY_TYPES[key_type](rng),
        _extensions(hosts, rng),
    )
    return encode(0x30, tbs, algorithm, encode(0x03, b"\0", signature))


def _ecdsa_signature(rng: random.Random) -> bytes:
    numbers = (encode(0x02, b"\x01", rng.randbytes(47)) for _ in range(2))
    return encode(0x30, *numbers)


@functools.cache
def same_type(key_type: str, num: int = 64) -> tuple[bytes, ...]:
    """Return leaves with keys of one type."""
    rng = random.Random(f"{SEED} {key_type}")  # noqa: S311 - the same every time
    return tuple(leaf(key_type, rng) for _ in range(num))


@functools.cache
def web(num: int = 1000) -> tuple[bytes, ...]:
    """Return leaves in the shares of the web, shuffled."""
    rng = random.Random(f"{SEED} web")  # noqa: S311 - the same every time
    types = [
        key_type
        for key_type, share in WEB_SHARES.items()
        for _ in range(share * num // 1000)
    ]
    types += ["P-256"] * (num - len(types))
    rng.shuffle(types)
    return tuple(leaf(key_type, rng) for key_type in types)


@functools.cache
def real() -> tuple[bytes, ...]:
    """Return the roots of certifi and what loads of cryptography's vectors.

    Only what every competitor reads, so that none of them stops early.
    """
    sources = {"certifi", "cryptography-vectors"}
    certs = [entry.der for entry in corpora.inputs() if entry.source in sources]
    malformed = set(core.spki_sha256_many(certs)[1])
    strict = [der for i, der in enumerate(certs) if i not in malformed]
    return tuple(filter(_loads, strict))


def _loads(der: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about serial numbers, of old certificates
        try:
            x509.load_der_x509_certificate(der).public_key()
            crypto.load_certificate(crypto.FILETYPE_ASN1, der)
        except (ValueError, UnsupportedAlgorithm, crypto.Error):
            return False
    return True


# ---- for the C benches -------------------------------------------------------


def by_name(name: str) -> tuple[bytes, ...]:
    """Return a set: "web", "real", or the name of a key type."""
    if name in KEY_TYPES:
        return same_type(name)
    return {"web": web, "real": real}[name]()


def write(folder: Path) -> None:
    """Write the sets that the C benches read."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("web", "real", *KEY_TYPES):
        certs = by_name(name)
        data = b"".join(len(der).to_bytes(4, "little") + der for der in certs)
        (folder / f"{name}.certs").write_bytes(data)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
