"""Judgement of the evidence about a peer: accept it, or raise `PinningError`.

The core (`csrc/evaluate.c`) decides whether certificates match pins; this file decides
which certificates count. The adapters (`ssl`, pyOpenSSL) pass on the certificates that
their TLS library shows, and `judge` accepts or raises. There is no I/O here, and no TLS
library, so a test can go through all combinations in a table.

Theory of operation
-------------------

*The states of a connection.* A connection is PENDING until its handshake is complete
and its peer is judged, then VERIFIED or FAILED:

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
  but a forged leaf that merely *names* a pinned CA as its issuer puts that CA into the
  chain.
* With verification the verified chain counts, leaf first.

*Resumed sessions* show the leaf and no chain, on both sides. The leaf is judged again.
The chain above it must have been seen in a full handshake of the same context with the
same peer, on the same side, with the same leaf: a `Memo` keeps these chains. Without
such a chain, the session is refused as NOT_CHECKED if the certificates above the leaf
could change the decision: the leaf does not match and the rule has pins above it, or
the leaf is accepted and the peer's rules block keys. A rule in report mode refuses
nobody. The adapter of OpenSSL in C (`csrc/openssl/judge.c`) does the same, and both run
the cases of `tests/helpers/evidence_cases.py`.

Honest clients must not be refused in this way. A server gives no tickets unless the
leaf is enough to judge its clients: a ticket may come back to another process, to a
newer context, or after the memo has evicted the chain. Sessions without tickets stay in
one process, whose memo knows more leaves than OpenSSL keeps sessions. A server's memo
keeps a chain even if the leaf was enough, because the next policy may need the chain. A
client offers a session only if `is_worth_offering`; otherwise it does a full handshake.

*The leaf first.* Most pins are of leaves. If the leaf alone leads to an acceptance with
nothing to report, and no blocked key could be above it, then the chain is not even
fetched, except by a server that keeps the session. That is why `Shown` has methods and
not values.

*Counts.* A final verdict is counted once: an acceptance by the adapter, in the cell of
`Accepted`; a rejection by `announce`, even if the peer was accepted and counted before.

*Events come last.* An acceptance is reported after every check has passed. A rejection
is reported after the connection has been shut: the adapter gives `refusal` the cause,
enters FAILED, and then calls `announce`. So no connection can be used after the
callback has raised or Ctrl-C has interrupted it.

*Early rejection.* Some adapters can see the peer's certificates before the handshake is
over, so that no client certificate is sent to an impostor. `reject_early` can only
reject; a peer that passes is judged again at the end.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pinverify.core._keys import Chain, chain
from pinverify.errors import shortened
from pinverify.policy import PinningError, Policy, Reason, Report
from pinverify.policy._pinning_error import pinset_behind
from pinverify.policy._policy import evaluate_at, name_for_core, verify_at
from pinverify.policy._report import Seen, seen_of, with_seen
from pinverify.tls._events import (
    CallbackError,
    cell_of,
    cell_of_name,
    count,
    tell_accepted,
    tell_rejected,
)
from pinverify.tls._names_under_install import name_under_install

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.core._policies import OpenPolicy
    from pinverify.tls._events import Cell
    from pinverify.tls._memo import Memo
    from pinverify.tls._policy_in_force import InForce

__all__ = [
    "ASKED_FOR_RENEGOTIATION",
    "Accepted",
    "Peer",
    "Shown",
    "announce",
    "is_worth_offering",
    "judge",
    "judge_under_install",
    "peer_under_install",
    "refusal",
    "reject_early",
    "rejection",
    "report_of_accepted",
]

_NO_CHAIN = chain(())
_WHY_MAX = 1000
# For sessions whose chain was never seen; judge.c has the same texts.
_COULD_BE_BLOCKED = (
    "a resumed session shows no chain, and a blocked key could be in it: "
    "connect again without the session"
)
_LEAF_ALONE = (
    "a resumed session shows no chain, and its leaf alone does not match the pins: "
    "connect again without the session"
)
_time = time.time


Peer: TypeAlias = "tuple[str | bytes | None, bool]"
"""A peer: the name that the TLS library verifies (None if it has none), and True if it
is a client. A plain tuple, since one is made in each handshake."""


class Shown(Protocol):
    """The certificates that a TLS library shows of a peer after a handshake.

    `judge` calls only the methods that it needs.
    """

    def leaf(self) -> bytes | None:
        """Return the peer's own certificate in DER, or None."""

    def is_verified(self) -> bool:
        """Return True if the library verified the chain.

        The chain of a resumed session was verified in its first handshake.
        """

    def doubt(self) -> str:
        """Return why the library did not verify the chain; empty if it did."""

    def verified_chain(self) -> Sequence[Any]:
        """Return the verified chain as objects of the library, leaf first.

        It is empty in a resumed session. Called only if `is_verified`.
        """

    def to_der(self, cert: Any) -> bytes:  # noqa: ANN401 - an object of the library
        """Return one object of `verified_chain` in DER."""

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        """Return the address of the peer, or None."""

    def is_resumed(self) -> bool | None:
        """Return True if the session was resumed, None if that is not known."""


Accepted: TypeAlias = "tuple[Policy, str | bytes | None, Sequence[bytes], int, Cell]"
"""An acceptance: the policy that decided, the name that it looked up, the chain in DER,
the time, and the cell to count it in when it is final. `report_of_accepted` makes its
report if somebody reads it."""


def report_of_accepted(accepted: Accepted, peer: Peer, shown: Shown) -> Report:
    """Return the report of an acceptance."""
    policy, host, certs, now, _ = accepted
    return evaluate_at(policy, host, certs, now, _seen(peer, shown, certs))


def judge(in_force: InForce, memo: Memo, peer: Peer, shown: Shown) -> Accepted:
    """Return the evidence on which a peer is accepted, or raise.

    This runs once in each handshake, with cold caches: each object that it touches
    costs a microsecond, so it touches few. *memo* belongs to the context.

    Raises:
        PinningError: the peer is rejected.
        Exception: the callback or *shown* raised, and the peer must be rejected. The
            adapter gives each of these exceptions to `refusal`.
    """
    policy, handle, on_report, cells, _ = in_force
    host, is_client = peer
    if host is None:
        host = _host_to_look_up(in_force, peer)
    now = int(_time())
    name = name_for_core(host)
    leaf = None
    if peer not in memo.latest and not (is_client and memo.leaves_max):
        leaf = shown.leaf()
        if leaf is not None and handle.leaf_suffices(
            name, len(name), leaf, len(leaf), now
        ):
            cell = cells.get(name or is_client) or cell_of_name(
                cells, handle, name, is_client=is_client
            )
            return policy, host, (leaf,), now, cell
    counts, hidden = _chain_that_counts(memo, peer, shown, leaf)
    if not hidden and handle.passes(name, counts, now):
        cell = cells.get(name or is_client) or cell_of_name(
            cells, handle, name, is_client=is_client
        )
        return policy, host, counts.certs, now, cell
    seen = _seen(peer, shown, counts.certs, hidden=hidden)
    if hidden:
        alone = evaluate_at(policy, host, counts.certs, now)
        if _depends_on_chain(alone, handle, name):
            why = _COULD_BE_BLOCKED if alone.accepted else _LEAF_ALONE
            report = Report.not_checked(host, policy.digest, why, seen, alone.chain)
            raise PinningError(report, (counts.certs, handle, now))
    report = verify_at(policy, host, counts.certs, now, seen)  # raises if rejected
    tell_accepted(report, on_report)
    return policy, host, counts.certs, now, cell_of(report)


def _depends_on_chain(alone: Report, handle: OpenPolicy, name: bytes) -> bool:
    """Return True if certificates above a leaf could change the decision about it."""
    if alone.mode == "report":
        return False
    if alone.accepted:
        return not handle.is_clear(name)
    pinset = pinset_behind(alone, handle)
    above = pinset is not None and pinset.raw.looks_above_leaf
    return alone.reason is Reason.MISMATCH and above


def is_worth_offering(
    in_force: InForce, memo: Memo, peer: Peer, leaf: bytes | None, *, verifies: bool
) -> bool:
    """Return True if a server that resumes a client's session would be accepted.

    *leaf* is the session's leaf, None if it is not known. *verifies* is True if the TLS
    library verifies chains.
    """
    if leaf is None:
        return False
    policy, handle, *_ = in_force
    host = _host_to_look_up(in_force, peer)
    now = int(_time())
    known = memo.recall(peer, leaf) if verifies else None
    if verifies and known is None:
        name = name_for_core(host)
        return handle.leaf_suffices(name, len(name), leaf, len(leaf), now) == 1
    certs = (leaf,) if known is None else known.certs
    return evaluate_at(policy, host, certs, now).accepted


def _seen(
    peer: Peer, shown: Shown, certs: Sequence[bytes], *, hidden: bool = False
) -> Seen:
    """Return the facts about a connection for its report."""
    return Seen(
        "client" if peer[1] else "server",
        certs[0] if certs else None,
        shown.address(),
        shown.is_resumed(),
        hidden,
        shown.doubt(),
    )


def judge_under_install(
    in_force: InForce, memo: Memo, peer: Peer, shown: Shown
) -> Accepted:
    """Judge a peer as `judge` does, by a policy for the whole process.

    Nobody has pinned these connections on purpose. So a connection to which no rule can
    apply is accepted and reported, if the policy allows hosts without pins.
    """
    looked_up = peer_under_install(in_force, peer)
    accepted = judge(in_force, memo, looked_up, shown)
    if looked_up != peer:
        report = report_of_accepted(accepted, looked_up, shown)
        if report.reason is Reason.NOT_PINNED:
            tell_accepted(report, in_force.on_report, nameless=True)
    return accepted


def peer_under_install(in_force: InForce, peer: Peer) -> Peer:
    """Return the peer that a policy for the whole process judges in place of *peer*."""
    name, is_client = peer
    return peer if is_client else (name_under_install(in_force, name), False)


def _host_to_look_up(in_force: InForce, peer: Peer) -> str | bytes | None:
    """Return the name for the policy to look up.

    If a policy has rules for hosts and for clients, a server without a name must not
    be mistaken for a client, so it gets an empty name, which is rejected.
    """
    host, is_client = peer
    unclear = host is None and not is_client and in_force.policy.has_clients
    return "" if unclear and in_force.handle.num_rules > 0 else host


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
    in_force: InForce, peer: Peer, certs: Sequence[bytes], shown: Shown
) -> None:
    """Raise `PinningError` if a peer will be rejected, before the handshake is over.

    *certs* are those that count, in DER. An acceptance is neither final nor reported.
    """
    host = _host_to_look_up(in_force, peer)
    seen = _seen(peer, shown, certs)
    verify_at(in_force.policy, host, certs, int(_time()), seen)


ASKED_FOR_RENEGOTIATION = (
    "the server asked for a renegotiation, in which it could show another "
    "certificate: let it ask for a client certificate in the first handshake, or "
    "use TLS 1.3"
)
"""Why a TLS 1.2 server ended a connection by an alert: OpenSSL did not renegotiate."""


def rejection(
    in_force: InForce | None, host: str | bytes | None, why: str
) -> PinningError:
    """Return the error for a peer that could not be judged by its pins."""
    why = shortened(why, _WHY_MAX)  # an exception may have any repr
    digest = bytes(32) if in_force is None else in_force.policy.digest
    name = host.decode("latin-1") if isinstance(host, bytes) else host
    return PinningError(Report.not_checked(name, digest, why, Seen()), why)


def refusal(
    cause: BaseException, in_force: InForce | None, peer: Peer, shown: Shown | None
) -> PinningError:
    """Return the error of a connection that fails; any exception is a rejection.

    *in_force* and *shown* are None if they are not known yet.
    """
    if isinstance(cause, PinningError):
        error = cause
    else:
        if isinstance(cause, CallbackError):
            cause = cause.__cause__ or cause
            why = f"on_report raised {cause!r}; a callback that raises refuses the peer"
        else:
            why = f"the peer could not be checked: {cause!r}"
        error = rejection(in_force, peer[0], why)
        error.__cause__ = cause
    if seen_of(error.report).side is None:
        seen = Seen("client" if peer[1] else "server")
        if shown is not None:
            with contextlib.suppress(Exception):  # what failed may fail again
                leaf = shown.leaf()
                seen = _seen(peer, shown, () if leaf is None else (leaf,))
        error.report = with_seen(error.report, seen)
    return error


def announce(
    error: PinningError, cause: BaseException, in_force: InForce | None
) -> None:
    """Count and report a rejection whose connection has been shut."""
    count(error.report)
    told = isinstance(cause, CallbackError)  # the callback knows already
    on_report = None if in_force is None or told else in_force.on_report
    tell_rejected(error, on_report)
