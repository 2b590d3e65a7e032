"""docs/reference.md lists the public API: all of it, and nothing else."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import pinverify
from places import ROOT

PAGE = ROOT / "docs" / "reference.md"
HEADERS = [ROOT / "csrc" / name for name in ("pinverify.h", "pinverify_compile.h")]

MODULES = (
    "pinverify",
    "pinverify.arrow",
    "pinverify.core",
    "pinverify.ct",
    "pinverify.formats",
    "pinverify.formats.toml",
    "pinverify.headers",
    "pinverify.live",
    "pinverify.tls.compat",
    "pinverify.tls.pyopenssl",
    "pinverify.tls.requests",
    "pinverify.tls.twisted",
)


def sections(page: str) -> dict[str, list[str]]:
    """Return the names in the tables below each heading."""
    parts = re.split(r"(?m)^## (.*)\n", page)
    return {
        heading.strip("`"): re.findall(r"(?m)^\| `(\w+)` \|", text)
        for heading, text in zip(parts[1::2], parts[2::2], strict=True)
    }


LISTED = sections(PAGE.read_text(encoding="utf-8"))


def header_names(header: str) -> set[str]:
    """Return the functions, types and macros that a header declares."""
    code = re.sub(r"//[^\n]*", "", header)
    functions = re.findall(r"\b(pv_\w+)\s*\(", code)
    types = re.findall(r"\b(?:struct|enum) (pv_\w+)\s*\{", code)
    macros = re.findall(r"(?m)^#define (PV_\w+)", code)
    return {*functions, *types, *macros}


@pytest.mark.parametrize("name", MODULES)
def test_the_page_lists_the_names_of_each_module(name: str) -> None:
    """Each name of ``__all__`` is there once, and no other."""
    module = pytest.importorskip(name)
    assert sorted(LISTED[name]) == sorted(module.__all__)


def test_the_packages_behind_give_no_name_that_is_not_listed() -> None:
    """The names of `pinverify.policy` and `pinverify.tls` are those of pinverify."""
    policy = importlib.import_module("pinverify.policy")
    tls = importlib.import_module("pinverify.tls")
    assert set(policy.__all__) - set(pinverify.__all__) == set(
        LISTED["pinverify.policy"]
    )
    assert set(tls.__all__) < set(pinverify.__all__)


def test_the_page_lists_the_names_of_the_headers() -> None:
    """Each function, type and macro of the core is there once, and no other."""
    listed = [
        name
        for heading, names in LISTED.items()
        if heading.startswith("C: ")
        for name in names
    ]
    text = "".join(header.read_text(encoding="ascii") for header in HEADERS)
    assert sorted(listed) == sorted(header_names(text))


def test_every_name_has_a_section_that_is_checked() -> None:
    """A section of the page that no test compares would rot."""
    checked = {*MODULES, "pinverify.policy", "pinverify.tls"}
    others = LISTED.keys() - checked
    assert {heading for heading in others if not heading.startswith("C: ")} == set()


def test_every_other_module_looks_private() -> None:
    """A module is listed, or begins with an underscore, or is a program."""
    package = Path(pinverify.__file__).parent
    programs = {"__main__", "audit", "cli", "demo"}
    # Their names are listed with those of pinverify, and of formats.toml.
    behind = {"errors", "files", "files.toml", "review"}
    public = set()
    for path in package.rglob("*.py"):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__")
        if parts[0] not in programs and not re.search(r"(^|\.)_", name):
            public.add(name)
    listed = {name.removeprefix("pinverify").lstrip(".") for name in LISTED}
    listed = {name for name in listed if not name.startswith("C: ")}
    assert public == listed | behind


def test_tracebacks_name_the_public_module() -> None:
    """A user who sees an error finds the name to import in it."""
    for name in pinverify.__all__:
        public = getattr(pinverify, name)
        if isinstance(public, type):
            assert public.__module__ == "pinverify", name


def test_planted_names_are_seen() -> None:
    """Both readers find names, and only where they are."""
    page = "## `a.b`\n\n| name | meaning |\n|---|---|\n| `x` | A `y`. |\n\n## C: z\n"
    assert sections(page) == {"a.b": ["x"], "C: z": []}
    header = (
        "// pv_no(1)\n#define PV_A 1\ntypedef struct pv_b {\n  int c;\n} pv_b;\n"
        "typedef enum pv_d { PV_E = 0 } pv_d;\nPV_API int pv_f(const pv_b *x);\n"
    )
    assert header_names(header) == {"PV_A", "pv_b", "pv_d", "pv_f"}
