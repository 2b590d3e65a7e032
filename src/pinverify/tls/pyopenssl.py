"""Pins for pyOpenSSL: one `OpenSSL.SSL.Connection`, over a socket or in memory.

Pins belong to a connection, never to a context. The verify callback of a context is no
place for pins: it is not called for a resumed session, its answer is ignored under
``VERIFY_NONE``, ``Connection.set_verify`` replaces it, and pyOpenSSL keeps an exception
that it raises in the context, where another thread's connection may get it.

`pin_connection` checks the pins in the connection's verify callback: a wrong pin ends
the handshake with an alert, before a client certificate is sent. OpenSSL calls back in
full handshakes only, so the connection also gets a class with the states that
`pinverify.tls._judge` explains. That file also says which certificates count.
"""

from __future__ import annotations

import contextlib
import socket
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias

from OpenSSL import SSL, crypto

from pinverify.errors import PolicyError
from pinverify.policy import PinningError, PinSet, Policy, Report
from pinverify.policy._pinning_error import text_behind
from pinverify.tls._judge import (
    ASKED_FOR_RENEGOTIATION,
    Accepted,
    Peer,
    Shown,
    announce,
    judge,
    refusal,
    reject_early,
    rejection,
    report_of_accepted,
)
from pinverify.tls._memo import Memo
from pinverify.tls._policy_in_force import InForce, in_force

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.tls._events import OnReport

__all__ = [
    "PinnedConnections",
    "PinningSSLError",
    "VerifyCallback",
    "pin_connection",
    "verify",
]

VerifyCallback: TypeAlias = (
    "Callable[[SSL.Connection, crypto.X509, int, int, int], Any]"
)
"""A callback as `OpenSSL.SSL.Connection.set_verify` takes it."""


def pin_connection(
    conn: SSL.Connection,
    policy: Policy | PinSet,
    *,
    host: str | bytes | None = None,
    callback: VerifyCallback | None = None,
    on_report: OnReport | None = None,
) -> SSL.Connection:
    """Enforce pins on *conn*; call it before the handshake.

    The verify mode of the connection does not change. Under ``VERIFY_NONE``, and if
    *callback* accepts a certificate that OpenSSL rejects, only the leaf counts, because
    nobody has verified the rest of the chain. pyOpenSSL does not compare the host with
    the certificate; the application must do that, as before.

    After the decision, the connection has the attribute ``pin_report``, and
    ``pin_error`` if the peer was rejected. Connections that a pinned connection accepts
    are pinned too.

    Args:
        conn: the connection of a client or a server.
        policy: the pins of *host*. The clients of a server have no name: pass a
            `PinSet`.
        host: the name that the application verifies, to look up in *policy*. None is
            the name passed to ``set_tlsext_host_name``.
        callback: the application's verify callback. It is called before the pins are
            checked. If the connection or its context has a callback, pass it here:
            pyOpenSSL does not reveal it.
        on_report: as in `pinverify.pin_context`.

    Returns:
        *conn*.

    Raises:
        TypeError: *conn* is pinned already, is not exactly an
            `OpenSSL.SSL.Connection`, or has a callback while *callback* is None.
        ValueError: its handshake has begun, and now the connection has failed; or the
            handshake is done: use `verify`.
        PolicyError: there is no host name, and *policy* has no pins for clients, or
            has rules for hosts as well.
    """
    pins = PinnedConnections(policy, on_report=on_report)
    return pins.pin(conn, host=host, callback=callback)


class PinnedConnections:
    """Pins connections under one policy, which can be replaced.

    For applications with many connections: `pin_connection` keeps its policy for good.
    """

    def __init__(
        self, policy: Policy | PinSet, *, on_report: OnReport | None = None
    ) -> None:
        """Check the arguments, which are those of `pin_connection`."""
        self.in_force = in_force(policy, on_report)
        self._has_nameless = False

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        That includes handshakes of connections that were pinned before, and of those
        that a pinned connection accepts. Established connections are not affected.

        Args:
            policy: the pins, as in `pin_connection`.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet. The old one stays.
            PolicyError: peers without a name have been pinned, and *policy* has no pins
                for clients, or has rules for hosts as well. The old one stays.
        """
        new = in_force(policy, self.in_force.on_report)
        if self._has_nameless:
            _refuse_nameless(new)
        self.in_force = new

    def pin(
        self,
        conn: SSL.Connection,
        *,
        host: str | bytes | None = None,
        callback: VerifyCallback | None = None,
    ) -> SSL.Connection:
        """Enforce the pins on *conn*, as `pin_connection` does."""
        check = _Check(self, host, callback)
        _refuse_what_cannot_be_pinned(conn, callback)
        if not conn.get_state_string().startswith(b"before"):
            raise _failed(conn, check)
        _refuse_unknown_side(self.in_force, host)
        if host is None:
            check.follow(conn.get_servername())
        if check.host is None:
            _refuse_nameless(self.in_force)
            self._has_nameless = True
        # In a renegotiation, a TLS 1.2 peer could show another certificate.
        conn.set_options(SSL.OP_NO_RENEGOTIATION)
        if check.host is None and not self.in_force.handle.knows_clients_by_leaf:
            # A ticket may come back to a process that has not seen the chain. Sessions
            # in the memory of this one stay; only the context can turn these off.
            conn.set_options(SSL.OP_NO_TICKET)
        conn.set_verify(conn.get_verify_mode(), check.on_verify)
        conn.__dict__["_pinverify"] = check
        conn.__class__ = _Pending
        return conn


def _failed(conn: SSL.Connection, check: _Check) -> ValueError:
    """Let a connection fail whose handshake has begun, and return the error.

    pyOpenSSL ignores what a callback for SNI raises. A failed connection moves no data.
    """
    msg = (
        "the handshake has begun, as in a callback for SNI: pin the connection before "
        "it"
    )
    why = rejection(check.pins.in_force, check.host, msg)
    check.error = check.because(why)
    conn.__dict__["_pinverify"] = check
    conn.__class__ = _Failed
    return ValueError(msg)


def _refuse_nameless(rules: InForce) -> None:
    """Refuse a policy that cannot decide about a peer without a name."""
    _refuse_unknown_side(rules, None)
    if not rules.policy.has_clients:
        msg = (
            "there is no host to look up: pass host=…, or call set_tlsext_host_name "
            "first; the clients of a server have none, so pass a PinSet"
        )
        raise PolicyError(msg)


def verify(
    conn: SSL.Connection,
    policy: Policy | PinSet,
    *,
    host: str | bytes | None = None,
    chain_is_verified: bool = False,
    on_report: OnReport | None = None,
) -> Report:
    """Check the peer of a connection that is not pinned.

    Call `verify` after the handshake and before any data. If it raises, close the
    connection. A connection that `pin_connection` pins needs no such call.

    Args:
        conn: a connection after its handshake.
        policy: the pins of *host*, or a `PinSet`.
        host: the name that the application has verified; None for a server's client.
            The name sent as SNI is not used: on a server, the client chooses it.
        chain_is_verified: True if ``VERIFY_PEER`` was set in the handshake, and no
            callback accepted a certificate that OpenSSL rejects. pyOpenSSL does not
            reveal whether this is so. If False, only the leaf counts.
        on_report: as in `pin_connection`.

    Returns:
        The report of an accepted peer.

    Raises:
        PinningError: the peer is rejected.
        PolicyError: as in `pin_connection`.
    """
    rules = in_force(policy, on_report)
    _refuse_unknown_side(rules, host)
    peer, shown = _peer_of(host), _ShownAfterwards(conn, verified=chain_is_verified)
    try:
        # The memo is empty: if the session is resumed, nobody has seen its chain.
        accepted = judge(rules, Memo(leaves_max=0), peer, shown)
        report = report_of_accepted(accepted, peer, shown)
    except Exception as cause:  # noqa: BLE001 - also exceptions of on_report
        error = PinningSSLError.because(cause, rules, peer, shown)
        announce(error, cause, rules)
        raise error from error.__cause__
    accepted[4][0] += 1  # it is final
    return report


class PinningSSLError(PinningError, SSL.Error):
    """A `PinningError` for code that expects an `OpenSSL.SSL.Error`.

    As in pyOpenSSL's own errors, the argument is a list of (library, function,
    reason). Twisted and mitmproxy look into it.
    """

    @cached_property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]  # can be set, too
        """The list of one error, with the first line as the reason."""
        return ([("pinverify", "", self.strerror)],)

    @classmethod
    def because(
        cls,
        cause: BaseException,
        rules: InForce | None,
        peer: Peer,
        shown: Shown | None,
    ) -> Self:
        """Return *cause* as an error of this class; any exception is a rejection."""
        error = refusal(cause, rules, peer, shown)
        ours = cls(error.report, text_behind(error))
        ours.__cause__ = error.__cause__
        return ours


def _der(cert: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, cert)


def _verifies(conn: SSL.Connection) -> bool:
    return bool(conn.get_verify_mode() & SSL.VERIFY_PEER)


class _Shown:
    """The certificates of a connection, as pyOpenSSL shows them; see `Shown`."""

    def __init__(self, conn: SSL.Connection | None = None) -> None:
        self.conn = conn  # None until OpenSSL has shown it

    def leaf(self) -> bytes | None:
        cert = None if self.conn is None else self.conn.get_peer_certificate()
        return None if cert is None else _der(cert)

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        try:
            return None if self.conn is None else self.conn.getpeername()
        except (AttributeError, OSError, TypeError):  # in memory there is no socket
            return None


class _ShownAfterwards(_Shown):
    """The certificates of a connection whose handshake was not observed."""

    conn: SSL.Connection

    def __init__(self, conn: SSL.Connection, *, verified: bool) -> None:
        super().__init__(conn)
        self._verified = verified

    def is_verified(self) -> bool:
        return self._verified

    def doubt(self) -> str:
        why = "chain_is_verified is False, so OpenSSL did not verify this chain"
        return "" if self._verified else why

    def verified_chain(self) -> list[bytes]:
        return [_der(cert) for cert in self.conn.get_verified_chain() or []]

    def is_resumed(self) -> None:
        """Return None: pyOpenSSL does not tell."""


class _ShownToCallback(_Shown):
    """The certificates that OpenSSL showed to the verify callback."""

    def __init__(self) -> None:
        super().__init__()
        self.called = False  # and stays so in a resumed handshake
        self.seen: dict[int, bytes] = {}  # by depth
        self.doubted = False  # True if OpenSSL rejected one of them, or does not verify

    def is_verified(self) -> bool:
        return self.conn is not None and _verifies(self.conn) and not self.doubted

    def doubt(self) -> str:
        if self.conn is None or self.is_verified():
            return ""
        return (
            "OpenSSL did not verify this chain: VERIFY_NONE was set, or a callback "
            "accepted what OpenSSL rejected"
        )

    def verified_chain(self) -> list[bytes]:
        """Return the chain; it is empty in a resumed session."""
        return self.so_far() if self.seen.get(0) == self.leaf() else []

    def is_resumed(self) -> bool | None:
        """Return True if OpenSSL verified no certificate in this handshake."""
        if self.called:
            return False
        return True if self.is_verified() and self.leaf() is not None else None

    def so_far(self) -> list[bytes]:
        """Return the certificates that count in a full handshake, leaf first."""
        depths = 1 if self.doubted else len(self.seen)
        return [self.seen[depth] for depth in range(depths)]


class _Check:
    """The check of one connection, and its result."""

    def __init__(
        self,
        pins: PinnedConnections,
        host: str | bytes | None,
        callback: VerifyCallback | None,
    ) -> None:
        self.pins = pins  # of this connection, and of what it accepts
        self.host = host  # to look up
        self.follows = host is None  # then the host is the name sent as SNI
        self.callback = callback  # of the application
        self.shown = _ShownToCallback()
        self.error: PinningSSLError | None = None
        self.accepted: tuple[Accepted, Peer] | None = None
        self._report: Report | None = None

    def report(self) -> Report | None:
        """Return the report of the decision; None before the decision."""
        if self.error is not None:
            return self.error.report
        if self._report is None and self.accepted is not None:
            self._report = report_of_accepted(*self.accepted, self.shown)
        return self._report

    def raise_again(self) -> None:
        """Raise the error again, if the peer was rejected."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def follow(self, server_name: bytes | None) -> None:
        """Use the name sent as SNI, unless the application gave a host."""
        if self.follows:
            self.host = server_name

    def because(self, cause: BaseException) -> PinningSSLError:
        """Return *cause* as a `PinningSSLError`; any exception is a rejection."""
        peer = _peer_of(self.host)
        return PinningSSLError.because(cause, self.pins.in_force, peer, self.shown)

    def on_verify(
        self, conn: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Call the application's callback, then check the pins.

        OpenSSL calls this for each certificate from the root to the leaf, and for each
        error before, between and after these. So the leaf is not the end: name
        constraints are checked later, and the application's callback may accept a
        violation.
        """
        shown = self.shown
        shown.conn = conn
        shown.called = True
        shown.doubted |= not ok
        answer = (
            ok if self.callback is None else self.callback(conn, cert, error, depth, ok)
        )
        shown.doubted |= not _verifies(conn)  # the callback may have changed it
        if not answer:
            return False
        shown.seen[depth] = _der(cert)
        return 0 not in shown.seen or self.passes()

    def passes(self) -> bool:
        """Return True if the handshake may continue; otherwise keep the error."""
        try:
            shown, in_force = self.shown, self.pins.in_force
            reject_early(in_force, _peer_of(self.host), shown.so_far(), shown)
        except BaseException as cause:  # noqa: BLE001 - any error: fail closed
            self.error = self.because(cause)
        return self.error is None

    def pass_early(self, conn: SSL.Connection) -> None:
        """Check the leaf before our answer leaves, if OpenSSL has not called back.

        Under VERIFY_NONE, OpenSSL does not call back for the leaf. The answer may
        contain a client certificate; over memory buffers it has not been sent yet.
        """
        shown = self.shown
        shown.conn = conn
        leaf = shown.leaf() if shown.called and 0 not in shown.seen else None
        if leaf is not None:
            shown.seen[0] = leaf
            self.passes()

    def decide(self, conn: SSL.Connection) -> Accepted:
        """Judge the peer after the handshake, or raise."""
        self.shown.conn = conn
        memo = conn.get_context().__dict__.setdefault("_pinverify_memo", Memo())
        peer = _peer_of(self.host)
        accepted = judge(self.pins.in_force, memo, peer, self.shown)
        self.accepted = accepted, peer
        return accepted


def _peer_of(host: str | bytes | None) -> Peer:
    """Return the peer of a connection.

    pyOpenSSL does not reveal which side a connection is on. The clients of a server
    have no name, so a peer without a name counts as a client.
    """
    return host, host is None


def _refuse_unknown_side(rules: InForce, host: str | bytes | None) -> None:
    """Refuse a peer without a name under rules for hosts and for clients.

    It may be a client, or a server that nobody named. The name sent as SNI is no help:
    with it, a client would choose its own rule.
    """
    if host is None and rules.policy.has_clients and rules.handle.num_rules:
        msg = (
            "the policy has rules for hosts and for clients, and pyOpenSSL does not "
            "reveal which side a connection is on: pass host=… for a server; for a "
            "client, Policy.for_clients(policy.rules.clients)"
        )
        raise PolicyError(msg)


def _refuse_what_cannot_be_pinned(
    conn: SSL.Connection, callback: VerifyCallback | None
) -> None:
    if isinstance(conn, _Pending):
        msg = "this connection is pinned already"
        raise TypeError(msg)
    if type(conn) is not SSL.Connection:
        msg = f"expected an OpenSSL.SSL.Connection itself, got {type(conn).__name__}"
        raise TypeError(msg)
    # There is no public way to find out. Without the attribute: refuse.
    if callback is None and conn.__dict__.get("_verify_helper", ...) is not None:
        msg = (
            "this connection has a verify callback, which the pins would replace: "
            "pass it as callback=…"
        )
        raise TypeError(msg)
    if conn.get_finished() is not None:
        msg = "the handshake is done: use pinverify.tls.pyopenssl.verify"
        raise ValueError(msg)


# Attributes of the socket below to which pyOpenSSL forwards, and which move no data.
# All others are refused: they could read or write past TLS, in plain text.
_OF_THE_SOCKET = {
    *("bind", "close", "detach", "family", "fileno", "get_inheritable", "getblocking"),
    *("getpeername", "getsockname", "getsockopt", "gettimeout", "ioctl", "listen"),
    *("proto", "set_inheritable", "setblocking", "setsockopt", "settimeout"),
    *("timeout", "type"),
}


def _after_the_check(name: str) -> Callable[..., Any]:
    """Return a method that decides about the peer before it moves data."""

    def method(self: _Pending, *args: Any, **how: Any) -> Any:  # noqa: ANN401
        self.do_handshake()
        return getattr(self, name)(*args, **how)  # of the class that it has now

    return method


class _Pending(SSL.Connection):
    """A connection whose peer has not been judged yet."""

    _pinverify: _Check

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return an attribute of the socket below, unless it could bypass TLS.

        This also holds after the check: pyOpenSSL has no ``sendmsg`` of its own, and
        the socket's would write its bytes between the records of TLS.
        """
        if name not in _OF_THE_SOCKET:
            msg = (
                f"a pinned connection has no attribute {name!r}: that of its socket "
                "could move data without TLS; use send, sendall, recv or recv_into"
            )
            raise AttributeError(msg, name=name, obj=self)
        return super().__getattr__(name)

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before the decision."""
        return self._pinverify.report()

    @property
    def pin_error(self) -> PinningSSLError | None:
        """The error of a rejected peer, for code that did not catch it."""
        return self._pinverify.error

    def do_handshake(self) -> None:
        """Do the handshake, then decide about the peer."""
        check = self._pinverify
        check.raise_again()
        try:
            super().do_handshake()
        except SSL.WantReadError:
            check.pass_early(self)
            if check.error is not None:
                self._pinverify_fail(check.error)
            raise
        except Exception:
            if check.error is not None:
                # OpenSSL has ended the handshake and queued its alert.
                self._pinverify_fail(check.error, alert=_verifies(self))
            raise
        if check.error is not None:
            self._pinverify_fail(check.error)
        if check.accepted is None:
            try:
                accepted = check.decide(self)
            except BaseException as cause:  # noqa: BLE001 - any error: fail closed
                self._pinverify_fail(check.because(cause), cause)
            accepted[4][0] += 1  # it is final
        of_client = check.host is not None
        tls_1_3 = self.get_protocol_version() == SSL.TLS1_3_VERSION
        self.__class__ = _Renegotiated if of_client and not tls_1_3 else _Verified

    send = write = _after_the_check("send")
    sendall = _after_the_check("sendall")
    recv = read = _after_the_check("recv")
    recv_into = _after_the_check("recv_into")

    def shutdown(self) -> bool:
        """Shut TLS down, unless the connection has failed."""
        self._pinverify.raise_again()
        return super().shutdown()

    def set_verify(self, mode: int, callback: VerifyCallback | None = None) -> None:
        """Set the mode and the application's callback; the pins are still checked."""
        self._pinverify.callback = callback
        super().set_verify(mode, self._pinverify.on_verify)

    def set_tlsext_host_name(self, name: bytes) -> None:
        """Set the name to send as SNI."""
        super().set_tlsext_host_name(name)
        self._pinverify.follow(name)

    def accept(self) -> tuple[SSL.Connection, Any]:
        """Accept a connection, and pin it like this one."""
        conn, address = super().accept()
        check = self._pinverify
        try:
            check.pins.pin(conn, host=check.host, callback=check.callback)
        except BaseException:
            conn.close()
            raise
        return conn, address

    def _pinverify_fail(
        self,
        error: PinningSSLError,
        cause: BaseException | None = None,
        *,
        alert: bool = False,
    ) -> NoReturn:
        """End the connection, and raise the error, or the Ctrl-C that is its cause.

        With *alert*, nothing but an alert is waiting to be sent.
        """
        self._pinverify.error = error
        self.__class__ = _Failed
        if not alert:
            # The bytes in memory would end the handshake, or send a client
            # certificate. Over a socket there is nothing to read here.
            with contextlib.suppress(SSL.Error, TypeError):
                while True:
                    self.bio_read(65536)
        # In memory there is no socket, and not every socket can be shut down.
        with contextlib.suppress(OSError, AttributeError):
            self.sock_shutdown(socket.SHUT_RDWR)
        # An event loop still watches the descriptor of a non-blocking socket: leave
        # closing to the loop.
        with contextlib.suppress(OSError, AttributeError):
            if self.gettimeout() != 0:
                self.close()
        interrupt = error.__cause__
        if interrupt is not None and not isinstance(interrupt, Exception):
            raise interrupt
        announce(error, cause or error, self._pinverify.pins.in_force)
        raise error from interrupt


def _refuse_another_handshake(*_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
    msg = "the peer has been judged: another handshake needs another connection"
    raise PinningSSLError.because(rejection(None, None, msg), None, (None, False), None)


class _Verified(_Pending):
    """A connection with an accepted peer: data flows as without pins."""

    # For OpenSSL, choosing the side starts a new handshake.
    set_connect_state = set_accept_state = _refuse_another_handshake
    connect = connect_ex = _refuse_another_handshake

    do_handshake = SSL.Connection.do_handshake
    send = write = SSL.Connection.send
    sendall = SSL.Connection.sendall
    recv = read = SSL.Connection.recv
    recv_into = SSL.Connection.recv_into


def _or_say_why(name: str) -> Callable[..., Any]:
    """Return a method that fails with our error if a renegotiation has ended TLS."""

    def method(self: _Renegotiated, *args: Any, **how: Any) -> Any:  # noqa: ANN401
        try:
            return getattr(SSL.Connection, name)(self, *args, **how)
        except SSL.Error as error:
            if "alert handshake failure" in str(error):
                check = self._pinverify
                in_force = check.pins.in_force
                why = rejection(in_force, check.host, ASKED_FOR_RENEGOTIATION)
                why.__cause__ = error
                self._pinverify_fail(check.because(why), why)
            raise

    return method


class _Renegotiated(_Verified):
    """A verified client, whose server of TLS 1.2 may ask for a renegotiation."""

    recv = read = _or_say_why("recv")
    recv_into = _or_say_why("recv_into")


def _fail_again(self: _Pending, *_: Any, **__: Any) -> Any:  # noqa: ANN401
    self._pinverify.raise_again()


class _Failed(_Pending):
    """A connection with a rejected peer: nothing reaches the wire any more.

    Its socket is closed, and another socket may soon have the descriptor that OpenSSL
    remembers.
    """

    do_handshake = _fail_again
    send = write = sendall = recv = read = recv_into = _fail_again
    connect = connect_ex = accept = renegotiate = get_session = _fail_again
    DTLSv1_listen = DTLSv1_handle_timeout = _fail_again
