"""Servers with pins for clients: who may resume a session, and where.

Clients resume by default, and a server cannot see from a ticket which chain its client
once showed. So a server gives tickets only if the leaf is all that it must see. Here it
is a fault to refuse an honest client, or to accept any other.
"""

from __future__ import annotations

import contextlib
import socketserver
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from examples import some_of
from forked_servers import answer_one, ask, forked, workers
from pinverify import PinningError, PinSet, Policy, Reason, Rules, pin_context
from pinverify.tls._memo import Memo
from pinverify.tls._ssl_contexts import rule_of
from pki import Pki
from tls_clients import client_of
from tls_dialogues import Dialogues
from tls_servers import LIMIT, MemoryLink, server_context

__all__: list[str] = []

# Python warns of forks in a process with threads, which other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

CLIENTS_SHORT, CLIENTS_LONG = 300, 20_000

# Pins that accept `pki.client` and need its chain; the stranger is blocked.
CHAIN_PINS: dict[str, Callable[[Pki], Policy | PinSet]] = {
    "ca": lambda pki: PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin]),
    "pins": lambda pki: PinSet(
        pins=[pki.ca.pin, pki.client.pin], blocked=[pki.stranger.pin]
    ),
    "leaf and a blocked key": lambda pki: PinSet(
        leaf=[pki.client.pin], blocked=[pki.rogue_ca.pin]
    ),
    "leaf and a key blocked for all": lambda pki: Policy(
        Rules({}, clients=PinSet(leaf=[pki.client.pin]), blocked=[pki.rogue_ca.pin])
    ),
}
any_chain_pins = pytest.mark.parametrize("pins", CHAIN_PINS)


def for_clients(pki: Pki, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """Return a server's context that asks for certificates, without pins."""
    return server_context(pki.server, version=version, client_authority=pki.root)


# ---- workers -----------------------------------------------------------------


def test_pitfall_40_without_pins_a_worker_takes_the_ticket_of_another(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The control: clients do resume at a worker that never saw them."""
    client = client_of(pki, pki.client)
    with workers(for_clients(pki, version), 2) as ports:
        answer, session = ask(ports[0], client)
        assert answer == b"full"
        assert ask(ports[1], client, session)[0] == b"resumed"


@any_chain_pins
def test_pitfall_40_a_client_is_accepted_by_each_worker(
    pki: Pki, version: ssl.TLSVersion, pins: str
) -> None:
    """A session that began at one worker is never a reason to refuse at another.

    The stranger has a certificate of the same authority, and gets in nowhere.
    """
    context = pin_context(for_clients(pki, version), CHAIN_PINS[pins](pki))
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    with workers(context, 2) as ports:
        session = his = None
        for _ in range(4):
            for port in ports:
                answer, session = ask(port, client, session)
                assert answer in {b"full", b"resumed"}
                answer, his = ask(port, stranger, his)
                assert answer == b""


def test_a_worker_resumes_the_session_of_another_where_the_leaf_is_enough(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """With `leaf` pins alone a session shows all that there is to check."""
    context = pin_context(for_clients(pki, version), PinSet(leaf=[pki.client.pin]))
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    with workers(context, 2) as ports:
        answer, session = ask(ports[0], client)
        assert answer == b"full"
        for port in reversed(ports):
            answer, session = ask(port, client, session)
            assert answer == b"resumed"
        his = None
        for port in ports:
            answer, his = ask(port, stranger, his)
            assert answer == b""


@any_chain_pins
def test_pitfall_40_a_client_is_accepted_by_each_child_of_forking_mix_in(
    pki: Pki, version: ssl.TLSVersion, pins: str
) -> None:
    """Here each connection has a process of its own, which knows nobody."""
    context = pin_context(for_clients(pki, version), CHAIN_PINS[pins](pki))

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(LIMIT)
            answer_one(self.request, context)

    class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
        allow_reuse_address = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """Print nothing: a rejection is an error here."""

    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    with Server(("127.0.0.1", 0), Handler) as server, forked(server.serve_forever):
        port = server.server_address[1]
        session = his = None
        for _ in range(4):
            answer, session = ask(port, client, session)
            assert answer == b"full"
            answer, his = ask(port, stranger, his)
            assert answer == b""


# ---- more clients than a server remembers ------------------------------------


@pytest.mark.parametrize(
    "number", [CLIENTS_SHORT, pytest.param(CLIENTS_LONG, marks=pytest.mark.slow)]
)
def test_pitfall_41_as_many_clients_as_a_server_keeps_sessions_may_resume(
    pki: Pki, tmp_path: Path, number: int
) -> None:
    """OpenSSL keeps up to 20,480 sessions of TLS 1.2; each has its evidence."""
    version = ssl.TLSVersion.TLSv1_2
    server = for_clients(pki, version)
    pin_context(server, PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin]))
    client = client_of(pki, pki.client)
    sessions = []
    for place in range(number):
        leaf = pki.ca.leaf(f"c{place}.example", purpose="client", key=pki.client.key)
        client.load_cert_chain(leaf.write(tmp_path / "client.pem"))
        link = MemoryLink(client, server)
        assert _is_answered(link)
        sessions.append(link.client.session)
    refused = resumed = 0
    for session in sessions:
        link = MemoryLink(client, server, session=session)
        refused += not _is_answered(link)
        resumed += bool(link.server.session_reused)
    assert (refused, resumed) == (0, number)
    pin_context(server, PinSet(ca=[pki.ca.pin], blocked=[pki.client.pin]))
    for session in sessions[:3]:
        assert not _is_answered(MemoryLink(client, server, session=session))


def _is_answered(link: MemoryLink) -> bool:
    """Return True if the server hears the client; part in good order.

    OpenSSL forgets the session of a server's connection that ends without a goodbye.
    """
    try:
        link.run(lambda: link.client.write(b"x"))
        assert link.run(lambda: link.client.read(1)) == b"x"
    except PinningError:
        assert link.application == b""
        return False
    with contextlib.suppress(ssl.SSLWantReadError):
        link.server.unwrap()
    return True


def test_pitfall_41_handshakes_that_cannot_be_resumed_evict_no_evidence(
    pki: Pki,
) -> None:
    """Clients of TLS 1.3 get no tickets: they take no place in the memo."""
    server = pin_context(for_clients(pki), PinSet(ca=[pki.ca.pin]))
    rule = rule_of(server)
    assert rule is not None
    rule.memo = Memo(leaves_max=1)
    old, new = client_of(pki, pki.client), client_of(pki, pki.stranger)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    first = MemoryLink(old, server)
    assert _is_answered(first)
    assert _is_answered(MemoryLink(new, server))
    again = MemoryLink(old, server, session=first.client.session)
    assert _is_answered(again)
    assert again.server.session_reused


def test_a_server_resumes_a_session_of_its_own_memory_and_judges_it(pki: Pki) -> None:
    """TLS 1.2 has sessions without tickets: the process that keeps them has the chain.

    A key that is blocked in between is refused.
    """
    server = for_clients(pki, ssl.TLSVersion.TLSv1_2)
    client = client_of(pki, pki.client)
    for blocked, accepted in (
        (pki.stranger.pin, True),
        (pki.ca.pin, False),
        (pki.client.pin, False),
    ):
        pin_context(server, PinSet(ca=[pki.ca.pin]))
        first = MemoryLink(client, server)
        assert _is_answered(first)
        session = first.client.session
        assert session is not None
        assert not session.has_ticket
        pin_context(server, PinSet(ca=[pki.root.pin], blocked=[blocked]))
        link = MemoryLink(client, server, session=session)
        assert _is_answered(link) is accepted
        assert link.server.session_reused


# ---- contexts and policies that change ---------------------------------------


@any_chain_pins
def test_pitfall_42_a_tenant_whose_context_is_made_anew_refuses_nobody(
    pki: Pki, dialogue: Dialogues, pins: str
) -> None:
    """A server loads new certificates into a new context, and selects that.

    The tickets are those of the context that listens. So, without pins, they open the
    new context, which has seen nobody.
    """
    version = ssl.TLSVersion.TLSv1_3
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    listening = for_clients(pki, version)
    tenants = {"localhost": for_clients(pki, version)}
    listening.sni_callback = cast("Any", partial(_select, tenants))
    session = dialogue(client, listening).accepted().session
    tenants["localhost"] = for_clients(pki, version)
    assert dialogue(client, listening, session=session).accepted().resumed
    his = dialogue(stranger, listening).accepted().session

    policy = CHAIN_PINS[pins](pki)
    pin_context(listening, policy)
    for _ in range(3):
        tenants["localhost"] = pin_context(for_clients(pki, version), policy)
        answered = dialogue(client, listening, session=session).accepted()
        assert not answered.resumed
        session = answered.session or session
        attack = dialogue(stranger, listening, session=his)
        attack.refused()
        his = attack.session or his


def test_pitfall_42_a_tenant_that_forgot_its_clients_refuses_nobody(pki: Pki) -> None:
    """OpenSSL would remember each TLS 1.3 session that ends with a goodbye."""
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    tenants: dict[str, ssl.SSLContext] = {}
    listening = pin_context(for_clients(pki), PinSet(ca=[pki.ca.pin]))
    listening.sni_callback = cast("Any", partial(_select, tenants))
    session = None
    for _ in range(3):
        tenants["localhost"] = pin_context(
            for_clients(pki), PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin])
        )
        link = MemoryLink(client, listening, session=session)
        assert _is_answered(link)
        assert not link.server.session_reused
        session = link.client.session
        assert not _is_answered(MemoryLink(stranger, listening))
    assert listening.session_stats()["number"] == 0


def test_pitfall_42_leaf_pins_of_the_listening_context_bring_no_tickets(
    pki: Pki, dialogue: Dialogues
) -> None:
    """The context that listens makes the tickets; the selected one judges them."""
    version = ssl.TLSVersion.TLSv1_3
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    tenants: dict[str, ssl.SSLContext] = {}
    listening = for_clients(pki, version)
    pin_context(listening, PinSet(leaf=[pki.impostor.pin]))
    listening.sni_callback = cast("Any", partial(_select, tenants))
    session = his = None
    for _ in range(2):
        tenants["localhost"] = pin_context(
            for_clients(pki, version),
            PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin]),
        )
        session = dialogue(client, listening, session=session).accepted().session
        attack = dialogue(stranger, listening, session=his)
        attack.refused()
        his = attack.session


def test_a_tls_1_2_session_that_hides_a_name_is_refused(pki: Pki) -> None:
    """A limit: OpenSSL tells the callback the name of the first handshake.

    Without the session the same client is accepted.
    """
    version = ssl.TLSVersion.TLSv1_2
    client = client_of(pki, pki.client)
    listening = pin_context(for_clients(pki, version), PinSet(ca=[pki.ca.pin]))
    tenants = {"localhost": listening}
    listening.sni_callback = cast("Any", partial(_select, tenants))
    first = MemoryLink(client, listening)
    assert _is_answered(first)
    assert not _is_answered(MemoryLink(client, listening, session=first.client.session))
    assert _is_answered(MemoryLink(client, listening))


def _select(
    tenants: dict[str, ssl.SSLContext], tls: ssl.SSLObject, name: str | None, _: object
) -> None:
    tls.context = tenants[name or ""]


@any_chain_pins
def test_a_ticket_older_than_the_pins_is_not_taken(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues, pins: str
) -> None:
    """The client shows its chain again, and is judged by that."""
    server = for_clients(pki, version)
    client, stranger = client_of(pki, pki.client), client_of(pki, pki.stranger)
    session = dialogue(client, server).accepted().session
    his = dialogue(stranger, server).accepted().session
    pin_context(server, PinSet(leaf=[pki.client.pin]))
    assert dialogue(client, server, session=session).accepted().resumed
    pin_context(server, CHAIN_PINS[pins](pki))
    assert not dialogue(client, server, session=session).accepted().resumed
    dialogue(stranger, server, session=his).refused()


def test_options_that_the_application_sets_later_bring_no_tickets_back(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Tickets are turned off for each connection anew."""
    server = pin_context(for_clients(pki, version), PinSet(ca=[pki.ca.pin]))
    server.options &= ~ssl.OP_NO_TICKET
    server.num_tickets = 2
    client = client_of(pki, pki.client)
    session = dialogue(client, server).accepted().session
    assert session is None or not session.has_ticket


# ---- policies that are replaced ----------------------------------------------

# Each kind of session: the version, and whose OP_NO_TICKET makes it.
KINDS: dict[str, tuple[ssl.TLSVersion, str]] = {
    "TLS 1.2 numbers": (ssl.TLSVersion.TLSv1_2, "client"),
    "TLS 1.2 numbers of a server without tickets": (ssl.TLSVersion.TLSv1_2, "server"),
    "TLS 1.2 tickets": (ssl.TLSVersion.TLSv1_2, ""),
    "TLS 1.3 numbers": (ssl.TLSVersion.TLSv1_3, "server"),
    "TLS 1.3 tickets": (ssl.TLSVersion.TLSv1_3, ""),
}

# Policies before and after, for a peer with a leaf below the authority `pki.ca`.
Pins = Callable[[Pki, str], PinSet]
PINS: dict[str, Pins] = {
    "leaf": lambda _, leaf: PinSet(leaf=[leaf]),
    "pins": lambda _, leaf: PinSet(pins=[leaf]),
    "ca": lambda pki, _: PinSet(ca=[pki.ca.pin]),
    "blocked": lambda pki, leaf: PinSet(leaf=[leaf], blocked=[pki.rogue_ca.pin]),
    "report": lambda pki, _: PinSet(ca=[pki.rogue_ca.pin], mode="report"),
}
SWAPS = [
    (before, after)
    for before in PINS
    for after in PINS
    if before != after and "report" not in {before, after}
] + [("leaf", "report"), ("report", "ca")]


class Pinning:
    """A client and a server, one of which is pinned."""

    def __init__(self, pki: Pki, kind: str, side: str) -> None:
        version, without_tickets = KINDS[kind]
        self.pki = pki
        self.server = for_clients(pki, version)
        self.client = client_of(pki, pki.client)
        ends = {"server": self.server, "client": self.client}
        if without_tickets:
            ends[without_tickets].options |= ssl.OP_NO_TICKET
        self._pinned = ends[side]
        self._leaf = {"server": pki.client.pin, "client": pki.server.pin}[side]

    def use(self, pins: str) -> None:
        """Replace the policy."""
        pin_context(self._pinned, PINS[pins](self.pki, self._leaf))

    def block(self, pin: str) -> None:
        """Replace the policy by one that blocks a key."""
        pin_context(self._pinned, PinSet(leaf=[self._leaf], blocked=[pin]))


any_kind = pytest.mark.parametrize("kind", some_of(KINDS, 1))
any_side = pytest.mark.parametrize("side", ["server", "client"])


@any_kind
@any_side
def test_pitfall_59_no_swap_of_policies_refuses_an_honest_peer(
    pki: Pki, dialogue: Dialogues, kind: str, side: str
) -> None:
    """A session that began under any policy is accepted, or left out.

    Nobody knows beforehand what an emergency will block. A key above the peer that is
    blocked then refuses it, with each of its sessions and without.
    """
    for before, after in SWAPS:
        pinned = Pinning(pki, kind, side)
        client, server = pinned.client, pinned.server
        pinned.use(before)
        kept = [dialogue(client, server).accepted()]
        for pins in (after, before, after):
            pinned.use(pins)
            kept += [
                dialogue(client, server, session=one.session).accepted() for one in kept
            ]
        pinned.block(pki.ca.pin)
        for session in [None, *(one.session for one in kept[:3])]:
            attack = dialogue(client, server, session=session)
            assert attack.refused() in {Reason.BLOCKED, Reason.NOT_CHECKED}


@any_kind
def test_pitfall_59_without_pins_each_kind_of_session_is_resumed(
    pki: Pki, dialogue: Dialogues, kind: str
) -> None:
    """The control: there is something to refuse."""
    pinned = Pinning(pki, kind, "server")
    first = dialogue(pinned.client, pinned.server).accepted()
    again = dialogue(pinned.client, pinned.server, session=first.session)
    assert again.accepted().resumed


@pytest.mark.parametrize("after", ["ca", "blocked"])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if "numbers" in kind])
def test_pitfall_59_a_server_resumes_what_it_keeps_under_other_pins(
    pki: Pki, dialogue: Dialogues, kind: str, after: str
) -> None:
    """Its clients are not made to shake hands in full at each change."""
    pinned = Pinning(pki, kind, "server")
    pinned.use("leaf")
    first = dialogue(pinned.client, pinned.server).accepted()
    pinned.use(after)
    again = dialogue(pinned.client, pinned.server, session=first.session)
    assert again.accepted().resumed


@pytest.mark.usefixtures("installed")
def test_install_leaves_the_tickets_of_servers_alone(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Servers without pins keep resuming as their application wants it."""
    server, client = for_clients(pki, version), client_of(pki, pki.client)
    session = dialogue(client, server).accepted().session
    assert dialogue(client, server, session=session).accepted().resumed
    assert server.num_tickets
    assert not server.options & ssl.OP_NO_TICKET
