"""The DER walk over many certificates at once: each gets what it gets alone."""

from __future__ import annotations

import hashlib
import random
from array import array
from itertools import accumulate

import pytest

import corpora
from certificate_parts import certificate
from oracle_der import encode
from pinverify import core
from spki_answers import ask, lenient

__all__: list[str] = []


@pytest.mark.slow
def test_a_hundred_thousand_digests_are_those_of_hashlib_over_the_oracles_keys() -> (
    None
):
    """No two alike, keys of many lengths; each hundredth is cut off."""
    dice = random.Random(9)  # noqa: S311 - a test, no key
    ders = []
    for i in range(100_000):
        length = dice.choice((33, 66, 98, 271, 527)) + dice.randrange(40)
        serial = encode(0x02, b"\x01" + i.to_bytes(3, "big"))
        der = certificate(
            serial=serial, key=encode(0x03, b"\0" + dice.randbytes(length))
        )
        ders.append(der[:-1] if i % 100 == 99 else der)
    digests, malformed = core.spki_sha256_many(ders)
    assert list(malformed) == list(range(99, 100_000, 100))
    for i, der in enumerate(ders):
        key = None if i % 100 == 99 else lenient(der)
        expected = bytes(32) if key is None else hashlib.sha256(key).digest()
        assert digests[32 * i : 32 * i + 32] == expected, i
    data = b"".join(ders)
    offsets = array("Q", accumulate(map(len, ders), initial=0))
    assert core.spki_sha256_many(data, offsets) == (digests, malformed)


def test_many_certificates_get_what_each_gets_alone() -> None:
    """The malformed ones are reported by index, and do not stop the others."""
    certs = [entry.der for entry in corpora.inputs()]
    digests, malformed = core.spki_sha256_many(certs)
    assert len(digests) == 32 * len(certs)
    expected_malformed = []
    for i, der in enumerate(certs):
        answer = ask(der)
        digest = bytes(32)
        if answer.spki is None:
            expected_malformed.append(i)
        else:
            digest = hashlib.sha256(answer.spki).digest()
        assert digests[32 * i : 32 * i + 32] == digest
    assert malformed == expected_malformed
    assert 0 < len(malformed) < len(certs)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_a_buffer_with_offsets_gives_what_the_list_gives(kind: type) -> None:
    """The layout of an Arrow binary column needs no list of bytes."""
    certs = [entry.der for entry in corpora.inputs()]
    offsets = list(accumulate(map(len, certs), initial=0))
    buffer = kind(b"".join(certs))
    assert core.spki_sha256_many(buffer, offsets) == core.spki_sha256_many(certs)
    some = offsets[3:9]
    in_the_middle = core.spki_sha256_many(buffer, array("Q", some))
    assert in_the_middle == core.spki_sha256_many(certs[3:8])


def test_no_certificates_give_no_digests() -> None:
    """Nothing in, nothing out."""
    assert core.spki_sha256_many([]) == (b"", [])
    assert core.spki_sha256_many(b"", [0]) == (b"", [])
    assert core.spki_sha256_many([b"", b""]) == (bytes(64), [0, 1])


@pytest.mark.parametrize(
    "offsets", [[], [0, 5, 4], [0, 11], [7, 0], [-1, 5], [1 << 64]]
)
def test_offsets_that_do_not_ascend_or_pass_the_end_are_refused(
    offsets: list[int],
) -> None:
    """No certificate is read outside the buffer."""
    with pytest.raises(ValueError, match="offset"):
        core.spki_sha256_many(bytes(10), offsets)
