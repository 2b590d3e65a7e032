"""Pins for client certificates: servers, SNI, listening sockets.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs against a context without pins
and succeeds there, so no test here can pass by doing nothing.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, cast

import pytest

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Rules,
    pin_context,
)
from pki import Identity, Pki
from tls_clients import (
    SECRET,
    client_of,
    converse,
    pinning,
    pins_in,
    raised_by,
    reason,
    trusting,
)
from tls_dialogues import Dialogues
from tls_servers import LIMIT, MemoryLink, server_context


def _read_one(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    with context.wrap_socket(sock, server_side=True) as tls:
        data = tls.recv(100)
        tls.sendall(data)
        return data


@contextlib.contextmanager
def _serving(
    context: ssl.SSLContext,
) -> Iterator[tuple[socket.socket, Future[bytes]]]:
    """Serve one connection in a thread; yield its other end and what was read."""
    theirs, ours = socket.socketpair()
    with theirs, ours, ThreadPoolExecutor(1) as pool:
        theirs.settimeout(LIMIT)
        ours.settimeout(LIMIT)
        yield ours, pool.submit(_read_one, context, theirs)


def _talk(context: ssl.SSLContext, sock: socket.socket) -> bytes:
    """Say SECRET to a server, and return its answer, empty if it hangs up."""
    # A server that refuses a client may close before the client has spoken.
    with (
        contextlib.suppress(OSError),
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(SECRET)
        return tls.recv(100)
    return b""


@pytest.mark.parametrize("place", ["pins", "leaf"])
def test_a_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion, place: str
) -> None:
    """Both clients come from the same authority; only one key is pinned."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, pki.stranger), sock) == SECRET
        assert served.result(LIMIT) == SECRET

    pin_context(context, pins_in(place, pki.client.pin))
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, pki.client), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, pki.stranger), sock) == b""
        error = served.exception(LIMIT)
    assert isinstance(error, PinningError)
    assert reason(error) is Reason.MISMATCH


def test_a_server_accepts_the_clients_of_a_pinned_authority(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A `ca` pin holds for clients too, over their verified chain."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(context, PinSet(ca=[pki.ca.pin]))
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, pki.stranger), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    pin_context(context, PinSet(ca=[pki.rogue_ca.pin]))
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, pki.stranger), sock) == b""
        assert isinstance(served.exception(LIMIT), PinningError)


@pytest.mark.parametrize("mode", [ssl.CERT_OPTIONAL, ssl.CERT_NONE])
def test_pitfall_12_a_client_without_a_certificate_is_refused(
    pki: Pki, version: ssl.TLSVersion, mode: ssl.VerifyMode
) -> None:
    """Pins apply to a client that shows nothing, also where none is asked for."""
    context = server_context(
        pki.server, version=version, client_authority=pki.root, client_mode=mode
    )
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, None), sock) == SECRET
        assert served.result(LIMIT) == SECRET
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    with _serving(context) as (sock, served):
        assert _talk(client_of(pki, None), sock) == b""
        error = served.exception(LIMIT)
    assert isinstance(error, PinningError)
    assert reason(error) is Reason.NO_CERTIFICATE


def test_pitfall_12_a_certificate_that_comes_after_the_handshake_is_not_asked_for(
    pki: Pki,
) -> None:
    """Post-handshake authentication would bring one after the decision.

    Nobody would look at it, and the application would take it for a pinned one.
    """
    context = server_context(
        pki.server,
        version=ssl.TLSVersion.TLSv1_3,
        client_authority=pki.root,
    )
    client = client_of(pki, pki.client)
    client.post_handshake_auth = True
    for policy in (None, PinSet(leaf=[pki.client.pin])):
        if policy is not None:
            pin_context(context, policy)
        link = MemoryLink(client, context)
        for moment in ("before", "after"):
            if moment == "after":
                converse(link)
            error = raised_by(
                lambda tls: tls.verify_client_post_handshake(), link.server
            )
            assert isinstance(error, PinningError) is (policy is not None), moment


def test_pitfall_10_a_refused_client_gets_nowhere_with_its_ticket(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A client that was just refused resumes, and is refused again.

    A TLS 1.3 server gives its tickets before the pins are looked at.
    """
    context = server_context(pki.server, version=version, client_authority=pki.root)
    client = client_of(pki, pki.stranger)
    session = dialogue(client, context).accepted().session
    assert dialogue(client, context, session=session).accepted().resumed

    for pins in (PinSet(leaf=[pki.client.pin]), PinSet(ca=[pki.rogue_ca.pin])):
        pin_context(context, pins)
        attack = dialogue(client, context, session=session)
        assert attack.refused() is Reason.MISMATCH


def test_a_client_whose_leaf_is_pinned_may_resume(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Its leaf is all that counts, and a resumed session shows it."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    client = client_of(pki, pki.client)
    session = dialogue(client, context).accepted().session
    assert dialogue(client, context, session=session).accepted().resumed


def test_a_server_with_rules_for_hosts_judges_its_clients_by_theirs(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A gateway has one policy; no client chooses a rule by the name that it sends."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    clients = PinSet(leaf=[pki.client.pin])
    rules = Rules({"localhost": [pki.stranger.pin]}, clients=clients)
    pin_context(context, Policy(rules))
    dialogue(client_of(pki, pki.client), context).accepted()
    attack = dialogue(client_of(pki, pki.stranger), context)
    assert attack.refused() is Reason.MISMATCH


def _select(listening: ssl.SSLContext, tenants: dict[str, ssl.SSLContext]) -> None:
    """Make *listening* answer each name of *tenants* with a context of its own."""

    def on_server_name(
        tls: ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        tls.context = tenants.get(name or "", context)

    listening.sni_callback = cast("Any", on_server_name)


def test_pitfall_11_the_context_that_sni_selects_decides(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Each tenant has its own clients, whoever listens.

    The class of a connection comes from the context that listens. Taking the
    policy from there as well would let each tenant's clients into all others.
    """

    def tenant(identity: Identity) -> ssl.SSLContext:
        context = server_context(pki.server, version=version, client_authority=pki.root)
        return pin_context(context, PinSet(leaf=[identity.pin]))

    listening = tenant(pki.client)
    _select(listening, {"other.localhost": tenant(pki.stranger)})
    for right, wrong, host in (
        (pki.client, pki.stranger, "localhost"),
        (pki.stranger, pki.client, "other.localhost"),
    ):
        right_client, wrong_client = client_of(pki, right), client_of(pki, wrong)
        dialogue(right_client, listening, server_hostname=host).accepted()
        attack = dialogue(wrong_client, listening, server_hostname=host)
        assert attack.refused() is Reason.MISMATCH


def test_pitfall_11_a_session_of_one_tenant_opens_no_other(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A client takes the ticket that one tenant gave it to another one."""
    client = client_of(pki, pki.client)
    tenants = {
        host: server_context(pki.server, version=version, client_authority=pki.root)
        for host in ("localhost", "other.localhost")
    }
    pin_context(tenants["localhost"], PinSet(leaf=[pki.client.pin]))
    listening = tenants["localhost"]
    _select(listening, tenants)
    first = dialogue(client, listening).accepted()

    pin_context(tenants["other.localhost"], PinSet(leaf=[pki.stranger.pin]))
    dialogue(
        client, listening, server_hostname="other.localhost", session=first.session
    ).refused()


def test_pitfall_11_verification_that_only_the_selected_context_has_is_none(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A connection that began without verification asks for no certificate."""
    listening = server_context(pki.server, version=version)
    selected = server_context(pki.server, version=version, client_authority=pki.root)
    for context in (listening, selected):
        pin_context(context, PinSet(ca=[pki.ca.pin]))
    _select(listening, {"localhost": selected})
    attack = dialogue(client_of(pki, pki.client), listening)
    assert attack.refused() is Reason.NO_CERTIFICATE


def test_pitfall_11_verification_that_the_selected_context_lacks_is_none(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Verification must be on in both: else the chain is the leaf alone.

    The selected context is of somebody who verifies no client, and so believes
    no authority.
    """
    listening = server_context(pki.server, version=version, client_authority=pki.root)
    selected = server_context(
        pki.server,
        version=version,
        client_authority=pki.root,
        client_mode=ssl.CERT_NONE,
    )
    for context in (listening, selected):
        pin_context(context, PinSet(ca=[pki.ca.pin]))
    _select(listening, {"localhost": selected})
    client = client_of(pki, pki.client)
    dialogue(client, listening, server_hostname="other.localhost").accepted()
    assert dialogue(client, listening).refused() is Reason.MISMATCH


def test_pitfall_11_a_selected_context_without_pins_lifts_none(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """The pins of the context that listens hold, whatever is selected.

    A tenant who forgets the pins would let every client in otherwise.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(listening, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})
    dialogue(client_of(pki, pki.client), listening).accepted()
    attack = dialogue(client_of(pki, pki.stranger), listening)
    assert attack.refused() is Reason.MISMATCH


def test_pitfall_11_a_context_that_listens_without_pins_checks_nobody(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A limit that the guide names, and the way out of it.

    The connection is made by the context that listens, and the selected one is
    never asked: `ssl` tells it nothing. So the pins are worth nothing until the
    one that listens has pins too, any pins: those of the selected one decide.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(selected, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})
    dialogue(client_of(pki, pki.stranger), listening).accepted()
    pin_context(listening, PinSet(leaf=[pki.impostor.pin]))
    dialogue(client_of(pki, pki.stranger), listening).refused()
    dialogue(client_of(pki, pki.client), listening).accepted()


@pytest.mark.usefixtures("installed")
def test_pitfall_34_install_leaves_a_context_that_listens_as_it_is(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """With `install` or without, the context that listens makes the connections.

    If it has no pins, those of the selected context do not count; if it has, they do.
    """
    listening, selected = (
        server_context(pki.server, version=version, client_authority=pki.root)
        for _ in range(2)
    )
    pin_context(selected, PinSet(leaf=[pki.client.pin]))
    _select(listening, {"localhost": selected})
    dialogue(client_of(pki, pki.stranger), listening).accepted()
    pin_context(listening, PinSet(leaf=[pki.impostor.pin]))
    dialogue(client_of(pki, pki.client), listening).accepted()
    attack = dialogue(client_of(pki, pki.stranger), listening)
    assert attack.refused() is Reason.MISMATCH
    alone = server_context(pki.server, version=version, client_authority=pki.root)
    dialogue(client_of(pki, pki.stranger), alone).accepted()


def test_a_listening_socket_hands_out_checked_connections(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """accept() on a wrapped listening socket, as http.server does it."""
    context = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    plain = socket.create_server(("127.0.0.1", 0))
    with context.wrap_socket(plain, server_side=True) as listener:
        address = listener.getsockname()
        listener.settimeout(LIMIT)

        def serve_one() -> bytes:
            tls, _ = listener.accept()
            with tls:
                data: bytes = tls.recv(100)
                tls.sendall(data)
                return data

        with ThreadPoolExecutor(1) as pool:
            for identity, expected in ((pki.client, SECRET), (pki.stranger, b"")):
                served = pool.submit(serve_one)
                with socket.create_connection(address, LIMIT) as sock:
                    assert _talk(client_of(pki, identity), sock) == expected
                if expected:
                    assert served.result(LIMIT) == expected
                else:
                    assert isinstance(served.exception(LIMIT), PinningError)


def test_a_policy_on_a_server_context_is_refused(pki: Pki) -> None:
    """A client has no host name to look up: the error names PinSet as the way."""
    context = server_context(pki.server, client_authority=pki.root)
    with pytest.raises((PolicyError, TypeError), match="PinSet"):
        pin_context(context, pinning(pki))
    assert context.sslsocket_class is ssl.SSLSocket
    assert context.sslobject_class is ssl.SSLObject


def test_a_policy_on_a_context_for_both_sides_refuses_clients(pki: Pki) -> None:
    """Where the side shows only when a socket is wrapped, no client passes."""
    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    pki.server.load_into(context)
    context.load_verify_locations(cadata=pki.root.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    with contextlib.suppress(PolicyError, TypeError):
        pin_context(context, policy)
        with _serving(context) as (sock, served):
            assert _talk(client_of(pki, pki.client), sock) == b""
            assert served.exception(LIMIT) is not None


@pytest.mark.parametrize("side", ["client", "server"])
def test_data_from_before_the_handshake_is_still_refused(pki: Pki, side: str) -> None:
    """The stdlib's remedy for CVE-2023-40217 works through our class as well.

    A peer that sends in clear and resets the connection before it is wrapped
    must not have its bytes taken for decrypted ones.
    """
    context = (
        trusting(pki, pinning(pki))
        if side == "client"
        else pin_context(
            server_context(pki.server, client_authority=pki.root),
            PinSet(leaf=[pki.client.pin]),
        )
    )
    with socket.create_server(("127.0.0.1", 0)) as listener:
        attacker = socket.create_connection(listener.getsockname(), LIMIT)
        victim, _ = listener.accept()
    attacker.sendall(b"DELETE /everything HTTP/1.0\r\n\r\n")
    # Linger for no time: close() sends a reset.
    linger = struct.pack("ii", 1, 0)
    attacker.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    attacker.close()
    with victim, pytest.raises(OSError) as caught:  # noqa: PT011  (see below)
        context.wrap_socket(
            victim,
            server_side=side == "server",
            server_hostname="localhost" if side == "client" else None,
            do_handshake_on_connect=False,
        ).recv(100)
    assert not isinstance(caught.value, PinningError)
    assert "before TLS handshake with data" in str(caught.value.args)
