"""Values of expressions in Kotlin, Java and Swift: texts, lists, pairs, dictionaries.

`_parser_process` runs this in a process of its own. A value counts only if the file
alone says it: literals, constants, what is put together from these, and a few functions
of the languages' libraries. Everything else is unknown, with the reason.
"""

from __future__ import annotations

import contextlib
import re
import textwrap
from typing import TYPE_CHECKING, Any

from pinverify.formats._source_hazards import hazards_in
from pinverify.formats._source_kinds import Kind, Library, words_of
from pinverify.formats._source_lists import MAX_SIZE, Address, Lists, is_fixed
from pinverify.formats._source_names import CHANGED, ENTRIES, LISTS, Declared
from pinverify.formats._source_objects import Made, levels_of
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    Call,
    Env,
    Function,
    UnknownError,
    Value,
    children_of,
    line_of,
    text_of,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

__all__ = ["WRITE_OUT", "Code"]

_INSIDE = words_of("""
    parenthesized_expression as_expression tuple_expression spread_expression
    interpolation interpolated_expression
""")
_FORCED = {"unary_expression", "postfix_expression"}
_PLACE = re.compile(r"Locale\.(US|UK|ROOT|ENGLISH|GERMAN|GERMANY|getDefault\(\))")
_OF_LISTS = {"List", "Set", "Map", "Arrays", "Stream", "Collections"}
_STATIC = Library.FROZEN - {"listOf", "setOf", "mapOf"} | {"asList"}
_ARRAYS = Library.VIEWS_OF | {"arrayOf", "asList", "array_initializer"}
_GROWING = Library.OPEN | {"toTypedArray", "toArray"}
_NUMBERS = {"number_literal", "decimal_integer_literal", "integer_literal"}
_MAKERS = {("Pair", 2), ("NSNumber", 1), ("Array", 1)}
_PARTS = {"getHost", "host", "getKey", "getValue", "size"}
_HALVES = {"key": 0, "value": 1, "first": 0, "second": 1}
_GETS = {"get": 1, "getValue": 1, "getOrDefault": 2}
_SAME = Library.COPIES | Library.VIEWS | {"orEmpty", "asIterable"}
_ADDRESSES = {"URL", "URI", "URI.create", "Uri.parse", "HttpUrl.parse", "HttpUrl.get"}
_TO_ADDRESSES = {"toHttpUrl", "toHttpUrlOrNull", "toUri"}
_IMPLIED = {"newValue", "oldValue", "error"}
_SETTERS = {"getter", "setter"}  # of Kotlin
_EDGES = re.compile(r"\A[^\S\n]*\n|\n[^\S\n]*\Z")  # lines without a text
_OF_TEXTS: dict[str, Any] = {
    "removePrefix": str.removeprefix,
    "removeSuffix": str.removesuffix,
    "replace": str.replace,
    "substringBefore": lambda text, mark: text.partition(mark)[0],
    "substringAfter": lambda text, mark: (
        text[text.find(mark) + len(mark) :] if mark in text else text
    ),
    "concat": lambda text, more: text + more,
    "trimIndent": lambda text: textwrap.dedent(_EDGES.sub("", text)),
    "lines": lambda text: text.split("\n"),
    # Java splits by a regular expression: for any other mark, 0 raises a TypeError.
    "split": lambda text, mark: text.split(mark if mark in {",", ";"} else 0),
}
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_ADDRESS = re.compile(rf"https?://({_LABEL}(?:\.{_LABEL})*)(?::\d+)?(?:[/?#]|\Z)")
WRITE_OUT = "; write a text, or a constant of this file; or a policy file"
# Keys of TrustKit about something else than pins, whose values may be anything.
_PASSED_OVER = {"TSKReportUris", "TSKPublicKeyAlgorithms"}


class Code(Lists):
    """One file.

    Attributes:
        read: the texts that values are made of, by their nodes.
        mistakes: what is not understood, each with its line.
        filled: the places of names where something was added to a list that was read.
    """

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self.read: set[int] = set()
        self.filled: set[int] = set()
        self.mistakes: list[tuple[int, str]] = []
        self._unknown: dict[tuple[int, int], tuple[Env, UnknownError]] = {}

    @contextlib.contextmanager
    def noting(self, advice: str) -> Iterator[None]:
        """Note what is unknown as a mistake, and go on."""
        try:
            yield
        except UnknownError as error:
            self.mistakes.append((error.line, f"{error}{advice}"))

    def value(self, node: Node, env: Env) -> Value:
        """Return the value of an expression: a text, a list, a pair or a dictionary."""
        if node.has_error:
            raise UnknownError(node, "is not understood by the parser")
        self.check_always(node)
        key = (node.id, id(env))
        if key in self._unknown:
            raise self._unknown[key][1]
        try:
            with self.deeper(node):
                found = self._value(node, env)
        except UnknownError as error:
            self._unknown[key] = env, error
            raise
        if isinstance(found, list):
            made = {levels_of(one)[-1].path for one in found if isinstance(one, Made)}
            if len(made) > 1:
                raise UnknownError(node, "has objects of several classes")
        if isinstance(found, str | list | dict) and len(found) > MAX_SIZE:
            raise UnknownError(node, "is too long")
        return found

    def _value(self, node: Node, env: Env) -> Value:  # noqa: C901, PLR0911, PLR0912
        kind, inner = node.type, children_of(node)
        if "string_literal" in kind:
            return self._text(node, env)
        if kind in Kind.NAMES or kind in Kind.PATHS:
            return self._meant(node, env)
        if self._is_unwrapped(node):
            return self.value(inner[0], env)  # what is known is not null
        if kind in {*Kind.CHOICES, "switch_statement"}:
            return self._chosen(node, env)
        if kind in _INSIDE and (len(inner) == 1 or kind == "as_expression"):
            self._check_type(node)
            return self.value(inner[0], env)
        if kind == "value_argument" and inner:
            return self.value(inner[-1], env)
        if kind == "boolean_literal":
            return text_of(node) == "true"
        if kind in _NUMBERS and re.fullmatch(r"[0-9]{1,9}", text_of(node)):
            return int(text_of(node))
        if kind in Kind.THESE:
            return self._this(node, env)
        if kind in {"index_expression", "array_access"} and len(inner) == 2:  # noqa: PLR2004
            of, key = (self.value(one, env) for one in inner)
            return self._element(node, of, key)
        if kind in {"binary_expression", "additive_expression"} and len(inner) == 2:  # noqa: PLR2004
            left, right = (self.value(one, env) for one in inner)
            sign = node.children[1].type
            self._check_line(node, inner[0], sign)
            if type(left) is type(right) is int and sign in {"+", "-"}:
                return left + right if sign == "+" else left - right
            if sign == "+":
                are_texts = isinstance(left, str) and isinstance(right, str)
                if self._language == "swift" or not are_texts:
                    self._check_hidden(node, "+", "plus")
                if are_texts:
                    return left + right
                if isinstance(left, list) and isinstance(right, list):
                    return left + right
                if self._language == "kotlin" and isinstance(left, list):
                    return [*left, right]
                if isinstance(left, dict):
                    raise UnknownError(node, "is a map, of which parts replace")
        elif kind == "range_expression" or (
            kind == "infix_expression" and text_of(inner[1]) == "until"
        ):
            first, last = (self.value(one, env) for one in (inner[0], inner[-1]))
            ends = {"..": 1, "until": 0, "..<": 0}.get(node.children[1].type, 0)
            is_own = any(map(self.is_hidden, ("until", "rangeTo", "rangeUntil")))
            if type(first) is type(last) is int and not is_own:
                return self._range(node, first, last + ends)
        elif kind == "prefix_expression" and re.fullmatch(r"\.\w+", text_of(node)):
            return self._implied(node, env)
        elif kind == "tuple_expression" and len(inner) == 2:  # noqa: PLR2004
            return self.value(inner[0], env), self.value(inner[1], env)
        elif kind in {"array_initializer", "array_literal", "collection_literal"}:
            return self._flat(inner, env)
        elif kind == "array_creation_expression" and "initializer" in inner[-1].type:
            return self.value(inner[-1], env)
        elif kind == "infix_expression" and text_of(inner[1]) == "to":
            self._check_hidden(node, "to")
            return self.value(inner[0], env), self.value(inner[-1], env)
        elif kind == "dictionary_literal":
            keys = node.children_by_field_name("key")
            values = node.children_by_field_name("value")
            names = [self.value(key, env) for key in keys]
            if all(isinstance(n, str) for n in names) and len({*names}) == len(names):
                pairs = zip(names, values, strict=True)
                return {
                    name: [] if name in _PASSED_OVER else self.value(one, env)
                    for name, one in pairs
                }
        elif kind == "call_expression" and inner[0].type in Kind.LAMBDAS:
            parts = children_of(inner[0])  # of a block of Swift that is called
            body = self._returned(parts[0]) if len(parts) == 1 else None
            if body and not any(map(children_of, children_of(inner[-1]))):
                return self.value(body, env)
        elif (call := self.call(node)).name:
            return self._called(node, call, env)
        raise UnknownError(node, AT_RUN_TIME)

    def _is_unwrapped(self, node: Node) -> bool:
        """Return whether an expression is its first part, unless that is null."""
        if {"?:", "??"} & tokens_of(node):
            self._check_hidden(node, "??")
            if "?." in text_of(node.children[0]):
                raise UnknownError(node, AT_RUN_TIME)
            return True
        return node.type in _FORCED and text_of(node.children[-1]) in {"!!", "!"}

    def _check_line(self, node: Node, left: Node, sign: str) -> None:
        """Refuse a sum of Kotlin whose sign begins a line, and so another statement."""
        is_next = left.end_point[0] < node.children[1].start_point[0]
        if self._language == "kotlin" and is_next and sign in {"+", "-"}:
            raise UnknownError(node, f"ends before the line that begins with {sign}")

    def _is_array(self, node: Node) -> bool:
        """Return whether an expression of Java is an array, as a parameter takes it."""
        declared = self.find(node) if node.type in Kind.NAMES else None
        around = [*self.around(declared.name)][:2] if declared else []
        is_declared = any("[]" in text_of(o).partition("=")[0] for o in around)
        return is_declared or node.type == "array_creation_expression"

    def _flat(self, nodes: list[Node], env: Env) -> list[Any]:
        """Return the values of arguments or elements; a spread gives all of its own."""
        found: list[Any] = []
        for node in nodes:
            value = self.value(node, env)
            is_spread = text_of(node).startswith("*") and isinstance(value, list)
            if isinstance(value, list | dict) and not is_spread and self._is_open(node):
                raise UnknownError(node, "is a list in a list, and can be changed")
            found += value if is_spread else [value]
        return found

    def _text(self, node: Node, env: Env, *, is_raw: bool = False) -> str:
        """Return a string, with the values of what is interpolated in it."""
        is_block = self._language == "java" and text_of(node).startswith('"""')
        if text_of(node).startswith(('"""', "#")) and not (is_raw or is_block):
            raise UnknownError(node, "is a raw text, or one of several lines")
        parts: list[str] = []
        for child in node.named_children:
            if child.type.startswith("interpol"):
                self._check_hidden(child, "appendInterpolation")
                self._check_optional(child)
                parts.append(self.value(child, env))
                if not isinstance(parts[-1], str):
                    raise UnknownError(child, "is no text")
            elif "escape" in child.type or "\\" in text_of(child):
                raise UnknownError(node, "has an escape; write the character itself")
            else:
                parts.append((child.text or b"").decode("utf-8"))
        self.read.add(node.id)
        return _block_of(node, "".join(parts)) if is_block else "".join(parts)

    def note_hazards(self) -> None:
        """Note what may change the meaning of other lines."""
        for node, why in hazards_in(self, self._language):
            self.mistakes.append((line_of(node), str(UnknownError(node, why))))

    def _check_optional(self, node: Node) -> None:
        """Refuse a text of Swift in which an optional has its name and brackets."""
        if self._language != "swift":
            return
        whole = text_of(node).strip("\\()")
        is_optional = "?" in whole.replace("??", "") or whole.endswith(".host")
        for one in self.nodes_in(node):
            declared = self.find(one) if one.type in Kind.NAMES else None
            if one.type in Kind.PATHS:
                declared = self.member(one)
            of = self.parent(declared.name) if declared else None
            while of is not None and of.type in {"pattern", "value_binding_pattern"}:
                of = self.parent(of)
            heads = [text_of(of)] if of is not None else []
            heads += [
                text_of(o.node).partition("{")[0]
                for o in self._bodies
                if text_of(o.name) == text_of(one)
            ]
            is_optional |= any("?" in re.split("[={]", head)[0] for head in heads)
        if is_optional and "??" not in whole and not whole.endswith("!"):
            raise UnknownError(node, "is an optional, which is written as Optional(…)")

    def _meant(self, node: Node, env: Env) -> Value:  # noqa: C901, PLR0911
        text = text_of(node)
        last = text.rpartition(".")[2].strip()
        is_own = text.rpartition(".")[0].strip() not in {"", "TrustKit"}
        if last.startswith("kTSK") and last not in self._declared and not is_own:
            # TrustKit's names of keys, of which one is odd
            is_odd = last.startswith("kTSKExclude")
            return f"{'kSK' if is_odd else 'TSK'}{last.removeprefix('kTSK')}"
        is_implied = self._language == "swift" and text in _IMPLIED
        is_field = self._language == "kotlin" and text == "field"
        if is_implied or (is_field and next(self.around(node, _SETTERS), None)):
            raise UnknownError(node, "may be what a setter or a catch gives this name")
        declared = self.find(node) if node.type in Kind.NAMES else self.member(node)
        is_it = text == ("$0" if self._language == "swift" else "it")
        if is_it and self._language != "java":
            loop = self.block_of_it(node)
            if loop is not None and loop.id in env:
                return env[loop.id]
        if declared is not None:
            return self._of_declared(node, declared, env)
        if text == "rawValue" and self._language == "swift":
            return self._of_made(node, self._this(node, env), text)
        made = self._constant(node, env)
        if made is not None:
            return made
        if text in {"true", "false"}:
            return text == "true"
        if node.type in Kind.NAMES:
            where = ", which imports it" if text in self._imported else ""
            raise UnknownError(node, f"is declared nowhere in this file{where}")
        first = children_of(node)[0]
        if text_of(first).endswith("BuildConfig"):
            raise UnknownError(node, "is made when the application is built")
        return self._part(node, first, last, env)

    def _of_declared(self, node: Node, declared: Declared, env: Env) -> Value:
        self._check_type(self.parent(declared.name))
        for outer in self.around(declared.name, {"property_declaration"}):
            self._check_annotations(node, outer)
        if declared.name.id in env and text_of(node) not in self._changed:
            value = env[declared.name.id]
            if isinstance(value, UnknownError):
                raise value
        elif declared.why or declared.value is None:
            raise UnknownError(node, declared.why or AT_RUN_TIME)
        else:
            if node.type in Kind.NAMES:
                self.check_meaning(node, declared)
            value = self.value(declared.value, env)
            if isinstance(value, str | int) and self._language != "swift":
                self._check_began(node, declared)
        is_list = not is_fixed(value) and (
            self.can_change(declared) or self._has_arrays(declared, value)
        )
        known: list[Node] = []
        if isinstance(value, list | dict) and declared.value is not None:
            value = self._filled(node, declared, value, env, known)
        ids = {one.id for one in known}
        parts = ""
        if is_list and isinstance(value, list | dict) and self._language != "swift":
            inner = value.values() if isinstance(value, dict) else value
            parts = ENTRIES if isinstance(value, dict) else ""
            parts = parts if all(map(is_fixed, inner)) else LISTS
        self.check_uses(declared, is_list=is_list, known=ids, parts=parts)
        self.filled |= ids
        return value

    def _has_arrays(self, declared: Declared, value: Value) -> bool:
        """Return whether a list or a map has arrays in it that the file may change."""
        values = value.values() if isinstance(value, dict) else value
        nodes = self.nodes_in(declared.value) if declared.value else ()
        made = {self.call(o).name or o.type for o in nodes}
        is_own = bool(made & (_ARRAYS | _GROWING | self._functions.keys()))
        is_plain = isinstance(value, list | dict) and all(map(is_fixed, values))
        return is_own and not is_plain and self._language != "swift"

    def _part(self, node: Node, of: Node, name: str, env: Env) -> Value:  # noqa: C901, PLR0912
        """Return a property of a value: of an address, a pair, a list."""
        value, declared = None, self.find(of) if of.type in Kind.NAMES else None
        try:
            value = self.value(of, env)
        except UnknownError as error:
            is_plain = of.type in Kind.NAMES | Kind.PATHS | Kind.THESE
            is_known = declared and not declared.why and name != "host"
            is_part = is_known or name in {*_HALVES, *_SAME, *Library.SIZES}
            is_hidden = re.search(f"which may have this name|{CHANGED}", str(error))
            if is_part or is_hidden or not (is_plain or "nowhere" in str(error)):
                raise
        if isinstance(value, Made):
            return self._of_made(node, value, name)
        value = None if self._is_extended(name) else value
        if name in _SAME and value is not None:
            if isinstance(value, str) == (name == "toString"):
                return value
        elif isinstance(value, Address) and name == "host":
            return value.host
        elif isinstance(value, dict) and name in Library.KEYS:
            if self._language != "swift":  # whose dictionaries have no order
                return [*value]
        elif isinstance(value, tuple) and name in _HALVES:
            return value[_HALVES[name]]
        elif isinstance(value, list | dict) and name in {*Library.SIZES, "indices"}:
            texts = [one for one in value if isinstance(one, str)]
            if len({*texts}) < len(texts):  # which a set has once
                raise UnknownError(node, "is the size of a list with equal parts")
            size = len(value)
            return self._range(node, 0, size) if name == "indices" else size
        if declared is not None and declared.why:
            raise UnknownError(node, f"is of `{text_of(of)}`, which {declared.why}")
        is_nowhere = declared is None and not self._is_extended(name)
        for one in self._declared.get(name, ()) if is_nowhere else ():
            self.check_always(one.name)
        is_nowhere = is_nowhere and text_of(of) not in self._classes
        why = "is declared nowhere in this file" if is_nowhere else AT_RUN_TIME
        raise UnknownError(node, why)

    def _implied(self, node: Node, env: Env) -> Value:
        """Return what `.name` means in Swift for a variable of a type of this file."""
        outer, name = self.parent(node), text_of(node)[1:]
        head = re.search(r":\s*(\w+)\s*=\s*\.\w+\Z", text_of(outer))
        is_whole = outer.type == "property_declaration" and head
        of = self._class_meant(node, head[1]) if is_whole and head else None
        if of is not None and self._is_enum(of):
            made = [o for o in self._constants(of) if o.constant == name]
            if made and name not in self._declared:
                return made[0]
        path = self._path_of(of) if of else ""
        found = [o for o in self._declared.get(name, ()) if path and o.owner == path]
        around = [o for d in found for o in self.around(d.name)][:2]
        if len(found) == 1 and any("static" in self._modifiers(o) for o in around):
            return self._of_declared(node, found[0], env)
        raise UnknownError(node, AT_RUN_TIME)

    def _address(self, node: Node, call: Call, env: Env) -> Address | None:
        arguments = [one for _, one in call.arguments]
        first = arguments[0] if arguments else call.receiver
        of = f"{text_of(call.receiver)}." if call.receiver else ""
        name = of.strip(".") or call.name
        is_of_text = call.name in _TO_ADDRESSES and not (call.is_safe or call.arguments)
        is_maker = f"{of}{call.name}" in _ADDRESSES and not self.is_declared(name)
        is_maker = is_maker and not any(alias == name for alias, *_ in self._aliases)
        is_one = len(arguments) <= 1 and not call.block
        if first is None or not is_one or not (is_of_text or is_maker):
            return None
        if self._language == "swift" and call.arguments[0][0] != "string":
            raise UnknownError(node, AT_RUN_TIME)  # the path of a file has no host
        is_other_url = self._language != "swift" and self._is_hidden_at(node)
        if is_maker and is_other_url:
            raise UnknownError(node, f"may be of another {name}, which is inherited")
        # Behind the name of a class, only an extension can be meant instead.
        is_other = self._is_extended if is_maker and of else self.is_hidden
        is_hidden = is_other(call.name) and not (is_maker and self._language == "java")
        text = None if is_hidden else self.value(first, env)
        match = _ADDRESS.match(text) if isinstance(text, str) else None
        if match is None:
            raise UnknownError(node, AT_RUN_TIME)
        return Address(match[1])

    def _called(self, node: Node, call: Call, env: Env) -> Value:  # noqa: C901, PLR0911, PLR0912
        arguments = [one for _, one in call.arguments]
        of = text_of(call.receiver) if call.receiver else ""
        is_plain = bool(of) == (call.name in _STATIC)
        if of:
            is_plain = is_plain and of in _OF_LISTS and not self.is_declared(of)
        for read in (
            *(self._collected, self._joined, self._formatted),
            *(self._address, self._lines),
            self._made_by,
        ):
            if (found := read(node, call, env)) is not None:
                return found
        is_stream = (of, call.name) == ("Arrays", "stream") and len(arguments) == 1
        if is_stream and not self.is_declared(of):
            return self.value(arguments[0], env)
        # In Java, a function of this file cannot be one of another object.
        is_of_other = self._language == "java" and of not in {"", "this"}
        if self.is_hidden(call.name) and not is_of_other:
            return self._own(node, call, env)
        if self._language == "kotlin" and any(label for label, _ in call.arguments):
            raise UnknownError(node, "has arguments by name; write them in their order")
        if call.name in Library.LISTS and is_plain and call.block is None:
            values = self._flat(arguments, env)
            if call.name in Library.VIEWS_OF and len(values) == 1:
                return values[0]
            is_one = self._language == "java" and len(values) == 1
            if is_one and isinstance(values[0], list):
                if not self._is_array(arguments[0]):
                    raise UnknownError(node, "is a list of one list")
                values = values[0]
            if of == "Map":
                pairs = [*zip(values[::2], values[1::2], strict=False)]
                return self._dictionary(node, pairs)
            is_map = call.name.lower().endswith("mapof")
            return self._dictionary(node, values) if is_map else values
        is_maker = (call.name, len(arguments)) in _MAKERS
        if is_maker and not (call.receiver or self.is_declared(call.name)):
            values = [self.value(one, env) for one in arguments]
            return tuple(values) if call.name == "Pair" else values[0]
        if call.name == "lazy" and call.block and len(children_of(call.block)) == 1:
            if self.is_hidden("getValue"):
                raise UnknownError(node, AT_RUN_TIME)
            return self.value(children_of(call.block)[0], env)
        if call.receiver is not None and not call.is_safe:
            if call.name in _GETS and len(arguments) == _GETS[call.name]:
                of_, key = (self.value(o, env) for o in (call.receiver, arguments[0]))
                return self._element(node, of_, key)
            same = _SAME | {"keySet"}
            is_bare = {la for la, _ in call.arguments} <= {"percentEncoded"}
            halves = _PARTS if is_bare and not call.block else set[str]()
            if call.name in halves | same:
                name = call.name.removeprefix("get")
                name = name if name in same else name.lower()
                return self._part(node, call.receiver, name, env)
            is_known = call.name in _OF_TEXTS and self._language != "swift"
            if is_known and (call.name != "split" or len(arguments) == 1):
                is_raw = call.receiver.type == "multiline_string_literal"
                given = [self.value(one, env) for one in arguments]
                if is_raw:
                    given = [self._text(call.receiver, env, is_raw=True), *given]
                else:
                    given = [self.value(call.receiver, env), *given]
                if all(isinstance(one, str) and one for one in given):
                    with contextlib.suppress(TypeError):  # as many as it takes
                        return _OF_TEXTS[call.name](*given)
        raise UnknownError(node, AT_RUN_TIME)

    def _own(self, node: Node, call: Call, env: Env) -> Value:
        """Return the value of a call of a function of this file, of one expression."""
        found = [one for one in self._bodies if text_of(one.name) == call.name]
        if len(found) != 1:
            raise UnknownError(node, AT_RUN_TIME)
        self._check_type(found[0].node)
        given = self.given_to(found[0], node, call, env)
        return self.value(found[0].body, env | given)

    def given_to(self, function: Function, node: Node, call: Call, env: Env) -> Env:
        """Return the values of the parameters of a function of this file in a call."""
        names = {*self._imported, *self._classes}
        names |= self._declared.keys() if self._language != "java" else set()
        is_other = call.name in names or self._functions[call.name] > 1
        outer = self.parent(function.node)
        is_own = call.receiver is None or self._is_this(call.receiver, outer)
        if call.block or is_other or not is_own:
            raise UnknownError(node, AT_RUN_TIME)
        scope, owner = self._class(outer) if outer.type in Kind.BODIES else (outer, "")
        is_inside = scope.start_byte <= node.start_byte < scope.end_byte
        if not is_inside or not self._is_alone(function, outer):
            raise UnknownError(node, AT_RUN_TIME)
        for one in function.parameters:
            self._check_type(self.parent(one.name))
        use = next(o for o in self.nodes_in(node) if text_of(o) == call.name)
        declared = Declared(function.name, scope, None, "", owner)
        self.check_meaning(use, declared)
        places = [(self.parent(o.name), o) for o in function.parameters]
        is_wide = any(
            o.is_many or o.default or "String" not in text_of(place)
            for place, o in places
        )
        of = self.parent(outer)
        if owner and is_wide and not self._has_no_other(of, declared, []):
            raise UnknownError(node, "may be of a function that the class inherits")
        return self._bound(node, function.parameters, call.arguments, env)

    def _is_this(self, of: Node, body: Node) -> bool:
        """Return whether an expression is the object, or class, that has a body."""
        words = {"java": {"this"}, "swift": {"self", "Self"}}.get(self._language, set())
        return text_of(of) in words and next(self.around(of, Kind.BODIES), None) == body

    def _is_alone(self, function: Function, outer: Node) -> bool:
        """Return whether no other file can have a function for the same call."""
        words = self._modifiers(function.node)
        if "private" in words or outer.type not in {*Kind.BODIES, *Kind.TOPS}:
            return True
        if outer.type in Kind.BODIES:
            return self._is_final(function.node)
        places = [self.parent(one.name) for one in function.parameters]
        types = {text_of(o) for one in places for o in children_of(one, Kind.TYPES)}
        return self._language != "java" and types <= {"String"}

    def _lines(self, node: Node, call: Call, env: Env) -> list[str] | None:
        is_plain = text_of(node).endswith((".lines()", '.split("\\n")'))
        if self._language != "java" or not is_plain or call.receiver is None:
            return None
        text = self.value(call.receiver, env)
        if not isinstance(text, str) or text.strip("\n") != text.removesuffix("\n"):
            raise UnknownError(node, AT_RUN_TIME)
        return text.removesuffix("\n").split("\n")

    def _formatted(self, node: Node, call: Call, env: Env) -> str | None:
        arguments = [one for _, one in call.arguments]
        if call.name == "format" and arguments and self._is_place(arguments[0]):
            del arguments[0]  # no text depends on it
        is_string = call.receiver is not None and text_of(call.receiver) == "String"
        is_swift = self._language == "swift" and call.name == "String"
        is_swift = is_swift and [la for la, _ in call.arguments][:1] == ["format"]
        is_java = call.name == "format" and is_string
        if not (is_java or is_swift) and call.receiver is not None:
            # `format` of Java is static: its format is no receiver.
            names = {"format"} if self._language == "kotlin" else {"formatted"}
            if call.name not in names or call.is_safe:
                return None
            arguments = [call.receiver, *arguments]
        elif not (is_java or is_swift):
            return None
        if call.block or self.is_declared("String") or self.is_hidden(call.name):
            return None
        text, *values = self._flat(arguments, env)
        mark = "%@" if is_swift else "%s"
        pieces = text.split(mark) if isinstance(text, str) else []
        are_texts = all(isinstance(one, str) for one in values)
        is_clear = are_texts and "%" not in "".join(pieces)
        if not is_clear or len(pieces) != len(values) + 1:
            raise UnknownError(node, f"is a format of something else than {mark}")
        return "".join(a + b for a, b in zip(pieces, [*values, ""], strict=True))

    def _is_place(self, node: Node) -> bool:
        """Return whether an argument is a Locale of Java, which the file imports."""
        if not _PLACE.fullmatch(text_of(node)) or self.is_declared("Locale"):
            return False
        imports = (one for one in self.nodes if one.type.startswith("import"))
        words = (text_of(one).rstrip(";").split() for one in imports)
        is_imported = ["import", "java.util.Locale"] in words
        return is_imported and not self._is_hidden_at(node)

    def _is_hidden_at(self, node: Node) -> bool:
        """Return whether the name of a class may mean an inherited one at a place."""
        return any(self._hides(one, is_local=False) for one in self.around(node))


def _block_of(node: Node, text: str) -> str:
    """Return a text of several lines as Java reads it: without their indentation."""
    first, *lines = text.split("\n")
    if first.strip(" ") or not lines or re.search(r"[^\S\n ]", text):
        raise UnknownError(node, "has other white space than spaces in several lines")
    counted = [one for one in lines[:-1] if one.strip()] + lines[-1:]
    indent = min(len(one) - len(one.lstrip(" ")) for one in counted)
    return "\n".join(one[indent:].rstrip(" ") for one in lines)
