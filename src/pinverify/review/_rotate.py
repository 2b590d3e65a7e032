"""Advice for the rotation of a host's key: how far it is, and which step is safe now.

The advice follows from facts: the keys in use, the next keys that are made, and the
policies that may be in force somewhere. A key is replaced in five steps, and each waits
for the one before:

    MAKE the next key ─► PIN it ─► WAIT until every policy that is out there has it
      ▲                                                             │
      └──────────── DROP pins that no key needs ◄─ DEPLOY it ◄──────┘

A step is safe if it makes no client refuse an honest server, whichever of the policies
the client has. So a new policy must accept each key in use, and each policy must accept
a key before that key is deployed. A client that is offline keeps its policy, so a
replaced policy counts until nobody can have it any more.

A host may have several servers, which get the next key one after the other. Until the
last server has it, both keys are in use, and the advice is to go on. A key has a backup
if each list of the rule has a pin that the key's chain does not match: the pin of the
next key, of a key that is kept elsewhere, or of another server's key.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["Advice", "Facts", "Out", "Step", "advise", "is_rolling"]


class Step(enum.Enum):
    """A step of the rotation."""

    MAKE = "make the next key"
    PIN = "pin the next key"
    WAIT = "wait until that is in force everywhere"
    DEPLOY = "deploy the next key"
    DROP = "drop pins that no key needs"


class Out(NamedTuple):
    """A policy that may be in force somewhere.

    Attributes:
        name: its name in the text of the advice.
        accepts: the keys, in use or next, that it accepts on every server where they
            are or may be deployed.
        expires: when its rule expires, in seconds since 1970; None if it does not.
    """

    name: str
    accepts: frozenset[str]
    expires: int | None = None


class Facts(NamedTuple):
    """The keys and policies that the advice follows from. A key is named by its pin.

    Attributes:
        in_use: all keys that servers have now.
        made: the next keys, in the order of their use. One of them may be in use
            already, on some of the servers.
        hits: for each key, and for each of its chains, the pins that match the chain.
        lists: the pins in each list of the rule, by the list's name. A chain must match
            every list.
        policy: the policy that is, or will be, published.
        others: other policies that may be in force somewhere, such as earlier ones.
        now: seconds since 1970.
        until: the moment before which no rule may expire, in seconds since 1970.
        found: mistakes that were found elsewhere.
        servers: for each key, the names of the servers that have it, for the text.
    """

    in_use: frozenset[str]
    made: tuple[str, ...]
    hits: Mapping[str, Sequence[frozenset[str]]]
    lists: Mapping[str, frozenset[str]]
    policy: Out
    others: Sequence[Out]
    now: int
    until: int
    found: tuple[str, ...] = ()
    servers: Mapping[str, Sequence[str]] = MappingProxyType({})


class Advice(NamedTuple):
    """The next step, and the mistakes to mend before it.

    Attributes:
        step: the step that is next.
        why: the reason for it.
        todo: what to do now.
        unsafe: for each next key that must not be deployed yet, the reason; the others
            may be deployed.
        mistakes: why clients refuse honest servers, now or soon, each with its remedy.
    """

    step: Step
    why: str
    todo: str
    unsafe: Mapping[str, str]
    mistakes: tuple[str, ...]


def advise(facts: Facts) -> Advice:
    """Return the advice that follows from the facts."""
    refused = _refused_already(facts)
    bare = _no_backup(facts)
    mistakes = [*_refused_soon(facts), *bare, *facts.found]
    unsafe = {}
    for key in dict.fromkeys(facts.made):
        missing = [
            each.name
            for each in (facts.policy, *facts.others)
            if key not in each.accepts
        ]
        if missing:
            unsafe[key] = f"not accepted by {', '.join(missing)}"
        elif mistakes:
            unsafe[key] = "mend the mistakes below before"
        elif _bare_lists(facts, [key]):
            unsafe[key] = "its rule would have no backup left: pin another key before"
    step, why = next(_steps(facts))
    todo = _TODO[step].format(policy=facts.policy.name)
    if mistakes and not (mistakes == bare and step in {Step.MAKE, Step.PIN}):
        todo = f"mend the mistakes below; then {todo}"
    return Advice(step, why, todo, unsafe, (*refused, *mistakes))


_TODO = {
    Step.MAKE: "make a key, keep it away from the server, and name its request or its "
    "public key with --next",
    Step.PIN: "add the missing pins to {policy}, and publish it",
    Step.WAIT: "publish {policy}, if you have not yet; leave out --other for a policy "
    "when no client can have it any more",
    Step.DROP: "remove them from {policy}, and publish it; if you still have the key "
    "of one, as a backup, name that key with --next, too",
    Step.DEPLOY: "deploy it when you want to, on one server after the other, until all "
    "have it",
}


def _steps(facts: Facts) -> Iterator[tuple[Step, str]]:
    """Yield steps and their reasons; the first one is the next step."""
    policy = facts.policy.name
    is_half_way = is_rolling(facts)
    following = [key for key in facts.made if (key in facts.in_use) == is_half_way]
    if not following:
        is_named = "the next key is in use" if facts.made else "no next key is named"
        yield Step.MAKE, is_named
    unpinned = [key for key in following if key not in facts.policy.accepts]
    if unpinned:
        yield Step.PIN, f"{policy} does not accept {_spelt(unpinned)}"
    bare = _bare_lists(facts, facts.in_use)
    if bare:
        yield Step.PIN, f"{policy} has no backup in {_needs(bare)}"
    spent = _bare_lists(facts, following[:1])
    if spent:
        yield (
            Step.PIN,
            f"with the next key in use, no backup would be left in {_needs(spent)}",
        )
    # Half-way, each server may have its own next key, or all may share one.
    some = following if is_half_way else following[:1]
    if not any(all(key in each.accepts for each in facts.others) for key in some):
        missing = [
            each.name for each in facts.others if not each.accepts.issuperset(some)
        ]
        yield Step.WAIT, f"these do not accept it: {', '.join(missing)}"
    if is_half_way:
        old = facts.in_use.difference(facts.made)
        left = [name for key in old for name in facts.servers.get(key, (key,))]
        yield Step.DEPLOY, f"some servers have it, and these do not: {_spelt(left)}"
    idle = _idle(facts)
    if idle:
        yield Step.DROP, f"neither in use nor named with --next: {_spelt(idle)}"
    yield Step.DEPLOY, "every policy that is named here accepts it"


def is_rolling(facts: Facts) -> bool:
    """Return True if some servers have a next key, and others have none yet."""
    old = facts.in_use.difference(facts.made)
    return bool(old) and len(old) < len(facts.in_use)


def _refused_already(facts: Facts) -> list[str]:
    """Return mistakes about other policies in force that reject a key in use.

    Those policies are out, and nothing that is published changes them. So these
    mistakes do not stop the deployment of a key that all policies accept, which is the
    remedy.
    """
    return [
        f"clients that still have {policy.name} refuse {key}, which is in use: deploy "
        "a key in its place that every policy accepts, and name that with --next"
        for policy in facts.others
        for key in sorted(facts.in_use - policy.accepts)
    ]


def _refused_soon(facts: Facts) -> list[str]:
    """Return mistakes by which the policy rejects a key in use, now or on expiry.

    The future expiry of a replaced policy is left out: nothing can be done about it any
    more. That expiry matters only once it is past.
    """
    policy = facts.policy
    told = [
        f"{policy.name} refuses {key}, which is in use: put its pin into {policy.name} "
        "before that is published"
        for key in sorted(facts.in_use - policy.accepts)
    ]
    ends = policy.expires
    if ends is not None and ends < facts.until:
        days = max(0, (ends - facts.now) // 86400)
        told.append(
            f"the rule in {policy.name} expires in {days} days: publish it with a "
            "later date"
        )
    return told


def _no_backup(facts: Facts) -> list[str]:
    """Return what is wrong if a list has no pin left for the day a key is lost."""
    bare = _bare_lists(facts, facts.in_use)
    if not bare:
        return []
    text = f"no backup in {_needs(bare)}"
    if facts.made and facts.in_use.issuperset(facts.made):
        text += "; the next key is in use: it is no backup, make another one"
    return [text]


def _bare_lists(facts: Facts, keys: Iterable[str]) -> list[str]:
    """Return the lists that have no backup if these keys are in use."""
    used = _chains(facts, keys)
    return [
        name for name, pins in facts.lists.items() if any(pins <= hit for hit in used)
    ]


def _idle(facts: Facts) -> list[str]:
    """Return pins that can be dropped while each list keeps a backup."""
    used = frozenset().union(*_chains(facts, facts.in_use))
    needed = used.union(*_chains(facts, facts.made))
    droppable: set[str] = set()
    kept: set[str] = set()
    for pins in facts.lists.values():
        has_backup = bool((pins & needed) - used)
        (droppable if has_backup else kept).update(pins - needed)
    return sorted(droppable - kept)


def _chains(facts: Facts, keys: Iterable[str]) -> list[frozenset[str]]:
    """Return the pins that match, for each chain of some keys."""
    return [hit for key in keys for hit in facts.hits[key]]


def _needs(lists: list[str]) -> str:
    """Return the names of lists without a backup, and what makes one."""
    names = " and ".join(f"`{name}`" for name in lists)
    keys = {"ca": "of another authority"}
    needed = [keys.get(name, "of a key that is kept for later") for name in lists]
    return f"{names}: pin one {' and one '.join(dict.fromkeys(needed))}"


def _spelt(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
