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
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn, cast

from pinverify.errors import PinningError, PolicyError
from pinverify.notice import OnReport, notice
from pinverify.policy import PinSet, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.report import Report

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
            nobody has verified the rest of the chain.
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
    if _is_server(context) and not in_force.policy.every_peer:
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
    on_report: OnReport | None

    def verify(self, host: str | None, chain: list[bytes], now: int) -> _Decision:
        """Return the decision to accept a peer, or raise `PinningError`."""
        decision = _Decision(self.policy, host, chain, now)
        if not self.policy.passes(host, chain, now):
            report = self.policy.verify(host, chain, now=decision.moment)
            notice(report, self.on_report)
        return decision


class _Decision(NamedTuple):
    """What was decided, from which evidence: its report is made when asked for."""

    policy: Policy
    host: str | None
    chain: list[bytes]
    now: int

    @property
    def moment(self) -> dt.datetime:
        """When it was decided."""
        return dt.datetime.fromtimestamp(self.now, dt.UTC)

    def refuse_hidden_chain(self) -> None:
        """Refuse a leaf without its chain where a blocked key may hide in that."""
        if self.policy.blocks(self.host) and self.report().mode == "enforce":
            msg = (
                "a resumed session shows no chain, and a key that is blocked may be "
                "in it; connect again without the session"
            )
            raise PinningError.of(msg)

    def report(self) -> Report:
        """Return the report: the same evidence, at the same moment."""
        return self.policy.evaluate(self.host, self.chain, now=self.moment)


def _in_force(policy: Policy | PinSet, on_report: OnReport | None) -> _InForce:
    if isinstance(policy, PinSet):
        policy = policy.as_policy()
    if not isinstance(policy, Policy):
        msg = f"expected a Policy or a PinSet, got {type(policy).__name__}"
        raise TypeError(msg)
    if on_report is not None and not callable(on_report):
        msg = f"on_report: expected a function, got {on_report!r}"
        raise TypeError(msg)
    return _InForce(policy, on_report)


class _Rule:
    """What holds for the connections of one context.

    Attributes:
        in_force: None if connections are not checked.
        servers: whether server-side connections are checked.
        memo: the evidence for resumed sessions.
    """

    __slots__ = ("in_force", "memo", "servers")

    def __init__(self, in_force: _InForce | None, *, servers: bool = True) -> None:
        self.in_force = in_force
        self.memo = _Memo()
        self.servers = servers


_MEMO_MAX = 1024


class _Memo:
    """What a context has seen in full, verified handshakes.

    A resumed session has no chain, and `ca` pins need one. The evidence must be
    of the same host, the same side and the same leaf; without it, a `ca` pin is
    not met. The oldest entry makes room.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chains: dict[object, list[bytes]] = {}
        self.hosts_with_chain: set[str | None] = set()
        """Hosts whose leaf did not suffice: it need not be tried again."""

    def keep(self, host: str | None, chain: list[bytes], *, server: bool) -> None:
        key = self._key(host, chain[0], server=server)
        if key in self._chains:
            self._chains[key] = chain
            return
        with self._lock:
            while len(self._chains) >= _MEMO_MAX:
                del self._chains[next(iter(self._chains))]
            self._chains[key] = chain
            if len(self.hosts_with_chain) >= _MEMO_MAX:
                self.hosts_with_chain.clear()
            self.hosts_with_chain.add(host)

    def recall(
        self, host: str | None, leaf: bytes, *, server: bool
    ) -> list[bytes] | None:
        chain = self._chains.get(self._key(host, leaf, server=server))
        return chain if chain is not None and chain[0] == leaf else None

    @staticmethod
    def _key(host: str | None, leaf: bytes, *, server: bool) -> object:
        # The end of a certificate is its signature. The whole is compared later.
        return server, host, leaf[-32:]


# ---- one connection -----------------------------------------------------------

_ENCODING_DER = 2  # _ssl.ENCODING_DER, on every version


class _Pending:
    """Mixed into an SSL socket or object; its state until the check is done."""

    _pinverify_rule: ClassVar[_Rule]
    _pinverify_base: ClassVar[Any]  # the class that this one is mixed into
    _pinverify_settled: ClassVar[bool] = False
    _pinverify_verified_class: ClassVar[type]
    _pinverify_own_rule: _Rule | None = None
    _pinverify_error: PinningError | None = None
    _pinverify_created_with: Any = None
    _pinverify_verifying = False
    _pinverify_decision: _Decision | None = None

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before, and where no pins hold."""
        if self._pinverify_error is not None:
            return self._pinverify_error.report
        decision = self._pinverify_decision
        return None if decision is None else decision.report()

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
        raise PinningError.of(msg)

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
        # This runs once in each handshake, cold: it is written to be short. The
        # leaf comes first; where it suffices, the chain is not even fetched.
        try:
            sslobj = self._pinverify_sslobj()
            rule, in_force = self._pinverify_in_force(sslobj)
            if in_force is not None:
                self._pinverify_decision = self._pinverify_verify(
                    sslobj, in_force, rule.memo
                )
        except Exception as error:  # noqa: BLE001 - whatever it is: fail closed
            self._pinverify_fail(error)
        self.__dict__.pop("_pinverify_guarded", None)
        self.__class__ = self._pinverify_verified_class

    def _pinverify_verify(
        self,
        sslobj: Any,  # noqa: ANN401
        in_force: _InForce,
        memo: _Memo,
    ) -> _Decision:
        """Return the decision to accept the peer, or raise."""
        host: str | None = None
        if sslobj.server_side:
            self._pinverify_refuse_hidden_name(sslobj)
        else:
            # What the C object verifies; the Python object's can be set.
            host = sslobj.server_hostname
        now = int(time.time())
        if host not in memo.hosts_with_chain:
            leaf: bytes | None = sslobj.getpeercert(True)  # noqa: FBT003
            if leaf is not None and in_force.policy.passes_by_leaf(host, leaf, now):
                return _Decision(in_force.policy, host, [leaf], now)
        chain, complete = self._pinverify_chain(sslobj, host, memo)
        decision = in_force.verify(host, chain, now)
        if not complete:
            decision.refuse_hidden_chain()
        return decision

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

    def _pinverify_trusts_chain(self, sslobj: Any) -> bool:  # noqa: ANN401
        """Say whether OpenSSL verified the chain, so that more than the leaf counts.

        A chain that it built without verifying (CERT_NONE) ends at a CA that a
        forged leaf merely names.
        """
        return self._pinverify_verifying and _verifies(sslobj.context)

    def _pinverify_chain(
        self,
        sslobj: Any,  # noqa: ANN401
        host: str | None,
        memo: _Memo,
    ) -> tuple[list[bytes], bool]:
        """Return the verified chain, leaf first; else the leaf; else nothing.

        Returns:
            The chain, and whether that is all that a full handshake would show.
        """
        trusts_chain = self._pinverify_trusts_chain(sslobj)
        server = sslobj.server_side
        if trusts_chain:
            chain = _ders(sslobj.get_verified_chain())
            if chain:
                memo.keep(host, chain, server=server)
                return chain, True
        leaf: bytes | None = sslobj.getpeercert(True)  # noqa: FBT003
        if leaf is None:
            return [], True
        # A resumed session has no chain: its first handshake is the evidence.
        known = memo.recall(host, leaf, server=server) if trusts_chain else None
        return known or [leaf], known is not None or not trusts_chain

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
            raise PinningError.of(msg)

    def _pinverify_fail(self, cause: Exception) -> NoReturn:
        """End the connection, with a `PinningError` whatever the cause is."""
        error = cause if isinstance(cause, PinningError) else None
        if error is None:
            error = PinningError.of(f"the peer could not be checked: {cause!r}")
            error.__cause__ = cause
        self._pinverify_error = error
        self._pinverify_shut()
        raise error

    if TYPE_CHECKING:  # a socket and an object have their own

        def _pinverify_shut(self) -> None:
            """Let nothing more in or out."""


# The C attributes, without the cost of making an enum of their values.
_VERIFY_MODE: Any = _ssl._SSLContext.verify_mode  # noqa: SLF001
_OPTIONS: Any = _ssl._SSLContext.options  # noqa: SLF001


def _verifies(context: Any) -> bool:  # noqa: ANN401
    return bool(_VERIFY_MODE.__get__(context) != ssl.CERT_NONE)


def _ders(chain: list[Any] | None) -> list[bytes]:
    return [cert.public_bytes(_ENCODING_DER) for cert in chain or ()]


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
    def _create(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        _refuse_renegotiation(kwargs["context"])
        return super()._create(*args, **kwargs)  # type: ignore[misc]

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
            if self._pinverify_trusts_chain(sslobj):
                chain = _ders(sslobj.get_verified_chain())
            else:
                chain = _ders(sslobj.get_unverified_chain())[:1]
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
    options = _OPTIONS.__get__(context)
    if not options & ssl.OP_NO_RENEGOTIATION:
        _OPTIONS.__set__(context, options | ssl.OP_NO_RENEGOTIATION)


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
    own: dict[str, Any] = {"_pinverify_rule": rule, "_pinverify_base": base}
    verified = own | {name: vars(_Pending)[name] for name in _KEPT_WHEN_VERIFIED}
    verified |= {"_pinverify_settled": True, "_pinverify_settle": _nothing_to_do}
    if again:  # a plain attribute hides the property, the instance's own comes first
        verified["_sslobj"] = None
    own |= {name: _gate(getattr(base, name)) for name in moves_data}
    own["_pinverify_verified_class"] = type(
        f"Verified{base.__name__}", (base,), verified
    )
    return type(f"Pinned{base.__name__}", (base,) if again else (pending, base), own)


# What a VERIFIED connection still has: its report, and what methods that were
# looked up before, on the PENDING one, go on to ask.
_KEPT_WHEN_VERIFIED = (
    "pin_report",
    "verify_client_post_handshake",
    "_pinverify_error",
    "_pinverify_decision",
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
    server = _is_server(context)
    how: dict[str, Any] = {"server_side": server}
    if not server:
        how["server_hostname"] = "localhost"
    with socket.socket() as plain:
        made: list[Any] = [
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), **how),
            context.wrap_socket(plain, do_handshake_on_connect=False, **how),
        ]
        made[1].close()
    if not all(
        isinstance(connection, _Pending)
        and _rule_of(cast("Any", connection).context) is rule
        for connection in made
    ):
        msg = (
            f"{type(context).__module__}.{type(context).__name__} does not make its "
            "connections with its sslsocket_class and sslobject_class, so pins "
            "can't be enforced on it; pin an ssl.SSLContext"
        )
        raise TypeError(msg)


class _Installed(NamedTuple):
    """What `install` has changed."""

    rule: _Rule
    owner: Any
    before: dict[str, Any]


_installed: list[_Installed] = []
