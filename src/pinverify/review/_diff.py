"""The difference of two policies: which peers one accepts and the other rejects.

Rules can differ without changing a decision, so decisions are compared, not rules.
Peers fall into regions, and in each region one rule of each policy decides. The regions
are a name that a rule names, the names one label below a name, the names at any depth
below a name, all other names, and peers without a name. Time falls into periods between
expiries.

In one region and period, a policy accepts a chain if none of its certificates is
blocked, and the chain matches a pin of each list. That is a formula about the pins of
the leaf, and the pins of the certificates above the leaf. The leaf has one key and one
certificate, so each kind of leaf is looked at separately. Above the leaf, any set of
pins is possible. There, formula A follows from formula B if B blocks every pin that
A blocks, and if, without blocked pins, each list of A contains a list of B.

The key of a pinned certificate is not known, so it counts as any key. So a difference
may be reported for a certificate that is rejected anyway, because its key is blocked.
No difference is missed.
"""

from __future__ import annotations

from itertools import product, zip_longest
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify.core._hosts import covering, split_pattern
from pinverify.policy._certs_and_pins import PinKind
from pinverify.policy._rules import LISTS, UNPINNED, PinSet, check_rules, checked_moment

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pinverify.policy._certs_and_pins import Pin
    from pinverify.policy._rules import Rules, Unpinned

__all__ = ["Change", "Direction", "diff"]

Direction: TypeAlias = Literal["wider", "narrower", "both"]
Scope: TypeAlias = Literal["host", "one-label", "below", "others", "clients", "no-host"]


class Change(NamedTuple):
    """A difference between two policies, for some peers and for some time.

    Attributes:
        scope: the kind of peers. "host" is the host *name*; "one-label", hosts with
            exactly one label before *name*; "below", hosts with any number of labels
            before *name*; all three without hosts that another rule names. "others" are
            hosts that no rule names; "clients", peers without a name; "no-host", peers
            whose name is not a host's.
        name: the name or address; empty for the last three.
        direction: "wider" if the new policy accepts more, "narrower" if it accepts
            less, "both" if each policy accepts peers that the other one rejects.
        since: the moment at which the difference begins; None for now.
        until: the moment at which it ends; None if it does not.
        old: the pattern of the rule that decides in the old policy, "clients", or None.
        new: the same for the new policy.
    """

    scope: Scope
    name: str
    direction: Direction
    since: dt.datetime | None
    until: dt.datetime | None
    old: str | None
    new: str | None


# The module that users see for this class; a NamedTuple cannot set it in its body.
Change.__module__ = "pinverify"


def diff(old: Rules, new: Rules, *, now: dt.datetime | None = None) -> list[Change]:
    """Return the differences in what two policies accept, from now on.

    Args:
        old: the rules to compare with; those of a policy are ``policy.rules``.
        new: the rules that may accept more or less.
        now: the current time, timezone-aware; None reads the clock.

    Returns:
        One change for each `scope` and `name` with a difference, and for each period;
        empty if every decision is the same. A difference only in the reason, or in the
        rule that is named in the report, does not count.

    Raises:
        TypeError: an argument has the wrong type.
        PolicyError: *now* has no timezone.
    """
    check_rules(old)
    check_rules(new)
    moment = checked_moment(now)
    both = _Both.of(old, new)
    return [
        change
        for region in _regions({*old.hosts, *new.hosts})
        for change in _changes(region, both, moment)
    ]


class _Both(NamedTuple):
    """Two policies, and what they have for all hosts.

    Attributes:
        old: the rules to compare with.
        new: the rules that may accept more or less.
        are_alike: True if both treat hosts without rules alike and block the same pins.
        blocked: the pins that each policy blocks for all hosts.
        alone: the pins that only one of them blocks, by policy and kind.
    """

    old: Rules
    new: Rules
    are_alike: bool
    blocked: tuple[_Pins, _Pins]
    alone: list[list[Pin]]

    @classmethod
    def of(cls, old: Rules, new: Rules) -> _Both:
        blocked = frozenset(old.blocked), frozenset(new.blocked)
        alone = [
            [pin for pin in pins if pin.kind is kind]
            for pins in (blocked[0] - blocked[1], blocked[1] - blocked[0])
            for kind in PinKind
        ]
        are_alike = old.unpinned == new.unpinned and blocked[0] == blocked[1]
        return cls(old, new, are_alike, blocked, alone)

    def blocked_for(self, *values: PinSet | Unpinned | None) -> tuple[_Pins, _Pins]:
        """Return for each policy the pins blocked for all hosts that must be compared.

        Pins that *values* name are kept. Of the other pins that only one policy blocks,
        one of each kind is kept and stands for all. The other pins that both policies
        block are left out, because with them both reject the same chains.
        """
        sets = [value for value in values if isinstance(value, PinSet)]
        told = {pin for one in sets for name in LISTS for pin in getattr(one, name)}
        others = [next((p for p in pins if p not in told), None) for pins in self.alone]
        told.update(pin for pin in others if pin is not None)
        old, new = self.blocked
        return old & told, new & told


# ---- regions -----------------------------------------------------------------------


class _Region(NamedTuple):
    """Peers about which one rule of each policy decides.

    Attributes:
        scope: as in `Change`.
        name: as in `Change`.
        candidates: the patterns that match all of its peers, the most specific first.
    """

    scope: Scope
    name: str = ""
    candidates: tuple[str, ...] = ()


def _regions(patterns: set[str]) -> Iterator[_Region]:
    """Yield a region for each set of peers that the patterns tell apart."""
    # A name that has a rule for names below it is a region apart from those names.
    names = {split_pattern(p)[1] for p in patterns if not p.startswith("*.")}
    for name in sorted(names):
        yield _Region("host", name, tuple(covering(name)))
    for pattern in sorted(patterns):
        wildcard, name = split_pattern(pattern)
        if wildcard:
            scope: Scope = "one-label" if wildcard == "*." else "below"
            yield _Region(scope, name, tuple(covering(pattern)))
    yield _Region("others")
    yield _Region("clients")
    yield _Region("no-host")


_Decided: TypeAlias = "tuple[str | None, PinSet | Unpinned | None]"


def _deciding(region: _Region, rules: Rules) -> _Decided:
    """Return the pattern that decides about a region, and its rule.

    The rule is `UNPINNED` if no pattern matches, and None if every peer is rejected.
    """
    if rules.clients is not None and (region.scope == "clients" or not rules.hosts):
        return "clients", rules.clients
    if region.scope in {"clients", "no-host"}:
        return None, None
    for pattern in region.candidates:
        if pattern in rules.hosts:
            return pattern, rules.hosts[pattern]
    return None, UNPINNED


def _changes(region: _Region, both: _Both, now: dt.datetime) -> Iterator[Change]:
    """Yield the changes of one region in the order of their periods."""
    old, new = both.old, both.new
    old_pattern, old_value = _deciding(region, old)
    new_pattern, new_value = _deciding(region, new)
    if old_value == new_value and both.are_alike:
        return
    old_blocked, new_blocked = both.blocked_for(old_value, new_value)
    periods: list[tuple[dt.datetime, Direction | None]] = []
    for moment in [now, *_expiries(now, old_value, new_value)]:
        direction = _direction(
            _accepted(old_value, old, old_blocked, moment),
            _accepted(new_value, new, new_blocked, moment),
        )
        if not periods or periods[-1][1] != direction:
            periods.append((moment, direction))
    ends = [start for start, _ in periods[1:]]
    for (start, direction), end in zip_longest(periods, ends):
        if direction is not None:
            since = None if start == now else start
            patterns = old_pattern, new_pattern
            yield Change(*region[:2], direction, since, end, *patterns)


def _expiries(now: dt.datetime, *values: PinSet | Unpinned | None) -> list[dt.datetime]:
    """Return the moments after *now* at which pins expire, in their order."""
    moments = {value.expires for value in values if isinstance(value, PinSet)}
    return sorted(moment for moment in moments if moment is not None and moment > now)


# ---- the chains that are accepted ----------------------------------------------------

_Pins: TypeAlias = "frozenset[Pin]"


class _Accepted(NamedTuple):
    """The chains that are accepted in one region and period.

    Attributes:
        all_peers: True if every peer is accepted, whatever it shows.
        nobody: True if no peer is accepted.
        pins: if not empty, one of these pins must be anywhere in the chain.
        leaf: if not empty, one of these pins must be on the leaf.
        ca: if not empty, one of these pins must be above the leaf.
        blocked: none of these pins may be anywhere in the chain.
    """

    all_peers: bool = False
    nobody: bool = False
    pins: _Pins = frozenset()
    leaf: _Pins = frozenset()
    ca: _Pins = frozenset()
    blocked: _Pins = frozenset()


_ALL = _Accepted(all_peers=True)
_NOBODY = _Accepted(nobody=True)


def _accepted(
    value: PinSet | Unpinned | None, rules: Rules, blocked: _Pins, now: dt.datetime
) -> _Accepted:
    """Return the chains that a rule accepts at some time.

    Args:
        value: the rule.
        rules: all rules.
        blocked: those pins of ``rules.blocked`` that matter here.
        now: the time.
    """
    if value is None:
        return _NOBODY
    without_pins = _Accepted(blocked=blocked) if rules.blocked else _ALL
    if not isinstance(value, PinSet):
        return _NOBODY if rules.unpinned == "reject" else without_pins
    if value.mode == "report":
        return _ALL
    if value.expires is not None and value.expires <= now:
        return _NOBODY if value.after_expiry == "reject" else without_pins
    return _Accepted(
        pins=frozenset(value.pins),
        leaf=frozenset(value.leaf),
        ca=frozenset(value.ca),
        blocked=blocked.union(value.blocked),
    )


def _direction(old: _Accepted, new: _Accepted) -> Direction | None:
    """Return the direction of a change; None if the same chains are accepted."""
    narrower, wider = _is_within(new, old), _is_within(old, new)
    if narrower and wider:
        return None
    return "narrower" if narrower else "wider" if wider else "both"


def _is_within(some: _Accepted, others: _Accepted) -> bool:
    """Return True if all that *some* accepts is accepted by *others*."""
    if others.all_peers or some.nobody:
        return True
    if some.all_peers:
        return False
    for leaf in _leaves(some, others):
        above = _above(some, leaf)
        if above is not None and not _follows(above, _above(others, leaf)):
            return False
    return True


def _leaves(some: _Accepted, others: _Accepted) -> Iterator[_Pins]:
    """Yield a leaf of each kind that the lists tell apart, as the pins that it has."""
    lists = [
        pins for one in (some, others) for pins in (one.pins, one.leaf, one.blocked)
    ]
    kinds: dict[PinKind, dict[tuple[bool, ...], Pin]] = {kind: {} for kind in PinKind}
    for pin in frozenset().union(*lists):
        kinds[pin.kind].setdefault(tuple(pin in pins for pins in lists), pin)
    keys = [None, *kinds[PinKind.SPKI].values()]
    certificates = [None, *kinds[PinKind.CERTIFICATE].values()]
    for both in product(keys, certificates):
        yield frozenset(pin for pin in both if pin is not None)


class _Above(NamedTuple):
    """The certificates above a leaf that are accepted with it.

    Attributes:
        needed: sets without blocked pins; a pin of each set must be there.
        blocked: none of these pins may be there.
    """

    needed: list[_Pins]
    blocked: _Pins


def _above(one: _Accepted, leaf: _Pins) -> _Above | None:
    """Return the certificates that are accepted above a leaf; None if none are."""
    if one.nobody or leaf & one.blocked or (one.leaf and not leaf & one.leaf):
        return None
    needed = [one.ca - one.blocked] if one.ca else []
    if one.pins and not leaf & one.pins:
        needed.append(one.pins - one.blocked)
    return _Above(needed, one.blocked) if all(needed) else None


def _follows(some: _Above, others: _Above | None) -> bool:
    """Return True if certificates that fit *some* fit *others*, too.

    If a set of *others* contains no set of *some*, each set of *some* has a pin that is
    not in that set. A chain with these pins fits *some* and not *others*.
    """
    return (
        others is not None
        and others.blocked <= some.blocked
        and all(any(pins <= wanted for pins in some.needed) for wanted in others.needed)
    )
