"""A TLS server that sends its certificates byte for byte, however malformed.

OpenSSL parses a certificate before it sends it, and encodes it again. So this module
implements the record layer and both handshakes itself, for one cipher suite of each
version, one group and one kind of key:

    TLS 1.2 (RFC 5246)  ECDHE-ECDSA-AES128-GCM-SHA256
    TLS 1.3 (RFC 8446)  AES128-GCM-SHA256

both with X25519 and ECDSA on P-256. The server is for tests: it checks nothing that
its peer says, answers one connection after the other, and records what they sent.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import socket
import ssl
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import (
    X25519PrivateKey,
    X25519PublicKey,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["Visit", "WireServer"]

LIMIT = 20.0  # seconds; nothing waits this long unless it is broken

# Content types of records (RFC 8446, 5.1) and types of handshake messages (4).
CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, APPLICATION_DATA = 20, 21, 22, 23
CLIENT_HELLO, SERVER_HELLO, ENCRYPTED_EXTENSIONS, CERTIFICATE = 1, 2, 8, 11
SERVER_KEY_EXCHANGE, SERVER_HELLO_DONE, CERTIFICATE_VERIFY, FINISHED = 12, 14, 15, 20

TLS_1_2 = b"\x03\x03"
X25519 = b"\x00\x1d"
ECDSA_P256_SHA256 = b"\x04\x03"
ECDHE_ECDSA_AES128_GCM_SHA256 = b"\xc0\x2b"
AES128_GCM_SHA256 = b"\x13\x01"

SUPPORTED_VERSIONS, KEY_SHARE, RENEGOTIATION_INFO = (
    b"\x00\x2b",
    b"\x00\x33",
    b"\xff\x01",
)


@dataclass
class Visit:
    """The bytes of one connection. They are complete when `done` is set."""

    handshake: bool = False
    """The client's Finished came: it has seen nothing to object to."""
    application: bytearray = field(default_factory=bytearray)
    """The bytes that it sent under the keys of the connection."""
    done: threading.Event = field(default_factory=threading.Event)


class WireServer:
    """Listens on 127.0.0.1 and shows each client the same certificates."""

    def __init__(
        self,
        chain: Sequence[bytes],
        key: ec.EllipticCurvePrivateKey,
        version: ssl.TLSVersion,
    ) -> None:
        """Start listening.

        Args:
            chain: what the Certificate message holds, leaf first.
            key: the private key, on P-256, of the first of them.
            version: the only TLS version that is spoken.
        """
        self.visits: list[Visit] = []
        self._chain = chain
        self._key = key
        self._speak = _speak_1_2 if version is ssl.TLSVersion.TLSv1_2 else _speak_1_3
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the listener, and wait for the thread."""
        self._closing = True
        # accept() does not return when another thread closes its socket: a last
        # connection wakes it.
        socket.create_connection(self.address, timeout=LIMIT).close()
        self._thread.join(LIMIT)
        self._listener.close()
        assert not self._thread.is_alive()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the server."""
        self.close()

    def _serve(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            with sock:
                if self._closing:
                    return
                sock.settimeout(LIMIT)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                visit = Visit()
                self.visits.append(visit)
                # Most clients leave in the middle; whether they do is the question.
                with contextlib.suppress(OSError, EOFError, Goodbye):
                    self._speak(Records(sock), self._chain, self._key, visit)
                visit.done.set()


# ---- records -------------------------------------------------------------------


class Goodbye(Exception):  # noqa: N818 - no error: the client has said something else
    """The client sent an alert."""


@dataclass
class Protection:
    """AES-128-GCM for one direction: how a record becomes unreadable, and back."""

    key: bytes
    iv: bytes
    version: ssl.TLSVersion
    sequence: int = 0

    def seal(self, content_type: int, data: bytes) -> bytes:
        """Return the record, header and all."""
        if self.version is ssl.TLSVersion.TLSv1_2:
            explicit = self.sequence.to_bytes(8, "big")
            extra = self._extra_1_2(content_type, len(data))
            sealed = AESGCM(self.key).encrypt(self.iv + explicit, data, extra)
            self.sequence += 1
            return _header(content_type, 8 + len(sealed)) + explicit + sealed
        header = _header(APPLICATION_DATA, len(data) + 1 + 16)
        inner = data + bytes((content_type,))
        return header + AESGCM(self.key).encrypt(self._nonce_1_3(), inner, header)

    def open(self, header: bytes, data: bytes) -> tuple[int, bytes]:
        """Return the content type and the content."""
        if self.version is ssl.TLSVersion.TLSv1_2:
            extra = self._extra_1_2(header[0], len(data) - 8 - 16)
            self.sequence += 1
            nonce = self.iv + data[:8]
            return header[0], AESGCM(self.key).decrypt(nonce, data[8:], extra)
        inner = AESGCM(self.key).decrypt(self._nonce_1_3(), data, header).rstrip(b"\0")
        return inner[-1], inner[:-1]

    def _extra_1_2(self, content_type: int, length: int) -> bytes:
        return self.sequence.to_bytes(8, "big") + _header(content_type, length)

    def _nonce_1_3(self) -> bytes:
        number = self.sequence.to_bytes(12, "big")
        self.sequence += 1
        return bytes(a ^ b for a, b in zip(self.iv, number, strict=True))


class Records:
    """A connection as TLS sees it: records, and handshake messages in them."""

    def __init__(self, sock: socket.socket) -> None:
        """Begin in clear."""
        self.reading: Protection | None = None
        self.writing: Protection | None = None
        self.transcript = b""
        self._sock = sock
        self._file = sock.makefile("rb")
        self._handshake = b""

    def receive(self) -> tuple[int, bytes]:
        """Return the next record's content type and content.

        Raises:
            EOFError: there is none.
            Goodbye: it is an alert.
        """
        header = self._exactly(5)
        data = self._exactly(int.from_bytes(header[3:], "big"))
        content_type = header[0]
        # TLS 1.3 sends a ChangeCipherSpec in clear, which says nothing. An alert
        # may be in clear as well, and ends the connection whatever it says.
        in_clear = self.reading is None or content_type in {CHANGE_CIPHER_SPEC, ALERT}
        if self.reading is not None and not in_clear:
            content_type, data = self.reading.open(header, data)
        if content_type == ALERT:
            raise Goodbye
        return content_type, data

    def receive_handshake(self) -> bytes:
        """Return the body of the next handshake message."""
        while len(self._handshake) < 4 or len(self._handshake) < self._message_end():
            content_type, data = self.receive()
            if content_type == HANDSHAKE:
                self._handshake += data
        end = self._message_end()
        message, self._handshake = self._handshake[:end], self._handshake[end:]
        self.transcript += message
        return message[4:]

    def send(self, content_type: int, data: bytes) -> None:
        """Send a record."""
        if self.writing is not None:
            self._sock.sendall(self.writing.seal(content_type, data))
        else:
            self._sock.sendall(_header(content_type, len(data)) + data)

    def send_handshake(self, message_type: int, body: bytes) -> None:
        """Send a handshake message."""
        message = bytes((message_type,)) + _sized(3, body)
        self.transcript += message
        self.send(HANDSHAKE, message)

    def transcript_hash(self) -> bytes:
        """Return the hash of all handshake messages so far."""
        return hashlib.sha256(self.transcript).digest()

    def _message_end(self) -> int:
        return 4 + int.from_bytes(self._handshake[1:4], "big")

    def _exactly(self, length: int) -> bytes:
        data = self._file.read(length)
        if len(data) < length:
            raise EOFError
        return data


def _header(content_type: int, length: int) -> bytes:
    return bytes((content_type,)) + TLS_1_2 + length.to_bytes(2, "big")


def _sized(width: int, data: bytes) -> bytes:
    """Return *data* behind its length, which takes *width* bytes."""
    return len(data).to_bytes(width, "big") + data


# ---- what both handshakes share ------------------------------------------------


@dataclass(frozen=True)
class ClientHello:
    """The parts of a ClientHello that an answer needs."""

    random: bytes
    session_id: bytes
    extensions: dict[bytes, bytes]

    @classmethod
    def parse(cls, body: bytes) -> ClientHello:
        """Take it apart (RFC 8446, 4.1.2)."""
        random, rest = body[2:34], body[34:]
        session_id, rest = _take(1, rest)
        _cipher_suites, rest = _take(2, rest)
        _compression, rest = _take(1, rest)
        left, _ = _take(2, rest)
        extensions = {}
        while left:
            name = left[:2]
            extensions[name], left = _take(2, left[2:])
        return cls(random, session_id, extensions)

    def x25519_share(self) -> bytes:
        """Return the client's X25519 key of TLS 1.3."""
        left, _ = _take(2, self.extensions[KEY_SHARE])
        while left:
            group = left[:2]
            share, left = _take(2, left[2:])
            if group == X25519:
                return share
        msg = "the client sends no X25519 key"
        raise AssertionError(msg)


def _take(width: int, data: bytes) -> tuple[bytes, bytes]:
    """Split *data* behind a vector whose length takes *width* bytes."""
    end = width + int.from_bytes(data[:width], "big")
    return data[width:end], data[end:]


def _server_hello(
    random: bytes, session_id: bytes, suite: bytes, extensions: bytes
) -> bytes:
    hello = TLS_1_2 + random + _sized(1, session_id) + suite + b"\0"
    return hello + _sized(2, extensions)


def _extension(name: bytes, data: bytes) -> bytes:
    return name + _sized(2, data)


def _public_bytes(key: X25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _record_application_data(records: Records, visit: Visit) -> None:
    while True:
        content_type, data = records.receive()
        if content_type == APPLICATION_DATA:
            visit.application += data


# ---- TLS 1.2 -------------------------------------------------------------------


def _speak_1_2(
    records: Records,
    chain: Sequence[bytes],
    key: ec.EllipticCurvePrivateKey,
    visit: Visit,
) -> None:
    """Be the server of a TLS 1.2 connection (RFC 5246, 7.3; RFC 8422)."""
    hello = ClientHello.parse(records.receive_handshake())
    random, ephemeral = os.urandom(32), X25519PrivateKey.generate()
    secure_renegotiation = _extension(RENEGOTIATION_INFO, b"\0")
    suite = ECDHE_ECDSA_AES128_GCM_SHA256
    records.send_handshake(
        SERVER_HELLO, _server_hello(random, b"", suite, secure_renegotiation)
    )
    certificates = b"".join(_sized(3, certificate) for certificate in chain)
    records.send_handshake(CERTIFICATE, _sized(3, certificates))
    parameters = b"\x03" + X25519 + _sized(1, _public_bytes(ephemeral))
    signed = hello.random + random + parameters
    signature = key.sign(signed, ec.ECDSA(hashes.SHA256()))
    records.send_handshake(
        SERVER_KEY_EXCHANGE, parameters + ECDSA_P256_SHA256 + _sized(2, signature)
    )
    records.send_handshake(SERVER_HELLO_DONE, b"")

    share, _ = _take(1, records.receive_handshake())
    shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(share))
    master = _prf(shared, b"master secret" + hello.random + random, 48)
    keys = _prf(master, b"key expansion" + random + hello.random, 40)
    version = ssl.TLSVersion.TLSv1_2
    content_type, _ = records.receive()
    assert content_type == CHANGE_CIPHER_SPEC
    records.reading = Protection(keys[:16], keys[32:36], version)
    records.receive_handshake()
    visit.handshake = True
    records.send(CHANGE_CIPHER_SPEC, b"\x01")
    records.writing = Protection(keys[16:32], keys[36:40], version)
    finished = _prf(master, b"server finished" + records.transcript_hash(), 12)
    records.send_handshake(FINISHED, finished)
    _record_application_data(records, visit)


def _prf(secret: bytes, label_and_seed: bytes, length: int) -> bytes:
    """Return bytes of the pseudorandom function (RFC 5246, 5)."""
    out, a = b"", label_and_seed
    while len(out) < length:
        a = _hmac(secret, a)
        out += _hmac(secret, a + label_and_seed)
    return out[:length]


# ---- TLS 1.3 -------------------------------------------------------------------


def _speak_1_3(
    records: Records,
    chain: Sequence[bytes],
    key: ec.EllipticCurvePrivateKey,
    visit: Visit,
) -> None:
    """Be the server of a TLS 1.3 connection (RFC 8446, 2 and 7.1)."""
    hello = ClientHello.parse(records.receive_handshake())
    ephemeral = X25519PrivateKey.generate()
    extensions = _extension(SUPPORTED_VERSIONS, b"\x03\x04")
    extensions += _extension(KEY_SHARE, X25519 + _sized(2, _public_bytes(ephemeral)))
    answer = (os.urandom(32), hello.session_id, AES128_GCM_SHA256, extensions)
    records.send_handshake(SERVER_HELLO, _server_hello(*answer))
    records.send(CHANGE_CIPHER_SPEC, b"\x01")

    share = X25519PublicKey.from_public_bytes(hello.x25519_share())
    nothing = hashlib.sha256(b"").digest()
    early = _hmac(bytes(32), bytes(32))
    handshake = _hmac(_derive(early, b"derived", nothing), ephemeral.exchange(share))
    so_far = records.transcript_hash()
    of_client = _derive(handshake, b"c hs traffic", so_far)
    of_server = _derive(handshake, b"s hs traffic", so_far)
    records.reading, records.writing = _traffic(of_client), _traffic(of_server)

    records.send_handshake(ENCRYPTED_EXTENSIONS, _sized(2, b""))
    entries = b"".join(_sized(3, certificate) + _sized(2, b"") for certificate in chain)
    records.send_handshake(CERTIFICATE, _sized(1, b"") + _sized(3, entries))
    context = b" " * 64 + b"TLS 1.3, server CertificateVerify\0"
    signature = key.sign(context + records.transcript_hash(), ec.ECDSA(hashes.SHA256()))
    records.send_handshake(CERTIFICATE_VERIFY, ECDSA_P256_SHA256 + _sized(2, signature))
    finished = _hmac(_derive(of_server, b"finished"), records.transcript_hash())
    records.send_handshake(FINISHED, finished)
    master = _hmac(_derive(handshake, b"derived", nothing), bytes(32))
    so_far = records.transcript_hash()

    records.receive_handshake()
    visit.handshake = True
    records.reading = _traffic(_derive(master, b"c ap traffic", so_far))
    records.writing = _traffic(_derive(master, b"s ap traffic", so_far))
    _record_application_data(records, visit)


def _traffic(secret: bytes) -> Protection:
    return Protection(
        _derive(secret, b"key", length=16),
        _derive(secret, b"iv", length=12),
        ssl.TLSVersion.TLSv1_3,
    )


def _derive(
    secret: bytes, label: bytes, context: bytes = b"", length: int = 32
) -> bytes:
    """Return HKDF-Expand-Label (RFC 8446, 7.1), which is one block here."""
    info = length.to_bytes(2, "big") + _sized(1, b"tls13 " + label) + _sized(1, context)
    return _hmac(secret, info + b"\x01")[:length]
