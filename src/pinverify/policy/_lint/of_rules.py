"""Mistakes that show in the rules themselves: one function for each code.

A function gets one rule, and yields the text of each finding: the mistake, and after a
semicolon the next step.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pinverify.policy._hosts import covering, takes_any_labels
from pinverify.policy._lint import digests, names, operators
from pinverify.policy._lint.rule import is_in_force, is_over
from pinverify.policy._pin import PinKind
from pinverify.policy._rules import UNPINNED, PinSet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.policy._lint.rule import Rule
    from pinverify.policy._pin import Pin

__all__ = [
    "blocks_a_pin",
    "blocks_a_whole_list",
    "ends_soon",
    "has_ended",
    "has_no_backup",
    "has_no_effect",
    "hashes_nothing",
    "hides_enforcement",
    "holds_a_placeholder",
    "holds_an_example",
    "is_for_a_provider",
    "is_for_a_public_suffix",
    "is_hidden",
    "misses_the_parent",
    "mixes_scripts",
    "only_reports",
    "pins_an_intermediate",
    "pins_certificates_only",
    "pins_some_roots",
]

_RECIPE = "`pinverify pin` prints the pins of a server or a file"
_SOON = dt.timedelta(days=30)


def _matching(rule: Rule) -> Iterator[tuple[str, tuple[Pin, ...]]]:
    """Yield the lists of which a pin must match."""
    return (one for one in rule.lists if one[0] != "blocked")


# ---- 2: pins -----------------------------------------------------------------------


def hashes_nothing(rule: Rule) -> Iterator[str]:
    """Find the hash of an empty input: the command before it failed."""
    for name, pins in rule.lists:
        for pin in pins:
            nothing = digests.nothing_hashed(pin.digest)
            if nothing:
                yield (
                    f"{name}: {pin} is the hash of {nothing}, because a command "
                    f"before the hash failed; {_RECIPE}"
                )


def holds_a_placeholder(rule: Rule) -> Iterator[str]:
    """Find a pin that somebody typed."""
    for name, pins in rule.lists:
        for pin in pins:
            if digests.is_placeholder(pin.digest):
                yield f"{name}: {pin} is a placeholder and the pin of no key; {_RECIPE}"


def holds_an_example(rule: Rule) -> Iterator[str]:
    """Find a pin that a documentation shows, unless the host is an example too.

    Clients have no name that would tell, so they are passed over.
    """
    if not rule.name:
        return
    for name, pins in _matching(rule):
        for pin in pins:
            owner = digests.example_of(pin.digest)
            if owner and not digests.is_for_examples(rule.name):
                yield (
                    f"{name}: {pin} is an example in the documentation of {owner}, and "
                    f"not a key of yours; {_RECIPE}"
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
    for name, pins in _matching(rule):
        blocked = [pin for pin in pins if pin in rule.blocked or pin in own]
        if blocked:
            yield name, pins, blocked


def pins_certificates_only(rule: Rule) -> Iterator[str]:
    """Find a list that ends with the next renewal of a certificate."""
    if not rule.is_in_force:
        return
    for name, pins in _matching(rule):
        if all(pin.kind is PinKind.CERTIFICATE for pin in pins):
            yield (
                f"{name}: it pins whole certificates alone, and each of them is "
                "replaced when it is renewed; pin the key too, sha256/…"
            )


def pins_an_intermediate(rule: Rule) -> Iterator[str]:
    """Find an intermediate of an operator who replaces them, and no root of theirs."""
    for name, pins in _above_the_leaf(rule):
        for pin in pins:
            key = operators.key_of(pin)  # of a root: then the list has one
            if key and not operators.has_root(key.operator, pins):
                yield (
                    f"{name}: {pin} is the key of {key.name}, "
                    f"{operators.why_no_intermediate(key.operator)}"
                )


def pins_some_roots(rule: Rule) -> Iterator[str]:
    """Find a list with some of the roots that an operator issues from, and not all.

    Of a list for any position nothing is known if it has other pins: they may be of
    the leaf.
    """
    for name, pins in _above_the_leaf(rule):
        keys = [operators.key_of(pin) for pin in pins]
        if name == "pins" and None in keys:
            continue
        for operator in sorted({key.operator for key in keys if key and key.is_root}):
            num = len(operators.ROOTS[operator])
            missing = operators.missing_roots(operator, pins)
            if missing:
                yield (
                    f"{name}: it has {num - len(missing)} of the {num} roots that "
                    f"{operator} issues from, and the next certificate may come from "
                    f"another; add {operators.listed(missing)}"
                )


def _above_the_leaf(rule: Rule) -> Iterator[tuple[str, tuple[Pin, ...]]]:
    """Yield the lists that match authorities, and have a key of an operator.

    None for a rule that can reject nobody.
    """
    if rule.is_in_force:
        for one in rule.lists:
            name, pins = one
            if name in _ABOVE and operators.has_key(pins):
                yield one


_ABOVE = {"pins", "ca"}


# ---- 3: names ----------------------------------------------------------------------


def is_for_a_public_suffix(rule: Rule) -> Iterator[str]:
    """Find a wildcard for names that anybody can register."""
    name = rule.name
    if not rule.wildcard or not isinstance(rule.value, PinSet):
        return
    if names.is_public_suffix(name) and not digests.is_for_examples(name):
        yield (
            f"everybody can register names below {name}, and the rule rejects the "
            "hosts of all others; name your own host or domain"
        )


def is_for_a_provider(rule: Rule) -> Iterator[str]:
    """Find a host that somebody else runs, who changes keys at will."""
    provider = names.provider_of(rule.name) if rule.is_in_force else ""
    if provider:
        yield (
            f"{rule.name} is run by {provider}, who may change its keys at any time "
            'without telling you; use a host of your own, or mode = "report"'
        )


def misses_the_parent(rule: Rule) -> Iterator[str]:
    """Find a ``*.`` whose parent has no rule: people take it for covered."""
    name = rule.name
    if rule.wildcard == "*." and isinstance(rule.value, PinSet):
        hosts = rule.rules.hosts
        if not any(pattern in hosts for pattern in covering(name)):
            yield (
                f"{name} itself and names with two labels more have no rule; if they "
                f"should, write **.{name}"
                if takes_any_labels(name)
                else f"{name} itself has no rule; if it should, write one for it, too"
            )


def mixes_scripts(rule: Rule) -> Iterator[str]:
    """Find a name with letters that look like those of another script."""
    label = names.mixed_scripts(rule.pattern) if "xn--" in rule.pattern else ""
    if label:
        yield (
            f"the label {label!r} has letters of several scripts, so it is another "
            "name than it looks; type it again"
        )


# ---- 4: time and mode --------------------------------------------------------------


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


def only_reports(rule: Rule) -> Iterator[str]:
    """Find a rule in report mode without an end."""
    value = rule.value
    if isinstance(value, PinSet) and value.mode == "report" and value.expires is None:
        yield (
            "report mode rejects nobody, and this rule has no end; switch to "
            '"enforce" when no mismatch is reported any more'
        )


# ---- 5: rules together -------------------------------------------------------------


def has_no_effect(rule: Rule) -> Iterator[str]:
    """Find a rule without which the same would be decided."""
    hosts, name = rule.rules.hosts, rule.name
    # Without any rule for hosts, that of clients would decide about them.
    if not name or (len(hosts) == 1 and rule.rules.clients is not None):
        return
    places = [rule.pattern]
    if rule.wildcard == "**." and name not in hosts:
        places.append(name)  # *. of the name above goes before others there
    others = []
    for place in places:
        wider = (p for p in covering(place) if p in hosts and p != rule.pattern)
        others.append(next(wider, ""))
    if all(hosts.get(wider, UNPINNED) == rule.value for wider in others):
        said = sorted({wider for wider in others if wider})
        same = f"{' and '.join(said)} says the same"
        if rule.value is UNPINNED and not said:
            same = "no wider rule pins its hosts"
        yield f"the rule has no effect: {same}; remove it"


def is_hidden(rule: Rule) -> Iterator[str]:
    """Find a ``**.`` that decides neither about its name nor about the next label."""
    hosts, name = rule.rules.hosts, rule.name
    if rule.wildcard == "**." and name in hosts and f"*.{name}" in hosts:
        yield (
            f"{name} and *.{name} have rules of their own, so this rule decides only "
            "about names with two labels more or longer; rules are not united"
        )


def hides_enforcement(rule: Rule) -> Iterator[str]:
    """Find a rule that rejects nobody in place of one that does."""
    value = rule.value
    if not isinstance(value, PinSet) or not rule.name or rule.is_in_force:
        return
    hosts = rule.rules.hosts
    for pattern in covering(rule.pattern):
        wider = hosts.get(pattern)
        if pattern != rule.pattern and wider is not None:
            if is_in_force(wider, rule.now):
                yield (
                    f"the pins of {pattern} are not enforced for these hosts, because "
                    "this rule alone decides about them; rules are not united"
                )
            return
