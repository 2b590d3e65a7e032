"""Servers on pyOpenSSL with pins for their clients."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from OpenSSL import SSL, crypto

from pinverify import PinningError, PinSet, Policy, PolicyError, Reason, Report, Rules
from pinverify.tls import pyopenssl
from pinverify.tls.pyopenssl import PinnedConnections, pin_connection
from pki import Identity, Pki
from pyopenssl_connections import (
    SECRET,
    Link,
    client_of,
    for_servers,
    in_memory,
    pins_in,
    reason,
)
from tls_servers import LIMIT, client_context


def test_a_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Of two clients with valid certificates, the pinned one gets in."""
    context = for_servers(pki, version=version)
    for identity, accepted in ((pki.client, True), (pki.stranger, False)):
        client = in_memory(client_of(pki, identity))
        server = in_memory(context, PinSet(leaf=[pki.client.pin]), server=True)
        link = Link(client, server)
        link.talk()
        assert (link.heard == SECRET) is accepted
        assert (link.answer == SECRET) is accepted
        if not accepted:
            assert reason(link.errors.get("server")) is Reason.MISMATCH


@pytest.mark.parametrize("place", ["leaf", "pins", "ca"])
def test_pitfall_10_a_refused_client_gets_nowhere_with_its_ticket(
    pki: Pki, version: ssl.TLSVersion, place: str
) -> None:
    """A client resumes the session that it has, and is refused again.

    A server calls no verify callback then, and sees no chain. So it takes the ticket
    only where the leaf is enough.
    """
    context = for_servers(pki, version=version)
    client = client_of(pki, pki.stranger)
    first = Link(in_memory(client), in_memory(context, server=True))
    first.talk()
    assert first.heard == SECRET
    session = first.part()
    control = Link(in_memory(client, session=session), in_memory(context, server=True))
    control.talk()
    assert control.heard == SECRET
    assert control.server.get_verified_chain() is None  # as it resumed
    session = control.part()

    pin = pki.rogue_ca.pin if place == "ca" else pki.client.pin
    links = []
    for _ in range(2):
        server = in_memory(context, pins_in(place, pin), server=True)
        link = Link(in_memory(client, session=session), server)
        links.append(link)  # it would spoil the session when it goes
        link.talk()
        assert reason(link.errors.get("server")) is Reason.MISMATCH
        assert link.heard == link.answer == b""
        assert (server.get_verified_chain() is None) is (place == "leaf")
        # In TLS 1.3 the client has new tickets by now, if they were sent.
        session = link.client.get_session() or session


def test_a_pinned_client_may_resume(pki: Pki, version: ssl.TLSVersion) -> None:
    """A server recognises the client of an authority by what it saw before."""
    context = for_servers(pki, version=version)
    client = client_of(pki, pki.client)
    pins = PinSet(ca=[pki.ca.pin])
    session = None
    for resumed in (False, True):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client, session=session), server)
        link.talk()
        assert link.heard == link.answer == SECRET
        assert (link.server.get_verified_chain() is None) is resumed
        session = link.part()


@pytest.mark.parametrize("mode", [SSL.VERIFY_PEER, SSL.VERIFY_NONE])
def test_pitfall_12_a_client_without_a_certificate_is_refused(
    pki: Pki, version: ssl.TLSVersion, mode: int
) -> None:
    """Where a server does not insist, no certificate means no verify callback.

    Pins that are checked there alone let every client in that shows nothing.
    """
    context = for_servers(pki, version=version, mode=mode)
    client = client_of(pki, None)
    control = Link(in_memory(client), in_memory(context, server=True))
    control.talk()
    assert control.heard == SECRET
    for pins in (PinSet(leaf=[pki.client.pin]), PinSet(ca=[pki.ca.pin])):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client), server)
        link.talk()
        assert reason(link.errors.get("server")) is Reason.NO_CERTIFICATE
        assert link.heard == link.answer == b""


@pytest.mark.parametrize("mode", [SSL.VERIFY_PEER, SSL.VERIFY_NONE])
def test_pitfall_44_report_mode_accepts_a_client_without_a_certificate(
    pki: Pki, version: ssl.TLSVersion, mode: int
) -> None:
    """It is told, with the reason, and served."""
    context = for_servers(pki, version=version, mode=mode)
    told: list[Report] = []
    server = in_memory(context, server=True)
    pins = PinSet(ca=[pki.ca.pin], mode="report")
    pin_connection(server, pins, on_report=told.append)
    link = Link(in_memory(client_of(pki, None)), server)
    link.talk()
    assert link.heard == link.answer == SECRET
    assert [report.reason for report in told] == [Reason.NO_CERTIFICATE]


def test_the_name_that_a_client_asks_for_is_never_looked_up(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A server has no name for its clients, and must not take the one they send.

    A client would choose its own rule with it: here, one that lets it in.
    """
    context = for_servers(pki, version=version)
    policy = Policy({"clients.example": [pki.client.pin]}, unpinned="allow")
    with pytest.raises(PolicyError, match="pass a PinSet"):
        in_memory(context, policy, server=True)
    client = client_of(pki, pki.stranger)
    first = Link(in_memory(client), in_memory(context, server=True))
    first.talk()
    for session in (None, first.part()):  # a full handshake, and a resumed one
        server = SSL.Connection(context)
        server.set_accept_state()
        pin_connection(server, policy, host="clients.example")
        link = Link(in_memory(client, session=session), server)
        link.talk()
        if session is None:  # in a resumed one, OpenSSL may not tell it
            assert server.get_servername() == b"localhost"
        want = Reason.NOT_CHECKED if session else Reason.MISMATCH
        assert reason(link.errors.get("server")) is want
        assert link.heard == b""


def test_a_listening_connection_hands_out_pinned_ones(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """accept() makes a plain Connection: it is pinned like the one that listens."""
    with _listening(for_servers(pki, version=version)) as (listener, address):
        pin_connection(listener, PinSet(leaf=[pki.client.pin]))
        for identity, accepted in ((pki.client, True), (pki.stranger, False)):
            with _calling(address, _client_of_ssl(pki, identity, version)):
                conn, _ = listener.accept()
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LIMIT)
                if accepted:
                    assert conn.recv(100) == SECRET
                else:
                    with pytest.raises(PinningError):
                        conn.recv(100)
                conn.close()


def test_use_reaches_what_a_listening_connection_accepts(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Each client is decided by the policy in force; a policy for no client is none."""
    pins = PinnedConnections(PinSet(leaf=[pki.client.pin]))
    with _listening(for_servers(pki, version=version)) as (listener, address):
        pins.pin(listener)
        for identity in (pki.client, pki.stranger, pki.stranger):
            with _calling(address, _client_of_ssl(pki, identity, version)):
                conn, _ = listener.accept()
                conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LIMIT)
                for useless in (
                    Policy({"localhost": [pki.stranger.pin]}),
                    Policy(Rules({"a.example": [pki.client.pin]}, clients=PINS)),
                ):
                    with pytest.raises(PolicyError):
                        pins.use(useless)
                if pins.in_force.policy.rules.clients == PinSet(leaf=[identity.pin]):
                    assert conn.recv(100) == SECRET
                else:
                    with pytest.raises(PinningError):
                        conn.recv(100)
                    pins.use(PinSet(leaf=[pki.stranger.pin]))
                conn.close()
    assert pins.in_force.policy.rules.clients == PinSet(leaf=[pki.stranger.pin])


PINS = PinSet(leaf=["sha256/" + "A" * 43 + "="])
_LIMIT = struct.pack("ll", int(LIMIT), 0)


@contextlib.contextmanager
def _listening(context: SSL.Context) -> Iterator[tuple[SSL.Connection, Any]]:
    """Yield a connection that listens, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield SSL.Connection(context, sock), sock.getsockname()


@contextlib.contextmanager
def _calling(address: Any, context: ssl.SSLContext) -> Iterator[None]:  # noqa: ANN401
    """Let a client say SECRET meanwhile."""
    with (
        socket.create_connection(address, LIMIT) as plain,
        ThreadPoolExecutor(1) as pool,
    ):
        turn = pool.submit(_say, context, plain)
        yield
        turn.exception(LIMIT)


def _say(context: ssl.SSLContext, plain: socket.socket) -> None:
    with context.wrap_socket(plain, server_hostname="localhost") as tls:
        tls.sendall(SECRET)


def _client_of_ssl(
    pki: Pki, identity: Identity, version: ssl.TLSVersion
) -> ssl.SSLContext:
    """Return the context of a client of ssl."""
    return client_context(pki.root, identity=identity, version=version)


def test_an_accepted_connection_keeps_what_the_listening_one_has(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Its policy and name, its on_report, and the callback of the application."""
    told: list[Report] = []
    asked: list[int] = []

    def callback(
        _: SSL.Connection, __: crypto.X509, ___: int, depth: int, ok: int
    ) -> bool:
        asked.append(depth)
        return bool(ok)

    rule = PinSet(leaf=[pki.client.pin], mode="report")
    with _listening(for_servers(pki, version=version)) as (listener, address):
        pin_connection(
            listener,
            Policy({"clients.example": rule}, unpinned="reject"),
            host="clients.example",
            callback=callback,
            on_report=told.append,
        )
        with _calling(address, _client_of_ssl(pki, pki.stranger, version)):
            conn, _ = listener.accept()
            conn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LIMIT)
            assert conn.recv(100) == SECRET
            conn.close()
    assert [(report.host, report.reason) for report in told] == [
        ("clients.example", Reason.MISMATCH)
    ]
    assert asked == [2, 1, 0]


def test_a_connection_that_is_accepted_and_not_pinned_is_closed(
    pki: Pki, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong between: nobody may get it, and nothing may leak."""
    accepted: list[SSL.Connection] = []
    accept = SSL.Connection.accept

    def accept_and_keep(self: SSL.Connection) -> Any:  # noqa: ANN401
        conn, address = accept(self)
        accepted.append(conn)
        return conn, address

    with _listening(for_servers(pki, version=version)) as (listener, address):
        pin_connection(listener, PinSet(leaf=[pki.client.pin]))
        monkeypatch.setattr(SSL.Connection, "accept", accept_and_keep)
        monkeypatch.setattr(pyopenssl.PinnedConnections, "pin", _interrupted)
        with socket.create_connection(address, LIMIT):
            with pytest.raises(KeyboardInterrupt):
                listener.accept()
            assert [conn.fileno() for conn in accepted] == [-1]


def _interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt
