"""The files that a step or a row depends on, and one hash over all of them.

A step names patterns of files; without any it depends on every file of the checkout.
A row of a table depends on

* a proof: its harness and the sources that it is linked with, with all that these
  include;
* a mutant or a remedy: the file that is broken and all that this file uses in turn
  (in Python its imports, and from `core` down all of csrc; in C what it includes, and
  the files of the functions it calls); the tests that it names, with all that they
  import from tests; the files through which these tests may reach the broken one; the
  data that tests read; the pages of docs, where one of the tests speaks of them.

Other files of the product are not among them: that the tests pass there without a fault
is what the step `tests` shows, which depends on every file.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

__all__ = [
    "ROOT",
    "between",
    "changed",
    "digest",
    "files",
    "matching",
    "of_c",
    "of_file",
    "of_proof",
    "of_python",
    "of_tests",
    "users_of_c",
]

ROOT = Path(__file__).resolve().parent.parent.parent

# What release-check writes itself.
WRITTEN = "docs/evidence.md"

# Tables are no data of tests: a row knows what it says itself.
TABLES = re.compile(r"tests/(mutants|remedies|prove|release_check)/.*\.toml")

Names = frozenset[str]


@functools.cache
def files() -> tuple[str, ...]:
    """Return the files of the checkout, new ones too, without what git ignores."""
    return _listed()


def changed() -> tuple[str, ...]:
    """Return the files that are not as they were when they were first looked at.

    What runs meanwhile has seen a mixture, for which no hash stands.
    """
    now = {*_listed()}
    moved = {name for name in now & _all() if _hashed(name) != of_file(name)}
    return tuple(sorted(moved | now ^ _all()))


def _listed() -> tuple[str, ...]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    names = {name for name in listed.decode().split("\0") if name and name != WRITTEN}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


@functools.cache
def matching(*patterns: str) -> Names:
    """Return the files that one of the patterns fits; ``*`` is any folder, too."""
    for pattern in patterns:
        if not any(fnmatch(name, pattern) for name in files()):
            msg = f"steps.toml: no file fits {pattern!r}"
            raise ValueError(msg)
    return frozenset(n for n in files() if any(fnmatch(n, p) for p in patterns))


def digest(names: Iterable[str], *words: str) -> str:
    """Return the SHA-256 over files, their names, and words, as hexadecimal text."""
    whole = hashlib.sha256()
    for word in words:
        whole.update(hashlib.sha256(word.encode()).digest())
    for name in sorted(names):
        whole.update(of_file(name))
    return whole.hexdigest()


@functools.cache
def of_file(name: str) -> bytes:
    """Return the SHA-256 over the name of a file, and the one over its bytes."""
    return _hashed(name)


def _hashed(name: str) -> bytes:
    content = hashlib.sha256((ROOT / name).read_bytes()).digest()
    return hashlib.sha256(name.encode()).digest() + content


@functools.cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_text(name))


def _closure(names: Iterable[str], used: Callable[[str], Iterable[str]]) -> Names:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += used(name)
    return frozenset(found)


# ---- C -----------------------------------------------------------------------

_INCLUDE = re.compile(r'^\s*#\s*include\s*["<]([\w./-]+)[">]', re.MULTILINE)
_WORD = re.compile(r"\b[a-z_]\w+\b")
_DEFINED = re.compile(r"^[a-zA-Z_][\w *]*?\b(\w+)\([^;{}]*\)\s*\{", re.MULTILINE)


@functools.cache
def _includes(name: str) -> Names:
    """Return what a C file may include: where a name fits several files, all."""
    wanted = {Path(found).name for found in _INCLUDE.findall(_text(name))}
    folders = ("csrc/", "tests/prove/", "tests/c/", "tests/fuzz/")
    return frozenset(
        f for f in files() if f.startswith(folders) and Path(f).name in wanted
    )


@functools.cache
def _defining() -> dict[str, Names]:
    """Return the C files of csrc by the functions that they define."""
    found: dict[str, set[str]] = {}
    for name in files():
        if name.startswith("csrc/") and name.endswith(".c"):
            for function in _DEFINED.findall(_text(name)):
                found.setdefault(function, set()).add(name)
    return {function: frozenset(names) for function, names in found.items()}


_NO_CALL = re.compile(
    r"//[^\n]*|/\*.*?\*/"  # a comment, or the declaration of a function
    r"|^[a-zA-Z_][\w *]*?\b\w+\([^;{}]*\)\s*;",
    re.MULTILINE | re.DOTALL,
)


@functools.cache
def _uses_of_c(name: str) -> Names:
    words = set(_WORD.findall(_NO_CALL.sub("", _text(name))))
    called = [names for word, names in _defining().items() if word in words]
    return _includes(name).union(*called)


def of_proof(harness: str, linked: Iterable[str]) -> Names:
    """Return the files of a proof."""
    own = [f"tests/prove/{harness}", *(f"csrc/{name}" for name in linked)]
    return _closure(own, _includes)


@functools.cache
def of_c(file: str) -> Names:
    """Return a file of csrc and all that it uses."""
    return _closure([f"csrc/{file}"], _uses_of_c)


@functools.cache
def users_of_c(file: str) -> Names:
    """Return the C files that use a file of csrc, directly or through others."""
    sources = (name for name in files() if fnmatch(name, "csrc/*.c"))
    own = f"csrc/{file}"
    return frozenset(n for n in sources if own in of_c(n.removeprefix("csrc/")))


# ---- Python ------------------------------------------------------------------


@functools.cache
def of_python(file: str) -> Names:
    """Return a file of the package and all that it uses, down to csrc."""
    found = _closure([f"src/pinverify/{file}"], _imports_of_source)
    if any(name.startswith("src/pinverify/core/") for name in found):
        found |= matching("csrc/*", "setup.py")
    return found


@functools.cache
def _imports_of_source(name: str) -> Names:
    """Return the modules that one imports, wherever in it, and by name."""
    if name.endswith("/__init__.py"):
        return frozenset()  # it hands on names; whoever asks for one has them all
    found: set[str] = set()
    for node in _walked(_tree(name)):
        if isinstance(node, ast.ImportFrom):
            parts = Path(name).parts[1 : -node.level] if node.level else ()
            base = ".".join([*parts, *filter(None, [node.module])])
            for alias in node.names:
                found |= _package(f"{base}.{alias.name}") or _package(base)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                found |= _package(alias.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found |= _modules(node.value)  # importlib
    return frozenset(found)


def _walked(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield all nodes but what is there for types alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from _walked(node)


@functools.cache
def _modules(dotted: str) -> Names:
    base = "src/" + dotted.replace(".", "/")
    return frozenset({f"{base}.py", f"{base}/__init__.py"} & _all())


@functools.cache
def _package(dotted: str) -> Names:
    """Return a module; of a package all files, as any may be behind its names.

    The package at the top has its parts in packages, and nobody below it asks there.
    """
    if dotted == "pinverify":
        return _modules(dotted)
    inside = _folders().get("src/" + dotted.replace(".", "/"), frozenset())
    return _modules(dotted) | inside


@functools.cache
def _folders() -> dict[str, Names]:
    """Return the files that stand in each folder itself."""
    found: dict[str, set[str]] = {}
    for name in files():
        found.setdefault(name.rpartition("/")[0], set()).add(name)
    return {folder: frozenset(names) for folder, names in found.items()}


@functools.cache
def _exported() -> dict[str, str]:
    """Return the names at the top of the package, with the packages that have them."""
    tree = ast.parse(_text("src/pinverify/__init__.py"))
    return {
        alias.name: str(node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@functools.cache
def _all() -> Names:
    return frozenset(files())


# ---- tests -------------------------------------------------------------------


def of_tests(tests: Iterable[str]) -> Names:
    """Return what tests depend on besides the product: `file::name`, or a name."""
    return _of_test_files(frozenset(test.partition("::")[0] for test in tests))


@functools.cache
def _of_test_files(own: Names) -> Names:
    if own - _all():  # unknown: all of them
        own = matching("tests/*.py")
    found = _closure([*own, "tests/conftest.py"], _imports_of_test)
    texts = "\n".join(_text(name) for name in found)
    pages = set(_PAGE.findall(texts))
    return found | {
        name for name in files() if _is_data(name, pages, all_pages=_PAGES in texts)
    }


def between(file: str, tests: Iterable[str]) -> Names:
    """Return the files of the package through which tests may reach one of its files.

    Of csrc, or of src; what conftest.py does around each test is left out.
    """
    own = frozenset(test.partition("::")[0] for test in tests)
    return _reached(own) & _users_of(file)


@functools.cache
def _reached(tests: Names) -> Names:
    if tests - _all():
        return matching("src/pinverify/*.py")
    found = _closure(tests, _imports_of_test)
    used = frozenset().union(*map(_product_of_test, found))
    return used.union(*map(_of_source, used))


@functools.cache
def _users_of(file: str) -> Names:
    sources = matching("src/pinverify/*.py")
    return frozenset(name for name in sources if file in _of_source(name))


def _of_source(name: str) -> Names:
    return of_python(name.removeprefix("src/pinverify/"))


@functools.cache
def _product_of_test(name: str) -> Names:
    """Return the files of the package that a file of tests imports, or may start."""
    if not name.endswith(".py"):
        return frozenset()
    named = frozenset().union(*map(_named, ast.walk(_tree(name))))
    if "pinverify" in named:
        return matching("src/pinverify/*.py")
    return frozenset().union(*map(_package, named))


def _named(node: ast.AST) -> Iterable[str]:
    """Return the modules that a node of a test imports, or names in a text.

    Such a text is a patch's, or of a program that is started with -m.
    """
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module:
        base = node.module
        names = [alias.name for alias in node.names]
        if base == "pinverify":
            return [_exported().get(name, f"{base}.{name}") for name in names]
        return [base, *(f"{base}.{name}" for name in names)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    return []


# A page that a test names; and the words of one that reads them all.
_PAGE = re.compile(r"\b[\w-]+\.md\b")
_PAGES = '.glob("*.md")'


def _is_data(name: str, pages: set[str], *, all_pages: bool) -> bool:
    if name.startswith("tests/"):
        return not name.endswith(".py") and not TABLES.fullmatch(name)
    if name.endswith(".md"):
        return all_pages or Path(name).name in pages
    return name == "pyproject.toml" or name.startswith("examples/")


@functools.cache
def _imports_of_test(name: str) -> Names:
    """Return the files of tests that one imports, wherever in it."""
    if not name.endswith(".py"):
        return frozenset()
    words: set[str] = set()
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            words |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            words.add(node.module)
            words |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value)  # started as a program
    stems = {
        Path(word).stem if "/" in word else word.removesuffix(".py") for word in words
    }
    stems |= {word.rpartition(".")[2] for word in words if not word.endswith(".py")}
    return frozenset(_of_stem(stems)) - {name}


def _of_stem(stems: set[str]) -> Iterable[str]:
    """Yield the modules that tests may import or start; a `run.py` has its folder."""
    for name in files():
        is_module = name.startswith(("tests/", "csrc/python/", "bench/"))
        stem = Path(name).stem if Path(name).stem != "run" else Path(name).parent.name
        if is_module and name.endswith(".py") and stem in stems:
            yield name
