"""Reading of files: the row of the table is chosen by name, never by the contents."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.formats._reading import Given
from pinverify.formats._table import format_named

if TYPE_CHECKING:
    from pinverify.formats._reading import Loaded
    from pinverify.formats._table import Format

__all__ = ["load_file"]


def load_file(
    path: str | os.PathLike[str],
    name_of_format: str,
    *,
    host: str | None = None,
    pins: str | os.PathLike[str] | None = None,
) -> Loaded:
    """Read a file, and return its rules and the notices of the reader.

    The arguments and the errors are those of `pinverify.load_policy`.
    """
    name = os.fspath(path)
    row = format_named(name_of_format, name)
    if host is not None and row.host == "says":
        msg = f"{name}: a {row.name} file names its hosts; leave out `host` (--host)"
        raise PolicyError(msg)
    if host is None and row.host == "given":
        msg = f"{name}: a {row.name} file names no host; give `host` (--host)"
        raise PolicyError(msg)
    if pins is not None and not row.beside:
        msg = f"{name}: a {row.name} file has its pins in it; leave pins out"
        raise PolicyError(msg)
    beside = None
    if pins is not None:
        beside = _bytes(os.fspath(pins), row)
    elif row.beside and (second := Path(name).with_suffix(row.beside)).is_file():
        beside = _bytes(str(second), row)
    return row.reader(_bytes(name, row), Given(name, host, beside=beside))


def _bytes(name: str, row: Format) -> bytes:
    """Return the contents of a file, if they are not longer than its format allows."""
    with Path(name).open("rb") as file:
        if row.max_bytes is None:
            return file.read()
        data = file.read(row.max_bytes + 1)
    if len(data) > row.max_bytes:
        msg = (
            f"{name}: more than {row.max_bytes:,} bytes; no {row.name} file of a "
            "policy is so large: is it another file?"
        )
        raise PolicyError(msg)
    return data
