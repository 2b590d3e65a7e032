"""Compiled policies that are damaged anywhere, cut or extended do not open.

An attacker would correct the digest after the damage. Such a policy opens only if the
reader of ``compiled_model.py`` finds no fault either, and is then the policy that this
reader reads.
"""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policy_model as model
from compiled_model import (
    CLIENTS,
    HEADER,
    NONE,
    Parts,
    assert_opens_iff_well_formed,
    fault,
    large,
    redigested,
    small,
    status_of,
    taken_apart,
)
from examples import examples
from pinverify import Policy, PolicyError
from pinverify._core import ffi, lib

__all__: list[str] = []


# ---- damage without a new digest ---------------------------------------------


def test_a_flipped_bit_is_refused_wherever_it_is() -> None:
    """Each bit of each byte of a small policy, and each byte inverted."""
    blob = bytearray(small())
    opened = ffi.new("pv_policy *")
    at = ffi.from_buffer(blob)
    for i in range(len(blob)):
        for mask in (*(1 << bit for bit in range(8)), 0xFF):
            blob[i] ^= mask
            assert lib.pv_policy_open(opened, at, len(blob)) != lib.PV_OK, (i, mask)
            assert opened.bytes == ffi.NULL
            blob[i] ^= mask
    assert lib.pv_policy_open(opened, at, len(blob)) == lib.PV_OK


def test_a_byte_of_any_other_value_is_refused_wherever_it_is() -> None:
    """By Policy.open, as a PolicyError, one random value for each byte."""
    choose = random.Random(6)  # noqa: S311
    for blob in (small(), model.policy(CLIENTS).compile()):
        for i in range(len(blob)):
            value = bytes([blob[i] ^ choose.randrange(1, 256)])
            with pytest.raises(PolicyError, match="not a compiled policy: it"):
                Policy.open(blob[:i] + value + blob[i + 1 :])


def test_every_truncation_is_refused() -> None:
    """From nothing to all but the last byte."""
    for blob in (small(), model.policy(CLIENTS).compile()):
        for length in range(len(blob)):
            with pytest.raises(PolicyError, match="not a compiled policy: it"):
                Policy.open(blob[:length])


def test_every_appended_byte_is_refused() -> None:
    """One or many, of any value, and another whole policy."""
    blob = small()
    tails = [bytes([value]) for value in range(256)]
    tails += [bytes(num) for num in range(2, 65)]
    tails += [b"\xff" * 8, b"\r\n", blob, blob[40:], bytes(1 << 20)]
    for tail in tails:
        with pytest.raises(PolicyError, match="truncated, or bytes were appended"):
            Policy.open(blob + tail)
    for head in (b"\0", b"\n", b"\xef\xbb\xbf", blob[:8]):
        with pytest.raises(PolicyError):
            Policy.open(head + blob)


def test_damage_anywhere_in_a_large_policy_is_refused() -> None:
    """Random places: bytes changed, cut off, put in, taken out, swapped."""
    blob, choose = large(), random.Random(7)  # noqa: S311
    for _ in range(300):
        i, j = sorted(choose.sample(range(len(blob)), 2))
        mask = choose.randrange(1, 256)
        damaged = [
            blob[:i] + bytes([blob[i] ^ mask]) + blob[i + 1 :],
            blob[:i],
            blob[:i] + blob[i + 1 :],
            blob[:i] + bytes([mask]) + blob[i:],
            blob[:i] + blob[j:] + blob[i:j],
        ]
        for other in damaged:
            if other != blob:
                assert status_of(other) is not None


def test_damage_behind_the_first_mebibyte_is_refused() -> None:
    """The digest is made of 256 blocks at a time, and each of them counts."""
    pins = hashlib.shake_128(b"pins").digest(32 * 70_000)  # 2.1 MiB
    blob = bytearray(Policy.from_columns(["a.example"], pins).compile())
    assert status_of(bytes(blob)) is None
    for at in range(200, len(blob), 4096 * 31):
        blob[at] ^= 1
        assert status_of(bytes(blob)) == "DIGEST"
        blob[at] ^= 1


@settings(max_examples=examples(200), deadline=None)
@given(st.binary(max_size=400), st.integers(0, 128))
def test_random_bytes_never_open(noise: bytes, header_len: int) -> None:
    """Alone, behind the beginning of a real policy, and in its middle."""
    head = small()[:header_len]
    for blob in (noise, b"pinvpol2" + noise, head + noise, head + noise + small()):
        if blob != small():
            assert status_of(blob) is not None
            assert fault(blob) is not None


# ---- damage with the right digest --------------------------------------------


def field_at(parts: Parts, at: int) -> str:
    """Return the name of the field that byte *at* of a compiled policy is in."""
    fields = [
        ("magic", 8), ("digest", 32), ("size", 8), ("flags", 4), ("num_rules", 4),
        ("num_buckets", 4), ("num_pinsets", 4), ("num_rows", 8), ("names_len", 8),
        ("blocked runs", 16), ("key", 16), ("reserved", 16), ("pins", len(parts.pins)),
    ]  # fmt: skip
    pinset = [("mode", 1), ("after_expiry", 1), ("pinset zero", 6), ("expires", 8)]
    fields += [*pinset, ("runs", 64)] * len(parts.pinsets)
    rule = [("name_at", 4), ("tag", 4), ("pinset index", 4), ("name_len", 1)]
    fields += [*rule, ("shape", 1), ("rule zero", 2)] * len(parts.rules)
    fields += [("buckets", 4 * len(parts.buckets)), ("names", len(parts.names))]
    for name, length in fields:
        if at < length:
            return name
        at -= length
    return "filler"


# Where a changed bit can give another policy that is well-formed. It is harmless: what
# the bytes say is decided, every read stays inside them, and the digest, by which the
# policy is known, is another one.
HARMLESS = {
    "flags": "what is unpinned is rejected or not, PinSet 0 is of clients or not",
    "blocked runs": "another run, inside the pins",
    "pins": "another pin",
    "mode": "enforced or reported",
    "after_expiry": "allow or reject",
    "expires": "another time",
    "runs": "another run, inside the pins",
    "pinset index": "another PinSet that there is, or unpinned",
}


@pytest.mark.parametrize("bits_of_a_byte", [1, pytest.param(8, marks=pytest.mark.slow)])
def test_a_flipped_bit_with_the_right_digest_opens_only_where_it_is_harmless(
    bits_of_a_byte: int,
) -> None:
    """The C core and the reader agree about each byte after the digest.

    In the fields of HARMLESS some bits give another policy; in every other field no
    bit does.
    """
    blob = small()
    parts = taken_apart(blob)
    names = {field_at(parts, i) for i in range(40, len(blob))}
    opened = set()
    for i in range(40, len(blob)):
        for bit in range(i, i + bits_of_a_byte):
            changed = bytes([blob[i] ^ 1 << bit % 8])
            damaged = redigested(blob[:i] + changed + blob[i + 1 :])
            if assert_opens_iff_well_formed(damaged):
                opened.add(field_at(parts, i))
    assert opened == set(HARMLESS)
    assert opened < names


@settings(max_examples=examples(300), deadline=None)
@given(st.data())
def test_any_damage_with_the_right_digest_opens_only_if_it_is_well_formed(
    data: st.DataObject,
) -> None:
    """Several changes at once, of numbers to other likely numbers, in both policies."""
    clients = model.policy(CLIENTS).compile()
    blob = bytearray(data.draw(st.sampled_from([small(), clients])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(10, len(blob) // 4 - 1)) * 4
        likely = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 16, 24, 32, NONE, 1 << 31])
        value = data.draw(likely | st.integers(0, NONE))
        blob[at : at + 4] = value.to_bytes(4, "little")
    if data.draw(st.booleans()):
        blob[40:48] = len(blob).to_bytes(8, "little")
    assert_opens_iff_well_formed(redigested(bytes(blob)))


def test_damage_in_a_large_policy_with_the_right_digest() -> None:
    """Random bits of 2,000 rules: the same agreement."""
    blob, choose = large(), random.Random(8)  # noqa: S311
    sections = HEADER.size + len(taken_apart(blob).pins)
    for _ in range(40):
        i = choose.randrange(sections, len(blob))
        changed = bytes([blob[i] ^ 1 << choose.randrange(8)])
        damaged = redigested(blob[:i] + changed + blob[i + 1 :])
        assert (status_of(damaged) is None) == (fault(damaged) is None)
