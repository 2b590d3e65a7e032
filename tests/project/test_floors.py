"""The floors of the package: which file may use which, and the size of its engine.

A file uses only lower floors, so a reader who starts at the bottom never meets a name
that is not explained yet. Imports show what a file uses.

Every check is a function from source text to a list of faults. For each there is a test
that the tree has no fault, and one that a planted fault is found.
"""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from places import ROOT

__all__ = ["ENGINE", "PACKAGE"]

pytestmark = pytest.mark.ci

PACKAGE = ROOT / "src" / "pinverify"

# The floor of each package. Files of one floor and of different packages do not know
# each other; no two files use each other in a circle.
PYTHON_FLOORS = {
    # The engine: what decides and enforces.
    "errors": 0,
    "_lazy": 0,
    "_version": 0,
    "core": 1,
    "policy": 2,
    "files": 3,
    "tls": 3,
    # The workshop: what people do around it.
    "arrow": 3,
    "review": 4,
    "ct": 4,  # its entries are columns, as those of `arrow`
    "headers": 4,  # certificates that a proxy passes, judged as those of `tls`
    "demo": 4,
    "formats": 5,
    "audit": 5,  # reads what `arrow` and `ct` read
    "live": 6,  # follows files, for whatever has `use`
    "cli": 7,  # `pinverify demo` is one of its commands
    # The public names, and `python -m pinverify`: they only hand on.
    "__init__": 8,
    "__main__": 8,
}
ENGINE = {"errors", "_lazy", "_version", "core", "policy", "files", "tls"}
# Where the engine looks for the workshop, by name: the readers of other systems.
LOOK_UP = ("files.__init__", "pinverify.formats._load")

# Elsewhere there is no network and no other process.
PACKAGES_WITH_IO = {"tls", "headers", "live", "demo", "cli"}
# Parsers in C of others read what strangers wrote: they get a process of their own.
STARTS_A_PROCESS = {("formats._parser_process", "subprocess")}
IO_MODULES = {
    "asyncio",
    "http",
    "select",
    "selectors",
    "socket",
    "socketserver",
    "subprocess",
    "urllib",
}

# An oracle that the product used itself would prove nothing. compat.py compares
# SHA-1 and MD5 fingerprints for other libraries' users, since the core has neither;
# the demo times hashlib beside the core.
ORACLES = {"hashlib"}
USERS_OF_ORACLES = {"tls.compat", "demo.cost"}


class _Imports(ast.NodeVisitor):
    """Collects what a module imports when it runs, lazily or not."""

    def __init__(self, package: str, *, with_types: bool) -> None:
        self.package = package
        self.with_types = with_types
        self.names: set[str] = set()

    def visit_If(self, node: ast.If) -> None:
        """Leave out what only a type checker imports, unless that counts."""
        for_types = ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        if for_types and not self.with_types:
            for statement in node.orelse:
                self.visit(statement)
        else:
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        self.names.update(alias.name for alias in node.names)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = parents[: len(parents) - node.level + 1]
            origin = ".".join([*base, origin] if origin else base)
        # `from pinverify import core` names a module, `… import Pin` does not:
        # both spellings are kept, and unit() below knows them apart.
        self.names.update(f"{origin}.{alias.name}" for alias in node.names)


def imports(
    source: str, package: str = "pinverify", *, with_types: bool = False
) -> set[str]:
    """Return the dotted names that a module in *package* imports."""
    visitor = _Imports(package, with_types=with_types)
    visitor.visit(ast.parse(source))
    return visitor.names


def unit(name: str) -> str | None:
    """Return the package of ours that a dotted name belongs to, or None."""
    top, *rest = name.split(".")
    if top != "pinverify":
        return None
    if not rest:
        return "__init__"
    first = rest[0]
    return first if first in PYTHON_FLOORS or first == "_core" else "__init__"


def package_of(module: str) -> str:
    """Return the package that the relative imports of a module begin at."""
    return f"pinverify.{module}".rpartition(".")[0]


def python_faults(module: str, source: str) -> list[str]:
    """Return what *module*, without "pinverify.", imports and must not."""
    own = unit(f"pinverify.{module}")
    if own is None or (own == "__init__" and module != "__init__"):
        return [f"{module} stands on no floor"]
    floor = PYTHON_FLOORS[own]
    faults = []
    for name in sorted(imports(source, package_of(module))):
        top = name.split(".")[0]
        used = unit(name)
        if used == "_core":
            if own != "core":
                faults.append(f"{module} imports _core")
        elif used is not None and used != own:
            if PYTHON_FLOORS[used] >= floor or (own in ENGINE and used not in ENGINE):
                faults.append(f"{module} imports {used}, which is not below it")
        elif (module, top) in STARTS_A_PROCESS:
            continue
        elif top in IO_MODULES and own not in PACKAGES_WITH_IO:
            faults.append(f"{module} imports {top}: there is no I/O on its floor")
        elif top in ORACLES and module not in USERS_OF_ORACLES:
            faults.append(f"{module} imports {top}, an oracle of the tests")
    return faults


def circles(sources: dict[str, str]) -> list[str]:
    """Return the files that use each other in a circle, types included.

    Args:
        sources: text by module, without "pinverify."; a package ends in __init__.
    """
    files = {
        f"pinverify.{module}".removesuffix(".__init__"): module for module in sources
    }
    uses: dict[str, set[str]] = {}
    for module, source in sources.items():
        names = imports(source, package_of(module), with_types=True)
        uses[module] = {
            file for name in names for file in _files_of(name, files) if file != module
        }
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def _files_of(name: str, files: dict[str, str]) -> list[str]:
    """Return the file that a dotted name belongs to, or none."""
    while name and name not in files and unit(name) != "_core":
        name = name.rpartition(".")[0]
    return [files[name]] if name in files else []


def module_name(path: Path) -> str:
    """Return the dotted name of a file of the package, without "pinverify."."""
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def python_sources() -> list[Path]:
    """Return the package's modules."""
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", python_sources(), ids=module_name)
def test_python_module_uses_lower_floors_only(path: Path) -> None:
    """A module imports packages below its own, and `core` alone imports _core."""
    assert python_faults(module_name(path), path.read_text(encoding="utf-8")) == []


def test_the_page_for_contributors_has_every_floor() -> None:
    """Its table says of each package on which floor it is."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = {
        name.removesuffix("/").removesuffix(".py"): int(floor)
        for floor, packages in re.findall(r"^\| (\d) \| (.*?) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+(?:/|\.py))`", packages)
    }
    assert found == PYTHON_FLOORS


def test_the_engine_looks_for_the_workshop_in_one_place() -> None:
    """Any other import by name would be a way around the check above."""
    looked = {
        (module_name(path), name)
        for path in python_sources()
        if unit(f"pinverify.{module_name(path)}") in ENGINE - {"_lazy"}
        for name in re.findall(
            r"import_module\(\s*f?[\"']([^\"']*)", path.read_text(encoding="utf-8")
        )
    }
    assert looked == {LOOK_UP}


# What somebody has to hold who reads the engine, or follows a command from the shell to
# the core. These fall freely; a commit that raises one says why.
ENGINE_MODULES = 40
ENGINE_LINES = 10_949
LONGEST_CHAIN = {"the engine": 13, "all": 19}


def used_by(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return by file the files that it imports at run time."""
    files = {
        f"pinverify.{module}".removesuffix(".__init__"): module for module in sources
    }
    return {
        module: {
            file
            for name in imports(source, package_of(module))
            for file in _files_of(name, files)
            if file != module
        }
        for module, source in sources.items()
    }


def longest_chain(uses: dict[str, set[str]]) -> int:
    """Return the number of files in the longest chain of imports."""
    lengths: dict[str, int] = {}
    for module in TopologicalSorter(uses).static_order():
        lengths[module] = 1 + max((lengths[one] for one in uses[module]), default=0)
    return max(lengths.values())


def test_the_engine_can_be_held() -> None:
    """Its files, its lines, and the chains of imports are no more than they were."""
    sources = {
        module_name(path): path.read_text(encoding="utf-8") for path in python_sources()
    }
    engine = {
        m: text for m, text in sources.items() if unit(f"pinverify.{m}") in ENGINE
    }
    assert len(engine) <= ENGINE_MODULES
    assert sum(len(text.splitlines()) for text in engine.values()) <= ENGINE_LINES
    assert longest_chain(used_by(engine)) <= LONGEST_CHAIN["the engine"]
    assert longest_chain(used_by(sources)) <= LONGEST_CHAIN["all"]


def test_a_chain_is_as_long_as_its_files() -> None:
    """The test above measures; it does not pass by finding no imports."""
    chain = {"a": "from pinverify import b", "b": "from .c import x", "c": ""}
    assert longest_chain(used_by(chain)) == len(chain)


def test_no_python_files_use_each_other_in_a_circle() -> None:
    """Each can be read after those that it uses, types included."""
    sources = {
        module_name(path): path.read_text(encoding="utf-8") for path in python_sources()
    }
    assert circles(sources) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core._keys", "from pinverify.policy import Policy"),
        ("core._keys", "from ..policy import Policy"),
        ("core._keys", "from .. import policy"),
        ("policy._rules", "from pinverify import Policy"),
        ("policy._rules", "import pinverify"),
        ("policy._rules", "import pinverify.cli"),
        ("policy._rules", "def late():\n    from pinverify import formats"),
        (
            "policy._rules",
            "if TYPE_CHECKING:\n    pass\nelse:\n    from .. import cli",
        ),
        ("policy._rules", "from pinverify._core import lib"),
        ("policy._rules", "from .._core import lib"),
        ("policy._rules", "import socket"),
        ("files.toml", "from urllib.request import urlopen"),
        ("policy._rules", "import hashlib"),
        ("demo.scenes", "import hashlib"),
        ("errors", "from pinverify.policy import Policy"),
        ("tls._pin_context", "from pinverify import formats"),
        ("files.toml", "from pinverify.tls import check"),
        ("utils", ""),
    ],
)
def test_planted_import_is_seen(module: str, source: str) -> None:
    """The check above does not pass by seeing nothing."""
    assert len(python_faults(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core._keys", "from pinverify._core import ffi, lib"),
        ("policy._policy", "from pinverify import core, errors"),
        ("policy._policy", "import ssl\nfrom ._pin import Pin"),
        ("cli.pin", "import socket\nfrom pinverify.policy import Policy"),
        ("tls.compat", "import hashlib"),
        (
            "policy._rules",
            "if TYPE_CHECKING:\n    from pinverify.cli import main",
        ),
        ("policy._rules", "if typing.TYPE_CHECKING:\n    import socket"),
        ("files.__init__", "from pinverify.files import toml"),
    ],
)
def test_honest_import_is_no_fault(module: str, source: str) -> None:
    """The check above forbids what the floors forbid, and nothing else."""
    assert python_faults(module, source) == []


@pytest.mark.parametrize(
    "sources",
    [
        {"a": "from pinverify.b import x", "b": "from pinverify import a"},
        {"a": "import pinverify.b", "b": "if TYPE_CHECKING:\n    from .a import A"},
        {"p.__init__": "from ._q import x", "p._q": "from pinverify import p"},
        {
            "a": "from . import b",
            "b": "from . import c",
            "c": "def late():\n    import pinverify.a",
        },
    ],
)
def test_planted_circle_is_seen(sources: dict[str, str]) -> None:
    """Neither types nor late imports nor a package's own name hide one."""
    assert len(circles(sources)) == 1


def test_an_honest_use_is_no_circle() -> None:
    """Two files may use a third, and each a file of its own package."""
    sources = {
        "p.__init__": "from pinverify.p._q import x",
        "p._q": "from pinverify.p._r import x",
        "p._r": "import pinverify.errors",
        "errors": "",
    }
    assert circles(sources) == []


def test_relative_import_in_a_subpackage_is_resolved() -> None:
    """In pinverify/formats/, `..` is pinverify and `.` is formats."""
    assert python_faults("files.toml", "from ..policy import Policy") == []
    assert python_faults("files.toml", "from . import toml") == []
    assert len(python_faults("files.toml", "from ..cli import main")) == 1
