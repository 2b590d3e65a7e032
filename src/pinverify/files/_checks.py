"""Mistakes in rules that whoever loads a policy is told: errors and warnings.

The rules alone show them. Mistakes that need a table of others' keys and names are for
`lint`, which has more checks. No finding changes a decision.

A large file has a million rules, and most of them are ordinary: enforced, without an
expiry, with several unknown pins. A check names the traits that a rule needs for a
finding, so ordinary rules are skipped at once.
"""

from __future__ import annotations

import datetime as dt
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify.core._hosts import split_pattern
from pinverify.files import _digests
from pinverify.policy._rules import LISTS, PinSet, checked_moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from pinverify.errors import Kind
    from pinverify.policy._pin import Pin
    from pinverify.policy._rules import Rules, Unpinned

__all__ = [
    "ALONE",
    "ANY",
    "BLOCKED",
    "CHECKS",
    "CLIENTS",
    "ENDS",
    "IDN",
    "KNOWN_PIN",
    "LEVELS",
    "POLICY",
    "PROVIDER",
    "RECIPE",
    "REPORTS",
    "WILDCARD",
    "Check",
    "Finding",
    "Level",
    "Rule",
    "each_rule",
    "is_in_force",
    "is_over",
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
        """The place, and the pattern where the place does not say it."""
        if not self.place:
            return self.pattern
        if self.pattern == POLICY or f'"{self.pattern}"' in self.place:
            return self.place
        return f"{self.place}: {self.pattern}"

    def __str__(self) -> str:
        """Return the finding in one line, as a compiler writes it."""
        return f"{self.where}: {self.level} {self.code}: {self.text}"


# Said of the class that users see; a NamedTuple cannot say it.
Finding.__module__ = "pinverify"


def placed(found: Iterable[Finding], name: str) -> list[Finding]:
    """Return findings about a file: where no place is known, it is named."""
    return [one if one.place else one._replace(place=name) for one in found]


# ---- rules -------------------------------------------------------------------------

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
    rules: Rules,
    now: dt.datetime,
    *,
    ordinary: bool = True,
    known_among: Callable[[Sequence[bytes]], set[bytes]] = _digests.known_among,
    is_provided: Callable[[str], object] = bool,
) -> Iterator[Rule]:
    """Yield what to look at: the policy, the rule of clients, those of hosts.

    Args:
        rules: all rules.
        now: the current time.
        ordinary: False leaves out those that have no trait but `ANY`.
        known_among: returns those of some digests that give a rule `KNOWN_PIN`.
        is_provided: tells whether a name gives it `PROVIDER`.
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
        if wildcard:
            traits |= WILDCARD
        if "xn--" in name:
            traits |= IDN
        if is_provided(name):
            traits |= PROVIDER
        if ordinary or traits != ANY:
            yield Rule(pattern, wildcard, name, value, traits, *same)


_lists_of = attrgetter(*LISTS)


def _digests_in(rules: Rules) -> list[bytes]:
    values = (*rules.hosts.values(), rules.clients)
    lists = (_lists_of(value) for value in values if isinstance(value, PinSet))
    pins = chain(rules.blocked, chain.from_iterable(chain.from_iterable(lists)))
    return [pin.digest for pin in pins]


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


# ---- checks ------------------------------------------------------------------------
#
# A function gets one rule, and yields the text of each finding: the mistake, and after
# a semicolon the next step.

RECIPE = "`pinverify pin` prints the pins of a server or a file"
_SOON = dt.timedelta(days=30)


def matching(rule: Rule) -> Iterator[tuple[str, tuple[Pin, ...]]]:
    """Yield the lists of which a pin must match."""
    return (one for one in rule.lists if one[0] != "blocked")


def hashes_nothing(rule: Rule) -> Iterator[str]:
    """Find the hash of an empty input: the command before it failed."""
    for name, pins in rule.lists:
        for pin in pins:
            nothing = _digests.nothing_hashed(pin.digest)
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

    Clients have no name that would tell, so they are passed over.
    """
    if not rule.name:
        return
    for name, pins in matching(rule):
        for pin in pins:
            owner = _digests.example_of(pin.digest)
            if owner and not _digests.is_for_examples(rule.name):
                yield (
                    f"{name}: {pin} is an example in the documentation of {owner}, and "
                    f"not a key of yours; {RECIPE}"
                )


def has_no_backup(rule: Rule) -> Iterator[str]:
    """Find a list with a single pin."""
    if rule.is_in_force:
        for name, pins in rule.lists:
            if len(pins) == 1 and name != "blocked":
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


def _blocked_lists(
    rule: Rule,
) -> Iterator[tuple[str, tuple[Pin, ...], list[Pin]]]:
    """Yield each list with blocked pins: its name, its pins, the blocked ones."""
    value = rule.value
    if not isinstance(value, PinSet) or not (value.blocked or rule.rules.blocked):
        return
    own = frozenset(value.blocked)
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


# ---- the table -----------------------------------------------------------------------


class Check(NamedTuple):
    """One row.

    Attributes:
        code: its name; docs/lint.md has a section for it.
        level: the level of its findings.
        title: the mistake, in a few words.
        needs: the sum of traits of which a rule has one if `of_rule` yields anything.
        of_rule: yields the findings of one rule; None if they are found elsewhere.
        kind: of the mistakes of readers that it is for.
    """

    code: str
    level: Level
    title: str
    needs: int = ANY
    of_rule: Callable[[Rule], Iterator[str]] | None = None
    kind: Kind | None = None


_ROWS = (
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

CHECKS = {row.code: row for row in _ROWS}
"""The checks of this file by their codes."""


def serious(
    rules: Rules,
    name: str,
    most: int,
    *,
    checks: Mapping[str, Check] = CHECKS,
    look: Callable[..., Iterator[Rule]] = each_rule,
) -> tuple[list[Finding], int]:
    """Return the errors and warnings about a file, for who reads it to use it.

    Hints are not even looked for, and few findings are kept: reading a file is to stay
    fast, and to take little memory, also if each of a million rules has a mistake.

    Args:
        rules: were read from it.
        name: of the file.
        most: the number of findings to keep.
        checks: by their codes.
        look: yields the rules, with the traits that these checks need.

    Returns:
        The findings that are kept, the worst first; and the number of all.
    """
    rows = [row for row in checks.values() if row.of_rule and row.level != "hint"]
    by_traits: dict[int, list[Check]] = {}
    kept: dict[Level, list[Finding]] = {level: [] for level in LEVELS}
    num = 0
    ordinary = any(row.needs & ANY for row in rows)
    for rule in look(rules, checked_moment(None), ordinary=ordinary):
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
