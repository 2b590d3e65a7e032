"""Everything that an audit has seen, in memory that does not grow with the rows."""

from __future__ import annotations

import base64
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.policy import PinSet, Reason
from pinverify.review._certificates import validity_texts

if TYPE_CHECKING:
    from pinverify.policy import Pin, Policy, Rules

__all__ = [
    "UNREADABLE",
    "Finding",
    "HostSeen",
    "PinSeen",
    "Spans",
    "Summary",
    "as_json",
    "counted",
    "day",
    "pin_text",
]

UNREADABLE = "UNREADABLE_NAMES"
"""The reason of a finding whose certificate has unreadable names."""

HOSTS_MAX = 10_000
KEYS_MAX = 10
FAULTS_MAX = 1000


class Finding(NamedTuple):
    """A certificate that is malformed, or that no pin of its host matches.

    Attributes:
        source: the file.
        row: the number of its row in the file, counted from 0.
        leaf_index: its number in a log; None if it comes from no log.
        host: the first of the hosts whose pins do not match it; None if there is no
            host.
        other_hosts: the other hosts whose pins do not match it.
        reason: the name of a `Reason`, or `UNREADABLE`.
        accepted: True if it is accepted all the same, since the rule is in report mode
            or expired.
        rule: the pattern that decided; None if there is no rule.
        key: SHA-256 of its SubjectPublicKeyInfo, 32 bytes; None if it is malformed.
        validity: notBefore and notAfter as YYYYMMDDHHMMSSZ; None if unreadable.
    """

    source: str
    row: int
    leaf_index: int | None
    host: str | None
    other_hosts: tuple[str, ...]
    reason: str
    accepted: bool
    rule: str | None
    key: bytes | None
    validity: tuple[str, str] | None


class Spans:
    """The numbers of certificates that are valid in each month."""

    __slots__ = ("_changes", "num")

    def __init__(self) -> None:
        self._changes: Counter[int] = Counter()
        self.num = 0

    def add(self, validity: tuple[str, str] | None) -> None:
        """Count a certificate."""
        if validity is not None:
            start, end = map(month_of, validity)
            if start <= end:
                self.num += 1
                self._changes[start] += 1
                self._changes[end + 1] -= 1

    def steps(self) -> list[tuple[int, int]]:
        """Return each month (since year 0) that changes the number, and the number."""
        steps, num = [], 0
        for month, change in sorted(self._changes.items()):
            num += change
            if change:
                steps.append((month, num))
        return steps


def month_of(text: str) -> int:
    """Return the months since year 0 of YYYYMM…."""
    return 12 * int(text[:4]) + min(max(int(text[4:6]), 1), 12) - 1


@dataclass(slots=True)
class PinSeen:
    """A pin of the policy, and the accepted certificates that match it."""

    pin: Pin
    patterns: list[str] = field(default_factory=list)
    only_ca: bool = True
    num: int = 0
    first_end: str | None = None
    last_end: str | None = None
    spans: Spans = field(default_factory=Spans)

    def add(self, validity: tuple[str, str] | None) -> None:
        """Count a certificate."""
        self.num += 1
        self.spans.add(validity)
        if validity is not None:
            end = validity[1]
            if self.first_end is None or end < self.first_end:
                self.first_end = end
            if self.last_end is None or end > self.last_end:
                self.last_end = end


@dataclass(slots=True)
class KeySeen:
    """A key outside of the pins: how many certificates, and where the first is."""

    source: str
    row: int
    num: int = 0


@dataclass(slots=True)
class HostSeen:
    """A host with certificates whose keys are outside of its pins.

    If a host has very many keys, only the first are kept.
    """

    num: int = 0
    keys: dict[bytes, KeySeen] = field(default_factory=dict)
    more: int = 0
    spans: Spans = field(default_factory=Spans)

    def add(self, found: Finding) -> None:
        """Count a certificate."""
        self.num += 1
        self.spans.add(found.validity)
        key = found.key or b""
        if key not in self.keys and len(self.keys) == KEYS_MAX:
            self.more += 1
        else:
            seen = self.keys.setdefault(key, KeySeen(found.source, found.row))
            seen.num += 1


class Summary:
    """The counts of an audit.

    Attributes:
        rows: all rows that were read.
        nulls: rows without a certificate, or with a null as host.
        malformed: certificates that are not strict DER.
        first_malformed: the source and the row of the first of them, or None.
        no_rule: certificates of hosts without pins, which the policy accepts.
        accepted: certificates that match.
        unmatched: certificates that are accepted without a match, by reason.
        rejected: certificates that are rejected, by reason.
        pins: the pins of the policy by digest, without blocked ones.
        hosts: hosts with keys outside of their pins; only the first are kept.
        more_hosts: the number of certificates of such hosts that are not kept.
        faults: parts of the input that could not be read; only the first are kept.
        num_faults: the number of all faults.
        left_out: files in folders that are neither certificates nor tables nor tiles.
    """

    def __init__(self, rules: Rules) -> None:
        self.rows = self.nulls = self.malformed = 0
        self.first_malformed: tuple[str, int] | None = None
        self.no_rule = self.accepted = self.left_out = 0
        self.unmatched: Counter[str] = Counter()
        self.rejected: Counter[str] = Counter()
        self.pins = _pins_of(rules)
        self.hosts: dict[str, HostSeen] = {}
        self.more_hosts = 0
        self.faults: list[str] = []
        self.num_faults = 0

    def add_match(self, digest: bytes, key: bytes, der: bytes) -> None:
        """Count a certificate that matches.

        Args:
            digest: the pin that matched.
            key: the SPKI digest of the certificate.
            der: the certificate.
        """
        self.accepted += 1
        validity = validity_texts(der)
        for one in {digest, key}:  # a pin in another list may match as well
            if (seen := self.pins.get(one)) is not None:
                seen.add(validity)

    def add_finding(self, found: Finding) -> None:
        """Count a certificate that is malformed or does not match."""
        if found.reason == Reason.MALFORMED.name:
            self.malformed += 1
            self.first_malformed = self.first_malformed or (found.source, found.row)
            return
        (self.unmatched if found.accepted else self.rejected)[found.reason] += 1
        for host in (found.host or "", *found.other_hosts):
            if host not in self.hosts and len(self.hosts) == HOSTS_MAX:
                self.more_hosts += 1
            else:
                self.hosts.setdefault(host, HostSeen()).add(found)

    def add_fault(self, text: str) -> None:
        """Keep a fault, unless there are very many."""
        self.num_faults += 1
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(text)


def _pins_of(rules: Rules) -> dict[bytes, PinSeen]:
    named = {name: one for name, one in rules.hosts.items() if isinstance(one, PinSet)}
    if rules.clients is not None:
        named["clients"] = rules.clients
    found: dict[bytes, PinSeen] = {}
    for pattern, pinset in named.items():
        for name in ("pins", "leaf", "ca"):
            for pin in getattr(pinset, name):
                seen = found.setdefault(pin.digest, PinSeen(pin))
                seen.only_ca &= name == "ca"
                if pattern not in seen.patterns:
                    seen.patterns.append(pattern)
    order = sorted(found.items(), key=lambda item: (item[1].patterns, item[1].pin))
    return dict(order)


# ---- for programs, and words for people --------------------------------------


def as_json(summary: Summary, policy: Policy) -> dict[str, Any]:
    """Return the summary as JSON values."""
    return {
        "digest": policy.digest.hex(),
        "complete": summary.num_faults == 0,
        "rows": summary.rows,
        "null": summary.nulls,
        "malformed": summary.malformed,
        "first_malformed": _place(summary.first_malformed),
        "no_rule": summary.no_rule,
        "accepted": summary.accepted,
        "unmatched": dict(sorted(summary.unmatched.items())),
        "rejected": dict(sorted(summary.rejected.items())),
        "outside": [_host(host, seen) for host, seen in summary.hosts.items()],
        "more_outside": summary.more_hosts,
        "pins": [_pin(seen) for seen in summary.pins.values()],
        "never_seen": [
            str(seen.pin)
            for seen in summary.pins.values()
            if not (seen.num or seen.only_ca)
        ],
        "left_out": summary.left_out,
        "faults": summary.faults,
        "more_faults": summary.num_faults - len(summary.faults),
    }


def _place(first: tuple[str, int] | None) -> dict[str, Any] | None:
    return None if first is None else {"source": first[0], "row": first[1]}


def _host(host: str, seen: HostSeen) -> dict[str, Any]:
    keys = [
        {
            "pin": pin_text(key),
            "certificates": one.num,
            "source": one.source,
            "row": one.row,
        }
        for key, one in seen.keys.items()
    ]
    return {
        "host": host or None,
        "certificates": seen.num,
        "keys": keys,
        "under_more_keys": seen.more,
    }


def _pin(seen: PinSeen) -> dict[str, Any]:
    return {
        "pin": str(seen.pin),
        "rules": seen.patterns,
        "certificates": seen.num,
        "first_end": None if seen.first_end is None else day(seen.first_end),
        "last_end": None if seen.last_end is None else day(seen.last_end),
    }


def pin_text(key: bytes) -> str:
    """Return the pin of a key with this digest."""
    return "sha256/" + base64.b64encode(key).decode("ascii")


def day(text: str) -> str:
    """Return the day of YYYYMMDDHHMMSSZ, as people read it."""
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}"


def counted(num: int, thing: str = "certificate") -> str:
    """Return a number and a noun."""
    return f"{num:,} {thing}{'' if num == 1 else 's'}"
