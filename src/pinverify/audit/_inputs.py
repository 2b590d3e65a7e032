"""The inputs of an audit: files, folders and pipes, one after the other.

_tables.py reads the tables that need pyarrow; all other inputs are read here.
"""

from __future__ import annotations

import csv
import importlib.util
import io
import re
import stat
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias, cast

from pinverify.audit._rows import (
    BATCH_BYTES,
    CERTIFICATE,
    ROWS,
    Batch,
    Fault,
    chosen,
    der_of_text,
    none_fits,
    rows_of,
)
from pinverify.audit._tables import read_ipc_file, read_ipc_stream, read_parquet
from pinverify.ct import TILE_WIDTH, CTError, read_tile
from pinverify.policy._certs_and_pins import is_pem

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from pinverify.audit._rows import Moved, Read, Wanted

__all__ = [
    "NEEDS_PYARROW",
    "NO_CERTIFICATE",
    "Inputs",
    "Kind",
    "has_pyarrow",
    "kind_of",
    "peek",
    "walk",
]

NEEDS_PYARROW = "needs pyarrow; run pip install '.[audit]' in the checkout"
_TABLES = {"parquet", "ipc file", "ipc", "csv"}


def has_pyarrow() -> bool:
    """Return True if pyarrow is installed; it is not imported."""
    return importlib.util.find_spec("pyarrow") is not None


class Inputs:
    """The inputs that a user names.

    Attributes:
        left_out: number of files, found in folders, that have nothing to audit.
        num_tables: number of files with columns.
    """

    def __init__(
        self, paths: Sequence[Path], wanted: Wanted, outputs: Collection[Path]
    ) -> None:
        """Take the paths; an output is not read, even if it is in a folder."""
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
        """Read all inputs."""
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


# ---- kinds of files ----------------------------------------------------------

Kind: TypeAlias = Literal["parquet", "ipc file", "ipc", "csv", "tile", "pem", "der", ""]
"""The kind of a file; empty for something else."""

_PEEKED = 4096
_TILE = re.compile(r"/tile/data/(?:x\d{3}/)*\d{3}(?:\.p/(\d{1,3}))?(?:\.gz)?$")
# The end of such a path, for tiles that somebody keeps elsewhere.
_TILE_NAME = re.compile(r"/\d{3}(?:\.p/\d{1,3})?(?:\.gz)?$")
# Tiles of hashes and of names, beside the data tiles (static-ct-api).
_OTHER_TILE = re.compile(
    r"/tile/(?:\d+|names)/(?:x\d{3}/)*\d{3}(?:\.p/\d{1,3})?(?:\.gz)?$"
)
_WIDTH = re.compile(r"([1-9]\d{0,2})(?:\.gz)?", re.ASCII)
_SUFFIXES: dict[str, Kind] = {
    ".der": "der",
    ".cer": "der",
    ".crt": "der",
    ".pem": "pem",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "ipc file",
    ".feather": "ipc file",
    ".arrows": "ipc",
}
_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "ipc file"),
    (b"\xff\xff\xff\xff", "ipc"),
    (b"\0\0\x01", "tile"),  # milliseconds since 1970, from 2004 to 2527
)


def kind_of(path: Path, head: bytes) -> Kind:
    """Return the kind of a file by its place, its first bytes and its suffix."""
    place = path.absolute().as_posix()
    if _TILE.search(place):
        return "tile"
    if _OTHER_TILE.search(place):
        return ""
    by_suffix = _SUFFIXES.get(path.suffix.lower(), "")
    if by_suffix == "csv":  # a cell may hold PEM
        return "csv"
    by_magic = (kind for magic, kind in _MAGIC if head.startswith(magic))
    return next(by_magic, "") or _kind_of_rest(place, head) or by_suffix


def _kind_of_rest(place: str, head: bytes) -> Kind:
    """Return the kind of a file that no magic number identifies."""
    if is_pem(head):
        return "pem"
    if head.startswith(b"\x30"):  # not a tile: its time would be too late
        return "der"
    return "tile" if _TILE_NAME.search(place) else ""


def peek(file: io.BufferedReader) -> bytes:
    """Return the first bytes of a file or a pipe without consuming them."""
    return file.peek(_PEEKED)[:_PEEKED]


# ---- folders -----------------------------------------------------------------


def walk(folder: Path) -> Iterator[Path | Fault | None]:
    """Yield the files in a folder and its subfolders, in order; None for a pipe.

    Skipped are hidden files, partial tiles if a longer tile is there, and links to
    folders that are read anyway.
    """
    root = folder.resolve()
    waiting = [folder]
    while waiting:
        one = waiting.pop()
        try:
            mode = one.lstat().st_mode
            if one is folder or stat.S_ISDIR(mode):
                waiting += reversed([one / name for name in _listed(one)])
                continue
            if stat.S_ISLNK(mode):
                mode = one.stat().st_mode
        except OSError as error:
            yield Fault(str(one), f"{error.strerror}; make it readable")
            continue
        if stat.S_ISDIR(mode):
            if not one.resolve().is_relative_to(root):
                text = "a link to a folder; name that folder as an input, too"
                yield Fault(str(one), text)
        else:
            yield one if stat.S_ISREG(mode) else None


def _listed(folder: Path) -> list[str]:
    """Return the sorted names in a folder, without hidden files and shorter tiles."""
    names = sorted(one.name for one in folder.iterdir() if one.name[0] != ".")
    if _TILE_NAME.search(f"{folder.absolute().as_posix()}/1") and folder.suffix == ".p":
        found = [(name, _WIDTH.fullmatch(name)) for name in names]
        tiles = {name: int(width[1]) for name, width in found if width is not None}
        kept = max(tiles, key=tiles.__getitem__, default=None)
        whole = folder.with_suffix("")
        if whole.is_file() or whole.with_suffix(".gz").is_file():
            kept = None
        names = [name for name in names if name == kept or name not in tiles]
    return names


# ---- certificates ------------------------------------------------------------

_DER_MAX = 1 << 24
_PEM_PIECE = 1 << 20


def read_der(file: IO[bytes], source: str, moved: Moved) -> Read:
    """Read a file with one certificate in DER."""
    der = file.read(_DER_MAX + 1)
    moved(len(der))
    if len(der) > _DER_MAX:
        yield Fault(source, f"longer than {_DER_MAX:,} bytes; is it a certificate?")
    else:
        yield Batch(source, 0, rows_of([der]))


NO_CERTIFICATE = "no certificate in the PEM text; give one that has some"


def read_pem(file: IO[bytes], source: str, moved: Moved) -> Read:
    """Read a file with any number of certificates in PEM, one at a time."""
    num = 0
    for text in _certificates(file, moved):
        yield Batch(source, num, rows_of([der_of_text(text)]))
        num += 1
    if num == 0:
        yield Fault(source, NO_CERTIFICATE)


_BOUNDARY = re.compile(rb"-----(BEGIN|END) ([^-\r\n]{1,60})-----")
_BOUNDARY_MAX = 80
_CUT = b"-----BEGIN CERTIFICATE-----"


def _certificates(file: IO[bytes], moved: Moved) -> Iterator[bytes]:
    """Yield the text of each certificate; a certificate that is cut is malformed.

    Lines may end in any way, or not at all where two files were concatenated.
    """
    text, searched, begun = b"", 0, False
    while data := file.read(_PEM_PIECE):
        moved(len(data))
        text += data
        begin_at = 0
        for found in _BOUNDARY.finditer(text, searched):
            is_begin = found[1] == b"BEGIN"
            is_ours = found[2].decode("latin-1") in CERTIFICATE
            if begun:
                yield _CUT if is_begin else text[begin_at : found.end()]
            elif is_ours and not is_begin:
                yield _CUT
            begun = is_begin and is_ours
            begin_at, searched = found.start(), found.end()
        searched = max(searched, len(text) - _BOUNDARY_MAX)  # the boundary of one
        done = begin_at if begun else searched
        text, searched = text[done:], searched - done
        if len(text) > _DER_MAX:
            yield _CUT
            text, searched, begun = text[searched:], 0, False
    if begun:
        yield _CUT


# ---- tiles -------------------------------------------------------------------

GZIP = b"\x1f\x8b"
_TILE_MAX = 1 << 26
_API = "; the entries before it are in `entries` of this error"


def read_tiles(file: IO[bytes], source: str, moved: Moved) -> Read:
    """Read one data tile of a log, compressed or not.

    The number in the name of a tile shows whether it was cut between two entries.
    """
    tile = file.read(_TILE_MAX + 1)
    moved(len(tile))
    problem = ""
    if tile.startswith(GZIP) and len(tile) <= _TILE_MAX:
        tile, problem = _decompressed(tile)
    if len(tile) > _TILE_MAX:
        yield Fault(source, f"longer than {_TILE_MAX:,} bytes; is it a tile?")
        return
    try:
        entries = read_tile(tile)
    except CTError as error:
        entries = error.entries
        reason = str(error).removesuffix(_API)
        problem = problem or f"{reason}; fetch the tile again"
    if (named := _TILE.search(Path(source).absolute().as_posix())) and not problem:
        width = int(named[1] or TILE_WIDTH)
        if len(entries) != width:
            problem = f"{len(entries)} entries, not {width} as its name says; fetch it"
            problem += " again"
    if len(entries):
        certs = rows_of([entry.certificate for entry in entries])
        indices = [entry.leaf_index for entry in entries]
        yield Batch(source, 0, certs, indices=indices)
    if problem:
        yield Fault(source, f"{problem}; {len(entries)} entries were read")


def _decompressed(data: bytes) -> tuple[bytes, str]:
    """Return as much as can be decompressed, and the problem, if there is one."""
    gzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    tile = bytearray()
    try:
        for at in range(0, len(data), _PEEKED):
            tile += gzip.decompress(data[at : at + _PEEKED], _TILE_MAX + 1)
            while gzip.unconsumed_tail and len(tile) <= _TILE_MAX:
                tile += gzip.decompress(gzip.unconsumed_tail, _TILE_MAX + 1)
            if len(tile) > _TILE_MAX:
                break
    except zlib.error as error:
        return bytes(tile), f"the compressed tile is damaged: {error}; fetch it again"
    if gzip.unused_data:
        return bytes(tile), "bytes follow the compressed tile; fetch it again"
    if gzip.eof or len(tile) > _TILE_MAX:
        return bytes(tile), ""
    return bytes(tile), "the compressed tile is cut; fetch it again"


FILE_READERS: dict[Kind, Callable[[IO[bytes], str, Moved], Read]] = {
    "der": read_der,
    "pem": read_pem,
    "tile": read_tiles,
}
"""The readers of files that are not tables."""


# ---- CSV ---------------------------------------------------------------------

_CELL_MAX = 1 << 20
_DELIMITERS = ",;\t|"


def read_csv(file: IO[bytes], source: str, wanted: Wanted, moved: Moved) -> Read:
    """Read a CSV file with a header; the rows after it are numbered from 0."""
    csv.field_size_limit(_CELL_MAX)
    with io.TextIOWrapper(
        file, encoding="utf-8-sig", errors="backslashreplace", newline=""
    ) as text:
        yield from _read_lines(_counted(text, moved), source, wanted)


def _read_lines(lines: Iterator[str], source: str, wanted: Wanted) -> Read:
    header = next(lines, "")
    if "\0" in header:  # as in each Latin letter of UTF-16
        advice = "convert it, as `iconv -f UTF-16 -t UTF-8` does"
        yield Fault(
            source, f"it has zero bytes, as UTF-16 has, and is not UTF-8; {advice}"
        )
        return
    delimiter = max(_DELIMITERS, key=header.count)
    names = next(csv.reader([header], delimiter=delimiter), [])
    place = chosen(dict.fromkeys(names, "text"), wanted)
    if isinstance(place, str):
        yield Fault(source, place)
        return
    at_cert = names.index(place.certificates)
    at_host = None if place.hosts is None else names.index(place.hosts)
    # If not strict, a stray quote would turn all text after it into one cell.
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    first = 0
    try:
        for certs, hosts in _pieces(rows, at_cert, at_host):
            if first == 0 and _is_no_certificate(certs):
                yield Fault(source, none_fits(place.certificates, certs))
                return
            ders = rows_of([c if not c else der_of_text(c) for c in certs])
            column = None if at_host is None else rows_of(hosts)
            yield Batch(source, first, ders, column)
            first += len(certs)
    except csv.Error as error:
        advice = "write the line again; the rest was not read"
        yield Fault(
            source, f"after row {first}, line {rows.line_num}: {error}; {advice}"
        )


def _counted(text: io.TextIOWrapper, moved: Moved) -> Iterator[str]:
    for line in text:
        moved(len(line))
        yield line


def _pieces(
    rows: Iterator[list[str]], at_cert: int, at_host: int | None
) -> Iterator[tuple[list[bytes | None], list[bytes | None]]]:
    """Yield the certificates and hosts of all rows, in batches; an empty cell is null.

    A row too short for the column of certificates counts as a malformed certificate.
    """
    certs: list[bytes | None] = []
    hosts: list[bytes | None] = []
    length = 0
    try:
        for row in rows:
            if not row:  # an empty line
                continue
            certs.append(_cell(row, at_cert, b""))
            if at_host is not None:
                hosts.append(_cell(row, at_host, None))
            length += len(certs[-1] or b"")
            if len(certs) == ROWS or length > BATCH_BYTES:
                yield certs, hosts
                certs, hosts, length = [], [], 0
    except csv.Error:
        if certs:
            yield certs, hosts
        raise
    if certs:
        yield certs, hosts


def _cell(row: list[str], at: int, missing: bytes | None) -> bytes | None:
    return row[at].encode() or None if at < len(row) else missing


def _is_no_certificate(certs: list[bytes | None]) -> bool:
    """Return True if no cell looks like PEM or base64 of DER."""
    cells = [cell for cell in certs if cell]
    return bool(cells) and not any(
        b"-----BEGIN " in cell or cell.lstrip().startswith(b"M") for cell in cells
    )
