"""TrustKit's configuration in Swift: the dictionary with the pinned domains.

It counts where it is written, if nothing can change it before TrustKit gets it: it is
an argument, or a constant, or a variable that is only read. What TrustKit is given must
be that dictionary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinverify.formats._source_tree import (
    CHOICES,
    NAMES,
    UnknownError,
    line_of,
    text_of,
)
from pinverify.formats._source_values import WRITE_OUT, Code

if TYPE_CHECKING:
    from tree_sitter import Node

    from pinverify.formats._source_tree import Call

__all__ = ["found_in"]

_DOMAINS = "TSKPinnedDomains"
_STARTS = {"initSharedInstance", "initialize", "TrustKit"}
_CONDITIONS = {*CHOICES, "if_statement", "switch_statement", "catch_block"}
_LABELS = {"withConfiguration", "configuration"}
_PLACES = {
    *("as_expression", "tuple_expression", "control_transfer_statement", "statements"),
    *("value_argument", "computed_property"),
}


def found_in(root: Node, language: str) -> dict[str, Any]:
    """Return the configuration and its line, and what is not understood."""
    reader = _Reader(Code(root, language))
    for node in reader.code.nodes:
        call = reader.code.call(node)
        if call is not None and call.name in _STARTS:
            reader.look_at_start(node, call)
    for node in reader.code.nodes:
        reader.look_at(node, is_whole=not root.has_error)
    reader.check_starts()
    found, mistakes = reader.found, reader.mistakes
    for line, document in found[1:]:
        if document != found[0][1]:
            msg = f"a second configuration than that of line {found[0][0]}; keep one"
            mistakes.append((line, msg))
    notices = sorted(set(reader.notices))
    return {
        "found": found[:1],
        "mistakes": sorted(set(mistakes)),
        "notices": notices,
    }


class _Reader:
    """Finds the configurations of a file."""

    def __init__(self, code: Code) -> None:
        self.code = code
        self.found: list[tuple[int, Any]] = []
        self.started: list[tuple[int, Any]] = []
        self.mistakes: list[tuple[int, str]] = []
        self.notices: list[tuple[int, str]] = []

    def look_at(self, node: Node, *, is_whole: bool) -> None:
        """Note a configuration, or why a node may hide one."""
        text = text_of(node) if node.is_error or "comment" in node.type else ""
        keys = node.children_by_field_name("key")
        if node.type == "dictionary_literal" and any(_is_domains(key) for key in keys):
            try:
                value = self.code.value(node, {})
                _check_plain(node, value)
                self._check_way(node)
                self.found.append((line_of(node), value))
            except UnknownError as error:
                self._mistake(error)
        elif node.type == "assignment" and "TSK" in text_of(node).partition("=")[0]:
            if not any(one.id in self.code.filled for one in self.code.nodes_in(node)):
                msg = "a key is set behind the dictionary"
                advice = "write the dictionary as a whole"
                self.mistakes.append((line_of(node), f"{msg}; {advice}"))
        elif "TSK" in text and not is_whole:
            msg = "the parser does not understand this; give the dictionary alone"
            self.mistakes.append((line_of(node), msg))

    def _check_way(self, node: Node) -> None:
        """Refuse a dictionary where something may change it.

        Raises:
            UnknownError: it is no argument, and no variable that is only read.
        """
        for outer in self.code.around(node):
            if outer.type == "property_declaration":
                name = next(
                    one for one in self.code.nodes_in(outer) if one.type in NAMES
                )
                declared = self.code.find(name)
                if declared is None or declared.why:
                    why = declared.why if declared else "is no variable"
                    raise UnknownError(name, why)
                is_list = self.code.can_change(declared)
                self.code.check_uses(declared, is_list=is_list)
                return
            if outer.type == "value_argument":
                calls = (c for o in self.code.around(outer) if (c := _of(self, o)))
                call = next(calls, None)
                if call is None or call.name not in _STARTS:
                    of = call.name if call else "something"
                    raise UnknownError(node, f"goes to {of}, which may change it")
                return
            if outer.type not in _PLACES:
                kind = outer.type.replace("_", " ")
                raise UnknownError(node, f"is in `{kind}`, which may change it")
            if outer.type in {"statements", "computed_property"}:
                return

    def look_at_start(self, node: Node, call: Call) -> None:
        """Note what TrustKit is given."""
        around = [o for o in self.code.around(node) if o.type in _CONDITIONS]
        for outer in around[:1]:
            msg = f"TrustKit is started under the condition of line {line_of(outer)}"
            self.notices.append((call.line, f"{msg}; it is read as if always started"))
        for label, argument in call.arguments:
            if label not in _LABELS:
                continue
            try:
                value = self.code.value(argument, {})
                _check_plain(argument, value)
                given = value if isinstance(value, dict) else {}
                self.started.append((call.line, given))
            except UnknownError as error:
                self._mistake(error)

    def check_starts(self) -> None:
        """Refuse to read anything else than what TrustKit is given."""
        given = [one for one in self.started if _DOMAINS in one[1]]
        self.found = self.found or given[:1]
        for line, value in self.started:
            if _DOMAINS in value:
                self.found.append((line, value))
            elif [value] != [document for _, document in self.found[:1]]:
                msg = f"TrustKit gets a dictionary without {_DOMAINS}; write one"
                self.mistakes.append((line, msg))

    def _mistake(self, error: UnknownError) -> None:
        self.mistakes.append((error.line, f"{error}; {WRITE_OUT}"))


def _check_plain(node: Node, value: Any) -> None:  # noqa: ANN401
    """Refuse objects and tuples in a dictionary: TrustKit has no use for them.

    Raises:
        UnknownError: there is one.
    """
    if isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            _check_plain(node, one)
    elif not isinstance(value, str | int):
        raise UnknownError(node, "holds an object or a tuple")


def _of(reader: _Reader, node: Node) -> Call | None:
    return reader.code.call(node)


def _is_domains(key: Node) -> bool:
    name = text_of(key).partition(" as ")[0].strip('"')
    return name.removeprefix("k") == _DOMAINS
