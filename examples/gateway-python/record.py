"""Logs and counters of the gateway: every refusal can be seen, and none floods the log.

Every decision is counted, by side, reason and mode. A peer that is refused, or would be
in report mode, is named in the log once for each pair of policies, however often it
comes back. So the log of a roll-out is the list of those who are not pinned yet.
"""
# ruff: noqa: INP001 - part of a script, in no package

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from cryptography import x509

if TYPE_CHECKING:
    import pinverify

__all__ = ["JSONLines", "Record", "tell"]

NAMED_MAX = 10_000  # a stranger can have a new key each time: memory is bounded
SUBJECT_MAX = 200  # characters of a text that the peer has chosen
REQUEST_MAX = 8192  # bytes of a request for metrics
REQUEST_SECONDS = 5.0

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
    """Counters of one process, and the peers that its log has named.

    Attributes:
        open: the connections of clients that are open.
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.open = 0
        self._decisions: Counter[tuple[str, str, str]] = Counter()
        self._failures: Counter[tuple[str, str]] = Counter()
        self._named: set[object] = set()

    def decided(self, report: pinverify.Report, address: str) -> None:
        """Count a decision; name the peer if its pins do not match.

        Args:
            report: the decision.
            address: the peer's, which a report of asyncio does not have.
        """
        reason = report.reason.name
        self._decisions[report.side or "unknown", reason, report.mode] += 1
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
        self._failures[side, kind] += 1
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

    def text(self) -> str:
        """Return the counters in Prometheus' text format, version 0.0.4."""
        lines = ["# TYPE gateway_decisions_total counter"]
        for (side, reason, mode), count in sorted(self._decisions.items()):
            labels = f'side="{side}",reason="{reason}",mode="{mode}"'
            lines.append(f"gateway_decisions_total{{{labels}}} {count}")
        lines.append("# TYPE gateway_failures_total counter")
        for (side, kind), count in sorted(self._failures.items()):
            labels = f'side="{side}",kind="{kind}"'
            lines.append(f"gateway_failures_total{{{labels}}} {count}")
        lines += ["# TYPE gateway_open_connections gauge"]
        lines += [f"gateway_open_connections {self.open}", ""]
        return "\n".join(lines)

    async def answer(self, reader: Any, writer: Any) -> None:  # noqa: ANN401 - streams
        """Answer a request for metrics, whatever its path, and close."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, ValueError):
            async with asyncio.timeout(REQUEST_SECONDS):  # its error is an OSError
                await reader.readuntil(b"\r\n\r\n")
                body = self.text().encode("ascii")
                head = (
                    "HTTP/1.1 200 OK\r\nConnection: close\r\n"
                    "Content-Type: text/plain; version=0.0.4\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode("ascii") + body)
                await writer.drain()
        writer.close()


def subject_of(certificate: bytes | None) -> str | None:
    """Return the subject of a DER certificate as RFC 4514 writes it, cut."""
    if certificate is None:
        return None
    try:
        subject = x509.load_der_x509_certificate(certificate).subject
        return subject.rfc4514_string()[:SUBJECT_MAX]
    except ValueError:  # OpenSSL reads more than the library does
        return None
