"""`pinverify audit`: read, judge, count, and write what was found."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from pinverify.audit._findings_file import FindingsFile, is_findings
from pinverify.audit._inputs import NEEDS_PYARROW, Inputs, has_pyarrow
from pinverify.audit._judge import Judge
from pinverify.audit._plot import drawing, is_plot
from pinverify.audit._rows import Fault
from pinverify.audit._summary import (
    UNREADABLE,
    Summary,
    as_json,
    counted,
    day,
    pin_text,
)
from pinverify.cli.check import reason_text
from pinverify.cli.exit_codes import ACCEPTED_UNMATCHED, FOUND, NO_ANSWER
from pinverify.cli.output import Cell, NoAnswerError
from pinverify.cli.policy_files import policy_from
from pinverify.cli.written_files import check_target, replace_file, replacing
from pinverify.errors import PinverifyError, printable, shortened
from pinverify.policy import PinSet, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from pinverify.audit._rows import Wanted
    from pinverify.audit._summary import PinSeen
    from pinverify.cli.output import Output
    from pinverify.policy import Rules

__all__ = ["Request", "audit_inputs"]

_TOLD_MAX = 100
_STEP = 1 << 20


class _UnreadError(PinverifyError):
    """Raised if nothing could be read; it has one line for each fault."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Request(NamedTuple):
    """The arguments and options of the command.

    Attributes:
        inputs: files, folders and pipes.
        policy: the policy file.
        policy_format: its format.
        host: the host of the pins, for a format that does not name it.
        columns: the columns to read in tables.
        findings: a Parquet file to write, or None.
        plot: an SVG to write, or None.
    """

    inputs: Sequence[Path]
    policy: Path
    policy_format: str
    host: str | None
    columns: Wanted
    findings: Path | None
    plot: Path | None


def audit_inputs(out: Output, request: Request) -> None:
    """Judge every certificate of the inputs, and print a summary.

    The findings and the plot are written, or replaced, after the last certificate.

    Args:
        out: gets the summary; what could not be read goes to stderr.
        request: the arguments and options.

    Raises:
        PolicyError: the policy has mistakes.
        NoAnswerError: there is no certificate, or a file cannot be written.
    """
    _check_outputs(request)
    policy = policy_from(out, request.policy, request.policy_format, request.host)
    rules = policy.rules
    _warn_of_chains(out, rules)
    summary = Summary(rules)
    outputs = [path for path in (request.findings, request.plot) if path is not None]
    inputs = Inputs(request.inputs, request.columns, outputs)
    with contextlib.ExitStack() as stack:
        sink = None
        if request.findings is not None:
            file = stack.enter_context(replacing(request.findings))
            sink = stack.enter_context(FindingsFile(file))
        _run(out, inputs, Judge(policy, rules, summary), summary, sink)
        summary.left_out = inputs.left_out
        if not summary.rows:
            raise _nothing_read(request, summary)
        if any(request.columns) and not inputs.num_tables:
            option = "--certificates" if request.columns.certificates else "--hosts"
            msg = f"{option} has no effect without a table; leave {option} out"
            raise NoAnswerError(msg)
    if request.plot is not None:
        replace_file(request.plot, drawing(summary).encode())
    for text in summary.faults[:_TOLD_MAX]:
        out.fail(text)
    if (more := summary.num_faults - _TOLD_MAX) > 0:
        out.fail(f"{counted(more, 'more fault')}; --json has the first")
    out.exit_code = _exit_code(summary)
    if out.as_json:
        out.json(as_json(summary, policy))
    else:
        print_summary(out, summary)
        _tell_written(out, request, summary)


def _tell_written(out: Output, request: Request, summary: Summary) -> None:
    """Print the names of the files that were written."""
    written = []
    if request.findings is not None:
        num = summary.malformed + summary.rejected.total() + summary.unmatched.total()
        written.append(f"{counted(num, 'finding')} in {request.findings}")
    if request.plot is not None:
        written.append(f"the drawing in {request.plot}")
    for text in written[:1]:
        out.line()
        out.hanging(printable("; ".join([text, *written[1:]])))


def _run(
    out: Output,
    inputs: Inputs,
    judge: Judge,
    summary: Summary,
    sink: FindingsFile | None,
) -> None:
    """Judge the inputs batch after batch."""
    size = inputs.size
    total = None if size is None else size // _STEP + 1
    with out.progress("auditing", total) as step:
        for item in inputs.read(_in_steps(step)):
            if isinstance(item, Fault):
                summary.add_fault(str(item))
                continue
            for found in judge.findings(item):
                if sink is not None:
                    sink.add(found)


def _in_steps(step: Callable[[], None]) -> Callable[[int], None]:
    """Return a function that counts bytes and makes a step for each mebibyte."""
    left = 0

    def moved(num: int) -> None:
        nonlocal left
        left += num
        while left >= _STEP:
            left -= _STEP
            step()

    return moved


def _check_outputs(request: Request) -> None:
    if request.findings is not None and not has_pyarrow():
        msg = f"-o {NEEDS_PYARROW}"
        raise NoAnswerError(msg)
    if request.findings is not None and request.findings == request.plot:
        msg = f"{request.plot}: -o and --plot name the same file; name two"
        raise NoAnswerError(msg)
    sources = [request.policy, *request.inputs]
    folders = [path for path in request.inputs if path.is_dir()]
    for target, is_ours, option in (
        (request.findings, is_findings, "-o"),
        (request.plot, is_plot, "--plot"),
    ):
        if target is None:
            continue
        if str(target) == "-":
            msg = "-: name a file; the summary goes to stdout"
            raise NoAnswerError(msg)
        files = [path for path in sources if path.is_file()]
        check_target(target, *files, option=option)
        inside = any(target.resolve().is_relative_to(one.resolve()) for one in folders)
        if inside and target.exists() and not is_ours(target):
            msg = f"{target} is in a folder that is an input; name another file"
            raise NoAnswerError(msg)


def _warn_of_chains(out: Output, rules: Rules) -> None:
    """Warn of rules that never match a leaf without its chain."""
    found = [
        name for name, one in rules.hosts.items() if isinstance(one, PinSet) and one.ca
    ]
    if found:
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        out.warn(
            f"{found[0]}{more}: the rule has pins in ca, and a certificate without its "
            "chain never matches these, so each is a finding; audit with a policy "
            "that pins leaves"
        )


def _nothing_read(request: Request, summary: Summary) -> Exception:
    """Return the error for inputs without any row."""
    if summary.num_faults:
        return _UnreadError(summary.faults[:_TOLD_MAX])
    named = ", ".join(map(str, request.inputs))
    return NoAnswerError(
        f"{named}: nothing to audit; give a table, certificates in DER or PEM, data "
        "tiles of a log, or a folder of these"
    )


def _exit_code(summary: Summary) -> int:
    """Return the exit code; an incomplete audit outweighs any finding."""
    if summary.num_faults:
        return NO_ANSWER
    if summary.malformed or summary.rejected:
        return FOUND
    return ACCEPTED_UNMATCHED if summary.unmatched else 0


# ---- the summary -------------------------------------------------------------

_HOSTS_MAX = 20
_KEYS_MAX = 3
_PINS_MAX = 50
_PATTERNS_MAX = 3
_NAME_MAX = 60
_MORE = "more; --json has them"


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
    """Yield result, style, reason and number of each row whose number is not 0."""
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
    return reason_text(Reason[reason])


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
    # Pins without a certificate come first: perhaps nobody has their keys any more.
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
