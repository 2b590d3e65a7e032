"""Connections of `ssl` that are judged before data moves: sockets and objects.

`_judge` says which certificates count, and decides. This file has the states of a
connection, and enforces them.

Theory of operation
-------------------

ssl keeps the C object of a connection in the connection's attribute ``_sslobj``, and
moves the data of TLS through it alone. Until the connection is VERIFIED, the attribute
holds a `GuardedObject`, which completes the check before it moves data. Afterwards it
holds the C object itself, and data flows through ssl's own methods, also if these are
patched later. For a client with TLS 1.2 or older it then holds an `OfTLS12`, a wrapper
that recognizes a refused renegotiation.

    state     event                          who does it                   next state
    --------  -----------------------------  ----------------------------  ----------
    (none)    the C object is created        `create`, GuardedObject       PENDING
    (none)    a socket is not connected      `no_longer_plain`             IDLE
    IDLE      connect()                      CheckedSocket.connect         PENDING
    IDLE      data, do_handshake()           GuardedObject.settle: error   IDLE
    PENDING   do_handshake()                 GuardedObject.do_handshake    see below
    PENDING   data                           GuardedObject.settle          see below
    PENDING   shutdown(), close()            _Guarded.__set__              IDLE
    PENDING   the server is refused early    GuardedObject._reject_early   FAILED
    PENDING   handshake ends: peer accepted  GuardedObject._decide         VERIFIED
    PENDING   handshake ends: peer refused   GuardedObject.fail            FAILED
    PENDING   handshake: an error of TLS     ssl raises it                 PENDING
    VERIFIED  anything                       ssl                           VERIFIED
    VERIFIED  TLS 1.2 client: renegotiation  OfTLS12.read                  FAILED
    VERIFIED  its connect() raises later     `_connect`                    IDLE
    FAILED    data, connect(), do_handshake  GuardedObject.raise_again     FAILED
    any       a C object not of `create`     _Guarded.__set__              FAILED

Only a VERIFIED connection moves data, and FAILED is final. IDLE is a socket without
TLS, on which ssl would send and receive plain text (CVE-2023-40217 is such a case).

The class of a connection is replaced by a subclass with a mixin of this file, whether
it is a class of ssl or an application's subclass of one. The connection keeps the mixin
for its whole life.
"""

from __future__ import annotations

import _ssl
import contextlib
import errno
import socket
import ssl
import threading
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from pinverify.policy import PinningError, Report
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
from pinverify.tls._policy_in_force import ContextRule, InForce, installed
from pinverify.tls._ssl_contexts import (
    GuardedContext,
    guard,
    is_kept,
    may_offer,
    refuse_wrong_session,
    rule_of,
    verifies,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pinverify.tls._ssl_contexts import CObject, Connection, Context

__all__ = [
    "CheckedObject",
    "CheckedSocket",
    "GuardedObject",
    "class_with_the_check",
    "der",
    "mix_in",
    "no_longer_plain",
    "of_applications",
]

_C_MOVES_DATA = ("read", "write", "shutdown", "sendfile")
_PLAIN = "TLS is not established; nothing is sent or received in plain text"
_ANOTHER = "the connection has a C object that was not made for it"


def der(cert: Any) -> bytes:  # noqa: ANN401
    """Return a certificate of ssl in DER."""
    der: bytes = cert.public_bytes(2)  # _ssl.ENCODING_DER, on every version
    return der


class _NoTLS:
    """Stands for the C object of a socket that has none."""

    context = owner = server_hostname = session = session_reused = None
    server_side = False

    def pending(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Callable[..., None]:
        if "chain" in name or "peercert" in name:  # ssl calls these without a C object
            raise AttributeError(name)
        return lambda *_: None


class GuardedObject:
    """Wrapper of a C object: completes the handshake and the check before data moves.

    It keeps the state of the connection, even after the C object has taken its place.

    Two threads in one handshake corrupt the memory of OpenSSL, and in many applications
    one thread reads and another one writes. So a thread holds the lock `turn` for the
    handshake and the decision. Other threads wait, and then look at the state again.
    The lock is re-entrant, but its holder cannot begin a second handshake: a callback
    for SNI that reads or writes its connection gets a ValueError.

    Attributes:
        raw: the C object.
        created_with: the context that created it; None if that is not known.
        noted: why the chain may not count, as known when *raw* was created; or empty.
        own_rule: the rule of this connection alone, which decides; or None.
        peer: see `Peer`. The name is from the C object, because anybody can set the
            attribute ``server_hostname`` of the connection.
        outgoing: the buffer that an SSL object writes to; None for a socket.
        asked: True while ``do_handshake`` of the connection's class runs. If that
            method reads or writes, `settle` does not call it again.
    """

    def __init__(
        self,
        raw: CObject,
        created_with: Context,
        noted: str,
        rule: ContextRule,
        outgoing: ssl.MemoryBIO | None = None,
    ) -> None:
        self._passed_early = self._runs = self.asked = False
        self._report: Report | None = None
        self.accepted: Accepted | None = None  # None without pins, too
        self.created_with = created_with
        self.error: PinningError | None = None
        self.noted = noted
        self.outgoing = outgoing
        self.own_rule: ContextRule | None = None
        is_client: bool = raw.server_side
        self.peer: Peer = (None if is_client else raw.server_hostname, is_client)
        self.raw = raw
        self.rule = rule  # of the connection's class
        self.state: Literal["IDLE", "PENDING", "VERIFIED", "FAILED"] = "PENDING"
        self.turn = threading.RLock()  # so that no interrupt locks its own thread out

    def do_handshake(self) -> None:
        """Do the handshake, then decide about the peer."""
        with self.turn:
            self._refuse_itself()
            if self.state != "PENDING":  # by another thread's turn
                self.settle()
                return
            self._runs = True
            try:
                self.raw.do_handshake()
                self._decide()
            except ssl.SSLWantReadError:
                if self.outgoing is not None:
                    self._reject_early()
                raise
            finally:
                self._runs = False

    def settle(self) -> None:
        """Complete the handshake and the check before data moves, or raise."""
        if self.state == "PENDING":
            with self.turn:
                self._refuse_itself()
                if not self.asked and self.state == "PENDING":
                    self.asked = True
                    try:
                        self.connection().do_handshake()
                    finally:
                        self.asked = False
                if self.state == "PENDING":  # an application's class did not do it
                    self.do_handshake()
        self.raise_again()
        if self.state == "IDLE":
            raise OSError(errno.ENOTCONN, _PLAIN)

    def _refuse_itself(self) -> None:
        if self._runs:
            msg = "this connection is in the middle of its handshake"
            raise ValueError(msg)

    def raise_again(self) -> None:
        """Raise the error of a FAILED connection; no-op for any other."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def connection(self) -> Connection:
        """Return the connection, with the check mixed into its class."""
        owner = self.raw.owner
        if owner is None:
            msg = "the connection is gone"
            raise ValueError(msg)
        return mix_in(owner, self.outgoing is None, self.rule)

    def may_offer(self, session: ssl.SSLSession) -> bool:
        """Return False if the server would be refused after resuming *session*.

        Raises as ssl does if the session is not one of the connection's context.
        """
        if self.state != "PENDING" or self.peer[1]:
            return True
        refuse_wrong_session(self.created_with, session)
        return may_offer(session, self.rule, self.raw, verifies=not self.noted)

    def report(self) -> Report | None:
        """Return the report of the decision; None before it, or without pins."""
        if self.error is not None:
            return self.error.report
        if self._report is None and self.accepted is not None:
            self._report = report_of_accepted(self.accepted, self.peer, self)
        return self._report

    # ---- the certificates, as `judge` asks for them

    def leaf(self) -> bytes | None:
        der: bytes | None = self.raw.getpeercert(True)  # noqa: FBT003
        return der

    def is_verified(self) -> bool:
        if self.noted:
            return False
        context = self.raw.context  # another one if a callback for SNI selected it
        return context is self.created_with or verifies(context)

    def doubt(self) -> str:
        """Return why the chain is not verified; empty if it is."""
        if self.is_verified():
            return ""
        return self.noted or (
            "OpenSSL did not verify this chain: verify_mode is CERT_NONE in the "
            "context that the SNI callback selected"
        )

    def verified_chain(self) -> Sequence[Any]:
        return self.raw.get_verified_chain() or ()

    def to_der(self, cert: Any) -> bytes:  # noqa: ANN401
        return der(cert)

    def address(self) -> Any:  # noqa: ANN401
        # The C object knows its socket, unless that is gone. An SSL object has none.
        try:
            return self.raw.owner.getpeername()
        except (AttributeError, OSError):
            return None

    def is_resumed(self) -> bool:
        return bool(self.raw.session_reused)

    # ---- the decision

    def _decide(self) -> None:
        in_force = None
        try:
            rule, raw = self.rule, self.raw
            _, is_client = peer = self.peer
            in_force = rule.in_force
            if (
                in_force is None
                or is_client
                or self.own_rule is not None
                or raw.context is not self.created_with
            ):
                rule, in_force = self.in_force()
            if in_force is not None:
                memo = rule.memo
                if is_client:
                    self._refuse_hidden_name(in_force)
                    if not is_kept(raw, self.created_with):
                        memo = rule.memo_of_latest
                judge_it = judge if rule.servers else judge_under_install
                self.accepted = judge_it(in_force, memo, peer, self)
            own = of_applications(raw.owner).__dict__
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self.fail(error, in_force)
        if self.state != "PENDING":  # it was shut down meanwhile
            return
        self.state = "VERIFIED"
        renegotiates = not is_client and raw.version() != "TLSv1.3"
        own["_sslobj"] = OfTLS12(self) if renegotiates else raw
        if self.accepted is not None:
            self.accepted[4][0] += 1  # it is final

    def in_force(self) -> tuple[ContextRule, InForce | None]:
        """Return the rule that decides, and its policy; None if nothing is checked.

        Rules in this order: of this connection alone, of the context that a callback
        for SNI selected, of the connection's class, and of `install`, which does not
        check a server's clients. The first that has a policy decides.
        """
        rule = self.own_rule
        context = self.raw.context
        if rule is None and context is not self.created_with:
            rule = rule_of(context)
        in_force = None if rule is None else rule.in_force
        if rule is None or in_force is None:
            rule = self.rule
            in_force = rule.in_force
        if in_force is None and installed:
            rule = installed[0]
            in_force = rule.in_force
        return rule, in_force if rule.servers or not self.peer[1] else None

    def _refuse_hidden_name(self, in_force: InForce) -> None:
        """Refuse a resumed session of TLS 1.2 or older if there is a callback for SNI.

        OpenSSL gives the callback the name of the session's first handshake, not the
        name that this client asks for. So the callback may select the wrong context.
        """
        selects = self.created_with.sni_callback is not None
        raw = self.raw
        if selects and raw.session_reused and raw.version() != "TLSv1.3":
            msg = (
                "a resumed TLS 1.2 session hides the name that the client asks for; "
                "let it connect without the session, or use TLS 1.3"
            )
            raise rejection(in_force, None, msg)

    def _reject_early(self) -> None:
        """Reject a server early, if it would be rejected at the end.

        Our answer, which may contain a client certificate, is still in the buffer.
        """
        if self.peer[1] or self._passed_early:
            return
        in_force = None
        try:
            sent = self.raw.get_unverified_chain()
            if sent is None:
                return  # nothing to look at yet
            certs = self.verified_chain() if self.is_verified() else sent[:1]
            chain = [der(cert) for cert in certs]
            rule, in_force = self.in_force()
            if chain and in_force is not None:
                peer = self.peer
                if not rule.servers:
                    peer = peer_under_install(in_force, peer)
                reject_early(in_force, peer, chain, self)
                self._passed_early = True
        except BaseException as error:  # noqa: BLE001 - any error: fail closed
            self.fail(error, in_force)

    def fail(self, cause: BaseException, in_force: InForce | None) -> NoReturn:
        """End the connection, and raise a `PinningError` for any exception.

        Ctrl-C ends the connection too, and is then raised itself.
        """
        in_force = in_force or self.rule.in_force
        self.error = error = refusal(cause, in_force, self.peer, self)
        self.state = "FAILED"
        if self.outgoing is not None:
            # These bytes would end the handshake, or send a client certificate.
            self.outgoing.read()
        else:
            end(of_applications(self.raw.owner))
        if not isinstance(cause, Exception):
            raise cause
        announce(error, cause, in_force)
        raise error


def _passed_on(name: str) -> property:
    """Return a property for an attribute of the C object."""

    def assign(self: Any, value: Any) -> None:  # noqa: ANN401
        setattr(self.raw, name, value)

    return property(attrgetter(f"raw.{name}"), assign)


def _once_settled(name: str) -> property:
    """Return a method of the C object that completes the check before it is called."""

    def method(self: GuardedObject) -> Any:  # noqa: ANN401
        self.settle()
        return getattr(self.raw, name)

    return property(method)


def _complete(cls: type, moving: Callable[[str], property]) -> None:
    """Give a class the attributes of a C object that it lacks.

    *moving* makes the attributes that move data. (A class with ``__getattr__`` would
    take four times as long for each access to its own attributes.)
    """
    for name in dir(_ssl._SSLSocket):  # type: ignore[attr-defined]  # noqa: SLF001
        if not hasattr(cls, name):
            make = moving if name in _C_MOVES_DATA else _passed_on
            setattr(cls, name, make(name))


_complete(GuardedObject, _once_settled)


def end(connection: Connection) -> None:
    """Stop all data of a socket in both directions; `close_refused` closes it."""
    if not hasattr(connection, "shutdown"):  # an SSL object, or it is gone
        return
    try:
        connection.shutdown(socket.SHUT_RDWR)  # also what makefile() keeps open
    except Exception:  # noqa: BLE001 - an application's class may raise any
        with contextlib.suppress(Exception):
            ssl.SSLSocket.shutdown(connection, socket.SHUT_RDWR)


def close_refused(connection: Connection) -> None:
    """Close a socket, unless it does not block.

    An event loop still watches the descriptor of a non-blocking socket, and another
    socket could get that descriptor: leave closing to the loop.
    """
    if connection.gettimeout() != 0:
        with contextlib.suppress(Exception):
            connection.close()


class OfTLS12:
    """Wrapper of the C object of a VERIFIED client with TLS 1.2 or older.

    If the server asks for a renegotiation, in which it could show another certificate,
    OpenSSL refuses, and the server sends an alert. `read` makes the alert a rejection.
    """

    __slots__ = ("_guarded", "raw")

    def __init__(self, guarded: GuardedObject) -> None:
        self._guarded = guarded
        self.raw = guarded.raw

    def read(self, *args: Any) -> Any:  # noqa: ANN401
        """Read as ssl does; raise our error after a refused renegotiation."""
        try:
            return self.raw.read(*args)
        except ssl.SSLError as error:
            if error.reason != "SSLV3_ALERT_HANDSHAKE_FAILURE":
                raise
            guarded = self._guarded
            _, in_force = guarded.in_force()
            if in_force is None:
                raise
            name, _ = guarded.peer
            refused = rejection(in_force, name, ASKED_FOR_RENEGOTIATION)
            refused.__cause__ = error
            connection = guarded.connection()
            connection.__dict__["_sslobj"] = guarded
            try:
                guarded.fail(refused, in_force)
            finally:
                if guarded.outgoing is None:
                    close_refused(connection)


_complete(OfTLS12, _passed_on)


class _Guarded:
    """The attribute ``_sslobj``: whatever C object is put there is guarded.

    It has no ``__get__``, so to read the attribute costs no more than without pins.
    """

    def __set__(self, connection: Connection, sslobj: CObject) -> None:
        own = connection.__dict__
        if type(sslobj) is GuardedObject:
            own["_sslobj"] = own["_pinverify_guarded"] = sslobj
            return
        guarded: GuardedObject | None = own.get("_pinverify_guarded")
        if sslobj is not None and (
            guarded is None or sslobj not in {guarded.raw, own["_sslobj"]}
        ):
            _guard_another(connection, sslobj)
        elif guarded is None:
            own["_sslobj"] = None  # ssl begins with None, and looks for plain text
        elif guarded.state == "VERIFIED":
            own["_sslobj"] = sslobj
        else:
            if guarded.state == "PENDING":
                guarded.state = "IDLE"
            own["_sslobj"] = guarded


def _guard_another(connection: Connection, raw: CObject) -> None:
    """Refuse a C object of which nobody has noted how it was made."""
    rule = connection._pinverify_rule  # noqa: SLF001
    connection._sslobj = guarded = GuardedObject(raw, None, _ANOTHER, rule)  # noqa: SLF001
    with contextlib.suppress(PinningError):
        guarded.fail(rejection(rule.in_force, guarded.peer[0], _ANOTHER), None)


def no_longer_plain(connection: Connection) -> None:
    """Make a socket IDLE that is not connected yet: it moves no plain text."""
    if connection.__dict__.get("_sslobj") is None:
        rule = connection._pinverify_rule  # noqa: SLF001
        guarded = GuardedObject(_NoTLS(), None, _PLAIN, rule)
        guarded.state = "IDLE"
        connection._sslobj = guarded  # noqa: SLF001


class Checked:
    """Mixin for an SSL socket or object."""

    _pinverify_rule: ClassVar[ContextRule]
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into

    _sslobj: Any = _Guarded()

    @classmethod
    def _create(cls, *args: Any, **how: Any) -> Connection:  # noqa: ANN401
        """Create a connection, and check it if this includes the handshake."""
        context = how["context"] if "context" in how else args[5]
        if not isinstance(context, GuardedContext):
            guard(context, mix_in)
        connection = super()._create(*args, **how)  # type: ignore[misc]
        if isinstance(connection, CheckedSocket):
            no_longer_plain(connection)
        return connection

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before the decision, and without pins."""
        guarded: GuardedObject | None = self.__dict__.get("_pinverify_guarded")
        return None if guarded is None else guarded.report()

    @property
    def session(self) -> ssl.SSLSession | None:
        """The session, as in ssl; its leaf is noted, for when it is offered again."""
        session: ssl.SSLSession | None = super().session  # type: ignore[misc]
        guarded: GuardedObject | None = self.__dict__.get("_pinverify_guarded")
        if session is not None and guarded is not None and guarded.accepted is not None:
            _, _, certs, *_ = guarded.accepted
            if certs and not guarded.peer[1]:  # in report mode there may be none
                note_session(session, certs[0])
        return session

    @session.setter
    def session(self, session: ssl.SSLSession) -> None:
        guarded = self.__dict__.get("_sslobj")
        if type(guarded) is not GuardedObject or guarded.may_offer(session):
            super(Checked, type(self)).session.__set__(self, session)  # type: ignore[misc]

    def verify_client_post_handshake(self) -> NoReturn:
        """Refuse: a later certificate would come after the decision."""
        msg = "pins are checked in the handshake; later authentication is disabled"
        raise rejection(self._pinverify_rule.in_force, None, msg)

    _pinverify_guards: ClassVar = GuardedObject  # as `create` makes one


class CheckedSocket(Checked):
    """Mixin for an SSL socket."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Create a connection as gevent does; ssl does not call this."""
        super().__init__(*args, **kwargs)
        no_longer_plain(self)

    def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
        """Do the handshake and the check; close the socket if the peer is refused."""
        shake_hands = self._pinverify_base.do_handshake
        how = (block,) if block else ()  # an application's class may take none
        guarded = self._sslobj
        if type(guarded) is not GuardedObject:
            shake_hands(self, *how)
            return
        with guarded.turn:  # for the methods of an application's class, too
            before, guarded.asked = guarded.asked, True
            try:
                if guarded.state == "PENDING":
                    shake_hands(self, *how)
                else:
                    guarded.settle()
            finally:
                guarded.asked = before
                if guarded.state == "FAILED":
                    close_refused(self)

    def _real_connect(self, addr: Any, connect_ex: bool) -> Any:  # noqa: ANN401, FBT001
        """Connect as ssl does, but with a C object: without it, data is plain text."""
        guarded = self._sslobj
        connection: Any = self
        found = self._pinverify_base._real_connect  # noqa: SLF001
        cannot = connection._connected or connection.server_side  # noqa: SLF001
        if cannot or type(guarded) is not GuardedObject:
            return found(self, addr, connect_ex)  # an error of ssl
        if found is not ssl.SSLSocket._real_connect:  # type: ignore[attr-defined]  # noqa: SLF001
            self.__dict__["_sslobj"] = None  # gevent switches to no other greenlet here
            return found(self, addr, connect_ex)
        self._sslobj = connection.context._wrap_socket(  # noqa: SLF001
            self,
            False,  # noqa: FBT003
            connection.server_hostname,
            owner=self,
            session=connection._session,  # noqa: SLF001
        )
        plain: Any = super(ssl.SSLSocket, connection)
        try:
            rc = plain.connect_ex(addr) if connect_ex else plain.connect(addr)
            if not rc:
                connection._connected = True  # noqa: SLF001
                if connection.do_handshake_on_connect:
                    connection.do_handshake()
        except (OSError, ValueError):
            _make_idle(self)
            raise
        return rc

    def connect(self, addr: Any) -> None:  # noqa: ANN401
        """Connect, unless the check has failed."""
        _connect(self, self._pinverify_base.connect, addr)

    def connect_ex(self, addr: Any) -> int:  # noqa: ANN401
        """Connect, unless the check has failed."""
        rc: int = _connect(self, self._pinverify_base.connect_ex, addr)
        return rc


def _connect(connection: Connection, connect: Callable[..., Any], addr: Any) -> Any:  # noqa: ANN401
    guarded = connection._sslobj  # noqa: SLF001
    if type(guarded) is not GuardedObject:
        return connect(connection, addr)  # an error of ssl, which harms no connection
    guarded.raise_again()
    guard(connection.context, mix_in)
    try:
        return connect(connection, addr)
    except BaseException as error:
        # ssl would leave a connected socket that sends plain text.
        if _has_connected(connection, error):
            _make_idle(connection)  # another thread may be about to write
            end(connection)
            close_refused(connection)
        raise
    finally:
        no_longer_plain(connection)


def _has_connected(connection: Connection, error: BaseException) -> bool:
    """Return whether a connect() that failed has connected the socket."""
    if connection._connected:  # noqa: SLF001
        return True
    if isinstance(error, BlockingIOError):  # the caller calls it again
        return False
    try:
        connection.getpeername()  # gevent notes it after the handshake
    except OSError:
        return False
    return True


def _make_idle(connection: Connection) -> None:
    """Move no more data, even if the peer has been accepted."""
    guarded: GuardedObject = connection._pinverify_guarded  # noqa: SLF001
    if guarded.state != "FAILED":
        guarded.state = "IDLE"
    connection.__dict__["_sslobj"] = guarded


class CheckedObject(Checked):
    """Mixin for an SSL object, which reads and writes memory buffers."""

    def _pinverify_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Do the handshake of an application's class, one thread at a time."""
        guarded = self._sslobj
        is_guarded = type(guarded) is GuardedObject
        with guarded.turn if is_guarded else contextlib.nullcontext():
            self._pinverify_base.do_handshake(self, *args, **kwargs)


def of_applications(owner: Connection) -> Connection:
    """Return the connection that applications see; *owner* is that of a C object."""
    if type(owner).__module__ == "gevent.ssl" and hasattr(owner, "_sslsock"):
        return owner._sslsock()  # noqa: SLF001 - the owner is a plain socket
    return owner


def mix_in(owner: Connection, is_socket: bool, rule: ContextRule) -> Connection:  # noqa: FBT001
    """Mix the check into the class of a connection, and return the connection.

    *owner* is the owner of a C object that is about to be created.

    Raises:
        TypeError: pins cannot be enforced on a connection of this class.
    """
    owner = of_applications(owner)
    found: Any = type(owner)
    if getattr(found, "_pinverify_rule", None) is not rule:
        mixin = CheckedSocket if is_socket else CheckedObject
        mixed = rule.classes.get(found)
        try:
            if mixed is None:
                mixed = rule.classes[found] = class_with_the_check(mixin, found, rule)
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


def class_with_the_check(mixin: type, found: Any, rule: ContextRule) -> Any:  # noqa: ANN401
    """Return the class *found* with the check; it keeps a mixin that it already has."""
    own: dict[str, Any] = {"_pinverify_rule": rule}
    bases: tuple[type, ...] = (found,)
    if "_pinverify_base" in vars(found):  # a class of ours
        found = found._pinverify_base  # noqa: SLF001
    if not issubclass(found, mixin):  # else an application's subclass of one
        own["_pinverify_base"] = found
        bases = mixin, found
        if (
            mixin is CheckedObject
            and found.do_handshake is not ssl.SSLObject.do_handshake
        ):
            own["do_handshake"] = CheckedObject._pinverify_handshake  # noqa: SLF001
    return type(found)(f"Pinned{found.__name__}", bases, own)
