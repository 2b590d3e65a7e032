"""Losses: rules that another system cannot say, and how each is told.

`fit` turns rules into rules that a system can say. What it has to change it lists as
losses, so that a person can decide; nothing is lost silently. Each loss has a
direction: what the changed rules may do that the rules did not.

    wider     accept a peer that was rejected, or the other way round: an error unless
              it is allowed by name
    narrower  reject a peer that was accepted
    dropped   nothing: no verdict changes
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from pinverify.core._hosts import covering, split_pattern
from pinverify.policy import UNPINNED, PinKind, PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pinverify.policy import Pin, Unpinned

__all__ = [
    "KINDS",
    "Abilities",
    "Direction",
    "Dumped",
    "Loss",
    "Losses",
    "Position",
    "fit",
]

Direction: TypeAlias = Literal["wider", "narrower", "dropped"]

KINDS: Mapping[str, tuple[Direction, str]] = {
    "unlisted-hosts": ("wider", "hosts without pins are rejected"),
    "blocked": ("wider", "blocked keys"),
    "clients": ("wider", "pins for peers without a name"),
    "other-hosts": ("wider", "rules for other hosts than the one that is written"),
    "left-out": ("wider", "a rule with no pin that the system knows"),
    "position": ("wider", "the position of a pin in the chain"),
    "one-label": ("wider", "a rule for exactly one label more"),
    "many-labels": ("wider", "a rule for any number of labels more"),
    "exact-and-below": ("wider", "other pins for a name than for those below it"),
    "backup": ("wider", "a rule with fewer pins than the system takes"),
    "validation": ("wider", "validation of the certificate beside its pin"),
    "union": ("wider", "a rule that replaces a wider one"),
    "expiry-rejects": ("wider", "rejection after the expiry"),
    "expiry-needed": ("wider", "pins without an end"),
    "expiry": ("narrower", "an expiry"),
    "expiry-date": ("narrower", "the time of day of an expiry"),
    "certificate-pins": ("narrower", "pins of whole certificates beside others"),
    "key-pins": ("narrower", "pins of keys beside others"),
    "any-position": ("narrower", "pins for any position; --as says which they are"),
    "exempt": ("narrower", "an exemption from a wider rule"),
    "report-mode": ("dropped", "report mode"),
}
"""The direction of each kind of loss, and what is lost."""


class Loss(NamedTuple):
    """One thing that a format cannot say.

    Attributes:
        kind: one of `KINDS`.
        where: the pattern of the rule, or "policy".
        was: the meaning of the rules.
        became: the meaning of what was written.
    """

    kind: str
    where: str
    was: str
    became: str

    @property
    def direction(self) -> Direction:
        """The direction of the kind: wider, narrower or dropped."""
        return KINDS[self.kind][0]

    def __str__(self) -> str:
        """Return the loss in one line."""
        return (
            f"{self.where}: {self.was} became {self.became} "
            f"({self.kind}, {self.direction})"
        )


class Dumped(NamedTuple):
    """A policy in the words of another system, and what it could not say.

    Attributes:
        text: the file; bytes of a compiled policy.
        losses: in the order of the patterns.
    """

    text: str | bytes
    losses: tuple[Loss, ...] = ()


# Said of the classes that users see, as of all others; a NamedTuple cannot say it.
Loss.__module__ = Dumped.__module__ = "pinverify"


class Abilities(NamedTuple):
    """The words that a system has for one rule.

    Attributes:
        shapes: the wildcards of its patterns, "" for an exact one.
        lists: the lists that it knows. Where "pins" is among them, it knows no other.
        kinds: the kinds of pins that it knows: of keys, of whole certificates, or both.
        blocked: a rule may block keys.
        report: a rule may be in report mode.
        expiry: pins may end; the host is then not pinned.
        exempt: a host may be exempted from a wider rule.
        one_per_name: a name has one rule: ``x`` and ``**.x`` cannot differ.
        min_pins: the smallest number of pins of a rule.
    """

    shapes: frozenset[str] = frozenset({"", "**."})
    lists: frozenset[str] = frozenset({"pins"})
    kinds: frozenset[PinKind] = frozenset({PinKind.SPKI})
    blocked: bool = False
    report: bool = False
    expiry: bool = False
    exempt: bool = False
    one_per_name: bool = False
    min_pins: int = 1


Position: TypeAlias = Literal["leaf", "ca"]


class Losses:
    """Collects losses.

    Attributes:
        position: of pins for any position, where a system needs to know it; None if
            the caller has not said it.
    """

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self._found: list[Loss] = []

    def add(self, kind: str, where: str, was: str, became: str) -> None:
        """Note one; *kind* is one of `KINDS`."""
        self._found.append(Loss(kind, where, was, became))

    def found(self) -> tuple[Loss, ...]:
        """Return all, the dangerous ones first."""
        order = ("wider", "narrower", "dropped")
        return tuple(sorted(self._found, key=lambda loss: order.index(loss.direction)))


def fit(rules: Rules, can: Abilities, losses: Losses) -> Rules:
    """Return the part of *rules* that a system can say; tell *losses* the rest."""
    _fit_policy(rules, losses)
    fitted: dict[str, PinSet | Unpinned] = {}
    for pattern, value in sorted(rules.hosts.items()):
        in_shape = can.report and split_pattern(pattern)[0] in can.shapes
        if isinstance(value, PinSet) and value.mode == "report" and not in_shape:
            losses.add("report-mode", pattern, "report mode", "no pins")
            value = UNPINNED  # noqa: PLW2901 - the same rule, in fewer words
        if isinstance(value, PinSet):
            said = _fit_pins(pattern, value, can, losses)
            if said is None:
                continue
            value = said  # noqa: PLW2901
        fitted[pattern] = value
    _fit_shapes(fitted, can, losses)
    if can.one_per_name:
        _fit_names(fitted, losses)
    if not can.exempt:
        _fit_exemptions(fitted, losses)
    return Rules(fitted)


def _fit_policy(rules: Rules, losses: Losses) -> None:
    if rules.unpinned == "reject":
        losses.add(
            "unlisted-hosts", "policy", "hosts without pins rejected", "accepted"
        )
    if rules.blocked:
        losses.add("blocked", "policy", _count(rules.blocked, "blocked key"), "none")
    if rules.clients is not None:
        losses.add("clients", "policy", "pins for clients", "none")


def _count(things: Sequence[object], what: str) -> str:
    """Return a number of things in words."""
    return f"{len(things):,} {what}{'' if len(things) == 1 else 's'}"


# ---- pins ------------------------------------------------------------------------


def _fit_pins(
    pattern: str, value: PinSet, can: Abilities, losses: Losses
) -> PinSet | None:
    """Return what can be said of a PinSet, or None if its rule has to be left out."""
    if value.blocked and not can.blocked:
        losses.add("blocked", pattern, _count(value.blocked, "blocked key"), "none")
    lists: dict[str, tuple[Pin, ...]] = {
        "pins": value.pins,
        "leaf": value.leaf,
        "ca": value.ca,
    }
    if not _fit_kinds(pattern, lists, can, losses):
        return None
    if not can.lists.issuperset(name for name, pins in lists.items() if pins):
        lists = _fit_positions(pattern, lists, can, losses)
        if not any(lists.values()):
            losses.add("left-out", pattern, "pins at other positions", "no rule")
            return None
    num = len({pin for pins in lists.values() for pin in pins})
    if num < can.min_pins:
        losses.add("backup", pattern, "a rule without a backup pin", "no rule")
        return None
    expires, after_expiry = value.expires, value.after_expiry
    if after_expiry == "reject":
        became = "accepted" if can.expiry else "the pins go on"
        losses.add("expiry-rejects", pattern, f"rejected from {expires}", became)
    elif expires is not None and not can.expiry:
        losses.add("expiry", pattern, f"no pins from {expires}", "the pins go on")
    if not can.expiry:
        expires = None
    return PinSet(
        **lists,
        blocked=value.blocked if can.blocked else (),
        mode=value.mode,
        expires=expires,
        after_expiry=None if expires is None else "allow",
    )


_KINDS = {
    PinKind.CERTIFICATE: ("certificate-pins", "whole certificates"),
    PinKind.SPKI: ("key-pins", "keys"),
}


def _fit_kinds(
    pattern: str, lists: dict[str, tuple[Pin, ...]], can: Abilities, losses: Losses
) -> bool:
    """Remove pins of unknown kinds; return False if a list has no other."""
    for name, pins in lists.items():
        kept = tuple(pin for pin in pins if pin.kind in can.kinds)
        if len(kept) == len(pins):
            continue
        (unknown,) = set(PinKind) - can.kinds
        kind, words = _KINDS[unknown]
        gone = f"{_count(pins[len(kept) :], 'pin')} of {words}"
        if not kept:
            losses.add("left-out", pattern, f"{name} with {gone}", "no rule")
            return False
        losses.add(kind, pattern, gone, "none")
        lists[name] = kept
    return True


def _fit_positions(
    pattern: str, lists: dict[str, tuple[Pin, ...]], can: Abilities, losses: Losses
) -> dict[str, tuple[Pin, ...]]:
    """Return lists that the system knows, with as much of the pins as fits."""
    kept: dict[str, tuple[Pin, ...]] = {
        name: lists[name] for name in ("leaf", "ca") if name in can.lists
    }
    lost = [name for name in ("leaf", "ca") if lists[name] and name not in kept]
    pins = lists["pins"]
    if "pins" in can.lists:
        losses.add("position", pattern, " and ".join(lost), "any position")
        return {"pins": pins + lists["leaf"] + lists["ca"]}
    position: str = losses.position or next(iter(kept))
    if pins and kept.get(position) == ():
        became = f"{position} alone" if losses.position else "one that nobody has said"
        losses.add("any-position", pattern, "any position", became)
        kept[position] = pins
    elif pins:
        lost.append("pins")
    if lost and any(kept.values()):
        losses.add("position", pattern, " and ".join(lost), "none")
    return kept


# ---- patterns --------------------------------------------------------------------


def _fit_shapes(
    hosts: dict[str, PinSet | Unpinned], can: Abilities, losses: Losses
) -> None:
    """Remove patterns with a wildcard that the system does not know."""
    for pattern, value in list(hosts.items()):
        wildcard, name = split_pattern(pattern)
        if wildcard in can.shapes:
            continue
        if isinstance(value, PinSet):
            del hosts[pattern]
            if wildcard == "**.":
                hosts.setdefault(name, value)
                was, became = "any number of labels", "the name alone"
                losses.add("many-labels", pattern, was, became)
            else:
                losses.add("one-label", pattern, "one label more", "no rule")
        else:
            _exempt(hosts, pattern, losses)


def _fit_names(hosts: dict[str, PinSet | Unpinned], losses: Losses) -> None:
    """Keep one of ``x`` and ``**.x``."""
    for below in [pattern for pattern in hosts if pattern.startswith("**.")]:
        exact = below.removeprefix("**.")
        if exact not in hosts:
            continue
        if hosts[exact] == hosts[below]:
            del hosts[exact]
        elif not isinstance(hosts[below], PinSet):
            _exempt(hosts, below, losses)
        elif not isinstance(hosts[exact], PinSet):
            _exempt(hosts, exact, losses)
        else:
            del hosts[exact]
            losses.add("exact-and-below", exact, "pins of its own", f"those of {below}")


def _fit_exemptions(hosts: dict[str, PinSet | Unpinned], losses: Losses) -> None:
    """Remove the exemptions."""
    for pattern, value in list(hosts.items()):
        if not isinstance(value, PinSet):
            _exempt(hosts, pattern, losses)


def _exempt(hosts: dict[str, PinSet | Unpinned], pattern: str, losses: Losses) -> None:
    """Remove one exemption; it is a loss if a rule with pins covers its hosts."""
    del hosts[pattern]
    wildcard, name = split_pattern(pattern)
    wider = list(covering(pattern))
    if wildcard == "**.":  # at name itself, it goes before "*."
        wider += [other for other in covering(name) if other.startswith("*.")]
    for other in wider:
        if isinstance(hosts.get(other), PinSet):
            losses.add("exempt", pattern, "no pins", f"those of {other}")
            return
