"""Source code in Kotlin, Java and Swift: declarations, and the values of expressions.

tree-sitter parses; `_source` runs this in a process of its own. A value counts only if
the file alone says it: literals, constants, what is put together of these, and a few
functions of the languages' libraries. Everything else is unknown, with the reason.

A name means the declaration in the innermost scope around it. A variable counts if
nothing in the file changes it, and no other file can.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

__all__ = ["Code", "Declared", "Env", "UnknownError", "line_of", "text_of"]

Env: TypeAlias = "dict[int, Any]"
"""Values of variables of loops, by the nodes that declare them."""

NAMES = {"identifier", "simple_identifier"}
PATHS = {"navigation_expression", "field_access"}
LAMBDAS = {"lambda_literal", "lambda_expression"}
CALLS = {"call_expression", "method_invocation", "object_creation_expression"}
CHOICES = {
    *("if_expression", "ternary_expression", "when_expression", "switch_expression"),
    *("elvis_expression", "nil_coalescing_expression", "try_expression"),
}
FUNCTIONS = {"function_declaration", "method_declaration", "getter", "setter"}
_SCOPES = {
    *(*FUNCTIONS, *LAMBDAS, "constructor_declaration", "secondary_constructor"),
    *("class_declaration", "block", "statements", "catch_clause", "catch_block"),
}
_TOPS = {"source_file", "program"}
_BODIES = {"class_body", "enum_class_body", "enum_body", "interface_body"}
_INSIDE = {
    *(
        "parenthesized_expression",
        "as_expression",
        "value_argument",
        "tuple_expression",
    ),
    *("spread_expression", "interpolation", "interpolated_expression"),
}
_LISTS = {
    *("arrayOf", "listOf", "setOf", "asList", "of", "mutableListOf", "arrayListOf"),
    *("mutableSetOf", "hashSetOf", "mapOf", "mutableMapOf", "hashMapOf", "linkedMapOf"),
}
_SAME = {
    "toTypedArray",
    "toList",
    "toSet",
    "toArray",
    "entrySet",
    "entries",
    "toString",
}
_CHANGERS = {
    *("add", "addAll", "append", "clear", "merge", "put", "putAll", "remove", "set"),
    *("removeAll", "removeValue", "updateValue", "removeIf", "replaceAll", "insert"),
    *("plusAssign", "minusAssign", "compute", "putIfAbsent", "retainAll", "removeAt"),
}
_ADDRESSES = {"URL", "URI", "create", "parse", "toHttpUrl", "toUri"}
_OF_TEXTS: dict[str, Any] = {
    "removePrefix": str.removeprefix,
    "removeSuffix": str.removesuffix,
    "replace": str.replace,
    "concat": lambda text, more: text + more,
}
_ADDRESS = re.compile(r"[a-z]+://([\w.-]+)(?::\d+)?(?:[/?#]|\Z)")
_AT_RUN_TIME = "is computed when the application runs"
_PARAMETER = "is a parameter"
_MAX_DEPTH = 30
_MAX_SIZE = 10_000
_MAX_QUOTED = 60


class UnknownError(Exception):
    """Raised for an expression whose value the file does not say.

    Attributes:
        line: its number.
    """

    def __init__(self, node: Node, why: str) -> None:
        """Take the expression, and the reason behind its text."""
        text = " ".join(text_of(node).split())
        quoted = text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"
        self.line = line_of(node)
        super().__init__(f"`{quoted}` {why}")


class Declared(NamedTuple):
    """A declaration.

    Attributes:
        name: the node of the name.
        scope: the node in which it is known.
        value: its expression.
        why: the reason why the file does not say its value, or empty.
        owner: the class of a member.
    """

    name: Node
    scope: Node
    value: Node | None
    why: str
    owner: str = ""


class Call(NamedTuple):
    """A call: what it is of, its name, its arguments with their labels, its lambda.

    Attributes:
        line: the number of the line of the name.
        is_safe: it is made only if the receiver is there.
    """

    line: int
    receiver: Node | None
    name: str
    arguments: list[tuple[str, Node]]
    block: Node | None = None
    is_safe: bool = False


def text_of(node: Node) -> str:
    """Return the source of a node, without backticks around a name."""
    return (node.text or b"").decode("utf-8").strip("`")


def line_of(node: Node) -> int:
    """Return the number of its first line."""
    return node.start_point[0] + 1


def _named(node: Node) -> list[Node]:
    return [one for one in node.named_children if "comment" not in one.type]


class Code:
    """One file.

    Attributes:
        nodes: all that have names, from the first to the last.
    """

    def __init__(self, root: Node) -> None:
        self.nodes: list[Node] = []
        self._parents: dict[int, Node] = {}
        self._declared: dict[str, list[Declared]] = {}
        self._changed: set[str] = set()
        waiting = [root]
        while waiting:
            node = waiting.pop()
            self.nodes.append(node)
            for child in reversed(node.named_children):
                self._parents[child.id] = node
                waiting.append(child)
        for node in self.nodes:
            self._note_change(node)
        for node in self.nodes:
            for one in self._declarations(node):
                self._declared.setdefault(text_of(one.name), []).append(one)

    def around(self, node: Node) -> Iterator[Node]:
        """Yield the nodes around one, from the inside."""
        outer = self._parents.get(node.id)
        while outer is not None:
            yield outer
            outer = self._parents.get(outer.id)

    # ---- calls ---------------------------------------------------------------------

    def call(self, node: Node) -> Call | None:
        """Return what a call says; None for any other node, and for a part of one."""
        if node.type not in CALLS:
            return None
        if node.type != "call_expression":  # Java
            target = node.child_by_field_name("name") or node.child_by_field_name(
                "type"
            )
            listed = node.child_by_field_name("arguments")
            arguments = [("", one) for one in _named(listed)] if listed else []
            block = next((a for _, a in arguments if a.type in LAMBDAS), None)
            name = text_of(target) if target else ""
            line = line_of(target or node)
            of = node.child_by_field_name("object")
            return Call(line, of, name, arguments, block)
        outer = self._parents.get(node.id)
        if outer and outer.type == node.type and outer.named_children[0].id == node.id:
            return None
        arguments, block = [], None
        callee = node
        while callee.type == "call_expression":
            parts = [c for c in _named(callee)[1:] if "suffix" not in c.type]
            for part in [c for c in _named(callee) if "suffix" in c.type]:
                parts += _named(part)
            for part in parts:
                if "lambda" in part.type:
                    block = part if part.type in LAMBDAS else _named(part)[-1]
                else:
                    arguments += [_argument(one) for one in _named(part)]
            callee = callee.named_children[0]
        if callee.type != "navigation_expression":
            return Call(line_of(callee), None, text_of(callee), arguments, block)
        receiver, *_, last = _named(callee)
        name = text_of(last).lstrip(".?").strip("`")
        is_safe = any(child.type.startswith("?") for child in callee.children)
        return Call(line_of(last), receiver, name, arguments, block, is_safe)

    def call_of(self, block: Node) -> tuple[Node, Call] | None:
        """Return the call whose lambda a block is."""
        for outer in self.around(block):
            call = self.call(outer)
            if call is not None:
                return (outer, call) if call.block == block else None
        return None

    # ---- declarations --------------------------------------------------------------

    def _note_change(self, node: Node) -> None:
        """Note a name whose value, or whose elements, something changes."""
        left = None
        if "assignment" in node.type or node.type == "update_expression":
            left = node.named_children[0]
        elif (call := self.call(node)) and call.name in _CHANGERS:
            left = call.receiver
        while left is not None and left.type not in NAMES:
            if left.type in PATHS:
                self._changed.add(text_of(left).rpartition(".")[2])
            left = left.named_children[0] if left.named_children else None
        if left is not None:
            self._changed.add(text_of(left))

    def _declarations(self, node: Node) -> Iterator[Declared]:  # noqa: C901 - by type
        """Yield what a node declares."""
        kind, outer = node.type, self._parents.get(node.id)
        name = node.child_by_field_name("name")
        if kind == "variable_declarator" and name and outer:  # Java
            yield self._variable(
                outer, name, node.child_by_field_name("value"), "final"
            )
        elif kind == "property_declaration":  # Kotlin and Swift
            yield from self._property(node, name)
        elif kind in {"for_statement", "enhanced_for_statement"}:
            target = name or node.child_by_field_name("item") or node.named_children[0]
            for one in _names_in(target):
                yield Declared(one, node, None, "is a variable of a loop")
        elif kind in LAMBDAS:
            heads = [c for c in node.named_children if c.type == "lambda_parameters"]
            if listed := node.child_by_field_name("parameters"):
                heads = [listed] if listed.type != "formal_parameters" else []
            for one in [name for head in heads for name in _names_in(head)]:
                yield Declared(one, node, None, _PARAMETER)
        elif kind in {"parameter", "class_parameter", "formal_parameter"} or (
            kind in {"catch_formal_parameter", "resource", "type_pattern"}
        ):
            found = [name] if name else [c for c in _named(node) if c.type in NAMES]
            for one in found[-1:]:
                yield Declared(one, self._scope(one), None, _PARAMETER)
        elif kind == "catch_block":
            for one in _names_in(node)[:1]:
                yield Declared(one, node, None, _AT_RUN_TIME)
        bound = node.child_by_field_name("bound_identifier")
        if bound and outer and outer.type != "property_declaration":
            yield Declared(bound, self._scope(bound), None, _AT_RUN_TIME)

    def _scope(self, node: Node) -> Node:
        kinds = _SCOPES | _TOPS
        return next(outer for outer in self.around(node) if outer.type in kinds)

    def _property(self, node: Node, named: Node | None) -> Iterator[Declared]:
        tokens = [child.type for child in node.children]
        value = node.child_by_field_name("value")
        if value is None and "=" in tokens:
            value = node.children[tokens.index("=") + 1]
        names: list[Node] = _names_in(named) if named else []
        for child in node.named_children:
            if "variable_declaration" in child.type:
                names = _names_in(child)
            elif child.type == "property_delegate":
                value = child.named_children[0]
            elif child.type in {"getter", "computed_property"}:
                value = None
        is_fixed = {"val", "let"} & {
            *tokens,
            *(text_of(c) for c in node.named_children),
        }
        for name in names:
            one = value if len(names) == 1 else None
            yield self._variable(node, name, one, "" if is_fixed else "val or let")

    def _variable(
        self, node: Node, name: Node, value: Node | None, fixed_by: str
    ) -> Declared:
        """Return the declaration of a variable, or of a member."""
        scope = self._parents.get(node.id) or node
        head = text_of(node).partition("=")[0].split()
        is_wide, owner = scope.type in _TOPS, ""
        if scope.type in _BODIES:
            is_wide = True
            scope, owner = self._class(scope)
        why = ""
        if value is None:
            why = _AT_RUN_TIME
        elif text_of(name) in self._changed:
            why = "is changed in this file"
        elif is_wide and fixed_by and fixed_by not in head and "private" not in head:
            why = f"can be changed by other files; declare it {fixed_by}"
        elif {"open", "override", "lateinit"} & {*head}:
            why = "can be another one in a class that inherits it"
        return Declared(name, scope, value, why, owner)

    def _class(self, body: Node) -> tuple[Node, str]:
        """Return the scope and the class of members: of a companion, those around."""
        declared = self._parents[body.id]
        if declared.type == "companion_object":
            body = self._parents[declared.id]
            declared = self._parents[body.id]
        name = declared.child_by_field_name("name")
        return body, text_of(name) if name else ""

    def declared_in(self, scope: Node) -> list[Node]:
        """Return the names that a loop or a lambda declares, in their order."""
        found = [o.name for d in self._declared.values() for o in d if o.scope == scope]
        return sorted(found, key=lambda name: name.start_byte)

    def find(self, use: Node) -> Declared | None:
        """Return the declaration that a name means; None if the file has none.

        Raises:
            UnknownError: there are two in one scope.
        """
        found: list[Declared] = []
        for one in self._declared.get(text_of(use), ()):
            inside = one.scope.start_byte <= use.start_byte < one.scope.end_byte
            is_wide = one.owner or one.scope.type in {*_TOPS, "class_declaration"}
            if inside and (is_wide or one.name.start_byte <= use.start_byte):
                found.append(one)
        size = min((_size(one.scope) for one in found), default=0)
        nearest = [one for one in found if _size(one.scope) == size]
        if len(nearest) > 1 and use.id not in {one.name.id for one in nearest}:
            raise UnknownError(use, "is declared more than once")
        return nearest[0] if nearest else None

    def member(self, path: Node) -> Declared | None:
        """Return the declaration that ``Class.name`` or ``this.name`` means."""
        *_, owner, name = ["", *text_of(path).replace("?", "").split(".")]
        is_this = owner.strip() in {"this", "self", "Self", "Companion"}
        around = list(self.around(path)) if is_this else []
        found = [
            one
            for one in self._declared.get(name.strip(), ())
            if one.owner
            and (one.owner == owner.strip() or (is_this and one.scope in around))
        ]
        return found[0] if len(found) == 1 else None

    # ---- values --------------------------------------------------------------------

    def value(self, node: Node, env: Env, depth: int = 0) -> Any:  # noqa: ANN401
        """Return the value of an expression: a text, a list, a pair or a dictionary.

        Raises:
            UnknownError: the file does not say it.
        """
        if depth > _MAX_DEPTH:
            raise UnknownError(node, "is nested too deeply")
        found = self._value(node, env, depth + 1)
        if isinstance(found, str | list) and len(found) > _MAX_SIZE:
            raise UnknownError(node, "is too long")
        return found

    def _value(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
        kind, inner = node.type, _named(node)
        if "string_literal" in kind:
            return self._text(node, env, depth)
        if kind in NAMES or kind in PATHS:
            return self._meant(node, env, depth)
        if kind in CHOICES:
            raise UnknownError(node, "is a choice")
        if kind in _INSIDE and inner:
            return self.value(inner[0], env, depth)
        if kind == "boolean_literal":
            return text_of(node) == "true"
        if kind in {"binary_expression", "additive_expression"} and len(inner) == 2:  # noqa: PLR2004
            left, right = (self.value(one, env, depth) for one in inner)
            if "+" in {child.type for child in node.children}:
                if isinstance(left, str) and isinstance(right, str):
                    return left + right
                if isinstance(left, list) and isinstance(right, list):
                    return left + right
        elif kind in {"array_initializer", "array_literal", "collection_literal"}:
            return self._flat(inner, env, depth)
        elif kind == "array_creation_expression" and "initializer" in inner[-1].type:
            return self.value(inner[-1], env, depth)
        elif kind == "infix_expression" and text_of(inner[1]) == "to":
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
        raise UnknownError(node, _AT_RUN_TIME)

    def _flat(self, nodes: list[Node], env: Env, depth: int) -> list[Any]:
        """Return the values of arguments or elements; those of a spread one by one."""
        found: list[Any] = []
        for node in nodes:
            value = self.value(node, env, depth)
            is_spread = text_of(node).startswith("*") and isinstance(value, list)
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
                parts.append(str(self.value(child, env, depth)))
            elif "escape" in child.type or "\\" in text_of(child):
                raise UnknownError(node, "has an escape; write the character itself")
            else:
                parts.append((child.text or b"").decode("utf-8"))
        return "".join(parts)

    def _meant(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a name, or of a path of names."""
        text = text_of(node)
        last = text.rpartition(".")[2].strip()
        if last.startswith("kTSK"):  # TrustKit's names of keys, of which one is odd
            is_odd = last.startswith("kTSKExclude")
            return f"{'kSK' if is_odd else 'TSK'}{last.removeprefix('kTSK')}"
        if text == "it":
            for outer in self.around(node):
                if outer.id in env:
                    return env[outer.id]
        declared = self.find(node) if node.type in NAMES else self.member(node)
        if declared is not None:
            if declared.name.id in env:
                return env[declared.name.id]
            if declared.why or declared.value is None:
                raise UnknownError(node, declared.why or _AT_RUN_TIME)
            return self.value(declared.value, env, depth)
        if node.type in NAMES:
            raise UnknownError(node, "is declared nowhere in this file")
        first = _named(node)[0]
        if text_of(first).endswith("BuildConfig"):
            raise UnknownError(node, "is made when the application is built")
        return self._part(node, first, last, env, depth)

    def _part(self, node: Node, of: Node, name: str, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a property of a value: of an address, a pair, a list."""
        if name == "host":
            return self._host(node, of, env, depth)
        if name in {"key", "value", *_SAME}:
            value = self.value(of, env, depth)
            if name in _SAME:
                return value
            if isinstance(value, tuple):
                return value[name == "value"]
        declared = self.find(of) if of.type in NAMES else None
        if declared is not None and declared.why:
            raise UnknownError(node, f"is of `{text_of(of)}`, which {declared.why}")
        raise UnknownError(node, "is declared nowhere in this file")

    def _host(self, whole: Node, node: Node, env: Env, depth: int) -> str:
        """Return the host of an address that is made of a text."""
        call = self.call(node)
        if call is not None and call.name in _ADDRESSES:
            texts = [one for _, one in call.arguments] or [call.receiver or node]
            address = self.value(texts[0], env, depth)
            match = _ADDRESS.match(address) if isinstance(address, str) else None
            if match is not None:
                return match[1]
        declared = self.find(node) if node.type in NAMES else None
        if declared is None or declared.value is None or declared.why:
            raise UnknownError(whole, "is declared nowhere in this file")
        return self._host(whole, declared.value, env, depth)

    def _called(self, node: Node, call: Call, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a call of a function that is known."""
        arguments = [one for _, one in call.arguments]
        is_plain = call.receiver is None or text_of(call.receiver) in {"List", "Arrays"}
        if call.name in _LISTS and is_plain:
            return self._flat(arguments, env, depth)
        if call.name == "lazy" and call.block and len(_named(call.block)) == 1:
            return self.value(_named(call.block)[0], env, depth)
        if call.receiver is not None and not call.is_safe:
            if call.name in {"getHost", "getKey", "getValue", *_SAME}:
                name = call.name.removeprefix("get")
                name = name if name in _SAME else name.lower()
                return self._part(node, call.receiver, name, env, depth)
            if call.name in _OF_TEXTS:
                given = [
                    self.value(one, env, depth) for one in (call.receiver, *arguments)
                ]
                if all(isinstance(one, str) and one for one in given):
                    return _OF_TEXTS[call.name](*given)
        raise UnknownError(node, _AT_RUN_TIME)


# Keys of TrustKit about something else than pins, whose values may be anything.
_PASSED_OVER = {"TSKReportUris", "TSKPublicKeyAlgorithms"}


def _size(node: Node) -> int:
    return node.end_byte - node.start_byte


def _names_in(node: Node) -> list[Node]:
    """Return the names of a pattern, without those of types."""
    if node.type in NAMES:
        return [node]
    inner = [one for one in node.named_children if "type" not in one.type]
    return [name for one in inner for name in _names_in(one)]


def _argument(node: Node) -> tuple[str, Node]:
    """Return the label and the value of an argument."""
    if node.type != "value_argument" or not node.named_children:
        return "", node
    *labels, value = _named(node)
    is_labelled = any(child.type in {"=", ":"} for child in node.children)
    return (text_of(labels[0]) if labels and is_labelled else ""), (
        node if text_of(node).startswith("*") else value
    )
