"""The decision of a policy about a chain, in its eight steps."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import pytest

from pinverify import UNPINNED, Pin, PinningError, PinSet, Policy, Reason
from pki import Pki
from policy_samples import ABSENT, HOST, MODES, NOON, SECOND

__all__: list[str] = []


def test_step_1_a_host_that_is_not_canonical_is_a_bad_host_and_rejected(
    pki: Pki,
) -> None:
    """It is never "not pinned", nor relaxed, and the report says what is wrong."""
    lenient = Policy({HOST: PinSet([ABSENT], mode="report")}, unpinned="allow")
    for host, why in (
        ("", "empty"),
        ("a..b", "empty label"),
        ("api.example.com\0.evil.example", "character"),
        ("127.1", "ends in a number"),
        ("0x7f000001", "ends in a number"),
        ("faß.de", "IDNA 2003"),
        (b"b\xc3\xbccher.example", "character"),
        (None, "no name"),
    ):
        report = lenient.evaluate(host, pki.server.chain_der)
        assert not report.accepted
        assert report.reason is Reason.BAD_HOST
        assert report.rule is None
        assert why in report.detail


def test_step_2_a_host_without_a_rule_is_accepted_or_rejected_as_the_policy_says(
    pki: Pki,
) -> None:
    """NOT_PINNED, both ways; the chain is not looked at."""
    for unpinned, accepts in (("allow", True), ("reject", False)):
        policy = Policy({HOST: [ABSENT]}, unpinned=unpinned)  # type: ignore[arg-type]
        for chain in (pki.server.chain_der, [], [b"no DER"]):
            report = policy.evaluate("other.example.com", chain)
            assert report.accepted is accepts
            assert report.reason is Reason.NOT_PINNED
            assert report.rule is None
            assert report.chain == ()
    assert Policy({}).evaluate(HOST, []).accepted


def test_step_2_what_the_policy_blocks_is_checked_for_every_host(pki: Pki) -> None:
    """Pinned or not, carved out or expired: a compromised key opens no door."""
    old = PinSet([pki.server.pin], expires=NOON, after_expiry="allow")
    rules: dict[str, Any] = {
        "pinned.example": [pki.server.pin],
        "free.example": UNPINNED,
        "old.example": old,
    }
    for pin in (pki.ca.pin, pki.ca.certificate_pin):
        policy = Policy(rules, blocked=[ABSENT, pin])
        for host in ("pinned.example", "free.example", "old.example", "no.example"):
            chain = pki.server.chain_der
            report = policy.evaluate(host, chain, now=NOON)
            assert not report.accepted
            assert report.reason is Reason.BLOCKED
            assert report.depth == 1
            assert str(report.matched) == pin
            # What could not be checked can't be accepted either.
            report = policy.evaluate(host, [], now=NOON)
            assert not report.accepted
            assert report.reason is Reason.NO_CERTIFICATE
            report = policy.evaluate(host, [pki.server.der, b"?"], now=NOON)
            assert not report.accepted
            assert report.reason is Reason.MALFORMED
            assert report.depth == 1


@pytest.mark.parametrize("after_expiry", ["allow", "reject"])
def test_step_3_a_rule_is_expired_from_its_second_on(
    pki: Pki, after_expiry: Literal["allow", "reject"]
) -> None:
    """One second before it holds, at the very second it does not (now >= expires)."""
    pinset = PinSet([ABSENT], expires=NOON, after_expiry=after_expiry)
    policy = Policy({HOST: pinset})
    before = [NOON - SECOND, NOON - dt.timedelta(microseconds=1), NOON.min]
    after = [NOON, NOON + SECOND, NOON.max]
    for now in before:
        now = now.replace(tzinfo=dt.UTC)  # noqa: PLW2901  (min has none)
        report = policy.evaluate(HOST, pki.server.chain_der, now=now)
        assert report.reason is Reason.MISMATCH
        assert not report.accepted
    for now in after:
        now = now.replace(tzinfo=dt.UTC)  # noqa: PLW2901
        for chain in (pki.server.chain_der, [], [b"?"]):
            report = policy.evaluate(HOST, chain, now=now)
            assert report.reason is Reason.EXPIRED
            assert report.accepted == (after_expiry == "allow")
            assert report.rule == HOST


def test_step_3_the_second_is_that_of_the_timezone() -> None:
    """Noon in Tokyo is not noon in New York; a fraction of a second is cut off."""
    tokyo = dt.timezone(dt.timedelta(hours=9))
    moment = dt.datetime(2026, 1, 1, 12, 0, 0, 999_999, tokyo)
    pinset = PinSet([ABSENT], expires=moment, after_expiry="allow")
    assert pinset.expires == moment.replace(microsecond=0)
    at = dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC)
    for now, reason in ((at - SECOND, "NO_CERTIFICATE"), (at, "EXPIRED")):
        for zone in (dt.UTC, tokyo, dt.timezone(dt.timedelta(hours=-5))):
            report = Policy.for_clients(pinset).evaluate(
                None, [], now=now.astimezone(zone)
            )
            assert report.reason.name == reason


@pytest.mark.parametrize(
    "expires",
    [
        dt.datetime(1, 1, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 59, 500_000, dt.UTC),
        dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
        dt.datetime(2038, 1, 19, 3, 14, 8, tzinfo=dt.UTC),
        dt.datetime(2106, 2, 7, 6, 28, 16, tzinfo=dt.UTC),
        dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    ],
    ids=str,
)
def test_step_3_any_second_that_a_datetime_can_hold_is_exact(
    expires: dt.datetime,
) -> None:
    """Also before 1970, and where 32 bits end."""
    pinset = PinSet([ABSENT], expires=expires, after_expiry="allow")
    second = expires.replace(microsecond=0)
    assert (
        Policy.for_clients(pinset).evaluate(None, [], now=second).reason
        is Reason.EXPIRED
    )
    if second.year > 1:
        now = second - SECOND
        assert (
            Policy.for_clients(pinset).evaluate(None, [], now=now).reason
            is Reason.NO_CERTIFICATE
        )


def test_step_3_without_now_the_time_is_the_current_one() -> None:
    """The clock is read where the caller gives no time."""
    for year, reason in ((2000, "EXPIRED"), (9999, "NO_CERTIFICATE")):
        expires = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        pinset = PinSet([ABSENT], expires=expires, after_expiry="allow")
        assert Policy.for_clients(pinset).evaluate(None, []).reason.name == reason
        policy = Policy({HOST: pinset})
        assert policy.evaluate(HOST, []).reason.name == reason
        assert policy.evaluate_many([HOST], [[]])[0].reason.name == reason


def test_step_4_no_certificate_is_rejected() -> None:
    """A peer that shows nothing has proved nothing."""
    report = Policy({HOST: [ABSENT]}).evaluate(HOST, [])
    assert not report.accepted
    assert report.reason is Reason.NO_CERTIFICATE
    assert report.chain == ()
    assert report.depth is None


def test_step_5_a_blocked_key_anywhere_in_the_chain_is_blocked(pki: Pki) -> None:
    """Before any match; the first one in the chain is named."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    pinset = PinSet([pki.server.pin], blocked=[pki.root.pin, pki.ca.pin])
    report = Policy.for_clients(pinset).evaluate(None, chain)
    assert not report.accepted
    assert report.reason is Reason.BLOCKED
    assert report.depth == 1
    assert str(report.matched) == pki.ca.pin
    assert len(report.chain) == 3


@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_step_5_a_malformed_certificate_does_not_hide_a_blocked_one(
    pki: Pki, at: int
) -> None:
    """Every certificate is looked at, also behind one that can't be read."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    for key in chain:
        pinset = PinSet([pki.server.pin], blocked=[Pin.from_certificate(key)])
        damaged = [*chain[:at], b"\x30", *chain[at:]]
        report = Policy.for_clients(pinset).evaluate(None, damaged)
        assert not report.accepted
        assert report.reason is Reason.BLOCKED
        assert report.depth == damaged.index(key)
        assert report.matched == Pin.from_certificate(key)
        assert report.detail == ""


def test_step_6_what_is_not_strict_der_is_rejected(pki: Pki) -> None:
    """It may be the pinned one, and nobody can tell; nor what stands behind it."""
    damaged = pki.ca.der + b"\0"
    chain = [pki.server.der, damaged, pki.root.der]
    for pinset in (
        PinSet([ABSENT]),
        PinSet([pki.ca.pin]),
        PinSet([pki.root.pin]),
        PinSet(leaf=[pki.server.pin], ca=[pki.root.pin]),
    ):
        policy = Policy.for_clients(pinset)
        report = policy.evaluate(None, chain)
        assert not report.accepted
        assert report.reason is Reason.MALFORMED
        assert report.depth == 1
        assert [str(pin) for pin in report.chain] == [pki.server.pin]
        assert report.matched is None
        assert "not strict DER: Certificate" in report.detail
        with pytest.raises(PinningError, match="not strict DER: Certificate"):
            policy.verify(None, chain)
    # Behind a leaf that can't be read, no pin is of use.
    for pinset in (PinSet([pki.ca.pin]), PinSet(ca=[pki.ca.pin])):
        report = Policy.for_clients(pinset).evaluate(None, [b"?", pki.ca.der])
        assert (report.accepted, report.reason) == (False, Reason.MALFORMED)


def test_step_6_nothing_above_what_matched_need_be_strict_der(pki: Pki) -> None:
    """The keys that decide are below it."""
    damaged = pki.root.der + b"\0"
    for pinset, chain, depth in (
        (PinSet([pki.server.pin]), [pki.server.der, damaged], 0),
        (PinSet([pki.server.pin]), [pki.server.der, damaged, pki.ca.der], 0),
        (PinSet([pki.ca.pin]), [pki.server.der, pki.ca.der, damaged], 1),
        (PinSet(ca=[pki.ca.pin]), [pki.server.der, pki.ca.der, damaged], 1),
    ):
        policy = Policy.for_clients(pinset)
        report = policy.evaluate(None, chain)
        assert report.accepted
        assert report.reason is Reason.MATCH
        assert report.depth == depth
        assert report.detail == ""
        assert len(report.chain) == chain.index(damaged)


def test_step_6_what_is_not_strict_der_may_hide_what_is_blocked(pki: Pki) -> None:
    """Where any key is blocked, all of the chain has to be read."""
    chain = [pki.server.der, pki.ca.der, pki.root.der + b"\0"]
    blocked = [ABSENT]
    for policy in (
        Policy({HOST: PinSet([pki.server.pin], blocked=blocked)}),
        Policy({HOST: [pki.server.pin]}, blocked=blocked),
        Policy({HOST: UNPINNED}, blocked=blocked),
        Policy({}, blocked=blocked),
    ):
        report = policy.evaluate(HOST, chain)
        assert not report.accepted
        assert report.reason is Reason.MALFORMED
        assert report.depth == 2
        assert policy.evaluate(HOST, chain[:2]).accepted


def test_step_6_what_is_not_strict_der_has_no_key(pki: Pki) -> None:
    """Its digest is zero inside the core, and no pin is compared with that."""
    zero = Pin.spki(bytes(32))
    for pinset in (PinSet([zero]), PinSet([pki.server.pin], blocked=[zero])):
        report = Policy.for_clients(pinset).evaluate(None, [pki.server.der, b"?"])
        assert not report.accepted
        assert report.reason is Reason.MALFORMED


def test_step_7_every_group_hit_is_a_match_else_a_mismatch(pki: Pki) -> None:
    """MATCH names the first certificate that hit; MISMATCH names none."""
    chain = pki.server.chain_der
    report = Policy.for_clients(
        PinSet(leaf=[pki.server.pin], ca=[pki.ca.pin])
    ).evaluate(None, chain)
    assert report.accepted
    assert report.reason is Reason.MATCH
    assert report.depth == 0
    assert str(report.matched) == pki.server.pin
    report = Policy.for_clients(PinSet(leaf=[pki.server.pin], ca=[ABSENT])).evaluate(
        None, chain
    )
    assert not report.accepted
    assert report.reason is Reason.MISMATCH
    assert report.depth is None
    assert report.matched is None


def test_step_8_report_mode_accepts_what_3_to_7_would_reject(pki: Pki) -> None:
    """The reason stays, so that it can be counted and logged.

    A roll-out in report mode refuses nobody whom the TLS library accepts.
    """
    chain = pki.server.chain_der
    damaged = [*chain, b"?"]
    pin = pki.server.pin
    expired = {"expires": NOON, "after_expiry": "reject"}
    cases: list[tuple[Reason, list[bytes], dict[str, Any]]] = [
        (Reason.EXPIRED, chain, {"pins": [ABSENT], **expired}),
        (Reason.EXPIRED, [], {"pins": [ABSENT], **expired}),
        (Reason.NO_CERTIFICATE, [], {"pins": [ABSENT]}),
        (Reason.BLOCKED, chain, {"pins": [pin], "blocked": [pki.ca.pin]}),
        (Reason.BLOCKED, damaged, {"pins": [pin], "blocked": [pki.ca.pin]}),
        (Reason.MALFORMED, damaged, {"pins": [ABSENT]}),
        (Reason.MALFORMED, damaged, {"pins": [pin], "blocked": [ABSENT]}),
        (Reason.MALFORMED, [b"?"], {"leaf": [pin]}),
        (Reason.MISMATCH, chain, {"pins": [ABSENT]}),
    ]
    for reason, certs, lists in cases:
        for mode in MODES:
            pinset = PinSet(mode=mode, **lists)
            report = Policy.for_clients(pinset).evaluate(None, certs, now=NOON)
            assert report.reason is reason
            assert report.accepted == (mode == "report")
            assert report.mode == mode


def test_step_8_report_mode_accepts_what_the_policy_blocks(pki: Pki) -> None:
    """A rule in report mode is for watching: nothing of it cuts a connection."""
    for expires in (None, NOON):
        after_expiry: Literal["reject"] | None = "reject" if expires else None
        pinset = PinSet(
            [pki.server.pin], mode="report", expires=expires, after_expiry=after_expiry
        )
        policy = Policy({HOST: pinset}, blocked=[pki.ca.pin])
        chain = pki.server.chain_der
        for certs, reason in (
            (chain, Reason.BLOCKED),
            ([chain[0], b"?"], Reason.MALFORMED),
            ([], Reason.NO_CERTIFICATE),
        ):
            report = policy.evaluate(HOST, certs, now=NOON)
            assert report.accepted
            assert report.reason is reason
            # A host without a rule has no mode.
            report = policy.evaluate("other.example", certs, now=NOON)
            assert not report.accepted
            assert report.reason is reason


def test_step_8_report_mode_does_not_relax_1(pki: Pki) -> None:
    """A peer without a usable name was not verified at all."""
    policy = Policy({HOST: PinSet([ABSENT], mode="report")})
    report = policy.evaluate("a..b", pki.server.chain_der)
    assert not report.accepted
    assert report.reason is Reason.BAD_HOST


def test_step_8_report_mode_does_not_let_an_unpinned_host_pass(pki: Pki) -> None:
    """A mode belongs to a rule: it says nothing about hosts without one."""
    policy = Policy({HOST: PinSet([ABSENT], mode="report")}, unpinned="reject")
    assert not policy.evaluate("other.example", pki.server.chain_der).accepted
