"""Formats in which a file has the pins of one host and does not name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.core._hosts import canonical_pattern, covering, is_address, split_pattern
from pinverify.errors import PolicyError
from pinverify.formats._losses import Losses, fit
from pinverify.policy import PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._losses import Abilities
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Unpinned

__all__ = ["given_host", "pins_to_write", "rule_to_write"]


def given_host(given: Given) -> str:
    """Return the canonical pattern that the caller gave."""
    try:
        return canonical_pattern(given.host or "")
    except PolicyError as error:
        given.refuse(f"host: {error}")


def rule_to_write(
    rules: Rules, given: Given, losses: Losses, *, below: bool
) -> tuple[str, Rules]:
    """Return the host to write, and rules that have only its rule.

    The pattern of the rule is ``**.host`` if it is also for the names below the host.

    Args:
        rules: all rules.
        given: has the host, which may be left out if there is only one rule.
        losses: gets the losses about names below the host.
        below: True if a file can say that its pins are also for the names below.
    """
    if given.host is not None:
        pattern = given_host(given)
    elif len(rules.hosts) == 1:
        (pattern,) = rules.hosts
    else:
        given.refuse("a file has the pins of one host; give `host` (--host)")
    wildcard, host = split_pattern(pattern)
    if wildcard == "*.":
        given.refuse(f"{pattern!r} is no host; give one host")
    value = _decided(host, rules)
    if not isinstance(value, PinSet):
        given.refuse(f"there is no rule to write: {host!r} has no pins")
    value_below = None if is_address(host) else _decided(f"**.{host}", rules)
    is_below = below and (wildcard == "**." or value_below == value)
    if is_below:
        _tell_others(rules, host, value, losses)
    elif isinstance(value_below, PinSet) and (below or f"**.{host}" in rules.hosts):
        losses.add("many-labels", f"**.{host}", "pins", "none: the name alone has some")
    if below and not is_below and isinstance(rules.hosts.get(f"*.{host}"), PinSet):
        losses.add("one-label", f"*.{host}", "pins", "none: the name alone has some")
    one = Rules(
        {f"**.{host}" if is_below else host: value},
        # The format could pin the names below the host, but this file does not.
        unpinned=rules.unpinned if below and not is_below else "allow",
        blocked=rules.blocked,
        clients=rules.clients,
    )
    return host, one


def _decided(pattern: str, rules: Rules) -> PinSet | Unpinned | None:
    """Return the rule that decides about a host, or about all names of a wildcard."""
    return next((rules.hosts[p] for p in covering(pattern) if p in rules.hosts), None)


def pins_to_write(
    rules: Rules, given: Given, can: Abilities, what: str, *, or_clients: bool = False
) -> tuple[str | None, PinSet, Losses]:
    """Return a host, what a system can say of its rule, and what is lost.

    Args:
        rules: all rules.
        given: has the host, which may be left out if there is only one rule.
        can: what the system can say.
        what: the pins that the system knows, in words for the message.
        or_clients: True to write the pins of clients if there are no hosts; the host
            is then None.
    """
    losses = Losses(given.position)
    host: str | None = None
    if or_clients and rules.clients is not None and not rules.hosts:
        one = Rules({"clients": rules.clients}, blocked=rules.blocked)
    else:
        host, one = rule_to_write(rules, given, losses, below=False)
    (pattern,) = one.hosts
    value = fit(one, can, losses).hosts.get(pattern)
    if not isinstance(value, PinSet):
        given.refuse(f"there is no rule to write: no pin of {what} for {pattern!r}")
    return host, value, losses


def _tell_others(rules: Rules, host: str, value: PinSet, losses: Losses) -> None:
    """Add losses for rules below *host* that the file replaces."""
    if _decided(f"**.{host}", rules) != value:
        losses.add(
            "other-hosts", f"**.{host}", "other pins, or none", f"those of {host}"
        )
    for pattern, other in rules.hosts.items():
        _, name = split_pattern(pattern)
        is_below = name.endswith(f".{host}") or pattern == f"*.{host}"
        if is_below and other != value:
            losses.add("other-hosts", pattern, "a rule of its own", f"pins of {host}")
