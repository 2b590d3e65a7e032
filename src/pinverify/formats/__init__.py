"""Policy files: `load_rules` reads one; the format is an argument, never guessed."""

from __future__ import annotations

import os
from pathlib import Path

from pinverify.errors import PolicyError
from pinverify.formats import toml
from pinverify.policy import Policy, Rules

__all__ = ["load_policy", "load_rules"]

_LOADERS = {"toml": toml.loads}


def load_policy(path: str | os.PathLike[str], *, format: str = "toml") -> Policy:  # noqa: A002 - the usual word
    """Read a policy file, and compile it.

    Args:
        path: the file, UTF-8.
        format: "toml", pinverify's own format; see docs/policy-toml.md. To open a
            compiled policy use `Policy.open`.

    Raises:
        PolicyError: the file has a mistake; the message names file, table and key.
        OSError: the file cannot be read.
    """
    return Policy(load_rules(path, format=format))


def load_rules(path: str | os.PathLike[str], *, format: str = "toml") -> Rules:  # noqa: A002 - the usual word
    """Read the rules of a policy file, to inspect, compare or compile them.

    The arguments and the errors are those of `load_policy`.
    """
    name = os.fspath(path)
    loads = _LOADERS.get(format)
    if loads is None:
        msg = f"{name}: no policy format {format!r}; there is {', '.join(_LOADERS)}"
        raise PolicyError(msg)
    try:
        text = Path(name).read_bytes().decode("utf-8")  # keep line ends
    except UnicodeDecodeError as error:
        msg = (
            f"{name}: not UTF-8 at byte {error.start}; save a {format} file as UTF-8, "
            "and open a compiled policy with Policy.open"
        )
        raise PolicyError(msg) from None
    return loads(text, name)
