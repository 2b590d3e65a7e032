"""The check after the handshake, without pinning: `pinverify.tls.pyopenssl.verify`."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet, Policy, Reason, Report
from pinverify.tls.pyopenssl import PinningSSLError, verify
from pki import Pki
from pyopenssl_connections import (
    Serve,
    connecting,
    for_clients,
    reason,
    session_of,
)
from tls_servers import server_context


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
    session = session_of(context, server)
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
