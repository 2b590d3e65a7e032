"""Mistakes in rules, of which loading a policy warns; no finding changes a decision.

These checks need the rules alone. `lint` has more: hints, and checks that need a table
of others' keys and names.

A large file has a million rules, and most of them are ordinary: without an expiry, with
several unknown pins. A check names the traits of the rules that it can have findings
for, so ordinary rules are skipped at once.
"""

from __future__ import annotations

import datetime as dt
from itertools import chain
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify.core._hosts import split_pattern
from pinverify.files import _digests
from pinverify.policy._certs_and_pins import RECIPE
from pinverify.policy._rules import LISTS, PinSet, checked_moment, lists_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pinverify.errors import Kind
    from pinverify.policy._certs_and_pins import Pin
    from pinverify.policy._rules import Rules, Unpinned

__all__ = [
    "ANY",
    "CHECKS",
    "CLIENTS",
    "ENDS",
    "KNOWN_PIN",
    "LEVELS",
    "POLICY",
    "Check",
    "Finding",
    "Level",
    "Rule",
    "each_rule",
    "matching",
    "placed",
    "serious",
]

Level: TypeAlias = Literal["error", "warning", "hint"]

LEVELS: tuple[Level, ...] = ("error", "warning", "hint")
"""The worst first.

    error     the rule can never match, or never refuses anybody
    warning   the rule will break or lapse
    hint      the rule may mean something else than was meant
"""

CLIENTS = "clients"
POLICY = "policy"


class Finding(NamedTuple):
    """One mistake in rules.

    Attributes:
        code: such as "PV201"; docs/lint.md describes each.
        level: "error", "warning" or "hint".
        pattern: the pattern of the rule; "clients", or "policy" for all rules.
        place: the place where the rule was written, empty if it is not known.
        text: the mistake, and the next step.
    """

    code: str
    level: Level
    pattern: str
    place: str
    text: str

    @property
    def where(self) -> str:
        """The place, with the pattern if the place does not name it."""
        if not self.place:
            return self.pattern
        if self.pattern == POLICY or f'"{self.pattern}"' in self.place:
            return self.place
        return f"{self.place}: {self.pattern}"

    def __str__(self) -> str:
        return f"{self.where}: {self.level} {self.code}: {self.text}"


# Inside the class this would be a field.
Finding.__module__ = "pinverify"


def placed(found: Iterable[Finding], name: str) -> list[Finding]:
    """Return findings about a file: its name replaces each unknown place."""
    return [one if one.place else one._replace(place=name) for one in found]


# ---- rules -------------------------------------------------------------------------

# Traits. A rule has the sum of its traits. `lint` has more of them, from 32 on.
ANY = 1  # every rule has it
KNOWN_PIN = 2  # a pin that `known_among` finds, such as a placeholder
ALONE = 4  # a list with a single pin
BLOCKED = 8  # pins are blocked, for this rule or for all
ENDS = 16  # an expiry


class Rule(NamedTuple):
    """One rule to check, and what the checks need."""

    pattern: str
    """The pattern; or "clients", or "policy" for what holds for all hosts."""
    wildcard: str
    name: str
    """The name in the pattern; empty if there is none."""
    value: PinSet | Unpinned | None
    """None for the whole policy."""
    traits: int
    rules: Rules
    now: dt.datetime
    blocked: frozenset[Pin]
    """The pins blocked for all hosts."""

    @property
    def lists(self) -> list[tuple[str, tuple[Pin, ...]]]:
        """The name and the pins of each list that is not empty."""
        if self.value is None:
            blocked = self.rules.blocked
            return [("blocked", blocked)] if blocked else []
        if not isinstance(self.value, PinSet):
            return []
        lists = zip(LISTS, lists_of(self.value), strict=True)
        return [(name, pins) for name, pins in lists if pins]

    @property
    def is_in_force(self) -> bool:
        """True if a peer can be rejected for lack of a pin."""
        return (
            isinstance(self.value, PinSet)
            and self.value.mode == "enforce"
            and not is_over(self.value, self.now)
        )


def is_over(value: PinSet, now: dt.datetime) -> bool:
    """Return True if the pins have expired."""
    return value.expires is not None and value.expires <= now


def each_rule(
    rules: Rules,
    now: dt.datetime,
    known_among: Callable[[Sequence[bytes]], set[bytes]] = _digests.known_among,
) -> Iterator[Rule]:
    """Yield what to check: the policy, the rule for clients, and the rules for hosts.

    *known_among* finds the digests that give a rule `KNOWN_PIN`.
    """
    known = known_among(_digests_in(rules))
    is_known = not known.isdisjoint(pin.digest for pin in rules.blocked)
    same = rules, now, frozenset(rules.blocked)
    yield Rule(POLICY, "", "", None, ANY | KNOWN_PIN * is_known, *same)
    if rules.clients is not None:
        traits = _traits(rules.clients, rules, known)
        yield Rule(CLIENTS, "", "", rules.clients, traits, *same)
    for pattern, value in rules.hosts.items():
        wildcard, name = split_pattern(pattern)
        traits = _traits(value, rules, known)
        yield Rule(pattern, wildcard, name, value, traits, *same)


def _digests_in(rules: Rules) -> list[bytes]:
    values = (*rules.hosts.values(), rules.clients)
    lists = (lists_of(value) for value in values if isinstance(value, PinSet))
    pins = chain(rules.blocked, chain.from_iterable(chain.from_iterable(lists)))
    return [pin.digest for pin in pins]


def _traits(value: PinSet | Unpinned, rules: Rules, known: set[bytes]) -> int:
    traits = ANY
    if not isinstance(value, PinSet):
        return traits
    if len(value.pins) == 1 or len(value.leaf) == 1 or len(value.ca) == 1:
        traits |= ALONE
    if value.blocked or rules.blocked:
        traits |= BLOCKED
    if value.expires is not None:
        traits |= ENDS
    if known:
        pins = chain.from_iterable(lists_of(value))
        if not known.isdisjoint([pin.digest for pin in pins]):
            traits |= KNOWN_PIN
    return traits


# ---- checks ------------------------------------------------------------------------

# A function gets one rule, and yields the text of each finding: the mistake, and after
# a semicolon the next step.

_SOON = dt.timedelta(days=30)


def matching(rule: Rule) -> Iterator[tuple[str, tuple[Pin, ...]]]:
    """Yield each list in which at least one pin must match."""
    return (one for one in rule.lists if one[0] != "blocked")


def hashes_nothing(rule: Rule) -> Iterator[str]:
    """Find the hash of an empty input: a command before the hash failed."""
    for name, pins in rule.lists:
        for pin in pins:
            nothing = _digests.NOTHING_HASHED.get(pin.digest)
            if nothing:
                yield (
                    f"{name}: {pin} is the hash of {nothing}, because a command "
                    f"before the hash failed; {RECIPE}"
                )


def holds_a_placeholder(rule: Rule) -> Iterator[str]:
    """Find a pin that somebody typed."""
    for name, pins in rule.lists:
        for pin in pins:
            if _digests.is_placeholder(pin.digest):
                yield f"{name}: {pin} is a placeholder and the pin of no key; {RECIPE}"


def holds_an_example(rule: Rule) -> Iterator[str]:
    """Find a pin that a documentation shows, unless the host is an example too.

    Clients have no name by which to know an example, so they are skipped.
    """
    if not rule.name:
        return
    for name, pins in matching(rule):
        for pin in pins:
            owner = _digests.EXAMPLE_OF.get(pin.digest)
            if owner and not _digests.is_for_examples(rule.name):
                yield (
                    f"{name}: {pin} is an example in the documentation of {owner}, and "
                    f"not a key of yours; {RECIPE}"
                )


def has_no_backup(rule: Rule) -> Iterator[str]:
    """Find a list with a single pin."""
    if rule.is_in_force:
        for name, pins in matching(rule):
            if len(pins) == 1:
                yield (
                    f"{name}: there is one pin and no backup, so every peer is "
                    "rejected once its key is lost or replaced; add the pin of the "
                    "next key"
                )


def blocks_a_whole_list(rule: Rule) -> Iterator[str]:
    """Find a list whose pins are all blocked."""
    for name, pins, blocked in _blocked_lists(rule):
        if len(blocked) == len(pins):
            yield (
                f"{name}: each of its pins is blocked too, so no peer can match; "
                "remove the pins from one of the lists"
            )


def blocks_a_pin(rule: Rule) -> Iterator[str]:
    """Find a pin that is blocked too, in a list that has others."""
    for name, pins, blocked in _blocked_lists(rule):
        if len(blocked) < len(pins):
            for pin in blocked:
                yield (
                    f"{name}: {pin} is blocked too, so it never helps to accept a "
                    "peer; remove it from one of the lists"
                )


def _blocked_lists(rule: Rule) -> Iterator[tuple[str, tuple[Pin, ...], list[Pin]]]:
    """Yield each list with blocked pins: its name, its pins, the blocked ones."""
    own = frozenset(dict(rule.lists).get("blocked", ()))
    for name, pins in matching(rule):
        blocked = [pin for pin in pins if pin in rule.blocked or pin in own]
        if blocked:
            yield name, pins, blocked


def has_ended(rule: Rule) -> Iterator[str]:
    """Find pins that have expired."""
    value = rule.value
    if isinstance(value, PinSet) and is_over(value, rule.now):
        yield (
            f"the pins expired at {_day(value)}, and every peer is {_then(value)}; set "
            "a later date"
        )


def ends_soon(rule: Rule) -> Iterator[str]:
    """Find pins that expire within 30 days."""
    value = rule.value
    if not isinstance(value, PinSet) or value.expires is None:
        return
    if not is_over(value, rule.now) and value.expires - rule.now < _SOON:
        yield (
            f"the pins expire at {_day(value)}, and every peer is {_then(value)} from "
            "then on; deploy a policy with a later date"
        )


def _then(value: PinSet) -> str:
    """Return the fate of every peer after the expiry."""
    rejects = value.after_expiry == "reject" and value.mode == "enforce"
    return "rejected" if rejects else "accepted"


def _day(value: PinSet) -> str:
    return str(value.expires).replace("+00:00", "Z")


class Check(NamedTuple):
    """One row; docs/lint.md has a section for its code."""

    code: str
    level: Level
    title: str
    needs: int = ANY
    """The sum of some traits: `of_rule` yields nothing for a rule with none of them."""
    of_rule: Callable[[Rule], Iterator[str]] | None = None
    """None if its findings are found elsewhere."""
    kind: Kind | None = None
    """The mistakes of this kind in a file that cannot be read get the check's code."""


CHECKS = (
    Check("PV201", "error", "hash of nothing", KNOWN_PIN, hashes_nothing),
    Check("PV202", "error", "placeholder", KNOWN_PIN, holds_a_placeholder),
    Check(
        "PV203", "warning", "example of a documentation", KNOWN_PIN, holds_an_example
    ),
    Check("PV204", "warning", "no backup pin", ALONE, has_no_backup),
    Check("PV205", "error", "all pins are blocked", BLOCKED, blocks_a_whole_list),
    Check("PV206", "warning", "a pin is blocked", BLOCKED, blocks_a_pin),
    Check("PV401", "error", "expired", ENDS, has_ended),
    Check("PV402", "warning", "expires within 30 days", ENDS, ends_soon),
)


def serious(
    rules: Rules,
    name: str,
    most: int,
    *,
    checks: Iterable[Check] = CHECKS,
    look: Callable[..., Iterator[Rule]] = each_rule,
) -> tuple[list[Finding], int]:
    """Return the first errors and warnings about a file, and the number of all.

    The worst come first. Hints are not looked for, and few findings are kept. So even a
    file with a mistake in each of a million rules is read fast, in little memory.
    """
    rows = [row for row in checks if row.of_rule and row.level != "hint"]
    by_traits: dict[int, list[Check]] = {}
    kept: dict[Level, list[Finding]] = {level: [] for level in LEVELS}
    num = 0
    for rule in look(rules, checked_moment(None)):
        if rule.traits not in by_traits:
            by_traits[rule.traits] = [row for row in rows if row.needs & rule.traits]
        for row in by_traits[rule.traits]:
            assert row.of_rule is not None  # noqa: S101 - chosen above
            for text in row.of_rule(rule):
                num += 1
                if len(kept[row.level]) < most:
                    place = rules.origins.get(rule.pattern, "")
                    one = Finding(row.code, row.level, rule.pattern, place, text)
                    kept[row.level].append(one)
    found = [one for level in LEVELS for one in kept[level]]
    return placed(found[:most], name), num
