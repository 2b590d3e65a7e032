"""Events: how decisions are counted, told to the application, and logged.

A server library may drop the exception that refuses a client, and a rule in report
mode raises no exception. So each rejection, and each acceptance despite the pins, is an
event: the application's callback always gets it, and the logger "pinverify" as a
warning. An event changes no decision, but if the callback raises, the peer is rejected.

The log is bounded. Two events are alike if side, host (without a host: key), outcome,
reason and policy are equal. Alike events are logged once a minute, and their next line
says how many were held back. A stranger can have a new key each time, so at most 1,024
different peers are logged in a minute; the next line says how many others there were.

Every decision is counted when it is final, by side, reason, mode, outcome and rule.
Counts belong to the process: replacing a policy or a context changes none. A forked
process begins at zero.

Nothing here has a lock: Ctrl-C or a fork at the wrong moment would leave a lock taken,
and the next handshake would hang. So the numbers of events held back may be wrong.
"""

from __future__ import annotations

import contextlib
import functools
import os
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.core._hosts import canonical
from pinverify.core._keys import DIGEST_LEN
from pinverify.errors import shortened
from pinverify.policy import PinningError, Reason, Report
from pinverify.policy._pinning_error import subject_line
from pinverify.policy._report import MODES

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from pinverify.core._policies import OpenPolicy

__all__ = [
    "OTHERS",
    "CallbackError",
    "Cell",
    "Counted",
    "OnReport",
    "address_text",
    "cell_of",
    "cell_of_name",
    "count",
    "counts",
    "logger",
    "tell_accepted",
    "tell_rejected",
]

OnReport: TypeAlias = "Callable[[Report], object]"
"""A callback of the application. Its result is ignored; if it raises, the connection
is rejected."""

_PERIOD = 60.0  # seconds
PEERS_MAX = 1024  # peers remembered, and so the most lines in a period
_WORDS_MAX = 253  # characters of a host, an address, an explanation

_PLAIN = (Reason.MATCH, Reason.NOT_PINNED)


class CallbackError(Exception):
    """Raised if the callback raises for an accepted peer; ``__cause__`` says why.

    The rejection that follows is not reported to the callback again.
    """


def tell_accepted(
    report: Report, on_report: OnReport | None, *, nameless: bool = False
) -> None:
    """Report a peer that is accepted, unless its pins match or it has no pins.

    *nameless* is True if the peer has no pins because it has no name, or a name that no
    rule can match. Such a peer is reported.

    Raises:
        CallbackError: the callback raised, so the peer must be rejected.
    """
    if report.reason in _PLAIN and not nameless:
        return
    if on_report is not None:
        try:
            on_report(report)
        except Exception as cause:
            raise CallbackError from cause
    log(report)


def tell_rejected(error: PinningError, on_report: OnReport | None) -> None:
    """Report a peer that is rejected; no exception hides the rejection."""
    for tell in (log, on_report):
        if tell is not None:
            try:
                tell(error.report)
            except Exception as failed:  # noqa: BLE001 - of the callback, or of a filter
                said = shortened(repr(failed), _WORDS_MAX)
                error.add_note(f"telling of this rejection failed: {said}")
                if error.__context__ is None:
                    error.__context__ = failed
                with contextlib.suppress(Exception):
                    logger().error("telling of a rejection failed: %s", said)


# ---- the log -----------------------------------------------------------------


@functools.cache
def logger() -> logging.Logger:
    """Return the logger.

    The module `logging` is large. `in_force` calls this function, so no handshake has
    to import `logging`, and a process that pins nothing never does.
    """
    import logging  # noqa: PLC0415

    return logging.getLogger("pinverify")


class Held(NamedTuple):
    """The numbers of events held back since the last line."""

    alike: int
    others: int

    def words(self) -> list[str]:
        """Return the numbers in the words of a log line."""
        numbers = (self.alike, "more like it"), (self.others, "of other peers")
        return [f"({number} {what} held back)" for number, what in numbers if number]


class Limit:
    """Rate limit: the time each peer was logged, and the numbers held back since.

    Attributes:
        entries: for each key of alike events, the time when one was last logged, and
            the number held back since; the earliest time comes first.
    """

    def __init__(self) -> None:
        self.entries: dict[object, tuple[float, int]] = {}
        self._others = 0

    def admit(self, key: object, now: float) -> Held | None:
        """Return the numbers held back before; None if this event is held back, too."""
        entries = self.entries
        known = entries.get(key)
        if known is not None and now - known[0] < _PERIOD:
            entries[key] = known[0], known[1] + 1
            return None
        if known is None and len(entries) >= PEERS_MAX and not self._evict(now):
            self._others += 1
            return None
        entries.pop(key, None)
        entries[key] = now, 0
        others, self._others = self._others, 0
        return Held(0 if known is None else known[1], others)

    def _evict(self, now: float) -> bool:
        """Forget the oldest peer, unless it was logged less than a minute ago."""
        try:
            oldest = next(iter(self.entries))
            since, alike = self.entries[oldest]
        except (KeyError, RuntimeError, StopIteration):  # another thread was here
            return False
        if now - since < _PERIOD:
            return False
        self.entries.pop(oldest, None)
        self._others += alike
        return True


limit = Limit()


def log(report: Report) -> None:
    """Log an event, unless it is held back."""
    key = report.chain[0] if report.host is None and report.chain else None
    peer = report.side, report.host, key, report.accepted, report.reason, report.digest
    held = limit.admit(peer, time.monotonic())
    if held is not None:
        logger().warning("%s", Line(report, held))


class Line:
    """The text of an event, made only if a handler of the log asks for it."""

    __slots__ = ("_held", "_report")

    def __init__(self, report: Report, held: Held) -> None:
        self._report = report
        self._held = held

    def __str__(self) -> str:
        """Return one line; the peer cannot break out of any part of it."""
        report, held = self._report, self._held
        what = "accepted without a match" if report.accepted else "rejected"
        said = {
            "key": report.chain[0] if report.chain else None,
            "subject": repr(subject_line(report.peer)) if report.peer else None,
            "address": address_text(report.peer_address),
            "host": report.host,
            "rule": report.rule,
            "detail": repr(report.detail) if report.detail else None,
        }
        parts = [f"{what}: {report.side or 'peer'} {report.reason.name}"]
        parts += [
            f"{name}={shortened(str(value), _WORDS_MAX)}"
            for name, value in said.items()
            if value is not None
        ]
        parts.append(f"policy={report.digest.hex()[: DIGEST_LEN // 2]}")
        return " ".join([*parts, *held.words()])


def address_text(address: Any) -> str | None:  # noqa: ANN401 - as in the module socket
    """Return an address as it is written in the log."""
    if isinstance(address, tuple) and len(address) >= 2:  # noqa: PLR2004 - host, port
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return repr(address) if address else None


# ---- counts --------------------------------------------------------------------

_RULES_MAX = 10_000
_NAMES_MAX = 10_000  # remembered for one policy
OTHERS = "(others)"
"""The name in counts of all rules beyond the first 10,000 that decided."""

Cell: TypeAlias = list[int]
"""A count: a list of one number. CPython switches no threads while 1 is added to it."""


class Counted(NamedTuple):
    """The decisions that are counted together.

    Attributes:
        side: of the peer: "client" or "server".
        rule: the pattern that decided; empty if none did.
        reason: the name of the reason.
        mode: "enforce" or "report".
        accepted: the outcome.
    """

    side: str
    rule: str
    reason: str
    mode: str
    accepted: bool


_cells: dict[Counted, Cell] = {}
_rules: set[str] = set()


def counts() -> dict[Counted, int]:
    """Return the counts so far; zeros are left out."""
    return {counted: cell[0] for counted, cell in [*_cells.items()] if cell[0]}


def count(report: Report) -> None:
    """Count a decision, whose report says all about it."""
    cell_of(report)[0] += 1


def cell_of(report: Report) -> Cell:
    """Return the cell in which decisions like this one are counted."""
    side, mode = report.side or "", report.mode
    reason, accepted = report.reason.name, report.accepted
    return _cell(Counted(side, report.rule or "", reason, mode, accepted))


def cell_of_name(
    cells: dict[object, Cell], handle: OpenPolicy, name: bytes, *, is_client: bool
) -> Cell:
    """Return the cell for acceptances with nothing to report, and remember it.

    The rule says whether such an acceptance is a match, or of a host without pins.
    *cells* has the cells of the policy: by name, or by side for peers without a name.
    """
    rule, pinset = "", 0 if handle.has_clients else None
    if name and not handle.ignores_hosts:
        pinset = None
        index = handle.find(canonical(name))  # the core has accepted the name
        if index is not None:
            rule, pinset = handle.rule(index)
    reason = Reason.NOT_PINNED if pinset is None else Reason.MATCH
    mode = MODES[0 if pinset is None else handle.pinset(pinset).mode]
    side = "client" if is_client else "server"
    cell = _cell(Counted(side, rule, reason.name, mode, accepted=True))
    if len(cells) >= _NAMES_MAX:
        cells.clear()
    cells[name or is_client] = cell
    return cell


def _cell(counted: Counted) -> Cell:
    cell = _cells.get(counted)
    if cell is not None:
        return cell
    if counted.rule and counted.rule not in _rules:
        if len(_rules) >= _RULES_MAX:
            counted = counted._replace(rule=OTHERS)
        else:
            _rules.add(counted.rule)
    return _cells.setdefault(counted, [0])


def _begin_again() -> None:
    for cell in _cells.values():
        cell[0] = 0


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_begin_again)
