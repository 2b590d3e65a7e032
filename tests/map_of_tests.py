"""The map of the tests: each file with the first line that it says of itself.

As a program it writes tests/README.md anew: ``python -m map_of_tests``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

__all__ = ["PAGE", "TESTS", "page_with_map"]

TESTS = Path(__file__).resolve().parent
PAGE = TESTS / "README.md"
_MAP = re.compile(r"(?s)(?<=<!-- map -->\n).*?(?=<!-- end of the map -->\n)")


def page_with_map(page: str) -> str:
    """Return a page with the map between its two marks.

    Raises:
        ValueError: the page has no such marks.
    """
    files = sorted(TESTS.glob("*.py"))
    tests = [path for path in files if path.name.startswith("test_")]
    helpers = [path for path in files if path not in tests]
    parts = [*_section("Tests", tests), *_section("Helpers", helpers)]
    found, num = _MAP.subn(lambda _: "\n".join(parts) + "\n", page)
    if num != 1:
        msg = "the page has no place for the map"
        raise ValueError(msg)
    return found


def _section(title: str, files: list[Path]) -> list[str]:
    rows = [f"| `{path.name}` | {_first_line(path)} |" for path in files]
    return ["", f"## {title}", "", "| file | is about |", "|---|---|", *rows, ""]


def _first_line(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0].removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page_with_map(PAGE.read_text("utf-8")), "utf-8")
