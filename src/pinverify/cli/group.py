"""The group of commands: exceptions become one line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from pinverify.cli.output import NoAnswerError, Output, abandon_stdout
from pinverify.errors import PinverifyError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Commands"]

_WORDS = "pinverify.words"  # of the command line
_WRONG_USE = 2
_INTERRUPTED = 130


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
    try:
        yield out
    except KeyboardInterrupt:
        out.exit_code = _INTERRUPTED
    except BrokenPipeError:
        pass  # the reader closed the pipe; keep the exit code
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else ctx.command_path
        problem = error.format_message().rstrip(".")
        # It may stand behind the mistake, and has not been read then.
        out.as_json = out.as_json or "--json" in ctx.meta.get(_WORDS, ())
        end = " See" if problem.endswith("?") else "; see"
        _fail(out, f"{problem}{end} {command} --help", exit_code=_WRONG_USE)
    except NoAnswerError as error:
        _fail(out, str(error), exit_code=error.exit_code)
    except PinverifyError as error:  # a policy file may have several mistakes
        lines: Sequence[str] = getattr(error, "lines", (str(error),))
        _fail(out, *lines, exit_code=_WRONG_USE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _fail(out, f"{where}{error.strerror or error}", exit_code=_WRONG_USE)
    else:
        return
    try:
        sys.stdout.flush()
    except OSError:
        abandon_stdout()
    ctx.exit(out.exit_code)


def _fail(out: Output, *lines: str, exit_code: int) -> None:
    for line in lines:
        out.fail(line, exit_code)
    if out.as_json:
        with contextlib.suppress(OSError):  # stdout itself may be what failed
            out.json({"error": "\n".join(lines)})
