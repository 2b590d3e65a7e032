"""Hosts, report mode, and contexts of pyOpenSSL that can't be pinned."""

from __future__ import annotations

import gc
import logging
import ssl
import weakref
from typing import Any

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet, Policy, PolicyError, Reason, Rules
from pinverify.tls.pyopenssl import PinnedConnections, pin_connection, verify
from pki import Pki
from pyopenssl_connections import (
    SECRET,
    Link,
    Serve,
    always,
    assert_nothing_said,
    connecting,
    echo,
    for_clients,
    in_memory,
    pinning,
    reason,
    report_of,
    trusting,
)
from tls_servers import server_context

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


def test_use_decides_about_connections_that_were_pinned_before(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A handshake is decided by the policy that is in force when it ends."""
    server = serve(server_context(pki.impostor, version=version))
    context = for_clients(pki)
    pins = PinnedConnections(pinning(pki))
    impostor = Policy({"localhost": [pki.impostor.pin]})
    with connecting(context, server) as conn, connecting(context, server) as other:
        for each in (conn, other):
            assert pins.pin(each) is each
        bad: Any = "sha256/"
        with pytest.raises(TypeError):
            pins.use(bad)
        with pytest.raises(PinningError):
            conn.send(SECRET)
        pins.use(impostor)
        echo(other)
        assert report_of(other).digest == impostor.digest
        other.shutdown()


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
    """A peer that report mode accepts is told once for a connection, and logged."""
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
    assert caplog.text.count("accepted without a match: server MISMATCH") == 1


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
        with pytest.raises(TypeError, match="pass it as callback="):
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


def test_rules_for_hosts_and_clients_need_the_name_of_the_peer(pki: Pki) -> None:
    """Nobody may choose a rule by sending a name, or be a client by having none."""
    rules = Rules({"localhost": [pki.server.pin]}, clients=PinSet([pki.client.pin]))
    policy = Policy(rules)
    for name in (None, b"elsewhere.example"):
        conn = SSL.Connection(for_clients(pki))
        conn.set_connect_state()
        if name is not None:
            conn.set_tlsext_host_name(name)
        with pytest.raises(PolicyError, match="which side a connection is on"):
            pin_connection(conn, policy)
        with pytest.raises(PolicyError, match="which side a connection is on"):
            verify(conn, policy)


def test_rules_for_hosts_and_clients_decide_about_a_named_server(
    pki: Pki, serve: Serve
) -> None:
    """A name that the application gives is enough; pins of clients do not count."""
    clients = PinSet([pki.server.pin])
    policy = Policy(Rules({"localhost": [pki.impostor.pin]}, clients=clients))
    server = serve(server_context(pki.server))
    with connecting(for_clients(pki), server, policy, host="localhost") as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    server = serve(server_context(pki.impostor))
    with connecting(for_clients(pki), server, policy, host="localhost") as conn:
        echo(conn)
