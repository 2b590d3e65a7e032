"""The commands and their options; their exit codes are in exit_codes.py."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from pinverify._version import __version__
from pinverify.cli.exit_codes import NOT_SHOWN, WRONG_USE
from pinverify.cli.output import (
    NoAnswerError,
    Output,
    do_not_log_rejections,
    in_one_line,
)
from pinverify.cli.shared_options import (
    WAY,
    Way,
    allow_option,
    cafile_option,
    existing_file,
    format_of,
    format_option,
    formats_of_text,
    host_option,
    json_option,
    one_of,
    policy_option,
    position_option,
    readable_formats,
    refuse_ignored,
    refuse_needless_host,
    timeout_option,
    way_options,
    writable_formats,
)
from pinverify.cli.spellings import SPELLINGS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._losses import Position

__all__ = ["commands"]

_WORDS = "pinverify.words"  # key of the words of the command line


class Commands(click.Group):
    """Group of commands that end with an exit code and at most one line on stderr."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command."""
        ctx.meta[_WORDS] = tuple(args)
        with _in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command."""
        with _in_one_line(ctx) as out:
            super().invoke(ctx)
            sys.stdout.flush()
        ctx.exit(out.exit_code)


@contextlib.contextmanager
def _in_one_line(ctx: click.Context) -> Iterator[Output]:
    """Turn exceptions into one line on stderr and an exit code."""
    out = ctx.ensure_object(Output)
    with in_one_line(out):
        try:
            yield out
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else ctx.command_path
            problem = error.format_message().rstrip(".")
            # `--json` may come after the mistake; then it has not been read yet.
            out.as_json = out.as_json or "--json" in ctx.meta.get(_WORDS, ())
            end = " See" if problem.endswith("?") else "; see"
            msg = f"{problem}{end} {command} --help"
            raise NoAnswerError(msg) from error


# ---- the commands ------------------------------------------------------------

# Each command imports what it needs when it runs: imports take most of the time of
# `--version`, and of printing the pins of a file.


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="%(prog)s %(version)s")
@click.pass_context
def commands(ctx: click.Context) -> None:
    """Print and check the pins of TLS servers, and compile policies.

    Pins add to certificate validation and never replace it.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(WRONG_USE)


@commands.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--format",
    "spelling",
    type=click.Choice(list(SPELLINGS)),
    metavar="SPELLING",
    help=f"Print only this spelling, one per line; for a server only the leaf's. "
    f"{', '.join(SPELLINGS)}.",
)
@click.option("--pem", is_flag=True, help="Print the certificates and keys as PEM.")
@click.option(
    "--stanza",
    callback=format_of(formats_of_text),
    metavar="FORMAT",
    help="Print a policy for the servers; keys in files are their backups.",
)
@click.option(
    "--host", metavar="PATTERN", help="Host of that policy, if no server names it."
)
@position_option
@allow_option
@way_options
@json_option
@click.pass_obj
def pin(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    sources: tuple[str, ...],
    spelling: str | None,
    pem: bool,  # noqa: FBT001 - click's
    stanza: str | None,
    host: str | None,
    position: Position | None,
    allow: tuple[str, ...],
    way: Way,
) -> None:
    """Print the pins of servers, certificates and public keys.

    Each pin is printed in every usual spelling. A SOURCE is a server (host, host:port,
    https://host), a file (PEM with any number of certificates, requests and public
    keys, or DER), or - for stdin. A name that could be either is a file if such a file
    exists; ./NAME is always a file, and HOST:443 is always a server.
    """
    if out.as_json:
        only_for_people = ("spelling", "pem", "stanza", "host", "position", "allow")
        refuse_ignored("with --json", *only_for_people)
    elif stanza is not None:
        refuse_ignored("with --stanza", "spelling", "pem")
    else:
        refuse_ignored("without --stanza", "host", "position", "allow")
    if pem:
        refuse_ignored("with --pem", "spelling")
    if stanza is None:
        from pinverify.cli.pin import print_pins

        print_pins(out, sources, way, spelling=spelling, pem=pem)
        return
    from pinverify.cli.stanza import print_stanza  # formats, which others do not need

    print_stanza(
        out,
        sources,
        way,
        policy_format=stanza,
        host=host,
        position=position,
        allow=allow,
    )


@commands.command(
    epilog="Exit codes: 0 a pin matches; 1 rejected; 2 wrong usage, no connection, or "
    "no valid certificate; 3 accepted although no pin matched (no rule, expired, "
    "report mode). Of several servers or policies the first of 1, 2, 3 that one has."
)
@click.argument("server", required=False)
@click.option(
    "--pin", "pins", multiple=True, metavar="PIN", help="A pin; repeat for several."
)
@click.option(
    "--policy",
    "policies",
    type=existing_file,
    multiple=True,
    metavar="FILE",
    help="A policy file; with --chain repeat for all that are in force anywhere.",
)
@click.option(
    "--chain",
    metavar="FILE",
    help="Judge this before it is deployed: a chain, a request or a public key.",
)
@format_option
@click.option(
    "--host",
    metavar="NAME",
    help="Host of the pins, where a file of the format does not name it; with --chain "
    "the host to judge for, if not all that the certificate names.",
)
@click.option(
    "--problems-only",
    is_flag=True,
    help="Print no server or host of which a pin matches.",
)
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Port of the servers, if no SERVER is given; 443 without it.",
)
@way_options
@json_option
@click.pass_obj
def check(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    server: str | None,
    pins: tuple[str, ...],
    policies: tuple[str, ...],
    chain: str | None,
    policy_format: str,
    host: str | None,
    problems_only: bool,  # noqa: FBT001 - click's
    port: int | None,
    way: Way,
) -> None:
    """Check a server's key, or its next key, against pins or a policy.

    SERVER is host, host:port or https://host. Without SERVER, every host that the
    policy pins by its name is checked; with --chain, the certificates or the key in a
    file are.
    """
    if chain is not None:
        if pins or server is not None or not policies:
            msg = "--chain is judged by one --policy or more, and without a SERVER"
            raise click.UsageError(msg)
        others = (name for name in WAY if name != "cafile")
        refuse_ignored("with --chain", "port", "problems_only", *others)
        from pinverify.cli.check_next import check_chain

        check_chain(
            out,
            chain,
            policies,
            policy_format=policy_format,
            host=host,
            cafile=way.cafile,
        )
        return
    if len(policies) > 1:
        msg = "several policies judge what is to be deployed: add --chain FILE"
        raise click.UsageError(msg)
    policy = next(iter(policies), None)
    if bool(pins) == (policy is not None):
        msg = "give either --pin (once or more) or --policy"
        raise click.UsageError(msg)
    if server is None and policy is None:
        msg = "give a SERVER; only --policy names servers"
        raise click.UsageError(msg)
    if server is not None and port is not None:
        msg = "--port is for all servers of a policy; write SERVER as host:port"
        raise click.UsageError(msg)
    if pins:
        refuse_ignored("with --pin", "policy_format", "host")
    do_not_log_rejections()
    if server is None and policy is not None:
        refuse_ignored("without SERVER", "servername")
        from pinverify.cli.check_all import check_policy

        check_policy(
            out,
            policy,
            policy_format=policy_format,
            host=host,
            port=port,
            problems_only=problems_only,
            way=way,
        )
        return
    refuse_ignored("with a SERVER", "problems_only")
    from pinverify.cli.check import check_server

    check_server(
        out,
        server or "",
        pins=pins,
        policy_file=policy,
        policy_format=policy_format,
        host=host,
        way=way,
    )


@commands.command(
    epilog="Exit codes: 0 a pin matches; 1 rejected; 2 wrong usage, no connection, or "
    "no valid certificate; 3 accepted although no pin matched."
)
@click.argument("server")
@policy_option
@format_option
@host_option
@way_options
@json_option
@click.pass_obj
def explain(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    server: str,
    policy: str,
    policy_format: str,
    host: str | None,
    way: Way,
) -> None:
    """Tell why a policy accepts or rejects a server.

    It prints the rules that match the server's name, where in the chain each pin is,
    and what is wrong with the rule that decides.
    """
    from pinverify.cli.explain import explain_server

    explain_server(
        out,
        server,
        policy_file=policy,
        policy_format=policy_format,
        host=host,
        way=way,
    )


@commands.command(
    epilog="Exit codes: 0 done; of `check` 1 if there is a mistake, or if a next key "
    "must not be deployed yet; 2 wrong usage, or no answer."
)
@click.argument("action", type=click.Choice(["plan", "check"]))
@click.argument("policy", type=existing_file, metavar="FILE")
@format_option
@click.option("--host", metavar="NAME", help="The host, if the policy pins several.")
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="SERVER",
    help="What is in use: a server, or a file with its chain; repeat for all.",
)
@click.option(
    "--next",
    "made",
    multiple=True,
    type=click.Path(exists=True),
    metavar="PATH",
    help="The next key: a request, a public key, a chain, or a folder of them.",
)
@click.option(
    "--other",
    "others",
    multiple=True,
    type=existing_file,
    metavar="FILE",
    help="A policy from before that may still be in force somewhere; repeat for all.",
)
@click.option(
    "--scrape",
    "scrapes",
    multiple=True,
    type=existing_file,
    metavar="FILE",
    help="What processes export for Prometheus: each policy in it must be named.",
)
@click.option(
    "--days",
    type=click.IntRange(0, 3650),
    default=30,
    show_default=True,
    metavar="DAYS",
    help="No rule may expire in this time: longer than clients are offline.",
)
@cafile_option
@timeout_option
@json_option
@click.pass_obj
def rotate(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    action: str,
    policy: str,
    policy_format: str,
    host: str | None,
    servers: tuple[str, ...],
    made: tuple[str, ...],
    others: tuple[str, ...],
    scrapes: tuple[str, ...],
    days: int,
    cafile: str | None,
    timeout: float,
) -> None:
    """Say which step of a rotation is next, and whether it is safe.

    `plan` prints the step. `check` also fails if a next key must not be deployed yet,
    or if the policy would lock somebody out. FILE is the policy that is, or will be,
    published.
    """
    from pinverify.cli.rotate import Files, rotate_key

    files = Files(
        policy, policy_format, host, servers, made, others, scrapes, cafile, timeout
    )
    rotate_key(out, files, days, to_check=action == "check")


@commands.command("compile")
@click.argument("source", type=existing_file, metavar="FILE")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    required=True,
    metavar="FILE",
    help="File for the compiled policy, replaced as a whole; - for stdout.",
)
@format_option
@host_option
@json_option
@click.pass_obj
def compile_(
    out: Output, source: str, target: str, policy_format: str, host: str | None
) -> None:
    """Compile a policy file."""
    from pathlib import Path

    from pinverify.cli.compile import compile_file

    if target == "-" and out.as_json:
        msg = "--json and -o - would both write to stdout; name a file with -o"
        raise click.UsageError(msg)
    file = None if target == "-" else Path(target)
    compile_file(out, Path(source), file, policy_format, host)


@commands.command(
    epilog="Exit codes: 0 done; 2 wrong usage, a mistake in FILE, or a loss that is "
    "not allowed; 3 done, with losses that --allow names."
)
@click.argument("source_format", callback=format_of(readable_formats), metavar="FROM")
@click.argument("target_format", callback=format_of(writable_formats), metavar="TO")
@click.argument("source", type=existing_file, metavar="FILE")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    metavar="FILE",
    help="File to write, replaced as a whole; without it, or with -, stdout.",
)
@host_option
@position_option
@allow_option
@json_option
@click.pass_obj
def convert(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    source_format: str,
    target_format: str,
    source: str,
    target: str | None,
    host: str | None,
    position: Position | None,
    allow: tuple[str, ...],
) -> None:
    """Convert a policy from the format FROM to the format TO.

    Warnings on stderr name what is lost because TO cannot say it. If the result would
    accept more than the original, nothing is written, unless --allow names the kind of
    the loss. FROM and TO are formats, as in `pinverify convert okhttp toml Pins.kt`;
    they are never guessed.
    """
    from pathlib import Path

    from pinverify.cli.convert import convert_file

    formats = source_format, target_format
    refuse_needless_host(source_format, to_write=target_format)
    file = None if target is None or target == "-" else Path(target)
    convert_file(
        out, formats, Path(source), file, host=host, position=position, allow=allow
    )


@commands.command(
    epilog="Exit codes: 0 no errors; 1 errors, or warnings with --strict; 2 wrong "
    "usage, no such file, or no answer of a server."
)
@click.argument("source", type=existing_file, metavar="FILE")
@format_option
@host_option
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="SERVER",
    help="A server to compare its rule with; repeat for several.",
)
@click.option(
    "--cafile",
    "--bundle",
    "bundle",
    type=existing_file,
    metavar="FILE",
    help="PEM certificates of authorities: to compare all pins with, and to trust.",
)
@timeout_option
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option(
    "--sarif",
    "as_sarif",
    is_flag=True,
    help="Print SARIF, which code hosts show beside the lines of a change.",
)
@json_option
@click.pass_obj
def lint(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    source: str,
    policy_format: str,
    host: str | None,
    servers: tuple[str, ...],
    bundle: str | None,
    timeout: float,
    strict: bool,  # noqa: FBT001 - click's
    as_sarif: bool,  # noqa: FBT001 - click's
) -> None:
    """Find mistakes in a policy file.

    An error is a rule that can never match or rejects nobody; a warning is a rule that
    will break or lapse; a hint is a rule that may not mean what its author meant.
    SERVER is host, host:port or https://host.
    """
    from pathlib import Path

    from pinverify.cli.lint import lint_file

    lint_file(
        out,
        Path(source),
        policy_format,
        host,
        servers=servers,
        way=Way(cafile=bundle, timeout=timeout),
        strict=strict,
        as_sarif=as_sarif,
    )


@commands.command()
@click.argument("source", type=existing_file, metavar="FILE")
@format_option
@host_option
@json_option
@click.pass_obj
def show(out: Output, source: str, policy_format: str, host: str | None) -> None:
    """Print the rules of a policy file, also of a compiled one."""
    from pathlib import Path

    from pinverify.cli.show import show_file

    show_file(out, Path(source), policy_format, host)


@commands.command(
    epilog="Exit codes: 0 both accept the same peers; 1 NEW accepts less; 2 wrong "
    "usage, or a mistake in a file; 3 NEW accepts more, or other peers."
)
@click.argument("old", type=existing_file, metavar="OLD")
@click.argument("new", type=existing_file, metavar="NEW")
@format_option
@click.option(
    "--to",
    "new_format",
    callback=format_of(readable_formats),
    metavar="FORMAT",
    help="Format of NEW, if it is another than that of OLD.",
)
@host_option
@click.option(
    "--in-use",
    metavar="FILE",
    help="The chain or key that is deployed now: tell if it stays accepted.",
)
@json_option
@click.pass_obj
def diff(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    old: str,
    new: str,
    policy_format: str,
    new_format: str | None,
    host: str | None,
    in_use: str | None,
) -> None:
    """Compare what two policies accept.

    It prints what NEW accepts and OLD rejects, and the other way round. It compares the
    decisions for every host and chain from now on, not the words of the rules.
    """
    from pathlib import Path

    from pinverify.cli.diff import diff_files

    formats = policy_format, new_format or policy_format
    if in_use is None:
        refuse_needless_host(*formats)
    diff_files(out, (Path(old), Path(new)), formats, host, in_use)


@commands.command(
    epilog="Exit codes: 0 every certificate with a rule matches; 1 findings; 2 wrong "
    "usage, or a part of the input could not be read; 3 none but certificates that are "
    "accepted without a match (report mode, expired)."
)
@click.argument(
    "inputs", nargs=-1, required=True, metavar="INPUT...", type=click.Path(exists=True)
)
@policy_option
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
    each certificate is judged for those of its names that have a rule.
    """
    from pathlib import Path

    from pinverify.audit._rows import Wanted
    from pinverify.cli.audit import Request, audit_inputs

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


def _forms() -> list[str]:
    from pinverify.headers._forms import FORMS

    return list(FORMS)


@commands.command(
    epilog="A policy file that is replaced is read again, at once after SIGHUP; one "
    "with mistakes changes nothing. SIGTERM and Ctrl-C end the service, after the "
    "answers under way."
)
@click.option(
    "--policy",
    type=existing_file,
    required=True,
    metavar="FILE",
    help="A policy file with pins for clients.",
)
@format_option
@click.option(
    "--form",
    callback=one_of(_forms),
    required=True,
    metavar="FORM",
    help="Form of the header: rfc9440, nginx, envoy, haproxy, apache, traefik, caddy "
    "or alb.",
)
@click.option(
    "--from",
    "peers",
    multiple=True,
    metavar="ADDRESS",
    help="Address or network of the proxy, or unix; repeat for several.",
)
@click.option(
    "--secret-file",
    type=existing_file,
    metavar="FILE",
    help="A file with the secret that the proxy writes into the header with the "
    "certificate; for envoy, traefik and alb into X-Pinverify-Secret.",
)
@click.option(
    "--listen",
    default="127.0.0.1:9180",
    show_default=True,
    metavar="ADDRESS",
    help="Address and port, or unix:/PATH.",
)
@click.option(
    "--metrics",
    metavar="ADDRESS",
    help="Address and port, or unix:/PATH, for /healthz and /metrics.",
)
@json_option
@click.pass_obj
def authserver(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    policy: str,
    policy_format: str,
    form: str,
    peers: tuple[str, ...],
    secret_file: str | None,
    listen: str,
    metrics: str | None,
) -> None:
    """Answer proxies that ask whether a client may pass.

    For auth_request of nginx, forward_auth of Caddy and Traefik, and ext_authz of
    Envoy. The proxy passes the certificate of the client in a header.
    """
    from pathlib import Path

    from pinverify.cli.authserver import Wanted, serve

    file = None if secret_file is None else Path(secret_file)
    serve(out, Wanted(Path(policy), policy_format, form, peers, file, listen, metrics))


@commands.command()
@json_option
@click.pass_obj
def info(out: Output) -> None:
    """Print versions and kernels in use, for a bug report."""
    from pinverify.cli.info import print_info

    print_info(out)


@commands.command()
@json_option
@click.pass_obj
def demo(out: Output) -> None:
    """Show pins at work, on this machine alone."""
    from rich.console import Console

    from pinverify import demo as demonstration
    from pinverify.cli.terminal import console_of

    do_not_log_rejections()
    console = Console(quiet=True) if out.as_json else console_of("stdout")
    try:
        outcome = demonstration.run(console)
    except demonstration.NotShownError as error:
        raise NoAnswerError(str(error), NOT_SHOWN) from error
    if out.as_json:
        out.json(outcome)
