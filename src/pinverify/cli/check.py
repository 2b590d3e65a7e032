"""`pinverify check`: compare a server's key with pins or a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.cli.exit_codes import ACCEPTED_UNMATCHED, REJECTED
from pinverify.cli.output import Cell, NoAnswerError, Output
from pinverify.cli.policy_files import policy_from
from pinverify.cli.servers import (
    Server,
    connect,
    connection_problem,
    context_for,
    verified_chain,
)
from pinverify.errors import PolicyError, shortened
from pinverify.policy import PinningError, PinSet, Policy, Reason, Report
from pinverify.policy._certs_and_pins import key_pin
from pinverify.policy._policy import handle_of
from pinverify.review._certificates import facts
from pinverify.tls import pin_context

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pinverify.cli.shared_options import Way
    from pinverify.review._certificates import Facts, Role

__all__ = [
    "RESULTS",
    "Checked",
    "as_json",
    "check_one",
    "check_server",
    "exit_code_of",
    "reason_text",
    "rule_text",
]


def check_server(  # noqa: PLR0913 - one per option
    out: Output,
    address: str,
    *,
    pins: Sequence[str],
    policy_file: str | None,
    policy_format: str,
    host: str | None,
    way: Way,
) -> None:
    """Connect, check the pins, and print the decision with its reason.

    Args:
        out: gets the decision.
        address: the server, as a user writes it.
        pins: the pins to expect, if there is no policy file.
        policy_file: a policy file.
        policy_format: its format, as in `pinverify.load_policy`.
        host: the host of the pins, for a format that does not name it.
        way: how the server is reached.
    """
    context = context_for(way)
    server = Server.parse(address, way)
    policy = (
        _policy(server, pins)
        if policy_file is None
        else policy_from(out, policy_file, policy_format, host)
    )
    with out.progress(f"connecting to {server}"):
        checked = check_one(server, pin_context(context, policy), way)
    out.exit_code = checked.exit_code
    said = [facts(cert) for cert in checked.chain]
    answer = _answer(server, checked, said)
    if out.as_json:
        out.json(answer)
    else:
        _print(out, answer, rule_text(policy, checked.report), [s.role for s in said])


class Checked(NamedTuple):
    """The decision about a server.

    Attributes:
        report: the decision.
        chain: the verified chain; empty after a rejection.
        message: the text of a rejection.
    """

    report: Report
    chain: list[bytes]
    message: str

    @property
    def exit_code(self) -> int:
        """The exit code for this server alone."""
        return exit_code_of(self.report)


def check_one(server: Server, context: ssl.SSLContext, way: Way) -> Checked:
    """Connect to a server with a pinned context, and return the decision.

    Raises:
        NoAnswerError: there is no decision: no connection, or no valid certificate.
    """
    message = ""
    chain: list[bytes] = []
    try:
        with connect(server, context, way) as tls:
            chain = verified_chain(tls)
            report: Report | None = getattr(tls, "pin_report", None)
    except PinningError as error:
        report, message = error.report, str(error)
    except OSError as error:
        raise NoAnswerError(connection_problem(server, error, way)) from error
    if report is None:  # without a decision, the server counts as rejected
        raise NoAnswerError(message or f"{server} was not checked", REJECTED)
    return Checked(report, chain, message)


def _policy(server: Server, pins: Sequence[str]) -> Policy:
    """Return a policy for one server, so that messages name the server."""
    try:
        pinset = PinSet(pins)
    except PolicyError as error:
        msg = f"--pin: {str(error).removeprefix('pins: ')}"
        raise NoAnswerError(msg) from error
    return Policy({server.host: pinset})


# ---- decisions in words ------------------------------------------------------


def exit_code_of(report: Report) -> int:
    """Return the exit code for one decision."""
    if not report.accepted:
        return REJECTED
    return 0 if report.reason is Reason.MATCH else ACCEPTED_UNMATCHED


RESULTS = {
    0: Cell("accepted", "bold green"),
    REJECTED: Cell("rejected", "bold red"),
    ACCEPTED_UNMATCHED: Cell("accepted without a match", "bold yellow"),
}

_REASONS = {
    Reason.MISMATCH: "a list of pins does not match",
    Reason.MATCH: "every list of pins matches",
    Reason.NOT_PINNED: "no rule pins this host",
    Reason.EXPIRED: "the pins of the rule have expired",
    Reason.NO_CERTIFICATE: "the server showed no certificate",
    Reason.MALFORMED: "a certificate is not strict DER",
    Reason.BLOCKED: "a blocked key or certificate is in the chain",
    Reason.BAD_HOST: "neither a host name nor an address",
    Reason.NOT_CHECKED: "the server was not checked",
}


def reason_text(reason: Reason) -> str:
    """Return the name of a reason and its meaning."""
    return f"{reason.name}, {_REASONS[reason]}"


_AFTER_NO_MATCH = {
    Reason.NOT_PINNED: (
        "nothing was compared: add a rule for this name, or ask for one that has a "
        "rule (--servername)"
    ),
    Reason.EXPIRED: "deploy a policy with today's pins and a later expiry",
}
_AFTER_NO_MATCH |= dict.fromkeys(
    set(Reason) - _AFTER_NO_MATCH.keys(),
    "in report mode it is accepted all the same; `pinverify explain` compares the pins "
    "of the rule with the chain",
)
"""The next step after an acceptance without a match."""


def _answer(server: Server, checked: Checked, said: list[Facts]) -> dict[str, Any]:
    """Return the answer in JSON: the decision, the chain behind it, the message."""
    report, chain, message = checked
    shown = [
        {"pin": key_pin(cert), "subject": one.subject or None}
        for cert, one in zip(chain, said, strict=True)
    ]
    decided = as_json(report)
    return {
        "server": str(server),
        **decided,
        "chain": shown or [{"pin": key, "subject": None} for key in decided["chain"]],
        "message": message or None,
    }


def as_json(report: Report) -> dict[str, Any]:
    """Return a decision in JSON, without the peer, which the caller names."""
    decided = report.to_dict()
    for name in ("side", "peer", "peer_address", "resumed"):
        del decided[name]
    return decided


def rule_text(policy: Policy, report: Report) -> str:
    """Return the rule that decided, in words."""
    mode = ", report mode" if report.mode == "report" else ""
    if report.rule is None and handle_of(policy).ignores_hosts:
        return f"clients, whose pins are for every peer if no rule names a host{mode}"
    return (report.rule or "none") + mode


def _print(
    out: Output, answer: dict[str, Any], rule: str, roles: list[Role | None]
) -> None:
    reason = Reason[answer["reason"]]
    rows = [
        ("server", Cell(answer["server"])),
        ("result", RESULTS[out.exit_code]),
        ("reason", Cell(reason_text(reason))),
        ("rule", Cell(rule)),
    ]
    if answer["matched"] is not None:
        rows.append(("pin", Cell(f"{answer['matched']} at depth {answer['depth']}")))
    rows.append(("digest", Cell(answer["digest"])))
    if answer["accepted"] and reason is not Reason.MATCH:
        rows.append(("next", Cell(_AFTER_NO_MATCH[reason])))
    out.fields(rows)
    out.line()
    if answer["message"]:  # the message shows the chain
        out.message(answer["message"])
    else:
        table = _chain_table(answer, roles, wide=True)
        if not out.fits(*table):
            table = _chain_table(answer, roles, wide=False)
        out.table(*table)


def _chain_table(
    answer: dict[str, Any], roles: list[Role | None], *, wide: bool
) -> tuple[list[str], list[list[Cell]]]:
    subjects = [shortened(c["subject"] or "", len(c["pin"])) for c in answer["chain"]]
    rows = []
    for depth, role in enumerate(roles):
        pin, subject = answer["chain"][depth]["pin"], subjects[depth]
        cells = [Cell("leaf" if depth == 0 else role or ""), Cell(pin), Cell("")]
        if depth == answer["depth"]:
            cells[2] = Cell(answer["reason"], "bold")
        if wide:
            cells.append(Cell(subject))
        else:
            cells[1] = Cell(f"{pin}\n{subject}")
        rows.append(cells)
    header = ["certificate", "pin of its key", "decides"]
    return [*header, "subject"] if wide else header, rows
