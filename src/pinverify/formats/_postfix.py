"""Postfix: fingerprints of servers, in main.cf or in a table of smtp_tls_policy_maps.

    smtp_tls_security_level = fingerprint          [mx.example.com]:587 fingerprint
    smtp_tls_fingerprint_digest = sha256               match=AA:BB:…|CC:DD:…
    smtp_tls_fingerprint_cert_match = AA:BB:…      .example.org  encrypt

Postfix compares the server's own certificate, and its key, with each digest, so each
digest becomes two pins of `leaf`. Only main.cf says whether the digests are SHA-256.
Digests in main.cf are for all destinations, which main.cf does not name; a table names
its destinations. ``.example.org`` stands for all names below example.org, but not for
example.org itself.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pinverify.core._hosts import is_address, split_pattern
from pinverify.errors import shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._one_host import given_host
from pinverify.formats._policy_reading import Reading, lines_of, text_of
from pinverify.policy import UNPINNED, Pin, PinKind, PinSet, Rules, Unpinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pinverify.formats._policy_reading import Given, Loaded

__all__ = ["dumps", "loads"]

_CAN = Abilities(lists=frozenset({"leaf"}), kinds=frozenset(PinKind), exempt=True)
_LEVEL = "smtp_tls_security_level"
_DIGEST = "smtp_tls_fingerprint_digest"
_MATCH = "smtp_tls_fingerprint_cert_match"
_MAPS = "smtp_tls_policy_maps"
_COMPATIBILITY = "compatibility_level"
_USED = {_LEVEL, _DIGEST, _MATCH, _MAPS, _COMPATIBILITY}
_FINGERPRINT = "fingerprint"
_OTHER_LEVELS = {
    *("none", "may", "encrypt", "dane", "dane-only", "half-dane", "verify", "secure")
}
_PARAMETER = re.compile(r"([A-Za-z0-9_]+)\s*=\s*(.*)", re.DOTALL)
_SHA_256 = re.compile(r"[0-9a-fA-F]{64}|(?:[0-9a-fA-F]{2}:){31}[0-9a-fA-F]{2}")
_OTHER_HASHES = {32: "MD5", 40: "SHA-1", 96: "SHA-384", 128: "SHA-512"}
# A line with a destination is longer, and many short lines would take much memory.
_LENGTH_FOR_LINE = 24
_FREE_LINES = 1024
_MAX_WORDS = 1024  # words of a line, and physical lines that make one


def loads(data: bytes, given: Given) -> Loaded:
    """Read main.cf, or a table."""
    reading = Reading(given)
    parameters: dict[str, _Line] = {}
    table: _Table = {}
    text = text_of(data, given, "configuration")
    left = _FREE_LINES + len(text) // _LENGTH_FOR_LINE
    for line in _logical_lines(text, reading):
        parameter = _PARAMETER.fullmatch(line.value)
        left -= 1
        if left < 0:
            msg = "very many very short lines; this is no policy"
            reading.mistake(line.number, msg)
            break
        if parameter is None:
            _read_destination(line, table, reading)
        elif (name := parameter[1]) in _USED:
            if name in parameters:
                msg = f"{name} is there already; keep one"
                reading.mistake(line.number, msg, "twice")
            parameters[name] = _Line(line.number, parameter[2].strip())
    if parameters and table:
        msg = "a line of a table in main.cf; give one of both"
        reading.mistake(next(iter(table.values())).number, msg)
    reading.check()
    if table:
        _add_destinations(table, given, reading)
    else:
        _read_main(parameters, given, reading)
    return reading.loaded(
        f"no destination has fingerprints; name a main.cf with {_MATCH}, or a table"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a table of smtp_tls_policy_maps; main.cf could not name hosts."""
    losses = Losses(given.position)
    hosts = fit(rules, _CAN, losses).hosts
    if not any(isinstance(value, PinSet) for value in hosts.values()):
        given.refuse("there is no rule to write; add a host with pins of a leaf")
    lines = [f"# In main.cf: {_DIGEST} = sha256"]
    for pattern, value in sorted(hosts.items()):
        level = "may"
        if isinstance(value, PinSet):
            digests = sorted({pin.digest.hex(":").upper() for pin in value.leaf})
            level = f"{_FINGERPRINT} match={'|'.join(digests)}"
        _, name = split_pattern(pattern)
        if name != pattern:
            lines.append(f".{name} {level}")
        if name == pattern or name not in hosts:
            lines.append(f"{_destination(name)} {level}")
    return Dumped("\n".join(lines) + "\n", losses.found())


def _destination(name: str) -> str:
    """Return a host as the key of a table: an address is in brackets."""
    if not is_address(name):
        return name
    return f"[ipv6:{name}]" if ":" in name else f"[{name}]"


# ---- lines -------------------------------------------------------------------------


class _Line(NamedTuple):
    """The number of a logical line, and its value."""

    number: int
    value: str


def _logical_lines(text: str, reading: Reading) -> Iterator[_Line]:
    """Yield each line joined with its continuation lines, which begin with a blank."""
    first = 0
    parts: list[str] = []
    for number, line in lines_of(text):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not line[0].isspace() and parts:
            yield _Line(first, " ".join(parts))
            parts = []
        first = first if parts else number
        if len(parts) > _MAX_WORDS:
            reading.mistake(number, "a line that goes on for ever; cut it")
            return
        parts.append(line.strip())
    if parts:
        yield _Line(first, " ".join(parts))


def _words(line: _Line, separators: str, reading: Reading) -> list[str]:
    """Return the words of a line; none, and a mistake, if there are too many."""
    words = list(islice(re.finditer(f"[^{separators}]+", line.value), _MAX_WORDS + 1))
    if len(words) > _MAX_WORDS:
        reading.mistake(
            line.number, f"more than {_MAX_WORDS:,} words; this is no policy"
        )
        return []
    return [word[0] for word in words]


def _digests(line: _Line, words: list[str], reading: Reading) -> PinSet | None:
    """Return the pins of digests, or None if there are none; note each bad one."""
    pins: list[Pin] = []
    for word in words:
        if _SHA_256.fullmatch(word):
            digest = bytes.fromhex(word.replace(":", ""))
            pins += [Pin(kind, digest) for kind in PinKind]
            continue
        digits = word.replace(":", "")
        other = _OTHER_HASHES.get(len(digits), "no digest")
        if not re.fullmatch("[0-9a-fA-F]+", digits):
            other = "no digest"
        msg = f"{shown(word)} is {other}; write a SHA-256 as 64 hex digits"
        reading.mistake(line.number, msg, "pin")
    return PinSet(leaf=pins) if pins else None


# ---- main.cf -----------------------------------------------------------------------


def _read_main(parameters: Mapping[str, _Line], given: Given, reading: Reading) -> None:
    for name, line in parameters.items():
        if "$" in line.value:
            msg = f"{name} has a '$', which Postfix replaces; write the value"
            reading.mistake(line.number, msg)
    maps = parameters.get(_MAPS)
    if maps is not None and maps.value:
        msg = f"{_MAPS} is left out; read its table by itself"
        reading.notice(maps.number, msg)
    match = parameters.get(_MATCH)
    if match is None or not match.value:
        return
    if given.host is None:
        reading.mistake(match.number, "main.cf names no host; give `host` (--host)")
        return
    level = parameters.get(_LEVEL, _Line(0, ""))
    if level.value != _FINGERPRINT:
        msg = f"no fingerprint is used, unless {_LEVEL} = {_FINGERPRINT}; write that"
        reading.mistake(match.number, msg)
    digest = parameters.get(_DIGEST)
    if digest is None and _version(parameters) < [3, 6]:
        msg = f"{_DIGEST} is missing, and is md5 before {_COMPATIBILITY} = 3.6"
        reading.mistake(match.number, f"{msg}; write {_DIGEST} = sha256")
    elif digest is not None and digest.value.lower() != "sha256":
        msg = f"{_DIGEST} = {shown(digest.value)}; write sha256, and such digests"
        reading.mistake(digest.number, msg)
    value = _digests(match, _words(match, r"\s,|", reading), reading)
    if value is not None:
        reading.rule(match.number, given_host(given), value)


def _version(parameters: Mapping[str, _Line]) -> list[int]:
    words = parameters.get(_COMPATIBILITY, _Line(0, "0")).value.split(".")
    return [int(word) if re.fullmatch("[0-9]{1,4}", word) else 0 for word in words]


# ---- tables ------------------------------------------------------------------------


class _Said(NamedTuple):
    """The line and the value of a host, and whether it is for all its ports."""

    number: int
    value: PinSet | Unpinned
    is_plain: bool


_Table: TypeAlias = dict[str, _Said]
"""The lines of hosts; a dot before a name stands for the hosts below it."""


def _read_destination(line: _Line, table: _Table, reading: Reading) -> None:
    key, *words = line.value.split(maxsplit=1)
    value = _value(_Line(line.number, "".join(words)), reading)
    name = _name(key, line, reading)
    if value is None or name is None:
        return
    said = _Said(line.number, value, is_plain=not re.search(r"[\[\]:]", key))
    before = table.get(name, said)
    if before.value != value:
        msg = f"other pins for {name!r} on line {before.number}; keep one"
        reading.mistake(line.number, msg, "twice")
    table[name] = said if said.is_plain else before


def _value(line: _Line, reading: Reading) -> PinSet | Unpinned | None:
    """Return what a line says of a destination; None, and a mistake, if it is wrong."""
    level, *attributes = _words(line, r"\s,", reading) or [""]
    if level in _OTHER_LEVELS:
        return UNPINNED
    if level != _FINGERPRINT:
        known = ", ".join(sorted({*_OTHER_LEVELS, _FINGERPRINT}))
        reading.mistake(line.number, f"no level {shown(level)}; there is {known}")
        return None
    words = [
        word
        for attribute in attributes
        if attribute.startswith("match=")
        for word in _words(
            _Line(line.number, attribute.removeprefix("match=")), "|", reading
        )
    ]
    if not words:
        msg = f"no match=, so those of {_MATCH} in main.cf are taken; write them here"
        reading.mistake(line.number, msg)
        return None
    return _digests(line, words, reading)


def _name(key: str, line: _Line, reading: Reading) -> str | None:
    """Return the host of a destination; a dot before it stands for hosts below it."""
    below = "." if key.startswith(".") else ""
    match = re.fullmatch(r"\[(?:ipv6:)?([^\]]+)\](?::\w+)?|([^\[\]]*?)(?::\w+)?", key)
    text = (match[1] or match[2]) if match else key
    msg = "a destination has no '*'; write a dot before the name"
    name = reading.pattern(line.number, text.removeprefix(below), msg)
    return None if name is None else below + name


def _add_destinations(table: _Table, given: Given, reading: Reading) -> None:
    if given.host is not None:
        reading.mistake("host", "a table names its hosts; leave out `host` (--host)")
    if any(isinstance(said.value, PinSet) for said in table.values()):
        msg = f"digests are taken as SHA-256, as by {_DIGEST} = sha256 in main.cf"
        reading.remark("", msg)
    for key, said in table.items():
        above = _said_above(key.removeprefix("."), table)
        if not said.is_plain and above is not UNPINNED and above != said.value:
            msg = "Postfix takes this for one port or form of a name, and a wider line"
            advice = "write the line without port and brackets, or leave it out"
            reading.mistake(
                said.number, f"{msg} for the rest, and a rule has none; {advice}"
            )
        for pattern, decided in _rules_of(key, said.value, table):
            reading.rule(said.number, pattern, decided)


def _rules_of(
    key: str, value: PinSet | Unpinned, table: _Table
) -> Iterator[tuple[str, PinSet | Unpinned]]:
    """Yield the rules of a destination; none if it needs no pins and no exemption."""
    name = key.removeprefix(".")
    above = _said_above(name, table)
    if value is UNPINNED and above is UNPINNED:
        if name == key and f".{name}" in table:
            yield name, value
    elif name == key:
        yield name, value
    else:
        yield f"**.{name}", value
        if name not in table:  # the name itself is not below it
            yield name, above


def _said_above(name: str, table: _Table) -> PinSet | Unpinned:
    """Return what the nearest destination above a name says."""
    _, dot, suffix = name.partition(".")
    while dot:
        if f".{suffix}" in table:
            return table[f".{suffix}"].value
        _, dot, suffix = suffix.partition(".")
    return UNPINNED
