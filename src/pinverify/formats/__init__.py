"""Policy files. `load_rules` reads one; the format is said, never guessed."""

from __future__ import annotations

import os
from pathlib import Path

from pinverify.errors import PolicyError
from pinverify.formats import toml
from pinverify.policy import Policy, Rules

__all__ = ["load_policy", "load_rules"]

_LOADERS = {"toml": toml.loads}


def load_policy(path: str | os.PathLike[str], *, format: str = "toml") -> Policy:  # noqa: A002 - what it is called
    """Read a policy file, and compile it.

    Args:
        path: the file, UTF-8.
        format: "toml": pinverify's own; docs/policy-toml.md describes it. A
            compiled policy is opened with `Policy.open`.

    Raises:
        PolicyError: the file is wrong; the message names file, table and key.
        OSError: the file can't be read.
    """
    return Policy(load_rules(path, format=format))


def load_rules(path: str | os.PathLike[str], *, format: str = "toml") -> Rules:  # noqa: A002 - what it is called
    """Read the rules of a policy file: to look at, to compare, to compile.

    The arguments and the errors are those of `load_policy`.
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
