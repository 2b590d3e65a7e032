"""Source code as a tree: kinds of nodes, and what a call or a head of a function says.

tree-sitter parses Kotlin, Java and Swift. The names of nodes differ, and what they mean
is the same: so this is the place that knows the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

__all__ = [
    "AT_RUN_TIME",
    "BASES",
    "BEGINNINGS",
    "BODIES",
    "CALLS",
    "CHOICES",
    "CLASSES",
    "COPIES",
    "EACH",
    "EMPTY",
    "EXTENDED",
    "FROZEN",
    "FUNCTIONS",
    "JUMPS",
    "LAMBDAS",
    "LISTS",
    "LOOPS",
    "NAMES",
    "OF_LOOP",
    "PARAMETER",
    "PARAMETERS",
    "PATHS",
    "PLAIN_ANNOTATIONS",
    "SIZES",
    "TOPS",
    "TYPES",
    "VIEWS",
    "WRAPPED",
    "WRAPS",
    "Call",
    "Env",
    "Function",
    "Parameter",
    "Tree",
    "UnknownError",
    "argument_of",
    "children_of",
    "element_of",
    "expression_of",
    "line_of",
    "names_in",
    "parameters_of",
    "text_of",
    "words_of",
]


def words_of(text: str) -> set[str]:
    """Return the words of a text, as a set of names that reads like one."""
    return set(text.split())


Env: TypeAlias = "dict[int, Any]"
"""Values of variables of loops, by the nodes that declare them."""

NAMES = {"identifier", "simple_identifier"}
PATHS = {"navigation_expression", "field_access"}
LAMBDAS = {"lambda_literal", "lambda_expression"}
CALLS = {"call_expression", "method_invocation", "object_creation_expression"}
CHOICES = words_of("""
    if_expression ternary_expression when_expression switch_expression elvis_expression
    nil_coalescing_expression try_expression
""")
FUNCTIONS = words_of("""
    function_declaration method_declaration getter setter constructor_declaration
    secondary_constructor anonymous_function init_declaration subscript_declaration
    compact_constructor_declaration computed_getter computed_setter deinit_declaration
""")
TOPS = {"source_file", "program"}
BODIES = {"class_body", "enum_class_body", "enum_body", "interface_body"}
CLASSES = words_of("""
    class_declaration object_declaration companion_object object_literal
    enum_declaration interface_declaration record_declaration object_creation_expression
    protocol_declaration
""")
BASES = words_of("""
    delegation_specifiers superclass super_interfaces extends_interfaces
    inheritance_specifier class_body
""")
# Annotations that leave a name what it is.
PLAIN_ANNOTATIONS = words_of("""
    JvmField JvmStatic JvmSynthetic Suppress SuppressLint SuppressWarnings Keep NonNull
    Nullable VisibleForTesting Named Provides Singleton Inject Reusable Override
""")
EACH = {"forEach", "forEachIndexed", "fold"}
EXTENDED = {"function_declaration", "property_declaration", "anonymous_function"}
TYPES = {"user_type", "nullable_type", "parenthesized_type", "context_receiver"}
LOOPS = {"for_statement", "enhanced_for_statement"}
FROZEN = {"listOf", "setOf", "mapOf", "of", "singletonList", "singleton"}
LISTS = FROZEN | words_of("""
    arrayOf asList mutableListOf arrayListOf mutableSetOf hashSetOf mutableMapOf
    hashMapOf linkedMapOf
""")
WRAPPED = words_of("""
    expression_statement block statements function_body constructor_body
""")
BEGINNINGS = words_of("""
    constructor_declaration static_initializer anonymous_initializer init_declaration
""")
SIZES = {"size", "length", "count"}
EMPTY = words_of("""
    ArrayList LinkedList HashSet LinkedHashSet TreeSet HashMap LinkedHashMap TreeMap
""")
OF_LOOP = "is a variable of a loop"
WRAPS = words_of("""
    function_body block statements return_statement return_expression computed_property
    control_transfer_statement
""")
COPIES = words_of("""
    toTypedArray toList toSet toArray toString stream asSequence asIterable
""")
JUMPS = words_of("""
    return_statement return_expression break_statement jump_expression
    continue_statement throw_statement throw_expression control_transfer_statement
""")
VIEWS = {"entries", "entrySet"}  # through which a map can be changed
PARAMETERS = words_of("""
    parameter class_parameter formal_parameter lambda_parameter catch_formal_parameter
    resource type_pattern spread_parameter
""")
AT_RUN_TIME = "is computed when the application runs"
PARAMETER = "is a parameter"
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


class Parameter(NamedTuple):
    """A parameter: its name, its label for callers, what it is if it is not given.

    Attributes:
        is_many: it takes the rest of the arguments.
    """

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


def children_of(node: Node) -> list[Node]:
    """Return the nodes with names in a node, without comments."""
    return [one for one in node.named_children if "comment" not in one.type]


class Tree:
    """The nodes of one file.

    Attributes:
        nodes: all that have names, from the first to the last.
    """

    def __init__(self, root: Node, language: str) -> None:
        self.nodes = list(self.nodes_in(root))
        self._language = language
        self._parents: dict[int, Node] = {}
        self._optional: list[tuple[int, int]] = []
        for node in self.nodes:
            is_part = node.type == "enum_body_declarations"  # of a body, in Java
            outer = self._parents[node.id] if is_part else node
            self._parents |= {child.id: outer for child in node.named_children}
        self._note_directives()

    def around(self, node: Node) -> Iterator[Node]:
        """Yield the nodes around one, from the inside."""
        outer = self._parents.get(node.id)
        while outer is not None:
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
        listed = [one for one in node.named_children if one.type == "modifiers"]
        return {
            word
            for one in listed
            for part in (one.named_children or [one])
            for word in text_of(part).split()
        }

    def _note_directives(self) -> None:
        """Note the lines that a build may leave out."""
        began: list[int] = []
        for node in [one for one in self.nodes if one.type == "directive"]:
            if text_of(node).startswith("#if"):
                began.append(node.start_byte)
            elif text_of(node).startswith("#endif") and began:
                self._optional.append((began.pop(), node.end_byte))
        self._optional += [(start, self.nodes[0].end_byte) for start in began]

    def check_always(self, node: Node) -> None:
        """Refuse what a build may leave out.

        Raises:
            UnknownError: it is between ``#if`` and ``#endif``.
        """
        if any(start <= node.start_byte < end for start, end in self._optional):
            raise UnknownError(node, "is under #if, so the build decides what counts")

    def call(self, node: Node) -> Call | None:
        """Return what a call says; None for any other node, and for a part of one."""
        if node.type not in CALLS:
            return None
        if node.type != "call_expression":  # Java
            of = node.child_by_field_name
            target = of("name") or of("type") or node
            listed = of("arguments")
            arguments = [("", one) for one in children_of(listed)] if listed else []
            block = next((a for _, a in arguments if a.type in LAMBDAS), None)
            line, name = line_of(target), text_of(target)
            return Call(line, of("object"), name, arguments, block)
        outer = self._parents.get(node.id)
        if outer and outer.type == node.type and outer.named_children[0].id == node.id:
            return None
        arguments, block = [], None
        callee = node
        while callee.type == "call_expression":
            parts = [c for c in children_of(callee)[1:] if "suffix" not in c.type]
            for part in [c for c in children_of(callee) if "suffix" in c.type]:
                parts += children_of(part)
            parts = [one for one in parts if one.type != "type_arguments"]
            for part in parts:
                if "lambda" in part.type:
                    block = part if part.type in LAMBDAS else children_of(part)[-1]
                else:
                    arguments += [argument_of(one) for one in children_of(part)]
            callee = callee.named_children[0]
        if callee.type != "navigation_expression" or len(children_of(callee)) == 1:
            return Call(line_of(callee), None, text_of(callee), arguments, block)
        receiver, *_, last = children_of(callee)
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


def expression_of(body: Node | None) -> Node | None:
    """Return the only expression of a body, returned or not."""
    while body is not None and body.type in WRAPS:
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
        if part.type in PARAMETERS:
            inner = [c for c in children_of(part) if c.type in NAMES]
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
    """Return the variable, the key and the value where an assignment sets an element.

    The key is None where it adds to a list.
    """
    left, right = node.named_children[0], node.named_children[-1]
    sign = "".join(c.type for c in node.children if not c.is_named)
    while left.type == "directly_assignable_expression" and left.named_children:
        left = left.named_children[0]
    inner = children_of(left)
    if sign == "+=" and left.type in NAMES:
        return left, None, right
    is_index = left.type in {"index_expression", "array_access"}
    if left.type == "call_expression" and len(inner) > 1:  # Swift
        inner = [inner[0], *(o for part in inner[1:] for o in children_of(part))]
        inner = [inner[0], *(o for part in inner[1:] for o in children_of(part))]
        if any(argument_of(one)[0] for one in inner[1:]):
            return None
        is_index = True
    if sign == "=" and is_index and len(inner) == 2 and inner[0].type in NAMES:  # noqa: PLR2004
        return inner[0], inner[1], right
    return None


def names_in(node: Node) -> list[Node]:
    """Return the names of a pattern, without those of types."""
    if node.type in NAMES:
        return [node]
    inner = [one for one in node.named_children if "type" not in one.type]
    return [name for one in inner for name in names_in(one)]


def argument_of(node: Node) -> tuple[str, Node]:
    """Return the label and the value of an argument."""
    if node.type != "value_argument" or not node.named_children:
        return "", node
    *labels, value = children_of(node)
    is_labelled = any(child.type in {"=", ":"} for child in node.children)
    return (text_of(labels[0]) if labels and is_labelled else ""), (
        node if text_of(node).startswith("*") else value
    )
