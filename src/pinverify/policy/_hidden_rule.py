"""The rule that would have matched, had a narrower one not decided alone.

Other systems unite rules, and people expect it of all. A compiled policy finds the rule
of a host, and no rule by its pattern; so it is asked about made-up hosts beside the
real one, about which the narrower rule has no say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.policy._hosts import canonical, covering
from pinverify.policy._report import Reason, Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.core._open_policy import OpenPolicy

__all__ = ["hidden_rule"]

_LEVELS = 8  # names above the host that are tried
_LABEL = "pinverify-asks"


def hidden_rule(
    report: Report, chain: Sequence[bytes], handle: OpenPolicy, now: int
) -> str:
    """Return the pattern of a wider rule whose pins match; empty if there is none.

    Args:
        report: a mismatch.
        chain: the DER certificates that were judged, leaf first.
        handle: the policy.
        now: the moment of the decision, in seconds since 1970.
    """
    if report.host is None or report.rule is None:
        return ""
    wider = set(covering(canonical(report.host))) - {report.rule}
    for host in _hosts_beside(report.host):
        raw, spkis = handle.evaluate(host.encode("ascii"), chain, now)
        other = Report(raw, spkis, host, handle.digest)
        if other.reason is Reason.MATCH and other.rule in wider:
            return str(other.rule)
    return ""


def _hosts_beside(host: str) -> Iterator[str]:
    """Yield hosts with one and with two labels before each name above a host.

    The first kind is decided by a rule for ``*.`` and the name, if there is one; the
    second by one for ``**.`` and the name, or a wider one. A host that is too long is
    rejected, and matches nothing.
    """
    name = host
    for _ in range(_LEVELS):
        yield f"{_LABEL}.{name}"
        yield f"{_LABEL}.{_LABEL}.{name}"
        _, _, name = name.partition(".")
        if not name:
            return
