"""Report mode refuses nobody whom the TLS library accepts, and reports everybody.

A chain that is not strict DER and a peer without a certificate are accepted as well,
with the true reason. Each test also has a rule in enforce mode, which refuses.
"""

from __future__ import annotations

import logging
import ssl
from typing import Any, Literal

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from malformed import mistaken
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    pin_context,
)
from pki import Authority, Identity, Pki
from tls_clients import SECRET, client_of, converse, reason
from tls_servers import MemoryLink, client_context, new_socket, server_context
from wire_server import WireServer

__all__: list[str] = []

Mode = Literal["enforce", "report"]
MISTAKE = "1 unused bit in its subjectPublicKey"
"""OpenSSL completes handshakes with it, and the walk refuses it."""


def pinned(
    context: ssl.SSLContext, policy: Policy | PinSet, told: list[Report]
) -> ssl.SSLContext:
    """Pin a context; what it accepts without a match is appended to *told*."""
    return pin_context(context, policy, on_report=told.append)


# ---- certificates that are not strict DER --------------------------------------


def malformed(place: str) -> tuple[Authority, Identity, list[bytes]]:
    """Return a root, a leaf, and its chain with a mistake in that *place*."""
    root = Authority.root("Wire Root")
    while True:
        middle = root.intermediate("Wire CA")
        leaf = middle.leaf("localhost")
        wrong, issuer = (leaf, middle) if place == "leaf" else (middle, root)
        if wrong.spki[-1] & 1 == 0:  # so that the last bit of the key can be unused
            break
    wire = dict(mistaken(wrong, issuer))[MISTAKE]
    return root, leaf, [wire, middle.der] if place == "leaf" else [leaf.der, wire]


@pytest.mark.parametrize("mode", ["report", "enforce"])
@pytest.mark.parametrize("place", ["leaf", "ca"])
def test_pitfall_44_report_mode_accepts_a_malformed_chain(
    pki: Pki, place: str, mode: Mode, version: ssl.TLSVersion
) -> None:
    """The bytes flow, and the report says that a certificate could not be read."""
    root, leaf, chain = malformed(place)
    assert isinstance(leaf.key, ec.EllipticCurvePrivateKey)
    told: list[Report] = []
    context = client_context(root, version=version)
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    rule = PinSet([pki.server.pin], mode=mode)
    pinned(context, Policy({"localhost": rule}), told)
    with WireServer(chain, leaf.key, version) as server, new_socket() as sock:
        sock.connect(server.address)
        with context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls:
            if mode == "enforce":
                with pytest.raises(PinningError) as caught:
                    tls.sendall(SECRET)
                assert reason(caught.value) is Reason.MALFORMED
            else:
                tls.sendall(SECRET)
        visit = server.visits[-1]
        assert visit.done.wait(20)
    assert (SECRET in visit.application) == (mode == "report")
    if mode == "report":
        assert [one.reason for one in told] == [Reason.MALFORMED]
        report = told[0]
        assert report.accepted
        assert report.depth == ["leaf", "ca"].index(place)
        assert "not strict DER" in report.detail


# ---- peers without a certificate -----------------------------------------------


@pytest.mark.parametrize("asks", [ssl.CERT_OPTIONAL, ssl.CERT_NONE])
def test_pitfall_44_report_mode_accepts_a_client_without_a_certificate(
    pki: Pki,
    version: ssl.TLSVersion,
    asks: ssl.VerifyMode,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A server on trial goes on to serve clients that have no certificate yet."""
    told: list[Report] = []
    caplog.set_level(logging.WARNING, logger="pinverify")
    for mode in ("report", "enforce"):
        context = server_context(
            pki.server, version=version, client_authority=pki.root, client_mode=asks
        )
        pins = [pki.client.pin, Authority.root("nobody").pin]  # a policy of its own
        pinned(context, PinSet(leaf=pins, mode=mode), told)
        link = MemoryLink(client_of(pki, None), context)
        if mode == "enforce":
            with pytest.raises(PinningError) as caught:
                converse(link)
            assert reason(caught.value) is Reason.NO_CERTIFICATE
            assert link.application == b""
        else:
            converse(link)
            assert link.application == SECRET
    assert [report.accepted for report in told] == [True, False]
    assert {report.reason for report in told} == {Reason.NO_CERTIFICATE}
    assert "accepted without a match: client NO_CERTIFICATE" in caplog.text


# Without a test for older Pythons, because there is nothing to test.
HAS_SHARED_KEYS = hasattr(ssl.SSLContext, "set_psk_client_callback")  # from 3.13 on
WITHOUT_CERTIFICATES = ["anonymous", "psk"] if HAS_SHARED_KEYS else ["anonymous"]


def anonymous(pki: Pki) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return a client and a server that agree on a suite without certificates."""
    contexts = (client_context(pki.root), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    for context in contexts:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.set_ciphers("aNULL:@SECLEVEL=0")
        except ssl.SSLError:
            pytest.skip("this OpenSSL has no anonymous cipher suites")
    return contexts


def sharing_a_key(pki: Pki, version: ssl.TLSVersion) -> tuple[Any, Any]:
    """Return a client and a server that prove a key which both have (RFC 4279)."""
    client: Any = client_context(pki.root, version=version)
    server: Any = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    for context in (client, server):
        context.minimum_version = context.maximum_version = version
        context.set_ciphers("PSK")
    client.set_psk_client_callback(lambda _hint: ("somebody", 32 * b"k"))
    server.set_psk_server_callback(lambda _identity: 32 * b"k")
    return client, server


@pytest.mark.parametrize("mode", ["report", "enforce"])
@pytest.mark.parametrize("way", WITHOUT_CERTIFICATES)
def test_pitfall_44_report_mode_accepts_a_server_without_a_certificate(
    pki: Pki, way: str, mode: Mode, version: ssl.TLSVersion
) -> None:
    """With such a suite a server shows none, and the TLS library asks for none."""
    client, server = (
        anonymous(pki) if way == "anonymous" else sharing_a_key(pki, version)
    )
    client.check_hostname = False
    told: list[Report] = []
    rule = PinSet([pki.server.pin], blocked=[pki.impostor.pin], mode=mode)
    pinned(client, Policy({"localhost": rule}), told)
    link = MemoryLink(client, server)
    if mode == "enforce":
        with pytest.raises(PinningError) as caught:
            converse(link)
        assert reason(caught.value) is Reason.NO_CERTIFICATE
        assert link.application == b""
        assert not told[0].accepted
    else:
        converse(link)
        assert link.application == SECRET
        assert [one.reason for one in told] == [Reason.NO_CERTIFICATE]
        assert isinstance(link.client.session, ssl.SSLSession)  # although without leaf


if HAS_SHARED_KEYS:

    @pytest.mark.parametrize("mode", ["report", "enforce"])
    def test_pitfall_44_report_mode_accepts_a_client_that_shares_a_key(
        pki: Pki, mode: Mode, version: ssl.TLSVersion
    ) -> None:
        """A server with pins for clients sees no certificate then."""
        client, server = sharing_a_key(pki, version)
        client.check_hostname = False
        told: list[Report] = []
        pinned(server, PinSet(leaf=[pki.client.pin], mode=mode), told)
        link = MemoryLink(client, server)
        if mode == "enforce":
            with pytest.raises(PinningError) as caught:
                converse(link)
            assert reason(caught.value) is Reason.NO_CERTIFICATE
            assert link.application == b""
        else:
            converse(link)
            assert [one.reason for one in told] == [Reason.NO_CERTIFICATE]


# ---- what it does not relax ----------------------------------------------------


@pytest.mark.parametrize("name", [None, "db.1", "a b"])
def test_report_mode_needs_a_name_that_a_rule_can_be_found_for(
    pki: Pki, name: str | None, version: ssl.TLSVersion
) -> None:
    """Without one no rule decides, and so no mode."""
    told: list[Report] = []
    context = client_context(pki.root)
    context.check_hostname = False
    rule = PinSet([pki.impostor.pin], mode="report")
    pinned(context, Policy({"localhost": rule, "**.b": rule}), told)
    server = server_context(pki.server, version=version)
    link = MemoryLink(context, server, server_hostname=name)
    with pytest.raises(PinningError) as caught:
        converse(link)
    assert reason(caught.value) is Reason.BAD_HOST
    assert link.application == b""
    assert [report.accepted for report in told] == [False]
