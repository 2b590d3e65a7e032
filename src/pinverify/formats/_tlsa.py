"""DANE (RFC 6698, 7671): TLSA records of a zone file.

    _443._tcp.example.com. IN TLSA 3 1 1 <hex>

A record has a usage, a selector (0: the whole certificate, 1: its key), a matching type
(0: the data themselves, 1: their SHA-256, 2: their SHA-512), and data. One record that
matches is enough. Usages 1 and 3 are for the peer's own certificate: their pins go to
`leaf`. Usage 0 is for an authority above it: its pins go to `ca`. Usage 2 lets a
client build a chain to an authority that it does not trust; no pin can express that.

Among records with the same usage and selector, a client uses SHA-256 only if there is
no SHA-512 (RFC 7671, 9). So a record with SHA-512, which no pin can express, excludes
the records with SHA-256.

Leaving out a record makes a rule narrower. If no record is left, that is a mistake.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import is_address
from pinverify.errors import DERError, shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.formats._zone import records, whole_name
from pinverify.policy import Pin, PinKind, PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.formats._zone import Record

__all__ = ["dumps", "loads"]

_CAN = Abilities(
    shapes=frozenset({""}),
    lists=frozenset({"pins", "leaf", "ca"}),
    kinds=frozenset(PinKind),
)
_PKIX_TA, _PKIX_EE, _DANE_TA, _DANE_EE = range(4)
_CERTIFICATE, _KEY = range(2)
_SELECTORS = {PinKind.CERTIFICATE: _CERTIFICATE, PinKind.SPKI: _KEY}
_FULL, _SHA_256, _SHA_512 = range(3)
_LENGTHS = {_SHA_256: 32, _SHA_512: 64}
_TYPE_NUMBER = "TYPE52"
_TYPES = {"TLSA", _TYPE_NUMBER, "CNAME", "DNAME"}
_SERVICE = re.compile(r"(?:_[0-9]{1,5}|\*)\._(?:tcp|udp|sctp)\.(.+)", re.ASCII)
# A record with a digest is longer, and many short ones would take much memory.
_LENGTH_FOR_RECORD = 64
_FREE_RECORDS = 512
_MAX_LABELS = 127  # of a name with 255 bytes
_MAX_ALIASES = 8  # one after the other


def loads(data: bytes, given: Given) -> Loaded:
    """Read the TLSA records of a zone file."""
    reading = Reading(given)
    origin = None if given.host is None else given_host(given)
    sets, ends = _collected(text_of(data, given, "zone file"), origin, reading)
    for owner, found in sets.items():
        if owner in ends and not _SERVICE.fullmatch(owner):
            continue
        if not owner.startswith(("_", "*")):
            msg = f"{shown(owner)} has no port and protocol, so no client looks there"
            reading.notice(found[0].line, msg)
            continue
        line = found[0].line
        pattern, value = _host(line, owner, reading), _pin_set(found, reading)
        if value is None or pattern is None:
            continue
        if reading.rules_so_far.get(pattern) != value:  # a rule holds for all ports
            reading.rule(line, pattern, value)
    return reading.loaded(
        "there is no TLSA record of a service, as _443._tcp; name a zone file with one"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a part of a zone file."""
    losses = Losses(given.position)
    lines = []
    for pattern, value in sorted(fit(rules, _CAN, losses).hosts.items()):
        if not isinstance(value, PinSet):
            continue
        if is_address(pattern):
            losses.add("left-out", pattern, "pins of an address", "no rule")
            continue
        lists = {name: getattr(value, name) for name in ("leaf", "ca", "pins")}
        said = [name for name, pins in lists.items() if pins]
        if len(said) > 1:
            losses.add("position", pattern, " and ".join(said), f"{said[0]} alone")
        if lists["leaf"] or lists["pins"]:
            was = "the certificate must be valid, and of this name"
            losses.add("validation", pattern, was, "any with the key (usage 3)")
        usages = {"leaf": [_DANE_EE], "ca": [_PKIX_TA], "pins": [_DANE_EE, _PKIX_TA]}
        lines += [
            f"*._tcp.{pattern}. IN TLSA {usage} {_SELECTORS[pin.kind]} {_SHA_256} "
            f"{pin.digest.hex()}"
            for usage in usages[said[0]]
            for pin in lists[said[0]]
        ]
    if not lines:
        given.refuse("there is no rule to write; add a host with pins")
    head = "; A rule holds for all ports; for one, write _443._tcp for *._tcp."
    return Dumped("\n".join([head, *lines]) + "\n", losses.found())


# ---- records -----------------------------------------------------------------------


class _Tlsa(NamedTuple):
    """A record: the line, the three numbers, and the data."""

    line: int
    usage: int
    selector: int
    matching: int
    data: bytes


def _collected(  # noqa: C901 - by type
    text: str, origin: str | None, reading: Reading
) -> tuple[dict[str, list[_Tlsa]], set[str]]:
    """Return the records of each owner, and the owners that aliases lead to."""
    sets: dict[str, list[_Tlsa]] = {}
    aliases: dict[str, tuple[int, str]] = {}
    moved: dict[str, int] = {}  # line of a DNAME, by its owner and by its target
    left = _FREE_RECORDS + len(text) // _LENGTH_FOR_RECORD
    for record in records(text, _TYPES, origin, reading):
        line, owner = record.line, record.owner
        if record.type not in _TYPES:
            if _SERVICE.fullmatch(owner):  # it may be a misspelt TLSA record
                msg = f"no type {shown(record.type)} is known; write TLSA, or remove it"
                reading.mistake(line, msg)
            continue
        if record.type == "DNAME":
            moved |= dict.fromkeys((owner, _target(record, reading) or ""), line)
        elif record.type == "CNAME":
            if not owner.startswith(("_", "*._")):
                continue
            target = _target(record, reading)
            if target is not None:
                first, other = aliases.setdefault(owner, (line, target))
                if other != target:
                    msg = f"a second CNAME, see line {first}; keep one"
                    reading.mistake(line, msg)
        elif (tlsa := _read(record, reading)) is not None:
            sets.setdefault(owner, []).append(tlsa)
        left -= 1
        if left < 0:
            reading.mistake(line, "very many very small records; this is no policy")
            break
    for owner in (*sets, *aliases):
        labels = owner.rsplit(".", _MAX_LABELS)
        names = (".".join(labels[at:]) for at in range(len(labels)))
        for name in filter(moved.__contains__, names):
            msg = f"a DNAME is not followed, and {shown(owner)} has records; write"
            reading.mistake(moved[name], f"{msg} those of the names below it")
    return sets, _follow(aliases, sets, reading)


def _read(record: Record, reading: Reading) -> _Tlsa | None:
    words = list(record.data)
    if record.type == _TYPE_NUMBER or words[:1] == ["\\#"]:  # RFC 3597
        octets = _octets("".join(words[2:])) if words[:1] == ["\\#"] else None
        if octets is None or [str(len(octets))] != words[1:2]:
            msg = "expected \\#, the number of bytes, and hex; write TLSA and its words"
            reading.mistake(record.line, msg)
            return None
        numbers, data = [str(octet) for octet in octets[:3]], octets[3:]
    else:
        numbers, digits = words[:3], "".join(words[3:])
        found = _octets(digits)
        if found is None:
            msg = f"{shown(digits)} is not hex; write pairs of digits"
            reading.mistake(record.line, msg)
            return None
        data = found
    if len(numbers) < 3 or not all(re.fullmatch("[0-9]{1,3}", n) for n in numbers):  # noqa: PLR2004
        msg = "expected usage, selector, matching type and hex, as in TLSA 3 1 1 0123…"
        reading.mistake(record.line, msg)
        return None
    usage, selector, matching = map(int, numbers)
    tlsa = _Tlsa(record.line, usage, selector, matching, data)
    length = _LENGTHS.get(tlsa.matching)
    if not data or (length is not None and len(data) != length):
        needed = "data" if length is None else f"{length} bytes"
        msg = f"matching type {tlsa.matching} needs {needed}, and here are {len(data)}"
        reading.mistake(record.line, f"{msg}; write the whole record", "pin")
        return None
    return tlsa


def _octets(digits: str) -> bytes | None:
    if len(digits) % 2 or not re.fullmatch("[0-9A-Fa-f]*+", digits):
        return None
    return bytes.fromhex(digits)


def _target(record: Record, reading: Reading) -> str | None:
    if len(record.data) != 1:
        reading.mistake(record.line, "a CNAME has one name; write one")
        return None
    return whole_name(record.data[0], record.origin, record.line, reading)


def _follow(
    aliases: dict[str, tuple[int, str]], sets: dict[str, list[_Tlsa]], reading: Reading
) -> set[str]:
    """Give services the records that their aliases lead to; return the final names."""
    found: dict[str, list[_Tlsa]] = {}
    ends: set[str] = set()
    for owner, (line, end) in aliases.items():
        if not _SERVICE.fullmatch(owner):
            continue
        for _ in range(_MAX_ALIASES):
            _, end = aliases.get(end, (0, end))  # noqa: PLW2901 - one alias further
        if end not in sets or owner in sets:
            msg = f"the alias {shown(owner)} does not lead to TLSA records of the file"
            reading.mistake(line, f"{msg} alone; write the records in place")
        else:
            found[owner] = sets[end]
            ends.add(end)
    sets |= found
    return ends


def _host(line: int, owner: str, reading: Reading) -> str | None:
    service = _SERVICE.fullmatch(owner)
    if service is None:
        msg = f"{shown(owner)} has no port and protocol; write _443._tcp before it"
        reading.mistake(line, msg)
        return None
    return reading.pattern(line, service[1], "write the name of one host")


# ---- pins --------------------------------------------------------------------------


def _pin_set(records: Sequence[_Tlsa], reading: Reading) -> PinSet | None:
    """Return the pins of all records of a service; None if there are none."""
    lists: dict[str, list[Pin]] = {"leaf": [], "ca": []}
    left_out: list[tuple[int, str]] = []
    by_sha_512 = {(r.usage, r.selector) for r in records if r.matching == _SHA_512}
    for record in records:
        if why := _left_out(record, by_sha_512):
            left_out.append((record.line, why))
            continue
        try:
            pin = _pin(record)
        except DERError as error:
            reading.mistake(record.line, f"the data are {error}; write them whole")
            continue
        lists["ca" if record.usage == _PKIX_TA else "leaf"].append(pin)
    leaf, ca = lists["leaf"], lists["ca"]
    is_hidden = any(why == _WEAKER for _, why in left_out)
    for line, why in left_out:
        if leaf or ca:
            reading.notice(line, why)
        else:
            reading.mistake(line, why, "digest" if is_hidden else "")
    if set(leaf) == set(ca):  # anywhere in the chain
        return PinSet(leaf) if leaf else None
    if not leaf:
        return PinSet(ca=ca)
    if ca:
        msg = "usage 0 is left out beside others; in DNS one of both lists is enough,"
        reading.notice(records[0].line, f"{msg} in a rule it is not")
    return PinSet(leaf=leaf)


def _left_out(record: _Tlsa, by_sha_512: set[tuple[int, int]]) -> str:
    """Return why no pin can say a record; empty if one can."""
    for name, number, known in (
        ("usage", record.usage, 4),
        ("selector", record.selector, 2),
        ("matching type", record.matching, 3),
    ):
        if number >= known:
            return f"{name} {number} is unknown, and clients pass over the record"
    if record.usage == _DANE_TA:
        return (
            "usage 2 builds a chain of its own, which no pin says; write usage 0 or 3"
        )
    if record.matching == _SHA_512:
        return "SHA-512 is in no pin; write a record with matching type 1 in its place"
    if record.matching == _SHA_256 and (record.usage, record.selector) in by_sha_512:
        return _WEAKER
    return ""


_WEAKER = (
    "SHA-256 does not count beside SHA-512 of the same usage and selector (RFC 7671, "
    "9); remove that"
)


def _pin(record: _Tlsa) -> Pin:
    """Return the pin that a record means; raise DERError if its data are not DER."""
    if record.matching == _SHA_256:
        make = Pin.spki if record.selector == _KEY else Pin.certificate
        return make(record.data)
    if record.selector == _KEY:
        return Pin.from_public_key(record.data)
    return Pin.from_certificate(record.data, kind=PinKind.CERTIFICATE)
