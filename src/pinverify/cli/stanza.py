"""`pinverify pin --stanza`: print the found keys as a policy, in any format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pinverify.cli.convert import tell_losses
from pinverify.cli.key_sources import answers_of, tell_warnings
from pinverify.cli.output import NoAnswerError
from pinverify.cli.policy_files import tell_findings
from pinverify.errors import printable
from pinverify.formats import dump_rules
from pinverify.policy import Pin, PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.cli.key_sources import Answer, Entry
    from pinverify.cli.output import Output
    from pinverify.cli.shared_options import Way
    from pinverify.formats._losses import Position

__all__ = ["print_stanza"]

# A list for HAProxy has only hashes of whole leaf certificates.
_OF_CERTIFICATES = {"haproxy"}


def print_stanza(  # noqa: PLR0913 - one per option
    out: Output,
    sources: Sequence[str],
    way: Way,
    *,
    policy_format: str,
    host: str | None,
    position: Position | None,
    allow: tuple[str, ...],
) -> None:
    """Print a policy that pins, for each server, its leaf and the keys in all files.

    So a next key in a file is the backup of every server. If no file has the
    certificate of an authority, all keys count as keys of leaves.

    Args:
        out: gets warnings.
        sources: the servers and files.
        way: how servers are reached.
        policy_format: the format of the policy.
        host: the pattern for all keys, instead of the servers' names.
        position: "leaf" or "ca", if the format must name the position of the pins.
        allow: kinds of losses that the policy may have.

    Raises:
        NoAnswerError: a source could not be read, or nothing names a host.
        PolicyError: the format needs *position*, or cannot express the pins.
    """
    answers = answers_of(out, sources, way)
    if any(answer.errors for answer in answers):
        msg = "no policy is printed without all of its keys"
        raise NoAnswerError(msg)
    hosts = _pinned(out, answers, policy_format, host)
    rules = Rules({pattern: PinSet(pins) for pattern, pins in hosts.items()})
    tell_findings(out, rules, "policy")
    if position is None and not _has_authorities(answers):
        position = "leaf"
    dumped = dump_rules(rules, format=policy_format, allow=allow, position=position)
    told = [loss for loss in dumped.losses if loss.kind != "any-position"]
    tell_losses(out, policy_format, told)
    if policy_format == "toml":
        for line in _whose(answers):
            sys.stdout.write(f"# {line}\n")
    sys.stdout.write(str(dumped.text))


def _whose(answers: Sequence[Answer]) -> Iterator[str]:
    """Yield a line that says whose each key is, since the pins will be sorted."""
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
