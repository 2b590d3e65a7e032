"""Random policies, hosts and chains decide as ``policy_model.py`` does."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

import policy_model as model
from pinverify import Policy, Reason, Report
from pinverify.core._keys import chain as as_chain
from pinverify.policy._policy import handle_of
from pki import Identity, example_pki
from policy_in_c import in_c, one_in_c
from policy_model import Cert, ModelPin, ModelPinSet, ModelPolicy, Verdict
from policy_samples import NOW, SHAPES

__all__: list[str] = []


UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


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
    """Draw a policy; one in eight has pins of clients alone, one has them too."""
    kind = draw(st.integers(0, 7))
    if kind == 7:
        return ModelPolicy(clients=draw(pin_sets()))
    values = st.one_of(pin_sets(), pin_sets(), pin_sets(), st.none())
    return ModelPolicy(
        rules=draw(st.dictionaries(PATTERNS, values, min_size=draw(FEW), max_size=8)),
        unpinned=draw(st.sampled_from(["allow", "reject"])),
        blocked=draw(pin_lists(most=2)),
        clients=draw(pin_sets()) if kind == 6 else None,
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


Peer = tuple[str | bytes | None, list[Cert]]


@st.composite
def cases(draw: st.DrawFn) -> tuple[ModelPolicy, list[Peer]]:
    """Draw a policy, and eight peers to decide about."""
    policy = draw(policies())
    host = hosts_under(list(policy.rules))
    if policy.clients is not None:
        host = st.one_of(host, st.none())
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
            assert report.digest == policy.digest
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
    host: str | bytes | None,
    chain: list[Cert],
    report: Report,
) -> None:
    """Compare the calls of the hot path, which give no report, with a report.

    They must never pass what the report rejects or has something to tell about. By
    the leaf alone passes only what would pass under every chain above it.
    """
    name = host.encode("utf-8") if isinstance(host, str) else host or b""
    der = [cert.der for cert in chain]
    joined = as_chain(der)
    assert joined.certs == der
    handle = handle_of(policy)
    passes = report.accepted and report.reason.name in NOTHING_TO_TELL
    assert handle.passes(name, joined, NOW) == passes
    blocks = bool(drawn.blocked or blocked_by_rule(drawn, host, report.rule))
    clear = not blocks and report.reason is not Reason.BAD_HOST
    assert handle.is_clear(name) == clear
    if not chain:
        return
    by_leaf = model.decide(drawn, host, chain[:1], NOW)
    suffices = by_leaf.accepted and by_leaf.reason in NOTHING_TO_TELL and not blocks
    by_c = handle.leaf_suffices(name, len(name), der[0], len(der[0]), NOW)
    assert by_c == suffices
    if suffices and all(cert.spki for cert in chain):
        assert passes


NOTHING_TO_TELL = ("MATCH", "NOT_PINNED")


def blocked_by_rule(
    drawn: ModelPolicy, host: str | bytes | None, pattern: str | None
) -> tuple[ModelPin, ...]:
    """Return what the PinSet of a rule blocks, or that of clients."""
    pinset = drawn.clients if model.by_clients(drawn, host) else None
    if pattern is not None:
        pinset = drawn.rules[pattern]
    return () if pinset is None else pinset.blocked


def _lists(drawn: ModelPolicy, verdict: Verdict) -> list[tuple[ModelPin, ...]]:
    """Return the lists of the PinSet that decided, those that are not empty."""
    pinset = drawn.clients if verdict.host is None else None
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
        if reason is not Reason.NOT_CHECKED  # adapters give it, a policy never does
    },
    **{
        f"{name}, {'accepted' if accepted else 'rejected'}": (
            lambda _, v, wanted=(name, accepted): (v.reason, v.accepted) == wanted  # type: ignore[misc]
        )
        for name in (
            "NOT_PINNED",
            "EXPIRED",
            "NO_CERTIFICATE",
            "MALFORMED",
            "BLOCKED",
            "MISMATCH",
        )
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
    "decided by clients alone": lambda d, _: d.clients is not None and not d.rules,
    "decided by clients beside rules": (
        lambda d, v: d.clients is not None and len(d.rules) > 0 and v.host is None
    ),
    "decided by a rule beside clients": (
        lambda d, v: d.clients is not None and v.pattern is not None
    ),
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
