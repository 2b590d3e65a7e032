"""The scan for a digest among pins: every kernel compared with plain Python.

A kernel has two forms of scan, over rows of 32 bytes and over blocks of eight packed
pins. Both must find exactly the pins: not a digest that is one bit off, nor one that is
put together from parts of several pins.
"""

from __future__ import annotations

import functools
import hashlib
import random
import sys
import weakref
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pinverify import DERError, _core, core
from pinverify._core import ffi, lib
from pinverify.core._kernels import scan_kernel, scan_kernels, use_scan_kernel
from pinverify.core._keys import pack
from pki import Pki

__all__: list[str] = []

NUM_PINS = 10_000
PINS = [hashlib.sha256(b"%d" % i).digest() for i in range(NUM_PINS)]
ALL = b"".join(PINS)
ABSENT = hashlib.sha256(b"absent").digest()

every_kernel = pytest.mark.parametrize("kernel", scan_kernels())


def naive(pins: Sequence[bytes], digest: bytes) -> bool:
    """Compare with one pin after the other."""
    return digest in pins


def packed(pins: bytes) -> bytes:
    """Lay out pins as the header says: rows up to 4, then blocks of 8 in planes."""
    rows = [pins[i : i + 32] for i in range(0, len(pins), 32)]
    if len(rows) <= 4:
        return pins
    while len(rows) % 8:
        rows.append(rows[-1])
    return b"".join(
        row[8 * plane : 8 * plane + 8]
        for block in range(0, len(rows), 8)
        for plane in range(4)
        for row in rows[block : block + 8]
    )


def scan_both(pins: bytes, digest: bytes) -> tuple[int, int]:
    """Return what the scan says of rows, and of packed pins."""
    num_pins = len(pins) // 32
    blob = pack(pins)
    alone = lib.pv_packed_contain(blob, num_pins, digest)
    assert scan_many(blob, num_pins, [digest]) == [alone]
    return lib.pv_pins_contain(pins, num_pins, digest), alone


def scan_many(packed_pins: bytes, num_pins: int, digests: Sequence[bytes]) -> list[int]:
    """Return what one scan for several digests says of each."""
    found = ffi.new("uint8_t[]", [0xAA] * len(digests))
    blob = b"".join(digests)
    lib.pv_packed_contain_many(found, packed_pins, num_pins, blob, len(digests))
    return list(found)


# ---- every number of pins ----------------------------------------------------


@functools.cache
def questions(num_pins: int) -> list[tuple[bytes, bool]]:
    """Return digests to look for among the first *num_pins*, and the naive answers.

    The first pin, the last, one in the middle, one that is absent, and the one that
    lies behind the last, where a scan that goes too far finds it.
    """
    known = PINS[:num_pins]
    digests = {ABSENT, PINS[0], *known[num_pins // 2 :][:1], *known[-1:]}
    digests.update(PINS[num_pins : num_pins + 1])
    return [(digest, naive(known, digest)) for digest in digests]


@every_kernel
def test_up_to_10000_pins_a_hit_anywhere_is_found_and_nothing_else(kernel: str) -> None:
    """For each number of pins, in rows, scanned where they lie."""
    pins = ffi.from_buffer(ALL)
    with use_scan_kernel(kernel):
        for num_pins in range(NUM_PINS + 1):
            for digest, expected in questions(num_pins):
                found = lib.pv_pins_contain(pins, num_pins, digest)
                assert found == expected, (num_pins, digest)


@every_kernel
def test_up_to_10000_packed_pins_a_hit_anywhere_is_found_and_nothing_else(
    kernel: str,
) -> None:
    """The same for packed pins, whose last block is filled up, for each number."""
    pins = ffi.from_buffer(ALL)
    packed_pins = ffi.new("uint8_t[]", lib.pv_pins_packed_len(NUM_PINS))
    with use_scan_kernel(kernel):
        for num_pins in range(NUM_PINS + 1):
            lib.pv_pins_pack(packed_pins, pins, num_pins)
            for digest, expected in questions(num_pins):
                found = lib.pv_packed_contain(packed_pins, num_pins, digest)
                assert found == expected, (num_pins, digest)


@every_kernel
def test_up_to_10000_pins_a_duplicated_hit_is_a_hit(kernel: str) -> None:
    """First and last, twice in a row, and n times the same: found, not cancelled out.

    A scan that adds or xors what it finds, in place of or-ing it, forgets a pin that
    stands there an even number of times.
    """
    twice = bytearray(ALL)
    same = bytes(ABSENT * NUM_PINS)
    with use_scan_kernel(kernel):
        for num_pins in range(2, NUM_PINS + 1):
            end = 32 * num_pins
            twice[end - 32 : end] = PINS[0]
            found = lib.pv_pins_contain(ffi.from_buffer(twice), num_pins, PINS[0])
            assert found == 1, num_pins
            twice[end - 32 : end] = PINS[num_pins - 1]
            assert lib.pv_pins_contain(same, num_pins, ABSENT) == 1, num_pins
            if num_pins % 97 == 0 or num_pins < 40:
                pins = ALL[: end - 32] + PINS[0]
                assert scan_both(pins, PINS[0]) == (1, 1)
                assert scan_both(pins, PINS[num_pins - 1]) == (0, 0)
                assert scan_both(same[:end], ABSENT) == (1, 1)
                assert scan_both(same[:end], PINS[0]) == (0, 0)


@every_kernel
def test_every_position_of_up_to_40_pins_is_found(kernel: str) -> None:
    """Each pin of each small list: no lane of a block and no row is left out."""
    with use_scan_kernel(kernel):
        for num_pins in range(41):
            pins = ALL[: 32 * num_pins]
            for i in range(41):
                expected = naive(PINS[:num_pins], PINS[i])
                assert scan_both(pins, PINS[i]) == (expected, expected), (num_pins, i)


# ---- what must not hit -------------------------------------------------------


@every_kernel
def test_a_digest_that_is_one_bit_off_is_not_among_the_pins(kernel: str) -> None:
    """Each of the 256 bits counts, in rows and in blocks, in each lane."""
    with use_scan_kernel(kernel):
        for num_pins in (1, 4, 5, 8, 9, 16):
            pins = ALL[: 32 * num_pins]
            for target in (0, num_pins // 2, num_pins - 1):
                for bit in range(256):
                    near = int.from_bytes(PINS[target], "big") ^ 1 << bit
                    assert scan_both(pins, near.to_bytes(32, "big")) == (0, 0)


@every_kernel
def test_a_digest_of_parts_of_several_pins_is_not_among_them(kernel: str) -> None:
    """The quarters must come from one pin: blocks keep them far apart."""
    choose = random.Random(3)  # noqa: S311  (a test, no key)
    with use_scan_kernel(kernel):
        for num_pins in (2, 4, 5, 8, 9, 24):
            pins = ALL[: 32 * num_pins]
            for _ in range(200):
                owners = [choose.randrange(num_pins) for _ in range(4)]
                if len(set(owners)) == 1:
                    continue
                mixed = b"".join(
                    PINS[owner][8 * plane : 8 * plane + 8]
                    for plane, owner in enumerate(owners)
                )
                assert scan_both(pins, mixed) == (0, 0)


@every_kernel
def test_zeros_and_ones_are_digests_like_any_other(kernel: str) -> None:
    """A digest of zeros is not "no digest", and no pins hold nothing."""
    zero, ones = bytes(32), b"\xff" * 32
    with use_scan_kernel(kernel):
        for digest in (zero, ones):
            assert scan_both(b"", digest) == (0, 0)
            for num_pins in (1, 4, 5, 8, 9):
                pins = ALL[: 32 * num_pins]
                assert scan_both(pins, digest) == (0, 0)
                assert scan_both(pins[:-32] + digest, digest) == (1, 1)
        for num_pins in (1, 5, 8):
            assert scan_both(zero * num_pins, ones) == (0, 0)
            assert scan_both(ones * num_pins, zero) == (0, 0)


@every_kernel
@settings(deadline=None)
@given(st.lists(st.binary(min_size=32, max_size=32), max_size=20), st.data())
def test_any_pins_and_any_digest_agree_with_the_naive_scan(
    kernel: str, pins: list[bytes], data: st.DataObject
) -> None:
    """Random pins: also those that have much in common, as Hypothesis likes it."""
    anything = st.binary(min_size=32, max_size=32)
    digest = data.draw(st.sampled_from(pins) | anything if pins else anything)
    expected = naive(pins, digest)
    with use_scan_kernel(kernel):
        assert scan_both(b"".join(pins), digest) == (expected, expected)
        assert core.pins_contain(b"".join(pins), digest) is expected


@every_kernel
def test_pins_and_digests_may_lie_at_any_address(kernel: str) -> None:
    """A vector load must not ask for alignment."""
    with use_scan_kernel(kernel):
        for shift in range(33):
            pins = b"\0" * shift + ALL[: 32 * 16]
            at = ffi.from_buffer(pins) + shift
            blocks = b"\0" * shift + pack(ALL[: 32 * 16])
            blocks_at = ffi.from_buffer(blocks) + shift
            for wanted, expected in ((PINS[9], 1), (ABSENT, 0)):
                digest = b"\0" * shift + wanted
                digest_at = ffi.from_buffer(digest) + shift
                assert lib.pv_pins_contain(at, 16, digest_at) == expected
                assert lib.pv_packed_contain(blocks_at, 16, digest_at) == expected
                found = ffi.new("uint8_t *")
                lib.pv_packed_contain_many(found, blocks_at, 16, digest_at, 1)
                assert found[0] == expected


# ---- several digests in one pass ---------------------------------------------


@every_kernel
def test_several_digests_get_what_each_gets_alone(kernel: str) -> None:
    """For up to 9 digests and 40 pins: each pin is asked for at each place.

    The others are absent, so an answer that slips to a neighbour is seen.
    """
    with use_scan_kernel(kernel):
        for num_pins in range(41):
            blob = pack(ALL[: 32 * num_pins])
            for num_digests in range(10):
                for place in range(num_digests):
                    digests = [ABSENT] * num_digests
                    digests[place] = PINS[(7 * place + num_pins) % 41]
                    expected = [naive(PINS[:num_pins], digest) for digest in digests]
                    found = scan_many(blob, num_pins, digests)
                    assert found == expected, (num_pins, num_digests, place)
                many = [PINS[(i + num_pins // 2) % 41] for i in range(num_digests)]
                expected = [naive(PINS[:num_pins], digest) for digest in many]
                assert scan_many(blob, num_pins, many) == expected


@every_kernel
def test_several_digests_are_found_among_up_to_10000_pins(kernel: str) -> None:
    """Near each size at which a scan goes another way: blocks, caches, the end."""
    sizes = {1, 4, 5, 8, 9, 1000, 1272, 1279, 1280, 1281, 1288, 1289, 5000, NUM_PINS}
    with use_scan_kernel(kernel):
        for num_pins in sorted(sizes):
            blob = pack(ALL[: 32 * num_pins])
            known = PINS[:num_pins]
            for first in {0, num_pins // 2, num_pins - 1}:
                digests = [PINS[first], ABSENT, PINS[-1], known[-1], PINS[0]]
                expected = [naive(known, digest) for digest in digests]
                assert scan_many(blob, num_pins, digests) == expected


# ---- packed pins -------------------------------------------------------------


def test_packed_pins_are_laid_out_as_the_header_says() -> None:
    """For each number up to 100, and read back pin by pin."""
    for num_pins in range(101):
        pins = ALL[: 32 * num_pins]
        blob = pack(pins)
        assert blob == packed(pins)
        assert len(blob) == lib.pv_pins_packed_len(num_pins)
        out = ffi.new("uint8_t[32]")
        for i in range(num_pins):
            lib.pv_pins_unpack(out, blob, num_pins, i)
            assert bytes(ffi.buffer(out)) == PINS[i]


def test_more_pins_than_memory_has_room_for_take_0_bytes() -> None:
    """A caller who multiplies on their own would overflow; this function does not."""
    most = (2 ** (8 * ffi.sizeof("size_t")) - 1 - 256) // 32
    assert lib.pv_pins_packed_len(most) > 0
    assert lib.pv_pins_packed_len(most) % 256 == 0
    for num_pins in (most + 1, most + 2, 2 * most):
        assert lib.pv_pins_packed_len(num_pins) == 0
    assert lib.pv_pins_packed_len(0) == 0


def test_lengths_that_are_no_pins_are_refused() -> None:
    """A pin cut short would be compared with what lies behind it."""
    for wrong in (b"\0", bytes(31), bytes(33), bytes(95)):
        for call in (
            lambda pins: core.pins_contain(pins, bytes(32)),
            core.matcher,
            pack,
        ):
            with pytest.raises(ValueError, match="32 bytes each"):
                call(wrong)
    for digest in (b"", bytes(31), bytes(33)):
        with pytest.raises(ValueError, match="a digest has 32 bytes"):
            core.pins_contain(ALL[:64], digest)


# ---- one call from certificate to answer -------------------------------------


@every_kernel
def test_a_matcher_says_whether_a_certificate_is_pinned(kernel: str, pki: Pki) -> None:
    """Among each number of pins, at each position, and not among others."""
    digest = hashlib.sha256(pki.server.spki).digest()
    with use_scan_kernel(kernel):
        for num_pins in range(20):
            others = ALL[: 32 * num_pins]
            assert core.matcher(others)(pki.server.der) is False
            for at in range(0, len(others) + 1, 32):
                is_pinned = core.matcher(others[:at] + digest + others[at:])
                assert is_pinned(pki.server.der) is True
                assert is_pinned(pki.ca.der) is False


def test_a_matcher_refuses_what_is_not_strict_der(pki: Pki) -> None:
    """An answer about bytes that no TLS library takes would be a guess."""
    is_pinned = core.matcher(hashlib.sha256(pki.server.spki).digest())
    for wrong in (b"", b"\x30\x00", pki.server.der[:-1], pki.server.der + b"\0"):
        with pytest.raises(DERError, match="not a strict-DER certificate"):
            is_pinned(wrong)
    assert is_pinned(pki.server.der) is True


def test_a_matcher_reads_whatever_holds_bytes_and_nothing_else(pki: Pki) -> None:
    """Bytes take the short way, the others the long one: the answers are the same."""

    class MyBytes(bytes):
        pass

    is_pinned = core.matcher(hashlib.sha256(pki.server.spki).digest())
    for pinned, der in ((True, pki.server.der), (False, pki.ca.der)):
        shown: list[Any] = [bytes(der), bytearray(der), memoryview(der), MyBytes(der)]
        for cert in shown:
            assert is_pinned(cert) is pinned, type(cert)
    for wrong in (None, 7, pki.server.pem, [pki.server.der]):
        with pytest.raises(TypeError, match="expected bytes"):
            is_pinned(wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        is_pinned(pki.server.der, pki.ca.der)  # type: ignore[call-arg]


def test_a_matcher_lets_go_of_what_it_was_made_of(pki: Pki) -> None:
    """It is made in C, so the counts of references are kept by hand."""
    is_pinned = core.matcher(hashlib.sha256(pki.server.spki).digest())
    held: Any = is_pinned
    packed, _ = held.__self__
    before = sys.getrefcount(packed), sys.getrefcount(pki.server.der)
    for _ in range(1000):
        assert is_pinned(pki.server.der)
        with pytest.raises(DERError):
            is_pinned(packed)
    assert (sys.getrefcount(packed), sys.getrefcount(pki.server.der)) == before
    gone = weakref.ref(is_pinned)
    del is_pinned, held
    assert gone() is None


def test_the_function_behind_a_matcher_takes_pins_and_nothing_else() -> None:
    """It is called by `core.matcher` alone; a mistake there is an error, no crash."""
    for arguments in ((), (b"",), ("text", print), (b"", print, print)):
        with pytest.raises(TypeError):
            _core.matcher(*arguments)


def test_a_matcher_keeps_its_pins(pki: Pki) -> None:
    """They are copied: what the caller does with theirs afterwards has no effect."""
    pins = bytearray(hashlib.sha256(pki.server.spki).digest())
    is_pinned = core.matcher(pins)  # type: ignore[arg-type]
    pins[:] = bytes(32)
    assert is_pinned(pki.server.der) is True


# ---- kernels -----------------------------------------------------------------


def test_portable_c_is_the_last_kernel_and_the_first_is_in_use() -> None:
    """It runs everywhere; what is better stands before it."""
    names = scan_kernels()
    assert names[-1] == "portable"
    assert len(set(names)) == len(names)
    assert scan_kernel() == names[0]


def test_a_kernel_is_used_within_its_block_and_not_after() -> None:
    """Also where the block raises, and without touching those of SHA-256."""
    before, hashes = scan_kernel(), core.kernel()
    for name in scan_kernels():
        with use_scan_kernel(name):
            assert scan_kernel() == name
            assert core.kernel() == hashes
        assert scan_kernel() == before
        with pytest.raises(ZeroDivisionError), use_scan_kernel(name):
            raise ZeroDivisionError
        assert scan_kernel() == before


def test_an_unknown_kernel_is_refused_and_changes_nothing() -> None:
    """The message names those that there are."""
    before = scan_kernel()
    with pytest.raises(ValueError, match=r"there are .*portable"):
        use_scan_kernel("neon512").__enter__()
    num = len(scan_kernels())
    for number in (num, 2**64 - 1):
        assert lib.pv_scan_use_kernel(number) == lib.PV_ERR_ARGUMENT
        assert lib.pv_scan_kernel_name(number) == ffi.NULL
    assert scan_kernel() == before
