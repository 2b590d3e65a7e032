"""SHA-256: every kernel of this machine against hashlib and the vectors of NIST."""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
import random
import re
from array import array
from collections.abc import Iterator
from itertools import accumulate, pairwise, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples
from pinverify import core
from pinverify._core import ffi, lib

__all__: list[str] = []

NOISE = hashlib.shake_256(b"noise").digest(1 << 16)
every_kernel = pytest.mark.parametrize("kernel", core.kernels())


def test_an_empty_message_needs_no_bytes() -> None:
    """Its pointer may be NULL."""
    found = ffi.new("uint8_t[32]")
    lib.pv_sha256(found, ffi.NULL, 0)
    assert bytes(found) == hashlib.sha256(b"").digest()


@every_kernel
def test_every_length_up_to_300_agrees_with_hashlib(kernel: str) -> None:
    """Each way in which the padding can fall, over five blocks (FIPS 180-4, 5.1.1)."""
    with core.use_kernel(kernel):
        for length in range(301):
            for message in (NOISE[:length], bytes(length), b"\xff" * length):
                expected = hashlib.sha256(message).digest()
                assert core.sha256(message) == expected, length
                assert core.sha256_many([message]) == expected, length


@every_kernel
@settings(deadline=None)
@given(st.binary(max_size=4096))
def test_any_message_agrees_with_hashlib(kernel: str, message: bytes) -> None:
    """Random bytes of random lengths."""
    with core.use_kernel(kernel):
        assert core.sha256(message) == hashlib.sha256(message).digest()


@every_kernel
@settings(max_examples=50, deadline=None)
@given(st.integers(0, len(NOISE)), st.integers(0, len(NOISE)))
def test_long_messages_at_any_address_agree_with_hashlib(
    kernel: str, start: int, length: int
) -> None:
    """A kernel loads 16 bytes at a time from wherever the message lies."""
    message = memoryview(NOISE)[start : start + length]
    with core.use_kernel(kernel):
        assert core.sha256(message) == hashlib.sha256(message).digest()


@every_kernel
def test_every_alignment_agrees_with_hashlib(kernel: str) -> None:
    """64 addresses in a row, each for messages of one to three blocks."""
    with core.use_kernel(kernel):
        for start in range(64):
            for length in (1, 55, 56, 63, 64, 65, 119, 120, 128, 191):
                message = memoryview(NOISE)[start : start + length]
                assert core.sha256(message) == hashlib.sha256(message).digest()


@every_kernel
def test_the_examples_of_fips_180_agree(kernel: str) -> None:
    """Those of FIPS 180-2, appendix B, up to a million letters."""
    examples = {
        b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
        b"a" * 1_000_000: (
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        ),
    }
    with core.use_kernel(kernel):
        for message, digest in examples.items():
            assert core.sha256(message).hex() == digest


def nist_vectors() -> Iterator[tuple[bytes, str]]:
    """Yield the messages and digests of NIST's CAVP, short and long."""
    spec = importlib.util.find_spec("cryptography_vectors")
    if spec is None or spec.origin is None:
        pytest.skip("cryptography-vectors is not installed")
    folder = Path(spec.origin).parent / "hashes" / "SHA2"
    for name in ("SHA256ShortMsg.rsp", "SHA256LongMsg.rsp"):
        text = (folder / name).read_text(encoding="ascii")
        found = re.findall(r"Len = (\d+)\s+Msg = (\w+)\s+MD = (\w{64})", text)
        for bits, message, digest in found:
            yield bytes.fromhex(message)[: int(bits) // 8], digest


@every_kernel
def test_the_vectors_of_nist_agree(kernel: str) -> None:
    """CAVP, byte-oriented: 65 short messages and 64 long ones."""
    vectors = list(nist_vectors())
    assert len(vectors) == 129
    with core.use_kernel(kernel):
        for message, digest in vectors:
            assert core.sha256(message).hex() == digest
        many = core.sha256_many([message for message, _ in vectors])
        assert many.hex() == "".join(digest for _, digest in vectors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kernel",
    [core.kernels()[0], pytest.param("portable", marks=pytest.mark.slow)],
)
def test_a_message_of_more_than_2_to_the_32_bits_agrees_with_hashlib(
    kernel: str,
) -> None:
    """The length in the padding has 64 bits: 512 MiB is where the upper 32 begin."""
    with mmap.mmap(-1, (1 << 29) + 1) as message, core.use_kernel(kernel):
        message[-1] = 1
        expected = hashlib.sha256(message).digest()
        assert core.sha256(message) == expected
        assert core.sha256_many(message, [0, len(message)]) == expected


@every_kernel
@settings(max_examples=examples(60), deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=40))
def test_many_messages_get_what_each_gets_alone(
    kernel: str, messages: list[bytes]
) -> None:
    """A list, or one buffer with offsets; empty messages among them."""
    expected = b"".join(hashlib.sha256(message).digest() for message in messages)
    offsets = list(accumulate(map(len, messages), initial=0))
    data = b"".join(messages)
    with core.use_kernel(kernel):
        assert core.sha256_many(messages) == expected
        assert core.sha256_many(data, offsets) == expected
        assert core.sha256_many(bytearray(data), array("Q", offsets)) == expected


@every_kernel
def test_many_messages_of_every_mix_of_lengths_agree_with_hashlib(kernel: str) -> None:
    """Lanes that run side by side must not mix: lengths up to 300, shuffled."""
    shuffle = random.Random(2)  # noqa: S311  (a test, no key)
    for num in (*range(1, 20), 64, 257, 1000):
        lengths = [shuffle.randrange(301) for _ in range(num)]
        ends = list(accumulate(lengths, initial=7))  # the buffer begins earlier
        data = (NOISE * 3)[: ends[-1] + 5]  # ... and ends later
        expected = [hashlib.sha256(data[a:b]).digest() for a, b in pairwise(ends)]
        with core.use_kernel(kernel):
            assert core.sha256_many(data, ends) == b"".join(expected)


@every_kernel
@pytest.mark.parametrize("length", [0, 1, 55, 56, 64, 91, 294, 550])
def test_many_messages_of_one_length_agree_with_hashlib(
    kernel: str, length: int
) -> None:
    """Real batches are like that: keys of one type have one length."""
    messages = [NOISE[i : i + length] for i in range(100)]
    expected = b"".join(hashlib.sha256(message).digest() for message in messages)
    with core.use_kernel(kernel):
        assert core.sha256_many(messages) == expected


@every_kernel
def test_messages_that_are_nearly_alike_agree_with_hashlib(kernel: str) -> None:
    """As many blocks, but one more of them whole; or as many whole, but one more."""
    lengths = [0, 55, 56, 63, 64, 100, 119, 120, 127, 128, 183, 184]
    with core.use_kernel(kernel):
        for three in product(lengths, repeat=3):
            messages = [NOISE[i : i + length] for i, length in enumerate(three)]
            expected = b"".join(hashlib.sha256(m).digest() for m in messages)
            assert core.sha256_many(messages) == expected, three


@pytest.mark.parametrize("kernel", core.kernels())
def test_long_messages_in_any_order_agree_with_hashlib(kernel: str) -> None:
    """Those of 64 blocks and more are sorted in another way than the others."""
    lengths = [64 * blocks + 5 for blocks in (70, 66, 90, 64, 63, 200, 65, 3, 80)]
    messages = [bytes([i]) * length for i, length in enumerate(lengths + lengths[::-1])]
    with core.use_kernel(kernel):
        digests = core.sha256_many(messages)
    assert digests == b"".join(hashlib.sha256(m).digest() for m in messages)


def test_no_messages_have_no_digests() -> None:
    """An empty list, and one offset."""
    assert core.sha256_many([]) == b""
    assert core.sha256_many(b"abc", [0]) == b""
    assert core.sha256_many(b"abc", [3]) == b""


@pytest.mark.parametrize(
    "offsets", [[], [0, 5, 4], [0, 11], [7, 0], [11, 11], [-1, 5], [1 << 64]], ids=str
)
def test_offsets_that_do_not_ascend_or_pass_the_end_are_refused(
    offsets: list[int],
) -> None:
    """No byte is read outside the buffer."""
    with pytest.raises(ValueError, match="offset"):
        core.sha256_many(bytes(10), offsets)


def test_the_digests_are_zero_when_the_offsets_are_refused() -> None:
    """In C nothing is left in them that could be taken for an answer."""
    out = ffi.new("uint8_t[96]", b"\xff" * 96)
    offsets = ffi.new("uint64_t[]", [0, 4, 2, 10])
    data = ffi.from_buffer(bytes(10))
    column = ffi.new("pv_column *", [data, 10, [offsets, 8, 3]])
    status = lib.pv_sha256_many(out, column)
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(out)))


# ---- kernels -----------------------------------------------------------------


def test_portable_c_is_the_last_kernel_and_the_first_is_in_use() -> None:
    """It runs everywhere; what is better stands before it."""
    names = core.kernels()
    assert names[-1] == "portable"
    assert len(set(names)) == len(names)
    assert core.kernel() == names[0]


def test_a_kernel_is_used_within_its_block_and_not_after() -> None:
    """Also where the block raises, and inside another block."""
    before = core.kernel()
    for name in core.kernels():
        with core.use_kernel(name):
            assert core.kernel() == name
            with core.use_kernel("portable"):
                assert core.kernel() == "portable"
            assert core.kernel() == name
        assert core.kernel() == before
        with pytest.raises(ZeroDivisionError), core.use_kernel(name):
            raise ZeroDivisionError
        assert core.kernel() == before


def test_an_unknown_kernel_is_refused_and_changes_nothing() -> None:
    """The message names those that there are."""
    before = core.kernel()
    for name in ("", "Portable", "sha3"):
        with pytest.raises(ValueError, match=r"there are .*portable"):
            core.use_kernel(name).__enter__()
    num = len(core.kernels())
    for number in (num, num + 1, 2**64 - 1):
        assert lib.pv_sha256_use_kernel(number) == lib.PV_ERR_ARGUMENT
        assert lib.pv_sha256_kernel_name(number) == ffi.NULL
    assert core.kernel() == before
