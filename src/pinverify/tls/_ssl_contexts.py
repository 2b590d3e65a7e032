"""Contexts of `ssl`: they note whether OpenSSL verifies the chain of each connection.

When ssl creates the C object of a connection, OpenSSL copies `verify_mode` and
`options` from the context. Python cannot read the copy, and other threads run while
OpenSSL makes it. If one of them changes the mode (urllib3 does so for every
connection), the mode that Python reads may not be the mode that OpenSSL has copied:
then a chain that nobody has verified would count.

So the mixin `GuardedContext` is added to the class of a context. It counts the changes
of mode and options, and `create` notes for each connection whether its chain may count.
For most pinned contexts the C object is first created without a lock: to take a lock
each time would cost a tenth of what pins add to a handshake. If the count or the mode
then shows a change, the object is discarded, and another one is created under a lock
that also covers the changes.

One lock serves the whole process: it is held for microseconds, and no handshake happens
under it. It is re-entrant, because a signal handler can interrupt a creation under the
lock and change the mode. The count shows that, and then only the leaf counts.

Setting `check_hostname` can turn verification on without the lock. That is harmless: at
worst a verified chain is taken for one that is not.
"""

from __future__ import annotations

import _ssl
import os
import ssl
import threading
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pinverify.tls._judge import is_worth_offering
from pinverify.tls._memo import leaf_of
from pinverify.tls._policy_in_force import ContextRule, installed

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CObject",
    "Channel",
    "Connection",
    "Context",
    "ForkSafeLock",
    "GuardedContext",
    "Make",
    "Session",
    "create",
    "guard",
    "inner_context",
    "is_context",
    "is_kept",
    "is_server",
    "may_offer",
    "refuse_wrong_session",
    "rule_of",
    "verifies",
    "wrappers",
]

# ssl has no types for these: classes of C, and of gevent and truststore.
Context: TypeAlias = Any
Connection: TypeAlias = Any
CObject: TypeAlias = Any
Session: TypeAlias = Any
Channel: TypeAlias = Any  # a socket, or a buffer in memory

Make: TypeAlias = "Callable[[Session], CObject]"
"""Makes the C object of one connection. Its argument is the session to resume."""

MixIn: TypeAlias = "Callable[[Any, bool, ContextRule], Any]"
"""Returns the connection that owns a C object, with the check mixed into its class.

Its arguments are the owner, True if it is a socket, and the rule."""

_WAS_OFF = (
    "OpenSSL did not verify this chain: verify_mode was CERT_NONE when the connection "
    "was made"
)
_CHANGED = (
    "it is not known whether OpenSSL verified this chain: verify_mode was changed "
    "while the connection was made"
)

# The attributes of C give plain numbers, without the cost of enums.
_C_VERIFY_MODE: Any = _ssl._SSLContext.verify_mode  # noqa: SLF001
_C_OPTIONS: Any = _ssl._SSLContext.options  # noqa: SLF001
_num_tickets: Any = _ssl._SSLContext.num_tickets.__get__  # type: ignore[attr-defined] # noqa: SLF001
_NO_RENEGOTIATION = int(ssl.OP_NO_RENEGOTIATION)
_NO_TICKET = int(ssl.OP_NO_TICKET)
_CERT_NONE = int(ssl.CERT_NONE)


class ForkSafeLock:
    """Owner of a re-entrant lock, which a forked process replaces by a new one.

    A thread that holds the lock during a fork does not exist in the child, where nobody
    would release the lock. Python keeps each owner for ever, so create few.
    """

    def __init__(self) -> None:
        self._renew()
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


class _Exclusion(ForkSafeLock):
    """The lock of the process, and the count of changes made under it."""

    changes = 0  # odd while one is made


_exclusion = _Exclusion()


class GuardedContext:
    """Mixin for the class of a context; see the top of this file."""

    __slots__ = ()

    _pinverify: ContextRule | None = None  # a pinned context has its own; see rule_of
    _pinverify_mix_in: ClassVar[Any]  # a static MixIn
    _pinverify_mode = _C_VERIFY_MODE  # read at half the cost of its __get__
    _pinverify_options = _C_OPTIONS

    @property
    def verify_mode(self) -> Any:  # noqa: ANN401
        """The mode of new connections, as in ssl."""
        return super().verify_mode  # type: ignore[misc]

    @verify_mode.setter
    def verify_mode(self, mode: Any) -> None:  # noqa: ANN401
        _change(super(GuardedContext, type(self)).verify_mode, self, mode)  # type: ignore[misc]

    @property
    def options(self) -> Any:  # noqa: ANN401
        """The options of new connections, as in ssl; see `create`."""
        return super().options  # type: ignore[misc]

    @options.setter
    def options(self, options: Any) -> None:  # noqa: ANN401
        _change(super(GuardedContext, type(self)).options, self, options)  # type: ignore[misc]

    def _set_alpn_protocols(self, protocols: Any) -> None:  # noqa: ANN401
        # Setting a list frees the old one. A new connection of another thread that is
        # copying it would send garbage. Threads that share a context set the same.
        with _exclusion.lock:
            if vars(self).get("_pinverify_alpn") != protocols:
                super()._set_alpn_protocols(protocols)  # type: ignore[misc]
                vars(self)["_pinverify_alpn"] = bytes(protocols)


def _change(attribute: Any, context: Context, value: Any) -> None:  # noqa: ANN401
    with _exclusion.lock:
        _exclusion.changes += 1
        try:
            attribute.__set__(context, value)
        finally:
            _exclusion.changes += 1


def wrappers(create: Callable[..., CObject], base: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return methods `_wrap_socket` and `_wrap_bio`, which call *create*.

    *create* has the arguments of `create`. The methods of *base* make the C object.
    """

    def _wrap_socket(  # noqa: PLR0913 - the signature of ssl
        self: Context,
        sock: Channel,
        server_side: bool,  # noqa: FBT001
        server_hostname: str | None = None,
        *,
        owner: Connection = None,
        session: Session = None,
    ) -> CObject:
        def make(session: Session) -> CObject:
            how = server_side, server_hostname
            return wrap(self, sock, *how, owner=owner, session=session)

        wrap = base._wrap_socket  # noqa: SLF001
        return create(self, make, None, server_side, owner, session)

    def _wrap_bio(  # noqa: PLR0913 - the signature of ssl
        self: Context,
        incoming: Channel,
        outgoing: Channel,
        server_side: bool,  # noqa: FBT001
        server_hostname: str | None = None,
        *,
        owner: Connection = None,
        session: Session = None,
    ) -> CObject:
        def make(session: Session) -> CObject:
            how = outgoing, server_side, server_hostname
            return wrap(self, incoming, *how, owner=owner, session=session)

        wrap = base._wrap_bio  # noqa: SLF001
        return create(self, make, outgoing, server_side, owner, session)

    return {"_wrap_socket": _wrap_socket, "_wrap_bio": _wrap_bio}


def guard(context: Context, mix_in: MixIn) -> None:
    """Mix `GuardedContext` into the class of a context.

    Raises:
        TypeError: the class does not allow it.
    """
    found = type(context)
    if issubclass(found, GuardedContext):
        return
    try:
        context.__class__ = _guarded(found, mix_in)
    except TypeError as error:
        msg = (
            f"{found.__module__}.{found.__qualname__} cannot be pinned, because its "
            f"class cannot be extended ({error}); pin an ssl.SSLContext"
        )
        raise TypeError(msg) from error


def _guarded(base: type, mix_in: MixIn) -> type:
    # Python lists the subclasses of a base as long as they are in use.
    known: type
    for known in base.__subclasses__():
        if known.__bases__ == (GuardedContext, base):
            return known
    same = "__module__", "__qualname__", "__doc__"  # for error messages and repr()
    names = {name: getattr(base, name) for name in same}
    own = {"_pinverify_mix_in": staticmethod(mix_in)} | wrappers(create, base)
    return type(base.__name__, (GuardedContext, base), names | own)


def create(  # noqa: PLR0913, PLR0917 - one call, for speed
    context: Context,
    make: Make,
    outgoing: Channel,
    server_side: bool,  # noqa: FBT001
    owner: Connection,
    session: Session,
) -> CObject:
    """Create a C object, guarded, with a note whether OpenSSL will verify its chain.

    OpenSSL also copies the options. Renegotiation is turned off for the connection,
    because a TLS 1.2 peer could show another certificate in it. Tickets of servers are
    turned off unless `_may_give_tickets`. A session is left out unless `may_offer`.

    Calls cost time here, so there are few. The fast path is for a context that is
    itself pinned, has the options already, and may give tickets if it serves. For any
    other context the options are set under the lock.

    *owner* is the argument of `_wrap_socket`: the connection, or what gevent passes
    instead (see `of_applications`). *outgoing* is the buffer that an SSL object writes
    to, None for a socket. ssl refuses a *session* of another context.
    """
    connection = owner
    rule = context._pinverify or getattr(type(owner), "_pinverify_rule", None)  # noqa: SLF001
    if rule is None:
        if server_side or not installed:
            return make(session)
        rule = installed[0]
    if type(owner) not in rule.ready:
        connection = context._pinverify_mix_in(owner, outgoing is None, rule)  # noqa: SLF001
    changes = _exclusion.changes
    mode = context._pinverify_mode  # noqa: SLF001
    made, doubt = None, ""
    if (
        rule is context._pinverify  # noqa: SLF001 - else `install` may change it
        and context._pinverify_options & _NO_RENEGOTIATION  # noqa: SLF001
        and not changes % 2
        and (not server_side or _may_give_tickets(context, rule))
    ):
        made = make(session)
        doubt = _WAS_OFF if mode == _CERT_NONE else ""
    if (
        made is None or changes != _exclusion.changes or mode != context._pinverify_mode  # noqa: SLF001
    ):
        made, doubt = _create_alone(context, rule, make, server_side, session)
    if session is not None and not may_offer(session, rule, made, verifies=not doubt):
        return create(context, make, outgoing, server_side, owner, None)
    return connection._pinverify_guards(made, context, doubt, rule, outgoing)  # noqa: SLF001


def may_offer(
    session: Session, rule: ContextRule, made: CObject, *, verifies: bool
) -> bool:
    """Return True unless a server that resumes a session would be refused."""
    if rule.in_force is None and installed:
        rule = installed[0]
    if rule.in_force is None:
        return True
    server = made.server_hostname, False
    return is_worth_offering(
        rule.in_force, rule.memo, server, leaf_of(session), verifies=verifies
    )


def _create_alone(
    context: Context,
    rule: ContextRule,
    make: Make,
    server_side: bool,  # noqa: FBT001
    session: Session,
) -> tuple[CObject, str]:
    """Create a C object under the lock; also return why its chain does not count."""
    with _exclusion.lock:
        changes = _exclusion.changes
        mode = context._pinverify_mode  # noqa: SLF001
        options = context._pinverify_options  # noqa: SLF001
        if not options & _NO_RENEGOTIATION:
            context._pinverify_options = options | _NO_RENEGOTIATION  # noqa: SLF001
        if server_side and not _may_give_tickets(context, rule):
            _refuse_tickets(context)
        try:
            made = make(session)
            doubt = _WAS_OFF if mode == _CERT_NONE else ""
            if changes != _exclusion.changes or mode != context._pinverify_mode:  # noqa: SLF001
                doubt = _CHANGED
        finally:
            if not rule.servers:  # the application's context, which may serve as well
                context._pinverify_options = options  # noqa: SLF001
    return made, doubt


def _may_give_tickets(context: Context, rule: ContextRule) -> bool:
    """Return True if a session in a ticket can be judged wherever it comes back.

    The leaf must be enough to judge the client: `_judge` says why. With a callback for
    SNI, the ticket may even come back to a newer context, or one with other pins.
    """
    in_force = rule.in_force
    if in_force is None or not rule.servers:
        return True
    return in_force.handle.knows_clients_by_leaf and context.sni_callback is None


def verifies(context: Context) -> bool:
    """Return True if OpenSSL verifies chains, so that more than the leaf counts."""
    return bool(_C_VERIFY_MODE.__get__(context) != _CERT_NONE)


def _refuse_tickets(context: Context) -> None:
    """Let a server give no tickets and take none; call it before each connection.

    Clients of TLS 1.2 can still resume the sessions that OpenSSL keeps in the memory of
    this process: Python cannot turn these off.
    """
    options = _C_OPTIONS.__get__(context)
    if not options & _NO_TICKET:
        _C_OPTIONS.__set__(context, options | _NO_TICKET)
    if _num_tickets(context) and is_server(context):  # others have no such setting
        context.num_tickets = 0


def is_kept(sslobj: CObject, created_with: Context) -> bool:
    """Return True if the memory of this process may keep the session of a server.

    In TLS 1.3 it may if OP_NO_TICKET is set: a ticket is then only the number of a kept
    session. Sessions from before num_tickets was set to 0 can still be resumed.
    """
    if sslobj.version() != "TLSv1.3":
        return True
    numbers = _C_OPTIONS.__get__(created_with) & _NO_TICKET
    return bool(numbers and (_num_tickets(created_with) or sslobj.session_reused))


def refuse_wrong_session(context: Context, session: Session) -> None:
    """Raise as ssl does if *session* is not a session of *context*."""
    ends = ssl.MemoryBIO(), ssl.MemoryBIO()
    _ssl._SSLContext._wrap_bio(context, *ends, False, session=session)  # type: ignore[attr-defined] # noqa: SLF001, FBT003


def is_context(context: object) -> bool:
    """Return True for a context of ssl, including subclasses and replacements."""
    # Not ssl.SSLContext, which truststore and gevent replace.
    return isinstance(context, _ssl._SSLContext)  # noqa: SLF001


def inner_context(context: Context) -> Context:
    """Return the context that makes the connections; truststore's is a wrapper."""
    inner = context.__dict__.get("_ctx")
    return inner if is_context(inner) else context


def is_server(context: Context) -> bool:
    """Return True if a context is for servers only."""
    return getattr(context, "protocol", None) is ssl.PROTOCOL_TLS_SERVER


def rule_of(context: Context) -> ContextRule | None:
    """Return the rule of a context that is itself pinned, or None."""
    rule: ContextRule | None = vars(context).get("_pinverify")
    return rule
