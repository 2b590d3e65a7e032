"""Connections to one server: connect, wrap a socket, check the server and its pins."""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from pinverify.errors import PolicyError
from pinverify.policy import Pins, PinSet, Policy, Report
from pinverify.tls._judge import rejection
from pinverify.tls._pin_context import hook, require_our_class
from pinverify.tls._policy_in_force import ContextRule, in_force

if TYPE_CHECKING:
    import os

    from pinverify.tls._events import OnReport

__all__ = ["HTTPS_PORT", "check", "create_connection", "split_address", "wrap_socket"]

HTTPS_PORT = 443


def create_connection(
    address: tuple[str, int],
    policy: Policy | PinSet,
    *,
    timeout: float | None = None,
    context: ssl.SSLContext | None = None,
    on_report: OnReport | None = None,
) -> ssl.SSLSocket:
    """Connect to a TLS server, and check its pins.

    Args:
        address: host and port. The host is verified, and looked up in *policy*.
        policy: the pins.
        timeout: seconds, for each step of connecting and each later operation;
            None waits for ever.
        context: None is `ssl.create_default_context()`. If the context is itself
            pinned, its policy is ignored and does not change. From now on, no
            connection of the context renegotiates, whether it is pinned or not.
        on_report: as in `pin_context`.

    Raises:
        PinningError: the server's key does not match the pins.
        OSError: there is no connection, or the certificate is not valid
            (`ssl.SSLCertVerificationError`).
        PolicyError: the host is not a valid name or address.
        TypeError: *address* is text; `check` takes ``host:port``.
    """
    if isinstance(address, str):
        msg = f"address: expected host and port, as in ('{address}', 443); got text"
        raise TypeError(msg)
    in_force(policy, on_report)  # raises before anything is sent
    try:
        plain = socket.create_connection(address, timeout)
    except ValueError as error:  # a NUL, or a label that is too long
        msg = f"{address[0]!r} is not a host: {error}"
        raise PolicyError(msg) from error
    try:
        return wrap_socket(
            plain,
            policy,
            server_hostname=address[0],
            context=context,
            on_report=on_report,
        )
    except BaseException:
        plain.close()
        raise


def wrap_socket(
    sock: socket.socket,
    policy: Policy | PinSet,
    *,
    server_hostname: str,
    context: ssl.SSLContext | None = None,
    on_report: OnReport | None = None,
) -> ssl.SSLSocket:
    """Start TLS on a connected socket, and check the server's pins.

    Args:
        sock: a connected socket; the result takes it over.
        policy: the pins.
        server_hostname: the name to verify, and to look up in *policy*.
        context: as in `create_connection`.
        on_report: as in `pin_context`.

    Raises:
        PinningError: the server's key does not match the pins.
        OSError: the handshake failed.
        TypeError: pins cannot be enforced on connections of *context*.
    """
    rule = ContextRule(in_force(policy, on_report))  # of this connection alone
    if context is None:
        context = ssl.create_default_context()
    shared = hook(context, None)
    how: Any = {"server_hostname": server_hostname, "do_handshake_on_connect": False}
    tls: Any = context.wrap_socket(sock, **how)
    try:
        require_our_class(context, tls, shared)
        vars(tls)["_pinverify_guarded"].own_rule = rule
        tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return cast("ssl.SSLSocket", tls)


def check(  # noqa: PLR0913 - most callers give two
    server: str,
    policy: Policy | PinSet | Pins,
    *,
    timeout: float = 60,
    context: ssl.SSLContext | None = None,
    cafile: str | os.PathLike[str] | None = None,
    on_report: OnReport | None = None,
) -> Report:
    """Connect to a server, check its pins, and close the connection.

    Args:
        server: ``https://api.example.com``, ``api.example.com`` or
            ``api.example.com:8443``. The port is 443 if there is none.
        policy: a policy, or pins for this server.
        timeout: seconds, for each step.
        context: as in `create_connection`.
        cafile: PEM certificates to trust instead of the system's.
        on_report: as in `pin_context`.

    Returns:
        The report of an accepted server.

    Raises:
        PinningError: the server's key does not match the pins.
        OSError: there is no connection, or the certificate is not valid.
        PolicyError: *server* is not an address, or a pin is wrong.
    """
    if not isinstance(policy, Policy | PinSet):
        policy = PinSet(policy)
    if context is None:
        try:
            context = ssl.create_default_context(cafile=cafile)
        except FileNotFoundError as error:  # ssl does not name the file
            raise FileNotFoundError(error.errno, error.strerror, cafile) from None
    elif cafile is not None:
        msg = "give check a context or a cafile, not both"
        raise TypeError(msg)
    with create_connection(
        split_address(server),
        policy,
        timeout=timeout,
        context=context,
        on_report=on_report,
    ) as tls:
        report: Report | None = getattr(tls, "pin_report", None)
    if report is None:  # impossible, but never an acceptance
        raise rejection(None, None, "the peer was not checked")
    return report


def split_address(server: str, default_port: int = HTTPS_PORT) -> tuple[str, int]:
    """Return host and port of an https URL, a host, or ``host:port``.

    Raises:
        PolicyError: *server* is none of these.
    """
    try:
        parts = urlsplit(server if "://" in server else f"https://{server}")
        host, port = parts.hostname, parts.port
    except ValueError:
        raise PolicyError(_no_address(server)) from None
    if not host or parts.scheme != "https" or "@" in parts.netloc or port == 0:
        raise PolicyError(_no_address(server))
    return host, default_port if port is None else port


def _no_address(server: str) -> str:
    """Return the message about a text that names no server; it shows what to write."""
    if re.fullmatch(r"[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*", server):
        return f"not a server: {server!r}; write an IPv6 address in brackets: [::1]:443"
    if re.fullmatch(r"(https://)?[^/:@\[\]]+:[^/@]*/?", server):
        return f"not a server: {server!r}; a port is a number from 1 to 65535"
    return f"not a server: {server!r}; write https://host, host or host:port"
