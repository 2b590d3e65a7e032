"""Rows of a table in TOML as text, so that a change touches nothing else in them.

A row begins at a line such as ``[[mutant]]`` and ends where the next one begins. All
that is not changed keeps its layout and comments.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from anchors import Change

__all__ = ["Row", "rewritten", "rows_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        text: as it stands in the table; for what stands above the first row, that.
        line: the number of its first line.
        data: its fields; empty above the first row.
        title: what it is called in messages.
        change: if it changes the source.
    """

    text: str
    line: int
    data: dict[str, Any]
    title: str
    change: Change | None

    @property
    def anchor(self) -> dict[str, Any]:
        """The fields that say where the change is."""
        fields: dict[str, Any] = self.data.get("bug", self.data)
        return fields


def rows_of(text: str) -> Iterator[Row]:
    """Yield what stands above the rows, then each row: together, all of the text."""
    line, title = 1, ""
    for part in re.split(r"^(?=\[\[)", text, flags=re.MULTILINE):
        data = _data(part)
        title = str(data.get("what", data.get("function", title)))
        anchor = data.get("bug", data)
        change = None
        if "find" in anchor:
            # A bug is in the function that is proved, if it does not say where.
            default = {"in": data["function"]} if "function" in data else {}
            change = Change.of(default | anchor)
        yield Row(part, line, data, title, change)
        line += part.count("\n")


def _data(text: str) -> dict[str, Any]:
    header = re.match(r"\[\[([\w.]+)\]\]", text)
    if header is None:
        return {}
    value: Any = tomllib.loads(text)
    for key in header[1].split("."):
        value = value[key]
    fields: dict[str, Any] = value[0]
    return fields


def rewritten(row: Row, change: Change | None, other: Mapping[str, str]) -> str:
    """Return the text of a row with another anchor, and other words in its lists."""
    text = _LISTS.sub(lambda lists: _with_words(lists[0], other), row.text)
    if change is None or row.change is None:
        return text
    default = _data(text).get("function", "")
    wanted = {"find": change.find, "put": change.put, "nth": change.nth or None}
    wanted["file"] = change.file or None
    has_own = "in" in row.anchor
    wanted["in"] = change.scope if has_own or change.scope != default else None
    if change.scope == "":
        wanted["in"] = None
    for key in ("in", "file", "nth", "find", "put"):
        if wanted[key] != row.anchor.get(key):
            text = _with_field(text, key, wanted[key])
    fields = _data(text)
    if Change.of({"in": default} | fields.get("bug", fields)) != change:
        msg = (
            f"line {row.line}: this row can't be rewritten, so do it by hand: {change}"
        )
        raise ValueError(msg)
    return text


# The fields whose words are names of functions and of files.
_LISTS = re.compile(
    r"^(?:function|replace|instead|link|tests) = (?:\[\n.*?^\]|[^\n]*)$",
    re.MULTILINE | re.DOTALL,
)


def _with_words(text: str, other: Mapping[str, str]) -> str:
    if not other:
        return text
    olds = "|".join(re.escape(old) for old in sorted(other, key=len, reverse=True))
    return re.sub(rf'(?<=["\s])(?:{olds})(?=["\s])', lambda old: other[old[0]], text)


_STRING = r"""'''.*?'''|\"\"\".*?\"\"\"|'[^'\n]*'|"(?:\\.|[^"\\\n])*\""""


def _with_field(text: str, key: str, value: str | int | None) -> str:
    """Set a field, add it before `find`, or take it away."""

    def place(key: str) -> re.Match[str] | None:
        pattern = (
            rf"(?P<before>^bug\.|^|[{{,]\s*){key} = (?P<value>{_STRING}|\d+)(?:, |\n)?"
        )
        return re.search(pattern, text, re.MULTILINE | re.DOTALL)

    found = place(key)
    if found is None:
        found = place("find")
        if found is None or value is None:
            return text
        before, inline = found["before"], found["before"][:1] in ("{", ",")
        start = found.start() + len(before) * inline
        new = f"{key} = {_toml(value)}"
        new = f"{new}, " if inline else f"{before}{new}\n"
        return text[:start] + new + text[start:]
    if value is None:
        start = found.start()
        if found["before"][:1] in ("{", ","):
            start += len(found["before"])
        return text[:start] + text[found.end() :]
    start, end = found.span("value")
    return text[:start] + _toml(value, found["value"][:3]) + text[end:]


def _toml(value: str | int, quotes: str = '"') -> str:
    """Write a value; a string with its former quotation marks, if it can have them."""
    if isinstance(value, int):
        return str(value)
    if "\n" in value or quotes == "'''":
        if "'''" not in value:
            return f"'''\n{value}'''"
    elif '"' not in value and "\\" not in value:
        return f'"{value}"'
    elif "'" not in value:
        return f"'{value}'"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
