"""Many certificates in one call, good and bad: more than the core takes at a time."""

from __future__ import annotations

import hashlib
from itertools import accumulate

import pytest

from pinverify import core
from pinverify._core import ffi, lib
from pki import Authority, Pki

__all__: list[str] = []

NUM = 600  # the core takes 256 at a time


@pytest.fixture(scope="module")
def certs(pki: Pki) -> list[bytes]:
    """Certificates of several keys, every seventh of them cut off."""
    root = Authority.root("Columns")
    several = [pki.server.der, pki.client.der, pki.impostor.der, pki.ca.der, root.der]
    return [several[i % 5][: -1 if i % 7 == 3 else None] for i in range(NUM)]


def is_cut(i: int) -> bool:
    """Say whether certificate number *i* can't be read."""
    return i % 7 == 3


def test_certificates_of_more_than_one_chunk_get_what_each_gets_alone(
    certs: list[bytes],
) -> None:
    """By hashlib, and zeros for what can't be read."""
    digests, malformed = core.spki_sha256_many(certs)
    assert list(malformed) == [i for i in range(NUM) if is_cut(i)]
    for i, cert in enumerate(certs):
        alone = bytes(32) if is_cut(i) else hashlib.sha256(core.spki(cert)).digest()
        assert digests[32 * i : 32 * i + 32] == alone, i


def test_one_column_may_have_more_certificates_than_the_core_takes_at_a_time(
    certs: list[bytes],
) -> None:
    """The call of C itself; the one of Python gives it smaller columns."""
    ends = ffi.new("uint64_t[]", [0, *accumulate(map(len, certs))])
    data = ffi.from_buffer(b"".join(certs))
    column = ffi.new("pv_column *", [data, len(data), [ends, 8, NUM]])
    digests, statuses = ffi.new("uint8_t[]", 32 * NUM), ffi.new("uint8_t[]", NUM)
    num_malformed = ffi.new("size_t *")
    status = lib.pv_spki_sha256_many(digests, statuses, num_malformed, column)
    assert status == lib.PV_OK
    assert num_malformed[0] == sum(map(is_cut, range(NUM)))
    assert bytes(ffi.buffer(digests)) == core.spki_sha256_many(certs)[0]
    assert [s != lib.PV_OK for s in statuses] == [is_cut(i) for i in range(NUM)]


@pytest.mark.parametrize("num_pins", [1, 4, 5, 20])
def test_a_column_is_pinned_where_its_certificates_are(
    certs: list[bytes], pki: Pki, num_pins: int
) -> None:
    """As a matcher says of each; nobody is pinned who can't be read."""
    others = [hashlib.sha256(b"%d" % i).digest() for i in range(num_pins - 1)]
    pins = b"".join([*others, core.spki_sha256(pki.client.der)])
    is_pinned = core.matcher(pins)
    answers = core.certs_are_pinned(pins, certs)
    for i, cert in enumerate(certs):
        assert answers.is_pinned(i) == (not is_cut(i) and is_pinned(cert)), i
    assert sum(map(answers.is_pinned, range(NUM))) > 50


@pytest.mark.parametrize("keeps_digests", [True, False])
def test_one_column_may_be_asked_about_at_once(
    certs: list[bytes], pki: Pki, *, keeps_digests: bool
) -> None:
    """The call of C itself again: one bit for each certificate, from the first on."""
    ends = ffi.new("uint64_t[]", [0, *accumulate(map(len, certs))])
    data = ffi.from_buffer(b"".join(certs))
    column = ffi.new("pv_column *", [data, len(data), [ends, 8, NUM]])
    digests = ffi.new("uint8_t[]", 32 * NUM) if keeps_digests else ffi.NULL
    pinned, statuses = ffi.new("uint8_t[]", NUM // 8), ffi.new("uint8_t[]", NUM)
    num_malformed = ffi.new("size_t *")
    pin = core.spki_sha256(pki.client.der)
    status = lib.pv_certs_are_pinned(
        pinned, digests, statuses, num_malformed, pin, 1, column
    )
    assert status == lib.PV_OK
    assert num_malformed[0] == sum(map(is_cut, range(NUM)))
    for i, cert in enumerate(certs):
        expected = not is_cut(i) and core.spki_sha256(cert) == pin
        assert pinned[i // 8] >> i % 8 & 1 == expected, i
    if keeps_digests:
        assert bytes(ffi.buffer(digests)) == core.spki_sha256_many(certs)[0]


def test_zeros_are_not_the_pin_of_what_cannot_be_read(certs: list[bytes]) -> None:
    """Its digest is zeros, which somebody may have pinned."""
    answers = core.certs_are_pinned(bytes(32), certs)
    assert not any(map(answers.is_pinned, range(NUM)))
