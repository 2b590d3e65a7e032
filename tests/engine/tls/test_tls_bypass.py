"""Ways around the check of a pinned context, each of which must fail.

No operation comes before the check, a refused connection stays refused, and nothing
is sent in cleartext.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs against a context without pins
and succeeds there, so no test here can pass by doing nothing.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, cast

import pytest

from pinverify import PinningError, Policy, Reason, pin_context
from pinverify.tls import _judge, _ssl_connections
from pki import Pki
from tls_clients import (
    GREETING,
    OPERATIONS,
    SECRET,
    WRITES,
    Operation,
    Serve,
    any_operation,
    assert_nothing_said,
    later,
    makefile_read,
    makefile_write,
    pinning,
    raised_by,
    reason,
    sendfile,
    trusting,
    wait_until_ready,
)
from tls_servers import (
    LIMIT,
    MemoryLink,
    TLSServer,
    client_context,
    new_socket,
    server_context,
)

# ---------------------------------------------------------------------------
# Pitfalls 1 to 3: no way around the check
# ---------------------------------------------------------------------------


@any_operation
def test_pitfall_1_no_operation_comes_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation
) -> None:
    """With do_handshake_on_connect=False, every operation checks the pin first.

    OpenSSL does the handshake inside read and write too: a check in
    do_handshake() alone never runs, and the impostor gets the secret.
    """
    server = serve(
        server_context(pki.impostor, version=version), greeting=GREETING, echo=False
    )
    with later(trusting(pki), server) as tls:
        read = operation(tls)
        assert read in (None, GREETING)
    if operation in WRITES.values():
        assert server.record(0).application == SECRET

    with later(trusting(pki, pinning(pki)), server) as tls:
        with pytest.raises(PinningError) as caught:
            operation(tls)
        assert reason(caught.value) is Reason.MISMATCH
        assert tls.fileno() == -1
    assert_nothing_said(server.record(1))


def test_pitfall_1_wrap_socket_checks_by_default(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """wrap_socket() itself raises, and leaves no open socket behind."""
    server = serve(server_context(pki.impostor, version=version))
    sock = server.connect()
    with pytest.raises(PinningError):
        trusting(pki, pinning(pki)).wrap_socket(sock, server_hostname="localhost")
    assert sock.fileno() == -1
    assert_nothing_said(server.record())


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS.values() if operation is not sendfile],
    ids=[name for name in OPERATIONS if name != "sendfile"],
)
def test_pitfall_1_no_operation_passes_without_blocking(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation
) -> None:
    """A non-blocking socket is checked when its handshake ends, whoever ends it."""
    server = serve(
        server_context(pki.impostor, version=version), greeting=GREETING, echo=False
    )
    with later(trusting(pki, pinning(pki)), server) as tls:
        tls.settimeout(0)
        with pytest.raises(PinningError):
            wait_until_ready(tls, lambda: _or_wait(operation, tls))
    assert_nothing_said(server.record())


def _or_wait(operation: Operation, tls: ssl.SSLSocket) -> object:
    """Do *operation*; turn a file's "nothing yet", None, into a socket's."""
    result = operation(tls)
    if result is None and operation in (makefile_read, makefile_write):
        raise ssl.SSLWantReadError
    return result


def test_pitfall_1_a_second_thread_cannot_slip_in_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the end of the handshake and the check, no other thread may write.

    OpenSSL's handshake releases the GIL, so another thread can come then. Here
    it comes each time, at the worst moment, and has to wait for the decision.
    """
    server = serve(server_context(pki.impostor, version=version), echo=False)
    turns: list[Future[None]] = []
    came_through: list[bool] = []

    def judge(*evidence: Any) -> object:  # noqa: ANN401
        turns.append(pool.submit(tls.sendall, SECRET))
        came_through.append(bool(wait(turns, timeout=0.5).done))
        return _judge.judge(*evidence)

    monkeypatch.setattr(_ssl_connections, "judge", judge)
    context = trusting(pki, pinning(pki))
    with (
        ThreadPoolExecutor(1) as pool,
        later(context, server) as tls,
        pytest.raises(PinningError),
    ):
        tls.do_handshake()
    assert came_through == [False]
    assert isinstance(turns[0].exception(LIMIT), PinningError)
    assert_nothing_said(server.record(0))


def test_pitfall_1_a_second_thread_cannot_slip_in_before_the_check_of_an_object(
    pki: Pki, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same over memory buffers, which event loops hand to pools of threads."""
    turns: list[Future[int]] = []
    came_through: list[bool] = []

    def judge(*evidence: Any) -> object:  # noqa: ANN401
        turns.append(pool.submit(link.client.write, SECRET))
        came_through.append(bool(wait(turns, timeout=0.5).done))
        return _judge.judge(*evidence)

    monkeypatch.setattr(_ssl_connections, "judge", judge)
    server = server_context(pki.server, version=version)
    link = MemoryLink(trusting(pki, pinning(pki)), server)
    with ThreadPoolExecutor(1) as pool:
        link.run(link.client.do_handshake)
    assert came_through == [False]
    assert turns[0].result(LIMIT) == len(SECRET)
    link.exchange()
    assert link.application == SECRET


MEMORY_OPERATIONS: dict[str, Callable[[ssl.SSLObject], object]] = {
    "do_handshake": lambda tls: tls.do_handshake(),
    "write": lambda tls: tls.write(SECRET),
    "read": lambda tls: tls.read(100),
    "read-into-a-buffer": lambda tls: tls.read(100, bytearray(100)),
}


@pytest.mark.parametrize("operation", MEMORY_OPERATIONS.values(), ids=MEMORY_OPERATIONS)
def test_pitfall_2_an_ssl_object_checks_before_it_writes(
    pki: Pki, version: ssl.TLSVersion, operation: Callable[[ssl.SSLObject], object]
) -> None:
    """SSLObject.write() without do_handshake() checks the pin too.

    Without that, whoever drives an SSLObject by hand (TLS in TLS, event loops)
    gets TLS without pins.
    """
    server = server_context(pki.impostor, version=version)
    control = MemoryLink(trusting(pki), server, greeting=GREETING)
    control.run(lambda: operation(control.client))
    control.run(lambda: control.client.write(SECRET))
    assert SECRET in control.application

    link = MemoryLink(trusting(pki, pinning(pki)), server, greeting=GREETING)
    with pytest.raises(PinningError) as caught:
        link.run(lambda: operation(link.client))
    assert reason(caught.value) is Reason.MISMATCH
    # What the client's Finished would carry with it stays here as well.
    assert link.outgoing.read() == b""
    link.exchange()
    assert link.application == b""
    if version is ssl.TLSVersion.TLSv1_3:
        assert not link.handshake


def test_an_ssl_object_with_the_right_pin_works(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Both ends talk, and part with close_notify."""
    server = server_context(pki.server, version=version)
    link = MemoryLink(trusting(pki, pinning(pki)), server, greeting=GREETING)
    tls = link.client
    assert isinstance(tls, ssl.SSLObject)
    link.run(tls.do_handshake)
    assert link.run(lambda: tls.read(100)) == GREETING
    assert link.run(lambda: tls.write(SECRET)) == len(SECRET)
    assert link.application == SECRET
    buffer = bytearray(100)
    assert buffer[: link.run(lambda: tls.read(100, buffer))] == SECRET
    with pytest.raises(ssl.SSLWantReadError):
        tls.unwrap()
    link.exchange()
    link.run(link.server.unwrap)
    link.run(tls.unwrap)


def _unwrap(tls: ssl.SSLSocket | ssl.SSLObject) -> None:
    tls.unwrap()


def test_pitfall_3_a_refused_socket_stays_refused(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """An application that swallows the PinningError gets it again, each time.

    Without a state that remembers, the second call would find a finished
    handshake and go on.
    """
    server = serve(server_context(pki.impostor, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        with pytest.raises(PinningError) as first:
            tls.do_handshake()
        for name, operation in {**OPERATIONS, "unwrap": _unwrap}.items():
            assert raised_by(operation, tls) is first.value, name
        with pytest.raises(OSError):  # noqa: PT011  (closed, or ours: both will do)
            tls.connect(server.address)
        tls.close()
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_pitfall_3_a_refused_ssl_object_stays_refused(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The same for an SSLObject, and its outgoing BIO stays empty."""
    server = server_context(pki.impostor, version=version)
    link = MemoryLink(trusting(pki, pinning(pki)), server)
    with pytest.raises(PinningError) as first:
        link.run(link.client.do_handshake)
    for name, operation in {
        **MEMORY_OPERATIONS,
        "unwrap": _unwrap,
    }.items():
        assert raised_by(operation, link.client) is first.value, name
        assert link.outgoing.read() == b"", name
    link.exchange()
    assert link.application == b""


def test_pitfall_3_a_refused_connection_is_not_saved_by_another_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The decision about a connection is made once, and a refusal is final.

    Without an error that is kept, the next call would ask today's policy again,
    which may be another one by then, and accept the peer after all.
    """
    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.impostor, version=version))
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with later(context, server) as tls:
        with pytest.raises(PinningError) as of_socket:
            tls.do_handshake()
        with pytest.raises(PinningError) as of_object:
            link.run(link.client.do_handshake)
        pin_context(context, Policy({"localhost": [pki.impostor.pin]}))
        for connection, first in ((tls, of_socket), (link.client, of_object)):
            error = raised_by(lambda one: one.write(SECRET), connection)
            assert error is first.value
    assert_nothing_said(server.record())
    link.exchange()
    assert link.application == b""


def test_pitfall_3_a_refused_socket_is_shut_down_even_while_a_file_holds_it(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The peer sees the end at once, although an open file defers close()."""
    server = serve(server_context(pki.impostor, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        with tls.makefile("rb") as file:
            with pytest.raises(PinningError):
                file.read(1)
            assert_nothing_said(server.record())
        with pytest.raises(PinningError):
            tls.sendall(SECRET)


# ---------------------------------------------------------------------------
# Pitfall 4: nothing in clear
# ---------------------------------------------------------------------------


def _sendto(tls: ssl.SSLSocket) -> None:
    tls.sendto(SECRET, ("127.0.0.1", 9))


IN_CLEAR: dict[str, Operation] = {**WRITES, "sendto": _sendto}


def _assert_silent(tls: ssl.SSLSocket, server: TLSServer, record: int) -> None:
    """Check that no way of writing puts a byte of the application on the wire."""
    for operation in IN_CLEAR.values():
        with pytest.raises((OSError, ValueError)):
            operation(tls)
    tls.close()
    assert_nothing_said(server.record(record))


def test_pitfall_4_nothing_in_clear_after_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A connect() that fails leaves no socket that would send in clear.

    The stdlib drops the TLS object when connect() fails, keeps the connection,
    and from then on send() is the plain socket's.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        with pytest.raises(PinningError):
            tls.connect(server.address)
        _assert_silent(tls, server, 0)
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        with pytest.raises(PinningError):
            tls.connect_ex(server.address)
        _assert_silent(tls, server, 1)


def test_pitfall_4_nothing_in_clear_after_a_pkix_failure(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The same where it is validation that refuses the peer."""
    server = serve(server_context(pki.impostor, version=version))
    context = client_context(pki.root)
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        with pytest.raises(ssl.SSLCertVerificationError):
            tls.connect(server.address)
        tls.send(SECRET)
    assert SECRET in server.record(0).wire

    pin_context(context, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        with pytest.raises(ssl.SSLCertVerificationError):
            tls.connect(server.address)
        _assert_silent(tls, server, 1)


def test_pitfall_4_nothing_in_clear_after_a_shutdown_in_the_handshake(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another thread may shut a socket down then, here before the decision."""

    def judge(*evidence: Any) -> object:  # noqa: ANN401
        tls.shutdown(socket.SHUT_RD)
        return _judge.judge(*evidence)

    monkeypatch.setattr(_ssl_connections, "judge", judge)
    server = serve(server_context(pki.server, version=version), echo=False)
    with later(trusting(pki, pinning(pki)), server) as tls:
        tls.do_handshake()
        with pytest.raises(OSError, match="nothing is sent or received in plain text"):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_pitfall_4_nothing_in_clear_after_a_timeout(pki: Pki, serve: Serve) -> None:
    """The same where the peer accepts the connection and then says nothing."""
    server = serve(server_context(pki.impostor), silent=True)
    context = trusting(pki)
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        tls.settimeout(0.05)
        with pytest.raises(TimeoutError):
            tls.connect(server.address)
        tls.send(SECRET)
    assert SECRET in server.record(0).wire

    pin_context(context, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        tls.settimeout(0.05)
        with pytest.raises(TimeoutError):
            tls.connect(server.address)
        _assert_silent(tls, server, 1)


def test_pitfall_4_nothing_in_clear_while_connecting(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The same where a non-blocking connect() says that it is in progress."""
    server = serve(server_context(pki.impostor, version=version))

    def started(context: ssl.SSLContext) -> ssl.SSLSocket:
        sock = new_socket()
        sock.settimeout(0)
        tls = context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        )
        with pytest.raises(BlockingIOError):
            tls.connect(server.address)
        assert select.select([], [tls], [], LIMIT)[1]
        return tls

    context = trusting(pki)
    with started(context) as tls:
        tls.send(SECRET)
    assert SECRET in server.record(0).wire

    with started(pin_context(context, pinning(pki))) as tls:
        _assert_silent(tls, server, 1)


def test_pitfall_4_nothing_in_clear_where_ssl_makes_no_c_object(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """connect() fails before it connects: here OpenSSL does not take the session."""
    server = serve(server_context(pki.server, version=version))
    session: Any = "no session"
    with trusting(pki, pinning(pki)).wrap_socket(
        new_socket(), server_hostname="localhost", session=session
    ) as tls:
        with pytest.raises(TypeError):
            tls.connect(server.address)
        socket.socket.connect(tls, server.address)
        _assert_silent(tls, server, 0)


@pytest.mark.parametrize("error", [ssl.SSLError, RuntimeError])
@pytest.mark.parametrize("timeout", [LIMIT, 0])
def test_pitfall_4_nothing_in_clear_after_a_connect_that_fails_late(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    timeout: float,
    error: type[Exception],
) -> None:
    """An application refuses a peer that pins have accepted; the socket is still open.

    A file that was made of it keeps it open, or that it does not block.
    """

    class Refusing(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            super().do_handshake(block)
            self.settimeout(timeout)
            msg = "the application does not like the peer"
            raise error(msg)

        def shutdown(self, how: int) -> None:
            with contextlib.suppress(OSError):
                moved.append(self.send(SECRET))  # another thread may be about to
            super().shutdown(how)

    moved: list[int] = []
    server = serve(server_context(pki.server, version=version), echo=False)
    context = trusting(pki)
    context.sslsocket_class = Refusing
    pin_context(context, pinning(pki))
    with (
        context.wrap_socket(new_socket(), server_hostname="localhost") as tls,
        tls.makefile("rb"),
    ):
        with pytest.raises(error, match="does not like"):
            tls.connect(server.address)
        for move in (lambda: tls.recv(1), lambda: tls.send(SECRET)):
            with pytest.raises(OSError, match="nothing is sent or received in plain"):
                move()
    assert not moved
    assert SECRET not in server.record(0).wire


def test_pitfall_4_a_socket_whose_class_notes_late_that_it_connected_is_closed(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Such a class is that of gevent, which shakes hands first."""

    class Late(ssl.SSLSocket):
        def _real_connect(self, addr: Any, connect_ex: bool) -> int:  # noqa: ANN401, FBT001
            del connect_ex
            made: Any = self.context
            how = {"owner": self, "session": None}
            self._sslobj = made._wrap_socket(self, False, self.server_hostname, **how)  # noqa: FBT003, SLF001
            socket.socket.connect(self, addr)
            self.do_handshake()
            self._connected = True
            return 0

    server = serve(server_context(pki.server, version=version))
    context = client_context(pki.rogue_root)
    context.sslsocket_class = Late
    pin_context(context, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        with pytest.raises(ssl.SSLCertVerificationError):
            tls.connect(server.address)
        assert tls.fileno() == -1


@pytest.mark.parametrize("how", [socket.SHUT_RD, socket.SHUT_WR])
def test_pitfall_4_nothing_in_clear_after_a_shutdown(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: int
) -> None:
    """shutdown() drops the TLS object as well, with one direction still open."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    if how == socket.SHUT_RD:
        with later(context, server) as tls:
            tls.shutdown(how)
            tls.send(SECRET)
        assert SECRET in server.record(0).wire
    else:
        later(context, server).close()

    pin_context(context, pinning(pki))
    with later(context, server) as tls:
        with contextlib.suppress(OSError):
            tls.shutdown(how)
        _assert_silent(tls, server, 1)


def test_pitfall_4_unwrap_before_the_handshake_opens_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """unwrap() before any handshake fails, and gives no plain socket away."""
    server = serve(server_context(pki.impostor, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        with pytest.raises((OSError, ValueError)):
            tls.unwrap()
        _assert_silent(tls, server, 0)


# ---------------------------------------------------------------------------
# Pitfall 39: the methods that ssl inherits from the plain socket
# ---------------------------------------------------------------------------

# The methods that move no data by themselves.
MOVE_NOTHING = """
    accept bind close connect connect_ex detach do_handshake dup fileno getblocking
    get_inheritable getpeername getsockname getsockopt gettimeout listen makefile
    sendmsg_afalg setblocking set_inheritable setsockopt settimeout shutdown
    cipher client_sigalg compression get_channel_binding getpeercert
    get_unverified_chain get_verified_chain group pending selected_alpn_protocol
    selected_npn_protocol server_sigalg shared_ciphers verify_client_post_handshake
    version
"""


def _called(name: str) -> Callable[[Any], object]:
    """Return a function that calls a method with the arguments that it needs."""
    room = bytearray(100)
    arguments: dict[str, tuple[Any, ...]] = {
        "recv_into": (room,),
        "recvfrom_into": (room,),
        "recvmsg_into": ([room],),
        "send": (SECRET,),
        "sendall": (SECRET,),
        "sendfile": (io.BytesIO(SECRET),),
        "sendmsg": ([SECRET],),
        "sendto": (SECRET, ("127.0.0.1", 1)),
        "write": (SECRET,),
    }
    return lambda tls: getattr(tls, name)(*arguments.get(name, ()))


# ssl refuses these on each connection, and before it asks anybody.
REFUSED_BY_SSL = {
    "recvfrom": ValueError,
    "recvfrom_into": ValueError,
    "recvmsg": NotImplementedError,
    "recvmsg_into": NotImplementedError,
    "sendmsg": NotImplementedError,
    "sendto": ValueError,
}


def _methods(kind: type) -> list[str]:
    """Return the names of the public methods that are not among these."""
    harmless = set(MOVE_NOTHING.split())
    methods = [name for name in dir(kind) if callable(getattr(kind, name))]
    return [name for name in methods if name[0] != "_" and name not in harmless]


@pytest.mark.parametrize("name", _methods(ssl.SSLSocket))
def test_pitfall_39_every_other_method_of_a_socket_checks_first(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, name: str
) -> None:
    """A method that a later Python adds to sockets may write in clear: look at it.

    Each method is refused, or is in the list of those that move nothing.
    """
    server = serve(server_context(pki.impostor, version=version))
    refused = REFUSED_BY_SSL.get(name, PinningError)
    with later(trusting(pki, pinning(pki)), server) as tls:
        for _ in range(2):  # PENDING, then FAILED
            error = raised_by(_called(name), tls)
            assert isinstance(error, refused), repr(error)
    assert_nothing_said(server.record())


def test_pitfall_4_nothing_in_clear_while_connect_is_called_again(
    pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The TCP connection stands then, and another thread may send at any moment."""
    server = serve(server_context(pki.impostor))
    context = trusting(pki, pinning(pki))
    refused: list[BaseException | None] = []

    def connect(tls: Any, _: object) -> None:  # noqa: ANN401
        refused.append(raised_by(lambda tls: tls.send(SECRET), tls))

    with socket.socket() as plain:
        tls = context.wrap_socket(
            plain, server_hostname="localhost", do_handshake_on_connect=False
        )
    with tls:
        socket.socket.connect(tls, server.address)
        make: Any = context._wrap_socket  # type: ignore[attr-defined]  # noqa: SLF001

        def before_it_is_made(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            connect(tls, None)
            return make(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(context, "_wrap_socket", before_it_is_made)
            patch.setattr(socket.socket, "connect", connect)
            tls.connect(server.address)
        assert len(refused) == 2
        assert all(isinstance(error, OSError) for error in refused), refused
    assert SECRET not in server.record().wire


@pytest.mark.parametrize("name", _methods(ssl.SSLSocket))
def test_pitfall_39_no_method_of_a_socket_speaks_in_clear(
    pki: Pki, serve: Serve, name: str
) -> None:
    """The same of a socket that is not connected by ssl, though it is connected."""
    server = serve(server_context(pki.server))
    context = trusting(pki, pinning(pki))
    with (
        socket.socket() as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        socket.socket.connect(tls, server.address)
        error = raised_by(_called(name), tls)
        assert isinstance(error, REFUSED_BY_SSL.get(name, OSError)), repr(error)
        assert not isinstance(error, ssl.SSLError)
    assert server.record().wire == b""


@pytest.mark.parametrize("name", _methods(ssl.SSLObject))
def test_pitfall_39_every_other_method_of_an_object_checks_first(
    pki: Pki, version: ssl.TLSVersion, name: str
) -> None:
    """The same in memory."""
    server = server_context(pki.impostor, version=version)
    link = MemoryLink(trusting(pki, pinning(pki)), server)
    for _ in range(2):
        with pytest.raises(PinningError):
            link.run(lambda: _called(name)(link.client))


# ---------------------------------------------------------------------------
# Pitfall 13: no second handshake that anybody asks for
# ---------------------------------------------------------------------------


def test_pitfall_13_renegotiation_is_turned_off(pki: Pki) -> None:
    """A TLS 1.2 peer could swap its certificate after the check otherwise."""
    context = trusting(pki)
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    pin_context(context, pinning(pki))
    assert context.options & ssl.OP_NO_RENEGOTIATION


# ---------------------------------------------------------------------------
# Methods of the application's own classes
# ---------------------------------------------------------------------------


class _LineSocket(ssl.SSLSocket):
    """An application's class, with a method that passes no gate of ours."""

    def line(self, data: bytes) -> int:
        return super().send(data + b"\n")


class _LineObject(ssl.SSLObject):
    """The same in memory."""

    def line(self, data: bytes) -> int:
        return super().write(data + b"\n")


def test_a_method_of_the_application_moves_no_data_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """It calls the methods of ssl directly, and OpenSSL shakes hands in those."""
    for policy, passes in ((None, True), (pinning(pki), False)):
        context = trusting(pki)
        context.sslsocket_class = _LineSocket
        context.sslobject_class = _LineObject
        if policy is not None:
            pin_context(context, policy)
        server = serve(server_context(pki.impostor, version=version))
        with later(context, server) as tls, contextlib.suppress(PinningError):
            cast("_LineSocket", tls).line(SECRET)
        assert (SECRET in server.record().application) is passes
        link = MemoryLink(context, server_context(pki.impostor, version=version))
        line = cast("_LineObject", link.client).line
        with contextlib.suppress(PinningError):
            link.run(lambda line=line: line(SECRET))  # type: ignore[misc]
        assert (SECRET in link.application) is passes


def test_pitfall_4_a_failed_connect_leaves_no_socket_that_speaks_in_clear(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Not even to a method of the application that passes no gate."""
    context = ssl.create_default_context()  # trusts nobody here
    context.sslsocket_class = _LineSocket
    pin_context(context, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    tls = context.wrap_socket(socket.socket(), server_hostname="localhost")
    with pytest.raises(ssl.SSLCertVerificationError):
        tls.connect(server.address)
    assert tls.fileno() == -1
    with pytest.raises(OSError, match="nothing is sent or received in plain text"):
        cast("_LineSocket", tls).line(SECRET)
    assert_nothing_said(server.record())
