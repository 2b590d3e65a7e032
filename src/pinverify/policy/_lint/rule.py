"""Rules as lint looks at them, and their traits: what makes a rule need a check.

A large file has a million rules, and most of them are ordinary: several pins that
nobody knows, enforced, without an end. A check names the traits without which it finds
nothing, so an ordinary rule is passed over at once.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from pinverify.policy._hosts import split_pattern
from pinverify.policy._lint import digests, names, operators
from pinverify.policy._lint.finding import CLIENTS, POLICY
from pinverify.policy._rules import LISTS, PinSet

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pinverify.policy._pin import Pin
    from pinverify.policy._rules import Rules, Unpinned

__all__ = [
    "ALONE",
    "ANY",
    "BLOCKED",
    "ENDS",
    "IDN",
    "KNOWN_PIN",
    "PROVIDER",
    "REPORTS",
    "WILDCARD",
    "Rule",
    "each_rule",
    "is_in_force",
    "is_over",
]

# Traits; a rule has the sum of some.
ANY = 1  # every rule has it
KNOWN_PIN = 2  # a pin that is no key of its owner alone: typed, copied, an operator's
ALONE = 4  # a list with a single pin
BLOCKED = 8  # pins are blocked, for it or for all
WILDCARD = 16
IDN = 32  # an A-label
ENDS = 64  # an expiry
REPORTS = 128  # report mode
PROVIDER = 256  # a host that somebody else runs


class Rule(NamedTuple):
    """One rule to look at, and what it is looked at with.

    Attributes:
        pattern: its pattern; "clients", or "policy" for what holds for all hosts.
        wildcard: of the pattern.
        name: of the pattern; empty for what has none.
        value: its PinSet or `UNPINNED`; None for the whole policy.
        traits: the sum of its traits.
        rules: all rules.
        now: the current time.
        blocked: the pins that are blocked for all hosts.
    """

    pattern: str
    wildcard: str
    name: str
    value: PinSet | Unpinned | None
    traits: int
    rules: Rules
    now: dt.datetime
    blocked: frozenset[Pin]

    @property
    def lists(self) -> list[tuple[str, tuple[Pin, ...]]]:
        """The name and the pins of each of its lists that has some."""
        if self.value is None:
            blocked = self.rules.blocked
            return [("blocked", blocked)] if blocked else []
        if not isinstance(self.value, PinSet):
            return []
        lists = zip(LISTS, _lists_of(self.value), strict=True)
        return [(name, pins) for name, pins in lists if pins]

    @property
    def is_in_force(self) -> bool:
        """True if a peer can be rejected for lack of a pin."""
        return is_in_force(self.value, self.now)


def is_in_force(value: PinSet | Unpinned | None, now: dt.datetime) -> bool:
    """Return True if a peer can be rejected for lack of a pin."""
    return (
        isinstance(value, PinSet)
        and value.mode == "enforce"
        and not is_over(value, now)
    )


def is_over(value: PinSet, now: dt.datetime) -> bool:
    """Return True if the pins have expired."""
    return value.expires is not None and value.expires <= now


def each_rule(
    rules: Rules, now: dt.datetime, *, ordinary: bool = True
) -> Iterator[Rule]:
    """Yield what to look at: the policy, the rule of clients, those of hosts.

    Args:
        rules: all rules.
        now: the current time.
        ordinary: False leaves out those that have no trait but `ANY`.
    """
    known = _known_digests(rules)
    is_known = not known.isdisjoint(pin.digest for pin in rules.blocked)
    same = rules, now, frozenset(rules.blocked)
    yield Rule(POLICY, "", "", None, ANY | KNOWN_PIN * is_known, *same)
    if rules.clients is not None:
        traits = _traits(rules.clients, rules, known)
        yield Rule(CLIENTS, "", "", rules.clients, traits, *same)
    for pattern, value in rules.hosts.items():
        wildcard, name = split_pattern(pattern)
        traits = _traits(value, rules, known)
        if wildcard:
            traits |= WILDCARD
        if "xn--" in name:
            traits |= IDN
        if names.provider_of(name):
            traits |= PROVIDER
        if ordinary or traits != ANY:
            yield Rule(pattern, wildcard, name, value, traits, *same)


_lists_of = attrgetter(*LISTS)


def _known_digests(rules: Rules) -> set[bytes]:
    """Return the digests in rules that belong to a known pin."""
    values = (*rules.hosts.values(), rules.clients)
    lists = (_lists_of(value) for value in values if isinstance(value, PinSet))
    pins = chain(rules.blocked, chain.from_iterable(chain.from_iterable(lists)))
    found = [pin.digest for pin in pins]
    return digests.known_among(found) | operators.keys_among(found)


def _traits(value: PinSet | Unpinned, rules: Rules, known: set[bytes]) -> int:
    """Return the traits of a rule that are not those of its pattern."""
    traits = ANY
    if not isinstance(value, PinSet):
        return traits
    if len(value.pins) == 1 or len(value.leaf) == 1 or len(value.ca) == 1:
        traits |= ALONE
    if value.blocked or rules.blocked:
        traits |= BLOCKED
    if value.expires is not None:
        traits |= ENDS
    if value.mode == "report":
        traits |= REPORTS
    if known:
        pins = chain.from_iterable(_lists_of(value))
        if not known.isdisjoint([pin.digest for pin in pins]):
            traits |= KNOWN_PIN
    return traits
