"""Pinned sockets with the right key: everything works as it does without pins."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import weakref

import pytest

import pinverify
from pinverify import PinningError, pin_context
from pki import Pki
from tls_clients import (
    GREETING,
    OPERATIONS,
    SECRET,
    Operation,
    Serve,
    any_read,
    any_write,
    assert_nothing_said,
    connect,
    converse,
    echo,
    later,
    pinning,
    trusting,
    wait_until_ready,
)
from tls_servers import LIMIT, MemoryLink, client_context, new_socket, server_context


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
    """A client's questions to its socket are answered as without pins."""
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


def test_a_pinned_socket_goes_back_to_plain_text(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """After unwrap() it is a plain socket, as without pins: FTP has CCC for that."""
    server = serve(server_context(pki.server, version=version))
    for context in trusting(pki), trusting(pki, pinning(pki)):
        with connect(context, server) as tls:
            echo(tls)
            tls.unwrap()
            tls.send(SECRET)
        assert SECRET in server.record(len(server.records) - 1).wire


QUESTIONS = """
    cipher compression get_channel_binding get_unverified_chain get_verified_chain
    getpeercert pending selected_alpn_protocol shared_ciphers version
"""


def _answers(tls: ssl.SSLSocket) -> dict[str, object]:
    answers: dict[str, object] = {"session": (tls.session, tls.session_reused)}
    for name in QUESTIONS.split():
        try:
            answers[name] = getattr(tls, name)()
        except Exception as error:  # noqa: BLE001 - which it is, is the question
            answers[name] = type(error)
    return answers


def test_a_pinned_socket_without_tls_answers_as_one_without_pins(
    pki: Pki, serve: Serve
) -> None:
    """A program may ask it whatever it asks of others, connected or not."""
    server = serve(server_context(pki.server))
    answers = []
    for context in trusting(pki), trusting(pki, pinning(pki)):
        with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
            before = _answers(tls)
            socket.socket.connect(tls, server.address)
            answers.append((before, _answers(tls)))
    assert answers[0] == answers[1]


def test_a_pinned_socket_connects_by_a_context_that_it_was_given(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Its pins are those of the context that made it, if the other has none."""
    honest = serve(server_context(pki.server, version=version))
    impostor = serve(server_context(pki.impostor, version=version))
    for server, accepted in ((honest, True), (impostor, False)):
        context = trusting(pki, pinning(pki))
        with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
            tls.context = trusting(pki)
            if accepted:
                tls.connect(server.address)
                echo(tls)
            else:
                with pytest.raises(PinningError):
                    tls.connect(server.address)
    assert_nothing_said(impostor.record())


def test_a_pinned_socket_connects_by_itself(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket that is wrapped first and connected later shakes hands then."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        tls.connect(server.address)
        echo(tls)


@pytest.mark.parametrize("handshake_first", [True, False])
def test_a_pinned_socket_works_without_blocking(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, *, handshake_first: bool
) -> None:
    """A non-blocking client gets SSLWantReadError, and then its data."""
    server = serve(server_context(pki.server, version=version))
    with later(trusting(pki, pinning(pki)), server) as tls:
        tls.settimeout(0)
        if handshake_first:
            wait_until_ready(tls, tls.do_handshake)
            assert tls.version() is not None
        assert wait_until_ready(tls, lambda: tls.send(SECRET)) == len(SECRET)
        assert wait_until_ready(tls, lambda: tls.recv(100)) == SECRET


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
        wait_until_ready(tls, tls.do_handshake)
        tls.settimeout(LIMIT)
        echo(tls)


def test_a_refused_socket_leaves_an_event_loop_its_descriptor(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A loop watches the number of a non-blocking socket until it closes it itself.

    Closed behind its back, the number is soon another socket's, and the loop
    watches that one. So it is shut down, and the rest is for the loop. A blocking
    socket is closed at once.
    """
    server = serve(server_context(pki.impostor, version=version))
    for timeout, is_open in ((0, True), (LIMIT, False)):
        with later(trusting(pki, pinning(pki)), server) as tls:
            tls.settimeout(timeout)
            with pytest.raises(PinningError):
                wait_until_ready(tls, lambda: tls.send(SECRET))
            assert (tls.fileno() != -1) is is_open
            # Both ends of the connection are down: the server's came to its end.
            assert_nothing_said(server.record(len(server.records) - 1))


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
    """A refusal of the validation is not called a mismatch of pins."""
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


def test_the_public_names_are_there() -> None:
    """The package exports the names that these tests use."""
    names = ("pin_context", "Policy", "PinSet", "UNPINNED", "PinningError", "Reason")
    assert set(names) <= set(pinverify.__all__)


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
