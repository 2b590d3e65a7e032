"""Decisions about chains and keys before they are deployed, without a handshake.

The C core decides, as in a handshake, but about a chain that nobody has verified yet,
or a key that nobody has certified. Anything that cannot be judged before verification
or certification is reported with the decision.

A key is judged as the leaf that it will be, in a certificate that is made around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import canonical, split_pattern
from pinverify.errors import PolicyError
from pinverify.policy._certs_and_pins import Pin, PinKind
from pinverify.policy._policy import Policy, check_policy, handle_of
from pinverify.policy._rules import PinSet
from pinverify.review._certificates import issuer_and_subject, names_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from pinverify.policy._report import Report
    from pinverify.policy._rules import Rules

__all__ = ["Next", "check_next", "hosts_of"]


class Next(NamedTuple):
    """The decision about what is to be deployed, for one host.

    Attributes:
        host: the host, or the wildcard of the certificate; None for a client.
        report: the decision.
        unsaid: what could not be judged, one sentence each.
    """

    host: str | None
    report: Report
    unsaid: tuple[str, ...]


Next.__module__ = "pinverify"


def check_next(  # noqa: PLR0913 - what there is, and how it is to be judged
    policy: Policy,
    chain: Sequence[bytes] = (),
    *,
    key: bytes | None = None,
    host: str | None = None,
    is_verified: bool = False,
    now: dt.datetime | None = None,
) -> list[Next]:
    """Return the decisions of a policy about a chain or a key before it is deployed.

    Args:
        policy: a policy that is in force somewhere.
        chain: DER certificates, leaf first.
        key: instead of a chain, the SubjectPublicKeyInfo of a request, in DER.
        host: a server's name; or a wildcard of a certificate, which means any name that
            the wildcard covers and that has no rule of its own. None means each host
            that the certificate names and the policy pins; or the client, if the policy
            has no rules for hosts.
        is_verified: True if the chain has been verified, up to its root. Otherwise the
            chain counts as it is, since whoever deploys it vouches for it.
        now: the time, timezone-aware; None means the current time.

    Returns:
        One decision for each host; at least one.

    Raises:
        PolicyError: *host* is not a host, or is needed and not given.
        DERError: *key* is not a SubjectPublicKeyInfo.
        TypeError: an argument has the wrong type.
    """
    check_policy(policy)
    if (key is None) == (not chain):
        msg = "give a chain, or a key: one of them"
        raise TypeError(msg)
    certs = list(chain) if key is None else [certificate_around(key)]
    rules = policy.rules
    looked_up: dict[str | None, str | None]
    if host is not None:
        looked_up = {host: _some_host(host)}
    elif handle_of(policy).ignores_hosts:
        looked_up = {None: None}
    elif key is not None:
        msg = "a key names no host: say which one it is for"
        raise PolicyError(msg, kind="host")
    else:
        looked_up = dict(hosts_of(certs[0], rules).items())
    found = []
    for shown, name in looked_up.items():
        report = policy.evaluate(name, certs, now=now)
        unsaid = _unsaid(rules, report, certs, key, is_verified)
        found.append(Next(shown, report, tuple(unsaid)))
    return found


def hosts_of(cert: bytes, rules: Rules) -> dict[str, str]:
    """Return the hosts that a certificate names and that rules pin.

    If the rules pin none of them, return all hosts that the certificate names.

    Returns:
        For each name to show, the name to look up; they differ only for a wildcard.

    Raises:
        PolicyError: the certificate names no host.
    """
    named: dict[str, str] = {}
    for name in names_of(cert):
        wildcard, suffix = split_pattern(name)
        try:
            below = canonical(suffix)
        except PolicyError:  # an e-mail address, a URI
            continue
        if not wildcard:
            named[below] = below
            continue
        named |= {
            host: host
            for shape, host in map(split_pattern, rules.hosts)
            if shape != "*." and host.partition(".")[2] == below
        }
        named[name] = _some_host(name)
    if not named:
        msg = "the certificate names no host: say which one it is for"
        raise PolicyError(msg, kind="host")
    return {
        shown: host
        for shown, host in named.items()
        if isinstance(_value(rules, host), PinSet)
    } or named


def _some_host(name: str) -> str:
    """Return the host of a name; for a wildcard, a host that has no rule of its own.

    Raises:
        PolicyError: the name is not a host.
    """
    wildcard, suffix = split_pattern(name)
    if not wildcard:
        return canonical(name)
    return f"any-name.{canonical(suffix)}"


def _value(rules: Rules, host: str) -> object:
    rule = rules.deciding(host)
    return None if rule is None else rule[1]


def _unsaid(
    rules: Rules,
    report: Report,
    certs: list[bytes],
    key: bytes | None,
    is_verified: bool,  # noqa: FBT001
) -> Iterator[str]:
    pinset = None if rules.hosts else rules.clients
    if report.rule is not None:
        found = rules.hosts[report.rule]
        pinset = found if isinstance(found, PinSet) else None
    blocked = [*rules.blocked, *(pinset.blocked if pinset else ())]
    leaf = [*pinset.pins, *pinset.leaf] if pinset else []
    above = [*pinset.pins, *pinset.ca] if pinset else []
    matched_above = report.depth is not None and report.depth > 0
    if key is not None:
        if any(pin.kind is PinKind.CERTIFICATE for pin in [*leaf, *blocked]):
            yield "pins of whole certificates need the certificate"
        if pinset and pinset.ca:
            yield "ca pins are of certificates above: check the chain once it is there"
        elif not report.accepted and pinset and pinset.pins:
            yield "a pin could be of a certificate above: check the chain"
        if blocked:
            yield "a certificate above could have a blocked key: check the chain"
    elif not is_verified and pinset:
        if pinset.ca or matched_above:
            yield "nobody has verified this chain: pins above its leaf count as it is"
        if above and not report.accepted and not _is_whole(certs[-1]):
            yield "the root is not in the chain, and a pin could be of it"


def _is_whole(last: bytes) -> bool:
    """Return True if a chain ends with a root, or with an unreadable certificate."""
    issuer, subject = issuer_and_subject(last)
    return issuer == subject


# ---- a certificate around a key ---------------------------------------------------

_SEQUENCE = 0x30
_ECDSA = bytes.fromhex("300a06082a8648ce3d040302")
_VERSION_AND_SERIAL = bytes.fromhex("a003020102020101")
_NO_NAME = b"\x30\x00"
_DATES = b"\x30\x1e" + 2 * b"\x17\x0d700101000000Z"
_NO_SIGNATURE = b"\x03\x02\x00\x00"


def certificate_around(key: bytes) -> bytes:
    """Return a certificate with a key; nothing else in it will be looked at.

    Raises:
        DERError: *key* is not a SubjectPublicKeyInfo.
    """
    Pin.from_public_key(key)
    fields = _VERSION_AND_SERIAL, _ECDSA, _NO_NAME, _DATES, _NO_NAME, key
    return _sequence(_sequence(*fields), _ECDSA, _NO_SIGNATURE)


def _sequence(*parts: bytes) -> bytes:
    contents = b"".join(parts)
    size = len(contents)
    if size < 0x80:  # noqa: PLR2004 - the short form
        return bytes([_SEQUENCE, size]) + contents
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([_SEQUENCE, 0x80 | len(length)]) + length + contents
