"""`pinverify check`: compare a server's key with pins or a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.cli.output import Cell, NoAnswerError, Output
from pinverify.cli.servers import Server, connection_problem, verified_chain
from pinverify.cli.x509 import facts
from pinverify.errors import DERError
from pinverify.policy import Pin, PinningError, Reason, Report
from pinverify.policy._message import shortened
from pinverify.tls import create_connection

if TYPE_CHECKING:
    import ssl

    from pinverify.policy import Policy

__all__ = ["ACCEPTED_UNMATCHED", "REJECTED", "check_server"]

REJECTED = 1
ACCEPTED_UNMATCHED = 3


def check_server(
    out: Output,
    server: Server,
    policy: Policy,
    *,
    context: ssl.SSLContext,
    timeout: float,
) -> None:
    """Connect, check the pins, and print the decision with its reason."""
    message = ""
    chain: list[bytes] = []
    try:
        with create_connection(server, policy, timeout=timeout, context=context) as tls:
            report: Report | None = getattr(tls, "pin_report", None)
            chain = verified_chain(tls)
    except PinningError as error:
        report, message = error.report, str(error)
    except OSError as error:
        raise NoAnswerError(connection_problem(server, error, timeout)) from error
    if report is None:  # without a decision: never an acceptance
        raise NoAnswerError(message or f"{server} was not checked", REJECTED)
    if not report.accepted:
        out.exit_code = REJECTED
    elif report.reason is not Reason.MATCH:
        out.exit_code = ACCEPTED_UNMATCHED
    if out.as_json:
        out.json(_as_json(server, report, chain, message))
    else:
        _print(out, server, report, chain, message)


_RESULTS = {
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
    Reason.BAD_HOST: "the host has no canonical form",
    Reason.NOT_CHECKED: "the server was not checked",
}


def _print(
    out: Output, server: Server, report: Report, chain: list[bytes], message: str
) -> None:
    rule = report.rule or "none"
    mode = ", report mode" if report.mode == "report" else ""
    rows = [
        ("server", Cell(str(server))),
        ("result", _RESULTS[out.exit_code]),
        ("reason", Cell(f"{report.reason.name}, {_REASONS[report.reason]}")),
        ("rule", Cell(rule + mode)),
    ]
    if report.matched is not None:
        rows.append(("pin", Cell(f"{report.matched} at depth {report.depth}")))
    rows.append(("digest", Cell(report.digest.hex())))
    out.fields(rows)
    out.line()
    if message:  # it shows the chain
        out.message(message)
    else:
        out.table(*_chain_table(out, report, chain))


def _chain_table(
    out: Output, report: Report, chain: list[bytes]
) -> tuple[list[str], list[list[Cell]]]:
    rows = []
    for depth, cert in enumerate(chain):
        said = facts(cert)
        role = Cell("leaf" if depth == 0 else said.role or "")
        pin = _key_pin(cert)
        subject = shortened(said.subject, len(pin))
        mark = Cell(report.reason.name, "bold") if depth == report.depth else Cell("")
        if out.is_terminal:  # too wide for one line
            rows.append([role, Cell(f"{pin}\n{subject}"), mark])
        else:
            rows.append([role, Cell(pin), mark, Cell(subject)])
    header = ["certificate", "pin of its key", "decides"]
    return header if out.is_terminal else [*header, "subject"], rows


def _key_pin(cert: bytes) -> str:
    try:
        return str(Pin.from_certificate(cert))
    except DERError:
        return "(not strict DER)"


def _as_json(
    server: Server, report: Report, chain: list[bytes], message: str
) -> dict[str, object]:
    return {
        "server": str(server),
        "accepted": report.accepted,
        "reason": report.reason.name,
        "host": report.host,
        "rule": report.rule,
        "mode": report.mode,
        "matched": None if report.matched is None else str(report.matched),
        "depth": report.depth,
        "chain": [
            {"pin": _key_pin(cert), "subject": facts(cert).subject or None}
            for cert in chain
        ]
        or [{"pin": str(pin), "subject": None} for pin in report.chain],
        "digest": report.digest.hex(),
        "detail": report.detail or None,
        "message": message or None,
    }
