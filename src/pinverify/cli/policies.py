"""Policy files as the commands read them: the notices of readers go to stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.cli.output import NoAnswerError, Output
from pinverify.errors import PolicyError
from pinverify.formats._files import load_file

if TYPE_CHECKING:
    from pathlib import Path

    from pinverify.policy import Rules

__all__ = ["rules_from"]

_COMPILED = b"pinvpol"  # first bytes of a compiled policy; only for the hint below


def rules_from(
    out: Output,
    path: Path,
    policy_format: str,
    *,
    host: str | None = None,
    to_convert: bool = False,
) -> Rules:
    """Read a policy file.

    Args:
        out: gets the notices, as warnings.
        path: the file.
        policy_format: its format.
        host: for formats that do not name it.
        to_convert: the format is an argument of the command, and no option.

    Raises:
        PolicyError: the file has mistakes.
        NoAnswerError: it is a compiled policy, and the format is another.
    """
    with out.progress(f"reading {path.name}"):
        try:
            loaded = load_file(path, policy_format, host=host)
        except PolicyError as error:
            if policy_format != "compiled" and path.read_bytes().startswith(_COMPILED):
                advice = "FROM is compiled" if to_convert else "add --format compiled"
                msg = f"{path}: this is a compiled policy; {advice}"
                raise NoAnswerError(msg) from error
            raise
    for notice in loaded.notices:
        out.warn(notice)
    return loaded.rules
