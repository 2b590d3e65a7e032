"""The options of the command `authserver`; cli/authserver.py runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pinverify.cli.options import existing_file, format_option, json_option, one_of

if TYPE_CHECKING:
    from pinverify.cli.output import Output

__all__ = ["authserver"]


def _forms() -> list[str]:
    from pinverify.headers._forms import FORMS

    return list(FORMS)


@click.command(
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
