"""The group of commands: what is wrong with the words of a call is told in one line."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from pinverify.cli.output import NoAnswerError, Output, in_one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Commands"]

_WORDS = "pinverify.words"  # of the command line


class Commands(click.Group):
    """Group of commands that end with an exit code and at most one line on stderr."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command."""
        ctx.meta[_WORDS] = tuple(args)
        with _in_one_line(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command."""
        with _in_one_line(ctx) as out:
            super().invoke(ctx)
            sys.stdout.flush()
        ctx.exit(out.exit_code)


@contextlib.contextmanager
def _in_one_line(ctx: click.Context) -> Iterator[Output]:
    """Turn exceptions into one line on stderr and an exit code."""
    out = ctx.ensure_object(Output)
    with in_one_line(out):
        try:
            yield out
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else ctx.command_path
            problem = error.format_message().rstrip(".")
            # It may stand behind the mistake, and has not been read then.
            out.as_json = out.as_json or "--json" in ctx.meta.get(_WORDS, ())
            end = " See" if problem.endswith("?") else "; see"
            msg = f"{problem}{end} {command} --help"
            raise NoAnswerError(msg) from error
