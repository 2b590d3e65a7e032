"""The names of certificates that have a rule, found without reading most of them.

A name lies in one piece in its certificate, in upper or lower case. So a certificate
that has nowhere the last two labels of any pattern has no name that a rule is for, and
a search for bytes finds the others. Only `*.com` covers `example.com` without it. What
is found need not be a name: then the certificate is read for nothing.
"""

from __future__ import annotations

import functools
import ipaddress
import warnings
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import is_address
from pinverify.errors import PolicyError
from pinverify.policy import PinSet
from pinverify.policy._hosts import canonical, covering, split_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.core._columns import Column
    from pinverify.policy import Rules

__all__ = ["Judged", "Names"]

# A search for one domain takes about a thirtieth of the time of reading the names.
_NEEDLES_MAX = 32
_LABELS = 2
_KEPT_MAX = 256


class Judged(NamedTuple):
    """A name of a certificate that has a rule.

    Attributes:
        shown: for people: the name, or the one host of the policy that it covers.
        host: is looked up.
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
        self._pinned = rules.hosts
        self._below: dict[str, list[str]] = {}
        needles: set[bytes] = set()
        for pattern, value in rules.hosts.items():
            wildcard, name = split_pattern(pattern)
            if isinstance(value, PinSet):
                needles.update(_needles(wildcard, name))
            if wildcard != "*." and not is_address(name):
                self._below.setdefault(name.partition(".")[2], []).append(name)
        self._needles = needles if len(needles) <= _NEEDLES_MAX else None
        # A host that was scanned again and again shows the same certificate.
        self.of = functools.lru_cache(_KEPT_MAX)(self._of)

    def stranger(self) -> str:
        """Return a host that no rule is for."""
        host = "x"
        while any(pattern in self._pinned for pattern in covering(host)):
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
                found.add(row)  # if it reaches into the next row, it is in neither
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
        # Some libraries have read a name up to the NUL (CVE-2009-2408).
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
        # Any other host that the wildcard covers, for rules that are wildcards, too.
        other = f"x.{host}"
        while other in self._pinned or f"**.{other}" in self._pinned:
            other = f"x{other}"
        if self._is_pinned(other):
            yield Judged(f"*.{host}", other)

    def _is_pinned(self, host: str) -> bool:
        """Return True if the rule that decides about a host has pins."""
        found = (self._pinned[p] for p in covering(host) if p in self._pinned)
        return isinstance(next(found, None), PinSet)


def _needles(wildcard: str, name: str) -> Iterator[bytes]:
    """Yield bytes of which each certificate for a pattern has some, in lower case."""
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
