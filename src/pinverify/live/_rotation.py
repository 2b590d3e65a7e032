"""Advice for the rotation of a key: where a host is in it, and which step is safe now.

Everything follows from what there is: the keys in use, the keys that are made, and the
policies that may be in force somewhere. A key is replaced in five steps, and each waits
for the one before:

    MAKE the next key ─► PIN it ─► WAIT until every policy that is out there has it
      ▲                                                             │
      └──────────── DROP pins that no key needs ◄─ DEPLOY it ◄──────┘

A step is safe if it makes no client refuse an honest server, whichever of the policies
it has: a policy may be replaced by one that accepts each key in use, and a key may be
deployed that each policy accepts. A client that is offline keeps its policy; so one
that was replaced counts until nobody can have it any more.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Advice", "Facts", "Out", "Step", "advise"]


class Step(enum.Enum):
    """The step that is next."""

    MAKE = "make the next key"
    PIN = "pin the next key, in every policy"
    WAIT = "wait until that is in force everywhere"
    DEPLOY = "deploy the next key"
    DROP = "drop the pins that no key needs"


class Out(NamedTuple):
    """A policy that may be in force somewhere.

    Attributes:
        name: for the text of an advice.
        accepts: those of the keys, in use or next, that it accepts.
        expires: when its rule expires, in seconds since 1970; None if it does not.
    """

    name: str
    accepts: frozenset[str]
    expires: int | None = None


class Facts(NamedTuple):
    """Keys and policies that there are. A key is named by its pin.

    Attributes:
        in_use: the keys that servers have now: all of them.
        made: those that are made for later, in the order of their use.
        policy: the policy that is to be published, or was.
        others: policies that were before, and may still be in force somewhere.
        backups: pins of the policy that nothing in use hits, for each list of the rule
            that must match: without one, the rule has no way out.
        idle: pins of the policy that neither a key in use nor one that is made needs.
        now: seconds since 1970.
        until: no rule may expire before, in seconds since 1970.
    """

    in_use: frozenset[str]
    made: tuple[str, ...]
    policy: Out
    others: Sequence[Out]
    backups: Sequence[frozenset[str]]
    idle: frozenset[str]
    now: int
    until: int


class Advice(NamedTuple):
    """The next step, and what is wrong before it.

    Attributes:
        step: the step that is next.
        why: what it follows from.
        is_out: True if a next key may be deployed: each policy accepts it.
        mistakes: what would refuse honest servers, now or soon: each has to be mended
            before the step.
    """

    step: Step
    why: str
    is_out: bool
    mistakes: tuple[str, ...]


def advise(facts: Facts) -> Advice:
    """Return the advice that follows from the facts."""
    mistakes = [*_rejections(facts), *_lapses(facts)]
    made = [key for key in facts.made if key not in facts.in_use]
    if facts.made and not made and not all(facts.backups):
        mistakes.append("the next key is the one in use: it is no backup; make another")
    elif not all(facts.backups):
        mistakes.append(
            "no backup: every pin of a list is of what is in use; make the next key, "
            "and pin it"
        )
    if not made:
        return Advice(
            Step.MAKE,
            "there is no next key, or it is in use",
            is_out=False,
            mistakes=tuple(mistakes),
        )
    key = made[0]
    missing = [each.name for each in facts.others if key not in each.accepts]
    if key not in facts.policy.accepts:
        step, why = Step.PIN, f"{facts.policy.name} does not accept it"
    elif missing:
        step, why = Step.WAIT, f"these do not accept it: {', '.join(missing)}"
    elif facts.idle:
        step, why = (
            Step.DROP,
            f"neither in use nor next: {', '.join(sorted(facts.idle))}",
        )
    else:
        step, why = Step.DEPLOY, "every policy that is out there accepts it"
    is_out = step in {Step.DEPLOY, Step.DROP} and not mistakes
    return Advice(step, why, is_out, tuple(mistakes))


def _rejections(facts: Facts) -> list[str]:
    return [
        f"{policy.name} rejects the key in use, {key}: publish a policy that has it"
        for policy in (facts.policy, *facts.others)
        for key in sorted(facts.in_use - policy.accepts)
    ]


def _lapses(facts: Facts) -> list[str]:
    """Return the rules that expire too soon.

    Of a policy that was replaced it matters only whether it has expired: nothing can be
    done about it any more.
    """
    ends = facts.policy.expires
    told = []
    if ends is not None and ends < facts.until:
        days = max(0, (ends - facts.now) // 86400)
        told.append(
            f"the rule in {facts.policy.name} expires in {days} days: publish it with "
            "a later date"
        )
    return told
