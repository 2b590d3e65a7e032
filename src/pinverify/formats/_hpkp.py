"""HPKP (RFC 7469): the header Public-Key-Pins, alone or in a response that was saved.

    Public-Key-Pins: pin-sha256="…"; pin-sha256="…"; max-age=5184000; includeSubDomains

A header does not name its host. A client kept the pins for max-age seconds after it saw
the header, so max-age is counted from now. Clients ignored a header with only one pin,
or outside of the grammar: both are errors here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import is_address, split_pattern
from pinverify.errors import shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host, rule_to_write
from pinverify.formats._policy_reading import Reading, line_at, text_of
from pinverify.policy import UNPINNED, PinSet, Rules
from pinverify.policy._rules import seconds_of

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Pin, Unpinned

__all__ = ["dumps", "loads"]

_HEADER = "Public-Key-Pins"
_REPORT_ONLY = "Public-Key-Pins-Report-Only"
_FIELD = re.compile(
    r"^(?P<name>Public-Key-Pins(?:-Report-Only)?):(?P<value>.*(?:\n[ \t].*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_CAN = Abilities(report=True, expiry=True, min_pins=2)
_DEFAULT_AGE = 60 * 24 * 3600  # the longest that Chromium kept pins
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


def loads(data: bytes, given: Given) -> Loaded:
    """Read a header: its value, its name and value, or a response with it."""
    reading = Reading(given)
    name, value, line = _header(text_of(data, given, "header").strip(), reading)
    report_only = name.lower() == _REPORT_ONLY.lower()
    wildcard, host = split_pattern(given_host(given))
    if wildcard:
        msg = "give the host itself; includeSubDomains is in the header"
        reading.mistake("host", msg)
    pins, others = _directives(value, line, reading)
    max_age = _checked(others, line, reading)
    if not report_only and max_age is None:
        reading.mistake(line, "max-age is missing; clients ignore the header", "expiry")
    if len(set(pins)) < _CAN.min_pins and max_age != 0:
        msg = "fewer than two pins, so clients ignore the header; add a backup pin"
        reading.mistake(line, msg)
    reading.check()
    pinset: PinSet | Unpinned
    if report_only or max_age is None:
        pinset = PinSet(pins, mode="report")
    elif max_age:
        now = given.now or dt.datetime.now(dt.UTC)
        end = now + min(dt.timedelta(seconds=max_age), _LAST - now)
        pinset = PinSet(pins, expires=end, after_expiry="allow")
    else:
        reading.notice(line, "max-age=0 removes the pins")
        pinset = UNPINNED
    pattern = f"**.{host}" if "includesubdomains" in others else host
    reading.rule(line, pattern, pinset)
    return reading.loaded("")


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the header of one host, with its name."""
    losses = Losses(given.position)
    host, one = rule_to_write(rules, given, losses, below=True)
    if is_address(host):
        why = f"{host} is an address, and clients ignore its header"
        given.refuse(f"there is no rule to write: {why}")
    fitted = fit(one, _CAN, losses)
    ((pattern, value),) = fitted.hosts.items() if fitted.hosts else ((host, UNPINNED),)
    if not isinstance(value, PinSet):
        why = f"a header needs two pins of keys for {host!r}, one of them a backup"
        given.refuse(f"there is no rule to write: {why}")
    pins = [f'pin-sha256="{str(pin).removeprefix("sha256/")}"' for pin in value.pins]
    below = ["includeSubDomains"] if pattern.startswith("**.") else []
    age = f"max-age={_age(pattern, value, given, losses)}"
    name = _REPORT_ONLY if value.mode == "report" else _HEADER
    text = f"{name}: {'; '.join([*pins, age, *below])}\n"
    return Dumped(text, losses.found())


# ---- reading -----------------------------------------------------------------------


def _header(text: str, reading: Reading) -> tuple[str, str, int]:
    """Return the name, value and line of the header that a client takes."""
    if not text.startswith("HTTP/") and len(_FIELD.findall(text)) <= 1:
        field = _FIELD.match(text)
        if field is None:
            return _HEADER, text, 0
        return field["name"], text[field.start("value") :], 0
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = list(_FIELD.finditer(head))
    if not fields:
        reading.mistake("", f"the response has no header {_HEADER}; give one that has")
        reading.check()
    enforced = [field for field in fields if field["name"].lower() == _HEADER.lower()]
    taken = (enforced or fields)[0]
    for field in fields:
        if field is not taken:
            msg = f"{field['name']} is left out; clients take another header"
            reading.notice(line_at(text, field.start()), msg)
    return taken["name"], taken["value"], line_at(text, taken.start())


# RFC 7469, 2.1: directive = token [ "=" ( token / quoted-string ) ], between ";"
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - of a grammar
_CONTROL = r"\x00-\x08\x0a-\x1f\x7f"
_DIRECTIVE = re.compile(
    rf"""
    [ \t]* (?:
        (?P<name>{_TOKEN}) [ \t]*
        (?: = [ \t]* (?:
            (?P<token>{_TOKEN})
          | "(?P<quoted>(?:[^"\\{_CONTROL}]|\\[^{_CONTROL}])*+)"
        ) [ \t]* )?
    )? (?: ; | \Z )
    """,
    re.VERBOSE,
)
_KNOWN = {"max-age", "includesubdomains", "report-uri"}
_MAX_DIGITS = 13  # of max-age: with more, the year is too large for a date


class _Value(NamedTuple):
    """The value of a directive: a token, a quoted string, or neither."""

    token: str | None
    quoted: str | None


def _directives(
    text: str, line: int, reading: Reading
) -> tuple[list[Pin], dict[str, _Value]]:
    """Return the pins and the other directives; note what is not in the grammar."""
    pins: list[Pin] = []
    others: dict[str, _Value] = {}
    text = text.replace("\r", " ").replace("\n", " ")
    at = 0
    while at < len(text):
        match = _DIRECTIVE.match(text, at)
        if match is None:
            msg = (
                f"not a directive: {shown(text[at:].strip())}; write name=value with "
                'double quotes around a pin, and ";" between directives'
            )
            reading.mistake(line, msg)
            break
        at = match.end()
        name = (match["name"] or "").lower()
        if name == "pin-sha256":
            if match["quoted"] is None:
                reading.mistake(line, f'write pin-sha256="{match["token"] or "…"}"')
            elif pin := reading.key_pin(line, match["quoted"]):
                pins.append(pin)
        elif name in others:
            msg = f"{name} is there twice; clients ignore the header"
            reading.mistake(line, msg, "twice")
        elif name:
            others[name] = _Value(match["token"], match["quoted"])
    return pins, others


def _checked(others: dict[str, _Value], line: int, reading: Reading) -> int | None:
    """Check all directives but the pins; return the seconds of max-age, if any."""
    for name, value in others.items():
        if name == "includesubdomains" and value != (None, None):
            reading.mistake(line, "includeSubDomains takes no value; remove it")
        elif name == "report-uri" and not value.quoted:
            reading.mistake(line, 'write report-uri="https://…", or remove it')
        elif name not in _KNOWN:
            reading.notice(line, f"the directive {shown(name)} is left out")
    if "max-age" not in others:
        return None
    value = others["max-age"]
    digits = value.token or value.quoted or ""
    if not re.fullmatch(r"[0-9]+", digits):
        msg = f"max-age={shown(digits)}: write a number of seconds"
        reading.mistake(line, msg, "expiry")
        return None
    return int(digits.lstrip("0")[:_MAX_DIGITS] or "0")


# ---- writing -----------------------------------------------------------------------


def _age(pattern: str, value: PinSet, given: Given, losses: Losses) -> int:
    """Return the seconds from now to the expiry."""
    if value.expires is None:
        if value.mode == "enforce":
            became = f"pins for {_DEFAULT_AGE // 86400} days after each header"
            losses.add("expiry-needed", pattern, "pins without an end", became)
        return _DEFAULT_AGE
    now = given.now or dt.datetime.now(dt.UTC)
    return max(0, seconds_of(value.expires) - seconds_of(now))
