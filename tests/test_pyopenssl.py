"""Pins enforced on pyOpenSSL connections: attacks that must fail, uses that work.

The cast stands in pki.py: `pki.server` is the peer the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. An attack is first run without pins, where it succeeds:
so no test here can pass by doing nothing.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import pickle
import select
import socket
import ssl
import struct
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from OpenSSL import SSL, crypto

import pinverify.memo
import pinverify.pyopenssl
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Report,
    find_pinning_error,
)
from pinverify.pyopenssl import PinningSSLError, pin_connection, verify
from pki import Authority, Identity, Pki, self_signed
from tls_servers import LIMIT, Record, TLSServer, client_context, server_context

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
    callback: pinverify.pyopenssl.VerifyCallback | None = None,
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


# ---------------------------------------------------------------------------
# The right pin: everything works as without
# ---------------------------------------------------------------------------


@any_mode
@any_operation
def test_a_pinned_connection_works_in_every_way(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation, mode: int
) -> None:
    """Whatever an application does first, it is done, and the data flows."""
    server = serve(server_context(pki.server, version=version), greeting=GREETING)
    context = for_clients(pki, mode=mode)
    with connecting(context, server, PinSet(leaf=[pki.server.pin])) as conn:
        assert operation(conn) in (None, len(SECRET), GREETING)
        assert conn.get_peer_certificate(as_cryptography=True) == pki.server.certificate
        if operation not in READS.values():
            assert conn.recv(100) == GREETING
        if operation in WRITES.values():
            assert conn.recv(100) == SECRET
        echo(conn, bytes(range(256)) * 4096)
        conn.shutdown()
    assert server.record().error is None


def test_methods_taken_before_the_handshake_work_after_it(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Bound methods that a caller keeps are gated, and then work."""
    good = serve(server_context(pki.server, version=version))
    bad = serve(server_context(pki.impostor, version=version))
    context = for_clients(pki)
    with connecting(context, good, pinning(pki)) as conn:
        do_handshake, sendall, recv = conn.do_handshake, conn.sendall, conn.recv
        for _ in range(3):
            sendall(SECRET)
            assert recv(100) == SECRET
            do_handshake()
    with connecting(context, bad, pinning(pki)) as conn:
        sendall, recv, shutdown = conn.sendall, conn.recv, conn.shutdown
        for _ in range(3):
            with pytest.raises(PinningError):
                sendall(SECRET)
            with pytest.raises(PinningError):
                recv(100)
            with pytest.raises(PinningError):
                shutdown()
    assert_nothing_said(bad.record())


def wait(conn: SSL.Connection, operation: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Repeat *operation* on a non-blocking connection until it is done."""
    while True:
        try:
            return operation()
        except SSL.WantReadError:
            assert select.select([conn], [], [], LIMIT)[0]


def test_a_pinned_connection_works_without_blocking(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A non-blocking client gets WantReadError, and then its data."""
    server = serve(server_context(pki.server, version=version))
    with connecting(for_clients(pki), server, pinning(pki)) as conn:
        conn.settimeout(0)
        assert wait(conn, lambda: conn.send(SECRET)) == len(SECRET)
        assert wait(conn, lambda: conn.recv(100)) == SECRET


def test_a_refused_connection_leaves_an_event_loop_its_socket(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A loop watches the number of a non-blocking socket until it closes it itself.

    Closed behind its back, the number is soon another socket's, and the loop
    watches that one. So it is shut down, and the rest is for the loop.
    """
    server = serve(server_context(pki.impostor, version=version))
    with connecting(for_clients(pki), server, pinning(pki)) as conn:
        conn.settimeout(0)
        with pytest.raises(PinningError):
            wait(conn, lambda: conn.send(SECRET))
        assert conn.fileno() != -1
        with pytest.raises(PinningError):
            conn.send(SECRET)
        assert_nothing_said(server.record())  # it saw the end of the connection


def test_a_pkix_failure_stays_a_pkix_failure(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """What validation refuses is not called a mismatch of pins."""
    server = serve(server_context(pki.impostor, version=version))
    with connecting(trusting(pki.root), server, pinning(pki)) as conn:
        for _ in range(2):
            with pytest.raises(SSL.Error) as caught:
                conn.send(SECRET)
            assert not isinstance(caught.value, PinningError)
    assert_nothing_said(server.record())


def test_the_chain_that_is_decided_about_is_the_verified_one(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """What the callback collects is what OpenSSL calls the verified chain."""
    server = serve(server_context(pki.server, version=version, extra=[pki.rogue_ca]))
    with connecting(for_clients(pki), server, PinSet([pki.root.pin])) as conn:
        assert report_of(conn) is None
        echo(conn)
        assert conn.pin_error is None
        report = report_of(conn)
        assert report.accepted
        assert report.depth == 2
        verified = conn.get_verified_chain(as_cryptography=True)
        assert verified == [c.certificate for c in (pki.server, pki.ca, pki.root)]
        expected = [identity.pin for identity in (pki.server, pki.ca, pki.root)]
        assert [str(pin) for pin in report.chain] == expected


def report_of(conn: SSL.Connection) -> Any:  # noqa: ANN401
    """Return the decision about a pinned connection."""
    return conn.pin_report


# ---------------------------------------------------------------------------
# Pitfalls 1 to 3: no way around the check
# ---------------------------------------------------------------------------


@any_mode
@any_operation
def test_pitfall_1_no_operation_comes_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation, mode: int
) -> None:
    """Every operation checks the pin first.

    OpenSSL does the handshake inside of reads and writes too, and under
    VERIFY_NONE it ignores what a callback says: with a callback alone, or a check
    in do_handshake() alone, the impostor gets the secret.
    """
    context = for_clients(pki, mode=mode)
    server = serve(
        server_context(pki.impostor, version=version), greeting=GREETING, echo=False
    )
    with connecting(context, server) as conn:
        assert operation(conn) in (None, len(SECRET), GREETING)
        conn.shutdown()
    if operation in WRITES.values():
        assert server.record(0).application == SECRET

    with connecting(context, server, pinning(pki)) as conn:
        with pytest.raises(PinningError) as caught:
            operation(conn)
        assert reason(caught.value) is Reason.MISMATCH
        assert conn.fileno() == -1
    assert_nothing_said(server.record(1))


@any_mode
@any_operation
def test_pitfall_2_a_connection_in_memory_checks_before_it_writes(
    pki: Pki, version: ssl.TLSVersion, operation: Operation, mode: int
) -> None:
    """send() without do_handshake() checks the pin in memory too.

    Without that, whoever carries the bytes (Twisted, mitmproxy, TLS in TLS) gets
    TLS without pins: its Finished and its data wait there to be sent.
    """
    impostor = trusting(
        method=SSL.TLS_SERVER_METHOD,
        mode=SSL.VERIFY_NONE,
        identity=pki.impostor,
        version=version,
    )
    context = for_clients(pki, mode=mode)
    control = Link(in_memory(context), in_memory(impostor, server=True))
    control.talk()
    assert control.heard == control.answer == SECRET

    link = Link(in_memory(context, pinning(pki)), in_memory(impostor, server=True))
    link.talk(operation)
    assert reason(link.errors.get("client")) is Reason.MISMATCH
    assert link.heard == b""
    assert waiting(link.client) == b""
    assert link.server.get_peer_finished() is None


@any_mode
@pytest.mark.parametrize("again", AFTERWARDS.values(), ids=AFTERWARDS)
def test_pitfall_3_a_refused_connection_stays_refused(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, again: Operation, mode: int
) -> None:
    """An application that swallows the error gets it again, from every method.

    A check that is done once, and whose failure is forgotten, opens the
    connection to the second call.
    """
    server = serve(server_context(pki.impostor, version=version), greeting=GREETING)
    context = for_clients(pki, mode=mode)
    with connecting(context, server, pinning(pki)) as conn:
        with pytest.raises(PinningError) as first:
            conn.do_handshake()
        for _ in range(2):
            assert raised_by(again, conn) is first.value is conn.pin_error
    assert_nothing_said(server.record())


def test_pitfall_3_a_refused_connection_does_not_write_to_another_socket(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """OpenSSL knows the socket by its number, and a closed one's is given away.

    shutdown(), which careful applications call in any case, would write a TLS
    record into whatever connection has the number then.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = for_clients(pki, mode=SSL.VERIFY_NONE)
    with connecting(context, server, pinning(pki)) as conn:
        number = conn.fileno()
        with pytest.raises(PinningError):
            conn.do_handshake()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            assert number in (ours.fileno(), theirs.fileno())
            for operation in AFTERWARDS.values():
                raised_by(operation, conn)
            for end in (ours, theirs):
                end.settimeout(0)
                with pytest.raises(BlockingIOError):
                    end.recv(1)


@pytest.mark.parametrize(
    "again",
    [
        lambda conn: conn.set_connect_state(),
        lambda conn: conn.set_accept_state(),
        lambda conn: conn.connect(("127.0.0.1", 9)),
        lambda conn: conn.connect_ex(("127.0.0.1", 9)),
    ],
    ids=["set_connect_state", "set_accept_state", "connect", "connect_ex"],
)
def test_a_decided_connection_does_no_other_handshake(
    pki: Pki, version: ssl.TLSVersion, again: Operation
) -> None:
    """Choosing the side again makes OpenSSL begin again, with whatever certificate.

    The peer goes along with it here. Nobody would look at what it shows.
    """
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD,
        mode=SSL.VERIFY_NONE,
        identity=pki.server,
        version=version,
    )
    control = Link(in_memory(for_clients(pki)), in_memory(backend, server=True))
    control.talk()
    first = control.client.get_finished()
    control.client.set_connect_state()
    control.server.set_accept_state()
    control.talk()
    assert control.heard == 2 * SECRET
    assert control.client.get_finished() != first

    client = in_memory(for_clients(pki), pinning(pki))
    link = Link(client, in_memory(backend, server=True))
    link.talk()
    with pytest.raises(PinningError, match="needs another connection"):
        again(client)
    link.talk()
    assert link.heard == 2 * SECRET


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
def test_a_refused_peer_gets_an_alert(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, *, memory: bool
) -> None:
    """The handshake ends as TLS wants it, so that the peer can tell why."""
    server = serve(server_context(pki.impostor, version=version))
    context = for_clients(pki)
    if memory:
        conn = in_memory(context, pinning(pki))
        with pytest.raises(PinningError):
            bridge(conn, server, OPERATIONS["do_handshake"])
    else:
        with (
            connecting(context, server, pinning(pki)) as conn,
            pytest.raises(PinningError),
        ):
            conn.do_handshake()
    record = server.record()
    assert not record.handshake
    assert "alert" in str(record.error)


# ---------------------------------------------------------------------------
# Pitfalls 5, 6, 7 and 23: which chain
# ---------------------------------------------------------------------------


@any_place
def test_pitfall_5_a_certificate_that_is_only_appended_counts_for_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A peer appends any public certificate to its chain: CVE-2016-2402.

    Who looks for the pin in get_peer_cert_chain() finds it there.
    """
    server = serve(server_context(pki.impostor, version=version, extra=[pki.ca]))
    context = for_clients(pki)
    with connecting(context, server) as conn:
        conn.do_handshake()
        sent = conn.get_peer_cert_chain(as_cryptography=True)
        assert sent is not None
        assert pki.ca.certificate in sent
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@any_place
def test_pitfall_6_without_verification_an_authority_proves_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A forged leaf names the pinned authority, which never signed it.

    Under VERIFY_NONE get_verified_chain() ends at that authority all the same:
    nobody has looked at the signature.
    """
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    context = for_clients(pki, mode=SSL.VERIFY_NONE)
    with connecting(context, server) as conn:
        conn.do_handshake()
        chain = conn.get_verified_chain(as_cryptography=True)
        assert chain is not None
        assert pki.ca.certificate in chain
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@pytest.mark.parametrize(
    "traits",
    [{"mode": SSL.VERIFY_NONE}, {"callback": always}],
    ids=["not verifying", "accepting"],
)
def test_pitfall_6_without_verification_a_pinned_leaf_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, traits: dict[str, Any]
) -> None:
    """A device that signs its own certificate is pinned by its key.

    The handshake proves the key, so this is sound. The twin with another key is
    refused.
    """
    device, twin = self_signed("localhost"), self_signed("localhost")
    pins = PinSet(leaf=[device.pin])
    context = for_clients(pki, **traits)
    callback = traits.get("callback")
    server = serve(server_context(device, version=version))
    with connecting(context, server, pins, callback=callback) as conn:
        echo(conn)
    server = serve(server_context(twin, version=version))
    with (
        connecting(context, server, pins, callback=callback) as conn,
        pytest.raises(PinningError),
    ):
        conn.send(SECRET)
    assert_nothing_said(server.record())


@any_place
def test_pitfall_7_verification_turned_on_too_late_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The verify mode after the handshake is not the one that it was done under.

    Here it is turned on by the application's callback, which has accepted the
    forged chain before.
    """
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    context = for_clients(pki, mode=SSL.VERIFY_NONE, callback=always)
    asked: list[int] = []

    def toggling(conn: SSL.Connection, _: object, error: int, *rest: int) -> bool:
        asked.append(error)
        if rest[0] == 0:
            conn.set_verify(SSL.VERIFY_PEER, toggling)
        return True

    with connecting(context, server, pins_in(place, pki.ca.pin), callback=toggling) as (
        conn
    ):
        with pytest.raises(PinningError):
            conn.send(SECRET)
        assert conn.get_verify_mode() == SSL.VERIFY_PEER
    assert any(asked)
    assert_nothing_said(server.record())


@any_place
@pytest.mark.parametrize("then", [SSL.VERIFY_PEER, SSL.VERIFY_NONE], ids=["on", "off"])
def test_pitfall_7_verification_toggled_before_the_decision_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str, then: int
) -> None:
    """Verification must have been on in the handshake, and still be.

    Here it is toggled at the last moment, with a chain that is in order.
    """
    server = serve(server_context(pki.server, version=version))
    toggled: list[int] = []

    def toggling(conn: SSL.Connection, where: int, _: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            conn.set_verify(then)
            toggled.append(then)

    first = SSL.VERIFY_NONE if then else SSL.VERIFY_PEER
    context = for_clients(pki, mode=first)
    context.set_info_callback(toggling)
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert toggled
    assert_nothing_said(server.record())
    with connecting(context, server, PinSet(leaf=[pki.server.pin])) as conn:
        echo(conn)


@any_place
@pytest.mark.parametrize("when", ["on the context", "before", "after"])
def test_pitfall_23_a_callback_that_always_returns_true_leaves_the_leaf_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str, when: str
) -> None:
    """The application accepts what OpenSSL refuses: then nobody verified the chain.

    A forged leaf, which merely names the pinned authority, would pass. That the
    mode is VERIFY_PEER says nothing.
    """
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    context = for_clients(pki, callback=always if when == "on the context" else None)
    pins = pins_in(place, pki.ca.pin)
    given = None if when == "after" else always
    with connecting(context, server, pins, callback=given) as conn:
        if when == "after":
            conn.set_verify(SSL.VERIFY_PEER, always)
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())
    # The same callback has nothing to accept here, and the chain counts.
    good = serve(server_context(pki.server, version=version))
    with connecting(context, good, pins, callback=always) as conn:
        echo(conn)


@any_place
def test_pitfall_23_an_objection_that_comes_after_the_leaf_counts(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """OpenSSL looks at name constraints when it has called back with the leaf.

    A decision at depth 0, with every earlier call in order, comes too early: the
    authority is not allowed to issue for this host, and the application's
    callback accepts that.
    """
    limited = _limited_to(pki.root, "example.com")
    server = serve(
        server_context(
            limited.leaf("localhost"), version=version, client_authority=pki.root
        )
    )
    calls: list[tuple[int, int]] = []

    def accepting(_: object, __: object, ___: int, depth: int, ok: int) -> bool:
        calls.append((depth, ok))
        return True

    context = for_clients(pki, callback=accepting, identity=pki.client)
    with connecting(context, server) as conn:
        echo(conn)
        conn.shutdown()
    assert calls == [(2, 1), (1, 1), (0, 1), (0, 0)]
    assert server.record(0).client_certificate

    pins = pins_in(place, limited.pin)
    with connecting(context, server, pins, callback=accepting) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))
    assert not server.record(1).client_certificate


def _limited_to(root: Authority, name: str) -> Authority:
    """Make an authority under *root* that may issue for *name* alone."""
    plain = root.intermediate("Limited CA 1")
    old = plain.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(plain.key.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    names = x509.NameConstraints([x509.DNSName(name)], None)
    builder = builder.add_extension(names, critical=True)
    return Authority(builder.sign(root.key, hashes.SHA256()), plain.key)


def test_the_application_is_asked_first(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The application's callback sees each certificate, and its no is final.

    Its refusal is its own, not a mismatch of pins. If it raises, that is a no.
    """
    server = serve(server_context(pki.server, version=version))
    seen: list[tuple[bytes, int, int, int]] = []

    def callback(
        conn: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        assert isinstance(conn, SSL.Connection)
        der = cert.to_cryptography().public_bytes(serialization.Encoding.DER)
        seen.append((der, error, depth, ok))
        if len(seen) > 3:
            raise ZeroDivisionError
        return depth > 0

    for _ in range(2):
        with connecting(
            for_clients(pki), server, pinning(pki), callback=callback
        ) as conn:
            with pytest.raises(SSL.Error) as caught:
                conn.send(SECRET)
            assert not isinstance(caught.value, PinningError)
    assert seen[:3] == [
        (pki.root.der, 0, 2, 1),
        (pki.ca.der, 0, 1, 1),
        (pki.server.der, 0, 0, 1),
    ]
    for index in range(2):
        assert_nothing_said(server.record(index))


# ---------------------------------------------------------------------------
# Pitfalls 8, 9 and 24: resumption
# ---------------------------------------------------------------------------


def _session(
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


@any_place
def test_pitfall_8_a_session_older_than_the_pins_matches_no_authority(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A resumed session has no chain, so it holds no evidence of its authority.

    Who takes that for "nothing to check" lets everybody in who was once let in.
    """
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = _session(context, server)
    pins = pins_in(place, pki.ca.pin)
    with connecting(context, server, pins, session=session) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)


@any_place
def test_pitfall_8_a_session_whose_chain_was_seen_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The chain of the full handshake is the evidence, for this host and leaf."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    pins = pins_in(place, pki.ca.pin)
    session = _session(context, server, pins)
    for index in range(1, 3):
        with connecting(context, server, pins, session=session) as conn:
            echo(conn)
            assert report_of(conn).depth == 1
            conn.shutdown()
        assert server.record(index).resumed


@any_place
@pytest.mark.parametrize(
    "traits",
    [{"mode": SSL.VERIFY_NONE}, {"callback": always}],
    ids=["not verifying", "accepting"],
)
def test_pitfall_8_a_chain_that_nobody_verified_is_no_evidence(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str, traits: dict[str, Any]
) -> None:
    """A session of a forged leaf, made without verification, proves no authority."""
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    context = for_clients(pki, **traits)
    blocking = PinSet([forged.pin], blocked=[pki.ca.pin])
    given = traits.get("callback")
    for index, pins in enumerate((pins_in(place, pki.ca.pin), blocking)):
        leaf = PinSet([forged.pin])
        session = _session(context, server, leaf, callback=given)
        with connecting(context, server, pins, session=session, callback=given) as conn:
            conn.set_verify(SSL.VERIFY_PEER)
            with pytest.raises(PinningError):
                conn.send(SECRET)
        record = server.record(2 * index + 1)
        assert record.resumed
        assert_nothing_said(record)


@any_place
def test_pitfall_8_without_verification_no_evidence_counts(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A resumed connection that verifies nothing is leaf-only as every other."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    pins = pins_in(place, pki.ca.pin)
    session = _session(context, server, pins)
    with connecting(context, server, pins, session=session) as conn:
        conn.set_verify(SSL.VERIFY_NONE)
        with pytest.raises(PinningError):
            conn.send(SECRET)
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)


def test_pitfall_9_a_session_of_one_host_opens_no_other(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Servers resume under any name: the check is for the name of today.

    A leaf pin is looked up for this host, and the evidence for a ca pin is that
    of this host.
    """
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    ca = PinSet(ca=[pki.ca.pin])
    first = Policy({"localhost": ca})
    leaf_of_other = Policy({"localhost": ca, "other.localhost": [pki.impostor.pin]})
    ca_of_other = Policy({"localhost": ca, "other.localhost": ca})
    for index, policy in enumerate((leaf_of_other, ca_of_other)):
        session = _session(context, server, first)
        with connecting(
            context, server, policy, name=b"other.localhost", session=session
        ) as conn:
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert reason(caught.value) is Reason.MISMATCH
        record = server.record(2 * index + 1)
        assert record.resumed
        assert_nothing_said(record)


def test_pitfall_9_a_pin_that_was_removed_in_between_counts_no_more(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Every handshake is checked with today's pins, a resumed one too."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = _session(context, server, PinSet(ca=[pki.ca.pin]))
    today = PinSet(ca=[pki.rogue_ca.pin])
    with connecting(context, server, today, session=session) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)


@any_mode
@any_operation
def test_pitfall_24_a_resumed_connection_is_checked_after_its_handshake(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation, mode: int
) -> None:
    """OpenSSL calls no verify callback when it resumes a session.

    Whoever relies on the callback alone checks nothing then.
    """
    calls: list[int] = []

    def counting(*args: Any) -> bool:  # noqa: ANN401
        calls.append(args[-2])
        return bool(args[-1])

    context = for_clients(pki, mode=mode, callback=counting)
    server = serve(server_context(pki.server, version=version))
    sessions = [_session(context, server) for _ in range(3)]
    calls.clear()
    with connecting(context, server, session=sessions[0]) as conn:
        echo(conn)
        conn.shutdown()
    assert server.record(3).resumed
    assert calls == []

    pins = PinSet(leaf=[pki.impostor.pin])
    with connecting(
        context, server, pins, session=sessions[1], callback=counting
    ) as conn:
        with pytest.raises(PinningError) as caught:
            operation(conn)
        assert reason(caught.value) is Reason.MISMATCH
        assert conn.fileno() == -1
    record = server.record(4)
    assert record.resumed
    assert_nothing_said(record)

    pins = PinSet(leaf=[pki.server.pin])
    with connecting(
        context, server, pins, session=sessions[2], callback=counting
    ) as conn:
        echo(conn)
    assert calls == []


def test_pitfall_24_in_memory_nothing_is_left_to_send(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A resumed handshake is complete when its check comes: its end stays here."""
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD,
        mode=SSL.VERIFY_NONE,
        identity=pki.server,
        version=version,
    )
    context = for_clients(pki)
    first = Link(in_memory(context), in_memory(backend, server=True))
    first.talk()
    session = first.part()
    control = Link(in_memory(context, session=session), in_memory(backend, server=True))
    control.talk()
    assert control.heard == SECRET
    session = control.part()
    assert control.client.get_verified_chain() is None  # as it resumed

    pins = PinSet(leaf=[pki.impostor.pin])
    client = in_memory(context, pins, session=session)
    link = Link(client, in_memory(backend, server=True))
    link.talk()
    assert reason(link.errors.get("client")) is Reason.MISMATCH
    assert link.heard == b""
    assert waiting(client) == b""
    assert link.server.get_peer_finished() is None


@pytest.mark.parametrize("rule", ["none", "pins", "leaf"])
def test_a_resumed_session_does_not_hide_a_blocked_authority(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, rule: str
) -> None:
    """An authority is blocked after it was broken: sessions are older than that.

    Its impostor resumes the session that it once got, and shows no chain. Who
    looks for the blocked key in what is left, the leaf, does not find it.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = for_clients(pki)
    session = _session(context, server)
    leaf = [pki.impostor.pin]
    rules: Any = {
        "none": {},
        "pins": {"localhost": PinSet(pins=leaf)},
        "leaf": {"localhost": PinSet(leaf=leaf)},
    }[rule]
    blocking = Policy(rules, blocked=[pki.rogue_ca.pin])
    with (
        connecting(context, server, blocking, session=session) as conn,
        pytest.raises(PinningError, match="shows no chain"),
    ):
        conn.send(SECRET)
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)
    with connecting(context, server, blocking) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.BLOCKED
    session = _session(context, server)
    with connecting(context, server, Policy(rules), session=session) as conn:
        echo(conn)  # nothing blocked, nothing to see
        conn.shutdown()
    assert server.record(4).resumed


# ---------------------------------------------------------------------------
# Pitfalls 10 and 12: servers
# ---------------------------------------------------------------------------


def _client_of(pki: Pki, identity: Identity | None, **traits: Any) -> SSL.Context:  # noqa: ANN401
    return trusting(pki.root, identity=identity, **traits)


def test_a_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Of two clients with valid certificates, the pinned one gets in."""
    context = for_servers(pki, version=version)
    for identity, accepted in ((pki.client, True), (pki.stranger, False)):
        client = in_memory(_client_of(pki, identity))
        server = in_memory(context, PinSet(leaf=[pki.client.pin]), server=True)
        link = Link(client, server)
        link.talk()
        assert (link.heard == SECRET) is accepted
        assert (link.answer == SECRET) is accepted
        if not accepted:
            assert reason(link.errors.get("server")) is Reason.MISMATCH


@pytest.mark.parametrize("place", ["leaf", "pins", "ca"])
def test_pitfall_10_a_refused_client_gets_nowhere_with_its_ticket(
    pki: Pki, version: ssl.TLSVersion, place: str
) -> None:
    """A client resumes the session that it has, and is refused again.

    A server calls no verify callback then, and sees no chain.
    """
    context = for_servers(pki, version=version)
    client = _client_of(pki, pki.stranger)
    first = Link(in_memory(client), in_memory(context, server=True))
    first.talk()
    assert first.heard == SECRET
    session = first.part()
    control = Link(in_memory(client, session=session), in_memory(context, server=True))
    control.talk()
    assert control.heard == SECRET
    assert control.server.get_verified_chain() is None  # as it resumed
    session = control.part()

    pin = pki.rogue_ca.pin if place == "ca" else pki.client.pin
    links = []
    for _ in range(2):
        server = in_memory(context, pins_in(place, pin), server=True)
        link = Link(in_memory(client, session=session), server)
        links.append(link)  # it would spoil the session when it goes
        link.talk()
        assert reason(link.errors.get("server")) is Reason.MISMATCH
        assert link.heard == link.answer == b""
        assert server.get_verified_chain() is None
        # In TLS 1.3 the client has new tickets by now, if they were sent.
        session = link.client.get_session() or session


def test_a_pinned_client_may_resume(pki: Pki, version: ssl.TLSVersion) -> None:
    """A server recognises the client of an authority by what it saw before."""
    context = for_servers(pki, version=version)
    client = _client_of(pki, pki.client)
    pins = PinSet(ca=[pki.ca.pin])
    session = None
    for resumed in (False, True):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client, session=session), server)
        link.talk()
        assert link.heard == link.answer == SECRET
        assert (link.server.get_verified_chain() is None) is resumed
        session = link.part()


@pytest.mark.parametrize("mode", [SSL.VERIFY_PEER, SSL.VERIFY_NONE])
def test_pitfall_12_a_client_without_a_certificate_is_refused(
    pki: Pki, version: ssl.TLSVersion, mode: int
) -> None:
    """Where a server does not insist, no certificate means no verify callback.

    Pins that are checked there alone let every client in that shows nothing.
    """
    context = for_servers(pki, version=version, mode=mode)
    client = _client_of(pki, None)
    control = Link(in_memory(client), in_memory(context, server=True))
    control.talk()
    assert control.heard == SECRET
    for pins in (
        PinSet(leaf=[pki.client.pin]),
        PinSet(ca=[pki.ca.pin], mode="report"),
    ):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client), server)
        link.talk()
        assert reason(link.errors.get("server")) is Reason.NO_CERTIFICATE
        assert link.heard == link.answer == b""


def test_the_name_that_a_client_asks_for_is_never_looked_up(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A server has no name for its clients, and must not take the one they send.

    A client would choose its own rule with it: here, one that lets it in.
    """
    context = for_servers(pki, version=version)
    policy = Policy({"clients.example": [pki.client.pin]}, unpinned="allow")
    with pytest.raises(PolicyError, match="give a PinSet"):
        in_memory(context, policy, server=True)
    client = _client_of(pki, pki.stranger)
    first = Link(in_memory(client), in_memory(context, server=True))
    first.talk()
    for session in (None, first.part()):  # a full handshake, and a resumed one
        server = SSL.Connection(context)
        server.set_accept_state()
        pin_connection(server, policy, host="clients.example")
        link = Link(in_memory(client, session=session), server)
        link.talk()
        if session is None:  # in a resumed one, OpenSSL may not tell it
            assert server.get_servername() == b"localhost"
        assert reason(link.errors.get("server")) is Reason.MISMATCH
        assert link.heard == b""


def test_a_listening_connection_hands_out_pinned_ones(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """accept() makes a plain Connection: it is pinned like the one that listens."""
    context = for_servers(pki, version=version)
    limit = struct.pack("ll", int(LIMIT), 0)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = SSL.Connection(context, sock)
        pin_connection(listener, PinSet(leaf=[pki.client.pin]))
        for identity, accepted in ((pki.client, True), (pki.stranger, False)):
            theirs = client_context(pki.root, version=version)
            identity.load_into(theirs)
            with (
                socket.create_connection(sock.getsockname(), LIMIT) as plain,
                ThreadPoolExecutor(1) as pool,
            ):
                turn = pool.submit(_say, theirs, plain)
                conn, _ = listener.accept()
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                if accepted:
                    assert conn.recv(100) == SECRET
                else:
                    with pytest.raises(PinningError):
                        conn.recv(100)
                conn.close()
                turn.exception(LIMIT)


def _say(context: ssl.SSLContext, plain: socket.socket) -> None:
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(SECRET)


# ---------------------------------------------------------------------------
# Pitfalls 13, 14, 19 and 22
# ---------------------------------------------------------------------------


def test_pitfall_13_renegotiation_is_turned_off(pki: Pki) -> None:
    """A TLS 1.2 peer could show another certificate after the check.

    The server here asks for a new handshake. A client without pins does it.
    """
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD,
        mode=SSL.VERIFY_NONE,
        identity=pki.server,
        version=ssl.TLSVersion.TLSv1_2,
    )
    renegotiated = []
    for policy in (None, pinning(pki)):
        server = in_memory(backend, server=True)
        link = Link(in_memory(for_clients(pki), policy), server)
        link.talk()
        assert link.answer == SECRET
        assert server.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        link.talk()
        renegotiated.append(server.total_renegotiations() == 1 and not link.errors)
    assert renegotiated == [True, False]


@pytest.mark.parametrize("memory", [True, False], ids=["memory", "socket"])
def test_pitfall_14_an_impostor_does_not_see_the_client_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, *, memory: bool
) -> None:
    """The pins are checked before the client answers with its certificate.

    After the handshake is too late: the impostor knows who the client is by then.
    Nor does it help the impostor that the application sets a callback later.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    context = for_clients(pki, identity=pki.client)
    for index, policy in enumerate((None, pinning(pki), pinning(pki))):
        with contextlib.ExitStack() as stack:
            if memory:
                conn = in_memory(context, policy)
            else:
                conn = stack.enter_context(connecting(context, server, policy))
            if index == 2:
                conn.set_verify(SSL.VERIFY_PEER, always)
            if policy is not None:
                stack.enter_context(pytest.raises(PinningError))
            if memory:
                bridge(conn, server, WRITES["send"])
            else:
                conn.send(SECRET)
        assert server.record(index).client_certificate is (policy is None)
    for index in (1, 2):
        assert_nothing_said(server.record(index))


@pytest.mark.parametrize("trusting_it", [True, False])
def test_pitfall_14_in_memory_it_is_kept_without_verification_too(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, *, trusting_it: bool
) -> None:
    """Under VERIFY_NONE the handshake goes on, but what waits is thrown away.

    In TLS 1.2 it waits before the handshake is complete. Where OpenSSL finds no
    way from the leaf to a root, it does not even call back with the leaf.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    context = trusting(
        pki.rogue_root if trusting_it else pki.root,
        mode=SSL.VERIFY_NONE,
        identity=pki.client,
    )
    bridge(in_memory(context), server, WRITES["send"])
    assert server.record(0).client_certificate
    with pytest.raises(PinningError):
        bridge(in_memory(context, pinning(pki)), server, WRITES["send"])
    assert not server.record(1).client_certificate
    assert_nothing_said(server.record(1))


def test_pitfall_14_without_verification_a_socket_shows_the_client_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A limit that is documented: OpenSSL asks nobody then, and writes at once.

    The data stays here all the same.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    context = for_clients(pki, mode=SSL.VERIFY_NONE, identity=pki.client)
    with (
        connecting(context, server, pinning(pki)) as conn,
        pytest.raises(PinningError),
    ):
        conn.send(SECRET)
    assert server.record().client_certificate
    assert_nothing_said(server.record())


def _rejection(pki: Pki) -> PinningError:
    """Return what a connection with a wrong pin raises."""
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD, mode=SSL.VERIFY_NONE, identity=pki.impostor
    )
    link = Link(
        in_memory(for_clients(pki), pinning(pki)), in_memory(backend, server=True)
    )
    link.talk()
    error = link.errors["client"]
    assert isinstance(error, PinningError)
    return error


def test_pitfall_19_a_rejection_is_what_every_library_expects(pki: Pki) -> None:
    """It is an error of pinverify, of ssl and of pyOpenSSL, with their attributes.

    A program that handles SSL.Error would crash, or retry without TLS, on an
    error that it does not know.
    """
    error = _rejection(pki)
    assert isinstance(error, SSL.Error)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert (error.errno, error.library, error.reason) == (
        1,
        "PINVERIFY",
        "PINNING_FAILED",
    )
    assert error.verify_code == 50
    headline = "no pin of 'localhost' is in the chain"
    assert error.verify_message == headline
    # As OpenSSL's have it, and without a word that the peer has chosen.
    assert error.args == ([("pinverify", "", headline)],)
    assert str(error).startswith(headline)
    assert pki.server.pin in str(error)
    assert pki.impostor.pin in str(error)


def test_pitfall_19_a_rejection_survives_pickle_and_wrapping(pki: Pki) -> None:
    """It comes back whole from another process, and is found in what wraps it."""
    error = _rejection(pki)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is PinningSSLError
    assert (str(copy), copy.args, copy.errno) == (str(error), error.args, error.errno)
    assert copy.report == error.report
    wrapped = ssl.SSLError(f"bad handshake: {error!r}")  # as urllib3 has it
    wrapped.__cause__ = error
    assert find_pinning_error(wrapped) is error


def test_pitfall_22_every_failure_is_raised_by_its_own_connection(
    pki: Pki, serve: Serve
) -> None:
    """Threads share one Context, and half of them have wrong pins.

    pyOpenSSL keeps what a context's callback raises in the context, and whichever
    connection comes next raises it: a right one fails, a wrong one says something
    else.
    """
    server = serve(server_context(pki.server))
    context = for_clients(pki)
    right = Policy({"*.example": [pki.server.pin]})
    wrong = Policy({"*.example": [pki.impostor.pin]})

    def attempt(number: int) -> BaseException | None:
        policy = wrong if number % 2 else right
        try:
            with connecting(context, server, policy, host=f"h{number}.example") as conn:
                echo(conn)
        except SSL.Error as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(500), timeout=3 * LIMIT))
    for number, outcome in enumerate(outcomes):
        if number % 2:
            assert reason(outcome) is Reason.MISMATCH
            assert f"'h{number}.example'" in str(outcome)
        else:
            assert outcome is None


# ---------------------------------------------------------------------------
# Policies and reports
# ---------------------------------------------------------------------------


def test_the_host_is_the_one_of_sni_unless_it_is_given(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Whichever name is set last is sent, and looked up; a given one stays."""
    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": [pki.server.pin], "other.localhost": [pki.ca.pin]})
    context = for_clients(pki)
    for name, host, pin in (
        (b"localhost", None, pki.ca.pin),
        (b"localhost", "localhost", pki.server.pin),
    ):
        with connecting(context, server, policy, name=name, host=host) as conn:
            conn.set_tlsext_host_name(b"other.localhost")
            echo(conn)
            assert str(report_of(conn).matched) == pin
            conn.shutdown()
    assert server.record(0).server_name == "other.localhost"


def test_a_host_without_one_meaning_is_refused(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A name that can't be canonical is rejected, and never "not pinned"."""
    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    with connecting(for_clients(pki), server, policy, host="bad..name") as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.BAD_HOST
    assert_nothing_said(server.record())


def test_a_host_is_found_in_every_spelling(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Bytes, capitals, a last dot, U-labels: one host, one rule."""
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": [pki.server.pin], "bücher.example": [pki.server.pin]})
    spellings = (b"LOCALHOST", "localhost.", "bücher.example", b"xn--bcher-kva.example")
    for index, host in enumerate(spellings):
        with connecting(for_clients(pki), server, policy, host=host) as conn:
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert reason(caught.value) is Reason.MISMATCH
        assert_nothing_said(server.record(index))


def test_report_mode_lets_the_data_flow_and_tells(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    """What report mode accepts is told once for a connection, and logged."""
    server = serve(server_context(pki.impostor, version=version))
    rule = PinSet([pki.server.pin], mode="report")
    # A policy of this test alone: the log tells of each once a minute.
    policy = Policy({"localhost": rule, f"tls{version.value}.example": rule})
    told: list[Any] = []
    with (
        caplog.at_level(logging.WARNING, "pinverify"),
        connecting(for_clients(pki), server, policy, on_report=told.append) as conn,
    ):
        echo(conn)
        assert told == [report_of(conn)]
    assert told[0].accepted
    assert told[0].reason is Reason.MISMATCH
    assert caplog.text.count("MISMATCH of localhost") == 1


@any_mode
def test_a_report_that_can_not_be_told_is_a_refusal(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, mode: int
) -> None:
    """An on_report that raises can stop a connection, and can't open one."""
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": PinSet([pki.server.pin], mode="report")})

    def on_report(_: Report) -> None:
        raise ZeroDivisionError

    context = for_clients(pki, mode=mode)
    with connecting(context, server, policy, on_report=on_report) as conn:
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert_nothing_said(server.record())


@any_mode
@pytest.mark.parametrize(
    "step",
    [(Policy, "verify"), (pinverify.pyopenssl, "notice")],
    ids=["in the callback", "at the end"],
)
def test_an_error_inside_the_check_is_a_refusal(
    pki: Pki,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    step: tuple[object, str],
) -> None:
    """Whatever goes wrong in the check, and if it goes well later: no connection."""
    server = serve(server_context(pki.server))

    def failing(*_: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(*step, failing)
    with connecting(for_clients(pki, mode=mode), server, pinning(pki)) as conn:
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert isinstance(caught.value.__cause__, MemoryError)
    assert_nothing_said(server.record())


def test_an_interrupt_inside_the_check_does_not_open_the_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the handshake and the decision leaves the decision to do."""
    server = serve(server_context(pki.impostor, version=version))

    def interrupting(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    context = trusting(pki.root, mode=SSL.VERIFY_NONE)  # no callback with the leaf
    with connecting(context, server, pinning(pki)) as conn:
        monkeypatch.setattr(Policy, "verify", interrupting)
        with pytest.raises(KeyboardInterrupt):
            conn.do_handshake()
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())


# ---------------------------------------------------------------------------
# What can't be pinned is refused
# ---------------------------------------------------------------------------


def test_a_callback_that_would_be_lost_is_refused(pki: Pki) -> None:
    """A connection holds one callback, and does not tell which one it holds.

    Putting the pins in its place without a word would end the application's own
    check, of the host name for example.
    """
    on_the_context = SSL.Connection(for_clients(pki, callback=always))
    on_the_connection = SSL.Connection(for_clients(pki))
    on_the_connection.set_verify(SSL.VERIFY_PEER, always)
    for conn in (on_the_context, on_the_connection):
        with pytest.raises(TypeError, match="give it as callback="):
            pin_connection(conn, PinSet([pki.server.pin]))
        assert type(conn) is SSL.Connection
        pin_connection(conn, PinSet([pki.server.pin]), callback=always)
    # One that was taken away again is none.
    conn = SSL.Connection(for_clients(pki, callback=always))
    conn.set_verify(SSL.VERIFY_PEER, None)
    pin_connection(conn, PinSet([pki.server.pin]))


def test_an_unknown_pyopenssl_is_refused(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If pyOpenSSL can't be asked for a callback any more, there may be one."""
    conn = SSL.Connection(for_clients(pki))
    monkeypatch.delattr(conn, "_verify_helper")
    with pytest.raises(TypeError, match="verify callback"):
        pin_connection(conn, PinSet([pki.server.pin]))


def test_what_can_not_be_pinned_is_refused(pki: Pki, serve: Serve) -> None:
    """Each refusal says what to do, and leaves the connection as it was."""

    class Other(SSL.Connection):
        pass

    pins = PinSet([pki.server.pin])
    context = for_clients(pki)
    conn = pin_connection(SSL.Connection(context), pins)
    with pytest.raises(TypeError, match="pinned already"):
        pin_connection(conn, pins)
    with pytest.raises(TypeError, match="itself, got Other"):
        pin_connection(Other(context), pins)
    with pytest.raises(TypeError, match="expected a Policy or a PinSet, got list"):
        pin_connection(SSL.Connection(context), [pki.server.pin])  # type: ignore[arg-type]
    conn = SSL.Connection(context)
    with pytest.raises(PolicyError, match="set_tlsext_host_name"):
        pin_connection(conn, pinning(pki))
    assert type(conn) is SSL.Connection
    assert not conn.set_options(0) & SSL.OP_NO_RENEGOTIATION
    server = serve(server_context(pki.server))
    with connecting(context, server) as conn:
        conn.do_handshake()
        with pytest.raises(ValueError, match="the handshake is done"):
            pin_connection(conn, pins)


def test_a_pinned_connection_can_be_collected(pki: Pki) -> None:
    """Nothing that outlives it holds a connection; the memo holds its chain."""
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD, mode=SSL.VERIFY_NONE, identity=pki.server
    )
    context = for_clients(pki)
    link = Link(in_memory(context, pinning(pki)), in_memory(backend, server=True))
    link.talk()
    assert link.answer == SECRET
    alive: list[weakref.ref[Any]] = [weakref.ref(link.client), weakref.ref(context)]
    del link, context
    gc.collect()
    assert all(reference() is None for reference in alive)


# ---------------------------------------------------------------------------
# Without pinning: verify() after the handshake
# ---------------------------------------------------------------------------


def test_verify_looks_at_the_leaf_alone_unless_the_chain_is_vouched_for(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A connection does not tell whether its chain was verified.

    Its mode can be set afterwards, and a callback may have accepted anything.
    """
    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": [pki.server.pin], "ca.example": [pki.ca.pin]})
    with connecting(for_clients(pki), server) as conn:
        conn.do_handshake()
        report = verify(conn, policy, host="localhost")
        assert report.accepted
        assert str(report.matched) == pki.server.pin
        with pytest.raises(PinningError) as caught:
            verify(conn, policy, host="ca.example")
        assert isinstance(caught.value, PinningSSLError)
        assert reason(caught.value) is Reason.MISMATCH
        report = verify(conn, policy, host="ca.example", chain_is_verified=True)
        assert report.depth == 1
        with pytest.raises(PinningError) as caught:
            verify(conn, policy)  # and not the name of SNI
        assert reason(caught.value) is Reason.BAD_HOST
        with pytest.raises(TypeError, match="got str"):
            verify(conn, pki.server.pin)  # type: ignore[arg-type]
    fresh = SSL.Connection(for_clients(pki))
    with pytest.raises(PinningError) as caught:
        verify(fresh, PinSet([pki.server.pin]))
    assert reason(caught.value) is Reason.NO_CERTIFICATE


def test_verify_is_not_fooled_by_a_resumed_session(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A resumed session has no chain, whoever vouches for it."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = _session(context, server)
    leaf = PinSet([pki.server.pin])
    blocking = PinSet([pki.server.pin], blocked=[pki.ca.pin])
    with connecting(context, server, session=session) as conn:
        conn.do_handshake()
        assert verify(conn, leaf, chain_is_verified=True).accepted
        for pins in (PinSet(ca=[pki.ca.pin]), blocking):
            with pytest.raises(PinningError):
                verify(conn, pins, chain_is_verified=True)


def test_verify_tells_of_report_mode(pki: Pki, serve: Serve) -> None:
    """on_report hears what verify accepts without a match; if it raises, no."""
    server = serve(server_context(pki.impostor))
    pins = PinSet([pki.server.pin], mode="report")
    told: list[Any] = []

    def on_report(_: Report) -> None:
        raise ZeroDivisionError

    with connecting(for_clients(pki), server) as conn:
        conn.do_handshake()
        report = verify(conn, pins, on_report=told.append)
        assert told == [report]
        with pytest.raises(PinningError) as caught:
            verify(conn, pins, on_report=on_report)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_the_memo_forgets_the_oldest(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that meets many clients does not grow with them."""
    monkeypatch.setattr(pinverify.memo, "_CHAINS_MAX", 2)
    context = for_servers(pki)
    identities = [
        pki.ca.leaf(f"client{number}.example", purpose="client") for number in range(3)
    ]
    sessions = []
    contexts = [_client_of(pki, identity) for identity in identities]
    pins = PinSet(ca=[pki.ca.pin])
    for client in contexts:
        link = Link(in_memory(client), in_memory(context, pins, server=True))
        link.talk()
        sessions.append(link.part())
    heard = []
    for client, session in zip(contexts, sessions, strict=True):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client, session=session), server)
        link.talk()
        assert server.get_verified_chain() is None
        heard.append(link.heard)
    assert heard == [b"", SECRET, SECRET]
