"""The log of the gateway: every refusal can be seen, and none floods it.

A peer that is refused, or would be in report mode, is named once for each policy,
however often it comes back. So the log of a roll-out is the list of those who are not
pinned yet. pinverify counts the decisions; what else goes wrong is counted here.
"""
# ruff: noqa: INP001 - part of a script, in no package

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from cryptography import x509
from prometheus_client import Counter, Gauge

if TYPE_CHECKING:
    import pinverify

__all__ = ["JSONLines", "Record", "open_connections", "tell"]

NAMED_MAX = 10_000  # a stranger can have a new key each time: memory is bounded
SUBJECT_MAX = 200  # characters of a text that the peer has chosen

failures = Counter(
    "gateway_failures", "Connections that ended badly, not for pins.", ["side", "kind"]
)
open_connections = Gauge("gateway_open_connections", "Open connections of clients.")

log = logging.getLogger("gateway")


class JSONLines(logging.Formatter):
    """Format of the log: one JSON object a line; nothing breaks out of a value."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the time, the level, the event and its fields."""
        line = {
            "time": self.formatTime(record),
            "level": record.levelname,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)


def tell(event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Write one event to the log."""
    log.log(level, "%s", event, extra={"fields": fields})


class Record:
    """The peers that the log has named."""

    def __init__(self) -> None:
        """Begin with nobody."""
        self._named: set[object] = set()

    def decided(self, report: pinverify.Report, address: str) -> None:
        """Name the peer if its pins do not match.

        Args:
            report: the decision.
            address: the peer's, which a report of asyncio does not have.
        """
        reason = report.reason.name
        key = str(report.chain[0]) if report.chain else None
        if reason != "MATCH" and self._first((report.side, key or address, reason)):
            tell(
                "accepted without a match" if report.accepted else "rejected",
                level=logging.WARNING,
                side=report.side,
                reason=reason,
                mode=report.mode,
                pin=key,
                subject=subject_of(report.peer),
                address=address,
                resumed=report.resumed,
                detail=report.detail or None,
                policy=report.digest.hex(),
            )

    def failed(self, side: str, kind: str, address: str, error: BaseException) -> None:
        """Count a connection that ended badly, but not for its pins; name it once.

        Args:
            side: "client" or "server".
            kind: how it ended, one of a few words.
            address: the peer's.
            error: the reason.
        """
        failures.labels(side, kind).inc()
        if self._first((side, kind, address.rpartition(":")[0])):
            said = f"{type(error).__name__}: {error}"[:SUBJECT_MAX]
            tell("failed", side=side, kind=kind, address=address, error=said)

    def _first(self, peer: object) -> bool:
        """Return True if the log has not named *peer* yet, and has room for it."""
        if peer in self._named or len(self._named) >= NAMED_MAX:
            return False
        self._named.add(peer)
        if len(self._named) == NAMED_MAX:
            tell("no more peers are named until a reload", level=logging.WARNING)
        return True

    def forget(self) -> None:
        """Name everybody anew: the policies have changed."""
        self._named.clear()


def subject_of(certificate: bytes | None) -> str | None:
    """Return the subject of a DER certificate as RFC 4514 writes it, cut."""
    if certificate is None:
        return None
    try:
        subject = x509.load_der_x509_certificate(certificate).subject
        return subject.rfc4514_string()[:SUBJECT_MAX]
    except ValueError:  # OpenSSL reads more than the library does
        return None
