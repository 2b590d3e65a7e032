"""Objects in source code: what classes, structs and enums of the file are made with.

A class counts if it has properties, and methods of one expression, and no more that
could make them something else: what it is made with is what its properties say.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_names import Declared, Names
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    BASES,
    BODIES,
    CLASSES,
    EXTENDED,
    FUNCTIONS,
    LAMBDAS,
    NAMES,
    PLAIN_ANNOTATIONS,
    TOPS,
    TYPES,
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
    words_of,
)

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["MAX_DEPTH", "THESE", "Made", "Objects", "levels_of"]

# What a text, or something made of texts, may be declared as in Kotlin. A function of
# another file can be meant by a name where it is of a wider type.
_TYPES_OF_TEXTS = words_of("""
    String List Set Map Collection Iterable Array Pair Boolean Int out MutableList
    MutableSet MutableMap ArrayList HashSet HashMap LinkedHashMap kotlin collections
""")
_OPEN = {"open", "override", "abstract", "var"}
_ENTRIES = {"switch_entry", "when_entry"}
THESE = {"this_expression", "this", "self_expression"}
_CHAINED = {"map", "forEach", "apply", "also", "let", "run", "get"}
_PLAIN_PROTOCOLS = {"String", "CaseIterable"}
MAX_DEPTH = 30


@dataclass(frozen=True, eq=False)
class Made:
    """An object of a class of this file.

    Attributes:
        of: the declaration of the class.
        path: its name, behind those of the classes around it.
        env: the values that it was made with.
        constant: its name, if it is one of an enum.
        raw: the value that it stands for, in an enum of Swift.
        above: it, as one of the class that its class inherits.
    """

    of: Node
    path: str
    env: Env
    constant: str = ""
    raw: Any = None
    above: Made | None = None


class Objects(Names, ABC):
    """The objects of one file."""

    @abstractmethod
    def value(self, node: Node, env: Env, depth: int = 0) -> Any:  # noqa: ANN401
        """Return the value of an expression."""

    @abstractmethod
    def _of_declared(self, node: Node, declared: Declared, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a variable."""

    def _check_type(self, node: Node) -> None:
        """Refuse a text of Kotlin that is declared as something wider, or cast to it.

        Raises:
            UnknownError: a function of another file may be meant where it is handed on.
        """
        types = [one for one in node.named_children if one.type in TYPES]
        words = {*re.findall(r"\w+", " ".join(map(text_of, types)))}
        for name, *means in self._aliases:
            words = words - {name} | {*means} if name in words else words
        own = [one for one in words if len(self._class_nodes.get(one, ())) == 1]
        kinds = {one: self._class_nodes[one][0] for one in own}
        words -= {
            one
            for one, of in kinds.items()
            if "interface" not in {c.type for c in of.children}
        }
        if self._language == "kotlin" and not words <= _TYPES_OF_TEXTS:
            raise UnknownError(node, "is declared as something else than String")

    def _check_annotations(self, use: Node, declaration: Node) -> None:
        """Refuse a name whose annotation may hide it, as some of Kotlin do.

        Raises:
            UnknownError: it has one that is not known to leave it what it is.
        """
        marks = [c for c in declaration.named_children if c.type == "modifiers"]
        for mark in [one for c in marks for one in c.named_children]:
            words = re.findall(r"\w+", text_of(mark).partition("(")[0])
            if mark.type != "annotation" or self._language != "kotlin":
                continue
            is_short = words == ["Deprecated"] and "," not in text_of(mark)
            if not is_short and not PLAIN_ANNOTATIONS.issuperset(words):
                raise UnknownError(use, f"has the annotation @{words[-1]}; remove it")

    def _class_meant(self, use: Node, text: str) -> Node | None:
        """Return the declaration of the class that a name, or a path, means."""
        path = re.sub(r"[\s`?]|<.*>", "", text)
        first, last = path.partition(".")[0], path.rpartition(".")[2]
        found = self._class_nodes.get(last, [])
        if len(found) != 1 or first in self._imported or first in self._declared:
            return None
        whole = self._path_of(found[0])
        around = [o for o in self.around(use) if o.type in CLASSES]
        if whole not in {path, *(f"{self._path_of(o)}.{path}" for o in around)}:
            return None
        top = self._class_nodes.get(first, found)[0]
        if len(self._class_nodes.get(first, found)) != 1:
            return None
        scope, owner = self._parents[top.id], ""
        if scope.type in BODIES:
            scope, owner = self._class(scope)
        if scope.type not in {*BODIES, *TOPS}:
            return None
        name = top.child_by_field_name("name") or top
        self.check_meaning(use, Declared(name, scope, None, "", owner))
        return found[0]

    def _body(self, of: Node) -> list[Node]:
        """Return the members of a class."""
        bodies = [one for one in children_of(of) if one.type in BODIES]
        inner = [one for body in bodies for one in children_of(body)]
        parts = [p for p in inner if p.type == "enum_body_declarations"]
        return inner + [one for part in parts for one in children_of(part)]

    def _made(
        self,
        node: Node,
        of: Node,
        arguments: list[tuple[str, Node]],
        env: Env,
        depth: int,
        **what: Any,  # noqa: ANN401
    ) -> Made:
        """Return an object of a class that is made with these arguments."""
        members = self._body(of)
        makers = [one for one in members if "constructor_decl" in one.type]
        makers += [one for one in members if one.type == "init_declaration"]
        is_record = of.type == "record_declaration"
        is_strange = (
            len(makers) > (0 if is_record else 1)
            or any(one.type == "secondary_constructor" for one in members)
            or any(one.type == "type_parameters" for one in children_of(of))
            or any("#" in text_of(o)[:1] for o in members)
            or self._is_invoked(of)
        )
        bases = [c for c in children_of(of) if c.type in BASES - {*BODIES}]
        kinds = {c.type for c in of.children}
        if self._language == "swift":
            words = {*re.findall(r"\w+", " ".join(map(text_of, bases)))}
            is_strange = is_strange or not words <= _PLAIN_PROTOCOLS
            is_strange = is_strange or "self" in self._changed
        elif self._language == "java":
            is_strange = is_strange or any(c.type == "superclass" for c in bases)
        if makers or is_record or self._language == "kotlin":
            listed = parameters_of(makers[0] if makers else of)
        elif self._language == "swift" and "struct" in kinds:
            listed = self._stored(members)
        else:
            listed = []
        if is_strange or listed is None:
            name = of.child_by_field_name("name")
            msg = f"is of {text_of(name or of)}, a class with more than properties"
            raise UnknownError(node, msg)
        for one in listed:
            place = self._parents[one.name.id]
            words = self._modifiers(place) | {c.type for c in place.children}
            if place.type == "class_parameter" and words & _OPEN:
                raise UnknownError(node, "has a property that is no plain `val`")
        given = self._bound(node, listed, arguments, env, depth)
        above = self._above(of, bases, given, depth)
        return Made(of, self._path_of(of), given, above=above, **what)

    def _is_invoked(self, of: Node) -> bool:
        """Return whether a call of a class may be one of its companion's function."""
        inside = [name for name in self._uses.get("invoke", []) if self._has(of, name)]
        is_own = any(self._parents[name.id].type in FUNCTIONS for name in inside)
        return is_own or self._is_extended("invoke")

    def _stored(self, members: list[Node]) -> list[Parameter]:
        """Return the properties of a struct that its own initializer takes."""
        found = []
        for one in [one for one in members if one.type == "property_declaration"]:
            tokens = [c.type for c in one.children]
            name = names_in(one.child_by_field_name("name") or one)[0]
            value = one.child_by_field_name("value")
            is_let = "let" in {text_of(c) for c in children_of(one)}
            if any(word.startswith("@") for word in self._modifiers(one)):
                raise UnknownError(one, "has an attribute that may change it")
            is_own = "computed_property" not in tokens and not (value and is_let)
            if is_own and "static" not in self._modifiers(one):
                found.append(Parameter(name, text_of(name), value, is_many=False))
        return found

    def _above(self, of: Node, bases: list[Node], env: Env, depth: int) -> Made | None:
        """Return an object of Kotlin as one of the class of this file it inherits."""
        if self._language != "kotlin":
            return None
        calls = [o for base in bases for o in self.nodes_in(base)]
        for one in [one for one in calls if one.type == "constructor_invocation"]:
            target, *parts = children_of(one)
            found = self._class_meant(of, text_of(target))
            if found is not None:
                given = [argument_of(o) for part in parts for o in children_of(part)]
                return self._made(one, found, given, env, depth + 1)
        return None

    def _bound(
        self,
        node: Node,
        listed: list[Parameter],
        arguments: list[tuple[str, Node]],
        env: Env,
        depth: int,
    ) -> Env:
        """Return the values of parameters, for these arguments."""
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
                        found[before.name.id] = self._default(before, found, depth)
            rest = [o for o in waiting if not label or label in {o.label, "_"}]
            if not rest:
                raise UnknownError(node, AT_RUN_TIME)
            one = rest[0]
            value = self.value(argument, env, depth)
            if isinstance(value, list) and self._is_open(argument):
                raise UnknownError(argument, "is a list that can be changed")
            if one.is_many and (not label or self._language == "swift"):
                is_all = isinstance(value, list) and (
                    self._language == "java" or text_of(argument).startswith("*")
                )
                many = found.setdefault(one.name.id, [])
                found[one.name.id] = many + (value if is_all else [value])
            else:
                found[one.name.id] = value
                waiting.remove(one)
        for one in waiting:
            if one.name.id not in found:
                found[one.name.id] = self._default(one, found, depth)
        return found

    def _default(self, one: Parameter, env: Env, depth: int) -> Any:  # noqa: ANN401
        if one.default is None and not one.is_many:
            raise UnknownError(one.name, "is a parameter that is not given")
        return self.value(one.default, env, depth) if one.default else []

    def _made_by(  # noqa: PLR0911 - by kind of call
        self, node: Node, call: Call, env: Env, depth: int
    ) -> Any:  # noqa: ANN401
        """Return the object that a call makes, or what a method of an object returns.

        Return None for any other call.
        """
        of = f"{text_of(call.receiver)}." if call.receiver else ""
        if node.type == "object_creation_expression":
            has_body = any(one.type in BODIES for one in children_of(node))
            found = None if has_body else self._class_meant(node, call.name)
            return (
                self._made(node, found, call.arguments, env, depth) if found else None
            )
        is_all = call.name in {"values", "enumValues"} and not call.block
        if is_all and (found := self._enum_of(node, call)) is not None:
            return self._constants(found, depth)
        is_class = call.name in self._class_nodes and self._language != "java"
        if is_class and not call.block and not self._is_function(call.name):
            found = self._class_meant(node, f"{of}{call.name}")
            kinds = {c.type for c in found.children} if found else {"enum"}
            words = self._modifiers(found) if found else set()
            is_plain = not {"enum", "interface", "extension", "actor"} & kinds
            is_plain = is_plain and not {"enum", "abstract", "sealed", "inner"} & words
            if found and is_plain and found.type == "class_declaration":
                return self._made(node, found, call.arguments, env, depth)
        if call.receiver is None or call.is_safe or call.block:
            return None
        is_getter = call.name in self._functions or call.name in self._declared
        if not is_getter or call.name in _CHAINED:
            return None
        try:
            made = self.value(call.receiver, env, depth)
        except UnknownError:
            return None
        if isinstance(made, Made) and not call.arguments:
            return self._method(node, made, call.name, depth)
        return None

    def _enum_of(self, node: Node, call: Call) -> Node | None:
        """Return the enum of which a call returns all constants."""
        if call.name in self._functions or call.name in self._declared:
            return None
        found = None
        if call.name == "values" and call.receiver:
            found = self._class_meant(node, text_of(call.receiver))
        elif call.name == "values":
            around = [o for o in self.around(node) if o.type in CLASSES]
            around = [o for o in around if o.type != "companion_object"]
            found = around[0] if around else None
            blocks = [o for o in self.around(node) if o.type in {*LAMBDAS, *EXTENDED}]
            if hides := [h for o in blocks if (h := self._hides(o, is_local=False))]:
                raise UnknownError(node, f"is in {hides[0]}, which may have it too")
        elif call.name == "enumValues" and not call.arguments:
            types = [o for o in self.nodes_in(node) if o.type == "user_type"]
            found = self._class_meant(node, text_of(types[0])) if types else None
        return found if found is not None and self._is_enum(found) else None

    def _is_enum(self, of: Node) -> bool:
        is_swift = self._language == "swift" and "enum" in {c.type for c in of.children}
        words = self._modifiers(of) if self._language == "kotlin" else set()
        return is_swift or of.type == "enum_declaration" or "enum" in words

    def _constants(self, of: Node, depth: int) -> list[Any]:
        """Return the constants of an enum, in their order."""
        found: list[Any] = []
        if depth > MAX_DEPTH:
            raise UnknownError(of, "is nested too deeply")
        for one in self._body(of):
            if one.type not in {"enum_entry", "enum_constant"}:
                continue
            self.check_always(one)
            if any(part.type in BODIES for part in children_of(one)):
                raise UnknownError(one, "is a constant with members of its own")
            if self._language != "swift":
                parts = [p for p in children_of(one) if "argument" in p.type]
                given = [argument_of(o) for part in parts for o in children_of(part)]
                name = next(c for c in children_of(one) if c.type in NAMES)
                made = self._made(one, of, given, {}, depth, constant=text_of(name))
                found.append(made)
                continue
            for child in one.children:
                if child.type in NAMES:
                    what = {"constant": text_of(child), "raw": text_of(child)}
                    found.append(self._made(one, of, [], {}, depth, **what))
                elif "literal" in child.type and found:
                    raw = self.value(child, {}, depth)
                    what = {"constant": found[-1].constant, "raw": raw}
                    found[-1] = self._made(one, of, [], {}, depth, **what)
                elif child.is_named and child.type != "modifiers":
                    raise UnknownError(one, "is a constant with values of its own")
        return found

    def _constant(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the constant of an enum, all of them, or the object that is meant."""
        text = re.sub(r"[\s`]", "", text_of(node))
        owner, _, name = text.rpartition(".")
        of = self._class_meant(node, owner) if owner else None
        if of is not None and self._is_enum(of):
            if name in {"entries", "allCases"} and name not in self._declared:
                is_listed = self._language == "kotlin" or "CaseIterable" in text_of(of)
                return self._constants(of, depth) if is_listed else None
            made = [o for o in self._constants(of, depth) if o.constant == name]
            return made[0] if made else None
        if self._language == "kotlin" and name in self._class_nodes:
            found = self._class_meant(node, text)
            if found is not None and found.type == "object_declaration":
                return self._made(node, found, [], env, depth)
        return None

    def _of_made(
        self, node: Node, made: Made, name: str, _given: list[Any], depth: int
    ) -> Any:  # noqa: ANN401
        """Return a property of an object."""
        if name == "rawValue" and made.raw is not None and name not in self._declared:
            return made.raw
        bases = [one for one in children_of(made.of) if one.type in BASES - BODIES]
        if node.type == "field_access" and bases:
            raise UnknownError(node, "may be of an interface; write a method for it")
        known = self._declared.get(name, ())
        found = [(o, d) for o in levels_of(made) for d in known if d.owner == o.path]
        if len(found) != 1:
            raise UnknownError(node, "is no property that its class says once")
        ((made, declared),) = found
        return self._of_declared(node, declared, made.env | {made.of.id: made}, depth)

    def _method(self, node: Node, made: Made, name: str, depth: int) -> Any:  # noqa: ANN401
        """Return what a method of an object returns, which has no parameters."""
        named = [
            (level, one)
            for level in levels_of(made)
            for one in self._body(level.of)
            if one.type in FUNCTIONS
            and (of := one.child_by_field_name("name"))
            and text_of(of) == name
        ]
        same = [one for _, one in named]
        made = named[0][0] if named else made
        if not same and made.of.type == "record_declaration":
            value = self._of_made(node, made, name, [], depth)
        else:
            found = [f for f in self._bodies if f.node in same]
            words = self._modifiers(same[0]) if same else set()
            is_plain = len(same) == len(found) == 1 and not found[0].parameters
            if not is_plain or words & _OPEN:
                raise UnknownError(node, AT_RUN_TIME)
            env = made.env | {made.of.id: made}
            value = self.value(found[0].body, env, depth)
        if isinstance(value, list):
            self._check_results(name)
        return value

    def _this(self, node: Node, env: Env) -> Made:
        """Return the object that `this` is."""
        for outer in self.around(node):
            is_other = (
                outer.type in {*LAMBDAS, *EXTENDED} and self._language == "kotlin"
            )
            if outer.type in CLASSES and isinstance(env.get(outer.id), Made):
                made: Made = env[outer.id]
                return made
            if outer.type in CLASSES or (is_other and outer.type in LAMBDAS):
                break
        raise UnknownError(node, AT_RUN_TIME)

    def _chosen(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value for the constant of an enum that a choice is about."""
        subject = node.child_by_field_name("expr") or node.named_children[0]
        inner = children_of(subject)[-1:] or [subject]
        made = self.value(inner[0], env, depth) if inner[0].type in THESE else None
        if not isinstance(made, Made) or not made.constant:
            raise UnknownError(node, "is a choice")
        known = {one.constant for one in self._constants(made.of, depth)}
        for entry in [o for o in children_of(node) if o.type in _ENTRIES]:
            names = entry.children_by_field_name("condition")
            names += [o for o in children_of(entry) if o.type == "switch_pattern"]
            texts = [re.sub(r"^\w*\.", "", text_of(name)) for name in names]
            body = expression_of(children_of(entry)[-1])
            is_strange = any(
                text not in known or text in self._declared for text in texts
            )
            if is_strange or body is None or "where" in text_of(entry).split():
                raise UnknownError(entry, "is a case that is no constant alone")
            if not texts or made.constant in texts:
                return self.value(body, env, depth)
        raise UnknownError(node, "is a choice")


def levels_of(made: Made) -> list[Made]:
    """Return an object, and it as one of each class that its class inherits."""
    return [made, *(levels_of(made.above) if made.above else ())]
