"""The tables of pinverify's own formats, which TOML and JSON share.

This file checks keys and types, and names types in the words of TOML. The meaning is
checked by `PinSet` and `Rules`, as for every format.

`rules_of` is fast, and stops at the first mistake. Then `mistakes_in` looks at each
table, key and pin by itself, and finds the other mistakes; it makes no rules. If a file
has only hosts with pins of keys, `columns_of` is faster still.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import json
import re
from array import array
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pinverify import policy  # a part is imported when it is used
from pinverify.core._hosts import canonical_pattern
from pinverify.core._keys import DIGEST_LEN
from pinverify.errors import (
    MAX_TOLD,
    Kind,
    MistakesError,
    PolicyError,
    shortened,
    shown,
)
from pinverify.files._digests import known_among
from pinverify.policy import UNPINNED, Pin, PinKind, PinSet, Rules, Unpinned
from pinverify.policy._certs_and_pins import plain_digests
from pinverify.policy._rules import LISTS, check_choice, read_pins

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from pinverify.policy import Policy

__all__ = [
    "SOUND",
    "VERSION",
    "Columns",
    "Mistake",
    "Place",
    "all_mistakes",
    "columns_of",
    "mistakes_in",
    "name_of",
    "quoted",
    "rules_of",
]

VERSION = 1


def rules_of(document: dict[str, Any], name: str) -> Rules:
    """Return the rules in the tables of a parsed policy file.

    PolicyError has the first mistake; `all_mistakes` adds the others, and their lines.
    """
    _check_version(document)
    _check_keys(document, _TOP)
    _check_presence(document)
    clients = _clients(document["clients"]) if "clients" in document else None
    hosts: dict[str, PinSet | Unpinned] = {}
    origins: dict[str, str] = {}
    for pattern, value in document.get("hosts", {}).items():
        origins[pattern] = f"{name}: [hosts.{quoted(pattern)}]"
        hosts[pattern] = _rule(pattern, value)
    return Rules(
        hosts,
        unpinned=document.get("unpinned", "allow"),
        blocked=document.get("blocked", ()),
        clients=clients,
        origins=origins,
    )


class _Key(NamedTuple):
    """The types that a key's value may have, and their description."""

    types: tuple[type, ...]
    expected: str


_PINS = _Key((list,), 'a list of pins, as in ["sha256/…"]')
_ALLOW_OR_REJECT = _Key((str,), '"allow" or "reject"')

_TOP = {
    "version": _Key((int,), str(VERSION)),
    "unpinned": _ALLOW_OR_REJECT,
    "blocked": _PINS,
    "hosts": _Key((dict,), 'a table for each host, as in [hosts."api.example.com"]'),
    "clients": _Key((dict, list), "a table, as in [clients]"),
}
_HOST = {
    **dict.fromkeys(LISTS, _PINS),
    "mode": _Key((str,), '"enforce" or "report"'),
    "expires": _Key((dt.datetime,), "a date-time, as in 2027-01-31T00:00:00Z"),
    "after_expiry": _ALLOW_OR_REJECT,
    "unpinned": _Key(
        (bool,), 'true ("allow" or "reject" for all hosts belongs at the top)'
    ),
}

_KINDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    dt.datetime: "a date-time",
    dt.date: "a date",
    dt.time: "a time",
    type(None): "null",  # in JSON, whose tables are the same
}


def _check_version(document: dict[str, Any]) -> None:
    """Refuse another version; checked first, because it may have unknown keys."""
    version = document.get("version", VERSION)
    if type(version) is int and version != VERSION:
        msg = (
            f"version: this pinverify reads version {VERSION} only; for a later "
            "version, install a later pinverify"
        )
        raise PolicyError(msg)


def _check_presence(document: dict[str, Any]) -> None:
    """Refuse a file without a version, or with nothing to check."""
    if "version" not in document:
        msg = (
            f"version is missing; write version = {VERSION} at the top of the file, "
            "above the first table"
        )
        raise PolicyError(msg)
    if not (document.get("hosts") or document.get("blocked") or "clients" in document):
        msg = (
            "hosts: there is no host, and nothing is blocked, so nothing would be "
            'checked; add one, as in hosts."api.example.com" = ["sha256/…"]'
        )
        raise PolicyError(msg)


def _check_keys(
    table: dict[str, Any], keys: dict[str, _Key], pattern: str | None = None
) -> None:
    """Check that the keys of *table* are known, and the types of their values."""
    for key, value in table.items():
        # Not isinstance: a bool is an int, a date-time is a date.
        if key not in keys or type(value) not in keys[key].types:
            kind: Kind = "" if key in keys else "key"
            kind = "expiry" if key == "expires" else kind
            raise PolicyError(_complaint(key, value, keys, pattern), kind=kind)


def _complaint(
    key: str, value: object, keys: dict[str, _Key], pattern: str | None
) -> str:
    """Return the message for a key that is unknown, or whose value has a wrong type."""
    near = next(iter(difflib.get_close_matches(key.lower(), keys, n=1)), None)
    if keys is _TOP and isinstance(value, dict) and not near:
        return _name_in_quotes(key, key, value)
    if pattern is not None and (
        isinstance(value, dict) or (isinstance(value, list) and not near)
    ):
        return _name_in_quotes(key, f"{pattern}.{key}", value)
    if key in keys:
        return f"{key}: expected {keys[key].expected}, got {_KINDS[type(value)]}"
    advice = f"the keys here are {', '.join(keys)}"
    if key in _HOST:
        advice = 'it belongs in the table of a host, [hosts."…"]'
    elif key in _TOP:
        advice = "it belongs at the top of the file, above the first table"
    elif near:
        advice = f"did you mean {near!r}?"
    return f"unknown key {shown(key)}; {advice}"


def _rule(pattern: str, value: object) -> PinSet | Unpinned:
    table = _table_of(value, pattern)
    # Without quotes, TOML splits a host at its dots: hosts.shop.ca = ["sha256/…"] would
    # pin the host "shop", and shop.ca, in Canada, would silently have no pins.
    if "ca" in table and len(table) == 1 and re.fullmatch(r"[A-Za-z0-9_-]+", pattern):
        msg = (
            f"ca: without quotes, {pattern}.ca is the key ca of the host {pattern}; if "
            'you mean that, add mode = "enforce" to it; if not, write hosts.'
            + quoted(f"{pattern}.ca")
        )
        raise PolicyError(msg)
    if "unpinned" not in table:
        return _pinset(table, "write unpinned = true to leave the host without pins")
    if not table["unpinned"]:
        msg = "unpinned: expected true, got false; leave the key out for a pinned host"
        raise PolicyError(msg)
    if others := [key for key in table if key != "unpinned"]:
        msg = (
            "unpinned = true leaves the host without pins, so it must be the only "
            f"key; remove it, or remove {', '.join(others)}"
        )
        raise PolicyError(msg)
    return UNPINNED


def _clients(value: object) -> PinSet:
    table = _table_of(value, None)
    if "unpinned" in table:
        msg = "unpinned is for hosts; leave [clients] out for no pins"
        raise PolicyError(msg)
    return _pinset(table, "leave [clients] out")


def _table_of(value: object, pattern: str | None) -> dict[str, Any]:
    """Return the table of a host or of clients, with its keys checked."""
    if isinstance(value, list):  # the short form
        value = {"pins": value}
    if not isinstance(value, dict):
        msg = f"expected {_PINS.expected}, or a table, got {_KINDS[type(value)]}"
        raise PolicyError(msg)
    expires = value.get("expires")
    if isinstance(expires, dt.date) and getattr(expires, "tzinfo", None) is None:
        text = expires.isoformat()
        whole = text if isinstance(expires, dt.datetime) else text + "T00:00:00"
        msg = f"expires: {text} has no timezone; add Z for UTC: {whole}Z"
        raise PolicyError(msg, kind="expiry")
    _check_keys(value, _HOST, pattern)
    return value


def _pinset(table: dict[str, Any], otherwise: str) -> PinSet:
    if not (table.get("pins") or table.get("leaf") or table.get("ca")):
        msg = f"pins: there is no pin in pins, leaf or ca; add one, or {otherwise}"
        raise PolicyError(msg)
    return PinSet(**table)


def _name_in_quotes(key: str, host: str, value: object) -> str:
    """Return the error for *key*, which was meant to be part of a host.

    Without quotes, [hosts.api.example.com] is a table in a table in a table.
    """
    kind = _KINDS[type(value)]
    while isinstance(value, dict) and not value.keys() & _HOST.keys():
        label, value = next(iter(value.items()), ("", None))
        if not isinstance(value, dict | list):
            break
        host += f".{label}"
    return (
        f"{key!r}: {kind} does not belong here; a host is named in quotes, "
        f"as in [hosts.{quoted(host)}]"
    )


def quoted(text: str) -> str:
    """Return *text* as a TOML string, with unprintable characters escaped."""
    return _ENCODE_PLAIN(text) if text.isprintable() else json.dumps(text)


_ENCODE_PLAIN = json.JSONEncoder(ensure_ascii=False).encode


Place: TypeAlias = tuple[str | int, ...]
"""Keys and indexes that lead to a value of the document; empty for the whole."""

_MAX_TEXT = 1000
_MAX_WHERE = 256


class Mistake(NamedTuple):
    """One mistake: its place, the table's name, the message, and its kind."""

    place: Place
    where: str
    text: str
    kind: Kind = ""


def all_mistakes(
    mistakes: Iterable[Mistake],
    lines_of: Callable[[Collection[Place]], Mapping[Place, int]],
    name: str,
    first: PolicyError,
) -> PolicyError:
    """Return the error that tells the mistakes of a file, each with its line.

    If *mistakes* is empty, the error tells the *first* one, whose message names no
    file. *lines_of* finds the lines of places, or of what is around them.
    """
    others = iter(mistakes)
    found = [*islice(others, MAX_TOLD)]
    num = len(found) + sum(1 for _ in others)
    if not found:
        return PolicyError(f"{name}: {first}", kind=first.kind)
    lines = lines_of({mistake.place for mistake in found})
    found.sort(key=lambda mistake: _line(mistake.place, lines))
    told = []
    for mistake in found:
        line = _line(mistake.place, lines)
        text = shortened(mistake.text, _MAX_TEXT)
        parts = (name, f"line {line}" if line else "", mistake.where, text)
        told.append(": ".join(filter(None, parts)))
    return MistakesError(told, name, num, [mistake.kind for mistake in found])


def _line(place: Place, lines: Mapping[Place, int]) -> int:
    """Return the line of a place, or of the nearest around it; 0 if there is none."""
    for length in range(len(place), 0, -1):
        if line := lines.get(place[:length]):
            return line
    return 0


def mistakes_in(document: dict[str, Any]) -> Iterator[Mistake]:
    """Yield the mistakes of a document; one may hide others of the same key."""
    if later := _tried(("version",), "", _check_version, document):
        yield later
        return
    sound = {}
    for key, value in document.items():
        if wrong := _tried((key,), "", _check_keys, {key: value}, _TOP):
            yield wrong
        else:
            sound[key] = value
    absent = _tried((), "", _check_presence, document)
    if absent and (len(sound) == len(document) or "version" not in document):
        yield absent
    choices = ("allow", "reject")
    unpinned = sound.get("unpinned", "allow")
    tried = [_tried(("unpinned",), "", check_choice, "unpinned", unpinned, choices)]
    for at, pin in enumerate(sound.get("blocked", ())):
        tried.append(_tried(("blocked", at), "", read_pins, [pin], "blocked"))
    yield from filter(None, tried)
    if "clients" in sound:
        yield from _in_table(("clients",), sound["clients"], _clients)
    seen: dict[str, str] = {}
    for text, value in sound.get("hosts", {}).items():
        place = ("hosts", text)
        yield from _in_table(place, value, functools.partial(_rule, text))
        if wrong := _tried(place, "[hosts]", _add_pattern, text, seen):
            yield wrong


def name_of(place: Place) -> str:
    """Return the name of a table for messages, as TOML writes it."""
    return f"[{'.'.join([str(place[0]), *(quoted(str(key)) for key in place[1:])])}]"


def _tried(
    place: Place, where: str, check: Callable[..., object], *arguments: object
) -> Mistake | None:
    """Return the mistake that a check finds, or None."""
    try:
        check(*arguments)
    except PolicyError as error:
        return Mistake(place, shortened(where, _MAX_WHERE), str(error), error.kind)
    return None


def _add_pattern(text: str, seen: dict[str, str]) -> None:
    """Refuse what is no pattern, and a second spelling of an earlier pattern."""
    first = seen.setdefault(canonical_pattern(text), text)
    Rules({first: UNPINNED, text: UNPINNED})


# A table without mistakes: to check a key by itself, its value replaces the one here.
SOUND: dict[str, Any] = {
    **{name: [Pin(PinKind.SPKI, bytes(32))] for name in LISTS},
    "mode": "enforce",
    "expires": dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
    "after_expiry": "allow",
}


def _in_table(
    place: Place, value: object, read: Callable[[object], object]
) -> Iterator[Mistake]:
    """Yield the mistakes of the table of a host or of clients."""
    where = name_of(place)
    whole = _tried(place, where, read, value)
    if whole is None:
        return
    wrong = set()
    table = {"pins": value} if isinstance(value, list) else value
    for key, item in table.items() if isinstance(table, dict) else ():
        around = () if table is not value else (key,)
        for at, piece in _pieces(key, item):
            alone = {} if key == "unpinned" else SOUND
            inside = (*place, *around, *at)
            if found := _tried(inside, where, read, alone | {key: piece}):
                wrong.add(key)
                yield found
    if not wrong or not isinstance(table, dict):
        yield whole
        return
    # A mistake about all keys together shows once each key by itself is right.
    repaired = {k: v for k, v in table.items() if k not in wrong}
    repaired |= {k: v for k, v in SOUND.items() if k in wrong}
    if wrong - SOUND.keys():  # the key may have been meant to be a list of pins
        repaired.setdefault("leaf", SOUND["leaf"])
        repaired.pop("unpinned", None)
    if found := _tried(place, where, read, repaired):
        yield found


def _pieces(key: str, item: object) -> Iterator[tuple[Place, object]]:
    """Yield what can be checked by itself: each pin of a list, or any other value."""
    if key in LISTS and isinstance(item, list):
        for at, pin in enumerate(item):
            yield (at,), [pin]
    else:
        yield (), item


# Most large files have nothing but names, and two pins for each. To make objects of all
# takes far longer than to parse; columns go to the core as they are. A file with more,
# or with a mistake, is left to `rules_of` and `mistakes_in`.

_LEAST_PINS = 2


class Columns(NamedTuple):
    """Hosts, sorted by their names, and the digests of the pins of each."""

    hosts: list[str]
    pins: bytes
    ends: array[int]
    """Host i has pins ends[i] to ends[i + 1]."""
    unpinned: Literal["allow", "reject"]

    def policy(self) -> Policy | None:
        """Return the policy; None if a host is not as it should be written."""
        try:
            return policy.Policy.from_columns(
                self.hosts, self.pins, pin_offsets=self.ends, unpinned=self.unpinned
            )
        except PolicyError:
            return None

    def is_ordinary(self) -> bool:
        """Return True if there is nothing to tell about any rule.

        Each has two pins or more, and `known_among` knows none of them.
        """
        starts = range(0, len(self.pins), DIGEST_LEN)
        return not known_among([self.pins[at : at + DIGEST_LEN] for at in starts])


def columns_of(document: dict[str, Any]) -> Columns | None:
    """Return the columns of a policy file; None if the file has anything else."""
    if not {"version", "hosts"} <= document.keys() <= {"version", "hosts", "unpinned"}:
        return None
    tables, unpinned = document["hosts"], document.get("unpinned", "allow")
    if (
        type(document["version"]) is not int
        or document["version"] != VERSION
        or unpinned not in ("allow", "reject")  # not a set: it may be a list
        or not isinstance(tables, dict)
        or not tables
    ):
        return None
    hosts = sorted(tables)
    texts: list[str] = []
    ends = array("Q", [0])
    for host in hosts:
        table = tables[host]
        pins = table.get("pins") if type(table) is dict and len(table) == 1 else None
        # A single pin is left to `lint`, and a pin that is there twice to the reader.
        if (
            type(pins) is not list
            or len(pins) < _LEAST_PINS
            or len({*map(str, pins)}) < len(pins)
        ):
            return None
        texts += pins
        ends.append(len(texts))
    found = plain_digests(texts)
    return None if found is None else Columns(hosts, found, ends, unpinned)
