"""The policy of a pinned context: its decisions, report mode, swaps."""

from __future__ import annotations

import datetime as dt
import logging
import ssl
from typing import Any

import pytest

from pinverify import (
    UNPINNED,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    pin_context,
)
from pki import Pki, sha256_pin
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    assert_refused,
    connect,
    decision_of,
    echo,
    later,
    pinning,
    reason,
    trusting,
)
from tls_servers import MemoryLink, server_context


def test_a_connection_tells_its_decision(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """`pin_report` is None until the check, then the report, also of a refusal."""
    context = trusting(pki, Policy({"localhost": [pki.ca.pin]}))
    with later(context, serve(server_context(pki.server, version=version))) as tls:
        assert decision_of(tls) is None
        echo(tls)
        report = decision_of(tls)
        assert report is not None
        assert report.accepted
        assert (str(report.matched), report.depth) == (pki.ca.pin, 1)
    with later(context, serve(server_context(pki.impostor, version=version))) as tls:
        with pytest.raises(PinningError) as caught:
            tls.do_handshake()
        assert decision_of(tls) == caught.value.report
    link = MemoryLink(context, server_context(pki.server, version=version))
    assert decision_of(link.client) is None
    link.run(link.client.do_handshake)
    assert decision_of(link.client) is not None


def test_a_host_without_a_rule_follows_the_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """unpinned="allow" lets it pass, unpinned="reject" does not."""
    server = serve(server_context(pki.server, version=version))
    rules = {"elsewhere.example": [pki.server.pin]}
    with connect(trusting(pki, Policy(rules, unpinned="allow")), server) as tls:
        echo(tls)
    with connect(trusting(pki, Policy(rules)), server) as tls:
        echo(tls)
    error = assert_refused(
        trusting(pki, Policy(rules, unpinned="reject")), server, record=2
    )
    assert reason(error) is Reason.NOT_PINNED


def test_a_host_carved_out_of_a_rule_is_as_one_without_a_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """UNPINNED lifts the wider rule for one host, and for no other."""
    server = serve(server_context(pki.impostor, version=version))
    rules: dict[str, Any] = {
        "**.localhost": [pki.server.pin],
        "other.localhost": UNPINNED,
    }
    context = trusting(pki, Policy(rules, unpinned="allow"))
    with connect(context, server, server_hostname="other.localhost") as tls:
        echo(tls)
    assert reason(assert_refused(context, server, record=1)) is Reason.MISMATCH
    pin_context(context, Policy(rules, unpinned="reject"))
    with pytest.raises(PinningError) as caught:
        connect(context, server, server_hostname="other.localhost")
    assert reason(caught.value) is Reason.NOT_PINNED


def test_a_blocked_key_is_refused_for_a_host_without_a_rule(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The policy-wide list is looked at for every peer."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, Policy({}, blocked=[pki.rogue_ca.pin]))
    assert reason(assert_refused(context, server)) is Reason.BLOCKED


def test_a_leaf_that_is_pinned_does_not_excuse_the_rest_of_the_chain(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A check that stops at the right leaf would not see what stands above it."""
    server = serve(server_context(pki.server, version=version))
    leaf, authority = [pki.server.pin], [pki.ca.pin]
    other = [pki.rogue_ca.pin]
    attempts = 0

    def outcome(policy: Policy | PinSet) -> Reason | None:
        nonlocal attempts
        attempts += 1
        context = trusting(pki, policy)
        try:
            with connect(context, server) as tls:
                echo(tls)
        except PinningError as error:
            assert_nothing_said(server.record(attempts - 1))
            return reason(error)
        return None

    for pins in (PinSet(leaf=leaf), PinSet(pins=leaf), PinSet(leaf=leaf, ca=authority)):
        assert outcome(pins) is None
    for pins in (
        PinSet(leaf=leaf, ca=other),
        PinSet(leaf=leaf, pins=other),
        PinSet(pins=leaf, ca=other),
        PinSet(leaf=other, ca=authority),
    ):
        assert outcome(pins) is Reason.MISMATCH
        assert outcome(Policy({"localhost": pins})) is Reason.MISMATCH
    for blocked in (leaf, authority, [pki.root.pin], [pki.root.certificate_pin]):
        assert outcome(PinSet(leaf=leaf, blocked=blocked)) is Reason.BLOCKED
        assert outcome(PinSet(pins=leaf, blocked=blocked)) is Reason.BLOCKED
        rules = {"localhost": leaf}
        assert outcome(Policy(rules, blocked=blocked)) is Reason.BLOCKED
    assert outcome(Policy({"localhost": leaf}, blocked=other)) is None


def test_a_pin_set_applies_whatever_the_host(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A PinSet in place of a Policy has no host to look up."""
    context = trusting(pki, PinSet(pins=[pki.server.pin]))
    server = serve(server_context(pki.server, version=version))
    for host in ("localhost", "other.localhost"):
        with connect(context, server, server_hostname=host) as tls:
            echo(tls)
    context.check_hostname = False
    with connect(context, server, server_hostname=None) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(context, impostor)


def test_report_mode_lets_the_data_flow_and_logs(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A policy on trial breaks nothing, and says what it would have refused."""
    # A policy that no other test has: what was logged already is held back.
    pins = [pki.server.pin, sha256_pin(version.name.encode())]
    policy = Policy({"localhost": PinSet(pins=pins, mode="report")})
    context = trusting(pki, policy)
    server = serve(server_context(pki.impostor, version=version))
    caplog.set_level(logging.INFO, logger="pinverify")
    with connect(context, server) as tls:
        echo(tls)
    records = [r for r in caplog.records if r.name.startswith("pinverify")]
    assert len(records) == 1
    assert records[0].levelno >= logging.WARNING
    assert "localhost" in records[0].getMessage()
    assert pki.impostor.pin in records[0].getMessage()

    caplog.clear()
    good = serve(server_context(pki.server, version=version))
    with connect(context, good) as tls:
        echo(tls)
    assert not [r for r in caplog.records if r.name.startswith("pinverify")]


def test_pins_that_have_expired_are_told(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Where expiry allows every key, nobody checks any more, and somebody must hear."""
    pins = [pki.server.pin, sha256_pin(b"expired" + version.name.encode())]
    yesterday = dt.datetime.now(tz=dt.UTC) - dt.timedelta(days=1)
    expired = PinSet(pins, expires=yesterday, after_expiry="allow")
    told: list[Report] = []
    context = trusting(pki)
    pin_context(context, Policy({"localhost": expired}), on_report=told.append)
    for identity in (pki.impostor, pki.server):
        told.clear()
        with connect(context, serve(server_context(identity, version=version))) as tls:
            echo(tls)
        assert [(each.accepted, each.reason) for each in told] == [
            (True, Reason.EXPIRED)
        ]
    assert "EXPIRED" in caplog.text


def test_on_report_is_a_function(pki: Pki) -> None:
    """A name or a list would fail at the first report, inside a handshake."""
    anything: Any = [print]
    with pytest.raises(TypeError, match="on_report: expected a function"):
        pin_context(trusting(pki), pinning(pki), on_report=anything)


def test_two_contexts_do_not_share_their_pins(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Each context has its own policy, and the stdlib's classes stay as they are."""
    before = (ssl.SSLContext.sslsocket_class, ssl.SSLContext.sslobject_class)
    server = serve(server_context(pki.server, version=version))
    right = trusting(pki, pinning(pki))
    wrong = trusting(pki, Policy({"localhost": [pki.impostor.pin]}))
    with connect(right, server) as tls:
        echo(tls)
    assert_refused(wrong, server, record=1)
    with connect(right, server) as tls:
        echo(tls)
    with connect(trusting(pki), server) as tls:
        echo(tls)
    after = (ssl.SSLContext.sslsocket_class, ssl.SSLContext.sslobject_class)
    assert before == after == (ssl.SSLSocket, ssl.SSLObject)


def test_pinning_a_context_again_swaps_the_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """New handshakes follow the new policy, and nothing piles up on the context."""
    server = serve(server_context(pki.server, version=version))
    wrong = Policy({"localhost": [pki.impostor.pin]})
    context = trusting(pki, wrong)
    depth = len(context.sslsocket_class.__mro__)
    assert_refused(context, server)
    pin_context(context, pinning(pki))
    with connect(context, server) as tls:
        echo(tls)
    for _ in range(5):
        pin_context(context, wrong)
    assert_refused(context, server, record=2)
    assert len(context.sslsocket_class.__mro__) == depth


def test_a_new_policy_rules_over_handshakes_in_flight(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A socket wrapped under the old policy is decided by the new one."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))
    with later(context, server) as tls:
        pin_context(context, Policy({"localhost": [pki.impostor.pin]}))
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())
