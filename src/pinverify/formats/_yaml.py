"""YAML from strangers, by PyYAML: text, lists and mappings, and of these what is kept.

The events of PyYAML's parser are read, so that no value becomes a number or a date, and
nothing is held in memory but the entries that a reader asks for. Anchors and aliases,
which bombs are made of, tags and duplicate keys are refused.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

import yaml

from pinverify.errors import PolicyError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.formats._policy_reading import Given

__all__ = ["Keep", "Mapping", "Text", "documents"]

# PyYAML reads about a megabyte in ten seconds.
_MAX_LENGTH = 2**20
_MAX_DEPTH = 64
# Lines and words of one scalar: PyYAML holds an object for each.
_MAX_PIECES = 8192
# Fewer characters for an entry that is kept, and the objects would be many times as
# large as the file. So would the keys of the mappings that are open.
_LENGTH_FOR_ENTRY = 36
_FREE_ENTRIES = 1024


class Keep(enum.Enum):
    """An answer to the question whether to keep an entry."""

    NO = 0
    BESIDE = 1
    """Beside others that are kept."""
    ALWAYS = 2
    """With all that is in it."""


class Text(str):
    """A scalar, and the line where it begins."""

    __slots__ = ("line",)
    line: int


class Mapping(dict[str, Any]):
    """A mapping, and the line where it begins."""

    __slots__ = ("line",)
    line: int


def documents(text: str, given: Given, keep: Callable[[str], Keep]) -> list[Any]:
    """Return the documents of a text, without what is not kept.

    Args:
        text: the file.
        given: its name.
        keep: whether to keep the entry of a key. An entry that leads to a kept one is
            kept, too.

    Raises:
        PolicyError: *text* is not YAML, or has what is refused here, or is too large.
    """
    if len(text) > _MAX_LENGTH:
        msg = f"{given.name}: more than {_MAX_LENGTH:,} characters of YAML; give JSON"
        raise PolicyError(msg)
    builder = _Builder(text, keep)
    try:
        return builder.documents()
    except PolicyError as error:
        msg = f"{given.name}: line {builder.line}: {error}"
        raise PolicyError(msg, kind=error.kind) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = builder.line if mark is None else mark.line + 1
        msg = f"{given.name}: line {line}: not YAML: {error.problem or error.context}"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        msg = f"{given.name}: line {line}: not YAML: {error.reason}"
    except (ValueError, OverflowError):  # of escapes and versions that are no numbers
        msg = f"{given.name}: line {builder.line}: not YAML: a number is too large"
    raise PolicyError(msg, kind="syntax")


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
            msg = "nested too deeply; this is no policy"
            raise PolicyError(msg)
        super().fetch_flow_collection_start(token)

    def _count(self) -> None:
        self._pieces += 1
        if self._pieces > _MAX_PIECES:
            msg = f"a text of more than {_MAX_PIECES:,} lines or words; cut it"
            raise PolicyError(msg)


class _Builder:
    """Builds documents from events."""

    def __init__(self, text: str, keep: Callable[[str], Keep]) -> None:
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
        """Return the next event; refuse those that no policy needs."""
        event = next(self._events)
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            msg = "anchors and aliases are not read; write the value at each place"
            raise PolicyError(msg)
        if getattr(event, "tag", None):
            msg = f"the tag {shown(event.tag)} is not read; remove it"
            raise PolicyError(msg)
        return event

    def _spend(self) -> None:
        """Count an entry that is held in memory."""
        self._left -= 1
        if self._left < 0:
            msg = "very many very small values; this is no policy"
            raise PolicyError(msg)

    def _value(self, event: Any, *, kept: bool) -> Any:  # noqa: ANN401
        """Return the value that begins with an event; None if nothing is kept of it."""
        if isinstance(event, yaml.ScalarEvent):
            if not kept:
                return None
            text = Text(event.value)
            text.line = self.line
            return text
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            msg = "nested too deeply; this is no policy"
            raise PolicyError(msg)
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
                msg = "a key that is no text; write key: value"
                raise PolicyError(msg)
            key = event.value
            if key in keys:
                msg = f"the key {shown(key)} is there twice; keep one of them"
                raise PolicyError(msg, kind="twice")
            self._spend()
            keys.add(key)
            keep = Keep.ALWAYS if kept else self._keep(key)
            value = self._value(self._next(), kept=keep is not Keep.NO)
            if value is not None:
                found[key] = value
                is_led = is_led or keep is not Keep.BESIDE
        if not is_led:
            found.clear()
        self._left += len(keys) - len(found)  # the others are held no more
        return found if is_led else None
