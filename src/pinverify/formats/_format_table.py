"""The table of formats, which every function and every command reads.

The module of a format has its reader and its writer. The module is imported when the
format is used, so a program that reads TOML does not need an XML parser.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.files._toml_and_json_tables import Columns
    from pinverify.formats._losses import Dumped
    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Rules

    Reader: TypeAlias = Callable[[bytes, Given], Loaded]
    Writer: TypeAlias = Callable[[Rules, Given], Dumped]

__all__ = ["FORMATS", "Format", "format_named", "one_way", "readable", "writable"]

_MIB = 2**20


class Format(NamedTuple):
    """One row: a format, and how it is read and written.

    The module of the format has `loads` if it is read, and `dumps` if it is written. It
    may have `compiles`, a faster reader for a file that is only to be compiled. All
    three raise `PolicyError` for what they cannot read or write.

    Attributes:
        name: the argument of ``format=`` and ``--format``.
        host: "says" if the file that is read names its hosts; "given" if the caller
            must give the host; "either" if the caller must give it only when the file
            does not name it.
        host_to_write: "says" if a file that is written names all hosts; "given" if it
            has the pins of one host, which must be given if the rules have several.
        max_bytes: the size of the largest file that is read; None if the header of a
            file tells its size.
        beside: the ending of a second file that a reader needs, or empty.
        reads: whether it can be read.
        writes: whether it can be written.
    """

    name: str
    host: Literal["says", "given", "either"] = "says"
    host_to_write: Literal["says", "given"] = "says"
    max_bytes: int | None = 4 * _MIB
    beside: str = ""
    reads: bool = True
    writes: bool = True

    @property
    def _file(self) -> Any:  # noqa: ANN401 - a module
        return importlib.import_module(f"pinverify.formats._{self.name}")

    @property
    def reader(self) -> Reader:
        """The function that reads a file."""
        read: Reader = self._file.loads
        return read

    @property
    def compiler(self) -> Callable[[bytes, Given], Columns | Loaded]:
        """The function that reads a file that is only to be compiled."""
        read: Callable[[bytes, Given], Columns | Loaded]
        read = getattr(self._file, "compiles", self._file.loads)
        return read

    @property
    def writer(self) -> Writer:
        """The function that writes a file."""
        write: Writer = self._file.dumps
        return write


_ROWS = (
    Format("toml", max_bytes=1024 * _MIB),  # room for a million hosts
    Format("json", max_bytes=1024 * _MIB),
    Format("compiled", max_bytes=None),
    Format("okhttp"),
    Format("android"),
    Format("trustkit"),
    Format("apple"),
    Format("chromium", max_bytes=64 * _MIB, beside=".pins", writes=False),
    Format("hpkp", "given", "given", max_bytes=_MIB),  # more than servers send
    Format("curl", "given", "given"),
    Format("envoy", "either", "given"),
    Format("tlsa", "either"),
    Format("haproxy", host_to_write="given", reads=False),
    Format("postfix", "either"),
    Format("kubeadm", "given", "given"),
)

FORMATS = {row.name: row for row in _ROWS}
"""Every format by its name."""


def format_named(name: str, where: str, *, to_write: bool = False) -> Format:
    """Return the row of a format.

    Args:
        name: its name.
        where: the beginning of the message.
        to_write: True if the format is to be written, not read.

    Raises:
        PolicyError: there is no such format, or it cannot be read, or written.
    """
    names = writable() if to_write else readable()
    if name in names:
        return FORMATS[name]
    why = one_way(name)
    if why:
        msg = f"{where}: {why}; what can: {', '.join(names)}"
    else:
        msg = f"{where}: no policy format {name!r}; there is {', '.join(names)}"
    raise PolicyError(msg)


def one_way(name: str) -> str:
    """Say that a format is only read, or only written; empty if both are possible."""
    row = FORMATS.get(name)
    if row is None or (row.reads and row.writes):
        return ""
    return f"the format {name!r} can only be {'read' if row.reads else 'written'}"


def readable() -> list[str]:
    """Return the names of the formats that can be read."""
    return [row.name for row in _ROWS if row.reads]


def writable() -> list[str]:
    """Return the names of the formats that can be written."""
    return [row.name for row in _ROWS if row.writes]
