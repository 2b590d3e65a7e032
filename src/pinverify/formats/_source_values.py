"""Source code in Kotlin, Java and Swift: declarations, and the values of expressions.

tree-sitter parses; `_parser_process` runs this in a process of its own. A value counts
only if the file alone says it: literals, constants, what is put together of these, and
a few functions of the languages' libraries. All else is unknown, with the reason.

A name means the declaration in the innermost scope around it, unless something between
them may hide that: a class that inherits, a block whose `this` has names of its own. A
variable counts if nothing in the file changes it, and no other file can: each place
where its name stands must be one that is known to read it.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from tree_sitter import Node

__all__ = ["Code", "Declared", "Env", "UnknownError", "line_of", "text_of"]

Env: TypeAlias = "dict[int, Any]"
"""Values of variables of loops, by the nodes that declare them."""


def _words(text: str) -> set[str]:
    return set(text.split())


NAMES = {"identifier", "simple_identifier"}
PATHS = {"navigation_expression", "field_access"}
LAMBDAS = {"lambda_literal", "lambda_expression"}
CALLS = {"call_expression", "method_invocation", "object_creation_expression"}
CHOICES = _words("""
    if_expression ternary_expression when_expression switch_expression elvis_expression
    nil_coalescing_expression try_expression
""")
FUNCTIONS = _words("""
    function_declaration method_declaration getter setter constructor_declaration
    secondary_constructor anonymous_function init_declaration subscript_declaration
    compact_constructor_declaration computed_getter computed_setter deinit_declaration
""")
TOPS = {"source_file", "program"}
_BODIES = {"class_body", "enum_class_body", "enum_body", "interface_body"}
_SCOPES = _words("""
    for_statement class_declaration block statements catch_clause catch_block
""").union(FUNCTIONS, LAMBDAS, _BODIES, TOPS)
_NAMED = {*FUNCTIONS, *_BODIES, "method_invocation"}
_WIDE = {*TOPS, *_BODIES, "class_declaration"}
_CLASSES = _words("""
    class_declaration object_declaration companion_object object_literal
    enum_declaration interface_declaration record_declaration object_creation_expression
    protocol_declaration
""")
_BASES = _words("""
    delegation_specifiers superclass super_interfaces extends_interfaces
    inheritance_specifier class_body
""")
# Classes of the systems, which have no members with the names of constants.
_PLAIN_BASES = _words("""
    extends implements UIResponder UIApplicationDelegate NSObject Activity
    AppCompatActivity ComponentActivity FragmentActivity Application Service Fragment
    ViewModel Interceptor URLSessionDelegate ObservableObject OkHttpClientFactory
""")
# Blocks with no `this` of their own, or with one of a class that is known.
_PLAIN_BLOCKS = _words("""
    also let forEach lazy map use forEachIndexed onEach runBlocking launch async
    withContext synchronized thread
""")
_OF_KOIN = {"single", "factory", "module"}  # plain if the file imports that library
# What a text, or something made of texts, may be declared as in Kotlin. A function of
# another file can be meant by a name where it is of a wider type.
_TYPES_OF_TEXTS = _words("""
    String List Set Map Collection Iterable Array Pair Boolean Int out MutableList
    MutableSet MutableMap ArrayList HashSet HashMap LinkedHashMap kotlin collections
""")
# Annotations that leave a name what it is.
_PLAIN_ANNOTATIONS = _words("""
    JvmField JvmStatic JvmSynthetic Suppress SuppressLint SuppressWarnings Keep NonNull
    Nullable VisibleForTesting Named Provides Singleton Inject Reusable Override
""")
OPERATORS = {"iterator", "next", "hasNext", "component1", "component2"}
_CHANGING = _words("""
    clear set remove removeAt removeIf removeAll removeFirst removeLast retainAll
    replaceAll sort fill reverse shuffle addFirst addLast insert
""")
EACH = {"forEach", "forEachIndexed", "fold"}
_BUILDING = {"buildList", "buildSet", "buildMap"}
_OPEN = {"open", "override", "abstract", "var"}
_ENTRIES = {"switch_entry", "when_entry"}
_BINDERS = {"property_declaration", "for_statement"}
_EXTENDED = {"function_declaration", "property_declaration", "anonymous_function"}
_TYPES = {"user_type", "nullable_type", "parenthesized_type", "context_receiver"}
_HEADS = {*_TYPES, *NAMES, "variable_declaration", "function_value_parameters"}
_BUILDERS = re.compile(
    r"(?:okhttp3\.)?(?:CertificatePinner|OkHttpClient|Retrofit|Request)"
    r"(?:\.Builder\(\).*|\.Builder|)",
    re.DOTALL,
)
# The places where a name stands that is read, by the node around it; and those where it
# is not the name of a variable.
_READS = _words("""
    value_argument argument_list interpolation interpolated_expression binary_expression
    additive_expression infix_expression equality_expression comparison_expression
    conjunction_expression disjunction_expression parenthesized_expression
    tuple_expression spread_expression as_expression variable_declarator
    property_declaration array_literal collection_literal when_subject array_initializer
    dictionary_literal return_statement statements return_expression
    control_transfer_statement function_body block expression_statement for_statement
    enhanced_for_statement assignment assignment_expression call_expression
    index_expression array_access if_statement guard_statement
    directly_assignable_expression
""").union(PATHS, LAMBDAS, CHOICES)
_NO_VARIABLES = _words("""
    value_argument_label navigation_suffix user_type qualified_identifier
    scoped_identifier import package_header package_declaration annotation
    marker_annotation type_alias directive label
""")
# Where a list may stand that something could change under another name.
LOOPS = {"for_statement", "enhanced_for_statement"}
_LIST_READS = LOOPS | _words("""
    spread_expression interpolation interpolated_expression binary_expression
    additive_expression parenthesized_expression
""")
_INSIDE = _words("""
    parenthesized_expression as_expression tuple_expression spread_expression
    interpolation interpolated_expression
""")
_OF_LISTS = {"List", "Set", "Map", "Arrays", "Stream", "Collections"}
_STATIC = {"of", "asList", "singletonList", "singleton", "unmodifiableList"}
_FROZEN = {"listOf", "setOf", "mapOf", "of", "singletonList", "singleton"}
_LISTS = _FROZEN | _words("""
    arrayOf asList mutableListOf arrayListOf mutableSetOf hashSetOf mutableMapOf
    hashMapOf linkedMapOf
""")
_OF_THIS_FILE = {"private", "fileprivate"}
_WRAPPED = _words("""
    expression_statement block statements function_body constructor_body
""")
_BEGINNINGS = _words("""
    constructor_declaration static_initializer anonymous_initializer init_declaration
""")
_NUMBERS = {"number_literal", "decimal_integer_literal", "integer_literal"}
_SIZES = {"size", "length", "count"}
_EMPTY = _words("""
    ArrayList LinkedList HashSet LinkedHashSet TreeSet HashMap LinkedHashMap TreeMap
""")
_SUMS = ("+", "+=", "plus", "plusAssign")
_SETTERS = ("set", "subscript")
_ADDING = {"add", "append", "addAll", "put", "putAll"}
_OF_LOOP = "is a variable of a loop"
_MAKERS = {("Pair", 2), ("NSNumber", 1), ("Array", 1)}
_WRAPS = _words("""
    function_body block statements return_statement return_expression computed_property
    control_transfer_statement
""")
_COPIES = _words("""
    toTypedArray toList toSet toArray toString stream asSequence asIterable
""")
_PLAIN_READS = {"forEach", "getKey", "getValue", "key", "value", "map", "indices"}
_BINARY = "binary_expression"
_MADE_OF = {"constructor_declaration", "init_declaration"}
_PLACES = {"block", "constructor_body", "statements", "function_body", *TOPS}
_THESE = {"this_expression", "this", "self_expression"}
_JUMPS = _words("""
    return_statement return_expression break_statement jump_expression
    continue_statement throw_statement throw_expression control_transfer_statement
""")
_CHAINED = {"map", "forEach", "apply", "also", "let", "run", "get"}
_PLAIN_PROTOCOLS = {"String", "CaseIterable"}
_HALVES = {"key": 0, "value": 1, "first": 0, "second": 1}
_VIEWS = {"entries", "entrySet"}  # through which a map can be changed
_SAME = _COPIES | _VIEWS
_ADDRESSES = {"URL", "URI", "URI.create", "Uri.parse", "HttpUrl.parse", "HttpUrl.get"}
_TO_ADDRESSES = {"toHttpUrl", "toUri"}
_OF_TEXTS: dict[str, Any] = {
    "removePrefix": str.removeprefix,
    "removeSuffix": str.removesuffix,
    "replace": str.replace,
    "concat": lambda text, more: text + more,
}
_ADDRESS = re.compile(r"[a-z]+://([\w.-]+)(?::\d+)?(?:[/?#]|\Z)")
_SETS = re.compile(r"Set\b|SetOf\b|\bsetOf\b|HashMap|hashMapOf|Map\.of")
_IN_ORDER = re.compile(r"\bto\w*(?:Array|List)\b|\bmap\b|Indexed|\w+List\b|\baddAll\b")
_CASTS = re.compile(r"\bas\??\s+[\w.]*(?:Mutable|ArrayList)|\bCollections\b")
_OURS = re.compile(r"(?:kotlinx?|java|javax|android|androidx|okhttp3|org\.koin)\.")
_CHANGED = "is changed in this file, or may be"
_PARAMETERS = _words("""
    parameter class_parameter formal_parameter lambda_parameter catch_formal_parameter
    resource type_pattern spread_parameter
""")
_AT_RUN_TIME = "is computed when the application runs"
_PARAMETER = "is a parameter"
WRITE_OUT = "write a text, or a constant of this file; or a policy file"
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


class _Parameter(NamedTuple):
    """A parameter: its name, its label for callers, what it is if it is not given.

    Attributes:
        is_many: it takes the rest of the arguments.
    """

    name: Node
    label: str
    default: Node | None
    is_many: bool


class _Function(NamedTuple):
    """A function of one expression."""

    node: Node
    name: Node
    parameters: list[_Parameter]
    body: Node


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
        read: the texts that values are made of, by their nodes.
        filled: the places of names where something was added to a list that was read.
        adds: the calls of builders that are known, which change nothing they are given.
    """

    def __init__(self, root: Node, language: str) -> None:
        self.nodes = list(self.nodes_in(root))
        self.read: set[int] = set()
        self._language = language
        self._parents: dict[int, Node] = {}
        self._declared: dict[str, list[Declared]] = {}
        self._changed: set[str] = set()
        self._uses: dict[str, list[Node]] = {}
        self._functions: Counter[str] = Counter()
        self._bodies: list[_Function] = []
        self.filled: set[int] = set()
        self.adds: set[int] = set()
        self._labels: set[str] = set()
        self._aliases: list[list[str]] = []
        self._is_inner_known = False
        self._elements: set[int] = set()
        self._gifts: set[int] = set()
        self._unknown: dict[tuple[int, int], tuple[Env, UnknownError]] = {}
        self._given: dict[tuple[int, str], list[Node]] = {}
        self._imported: set[str] = set()
        self._has_koin = False
        self._classes: dict[str, set[str]] = {}
        self._class_nodes: dict[str, list[Node]] = {}
        self._checked: set[tuple[int, bool]] = set()
        self._optional: list[tuple[int, int]] = []
        for node in self.nodes:
            is_part = node.type == "enum_body_declarations"  # of a body, in Java
            outer = self._parents[node.id] if is_part else node
            self._parents |= {child.id: outer for child in node.named_children}
        for node in self.nodes:
            self._note(node)
            self._note_change(node)
        self._note_directives()
        for node in self.nodes:
            for one in self._declarations(node):
                self._declared.setdefault(text_of(one.name), []).append(one)

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

    def _note(self, node: Node) -> None:
        """Note names: where they stand, those of functions, classes and imports."""
        name = node.child_by_field_name("name")
        if node.type in NAMES:
            self._uses.setdefault(text_of(node), []).append(node)
        elif node.type == "subscript_declaration":
            self._functions["subscript"] += 1
        elif node.type in FUNCTIONS and name:
            self._functions[text_of(name)] += 1
            self._note_body(node, name)
        elif node.type in _CLASSES and name:
            path = self._path_of(node)
            self._classes.setdefault(path.rpartition(".")[2], set()).add(path)
            self._class_nodes.setdefault(text_of(name), []).append(node)
        elif node.type == "value_argument_label":
            self._labels.add(text_of(node))
        elif node.type == "type_alias":
            words = re.findall(r"\w+", text_of(node).partition("alias")[2])
            self._aliases += [words] if words else []
        elif node.type.startswith("import"):
            words = text_of(node).rstrip(";").split()
            self._has_koin = self._has_koin or "org.koin." in words[-1]
            of = words[1] if "as" in words else words[-1]
            is_alias = of != words[-1] and not of.startswith("okhttp3.")
            if len(words) > 1 and (is_alias or not _OURS.match(of)):
                self._imported.add(words[-1].rpartition(".")[2])

    def _note_body(self, node: Node, name: Node) -> None:
        """Note a function with its parameters, if it has one expression alone."""
        inner = _named(node)
        body = self._returned(inner[-1]) if inner else None
        before = [one for one in inner if one.start_byte < name.start_byte]
        marks = re.findall(r"@[\w.]+", " ".join(self._modifiers(node)))
        is_strange = (
            any(one.type in _TYPES for one in before)  # what it is a function of
            or any(one.type == "type_parameters" for one in inner)
            or not {mark[1:] for mark in marks} <= _PLAIN_ANNOTATIONS
        )
        listed = _parameters(node)
        if body and listed is not None and not is_strange:
            self._bodies.append(_Function(node, name, listed, body))

    def _returned(self, body: Node) -> Node | None:
        """Return the only expression that a function returns, at its end."""
        if (found := _expression_of(body)) is not None:
            return found
        while body.type in {"function_body", "block", "statements"} and _named(body):
            last = _named(body)[-1]
            jumps = [one for one in self.nodes_in(body) if one.type in _JUMPS]
            if jumps == [last] and text_of(last).startswith("return "):
                return _expression_of(last)
            body = last
        return None

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

    def _path_of(self, node: Node) -> str:
        """Return the names of a class and of those around it, with dots between."""
        around = [o for o in (node, *self.around(node)) if o.type in _CLASSES]
        names = [o.child_by_field_name("name") for o in reversed(around)]
        return ".".join(text_of(name) for name in names if name)

    def is_hidden(self, name: str) -> bool:
        """Return whether a function of a library may be another one in this file."""
        if self._is_function(name):
            return True
        # What has `invoke` is called by its name, as a function is.
        is_called = name in self._declared or name in self._classes
        return is_called and self._language != "java"

    def _is_function(self, name: str) -> bool:
        return name in self._functions or name in self._imported

    def is_declared(self, name: str) -> bool:
        """Return whether a name of a class of a library means something else here."""
        return name in {*self._declared, *self._classes} or self.is_hidden(name)

    # ---- calls ---------------------------------------------------------------------

    def call(self, node: Node) -> Call | None:
        """Return what a call says; None for any other node, and for a part of one."""
        if node.type not in CALLS:
            return None
        if node.type != "call_expression":  # Java
            of = node.child_by_field_name
            target = of("name") or of("type") or node
            listed = of("arguments")
            arguments = [("", one) for one in _named(listed)] if listed else []
            block = next((a for _, a in arguments if a.type in LAMBDAS), None)
            line, name = line_of(target), text_of(target)
            return Call(line, of("object"), name, arguments, block)
        outer = self._parents.get(node.id)
        if outer and outer.type == node.type and outer.named_children[0].id == node.id:
            return None
        arguments, block = [], None
        callee = node
        while callee.type == "call_expression":
            parts = [c for c in _named(callee)[1:] if "suffix" not in c.type]
            for part in [c for c in _named(callee) if "suffix" in c.type]:
                parts += _named(part)
            parts = [one for one in parts if one.type != "type_arguments"]
            for part in parts:
                if "lambda" in part.type:
                    block = part if part.type in LAMBDAS else _named(part)[-1]
                else:
                    arguments += [_argument(one) for one in _named(part)]
            callee = callee.named_children[0]
        if callee.type != "navigation_expression" or len(_named(callee)) == 1:
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
        """Note a name to which something is assigned, or to an element of it.

        What gives a member its only value, as an object or a class begins, is noted
        as that; and an element of a variable as one that may belong to its list.
        """
        if "assignment" not in node.type or self._note_given(node):
            return
        left: Node | None = node.named_children[0]
        if (element := _element_of(node)) is not None:
            self._elements.add(element[0].id)
            return
        while left is not None and left.type not in NAMES:
            if left.type in PATHS:
                self._changed.add(text_of(left).rpartition(".")[2])
            left = left.named_children[0] if left.named_children else None
        if left is not None:
            self._changed.add(text_of(left))
        elif "self" in text_of(node).partition("=")[0].split():
            self._changed.add("self")

    def _note_given(self, node: Node) -> bool:
        """Note what a member gets in a constructor, or in a block that begins a class.

        Only a member without a value in its declaration, and a statement that always
        runs.
        """
        around = [o for o in self.around(node) if o.type not in _WRAPPED]
        if len(around) < 2 or around[0].type not in _BEGINNINGS:  # noqa: PLR2004
            return False
        begins, body = around[0], around[1]
        if body.type not in _BODIES:  # of what the parser lost
            return False
        name = re.sub(r"\s|^\s*(this|self)\.", "", text_of(node.named_children[0]))
        is_own = name != text_of(node.named_children[0])
        taken = [*self.nodes_in(begins)]
        taken += [one for one in self._parents[body.id].named_children if one != body]
        names = {
            text_of(found)
            for part in taken
            for one in self.nodes_in(part)
            if one.type in {*_PARAMETERS, "variable_declarator", "property_declaration"}
            for found in _names_in(one)[:2]
        }
        is_plain = [c.type for c in node.children if not c.is_named] == ["="]
        is_plain = is_plain and not any(one.type in _JUMPS for one in taken)
        is_clear = is_plain and (is_own or name not in names)
        if not is_clear or name not in _empty_fields(body):
            return False
        right = node.named_children[-1]
        self._given.setdefault((body.id, name), []).append(right)
        ends = [*self.nodes_in(node.named_children[0])][-1:]
        self._gifts |= {one.id for one in (*ends, right)}
        return True

    def _declarations(self, node: Node) -> Iterator[Declared]:  # noqa: C901, PLR0912 - by type
        """Yield what a node declares."""
        kind, outer = node.type, self._parents.get(node.id)
        name = node.child_by_field_name("name")
        if kind == "variable_declarator" and outer and outer.type == "spread_parameter":
            pass  # see below
        elif kind == "variable_declarator" and name and outer and _of_loop(outer):
            yield Declared(name, self._parents[outer.id], None, _OF_LOOP)
        elif kind == "variable_declarator" and name and outer:  # Java
            yield self._variable(
                outer, name, node.child_by_field_name("value"), "final"
            )
        elif kind == "property_declaration":  # Kotlin and Swift
            yield from self._property(node, name)
        elif kind in LOOPS and not node.child_by_field_name("init"):
            target = name or node.child_by_field_name("item") or node.named_children[0]
            for one in _names_in(target):
                yield Declared(one, node, None, _OF_LOOP)
        elif kind in LAMBDAS:
            heads = [c for c in node.named_children if c.type == "lambda_parameters"]
            if listed := node.child_by_field_name("parameters"):
                heads = [listed] if listed.type != "formal_parameters" else []
            for one in [name for head in heads for name in _names_in(head)]:
                yield Declared(one, node, None, _PARAMETER)
        elif kind in _PARAMETERS:
            found = [name] if name else [c for c in _named(node) if c.type in NAMES]
            if kind == "spread_parameter":
                found = _names_in(_named(node)[-1])
            # A default may be a name, too: behind it in Kotlin's classes alone.
            for one in found[:1] if kind == "class_parameter" else found[-1:]:
                scope = self._scope(one)
                owner = ""
                if kind == "class_parameter":  # which hides a property of the class
                    is_member = {"val", "var"} & {c.type for c in node.children}
                    owner = self._path_of(scope) if is_member else ""
                    bodies = [c for c in scope.named_children if c.type in _BODIES]
                    scope = bodies[0] if bodies else scope
                elif outer and outer.type == "formal_parameters":
                    of = self._parents[outer.id]
                    owner = self._path_of(of) if of.type == "record_declaration" else ""
                yield Declared(one, scope, None, _PARAMETER, owner)
        elif kind == "catch_block":
            for one in _names_in(node)[:1]:
                yield Declared(one, node, None, _AT_RUN_TIME)
        bound = node.child_by_field_name("bound_identifier")
        is_known = kind in LOOPS or (outer and outer.type in _BINDERS)
        if bound and not is_known:
            yield Declared(bound, self._scope(bound), None, _AT_RUN_TIME)

    def _scope(self, node: Node) -> Node:
        around = (outer for outer in self.around(node) if outer.type in _SCOPES)
        return next(around, self.nodes[0])  # of what the parser lost

    def _property(self, node: Node, named: Node | None) -> Iterator[Declared]:
        tokens = [child.type for child in node.children]
        outer = self._parents.get(node.id)
        value = node.child_by_field_name("value")
        if value is None and "=" in tokens:
            value = node.children[tokens.index("=") + 1]
        names: list[Node] = _names_in(named) if named else []
        is_fixed = {"val", "let"} & {*tokens, *map(text_of, node.named_children)}
        for child in node.named_children:
            if "variable_declaration" in child.type:
                names = _names_in(child)
            elif child.type == "property_delegate":
                value = child.named_children[0]
                call = self.call(value)
                if call is None or call.name != "lazy" or call.arguments:
                    value = None
            elif child.type == "computed_property":
                own = _OF_THIS_FILE & self._modifiers(node)
                is_fixed = is_fixed | own
                value = _expression_of(child) if own or self._is_final(node) else None
                is_fixed = is_fixed | ({"final"} if self._is_final(node) else set())
            elif child.type == "getter":
                is_own = self._is_final(node) or (outer and outer.type in TOPS)
                is_of_other = any(o.type in _TYPES for o in node.named_children)
                is_plain = is_own and not (is_of_other or value)
                body = _named(child)[-1:] if is_plain else []
                value = _expression_of(body[0]) if body else None
        for name in names:
            one = value if len(names) == 1 else None
            found = self._variable(node, name, one, "" if is_fixed else "val or let")
            if (
                not is_fixed
                and self._language == "swift"
                and text_of(name) in self._labels
            ):
                found = found._replace(why="may be another one in a struct that has it")
            yield found

    def _variable(
        self, node: Node, name: Node, value: Node | None, fixed_by: str
    ) -> Declared:
        """Return the declaration of a variable, or of a member."""
        scope = self._parents.get(node.id) or node
        head = text_of(node).partition("=")[0].split()
        is_wide, owner = scope.type in TOPS, ""
        if scope.type in _BODIES:
            is_wide = True
            given = self._given.get((scope.id, text_of(name)), [])
            value = given[0] if len(given) == 1 else value
            scope, owner = self._class(scope)
            head += ["final"] if node.type == "constant_declaration" else []
        why = ""
        marks = {word for word in self._modifiers(node) if word.startswith("@")}
        if value is None or (marks and self._language == "swift"):
            why = _AT_RUN_TIME
        elif text_of(name) in self._changed:
            why = _CHANGED
        elif "NSMutable" in text_of(node).partition("=")[0]:
            why = "is an object that can be changed; write a dictionary of Swift"
        elif is_wide and self._is_open(value) and "private" not in head:
            why = "is a list that other files can change; make it private"
        elif is_wide and fixed_by and fixed_by not in head and "private" not in head:
            why = f"can be changed by other files; declare it {fixed_by}"
        elif {"open", "override", "lateinit"} & {*head, *self._modifiers(node)}:
            why = "can be another one in a class that inherits it"
        return Declared(name, scope, value, why, owner)

    def _class(self, body: Node) -> tuple[Node, str]:
        """Return the scope and the class of members: of a companion, those around."""
        declared = self._parents[body.id]
        if declared.type == "companion_object":
            body = self._parents[declared.id]
            declared = self._parents[body.id]
        is_class = declared.type in _CLASSES - {"object_literal"}
        return body, self._path_of(declared) if is_class else ""

    def _is_open(self, value: Node | None) -> bool:
        """Return whether a list is one that who has it can add to, or remove from."""
        call = self.call(value) if value else None
        name = call.name.partition("<")[0] if call and call.receiver is None else ""
        return name in _EMPTY | _LISTS - {*_FROZEN, "arrayOf", "asList"}

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
            is_wide = one.owner or one.scope.type in _WIDE
            if inside and (is_wide or one.name.start_byte <= use.start_byte):
                found.append(one)
        size = min((_size(one.scope) for one in found), default=0)
        nearest = [one for one in found if _size(one.scope) == size]
        if len(nearest) > 1 and use.id not in {one.name.id for one in nearest}:
            raise UnknownError(use, "is declared more than once")
        return nearest[0] if nearest else None

    def runs_with(self, block: Node, made: Node) -> bool:
        """Return whether an initializer runs once for each of what is made.

        True for any other node. Objects and their class begin at different times.
        """
        body = self._parents.get(block.id)
        is_block = block.type == "block" and body is not None and body.type in _BODIES
        if not is_block and not block.type.endswith("_initializer"):
            return True
        member = self._member_of(made)
        if self._parents[member.id] != body:
            return False
        is_static = "static" in text_of(member).partition("=")[0].split()
        return self._language != "java" or is_static == (
            block.type == "static_initializer"
        )

    def check_meaning(self, use: Node, declared: Declared) -> None:
        """Refuse a name that something between it and its declaration may hide.

        Raises:
            UnknownError: a class inherits, or a block has a `this`, of other files; or
                an import has the name, too.
        """
        scope = declared.scope
        is_local = not declared.owner and scope.type not in {*TOPS, *_BODIES}
        around = self.around(declared.name) if declared.owner else iter(())
        home = next((o for o in around if o.type in _CLASSES), scope)
        if scope.type in TOPS and text_of(use) in self._imported:
            raise UnknownError(use, "is imported, and declared in this file as well")
        for outer in self.around(use):
            is_end = outer.id in {scope.id, home.id}
            if is_end and (home.type != "companion_object" or outer.id == home.id):
                return
            # What a class inherits comes before what its companion has.
            within = self._parents[scope.id] if is_end else outer
            hides = self._hides(within, is_local=is_local)
            if hides:
                why = f"is in {hides}, which may have this name; write Class.name"
                raise UnknownError(use, why)
            if is_end:
                return

    def _hides(self, outer: Node, *, is_local: bool) -> str:
        """Return what may hide a name inside of a node, or nothing."""
        if outer.type in _CLASSES:
            bases = [c for c in outer.named_children if c.type in _BASES]
            if outer.type != "object_creation_expression":
                bases = [c for c in bases if c.type not in _BODIES]
            words = {*re.findall(r"\w+", " ".join(map(text_of, bases)))}
            is_known = words <= _PLAIN_BASES and not words & self._classes.keys()
            return "" if is_known else "a class that inherits"
        if self._language != "kotlin":
            return ""
        if outer.type in LAMBDAS and not is_local:
            return "" if self._is_plain(outer) else "a block with its own `this`"
        if outer.type in _EXTENDED:
            of = next((c for c in outer.named_children if c.type in _HEADS), outer)
            if of.type in _TYPES and not _BUILDERS.fullmatch(text_of(of)):
                return "a function of another class"
        return ""

    def _is_plain(self, block: Node) -> bool:
        """Return whether a block has no `this` that can hide names of the file."""
        found = self.call_of(block)
        if found is None or self.is_hidden(found[1].name):
            return False
        call = found[1]
        is_same = call.receiver is None and call.name in {"apply", "run"}
        if (
            is_same
            or call.name in _PLAIN_BLOCKS
            or (call.name in _OF_KOIN and self._has_koin)
        ):
            return True
        given = call.arguments[0][1] if call.arguments else None
        of = given if call.name == "with" else call.receiver
        declared = self.find(of) if of and of.type in NAMES else None
        of = (declared.value if declared else None) or of
        text = re.sub(r"\s", "", text_of(of)) if of else ""
        return call.name in {"apply", "run", "with"} and bool(_BUILDERS.fullmatch(text))

    def member(self, path: Node) -> Declared | None:
        """Return the declaration that ``Class.name`` or ``this.name`` means."""
        owner, _, name = re.sub(r"[\s?`]", "", text_of(path)).rpartition(".")
        owner = owner.removesuffix(".Companion")
        found = [one for one in self._declared.get(name, ()) if one.owner]
        around = [o for o in self.around(path) if o.type in {*_BODIES, *LAMBDAS}]
        if owner in {"this", "self", "Self", "Companion"}:
            if owner == "this" and self._language == "kotlin":
                around = around[:1]  # in a block, `this` is something else
            bodies = [outer.id for outer in around if outer.type in _BODIES][:1]
            found = [one for one in found if one.scope.id in bodies]
            return found[0] if len(found) == 1 else None
        first, last = owner.partition(".")[0], owner.rpartition(".")[2]
        is_module = self._language == "swift" and first in self._classes
        if (first in self._imported and not is_module) or first in self._declared:
            return None
        here = [self._path_of(outer) for outer in self.around(path)]
        paths = {owner, *(f"{path}.{owner}" for path in here)}
        found = [one for one in found if one.owner in paths]
        is_clear = len(found) == 1 and len(self._classes.get(last, ())) <= 1
        return found[0] if is_clear else None

    def uses_of(self, name: Node) -> list[Node]:
        """Return all places where the text of a name stands as a name."""
        return self._uses.get(text_of(name), [])

    def check_uses(  # noqa: C901 - by kind of place
        self, declared: Declared, *, is_list: bool, known: Collection[int] = ()
    ) -> None:
        """Refuse a variable whose name stands where it may be changed.

        Raises:
            UnknownError: it stands in a place that is not known to read it alone, and
                is none of those that are *known* to fill it.
        """
        key = (declared.name.id, is_list)
        if key in self._checked:
            return
        names = {one.name.id for one in self._declared[text_of(declared.name)]}
        for use in self._uses[text_of(declared.name)]:
            node, outer = use, self._parents[use.id]
            is_label = outer.type == "value_argument" and _argument(outer)[0]
            if is_label and outer.named_children[0] == use:
                continue
            if use.id in {*known, *self._gifts} or _is_step(outer):
                continue
            if outer.type == "navigation_suffix":
                outer = self._parents[outer.id]
            elif use.id in names or outer.type in _NO_VARIABLES:
                continue
            if outer.type in PATHS and _named(outer)[0].id != node.id:
                member = self.member(outer)  # None may be the same of another object
                of_other = member is not None and member != declared
                node, outer = outer, self._parents[outer.id]
                if not declared.owner or of_other or _calls(outer, node):
                    continue
            elif self.find(use) != declared or (
                outer.type in _NAMED and outer.child_by_field_name("name") == use
            ):
                continue
            is_key = "key_path" in node.named_children[0].type if node != use else False
            is_key = is_key or use.id in self._elements
            if is_key or not self._is_read(node, outer, is_list=is_list):
                raise UnknownError(node, f"{_CHANGED}: see line {line_of(use)}")
        self._checked.add(key)

    def _is_read(  # noqa: PLR0911 - by kind of place
        self, node: Node, outer: Node, *, is_list: bool
    ) -> bool:
        """Return whether a place of a name reads it, and hands no list on."""
        is_call = outer.type == "method_invocation"
        if not is_list or not (is_call or outer.type in _READS):
            return outer.type in _READS or is_call
        if outer.type in _LIST_READS:
            return True
        if outer.type not in PATHS and self._language == "swift":
            return True  # it reads a copy
        if outer.type in {"value_argument", "argument_list"}:
            whole = next((o for o in self.around(node) if self.call(o)), outer)
            call = self.call(whole)
            is_stream = call is not None and call.name == "stream"
            return is_stream or whole.id in self.adds
        if outer.type in {"return_statement", "function_body"}:
            return self._is_getter(outer)
        if outer.type in {"index_expression", "array_access"}:
            whole = self._parents[outer.id]
            member = text_of(whole).rpartition(".")[2]
            is_member = whole.type in PATHS and member in self._declared
            return is_member or self._is_read(outer, whole, is_list=True)
        named = outer.child_by_field_name("name") or outer
        name = re.sub(r"[\s?]", "", text_of(named)).rpartition(".")[2]
        if name in _VIEWS:
            around = [o for o in self.around(outer) if o.type not in CALLS]
            return around[0].type in LOOPS or "forEach" in text_of(around[0])[-9:]
        if name in {"getValue", "value", "get"}:
            while self._parents[outer.id].type == "call_expression":
                outer = self._parents[outer.id]
            return self._is_read(outer, self._parents[outer.id], is_list=True)
        return name in _COPIES | _SIZES | _PLAIN_READS

    def _is_getter(self, outer: Node) -> bool:
        """Return whether a list goes only where what a function returns is read."""
        function = next((o for o in self.around(outer) if o.type in FUNCTIONS), None)
        name = function.child_by_field_name("name") if function else None
        if name is None:
            return False
        self._check_results(text_of(name))
        return True

    # ---- values --------------------------------------------------------------------

    def value(self, node: Node, env: Env, depth: int = 0) -> Any:  # noqa: ANN401
        """Return the value of an expression: a text, a list, a pair or a dictionary.

        Raises:
            UnknownError: the file does not say it.
        """
        if depth > _MAX_DEPTH:
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
            made = {_levels(one)[-1].path for one in found if isinstance(one, Made)}
            if len(made) > 1:
                raise UnknownError(node, "has objects of several classes")
        if isinstance(found, str | list) and len(found) > _MAX_SIZE:
            raise UnknownError(node, "is too long")
        return found

    def _value(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401, C901, PLR0911, PLR0912
        kind, inner = node.type, _named(node)
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
        if kind in _THESE:
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
        raise UnknownError(node, _AT_RUN_TIME)

    def _check_hidden(self, node: Node, *names: str) -> None:
        """Refuse what may be of a function of this file, as operators are."""
        if own := [name for name in names if self.is_hidden(name)]:
            raise UnknownError(node, f"may be of `{own[0]}`, which this file has")

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
        first = _named(node)[0]
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
            raise UnknownError(node, declared.why or _AT_RUN_TIME)
        else:
            if node.type in NAMES:
                self.check_meaning(node, declared)
            value = self.value(declared.value, env, depth)
            if isinstance(value, str) and self._language != "swift":
                self._check_began(node, declared)
        is_list = not _is_fixed(value) and self.can_change(declared)
        known: list[Node] = []
        if isinstance(value, list | dict) and declared.value is not None:
            value = self._filled(node, declared, value, env, depth, known)
        ids = {one.id for one in known}
        self.check_uses(declared, is_list=is_list, known=ids)
        self.filled |= ids
        return value

    def _check_type(self, node: Node) -> None:
        """Refuse a text of Kotlin that is declared as something wider, or cast to it.

        Raises:
            UnknownError: a function of another file may be meant where it is handed on.
        """
        types = [one for one in node.named_children if one.type in _TYPES]
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
            if not is_short and not _PLAIN_ANNOTATIONS.issuperset(words):
                raise UnknownError(use, f"has the annotation @{words[-1]}; remove it")

    def block_of_it(self, node: Node) -> Node | None:
        """Return the block whose `it` a node is: no one that has a `this`."""
        if "it" in self._declared:
            raise UnknownError(node, "is a name of this file, and of a block as well")
        for outer in [outer for outer in self.around(node) if outer.type in LAMBDAS]:
            if self.declared_in(outer):
                continue
            found = self.call_of(outer)
            if found is None or found[1].name not in {"apply", "run", "with"}:
                return outer
        return None

    def can_change(self, declared: Declared) -> bool:
        """Return whether a list or a map can be changed through the name of it."""
        call = self.call(declared.value) if declared.value else None
        is_cast = self._language == "kotlin" and _CASTS.search(text_of(self.nodes[0]))
        if call is not None and call.name in _FROZEN and not is_cast:
            return False
        around = self._parents.get(declared.name.id)
        outer = self._parents.get(around.id) if around else None
        is_let = outer and "let" in {text_of(c) for c in outer.named_children}
        return self._language != "swift" or not is_let

    def _part(self, node: Node, of: Node, name: str, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a property of a value: of an address, a pair, a list."""
        value = None
        try:
            value = self.value(of, env, depth)
        except UnknownError as error:
            if name == "host" and not self._is_extended(name):
                return self._host(node, of, env, depth)
            is_plain = of.type in {*NAMES, *PATHS, *_THESE}
            found = self.find(of) if of.type in NAMES else None
            is_part = name in {*_HALVES, *_SAME, *_SIZES} or (found and not found.why)
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
        elif isinstance(value, list) and name in {*_SIZES, "indices"}:
            return self._size(node, value, name)
        declared = self.find(of) if of.type in NAMES else None
        if declared is not None and declared.why:
            raise UnknownError(node, f"is of `{text_of(of)}`, which {declared.why}")
        why = "is declared nowhere in this file" if declared is None else _AT_RUN_TIME
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
        if depth > _MAX_DEPTH:
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
        if (made := self._made_by(node, call, env, depth)) is not None:
            return made
        # Nothing of a file of Java is a function of another object.
        is_of_other = self._language == "java" and call.receiver is not None
        if self.is_hidden(call.name) and not is_of_other:
            return self._own(node, call, env, depth)
        if self._language == "kotlin" and any(label for label, _ in call.arguments):
            raise UnknownError(node, "has arguments by name; write them in their order")
        of = text_of(call.receiver) if call.receiver else ""
        is_stream = (of, call.name, len(arguments)) == ("Arrays", "stream", 1)
        if is_stream and not self.is_declared(of):
            return self.value(arguments[0], env, depth)
        if call.name in _LISTS and is_plain and call.block is None:
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
        if call.name == "lazy" and call.block and len(_named(call.block)) == 1:
            if self.is_hidden("getValue"):
                raise UnknownError(node, _AT_RUN_TIME)
            return self.value(_named(call.block)[0], env, depth)
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
        raise UnknownError(node, _AT_RUN_TIME)

    def _mapped(self, node: Node, of: Node, block: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return what a block with one expression makes of each of a list."""
        body = _body_of(block)
        if len(body) == 1:
            given = self._bound_in(block, self.value(of, env, depth), env)
            return [self.value(body[0], one, depth) for one in given]
        raise UnknownError(node, _AT_RUN_TIME)

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
            raise UnknownError(node, _AT_RUN_TIME)
        (function,) = found
        outer = self._parents[function.node.id]
        scope, owner = self._class(outer) if outer.type in _BODIES else (outer, "")
        is_inside = scope.start_byte <= node.start_byte < scope.end_byte
        if not is_inside or not self._is_alone(function, outer):
            raise UnknownError(node, _AT_RUN_TIME)
        for one in (
            function.node,
            *(self._parents[p.name.id] for p in function.parameters),
        ):
            self._check_type(one)
        use = next(o for o in self.nodes_in(node) if text_of(o) == call.name)
        self.check_meaning(use, Declared(function.name, scope, None, "", owner))
        given = self._bound(node, function.parameters, call.arguments, env, depth)
        return self.value(function.body, env | given, depth)

    def _is_alone(self, function: _Function, outer: Node) -> bool:
        """Return whether no other file can have a function for the same call."""
        words = self._modifiers(function.node)
        if "private" in words or outer.type not in {*_BODIES, *TOPS}:
            return True
        if outer.type in _BODIES:
            return self._is_final(function.node)
        types = [
            text_of(one)
            for part in function.parameters
            for one in _named(self._parents[part.name.id])
            if one.type in _TYPES
        ]
        return self._language == "kotlin" and {*types} <= {"String"}

    def _is_final(self, node: Node) -> bool:
        """Return whether no class can have another member in place of one."""
        words = self._modifiers(node)
        body = self._parents[node.id]
        of = self._parents.get(body.id)
        if "open" in words or of is None or body.type not in _BODIES:
            return False
        if {"private", "static", "final", "fileprivate"} & words:
            return True
        around = self._modifiers(of)
        if self._language == "kotlin":
            is_plain = not {"open", "abstract", "sealed", "override"} & (around | words)
            return is_plain and "interface" not in {c.type for c in of.children}
        kinds = {c.type for c in of.children} & {"struct", "enum"}
        return bool(kinds or "final" in around or of.type == "record_declaration")

    # ---- objects -------------------------------------------------------------------

    def _class_meant(self, use: Node, text: str) -> Node | None:
        """Return the declaration of the class that a name, or a path, means."""
        path = re.sub(r"[\s`?]|<.*>", "", text)
        first, last = path.partition(".")[0], path.rpartition(".")[2]
        found = self._class_nodes.get(last, [])
        if len(found) != 1 or first in self._imported or first in self._declared:
            return None
        whole = self._path_of(found[0])
        around = [o for o in self.around(use) if o.type in _CLASSES]
        if whole not in {path, *(f"{self._path_of(o)}.{path}" for o in around)}:
            return None
        top = self._class_nodes.get(first, found)[0]
        if len(self._class_nodes.get(first, found)) != 1:
            return None
        scope, owner = self._parents[top.id], ""
        if scope.type in _BODIES:
            scope, owner = self._class(scope)
        if scope.type not in {*_BODIES, *TOPS}:
            return None
        name = top.child_by_field_name("name") or top
        self.check_meaning(use, Declared(name, scope, None, "", owner))
        return found[0]

    def _body(self, of: Node) -> list[Node]:
        """Return the members of a class."""
        bodies = [one for one in _named(of) if one.type in _BODIES]
        inner = [one for body in bodies for one in _named(body)]
        parts = [p for p in inner if p.type == "enum_body_declarations"]
        return inner + [one for part in parts for one in _named(part)]

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
            or any(one.type == "type_parameters" for one in _named(of))
            or any("#" in text_of(o)[:1] for o in members)
            or self._is_invoked(of)
        )
        bases = [c for c in _named(of) if c.type in _BASES - {*_BODIES}]
        kinds = {c.type for c in of.children}
        if self._language == "swift":
            words = {*re.findall(r"\w+", " ".join(map(text_of, bases)))}
            is_strange = is_strange or not words <= _PLAIN_PROTOCOLS
            is_strange = is_strange or "self" in self._changed
        elif self._language == "java":
            is_strange = is_strange or any(c.type == "superclass" for c in bases)
        if makers or is_record or self._language == "kotlin":
            listed = _parameters(makers[0] if makers else of)
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

    def _is_extended(self, name: str) -> bool:
        """Return whether the file gives a class of others a function of this name."""
        for one in self._uses.get(name, []):
            outer = self._parents[one.id]
            if outer.type == "variable_declaration":
                outer = self._parents[outer.id]
            before = [o for o in outer.named_children if o.end_byte < one.start_byte]
            if outer.type in _EXTENDED and any(o.type in _TYPES for o in before):
                return True
            around = [o for o in self.around(one) if o.type in _CLASSES][:1]
            if any("extension" in {c.type for c in o.children} for o in around):
                return True
        return name in self._imported

    def _stored(self, members: list[Node]) -> list[_Parameter]:
        """Return the properties of a struct that its own initializer takes."""
        found = []
        for one in [one for one in members if one.type == "property_declaration"]:
            tokens = [c.type for c in one.children]
            name = _names_in(one.child_by_field_name("name") or one)[0]
            value = one.child_by_field_name("value")
            is_let = "let" in {text_of(c) for c in _named(one)}
            if any(word.startswith("@") for word in self._modifiers(one)):
                raise UnknownError(one, "has an attribute that may change it")
            is_own = "computed_property" not in tokens and not (value and is_let)
            if is_own and "static" not in self._modifiers(one):
                found.append(_Parameter(name, text_of(name), value, is_many=False))
        return found

    def _above(self, of: Node, bases: list[Node], env: Env, depth: int) -> Made | None:
        """Return an object of Kotlin as one of the class of this file it inherits."""
        if self._language != "kotlin":
            return None
        calls = [o for base in bases for o in self.nodes_in(base)]
        for one in [one for one in calls if one.type == "constructor_invocation"]:
            target, *parts = _named(one)
            found = self._class_meant(of, text_of(target))
            if found is not None:
                given = [_argument(o) for part in parts for o in _named(part)]
                return self._made(one, found, given, env, depth + 1)
        return None

    def _bound(
        self,
        node: Node,
        listed: list[_Parameter],
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
                raise UnknownError(node, _AT_RUN_TIME)
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

    def _default(self, one: _Parameter, env: Env, depth: int) -> Any:  # noqa: ANN401
        if one.default is None and not one.is_many:
            raise UnknownError(one.name, "is a parameter that is not given")
        return self.value(one.default, env, depth) if one.default else []

    def _made_by(  # noqa: PLR0911 - by kind of call
        self, node: Node, call: Call, env: Env, depth: int
    ) -> Any:  # noqa: ANN401
        """Return the object that a call makes, or what a method of one returns.

        None if the call is no such thing.
        """
        of = f"{text_of(call.receiver)}." if call.receiver else ""
        if node.type == "object_creation_expression":
            has_body = any(one.type in _BODIES for one in _named(node))
            found = None if has_body else self._class_meant(node, call.name)
            return (
                self._made(node, found, call.arguments, env, depth) if found else None
            )
        is_all = call.name in {"values", "enumValues", "allOf"} and not call.block
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
            around = [o for o in self.around(node) if o.type in _CLASSES]
            around = [o for o in around if o.type != "companion_object"]
            found = around[0] if around else None
            blocks = [o for o in self.around(node) if o.type in {*LAMBDAS, *_EXTENDED}]
            if hides := [h for o in blocks if (h := self._hides(o, is_local=False))]:
                raise UnknownError(node, f"is in {hides[0]}, which may have it too")
        elif call.name == "enumValues" and not call.arguments:
            types = [o for o in self.nodes_in(node) if o.type == "user_type"]
            found = self._class_meant(node, text_of(types[0])) if types else None
        elif text_of(call.receiver or node) == "EnumSet" and call.arguments:
            text = text_of(call.arguments[0][1])
            text = text.removesuffix(".class").removesuffix("::class.java")
            found = self._class_meant(node, text)
        return found if found is not None and self._is_enum(found) else None

    def _is_enum(self, of: Node) -> bool:
        is_swift = self._language == "swift" and "enum" in {c.type for c in of.children}
        words = self._modifiers(of) if self._language == "kotlin" else set()
        return is_swift or of.type == "enum_declaration" or "enum" in words

    def _constants(self, of: Node, depth: int) -> list[Any]:
        """Return the constants of an enum, in their order."""
        found: list[Any] = []
        if depth > _MAX_DEPTH:
            raise UnknownError(of, "is nested too deeply")
        for one in self._body(of):
            if one.type not in {"enum_entry", "enum_constant"}:
                continue
            self.check_always(one)
            if any(part.type in _BODIES for part in _named(one)):
                raise UnknownError(one, "is a constant with members of its own")
            if self._language != "swift":
                parts = [p for p in _named(one) if "argument" in p.type]
                given = [_argument(o) for part in parts for o in _named(part)]
                name = next(c for c in _named(one) if c.type in NAMES)
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
        bases = [one for one in _named(made.of) if one.type in _BASES - _BODIES]
        if node.type == "field_access" and bases:
            raise UnknownError(node, "may be of an interface; write a method for it")
        known = self._declared.get(name, ())
        found = [(o, d) for o in _levels(made) for d in known if d.owner == o.path]
        if len(found) != 1:
            raise UnknownError(node, "is no property that its class says once")
        ((made, declared),) = found
        return self._of_declared(node, declared, made.env | {made.of.id: made}, depth)

    def _method(self, node: Node, made: Made, name: str, depth: int) -> Any:  # noqa: ANN401
        """Return what a method of an object returns, which has no parameters."""
        named = [
            (level, one)
            for level in _levels(made)
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
                raise UnknownError(node, _AT_RUN_TIME)
            env = made.env | {made.of.id: made}
            value = self.value(found[0].body, env, depth)
        if isinstance(value, list):
            self._check_results(name)
        return value

    def _check_results(self, name: str) -> None:
        """Refuse a list that something may change which a method has returned."""
        for use in self._uses.get(name, []):
            node = next((o for o in self.around(use) if o.type in CALLS), None)
            call = self.call(node) if node is not None else None
            if node is None or call is None or call.name != name:
                continue
            if not self._is_read(node, self._parents[node.id], is_list=True):
                raise UnknownError(node, f"{_CHANGED}: see line {line_of(use)}")

    def _this(self, node: Node, env: Env) -> Made:
        """Return the object that `this` is."""
        for outer in self.around(node):
            is_other = (
                outer.type in {*LAMBDAS, *_EXTENDED} and self._language == "kotlin"
            )
            if outer.type in _CLASSES and isinstance(env.get(outer.id), Made):
                made: Made = env[outer.id]
                return made
            if outer.type in _CLASSES or (is_other and outer.type in LAMBDAS):
                break
        raise UnknownError(node, _AT_RUN_TIME)

    # ---- lists ---------------------------------------------------------------------

    def _chosen(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value for the constant of an enum that a choice is about."""
        subject = node.child_by_field_name("expr") or node.named_children[0]
        inner = _named(subject)[-1:] or [subject]
        made = self.value(inner[0], env, depth) if inner[0].type in _THESE else None
        if not isinstance(made, Made) or not made.constant:
            raise UnknownError(node, "is a choice")
        known = {one.constant for one in self._constants(made.of, depth)}
        for entry in [o for o in _named(node) if o.type in _ENTRIES]:
            names = entry.children_by_field_name("condition")
            names += [o for o in _named(entry) if o.type == "switch_pattern"]
            texts = [re.sub(r"^\w*\.", "", text_of(name)) for name in names]
            body = _expression_of(_named(entry)[-1])
            is_strange = any(
                text not in known or text in self._declared for text in texts
            )
            if is_strange or body is None or "where" in text_of(entry).split():
                raise UnknownError(entry, "is a case that is no constant alone")
            if not texts or made.constant in texts:
                return self.value(body, env, depth)
        raise UnknownError(node, "is a choice")

    def _element(self, node: Node, of: Any, key: Any) -> Any:  # noqa: ANN401
        """Return one of a list by its number, or of a map by its key."""
        if self._is_extended("get"):
            raise UnknownError(node, "may be of a `get` that this file has")
        source = text_of(self.nodes[0])
        if type(key) is int and _SETS.search(source) and _IN_ORDER.search(source):
            raise UnknownError(node, "may be of a set, which has no order; use no sets")
        if isinstance(of, list) and type(key) is int and 0 <= key < len(of):
            if not any(isinstance(one, tuple) for one in of):
                if not _is_fixed(of[key]):
                    self._check_inner()
                return of[key]
        elif isinstance(of, list) and isinstance(key, str):
            found = [o[1] for o in of if isinstance(o, tuple) and o[0] == key]
            if not all(map(_is_fixed, found)):
                self._check_inner()
            if len(found) == 1:
                return found[0]
        raise UnknownError(node, "is no element that the list has")

    def _range(self, node: Node, first: int, end: int) -> list[int]:
        if end - first > _MAX_SIZE:
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
        if any(map(self.is_hidden, OPERATORS)):
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
        if not all(map(_is_fixed, values)):
            self._check_inner()
        found = []
        for value in values:
            parts = [value]
            if len(keys) > 1 and isinstance(value, tuple):
                parts = [*value]
            elif len(keys) > 1 and isinstance(value, Made):
                listed = _parameters(value.of) or []
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
            element = _element_of(node) if "assignment" in node.type else None
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
                of_loop = declared and declared.why in {_OF_LOOP, _PARAMETER}
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
            left, right = _named(test)[0], _named(test)[-1]
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
            if is_word or is_change or node.type in _JUMPS or text_of(node) == "throw":
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
        if name in _EMPTY and not (call.receiver or self.is_declared(name)):
            has_body = any(one.type in _BODIES for one in _named(node))
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
            body = _body_of(call.block)
            if isinstance(of, dict) and len(body) == 1 and not self.is_hidden(name):
                names = self.declared_in(call.block) or [call.block]
                given_ = {key: env | {names[0].id: one} for key, one in of.items()}
                return {k: self.value(body[0], e, depth) for k, e in given_.items()}
        return self._formatted(node, call, env, depth)

    def _dictionary(self, node: Node, pairs: Any) -> dict[str, Any]:  # noqa: ANN401
        found = {}
        for one in pairs if isinstance(pairs, list) else [None]:
            if not isinstance(one, tuple) or not isinstance(one[0], str):
                raise UnknownError(node, "is no list of pairs that this file says")
            if one[0] in found:
                raise UnknownError(node, "has a key twice")
            found[one[0]] = one[1]
        return found

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

        return self._replay(_body_of(block), value, is_it, env, depth, None)

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
        if depth > _MAX_DEPTH:
            raise UnknownError(body[0], "is nested too deeply")
        for statement in body:
            while statement.type in _WRAPPED and len(_named(statement)) == 1:
                statement = _named(statement)[0]  # noqa: PLW2901
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
                    inner = _body_of(loop)
                    value = self._replay(inner, value, is_it, turn, depth + 1, known)
                    if len(value) > _MAX_SIZE:
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
        if "assignment" in node.type and (found := _element_of(node)):
            # An element of an array is another one then, and no more.
            is_map = found[1] is None or self._language != "java"
            return (found[0], found[1] or "+=", [found[2]]) if is_map else None
        call = self.call(node)
        if call is None or call.name not in _ADDING or call.block or call.is_safe:
            return None
        target = call.receiver
        if target is not None and target.type not in {*NAMES, *_THESE}:
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
            if isinstance(values[0], list):
                return value + values[0]
            if name == "+=" and self._language == "kotlin":
                return [*value, values[0]]
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
        places = [o for o in around if o.type in {*_BODIES, *_PLACES}]
        place = next(iter(places), self.nodes[0])
        statements = _named(place)
        if declared.owner:
            starts = [o for o in statements if o.type in _BEGINNINGS - _MADE_OF]
            is_static = {"static" in text_of(around[0].parent or place).split()}
            if self._language == "java" and is_static != {True}:
                return value
            bodies = [b for o in starts for b in _named(o) if b.type == "block"]
            statements = [one for body in bodies for one in _named(body)]
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

    def _has(self, whole: Node, part: Node) -> bool:
        return whole.start_byte <= part.start_byte and part.end_byte <= whole.end_byte

    def _check_before(self, use: Node, body: Node, last: Node) -> None:
        """Refuse a list of a class where a member before its end may read it."""
        for member in [o for o in _named(body) if o.start_byte < last.start_byte]:
            if member.type in FUNCTIONS | _CLASSES:
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

    def _member_of(self, node: Node) -> Node:
        """Return the member of a class, or of the file, in which a node is."""
        around = [node, *self.around(node)]
        kinds = {*_BODIES, *TOPS}
        return next(o for o in around if self._parents[o.id].type in kinds)

    def _is_run(self, name: str) -> bool:
        """Return whether a name may be that of a property with code of its own."""
        kinds = {"getter", "property_delegate", "computed_property"}
        places = [self._parents[o.name.id] for o in self._declared.get(name, ())]
        places += [self._parents[one.id] for one in places if one.id in self._parents]
        return any(c.type in kinds for one in places for c in one.named_children)


def _levels(made: Made) -> list[Made]:
    """Return an object, and it as one of each class that its class inherits."""
    return [made, *(_levels(made.above) if made.above else ())]


def _expression_of(body: Node | None) -> Node | None:
    """Return the only expression of a body, returned or not."""
    while body is not None and body.type in _WRAPS:
        if text_of(body).startswith(("throw", "break", "continue")):
            return None
        inner = _named(body)
        body = inner[0] if len(inner) == 1 else None
    return body


# Keys of TrustKit about something else than pins, whose values may be anything.
_PASSED_OVER = {"TSKReportUris", "TSKPublicKeyAlgorithms"}


def _of_loop(declaration: Node) -> bool:
    """Return whether variables are those at the head of a loop of Java."""
    outer = declaration.parent
    return outer is not None and outer.type == "for_statement"


def _parameters(node: Node) -> list[_Parameter] | None:
    """Return the parameters of a function or a class; None if one is strange."""
    found: list[_Parameter] = []
    heads = [c for c in node.children if c.type == "primary_constructor"] or [node]
    parts = [c for head in heads for c in head.children]
    kinds = {"function_value_parameters", "class_parameters", "formal_parameters"}
    parts = next((one.children for one in parts if one.type in kinds), parts)
    is_many, is_default = False, False
    for part in parts:
        if part.type in _PARAMETERS:
            inner = [c for c in _named(part) if c.type in NAMES]
            inner = _names_in(_named(part)[-1]) if "spread" in part.type else inner
            labels = part.children_by_field_name("external_name")
            names = [one for one in inner if one not in labels][:1]
            tokens = [c.type for c in part.children]
            if not names:
                return None
            own = part.children[tokens.index("=") + 1] if "=" in tokens else None
            words = {w for c in part.children for w in text_of(c).split()[:2]}
            is_many = is_many or "vararg" in words or "..." in tokens
            label = text_of((labels or names)[0])
            found.append(_Parameter(names[0], label, own, is_many))
        elif is_default and found:
            found[-1] = found[-1]._replace(default=part)
        is_many = "vararg" in text_of(part) if "modifiers" in part.type else False
        is_default = part.type == "="
    return found


def _empty_fields(body: Node) -> set[str]:
    """Return the names of the members that a class declares without a value."""
    members = [o for p in _named(body) for o in (p, *_named(p))]
    parts = [one for p in members for one in (p, *_named(p))]
    found = set()
    for part in parts:
        names = _names_in(part)[:1]
        if part.type in {"variable_declarator", "property_declaration"}:
            is_empty = "=" not in {c.type for c in part.children}
            found |= {text_of(name) for name in names if is_empty}
    return found


def _element_of(node: Node) -> tuple[Node, Node | None, Node] | None:
    """Return the variable, the key and the value where an assignment sets an element.

    The key is None where it adds to a list.
    """
    left, right = node.named_children[0], node.named_children[-1]
    sign = "".join(c.type for c in node.children if not c.is_named)
    while left.type == "directly_assignable_expression" and left.named_children:
        left = left.named_children[0]
    inner = _named(left)
    if sign == "+=" and left.type in NAMES:
        return left, None, right
    is_index = left.type in {"index_expression", "array_access"}
    if left.type == "call_expression" and len(inner) > 1:  # Swift
        inner = [inner[0], *(o for part in inner[1:] for o in _named(part))]
        inner = [inner[0], *(o for part in inner[1:] for o in _named(part))]
        if any(_argument(one)[0] for one in inner[1:]):
            return None
        is_index = True
    if sign == "=" and is_index and len(inner) == 2 and inner[0].type in NAMES:  # noqa: PLR2004
        return inner[0], inner[1], right
    return None


def _body_of(block: Node) -> list[Node]:
    """Return the statements of a loop, or of a lambda."""
    if block.type not in LAMBDAS:
        body = block.child_by_field_name("body") or block.named_children[-1]
        while body.type in {"control_structure_body", "block", "statements"}:
            inner = _named(body)
            if len(inner) != 1 or inner[0].type not in {"block", "statements"}:
                return inner
            body = inner[0]
        return [body]
    kinds = {"lambda_parameters", "lambda_function_type"}
    head = block.child_by_field_name("parameters")
    inner = [o for o in _named(block) if o.type not in kinds and o != head]
    while len(inner) == 1 and inner[0].type in {"statements", "block"}:
        inner = _named(inner[0])
    return inner


def _is_step(outer: Node) -> bool:
    """Return whether an assignment is how the head of a loop of Java counts up."""
    whole = outer.parent
    if whole is None or whole.type != "for_statement":
        return False
    return whole.child_by_field_name("update") == outer


def _is_fixed(value: Any) -> bool:  # noqa: ANN401
    """Return whether a value has no parts that something could change."""
    if isinstance(value, tuple):
        return all(map(_is_fixed, value))
    return isinstance(value, str | int | Made)


def _calls(call: Node, node: Node) -> bool:
    """Return whether a node is what a call calls."""
    return call.type == "call_expression" and call.named_children[0] == node


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
