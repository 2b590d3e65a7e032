"""The decision about each certificate of a batch, as a leaf without its chain.

Names that have a rule are found without reading most certificates. A certificate
contains each of its names in one piece, in upper or lower case. So a certificate with a
name that has a rule contains the last two labels of a pattern, and is found by a search
for these bytes. There is one exception: a certificate for `*.com` covers `example.com`
without these labels, so `*.com` is searched for, too. If a hit is not in a name, the
certificate is read for nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import time
import warnings
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from pinverify.audit._rows import is_valid, text_of
from pinverify.audit._summary import UNREADABLE, Finding
from pinverify.core._hosts import canonical, is_address, split_pattern
from pinverify.core._keys import DIGEST_LEN, Column, hash_keys
from pinverify.core._peers import ColumnOfChains, Hosts
from pinverify.errors import PolicyError
from pinverify.policy import PinSet, Reason
from pinverify.policy._policy import evaluate_at, handle_of
from pinverify.review._certificates import validity_texts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.arrow._read import Rows
    from pinverify.audit._rows import Batch
    from pinverify.audit._summary import Summary
    from pinverify.policy import Policy, Rules

__all__ = ["Judge", "Judged", "Names"]

# A search for one domain takes about a thirtieth of the time of reading the names.
_NEEDLES_MAX = 32
_LABELS = 2
_KEPT_MAX = 256


class Judged(NamedTuple):
    """A name of a certificate that has a rule.

    Attributes:
        shown: the text for people, which is the name, or the host of the policy that
            the name covers.
        host: the host to look up.
    """

    shown: str
    host: str


class Names:
    """The hosts of a policy, and how certificates name them.

    Attributes:
        of: returns the names of a certificate that have a rule; None if they are
            unreadable. The reader is strict: what it cannot read, a TLS library might.
    """

    def __init__(self, rules: Rules) -> None:
        """Find the domains to search for."""
        self._rules = rules
        self._below: dict[str, list[str]] = {}
        needles: set[bytes] = set()
        for pattern, value in rules.hosts.items():
            wildcard, name = split_pattern(pattern)
            if isinstance(value, PinSet):
                needles.update(_needles(wildcard, name))
            if wildcard != "*." and not is_address(name):
                self._below.setdefault(name.partition(".")[2], []).append(name)
        self._needles = needles if len(needles) <= _NEEDLES_MAX else None
        # A host that is scanned again and again shows the same certificate.
        self.of = functools.lru_cache(_KEPT_MAX)(self._of)

    def stranger(self) -> str:
        """Return a host that no rule is for."""
        host = "x"
        while self._rules.deciding(host) is not None:
            host += "x"
        return host

    def candidates(self, certs: Column) -> Iterator[int]:
        """Yield the rows that may have a name with a rule, in order."""
        if self._needles is None:
            yield from range(certs.num)
            return
        at = certs.positions.view
        start = at[0]
        data = bytes(certs.data[start : at[-1]]).lower()
        found = set()
        for needle in self._needles:
            place = data.find(needle)
            while place >= 0:
                row = bisect_right(at, start + place) - 1
                found.add(row)  # a hit across two rows does no harm
                place = data.find(needle, at[row + 1] - start)
        yield from sorted(found)

    def _of(self, der: bytes) -> tuple[Judged, ...] | None:
        """Read the names of a certificate."""
        names = _san(der)
        if names is None:
            return None
        judged: dict[Judged, None] = {}
        for name in names:
            for one in self._with_rule(name):
                judged[one] = None
        return tuple(judged)

    def _with_rule(self, name: str) -> Iterator[Judged]:
        # Some libraries have read a name only up to a NUL (CVE-2009-2408).
        name = name.partition("\0")[0]
        wildcard, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
        try:
            host = canonical(rest)
        except PolicyError:  # no host has this name, so no rule is for it
            return
        if not wildcard:
            if self._is_pinned(host):
                yield Judged(host, host)
            return
        for one in self._below.get(host, ()):
            if self._is_pinned(one):
                yield Judged(one, one)
        # Also any other host that the wildcard covers: wildcards of rules may cover it.
        other = f"x.{host}"
        hosts = self._rules.hosts
        while other in hosts or f"**.{other}" in hosts:
            other = f"x{other}"
        if self._is_pinned(other):
            yield Judged(f"*.{host}", other)

    def _is_pinned(self, host: str) -> bool:
        """Return True if the rule that decides about a host has pins."""
        found = self._rules.deciding(host)
        return found is not None and isinstance(found[1], PinSet)


def _needles(wildcard: str, name: str) -> Iterator[bytes]:
    """Yield byte strings in lower case; a certificate for a pattern contains one."""
    if is_address(name):
        yield ipaddress.ip_address(name).packed.lower()
        return
    labels = name.split(".")
    yield ".".join(labels[-_LABELS:]).encode("ascii")
    if wildcard != "*." and len(labels) == _LABELS:
        yield f"*.{labels[1]}".encode("ascii")


def _san(der: bytes) -> list[str] | None:
    """Return the names and addresses of subjectAltName (RFC 5280, 4.2.1.6)."""
    from cryptography import x509

    try:
        with warnings.catch_warnings(action="ignore"):
            extensions = x509.load_der_x509_certificate(der).extensions
            kind = x509.SubjectAlternativeName
            names = extensions.get_extension_for_class(kind).value
        addresses = names.get_values_for_type(x509.IPAddress)
        return [*names.get_values_for_type(x509.DNSName), *map(str, addresses)]
    except x509.ExtensionNotFound:
        return []
    except (
        ValueError,
        TypeError,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ):
        return None


# ---- decisions ---------------------------------------------------------------


class _Keys(NamedTuple):
    """The keys of a batch: digests, and a status that is not 0 if malformed."""

    digests: bytearray
    statuses: bytearray

    def of(self, i: int) -> bytes | None:
        """Return the digest of key *i*; None if its certificate is malformed."""
        if self.statuses[i]:
            return None
        return bytes(self.digests[DIGEST_LEN * i : DIGEST_LEN * (i + 1)])


class Judge:
    """A policy that judges batches, at one moment, and counts what it finds."""

    def __init__(self, policy: Policy, rules: Rules, summary: Summary) -> None:
        """Prepare to judge; *rules* are those of the policy."""
        self._policy = policy
        self._handle = handle_of(policy)
        self._names = Names(rules)
        self._patterns = [self._handle.rule(i)[0] for i in range(len(rules.hosts))]
        # A key that is blocked for all hosts is rejected for any name.
        self._stranger = self._names.stranger().encode() if rules.blocked else None
        self._summary = summary
        self._now = int(time.time())

    def findings(self, batch: Batch) -> Iterator[Finding]:
        """Judge and count a batch, and yield the findings."""
        certs = batch.certs
        self._summary.rows += certs.num
        keys = _Keys(*hash_keys(certs.num, [(0, certs.strings)]))
        if batch.hosts is None and not self._handle.ignores_hosts:
            found = self._by_names(batch, keys)
        else:
            found = self._by_hosts(batch, keys)
        for one in found:
            self._summary.add_finding(one)
            yield one

    def _by_hosts(self, batch: Batch, keys: _Keys) -> Iterator[Finding]:
        """Judge rows that each have a host, or are those of clients."""
        summary, certs, hosts = self._summary, batch.certs, batch.hosts
        clients = self._handle.ignores_hosts
        names = Hosts(None, None, bytes)
        valid = certs.valid
        if hosts is not None and not clients:
            names = Hosts.of_column(hosts.strings, hosts.kept)
            valid &= hosts.valid
        peers = ColumnOfChains(certs.strings, None, certs.kept)
        answers = self._handle.evaluate_many(names, peers, self._now, with_keys=False)
        reasons, statuses = answers.reasons, keys.statuses
        rules = memoryview(answers.rules).cast("I")
        summary.nulls += certs.num - valid.bit_count()
        all_valid = valid.bit_count() == certs.num
        for i in range(certs.num):
            if not (all_valid or valid >> i & 1):
                continue
            accepted = answers.accepted[i >> 3] >> (i & 7) & 1 == 1
            reason = reasons[i]
            if statuses[i]:
                reason, accepted = Reason.MALFORMED, False
            elif accepted and reason == Reason.NOT_PINNED:
                summary.no_rule += 1
                continue
            elif reason == Reason.MATCH:
                digest = bytes(answers.matched[DIGEST_LEN * i : DIGEST_LEN * (i + 1)])
                summary.add_match(digest, keys.of(i) or b"", certs.strings.item(i))
                continue
            host = None
            if hosts is not None and is_valid(hosts, i):
                host = text_of(hosts, i)
            rule = None
            if rules[i] < len(self._patterns):
                rule = self._patterns[rules[i]]
            elif clients:
                rule = "clients"
            found = _Decided(Reason(reason).name, accepted, rule)
            yield _finding(batch, i, keys, [host] if host is not None else [], found)

    def _by_names(self, batch: Batch, keys: _Keys) -> Iterator[Finding]:
        """Judge certificates by those of their names that have a rule."""
        certs = batch.certs
        num_valid = certs.valid.bit_count()
        self._summary.nulls += certs.num - num_valid
        num_told = 0
        decided = self._by_keys(certs, keys)
        for i in self._names.candidates(certs.strings):
            if keys.statuses[i] or not is_valid(certs, i):
                continue
            names = self._names.of(certs.strings.item(i))
            if names != ():
                num_told += 1
                decided.pop(i, None)
            if names is None:
                yield _finding(batch, i, keys, [], _Decided(UNREADABLE))
            elif names:
                yield from self._by_some_names(batch, i, keys, names)
        for i, reason in sorted(decided.items()):
            yield _finding(batch, i, keys, [], _Decided(reason.name))
        self._summary.no_rule += num_valid - num_told - len(decided)

    def _by_some_names(
        self, batch: Batch, i: int, keys: _Keys, names: Sequence[Judged]
    ) -> Iterator[Finding]:
        """Judge one certificate by names that have a rule."""
        der = batch.certs.strings.item(i)
        reports = [
            (one.shown, evaluate_at(self._policy, one.host, [der], self._now))
            for one in names
        ]
        wrong = [(n, r) for n, r in reports if r.reason is not Reason.MATCH]
        # Rejections first: they say more than what report mode accepts.
        wrong.sort(key=lambda one: one[1].accepted)
        if wrong:
            report = wrong[0][1]
            found = _Decided(report.reason.name, report.accepted, report.rule)
            yield _finding(batch, i, keys, [name for name, _ in wrong], found)
        elif (pin := reports[0][1].matched) is not None:
            self._summary.add_match(pin.digest, keys.of(i) or b"", der)

    def _by_keys(self, certs: Rows, keys: _Keys) -> dict[int, Reason]:
        """Return the rows that are rejected whatever their names are."""
        found = {}
        if any(keys.statuses):
            found = {i: Reason.MALFORMED for i, s in enumerate(keys.statuses) if s}
        if self._stranger is not None:
            names = Hosts.of_column(Column.of_list([self._stranger] * certs.num), None)
            peers = ColumnOfChains(certs.strings, None, certs.kept)
            answers = self._handle.evaluate_many(
                names, peers, self._now, with_keys=False
            )
            for i, one in enumerate(answers.reasons):
                if one == Reason.BLOCKED:
                    found[i] = Reason.BLOCKED
        return {i: reason for i, reason in found.items() if is_valid(certs, i)}


class _Decided(NamedTuple):
    reason: str
    accepted: bool = False
    rule: str | None = None


def _finding(
    batch: Batch, i: int, keys: _Keys, hosts: list[str], decided: _Decided
) -> Finding:
    return Finding(
        source=batch.source,
        row=batch.first + i,
        leaf_index=None if batch.indices is None else batch.indices[i],
        host=hosts[0] if hosts else None,
        other_hosts=tuple(hosts[1:]),
        reason=decided.reason,
        accepted=decided.accepted,
        rule=decided.rule,
        key=keys.of(i),
        validity=validity_texts(batch.certs.strings.item(i)),
    )
