"""`pinverify diff`: print the differences in what an old and a new policy accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

from pinverify.cli.exit_codes import ACCEPTS_LESS, ACCEPTS_MORE
from pinverify.cli.output import Cell
from pinverify.cli.policy_files import host_of_pins, loaded_from
from pinverify.cli.rule_lines import Line, of_default, of_expired, of_rule, text_of
from pinverify.errors import printable
from pinverify.policy import PinSet, Policy
from pinverify.review import diff

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    from pinverify.cli.output import Output
    from pinverify.policy import Rules, Unpinned
    from pinverify.review import Change

__all__ = ["diff_files"]


_LINES_MAX = 40  # removed or added lines of one change that are printed


def diff_files(
    out: Output,
    files: tuple[Path, Path],
    formats: tuple[str, str],
    host: str | None,
    in_use: str | None = None,
) -> None:
    """Print the differences in what two policies accept.

    Args:
        out: gets the differences, and an exit code for their direction.
        files: the old policy and the new one.
        formats: their formats.
        host: the host of the chain or key in use; also the host of the pins, for
            formats that do not name it.
        in_use: a file with the chain or key that is deployed now, or None.
    """
    both = []
    steps = f"add --format compiled --to {formats[1]}", "add --to compiled"
    for file, name, step in zip(files, formats, steps, strict=True):
        loaded = loaded_from(
            out, file, name, host_of_pins(name, host), if_compiled=step
        )
        for notice in loaded.notices:
            out.warn(notice)
        both.append(loaded.rules)
    old, new = both
    changes = diff(old, new)
    directions = {change.direction for change in changes}
    if directions:
        out.exit_code = ACCEPTS_LESS if directions == {"narrower"} else ACCEPTS_MORE
    kept = {} if in_use is None else _kept(in_use, old, new, host)
    if out.as_json:
        answer: dict[str, Any] = {"changes": [_as_json(change) for change in changes]}
        if in_use is not None:
            answer["in_use"] = kept
        out.json(answer)
        return
    sides = _sides(old, new)
    for title, change in _titled(changes):
        _print(out, title, change, sides)
    out.line(_summary(directions))
    for name, stays in kept.items():
        text = "stays accepted" if stays else "does not stay accepted"
        style = "bold green" if stays else "bold red"
        out.line(Cell(f"{printable(name)}: the key in use {text}", style))


def _kept(in_use: str, old: Rules, new: Rules, host: str | None) -> dict[str, bool]:
    """Return for each host whether both policies accept the key that is in use.

    Raises:
        NoAnswerError: the file is neither a chain nor a key, or names no host.
    """
    from pinverify.cli.chain_files import decisions, read_evidence

    evidence = read_evidence(in_use)
    both = Policy(old), Policy(new)
    hosts = [one.host for policy in both for one in decisions(evidence, policy, host)]
    return {
        name or "clients": all(
            decision.report.accepted
            for policy in both
            for decision in decisions(evidence, policy, name)
        )
        for name in dict.fromkeys(hosts)
    }


class _Side(NamedTuple):
    """One of the two policies, in words.

    Attributes:
        rules: its rules.
        default: what happens to hosts without pins.
        blocked: the lines of pins that it blocks for all hosts.
        alone: the lines in *blocked* that the other policy does not have.
    """

    rules: Rules
    default: str
    blocked: list[Line]
    alone: list[Line]


def _sides(old: Rules, new: Rules) -> tuple[_Side, _Side]:
    (default, *blocked), (new_default, *new_blocked) = of_default(old), of_default(new)
    before, after = set(blocked), set(new_blocked)
    gone = [line for line in blocked if line not in after]
    come = [line for line in new_blocked if line not in before]
    return (
        _Side(old, default.value, blocked, gone),
        _Side(new, new_default.value, new_blocked, come),
    )


def _as_json(change: Change) -> dict[str, Any]:
    times = {
        name: None if moment is None else text_of(moment)
        for name, moment in (("since", change.since), ("until", change.until))
    }
    return {**change._asdict(), **times}


_OTHERS = {
    "others": "all other hosts",
    "clients": "clients",
    "no-host": "names that are no hosts",
}


def _titled(changes: Sequence[Change]) -> Iterator[tuple[str, Change]]:
    """Yield titles and changes; a name and all names below it share a title."""
    below = {_period(change): change for change in changes if change.scope == "below"}
    for change in changes:
        subtree = below.get(_period(change))
        is_same = subtree is not None and subtree[2:] == change[2:]
        if change.scope == "host" and is_same:
            yield f"**.{change.name}", change
            del below[_period(change)]
        elif change.scope == "host":
            yield change.name, change
        elif change.scope == "one-label":
            yield f"*.{change.name}", change
        elif change.scope == "below":
            if _period(change) in below:
                yield f"below {change.name}", change
        else:
            yield _OTHERS[change.scope], change


def _period(change: Change) -> tuple[object, ...]:
    return change.name, change.since, change.until


_VERBS = {
    "wider": Cell("accepts more", "bold yellow"),
    "narrower": Cell("accepts less", "bold cyan"),
    "both": Cell("accepts other peers", "bold yellow"),
}


def _print(out: Output, title: str, change: Change, sides: tuple[_Side, _Side]) -> None:
    times = ""
    if change.since is not None:
        times += f", from {text_of(change.since)} on"
    if change.until is not None:
        times += f", until {text_of(change.until)}"
    verb, style = _VERBS[change.direction]
    out.hanging(verb + times, style, 4, Cell(f"{title}  ", "bold"))
    old, new = sides
    before, blocks_before = _lines(change.old, old, change)
    after, blocks_after = _lines(change.new, new, change)
    gone = [*_without(before, after), *_blocked(old, blocks_before, blocks_after)]
    come = [*_without(after, before), *_blocked(new, blocks_after, blocks_before)]
    width = max((len(line.key) for line in gone + come), default=0)
    for mark, style, lines in (("-", "red", gone), ("+", "green", come)):
        for line in lines[:_LINES_MAX]:
            out.hanging(f"{mark} {line.key:<{width}} {line.value}", style, width + 3)
        if (more := len(lines) - _LINES_MAX) > 0:
            out.line(
                Cell(f"{mark} … and {more:,} more; `pinverify show` has all", style)
            )
    out.line()


def _without(lines: list[Line], others: list[Line]) -> list[Line]:
    known = set(others)
    return [line for line in lines if line not in known]


def _blocked(side: _Side, blocks: bool, other_blocks: bool) -> list[Line]:  # noqa: FBT001
    """Return the lines of blocked pins that the other side does not have."""
    if not blocks:
        return []
    return side.alone if other_blocks else side.blocked


def _lines(pattern: str | None, side: _Side, change: Change) -> tuple[list[Line], bool]:
    """Return the lines of the deciding rule, and True if blocked pins count."""
    if pattern is None and change.scope in {"clients", "no-host"}:
        return [Line("rule", "none, rejected")], False
    if pattern is None:
        return [Line("rule", f"none, {side.default}")], True
    value = side.rules.hosts.get(pattern, side.rules.clients)
    if _is_over(value, change):
        return [Line("rule", pattern), *of_expired(value)], True
    return [Line("rule", pattern), *(of_rule(value) if value else ())], True


def _is_over(value: PinSet | Unpinned | None, change: Change) -> TypeGuard[PinSet]:
    """Return True if the pins of a rule have expired when a change begins."""
    expires = value.expires if isinstance(value, PinSet) else None
    return expires is not None and change.since is not None and expires <= change.since


def _summary(directions: Collection[str]) -> Cell:
    if not directions:
        return Cell("no difference: both accept the same peers", "bold green")
    if set(directions) == {"narrower"}:
        return Cell("narrower: the new policy accepts less", "bold cyan")
    if set(directions) == {"wider"}:
        return Cell("wider: the new policy accepts more", "bold yellow")
    return Cell("wider and narrower: the new policy accepts other peers", "bold yellow")
