"""pinverify's own format in JSON: the tables of docs/policy-toml.md, but fast to read.

Programs write it and read it. Duplicate keys and lone surrogates are refused, and so is
a text that would take far more memory than its size. The parser does not give the lines
of values, so a mistake is reported with the keys that lead to it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError, shortened, shown
from pinverify.files._toml_and_json_tables import (
    SOUND,
    Mistake,
    all_mistakes,
    columns_of,
    mistakes_in,
    name_of,
    rules_of,
)
from pinverify.formats._losses import Dumped
from pinverify.formats._policy_reading import Given, Loaded, text_of
from pinverify.policy import PinSet
from pinverify.policy._rules import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.files._toml_and_json_tables import Columns, Place
    from pinverify.policy import Pin, Rules

__all__ = ["compiles", "dumps", "loads", "parsed"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read rules from JSON."""
    document, mistakes = _parsed(text_of(data, given, "policy"), given.name)
    told = {mistake.place for mistake in mistakes}
    mistakes += [one for one in _make_times(document) if one.place not in told]
    first = PolicyError("not the JSON of a policy")
    if not mistakes:
        try:
            return Loaded(rules_of(document, given.name))
        except PolicyError as error:
            first = error
            first.__traceback__ = first.__context__ = None
    if isinstance(document, dict):
        mistakes += [one for one in mistakes_in(document) if one.place not in told]
    del document  # the error would hold all of it
    raise all_mistakes(mistakes, lambda _: {}, given.name, first)


def compiles(data: bytes, given: Given) -> Columns | Loaded:
    """Read JSON that is to be compiled, as columns if that is possible."""
    return _columns(text_of(data, given, "policy")) or loads(data, given)


def _columns(text: str) -> Columns | None:
    """Return the columns of a text; None if it has, or may have, anything else.

    Duplicate keys are found by counting colons, because a hook of the parser for each
    object would take far longer than the whole reading. One colon follows each key. The
    only other colons are in addresses among the names. If there are more colons than
    these, a key is a duplicate.
    """
    if "\\" in text or _too_many_values(text):
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

# Every value of JSON follows one of these. With fewer bytes for each value, the objects
# that Python makes are more than ten times as large as the text.
_BEFORE_VALUES = "[{,:"
_BYTES_FOR_VALUE = 8
_FREE_VALUES = 4096
_MAX_KEYS = 6  # of a place; in a policy, a place has at most four
_MAX_NAME = 256

_Twice = dict[int, tuple[dict[str, Any], str]]
"""Objects with a duplicate key, and that key, by the `id` of the object."""


def parsed(text: str, name: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON from a stranger."""
    document, mistakes = _parsed(text, name)
    if mistakes:
        del document  # the error would hold all of it
        raise all_mistakes(mistakes, lambda _: {}, name, PolicyError("not JSON"))
    return document


def _too_many_values(text: str) -> int:
    """Return the number of values in a text if it is too large; else 0."""
    num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
    most = _FREE_VALUES + len(text) // _BYTES_FOR_VALUE
    return num_values if num_values > most else 0


def _parsed(text: str, name: str) -> tuple[Any, list[Mistake]]:
    given = Given(name)
    twice: _Twice = {}

    def of_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counted = Counter(key for key, _ in pairs)
            twice[id(found)] = found, counted.most_common(1)[0][0]
        return found

    if num_values := _too_many_values(text):
        why = f"{num_values:,} values of a few bytes each; this is no policy"
        given.refuse(why, kind="syntax")
    try:
        document = json.loads(text, object_pairs_hook=of_pairs)
    except RecursionError:
        given.refuse("not JSON of a policy: nested too deeply", kind="syntax")
    except json.JSONDecodeError as error:
        why = (
            f"not JSON: {error.msg} at column {error.colno}; "
            "JSON has no comments, and no comma behind the last value"
        )
        given.refuse(why, error.lineno, "syntax")
    except ValueError:  # int() raises one for thousands of digits
        why = "not JSON of a policy: a number has thousands of digits"
        given.refuse(why, kind="syntax")
    # UTF-8 cannot have half of a surrogate pair, so it needs an escape.
    is_sound = not (twice or any(word in text for word in ("\\u", "NaN", "Infinity")))
    return document, [] if is_sound else list(_bad_values(document, twice))


def _bad_values(document: object, twice: _Twice) -> Iterator[Mistake]:
    """Yield duplicate keys, and values that JSON does not have."""
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
    return shortened(name_of(place), _MAX_NAME) if place else ""


def _problem(value: object) -> str:
    """Return what is wrong with a single value; empty if nothing is."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"not JSON: {json.dumps(value)} is no value of JSON"
    if isinstance(value, str) and not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            return f"{shown(value)} has half of a surrogate pair; remove it"
    return ""


# ---- times -------------------------------------------------------------------------

# RFC 3339, but the offset may be missing: that has an error of its own.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)


def _make_times(document: object) -> Iterator[Mistake]:
    """Replace the texts of times by date-times; yield those that are not times."""
    if not isinstance(document, dict):
        yield Mistake((), "", 'expected an object, as in {"version": 1, "hosts": {…}}')
        return
    for place, table in _tables_of(document):
        text = table.get("expires")
        if isinstance(text, str):  # the check of types finds anything else
            moment = _moment_of(text)
            table["expires"] = moment or SOUND["expires"]
            if moment is None:
                why = f"expires: {shown(text)} is not a time, as 2027-01-31T00:00:00Z"
                yield Mistake((*place, "expires"), name_of(place), why, "expiry")
        if table.keys() == {"ca"}:  # a name in JSON has its quotes
            table["mode"] = "enforce"


def _tables_of(document: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the place and the table of each host, and of clients."""
    hosts = document.get("hosts")
    for pattern, table in hosts.items() if isinstance(hosts, dict) else ():
        if isinstance(table, dict):
            yield ("hosts", pattern), table
    if isinstance(document.get("clients"), dict):
        yield ("clients",), document["clients"]


def _moment_of(text: str) -> dt.datetime | None:
    with contextlib.suppress(ValueError):  # for a day that the month does not have
        if _TIME.fullmatch(text):
            return dt.datetime.fromisoformat(text)
    return None


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
