"""Words of Kotlin, Java and Swift: kinds of nodes in their trees, and their libraries.

tree-sitter names the same thing in three ways; here is what counts as the same.
"""

from __future__ import annotations

__all__ = ["Kind", "Library", "words_of"]


def words_of(text: str) -> frozenset[str]:
    """Return the set of the words of a text: sets of names are written as texts."""
    return frozenset(text.split())


class Kind:
    """Kinds of nodes."""

    NAMES = words_of("identifier simple_identifier")
    PATHS = words_of("navigation_expression field_access")
    THESE = words_of("this_expression this self_expression")
    LAMBDAS = words_of("lambda_literal lambda_expression")
    LAMBDA_HEADS = words_of("lambda_parameters lambda_function_type")
    CALLS = words_of("call_expression method_invocation object_creation_expression")
    CHOICES = words_of("""
        if_expression ternary_expression when_expression switch_expression
        elvis_expression nil_coalescing_expression try_expression
    """)
    FUNCTIONS = words_of("""
        function_declaration method_declaration getter setter constructor_declaration
        secondary_constructor anonymous_function init_declaration subscript_declaration
        compact_constructor_declaration computed_getter computed_setter
        deinit_declaration
    """)
    TOPS = words_of("source_file program")
    BODIES = words_of("class_body enum_class_body enum_body interface_body")
    CLASSES = words_of("""
        class_declaration object_declaration companion_object object_literal
        enum_declaration interface_declaration record_declaration
        object_creation_expression protocol_declaration
    """)
    BASES = words_of("""
        delegation_specifiers superclass super_interfaces extends_interfaces
        inheritance_specifier class_body
    """)
    EXTENDED = words_of("function_declaration property_declaration anonymous_function")
    TYPES = words_of("user_type nullable_type parenthesized_type context_receiver")
    LOOPS = words_of("for_statement enhanced_for_statement")
    WRAPPED = words_of("""
        expression_statement block statements function_body constructor_body
    """)
    WRAPS = words_of("""
        function_body block statements return_statement return_expression
        computed_property control_transfer_statement
    """)
    BEGINNINGS = words_of("""
        constructor_declaration static_initializer anonymous_initializer
        init_declaration
    """)
    JUMPS = words_of("""
        return_statement return_expression break_statement jump_expression
        continue_statement throw_statement throw_expression control_transfer_statement
    """)
    PARAMETERS = words_of("""
        parameter class_parameter formal_parameter lambda_parameter
        catch_formal_parameter resource type_pattern spread_parameter
    """)


class Library:
    """Names of functions and classes of the libraries."""

    EACH = words_of("forEach forEachIndexed fold")
    VIEWS_OF = words_of("""
        unmodifiableList unmodifiableSet unmodifiableMap unmodifiableCollection copyOf
    """)
    FROZEN = VIEWS_OF | {"listOf", "setOf", "mapOf", "of", "singletonList", "singleton"}
    LISTS = FROZEN | words_of("""
        arrayOf asList mutableListOf arrayListOf mutableSetOf hashSetOf mutableMapOf
        hashMapOf linkedMapOf
    """)
    EMPTY = words_of("""
        ArrayList LinkedList HashSet LinkedHashSet TreeSet HashMap LinkedHashMap TreeMap
    """)
    OPEN = EMPTY | (LISTS - FROZEN - {"arrayOf", "asList"})  # what grows
    BUILDING = words_of("buildList buildSet buildMap")
    SIZES = words_of("size length count")
    COPIES = words_of("""
        toTypedArray toList toSet toArray toString stream asSequence
    """)
    VIEWS = words_of("entries entrySet")  # through which a map can be changed
    KEYS = words_of("keys keySet")
    # Annotations that do not change what a name means.
    PLAIN_ANNOTATIONS = words_of("""
        JvmField JvmStatic JvmSynthetic Suppress SuppressLint SuppressWarnings Keep
        NonNull Nullable VisibleForTesting Named Provides Singleton Inject Reusable
        Override
    """)
