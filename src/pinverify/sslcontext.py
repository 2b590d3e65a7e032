"""Pins for `ssl.SSLContext`: sockets, asyncio, and every client that takes one.

A context makes its connections with two classes of its choice, one for sockets
and one for memory buffers. `pin_context` puts its own in their place, mixed into
those it finds. OpenSSL does the handshake inside of reads and writes as well, so
overriding ``do_handshake`` is not enough; each connection is a state machine:

    PENDING ──► VERIFIED    data flows at the cost of plain ssl
       └──────► FAILED      shut down, closed; later calls raise the same error

While it is PENDING, whatever moves data first completes the handshake and the
check: no byte reaches the caller or the peer before. Every handshake is checked,
a resumed one too, with the policy in place at its end.
"""

from __future__ import annotations

import _ssl
import contextlib
import datetime as dt
import errno
import socket
import ssl
import threading
import time
import weakref
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    NamedTuple,
    NoReturn,
    TypeAlias,
    cast,
)

from pinverify.core import _columns
from pinverify.errors import PolicyError
from pinverify.memo import Memo
from pinverify.notice import OnReport, notice
from pinverify.policy import PinningError, PinSet, Policy, Report
from pinverify.policy._policy import as_policy, handle_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pinverify.core._handle import OpenPolicy

__all__ = ["install", "pin_connection", "pin_context", "uninstall"]

# What moves data; of these, the ones that a class has are gated.
_MOVES_DATA = (
    "read",
    "write",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendfile",
    "sendmsg",
    "sendto",
    "unwrap",
)


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
        policy: what holds for the name that the client connects to. A server's
            clients have no name: give a `PinSet`.
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
    in_force = _in_force(policy, on_report)
    if _is_server(context) and not in_force.policy.has_clients:
        msg = "a server's clients have no host name: give pin_context a PinSet"
        raise PolicyError(msg)
    _hooked(context, _Rule(in_force)).in_force = in_force
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
    _hooked(context, _Rule(None))
    tls: Any = context.wrap_socket(
        sock, server_hostname=server_hostname, do_handshake_on_connect=False
    )
    try:
        tls._pinverify_own_rule = _Rule(_in_force(policy, None))  # noqa: SLF001
        tls.do_handshake()
    except BaseException:
        tls.close()
        raise
    return cast("ssl.SSLSocket", tls)


def install(policy: Policy | PinSet, *, on_report: OnReport | None = None) -> None:
    """Enforce pins on every client connection of this process. Think first.

    This is for libraries that make an `ssl.SSLContext` of their own and take
    none. It changes `ssl.SSLContext` for everybody, until `uninstall`; called
    again, it swaps the policy. A context that is pinned itself keeps its own
    policy. Servers are left alone.

    Args:
        policy: best with rules for each host that matters, since other hosts
            are met as well.
        on_report: as in `pin_context`.
    """
    in_force = _in_force(policy, on_report)
    if _installed:
        _installed[0].rule.in_force = in_force
        return
    rule = _Rule(in_force, servers=False)
    for owner in ssl.SSLContext.__mro__:
        if "sslsocket_class" in vars(owner):
            _installed.append(_Installed(rule, owner, dict(vars(owner))))
            _set_classes(owner, rule)  # the class, for all its instances
            return
    msg = "ssl.SSLContext has no sslsocket_class: it was replaced by something else"
    raise TypeError(msg)


def uninstall() -> None:
    """Undo `install`. Connections that are established already stay."""
    while _installed:
        _, owner, before = _installed.pop()
        for name in ("sslsocket_class", "sslobject_class"):
            setattr(owner, name, before[name])


# ---- what holds ---------------------------------------------------------------


class _InForce(NamedTuple):
    """A policy and who hears of it. Swapped as one."""

    policy: Policy
    opened: OpenPolicy
    on_report: OnReport | None

    def accept_or_raise(self, evidence: Evidence) -> None:
        """Return if a peer is accepted in spite of its pins, else `PinningError`."""
        _, host, certs, now = evidence
        report = self.policy.verify(host, certs, now=_moment(now))
        notice(report, self.on_report)


Evidence: TypeAlias = "tuple[Policy, str | None, Sequence[bytes], int]"
"""What decided about whom, on which chain and when (seconds since 1970). It is kept
in place of a report, which is made when somebody asks for it."""


def _report(evidence: Evidence) -> Report:
    policy, host, certs, now = evidence
    return policy.evaluate(host, certs, now=_moment(now))


def _not_checked(text: str) -> PinningError:
    return PinningError.of(Report.not_checked(None, bytes(32), text), text)


def _moment(now: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(now, dt.UTC)


def _refuse_hidden_chain(evidence: Evidence) -> None:
    """Refuse a leaf without its chain where a blocked key may hide in that."""
    policy, host, _, _ = evidence
    name = b"" if host is None else host.encode()
    if not handle_of(policy).is_clear(name) and _report(evidence).mode == "enforce":
        msg = (
            "a resumed session shows no chain, and a key that is blocked may be "
            "in it; connect again without the session"
        )
        raise _not_checked(msg)


def _in_force(policy: Policy | PinSet, on_report: OnReport | None) -> _InForce:
    policy = as_policy(policy)
    if on_report is not None and not callable(on_report):
        msg = f"on_report: expected a function, got {on_report!r}"
        raise TypeError(msg)
    return _InForce(policy, handle_of(policy), on_report)


class _Rule:
    """What holds for the connections of one context.

    Attributes:
        in_force: None if connections are not checked.
        servers: whether server-side connections are checked.
        memo: what was seen of servers, as the evidence for resumed sessions.
        memo_of_clients: the same, where we are the server.
    """

    __slots__ = ("in_force", "memo", "memo_of_clients", "servers")

    def __init__(self, in_force: _InForce | None, *, servers: bool = True) -> None:
        self.in_force = in_force
        self.memo = Memo()
        self.memo_of_clients = Memo()
        self.servers = servers


# ---- one connection -----------------------------------------------------------


class _Pending:
    """Mixed into an SSL socket or object; its state until the check is done."""

    _pinverify_rule: ClassVar[_Rule]
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into
    _pinverify_settled: ClassVar[bool] = False
    _pinverify_verified_class: ClassVar[type]
    _pinverify_short_way: ClassVar[tuple[Callable[..., Any], _Rule] | None] = None
    _pinverify_own_rule: _Rule | None = None
    _pinverify_error: PinningError | None = None
    _pinverify_created_with: Any = None
    _pinverify_verifying = False
    _pinverify_evidence: Evidence | None = None

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before, and where no pins hold."""
        if self._pinverify_error is not None:
            return self._pinverify_error.report
        evidence = self._pinverify_evidence
        return None if evidence is None else _report(evidence)

    @property
    def _sslobj(self) -> Any:  # noqa: ANN401 - a C object without a type
        """What the methods of ssl see: the C object behind the check.

        The gates are on our class; a class of the application may have methods
        of its own, which call those of ssl without passing them.
        """
        return self.__dict__.get("_pinverify_guarded")

    @_sslobj.setter
    def _sslobj(self, sslobj: Any) -> None:  # noqa: ANN401
        """Note whether OpenSSL will verify the chain.

        That is fixed at this moment, when the C object is made. The context may
        be told otherwise later, without effect on this connection.
        """
        self.__dict__["_sslobj"] = sslobj
        self.__dict__["_pinverify_guarded"] = None
        if sslobj is not None:
            self.__dict__["_pinverify_guarded"] = _Guarded(self, sslobj)
            self._pinverify_created_with = sslobj.context
            self._pinverify_verifying = _verifies(sslobj.context)

    def _pinverify_sslobj(self) -> Any:  # noqa: ANN401
        """Return the C object itself."""
        return self.__dict__.get("_sslobj")

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Do the handshake, then decide about the peer."""
        self._pinverify_raise_again()
        self._pinverify_base.do_handshake(self, *args, **kwargs)
        if not self._pinverify_settled:
            self._pinverify_decide()

    def verify_client_post_handshake(self) -> NoReturn:
        """Refuse: a certificate that comes later would come after the decision."""
        msg = "pins are checked in the handshake; post-handshake authentication is off"
        raise _not_checked(msg)

    def _pinverify_settle(self) -> None:
        """Before data moves: let the handshake and the check be done."""
        self._pinverify_raise_again()
        if not self._pinverify_settled:
            self.do_handshake()

    def _pinverify_raise_again(self) -> None:
        error = self._pinverify_error
        if error is not None:
            raise error.with_traceback(None)

    def _pinverify_decide(self) -> None:
        try:
            sslobj = self._pinverify_sslobj()
            rule, in_force = self._pinverify_in_force(sslobj)
            if in_force is not None:
                server: bool = sslobj.server_side
                if server:
                    self._pinverify_refuse_hidden_name(sslobj)
                self._pinverify_evidence = _decide(
                    sslobj,
                    in_force,
                    rule.memo_of_clients if server else rule.memo,
                    # What the C object verifies; the Python object's can be set.
                    None if server else sslobj.server_hostname,
                    verifying=self._pinverify_verifying,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is: fail closed
            self._pinverify_fail(error)
        self.__class__ = self._pinverify_verified_class
        self.__dict__.pop("_pinverify_guarded", None)

    def _pinverify_in_force(self, sslobj: Any) -> tuple[_Rule, _InForce | None]:  # noqa: ANN401
        """Return the rule that decides, and what is in force now.

        SNI may have selected another context than the one that listens. Its rule
        decides if it has one; no other context lifts the pins.
        """
        rule = self._pinverify_own_rule
        if rule is None and sslobj.context is not self._pinverify_created_with:
            rule = _rule_of(sslobj.context)
        in_force = None if rule is None else rule.in_force
        if rule is None or in_force is None:
            rule = self._pinverify_rule
            in_force = rule.in_force
        if in_force is None and _installed:
            rule = _installed[0].rule
            in_force = rule.in_force
        return rule, in_force if rule.servers or not sslobj.server_side else None

    def _pinverify_refuse_hidden_name(self, sslobj: Any) -> None:  # noqa: ANN401
        """Refuse a resumed TLS 1.2 session where the name selects the tenant.

        OpenSSL then tells the callback the name of the session's first handshake,
        not the one that this client asks for, and so selects the wrong tenant.
        """
        selects = self._pinverify_created_with.sni_callback is not None
        if selects and sslobj.session_reused and sslobj.version() != "TLSv1.3":
            msg = (
                "a resumed TLS 1.2 session does not tell which name the client asks "
                "for; let it connect without the session, or use TLS 1.3"
            )
            raise _not_checked(msg)

    def _pinverify_fail(self, cause: Exception) -> NoReturn:
        """End the connection, with a `PinningError` whatever the cause is."""
        error = cause if isinstance(cause, PinningError) else None
        if error is None:
            error = _not_checked(f"the peer could not be checked: {cause!r}")
            error.__cause__ = cause
        self._pinverify_error = error
        self._pinverify_shut()
        raise error

    if TYPE_CHECKING:  # a socket and an object have their own

        def _pinverify_shut(self) -> None:
            """Let nothing more in or out."""


# ---- the decision ---------------------------------------------------------------


def _decide(
    sslobj: Any,  # noqa: ANN401
    in_force: _InForce,
    memo: Memo,
    host: str | None,
    *,
    verifying: bool,
) -> Evidence:
    """Return the evidence on which the peer is accepted, or raise.

    This runs once in each handshake, when no cache holds anything of it: each
    thing that is touched costs a microsecond, so there are few. The leaf comes
    first; where it suffices, the chain is not even fetched.

    Args:
        sslobj: the C object, after the handshake.
        in_force: what decides.
        memo: what was seen of peers on this side.
        host: the name that the C object verifies; None for a server's client.
        verifying: whether OpenSSL was to verify the chain when *sslobj* was made.
    """
    policy, opened, _ = in_force
    now = int(_time())
    name = b"" if host is None else host.encode()  # the core rejects what is no host
    if not memo.latest or host not in memo.latest:
        leaf: bytes | None = sslobj.getpeercert(True)  # noqa: FBT003
        if leaf is not None and opened.leaf_suffices(
            name, len(name), leaf, len(leaf), now
        ):
            return policy, host, (leaf,), now
    trusts_chain = verifying and _verify_mode(sslobj.context) != _CERT_NONE
    certs = sslobj.get_verified_chain() if trusts_chain else None
    hidden = False
    if certs:
        chain = memo.chain(host, certs, _der)
    elif (leaf := sslobj.getpeercert(True)) is None:  # noqa: FBT003
        chain = _columns.chain(())
    else:
        # A resumed session has no chain: its first handshake is the evidence.
        known = memo.recall(host, leaf) if trusts_chain else None
        hidden = trusts_chain and known is None
        chain = known or _columns.chain((leaf,))
    evidence = policy, host, chain.certs, now
    if not opened.passes(name, chain, now):
        in_force.accept_or_raise(evidence)
    if hidden:
        _refuse_hidden_chain(evidence)
    return evidence


_ENCODING_DER = 2  # _ssl.ENCODING_DER, on every version


def _der(cert: Any) -> bytes:  # noqa: ANN401
    der: bytes = cert.public_bytes(_ENCODING_DER)
    return der


# The C attributes and plain numbers, without the cost of making enums of them.
_verify_mode: Any = _ssl._SSLContext.verify_mode.__get__  # type: ignore[attr-defined] # noqa: SLF001
_options: Any = _ssl._SSLContext.options.__get__  # type: ignore[attr-defined] # noqa: SLF001
_set_options: Any = _ssl._SSLContext.options.__set__  # type: ignore[attr-defined] # noqa: SLF001
_NO_RENEGOTIATION = int(ssl.OP_NO_RENEGOTIATION)
_CERT_NONE = int(ssl.CERT_NONE)
_time = time.time


def _verifies(context: Any) -> bool:  # noqa: ANN401
    """Say whether OpenSSL verifies chains, so that more than the leaf counts.

    A chain that it built without verifying (CERT_NONE) ends at a CA that a forged
    leaf merely names.
    """
    return bool(_verify_mode(context) != _CERT_NONE)


class _Guarded:
    """The C object of a PENDING connection: it moves data after the check only."""

    __slots__ = ("_connection", "_raw")

    def __init__(self, connection: _Pending, raw: Any) -> None:  # noqa: ANN401
        self._connection = weakref.ref(connection)
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name in _C_MOVES_DATA:
            connection = self._connection()
            if connection is None:
                msg = "the connection is gone"
                raise ValueError(msg)
            connection._pinverify_settle()  # noqa: SLF001
        return getattr(self._raw, name)

    def do_handshake(self) -> None:
        self._raw.do_handshake()

    @property
    def context(self) -> Any:  # noqa: ANN401
        return self._raw.context

    @context.setter
    def context(self, context: Any) -> None:  # noqa: ANN401
        self._raw.context = context

    @property
    def session(self) -> Any:  # noqa: ANN401
        return self._raw.session

    @session.setter
    def session(self, session: Any) -> None:  # noqa: ANN401
        self._raw.session = session


_C_MOVES_DATA = ("read", "write", "shutdown", "sendfile")


class _PendingSocket(_Pending):
    """The state of an SSL socket."""

    @classmethod
    def _create(cls, **how: Any) -> Any:  # noqa: ANN401
        """Make a connection; check it, if the handshake is done on the way.

        Nobody sees a client's connection before this returns it, so it can do
        without gates while it is PENDING: the short way, and the usual one. A
        server's is shown to a callback for SNI.
        """
        context = how["context"]
        if not _options(context) & _NO_RENEGOTIATION:
            _refuse_renegotiation(context)
        short_way = cls._pinverify_short_way
        if (
            short_way is None
            or how["server_side"]
            or not how["do_handshake_on_connect"]
        ):
            return super()._create(**how)  # type: ignore[misc]
        create_verified, rule = short_way
        verifying = _verify_mode(context) != _CERT_NONE
        self = create_verified(**how)
        if not self._connected:
            self.__class__ = cls
            return self
        try:
            if rule.in_force is None and _installed:
                rule = _installed[0].rule
            if (in_force := rule.in_force) is not None:
                self._pinverify_evidence = _decide(
                    self._sslobj,
                    in_force,
                    rule.memo,
                    self.server_hostname,
                    verifying=verifying,
                )
        except Exception as error:  # noqa: BLE001 - whatever it is: fail closed
            self.__class__ = cls
            self._pinverify_fail(error)
        except BaseException:  # Ctrl-C: nobody gets what has not been checked
            self.close()
            raise
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
        _refuse_renegotiation(connection.context)
        try:
            return connect(self, addr)
        except BaseException:
            # ssl would leave a socket that is connected, and speaks in clear.
            if connection._connected:  # noqa: SLF001
                self._pinverify_shut()
            raise

    def _pinverify_settle(self) -> None:
        if self._sslobj is None and self._pinverify_error is None:
            if "_connected" not in self.__dict__:
                return  # ssl itself looks for data sent in clear: CVE-2023-40217
            # After a failed connect() ssl would go on in clear.
            msg = "TLS is not established; nothing is sent or received in clear"
            raise OSError(errno.ENOTCONN, msg)
        super()._pinverify_settle()

    def _pinverify_shut(self) -> None:
        connection: Any = self
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # also what makefile() keeps open
        # An event loop still watches the number of a non-blocking socket, which
        # another socket could get: there, closing is for the loop.
        if connection.gettimeout() != 0:
            with contextlib.suppress(OSError):
                connection.close()


class _PendingObject(_Pending):
    """The state of an SSL object, which reads and writes memory buffers."""

    _pinverify_outgoing: ssl.MemoryBIO
    _pinverify_passed_early = False

    @classmethod
    def _create(cls, incoming: Any, outgoing: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        _refuse_renegotiation(kwargs["context"])
        self: Any = super()._create(incoming, outgoing, *args, **kwargs)  # type: ignore[misc]
        self._pinverify_outgoing = outgoing
        return self

    def do_handshake(self) -> None:
        """Do the handshake, then decide about the peer; reject as early as can be."""
        try:
            _Pending.do_handshake(self)
        except ssl.SSLWantReadError:
            if not self._pinverify_passed_early:
                self._pinverify_reject_early(self._pinverify_sslobj())
            raise

    def _pinverify_reject_early(self, sslobj: Any) -> None:  # noqa: ANN401
        """Look at the peer before our answer leaves, which ends its turn in TLS 1.2.

        The answer may carry a client certificate, and it is still in the buffer.
        Only a rejection counts here; what passes is decided at the end.
        """
        if sslobj.server_side:
            return
        try:
            if self._pinverify_verifying and _verifies(sslobj.context):
                certs = sslobj.get_verified_chain() or ()
            else:
                certs = (sslobj.get_unverified_chain() or ())[:1]
            chain = [_der(cert) for cert in certs]
            _, in_force = self._pinverify_in_force(sslobj)
            if chain and in_force is not None:
                policy, host = in_force.policy, sslobj.server_hostname
                if not policy.evaluate(host, chain).accepted:
                    policy.verify(host, chain)
                self._pinverify_passed_early = True
        except Exception as error:  # noqa: BLE001 - whatever it is: fail closed
            self._pinverify_fail(error)

    def _pinverify_shut(self) -> None:
        # What waits there would end the handshake, or show a client certificate.
        self._pinverify_outgoing.read()


# ---- the two classes of a context ---------------------------------------------


def _is_server(context: Any) -> bool:  # noqa: ANN401
    return getattr(context, "protocol", None) is ssl.PROTOCOL_TLS_SERVER


def _inner(context: Any) -> Any:  # noqa: ANN401
    """Return the context that makes the connections: truststore's has one inside."""
    inner = context.__dict__.get("_ctx")
    return inner if isinstance(inner, _ssl._SSLContext) else context  # noqa: SLF001


def _rule_of(context: Any) -> _Rule | None:  # noqa: ANN401
    rule: _Rule | None = vars(context).get("_pinverify")
    return rule


def _hooked(context: ssl.SSLContext, rule: _Rule) -> _Rule:
    """Return the rule of *context*; make it use our classes and *rule* if not yet."""
    # Not ssl.SSLContext, which truststore and gevent replace.
    if not isinstance(context, _ssl._SSLContext):  # noqa: SLF001
        msg = f"expected an ssl.SSLContext, got {type(context).__name__}"
        raise TypeError(msg)
    inner = _inner(context)
    with _hooking:
        rule = _rule_of(inner) or rule
        before = dict(vars(inner))
        vars(inner)["_pinverify"] = rule
        try:
            _set_classes(inner, rule)
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


def _refuse_renegotiation(context: Any) -> None:  # noqa: ANN401
    """A TLS 1.2 peer could show another certificate after the check."""
    options = _options(context)
    if not options & _NO_RENEGOTIATION:
        _set_options(context, options | _NO_RENEGOTIATION)


def _set_classes(owner: Any, rule: _Rule) -> None:  # noqa: ANN401
    """Set our classes on a context, or on the class of contexts.

    Not where they are already; but they may have been replaced since.
    """
    if getattr(owner.sslsocket_class, "_pinverify_rule", None) is not rule:
        owner.sslsocket_class = _checked(_PendingSocket, owner.sslsocket_class, rule)
    if getattr(owner.sslobject_class, "_pinverify_rule", None) is not rule:
        owner.sslobject_class = _checked(_PendingObject, owner.sslobject_class, rule)


def _checked(pending: type[_Pending], found: type, rule: _Rule) -> Any:  # noqa: ANN401
    """Return the class *found* with the check.

    Once VERIFIED, a connection is of a class that adds next to nothing to the
    one below the check, so that its data flows as fast.
    """
    base = vars(found).get("_pinverify_base", found)  # what we once mixed into
    again = issubclass(base, pending)  # a subclass of one that we once made
    moves_data = [name for name in _MOVES_DATA if hasattr(base, name)]
    own: dict[str, Any] = {
        "_pinverify_rule": rule,
        "_pinverify_base": base,
    }
    verified = own | {name: vars(_Pending)[name] for name in _KEPT_WHEN_VERIFIED}
    verified |= {"_pinverify_settled": True, "_pinverify_settle": _nothing_to_do}
    if again:  # a plain attribute hides the property, the instance's own comes first
        verified["_sslobj"] = None
    own |= {name: _gate(getattr(base, name)) for name in moves_data}
    verified_class: Any = type(f"Verified{base.__name__}", (base,), verified)
    own["_pinverify_verified_class"] = verified_class
    if base.__module__ == "ssl":  # who knows what other classes do
        own["_pinverify_short_way"] = verified_class._create, rule  # noqa: SLF001
    return type(f"Pinned{base.__name__}", (base,) if again else (pending, base), own)


# What a VERIFIED connection still has: its report, and what methods that were
# looked up before, on the PENDING one, go on to ask.
_KEPT_WHEN_VERIFIED = (
    "pin_report",
    "verify_client_post_handshake",
    "_pinverify_error",
    "_pinverify_evidence",
    "_pinverify_raise_again",
)


def _nothing_to_do(_connection: object) -> None:
    """Be what settling a VERIFIED connection is."""


def _gate(base_method: Callable[..., Any]) -> Callable[..., Any]:
    """Return *base_method*, after the check."""

    def method(self: _Pending, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self._pinverify_settle()
        return base_method(self, *args, **kwargs)

    method.__name__ = base_method.__name__
    method.__doc__ = base_method.__doc__
    return method


def _see_that_it_works(context: ssl.SSLContext, rule: _Rule) -> None:
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
        isinstance(connection, _Pending)
        and _rule_of(cast("Any", connection).context) is rule
        for connection in made
    ):
        msg = (
            f"{name} does not make its connections with its sslsocket_class and "
            "sslobject_class, so pins can't be enforced on it; pin an ssl.SSLContext"
        )
        raise TypeError(msg)


def _made_without_a_peer(context: ssl.SSLContext) -> list[Any]:
    server = _is_server(context)
    how: dict[str, Any] = {"server_side": server}
    if not server:
        how["server_hostname"] = "localhost"
    with socket.socket() as plain:
        tls: Any = context.wrap_socket(plain, do_handshake_on_connect=False, **how)
        tls.close()
    return [tls, context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how)]


class _Installed(NamedTuple):
    """What `install` has changed."""

    rule: _Rule
    owner: Any
    before: dict[str, Any]


_installed: list[_Installed] = []
