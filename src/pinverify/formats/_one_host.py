"""Formats whose file has the pins of one host, which it does not name."""

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

__all__ = ["fitted", "given_host", "pins_to_write", "rule_to_write"]


def given_host(given: Given) -> str:
    """Return the canonical pattern that the caller gave.

    Raises:
        PolicyError: it is not a pattern.
    """
    try:
        return canonical_pattern(given.host or "")
    except PolicyError as error:
        msg = f"{given.name}: host: {error}"
        raise PolicyError(msg) from None


def rule_to_write(
    rules: Rules, given: Given, losses: Losses, *, below: bool
) -> tuple[str, Rules]:
    """Return the host to write, and rules that have its rule alone.

    Args:
        rules: all rules.
        given: its host may be left out if there is one rule only.
        losses: told of the names below the host, if the file says other things of them.
        below: the file may say that its pins are also those of the names below.

    Returns:
        The host; and its rule, under ``**.host`` if it is also for the names below.

    Raises:
        PolicyError: no host is given, or no rule has pins for it.
    """
    if given.host is None:
        if len(rules.hosts) != 1:
            msg = f"{given.name}: a file has the pins of one host; give `host` (--host)"
            raise PolicyError(msg)
        (pattern,) = rules.hosts
    else:
        pattern = given_host(given)
    wildcard, host = split_pattern(pattern)
    if wildcard == "*.":
        msg = f"{given.name}: {pattern!r} is no host; give one host"
        raise PolicyError(msg)
    value = _decided(host, rules)
    if not isinstance(value, PinSet):
        msg = f"{given.name}: there is no rule to write: {host!r} has no pins"
        raise PolicyError(msg)
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
        # Of names below the host, a file that may be about them says nothing.
        unpinned=rules.unpinned if below and not is_below else "allow",
        blocked=rules.blocked,
        clients=rules.clients,
    )
    return host, one


def _decided(pattern: str, rules: Rules) -> PinSet | Unpinned | None:
    """Return what decides about a host, or about all names of a wildcard."""
    return next((rules.hosts[p] for p in covering(pattern) if p in rules.hosts), None)


def pins_to_write(
    rules: Rules, given: Given, can: Abilities, what: str
) -> tuple[PinSet, Losses]:
    """Return what a system can say of the rule of one host, and what it cannot.

    Args:
        rules: all rules.
        given: its host may be left out if there is one rule only.
        can: the words of the system.
        what: the pins that it knows, for the message.

    Raises:
        PolicyError: no host is given, or it has no pins that the system can say.
    """
    losses = Losses(given.position)
    _, one = rule_to_write(rules, given, losses, below=False)
    return fitted(one, given, can, what, losses), losses


def fitted(
    one: Rules, given: Given, can: Abilities, what: str, losses: Losses
) -> PinSet:
    """Return what a system can say of the only rule of *one*.

    The other arguments and the errors are those of `pins_to_write`.
    """
    (host,) = one.hosts
    value = fit(one, can, losses).hosts.get(host)
    if not isinstance(value, PinSet):
        msg = f"{given.name}: there is no rule to write: no pin of {what} for {host!r}"
        raise PolicyError(msg)
    return value


def _tell_others(rules: Rules, host: str, value: PinSet, losses: Losses) -> None:
    """Tell of rules below *host* that the file replaces."""
    if _decided(f"**.{host}", rules) != value:
        losses.add(
            "other-hosts", f"**.{host}", "other pins, or none", f"those of {host}"
        )
    for pattern, other in rules.hosts.items():
        _, name = split_pattern(pattern)
        if name.endswith(f".{host}") and other != value:
            losses.add("other-hosts", pattern, "a rule of its own", f"pins of {host}")
    if rules.hosts.get(f"*.{host}", value) != value:
        losses.add("other-hosts", f"*.{host}", "a rule of its own", f"pins of {host}")
