"""Lint: mistakes in valid rules that lock clients out, or that pin nothing.

    table      a row for each code        names, operators   facts about values
    of_rules   a check for each mistake   of_chains          checks of certificates

`files._lint_at_load` has the checks whose findings are reported when a policy is
loaded.

`lint` looks at rules as they are after reading: a reader has already reported the
mistakes in the file. No finding changes a decision.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias

from pinverify.core._hosts import canonical
from pinverify.files import _lint_at_load
from pinverify.files._lint_at_load import (
    CLIENTS,
    LEVELS,
    POLICY,
    Check,
    Finding,
    Level,
    placed,
)
from pinverify.policy._rules import PinSet, check_rules, checked_moment
from pinverify.review._lint.of_chains import Authorities, found_at_server, served
from pinverify.review._lint.of_rules import each_rule
from pinverify.review._lint.table import CHECKS, OF_READERS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Sequence

    from pinverify.files._lint_at_load import Rule
    from pinverify.policy._rules import Rules
    from pinverify.review._lint.of_chains import Served

__all__ = [
    "CHECKS",
    "CLIENTS",
    "LEVELS",
    "OF_READERS",
    "POLICY",
    "Check",
    "Finding",
    "Level",
    "each_rule",
    "lint",
    "placed",
    "serious",
]


def lint(
    rules: Rules,
    *,
    now: dt.datetime | None = None,
    chains: Mapping[str, Sequence[bytes]] = MappingProxyType({}),
    authorities: Sequence[bytes] = (),
) -> list[Finding]:
    """Return the mistakes in rules, the worst first.

    Args:
        rules: the rules; those of a policy are ``policy.rules``.
        now: the current time, timezone-aware; None reads the clock.
        chains: for each host that was asked, the chain that the TLS library verified,
            as DER certificates, leaf first.
        authorities: DER certificates of authorities, such as those that are trusted.

    Raises:
        TypeError: an argument has the wrong type.
        PolicyError: *now* has no timezone, or a name in *chains* is not a host.
    """
    check_rules(rules)
    moment = checked_moment(now)
    if not isinstance(chains, Mapping):
        msg = (
            f"chains are a mapping of hosts to chains, got {type(chains).__name__}; "
            "write {'api.example.com': [leaf, issuer]}"
        )
        raise TypeError(msg)
    known = Authorities(authorities)
    found: list[Finding] = []
    for host, chain in chains.items():
        found += _of_server(served(rules, canonical(host), chain, moment), known, rules)
    told = {_subject(one) for one in found}  # with its place in a chain
    for rule in each_rule(rules, moment):
        found += [
            one
            for one in _of(rule, _asked(rule.traits), known)
            if _subject(one) not in told
        ]
    return _worst_first(found)


serious = functools.partial(
    _lint_at_load.serious, checks=tuple(CHECKS.values()), look=each_rule
)
"""Return the errors and warnings of all checks about a file."""


def _worst_first(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def _subject(finding: Finding) -> tuple[str, str, str]:
    """Return the mistake, the rule, and the beginning of the text: a list and a pin."""
    code, _, pattern, _, text = finding
    if code in _NO_BACKUP:
        return "PV204", pattern, text.partition(":")[0]
    return code, pattern, text.partition(" is ")[0]


_NO_BACKUP = {"PV204", "PV608"}  # the second says when it matters

_Rows: TypeAlias = "Sequence[tuple[str, Callable[[Rule], Iterator[str]]]]"


@functools.cache
def _asked(traits: int) -> _Rows:
    """Return the codes and checks that may find something in a rule with *traits*."""
    return [
        (row.code, row.of_rule)
        for row in CHECKS.values()
        if row.of_rule and row.needs & traits
    ]


def _of(rule: Rule, rows: _Rows, known: Authorities) -> Iterator[Finding]:
    for code, of_rule in rows:
        for text in of_rule(rule):
            yield _finding(code, rule.pattern, text, rule.rules)
    if known.certs and isinstance(rule.value, PinSet):
        for code, text in known.found(rule.value, is_in_force=rule.is_in_force):
            yield _finding(code, rule.pattern, text, rule.rules)


def _of_server(one: Served, known: Authorities, rules: Rules) -> Iterator[Finding]:
    for code, text in found_at_server(one, known.certs):
        yield _finding(code, one.pattern or one.host, text, rules)


def _finding(code: str, pattern: str, text: str, rules: Rules) -> Finding:
    return Finding(
        code, CHECKS[code].level, pattern, rules.origins.get(pattern, ""), text
    )
