"""The host of a connection: every spelling finds its rule, or is refused."""

from __future__ import annotations

import ssl

import pytest

from pinverify import PinningError, PinSet, Policy, PolicyError, Reason
from pki import Pki
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    connect,
    echo,
    later,
    reason,
    trusting,
)
from tls_servers import MemoryLink, server_context


def test_pitfall_26_the_host_is_the_one_that_tls_verified(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """SSLSocket.server_hostname is an attribute that anybody may set.

    The name in the TLS object is the one that was asked for and validated.
    """
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    with later(trusting(pki, policy), server) as tls:
        tls.server_hostname = "elsewhere.example"
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
    assert caught.value.report is not None
    assert caught.value.report.host == "localhost"
    assert_nothing_said(server.record())


# What a client asks for, and the rule that must be found.
SAME_HOST = [
    ("localhost", "localhost"),
    ("LOCALHOST", "localhost"),
    ("localhost.", "localhost"),
    ("LocalHost.", "localhost"),
    (b"LOCALHOST", "localhost"),
    ("127.0.0.1", "127.0.0.1"),
    ("::1", "::1"),
    ("0:0:0:0:0:0:0:1", "::1"),
    ("::0001", "0:0:0:0:0:0:0:1"),
    ("b\u00fccher.example", "b\u00fccher.example"),
    ("B\u00dcCHER.example", "b\u00fccher.example"),
    ("xn--bcher-kva.example", "b\u00fccher.example"),
    ("XN--BCHER-KVA.EXAMPLE.", "b\u00fccher.example"),
    ("b\u00fccher.example", "xn--bcher-kva.example"),
    ("b\u00fccher\u3002example", "b\u00fccher.example"),  # an ideographic full stop
]


@pytest.mark.parametrize(("host", "rule"), SAME_HOST, ids=ascii)
def test_pitfall_26_every_form_of_a_host_finds_its_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str, rule: str
) -> None:
    """A host in another spelling is the same host, on sockets and objects.

    Otherwise an upper-case letter or a dot turns "pinned" into "not pinned".
    """

    def good() -> ssl.SSLContext:
        return server_context(pki.server, version=version)

    def bad() -> ssl.SSLContext:
        return server_context(pki.impostor, version=version)

    # Accepted only if the rule is found; refused only if the rule is found.
    accepting = trusting(pki, Policy({rule: [pki.server.pin]}, unpinned="reject"))
    refusing = trusting(pki, Policy({rule: [pki.server.pin]}, unpinned="allow"))
    for context in (accepting, refusing):
        context.check_hostname = False

    with connect(accepting, serve(good()), server_hostname=host) as tls:
        echo(tls)
    server = serve(bad())
    with later(refusing, server, server_hostname=host) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())

    link = MemoryLink(accepting, good(), server_hostname=host)
    link.run(lambda: link.client.write(SECRET))
    link = MemoryLink(refusing, bad(), server_hostname=host)
    with pytest.raises(PinningError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert reason(caught.value) is Reason.MISMATCH


@pytest.mark.parametrize(
    "host",
    [
        None,
        "127.1",
        "127.0.0.01",
        "0x7f.0.0.1",
        "local host",
        "[::1]",
        "::1%lo",
        "localhost:443",
    ],
    ids=ascii,
)
def test_pitfall_26_a_host_without_one_meaning_is_refused(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str | None
) -> None:
    """A host that is no host is BAD_HOST, never "not pinned".

    The policy here allows what is not pinned, and the peer is the right one:
    only the host is wrong.
    """
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="allow")
    context = trusting(pki, policy)
    context.check_hostname = False
    server = serve(server_context(pki.server, version=version))
    with later(context, server, server_hostname=host) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert reason(caught.value) is Reason.BAD_HOST
    assert_nothing_said(server.record())

    link = MemoryLink(
        context, server_context(pki.server, version=version), server_hostname=host
    )
    with pytest.raises(PinningError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert reason(caught.value) is Reason.BAD_HOST
    assert link.application == b""


@pytest.mark.parametrize("host", ["", "localhost..", ".localhost", "a\0b"], ids=ascii)
def test_pitfall_26_a_host_that_ssl_itself_refuses_stays_refused(
    pki: Pki, host: str
) -> None:
    """These never get as far as a handshake."""
    context = trusting(pki, PinSet(pins=[pki.server.pin]))
    context.check_hostname = False
    with pytest.raises((ValueError, TypeError)):
        MemoryLink(context, server_context(pki.server), server_hostname=host)


@pytest.mark.parametrize(
    "host", ["fa\u00df.example", "\u03b2\u03cc\u03bb\u03bf\u03c2.example"], ids=ascii
)
def test_pitfall_26_a_name_that_two_standards_read_differently_is_never_unpinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, host: str
) -> None:
    """A rule for such a name holds for a connection to it, or is refused.

    The ssl and socket modules follow IDNA 2003, where sharp s is "ss" and a
    final sigma a sigma; IDNA 2008 makes another name of it. A rule in the one
    reading would never be found by a connection in the other, in silence.
    """
    server = serve(server_context(pki.impostor, version=version))
    try:
        policy = Policy({host: [pki.server.pin]}, unpinned="allow")
    except PolicyError:
        return
    context = trusting(pki, policy)
    context.check_hostname = False
    with (
        later(context, server, server_hostname=host) as tls,
        pytest.raises(PinningError),
    ):
        tls.sendall(SECRET)
    assert_nothing_said(server.record())
