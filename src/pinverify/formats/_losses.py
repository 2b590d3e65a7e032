"""Losses: what another system cannot say of rules, and how that is reported.

`fit` turns rules into rules that a system can say. It lists each change as a loss, so
that a person can decide; nothing is lost silently. Each loss has a direction, which
says what the changed rules may do and the original ones do not:

    wider     accept a peer that was rejected, and perhaps reject one that was
              accepted; an error, unless the caller allows this kind of loss
    narrower  reject a peer that was accepted
    dropped   decide as before
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

_WIDER = (
    *("unlisted-hosts", "blocked", "clients", "other-hosts", "left-out", "position"),
    *("one-label", "many-labels", "exact-and-below", "backup", "validation", "union"),
    *("expiry-rejects", "expiry-needed"),
)
_NARROWER = (
    *("expiry", "expiry-date", "certificate-pins", "key-pins", "any-position"),
    "exempt",
)
KINDS: Mapping[str, Direction] = {
    **dict.fromkeys(_WIDER, "wider"),
    **dict.fromkeys(_NARROWER, "narrower"),
    "report-mode": "dropped",
}
"""The direction of each kind of loss; docs/formats.md explains the kinds."""


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
        return KINDS[self.kind]

    def __str__(self) -> str:
        return (
            f"{self.where}: {self.was} became {self.became} "
            f"({self.kind}, {self.direction})"
        )


class Dumped(NamedTuple):
    """A policy in the format of another system, and what that format could not say.

    Attributes:
        text: the contents of the file; bytes for a compiled policy.
        losses: the losses, wider ones first.
    """

    text: str | bytes
    losses: tuple[Loss, ...] = ()


# The module that users see for these classes; a NamedTuple cannot set it in its body.
Loss.__module__ = Dumped.__module__ = "pinverify"


class Abilities(NamedTuple):
    """Abilities of a system: what it can say about one rule.

    Attributes:
        shapes: the wildcards of its patterns; "" stands for an exact pattern.
        lists: the lists that it knows. If it knows "pins", it knows no other.
        kinds: the kinds of pins that it knows: of keys, of whole certificates, or both.
        blocked: whether a rule may block keys.
        report: whether a rule may be in report mode.
        expiry: whether pins may expire, after which the host is not pinned.
        exempt: whether a host may be exempted from a wider rule.
        one_per_name: whether a name has one rule, so ``x`` and ``**.x`` cannot differ.
        min_pins: the smallest number of pins that a rule may have.
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
    """Collection of losses.

    Attributes:
        position: the position to write for pins of any position, if the system must
            know one; None if the caller did not give it.
    """

    def __init__(self, position: Position | None = None) -> None:
        self.position = position
        self._found: list[Loss] = []

    def add(self, kind: str, where: str, was: str, became: str) -> None:
        """Note a loss; *kind* is one of `KINDS`."""
        self._found.append(Loss(kind, where, was, became))

    def found(self) -> tuple[Loss, ...]:
        """Return all losses, the dangerous ones first."""
        order = ("wider", "narrower", "dropped")
        return tuple(sorted(self._found, key=lambda loss: order.index(loss.direction)))


def fit(rules: Rules, can: Abilities, losses: Losses) -> Rules:
    """Return the part of *rules* that a system can say; add the rest to *losses*."""
    _fit_policy(rules, losses)
    fitted: dict[str, PinSet | Unpinned] = {}
    for pattern, value in sorted(rules.hosts.items()):
        said: PinSet | Unpinned | None = value
        if isinstance(value, PinSet):
            said = _fit_pins(pattern, value, can, losses)
        if said is not None:
            fitted[pattern] = said
    _fit_shapes(fitted, can, losses)
    if can.one_per_name:
        _fit_names(fitted, losses)
    for pattern, value in list(fitted.items()):
        if not (can.exempt or isinstance(value, PinSet)):
            _exempt(fitted, pattern, losses)
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
    return f"{len(things):,} {what}{'' if len(things) == 1 else 's'}"


# ---- pins ------------------------------------------------------------------------


def _fit_pins(
    pattern: str, value: PinSet, can: Abilities, losses: Losses
) -> PinSet | Unpinned | None:
    """Return what can be said of a PinSet, or None if its rule has to be left out."""
    in_shape = can.report and split_pattern(pattern)[0] in can.shapes
    if value.mode == "report" and not in_shape:
        losses.add("report-mode", pattern, "report mode", "no pins")
        return UNPINNED  # a shorter way to say the same
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
    """Remove pins of unknown kinds; return False if a list then is empty."""
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


def _exempt(hosts: dict[str, PinSet | Unpinned], pattern: str, losses: Losses) -> None:
    """Remove one exemption; it is a loss if a rule with pins covers its hosts."""
    del hosts[pattern]
    wildcard, name = split_pattern(pattern)
    wider = list(covering(pattern))
    if wildcard == "**.":  # for *name* itself, "**." goes before "*."
        wider += [other for other in covering(name) if other.startswith("*.")]
    for other in wider:
        if isinstance(hosts.get(other), PinSet):
            losses.add("exempt", pattern, "no pins", f"those of {other}")
            return
