"""The inputs of an audit: files, folders and pipes, one after the other."""

from __future__ import annotations

import importlib.util
from typing import IO, TYPE_CHECKING, cast

from pinverify.cli.audit.csv_files import read_csv
from pinverify.cli.audit.files import (
    FILE_READERS,
    GZIP,
    NO_CERTIFICATE,
    kind_of,
    peek,
    walk,
)
from pinverify.cli.audit.rows import Fault
from pinverify.cli.audit.tables import read_ipc_file, read_ipc_stream, read_parquet

if TYPE_CHECKING:
    import io
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from pinverify.cli.audit.files import Kind
    from pinverify.cli.audit.rows import Moved, Read, Wanted

__all__ = ["NEEDS_PYARROW", "Inputs", "has_pyarrow"]

NEEDS_PYARROW = "needs pyarrow; run pip install '.[audit]' in the checkout"
_TABLES = {"parquet", "ipc file", "ipc", "csv"}


def has_pyarrow() -> bool:
    """Return True if pyarrow is installed; it is not imported."""
    return importlib.util.find_spec("pyarrow") is not None


class Inputs:
    """The inputs that a user names.

    Attributes:
        left_out: files in folders that are nothing to audit.
        num_tables: files with columns.
    """

    def __init__(
        self, paths: Sequence[Path], wanted: Wanted, outputs: Collection[Path]
    ) -> None:
        """Name them; files to be written are no input, though they are in a folder."""
        self._paths = paths
        self._wanted = wanted
        self._outputs = {_identity(path) for path in outputs if path.exists()}
        self.left_out = self.num_tables = 0

    @property
    def size(self) -> int | None:
        """The number of bytes; None if it is not known before they are read."""
        if all(path.is_file() for path in self._paths):
            return sum(path.stat().st_size for path in self._paths)
        return None

    def read(self, moved: Moved) -> Read:
        """Read all of them."""
        for path in self._paths:
            if not path.is_dir():
                yield from self._file(path, moved, named=True)
                continue
            for one in walk(path):
                if isinstance(one, Fault):
                    yield one
                elif one is None:
                    self.left_out += 1
                elif not self._outputs or _identity(one) not in self._outputs:
                    yield from self._file(one, moved, named=False)

    def _file(self, path: Path, moved: Moved, *, named: bool) -> Read:
        try:
            with path.open("rb") as file:
                yield from self._open(path, file, moved, named=named)
        except OSError as error:
            yield Fault(str(path), f"{error.strerror or error}; make it readable")

    def _open(
        self, path: Path, file: io.BufferedReader, moved: Moved, *, named: bool
    ) -> Read:
        source = str(path)
        head = peek(file)
        kind: Kind = kind_of(path, head)
        if not kind and named and head and _is_text(head):
            kind = "csv"
        self.num_tables += kind in _TABLES
        if not head and (named or kind):
            yield Fault(source, "the file is empty; write or fetch it again")
        elif not kind and named:
            expected = "Parquet, Arrow IPC, CSV, DER, PEM or a tile of a log"
            step = "decompress it" if head.startswith(GZIP) else "convert it"
            yield Fault(source, f"expected {expected}; {step} first")
        elif not kind:
            self.left_out += 1
        elif kind == "csv":
            yield from read_csv(file, source, self._wanted, moved)
        elif kind in _TABLES and not has_pyarrow():
            yield Fault(source, f"reading it {NEEDS_PYARROW}")
        elif kind == "ipc":
            yield from read_ipc_stream(
                cast("IO[bytes]", file), source, self._wanted, moved
            )
        elif kind in _TABLES:
            read = read_parquet if kind == "parquet" else read_ipc_file
            yield from read(path, source, self._wanted, moved)
        else:
            items = FILE_READERS[kind](file, source, moved)
            yield from items if named else self._without_keys(items)

    def _without_keys(self, read: Read) -> Read:
        """Leave out a file of a folder that has no certificate: a key, a request."""
        for item in read:
            if isinstance(item, Fault) and item.text == NO_CERTIFICATE:
                self.left_out += 1
            else:
                yield item


def _identity(path: Path) -> tuple[int, int]:
    """Return what two paths to the same file have in common."""
    found = path.stat()
    return found.st_dev, found.st_ino


def _is_text(head: bytes) -> bool:
    """Return True for the first bytes of a text, which may end inside a character."""
    text = head.decode("utf-8", "ignore")
    return len(text.encode()) > len(head) - 4 and all(
        c.isprintable() or c in "\r\n\t\ufeff" for c in text
    )
