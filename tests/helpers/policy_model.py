"""The answers that pinverify must give, in plain Python: the oracle of policy tests.

The model is written from the text of csrc/pinverify.h, sections 4 and 6, and not from
the code. It is slow on purpose: it tries every rule for every host, and every pin.

    canonical(host)                   the one spelling of a host, None if it has none
    find(rules, host)                 the pattern that decides about a canonical host
    decide(policy, host, chain, now)  the decision, steps 1 to 8

Only the last section knows pinverify: it turns a model into a `Policy`, and compares
a `Report` with a `Verdict`.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, TypeAlias

from pinverify import UNPINNED, Pin, PinKind, PinSet, Policy, Report, Rules

__all__ = [
    "Cert",
    "ModelPin",
    "ModelPinSet",
    "ModelPolicy",
    "Verdict",
    "assert_same",
    "by_clients",
    "canonical",
    "decide",
    "find",
    "is_address",
    "matches",
    "pin_set",
    "policy",
    "shape",
]

# ---- hosts -------------------------------------------------------------------

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DIGITS = "0123456789"
_HEX = _DIGITS + "abcdef"


def canonical(host: str | bytes) -> str | None:
    """Return the one spelling of an ASCII host, or None if it has none."""
    text = host.decode("latin-1") if isinstance(host, bytes) else host
    if not text.isascii():
        return None
    if ":" in text:
        return _canonical_ipv6(text)
    name = text.removesuffix(".").lower()
    labels = name.split(".")
    if len(name) > 253 or not all(1 <= len(label) <= 63 for label in labels):
        return None
    if set(name) - set(_LETTERS + _DIGITS + "-_."):
        return None
    return _canonical_ipv4(name) if _is_number(labels[-1]) else name


def is_address(host: str) -> bool:
    """Tell a canonical address from a canonical name."""
    return ":" in host or _is_number(host.rpartition(".")[2])


def _is_number(label: str) -> bool:
    """Say whether the URL standard reads a label as a number."""
    if label.startswith("0x"):
        return not set(label[2:]) - set(_HEX)
    return label != "" and not set(label) - set(_DIGITS)


def _canonical_ipv4(name: str) -> str | None:
    try:
        return str(ipaddress.IPv4Address(name))
    except ValueError:
        return None


def _canonical_ipv6(text: str) -> str | None:
    """Return the form of RFC 5952, section 4, in hexadecimal throughout.

    `ipaddress` reads; it does not write, because since Python 3.13 it writes some
    addresses with a dotted quad.
    """
    if "%" in text:
        return None
    try:
        packed = ipaddress.IPv6Address(text).packed
    except ValueError:
        return None
    groups = [f"{packed[i] << 8 | packed[i + 1]:x}" for i in range(0, 16, 2)]
    for length in range(8, 1, -1):
        for start in range(9 - length):
            if groups[start : start + length] == ["0"] * length:
                before, after = groups[:start], groups[start + length :]
                return ":".join(before) + "::" + ":".join(after)
    return ":".join(groups)


# ---- rules -------------------------------------------------------------------


class ModelPin(NamedTuple):
    """A pin: "spki" or "certificate", and 32 bytes."""

    kind: Literal["spki", "certificate"]
    digest: bytes


@dataclass(frozen=True)
class ModelPinSet:
    """A PinSet; `expires` counts seconds since 1970."""

    pins: tuple[ModelPin, ...] = ()
    leaf: tuple[ModelPin, ...] = ()
    ca: tuple[ModelPin, ...] = ()
    blocked: tuple[ModelPin, ...] = ()
    mode: Literal["enforce", "report"] = "enforce"
    expires: int | None = None
    after_expiry: Literal["allow", "reject"] | None = None


ModelRules: TypeAlias = Mapping[str, ModelPinSet | None]
"""Canonical patterns, each with its PinSet; None is "unpinned"."""


@dataclass(frozen=True)
class ModelPolicy:
    """A policy; its `clients` are for peers without a name, or all without rules."""

    rules: ModelRules = field(default_factory=dict)
    unpinned: Literal["allow", "reject"] = "allow"
    blocked: tuple[ModelPin, ...] = ()
    clients: ModelPinSet | None = None


def shape(pattern: str) -> tuple[str, str]:
    """Split a pattern into its wildcard, "" for an exact one, and its name."""
    for wildcard in ("**.", "*."):
        if pattern.startswith(wildcard):
            return wildcard, pattern.removeprefix(wildcard)
    return "", pattern


def matches(pattern: str, host: str) -> bool:
    """Say whether a pattern stands for a canonical host."""
    wildcard, name = shape(pattern)
    if wildcard == "" or is_address(host):
        return wildcard == "" and name == host
    host_labels, name_labels = host.split("."), name.split(".")
    num_more = len(host_labels) - len(name_labels)
    if num_more < 0 or host_labels[num_more:] != name_labels:
        return False
    return num_more == 1 if wildcard == "*." else True


def find(rules: ModelRules | Iterable[str], host: str) -> str | None:
    """Return the most specific of the patterns that stand for a canonical host."""

    def specificity(pattern: str) -> tuple[bool, int, bool]:
        wildcard, name = shape(pattern)
        return wildcard == "", len(name), wildcard == "*."

    found = [pattern for pattern in rules if matches(pattern, host)]
    return max(found, key=specificity, default=None)


# ---- the decision ------------------------------------------------------------


class Cert(NamedTuple):
    """A certificate of a chain: bytes, and the digest of its key (None: no DER)."""

    der: bytes
    spki: bytes | None

    def pins(self) -> set[ModelPin]:
        """Return the two pins that hit it; nothing hits what is no DER."""
        if self.spki is None:
            return set()
        whole = hashlib.sha256(self.der).digest()
        return {ModelPin("spki", self.spki), ModelPin("certificate", whole)}


@dataclass(frozen=True)
class Verdict:
    """The contents that a report must have.

    `matched` has every pin that the report may name: a certificate can be hit by the
    pin of its key and by its own, and the header prefers none.
    """

    accepted: bool = False
    reason: str = "MISMATCH"
    host: str | bytes | None = None
    pattern: str | None = None
    mode: str = "enforce"
    matched: frozenset[ModelPin] = frozenset()
    depth: int | None = None
    chain: tuple[bytes, ...] = ()


def by_clients(model: ModelPolicy, host: str | bytes | None) -> bool:
    """Say whether the pins of clients decide about a peer."""
    return model.clients is not None and (host is None or not model.rules)


def decide(
    model: ModelPolicy, host: str | bytes | None, chain: Sequence[Cert], now: int
) -> Verdict:
    """Decide about one peer, in the eight steps of the header."""
    pinset, pattern, name = None, None, None
    if by_clients(model, host):
        pinset = model.clients
    else:
        name = None if host is None else canonical(host)
        if name is None:  # step 1
            return Verdict(accepted=False, reason="BAD_HOST", host=host)
        pattern = find(model.rules, name)
        pinset = None if pattern is None else model.rules[pattern]
    rule = Verdict(host=name, pattern=pattern)
    if pinset is None:  # step 2
        accepts = model.unpinned == "allow"
        early = replace(rule, accepted=accepts, reason="NOT_PINNED")
    else:
        rule = replace(rule, mode=pinset.mode)
        if pinset.expires is None or now < pinset.expires:
            blocked = {*model.blocked, *pinset.blocked}
            by_lists = _by_lists(rule, chain, pinset)
            is_match = by_lists.reason == "MATCH"
            return _refusal(rule, chain, blocked, is_match=is_match) or by_lists
        accepts = pinset.after_expiry == "allow" or rule.mode == "report"
        early = replace(rule, accepted=accepts, reason="EXPIRED")  # step 3
    if not (early.accepted and model.blocked):
        return early
    refusal = _refusal(rule, chain, set(model.blocked), is_match=True)
    return refusal or replace(early, chain=_keys(chain))


def _keys(chain: Sequence[Cert]) -> tuple[bytes, ...]:
    """Return the digests of the keys, up to the first certificate that is none."""
    keys: tuple[bytes, ...] = ()
    for cert in chain:
        if cert.spki is None:
            break
        keys += (cert.spki,)
    return keys


def _refusal(
    rule: Verdict, chain: Sequence[Cert], blocked: set[ModelPin], *, is_match: bool
) -> Verdict | None:
    """Take steps 4 to 6; *is_match* tells whether step 7 would come to a match."""
    seen = replace(rule, chain=_keys(chain), accepted=rule.mode == "report")
    if not chain:
        return replace(seen, reason="NO_CERTIFICATE")
    for depth, cert in enumerate(chain):
        hit = cert.pins() & blocked
        if hit:
            matched = frozenset(hit)
            return replace(seen, reason="BLOCKED", depth=depth, matched=matched)
    num_read = len(seen.chain)
    if num_read < len(chain) and (blocked or not is_match):
        return replace(seen, reason="MALFORMED", depth=num_read)
    return None


def _by_lists(rule: Verdict, chain: Sequence[Cert], pinset: ModelPinSet) -> Verdict:
    """Take step 7: each list that is not empty must be hit, at its places.

    Nothing is hit behind a certificate that is no DER.
    """
    keys = _keys(chain)
    seen = replace(rule, chain=keys)
    chain = chain[: len(keys)]
    places = ((pinset.pins, 0, None), (pinset.leaf, 0, 1), (pinset.ca, 1, None))
    hits = [
        [
            (depth, pin)
            for depth, cert in list(enumerate(chain))[first:end]
            for pin in cert.pins() & set(pins)
        ]
        for pins, first, end in places
        if pins
    ]
    if not all(hits):
        return replace(seen, accepted=rule.mode == "report", reason="MISMATCH")
    depth = min(depth for one_list in hits for depth, _ in one_list)
    return replace(
        seen,
        accepted=True,
        reason="MATCH",
        depth=depth,
        matched=frozenset(
            pin for one_list in hits for at, pin in one_list if at == depth
        ),
    )


# ---- pinverify's own types ---------------------------------------------------

_KINDS = {"spki": PinKind.SPKI, "certificate": PinKind.CERTIFICATE}


def policy(model: ModelPolicy) -> Policy:
    """Return the same policy, made by pinverify."""
    hosts = {
        pattern: UNPINNED if pinset is None else pin_set(pinset)
        for pattern, pinset in model.rules.items()
    }
    rules = Rules(
        hosts,
        unpinned=model.unpinned,
        blocked=_pins(model.blocked),
        clients=None if model.clients is None else pin_set(model.clients),
    )
    return Policy(rules)


def pin_set(model: ModelPinSet) -> PinSet:
    """Return the same PinSet, made by pinverify."""
    expires = None
    if model.expires is not None:
        expires = dt.datetime.fromtimestamp(model.expires, dt.UTC)
    return PinSet(
        _pins(model.pins),
        _pins(model.leaf),
        _pins(model.ca),
        _pins(model.blocked),
        mode=model.mode,
        expires=expires,
        after_expiry=model.after_expiry,
    )


def assert_same(report: Report, verdict: Verdict) -> None:
    """Fail unless a report says in every field what the model says."""
    host = verdict.host
    assert report.accepted == verdict.accepted
    assert report.reason.name == verdict.reason
    assert report.host == (host.decode("latin-1") if isinstance(host, bytes) else host)
    assert report.rule == verdict.pattern
    assert report.mode == verdict.mode
    assert report.depth == verdict.depth
    assert report.chain == tuple(Pin(PinKind.SPKI, key) for key in verdict.chain)
    if report.matched is None:
        assert not verdict.matched
    else:
        assert report.matched in _pins(verdict.matched)
    assert (report.detail != "") == (verdict.reason in {"BAD_HOST", "MALFORMED"})


def _pins(pins: Iterable[ModelPin]) -> list[Pin]:
    return [Pin(_KINDS[pin.kind], pin.digest) for pin in pins]
