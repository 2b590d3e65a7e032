"""Judgement of the evidence about a peer: accept it, or raise `PinningError`.

Only this file knows which certificates count. The adapters (`ssl`, pyOpenSSL) pass on
the certificates that their TLS library shows, and `judge` does the rest. There is no
I/O here, and no TLS library, so a test can go through all combinations in a table.

Theory of operation
-------------------

*The states of a connection.* A connection is PENDING until its handshake is complete
and its peer is judged, then VERIFIED or FAILED, for good:

    PENDING ──► VERIFIED    data flows at the cost of the TLS library alone
       └──────► FAILED      shut down; every later call raises the same error

OpenSSL also does a handshake inside reads and writes, so every method that moves data
on a PENDING connection first completes the handshake and the judgement. Otherwise a
byte could reach the caller or the peer before the key has been checked. Every handshake
is judged, a resumed one too, with the policy in force when it ends: pins that were
removed since the first handshake must not live on in a ticket.

*Which chain counts.* A handshake proves possession of the leaf's key and of nothing
else. The other certificates count only if the TLS library verified them:

* The chain as the peer sent it never counts. Anybody can append a well-known CA's
  certificate to it (CVE-2016-2402).
* Without verification (CERT_NONE, VERIFY_NONE, a callback that accepts what OpenSSL
  does not) only the leaf counts. OpenSSL still builds a chain, and calls it verified,
  but a forged leaf that merely *names* a pinned CA as its issuer gets that CA into it.
* With verification the verified chain counts, leaf first.

*Resumed sessions* show the leaf and no chain, on both sides. The leaf is judged again.
The rest must have been seen in a full handshake of the same context with the same
peer, on the same side, with the same leaf: a `Memo` keeps these chains. If the memo
has no such chain, only the leaf counts: `ca` pins do not match, and the part that
nobody saw could have a blocked key. So if any key is blocked for the peer, such a
session is refused, unless the rule is in report mode.

*The leaf first.* Most pins are of leaves. If the leaf alone leads to an acceptance with
nothing to report, and no blocked key could be above it, then the chain is not even
fetched. That is why `Shown` has methods and not values.

*Notices come last.* An accepted peer whose pins do not match (report mode, expiry) is
reported to the application only after every check has passed, so that the application
can rely on the report.

*Early rejection.* Some adapters can see the peer's certificates before the handshake is
over, so that no client certificate is sent to an impostor. `reject_early` can only
reject; a peer that passes is judged again at the end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pinverify.core._columns import Chain, chain
from pinverify.policy import PinningError, Report
from pinverify.policy._message import shortened
from pinverify.policy._policy import evaluate_at, name_for_core, verify_at
from pinverify.tls._notices import notice

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pinverify.policy import Policy
    from pinverify.tls._in_force import InForce
    from pinverify.tls._memo import Memo

__all__ = [
    "Accepted",
    "Peer",
    "Shown",
    "is_nameless",
    "judge",
    "judge_under_install",
    "reject_early",
    "rejection",
]

_NO_CHAIN = chain(())
_NO_NAME = "no-name.invalid"  # no host has this name (RFC 6761, 6.4)
_WHY_MAX = 1000
_time = time.time


Peer: TypeAlias = "tuple[str | bytes | None, bool]"
"""A peer: the name that the TLS library verifies (None if it has none), and True if it
is a client. A plain tuple, since one is made in each handshake."""


class Shown(Protocol):
    """The certificates that a TLS library shows of a peer after a handshake.

    `judge` calls only the methods that it needs, and none twice.
    """

    def leaf(self) -> bytes | None:
        """Return the peer's own certificate in DER, or None."""

    def is_verified(self) -> bool:
        """Return True if the library verified the chain.

        That is in this handshake or, for a resumed session, in its first one.
        """

    def doubt(self) -> str:
        """Return why the library did not verify the chain; empty if it did."""

    def verified_chain(self) -> Sequence[Any]:
        """Return the verified chain as objects of the library, leaf first.

        It is empty in a resumed session. Called only if `is_verified`.
        """

    def to_der(self, cert: Any) -> bytes:  # noqa: ANN401 - an object of the library
        """Return one of these objects in DER."""


class Accepted:
    """An acceptance: its evidence, and its report once that is read."""

    __slots__ = ("_certs", "_host", "_now", "_policy", "_report")

    def __init__(
        self, policy: Policy, host: str | bytes | None, certs: Sequence[bytes], now: int
    ) -> None:
        """Keep the arguments of the decision: policy, name, chain in DER, time."""
        self._policy = policy
        self._host = host
        self._certs = certs
        self._now = now
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        """The report, made at the first access and kept."""
        if self._report is None:
            self._report = evaluate_at(self._policy, self._host, self._certs, self._now)
        return self._report


def judge(in_force: InForce, memo: Memo, peer: Peer, shown: Shown) -> Accepted:
    """Return the evidence on which a peer is accepted, or raise.

    This runs once in each handshake, with cold caches: each object that it touches
    costs a microsecond, so it touches few.

    Args:
        in_force: the policy, and the callback for acceptances without a match.
        memo: the full handshakes of the same context.
        peer: the owner of the certificates.
        shown: the certificates.

    Raises:
        PinningError: the peer is rejected.
        Exception: the callback raised, or *shown* did: reject the peer.
    """
    policy, handle, on_report = in_force
    host, _ = peer
    if host is None:
        host = _host_to_look_up(in_force, peer)
    now = int(_time())
    name = name_for_core(host)
    leaf = None
    if peer not in memo.latest:
        leaf = shown.leaf()
        if leaf is not None and handle.leaf_suffices(
            name, len(name), leaf, len(leaf), now
        ):
            return Accepted(policy, host, (leaf,), now)
    counts, hidden = _chain_that_counts(memo, peer, shown, leaf)
    if not hidden and handle.passes(name, counts, now):
        return Accepted(policy, host, counts.certs, now)
    report = verify_at(policy, host, counts.certs, now, shown.doubt)
    if hidden and report.mode == "enforce" and not handle.is_clear(name):
        raise rejection(
            in_force,
            host,
            "a resumed session shows no chain, and a blocked key could be in it; "
            "connect again without the session",
        )
    notice(report, on_report)
    return Accepted(policy, host, counts.certs, now)


def judge_under_install(
    in_force: InForce, memo: Memo, peer: Peer, shown: Shown
) -> Accepted:
    """Judge a peer as `judge` does, by a policy for the whole process.

    Nobody has pinned a connection without a name on purpose then. If the policy allows
    hosts without pins, it is one of these, and the application is told.
    """
    if not is_nameless(in_force, peer):
        return judge(in_force, memo, peer, shown)
    accepted = judge(in_force, memo, (_NO_NAME, False), shown)
    notice(accepted.report, in_force.on_report, nameless=True)
    return accepted


def is_nameless(in_force: InForce, peer: Peer) -> bool:
    """Return True for a server without a name that no rule is for."""
    handle = in_force.handle
    return peer == (None, False) and not (
        handle.ignores_hosts or handle.rejects_unpinned
    )


def _host_to_look_up(in_force: InForce, peer: Peer) -> str | bytes | None:
    """Return the name for the policy to look up.

    If a policy has rules for hosts and for clients, a server without a name must not
    be mistaken for a client: its empty name is rejected.
    """
    host, is_client = peer
    if host is None and not is_client:
        both = in_force.policy.has_clients and in_force.handle.num_rules > 0
        return "" if both else None
    return host


def _chain_that_counts(
    memo: Memo, peer: Peer, shown: Shown, leaf: bytes | None
) -> tuple[Chain, bool]:
    """Return the certificates that count, and True if others above are hidden."""
    verified = shown.is_verified()
    certs = shown.verified_chain() if verified else ()
    if certs:
        return memo.remember(peer, certs, shown.to_der), False
    leaf = leaf or shown.leaf()
    if leaf is None:
        return _NO_CHAIN, False
    # A resumed session has no chain: its first handshake is the evidence.
    known = memo.recall(peer, leaf) if verified else None
    return known or chain((leaf,)), verified and known is None


def reject_early(
    in_force: InForce,
    peer: Peer,
    certs: Sequence[bytes],
    doubt: Callable[[], str],
) -> None:
    """Raise if a peer will be rejected, before the handshake is over.

    An acceptance is not final here and is not reported.

    Args:
        in_force: the policy.
        peer: the owner of the certificates.
        certs: the certificates that count, in DER, leaf first.
        doubt: see `Shown.doubt`.

    Raises:
        PinningError: the peer is rejected.
    """
    host = _host_to_look_up(in_force, peer)
    verify_at(in_force.policy, host, certs, int(_time()), doubt)


def rejection(
    in_force: InForce | None, host: str | bytes | None, why: str
) -> PinningError:
    """Return the error for a peer that could not be judged by its pins.

    Args:
        in_force: the policy, or None if it is not known yet.
        host: the name of the peer.
        why: the message.
    """
    why = shortened(why, _WHY_MAX)  # an exception may have any repr
    digest = bytes(32) if in_force is None else in_force.policy.digest
    name = host.decode("latin-1") if isinstance(host, bytes) else host
    return PinningError(Report.not_checked(name, digest, why), why)
