"""Lists and maps in source code: the turns of loops, and what fills a variable.

A list is what its declaration says and the statements behind it add, one by one. They
must always run, and stand before all that reads the list.
"""

from __future__ import annotations

import re
from abc import ABC
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_objects import MAX_DEPTH, THESE, Made, Objects
from pinverify.formats._source_tree import (
    BEGINNINGS,
    BODIES,
    CLASSES,
    EACH,
    EMPTY,
    FUNCTIONS,
    JUMPS,
    LAMBDAS,
    LOOPS,
    NAMES,
    OF_LOOP,
    PARAMETER,
    TOPS,
    WRAPPED,
    Call,
    Env,
    UnknownError,
    children_of,
    element_of,
    parameters_of,
    text_of,
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tree_sitter import Node

    from pinverify.formats._source_names import Declared

__all__ = ["MAX_SIZE", "Lists", "body_of", "is_fixed"]

_OPERATORS = {"iterator", "next", "hasNext", "component1", "component2"}
_CHANGING = words_of("""
    clear set remove removeAt removeIf removeAll removeFirst removeLast retainAll
    replaceAll sort fill reverse shuffle addFirst addLast insert
""")
_BUILDING = {"buildList", "buildSet", "buildMap"}
_SUMS = ("+", "+=", "plus", "plusAssign")
_SETTERS = ("set", "subscript")
_ADDING = {"add", "append", "addAll", "put", "putAll"}
_BINARY = "binary_expression"
_MADE_OF = {"constructor_declaration", "init_declaration"}
_PLACES = {"block", "constructor_body", "statements", "function_body", *TOPS}
_SETS = re.compile(r"Set\b|SetOf\b|\bsetOf\b|HashMap|hashMapOf|Map\.of")
_IN_ORDER = re.compile(r"\bto\w*(?:Array|List)\b|\bmap\b|Indexed|\w+List\b|\baddAll\b")
MAX_SIZE = 10_000


class Lists(Objects, ABC):
    """The lists and loops of one file."""

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self._is_inner_known = False

    def _element(self, node: Node, of: Any, key: Any) -> Any:  # noqa: ANN401
        """Return one of a list by its number, or of a map by its key."""
        if self._is_extended("get"):
            raise UnknownError(node, "may be of a `get` that this file has")
        source = text_of(self.nodes[0])
        if type(key) is int and _SETS.search(source) and _IN_ORDER.search(source):
            raise UnknownError(node, "may be of a set, which has no order; use no sets")
        if isinstance(of, list) and type(key) is int and 0 <= key < len(of):
            if not any(isinstance(one, tuple) for one in of):
                if not is_fixed(of[key]):
                    self._check_inner()
                return of[key]
        elif isinstance(of, list) and isinstance(key, str):
            found = [o[1] for o in of if isinstance(o, tuple) and o[0] == key]
            if not all(map(is_fixed, found)):
                self._check_inner()
            if len(found) == 1:
                return found[0]
        raise UnknownError(node, "is no element that the list has")

    def _range(self, node: Node, first: int, end: int) -> list[int]:
        if end - first > MAX_SIZE:
            raise UnknownError(node, "is too long")
        return [*range(first, end)]

    def is_loop(self, node: Node) -> bool:
        """Return whether a node is a loop, or a block, with turns that may be known."""
        found = self.call_of(node) if node.type in LAMBDAS else None
        if found and found[1].name in EACH:
            return not (found[1].is_safe or self.is_hidden(found[1].name))
        return node.type in LOOPS

    def turns(self, loop: Node, env: Env) -> list[Env]:
        """Return the values of variables in each turn of a loop.

        Raises:
            UnknownError: the file does not say what it goes through.
        """
        found = self.call_of(loop) if loop.type in LAMBDAS else None
        through = loop.child_by_field_name("value") or (found and found[1].receiver)
        if loop.type == "for_statement":
            if any(c.type == "where_clause" for c in loop.named_children):
                raise UnknownError(loop, "leaves turns out by `where`")
            if self._language == "java":
                return self._counted(loop, env)
            through = loop.child_by_field_name("collection") or loop.named_children[1]
        if any(map(self.is_hidden, _OPERATORS)):
            raise UnknownError(through or loop, "has an operator of this file's own")
        values = self.value(through, env) if through else None
        if isinstance(values, dict):
            values = [*values.items()]
        if not isinstance(values, list):
            raise UnknownError(through or loop, "is no list that this file says")
        if found and found[1].name == "forEachIndexed":
            values = [*enumerate(values)]
        is_fold = found is not None and found[1].name == "fold"
        return self._bound_in(loop, values, env, has_first=is_fold)

    def _bound_in(
        self,
        block: Node,
        values: Any,  # noqa: ANN401
        env: Env,
        *,
        has_first: bool = False,
    ) -> list[Env]:
        """Return the values of a block's variables, in each of its turns.

        Without the *first* one, which is something else: what the turns make.
        """
        if not isinstance(values, list):
            raise UnknownError(block, "goes through no list that this file says")
        names = self.declared_in(block)[has_first:]
        keys = [name.id for name in names] or [block.id]
        if not all(map(is_fixed, values)):
            self._check_inner()
        found = []
        for value in values:
            parts = [value]
            if len(keys) > 1 and isinstance(value, tuple):
                parts = [*value]
            elif len(keys) > 1 and isinstance(value, Made):
                listed = parameters_of(value.of) or []
                if "data" not in self._modifiers(value.of):
                    raise UnknownError(block, "takes an object apart")
                parts = [value.env[one.name.id] for one in listed]
            if len(parts) < len(keys):
                raise UnknownError(block, "has more names than there are values")
            found.append(env | dict(zip(keys, parts, strict=False)))
        return found

    def _check_inner(self) -> None:
        """Refuse lists in a list if a loop of the file changes one of them.

        Raises:
            UnknownError: a variable of a loop or a block is changed as a list.
        """
        if self._is_inner_known:
            return
        for node in self.nodes:
            element = element_of(node) if "assignment" in node.type else None
            found = element or self._change(node)
            call = self.call(node)
            is_change = call is not None and call.name in _CHANGING
            target = call.receiver if is_change and call else found and found[0]
            if node.type in {"callable_reference", "method_reference"}:
                raise UnknownError(node, "may change a list that is in a list")
            if call is not None and call.name == "add" and len(call.arguments) > 1:
                continue  # of a builder
            for one in self.nodes_in(target) if target is not None else ():
                declared = self.find(one) if one.type in NAMES else None
                of_loop = declared and declared.why in {OF_LOOP, PARAMETER}
                if text_of(one) == "it" or of_loop:
                    raise UnknownError(node, "may change a list that is in a list")
        self._is_inner_known = True

    def _counted(self, loop: Node, env: Env) -> list[Env]:
        """Return the values of the variable of a loop of Java that counts up by one."""
        of = loop.child_by_field_name
        names = self.declared_in(loop)
        test, step, began = of("condition"), of("update"), of("init")
        if len(names) == 1 and test and step and began and test.type == _BINARY:
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
        """Return what ends a block, or a turn of a loop, before its end."""
        for node in self.nodes_in(block):
            is_word = node.type in NAMES and text_of(node) in {"break", "continue"}
            call = self.call(node)
            is_change = call is not None and call.name == "setValue"
            if is_word or is_change or node.type in JUMPS or text_of(node) == "throw":
                return node
        return None

    def _collected(self, node: Node, call: Call, env: Env, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
        """Return the list or the map that a call makes and fills; None for others."""
        name = call.name.partition("<")[0]
        arguments = [one for _, one in call.arguments]
        is_plain = call.block and not (call.is_safe or self.is_hidden(name))
        if name in _BUILDING and call.block and is_plain and not arguments:
            return self._replayed(call.block, [], env, depth)
        is_scope = name in {"apply", "also"} and is_plain
        if is_scope and call.receiver and call.block and self._is_open(call.receiver):
            value = self.value(call.receiver, env, depth)
            return self._replayed(call.block, value, env, depth)
        if name in EMPTY and not (call.receiver or self.is_declared(name)):
            has_body = any(one.type in BODIES for one in children_of(node))
            value = self.value(arguments[0], env, depth) if arguments else []
            if isinstance(value, int) and not isinstance(value, bool):
                value = []  # room for so many
            if isinstance(value, list) and not has_body and len(arguments) < 2:  # noqa: PLR2004
                return value
        if self._language == "swift" and call.receiver is None:
            head = re.sub(r"\s", "", call.name)
            if head.startswith("[") and not arguments and not call.block:
                return {} if ":" in head else []
            is_pairs = [label for label, _ in call.arguments] == [
                "uniqueKeysWithValues"
            ]
            if name == "Dictionary" and is_pairs and not self.is_declared(name):
                return self._dictionary(node, self.value(arguments[0], env, depth))
        if self._language == "swift" and call.receiver and call.block:
            is_into = [label for label, _ in call.arguments] == ["into"]
            if name == "reduce" and is_into and not self.is_hidden(name):
                names = self.declared_in(call.block)
                through = self.value(call.receiver, env, depth)
                value = self.value(arguments[0], env, depth)
                if len(names) == 2 and isinstance(value, list | dict):  # noqa: PLR2004
                    for one in through if isinstance(through, list) else []:
                        given = env | {names[1].id: one}
                        value = self._replayed(call.block, value, given, depth)
                    if isinstance(through, list):
                        return value
            of = self.value(call.receiver, env, depth) if name == "mapValues" else None
            body = body_of(call.block)
            if isinstance(of, dict) and len(body) == 1 and not self.is_hidden(name):
                names = self.declared_in(call.block) or [call.block]
                given_ = {key: env | {names[0].id: one} for key, one in of.items()}
                return {k: self.value(body[0], e, depth) for k, e in given_.items()}
        return None

    def _dictionary(self, node: Node, pairs: Any) -> dict[str, Any]:  # noqa: ANN401
        found = {}
        for one in pairs if isinstance(pairs, list) else [None]:
            if not isinstance(one, tuple) or not isinstance(one[0], str):
                raise UnknownError(node, "is no list of pairs that this file says")
            if one[0] in found:
                raise UnknownError(node, "has a key twice")
            found[one[0]] = one[1]
        return found

    def _replayed(self, block: Node, value: Any, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a list, or a map, behind a block that does nothing but fill it."""
        if jump := self.jump_in(block):
            raise UnknownError(jump, "leaves a block that fills a list")
        names = self.declared_in(block)
        found = self.call_of(block)
        is_this = found is not None and found[1].name in {"apply", *_BUILDING}

        def is_it(target: Node | None) -> bool:
            if names:
                return target is not None and self.find(target) == self.find(names[0])
            if target is not None and text_of(target) == "it":
                return not is_this and self.block_of_it(target) == block
            return is_this and (target is None or text_of(target) == "this")

        return self._replay(body_of(block), value, is_it, env, depth, None)

    def _replay(  # noqa: C901, PLR0913, PLR0917 - what an interpreter has
        self,
        body: list[Node],
        value: Any,  # noqa: ANN401
        is_it: Callable[[Node | None], bool],
        env: Env,
        depth: int,
        known: list[Node] | None,
    ) -> Any:  # noqa: ANN401
        """Return a list, or a map, behind the statements that fill it.

        Where *known* is given it gets the places that do, and other statements are
        passed over; else there may be none.
        """
        if depth > MAX_DEPTH:
            raise UnknownError(body[0], "is nested too deeply")
        for statement in body:
            while statement.type in WRAPPED and len(children_of(statement)) == 1:
                statement = children_of(statement)[0]  # noqa: PLW2901
            self.check_always(statement)
            change = self._change(statement)
            if change is not None and is_it(change[0]):
                target, key, one = change
                if known is not None and target is not None:
                    known.append(target)
                value = self._changed_by(statement, value, key, one, env, depth)
                continue
            call = self.call(statement)
            loop = call.block if call and call.block else statement
            if self.is_loop(loop) and (known is None or self._fills(loop, is_it)):
                if jump := self.jump_in(loop):
                    raise UnknownError(jump, "leaves a loop that fills a list")
                for turn in self.turns(loop, env):
                    inner = body_of(loop)
                    value = self._replay(inner, value, is_it, turn, depth + 1, known)
                    if len(value) > MAX_SIZE:
                        raise UnknownError(statement, "is too long")
            elif known is None:
                raise UnknownError(statement, "is in a block that fills a list")
        return value

    def _fills(self, loop: Node, is_it: Callable[[Node | None], bool]) -> bool:
        """Return whether something in a loop fills the list."""
        changes = [change for o in self.nodes_in(loop) if (change := self._change(o))]
        return any(is_it(change[0]) for change in changes)

    def _change(
        self, node: Node
    ) -> tuple[Node | None, str | Node | None, list[Node]] | None:
        """Return what a statement adds to, its key or function, and what it adds."""
        if "assignment" in node.type and (found := element_of(node)):
            # An element of an array is another one then, and no more.
            is_map = found[1] is None or self._language != "java"
            return (found[0], found[1] or "+=", [found[2]]) if is_map else None
        call = self.call(node)
        if call is None or call.name not in _ADDING or call.block or call.is_safe:
            return None
        target = call.receiver
        if target is not None and target.type not in {*NAMES, *THESE}:
            return None
        labels = {label for label, _ in call.arguments if label}
        if labels - {"contentsOf"}:
            return None
        name = "addAll" if labels else call.name
        return target, name, [one for _, one in call.arguments]

    def _changed_by(  # noqa: PLR0913, PLR0917
        self,
        node: Node,
        value: Any,  # noqa: ANN401
        key: str | Node | None,
        given: list[Node],
        env: Env,
        depth: int,
    ) -> Any:  # noqa: ANN401
        """Return a list, or a map, behind one statement that adds to it."""
        name = key if isinstance(key, str) else "put"
        own = _SUMS if name == "+=" else (name,) if name == key else _SETTERS
        self._check_hidden(node, *own)
        parts = given if isinstance(key, str) or key is None else [key, *given]
        values = [self.value(one, env, depth) for one in parts]
        is_map = isinstance(value, dict) or name in {"put", "putAll"}
        if name == "put" and len(values) == 2 and isinstance(values[0], str):  # noqa: PLR2004
            if isinstance(value, dict):
                return value | {values[0]: values[1]}
            if all(isinstance(o, tuple) and o[0] != values[0] for o in value):
                return [*value, (values[0], values[1])]
        elif name in {"add", "append"} and len(values) == 1 and not is_map:
            return [*value, values[0]]
        elif name in {"addAll", "+="} and len(values) == 1 and not is_map:
            is_list = isinstance(values[0], list)
            more = values[0] if is_list else values
            # A pair in a map replaces what has its key.
            are_pairs = any(isinstance(one, tuple) for one in more)
            if is_list and (name == "addAll" or not are_pairs):
                return value + more
            if name == "+=" and self._language == "kotlin" and not are_pairs:
                return value + more
        raise UnknownError(node, "sets a key twice, or fills a list in its own way")

    def _filled(  # noqa: PLR0913, PLR0917
        self,
        use: Node,
        declared: Declared,
        value: Any,  # noqa: ANN401
        env: Env,
        depth: int,
        known: list[Node],
    ) -> Any:  # noqa: ANN401
        """Return a list, or a map, behind the statements that fill its variable.

        They stand where the variable is declared, or in the block that begins its
        class, and before all other places of its name.
        """
        changes = [
            change[0]
            for one in self._uses[text_of(declared.name)]
            for outer in [one, *self.around(one)][:6]
            if (change := self._change(outer)) and change[0] == one
        ]
        if not changes:
            return value

        def is_it(target: Node | None) -> bool:
            is_name = target is not None and target.type in NAMES
            return is_name and self.find(target) == declared  # type: ignore[arg-type]

        around = [*self.around(declared.name)]
        places = [o for o in around if o.type in {*BODIES, *_PLACES}]
        place = next(iter(places), self.nodes[0])
        statements = children_of(place)
        if declared.owner:
            starts = [o for o in statements if o.type in BEGINNINGS - _MADE_OF]
            is_static = {"static" in text_of(around[0].parent or place).split()}
            if self._language == "java" and is_static != {True}:
                return value
            bodies = [b for o in starts for b in children_of(o) if b.type == "block"]
            statements = [one for body in bodies for one in children_of(body)]
        before = len(known)
        value = self._replay(statements, value, is_it, env, depth, known)
        filled = {one.id for one in known[before:]}
        wholes = [o for o in statements if any(self._has(o, k) for k in known[before:])]
        for one in self._uses[text_of(declared.name)]:
            is_other = one.id not in filled and one.id != declared.name.id
            is_early = wholes and one.start_byte < wholes[-1].end_byte
            if is_early and is_other and self.find(one) == declared:
                raise UnknownError(one, "is read before all is in it")
        if wholes and (declared.owner or place.type in TOPS):
            self._check_before(use, place, wholes[-1])
        return value

    def _check_before(self, use: Node, body: Node, last: Node) -> None:
        """Refuse a list of a class where a member before its end may read it."""
        for member in [o for o in children_of(body) if o.start_byte < last.start_byte]:
            if member.type in FUNCTIONS | CLASSES:
                continue
            for one in self.nodes_in(member):
                name = text_of(one)
                is_run = name in self._functions or name in self._classes
                if one.type in NAMES and (is_run or self._is_run(name)):
                    raise UnknownError(use, "may be read before all is in it")

    def _check_began(self, use: Node, declared: Declared) -> None:
        """Refuse a text that a function may read as null, before a variable has it."""
        member, reader = self._member_of(declared.name), self._member_of(use)
        body = self._parents[member.id]
        words = text_of(member).partition("=")[0].split()
        is_late = reader.type in FUNCTIONS and reader != member
        is_late = is_late and self._parents[reader.id] == body
        if is_late and not {"const", "final"} & {*words}:
            self._check_before(use, body, member)

    def _is_run(self, name: str) -> bool:
        """Return whether a name may be that of a property with code of its own."""
        kinds = {"getter", "property_delegate", "computed_property"}
        places = [self._parents[o.name.id] for o in self._declared.get(name, ())]
        places += [self._parents[one.id] for one in places if one.id in self._parents]
        return any(c.type in kinds for one in places for c in one.named_children)


def body_of(block: Node) -> list[Node]:
    """Return the statements of a loop, or of a lambda."""
    if block.type not in LAMBDAS:
        body = block.child_by_field_name("body") or block.named_children[-1]
        while body.type in {"control_structure_body", "block", "statements"}:
            inner = children_of(body)
            if len(inner) != 1 or inner[0].type not in {"block", "statements"}:
                return inner
            body = inner[0]
        return [body]
    kinds = {"lambda_parameters", "lambda_function_type"}
    head = block.child_by_field_name("parameters")
    inner = [o for o in children_of(block) if o.type not in kinds and o != head]
    while len(inner) == 1 and inner[0].type in {"statements", "block"}:
        inner = children_of(inner[0])
    return inner


def is_fixed(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value has no parts that something could change."""
    if isinstance(value, tuple):
        return all(map(is_fixed, value))
    return isinstance(value, str | int | Made)
