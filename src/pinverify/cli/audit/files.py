"""Files of certificates and tiles of logs: what an input is, and how it is read."""

from __future__ import annotations

import re
import stat
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from pinverify.cli.audit.rows import CERTIFICATE, Batch, Fault, der_of_text, rows_of
from pinverify.ct import TILE_WIDTH, CTError, read_tile
from pinverify.policy._pem import is_pem

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

    from pinverify.cli.audit.rows import Moved, Read

__all__ = [
    "FILE_READERS",
    "GZIP",
    "NO_CERTIFICATE",
    "Kind",
    "kind_of",
    "peek",
    "walk",
]

Kind: TypeAlias = Literal["parquet", "ipc file", "ipc", "csv", "tile", "pem", "der", ""]
"""The kind of a file; empty for something else."""

_PEEKED = 4096
_TILE = re.compile(r"/tile/data/(?:x\d{3}/)*\d{3}(?:\.p/(\d{1,3}))?(?:\.gz)?$")
# The end of such a path, for tiles that somebody keeps elsewhere.
_TILE_NAME = re.compile(r"/\d{3}(?:\.p/\d{1,3})?(?:\.gz)?$")
# Hashes of the tree and names, beside the data (static-ct-api).
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
    """Return the kind of a file without a mark of its own."""
    if is_pem(head):
        return "pem"
    if head.startswith(b"\x30"):  # no time in a tile is so late
        return "der"
    return "tile" if _TILE_NAME.search(place) else ""


def peek(file: io.BufferedReader) -> bytes:
    """Return the first bytes of a file or a pipe, which are still to be read."""
    return file.peek(_PEEKED)[:_PEEKED]


# ---- folders -----------------------------------------------------------------


def walk(folder: Path) -> Iterator[Path | Fault | None]:
    """Yield the files of a folder and of those in it, in order; None for a pipe.

    Hidden ones are passed over, partial tiles where there is a longer one, and links
    to folders that are read anyway.
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
    """Return the names in a folder, in order, without hidden and shorter tiles."""
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
    """Yield the text of each certificate; half of one is malformed.

    Lines may end in anything, or not at all, as in files that were put together.
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
        searched = max(searched, len(text) - _BOUNDARY_MAX)  # where one may begin
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

    One that is cut between two entries is known by its name.
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
"""The readers of files that are no tables."""
