"""The chain that counts on a pyOpenSSL connection: the one that OpenSSL verified.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs without pins and succeeds, so no
test here can pass by doing nothing.
"""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL, crypto

from pinverify import PinningError, PinSet, Reason
from pki import Pki, self_signed
from pyopenssl_connections import (
    SECRET,
    Serve,
    always,
    any_place,
    assert_nothing_said,
    connecting,
    echo,
    for_clients,
    pinning,
    pins_in,
    reason,
    trusting,
)
from tls_servers import server_context


@any_place
def test_pitfall_5_a_certificate_that_is_only_appended_counts_for_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A peer appends any public certificate to its chain: CVE-2016-2402.

    Who looks for the pin in get_peer_cert_chain() finds it there.
    """
    server = serve(server_context(pki.impostor, version=version, extra=[pki.ca]))
    context = for_clients(pki)
    with connecting(context, server) as conn:
        conn.do_handshake()
        sent = conn.get_peer_cert_chain(as_cryptography=True)
        assert sent is not None
        assert pki.ca.certificate in sent
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@any_place
def test_pitfall_6_without_verification_an_authority_proves_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """A forged leaf names the pinned authority, which never signed it.

    Under VERIFY_NONE get_verified_chain() ends at that authority all the same:
    nobody has looked at the signature.
    """
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    context = for_clients(pki, mode=SSL.VERIFY_NONE)
    with connecting(context, server) as conn:
        conn.do_handshake()
        chain = conn.get_verified_chain(as_cryptography=True)
        assert chain is not None
        assert pki.ca.certificate in chain
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@pytest.mark.parametrize(
    "traits",
    [{"mode": SSL.VERIFY_NONE}, {"callback": always}],
    ids=["not verifying", "accepting"],
)
def test_pitfall_6_without_verification_a_pinned_leaf_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, traits: dict[str, Any]
) -> None:
    """A device that signs its own certificate is pinned by its key.

    The handshake proves the key, so this is sound. The twin with another key is
    refused.
    """
    device, twin = self_signed("localhost"), self_signed("localhost")
    pins = PinSet(leaf=[device.pin])
    context = for_clients(pki, **traits)
    callback = traits.get("callback")
    server = serve(server_context(device, version=version))
    with connecting(context, server, pins, callback=callback) as conn:
        echo(conn)
    server = serve(server_context(twin, version=version))
    with (
        connecting(context, server, pins, callback=callback) as conn,
        pytest.raises(PinningError),
    ):
        conn.send(SECRET)
    assert_nothing_said(server.record())


@any_place
def test_pitfall_7_verification_turned_on_too_late_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The verify mode after the handshake is not the one that it was done under.

    Here it is turned on by the application's callback, which has accepted the
    forged chain before.
    """
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    context = for_clients(pki, mode=SSL.VERIFY_NONE, callback=always)
    asked: list[int] = []

    def toggling(conn: SSL.Connection, _: object, error: int, *rest: int) -> bool:
        asked.append(error)
        if rest[0] == 0:
            conn.set_verify(SSL.VERIFY_PEER, toggling)
        return True

    with connecting(context, server, pins_in(place, pki.ca.pin), callback=toggling) as (
        conn
    ):
        with pytest.raises(PinningError):
            conn.send(SECRET)
        assert conn.get_verify_mode() == SSL.VERIFY_PEER
    assert any(asked)
    assert_nothing_said(server.record())


@any_place
@pytest.mark.parametrize("then", [SSL.VERIFY_PEER, SSL.VERIFY_NONE], ids=["on", "off"])
def test_pitfall_7_verification_toggled_before_the_decision_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str, then: int
) -> None:
    """Verification must have been on in the handshake, and still be.

    Here it is toggled at the last moment, with a chain that is in order.
    """
    server = serve(server_context(pki.server, version=version))
    toggled: list[int] = []

    def toggling(conn: SSL.Connection, where: int, _: int) -> None:
        if where & SSL.SSL_CB_HANDSHAKE_DONE:
            conn.set_verify(then)
            toggled.append(then)

    first = SSL.VERIFY_NONE if then else SSL.VERIFY_PEER
    context = for_clients(pki, mode=first)
    context.set_info_callback(toggling)
    with connecting(context, server, pins_in(place, pki.ca.pin)) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert toggled
    assert_nothing_said(server.record())
    with connecting(context, server, PinSet(leaf=[pki.server.pin])) as conn:
        echo(conn)


@any_place
@pytest.mark.parametrize("when", ["on the context", "before", "after"])
def test_pitfall_23_a_callback_that_always_returns_true_leaves_the_leaf_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str, when: str
) -> None:
    """The application accepts what OpenSSL refuses: then nobody verified the chain.

    A forged leaf, which merely names the pinned authority, would pass. That the
    mode is VERIFY_PEER says nothing.
    """
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    context = for_clients(pki, callback=always if when == "on the context" else None)
    pins = pins_in(place, pki.ca.pin)
    given = None if when == "after" else always
    with connecting(context, server, pins, callback=given) as conn:
        if when == "after":
            conn.set_verify(SSL.VERIFY_PEER, always)
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())
    # The same callback has nothing to accept here, and the chain counts.
    good = serve(server_context(pki.server, version=version))
    with connecting(context, good, pins, callback=always) as conn:
        echo(conn)


@any_place
def test_pitfall_23_an_objection_that_comes_after_the_leaf_counts(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """OpenSSL looks at name constraints when it has called back with the leaf.

    A decision at depth 0, with every earlier call in order, comes too early: the
    authority is not allowed to issue for this host, and the application's
    callback accepts that.
    """
    limited = pki.root.limited_to("example.com", "Limited CA 1")
    server = serve(
        server_context(
            limited.leaf("localhost"), version=version, client_authority=pki.root
        )
    )
    calls: list[tuple[int, int]] = []

    def accepting(_: object, __: object, ___: int, depth: int, ok: int) -> bool:
        calls.append((depth, ok))
        return True

    context = for_clients(pki, callback=accepting, identity=pki.client)
    with connecting(context, server) as conn:
        echo(conn)
        conn.shutdown()
    assert calls == [(2, 1), (1, 1), (0, 1), (0, 0)]
    assert server.record(0).client_certificate

    pins = pins_in(place, limited.pin)
    with connecting(context, server, pins, callback=accepting) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))
    assert not server.record(1).client_certificate


def test_the_application_is_asked_first(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The application's callback sees each certificate, and its no is final.

    Its refusal is its own, not a mismatch of pins. If it raises, that is a no.
    """
    server = serve(server_context(pki.server, version=version))
    seen: list[tuple[bytes, int, int, int]] = []

    def callback(
        conn: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        assert isinstance(conn, SSL.Connection)
        der = cert.to_cryptography().public_bytes(serialization.Encoding.DER)
        seen.append((der, error, depth, ok))
        if len(seen) > 3:
            raise ZeroDivisionError
        return depth > 0

    for _ in range(2):
        with connecting(
            for_clients(pki), server, pinning(pki), callback=callback
        ) as conn:
            with pytest.raises(SSL.Error) as caught:
                conn.send(SECRET)
            assert not isinstance(caught.value, PinningError)
    assert seen[:3] == [
        (pki.root.der, 0, 2, 1),
        (pki.ca.der, 0, 1, 1),
        (pki.server.der, 0, 0, 1),
    ]
    for index in range(2):
        assert_nothing_said(server.record(index))


def test_a_new_callback_is_asked_and_does_not_replace_the_pins(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Frameworks set a callback on each connection, whoever has pinned it before."""
    server = serve(server_context(pki.impostor, version=version))
    asked: list[int] = []

    def callback(
        _: SSL.Connection, __: crypto.X509, ___: int, depth: int, ok: int
    ) -> bool:
        asked.append(depth)
        return bool(ok)

    with connecting(for_clients(pki), server, pinning(pki)) as conn:
        conn.set_verify(SSL.VERIFY_PEER, callback)
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert asked == [2, 1, 0]
    record = server.record()
    assert_nothing_said(record)
    assert "alert" in str(record.error)  # so it was the callback that said no


def test_pitfall_23_an_objection_above_the_leaf_counts(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """OpenSSL knows no root of the chain, and finds nothing wrong with its leaf.

    The application accepts that. No authority is verified then, and the peer does not
    see the client certificate either.
    """
    impostor = server_context(pki.impostor, version=version, client_authority=pki.root)
    server = serve(impostor)
    context = trusting(pki.root, callback=always, identity=pki.client)
    with connecting(context, server) as conn:
        echo(conn)
    assert server.record(0).client_certificate
    pins = PinSet(ca=[pki.rogue_ca.pin])
    with connecting(context, server, pins, callback=always) as conn:
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))
    assert not server.record(1).client_certificate
