"""Many peers: hosts and chains, as callers have them, and as C reads them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.core._keys import (
    Column,
    Positions,
    check_offsets,
    ends,
    ffi,
    is_buffer,
    lib,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pinverify.core._keys import Buffer, Offsets

__all__ = ["Chains", "ColumnOfChains", "Hosts", "as_chain", "chains_of", "parts"]

# The most peers in a part. Chains in lists are copied to columns, few at a time, so
# that the copies stay in the caches. Chains in columns are not copied: their parts take
# about a hundredth of a second, since an interrupt waits for the end of a part. Both
# numbers are multiples of 8, because each part begins with a new byte of a bitmap.
_CHAINS_AT_ONCE = 256
_MOST_AT_ONCE = 8192


class Hosts:
    """The hosts of n peers: a sequence, or a buffer with offsets; or None."""

    __slots__ = ("_column", "_kept", "_name", "_rows", "num")

    def __init__(
        self,
        hosts: Sequence[Any] | Buffer | None,
        offsets: Offsets | None,
        name: Callable[[Any], bytes],
    ) -> None:
        """Keep the hosts, or a copy if they could change.

        *hosts* is None if no peer has a name. With *offsets* it is one buffer in ASCII.
        Otherwise it is a sequence, and *name* makes the bytes of each for the core.
        """
        given: Any = hosts
        self._column: Column | None = None
        self._kept: object = None
        self._rows: tuple[Any, ...] | None = None
        self._name = name
        self.num: int | None = None
        if offsets is not None:
            if not is_buffer(given):
                kind = type(given).__name__
                msg = f"host_offsets are for hosts in one buffer, got {kind}"
                raise TypeError(msg)
            held = memoryview(given)
            is_fixed = held.readonly and held.c_contiguous
            data = held.cast("B") if is_fixed else held.tobytes()
            self._column = Column(data, Positions.kept(offsets))
            self.num = self._column.num
        elif given is not None:
            if is_buffer(given) or isinstance(given, str):
                msg = (
                    "expected a list of hosts; for one buffer give host_offsets as well"
                )
                raise TypeError(msg)
            self._rows = tuple(given)
            self.num = len(self._rows)

    @classmethod
    def of_column(cls, column: Column, kept: object) -> Hosts:
        """Make hosts of a column that does not change; *kept* owns its memory."""
        hosts = cls(None, None, bytes)
        hosts._column, hosts._kept, hosts.num = column, kept, column.num
        return hosts

    def __getitem__(self, i: int) -> Any:  # noqa: ANN401 - a host of any type
        """Return host *i* as the caller gave it; None for a peer without a name."""
        if self._rows is not None:
            return self._rows[i]
        return None if self._column is None else self._column.item(i) or None

    def __reduce__(self) -> tuple[object, ...]:
        rows = None if self.num is None else [self[i] for i in range(self.num)]
        return (Hosts, (rows, None, bytes))

    def part(self, rows: range) -> tuple[Any, object]:
        """Return a ``pv_column`` of some hosts, and the owner of its memory."""
        if self._column is not None:
            return self._column.part(rows.start, len(rows)), self
        if self._rows is None:
            column = Column(b"", memoryview(bytes(4 * len(rows) + 4)).cast("I"))
        else:
            some = self._rows[rows.start : rows.stop]
            column = Column.of_list(_each(self._name, some, rows))
        return column.handle, column


def as_chain(certs: Sequence[bytes] | None) -> list[bytes]:
    """Return a copy of a chain; TypeError for one certificate, or None."""
    if type(certs) is list:  # fast path
        return certs.copy()
    if certs is None or isinstance(certs, bytes | bytearray | memoryview | str):
        msg = "a chain is a list of DER certificates, leaf first; write [certificate]"
        raise TypeError(msg)
    return list(certs)


class Part(NamedTuple):
    """Chains of some peers, as C reads them, and everything that they point to."""

    certs: Any
    """A ``pv_column``."""
    chains: Any
    """``pv_offsets``; NULL if each certificate is a chain."""
    first: int
    """The index of the first of these certificates among the certificates of all."""
    kept: object


class Chains:
    """n chains in a sequence of sequences.

    Attributes:
        num: the number of chains.
        num_certs: the number of certificates.
        positions: chain i is certificates positions[i] to positions[i + 1].
    """

    __slots__ = ("_rows", "num", "num_certs", "positions")

    def __init__(self, chains: Sequence[Sequence[bytes]]) -> None:
        if is_buffer(chains):
            msg = "expected a list of chains; for one buffer give offsets as well"
            raise TypeError(msg)
        rows = chains if isinstance(chains, list | tuple) else list(chains)
        try:
            found = ends(rows)
        except TypeError:  # an iterator has no length
            rows = _each(as_chain, rows, range(len(rows)))
            found = ends(rows)
        self._rows = rows
        self.num = len(found) - 1
        self.num_certs = found[-1]
        self.positions = Positions(found)

    def part(self, rows: range) -> Part:
        """Return the chains of some peers."""
        some = _each(as_chain, self._rows[rows.start : rows.stop], rows)
        try:
            column = Column.of_list([*chain.from_iterable(some)])
        except TypeError:
            _each(Column.of_list, some, rows)
            raise
        own = Positions(ends(some))
        at = self.positions.view
        if (own.num, column.num) != (len(rows), at[rows.stop] - at[rows.start]):
            msg = "another thread changed the chains during the call"
            raise ValueError(msg)
        handle = ffi.new("pv_offsets *", own.part(0, own.num))
        return Part(column.handle, handle, at[rows.start], (column, own))


class ColumnOfChains:
    """n chains in one buffer with offsets.

    The attributes are those of `Chains`; `positions` is None if each certificate is a
    chain by itself.
    """

    __slots__ = ("_column", "_kept", "num", "num_certs", "positions")

    def __init__(
        self, certs: Column, positions: Positions | None, kept: object
    ) -> None:
        """Keep the columns, and what owns their memory."""
        self._column = certs
        self._kept = kept
        self.num = self.num_certs = certs.num
        self.positions = positions
        if positions is not None:
            self.num = positions.num

    def part(self, rows: range) -> Part:
        """Return the chains of some peers."""
        if self.positions is None:
            column = self._column.part(rows.start, len(rows))
            return Part(column, ffi.NULL, rows.start, self)
        # C checks only the offsets that it gets: every certificate must be in a part.
        at = self.positions
        first = at.view[rows.start] if rows.start else 0
        end = self.num_certs if rows.stop == self.num else at.view[rows.stop]
        if not 0 <= first <= end <= self.num_certs:
            check_offsets(lib.PV_ERR_ARGUMENT)
        own = at.from_zero(rows.start, len(rows)) if rows.start else at
        handle = ffi.new("pv_offsets *", own.part(0, len(rows)))
        return Part(self._column.part(first, end - first), handle, first, (self, own))


def chains_of(
    chains: Sequence[Sequence[bytes]] | Buffer,
    offsets: Offsets | None,
    chain_offsets: Offsets | None,
) -> Chains | ColumnOfChains:
    """Find the certificates, and the boundaries of the chains.

    The arguments are those of `Policy.evaluate_many`.
    """
    given: Any = chains
    if offsets is not None:
        ends = None if chain_offsets is None else Positions.kept(chain_offsets)
        return ColumnOfChains(Column(given, offsets), ends, None)
    if chain_offsets is not None:
        msg = "chain_offsets are for certificates in one buffer: give offsets too"
        raise TypeError(msg)
    return Chains(given)


def parts(
    hosts: Hosts, chains: Chains | ColumnOfChains, threads: int
) -> Iterator[range]:
    """Cut the peers into parts; each part is one call into C."""
    num = chains.num
    if hosts.num not in {None, num}:
        msg = f"{hosts.num} hosts and {num} chains: give one per peer"
        raise ValueError(msg)
    if isinstance(chains, Chains):
        size = _CHAINS_AT_ONCE
    else:
        size = min(num // threads + 1, _MOST_AT_ONCE)
        size += -size % 8
    # Without peers there is one empty part, so that C checks the offsets.
    starts = range(0, max(num, 1), size)
    return (range(first, min(first + size, num)) for first in starts)


def _each(
    convert: Callable[[Any], Any], items: Sequence[Any], rows: range
) -> list[Any]:
    """Convert the host or the chain of each peer; an error names the peer."""
    try:
        return [*map(convert, items)]
    except TypeError:
        for row, item in zip(rows, items, strict=False):
            try:
                convert(item)
            except TypeError as error:
                msg = f"peer {row}: {error}"
                raise TypeError(msg) from None
        raise
