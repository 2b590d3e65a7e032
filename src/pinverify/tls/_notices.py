"""Notices of peers that are rejected, or accepted although their pins do not match.

A server library may drop the exception that refuses a client, and a rule in report
mode raises none. So each decision that is no plain match becomes an event: it goes to
the application's callback, always, and to the logger "pinverify", as a warning.

The log is bounded. Two events are alike if side, host (of a client: key), reason and
policy are equal. Events that are alike are logged once a minute, and the next line
says how many were held back. A stranger can have a new key each time, so at most 1,024
different peers are logged in a minute; the next line says how many others there were.

A notice never changes a decision, except that a callback that raises rejects the peer.
"""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.core._library import DIGEST_LEN
from pinverify.errors import shortened
from pinverify.policy import PinningError, Reason, Report
from pinverify.policy._rejection import subject_line

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

__all__ = [
    "PEERS_MAX",
    "CallbackError",
    "Held",
    "Limit",
    "Line",
    "OnReport",
    "limit",
    "log",
    "log_fault",
    "logger",
    "tell_accepted",
    "tell_rejected",
]

OnReport: TypeAlias = "Callable[[Report], object]"
"""A callback of the application. Its result is ignored; if it raises, the connection
is rejected."""

_PERIOD = 60.0  # seconds
PEERS_MAX = 1024  # peers remembered, and so the lines of a period
_WORDS_MAX = 253  # characters of a host, an address, an explanation

_PLAIN = (Reason.MATCH, Reason.NOT_PINNED)


class CallbackError(Exception):
    """Raised when the callback raised about an acceptance; ``__cause__`` is why.

    The rejection that follows is not reported to it again.
    """


def tell_accepted(
    report: Report, on_report: OnReport | None, *, nameless: bool = False
) -> None:
    """Tell of a peer that is accepted, unless its pins match or it has none.

    Args:
        report: an acceptance.
        on_report: the callback.
        nameless: True if the peer has no pins because it has no name, or one that no
            rule can be for: tell of that.

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
    """Tell of a peer that is rejected; no exception hides the rejection.

    Args:
        error: the rejection. An exception of the callback becomes its context.
        on_report: the callback, or None if it has been told.
    """
    for tell in (log, on_report):
        if tell is not None:
            try:
                tell(error.report)
            except Exception as failed:  # noqa: BLE001 - of the application
                _keep(failed, error)


def _keep(failed: Exception, error: PinningError) -> None:
    """Attach an exception of the callback, or of a filter of the log, to *error*."""
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

    The module `logging` is large. `in_force` calls this first, so that no handshake
    imports it, and neither does a process that pins nothing.
    """
    import logging  # noqa: PLC0415

    return logging.getLogger("pinverify")


class Held(NamedTuple):
    """The numbers of events held back since the last line."""

    alike: int
    others: int

    def words(self) -> list[str]:
        """Return the numbers as a line of the log tells them."""
        words = []
        if self.alike:
            words.append(f"({self.alike} more like it held back)")
        if self.others:
            words.append(f"({self.others} of other peers held back)")
        return words


class Limit:
    """Rate limit: the time each peer was logged, and the numbers held back since.

    There is no lock: Ctrl-C or a fork at the wrong moment would leave it locked, and
    the next handshake would hang. Threads at the same moment may miscount.

    Attributes:
        entries: by what the events of a peer have in common; the oldest comes first.
    """

    def __init__(self) -> None:
        """Begin with no peer."""
        self.entries: dict[object, tuple[float, int]] = {}
        self._others = 0

    def admit(self, key: object, now: float) -> Held | None:
        """Return the numbers held back so far; None holds this event back."""
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
    key = _same_peer(report)
    held = limit.admit(key, time.monotonic())
    if held is not None:
        logger().warning("%s", Line(report, held))


def log_fault(what: str, address: Any) -> None:  # noqa: ANN401 - as in `_address`
    """Log a fault of a connection that no peer is judged in, unless it is held back.

    Args:
        what: the fault, in words that no peer chooses: they are one of few.
        address: of the other end, or None.
    """
    held = limit.admit(what, time.monotonic())
    if held is not None:
        place = [] if address is None else [f"address={_address(address)}"]
        logger().warning("%s", " ".join([what, *place, *held.words()]))


def _same_peer(report: Report) -> object:
    """Return what the events of one peer have in common."""
    key = report.chain[0] if report.host is None and report.chain else None
    return report.side, report.host, key, report.accepted, report.reason, report.digest


class Line:
    """The text of an event, made only if a handler of the log asks for it."""

    __slots__ = ("_held", "_report")

    def __init__(self, report: Report, held: Held) -> None:
        """Keep the report and the numbers."""
        self._report = report
        self._held = held

    def __str__(self) -> str:
        """Return one line; the peer cannot break out of any part of it."""
        report, held = self._report, self._held
        what = "accepted without a match" if report.accepted else "rejected"
        said = {
            "key": report.chain[0] if report.chain else None,
            "subject": repr(subject_line(report.peer)) if report.peer else None,
            "address": _address(report.peer_address),
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


def _address(address: Any) -> str | None:  # noqa: ANN401 - as in the module socket
    if isinstance(address, tuple) and len(address) >= 2:  # noqa: PLR2004 - host, port
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    return repr(address) if address else None
