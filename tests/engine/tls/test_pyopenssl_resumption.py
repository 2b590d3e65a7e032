"""Resumed sessions of pyOpenSSL: they are checked again, and hide nothing."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet, Policy, Reason
from pki import Pki
from pyopenssl_connections import (
    SECRET,
    Link,
    Operation,
    Serve,
    always,
    any_mode,
    any_operation,
    any_place,
    assert_nothing_said,
    connecting,
    echo,
    for_clients,
    in_memory,
    pins_in,
    raised_by,
    reason,
    report_of,
    session_of,
    trusting,
    waiting,
)
from tls_servers import server_context


@any_place
def test_pitfall_8_a_session_older_than_the_pins_matches_no_authority(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A resumed session has no chain, so it holds no evidence of its authority.

    Who takes that for "nothing to check" lets everybody in who was once let in.
    """
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = session_of(context, server)
    pins = pins_in(place, pki.ca.pin)
    with connecting(context, server, pins, session=session) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.NOT_CHECKED
    record = server.record(1)
    assert record.resumed
    assert_nothing_said(record)


@any_place
def test_pitfall_64_a_chain_that_nobody_has_seen_is_no_mismatch(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The server is the right one; with leaf pins alone, no chain could help it."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = session_of(context, server)
    leaf_of_other = PinSet(leaf=[pki.impostor.pin])
    for policy, want in (
        (pins_in(place, pki.ca.pin), Reason.NOT_CHECKED),
        (leaf_of_other, Reason.MISMATCH),
    ):
        with connecting(context, server, policy, session=session) as conn:
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert reason(caught.value) is want
        advises = "connect again without the session" in str(caught.value)
        assert advises is (want is Reason.NOT_CHECKED)


@any_place
def test_pitfall_8_a_session_whose_chain_was_seen_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The chain of the full handshake is the evidence, for this host and leaf."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    pins = pins_in(place, pki.ca.pin)
    session = session_of(context, server, pins)
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
        session = session_of(context, server, leaf, callback=given)
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
    session = session_of(context, server, pins)
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
        session = session_of(context, server, first)
        with connecting(
            context, server, policy, name=b"other.localhost", session=session
        ) as conn:
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert reason(caught.value) is Reason.NOT_CHECKED
        record = server.record(2 * index + 1)
        assert record.resumed
        assert_nothing_said(record)


def test_pitfall_9_a_pin_that_was_removed_in_between_counts_no_more(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Every handshake is checked with today's pins, a resumed one too."""
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = session_of(context, server, PinSet(ca=[pki.ca.pin]))
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
    sessions = [session_of(context, server) for _ in range(3)]
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
        assert raised_by(operation, conn) is caught.value is conn.pin_error
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
    session = session_of(context, server)
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
    session = session_of(context, server)
    with connecting(context, server, Policy(rules), session=session) as conn:
        echo(conn)  # nothing blocked, nothing to see
        conn.shutdown()
    assert server.record(4).resumed
