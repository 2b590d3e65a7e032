"""Policy files: `load_rules` reads one; the format is an argument, never guessed."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.formats._files import load_file
from pinverify.formats._losses import KINDS, Dumped, Loss
from pinverify.formats._reading import MAX_TOLD, Given, MistakesError, told
from pinverify.formats._table import format_named
from pinverify.formats._violations import violation
from pinverify.policy import Policy, Rules
from pinverify.policy._lint import serious
from pinverify.policy._rules import check_rules

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection

    from pinverify.formats._reading import Loaded

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
    pins: str | os.PathLike[str] | None = None,
) -> Policy:
    """Read a policy file, and compile it.

    Args:
        path: the file.
        format: "toml", pinverify's own format, or that of another system; see
            docs/formats.md.
        host: the host or pattern of the pins, where the format does not say it.
        pins: the second file of a format that has two; without it, the one beside the
            first.

    Raises:
        PolicyError: the file has mistakes; the message names them and their places.
        OSError: the file cannot be read.
    """
    return Policy(_loaded(path, format, host, pins).rules)


def load_rules(
    path: str | os.PathLike[str],
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    host: str | None = None,
    pins: str | os.PathLike[str] | None = None,
) -> Rules:
    """Read the rules of a policy file, to inspect, compare or compile them.

    The arguments and the errors are those of `load_policy`.
    """
    return _loaded(path, format, host, pins).rules


def dump_rules(
    rules: Rules,
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    allow: Collection[str] = (),
    host: str | None = None,
    now: dt.datetime | None = None,
) -> Dumped:
    """Write rules in a format, and tell what the format cannot say.

    Args:
        rules: of a policy they are ``policy.rules``.
        format: see docs/formats.md.
        allow: kinds of losses that may make the other system accept more.
        host: the host to write, where a file of the format has the pins of one host.
        now: the current time, where a format counts from it; None reads the clock.

    Raises:
        PolicyError: the other system would accept more than the rules, and *allow*
            does not name the kind of the loss; or nothing can be written.
        TypeError: *rules* are not `Rules`.
    """
    row = format_named(format, "dump_rules", to_write=True)
    check_rules(rules)
    if strangers := set(allow) - KINDS.keys():
        msg = f"allow: no kind of loss {min(strangers)!r}; there is {', '.join(KINDS)}"
        raise PolicyError(msg)
    dumped = row.writer(rules, Given(row.name, host, now=now))
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
    pins: str | os.PathLike[str] | None,
) -> Loaded:
    """Read a file, and warn of what the reader and `lint` tell."""
    loaded = load_file(path, name_of_format, host=host, pins=pins)
    name = os.fspath(path)
    found, num = serious(loaded.rules, name, MAX_TOLD)
    texts = [str(finding) for finding in found]
    for text in (*loaded.notices, *told(texts, name, num)):
        warnings.warn(text, PolicyWarning, stacklevel=3)
    return loaded
