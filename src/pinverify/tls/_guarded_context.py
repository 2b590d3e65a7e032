"""Contexts that know whether OpenSSL verifies the chain of each connection.

This is settled when ssl creates the C object of a connection: OpenSSL then copies
`verify_mode` and `options` from the context. Python cannot read the copy, and releases
the GIL while OpenSSL makes it. So a mode that is read before or after may be the one
that another thread has set: urllib3, for one, sets it for every connection. Code that
relied on it could take a chain that nobody has verified for a verified one.

So the class of a guarded context gets a mixin. It counts the changes of mode and
options, and each `GuardedObject` notes whether its chain may count. For most pinned
contexts (see `create`) the C object is first created without a lock. If the count or
the mode then shows a change, the object is discarded, and another one is created under
a lock that also covers the changes. (Taking the lock each time would cost a tenth of
what pins add to a handshake.)

One lock serves the whole process: it is held for microseconds, and no handshake happens
under it. It is re-entrant, because a signal handler can interrupt a creation and change
the mode. The count shows such a change; as the mode is then unknown, only the leaf
counts.

Setting `check_hostname` can turn verification on without the lock. That is harmless: at
worst a chain that OpenSSL verifies is taken for one that it does not verify.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from pinverify.tls._fork_safe import ForkSafeLock
from pinverify.tls._judge import is_worth_offering
from pinverify.tls._memo import leaf_of
from pinverify.tls._policy_in_force import ContextRule, installed
from pinverify.tls._ssl_internals import (
    C_OPTIONS,
    C_VERIFY_MODE,
    CERT_NONE,
    NO_RENEGOTIATION,
    refuse_tickets,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.tls._ssl_internals import (
        Channel,
        CObject,
        Connection,
        Context,
        Session,
    )

__all__ = ["GuardedContext", "MixIn", "create", "guard", "made_by", "may_offer"]

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


class _Exclusion(ForkSafeLock):
    """The lock of the process, and the count of changes made under it.

    Each change is counted when it begins and when it ends, so the count is odd while
    one is made.
    """

    changes = 0


_exclusion = _Exclusion()


class GuardedContext:
    """Mixin for the class of a context; see the top of this file."""

    __slots__ = ()

    _pinverify: ContextRule | None = None  # a pinned context has its own; see rule_of
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into
    _pinverify_mix_in: ClassVar[Any]  # a static MixIn
    _pinverify_mode = C_VERIFY_MODE
    _pinverify_options = C_OPTIONS

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
        # Setting a list frees the old one, which another thread's new connection may
        # be copying: it would send garbage. So a list that is set already is not set
        # again; those who share a context set the same one.
        with _exclusion.lock:
            if vars(self).get("_pinverify_alpn") != protocols:
                super()._set_alpn_protocols(protocols)  # type: ignore[misc]
                vars(self)["_pinverify_alpn"] = bytes(protocols)

    # The signatures of ssl: to collect arguments and spread them again takes longer.

    def _wrap_socket(
        self,
        sock: Channel,
        server_side: bool,  # noqa: FBT001
        server_hostname: str | None = None,
        *,
        owner: Connection = None,
        session: Session = None,
    ) -> CObject:
        return create(self, sock, None, server_side, server_hostname, owner, session)

    def _wrap_bio(  # noqa: PLR0913
        self,
        incoming: Channel,
        outgoing: Channel,
        server_side: bool,  # noqa: FBT001
        server_hostname: str | None = None,
        *,
        owner: Connection = None,
        session: Session = None,
    ) -> CObject:
        return create(
            self, incoming, outgoing, server_side, server_hostname, owner, session
        )


def _change(attribute: Any, context: Context, value: Any) -> None:  # noqa: ANN401
    with _exclusion.lock:
        _exclusion.changes += 1
        try:
            attribute.__set__(context, value)
        finally:
            _exclusion.changes += 1


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
    # The names of the base, for error messages and repr().
    names = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
    }
    own = {"_pinverify_base": base, "_pinverify_mix_in": staticmethod(mix_in)}
    return type(base.__name__, (GuardedContext, base), names | own)


def create(  # noqa: PLR0913, PLR0917 - the arguments of ssl
    context: Context,
    source: Channel,
    outgoing: Channel,
    server_side: bool,  # noqa: FBT001
    server_hostname: str | None,
    owner: Connection,
    session: Session,
) -> CObject:
    """Create a C object, guarded, with a note whether OpenSSL will verify its chain.

    OpenSSL also copies the options. Renegotiation is turned off for the connection,
    because a TLS 1.2 peer could show another certificate in it. Tickets of servers are
    turned off unless `_may_give_tickets`.

    This runs once for each connection. Most of its time goes into calls, so it makes
    few. The fast path is for a context that is itself pinned, has the options already,
    and may give tickets if it serves. For any other context the options are set under
    the lock.

    Args:
        context: the context; it is guarded.
        source: the socket; or the buffer that an `ssl.SSLObject` reads.
        outgoing: the buffer in which it writes; None for a socket.
        server_side: True for the connection of a server.
        server_hostname: the name to verify.
        owner: the connection, as the context's class names it.
        session: the session to resume. ssl checks it first, and raises if it is not
            one of this context. Then it is left out if `may_offer` returns False.
    """
    connection = owner
    rule = context._pinverify or getattr(type(owner), "_pinverify_rule", None)  # noqa: SLF001
    if rule is None:
        if server_side or not installed:
            how = source, outgoing, server_side, server_hostname, owner, session
            return made_by(context._pinverify_base, context, *how)  # noqa: SLF001
        rule = installed[0]
    if type(owner) not in rule.ready:
        connection = context._pinverify_mix_in(owner, outgoing is None, rule)  # noqa: SLF001
    changes = _exclusion.changes
    mode = context._pinverify_mode  # noqa: SLF001
    made, doubt = None, ""
    if (
        rule is context._pinverify  # noqa: SLF001 - else `install` may change it
        and context._pinverify_options & NO_RENEGOTIATION  # noqa: SLF001
        and not changes % 2
        and (not server_side or _may_give_tickets(context, rule))
    ):
        maker = context._pinverify_base  # noqa: SLF001
        if outgoing is None:  # as `made_by` does, which is one call more
            made = maker._wrap_socket(  # noqa: SLF001
                context,
                source,
                server_side,
                server_hostname,
                owner=owner,
                session=session,
            )
        else:
            made = maker._wrap_bio(  # noqa: SLF001
                context,
                source,
                outgoing,
                server_side,
                server_hostname,
                owner=owner,
                session=session,
            )
        doubt = _WAS_OFF if mode == CERT_NONE else ""
    if (
        made is None or changes != _exclusion.changes or mode != context._pinverify_mode  # noqa: SLF001
    ):
        how = source, outgoing, server_side, server_hostname, owner, session
        made, doubt = _create_alone(context, rule, how)
    if session is not None and not may_offer(session, rule, made, verifies=not doubt):
        return create(
            context, source, outgoing, server_side, server_hostname, owner, None
        )
    return connection._pinverify_guards(made, context, doubt, rule, outgoing)  # noqa: SLF001


def may_offer(
    session: Session, rule: ContextRule, made: CObject, *, verifies: bool
) -> bool:
    """Return True unless a server that resumes a session would be refused.

    Such a session is left out: a full handshake shows more than it does.

    Args:
        session: a session of ssl.
        rule: of the connection.
        made: the C object of a client.
        verifies: True if OpenSSL verifies its chain.
    """
    if rule.in_force is None and installed:
        rule = installed[0]
    if rule.in_force is None:
        return True
    server = made.server_hostname, False
    return is_worth_offering(
        rule.in_force, rule.memo, server, leaf_of(session), verifies=verifies
    )


def _create_alone(
    context: Context, rule: ContextRule, how: tuple[Any, ...]
) -> tuple[Any, str]:
    """Create a C object while nobody changes the mode or the options.

    Args:
        context: as in `create`.
        rule: of the connection.
        how: the other arguments of `create`, in their order.

    Returns:
        The C object, and why its chain does not count; empty if it does.
    """
    _, _, server_side, *_ = how
    with _exclusion.lock:
        changes = _exclusion.changes
        mode = context._pinverify_mode  # noqa: SLF001
        options = context._pinverify_options  # noqa: SLF001
        if not options & NO_RENEGOTIATION:
            context._pinverify_options = options | NO_RENEGOTIATION  # noqa: SLF001
        if server_side and not _may_give_tickets(context, rule):
            refuse_tickets(context)
        try:
            made = made_by(context._pinverify_base, context, *how)  # noqa: SLF001
            doubt = _WAS_OFF if mode == CERT_NONE else ""
            if changes != _exclusion.changes or mode != context._pinverify_mode:  # noqa: SLF001
                doubt = _CHANGED
        finally:
            if not rule.servers:  # the application's context, which may serve as well
                context._pinverify_options = options  # noqa: SLF001
    return made, doubt


def made_by(  # noqa: PLR0913, PLR0917 - the arguments of ssl
    maker: Any,  # noqa: ANN401
    context: Context,
    source: Channel,
    outgoing: Channel,
    server_side: bool,  # noqa: FBT001
    server_hostname: str | None,
    owner: Connection,
    session: Session,
) -> CObject:
    """Return a C object that the class *maker* makes for a context.

    The other arguments are those of `create`.
    """
    if outgoing is None:
        return maker._wrap_socket(  # noqa: SLF001
            context, source, server_side, server_hostname, owner=owner, session=session
        )
    return maker._wrap_bio(  # noqa: SLF001
        context,
        source,
        outgoing,
        server_side,
        server_hostname,
        owner=owner,
        session=session,
    )


def _may_give_tickets(context: Context, rule: ContextRule) -> bool:
    """Return True if a session in a ticket can be judged wherever it comes back.

    A ticket shows the leaf and no chain. It may come back in another process, which
    has not seen the chain, or long after this one has forgotten it. With a callback
    for SNI it may come back to a context that was made since, or has other pins. So
    it must be enough to see the leaf.
    """
    in_force = rule.in_force
    if in_force is None or not rule.servers:
        return True
    return in_force.handle.knows_clients_by_leaf and context.sni_callback is None
