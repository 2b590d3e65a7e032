"""Pitfall 13: a TLS 1.2 peer that renegotiates could show another certificate.

The ssl module can't renegotiate, so the peer here is pyOpenSSL's.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import Any

import pytest
from OpenSSL import SSL
from OpenSSL.crypto import X509

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    install,
    pin_context,
    report_of,
    uninstall,
)
from pinverify.tls._pin_context import hook
from pinverify.tls._policy_in_force import ContextRule, in_force
from pinverify.tls.pyopenssl import pin_connection
from pki import Identity, Pki
from tls_servers import client_context

__all__: list[str] = []


def presenting(identity: Identity) -> SSL.Context:
    """Make a TLS 1.2 context that presents *identity*, without sessions."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_max_proto_version(SSL.TLS1_2_VERSION)
    context.use_certificate(identity.certificate)
    context.use_privatekey(identity.key)
    for issuer in identity.issuers:
        context.add_extra_chain_cert(issuer)
    context.set_options(SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    return context


class Turncoat:
    """A server that shows one certificate, then renegotiates with another one."""

    def __init__(
        self,
        client: ssl.SSLContext,
        first: Identity,
        own_rule: ContextRule | None = None,
    ) -> None:
        """Shake hands as *first*."""
        self.client = self._wrapped(client)
        if own_rule is not None:  # as `wrap_socket` does for a socket
            vars(self.client)["_pinverify_guarded"].own_rule = own_rule
        self._read = self.client.read  # as uvloop binds it
        self._server = SSL.Connection(presenting(first), None)
        self._server.set_accept_state()
        self._shake_hands()

    def _wrapped(self, client: ssl.SSLContext) -> ssl.SSLObject | ssl.SSLSocket:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        return client.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )

    def _exchange(self) -> None:
        if data := self._outgoing.read():
            self._server.bio_write(data)
        with contextlib.suppress(SSL.WantReadError):
            self._incoming.write(self._server.bio_read(1 << 20))

    def _shake_hands(self) -> None:
        for _ in range(6):
            with contextlib.suppress(ssl.SSLWantReadError):
                self.client.do_handshake()
            self._exchange()
            with contextlib.suppress(SSL.WantReadError):
                self._server.do_handshake()
            self._exchange()

    def read(self) -> bytes:
        """Return what the client reads of all that the server has sent."""
        self._exchange()
        return self.client.read(100)

    def read_as_bound(self) -> bytes:
        """Read by the method that was looked up before the handshake."""
        self._exchange()
        return self._read(100)

    def break_record(self) -> None:
        """Let a record come that nobody can decipher."""
        self._server.send(b"a word")
        record = bytearray(self._server.bio_read(1 << 20))
        record[-1] ^= 1
        self._incoming.write(record)

    def turn(self, other: Identity) -> bytes:
        """Renegotiate as *other* and send a word; return what the client reads."""
        self._server.set_context(presenting(other))
        self._server.use_certificate(other.certificate)
        self._server.use_privatekey(other.key)
        assert self._server.renegotiate()
        read = b""
        for _ in range(8):
            with contextlib.suppress(SSL.WantReadError):
                self._server.do_handshake()
            self._exchange()
            with contextlib.suppress(ssl.SSLWantReadError):
                read += self.client.read(100)
            self._exchange()
            with contextlib.suppress(SSL.WantReadError):
                self._server.recv(100)
            with contextlib.suppress(SSL.WantReadError):
                self._server.send(b"evil")
        return read


class TurncoatOnASocket(Turncoat):
    """The same over a socket, which does not block."""

    def _wrapped(self, client: ssl.SSLContext) -> ssl.SSLSocket:
        ours, self._theirs = socket.socketpair()
        ours.settimeout(0)
        self._theirs.settimeout(0)
        return client.wrap_socket(
            ours, server_hostname="localhost", do_handshake_on_connect=False
        )

    def _exchange(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._server.bio_write(self._theirs.recv(1 << 20))
        with contextlib.suppress(SSL.WantReadError):
            self._theirs.sendall(self._server.bio_read(1 << 20))

    def close(self) -> None:
        """Close both ends."""
        self._theirs.close()
        assert isinstance(self.client, ssl.SSLSocket)
        self.client.close()


@pytest.mark.parametrize("options", ["as they are", "reset after pinning"])
@pytest.mark.parametrize("how", ["pin_context", "install"])
def test_pitfall_13_a_renegotiation_that_swaps_the_certificate_ends_the_connection(
    pki: Pki, options: str, how: str
) -> None:
    """Without OP_NO_RENEGOTIATION the client reads what another key has sent."""
    other = pki.ca.leaf("localhost")  # as valid, and not pinned
    control = client_context(pki.root)
    control.options &= ~ssl.OP_NO_RENEGOTIATION
    assert b"evil" in Turncoat(control, pki.server).turn(other)

    context = client_context(pki.root)
    if how == "install":
        install(PinSet([pki.server.pin]))
    else:
        pin_context(context, PinSet([pki.server.pin]))
    try:
        if options == "reset after pinning":
            context.options = ssl.OP_ALL | ssl.OP_NO_COMPRESSION
        peer = Turncoat(context, pki.server)
        with contextlib.suppress(SSL.Error, ssl.SSLError):
            assert peer.turn(other) == b""
        assert peer.client.getpeercert(binary_form=True) == pki.server.der
    finally:
        uninstall()


@pytest.mark.parametrize(
    "how", ["pin_context", "install", "one connection", "a bound method"]
)
def test_pitfall_61_a_renegotiation_is_a_rejection_that_is_seen(
    pki: Pki, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The error says what the server wanted; the callback and the log tell of it."""
    told: list[Report] = []
    context = client_context(pki.root)
    policy = PinSet([pki.server.pin])
    own_rule = None
    if how == "install":
        install(policy, on_report=told.append)
    elif how == "one connection":
        own_rule = ContextRule(in_force(policy, told.append))
        hook(context, None)
    else:
        pin_context(context, policy, on_report=told.append)
    try:
        peer = Turncoat(context, pki.server, own_rule)
        with pytest.raises(SSL.Error, match="no renegotiation"):
            peer.turn(pki.server)  # for an honest reason
        read = peer.read_as_bound if how == "a bound method" else peer.read
        with pytest.raises(ssl.SSLError) as caught:
            read()
        error = caught.value
        assert isinstance(error, PinningError)
        assert "asked for a renegotiation" in str(error)
        assert isinstance(error.__cause__, ssl.SSLError)
        assert told == [error.report]
        assert told[0].reason is Reason.NOT_CHECKED
        assert told[0].host == "localhost"
        (line,) = caplog.messages
        assert line.startswith("rejected: server NOT_CHECKED")
        assert "renegotiation" in line
        for use in (lambda: peer.client.read(1), lambda: peer.client.write(b"x")):
            with pytest.raises(PinningError, match="asked for a renegotiation"):
                use()
        assert report_of(peer.client) is told[0]
    finally:
        uninstall()


@pytest.mark.parametrize("blocks", [True, False])
def test_pitfall_61_a_renegotiation_ends_a_socket(pki: Pki, *, blocks: bool) -> None:
    """It is closed, as any that is refused, unless an event loop watches it."""
    context = pin_context(client_context(pki.root), PinSet([pki.server.pin]))
    peer = TurncoatOnASocket(context, pki.server)
    tls = peer.client
    assert isinstance(tls, ssl.SSLSocket)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        peer.turn(pki.server)
    tls.setblocking(blocks)
    for use in (peer.read, lambda: tls.recv(1), lambda: tls.send(b"x")):
        with pytest.raises(PinningError, match="asked for a renegotiation"):
            use()
    assert (tls.fileno() == -1) is blocks
    peer.close()


@pytest.mark.parametrize("read", ["recv", "recv_into", "read"])
def test_pitfall_61_pyopenssl_sees_that_rejection_as_well(
    pki: Pki, read: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As an `SSL.Error` that is a `PinningError`; another error is what it was."""

    def use() -> object:
        what = bytearray(1) if read == "recv_into" else 1
        return getattr(client, read)(what)

    for broken in (False, True):
        told: list[Report] = []
        client, server = pinned_pair(pki, told)
        if broken:
            server.send(b"a word")
            record = bytearray(server.bio_read(1 << 16))
            record[-1] ^= 1
            client.bio_write(record)
            with pytest.raises(SSL.Error) as caught:
                use()
            assert not isinstance(caught.value, PinningError)
            assert (told, client.pin_error) == ([], None)
            continue
        assert server.renegotiate()
        with contextlib.suppress(SSL.WantReadError):
            server.do_handshake()
        move(server, client)
        with pytest.raises(SSL.WantReadError):
            use()
        move(client, server)
        with pytest.raises(SSL.Error, match="no renegotiation"):
            server.recv(1)
        move(server, client)
        with pytest.raises(SSL.Error, match="asked for a renegotiation") as caught:
            use()
        assert isinstance(caught.value, PinningError)
        assert isinstance(caught.value.__cause__, SSL.Error)
        assert told == [caught.value.report] == [client.pin_report]
        assert told[0].reason is Reason.NOT_CHECKED
        assert told[0].host == "localhost"
        for again in (use, lambda: client.send(b"x")):  # noqa: B023 - now
            with pytest.raises(PinningError, match="asked for a renegotiation"):
                again()
        (line,) = caplog.messages
        assert line.startswith("rejected: server NOT_CHECKED")


def test_pyopenssl_cannot_be_pinned_in_a_callback_for_sni(pki: Pki) -> None:
    """The handshake has begun: its client would choose the rule by the name it sends.

    pyOpenSSL swallows what the callback raises, and goes on; so the connection fails.
    """
    raised: list[Exception] = []

    def on_name(conn: SSL.Connection) -> None:
        try:
            pin_connection(conn, Policy({"localhost": [pki.server.pin]}))
        except ValueError as error:
            raised.append(error)
            raise

    context = presenting(pki.server)
    context.set_tlsext_servername_callback(on_name)
    client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD))
    server = SSL.Connection(context)
    client.set_connect_state()
    server.set_accept_state()
    client.set_tlsext_host_name(b"anything.example")
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.Error):
                one.do_handshake()
            move(one, other)
    assert [str(error)[:23] for error in raised] == ["the handshake has begun"]
    for use in (lambda: server.recv(1), lambda: server.send(b"a secret")):
        with pytest.raises(PinningError, match="the handshake has begun"):
            use()


def pinned_pair(pki: Pki, told: list[Report]) -> tuple[Any, Any]:
    """Return a pinned client and its server, both of pyOpenSSL, after a handshake."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    store = context.get_cert_store()
    assert store is not None
    store.add_cert(X509.from_cryptography(pki.root.certificate))
    context.set_verify(SSL.VERIFY_PEER)
    client, server = SSL.Connection(context), SSL.Connection(presenting(pki.server))
    client.set_connect_state()
    server.set_accept_state()
    client.set_tlsext_host_name(b"localhost")
    policy = PinSet([pki.server.pin])
    pin_connection(client, policy, host="localhost", on_report=told.append)
    for _ in range(4):
        for one, other in ((client, server), (server, client)):
            with contextlib.suppress(SSL.WantReadError):
                one.do_handshake()
            move(one, other)
    return client, server


def move(one: Any, other: Any) -> None:  # noqa: ANN401
    """Bring what one has to send to the other."""
    with contextlib.suppress(SSL.WantReadError):
        other.bio_write(one.bio_read(1 << 16))


def test_pitfall_61_another_alert_is_what_it_was(pki: Pki) -> None:
    """Only the alert that ends a refused renegotiation is one."""
    context = client_context(pki.root)
    pin_context(context, PinSet([pki.server.pin]))
    peer = Turncoat(context, pki.server)
    peer.break_record()
    with pytest.raises(ssl.SSLError) as caught:
        peer.client.read(1)
    assert not isinstance(caught.value, PinningError)
