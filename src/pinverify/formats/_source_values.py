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
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    ViewModel Interceptor OkHttpClientFactory
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
    String List Set Map Collection Iterable Array Pair Boolean out MutableList
    MutableSet MutableMap ArrayList HashSet HashMap LinkedHashMap kotlin collections
""")
# Annotations that leave a name what it is.
_PLAIN_ANNOTATIONS = _words("""
    JvmField JvmStatic JvmSynthetic Suppress SuppressLint SuppressWarnings Keep NonNull
    Nullable VisibleForTesting Named
""")
OPERATORS = {"iterator", "next", "hasNext", "component1", "component2"}
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
_LOOPS = {"for_statement", "enhanced_for_statement"}
_LIST_READS = _LOOPS | _words("""
    spread_expression interpolation interpolated_expression binary_expression
    additive_expression parenthesized_expression
""")
_INSIDE = _words("""
    parenthesized_expression as_expression tuple_expression spread_expression
    interpolation interpolated_expression
""")
_FROZEN = {"listOf", "setOf", "mapOf", "of"}
_LISTS = _FROZEN | _words("""
    arrayOf asList mutableListOf arrayListOf mutableSetOf hashSetOf mutableMapOf
    hashMapOf linkedMapOf
""")
_OF_THIS_FILE = {"private", "fileprivate"}
_MAKERS = {("Pair", 2), ("NSNumber", 1), ("Array", 1)}
_WRAPS = _words("""
    function_body block statements return_statement return_expression computed_property
    control_transfer_statement
""")
_COPIES = {"toTypedArray", "toList", "toSet", "toArray", "toString"}
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
_OURS = re.compile(r"(?:kotlinx?|java|javax|android|androidx|okhttp3|org\.koin)\.")
_CHANGED = "is changed in this file, or may be"
_PARAMETERS = _words("""
    parameter class_parameter formal_parameter lambda_parameter catch_formal_parameter
    resource type_pattern spread_parameter
""")
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
        read: the texts that values are made of, by their nodes.
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
        self._bodies: list[tuple[Node, list[Node], Node]] = []
        self._imported: set[str] = set()
        self._has_koin = False
        self._classes: dict[str, set[str]] = {}
        self._checked: set[tuple[int, bool]] = set()
        self._optional: list[tuple[int, int]] = []
        for node in self.nodes:
            self._parents |= {child.id: node for child in node.named_children}
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
        elif node.type in FUNCTIONS and name:
            self._functions[text_of(name)] += 1
            self._note_body(node, name)
        elif node.type in _CLASSES and name:
            path = self._path_of(node)
            self._classes.setdefault(path.rpartition(".")[2], set()).add(path)
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
        body = _expression_of(inner[-1]) if inner else None
        before = [one for one in inner if one.start_byte < name.start_byte]
        listed = [*inner, *(one for part in inner for one in _named(part))]
        names = [_names_in(one) for one in listed if one.type in _PARAMETERS]
        words = self._modifiers(node)
        is_strange = (
            "private" not in words
            or "@" in "".join(words)
            or "vararg" in text_of(node)
            or any(one.type in _TYPES for one in before)  # what it is a function of
            or any(one.type == "type_parameters" for one in inner)
        )
        if body and not is_strange and all(len(one) == 1 for one in names):
            self._bodies.append((name, [one[0] for one in names], body))

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
        return name in self._functions or name in self._imported

    def is_declared(self, name: str) -> bool:
        """Return whether a name of a class of a library means something else here."""
        return name in self._declared or name in self._classes or self.is_hidden(name)

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
        """Note a name to which something is assigned, or to an element of it."""
        if "assignment" not in node.type:
            return
        left: Node | None = node.named_children[0]
        while left is not None and left.type not in NAMES:
            if left.type in PATHS:
                self._changed.add(text_of(left).rpartition(".")[2])
            left = left.named_children[0] if left.named_children else None
        if left is not None:
            self._changed.add(text_of(left))

    def _declarations(self, node: Node) -> Iterator[Declared]:  # noqa: C901, PLR0912 - by type
        """Yield what a node declares."""
        kind, outer = node.type, self._parents.get(node.id)
        name = node.child_by_field_name("name")
        if kind == "variable_declarator" and outer and outer.type == "spread_parameter":
            pass  # see below
        elif kind == "variable_declarator" and name and outer:  # Java
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
        elif kind in _PARAMETERS:
            found = [name] if name else [c for c in _named(node) if c.type in NAMES]
            if kind == "spread_parameter":
                found = _names_in(_named(node)[-1])
            for one in found[-1:]:
                scope = self._scope(one)
                if kind == "class_parameter":  # which hides a property of the class
                    bodies = [c for c in scope.named_children if c.type in _BODIES]
                    scope = bodies[0] if bodies else scope
                yield Declared(one, scope, None, _PARAMETER)
        elif kind == "catch_block":
            for one in _names_in(node)[:1]:
                yield Declared(one, node, None, _AT_RUN_TIME)
        bound = node.child_by_field_name("bound_identifier")
        if bound and outer and outer.type != "property_declaration":
            yield Declared(bound, self._scope(bound), None, _AT_RUN_TIME)

    def _scope(self, node: Node) -> Node:
        around = (outer for outer in self.around(node) if outer.type in _SCOPES)
        return next(around, self.nodes[0])  # of what the parser lost

    def _property(self, node: Node, named: Node | None) -> Iterator[Declared]:
        tokens = [child.type for child in node.children]
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
                value = _expression_of(child) if own else None
            elif child.type == "getter":
                value = None
        for name in names:
            one = value if len(names) == 1 else None
            yield self._variable(node, name, one, "" if is_fixed else "val or let")

    def _variable(
        self, node: Node, name: Node, value: Node | None, fixed_by: str
    ) -> Declared:
        """Return the declaration of a variable, or of a member."""
        scope = self._parents.get(node.id) or node
        head = text_of(node).partition("=")[0].split()
        is_wide, owner = scope.type in TOPS, ""
        if scope.type in _BODIES:
            is_wide = True
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
        name = call.name if call and call.receiver is None else ""
        return name in _LISTS - {*_FROZEN, "arrayOf", "asList"}

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
        around = [made, *self.around(made)]
        member = next(
            o for o in around if self._parents[o.id].type in {*_BODIES, *TOPS}
        )
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
        if call.name in _PLAIN_BLOCKS or (call.name in _OF_KOIN and self._has_koin):
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

    def check_uses(self, declared: Declared, *, is_list: bool) -> None:
        """Refuse a variable whose name stands where it may be changed.

        Raises:
            UnknownError: it stands in a place that is not known to read it alone.
        """
        key = (declared.name.id, is_list)
        if key in self._checked:
            return
        self._checked.add(key)
        names = {one.name.id for one in self._declared[text_of(declared.name)]}
        for use in self._uses[text_of(declared.name)]:
            node, outer = use, self._parents[use.id]
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
            if is_key or not self._is_read(node, outer, is_list=is_list):
                raise UnknownError(node, f"{_CHANGED}: see line {line_of(use)}")

    def _is_read(self, node: Node, outer: Node, *, is_list: bool) -> bool:
        """Return whether a place of a name reads it, and hands no list on."""
        is_call = outer.type == "method_invocation"
        if not is_list or not (is_call or outer.type in _READS):
            return outer.type in _READS or is_call
        if outer.type in _LIST_READS:
            return True
        if outer.type not in PATHS and self._language == "swift":
            return True  # it reads a copy
        if outer.type in {"value_argument", "argument_list"}:
            call = next(c for o in self.around(node) if (c := self.call(o)))
            return call.name == "add" and len(call.arguments) > 1
        named = outer.child_by_field_name("name") or outer
        name = re.sub(r"[\s?]", "", text_of(named)).rpartition(".")[2]
        if name in _VIEWS:
            around = [o for o in self.around(outer) if o.type not in CALLS]
            return around[0].type in _LOOPS or "forEach" in text_of(around[0])[-9:]
        return name in {*_COPIES, "forEach", "getKey", "getValue", "key", "value"}

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
        if kind in _INSIDE and (len(inner) == 1 or kind == "as_expression"):
            self._check_type(node)
            return self.value(inner[0], env, depth)
        if kind == "unary_expression" and text_of(node).endswith("!!"):
            return self.value(inner[0], env, depth)
        if kind == "value_argument" and inner:
            return self.value(inner[-1], env, depth)
        if kind == "boolean_literal":
            return text_of(node) == "true"
        if kind in {"binary_expression", "additive_expression"} and len(inner) == 2:  # noqa: PLR2004
            left, right = (self.value(one, env, depth) for one in inner)
            if "+" in {child.type for child in node.children}:
                if isinstance(left, str) and isinstance(right, str):
                    return left + right
                if isinstance(left, list) and isinstance(right, list):
                    if any(isinstance(one, tuple) for one in left + right):
                        raise UnknownError(node, "is a map, of which parts replace")
                    if self.is_hidden("plus"):
                        raise UnknownError(node, "is a sum of this file's own `plus`")
                    return left + right
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

    def _meant(self, node: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a name, or of a path of names."""
        text = text_of(node)
        last = text.rpartition(".")[2].strip()
        if last.startswith("kTSK") and last not in self._declared:
            # TrustKit's names of keys, of which one is odd
            is_odd = last.startswith("kTSKExclude")
            return f"{'kSK' if is_odd else 'TSK'}{last.removeprefix('kTSK')}"
        declared = self.find(node) if node.type in NAMES else self.member(node)
        if text == "it" and self._language == "kotlin":
            loop = self.block_of_it(node)
            if loop is not None and loop.id in env:
                return env[loop.id]
        if declared is not None:
            return self._of_declared(node, declared, env, depth)
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
        is_list = not isinstance(value, str | bool) and self.can_change(declared)
        self.check_uses(declared, is_list=is_list)
        return value

    def _check_type(self, node: Node) -> None:
        """Refuse a text of Kotlin that is declared as something wider, or cast to it.

        Raises:
            UnknownError: a function of another file may be meant where it is handed on.
        """
        types = [one for one in node.named_children if one.type in _TYPES]
        words = {*re.findall(r"\w+", " ".join(map(text_of, types)))}
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
        if call is not None and call.name in _FROZEN:
            return False
        around = self._parents.get(declared.name.id)
        outer = self._parents.get(around.id) if around else None
        is_let = outer and "let" in {text_of(c) for c in outer.named_children}
        return self._language != "swift" or not is_let

    def _part(self, node: Node, of: Node, name: str, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a property of a value: of an address, a pair, a list."""
        if name == "host":
            return self._host(node, of, env, depth)
        if name in {"key", "value", *_SAME}:
            value = self.value(of, env, depth)
            if name in _SAME and isinstance(value, str) == (name == "toString"):
                return value
            if isinstance(value, tuple):
                return value[name == "value"]
        declared = self.find(of) if of.type in NAMES else None
        if declared is not None and declared.why:
            raise UnknownError(node, f"is of `{text_of(of)}`, which {declared.why}")
        why = "is declared nowhere in this file" if declared is None else _AT_RUN_TIME
        raise UnknownError(node, why)

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
        if declared is None or declared.value is None or declared.why:
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
        is_plain = (call.receiver is None) == (call.name not in {"of", "asList"})
        if call.receiver:
            of = text_of(call.receiver)
            is_known = of in {"List", "Set", "Map", "Arrays"} and not self.is_declared(
                of
            )
            is_plain = is_plain and is_known
        if self.is_hidden(call.name):
            return self._own(node, call, env, depth)
        if call.name in _LISTS and is_plain and call.block is None:
            values = self._flat(arguments, env, depth)
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
            if call.name in {"getHost", "host", "getKey", "getValue", *_SAME}:
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

    def _mapped(self, node: Node, of: Node, block: Node, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return a list, each text of which a block with one expression has changed."""
        inner = [one for one in _named(block) if one.type != "lambda_parameters"]
        values = self.value(of, env, depth)
        names = [one.id for one in self.declared_in(block)] or [block.id]
        texts = isinstance(values, list) and all(isinstance(v, str) for v in values)
        if texts and len(inner) == len(names) == 1:
            given = [env | {names[0]: one} for one in values]
            return [self.value(inner[0], one, depth) for one in given]
        raise UnknownError(node, _AT_RUN_TIME)

    def _has_other(self, name: str) -> bool:
        """Return whether a function is not the only thing that has its name."""
        declared = name in self._declared or name in self._imported
        return declared or self._functions[name] > 1

    def _own(self, node: Node, call: Call, env: Env, depth: int) -> Any:  # noqa: ANN401
        """Return the value of a call of a function of this file, of one expression.

        Raises:
            UnknownError: it has more, or another file may have one for it.
        """
        found = [one for one in self._bodies if text_of(one[0]) == call.name]
        labels = {label for label, _ in call.arguments}
        is_plain = not (call.receiver or call.block or labels - {""})
        if len(found) != 1 or not is_plain or self._has_other(call.name):
            raise UnknownError(node, _AT_RUN_TIME)
        ((name, names, body),) = found
        function = self._parents[name.id]
        outer = self._parents[function.id]
        scope, owner = self._class(outer) if outer.type in _BODIES else (outer, "")
        is_inside = scope.start_byte <= node.start_byte < scope.end_byte
        if not is_inside or len(names) != len(call.arguments):
            raise UnknownError(node, _AT_RUN_TIME)
        for one in (function, *(self._parents[name.id] for name in names)):
            self._check_type(one)
        use = next(o for o in self.nodes_in(node) if text_of(o) == call.name)
        self.check_meaning(use, Declared(name, scope, None, "", owner))
        given = [self.value(one, env, depth) for _, one in call.arguments]
        ids = [name.id for name in names]
        return self.value(body, dict(zip(ids, given, strict=True)), depth)


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
