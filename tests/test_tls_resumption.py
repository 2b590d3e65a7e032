"""Resumed sessions: they are checked again, and hide nothing.

The cast stands in pki.py: `pki.server` is the peer the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. An attack is first run against a context without
pins, where it succeeds: so no test here can pass by doing nothing.
"""

from __future__ import annotations

import ssl

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, Report, pin_context
from pki import Pki, self_signed
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    assert_refused,
    connect,
    converse,
    echo,
    later,
    pinning,
    pins_in,
    reason,
    session_of,
    trusting,
)
from tls_servers import MemoryLink, server_context, verified_chain


def test_pitfall_9_a_resumed_session_is_checked_with_the_pins_of_today(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A leaf pin is rechecked on a session that is older than the pins.

    The verified chain of a resumed session is empty: who takes that for
    "nothing to check" lets everybody in who was once let in.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = session_of(context, server)
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
    session = session_of(context, server)
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
    session = session_of(context, server)
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
    session = session_of(context, server)
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
    session = session_of(context, impostor)
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
    session = session_of(context, server)
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


def test_report_mode_lets_a_session_pass_that_may_hide_a_blocked_key(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Report mode refuses nobody for pins, nor for a chain that is not shown."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = session_of(context, server)
    blocked = [pki.rogue_ca.pin]
    told: list[Report] = []
    on_trial = {"localhost": PinSet(ca=blocked, mode="report")}
    pin_context(context, Policy(on_trial, blocked=blocked), on_report=told.append)
    with later(context, server, session=session) as tls:
        echo(tls)
        assert tls.session_reused
    assert [report.reason for report in told] == [Reason.MISMATCH]
    pin_context(context, Policy({"localhost": [pki.server.pin]}, blocked=blocked))
    with later(context, server, session=session) as tls, pytest.raises(PinningError):
        tls.sendall(SECRET)


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
    session = session_of(context, server)
    with later(context, server, session=session) as tls:
        echo(tls)
        assert tls.session_reused
