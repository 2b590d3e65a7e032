"""XML from strangers, read by expat: elements with their lines, no document types.

Document types are refused: entity bombs and references to other files need a document
type, and no policy does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn
from xml.parsers import expat

from pinverify.formats._policy_reading import line_at

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given

__all__ = ["Element", "parsed"]

_MAX_DEPTH = 32
# Expat takes ten microseconds per attribute; no element of a policy has ten attributes.
_LONG_TAG = re.compile(r"<[^\s<>/!?][^<>]{8192}")
# With fewer bytes per element, the objects would be many times as large as the file.
_BYTES_FOR_ELEMENT = 25
_FREE_ELEMENTS = 1024


_NONE: dict[str, str] = {}


@dataclass(slots=True)
class Element:
    """An element: name, attributes, line, children, and the text before these."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    text: str = ""


def parsed(text: str, given: Given) -> Element:
    """Return the root of a document."""
    if long := _LONG_TAG.search(text):
        why = "a tag of many thousand characters; this is no policy"
        given.refuse(why, line_at(text, long.start()), "syntax")
    max_elements = 1 + _FREE_ELEMENTS + len(text) // _BYTES_FOR_ELEMENT
    builder = _Builder(given, max_elements)
    try:
        builder.parser.Parse(text.encode("utf-8"), True)  # noqa: FBT003 - expat's way
    except expat.ExpatError as error:
        why = f"not XML: {expat.ErrorString(error.code)}"
        given.refuse(why, error.lineno, "syntax")
    return builder.root.children[0]


class _Builder:
    """Builds elements from the calls of expat."""

    def __init__(self, given: Given, max_elements: int) -> None:
        self._given = given
        self.root = Element("", {}, 0)
        self._open = [self.root]
        self._left = max_elements
        self.parser = expat.ParserCreate("utf-8")
        self.parser.buffer_text = True
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, why: str) -> NoReturn:
        self._given.refuse(why, self.parser.CurrentLineNumber, "syntax")

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "us-ascii"}:
            why = f"the encoding is {encoding!r}; save the file as UTF-8, and say so"
            self._refuse(why)

    def _doctype(self, *_: object) -> None:
        why = "a document type (<!DOCTYPE …>) does not belong in a policy; remove it"
        self._refuse(why)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if len(self._open) > _MAX_DEPTH or not self._left:
            self._refuse("nested too deeply, or very many elements; this is no policy")
        element = Element(name, attributes or _NONE, self.parser.CurrentLineNumber)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        element = self._open[-1]
        if text.strip() and not element.children:
            element.text += text
