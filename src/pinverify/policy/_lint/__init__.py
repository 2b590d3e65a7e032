"""Lint: mistakes in rules that are allowed, and that lock out or pin nothing.

    finding    the answer                 digests, names   facts about values
    table      a row for each code        of_rules         a function for each row

`lint` looks at rules as they are after reading: a reader has told the mistakes of the
file before. No finding changes a decision.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.policy._lint.finding import CLIENTS, LEVELS, POLICY, Finding, Level
from pinverify.policy._lint.of_rules import each_rule
from pinverify.policy._lint.table import CHECKS, Check
from pinverify.policy._rules import Rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.policy._lint.of_rules import Rule

__all__ = ["CHECKS", "CLIENTS", "LEVELS", "POLICY", "Check", "Finding", "Level", "lint"]


def lint(rules: Rules, *, now: dt.datetime | None = None) -> list[Finding]:
    """Return the mistakes in rules, the worst first.

    Args:
        rules: of a policy they are ``policy.rules``.
        now: the current time, timezone-aware; None reads the clock.

    Raises:
        TypeError: *rules* are not `Rules`, or *now* is no datetime.
        PolicyError: *now* has no timezone.
    """
    if not isinstance(rules, Rules):
        msg = f"expected Rules, got {type(rules).__name__}; of a Policy give its rules"
        raise TypeError(msg)
    moment = _moment(now)
    found = [finding for rule in each_rule(rules, moment) for finding in _of(rule)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


_OF_RULES = [(row, row.of_rule) for row in CHECKS.values() if row.of_rule]


def _of(rule: Rule) -> Iterator[Finding]:
    for row, of_rule in _OF_RULES:
        for text in of_rule(rule):
            place = rule.rules.origins.get(rule.pattern, "")
            yield Finding(row.code, row.level, rule.pattern, place, text)


def _moment(now: dt.datetime | None) -> dt.datetime:
    if now is None:
        return dt.datetime.now(dt.UTC)
    if not isinstance(now, dt.datetime):
        msg = f"now: expected a datetime with a timezone, got {now!r}"
        raise TypeError(msg)
    if now.utcoffset() is None:
        msg = f"now: expected a datetime with a timezone, got {now!r}"
        raise PolicyError(msg)
    return now
