"""Objects in source code: the values that classes, structs and enums are made with.

Objects are read if their class has properties, methods of one expression, and nothing
that could change these. They keep the properties they are made with.
"""

from __future__ import annotations

import contextlib
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_kinds import Kind, Library, words_of
from pinverify.formats._source_names import Declared, Names
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    PARAMETER,
    Call,
    Env,
    Parameter,
    UnknownError,
    argument_of,
    children_of,
    expression_of,
    names_in,
    parameters_of,
    text_of,
    tokens_of,
    words_in,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tree_sitter import Node

    from pinverify.formats._source_tree import Value

__all__ = ["Made", "Objects", "levels_of"]

# The types with which Kotlin may declare a text, or something made of texts. With a
# wider type, a call may mean a function of another file.
_TYPES_OF_TEXTS = words_of("""
    String List Set Map Collection Iterable Array Pair Boolean Int out MutableList
    MutableSet MutableMap ArrayList HashSet HashMap LinkedHashMap kotlin collections
    URL URI Uri HttpUrl
""")
_OPEN = {"open", "override", "abstract", "var"}
_BASES = {"open", "abstract", "sealed", "enum"}
_NO_PLAIN = words_of("enum interface extension actor abstract sealed inner")
_ENTRIES = words_of("""
    switch_entry when_entry switch_rule switch_block_statement_group
""")
_SUBJECTS = Kind.THESE | Kind.NAMES | Kind.PATHS
_CHAINED = {"map", "forEach", "apply", "also", "let", "run", "get"}
_PLAIN_PROTOCOLS = {"String", "CaseIterable"}


@dataclass(frozen=True, eq=False)
class Made:
    """An object of a class that the source file declares.

    Attributes:
        of: the declaration of the class.
        path: the name of the class, after those of the classes around it.
        env: the values that the object was made with.
        constant: the name of the constant, if the object is one of an enum.
        raw: the value that the constant stands for, in an enum of Swift.
        above: the same object, as one of the class that its class inherits.
    """

    of: Node
    path: str
    env: Env
    constant: str = ""
    raw: Value = None
    above: Made | None = None


class Objects(Names, ABC):
    """The objects of one file."""

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self._sealed: set[int] = set()

    @abstractmethod
    def value(self, node: Node, env: Env) -> Value:
        """Return the value of an expression."""

    @abstractmethod
    def _of_declared(self, node: Node, declared: Declared, env: Env) -> Value:
        """Return the value of a variable."""

    def _check_type(self, node: Node) -> None:
        """Refuse a text of Kotlin with a wider type: another function may be meant."""
        words = words_in(children_of(node, Kind.TYPES))
        for name, *means in self._aliases:
            words = words - {name} | {*means} if name in words else words
        for name, (first, *others) in self._class_nodes.items():
            if not others and "interface" not in tokens_of(first):
                words.discard(name)
        if self._language == "kotlin" and not words <= _TYPES_OF_TEXTS:
            raise UnknownError(node, "is declared as something else than String")

    def _check_annotations(self, use: Node, declaration: Node) -> None:
        """Refuse a name with an annotation that may hide it, as some of Kotlin do."""
        marks = children_of(declaration, {"modifiers"})
        for mark in [one for c in marks for one in c.named_children]:
            words = re.findall(r"\w+", text_of(mark).partition("(")[0])
            if mark.type != "annotation" or self._language != "kotlin":
                continue
            is_short = words == ["Deprecated"] and "," not in text_of(mark)
            if not is_short and not Library.PLAIN_ANNOTATIONS.issuperset(words):
                raise UnknownError(use, f"has the annotation @{words[-1]}; remove it")

    def _class_meant(self, use: Node, text: str) -> Node | None:
        path = re.sub(r"[\s`?]|<.*>", "", text)
        first, last = path.partition(".")[0], path.rpartition(".")[2]
        found = self._class_nodes.get(last, [])
        hiding = self._imported | self._hiding | self._declared.keys()
        if len(found) != 1 or first in hiding:
            return None
        whole = self._path_of(found[0])
        around = self.around(use, Kind.CLASSES)
        top, *others = self._class_nodes.get(first, found)
        paths = {path, *(f"{self._path_of(o)}.{path}" for o in around)}
        if others or whole not in paths:
            return None
        scope, owner = self.parent(top), ""
        if scope.type in Kind.BODIES:
            scope, owner = self._class(scope)
        if scope.type not in {*Kind.BODIES, *Kind.TOPS}:
            return None
        name = top.child_by_field_name("name") or top
        self.check_meaning(use, Declared(name, scope, None, "", owner))
        return found[0]

    def _body(self, of: Node) -> list[Node]:
        inner = [one for b in children_of(of, Kind.BODIES) for one in children_of(b)]
        parts = [p for p in inner if p.type == "enum_body_declarations"]
        return inner + [one for part in parts for one in children_of(part)]

    def _made(
        self, node: Node, of: Node, arguments: Sequence[tuple[str, Node]], env: Env
    ) -> Made:
        members, kinds = self._body(of), tokens_of(of)
        makers = [o for o in members if re.search("constructor|^init_decl", o.type)]
        bases = children_of(of, Kind.BASES - Kind.BODIES)
        is_own = words_in(bases) <= _PLAIN_PROTOCOLS and "self" not in self._changed
        is_plain = of.type != "record_declaration" and self._language != "kotlin"
        is_strange = (
            len(makers) > is_plain
            or {"type_parameters", "superclass"} & kinds
            or any(text_of(one).startswith("#") for one in members)
            or (self._language == "swift" and not is_own)
            or self._is_extended("invoke")
            or any(self._has(of, o) for o in self._uses.get("invoke", []))
        )
        listed = parameters_of((makers or [of])[0])
        if self._language == "swift" and "struct" in kinds and not makers:
            listed = self._stored(members)
        if is_strange or listed is None:
            name = of.child_by_field_name("name")
            msg = f"is of {text_of(name or of)}, a class with more than properties"
            raise UnknownError(node, msg)
        for one in listed:
            place = self.parent(one.name)
            words = self._modifiers(place) | tokens_of(place)
            own = _OPEN if self._modifiers(of) & _BASES else _OPEN - {"override"}
            if place.type == "class_parameter" and words & own:
                raise UnknownError(node, "has a property that is no plain `val`")
        with self.deeper(node):
            given = self._bound(node, listed, arguments, env)
            above = self._above(of, bases, given)
        return Made(of, self._path_of(of), given, above=above)

    def _stored(self, members: list[Node]) -> list[Parameter]:
        """Return the properties that a struct's memberwise initializer takes."""
        found = []
        for one in [one for one in members if one.type == "property_declaration"]:
            name = names_in(one.child_by_field_name("name") or one)[0]
            value, words = one.child_by_field_name("value"), self._modifiers(one)
            is_let = "let" in map(text_of, children_of(one))
            if any(word.startswith("@") for word in words):
                raise UnknownError(one, "has an attribute that may change it")
            is_computed = "computed_property" in tokens_of(one)
            if not (is_computed or (value and is_let) or "static" in words):
                found.append(Parameter(name, text_of(name), value, is_many=False))
        return found

    def _above(self, of: Node, bases: list[Node], env: Env) -> Made | None:
        """Return an object of Kotlin as one of the class that it inherits, or None."""
        calls = [o for base in bases for o in self.nodes_in(base)]
        for one in [one for one in calls if one.type == "constructor_invocation"]:
            target, *parts = children_of(one)  # of Kotlin
            found = self._class_meant(of, text_of(target))
            if found is not None:
                self._read_siblings(found)
                given = [argument_of(o) for part in parts for o in children_of(part)]
                return self._made(one, found, given, env)
        return None

    def _read_siblings(self, of: Node) -> None:
        """Read what all objects of a sealed class are made with, as for an enum.

        Then their pins are known as values of that class, and not as stray pins.
        """
        if "sealed" not in self._modifiers(of) or of.id in self._sealed:
            return
        self._sealed.add(of.id)
        for one in self.nodes:
            bases = children_of(one, Kind.BASES - Kind.BODIES)
            name = text_of(of.child_by_field_name("name") or of)
            if one.type == "object_declaration" and name in words_in(bases):
                with contextlib.suppress(UnknownError):
                    self._above(one, bases, {})

    def _bound(
        self,
        node: Node,
        listed: list[Parameter],
        arguments: Sequence[tuple[str, Node]],
        env: Env,
    ) -> Env:
        found: Env = {}
        waiting = [*listed]
        for label, argument in arguments:
            if self._language == "swift":
                is_rest = waiting and waiting[0].is_many and not label
                is_rest = is_rest and waiting[0].name.id in found
                own = label or "_"
                while waiting and not is_rest and waiting[0].label != own:
                    before = waiting.pop(0)
                    if before.name.id not in found:
                        found[before.name.id] = self._default(before, found)
            rest = [o for o in waiting if not label or label in {o.label, "_"}]
            if not rest:
                raise UnknownError(node, AT_RUN_TIME)
            one = rest[0]
            value = self._given_for(argument, env)
            is_call = node.type in {"call_expression", "method_invocation"}
            if isinstance(value, UnknownError) and is_call:
                # Another file may have a function for an argument of another type.
                self._check_constant(one, argument, value)
            if one.is_many and (not label or self._language == "swift"):
                is_all = isinstance(value, list) and (
                    self._language == "java" or text_of(argument).startswith("*")
                )
                many = found.setdefault(one.name.id, [])
                lost = [v for v in (many, value) if isinstance(v, UnknownError)]
                added = value if is_all else [value]
                found[one.name.id] = lost[0] if lost else many + added
            else:
                found[one.name.id] = value
                waiting.remove(one)
        for one in waiting:
            if one.name.id not in found:
                found[one.name.id] = self._default(one, found)
        return found

    def _given_for(self, argument: Node, env: Env) -> Value:
        """Return the value of an argument, or the error to raise where it is read."""
        try:
            value = self.value(argument, env)
        except UnknownError as error:
            return error
        if isinstance(value, list | dict) and self._is_open(argument):
            return UnknownError(argument, "is a list that can be changed")
        return value

    def _check_constant(
        self, one: Parameter, argument: Node, unknown: UnknownError
    ) -> None:
        """Refuse an argument that is no constant of the type of its parameter."""
        outer = self.parent(one.name)
        outer = outer if ":" in text_of(outer) else self.parent(outer)
        of = re.search(r":\s*([\w.]+)\s*(?:=|\Z)", text_of(outer))
        text = re.sub(r"^BuildConfig\.DEBUG$", "Boolean.DEBUG", text_of(argument))
        owner = text.rpartition(".")[0]
        is_one = re.fullmatch(r"[\w.]+\.\w+", text) and of and of[1] == owner
        if not is_one or owner.partition(".")[0] in self._declared:
            raise unknown

    def _default(self, one: Parameter, env: Env) -> Value:
        if one.default is None and not one.is_many:
            raise UnknownError(one.name, "is a parameter that is not given")
        for name in self.nodes_in(one.default) if one.default else ():
            found = self.find(name) if name.type in Kind.NAMES else None
            if self._language == "swift" and found and found.why == PARAMETER:
                raise UnknownError(name, "is no parameter in the default of another")
        return self._given_for(one.default, env) if one.default else []

    def _made_by(self, node: Node, call: Call, env: Env) -> Value:
        """Return the object that a call makes, or what a method of an object returns.

        Return None for any other call.
        """
        of = f"{text_of(call.receiver)}." if call.receiver else ""
        if node.type == "object_creation_expression":
            has_body = any(one.type in Kind.BODIES for one in children_of(node))
            found = None if has_body else self._class_meant(node, call.name)
            return self._made(node, found, call.arguments, env) if found else None
        is_all = call.name in {"values", "enumValues"} and not call.block
        if is_all and (found := self._enum_of(node, call)) is not None:
            return self._constants(found)
        path = f"{of}{call.name}".removesuffix(".init")
        if not path:  # of the type that a variable of Swift is declared with
            outer = self.parent(node)
            is_list = outer.type == "array_literal"
            outer = self.parent(outer) if is_list else outer
            types = children_of(outer, {"type_annotation"})
            match = re.fullmatch(r":\s*(\[?)(\w+)\]?", "".join(map(text_of, types)))
            path = match[2] if match and bool(match[1]) == is_list else ""
        name = path.rpartition(".")[2]
        is_class = name in self._class_nodes and self._language != "java"
        if is_class and not call.block and not self._is_function(name):
            found = self._class_meant(node, path)
            kinds = tokens_of(found) | self._modifiers(found) if found else _NO_PLAIN
            if found and found.type == "class_declaration" and not kinds & _NO_PLAIN:
                return self._made(node, found, call.arguments, env)
        is_getter = call.name in self._functions or call.name in self._declared
        is_other = call.is_safe or call.block or call.name in _CHAINED
        if call.receiver is None or is_other or not is_getter or call.arguments:
            return None
        made = None
        with contextlib.suppress(UnknownError):
            made = self.value(call.receiver, env)
        return self._method(node, made, call.name) if isinstance(made, Made) else None

    def _enum_of(self, node: Node, call: Call) -> Node | None:
        if call.name in self._functions or call.name in self._declared:
            return None
        found = None
        if call.name == "values" and call.receiver:
            found = self._class_meant(node, text_of(call.receiver))
        elif call.name == "values":
            found = next(self.around(node, Kind.CLASSES - {"companion_object"}), None)
            blocks = [*self.around(node, {*Kind.LAMBDAS, *Kind.EXTENDED})]
            if hides := [h for o in blocks if (h := self._hides(o, is_local=False))]:
                raise UnknownError(node, f"is in {hides[0]}, which may have it too")
        elif call.name == "enumValues" and not call.arguments:
            types = [o for o in self.nodes_in(node) if o.type == "user_type"]
            found = self._class_meant(node, text_of(types[0])) if types else None
        return found if found is not None and self._is_enum(found) else None

    def _is_enum(self, of: Node) -> bool:
        return "enum" in (self._modifiers(of) | tokens_of(of))

    def _constants(self, of: Node) -> list[Any]:
        found: list[Any] = []
        for one in self._body(of):
            if one.type not in {"enum_entry", "enum_constant"}:
                continue
            self.check_always(one)
            if any(part.type in Kind.BODIES for part in children_of(one)):
                raise UnknownError(one, "is a constant with members of its own")
            if self._language != "swift":
                parts = [p for p in children_of(one) if "argument" in p.type]
                given = [argument_of(o) for part in parts for o in children_of(part)]
                name = text_of(children_of(one, Kind.NAMES)[0])
                found.append(replace(self._made(one, of, given, {}), constant=name))
                continue
            for child in one.children:
                if child.type in Kind.NAMES:
                    name, made = text_of(child), self._made(one, of, [], {})
                    found.append(replace(made, constant=name, raw=name))
                elif "literal" in child.type and found:
                    raw = self.value(child, {})
                    found[-1] = replace(found[-1], raw=raw)
                elif child.is_named and child.type != "modifiers":
                    raise UnknownError(one, "is a constant with values of its own")
        return found

    def _constant(self, node: Node, env: Env) -> Value:
        """Return the constant of an enum, all of them, or the object that is meant."""
        text = re.sub(r"[\s`]", "", text_of(node))
        owner, _, name = text.rpartition(".")
        of = self._class_meant(node, owner) if owner else None
        if of is not None and self._is_enum(of):
            if name in {"entries", "allCases"} and name not in self._declared:
                is_listed = self._language == "kotlin" or "CaseIterable" in text_of(of)
                return self._constants(of) if is_listed else None
            made = [o for o in self._constants(of) if o.constant == name]
            return made[0] if made else None
        if self._language == "kotlin" and name in self._class_nodes:
            found = self._class_meant(node, text)
            if found is not None and found.type == "object_declaration":
                return self._made(node, found, [], env)
        return None

    def _of_made(self, node: Node, made: Made, name: str) -> Value:
        if name == "rawValue" and made.raw is not None and name not in self._declared:
            return made.raw
        bases = children_of(made.of, Kind.BASES - Kind.BODIES)
        if node.type == "field_access" and bases:
            raise UnknownError(node, "may be of an interface; write a method for it")
        known = self._declared.get(name, ())
        found = [(o, d) for o in levels_of(made) for d in known if d.owner == o.path]
        if len(found) != 1:
            raise UnknownError(node, "is no property that its class says once")
        ((made, declared),) = found
        return self._of_declared(node, declared, made.env | {made.of.id: made})

    def _method(self, node: Node, made: Made, name: str) -> Value:
        """Return what a method without parameters returns for an object."""
        same: list[Node] = []
        for level in reversed(levels_of(made)):
            functions = [o for o in self._body(level.of) if o.type in Kind.FUNCTIONS]
            names = [(o.child_by_field_name("name"), o) for o in functions]
            own = [one for of, one in names if of and text_of(of) == name]
            same, made = own + same, level if own else made
        if not same and made.of.type == "record_declaration":
            value = self._of_made(node, made, name)
        else:
            found = [f for f in self._bodies if f.node in same]
            words = self._modifiers(same[0]) if same else set()
            is_plain = len(same) == len(found) == 1 and not found[0].parameters
            is_open = words & _OPEN and not self._is_final(same[0])
            if not is_plain or is_open:
                raise UnknownError(node, AT_RUN_TIME)
            env = made.env | {made.of.id: made}
            value = self.value(found[0].body, env)
        if isinstance(value, list):
            self._check_results(name)
        return value

    def _this(self, node: Node, env: Env) -> Made:
        lambdas = Kind.LAMBDAS if self._language == "kotlin" else set()
        outer = next(self.around(node, {*Kind.CLASSES, *lambdas}), node)
        made = env.get(outer.id) if outer.type in Kind.CLASSES else None
        if isinstance(made, Made):
            return made
        raise UnknownError(node, AT_RUN_TIME)

    def _chosen(self, node: Node, env: Env) -> Value:
        """Return the value that a choice gives for the constant or text it is about."""
        subject = node.child_by_field_name("expr") or node.named_children[0]
        inner = [] if subject.type in Kind.PATHS else children_of(subject)
        of: Value = None
        if len(inner) <= 1 and (one := [*inner, subject][0]).type in _SUBJECTS:
            with contextlib.suppress(UnknownError):
                of = self.value(one, env)
        is_known = isinstance(of, Made) and of.constant
        blocks = [node, *children_of(node, {"switch_block"})]
        entries = [o for one in blocks for o in children_of(one, _ENTRIES)]
        is_met = False
        for entry in entries if is_known or isinstance(of, str) else ():
            labels = children_of(entry, {"switch_label"})  # Java
            names = entry.children_by_field_name("condition")
            names += children_of(entry, {"switch_pattern"})
            names += [name for one in labels for name in children_of(one)]
            last = children_of(entry)[-1]
            is_plain = last.type == "expression_statement" and "->" in tokens_of(entry)
            body = expression_of(last.named_children[0] if is_plain else last)
            is_default = not names or not all(map(children_of, labels))
            is_strange = is_default and entry != entries[-1]
            is_strange = is_strange or "where" in text_of(entry).split()
            is_case = self._is_case(entry, names, of)
            is_met = is_met or is_default or is_case
            is_empty = labels[-1:] == [last]  # it falls through
            more = len(children_of(entry)) - len(labels) > 1 if labels else False
            if is_strange or more or (body is None and not is_empty):
                raise UnknownError(entry, "is a case that is no constant alone")
            if is_met and body is not None and not is_empty:
                return self.value(body, env)
        raise UnknownError(node, "is a choice")

    def _is_case(self, entry: Node, names: list[Node], of: Value) -> bool:
        """Return whether *of* is one of the constants, or the texts, of a case."""
        if isinstance(of, str):
            kinds = {"string_literal", *Kind.NAMES, *Kind.PATHS}
            is_strange = any(name.type not in kinds for name in names)
            values = [] if is_strange else [self.value(name, {}) for name in names]
            is_strange = is_strange or not all(isinstance(one, str) for one in values)
        else:
            known = {one.constant for one in self._constants(of.of)}
            values = [re.sub(r"^\w*\.", "", text_of(name)) for name in names]
            is_strange = bool({*values} - known or self._declared.keys() & {*values})
            of = of.constant
        if is_strange:
            raise UnknownError(entry, "is a case that is no constant alone")
        return of in values


def levels_of(made: Made) -> list[Made]:
    """Return an object: as itself, and as one of each class that its class inherits."""
    return [made, *(levels_of(made.above) if made.above else ())]
