"""The check of one pyOpenSSL connection: its evidence, its callback, its error."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from OpenSSL import SSL, crypto

from pinverify.policy import PinningError
from pinverify.tls._evidence import Accepted, Peer, judge, reject_early, rejection
from pinverify.tls._memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Report
    from pinverify.tls._in_force import InForce

__all__ = [
    "Check",
    "PinningSSLError",
    "ShownAfterwards",
    "VerifyCallback",
    "peer_of",
    "verifies",
]

VerifyCallback: TypeAlias = (
    "Callable[[SSL.Connection, crypto.X509, int, int, int], Any]"
)
"""A callback as `OpenSSL.SSL.Connection.set_verify` takes it."""


class PinningSSLError(PinningError, SSL.Error):
    """A `PinningError` for code that expects an `OpenSSL.SSL.Error`.

    As in pyOpenSSL's own errors, the argument is a list of (library, function,
    reason). Twisted and mitmproxy look into it.
    """

    def __init__(
        self,
        report: Report,
        text: Callable[[], str] | str,
        *,
        headline: str | None = None,
    ) -> None:
        """Keep the report and the text, as a `PinningError` does."""
        super().__init__(report, text, headline=headline)
        self.args = ([("pinverify", "", self.verify_message)],)

    @classmethod
    def because(
        cls, cause: Exception, rules: InForce | None, host: str | bytes | None
    ) -> Self:
        """Return the rejection that *cause* is, or leads to."""
        if isinstance(cause, PinningError):
            error = cause
        else:
            error = rejection(rules, host, f"the peer could not be checked: {cause!r}")
        ours = cls(error.report, partial(str, error), headline=error.verify_message)
        ours.__cause__ = None if error is cause else cause
        return ours


# ---- the evidence, as pyOpenSSL shows it --------------------------------------


def _leaf(conn: SSL.Connection) -> bytes | None:
    cert = conn.get_peer_certificate()
    return None if cert is None else _der(cert)


def _der(cert: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, cert)


def verifies(conn: SSL.Connection) -> bool:
    return bool(conn.get_verify_mode() & SSL.VERIFY_PEER)


class ShownAfterwards:
    """The certificates of a connection whose handshake nobody watched."""

    def __init__(self, conn: SSL.Connection, *, verified: bool) -> None:
        self._conn = conn
        self._verified = verified

    def leaf(self) -> bytes | None:
        return _leaf(self._conn)

    def is_verified(self) -> bool:
        return self._verified

    def verified_chain(self) -> list[crypto.X509]:
        return self._conn.get_verified_chain() or []

    def to_der(self, cert: crypto.X509) -> bytes:
        return _der(cert)


class _ShownToCallback:
    """The certificates that OpenSSL showed to the verify callback.

    Attributes:
        called: whether OpenSSL called back; it does not in a resumed handshake.
        seen: the certificates that it showed, by depth.
        doubted: whether it said no about one of them, or was told not to verify.
    """

    __slots__ = ("called", "conn", "doubted", "seen")

    def __init__(self) -> None:
        self.conn: SSL.Connection | None = None
        self.called = False
        self.seen: dict[int, bytes] = {}
        self.doubted = False

    def leaf(self) -> bytes | None:
        return None if self.conn is None else _leaf(self.conn)

    def is_verified(self) -> bool:
        return self.conn is not None and verifies(self.conn) and not self.doubted

    def verified_chain(self) -> list[bytes]:
        """Return the chain; none in a resumed session, whose leaf was not shown."""
        return self.so_far() if self.seen.get(0) == self.leaf() else []

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def so_far(self) -> list[bytes]:
        """Return the certificates that count in a full handshake, leaf first."""
        depths = 1 if self.doubted else len(self.seen)
        return [self.seen[depth] for depth in range(depths)]


# ---- the check of one connection ----------------------------------------------


class Check:
    """The pins of one connection, and what has come of them.

    Attributes:
        in_force: the policy, and who hears of acceptances that are no match.
        host: the name to look up.
        follows: whether the host is the one that SNI sends.
        callback: the application's verify callback.
        shown: the certificates.
        error: why the peer is rejected.
        accepted: why it is accepted.
    """

    __slots__ = (
        "accepted",
        "callback",
        "error",
        "follows",
        "host",
        "in_force",
        "shown",
    )

    def __init__(
        self,
        in_force: InForce,
        host: str | bytes | None,
        callback: VerifyCallback | None,
    ) -> None:
        self.in_force = in_force
        self.host = host
        self.follows = host is None
        self.callback = callback
        self.shown = _ShownToCallback()
        self.error: PinningSSLError | None = None
        self.accepted: Accepted | None = None

    def raise_again(self) -> None:
        """Raise the error that the peer was rejected with, if it was."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def follow(self, server_name: bytes | None) -> None:
        """Take the name that SNI sends, unless the application gave one."""
        if self.follows:
            self.host = server_name

    def because(self, cause: Exception) -> PinningSSLError:
        """Return the rejection that *cause* is, or leads to."""
        return PinningSSLError.because(cause, self.in_force, self.host)

    def on_verify(
        self, conn: SSL.Connection, cert: crypto.X509, error: int, depth: int, ok: int
    ) -> bool:
        """Ask the application, then the pins. This is OpenSSL's verify callback.

        It is called with each certificate from the root to the leaf, and for
        each objection before, between and after these. So the leaf is not the
        end: name constraints are looked at later, and the application's callback
        may accept what they forbid.
        """
        shown = self.shown
        shown.called = True
        shown.doubted |= not ok
        answer = (
            ok if self.callback is None else self.callback(conn, cert, error, depth, ok)
        )
        shown.doubted |= not verifies(conn)  # the callback may have changed it
        if not answer:
            return False
        shown.seen[depth] = _der(cert)
        return 0 not in shown.seen or self.passes()

    def passes(self) -> bool:
        """Say whether the handshake may go on. Keep the error if not.

        Only a rejection counts here; what passes is judged again at the end.
        """
        try:
            reject_early(self.in_force, peer_of(self.host), self.shown.so_far())
        except Exception as cause:  # noqa: BLE001 - whatever it is: fail closed
            self.error = self.because(cause)
        return self.error is None

    def pass_early(self, conn: SSL.Connection) -> None:
        """Look at the leaf before our answer leaves, which ends our turn in TLS 1.2.

        Under VERIFY_NONE OpenSSL does not get as far as calling back with it. The
        answer may carry a client certificate; in memory it has not left yet.
        """
        shown = self.shown
        leaf = _leaf(conn) if shown.called and 0 not in shown.seen else None
        if leaf is not None:
            shown.seen[0] = leaf
            self.passes()

    def decide(self, conn: SSL.Connection) -> None:
        """Judge the peer, the handshake being complete; or raise."""
        self.shown.conn = conn
        memo = _memo(conn.get_context())
        self.accepted = judge(self.in_force, memo, peer_of(self.host), self.shown)


def peer_of(host: str | bytes | None) -> Peer:
    """Return whom a connection is with.

    pyOpenSSL does not tell which side a connection is on. A server's clients have no
    name, so whoever has none counts as a client.
    """
    return host, host is None


def _memo(context: SSL.Context) -> Memo:
    memo: Memo = context.__dict__.setdefault("_pinverify_memo", Memo())
    return memo
