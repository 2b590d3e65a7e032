"""Output on a terminal: colours, tables and progress bars, drawn by rich."""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["TerminalPrinter", "console_of", "wrapped"]

Cell: TypeAlias = tuple[str, str]
"""Text and its style, as in `Cell` of `output`, which imports this module."""


class TerminalPrinter:
    """Printer that draws on the console of a terminal."""

    is_terminal = True

    def __init__(self, console: Console) -> None:
        self._console = console

    def line(self, cells: Iterable[Cell | str]) -> None:
        """Print one line; the terminal wraps it itself, so it copies as one line."""
        self._console.print(Text.assemble(*cells), soft_wrap=True)

    def hanging(self, beginning: Cell, cell: Cell, indent: int) -> None:
        """Print one line, wrapped without breaking words."""
        start, style = beginning
        text = wrapped(start + cell[0], self._console.width, indent)
        # Wrapping cuts a beginning of blanks, and the blanks before a line break.
        at = len(start) if start.strip() else 0
        at = min(at, len(text.partition("\n")[0]))
        self.line([(text[:at], style), (text[at:], cell[1])])

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
        """Return True if a table is not too wide."""
        return self._fits(_boxed(header, rows))

    def _fits(self, table: Table) -> bool:
        unlimited = self._console.options.update(max_width=1_000_000)
        needed = self._console.measure(table, options=unlimited).maximum
        return needed <= self._console.width

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a boxed table.

        If the terminal is too narrow, the cells are printed one below the other.
        """
        table = _boxed(header, rows)
        if self._fits(table):
            self._console.print(table)
            return
        for row in rows:
            for number, (text, style) in enumerate(row):
                for line in text.splitlines():
                    self.line(["  " if number else "", (line, style)])

    @contextlib.contextmanager
    def bar(self, doing: str, total: int | None) -> Iterator[Callable[[], None]]:
        """Show a progress bar while a block runs, if that takes a while."""
        if not self._console.is_interactive:  # a dumb terminal
            yield lambda: None
            return
        from rich import progress

        bar = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TimeElapsedColumn(),
            console=self._console,
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


_PATIENCE = 0.5  # seconds before a bar is shown: a quicker one would only flicker


def wrapped(text: str, width: int, indent: int) -> str:
    """Return text in lines of at most a width, broken only between words.

    Lines after the first are indented. A word that is too long for an indented line,
    such as a pin in a narrow terminal, begins further to the left, so that it stays in
    one piece.
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
        table.add_row(*map(Text.assemble, row))
    return table


class _Console(Console):
    """Console that prints text as it is and leaves a closed pipe to the caller."""

    def __init__(self, *, stderr: bool) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Raise; rich would exit."""
        raise BrokenPipeError


def console_of(name: Literal["stdout", "stderr"]) -> Console:
    """Return a console that draws if rich finds that the stream is a terminal."""
    return _Console(stderr=name == "stderr")
