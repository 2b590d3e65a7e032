"""Counts of decisions in this process: by side, reason, mode, outcome, and rule.

One increment a connection, where its verdict is final: what looks at a peer earlier, or
explains, counts nothing. They belong to the process, so replacing a policy, or a
context that nobody needs any more, changes none. A forked process begins at zero.

A count is a list of one number. While no rule has to be looked up, an increment is a
look-up of the name in the cells of `InForce`, and an addition in which CPython gives
no other thread a turn: there is no lock that Ctrl-C or a fork could leave locked.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pinverify.core._hosts import canonical
from pinverify.errors import PolicyError
from pinverify.policy import Reason
from pinverify.policy._report import MODES

if TYPE_CHECKING:
    from pinverify.core._policies import OpenPolicy
    from pinverify.policy import Report

__all__ = ["OTHERS", "Cell", "Counted", "cell_of", "cell_of_name", "count", "counts"]

_RULES_MAX = 10_000
_NAMES_MAX = 10_000  # remembered for one policy
OTHERS = "(others)"
"""Stands for the rules beyond the first 10,000 that decided."""

Cell: TypeAlias = list[int]
"""A count: a list of one number."""


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
    """Return the count of the decisions that are like one."""
    side, mode = report.side or "", report.mode
    reason, accepted = report.reason.name, report.accepted
    return _cell(Counted(side, report.rule or "", reason, mode, accepted))


def cell_of_name(
    cells: dict[object, Cell], handle: OpenPolicy, name: bytes, *, is_client: bool
) -> Cell:
    """Return the count of acceptances with nothing to report, and remember it.

    Whether such a one is a match, or of a host without pins, is a matter of its rule.

    Args:
        cells: of the policy: by name, or for peers without one by their side.
        handle: of the policy.
        name: as the core was asked, and accepted.
        is_client: the side of the peer.
    """
    rule, pinset = "", 0 if handle.has_clients else None
    if name and not handle.ignores_hosts:
        pinset = None
        try:
            index = handle.find(canonical(name))
        except PolicyError:  # never accepted
            index = None
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
