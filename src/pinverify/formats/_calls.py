"""OkHttp's builders in Kotlin and Java: the calls of ``add`` that each gets.

A call belongs to the builder that its receiver leads to: through calls in a chain,
variables, and the blocks of `apply`, `also`, `let`, `run` and `with`. Wherever else a
builder goes, something may add pins to it, or change them: then the file does not say
them. Neither does it where a call is under a condition: in a debug build, for a user.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pinverify.formats._code import (
    CHOICES,
    FUNCTIONS,
    LAMBDAS,
    NAMES,
    PATHS,
    Code,
    UnknownError,
    line_of,
    text_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from pinverify.formats._code import Call, Env

__all__ = ["found_in"]

_CLASS = "CertificatePinner"
_THIS, _IT = {"apply", "run", "with"}, {"also", "let"}
_CHAIN = {"add", "apply", "also"}  # what returns the builder
_KNOWN = {*_CHAIN, *_THIS, *_IT, "build"}
_CONDITIONS = {
    *(*CHOICES, "if_statement", "when_entry", "switch_block_statement_group"),
    *("while_statement", "do_statement", "do_while_statement", "for_statement"),
    *("catch_clause", "catch_block", "switch_rule", "conjunction_expression"),
}
_STATEMENTS = {"expression_statement", "block", "statements", "source_file", "program"}
_IMPORT = re.compile(rf"([\w.*]+\.)?{_CLASS}(\.Builder|\.\*)?(?:\s+as\s+(\w+))?\s*;?$")


def found_in(root: Node) -> dict[str, Any]:
    """Return the calls of ``add``, and what is not understood, each with its line."""
    reader = _Reader(Code(root))
    calls = reader.read()
    if root.has_error:
        reader.check_errors(root)
    return {"calls": calls, "mistakes": sorted(set(reader.mistakes))}


class _Reader:
    """Finds the builders of a file, and their pins."""

    def __init__(self, code: Code) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self._code = code
        self._classes, self._builders = {_CLASS}, {f"{_CLASS}.Builder"}
        for node in code.nodes:
            self._note_names(node)

    def read(self) -> list[tuple[int, list[str]]]:
        """Return the calls of the only builder with pins."""
        adds: dict[int, list[Node]] = {}
        builds: list[int] = []
        made = {n.id: n for n in self._code.nodes if self._class_of(n, self._builders)}
        for node in self._code.nodes:
            call = self._code.call(node)
            if call is None:
                continue
            if call.name == "add":
                self._note_add(node, call, adds)
            elif call.name == "build" and (builder := self._builder(node, call)):
                builds.append(builder.id)
            elif self._class_of(node, {f"{name}.Pin" for name in self._classes}):
                self._mistake(node, "is a pin without add; write it as an add")
        found = [(made[key], self._pins_of(made[key], adds[key])) for key in adds]
        for node in made.values():
            self._check_way(node, set())
            if node.id in adds and builds.count(node.id) > 1:
                self._mistake(node, "is built more than once; build each by itself")
        for node, calls in found[1:]:
            if sorted(v for _, v in calls) != sorted(v for _, v in found[0][1]):
                msg = (
                    f"a second {_CLASS}.Builder with other pins than that of line "
                    f"{line_of(found[0][0])}; keep one of them in the file"
                )
                self.mistakes.append((line_of(node), msg))
        return found[0][1] if found else []

    def check_errors(self, root: Node) -> None:
        """Refuse what the parser did not understand, if a pin may be hidden there.

        That is in what has a builder, and wherever the words are.
        """
        hidden = re.compile(r"\badd\b|Builder|pins\b")
        for node in self._code.nodes:
            is_near = False
            if self._class_of(node, self._builders):
                outer = [one for one in self._code.around(node) if one.id != root.id]
                last = outer[-1] if outer else node
                is_near = "declar" not in last.type or last.has_error
            elif node.is_error or "comment" in node.type or "string" in node.type:
                is_near = hidden.search(text_of(node)) is not None
            if is_near:
                msg = (
                    "the parser does not understand what is here, or around it; move "
                    "the code of the pins into a file of its own"
                )
                self.mistakes.append((line_of(node), msg))
                return

    def _mistake(self, node: Node, why: str) -> None:
        self.mistakes.append((line_of(node), str(UnknownError(node, why))))

    # ---- names ---------------------------------------------------------------------

    def _note_names(self, node: Node) -> None:
        """Note the other names of the class that imports and aliases give it."""
        if node.type == "type_alias":
            words = re.split(r"[\s=]+", text_of(node))
            text = f"import x.{words[-1]} as {words[-2]}"
        elif node.type.startswith("import"):
            text = " ".join(text_of(node).split())
        else:
            return
        match = _IMPORT.search(text)
        if match is None or (match[1] is None and "." not in text):
            return
        if match[2]:
            self._builders.add(match[3] or "Builder")
        else:
            self._classes.add(match[3] or _CLASS)
            self._builders |= {f"{name}.Builder" for name in self._classes}

    def _class_of(self, node: Node, names: set[str]) -> bool:
        """Return whether a node makes an object of a class."""
        target = None
        if node.type == "object_creation_expression":
            target = node.child_by_field_name("type")
        elif node.type == "call_expression" and self._code.call(node) is not None:
            target = node.named_children[0]
        if target is None or "call" in target.type:
            return False
        text = re.sub(r"[\s`]", "", text_of(target))
        return any(text == name or text.endswith(f".{name}") for name in names)

    # ---- builders ------------------------------------------------------------------

    def _note_add(self, node: Node, call: Call, adds: dict[int, list[Node]]) -> None:
        """Note a call of ``add`` with its builder, or that it may be of another."""
        made = self._builder(node, call)
        if made is not None:
            adds.setdefault(made.id, []).append(node)
            return
        declared = None
        if call.receiver is not None and call.receiver.type in NAMES:
            declared = self._code.find(call.receiver)
        around = next(self._code.around(declared.name), None) if declared else None
        if around is not None and f"{_CLASS}.Builder" in text_of(around):
            why = "is a builder that this file does not make; name the file that does"
            self._mistake(call.receiver or node, why)
        elif any(re.search(r'"sha(1|256)/', text_of(a)) for _, a in call.arguments):
            self._mistake(node, "adds pins to no builder that this file makes")

    def _builder(self, node: Node, call: Call) -> Node | None:
        """Return the place where the builder is made; note why it is unknown."""
        try:
            return self._builder_of(node, call, 0)
        except UnknownError as error:
            self.mistakes.append((error.line, str(error)))
            return None

    def _builder_of(self, node: Node, call: Call, depth: int) -> Node | None:
        """Return the place where the builder is made that a call is of.

        Raises:
            UnknownError: it is a builder, and called under a condition.
        """
        receiver = call.receiver
        if receiver is None or text_of(receiver) == "this":
            found = self._of_block(node, _THIS, depth)
        else:
            found = self._leads_to(receiver, depth)
        if found is not None and call.is_safe:
            raise UnknownError(node, "is under a condition, `?.`")
        return found

    def _leads_to(self, node: Node, depth: int) -> Node | None:  # noqa: PLR0911
        """Return the place where an expression's builder is made, if it is one."""
        if depth > 200:  # noqa: PLR2004 - calls in a chain
            raise UnknownError(node, "is a very long chain; write it in pieces")
        if self._class_of(node, self._builders):
            return node
        call = self._code.call(node)
        if call is not None and call.name in _CHAIN:
            return self._builder_of(node, call, depth + 1)
        if node.type == "parenthesized_expression":
            return self._leads_to(node.named_children[0], depth + 1)
        if node.type in PATHS:
            declared = self._code.member(node)
        elif node.type in NAMES:
            declared = self._code.find(node)
            if text_of(node) == "it" and declared is None:
                return self._of_block(node, _IT, depth)
        else:
            return None
        if declared is not None and declared.value is not None:
            return self._leads_to(declared.value, depth + 1)
        if declared is not None and declared.scope.type in LAMBDAS:
            return self._of_block(declared.name, _IT, depth)
        return None

    def _of_block(self, node: Node, names: set[str], depth: int) -> Node | None:
        """Return the builder that is `this`, or `it`, in the block around a node."""
        for outer in self._code.around(node):
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            if found is None or found[1].name not in names:
                continue
            call = found[1]
            of = call.arguments[0][1] if call.name == "with" else call.receiver
            made = None if of is None else self._leads_to(of, depth + 1)
            if made is not None and call.is_safe:
                raise UnknownError(found[0], "is under a condition, `?.`")
            return made
        return None

    def _check_way(self, node: Node, seen: set[int]) -> None:  # noqa: C901, PLR0912
        """Refuse a builder that goes where the file does not say what becomes of it."""
        outer = next(self._code.around(node))
        if node.id in seen:
            return
        seen.add(node.id)
        while outer.type in PATHS | {"call_expression", "method_invocation"}:
            call = self._code.call(outer)
            if call is not None and call.receiver is not None:
                is_receiver = call.receiver.start_byte == node.start_byte
                if not is_receiver or call.name not in _KNOWN:
                    break
                if call.name not in _CHAIN:
                    return
            node, outer = outer, next(self._code.around(outer))
        if outer.type in {"value_argument", "value_arguments"}:
            within = next(
                c for o in self._code.around(node) if (c := self._code.call(o))
            )
            if within.name == "with":
                return
        declared = None
        if outer.type in {"variable_declarator", "property_declaration"}:
            name = outer.child_by_field_name("name")
            pattern = [
                c for c in outer.named_children if c.type == "variable_declaration"
            ]
            name = name or pattern[0].named_children[0]
            declared = self._code.find(name)
        elif outer.type in {"assignment", "assignment_expression"}:
            left = outer.named_children[0]
            declared = self._code.find(left) if left.type in NAMES else None
        elif outer.type in {*_STATEMENTS, *LAMBDAS}:
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            if outer.type not in LAMBDAS or (
                found is not None and found[1].name in {*_KNOWN, "forEach"}
            ):
                return
        if declared is None:
            why = "is a builder, and the builder is handed on; call build() here"
            self._mistake(node, why)
            return
        for use in self._code.nodes:
            outer = next(self._code.around(use), use)
            if use.type in NAMES and text_of(use) == text_of(declared.name):
                is_name = outer.type in PATHS and outer.named_children[0].id != use.id
                if is_name and self._code.member(outer) == declared:
                    self._check_use(outer, seen)
                elif is_name or use.id == declared.name.id:
                    continue
                elif self._code.find(use) == declared:
                    self._check_use(use, seen)

    def _check_use(self, use: Node, seen: set[int]) -> None:
        """Refuse a use of a builder that is no call which is known."""
        outer = next(self._code.around(use))
        if outer.type in PATHS:
            whole = next(self._code.around(outer))
            if "call" not in whole.type:
                self._mistake(outer, "changes the pins in another way; write add")
                return
        is_left = "assign" in outer.type and outer.named_children[0].id == use.id
        if not is_left:
            self._check_way(use, seen)

    # ---- pins ----------------------------------------------------------------------

    def _pins_of(self, made: Node, adds: list[Node]) -> list[tuple[int, list[str]]]:
        """Return the arguments of the calls of one builder."""
        calls: list[tuple[int, list[str]]] = []
        for add in adds:
            try:
                loops = self._loops(add, made)
            except UnknownError as error:
                told = f"{error}; write it where it always runs"
                self.mistakes.append((error.line, told))
                continue
            call = self._code.call(add)
            try:
                line = call.line if call else line_of(add)
                calls += [(line, v) for v in self._arguments(add, loops, {})]
            except UnknownError as error:
                told = f"{error}; write a text, or a constant of this file"
                self.mistakes.append((error.line, told))
        return calls

    def _loops(self, add: Node, made: Node) -> list[Node]:
        """Return the loops around a call, from the outside.

        Raises:
            UnknownError: something else is between the builder and the call.
        """
        shared = {outer.id for outer in self._code.around(made)}
        loops: list[Node] = []
        for outer in self._code.around(add):
            if outer.id in shared:
                break
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            if self._turn(outer) is not None:
                loops.insert(0, outer)
            elif outer.type in _CONDITIONS:
                raise UnknownError(add, "is under a condition")
            elif outer.type in LAMBDAS and (not found or found[1].name not in _KNOWN):
                raise UnknownError(add, "is in a block that may not run")
            elif outer.type in FUNCTIONS:
                raise UnknownError(add, "is in another function than its builder")
        return loops

    def _turn(self, node: Node) -> Node | None:
        """Return what a loop goes through; None if it is none that is known."""
        if node.type == "enhanced_for_statement":
            return node.child_by_field_name("value")
        if node.type == "for_statement" and "in" in {c.type for c in node.children}:
            return node.named_children[1]
        found = self._code.call_of(node) if node.type in LAMBDAS else None
        if found and found[1].name == "forEach" and not found[1].is_safe:
            return found[1].receiver
        return None

    def _arguments(self, add: Node, loops: list[Node], env: Env) -> Iterator[list[str]]:
        """Yield the arguments of a call, for each turn of the loops around it."""
        if loops:
            through = self._turn(loops[0])
            values = self._code.value(through, env) if through else None
            if not isinstance(values, list):
                raise UnknownError(through or add, "is no list that this file says")
            names = self._code.declared_in(loops[0])
            for value in values:
                parts = (
                    value if isinstance(value, tuple) and len(names) > 1 else [value]
                )
                keys = [name.id for name in names] or [loops[0].id]
                bound = dict(zip(keys, parts, strict=False))
                yield from self._arguments(add, loops[1:], env | bound)
            return
        call = self._code.call(add)
        arguments = sorted(call.arguments, key=lambda a: a[0] == "pins") if call else []
        found: list[str] = []
        for _, argument in arguments:
            value = self._code.value(argument, env)
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, str):
                    raise UnknownError(argument, "is no text")
                found.append(one)
        yield found
