"""YAML from strangers, read by PyYAML: only the values that a reader asks for.

This module reads the events of PyYAML's parser, so that no value becomes a number or a
date, and only the entries that a reader asks for are held in memory. Anchors and
aliases, of which bombs are made, are refused, and so are tags and duplicate keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import yaml

from pinverify.errors import PolicyError, shown
from pinverify.formats._policy_reading import line_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.formats._policy_reading import Given

__all__ = ["Keep", "Mapping", "Text", "documents"]

# PyYAML reads about a megabyte in ten seconds.
_MAX_LENGTH = 2**20
_MAX_DEPTH = 64
# Lines and words of one scalar: PyYAML holds an object for each.
_MAX_PIECES = 8192
# With fewer characters per kept entry, the objects would be many times as large as the
# file. The keys of mappings that are being read count as entries, too.
_LENGTH_FOR_ENTRY = 36
_FREE_ENTRIES = 1024


Keep: TypeAlias = Literal["", "beside", "always"]
"""An entry is left out, kept only beside a kept entry, or kept with all in it."""


class Text(str):
    """A scalar, and the line where it begins."""

    __slots__ = ("line",)
    line: int


class Mapping(dict[str, Any]):
    """A mapping, and the line where it begins."""

    __slots__ = ("line",)
    line: int


def documents(text: str, given: Given, keep: Callable[[str], Keep]) -> list[Any]:
    """Return the documents of a text, without the entries that *keep* does not keep.

    Args:
        text: the file.
        given: has the name of the file.
        keep: returns whether to keep the entry of a key. An entry that leads to a kept
            entry is kept, too.
    """
    if len(text) > _MAX_LENGTH:
        given.refuse(f"more than {_MAX_LENGTH:,} characters of YAML; give JSON")
    builder = _Builder(text, given, keep)
    try:
        found = builder.documents()
    except PolicyError:
        raise
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = builder.line if mark is None else mark.line + 1
        given.refuse(f"not YAML: {error.problem or error.context}", line, "syntax")
    except yaml.reader.ReaderError as error:
        line = line_at(text, error.position)
        given.refuse(f"not YAML: {error.reason}", line, "syntax")
    except (ValueError, OverflowError):  # for wrong numbers in escapes and versions
        given.refuse("not YAML: a number is too large", builder.line, "syntax")
    return found


class _Loader(yaml.BaseLoader):
    """PyYAML's parser, with a limit on the pieces of one scalar."""

    _pieces = 0

    def fetch_more_tokens(self) -> None:
        """Read the next token."""
        self._pieces = 0
        super().fetch_more_tokens()

    def prefix(self, length: int = 1) -> str:
        """Return the next characters: those of a word, or of an escape."""
        self._count()
        text: str = super().prefix(length)
        return text

    def scan_line_break(self) -> str:
        """Read the end of a line."""
        self._count()
        text: str = super().scan_line_break()  # type: ignore[no-untyped-call]
        return text

    def fetch_flow_collection_start(self, token: Any) -> None:  # noqa: ANN401 - a class
        """Begin a list or a mapping in brackets."""
        if self.flow_level > _MAX_DEPTH:
            raise yaml.MarkedYAMLError(problem="nested too deeply; this is no policy")
        super().fetch_flow_collection_start(token)

    def _count(self) -> None:
        self._pieces += 1
        if self._pieces > _MAX_PIECES:
            what = f"a text of more than {_MAX_PIECES:,} lines or words; cut it"
            raise yaml.MarkedYAMLError(problem=what)


class _Builder:
    """Builds documents from events."""

    def __init__(self, text: str, given: Given, keep: Callable[[str], Keep]) -> None:
        self._given = given
        self._events: Iterator[Any] = yaml.parse(text, Loader=_Loader)
        self._keep = keep
        self._left = _FREE_ENTRIES + len(text) // _LENGTH_FOR_ENTRY
        self._depth = 0
        self.line = 1

    def documents(self) -> list[Any]:
        """Return all documents that have something to keep."""
        found = []
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                value = self._value(self._next(), kept=False)
                if value is not None:
                    self._spend()
                    found.append(value)
        return found

    def _next(self) -> Any:  # noqa: ANN401 - an event
        event = next(self._events)
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            self._given.refuse(
                "anchors and aliases are not read; write the value at each place",
                self.line,
            )
        if getattr(event, "tag", None):
            self._given.refuse(
                f"the tag {shown(event.tag)} is not read; remove it", self.line
            )
        return event

    def _spend(self) -> None:
        """Count an entry that is held in memory."""
        self._left -= 1
        if self._left < 0:
            self._given.refuse(
                "very many very small values; this is no policy", self.line
            )

    def _value(self, event: Any, *, kept: bool) -> Any:  # noqa: ANN401
        """Return the value that begins with an event; None if nothing of it is kept."""
        if isinstance(event, yaml.ScalarEvent):
            if not kept:
                return None
            text = Text(event.value)
            text.line = self.line
            return text
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            self._given.refuse("nested too deeply; this is no policy", self.line)
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        value = self._mapping(kept=kept) if is_mapping else self._list(kept=kept)
        self._depth -= 1
        return value

    def _list(self, *, kept: bool) -> list[Any] | None:
        found = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            value = self._value(event, kept=kept)
            if value is not None:
                self._spend()
                found.append(value)
        return found if found or kept else None

    def _mapping(self, *, kept: bool) -> Mapping | None:
        found, keys, is_led = Mapping(), set(), kept
        found.line = self.line
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._given.refuse("a key that is no text; write key: value", self.line)
            key = event.value
            if key in keys:
                why = f"the key {shown(key)} is there twice; keep one of them"
                self._given.refuse(why, self.line, "twice")
            self._spend()
            keys.add(key)
            keep = "always" if kept else self._keep(key)
            value = self._value(self._next(), kept=bool(keep))
            if value is not None:
                found[key] = value
                is_led = is_led or keep != "beside"
        if not is_led:
            found.clear()
        self._left += len(keys) - len(found)  # the others are no longer held
        return found if is_led else None
