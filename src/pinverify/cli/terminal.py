"""Output on a terminal: colours, tables and progress bars, drawn by rich."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING, Literal, NoReturn

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinverify.cli.plain import Cell, Printer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

__all__ = ["TerminalPrinter", "wrapped"]


class TerminalPrinter(Printer):
    """Printer that draws, unless rich finds that the stream is no terminal.

    Attributes:
        console: the console of rich.
    """

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        """Print to the stream that `sys` has under this name when a line comes."""
        super().__init__(name)
        self.console = _Console(stderr=name == "stderr")
        self.is_terminal = self.console.is_terminal

    def line(self, cells: Iterable[Cell | str]) -> None:
        """Print one line; the terminal wraps it, so that it copies as one line."""
        self.console.print(_text(cells), soft_wrap=True)

    def hanging(self, beginning: Cell, cell: Cell, indent: int) -> None:
        """Print one line, wrapped without breaking words."""
        text = beginning.text + cell.text
        if self.is_terminal:
            text = wrapped(text, self.console.width, indent)
        # A blank beginning may have been cut, and the blanks at the end of another.
        at = len(beginning.text) if beginning.text.strip() else 0
        at = min(at, len(text.partition("\n")[0]))
        self.line([beginning._replace(text=text[:at]), Cell(text[at:], cell.style)])

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
        """Return True if a table is not too wide."""
        return not self.is_terminal or self._fits(_boxed(header, rows))

    def _fits(self, table: Table) -> bool:
        unlimited = self.console.options.update(max_width=1_000_000)
        needed = self.console.measure(table, options=unlimited).maximum
        return needed <= self.console.width

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a boxed table.

        If the terminal is too narrow, the cells are printed one below the other.
        """
        if not self.is_terminal:
            super().table(header, rows)
            return
        table = _boxed(header, rows)
        if self._fits(table):
            self.console.print(table)
            return
        for row in rows:
            for number, cell in enumerate(row):
                for line in cell.text.splitlines():
                    self.line(["  " if number else "", Cell(line, cell.style)])

    def bar(
        self, doing: str, total: int | None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show a progress bar while a block runs, if that takes a while."""
        if self.is_terminal and self.console.is_interactive:  # a dumb one is not
            return _bar(self.console, doing, total)
        return super().bar(doing, total)


_PATIENCE = 0.5  # seconds without a bar: it would only flicker


def wrapped(text: str, width: int, indent: int) -> str:
    """Return text in lines of a width, broken between words alone.

    Further lines are indented. A word that is too long for that, such as a pin in a
    narrow column, begins further to the left, so that it stays in one piece.
    """
    lines = [""]
    for blanks, word in re.findall(r"( *)([^ ]+)", text):
        length = cell_len(word)
        if lines[-1] and cell_len(lines[-1]) + len(blanks) + length > width:
            lines.append(" " * min(indent, max(width - length, 0)) + word)
        elif lines[-1]:
            lines[-1] += blanks + word
        else:
            lines[-1] = blanks[: max(width - length, 0)] + word
    return "\n".join(lines)


def _boxed(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
    for name in header:
        table.add_column(name, no_wrap=True)
    for row in rows:
        table.add_row(*(_text([cell]) for cell in row))
    return table


@contextlib.contextmanager
def _bar(
    console: Console, doing: str, total: int | None
) -> Iterator[Callable[[], None]]:
    from rich import progress

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(doing, total=total)
    late = threading.Timer(_PATIENCE, bar.start)
    late.daemon = True
    late.start()
    try:
        yield lambda: bar.advance(task)
    finally:
        late.cancel()
        late.join()
        if bar.live.is_started:
            bar.stop()


class _Console(Console):
    """Console that prints text as it is and leaves a closed pipe to the caller."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Raise; rich would exit."""
        raise BrokenPipeError


def _text(cells: Iterable[Cell | str]) -> Text:
    text = Text()
    for cell in cells:
        if isinstance(cell, str):
            text.append(cell)
        else:
            text.append(cell.text, cell.style)
    return text
