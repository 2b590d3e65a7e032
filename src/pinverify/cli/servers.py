"""Servers: connect, read the verified chain and the chain as sent."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.cli.output import NoAnswerError
from pinverify.cli.problems import connection_problem, unverified
from pinverify.errors import PolicyError
from pinverify.tls._ssl_internals import der

if TYPE_CHECKING:
    from pinverify.cli.addresses import Server

__all__ = [
    "Shown",
    "chain_of",
    "connect",
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


def trusting(cafile: str | None, option: str = "--cafile") -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or those of a file.

    Args:
        cafile: the file.
        option: of the command that names it.

    Raises:
        PolicyError: the file has no PEM certificates.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError:
        msg = f"{cafile}: no certificates; {option} takes PEM certificates to trust"
        raise PolicyError(msg) from None


def connect(server: Server, context: ssl.SSLContext, timeout: float) -> ssl.SSLSocket:
    """Connect to a server by a context, whose pins are checked if it has any.

    Raises:
        OSError: there is no connection, or the certificate or its key is refused.
    """
    plain = socket.create_connection(server, timeout)
    try:
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def look_at(server: Server, context: ssl.SSLContext, timeout: float) -> Shown:
    """Get a server's chain; if it does not verify, connect again without verifying.

    Raises:
        OSError: there is no connection.
    """
    try:
        with connect(server, context, timeout) as tls:
            return Shown(verified_chain(tls), _chain_as_sent(tls))
    except ssl.SSLCertVerificationError as error:
        problem, clause = error.verify_message, unverified(error)
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    with connect(server, blind, timeout) as tls:
        return Shown([], _chain_as_sent(tls), problem, clause)


def chain_of(server: Server, context: ssl.SSLContext, timeout: float) -> list[bytes]:
    """Return the chain of a server that a context verifies, leaf first.

    Raises:
        NoAnswerError: there is no connection, or no valid certificate.
    """
    try:
        with connect(server, context, timeout) as tls:
            return verified_chain(tls)
    except OSError as error:
        raise NoAnswerError(connection_problem(server, error, timeout)) from error


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
