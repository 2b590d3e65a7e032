"""The answers about many peers: columns that C fills, in the layout of Arrow."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pinverify.core._library import DIGEST_LEN, ffi
from pinverify.core._raw_report import RawReport, packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.core._peers import Chains, ColumnOfChains

__all__ = ["Answers"]


class Answers:
    """The columns of a ``pv_answers``.

    Attributes:
        num: the number of peers.
        accepted: one bit for each peer.
        reasons: one byte for each peer.
        rules: 4 bytes for each peer.
        depths: 4 bytes for each peer.
        details: 2 bytes for each peer.
        matched: 32 bytes for each peer.
        spkis: 32 bytes for each certificate; or nothing.
        chain_offsets: the keys of peer i are digests chain_offsets[i] to
            chain_offsets[i + 1] of *spkis*; None if it is digest i.
    """

    __slots__ = (
        "accepted",
        "chain_offsets",
        "depths",
        "details",
        "matched",
        "num",
        "reasons",
        "rules",
        "spkis",
    )

    def __init__(
        self, chains: Chains | ColumnOfChains, *, with_keys: bool = True
    ) -> None:
        num = chains.num
        self.num = num
        self.accepted = bytearray((num + 7) // 8)
        self.reasons = bytearray(num)
        self.rules = bytearray(4 * num)
        self.depths = bytearray(4 * num)
        self.details = bytearray(2 * num)
        self.matched = bytearray(DIGEST_LEN * num)
        self.spkis = bytearray(DIGEST_LEN * chains.num_certs if with_keys else 0)
        positions = chains.positions
        self.chain_offsets = None if positions is None else positions.view.toreadonly()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the columns."""
        columns = {name: getattr(self, name) for name in self.__slots__}
        offsets = columns.pop("chain_offsets")
        kept = None if offsets is None else (offsets.format, bytes(offsets))
        return (_restored, (columns, kept))

    def places(self, first: int, first_cert: int) -> tuple[Any, object]:
        """Return the ``pv_answers`` for a part of the peers, and what it points to.

        Args:
            first: the number of its first peer, a multiple of 8.
            first_cert: the number of its first certificate.
        """
        kept = []

        def place(kind: str, column: bytearray, at: int) -> Any:  # noqa: ANN401
            address = ffi.from_buffer(kind, column)
            kept.append(address)
            return address + at

        places = {
            "spkis": place("uint8_t[]", self.spkis, DIGEST_LEN * first_cert)
            if self.spkis
            else ffi.NULL,
            "accepted": place("uint8_t[]", self.accepted, first // 8),
            "reasons": place("uint8_t[]", self.reasons, first),
            "rules": place("uint32_t[]", self.rules, first),
            "depths": place("uint32_t[]", self.depths, first),
            "details": place("uint16_t[]", self.details, first),
            "matched": place("uint8_t[]", self.matched, DIGEST_LEN * first),
        }
        return ffi.new("pv_answers *", places), kept

    def row(self, i: int, name_len: Callable[[int], int]) -> tuple[bytes, bytes]:
        """Return what ``pv_evaluate`` says about peer *i*.

        Args:
            i: the number of the peer.
            name_len: gives the length of a rule's name.

        Returns:
            The ``pv_report``, and the SPKI digests of the chain: n × 32 bytes.
        """
        offsets = self.chain_offsets
        start, stop = (i, i + 1) if offsets is None else (offsets[i], offsets[i + 1])
        spkis = bytes(self.spkis[DIGEST_LEN * start : DIGEST_LEN * stop])
        rule, depth, details = (
            int.from_bytes(column[width * i : width * (i + 1)], sys.byteorder)
            for column, width in ((self.rules, 4), (self.depths, 4), (self.details, 2))
        )
        report = RawReport(
            accepted=self.accepted[i // 8] >> i % 8 & 1,
            reason=self.reasons[i],
            mode=details & 1,
            matched_kind=details >> 1 & 1,
            shape=details >> 2 & 3,
            name_len=name_len(rule),
            rule=rule,
            depth=depth,
            num_seen=_num_seen(spkis),
            detail=details >> 8,
            matched=bytes(self.matched[DIGEST_LEN * i : DIGEST_LEN * (i + 1)]),
        )
        return packed(report), spkis


def _restored(columns: dict[str, Any], offsets: tuple[Any, bytes] | None) -> Answers:
    answers = Answers.__new__(Answers)
    for name, column in columns.items():
        setattr(answers, name, column)
    kind, data = offsets or (None, b"")
    answers.chain_offsets = None if kind is None else memoryview(data).cast(kind)
    return answers


def _num_seen(spkis: bytes) -> int:
    """Return the number of digests before the first that is zero: no key has that."""
    num = len(spkis) // DIGEST_LEN
    nothing = bytes(DIGEST_LEN)
    return next(
        (i for i in range(num) if spkis[DIGEST_LEN * i :][:DIGEST_LEN] == nothing), num
    )
