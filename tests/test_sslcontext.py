"""Pins enforced by `ssl.SSLContext`: attacks that must fail, uses that must work.

The cast stands in pki.py: `pki.server` is the peer the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. An attack is first run against a context without
pins, where it succeeds: so no test here can pass by doing nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import logging
import os
import select
import socket
import ssl
import struct
import sys
import tempfile
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

import pinverify
from pinverify import (
    UNPINNED,
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Report,
    create_connection,
    install,
    pin_context,
    sslcontext,
    uninstall,
)
from pki import Identity, Pki, self_signed, sha256_pin
from tls_servers import (
    LIMIT,
    MemoryLink,
    Record,
    TLSServer,
    client_context,
    new_socket,
    server_context,
    unverified_chain,
    verified_chain,
)

SECRET = b"a secret of the application"
GREETING = b"a greeting from the server"

Serve = Callable[..., TLSServer]
Operation = Callable[[ssl.SSLSocket], bytes | bytearray | None]


# ---------------------------------------------------------------------------
# What an application may do first with a socket. Each returns what it read.
# ---------------------------------------------------------------------------


def _send(tls: ssl.SSLSocket) -> None:
    assert tls.send(SECRET) == len(SECRET)


def _sendall(tls: ssl.SSLSocket) -> None:
    tls.sendall(SECRET)


def _write(tls: ssl.SSLSocket) -> None:
    assert tls.write(SECRET) == len(SECRET)


def _sendfile(tls: ssl.SSLSocket) -> None:
    with tempfile.TemporaryFile() as file:
        file.write(SECRET)
        file.seek(0)
        assert tls.sendfile(file) == len(SECRET)


def _makefile_write(tls: ssl.SSLSocket) -> None:
    with tls.makefile("wb", buffering=0) as file:
        assert file.write(SECRET) == len(SECRET)


def _recv(tls: ssl.SSLSocket) -> bytes:
    return tls.recv(100)


def _recv_into(tls: ssl.SSLSocket) -> bytearray:
    buffer = bytearray(100)
    return buffer[: tls.recv_into(buffer)]


def _read(tls: ssl.SSLSocket) -> bytes:
    return tls.read(100)


def _read_into(tls: ssl.SSLSocket) -> bytearray:
    buffer = bytearray(100)
    # The stubs do not know that read() counts when it is given a buffer.
    return buffer[: cast("int", tls.read(100, buffer))]


def _makefile_read(tls: ssl.SSLSocket) -> bytes:
    with tls.makefile("rb") as file:
        return file.read(len(GREETING))


WRITES: dict[str, Operation] = {
    "send": _send,
    "sendall": _sendall,
    "write": _write,
    "sendfile": _sendfile,
    "makefile-write": _makefile_write,
}
READS: dict[str, Operation] = {
    "recv": _recv,
    "recv_into": _recv_into,
    "read": _read,
    "read-into-a-buffer": _read_into,
    "makefile-read": _makefile_read,
}
OPERATIONS: dict[str, Operation] = {
    "do_handshake": lambda tls: tls.do_handshake(),
    **WRITES,
    **READS,
}

any_write = pytest.mark.parametrize("operation", WRITES.values(), ids=WRITES)
any_read = pytest.mark.parametrize("operation", READS.values(), ids=READS)
any_operation = pytest.mark.parametrize(
    "operation", OPERATIONS.values(), ids=OPERATIONS
)


# ---------------------------------------------------------------------------
# Contexts and servers
# ---------------------------------------------------------------------------


def trusting(pki: Pki, policy: Policy | PinSet | None = None) -> ssl.SSLContext:
    """Make a client context that trusts both roots, pinned if *policy* is there."""
    context = client_context(pki.root, pki.rogue_root)
    if policy is not None:
        assert pin_context(context, policy) is context
    return context


def pinning(pki: Pki) -> Policy:
    """Pin the key of `pki.server` for localhost."""
    return Policy({"localhost": [pki.server.pin]}, unpinned="reject")


def pins_in(place: str, pin: str) -> PinSet:
    """Make a PinSet with one pin, in the list of the name *place*."""
    lists: dict[str, Any] = {place: [pin]}
    return PinSet(**lists)


def unverifying(pki: Pki, policy: Policy | PinSet | None = None) -> ssl.SSLContext:
    """Make a client context that knows the roots and verifies nothing."""
    context = trusting(pki, policy)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def later(
    context: ssl.SSLContext,
    server: TLSServer,
    server_hostname: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """Connect to *server*, with the handshake left for later."""
    return context.wrap_socket(
        server.connect(),
        server_hostname=server_hostname,
        do_handshake_on_connect=False,
        session=session,
    )


def connect(
    context: ssl.SSLContext,
    server: TLSServer,
    server_hostname: str | None = "localhost",
) -> ssl.SSLSocket:
    """Connect to *server*, handshake included."""
    return context.wrap_socket(server.connect(), server_hostname=server_hostname)


def echo(tls: ssl.SSLSocket, data: bytes = SECRET) -> None:
    """Send *data* to an echo server and expect it back."""
    tls.sendall(data)
    back = b""
    while len(back) < len(data):
        part = tls.recv(len(data) - len(back))
        assert part
        back += part
    assert back == data


def converse(link: MemoryLink) -> None:
    """Let the client of *link* write SECRET and read the server's echo."""
    link.run(lambda: link.client.write(SECRET))
    assert link.run(lambda: link.client.read(100)) == SECRET


def raised_by(operation: Callable[[Any], object], tls: object) -> Exception | None:
    """Do *operation* on *tls*, and return what it raised."""
    try:
        operation(tls)
    except Exception as error:  # noqa: BLE001 - which it is, is the question
        return error
    return None


def assert_nothing_said(record: Record) -> None:
    """Check that no byte of the application came, encrypted or in clear."""
    assert record.application == b""
    assert SECRET not in record.wire


def assert_refused(
    context: ssl.SSLContext, server: TLSServer, record: int = 0
) -> PinningError:
    """Check that *context* refuses *server*, and that nothing was said."""
    with later(context, server) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert tls.fileno() == -1
    assert_nothing_said(server.record(record))
    return caught.value


def reason(error: PinningError) -> Reason:
    """Return why *error* was raised."""
    assert error.report is not None
    assert not error.report.accepted
    return error.report.reason


# ---------------------------------------------------------------------------
# The right pin: everything works as without
# ---------------------------------------------------------------------------


@any_write
def test_a_pinned_socket_writes_in_every_way(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation
) -> None:
    """Whatever way an application writes first, the data arrives and echoes."""
    server = serve(server_context(pki.server, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        operation(tls)
        assert tls.recv(100) == SECRET
        operation(tls)  # and again, now that the pin is verified
        assert tls.recv(100) == SECRET
    assert server.record().application == 2 * SECRET


@any_read
def test_a_pinned_socket_reads_in_every_way(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, operation: Operation
) -> None:
    """Whatever way an application reads first, it gets what the server sent."""
    server = serve(server_context(pki.server, version=version), greeting=GREETING)
    with later(trusting(pki, pinning(pki)), server) as tls:
        assert operation(tls) == GREETING
        tls.sendall(GREETING)
        assert operation(tls) == GREETING


def test_a_pinned_socket_is_an_ssl_socket(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """What a client asks of its socket is answered as without pins."""
    server = serve(server_context(pki.server, version=version))
    with connect(trusting(pki, pinning(pki)), server) as tls:
        assert isinstance(tls, ssl.SSLSocket)
        assert tls.version() == version.name.replace("_", ".").replace("TLSv", "TLSv")
        assert tls.getpeercert(binary_form=True) == pki.server.der
        assert tls.server_hostname == "localhost"
        assert tls.cipher() is not None
        assert tls.pending() == 0
        echo(tls, bytes(range(256)) * 4096)


def test_a_pinned_socket_unwraps(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """unwrap() says goodbye, hears goodbye, and returns the socket."""
    server = serve(server_context(pki.server, version=version))
    with connect(trusting(pki, pinning(pki)), server) as tls:
        echo(tls)
        tls.unwrap().close()
    assert server.record().error is None


def test_a_pinned_socket_connects_by_itself(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket that is wrapped first and connected later shakes hands then."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        tls.connect(server.address)
        echo(tls)


def _wait(tls: ssl.SSLSocket, operation: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Repeat *operation* on a non-blocking socket until it is done."""
    while True:
        try:
            return operation()
        except ssl.SSLWantReadError:
            assert select.select([tls], [], [], LIMIT)[0]
        except ssl.SSLWantWriteError:
            assert select.select([], [tls], [], LIMIT)[1]


@pytest.mark.parametrize("handshake_first", [True, False])
def test_a_pinned_socket_works_without_blocking(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, *, handshake_first: bool
) -> None:
    """A non-blocking client gets SSLWantReadError, and then its data."""
    server = serve(server_context(pki.server, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        tls.settimeout(0)
        if handshake_first:
            _wait(tls, tls.do_handshake)
            assert tls.version() is not None
        assert _wait(tls, lambda: tls.send(SECRET)) == len(SECRET)
        assert _wait(tls, lambda: tls.recv(100)) == SECRET


def test_a_pinned_socket_connects_without_blocking(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """connect_ex() in progress, select(), do_handshake(): as documented."""
    server = serve(server_context(pki.server, version=version))
    sock = new_socket()
    sock.settimeout(0)
    context = trusting(pki, pinning(pki))
    with context.wrap_socket(
        sock, server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:
        tls.connect_ex(server.address)
        assert select.select([], [tls], [], LIMIT)[1]
        _wait(tls, tls.do_handshake)
        tls.settimeout(LIMIT)
        echo(tls)


def test_a_timeout_stays_a_timeout(pki: Pki, serve: Serve) -> None:
    """A server that says nothing is no mismatch: nobody should look for a MITM."""
    server = serve(server_context(pki.server), silent=True)
    with later(trusting(pki, pinning(pki)), server) as tls:
        tls.settimeout(0.05)
        for operation in OPERATIONS.values():
            with pytest.raises(TimeoutError):
                operation(tls)
    assert_nothing_said(server.record())


def test_a_pkix_failure_stays_a_pkix_failure(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """What validation refuses is not called a mismatch of pins."""
    server = serve(server_context(pki.impostor, version=version))
    context = pin_context(client_context(pki.root), pinning(pki))
    with later(context, server) as tls:
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            tls.sendall(SECRET)
        assert not isinstance(caught.value, PinningError)
    assert_nothing_said(server.record())


def test_methods_taken_before_the_handshake_work_after_it(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Bound methods that a caller keeps (as uvloop does) are gated and then work."""
    context = trusting(pki, pinning(pki))
    good = serve(server_context(pki.server, version=version))
    with later(context, good) as tls:
        sendall, recv = tls.sendall, tls.recv
        for _ in range(3):
            sendall(SECRET)
            assert recv(100) == SECRET
    bad = serve(server_context(pki.impostor, version=version))
    with later(context, bad) as tls:
        sendall, recv = tls.sendall, tls.recv
        for _ in range(3):
            with pytest.raises(PinningError):
                sendall(SECRET)
            with pytest.raises(PinningError):
                recv(100)
    assert_nothing_said(bad.record())


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
    [operation for operation in OPERATIONS.values() if operation is not _sendfile],
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
            _wait(tls, lambda: _or_wait(operation, tls))
    assert_nothing_said(server.record())


def _or_wait(operation: Operation, tls: ssl.SSLSocket) -> object:
    """Do *operation*; turn a file's "nothing yet", None, into a socket's."""
    result = operation(tls)
    if result is None and operation in (_makefile_read, _makefile_write):
        raise ssl.SSLWantReadError
    return result


def test_pitfall_1_a_second_thread_cannot_slip_in_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Between the end of the handshake and the check, no other thread may write.

    OpenSSL's handshake releases the GIL, so another thread can come then. Here
    it comes each time, at the worst moment.
    """
    server = serve(server_context(pki.impostor, version=version), echo=False)
    turns: list[Future[None]] = []

    class Interrupted(ssl.SSLSocket):
        """At the end of its first handshake, another thread has its turn."""

        starting = True

        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            super().do_handshake(block)
            if self.starting:
                self.starting = False
                turns.append(pool.submit(self.sendall, SECRET))
                turns[-1].exception(LIMIT)

    context = trusting(pki)
    context.sslsocket_class = Interrupted
    with ThreadPoolExecutor(1) as pool, later(context, server) as tls:
        tls.do_handshake()
    assert server.record(0).application == SECRET

    pin_context(context, pinning(pki))
    with (
        ThreadPoolExecutor(1) as pool,
        later(context, server) as tls,
        pytest.raises(PinningError),
    ):
        tls.do_handshake()
    assert isinstance(turns[-1].exception(LIMIT), PinningError)
    assert_nothing_said(server.record(1))


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
# Pitfalls 5 to 7, and 20: which chain is looked at
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["pins", "ca", "leaf"])
@pytest.mark.parametrize("who", ["server", "ca", "root"])
def test_pitfall_5_a_certificate_that_is_only_appended_counts_for_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """The impostor appends a pinned certificate, which is public, to its chain.

    Who looks at the chain as sent, and not at the verified one, finds the pin
    (CVE-2016-2402).
    """
    pinned: Identity = getattr(pki, who)
    server = serve(server_context(pki.impostor, version=version, extra=[pinned]))
    with connect(trusting(pki), server) as tls:
        assert pinned.der in unverified_chain(tls)
        assert pinned.der not in verified_chain(tls)

    policy = pins_in(place, pinned.pin)
    error = assert_refused(trusting(pki, policy), server, record=1)
    assert reason(error) is Reason.MISMATCH
    assert error.report is not None
    assert pinned.pin not in map(str, error.report.chain)


@pytest.mark.parametrize("place", ["pins", "ca"])
@pytest.mark.parametrize("who", ["ca", "root"])
def test_a_pinned_authority_is_found_in_the_verified_chain(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """The root is matched although a server does not send it."""
    server = serve(server_context(pki.server, version=version))
    pinned: Identity = getattr(pki, who)
    with connect(trusting(pki, pins_in(place, pinned.pin)), server) as tls:
        echo(tls)


def test_a_cross_signed_authority_keeps_its_key_and_not_its_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """An SPKI pin survives cross-signing, a certificate pin does not."""
    crossed = pki.rogue_root.cross_sign(pki.ca)
    leaf = crossed.leaf("localhost")
    server = serve(server_context(leaf, version=version))
    trusting_one = client_context(pki.rogue_root)
    pin_context(trusting_one, PinSet(ca=[pki.ca.pin]))
    with connect(trusting_one, server) as tls:
        echo(tls)
    pin_context(trusting_one, PinSet(ca=[pki.ca.certificate_pin]))
    assert_refused(trusting_one, server, record=1)


@pytest.mark.parametrize("place", ["pins", "ca"])
@pytest.mark.parametrize("who", ["ca", "root"])
def test_pitfall_6_without_verification_an_authority_proves_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """Under CERT_NONE a leaf that merely names a pinned authority is refused.

    OpenSSL builds the "verified" chain by names then, and checks no signature:
    the forged leaf stands there under the pinned authority.
    """
    pinned: Identity = getattr(pki, who)
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    with connect(unverifying(pki), server) as tls:
        assert pinned.der in verified_chain(tls)

    context = unverifying(pki, pins_in(place, pinned.pin))
    error = assert_refused(context, server, record=1)
    assert reason(error) is Reason.MISMATCH
    assert error.report is not None
    assert list(map(str, error.report.chain)) == [forged.pin]


@pytest.mark.parametrize("place", ["pins", "leaf"])
def test_pitfall_6_without_verification_a_pinned_leaf_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The handshake itself proves the leaf's key: so devices are pinned."""
    device = self_signed("device.local")
    server = serve(server_context(device, version=version))
    context = unverifying(pki, pins_in(place, device.pin))
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    pin_context(context, pins_in(place, device.certificate_pin))
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    pin_context(context, pins_in(place, self_signed("device.local").pin))
    assert_refused(context, server, record=2)


def test_pitfall_6_without_verification_a_memory_link_is_leaf_only(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The same for an SSLObject."""
    server = server_context(pki.ca.forged_leaf("localhost"), version=version)
    link = MemoryLink(unverifying(pki, PinSet(pins=[pki.ca.pin])), server)
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_7_verification_turned_on_too_late_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The mode is fixed when the TLS object is made, whatever the context says now.

    Who reads context.verify_mode after the handshake takes an unverified chain
    for a verified one.
    """
    context = unverifying(pki, PinSet(pins=[pki.ca.pin]))
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    with later(context, server) as tls:
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())

    context.verify_mode = ssl.CERT_NONE
    link = MemoryLink(context, server_context(forged, version=version))
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_7_verification_off_during_connect_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket wrapped before it is connected gets its TLS object in connect().

    Verification on before and after, off in between: the chain is not verified.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    with context.wrap_socket(
        new_socket(), server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:
        context.verify_mode = ssl.CERT_NONE
        tls.connect(server.address)
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_pitfall_7_verification_turned_off_leaves_the_leaf_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Once it is off, an authority is believed no more, and a leaf still is."""
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    server = serve(server_context(pki.server, version=version))
    with connect(context, server) as tls:
        echo(tls)
    with later(context, server) as tls:
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record(1))

    context.verify_mode = ssl.CERT_REQUIRED
    pin_context(context, PinSet(pins=[pki.server.pin]))
    with later(context, server) as tls:
        context.verify_mode = ssl.CERT_NONE
        echo(tls)


def test_pitfall_7_a_client_that_turns_verification_off_is_leaf_only(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """What `verify=False` of an HTTP library does to a pinned context.

    It sets CERT_NONE on the context it was given. The pins must hold then, and
    the pins of authorities must not.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    forged = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    assert_refused(context, forged)
    genuine = serve(server_context(pki.server, version=version))
    assert_refused(context, genuine)
    pin_context(context, PinSet(leaf=[pki.server.pin]))
    with connect(context, genuine) as tls:
        echo(tls)


@pytest.mark.parametrize("other", ["pinned", "plain", "used-once"])
def test_pitfall_7_another_context_on_the_object_changes_nothing_for_the_better(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, other: str
) -> None:
    """Setting `.context` neither verifies the chain nor lifts the pins."""
    pins = PinSet(pins=[pki.ca.pin])
    context = trusting(pki, pins if other == "pinned" else None)
    if other == "used-once":  # with pins for that one connection, which are over
        server = serve(server_context(pki.server, version=version))
        address = ("localhost", server.port)
        create_connection(address, pins, context=context).close()
    forged = server_context(pki.ca.forged_leaf("localhost"), version=version)
    link = MemoryLink(unverifying(pki, pins), forged)
    link.client.context = context
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_20_a_partial_chain_shows_the_pins_it_has(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A root pin fails where the chain stops at a trusted intermediate.

    Python 3.13's default context sets VERIFY_X509_PARTIAL_CHAIN. What was
    accepted with 3.11 is refused then, and only the pins in the message tell
    the user why.
    """
    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": PinSet(ca=[pki.root.pin])})
    context = pin_context(client_context(pki.root, pki.ca), policy)
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    with connect(context, server) as tls:
        echo(tls)

    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    error = assert_refused(context, server, record=1)
    seen = [pki.server.pin, pki.ca.pin]
    assert error.report is not None
    assert list(map(str, error.report.chain)) == seen
    for pin in [*seen, pki.root.pin]:
        assert pin in str(error)

    pin_context(context, Policy({"localhost": PinSet(ca=[pki.ca.pin])}))
    with connect(context, server) as tls:
        echo(tls)


# ---------------------------------------------------------------------------
# Resumption
# ---------------------------------------------------------------------------


def _session(context: ssl.SSLContext, server: TLSServer) -> ssl.SSLSession:
    """Make a session with *server* that can be resumed."""
    with connect(context, server) as tls:
        echo(tls)  # in TLS 1.3 the ticket comes with the first data
        assert tls.session is not None
        return tls.session


def test_pitfall_9_a_resumed_session_is_checked_with_the_pins_of_today(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A leaf pin is rechecked on a session that is older than the pins.

    The verified chain of a resumed session is empty: who takes that for
    "nothing to check" lets everybody in who was once let in.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = _session(context, server)
    with later(context, server, session=session) as tls:
        echo(tls)
        assert tls.session_reused
        assert verified_chain(tls) == []

    pin_context(context, Policy({"localhost": [pki.impostor.pin]}))
    with later(context, server, session=session) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    record = server.record(2)
    assert record.resumed
    assert_nothing_said(record)

    pin_context(context, Policy({"localhost": [pki.server.pin]}))
    with later(context, server, session=session) as tls:
        echo(tls)
        assert tls.session_reused


@pytest.mark.parametrize("place", ["pins", "ca"])
def test_pitfall_8_a_session_older_than_the_pins_matches_no_authority(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A session older than the pins holds no evidence of its authority."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = _session(context, server)
    pin_context(context, pins_in(place, pki.ca.pin))
    with later(context, server, session=session) as tls, pytest.raises(PinningError):
        tls.sendall(SECRET)
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)
    with connect(context, server) as tls:  # a full handshake shows the chain
        echo(tls)


@pytest.mark.parametrize("place", ["pins", "ca"])
def test_pitfall_8_a_resumed_session_matches_the_authority_it_was_verified_with(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The chain of the full handshake is evidence, for the policy of today.

    Without it every resumption under a pin of an authority would fail; if it
    were the verdict that is kept, a pin that was removed would still open.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pins_in(place, pki.ca.pin))
    session = _session(context, server)
    for pin in (pki.ca.pin, pki.root.pin):
        pin_context(context, pins_in(place, pin))
        with later(context, server, session=session) as tls:
            echo(tls)
            assert tls.session_reused
    pin_context(context, pins_in(place, pki.rogue_ca.pin))
    with later(context, server, session=session) as tls, pytest.raises(PinningError):
        tls.sendall(SECRET)
    record = server.record(3)
    assert record.resumed
    assert_nothing_said(record)


def test_pitfall_9_a_resumed_session_is_evidence_for_its_own_host_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """OpenSSL resumes under another name, and does not look at the name again."""
    server = serve(server_context(pki.ca.leaf("localhost"), version=version))
    context = trusting(pki, PinSet(ca=[pki.ca.pin]))
    session = _session(context, server)
    with later(context, server, "elsewhere.example", session) as tls:
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
        record = server.record(1)
    assert record.resumed
    assert record.server_name in {"elsewhere.example", "localhost"}
    assert_nothing_said(record)


def test_pitfall_9_a_resumed_session_is_evidence_for_its_own_leaf_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The chain of the genuine server does not vouch for the impostor's session."""
    impostor = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    session = _session(context, impostor)
    pin_context(context, PinSet(ca=[pki.ca.pin]))
    genuine = serve(server_context(pki.server, version=version))
    with connect(context, genuine) as tls:
        echo(tls)
    with later(context, impostor, session=session) as tls:
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
        record = impostor.record(1)
    assert record.resumed
    assert_nothing_said(record)


@pytest.mark.parametrize("rule", ["none", "pins", "leaf"])
def test_pitfall_8_a_resumed_session_does_not_hide_a_blocked_authority(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, rule: str
) -> None:
    """An authority is blocked after it was broken: sessions are older than that.

    Its impostor resumes the session that it once got, and shows no chain. Who
    looks for the blocked key in what is left, the leaf, does not find it.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    session = _session(context, server)
    leaf = [pki.impostor.pin]
    rules = {
        "none": {},
        "pins": {"localhost": PinSet(pins=leaf)},
        "leaf": {"localhost": PinSet(leaf=leaf)},
    }[rule]
    pin_context(context, Policy(rules, blocked=[pki.rogue_ca.pin]))
    with later(context, server, session=session) as tls, pytest.raises(PinningError):
        tls.sendall(SECRET)
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)

    error = assert_refused(context, server, record=2)  # the chain is shown again
    assert reason(error) is Reason.BLOCKED


def test_a_refused_peer_is_refused_again_when_it_resumes(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """No session of a refused handshake helps the next one."""
    server = server_context(pki.impostor, version=version)
    context = trusting(pki)
    link = MemoryLink(context, server)
    converse(link)
    session = link.client.session
    pin_context(context, pinning(pki))
    for _ in range(2):
        link = MemoryLink(context, server, session=session)
        with pytest.raises(PinningError):
            converse(link)
        assert link.application == b""
        if link.client.session is not None:
            session = link.client.session


def test_pitfall_13_renegotiation_is_turned_off(pki: Pki) -> None:
    """A TLS 1.2 peer could swap its certificate after the check otherwise."""
    context = trusting(pki)
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    pin_context(context, pinning(pki))
    assert context.options & ssl.OP_NO_RENEGOTIATION


@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_pitfall_12_a_peer_that_shows_no_certificate_at_all_is_refused(
    pki: Pki, mode: ssl.VerifyMode
) -> None:
    """An anonymous cipher suite of TLS 1.2 needs no certificate, and has no key.

    OpenSSL verifies nothing then, whatever the mode.
    """
    contexts = (trusting(pki), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for context in contexts:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers("aNULL:@SECLEVEL=0")
        except ssl.SSLError:
            pytest.skip("this OpenSSL has no anonymous cipher suites")
    client, server = contexts
    client.check_hostname = False
    client.verify_mode = mode
    control = MemoryLink(client, server)
    control.run(lambda: control.client.write(SECRET))
    assert control.application == SECRET

    for policy in (PinSet(pins=[pki.server.pin]), pinning(pki)):
        link = MemoryLink(pin_context(client, policy), server)
        with pytest.raises(PinningError) as caught:
            converse(link)
        assert reason(caught.value) is Reason.NO_CERTIFICATE
        assert link.application == b""


def test_pitfall_26_the_host_is_the_one_that_tls_verified(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """SSLSocket.server_hostname is an attribute that anybody may set.

    The name in the TLS object is the one that was asked for and validated.
    """
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    with later(trusting(pki, policy), server) as tls:
        tls.server_hostname = "elsewhere.example"
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
    assert caught.value.report is not None
    assert caught.value.report.host == "localhost"
    assert_nothing_said(server.record())


def test_a_connection_tells_its_decision(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """`pin_report` is None until the check, then the report, also of a refusal."""
    context = trusting(pki, Policy({"localhost": [pki.ca.pin]}))
    with later(context, serve(server_context(pki.server, version=version))) as tls:
        assert _decision(tls) is None
        echo(tls)
        report = _decision(tls)
        assert report is not None
        assert report.accepted
        assert (str(report.matched), report.depth) == (pki.ca.pin, 1)
    with later(context, serve(server_context(pki.impostor, version=version))) as tls:
        with pytest.raises(PinningError) as caught:
            tls.do_handshake()
        assert _decision(tls) == caught.value.report
    link = MemoryLink(context, server_context(pki.server, version=version))
    assert _decision(link.client) is None
    link.run(link.client.do_handshake)
    assert _decision(link.client) is not None


def _decision(tls: ssl.SSLSocket | ssl.SSLObject) -> Report | None:
    report: Report | None = tls.pin_report  # type: ignore[union-attr]
    return report


# ---------------------------------------------------------------------------
# Policies
# ---------------------------------------------------------------------------


def test_a_host_without_a_rule_follows_the_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """unpinned="allow" lets it pass, unpinned="reject" does not."""
    server = serve(server_context(pki.server, version=version))
    rules = {"elsewhere.example": [pki.server.pin]}
    with connect(trusting(pki, Policy(rules, unpinned="allow")), server) as tls:
        echo(tls)
    with connect(trusting(pki, Policy(rules)), server) as tls:
        echo(tls)
    error = assert_refused(
        trusting(pki, Policy(rules, unpinned="reject")), server, record=2
    )
    assert reason(error) is Reason.NOT_PINNED


def test_a_host_carved_out_of_a_rule_is_as_one_without_a_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """UNPINNED lifts the wider rule for one host, and for no other."""
    server = serve(server_context(pki.impostor, version=version))
    rules: dict[str, Any] = {
        "**.localhost": [pki.server.pin],
        "other.localhost": UNPINNED,
    }
    context = trusting(pki, Policy(rules, unpinned="allow"))
    with connect(context, server, server_hostname="other.localhost") as tls:
        echo(tls)
    assert reason(assert_refused(context, server, record=1)) is Reason.MISMATCH
    pin_context(context, Policy(rules, unpinned="reject"))
    with pytest.raises(PinningError) as caught:
        connect(context, server, server_hostname="other.localhost")
    assert reason(caught.value) is Reason.NOT_PINNED


def test_a_blocked_key_is_refused_for_a_host_without_a_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The policy-wide list is looked at for every peer."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, Policy({}, blocked=[pki.rogue_ca.pin]))
    assert reason(assert_refused(context, server)) is Reason.BLOCKED


def test_a_leaf_that_is_pinned_does_not_excuse_the_rest_of_the_chain(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A check that stops at the right leaf would not see what stands above it."""
    server = serve(server_context(pki.server, version=version))
    leaf, authority = [pki.server.pin], [pki.ca.pin]
    other = [pki.rogue_ca.pin]
    attempts = 0

    def outcome(policy: Policy | PinSet) -> Reason | None:
        nonlocal attempts
        attempts += 1
        context = trusting(pki, policy)
        try:
            with connect(context, server) as tls:
                echo(tls)
        except PinningError as error:
            assert_nothing_said(server.record(attempts - 1))
            return reason(error)
        return None

    for pins in (PinSet(leaf=leaf), PinSet(pins=leaf), PinSet(leaf=leaf, ca=authority)):
        assert outcome(pins) is None
    for pins in (
        PinSet(leaf=leaf, ca=other),
        PinSet(leaf=leaf, pins=other),
        PinSet(pins=leaf, ca=other),
        PinSet(leaf=other, ca=authority),
    ):
        assert outcome(pins) is Reason.MISMATCH
        assert outcome(Policy({"localhost": pins})) is Reason.MISMATCH
    for blocked in (leaf, authority, [pki.root.pin], [pki.root.certificate_pin]):
        assert outcome(PinSet(leaf=leaf, blocked=blocked)) is Reason.BLOCKED
        assert outcome(PinSet(pins=leaf, blocked=blocked)) is Reason.BLOCKED
        rules = {"localhost": leaf}
        assert outcome(Policy(rules, blocked=blocked)) is Reason.BLOCKED
    assert outcome(Policy({"localhost": leaf}, blocked=other)) is None


def test_a_pin_set_applies_whatever_the_host(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A PinSet in place of a Policy has no host to look up."""
    context = trusting(pki, PinSet(pins=[pki.server.pin]))
    server = serve(server_context(pki.server, version=version))
    for host in ("localhost", "other.localhost"):
        with connect(context, server, server_hostname=host) as tls:
            echo(tls)
    context.check_hostname = False
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(context, impostor)


def test_report_mode_lets_the_data_flow_and_logs(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A policy on trial breaks nothing, and says what it would have refused."""
    # A policy that no other test has: what was logged already is held back.
    pins = [pki.server.pin, sha256_pin(version.name.encode())]
    policy = Policy({"localhost": PinSet(pins=pins, mode="report")})
    context = trusting(pki, policy)
    server = serve(server_context(pki.impostor, version=version))
    caplog.set_level(logging.INFO, logger="pinverify")
    with connect(context, server) as tls:
        echo(tls)
    records = [r for r in caplog.records if r.name.startswith("pinverify")]
    assert len(records) == 1
    assert records[0].levelno >= logging.WARNING
    assert "localhost" in records[0].getMessage()
    assert pki.impostor.pin in records[0].getMessage()

    caplog.clear()
    good = serve(server_context(pki.server, version=version))
    with connect(context, good) as tls:
        echo(tls)
    assert not [r for r in caplog.records if r.name.startswith("pinverify")]


def test_two_contexts_do_not_share_their_pins(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Each context has its own policy, and the stdlib's classes stay as they are."""
    before = (ssl.SSLContext.sslsocket_class, ssl.SSLContext.sslobject_class)
    server = serve(server_context(pki.server, version=version))
    right = trusting(pki, pinning(pki))
    wrong = trusting(pki, Policy({"localhost": [pki.impostor.pin]}))
    with connect(right, server) as tls:
        echo(tls)
    assert_refused(wrong, server, record=1)
    with connect(right, server) as tls:
        echo(tls)
    with connect(trusting(pki), server) as tls:
        echo(tls)
    after = (ssl.SSLContext.sslsocket_class, ssl.SSLContext.sslobject_class)
    assert before == after == (ssl.SSLSocket, ssl.SSLObject)


def test_pinning_a_context_again_swaps_the_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """New handshakes follow the new policy, and nothing piles up on the context."""
    server = serve(server_context(pki.server, version=version))
    wrong = Policy({"localhost": [pki.impostor.pin]})
    context = trusting(pki, wrong)
    depth = len(context.sslsocket_class.__mro__)
    assert_refused(context, server)
    pin_context(context, pinning(pki))
    with connect(context, server) as tls:
        echo(tls)
    for _ in range(5):
        pin_context(context, wrong)
    assert_refused(context, server, record=2)
    assert len(context.sslsocket_class.__mro__) == depth


def test_a_new_policy_rules_over_handshakes_in_flight(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket wrapped under the old policy is decided by the new one."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))
    with later(context, server) as tls:
        pin_context(context, Policy({"localhost": [pki.impostor.pin]}))
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


# ---------------------------------------------------------------------------
# Pitfall 15: contexts that would not enforce anything
# ---------------------------------------------------------------------------


class _IgnoresForSockets(ssl.SSLContext):
    """Wraps sockets in a class of its own choice."""

    def wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        return ssl.SSLSocket._create(sock=sock, context=self, **options)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


class _IgnoresForObjects(ssl.SSLContext):
    """Wraps BIOs in a class of its own choice."""

    def wrap_bio(self, *bios: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401
        return ssl.SSLObject._create(*bios, context=self, **options)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


class _Delegates(ssl.SSLContext):
    """Hands everything to a context inside, which knows nothing of our classes."""

    def __init__(self, protocol: int) -> None:
        self.inside = ssl.SSLContext(protocol)

    def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
        return self.inside.wrap_socket(*things, **options)

    def wrap_bio(self, *things: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401
        return self.inside.wrap_bio(*things, **options)


class _WantsPeers(ssl.SSLContext):
    """Looks at the peer of each socket at once, as truststore did before 0.10.5."""

    def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
        tls = super().wrap_socket(*things, **options)
        try:
            tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        except Exception:
            tls.close()
            raise
        return tls


def test_pitfall_15_a_context_that_can_not_be_tried_is_refused(pki: Pki) -> None:
    """The error names the next step; the context is as it was.

    That such a context enforces pins could not be seen without a peer.
    """
    context = _WantsPeers(ssl.PROTOCOL_TLS_CLIENT)
    before = dict(vars(context))
    with pytest.raises(TypeError, match=r"from truststore 0\.10\.5 on") as caught:
        pin_context(context, pinning(pki))
    assert isinstance(caught.value.__cause__, AttributeError)
    assert vars(context) == before


@pytest.mark.parametrize("side", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
@pytest.mark.parametrize("kind", [_IgnoresForSockets, _IgnoresForObjects, _Delegates])
def test_pitfall_15_a_context_that_ignores_the_hooks_is_refused(
    pki: Pki, kind: type[ssl.SSLContext], side: int
) -> None:
    """pin_context() raises TypeError rather than return a context without pins.

    Some libraries bring their own SSLContext whose wrap_socket() does not ask
    for `sslsocket_class`. Pins on it would be decoration.
    """
    with pytest.raises(TypeError):
        pin_context(kind(side), PinSet(pins=[pki.server.pin]))


def test_pitfall_15_a_context_around_a_pinned_one_is_refused(pki: Pki) -> None:
    """The pins of the context inside are not those that were asked for.

    The connections look pinned, and are: by another policy, here one on trial.
    """
    outer = _Delegates(ssl.PROTOCOL_TLS_CLIENT)
    pin_context(outer.inside, PinSet(pins=[pki.server.pin], mode="report"))
    with pytest.raises(TypeError):
        pin_context(outer, PinSet(pins=[pki.server.pin]))


def test_pitfall_15_what_is_no_context_is_refused(pki: Pki) -> None:
    """Neither a duck nor a policy in the wrong place is taken."""
    pins = PinSet(pins=[pki.server.pin])
    things: tuple[Any, ...] = (object(), None, ssl.SSLContext, pins)
    for thing in things:
        with pytest.raises(TypeError):
            pin_context(thing, pins)
    policies: tuple[Any, ...] = (None, {}, [pki.server.pin], "sha256/")
    for policy in policies:
        context = trusting(pki)
        with pytest.raises(TypeError):
            pin_context(context, policy)
        assert context.sslsocket_class is ssl.SSLSocket


def test_classes_that_are_on_the_context_already_are_kept(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Another library's socket class still sees its calls, behind the check."""
    sent = []

    class Counting(ssl.SSLSocket):
        def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401
            sent.append(bytes(data))
            return super().send(data, flags)

    class Object(ssl.SSLObject):
        pass

    context = trusting(pki)
    context.sslsocket_class = Counting
    context.sslobject_class = Object
    pin_context(context, pinning(pki))
    good = serve(server_context(pki.server, version=version))
    with connect(context, good) as tls:
        assert isinstance(tls, Counting)
        echo(tls)
    assert sent == [SECRET]
    bad = serve(server_context(pki.impostor, version=version))
    assert_refused(context, bad)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    assert isinstance(link.client, Object)
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))


@pytest.mark.parametrize(
    "replaced",
    [
        {"sslsocket_class": ssl.SSLSocket, "sslobject_class": ssl.SSLObject},
        {"sslsocket_class": ssl.SSLSocket},
        {"sslobject_class": ssl.SSLObject},
    ],
    ids=["both", "socket", "object"],
)
def test_pinning_again_sees_that_the_classes_are_still_there(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, replaced: dict[str, type]
) -> None:
    """Another library may have put its own class in our place meanwhile.

    A call that only swapped the policy would return a context without pins.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    for name, kind in replaced.items():
        setattr(context, name, kind)
    pin_context(context, pinning(pki))
    assert_refused(context, server)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_a_pin_context_that_fails_does_not_undo_another_one(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Two threads pin one context; one of them fails, for want of a socket, say.

    What it puts back must not be the time before the other one's success: that
    one has been told that its context is pinned.
    """

    class Failing(ssl.SSLContext):
        """Out of sockets once, after another thread has had its turn."""

        def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
            if turns:
                return super().wrap_socket(*things, **options)
            turns.append(pool.submit(pin_context, self, pinning(pki)))
            with contextlib.suppress(TimeoutError):  # it may have to wait for us
                turns[0].result(0.2)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    turns: list[Future[ssl.SSLContext]] = []
    context = Failing(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            pin_context(context, pinning(pki))
        assert turns[0].result(LIMIT) is context
    server = serve(server_context(pki.impostor, version=version))
    assert_refused(context, server)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))


def test_a_pin_context_that_fails_does_not_unpin_for_a_moment(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread fails to swap the policy, others go on connecting.

    They must find our classes on the context at every moment. A trace looks
    before each line that runs.
    """

    def fail(*_things: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    context = trusting(pki, pinning(pki))
    classes = (context.sslsocket_class, context.sslobject_class)
    seen = set()

    def trace(*_event: object) -> Any:  # noqa: ANN401
        seen.add((context.sslsocket_class, context.sslobject_class))
        return trace

    monkeypatch.setattr(socket, "socket", fail)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(OSError):
            pin_context(context, pinning(pki))
    finally:
        sys.settrace(before)
    assert seen == {classes}


def test_a_pin_context_that_fails_leaves_the_context_as_it_was(pki: Pki) -> None:
    """A TypeError is no half-pinned context."""
    context = _IgnoresForObjects(ssl.PROTOCOL_TLS_CLIENT)
    before = dict(vars(context))
    with pytest.raises(TypeError):
        pin_context(context, pinning(pki))
    assert vars(context) == before
    assert context.sslsocket_class is ssl.SSLSocket


def test_the_classes_of_a_pinned_context_on_another_one_stay_pinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Libraries copy contexts attribute by attribute: no pin may get lost so."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    copied = trusting(pki)
    copied.sslsocket_class = context.sslsocket_class
    copied.sslobject_class = context.sslobject_class
    assert_refused(copied, server)
    with contextlib.suppress(TypeError):
        pin_context(copied, PinSet(pins=[pki.root.pin]))
    assert_refused(copied, server, record=1)
    assert_refused(context, server, record=2)


def test_pitfall_29_a_context_with_pins_on_it_can_be_collected(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Contexts, their classes and their connections leave no trace.

    A server that makes a context per tenant would grow without end otherwise.
    """
    server = serve(server_context(pki.server, version=version))
    impostor = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    with connect(context, server) as tls:
        echo(tls)
    with pytest.raises(PinningError):
        connect(context, impostor)
    dead: list[weakref.ref[Any]] = [
        weakref.ref(context),
        weakref.ref(context.sslsocket_class),
        weakref.ref(context.sslobject_class),
        weakref.ref(type(tls)),
        weakref.ref(tls),
    ]
    del context, tls
    gc.collect()
    alive = [ref() for ref in dead if ref() is not None]
    # The classes of the stdlib and those shared by all contexts may stay.
    assert not [thing for thing in alive if not _is_shared(thing)]


def _is_shared(thing: object) -> bool:
    module = getattr(thing, "__module__", "")
    name = getattr(thing, "__qualname__", "<locals>")
    return isinstance(thing, type) and (
        module == "ssl" or (module.startswith("pinverify") and "<" not in name)
    )


# ---------------------------------------------------------------------------
# install: every context of the process
# ---------------------------------------------------------------------------


@pytest.fixture
def installed(pki: Pki) -> Iterator[None]:
    """Pin the key of `pki.server` for localhost, for every client of the process."""
    install(pinning(pki))
    try:
        yield
    finally:
        uninstall()
        assert ssl.SSLContext.sslsocket_class is ssl.SSLSocket
        assert ssl.SSLContext.sslobject_class is ssl.SSLObject


@pytest.mark.usefixtures("installed")
def test_pitfall_17_install_reaches_a_context_that_nobody_pinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A library that makes its own context is reached, and no server is."""
    with connect(
        trusting(pki), serve(server_context(pki.server, version=version))
    ) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(trusting(pki), impostor)
    uninstall()
    with connect(trusting(pki), impostor) as tls:
        echo(tls)


@pytest.mark.usefixtures("installed")
def test_a_context_with_pins_of_its_own_keeps_them_beside_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """pin_context() works on a process with install(), and its policy rules."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, PinSet(pins=[pki.impostor.pin]))
    with connect(context, server) as tls:
        echo(tls)
    address = ("localhost", server.port)
    pins = PinSet(ca=[pki.rogue_ca.pin])
    with create_connection(address, pins, context=trusting(pki)) as tls:
        echo(tls)
    assert_refused(trusting(pki), server, record=2)
    uninstall()
    pin_context(context, pinning(pki))
    assert_refused(context, server, record=3)


@pytest.mark.usefixtures("installed")
def test_pins_for_one_connection_do_not_lift_those_of_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """create_connection() leaves a context as it found it, here pinned by install."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    address = ("localhost", server.port)
    create_connection(address, PinSet(pins=[pki.impostor.pin]), context=context).close()
    assert_refused(context, server, record=1)


# ---------------------------------------------------------------------------
# Pitfall 26: the forms of a host
# ---------------------------------------------------------------------------

# What a client asks for, and the rule that must be found.
SAME_HOST = [
    ("localhost", "localhost"),
    ("LOCALHOST", "localhost"),
    ("localhost.", "localhost"),
    ("LocalHost.", "localhost"),
    (b"LOCALHOST", "localhost"),
    ("127.0.0.1", "127.0.0.1"),
    ("::1", "::1"),
    ("0:0:0:0:0:0:0:1", "::1"),
    ("::0001", "0:0:0:0:0:0:0:1"),
    ("b\u00fccher.example", "b\u00fccher.example"),
    ("B\u00dcCHER.example", "b\u00fccher.example"),
    ("xn--bcher-kva.example", "b\u00fccher.example"),
    ("XN--BCHER-KVA.EXAMPLE.", "b\u00fccher.example"),
    ("b\u00fccher.example", "xn--bcher-kva.example"),
    ("b\u00fccher\u3002example", "b\u00fccher.example"),  # an ideographic full stop
]


@pytest.mark.parametrize(("host", "rule"), SAME_HOST, ids=ascii)
def test_pitfall_26_every_form_of_a_host_finds_its_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str, rule: str
) -> None:
    """A host in another spelling is the same host, on sockets and objects.

    Otherwise an upper-case letter or a dot turns "pinned" into "not pinned".
    """

    def good() -> ssl.SSLContext:
        return server_context(pki.server, version=version)

    def bad() -> ssl.SSLContext:
        return server_context(pki.impostor, version=version)

    # Accepted only if the rule is found; refused only if the rule is found.
    accepting = trusting(pki, Policy({rule: [pki.server.pin]}, unpinned="reject"))
    refusing = trusting(pki, Policy({rule: [pki.server.pin]}, unpinned="allow"))
    for context in (accepting, refusing):
        context.check_hostname = False

    with connect(accepting, serve(good()), server_hostname=host) as tls:
        echo(tls)
    server = serve(bad())
    with later(refusing, server, server_hostname=host) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())

    link = MemoryLink(accepting, good(), server_hostname=host)
    link.run(lambda: link.client.write(SECRET))
    link = MemoryLink(refusing, bad(), server_hostname=host)
    with pytest.raises(PinningError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert reason(caught.value) is Reason.MISMATCH


@pytest.mark.parametrize(
    "host",
    [
        None,
        "127.1",
        "127.0.0.01",
        "0x7f.0.0.1",
        "local host",
        "[::1]",
        "::1%lo",
        "localhost:443",
    ],
    ids=ascii,
)
def test_pitfall_26_a_host_without_one_meaning_is_refused(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str | None
) -> None:
    """A host that is no host is BAD_HOST, never "not pinned".

    The policy here allows what is not pinned, and the peer is the right one:
    only the host is wrong.
    """
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    context = trusting(pki, policy)
    context.check_hostname = False
    server = serve(server_context(pki.server, version=version))
    with later(context, server, server_hostname=host) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.BAD_HOST
    assert_nothing_said(server.record())

    link = MemoryLink(
        context, server_context(pki.server, version=version), server_hostname=host
    )
    with pytest.raises(PinningError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert reason(caught.value) is Reason.BAD_HOST
    assert link.application == b""


@pytest.mark.parametrize("host", ["", "localhost..", ".localhost", "a\0b"], ids=ascii)
def test_pitfall_26_a_host_that_ssl_itself_refuses_stays_refused(
    pki: Pki, host: str
) -> None:
    """These never get as far as a handshake."""
    context = trusting(pki, PinSet(pins=[pki.server.pin]))
    context.check_hostname = False
    with pytest.raises((ValueError, TypeError)):
        MemoryLink(context, server_context(pki.server), server_hostname=host)


@pytest.mark.parametrize(
    "host", ["fa\u00df.example", "\u03b2\u03cc\u03bb\u03bf\u03c2.example"], ids=ascii
)
def test_pitfall_26_a_name_that_two_standards_read_differently_is_never_unpinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str
) -> None:
    """A rule for such a name holds for a connection to it, or is refused.

    The ssl and socket modules follow IDNA 2003, where sharp s is "ss" and a
    final sigma a sigma; IDNA 2008 makes another name of it. A rule in the one
    reading would never be found by a connection in the other, in silence.
    """
    server = serve(server_context(pki.impostor, version=version))
    try:
        policy = Policy({host: [pki.server.pin]}, unpinned="allow")
    except PolicyError:
        return
    context = trusting(pki, policy)
    context.check_hostname = False
    with (
        later(context, server, server_hostname=host) as tls,
        pytest.raises(PinningError),
    ):
        tls.sendall(SECRET)
    assert_nothing_said(server.record())


# ---------------------------------------------------------------------------
# The server side: pins for client certificates
# ---------------------------------------------------------------------------


def _read_one(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    with context.wrap_socket(sock, server_side=True) as tls:
        data = tls.recv(100)
        tls.sendall(data)
        return data


@contextlib.contextmanager
def _serving(
    context: ssl.SSLContext,
) -> Iterator[tuple[socket.socket, Future[bytes]]]:
    """Serve one connection in a thread; yield its other end and what was read."""
    theirs, ours = socket.socketpair()
    with theirs, ours, ThreadPoolExecutor(1) as pool:
        theirs.settimeout(LIMIT)
        ours.settimeout(LIMIT)
        yield ours, pool.submit(_read_one, context, theirs)


def _talk(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    """Say SECRET to a server, and return its answer, empty if it hangs up."""
    # A server that refuses a client may close before the client has spoken.
    with (
        contextlib.suppress(OSError),
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(SECRET)
        return tls.recv(100)
    return b""


def _client_of(pki: Pki, identity: Identity | None) -> ssl.SSLContext:
    return client_context(pki.root, identity=identity)


@pytest.mark.parametrize("place", ["pins", "leaf"])
def test_a_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion, place: str
) -> None:
    """Both clients come from the same authority; only one key is pinned."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.stranger), sock) == SECRET
        assert served.result(LIMIT) == SECRET

    pin_context(context, pins_in(place, pki.client.pin))
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.client), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.stranger), sock) == b""
        error = served.exception(LIMIT)
    assert isinstance(error, PinningError)
    assert reason(error) is Reason.MISMATCH


def test_a_server_accepts_the_clients_of_a_pinned_authority(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A `ca` pin holds for clients too, over their verified chain."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(context, PinSet(ca=[pki.ca.pin]))
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.stranger), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    pin_context(context, PinSet(ca=[pki.rogue_ca.pin]))
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.stranger), sock) == b""
        assert isinstance(served.exception(LIMIT), PinningError)


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_NONE])
def test_pitfall_12_a_client_without_a_certificate_is_refused(
    pki: Pki, version: ssl.TLSVersion, mode: ssl.VerifyMode
) -> None:
    """Pins apply to a client that shows nothing, also where none is asked for."""
    context = server_context(
        pki.server, version=version, client_authority=pki.root, client_mode=mode
    )
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, None), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, None), sock) == b""
        error = served.exception(LIMIT)
    assert isinstance(error, PinningError)
    assert reason(error) is Reason.NO_CERTIFICATE


def test_pitfall_12_report_mode_does_not_excuse_a_missing_certificate(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """mode="report" relaxes a mismatch, never the absence of a key."""
    context = server_context(
        pki.server,
        version=version,
        client_authority=pki.root,
        client_mode=ssl.CERT_OPTIONAL,
    )
    pin_context(context, PinSet(leaf=[pki.client.pin], mode="report"))
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, pki.stranger), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    with _serving(context) as (sock, served):
        assert _talk(_client_of(pki, None), sock) == b""
        assert isinstance(served.exception(LIMIT), PinningError)


def test_pitfall_12_a_certificate_that_comes_after_the_handshake_is_not_asked_for(
    pki: Pki,
) -> None:
    """Post-handshake authentication would bring one after the decision.

    Nobody would look at it, and the application would take it for a pinned one.
    """
    context = server_context(
        pki.server,
        version=ssl.TLSVersion.TLSv1_3,
        client_authority=pki.root,
    )
    client = _client_of(pki, pki.client)
    client.post_handshake_auth = True
    for policy in (None, PinSet(leaf=[pki.client.pin])):
        if policy is not None:
            pin_context(context, policy)
        link = MemoryLink(client, context)
        for moment in ("before", "after"):
            if moment == "after":
                converse(link)
            error = raised_by(
                lambda tls: tls.verify_client_post_handshake(), link.server
            )
            assert isinstance(error, PinningError) is (policy is not None), moment


def test_pitfall_10_a_refused_client_gets_nowhere_with_its_ticket(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A client that was just refused resumes, and is refused again.

    A TLS 1.3 server gives its tickets before the pins are looked at.
    """
    context = server_context(pki.server, version=version, client_authority=pki.root)
    client = _client_of(pki, pki.stranger)
    link = MemoryLink(client, context)
    converse(link)
    session = link.client.session
    control = MemoryLink(client, context, session=session)
    converse(control)
    assert control.server.session_reused

    for pins in (PinSet(leaf=[pki.client.pin]), PinSet(ca=[pki.ca.pin])):
        pin_context(context, pins)
        link = MemoryLink(client, context, session=session)
        with pytest.raises(PinningError):
            converse(link)
        assert link.application == b""


def _select(listening: ssl.SSLContext, tenants: dict[str, ssl.SSLContext]) -> None:
    """Make *listening* answer each name of *tenants* with a context of its own."""

    def on_server_name(
        tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        tls.context = tenants.get(name or "", context)

    listening.sni_callback = cast("Any", on_server_name)


def test_pitfall_11_the_context_that_sni_selects_decides(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Each tenant has its own clients, whoever listens.

    The class of a connection comes from the context that listens. Taking the
    policy from there as well would let each tenant's clients into all others.
    """

    def tenant(identity: Identity) -> ssl.SSLContext:
        context = server_context(pki.server, version=version, client_authority=pki.root)
        return pin_context(context, PinSet(leaf=[identity.pin]))

    listening = tenant(pki.client)
    _select(listening, {"other.localhost": tenant(pki.stranger)})

    def talk(identity: Identity, host: str) -> MemoryLink:
        link = MemoryLink(_client_of(pki, identity), listening, server_hostname=host)
        link.run(lambda: link.client.write(SECRET))
        return link

    for right, wrong, host in (
        (pki.client, pki.stranger, "localhost"),
        (pki.stranger, pki.client, "other.localhost"),
    ):
        assert talk(right, host).application == SECRET
        with pytest.raises(PinningError):
            talk(wrong, host)


def test_pitfall_11_a_session_of_one_tenant_opens_no_other(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A client takes the ticket that one tenant gave it to another one."""
    client = _client_of(pki, pki.client)
    tenants = {
        host: server_context(pki.server, version=version, client_authority=pki.root)
        for host in ("localhost", "other.localhost")
    }
    pin_context(tenants["localhost"], PinSet(leaf=[pki.client.pin]))
    listening = tenants["localhost"]
    _select(listening, tenants)
    link = MemoryLink(client, listening)
    converse(link)
    session = link.client.session

    pin_context(tenants["other.localhost"], PinSet(leaf=[pki.stranger.pin]))
    attack = MemoryLink(
        client, listening, server_hostname="other.localhost", session=session
    )
    with pytest.raises(PinningError):
        converse(attack)
    assert attack.application == b""


def test_pitfall_11_verification_that_only_the_selected_context_has_is_none(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A connection that began without verification asks for no certificate."""
    listening = server_context(pki.server, version=version)
    selected = server_context(pki.server, version=version, client_authority=pki.root)
    for context in (listening, selected):
        pin_context(context, PinSet(ca=[pki.ca.pin]))
    _select(listening, {"localhost": selected})
    link = MemoryLink(_client_of(pki, pki.client), listening)
    with pytest.raises(PinningError) as caught:
        converse(link)
    assert reason(caught.value) is Reason.NO_CERTIFICATE
    assert link.application == b""


def test_pitfall_11_verification_that_the_selected_context_lacks_is_none(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Verification must be on in both: else the chain is the leaf alone.

    The selected context is of somebody who verifies no client, and so believes
    no authority.
    """
    listening = server_context(pki.server, version=version, client_authority=pki.root)
    selected = server_context(
        pki.server,
        version=version,
        client_authority=pki.root,
        client_mode=ssl.CERT_NONE,
    )
    for context in (listening, selected):
        pin_context(context, PinSet(ca=[pki.ca.pin]))
    _select(listening, {"localhost": selected})
    client = _client_of(pki, pki.client)
    accepted = MemoryLink(client, listening, server_hostname="other.localhost")
    converse(accepted)
    link = MemoryLink(client, listening)
    with pytest.raises(PinningError) as caught:
        converse(link)
    assert reason(caught.value) is Reason.MISMATCH
    assert link.application == b""


def test_pitfall_11_a_selected_context_without_pins_lifts_none(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The pins of the context that listens hold, whatever is selected.

    A tenant who forgets the pins would let every client in otherwise.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(listening, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})
    converse(MemoryLink(_client_of(pki, pki.client), listening))
    link = MemoryLink(_client_of(pki, pki.stranger), listening)
    with pytest.raises(PinningError):
        converse(link)
    assert link.application == b""


def test_pitfall_11_a_context_that_listens_without_pins_checks_nobody(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A limit that the guide names, and the way out of it.

    The connection is made by the context that listens, and the selected one is
    never asked: `ssl` tells it nothing. So the pins are worth nothing until the
    one that listens has pins too, any pins: those of the selected one decide.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(selected, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})

    def heard(identity: Identity) -> bytes:
        link = MemoryLink(_client_of(pki, identity), listening)
        with contextlib.suppress(PinningError):
            converse(link)
        return bytes(link.application)

    assert heard(pki.stranger) == SECRET
    pin_context(listening, PinSet(leaf=[pki.impostor.pin]))
    assert heard(pki.stranger) == b""
    assert heard(pki.client) == SECRET


@pytest.mark.usefixtures("installed")
def test_pitfall_11_install_makes_the_selected_context_decide(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """With `install`, every context makes its connections with our classes.

    Its own policy leaves servers alone; the pins of the selected context count.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(selected, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})
    converse(MemoryLink(_client_of(pki, pki.client), listening))
    link = MemoryLink(_client_of(pki, pki.stranger), listening)
    with pytest.raises(PinningError):
        converse(link)
    alone = server_context(pki.server, version=version, client_authority=pki.root)
    converse(MemoryLink(_client_of(pki, pki.stranger), alone))


def test_a_listening_socket_hands_out_checked_connections(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """accept() on a wrapped listening socket, as http.server does it."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    plain = socket.create_server(("127.0.0.1", 0))
    with context.wrap_socket(plain, server_side=True) as listener:
        address = listener.getsockname()
        listener.settimeout(LIMIT)

        def serve_one() -> bytes:
            tls, _ = listener.accept()
            with tls:
                data: bytes = tls.recv(100)
                tls.sendall(data)
                return data

        with ThreadPoolExecutor(1) as pool:
            for identity, expected in ((pki.client, SECRET), (pki.stranger, b"")):
                served = pool.submit(serve_one)
                with socket.create_connection(address, LIMIT) as sock:
                    assert _talk(_client_of(pki, identity), sock) == expected
                if expected:
                    assert served.result(LIMIT) == expected
                else:
                    assert isinstance(served.exception(LIMIT), PinningError)


def test_a_policy_on_a_server_context_is_refused(pki: Pki) -> None:
    """A client has no host name to look up: the error names PinSet as the way."""
    context = server_context(pki.server, client_authority=pki.root)
    with pytest.raises((PolicyError, TypeError), match="PinSet"):
        pin_context(context, pinning(pki))
    assert context.sslsocket_class is ssl.SSLSocket
    assert context.sslobject_class is ssl.SSLObject


def test_a_policy_on_a_context_for_both_sides_refuses_clients(pki: Pki) -> None:
    """Where the side shows only when a socket is wrapped, no client passes."""
    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    pki.server.load_into(context)
    context.load_verify_locations(cadata=pki.root.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    with contextlib.suppress(PolicyError, TypeError):
        pin_context(context, policy)
        with _serving(context) as (sock, served):
            assert _talk(_client_of(pki, pki.client), sock) == b""
            assert served.exception(LIMIT) is not None


@pytest.mark.parametrize("side", ["client", "server"])
def test_data_from_before_the_handshake_is_still_refused(pki: Pki, side: str) -> None:
    """The stdlib's remedy for CVE-2023-40217 works through our class as well.

    A peer that sends in clear and resets the connection before it is wrapped
    must not have its bytes taken for decrypted ones.
    """
    context = (
        trusting(pki, pinning(pki))
        if side == "client"
        else pin_context(
            server_context(pki.server, client_authority=pki.root),
            PinSet(leaf=[pki.client.pin]),
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        attacker = socket.create_connection(listener.getsockname(), LIMIT)
        victim, _ = listener.accept()
    attacker.sendall(b"DELETE /everything HTTP/1.0\r\n\r\n")
    # Linger for no time: close() sends a reset.
    linger = struct.pack("ii", 1, 0)
    attacker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    attacker.close()
    with victim, pytest.raises(OSError) as caught:  # noqa: PT011  (see below)
        context.wrap_socket(
            victim,
            server_side=side == "server",
            server_hostname="localhost" if side == "client" else None,
            do_handshake_on_connect=False,
        ).recv(100)
    assert not isinstance(caught.value, PinningError)
    assert "before TLS handshake with data" in str(caught.value.args)


# ---------------------------------------------------------------------------
# asyncio
# ---------------------------------------------------------------------------


async def _open(
    context: ssl.SSLContext, server: TLSServer, how: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TLS connection in one of the ways asyncio has."""
    if how == "open_connection":
        return await asyncio.open_connection(
            *server.address, ssl=context, server_hostname="localhost"
        )
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        await writer.start_tls(context, server_hostname="localhost")
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _echo(context: ssl.SSLContext, server: TLSServer, how: str) -> bytes:
    reader, writer = await _open(context, server, how)
    try:
        writer.write(SECRET)
        await writer.drain()
        return await reader.readexactly(len(SECRET))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _run(coroutine: Any) -> Any:  # noqa: ANN401
    """Run a coroutine, for LIMIT seconds at most."""
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT))


any_way = pytest.mark.parametrize("how", ["open_connection", "start_tls"])


@any_way
def test_asyncio_accepts_the_right_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """Streams work as without pins."""
    server = serve(server_context(pki.server, version=version))
    assert _run(_echo(trusting(pki, pinning(pki)), server, how)) == SECRET


@any_way
def test_asyncio_refuses_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """The PinningError itself arrives, and the server reads nothing."""
    server = serve(server_context(pki.impostor, version=version))
    assert _run(_echo(trusting(pki), server, how)) == SECRET
    with pytest.raises(PinningError) as caught:
        _run(_echo(trusting(pki, pinning(pki)), server, how))
    assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@any_way
def test_pitfall_14_asyncio_keeps_the_client_certificate_from_an_impostor(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """A server with a wrong pin does not learn who the client is.

    The client's certificate leaves with its last flight: the check has to come
    before that flight does, for TLS 1.2 in the middle of the handshake.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )

    def presenting(policy: Policy | None) -> ssl.SSLContext:
        context = client_context(pki.root, pki.rogue_root, identity=pki.client)
        return context if policy is None else pin_context(context, policy)

    assert _run(_echo(presenting(None), server, how)) == SECRET
    assert server.record(0).client_certificate
    with pytest.raises(PinningError):
        _run(_echo(presenting(pinning(pki)), server, how))
    assert not server.record(1).client_certificate


def test_pitfall_14_a_socket_shows_the_client_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A limit that README.md names: OpenSSL writes to a socket by itself.

    The check can come when its handshake is over, and not before. Application
    data stays here all the same.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    context = client_context(pki.root, pki.rogue_root, identity=pki.client)
    with pytest.raises(PinningError):
        connect(pin_context(context, pinning(pki)), server)
    assert server.record().client_certificate
    assert_nothing_said(server.record())


def test_asyncio_never_starts_a_protocol_with_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """connection_made() comes after the check, and data_received() never."""
    calls: list[str] = []

    class Watching(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            cast("asyncio.Transport", transport).write(SECRET)
            calls.append("connection_made")

        def data_received(self, data: bytes) -> None:
            calls.append(f"data_received({data!r})")

    async def attack() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            Watching,
            *server.address,
            ssl=trusting(pki, pinning(pki)),
            server_hostname="localhost",
        )

    server = serve(server_context(pki.impostor, version=version), greeting=GREETING)
    with pytest.raises(PinningError):
        _run(attack())
    assert calls == []
    assert_nothing_said(server.record())


def test_asyncio_moves_a_megabyte_over_a_pinned_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The data path after the check is the stdlib's."""
    data = bytes(range(256)) * 4096

    async def exchange() -> bytes:
        reader, writer = await _open(context, server, "open_connection")
        writer.write(data)
        back = await reader.readexactly(len(data))
        writer.close()
        await writer.wait_closed()
        return back

    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    assert _run(exchange()) == data


def test_an_asyncio_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """No callback runs for a client whose key is not pinned, or who has none."""
    context = server_context(
        pki.server,
        version=version,
        client_authority=pki.root,
        client_mode=ssl.CERT_OPTIONAL,
    )
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    served: list[bytes] = []

    async def on_client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        data = await reader.read(100)
        served.append(data)
        writer.write(data)
        await writer.drain()
        writer.close()

    async def talk(identity: Identity | None, port: int) -> bytes:
        reader, writer = None, None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=_client_of(pki, identity),
                server_hostname="localhost",
            )
            writer.write(SECRET)
            await writer.drain()
            return await reader.read(100)
        except OSError:
            return b""
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def all_three() -> list[bytes]:
        server = await asyncio.start_server(on_client, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return [
                await talk(identity, port)
                for identity in (pki.stranger, None, pki.client)
            ]

    assert _run(all_three()) == [b"", b"", SECRET]
    assert served == [SECRET]


# ---------------------------------------------------------------------------
# What goes wrong inside the check
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, OSError, ValueError])
def test_an_error_inside_the_check_is_a_refusal(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
) -> None:
    """If there is no verdict the connection is not used, although the peer is right.

    What leaves the check is a PinningError all the same: event loops lose other
    exceptions, or take them for something that may be tried again.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))

    def fail(*_things: object, **_options: object) -> None:
        raise kind

    with later(context, server) as tls:
        with monkeypatch.context() as patch:
            patch.setattr(sslcontext, "_time", fail)
            patch.setattr(Policy, "evaluate", fail)
            patch.setattr(Policy, "verify", fail)
            with pytest.raises(PinningError) as caught:
                tls.sendall(SECRET)
        assert isinstance(caught.value.__cause__, kind)
        assert caught.value.report is None
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_an_interrupt_inside_the_check_does_not_open_the_socket(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C between handshake and verdict leaves the verdict open, not passed."""
    server = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))

    def interrupt(*_things: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with later(context, server) as tls:
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLSocket, "getpeercert", interrupt)
            patch.setattr(Policy, "evaluate", interrupt)
            patch.setattr(Policy, "verify", interrupt)
            with pytest.raises((KeyboardInterrupt, PinningError)):
                tls.sendall(SECRET)
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_nobody_gets_a_connection_whose_check_did_not_end(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
) -> None:
    """Where wrap_socket does the handshake, it raises, and the socket is closed."""
    server = serve(server_context(pki.server, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    made: list[ssl.SSLSocket] = []

    def fail(*_things: object, **_options: object) -> None:
        raise kind

    def note(sock: ssl.SSLSocket) -> object:
        made.append(sock)  # the only way to it before wrap_socket returns
        return socket.socket.getpeername(sock)

    with monkeypatch.context() as patch:
        patch.setattr(sslcontext, "_time", fail)
        patch.setattr(ssl.SSLSocket, "getpeername", note, raising=False)
        with pytest.raises(
            KeyboardInterrupt if kind is KeyboardInterrupt else PinningError
        ) as caught:
            context.wrap_socket(server.connect(), server_hostname="localhost")
    if isinstance(caught.value, PinningError):
        assert isinstance(caught.value.__cause__, kind)
        with pytest.raises(PinningError):
            made[0].sendall(SECRET)
    assert made[0].fileno() == -1
    assert_nothing_said(server.record())


def test_a_chain_that_differs_above_the_leaf_is_looked_at_again(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """What a host showed before does not stand for what it shows now.

    The second server has the same leaf with another intermediate above, which has
    the same name and key but is not the pinned certificate.
    """
    twin = pki.root.cross_sign(pki.ca)
    shows_twin = Identity(pki.server.certificate, pki.server.key, (twin.certificate,))
    policy = Policy({"localhost": PinSet(ca=[pki.ca.certificate_pin])})
    context = trusting(pki, policy)
    first = server_context(pki.server, version=version)
    for _ in range(2):
        link = MemoryLink(context, first)
        link.run(link.client.do_handshake)
    link = MemoryLink(context, server_context(shows_twin, version=version))
    with pytest.raises(PinningError) as caught:
        link.run(link.client.do_handshake)
    assert caught.value.report is not None
    assert caught.value.report.reason is Reason.MISMATCH
    pin_context(context, Policy({"localhost": PinSet(ca=[twin.certificate_pin])}))
    link = MemoryLink(context, server_context(shows_twin, version=version))
    link.run(link.client.do_handshake)


def test_the_public_names_are_there() -> None:
    """What this file uses is what the package exports."""
    names = ("pin_context", "Policy", "PinSet", "UNPINNED", "PinningError", "Reason")
    assert set(names) <= set(pinverify.__all__)


# ---------------------------------------------------------------------------
# What a reviewer found
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
    with pytest.raises(OSError, match="Bad file descriptor"):
        cast("_LineSocket", tls).line(SECRET)
    tls.close()
    assert_nothing_said(server.record())


@pytest.mark.parametrize("mode", [ssl.CERT_REQUIRED, ssl.CERT_NONE])
def test_a_leaf_that_is_the_whole_chain_may_be_resumed(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, mode: ssl.VerifyMode
) -> None:
    """Nothing blocked can hide above it, or nothing above it would have counted."""
    leaf = self_signed("localhost")
    context = ssl.create_default_context(cadata=leaf.pem)
    context.check_hostname = False
    context.verify_mode = mode
    pin_context(context, PinSet([leaf.pin], blocked=[pki.rogue_ca.pin]))
    server = serve(server_context(leaf, version=version))
    session = _session(context, server)
    with later(context, server, session=session) as tls:
        echo(tls)
        assert tls.session_reused


def test_a_handshake_that_is_done_may_be_done_again(pki: Pki) -> None:
    """Also by a method that was looked up before."""
    link = MemoryLink(trusting(pki, pinning(pki)), server_context(pki.server))
    do_handshake = link.client.do_handshake
    converse(link)
    do_handshake()
    link.client.do_handshake()


def test_the_c_object_is_freed_with_its_connection(pki: Pki) -> None:
    """The guard of a PENDING connection keeps nothing alive."""
    link = MemoryLink(trusting(pki, pinning(pki)), server_context(pki.server))
    pending = MemoryLink(trusting(pki, pinning(pki)), server_context(pki.server))
    converse(link)
    gone = [weakref.ref(link.client), weakref.ref(pending.client)]
    del link, pending
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
