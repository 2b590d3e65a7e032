"""All mistakes of a policy file in JSON.

The parser stops at the first value that is wrong. So a file that has a mistake is
parsed again, with everything noted that JSON itself allows. The parser tells no lines
of what it has read, and programs write JSON: a mistake has the keys that lead to it.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
from pinverify.files._tables import SOUND, Mistake, mistakes_in, name_of
from pinverify.formats._json_values import (
    check_text,
    decoded,
    key_twice,
    moment_of,
    tables_of,
    told_constant,
    told_twice,
    with_times,
)
from pinverify.policy._printable import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.files._tables import Place

__all__ = ["look_again"]

_MAX_KEYS = 6  # of a place: those of a policy have four
_MAX_NAME = 256

_Twice = dict[int, tuple[dict[str, Any], str]]
"""Objects with a key that is there twice, and the key, by the address of the object."""


def look_again(text: str, name: str, *, tables: bool) -> Iterator[Mistake]:
    """Yield the mistakes of a text.

    Args:
        text: the file.
        name: of the file.
        tables: it has the tables of pinverify, which are checked as well.

    Raises:
        NotJSONError: it is not JSON, behind the first mistake.
    """
    twice: _Twice = {}

    def noting(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            twice[id(found)] = found, key_twice(pairs)
        return found

    document = decoded(text, name, noting)
    told = set()
    for mistake in _bad_values(document, twice):
        told.add(mistake.place)
        yield mistake
    if tables:
        for mistake in _in_tables(document):
            if mistake.place not in told:
                yield mistake


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
                yield Mistake(keys, _name(keys[:-1]), told_twice(again), "twice")
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
        return told_constant(json.dumps(value))
    if isinstance(value, str):
        try:
            check_text(value)
        except PolicyError as error:
            return str(error)
    return ""


def _in_tables(document: object) -> Iterator[Mistake]:
    """Yield the mistakes of pinverify's own tables."""
    for place, table in tables_of(document) if isinstance(document, dict) else ():
        if "expires" not in table:
            continue
        try:
            moment_of(table["expires"])
        except PolicyError as error:
            at = (*place, "expires")
            yield Mistake(at, name_of(place), str(error), error.kind)
            table["expires"] = SOUND["expires"]
    try:
        tables = with_times(document)
    except PolicyError as error:
        yield Mistake((), "", str(error))
    else:
        yield from mistakes_in(tables)
