"""Entries of Certificate Transparency logs: tiles and get-entries, as columns.

This module only reads: it fetches nothing, and checks no signature and no hash of the
tree. `pinverify.arrow` takes the certificates.
"""

from __future__ import annotations

import base64
import json
from array import array
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.arrow import Column
from pinverify.core._arrow import ArrowColumn
from pinverify.core._keys import sha256
from pinverify.errors import PinverifyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = ["CTError", "Entries", "Entry", "read_get_entries", "read_tile"]

TILE_WIDTH = 256
"""The most entries of a tile (static-ct-api, Merkle Tree)."""


# ---- entries -----------------------------------------------------------------


class Entry(NamedTuple):
    """An entry of a log."""

    leaf_index: int | None
    """Its number in the log; None if neither the entry nor the caller gives it."""
    timestamp: int
    """Milliseconds since 1970-01-01T00:00:00Z."""
    precertificate: bool
    """True if the log has only seen the precertificate."""
    certificate: bytes
    """DER, as submitted; a precertificate has the same key as its certificate."""
    chain_sha256: tuple[bytes, ...]
    """SHA-256 of each certificate above it, issuer first: 32 bytes each."""


class Entries:
    """Entries in order, which are also an Arrow array of structs.

    The fields of a struct are those of `Entry`: ``leaf_index`` (uint64), ``timestamp``
    (timestamp[ms, UTC]), ``precertificate`` (bool), ``certificate`` (large_binary),
    ``chain_sha256`` (a large list of 32 bytes each).
    """

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        """Keep the entries."""
        self._entries = tuple(entries)

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    def __getitem__(self, i: int) -> Entry:
        """Return entry *i*, counted from 0."""
        return self._entries[i]

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries one after the other."""
        return iter(self._entries)

    def __eq__(self, other: object) -> bool:
        """Compare entry by entry."""
        return isinstance(other, Entries) and self._entries == other._entries

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._entries)

    def __repr__(self) -> str:
        """Return the number of entries."""
        return f"<Entries {len(self)} of a log>"

    @property
    def certificates(self) -> Column:
        """The certificates alone, for `pinverify.arrow`."""
        return Column(_binary("certificate", [one.certificate for one in self]))

    def __arrow_c_schema__(self) -> object:
        """Return the type as an ``arrow_schema`` capsule."""
        return self._column().__arrow_c_schema__()

    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]:
        """Return the array as capsules; another schema cannot be requested."""
        return self._column().__arrow_c_array__(requested_schema)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a stream of this one array as a capsule."""
        return self._column().__arrow_c_stream__(requested_schema)

    def _column(self) -> Column:
        num = len(self)
        known = [one.leaf_index is not None for one in self]
        indices = array("Q", (one.leaf_index or 0 for one in self))
        times = array("q", (one.timestamp for one in self))
        pre = _bitmap([one.precertificate for one in self])
        chains = [one.chain_sha256 for one in self]
        digests = [digest for chain in chains for digest in chain]
        above = ArrowColumn("sha256", "w:32", len(digests), [b"".join(digests)])
        fields = [
            ArrowColumn("leaf_index", "L", num, [indices], valid=_bitmap(known)),
            ArrowColumn("timestamp", "tsm:UTC", num, [times]),
            ArrowColumn("precertificate", "b", num, [pre]),
            _binary("certificate", [one.certificate for one in self]),
            ArrowColumn("chain_sha256", "+L", num, [_ends(chains)], [above]),
        ]
        return Column(ArrowColumn("", "+s", num, [], fields))


def _binary(name: str, rows: Sequence[bytes]) -> ArrowColumn:
    return ArrowColumn(name, "Z", len(rows), [_ends(rows), b"".join(rows)])


def _ends(rows: Sequence[Sequence[Any]]) -> array[int]:
    return array("q", accumulate(map(len, rows), initial=0))


def _bitmap(flags: Sequence[bool]) -> bytes:
    bits = sum(flag << i for i, flag in enumerate(flags))
    return bits.to_bytes((len(flags) + 7) // 8, "little")


class CTError(PinverifyError, ValueError):
    """Raised for bytes that are not a whole, sound tile or get-entries answer.

    Attributes:
        entries: all entries before the fault.
    """

    def __init__(self, message: str, entries: Entries) -> None:
        """Keep the message and the entries."""
        super().__init__(message)
        self.entries = entries

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the message and the entries."""
        return (type(self), (str(self), self.entries))


# ---- tiles -------------------------------------------------------------------


def read_tile(tile: bytes) -> Entries:
    """Read a data tile of a static log (c2sp.org/static-ct-api, Log Entries).

    Args:
        tile: the whole tile, not compressed, with up to 256 entries.

    Raises:
        CTError: the tile is cut or corrupted; the error has the entries before the
            fault.
    """
    cursor = _Cursor(tile)
    if tile[:2] == b"\x1f\x8b":
        msg = "the tile is compressed; gzip.decompress makes a tile of it"
        raise CTError(msg, Entries())
    if not tile:
        msg = "the tile is empty; fetch it again"
        raise CTError(msg, Entries())

    def read_one(number: int) -> Entry | None:
        if cursor.at_end:
            return None
        if number == TILE_WIDTH:
            msg = f"a tile has at most {TILE_WIDTH} entries; read one at a time"
            raise _FaultError(msg)
        return _tile_leaf(cursor)

    return _collected(read_one, lambda: f" (byte {cursor.at} of the tile)")


def _collected(
    read_one: Callable[[int], Entry | None], place: Callable[[], str]
) -> Entries:
    """Read one entry after the other, up to the end or a fault."""
    found: list[Entry] = []
    try:
        while (one := read_one(len(found))) is not None:
            found.append(one)
    except _FaultError as fault:
        msg = (
            f"entry {len(found)}{place()}: {fault}; the entries before it are in "
            "`entries` of this error"
        )
        raise CTError(msg, Entries(found)) from None
    return Entries(found)


def _tile_leaf(cursor: _Cursor) -> Entry:
    """Read a TileLeaf: a TimestampedEntry, the precertificate, and fingerprints."""
    entry = _timestamped_entry(cursor)
    certificate = entry.certificate
    if entry.precertificate:
        certificate = cursor.vector(3, "the precertificate")
    prints = _Cursor(cursor.vector(2, "the fingerprints of the chain"))
    chain = []
    while not prints.at_end:
        chain.append(prints.take(32, "a fingerprint of the chain"))
    return entry._replace(certificate=certificate, chain_sha256=tuple(chain))


# ---- get-entries -------------------------------------------------------------


def read_get_entries(answer: bytes | str, first: int | None = None) -> Entries:
    """Read the answer to a get-entries request (RFC 6962, 4.6).

    Args:
        answer: the JSON text.
        first: the ``start`` of the request, which is the number of the first entry
            in the log. Without it, the entries have no ``leaf_index``.

    Raises:
        CTError: the answer is cut or corrupted; its `entries` are those before the
            fault, or none if the answer is not JSON.
    """
    try:
        rows = json.loads(answer)["entries"]
    except (ValueError, TypeError, KeyError, RecursionError):
        rows = None
    if not isinstance(rows, list):
        msg = 'expected JSON with a list "entries"; fetch the answer again'
        raise CTError(msg, Entries())

    def read_one(number: int) -> Entry | None:
        if number == len(rows):
            return None
        return _entry_of_answer(rows[number], None if first is None else first + number)

    return _collected(read_one, lambda: " of the answer")


def _entry_of_answer(row: Any, index: int | None) -> Entry:  # noqa: ANN401 - of JSON
    leaf, extra = (_Cursor(_decoded(row, key)) for key in ("leaf_input", "extra_data"))
    if leaf.take(2, "the version") != b"\0\0":
        msg = "a leaf of an unknown version or type"
        raise _FaultError(msg)
    entry = _timestamped_entry(leaf)
    certificate = entry.certificate
    if entry.precertificate:
        certificate = extra.vector(3, "the precertificate")
    above = _Cursor(extra.vector(3, "the chain"))
    if not (leaf.at_end and extra.at_end):
        msg = "there are bytes after it"
        raise _FaultError(msg)
    chain = []
    while not above.at_end:
        chain.append(sha256(above.vector(3, "a certificate of the chain")))
    if index is not None and entry.leaf_index not in {None, index}:
        msg = f"it says that it is entry {entry.leaf_index} of the log, not {index}"
        raise _FaultError(msg)
    return entry._replace(
        leaf_index=entry.leaf_index if index is None else index,
        certificate=certificate,
        chain_sha256=tuple(chain),
    )


def _decoded(row: Any, key: str) -> bytes:  # noqa: ANN401
    try:
        return base64.b64decode(row[key], validate=True)
    except (ValueError, TypeError, KeyError):
        msg = f"no {key!r} in base64"
        raise _FaultError(msg) from None


# ---- both --------------------------------------------------------------------


class _FaultError(Exception):
    """Raised at the first fault in the bytes; `_collected` makes a `CTError` of it."""


class _Cursor:
    """Bytes, and the position of the next one to read."""

    __slots__ = ("_data", "at")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.at = 0

    @property
    def at_end(self) -> bool:
        """True if nothing is left."""
        return self.at == len(self._data)

    def take(self, length: int, what: str) -> bytes:
        """Return the next bytes."""
        found = self._data[self.at : self.at + length]
        if len(found) < length:
            msg = f"it ends inside {what}"
            raise _FaultError(msg)
        self.at += length
        return found

    def number(self, length: int, what: str) -> int:
        """Return the next bytes as a number."""
        return int.from_bytes(self.take(length, what), "big")

    def vector(self, width: int, what: str) -> bytes:
        """Read a length of *width* bytes, and return that many bytes after it."""
        return self.take(self.number(width, f"the length of {what}"), what)


_X509, _PRECERT = 0, 1
_LEAF_INDEX = 0
_TIME_END = 2**63


def _timestamped_entry(cursor: _Cursor) -> Entry:
    """Read a TimestampedEntry (RFC 6962, 3.4); for a precertificate, its TBS only."""
    timestamp = cursor.number(8, "the timestamp")
    kind = cursor.number(2, "the type of the entry")
    if kind not in {_X509, _PRECERT}:
        msg = f"an entry of the unknown type {kind}"
        raise _FaultError(msg)
    if timestamp >= _TIME_END:
        msg = f"the timestamp {timestamp} is no time"
        raise _FaultError(msg)
    if kind == _PRECERT:
        cursor.take(32, "the hash of the issuer's key")
    certificate = cursor.vector(3, "the certificate")
    index = _leaf_index(_Cursor(cursor.vector(2, "the extensions")))
    return Entry(index, timestamp, kind == _PRECERT, certificate, ())


def _leaf_index(extensions: _Cursor) -> int | None:
    """Return the number in the extension leaf_index (static-ct-api), or None."""
    index = None
    while not extensions.at_end:
        kind = extensions.number(1, "an extension")
        data = extensions.vector(2, "an extension")
        if kind == _LEAF_INDEX:
            if len(data) != 5 or index is not None:  # noqa: PLR2004 - uint40
                msg = "an extension leaf_index that is not one of 5 bytes"
                raise _FaultError(msg)
            index = int.from_bytes(data, "big")
    return index
