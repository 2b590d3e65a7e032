"""Source code as a tree: what a call, or the head of a function, says.

tree-sitter parses Kotlin, Java and Swift. Their trees have different names for nodes of
the same meaning. `_source_kinds` has most of these names.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify.formats._source_kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from collections.abc import Set as AbstractSet

    from tree_sitter import Node

__all__ = [
    "AT_RUN_TIME",
    "CHANGED",
    "OF_LOOP",
    "PARAMETER",
    "Call",
    "Env",
    "Function",
    "Parameter",
    "Tree",
    "UnknownError",
    "Value",
    "argument_of",
    "children_of",
    "element_of",
    "expression_of",
    "line_of",
    "names_in",
    "parameters_of",
    "text_of",
    "tokens_of",
    "words_in",
]


Kinds: TypeAlias = "AbstractSet[str] | None"
Env: TypeAlias = "dict[int, Any]"
"""Values of variables of loops, by the nodes that declare them."""

Value: TypeAlias = Any
"""A text, a number, a truth, a list, a map, a pair (a tuple), or an object (`Made`)."""

AT_RUN_TIME = "is computed when the application runs"
CHANGED = "is changed in this file, or may be"
OF_LOOP = "is a variable of a loop"
PARAMETER = "is a parameter"
_RELEASE = {"#if!DEBUG", "#ifDEBUG#else", "#ifcanImport(TrustKit)", "#ifos(iOS)"}
_MAX_DEPTH = 30
_MAX_QUOTED = 60


class UnknownError(Exception):
    """Raised for an expression in source whose value the file does not say.

    Attributes:
        line: the line of the expression.
    """

    def __init__(self, node: Node, why: str) -> None:
        """Take the expression, and the reason, which follows its text."""
        text = " ".join(text_of(node).split())
        quoted = text if len(text) <= _MAX_QUOTED else f"{text[:_MAX_QUOTED]}…"
        self.line = line_of(node)
        super().__init__(f"`{quoted}` {why}")


class Parameter(NamedTuple):
    """A parameter: its name and label, its default, and whether it takes the rest."""

    name: Node
    label: str
    default: Node | None
    is_many: bool


class Function(NamedTuple):
    """A function of one expression."""

    node: Node
    name: Node
    parameters: list[Parameter]
    body: Node


class Call(NamedTuple):
    """A call: its receiver, its name, its arguments with their labels, its lambda.

    The line is that of the name. The name is empty if the node is no call. A safe call
    is made only if its receiver is not null.
    """

    node: Node
    line: int = 0
    receiver: Node | None = None
    name: str = ""
    arguments: Sequence[tuple[str, Node]] = ()
    block: Node | None = None
    is_safe: bool = False


def text_of(node: Node) -> str:
    """Return the source of a node, without backticks around a name."""
    return (node.text or b"").decode("utf-8").strip("`")


def line_of(node: Node) -> int:
    """Return the number of the first line of a node."""
    return node.start_point[0] + 1


def words_in(nodes: Iterable[Node]) -> set[str]:
    """Return all words in the source of some nodes."""
    return {*re.findall(r"\w+", " ".join(map(text_of, nodes)))}


def tokens_of(node: Node) -> set[str]:
    """Return the kinds of all parts of a node, signs and keywords included."""
    return {one.type for one in node.children}


def children_of(node: Node, kinds: Kinds = None) -> list[Node]:
    """Return the named children of a node, or some kinds of them; no comments."""
    inner = [one for one in node.named_children if "comment" not in one.type]
    return [one for one in inner if kinds is None or one.type in kinds]


class Tree:
    """The nodes of one file that have names, from the first to the last."""

    def __init__(self, root: Node, language: str) -> None:
        self.nodes = list(self.nodes_in(root))
        self._language = language
        self._parents: dict[int, Node] = {}
        self._optional: list[tuple[Node, Node, str]] = []
        self._depth = 0
        for node in self.nodes:
            is_part = node.type == "enum_body_declarations"  # of a body, in Java
            outer = self._parents[node.id] if is_part else node
            self._parents |= {child.id: outer for child in node.named_children}
        self._note_directives()

    @contextlib.contextmanager
    def deeper(self, node: Node) -> Iterator[None]:
        """Go down a level; source that is nested too deeply is refused."""
        if self._depth > _MAX_DEPTH:
            raise UnknownError(node, "is nested too deeply")
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1

    def parent(self, node: Node) -> Node:
        """Return the node around another; the whole file is around itself."""
        return self._parents.get(node.id, self.nodes[0])

    def around(self, node: Node, kinds: Kinds = None) -> Iterator[Node]:
        """Yield the nodes around one, from the inside; or those of some kinds."""
        outer = self._parents.get(node.id)
        while outer is not None:
            if kinds is None or outer.type in kinds:
                yield outer
            outer = self._parents.get(outer.id)

    def nodes_in(self, whole: Node) -> Iterator[Node]:
        """Yield a node and all in it, from the first to the last."""
        waiting = [whole]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.named_children)

    def _modifiers(self, node: Node) -> set[str]:
        """Return the modifiers of a declaration; annotations begin with ``@``."""
        listed = children_of(node, {"modifiers"})
        parts = [part for one in listed for part in (one.named_children or [one])]
        return {word for part in parts for word in text_of(part).split()}

    def _note_directives(self) -> None:
        began: list[tuple[Node, str]] = []
        for node in [one for one in self.nodes if one.type == "directive"]:
            text, before = re.sub(r"\s", "", text_of(node)), ""
            if text.startswith("#e") and began:  # also #else
                start, before = began.pop()
                self._optional.append((start, node, before))
            if text.startswith(("#if", "#else")):
                began.append((node, f"{before}{text}"))
        self._optional += [(start, self.nodes[0], text) for start, text in began]

    def check_always(self, node: Node) -> None:
        """Refuse a node that a build may leave out."""
        if self._conditional(node):
            raise UnknownError(node, "is under #if, so the build decides what counts")

    def count_release(self, node: Node) -> list[int]:
        """Count conditions of a release around a node as met; return their lines."""
        around = [one for one in self._conditional(node) if one[2] in _RELEASE]
        self._optional = [one for one in self._optional if one not in around]
        return [line_of(start) for start, *_ in around]

    def _conditional(self, node: Node) -> list[tuple[Node, Node, str]]:
        """Return where each condition of a build around a node begins and ends."""
        place = node.start_byte
        return [o for o in self._optional if o[0].start_byte <= place < o[1].end_byte]

    def call(self, node: Node) -> Call:
        """Return what a call says; nothing for another node, or a part of a call."""
        if node.type not in Kind.CALLS:
            return Call(node)
        if node.type != "call_expression":  # Java
            of = node.child_by_field_name
            target = of("name") or of("type") or node
            listed = of("arguments")
            arguments = [("", one) for one in children_of(listed)] if listed else []
            block = next((a for _, a in arguments if a.type in Kind.LAMBDAS), None)
            line, name = line_of(target), text_of(target)
            return Call(node, line, of("object"), name, arguments, block)
        outer = self.parent(node)
        if outer.type == node.type and outer.named_children[0] == node:
            return Call(node)
        arguments, block = [], None
        callee = node
        while callee.type == "call_expression":
            parts = [c for c in children_of(callee)[1:] if "suffix" not in c.type]
            parts += [
                o for c in children_of(callee, {"call_suffix"}) for o in children_of(c)
            ]
            for part in [one for one in parts if one.type != "type_arguments"]:
                if "lambda" in part.type:
                    block = part if part.type in Kind.LAMBDAS else children_of(part)[-1]
                else:
                    arguments += [argument_of(one) for one in children_of(part)]
            callee = callee.named_children[0]
        if callee.type != "navigation_expression" or len(children_of(callee)) == 1:
            return Call(node, line_of(callee), None, text_of(callee), arguments, block)
        receiver, *_, last = children_of(callee)
        name = text_of(last).lstrip(".?").strip("`")
        is_safe = any(child.type.startswith("?") for child in callee.children)
        return Call(node, line_of(last), receiver, name, arguments, block, is_safe)

    def call_of(self, block: Node) -> Call:
        """Return the call whose lambda a block is."""
        calls = map(self.call, self.around(block) if block.type in Kind.LAMBDAS else ())
        call = next((one for one in calls if one.name), Call(block))
        return call if call.block == block else Call(block)


def expression_of(body: Node | None) -> Node | None:
    """Return the only expression of a body, returned or not."""
    while body is not None and body.type in Kind.WRAPS:
        if text_of(body).startswith(("throw", "break", "continue")):
            return None
        inner = children_of(body)
        body = inner[0] if len(inner) == 1 else None
    return body


def parameters_of(node: Node) -> list[Parameter] | None:
    """Return the parameters of a function or a class; None if one is strange."""
    found: list[Parameter] = []
    heads = [c for c in node.children if c.type == "primary_constructor"] or [node]
    parts = [c for head in heads for c in head.children]
    kinds = {"function_value_parameters", "class_parameters", "formal_parameters"}
    parts = next((one.children for one in parts if one.type in kinds), parts)
    is_many, is_default = False, False
    for part in parts:
        if part.type in Kind.PARAMETERS:
            inner = children_of(part, Kind.NAMES)
            inner = names_in(children_of(part)[-1]) if "spread" in part.type else inner
            labels = part.children_by_field_name("external_name")
            names = [one for one in inner if one not in labels][:1]
            tokens = [c.type for c in part.children]
            if not names:
                return None
            own = part.children[tokens.index("=") + 1] if "=" in tokens else None
            words = {w for c in part.children for w in text_of(c).split()[:2]}
            is_many = is_many or "vararg" in words or "..." in tokens
            label = text_of((labels or names)[0])
            found.append(Parameter(names[0], label, own, is_many))
        elif is_default and found:
            found[-1] = found[-1]._replace(default=part)
        is_many = "vararg" in text_of(part) if "modifiers" in part.type else False
        is_default = part.type == "="
    return found


def element_of(node: Node) -> tuple[Node, Node | None, Node] | None:
    """Return the variable, the key or None, and the value of an element that is set."""
    if "assignment" not in node.type:
        return None
    left, right = node.named_children[0], node.named_children[-1]
    sign = "".join(c.type for c in node.children if not c.is_named)
    while left.type == "directly_assignable_expression" and left.named_children:
        left = left.named_children[0]
    inner = children_of(left)
    if sign == "+=" and left.type in Kind.NAMES:
        return left, None, right
    is_index = left.type in {"index_expression", "array_access"}
    if left.type == "call_expression" and len(inner) > 1:  # Swift
        for _ in ("call_suffix", "value_arguments"):
            inner[1:] = [o for part in inner[1:] for o in children_of(part)]
        is_index = not any(argument_of(one)[0] for one in inner[1:])
    if sign == "=" and is_index and len(inner) == 2 and inner[0].type in Kind.NAMES:  # noqa: PLR2004
        return inner[0], inner[1], right
    return None


def names_in(node: Node) -> list[Node]:
    """Return the names of a pattern, without those of types."""
    found, waiting = [], [node]
    while waiting:
        one = waiting.pop()
        found += [one] if one.type in Kind.NAMES else []
        waiting += [c for c in reversed(one.named_children) if "type" not in c.type]
    return found


def argument_of(node: Node) -> tuple[str, Node]:
    """Return the label and the value of an argument."""
    if node.type != "value_argument" or not node.named_children:
        return "", node
    *labels, value = children_of(node)
    is_labelled = any(child.type in {"=", ":"} for child in node.children)
    return (text_of(labels[0]) if labels and is_labelled else ""), (
        node if text_of(node).startswith("*") else value
    )
