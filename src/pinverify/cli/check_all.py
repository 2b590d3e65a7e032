"""`pinverify check` without a server: check all hosts of a policy in parallel."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from pinverify.cli.check import RESULTS, Checked, as_json, check_one, reason_text
from pinverify.cli.exit_codes import worst_of
from pinverify.cli.output import Cell, NoAnswerError
from pinverify.cli.policy_files import policy_from
from pinverify.cli.servers import Server, context_for, default_port
from pinverify.core._hosts import split_pattern
from pinverify.errors import printable
from pinverify.policy import PinSet
from pinverify.tls import pin_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pinverify.cli.output import Output
    from pinverify.cli.shared_options import Way
    from pinverify.policy import Rules

__all__ = ["check_policy"]

_THREADS = 16


def check_policy(  # noqa: PLR0913 - one per option
    out: Output,
    policy_file: str,
    *,
    policy_format: str,
    host: str | None,
    port: int | None,
    problems_only: bool,
    way: Way,
) -> None:
    """Check every host that a policy pins by name, and print a table.

    Args:
        out: gets the table, and the exit code of the worst server.
        policy_file: the policy.
        policy_format: its format.
        host: the host of the pins, for a format that does not name it.
        port: the port of all servers; None for the usual one.
        problems_only: leave out servers where a pin matches.
        way: how the servers are reached.

    Raises:
        NoAnswerError: the policy pins no host by its name.
    """
    context = context_for(way)
    policy = policy_from(out, policy_file, policy_format, host)
    names, left_out = _named_hosts(policy.rules)
    if not names:
        msg = f"{policy_file}: no rule pins a host by its name; name a SERVER to check"
        raise NoAnswerError(msg)
    number = default_port(way) if port is None else port
    servers = [Server.named(name, number, way) for name in names]
    pin_context(context, policy)
    answers = _ask(out, servers, context, way)
    out.exit_code = worst_of(answer.exit_code for answer in answers)
    both = list(zip(servers, answers, strict=True))
    if problems_only:
        both = [(server, answer) for server, answer in both if answer.exit_code]
    if out.as_json:
        shown = [_as_json(server, answer) for server, answer in both]
        out.json({"servers": shown, "left_out": left_out, "checked": len(servers)})
        return
    if problems_only and not both:
        out.line(f"a pin matches at all of the servers: {len(servers):,}")
    else:
        _print(out, both)
    if left_out:
        out.line()
        text = f"not checked, because they name no host: {', '.join(left_out)}"
        out.hanging(printable(text), indent=2)


def _named_hosts(rules: Rules) -> tuple[list[str], list[str]]:
    """Return the hosts that are pinned by name, and the patterns that name no host.

    ``**.NAME`` counts as a rule for one host, which is NAME.
    """
    names: set[str] = set()
    left_out = []
    for pattern, value in sorted(rules.hosts.items()):
        if isinstance(value, PinSet):
            wildcard, name = split_pattern(pattern)
            if wildcard == "*.":
                left_out.append(pattern)
            elif isinstance(rules.hosts.get(name, value), PinSet):
                names.add(name)
    return sorted(names), left_out


def _ask(
    out: Output, servers: Sequence[Server], context: ssl.SSLContext, way: Way
) -> list[Checked | NoAnswerError]:
    """Return the decision about each server, or why there is none; ask in parallel."""

    def ask(server: Server) -> Checked | NoAnswerError:
        try:
            return check_one(server, context, way)
        except NoAnswerError as error:
            return error

    answers = []
    with (
        out.progress("checking", len(servers)) as step,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        try:
            for answer in pool.map(ask, servers):
                answers.append(answer)
                step()
        except BaseException:  # also on Ctrl-C: start none that still waits
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return answers


def _as_json(server: Server, answer: Checked | NoAnswerError) -> dict[str, Any]:
    if isinstance(answer, NoAnswerError):
        return {"server": str(server), "error": str(answer)}
    message = answer.message or None
    return {"server": str(server), **as_json(answer.report), "message": message}


def _print(out: Output, both: Sequence[tuple[Server, Checked | NoAnswerError]]) -> None:
    rows = []
    errors, rejections = [], []
    for server, answer in both:
        if isinstance(answer, NoAnswerError):
            result, why = Cell("no answer", "bold yellow"), ""
            errors.append(str(answer))
        else:
            result = RESULTS[answer.exit_code]
            why = reason_text(answer.report.reason)
            if answer.message:
                rejections.append(answer.message)
        rows.append([Cell(printable(str(server))), result, Cell(why)])
    out.table(["server", "result", "reason"], rows)
    for text in errors:
        out.line()
        out.hanging(printable(text), indent=2)
    for text in rejections:
        out.line()
        out.message(text)
