"""Loopback TLS servers that record what reaches them, and in-memory links.

A test of enforcement checks two things: the client got an error, and the server got
nothing. These servers are for the second. They use only the standard library, so
that their records do not come from pinverify.

`TLSServer` runs in threads and moves TLS records by hand between the socket and an
`ssl.SSLObject`, so it knows each byte on the wire and each byte after decryption.
`MemoryLink` is a client and a server without any socket. Every wait has a timeout,
and `close` ends every thread.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from pki import Authority, Identity

__all__ = [
    "LIMIT",
    "MemoryLink",
    "Record",
    "TLSServer",
    "client_context",
    "new_socket",
    "server_context",
    "unverified_chain",
    "verified_chain",
]

# Seconds. Nothing waits this long unless it is broken.
LIMIT = 20.0

# The types of the messages that bring a certificate (RFC 8446, 4.4.2; RFC 8879,
# 4), and the most bytes of one that brings none: its header, an empty context
# (TLS 1.3 only), an empty list.
_CERTIFICATE_MESSAGES = (11, 25)
_EMPTY_CERTIFICATE = 8


@dataclass
class Record:
    """The bytes of one connection. They are complete when `done` is set."""

    wire: bytearray = field(default_factory=bytearray, repr=False)
    """Every byte that came in, as it came."""
    application: bytearray = field(default_factory=bytearray)
    """These bytes, decrypted, once a handshake was complete."""
    handshake: bool = False
    """The server's handshake came to its end."""
    resumed: bool = False
    """It resumed an earlier session."""
    server_name: str | None = None
    """The name the client asked for (SNI)."""
    client_certificate: bool = False
    """A client certificate arrived, even if the handshake failed after it."""
    error: Exception | None = None
    """The error that ended the connection, if it was not the client's goodbye."""
    done: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> Record:
        """Wait until the connection is over, and return the record."""
        if not self.done.wait(LIMIT):
            msg = "the client left its connection open"
            raise AssertionError(msg)
        return self


def client_context(
    *trusted: Authority,
    identity: Identity | None = None,
    version: ssl.TLSVersion | None = None,
) -> ssl.SSLContext:
    """Make the default client context, trusting *trusted* and nobody else."""
    context = ssl.create_default_context(cadata="".join(a.pem for a in trusted))
    _set_version(context, version)
    if identity is not None:
        identity.load_into(context)
    return context


def server_context(
    identity: Identity,
    *,
    version: ssl.TLSVersion | None = None,
    extra: Iterable[Identity] = (),
    client_authority: Authority | None = None,
    client_mode: ssl.VerifyMode = ssl.CERT_REQUIRED,
) -> ssl.SSLContext:
    """Make a server context.

    Args:
        identity: what it presents.
        version: the only TLS version it speaks.
        extra: certificates appended to the chain it sends, related or not.
        client_authority: who must have issued the clients' certificates.
            Without it, none is asked for.
        client_mode: whether a client certificate must come.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_version(context, version)
    identity.load_into(context, extra)
    if client_authority is not None:
        context.load_verify_locations(cadata=client_authority.pem)
        context.verify_mode = client_mode
    return context


class TLSServer:
    """A TLS server on 127.0.0.1 that echoes, and records each connection."""

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        greeting: bytes = b"",
        echo: bool = True,
        silent: bool = False,
    ) -> None:
        """Start listening.

        Args:
            context: how it speaks TLS; see `server_context`.
            greeting: application data that it sends unasked.
            echo: it sends back what it reads.
            silent: it accepts connections and never says a word.
        """
        self.records: list[Record] = []
        self._context = context
        self._greeting = greeting
        self._echo = echo
        self._silent = silent
        self._current = threading.local()
        self._arrival = threading.Condition()
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._closing = False
        context.sni_callback = self._on_server_name
        # This hook has no public name. Nothing else sees a client certificate
        # whose handshake failed afterwards.
        context._msg_callback = self._on_message  # type: ignore[attr-defined]  # noqa: SLF001
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return ("127.0.0.1", self.port)

    def connect(self) -> socket.socket:
        """Return a plain socket, connected to the server."""
        sock = new_socket()
        sock.connect(self.address)
        return sock

    def record(self, index: int = 0) -> Record:
        """Wait for connection *index* to be over, and return its record."""
        with self._arrival:
            if not self._arrival.wait_for(lambda: len(self.records) > index, LIMIT):
                msg = f"no connection {index} arrived"
                raise AssertionError(msg)
            record = self.records[index]
        return record.wait()

    def close(self) -> None:
        """End the listener and every connection, and wait for the threads."""
        self._closing = True
        # accept() does not return when another thread closes its socket: a last
        # connection wakes it.
        with contextlib.suppress(OSError):
            socket.create_connection(self.address, timeout=LIMIT).close()
        self._accepting.join(LIMIT)
        self._listener.close()
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        assert not self._accepting.is_alive()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing:
                sock.close()
                return
            record = Record()
            thread = threading.Thread(
                target=self._serve, args=(sock, record), daemon=True
            )
            self._sockets.append(sock)
            self._threads.append(thread)
            with self._arrival:
                self.records.append(record)
                self._arrival.notify_all()
            thread.start()

    def _serve(self, sock: socket.socket, record: Record) -> None:
        self._current.record = record
        sock.settimeout(LIMIT)
        try:
            if not self._silent:
                self._speak(sock, record)
        except Exception as error:  # noqa: BLE001  (the record is for the test)
            # Its frames hold the connection, and this its context, which `ssl` does
            # not show to `gc`: all of them would live as long as the process.
            error.__context__ = None
            record.error = error.with_traceback(None)
        finally:
            # Whatever the client sends after a failure belongs on the record,
            # above all what it sends in clear.
            with contextlib.suppress(OSError):
                while data := sock.recv(65536):
                    record.wire += data
            sock.close()
            record.done.set()

    def _speak(self, sock: socket.socket, record: Record) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(incoming, outgoing, server_side=True)

        def send() -> None:
            # The client may be gone. What it sent before is still to be read.
            if data := outgoing.read():
                with contextlib.suppress(OSError):
                    sock.sendall(data)

        def step(operation: Callable[[], Any]) -> Any:  # noqa: ANN401
            """Repeat *operation*, moving bytes, until it has what it needs."""
            while True:
                try:
                    return operation()
                except ssl.SSLWantReadError:
                    send()
                    data = sock.recv(65536)
                    record.wire += data
                    if data:
                        incoming.write(data)
                    else:
                        incoming.write_eof()
                finally:
                    send()

        step(tls.do_handshake)
        record.handshake = True
        record.resumed = tls.session_reused
        if self._greeting:
            step(lambda: tls.write(self._greeting))
        while data := step(lambda: tls.read(65536)):
            record.application += data
            if self._echo:
                tls.write(data)
                send()
        step(tls.unwrap)

    def _on_server_name(
        self, tls: object, server_name: str | None, context: object
    ) -> None:
        del tls, context
        self._current.record.server_name = server_name

    def _on_message(  # noqa: PLR0913, PLR0917  (the ssl module's signature)
        self,
        tls: object,
        direction: str,
        version: object,
        content_type: object,
        message_type: int,
        data: bytes,
    ) -> None:
        del tls, version, content_type
        if direction == "read" and message_type in _CERTIFICATE_MESSAGES:
            self._current.record.client_certificate |= len(data) > _EMPTY_CERTIFICATE


class MemoryLink:
    """A client `ssl.SSLObject` and a plain server one, joined in memory.

    `run` repeats a client's operation, and lets the server answer in between,
    as an event loop would.
    """

    def __init__(
        self,
        client: ssl.SSLContext,
        server: ssl.SSLContext,
        *,
        server_hostname: str | None = "localhost",
        session: ssl.SSLSession | None = None,
        greeting: bytes = b"",
    ) -> None:
        """Wrap both ends. No byte moves yet."""
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(
            self.incoming,
            self.outgoing,
            server_hostname=server_hostname,
            session=session,
        )
        self._server_in, self._server_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.server = server.wrap_bio(
            self._server_in, self._server_out, server_side=True
        )
        self.handshake = False  # the server's came to its end
        self.application = bytearray()  # what the server read
        self._greeting = greeting

    def run(self, operation: Callable[[], Any]) -> Any:  # noqa: ANN401
        """Repeat *operation* until it does not want to read any more."""
        for _ in range(20):
            try:
                result = operation()
            except ssl.SSLWantReadError:
                self.exchange()
            else:
                self.exchange()
                return result
        msg = "the handshake does not come to an end"
        raise AssertionError(msg)

    def exchange(self) -> None:
        """Bring what the client wrote to the server, and its answer back."""
        self._server_in.write(self.outgoing.read())
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            if not self.handshake:
                self.server.do_handshake()
                self.handshake = True
                if self._greeting:
                    self.server.write(self._greeting)
            while data := self.server.read(65536):
                self.application += data
                self.server.write(data)
        self.incoming.write(self._server_out.read())


def new_socket() -> socket.socket:
    """Return a plain TCP socket that is not connected yet.

    It sends each write at once. Otherwise a client that writes and then closes
    may take back what the kernel still holds, and a test would miss a leak.
    """
    sock = socket.socket()
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(LIMIT)
    return sock


def verified_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """Return what OpenSSL calls the verified chain, leaf first, each DER.

    For the control of a test: it shows what an attack can make of it. The
    method is public in Python 3.13 only.
    """
    return _chain(tls, "get_verified_chain")


def unverified_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> list[bytes]:
    """Return the chain as the peer sent it."""
    return _chain(tls, "get_unverified_chain")


def _chain(tls: ssl.SSLSocket | ssl.SSLObject, name: str) -> list[bytes]:
    inner: Any = tls._sslobj  # type: ignore[union-attr]  # noqa: SLF001
    return [
        ssl.PEM_cert_to_DER_cert(certificate.public_bytes())
        for certificate in getattr(inner, name)() or ()
    ]


def _set_version(context: ssl.SSLContext, version: ssl.TLSVersion | None) -> None:
    if version is not None:
        context.minimum_version = version
        context.maximum_version = version
