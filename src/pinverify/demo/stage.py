"""The stage: a Python prompt that plays by itself, running the code that it shows."""

from __future__ import annotations

import ast
import contextlib
import io
import textwrap
from typing import TYPE_CHECKING, Any, TypeVar

from rich.syntax import Syntax
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["NotShownError", "Stage"]

_Error = TypeVar("_Error", bound=Exception)

_COLUMNS = 80  # of prose, on a wide terminal too
_MESSAGE_COLUMN = 11  # start of the second column of our error messages


class NotShownError(Exception):
    """Raised when something does not happen as the demo describes."""


class Stage:
    """Shows code, runs it, and shows its output.

    Attributes:
        names: the variables of the code.
    """

    def __init__(self, console: Console, names: dict[str, Any]) -> None:
        self.names = names
        self._console = console
        self._after_gap = False
        self._python = Syntax(
            "", "python", theme="ansi_dark", background_color="default"
        )

    @property
    def is_terminal(self) -> bool:
        """True if the output goes to a terminal."""
        return self._console.is_terminal

    def heading(self, title: str) -> None:
        """Begin a scene."""
        self._gap()
        if self.is_terminal:
            self._console.rule(Text(title, "bold"), align="left", style="cyan")
            self._after_gap = False
        else:
            self._line(Text(title))
            self._line(Text("-" * len(title)))

    def say(self, text: str) -> None:
        """Print prose."""
        self._gap()
        for line in textwrap.wrap(
            " ".join(text.split()), min(self._console.width, _COLUMNS)
        ):
            self._line(Text(line))
        self._gap()

    def show(self, code: str) -> None:
        """Print code to paste."""
        for line in self._highlighted(_dedented(code)):
            self._line(Text.assemble("    ", line) if line.plain else line)

    def print(self, text: Text) -> None:
        """Print one line."""
        self._line(text)

    def run(self, code: str) -> None:
        """Show and run statements.

        Raises:
            NotShownError: a statement fails.
        """
        error = self._play(code)
        if error is not None:
            msg = f"the demo failed here: {error}"
            raise NotShownError(msg) from error

    def fail(self, code: str, kind: type[_Error]) -> _Error:
        """Show and run statements that raise an error, and return the error.

        Raises:
            NotShownError: they did not raise an error of type *kind*.
        """
        error = self._play(code)
        if not isinstance(error, kind):
            msg = f"the demo expected a {kind.__name__}, and got {error!r}"
            raise NotShownError(msg) from error
        return error

    def must(self, holds: bool, what: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Check a claim, and print it with a tick.

        Raises:
            NotShownError: the claim is false.
        """
        if not holds:
            msg = f"the demo expected this, and it is not so: {what}"
            raise NotShownError(msg)
        mark = "✓" if self._console.encoding.startswith("utf") else "ok:"
        self._line(Text.assemble((f"{mark} ", "bold green"), (what, "bold")))

    def _play(self, code: str) -> Exception | None:
        """Show and run statements until one fails; return its error."""
        code = _dedented(code)
        lines = code.splitlines()
        for statement in ast.parse(code).body:
            self._prompt(lines[statement.lineno - 1 : statement.end_lineno])
            printed = io.StringIO()
            error = None
            compiled = compile(ast.Interactive([statement]), "<demo>", "single")
            try:
                with contextlib.redirect_stdout(printed):
                    exec(compiled, self.names)  # noqa: S102 - our own text
            except Exception as raised:  # noqa: BLE001 - any error is shown
                error = raised
            self._result(printed.getvalue(), "green")
            if error is not None:
                kind = type(error)
                self._result(f"{kind.__module__}.{kind.__name__}: {error}", "red")
                return error
        return None

    def _prompt(self, lines: list[str]) -> None:
        prompts = [">>> "] + ["... "] * len(lines)
        highlighted = self._highlighted("\n".join(lines))
        for prompt, line in zip(prompts, highlighted, strict=False):
            self._line(Text.assemble((prompt, "dim"), line))

    def _result(self, text: str, style: str) -> None:
        for line in text.splitlines():
            if self.is_terminal:  # the columns of a message stay columns
                wrapped = textwrap.fill(
                    line,
                    self._console.width,
                    subsequent_indent=" " * _MESSAGE_COLUMN,
                    break_long_words=False,
                    break_on_hyphens=False,
                )
                self._line(Text(wrapped, style))
            else:
                self._line(Text(line, style))

    def _highlighted(self, code: str) -> list[Text]:
        return list(self._python.highlight(code).split("\n"))

    def _line(self, text: Text) -> None:
        self._console.print(text, soft_wrap=True)
        self._after_gap = False

    def _gap(self) -> None:
        if not self._after_gap:
            self._line(Text())
        self._after_gap = True


def _dedented(code: str) -> str:
    return textwrap.dedent(code).strip("\n")
