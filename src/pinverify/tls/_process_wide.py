"""Pins for a whole process, for libraries that create their own context.

`install` changes no class of connections, so servers get those that they would have
had. It changes the methods of `ssl.SSLContext` in which a connection begins: the
check is mixed into the class of a client's connection there, whatever that class is.
So contexts and classes count that were made before, and those of other libraries.
"""

from __future__ import annotations

import _ssl
import functools
import socket
import ssl
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from pinverify.tls._connections import mix_in
from pinverify.tls._guarded_context import GuardedContext, create, guard, made_by
from pinverify.tls._in_force import ContextRule, in_force, installed, rule_of
from pinverify.tls._pin_context import require_our_class
from pinverify.tls._ssl_internals import inner_context, is_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import PinSet, Policy
    from pinverify.tls._notices import OnReport

__all__ = ["install", "uninstall"]

_CONTEXT: Any = _ssl._SSLContext  # noqa: SLF001


def install(policy: Policy | PinSet, *, on_report: OnReport | None = None) -> None:
    """Enforce pins on the client connections that this process makes with `ssl`.

    It is for libraries that create their own `ssl.SSLContext` and accept none. It
    changes `ssl.SSLContext` for all code, until `uninstall`; a second call replaces
    the policy. Contexts made before count, too, and those of truststore and gevent. A
    context that is itself pinned keeps its own policy. Connections of servers are left
    alone.

    A connection without a name (``check_hostname`` is off, and none is given) has no
    rule. It is accepted as a host without pins if the policy allows these, and is then
    reported.

    It cannot reach other implementations of TLS (pyOpenSSL, and so urllib3 once
    `urllib3.contrib.pyopenssl` is injected; libcurl; gRPC), nor contexts that replace
    the class of a connection after its creation, as eventlet's do: these cannot connect
    while pins are installed.

    Args:
        policy: preferably rules for the hosts that matter, because all other hosts
            are checked against it as well.
        on_report: as in `pin_context`.

    Raises:
        TypeError: the process makes its connections in a way that pins cannot be
            enforced on, with urllib3 over pyOpenSSL or with eventlet's contexts.
    """
    checked = in_force(policy, on_report)
    if installed:
        installed[0].in_force = checked
        return
    _refuse_urllib3_over_pyopenssl()
    rule = ContextRule(checked, servers=False)
    installed.append(rule)
    try:
        for cls in _classes_of_ssl():
            _change(cls)
        _try_once(inner_context(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), rule)
    except BaseException:
        uninstall()
        raise


def uninstall() -> None:
    """Undo `install`. Established connections are not affected."""
    installed.clear()
    _tried.clear()
    while _changed:
        cls, name, original = _changed.pop()
        if original is None:  # the method of C comes back
            delattr(cls, name)
        else:
            setattr(cls, name, original)


_changed: list[tuple[Any, str, Any]] = []
"""The classes that `install` has changed, with a name and what it was in the class."""

_tried: weakref.WeakSet[type] = weakref.WeakSet()
"""The classes of contexts that have been seen to make connections with the check."""

_trying = threading.local()
"""The class that this thread tries, as ``cls``."""


def _refuse_urllib3_over_pyopenssl() -> None:
    if getattr(sys.modules.get("urllib3.util"), "IS_PYOPENSSL", False):
        msg = (
            "urllib3.contrib.pyopenssl is injected: urllib3 makes its connections with "
            "pyOpenSSL, which install() does not reach; call "
            "urllib3.contrib.pyopenssl.extract_from_urllib3() before"
        )
        raise TypeError(msg)


def _classes_of_ssl() -> list[Any]:
    """Return the classes just above that of C: `ssl.SSLContext`, however patched."""
    found: list[Any] = _CONTEXT.__subclasses__()
    return [cls for cls in found if "wrap_socket" in vars(cls)]


# ---- the methods of ssl.SSLContext in which a connection begins ------------------


def _change(cls: Any) -> None:  # noqa: ANN401
    changes = {
        "_wrap_socket": _wrap_socket,
        "_wrap_bio": _wrap_bio,
        "wrap_socket": _wrapping_unconnected(vars(cls)["wrap_socket"]),
    }
    for name, change in changes.items():
        _changed.append((cls, name, vars(cls).get(name)))
        setattr(cls, name, change)


def _wrap_socket(  # noqa: PLR0913 - the signature of ssl
    self: Any,  # noqa: ANN401
    sock: Any,  # noqa: ANN401
    server_side: bool,  # noqa: FBT001
    server_hostname: str | None = None,
    *,
    owner: Any = None,  # noqa: ANN401
    session: Any = None,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    return _make(self, sock, None, server_side, server_hostname, owner, session)


def _wrap_bio(  # noqa: PLR0913 - the signature of ssl
    self: Any,  # noqa: ANN401
    incoming: Any,  # noqa: ANN401
    outgoing: Any,  # noqa: ANN401
    server_side: bool,  # noqa: FBT001
    server_hostname: str | None = None,
    *,
    owner: Any = None,  # noqa: ANN401
    session: Any = None,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    return _make(self, incoming, outgoing, server_side, server_hostname, owner, session)


def _make(  # noqa: PLR0913, PLR0917 - the arguments of ssl
    context: Any,  # noqa: ANN401
    source: Any,  # noqa: ANN401
    outgoing: Any,  # noqa: ANN401
    server_side: bool,  # noqa: FBT001
    server_hostname: str | None,
    owner: Any,  # noqa: ANN401
    session: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Create a C object; guard a context that makes its first client.

    The arguments are those of `create`.
    """
    how = context, source, outgoing, server_side, server_hostname, owner, session
    if server_side or not installed:
        return made_by(_CONTEXT, *how)
    is_first = not isinstance(context, GuardedContext)
    if rule_of(context) is None:  # else `hook` has tried it
        try:
            _try_once(context, installed[0])
        except BaseException:  # ssl closes the socket for some exceptions only
            if isinstance(owner, socket.socket):
                owner.close()
            raise
    if not is_first:
        return made_by(_CONTEXT, *how)
    return create(*how)


def _try_once(context: Any, rule: ContextRule) -> None:  # noqa: ANN401
    """Guard a context, and see that its class makes connections with the check.

    Raises:
        TypeError: it does not.
    """
    guard(context, mix_in)
    cls = type(context)
    if cls in _tried or cls is vars(_trying).get("cls") or is_server(context):
        return
    before = vars(_trying).get("cls")
    _trying.cls = cls
    try:
        for tls in _made_with_a_peer(context):
            require_our_class(context, tls, rule)
    finally:
        _trying.cls = before
    _tried.add(cls)


def _made_with_a_peer(context: Any) -> list[Any]:  # noqa: ANN401
    """Create one connection of each class; no handshake begins."""
    how: dict[str, Any] = {"server_hostname": "localhost"}
    ours, other = socket.socketpair()
    with ours, other:
        ours.settimeout(0)  # a handshake at once would wait
        with context.wrap_socket(ours, do_handshake_on_connect=False, **how) as tls:
            return [tls, context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how)]


def _wrapping_unconnected(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `wrap_socket` with the check, for sockets that are not connected yet.

    Their C object is created by `connect`; by then an application may have used them.
    """

    @functools.wraps(original)
    def wrap_socket(self: Any, *args: Any, **how: Any) -> Any:  # noqa: ANN401
        tls = original(self, *args, **how)
        has_a_rule = rule_of(self) or hasattr(type(tls), "_pinverify_rule")
        if installed and not has_a_rule and not tls.server_side:
            mix_in(tls, True, installed[0])  # noqa: FBT003
        return tls

    return wrap_socket
