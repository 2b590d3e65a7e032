"""All mistakes of a policy file in TOML, and their lines.

tomllib stops at the first mistake, and does not give the lines of values. So a file
with a mistake is cut into statements: each is a header in brackets, or a key and its
value, and is read by itself. Statements that are not TOML are left out. In the tables
of the others, `_toml_and_json_tables` checks keys, types and pins.
"""

from __future__ import annotations

import functools
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.files._toml_and_json_tables import Mistake, mistakes_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from pinverify.errors import Kind
    from pinverify.files._toml_and_json_tables import Place

__all__ = ["look_again", "tokens"]

# Strings and comments hide brackets and commas. A string that nothing closes is one
# token; otherwise each quote in it would begin a search to the end of the line.
_SHORT = (
    r"'''.*?'''"
    r'|"(?:[^"\\\n]|\\.)*+"?'  # if nothing closes it, to the end of the line
    r"|'[^'\n]*+'?"
    r"|\#[^\n]*"
    r"|[\[\]{},=\n]"
    r"""|[^\s\[\]{},=#"']+"""
)
_UNCLOSED = '"""'
_TOKEN = re.compile(rf'"""(?:[^\\]|\\.)*?"""|{_UNCLOSED}|{_SHORT}', re.DOTALL)
_SHORT_TOKEN = re.compile(_SHORT, re.DOTALL)
_KEY = r"""(?:[\w-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_KEYS = re.compile(rf"[ \t]*({_KEY}(?:[ \t]*\.[ \t]*{_KEY})*)[ \t]*=")
_HOSTS = re.compile(r"[ \t]*\[\[?[ \t]*(?:hosts|clients)\b")
_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)")


class _Statement(NamedTuple):
    """One statement, with its line end, and the number of its first line."""

    line: int
    text: str
    place: Place | None
    """The keys that lead to the value, or to the header's table; None if unknown."""

    @property
    def is_header(self) -> bool:
        """True for the name of a table, in brackets."""
        return self.text.lstrip().startswith("[")


def look_again(
    text: str, document: dict[str, Any] | None
) -> tuple[Iterator[Mistake], Callable[[Collection[Place]], Mapping[Place, int]]]:
    """Return the mistakes of a file, and a function that finds lines of places.

    The document is None if the text is not TOML.
    """
    found: dict[Place, int] = {}

    def lines_of(places: Collection[Place]) -> Mapping[Place, int]:
        return found | _lines_of(text, places)

    if document is None:
        return _mistakes(text, found), lines_of
    return mistakes_in(document), lines_of


def _mistakes(text: str, lines: dict[Place, int]) -> Iterator[Mistake]:
    """Yield statements that are not TOML, whose lines are added to *lines*.

    Then yield the mistakes in the tables of the other statements.
    """
    sound: list[str] = []
    hurt: set[Place] = set()  # tables that are not whole
    seen: dict[Place, int] = {}
    table: Place = ()
    left_out = many = False
    for statement in _statements(text):
        place = statement.place or ()
        if statement.is_header:
            table = place
            left_out, many = False, statement.text.lstrip().startswith("[[")
        problem = None if left_out else _problem(statement)
        if place and not (left_out or problem or many):
            first = seen.setdefault(place, statement.line)
            if first != statement.line:
                why = f"{place[-1]!r} is there twice, see line {first}; keep one"
                problem = statement.line, why
        if problem:
            lines[(statement.line,)], why = problem
            kind: Kind = "twice" if "twice" in why else "syntax"
            yield Mistake((statement.line,), "", f"not TOML: {why}", kind)
            inner = place or table  # only the table, if the key is unknown
            hurt |= {inner[:length] for length in range(len(inner) + 1)}
            left_out = statement.is_header
        is_sound = not (problem or left_out)
        sound.append(statement.text if is_sound else "\n" * statement.text.count("\n"))
    document = "".join(sound)
    problem = _problem(_Statement(1, document, None))
    if problem is None:
        for mistake in mistakes_in(tomllib.loads(document)):
            if mistake.place not in hurt:
                yield mistake
    elif not hurt:
        lines[(0,)], why = problem
        yield Mistake((0,), "", f"not TOML: {why}", "syntax")


def _problem(statement: _Statement) -> tuple[int, str] | None:
    """Return the line and the problem of a statement that is not TOML."""
    try:
        tomllib.loads(statement.text)
    except RecursionError:
        why = "nested too deeply; a host's table holds no further tables"
        return statement.line, why
    except ValueError as error:  # int() raises one for thousands of digits
        why = str(error).removesuffix(" (at end of document)")  # only of the statement
    else:
        return None
    line = statement.line
    if match := _PLACE.search(why):
        line += int(match[1]) - 1
        why = f"{why[: match.start()]} at column {match[2]}"
    advice = "pins, and hosts with dots or '*', need quotes"
    if "twice" in why or "overwrite" in why:
        advice = "a key is there twice; keep one of them"
    return line, f"{why}; {advice}"


def _statements(text: str) -> Iterator[_Statement]:
    """Cut a file into statements; blank lines and comments are statements, too."""
    table: Place | None = ()
    for line, piece in _pieces(text):
        place = None
        if piece.lstrip().startswith("["):
            place = table = _place(piece)
        elif (keys := _KEYS.match(piece)) and table is not None:
            inner = _place(f"{keys[1]} = 0")
            place = None if inner is None else (*table, *inner)
        yield _Statement(line, piece, place)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield the first line and the text of each statement."""
    start, first, line, depth = 0, 1, 1, 0
    for match in tokens(text):
        word, end = match[0], match.end()
        depth += (word in _OPENING) - (word in _CLOSING)
        line += word.count("\n")
        if word != "\n":
            continue
        # No line in a value begins like a statement: here a bracket was not closed.
        if depth <= 0 or _KEYS.match(text, end) or _HOSTS.match(text, end):
            yield first, text[start:end]
            start, first, depth = end, line, 0
    yield first, text[start:]


def tokens(text: str, at: int = 0) -> Iterator[re.Match[str]]:
    """Yield the tokens from a position on.

    After three quotes that nothing closes, no string in three such quotes can follow,
    so none is searched for: each search would go through the rest of the file.
    """
    for match in _TOKEN.finditer(text, at):
        if match[0] == _UNCLOSED:
            yield from _SHORT_TOKEN.finditer(text, match.start())
            return
        yield match


_OPENING = ("[", "{")
_CLOSING = ("]", "}")


@functools.lru_cache(maxsize=64)  # most keys are one of nine
def _place(text: str) -> Place | None:
    """Return the keys that lead to the only value of a text; None if it is no TOML."""
    keys: list[str] = []
    try:
        value: Any = tomllib.loads(text)
    except (ValueError, RecursionError):
        return None
    while isinstance(value, dict) and value:
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys)


def _lines_of(text: str, places: Collection[Place]) -> dict[Place, int]:
    """Return the lines of places, and of the tables around them."""
    wanted = {place[:length] for place in places for length in range(1, len(place) + 1)}
    lines: dict[Place, int] = {}
    for statement in _statements(text):
        place = statement.place
        if not place or place[:1] not in wanted:
            continue
        for length in range(1, len(place) + 1):
            if place[:length] in wanted:
                lines.setdefault(place[:length], statement.line)
        for at in wanted:
            if at[:-1] == place and isinstance(at[-1], int):
                lines[at] = _line_of_item(statement, at[-1])
    return lines


def _line_of_item(statement: _Statement, index: int) -> int:
    """Return the line of an item of the array that a statement has."""
    line, depth, commas = statement.line, 0, 0
    keys = _KEYS.match(statement.text)
    for match in tokens(statement.text, keys.end() if keys else 0):
        word = match[0]
        is_item = word not in (*_CLOSING, ",", "\n") and not word.startswith("#")
        if is_item and depth == 1 and commas == index:
            return line
        commas += word == "," and depth == 1
        depth += (word in _OPENING) - (word in _CLOSING)
        line += word.count("\n")
    return statement.line
