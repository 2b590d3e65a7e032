"""Pins for a whole process, for libraries that create their own context.

`install` changes the methods of `ssl.SSLContext` in which a connection begins. These
mix the check into the class of a client's connection, whatever that class is. So
`install` also reaches contexts and classes made before, and those of other libraries.
"""

from __future__ import annotations

import _ssl
import errno
import functools
import socket
import ssl
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any, Literal

from pinverify.tls._events import logger
from pinverify.tls._pin_context import require_our_class
from pinverify.tls._policy_in_force import ContextRule, InForce, in_force, installed
from pinverify.tls._ssl_connections import mix_in, no_longer_plain, of_applications
from pinverify.tls._ssl_contexts import (
    Channel,
    CObject,
    Connection,
    Context,
    GuardedContext,
    Make,
    Session,
    create,
    guard,
    inner_context,
    is_server,
    rule_of,
    wrappers,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import OnReport

__all__ = ["Installed", "install", "uninstall"]

_CONTEXT: Any = _ssl._SSLContext  # noqa: SLF001


def install(
    policy: Policy | PinSet,
    *,
    on_report: OnReport | None = None,
    nameless: Literal["allow", "reject"] = "reject",
) -> Installed:
    """Enforce pins on the client connections that this process makes with `ssl`.

    `install` is for libraries that create their own `ssl.SSLContext` and take no other.
    It changes `ssl.SSLContext` for all code, until `uninstall`; a second call replaces
    the policy. It reaches contexts made before, too, and those of truststore and
    gevent. A context that is itself pinned keeps its own policy. Connections of servers
    are left alone.

    The rule is looked up by the name that the client gives to `ssl`. Some libraries,
    such as ldap3 and oracledb, give none, and check the server's name themselves: see
    *nameless*. A name that is no host, such as ``db.1`` or ``fe80::1%eth0``, is judged
    by the rule of the host in it (``api.example.com:443`` by that of
    ``api.example.com``). Without such a rule it is accepted and reported, if the policy
    allows hosts without pins.

    Forked processes inherit the pins; other processes do not. If `multiprocessing` or
    `concurrent.futures` starts processes with "spawn" or "forkserver" (the default on
    Linux since CPython 3.14), pass *install* as ``initializer`` and the policy in
    ``initargs``, or call *install* in a module that these processes import too.
    Subinterpreters have an `ssl` of their own, which pins do not reach.

    `install` cannot reach other implementations of TLS (pyOpenSSL, and so urllib3 once
    `urllib3.contrib.pyopenssl` is injected; libcurl; gRPC), nor contexts that replace
    the class of a connection after its creation, as eventlet's do: these cannot connect
    while pins are installed.

    Args:
        policy: preferably rules for the hosts that matter, because all other hosts
            are checked against it as well.
        on_report: as in `pin_context`.
        nameless: "allow" accepts connections without a name like hosts without pins,
            and reports them. "reject" rejects them if any rule of the policy enforces
            its pins; otherwise it acts like "allow". A policy that rejects hosts
            without pins always rejects them. A PinSet judges them like all others.

    Returns:
        An object that can replace the policy; *on_report* and *nameless* stay.

    Raises:
        ValueError: *nameless* is neither "allow" nor "reject".
        TypeError: pins cannot be enforced on connections of this process, because
            urllib3 uses pyOpenSSL, or because the contexts are eventlet's.
    """
    if nameless not in {"allow", "reject"}:
        msg = f"nameless: expected 'allow' or 'reject', got {nameless!r}"
        raise ValueError(msg)
    checked = _for_hosts(policy, on_report, nameless)
    _warn_of_workers()
    if installed:
        installed[0].in_force = checked
        return Installed(installed[0], nameless)
    if getattr(sys.modules.get("urllib3.util"), "IS_PYOPENSSL", False):
        msg = (
            "urllib3.contrib.pyopenssl is injected: urllib3 makes its connections with "
            "pyOpenSSL, which install() does not reach; call "
            "urllib3.contrib.pyopenssl.extract_from_urllib3() before"
        )
        raise TypeError(msg)
    rule = ContextRule(checked, servers=False)
    installed.append(rule)
    try:
        for cls in _CONTEXT.__subclasses__():
            if "wrap_socket" in vars(cls):  # ssl.SSLContext, however patched
                _change(cls)
        _try_once(inner_context(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)), rule)
    except BaseException:
        uninstall()
        raise
    return Installed(rule, nameless)


class Installed:
    """The pins of a process, as `install` returns them: their policy can be replaced.

    They end with `uninstall`.
    """

    __module__ = "pinverify"

    def __init__(self, rule: ContextRule, nameless: Literal["allow", "reject"]) -> None:
        self._rule = rule
        self._nameless = nameless

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet. The old one stays.
            ValueError: `uninstall` was called: there are no pins to replace.
        """
        before = self._rule.in_force
        if before is None or self._rule not in installed:
            msg = "these pins are not installed any more: call install again"
            raise ValueError(msg)
        self._rule.in_force = _for_hosts(policy, before.on_report, self._nameless)


def _for_hosts(
    policy: Policy | PinSet,
    on_report: OnReport | None,
    nameless: Literal["allow", "reject"],
) -> InForce:
    checked = in_force(policy, on_report)
    rejects = nameless == "reject" and checked.handle.enforces_for_hosts()
    return checked._replace(rejects_nameless=rejects)


def uninstall() -> None:
    """Undo `install`. Established connections are not affected."""
    installed.clear()
    _tried.clear()
    while _changed:
        cls, name, original = _changed.pop()
        if original is None:
            delattr(cls, name)
        else:
            setattr(cls, name, original)


# For each method that `install` has changed: the class, its name there, the original
# (None if the class inherited it).
_changed: list[tuple[Any, str, Any]] = []
# The classes of contexts that have been seen to make connections with the check.
_tried: weakref.WeakSet[type] = weakref.WeakSet()
_trying = threading.local()  # ``cls`` is the class that this thread tries
_warned: set[str] = set()  # the kinds of processes without pins that were logged


def _warn_of_workers() -> None:
    """Log once if workers or interpreters of this process will have no pins.

    Whoever uses them has imported their modules. A worker that runs this has pins.
    """
    multiprocessing: Any = sys.modules.get("multiprocessing")
    is_imported = hasattr(multiprocessing, "parent_process")
    if is_imported and "workers" not in _warned and not _is_a_worker(multiprocessing):
        method = multiprocessing.get_start_method(allow_none=True)
        if method is None:  # the first is the default; asking for one would set it
            method = multiprocessing.get_all_start_methods()[0]
        if method != "fork":
            _warned.add("workers")
            logger().warning(
                "install() pins this process and its forks; worker processes of "
                "multiprocessing and concurrent.futures are started by %r here and "
                "have no pins: give their pool initializer=pinverify.install and "
                "initargs=(policy,)",
                method,
            )
    if "concurrent.interpreters" in sys.modules and "interpreters" not in _warned:
        _warned.add("interpreters")
        logger().warning(
            "install() does not reach subinterpreters, which have an ssl module of "
            "their own: make no TLS connections there"
        )


def _is_a_worker(multiprocessing: Any) -> bool:  # noqa: ANN401 - the module
    """Return True in a worker, and where the main module is imported again for one."""
    imports_main = getattr(multiprocessing.current_process(), "_inheriting", False)
    return imports_main or multiprocessing.parent_process() is not None


def _change(cls: Any) -> None:  # noqa: ANN401
    changes = {
        **wrappers(_make, _CONTEXT),
        "wrap_socket": _wrapping_unconnected(vars(cls)["wrap_socket"]),
    }
    for name, change in changes.items():
        _changed.append((cls, name, vars(cls).get(name)))
        setattr(cls, name, change)


def _make(  # noqa: PLR0913, PLR0917 - those of `create`
    context: Context,
    make: Make,
    outgoing: Channel,
    server_side: bool,  # noqa: FBT001
    owner: Connection,
    session: Session,
) -> CObject:
    """Create a C object as `create` does; guard a context that makes its first client.

    If the owner has the check, the call came from `create`, which must not be called
    again. A guarded context does not show this: another thread may have guarded it.
    """
    if server_side or not installed:
        return make(session)
    if not isinstance(context, GuardedContext):
        _warn_of_workers()
    if rule_of(context) is None:  # else `hook` has tried it
        try:
            _try_once(context, installed[0])
        except BaseException:  # ssl closes the socket for some exceptions only
            if isinstance(owner, socket.socket):
                owner.close()
            raise
    if hasattr(type(of_applications(owner)), "_pinverify_rule"):
        return make(session)
    return create(context, make, outgoing, server_side, owner, session)


def _try_once(context: Context, rule: ContextRule) -> None:
    """Guard a context, and require that its class makes connections with the check."""
    guard(context, mix_in)
    cls, before = type(context), vars(_trying).get("cls")
    if cls in _tried or cls is before or is_server(context):
        return
    _trying.cls = cls
    try:
        for tls in _made_with_a_peer(context):
            require_our_class(context, tls, rule)
    finally:
        _trying.cls = before
    _tried.add(cls)


def _made_with_a_peer(context: Context) -> list[Any]:
    """Create one connection of each class; no handshake begins."""
    how: dict[str, Any] = {"server_hostname": "localhost"}
    ours, other = socket.socketpair()
    with ours, other:
        ours.settimeout(0)  # a handshake at once would wait
        try:
            with context.wrap_socket(ours, do_handshake_on_connect=False, **how) as tls:
                return [tls, context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how)]
        except Exception as error:
            found = type(context)
            msg = (
                f"{found.__module__}.{found.__qualname__} cannot be tried by "
                f"install(), which pins the connections of this process: {error!r}; "
                "pins cannot be enforced on it, so it cannot connect: its wrap_socket "
                "and wrap_bio must take the arguments of ssl.SSLContext and leave the "
                "handshake for later"
            )
            raise TypeError(msg) from error


def _wrapping_unconnected(original: Callable[..., Any]) -> Callable[..., Any]:
    """Return `wrap_socket` with the check, for sockets that are not connected yet.

    `connect` creates their C object; by then an application may have used the socket.
    """

    @functools.wraps(original)
    def wrap_socket(self: Context, *args: Any, **how: Any) -> Any:  # noqa: ANN401
        tls = original(self, *args, **how)
        has_a_rule = rule_of(self) or hasattr(type(tls), "_pinverify_rule")
        if installed and not has_a_rule and not tls.server_side:
            if tls._sslobj is not None:  # noqa: SLF001
                tls.close()
                msg = "install() was called meanwhile: connect again, to be judged"
                raise OSError(errno.ECONNABORTED, msg)
            no_longer_plain(mix_in(tls, True, installed[0]))  # noqa: FBT003
        return tls

    return wrap_socket
