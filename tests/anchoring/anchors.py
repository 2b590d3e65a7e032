"""Places in the source that tables change on purpose, and the changes.

Tables break the source in small ways: core.toml, remedies.toml, the proofs in
prove/*.toml, and constant_time/leaks.toml. Each row has an anchor, which says where:

    in = "long_length"     the function: `f` of C, `f`, `Class.f` or `f.inner` of Python
    find = "len >= 0x80"   a few words of it
    put = "len > 0x80"     the words that replace them
    nth = 2                the occurrence that is meant, if there are several
    file = "scan_avx2.c"   the file, if several have a function of that name

`in` may also name a class, a macro, or a declaration outside of functions, such as a
table or a constant. For a place without any name, give ``file`` without ``in``.

Words are compared token by token: neither layout nor comments count. A function may
move to another file, and a file to another folder. If a name changes, the row must
change, too: follow_renames.py does that (`make anchors FIX=1`).
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "AnchorError",
    "Change",
    "Definition",
    "Place",
    "Token",
    "definitions",
    "is_called",
    "locate",
    "made",
    "matches",
    "named",
    "read",
    "tokens",
    "words",
]

SUFFIXES = (".c", ".h", ".py")


class AnchorError(ValueError):
    """An anchor that fits nowhere, or in several places."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of the source, as a row of a table has it; see above."""

    find: str
    put: str
    scope: str = ""  # the row's `in`
    nth: int = 0
    file: str = ""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Change:
        """Read the anchor of a row."""
        fields = {key: row[key] for key in ("find", "put", "nth", "file") if key in row}
        return cls(scope=row.get("in", ""), **fields)


class Token(NamedTuple):
    """One token, and where it stands in its file."""

    text: str
    start: int
    end: int


class Place(NamedTuple):
    """Where a change is made: from one character of a file to another."""

    file: str
    start: int
    end: int
    definition: Definition
    at: int  # the first token, counted in the definition


# ---- tokens --------------------------------------------------------------------

_OPERATORS = r"""
    <<=|>>=|\*\*=|//=|\.\.\.|->|:=|\+\+|--|\*\*|//|<<|>>|<=|>=|==|!=|&&|\|\||\#\#
    |[-+*/%&|^@]= | \w+ | .
"""
_NUMBER = r"\.?\d(?:[eEpP][-+]|[\w.])*"
_STRING = r""""(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' """
_C = re.compile(
    rf"(?P<blank>\s+|\\\n|//[^\n]*|/\*.*?\*/)|{_STRING}|{_NUMBER}|{_OPERATORS}",
    re.VERBOSE | re.DOTALL,
)
# What stands between three quotation marks is taken apart, too: it may be C.
_PYTHON = re.compile(
    rf"""(?P<blank>\s+|\\\n|\#[^\n]*)|\"\"\"|{_STRING}|{_NUMBER}|{_OPERATORS}""",
    re.VERBOSE | re.DOTALL,
)


def _all_tokens(text: str, *, is_python: bool) -> Iterator[Token]:
    for match in (_PYTHON if is_python else _C).finditer(text):
        if match["blank"] is None:
            yield Token(match[0], match.start(), match.end())


@functools.lru_cache(maxsize=1024)
def tokens(text: str, *, is_python: bool) -> Sequence[Token]:
    """Return the tokens of C or Python, whole or in part, without comments.

    A comma that only ends a list of Python is left out: the formatter puts it there,
    or takes it away.
    """
    found = list(_all_tokens(text, is_python=is_python))
    if not is_python:
        return found
    return [
        token
        for token, after in zip(found, [*found[1:], None], strict=False)
        if not (token.text == "," and after is not None and after.text in ")]}")
    ]


def words(found: Iterable[Token]) -> list[str]:
    """Return the texts of tokens."""
    return [token.text for token in found]


# ---- what has a name -------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Definition:
    """A part of a file that has a name.

    Attributes:
        file: where it is, as `read` names it.
        kind: "function", "class", "macro", "data"; "file" for all of it.
        name: in Python with the names that it is in.
        head: of a C function, what stands before its body and its contract.
        body: all other tokens. A change is made here.
    """

    file: str
    kind: str
    name: str
    head: Sequence[Token]
    body: Sequence[Token]


@functools.lru_cache(maxsize=1024)
def definitions(file: str, text: str) -> Sequence[Definition]:
    """Return all that has a name in a file, and last the file itself."""
    found = tokens(text, is_python=file.endswith(".py"))
    parts = _of_python if file.endswith(".py") else _of_c
    return [*parts(file, text, found), Definition(file, "file", "", (), found)]


_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.MULTILINE)


def _of_c(file: str, text: str, found: Sequence[Token]) -> Iterator[Definition]:
    """Yield macros, functions, and what else is declared outside of these."""
    lines = [match.span() for match in _DIRECTIVE.finditer(text)]
    for start, end in lines:
        line = [token for token in found if start <= token.start < end]
        if words(line[:2]) == ["#", "define"]:
            yield Definition(file, "macro", line[2].text, (), line[3:])
    directives = {at for start, end in lines for at in range(start, end)}
    code = [token for token in found if token.start not in directives]
    for before, after in _declarations(code):
        name, end = _function_head(before) if words(after[-1:]) == ["}"] else ("", 0)
        if name:
            yield Definition(file, "function", name, before[:end], after)
        elif name := _declared(words([*before, *after[:1]])):
            yield Definition(file, "data", name, (), [*before, *after])


def _declarations(code: Sequence[Token]) -> Iterator[tuple[Sequence[Token], ...]]:
    """Yield what stands outside of braces in two parts: before a brace, and from it."""
    depth, first, opening = 0, 0, None
    for i, token in enumerate(code):
        if token.text in ("(", "[", "{"):
            if depth == 0 and token.text == "{" and opening is None:
                opening = i
            depth += 1
        elif token.text in (")", "]", "}"):
            depth -= 1
        if depth > 0 or token.text not in (";", "}"):
            continue
        before = code[first : i if opening is None else opening]
        if token.text == "}" and not _function_head(before)[0]:
            continue  # of a struct or a table, which a semicolon ends
        yield before, code[first + len(before) : i + 1]
        first, opening = i + 1, None


def _function_head(before: Sequence[Token]) -> tuple[str, int]:
    """Return the name of a function, and where its parameters end.

    *before* stands before its body. The last parentheses there may be those of a
    contract, ``f(void) ASSIGNS(x)``; the first that only such follow are its own.
    """
    name, end, i = "", 0, len(before)
    while i > 0:
        i -= 1
        if before[i].text != ")":
            break
        closing, depth = i, 1
        while depth and i > 0:
            i -= 1
            depth += {")": 1, "(": -1}.get(before[i].text, 0)
        i -= 1
        if (
            i < 1
            or not before[i].text.isidentifier()
            or before[i].text == "__attribute__"
        ):
            break
        name, end = before[i].text, closing + 1
    return name, end


def _declared(texts: Sequence[str]) -> str:
    """Return the name of a table, a constant, a type; "" if it has none."""
    if texts[-1] == "{":
        texts = texts[:-1]
    elif "=" not in texts:
        return ""  # declared here, and defined elsewhere
    if "=" in texts:
        texts = texts[: texts.index("=")]
    if "[" in texts:
        texts = texts[: texts.index("[")]
    name = texts[-1] if texts else ""
    is_name = name.isidentifier() and name not in ("enum", "struct", "union")
    return name if is_name and "(" not in texts else ""


def _of_python(file: str, text: str, found: Sequence[Token]) -> Iterator[Definition]:
    """Yield functions and classes, and variables of modules and classes."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for kind, name, node in _statements(ast.parse(text, file).body, "", data=True):
        decorators: list[ast.expr] = getattr(node, "decorator_list", [])
        start = starts[min([node.lineno, *(each.lineno for each in decorators)]) - 1]
        end = starts[node.end_lineno or node.lineno]
        inside = [token for token in found if start <= token.start < end]
        yield Definition(file, kind, name, (), inside)


def _statements(
    body: Sequence[ast.stmt], above: str, *, data: bool
) -> Iterator[tuple[str, str, ast.stmt]]:
    """Yield statements that give something a name: their kinds, names, and nodes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            name, is_class = above + node.name, isinstance(node, ast.ClassDef)
            yield "class" if is_class else "function", name, node
            yield from _statements(node.body, f"{name}.", data=is_class)
            continue
        if data and isinstance(node, ast.Assign | ast.AnnAssign):
            targets = [node.target] if isinstance(node, ast.AnnAssign) else node.targets
            for target in targets:
                if isinstance(target, ast.Name):
                    yield "data", above + target.id, node
        for inner in ("body", "orelse", "finalbody", "handlers"):
            yield from _statements(getattr(node, inner, []), above, data=data)


# ---- finding and changing ----------------------------------------------------------


def read(folder: Path) -> dict[str, str]:
    """Return the C and Python files below a folder: what they are called there."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(folder.rglob("*"))
        if path.suffix in SUFFIXES and path.is_file()
    }


def named(scope: str, file: str, sources: Mapping[str, str]) -> list[Definition]:
    """Return the definitions of that name; *file* may lack the folders it is in."""
    return [
        definition
        for path, text in sources.items()
        if is_called(path, file)
        for definition in definitions(path, text)
        if definition.name == scope
    ]


def is_called(path: str, file: str) -> bool:
    """Return whether *file*, which may lack folders or be empty, means that path."""
    return not file or f"/{path}".endswith(f"/{file}")


def matches(quote: Sequence[str], texts: Sequence[str]) -> list[int]:
    """Return where these words begin among others."""
    num = len(quote)
    return [i for i in range(len(texts) - num + 1) if texts[i : i + num] == quote]


def locate(change: Change, sources: Mapping[str, str]) -> Place:
    """Return where a change is to be made.

    Raises:
        AnchorError: its anchor does not fit, or not only there.
    """
    where = f"`{change.scope}`" if change.scope else change.file
    if not change.scope and not change.file:
        raise AnchorError(_advice(f"{change.find!r} needs `in` or `file`"))
    scopes = named(change.scope, change.file, sources)
    if not scopes:
        raise AnchorError(_advice(f"nothing is called {where}"))
    if len(files := {scope.file for scope in scopes}) > 1:
        say = f"{where} is in {' and '.join(sorted(files))}: name the `file`"
        raise AnchorError(_advice(say))
    quote = words(tokens(change.find, is_python=scopes[0].file.endswith(".py")))
    fits = [(scope, at) for scope in scopes for at in matches(quote, words(scope.body))]
    if not quote or not fits:
        raise AnchorError(_advice(f"{where} has no {change.find!r}"))
    if change.nth > len(fits) or (change.nth < 1 and len(fits) > 1):
        say = f"{where} has {change.find!r} {len(fits)} times: which one is the `nth`?"
        raise AnchorError(_advice(say))
    scope, at = fits[max(change.nth, 1) - 1]
    last = scope.body[at + len(quote) - 1]
    return Place(scope.file, scope.body[at].start, last.end, scope, at)


def _advice(fault: str) -> str:
    return f"{fault}; if the source has changed, `make anchors FIX=1` may mend this row"


def made(change: Change, sources: Mapping[str, str]) -> tuple[str, str]:
    """Make a change: return the name of the file, and its new text.

    Raises:
        AnchorError: as `locate` does.
    """
    place = locate(change, sources)
    text = sources[place.file]
    put = change.put
    if place.file.endswith(".py"):
        put = _indented(put, text[text.rfind("\n", 0, place.start) + 1 : place.start])
    return place.file, text[: place.start] + put + text[place.end :]


def _indented(put: str, before: str) -> str:
    """Move lines with the first of them, which comes to stand after *before*."""
    lines = textwrap.dedent(put).strip("\n").splitlines() or [""]
    first = lines[0].lstrip()
    deeper = len(lines[0]) - len(first)
    margin = before[: len(before) - len(before.lstrip())][deeper:]
    return "\n".join([first, *(margin + line for line in lines[1:])]).rstrip()
