"""Reading of files in a format that the caller names; no format is guessed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pinverify import policy  # its parts are imported when they are used
from pinverify.errors import PolicyError
from pinverify.files import bytes_of, check_size
from pinverify.formats import _compiled
from pinverify.formats._format_table import format_named
from pinverify.formats._policy_reading import Given, Loaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.formats._format_table import Format
    from pinverify.policy import Policy

__all__ = ["load_file", "ordinary_policy", "policy_in"]


def load_file(
    path: str | os.PathLike[str],
    name_of_format: str,
    *,
    host: str | None = None,
    pins: Sequence[str | os.PathLike[str]] = (),
) -> Loaded:
    """Read a file, and return its rules and the notices of the reader.

    The arguments and the errors are those of `pinverify.load_policy`.
    """
    row, data, given = _read(path, name_of_format, host, pins)
    return row.reader(data, given)


def ordinary_policy(
    path: str | os.PathLike[str],
    name_of_format: str,
    *,
    host: str | None = None,
    pins: Sequence[str | os.PathLike[str]] = (),
) -> Policy | Loaded:
    """Read a file that is to be compiled.

    The arguments and the errors are those of `pinverify.load_policy`.

    Returns:
        The policy, if its columns can be read and `lint` finds nothing; else its rules.
    """
    row, data, given = _read(path, name_of_format, host, pins)
    return _policy_or_rules(row, data, given, ordinary=True)


def _policy_or_rules(
    row: Format, data: bytes, given: Given, *, ordinary: bool
) -> Policy | Loaded:
    """Return the policy if columns suffice to make it; else rules and notices."""
    read = row.compiler(data, given)
    if isinstance(read, Loaded):
        return read
    found = None if ordinary and not read.is_ordinary() else read.policy()
    return found or row.reader(data, given)  # which finds all mistakes


def _read(
    path: str | os.PathLike[str],
    name_of_format: str,
    host: str | None,
    pins: Sequence[str | os.PathLike[str]],
) -> tuple[Format, bytes, Given]:
    name = os.fspath(path)
    row = format_named(name_of_format, name)
    if host is not None and row.host == "says":
        msg = f"{name}: a file of {row.name} names its hosts; leave out `host` (--host)"
        raise PolicyError(msg)
    if host is None and row.host == "given":
        msg = f"{name}: a file of {row.name} names no host; give `host` (--host)"
        raise PolicyError(msg)
    if pins and not row.beside:
        msg = f"{name}: a file of {row.name} has its pins in it; leave pins out"
        raise PolicyError(msg)
    paths = [Path(one) for one in pins] or (_beside(Path(name)) if row.beside else [])
    beside = tuple(_bytes(str(one), row) for one in paths)
    return row, _bytes(name, row), Given(name, host, beside=beside)


def _beside(path: Path) -> list[Path]:
    """Return the files that belong to a list: Chromium has three with one stem."""
    stem = path.stem.removesuffix("_pins")
    ends = ("_pins.json", ".json", ".pins")
    others = [path.with_name(f"{stem}{end}") for end in ends]
    return [other for other in others if other != path and other.is_file()]


def policy_in(
    data: bytes, name: str, name_of_format: str
) -> tuple[Policy, Sequence[str]]:
    """Return the policy in the bytes of a file, and the notices of the reader.

    Raises:
        PolicyError: the bytes have mistakes; or in this format, one file is not a whole
            policy.
    """
    row = format_named(name_of_format, name)
    if row.max_bytes is None:
        return _compiled.opened(data, name), ()
    if row.beside or row.host == "given":
        msg = f"{name}: a file of {row.name} does not say all of a policy: convert it"
        raise PolicyError(msg)
    check_size(data, name, row.max_bytes, row.name)
    found = _policy_or_rules(row, data, Given(name), ordinary=False)
    if isinstance(found, Loaded):
        return policy.Policy(found.rules), found.notices
    return found, ()


def _bytes(name: str, row: Format) -> bytes:
    """Return the contents of a file, if they are not longer than its format allows."""
    if row.max_bytes is not None:
        return bytes_of(name, row.max_bytes, row.name)
    with Path(name).open("rb") as file:
        return _compiled.bytes_in(file, name)
