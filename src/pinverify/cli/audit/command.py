"""`pinverify audit`: read, judge, count, and write what was found."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.audit.findings_file import FindingsFile, is_findings
from pinverify.cli.audit.inputs import NEEDS_PYARROW, Inputs, has_pyarrow
from pinverify.cli.audit.judge import Judge
from pinverify.cli.audit.plot import drawing, is_plot
from pinverify.cli.audit.rows import Fault
from pinverify.cli.audit.shown import as_json, counted, print_summary
from pinverify.cli.audit.summary import Summary
from pinverify.cli.check import load
from pinverify.cli.compile import check_target, replace_file, replacing
from pinverify.cli.output import NoAnswerError
from pinverify.errors import PinverifyError
from pinverify.policy import PinSet
from pinverify.policy._printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pinverify.cli.audit.rows import Wanted
    from pinverify.cli.output import Output
    from pinverify.policy import Rules

__all__ = ["Request", "audit_inputs"]

_FOUND, _INCOMPLETE, _UNMATCHED = 1, 2, 3
_TOLD_MAX = 100
_STEP = 1 << 20


class _UnreadError(PinverifyError):
    """Raised if nothing could be read: a line for each fault."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class Request(NamedTuple):
    """The arguments and options of the command.

    Attributes:
        inputs: files, folders and pipes.
        policy: judges.
        policy_format: its format.
        host: of the pins, for a format that does not name it.
        columns: of tables.
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

    Files are written, or replaced, when all is done.

    Args:
        out: gets the summary, and on stderr what could not be read.
        request: the arguments and options.

    Raises:
        PolicyError: the policy has mistakes.
        NoAnswerError: there is no certificate, or a file cannot be written.
    """
    _check_outputs(request)
    policy = load(out, request.policy, request.policy_format, request.host)
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
    """Print the files that were written."""
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
    """Judge batch after batch."""
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
    """Return a function that takes bytes, and makes a step for each mebibyte."""
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
    """Warn of rules that a leaf alone never matches."""
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
    """Return the exit code: an audit that is not complete comes first."""
    if summary.num_faults:
        return _INCOMPLETE
    if summary.malformed or summary.rejected:
        return _FOUND
    return _UNMATCHED if summary.unmatched else 0
