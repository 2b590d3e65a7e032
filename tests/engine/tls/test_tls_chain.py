"""The chain that counts: the one that TLS verified, and not the one that was sent.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs against a context without pins
and succeeds there, so no test here can pass by doing nothing.
"""

from __future__ import annotations

import ssl

import pytest

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    create_connection,
    pin_context,
)
from pki import Identity, Pki, self_signed
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
    trusting,
    unverifying,
)
from tls_dialogues import Dialogues
from tls_servers import (
    MemoryLink,
    client_context,
    new_socket,
    server_context,
    unverified_chain,
    verified_chain,
)

# ---------------------------------------------------------------------------
# Pitfalls 5 to 7, and 20: which chain is looked at
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["pins", "ca", "leaf"])
@pytest.mark.parametrize("who", ["server", "ca", "root"])
def test_pitfall_5_a_certificate_that_is_only_appended_counts_for_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """The impostor appends a pinned certificate, which is public, to its chain.

    Who looks at the chain as sent, and not at the verified one, finds the pin
    (CVE-2016-2402).
    """
    pinned: Identity = getattr(pki, who)
    server = serve(server_context(pki.impostor, version=version, extra=[pinned]))
    with connect(trusting(pki), server) as tls:
        assert pinned.der in unverified_chain(tls)
        assert pinned.der not in verified_chain(tls)

    policy = pins_in(place, pinned.pin)
    error = assert_refused(trusting(pki, policy), server, record=1)
    assert reason(error) is Reason.MISMATCH
    assert error.report is not None
    assert pinned.pin not in map(str, error.report.chain)


@pytest.mark.parametrize("place", ["pins", "ca"])
@pytest.mark.parametrize("who", ["ca", "root"])
def test_a_pinned_authority_is_found_in_the_verified_chain(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """The root is matched although a server does not send it."""
    server = serve(server_context(pki.server, version=version))
    pinned: Identity = getattr(pki, who)
    with connect(trusting(pki, pins_in(place, pinned.pin)), server) as tls:
        echo(tls)


def test_a_client_finds_a_pinned_authority_in_every_way(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """Also where the chain is looked at before the handshake is over."""
    for pin, identity in ((pki.ca.pin, pki.server), (pki.rogue_ca.pin, pki.impostor)):
        server = server_context(identity, version=version)
        dialogue(trusting(pki, PinSet(ca=[pin])), server).accepted()
        other = pki.rogue_ca.pin if pin == pki.ca.pin else pki.ca.pin
        attack = dialogue(trusting(pki, PinSet(ca=[other])), server)
        assert attack.refused() is Reason.MISMATCH


def test_a_cross_signed_authority_keeps_its_key_and_not_its_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """An SPKI pin survives cross-signing, a certificate pin does not."""
    crossed = pki.rogue_root.cross_sign(pki.ca)
    leaf = crossed.leaf("localhost")
    server = serve(server_context(leaf, version=version))
    trusting_one = client_context(pki.rogue_root)
    pin_context(trusting_one, PinSet(ca=[pki.ca.pin]))
    with connect(trusting_one, server) as tls:
        echo(tls)
    pin_context(trusting_one, PinSet(ca=[pki.ca.certificate_pin]))
    assert_refused(trusting_one, server, record=1)


@pytest.mark.parametrize("place", ["pins", "ca"])
@pytest.mark.parametrize("who", ["ca", "root"])
def test_pitfall_6_without_verification_an_authority_proves_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, who: str, place: str
) -> None:
    """Under CERT_NONE a leaf that merely names a pinned authority is refused.

    OpenSSL builds the "verified" chain by names then, and checks no signature:
    the forged leaf stands there under the pinned authority.
    """
    pinned: Identity = getattr(pki, who)
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    with connect(unverifying(pki), server) as tls:
        assert pinned.der in verified_chain(tls)

    context = unverifying(pki, pins_in(place, pinned.pin))
    error = assert_refused(context, server, record=1)
    assert reason(error) is Reason.MISMATCH
    assert error.report is not None
    assert list(map(str, error.report.chain)) == [forged.pin]


@pytest.mark.parametrize("place", ["pins", "leaf"])
def test_pitfall_6_without_verification_a_pinned_leaf_is_accepted(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, place: str
) -> None:
    """The handshake itself proves the leaf's key: so devices are pinned."""
    device = self_signed("device.local")
    server = serve(server_context(device, version=version))
    context = unverifying(pki, pins_in(place, device.pin))
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    pin_context(context, pins_in(place, device.certificate_pin))
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    pin_context(context, pins_in(place, self_signed("device.local").pin))
    assert_refused(context, server, record=2)


def test_pitfall_6_without_verification_a_memory_link_is_leaf_only(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The same for an SSLObject."""
    server = server_context(pki.ca.forged_leaf("localhost"), version=version)
    link = MemoryLink(unverifying(pki, PinSet(pins=[pki.ca.pin])), server)
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_7_verification_turned_on_too_late_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The mode is fixed when the TLS object is made, whatever the context says now.

    Who reads context.verify_mode after the handshake takes an unverified chain
    for a verified one.
    """
    context = unverifying(pki, PinSet(pins=[pki.ca.pin]))
    forged = pki.ca.forged_leaf("localhost")
    server = serve(server_context(forged, version=version))
    with later(context, server) as tls:
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())

    context.verify_mode = ssl.CERT_NONE
    link = MemoryLink(context, server_context(forged, version=version))
    context.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_7_verification_off_during_connect_does_not_count(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket wrapped before it is connected gets its TLS object in connect().

    Verification on before and after, off in between: the chain is not verified.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    server = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    with context.wrap_socket(
        new_socket(), server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:
        context.verify_mode = ssl.CERT_NONE
        tls.connect(server.address)
        context.verify_mode = ssl.CERT_REQUIRED
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_pitfall_7_verification_turned_off_too_late_changes_nothing(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """OpenSSL verifies a connection that was made while verification was on.

    So the genuine server is accepted, and a forgery is refused by OpenSSL.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    server = serve(server_context(pki.server, version=version))
    with later(context, server) as tls:
        context.verify_mode = ssl.CERT_NONE
        echo(tls)

    context.verify_mode = ssl.CERT_REQUIRED
    forged = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    with later(context, forged) as tls:
        context.verify_mode = ssl.CERT_NONE
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            tls.sendall(SECRET)
    assert not isinstance(caught.value, PinningError)
    assert_nothing_said(forged.record())


def test_pitfall_7_verification_turned_off_leaves_the_leaf_alone(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Once it is off, an authority is believed no more, and a leaf still is.

    The error says why, because the server is the genuine one.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    server = serve(server_context(pki.server, version=version))
    with connect(context, server) as tls:
        echo(tls)
    context.verify_mode = ssl.CERT_NONE
    error = assert_refused(context, server, record=1)
    assert (
        "  note:    OpenSSL did not verify this chain: verify_mode was CERT_NONE "
        "when the connection was made\n"
    ) in str(error)
    assert "intercepted" not in str(error)

    pin_context(context, PinSet(pins=[pki.server.pin]))
    with connect(context, server) as tls:
        echo(tls)


def test_pitfall_7_a_client_that_turns_verification_off_is_leaf_only(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """`verify=False` of an HTTP library does this to a pinned context.

    It sets CERT_NONE on the context it was given. The pins must hold then, and
    the pins of authorities must not.
    """
    context = trusting(pki, PinSet(pins=[pki.ca.pin]))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    forged = serve(server_context(pki.ca.forged_leaf("localhost"), version=version))
    assert_refused(context, forged)
    genuine = serve(server_context(pki.server, version=version))
    assert_refused(context, genuine)
    pin_context(context, PinSet(leaf=[pki.server.pin]))
    with connect(context, genuine) as tls:
        echo(tls)


@pytest.mark.parametrize("other", ["pinned", "plain", "used-once"])
def test_pitfall_7_another_context_on_the_object_changes_nothing_for_the_better(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, other: str
) -> None:
    """Setting `.context` neither verifies the chain nor lifts the pins."""
    pins = PinSet(pins=[pki.ca.pin])
    context = trusting(pki, pins if other == "pinned" else None)
    if other == "used-once":  # with pins for that one connection, which are over
        server = serve(server_context(pki.server, version=version))
        address = ("localhost", server.port)
        create_connection(address, pins, context=context).close()
    forged = server_context(pki.ca.forged_leaf("localhost"), version=version)
    link = MemoryLink(unverifying(pki, pins), forged)
    link.client.context = context
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_20_a_partial_chain_shows_the_pins_it_has(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A root pin fails where the chain stops at a trusted intermediate.

    Python 3.13's default context sets VERIFY_X509_PARTIAL_CHAIN. What was
    accepted with 3.11 is refused then, and only the pins in the message tell
    the user why.
    """
    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": PinSet(ca=[pki.root.pin])})
    context = pin_context(client_context(pki.root, pki.ca), policy)
    context.verify_flags &= ~ssl.VERIFY_X509_PARTIAL_CHAIN
    with connect(context, server) as tls:
        echo(tls)

    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    error = assert_refused(context, server, record=1)
    seen = [pki.server.pin, pki.ca.pin]
    assert error.report is not None
    assert list(map(str, error.report.chain)) == seen
    for pin in [*seen, pki.root.pin]:
        assert pin in str(error)

    pin_context(context, Policy({"localhost": PinSet(ca=[pki.ca.pin])}))
    with connect(context, server) as tls:
        echo(tls)


# ---------------------------------------------------------------------------
# Pitfall 12: no chain at all
# ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [ssl.CERT_NONE, ssl.CERT_REQUIRED])
def test_pitfall_12_a_peer_that_shows_no_certificate_at_all_is_refused(
    pki: Pki, mode: ssl.VerifyMode
) -> None:
    """An anonymous cipher suite of TLS 1.2 needs no certificate, and has no key.

    OpenSSL verifies nothing then, whatever the mode.
    """
    contexts = (trusting(pki), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for context in contexts:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers("aNULL:@SECLEVEL=0")
        except ssl.SSLError:
            pytest.skip("this OpenSSL has no anonymous cipher suites")
    client, server = contexts
    client.check_hostname = False
    client.verify_mode = mode
    control = MemoryLink(client, server)
    control.run(lambda: control.client.write(SECRET))
    assert control.application == SECRET

    for policy in (PinSet(pins=[pki.server.pin]), pinning(pki)):
        link = MemoryLink(pin_context(client, policy), server)
        with pytest.raises(PinningError) as caught:
            converse(link)
        assert reason(caught.value) is Reason.NO_CERTIFICATE
        assert link.application == b""


# ---------------------------------------------------------------------------
# One leaf, and another chain above it
# ---------------------------------------------------------------------------


def test_a_chain_that_differs_above_the_leaf_is_looked_at_again(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A chain that a host showed before does not stand for the one it shows now.

    The second server has the same leaf with another intermediate above, which has
    the same name and key but is not the pinned certificate.
    """
    twin = pki.root.cross_sign(pki.ca)
    shows_twin = Identity(pki.server.certificate, pki.server.key, (twin.certificate,))
    policy = Policy({"localhost": PinSet(ca=[pki.ca.certificate_pin])})
    context = trusting(pki, policy)
    first = server_context(pki.server, version=version)
    for _ in range(2):
        link = MemoryLink(context, first)
        link.run(link.client.do_handshake)
    link = MemoryLink(context, server_context(shows_twin, version=version))
    with pytest.raises(PinningError) as caught:
        link.run(link.client.do_handshake)
    assert caught.value.report is not None
    assert caught.value.report.reason is Reason.MISMATCH
    pin_context(context, Policy({"localhost": PinSet(ca=[twin.certificate_pin])}))
    link = MemoryLink(context, server_context(shows_twin, version=version))
    link.run(link.client.do_handshake)
