"""Policies in the C core: compiled from columns, opened, and asked; and the answers."""

from __future__ import annotations

import _thread
import struct
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify._core import Answer
from pinverify.core._hosts import BadPatternError
from pinverify.core._library import (
    DIGEST_LEN,
    Column,
    as_bytes,
    check_offsets,
    ffi,
    lib,
    status_text,
)
from pinverify.core._peers import parts
from pinverify.errors import PolicyError

if TYPE_CHECKING:
    import mmap
    from array import array
    from collections.abc import Callable, Sequence
    from typing import TypeVar

    from pinverify.core._library import Buffer, Chain
    from pinverify.core._peers import Chains, ColumnOfChains, Hosts

    _Report = TypeVar("_Report", bound=Answer)

__all__ = [
    "CLIENTS",
    "NO_DEPTH",
    "NO_RULE",
    "PINSET_LEN",
    "SHAPE_PREFIXES",
    "UNPINNED",
    "Answer",
    "Answers",
    "OpenPolicy",
    "RawPinSet",
    "RawReport",
    "Source",
    "begins_as_policy",
    "fields_of",
    "packed",
    "rejection",
]

# ---- compiling ---------------------------------------------------------------

PINSET_LEN = 80
UNPINNED: int = lib.PV_UNPINNED
"""In place of the number of a PinSet."""


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


# ---- opened policies ---------------------------------------------------------

_NOTHING_TO_TELL = (lib.PV_MATCH, lib.PV_NOT_PINNED)

_MAY_MATCH_ABOVE_THE_LEAF = [
    2 * pin_list + kind
    for pin_list in (lib.PV_LIST_PINS, lib.PV_LIST_CA)
    for kind in (lib.PV_SPKI, lib.PV_CERTIFICATE)
]
"""Positions in `RawPinSet.num_pins`."""


class RawPinSet(NamedTuple):
    """A PinSet of a compiled policy, without its pins."""

    mode: int
    expires: int | None
    """Seconds since 1970-01-01T00:00:00Z."""
    expired_rejects: bool
    num_pins: tuple[int, ...]
    """Eight lengths: of list l and kind k at 2 × l + k."""

    @property
    def has_ca(self) -> bool:
        """True if a certificate above the leaf must match."""
        first = 2 * int(lib.PV_LIST_CA)
        return any(self.num_pins[first : first + 2])

    @property
    def looks_above_leaf(self) -> bool:
        """True if a certificate above the leaf can match."""
        return any(self.num_pins[at] for at in _MAY_MATCH_ABOVE_THE_LEAF)


# Where the lists of a PinSet stand: csrc/pinverify_compile.h, section 1.
_RUNS_AT, _RUN_LEN = 16, 8

_SPANS = ffi.typeof("pv_span[]")
_REPORT_OUT = ffi.typeof("pv_report *")
_REASON_OUT = ffi.typeof("uint32_t *")
_BYTES_OUT = ffi.typeof("uint8_t[]")


class OpenPolicy:
    """An opened compiled policy: the handle for the C functions.

    It keeps the bytes alive; they must not change.

    Attributes:
        data: the compiled policy.
        leaf_suffices: ``pv_leaf_suffices`` of this policy. Its arguments: host (ASCII),
            its length, the leaf in DER, its length, and the time in seconds since
            1970-01-01T00:00:00Z. It returns 1 if the leaf alone is enough to accept
            the peer, whatever is above it.
        digest: 32 bytes that identify the policy, from its header.
        num_rules: the number of rules for hosts.
        num_pinsets: the number of different PinSets.
        has_clients: True if PinSet 0 decides about peers without a name.
        ignores_hosts: True if it decides about every peer: no host has a rule.
        knows_clients_by_leaf: True if the leaf of a peer without a name is enough for
            every decision: there are no pins but `leaf` pins, and no key is blocked.
        rejects_unpinned: True if hosts without pins are rejected.
    """

    __slots__ = (
        "_handle",
        "_pinned_buffer",
        "data",
        "digest",
        "has_clients",
        "ignores_hosts",
        "knows_clients_by_leaf",
        "leaf_suffices",
        "num_pinsets",
        "num_rules",
        "rejects_unpinned",
    )

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        """Open and check *data*.

        Raises:
            PolicyError: *data* is not a complete, unchanged compiled policy.
        """
        self.data = data
        self._pinned_buffer = ffi.from_buffer(data)
        self._handle = ffi.new("pv_policy *")
        status = lib.pv_policy_open(self._handle, self._pinned_buffer, len(data))
        if status != lib.PV_OK:
            msg = f"not a compiled policy: {status_text(status)}"
            raise PolicyError(msg)
        # A partial, not a Python function: it is faster when caches are cold.
        self.leaf_suffices: Callable[[bytes, int, bytes, int, int], int] = partial(
            lib.pv_leaf_suffices, self._handle
        )
        digest = ffi.new("uint8_t[32]")
        lib.pv_policy_digest(digest, self._handle)
        self.digest = bytes(ffi.buffer(digest))
        self.num_rules: int = lib.pv_policy_num_rules(self._handle)
        self.num_pinsets: int = lib.pv_policy_num_pinsets(self._handle)
        self.has_clients: bool = lib.pv_policy_has_clients(self._handle) == 1
        self.ignores_hosts = self.has_clients and self.num_rules == 0
        self.rejects_unpinned: bool = lib.pv_policy_rejects_unpinned(self._handle) == 1
        self.knows_clients_by_leaf = (
            self.has_clients
            and self.is_clear(b"")
            and not self.pinset(0).looks_above_leaf
        )

    # ---- deciding ----

    def passes(self, host: bytes, chain: Chain, now: int) -> bool:
        """Return True if a peer is accepted and there is nothing to report.

        That is `MATCH` or `NOT_PINNED`. False is not a rejection: call `evaluate`.

        Args:
            host: ASCII; empty for a peer without a name.
            chain: the verified chain.
            now: seconds since 1970-01-01T00:00:00Z.
        """
        certs, data, offsets = chain
        out_reason = ffi.new(_REASON_OUT)
        accepted = lib.pv_decide(
            out_reason,
            self._handle,
            host,
            len(host),
            data,
            len(data),
            offsets,
            len(certs),
            now,
        )
        return accepted == 1 and out_reason[0] in _NOTHING_TO_TELL

    def evaluator(
        self,
        report_type: type[_Report],
        otherwise: Callable[[Any, Any, int], _Report],
    ) -> Callable[[Any, Any, int], _Report]:
        """Return a function that decides about one peer, in one call into C.

        It takes a host, a chain, and the time in seconds since 1970, as they come.

        Args:
            report_type: the class of its reports.
            otherwise: the slow path, with the same arguments: it is called if the
                host is not a str in ASCII, bytes or None, or if the chain is not a
                short list or tuple of bytes.
        """
        view = bytes(ffi.buffer(self._handle))
        return report_type._evaluator(view, self.digest, otherwise)  # noqa: SLF001

    def evaluate(
        self, host: bytes, chain: Sequence[bytes], now: int
    ) -> tuple[bytes, bytes]:
        """Decide about one peer; see ``pv_evaluate``.

        Args:
            host: ASCII; empty for a peer without a name.
            chain: the verified chain, leaf first.
            now: seconds since 1970-01-01T00:00:00Z.

        Returns:
            The ``pv_report``, and the SPKI digests of the chain: n × 32 bytes.
        """
        num_certs = len(chain)
        # The list keeps the buffers that the spans point into.
        certs = [(ffi.from_buffer(cert), len(cert)) for cert in map(as_bytes, chain)]
        report = ffi.new(_REPORT_OUT)
        spkis = ffi.new(_BYTES_OUT, DIGEST_LEN * num_certs)
        status = lib.pv_evaluate(
            report,
            spkis,
            self._handle,
            host,
            len(host),
            ffi.new(_SPANS, certs),
            num_certs,
            now,
        )
        if status != lib.PV_OK:
            raise ValueError(status_text(status))
        return bytes(ffi.buffer(report)), bytes(ffi.buffer(spkis))

    def evaluate_many(
        self,
        hosts: Hosts,
        chains: Chains | ColumnOfChains,
        now: int,
        threads: int = 1,
        *,
        with_keys: bool = True,
    ) -> Answers:
        """Decide about n peers; see ``pv_evaluate_many``.

        Args:
            hosts: their hosts.
            chains: their chains.
            now: seconds since 1970-01-01T00:00:00Z.
            threads: the number of threads that decide, this one among them; at most as
                many as there are parts, and `_MOST_THREADS`.
            with_keys: False if the answers need no digests of all keys.

        Raises:
            ValueError: the numbers of hosts and chains differ, or offsets are wrong.
            TypeError: a host or a certificate has the wrong type.
        """
        answers = Answers(chains, with_keys=with_keys)

        def decide(rows: range) -> None:
            names, keep_names = hosts.part(rows)
            part = chains.part(rows)
            places, keep_places = answers.places(rows.start, part.first)
            status = lib.pv_evaluate_many(
                places, self._handle, names, part.certs, part.chains, now
            )
            check_offsets(status)
            del keep_names, keep_places

        threads = min(threads, _MOST_THREADS)
        _share([*parts(hosts, chains, threads)], decide, threads)
        return answers

    def name_len(self, rule: int) -> int:
        """Return the length of a rule's name; 0 if there is no such rule."""
        out = ffi.new("pv_rule *")
        status = lib.pv_policy_rule(out, self._handle, rule)
        return int(out.name_len) if status == lib.PV_OK else 0

    def is_clear(self, host: bytes) -> bool:
        """Return True if no key is blocked for a host, or for a peer without a name.

        If a key is blocked, it could be in a missing part of a chain. A bad host is
        never clear.

        Args:
            host: ASCII; empty for a peer without a name.
        """
        clear: int = lib.pv_host_is_clear(self._handle, host, len(host))
        return clear == 1

    def enforces_for_hosts(self) -> bool:
        """Return True if the pins of a host are enforced, expired ones included.

        Linear in the number of PinSets in report mode: ask once for each policy.
        """
        out = ffi.new("pv_pinset *")
        for index in range(self.num_pinsets):
            _check_index(lib.pv_policy_pinset(out, self._handle, index))
            if out.mode == lib.PV_ENFORCE and not (
                index == 0 and self.has_clients and not self._is_of_a_host(0)
            ):
                return True
        return False

    def _is_of_a_host(self, pinset: int) -> bool:
        return any(self.rule(index)[1] == pinset for index in range(self.num_rules))

    # ---- reading ----

    def find(self, canonical: str) -> int | None:
        """Return the index of the rule that decides about a canonical host."""
        host = canonical.encode("ascii")
        rule: int = lib.pv_policy_find(self._handle, host, len(host))
        return None if rule == NO_RULE else rule

    def rule(self, index: int) -> tuple[str, int | None]:
        """Return a rule's pattern and the index of its PinSet (None: unpinned)."""
        out = ffi.new("pv_rule *")
        _check_index(lib.pv_policy_rule(out, self._handle, index))
        name = bytes(ffi.buffer(out.name, out.name_len)).decode("ascii")
        pinset = None if out.pinset == lib.PV_UNPINNED else int(out.pinset)
        return SHAPE_PREFIXES[out.shape] + name, pinset

    def pinset(self, index: int) -> RawPinSet:
        """Return PinSet number *index*, without its pins."""
        out = ffi.new("pv_pinset *")
        _check_index(lib.pv_policy_pinset(out, self._handle, index))
        return RawPinSet(
            out.mode,
            out.expires if out.expires_set else None,
            bool(out.expired_rejects),
            tuple(out.num_pins),
        )

    def pins(
        self, pinset: int | None, pin_list: int, kind: int, num: int
    ) -> list[bytes]:
        """Return the digests of the first pins of a list, 32 bytes each.

        Args:
            pinset: the index of a PinSet; None for the pins blocked for every host.
            pin_list: a ``pv_list``.
            kind: a ``pv_kind``.
            num: how many; at most their count.
        """
        number = lib.PV_UNPINNED if pinset is None else pinset
        out = ffi.new("uint8_t[32]")
        digests = []
        for i in range(num):
            status = lib.pv_policy_pin(out, self._handle, number, pin_list, kind, i)
            _check_index(status)
            digests.append(bytes(ffi.buffer(out)))
        return digests

    def pinned_among(
        self, pin_list: tuple[int, int, int], digests: Sequence[bytes]
    ) -> list[bytes]:
        """Return those of some digests that are in a list, however long it is.

        Args:
            pin_list: the index of a PinSet, a ``pv_list`` and a ``pv_kind``.
            digests: 32 bytes each.

        Raises:
            IndexError: there is no such PinSet.
        """
        pinset, number, kind = pin_list
        num_pins = self.pinset(pinset).num_pins[2 * number + kind]
        runs = self._handle.pinsets + PINSET_LEN * pinset + _RUNS_AT
        run = ffi.buffer(runs + _RUN_LEN * (2 * number + kind), _RUN_LEN)
        first_row = int.from_bytes(run[:4], "little")
        found = ffi.new(_BYTES_OUT, len(digests))
        lib.pv_packed_contain_many(
            found,
            self._handle.pins + DIGEST_LEN * first_row,
            num_pins,
            b"".join(digests),
            len(digests),
        )
        return [digest for digest, hit in zip(digests, found, strict=True) if hit]


def begins_as_policy(data: bytes) -> bool:
    """Return True if bytes begin as a compiled policy of this version does."""
    held = ffi.from_buffer(data)
    status = lib.pv_policy_open(ffi.new("pv_policy *"), held, len(data))
    return bool(status != lib.PV_ERR_POLICY_MAGIC)


_MOST_THREADS = 256
"""More than any processor runs, and few enough that a mistaken number does no harm."""


def _share(parts: list[range], task: Callable[[range], None], threads: int) -> None:
    """Do a task for each part, on some threads, of which this is one.

    However it ends, no task goes on: the caller may release the memory that C reads in
    it, or change it. So after an exception, which a signal handler can raise in any
    line here, no part is begun, and those that are begun are waited for.

    `threading.Thread` cannot do that: an interrupt in its `start` or `join` can leave a
    thread that CPython takes for dead, or for one that is yet to begin. So a thread
    holds a lock while it has parts, and in the end this one takes all locks, and keeps
    them. Where it was first, there will be no parts.
    """
    queue = iter(parts)  # has nothing more once `parts` is empty
    others = min(threads, len(parts)) - 1
    busy = [threading.RLock() for _ in range(others)]
    faults: list[BaseException | None] = [None] * others

    def work(number: int) -> None:
        if not busy[number].acquire(blocking=False):
            return
        try:
            for rows in queue:
                task(rows)  # noqa: F821 - deleted only when there are no parts
        except BaseException as error:  # noqa: BLE001 - raised again below
            faults[number] = error  # needs no memory
            parts.clear()
        finally:
            busy[number].release()

    def begin() -> None:
        for number in range(others):
            _thread.start_new_thread(work, (number,))
        for rows in queue:
            task(rows)  # noqa: F821

    try:
        _run(begin, parts, busy, _INTERRUPTS if others > 0 else 0)
    finally:
        del task  # a thread that has yet to end keeps none of that memory
    for fault in faults:
        if fault is not None:
            raise fault


_INTERRUPTS = 8
"""As many in a row, within microseconds, end no wait."""


def _run(
    begin: Callable[[], None],
    parts: list[range],
    busy: list[threading.RLock],
    more: int,
) -> None:
    """Begin, and have all parts end, whatever happens, even if *more* calls fail."""
    try:
        if more:
            _run(begin, parts, busy, more - 1)
        else:
            begin()
    finally:
        _end(parts, busy)


def _end(parts: list[range], busy: list[threading.RLock]) -> None:
    """Have no part begun any more, and wait for those that are, by taking their locks.

    However often an interrupt comes, it is done again; the last one is raised then.
    """
    interrupt = None
    while True:
        try:
            parts.clear()
            for lock in busy:
                lock.acquire()
            break
        except BaseException as error:  # noqa: BLE001 - raised again below
            interrupt = error
    if interrupt is not None:
        raise interrupt


def _check_index(status: int) -> None:
    if status != lib.PV_OK:
        msg = "no rule, PinSet or pin has that number"
        raise IndexError(msg)


# ---- the answer about one peer -----------------------------------------------

SHAPE_PREFIXES = ("", "*.", "**.")
"""The beginning of a pattern, by ``pv_shape``."""

CLIENTS: int = lib.PV_CLIENTS
"""The ``pv_shape`` of a decision about a peer without a name."""

NO_RULE: int = lib.PV_NO_RULE
NO_DEPTH: int = lib.PV_NO_DEPTH


class RawReport(NamedTuple):
    """The fields of a ``pv_report``; see pinverify.h."""

    accepted: int
    reason: int
    mode: int
    matched_kind: int
    shape: int
    name_len: int
    rule: int
    depth: int
    num_seen: int
    detail: int
    matched: bytes


_REPORT = struct.Struct("=6B2x4I32s")
"""A ``pv_report`` in memory."""


if _REPORT.size != ffi.sizeof("pv_report"):
    msg = "pinverify._core has another version: build or install it again"
    raise ImportError(msg)


def fields_of(raw: bytes) -> RawReport:
    """Return the fields of a ``pv_report``, given as its bytes."""
    return RawReport._make(_REPORT.unpack(raw))


def packed(report: RawReport) -> bytes:
    """Return a ``pv_report`` as its bytes."""
    return _REPORT.pack(*report)


def rejection(reason: int, num_seen: int = 0) -> bytes:
    """Return the ``pv_report`` of a rejection without a policy's decision."""
    none = bytes(DIGEST_LEN)
    return packed(
        RawReport(0, reason, 0, 0, 0, 0, NO_RULE, NO_DEPTH, num_seen, 0, none)
    )


# ---- the answers about many peers --------------------------------------------


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
