"""Servers on pyOpenSSL with pins for clients: who may resume a session, and where."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from functools import partial

import pytest
from OpenSSL import SSL

from forked_servers import ask, workers
from pinverify import PinningError, PinSet
from pinverify.tls.pyopenssl import pin_connection
from pki import Pki
from pyopenssl_connections import SECRET, Link, for_servers, in_memory
from pyopenssl_connections import client_of as client_of_pyopenssl
from tls_clients import client_of
from tls_servers import LIMIT

__all__: list[str] = []

# Python warns of forks in a process with threads, which other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

_LIMIT = struct.pack("ll", int(LIMIT), 0)


def _answer_one(pins: PinSet | None, sock: socket.socket, context: SSL.Context) -> None:
    """Answer one request; a resumed session shows no chain."""
    sock.settimeout(None)  # with a timeout of Python's, pyOpenSSL would not block
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, _LIMIT)
    conn = SSL.Connection(context, sock)
    conn.set_accept_state()
    if pins is not None:
        pin_connection(conn, pins)
    with contextlib.suppress(SSL.Error):  # a rejection is one
        conn.recv(65536)
        body = b"full" if conn.get_verified_chain() else b"resumed"
        conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
        conn.shutdown()


@pytest.mark.parametrize(
    ("pins", "second"),
    [
        (lambda _: None, {b"resumed"}),
        (lambda pki: PinSet(leaf=[pki.client.pin]), {b"resumed"}),
        (lambda pki: PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin]), {b"full"}),
        (
            lambda pki: PinSet(leaf=[pki.client.pin], blocked=[pki.rogue_ca.pin]),
            {b"full"},
        ),
    ],
    ids=["control", "leaf", "ca", "leaf and a blocked key"],
)
def test_pitfall_40_a_client_is_accepted_by_each_worker(
    pki: Pki, version: ssl.TLSVersion, pins: object, second: set[bytes]
) -> None:
    """A session that began at one worker is never a reason to refuse at another."""
    assert callable(pins)
    chosen = pins(pki)
    context = for_servers(pki, version=version)
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    with workers(context, 2, partial(_answer_one, chosen)) as ports:
        answer, session = ask(ports[0], client)
        assert answer == b"full"
        answer, session = ask(ports[1], client, session)
        assert answer in second
        his = None
        for port in (*ports, *ports):
            answer, session = ask(port, client, session)
            assert answer in {b"full", b"resumed"}
            answer, his = ask(port, stranger, his)
            assert bool(answer) is (chosen is None)


@pytest.mark.parametrize(
    "kept", [SSL.SESS_CACHE_SERVER, SSL.SESS_CACHE_OFF], ids=["kept", "off"]
)
def test_pitfall_42_a_tenant_made_anew_needs_a_context_that_keeps_no_sessions(
    pki: Pki, kept: int
) -> None:
    """A limit: pyOpenSSL lets only the application turn off the sessions in memory.

    They are kept by the context that listens. A tenant's new context has not seen the
    chain of such a session, and refuses it.
    """
    version = ssl.TLSVersion.TLSv1_3
    listening = for_servers(pki, version=version)
    listening.set_session_cache_mode(kept)
    tenants = [for_servers(pki, version=version)]
    listening.set_tlsext_servername_callback(lambda conn: conn.set_context(tenants[-1]))
    pins = PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin])
    client = client_of_pyopenssl(pki, pki.client)
    session = None
    for renewed in (False, False, True):
        if renewed:
            tenants.append(for_servers(pki, version=version))
        server = in_memory(listening, pins, server=True)
        link = Link(in_memory(client, session=session), server)
        link.talk()
        refused = renewed and kept == SSL.SESS_CACHE_SERVER
        assert isinstance(link.errors.get("server"), PinningError) is refused
        assert link.heard == (b"" if refused else SECRET)
        if not refused:
            session = link.part()
    attack = Link(
        in_memory(client_of_pyopenssl(pki, pki.stranger)),
        in_memory(listening, pins, server=True),
    )
    attack.talk()
    assert attack.heard == b""


def test_pitfall_59_a_server_that_pins_more_than_the_leaf_refuses_nobody(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The context keeps sessions; the chain is kept with them, whatever the pins.

    A key above the client that is blocked then refuses it all the same.
    """
    context = for_servers(pki, version=version)
    context.set_options(SSL.OP_NO_TICKET)
    client = client_of_pyopenssl(pki, pki.client)
    leaf = [pki.client.pin]
    session = None
    for pins, reused in (
        (PinSet(leaf=leaf), False),
        (PinSet(ca=[pki.ca.pin]), True),
        (PinSet(leaf=leaf, blocked=[pki.rogue_ca.pin]), True),
        (PinSet(leaf=leaf), True),
    ):
        server = in_memory(context, pins, server=True)
        link = Link(in_memory(client, session=session), server)
        link.talk()
        assert link.errors == {}
        assert link.heard == SECRET
        assert bool(server.get_verified_chain()) is not reused
        session = link.part()
    attack = Link(
        in_memory(client, session=session),
        in_memory(context, PinSet(leaf=leaf, blocked=[pki.ca.pin]), server=True),
    )
    attack.talk()
    assert attack.heard == b""
    assert isinstance(attack.errors["server"], PinningError)
