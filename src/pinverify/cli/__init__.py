"""The command `pinverify`; docs/cli.md is its manual.

The commands need the extra `cli`. This module does not, so it can tell a user who
has not installed it.
"""

from __future__ import annotations

import sys

__all__ = ["main"]

_EXTRA = {"click", "cryptography", "markdown_it", "pygments", "rich"}
_WRONG_USE = 2
_INTERRUPTED = 130


def main() -> int:
    """Run the command with the arguments of the process; exit, or return a code."""
    try:
        from pinverify.cli.commands import commands  # needs the extra
        from pinverify.cli.output import prepare_streams

        prepare_streams()
        return commands.main(prog_name="pinverify")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _EXTRA:
            raise
        sys.stderr.write(
            f"pinverify: the command line needs {package}; "
            "run pip install 'pinverify[cli]'\n"
        )
        return _WRONG_USE
    except KeyboardInterrupt:  # while Python still loads
        return _INTERRUPTED
