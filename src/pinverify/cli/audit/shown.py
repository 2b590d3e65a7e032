"""The summary of an audit: tables and lines for people, JSON for programs."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from pinverify.cli.audit.summary import UNREADABLE
from pinverify.cli.check import REASONS
from pinverify.cli.plain import Cell
from pinverify.policy import Reason
from pinverify.policy._printable import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.cli.audit.summary import HostSeen, PinSeen, Summary
    from pinverify.cli.output import Output
    from pinverify.policy import Policy

__all__ = ["as_json", "counted", "day", "pin_text", "print_summary"]

_HOSTS_MAX = 20
_KEYS_MAX = 3
_PINS_MAX = 50
_PATTERNS_MAX = 3
_NAME_MAX = 60
_MORE = "more; --json has them"


def pin_text(key: bytes) -> str:
    """Return the pin of a key with this digest."""
    return "sha256/" + base64.b64encode(key).decode("ascii")


def day(text: str) -> str:
    """Return the day of YYYYMMDDHHMMSSZ, as people read it."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def counted(num: int, thing: str = "certificate") -> str:
    """Return a number and a noun."""
    return f"{num:,} {thing}{'' if num == 1 else 's'}"


# ---- for people --------------------------------------------------------------


def print_summary(out: Output, summary: Summary) -> None:
    """Print the counts, the hosts with keys outside of their pins, and the pins."""
    rows = [
        [Cell(result, style), Cell(reason), Cell(f"{num:>12,}")]
        for result, style, reason, num in _counts(summary)
    ]
    out.table(["result", "reason", "certificates"], rows)
    if summary.first_malformed is not None:
        source, row = summary.first_malformed
        out.line()
        out.hanging(printable(f"the first malformed one is in {source}, row {row}"))
    _print_hosts(out, summary)
    _print_pins(out, [one for one in summary.pins.values() if not one.only_ca])
    if summary.left_out:
        out.line()
        text = counted(summary.left_out, "file")
        out.hanging(f"{text} left out: neither certificates nor tables nor tiles")


def _counts(summary: Summary) -> Iterator[tuple[str, str, str, int]]:
    """Yield result, style, reason and number; numbers that are 0 are left out."""
    rows = [("accepted", "bold green", _why(Reason.MATCH.name), summary.accepted)]
    for reason, num in sorted(summary.unmatched.items()):
        rows.append(("unmatched", "bold yellow", _why(reason), num))
    for reason, num in sorted(summary.rejected.items()):
        rows.append(("rejected", "bold red", _why(reason), num))
    rows += [
        ("malformed", "bold red", _why(Reason.MALFORMED.name), summary.malformed),
        ("no rule", "", "no rule for its host or names", summary.no_rule),
        ("null", "", "no certificate, or no host", summary.nulls),
    ]
    yield from (row for row in rows if row[-1])
    yield "all", "bold", "", summary.rows


def _why(reason: str) -> str:
    if reason == UNREADABLE:
        return "its names cannot be read"
    return f"{reason}, {REASONS[Reason[reason]]}"


def _print_hosts(out: Output, summary: Summary) -> None:
    if not summary.hosts:
        return
    out.line()
    out.line(Cell("outside of the pins", "bold red"))
    for host, seen in list(summary.hosts.items())[:_HOSTS_MAX]:
        name = shortened(host, _NAME_MAX) or "no host"
        out.line("  ", Cell(name, "bold"), f"  {counted(seen.num)}")
        for key, one in list(seen.keys.items())[:_KEYS_MAX]:
            out.line("    ", Cell(pin_text(key)))
            where = f"{counted(one.num)}, first in {one.source}, row {one.row}"
            out.hanging(f"      {printable(where)}", "dim", 6)
        if len(seen.keys) > _KEYS_MAX:
            out.line(Cell("    more keys; --json has the first", "dim"))
    if (more := len(summary.hosts) - _HOSTS_MAX) > 0:
        out.line(Cell(f"  {counted(more, 'host')} {_MORE}", "dim"))


def _print_pins(out: Output, pins: Sequence[PinSeen]) -> None:
    if not pins:
        return
    out.line()
    out.line(Cell("pins", "bold"))
    # Those without a certificate first: nobody may have their keys any more.
    for seen in sorted(pins, key=lambda one: one.num > 0)[:_PINS_MAX]:
        out.line("  ", Cell(str(seen.pin)))
        names = ", ".join(seen.patterns[:_PATTERNS_MAX])
        more = len(seen.patterns) - _PATTERNS_MAX
        names += f" and {more:,} more" if more > 0 else ""
        text = f"    {printable(names)}: {_text_of(seen)}"
        out.hanging(text, "" if seen.num else "bold yellow", 4)
    if (more := len(pins) - _PINS_MAX) > 0:
        out.line(Cell(f"  {counted(more, 'pin')} {_MORE}", "dim"))


def _text_of(seen: PinSeen) -> str:
    if not seen.num:
        return "never seen"
    if seen.first_end is None or seen.last_end is None:
        return counted(seen.num)
    first, last = day(seen.first_end), day(seen.last_end)
    if first == last:
        ends = f"{'ends' if seen.num == 1 else 'end'} on {first}"
    else:
        ends = f"end from {first} to {last}"
    return f"{counted(seen.num)}, which {ends}"


# ---- for programs ------------------------------------------------------------


def as_json(summary: Summary, policy: Policy) -> dict[str, Any]:
    """Return the summary in values of JSON."""
    return {
        "digest": policy.digest.hex(),
        "complete": summary.num_faults == 0,
        "rows": summary.rows,
        "null": summary.nulls,
        "malformed": summary.malformed,
        "first_malformed": _place(summary.first_malformed),
        "no_rule": summary.no_rule,
        "accepted": summary.accepted,
        "unmatched": dict(sorted(summary.unmatched.items())),
        "rejected": dict(sorted(summary.rejected.items())),
        "outside": [_host(host, seen) for host, seen in summary.hosts.items()],
        "more_outside": summary.more_hosts,
        "pins": [_pin(seen) for seen in summary.pins.values()],
        "never_seen": [
            str(seen.pin)
            for seen in summary.pins.values()
            if not (seen.num or seen.only_ca)
        ],
        "left_out": summary.left_out,
        "faults": summary.faults,
        "more_faults": summary.num_faults - len(summary.faults),
    }


def _place(first: tuple[str, int] | None) -> dict[str, Any] | None:
    return None if first is None else {"source": first[0], "row": first[1]}


def _host(host: str, seen: HostSeen) -> dict[str, Any]:
    keys = [
        {
            "pin": pin_text(key),
            "certificates": one.num,
            "source": one.source,
            "row": one.row,
        }
        for key, one in seen.keys.items()
    ]
    return {
        "host": host or None,
        "certificates": seen.num,
        "keys": keys,
        "under_more_keys": seen.more,
    }


def _pin(seen: PinSeen) -> dict[str, Any]:
    return {
        "pin": str(seen.pin),
        "rules": seen.patterns,
        "certificates": seen.num,
        "first_end": None if seen.first_end is None else day(seen.first_end),
        "last_end": None if seen.last_end is None else day(seen.last_end),
    }
