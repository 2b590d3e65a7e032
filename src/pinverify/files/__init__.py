"""Policy files: `load_policy` reads one; the format is an argument, never guessed.

Files in TOML are read here, with all their mistakes. `pinverify.formats` reads those of
other systems, and is imported when one of them is needed.
"""

from __future__ import annotations

import importlib
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pinverify import policy  # a part is imported when it is used
from pinverify.errors import MAX_TOLD, PolicyError, told
from pinverify.files import toml

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.policy import Policy, Rules

__all__ = ["PolicyWarning", "bytes_of", "check_size", "load_policy", "load_rules"]


class PolicyWarning(UserWarning):
    """Warning of a policy file that was read.

    Either its reader left something out, without accepting more for that; or a rule can
    never match, never rejects anybody, or will break. `lint` says more.
    """

    __module__ = "pinverify"


def load_policy(
    path: str | os.PathLike[str],
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    host: str | None = None,
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Policy:
    """Read a policy file, and compile it.

    Args:
        path: the file.
        format: "toml", pinverify's own format, or that of another system; see
            docs/formats.md.
        host: the host or pattern of the pins, where the format does not say it.
        pins: the other file or files, if the format has several; by default those
            beside *path*.

    Raises:
        PolicyError: the file has mistakes; the message names them and their places.
        OSError: the file cannot be read.
    """
    name = os.fspath(path)
    notices: Sequence[str] = ()
    if format == "toml" and host is None and not pins:
        found = toml.policy_or_rules(bytes_of(name, MAX_BYTES, format), name)
    else:
        found = _readers(name, format).ordinary_policy(
            path, format, host=host, pins=_paths(pins)
        )
        if not isinstance(found, policy.Policy):
            found, notices = found.rules, found.notices
    if isinstance(found, policy.Policy):
        return found
    _warn(found, notices, name)
    return policy.Policy(found)


def load_rules(
    path: str | os.PathLike[str],
    *,
    format: str = "toml",  # noqa: A002 - the usual word
    host: str | None = None,
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
) -> Rules:
    """Read the rules of a policy file, to inspect, compare or compile them.

    The arguments and the errors are those of `load_policy`.
    """
    name = os.fspath(path)
    notices: Sequence[str] = ()
    if format == "toml" and host is None and not pins:
        text = toml.text_of(bytes_of(name, MAX_BYTES, format), name)
        rules = toml.loads(text, name)
    else:
        loaded = _readers(name, format).load_file(
            path, format, host=host, pins=_paths(pins)
        )
        rules, notices = loaded.rules, loaded.notices
    _warn(rules, notices, name)
    return rules


def _readers(name: str, kind: str) -> Any:  # noqa: ANN401 - a module
    """Return the readers of all formats; PolicyError if they are not installed."""
    try:
        return importlib.import_module("pinverify.formats._load")
    except ModuleNotFoundError as error:
        if not str(error.name).startswith("pinverify."):
            raise
        msg = (
            f"{name}: nothing here reads the format {kind!r}: install the whole of "
            "pinverify, or convert the file to TOML where it is"
        )
        raise PolicyError(msg) from None


def _paths(
    pins: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
) -> Sequence[str | os.PathLike[str]]:
    return [pins] if isinstance(pins, str | os.PathLike) else pins


def _warn(rules: Rules, notices: Sequence[str], name: str) -> None:
    # Imported late, because to print a file needs no checks.
    from pinverify.files._lint_at_load import serious  # noqa: PLC0415

    found, num = serious(rules, name, MAX_TOLD)
    texts = [str(finding) for finding in found]
    for text in (*notices, *told(texts, name, num)):
        warnings.warn(text, PolicyWarning, stacklevel=3)


MAX_BYTES = 2**30
"""The most bytes that a policy file may have: room for a million hosts."""


def bytes_of(name: str, max_bytes: int, kind: str) -> bytes:
    """Return the contents of a file; PolicyError if it has more bytes than it may."""
    with Path(name).open("rb") as file:
        data = file.read(max_bytes + 1)
    check_size(data, name, max_bytes, kind)
    return data


def check_size(data: bytes, name: str, max_bytes: int, kind: str) -> None:
    """Refuse more bytes than a policy can have; the message names its format."""
    if len(data) > max_bytes:
        msg = (
            f"{name}: more than {max_bytes:,} bytes; no {kind} file of a "
            "policy is so large: is it another file?"
        )
        raise PolicyError(msg)
