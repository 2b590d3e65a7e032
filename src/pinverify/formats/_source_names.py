"""Names in source code: where they are declared, what they mean, who may change them.

A name means the declaration in the innermost scope around it, unless something between
them may hide that: a class that inherits, a block whose `this` has names of its own. A
variable counts if nothing in the file changes it, and no other file can: each place
where its name stands must be one that is known to read it.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from pinverify.formats._source_tree import (
    AT_RUN_TIME,
    BASES,
    BEGINNINGS,
    BODIES,
    CALLS,
    CHOICES,
    CLASSES,
    COPIES,
    EMPTY,
    EXTENDED,
    FROZEN,
    FUNCTIONS,
    JUMPS,
    LAMBDAS,
    LISTS,
    LOOPS,
    NAMES,
    OF_LOOP,
    PARAMETER,
    PARAMETERS,
    PATHS,
    PLAIN_ANNOTATIONS,
    SIZES,
    TOPS,
    TYPES,
    VIEWS,
    WRAPPED,
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
    words_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from tree_sitter import Node

__all__ = ["Declared", "Names"]

_SCOPES = words_of("""
    for_statement class_declaration block statements catch_clause catch_block
""").union(FUNCTIONS, LAMBDAS, BODIES, TOPS)
_NAMED = {*FUNCTIONS, *BODIES, "method_invocation"}
_WIDE = {*TOPS, *BODIES, "class_declaration"}
# Classes of the systems, which have no members with the names of constants.
_PLAIN_BASES = words_of("""
    extends implements UIResponder UIApplicationDelegate NSObject Activity
    AppCompatActivity ComponentActivity FragmentActivity Application Service Fragment
    ViewModel Interceptor URLSessionDelegate ObservableObject OkHttpClientFactory
""")
# Blocks with no `this` of their own, or with one of a class that is known.
_PLAIN_BLOCKS = words_of("""
    also let forEach lazy map use forEachIndexed onEach runBlocking launch async
    withContext synchronized thread
""")
_OF_KOIN = {"single", "factory", "module"}  # plain if the file imports that library
_BINDERS = {"property_declaration", "for_statement"}
_HEADS = {*TYPES, *NAMES, "variable_declaration", "function_value_parameters"}
_BUILDERS = re.compile(
    r"(?:okhttp3\.)?(?:CertificatePinner|OkHttpClient|Retrofit|Request)"
    r"(?:\.Builder\(\).*|\.Builder|)",
    re.DOTALL,
)
# The places where a name stands that is read, by the node around it; and those where it
# is not the name of a variable.
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
    directly_assignable_expression
""").union(PATHS, LAMBDAS, CHOICES)
_NO_VARIABLES = words_of("""
    value_argument_label navigation_suffix user_type qualified_identifier
    scoped_identifier import package_header package_declaration annotation
    marker_annotation type_alias directive label
""")
# Where a list may stand that something could change under another name.
_LIST_READS = LOOPS | words_of("""
    spread_expression interpolation interpolated_expression binary_expression
    additive_expression parenthesized_expression
""")
_OF_THIS_FILE = {"private", "fileprivate"}
_PLAIN_READS = {"forEach", "getKey", "getValue", "key", "value", "map", "indices"}
_CASTS = re.compile(r"\bas\??\s+[\w.]*(?:Mutable|ArrayList)|\bCollections\b")
_OURS = re.compile(r"(?:kotlinx?|java|javax|android|androidx|okhttp3|org\.koin)\.")
_CHANGED = "is changed in this file, or may be"


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


class Names(Tree):
    """The names of one file.

    Attributes:
        adds: the calls of builders that are known, which change nothing they are given.
    """

    def __init__(self, root: Node, language: str) -> None:
        super().__init__(root, language)
        self.adds: set[int] = set()
        self._declared: dict[str, list[Declared]] = {}
        self._changed: set[str] = set()
        self._uses: dict[str, list[Node]] = {}
        self._functions: Counter[str] = Counter()
        self._bodies: list[Function] = []
        self._labels: set[str] = set()
        self._aliases: list[list[str]] = []
        self._elements: set[int] = set()
        self._gifts: set[int] = set()
        self._given: dict[tuple[int, str], list[Node]] = {}
        self._imported: set[str] = set()
        self._has_koin = False
        self._classes: dict[str, set[str]] = {}
        self._class_nodes: dict[str, list[Node]] = {}
        self._checked: set[tuple[int, bool]] = set()
        for node in self.nodes:
            self._note(node)
            self._note_change(node)
        for node in self.nodes:
            for one in self._declarations(node):
                self._declared.setdefault(text_of(one.name), []).append(one)

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
        elif node.type in CLASSES and name:
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
        inner = children_of(node)
        body = self._returned(inner[-1]) if inner else None
        before = [one for one in inner if one.start_byte < name.start_byte]
        marks = re.findall(r"@[\w.]+", " ".join(self._modifiers(node)))
        is_strange = (
            any(one.type in TYPES for one in before)  # what it is a function of
            or any(one.type == "type_parameters" for one in inner)
            or not {mark[1:] for mark in marks} <= PLAIN_ANNOTATIONS
        )
        listed = parameters_of(node)
        if body and listed is not None and not is_strange:
            self._bodies.append(Function(node, name, listed, body))

    def _returned(self, body: Node) -> Node | None:
        """Return the only expression that a function returns, at its end."""
        if (found := expression_of(body)) is not None:
            return found
        while body.type in {"function_body", "block", "statements"} and children_of(
            body
        ):
            last = children_of(body)[-1]
            jumps = [one for one in self.nodes_in(body) if one.type in JUMPS]
            if jumps == [last] and text_of(last).startswith("return "):
                return expression_of(last)
            body = last
        return None

    def _path_of(self, node: Node) -> str:
        """Return the names of a class and of those around it, with dots between."""
        around = [o for o in (node, *self.around(node)) if o.type in CLASSES]
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

    def _note_change(self, node: Node) -> None:
        """Note a name if the statement assigns to it or to an element of it.

        The only value of a member, assigned as an object or a class begins, is noted
        as its value. An element of a variable is noted as one that may belong to its
        list.
        """
        if "assignment" not in node.type or self._note_given(node):
            return
        left: Node | None = node.named_children[0]
        if (element := element_of(node)) is not None:
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
        around = [o for o in self.around(node) if o.type not in WRAPPED]
        if len(around) < 2 or around[0].type not in BEGINNINGS:  # noqa: PLR2004
            return False
        begins, body = around[0], around[1]
        if body.type not in BODIES:  # of what the parser lost
            return False
        name = re.sub(r"\s|^\s*(this|self)\.", "", text_of(node.named_children[0]))
        is_own = name != text_of(node.named_children[0])
        taken = [*self.nodes_in(begins)]
        taken += [one for one in self._parents[body.id].named_children if one != body]
        names = {
            text_of(found)
            for part in taken
            for one in self.nodes_in(part)
            if one.type in {*PARAMETERS, "variable_declarator", "property_declaration"}
            for found in names_in(one)[:2]
        }
        is_plain = [c.type for c in node.children if not c.is_named] == ["="]
        is_plain = is_plain and not any(one.type in JUMPS for one in taken)
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
            yield Declared(name, self._parents[outer.id], None, OF_LOOP)
        elif kind == "variable_declarator" and name and outer:  # Java
            yield self._variable(
                outer, name, node.child_by_field_name("value"), "final"
            )
        elif kind == "property_declaration":  # Kotlin and Swift
            yield from self._property(node, name)
        elif kind in LOOPS and not node.child_by_field_name("init"):
            target = name or node.child_by_field_name("item") or node.named_children[0]
            for one in names_in(target):
                yield Declared(one, node, None, OF_LOOP)
        elif kind in LAMBDAS:
            heads = [c for c in node.named_children if c.type == "lambda_parameters"]
            if listed := node.child_by_field_name("parameters"):
                heads = [listed] if listed.type != "formal_parameters" else []
            for one in [name for head in heads for name in names_in(head)]:
                yield Declared(one, node, None, PARAMETER)
        elif kind in PARAMETERS:
            found = (
                [name] if name else [c for c in children_of(node) if c.type in NAMES]
            )
            if kind == "spread_parameter":
                found = names_in(children_of(node)[-1])
            # A default may be a name, too: behind it in Kotlin's classes alone.
            for one in found[:1] if kind == "class_parameter" else found[-1:]:
                scope = self._scope(one)
                owner = ""
                if kind == "class_parameter":  # which hides a property of the class
                    is_member = {"val", "var"} & {c.type for c in node.children}
                    owner = self._path_of(scope) if is_member else ""
                    bodies = [c for c in scope.named_children if c.type in BODIES]
                    scope = bodies[0] if bodies else scope
                elif outer and outer.type == "formal_parameters":
                    of = self._parents[outer.id]
                    owner = self._path_of(of) if of.type == "record_declaration" else ""
                yield Declared(one, scope, None, PARAMETER, owner)
        elif kind == "catch_block":
            for one in names_in(node)[:1]:
                yield Declared(one, node, None, AT_RUN_TIME)
        bound = node.child_by_field_name("bound_identifier")
        is_known = kind in LOOPS or (outer and outer.type in _BINDERS)
        if bound and not is_known:
            yield Declared(bound, self._scope(bound), None, AT_RUN_TIME)

    def _scope(self, node: Node) -> Node:
        around = (outer for outer in self.around(node) if outer.type in _SCOPES)
        return next(around, self.nodes[0])  # of what the parser lost

    def _property(self, node: Node, named: Node | None) -> Iterator[Declared]:
        tokens = [child.type for child in node.children]
        outer = self._parents.get(node.id)
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
                if call is None or call.name != "lazy" or call.arguments:
                    value = None
            elif child.type == "computed_property":
                own = _OF_THIS_FILE & self._modifiers(node)
                is_fixed = is_fixed | own
                value = expression_of(child) if own or self._is_final(node) else None
                is_fixed = is_fixed | ({"final"} if self._is_final(node) else set())
            elif child.type == "getter":
                is_own = self._is_final(node) or (outer and outer.type in TOPS)
                is_of_other = any(o.type in TYPES for o in node.named_children)
                is_plain = is_own and not (is_of_other or value)
                body = children_of(child)[-1:] if is_plain else []
                value = expression_of(body[0]) if body else None
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
        if scope.type in BODIES:
            is_wide = True
            given = self._given.get((scope.id, text_of(name)), [])
            value = given[0] if len(given) == 1 else value
            scope, owner = self._class(scope)
            head += ["final"] if node.type == "constant_declaration" else []
        why = ""
        marks = {word for word in self._modifiers(node) if word.startswith("@")}
        if value is None or (marks and self._language == "swift"):
            why = AT_RUN_TIME
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
        is_class = declared.type in CLASSES - {"object_literal"}
        return body, self._path_of(declared) if is_class else ""

    def _is_open(self, value: Node | None) -> bool:
        """Return whether a list is one that who has it can add to, or remove from."""
        call = self.call(value) if value else None
        name = call.name.partition("<")[0] if call and call.receiver is None else ""
        return name in EMPTY | LISTS - {*FROZEN, "arrayOf", "asList"}

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
        is_block = block.type == "block" and body is not None and body.type in BODIES
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
        is_local = not declared.owner and scope.type not in {*TOPS, *BODIES}
        around = self.around(declared.name) if declared.owner else iter(())
        home = next((o for o in around if o.type in CLASSES), scope)
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
        if outer.type in CLASSES:
            bases = [c for c in outer.named_children if c.type in BASES]
            if outer.type != "object_creation_expression":
                bases = [c for c in bases if c.type not in BODIES]
            words = {*re.findall(r"\w+", " ".join(map(text_of, bases)))}
            is_known = words <= _PLAIN_BASES and not words & self._classes.keys()
            return "" if is_known else "a class that inherits"
        if self._language != "kotlin":
            return ""
        if outer.type in LAMBDAS and not is_local:
            return "" if self._is_plain(outer) else "a block with its own `this`"
        if outer.type in EXTENDED:
            of = next((c for c in outer.named_children if c.type in _HEADS), outer)
            if of.type in TYPES and not _BUILDERS.fullmatch(text_of(of)):
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
        around = [o for o in self.around(path) if o.type in {*BODIES, *LAMBDAS}]
        if owner in {"this", "self", "Self", "Companion"}:
            if owner == "this" and self._language == "kotlin":
                around = around[:1]  # in a block, `this` is something else
            bodies = [outer.id for outer in around if outer.type in BODIES][:1]
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
            is_label = outer.type == "value_argument" and argument_of(outer)[0]
            if is_label and outer.named_children[0] == use:
                continue
            if use.id in {*known, *self._gifts} or _is_step(outer):
                continue
            if outer.type == "navigation_suffix":
                outer = self._parents[outer.id]
            elif use.id in names or outer.type in _NO_VARIABLES:
                continue
            if outer.type in PATHS and children_of(outer)[0].id != node.id:
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
            return whole.id in self.adds
        if outer.type in {"return_statement", "function_body"}:
            return self._is_getter(outer)
        if outer.type in {"index_expression", "array_access"}:
            whole = self._parents[outer.id]
            member = text_of(whole).rpartition(".")[2]
            is_member = whole.type in PATHS and member in self._declared
            return is_member or self._is_read(outer, whole, is_list=True)
        named = outer.child_by_field_name("name") or outer
        name = re.sub(r"[\s?]", "", text_of(named)).rpartition(".")[2]
        if name in VIEWS:
            around = [o for o in self.around(outer) if o.type not in CALLS]
            return around[0].type in LOOPS or "forEach" in text_of(around[0])[-9:]
        if name in {"getValue", "value", "get"}:
            while self._parents[outer.id].type == "call_expression":
                outer = self._parents[outer.id]
            return self._is_read(outer, self._parents[outer.id], is_list=True)
        return name in COPIES | SIZES | _PLAIN_READS

    def _is_getter(self, outer: Node) -> bool:
        """Return whether a list goes only where what a function returns is read."""
        function = next((o for o in self.around(outer) if o.type in FUNCTIONS), None)
        name = function.child_by_field_name("name") if function else None
        if name is None:
            return False
        self._check_results(text_of(name))
        return True

    def _check_hidden(self, node: Node, *names: str) -> None:
        """Refuse what may be of a function of this file, as operators are."""
        if own := [name for name in names if self.is_hidden(name)]:
            raise UnknownError(node, f"may be of `{own[0]}`, which this file has")

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
        if call is not None and call.name in FROZEN and not is_cast:
            return False
        around = self._parents.get(declared.name.id)
        outer = self._parents.get(around.id) if around else None
        is_let = outer and "let" in {text_of(c) for c in outer.named_children}
        return self._language != "swift" or not is_let

    def _is_final(self, node: Node) -> bool:
        """Return whether no class can have another member in place of one."""
        words = self._modifiers(node)
        body = self._parents[node.id]
        of = self._parents.get(body.id)
        if "open" in words or of is None or body.type not in BODIES:
            return False
        if {"private", "static", "final", "fileprivate"} & words:
            return True
        around = self._modifiers(of)
        if self._language == "kotlin":
            is_plain = not {"open", "abstract", "sealed", "override"} & (around | words)
            return is_plain and "interface" not in {c.type for c in of.children}
        kinds = {c.type for c in of.children} & {"struct", "enum"}
        return bool(kinds or "final" in around or of.type == "record_declaration")

    def _is_extended(self, name: str) -> bool:
        """Return whether the file gives a class of others a function of this name."""
        for one in self._uses.get(name, []):
            outer = self._parents[one.id]
            if outer.type == "variable_declaration":
                outer = self._parents[outer.id]
            before = [o for o in outer.named_children if o.end_byte < one.start_byte]
            if outer.type in EXTENDED and any(o.type in TYPES for o in before):
                return True
            around = [o for o in self.around(one) if o.type in CLASSES][:1]
            if any("extension" in {c.type for c in o.children} for o in around):
                return True
        return name in self._imported

    def _check_results(self, name: str) -> None:
        """Refuse a list that something may change which a method has returned."""
        for use in self._uses.get(name, []):
            node = next((o for o in self.around(use) if o.type in CALLS), None)
            call = self.call(node) if node is not None else None
            if node is None or call is None or call.name != name:
                continue
            if not self._is_read(node, self._parents[node.id], is_list=True):
                raise UnknownError(node, f"{_CHANGED}: see line {line_of(use)}")

    def _has(self, whole: Node, part: Node) -> bool:
        return whole.start_byte <= part.start_byte and part.end_byte <= whole.end_byte

    def _member_of(self, node: Node) -> Node:
        """Return the member of a class, or of the file, in which a node is."""
        around = [node, *self.around(node)]
        kinds = {*BODIES, *TOPS}
        return next(o for o in around if self._parents[o.id].type in kinds)


def _of_loop(declaration: Node) -> bool:
    """Return whether variables are those at the head of a loop of Java."""
    outer = declaration.parent
    return outer is not None and outer.type == "for_statement"


def _empty_fields(body: Node) -> set[str]:
    """Return the names of the members that a class declares without a value."""
    members = [o for p in children_of(body) for o in (p, *children_of(p))]
    parts = [one for p in members for one in (p, *children_of(p))]
    found = set()
    for part in parts:
        names = names_in(part)[:1]
        if part.type in {"variable_declarator", "property_declaration"}:
            is_empty = "=" not in {c.type for c in part.children}
            found |= {text_of(name) for name in names if is_empty}
    return found


def _is_step(outer: Node) -> bool:
    """Return whether an assignment is how the head of a loop of Java counts up."""
    whole = outer.parent
    if whole is None or whole.type != "for_statement":
        return False
    return whole.child_by_field_name("update") == outer


def _calls(call: Node, node: Node) -> bool:
    """Return whether a node is what a call calls."""
    return call.type == "call_expression" and call.named_children[0] == node


def _size(node: Node) -> int:
    return node.end_byte - node.start_byte
