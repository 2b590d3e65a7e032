"""Pitfall 13: a TLS 1.2 peer that renegotiates could show another certificate.

The ssl module can't renegotiate, so the peer here is pyOpenSSL's.
"""

from __future__ import annotations

import contextlib
import ssl

import pytest
from OpenSSL import SSL

from pinverify import PinSet, install, pin_context, uninstall
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

    def __init__(self, client: ssl.SSLContext, first: Identity) -> None:
        """Shake hands as *first*."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.client = client.wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        self._server = SSL.Connection(presenting(first), None)
        self._server.set_accept_state()
        self._shake_hands()

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
