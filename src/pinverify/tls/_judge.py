"""Judgement of the evidence about a peer: accept it, or raise `PinningError`.

What pins say of certificates is decided in the core (`csrc/evaluate.c`); only this file
knows which certificates count. The adapters (`ssl`, pyOpenSSL) pass on those that their
TLS library shows, and `judge` does the rest. There is no I/O here, and no TLS library,
so a test can go through all combinations in a table.

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
  but a forged leaf that merely *names* a pinned CA as its issuer gets that CA into it.
* With verification the verified chain counts, leaf first.

*Resumed sessions* show the leaf and no chain, on both sides. The leaf is judged again.
The rest must have been seen in a full handshake of the same context with the same
peer, on the same side, with the same leaf: a `Memo` keeps these chains. If the memo
has no such chain, nobody has seen what is above the leaf. The session is refused with
the reason NOT_CHECKED if that could change the decision: the leaf does not match, and
the rule has pins above it; or the peer would be accepted, and a key is blocked for it,
which could be there. A rule in report mode refuses nobody. The adapter of OpenSSL in C
(`csrc/openssl/judge.c`) has the same rule, and `tests/helpers/evidence_cases.py` the
cases that both run.

A client with an honest session must not come to that. So a server gives no tickets
unless the leaf is enough to judge its clients: a ticket may come back to another
process, to a context that was made since, or after the memo has evicted the chain.
What is left are sessions that OpenSSL keeps in the memory of one process, and the memo
of that process knows more leaves than these. It remembers their chains also where the
leaf was enough: the next policy may ask for more.

A client's session may be older than the policy, too. `is_worth_offering` says whether a
server that resumes it would be accepted. If not, the session is left out, and the full
handshake shows the chain.

*The leaf first.* Most pins are of leaves. If the leaf alone leads to an acceptance with
nothing to report, and no blocked key could be above it, then the chain is not even
fetched, except by a server that keeps the session. That is why `Shown` has methods and
not values.

*Counts.* A connection is counted once, when its verdict is final: an acceptance by the
adapter, in the last of `Accepted`; a rejection by `announce`.

*Notices come last.* Each decision that is no plain match becomes one event, which
`_notices` logs and reports to the application. An accepted peer whose pins do not match
(report mode, expiry) is reported after every check has passed, so that the application
can rely on the report. A rejected one is reported after the connection has been shut:
the adapter gives `refusal` the cause, whatever it is, enters FAILED, and then calls
`announce`. So neither an exception of the callback nor Ctrl-C in it leaves a connection
that can be used.

*Early rejection.* Some adapters can see the peer's certificates before the handshake is
over, so that no client certificate is sent to an impostor. `reject_early` can only
reject; a peer that passes is judged again at the end.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from pinverify.core._library import Chain, chain
from pinverify.errors import shortened
from pinverify.policy import PinningError, Reason, Report
from pinverify.policy._policy import evaluate_at, name_for_core, verify_at
from pinverify.policy._rejection import pinset_behind
from pinverify.policy._report import Seen, seen_of, with_seen
from pinverify.tls._counts import cell_of, cell_of_name, count
from pinverify.tls._names_under_install import name_under_install
from pinverify.tls._notices import CallbackError, tell_accepted, tell_rejected

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.core._policies import OpenPolicy
    from pinverify.policy import Policy
    from pinverify.tls._counts import Cell
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
# Of sessions whose chain nobody has seen; judge.c has the same texts.
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

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        """Return the address of the peer, or None."""

    def is_resumed(self) -> bool | None:
        """Return True if the session was resumed, None if that is not known."""


Accepted: TypeAlias = "tuple[Policy, str | bytes | None, Sequence[bytes], int, Cell]"
"""An acceptance: the policy that decided, the name that it looked up, the chain in DER,
the time, and where it is counted once it is final. Its report is made by
`report_of_accepted` if somebody reads it."""


def report_of_accepted(accepted: Accepted, peer: Peer, shown: Shown) -> Report:
    """Return the report of an acceptance.

    Args:
        accepted: the acceptance.
        peer: the owner of the certificates.
        shown: tells the report about the connection.
    """
    policy, host, certs, now, _ = accepted
    return evaluate_at(policy, host, certs, now, _seen(peer, shown, certs))


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
        Exception: the callback raised, or *shown* did: reject the peer, too. The
            adapter gives each of these exceptions to `refusal`.
    """
    policy, handle, on_report, cells, _ = in_force
    host, is_client = peer
    if host is None:
        host = _host_to_look_up(in_force, peer)
    now = int(_time())
    name = name_for_core(host)
    leaf = None
    if peer not in memo.latest and not (is_client and memo.keeps_leaves):
        leaf = shown.leaf()
        if leaf is not None and handle.leaf_suffices(
            name, len(name), leaf, len(leaf), now
        ):
            try:
                cell = cells[name or is_client]
            except KeyError:
                cell = cell_of_name(cells, handle, name, is_client=is_client)
            return policy, host, (leaf,), now, cell
    counts, hidden = _chain_that_counts(memo, peer, shown, leaf)
    if not hidden and handle.passes(name, counts, now):
        try:
            cell = cells[name or is_client]
        except KeyError:
            cell = cell_of_name(cells, handle, name, is_client=is_client)
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

    Args:
        in_force: the policy.
        memo: the full handshakes of the same context.
        peer: the server.
        leaf: the server's leaf in the session; None if it is not known.
        verifies: True if the TLS library verifies chains.
    """
    if leaf is None:
        return False
    policy, handle, *_ = in_force
    host = _host_to_look_up(in_force, peer) if peer[0] is None else peer[0]
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

    Nobody has pinned a connection on purpose then. One that can have no rule is
    accepted if the policy allows hosts without pins, and the application is told.
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
    in_force: InForce, peer: Peer, certs: Sequence[bytes], shown: Shown
) -> None:
    """Raise if a peer will be rejected, before the handshake is over.

    An acceptance is not final here and is not reported.

    Args:
        in_force: the policy.
        peer: the owner of the certificates.
        certs: the certificates that count, in DER, leaf first.
        shown: tells the report about the connection.

    Raises:
        PinningError: the peer is rejected.
    """
    host = _host_to_look_up(in_force, peer)
    seen = _seen(peer, shown, certs)
    verify_at(in_force.policy, host, certs, int(_time()), seen)


# ---- rejections ----------------------------------------------------------------

ASKED_FOR_RENEGOTIATION = (
    "the server asked for a renegotiation, in which it could show another "
    "certificate: let it ask for a client certificate in the first handshake, or "
    "use TLS 1.3"
)
"""Why a server of TLS 1.2 has ended a connection by an alert, when OpenSSL refused."""


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
    return PinningError(Report.not_checked(name, digest, why, Seen()), why)


def refusal(
    cause: BaseException, in_force: InForce | None, peer: Peer, shown: Shown | None
) -> PinningError:
    """Return the error of a connection that fails; any exception is a rejection.

    Args:
        cause: an exception of `judge` or of the adapter.
        in_force: the policy, or None if it is not known yet.
        peer: the owner of the certificates.
        shown: the certificates; None if there is no access to them yet.
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
        error.report = with_seen(error.report, _seen_at_all(peer, shown))
    return error


def _seen_at_all(peer: Peer, shown: Shown | None) -> Seen:
    """Return what can still be told about a connection that failed early."""
    side = Seen("client" if peer[1] else "server")
    if shown is None:
        return side
    try:
        leaf = shown.leaf()
        return _seen(peer, shown, () if leaf is None else (leaf,))
    except Exception:  # noqa: BLE001 - what failed may fail again
        return side


def announce(
    error: PinningError, cause: BaseException, in_force: InForce | None
) -> None:
    """Count a rejection, and tell of it, once its connection is shut.

    Args:
        error: the rejection, as `refusal` returned it.
        cause: its cause. A callback that raised it has been told.
        in_force: the policy and its callback, or None if it is not known yet.
    """
    count(error.report)
    told = isinstance(cause, CallbackError)
    on_report = None if in_force is None or told else in_force.on_report
    tell_rejected(error, on_report)
