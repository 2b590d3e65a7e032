"""Columns of certificates, as pyarrow, Polars, DuckDB and others hold them in Arrow.

Columns come in, and go out, through the Arrow PyCapsule interface, so pinverify needs
none of these libraries. docs/arrow.md says what is copied, and what is trusted.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.arrow._read import Rows, read
from pinverify.core._arrow import (
    ArrowColumn,
    array_capsule,
    schema_capsule,
    stream_capsule,
)
from pinverify.core._keys import DIGEST_LEN, hash_keys, match_keys
from pinverify.core._peers import ColumnOfChains, Hosts
from pinverify.errors import PolicyError
from pinverify.policy._certs_and_pins import PinKind
from pinverify.policy._policy import as_policy, handle_of
from pinverify.policy._report import Reason
from pinverify.policy._rules import checked_moment, read_pins, seconds_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Iterator

    from pinverify.core._policies import Answers
    from pinverify.policy._certs_and_pins import Pin
    from pinverify.policy._policy import Policy
    from pinverify.policy._rules import PinSet

__all__ = ["Column", "KeyColumn", "is_pinned", "spki_sha256", "verdicts"]


# ---- answers -----------------------------------------------------------------


class Column:
    """An answer: one Arrow array, however many arrays were given.

    ``pyarrow.array(column)`` and ``polars.Series(column)`` take it without a copy.
    """

    __slots__ = ("_column",)

    def __init__(self, column: ArrowColumn) -> None:
        """Keep the buffers; only functions of pinverify make columns."""
        self._column = column

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._column.length

    def __arrow_c_schema__(self) -> object:
        """Return the type as an ``arrow_schema`` capsule."""
        return schema_capsule(self._column)

    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]:
        """Return the array as capsules; another schema cannot be requested."""
        del requested_schema  # a hint that may be ignored
        return schema_capsule(self._column), array_capsule(self._column)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return a stream of this one array as a capsule, as for a chunked array."""
        del requested_schema
        return stream_capsule(self._column)

    def __repr__(self) -> str:
        """Return the number of rows."""
        return f"<{type(self).__name__} {len(self)} rows>"


class KeyColumn(Column):
    """An answer about certificates, and which of them could not be read.

    Attributes:
        malformed: a column of bool, True for certificates that are not strict DER, and
            null where the certificate is null.
    """

    __slots__ = ("malformed",)

    def __init__(self, column: ArrowColumn, malformed: Column) -> None:
        """Keep the answer and the malformed rows."""
        super().__init__(column)
        self.malformed = malformed


# ---- certificates ------------------------------------------------------------


def spki_sha256(column: Any) -> KeyColumn:  # noqa: ANN401 - any Arrow array
    """Return the SPKI digests of a column of certificates (RFC 7469, 2.4).

    Args:
        column: n DER certificates, in an array or a chunked array of Arrow. That is an
            object with ``__arrow_c_array__`` or ``__arrow_c_stream__``. The type of the
            array is binary, large_binary, binary_view or fixed_size_binary.

    Returns:
        n digests of the type fixed_size_binary(32), null where the certificate is null
        or malformed.

    Raises:
        TypeError: *column* is not an Arrow column, or has another type.
        ValueError: its data contradict themselves; see docs/arrow.md.
    """
    digests: list[bytearray] = []
    checked = _Checked()
    for rows in read(column, "column", "certificates"):
        found, statuses = hash_keys(rows.num, [(0, rows.strings)])
        digests.append(found)
        checked.add(rows, statuses)
    good = checked.valid.bits & ~checked.malformed.bits
    data = _joined(digests)
    return checked.answer(_DIGEST, data, _as_bytes(good, checked.valid.num))


def is_pinned(column: Any, pins: Iterable[Pin | str]) -> KeyColumn:  # noqa: ANN401
    """Tell which certificates of a column have a key that is pinned.

    Args:
        column: as in `spki_sha256`.
        pins: pins of keys, or their spellings.

    Returns:
        n values, True or False; null where the certificate is null. A malformed
        certificate is not pinned.

    Raises:
        PolicyError: a pin is misspelt, or a hash of a whole certificate.
        TypeError: as in `spki_sha256`.
        ValueError: as in `spki_sha256`.
    """
    read_ones = read_pins(pins, "pins")
    if wrong := next((pin for pin in read_ones if pin.kind is not PinKind.SPKI), None):
        msg = f"pins: expected pins of keys, got {wrong}; use verdicts for it"
        raise PolicyError(msg)
    digests = b"".join(pin.digest for pin in read_ones)
    pinned, checked = _Bits(), _Checked()
    for rows in read(column, "column", "certificates"):
        found, _, statuses = match_keys(digests, rows.num, [(0, rows.strings)])
        pinned.add(int.from_bytes(found, "little"), rows.num)
        checked.add(rows, statuses)
    valid = checked.valid.to_bytes()
    return checked.answer(_BOOL, pinned.to_bytes(), valid)


# ---- peers -------------------------------------------------------------------


def verdicts(
    policy: Policy | PinSet,
    hosts: Any,  # noqa: ANN401 - any Arrow array
    chains: Any,  # noqa: ANN401
    *,
    now: dt.datetime | None = None,
    threads: int = 1,
) -> Column:
    """Decide about n peers in columns, each as `Policy.evaluate` does.

    Args:
        policy: a policy; or a PinSet for every peer.
        hosts: n names, in an Arrow array of strings or binary, chunked in any way.
            Names that are not ASCII are rejected. An empty name means a peer without a
            name; None instead of an array means that no peer has a name.
        chains: n verified chains, which are lists of certificates, leaf first; or n
            leaf certificates, as in `spki_sha256`.
        now: the time, timezone-aware; None means the current time.
        threads: the number of threads that decide, as in `Policy.evaluate_many`.

    Returns:
        n structs with the fields ``accepted`` (bool), ``reason`` (uint8, a `Reason`),
        ``rule`` and ``depth`` (uint32: the number of the rule in the policy, and the
        position of the certificate that decided), and ``matched`` (32 bytes: the digest
        that matched or that is blocked). All fields are null where the host or the
        chain is null; ``rule``, ``depth`` and ``matched`` also where there is no such
        value.

    Raises:
        TypeError: as in `spki_sha256`; or *policy* is not a policy.
        ValueError: as in `spki_sha256`; or the numbers of hosts and chains differ, a
            list has a null, or *threads* is less than 1.
    """
    if threads < 1:
        msg = f"threads: expected 1 or more, got {threads}"
        raise ValueError(msg)
    decide = handle_of(as_policy(policy)).evaluate_many
    seconds = seconds_of(checked_moment(now))
    found = _Verdicts()
    for names, certs in _pairs(hosts, chains):
        known = Hosts(None, None, bytes)
        valid = certs.valid
        if names is not None:
            known = Hosts.of_column(names.strings, names.kept)
            valid &= names.valid
        peers = ColumnOfChains(certs.strings, certs.lists, certs.kept)
        answers = decide(known, peers, seconds, threads, with_keys=False)
        found.add(answers, valid)
    return Column(found.column())


class _Pair(NamedTuple):
    names: Rows | None
    chains: Rows


def _pairs(hosts: Any, chains: Any) -> Iterator[_Pair]:  # noqa: ANN401
    """Yield hosts and chains of the same rows, however both are chunked."""
    right = read(chains, "chains", "chains")
    if hosts is None:
        yield from (_Pair(None, rows) for rows in right)
        return
    left = read(hosts, "hosts", "hosts")
    num_left, num_right = 0, 0
    name, chain = next(left, None), next(right, None)
    while name is not None and chain is not None:
        num = min(name.num, chain.num)
        if num:
            yield _Pair(name.part(0, num), chain.part(0, num))
        num_left, num_right = num_left + num, num_right + num
        name = _rest(name, num, left)
        chain = _rest(chain, num, right)
    num_left += _num(name, left)
    num_right += _num(chain, right)
    if num_left != num_right:
        msg = f"{num_left} hosts and {num_right} chains: give one per peer"
        raise ValueError(msg)


def _rest(rows: Rows, num: int, others: Iterator[Rows]) -> Rows | None:
    """Return the rows after the first *num*, or the next ones."""
    if num < rows.num:
        return rows.part(num, rows.num - num)
    return next(others, None)


def _num(rows: Rows | None, others: Iterator[Rows]) -> int:
    """Return the number of rows that are left."""
    return (rows.num if rows else 0) + sum(more.num for more in others)


class _Verdicts:
    """The answers about all peers, in columns that grow."""

    def __init__(self) -> None:
        self.valid, self.accepted = _Bits(), _Bits()
        self.reasons: list[bytearray] = []
        self.rules: list[bytearray] = []
        self.depths: list[bytearray] = []
        self.matched: list[bytearray] = []

    def add(self, answers: Answers, valid: int) -> None:
        """Append the answers about some peers."""
        self.valid.add(valid, answers.num)
        self.accepted.add(int.from_bytes(answers.accepted, "little"), answers.num)
        self.reasons.append(answers.reasons)
        self.rules.append(answers.rules)
        self.depths.append(answers.depths)
        self.matched.append(answers.matched)

    def column(self) -> ArrowColumn:
        """Return all of them as one struct column."""
        num, valid = self.valid.num, self.valid.bits
        reasons, rules, depths = map(_joined, (self.reasons, self.rules, self.depths))
        always = _as_bytes(valid, num)
        with_rule = _as_bytes(valid & _bits(rules[_HIGH::4], _NOT_NONE), num)
        with_depth = _as_bytes(valid & _bits(depths[_HIGH::4], _NOT_NONE), num)
        with_pin = _as_bytes(valid & _bits(reasons, _WITH_A_PIN), num)
        matched = _joined(self.matched)
        accepted = self.accepted.to_bytes()
        fields = [
            ArrowColumn("accepted", _BOOL, num, [accepted], valid=always),
            ArrowColumn("reason", "C", num, [reasons], valid=always),
            ArrowColumn("rule", "I", num, [rules], valid=with_rule),
            ArrowColumn("depth", "I", num, [depths], valid=with_depth),
            ArrowColumn("matched", _DIGEST, num, [matched], valid=with_pin),
        ]
        return ArrowColumn("", "+s", num, [], fields)


# ---- bits --------------------------------------------------------------------

_BOOL = "b"
_DIGEST = f"w:{DIGEST_LEN}"

# Tables from bytes to binary digits, which int() turns into a bitmap in one call.
_NOT_ZERO = b"0" + 255 * b"1"
# 0xFFFFFFFF means no rule, or no depth. The highest byte is enough to see it: a policy
# has fewer than 2^31 rules, and no memory can hold a chain of 0xFF000000 certificates.
_NOT_NONE = 255 * b"1" + b"0"
_HIGH = 3 if sys.byteorder == "little" else 0
_WITH_A_PIN = bytes(b"01"[i in (Reason.MATCH, Reason.BLOCKED)] for i in range(256))


def _bits(column: bytes | bytearray, table: bytes) -> int:
    """Return one bit for each byte; the first is the lowest."""
    return int(column[::-1].translate(table) or b"0", 2)


def _as_bytes(bits: int, num: int) -> bytes:
    return bits.to_bytes((num + 7) // 8, "little")


def _joined(pieces: list[bytearray]) -> bytes | bytearray:
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class _Bits:
    """A bitmap to which more bits are added, in linear time."""

    __slots__ = ("_pieces", "num")

    def __init__(self) -> None:
        self._pieces: list[tuple[int, int]] = []
        self.num = 0

    def add(self, bits: int, num: int) -> None:
        """Append *num* bits."""
        self._pieces.append((bits, num))
        self.num += num

    @property
    def bits(self) -> int:
        """All bits; the first is the lowest."""
        if len(self._pieces) > 1:
            digits = (f"{bits:0{num}b}" for bits, num in reversed(self._pieces) if num)
            self._pieces = [(int("".join(digits) or "0", 2), self.num)]
        return self._pieces[0][0] if self._pieces else 0

    def to_bytes(self) -> bytes:
        """Return the bits as an Arrow bitmap."""
        return _as_bytes(self.bits, self.num)


class _Checked:
    """The rows of a column that are not null, and those that are malformed."""

    def __init__(self) -> None:
        self.valid, self.malformed = _Bits(), _Bits()

    def add(self, rows: Rows, statuses: bytearray) -> None:
        """Append some rows."""
        self.valid.add(rows.valid, rows.num)
        all_good = statuses.count(0) == rows.num
        bad = 0 if all_good else _bits(statuses, _NOT_ZERO)
        self.malformed.add(bad, rows.num)

    def answer(self, kind: str, data: bytes | bytearray, valid: bytes) -> KeyColumn:
        """Return a column of a type, and the malformed rows."""
        num = self.valid.num
        not_null = self.valid.to_bytes()
        bad = ArrowColumn(
            "malformed", _BOOL, num, [self.malformed.to_bytes()], valid=not_null
        )
        return KeyColumn(ArrowColumn("", kind, num, [data], valid=valid), Column(bad))
