"""TrustKit: the dictionary TSKConfiguration in an Info.plist, or by itself, or in JSON.

As in `Rules`, a host has the policy of its exact domain, else of the longest domain
with TSKIncludeSubdomains. TrustKit refuses a domain that is enforced with only one pin.
Pins end at midnight UTC of a date; from then on the domain is not pinned.

Names of keys are the values in TSKTrustKitConfig.m: one of them begins with ``kSK``.
TrustKit ends an app whose configuration has a domain without a registered ending, or a
public suffix with TSKIncludeSubdomains.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from pinverify.core._hosts import covering, is_address
from pinverify.errors import PolicyError, shown
from pinverify.formats import _json, _plist
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._parser_process import language_of, read_source
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import UNPINNED, PinSet, Rules
from pinverify.review._lint.names import is_local, is_public_suffix

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Unpinned

__all__ = ["dumps", "loads"]

_CAN = Abilities(report=True, expiry=True, exempt=True, one_per_name=True, min_pins=2)
_CONFIGURATION = "TSKConfiguration"
_DOMAINS = "TSKPinnedDomains"
_NOTHING = f"no domain has pins; name a file with {_DOMAINS} in {_CONFIGURATION}"
_HASHES = "TSKPublicKeyHashes"
_EXCLUDE = "kSKExcludeSubdomainFromParentPolicy"
_MISNAMED = "TSKExcludeSubdomainFromParentPolicy"  # the name in its documentation
_BELOW = "TSKIncludeSubdomains"
_ENFORCE = "TSKEnforcePinning"
_EXPIRES = "TSKExpirationDate"
_DOMAIN_KEYS: dict[str, type] = {
    _HASHES: list,
    _BELOW: bool,
    _EXCLUDE: bool,
    _ENFORCE: bool,
    _EXPIRES: str,
    "TSKReportUris": list,
    "TSKDisableDefaultReportUri": bool,
    "TSKPublicKeyAlgorithms": list,
}
_TOP_KEYS: dict[str, type] = {
    _DOMAINS: dict,
    "TSKSwizzleNetworkDelegates": bool,
    "TSKIgnorePinningForUserDefinedTrustAnchors": bool,
}


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pinned domains."""
    reading = Reading(given)
    text = "" if data.startswith(b"bplist") else text_of(data, given, "configuration")
    if language_of(given.name) == "swift" or _plist.kind_of(text) == _plist.SOURCE:
        document = _in_swift(text, given, reading)
    elif re.match(r'\s*\{\s*("|\})', text):
        document = _json.parsed(text, given.name)
    else:
        del text  # it is as large as the file
        document = _plist.parsed(data, given)
    if _CONFIGURATION in document:  # of an Info.plist, which has much else
        document = document[_CONFIGURATION]
    elif _DOMAINS not in document:
        return reading.loaded(_NOTHING)
    top = _plist.checked(document, _TOP_KEYS, "", reading)
    if top.get("TSKIgnorePinningForUserDefinedTrustAnchors"):
        reading.notice(
            "", "authorities that a user has added are left out; the pins always count"
        )
    for domain, table in top.get(_DOMAINS, {}).items():
        if domain != domain.lower():
            msg = "TrustKit compares names letter by letter; write it in lower case"
            reading.mistake(f"{_DOMAINS}[{shown(domain)}]", msg, "host")
        _read_domain(domain, table, reading)
    reading.check()
    return reading.loaded(_NOTHING)


def _in_swift(text: str, given: Given, reading: Reading) -> dict[str, Any]:
    found = read_source(text, ["swift"], given)
    for line, notice in found["notices"]:
        reading.notice(f"line {line}", notice)
    for line, message in found["mistakes"]:
        reading.mistake(f"line {line}", message)
    if not found["found"]:
        if not reading.is_wrong:
            msg = f"there is no configuration with k{_DOMAINS}; name the file that has"
            reading.mistake("", f"{msg} one")
        reading.check()
    ((_, document),) = found["found"]
    return document  # type: ignore[no-any-return]


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a property list with the configuration."""
    losses = Losses(given.position)
    fitted = fit(rules, _CAN, losses)
    domains: dict[str, Any] = {}
    for pattern, value in fitted.hosts.items():
        name = pattern.removeprefix("**.")
        why = _refused(name, below=pattern != name)
        if why and isinstance(value, PinSet):
            losses.add("left-out", pattern, "pins", f"no rule: {why}")
        if why:
            continue
        if isinstance(value, PinSet):
            domains[name] = _table(pattern, value, losses)
            continue
        wider = [
            other
            for other in covering(f"**.{name}")
            if other != pattern and isinstance(fitted.hosts.get(other), PinSet)
        ]
        if wider:  # without a wider domain, TrustKit would refuse an exemption
            domains[name] = {_EXCLUDE: True}
            if name != pattern:
                losses.add("exempt", pattern, "no pins", f"those of {wider[0]} below")
    if not any(_HASHES in table for table in domains.values()):
        msg = (
            f"{given.name}: there is no rule to write; add a host with two pins of keys"
        )
        raise PolicyError(msg)
    configuration = {"TSKSwizzleNetworkDelegates": False, _DOMAINS: domains}
    text = _plist.written({_CONFIGURATION: configuration})
    return Dumped(text, losses.found())


def _refused(name: str, *, below: bool) -> str:
    """Return why TrustKit would refuse a domain, or nothing."""
    last = name.rpartition(".")[2]
    if is_address(name) or "." not in name or is_local(last):
        return f"{name} does not end in a registered domain"
    if below and is_public_suffix(name):
        return f"{name} is a public suffix"
    return ""


# ---- one domain --------------------------------------------------------------------


def _read_domain(domain: str, table: object, reading: Reading) -> None:
    where = f"{_DOMAINS}[{shown(domain)}]"
    if _plist.has_wildcard(domain, _BELOW, where, reading):
        return
    pattern = reading.pattern(where, domain)
    said = _checked(table, pattern, where, reading)
    if said.get(_EXCLUDE):
        if len(said) > 1:
            reading.mistake(where, f"{_EXCLUDE} must be the only key")
        if pattern is not None:
            _add(where, pattern, UNPINNED, reading)
        return
    pins = []
    for text in said.get(_HASHES, []):
        if not isinstance(text, str):
            reading.mistake(where, f"{_HASHES}: expected strings")
        elif (pin := reading.key_pin(where, text)) is not None:
            pins.append(pin)
    enforces = said.get(_ENFORCE, True)
    needed = 2 if enforces else 1
    if len(set(pins)) < needed and len(pins) == len(said.get(_HASHES, [])):
        msg = f"{_HASHES}: TrustKit needs {needed} pins; add the pin of a backup key"
        reading.mistake(where, msg)
    expires = _midnight(where, said.get(_EXPIRES), reading)
    if pattern is None or not pins:
        return
    value = PinSet(
        pins,
        mode="enforce" if enforces else "report",
        expires=expires,
        after_expiry=None if expires is None else "allow",
    )
    _add(where, f"**.{pattern}" if said.get(_BELOW) else pattern, value, reading)


def _checked(
    table: object, pattern: str | None, where: str, reading: Reading
) -> dict[str, Any]:
    """Return the entries of a domain; note what would end the app when it starts."""
    if isinstance(table, dict) and _MISNAMED in table:
        msg = f"TrustKit passes over {_MISNAMED}; write {_EXCLUDE}"
        reading.mistake(where, msg, "key")
        return {_EXCLUDE: True}
    said = _plist.checked(table, _DOMAIN_KEYS, where, reading)
    if pattern is not None and (why := _refused(pattern, below=bool(said.get(_BELOW)))):
        msg = f"{why}, and TrustKit ends the app that has it; remove the domain"
        reading.mistake(where, msg, "host")
    return said


def _add(where: str, pattern: str, value: PinSet | Unpinned, reading: Reading) -> None:
    name = pattern.removeprefix("**.")
    if {name, f"**.{name}"} & reading.rules_so_far.keys():
        reading.mistake(where, f"the domain {name!r} is there twice; keep one", "twice")
    else:
        reading.rule(where, pattern, value)


def _midnight(where: str, date: str | None, reading: Reading) -> dt.datetime | None:
    """Return the moment of a date; TrustKit would ignore a wrong date."""
    if date is None:
        return None
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", date, re.ASCII):
            return dt.datetime.fromisoformat(date).replace(tzinfo=dt.UTC)
    except ValueError:
        pass
    msg = f"{_EXPIRES}: {shown(date)} is not a date, as 2030-01-31"
    reading.mistake(where, msg, "expiry")
    return None


def _table(pattern: str, value: PinSet, losses: Losses) -> dict[str, Any]:
    hashes = [str(pin).removeprefix("sha256/") for pin in value.pins]
    table: dict[str, Any] = {_HASHES: hashes, _BELOW: pattern.startswith("**.")}
    table[_ENFORCE] = value.mode == "enforce"
    if value.expires is not None:
        day = dt.timedelta(days=1)
        try:
            end = value.expires.astimezone(dt.UTC)
            whole = end.replace(hour=0, minute=0, second=0)
            date = (whole if whole == end else whole + day).date()
        except OverflowError:
            was = f"no pins from {value.expires}"
            losses.add("expiry", pattern, was, "the pins go on")
            return table
        if whole != end:
            was = f"no pins from {value.expires}"
            losses.add("expiry-date", pattern, was, f"from midnight UTC of {date}")
        table[_EXPIRES] = str(date)
    return table
