"""Pins for pyOpenSSL: one `OpenSSL.SSL.Connection`, over a socket or in memory.

Pins hold for a connection, never for a context. What a context can carry is a
verify callback, and that is no place for pins: it is not called for a resumed
session, its answer is ignored under ``VERIFY_NONE``, ``Connection.set_verify``
replaces it, and pyOpenSSL keeps what it raises in the context, so that another
thread's connection may get it.

`pin_connection` puts the pins behind the connection's verify callback. A wrong
pin then ends the handshake with an alert, before a client certificate leaves. It
also gives the connection another class, since OpenSSL does the handshake inside
of reads and writes as well, and calls back in full handshakes only:

    PENDING ──► VERIFIED    data flows at the cost of plain pyOpenSSL
       └──────► FAILED      shut down, closed; later calls raise the same error

While it is PENDING, whatever moves data first completes the handshake and the
check: no byte reaches the caller or the peer before.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeAlias, TypeVar

from OpenSSL import SSL, crypto

from pinverify.errors import PolicyError
from pinverify.memo import Memo
from pinverify.notice import OnReport, notice
from pinverify.policy import PinningError, PinSet, Policy, Report
from pinverify.policy._policy import as_policy, handle_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PinningSSLError", "VerifyCallback", "pin_connection", "verify"]

VerifyCallback: TypeAlias = (
    "Callable[[SSL.Connection, crypto.X509, int, int, int], Any]"
)
"""What `OpenSSL.SSL.Connection.set_verify` takes."""


class PinningSSLError(PinningError, SSL.Error):
    """A `PinningError` for those who expect an `OpenSSL.SSL.Error`.

    As in pyOpenSSL's own errors, the argument is a list of (library, function,
    reason). Twisted and mitmproxy look into it.
    """

    def __init__(
        self,
        errno: int,
        headline: str,
        *,
        report: Report,
        text: Callable[[], str] | str,
    ) -> None:
        """Keep what a `PinningError` does."""
        super().__init__(errno, headline, report=report, text=text)
        self.args = ([("pinverify", "", self.verify_message)],)

    @classmethod
    def because(cls, cause: Exception) -> Self:
        """Return the rejection that *cause* is, or leads to."""
        if isinstance(cause, PinningError):
            return cls.of(cause.report, cause.__str__, headline=cause.verify_message)
        error = _not_checked(cls, f"the peer could not be checked: {cause!r}")
        error.__cause__ = cause
        return error


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
    check = _Check(as_policy(policy), host, callback, on_report)
    _refuse_what_cannot_be_pinned(conn, callback)
    if host is None:
        check.follow(conn.get_servername())
    if check.host is None and not check.policy.has_clients:
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
    policy = as_policy(policy)
    leaf = _leaf(conn)
    chain = [] if leaf is None else [leaf]
    resumed = False
    if leaf is not None and chain_is_verified:
        verified = [_der(cert) for cert in conn.get_verified_chain() or ()]
        resumed = not verified
        chain = verified or chain
    try:
        report = _decide(policy, host, chain, resumed=resumed)
        notice(report, on_report)
    except Exception as cause:  # noqa: BLE001 - also what on_report raises
        error = PinningSSLError.because(cause)
        raise error from error.__cause__
    return report


# ---- the decision -------------------------------------------------------------


_Error = TypeVar("_Error", bound=PinningError)


def _not_checked(cls: type[_Error], text: str) -> _Error:
    return cls.of(Report.not_checked(None, bytes(32), text), text)


def _decide(
    policy: Policy, host: str | bytes | None, chain: list[bytes], *, resumed: bool
) -> Report:
    """Return the report that accepts the peer, or raise.

    Args:
        policy: the pins.
        host: the name to look up.
        chain: the verified chain, leaf first; or the leaf; or nothing.
        resumed: the leaf stands for a chain that was verified some time ago, and
            that nobody remembers.
    """
    report = policy.verify(host, chain)
    if (
        resumed
        and report.mode == "enforce"
        and not handle_of(policy).is_clear((report.host or "").encode())
    ):
        msg = (
            "a resumed session shows no chain, and a key that is blocked may be in "
            "it; connect again without the session"
        )
        raise _not_checked(PinningError, msg)
    return report


def _leaf(conn: SSL.Connection) -> bytes | None:
    cert = conn.get_peer_certificate()
    return None if cert is None else _der(cert)


def _der(cert: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, cert)


class _Check:
    """What holds for one connection, and what OpenSSL said of its peer.

    Attributes:
        policy: the pins.
        host: the name to look up.
        follows: whether the host is the one that SNI sends.
        callback: the application's verify callback.
        on_report: who hears of a report that accepts without a match.
        called: whether OpenSSL called back; it does not in a resumed handshake.
        seen: the certificates that it showed, by depth.
        doubted: whether it said no about one of them, or was told not to verify.
        judged: the chain that passed while OpenSSL showed it, and its report.
        error: why the peer is rejected.
        report: the decision to accept it.
    """

    __slots__ = (
        "callback",
        "called",
        "doubted",
        "error",
        "follows",
        "host",
        "judged",
        "on_report",
        "policy",
        "report",
        "seen",
    )

    def __init__(
        self,
        policy: Policy,
        host: str | bytes | None,
        callback: VerifyCallback | None,
        on_report: OnReport | None,
    ) -> None:
        self.policy = policy
        self.host = host
        self.follows = host is None
        self.callback = callback
        self.on_report = on_report
        self.called = False
        self.seen: dict[int, bytes] = {}
        self.doubted = False
        self.judged: tuple[list[bytes], Report] | None = None
        self.error: PinningSSLError | None = None
        self.report: Report | None = None

    def raise_again(self) -> None:
        """Raise what the peer was rejected with, if it was."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def follow(self, server_name: bytes | None) -> None:
        """Take the name that SNI sends, unless the application gave one."""
        if self.follows:
            self.host = server_name

    def on_verify(
        self, conn: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Ask the application, then the pins. This is OpenSSL's verify callback.

        It is called with each certificate from the root to the leaf, and for
        each objection before, between and after these. So the leaf is not the
        end: name constraints are looked at later, and the application's callback
        may accept what they forbid.
        """
        self.called = True
        self.doubted |= not ok
        answer = (
            ok if self.callback is None else self.callback(conn, cert, error, depth, ok)
        )
        self.doubted |= not _verifies(conn)  # the callback may have changed it
        if not answer:
            return False
        self.seen[depth] = _der(cert)
        return 0 not in self.seen or self.passes()

    def chain(self) -> list[bytes]:
        """Return what OpenSSL has verified, leaf first; at least the leaf."""
        depths = 1 if self.doubted else len(self.seen)
        return [self.seen[depth] for depth in range(depths)]

    def passes(self) -> bool:
        """Say whether the handshake may go on. Keep the reason if not.

        Only a rejection counts here; what passes is decided at the end.
        """
        try:
            chain = self.chain()
            self.judged = chain, self.policy.verify(self.host, chain)
        except Exception as cause:  # noqa: BLE001 - whatever it is: fail closed
            self.error = PinningSSLError.because(cause)
        return self.error is None

    def pass_early(self, conn: SSL.Connection) -> None:
        """Look at the leaf before our answer leaves, which ends our turn in TLS 1.2.

        Under VERIFY_NONE OpenSSL does not get as far as calling back with it. The
        answer may carry a client certificate; in memory it has not left yet.
        """
        leaf = _leaf(conn) if self.called and 0 not in self.seen else None
        if leaf is not None:
            self.seen[0] = leaf
            self.passes()

    def decide(self, conn: SSL.Connection) -> None:
        """Decide about the peer, the handshake being complete; or raise."""
        leaf = _leaf(conn)
        chain = [] if leaf is None else [leaf]
        resumed = False
        if leaf is not None and _verifies(conn) and not self.doubted:
            memo = _memo(conn.get_context())
            if self.seen.get(0) == leaf:
                chain = self.chain()
                memo.chain(self.host, chain, bytes)
            else:
                # A resumed session: its first handshake is the evidence.
                evidence = memo.recall(self.host, leaf)
                resumed = evidence is None
                chain = chain if evidence is None else list(evidence.certs)
        if self.judged is not None and self.judged[0] == chain:
            report = self.judged[1]
        else:
            report = _decide(self.policy, self.host, chain, resumed=resumed)
        notice(report, self.on_report)
        self.report = report


def _verifies(conn: SSL.Connection) -> bool:
    return bool(conn.get_verify_mode() & SSL.VERIFY_PEER)


def _memo(context: SSL.Context) -> Memo:
    memo: Memo = context.__dict__.setdefault("_pinverify_memo", Memo())
    return memo


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
        msg = "the handshake is done: use pinverify.pyopenssl.verify"
        raise ValueError(msg)


class _Pending(SSL.Connection):
    """A connection until its peer is decided about."""

    _pinverify: _Check

    @property
    def pin_report(self) -> Report | None:
        """The decision about the peer; None before."""
        error = self._pinverify.error
        return self._pinverify.report if error is None else error.report

    @property
    def pin_error(self) -> PinningSSLError | None:
        """What the peer was rejected with, for those who did not catch it."""
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
                self._pinverify_fail(check.error, alert=_verifies(self))
            raise
        if check.error is not None:
            self._pinverify_fail(check.error)
        if check.report is None:
            try:
                check.decide(self)
            except Exception as cause:  # noqa: BLE001 - whatever it is: fail closed
                self._pinverify_fail(PinningSSLError.because(cause))
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
                check.policy,
                host=check.host,
                callback=check.callback,
                on_report=check.on_report,
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
    raise _not_checked(PinningSSLError, msg)


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
