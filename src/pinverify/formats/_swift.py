"""TrustKit's configuration in Swift: the dictionary with the pinned domains."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinverify.formats._code import Code, UnknownError, line_of, text_of

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["found_in"]

_DOMAINS = "TSKPinnedDomains"


def found_in(root: Node) -> dict[str, Any]:
    """Return the configuration and its line, and what is not understood."""
    code = Code(root)
    mistakes: list[tuple[int, str]] = []
    found: list[tuple[int, Any]] = []
    for node in code.nodes:
        keys = node.children_by_field_name("key")
        text = text_of(node)
        if node.type == "dictionary_literal" and any(_is_domains(key) for key in keys):
            try:
                found.append((line_of(node), code.value(node, {})))
            except UnknownError as error:
                told = f"{error}; write a text, or a constant of this file"
                mistakes.append((error.line, told))
        elif node.type == "assignment" and "TSK" in text.partition("=")[0]:
            msg = "a key is set behind the dictionary; write the dictionary as a whole"
            mistakes.append((line_of(node), msg))
        elif (
            (node.is_error or "comment" in node.type)
            and root.has_error
            and "TSK" in text
        ):
            msg = "the parser does not understand this; give the dictionary alone"
            mistakes.append((line_of(node), msg))
    for line, document in found[1:]:
        if document != found[0][1]:
            msg = f"a second configuration than that of line {found[0][0]}; keep one"
            mistakes.append((line, msg))
    return {"found": found[:1], "mistakes": sorted(set(mistakes))}


def _is_domains(key: Node) -> bool:
    return text_of(key).strip('"').removeprefix("k") == _DOMAINS
