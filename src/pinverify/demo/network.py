"""The network of the demo: fresh authorities, and one address on 127.0.0.1.

The attacker chooses the server behind that address, as in any network that
somebody else runs. Everything is created when the demo starts and gone when it ends.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import queue
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from pinverify.policy import Pin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["HOST", "Authority", "Identity", "Network"]

HOST = "api.example.com"

_LIMIT = 5.0  # seconds; nothing here waits that long unless it is broken


@dataclass(frozen=True)
class Identity:
    """A certificate, its private key, and the certificates sent after it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    sends: tuple[x509.Certificate, ...] = ()

    @property
    def der(self) -> bytes:
        """The certificate, DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        """The certificate, PEM."""
        return self.certificate.public_bytes(Encoding.PEM).decode("ascii")

    @property
    def pin(self) -> str:
        """The pin of its key."""
        return str(Pin.from_certificate(self.der))

    def sending(self, other: Identity) -> Identity:
        """Return this identity, sending another's certificate as well."""
        return Identity(self.certificate, self.key, (*self.sends, other.certificate))

    def server_context(self) -> ssl.SSLContext:
        """Return a server context with this identity."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        chain = (self.certificate, *self.sends)
        with (
            _as_file(b"".join(c.public_bytes(Encoding.PEM) for c in chain)) as certs,
            _as_file(
                self.key.private_bytes(
                    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
                )
            ) as key,
        ):
            context.load_cert_chain(certs, key)
        return context


@contextlib.contextmanager
def _as_file(data: bytes) -> Iterator[str]:
    """Yield a path from which *data* can be read once.

    The ssl module loads keys from files only. This path is a pipe, so that no key
    is written to the disk, however the demo ends.
    """
    reading, writing = os.pipe()
    try:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)  # a few kilobytes: less than a pipe holds
        yield f"/dev/fd/{reading}"
    finally:
        os.close(reading)


class Authority(Identity):
    """A certificate authority with a root of its own."""

    @classmethod
    def new(cls, name: str) -> Self:
        """Create an authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        return cls(_certificate(subject, key, subject, key, ca=True), key)

    def issue(self, host: str) -> Identity:
        """Issue a certificate for *host*, with a fresh key, to anybody who asks."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self.certificate.subject
        return Identity(_certificate(_name(host), key, issuer, self.key), key)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Name,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
) -> x509.Certificate:
    """Return a certificate that OpenSSL's strict checks accept (RFC 5280)."""
    start = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)  # clocks disagree
    usage = dict.fromkeys(
        (
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "key_cert_sign",
            "crl_sign",
            "encipher_only",
            "decipher_only",
        ),
        False,
    ) | {"key_cert_sign" if ca else "digital_signature": True}
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(**usage), critical=True)
        .add_extension(
            x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if not ca:
        names = x509.SubjectAlternativeName([x509.DNSName(HOST)])
        builder = builder.add_extension(names, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


class Network:
    """One address on 127.0.0.1, and the server that answers there."""

    def __init__(self) -> None:
        """Start to listen; nobody answers yet."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._requests: queue.Queue[bytes] = queue.Queue()
        self._ending = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def lead_to(self, identity: Identity) -> None:
        """Let a server with this identity answer from now on."""
        self._context = identity.server_context()

    def request(self) -> bytes:
        """Return what a client sent inside TLS, the oldest first; each only once."""
        return self._requests.get(timeout=_LIMIT)

    def forget(self) -> None:
        """Drop what clients have sent so far."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._requests.get_nowait()

    def __enter__(self) -> Self:
        """Start to answer."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening, and wait for the thread."""
        self._ending = True
        # A last connection wakes accept().
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, timeout=_LIMIT).close()
        self._thread.join(_LIMIT)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # the listener is closed
            while True:
                plain, _ = self._listener.accept()
                if self._ending:
                    plain.close()
                    return
                self._requests.put(self._answer(plain))

    def _answer(self, plain: socket.socket) -> bytes:
        """Answer one connection; return the request, empty if there was none."""
        request = b""
        plain.settimeout(_LIMIT)
        with (
            plain,
            contextlib.suppress(OSError),  # the client may refuse
            self._context.wrap_socket(plain, server_side=True) as tls,
        ):
            while b"\r\n\r\n" not in request and (data := tls.recv(4096)):
                request += data
            if request:
                tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        return request
