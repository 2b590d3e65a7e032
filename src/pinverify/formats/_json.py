"""pinverify's own format in JSON: the tables of docs/policy-toml.md, and fast to read.

Programs write it, programs read it. Duplicate keys and lone surrogates are refused,
and so is a text that would take far more memory than its size. The parser tells no
lines of what it has read: a mistake has the keys that lead to it.
"""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError, shortened, shown
from pinverify.files._policy_tables import (
    SOUND,
    Mistake,
    all_mistakes,
    columns_of,
    mistakes_in,
    name_of,
    rules_of,
)
from pinverify.formats._losses import Dumped
from pinverify.formats._policy_reading import Loaded, text_of
from pinverify.policy import PinSet
from pinverify.policy._rules import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.files._policy_tables import Columns, Place
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Pin, Rules

__all__ = ["compiles", "dumps", "loads", "parsed"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read rules from JSON.

    Raises:
        PolicyError: the text has a mistake; the message says where, and what to write.
    """
    document, mistakes = _parsed(text_of(data, given, "policy"), given.name)
    first = PolicyError("not the JSON of a policy")
    if not mistakes:
        try:
            return Loaded(rules_of(_with_times(document), given.name))
        except PolicyError as error:
            first = error
            first.__traceback__ = first.__context__ = None
    told = {mistake.place for mistake in mistakes}
    mistakes += [one for one in _in_tables(document) if one.place not in told]
    del document  # the error would hold all of it
    raise all_mistakes(mistakes, lambda _: {}, given.name, first)


def compiles(data: bytes, given: Given) -> Columns | Loaded:
    """Read JSON that is to be compiled; as columns, where it can be.

    Raises:
        PolicyError: as in `loads`.
    """
    return _columns(text_of(data, given, "policy")) or loads(data, given)


def _columns(text: str) -> Columns | None:
    """Return the columns of a text; None if it has, or may have, anything else in it.

    The parser is not told to look at each object, which takes far longer than all the
    rest. So a key that is there twice shows in another way: there are more colons than
    keys, since no name or pin has one but an address.
    """
    if "\\" in text or _has_too_many_values(text):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = columns_of(document) if isinstance(document, dict) else None
    if found is None:
        return None
    num_keys = len(document) + 2 * len(found.hosts)
    in_names = sum(host.count(":") for host in found.hosts)
    return found if text.count(":") == num_keys + in_names else None


def dumps(rules: Rules, _: Given) -> Dumped:
    """Write rules as JSON: reading it gives equal rules."""
    document: dict[str, Any] = {"version": 1}
    if rules.unpinned != "allow":
        document["unpinned"] = rules.unpinned
    if rules.blocked:
        document["blocked"] = _texts(rules.blocked)
    if rules.clients is not None:
        document["clients"] = _table(rules.clients)
    document["hosts"] = {
        pattern: _table(value) if isinstance(value, PinSet) else {"unpinned": True}
        for pattern, value in sorted(rules.hosts.items())
    }
    if not (rules.hosts or rules.blocked or rules.clients):
        msg = "there are no rules to write; add a host"
        raise PolicyError(msg)
    return Dumped(json.dumps(document, indent=1) + "\n")


# ---- parsing -----------------------------------------------------------------------

# Every value of JSON is behind one of these. With fewer bytes for a value, the objects
# that Python makes are more than ten times as large as the text.
_BEFORE_VALUES = "[{,:"
_BYTES_FOR_VALUE = 8
_FREE_VALUES = 4096
_MAX_KEYS = 6  # of a place: those of a policy have four
_MAX_NAME = 256

_Twice = dict[int, tuple[dict[str, Any], str]]
"""Objects with a key that is there twice, and the key, by the address of the object."""


def parsed(text: str, name: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON from a stranger.

    Raises:
        PolicyError: it is not JSON, a key is there twice, a string is not Unicode, or
            it is made of very many very small values.
    """
    document, mistakes = _parsed(text, name)
    if mistakes:
        del document  # the error would hold all of it
        raise all_mistakes(mistakes, lambda _: {}, name, PolicyError("not JSON"))
    return document


def _has_too_many_values(text: str) -> bool:
    num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
    return num_values > _FREE_VALUES + len(text) // _BYTES_FOR_VALUE


def _parsed(text: str, name: str) -> tuple[Any, list[Mistake]]:
    """Parse JSON, and find what a parser takes and we do not.

    Raises:
        PolicyError: there is nothing else to find: it is not JSON, or far too much.
    """
    twice: _Twice = {}
    constants: list[str] = []

    def of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counted = Counter(key for key, _ in pairs)
            twice[id(found)] = found, counted.most_common(1)[0][0]
        return found

    def of_constant(constant: str) -> float:
        constants.append(constant)
        return float(constant)

    if _has_too_many_values(text):
        num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
        why = f"{num_values:,} values of a few bytes each; this is no policy"
        raise _unreadable(name, why)
    try:
        document = json.loads(
            text, object_pairs_hook=of_pairs, parse_constant=of_constant
        )
    except RecursionError:
        why = "not JSON of a policy: nested too deeply"
        raise _unreadable(name, why) from None
    except json.JSONDecodeError as error:
        why = (
            f"line {error.lineno}: not JSON: {error.msg} at column {error.colno}; "
            "JSON has no comments, and no comma behind the last value"
        )
        raise _unreadable(name, why) from None
    except ValueError:  # int() raises one for thousands of digits
        why = "not JSON of a policy: a number has thousands of digits"
        raise _unreadable(name, why) from None
    # Without an escape, half of a surrogate pair could not stand in UTF-8.
    is_sound = not (twice or constants or "\\u" in text)
    return document, [] if is_sound else list(_bad_values(document, twice))


def _unreadable(name: str, why: str) -> PolicyError:
    """Return the error about a text in which nothing else can be found."""
    return PolicyError(f"{name}: {why}", kind="syntax")


def _bad_values(document: object, twice: _Twice) -> Iterator[Mistake]:
    """Yield the keys that are there twice, and values that are none of JSON."""
    place: list[str | int] = [""]
    waiting: list[Iterator[tuple[str | int, object]]] = [iter([("", document)])]
    while waiting:
        for key, value in waiting[-1]:
            place[-1] = key
            if problem := _problem(key) or _problem(value):
                at = tuple(place[1 : _MAX_KEYS + 1])
                yield Mistake(at, _name(at), problem, "syntax")
            if id(value) in twice:
                _, again = twice[id(value)]
                keys = (*place[1:], again)[:_MAX_KEYS]
                problem = f"the key {shown(again)} is there twice; keep one of them"
                yield Mistake(keys, _name(keys[:-1]), problem, "twice")
            if isinstance(value, dict | list):
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                waiting.append(iter(pairs))
                place.append("")
                break
        else:
            waiting.pop()
            place.pop()


def _name(place: Place) -> str:
    """Return the name of a place; the whole document has none."""
    return shortened(name_of(place), _MAX_NAME) if place else ""


def _problem(value: object) -> str:
    """Return what is wrong with a single value, or nothing."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"not JSON: {json.dumps(value)} is no value of JSON"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return f"{shown(value)} has half of a surrogate pair; remove it"
    return ""


# ---- times -------------------------------------------------------------------------

# RFC 3339; a time without an offset has an error of its own.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)


def _with_times(document: object) -> dict[str, Any]:
    """Return a document whose texts of times have become date-times.

    Raises:
        PolicyError: it is no object, or a text is not a time.
    """
    if not isinstance(document, dict):
        msg = 'expected an object, as in {"version": 1, "hosts": {…}}'
        raise PolicyError(msg)
    for _, table in _tables_of(document):
        if "expires" in table:
            table["expires"] = _moment_of(table["expires"])
        if table.keys() == {"ca"}:  # a name in JSON has its quotes
            table["mode"] = "enforce"
    return document


def _tables_of(document: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the place and the table of each host, and of clients."""
    hosts = document.get("hosts")
    for pattern, table in hosts.items() if isinstance(hosts, dict) else ():
        if isinstance(table, dict):
            yield ("hosts", pattern), table
    if isinstance(document.get("clients"), dict):
        yield ("clients",), document["clients"]


def _moment_of(value: object) -> object:
    """Return the date-time of a text; anything else is for the check of types.

    Raises:
        PolicyError: the text is not a time.
    """
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return dt.datetime.fromisoformat(value)
    except ValueError:
        pass
    msg = f"expires: {shown(value)} is not a time, as 2027-01-31T00:00:00Z"
    raise PolicyError(msg, kind="expiry")


def _in_tables(document: object) -> Iterator[Mistake]:
    """Yield the mistakes of pinverify's own tables."""
    for place, table in _tables_of(document) if isinstance(document, dict) else ():
        if "expires" not in table:
            continue
        try:
            _moment_of(table["expires"])
        except PolicyError as error:
            at = (*place, "expires")
            yield Mistake(at, name_of(place), str(error), error.kind)
            table["expires"] = SOUND["expires"]
    try:
        tables = _with_times(document)
    except PolicyError as error:
        yield Mistake((), "", str(error))
    else:
        yield from mistakes_in(tables)


# ---- writing -----------------------------------------------------------------------


def _table(pinset: PinSet) -> dict[str, Any]:
    table: dict[str, Any] = {
        name: _texts(getattr(pinset, name)) for name in LISTS if getattr(pinset, name)
    }
    if pinset.mode != "enforce":
        table["mode"] = pinset.mode
    if pinset.expires is not None:
        table["expires"] = pinset.expires.isoformat().replace("+00:00", "Z")
        table["after_expiry"] = pinset.after_expiry
    return table


def _texts(pins: tuple[Pin, ...]) -> list[str]:
    return [str(pin) for pin in pins]
