"""Pins for `ssl.SSLContext`: every client and server that takes one.

A context makes its connections with two classes of its choice, one for sockets and
one for memory buffers. `pin_context` puts ours in their place, mixed into those that
it finds, and then makes one connection of each kind to see that they are used.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, cast

from pinverify.errors import PolicyError
from pinverify.tls._connections import (
    Pending,
    PendingObject,
    PendingSocket,
    class_with_the_check,
)
from pinverify.tls._in_force import ContextRule, in_force, rule_of
from pinverify.tls._ssl_objects import inner_context, is_context, is_server

if TYPE_CHECKING:
    from pinverify.policy import PinSet, Policy
    from pinverify.tls._notices import OnReport

__all__ = ["pin_connection", "pin_context", "set_classes"]


def pin_context(
    context: ssl.SSLContext,
    policy: Policy | PinSet,
    *,
    on_report: OnReport | None = None,
) -> ssl.SSLContext:
    """Enforce pins on every connection that *context* makes from now on.

    Called again, it swaps the policy: each handshake is decided by the policy
    that is in place at its end. Connections that are established already stay.

    A connection's decision is its attribute ``pin_report``, once it is made.

    Args:
        context: for clients or servers. Its own checks stay as they are; without
            certificate validation (``CERT_NONE``) only the leaf counts, since
            nobody has verified the rest of the chain. Where a callback for SNI
            selects a server's context, pin the one that listens too: it makes
            the connections, and without pins of its own it checks nobody.
        policy: the rules for the name that the client connects to. A server's
            clients have no name: give a `PinSet`, or a policy with `Rules.clients`.
        on_report: called with each report that accepts although its pins are not
            met (report mode, expiry). It can't accept anything; if it raises,
            the connection is rejected.

    Returns:
        *context*.

    Raises:
        TypeError: *context* is no `ssl.SSLContext`, or makes its connections in
            a way that pins can't be enforced on.
        PolicyError: a server's context is given rules for host names.
    """
    checked = in_force(policy, on_report)
    if is_server(context) and not checked.policy.has_clients:
        msg = (
            "a server's clients have no host name: give pin_context a PinSet, or rules "
            "with pins for clients"
        )
        raise PolicyError(msg)
    _hooked(context, ContextRule(checked)).in_force = checked
    return context


def pin_connection(
    sock: socket.socket,
    policy: Policy | PinSet,
    *,
    server_hostname: str,
    context: ssl.SSLContext,
) -> ssl.SSLSocket:
    """Speak TLS over a connected socket; *policy* holds for this connection alone.

    The policy of *context*, if it has one, is not looked at and stays as it is.
    """
    _hooked(context, ContextRule(None))
    tls: Any = context.wrap_socket(
        sock, server_hostname=server_hostname, do_handshake_on_connect=False
    )
    try:
        tls._pinverify_own_rule = ContextRule(in_force(policy, None))  # noqa: SLF001
        tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return cast("ssl.SSLSocket", tls)


# ---- the two classes of a context ---------------------------------------------


def _hooked(context: ssl.SSLContext, rule: ContextRule) -> ContextRule:
    """Return the rule of *context*; make it use our classes and *rule* if not yet."""
    if not is_context(context):
        msg = f"expected an ssl.SSLContext, got {type(context).__name__}"
        raise TypeError(msg)
    inner = inner_context(context)
    with _hooking:
        rule = rule_of(inner) or rule
        before = dict(vars(inner))
        vars(inner)["_pinverify"] = rule
        try:
            set_classes(inner, rule)
            _see_that_it_works(context, rule)
        except BaseException:
            for name in ("sslsocket_class", "sslobject_class", "_pinverify"):
                if name in before:
                    vars(inner)[name] = before[name]
                else:
                    vars(inner).pop(name, None)
            raise
    return rule


# One thread at a time: what one that fails puts back must not undo another.
_hooking = threading.RLock()


def set_classes(owner: Any, rule: ContextRule) -> None:  # noqa: ANN401
    """Set our classes on a context, or on the class of contexts.

    Not where they are already; but they may have been replaced since.
    """
    if getattr(owner.sslsocket_class, "_pinverify_rule", None) is not rule:
        owner.sslsocket_class = class_with_the_check(
            PendingSocket, owner.sslsocket_class, rule
        )
    if getattr(owner.sslobject_class, "_pinverify_rule", None) is not rule:
        owner.sslobject_class = class_with_the_check(
            PendingObject, owner.sslobject_class, rule
        )


def _see_that_it_works(context: ssl.SSLContext, rule: ContextRule) -> None:
    """Make one connection of each class, without a peer, and look at it.

    Some contexts make their connections with another context's classes; pins
    would be set there and never checked.
    """
    name = f"{type(context).__module__}.{type(context).__name__}"
    try:
        made = _made_without_a_peer(context)
    except (AttributeError, NotImplementedError, ValueError) as error:
        msg = (
            f"{name} does not wrap a socket that is not connected yet ({error}), so "
            "pins can't be tried on it; pin an ssl.SSLContext, or truststore's from "
            "truststore 0.10.5 on"
        )
        raise TypeError(msg) from error
    if not all(
        isinstance(connection, Pending)
        and rule_of(cast("Any", connection).context) is rule
        for connection in made
    ):
        msg = (
            f"{name} does not make its connections with its sslsocket_class and "
            "sslobject_class, so pins can't be enforced on it; pin an ssl.SSLContext"
        )
        raise TypeError(msg)


def _made_without_a_peer(context: ssl.SSLContext) -> list[Any]:
    server = is_server(context)
    how: dict[str, Any] = {"server_side": server}
    if not server:
        how["server_hostname"] = "localhost"
    with socket.socket() as plain:
        tls: Any = context.wrap_socket(plain, do_handshake_on_connect=False, **how)
        tls.close()
    return [tls, context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how)]
