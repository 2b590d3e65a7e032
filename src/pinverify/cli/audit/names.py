"""The names of certificates that have a rule, found without reading most of them.

A name lies in one piece in its certificate, in upper or lower case. So a certificate
that has nowhere the last two labels of any pattern has no name that a rule is for, and
a search for bytes finds the others. What is found need not be a name: then the
certificate is read for nothing.
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
        needles = set()
        for pattern, value in rules.hosts.items():
            wildcard, name = split_pattern(pattern)
            if isinstance(value, PinSet):
                needles.add(_needle(name))
            if not wildcard and not is_address(name):
                self._below.setdefault(name.partition(".")[2], []).append(name)
        self._needles = needles if len(needles) <= _NEEDLES_MAX else None
        # A host that was scanned again and again shows the same certificate.
        self.of = functools.lru_cache(_KEPT_MAX)(self._of)

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
        label = "x"
        while f"{label}.{host}" in self._pinned:
            label += "x"
        if self._is_pinned(f"{label}.{host}"):
            yield Judged(f"*.{host}", f"{label}.{host}")

    def _is_pinned(self, host: str) -> bool:
        """Return True if the rule that decides about a host has pins."""
        found = (self._pinned[p] for p in covering(host) if p in self._pinned)
        return isinstance(next(found, None), PinSet)


def _needle(name: str) -> bytes:
    """Return bytes that a certificate for a name has, in lower case."""
    if is_address(name):
        return ipaddress.ip_address(name).packed.lower()
    return ".".join(name.split(".")[-_LABELS:]).encode("ascii")


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
