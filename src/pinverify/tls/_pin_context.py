"""Pins for `ssl.SSLContext`, and so for every client and server that takes one.

A context creates its connections from two classes, one for sockets and one for memory
buffers. `hook` replaces them by subclasses of ours, and then creates one connection of
each kind to check that they are used.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
from pinverify.tls._policy_in_force import ContextRule, InForce, in_force
from pinverify.tls._ssl_connections import (
    CheckedObject,
    CheckedSocket,
    GuardedObject,
    class_with_the_check,
    mix_in,
)
from pinverify.tls._ssl_contexts import (
    ForkSafeLock,
    guard,
    inner_context,
    is_context,
    is_server,
    rule_of,
)

if TYPE_CHECKING:
    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import OnReport
    from pinverify.tls._ssl_contexts import Connection

__all__ = ["hook", "pin_context", "require_our_class"]


def pin_context(
    context: ssl.SSLContext,
    policy: Policy | PinSet,
    *,
    on_report: OnReport | None = None,
) -> ssl.SSLContext:
    """Enforce pins on every connection that *context* makes from now on.

    A second call replaces the policy: each handshake is decided by the policy that is
    in place when it ends. Established connections are not affected.

    After the decision, the connection has the attribute ``pin_report``.

    Args:
        context: for clients or servers. Its own checks do not change; without
            certificate validation (``CERT_NONE``) only the leaf counts, because
            nobody has verified the rest of the chain. If a callback for SNI selects
            a server's context, pin the listening context too: it makes the
            connections, and without pins of its own it checks nobody.
        policy: the rules for the host that a client connects to. The clients of a
            server have no name: pass a `PinSet`, or a policy with `Rules.clients`.
        on_report: called once for each connection that is rejected, or accepted
            although its pins do not match (report mode, expiry). It gets the report,
            and cannot accept anything; if it raises, the connection is rejected.

    Returns:
        *context*.

    Raises:
        TypeError: *context* is not an `ssl.SSLContext`, or pins cannot be enforced on
            the connections that it makes; or *on_report* is not a function that runs
            when it is called.
        PolicyError: *context* is a server's, and *policy* has no pins for clients.
    """
    checked = in_force(policy, on_report)
    if is_server(context) and not checked.policy.has_clients:
        msg = (
            "the clients of a server have no host name: give pin_context a PinSet, or "
            "rules with pins for clients"
        )
        raise PolicyError(msg)
    hook(context, checked).in_force = checked
    return context


def hook(context: ssl.SSLContext, in_force: InForce | None) -> ContextRule:
    """Make a context use our classes; return its rule, which begins with *in_force*."""
    if not is_context(context):
        msg = f"expected an ssl.SSLContext, got {type(context).__name__}"
        raise TypeError(msg)
    inner = inner_context(context)
    with _hooking.lock:
        rule = rule_of(inner) or ContextRule(in_force)
        before, kind = dict(vars(inner)), type(inner)
        inner.__dict__["_pinverify"] = rule
        try:
            for name, mixin in _CLASSES.items():
                found = getattr(inner, name)  # somebody may have replaced ours
                if getattr(found, "_pinverify_rule", None) is not rule:
                    setattr(inner, name, class_with_the_check(mixin, found, rule))
            guard(inner, mix_in)
            for connection in _made_without_a_peer(context):
                require_our_class(context, connection, rule)
        except BaseException:
            for name in (*_CLASSES, "_pinverify"):
                if name in before:
                    inner.__dict__[name] = before[name]
                else:
                    inner.__dict__.pop(name, None)
            inner.__class__ = kind
            raise
    return rule


_CLASSES = {"sslsocket_class": CheckedSocket, "sslobject_class": CheckedObject}
# One thread at a time: undoing a failed change must not undo another thread's change.
_hooking = ForkSafeLock()


def require_our_class(
    context: ssl.SSLContext, connection: Connection, rule: ContextRule
) -> None:
    """Require that *rule* will check a new connection.

    Some contexts create their connections from another context's classes, or do the
    handshake although nobody asked for it: then the rule would never be applied.
    """
    has_our_class = getattr(connection, "_pinverify_rule", None) is rule
    if has_our_class and type(vars(connection).get("_sslobj")) is GuardedObject:
        return
    problem = (
        "does the handshake when it wraps a socket"
        if has_our_class
        else "does not make its connections with its sslsocket_class and "
        "sslobject_class"
    )
    msg = (
        f"{_name_of(context)} {problem}, so pins cannot be enforced on it; pin an "
        "ssl.SSLContext"
    )
    raise TypeError(msg)


def _made_without_a_peer(context: ssl.SSLContext) -> list[Any]:
    """Create one connection of each class, without a peer.

    TypeError if the context cannot wrap a socket that is not connected yet.
    """
    server = is_server(context)
    how: dict[str, Any] = {"server_side": server}
    if not server:
        how["server_hostname"] = "localhost"
    try:
        with socket.socket() as plain:
            tls: Any = context.wrap_socket(plain, do_handshake_on_connect=False, **how)
            tls.close()
        return [tls, context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how)]
    except (AttributeError, NotImplementedError, ValueError) as error:
        msg = (
            f"{_name_of(context)} does not wrap a socket that is not connected yet "
            f"({error}), so pins cannot be tested on it; pin an ssl.SSLContext, or use "
            "truststore 0.10.5 or later"
        )
        raise TypeError(msg) from error


def _name_of(context: ssl.SSLContext) -> str:
    return f"{type(context).__module__}.{type(context).__name__}"
