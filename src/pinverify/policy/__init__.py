"""Policies: the rules that a person writes, and the decision about a peer.

rules ──► compiled policy ──► decision ──► report ──► PinningError
Rules     bytes               Policy       Report
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily

if TYPE_CHECKING:
    from pinverify.policy._certs_and_pins import Pin, PinKind
    from pinverify.policy._pinning_error import PinningError, find_pinning_error
    from pinverify.policy._policy import Policy
    from pinverify.policy._report import Mode, Reason, Report, Side
    from pinverify.policy._report_columns import Reports
    from pinverify.policy._rules import UNPINNED, Pins, PinSet, Rules, Unpinned

__all__ = [
    "UNPINNED",
    "Mode",
    "Pin",
    "PinKind",
    "PinSet",
    "PinningError",
    "Pins",
    "Policy",
    "Reason",
    "Report",
    "Reports",
    "Rules",
    "Side",
    "Unpinned",
    "find_pinning_error",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_certs_and_pins": "Pin PinKind",
            "_policy": "Policy",
            "_pinning_error": "PinningError find_pinning_error",
            "_report": "Mode Reason Report Side",
            "_report_columns": "Reports",
            "_rules": "UNPINNED Pins PinSet Rules Unpinned",
        },
    )
