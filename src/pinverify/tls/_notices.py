"""Notices of peers that are accepted although their pins do not match.

A rule in report mode, or an expired one, can accept a peer and keep the reason. Such
reports go to the application's callback, and to the logger "pinverify" at most once a
minute for each host and policy. A notice never changes a decision, except that a
callback that raises rejects the peer.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, TypeAlias

from pinverify.policy import Reason, Report
from pinverify.tls._fork_safe import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["OnReport", "notice"]

OnReport: TypeAlias = "Callable[[Report], object]"
"""A callback of the application. Its result is ignored; if it raises, the connection
is rejected."""

_logger = logging.getLogger("pinverify")

_PERIOD = 60.0  # seconds
_HOSTS_MAX = 1024  # hosts remembered; the oldest is forgotten

_UNMET = frozenset(Reason) - {Reason.MATCH, Reason.NOT_PINNED}


def notice(
    report: Report, on_report: OnReport | None, *, nameless: bool = False
) -> None:
    """Report a peer that is accepted although its pins do not match.

    Args:
        report: an acceptance.
        on_report: the callback.
        nameless: True if the peer has no pins because it has no name.
    """
    if report.reason not in _UNMET and not nameless:
        return
    if on_report is not None:
        on_report(report)
    held_back = _log.admit((report.host, report.digest), time.monotonic())
    if held_back is not None:
        _logger.warning(
            "accepted without a match: %s of %s, rule %r, chain %s, policy %s%s",
            report.reason.name,
            report.host or "a peer",
            report.rule,
            " ".join(map(str, report.chain)),
            report.digest.hex()[:16],
            f" ({held_back} more held back)" if held_back else "",
        )


_logging = ForkSafeLock()


class _Log:
    """Rate limit: the time each host was logged, and the number held back since."""

    def __init__(self) -> None:
        self._entries: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def admit(self, key: object, now: float) -> int | None:
        """Return the number held back since the last one; None holds this one back."""
        with _logging.lock:
            last, held_back = self._entries.get(key, (now - _PERIOD, 0))
            if now - last < _PERIOD:
                self._entries[key] = (last, held_back + 1)
                return None
            self._entries[key] = (now, 0)
            self._entries.move_to_end(key)
            if len(self._entries) > _HOSTS_MAX:
                self._entries.popitem(last=False)
            return held_back


_log = _Log()
