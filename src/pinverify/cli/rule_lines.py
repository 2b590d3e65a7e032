"""Rules in words for people, as `show` and `diff` print them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.policy._rules import LISTS, PinSet

if TYPE_CHECKING:
    import datetime as dt

    from pinverify.policy import Rules, Unpinned

__all__ = ["Line", "by_name", "of_default", "of_expired", "of_rule", "text_of"]


class Line(NamedTuple):
    """One line of a rule: a key, which may be empty, and a value."""

    key: str
    value: str


def of_rule(value: PinSet | Unpinned) -> list[Line]:
    """Return the lines of one rule; defaults are left out."""
    if not isinstance(value, PinSet):
        return [Line("", "no pins")]
    lines = [Line(name, str(pin)) for name in LISTS for pin in getattr(value, name)]
    if value.mode != "enforce":
        lines.append(Line("mode", value.mode))
    if value.expires is not None:
        then = "accepted" if value.after_expiry == "allow" else "rejected"
        lines.append(Line("until", f"{text_of(value.expires)}, then {then}"))
    return lines


def of_expired(value: PinSet) -> list[Line]:
    """Return the lines that say whom a rule accepts once its pins have expired."""
    is_open = value.after_expiry == "allow" or value.mode == "report"
    return [Line("pins", f"over, everybody is {'accepted' if is_open else 'rejected'}")]


def of_default(rules: Rules) -> list[Line]:
    """Return the lines about hosts without pins, and about pins blocked for all."""
    blocked = [Line("blocked", str(pin)) for pin in rules.blocked]
    default = "accepted" if rules.unpinned == "allow" else "rejected"
    return [Line("", default), *blocked]


def text_of(moment: dt.datetime) -> str:
    """Return a moment in UTC as text that ends with Z."""
    return str(moment).replace("+00:00", "Z")


def by_name(pattern: str) -> tuple[list[str], int]:
    """Return the key to sort patterns by: domains together, exact names first."""
    stars = pattern.count("*")
    name = pattern[stars + 1 :] if stars else pattern
    labels = [name] if ":" in name else name.split(".")
    return labels[::-1], stars
