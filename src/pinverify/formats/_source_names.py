"""Names in source code: where they are declared, what they mean, who may change them.

A name means the declaration in the innermost scope around it, unless something between
the two may hide it: a class that inherits, or a block whose `this` has names of its
own. A variable counts if nothing changes it: no other file can, and each use of its
name in this file is known to be a read.
"""

from __future__ import annotations

import re
from collections import Counter
from itertools import chain, takewhile
from typing import TYPE_CHECKING, NamedTuple

from pinverify.formats._source_kinds import Kind, Library, words_of
from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    CHANGED,
    OF_LOOP,
    PARAMETER,
    Function,
    Tree,
    UnknownError,
    argument_of,
    children_of,
    element_of,
    expression_of,
    line_of,
    names_in,
    parameters_of,
    text_of,
    tokens_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tree_sitter import Node

__all__ = ["CHANGED", "ENTRIES", "LISTS", "Declared", "Names"]

_SCOPES = words_of("""
    for_statement class_declaration block statements catch_clause catch_block
""").union(Kind.FUNCTIONS, Kind.LAMBDAS, Kind.BODIES, Kind.TOPS)
_NAMED = {*Kind.FUNCTIONS, *Kind.BODIES, "method_invocation"}
_WIDE = {*Kind.TOPS, *Kind.BODIES, "class_declaration"}
# Classes of the platforms, none of whose members has the name of a constant.
_PLAIN_BASES = words_of("""
    extends implements UIResponder UIApplicationDelegate NSObject Activity
    AppCompatActivity ComponentActivity FragmentActivity Application Service Fragment
    ViewModel Interceptor URLSessionDelegate ObservableObject OkHttpClientFactory
    UIWindowSceneDelegate UISceneDelegate FlutterAppDelegate KoinComponent TrustKit
    UIApplication URLSession FlutterPlugin MethodChannel MethodCallHandler CordovaPlugin
    ReactContextBaseJavaModule ReactPackage WebSocketListener MultiDexApplication
    AppGlideModule ImageLoaderFactory
""")
# Such classes of libraries; they count if the file imports the library.
_OF_LIBRARIES = {
    "App": "SwiftUI",
    "View": "SwiftUI",
    "Provider": "javax.inject.Provider",
}
# Blocks with no `this` of their own, or with a `this` whose class is known.
_PLAIN_BLOCKS = words_of("""
    also let forEach lazy map use forEachIndexed onEach runBlocking launch async
    withContext synchronized thread associate associateWith
""")
# Such blocks of Koin and Ktor; they count if the file imports the library. A block of
# Ktor must be in the other block that is given, if one is.
_OF_KOIN = {"single", "factory", "module", "scoped"}
_OF_LISTS = words_of("size keys values entries indices lastIndex first last")
_OF_KTOR = {"HttpClient": "", "engine": "HttpClient", "config": "engine"}
_NAMING_TYPES = words_of("""
    typealias_declaration type_parameter associatedtype_declaration
""")
_DECLARE = Kind.PARAMETERS | {"variable_declarator", "property_declaration"}
_BINDERS = {"property_declaration", "for_statement"}
_HEADS = {*Kind.TYPES, *Kind.NAMES, "variable_declaration", "function_value_parameters"}
_WHOLE = {"parenthesized_expression", "statements"}
_BUILDERS = re.compile(
    r"(?:okhttp3\.)?(?:CertificatePinner|OkHttpClient|Retrofit|Request)"
    r"(?:\.Builder\(\)(?!.*\.(?:newCall|create|execute)\b).*|\.Builder|)",
    re.DOTALL,
)
# Public members of these classes, and of classes of platforms.
_OF_OKHTTP = words_of("""
    pins url method headers body isHttps cacheControl tag baseUrl callFactory dispatcher
    connectionPool interceptors networkInterceptors eventListenerFactory authenticator
    followRedirects followSslRedirects retryOnConnectionFailure cookieJar cache dns
    proxy proxySelector proxyAuthenticator socketFactory sslSocketFactory protocols
    x509TrustManager connectionSpecs hostnameVerifier certificatePinner
    certificateChainCleaner
""")
_OF_PLATFORMS = re.compile(
    r"[A-Z_]+_SERVICE|(?:MODE|BIND|CONTEXT|RESULT|DEFAULT|RECEIVER|START|STOP|TRIM)_\w+|"
    r"tag|id|host|title|packageName|serviceName|intent|window|resources|assets|theme|"
    r"context|activity|arguments|application|lifecycle|view|description|hash|"
    r"debugDescription|configuration|preferences|webView|session"
)
# The nodes around a name that is read; and those around a name that is not the name of
# a variable.
_READS = words_of("""
    value_argument argument_list interpolation interpolated_expression binary_expression
    additive_expression infix_expression equality_expression comparison_expression
    conjunction_expression disjunction_expression parenthesized_expression
    tuple_expression spread_expression as_expression variable_declarator
    property_declaration array_literal collection_literal when_subject array_initializer
    dictionary_literal return_statement statements return_expression
    control_transfer_statement function_body block expression_statement for_statement
    enhanced_for_statement assignment assignment_expression call_expression
    index_expression array_access if_statement guard_statement
    directly_assignable_expression switch_statement when_entry switch_label
""").union(Kind.PATHS, Kind.LAMBDAS, Kind.CHOICES)
_NO_VARIABLES = words_of("""
    value_argument_label navigation_suffix user_type qualified_identifier
    scoped_identifier import package_header package_declaration annotation
    marker_annotation type_alias directive label
""")
# The nodes around the name of a list that read it, and give it no other name.
_LIST_READS = Kind.LOOPS | words_of("""
    spread_expression interpolation interpolated_expression binary_expression
    additive_expression
""")
_OF_THIS_FILE = {"private", "fileprivate"}
# What sets the members of a class from outside; and annotations that set none.
_SETTING = words_of("""
    @Data @Setter @ConfigurationProperties @AllArgsConstructor @Entity @Embeddable
    @Document @JsonClass @Serializable @Model Codable Decodable Mappable BaseMappable
    NSCoding NSSecureCoding NSManagedObject
""")
_PLAIN_MARKS = {f"@{o}" for o in Library.PLAIN_ANNOTATIONS - {"Inject", "Named"}}
_PLAIN_READS = words_of("""
    forEach getKey getValue key value map indices contains containsKey isEmpty
    isNotEmpty
""")
_SAME_LIST = words_of("getValue value get getOrDefault orEmpty asIterable")
_OF_ENTRIES = words_of("key value getKey getValue")
_OF_PARTS = Library.VIEWS | Library.VIEWS_OF | Library.COPIES | Library.EACH
_OF_PARTS |= {"map", "asIterable"}
_THROUGH = Kind.CALLS | {"parenthesized_expression", "argument_list"}
LISTS, ENTRIES = "a list that is in a list", "an entry of a map"
_FIXED_TYPE = re.compile(r"(List|Set|Map|Collection)\b")
_CASTS = re.compile(r"\bas\??\s+[\w.]*(?:Mutable|ArrayList)|\bCollections\b")
_OURS = re.compile(
    r"(?:kotlinx?|javax?|androidx?|okhttp3|org\.koin|io\.(?:ktor|flutter)"
    r"|com\.(?:facebook\.react|bumptech\.glide)|org\.apache\.cordova|coil3?)\."
)


class Declared(NamedTuple):
    """A declaration.

    Attributes:
        name: the node of the name.
        scope: the node in which it is known.
        value: its expression.
        why: the reason why the file does not say the value, or empty.
        owner: the class of a member.
    """

    name: Node
    scope: Node
    value: Node | None
    why: str
    owner: str = ""


class Names(Tree):
    """The names of one file."""

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self._counting = {"for_statement"} if language == "java" else set()
        self.adds: set[int] = set()  # calls of builders, which change no argument
        self._declared: dict[str, list[Declared]] = {}
        self._changed: set[str] = set()
        self._uses: dict[str, list[Node]] = {}
        self._functions: Counter[str] = Counter()
        self._bodies: list[Function] = []
        self._helpers: list[Function] = []
        self._extensions: list[Function] = []
        self._labels: set[str] = set()
        self._aliases: list[list[str]] = []
        self._elements: set[int] = set()
        self._gifts: set[int] = set()
        self._given: dict[tuple[int, str], list[Node]] = {}
        self._imported: set[str] = set()
        self._libraries: set[str] = set()
        self._classes: dict[str, set[str]] = {}
        self._class_nodes: dict[str, list[Node]] = {}
        self._hiding: set[str] = set()  # names of types that may hide a class
        self._whole: set[str] = set()  # paths of classes that are not only extended
        self._checked: set[tuple[int, bool, str]] = set()
        for node in self.nodes:
            self._note(node)
            self._note_change(node)
        if language == "swift":  # what has a wrapper is changed by it
            self._changed |= {use[1:] for use in self._uses if use.startswith("$")}
        for one in [one for node in self.nodes for one in self._declarations(node)]:
            self._declared.setdefault(text_of(one.name), []).append(one)

    def _note(self, node: Node) -> None:
        name = node.child_by_field_name("name")
        if node.type in Kind.NAMES:
            self._uses.setdefault(text_of(node), []).append(node)
        elif node.type == "subscript_declaration":
            self._functions["subscript"] += 1
        elif node.type in Kind.FUNCTIONS and name:
            self._functions[text_of(name)] += 1
            self._note_body(node, name)
        elif node.type in Kind.CLASSES and name:
            path = self._path_of(node)
            self._classes.setdefault(path.rpartition(".")[2], set()).add(path)
            self._class_nodes.setdefault(text_of(name), []).append(node)
            self._whole |= {path} if "extension" not in tokens_of(node) else set()
        elif node.type in _NAMING_TYPES:
            head = re.split("[=:]", text_of(node))[0]
            self._hiding |= {*re.findall(r"\w+", head)}
        elif node.type == "value_argument_label":
            self._labels.add(text_of(node))
        elif node.type == "type_alias":
            words = re.findall(r"\w+", text_of(node).partition("alias")[2])
            self._aliases += [words] if words else []
        elif node.type.startswith("import"):
            words = text_of(node).rstrip(";").split()
            of = words[1] if "as" in words else words[-1]
            self._libraries |= {of, ".".join(of.split(".")[:2])}
            is_alias = of != words[-1] and not of.startswith("okhttp3.")
            if len(words) > 1 and (is_alias or not _OURS.match(of)):
                self._imported.add(words[-1].rpartition(".")[2])

    def _note_body(self, node: Node, name: Node) -> None:
        """Note a function, its parameters, and its body if that is one expression."""
        inner = children_of(node)
        is_empty = not inner or inner[-1].type in Kind.TYPES  # of another file
        body = None if is_empty else self._returned(inner[-1])
        marks = re.findall(r"@([\w.]+)", " ".join(self._modifiers(node)))
        is_strange = "type_parameters" in tokens_of(node)
        is_strange |= not Library.PLAIN_ANNOTATIONS.issuperset(marks)
        listed = parameters_of(node)
        if listed is None or is_strange:
            return
        if self._is_of_other(name):
            self._extensions.append(Function(node, name, listed, body or node))
        else:
            self._helpers.append(Function(node, name, listed, body or node))
            self._bodies += self._helpers[-1:] if body else []

    def _returned(self, body: Node) -> Node | None:
        """Return the only expression that a function returns, at its end."""
        if (found := expression_of(body)) is not None:
            return found
        jumps = [one for one in self.nodes_in(body) if one.type in Kind.JUMPS]
        while body.type in {"function_body", "block", "statements"}:
            body = (children_of(body) or [self.nodes[0]])[-1]
        is_last = jumps == [body] and text_of(body).startswith("return ")
        return expression_of(body) if is_last else None

    def _path_of(self, node: Node) -> str:
        """Return the names of a class and of those around it, with dots between."""
        around = [*self.around(node, Kind.CLASSES)]
        around = [node, *around] if node.type in Kind.CLASSES else around
        names = [o.child_by_field_name("name") for o in reversed(around)]
        return ".".join(text_of(name) for name in names if name)

    def is_hidden(self, name: str) -> bool:
        """Return whether a library's function may mean another one in this file."""
        # An object with `invoke` is called by its name, as a function is.
        is_called = name in self._declared or name in self._classes
        return self._is_function(name) or (is_called and self._language != "java")

    def _is_function(self, name: str) -> bool:
        return name in self._functions or name in self._imported

    def is_declared(self, name: str) -> bool:
        """Return whether the name of a library's class means something else here."""
        names = {*self._declared, *self._classes, *self._hiding}
        return name in names or self.is_hidden(name)

    def _note_change(self, node: Node) -> None:
        """Note a name if a statement assigns to it or to an element of it.

        If a member gets its only value where an object or a class is initialized, this
        is noted as its value. An element that is set is noted: it may be of a list.
        """
        if self._language == "swift" and children_of(node, {"custom_operator"}):
            self._changed |= {text_of(o) for o in names_in(node)}
        if "assignment" not in node.type or self._note_given(node):
            return
        if text_of(node).startswith("("):  # a tuple
            self._changed |= {text_of(o) for o in names_in(node.named_children[0])}
        left: Node | None = node.named_children[0]
        if (element := element_of(node)) is not None:
            self._elements.add(element[0].id)
            return
        while left is not None and left.type not in Kind.NAMES:
            if left.type in Kind.PATHS:
                self._changed.add(text_of(left).rpartition(".")[2])
            left = left.named_children[0] if left.named_children else None
        if left is not None:
            self._changed.add(text_of(left))
        elif "self" in text_of(node).partition("=")[0].split():
            self._changed.add("self")

    def _note_given(self, node: Node) -> bool:
        """Note the value that a member gets in a constructor or an initializer block.

        Only if the member's declaration has no value, and the statement always runs.
        """
        around = [o for o in self.around(node) if o.type not in Kind.WRAPPED]
        begins, body = (*around, node, node)[:2]
        if begins.type not in Kind.BEGINNINGS or body.type not in Kind.BODIES:
            return False
        left, right = node.named_children[0], node.named_children[-1]
        name = re.sub(r"\s|^\s*(this|self)\.", "", text_of(left))
        heads = [one for one in self.parent(body).named_children if one != body]
        taken = [o for one in (begins, *heads) for o in self.nodes_in(one)]
        known = [names_in(one)[:2] for one in taken if one.type in _DECLARE]
        is_own = name != text_of(left) or name not in map(text_of, chain(*known))
        is_plain = [c.type for c in node.children if not c.is_named] == ["="]
        is_plain = is_plain and not any(one.type in Kind.JUMPS for one in taken)
        if not (is_own and is_plain) or name not in _empty_fields(body):
            return False
        self._given.setdefault((body.id, name), []).append(right)
        self._gifts |= {one.id for one in (*[*self.nodes_in(left)][-1:], right)}
        return True

    def _declarations(self, node: Node) -> Iterator[Declared]:  # noqa: C901, PLR0912 - by type
        kind, outer, whole = (
            node.type,
            self.parent(node),
            self.parent(self.parent(node)),
        )
        name = node.child_by_field_name("name")
        if kind == "variable_declarator" and name and whole.type == "for_statement":
            yield Declared(name, whole, None, OF_LOOP)
        elif kind == "variable_declarator" and name:  # Java
            value = node.child_by_field_name("value")
            if outer.type != "spread_parameter":  # see below
                yield self._variable(outer, name, value, "final")
        elif kind == "property_declaration":  # Kotlin and Swift
            yield from self._property(node, name)
        elif kind in Kind.LOOPS - self._counting and not (
            node.child_by_field_name("condition")
        ):
            target = name or node.child_by_field_name("item") or node.named_children[0]
            yield from (Declared(o, node, None, OF_LOOP) for o in names_in(target))
        elif kind in Kind.LAMBDAS:
            heads = children_of(node, {"lambda_parameters"})
            if listed := node.child_by_field_name("parameters"):
                heads = [listed] if listed.type != "formal_parameters" else []
            names = [name for head in heads for name in names_in(head)]
            yield from (Declared(one, node, None, PARAMETER) for one in names)
        elif kind in Kind.PARAMETERS:
            found = [name] if name else children_of(node, Kind.NAMES)
            if kind == "spread_parameter":
                found = names_in(children_of(node)[-1])
            # A default may be a name, too: it comes last in Kotlin's classes alone.
            for one in found[:1] if kind == "class_parameter" else found[-1:]:
                scope, owner = self._scope(one), ""
                if kind == "class_parameter":  # which hides a property of the class
                    is_member = {"val", "var"} & tokens_of(node)
                    owner = self._path_of(scope) if is_member else ""
                    scope = (*children_of(scope, Kind.BODIES), scope)[0]
                elif whole.type == "record_declaration":
                    owner = self._path_of(whole)
                yield Declared(one, scope, None, PARAMETER, owner)
        elif kind == "catch_block":
            heads = children_of(node, {"pattern"})  # of Swift
            names = [name for head in heads for name in names_in(head)]
            names = names or names_in(node)[:1]
            yield from (Declared(one, node, None, AT_RUN_TIME) for one in names)
        if not (kind in Kind.LOOPS or outer.type in _BINDERS):
            for one in node.children_by_field_name("bound_identifier"):
                yield Declared(one, self._scope(one), None, AT_RUN_TIME)

    def _scope(self, node: Node) -> Node:
        return next(self.around(node, _SCOPES), self.nodes[0])  # if the parser lost it

    def _property(self, node: Node, named: Node | None) -> Iterator[Declared]:
        tokens = [child.type for child in node.children]
        value = node.child_by_field_name("value")
        if value is None and "=" in tokens:
            value = node.children[tokens.index("=") + 1]
        names: list[Node] = names_in(named) if named else []
        is_fixed = {"val", "let"} & {*tokens, *map(text_of, node.named_children)}
        for child in node.named_children:
            if "variable_declaration" in child.type:
                names = names_in(child)
            elif child.type == "property_delegate":
                value = child.named_children[0]
                call = self.call(value)
                if call.name != "lazy" or call.arguments:
                    value = None
            elif child.type == "computed_property":
                own = _OF_THIS_FILE & self._modifiers(node)
                is_fixed |= own or ({"final"} if self._is_final(node) else set())
                of = tokens_of(self.parent(self.parent(node)))
                is_apart = {"struct", "enum"} & of or self._is_only(names)
                value = expression_of(child) if is_fixed and is_apart else None
            elif child.type == "getter":
                is_own = self._is_final(node) or self.parent(node).type in Kind.TOPS
                is_of_other = children_of(node, Kind.TYPES) or value
                body = children_of(child)[-1:] if is_own and not is_of_other else []
                value = expression_of(body[0]) if body else None
        for name in names:
            one = value if len(names) == 1 else None
            found = self._variable(node, name, one, "" if is_fixed else "val or let")
            is_label = self._language == "swift" and text_of(name) in self._labels
            why = "may be another one in a struct that has it"
            yield found._replace(why=why) if is_label and not is_fixed else found

    def _is_only(self, names: list[Node]) -> bool:
        """Return whether each of these names is declared once in the file."""
        uses = [o for name in names for o in self._uses[text_of(name)]]
        return sum(self.parent(one).type == "pattern" for one in uses) == len(names)

    def _variable(
        self, node: Node, name: Node, value: Node | None, fixed_by: str
    ) -> Declared:
        scope, owner = self.parent(node), ""
        head = text_of(node).partition("=")[0].split()
        is_wide = scope.type in Kind.TOPS | Kind.BODIES and "private" not in head
        if scope.type in Kind.BODIES:
            given = self._given.get((scope.id, text_of(name)), [])
            value = given[0] if len(given) == 1 else value
            scope, owner = self._class(scope)
            head += ["final"] if node.type == "constant_declaration" else []
        why, words = "", self._modifiers(node)
        home = self.parent(self.parent(node))
        marks = {one.partition("(")[0] for one in words if one.startswith("@")}
        is_of_object = not {"static", "const"} & words and "static" not in head
        if self.parent(node).type in Kind.BODIES and is_of_object:
            outer = self._modifiers(home) | self._bases_of(home)
            marks |= {o for o in outer if o.partition("(")[0] in _SETTING}
        is_marked = self._language == "swift" and any(o.startswith("@") for o in words)
        if value is None or is_marked:
            why = AT_RUN_TIME
        elif text_of(name) in self._changed:
            why = CHANGED
        elif marks - _PLAIN_MARKS:
            mark = min(marks - _PLAIN_MARKS).partition("(")[0]
            why = f"may be set by what {mark} stands for; remove this, or move it out"
        elif is_wide and any(map(self._is_open, self.nodes_in(value))):
            why = "is a list that other files can change; make it private"
        elif is_wide and fixed_by and fixed_by not in head:
            why = f"can be changed by other files; declare it {fixed_by}"
        elif {"open", "lateinit"} & {*head, *words} or (
            "override" in words and not self._is_final(node)
        ):
            why = "can be another one in a class that inherits it"
        return Declared(name, scope, value, why, owner)

    def _class(self, body: Node) -> tuple[Node, str]:
        """Return the scope and the class of members; for a companion, those around."""
        declared = self.parent(body)
        if declared.type == "companion_object":
            body = self.parent(declared)
            declared = self.parent(body)
        is_class = declared.type in Kind.CLASSES - {"object_literal"}
        return body, self._path_of(declared) if is_class else ""

    def _is_open(self, value: Node | None) -> bool:
        """Return whether anybody who has a list can add to it, or remove from it."""
        waiting, seen = [value], set[int]()
        while waiting:
            if (node := waiting.pop()) is None or node.id in seen:
                continue
            seen.add(node.id)
            call = self.call(node)
            name = call.name.partition("<")[0]
            if name in Library.OPEN and not call.receiver:
                return True
            if name in {"apply", "also"}:
                waiting.append(call.receiver)
            elif name == "lazy" or node.type in {*_WHOLE, *Kind.LAMBDAS}:
                waiting += [call.block] if call.block else children_of(node)
            elif name in self._functions:
                waiting += [o.body for o in self._bodies if text_of(o.name) == name]
        return False

    def declared_in(self, scope: Node) -> list[Node]:
        """Return the variables of the turns of a loop or a lambda, in their order."""
        found = [o.name for d in self._declared.values() for o in d if o.scope == scope]
        if scope.type == "lambda_literal":  # whose statements may declare more
            heads = children_of(scope, Kind.LAMBDA_HEADS)
            found = [name for name in found if any(self._has(o, name) for o in heads)]
        return sorted(found, key=lambda name: name.start_byte)

    def find(self, use: Node) -> Declared | None:
        """Return the declaration that a name means; None if the file has none."""
        found: list[tuple[int, Declared]] = []
        known = self._declared.get(text_of(use), ())
        parts: dict[str, Node] = {}  # of a type of Swift, which may have several parts
        if self._language == "swift" and any(one.owner for one in known):
            around = [*self.around(use, Kind.CLASSES)]
            parts = {self._path_of(outer): outer for outer in reversed(around)}
            # An extension that names an alias, or a module, may be of any type.
            lost = [outer for path, outer in parts.items() if path not in self._whole]
            owners = {one.owner for one in known if one.owner} - parts.keys()
            parts |= dict.fromkeys(owners, lost[0]) if lost else {}
        for one in known:
            scope = parts.get(one.owner, one.scope)
            is_wide = one.owner or one.scope.type in _WIDE
            is_known = is_wide or one.name.start_byte <= use.start_byte
            if is_known and self._has(scope, use):
                found.append((scope.end_byte - scope.start_byte, one))
        size = min((size for size, _ in found), default=0)
        nearest = [one for own, one in found if own == size]
        if len(nearest) > 1 and use.id not in {one.name.id for one in nearest}:
            raise UnknownError(use, "is declared more than once")
        return nearest[0] if nearest else None

    def runs_with(self, block: Node, made: Node) -> bool:
        """Return whether an initializer runs once each time that *made* is made.

        True if *block* is no initializer. Objects and their class are initialized at
        different times.
        """
        body = self.parent(block)
        is_block = block.type == "block" and body.type in Kind.BODIES
        if not is_block and not block.type.endswith("_initializer"):
            return True
        member = self._member_of(made)
        is_static = "static" in text_of(member).partition("=")[0].split()
        is_same = is_static == (block.type == "static_initializer")
        return self.parent(member) == body and (is_same or self._language != "java")

    def check_meaning(self, use: Node, declared: Declared) -> None:
        """Refuse a name that something between it and its declaration may hide."""
        scope = declared.scope
        is_local = not declared.owner and scope.type not in {*Kind.TOPS, *Kind.BODIES}
        around = self.around(declared.name) if declared.owner else iter(())
        home = next((o for o in around if o.type in Kind.CLASSES), scope)
        if scope.type in Kind.TOPS and text_of(use) in self._imported:
            raise UnknownError(use, "is imported, and declared in this file as well")
        is_function = self.parent(declared.name).type in Kind.FUNCTIONS
        is_it = is_function and self._is_of_other(declared.name)
        is_kotlin = self._language == "kotlin" and not (is_local or is_it)
        if is_kotlin and self._is_extended(text_of(use)):
            raise UnknownError(use, "may be an extension that has this name")
        for outer in self.around(use):
            is_part = self._language == "swift" and outer.type in Kind.CLASSES
            is_part = is_part and self._path_of(outer) == declared.owner
            is_end = is_part or outer.id in {scope.id, home.id}
            if is_end and (home.type != "companion_object" or outer.id == home.id):
                return
            # What a class inherits comes before what its companion has.
            within = self.parent(scope) if is_end else outer
            hides = self._hides(within, declared, is_local=is_local)
            if hides:
                is_top = not is_local and not declared.owner
                way = "move it into an object and write" if is_top else "write"
                why = f"is in {hides}, which may have this name; {way} Class.name"
                raise UnknownError(use, why)
            if is_end:
                return

    def _hides(
        self, outer: Node, declared: Declared | None = None, *, is_local: bool
    ) -> str:
        """Return what may hide a name inside of a node, or nothing."""
        name = text_of(declared.name) if declared else ""
        if outer.type in Kind.CLASSES:
            is_known = self._has_no_other(outer, declared, [])
            is_other = declared is not None and declared.owner != self._path_of(outer)
            bases = self._bases_of(outer) if is_other and not is_local else set()
            is_known = is_known and not (bases and _OF_PLATFORMS.fullmatch(name))
            is_enum = "enum" in tokens_of(outer) or "enum" in self._modifiers(outer)
            if is_enum and name in {"name", "ordinal", "entries"} and not is_local:
                return "an enum"
            return "" if is_known else "a class that inherits"
        if self._language != "kotlin":
            return ""
        if outer.type in Kind.LAMBDAS and not is_local:
            is_plain = self._is_plain(outer) or self._is_of_list(outer, declared)
            call = self.call_of(outer).name
            members = _OF_OKHTTP if call in {"apply", "run", "with"} else set()
            members = {"id", "logger"} if call in _OF_KOIN else members
            is_plain = is_plain and name not in members
            return "" if is_plain else "a block with its own `this`"
        if outer.type in Kind.EXTENDED:
            of = (*children_of(outer, _HEADS), outer)[0]
            is_ours = _BUILDERS.fullmatch(text_of(of)) and name not in _OF_OKHTTP
            if of.type in Kind.TYPES and not is_ours:
                return "a function of another class"
        return ""

    def _bases_of(self, of: Node) -> set[str]:
        """Return the words in what a class inherits, in all its parts."""
        parts = [of]
        if self._language == "swift":
            parts += self._class_nodes.get(self._path_of(of), [])
        kinds = Kind.BASES - Kind.BODIES
        bases = [text_of(o) for part in parts for o in children_of(part, kinds)]
        bases += [self._path_of(of)] if "extension" in tokens_of(of) else []
        return {*re.findall(r"\w+", " ".join(bases))} - {"extends", "implements"}

    def _has_no_other(
        self, of: Node, declared: Declared | None, seen: list[Node]
    ) -> bool:
        """Return whether a class inherits nothing with the name of a declaration.

        Each class that it inherits must be of the platforms, or of this file. If one is
        of this file, no other member in the file may have that name.
        """
        is_new = of.type == "object_creation_expression"
        kinds = Kind.BASES if is_new else Kind.BASES - Kind.BODIES
        bodies = children_of(of, Kind.BODIES)
        # In Kotlin, all classes below find what a companion has, and what it inherits.
        companions = [o for b in bodies for o in children_of(b, {"companion_object"})]
        parts = self._class_nodes.get(self._path_of(of), ())
        parts = parts if self._language == "swift" else ()
        bases = [o for p in (of, *companions, *parts) for o in children_of(p, kinds)]
        text = " ".join(map(text_of, bases)).replace("ViewModelProvider.Factory", "")
        text = text if is_new else re.sub(r"<.*?>+", "", text)
        words = {*re.findall(r"\w+", text)}
        if words & self._imported:
            return False
        there = [
            n for n, library in _OF_LIBRARIES.items() if library in self._libraries
        ]
        words -= {*there} - self._class_nodes.keys()
        is_part = "extension" in tokens_of(of)
        words |= {self._path_of(of).rpartition(".")[2]} if is_part else set()
        named = [(w, o) for w in words for o in self._class_nodes.get(w, ())]
        own = {word for word, one in named if "extension" not in tokens_of(one)}
        if not words - own <= _PLAIN_BASES:
            return False
        if own:
            name = text_of(declared.name) if declared else ""
            known = [o for o in self._declared.get(name, ()) if o != declared]
            is_member = any(o.owner or o.scope.type in Kind.BODIES for o in known)
            is_hidden = is_member or name in self._classes or self._is_extended(name)
            if declared is None or is_hidden:
                return False
        inner = [o for name in own for o in self._class_nodes.get(name, [])]
        inner = [one for one in inner if one not in seen]
        return all(self._has_no_other(o, declared, [*seen, of]) for o in inner)

    def _is_plain(self, block: Node) -> bool:
        """Return whether a block has no `this` that can hide names of the file."""
        call = self.call_of(block)
        # The parser takes `single<Type> { }` for two comparisons.
        lost = re.match(r"(\w+)<[\w.]+>\s*\{", text_of(self.parent(block)))
        name = lost[1] if lost and not call.name else call.name
        if self.is_hidden(name):
            return False
        is_same = call.receiver is None and call.name in {"apply", "run"}
        is_of_koin = name in _OF_KOIN and "org.koin" in self._libraries
        if is_same or call.name in _PLAIN_BLOCKS or is_of_koin:
            return True
        if name in _OF_KTOR and "io.ktor" in self._libraries:
            wider = next(self.around(block, Kind.LAMBDAS), block)
            return _OF_KTOR[name] in {"", self.call_of(wider).name}
        given = call.arguments[0][1] if call.arguments else None
        of = given if call.name == "with" else call.receiver
        declared = self.find(of) if of and of.type in Kind.NAMES else None
        of = (declared.value if declared else None) or of
        text = re.sub(r"\s", "", text_of(of)) if of else ""
        return call.name in {"apply", "run", "with"} and bool(_BUILDERS.fullmatch(text))

    def _is_of_list(self, block: Node, declared: Declared | None) -> bool:
        call, name = self.call_of(block), declared and text_of(declared.name)
        is_new = call.name in Library.BUILDING and not self.is_hidden(call.name)
        is_list = is_new or (call.name == "apply" and self._is_open(call.receiver))
        return bool(name) and name not in _OF_LISTS and is_list

    def member(self, path: Node) -> Declared | None:
        """Return the declaration that ``Class.name`` or ``this.name`` means."""
        owner, _, name = re.sub(r"[\s?`]", "", text_of(path)).rpartition(".")
        owner = owner.removesuffix(".Companion")
        found = [one for one in self._declared.get(name, ()) if one.owner]
        around = [*self.around(path, {*Kind.BODIES, *Kind.LAMBDAS})]
        if owner in {"this", "self", "Self", "Companion"}:
            if owner == "this" and self._language == "kotlin":
                around = around[:1]  # in a block, `this` is something else
                functions = takewhile(
                    lambda o: o.type not in Kind.BODIES,
                    self.around(path, Kind.EXTENDED | Kind.BODIES),
                )
                if any(self._hides(one, is_local=False) for one in functions):
                    return None
            bodies = [outer for outer in around if outer.type in Kind.BODIES][:1]
            owners = [self._class(o)[1] for o in bodies if self._language == "swift"]
            found = [o for o in found if o.scope in bodies or o.owner in owners]
            return found[0] if len(found) == 1 else None
        first, last = owner.partition(".")[0], owner.rpartition(".")[2]
        is_module = self._language == "swift" and first in self._classes
        if self._language == "swift" and first in self._hiding:
            return None
        if (first in self._imported and not is_module) or first in self._declared:
            return None
        here = [self._path_of(outer) for outer in self.around(path, Kind.CLASSES)]
        paths = {owner, *(f"{path}.{owner}" for path in here)}
        found = [one for one in found if one.owner in paths]
        is_clear = len(found) == 1 and len(self._classes.get(last, ())) <= 1
        return found[0] if is_clear else None

    def uses_of(self, name: Node) -> list[Node]:
        """Return all places where the text of a name stands as a name."""
        return self._uses.get(text_of(name), [])

    def check_uses(
        self,
        declared: Declared,
        *,
        is_list: bool,
        known: Collection[int] = (),
        parts: str = "",
    ) -> None:
        """Refuse a variable if a use of its name may change it, or its *parts*.

        Parts are the entries of a map, or lists.
        """
        key = (declared.name.id, is_list, parts)
        if key in self._checked:
            return
        names = {one.name.id for one in self._declared[text_of(declared.name)]}
        for use in self._uses[text_of(declared.name)]:
            node, outer = use, self.parent(use)
            is_first = outer.named_children[:1] == [use]
            is_argument = outer.type == "value_argument"
            is_label = is_first and is_argument and argument_of(outer)[0]
            # This is how the head of a loop of Java counts up.
            is_step = outer.type == "update_expression"
            loop = self.parent(outer)
            is_step = is_step and declared.scope == loop
            is_step = is_step and loop.child_by_field_name("update") == outer
            if is_label or is_step or use.id in {*known, *self._gifts}:
                continue
            if outer.type == "navigation_suffix":
                outer = self.parent(outer)
            elif use.id in names or outer.type in _NO_VARIABLES:
                continue
            if outer.type in Kind.PATHS and children_of(outer)[0].id != node.id:
                member = self.member(outer)  # None may mean that of another object
                of_other = member is not None and member != declared
                node, outer = outer, self.parent(outer)
                is_call = outer.type == "call_expression"
                is_call = is_call and outer.named_children[0] == node
                if not declared.owner or of_other or is_call:
                    continue
            elif self.find(use) != declared or (
                outer.type in _NAMED and outer.child_by_field_name("name") == use
            ):
                continue
            is_key = "key_path" in node.named_children[0].type if node != use else False
            is_key = is_key or use.id in self._elements
            is_key = is_key or (not is_list and self._is_sent(declared, outer))
            self._check_parts(node, parts)
            if is_key or not self._is_read(node, outer, is_list=is_list):
                raise UnknownError(node, f"{CHANGED}: see line {line_of(use)}")
        self._checked.add(key)

    def _is_sent(self, declared: Declared, path: Node) -> bool:
        """Return whether Swift calls a method of a variable, which may change it."""
        home = self.parent(self.parent(declared.name))
        is_var = "var" in map(text_of, home.named_children)
        while self.parent(path).type in Kind.PATHS:
            path = self.parent(path)
        is_callee = self.parent(path).type in Kind.CALLS and path.type in Kind.PATHS
        return self._language == "swift" and is_var and is_callee

    def _is_read(  # noqa: C901, PLR0911 - by kind of place
        self, node: Node, outer: Node, *, is_list: bool
    ) -> bool:
        """Return whether a use of a name reads it, and hands no list on."""
        is_implied = outer.type == "prefix_expression" and text_of(outer)[0] == "."
        is_call = outer.type == "method_invocation" or is_implied
        if not is_list or not (is_call or outer.type in _READS):
            return outer.type in _READS or is_call
        if outer.type in _LIST_READS:
            is_own = any(map(self._is_extended, ("plus", "minus", "iterator")))
            return not is_own and "?:" not in tokens_of(outer)
        if outer.type not in Kind.PATHS and self._language == "swift":
            return True  # it reads a copy
        if outer.type in {"value_argument", "argument_list"}:
            whole = next((o for o in self.around(node) if self.call(o).name), outer)
            return whole.id in self.adds or self._is_in_view(node, whole)
        if outer.type == "parenthesized_expression":
            return self._is_read(outer, self.parent(outer), is_list=True)
        if outer.type in {"return_statement", "function_body"}:
            return self._is_getter(outer, node)
        if outer.type in {"index_expression", "array_access"}:
            whole = self.parent(outer)
            member = text_of(whole).rpartition(".")[2]
            is_member = whole.type in Kind.PATHS and member in self._declared
            is_member = is_member and "call" not in self.parent(whole).type
            return is_member or self._is_read(outer, whole, is_list=True)
        named = outer.child_by_field_name("name") or outer
        name = re.sub(r"[\s?]", "", text_of(named)).rpartition(".")[2]
        is_own = self._language == "kotlin" and self._is_extended(name)
        if is_own or not (is_call or outer.type in Kind.PATHS):
            return False
        if name in Library.VIEWS | Library.KEYS:
            around = [o for o in self.around(outer) if o.type not in Kind.CALLS]
            is_loop = around[0].type in Kind.LOOPS
            is_loop = is_loop and not around[0].child_by_field_name("condition")
            return is_loop or "forEach" in text_of(around[0])[-9:]
        if name in _SAME_LIST:
            while self.parent(outer).type == "call_expression":
                outer = self.parent(outer)
            return self._is_read(outer, self.parent(outer), is_list=True)
        return name in Library.COPIES | Library.SIZES | _PLAIN_READS

    def _check_parts(self, node: Node, parts: str) -> bool:
        """Refuse a loop over a list, or over a copy of it, that hands a part on.

        Return whether it is known where all parts go.
        """
        is_copy, is_each = False, False
        for outer in self.around(node) if parts else ():
            call = self.call(outer)
            block = outer if outer.type in Kind.LOOPS else call.block
            if block is not None:
                self._check_turns(block, parts)
                return True
            name = call.name or text_of(outer).rpartition(".")[2]
            if outer.type in Kind.PATHS or call.name:
                if name not in _OF_PARTS:
                    break
                is_copy = name not in Library.VIEWS
                is_each = name in Library.EACH and self._language == "kotlin"
            elif outer.type not in _THROUGH:
                is_new = is_copy or node.type in Kind.CALLS
                if parts == LISTS and self._goes_on(outer, is_new=is_new):
                    return True
                break
        if is_each or (is_copy and parts == LISTS):
            raise UnknownError(node, f"may change {parts}")
        return False

    def _goes_on(self, outer: Node, *, is_new: bool) -> bool:
        """Check the uses of lists in a list that is returned, or gets a name."""
        if outer.type in {"return_statement", "function_body"}:
            function = next(self.around(outer, Kind.FUNCTIONS), outer)
            names = function.children_by_field_name("name")
            for name in names:
                self._check_results(text_of(name), LISTS)
            return bool(names)
        if is_new and outer.type in {"variable_declarator", "assignment_expression"}:
            declared = self.find(names_in(outer.named_children[0])[-1])
            with self.deeper(outer):
                if declared is not None:
                    self.check_uses(declared, is_list=True, parts=LISTS)
            return declared is not None
        return False

    def _check_turns(self, block: Node, parts: str) -> None:
        """Refuse a loop or a block that does more than read the parts in its turns."""
        names = self.declared_in(block)
        uses = self.uses_of(names[-1]) if names else self._uses.get("it", [])
        if parts == ENTRIES and len(names) > 1:
            return  # they are texts
        for use in [one for one in uses if self._has(block, one) and one not in names]:
            meant = self.find(use) if names else self.block_of_it(use)
            outer = self.parent(use)
            name = outer.child_by_field_name("name") or outer
            is_read = text_of(name).rpartition(".")[2] in _OF_ENTRIES
            if parts == LISTS:
                is_read = self._is_read(use, outer, is_list=True)
            if meant == (self.find(names[-1]) if names else block) and not is_read:
                raise UnknownError(outer, f"may change {parts}")

    def _is_in_view(self, node: Node, whole: Node) -> bool:
        """Return whether a call makes a view or a copy in which no list can grow."""
        call = self.call(whole)
        of = text_of(call.receiver) if call.receiver else ""
        is_view = call.name in Library.VIEWS_OF and len(call.arguments) == 1
        is_view = is_view and of in {"Collections", "List", "Set", "Map"}
        if re.match(r"(Stream\.of|Arrays\.stream)\(", text_of(whole)):
            declared = self.find(node) if node.type in Kind.NAMES else None
            home = text_of(self.parent(self.parent(declared.name))) if declared else ""
            is_array = re.match(r"[^=]*\bString\s*\[\]\s*\w+\s*=", home) is not None
            is_view = is_array and self._language == "java" and len(call.arguments) == 1
        is_own = self.is_declared(of) or self.is_hidden(call.name)
        is_plain = node.type in Kind.NAMES and not self._has_open(node)
        return is_view and is_plain and not is_own

    def _is_getter(self, outer: Node, given: Node) -> bool:
        """Return whether a function returns a list, and its results are only read."""
        function = next(self.around(outer, Kind.FUNCTIONS), outer)
        name = function.child_by_field_name("name")
        if name is None:
            return False
        self._check_results(text_of(name))
        types = " ".join(map(text_of, children_of(function, Kind.TYPES)))
        is_fixed = self._language == "kotlin" and _FIXED_TYPE.match(types)
        if is_fixed or "private" in self._modifiers(function):
            return True
        inner = self.call(given).receiver
        of = next(o for o in self.nodes_in(inner or given) if o.type in Kind.NAMES)
        declared = self.find(of)
        if inner is None:
            return not self._is_open(declared.value if declared else given)
        return not self._has_open(of)

    def _has_open(self, name: Node) -> bool:
        """Return whether a list or a map may have a list in it that can grow."""
        declared = self.find(name)
        near = [o for use in self.uses_of(name) for o in [*self.around(use)][:3]]
        parts = [part for o in near for _, part in self.call(o).arguments]
        if declared and declared.value:
            parts += [*self.nodes_in(declared.value)][1:]
        are_arrays = any(part.type == "array_creation_expression" for part in parts)
        return are_arrays or any(map(self._is_open, parts))

    def _check_hidden(self, node: Node, *names: str) -> None:
        """Refuse what may call a function of this file, as operators do."""
        if own := [name for name in names if self.is_hidden(name)]:
            raise UnknownError(node, f"may be of `{own[0]}`, which this file has")

    def block_of_it(self, node: Node) -> Node | None:
        """Return the block whose `it` a node is; a block with a `this` has none."""
        if "it" in self._declared:
            raise UnknownError(node, "is a name of this file, and of a block as well")
        for outer in self.around(node, Kind.LAMBDAS):
            is_this = self.call_of(outer).name in {"apply", "run", "with"}
            if not (is_this or self.declared_in(outer)):
                return outer
        return None

    def can_change(self, declared: Declared) -> bool:
        """Return whether a list or a map can be changed through its name."""
        call = self.call(declared.value) if declared.value else None
        is_cast = self._language == "kotlin" and _CASTS.search(text_of(self.nodes[0]))
        if call and call.name in Library.FROZEN and not is_cast:
            return False
        outer = self.parent(self.parent(declared.name))
        is_let = "let" in map(text_of, outer.named_children)
        return self._language != "swift" or not is_let

    def _is_final(self, node: Node) -> bool:
        """Return whether no class can override a member."""
        words, body = self._modifiers(node), self.parent(node)
        of = self.parent(body)
        if "open" in words or body.type not in Kind.BODIES:
            return False
        if {"private", "static", "final", "fileprivate"} & words:
            return True
        around = self._modifiers(of)
        if self._language == "kotlin":
            is_plain = not {"open", "abstract", "sealed"} & (around | words)
            is_plain = is_plain and not ("enum" in around and "override" in words)
            return is_plain and "interface" not in tokens_of(of)
        return bool({"struct", "enum", "record", "final"} & (tokens_of(of) | around))

    def _is_extended(self, name: str) -> bool:
        """Return whether the file extends another's class by a member of this name."""
        for one in self._uses.get(name, []):
            around = next(self.around(one, Kind.CLASSES), one)
            outer = self.parent(one)  # a pattern, of a variable
            is_own = outer.child_by_field_name("name") == one or outer.type == "pattern"
            is_part = is_own and "extension" in tokens_of(around)
            if is_part or self._is_of_other(one):
                return True
        return name in self._imported

    def _is_of_other(self, name: Node) -> bool:
        """Return whether a name is declared as one of another class."""
        outer = self.parent(name)
        if outer.type == "variable_declaration":
            outer = self.parent(outer)
        of = [o for o in children_of(outer, Kind.TYPES) if o.end_byte < name.start_byte]
        return outer.type in Kind.EXTENDED and bool(of)

    def _check_results(self, name: str, parts: str = "") -> None:
        """Refuse a list that something may change after a method has returned it."""
        for use in self._uses.get(name, []):
            node = next(self.around(use, Kind.CALLS), use)
            is_call = self.call(node).name == name
            is_read = "reference" not in self.parent(use).type
            with self.deeper(node):
                if is_call and not self._check_parts(node, parts):
                    is_read = self._is_read(node, self.parent(node), is_list=True)
            if not is_read:
                raise UnknownError(node, f"{CHANGED}: see line {line_of(use)}")

    def _has(self, whole: Node, part: Node) -> bool:
        return whole.start_byte <= part.start_byte and part.end_byte <= whole.end_byte

    def _member_of(self, node: Node) -> Node:
        around, kinds = [node, *self.around(node)], Kind.BODIES | Kind.TOPS
        members = (one for one in around if self.parent(one).type in kinds)
        return next(members, self.nodes[0])  # if the parser lost it


def _empty_fields(body: Node) -> set[str]:
    """Return the names of the members that a class declares without a value."""
    members = [o for p in children_of(body) for o in (p, *children_of(p))]
    parts = [one for p in members for one in (p, *children_of(p))]
    kinds = {"variable_declarator", "property_declaration"}
    empty = [o for o in parts if o.type in kinds and "=" not in tokens_of(o)]
    return {text_of(name) for one in empty for name in names_in(one)[:1]}
