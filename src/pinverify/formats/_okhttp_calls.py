"""OkHttp's builders in Kotlin and Java: the calls of ``add`` that each gets.

A call belongs to the builder that its receiver leads to: through calls in a chain,
variables, and the blocks of `apply`, `also`, `let`, `run` and `with`. Wherever else a
builder goes, something may add pins to it, or change them: then the file does not say
them. Neither does it where a call is under a condition: in a debug build, for a user.
So all that may stand between a builder, its calls of ``add`` and its only ``build`` is
listed here, and everything else is a mistake.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_tree import (
    CALLS,
    CHOICES,
    EACH,
    FUNCTIONS,
    LAMBDAS,
    LOOPS,
    NAMES,
    PATHS,
    TOPS,
    UnknownError,
    line_of,
    text_of,
)
from pinverify.formats._source_values import WRITE_OUT, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from pinverify.formats._source_names import Declared
    from pinverify.formats._source_tree import Call, Env

__all__ = ["found_in"]

_CLASS = "CertificatePinner"
_THIS, _IT = {"apply", "run", "with"}, {"also", "let"}
_CHAIN = {"add", "apply", "also"}  # what returns the builder
_KNOWN = {*_CHAIN, *_THIS, *_IT, "build"}
_OKHTTP = re.compile(r"\bokhttp3\.")
_CONDITIONS = {*CHOICES, "if_statement", "while_statement", "do_statement"}
_STATEMENTS = {"expression_statement", "block", "statements", *TOPS}
# What always runs, if what is around it does.
_ALWAYS = {
    *(*_STATEMENTS, *PATHS, *CALLS, "control_structure_body", "annotated_lambda"),
    *("value_argument", "value_arguments", "argument_list", "call_suffix"),
    *("parenthesized_expression", "assignment", "assignment_expression"),
    *("property_declaration", "variable_declarator", "local_variable_declaration"),
    *("field_declaration", "return_statement", "return_expression", "function_body"),
    *("anonymous_initializer", "static_initializer", "variable_declaration"),
}
# Functions that cannot be of a builder, and so may stand in a block where it is `this`.
_APART = re.compile(r"[A-Z]\w*|\w+Of|enumValues|println|print|String\.format")
_OTHER = "is another builder for a variable that has one; use a new name"
_ESCAPE = re.compile(r"\\u+00[0-7][0-9a-fA-F]")
_PIN = re.compile(r"sha(1|256)/")
_IMPORT = re.compile(
    rf"([\w.*]+\.|\b){_CLASS}(\.Builder|\.\*)?(?:\s+as\s+(\w+))?\s*;?$"
)


def found_in(root: Node, language: str) -> dict[str, Any]:
    """Return the calls of ``add``, and what is not understood, each with its line."""
    reader = _Reader(Code(root, language))
    calls = []
    try:
        calls = reader.read()
    except UnknownError as error:  # of a name that is declared twice
        reader.mistakes.append((error.line, str(error)))
    if root.has_error:
        reader.check_errors(root)
    mistakes, notices = sorted(set(reader.mistakes)), sorted(reader.notices)
    return {"calls": calls, "mistakes": mistakes, "notices": notices}


class _Reader:
    """Finds the builders of a file, and their pins."""

    def __init__(self, code: Code) -> None:
        self.mistakes: list[tuple[int, str]] = []
        self.notices: set[tuple[int, str]] = set()
        self._code = code
        self._classes, self._builders = {_CLASS}, {f"{_CLASS}.Builder"}
        self._foreign: set[str] = set()
        self._adds: dict[int, list[Node]] = {}
        self._builds: dict[int, list[Node]] = {}
        for node in code.nodes:
            self._note_names(node)

    def read(self) -> list[tuple[int, list[str]]]:
        """Return the calls of the only builder with pins."""
        made = {n.id: n for n in self._code.nodes if self._class_of(n, self._builders)}
        names = {name.partition(".")[0] for name in self._builders}
        for node in made.values():
            target = re.split(r"[(<]", text_of(node).removeprefix("new").lstrip())[0]
            first = target.removeprefix("okhttp3.").partition(".")[0].strip()
            if first in names and self._code.is_declared(first):
                self._mistake(node, f"may be of the {first} that this file declares")
        strays = [node for node in self._code.nodes if not self._note_call(node)]
        for node in strays:
            self._check_stray(node)
        found = [
            (made[key], self._pins_of(made[key], self._adds[key])) for key in self._adds
        ]
        for node in made.values():
            self._check_way(node, set())
            if node.id in self._adds:
                self._check_built(node)
            elif found:
                msg = "a builder without pins; the file is read as if it were not used"
                self.notices.add((line_of(node), msg))
        for node, calls in found[1:]:
            if sorted(v for _, v in calls) != sorted(v for _, v in found[0][1]):
                msg = (
                    f"a second {_CLASS}.Builder with other pins than that of line "
                    f"{line_of(found[0][0])}; keep one of them in the file"
                )
                self.mistakes.append((line_of(node), msg))
        self._check_clients()
        self._check_escapes()
        if not self.mistakes:
            self._check_texts()
        return found[0][1] if found else []

    def _note_call(self, node: Node) -> bool:
        """Note a call of ``add`` or ``build``, or of another class.

        False for an ``add`` of no builder that this file makes.
        """
        call = self._code.call(node)
        if call is None:
            return True
        if call.name == "add":
            made = self._builder(node, call)
            if made is not None:
                self._adds.setdefault(made.id, []).append(node)
                self._code.adds.add(node.id)
            return made is not None
        if call.name == "build" and (builder := self._builder(node, call)):
            self._builds.setdefault(builder.id, []).append(node)
        elif self._class_of(node, self._foreign):
            self._mistake(node, "is of another class than that of okhttp3")
        elif self._class_of(node, {f"{name}.Pin" for name in self._classes}):
            self._mistake(node, "is a pin without add; write it as an add")
        return True

    def _check_texts(self) -> None:
        """Refuse a pin that nothing has read: a host may be pinned in another way."""
        for node in self._code.nodes:
            is_text = node.type.endswith("string_literal")
            is_pin = is_text and _PIN.match(text_of(node).strip('"'))
            if is_pin and node.id not in self._code.read:
                self._mistake(node, "is a pin that no add has which is read; remove it")

    def _check_escapes(self) -> None:
        """Refuse escapes of Java that may end a comment or a text."""
        root = self._code.nodes[0]
        for match in _ESCAPE.finditer(text_of(root)):
            line = 1 + match.string.count("\n", 0, match.start())
            msg = f"the escape {match[0]} may hide code; write the character itself"
            self.mistakes.append((line, msg))

    def _check_clients(self) -> None:
        """Refuse a client that gets the pinner without pins, or one after the other."""
        seen: set[Declared | None] = {None}
        for node in self._code.nodes:
            text = re.sub(r"\s", "", text_of(node)) if node.type in PATHS else ""
            if text.rpartition(".")[0] in self._classes and text.endswith(".DEFAULT"):
                self._mistake(node, "pins nothing; give the client one pinner alone")
            call = self._code.call(node)
            if call is None or call.name != "certificatePinner" or not call.arguments:
                continue
            of, is_second = call.receiver, False
            while of and (before := self._code.call(of)):
                is_second = is_second or before.name == call.name
                of = before.receiver
            declared = self._code.find(of) if of and of.type in NAMES else None
            if is_second or declared in seen - {None}:
                self._mistake(node, "replaces a pinner of the client; keep one")
            seen.add(declared)

    def _check_built(self, made: Node) -> None:
        """Refuse a builder unless it is built once, after all its calls, and used."""
        builds = self._builds.get(made.id, [])
        if not builds and self._is_fragment(made):
            return
        if len(builds) != 1:
            why = "built more than once; build each by itself"
            self._mistake(made, f"is {why if builds else 'not built; add .build()'}")
            return
        (built,) = builds
        for add in self._adds[made.id]:
            is_inside = built.start_byte <= add.start_byte < built.end_byte
            is_before = add.end_byte <= built.start_byte
            if not is_before and not (is_inside and add.end_byte < built.end_byte):
                self._mistake(add, "comes after build(), which has the pins before")
        if not self._is_used(built):
            self._mistake(built, "is a pinner that nothing gets; give it to the client")
        for outer in self._code.around(made):
            name = outer.child_by_field_name("name")
            is_private = "private" in text_of(outer).partition("(")[0].split()
            where = ""
            if outer.type in _CONDITIONS:
                where = f"under the condition of line {line_of(outer)}"
            elif outer.type in FUNCTIONS and name and is_private:
                is_called = len(self._code.uses_of(name)) > 1
                where = "" if is_called else f"in {text_of(name)}, which nothing calls"
            if where:
                msg = f"the pinner is {where}; it is read as if always used"
                self.notices.add((line_of(made), msg))

    def _is_fragment(self, made: Node) -> bool:
        """Return whether a builder is all that a snippet has, from which it is cut."""
        kinds = {*PATHS, *CALLS, "expression_statement"}
        outer = next(o for o in self._code.around(made) if o.type not in kinds)
        return outer.type in TOPS

    def _is_used(self, built: Node) -> bool:
        """Return whether a pinner goes anywhere: not if a statement of it drops it."""
        outer = next(self._code.around(built))
        while outer.type in {"parenthesized_expression", "variable_declarator"}:
            built, outer = outer, next(self._code.around(outer))
        if outer.type in {"local_variable_declaration", "property_declaration"}:
            of = built if built.type == "variable_declarator" else outer
            name = next(one for one in self._code.nodes_in(of) if one.type in NAMES)
            is_local = next(self._code.around(outer)).type in {"block", "statements"}
            return not is_local or len(self._code.uses_of(name)) > 1
        if outer.type == "expression_statement":
            return next(self._code.around(outer)).type in TOPS
        if outer.type not in {"block", "statements"}:
            return True
        function = next(self._code.around(outer))
        return outer.named_children[-1].id == built.id and (
            function.type not in {"function_body", *FUNCTIONS}
        )

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
        is_alias = node.type == "type_alias"
        name = node.child_by_field_name("type" if is_alias else "name")
        is_named = "declaration" in node.type or is_alias
        if is_named and name and text_of(name) == _CLASS and "var" not in node.type:
            self._mistake(name, "is a class of this file, and not that of okhttp3")
        if is_alias:
            *_, alias, of = re.split(r"[\s=]+", text_of(node))
            is_ours = of.removeprefix("okhttp3.") in self._classes | self._builders
            text = f"import {'okhttp3' if is_ours else 'other'}.{of} as {alias}"
        elif node.type.startswith("import"):
            text = " ".join(text_of(node).split())
        else:
            return
        match = _IMPORT.search(text)
        if match is None or (match[1] is None and "." not in text):
            return
        if not _OKHTTP.search(text):
            name_of = f"{match[3] or _CLASS}.Builder"
            self._foreign.add((match[3] or "Builder") if match[2] else name_of)
            self._builders -= self._foreign
            return
        if match[2]:
            self._builders.add(match[3] or "Builder")
        else:
            self._classes.add(match[3] or _CLASS)
            self._builders |= {f"{match[3] or _CLASS}.Builder"}

    def _class_of(self, node: Node, names: set[str]) -> bool:
        """Return whether a node makes an object of a class."""
        target = None
        if node.type == "object_creation_expression":
            target = node.child_by_field_name("type")
        elif node.type == "call_expression" and self._code.call(node) is not None:
            target = node.named_children[0]
        if target is None or "call" in target.type:
            return False
        text = re.sub(r"[\s`]", "", text_of(target)).removeprefix("okhttp3.")
        return text in names

    # ---- builders ------------------------------------------------------------------

    def _check_stray(self, node: Node) -> None:
        """Refuse a call of ``add`` that may be of a builder of another file."""
        call = self._code.call(node)
        if call is None:
            return
        declared = None
        if call.receiver is not None and call.receiver.type in NAMES:
            declared = self._code.find(call.receiver)
        around = next(self._code.around(declared.name), None) if declared else None
        of = text_of(call.receiver) if call.receiver is not None else "this"
        if of.partition("@")[0] in {"this", "it"} and self._is_in_scope(node):
            why = "may be of the builder around it; write the builder's name"
            self._mistake(node, why)
        elif around is not None and f"{_CLASS}.Builder" in text_of(around):
            why = "is a builder that this file does not make; name the file that does"
            self._mistake(call.receiver or node, why)
        elif any(self._may_be_pin(one) for _, one in call.arguments[1:]):
            self._mistake(node, "adds pins to no builder that this file makes")

    def _is_in_scope(self, node: Node) -> bool:
        """Return whether a node is in a block of `apply` and the like of a builder."""
        blocks = [outer for outer in self._code.around(node) if outer.type in LAMBDAS]
        return any(self._of_lambda(block, 0) is not None for block in blocks)

    def _may_be_pin(self, argument: Node) -> bool:
        """Return whether an argument is a pin, or has words that say so."""
        if re.search(r"(?i)sha(1|256)|pin", text_of(argument)):
            return True
        try:
            value = self._code.value(argument, {})
        except UnknownError:
            return False
        values = value if isinstance(value, list) else [value]
        return any(isinstance(v, str) and _PIN.match(v) for v in values)

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
            found = self._of_this(node, depth)
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
        if call is not None and self._is_fold(call):
            return self._leads_to(call.arguments[0][1], depth + 1)
        if node.type == "parenthesized_expression":
            return self._leads_to(node.named_children[0], depth + 1)
        if node.type in PATHS:
            declared = self._code.member(node)
        elif node.type in NAMES:
            declared = self._code.find(node)
            if text_of(node) == "it":
                block = self._code.block_of_it(node)
                return self._of_lambda(block, depth) if block else None
        else:
            return None
        return self._of_variable(declared, depth) if declared else None

    def _of_variable(self, declared: Declared, depth: int) -> Node | None:
        """Return the builder of a variable, or of a parameter of a block."""
        if declared.value is not None:
            return self._leads_to(declared.value, depth + 1)
        if declared.scope.type not in LAMBDAS:
            return None
        found = self._code.call_of(declared.scope)
        is_first = self._code.declared_in(declared.scope)[0] == declared.name
        if found is not None and self._is_fold(found[1]) and not is_first:
            return None
        return self._of_lambda(declared.scope, depth)

    def _is_fold(self, call: Call) -> bool:
        """Return whether a call hands a builder from one turn of its block to the next.

        All of the block is one call of the builder, which is its first variable.
        """
        is_plain = call.name == "fold" and not call.is_safe and len(call.arguments) == 1
        if not is_plain or call.block is None or self._code.is_hidden("fold"):
            return False
        names = self._code.declared_in(call.block)
        body = [o for o in call.block.named_children if o.type != "lambda_parameters"]
        last = self._code.call(body[0]) if names and len(body) == 1 else None
        while last is not None and last.name == "add" and last.receiver is not None:
            if last.receiver.type in NAMES:
                return self._code.find(last.receiver) == self._code.find(names[0])
            last = self._code.call(last.receiver)
        return False

    def _of_this(self, node: Node, depth: int) -> Node | None:
        """Return the builder that is `this` at a node."""
        for outer in self._code.around(node):
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            if found is not None and found[1].name in _THIS:
                return self._of_lambda(outer, depth)
        return None

    def _of_lambda(self, block: Node, depth: int) -> Node | None:
        """Return the builder that `apply`, `let` and the like hand to their block."""
        found = self._code.call_of(block)
        if found is not None and self._is_fold(found[1]):
            return self._leads_to(found[1].arguments[0][1], depth + 1)
        if found is None or found[1].name not in _THIS | _IT:
            return None
        made = self._of_scope(found[1], depth)
        if made is not None and found[1].is_safe:
            raise UnknownError(found[0], "is under a condition, `?.`")
        return made

    def _of_scope(self, call: Call, depth: int) -> Node | None:
        """Return the builder that is in the block of `apply`, `let` and the like."""
        of = call.receiver
        if call.name == "with":
            of = call.arguments[0][1] if call.arguments else None
        return None if of is None else self._leads_to(of, depth + 1)

    def _check_way(self, node: Node, seen: set[int]) -> None:  # noqa: C901, PLR0912, PLR0915
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
                if call.name not in {"add", "build"}:
                    self._check_block(outer, call, seen)
                if call.name not in _CHAIN:
                    return
            node, outer = outer, next(self._code.around(outer))
        if outer.type in {"value_argument", "value_arguments"}:
            calls = map(self._code.call, self._code.around(node))
            within = next(filter(None, calls), None)
            is_fold = within is not None and self._is_fold(within)
            if within is not None and (within.name == "with" or is_fold):
                self._check_block(node, within, seen)
                block = within.block if is_fold else None
                if block is not None and (found := self._code.call_of(block)):
                    self._check_way(found[0], seen)
                return
        declared = None
        if outer.type in {"variable_declarator", "property_declaration"}:
            names = [one for one in self._code.nodes_in(outer) if one.type in NAMES]
            declared = self._code.find(names[0])
        elif outer.type in {"assignment", "assignment_expression"}:
            left = outer.named_children[0]
            declared = self._code.find(left) if left.type in NAMES else None
            if declared and self._origin_of(declared.name) != self._origin_of(node):
                self._mistake(node, _OTHER)
                return
        elif outer.type in {*_STATEMENTS, *LAMBDAS, *LOOPS}:
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            if outer.type not in LAMBDAS or (
                found is not None and found[1].name in {*_KNOWN, *EACH}
            ):
                return
        if declared is None:
            why = "is a builder, and the builder is handed on; call add and build here"
            self._mistake(node, why)
            return
        around = next(self._code.around(declared.name))
        words = text_of(next(self._code.around(around))).partition("=")[0].split()
        if declared.owner and "private" not in words:
            why = "is a builder to which other files can add pins; make it private"
            self._mistake(declared.name, why)
        for use in self._code.uses_of(declared.name):
            outer = next(self._code.around(use), use)
            is_name = outer.type in PATHS and outer.named_children[0].id != use.id
            if is_name and self._code.member(outer) == declared:
                self._check_use(outer, seen)
            elif is_name or use.id == declared.name.id:
                continue
            elif self._code.find(use) == declared:
                self._check_use(use, seen)

    def _origin_of(self, node: Node) -> Node | None:
        try:
            return self._leads_to(node, 0)
        except UnknownError:
            return None

    def _check_block(self, node: Node, call: Call, seen: set[int]) -> None:
        """Refuse a block that does something else with its builder than to call it."""
        block = call.block
        if block is None:
            self._mistake(node, "hands the builder on; write its calls in a block")
            return
        declared = self._code.declared_in(block)
        named = {text_of(name) for name in declared}
        for inner in [one for one in self._code.nodes_in(block) if one.id != block.id]:
            outer = next(self._code.around(inner))
            within = self._code.call(inner)
            if call.name in {*_IT, "fold"}:
                is_it = inner.type in NAMES and text_of(inner) in (named or {"it"})
                if (
                    is_it
                    and inner not in declared
                    and self._origin_of(inner) is not None
                ):
                    self._check_use(inner, seen)
            elif inner.type in {"this_expression", "this"}:
                self._check_use(inner, seen)
            elif within is not None and within.receiver is None:
                is_known = within.name in {*_KNOWN, *EACH}
                if not is_known and not _APART.fullmatch(within.name):
                    self._mistake(inner, "may be a call of the builder; move it out")
                elif within.name == "add" and self._code.is_hidden("add"):
                    self._mistake(inner, "may be the `add` that this file has")
            elif outer.type == "callable_reference":
                self._mistake(outer, "may be of the builder; write its calls")

    def _check_use(self, use: Node, seen: set[int]) -> None:
        """Refuse a use of a builder that is no call which is known."""
        outer = next(self._code.around(use))
        if outer.type in PATHS:
            whole = next(self._code.around(outer))
            if "call" not in whole.type and whole.type != "method_invocation":
                self._mistake(outer, "changes the pins in another way; write add")
                return
        is_left = "assign" in outer.type and outer.named_children[0].id == use.id
        if not is_left:
            self._check_way(use, seen)
        elif self._origin_of(outer.named_children[-1]) != self._origin_of(use):
            self._mistake(outer, _OTHER)

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
                told = f"{error}; {WRITE_OUT}"
                self.mistakes.append((error.line, told))
        return calls

    def _loops(self, add: Node, made: Node) -> list[Node]:  # noqa: C901 - by type
        """Return the loops around a call, from the outside.

        Raises:
            UnknownError: something else is between the builder and the call.
        """
        shared = {outer.id for outer in self._code.around(made)}
        loops: list[Node] = []
        for outer in self._code.around(add):
            if outer.id in shared:
                break
            self._code.check_always(outer)
            found = self._code.call_of(outer) if outer.type in LAMBDAS else None
            is_block = self._code.is_loop(outer)
            if is_block:
                loops.insert(0, outer)
            elif outer.type in LAMBDAS:
                is_block = found is not None and self._is_scope_of(found[1], made)
                if not is_block:
                    raise UnknownError(add, "is in a block that may not run")
            elif outer.type in FUNCTIONS:
                raise UnknownError(add, "is in another function than its builder")
            elif not self._code.runs_with(outer, made):
                raise UnknownError(add, "is in an initializer of another time")
            elif outer.type not in _ALWAYS:
                kind = outer.type.replace("_", " ")
                raise UnknownError(add, f"is under a condition, or in `{kind}`")
            elif (call := self._code.call(outer)) and call.is_safe:
                raise UnknownError(outer, "is under a condition, `?.`")
            if is_block and (jump := self._code.jump_in(outer)):
                why = f"may be left out: line {line_of(jump)} leaves the block"
                raise UnknownError(add, why)
        return loops

    def _is_scope_of(self, call: Call, made: Node) -> bool:
        """Return whether a call is one of `apply`, `let` and the like of a builder."""
        if call.name not in _THIS | _IT or self._code.is_hidden(call.name):
            return False
        return self._of_scope(call, 0) == made and not call.is_safe

    def _arguments(self, add: Node, loops: list[Node], env: Env) -> Iterator[list[str]]:
        """Yield the arguments of a call, for each turn of the loops around it."""
        if loops:
            for turn in self._code.turns(loops[0], env):
                yield from self._arguments(add, loops[1:], turn)
            return
        call = self._code.call(add)
        arguments = sorted(call.arguments, key=lambda a: a[0] == "pins") if call else []
        found: list[str] = []
        if call and call.block is not None:
            raise UnknownError(add, "has a block, which OkHttp's `add` has not")
        for label, argument in arguments:
            if label not in {"", "pattern", "pins"}:
                raise UnknownError(
                    add, f"names `{label}`, which OkHttp's `add` has not"
                )
            value = self._code.value(argument, env)
            if isinstance(value, list) and not self._is_spread(label, argument):
                raise UnknownError(argument, "is a list; write `*` before it")
            for one in value if isinstance(value, list) else [value]:
                if not isinstance(one, str):
                    raise UnknownError(argument, "is no text")
                found.append(one)
        yield found

    def _is_spread(self, label: str, argument: Node) -> bool:
        """Return whether a list is the rest of the arguments, as in each language."""
        is_java = next(self._code.around(argument)).type == "argument_list"
        return is_java or label == "pins" or text_of(argument).startswith("*")
