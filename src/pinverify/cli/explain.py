"""`pinverify explain`: tell why a policy accepts or rejects a server."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinverify.cli.chain_files import chains_in
from pinverify.cli.check import RESULTS, exit_code_of, reason_text, rule_text
from pinverify.cli.key_sources import is_server
from pinverify.cli.output import Cell, NoAnswerError
from pinverify.cli.policy_files import host_of_pins, loaded_from
from pinverify.cli.servers import Server, chain_of, context_for
from pinverify.errors import printable
from pinverify.policy import Policy, Reason
from pinverify.policy._certs_and_pins import key_pin
from pinverify.policy._pinning_error import subject_line
from pinverify.review import explain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.cli.output import Output
    from pinverify.cli.shared_options import Way
    from pinverify.review import Explanation, Hit

__all__ = ["explain_server"]


def explain_server(  # noqa: PLR0913 - one per option
    out: Output,
    address: str,
    *,
    policy_file: str,
    policy_format: str,
    host: str | None,
    way: Way,
) -> None:
    """Get the chain of a server, and print the reasons of the decision about it.

    The arguments are those of `check_server`.
    """
    context = context_for(way)
    name: object = address
    if is_server(address):
        name = server = Server.parse(address, way)
        policy = Policy(loaded_from(out, Path(policy_file), policy_format, host).rules)
        with out.progress(f"connecting to {server}"):
            chain = chain_of(server, context, way)
        peer = server.host
    else:
        given = host_of_pins(policy_format, host)
        policy = Policy(loaded_from(out, Path(policy_file), policy_format, given).rules)
        chains = chains_in(address, policy.rules, host)
        if len(chains) > 1:
            msg = f"{address}: for {', '.join(chains)}: name one of them (--host)"
            raise NoAnswerError(msg)
        ((peer, chain),) = chains.items()
    authorities = context.get_ca_certs(binary_form=True)
    told = explain(policy, peer, chain, authorities=authorities)
    out.exit_code = exit_code_of(told.report)
    if out.as_json:
        out.json(_as_json(str(name), chain, told))
    else:
        _print(out, str(name), chain, told, rule_text(policy, told.report))


def _as_json(server: str, chain: Sequence[bytes], told: Explanation) -> dict[str, Any]:
    return {
        "server": server,
        "accepted": told.report.accepted,
        "reason": told.report.reason.name,
        "candidates": told.candidates,
        "others": told.others,
        "chain": [{"pin": key_pin(c), "subject": subject_line(c)} for c in chain],
        "hits": [{**hit._asdict(), "pin": str(hit.pin)} for hit in told.hits],
        "findings": [finding._asdict() for finding in told.findings],
    }


def _print(
    out: Output, server: str, chain: Sequence[bytes], told: Explanation, rule: str
) -> None:
    reason = told.report.reason
    rows = [
        ("server", Cell(printable(server))),
        ("result", RESULTS[out.exit_code]),
        ("reason", Cell(reason_text(reason))),
        ("rule", Cell(rule)),
    ]
    for pattern in told.candidates[1:]:
        also = ", and its pins match" if pattern in told.others else ""
        rows.append(("no say", Cell(f"{pattern}, a wider rule{also}")))
    out.fields(rows)
    out.line()
    for depth, cert in enumerate(chain):
        subject = subject_line(cert) or "without a subject"
        out.hanging(subject, indent=2, beginning=Cell(f"certificate {depth}  "))
        out.line("  ", Cell(key_pin(cert), "dim"))
    out.line()
    _print_hits(out, told.hits)
    for finding in told.findings:
        out.hanging(
            f"{finding.level} {finding.code}: {printable(finding.text)}", indent=2
        )
    if reason is Reason.MISMATCH and told.others:
        text = (
            f"the pins of {told.others[0]} match, but {told.candidates[0]} decides "
            "alone; add the pins to it, or remove it"
        )
        out.hanging(text, indent=2)


def _print_hits(out: Output, hits: Sequence[Hit]) -> None:
    """Print each place in the chain, and below it the pins of the rule found there."""
    width = max((len(hit.name) for hit in hits), default=0)
    last: tuple[str, tuple[int, ...]] | None = None
    for hit in hits:
        at = ", ".join(map(str, hit.depths))
        if hit.counts:
            where = Cell(
                f"certificate {at}",
                "bold red" if hit.name == "blocked" else "bold green",
            )
        elif hit.depths:
            where = Cell(f"certificate {at}: no match", "bold yellow")
        else:
            where = Cell("not in the chain", "dim")
        if last != (hit.name, hit.depths):
            out.line(f"{hit.name:<{width}}  ", where)
        out.line("  ", Cell(str(hit.pin), "dim"))
        last = hit.name, hit.depths
    if hits:
        out.line()
