"""All mistakes of a policy file in JSON, and their lines.

The parser stops at the first value that is wrong, and tells no lines of what it has
read. So a file that has a mistake is parsed again, with everything noted that JSON
itself allows, and the lines are counted in the text.
"""

from __future__ import annotations

import functools
import json
import math
import re
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
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
from pinverify.formats._own_tables import SOUND, Mistake, mistakes_in, name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pinverify.formats._own_tables import Place

__all__ = ["look_again"]

_MAX_KEYS = 6  # of a place: those of a policy have four

# The number of what comes between them does not matter.
_WORD = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},:\n]|[^\s\[\]{},:"]+', re.DOTALL)

_Twice = dict[int, tuple[dict[str, Any], str]]
"""Objects with a key that is there twice, and the key, by the address of the object."""


def look_again(
    text: str, name: str, *, tables: bool
) -> tuple[Iterator[Mistake], Callable[[Collection[Place]], Mapping[Place, int]]]:
    """Return the mistakes of a text, and a function that finds lines of places.

    Args:
        text: the file.
        name: of the file.
        tables: it has the tables of pinverify, which are checked as well.

    Raises:
        NotJSONError: it is not JSON, behind the first mistake.
    """
    return _mistakes(text, name, tables=tables), functools.partial(_lines_of, text)


def _mistakes(text: str, name: str, *, tables: bool) -> Iterator[Mistake]:
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
                yield Mistake(at, "", problem, "syntax")
            if id(value) in twice:
                _, again = twice[id(value)]
                keys = (*place[1:], again)[:_MAX_KEYS]
                yield Mistake(keys, "", told_twice(again), "twice")
            if isinstance(value, dict | list):
                pairs = value.items() if isinstance(value, dict) else enumerate(value)
                waiting.append(iter(pairs))
                place.append("")
                break
        else:
            waiting.pop()
            place.pop()


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


# ---- lines -------------------------------------------------------------------------


def _lines_of(text: str, places: Collection[Place]) -> dict[Place, int]:
    """Return the lines of places, and of what is around them; of two the last."""
    wanted = {place[:length] for place in places for length in range(1, len(place) + 1)}
    lines: dict[Place, int] = {}
    line = 1
    here: list[str | int] = []  # of each open object the key, of each array the index
    comes_key = False
    for match in _WORD.finditer(text):
        word = match[0]
        if word == "\n":
            line += 1
        elif word in _CLOSING:
            here.pop()
            comes_key = False
        elif word == ",":
            last = here[-1]
            comes_key = isinstance(last, str)
            here[-1] = last if isinstance(last, str) else last + 1
        elif word == ":":
            comes_key = False
        else:
            if comes_key:
                here[-1] = json.loads(word)
            if len(here) <= _MAX_KEYS and tuple(here) in wanted:
                lines[tuple(here)] = line
            if word in _OPENING:
                here.append("" if word == "{" else 0)
                comes_key = word == "{"
    return lines


_OPENING = ("{", "[")
_CLOSING = ("}", "]")
