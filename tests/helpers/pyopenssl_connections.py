"""Connections of pyOpenSSL for tests: their contexts, operations and refusals.

`OPERATIONS` has every operation that can be the first on a connection. `connecting`
goes through a socket; for `in_memory`, `Link` and `bridge` carry the bytes.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from OpenSSL import SSL, crypto

import pinverify.tls.pyopenssl
from pinverify import PinningError, PinSet, Policy, Reason
from pinverify.tls.pyopenssl import pin_connection
from pki import Authority, Identity, Pki
from tls_servers import LIMIT, Record, TLSServer

__all__ = [
    "AFTERWARDS",
    "GREETING",
    "OPERATIONS",
    "READS",
    "SECRET",
    "WRITES",
    "Link",
    "Operation",
    "Serve",
    "always",
    "any_mode",
    "any_operation",
    "any_place",
    "assert_nothing_said",
    "bridge",
    "client_of",
    "connecting",
    "echo",
    "for_clients",
    "for_servers",
    "in_memory",
    "pinning",
    "pins_in",
    "raised_by",
    "reason",
    "report_of",
    "session_of",
    "trusting",
    "waiting",
]

SECRET = b"a secret of the application"
GREETING = b"a greeting from the server"
Serve = Callable[..., TLSServer]
Operation = Callable[[SSL.Connection], Any]
VERSIONS = {
    ssl.TLSVersion.TLSv1_2: SSL.TLS1_2_VERSION,
    ssl.TLSVersion.TLSv1_3: SSL.TLS1_3_VERSION,
}
MODES = {"verifying": SSL.VERIFY_PEER, "not verifying": SSL.VERIFY_NONE}
any_mode = pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
any_place = pytest.mark.parametrize("place", ["pins", "ca"])


# ---------------------------------------------------------------------------
# What an application may do first with a connection. Each returns what it read.
# ---------------------------------------------------------------------------


def _recv_into(conn: SSL.Connection) -> bytearray:
    buffer = bytearray(100)
    return buffer[: conn.recv_into(buffer)]


WRITES: dict[str, Operation] = {
    "send": lambda conn: conn.send(SECRET),
    "write": lambda conn: conn.write(SECRET),
    "sendall": lambda conn: conn.sendall(SECRET),
}
READS: dict[str, Operation] = {
    "recv": lambda conn: conn.recv(100),
    "read": lambda conn: conn.read(100),
    "recv_into": _recv_into,
}
OPERATIONS: dict[str, Operation] = {
    "do_handshake": lambda conn: conn.do_handshake(),
    **WRITES,
    **READS,
}
# What reaches OpenSSL, and through it the wire, in other ways.
AFTERWARDS: dict[str, Operation] = {
    **OPERATIONS,
    "shutdown": lambda conn: conn.shutdown(),
    "renegotiate": lambda conn: conn.renegotiate(),
    "get_session": lambda conn: conn.get_session(),
    "connect": lambda conn: conn.connect(("127.0.0.1", 9)),
    "accept": lambda conn: conn.accept(),
}
any_operation = pytest.mark.parametrize(
    "operation", OPERATIONS.values(), ids=OPERATIONS
)


# ---------------------------------------------------------------------------
# Contexts and connections
# ---------------------------------------------------------------------------


def trusting(
    *authorities: Authority,
    method: int = SSL.TLS_CLIENT_METHOD,
    mode: int = SSL.VERIFY_PEER,
    callback: pinverify.tls.pyopenssl.VerifyCallback | None = None,
    identity: Identity | None = None,
    version: ssl.TLSVersion | None = None,
) -> SSL.Context:
    """Make a context that trusts *authorities* and presents *identity*."""
    context = SSL.Context(method)
    store = context.get_cert_store()
    assert store is not None
    for authority in authorities:
        store.add_cert(crypto.X509.from_cryptography(authority.certificate))
    context.set_verify(mode, callback)
    if version is not None:
        context.set_min_proto_version(VERSIONS[version])
        context.set_max_proto_version(VERSIONS[version])
    if identity is not None:
        context.use_certificate(identity.certificate)
        context.use_privatekey(identity.key)
        for issuer in identity.issuers:
            context.add_extra_chain_cert(issuer)
    return context


def for_clients(pki: Pki, **traits: Any) -> SSL.Context:  # noqa: ANN401
    """Make a client's context that trusts both roots."""
    return trusting(pki.root, pki.rogue_root, **traits)


def for_servers(pki: Pki, **traits: Any) -> SSL.Context:  # noqa: ANN401
    """Make a server's context that asks for client certificates."""
    context = trusting(
        pki.root, method=SSL.TLS_SERVER_METHOD, identity=pki.server, **traits
    )
    context.set_session_id(b"tests")  # without it no client with a certificate resumes
    return context


@contextlib.contextmanager
def connecting(
    context: SSL.Context,
    server: TLSServer,
    policy: Policy | PinSet | None = None,
    *,
    name: bytes = b"localhost",
    session: SSL.Session | None = None,
    **options: Any,  # noqa: ANN401
) -> Iterator[SSL.Connection]:
    """Connect to *server* over a socket, with the handshake left for later."""
    sock = server.connect()
    # With a timeout of Python's, pyOpenSSL would not block. This one it obeys.
    sock.settimeout(None)
    limit = struct.pack("ll", int(LIMIT), 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    with sock:
        conn = SSL.Connection(context, sock)
        conn.set_connect_state()
        conn.set_tlsext_host_name(name)
        if session is not None:
            conn.set_session(session)
        if policy is not None:
            assert pin_connection(conn, policy, **options) is conn
        yield conn


def in_memory(
    context: SSL.Context,
    policy: Policy | PinSet | None = None,
    *,
    server: bool = False,
    session: SSL.Session | None = None,
) -> SSL.Connection:
    """Make one end of a connection without a socket."""
    conn = SSL.Connection(context)
    if server:
        conn.set_accept_state()
    else:
        conn.set_connect_state()
        conn.set_tlsext_host_name(b"localhost")
    if session is not None:
        conn.set_session(session)
    if policy is not None:
        pin_connection(conn, policy)
    return conn


def waiting(conn: SSL.Connection) -> bytes:
    """Take what *conn*, in memory, has to send."""
    data = b""
    with contextlib.suppress(SSL.WantReadError):
        while True:
            data += conn.bio_read(65536)
    return data


class Link:
    """A client and a server of pyOpenSSL, joined in memory.

    Both do what they can. What ends one of them is kept, as by an event loop.
    """

    def __init__(self, client: SSL.Connection, server: SSL.Connection) -> None:
        """Join them. No byte moves yet."""
        self.client = client
        self.server = server
        self.heard = b""  # what the server read
        self.answer = b""  # what the client read
        self.errors: dict[str, Exception] = {}

    def talk(self, first: Operation = WRITES["send"]) -> None:
        """Let the client do something *first*, send SECRET, and the server echo."""
        todo = [first] if first in WRITES.values() else [first, WRITES["send"]]
        for _ in range(10):
            with self._keeping("client"):
                while todo:
                    todo[0](self.client)
                    del todo[0]
                self.answer += self.client.recv(100)
            self._carry(self.client, self.server)
            with self._keeping("server"):
                data = self.server.recv(100)
                self.heard += data
                self.server.send(data)
            self._carry(self.server, self.client)

    def part(self) -> SSL.Session:
        """Say goodbye: OpenSSL spoils the session otherwise. Return it."""
        session = self.client.get_session()
        assert session is not None
        for conn in (self.client, self.server):
            conn.shutdown()
        return session

    @contextlib.contextmanager
    def _keeping(self, who: str) -> Iterator[None]:
        try:
            yield
        except SSL.WantReadError:
            pass
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.errors.setdefault(who, error)

    @staticmethod
    def _carry(sender: SSL.Connection, receiver: SSL.Connection) -> None:
        if data := waiting(sender):
            receiver.bio_write(data)


def bridge(conn: SSL.Connection, server: TLSServer, operation: Operation) -> None:
    """Do *operation* on *conn*, in memory, carrying its bytes to *server*.

    What *conn* still has to send when the operation is over, or has failed, is
    carried as well, as event loops do.
    """
    with server.connect() as sock:
        try:
            while True:
                try:
                    operation(conn)
                except SSL.WantReadError:
                    sock.sendall(waiting(conn))
                    conn.bio_write(sock.recv(65536))
                else:
                    return
        finally:
            sock.sendall(waiting(conn))


def pinning(pki: Pki) -> Policy:
    """Pin the key of `pki.server` for localhost."""
    return Policy({"localhost": [pki.server.pin]}, unpinned="reject")


def pins_in(place: str, pin: str) -> PinSet:
    """Make a PinSet with one pin, in the list of the name *place*."""
    lists: dict[str, Any] = {place: [pin]}
    return PinSet(**lists)


def echo(conn: SSL.Connection, data: bytes = SECRET) -> None:
    """Send *data* to an echo server and expect it back."""
    conn.sendall(data)
    back = b""
    while len(back) < len(data):
        back += conn.recv(len(data) - len(back))
    assert back == data


def assert_nothing_said(record: Record) -> None:
    """Check that no byte of the application came, encrypted or in clear."""
    assert record.application == b""
    assert SECRET not in record.wire


def reason(error: BaseException | None) -> Reason:
    """Return why *error* was raised."""
    assert isinstance(error, PinningError)
    assert error.report is not None
    assert not error.report.accepted
    return error.report.reason


def raised_by(operation: Operation, conn: SSL.Connection) -> Exception | None:
    """Do *operation*, and return what it raised."""
    try:
        operation(conn)
    except Exception as error:  # noqa: BLE001 - which it is, is the question
        return error
    return None


def always(*_: object) -> bool:
    """Accept every certificate, as many callbacks on the net do."""
    return True


def report_of(conn: SSL.Connection) -> Any:  # noqa: ANN401
    """Return the decision about a pinned connection."""
    return conn.pin_report


def session_of(
    context: SSL.Context,
    server: TLSServer,
    policy: Policy | PinSet | None = None,
    **options: Any,  # noqa: ANN401
) -> SSL.Session:
    """Make a session with *server* that can be resumed.

    OpenSSL spoils the session of a connection that ends without a goodbye, as a
    refused one does: each connection takes its own.
    """
    with connecting(context, server, policy, **options) as conn:
        echo(conn)  # in TLS 1.3 the ticket comes with the first data
        conn.shutdown()
        session = conn.get_session()
        assert session is not None
        return session


def client_of(pki: Pki, identity: Identity | None, **traits: Any) -> SSL.Context:  # noqa: ANN401
    """Return the context of a client with this certificate, or without any."""
    return trusting(pki.root, identity=identity, **traits)
