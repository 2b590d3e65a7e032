"""Servers: connect, read the verified chain and the chain as sent."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.cli.output import NoAnswerError
from pinverify.cli.problems import connection_problem, unverified
from pinverify.cli.starttls import begin_tls
from pinverify.errors import PolicyError
from pinverify.tls._ssl_internals import der

if TYPE_CHECKING:
    from pinverify.cli.addresses import Server
    from pinverify.cli.way import Way

__all__ = [
    "Shown",
    "chain_of",
    "connect",
    "context_for",
    "look_at",
    "trusting",
    "verified_chain",
]


class Shown(NamedTuple):
    """The certificates that a server showed.

    Attributes:
        verified: the chain that OpenSSL verified, leaf first; empty if it did not.
        sent: the chain as the server sent it; it proves nothing but the leaf.
        problem: why the chain was not verified; empty if it was.
        unverified: the same as a clause about the server.
    """

    verified: list[bytes]
    sent: list[bytes]
    problem: str = ""
    unverified: str = ""


def context_for(way: Way) -> ssl.SSLContext:
    """Return a context that trusts and shows what the options say.

    Raises:
        PolicyError: one of the files has something else in it.
    """
    context = trusting(way.cafile)
    _show_certificate(context, way)
    return context


def trusting(cafile: str | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or those of a file.

    Raises:
        PolicyError: the file has no PEM certificates.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError:
        msg = f"{cafile}: no certificates; --cafile takes PEM certificates to trust"
        raise PolicyError(msg) from None


def _show_certificate(context: ssl.SSLContext, way: Way) -> None:
    """Let a context show the certificate of the client, if there is one."""
    if way.cert is None:
        return
    file = way.key or way.cert

    def no_password() -> str:
        msg = (
            f"{file}: the key is encrypted; write it in clear to a file that nobody "
            f"else can read: openssl pkey -in {file} -out KEY.pem"
        )
        raise PolicyError(msg)

    try:
        context.load_cert_chain(way.cert, way.key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            msg = f"{file}: not the key of the certificate in {way.cert}"
        else:
            msg = (
                f"{way.cert}: no PEM certificate with a PEM key; --cert takes a "
                "certificate, and --key its key if that is in another file"
            )
        raise PolicyError(msg) from None


def connect(server: Server, context: ssl.SSLContext, way: Way) -> ssl.SSLSocket:
    """Connect to a server by a context, whose pins are checked if it has any.

    Raises:
        OSError: there is no connection, or the certificate or its key is refused.
    """
    plain = socket.create_connection(server.place, way.timeout)
    try:
        if way.starttls is not None:
            begin_tls(plain, way.starttls, way.timeout)
            plain.settimeout(way.timeout)
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def look_at(server: Server, context: ssl.SSLContext, way: Way) -> Shown:
    """Get a server's chain; if it does not verify, connect again without verifying.

    Raises:
        OSError: there is no connection.
    """
    try:
        with connect(server, context, way) as tls:
            return Shown(verified_chain(tls), _chain_as_sent(tls))
    except ssl.SSLCertVerificationError as error:
        problem, clause = error.verify_message, unverified(error)
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    _show_certificate(blind, way)
    with connect(server, blind, way) as tls:
        return Shown([], _chain_as_sent(tls), problem, clause)


def chain_of(server: Server, context: ssl.SSLContext, way: Way) -> list[bytes]:
    """Return the chain of a server that a context verifies, leaf first.

    Raises:
        NoAnswerError: there is no connection, or no valid certificate.
    """
    try:
        with connect(server, context, way) as tls:
            return verified_chain(tls)
    except OSError as error:
        raise NoAnswerError(connection_problem(server, error, way)) from error


# Before Python 3.13 both methods are private.


def verified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the chain that OpenSSL built, leaf first.

    It is verified because the context of *tls* verifies. Otherwise it would be
    whatever a forged leaf points to.
    """
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return _der(inner.get_verified_chain())


def _chain_as_sent(tls: ssl.SSLSocket) -> list[bytes]:
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return _der(inner.get_unverified_chain())


def _der(chain: list[Any] | None) -> list[bytes]:
    return [der(cert) for cert in chain or ()]
