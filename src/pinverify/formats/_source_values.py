"""Values of expressions in Kotlin, Java and Swift: texts, lists, pairs, dictionaries.

`_parser_process` runs this in a process of its own. A value counts only if the file
alone says it: literals, constants, what is put together of these, and a few functions
of the languages' libraries. All else is unknown, with the reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_lists import MAX_SIZE, Lists, body_of, is_fixed
from pinverify.formats._source_names import Declared
from pinverify.formats._source_objects import MAX_DEPTH, THESE, Made, levels_of
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    BODIES,
    CHOICES,
    COPIES,
    LISTS,
    NAMES,
    PATHS,
    SIZES,
    TOPS,
    TYPES,
    VIEWS,
    Call,
    Env,
    Function,
    UnknownError,
    children_of,
    text_of,
    words_of,
)

if TYPE_CHECKING:
    from tree_sitter import Node

__all__ = ["WRITE_OUT", "Code"]

_INSIDE = words_of("""
    parenthesized_expression as_expression tuple_expression spread_expression
    interpolation interpolated_expression
""")
_OF_LISTS = {"List", "Set", "Map", "Arrays", "Stream", "Collections"}
_STATIC = {"of", "asList", "singletonList", "singleton", "unmodifiableList"}
_NUMBERS = {"number_literal", "decimal_integer_literal", "integer_literal"}
_MAKERS = {("Pair", 2), ("NSNumber", 1), ("Array", 1)}
_HALVES = {"key": 0, "value": 1, "first": 0, "second": 1}
_SAME = COPIES | VIEWS
_ADDRESSES = {"URL", "URI", "URI.create", "Uri.parse", "HttpUrl.parse", "HttpUrl.get"}
_TO_ADDRESSES = {"toHttpUrl", "toUri"}
_OF_TEXTS: dict[str, Any] = {
    "removePrefix": str.removeprefix,
    "removeSuffix": str.removesuffix,
    "replace": str.replace,
    "concat": lambda text, more: text + more,
}
_ADDRESS = re.compile(r"[a-z]+://([\w.-]+)(?::\d+)?(?:[/?#]|\Z)")
WRITE_OUT = "write a text, or a constant of this file; or a policy file"
# Keys of TrustKit about something else than pins, whose values may be anything.
_PASSED_OVER = {"TSKReportUris", "TSKPublicKeyAlgorithms"}


class Code(Lists):
    """One file.

    Attributes:
        read: the texts that values are made of, by their nodes.
        filled: the places of names where something was added to a list that was read.
    """

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self.read: set[int] = set()
        self.filled: set[int] = set()
        self._unknown: dict[tuple[int, int], tuple[Env, UnknownError]] = {}

    def value(self, node: Node, env: Env, depth: int = 0) -> Any:  # noqa: ANN401
        """Return the value of an expression: a text, a list, a pair or a dictionary.

        Raises:
            UnknownError: the file does not say it.
        """
        if depth > MAX_DEPTH:
            raise UnknownError(node, "is nested too deeply")
        if node.has_error:
            raise UnknownError(node, "is not understood by the parser")
        self.check_always(node)
        key = (node.id, id(env))
        if key in self._unknown:
            raise self._unknown[key][1]
        try:
            found = self._value(node, env, depth + 1)
        except UnknownError as error:
            self._unknown[key] = env, error
            raise
        if isinstance(found, list):
            made = {levels_of(one)[-1].path for one in found if isinstance(one, Made)}
            if len(made) > 1:
                raise UnknownError(node, "has objects of several classes")
        if isinstance(found, str | list) and len(found) > MAX_SIZE:
            raise UnknownError(node, "is too long")
        return found

    def _value(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
        kind, inner = node.type, children_of(node)
        if "string_literal" in kind:
            return self._text(node, env, depth)
        if kind in NAMES or kind in PATHS:
            return self._meant(node, env, depth)
        if kind in {*CHOICES, "switch_statement"}:
            return self._chosen(node, env, depth)
        if kind in _INSIDE and (len(inner) == 1 or kind == "as_expression"):
            self._check_type(node)
            return self.value(inner[0], env, depth)
        if kind == "unary_expression" and text_of(node).endswith("!!"):
            return self.value(inner[0], env, depth)
        if kind == "value_argument" and inner:
            return self.value(inner[-1], env, depth)
        if kind == "boolean_literal":
            return text_of(node) == "true"
        if kind in _NUMBERS and re.fullmatch(r"[0-9]{1,9}", text_of(node)):
            return int(text_of(node))
        if kind in THESE:
            return self._this(node, env)
        if kind in {"index_expression", "array_access"} and len(inner) == 2:  # noqa: PLR2004
            of, key = (self.value(one, env, depth) for one in inner)
            return self._element(node, of, key)
        if kind in {"binary_expression", "additive_expression"} and len(inner) == 2:  # noqa: PLR2004
            left, right = (self.value(one, env, depth) for one in inner)
            sign = node.children[1].type
            if type(left) is type(right) is int and sign in {"+", "-"}:
                return left + right if sign == "+" else left - right
            if sign == "+":
                are_texts = isinstance(left, str) and isinstance(right, str)
                if self._language == "swift" or not are_texts:
                    self._check_hidden(node, "+", "plus")
                if are_texts:
                    return left + right
                if isinstance(left, list) and isinstance(right, list):
                    if any(isinstance(one, tuple) for one in left + right):
                        raise UnknownError(node, "is a map, of which parts replace")
                    return left + right
        elif kind == "range_expression" or (
            kind == "infix_expression" and text_of(inner[1]) == "until"
        ):
            first, last = (self.value(one, env, depth) for one in (inner[0], inner[-1]))
            ends = {"..": 1, "until": 0, "..<": 0}.get(node.children[1].type, 0)
            is_own = any(map(self.is_hidden, ("until", "rangeTo", "rangeUntil")))
            if type(first) is type(last) is int and not is_own:
                return self._range(node, first, last + ends)
        elif kind == "tuple_expression" and len(inner) == 2:  # noqa: PLR2004
            return self.value(inner[0], env, depth), self.value(inner[1], env, depth)
        elif kind in {"array_initializer", "array_literal", "collection_literal"}:
            return self._flat(inner, env, depth)
        elif kind == "array_creation_expression" and "initializer" in inner[-1].type:
            return self.value(inner[-1], env, depth)
        elif (
            kind == "infix_expression"
            and text_of(inner[1]) == "to"
            and not self.is_hidden("to")
        ):
            return self.value(inner[0], env, depth), self.value(inner[-1], env, depth)
        elif kind == "dictionary_literal":
            keys = node.children_by_field_name("key")
            values = node.children_by_field_name("value")
            names = [self.value(key, env, depth) for key in keys]
            if all(isinstance(n, str) for n in names) and len({*names}) == len(names):
                pairs = zip(names, values, strict=True)
                return {
                    name: [] if name in _PASSED_OVER else self.value(one, env, depth)
                    for name, one in pairs
                }
        elif (call := self.call(node)) is not None:
            return self._called(node, call, env, depth)
        raise UnknownError(node, AT_RUN_TIME)

    def _is_array(self, node: Node) -> bool:
        """Return whether an expression of Java is an array, as a parameter takes it."""
        declared = self.find(node) if node.type in NAMES else None
        around = [*self.around(declared.name)][:2] if declared else []
        is_declared = any("[]" in text_of(o).partition("=")[0] for o in around)
        return is_declared or node.type == "array_creation_expression"

    def _flat(self, nodes: list[Node], env: Env, depth: int) -> list[Any]:
        """Return the values of arguments or elements; those of a spread one by one."""
        found: list[Any] = []
        for node in nodes:
            value = self.value(node, env, depth)
            is_spread = text_of(node).startswith("*") and isinstance(value, list)
            if isinstance(value, list) and not is_spread and self._is_open(node):
                raise UnknownError(node, "is a list in a list, and can be changed")
            found += value if is_spread else [value]
        return found

    def _text(self, node: Node, env: Env, depth: int) -> str:
        """Return a string: its pieces, and the values of what is put into it."""
        source = text_of(node)
        if source.startswith(('"""', "#")):
            raise UnknownError(node, "is a raw text, or one of several lines")
        parts: list[str] = []
        for child in node.named_children:
            if child.type.startswith("interpol"):
                self._check_hidden(child, "appendInterpolation")
                value = self.value(child, env, depth)
                if not isinstance(value, str):
                    raise UnknownError(child, "is no text")
                parts.append(value)
            elif "escape" in child.type or "\\" in text_of(child):
                raise UnknownError(node, "has an escape; write the character itself")
            else:
                parts.append((child.text or b"").decode("utf-8"))
        self.read.add(node.id)
        return "".join(parts)

    def _meant(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401, PLR0911
        """Return the value of a name, or of a path of names."""
        text = text_of(node)
        last = text.rpartition(".")[2].strip()
        if last.startswith("kTSK") and last not in self._declared:
            # TrustKit's names of keys, of which one is odd
            is_odd = last.startswith("kTSKExclude")
            return f"{'kSK' if is_odd else 'TSK'}{last.removeprefix('kTSK')}"
        declared = self.find(node) if node.type in NAMES else self.member(node)
        is_it = text == ("$0" if self._language == "swift" else "it")
        if is_it and self._language != "java":
            loop = self.block_of_it(node)
            if loop is not None and loop.id in env:
                return env[loop.id]
        if declared is not None:
            return self._of_declared(node, declared, env, depth)
        if text == "rawValue" and self._language == "swift":
            return self._of_made(node, self._this(node, env), text, [], depth)
        made = self._constant(node, env, depth)
        if made is not None:
            return made
        if text in {"true", "false"}:
            return text == "true"
        if node.type in NAMES:
            raise UnknownError(node, "is declared nowhere in this file")
        first = children_of(node)[0]
        if text_of(first).endswith("BuildConfig"):
            raise UnknownError(node, "is made when the application is built")
        return self._part(node, first, last, env, depth)

    def _of_declared(self, node: Node, declared: Declared, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a variable that nothing but its declaration gives one."""
        self._check_type(self._parents[declared.name.id])
        for outer in self.around(declared.name):
            if outer.type == "property_declaration":
                self._check_annotations(node, outer)
        if declared.name.id in env and text_of(node) not in self._changed:
            value = env[declared.name.id]
        elif declared.why or declared.value is None:
            raise UnknownError(node, declared.why or AT_RUN_TIME)
        else:
            if node.type in NAMES:
                self.check_meaning(node, declared)
            value = self.value(declared.value, env, depth)
            if isinstance(value, str) and self._language != "swift":
                self._check_began(node, declared)
        is_list = not is_fixed(value) and self.can_change(declared)
        known: list[Node] = []
        if isinstance(value, list | dict) and declared.value is not None:
            value = self._filled(node, declared, value, env, depth, known)
        ids = {one.id for one in known}
        self.check_uses(declared, is_list=is_list, known=ids)
        self.filled |= ids
        return value

    def _part(self, node: Node, of: Node, name: str, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a property of a value: of an address, a pair, a list."""
        value = None
        try:
            value = self.value(of, env, depth)
        except UnknownError as error:
            if name == "host" and not self._is_extended(name):
                return self._host(node, of, env, depth)
            is_plain = of.type in {*NAMES, *PATHS, *THESE}
            found = self.find(of) if of.type in NAMES else None
            is_part = name in {*_HALVES, *_SAME, *SIZES} or (found and not found.why)
            if is_part or not (is_plain or "nowhere" in str(error)):
                raise
        if isinstance(value, Made):
            return self._of_made(node, value, name, [], depth)
        value = None if self._is_extended(name) else value
        if name in _SAME and value is not None:
            if isinstance(value, str) == (name == "toString"):
                return value
        elif isinstance(value, tuple) and name in _HALVES:
            return value[_HALVES[name]]
        elif isinstance(value, list) and name in {*SIZES, "indices"}:
            return self._size(node, value, name)
        declared = self.find(of) if of.type in NAMES else None
        if declared is not None and declared.why:
            raise UnknownError(node, f"is of `{text_of(of)}`, which {declared.why}")
        why = "is declared nowhere in this file" if declared is None else AT_RUN_TIME
        raise UnknownError(node, why)

    def _size(self, node: Node, values: list[Any], name: str) -> Any:  # noqa: ANN401
        """Return how many there are in a list, or their numbers."""
        texts = [one for one in values if isinstance(one, str)]
        if len({*texts}) < len(texts):
            raise UnknownError(node, "is the size of a list with equal parts")
        return self._range(node, 0, len(values)) if name == "indices" else len(values)

    def _host(self, whole: Node, node: Node, env: Env, depth: int) -> str:
        """Return the host of an address that is made of a text."""
        call = self.call(node)
        text = None
        if call is not None and not self.is_hidden(call.name):
            of = f"{text_of(call.receiver)}." if call.receiver else ""
            first = text_of(call.receiver) if call.receiver else call.name
            if f"{of}{call.name}" in _ADDRESSES and len(call.arguments) == 1:
                text = None if self.is_declared(first) else call.arguments[0][1]
            elif call.name in _TO_ADDRESSES and not (call.is_safe or call.arguments):
                text = call.receiver
        if text is not None and call and call.name not in self._classes:
            address = self.value(text, env, depth)
            match = _ADDRESS.match(address) if isinstance(address, str) else None
            if match is not None:
                return match[1]
        declared = self.find(node) if node.type in NAMES else None
        if declared is not None and declared.why:
            raise UnknownError(whole, f"is of `{text_of(node)}`, which {declared.why}")
        if declared is None or declared.value is None:
            raise UnknownError(whole, "is declared nowhere in this file")
        if depth > MAX_DEPTH:
            raise UnknownError(node, "is nested too deeply")
        host = self._host(whole, declared.value, env, depth + 1)
        self.check_meaning(node, declared)
        self.check_uses(declared, is_list=False)
        return host

    def _called(self, node: Node, call: Call, env: Env, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
        """Return the value of a call of a function that is known."""
        arguments = [one for _, one in call.arguments]
        is_plain = (call.receiver is None) == (call.name not in _STATIC)
        if call.receiver:
            of = text_of(call.receiver)
            is_known = of in _OF_LISTS and not self.is_declared(of)
            is_plain = is_plain and is_known
        if (found := self._collected(node, call, env, depth)) is not None:
            return found
        if (text := self._formatted(node, call, env, depth)) is not None:
            return text
        if (made := self._made_by(node, call, env, depth)) is not None:
            return made
        # Nothing of a file of Java is a function of another object.
        is_of_other = self._language == "java" and call.receiver is not None
        if self.is_hidden(call.name) and not is_of_other:
            return self._own(node, call, env, depth)
        if self._language == "kotlin" and any(label for label, _ in call.arguments):
            raise UnknownError(node, "has arguments by name; write them in their order")
        if call.name in LISTS and is_plain and call.block is None:
            values = self._flat(arguments, env, depth)
            if call.name == "unmodifiableList" and len(values) == 1:
                return values[0]
            is_one = self._language == "java" and len(values) == 1
            if is_one and isinstance(values[0], list):
                if not self._is_array(arguments[0]):
                    raise UnknownError(node, "is a list of one list")
                values = values[0]
            is_map = call.name.lower().endswith("mapof")
            if call.receiver and text_of(call.receiver) == "Map":
                is_map, values = True, [*zip(values[::2], values[1::2], strict=False)]
            pairs = [one for one in values if isinstance(one, tuple)]
            keys = [one[0] for one in pairs if isinstance(one[0], str)]
            if is_map and len({*keys}) < len(values):
                raise UnknownError(node, "has a key twice, or one that is no text")
            return values
        is_maker = (call.name, len(arguments)) in _MAKERS
        if is_maker and not (call.receiver or self.is_declared(call.name)):
            values = [self.value(one, env, depth) for one in arguments]
            return tuple(values) if call.name == "Pair" else values[0]
        if call.name == "map" and call.receiver and call.block and not call.is_safe:
            return self._mapped(node, call.receiver, call.block, env, depth)
        if call.name == "lazy" and call.block and len(children_of(call.block)) == 1:
            if self.is_hidden("getValue"):
                raise UnknownError(node, AT_RUN_TIME)
            return self.value(children_of(call.block)[0], env, depth)
        if call.receiver is not None and not call.is_safe:
            if call.name in {"getHost", "host", "getKey", "getValue", "size", *_SAME}:
                name = call.name.removeprefix("get")
                name = name if name in _SAME else name.lower()
                return self._part(node, call.receiver, name, env, depth)
            if call.name in {"get", "getValue"} and len(arguments) == 1:
                of_, key = (
                    self.value(o, env, depth) for o in (call.receiver, *arguments)
                )
                return self._element(node, of_, key)
            if call.name in _OF_TEXTS:
                given = [
                    self.value(one, env, depth) for one in (call.receiver, *arguments)
                ]
                if all(isinstance(one, str) and one for one in given):
                    return _OF_TEXTS[call.name](*given)
        raise UnknownError(node, AT_RUN_TIME)

    def _mapped(self, node: Node, of: Node, block: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return what a block with one expression makes of each of a list."""
        body = body_of(block)
        if len(body) == 1:
            given = self._bound_in(block, self.value(of, env, depth), env)
            return [self.value(body[0], one, depth) for one in given]
        raise UnknownError(node, AT_RUN_TIME)

    def _has_other(self, name: str) -> bool:
        """Return whether a function is not the only thing that has its name."""
        known = [self._imported, self._classes]
        known += [self._declared] if self._language != "java" else []
        declared = any(name in names for names in known)
        return declared or self._functions[name] > 1

    def _own(self, node: Node, call: Call, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a call of a function of this file, of one expression.

        Raises:
            UnknownError: it has more, or another file may have one for it.
        """
        found = [one for one in self._bodies if text_of(one.name) == call.name]
        is_plain = not (call.receiver or call.block)
        if len(found) != 1 or not is_plain or self._has_other(call.name):
            raise UnknownError(node, AT_RUN_TIME)
        (function,) = found
        outer = self._parents[function.node.id]
        scope, owner = self._class(outer) if outer.type in BODIES else (outer, "")
        is_inside = scope.start_byte <= node.start_byte < scope.end_byte
        if not is_inside or not self._is_alone(function, outer):
            raise UnknownError(node, AT_RUN_TIME)
        for one in (
            function.node,
            *(self._parents[p.name.id] for p in function.parameters),
        ):
            self._check_type(one)
        use = next(o for o in self.nodes_in(node) if text_of(o) == call.name)
        self.check_meaning(use, Declared(function.name, scope, None, "", owner))
        given = self._bound(node, function.parameters, call.arguments, env, depth)
        return self.value(function.body, env | given, depth)

    def _is_alone(self, function: Function, outer: Node) -> bool:
        """Return whether no other file can have a function for the same call."""
        words = self._modifiers(function.node)
        if "private" in words or outer.type not in {*BODIES, *TOPS}:
            return True
        if outer.type in BODIES:
            return self._is_final(function.node)
        types = [
            text_of(one)
            for part in function.parameters
            for one in children_of(self._parents[part.name.id])
            if one.type in TYPES
        ]
        return self._language == "kotlin" and {*types} <= {"String"}

    def _formatted(self, node: Node, call: Call, env: Env, depth: int) -> str | None:
        """Return the text that a format makes of texts; None for other calls."""
        arguments = [one for _, one in call.arguments]
        is_string = call.receiver is not None and text_of(call.receiver) == "String"
        is_swift = self._language == "swift" and call.name == "String"
        is_swift = is_swift and [la for la, _ in call.arguments][:1] == ["format"]
        is_java = call.name == "format" and is_string
        if not (is_java or is_swift) and call.receiver is not None:
            if call.name not in {"format", "formatted"} or call.is_safe:
                return None
            arguments = [call.receiver, *arguments]
        elif not (is_java or is_swift):
            return None
        if call.block or self.is_declared("String") or self.is_hidden(call.name):
            return None
        text, *values = self._flat(arguments, env, depth)
        mark = "%@" if is_swift else "%s"
        pieces = text.split(mark) if isinstance(text, str) else []
        are_texts = all(isinstance(one, str) for one in values)
        is_clear = are_texts and "%" not in "".join(pieces)
        if not is_clear or len(pieces) != len(values) + 1:
            raise UnknownError(node, f"is a format of something else than {mark}")
        return "".join(a + b for a, b in zip(pieces, [*values, ""], strict=True))
