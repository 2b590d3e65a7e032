"""Output that nobody draws on: plain lines, for a pipe or a file.

`terminal` does the same with colours, tables and bars. It needs rich, which takes
longer to import than most commands take.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from typing import Literal, TextIO

__all__ = ["Cell", "Printer", "is_surely_plain"]


class Cell(NamedTuple):
    """Text, and its style on a terminal."""

    text: str
    style: str = ""


class Printer:
    """Printer of plain lines.

    Attributes:
        is_terminal: True if lines may have styles, and are wrapped.
    """

    is_terminal = False

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        """Print to the stream that `sys` has under this name when a line comes."""
        self._name = name

    @property
    def stream(self) -> TextIO:
        """The stream."""
        stream: TextIO = getattr(sys, self._name)
        return stream

    def line(self, cells: Iterable[Cell | str]) -> None:
        """Print one line, and flush it."""
        texts = (cell if isinstance(cell, str) else cell.text for cell in cells)
        self.stream.write("".join(texts) + "\n")
        self.stream.flush()

    def hanging(self, beginning: Cell, cell: Cell, indent: int) -> None:
        """Print one line; a terminal gets it wrapped, with a hanging indent."""
        del indent
        self.line([beginning, cell])

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table in plain columns; no cell is cut or wrapped."""
        everything = [[Cell(name) for name in header], *rows]
        columns = zip(*everything, strict=True)
        widths = [max(len(cell.text) for cell in column) for column in columns]
        for row in everything:
            padded = [
                f"{cell.text:<{width}}" for cell, width in zip(row, widths, strict=True)
            ]
            self.line(["  ".join(padded).rstrip()])

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
        """Return True if a table is not too wide for the lines of a terminal."""
        del header, rows
        return True

    def bar(
        self, doing: str, total: int | None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show a progress bar on a terminal; the block gets a function for a step."""
        del doing, total
        return contextlib.nullcontext(lambda: None)


# Variables by which people ask rich to draw, or not, whatever the stream is.
_ASKS_RICH = ("FORCE_COLOR", "TTY_COMPATIBLE")


def is_surely_plain(name: Literal["stdout", "stderr"]) -> bool:
    """Return True if nothing is drawn on a stream; if False, rich decides."""
    if any(variable in os.environ for variable in _ASKS_RICH):
        return False
    try:
        return not getattr(sys, name).isatty()
    except ValueError:  # it is closed
        return True
