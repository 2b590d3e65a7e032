"""Reports of many peers: columns, and a `Report` for each peer that is asked about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, overload

from pinverify.core._arrow import ArrowColumn, array_capsule, schema_capsule
from pinverify.core._keys import DIGEST_LEN
from pinverify.policy._report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.core._peers import Hosts
    from pinverify.core._policies import Answers

__all__ = ["Reports"]


class Reports(Sequence[Report]):
    """The decisions about n peers: a sequence of reports, kept as columns.

    A `Report` is made when one is asked for; the columns are there at once. Columns are
    read-only memoryviews of whole numbers in the byte order of the machine, in the
    layout of Arrow; ``__arrow_c_array__`` hands all of them to Arrow without a copy.
    """

    __module__ = "pinverify"
    __slots__ = ("_answers", "_digest", "_hosts", "_name_len")

    def __init__(
        self,
        answers: Answers,
        hosts: Hosts,
        digest: bytes,
        name_len: Callable[[int], int],
    ) -> None:
        """Keep the core's answers; only policies make reports.

        The hosts are as the caller wrote them, the digest is that of the policy, and
        *name_len* gives the length of a rule's name.
        """
        self._answers = answers
        self._hosts = hosts
        self._digest = digest
        self._name_len = name_len

    @property
    def accepted(self) -> memoryview:
        """One bit for each peer, 1 if it is accepted: an Arrow bitmap.

        The first peer is in the lowest bit of the first byte (format "B").
        """
        return _column(self._answers.accepted, "B")

    @property
    def reasons(self) -> memoryview:
        """The `Reason` of each peer (format "B")."""
        return _column(self._answers.reasons, "B")

    @property
    def rules(self) -> memoryview:
        """The number of the rule that decided; 4294967295 without one (format "I")."""
        return _column(self._answers.rules, "I")

    @property
    def depths(self) -> memoryview:
        """The position of the certificate that decided, 0 for the leaf (format "I").

        4294967295 if none did.
        """
        return _column(self._answers.depths, "I")

    @property
    def matched(self) -> memoryview:
        """32 bytes for each peer: the digest that matched, or that is blocked.

        Zeros if there is none (format "B").
        """
        return _column(self._answers.matched, "B")

    @property
    def spkis(self) -> memoryview:
        """32 bytes for each certificate: the digest of its key (format "B").

        In each chain, zeros begin at the first certificate that is not strict DER. A
        chain that was not examined has zeros alone.
        """
        return _column(self._answers.spkis, "B")

    @property
    def chain_offsets(self) -> memoryview | None:
        """The chain of peer i is certificates chain_offsets[i] to chain_offsets[i + 1].

        None if each certificate is a chain by itself.
        """
        return self._answers.chain_offsets

    def __arrow_c_schema__(self) -> object:
        """Return the type of the columns: see `__arrow_c_array__`."""
        return schema_capsule(self._columns())

    def __arrow_c_array__(
        self, requested_schema: object | None = None
    ) -> tuple[object, object]:
        """Return the columns as one Arrow array of structs, without a copy.

        Its fields are ``accepted`` (bool), ``reason`` (uint8), ``rule`` and ``depth``
        (uint32), ``matched`` (32 bytes), and ``spkis`` (a list of 32 bytes each).
        Another schema cannot be requested.
        """
        del requested_schema  # a hint that may be ignored
        columns = self._columns()
        return schema_capsule(columns), array_capsule(columns)

    def _columns(self) -> ArrowColumn:
        answers, num = self._answers, len(self)
        digests = len(answers.spkis) // DIGEST_LEN
        kind = f"w:{DIGEST_LEN}"
        spki = ArrowColumn("spki", kind, digests, [answers.spkis])
        offsets = answers.chain_offsets
        if offsets is None:
            spkis = ArrowColumn("spkis", "+w:1", num, [], [spki])
        else:
            lists = {4: "+l", 8: "+L"}[offsets.itemsize]
            spkis = ArrowColumn("spkis", lists, num, [offsets], [spki])
        fields = [
            ArrowColumn("accepted", "b", num, [answers.accepted]),
            ArrowColumn("reason", "C", num, [answers.reasons]),
            ArrowColumn("rule", "I", num, [answers.rules]),
            ArrowColumn("depth", "I", num, [answers.depths]),
            ArrowColumn("matched", kind, num, [answers.matched]),
            spkis,
        ]
        return ArrowColumn("", "+s", num, [], fields)

    def __len__(self) -> int:
        return self._answers.num

    @overload
    def __getitem__(self, index: int) -> Report: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Report, ...]: ...

    def __getitem__(self, index: int | slice) -> Report | tuple[Report, ...]:
        rows = range(len(self))[index]
        if isinstance(rows, range):
            return tuple(map(self._report, rows))
        return self._report(rows)

    def _report(self, row: int) -> Report:
        raw, spkis = self._answers.row(row, self._name_len)
        return Report(raw, spkis, self._hosts[row], self._digest)

    def __eq__(self, other: object) -> bool:
        """Compare the reports with those of another sequence: a list, a tuple."""
        if not isinstance(other, Reports | list | tuple):
            return NotImplemented
        pairs = zip(self, other, strict=False)
        return len(self) == len(other) and all(one == two for one, two in pairs)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        num_accepted = int.from_bytes(self._answers.accepted, "little").bit_count()
        return f"<Reports {len(self)} peers, {num_accepted} accepted>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the columns; the policy is not needed to read them."""
        name_len = {rule: self._name_len(rule) for rule in set(self.rules)}.__getitem__
        return type(self), (self._answers, self._hosts, self._digest, name_len)


def _column(data: bytearray, kind: Literal["B", "I"]) -> memoryview:
    return memoryview(data).toreadonly().cast(kind)
