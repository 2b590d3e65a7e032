"""The rule of evidence in Python, case by case, and the other duties of `judge`.

`judge` is the one implementation for Python. `evidence_cases.py` has the cases, which
the adapter of OpenSSL runs as well, and their expected results. Here a made-up library
presents them, without a handshake. `test_tls_adapters.py` shows that each adapter calls
`judge`.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from evidence_cases import ELSEWHERE, FILE, Case, Expected, policy_of, read, table
from pinverify import PinningError, PinSet, Policy, Reason, Report, Rules
from pinverify.tls._events import CallbackError
from pinverify.tls._judge import (
    Peer,
    judge,
    refusal,
    reject_early,
    rejection,
    report_of_accepted,
)
from pinverify.tls._memo import Memo
from pinverify.tls._policy_in_force import InForce, in_force
from pki import Pki

__all__: list[str] = []

HOST = "api.example.com"


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


def rules_in_force(policy: Policy, told: list[Report]) -> InForce:
    """Put a policy in force, with a callback that keeps its reports."""
    return in_force(policy, told.append)


def judged(case: Case, pki: Pki) -> Expected:
    """Let Python decide a case."""
    is_client = case.peer == "client"
    peer = (None if is_client else HOST, is_client)
    memo = Memo()
    if case.remembered == "remembered":
        memo.remember(peer, chain_of(pki), bytes)
    shown = FakeShown(
        chain_of(pki),
        verified=case.verified == "verified",
        resumed=case.resumed == "resumed",
    )
    told: list[Report] = []
    policy = policy_of(case, HOST, pki.server.pin, pki.ca.pin)
    try:
        accepted = judge(rules_in_force(policy, told), memo, peer, shown)
        report = report_of_accepted(accepted, peer, shown)
        assert report.accepted, case
    except PinningError as error:
        report = error.report
        assert not report.accepted, case
    assert [notice.reason for notice in told] in ([], [report.reason]), case
    return Expected(report.accepted, report.reason, bool(told))


def test_the_file_of_cases_says_what_the_rule_says() -> None:
    """After a change: ``cd tests && python -m evidence_cases``."""
    assert FILE.read_text(encoding="ascii") == table()
    rows = read()
    combinations = [case for case, _ in rows if case.pins in {"leaf", "ca", "wrong"}]
    assert len(set(combinations)) == 1728
    assert len({case for case, _ in rows}) == len(rows) == 2944
    assert len({outcome for _, outcome in rows}) == 10  # each that there is


def test_pitfall_64_python_decides_each_case_as_the_file_says(
    pki: Pki, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outcome, reason and notices are those that the adapter of OpenSSL gives."""
    rows = read()
    wrong = [case for case, outcome in rows if judged(case, pki) != outcome]
    with capsys.disabled():
        print(f"\nPython: {len(rows)} cases, {len(wrong)} decided otherwise")  # noqa: T201
    assert wrong == []


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
    assert caught.value.report.reason is Reason.NOT_CHECKED


def test_pitfall_64_a_refusal_for_want_of_evidence_names_the_key(pki: Pki) -> None:
    """A log tells by its key who was refused; no rule has decided, and none matched."""
    shown = FakeShown(chain_of(pki), verified=True, resumed=True)
    for peer, policy in (
        ((HOST, False), Policy({f"**.{HOST}": PinSet(ca=[pki.ca.pin])})),
        ((None, True), Policy.for_clients(PinSet(ca=[pki.ca.pin]))),
    ):
        with pytest.raises(PinningError) as caught:
            judge(rules_in_force(policy, []), Memo(), peer, shown)
        report = caught.value.report
        assert [str(pin) for pin in report.chain] == [pki.server.pin]
        assert (report.rule, report.depth, report.matched) == (None, None, None)
        assert (report.host, report.digest) == (peer[0], policy.digest)
        assert "the session" in report.detail


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
