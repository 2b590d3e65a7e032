"""Connections of `ssl` that are judged before data moves: sockets and objects.

`_judge` describes the states of a connection, and the certificates that count. This
file enforces that for the two kinds of connections of ssl. A class here is mixed into
a class of ssl, or into an application's subclass of one, and is the class of a
connection while it is PENDING. Afterwards the connection gets a class that adds next
to nothing to the original; `_checking_classes` has more about the classes.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pinverify.policy import PinningError
from pinverify.tls._checking_classes import (
    class_beside,
    class_with_the_check,
    verified_class,
)
from pinverify.tls._guarded_context import GuardedContext, guard, may_offer
from pinverify.tls._in_force import ContextRule, InForce, installed, rule_of
from pinverify.tls._judge import (
    ASKED_FOR_RENEGOTIATION,
    Accepted,
    Peer,
    announce,
    judge,
    judge_under_install,
    peer_under_install,
    refusal,
    reject_early,
    rejection,
    report_of_accepted,
)
from pinverify.tls._memo import note_session
from pinverify.tls._ssl_internals import (
    ShownBySSL,
    der,
    is_kept,
    refuse_wrong_session,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Report

__all__ = [
    "GuardedObject",
    "Pending",
    "PendingObject",
    "PendingSocket",
    "has_passed",
    "is_pending",
    "mix_in",
]

# ---- the C object behind a PENDING connection, which moves data only after the check


class GuardedObject:
    """A C object that completes the handshake and the check before it moves data.

    It takes the place of the C object in the connection until that is VERIFIED, so it
    guards too what a class of an application, or another class that somebody gives the
    connection, does around the gates.

    Two threads in one handshake corrupt the memory of OpenSSL, and an application may
    well have a thread that reads and another one that writes. So one thread at a time
    has the turn, for the handshake and the decision. The others wait, and then find the
    connection VERIFIED or FAILED. The thread that has the turn cannot have it again: a
    callback for SNI that reads or writes its connection gets a ValueError.

    Attributes:
        raw: the C object.
        turn: the lock of the thread that has the turn.
        turn_of: that thread, or None.
    """

    __slots__ = ("_connection", "_kind", "_runs", "raw", "turn", "turn_of")

    def __init__(self, connection: Any, raw: Any) -> None:  # noqa: ANN401
        self._connection = weakref.ref(connection)
        self._kind = type(connection)
        self._runs = False
        self.raw = raw
        self.turn = threading.RLock()  # so that no interrupt locks its own thread out
        self.turn_of: int | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name in _C_MOVES_DATA:
            self._pending()._pinverify_settle()  # noqa: SLF001
        return getattr(self.raw, name)

    def _pending(self) -> Any:  # noqa: ANN401
        """Return the connection, of the class that it is PENDING with."""
        connection = self._connection()
        if connection is None:
            msg = "the connection is gone"
            raise ValueError(msg)
        if type(connection) is not self._kind:
            connection.__class__ = self._kind
        return connection

    def do_handshake(self) -> None:
        """Do the handshake for the thread that has the turn."""
        if self._runs or self.turn_of != threading.get_ident():
            self._pending()._pinverify_handshake()  # noqa: SLF001
            return
        self._runs = True
        try:
            self.raw.do_handshake()
        finally:
            self._runs = False

    @property
    def context(self) -> Any:  # noqa: ANN401
        return self.raw.context

    @context.setter
    def context(self, context: Any) -> None:  # noqa: ANN401
        self.raw.context = context

    @property
    def session(self) -> Any:  # noqa: ANN401
        return self.raw.session

    @session.setter
    def session(self, session: Any) -> None:  # noqa: ANN401
        self.raw.session = session


_C_MOVES_DATA = ("read", "write", "shutdown", "sendfile")


# ---- connections -------------------------------------------------------------

# Without a C object there is no evidence, so the check fails.
_NOTHING_SHOWN = ShownBySSL((None, None, "the connection has no C object"))


class Checked:
    """Mixin for an SSL socket or object in each of its states."""

    _pinverify_rule: ClassVar[ContextRule]
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into
    _pinverify_settled: ClassVar[bool] = False
    _pinverify_verified_class: ClassVar[Any] = None  # of this class, or of a base
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
    def session(self) -> ssl.SSLSession | None:
        """The session, as in ssl; its leaf tells whether to offer it again."""
        session: ssl.SSLSession | None = super().session  # type: ignore[misc]
        accepted = self._pinverify_accepted
        if session is not None and accepted is not None and not self._pinverify_peer[1]:
            _, _, certs, *_ = accepted
            for leaf in certs[:1]:  # in report mode there may be none
                note_session(session, leaf)
        return session

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        made, context, doubt = self._pinverify_shown
        if not (self._pinverify_settled or made is None or self._pinverify_peer[1]):
            refuse_wrong_session(context, session)
            rule = self._pinverify_rule
            if not may_offer(session, rule, made, verifies=not doubt):
                return
        super(Checked, type(self)).session.__set__(self, session)  # type: ignore[misc]

    def verify_client_post_handshake(self) -> NoReturn:
        """Refuse: a later certificate would come after the decision."""
        msg = "pins are checked in the handshake; later authentication is disabled"
        raise rejection(self._pinverify_rule.in_force, None, msg)

    def _pinverify_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
        """Do the handshake, then decide about the peer."""
        shake_hands = self._pinverify_base.do_handshake
        how = (block,) if block else ()  # an object over memory buffers takes none
        own = self.__dict__
        guarded: Any = own.get("_sslobj")
        if type(guarded) is not GuardedObject:  # VERIFIED, or an error
            self._pinverify_raise_again()
            shake_hands(self, *how)
            return
        me = threading.get_ident()
        if guarded.turn_of == me:
            msg = "this connection is in the middle of its handshake"
            raise ValueError(msg)
        with guarded.turn:
            try:
                guarded.turn_of = me
                if self._pinverify_error is not None:
                    self._pinverify_raise_again()
                if own.get("_sslobj") is guarded:  # else VERIFIED meanwhile
                    shake_hands(self, *how)
                    self._pinverify_decide()
            except ssl.SSLWantReadError:
                self._pinverify_reject_early()
                raise
            finally:
                guarded.turn_of = None

    def _pinverify_settle(self) -> None:
        """Complete the handshake and the check, before data moves."""
        self._pinverify_raise_again()
        if not _is_raw(self.__dict__.get("_sslobj")):  # by another thread's turn
            connection: Any = self
            connection.do_handshake()

    def _pinverify_explain(self, error: ssl.SSLError) -> None:
        """Raise the reason of an error of `read`, if it is one of pins."""

    def _pinverify_raise_again(self) -> None:
        error = self._pinverify_error
        if error is not None:
            raise error.with_traceback(None)

    def _pinverify_decide(self) -> None:
        in_force = None
        try:
            shown = self._pinverify_shown
            peer = self._pinverify_peer
            rule = self._pinverify_rule
            in_force = rule.in_force
            if (
                in_force is None
                or peer[1]
                or self._pinverify_own_rule is not None
                or shown[0].context is not shown[1]
            ):
                rule, in_force = self._pinverify_in_force(shown)
            if in_force is not None:
                memo = rule.memo
                if peer[1]:
                    self._pinverify_refuse_hidden_name(in_force, shown)
                    if not is_kept(shown.sslobj, shown.created_with):
                        memo = rule.memo_of_latest
                judge_it = judge if rule.servers else judge_under_install
                self._pinverify_accepted = judge_it(in_force, memo, peer, shown)
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self._pinverify_fail(error, in_force)
        own = self.__dict__
        sslobj = own.get("_sslobj")
        if sslobj is not None:  # else it was shut down meanwhile, and stays PENDING
            own["_sslobj"] = sslobj.raw
            cls: Any = type(self)
            verified = cls._pinverify_verified_class
            if verified is None or verified._pinverify_pending is not cls:  # noqa: SLF001
                verified = verified_class(cls)
            if not peer[1] and sslobj.raw.version() != "TLSv1.3":
                verified = class_beside(verified, Renegotiated)
            self.__class__ = verified
            accepted = self._pinverify_accepted
            if accepted is not None:
                accepted[4][0] += 1  # it is final

    def _pinverify_in_force(
        self, shown: ShownBySSL
    ) -> tuple[ContextRule, InForce | None]:
        """Return the rule that decides, and its policy in force.

        SNI may have selected a context other than the listening one. Its rule decides
        if it has one; a context without pins does not lift those of the listening one.
        """
        sslobj, created_with, _ = shown
        rule = self._pinverify_own_rule
        if rule is None and sslobj.context is not created_with:
            rule = rule_of(sslobj.context)
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

    def _pinverify_reject_early(self) -> None:
        """Reject the peer before the handshake is over, where that can be done."""

    if TYPE_CHECKING:  # sockets and objects define it

        def _pinverify_shut(self) -> None:
            """Stop all data in both directions."""


_REFUSED_BY_US = "SSLV3_ALERT_HANDSHAKE_FAILURE"


class Renegotiated:
    """Mixin for a VERIFIED client, whose server of TLS 1.2 may ask for a renegotiation.

    OpenSSL refuses it, since another certificate could come in it, and the server ends
    the connection by an alert. That is a rejection, of which the application is told.
    """

    def read(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        """Read as ssl does; if the server has ended the connection so, say why."""
        try:
            return super().read(*args, **kwargs)  # type: ignore[misc]
        except ssl.SSLError as error:
            self._pinverify_explain(error)
            raise

    def _pinverify_explain(self, error: ssl.SSLError) -> None:
        connection: Any = self
        if isinstance(error, PinningError) or error.reason != _REFUSED_BY_US:
            return
        _, in_force = connection._pinverify_in_force(connection._pinverify_shown)  # noqa: SLF001
        if in_force is None:
            return
        name, _ = connection._pinverify_peer  # noqa: SLF001
        refused = rejection(in_force, name, ASKED_FOR_RENEGOTIATION)
        refused.__cause__ = error
        connection.__class__ = connection._pinverify_pending  # noqa: SLF001
        connection._pinverify_fail(refused, in_force)  # noqa: SLF001


class Pending(Checked):
    """Mixin for an SSL socket or object until the check is done."""

    @property
    def _sslobj(self) -> Any:  # noqa: ANN401 - a C object without a type
        """The C object as the methods of ssl see it: guarded by the check.

        The gates are on our class. A class of the application may have methods of its
        own that call those of ssl and bypass the gates.
        """
        return self.__dict__.get("_sslobj")

    @_sslobj.setter
    def _sslobj(self, sslobj: Any) -> None:  # noqa: ANN401
        if sslobj is not None:
            if sslobj is not self._pinverify_shown.sslobj:
                self._pinverify_shown = _NOTHING_SHOWN  # that was another one
            sslobj = GuardedObject(self, sslobj)
        self.__dict__["_sslobj"] = sslobj

    do_handshake = Checked._pinverify_handshake  # noqa: SLF001 - of this file


def has_passed(connection: Any) -> bool:  # noqa: ANN401
    """Return True if a connection with pins is VERIFIED, so that data flows."""
    rule = getattr(type(connection), "_pinverify_rule", None)
    checked = rule is not None and (rule.in_force is not None or bool(installed))
    return checked and _is_raw(vars(connection).get("_sslobj"))


def _is_raw(sslobj: object) -> bool:
    return sslobj is not None and not isinstance(sslobj, GuardedObject)


# ---- sockets -----------------------------------------------------------------


class CheckedSocket(Checked):
    """Mixin for an SSL socket in each of its states."""

    def _pinverify_settle(self) -> None:
        own = self.__dict__
        if self._pinverify_error is None and own.get("_sslobj") is None:
            if "_connected" not in own:
                return  # ssl itself looks for plain text: CVE-2023-40217
        else:
            super()._pinverify_settle()
        if own.get("_sslobj") is None:
            # After a failed connect(), or a shutdown(), ssl would go on in plain text.
            msg = "TLS is not established; nothing is sent or received in plain text"
            raise OSError(errno.ENOTCONN, msg)

    def _pinverify_shut(self) -> None:
        connection: Any = self
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # also what makefile() keeps open
        # An event loop still watches the descriptor of a non-blocking socket, which
        # another socket could get: leave closing to the loop.
        if connection.gettimeout() != 0:
            with contextlib.suppress(OSError):
                connection.close()


class PendingSocket(Pending, CheckedSocket):
    """Mixin for an SSL socket that is PENDING."""

    _pinverify_checked = CheckedSocket

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
        """Create a connection; check it if its handshake is part of that."""
        if not issubclass(type(context), GuardedContext):
            guard(context, mix_in)
        return super()._create(  # type: ignore[misc]
            sock,
            server_side,
            do_handshake_on_connect,
            suppress_ragged_eofs,
            server_hostname,
            context,
            session,
        )

    def connect(self, addr: Any) -> None:  # noqa: ANN401
        """Connect, unless the check has failed."""
        _connect(self, self._pinverify_base.connect, addr)

    def connect_ex(self, addr: Any) -> int:  # noqa: ANN401
        """Connect, unless the check has failed."""
        rc: int = _connect(self, self._pinverify_base.connect_ex, addr)
        return rc


def _connect(connection: Any, connect: Callable[..., Any], addr: Any) -> Any:  # noqa: ANN401
    if connection._pinverify_settled:  # noqa: SLF001
        return connect(connection, addr)  # an error of ssl, which harms no connection
    connection._pinverify_raise_again()  # noqa: SLF001
    guard(connection.context, mix_in)
    try:
        return connect(connection, addr)
    except BaseException:
        # ssl would leave a connected socket that sends plain text.
        if connection._connected:  # noqa: SLF001
            connection._pinverify_shut()  # noqa: SLF001
        raise


# ---- objects over memory buffers ---------------------------------------------


class CheckedObject(Checked):
    """Mixin for an SSL object in each of its states."""

    _pinverify_outgoing: ssl.MemoryBIO
    _pinverify_passed_early = False

    def _pinverify_reject_early(self) -> None:
        """Reject the peer, if it will be rejected, before our answer leaves.

        The answer may contain a client certificate, and is still in the buffer. Only a
        rejection counts here; a peer that passes is judged again at the end.
        """
        if self._pinverify_peer[1] or self._pinverify_passed_early:
            return
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
                if not rule.servers:
                    peer = peer_under_install(in_force, peer)
                reject_early(in_force, peer, chain, shown)
                self._pinverify_passed_early = True
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self._pinverify_fail(error, in_force)

    def _pinverify_shut(self) -> None:
        # The buffered bytes would end the handshake, or send a client certificate.
        self._pinverify_outgoing.read()


class PendingObject(Pending, CheckedObject):
    """Mixin for a PENDING SSL object, which reads and writes memory buffers."""

    _pinverify_checked = CheckedObject

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
        """Create a connection, for which no handshake begins yet."""
        guard(context, mix_in)
        return super()._create(  # type: ignore[misc]
            incoming,
            outgoing,
            server_side=server_side,
            server_hostname=server_hostname,
            session=session,
            context=context,
        )


# ---- mixed into the class of a connection --------------------------------------


def _of_applications(owner: Any) -> Any:  # noqa: ANN401
    """Return the connection that applications see, of the owner of a C object."""
    if type(owner).__module__ == "gevent.ssl" and hasattr(owner, "_sslsock"):
        return owner._sslsock()  # noqa: SLF001 - the owner is a plain socket
    return owner


def is_pending(owner: Any) -> bool:  # noqa: ANN401
    """Return True if the owner of a C object has the check, which is still to come."""
    found: Any = type(_of_applications(owner))
    return hasattr(found, "_pinverify_rule") and not found._pinverify_settled  # noqa: SLF001


def mix_in(owner: Any, is_socket: bool, rule: ContextRule) -> Any:  # noqa: ANN401, FBT001
    """Mix the check into the class of a connection, and return the connection.

    Args:
        owner: the owner of a C object that is about to be created.
        is_socket: False for an `ssl.SSLObject`.
        rule: the rule of the connection.

    Raises:
        TypeError: pins cannot be enforced on a connection of this class.
    """
    owner = _of_applications(owner)
    found: Any = type(owner)
    if getattr(found, "_pinverify_rule", None) is not rule or found._pinverify_settled:  # noqa: SLF001
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
