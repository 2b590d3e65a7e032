"""HPKP (RFC 7469): the header Public-Key-Pins, alone or in a server's configuration.

    Public-Key-Pins: pin-sha256="…"; pin-sha256="…"; max-age=5184000; includeSubDomains

A header does not name its host. A client kept the pins for max-age seconds after it had
seen the header, so pins that are read begin now. It ignored a header with one pin
alone, and one that is not in the grammar: both are errors here.

Apache and nginx send the header from a line of their configuration, in quotes.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import PolicyError
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host, rule_to_write
from pinverify.formats._reading import Reading, text_of
from pinverify.formats._server_lines import apache_words, nginx_words
from pinverify.policy import UNPINNED, PinSet, Rules
from pinverify.policy._epoch_seconds import seconds_of
from pinverify.policy._hosts import split_pattern
from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._reading import Given, Loaded
    from pinverify.formats._server_lines import Words
    from pinverify.policy import Pin

__all__ = [
    "dump_apache",
    "dump_nginx",
    "dumps",
    "load_apache",
    "load_nginx",
    "loads",
]

_HEADER = "Public-Key-Pins"
_REPORT_ONLY = "Public-Key-Pins-Report-Only"
_NAMES = {name.lower(): name for name in (_HEADER, _REPORT_ONLY)}
_CAN = Abilities(report=True, expiry=True, min_pins=2)
_DEFAULT_AGE = 60 * 24 * 3600  # the longest that Chromium kept pins
_LAST = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)


def loads(data: bytes, given: Given) -> Loaded:
    """Read a header: its value, or its name and value.

    Raises:
        PolicyError: it is not in the grammar of RFC 7469, or a client would ignore it.
    """
    text = text_of(data, given, "header").strip()
    name, colon, value = text.partition(":")
    if colon and name.lower() in _NAMES:
        return _load(_NAMES[name.lower()], value, "", given)
    return _load(_HEADER, text, "", given)


def load_apache(data: bytes, given: Given) -> Loaded:
    """Read the header from a configuration of Apache."""
    text = text_of(data, given, "configuration")
    return _load_line(_apache_headers(apache_words(text, given)), given)


def load_nginx(data: bytes, given: Given) -> Loaded:
    """Read the header from a configuration of nginx."""
    text = text_of(data, given, "configuration")
    return _load_line(_nginx_headers(nginx_words(text, given)), given)


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write the header of one host, with its name.

    Raises:
        PolicyError: no host is given, or it has no pins.
    """
    name, value, losses = _written(rules, given)
    return Dumped(f"{name}: {value}\n", losses.found())


def dump_apache(rules: Rules, given: Given) -> Dumped:
    """Write the line of a configuration of Apache."""
    name, value, losses = _written(rules, given)
    quoted = value.replace('"', '\\"')
    return Dumped(f'Header always set {name} "{quoted}"\n', losses.found())


def dump_nginx(rules: Rules, given: Given) -> Dumped:
    """Write the line of a configuration of nginx."""
    name, value, losses = _written(rules, given)
    return Dumped(f"add_header {name} '{value}' always;\n", losses.found())


# ---- reading -----------------------------------------------------------------------


class _Directives(NamedTuple):
    """The directives of a header."""

    pins: list[Pin]
    max_age: int | None
    is_below: bool


def _load(name: str, value: str, where: str, given: Given) -> Loaded:
    """Return the rules of a header."""
    reading = Reading(given)
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


# ---- configurations of servers -----------------------------------------------------


class _Header(NamedTuple):
    """A header that a configuration sends; what is wrong, if it cannot be read."""

    line: int
    name: str
    value: str
    problem: str = ""


def _load_line(headers: Iterator[_Header], given: Given) -> Loaded:
    """Return the rules of the only header of a configuration."""
    found = list(headers)
    if not found:
        msg = f"{given.name}: no line sends {_HEADER}; lines in comments do not count"
        raise PolicyError(msg)
    reading = Reading(given)
    for header in found:
        if header.problem:
            reading.mistake(f"line {header.line}", header.problem)
    for header in found[1:]:
        msg = "a second header with pins; give a file with one of them"
        reading.mistake(f"line {header.line}", msg)
    reading.check()
    (header,) = found
    return _load(header.name, header.value, f"line {header.line}", given)


def _apache_headers(lines: Iterator[Words]) -> Iterator[_Header]:
    """Yield what ``Header [always] set NAME VALUE`` sends."""
    for line, words in lines:
        if not words or words[0].lower() != "header":
            continue
        rest = words[1:]
        if rest and rest[0].lower() in {"always", "onsuccess"}:
            rest = rest[1:]
        if len(rest) < 2 or rest[1].rstrip(":").lower() not in _NAMES:  # noqa: PLR2004
            continue
        action, name, *values = rest
        name = _NAMES[name.rstrip(":").lower()]
        problem = ""
        if action.lower() != "set":
            problem = f"Header {action} is not understood; write Header always set"
        elif len(values) != 1:
            problem = 'more than one value; escape the quotes inside: \\"'
        elif "%" in values[0]:
            problem = "the value has a '%', which Apache replaces; write the pins"
        yield _Header(line, name, values[0] if values else "", problem)


def _nginx_headers(lines: Iterator[Words]) -> Iterator[_Header]:
    """Yield what ``add_header NAME VALUE [always]`` sends."""
    for line, words in lines:
        if len(words) < 2 or words[0] != "add_header" or words[1].lower() not in _NAMES:  # noqa: PLR2004
            continue
        values = words[2:-1] if words[-1] == "always" else words[2:]
        problem = ""
        if len(values) != 1:
            problem = "more than one value; put the whole value in single quotes"
        elif "$" in values[0]:
            problem = "the value has a variable; write the pins themselves"
        yield _Header(line, _NAMES[words[1].lower()], "".join(values[:1]), problem)


# ---- writing -----------------------------------------------------------------------


def _written(rules: Rules, given: Given) -> tuple[str, str, Losses]:
    """Return the name and the value of a header."""
    losses = Losses()
    host, one = rule_to_write(rules, given, losses, below=True)
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
    return name, "; ".join([*pins, age, *below]), losses


def _age(pattern: str, value: PinSet, given: Given, losses: Losses) -> int:
    """Return the seconds from now to the expiry."""
    if value.expires is None:
        if value.mode == "enforce":
            became = f"pins for {_DEFAULT_AGE // 86400} days after each header"
            losses.add("expiry-needed", pattern, "pins without an end", became)
        return _DEFAULT_AGE
    now = given.now or dt.datetime.now(dt.UTC)
    return max(0, seconds_of(value.expires) - seconds_of(now))
