"""Certificates for tests: authorities, leaves, forgeries, and their pins.

Everything is made with `cryptography`, in memory, from fresh keys. The pins are
computed here with hashlib, so that a test compares pinverify with something
that is not pinverify. Nothing is written unless a test asks for a file.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import ipaddress
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = [
    "LOCAL_HOSTS",
    "Authority",
    "Identity",
    "Pki",
    "example_pki",
    "self_signed",
    "sha256_pin",
]

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KeyType = Literal["p256", "rsa"]
Purpose = Literal["server", "client"]

# Every name that a test may give to a loopback server. The IDN stands here as
# its A-label, as it does in real certificates.
LOCAL_HOSTS = (
    "localhost",
    "other.localhost",
    "127.0.0.1",
    "::1",
    "xn--bcher-kva.example",
)


@dataclass(frozen=True)
class Identity:
    """A certificate, its private key, and the issuers a peer sends with it."""

    certificate: x509.Certificate
    key: PrivateKey
    issuers: tuple[x509.Certificate, ...] = ()

    @functools.cached_property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @functools.cached_property
    def pem(self) -> str:
        """The certificate, PEM."""
        return _pem([self.certificate])

    @functools.cached_property
    def chain_der(self) -> list[bytes]:
        """The certificate and its issuers, leaf first, each one DER."""
        chain = (self.certificate, *self.issuers)
        return [c.public_bytes(serialization.Encoding.DER) for c in chain]

    @functools.cached_property
    def spki(self) -> bytes:
        """The SubjectPublicKeyInfo, DER."""
        return self.certificate.public_key().public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )

    @functools.cached_property
    def pin(self) -> str:
        """The pin of the key, ``sha256/<base64>`` (RFC 7469, 2.4)."""
        return sha256_pin(self.spki)

    @functools.cached_property
    def certificate_pin(self) -> str:
        """The pin of the whole certificate, ``cert-sha256:<hex>``."""
        return "cert-sha256:" + hashlib.sha256(self.der).hexdigest()

    @property
    def public_key_pem(self) -> str:
        """The public key, PEM."""
        return (
            self.certificate.public_key()
            .public_bytes(
                serialization.Encoding.PEM,
                serialization.PublicFormat.SubjectPublicKeyInfo,
            )
            .decode("ascii")
        )

    @functools.cached_property
    def key_pem(self) -> str:
        """The private key, PEM, not encrypted."""
        return self.key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode("ascii")

    def pem_chain(self, extra: Iterable[Identity] = ()) -> str:
        """Return what a peer sends, PEM: certificate, issuers, then *extra*."""
        chain = [self.certificate, *self.issuers]
        return _pem([*chain, *(identity.certificate for identity in extra)])

    def write(self, path: Path, extra: Iterable[Identity] = ()) -> Path:
        """Write the private key and `pem_chain` to *path*, and return it."""
        path.write_text(self.key_pem + self.pem_chain(extra), encoding="ascii")
        return path

    def load_into(
        self, context: ssl.SSLContext, extra: Iterable[Identity] = ()
    ) -> None:
        """Make *context* present this identity, with *extra* appended."""
        # The ssl module reads keys from files only.
        with tempfile.TemporaryDirectory() as directory:
            context.load_cert_chain(self.write(Path(directory, "chain.pem"), extra))


class Authority(Identity):
    """A certificate authority. It signs whatever a test asks for."""

    @classmethod
    def root(
        cls, name: str, key_type: KeyType = "p256", organization: str = ""
    ) -> Authority:
        """Make a self-signed authority called *name*."""
        key = _new_key(key_type)
        subject = _name(name, organization)
        certificate = _certificate(
            subject, key, _ca_extensions(), _Issuer(subject, key)
        )
        return cls(certificate, key)

    def intermediate(
        self, name: str, key_type: KeyType = "p256", organization: str = ""
    ) -> Authority:
        """Make an authority called *name* that this one vouches for."""
        return self._vouch(_name(name, organization), _new_key(key_type))

    def limited_to(self, host: str, name: str) -> Authority:
        """Make an authority that may issue for *host* alone (RFC 5280, 4.2.1.10)."""
        limit = x509.NameConstraints([x509.DNSName(host)], None)
        return self._vouch(_name(name), _new_key("p256"), [(limit, True)])

    def cross_sign(self, other: Authority) -> Authority:
        """Vouch for *other*: its name and key, in a certificate of our own."""
        return self._vouch(other.certificate.subject, other.key)

    def leaf(  # noqa: PLR0913 - one for each fact
        self,
        *hosts: str,
        common_name: str | None = None,
        purpose: Purpose = "server",
        key_type: KeyType = "p256",
        key: PrivateKey | None = None,
        days: int = 2,
        age: int = 0,
    ) -> Identity:
        """Issue a leaf.

        Args:
            hosts: names and addresses for its subjectAltName.
            common_name: of its subject; the first host without it.
            purpose: its extendedKeyUsage.
            key_type: of the fresh key.
            key: this key instead of a fresh one (a renewed certificate).
            days: the time for which it is valid.
            age: the days of them that have passed.
        """
        key = key or _new_key(key_type)
        certificate = _certificate(
            _name(common_name or hosts[0]),
            key,
            _leaf_extensions(hosts, purpose),
            _Issuer(self.certificate.subject, self.key),
            days,
            age,
        )
        return Identity(certificate, key, self._sent_below())

    def forged_leaf(self, *hosts: str, common_name: str | None = None) -> Identity:
        """Make a leaf that names this authority, which never signed it.

        This is what an attacker can do who has the authority's certificate,
        which is public, and not its key.
        """
        key = _new_key("p256")
        certificate = _certificate(
            _name(common_name or hosts[0]),
            key,
            _leaf_extensions(hosts, "server"),
            _Issuer(self.certificate.subject, _new_key("p256"), claimed_key=self.key),
        )
        return Identity(certificate, key, self._sent_below())

    def _vouch(
        self, subject: x509.Name, key: PrivateKey, limits: _Extensions = ()
    ) -> Authority:
        certificate = _certificate(
            subject,
            key,
            [*_ca_extensions(), *limits],
            _Issuer(self.certificate.subject, self.key),
        )
        return Authority(certificate, key, self._sent_below())

    def _sent_below(self) -> tuple[x509.Certificate, ...]:
        """Return the issuers to send under this authority: not the root."""
        if self.certificate.issuer == self.certificate.subject:
            return ()
        return (self.certificate, *self.issuers)


def self_signed(*hosts: str, common_name: str | None = None) -> Identity:
    """Make a leaf that signs itself, as many devices have."""
    key = _new_key("p256")
    subject = _name(common_name or hosts[0])
    certificate = _certificate(
        subject, key, _leaf_extensions(hosts, "server"), _Issuer(subject, key)
    )
    return Identity(certificate, key)


@dataclass(frozen=True)
class Pki:
    """The cast of most tests.

    A client trusts both roots, as browsers trust many: `server` is who it means
    to reach, `impostor` has a certificate for the same names that is just as
    valid. Only a pin tells them apart.
    """

    root: Authority
    ca: Authority
    server: Identity
    client: Identity
    stranger: Identity  # a client certificate of the same authority
    rogue_root: Authority
    rogue_ca: Authority
    impostor: Identity

    @functools.cached_property
    def trust_pem(self) -> str:
        """Both roots, PEM: for ``cadata=`` and ``cafile=``."""
        return self.root.pem + self.rogue_root.pem

    def trust_file(self, directory: Path) -> Path:
        """Write both roots to a file in *directory*, and return it."""
        path = directory / "roots.pem"
        path.write_text(self.trust_pem, encoding="ascii")
        return path


@functools.cache
def example_pki() -> Pki:
    """Make the cast, once in a process."""
    root = Authority.root("Example Root")
    ca = root.intermediate("Example CA 1")
    rogue_root = Authority.root("Rogue Root")
    rogue_ca = rogue_root.intermediate("Rogue CA 1")
    return Pki(
        root=root,
        ca=ca,
        server=ca.leaf(*LOCAL_HOSTS),
        client=ca.leaf("client.example", purpose="client"),
        stranger=ca.leaf("stranger.example", purpose="client"),
        rogue_root=rogue_root,
        rogue_ca=rogue_ca,
        impostor=rogue_ca.leaf(*LOCAL_HOSTS),
    )


def sha256_pin(spki: bytes) -> str:
    """Return the pin of a DER SubjectPublicKeyInfo, by hashlib."""
    return "sha256/" + base64.b64encode(hashlib.sha256(spki).digest()).decode("ascii")


def _pem(certificates: Iterable[x509.Certificate]) -> str:
    encoded = (c.public_bytes(serialization.Encoding.PEM) for c in certificates)
    return b"".join(encoded).decode("ascii")


def _name(common_name: str, organization: str = "") -> x509.Name:
    values = {
        NameOID.ORGANIZATION_NAME: organization,
        NameOID.COMMON_NAME: common_name,
    }
    return x509.Name([x509.NameAttribute(k, v) for k, v in values.items() if v])


def _new_key(key_type: KeyType) -> PrivateKey:
    if key_type == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


# An extension and whether it is critical.
_Extensions = Sequence[tuple[x509.ExtensionType, bool]]


class _Issuer(NamedTuple):
    """The signer of a certificate, and the issuer that it names."""

    name: x509.Name
    key: PrivateKey
    claimed_key: PrivateKey | None = None


def _certificate(  # noqa: PLR0913, PLR0917 - one for each fact
    subject: x509.Name,
    key: PrivateKey,
    extensions: _Extensions,
    issuer: _Issuer,
    days: int = 2,
    age: int = 0,
) -> x509.Certificate:
    """Build one certificate, fit for OpenSSL's strict checks (RFC 5280)."""
    # A little in the past, so that clocks that disagree do not matter.
    start = datetime.now(UTC) - timedelta(days=age, minutes=10)
    authority = (issuer.claimed_key or issuer.key).public_key()
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority),
            critical=False,
        )
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer.key, hashes.SHA256())


def _ca_extensions() -> _Extensions:
    return [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_key_usage(digital_signature=False, key_cert_sign=True), True),
    ]


def _leaf_extensions(hosts: Sequence[str], purpose: Purpose) -> _Extensions:
    usage = {
        "server": ExtendedKeyUsageOID.SERVER_AUTH,
        "client": ExtendedKeyUsageOID.CLIENT_AUTH,
    }[purpose]
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(digital_signature=True, key_cert_sign=False), True),
        (x509.ExtendedKeyUsage([usage]), False),
        (x509.SubjectAlternativeName([_general_name(host) for host in hosts]), False),
    ]


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(*, digital_signature: bool, key_cert_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
