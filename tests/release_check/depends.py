"""The files that a step or a row depends on, and one hash over all of them.

A step names patterns of files; without any it depends on every file of the checkout.
A row of a table depends on

* a proof: its harness and the sources that it is linked with, with all that these
  include;
* a mutant or a remedy: the file that is broken and all that this file uses in turn
  (in Python its imports, and from `core` down all of csrc; in C what it includes, and
  the files of the functions it calls); the tests that it names, with all that they
  import from tests; the data that tests read; the pages of docs, where one of the tests
  speaks of them.

A caller of the broken file is not among them: that the tests pass there without a fault
is what the step `tests` shows, which depends on every file.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import subprocess
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path

__all__ = [
    "ROOT",
    "digest",
    "files",
    "matching",
    "of_c",
    "of_proof",
    "of_python",
    "of_tests",
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
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout
    names = {name for name in listed.decode().split("\0") if name and name != WRITTEN}
    return tuple(sorted(name for name in names if (ROOT / name).is_file()))


def matching(patterns: Iterable[str]) -> Names:
    """Return the files that one of the patterns fits; ``**`` is any folder."""
    patterns = tuple(patterns)
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
        whole.update(hashlib.sha256(name.encode()).digest() + _of_file(name))
    return whole.hexdigest()


@functools.cache
def _of_file(name: str) -> bytes:
    return hashlib.sha256((ROOT / name).read_bytes()).digest()


@functools.cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


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


@functools.cache
def _uses_of_c(name: str) -> Names:
    words = set(_WORD.findall(_text(name)))
    called = [names for word, names in _defining().items() if word in words]
    return _includes(name).union(*called)


def of_proof(harness: str, linked: Iterable[str]) -> Names:
    """Return the files of a proof."""
    own = [f"tests/prove/{harness}", *(f"csrc/{name}" for name in linked)]
    return _closure(own, _includes)


def of_c(file: str) -> Names:
    """Return a file of csrc and all that it uses."""
    return _closure([f"csrc/{file}"], _uses_of_c)


# ---- Python ------------------------------------------------------------------


def of_python(file: str) -> Names:
    """Return a file of the package and all that it uses, down to csrc."""
    found = _closure([f"src/pinverify/{file}"], _imports_of_source)
    if any(name.startswith("src/pinverify/core/") for name in found):
        found |= matching(["csrc/*", "setup.py"])
    return found


@functools.cache
def _imports_of_source(name: str) -> Names:
    """Return the modules that one imports, wherever in it; by name, too."""
    tree = ast.parse(_text(name))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = Path(name).parts[1 : -node.level]
                base = ".".join([*parts, *([base] if base else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)  # importlib, tables of lazy names
            found.add("pinverify." + node.value.lstrip("."))
    return frozenset(path for each in found for path in _modules(each))


def _modules(dotted: str) -> list[str]:
    if not dotted.startswith("pinverify") or not dotted.replace(".", "").isidentifier():
        return []
    base = "src/" + dotted.replace(".", "/")
    return [name for name in (f"{base}.py", f"{base}/__init__.py") if name in _all()]


@functools.cache
def _all() -> Names:
    return frozenset(files())


# ---- tests -------------------------------------------------------------------


def of_tests(tests: Iterable[str]) -> Names:
    """Return what tests depend on besides the product: `file::name`, or a name."""
    own = {f"tests/{t.partition('::')[0].removeprefix('tests/')}" for t in tests}
    if own - _all():  # unknown: all of them
        own = {name for name in files() if name.startswith("tests/")}
    found = _closure([*own, "tests/conftest.py"], _imports_of_test)
    texts = " ".join(_text(name) for name in found)
    kinds = ["docs", "examples", "bench", "README.md", "CHANGELOG.md", "Makefile"]
    spoken = {kind for kind in kinds if kind.lower() in texts.lower()}
    return found | {name for name in files() if _is_data(name, spoken)}


def _is_data(name: str, spoken: set[str]) -> bool:
    if name.startswith("tests/"):
        return not name.endswith(".py") and not TABLES.fullmatch(name)
    return name == "pyproject.toml" or name.partition("/")[0] in spoken


@functools.cache
def _imports_of_test(name: str) -> Names:
    """Return the files of tests that one imports, wherever in it."""
    if not name.endswith(".py"):
        return frozenset()
    words: set[str] = set()
    for node in ast.walk(ast.parse(_text(name))):
        if isinstance(node, ast.Import):
            words |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            words.add(node.module)
            words |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            words.add(node.value.removesuffix(".py"))  # started as a program
    stems = {word.rpartition(".")[2] for word in words}
    return frozenset(
        other
        for other in files()
        if other.startswith(("tests/", "csrc/python/", "bench/"))
        and other.endswith(".py")
        and Path(other).stem in stems
        and other != name
    )
