"""Lists and maps in source code: the turns of loops, and what fills a variable.

A list has what its declaration says, and what the statements after it add, one by one.
These statements must always run, and come before everything that reads the list.
"""

from __future__ import annotations

import re
from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_kinds import Kind, Library, words_of
from pinverify.formats._source_objects import Made, Objects
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    Call,
    Env,
    UnknownError,
    children_of,
    element_of,
    parameters_of,
    text_of,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tree_sitter import Node

    from pinverify.formats._source_names import Declared
    from pinverify.formats._source_tree import Value

__all__ = ["MAX_SIZE", "Address", "Lists", "body_of", "is_fixed"]

_OPERATORS = {"iterator", "next", "hasNext", "component1", "component2"}
_CHANGING = words_of("""
    clear set remove removeAt removeIf removeAll removeFirst removeLast retainAll
    replaceAll sort fill reverse shuffle addFirst addLast insert
""")
_SUMS = ("+", "+=", "plus", "plusAssign")
_SETTERS = ("set", "subscript")
_ADDING = {"add", "append", "addAll", "put", "putAll"}
_MADE_OF = {"constructor_declaration", "init_declaration"}
_MAPPING = {"map", "associate", "associateWith"}
_PUTTING = {"getOrPut", "computeIfAbsent"}  # make a list for a new key of a map
_BLOCKS = {"block", "statements", "control_structure_body"}
_PLACES = {"block", "constructor_body", "statements", "function_body", *Kind.TOPS}
_SETS = re.compile(r"Set\b|SetOf\b|\bsetOf\b|HashMap|hashMapOf|Map\.of")
_IN_ORDER = re.compile(r"\bto\w*(?:Array|List)\b|\bmap\b|Indexed|\w+List\b|\baddAll\b")
_NO_ORDER = "may be of a set, which has no order; use no sets"
MAX_SIZE = 10_000


@dataclass(frozen=True)
class Address:
    """An address whose host is known."""

    host: str


class Lists(Objects, ABC):
    """The lists and loops of one file."""

    def _element(self, node: Node, of: Value, key: Value) -> Value:
        if self._is_extended("get"):
            raise UnknownError(node, "may be of a `get` that this file has")
        source = text_of(self.nodes[0])
        if type(key) is int and _SETS.search(source) and _IN_ORDER.search(source):
            raise UnknownError(node, _NO_ORDER)
        is_one = isinstance(of, list) and type(key) is int and 0 <= key < len(of)
        is_one = is_one or (isinstance(of, dict) and type(key) is str and key in of)
        if not is_one:
            raise UnknownError(node, "is no element that the list has")
        return of[key]

    def _range(self, node: Node, first: int, end: int) -> list[int]:
        if end - first > MAX_SIZE:
            raise UnknownError(node, "is too long")
        return [*range(first, end)]

    def is_loop(self, node: Node) -> bool:
        """Return whether a node is a loop, or a block, with turns that may be known."""
        call = self.call_of(node)
        if call.name in Library.EACH:
            return not (call.is_safe or self.is_hidden(call.name))
        return node.type in Kind.LOOPS

    def turns(self, loop: Node, env: Env) -> list[Env]:
        """Return the values of variables in each turn of a loop."""
        call = self.call_of(loop)
        through = loop.child_by_field_name("value") or call.receiver
        if loop.type == "for_statement":
            if any(c.type == "where_clause" for c in loop.named_children):
                raise UnknownError(loop, "leaves turns out by `where`")
            if self._language == "java":
                return self._counted(loop, env)
            through = loop.child_by_field_name("collection") or loop.named_children[1]
        if any(map(self._is_function, _OPERATORS)):
            raise UnknownError(through or loop, "has an operator of this file's own")
        return self._bound_in(loop, self.value(through or loop, env), env)

    def _bound_in(self, block: Node, values: Value, env: Env) -> list[Env]:
        call = self.call_of(block)
        values = [*values.items()] if isinstance(values, dict) else values
        if not isinstance(values, list):
            raise UnknownError(block, "goes through no list that this file says")
        if call.name == "forEachIndexed":
            values = [*enumerate(values)]
        # The first variable of `fold` is the result of the turns so far.
        names = self.declared_in(block)[call.name == "fold" :]
        keys = [name.id for name in names] or [block.id]
        found = []
        for value in values:
            parts = [value]
            if len(keys) > 1 and isinstance(value, tuple):
                parts = [*value]
            elif isinstance(value, Made) and "data" in self._modifiers(value.of):
                listed = (parameters_of(value.of) or []) if len(keys) > 1 else []
                parts = [value.env[one.name.id] for one in listed] or parts
            if len(parts) < len(keys):
                raise UnknownError(block, "takes an object apart in a way of its own")
            found.append(env | dict(zip(keys, parts, strict=False)))
        return found

    def _counted(self, loop: Node, env: Env) -> list[Env]:
        """Return the values of the variable in a loop of Java that counts up by one."""
        of = loop.child_by_field_name
        names = self.declared_in(loop)
        test, step, began = of("condition"), of("update"), of("init")
        if test and step and began and len(names) == 1 and "binary" in test.type:
            name = text_of(names[0])
            is_step = text_of(step) in {f"{name}++", f"++{name}", f"{name} += 1"}
            left, right = children_of(test)[0], children_of(test)[-1]
            sign = test.children[1].type
            begins = names[0].next_named_sibling
            first = self.value(begins, env) if begins else None
            last = self.value(right, env)
            is_plain = is_step and text_of(left) == name and sign in {"<", "<="}
            if is_plain and type(first) is type(last) is int:
                numbers = self._range(loop, first, last + (sign == "<="))
                return [env | {names[0].id: number} for number in numbers]
        raise UnknownError(loop, "does not count up by one to a number of this file")

    def jump_in(self, block: Node) -> Node | None:
        """Return what leaves a block, or a turn of a loop, before its end."""
        for node in self.nodes_in(block):
            is_word = node.type in Kind.NAMES and text_of(node) in {"break", "continue"}
            is_word = is_word or text_of(node) == "throw"
            if is_word or node.type in Kind.JUMPS or self.call(node).name == "setValue":
                return node
        return None

    def _collected(self, node: Node, call: Call, env: Env) -> Value:  # noqa: C901, PLR0911, PLR0912
        """Return the list or the map that a call makes and fills; None for others."""
        name, block, of = call.name.partition("<")[0], call.block, call.receiver
        labels = [label for label, _ in call.arguments]
        arguments = [one for _, one in call.arguments]
        if name in Library.EMPTY and not (of or self.is_declared(name)):
            bodies = children_of(node, Kind.BODIES)
            value = self.value(arguments[0], env) if arguments else 0
            if type(value) is int:  # the capacity
                value = {} if "Map" in name else []
            is_copy = isinstance(value, dict if "Map" in name else list)
            if not is_copy or len(arguments) > 1:
                return None
            return self._begun(bodies[0], value, env) if bodies else value
        if self._language == "swift" and of is None and block is None:
            head = re.sub(r"\s", "", call.name)
            of_file = {"Array", "Dictionary"} & self._class_nodes.keys()
            if head.startswith("[") and not (arguments or of_file):
                return {} if ":" in head else []
            if head == "Dictionary" and labels == ["uniqueKeysWithValues"]:
                pairs = (
                    None if self.is_declared(head) else self.value(arguments[0], env)
                )
                return self._dictionary(node, pairs)
        if block is None or call.is_safe or self.is_hidden(name):
            return None
        if name in Library.BUILDING and not arguments:
            return self._replayed(block, {} if name == "buildMap" else [], env)
        if name in {"apply", "also"} and of and self._is_open(of):
            return self._replayed(block, self.value(of, env), env)
        names, body = self.declared_in(block), body_of(block)
        if name in _MAPPING and of is not None:
            if len(body) != 1:
                raise UnknownError(node, AT_RUN_TIME)
            through = self.value(of, env)
            turns = self._bound_in(block, through, env)
            made = [self.value(body[0], turn) for turn in turns]
            if name == "associateWith":
                made = [*zip(through, made, strict=True)]
            return made if name == "map" else self._dictionary(node, made)
        if self._language != "swift" or of is None:
            return None
        if name == "reduce" and labels == ["into"] and len(names) == 2:  # noqa: PLR2004
            through, value = self.value(of, env), self.value(arguments[0], env)
            if not isinstance(through, list):
                raise UnknownError(of, "is no list that this file says")
            for one in through:
                value = self._replayed(block, value, env | {names[1].id: one})
            return value
        if name == "merging" and labels == [""] and len(body) == 1:
            maps = [self.value(one, env) for one in (of, *arguments)]
            known = [text_of(one) for one in names] or ["$0", "$1"]
            wins, first = text_of(body[0]), known.pop(0)
            if all(isinstance(one, dict) for one in maps) and [wins] in (
                [first],
                known,
            ):
                return maps[1] | maps[0] if wins == first else maps[0] | maps[1]
            return None
        values = self.value(of, env) if name == "mapValues" else None
        if isinstance(values, dict) and len(body) == 1:
            key = (names or [block])[0].id
            return {k: self.value(body[0], env | {key: v}) for k, v in values.items()}
        return None

    def _joined(self, node: Node, call: Call, env: Env) -> str | None:
        """Return the texts of a list as one, with a text between them."""
        name = {"swift": "joined", "kotlin": "joinToString"}.get(self._language)
        labels = [label for label, _ in call.arguments]
        is_plain = labels == ["separator"] or (labels == [""] and name != "joined")
        if call.name != name or call.block or call.is_safe or not is_plain:
            return None
        if call.receiver is None or self.is_hidden(name):
            return None
        texts: Any = self.value(call.receiver, env)
        between = self.value(call.arguments[0][1], env)
        parts = [between, *texts] if isinstance(texts, list) else [None]
        if not isinstance(between, str) or not all(isinstance(o, str) for o in parts):
            return None
        if _SETS.search(text_of(self.nodes[0])):
            raise UnknownError(node, _NO_ORDER)
        return between.join(texts)

    def _begun(self, body: Node, value: Value, env: Env) -> Value:
        """Return a list or a map of Java that a double-brace initialization fills."""
        members = children_of(body)
        if [one.type for one in members] != ["block"] or self.jump_in(members[0]):
            return None

        def is_it(target: Node | None) -> bool:
            return target is None or text_of(target) == "this"

        return self._replay(children_of(members[0]), value, is_it, env, None)

    def _dictionary(self, node: Node, pairs: Value) -> dict[str, Any]:
        found = {}
        for one in pairs if isinstance(pairs, list) else [None]:
            if not isinstance(one, tuple) or not isinstance(one[0], str):
                raise UnknownError(node, "is no list of pairs that this file says")
            if one[0] in found:
                raise UnknownError(node, "has a key twice")
            found[one[0]] = one[1]
        return found

    def _replayed(self, block: Node, value: Value, env: Env) -> Value:
        """Return a list or a map as it is after a block that only fills it."""
        if jump := self.jump_in(block):
            raise UnknownError(jump, "leaves a block that fills a list")
        names = self.declared_in(block)
        is_this = self.call_of(block).name in {"apply", *Library.BUILDING}

        def is_it(target: Node | None) -> bool:
            if names:
                return target is not None and self.find(target) == self.find(names[0])
            if target is not None and text_of(target) == "it":
                return not is_this and self.block_of_it(target) == block
            return is_this and (target is None or text_of(target) == "this")

        return self._replay(body_of(block), value, is_it, env, None)

    def _replay(
        self,
        body: list[Node],
        value: Value,
        is_it: Callable[[Node | None], bool],
        env: Env,
        known: list[Node] | None,
    ) -> Value:
        """Return a list or a map as it is after the statements that fill it.

        If *known* is given, the places of these statements are appended to it, and
        other statements are skipped. If not, any other statement is an error.
        """
        for statement in body:
            while statement.type in Kind.WRAPPED and len(children_of(statement)) == 1:
                statement = children_of(statement)[0]  # noqa: PLW2901
            self.check_always(statement)
            change = self._change(statement)
            if change is not None and is_it(change[0]):
                target, key, one = change
                if known is not None and target is not None:
                    known.append(target)
                value = self._changed_by(statement, value, key, one, env)
                continue
            loop = self.call(statement).block or statement
            parts = self.nodes_in(loop) if self.is_loop(loop) else ()
            inner = [change for o in parts if (change := self._change(o))]
            if parts and (known is None or any(is_it(target) for target, *_ in inner)):
                if jump := self.jump_in(loop):
                    raise UnknownError(jump, "leaves a loop that fills a list")
                for turn in self.turns(loop, env):
                    with self.deeper(loop):
                        value = self._replay(body_of(loop), value, is_it, turn, known)
                    if len(value) > MAX_SIZE:
                        raise UnknownError(statement, "is too long")
            elif known is None:
                raise UnknownError(statement, "is in a block that fills a list")
        return value

    def _change(
        self, node: Node
    ) -> tuple[Node | None, str | Node | None, list[Node]] | None:
        """Return what a statement adds to, its key or function, and what is added."""
        if found := element_of(node):
            # In an array, this replaces an element, and adds none.
            is_map = found[1] is None or self._language != "java"
            return (found[0], found[1] or "+=", [found[2]]) if is_map else None
        call, is_sum = self.call(node), "+=" in tokens_of(node)
        target, given = call.receiver, [one for _, one in call.arguments]
        if is_sum:
            target, *_, last = node.named_children
            given = [last]
        put = self.call(target) if target is not None else call
        labels = {label for label, _ in call.arguments if label}
        name = "addAll" if labels else call.name
        if put.name in _PUTTING and put.block and put.arguments:
            body = body_of(put.block)
            is_new = len(body) == 1 and self._is_open(body[0])
            if put.is_safe or not is_new or self.value(body[0], {}):
                return None
            target, given = put.receiver, [put.arguments[0][1], *given]
            name = put.name if is_sum or name == "add" else ""
        elif name not in _ADDING:
            return None
        is_plain = target is None or target.type in {*Kind.NAMES, *Kind.THESE}
        is_strange = call.block or call.is_safe or labels - {"contentsOf"}
        return (target, name, given) if name and is_plain and not is_strange else None

    def _changed_by(
        self,
        node: Node,
        value: Value,
        key: str | Node | None,
        given: list[Node],
        env: Env,
    ) -> Value:
        """Return a list or a map as it is after one statement that adds to it."""
        name = key if isinstance(key, str) else "put"
        own = _SUMS if name == "+=" else (name,) if name == key else _SETTERS
        self._check_hidden(node, *own, *(_SUMS if "+=" in tokens_of(node) else ()))
        parts = given if isinstance(key, str) or key is None else [key, *given]
        values = [self.value(one, env) for one in parts]
        first, *more = values or [None]
        if name in _PUTTING and isinstance(value, dict) and isinstance(first, str):
            if isinstance(value.get(first, []), list) and len(more) == 1:
                more = more[0] if isinstance(more[0], list) else more
                return value | {first: [*value.get(first, []), *more]}
        elif name == "put" and isinstance(value, dict) and isinstance(first, str):
            if len(more) == 1 and (first not in value or self._language == "swift"):
                return value | {first: more[0]}
        elif isinstance(value, list) and not (more or isinstance(first, dict)):
            is_sum = name == "+=" and self._language == "kotlin"
            if isinstance(first, list) and name in {"addAll", "+="}:
                return value + first
            if name in {"add", "append"} or is_sum:
                return [*value, first]
        raise UnknownError(node, "sets a key twice, or fills a list in its own way")

    def _filled(
        self,
        use: Node,
        declared: Declared,
        value: Value,
        env: Env,
        known: list[Node],
    ) -> Value:
        """Return a list or a map as it is after the statements that fill its variable.

        These stand where the variable is declared, or in an initializer block of its
        class, and before all other uses of its name.
        """
        uses = self._uses[text_of(declared.name)]
        places = [(one, outer) for one in uses for outer in [*self.around(one)][:6]]
        changes = [(one, change) for one, o in places if (change := self._change(o))]
        if not any(one == change[0] for one, change in changes):
            return value

        def is_it(target: Node | None) -> bool:
            is_name = target is not None and target.type in Kind.NAMES
            return is_name and self.find(target) == declared  # type: ignore[arg-type]

        place = next(self.around(declared.name, Kind.BODIES | _PLACES), self.nodes[0])
        statements = children_of(place)
        if declared.owner:
            starts = [o for o in statements if o.type in Kind.BEGINNINGS - _MADE_OF]
            head = text_of(self.parent(self.parent(declared.name)))
            if self._language == "java" and "static" not in head.split():
                return value
            bodies = [b for o in starts for b in children_of(o, {"block"})]
            statements = [one for body in bodies for one in children_of(body)]
        before = len(known)
        value = self._replay(statements, value, is_it, env, known)
        filled = {one.id for one in known[before:]}
        wholes = [o for o in statements if any(self._has(o, k) for k in known[before:])]
        for one in uses:
            is_other = one.id not in filled and one.id != declared.name.id
            is_early = wholes and one.start_byte < wholes[-1].end_byte
            if is_early and is_other and self.find(one) == declared:
                raise UnknownError(one, "is read before all is in it")
        if wholes and (declared.owner or place.type in Kind.TOPS):
            self._check_before(use, place, wholes[-1])
        return value

    def _check_before(self, use: Node, body: Node, last: Node) -> None:
        """Refuse a list of a class that a member may read before all is in it."""
        later = Kind.FUNCTIONS - Kind.BEGINNINGS | Kind.CLASSES
        if self._member_of(last).type == "constructor_declaration":
            later |= {"enum_constant"}  # each is made whole
        members = [o for o in children_of(body) if o.start_byte < last.start_byte]
        members = [o for o in members if o.type not in later]
        for one in [o for member in members for o in self.nodes_in(member)]:
            is_before = one.start_byte < last.start_byte
            is_before = is_before and self.parent(one).type not in Kind.BEGINNINGS
            is_made = one.type in {"enum_constant", "enum_entry"}
            is_name = one.type in Kind.NAMES or (
                one.type == "type_identifier"
                and self.parent(one).type == "object_creation_expression"
            )
            is_run = is_name and self._is_run(text_of(one))
            if is_before and (is_run or is_made):
                raise UnknownError(use, "may be read before all is in it")

    def _check_began(self, use: Node, declared: Declared) -> None:
        """Refuse a value that may be read as null or 0 before its variable is set."""
        member, reader = self._member_of(declared.name), self._member_of(use)
        body = self.parent(member)
        if declared.value is not None and not self._has(member, declared.value):
            member = declared.value  # which a constructor or an initializer gives
        words = text_of(member).partition("=")[0].split()
        is_constant = declared.value is not None and (
            "const" in words or ("final" in words and "literal" in declared.value.type)
        )
        kinds = {"getter", "property_delegate"}
        is_late = reader.type in Kind.FUNCTIONS or bool(children_of(reader, kinds))
        is_late |= self.parent(reader) != body
        is_late |= "static" in words and "static" not in text_of(reader).split("=")[0]
        if is_constant or reader == member:
            return
        if is_late:
            self._check_before(use, body, member)
        elif use.type in Kind.PATHS and use.start_byte < member.start_byte:
            raise UnknownError(use, "is read before it is set")

    def _is_run(self, name: str) -> bool:
        """Return whether a name may mean something that runs code of its own."""
        if name in self._functions or name in self._classes:
            return True
        kinds = {"getter", "property_delegate", "computed_property"}
        places = [self.parent(o.name) for o in self._declared.get(name, ())]
        places = [*places, *map(self.parent, places)]
        return any(c.type in kinds for one in places for c in one.named_children)


def body_of(block: Node) -> list[Node]:
    """Return the statements of a loop, or of a lambda."""
    head = block.child_by_field_name("parameters")
    inner = [o for o in children_of(block) if o.type not in Kind.LAMBDA_HEADS]
    inner = [o for o in inner if o != head]
    if block.type not in Kind.LAMBDAS:
        inner = [block.child_by_field_name("body") or block.named_children[-1]]
    while len(inner) == 1 and inner[0].type in _BLOCKS:
        inner = children_of(inner[0])
    return inner


def is_fixed(value: Value) -> bool:
    """Return whether a value has no parts that something could change."""
    if isinstance(value, tuple):
        return all(map(is_fixed, value))
    return isinstance(value, str | int | Made | Address)
