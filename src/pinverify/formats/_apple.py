"""Apple: NSPinnedDomains of App Transport Security, in an Info.plist.

A domain has a list of pins of leaves, a list of pins of authorities (CAs), or both; one
pin of each list must match. With NSIncludesSubdomains, the domain also covers the names
with exactly one more label, but none below these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinverify.errors import shown
from pinverify.formats import _plist
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._policy_reading import Reading
from pinverify.policy import PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Pin, Unpinned

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({"", "*.", "**."}), lists=frozenset({"leaf", "ca"}))
_SECURITY = "NSAppTransportSecurity"
_DOMAINS = "NSPinnedDomains"
_BELOW = "NSIncludesSubdomains"
_LISTS = {"leaf": "NSPinnedLeafIdentities", "ca": "NSPinnedCAIdentities"}
_DIGEST = "SPKI-SHA256-BASE64"
_DOMAIN_KEYS: dict[str, type] = {_BELOW: bool, **dict.fromkeys(_LISTS.values(), list)}


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pinned domains of an Info.plist."""
    document = _plist.parsed(data, given)
    reading = Reading(given)
    security = document.get(_SECURITY, {})
    domains = security.get(_DOMAINS, {}) if isinstance(security, dict) else None
    if not isinstance(domains, dict):
        reading.mistake(_SECURITY, f"{_DOMAINS}: expected a dictionary")
        domains = {}
    _check_places(document, reading)
    for domain, table in domains.items():
        _read_domain(domain, table, reading)
    return reading.loaded(
        f"no domain has pins; name a file with {_DOMAINS} in {_SECURITY}"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a property list with the pinned domains."""
    losses = Losses(given.position)
    hosts = dict(fit(rules, _CAN, losses).hosts)
    _one_label_more(hosts, losses)
    domains = {}
    for pattern, value in hosts.items():
        if pattern.startswith("*.") or not isinstance(value, PinSet):
            continue
        table: dict[str, Any] = {_BELOW: hosts.get(f"*.{pattern}") == value}
        for name, key in _LISTS.items():
            if pins := getattr(value, name):
                texts = [str(pin).removeprefix("sha256/") for pin in pins]
                table[key] = [{_DIGEST: text} for text in texts]
        domains[pattern] = table
    if not domains:
        given.refuse("there is no rule to write; add a host with pins of keys")
    for pattern, value in hosts.items():
        if pattern.startswith("*.") and hosts.get(pattern[2:]) != value:
            losses.add("one-label", pattern, "one label more", "no rule")
    text = _plist.written({_SECURITY: {_DOMAINS: domains}})
    return Dumped(text, losses.found())


def _one_label_more(hosts: dict[str, PinSet | Unpinned], losses: Losses) -> None:
    """Replace ``**.x`` by ``x`` and ``*.x``."""
    for pattern in [pattern for pattern in hosts if pattern.startswith("**.")]:
        value = hosts.pop(pattern)
        name = pattern.removeprefix("**.")
        losses.add("many-labels", pattern, "any number of labels", "one at most")
        hosts.setdefault(name, value)
        hosts.setdefault(f"*.{name}", value)


# ---- reading -----------------------------------------------------------------------


def _check_places(document: dict[str, Any], reading: Reading) -> None:
    """Refuse pins where Apple does not look for them: nobody would be pinned."""
    waiting: list[tuple[str, Any]] = [("", document)]
    while waiting:
        where, value = waiting.pop()
        if isinstance(value, list):
            waiting += [(where, inner) for inner in value]
        if not isinstance(value, dict):
            continue
        for key, inner in value.items():
            if key == _DOMAINS and where != _SECURITY:
                msg = f"{_DOMAINS} belongs in {_SECURITY} itself; move it there"
                reading.mistake(where or "the top", msg)
            elif key not in {_DOMAINS, _SECURITY} or not where:
                waiting.append((key if not where else f"{where}.{key}"[:80], inner))


def _read_domain(domain: str, table: object, reading: Reading) -> None:
    where = f"{_DOMAINS}[{shown(domain)}]"
    msg = f"a domain has no '*'; write the name below it, and {_BELOW}"
    pattern = reading.pattern(where, domain, msg)
    said = _plist.checked(table, _DOMAIN_KEYS, where, reading)
    lists: dict[str, list[Pin]] = {
        name: _read_list(f"{where}.{key}", said[key], reading)
        for name, key in _LISTS.items()
        if key in said
    }
    if not lists:
        names = " or ".join(_LISTS.values())
        reading.mistake(where, f"the domain has no pins; add {names}")
    if pattern is None or not all(lists.values()) or not lists:
        return
    value = PinSet(leaf=lists.get("leaf", ()), ca=lists.get("ca", ()))
    reading.rule(where, pattern, value)
    if said.get(_BELOW):
        reading.rule(where, f"*.{pattern}", value)


def _read_list(where: str, identities: list[Any], reading: Reading) -> list[Pin]:
    if not identities:
        reading.mistake(where, "the list is empty; add a pin, or remove the list")
    pins = []
    for identity in identities:
        said = _plist.checked(identity, {_DIGEST: str}, where, reading)
        if _DIGEST in said:
            pin = reading.key_pin(where, said[_DIGEST])
            pins += [pin] if pin else []
        elif isinstance(identity, dict):
            found = (
                f"unknown key {shown(next(iter(identity)))}" if identity else "empty"
            )
            msg = f"an identity without {_DIGEST}: {found}; write that"
            reading.mistake(where, msg, "key")
    return pins
