"""Counts of decisions: each connection counts once, by its final verdict."""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
from collections import Counter
from typing import Any

import pytest

from header_requests import value_of
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Report,
    Rules,
    install,
    pin_context,
    report_of,
    uninstall,
)
from pinverify.headers import Proxy
from pinverify.headers._request_decision import Gate, Request
from pinverify.tls import _events
from pinverify.tls._events import OTHERS, Counted, count, counts
from pki import Pki
from tls_clients import client_of, converse, trusting
from tls_servers import MemoryLink, server_context

__all__: list[str] = []


def since(before: dict[Counted, int]) -> dict[Counted, int]:
    """Return what was counted since."""
    return dict(Counter(counts()) - Counter(before))


def counted(report: Report) -> Counted:
    """Return how a report must be counted."""
    mode, reason = report.mode, report.reason.name
    return Counted(report.side or "", report.rule or "", reason, mode, report.accepted)


def shake(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    *,
    session: ssl.SSLSession | None = None,
) -> list[Report]:
    """Shake hands in memory; return the reports of both sides, where there are pins."""
    link = MemoryLink(client, server, session=session)
    reports = []
    try:
        link.run(link.client.do_handshake)
        link.run(lambda: link.client.write(b"hello"))
        link.run(lambda: link.client.read(5))
    except PinningError as error:
        reports.append(error.report)
    except ssl.SSLError:
        pass
    for end in (link.client, link.server):
        found = report_of(end)
        if found is not None and found not in reports:
            reports.append(found)
    return reports


POLICIES = ("match", "ca", "unpinned", "report", "expired", "late", "wrong", "blocked")


def policy_for(pki: Pki, kind: str) -> Policy:
    """Return a policy with another decision about the server."""
    import datetime as dt  # noqa: PLC0415 - of this function alone

    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    good, bad = [pki.server.pin], [pki.impostor.pin]
    rules: dict[str, Any] = {
        "match": {"localhost": PinSet(leaf=good)},
        "ca": {"**.localhost": PinSet(ca=[pki.ca.pin])},
        "unpinned": {"other.example": good},
        "report": {"localhost": PinSet(bad, mode="report")},
        "expired": {"localhost": PinSet(bad, expires=past, after_expiry="allow")},
        "late": {"localhost": PinSet(bad, expires=past, after_expiry="reject")},
        "wrong": {"localhost": bad},
        "blocked": {"localhost": PinSet(good, blocked=[pki.root.pin])},
    }
    return Policy(rules[kind])


@pytest.mark.parametrize("kind", POLICIES)
def test_each_decision_is_counted_once_as_its_report_has_it(
    pki: Pki, kind: str
) -> None:
    """Under a context's pins and under install, whichever way the verdict was found."""
    server = server_context(pki.server)
    policy = policy_for(pki, kind)
    pinned, free = trusting(pki, policy), trusting(pki)
    before = counts()
    found = [shake(pinned, server) for _ in range(3)]
    assert since(before) == {counted(found[0][0]): 3}
    install(policy)
    try:
        found.append(shake(free, server))
    finally:
        uninstall()
    assert since(before) == Counter(counted(report) for (report,) in found)


def test_both_sides_and_resumed_sessions_are_counted(pki: Pki) -> None:
    """A server counts its clients, also those that it refuses or that show nothing."""
    server = server_context(pki.server, client_authority=pki.root)
    pin_context(server, PinSet(leaf=[pki.client.pin]))
    before = counts()
    expected: Counter[Counted] = Counter()
    for identity in (pki.client, pki.stranger, pki.client):
        client = client_of(pki, identity)
        pin_context(client, Policy({"localhost": [pki.server.pin]}))
        link = MemoryLink(client, server)
        with contextlib.suppress(ssl.SSLError):
            converse(link)
        for end in (link.client, link.server):
            found = report_of(end)
            assert found is not None
            expected[counted(found)] += 1
    assert since(before) == expected
    assert {one.side for one in expected} == {"client", "server"}


def test_nothing_else_is_counted(pki: Pki) -> None:
    """Neither what asks a policy, nor contexts without pins."""
    before = counts()
    policy = Policy({"localhost": [pki.server.pin]})
    policy.evaluate("localhost", pki.server.chain_der)
    policy.verify("localhost", pki.server.chain_der)
    policy.evaluate_many(["localhost"], [pki.server.chain_der])
    assert shake(trusting(pki), server_context(pki.server)) == []
    assert since(before) == {}


def test_a_callback_that_raises_counts_a_rejection(pki: Pki) -> None:
    """Not the acceptance, which was not final."""

    def fail(_: Report) -> None:
        raise RuntimeError

    context = trusting(pki)
    pin_context(context, policy_for(pki, "report"), on_report=fail)
    before = counts()
    (found,) = shake(context, server_context(pki.server))
    assert found.reason.name == "NOT_CHECKED"
    assert since(before) == {counted(found): 1}


def test_requests_with_a_certificate_in_a_header_are_counted(pki: Pki) -> None:
    """Accepted, refused, and those that did not come as declared."""
    gate = Gate(PinSet(leaf=[pki.client.pin]), Proxy("rfc9440", peers=["127.0.0.1"]))
    before = counts()
    expected: Counter[Counted] = Counter()
    for identity, address in (
        (pki.client, "127.0.0.1"),
        (pki.client, "127.0.0.1"),
        (pki.stranger, "127.0.0.1"),
        (pki.client, "10.0.0.1"),
    ):
        lines = [(b"Client-Cert", value_of("rfc9440", identity).encode())]
        found = gate.decide(Request(lines, (address, 1), unix=False))
        expected[counted(found)] += 1
    assert since(before) == expected
    assert len(expected) == 3


def test_a_swap_keeps_the_counts_and_rules_are_bounded(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules beyond the bound are counted together, so that the sums stay right."""
    monkeypatch.setattr(_events, "_cells", {})
    monkeypatch.setattr(_events, "_rules", set())
    monkeypatch.setattr(_events, "_RULES_MAX", 3)
    monkeypatch.setattr(_events, "_NAMES_MAX", 2)
    context, server = trusting(pki), server_context(pki.server)
    for number in range(5):
        # The names of the certificate; another rule matches each time.
        other = [pki.ca.pin] * number
        pin_context(context, Policy({"localhost": [pki.server.pin, *other]}))
        shake(context, server)
    assert sum(counts().values()) == 5
    assert len(counts()) == 1
    rules = {f"h{number}.example": [pki.server.pin] for number in range(6)}
    policy = Policy(Rules(rules))
    cells: dict[object, list[int]] = {}
    from pinverify.policy._policy import handle_of  # noqa: PLC0415 - of this test

    for name in [*rules, *rules]:
        cell = _events.cell_of_name(
            cells, handle_of(policy), name.encode(), is_client=False
        )
        cell[0] += 1
        assert len(cells) <= 2
    shown = {one.rule: number for one, number in counts().items()}
    assert shown == {"localhost": 5, "h0.example": 2, "h1.example": 2, OTHERS: 8}


def test_no_increment_of_many_threads_is_lost(pki: Pki) -> None:
    """There is no lock, and none is needed while CPython has its own."""
    policy = Policy({"localhost": [pki.server.pin]})
    report = policy.evaluate("localhost", pki.server.chain_der)
    before = counts()
    turns, threads = 20_000, 8

    def increment() -> None:
        for _ in range(turns):
            count(report)

    running = [threading.Thread(target=increment) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert since(before) == {counted(report): turns * threads}


def test_a_forked_process_begins_at_zero(pki: Pki) -> None:
    """Or each worker would tell what its parent has counted."""
    shake(trusting(pki, policy_for(pki, "match")), server_context(pki.server))
    assert counts()
    child = os.fork()
    if child == 0:
        os._exit(len(counts()))
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert counts()
