"""The map of the tests: each file with the first line of its docstring.

As a program it rewrites tests/README.md: ``python tests/helpers/map_of_tests.py``.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from places import HELPERS, TESTS

__all__ = ["PAGE", "TESTS", "page_with_map"]

PAGE = TESTS / "README.md"
_MAP = re.compile(r"(?s)(?<=<!-- map -->\n).*?(?=<!-- end of the map -->\n)")


def page_with_map(page: str) -> str:
    """Return a page with the map between its two marks.

    Raises:
        ValueError: the page has no such marks.
    """
    parts = ["", "## Tests"]
    for folder in sorted({path.parent for path in TESTS.rglob("test_*.py")}):
        parts += ["", f"### {folder.relative_to(TESTS)}", *_table(folder, "test_*.py")]
    parts += ["", "## Helpers", *_table(HELPERS, "*.py"), ""]
    found, num = _MAP.subn(lambda _: "\n".join(parts) + "\n", page)
    if num != 1:
        msg = "the page has no place for the map"
        raise ValueError(msg)
    return found


def _table(folder: Path, pattern: str) -> list[str]:
    files = sorted(folder.glob(pattern))
    rows = [f"| `{path.name}` | {_first_line(path)} |" for path in files]
    return ["", "| file | is about |", "|---|---|", *rows]


def _first_line(path: Path) -> str:
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return said.partition("\n")[0].removesuffix(".").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page_with_map(PAGE.read_text("utf-8")), "utf-8")
