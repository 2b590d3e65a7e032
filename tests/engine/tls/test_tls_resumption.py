"""Resumed sessions: they are checked again, and hide nothing.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs against a context without pins
and succeeds there, so no test here can pass by doing nothing.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    install,
    pin_context,
    report_of,
)
from pinverify.tls._memo import _SESSIONS_MAX, leaf_of, note_session
from pki import Pki, self_signed
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    assert_refused,
    client_of,
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
from tls_dialogues import Dialogues
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
        assert reason(caught.value) is Reason.NOT_CHECKED
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
def test_pitfall_64_a_chain_that_nobody_has_seen_is_no_mismatch(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    place: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The server is the right one, and its key has not changed: who was not checked.

    An application that takes a mismatch for an attack would raise a false alarm.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = session_of(context, server)
    told: list[Report] = []
    pin_context(context, pins_in(place, pki.ca.pin), on_report=told.append)
    with later(context, server, session=session) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert report_of(tls) is told[0] is caught.value.report
    assert [report.reason for report in told] == [Reason.NOT_CHECKED]
    assert told[0].resumed
    assert_nothing_said(server.record(1))
    assert "connect again without the session" in caught.value.strerror
    [line] = caplog.messages
    assert line.startswith(f"rejected: server NOT_CHECKED key={pki.server.pin} ")
    assert "connect again without the session" in line

    pin_context(context, PinSet(leaf=[pki.impostor.pin]))  # no chain could help
    with later(context, server, session=session) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.MISMATCH


@pytest.mark.parametrize("place", ["pins", "ca"])
def test_pitfall_64_a_server_does_not_call_an_old_session_a_mismatch(
    pki: Pki, place: str
) -> None:
    """A client whose session is older than the pins was not checked, either.

    OpenSSL keeps it in the memory of the process, as TLS 1.2 allows without tickets.
    """
    version = ssl.TLSVersion.TLSv1_2
    context = server_context(pki.server, version=version, client_authority=pki.root)
    context.options |= ssl.OP_NO_TICKET
    client = client_of(pki, pki.client)
    first = MemoryLink(client, context)
    converse(first)
    pin_context(context, pins_in(place, pki.ca.pin))
    again = MemoryLink(client, context, session=first.client.session)
    with pytest.raises(PinningError) as caught:
        converse(again)
    assert again.application == b""
    assert reason(caught.value) is Reason.NOT_CHECKED
    assert [str(pin) for pin in caught.value.report.chain] == [pki.client.pin]
    converse(MemoryLink(client, context))


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
        link = MemoryLink(context, server)
        link.client._sslobj.session = session  # type: ignore[attr-defined] # noqa: SLF001
        with pytest.raises(PinningError):
            converse(link)
        assert link.application == b""
        if link.client.session is not None:
            session = link.client.session


# ---- sessions that a client leaves out ---------------------------------------


def test_pitfall_59_a_session_older_than_the_pins_is_left_out(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """It would be refused each time, since nobody here has seen its chain."""
    server = server_context(pki.server, version=version)
    context = trusting(pki)
    session = dialogue(context, server).accepted().session
    assert dialogue(context, server, session=session).accepted().resumed
    for pins in (
        PinSet(ca=[pki.ca.pin]),
        PinSet(leaf=[pki.server.pin], blocked=[pki.rogue_ca.pin]),
    ):
        pin_context(context, pins)
        for _ in range(3):
            assert not dialogue(context, server, session=session).accepted().resumed


@pytest.mark.parametrize("place", ["leaf", "pins", "ca"])
def test_pitfall_59_a_session_that_was_accepted_is_offered_again(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues, place: str
) -> None:
    """Pins do not make handshakes full ones."""
    pin = pki.ca.pin if place == "ca" else pki.server.pin
    context = trusting(pki, pins_in(place, pin))
    server = server_context(pki.server, version=version)
    session = dialogue(context, server).accepted().session
    for _ in range(3):
        answered = dialogue(context, server, session=session).accepted()
        assert answered.resumed
        session = answered.session


def test_pitfall_59_a_session_with_a_key_that_was_replaced_is_left_out(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """The server has a new key, and its old tickets still open it."""
    server = server_context(pki.server, version=version)
    context = trusting(pki, PinSet(leaf=[pki.server.pin]))
    session = dialogue(context, server).accepted().session
    renewed = pki.ca.leaf("localhost")
    renewed.load_into(server)
    assert dialogue(context, server, session=session).accepted().resumed
    pin_context(context, PinSet(leaf=[renewed.pin]))
    assert not dialogue(context, server, session=session).accepted().resumed


@pytest.mark.usefixtures("installed")
def test_pitfall_59_installed_pins_leave_sessions_out(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """The policy of the process is replaced like that of a context."""
    server = server_context(pki.server, version=version)
    context = trusting(pki)
    session = None
    for pins, resumed in (
        (PinSet(leaf=[pki.server.pin]), False),
        (PinSet(pins=[pki.server.pin]), True),
        (PinSet(ca=[pki.ca.pin]), False),
        (PinSet(ca=[pki.ca.pin]), True),
    ):
        install(Policy({"localhost": pins}))
        answered = dialogue(context, server, session=session).accepted()
        assert answered.resumed is resumed
        session = answered.session


def test_pitfall_59_a_session_that_is_set_later_is_left_out(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The attribute `session` is another way to offer one."""
    server = server_context(pki.server, version=version)
    context = trusting(pki)
    first = MemoryLink(context, server)
    converse(first)
    old = first.client.session
    pin_context(context, PinSet(ca=[pki.ca.pin]))
    session = old
    for reused in (False, True):
        link = MemoryLink(context, server)
        link.client.session = session
        converse(link)
        assert link.client.session_reused is reused
        session = link.client.session
        with pytest.raises(ValueError, match="after handshake"):
            link.client.session = old


def test_pitfall_59_what_is_no_session_of_the_context_is_an_error(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """As without pins: a mistake of the application stays one."""
    server = server_context(pki.server, version=version)
    first = MemoryLink(trusting(pki), server)
    converse(first)
    mistakes: list[tuple[Any, type[Exception]]] = [
        (first.client.session, ValueError),
        ("text", TypeError),
    ]
    for context in trusting(pki), trusting(pki, PinSet(ca=[pki.ca.pin])):
        client: Any = MemoryLink(context, server).client
        for wrong, error in mistakes:
            with pytest.raises(error):
                MemoryLink(context, server, session=wrong)
            with pytest.raises(error):
                client.session = wrong


def test_only_the_latest_sessions_of_clients_are_known() -> None:
    """There is a bound, and the most recent ones stay."""

    class Session:
        def __init__(self, number: int) -> None:
            self.id = b"session %d" % number

    for number in range(_SESSIONS_MAX + 1):
        note_session(Session(number), b"leaf %d" % number)
        note_session(Session(0), b"leaf 0")
    assert leaf_of(Session(0)) == b"leaf 0"
    assert leaf_of(Session(1)) is None
    assert leaf_of(Session(2)) == b"leaf 2"
    no_ticket_yet = Session(0)
    no_ticket_yet.id = b""
    note_session(no_ticket_yet, b"leaf")
    assert leaf_of(no_ticket_yet) is None


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
