"""Connections of `ssl` that are judged before data moves: sockets and objects.

`_evidence` describes the states of a connection, and the certificates that count. This
file enforces that for the two kinds of connections of ssl. A class here is mixed into
a class of ssl, or into an application's subclass of one, and is the class of a
connection while it is PENDING. Afterwards the connection gets a class that adds next
to nothing to the original.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pinverify.tls._checking_classes import class_with_the_check, verified_class
from pinverify.tls._evidence import (
    Accepted,
    Peer,
    announce,
    is_nameless,
    judge,
    judge_under_install,
    refusal,
    reject_early,
    rejection,
    report_of_accepted,
)
from pinverify.tls._guarded_context import GuardedContext, guard
from pinverify.tls._guarded_object import GuardedObject
from pinverify.tls._in_force import ContextRule, InForce, installed, rule_of
from pinverify.tls._ssl_internals import ShownBySSL, can_be_resumed, der

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import PinningError, Report

__all__ = [
    "Pending",
    "PendingObject",
    "PendingSocket",
    "mix_in",
]


# Without a C object there is no evidence, so the check fails.
_NOTHING_SHOWN = ShownBySSL((None, None, "the connection has no C object"))


class Pending:
    """Mixin for an SSL socket or object until the check is done."""

    _pinverify_rule: ClassVar[ContextRule]
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into
    _pinverify_settled: ClassVar[bool] = False
    # Of one class, not of its subclasses: that class, the same once it is VERIFIED,
    # and its rule.
    _pinverify_short_way: ClassVar[tuple[Any, Any, Any]] = (None, None, None)
    _pinverify_own_rule: ContextRule | None = None
    _pinverify_error: PinningError | None = None
    _pinverify_accepted: Accepted | None = None
    _pinverify_report: Report | None = None

    # Noted when the C object is created.
    _pinverify_shown = _NOTHING_SHOWN
    _pinverify_peer: Peer = (None, False)

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before the decision, and without pins."""
        if self._pinverify_error is not None:
            return self._pinverify_error.report
        accepted = self._pinverify_accepted
        if self._pinverify_report is None and accepted is not None:
            self._pinverify_report = report_of_accepted(
                accepted, self._pinverify_peer, self._pinverify_shown
            )
        return self._pinverify_report

    @property
    def _sslobj(self) -> Any:  # noqa: ANN401 - a C object without a type
        """The C object as the methods of ssl see it: guarded by the check.

        The gates are on our class. A class of the application may have methods of its
        own that call those of ssl and bypass the gates.
        """
        own = self.__dict__
        sslobj = own.get("_sslobj")
        if sslobj is not None and "_pinverify_guarded" not in own:
            own["_pinverify_guarded"] = GuardedObject(self, sslobj)
        return own.get("_pinverify_guarded")

    @_sslobj.setter
    def _sslobj(self, sslobj: Any) -> None:  # noqa: ANN401
        self.__dict__["_sslobj"] = sslobj
        self.__dict__.pop("_pinverify_guarded", None)
        if sslobj is not None and sslobj is not self._pinverify_shown.sslobj:
            self._pinverify_shown = _NOTHING_SHOWN  # that was another one

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Do the handshake, then decide about the peer."""
        self._pinverify_raise_again()
        self._pinverify_base.do_handshake(self, *args, **kwargs)
        if not self._pinverify_settled:
            self._pinverify_decide()

    def verify_client_post_handshake(self) -> NoReturn:
        """Refuse: a later certificate would come after the decision."""
        msg = "pins are checked in the handshake; later authentication is disabled"
        raise rejection(self._pinverify_rule.in_force, None, msg)

    def _pinverify_settle(self) -> None:
        """Complete the handshake and the check, before data moves."""
        self._pinverify_raise_again()
        if not self._pinverify_settled:
            self.do_handshake()

    def _pinverify_raise_again(self) -> None:
        error = self._pinverify_error
        if error is not None:
            raise error.with_traceback(None)

    def _pinverify_decide(self) -> None:
        in_force = None
        try:
            shown = self._pinverify_shown
            rule, in_force = self._pinverify_in_force(shown)
            if in_force is not None:
                peer = self._pinverify_peer
                memo = rule.memo
                if peer[1]:
                    self._pinverify_refuse_hidden_name(in_force, shown)
                    if not can_be_resumed(shown.sslobj, shown.created_with):
                        memo = rule.memo_of_latest
                self._pinverify_accepted = _judge_by(rule)(in_force, memo, peer, shown)
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self._pinverify_fail(error, in_force)
        cls = type(self)
        known = cls.__dict__.get("_pinverify_verified_class")
        self.__class__ = known or verified_class(cls)

    def _pinverify_in_force(
        self, shown: ShownBySSL
    ) -> tuple[ContextRule, InForce | None]:
        """Return the rule that decides, and its policy in force.

        SNI may have selected a context other than the listening one. Its rule decides
        if it has one; a context without pins does not lift those of the listening one.
        """
        rule = self._pinverify_own_rule
        if rule is None:
            context = shown.sslobj.context
            if context is not shown.created_with:
                rule = rule_of(context)
        in_force = None if rule is None else rule.in_force
        if rule is None or in_force is None:
            rule = self._pinverify_rule
            in_force = rule.in_force
        if in_force is None and installed:
            rule = installed[0]
            in_force = rule.in_force
        return rule, in_force if rule.servers or not self._pinverify_peer[1] else None

    @staticmethod
    def _pinverify_refuse_hidden_name(in_force: InForce, shown: ShownBySSL) -> None:
        """Refuse a resumed TLS 1.2 session if the name selects the context.

        OpenSSL passes the SNI callback the name of the session's first handshake, not
        the name that this client asks for, and so selects the wrong context.
        """
        selects = shown.created_with.sni_callback is not None
        sslobj = shown.sslobj
        if selects and sslobj.session_reused and sslobj.version() != "TLSv1.3":
            msg = (
                "a resumed TLS 1.2 session hides the name that the client asks for; "
                "let it connect without the session, or use TLS 1.3"
            )
            raise rejection(in_force, None, msg)

    def _pinverify_fail(
        self, cause: BaseException, in_force: InForce | None
    ) -> NoReturn:
        """End the connection, and raise a `PinningError` for any exception.

        Ctrl-C ends the connection too, and goes on.
        """
        in_force = in_force or self._pinverify_rule.in_force
        error = refusal(cause, in_force, self._pinverify_peer, self._pinverify_shown)
        self._pinverify_error = error
        self._pinverify_shown = _NOTHING_SHOWN  # so that close() frees the C object
        self._pinverify_shut()
        if not isinstance(cause, Exception):
            raise cause
        announce(error, cause, in_force)
        raise error

    if TYPE_CHECKING:  # sockets and objects define it

        def _pinverify_shut(self) -> None:
            """Stop all data in both directions."""


def _judge_by(rule: ContextRule) -> Callable[..., Accepted]:
    return judge if rule.servers else judge_under_install


# ---- sockets -----------------------------------------------------------------


class PendingSocket(Pending):
    """Mixin for an SSL socket that is PENDING."""

    @classmethod
    def _create(  # noqa: PLR0913, PLR0917 - the signature of ssl
        cls,
        sock: Any,  # noqa: ANN401
        server_side: bool = False,  # noqa: FBT001, FBT002
        do_handshake_on_connect: bool = True,  # noqa: FBT001, FBT002
        suppress_ragged_eofs: bool = True,  # noqa: FBT001, FBT002
        server_hostname: str | None = None,
        context: Any = None,  # noqa: ANN401
        session: ssl.SSLSession | None = None,
    ) -> Any:  # noqa: ANN401
        """Create a connection; check it if its handshake is part of that.

        Fast path: nobody sees a client's connection before this method returns it, so
        it needs no gates while it is PENDING: it is made with the class of a VERIFIED
        one, whose `_create` is ssl's own, with the handshake in it. A server's
        connection is passed to the callback for SNI, so it needs the gates.
        """
        if not issubclass(type(context), GuardedContext):
            guard(context, mix_in)
        whose, verified, rule = cls._pinverify_short_way
        if whose is not cls or server_side or not do_handshake_on_connect:
            return super()._create(  # type: ignore[misc]
                sock=sock,
                server_side=server_side,
                do_handshake_on_connect=do_handshake_on_connect,
                suppress_ragged_eofs=suppress_ragged_eofs,
                server_hostname=server_hostname,
                context=context,
                session=session,
            )
        self = verified._create(  # noqa: SLF001
            sock,
            server_side,
            do_handshake_on_connect,
            suppress_ragged_eofs,
            server_hostname,
            context,
            session,
        )
        if not self._connected:
            self.__class__ = cls
            return self
        in_force = None
        try:
            if rule.in_force is None and installed:
                rule = installed[0]
            if (in_force := rule.in_force) is not None:
                self._pinverify_accepted = _judge_by(rule)(
                    in_force,
                    rule.memo,
                    self._pinverify_peer,
                    self._pinverify_shown,
                )
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self.__class__ = cls
            self._pinverify_fail(error, in_force)
        return self

    def connect(self, addr: Any) -> None:  # noqa: ANN401
        """Connect, unless the check has failed."""
        self._pinverify_connect(self._pinverify_base.connect, addr)

    def connect_ex(self, addr: Any) -> int:  # noqa: ANN401
        """Connect, unless the check has failed."""
        rc: int = self._pinverify_connect(self._pinverify_base.connect_ex, addr)
        return rc

    def _pinverify_connect(self, connect: Callable[..., Any], addr: Any) -> Any:  # noqa: ANN401
        self._pinverify_raise_again()
        connection: Any = self
        guard(connection.context, mix_in)
        try:
            return connect(self, addr)
        except BaseException:
            # ssl would leave a connected socket that sends plain text.
            if connection._connected:  # noqa: SLF001
                self._pinverify_shut()
            raise

    def _pinverify_settle(self) -> None:
        if self._sslobj is None and self._pinverify_error is None:
            if "_connected" not in self.__dict__:
                return  # ssl itself looks for plain text: CVE-2023-40217
            # After a failed connect() ssl would continue in plain text.
            msg = "TLS is not established; nothing is sent or received in plain text"
            raise OSError(errno.ENOTCONN, msg)
        super()._pinverify_settle()

    def _pinverify_shut(self) -> None:
        connection: Any = self
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # also what makefile() keeps open
        # An event loop still watches the descriptor of a non-blocking socket, which
        # another socket could get: leave closing to the loop.
        if connection.gettimeout() != 0:
            with contextlib.suppress(OSError):
                connection.close()


# ---- objects over memory buffers ---------------------------------------------


_OF_SSL = ssl.SSLObject.do_handshake


class PendingObject(Pending):
    """Mixin for a PENDING SSL object, which reads and writes memory buffers."""

    _pinverify_outgoing: ssl.MemoryBIO
    _pinverify_passed_early = False

    @classmethod
    def _create(  # noqa: PLR0913, PLR0917 - the signature of ssl
        cls,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,  # noqa: FBT001, FBT002
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
        context: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Create a connection, for which no handshake begins yet.

        Fast path: nobody sees it before this method returns it, so it gets its gates
        afterwards.
        """
        if not issubclass(type(context), GuardedContext):
            guard(context, mix_in)
        whose, verified, _ = cls._pinverify_short_way
        created_as: Any = verified if whose is cls else super()
        self: Any = created_as._create(  # noqa: SLF001
            incoming,
            outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
            context=context,
        )
        if type(self) is created_as:
            self.__class__ = cls
        return self

    def do_handshake(self) -> None:
        """Do the handshake, then decide about the peer; reject as early as possible."""
        if self._pinverify_error is not None:
            self._pinverify_raise_again()
        try:
            # Fast path: what ssl does, without the guard of the C object.
            if self._pinverify_base.do_handshake is _OF_SSL:
                self.__dict__["_sslobj"].do_handshake()
            else:
                self._pinverify_base.do_handshake(self)
        except ssl.SSLWantReadError:
            if not (self._pinverify_peer[1] or self._pinverify_passed_early):
                self._pinverify_reject_early()
            raise
        if not self._pinverify_settled:
            self._pinverify_decide()

    def _pinverify_reject_early(self) -> None:
        """Reject the peer, if it will be rejected, before our answer leaves.

        The answer may contain a client certificate, and is still in the buffer. Only a
        rejection counts here; a peer that passes is judged again at the end.
        """
        in_force = None
        try:
            shown = self._pinverify_shown
            sent = shown.sslobj.get_unverified_chain()
            if sent is None:
                return  # nothing to look at yet
            certs = shown.verified_chain() if shown.is_verified() else sent[:1]
            chain = [der(cert) for cert in certs]
            rule, in_force = self._pinverify_in_force(shown)
            peer = self._pinverify_peer
            if chain and in_force is not None:
                if rule.servers or not is_nameless(in_force, peer):
                    reject_early(in_force, peer, chain, shown)
                self._pinverify_passed_early = True
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self._pinverify_fail(error, in_force)

    def _pinverify_shut(self) -> None:
        # The buffered bytes would end the handshake, or send a client certificate.
        self._pinverify_outgoing.read()


# ---- mixed into the class of a connection --------------------------------------


def mix_in(owner: Any, is_socket: bool, rule: ContextRule) -> Any:  # noqa: ANN401, FBT001
    """Mix the check into the class of a connection, and return the connection.

    Args:
        owner: the owner of a C object that is about to be created.
        is_socket: False for an `ssl.SSLObject`.
        rule: the rule of the connection.

    Raises:
        TypeError: pins cannot be enforced on a connection of this class.
    """
    if type(owner).__module__ == "gevent.ssl" and hasattr(owner, "_sslsock"):
        # A plain socket that knows the one that applications see.
        owner = owner._sslsock()  # noqa: SLF001
    found: Any = type(owner)
    if getattr(found, "_pinverify_rule", None) is not rule or (
        found._pinverify_settled  # noqa: SLF001
        and "_pinverify_settled" not in vars(found)
    ):
        mixin = PendingSocket if is_socket else PendingObject
        mixed = rule.classes.get(found)
        try:
            if mixed is None:
                mixed = class_with_the_check(mixin, found, rule)
                rule.classes[found] = mixed
            owner.__class__ = mixed
        except TypeError as error:
            if isinstance(owner, socket.socket):  # ssl closes it for other exceptions
                owner.close()
            msg = (
                f"pins cannot be enforced on a connection of the class "
                f"{found.__module__}.{found.__qualname__} ({error}); use "
                "ssl.SSLSocket and ssl.SSLObject, or subclasses of them"
            )
            raise TypeError(msg) from error
    rule.ready.add(type(owner))
    return owner
