"""The command `pinverify`; docs/cli.md is its manual.

The commands need the extra `cli`. This module does not, so it can tell a user that
the extra is missing.
"""

from __future__ import annotations

import os
import sys

from pinverify.cli.exit_codes import INTERRUPTED, WRONG_USE

__all__ = ["main"]

_EXTRA = {"click", "cryptography", "markdown_it", "pygments", "rich"}


def main() -> int:
    """Run the command with the arguments of the process; exit, or return a code."""
    try:
        from pinverify.cli.output import prepare_streams

        prepare_streams()
        if _is_plain_show(sys.argv[1:]):
            return _show(sys.argv[2])
        from pinverify.cli.commands_and_options import commands  # needs the extra

        return commands.main(prog_name="pinverify")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(
            f"pinverify: the command line needs {package}; "
            "run pip install '.[cli]' in the checkout\n"
        )
        return WRONG_USE
    except KeyboardInterrupt:  # while Python still loads
        return INTERRUPTED


# ---- without click -----------------------------------------------------------
# Importing click takes longer than reading a policy and printing it.


def _is_plain_show(words: list[str]) -> bool:
    """Return True for `show FILE` without options, if click would find no fault."""
    match words:
        case ["show", source] if not source.startswith("-"):
            return os.path.isfile(source) and os.access(source, os.R_OK)  # noqa: PTH113
    return False


def _show(source: str) -> int:
    """Do what the command `show` does."""
    from pathlib import Path

    from pinverify.cli.output import Output, in_one_line
    from pinverify.cli.show import show_file

    out = Output()
    with in_one_line(out):
        show_file(out, Path(source), "toml", None)
        sys.stdout.flush()
    return out.exit_code
