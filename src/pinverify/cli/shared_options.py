"""Options that several commands have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pinverify.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "WAY",
    "Way",
    "allow_option",
    "cafile_option",
    "existing_file",
    "format_of",
    "format_option",
    "formats_of_text",
    "host_option",
    "json_option",
    "one_of",
    "policy_option",
    "position_option",
    "readable_formats",
    "refuse_ignored",
    "refuse_needless_host",
    "seconds",
    "timeout_option",
    "way_options",
    "writable_formats",
]


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's order
    ctx.ensure_object(Output).as_json = value


def _set_pins(ctx: click.Context, _: click.Parameter, value: tuple[str, ...]) -> None:
    ctx.ensure_object(Output).pins = value


json_option = click.option(
    "--json",
    is_flag=True,
    is_eager=True,  # so that errors in other options are printed as JSON
    expose_value=False,
    callback=_set_json,
    help="Print JSON.",
)


def one_of(
    names: Callable[[], list[str]], why_not: Callable[[str], str] = lambda _: ""
) -> Callable[..., Any]:
    """Return a callback that checks names.

    Args:
        names: returns the names; a function, so that their table is imported late.
        why_not: returns why another name is refused, or "" for the usual message.
    """

    def check_names(
        ctx: click.Context,
        parameter: click.Parameter,
        value: str | tuple[str, ...] | None,
    ) -> str | tuple[str, ...] | None:
        if value in (None, (), parameter.default):  # these need no table
            return value
        known = names()
        choice = click.Choice(known)

        def checked(name: str) -> str:
            if name not in known and (why := why_not(name)):
                msg = f"{why}; what can: {', '.join(known)}"
                raise click.BadParameter(msg, ctx, parameter)
            return choice.convert(name, parameter, ctx)

        if isinstance(value, str):
            return checked(value)
        return tuple(map(checked, value))

    return check_names


def format_of(names: Callable[[], list[str]]) -> Callable[..., Any]:
    """Return a callback that checks a format's name, and explains one-way formats."""

    def why_not(name: str) -> str:
        from pinverify.formats._format_table import one_way

        return one_way(name)

    return one_of(names, why_not)


def readable_formats() -> list[str]:
    """Return the names of formats that can be read."""
    from pinverify.formats._format_table import readable

    return readable()


def writable_formats() -> list[str]:
    """Return the names of formats that can be written."""
    from pinverify.formats._format_table import writable

    return writable()


def formats_of_text() -> list[str]:
    """Return the names of formats that can be written and are text."""
    return [name for name in writable_formats() if name != "compiled"]


def kinds_of_losses() -> list[str]:
    """Return the kinds of losses that may be allowed."""
    from pinverify.formats._losses import KINDS

    return [kind for kind, direction in KINDS.items() if direction == "wider"]


def refuse_ignored(because: str, *names: str) -> None:
    """Refuse options that were given and would have no effect.

    Args:
        because: the circumstance, such as ``with --pin``.
        names: the names of the options' parameters.

    Raises:
        click.UsageError: one of them was given.
    """
    ctx = click.get_current_context()
    for parameter in ctx.command.params:
        source = ctx.get_parameter_source(parameter.name or "")
        given = source is click.core.ParameterSource.COMMANDLINE
        if given and parameter.name in names:
            option = next(name for name in parameter.opts if name.startswith("--"))
            msg = f"{option} has no effect {because}; leave {option} out"
            raise click.UsageError(msg)


def refuse_needless_host(*formats: str, to_write: str = "") -> None:
    """Refuse --host if files of all these formats name their hosts.

    Args:
        formats: the formats of the files to read.
        to_write: the format of the file to write, if any.
    """
    from pinverify.formats._format_table import FORMATS

    needs_it = bool(to_write) and FORMATS[to_write].host_to_write == "given"
    formats += (to_write,) if to_write else ()
    if not needs_it and all(FORMATS[name].host == "says" for name in formats):
        names = " and ".join(dict.fromkeys(formats))
        refuse_ignored(f"with {names}, whose files name their hosts", "host")


format_option = click.option(
    "--format",
    "policy_format",
    callback=format_of(readable_formats),
    metavar="FORMAT",
    default="toml",
    show_default=True,
    help="Format of the policy file.",
)
_host = click.option(
    "--host",
    "--origin",
    "host",
    metavar="PATTERN",
    help="Host of the pins, where a file of the format does not name it; the zone of "
    "TLSA records.",
)
_pins = click.option(
    "--pins",
    "other_files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False),
    expose_value=False,
    callback=_set_pins,
    metavar="FILE",
    help="Other file of a Chromium list; repeat for several. Without it, those beside "
    "the list.",
)


def host_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--host` and `--pins`, for facts that a policy file may lack."""
    return _host(_pins(command))


allow_option = click.option(
    "--allow",
    multiple=True,
    callback=one_of(kinds_of_losses),
    metavar="KIND",
    help="Kind of loss that may make what is written accept more; repeat for several.",
)
position_option = click.option(
    "--as",
    "position",
    type=click.Choice(["leaf", "ca"]),
    help="Whose keys the pins for any position are, where a format has to say it: of "
    "the servers themselves, or of authorities (ca).",
)
existing_file = click.Path(exists=True, dir_okay=False)
policy_option = click.option(
    "--policy", type=existing_file, required=True, metavar="FILE", help="A policy file."
)
cafile_option = click.option(
    "--cafile",
    type=existing_file,
    metavar="FILE",
    help="PEM certificates to trust instead of the system's.",
)


_SECONDS_MAX = 3600


def seconds(_: click.Context, __: click.Parameter, value: float) -> float:
    """Return a number of seconds, if it is a valid timeout.

    Raises:
        click.BadParameter: the number is not a valid timeout.
    """
    if not 0 < value <= _SECONDS_MAX:  # false for NaN, too
        msg = f"seconds are more than 0 and at most {_SECONDS_MAX}"
        raise click.BadParameter(msg)
    return value


timeout_option = click.option(
    "--timeout",
    callback=seconds,
    type=float,
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="Time a server may take for each step.",
)


# ---- how a server is reached -------------------------------------------------


class Way(NamedTuple):
    """The way in which a server is reached.

    Attributes:
        cafile: PEM certificates to trust instead of the system's.
        timeout: seconds for each step.
        starttls: the protocol that begins TLS; None if TLS begins at once.
        servername: the name to ask for and to verify, instead of the server's.
        connect: where to connect to, instead of the server's own address.
        cert: PEM with the certificate of the client.
        key: PEM with the client's key, if *cert* does not have it.
    """

    cafile: str | None = None
    timeout: float = 30
    starttls: str | None = None
    servername: str | None = None
    connect: str | None = None
    cert: str | None = None
    key: str | None = None


WAY = Way._fields
"""The names of the parameters that a `Way` is made of."""


def _protocols() -> list[str]:
    from pinverify.cli.starttls import PROTOCOLS

    return list(PROTOCOLS)


_OPTIONS = (
    cafile_option,
    click.option(
        "--starttls",
        callback=one_of(_protocols),
        metavar="PROTOCOL",
        help="Begin in clear: smtp, imap, pop3, ftp, postgres, mysql or ldap.",
    ),
    click.option(
        "--servername",
        metavar="NAME",
        help="Name to ask for and to verify, if SERVER is an address.",
    ),
    click.option(
        "--connect",
        metavar="HOST:PORT",
        help="Connect to this place; SERVER is the name to ask for and to verify.",
    ),
    click.option(
        "--cert",
        type=existing_file,
        metavar="FILE",
        help="Certificate to show to the server, PEM.",
    ),
    click.option(
        "--key",
        type=existing_file,
        metavar="FILE",
        help="Its private key, PEM, if that is not in the same file.",
    ),
    timeout_option,
)


def way_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as one argument `way`."""

    @functools.wraps(command)
    def with_way(*args: Any, **options: Any) -> None:  # noqa: ANN401 - click's
        way = Way(**{name: options.pop(name) for name in WAY})
        if way.key is not None and way.cert is None:
            msg = "--key is the key of a certificate; add --cert"
            raise click.UsageError(msg)
        if way.servername is not None and way.connect is not None:
            msg = "--servername and --connect: write the name as SERVER, and --connect"
            raise click.UsageError(msg)
        command(*args, way=way, **options)

    for option in reversed(_OPTIONS):
        with_way = option(with_way)
    return with_way
