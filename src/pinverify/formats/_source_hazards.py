"""Lines of a source file that change the meaning of its other lines.

The readers of source code follow names, calls and values. They do not follow objects
that can be changed by whoever has them, types that make values of their own of
literals, or operators that replace what `by` or a property gives. A file that has such
a thing is refused as a whole, with the line that has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pinverify.formats._source_kinds import Kind
from pinverify.formats._source_tree import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from pinverify.formats._source_tree import Tree

__all__ = ["hazards_in"]

_CHANGES = "is an object that can be changed; write a dictionary, a list or a text"
_MAKES = "makes values of its own of literals; move it into another file"
_TYPES = {
    "swift": (
        (re.compile(r"NSMutable(Dictionary|Array|String|Set|OrderedSet)"), _CHANGES),
        (re.compile(r"ExpressibleBy\w+|LocalizedString(Key|Resource)"), _MAKES),
    ),
    "kotlin": (
        (re.compile("provideDelegate"), "may change what `by` gives; write the value"),
    ),
}
_HEADS = {
    "swift": (
        re.compile(
            r"(?:\[|,|\b(?:let|var)\s)\s*(?:weak\s|unowned\s)?\s*"
            r"self\s*=\s*(?!self\b)\w"
        ),
        "may be another object than the one around it",
    ),
    "kotlin": (
        re.compile(r"^[ \t]*context\s*\([\w\s,.:<>]+\)\s*$", re.MULTILINE),
        "is a context, which may have any name; pass it on instead",
    ),
}


def hazards_in(tree: Tree, language: str) -> Iterator[tuple[Node, str]]:
    """Yield each place that makes the meaning of other lines unknown, and why."""
    for node in tree.nodes:
        is_name = node.type in Kind.NAMES or node.type == "type_identifier"
        for pattern, why in _TYPES.get(language, ()) if is_name else ():
            if pattern.fullmatch(text_of(node)):
                yield node, why
    if language == "swift":
        yield from _in_expressions(tree)
    if language in _HEADS:
        yield from _in_heads(tree.nodes[0], *_HEADS[language])


def _in_expressions(tree: Tree) -> Iterator[tuple[Node, str]]:
    for node in tree.nodes:
        outer = tree.parent(node)
        is_inside = outer.type in Kind.CALLS | Kind.PATHS
        is_callee = outer.type in Kind.CALLS and outer.named_children[0] == node
        if node.type == "directive" and is_inside:
            yield node, "is a condition inside of an expression; write two of them"
        is_path = node.type in Kind.PATHS and not is_callee
        if is_path and text_of(node).endswith(".init"):
            yield node, "sets properties without their names; call it"


def _in_heads(
    root: Node, pattern: re.Pattern[str], why: str
) -> Iterator[tuple[Node, str]]:
    for match in pattern.finditer(text_of(root)):
        start = len(match.string[: match.start()].encode())
        found = root.descendant_for_byte_range(start, start + len(match[0].encode()))
        if found is not None and not re.search("string|comment", found.type):
            yield found, why
