"""The commands, their options and their exit codes.

0    done; check: a pin matches
1    check: rejected; lint: errors; demo: something did not happen as described
2    wrong usage, or no answer: no such file, no connection, no valid certificate
3    check: accepted although no pin matched; convert: done, and may accept more
130  Ctrl-C
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING, Any

import click

from pinverify._version import __version__
from pinverify.cli.output import NoAnswerError, Output, abandon_stdout
from pinverify.cli.spellings import SPELLINGS
from pinverify.errors import PinverifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["commands"]

_NOT_SHOWN = 1
_WRONG_USE = 2
_INTERRUPTED = 130


class _Commands(click.Group):
    """Group of commands that end with an exit code and at most one line on stderr."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command."""
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
    try:
        yield out
    except KeyboardInterrupt:
        out.exit_code = _INTERRUPTED
    except BrokenPipeError:
        pass  # the reader closed the pipe; keep the exit code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else ctx.command_path
        problem = error.format_message().rstrip(".")
        _fail(out, f"{problem}; see {command} --help", exit_code=_WRONG_USE)
    except NoAnswerError as error:
        _fail(out, str(error), exit_code=error.exit_code)
    except PinverifyError as error:  # a policy file may have several mistakes
        lines: Sequence[str] = getattr(error, "lines", (str(error),))
        _fail(out, *lines, exit_code=_WRONG_USE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(out, f"{where}{error.strerror or error}", exit_code=_WRONG_USE)
    else:
        return
    try:
        sys.stdout.flush()
    except OSError:
        abandon_stdout()
    ctx.exit(out.exit_code)


def _fail(out: Output, *lines: str, exit_code: int) -> None:
    for line in lines:
        out.fail(line, exit_code)
    if out.as_json:
        with contextlib.suppress(OSError):  # stdout itself may be what failed
            out.json({"error": "\n".join(lines)})


# ---- options of several commands ------------------------------------------------


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's order
    ctx.ensure_object(Output).as_json = value


_json = click.option(
    "--json",
    is_flag=True,
    is_eager=True,  # so that errors in other options are printed as JSON
    expose_value=False,
    callback=_set_json,
    help="Print JSON.",
)


def _one_of(names: Callable[[], list[str]]) -> Callable[..., Any]:
    """Return a callback that checks names; the table that has them is imported late."""

    def check_names(
        ctx: click.Context, parameter: click.Parameter, value: str | tuple[str, ...]
    ) -> str | tuple[str, ...]:
        choice = click.Choice(names())
        if isinstance(value, str):
            return choice.convert(value, parameter, ctx)
        return tuple(choice.convert(one, parameter, ctx) for one in value)

    return check_names


def _readable() -> list[str]:
    from pinverify.formats._table import readable

    return readable()


def _writable() -> list[str]:
    from pinverify.formats._table import writable

    return writable()


def _kinds() -> list[str]:
    from pinverify.formats._losses import KINDS

    return [kind for kind, (direction, _) in KINDS.items() if direction == "wider"]


_format = click.option(
    "--format",
    "policy_format",
    callback=_one_of(_readable),
    metavar="FORMAT",
    default="toml",
    show_default=True,
    help="Format of the policy file.",
)
_host = click.option(
    "--host",
    metavar="PATTERN",
    help="Host of the pins, where a file of the format does not name it.",
)
_file = click.Path(exists=True, dir_okay=False)
_cafile = click.option(
    "--cafile",
    type=_file,
    metavar="FILE",
    help="PEM certificates to trust instead of the system's.",
)
_timeout = click.option(
    "--timeout",
    type=click.IntRange(1, 3600),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Time a server may take for each step.",
)


# ---- the commands --------------------------------------------------------------
#
# Each imports what it needs when it runs: for `--version` and for the pins of a file,
# imports are most of the time that the command takes.


@click.group(
    cls=_Commands,
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
        ctx.exit(_WRONG_USE)


@commands.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option(
    "--format",
    "spelling",
    type=click.Choice(list(SPELLINGS)),
    help="Print only this spelling, one per line; for a server only the leaf's.",
)
@_cafile
@_timeout
@_json
@click.pass_obj
def pin(
    out: Output,
    sources: tuple[str, ...],
    spelling: str | None,
    cafile: str | None,
    timeout: int,
) -> None:
    """Print the fingerprints of servers, certificates and public keys.

    A SOURCE is a server (host, host:port, https://host), a file (PEM with any
    number of certificates and public keys, or DER), or - for stdin. A name that
    could be either is a file if such a file exists; ./NAME is always a file, and
    HOST:443 is always a server.
    """
    from pinverify.cli.pin import print_pins

    print_pins(out, sources, spelling=spelling, cafile=cafile, timeout=timeout)


@commands.command(
    epilog="Exit codes: 0 a pin matches; 1 rejected; 2 wrong usage, no connection, or "
    "no valid certificate; 3 accepted although no pin matched (no rule, expired, "
    "report mode)."
)
@click.argument("server")
@click.option(
    "--pin", "pins", multiple=True, metavar="PIN", help="A pin; repeat for several."
)
@click.option("--policy", type=_file, metavar="FILE", help="A policy file.")
@_format
@_host
@_cafile
@_timeout
@_json
@click.pass_obj
def check(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    server: str,
    pins: tuple[str, ...],
    policy: str | None,
    policy_format: str,
    host: str | None,
    cafile: str | None,
    timeout: int,
) -> None:
    """Check a server's key against pins or a policy.

    SERVER is host, host:port or https://host.
    """
    if bool(pins) == (policy is not None):
        msg = "give either --pin (once or more) or --policy"
        raise click.UsageError(msg)
    from pinverify.cli.check import check_server

    _do_not_log_rejections()
    check_server(
        out,
        server,
        pins=pins,
        policy_file=policy,
        policy_format=policy_format,
        host=host,
        cafile=cafile,
        timeout=timeout,
    )


@commands.command("compile")
@click.argument("source", type=_file, metavar="FILE")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    required=True,
    metavar="FILE",
    help="File for the compiled policy. An existing file is replaced as a whole.",
)
@_format
@_host
@_json
@click.pass_obj
def compile_(
    out: Output, source: str, target: str, policy_format: str, host: str | None
) -> None:
    """Compile a policy file."""
    from pathlib import Path

    from pinverify.cli.compile import compile_file

    compile_file(out, Path(source), Path(target), policy_format, host)


@commands.command(
    epilog="Exit codes: 0 done; 2 wrong usage, a mistake in FILE, or a loss that is "
    "not allowed; 3 done, with losses that --allow names."
)
@click.argument("source_format", callback=_one_of(_readable), metavar="FROM")
@click.argument("target_format", callback=_one_of(_writable), metavar="TO")
@click.argument("source", type=_file, metavar="FILE")
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(),
    metavar="FILE",
    help="File to write; an existing file is replaced as a whole. Else stdout.",
)
@_host
@click.option(
    "--allow",
    multiple=True,
    callback=_one_of(_kinds),
    metavar="KIND",
    help="Kind of loss that may make TO accept more; repeat for several.",
)
@_json
@click.pass_obj
def convert(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    source_format: str,
    target_format: str,
    source: str,
    target: str | None,
    host: str | None,
    allow: tuple[str, ...],
) -> None:
    """Convert a policy from the format FROM to the format TO.

    What TO cannot say is told on stderr. If TO would then accept more, nothing is
    written, unless --allow names the kind of the loss. FROM and TO are formats, as in
    `pinverify convert okhttp toml Pins.kt`; they are never guessed.
    """
    from pathlib import Path

    from pinverify.cli.convert import convert_file

    formats = source_format, target_format
    file = None if target is None else Path(target)
    convert_file(out, formats, Path(source), file, host=host, allow=allow)


@commands.command(
    epilog="Exit codes: 0 no errors; 1 errors, or warnings with --strict; 2 wrong "
    "usage, no such file, or no answer of a server."
)
@click.argument("source", type=_file, metavar="FILE")
@_format
@_host
@click.option(
    "--server",
    "servers",
    multiple=True,
    metavar="SERVER",
    help="A server to compare its rule with; repeat for several.",
)
@click.option(
    "--bundle",
    type=_file,
    metavar="FILE",
    help="PEM certificates of authorities: to compare all pins with, and to trust.",
)
@_timeout
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings, too.")
@click.option(
    "--sarif",
    "as_sarif",
    is_flag=True,
    help="Print SARIF, which code hosts show beside the lines of a change.",
)
@_json
@click.pass_obj
def lint(  # noqa: PLR0913, PLR0917 - one per option
    out: Output,
    source: str,
    policy_format: str,
    host: str | None,
    servers: tuple[str, ...],
    bundle: str | None,
    timeout: int,
    strict: bool,  # noqa: FBT001 - click's
    as_sarif: bool,  # noqa: FBT001 - click's
) -> None:
    """Find mistakes in a policy file.

    An error is a rule that can never match, or that rejects nobody; a warning one
    that will break or lapse; a hint one that may mean something else. SERVER is host,
    host:port or https://host.
    """
    from pathlib import Path

    from pinverify.cli.lint import Beside, lint_file

    beside = Beside(servers, bundle, timeout)
    file = Path(source)
    lint_file(out, file, policy_format, host, beside, strict=strict, as_sarif=as_sarif)


@commands.command()
@_json
@click.pass_obj
def info(out: Output) -> None:
    """Print versions and the kernels in use: the facts for a bug report."""
    from pinverify.cli.info import print_info

    print_info(out)


@commands.command()
@_json
@click.pass_obj
def demo(out: Output) -> None:
    """Show pins at work, on this machine alone."""
    from rich.console import Console

    from pinverify import demo as demonstration
    from pinverify.cli.terminal import TerminalPrinter

    _do_not_log_rejections()
    console = Console(quiet=True) if out.as_json else TerminalPrinter("stdout").console
    try:
        outcome = demonstration.run(console)
    except demonstration.NotShownError as error:
        raise NoAnswerError(str(error), _NOT_SHOWN) from error
    if out.as_json:
        out.json(outcome)


def _do_not_log_rejections() -> None:
    """Keep them from stderr: the answer shows them."""
    import logging

    logging.getLogger("pinverify").addHandler(logging.NullHandler())
