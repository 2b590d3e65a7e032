"""The check of one pyOpenSSL connection: its evidence, its callback, its error."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias

from OpenSSL import SSL, crypto

from pinverify.errors import PolicyError
from pinverify.policy import PinningError
from pinverify.policy._rejection import text_behind
from pinverify.tls._judge import (
    Accepted,
    Peer,
    Shown,
    judge,
    refusal,
    reject_early,
    report_of_accepted,
)
from pinverify.tls._memo import Memo

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Report
    from pinverify.tls._policy_in_force import InForce

__all__ = [
    "Check",
    "PinningSSLError",
    "ShownAfterwards",
    "VerifyCallback",
    "peer_of",
    "refuse_unknown_side",
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


# ---- the evidence, as pyOpenSSL shows it --------------------------------------


def _leaf(conn: SSL.Connection) -> bytes | None:
    cert = conn.get_peer_certificate()
    return None if cert is None else _der(cert)


def _der(cert: crypto.X509) -> bytes:
    return crypto.dump_certificate(crypto.FILETYPE_ASN1, cert)


def _address(conn: SSL.Connection) -> Any:  # noqa: ANN401 - as in the module socket
    try:
        return conn.getpeername()
    except (AttributeError, OSError, TypeError):  # in memory there is no socket
        return None


def verifies(conn: SSL.Connection) -> bool:
    return bool(conn.get_verify_mode() & SSL.VERIFY_PEER)


class ShownAfterwards:
    """The certificates of a connection whose handshake was not observed."""

    def __init__(self, conn: SSL.Connection, *, verified: bool) -> None:
        self._conn = conn
        self._verified = verified

    def leaf(self) -> bytes | None:
        return _leaf(self._conn)

    def is_verified(self) -> bool:
        return self._verified

    def doubt(self) -> str:
        return (
            ""
            if self._verified
            else "chain_is_verified is False, so OpenSSL did not verify this chain"
        )

    def verified_chain(self) -> list[crypto.X509]:
        return self._conn.get_verified_chain() or []

    def to_der(self, cert: crypto.X509) -> bytes:
        return _der(cert)

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        return _address(self._conn)

    def is_resumed(self) -> None:
        """Return None: pyOpenSSL does not tell."""


class _ShownToCallback:
    """The certificates that OpenSSL showed to the verify callback.

    Attributes:
        called: True if OpenSSL called back; it does not in a resumed handshake.
        seen: the certificates that it showed, by depth.
        doubted: True if it rejected one of them, or does not verify.
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

    def doubt(self) -> str:
        off = self.conn is not None and not verifies(self.conn)
        if off or self.doubted:
            return (
                "OpenSSL did not verify this chain: VERIFY_NONE was set, or a callback "
                "accepted what OpenSSL rejected"
            )
        return ""

    def verified_chain(self) -> list[bytes]:
        """Return the chain; it is empty in a resumed session."""
        return self.so_far() if self.seen.get(0) == self.leaf() else []

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        return None if self.conn is None else _address(self.conn)

    def is_resumed(self) -> bool | None:
        """Return True if OpenSSL verified no certificate in this handshake."""
        if self.called:
            return False
        return True if self.is_verified() and self.leaf() is not None else None

    def so_far(self) -> list[bytes]:
        """Return the certificates that count in a full handshake, leaf first."""
        depths = 1 if self.doubted else len(self.seen)
        return [self.seen[depth] for depth in range(depths)]


# ---- the check of one connection ----------------------------------------------


class Pins(Protocol):
    """The owner of the policy in force."""

    in_force: InForce

    def pin(
        self,
        conn: SSL.Connection,
        *,
        host: str | bytes | None = None,
        callback: VerifyCallback | None = None,
    ) -> SSL.Connection:
        """Pin another connection."""


class Check:
    """The check of one connection, and its result.

    Attributes:
        pins: has the policy in force, and pins what this connection accepts.
        host: the name to look up.
        follows: True if the host is the name sent as SNI.
        callback: the application's verify callback.
        shown: the certificates.
        error: the rejection, if there is one.
        accepted: the acceptance and its peer, if there is one.
    """

    __slots__ = (
        "_report",
        "accepted",
        "callback",
        "error",
        "follows",
        "host",
        "pins",
        "shown",
    )

    def __init__(
        self,
        pins: Pins,
        host: str | bytes | None,
        callback: VerifyCallback | None,
    ) -> None:
        self.pins = pins
        self.host = host
        self.follows = host is None
        self.callback = callback
        self.shown = _ShownToCallback()
        self.error: PinningSSLError | None = None
        self.accepted: tuple[Accepted, Peer] | None = None
        self._report: Report | None = None

    @property
    def in_force(self) -> InForce:
        """The policy in force now, and the callback of the application."""
        return self.pins.in_force

    def report(self) -> Report | None:
        """Return the report of the decision; None before the decision."""
        if self.error is not None:
            return self.error.report
        if self._report is None and self.accepted is not None:
            self._report = report_of_accepted(*self.accepted, self.shown)
        return self._report

    def count(self) -> None:
        """Count the acceptance, which is final."""
        if self.accepted is not None:
            self.accepted[0][4][0] += 1

    def raise_again(self) -> None:
        """Raise the error again, if the peer was rejected."""
        if self.error is not None:
            raise self.error.with_traceback(None)

    def follow(self, server_name: bytes | None) -> None:
        """Use the name sent as SNI, unless the application gave a host."""
        if self.follows:
            self.host = server_name

    def because(self, cause: BaseException) -> PinningSSLError:
        """Return *cause* as an error of this class; any exception is a rejection."""
        peer = peer_of(self.host)
        return PinningSSLError.because(cause, self.in_force, peer, self.shown)

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
        shown.doubted |= not verifies(conn)  # the callback may have changed it
        if not answer:
            return False
        shown.seen[depth] = _der(cert)
        return 0 not in shown.seen or self.passes()

    def passes(self) -> bool:
        """Return True if the handshake may continue; otherwise keep the error.

        Only a rejection counts here; a peer that passes is judged again at the end.
        """
        try:
            shown = self.shown
            reject_early(self.in_force, peer_of(self.host), shown.so_far(), shown)
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
        leaf = _leaf(conn) if shown.called and 0 not in shown.seen else None
        if leaf is not None:
            shown.seen[0] = leaf
            self.passes()

    def decide(self, conn: SSL.Connection) -> None:
        """Judge the peer after the handshake, or raise."""
        self.shown.conn = conn
        memo = _memo(conn.get_context())
        peer = peer_of(self.host)
        self.accepted = judge(self.in_force, memo, peer, self.shown), peer


def peer_of(host: str | bytes | None) -> Peer:
    """Return the peer of a connection.

    pyOpenSSL does not reveal which side a connection is on. The clients of a server
    have no name, so a peer without a name counts as a client.
    """
    return host, host is None


def refuse_unknown_side(rules: InForce, host: str | bytes | None) -> None:
    """Refuse a peer without a name under rules for hosts and for clients.

    It may be a client, or a server that nobody named. The name that SNI sends is no
    help: a client would choose its own rule by it.

    Raises:
        PolicyError: *rules* are of both kinds, and *host* is None.
    """
    if host is None and rules.policy.has_clients and rules.handle.num_rules:
        msg = (
            "the policy has rules for hosts and for clients, and pyOpenSSL does not "
            "reveal which side a connection is on: pass host=… for a server; for a "
            "client, Policy.for_clients(policy.rules.clients)"
        )
        raise PolicyError(msg)


def _memo(context: SSL.Context) -> Memo:
    memo: Memo = context.__dict__.setdefault("_pinverify_memo", Memo())
    return memo
