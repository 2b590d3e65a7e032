"""Pinned pyOpenSSL connections with the right key: everything works as without pins."""

from __future__ import annotations

import select
import ssl
from collections.abc import Callable
from typing import Any

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet
from pki import Pki
from pyopenssl_connections import (
    GREETING,
    READS,
    SECRET,
    WRITES,
    Operation,
    Serve,
    any_mode,
    any_operation,
    assert_nothing_said,
    connecting,
    echo,
    for_clients,
    pinning,
    report_of,
    trusting,
)
from tls_servers import LIMIT, server_context


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
        do_handshake, shutdown = conn.do_handshake, conn.shutdown
        sendall, recv = conn.sendall, conn.recv
        for _ in range(3):
            with pytest.raises(PinningError):
                do_handshake()
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
    """A refusal of the validation is not called a mismatch of pins."""
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
    """The callback collects the chain that OpenSSL calls verified."""
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
