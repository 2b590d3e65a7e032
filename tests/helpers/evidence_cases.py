"""The rule of evidence, case by case: what a library shows, what a policy says.

The rule is written in two languages, so its cases are in one file that both run:
tests/vectors/evidence_cases.tsv. `test_tls_evidence.py` gives them to `judge`, and
`c/openssl/evidence_cases.c` makes a handshake of each. As a program, this writes the
file: ``python -m evidence_cases``.

`expected` computes the result of a case plainly and independently of both. In short:
the chain counts if the library verified it, in this handshake or in the one that began
the session. If a session is resumed and that chain is not known, only the leaf is
judged. If the missing part could change the result, the peer is refused as NOT_CHECKED.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

from pinverify import UNPINNED, PinSet, Policy, Reason, Rules
from places import TESTS

__all__ = [
    "ELSEWHERE",
    "FILE",
    "NOT_SHOWN",
    "Case",
    "Expected",
    "cases",
    "expected",
    "policy_of",
    "read",
    "table",
]

FILE = TESTS / "vectors" / "evidence_cases.tsv"

ELSEWHERE = "sha256/" + "A" * 43 + "="  # pins that no certificate has
_BLOCKED_ELSEWHERE = "sha256/" + "E" * 43 + "="
_PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


class Case(NamedTuple):
    """One row of the table, in the words of the file.

    Attributes:
        peer: "server" or "client".
        verified: "verified" if the library verified the chain, of a resumed session
            in its first handshake.
        resumed: "resumed" or "full".
        remembered: "remembered" if the chain of the peer was verified and kept before.
        blocked: "nothing", or who blocks what: "rule-ca", "all-ca", "rule-other", …
        expired: "in-force", or what the expired rule does: "allow" or "reject".
        mode: "enforce" or "report".
        pins: the certificates that the rule pins: "leaf", "ca", "wrong" (pins for any
            position), "wrong-leaf", "ca+wrong-leaf"; or what becomes of a host without
            pins: "unpinned-allow" or "unpinned-reject".
    """

    peer: str
    verified: str
    resumed: str
    remembered: str
    blocked: str
    expired: str
    mode: str
    pins: str

    @property
    def policy(self) -> str:
        """The name of its policy."""
        return "_".join((self.peer, *self[4:]))


class Expected(NamedTuple):
    """The outcome of a case.

    Attributes:
        accepted: True if the peer is accepted.
        reason: the reason.
        noticed: True if the application is told of an acceptance without a match.
    """

    accepted: bool
    reason: Reason
    noticed: bool

    @classmethod
    def of(cls, words: list[str]) -> Self:
        """Return the outcome that a row of the file names."""
        accepted, reason, noticed = words
        return cls(accepted == "accepted", Reason[reason], noticed == "noticed")

    def words(self) -> tuple[str, str, str]:
        """Return the words of the file."""
        return (
            "accepted" if self.accepted else "rejected",
            self.reason.name,
            "noticed" if self.noticed else "silent",
        )


_SHOWN = (
    ("verified", "unverified"),
    ("full", "resumed"),
    ("forgotten", "remembered"),
)
_BY_RULES = ("rule-ca", "rule-other")
_BY_ALL = ("all-ca", "all-other", "all-leaf")


def cases() -> Iterator[Case]:
    """Yield all combinations of what a library shows and what a rule says."""
    rules = (
        ("nothing", *_BY_RULES, *_BY_ALL),
        ("in-force", "allow", "reject"),
        ("enforce", "report"),
        ("leaf", "ca", "wrong", "wrong-leaf", "ca+wrong-leaf"),
    )
    yield from map(Case._make, itertools.product(("server", "client"), *_SHOWN, *rules))
    hosts_without_pins = (
        ("nothing", *_BY_ALL),
        ("in-force",),
        ("enforce",),
        ("unpinned-allow", "unpinned-reject"),
    )
    yield from map(
        Case._make, itertools.product(("server",), *_SHOWN, *hosts_without_pins)
    )


# ---- the rule ----------------------------------------------------------------


def _is_hidden(case: Case) -> bool:
    """Return True if there is a chain, and nobody has seen it."""
    unseen = case.resumed == "resumed" and case.remembered == "forgotten"
    return case.verified == "verified" and unseen


def _by_certificates(  # noqa: PLR0911 - one for each rule
    case: Case, *, with_chain: bool
) -> tuple[bool, Reason]:
    """Decide as a policy does about the leaf, with the chain or alone."""
    lenient = case.mode == "report"
    by, _, what = case.blocked.partition("-")
    is_blocked = what == "leaf" or (what == "ca" and with_chain)
    blocked = lenient, Reason.BLOCKED
    if case.pins == "unpinned-reject":
        return False, Reason.NOT_PINNED
    if case.expired == "reject" and not lenient:
        return False, Reason.EXPIRED
    if case.pins == "unpinned-allow" or case.expired != "in-force":
        # No pins decide, and nothing is left but what is blocked for everybody.
        if by == "all" and is_blocked:
            return blocked
        unpinned = case.pins == "unpinned-allow"
        return True, Reason.NOT_PINNED if unpinned else Reason.EXPIRED
    if is_blocked:
        return blocked
    if case.pins == "leaf" or (case.pins == "ca" and with_chain):
        return True, Reason.MATCH
    return lenient, Reason.MISMATCH


def expected(case: Case) -> Expected:
    """Return what must come of a case."""
    seen = case.verified == "verified" and not _is_hidden(case)
    accepted, reason = _by_certificates(case, with_chain=seen)
    if _is_hidden(case) and case.mode == "enforce":
        blocks = case.blocked != "nothing"
        pins_above_the_leaf = case.pins in {"ca", "wrong", "ca+wrong-leaf"}
        mismatch = reason is Reason.MISMATCH
        if (accepted and blocks) or (mismatch and pins_above_the_leaf):
            return Expected(accepted=False, reason=Reason.NOT_CHECKED, noticed=False)
    plain = reason in {Reason.MATCH, Reason.NOT_PINNED}
    return Expected(accepted, reason, noticed=accepted and not plain)


def _client_nobody_verified(case: Case) -> bool:
    return case[:3] == ("client", "unverified", "resumed")


NOT_SHOWN = {
    "OpenSSL": {},
    "BoringSSL": {
        "the session of a client keeps no note that nobody verified it: its chain is "
        "verified again": _client_nobody_verified,
    },
}
"""By library the rules for cases that it cannot show, with the reason."""


# ---- the policies ------------------------------------------------------------


def policy_of(case: Case, host: str, leaf: str, ca: str) -> Policy:
    """Return the policy of a case.

    Args:
        case: the case.
        host: the name of servers.
        leaf: the pin of the peer's leaf.
        ca: the pin of the authority above it.
    """
    by, _, what = case.blocked.partition("-")
    keys = {"ca": ca, "leaf": leaf, "other": _BLOCKED_ELSEWHERE}
    blocked = [keys[what]] if what else []
    everywhere = blocked if by == "all" else []
    if case.pins.startswith("unpinned"):
        how: Any = case.pins.removeprefix("unpinned-")
        return Policy({host: UNPINNED}, unpinned=how, blocked=everywhere)
    given: dict[str, Any] = {
        "leaf": {"leaf": [leaf]},
        "ca": {"ca": [ca]},
        "wrong": {"pins": [ELSEWHERE]},
        "wrong-leaf": {"leaf": [ELSEWHERE]},
        "ca+wrong-leaf": {"leaf": [ELSEWHERE], "ca": [ca]},
    }[case.pins]
    if case.expired != "in-force":
        given |= {"expires": _PAST, "after_expiry": case.expired}
    own = blocked if by == "rule" else []
    pinset = PinSet(mode=case.mode, blocked=own, **given)  # type: ignore[arg-type]
    if case.peer == "client":
        return Policy(Rules(clients=pinset, blocked=everywhere))
    return Policy({host: pinset}, blocked=everywhere)


# ---- the file ----------------------------------------------------------------


def table() -> str:
    """Return the text of the file."""
    names = [*Case._fields, *Expected._fields]
    rows = ((*case, *expected(case).words()) for case in cases())
    return "".join("\t".join(row) + "\n" for row in (names, *rows))


def read() -> list[tuple[Case, Expected]]:
    """Return the cases of the file, each with its outcome."""
    _, *lines = FILE.read_text(encoding="ascii").splitlines()
    rows = [line.split("\t") for line in lines]
    return [(Case._make(row[:8]), Expected.of(row[8:])) for row in rows]


if __name__ == "__main__":
    FILE.write_text(table(), encoding="ascii")
