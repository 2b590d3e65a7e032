"""Pins for pyOpenSSL: one `OpenSSL.SSL.Connection`, over a socket or in memory.

Pins belong to a connection, never to a context. The verify callback of a context is no
place for pins: it is not called for a resumed session, its answer is ignored under
``VERIFY_NONE``, ``Connection.set_verify`` replaces it, and pyOpenSSL keeps an exception
that it raises in the context, where another thread's connection may get it.

`pin_connection` checks the pins in the connection's verify callback. A wrong pin then
ends the handshake with an alert, before a client certificate is sent. It also gives the
connection a class with the states PENDING, VERIFIED and FAILED, because OpenSSL calls
back in full handshakes only. `pinverify.tls._judge` explains the states, and which
certificates count.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from OpenSSL import SSL

from pinverify.errors import PolicyError
from pinverify.tls._judge import (
    ASKED_FOR_RENEGOTIATION,
    announce,
    judge,
    rejection,
    report_of_accepted,
)
from pinverify.tls._memo import Memo
from pinverify.tls._policy_in_force import in_force
from pinverify.tls._pyopenssl_check import (
    Check,
    PinningSSLError,
    ShownAfterwards,
    VerifyCallback,
    peer_of,
    refuse_unknown_side,
    verifies,
)

if TYPE_CHECKING:
    from pinverify.policy import PinSet, Policy, Report
    from pinverify.tls._notices import OnReport
    from pinverify.tls._policy_in_force import InForce

__all__ = [
    "PinnedConnections",
    "PinningSSLError",
    "VerifyCallback",
    "pin_connection",
    "verify",
]


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
        on_report: called once for each connection that is rejected, or accepted
            although its pins do not match (report mode, expiry). It gets the report,
            and cannot accept anything; if it raises, the connection is rejected.

    Returns:
        *conn*.

    Raises:
        TypeError: *conn* is pinned already, is not exactly an
            `OpenSSL.SSL.Connection`, or has a callback while *callback* is None.
        ValueError: its handshake has begun, and then the connection has failed; or it
            is done: use `verify`.
        PolicyError: there is no host name, and *policy* has no pins for clients, or
            has rules for hosts as well.
    """
    pins = PinnedConnections(policy, on_report=on_report)
    return pins.pin(conn, host=host, callback=callback)


class PinnedConnections:
    """Pins connections under one policy, which can be replaced.

    For an application that makes many: `pin_connection` keeps its policy for good.
    """

    def __init__(
        self, policy: Policy | PinSet, *, on_report: OnReport | None = None
    ) -> None:
        """Check the arguments, which are those of `pin_connection`."""
        self.in_force = in_force(policy, on_report)
        self._has_nameless = False

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        Connections that were pinned before count, and so do those that a pinned
        connection accepts. Established connections are not affected.

        Args:
            policy: the pins, as in `pin_connection`.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet. The old one stays.
            PolicyError: peers without a name have been pinned, and it has no pins for
                clients, or has rules for hosts as well. The old one stays.
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
        check = Check(self, host, callback)
        _refuse_what_cannot_be_pinned(conn, callback)
        if not conn.get_state_string().startswith(b"before"):
            raise _failed(conn, check)
        refuse_unknown_side(check.in_force, host)
        if host is None:
            check.follow(conn.get_servername())
        if check.host is None:
            _refuse_nameless(check.in_force)
            self._has_nameless = True
        # In a renegotiation, a TLS 1.2 peer could show another certificate.
        conn.set_options(SSL.OP_NO_RENEGOTIATION)
        if check.host is None and not check.in_force.handle.knows_clients_by_leaf:
            # A ticket may come back to a process that has not seen the chain. Sessions
            # in the memory of this one stay; only the context can turn these off.
            conn.set_options(SSL.OP_NO_TICKET)
        conn.set_verify(conn.get_verify_mode(), check.on_verify)
        conn.__dict__["_pinverify"] = check
        conn.__class__ = _Pending
        return conn


def _failed(conn: SSL.Connection, check: Check) -> ValueError:
    """Let a connection fail whose handshake has begun, and return the error.

    pyOpenSSL swallows what a callback for SNI raises, and goes on: no data flows then.
    """
    msg = (
        "the handshake has begun, as in a callback for SNI: pin the connection before "
        "it"
    )
    why = rejection(check.in_force, check.host, msg)
    check.error = check.because(why)
    conn.__dict__["_pinverify"] = check
    conn.__class__ = _Failed
    return ValueError(msg)


def _refuse_nameless(rules: InForce) -> None:
    """Refuse a policy that cannot decide about a peer without a name."""
    refuse_unknown_side(rules, None)
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

    Call it after the handshake and before any data; if it raises, close the
    connection. `pin_connection` does all of that by itself.

    Args:
        conn: a connection after its handshake.
        policy: the pins of *host*, or a `PinSet`.
        host: the name that the application has verified. There is no default: a server
            would look up the name that its client asked for.
        chain_is_verified: True if OpenSSL verified the chain: ``VERIFY_PEER`` was on in
            the handshake, and no callback accepted a certificate that OpenSSL rejects.
            A connection does not reveal that. If False, only the leaf counts.
        on_report: as in `pin_connection`.

    Returns:
        The report of an accepted peer.

    Raises:
        PinningError: the peer is rejected.
        PolicyError: as in `pin_connection`.
    """
    rules = in_force(policy, on_report)
    refuse_unknown_side(rules, host)
    peer, shown = peer_of(host), ShownAfterwards(conn, verified=chain_is_verified)
    try:
        # An empty memo: the first handshake of this session was not observed.
        accepted = judge(rules, Memo(leaves_max=0), peer, shown)
        report = report_of_accepted(accepted, peer, shown)
    except Exception as cause:  # noqa: BLE001 - also exceptions of on_report
        error = PinningSSLError.because(cause, rules, peer, shown)
        announce(error, cause, rules)
        raise error from error.__cause__
    accepted[4][0] += 1  # it is final
    return report


# ---- the connection -----------------------------------------------------------


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


# Attributes of the socket below that pyOpenSSL forwards to, and that move no data.
# Everything else there is refused: it may read or write past TLS, in plain text.
_OF_THE_SOCKET = frozenset(
    (
        "bind",
        "close",
        "detach",
        "family",
        "fileno",
        "get_inheritable",
        "getblocking",
        "getpeername",
        "getsockname",
        "getsockopt",
        "gettimeout",
        "ioctl",
        "listen",
        "proto",
        "set_inheritable",
        "setblocking",
        "setsockopt",
        "settimeout",
        "timeout",
        "type",
    )
)


class _Pending(SSL.Connection):
    """A connection whose peer has not been judged yet."""

    _pinverify: Check

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
                self._pinverify_fail(check.error, alert=verifies(self))
            raise
        if check.error is not None:
            self._pinverify_fail(check.error)
        if check.accepted is None:
            try:
                check.decide(self)
            except BaseException as cause:  # noqa: BLE001 - any error: fail closed
                self._pinverify_fail(check.because(cause), cause)
            check.count()
        of_client = check.host is not None
        tls_1_3 = self.get_protocol_version() == SSL.TLS1_3_VERSION
        self.__class__ = _Renegotiated if of_client and not tls_1_3 else _Verified

    def send(self, buf: Any, flags: int = 0) -> int:  # noqa: ANN401 - as typed there
        """Send data, after the check."""
        self.do_handshake()
        return self.send(buf, flags)  # of the class that it has now

    def sendall(self, buf: Any, flags: int = 0) -> int:  # noqa: ANN401
        """Send all data, after the check."""
        self.do_handshake()
        return self.sendall(buf, flags)  # of the class that it has now

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Receive data, after the check."""
        self.do_handshake()
        return self.recv(bufsiz, flags)  # of the class that it has now

    def recv_into(
        self,
        buffer: Any,  # noqa: ANN401
        nbytes: int | None = None,
        flags: int | None = None,
    ) -> int:
        """Receive data into a buffer, after the check."""
        self.do_handshake()
        return self.recv_into(buffer, nbytes, flags)  # of the class that it has now

    write = send
    read = recv

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

        Args:
            error: the reason.
            cause: the exception behind it, unless it is the same.
            alert: True if only an alert is waiting to be sent.
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
        # An event loop still watches the descriptor of a non-blocking socket, which
        # another socket could get: leave closing to the loop.
        with contextlib.suppress(OSError, AttributeError):
            if self.gettimeout() != 0:
                self.close()
        interrupt = error.__cause__
        if interrupt is not None and not isinstance(interrupt, Exception):
            raise interrupt
        announce(error, cause or error, self._pinverify.in_force)
        raise error from interrupt


def _refuse_another_handshake(*_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
    msg = "the peer has been judged: another handshake needs another connection"
    raise PinningSSLError.because(rejection(None, None, msg), None, (None, False), None)


class _Verified(_Pending):
    """A connection with an accepted peer: data flows as without pins."""

    # For OpenSSL, choosing the side starts a new handshake.
    set_connect_state = _refuse_another_handshake
    set_accept_state = _refuse_another_handshake
    connect = _refuse_another_handshake
    connect_ex = _refuse_another_handshake

    do_handshake = SSL.Connection.do_handshake
    send = SSL.Connection.send
    write = SSL.Connection.write
    sendall = SSL.Connection.sendall
    recv = SSL.Connection.recv
    read = SSL.Connection.read
    recv_into = SSL.Connection.recv_into


class _Renegotiated(_Verified):
    """A verified client, whose server of TLS 1.2 may ask for a renegotiation.

    OpenSSL refuses it, and the server ends the connection by an alert. That is a
    rejection, of which the application is told.
    """

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Receive data; if the server has ended the connection so, say why."""
        try:
            return super().recv(bufsiz, flags)
        except SSL.Error as error:
            self._pinverify_is_renegotiation(error)
            raise

    def recv_into(
        self,
        buffer: Any,  # noqa: ANN401
        nbytes: int | None = None,
        flags: int | None = None,
    ) -> int:
        """Receive data into a buffer, likewise."""
        try:
            return super().recv_into(buffer, nbytes, flags)
        except SSL.Error as error:
            self._pinverify_is_renegotiation(error)
            raise

    read = recv

    def _pinverify_is_renegotiation(self, error: SSL.Error) -> None:
        """Fail if it is the alert that ends a renegotiation."""
        if "alert handshake failure" in str(error):
            check = self._pinverify
            why = rejection(check.in_force, check.host, ASKED_FOR_RENEGOTIATION)
            why.__cause__ = error
            self._pinverify_fail(check.because(why), why)


def _fail_again(self: _Pending, *_: Any, **__: Any) -> Any:  # noqa: ANN401
    self._pinverify.raise_again()


class _Failed(_Pending):
    """A connection with a rejected peer: nothing reaches the wire any more.

    Its socket is closed, and another socket may soon have the descriptor that OpenSSL
    remembers.
    """

    do_handshake = _fail_again
    send = _fail_again
    write = _fail_again
    sendall = _fail_again
    recv = _fail_again
    read = _fail_again
    recv_into = _fail_again
    renegotiate = _fail_again
    connect = _fail_again
    connect_ex = _fail_again
    accept = _fail_again
    get_session = _fail_again
    DTLSv1_listen = _fail_again
    DTLSv1_handle_timeout = _fail_again
