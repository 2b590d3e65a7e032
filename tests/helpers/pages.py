"""The fenced blocks of a page in Markdown, and the output of those in Python."""

from __future__ import annotations

import contextlib
import io
import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Block", "blocks", "run", "run_page"]


class Block(NamedTuple):
    """One fenced block of a page."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(*found) for found in re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)
    ]


def run(code: str, names: dict[str, Any]) -> str:
    """Run a block; return what it prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "<block>", "exec"), names)  # noqa: S102 - our own text
    return printed.getvalue()


def run_page(page: Path, names: dict[str, Any]) -> None:
    """Run each block in Python, and compare what it prints with the next block."""
    printed = ""
    for block in blocks(page):
        if block.language == "python":
            assert printed == "", "the page does not show what the block prints"
            printed = run(block.text, names)
        else:
            assert printed == block.text
            printed = ""
    assert printed == "", "the page does not show what the block prints"
