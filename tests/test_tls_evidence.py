"""The rule of evidence, case by case: which chain counts, and what a peer gets.

`judge` is the one implementation. A table goes through every combination of what a TLS
library can show and what a policy can say, without a handshake; the expected outcome is
said a second time here, in the words of the theory at the top of `_evidence`. Two tests
for each adapter show that it asks `judge`, and that notices come last.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, Report, Rules
from pinverify.tls._evidence import (
    Peer,
    judge,
    refusal,
    reject_early,
    rejection,
    report_of_accepted,
)
from pinverify.tls._in_force import InForce, in_force
from pinverify.tls._memo import Memo
from pinverify.tls._notices import CallbackError
from pki import Pki

__all__: list[str] = []

HOST = "api.example.com"
ELSEWHERE = "sha256/" + "A" * 43 + "="  # pins that no certificate here has
BLOCKED_ELSEWHERE = "sha256/" + "E" * 43 + "="
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)

Mode = Literal["enforce", "report"]


class Case(NamedTuple):
    """One row of the table."""

    is_client: bool
    verified: bool
    resumed: bool
    remembered: bool  # whether the memo has the chain of the session's first handshake
    blocked: str  # "", or who blocks what: "rule: ca", "all: ca", "rule: other", …
    expired: str  # "", "allow" or "reject"
    mode: Mode
    pins: str  # "leaf", "ca" or "wrong"


CASES = [
    Case._make(row)
    for row in itertools.product(
        (False, True),
        (False, True),
        (False, True),
        (False, True),
        ("", "rule: ca", "rule: other", "all: ca", "all: other", "all: leaf"),
        ("", "allow", "reject"),
        ("enforce", "report"),
        ("leaf", "ca", "wrong"),
    )
]


class FakeShown:
    """The certificates of a peer, as a TLS library would show them.

    Attributes:
        asked: the names of the methods that were called.
    """

    def __init__(
        self, chain: Sequence[bytes], *, verified: bool, resumed: bool
    ) -> None:
        self.chain = chain
        self.verified = verified
        self.resumed = resumed
        self.asked: list[str] = []

    def leaf(self) -> bytes | None:
        self.asked.append("leaf")
        return self.chain[0] if self.chain else None

    def is_verified(self) -> bool:
        self.asked.append("is_verified")
        return self.verified

    def doubt(self) -> str:
        return "" if self.verified else "nobody did"

    def verified_chain(self) -> Sequence[bytes]:
        self.asked.append("verified_chain")
        assert self.verified, "a chain that nobody verified must not be asked for"
        return [] if self.resumed else self.chain

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def address(self) -> tuple[str, int]:
        return ("192.0.2.1", 443)

    def is_resumed(self) -> bool:
        return self.resumed


def chain_of(pki: Pki) -> list[bytes]:
    """Return leaf and authority in DER."""
    return [pki.server.der, pki.ca.der]


def policy_of(case: Case, pki: Pki) -> Policy:
    """Make the policy of a row."""
    lists = {
        "leaf": {"leaf": [pki.server.pin]},
        "ca": {"ca": [pki.ca.pin]},
        "wrong": {"pins": [ELSEWHERE]},
    }
    by, _, what = case.blocked.partition(": ")
    keys = {"ca": pki.ca.pin, "leaf": pki.server.pin, "other": BLOCKED_ELSEWHERE}
    blocked = [keys[what]] if what else []
    given: dict[str, Any] = dict(lists[case.pins])
    if case.expired:
        given |= {"expires": PAST, "after_expiry": case.expired}
    pinset = PinSet(mode=case.mode, blocked=blocked if by == "rule" else [], **given)
    everywhere = blocked if by == "all" else []
    if case.is_client:
        return Policy(Rules(clients=pinset, blocked=everywhere))
    return Policy({HOST: pinset}, blocked=everywhere)


class Expected(NamedTuple):
    """The outcome of a row."""

    accepted: bool
    reason: Reason
    noticed: bool


def expected(case: Case) -> Expected:
    """Say once more, in plain words, what must come of a row."""
    if not case.verified:
        depth, hidden = 1, False  # the leaf proves itself and nothing else
    elif not case.resumed or case.remembered:
        depth, hidden = 2, False
    else:
        depth, hidden = 1, True
    lenient = case.mode == "report"
    by, _, what = case.blocked.partition(": ")
    seen = what == "leaf" or (what == "ca" and depth == 2)
    if case.expired:
        reason, accepted = Reason.EXPIRED, case.expired == "allow" or lenient
        if accepted and by == "all" and seen:
            reason, accepted = Reason.BLOCKED, lenient
    elif by and seen:
        reason, accepted = Reason.BLOCKED, lenient
    elif case.pins == "leaf" or (case.pins == "ca" and depth == 2):
        reason, accepted = Reason.MATCH, True
    else:
        reason, accepted = Reason.MISMATCH, lenient
    if accepted and hidden and by and not lenient:
        return Expected(accepted=False, reason=Reason.NOT_CHECKED, noticed=False)
    return Expected(accepted, reason, noticed=accepted and reason != Reason.MATCH)


def rules_in_force(policy: Policy, told: list[Report]) -> InForce:
    """Put a policy in force, with a callback that keeps its reports."""
    return in_force(policy, told.append)


def memo_for(case: Case, peer: Peer, pki: Pki) -> Memo:
    """Return a memo that has seen the session's first handshake, or has not."""
    memo = Memo()
    if case.remembered:
        memo.remember(peer, chain_of(pki), bytes)
    return memo


@pytest.mark.parametrize("is_client", [False, True], ids=["server", "client"])
def test_every_combination_of_evidence_and_rules(pki: Pki, *, is_client: bool) -> None:
    """Each row gives the outcome, the reason and the notices that the theory says."""
    rows = [case for case in CASES if case.is_client == is_client]
    assert len(rows) == 864
    outcomes = set()
    for case in rows:
        peer = (None if is_client else HOST, is_client)
        told: list[Report] = []
        shown = FakeShown(chain_of(pki), verified=case.verified, resumed=case.resumed)
        rules = rules_in_force(policy_of(case, pki), told)
        try:
            accepted = judge(rules, memo_for(case, peer, pki), peer, shown)
            report = report_of_accepted(accepted, peer, shown)
            assert report.accepted, case
        except PinningError as error:
            report = error.report
            assert not report.accepted, case
        noticed = [notice.reason for notice in told]
        outcome = Expected(report.accepted, report.reason, bool(noticed))
        assert outcome == expected(case), case
        assert noticed == ([report.reason] if noticed else []), case
        outcomes.add(outcome)
    assert len(outcomes) == 8  # no kind of outcome is missing from the table


def test_the_leaf_decides_before_a_chain_is_fetched(pki: Pki) -> None:
    """Most pins are of leaves, and exporting a chain costs more than the decision."""
    shown = FakeShown(chain_of(pki), verified=True, resumed=False)
    rules = rules_in_force(Policy({HOST: [pki.server.pin]}), [])
    judge(rules, Memo(), (HOST, False), shown)
    assert shown.asked == ["leaf"]


def test_a_peer_without_a_certificate_is_rejected(pki: Pki) -> None:
    """An empty chain is never "nothing to check"."""
    for verified in (False, True):
        shown = FakeShown([], verified=verified, resumed=False)
        rules = rules_in_force(Policy({HOST: [pki.server.pin]}), [])
        with pytest.raises(PinningError) as caught:
            judge(rules, Memo(), (HOST, False), shown)
        assert caught.value.report.reason is Reason.NO_CERTIFICATE


@pytest.mark.parametrize(
    "other",
    [
        ("elsewhere.example", False),
        (None, True),
        (HOST, True),
    ],
    ids=["another host", "a client", "the same name on the other side"],
)
def test_evidence_is_for_one_peer_on_one_side(pki: Pki, other: Peer) -> None:
    """A chain that one peer has shown vouches for no other."""
    memo = Memo()
    memo.remember(other, chain_of(pki), bytes)
    shown = FakeShown(chain_of(pki), verified=True, resumed=True)
    rules = rules_in_force(Policy({HOST: PinSet(ca=[pki.ca.pin])}), [])
    with pytest.raises(PinningError) as caught:
        judge(rules, memo, (HOST, False), shown)
    assert caught.value.report.reason is Reason.MISMATCH


def test_pins_for_clients_are_not_for_a_server_without_a_name(pki: Pki) -> None:
    """A policy with both kinds of rules rejects a server that nobody named."""
    pinset = PinSet(leaf=[pki.server.pin])
    rules = rules_in_force(Policy(Rules({HOST: pinset}, clients=pinset)), [])
    shown = FakeShown(chain_of(pki), verified=True, resumed=False)
    accepted = judge(rules, Memo(), (None, True), shown)
    assert report_of_accepted(accepted, (None, True), shown).accepted
    with pytest.raises(PinningError):
        judge(rules, Memo(), (None, False), shown)
    with pytest.raises(PinningError):
        reject_early(rules, (None, False), chain_of(pki), shown)


def test_a_peer_that_was_not_checked_names_its_policy() -> None:
    """Whoever reads the report must know which policy was in force."""
    policy = Policy({HOST: [ELSEWHERE]})
    report = rejection(in_force(policy, None), HOST, "why").report
    assert not report.accepted
    assert (report.digest, report.host, report.detail) == (policy.digest, HOST, "why")
    assert rejection(None, b"b.example", "why").report.host == "b.example"


def test_a_callback_that_raises_rejects(pki: Pki) -> None:
    """The application can refuse what report mode would let through."""

    def refuse(_: Report) -> None:
        msg = "not this one"
        raise RuntimeError(msg)

    rules = in_force(Policy({HOST: PinSet([ELSEWHERE], mode="report")}), refuse)
    shown = FakeShown(chain_of(pki), verified=True, resumed=False)
    with pytest.raises(CallbackError) as caught:
        judge(rules, Memo(), (HOST, False), shown)
    error = refusal(caught.value, rules, (HOST, False), shown)
    assert "not this one" in str(error)
    assert isinstance(error.__cause__, RuntimeError)


def test_an_early_look_only_rejects(pki: Pki) -> None:
    """Nobody hears of a peer that passes while its handshake is going on."""
    told: list[Report] = []
    rules = rules_in_force(Policy({HOST: PinSet([ELSEWHERE], mode="report")}), told)
    shown = FakeShown(chain_of(pki), verified=True, resumed=False)
    reject_early(rules, (HOST, False), chain_of(pki), shown)
    assert told == []
    rules = rules_in_force(Policy({HOST: [ELSEWHERE]}), told)
    with pytest.raises(PinningError):
        reject_early(rules, (HOST, False), chain_of(pki), shown)
    assert told == []
