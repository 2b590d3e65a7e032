"""Policies: which rule decides about a host, and what it decides about a chain.

First the rules and the decision, one test for each thing that is promised, with
certificates that `cryptography` made. Then random policies, hosts and chains against
``policy_model.py``. Last the C functions that Python does not call.
"""

from __future__ import annotations

import ctypes
import datetime as dt
import functools
import hashlib
import inspect
import itertools
import pickle
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import policy_model as model
from pinverify import (
    UNPINNED,
    DERError,
    Pin,
    PinKind,
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Report,
    core,
)
from pinverify._core import ffi, lib
from pki import Identity, Pki, example_pki
from policy_model import Cert, ModelPin, ModelPinSet, ModelPolicy, Verdict

__all__: list[str] = []

ABSENT = "sha256/" + "A" * 43 + "="
OTHER = "sha256/" + "B" * 42 + "A="
HOST = "api.example.com"
NOON = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC)
SECOND = dt.timedelta(seconds=1)
MODES: tuple[Literal["enforce", "report"], ...] = ("enforce", "report")


def pattern_for(host: str, *patterns: str) -> str | None:
    """Return the pattern that decides about *host* among these, by a report."""
    policy = Policy({pattern: [ABSENT] for pattern in patterns})
    return policy.evaluate(host, []).pattern


# ---- rules: patterns ---------------------------------------------------------


def test_an_exact_pattern_stands_for_that_host_alone() -> None:
    """No label more, none less, no other name that ends or begins alike."""
    assert pattern_for("example.org", "example.org") == "example.org"
    for host in ("a.example.org", "org", "aexample.org", "example.orga", "b.org"):
        assert pattern_for(host, "example.org") is None


def test_one_star_stands_for_exactly_one_label_more() -> None:
    """OkHttp's ``*.host``."""
    assert pattern_for("a.example.org", "*.example.org") == "*.example.org"
    for host in ("example.org", "b.a.example.org", "aexample.org", "a.example.com"):
        assert pattern_for(host, "*.example.org") is None


def test_two_stars_stand_for_any_number_of_labels_more_or_none() -> None:
    """OkHttp's ``**.host``."""
    for host in ("example.org", "a.example.org", "d.c.b.a.example.org"):
        assert pattern_for(host, "**.example.org") == "**.example.org"
    for host in ("org", "aexample.org", "a.example.com"):
        assert pattern_for(host, "**.example.org") is None


def test_an_address_stands_alone() -> None:
    """An address has no labels: no wildcard stands for one, or for a part of one."""
    for host in ("10.0.0.1", "2001:db8::1"):
        assert pattern_for(host, host, "**.example.org") == host
        for prefix in ("*.", "**."):
            with pytest.raises(PolicyError, match="stands alone"):
                Policy({prefix + host: [ABSENT]})
    for pattern in ("*.0.0.1", "**.0.1", "*.1"):
        with pytest.raises(PolicyError, match="ends in a number"):
            Policy({pattern: [ABSENT]})


def test_there_are_no_ports() -> None:
    """A TLS connection does not know its port: a rule with one is refused.

    The message says so, and so do the docs of Policy.
    """
    with pytest.raises(PolicyError, match="without a port"):
        Policy({"example.org:443": [ABSENT]})
    assert Policy.__doc__ is not None
    assert "no ports" in Policy.__doc__


@pytest.mark.parametrize(
    ("pattern", "advice"),
    [
        ("", "empty"),
        ("*", "wildcard"),
        ("**", "wildcard"),
        ("*.", "empty"),
        ("**.", "empty"),
        ("***.example.org", "wildcard"),
        ("*.*.example.org", "wildcard"),
        ("**.*.example.org", "wildcard"),
        ("a.*.example.org", "wildcard"),
        ("a*.example.org", "wildcard"),
        ("*a.example.org", "wildcard"),
        ("*example.org", "wildcard"),
        ("example.*", "wildcard"),
        ("https://example.org", "without scheme"),
        ("https://example.org/a", "without scheme"),
        ("example.org/a", "without scheme"),
        ("example.org:443", "without a port"),
        ("[::1]", "brackets"),
        ("example..org", "empty label"),
        ("exa mple.org", "character"),
        ("example.org\n", "character"),
        (".example.org", "empty label"),
        ("^example\\.org$", "character"),
        ("1.2.3", "number"),
        ("01.2.3.4", "leading zeros"),
        ("a" * 64 + ".org", "63"),
        ("faß.de", "IDNA 2003"),
    ],
)
def test_any_other_pattern_is_refused(pattern: str, advice: str) -> None:
    """The message quotes the pattern and says what to write instead."""
    with pytest.raises(PolicyError, match="not a pattern") as caught:
        Policy({pattern: [ABSENT]})
    assert advice in str(caught.value)
    assert repr(model.shape(pattern)[1]) in str(caught.value)


def test_a_pattern_that_is_no_text_is_refused() -> None:
    """Bytes and None are no patterns."""
    for pattern in (b"example.org", None, 1):
        with pytest.raises(PolicyError, match="a pattern is text"):
            Policy({pattern: [ABSENT]})  # type: ignore[dict-item]


def test_patterns_and_hosts_have_one_canonical_form() -> None:
    """However rule and look-up are spelled, they meet."""
    spellings = {
        "bücher.Example.ORG": ["xn--bcher-kva.example.org.", "bücher.example.org"],
        "*.Example.ORG.": ["A.eXample.org"],
        "2001:DB8:0:0:0:0:0:1": ["2001:db8::1", "2001:0db8::0001"],
        "10.0.0.1.": ["10.0.0.1"],
    }
    for pattern, hosts in spellings.items():
        for host in hosts:
            report = Policy({pattern: [ABSENT]}).evaluate(host, [])
            assert report.pattern is not None
            assert report.host == host.rstrip(".").lower().replace(
                "bücher", "xn--bcher-kva"
            ).replace("0db8::0001", "db8::1")


def test_two_spellings_of_one_pattern_are_refused() -> None:
    """Which of two values should hold? The author has to say."""
    for one, other in (
        ("example.org", "EXAMPLE.org."),
        ("bücher.example", "xn--bcher-kva.example"),
        ("**.example.org", "**.Example.org"),
        ("::1", "0:0:0:0:0:0:0:1"),
    ):
        with pytest.raises(PolicyError, match="are one pattern") as caught:
            Policy({one: [ABSENT], other: [OTHER]})
        assert repr(one) in str(caught.value)
        assert repr(other) in str(caught.value)


# ---- rules: which one decides ------------------------------------------------


def test_the_most_specific_rule_wins() -> None:
    """Exact, else the longest name, else ``*.`` before ``**.``."""
    ranked = [
        "c.b.a.org",
        "*.b.a.org",
        "**.b.a.org",
        "**.a.org",
        "**.org",
    ]
    for order in itertools.permutations(ranked):
        assert pattern_for("c.b.a.org", *order) == ranked[0]
    for i, pattern in enumerate(ranked):
        assert pattern_for("c.b.a.org", *ranked[i:]) == pattern
    # A longer name wins whatever its stars are, also for the host itself.
    assert pattern_for("b.a.org", "**.b.a.org", "*.a.org") == "**.b.a.org"
    assert pattern_for("b.a.org", "b.a.org", "**.b.a.org") == "b.a.org"


def test_the_winning_rule_decides_alone(pki: Pki) -> None:
    """The pins of wider rules don't count, neither do what they block."""
    policy = Policy(
        {
            "a.example.org": [ABSENT],
            "*.example.org": [pki.server.pin],
            "**.example.org": PinSet([pki.server.pin], blocked=[pki.ca.pin]),
        }
    )
    reasons = [
        policy.evaluate(host, pki.server.chain_der).reason
        for host in ("a.example.org", "b.example.org", "example.org")
    ]
    assert reasons == [Reason.MISMATCH, Reason.MATCH, Reason.BLOCKED]


def test_unpinned_carves_a_host_out_of_a_wider_rule(pki: Pki) -> None:
    """Such a host is treated as one without a rule, and the report names the rule."""
    rules: dict[str, Any] = {
        "**.example.org": [ABSENT],
        "status.example.org": UNPINNED,
        "**.lab.example.org": UNPINNED,
        "db.lab.example.org": [pki.server.pin],
    }
    hosts = ["status.example.org", "a.b.lab.example.org", "db.lab.example.org"]
    for unpinned, accepts in (("allow", True), ("reject", False)):
        policy = Policy(rules, unpinned=unpinned)  # type: ignore[arg-type]
        reports = policy.evaluate_many(hosts, [pki.server.chain_der] * 3)
        assert [r.reason.name for r in reports] == ["NOT_PINNED"] * 2 + ["MATCH"]
        assert [r.accepted for r in reports] == [accepts, accepts, True]
        assert [r.pattern for r in reports] == [
            "status.example.org",
            "**.lab.example.org",
            "db.lab.example.org",
        ]


SHAPES = ("", "*.", "**.")


def test_every_set_of_rules_over_three_names_finds_what_the_model_finds() -> None:
    """Exhaustive: each of 512 sets of nine patterns, each host of up to five labels."""
    patterns = [s + n for s in SHAPES for n in ("a", "a.a", "a.a.a")]
    hosts = [".".join("a" * num) for num in range(1, 6)]
    for bits in range(1 << len(patterns)):
        rules = [p for i, p in enumerate(patterns) if bits >> i & 1]
        found = _finder(rules)
        for host in hosts:
            assert found(host) == model.find(rules, host), (rules, host)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda s, labels: s + ".".join(labels),
            st.sampled_from(SHAPES),
            st.lists(st.sampled_from("ab"), min_size=1, max_size=4),
        ),
        unique=True,
        max_size=40,
    )
)
def test_many_overlapping_rules_find_what_the_model_finds(patterns: list[str]) -> None:
    """Random sets out of ninety patterns, each host of up to five labels."""
    found = _finder(patterns)
    for num in range(1, 6):
        for labels in itertools.product("ab", repeat=num):
            host = ".".join(labels)
            assert found(host) == model.find(patterns, host)


def _finder(patterns: Sequence[str]) -> Callable[[str], str | None]:
    """Return the C core's look-up among these patterns."""
    opened = core.OpenPolicy(Policy({p: [ABSENT] for p in patterns}).compile())

    def found(host: str) -> str | None:
        rule = opened.find(host)
        return None if rule is None else opened.rule(rule)[0]

    return found


def fnv1a(name: bytes) -> int:
    """Return the hash that the header describes."""
    value = 0xCBF29CE484222325
    for byte in reversed(name):
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value


def test_two_names_with_the_same_tag_in_one_bucket_are_told_apart() -> None:
    """The index compares names, not only hashes and lengths: anybody can make those."""
    names = ["h382662.example", "h470954.example"]
    one, other = (fnv1a(name.encode()) for name in names)
    assert one >> 32 == other >> 32
    assert len(names[0]) == len(names[1])
    assert (one ^ one >> 32) % 2 == (other ^ other >> 32) % 2
    for patterns in (names, names[:1], names[1:]):
        found = _finder(patterns)
        for name in names:
            assert found(name) == (name if name in patterns else None)


# ---- PinSets -----------------------------------------------------------------


def test_pins_are_hit_by_a_certificate_at_any_position(pki: Pki) -> None:
    """Leaf, intermediate or root."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    for depth, identity in enumerate((pki.server, pki.ca, pki.root)):
        report = PinSet(pins=[ABSENT, identity.pin]).verify(chain)
        assert report.depth == depth
        assert str(report.matched) == identity.pin


def test_leaf_is_hit_by_position_0_alone(pki: Pki) -> None:
    """The peer's own key, and not one of those that vouch for it."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    assert PinSet(leaf=[ABSENT, pki.server.pin]).verify(chain).depth == 0
    for identity in (pki.ca, pki.root):
        report = PinSet(leaf=[identity.pin]).evaluate(chain)
        assert report.reason is Reason.MISMATCH


def test_ca_is_hit_by_a_certificate_at_position_1_or_later(pki: Pki) -> None:
    """Any of the authorities, and not the peer's own key."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    for depth, identity in ((1, pki.ca), (2, pki.root)):
        assert PinSet(ca=[ABSENT, identity.pin]).verify(chain).depth == depth
    report = PinSet(ca=[pki.server.pin]).evaluate(chain)
    assert report.reason is Reason.MISMATCH


@pytest.mark.parametrize("kind", PinKind)
def test_every_list_that_is_not_empty_must_be_hit(pki: Pki, kind: PinKind) -> None:
    """The lists are joined by AND, the pins in a list by OR; all combinations."""
    chain = pki.server.chain_der
    assert len(chain) == 2
    good = {
        "pins": Pin.from_certificate(pki.server.der, kind=kind),
        "leaf": Pin.from_certificate(pki.server.der, kind=kind),
        "ca": Pin.from_certificate(pki.ca.der, kind=kind),
    }
    for state in itertools.product(("empty", "hit", "missed"), repeat=3):
        lists = {
            name: [ABSENT, good[name]] if what == "hit" else [ABSENT, OTHER]
            for name, what in zip(good, state, strict=True)
            if what != "empty"
        }
        if not lists:
            continue
        report = PinSet(**lists).evaluate(chain)  # type: ignore[arg-type]
        assert report.accepted == ("missed" not in state)
        expected = Reason.MISMATCH if "missed" in state else Reason.MATCH
        assert report.reason is expected


def test_any_blocked_hit_rejects(pki: Pki) -> None:
    """By its key or its certificate, at any position, whatever else is pinned."""
    pins = [pki.server.pin, pki.ca.pin]
    for depth, identity in enumerate((pki.server, pki.ca)):
        for pin in (identity.pin, identity.certificate_pin):
            pinset = PinSet(pins, blocked=[ABSENT, pin])
            report = pinset.evaluate(pki.server.chain_der)
            assert not report.accepted
            assert report.reason is Reason.BLOCKED
            assert report.depth == depth
            assert str(report.matched) == pin
    assert PinSet(pins, blocked=[ABSENT]).verify(pki.server.chain_der).accepted


def test_a_pin_set_without_pins_is_refused() -> None:
    """It would pin nothing, or everything; UNPINNED says the former."""
    no_pins: list[dict[str, list[str]]] = [{}, {"pins": []}, {"blocked": [ABSENT]}]
    for lists in no_pins:
        with pytest.raises(PolicyError, match="write UNPINNED"):
            PinSet(**lists)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"'example\.org': a PinSet needs"):
        Policy({"example.org": []})


def test_expires_needs_after_expiry() -> None:
    """There is no default: the author decides between an outage and no pins."""
    with pytest.raises(PolicyError, match=r"after_expiry='allow'.*'reject'"):
        PinSet([ABSENT], expires=NOON)
    with pytest.raises(PolicyError, match="give both or none"):
        PinSet([ABSENT], after_expiry="allow")
    with pytest.raises(PolicyError, match="'allow' or 'reject'"):
        PinSet([ABSENT], expires=NOON, after_expiry="never")  # type: ignore[arg-type]


def test_expires_needs_a_timezone() -> None:
    """A naive datetime means something else on every machine."""
    naive = NOON.replace(tzinfo=None)
    for wrong in (naive, "2026-01-01", 1767268800, NOON.date()):
        with pytest.raises(PolicyError, match="with a timezone"):
            PinSet([ABSENT], expires=wrong, after_expiry="allow")  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="with a timezone"):
        PinSet([ABSENT]).evaluate([], now=naive)


def test_other_choices_are_refused() -> None:
    """A typo in mode or unpinned must not weaken anything."""
    for mode in ("Enforce", "", None, 0, True, ["report"]):
        with pytest.raises(PolicyError, match="mode: expected 'enforce' or 'report'"):
            PinSet([ABSENT], mode=mode)  # type: ignore[arg-type]
    for unpinned in ("Allow", "", None, False):
        with pytest.raises(PolicyError, match="unpinned: expected 'allow' or 'reject'"):
            Policy({}, unpinned=unpinned)  # type: ignore[arg-type]


def test_a_single_pin_in_place_of_a_list_is_refused() -> None:
    """Text is iterable: a pin must not be read letter by letter."""
    for wrong in (ABSENT, Pin.parse(ABSENT), ABSENT.encode(), None, 7):
        with pytest.raises(PolicyError, match="pins: expected a list of pins"):
            PinSet(wrong)  # type: ignore[arg-type]
        with pytest.raises(PolicyError, match=r"'example\.org': pins: expected a list"):
            Policy({"example.org": wrong})  # type: ignore[dict-item]
        if wrong is not None:
            with pytest.raises(PolicyError, match="blocked: expected a list of pins"):
                Policy({}, blocked=wrong)  # type: ignore[arg-type]


def test_a_bad_pin_is_named_with_its_list_and_its_host() -> None:
    """In a file of a thousand pins, the message leads there."""
    for name in ("pins", "leaf", "ca", "blocked"):
        with pytest.raises(PolicyError, match=f"^{name}: .*'nonsense'"):
            PinSet(**{name: [ABSENT, "nonsense"]})  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match=r"^'a\.example': pins: .*'nonsense'"):
        Policy({"a.example": ["nonsense"]})


@pytest.mark.parametrize(
    "weak",
    [
        "sha1/" + "A" * 27 + "=",
        "sha1//" + "A" * 27 + "=",
        "SHA1 Fingerprint=" + ":".join(["AA"] * 20),
        "MD5 Fingerprint=" + ":".join(["AA"] * 16),
        "md5/" + "A" * 22 + "==",
    ],
)
def test_policies_refuse_sha1_and_md5(weak: str) -> None:
    """Both can be forged. The message says so."""
    for make in (
        lambda: PinSet([weak]),
        lambda: Policy({"a.example": [weak]}),
        lambda: Policy({}, blocked=[weak]),
    ):
        with pytest.raises(PolicyError, match="can be forged"):
            make()


def test_a_pin_set_is_a_value() -> None:
    """It compares and hashes by what it says, and can't be changed."""
    one = PinSet([ABSENT], mode="report", expires=NOON, after_expiry="allow")
    same = PinSet(
        [Pin.parse(ABSENT)], mode="report", expires=NOON, after_expiry="allow"
    )
    assert one == same
    assert hash(one) == hash(same)
    one.evaluate([])  # which makes something inside
    assert one == same
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (ours)
    assert one != PinSet([OTHER], mode="report", expires=NOON, after_expiry="allow")
    with pytest.raises(AttributeError):
        one.mode = "enforce"  # type: ignore[misc]


# ---- the decision, in its seven steps ----------------------------------------


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
        assert report.pattern is None
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
            assert report.pattern is None
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
            assert report.pattern == HOST


def test_step_3_the_second_is_that_of_the_timezone() -> None:
    """Noon in Tokyo is not noon in New York; a fraction of a second is cut off."""
    tokyo = dt.timezone(dt.timedelta(hours=9))
    moment = dt.datetime(2026, 1, 1, 12, 0, 0, 999_999, tokyo)
    pinset = PinSet([ABSENT], expires=moment, after_expiry="allow")
    assert pinset.expires == moment.replace(microsecond=0)
    at = dt.datetime(2026, 1, 1, 3, tzinfo=dt.UTC)
    for now, reason in ((at - SECOND, "NO_CERTIFICATE"), (at, "EXPIRED")):
        for zone in (dt.UTC, tokyo, dt.timezone(dt.timedelta(hours=-5))):
            report = pinset.evaluate([], now=now.astimezone(zone))
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
    assert pinset.evaluate([], now=second).reason is Reason.EXPIRED
    if second.year > 1:
        now = second - SECOND
        assert pinset.evaluate([], now=now).reason is Reason.NO_CERTIFICATE


def test_step_3_without_now_the_time_is_the_current_one() -> None:
    """The clock is read where the caller gives no time."""
    for year, reason in ((2000, "EXPIRED"), (9999, "NO_CERTIFICATE")):
        expires = dt.datetime(year, 1, 1, tzinfo=dt.UTC)
        pinset = PinSet([ABSENT], expires=expires, after_expiry="allow")
        assert pinset.evaluate([]).reason.name == reason
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


def test_step_4_a_certificate_that_is_not_strict_der_is_rejected(pki: Pki) -> None:
    """Even behind one that is pinned: what can't be read may be blocked."""
    damaged = pki.ca.der + b"\0"
    report = PinSet([pki.server.pin]).evaluate([pki.server.der, damaged])
    assert not report.accepted
    assert report.reason is Reason.MALFORMED
    assert report.depth == 1
    assert [str(pin) for pin in report.chain] == [pki.server.pin]
    assert report.matched is None
    assert "not strict DER: Certificate" in report.detail
    with pytest.raises(PinningError, match="not strict DER: Certificate"):
        PinSet([pki.server.pin]).verify([pki.server.der, damaged])
    # What follows it does not make it good.
    report = PinSet([pki.server.pin]).evaluate([pki.server.der, damaged, pki.root.der])
    assert (report.accepted, report.reason) == (False, Reason.MALFORMED)
    assert report.depth == 1


def test_step_4_comes_before_step_5(pki: Pki) -> None:
    """A malformed certificate is reported as that, also beside a blocked one."""
    pinset = PinSet([ABSENT], blocked=[pki.server.pin])
    report = pinset.evaluate([pki.server.der, b"\x30"])
    assert report.reason is Reason.MALFORMED


def test_step_5_a_blocked_key_anywhere_in_the_chain_is_blocked(pki: Pki) -> None:
    """Before any match; the first one in the chain is named."""
    chain = [pki.server.der, pki.ca.der, pki.root.der]
    pinset = PinSet([pki.server.pin], blocked=[pki.root.pin, pki.ca.pin])
    report = pinset.evaluate(chain)
    assert not report.accepted
    assert report.reason is Reason.BLOCKED
    assert report.depth == 1
    assert str(report.matched) == pki.ca.pin
    assert len(report.chain) == 3


def test_step_6_every_group_hit_is_a_match_else_a_mismatch(pki: Pki) -> None:
    """MATCH names the first certificate that hit; MISMATCH names none."""
    chain = pki.server.chain_der
    report = PinSet(leaf=[pki.server.pin], ca=[pki.ca.pin]).evaluate(chain)
    assert report.accepted
    assert report.reason is Reason.MATCH
    assert report.depth == 0
    assert str(report.matched) == pki.server.pin
    report = PinSet(leaf=[pki.server.pin], ca=[ABSENT]).evaluate(chain)
    assert not report.accepted
    assert report.reason is Reason.MISMATCH
    assert report.depth is None
    assert report.matched is None


def test_step_7_report_mode_accepts_what_3_5_and_6_would_reject(pki: Pki) -> None:
    """The reason stays, so that it can be counted and logged."""
    chain = pki.server.chain_der
    expired = {"expires": NOON, "after_expiry": "reject"}
    cases: list[tuple[Reason, dict[str, Any]]] = [
        (Reason.EXPIRED, {"pins": [ABSENT], **expired}),
        (Reason.BLOCKED, {"pins": [pki.server.pin], "blocked": [pki.ca.pin]}),
        (Reason.MISMATCH, {"pins": [ABSENT]}),
    ]
    for reason, lists in cases:
        for mode in MODES:
            pinset = PinSet(mode=mode, **lists)
            report = pinset.evaluate(chain, now=NOON)
            assert report.reason is reason
            assert report.accepted == (mode == "report")
            assert report.mode == mode


def test_step_7_report_mode_accepts_what_the_policy_blocks(pki: Pki) -> None:
    """A rule in report mode is for watching: nothing of it cuts a connection."""
    policy = Policy(
        {HOST: PinSet([pki.server.pin], mode="report")}, blocked=[pki.ca.pin]
    )
    report = policy.evaluate(HOST, pki.server.chain_der)
    assert report.accepted
    assert report.reason is Reason.BLOCKED


def test_step_7_report_mode_relaxes_neither_1_nor_4(pki: Pki) -> None:
    """A peer without a usable name or certificate was not verified at all."""
    policy = Policy({HOST: PinSet([ABSENT], mode="report")})
    for host, chain, reason in (
        ("a..b", pki.server.chain_der, Reason.BAD_HOST),
        (HOST, [], Reason.NO_CERTIFICATE),
        (HOST, [b"?"], Reason.MALFORMED),
    ):
        report = policy.evaluate(host, chain)
        assert not report.accepted
        assert report.reason is reason


def test_step_7_report_mode_does_not_let_an_unpinned_host_pass(pki: Pki) -> None:
    """A mode belongs to a rule: it says nothing about hosts without one."""
    policy = Policy({HOST: PinSet([ABSENT], mode="report")}, unpinned="reject")
    assert not policy.evaluate("other.example", pki.server.chain_der).accepted


# ---- reports -----------------------------------------------------------------


def test_a_zeroed_report_is_a_rejection() -> None:
    """What was never decided is refused: accepted is 0, and the reason MISMATCH."""
    report = ffi.new("pv_report *")
    assert report.accepted == 0
    assert report.reason == lib.PV_MISMATCH == Reason.MISMATCH
    assert report.mode == lib.PV_ENFORCE


def test_the_reasons_of_python_are_those_of_c() -> None:
    """Each number has one meaning."""
    for reason in Reason:
        assert getattr(lib, f"PV_{reason.name}") == reason
    for kind in PinKind:
        assert getattr(lib, f"PV_{kind.name}") == kind


def test_a_report_has_no_truth_value(pki: Pki) -> None:
    """``if policy.evaluate(...)`` would pass for every peer."""
    for pins in ([ABSENT], [pki.server.pin]):
        report = PinSet(pins).evaluate(pki.server.chain_der)
        with pytest.raises(TypeError, match=r"report\.accepted"):
            bool(report)
        with pytest.raises(TypeError):
            assert not report


def test_a_report_says_what_was_seen_and_by_which_policy(pki: Pki) -> None:
    """All fields, once."""
    policy = Policy({"**.example.com": [pki.ca.certificate_pin]})
    report = policy.evaluate("API.example.com.", pki.server.chain_der)
    assert report == Report(
        accepted=True,
        reason=Reason.MATCH,
        host="api.example.com",
        pattern="**.example.com",
        mode="enforce",
        matched=Pin.parse(pki.ca.certificate_pin),
        depth=1,
        chain=(Pin.parse(pki.server.pin), Pin.parse(pki.ca.pin)),
        policy_digest=policy.digest,
    )


def test_verify_returns_what_evaluate_does_or_raises_with_it(pki: Pki) -> None:
    """Two verbs, one decision."""
    chain = pki.server.chain_der
    good = Policy({HOST: [pki.server.pin]})
    assert good.verify(HOST, chain) == good.evaluate(HOST, chain)
    for policy in (Policy({HOST: [ABSENT]}), Policy({}, unpinned="reject")):
        with pytest.raises(PinningError) as caught:
            policy.verify(HOST, chain)
        assert caught.value.report == policy.evaluate(HOST, chain)


def test_a_pin_set_holds_for_every_peer_whatever_its_name(pki: Pki) -> None:
    """Client certificates have no host names; the report shows none."""
    pinset = PinSet(leaf=[pki.client.pin])
    report = pinset.verify(pki.client.chain_der)
    assert report.host is None
    assert report.pattern is None
    with pytest.raises(PinningError):
        pinset.verify(pki.stranger.chain_der)
    policy = Policy.open(pinset.compile())
    assert policy.every_peer
    assert not Policy({}).every_peer
    for host in (None, "a.example", "a..b", "faß.de", b"\0"):
        assert policy.evaluate(host, pki.client.chain_der) == report


def test_evaluate_many_answers_in_order(pki: Pki) -> None:
    """Chains of different lengths, empty and malformed ones among them."""
    policy = Policy({"*.example": [pki.ca.pin]})
    hosts: list[str | bytes | None]
    hosts = ["a.example", "b.example", "c..example", "d.example", "e.org", b"f.example"]
    chains: list[list[bytes]] = [
        pki.server.chain_der,
        [],
        [pki.server.der],
        [b"?"],
        [],
        [pki.ca.der],
    ]
    reports = policy.evaluate_many(hosts, chains)
    assert [report.reason.name for report in reports] == [
        "MATCH",
        "NO_CERTIFICATE",
        "BAD_HOST",
        "MALFORMED",
        "NOT_PINNED",
        "MATCH",
    ]
    assert policy.evaluate_many([], []) == []
    with pytest.raises(ValueError, match="one per peer"):
        policy.evaluate_many(hosts, chains[1:])


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(st.text(max_size=12), st.binary(max_size=12), st.none()),
    st.lists(st.binary(max_size=40), max_size=3),
)
def test_evaluate_never_raises_for_a_verdict(
    host: str | bytes | None, chain: list[bytes]
) -> None:
    """Bad input is a rejection like any other, and never an acceptance."""
    policy = Policy({"**.a": PinSet([ABSENT], mode="report")}, unpinned="reject")
    report = policy.evaluate(host, chain)
    assert not report.accepted
    assert report.reason is not Reason.MATCH


# ---- which chain -------------------------------------------------------------


def test_the_argument_says_that_the_chain_must_be_a_verified_one() -> None:
    """A caller sees at the call what they vouch for, and the docs say why."""
    for kind in (Policy, PinSet):
        for name in ("verify", "evaluate"):
            assert "verified_chain" in inspect.signature(getattr(kind, name)).parameters
    doc = inspect.getdoc(Policy.verify)
    assert doc is not None
    assert "leaf first" in doc
    assert "leaf alone" in doc
    assert "as the\n" in doc or "as the peer sent it" in doc


def test_the_leaf_alone_is_a_chain(pki: Pki) -> None:
    """Where a TLS library gives no verified chain: leaf pins hold, CA pins fail."""
    leaf = [pki.server.der]
    assert PinSet([pki.server.pin]).verify(leaf).accepted
    assert PinSet(leaf=[pki.server.pin]).verify(leaf).accepted
    assert not PinSet([pki.ca.pin]).evaluate(leaf).accepted
    assert not PinSet(ca=[pki.ca.pin]).evaluate(leaf).accepted


# ---- policies are values -----------------------------------------------------


def test_the_digest_is_the_sha256_of_the_contents() -> None:
    """A digest names a policy: everything from byte 40 on counts."""
    policy = Policy({HOST: [ABSENT]})
    assert policy.digest == hashlib.sha256(policy.compile()[40:]).digest()
    report = policy.evaluate(HOST, [])
    assert report.policy_digest == policy.digest


def test_equal_policies_are_one_value() -> None:
    """Equality and hash go by the digest; a pickle holds the compiled bytes."""
    one, same = Policy({HOST: [ABSENT]}), Policy({HOST: PinSet([ABSENT])})
    other = Policy({HOST: [OTHER]})
    assert one == same
    assert one != other
    assert one != one.compile()
    assert len({one, same, other}) == 2
    assert pickle.loads(pickle.dumps(one)) == one  # noqa: S301  (ours)
    assert len(one) == 1
    assert len(Policy({})) == 0
    assert one.digest.hex()[:16] in repr(one)
    assert "every peer" in repr(Policy.open(PinSet([ABSENT]).compile()))


# ---- against the model -------------------------------------------------------

UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_767_268_800  # 2026-01-01T12:00:00Z


@functools.cache
def pool() -> tuple[Cert, ...]:
    """Return genuine certificates; two of them have the same key."""
    pki = example_pki()
    renewed = pki.ca.leaf("renewed.example", key=pki.server.key)
    identities = (pki.server, renewed, pki.ca, pki.root, pki.impostor, pki.client)
    assert renewed.spki == pki.server.spki
    assert renewed.der != pki.server.der
    return tuple(_cert(identity) for identity in identities)


def _cert(identity: Identity) -> Cert:
    return Cert(identity.der, hashlib.sha256(identity.spki).digest())


@functools.cache
def malformed() -> tuple[Cert, ...]:
    """Return bytes that are no certificates."""
    der = pool()[0].der
    wrong = (b"", b"\x30\x00", der[:-1], der + b"\0", der[:4] + b"\x31" + der[5:])
    return tuple(Cert(bytes_, None) for bytes_ in wrong)


@functools.cache
def known_pins() -> tuple[ModelPin, ...]:
    """Return the pins of all genuine certificates, and some that nothing has."""
    hit = {pin for cert in pool() for pin in cert.pins()}
    absent = [ModelPin("spki", bytes([i]) * 32) for i in range(3)]
    absent += [ModelPin("certificate", bytes([i]) * 32) for i in range(3)]
    # A pin of the wrong kind must never hit.
    swapped = [ModelPin("certificate", cert.spki or b"") for cert in pool()[:2]]
    return (*sorted(hit), *absent, *swapped)


FEW = st.integers(0, 5)
LABELS = st.sampled_from("aab")
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
ADDRESSES = ("10.0.0.1", "::1")
PATTERNS = st.one_of(
    st.tuples(st.sampled_from(SHAPES), NAMES).map("".join),
    st.tuples(st.sampled_from(SHAPES), NAMES).map("".join),
    st.sampled_from(ADDRESSES),
)
ODD_HOSTS: st.SearchStrategy[str | bytes] = st.sampled_from(
    [".", "a..b", ".a", "a\0b", "a b", "a.1", "1.2.3", "::g", b"\xff", b"a.A", "0::1"]
)


@st.composite
def hosts_under(draw: st.DrawFn, patterns: list[str]) -> str | bytes:
    """Draw a host: mostly one that some pattern may stand for."""
    if draw(st.integers(0, 9)) == 9:
        return draw(ODD_HOSTS)
    if not patterns or draw(st.integers(0, 5)) == 5:
        return draw(NAMES)
    _, name = model.shape(draw(st.sampled_from(patterns)))
    if model.is_address(name):
        return name
    host = ".".join([*draw(st.lists(LABELS, max_size=2)), name])
    return draw(st.sampled_from([host, host, host.upper(), host + "."]))


@st.composite
def pin_lists(
    draw: st.DrawFn, *, often_empty: bool = True, most: int = 6
) -> tuple[ModelPin, ...]:
    """Draw a list of pins: often empty, now and then of more than four."""
    if often_empty and draw(st.booleans()):
        return ()
    pins = draw(st.lists(st.sampled_from(known_pins()), min_size=1, max_size=most))
    if draw(st.integers(0, 7)) == 7:
        filler = [ModelPin("spki", bytes([i]) * 32) for i in range(100, 109)]
        at = draw(st.integers(0, 8))
        pins = filler[:at] + pins + filler[at:]
    return tuple(pins)


@st.composite
def pin_sets(draw: st.DrawFn) -> ModelPinSet:
    """Draw a PinSet."""
    lists = [draw(pin_lists()) for _ in range(2)]
    lists.append(draw(pin_lists(often_empty=any(lists))))
    pins, leaf, ca = draw(st.permutations(lists))
    expires = draw(st.sampled_from([None, None, None, NOW - 1, NOW, NOW + 1]))
    return ModelPinSet(
        pins=pins,
        leaf=leaf,
        ca=ca,
        blocked=draw(pin_lists(most=2)) if draw(st.booleans()) else (),
        mode=draw(st.sampled_from(["enforce", "enforce", "report"])),
        expires=expires,
        after_expiry=(
            None if expires is None else draw(st.sampled_from(["allow", "reject"]))
        ),
    )


@st.composite
def policies(draw: st.DrawFn) -> ModelPolicy:
    """Draw a policy; one in eight is a PinSet for every peer."""
    if draw(st.integers(0, 7)) == 7:
        return ModelPolicy(every_peer=draw(pin_sets()))
    values = st.one_of(pin_sets(), pin_sets(), pin_sets(), st.none())
    return ModelPolicy(
        rules=draw(st.dictionaries(PATTERNS, values, min_size=draw(FEW), max_size=8)),
        unpinned=draw(st.sampled_from(["allow", "reject"])),
        blocked=draw(pin_lists(most=2)),
    )


@st.composite
def chains(draw: st.DrawFn) -> list[Cert]:
    """Draw a chain: mostly genuine certificates, seldom none or a malformed one."""
    chain = draw(st.lists(st.sampled_from(pool()), min_size=1, max_size=3))
    oddity = draw(st.integers(0, 9))
    if oddity == 8:
        return []
    if oddity == 9:
        at = draw(st.integers(0, len(chain)))
        chain.insert(at, draw(st.sampled_from(malformed())))
    return chain


Peer = tuple[str | bytes, list[Cert]]


@st.composite
def cases(draw: st.DrawFn) -> tuple[ModelPolicy, list[Peer]]:
    """Draw a policy, and eight peers to decide about."""
    policy = draw(policies())
    host = hosts_under(list(policy.rules))
    return policy, draw(st.lists(st.tuples(host, chains()), min_size=8, max_size=8))


def test_random_policies_decide_as_the_model_does() -> None:
    """One by one, many at once, and after a compile and open: the same answers.

    And each reason and each shape of a rule occurs often, accepted and rejected,
    so that the agreement means something.
    """
    met: Counter[str] = Counter()

    @settings(UNTIMED, max_examples=400)
    @given(cases())
    def compare(case: tuple[ModelPolicy, list[Peer]]) -> None:
        drawn, peers = case
        policy = model.policy(drawn)
        opened = Policy.open(policy.compile())
        hosts = [host for host, _ in peers]
        ders = [[cert.der for cert in chain] for _, chain in peers]
        now = dt.datetime.fromtimestamp(NOW, dt.UTC)
        many = policy.evaluate_many(hosts, ders, now=now)
        assert opened.evaluate_many(hosts, ders, now=now) == many
        for report, host, chain, der in zip(
            many, hosts, (chain for _, chain in peers), ders, strict=True
        ):
            verdict = model.decide(drawn, host, chain, NOW)
            model.assert_same(report, verdict)
            assert report.policy_digest == policy.digest
            assert policy.evaluate(host, der, now=now) == report
            assert one_in_c(opened, host, der) == in_c(report)
            assert_light_calls_agree(opened, drawn, host, chain, report)
            met.update(name for name, holds in FACTS.items() if holds(drawn, verdict))
            event(verdict.reason)
            event(f"shape {model.shape(verdict.pattern or '')[0]!r}")

    compare()
    total = sum(met[reason.name] for reason in Reason)
    seldom = {name: met[name] for name in FACTS if met[name] < total / 1000}
    assert not seldom, (seldom, met)


def assert_light_calls_agree(
    policy: Policy,
    drawn: ModelPolicy,
    host: str | bytes,
    chain: list[Cert],
    report: Report,
) -> None:
    """Compare the calls of the hot path, which give no report, with a report.

    They must never pass what the report rejects or has something to tell about. By
    the leaf alone passes only what would pass under every chain above it.
    """
    name = host if isinstance(host, bytes) else host.encode("utf-8")
    der = [cert.der for cert in chain]
    accepted = core.ACCEPTED if report.accepted else 0
    joined = core.chain(der)
    assert joined.certs == der
    answer = policy.opened.decide(
        name, len(name), joined.data, len(joined.data), joined.lens, len(der), NOW
    )
    assert answer == report.reason + accepted
    passes = report.accepted and report.reason.name in NOTHING_TO_TELL
    assert (answer in core.NOTHING_TO_TELL) == passes
    blocks = bool(drawn.blocked or blocked_by_rule(drawn, report.pattern))
    if report.reason is Reason.BAD_HOST:
        with pytest.raises(PolicyError, match="is not a host"):
            policy.blocks(host)
    else:
        assert policy.blocks(host) == blocks
    if not chain:
        return
    by_leaf = model.decide(drawn, host, chain[:1], NOW)
    suffices = by_leaf.accepted and by_leaf.reason in NOTHING_TO_TELL and not blocks
    by_c = policy.opened.leaf_suffices(name, len(name), der[0], len(der[0]), NOW)
    assert by_c == suffices
    if suffices and all(cert.spki for cert in chain):
        assert passes


NOTHING_TO_TELL = ("MATCH", "NOT_PINNED")


def blocked_by_rule(drawn: ModelPolicy, pattern: str | None) -> tuple[ModelPin, ...]:
    """Return what the PinSet of a rule blocks, or that for every peer."""
    pinset = drawn.every_peer
    if pattern is not None:
        pinset = drawn.rules[pattern]
    return () if pinset is None else pinset.blocked


def _lists(drawn: ModelPolicy, verdict: Verdict) -> list[tuple[ModelPin, ...]]:
    """Return the lists of the PinSet that decided, those that are not empty."""
    pinset = drawn.every_peer
    if verdict.pattern is not None:
        pinset = drawn.rules[verdict.pattern]
    lists = () if pinset is None else (pinset.pins, pinset.leaf, pinset.ca)
    return [pins for pins in lists if pins]


def _candidates(drawn: ModelPolicy, verdict: Verdict) -> int:
    """Return how many rules stand for the host."""
    host = verdict.host
    if verdict.pattern is None or not isinstance(host, str):
        return 0
    return sum(model.matches(pattern, host) for pattern in drawn.rules)


# What must occur often for the agreement to mean something.
FACTS: dict[str, Callable[[ModelPolicy, Verdict], bool]] = {
    **{
        reason.name: lambda _, v, name=reason.name: v.reason == name  # type: ignore[misc]
        for reason in Reason
    },
    **{
        f"{name}, {'accepted' if accepted else 'rejected'}": (
            lambda _, v, wanted=(name, accepted): (v.reason, v.accepted) == wanted  # type: ignore[misc]
        )
        for name in ("NOT_PINNED", "EXPIRED", "BLOCKED", "MISMATCH")
        for accepted in (True, False)
    },
    **{
        f"decided by a rule with {wildcard!r}": (
            lambda _, v, wildcard=wildcard: (  # type: ignore[misc]
                v.pattern is not None and model.shape(v.pattern)[0] == wildcard
            )
        )
        for wildcard in SHAPES
    },
    "decided by an address": lambda _, v: v.pattern in ADDRESSES,
    "decided by UNPINNED": lambda d, v: v.pattern is not None and not _lists(d, v),
    "decided by a PinSet for every peer": lambda d, _: d.every_peer is not None,
    "other rules lost": lambda d, v: _candidates(d, v) > 1,
    "matched a key": lambda _, v: "spki" in {p.kind for p in v.matched},
    "matched a certificate": lambda _, v: "certificate" in {p.kind for p in v.matched},
    "matched behind the leaf": lambda _, v: v.reason == "MATCH" and v.depth != 0,
    "several lists, MATCH": (
        lambda d, v: v.reason == "MATCH" and len(_lists(d, v)) > 1
    ),
    "several lists, MISMATCH": (
        lambda d, v: v.reason == "MISMATCH" and len(_lists(d, v)) > 1
    ),
    "a list of more than four pins": (
        lambda d, v: max(map(len, _lists(d, v)), default=0) > 4
    ),
    "NOT_PINNED passes where the policy blocks": (
        lambda d, v: bool(d.blocked) and v.reason == "NOT_PINNED" and v.accepted
    ),
    "EXPIRED passes where the policy blocks": (
        lambda d, v: bool(d.blocked) and v.reason == "EXPIRED" and v.accepted
    ),
}


# ---- the C functions that Python does not call -------------------------------


def one_in_c(
    policy: Policy, host: str | bytes, chain: list[bytes]
) -> tuple[object, ...]:
    """Ask pv_verify, which is what C programs call for each peer."""
    compiled = policy.compile()
    opened = ffi.new("pv_policy *")
    assert lib.pv_policy_open(opened, compiled, len(compiled)) == lib.PV_OK
    buffers = [ffi.from_buffer(der) for der in chain]
    spans = ffi.new("pv_span[]", [(b, len(b)) for b in buffers])
    name = host if isinstance(host, bytes) else host.encode("utf-8")
    report = ffi.new("pv_report *", {"accepted": 1})
    spkis = ffi.new("uint8_t[]", b"\xff" * (32 * len(chain)))
    status = lib.pv_verify(
        report, spkis, opened, name, len(name), spans, len(chain), NOW
    )
    assert status == lib.PV_OK
    seen = bytes(ffi.buffer(spkis))[: 32 * len(chain)]
    assert not any(seen[32 * report.num_seen :])
    rule = ffi.new("pv_rule *")
    pattern = None
    if report.rule != lib.PV_NO_RULE:
        assert lib.pv_policy_rule(rule, opened, report.rule) == lib.PV_OK
        text = bytes(ffi.buffer(rule.name, rule.name_len)).decode("ascii")
        pattern = SHAPES[rule.shape] + text
    return (
        report.accepted,
        report.reason,
        report.mode,
        pattern,
        None if report.depth == lib.PV_NO_DEPTH else report.depth,
        (report.matched_kind, bytes(ffi.buffer(report.matched))),
        seen[: 32 * report.num_seen],
    )


def in_c(report: Report) -> tuple[object, ...]:
    """Return what pv_verify must say where Python gave *report*."""
    matched = (0, bytes(32))
    if report.matched is not None:
        matched = (int(report.matched.kind), report.matched.digest)
    return (
        int(report.accepted),
        int(report.reason),
        int(report.mode == "report"),
        report.pattern,
        report.depth,
        matched,
        b"".join(pin.digest for pin in report.chain),
    )


def opened_in_c(policy: Policy) -> tuple[Any, bytes]:
    """Return a pv_policy and the bytes that it points into."""
    compiled = policy.compile()
    opened = ffi.new("pv_policy *")
    assert lib.pv_policy_open(opened, ffi.from_buffer(compiled), len(compiled)) == 0
    return opened, compiled


def test_pv_verify_without_a_pointer_fails_and_rejects(pki: Pki) -> None:
    """The report is zero, whatever stood in it: a rejection."""
    opened, _keep = opened_in_c(Policy({}))
    chain = ffi.from_buffer(pki.server.der)
    spans = ffi.new("pv_span[]", [(chain, len(chain))])
    closed = ffi.new("pv_policy *")  # never opened
    for policy, host, certs in (
        (closed, b"a", spans),
        (opened, ffi.NULL, spans),
        (opened, b"a", ffi.NULL),
    ):
        report = ffi.new("pv_report *", {"accepted": 1, "reason": 1})
        status = lib.pv_verify(report, ffi.NULL, policy, host, 1, certs, 1, NOW)
        assert status == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(report)))
    report = ffi.new("pv_report *")
    assert lib.pv_verify(report, ffi.NULL, opened, b"a", 1, spans, 1, NOW) == lib.PV_OK
    assert report.accepted == 1
    assert report.reason == lib.PV_NOT_PINNED


def test_the_light_calls_of_c_reject_what_they_cannot_ask(pki: Pki) -> None:
    """No policy, no host, lengths that do not add up: never a pass."""
    opened, _keep = opened_in_c(Policy({}))
    closed = ffi.new("pv_policy *")
    der = pki.server.der
    good = struct.pack("<I", len(der))
    asked = lib.pv_decide(opened, b"a", 1, der, len(der), good, 1, NOW)
    assert asked == lib.PV_ACCEPTED + lib.PV_NOT_PINNED
    assert lib.pv_leaf_suffices(opened, b"a", 1, der, len(der), NOW) == 1
    for policy, host in ((closed, b"a"), (opened, ffi.NULL)):
        assert lib.pv_decide(policy, host, 1, der, len(der), good, 1, NOW) == 0
        assert lib.pv_leaf_suffices(policy, host, 1, der, len(der), NOW) == 0
    assert lib.pv_rule_blocks(closed, 0) == 1
    assert lib.pv_rule_blocks(opened, lib.PV_NO_RULE) == 0
    for wrong in ([0], [len(der) - 1], [len(der) + 1], [2**32 - 1], [len(der), 1], []):
        lens, num = struct.pack(f"<{len(wrong)}I", *wrong), len(wrong)
        assert lib.pv_decide(opened, b"a", 1, der, len(der), lens, num, NOW) == 0


@pytest.mark.parametrize(
    "offsets",
    [
        {"hosts": [0, 2, 1]},
        {"hosts": [0, 1, 3]},
        {"certs": [0, 5, 4]},
        {"certs": [0, 4, 1 << 63]},
        {"chains": [0, 2, 1]},
        {"chains": [0, 1, 3]},
    ],
    ids=str,
)
def test_pv_verify_many_refuses_offsets_that_do_not_ascend_or_pass_their_end(
    offsets: dict[str, list[int]],
) -> None:
    """Every report is zero then, and so are the keys: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    given = {"hosts": [0, 1, 2], "certs": [0, 4, 8], "chains": [0, 1, 2]} | offsets
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    spkis = ffi.new("uint8_t[64]", b"\xff" * 64)
    at = {name: ffi.new("uint64_t[]", positions) for name, positions in given.items()}
    hosts = ffi.from_buffer(b"ab")
    certs = ffi.from_buffer(b"\x30\x02\x02\x00\x30\x02\x02\x00")
    status = lib.pv_verify_many(
        reports,
        spkis,
        opened,
        ffi.new("pv_column *", [hosts, 2, [at["hosts"], 8, 2]]),
        ffi.new("pv_column *", [certs, 8, [at["certs"], 8, 2]]),
        ffi.new("pv_offsets *", [at["chains"], 8, 2]),
        NOW,
    )
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))
    assert not any(bytes(ffi.buffer(spkis)))


@pytest.mark.parametrize("num_chains", [0, 1, 3])
def test_pv_verify_many_refuses_another_number_of_chains_than_hosts(
    num_chains: int,
) -> None:
    """Whose chain would it be? Every report is zero: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    at = ffi.new("uint64_t[]", [0, 1, 2, 2])
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    text = ffi.from_buffer(b"ab")
    column = ffi.new("pv_column *", [text, 2, [at, 8, 2]])
    chains = ffi.new("pv_offsets *", [at, 8, num_chains])
    status = lib.pv_verify_many(reports, ffi.NULL, opened, column, column, chains, NOW)
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))


def test_a_policy_is_read_back_by_number_and_no_further() -> None:
    """Rules, PinSets and pins past the end give PV_ERR_ARGUMENT, and zeros."""
    blocked = Pin.certificate(b"\x09" * 32)
    policy = Policy(
        {"a.example": PinSet([ABSENT, OTHER]), "b.example": UNPINNED},
        blocked=[blocked],
    )
    opened, _keep = opened_in_c(policy)
    rule = ffi.new("pv_rule *", {"shape": 1})
    pinset = ffi.new("pv_pinset *", {"mode": 1})
    pin = ffi.new("uint8_t[32]", b"\xff" * 32)
    assert lib.pv_policy_rule(rule, opened, 2) == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(rule)))
    for number in (1, lib.PV_UNPINNED):
        assert lib.pv_policy_pinset(pinset, opened, number) == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(pinset)))
    for wrong in (
        (0, 0, 0, 2),  # the third of two pins
        (0, 0, 1, 0),  # certificate pins, of which there are none
        (0, 4, 0, 0),  # a fifth list
        (0, 0, 2, 0),  # a third kind
        (1, 0, 0, 0),  # a second PinSet
        (lib.PV_UNPINNED, 0, 1, 0),  # the policy itself blocks, and has no pins
        (lib.PV_UNPINNED, 3, 0, 0),
        (lib.PV_UNPINNED, 3, 1, 1),
    ):
        assert lib.pv_policy_pin(pin, opened, *wrong) == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(pin)))
    for place, digest in (
        ((0, 0, 0, 0), Pin.parse(ABSENT).digest),
        ((0, 0, 0, 1), Pin.parse(OTHER).digest),
        ((lib.PV_UNPINNED, 3, 1, 0), blocked.digest),
    ):
        assert lib.pv_policy_pin(pin, opened, *place) == lib.PV_OK
        assert bytes(ffi.buffer(pin)) == digest
    with pytest.raises(IndexError):
        core.OpenPolicy(policy.compile()).rule(2)


# ---- what a beginner may give --------------------------------------------------


def test_a_wrong_type_is_a_type_error_that_says_what_to_write(pki: Pki) -> None:
    """No error of the C binding reaches a user."""
    policy = Policy({"a.example": [pki.server.pin]})
    der: Any = pki.server.der
    anything: Any = 3
    with pytest.raises(TypeError, match=r"write \[certificate\]"):
        policy.evaluate("a.example", der)
    with pytest.raises(TypeError, match=r"write \[certificate\]"):
        policy.evaluate_many(["a.example"], [der])
    with pytest.raises(TypeError, match="expected bytes, got str"):
        policy.evaluate("a.example", ["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a host is text, got int"):
        policy.evaluate(anything, [der])
    with pytest.raises(TypeError, match="datetime with a timezone"):
        policy.evaluate("a.example", [der], now=anything)


def test_pem_in_place_of_der_is_named(pki: Pki) -> None:
    """The advice is about the encoding, not about the certificate."""
    pem = pki.server.pem.encode()
    with pytest.raises(PinningError, match="give the chain as DER"):
        Policy({"a.example": [pki.server.pin]}).verify("a.example", [pem])
    for call in (core.spki, core.spki_sha256, core.matcher(bytes(32))):
        with pytest.raises(DERError, match="this is PEM"):
            call(pem)


def test_as_many_chains_as_hosts_are_needed(pki: Pki) -> None:
    """C would read past the end of the offsets otherwise."""
    opened = core.OpenPolicy(Policy({"a.example": [pki.server.pin]}).compile())
    for num_hosts, num_chains in ((2, 1), (1, 2), (1, 0), (0, 1)):
        chains: list[list[bytes]] = [[] for _ in range(num_chains)]
        with pytest.raises(ValueError, match="one per peer"):
            list(opened.verify_many([b"a"] * num_hosts, core.Chains(chains), 0))


def test_many_items_may_come_from_any_iterable_and_any_buffer(pki: Pki) -> None:
    """A generator is not empty, and a view of words is as long as its bytes."""
    der = pki.server.der
    expected = core.spki_sha256(der) * 2
    given: Any = (cert for cert in (der, der))
    assert core.spki_sha256_many(given) == (expected, [])
    words: Any = memoryview(bytes(range(64))).cast("I")
    assert core.sha256(words) == hashlib.sha256(bytes(range(64))).digest()
    assert core.sha256_many([words]) == core.sha256(words)
    with pytest.raises(TypeError, match="give offsets"):
        core.spki_sha256_many(der)
    assert core.matcher(core.spki_sha256(der))(memoryview(der))  # type: ignore[arg-type]


def test_an_expiry_that_no_calendar_has_is_told_all_the_same(pki: Pki) -> None:
    """The year 10000 in UTC is a valid moment in another zone."""
    early = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    late = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))
    expired = PinSet([pki.server.pin], expires=early, after_expiry="reject")
    with pytest.raises(PinningError, match=r"expired .* seconds after 1970"):
        expired.verify([pki.server.der])
    holds = PinSet([pki.server.pin], expires=late, after_expiry="reject")
    with pytest.raises(PinningError, match="no pin of this peer"):
        holds.verify([pki.ca.der])


def test_a_view_with_strange_items_is_measured_in_bytes() -> None:
    """Items of no bytes have a length, and C would read that many pins."""
    strange: Any = memoryview(((ctypes.c_ubyte * 0) * 64)())
    assert not core.pins_contain(strange, bytes(32))
    assert core.pack_pins(strange) == b""


def test_a_policy_is_true_even_without_rules() -> None:
    """Who writes `if policy:` means "is there one", and must not lose its pins."""
    assert Policy({}, unpinned="reject")
    assert PinSet(leaf=[Pin.spki(bytes(32))]).as_policy()
