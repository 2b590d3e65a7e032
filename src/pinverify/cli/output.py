"""Output of the commands: text in columns, colours on a terminal, or JSON.

Names and subjects come from untrusted peers and files. They are printed through
`printable`, and never interpreted as markup.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pinverify.policy._message import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

__all__ = [
    "Cell",
    "NoAnswerError",
    "Output",
    "abandon_stdout",
    "prepare_streams",
]


class NoAnswerError(Exception):
    """Raised when a command cannot answer: one line of text, and an exit code."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class Cell(NamedTuple):
    """Text, and its style on a terminal."""

    text: str
    style: str = ""


class Output:
    """Output and exit code of one command.

    Attributes:
        as_json: True if the answer is one JSON value on stdout.
        exit_code: exit code of the command. It is set before the answer is
            printed, so that it is right even if the reader closes the pipe.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.exit_code = 0
        self.console = _Console()
        self._errors = _Console(stderr=True)

    @property
    def is_terminal(self) -> bool:
        """True if stdout is a terminal."""
        return self.console.is_terminal

    def line(self, *cells: Cell | str) -> None:
        """Print one line; the terminal wraps it, so that it copies as one line."""
        self.console.print(_text(cells), soft_wrap=True)

    def fields(self, rows: Sequence[tuple[str, Cell | str]], indent: str = "") -> None:
        """Print names and values in two columns."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            self.line(Cell(f"{indent}{name:<{width}}  ", "dim"), value)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table: plain columns in a pipe, boxed on a terminal.

        No cell is cut or wrapped. If the terminal is too narrow, the cells are
        printed one below the other. Cells may have several lines on a terminal only.
        """
        if not self.is_terminal:
            self._print_columns([[Cell(name) for name in header], *rows])
            return
        table = Table(box=box.ROUNDED, border_style="dim", header_style="bold")
        for name in header:
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(_text([cell]) for cell in row))
        unlimited = self.console.options.update(max_width=1_000_000)
        if self.console.measure(table, options=unlimited).maximum <= self.console.width:
            self.console.print(table)
            return
        for row in rows:
            for number, cell in enumerate(row):
                for line in cell.text.splitlines():
                    self.line("  " if number else "", Cell(line, cell.style))

    def _print_columns(self, rows: Sequence[Sequence[Cell]]) -> None:
        columns = zip(*rows, strict=True)
        widths = [max(len(cell.text) for cell in column) for column in columns]
        for row in rows:
            padded = [
                f"{cell.text:<{width}}" for cell, width in zip(row, widths, strict=True)
            ]
            self.line("  ".join(padded).rstrip())

    def hanging(self, text: str, style: str = "", indent: int = 0) -> None:
        """Print one line; a terminal gets it wrapped, with a hanging indent."""
        _print_hanging(self.console, Cell(text, style), indent)

    def message(self, text: str) -> None:
        """Print the message of a rejection; wrapped lines stay in its second column."""
        for line in text.splitlines():
            self.hanging(printable(line), indent=_MESSAGE_COLUMN)

    def json(self, value: object) -> None:
        """Print the answer as JSON, in ASCII."""
        self.line(json.dumps(value, indent=2))

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self._complain(Cell("pinverify: warning: ", "bold yellow"), text)

    def fail(self, text: str, exit_code: int = 2) -> None:
        """Print an error on stderr, and set the exit code."""
        self.exit_code = exit_code
        self._complain(Cell("pinverify: ", "bold red"), text)

    def _complain(self, beginning: Cell, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            _print_hanging(
                self._errors, Cell(printable(text)), len(beginning.text), beginning
            )

    def progress(
        self, doing: str, total: int | None = None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show a progress bar on stderr while a block runs, if stderr is a terminal.

        Args:
            doing: text beside the bar.
            total: number of steps; None if unknown.

        Returns:
            Gives the block a function to call after each step.
        """
        if self._errors.is_terminal:
            return _bar(self._errors, printable(doing), total)
        return contextlib.nullcontext(lambda: None)


@contextlib.contextmanager
def _bar(
    console: Console, doing: str, total: int | None
) -> Iterator[Callable[[], None]]:
    from rich import progress  # noqa: PLC0415 - slow to import, and seldom needed

    bar = progress.Progress(
        progress.TextColumn("{task.description}", markup=False),
        progress.BarColumn(),
        progress.TimeElapsedColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(doing, total=total)
    with bar:
        yield lambda: bar.advance(task)


class _Console(Console):
    """Console that prints text as it is and leaves a closed pipe to the caller."""

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, highlight=False, emoji=False)

    def on_broken_pipe(self) -> NoReturn:
        """Raise; rich would exit."""
        raise BrokenPipeError


def prepare_streams() -> None:
    """Make stdout and stderr usable; escape characters their encoding lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before this process started
            nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - open until exit
            setattr(sys, name, nowhere)
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Discard buffered output: the reader has closed the pipe."""
    with contextlib.suppress(OSError, ValueError):  # it has no descriptor
        stdout = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)
        os.close(nowhere)


def _text(cells: Iterable[Cell | str]) -> Text:
    text = Text()
    for cell in cells:
        if isinstance(cell, str):
            text.append(cell)
        else:
            text.append(cell.text, cell.style)
    return text


_NOTHING = Cell("")
_MESSAGE_COLUMN = 11  # start of a message's second column


def _print_hanging(
    console: Console, cell: Cell, indent: int, beginning: Cell = _NOTHING
) -> None:
    """Print one line; wrap it on a terminal, without breaking words."""
    text = cell.text
    if console.is_terminal:
        text = textwrap.fill(
            text,
            console.width,
            initial_indent=" " * len(beginning.text),
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )[len(beginning.text) :]
    console.print(_text([beginning, Cell(text, cell.style)]), soft_wrap=True)
