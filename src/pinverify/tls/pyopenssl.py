"""Pins for pyOpenSSL: one `OpenSSL.SSL.Connection`, over a socket or in memory.

Pins hold for a connection, never for a context. A context can carry a verify callback,
and that is no place for pins: it is not called for a resumed session, its answer is
ignored under ``VERIFY_NONE``, ``Connection.set_verify`` replaces it, and pyOpenSSL
keeps what it raises in the context, so that another thread's connection may get it.

`pin_connection` puts the pins behind the connection's verify callback. A wrong pin then
ends the handshake with an alert, before a client certificate leaves. It also gives the
connection another class, with the states PENDING, VERIFIED and FAILED, since OpenSSL
calls back in full handshakes only. `pinverify.tls._evidence` tells what the states mean
and which certificates count.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, NoReturn

from OpenSSL import SSL

from pinverify.errors import PolicyError
from pinverify.tls._evidence import judge, rejection
from pinverify.tls._in_force import in_force
from pinverify.tls._memo import Memo
from pinverify.tls._pyopenssl_check import (
    Check,
    PinningSSLError,
    ShownAfterwards,
    VerifyCallback,
    peer_of,
    verifies,
)

if TYPE_CHECKING:
    from pinverify.policy import PinSet, Policy, Report
    from pinverify.tls._notices import OnReport

__all__ = ["PinningSSLError", "VerifyCallback", "pin_connection", "verify"]


def pin_connection(
    conn: SSL.Connection,
    policy: Policy | PinSet,
    *,
    host: str | bytes | None = None,
    callback: VerifyCallback | None = None,
    on_report: OnReport | None = None,
) -> SSL.Connection:
    """Enforce pins on *conn*; call it before the handshake.

    The connection's verify mode stays as it is. Under ``VERIFY_NONE``, and where
    *callback* accepts what OpenSSL does not, only the leaf counts, since nobody
    has verified the rest of the chain. pyOpenSSL does not compare the host with
    the certificate: the application has to, as before.

    The decision is the connection's attribute ``pin_report``, once it is made;
    ``pin_error`` is the error if the peer is rejected. A connection that a pinned
    one accepts is pinned as well.

    Args:
        conn: a client's or a server's connection.
        policy: what holds for *host*. A server's clients have no name: give a
            `PinSet`.
        host: the name that the application verifies, and that *policy* knows.
            None is the name that ``set_tlsext_host_name`` was given.
        callback: the application's verify callback. It is asked first, and the
            pins after it. If the connection or its context has one, it must be
            given here: pyOpenSSL does not tell which it is.
        on_report: called with the report if it accepts although its pins are not
            met (report mode, expiry). It can't accept anything; if it raises, the
            connection is rejected.

    Returns:
        *conn*.

    Raises:
        TypeError: *conn* is pinned already, or is not exactly an
            `OpenSSL.SSL.Connection`, or has a callback and *callback* is None.
        ValueError: its handshake is done. See `verify`.
        PolicyError: *policy* has rules for host names, and there is no name.
    """
    check = Check(in_force(policy, on_report), host, callback)
    _refuse_what_cannot_be_pinned(conn, callback)
    if host is None:
        check.follow(conn.get_servername())
    if check.host is None and not check.in_force.policy.has_clients:
        msg = (
            "there is no host to look up: give host=…, or call set_tlsext_host_name "
            "first; a server's clients have none, so give a PinSet"
        )
        raise PolicyError(msg)
    # A TLS 1.2 peer could show another certificate after the check.
    conn.set_options(SSL.OP_NO_RENEGOTIATION)
    conn.set_verify(conn.get_verify_mode(), check.on_verify)
    conn.__dict__["_pinverify"] = check
    conn.__class__ = _Pending
    return conn


def verify(
    conn: SSL.Connection,
    policy: Policy | PinSet,
    *,
    host: str | bytes | None = None,
    chain_is_verified: bool = False,
    on_report: OnReport | None = None,
) -> Report:
    """Decide about the peer of a connection that is not pinned.

    Call it after the handshake and before any data; if it raises, close the
    connection. `pin_connection` does all that by itself.

    Args:
        conn: its handshake is done.
        policy: what holds for *host*; or a `PinSet`.
        host: the name that the application has verified. There is no default: a
            server would look up what its client asked for.
        chain_is_verified: whether OpenSSL verified the chain: ``VERIFY_PEER`` was
            on in the handshake, and no callback accepted what OpenSSL does not.
            A connection does not tell. False: only the leaf counts.
        on_report: as in `pin_connection`.

    Returns:
        A report that accepts.

    Raises:
        PinningError: the peer is rejected.
    """
    rules = in_force(policy, on_report)
    shown = ShownAfterwards(conn, verified=chain_is_verified)
    try:
        # A memo that knows nothing: nobody has seen this session's first handshake.
        return judge(rules, Memo(), peer_of(host), shown).report
    except Exception as cause:  # noqa: BLE001 - also what on_report raises
        error = PinningSSLError.because(cause, rules, host)
        raise error from error.__cause__


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
    # There is no public way to ask. Without the attribute: refuse.
    if callback is None and conn.__dict__.get("_verify_helper", ...) is not None:
        msg = (
            "this connection has a verify callback, which the pins would replace: "
            "give it as callback=…"
        )
        raise TypeError(msg)
    if conn.get_finished() is not None:
        msg = "the handshake is done: use pinverify.tls.pyopenssl.verify"
        raise ValueError(msg)


class _Pending(SSL.Connection):
    """A connection until its peer is decided about."""

    _pinverify: Check

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before it."""
        check = self._pinverify
        if check.error is not None:
            return check.error.report
        return None if check.accepted is None else check.accepted.report

    @property
    def pin_error(self) -> PinningSSLError | None:
        """The error that the peer was rejected with, for code that did not catch it."""
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
                # OpenSSL has ended the handshake, and its alert is on its way.
                self._pinverify_fail(check.error, alert=verifies(self))
            raise
        if check.error is not None:
            self._pinverify_fail(check.error)
        if check.accepted is None:
            try:
                check.decide(self)
            except Exception as cause:  # noqa: BLE001 - whatever it is: fail closed
                self._pinverify_fail(check.because(cause))
            self.__class__ = _Verified

    def send(self, buf: Any, flags: int = 0) -> int:  # noqa: ANN401 - as typed there
        """Send data, after the check."""
        self.do_handshake()
        return super().send(buf, flags)

    def sendall(self, buf: Any, flags: int = 0) -> int:  # noqa: ANN401
        """Send all data, after the check."""
        self.do_handshake()
        return super().sendall(buf, flags)

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Receive data, after the check."""
        self.do_handshake()
        return super().recv(bufsiz, flags)

    def recv_into(
        self,
        buffer: Any,  # noqa: ANN401
        nbytes: int | None = None,
        flags: int | None = None,
    ) -> int:
        """Receive data into a buffer, after the check."""
        self.do_handshake()
        return super().recv_into(buffer, nbytes, flags)

    write = send
    read = recv

    def shutdown(self) -> bool:
        """Say goodbye, unless the connection has failed."""
        self._pinverify.raise_again()
        return super().shutdown()

    def set_verify(self, mode: int, callback: VerifyCallback | None = None) -> None:
        """Set the mode and the application's callback; the pins stay behind it."""
        self._pinverify.callback = callback
        super().set_verify(mode, self._pinverify.on_verify)

    def set_tlsext_host_name(self, name: bytes) -> None:
        """Set the name that SNI sends."""
        super().set_tlsext_host_name(name)
        self._pinverify.follow(name)

    def accept(self) -> tuple[SSL.Connection, Any]:
        """Accept a connection, and pin it like this one."""
        conn, address = super().accept()
        check = self._pinverify
        try:
            pin_connection(
                conn,
                check.in_force.policy,
                host=check.host,
                callback=check.callback,
                on_report=check.in_force.on_report,
            )
        except BaseException:
            conn.close()
            raise
        return conn, address

    def _pinverify_fail(
        self, error: PinningSSLError, *, alert: bool = False
    ) -> NoReturn:
        """End the connection.

        Args:
            error: why.
            alert: whether what waits to be sent is no more than an alert.
        """
        self._pinverify.error = error
        self.__class__ = _Failed
        if not alert:
            # What waits in memory would end the handshake, or show a client
            # certificate. Over a socket there is nothing to read here.
            with contextlib.suppress(SSL.Error, TypeError):
                while True:
                    self.bio_read(65536)
        # In memory there is no socket, and not every socket can be shut down.
        with contextlib.suppress(OSError, AttributeError):
            self.sock_shutdown(socket.SHUT_RDWR)
        # An event loop still watches the number of a non-blocking socket, which
        # another socket could get: there, closing is for the loop.
        with contextlib.suppress(OSError, AttributeError):
            if self.gettimeout() != 0:
                self.close()
        raise error from error.__cause__


def _refuse_another_handshake(*_: Any, **__: Any) -> NoReturn:  # noqa: ANN401
    msg = "the peer is decided about: another handshake needs another connection"
    raise PinningSSLError.because(rejection(None, None, msg), None, None)


class _Verified(_Pending):
    """A connection whose peer is accepted: data flows as without pins."""

    # To OpenSSL, choosing the side is to begin again.
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


def _fail_again(self: _Pending, *_: Any, **__: Any) -> Any:  # noqa: ANN401
    self._pinverify.raise_again()


class _Failed(_Pending):
    """A connection whose peer is rejected: nothing reaches the wire any more.

    Its socket is closed, and the number that OpenSSL knows it by may be another
    socket's soon.
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
