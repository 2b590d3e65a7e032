"""HPKP (RFC 7469): the header Public-Key-Pins, alone or in a response that was saved.

    Public-Key-Pins: pin-sha256="…"; pin-sha256="…"; max-age=5184000; includeSubDomains

A header does not name its host. A client kept the pins for max-age seconds after it had
seen the header, so pins that are read begin now. It ignored a header with one pin
alone, and one that is not in the grammar: both are errors here.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._hosts import is_address, split_pattern
from pinverify.errors import PolicyError, shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host, rule_to_write
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import UNPINNED, PinSet, Rules
from pinverify.policy._rules import seconds_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Pin

__all__ = ["dumps", "loads"]

_HEADER = "Public-Key-Pins"
_REPORT_ONLY = "Public-Key-Pins-Report-Only"
_FIELD = re.compile(
    r"^(?P<name>Public-Key-Pins(?:-Report-Only)?):(?P<value>.*(?:\n[ \t].*)*)",
    re.IGNORECASE | re.MULTILINE,
)
_NAMES = {name.lower(): name for name in (_HEADER, _REPORT_ONLY)}
_CAN = Abilities(report=True, expiry=True, min_pins=2)
_DEFAULT_AGE = 60 * 24 * 3600  # the longest that Chromium kept pins
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


def loads(data: bytes, given: Given) -> Loaded:
    """Read a header: its value, its name and value, or a response with it.

    Raises:
        PolicyError: it is not in the grammar of RFC 7469, or a client would ignore it.
    """
    text = text_of(data, given, "header").strip()
    reading = Reading(given)
    name, value, where = _HEADER, text, ""
    if text.startswith("HTTP/") or len(_FIELD.findall(text)) > 1:
        name, value, where = _in_response(text, reading)
    elif field := _FIELD.match(text):
        name, value = _NAMES[field["name"].lower()], text[field.start("value") :]
    return _load(name, value, where, given, reading)


def _in_response(text: str, reading: Reading) -> tuple[str, str, str]:
    """Return the name, the value and the line of the header that a client takes."""
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0]
    fields = list(_FIELD.finditer(head))
    if not fields:
        reading.mistake("", f"the response has no header {_HEADER}; give one that has")
        reading.check()
    enforced = [field for field in fields if field["name"].lower() == _HEADER.lower()]
    taken = (enforced or fields)[0]
    for field in fields:
        if field is not taken:
            where = f"line {1 + text.count(chr(10), 0, field.start())}"
            msg = f"{field['name']} is left out; clients take another header"
            reading.notice(where, msg)
    where = f"line {1 + text.count(chr(10), 0, taken.start())}"
    return _NAMES[taken["name"].lower()], taken["value"], where


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the header of one host, with its name.

    Raises:
        PolicyError: no host is given, or it has no pins.
    """
    losses = Losses(given.position)
    host, one = rule_to_write(rules, given, losses, below=True)
    if is_address(host):
        why = f"{host} is an address, and clients ignore its header"
        msg = f"{given.name}: there is no rule to write: {why}"
        raise PolicyError(msg)
    fitted = fit(one, _CAN, losses)
    ((pattern, value),) = fitted.hosts.items() if fitted.hosts else ((host, UNPINNED),)
    if not isinstance(value, PinSet):
        msg = (
            f"{given.name}: there is no rule to write: a header needs two pins of keys "
            f"for {host!r}, one of them a backup"
        )
        raise PolicyError(msg)
    pins = [f'pin-sha256="{str(pin).removeprefix("sha256/")}"' for pin in value.pins]
    below = ["includeSubDomains"] if pattern.startswith("**.") else []
    age = f"max-age={_age(pattern, value, given, losses)}"
    name = _REPORT_ONLY if value.mode == "report" else _HEADER
    text = f"{name}: {'; '.join([*pins, age, *below])}\n"
    return Dumped(text, losses.found())


# ---- reading -----------------------------------------------------------------------


class _Directives(NamedTuple):
    """The directives of a header."""

    pins: list[Pin]
    max_age: int | None
    is_below: bool


def _load(name: str, value: str, where: str, given: Given, reading: Reading) -> Loaded:
    """Return the rules of a header."""
    wildcard, host = split_pattern(given_host(given))
    if wildcard:
        msg = "give the host itself; includeSubDomains is in the header"
        reading.mistake("host", msg)
    said = _directives(value, where, reading)
    report_only = name == _REPORT_ONLY
    if not report_only and said.max_age is None:
        reading.mistake(
            where, "max-age is missing; clients ignore the header", "expiry"
        )
    if len(set(said.pins)) < _CAN.min_pins and said.max_age != 0:
        msg = "fewer than two pins, so clients ignore the header; add a backup pin"
        reading.mistake(where, msg)
    reading.check()
    pattern = f"**.{host}" if said.is_below else host
    if said.max_age == 0 and not report_only:
        reading.notice(where, "max-age=0 removes the pins")
        reading.rule(where, pattern, UNPINNED)
        return reading.loaded("")
    if report_only or said.max_age is None:
        pinset = PinSet(said.pins, mode="report")
    else:
        pinset = PinSet(
            said.pins, expires=_end(said.max_age, given), after_expiry="allow"
        )
    reading.rule(where, pattern, pinset)
    return reading.loaded("")


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
_MAX_DIGITS = 12  # of max-age: thirty thousand years


class _Value(NamedTuple):
    """The value of a directive: a token, a quoted string, or neither."""

    token: str | None
    quoted: str | None


def _directives(text: str, where: str, reading: Reading) -> _Directives:
    """Read the value of a header; note what is not in the grammar."""
    pins: list[Pin] = []
    others: dict[str, _Value] = {}
    for name, value in _split(_unfolded(text), where, reading):
        if name == "pin-sha256":
            if value.quoted is None:
                reading.mistake(where, f'write pin-sha256="{value.token or "…"}"')
            elif pin := reading.key_pin(where, value.quoted):
                pins.append(pin)
        elif name in others:
            msg = f"{name} is there twice; clients ignore the header"
            reading.mistake(where, msg, "twice")
        else:
            others[name] = value
    max_age = _check_others(others, where, reading)
    return _Directives(pins, max_age, "includesubdomains" in others)


def _check_others(
    others: dict[str, _Value], where: str, reading: Reading
) -> int | None:
    """Check all directives but the pins; return the seconds of max-age, if any."""
    for name, value in others.items():
        if name == "includesubdomains" and value != (None, None):
            reading.mistake(where, "includeSubDomains takes no value; remove it")
        elif name == "report-uri" and not value.quoted:
            reading.mistake(where, 'write report-uri="https://…", or remove it')
        elif name not in _KNOWN:
            reading.notice(where, f"the directive {shown(name)} is left out")
    age = others.get("max-age")
    return None if age is None else _max_age(age, where, reading)


def _unfolded(text: str) -> str:
    """Return a header on one line."""
    return text.replace("\r", " ").replace("\n", " ")


def _split(text: str, where: str, reading: Reading) -> Iterator[tuple[str, _Value]]:
    """Yield the directives: names in lower case, and values."""
    at = 0
    while at < len(text):
        match = _DIRECTIVE.match(text, at)
        if match is None:
            msg = (
                f"not a directive: {shown(text[at:].strip())}; write name=value with "
                'double quotes around a pin, and ";" between directives'
            )
            reading.mistake(where, msg)
            return
        at = match.end()
        if match["name"] is not None:
            yield match["name"].lower(), _Value(match["token"], match["quoted"])


def _max_age(value: _Value, where: str, reading: Reading) -> int | None:
    """Return the number of max-age."""
    digits = (value.token or value.quoted or "").lstrip("0") or value.token or ""
    if not re.fullmatch(r"[0-9]+", digits):
        msg = f"max-age={shown(digits)}: write a number of seconds"
        reading.mistake(where, msg, "expiry")
        return None
    return int(digits) if len(digits) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _end(max_age: int, given: Given) -> dt.datetime:
    """Return the moment when a client that sees the header now forgets the pins."""
    now = given.now or dt.datetime.now(dt.UTC)
    try:
        return min(now + dt.timedelta(seconds=max_age), _LAST)
    except OverflowError:
        return _LAST


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
