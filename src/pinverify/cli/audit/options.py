"""The options of the command `audit`; command.py runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pinverify.cli.options import existing_file, format_option, host_option, json_option

if TYPE_CHECKING:
    from pinverify.cli.output import Output

__all__ = ["audit"]


@click.command(
    epilog="Exit codes: 0 every certificate with a rule matches; 1 findings; 2 wrong "
    "usage, or a part of the input could not be read; 3 none but certificates that are "
    "accepted without a match (report mode, expired)."
)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(exists=True)
)
@click.option(
    "--policy", type=existing_file, required=True, metavar="FILE", help="A policy file."
)
@format_option
@host_option
@click.option(
    "--certificates",
    metavar="COLUMN",
    help="Column of tables with certificates, if it has no usual name.",
)
@click.option(
    "--hosts",
    metavar="COLUMN",
    help="Column of tables with hosts, if it has no usual name.",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    metavar="FILE",
    help="Parquet file for the findings, replaced as a whole.",
)
@click.option(
    "--plot",
    type=click.Path(),
    metavar="FILE",
    help="SVG of keys over time, replaced as a whole.",
)
@json_option
@click.pass_obj
def audit(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    inputs: tuple[str, ...],
    policy: str,
    policy_format: str,
    host: str | None,
    certificates: str | None,
    hosts: str | None,
    target: str | None,
    plot: str | None,
) -> None:
    """Compare the keys of many certificates with a policy.

    An INPUT is a table (Parquet, Arrow IPC, CSV), a file in DER or PEM, a data tile of
    a Certificate Transparency log, or a folder of these. Without a column of hosts,
    the names of each certificate that have a rule are judged.
    """
    from pathlib import Path

    from pinverify.cli.audit.command import Request, audit_inputs
    from pinverify.cli.audit.rows import Wanted

    request = Request(
        [Path(one) for one in inputs],
        Path(policy),
        policy_format,
        host,
        Wanted(certificates, hosts),
        None if target is None else Path(target),
        None if plot is None else Path(plot),
    )
    audit_inputs(out, request)
