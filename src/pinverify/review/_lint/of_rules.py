"""Mistakes that rules alone show, in addition to those of `files._lint_at_load`.

Each function takes one rule, and yields the text of each finding: the mistake, and
after a semicolon the next step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.core._hosts import covering, takes_any_labels
from pinverify.files import _lint_at_load
from pinverify.files._digests import is_for_examples
from pinverify.files._lint_at_load import matching
from pinverify.policy._certs_and_pins import PinKind
from pinverify.policy._rules import UNPINNED, PinSet
from pinverify.review._lint import names, operators

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pinverify.files._lint_at_load import Rule
    from pinverify.policy._certs_and_pins import Pin
    from pinverify.policy._rules import Rules

__all__ = [
    "IDN",
    "PROVIDER",
    "REPORTS",
    "WILDCARD",
    "each_rule",
    "has_no_effect",
    "hides_enforcement",
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

# Traits, beside those of `files._lint_at_load`.
WILDCARD = 32
IDN = 64  # an A-label
REPORTS = 128  # report mode
PROVIDER = 256  # a host that somebody else runs


def each_rule(rules: Rules, now: dt.datetime) -> Iterator[Rule]:
    """Yield what to look at, as `_lint_at_load.each_rule` does, with all traits."""
    known_among = operators.known_among
    for rule in _lint_at_load.each_rule(rules, now, known_among=known_among):
        traits = rule.traits
        if rule.wildcard:
            traits |= WILDCARD
        if "xn--" in rule.name:
            traits |= IDN
        if operators.provider_of(rule.name):
            traits |= PROVIDER
        if isinstance(rule.value, PinSet) and rule.value.mode == "report":
            traits |= REPORTS
        yield rule._replace(traits=traits)


# ---- 2: pins -----------------------------------------------------------------------


def pins_certificates_only(rule: Rule) -> Iterator[str]:
    """Find a list that no longer matches after the next renewal of a certificate."""
    if not rule.is_in_force:
        return
    for name, pins in matching(rule):
        if all(pin.kind is PinKind.CERTIFICATE for pin in pins):
            yield (
                f"{name}: it pins whole certificates alone, and each of them is "
                "replaced when it is renewed; pin the key too, sha256/…"
            )


def pins_an_intermediate(rule: Rule) -> Iterator[str]:
    """Find an intermediate that its operator may replace, without a root of theirs."""
    for name, pins in _above_the_leaf(rule):
        for pin in pins:
            key = operators.key_of(pin)  # if it is a root, the list has one
            if key and not operators.has_root(key.operator, pins):
                yield (
                    f"{name}: {pin} is the key of {key.name}, "
                    f"{operators.why_no_intermediate(key.operator)}"
                )


def pins_some_roots(rule: Rule) -> Iterator[str]:
    """Find a list with some of the roots that an operator issues from, and not all.

    A list for any position is skipped if it has other pins, which may be pins of the
    leaf.
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
    """Yield the lists that match authorities and have a key of an operator.

    For a rule that can reject nobody, yield no list.
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
    if names.is_public_suffix(name) and not is_for_examples(name):
        yield (
            f"everybody can register names below {name}, and the rule rejects the "
            "hosts of all others; name your own host or domain"
        )


def is_for_a_provider(rule: Rule) -> Iterator[str]:
    """Find a host that somebody else runs, who changes keys at will."""
    provider = operators.provider_of(rule.name) if rule.is_in_force else ""
    if provider:
        yield (
            f"{rule.name} is run by {provider}, who may change its keys at any time "
            'without telling you; use a host of your own, or mode = "report"'
        )


def misses_the_parent(rule: Rule) -> Iterator[str]:
    """Find a ``*.`` whose parent has no rule: people expect it to be covered."""
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
    """Find a rule without which all decisions would be the same."""
    hosts, name = rule.rules.hosts, rule.name
    # Without any rule for hosts, the rule for clients would decide about them.
    if not name or (len(hosts) == 1 and rule.rules.clients is not None):
        return
    places = [rule.pattern]
    if rule.wildcard == "**." and name not in hosts:
        places.append(name)  # there, *. of the name above takes precedence
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
    """Find a ``**.`` that decides neither about its name nor one label below it."""
    hosts, name = rule.rules.hosts, rule.name
    if rule.wildcard == "**." and name in hosts and f"*.{name}" in hosts:
        yield (
            f"{name} and *.{name} have rules of their own, so this rule decides only "
            "about names with two labels more or longer; rules are not united"
        )


def hides_enforcement(rule: Rule) -> Iterator[str]:
    """Find a rule that rejects nobody and replaces a wider one that does."""
    value = rule.value
    if not isinstance(value, PinSet) or not rule.name or rule.is_in_force:
        return
    hosts = rule.rules.hosts
    for pattern in covering(rule.pattern):
        wider = hosts.get(pattern)
        if pattern != rule.pattern and wider is not None:
            if rule._replace(value=wider).is_in_force:
                yield (
                    f"the pins of {pattern} are not enforced for these hosts, because "
                    "this rule alone decides about them; rules are not united"
                )
            return
