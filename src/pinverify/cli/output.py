"""Output of the commands: text in columns, colours on a terminal, or JSON.

This module prints plain lines, for a pipe or a file. `terminal` draws what a terminal
gets. `terminal` needs rich, whose import takes longer than most commands.

Names and subjects come from untrusted peers and files. They are printed through
`printable`, and never interpreted as markup.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.exit_codes import INTERRUPTED, WRONG_USE
from pinverify.errors import PinverifyError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Literal

    from pinverify.cli.terminal import TerminalPrinter

__all__ = [
    "Cell",
    "NoAnswerError",
    "Output",
    "abandon_stdout",
    "do_not_log_rejections",
    "in_one_line",
    "prepare_streams",
]


class NoAnswerError(Exception):
    """Raised when a command cannot answer; has one line of text and an exit code."""

    def __init__(self, text: str, exit_code: int = WRONG_USE) -> None:
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
        pins: the files named by `--pins`, which belong to the policy that is read.
        exit_code: exit code of the command. It is set before the answer is
            printed, so that it is right even if the reader closes the pipe.
    """

    def __init__(self) -> None:
        self.as_json = False
        self.pins: tuple[str, ...] = ()
        self.exit_code = 0

    @cached_property
    def _answers(self) -> _Printer | TerminalPrinter:
        return _printer("stdout")

    @cached_property
    def _errors(self) -> _Printer | TerminalPrinter:
        return _printer("stderr")

    @property
    def is_terminal(self) -> bool:
        """True if stdout is a terminal."""
        return self._answers.is_terminal

    def line(self, *cells: Cell | str) -> None:
        """Print one line; the terminal wraps it itself, so it copies as one line."""
        self._answers.line(cells)

    def fields(self, rows: Sequence[tuple[str, Cell | str]], indent: str = "") -> None:
        """Print names and values in two columns."""
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            beginning = Cell(f"{indent}{name:<{width}}  ", "dim")
            text, style = (value, "") if isinstance(value, str) else value
            self.hanging(text, style, len(beginning.text), beginning)

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table: plain columns in a pipe, boxed on a terminal.

        No cell is cut or wrapped. Only on a terminal can a cell have several lines.
        """
        self._answers.table(header, rows)

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
        """Return True if `table` prints these rows as a table, and not cell by cell."""
        return self._answers.fits(header, rows)

    def hanging(
        self, text: str, style: str = "", indent: int = 0, beginning: Cell | None = None
    ) -> None:
        """Print one line; a terminal gets it wrapped, with a hanging indent.

        Args:
            text: the text to wrap.
            style: the style of *text*.
            indent: the number of blanks before each line after the first.
            beginning: text before *text*, in a style of its own.
        """
        self._answers.hanging(beginning or _NOTHING, Cell(text, style), indent)

    def message(self, text: str) -> None:
        """Print the message of a rejection; wrapped lines stay in its second column."""
        for line in text.splitlines():
            self.hanging(printable(line), indent=_MESSAGE_COLUMN)

    def json(self, value: object) -> None:
        """Print the answer as JSON, in ASCII."""
        import json

        self.line(json.dumps(value, indent=2))

    def warn(self, text: str) -> None:
        """Print a warning on stderr."""
        self._complain(Cell("pinverify: warning: ", "bold yellow"), text)

    def fail(self, text: str, exit_code: int = WRONG_USE) -> None:
        """Print an error on stderr, and set the exit code."""
        self.exit_code = exit_code
        self._complain(Cell("pinverify: ", "bold red"), text)

    def _complain(self, beginning: Cell, text: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._errors.hanging(beginning, Cell(printable(text)), len(beginning.text))

    def progress(
        self, doing: str, total: int | None = None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show a progress bar while a long block runs, if stderr is a terminal.

        Args:
            doing: text beside the bar.
            total: number of steps; None if unknown.

        Returns:
            A context manager that gives a function to call after each step.
        """
        return self._errors.bar(printable(doing), total)


_NOTHING = Cell("")
_MESSAGE_COLUMN = 11  # start of a message's second column


# ---- plain lines -------------------------------------------------------------


class _Printer:
    """Printer of plain lines, with the methods that `TerminalPrinter` has."""

    is_terminal = False

    def __init__(self, name: Literal["stdout", "stderr"]) -> None:
        """Print each line to the stream that `sys` has under this name at that time."""
        self._name = name

    def line(self, cells: Iterable[Cell | str]) -> None:
        """Print one line, and flush it."""
        texts = (cell if isinstance(cell, str) else cell.text for cell in cells)
        stream = getattr(sys, self._name)
        stream.write("".join(texts) + "\n")
        stream.flush()

    def hanging(self, beginning: Cell, cell: Cell, indent: int) -> None:
        """Print one line; only a terminal gets it wrapped."""
        del indent
        self.line([beginning, cell])

    def table(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
        """Print a table in plain columns."""
        everything = [[Cell(name) for name in header], *rows]
        columns = zip(*everything, strict=True)
        widths = [max(len(cell.text) for cell in column) for column in columns]
        for row in everything:
            padded = [
                f"{cell.text:<{width}}" for cell, width in zip(row, widths, strict=True)
            ]
            self.line(["  ".join(padded).rstrip()])

    def fits(self, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bool:
        """Return True: lines in a file may have any width."""
        del header, rows
        return True

    def bar(
        self, doing: str, total: int | None
    ) -> AbstractContextManager[Callable[[], None]]:
        """Show no progress."""
        del doing, total
        return contextlib.nullcontext(lambda: None)


# Variables that tell rich to draw, or not to, whatever the stream is.
_ASKS_RICH = ("FORCE_COLOR", "TTY_COMPATIBLE")


def _printer(name: Literal["stdout", "stderr"]) -> _Printer | TerminalPrinter:
    """Return the printer of a stream; rich decides about one that may be a terminal."""
    if not any(variable in os.environ for variable in _ASKS_RICH):
        try:
            may_be_terminal = getattr(sys, name).isatty()
        except ValueError:  # it is closed
            may_be_terminal = False
        if not may_be_terminal:
            return _Printer(name)
    from pinverify.cli.terminal import TerminalPrinter, console_of

    console = console_of(name)
    return TerminalPrinter(console) if console.is_terminal else _Printer(name)


# ---- exceptions --------------------------------------------------------------


@contextlib.contextmanager
def in_one_line(out: Output) -> Iterator[None]:
    """Turn exceptions into lines on stderr and an exit code, and exit with the code."""
    try:
        yield
    except KeyboardInterrupt:
        out.exit_code = INTERRUPTED
    except BrokenPipeError:
        pass  # the reader closed the pipe; keep the exit code
    except NoAnswerError as error:
        _fail(out, str(error), exit_code=error.exit_code)
    except PinverifyError as error:  # a policy file may have several mistakes
        lines: Sequence[str] = getattr(error, "lines", (str(error),))
        _fail(out, *lines)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(out, f"{where}{error.strerror or error}")
    else:
        return
    try:
        sys.stdout.flush()
    except OSError:
        abandon_stdout()
    sys.exit(out.exit_code)


def _fail(out: Output, *lines: str, exit_code: int = WRONG_USE) -> None:
    for line in lines:
        out.fail(line, exit_code)
    if out.as_json:
        with contextlib.suppress(OSError):  # stdout itself may be what failed
            out.json({"error": "\n".join(lines)})


# ---- streams -----------------------------------------------------------------


def prepare_streams() -> None:
    """Make stdout and stderr usable; escape characters their encoding lacks."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed before this process started
            descriptor = os.open(os.devnull, os.O_WRONLY)
            setattr(sys, name, os.fdopen(descriptor, "w", encoding="utf-8"))
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def abandon_stdout() -> None:
    """Discard buffered output: the reader has closed the pipe."""
    with contextlib.suppress(OSError, ValueError):  # stdout has no descriptor
        stdout = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stdout)
        os.close(nowhere)


def do_not_log_rejections() -> None:
    """Keep rejections out of the log on stderr: the answer shows them."""
    import logging

    logging.getLogger("pinverify").addHandler(logging.NullHandler())
