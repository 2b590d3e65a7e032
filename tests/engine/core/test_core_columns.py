"""Many certificates in one buffer: any buffer, any offsets, and nothing outside it.

The result must be what the oracles say of each certificate alone: hashlib over the key
that the strict frame check of ``oracle_der.py`` finds.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import subprocess
import sys
import threading
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import corpora
import oracle_der
from optional import client_library
from pinverify import Pin, PinSet, Policy, core
from pinverify._core import ffi, lib
from pki import Pki

__all__: list[str] = []

# The type codes of the integers that offsets can be, as `array` has them.
CODES = "iIqQlL"


@functools.cache
def certificates() -> tuple[bytes, ...]:
    """Return certificates of the corpora; some of them are malformed."""
    return tuple(entry.der for entry in corpora.inputs()[:1000])


@functools.cache
def digest(der: bytes) -> bytes | None:
    """Return what the oracles say is the SPKI digest; None: malformed."""
    try:
        return hashlib.sha256(oracle_der.strict_spki(der)).digest()
    except oracle_der.FrameError:
        return None


def expected(certs: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """Return the digests, zero for the malformed, and which those are."""
    digests = [digest(der) for der in certs]
    malformed = [i for i, one in enumerate(digests) if one is None]
    return b"".join(one or bytes(32) for one in digests), malformed


def ends(items: Sequence[bytes]) -> list[int]:
    """Return the offsets of items that lie back to back."""
    return list(accumulate(map(len, items), initial=0))


def bits(flags: Sequence[bool]) -> bytes:
    """Return an Arrow bitmap: the first flag in the lowest bit of the first byte."""
    out = bytearray((len(flags) + 7) // 8)
    for i, flag in enumerate(flags):
        out[i // 8] |= flag << i % 8
    return bytes(out)


# ---- the answers -------------------------------------------------------------


@pytest.mark.parametrize("num", [*range(20), 255, 256, 257, 511, 512, 513, 767, 1000])
def test_a_column_gets_what_the_oracles_say_of_each(num: int) -> None:
    """For each number of certificates near those at which chunks begin and end."""
    certs = certificates()[:num]
    assert core.spki_sha256_many(b"".join(certs), ends(certs)) == expected(certs)
    assert core.spki_sha256_many(certs) == expected(certs)


@pytest.mark.parametrize("num_pins", [0, 1, 2, 4, 5, 16, 100])
def test_a_column_is_matched_as_the_oracles_say(num_pins: int) -> None:
    """Pinned are those whose digest is among the pins; the malformed never are.

    The digest of a malformed certificate is zero: not even a zero pin hits it.
    """
    certs = certificates()
    digests, malformed = expected(certs)
    known = [d for d in map(digest, certs) if d is not None]
    pins = [*known[:: len(known) // (num_pins + 1) + 1], *map(bytes, [32] * num_pins)]
    pins = pins[:num_pins]
    flags = [digest(der) in pins for der in certs]
    shown: tuple[tuple[Any, ...], ...] = (certs,), (b"".join(certs), ends(certs))
    for form in shown:
        found = core.certs_are_pinned(b"".join(pins), *form)
        assert found == (bits(flags), digests, malformed)
        assert [found.is_pinned(i) for i in range(len(certs))] == flags
    assert any(flags) == (num_pins > 0)


def test_malformed_certificates_do_not_stop_the_others() -> None:
    """One at each place of three chunks, alone and in rows, and nothing else."""
    good = next(der for der in certificates() if digest(der) is not None)
    for bad in (b"", b"\x30", good[:-1], good + b"\0", b"\xff" * 5000):
        for places in (
            {0},
            {255},
            {256},
            {513},
            {0, 1, 254, 255, 256},
            set(range(514)),
        ):
            certs = [bad if i in places else good for i in range(514)]
            column = b"".join(certs), array("i", ends(certs))
            digests, malformed = core.spki_sha256_many(*column)
            assert malformed == sorted(places)
            assert digests == b"".join(digest(der) or bytes(32) for der in certs)
            found = core.certs_are_pinned(digest(good) or b"", *column)
            assert found.pinned == bits([i not in places for i in range(514)])
            assert found.malformed == malformed


# ---- any buffer --------------------------------------------------------------


def mapped(data: bytes, folder: Path) -> mmap.mmap:
    """Return a read-only map of a file with these bytes."""
    path = folder / "column"
    path.write_bytes(data)
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_any_buffer_holds_a_column(tmp_path: Path) -> None:
    """Read-only or writable, of bytes or of words, and not from its beginning."""
    certs = certificates()[:300]
    data = b"".join(certs)
    words = data + bytes(-len(data) % 8)
    with mapped(data, tmp_path) as memory:
        buffers: list[Any] = [
            data,
            bytearray(data),
            memoryview(data),
            memory,
            memoryview(words).cast("Q"),
            array("B", data),
            memoryview(bytearray(words)).cast("B", (len(words) // 8, 8)),
        ]
        for buffer in buffers:
            for code in CODES:
                offsets = array(code, ends(certs))
                found = core.spki_sha256_many(buffer, offsets)
                assert found == expected(certs), (type(buffer), code)
        del buffers, buffer
    offsets = array("i", [7 + end for end in ends(certs)])
    assert core.spki_sha256_many(b"x" * 7 + data + b"y", offsets) == expected(certs)


# Everything here becomes garbage at once, in a cycle, so that the garbage collector
# chooses what it releases first.
GARBAGE = """
import gc
from array import array
from pinverify import Policy
from pinverify.core._keys import Column

policy = Policy({})
for _ in range(100):
    data, ends = memoryview(bytearray(b"a.example")), memoryview(array("I", [0, 9]))
    cycle = [data, ends]
    cycle += [Column(data, [0, 9]), Column(data, ends)]
    cycle += [policy.evaluate_many(data, data, offsets=ends, host_offsets=ends), cycle]
del data, ends, cycle
gc.collect()
print("alive")
"""


def test_views_and_columns_may_become_garbage_together() -> None:
    """A view that C code had exported would be released first: a crash."""
    command = [sys.executable, "-c", GARBAGE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "alive\n", "")


@pytest.mark.parametrize("code", CODES)
def test_a_slice_of_offsets_is_a_slice_of_the_column(code: str) -> None:
    """As Arrow slices: the bytes stay, and the first offset is not 0."""
    certs = certificates()[:40]
    data, offsets = b"".join(certs), memoryview(array(code, ends(certs)))
    for first in (0, 1, 17, 39, 40):
        for last in (first, first + 1, 40):
            part = certs[first:last]
            found = core.spki_sha256_many(data, offsets[first : last + 1])
            assert found == expected(part)


@pytest.mark.parametrize("code", CODES)
def test_offsets_may_lie_at_any_address(code: str) -> None:
    """Arrow aligns its buffers; who cuts one out of a message may not."""
    certs = certificates()[:9]
    offsets = array(code, ends(certs)).tobytes()
    for shift in range(9):
        room = bytes(shift) + offsets
        view: Any = memoryview(room)[shift:]
        view = view.cast(code)
        assert core.spki_sha256_many(b"".join(certs), view) == expected(certs)


def test_nothing_in_a_column_is_nothing() -> None:
    """No offsets are read where there is nothing between them."""
    for code in CODES:
        for only in (0, 3, 77):
            nothing = array(code, [only])
            assert core.spki_sha256_many(b"", nothing) == (b"", [])
            assert core.sha256_many(b"abc", nothing) == b""
            assert core.certs_are_pinned(bytes(32), b"abc", nothing) == (b"", b"", [])
    empty: list[bytes] = []
    assert core.certs_are_pinned(bytes(32), empty) == (b"", b"", [])


# ---- what is refused ---------------------------------------------------------

BATCHES: dict[str, Callable[[Any, Any], object]] = {
    "spki_sha256_many": core.spki_sha256_many,
    "sha256_many": core.sha256_many,
    "certs_are_pinned": lambda data, offsets: core.certs_are_pinned(
        bytes(32), data, offsets
    ),
    "evaluate_many": lambda data, offsets: Policy.for_clients(
        PinSet(["sha256/" + 43 * "A" + "="])
    ).evaluate_many(None, data, offsets=offsets),
}
every_batch = pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)


@every_batch
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize(
    "offsets",
    [[0, 5, 4], [0, 11], [11, 11], [7, 0], [-1, 5], [-2, -1], [0, 5, -1], [0, -1, 5]],
    ids=str,
)
def test_offsets_that_lead_outside_are_refused(
    batch: Callable[[Any, Any], object], code: str, offsets: list[int]
) -> None:
    """Descending, past the end, negative: in each width, signed or not."""
    if code in "ILQ":
        size = array(code).itemsize
        offsets = [offset % 2 ** (8 * size) for offset in offsets]
    with pytest.raises(ValueError, match="offsets descend, or exceed the end"):
        batch(bytes(10), array(code, offsets))


def test_a_negative_offset_is_refused_beside_any_number_of_bytes(
    tmp_path: Path,
) -> None:
    """As one of 4 bytes without a sign it would be inside of 4 GiB."""
    path = tmp_path / "sparse"
    path.touch()
    os.truncate(path, 2**32)
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        for offsets in ([0, -5], [-(2**31), -1], [0, 0, -(2**31)]):
            with pytest.raises(ValueError, match="offsets descend, or exceed"):
                core.spki_sha256_many(data, array("i", offsets))
        unsigned = array("I", [2**31 + 5, 2**31 + 9])
        assert core.spki_sha256_many(data, unsigned) == (bytes(32), [0])


@every_batch
def test_a_buffer_whose_items_are_no_offsets_is_refused(
    batch: Callable[[Any, Any], object],
) -> None:
    """Plain bytes could be of either width; a float is no position."""
    data = array("i", [0, 1]).tobytes()
    for wrong in (data, bytearray(data), memoryview(data).cast("b"), b""):
        with pytest.raises(TypeError, match=r"write memoryview\(offsets\).cast\('i'\)"):
            batch(b"a", wrong)
    for code in ("h", "H", "f", "d", "b", "B"):
        with pytest.raises(TypeError, match="integers of 4 or 8 bytes"):
            batch(b"a", array(code, [0, 1]))
    two_dimensions = memoryview(bytes(32)).cast("i", (4, 2))
    with pytest.raises(TypeError, match="integers of 4 or 8 bytes"):
        batch(b"a", two_dimensions)
    nothing: Any
    for nothing in ([], array("i"), memoryview(b"").cast("q")):
        with pytest.raises(ValueError, match="so at least one"):
            batch(b"a", nothing)


@every_batch
def test_a_buffer_that_is_not_contiguous_is_refused(
    batch: Callable[[Any, Any], object],
) -> None:
    """C would read what lies between. A copy is the caller's to make."""
    data = memoryview(bytes(20))
    with pytest.raises(TypeError, match="contiguous"):
        batch(data[::2], [0, 1])
    offsets = memoryview(array("q", range(8)))
    for stride in (2, -1):
        with pytest.raises(TypeError, match="contiguous"):
            batch(data, offsets[::stride])


@every_batch
def test_what_is_no_buffer_is_refused(batch: Callable[[Any, Any], object]) -> None:
    """Text has no bytes, and a list of certificates needs no offsets."""
    wrong: Any
    for wrong in ("text", 7, None, [b"a"]):
        with pytest.raises(TypeError):
            batch(wrong, [0, 1])
    for wrong in (3, 1.5, ["0", "1"], [None]):
        with pytest.raises((TypeError, ValueError)):
            batch(b"a", wrong)


def test_one_buffer_without_offsets_is_refused(tmp_path: Path) -> None:
    """A buffer is a list of its bytes, too, and none of them is a certificate."""
    with mapped(b"abc", tmp_path) as memory:
        wrong: Any
        for wrong in (b"abc", bytearray(b"abc"), memory, array("B", b"abc")):
            for call in (core.spki_sha256_many, core.sha256_many):
                with pytest.raises(TypeError, match="give offsets"):
                    call(wrong)
            with pytest.raises(TypeError, match="give offsets"):
                core.certs_are_pinned(bytes(32), wrong)


@settings(deadline=None)
@given(
    data=st.binary(max_size=40),
    offsets=st.lists(st.integers(-3, 44), min_size=1, max_size=6),
    code=st.sampled_from("iq"),
)
def test_any_offsets_hash_what_they_cut_or_are_refused(
    data: bytes, offsets: list[int], code: str
) -> None:
    """Whatever the offsets are, no byte outside the buffer is looked at."""
    ascend = all(a <= b for a, b in pairwise(offsets))
    inside = offsets[0] >= 0 and offsets[-1] <= len(data)
    if len(offsets) == 1 or (ascend and inside):
        hashes = [hashlib.sha256(data[a:b]).digest() for a, b in pairwise(offsets)]
        assert core.sha256_many(data, array(code, offsets)) == b"".join(hashes)
    else:
        with pytest.raises(ValueError, match="offsets"):
            core.sha256_many(data, array(code, offsets))


# ---- policies ----------------------------------------------------------------


def test_a_policy_decides_about_a_column_as_about_each_chain(pki: Pki) -> None:
    """With chain offsets of either width, and with leaves alone."""
    policy = Policy({"*.example": PinSet(leaf=[pki.server.pin]), "**.b": [pki.ca.pin]})
    chains = [
        pki.server.chain_der,
        [],
        [pki.server.der],
        [b"?"],
        [pki.ca.der, pki.server.der],
        [pki.server.der, b"", pki.ca.der],
    ]
    hosts = ["a.example", "b", "a.b", "c.example", "..", "b"]
    certs = [cert for chain in chains for cert in chain]
    data, offsets = b"".join(certs), array("i", ends(certs))
    each = [
        policy.evaluate(host, chain) for host, chain in zip(hosts, chains, strict=True)
    ]
    assert policy.evaluate_many(hosts, chains) == each
    chain_ends = list(accumulate(map(len, chains), initial=0))
    for code in CODES:
        chain_offsets = array(code, chain_ends)
        found = policy.evaluate_many(
            hosts, data, offsets=offsets, chain_offsets=chain_offsets
        )
        assert found == each
    leaves = policy.evaluate_many(["a.example"] * len(certs), data, offsets=offsets)
    assert leaves == [policy.evaluate("a.example", [cert]) for cert in certs]


def test_a_pinset_decides_about_many_peers_without_names(pki: Pki) -> None:
    """A list of chains, a column of leaves, or a column with chain offsets."""
    pinset = PinSet(leaf=[pki.client.pin], ca=[pki.ca.pin])
    chains = [pki.client.chain_der, [pki.client.der], [b"?"], [], pki.server.chain_der]
    each = [Policy.for_clients(pinset).evaluate(None, chain) for chain in chains]
    assert Policy.for_clients(pinset).evaluate_many(None, chains) == each
    assert Policy.for_clients(pinset).evaluate_many(None, []) == []
    certs = [cert for chain in chains for cert in chain]
    data, offsets = b"".join(certs), ends(certs)
    found = Policy.for_clients(pinset).evaluate_many(
        None,
        data,
        offsets=offsets,
        chain_offsets=accumulate(map(len, chains), initial=0),  # type: ignore[arg-type]
    )
    assert found == each
    leaves = Policy.for_clients(pinset).evaluate_many(None, data, offsets=offsets)
    assert leaves == [
        Policy.for_clients(pinset).evaluate(None, [cert]) for cert in certs
    ]


def test_chain_offsets_that_lead_outside_are_refused(pki: Pki) -> None:
    """No certificate is taken from another's chain, or from nowhere."""
    pinset = PinSet([pki.client.pin])
    data, offsets = (
        pki.client.der * 2,
        [0, len(pki.client.der), 2 * len(pki.client.der)],
    )
    for wrong in ([0, 3], [0, 2, 1], [1, 0]):
        with pytest.raises(ValueError, match="descend, or exceed the end"):
            Policy.for_clients(pinset).evaluate_many(
                None, data, offsets=offsets, chain_offsets=wrong
            )
    with pytest.raises(TypeError, match="give offsets"):
        Policy.for_clients(pinset).evaluate_many(
            None, [[pki.client.der]], chain_offsets=[0, 1]
        )
    with pytest.raises(ValueError, match="one per peer"):
        Policy({}).evaluate_many(["a"], data, offsets=offsets)
    with pytest.raises(TypeError, match=r"write \[certificate\]"):
        Policy.for_clients(pinset).evaluate_many(None, [pki.client.der])  # type: ignore[list-item]


# ---- threads -----------------------------------------------------------------


BATCH_FUNCTIONS = (
    "pv_certs_are_pinned",
    "pv_sha256_many",
    "pv_spki_sha256_many",
    "pv_evaluate_many",
)


def batch_calls() -> dict[str, Callable[[], int]]:
    """Return a call of each C function for batches, with nothing else in it."""
    certs = certificates()
    num = len(certs)
    kept = ffi.from_buffer(b"".join(certs)), ffi.new("uint64_t[]", ends(certs))
    column = ffi.new("pv_column *", (kept[0], len(kept[0]), (kept[1], 8, num)))
    one_each = ffi.new("uint64_t[]", list(range(num + 1)))
    chains = ffi.new("pv_offsets *", (one_each, 8, num))
    hosts = ffi.new("pv_column *", (kept[0], num, (one_each, 8, num)))
    compiled = ffi.from_buffer(
        Policy.for_clients(PinSet([Pin.spki(bytes(32))])).compile()
    )
    policy = ffi.new("pv_policy *")
    assert lib.pv_policy_open(policy, compiled, len(compiled)) == lib.PV_OK
    digests, statuses = ffi.new("uint8_t[]", 32 * num), ffi.new("uint8_t[]", num)
    pinned, malformed = ffi.new("uint8_t[]", num), ffi.new("size_t *")
    reports = ffi.new("pv_report[]", num)
    answers = ffi.new("pv_answers *", {"reports": reports, "spkis": digests})
    row = bytes(32)
    hashed = digests, statuses, malformed
    arguments: dict[str, tuple[Any, ...]] = {
        "pv_sha256_many": (digests, column),
        "pv_spki_sha256_many": (*hashed, column),
        "pv_certs_are_pinned": (pinned, *hashed, row, 1, column),
        "pv_evaluate_many": (answers, policy, hosts, column, chains, 0),
    }
    everything = kept, column, one_each, chains, hosts, compiled, policy, reports
    assert arguments.keys() == set(BATCH_FUNCTIONS)
    return {
        name: functools.partial(_call, getattr(lib, name), given, everything)
        for name, given in arguments.items()
    }


def _call(function: Callable[..., int], given: Sequence[Any], _kept: object) -> int:
    return function(*given)


def test_every_batch_of_the_header_is_among_the_calls() -> None:
    """A new one is looked at, too."""
    named = {name for name in dir(lib) if name.endswith("_many")}
    assert named - {"pv_packed_contain_many"} <= set(BATCH_FUNCTIONS)


@pytest.mark.parametrize("name", BATCH_FUNCTIONS)
def test_other_threads_run_during_a_batch(name: str) -> None:
    """The GIL is released: a thread that waits for it gets it meanwhile.

    With a switch interval of a day, it can't get it in any other way before the last
    batch is done.
    """
    call = batch_calls()[name]
    may_run, has_run = threading.Lock(), threading.Event()

    def wait() -> None:
        with may_run:
            has_run.set()

    interval = sys.getswitchinterval()
    may_run.acquire()
    waiting = threading.Thread(target=wait)
    sys.setswitchinterval(86_400)
    try:
        waiting.start()  # it gets the GIL, and keeps it until it has to wait
        may_run.release()
        for _ in range(1000):
            assert call() == lib.PV_OK
            if has_run.is_set():
                break
        assert has_run.is_set()
    finally:
        sys.setswitchinterval(interval)
        waiting.join()


# ---- numpy and Arrow ---------------------------------------------------------


def arrow_column(column: Any) -> tuple[Any, Any]:  # noqa: ANN401 - no stubs
    """Return the data and the offsets of an Arrow column, as the guide says."""
    _, offsets, data = column.buffers()
    view: Any = memoryview(offsets)
    view = view.cast("i" if str(column.type) == "binary" else "q")
    return data, view[column.offset :][: len(column) + 1]


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_an_arrow_column_is_read_where_it_lies(kind: str) -> None:
    """Whole and sliced, with nulls, which are empty and so malformed."""
    arrow: Any = client_library("pyarrow")
    certs = list(certificates()[:600])
    column = arrow.array(certs, getattr(arrow, kind)())
    assert core.spki_sha256_many(*arrow_column(column)) == expected(certs)
    for first, num in ((0, 600), (1, 598), (255, 2), (599, 1), (600, 0)):
        part = column.slice(first, num)
        data, offsets = arrow_column(part)
        assert core.spki_sha256_many(data, offsets) == expected(
            certs[first : first + num]
        )
    with_nulls = arrow.array([None, certs[0], None], getattr(arrow, kind)())
    _, malformed = core.spki_sha256_many(*arrow_column(with_nulls))
    assert malformed == [i for i in range(3) if i != 1 or digest(certs[0]) is None]


def test_an_arrow_offsets_buffer_alone_is_ambiguous() -> None:
    """It shows plain bytes, which could be offsets of either width."""
    arrow: Any = client_library("pyarrow")
    _, offsets, data = arrow.array([b"a"], arrow.binary()).buffers()
    with pytest.raises(TypeError, match=r"cast\('i'\) if the column is binary"):
        core.spki_sha256_many(data, offsets)


def test_matches_are_an_arrow_bitmap() -> None:
    """They can be handed to Arrow as they are, and so can the digests."""
    arrow: Any = client_library("pyarrow")
    certs = certificates()[:300]
    wanted = next(d for d in map(digest, certs) if d is not None)
    column = arrow.array(certs, arrow.binary())
    found = core.certs_are_pinned(wanted, *arrow_column(column))
    buffers = [None, arrow.py_buffer(found.pinned)]
    flags = arrow.BooleanArray.from_buffers(arrow.bool_(), len(certs), buffers)
    assert flags.to_pylist() == [digest(der) == wanted for der in certs]
    pinned = column.filter(flags)
    assert {digest(der) for der in pinned.to_pylist()} == {wanted}
    buffers = [None, arrow.py_buffer(found.digests)]
    kind = arrow.binary(32)
    digests = arrow.FixedSizeBinaryArray.from_buffers(kind, len(certs), buffers)
    assert digests.to_pylist() == [digest(der) or bytes(32) for der in certs]


def test_numpy_arrays_are_read_where_they_lie() -> None:
    """Data of bytes, offsets of each integer type, and views that can't be read."""
    numpy: Any = client_library("numpy")
    certs = certificates()[:300]
    data = numpy.frombuffer(b"".join(certs), dtype=numpy.uint8)
    for kind in ("int32", "int64", "uint32", "uint64"):
        offsets = numpy.array(ends(certs), dtype=kind)
        assert core.spki_sha256_many(data, offsets) == expected(certs)
        found = core.spki_sha256_many(data, offsets[100:201])
        assert found == expected(certs[100:200])
        offsets.flags.writeable = False
        assert core.spki_sha256_many(data.copy(), offsets) == expected(certs)
    offsets = numpy.array(ends(certs), dtype="int64")
    with pytest.raises(TypeError, match="contiguous"):
        core.spki_sha256_many(data, offsets[::2])
    with pytest.raises(TypeError, match="contiguous"):
        core.spki_sha256_many(data[::2], offsets)
    for kind in ("int16", "float64", ">i4", "object"):
        with pytest.raises(TypeError, match="integers of 4 or 8 bytes"):
            core.spki_sha256_many(data, numpy.array([0, 1]).astype(kind))
    empty = numpy.array([], dtype=numpy.uint8)
    assert core.spki_sha256_many(empty, numpy.array([0], "int32")) == (b"", [])
    flags = numpy.unpackbits(
        numpy.frombuffer(core.certs_are_pinned(b"", data, offsets).pinned, "uint8"),
        count=len(certs),
        bitorder="little",
    )
    assert not flags.any()
