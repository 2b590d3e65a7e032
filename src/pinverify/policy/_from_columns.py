"""Policies from columns: many hosts and their pins, without an object for each.

The bytes are those of the same rules, given as `Rules`.
"""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from pinverify.core._columns import Column, Positions
from pinverify.core._compile import (
    BadPatternError,
    Source,
    canonical_column,
)
from pinverify.core._library import DIGEST_LEN, view
from pinverify.errors import PolicyError
from pinverify.policy._compiled import PinTable, digests_of, flags_of, lay_out_pinsets
from pinverify.policy._hosts import canonical_pattern
from pinverify.policy._rules import check_choice, read_pins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.core._library import Buffer, Offsets
    from pinverify.policy._rules import Pins

__all__ = ["compile_columns"]


def compile_columns(  # noqa: PLR0913 - one per column and option
    hosts: Sequence[str] | Buffer,
    pins: Buffer,
    *,
    offsets: Offsets | None,
    pin_offsets: Offsets | None,
    unpinned: Literal["allow", "reject"],
    blocked: Pins,
) -> bytearray:
    """Return the compiled policy; the arguments are those of `Policy.from_columns`."""
    check_choice("unpinned", unpinned, ("allow", "reject"))
    blocked = read_pins(blocked, "blocked")
    patterns = _patterns(hosts, offsets)
    lists = _lists(pins, pin_offsets, patterns.num)
    numbers = dict.fromkeys(lists, 0)
    pinset_of = array("I", range(len(numbers)))
    if len(numbers) < len(lists):  # some hosts share a PinSet
        numbers = dict(zip(numbers, pinset_of, strict=True))
        pinset_of = array("I", map(numbers.__getitem__, lists))
    table = PinTable()
    runs = table.runs(digests_of(blocked))
    pinsets = lay_out_pinsets(numbers, table)
    flags = flags_of(unpinned, clients=False)
    source = Source(patterns, pinset_of, flags, runs, pinsets, table.data)
    try:
        return source.compile()
    except BadPatternError as error:
        this, before = patterns.text(error.row), patterns.text(error.row - 1)
        raise PolicyError(_out_of_order(error.row, this, before)) from None


# ---- hosts -------------------------------------------------------------------


def _patterns(hosts: Sequence[str] | Buffer, offsets: Offsets | None) -> Column:
    """Return the canonical patterns, in the order in which they are given."""
    given: Any = hosts
    if offsets is not None:
        column = Column(given, Positions.kept(offsets))
    else:
        if isinstance(given, str):  # its letters would be the hosts
            msg = (
                f"hosts are a list of texts, got the text {given!r}; write [{given!r}]"
            )
            raise TypeError(msg)
        texts = list(given)
        if not all(isinstance(text, str) for text in texts):
            msg = "hosts are a list of texts; for one buffer give offsets as well"
            raise TypeError(msg)
        if not all(map(str.isascii, texts)):
            texts = [_a_pattern(row, text) for row, text in enumerate(texts)]
        column = Column.of_texts(texts)
    try:
        return canonical_column(column)
    except BadPatternError as error:
        text = column.text(error.row)
        found = _a_pattern(error.row, text)  # raises, if it is ASCII
        msg = f"hosts, row {error.row}: {text!r} is not ASCII; write {found!r}"
        raise PolicyError(msg) from None


def _a_pattern(row: int, text: str) -> str:
    try:
        return canonical_pattern(text)
    except PolicyError as error:
        msg = f"hosts, row {row}: {error}"
        raise PolicyError(msg) from None


def _out_of_order(row: int, this: str, before: str) -> str:
    if this == before:
        return f"hosts, row {row}: {this!r} is in row {row - 1} already; keep one row"
    return (
        f"hosts, row {row}: {this!r} is not behind {before!r}, the row before it; sort "
        "the rows by the canonical spelling of their hosts, as sorted() does"
    )


# ---- pins --------------------------------------------------------------------


def _lists(pins: Buffer, pin_offsets: Offsets | None, num_hosts: int) -> list[bytes]:
    """Return the pins of each host, sorted, each once: n × 32 bytes."""
    if isinstance(pins, str | list | tuple):
        msg = (
            f"pins are digests of {DIGEST_LEN} bytes back to back, got "
            f"{type(pins).__name__}; join Pin.digest of each, or use Rules and Policy"
        )
        raise TypeError(msg)
    data = pins if type(pins) is bytes else view(pins).tobytes()
    if len(data) % DIGEST_LEN:
        msg = f"pins have {DIGEST_LEN} bytes each, got {len(data)} bytes"
        raise PolicyError(msg)
    if pin_offsets is None:
        each = len(data) // max(num_hosts, 1)
        if each * num_hosts != len(data) or each % DIGEST_LEN:
            msg = (
                f"{len(data) // DIGEST_LEN} pins for {num_hosts} hosts: not as many "
                "for each; say with pin_offsets which are whose"
            )
            raise PolicyError(msg)
        ends: Any = (
            range(0, each * num_hosts + 1, each) if each else [0] * (num_hosts + 1)
        )
    else:
        positions = Positions.kept(pin_offsets).view
        ends = [DIGEST_LEN * position for position in positions]
        _check_pin_offsets(ends, num_hosts, len(data))
    if num_hosts == 0:
        return []
    lists = [data[a:b] for a, b in pairwise(ends)]
    if b"" in lists:
        row = lists.index(b"")
        msg = f"hosts, row {row}: there is no pin; add one, or drop the row"
        raise PolicyError(msg)
    return [_sorted(one) if len(one) > DIGEST_LEN else one for one in lists]


def _check_pin_offsets(ends: Sequence[int], num_hosts: int, end: int) -> None:
    if len(ends) != num_hosts + 1:
        msg = (
            f"{len(ends)} pin_offsets and {num_hosts} hosts: give one offset more than "
            "there are hosts"
        )
        raise ValueError(msg)
    if any(a > b for a, b in pairwise(ends)) or ends[-1] > end or ends[0] < 0:
        msg = "pin_offsets descend, or exceed the number of pins"
        raise ValueError(msg)


def _sorted(digests: bytes) -> bytes:
    if len(digests) == 2 * DIGEST_LEN:  # fast path
        one, other = digests[:DIGEST_LEN], digests[DIGEST_LEN:]
        if one != other:
            return digests if one < other else other + one
    starts = range(0, len(digests), DIGEST_LEN)
    return b"".join(sorted({digests[at : at + DIGEST_LEN] for at in starts}))
