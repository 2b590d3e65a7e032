"""How a server is reached: options that several commands have."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from pinverify.cli.options import existing_file, one_of, timeout_option

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WAY", "Way", "way_options"]


class Way(NamedTuple):
    """How a server is reached.

    Attributes:
        cafile: PEM certificates to trust instead of the system's.
        timeout: seconds, for each step.
        starttls: the protocol that begins TLS; None if TLS begins at once.
        servername: the name to ask for and to verify, instead of the server's.
        connect: where to connect to, instead of the server's own address.
        cert: PEM with the certificate of the client.
        key: PEM with its key, if that is another file.
    """

    cafile: str | None = None
    timeout: float = 30
    starttls: str | None = None
    servername: str | None = None
    connect: str | None = None
    cert: str | None = None
    key: str | None = None


WAY = Way._fields
"""The names of these parameters."""


def _protocols() -> list[str]:
    from pinverify.cli.starttls import PROTOCOLS

    return list(PROTOCOLS)


_OPTIONS = (
    click.option(
        "--cafile",
        type=existing_file,
        metavar="FILE",
        help="PEM certificates to trust instead of the system's.",
    ),
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
