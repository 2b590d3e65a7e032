"""Policy files. `load_policy` reads one; the format is said, never guessed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.formats import toml

if TYPE_CHECKING:
    from pinverify.policy import Policy

__all__ = ["load_policy"]

_LOADERS = {"toml": toml.loads}


def load_policy(path: str | os.PathLike[str], *, format: str = "toml") -> Policy:  # noqa: A002 - what it is called
    """Read a policy file.

    Args:
        path: the file, UTF-8.
        format: "toml": pinverify's own; docs/policy-file.md describes it. A
            compiled policy is opened with `Policy.open`.

    Raises:
        PolicyError: the file is wrong; the message names file, table and key.
        OSError: the file can't be read.
    """
    name = os.fspath(path)
    loads = _LOADERS.get(format)
    if loads is None:
        msg = f"{name}: no policy format {format!r}; there is {', '.join(_LOADERS)}"
        raise PolicyError(msg)
    try:
        text = Path(name).read_bytes().decode("utf-8")  # line ends as they are
    except UnicodeDecodeError as error:
        msg = (
            f"{name}: not UTF-8 at byte {error.start}; save a {format} file as UTF-8, "
            "and open a compiled policy with Policy.open"
        )
        raise PolicyError(msg) from None
    return loads(text, name)
