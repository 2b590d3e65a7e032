"""Explanations: why a policy accepts or rejects a host that showed a chain.

These are the facts; `cli/explain.py` puts them into words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import canonical, covering
from pinverify.policy._certs_and_pins import pins_of
from pinverify.policy._policy import Policy, check_policy
from pinverify.policy._rules import (
    LISTS,
    PinSet,
    Rules,
    checked_moment,
)
from pinverify.review._lint import lint

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from pinverify.policy._certs_and_pins import Pin
    from pinverify.policy._report import Report
    from pinverify.review._lint import Finding

__all__ = ["Explanation", "Hit", "explain"]


class Hit(NamedTuple):
    """A pin of the rule that decides, and where it is in the chain.

    Attributes:
        name: the list that has the pin, "pins", "leaf", "ca" or "blocked".
        pin: the pin.
        depths: the positions of the certificates that have it, also those where the
            list does not look.
        counts: True if one of them is where the list looks.
    """

    name: str
    pin: Pin
    depths: tuple[int, ...]
    counts: bool


class Explanation(NamedTuple):
    """The reasons of one decision.

    Attributes:
        report: the decision.
        candidates: the patterns of all rules that match the host; only the first one
            decides.
        hits: the pins of the rule that decides; then those that are blocked for all
            hosts and are in the chain.
        others: the patterns in *candidates* that do not decide, but whose rules would
            match.
        findings: the errors and warnings of `lint` about the rule that decides, with
            this chain.
    """

    report: Report
    candidates: tuple[str, ...]
    hits: tuple[Hit, ...]
    others: tuple[str, ...]
    findings: tuple[Finding, ...]


# The module that users see for these classes; a NamedTuple cannot set it in its body.
Explanation.__module__ = Hit.__module__ = "pinverify"


def explain(
    policy: Policy,
    host: str | bytes | None,
    verified_chain: Sequence[bytes],
    *,
    now: dt.datetime | None = None,
    authorities: Sequence[bytes] = (),
) -> Explanation:
    """Return the reasons why a policy accepts or rejects a peer.

    This reads all rules, so it is for people who look for a mistake, and not for
    handshakes.

    Args:
        policy: the policy that decides.
        host: as in `Policy.verify`.
        verified_chain: as in `Policy.verify`.
        now: the time, timezone-aware; None means the current time.
        authorities: DER certificates of trusted authorities; with these, `lint` can
            recognise a chain that ends below a pinned authority.

    Raises:
        PolicyError: *host* is not a host.
        TypeError: an argument has the wrong type.
    """
    check_policy(policy)
    moment = checked_moment(now)
    report = policy.evaluate(host, verified_chain, now=moment)
    rules = policy.rules
    if host is None or (rules.clients is not None and not rules.hosts):
        candidates: tuple[str, ...] = ()
        deciding = rules.clients
    else:
        candidates = tuple(p for p in covering(canonical(host)) if p in rules.hosts)
        value = rules.hosts[candidates[0]] if candidates else None
        deciding = value if isinstance(value, PinSet) else None
    places = _places(verified_chain)
    hits = [] if deciding is None else _hits(deciding, places)
    blocked = [_hit("blocked", pin, places) for pin in rules.blocked if pin in places]
    return Explanation(
        report,
        candidates,
        (*hits, *blocked),
        tuple(p for p in candidates[1:] if _would_match(rules, p, places)),
        ()
        if host is None
        else _findings(rules, candidates, (host, verified_chain), moment, authorities),
    )


def _places(chain: Sequence[bytes]) -> dict[Pin, tuple[int, ...]]:
    """Return the positions of the certificates that have each pin of a chain."""
    places: dict[Pin, tuple[int, ...]] = {}
    for depth, cert in enumerate(chain):
        for pin in pins_of(bytes(cert)):
            places[pin] = (*places.get(pin, ()), depth)
    return places


def _hits(value: PinSet, places: dict[Pin, tuple[int, ...]]) -> list[Hit]:
    return [_hit(name, pin, places) for name in LISTS for pin in getattr(value, name)]


def _hit(name: str, pin: Pin, places: dict[Pin, tuple[int, ...]]) -> Hit:
    depths = places.get(pin, ())
    looked_at = {"leaf": depths[:1] == (0,), "ca": any(depths)}
    return Hit(name, pin, depths, looked_at.get(name, bool(depths)))


def _would_match(
    rules: Rules, pattern: str, places: dict[Pin, tuple[int, ...]]
) -> bool:
    """Return True if each list of a rule matches, and no pin that it blocks does."""
    value = rules.hosts[pattern]
    if not isinstance(value, PinSet):
        return False
    hits = _hits(value, places)
    needed = {hit.name for hit in hits} - {"blocked"}
    return needed == {hit.name for hit in hits if hit.counts}


def _findings(
    rules: Rules,
    candidates: Sequence[str],
    peer: tuple[str | bytes, Sequence[bytes]],
    now: dt.datetime,
    authorities: Sequence[bytes],
) -> tuple[Finding, ...]:
    """Return the errors and warnings about one host, without those about others."""
    host, chain = peer
    few = Rules(
        {pattern: rules.hosts[pattern] for pattern in candidates},
        unpinned=rules.unpinned,
        blocked=rules.blocked,
        clients=None if rules.hosts else rules.clients,
    )
    name = canonical(host)
    chains = {name: [*map(bytes, chain)]}
    about = {name, *candidates[:1], *(() if candidates else ("clients",))}
    found = lint(few, now=now, chains=chains, authorities=authorities)
    return tuple(one for one in found if one.pattern in about and one.level != "hint")
