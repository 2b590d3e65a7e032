"""Policy files: `load_rules` reads one; the format is an argument, never guessed."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from pinverify import policy  # a part is imported when it is used
from pinverify.errors import PolicyError
from pinverify.formats._files import load_file, ordinary_policy
from pinverify.formats._losses import KINDS, Dumped, Loss
from pinverify.formats._reading import MAX_TOLD, Given, MistakesError, told
from pinverify.formats._table import format_named
from pinverify.formats._violations import violation
from pinverify.policy._rules import check_choice, check_rules

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Sequence

    from pinverify.formats._losses import Position
    from pinverify.formats._reading import Loaded
    from pinverify.policy import Policy, Rules

__all__ = [
    "Dumped",
    "Loss",
    "PolicyWarning",
    "dump_rules",
    "load_policy",
    "load_rules",
    "violation",
]


class PolicyWarning(UserWarning):
    """Warning of a policy file that was read.

    A reader left something out, and accepts no more for it; or `lint` finds that a rule
    can never match, never rejects anybody, or will break.
    """

    __module__ = "pinverify"


def load_policy(
    path: str | os.PathLike[str],
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    host: str | None = None,
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Policy:
    """Read a policy file, and compile it.

    Args:
        path: the file.
        format: "toml", pinverify's own format, or that of another system; see
            docs/formats.md.
        host: the host or pattern of the pins, where the format does not say it.
        pins: the other file of a format that has several, or a list of them; without
            it, those beside the first.

    Raises:
        PolicyError: the file has mistakes; the message names them and their places.
        OSError: the file cannot be read.
    """
    found = ordinary_policy(path, format, host=host, pins=_paths(pins))
    if isinstance(found, policy.Policy):
        return found
    _warn(found, os.fspath(path))
    return policy.Policy(found.rules)


def load_rules(
    path: str | os.PathLike[str],
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    host: str | None = None,
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Rules:
    """Read the rules of a policy file, to inspect, compare or compile them.

    The arguments and the errors are those of `load_policy`.
    """
    return _loaded(path, format, host, pins).rules


def dump_rules(  # noqa: PLR0913 - each is for some formats
    rules: Rules,
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    allow: Collection[str] = (),
    host: str | None = None,
    position: Position | None = None,
    now: dt.datetime | None = None,
) -> Dumped:
    """Write rules in a format, and tell what the format cannot say.

    Args:
        rules: of a policy they are ``policy.rules``.
        format: see docs/formats.md.
        allow: kinds of losses that may make the other system accept more.
        host: the host to write, where a file of the format has the pins of one host.
        position: "leaf" or "ca": whose keys the pins for any position are, where a
            format has to say it.
        now: the current time, where a format counts from it; None reads the clock.

    Raises:
        PolicyError: the other system would accept more than the rules, and *allow*
            does not name the kind of the loss; it has to know the position of pins,
            and *position* does not say it; or nothing can be written.
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


def _loaded(
    path: str | os.PathLike[str],
    name_of_format: str,
    host: str | None,
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> Loaded:
    """Read a file, and warn of what the reader and `lint` tell."""
    loaded = load_file(path, name_of_format, host=host, pins=_paths(pins))
    _warn(loaded, os.fspath(path), stacklevel=4)
    return loaded


def _paths(
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> Sequence[str | os.PathLike[str]]:
    return [pins] if isinstance(pins, str | os.PathLike) else pins


def _warn(loaded: Loaded, name: str, stacklevel: int = 3) -> None:
    serious = policy._lint.serious  # noqa: SLF001 - of ours
    found, num = serious(loaded.rules, name, MAX_TOLD)
    texts = [str(finding) for finding in found]
    for text in (*loaded.notices, *told(texts, name, num)):
        warnings.warn(text, PolicyWarning, stacklevel=stacklevel)
