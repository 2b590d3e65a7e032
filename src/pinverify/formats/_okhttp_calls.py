"""OkHttp's builders in Kotlin and Java: the calls of ``add`` that each gets.

A call belongs to the builder that its receiver leads to: through calls in a chain,
variables, and the blocks of `apply`, `also`, `let`, `run` and `with`. Wherever else a
builder goes, something may add pins to it, or change them: then the file does not say
its pins. Nor does it if a call is under a condition, such as a debug build. So all that
may stand between a builder, its calls of ``add`` and its only ``build`` is listed here,
and everything else is a mistake.
"""

from __future__ import annotations

import contextlib
import re
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any, TypeAlias

from pinverify.formats._source_kinds import Kind, Library, words_of
from pinverify.formats._source_lists import body_of
from pinverify.formats._source_tree import (
    PARAMETER,
    UnknownError,
    argument_of,
    children_of,
    line_of,
    names_in,
    text_of,
    tokens_of,
)
from pinverify.formats._source_values import WRITE_OUT, Code

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from pinverify.formats._source_names import Declared
    from pinverify.formats._source_tree import Call, Env, Function

__all__ = ["found_in"]

_Add: TypeAlias = "tuple[int, list[str]]"
"""The line of a call of ``add``, and its arguments."""

_CLASS = "CertificatePinner"
_THIS, _IT = {"apply", "run", "with"}, {"also", "let"}
_CHAIN = {"add", "apply", "also"}  # what returns the builder
_KNOWN = {*_CHAIN, *_THIS, *_IT, "build"}
_OF_ANY = words_of(
    "pins getPins toString equals hashCode getClass wait notify notifyAll"
)
_OKHTTP = re.compile(r"\bokhttp3\.")
_CONDITIONS = Kind.CHOICES | words_of("""
    if_statement while_statement do_statement catch_clause catch_block
""")
_IS_NULL = re.compile(
    r"if\s*\(\s*(?:this\.)?(\w+)\s*===?\s*null\s*\)|(?:this\.)?(\w+)\s*\?:"
)
_AS_USED = "; it is read as if always used"
_STATEMENTS = Kind.TOPS | {"expression_statement", "block", "statements"}
# Nodes that always run, if the nodes around them do.
_ALWAYS = (
    _STATEMENTS
    | Kind.PATHS
    | Kind.CALLS
    | words_of("""
    control_structure_body annotated_lambda value_argument value_arguments argument_list
    call_suffix parenthesized_expression assignment assignment_expression
    property_declaration variable_declarator local_variable_declaration
    field_declaration return_statement return_expression function_body
    anonymous_initializer static_initializer variable_declaration constructor_body
""")
)
# Functions that a builder cannot have. So they may stand in a block where it is `this`.
_APART = re.compile(r"[A-Z]\w*|\w+Of|enumValues|println|print|String\.format")
_OTHER = "is another builder for a variable that has one; use a new name"
_ESCAPE = re.compile(r"\\u+00[0-7][0-9a-fA-F]")
_PIN = re.compile(r"sha(1|256)/")
_DEFAULT = re.compile(rf"okhttp3\.{_CLASS}(\.Companion)?\.DEFAULT\b")
_IMPORT = re.compile(
    rf"([\w.*]+\.|\b){_CLASS}(\.Builder|\.\*)?(?:\s+as\s+(\w+))?\s*;?$"
)


def found_in(root: Node, language: str) -> dict[str, Any]:
    """Return the calls of ``add``, and what is not understood, each with its line."""
    reader = _Reader(root, language)
    reader.note_hazards()
    calls = []
    with reader.noting(""):  # a name that is declared twice
        calls = reader.pinned()
    if root.has_error:
        reader.check_errors(root)
    mistakes, notices = sorted(set(reader.mistakes)), sorted(reader.notices)
    return {"calls": calls, "mistakes": mistakes, "notices": notices}


class _Reader(Code):
    """Finds the builders of a file, and their pins."""

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self.notices: set[tuple[int, str]] = set()
        self._ours, self._builders = {_CLASS}, {f"{_CLASS}.Builder"}
        self._foreign: set[str] = set()
        self._adds: dict[int, list[Node]] = {}
        self._builds: dict[int, list[Node]] = {}
        self._origins: dict[int, Node | None] = {}
        self._folds: dict[int, bool] = {}
        self._handed: dict[int, tuple[Function, list[Node]]] = {}
        self._chain, self._known = {*_CHAIN}, {*_KNOWN}
        self._returning: set[str] = set()  # functions that return their first argument
        aliases = [node for node in self.nodes if node.type == "type_alias"]
        for node in [*self.nodes, *reversed(aliases)]:  # which may come in any order
            self._note_names(node)
        helpers = [*self._helpers, *self._extensions]
        found = [(helper, self._adds_of(helper)) for helper in helpers]
        self._fillers = [(helper, adds) for helper, adds in found if adds]
        for node in reversed(self.nodes):  # from the inside, as a chain may be long
            self._origin_of(node)

    def pinned(self) -> list[_Add]:
        """Return the calls of the only builder with pins."""
        made = {n.id: n for n in self.nodes if self._class_of(n, self._builders)}
        names = {name.partition(".")[0] for name in self._builders}
        for node in made.values():
            target = re.split(r"[(<]", text_of(node).removeprefix("new").lstrip())[0]
            first = target.removeprefix("okhttp3.").partition(".")[0].strip()
            if first in names and self.is_declared(first):
                self._mistake(node, f"may be of the {first} that this file declares")
        for filler in self._fillers:
            self._note_handed(*filler)
        for node in [node for node in self.nodes if not self._note_call(node)]:
            self._check_stray(node)
        adds = [(made[key], adds) for key, adds in self._adds.items()]
        found = [one for node, calls in adds for one in self._told(node, calls)]
        for node in made.values():
            if node.id in self._adds:
                self._check_built(node)
            elif found:
                msg = "a builder without pins; the file is read as if it were not used"
                self.notices.add((line_of(node), msg))
        told = self._united(found)
        self._check_places()
        self._check_clients()
        self._check_escapes()
        if not self.mistakes:
            self._check_texts()
        return told

    def _united(self, found: list[tuple[Node, list[_Add]]]) -> list[_Add]:
        """Return the calls of all builders, which have other hosts or the same pins."""
        told: list[_Add] = []
        for node, calls in found:
            same = [one for one, of in found if _said(of) == _said(calls)]
            if same[0] != node:
                continue
            second = f"a second {_CLASS}.Builder"
            first = f"that of line {line_of(found[0][0])}"
            if any(_meet(one, of) for _, one in calls for _, of in told):
                msg = f"{second} with other pins than {first}"
                msg = f"{msg}; keep one of them in the file"
                self.mistakes.append((line_of(node), msg))
            elif told:
                msg = f"{second} with other hosts than {first}; read as if used with it"
                self.notices.add((line_of(node), msg))
            told = told + calls
        return told

    def _note_call(self, node: Node) -> bool:
        """Note a call of ``add`` or ``build``, or of another class.

        False for an ``add`` whose builder this file does not make.
        """
        call = self.call(node)
        is_each = self._is_each_add(call)
        if call.name == "add" or is_each:
            of = children_of(call.arguments[0][1])[0] if is_each else None
            made = self._origin_of(of) if of else self._builder(node, call)
            if made is not None:
                self._adds.setdefault(made.id, []).append(node)
                self.adds.add(node.id)
            return node.id in self.adds or is_each
        if call.name == "build" and (builder := self._builder(node, call)):
            self._builds.setdefault(builder.id, []).append(node)
        elif node.type in Kind.PATHS or "reference" in node.type:
            text = re.sub(r"\s|^::|::new$|^okhttp3\.", "", text_of(node))
            is_made = "::" in text_of(node)
            if is_made and text.replace("::", ".") in self._builders:
                self._mistake(node, "makes builders elsewhere; make each by a call")
        elif self._class_of(node, self._foreign):
            self._mistake(node, "is of another class than that of okhttp3")
        elif self._class_of(node, {f"{name}.Pin" for name in self._ours}):
            self._mistake(node, "is a pin without add; write it as an add")
        return True

    def _is_each_add(self, call: Call) -> bool:
        """Return whether a call of Java is ``map.forEach(builder::add)``."""
        of = [one for _, one in call.arguments if one.type == "method_reference"]
        is_add = [text_of(children_of(one)[-1]) for one in of] == ["add"]
        is_each = call.name == "forEach" and len(call.arguments) == 1
        return is_add and is_each and not self.is_hidden("forEach")

    def _note_handed(self, helper: Function, adds: list[Node]) -> None:
        """Note the calls of a private function that adds pins to the builder it gets.

        The function must do nothing else, and get a builder in each call.
        """
        calls: dict[int, tuple[Node, Node]] = {}
        is_link, name = self._is_of_other(helper.name), text_of(helper.name)
        for use in [one for one in self.uses_of(helper.name) if one != helper.name]:
            call = next((c for c in map(self.call, self.around(use)) if c.name), None)
            made = None
            if call and call.name == name and is_link:
                made = self._builder(call.node, call)
            elif call and call.name == name and not call.receiver:
                label, given = (*call.arguments, ("?", use))[0]
                made = None if label else self._origin_of(given)
            is_value = is_link or name in self._returning
            if call is None or made is None:
                if is_value:
                    why = "is the name of a function that fills builders; rename one"
                    self._mistake(use, why)
                return
            if not is_value and self.parent(call.node).type not in _STATEMENTS:
                return
            calls[call.node.id] = call.node, made
        for node, made in calls.values():
            self._handed[node.id] = helper, adds
            self._adds.setdefault(made.id, []).append(node)
            self.adds |= {node.id, *(one.id for one in adds)}

    def _adds_of(self, helper: Function) -> list[Node]:
        """Return the calls of ``add`` in a private function that has nothing else.

        Note whether the function returns the builder that it gets.
        """
        last = body = children_of(helper.node)[-1]
        while last.type in Kind.WRAPPED and children_of(last):
            last = children_of(last)[-1]
        returned = last if last.type in Kind.JUMPS else None
        if not self._gets_builder(helper) or self.jump_in(helper.node) != returned:
            return []
        found: list[Node] = []
        waiting = children_of(body)
        while waiting:
            node = waiting.pop()
            call = self.call(node)
            loop = call.block or node
            is_block = self.is_loop(loop) and call.name != "fold"
            if is_block or self._is_apply(call, helper):
                waiting += body_of(loop)
            elif node.type in Kind.WRAPPED or node == returned:
                waiting += children_of(node)
            else:
                target: Node | None = node
                while target and (call := self.call(target)).name == "add":
                    if call.is_safe:
                        return []
                    found.append(call.node)
                    target = call.receiver
                if not self._is_given(target, helper):
                    return []
        name, is_link = text_of(helper.name), self._is_of_other(helper.name)
        is_value = returned is not None or text_of(body).startswith("=")
        if found and is_value and self.call(last).name not in Library.EACH:
            (self._chain if is_link else self._returning).add(name)
        self._known |= {name} if found and is_link else set()
        return found

    def _is_given(self, target: Node | None, helper: Function) -> bool:
        """Return whether an expression, or none, is the builder a function gets."""
        if self._is_of_other(helper.name):
            return target is None or text_of(target) == "this"
        declared = None
        with contextlib.suppress(UnknownError):
            if target and target.type in Kind.NAMES:
                declared = self.find(target)
        return declared is not None and declared.name == helper.parameters[0].name

    def _is_apply(self, call: Call, helper: Function) -> bool:
        """Return whether a call is `apply` with the builder that a function extends."""
        is_apply = call.name == "apply" and call.block and not call.arguments
        is_link = self._is_of_other(helper.name) and not call.is_safe
        return bool(is_apply) and is_link and self._is_given(call.receiver, helper)

    def _gets_builder(self, helper: Function) -> bool:
        """Return whether a private function extends, or first takes, a builder."""
        node, name, first = helper.node, helper.name, helper.parameters[:1]
        if not self._is_of_other(name):
            head = text_of(self.parent(first[0].name)) if first else ""
            types = {o.removeprefix("okhttp3.") for o in re.findall(r"[\w.]+", head)}
            is_one = bool(types & self._builders) and not first[0].is_many
            return is_one and "private" in self._modifiers(node)
        of = [o for o in children_of(node, Kind.TYPES) if o.end_byte < name.end_byte]
        path = text_of(of[0]).removeprefix("okhttp3.")
        first_name = path.partition(".")[0]
        outer = self.around(node, Kind.LAMBDAS | Kind.CLASSES)
        is_strange = (
            first_name in self._hiding
            or self.is_declared(first_name)
            or any(map(self.is_hidden, ("add", "apply", "invoke")))
            or any(
                o.type in Kind.LAMBDAS or self._hides(o, is_local=False) for o in outer
            )
            or any(one.default for one in helper.parameters)
            or text_of(name) in _KNOWN | Library.EACH | _OF_ANY
            or self.parent(node).type not in Kind.TOPS | Kind.BODIES
        )
        is_private = self._modifiers(node) == {"private"}
        is_one = len(of) == 1 and path in self._builders
        return is_one and is_private and not is_strange

    def _check_texts(self) -> None:
        """Refuse a pin that nothing has read: a host may be pinned in another way."""
        for node in self.nodes:
            is_text = node.type.endswith("string_literal")
            is_pin = is_text and _PIN.match(text_of(node).strip('"'))
            if is_pin and node.id not in self.read:
                self._mistake(node, "is a pin that no add has which is read; remove it")

    def _check_escapes(self) -> None:
        """Refuse escapes of Java that may end a comment or a text."""
        root = self.nodes[0]
        for match in _ESCAPE.finditer(text_of(root)):
            line = 1 + match.string.count("\n", 0, match.start())
            msg = f"the escape {match[0]} may hide code; write the character itself"
            self.mistakes.append((line, msg))

    def _check_clients(self) -> None:
        """Refuse a client that gets the pinner without pins, or a second pinner."""
        seen: set[Declared | None] = {None}
        others: dict[bool, Node] = {}
        for node in self.nodes:
            text = re.sub(r"\s", "", text_of(node)) if node.type in Kind.PATHS else ""
            if text.removeprefix("okhttp3.").replace(".Companion", "") in {
                f"{name}.DEFAULT" for name in self._ours
            }:
                self._check_default(node)
            if node.type.startswith("import") and _DEFAULT.search(text_of(node)):
                self._mistake(node, f"hides {_CLASS}.DEFAULT; write it where it counts")
            call = self.call(node)
            if call.name != "certificatePinner" or not call.arguments:
                continue
            self._note_conditions(call.line, node)
            given = call.arguments[0][1]
            given = children_of(given)[-1] if given.type == "value_argument" else given
            found = self.find(given) if given.type in Kind.NAMES else None
            others.setdefault(found is not None and found.why == PARAMETER, node)
            of, is_second = call.receiver, False
            while of and (before := self.call(of)).name:
                is_second = is_second or before.name == call.name
                of = before.receiver
            declared = self.find(of) if of and of.type in Kind.NAMES else None
            if is_second or declared in seen - {None}:
                self._mistake(node, "replaces a pinner of the client; keep one")
            seen.add(declared)
        if len(others) > 1:
            self._mistake(others[True], "may replace a pinner of this file; keep one")

    def _check_default(self, node: Node) -> None:
        """Refuse the pinner without pins, unless it is one of two, or goes nowhere."""
        outer, uses = self.parent(node), [node]
        if outer.type in {"property_declaration", "variable_declarator"}:
            name = names_in(outer)[0]
            uses = [one for one in self.uses_of(name) if one != name]
        for use in uses:
            if not any(chain(self._conditions(use), self._conditions(node))):
                self._mistake(node, "pins nothing; give the client one pinner alone")
        msg = "a pinner without pins; the file is read as if it were not used"
        self.notices.add((line_of(node), msg))

    def _conditions(self, node: Node) -> Iterator[Node]:
        """Yield the conditions around a node, except those that are met once."""
        for outer in self.around(node):
            is_choice = outer.type in _CONDITIONS or "?:" in tokens_of(outer)
            if is_choice and not self._is_met_once(outer):
                yield outer

    def _is_met_once(self, outer: Node) -> bool:
        """Return whether a condition gives a variable its only value if it is null."""
        match = _IS_NULL.match(text_of(outer))
        name = match[1] or match[2] if match else ""
        given = [o for o in self.nodes if "assignment" in o.type]
        given = [o for o in given if text_of(o.named_children[-1]) != "null"]
        given = [
            o for o in given if text_of([*names_in(o.named_children[0])][-1]) == name
        ]
        values = [o.value for o in self._declared.get(name, ())]
        is_null = [text_of(one) if one else "null" for one in values] == ["null"]
        is_own = bool(given) and all(self._has(outer, one) for one in given)
        return is_null and is_own and "else" not in tokens_of(outer)

    def _check_built(self, made: Node) -> None:
        """Refuse a builder unless it is built once, after all its calls, and used."""
        builds = self._builds.get(made.id, [])
        # A snippet is often cut out without the call of build().
        kinds = {*Kind.PATHS, *Kind.CALLS, "expression_statement"}
        outer = next((o for o in self.around(made) if o.type not in kinds), made)
        if not builds and outer.type in Kind.TOPS:
            return
        if len(builds) != 1:
            why = "built more than once; build each by itself"
            self._mistake(made, f"is {why if builds else 'not built; add .build()'}")
            return
        (built,) = builds
        self._check_turns_of(built, made)
        for add in self._adds[made.id]:
            is_inside = built.start_byte <= add.start_byte < built.end_byte
            is_before = add.end_byte <= built.start_byte
            if not is_before and not (is_inside and add.end_byte < built.end_byte):
                self._mistake(add, "comes after build(), which has the pins before")
        self._check_begun(built, self._adds[made.id])
        if not self._is_used(built):
            self._mistake(built, "is a pinner that nothing gets; give it to the client")
        if (other := self._replacing(built)) is not None:
            self._mistake(other, "replaces a pinner of this file; use another name")
        self._note_conditions(line_of(made), made)
        for outer in self.around(made, Kind.FUNCTIONS):
            name = outer.child_by_field_name("name")
            is_private = "private" in text_of(outer).partition("(")[0].split()
            if name and is_private and len(self.uses_of(name)) == 1:
                where = f"the pinner is in {text_of(name)}, which nothing calls"
                self.notices.add((line_of(made), f"{where}{_AS_USED}"))

    def _check_turns_of(self, built: Node, made: Node) -> None:
        """Refuse a pinner that is built in a loop, or that a block replaces."""
        around = takewhile(lambda o: not self._has(o, made), self.around(built))
        if any(self.is_loop(o) or o.type in Kind.LOOPS for o in around):
            self._mistake(built, "is built in each turn; build it after the loop")
        after = next((c for c in map(self.call, self.around(built)) if c.name), None)
        if after and after.receiver == built and after.name in {"let", "run", "with"}:
            block = text_of(after.block) if after.block else ""
            uses = [text_of(o) for o in self.declared_in(after.block or built)]
            if not any(word in block for word in uses or ["it", "this"]):
                self._mistake(after.node, "gives another pinner; give the one above")

    def _check_begun(self, built: Node, adds: list[Node]) -> None:
        """Refuse a pinner that may be built before a class has added all its pins."""
        known = [next(self.around(add, Kind.BEGINNINGS), None) for add in adds]
        begins = [o for o in known if o is not None and not self._has(o, built)]
        if not begins:
            return
        later = Kind.FUNCTIONS - Kind.BEGINNINGS
        member = self._member_of(built)
        is_constructor = "constructor_declaration" in {one.type for one in begins}
        if is_constructor and not any(o.type in later for o in self.around(built)):
            self._mistake(built, "is built before the constructor adds pins")
        names = {text_of(o) for o in names_in(member)[:1]}
        names |= {text_of(o) for o in member.children_by_field_name("name")}
        for node in self.nodes_in(self.parent(begins[0])):
            call = self.call(node)
            is_call = call.name in {*self._functions, *self._classes} - names
            is_call |= node.type in Kind.THESE and "argument" in self.parent(node).type
            is_call |= text_of(node).partition(".")[0] in self._classes and (
                node.type in Kind.PATHS
            )
            is_use = text_of(node) in names and node.type in Kind.NAMES
            of = self._member_of(node)
            is_now = of.type not in later and not (is_use and of == member)
            is_known = node == built or node.id in self._handed
            if (is_use or (is_call and not is_known)) and is_now:
                self._mistake(node, "may build the pinner before it has its pins")

    def _note_conditions(self, line: int, node: Node) -> None:
        for outer in self._conditions(node):
            where = f"the pinner is under the condition of line {line_of(outer)}"
            self.notices.add((line, f"{where}{_AS_USED}"))

    def _replacing(self, built: Node) -> Node | None:
        """Return what gives the variable of a pinner one that nobody has read."""
        outer = self.parent(built)
        left = outer.named_children[0]
        if outer.type in {"property_declaration", "variable_declarator"}:
            left = names_in(outer)[0]
        elif "assignment" not in outer.type:
            return None
        ours = self.member(left) if left.type in Kind.PATHS else self.find(left)
        known = {one.id for calls in self._builds.values() for one in calls}
        for node in self.nodes:
            inner = children_of(node) if "assignment" in node.type else []
            if inner and inner[-1].id not in known and text_of(inner[-1]) != "null":
                of = inner[0]
                given = self.member(of) if of.type in Kind.PATHS else self.find(of)
                is_default = text_of(inner[-1]).endswith(f"{_CLASS}.DEFAULT")
                if given is not None and given == ours and not is_default:
                    return node
        return None

    def _is_used(self, built: Node) -> bool:
        """Return whether a pinner goes anywhere: a statement of its own drops it."""
        outer = self.parent(built)
        while outer.type in {"parenthesized_expression", "variable_declarator"}:
            built, outer = outer, self.parent(outer)
        if outer.type in {"local_variable_declaration", "property_declaration"}:
            of = built if built.type == "variable_declarator" else outer
            name = names_in(of)[0]
            is_local = self.parent(outer).type in {"block", "statements"}
            return not is_local or len(self.uses_of(name)) > 1
        if outer.type == "expression_statement":
            return self.parent(outer).type in Kind.TOPS
        is_last = outer.named_children[-1].id == built.id
        is_result = self.parent(outer).type not in {"function_body", *Kind.FUNCTIONS}
        return outer.type not in {"block", "statements"} or (is_last and is_result)

    def check_errors(self, root: Node) -> None:
        """Refuse what the parser did not understand, if a pin may be hidden there.

        That is so around a builder, and wherever words such as ``add`` are.
        """
        hidden = re.compile(r"\badd\b|Builder|pins\b")
        for node in self.nodes:
            is_near = False
            if self._class_of(node, self._builders):
                outer = [one for one in self.around(node) if one.id != root.id]
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
        """Note the other names that imports and aliases give the class."""
        is_alias = node.type == "type_alias"
        name = node.child_by_field_name("type" if is_alias else "name")
        is_named = "declaration" in node.type or is_alias
        if is_named and name and text_of(name) == _CLASS and "var" not in node.type:
            is_other = any(_CLASS in words for words in self._aliases)
            if is_other or not self._ours - {_CLASS}:  # the import gave it no name
                self._mistake(name, "is a class of this file, and not that of okhttp3")
            self._foreign.add(f"{_CLASS}.Builder")
            self._builders -= self._foreign
        if is_alias:
            *_, alias, of = re.split(r"[\s=]+", text_of(node))
            of = of.removeprefix("okhttp3.")
            is_ours = of in self._ours | self._builders
            of = of if of not in self._builders else f"{_CLASS}.Builder"
            of = of if of not in self._ours else _CLASS
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
            self._ours.add(match[3] or _CLASS)
            self._builders |= {f"{match[3] or _CLASS}.Builder"}

    def _class_of(self, node: Node, names: set[str]) -> bool:
        target = None
        if node.type == "object_creation_expression":
            target = node.child_by_field_name("type")
        elif node.type == "call_expression" and self.call(node).name:
            target = node.named_children[0]
        if target is None or "call" in target.type:
            return False
        text = re.sub(r"[\s`]", "", text_of(target)).removeprefix("okhttp3.")
        return text in names

    # ---- builders ------------------------------------------------------------------

    def _check_stray(self, node: Node) -> None:
        """Refuse a call of ``add`` that may be of a builder of another file."""
        call, declared = self.call(node), None
        if call.receiver is not None and call.receiver.type in Kind.NAMES:
            declared = self.find(call.receiver)
        around = next(self.around(declared.name), None) if declared else None
        of = text_of(call.receiver) if call.receiver is not None else "this"
        builders = filter(None, map(self._of_lambda, self.around(node, Kind.LAMBDAS)))
        if of.partition("@")[0] in {"this", "it"} and any(builders):
            why = "may be of the builder around it; write the builder's name"
            self._mistake(node, why)
        elif around is not None and f"{_CLASS}.Builder" in text_of(around):
            why = "is a builder that this file does not make; name the file that does"
            function = next(self.around(around, Kind.FUNCTIONS), around)
            name = function.child_by_field_name("name") or function
            calls = (
                self.call(o) for use in self.uses_of(name) for o in self.around(use)
            )
            given = [
                o for o in calls if any(self._origin_of(a) for _, a in o.arguments)
            ]
            if given:
                where = f"line {given[0].line} hands on"
                why = (
                    f"is a builder that {where}; call add there, or write a policy file"
                )
            self._mistake(call.receiver or node, why)
        elif any(self._may_be_pin(one) for _, one in call.arguments[1:]):
            self._mistake(node, "adds pins to no builder that this file makes")

    def _may_be_pin(self, argument: Node) -> bool:
        value: Any = ""
        with contextlib.suppress(UnknownError):
            value = self.value(argument, {})
        values = value if isinstance(value, list) else [value]
        is_pin = any(isinstance(v, str) and _PIN.match(v) for v in values)
        return is_pin or bool(re.search(r"(?i)sha(1|256)|pin", text_of(argument)))

    def _builder(self, node: Node, call: Call) -> Node | None:
        """Return the place where the builder is made; note why it is unknown."""
        with self.noting(""):
            return self._builder_of(node, call)
        return None

    def _builder_of(self, node: Node, call: Call) -> Node | None:
        receiver = call.receiver
        if receiver is None or text_of(receiver) == "this":
            found = self._of_this(node)
        else:
            found = self._leads_to(receiver)
        if found is not None and call.is_safe:
            raise UnknownError(node, "is under a condition, `?.`")
        return found

    def _leads_to(self, node: Node) -> Node | None:
        if node.id not in self._origins:
            with self.deeper(node):
                self._origins[node.id] = self._origin(node)
        return self._origins[node.id]

    def _origin(self, node: Node) -> Node | None:  # noqa: PLR0911 - by kind of node
        if self._class_of(node, self._builders):
            return node
        call = self.call(node)
        if call.name in self._chain:
            return self._builder_of(node, call)
        if call.name in self._returning and call.arguments and not call.receiver:
            return self._leads_to(call.arguments[0][1])
        if self._is_fold(call):
            return self._leads_to(call.arguments[0][1])
        if node.type in Kind.THESE and text_of(node) == "this":
            return self._of_this(node)
        if node.type in Kind.PATHS:
            declared = self.member(node)
        elif node.type in Kind.NAMES:
            declared = self.find(node)
            if text_of(node) == "it":
                block = self.block_of_it(node)
                return self._of_lambda(block) if block else None
        else:
            return None
        return self._of_variable(declared) if declared else None

    def _of_variable(self, declared: Declared) -> Node | None:
        if declared.value is not None:
            return self._leads_to(declared.value)
        given = self.declared_in(declared.scope)
        if declared.scope.type not in Kind.LAMBDAS or declared.name not in given:
            return None
        if declared.name != given[0] and self._is_fold(self.call_of(declared.scope)):
            return None
        return self._of_lambda(declared.scope)

    def _is_fold(self, call: Call) -> bool:
        """Return whether a call hands a builder from one turn of its block to the next.

        The block only adds to the builder, its first variable, and returns it.
        """
        is_plain = call.name == "fold" and not call.is_safe and len(call.arguments) == 1
        if not is_plain or call.block is None or self.is_hidden("fold"):
            return False
        if call.block.id not in self._folds:
            names = self.declared_in(call.block)[:1]
            waiting = body_of(call.block)
            is_fold = bool(names and waiting) and self._is_chain(waiting[-1], names[0])
            while is_fold and waiting:
                node = waiting.pop()
                block = self.call(node).block or node
                if self.is_loop(block) and self.call(node).name != "fold":
                    waiting += body_of(block)
                else:
                    is_fold = self._is_chain(node, names[0])
            self._folds[call.block.id] = is_fold
        return self._folds[call.block.id]

    def _is_chain(self, node: Node, name: Node) -> bool:
        """Return whether an expression is a variable, or calls of ``add`` on it."""
        while (call := self.call(node)).name == "add" and call.receiver is not None:
            node = call.receiver
        return node.type in Kind.NAMES and self.find(node) == self.find(name)

    def _of_this(self, node: Node) -> Node | None:
        blocks = self.around(node, Kind.LAMBDAS)
        found = next((one for one in blocks if self.call_of(one).name in _THIS), None)
        return self._of_lambda(found) if found else None

    def _of_lambda(self, block: Node) -> Node | None:
        """Return the builder that `apply`, `let` and the like hand to their block."""
        call = self.call_of(block)
        if self._is_fold(call):
            return self._leads_to(call.arguments[0][1])
        made = self._of_scope(call) if call.name in _THIS | _IT else None
        if made is not None and call.is_safe:
            raise UnknownError(call.node, "is under a condition, `?.`")
        return made

    def _of_scope(self, call: Call) -> Node | None:
        of = call.receiver
        if call.name == "with":
            of = call.arguments[0][1] if call.arguments else None
        return None if of is None else self._leads_to(of)

    def _check_places(self) -> None:
        for node in self.nodes:
            self._check_implied(node)
            made = self._origin_of(node)
            if made is not None and not self._is_mere_name(node):
                around = [*self.around(node)][:4]
                calls = [self.call(o) for o in around if o.id in self._handed]
                is_each = around[0].type == "method_reference" and len(around) > 2  # noqa: PLR2004
                is_each = is_each and self._is_each_add(self.call(around[2]))
                given = [one for o in calls for _, one in o.arguments[:1]]
                if not (is_each or node in given):
                    self._check_place(node, made)

    def _origin_of(self, node: Node) -> Node | None:
        with contextlib.suppress(UnknownError):
            return self._leads_to(node)
        return None

    def _is_mere_name(self, node: Node) -> bool:
        declared = self.find(node) if node.type in Kind.NAMES else None
        outer = self.parent(node)
        is_label = outer.type == "value_argument" and argument_of(outer)[0]
        is_first = children_of(outer)[0] == node
        is_member = outer.type in Kind.PATHS and not is_first
        is_declared = declared is not None and declared.name == node
        return is_member or is_declared or bool(is_label and is_first)

    def _check_place(self, node: Node, made: Node) -> None:  # noqa: C901 - by place
        """Refuse a use of a builder where something may change it."""
        outer = self.parent(node)
        calls = [self.call(one) for one in [*self.around(node)][:3]]
        call = next((one for one in calls if one.receiver == node), self.call(outer))
        why = "is a builder, and the builder is handed on; call add and build here"
        if call.name:
            if call.is_safe:
                why = "is under a condition, `?.`"
            elif call.name in _THIS | _IT and call.block is None:
                why = "hands the builder on; write its calls in a block"
                node = call.node
            elif call.name in self._known and call.receiver == node:
                return
        elif outer.type in Kind.PATHS:
            node, why = outer, "changes the pins in another way; write add"
        elif outer.type == "value_argument":
            calls = [self.call(one) for one in self.around(node)]
            within = next((one for one in calls if one.name), self.call(outer))
            if within.block and (within.name == "with" or self._is_fold(within)):
                return
        elif (
            outer.type in _STATEMENTS | Kind.LOOPS
            or self.call_of(outer).name in _KNOWN | Library.EACH
        ):
            return
        elif (declared := self._declared_by(outer)) is not None:
            is_left = "assign" in outer.type and outer.named_children[0] == node
            given = outer.named_children[-1] if is_left else declared.name
            head = text_of(self.parent(self.parent(declared.name))).partition("=")[0]
            is_private = not declared.owner or "private" in head.split()
            if self._origin_of(given) != made:
                why = _OTHER
            elif is_private:
                return
            else:
                why = "is a builder to which other files can add pins; make it private"
                node = declared.name
        self._mistake(node, why)

    def _declared_by(self, outer: Node) -> Declared | None:
        names: list[Node] = []
        if outer.type in {"variable_declarator", "property_declaration"}:
            names = names_in(outer)
        elif "assignment" in outer.type and outer.named_children[0].type in Kind.NAMES:
            names = outer.named_children
        return self.find(names[0]) if names else None

    def _check_implied(self, node: Node) -> None:
        """Refuse what may be a member of the builder that is `this` around it."""
        call, why = self.call(node), ""
        is_pins = node.type in Kind.NAMES and text_of(node) == "pins"
        if is_pins and not self._is_mere_name(node) and self.find(node) is None:
            why = "may be those of the builder"
        is_known = call.name in self._known | Library.EACH or _APART.fullmatch(
            call.name
        )
        if node.type == "callable_reference":
            why = "may be of the builder; write its calls"
        elif call.name == "add" and not call.receiver and self.is_hidden("add"):
            why = "may be the `add` that this file has"
        elif call.name and not (call.receiver or is_known):
            why = "may be a call of the builder; move it out"
        blocks = [o for o in self.around(node, Kind.LAMBDAS) if why]
        of_this = [one for one in blocks if self.call_of(one).name in _THIS]
        if any(self._of_lambda(one) for one in of_this):
            self._mistake(node, why)

    # ---- pins ----------------------------------------------------------------------

    def _told(self, made: Node, adds: list[Node]) -> list[tuple[Node, list[_Add]]]:
        """Return the arguments of the calls of one builder.

        If these need the parameters of a private function, return those of each call.
        """
        before = len(self.mistakes)
        found = [(made, self._pins_of(made, adds, {}))]
        function = next(self.around(made, Kind.FUNCTIONS), made)
        helper = next((one for one in self._helpers if one.node == function), None)
        if helper is None or len(self.mistakes) == before:
            return found
        uses = [use for use in self.uses_of(helper.name) if use != helper.name]
        if (
            not uses
            or not helper.parameters
            or "private" not in self._modifiers(function)
        ):
            return found
        del self.mistakes[before:]
        found = []
        for use in uses:
            node = next((o for o in self.around(use) if self.call(o).name), use)
            call = self.call(node)
            with self.noting(WRITE_OUT):
                names = [o for o in self.nodes_in(node) if text_of(o) == call.name]
                if names[:1] != [use]:
                    raise UnknownError(use, "is a function that is handed on")
                self._note_conditions(call.line, node)
                if not self._is_used(node):
                    self._mistake(node, "is a pinner that nothing gets; use it")
                given = self.given_to(helper, node, call, {})
                found.append((node, self._pins_of(made, adds, given)))
        return found

    def _pins_of(self, made: Node, adds: list[Node], env: Env) -> list[_Add]:
        calls: list[_Add] = []
        for add in adds:
            with self.noting("; write it where it always runs, or a policy file"):
                loops = self._loops(add, made)
                with self.noting(WRITE_OUT):
                    found = self._arguments(add, loops, env)
                    calls += [(self.call(add).line, values) for values in found]
        return calls

    def _loops(self, add: Node, made: Node) -> list[Node]:  # noqa: C901 - by type
        """Return the loops around a call, from the outside."""
        shared = {outer.id for outer in self.around(made)}
        loops: list[Node] = []
        for outer in self.around(add):
            if outer.id in shared:
                break
            self.check_always(outer)
            is_block = self.is_loop(outer)
            if is_block:
                loops.insert(0, outer)
            elif outer.type in Kind.LAMBDAS:
                is_block = self._is_scope_of(self.call_of(outer), made)
                if not is_block:
                    raise UnknownError(add, "is in a block that may not run")
            elif outer.type in Kind.FUNCTIONS:
                is_block = self._is_of_constructor(made, outer)
                if not is_block:
                    raise UnknownError(add, "is in another function than its builder")
            elif not self.runs_with(outer, made):
                raise UnknownError(add, "is in an initializer of another time")
            elif outer.type not in _ALWAYS:
                kind = outer.type.replace("_", " ")
                raise UnknownError(add, f"is under a condition, or in `{kind}`")
            elif self.call(outer).is_safe:
                raise UnknownError(outer, "is under a condition, `?.`")
            if is_block and (jump := self.jump_in(outer)):
                why = f"may be left out: line {line_of(jump)} leaves the block"
                raise UnknownError(add, why)
        return loops

    def _is_of_constructor(self, made: Node, outer: Node) -> bool:
        """Return whether a builder is of an object that only *outer* initializes."""
        if outer.type != "constructor_declaration":
            return False
        body, member = self.parent(outer), self._member_of(made)
        is_static = "static" in text_of(member).partition("=")[0].split()
        is_only = [o.type for o in children_of(body)].count(outer.type) == 1
        return self.parent(member) == body and is_only and not is_static

    def _is_scope_of(self, call: Call, made: Node) -> bool:
        if call.name not in _THIS | _IT or self.is_hidden(call.name):
            return False
        return self._of_scope(call) == made and not call.is_safe

    def _arguments(self, add: Node, loops: list[Node], env: Env) -> Iterator[list[str]]:
        """Yield the arguments of a call, for each turn of the loops around it."""
        if loops:
            for turn in self.turns(loops[0], env):
                yield from self._arguments(add, loops[1:], turn)
            return
        call, found = self.call(add), list[str]()
        if call.name != "add":
            yield from self._handed_on(add, call, env)
            return
        if call.block is not None:
            raise UnknownError(add, "has a block, which OkHttp's `add` has not")
        for label, argument in sorted(call.arguments, key=lambda a: a[0] == "pins"):
            if label not in {"", "pattern", "pins"}:
                why = f"names `{label}`, which OkHttp's `add` has not"
                raise UnknownError(add, why)
            value = self.value(argument, env)
            is_spread = label == "pins" or text_of(argument).startswith("*")
            if isinstance(value, list) and not (is_spread or self._language == "java"):
                raise UnknownError(argument, "is a list; write `*` before it")
            values = value if isinstance(value, list) else [value]
            if not all(isinstance(one, str) for one in values):
                raise UnknownError(argument, "is no text")
            found += values
        yield found

    def _handed_on(self, add: Node, call: Call, env: Env) -> Iterator[list[str]]:
        """Yield the arguments that a builder gets where it is handed on."""
        if add.id in self._handed:
            helper, adds = self._handed[add.id]
            given = 0 if self._is_of_other(helper.name) else 1
            helper = helper._replace(parameters=helper.parameters[given:])
            call = call._replace(arguments=call.arguments[given:], receiver=None)
            values = env | self.given_to(helper, add, call, env)
            for one in adds:
                around = [o for o in self.around(one) if self._has(helper.node, o)]
                loops = [o for o in reversed(around) if self.is_loop(o)]
                yield from self._arguments(one, loops, values)
            return
        pairs = self.value(call.receiver or add, env)
        for pair in pairs.items() if isinstance(pairs, dict) else [(add, add)]:
            if not isinstance(pair[1], str):
                raise UnknownError(add, "goes through no map of texts of this file")
            yield [*pair]


def _said(calls: list[_Add]) -> list[list[str]]:
    return sorted(values for _, values in calls)


def _meet(one: list[str], other: list[str]) -> bool:
    """Return whether a host may match the patterns of both; True if that is unclear."""
    patterns = [(call or [""])[0].lower().rstrip(".") for call in (one, other)]
    short, long = sorted(patterns, key=lambda pattern: len(pattern.lstrip("*.")))
    name, below = short.lstrip("*."), f".{long.lstrip('*.')}"
    is_clear = all(re.fullmatch(r"[*.\w-]+\.[a-z]+", p, re.ASCII) for p in patterns)
    is_wide = short.startswith("*") or f".{name}" == below
    return not is_clear or (is_wide and below.endswith(f".{name}"))
