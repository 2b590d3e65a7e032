"""Configurations of Apache and nginx, cut into words as the servers do it."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from pinverify.errors import PolicyError
from pinverify.formats._reading import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._reading import Given

__all__ = ["Words", "apache_words", "nginx_words"]

Words: TypeAlias = tuple[int, list[str]]
"""The number of a line, and the words of the directive that begins on it."""

_MAX_WORDS = 16  # of a directive: more than those that are read ever have


def _unescaped(word: str) -> str:
    """Return *word* without the backslashes that hide quotes and backslashes.

    There is no NUL in a text that is read, so it can stand for a backslash meanwhile.
    """
    word = word.replace("\\\\", "\0").replace('\\"', '"').replace("\\'", "'")
    return word.replace("\0", "\\")


# A word in quotes ends at the same quotation mark; a backslash hides one.
_APACHE_WORD = re.compile(
    r"""
      \s+
    | "(?P<double>(?:[^"\\]|\\.)*+)(?:"|$)
    | '(?P<single>(?:[^'\\]|\\.)*+)(?:'|$)
    | (?P<plain>[^\s"'][^\s]*+)
    """,
    re.VERBOSE | re.DOTALL,
)


def apache_words(text: str, _: Given) -> Iterator[Words]:
    """Yield the directives of a configuration of Apache: one a line.

    A backslash at the end continues a line; a comment is a whole line. The last line
    continues nothing: there is an empty one behind it.
    """
    first, parts = 0, []
    for line, part in lines_of(text + "\n"):
        first = first or line
        if part.endswith("\\"):
            parts.append(part[:-1])
            continue
        whole = "".join([*parts, part]).strip()
        if whole and not whole.startswith("#"):
            found = (
                _unescaped(match[match.lastgroup])
                for match in _APACHE_WORD.finditer(whole)
                if match.lastgroup is not None
            )
            words = list(islice(found, _MAX_WORDS))
            yield first, words
        first, parts = 0, []


_NGINX_TOKEN = re.compile(
    r"""
      (?P<blank>\s+)
    | (?P<comment>\#[^\n]*)
    | (?P<end>[;{}])
    | "(?P<double>(?:[^"\\]|\\.)*+)"
    | '(?P<single>(?:[^'\\]|\\.)*+)'
    | (?P<broken>["'])
    | (?P<plain>(?:[^\s;{}"'\\]|\\.)(?:[^\s;{}\\]|\\.)*+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


def nginx_words(text: str, given: Given) -> Iterator[Words]:
    """Yield the directives of a configuration of nginx: up to ``;``, ``{`` or ``}``.

    Raises:
        PolicyError: a quotation mark has no other end.
    """
    line, at, first = 1, 0, 0
    words: list[str] = []
    for token in _NGINX_TOKEN.finditer(text):
        kind = token.lastgroup or "blank"
        if kind in {"blank", "comment"}:
            continue
        line, at = line + text.count("\n", at, token.start()), token.start()
        if kind in {"broken", "other"}:
            msg = f"{given.name}: line {line}: {token[0]} has no other end; add it"
            raise PolicyError(msg)
        if kind == "end":
            if words:
                yield first, words
            words, first = [], 0
        else:
            first = first or line
            if len(words) < _MAX_WORDS:
                words.append(_unescaped(token[kind]))
    if words:
        msg = f"{given.name}: line {first}: the directive has no end; add ';'"
        raise PolicyError(msg)
