"""The compiler of policies in the C core: columns in, the bytes of a policy out."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from pinverify.core._columns import Column
from pinverify.core._library import DIGEST_LEN, ffi, lib, status_text
from pinverify.errors import PolicyError

if TYPE_CHECKING:
    from array import array

    from pinverify.core._library import Buffer

__all__ = ["PINSET_LEN", "UNPINNED", "BadPatternError", "Source", "canonical_column"]

PINSET_LEN = 80
UNPINNED: int = lib.PV_UNPINNED
"""In place of the number of a PinSet."""


class BadPatternError(PolicyError):
    """Raised for a pattern of a column that cannot be compiled.

    Attributes:
        row: its number.
    """

    def __init__(self, row: int, why: str) -> None:
        self.row = row
        super().__init__(f"row {row}: {why}")


class Source(NamedTuple):
    """The rules and pins of a policy; see ``pv_policy_source`` in C."""

    patterns: Column
    """Canonical, ascending, each once."""
    pinset_of: array[int]
    """For each pattern 4 bytes: the number of its PinSet, or `UNPINNED`."""
    flags: int
    blocked: bytes
    """Two runs, 16 bytes."""
    pinsets: Buffer
    """n × 80 bytes."""
    pins: Buffer
    """Packed pins, n × 32 bytes."""

    def compile(self) -> bytearray:
        """Return the compiled policy, as it was written: a large one is not copied.

        Raises:
            BadPatternError: a pattern is not canonical, or out of order.
            PolicyError: there are too many rules.
        """
        pins, pinsets = ffi.from_buffer(self.pins), ffi.from_buffer(self.pinsets)
        pinset_of = ffi.from_buffer("uint32_t[]", self.pinset_of)
        source = ffi.new("pv_policy_source *")
        source.patterns = self.patterns.handle[0]
        source.pinset_of = pinset_of
        source.pins, source.num_rows = pins, len(pins) // DIGEST_LEN
        source.pinsets, source.num_pinsets = pinsets, len(pinsets) // PINSET_LEN
        source.flags, source.blocked = self.flags, struct.unpack("<4I", self.blocked)
        out = bytearray(lib.pv_policy_compiled_len(source))
        row = ffi.new("size_t *")
        at = ffi.from_buffer("uint8_t[]", out)
        status = lib.pv_policy_compile(at, len(out), row, source)
        if status in (lib.PV_ERR_POLICY_PATTERN, lib.PV_ERR_POLICY_ORDER):
            raise BadPatternError(row[0], status_text(status))
        if status != lib.PV_OK:
            msg = f"the rules cannot be compiled: {status_text(status)}"
            raise PolicyError(msg)
        return out


def canonical_column(patterns: Column) -> Column:
    """Return a column with the canonical spelling of each pattern.

    Raises:
        BadPatternError: a pattern has none.
    """
    data = bytearray(patterns.data_len + patterns.num + 1)
    offsets = bytearray(8 * (patterns.num + 1))
    row = ffi.new("size_t *")
    status = lib.pv_patterns_canonical(
        ffi.from_buffer("uint8_t[]", data),
        len(data),
        ffi.from_buffer("uint64_t[]", offsets),
        row,
        patterns.handle,
    )
    if status == lib.PV_ERR_POLICY_PATTERN:
        raise BadPatternError(row[0], status_text(status))
    if status != lib.PV_OK:
        msg = "offsets descend, or exceed the end of the buffer"
        raise ValueError(msg)
    return Column(data, memoryview(offsets).cast("Q"))
