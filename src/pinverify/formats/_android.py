"""Android: the network security configuration, an XML file in the resources of an app.

    <domain-config>
        <domain includeSubdomains="true">example.com</domain>
        <pin-set expiration="2030-01-31"><pin digest="SHA-256">…</pin></pin-set>
    </domain-config>

As in `Rules`, a host has the configuration of its exact domain, else of the longest
domain with includeSubdomains. A domain without pins is exempt from the pins of a wider
one. A nested configuration without pins takes the pins of the outer one.

Pins end when the date of their expiration begins, at midnight in the time zone of the
phone. A reader takes the last such midnight on earth. A writer takes a date that begins
nowhere before the expiry.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from pinverify.errors import shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.formats._xml import Element, parsed
from pinverify.policy import UNPINNED, PinSet, Rules

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Pin, Unpinned

__all__ = ["dumps", "loads"]

_CAN = Abilities(expiry=True, exempt=True, one_per_name=True)

# The children and the attributes that each element may have.
_ELEMENTS: dict[str, tuple[set[str], set[str]]] = {
    "network-security-config": (
        {"base-config", "domain-config", "debug-overrides"},
        set(),
    ),
    "domain-config": (
        {"domain", "pin-set", "domain-config", "trust-anchors"},
        {"cleartextTrafficPermitted", "hstsEnforced"},
    ),
    "pin-set": ({"pin"}, {"expiration"}),
    "domain": (set(), {"includeSubdomains"}),
    "pin": (set(), {"digest"}),
}
# Elements that are not about pins. Android ignores them here, or they only say which
# authorities are trusted.
_PASSED_OVER = {
    "base-config",
    "trust-anchors",
    "certificateTransparency",
    "domainEncryption",
    "localNetworkAccess",
}
# Attributes for Android's build tools, which remove them from the app.
_OF_TOOLS = ("tools:", "xmlns:")
# Elements with a remark: in a debug build, or with TrustKit, they change something.
_TOLD = {
    "debug-overrides": "debug-overrides are left out; they are for debug builds",
    "trustkit-config": "trustkit-config is left out; Android itself does not read it",
}


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pins of a network security configuration."""
    reading = Reading(given)
    root = parsed(text_of(data, given, "network security configuration"), given)
    if root.name != "network-security-config":
        msg = f"the root is <{root.name}>; expected <network-security-config>"
        reading.mistake(root.line, msg)
    else:
        for child in _known_children(root, reading):
            _read_config(child, UNPINNED, reading)
    return reading.loaded("no domain has pins; name the file that has a <pin-set>")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a network security configuration."""
    losses = Losses(given.position)
    fitted = fit(rules, _CAN, losses)
    if not any(isinstance(value, PinSet) for value in fitted.hosts.values()):
        given.refuse("there is no rule to write; add a host with pins of keys")
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<network-security-config>"]
    for pattern, value in fitted.hosts.items():
        name = pattern.removeprefix("**.")
        below = ' includeSubdomains="true"' if name != pattern else ""
        lines += ["  <domain-config>", f"    <domain{below}>{escape(name)}</domain>"]
        if isinstance(value, PinSet):
            expiration = _expiration(pattern, value, losses)
            lines.append(f"    <pin-set{expiration}>")
            for pin in value.pins:
                digest = str(pin).removeprefix("sha256/")
                lines.append(f'      <pin digest="SHA-256">{digest}</pin>')
            lines.append("    </pin-set>")
        lines.append("  </domain-config>")
    lines.append("</network-security-config>")
    return Dumped("\n".join(lines) + "\n", losses.found())


# ---- reading -----------------------------------------------------------------------


def _read_config(element: Element, outer: PinSet | Unpinned, reading: Reading) -> None:
    """Read a <domain-config>, and those in it."""
    own = _known_children(element, reading)
    pins = [child for child in own if child.name == "pin-set"]
    for again in pins[1:]:
        reading.mistake(again.line, "a second <pin-set>; keep one", "twice")
    value = _read_pins(pins[0], reading) if pins else outer
    domains = [child for child in own if child.name == "domain"]
    if not domains:
        msg = "a <domain-config> without a <domain>; add one"
        reading.mistake(element.line, msg)
    for domain in domains:
        _read_domain(domain, value, reading)
    for child in own:
        if child.name == "domain-config":
            _read_config(child, value, reading)


def _read_domain(element: Element, value: PinSet | Unpinned, reading: Reading) -> None:
    where = element.line
    _known_children(element, reading)
    name = element.text.strip()
    below = element.attributes.get("includeSubdomains", "false")
    if below not in {"true", "false"}:
        msg = f'includeSubdomains={shown(below)}: write "true" or "false"'
        reading.mistake(where, msg)
    msg = (
        "a domain has no '*'; write the name below it, with includeSubdomains=\"true\""
    )
    pattern = reading.pattern(where, name, msg)
    if pattern is None:
        return
    for other in (pattern, f"**.{pattern}"):
        if other in reading.rules_so_far:
            msg = f"the domain {name!r} is there twice; keep one"
            reading.mistake(where, msg, "twice")
            return
    reading.rule(where, f"**.{pattern}" if below == "true" else pattern, value)


def _read_pins(element: Element, reading: Reading) -> PinSet | Unpinned:
    where = element.line
    pins: list[Pin] = []
    expires = None
    expiration = element.attributes.get("expiration")
    if expiration is not None:
        expires = _last_midnight(expiration)
        if expires is None:
            msg = f"expiration={shown(expiration)}: write a date, as 2030-01-31"
            reading.mistake(where, msg, "expiry")
        else:
            reading.remark(
                where,
                f"the pins end on {expiration} at midnight of each phone; here at "
                f"{expires:%Y-%m-%dT%H:%M:%SZ}, when it is over everywhere",
            )
    for child in _known_children(element, reading):
        _known_children(child, reading)
        digest = child.attributes.get("digest")
        if digest is None or digest.upper() != "SHA-256":
            msg = f'digest={shown(digest or "")}: write digest="SHA-256"'
            reading.mistake(child.line, msg, "pin")
        elif (pin := reading.key_pin(child.line, child.text.strip())) is not None:
            pins.append(pin)
    if not pins:
        return UNPINNED
    return PinSet(pins, expires=expires, after_expiry="allow" if expires else None)


def _known_children(element: Element, reading: Reading) -> list[Element]:
    """Return the children about pins; report unknown ones.

    Android ignores unknown elements and attributes. Here an unknown element is a
    mistake, because it may be a misspelt element with pins; an unknown attribute is
    only a notice.
    """
    children, attributes = _ELEMENTS[element.name]
    for attribute in sorted(element.attributes.keys() - attributes):
        if attribute.startswith(_OF_TOOLS):
            continue
        msg = f"<{element.name}> has no attribute {shown(attribute)}, and Android"
        reading.notice(element.line, f"{msg} passes over it; remove it")
    found = []
    for child in element.children:
        if child.name in children - _PASSED_OVER - _TOLD.keys():
            found.append(child)
        elif child.name in _TOLD:
            reading.remark(child.line, _TOLD[child.name])
        elif child.name in _PASSED_OVER:
            _tell_overrides(child, reading)
        else:
            known = ", ".join(sorted(children)) or "text only"
            msg = f"<{child.name}> is unknown in <{element.name}>; there is {known}"
            reading.mistake(child.line, msg, "key")
    return found


def _tell_overrides(element: Element, reading: Reading) -> None:
    """Report authorities whose certificates need no pin in Android."""
    waiting = [element]
    while waiting:
        inner = waiting.pop()
        waiting += inner.children
        if inner.name in {"domain", "pin-set", "pin"}:
            msg = f"<{inner.name}> does not belong in <{element.name}>; move it"
            reading.mistake(inner.line, msg)
        if inner.attributes.get("overridePins") == "true":
            msg = "overridePins is left out; the pins always count"
            reading.notice(inner.line, msg)


# ---- dates -------------------------------------------------------------------------

_FIRST_ZONE = dt.timezone(dt.timedelta(hours=14))
_LAST_ZONE = dt.timezone(dt.timedelta(hours=-12))
_DAY = dt.timedelta(days=1)


def _last_midnight(date: str) -> dt.datetime | None:
    """Return the moment when a date has begun everywhere on earth."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", date, re.ASCII):
        return None
    try:
        midnight = dt.datetime.fromisoformat(date)
        return midnight.replace(tzinfo=_LAST_ZONE).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        return None


def _expiration(pattern: str, value: PinSet, losses: Losses) -> str:
    """Return the attribute for the expiry of a PinSet."""
    if value.expires is None:
        return ""
    was = f"no pins from {value.expires}"
    try:
        local = value.expires.astimezone(_FIRST_ZONE)
        whole = local.replace(hour=0, minute=0, second=0)
        date = (whole if whole == local else whole + _DAY).date()
    except OverflowError:
        losses.add("expiry", pattern, was, "the pins go on")
        return ""
    losses.add("expiry-date", pattern, was, f"from midnight of {date} on each phone")
    return f' expiration="{date}"'
