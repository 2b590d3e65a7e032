"""Policies of other systems: one module for each format, found by a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.errors import MistakesError, PolicyError
from pinverify.files import PolicyWarning, load_policy, load_rules
from pinverify.formats._format_table import format_named
from pinverify.formats._losses import KINDS, Dumped, Loss
from pinverify.formats._policy_reading import Given
from pinverify.formats._violations import violation
from pinverify.policy._rules import check_choice, check_rules

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection

    from pinverify.formats._losses import Position
    from pinverify.policy import Rules

__all__ = [
    "Dumped",
    "Loss",
    "PolicyWarning",
    "dump_rules",
    "load_policy",
    "load_rules",
    "violation",
]


def dump_rules(  # noqa: PLR0913 - each is for some formats
    rules: Rules,
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    allow: Collection[str] = (),
    host: str | None = None,
    position: Position | None = None,
    now: dt.datetime | None = None,
) -> Dumped:
    """Write rules in a format, and list what the format cannot say.

    Args:
        rules: the rules; those of a policy are ``policy.rules``.
        format: the name of a format in docs/formats.md.
        allow: kinds of losses that may make the other system accept more.
        host: the host to write, if a file in the format has the pins of only one host.
        position: "leaf" or "ca", to be written for pins of any position if the format
            must name a position.
        now: the current time, if the format counts from it; None reads the clock.

    Raises:
        PolicyError: the other system would accept more than the rules, and *allow*
            does not name the kind of the loss; the format needs *position*; or
            nothing can be written.
        TypeError: *rules* are not `Rules`.
    """
    row = format_named(format, "dump_rules", to_write=True)
    check_rules(rules)
    if strangers := set(allow) - KINDS.keys():
        msg = f"allow: no kind of loss {min(strangers)!r}; there is {', '.join(KINDS)}"
        raise PolicyError(msg)
    if host is not None and row.host_to_write == "says":
        msg = f"{row.name}: what is written names its hosts; leave out `host` (--host)"
        raise PolicyError(msg)
    if position is not None:
        check_choice("position", position, ("leaf", "ca"))
    given = Given(row.name, host, now=now, position=position)
    dumped = row.writer(rules, given)
    if position is None and any(one.kind == "any-position" for one in dumped.losses):
        msg = (
            f"nothing is written: {row.name} has to know whose keys the pins for any "
            "position are, or it may lock everybody out; give `position`: leaf if they "
            "are of the servers themselves (--as leaf), ca if of authorities (--as ca)"
        )
        raise PolicyError(msg)
    refused = [
        loss
        for loss in dumped.losses
        if loss.direction == "wider" and loss.kind not in allow
    ]
    if refused:
        kinds = ", ".join(sorted({loss.kind for loss in refused}))
        lines = [f"{row.name}: {loss}" for loss in refused]
        advice = (
            f"nothing is written, because {row.name} would accept more; if it may, "
            f"allow {kinds} (--allow)"
        )
        raise MistakesError([advice, *lines], row.name, len(lines) + 1)
    return dumped
