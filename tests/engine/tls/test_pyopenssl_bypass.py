"""Ways around the check of a pinned pyOpenSSL connection, each of which must fail.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs without pins and succeeds, so no
test here can pass by doing nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import tempfile
from collections.abc import Iterator

import pytest
from OpenSSL import SSL

from pinverify import PinningError, Reason
from pinverify.tls.pyopenssl import pin_connection
from pki import Pki
from pyopenssl_connections import (
    AFTERWARDS,
    GREETING,
    OPERATIONS,
    SECRET,
    WRITES,
    Link,
    Operation,
    Serve,
    always,
    any_mode,
    any_operation,
    assert_nothing_said,
    bridge,
    connecting,
    echo,
    for_clients,
    in_memory,
    pinning,
    raised_by,
    reason,
    report_of,
    trusting,
    waiting,
)
from tls_servers import LIMIT, new_socket, server_context

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
        assert report_of(conn) is first.value.report
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
# Pitfall 39: the methods of the socket below
# ---------------------------------------------------------------------------


def _sendfile(conn: SSL.Connection) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(SECRET)
        file.seek(0)
        conn.sendfile(file)


def _recvfrom_into(conn: SSL.Connection) -> bytes:
    buffer = bytearray(100)
    number, _ = conn.recvfrom_into(buffer)
    return bytes(buffer[:number])


def _recvmsg_into(conn: SSL.Connection) -> bytes:
    buffer = bytearray(100)
    number, *_ = conn.recvmsg_into([buffer])
    return bytes(buffer[:number])


def _through_a_copy(conn: SSL.Connection) -> None:
    with conn.dup() as copy:
        copy.sendall(SECRET)


CLEAR_WRITES: dict[str, Operation] = {
    "sendmsg": lambda conn: conn.sendmsg([SECRET]),
    "sendto": lambda conn: conn.sendto(SECRET, conn.getpeername()),
    "sendfile": _sendfile,
    "send_fds": lambda conn: socket.send_fds(conn, [SECRET], []),  # type: ignore[arg-type]
    "dup": _through_a_copy,
    "_sendfile_use_send": lambda conn: conn._sendfile_use_send,  # noqa: SLF001
    "_sendfile_use_sendfile": lambda conn: conn._sendfile_use_sendfile,  # noqa: SLF001
}
CLEAR_READS: dict[str, Operation] = {
    "recvmsg": lambda conn: conn.recvmsg(100)[0],
    "recvfrom": lambda conn: conn.recvfrom(100)[0],
    "recvmsg_into": _recvmsg_into,
    "recvfrom_into": _recvfrom_into,
    "recv_fds": lambda conn: socket.recv_fds(conn, 100, 0)[0],  # type: ignore[arg-type]
}
NAMED = [name for name in CLEAR_WRITES if name[0] == "_"]
IN_CLEAR = {**CLEAR_WRITES, **CLEAR_READS}


@contextlib.contextmanager
def _with_a_plain_peer(
    context: SSL.Context,
) -> Iterator[tuple[SSL.Connection, socket.socket]]:
    """Connect to a peer that knows no TLS."""
    with socket.create_server(("127.0.0.1", 0)) as listener, new_socket() as sock:
        sock.connect(listener.getsockname())
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(LIMIT)
            conn = SSL.Connection(context, sock)
            conn.set_connect_state()
            conn.set_tlsext_host_name(b"localhost")
            yield conn, peer


@pytest.mark.parametrize("name", IN_CLEAR)
def test_pitfall_39_no_method_of_the_socket_speaks_in_clear_before_the_check(
    pki: Pki, name: str
) -> None:
    """A method that pyOpenSSL lacks is the socket's, which knows nothing of TLS.

    pyOpenSSL forwards every name that it does not have itself.
    """
    operation = IN_CLEAR[name]
    with _with_a_plain_peer(for_clients(pki)) as (conn, peer):
        peer.sendall(GREETING)
        heard = operation(conn)
        if name in CLEAR_READS:
            assert heard == GREETING
        elif name not in NAMED:
            assert peer.recv(100) == SECRET

    with _with_a_plain_peer(for_clients(pki)) as (conn, peer):
        pin_connection(conn, pinning(pki))
        peer.sendall(GREETING)
        with pytest.raises(AttributeError, match="without TLS; use send"):
            operation(conn)
        conn.sock_shutdown(socket.SHUT_WR)
        assert peer.recv(100) == b""


@pytest.mark.parametrize("name", IN_CLEAR)
def test_pitfall_39_nor_after_it(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, name: str
) -> None:
    """An accepted peer would get them in clear as well, between the records of TLS.

    A refused one gets nothing, as from every other operation.
    """
    server = serve(server_context(pki.server, version=version))
    with connecting(for_clients(pki), server) as conn:
        conn.do_handshake()
        if name == "sendmsg":
            CLEAR_WRITES[name](conn)
    assert (SECRET in server.record(0).wire) is (name == "sendmsg")

    with connecting(for_clients(pki), server, pinning(pki)) as conn:
        conn.do_handshake()
        with pytest.raises(AttributeError, match="without TLS; use send"):
            IN_CLEAR[name](conn)
        echo(conn)
    assert SECRET not in server.record(1).wire

    impostor = serve(server_context(pki.impostor, version=version))
    with connecting(for_clients(pki), impostor, pinning(pki)) as conn:
        with pytest.raises(PinningError):
            conn.do_handshake()
        with pytest.raises((AttributeError, OSError)):
            IN_CLEAR[name](conn)
    assert_nothing_said(impostor.record())


def test_what_moves_no_data_is_that_of_the_socket(pki: Pki) -> None:
    """Addresses, timeouts and options still come from the socket below."""
    with _with_a_plain_peer(for_clients(pki)) as (conn, peer):
        pin_connection(conn, pinning(pki))
        assert conn.getpeername() == peer.getsockname()
        assert conn.getsockname() == peer.getpeername()
        assert conn.family is socket.AF_INET
        assert conn.type is socket.SOCK_STREAM
        conn.settimeout(5)
        assert conn.gettimeout() == conn.timeout == 5
        conn.setblocking(False)  # noqa: FBT003 - as socket has it
        assert not conn.getblocking()
        conn.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert conn.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert not hasattr(conn, "sendmsg")
        with socket.socket(fileno=conn.detach()):
            assert conn.fileno() == -1


# ---------------------------------------------------------------------------
# Pitfalls 13 and 14: renegotiation, and the client's certificate
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
