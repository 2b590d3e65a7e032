"""Policies in the C core: compiled from columns, opened, and asked; and the answers."""

from __future__ import annotations

import _thread
import struct
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify._core import Answer
from pinverify.core._hosts import BadPatternError
from pinverify.core._keys import (
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

    from pinverify.core._keys import Buffer, Chain
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
    "begins_as_policy",
    "compile_policy",
    "fields_of",
    "rejection",
]

# ---- compiling ---------------------------------------------------------------

PINSET_LEN = 80
UNPINNED: int = lib.PV_UNPINNED
"""In place of the number of a PinSet: the host is unpinned."""


def compile_policy(  # noqa: PLR0913, PLR0917 - the fields of the C struct
    patterns: Column,
    pinset_of: array[int],
    flags: int,
    blocked: bytes,
    pinsets: Buffer,
    pins: Buffer,
) -> bytearray:
    """Return a compiled policy, in the buffer that C wrote: a large one is not copied.

    The patterns are canonical, ascending, each once; *pinset_of* has the number of the
    PinSet of each, or `UNPINNED`. As in ``pv_policy_source``, *blocked* is two runs,
    *pinsets* has 80 bytes for each PinSet, and *pins* are packed. BadPatternError for a
    pattern that is not canonical or out of order; PolicyError for any other fault.
    """
    rows, sets = ffi.from_buffer(pins), ffi.from_buffer(pinsets)
    numbers = ffi.from_buffer("uint32_t[]", pinset_of)
    source = ffi.new("pv_policy_source *")
    source.patterns, source.pinset_of = patterns.handle[0], numbers
    source.pins, source.num_rows = rows, len(rows) // DIGEST_LEN
    source.pinsets, source.num_pinsets = sets, len(sets) // PINSET_LEN
    source.flags, source.blocked = flags, struct.unpack("<4I", blocked)
    out = bytearray(lib.pv_policy_compiled_len(source))
    row = ffi.new("size_t *")
    status = lib.pv_policy_compile(ffi.from_buffer(out), len(out), row, source)
    if status in (lib.PV_ERR_POLICY_PATTERN, lib.PV_ERR_POLICY_ORDER):
        raise BadPatternError(row[0], status_text(status))
    if status != lib.PV_OK:
        msg = f"the rules cannot be compiled: {status_text(status)}"
        raise PolicyError(msg)
    return out


# ---- opened policies ---------------------------------------------------------

_NOTHING_TO_TELL = (lib.PV_MATCH, lib.PV_NOT_PINNED)


class RawPinSet(NamedTuple):
    """A PinSet of a compiled policy, without its pins."""

    mode: int
    expires: int | None
    """Seconds since 1970-01-01T00:00:00Z."""
    expired_rejects: bool
    num_pins: tuple[int, ...]
    """Eight lengths; that of list l and kind k is at 2 × l + k."""

    def lengths(self, pin_list: int) -> tuple[int, ...]:
        """Return the numbers of SPKI pins and of certificate pins in a ``pv_list``."""
        return self.num_pins[2 * pin_list : 2 * pin_list + 2]

    @property
    def has_ca(self) -> bool:
        """True if a certificate above the leaf must match."""
        return any(self.lengths(lib.PV_LIST_CA))

    @property
    def looks_above_leaf(self) -> bool:
        """True if a certificate above the leaf can match."""
        return self.has_ca or any(self.lengths(lib.PV_LIST_PINS))


# The offsets of the runs of pins in the header and in a PinSet. A list has two runs: of
# SPKI pins, and of certificate pins. See csrc/pinverify_compile.h, section 1.
_BLOCKED_AT, _LISTS_AT = 80, 16
_TWO_RUNS = struct.Struct("<4I")


class OpenPolicy:
    """An opened compiled policy: the handle for the C functions.

    It keeps the bytes alive; they must not change.

    Attributes:
        leaf_suffices: ``pv_leaf_suffices`` of this policy. Its arguments: host (ASCII),
            its length, the leaf in DER, its length, and the time in seconds since
            1970-01-01T00:00:00Z. It returns 1 if the leaf alone is enough to accept
            the peer, whatever is above it.
        digest: 32 bytes that identify the policy, from its header.
        has_clients: True if PinSet 0 decides about peers without a name.
        ignores_hosts: True if PinSet 0 decides about every peer: no host has a rule.
        knows_clients_by_leaf: True if the leaf of a peer without a name is enough for
            every decision: there are no pins but `leaf` pins, and no key is blocked.
    """

    def __init__(self, data: bytes | bytearray | mmap.mmap) -> None:
        """Open and check *data*; PolicyError unless it is complete and unchanged."""
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
        self.num_rows: int = self._handle.num_rows
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

        The reason is then `MATCH` or `NOT_PINNED`. False is not a rejection: `evaluate`
        must decide then. `evaluate` also describes the arguments.
        """
        certs, data, offsets = chain
        reason = ffi.new("uint32_t *")
        num, data_len, host_len = len(certs), len(data), len(host)
        accepted = lib.pv_decide(
            reason, self._handle, host, host_len, data, data_len, offsets, num, now
        )
        return accepted == 1 and reason[0] in _NOTHING_TO_TELL

    def evaluator(
        self,
        report_type: type[_Report],
        otherwise: Callable[[Any, Any, int], _Report],
    ) -> Callable[[Any, Any, int], _Report]:
        """Return a function that decides about one peer, in one call into C.

        The function takes a host, a chain, and the time in seconds since 1970. It hands
        them to the slow path *otherwise* if the host is not a str in ASCII, bytes or
        None, or if the chain is not a short list or tuple of bytes.
        """
        view = bytes(ffi.buffer(self._handle))
        return report_type._evaluator(view, self.digest, otherwise)  # noqa: SLF001

    def evaluate(
        self, host: bytes, chain: Sequence[bytes], now: int
    ) -> tuple[bytes, bytes]:
        """Return the ``pv_report`` about one peer, and the SPKI digests of its chain.

        The host is in ASCII, and empty for a peer without a name; the chain is the
        verified one, leaf first; the time is in seconds since 1970-01-01T00:00:00Z.
        """
        # The list keeps alive the buffers that the spans point into.
        certs = [(ffi.from_buffer(cert), len(cert)) for cert in map(as_bytes, chain)]
        spans = ffi.new("pv_span[]", certs)
        report = ffi.new("pv_report *")
        spkis = ffi.new("uint8_t[]", DIGEST_LEN * len(certs))
        status = lib.pv_evaluate(
            report, spkis, self._handle, host, len(host), spans, len(certs), now
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

        No more threads decide than there are parts, and at most `_MOST_THREADS`, this
        thread included. Without *with_keys*, the answers have no digests of keys.
        """
        answers = Answers(chains, with_keys=with_keys)

        def decide(rows: range) -> None:
            names, keep_names = hosts.part(rows)
            part = chains.part(rows)
            places = answers.places(rows.start, part.first)
            status = lib.pv_evaluate_many(
                places, self._handle, names, part.certs, part.chains, now
            )
            check_offsets(status)
            del keep_names

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

        A blocked key could be in a part of the chain that was not seen. A bad host is
        never clear.
        """
        return bool(lib.pv_host_is_clear(self._handle, host, len(host)) == 1)

    def enforces_for_hosts(self) -> bool:
        """Return True if any host has pins in enforce mode, expired ones included.

        Slow if many PinSets are in report mode: ask once for each policy.
        """
        out = ffi.new("pv_pinset *")
        for index in range(self.num_pinsets):
            _check_index(lib.pv_policy_pinset(out, self._handle, index))
            if out.mode == lib.PV_ENFORCE and (
                index > 0 or not self.has_clients or self._is_of_a_host(0)
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
        """Return the digests of the first *num* pins of a ``pv_list`` and ``pv_kind``.

        *pinset* is the index of a PinSet, or None for the pins blocked for every host.
        """
        number = lib.PV_UNPINNED if pinset is None else pinset
        out = ffi.new("uint8_t[32]")
        digests = []
        for i in range(num):
            status = lib.pv_policy_pin(out, self._handle, number, pin_list, kind, i)
            _check_index(status)
            digests.append(bytes(ffi.buffer(out)))
        return digests

    def runs(self, pinset: int | None, pin_list: int) -> tuple[int, ...]:
        """Return the first row and the length of each of the runs of a ``pv_list``.

        *pinset* has the meaning that it has for `pins`.
        """
        at = self._handle.bytes + _BLOCKED_AT
        if pinset is not None:
            if not 0 <= pinset < self.num_pinsets:
                _check_index(lib.PV_ERR_ARGUMENT)
            at = self._handle.pinsets + PINSET_LEN * pinset + _LISTS_AT
            at += _TWO_RUNS.size * pin_list
        return _TWO_RUNS.unpack(ffi.buffer(at, _TWO_RUNS.size))

    def pinned_among(
        self, pinset: int, number: int, kind: int, digests: Sequence[bytes]
    ) -> list[bytes]:
        """Return the digests that are in a list of pins, however long the list is.

        *pinset* is the index of a PinSet, *number* a ``pv_list``, *kind* a ``pv_kind``.
        """
        first_row, num_pins = self.runs(pinset, number)[2 * kind :][:2]
        pins = self._handle.pins + DIGEST_LEN * first_row
        found, num = ffi.new("uint8_t[]", len(digests)), len(digests)
        lib.pv_packed_contain_many(found, pins, num_pins, b"".join(digests), num)
        return [digest for digest, hit in zip(digests, found, strict=True) if hit]


def begins_as_policy(data: bytes) -> bool:
    """Return True if bytes begin as a compiled policy of this version does."""
    held = ffi.from_buffer(data)
    status = lib.pv_policy_open(ffi.new("pv_policy *"), held, len(data))
    return bool(status != lib.PV_ERR_POLICY_MAGIC)


_MOST_THREADS = 256
"""Enough for most machines, and few enough that a mistaken number does no harm."""


def _share(parts: list[range], task: Callable[[range], None], threads: int) -> None:
    """Do a task for each part, on some threads, the calling thread among them.

    However this call ends, no task runs on: the caller may then release or change the
    memory that C reads in a task. A signal handler can raise an exception in any line
    here. After that, no more parts are begun, and those already begun are waited for.

    `threading.Thread` cannot do that: an interrupt in its `start` or `join` can leave a
    running thread that CPython takes for dead, or for not begun. So each new thread
    has a lock, and holds it while it works on parts. In the end the calling thread
    takes all these locks, and keeps them: a thread that begins later finds its lock
    taken, and does no part.
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
"""The number of interrupts in a row, within microseconds, that do not end the wait."""


def _run(
    begin: Callable[[], None],
    parts: list[range],
    busy: list[threading.RLock],
    more: int,
) -> None:
    """Call *begin*, and wait for all begun parts, even through *more* interrupts."""
    try:
        if more:
            _run(begin, parts, busy, more - 1)
        else:
            begin()
    finally:
        _end(parts, busy)


def _end(parts: list[range], busy: list[threading.RLock]) -> None:
    """Let no more parts begin, and wait for begun ones by taking the threads' locks.

    An interrupt begins the wait anew; in the end the last interrupt is raised.
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


def fields_of(raw: bytes) -> Any:  # noqa: ANN401 - a C struct
    """Return the ``pv_report`` with these bytes; see pinverify.h."""
    report = ffi.new("pv_report *")
    ffi.buffer(report)[:] = raw  # ValueError for another length
    return report


def rejection(reason: int, num_seen: int = 0) -> bytes:
    """Return the ``pv_report`` of a rejection that no policy decided."""
    raw = {"reason": reason, "num_seen": num_seen, "rule": NO_RULE, "depth": NO_DEPTH}
    return bytes(ffi.buffer(ffi.new("pv_report *", raw)))


# ---- the answers about many peers --------------------------------------------


class Answers:
    """The columns of a ``pv_answers``, and the peer that each key belongs to.

    The keys of peer i are digests chain_offsets[i] to chain_offsets[i + 1] of *spkis*.
    Without offsets, peer i has digest i alone.
    """

    def __init__(
        self, chains: Chains | ColumnOfChains, *, with_keys: bool = True
    ) -> None:
        self.num = num = chains.num
        self.accepted = bytearray((num + 7) // 8)
        self.reasons = bytearray(num)
        self.rules = bytearray(4 * num)
        self.depths = bytearray(4 * num)
        self.details = bytearray(2 * num)
        self.matched = bytearray(DIGEST_LEN * num)
        self.spkis = bytearray(DIGEST_LEN * chains.num_certs if with_keys else 0)
        positions = chains.positions
        self.chain_offsets = None if positions is None else positions.view.toreadonly()

    def __getstate__(self) -> dict[str, Any]:
        offsets = self.chain_offsets
        kept = None if offsets is None else (offsets.format, bytes(offsets))
        return vars(self) | {"chain_offsets": kept}

    def __setstate__(self, columns: dict[str, Any]) -> None:
        vars(self).update(columns)
        if kept := columns["chain_offsets"]:
            kind, data = kept
            self.chain_offsets = memoryview(data).cast(kind)

    def places(self, first: int, first_cert: int) -> Any:  # noqa: ANN401 - a C struct
        """Return a ``pv_answers`` that points into these columns, for a part of them.

        The part begins with peer *first* (a multiple of 8), certificate *first_cert*.
        """
        spkis = ffi.from_buffer(self.spkis) + DIGEST_LEN * first_cert
        places = {
            "spkis": spkis if self.spkis else ffi.NULL,
            "accepted": ffi.from_buffer(self.accepted) + first // 8,
            "reasons": ffi.from_buffer(self.reasons) + first,
            "rules": ffi.from_buffer("uint32_t[]", self.rules) + first,
            "depths": ffi.from_buffer("uint32_t[]", self.depths) + first,
            "details": ffi.from_buffer("uint16_t[]", self.details) + first,
            "matched": ffi.from_buffer(self.matched) + DIGEST_LEN * first,
        }
        return ffi.new("pv_answers *", places)

    def row(self, i: int, name_len: Callable[[int], int]) -> tuple[bytes, bytes]:
        """Return what `OpenPolicy.evaluate` returns about peer *i*.

        The length of a rule's name is not in the columns; *name_len* gives it.
        """
        offsets = self.chain_offsets
        start, stop = (i, i + 1) if offsets is None else (offsets[i], offsets[i + 1])
        spkis = bytes(self.spkis[DIGEST_LEN * start : DIGEST_LEN * stop])
        keys = [spkis[at : at + DIGEST_LEN] for at in range(0, len(spkis), DIGEST_LEN)]
        rule = memoryview(self.rules).cast("I")[i]
        details = memoryview(self.details).cast("H")[i]
        fields = {
            "accepted": self.accepted[i // 8] >> i % 8 & 1,
            "reason": self.reasons[i],
            "mode": details & 1,
            "matched_kind": details >> 1 & 1,
            "shape": details >> 2 & 3,
            "name_len": name_len(rule),
            "rule": rule,
            "depth": memoryview(self.depths).cast("I")[i],
            "num_seen": [*keys, _NO_KEY].index(_NO_KEY),
            "detail": details >> 8,
            "matched": bytes(self.matched[DIGEST_LEN * i : DIGEST_LEN * (i + 1)]),
        }
        return bytes(ffi.buffer(ffi.new("pv_report *", fields))), spkis


_NO_KEY = bytes(DIGEST_LEN)
"""Stands for the digest of a key that was not seen; no key has this digest."""
