"""TrustKit's configuration in Swift: the dictionary with the pinned domains.

A dictionary counts if nothing can change it before TrustKit gets it: it is an argument,
or a constant, or a variable that is only read. TrustKit must be given that dictionary,
and no other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_kinds import Kind
from pinverify.formats._source_tree import UnknownError, line_of, names_in, text_of
from pinverify.formats._source_values import WRITE_OUT, Code

if TYPE_CHECKING:
    from tree_sitter import Node

    from pinverify.formats._source_tree import Call, Value

__all__ = ["found_in"]

_DOMAINS = "TSKPinnedDomains"
_STARTS = {"initSharedInstance", "initialize", "TrustKit"}
_ALIAS = re.compile(r"typealias\s+(\w+)\s*=\s*TrustKit\b")
_CONDITIONS = {*Kind.CHOICES, "if_statement", "switch_statement", "catch_block"}
_LABELS = {"withConfiguration", "configuration"}
_PLACES = {
    *("as_expression", "tuple_expression", "control_transfer_statement", "statements"),
    *("value_argument", "computed_property"),
}


def found_in(root: Node, language: str) -> dict[str, Any]:
    """Return the configuration and its line, and what is not understood."""
    reader = _Reader(root, language)
    reader.note_hazards()
    calls = [call for call in map(reader.call, reader.nodes) if reader.is_start(call)]
    starts = [
        call for call in calls if _LABELS & {label for label, _ in call.arguments}
    ]
    for call in starts:
        reader.look_at_start(call, is_only=len(starts) == 1)
    for node in reader.nodes:
        reader.look_at(node)
    reader.check_starts()
    found, mistakes = reader.found, reader.mistakes
    for line, document in found[1:]:
        if document != found[0][1]:
            msg = f"a second configuration than that of line {found[0][0]}; keep one"
            mistakes.append((line, msg))
    mistakes, notices = sorted(set(mistakes)), sorted(set(reader.notices))
    return {"found": found[:1], "mistakes": mistakes, "notices": notices}


class _Reader(Code):
    """Finds the configurations of a file."""

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self.found: list[tuple[int, Any]] = []
        self.started: list[tuple[int, Any]] = []
        self.notices: list[tuple[int, str]] = []
        aliases = _ALIAS.findall(text_of(root))
        self._kits = _STARTS.union(aliases)

    def is_start(self, call: Call) -> bool:
        """Return whether a call starts TrustKit."""
        if call.name.lstrip(".") != "init":
            return call.name in self._kits
        around = next(self.around(call.node, Kind.FUNCTIONS), call.node)
        home = text_of(call.receiver) if call.receiver else text_of(around)
        return "TrustKit" in home.partition("{")[0] or home in self._kits

    def look_at(self, node: Node) -> None:
        """Note a configuration, or why a node may hide one."""
        keys = node.children_by_field_name("key")
        is_lost, msg = node.is_error or "comment" in node.type, ""
        names = {text_of(key).partition(" as ")[0].strip('"') for key in keys}
        if node.type == "dictionary_literal" and names & {_DOMAINS, f"k{_DOMAINS}"}:
            with self.noting(WRITE_OUT):
                value = self.value(node, {})
                _check_plain(node, value)
                self._check_way(node)
                if not self._is_merged(node):
                    self.found.append((line_of(node), value))
        elif node.type in Kind.PATHS and text_of(node).endswith(".initSharedInstance"):
            outer = self.parent(node)
            is_callee = outer.type in Kind.CALLS and outer.named_children[0] == node
            if not is_callee or re.search(r"Configuration:\s*\)", text_of(outer)):
                msg = "TrustKit's start is handed on; call it here"
        elif node.type == "assignment" and "TSK" in text_of(node).partition("=")[0]:
            if not any(one.id in self.filled for one in self.nodes_in(node)):
                msg = "a key is set behind the dictionary; write it as a whole"
        elif is_lost and self.nodes[0].has_error and "TSK" in text_of(node):
            msg = "the parser does not understand this; give the dictionary alone"
        self.mistakes += [(line_of(node), msg)] if msg else []

    def _check_way(self, node: Node) -> None:
        """Refuse a dictionary where something may change it."""
        for outer in self.around(node):
            if outer.type == "property_declaration":
                name = names_in(outer)[0]
                declared = self.find(name)
                if declared is None or declared.why:
                    why = declared.why if declared else "is no variable"
                    raise UnknownError(name, why)
                self.check_uses(declared, is_list=self.can_change(declared))
                return
            if outer.type == "value_argument":
                calls = map(self.call, self.around(outer))
                of = next((one.name for one in calls if one.name), "something")
                if of not in _STARTS:
                    raise UnknownError(node, f"goes to {of}, which may change it")
                return
            if outer.type not in _PLACES:
                kind = outer.type.replace("_", " ")
                raise UnknownError(node, f"is in `{kind}`, which may change it")
            if outer.type in {"statements", "computed_property"}:
                return

    def _is_merged(self, node: Node) -> bool:
        """Return whether a dictionary is only used to merge others into it."""
        outer = self.parent(node)
        name = names_in(outer)[0] if outer.type == "property_declaration" else node
        uses = [self.parent(one) for one in self.uses_of(name) if one != name]
        return bool(uses) and all(text_of(o).endswith(".merging") for o in uses)

    def look_at_start(self, call: Call, *, is_only: bool) -> None:
        lines = [line_of(o) for o in self.around(call.node, _CONDITIONS)][:1]
        for line in lines + (self.count_release(call.node) if is_only else []):
            msg = f"TrustKit is started under the condition of line {line}"
            self.notices.append((call.line, f"{msg}; it is read as if always started"))
        for label, argument in call.arguments:
            with self.noting(WRITE_OUT):
                if label in _LABELS:
                    value = self.value(argument, {})
                    _check_plain(argument, value)
                    given = value if isinstance(value, dict) else {}
                    self.started.append((call.line, given))

    def check_starts(self) -> None:
        """Refuse a file if TrustKit is given something else than what was found."""
        given = [one for one in self.started if _DOMAINS in one[1]]
        self.found = self.found or given[:1]
        for line, value in self.started:
            if _DOMAINS in value:
                self.found.append((line, value))
            elif [value] != [document for _, document in self.found[:1]]:
                msg = f"TrustKit gets a dictionary without {_DOMAINS}; write one"
                self.mistakes.append((line, msg))


def _check_plain(node: Node, value: Value) -> None:
    """Refuse objects and tuples in a dictionary: TrustKit has no use for them."""
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_plain(node, one)
    elif not isinstance(value, str | int):
        raise UnknownError(node, "holds an object or a tuple")
