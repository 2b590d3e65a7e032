"""`pinverify pin --stanza`: a policy of the keys that were found, in any format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.answers import tell_warnings
from pinverify.cli.convert import tell_losses
from pinverify.cli.output import NoAnswerError
from pinverify.cli.policies import tell_findings
from pinverify.errors import printable
from pinverify.formats import dump_rules
from pinverify.policy import Pin, PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.cli.answers import Answer, Entry
    from pinverify.cli.output import Output
    from pinverify.formats._losses import Position

__all__ = ["Stanza", "print_stanza"]

# A list for HAProxy has nothing else than hashes of whole certificates of leaves.
_OF_CERTIFICATES = {"haproxy"}


class Stanza(NamedTuple):
    """A policy that is wanted.

    Attributes:
        format: its format.
        host: the pattern of all keys, instead of the servers' names.
        position: whose keys they are, where the format has to say it.
        allow: kinds of losses that it may have.
    """

    format: str
    host: str | None = None
    position: Position | None = None
    allow: tuple[str, ...] = ()


def print_stanza(out: Output, answers: Sequence[Answer], wanted: Stanza) -> None:
    """Print a policy that pins the leaf of each server, and beside it each file.

    So a file with the next key is the backup of every server. Without the certificate
    of an authority among the files, all keys are those of leaves.

    Args:
        out: gets warnings.
        answers: the servers and files.
        wanted: the policy that is printed.

    Raises:
        NoAnswerError: a source could not be read, or nothing names a host.
        PolicyError: the format has to know whose keys they are, or cannot say them.
    """
    if any(answer.errors for answer in answers):
        msg = "no policy is printed without all of its keys"
        raise NoAnswerError(msg)
    name = wanted.format
    hosts = _pinned(out, answers, name, wanted.host)
    rules = Rules({pattern: PinSet(pins) for pattern, pins in hosts.items()})
    tell_findings(out, rules, "policy")
    position = wanted.position
    if position is None and not _has_authorities(answers):
        position = "leaf"
    dumped = dump_rules(rules, format=name, allow=wanted.allow, position=position)
    told = [loss for loss in dumped.losses if loss.kind != "any-position"]
    tell_losses(out, name, told)
    if name == "toml":
        for line in _whose(answers):
            sys.stdout.write(f"# {line}\n")
    sys.stdout.write(str(dumped.text))


def _whose(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield whose each key is: pins are sorted, so their order does not tell."""
    for answer in answers:
        for entry in answer.pinnable:
            parts = answer.source, entry.subject
            whose = printable(": ".join(filter(None, parts)))
            yield f"{Pin.spki(entry.digests['public key'])} is of {whose}"


def _pinned(
    out: Output, answers: Sequence[Answer], name: str, host: str | None
) -> dict[str, list[Pin]]:
    """Return the pins of each pattern."""
    in_files: list[Pin] = []
    leaves: dict[str, list[Pin]] = {}
    for answer in answers:
        entries = answer.pinnable
        tell_warnings(out, answer, entries)
        if answer.host is None:
            in_files += _pins_of(entries, name)
        else:
            leaves.setdefault(answer.host, []).extend(_pins_of(entries, name))
    if host is not None:
        leaves = {host: [pin for pins in leaves.values() for pin in pins]}
    if not leaves:
        msg = "--stanza: files name no host; add a server, or --host"
        raise NoAnswerError(msg)
    return {
        pattern: list(dict.fromkeys([*pins, *in_files]))
        for pattern, pins in leaves.items()
    }


def _has_authorities(answers: Sequence[Answer]) -> bool:
    """Return True if a file has the certificate of an authority."""
    return any(
        entry.role in {"intermediate", "root"}
        for answer in answers
        if answer.host is None
        for entry in answer.entries
    )


def _pins_of(entries: Sequence[Entry], name: str) -> list[Pin]:
    digests = [entry.digests for entry in entries]
    if name in _OF_CERTIFICATES:
        whole = (digest.get("certificate") for digest in digests)
        return [Pin.certificate(digest) for digest in whole if digest is not None]
    return [Pin.spki(digest["public key"]) for digest in digests]
