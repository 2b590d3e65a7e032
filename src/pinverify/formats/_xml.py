"""XML from strangers: elements with their lines, by expat, with document types refused.

A document type is what entity bombs and references to other files are made of, and no
policy needs one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from xml.parsers import expat

from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given

__all__ = ["Element", "parsed"]

_MAX_DEPTH = 32
# Expat takes ten microseconds for an attribute; no element of a policy has ten of them.
_LONG_TAG = re.compile(r"<[^\s<>/!?][^<>]{8192}")
# Fewer bytes for an element, and the objects would be many times as large as the file.
_BYTES_FOR_ELEMENT = 25
_FREE_ELEMENTS = 1024


_NONE: dict[str, str] = {}


@dataclass(slots=True)
class Element:
    """One element: name, attributes, line, children, and the text before the first."""

    name: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    text: str = ""


def parsed(text: str, given: Given) -> Element:
    """Return the root of a document.

    Raises:
        PolicyError: *text* is not XML, or has a document type, or is nested deeply.
    """
    if long := _LONG_TAG.search(text):
        line = text.count("\n", 0, long.start()) + 1
        problem = "a tag of many thousand characters; this is no policy"
        msg = f"{given.name}: line {line}: {problem}"
        raise PolicyError(msg, kind="syntax")
    builder = _Builder(1 + _FREE_ELEMENTS + len(text) // _BYTES_FOR_ELEMENT)
    parser = builder.parser
    try:
        parser.Parse(text.encode("utf-8"), True)  # noqa: FBT003 - expat's way
    except expat.ExpatError as error:
        problem = expat.ErrorString(error.code)
        msg = f"{given.name}: line {error.lineno}: not XML: {problem}"
        raise PolicyError(msg, kind="syntax") from None
    except PolicyError as error:
        msg = f"{given.name}: line {parser.CurrentLineNumber}: {error}"
        raise PolicyError(msg, kind="syntax") from None
    return builder.root.children[0]


class _Builder:
    """Builds elements from the calls of expat."""

    def __init__(self, max_elements: int) -> None:
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

    def _declaration(self, _: str, encoding: str | None, __: int) -> None:
        if encoding is not None and encoding.lower() not in {"utf-8", "us-ascii"}:
            msg = f"the encoding is {encoding!r}; save the file as UTF-8, and say so"
            raise PolicyError(msg)

    def _doctype(self, *_: object) -> None:
        msg = "a document type (<!DOCTYPE …>) does not belong in a policy; remove it"
        raise PolicyError(msg)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._left -= 1
        if len(self._open) > _MAX_DEPTH or not self._left:
            msg = "nested too deeply, or very many elements; this is no policy"
            raise PolicyError(msg)
        element = Element(name, attributes or _NONE, self.parser.CurrentLineNumber)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        element = self._open[-1]
        if text.strip() and not element.children:
            element.text += text
