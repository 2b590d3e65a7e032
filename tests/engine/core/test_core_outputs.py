"""Reads and writes of the C functions: nothing outside the input, every output.

The header promises that outputs are written on every path, so that a caller who
forgets to check a status finds nothing in them. An answer must never depend on the
bytes that happen to follow an input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from compiled_model import digest_of
from oracle_der import SEQUENCE, encode
from pinverify import Pin, Policy, core
from pinverify._core import ffi, lib
from pki import Pki

__all__: list[str] = []

BEHIND: dict[str, Callable[[bytes], bytes]] = {
    "zeros": lambda rest: bytes(len(rest)),
    "ones": lambda rest: b"\xff" * len(rest),
    "the rest": lambda rest: rest,
}


@pytest.mark.parametrize("behind", BEHIND)
def test_no_byte_behind_a_certificate_counts(pki: Pki, behind: str) -> None:
    """Cut anywhere, it is refused for the same reason, whatever follows."""
    der = pki.server.der
    out = ffi.new("pv_span *")
    for end in range(len(der)):
        alone = lib.pv_spki_from_cert(out, ffi.from_buffer(der[:end]), end)
        data = ffi.from_buffer(der[:end] + BEHIND[behind](der[end:]))
        assert lib.pv_spki_from_cert(out, data, end) == alone != lib.PV_OK, end


@pytest.mark.parametrize("behind", BEHIND)
def test_no_byte_behind_what_a_certificate_holds_counts(pki: Pki, behind: str) -> None:
    """The same where the certificate is whole and ends in the middle of an element."""
    content = pki.server.der[4:]
    out = ffi.new("pv_span *")
    for end in range(len(content)):
        short = encode(SEQUENCE, content[:end])
        alone = lib.pv_spki_from_cert(out, ffi.from_buffer(short), len(short))
        data = ffi.from_buffer(short + BEHIND[behind](content[end:] + content))
        assert lib.pv_spki_from_cert(out, data, len(short)) == alone != lib.PV_OK, end


@pytest.mark.parametrize("behind", BEHIND)
def test_no_byte_behind_an_inner_element_counts(pki: Pki, behind: str) -> None:
    """A tbsCertificate that claims more than the certificate has is refused.

    The reason is the same whatever lies there: it was not read.
    """
    der = pki.server.der
    inner = 4  # where tbsCertificate begins; its length has two octets there
    assert der[inner : inner + 2] == b"\x30\x82"
    room = len(der) - inner - 4
    out = ffi.new("pv_span *")
    for length in (room + 1, room + 2, 0x7FFF, 0xFFFF):
        claim = der[: inner + 2] + length.to_bytes(2, "big") + der[inner + 4 :]
        data = ffi.from_buffer(claim + BEHIND[behind](der * 256))
        status = lib.pv_spki_from_cert(out, data, len(der))
        assert status == lib.PV_ERR_DER_TBS, length


def test_a_failure_of_the_walk_leaves_the_slice_empty(pki: Pki) -> None:
    """Whatever stood in it before."""
    der = pki.server.der
    for wrong in (b"", der[:-1], der + b"\0"):
        out = ffi.new("pv_span *", {"data": ffi.from_buffer(der), "len": 7})
        status = lib.pv_spki_from_cert(out, ffi.from_buffer(wrong), len(wrong))
        assert status != lib.PV_OK
        assert (out.data, out.len) == (ffi.NULL, 0)


def test_a_failure_behind_the_key_leaves_the_slice_empty(pki: Pki) -> None:
    """The signature stands last, and all else has been read by then."""
    der = pki.server.der
    at = len(der) - len(pki.server.certificate.signature) - 1
    assert der[at] == 0  # the count of unused bits
    wrong = der[:at] + b"\x08" + der[at + 1 :]
    out = ffi.new("pv_span *", {"data": ffi.from_buffer(der), "len": 7})
    status = lib.pv_spki_from_cert(out, ffi.from_buffer(wrong), len(wrong))
    assert status == lib.PV_ERR_DER_SIGNATURE_VALUE
    assert (out.data, out.len) == (ffi.NULL, 0)


def test_a_key_that_cannot_be_read_has_a_digest_of_zeros(pki: Pki) -> None:
    """Of one certificate, and of one among others."""
    wrong = pki.server.der[:-1]
    out = ffi.new("uint8_t[32]", b"\xff" * 32)
    wrong_status = lib.pv_spki_sha256(out, ffi.from_buffer(wrong), len(wrong))
    assert wrong_status != lib.PV_OK
    assert not any(bytes(ffi.buffer(out)))
    out = ffi.new("uint8_t[64]", b"\xff" * 64)
    statuses, num_malformed = ffi.new("uint8_t[2]"), ffi.new("size_t *")
    data = ffi.from_buffer(wrong + pki.server.der)
    ends = ffi.new("uint64_t[]", [0, len(wrong), len(data)])
    column = ffi.new("pv_column *", [data, len(data), [ends, 8, 2]])
    lib.pv_spki_sha256_many(out, statuses, num_malformed, column)
    assert (statuses[0], statuses[1], num_malformed[0]) == (wrong_status, lib.PV_OK, 1)
    assert not any(bytes(ffi.buffer(out)[:32]))
    assert bytes(ffi.buffer(out)[32:]) == core.spki_sha256(pki.server.der)


def test_a_refused_policy_leaves_no_view() -> None:
    """Nobody can go on with the half of it that was fine."""
    good = Policy({"a.example": [Pin.spki(bytes(32))]}).compile()
    for at in range(0, len(good), 8):
        wrong = bytearray(good)
        wrong[at] ^= 1
        view = ffi.new("pv_policy *", {"num_rules": 9})
        data = ffi.from_buffer(wrong)
        assert lib.pv_policy_open(view, data, len(wrong)) != lib.PV_OK
        assert not any(bytes(ffi.buffer(view)))


def test_a_policy_that_is_refused_for_its_contents_leaves_no_view() -> None:
    """Its digest is right, so all of it is read; the last rule is what is wrong."""
    wrong = bytearray(Policy({"a.example": [Pin.spki(bytes(32))]}).compile())
    at = wrong.index(b"a.example")
    wrong[at] ^= 1  # another name than the one that the index has
    wrong[8:40] = digest_of(bytes(wrong))
    view = ffi.new("pv_policy *", {"num_rules": 9})
    data = ffi.from_buffer(wrong)
    assert lib.pv_policy_open(view, data, len(wrong)) == lib.PV_ERR_POLICY_RULE
    assert not any(bytes(ffi.buffer(view)))


@pytest.mark.parametrize("width", [0, 1, 2, 3, 5, 6, 7, 9, 12, 16, 1 << 63])
def test_offsets_that_are_neither_4_nor_8_bytes_wide_are_refused(
    pki: Pki, width: int
) -> None:
    """No other width is read as one of the two, and all outputs are zero.

    The offsets are zeros, which ascend and fit whatever width they are read with.
    """
    zeros = ffi.new("uint8_t[64]")
    data = ffi.from_buffer(pki.server.der)
    policy = ffi.new("pv_policy *")
    compiled = ffi.from_buffer(Policy({}).compile())
    assert lib.pv_policy_open(policy, compiled, len(compiled)) == lib.PV_OK
    digests, statuses, pinned = (ffi.new(f"uint8_t[{n}]") for n in (64, 2, 1))
    columns = {
        "reports": ffi.new("pv_report[2]"),
        "spkis": digests,
        "accepted": pinned,
        "reasons": statuses,
        "rules": ffi.new("uint32_t[2]"),
        "depths": ffi.new("uint32_t[2]"),
        "details": ffi.new("uint16_t[2]"),
        "matched": ffi.new("uint8_t[64]"),
    }
    answers, num_malformed = ffi.new("pv_answers *", columns), ffi.new("size_t *")
    of_keys = (digests, statuses, num_malformed)

    def column(width: int) -> object:
        return ffi.new("pv_column *", [data, len(data), [zeros, width, 2]])

    def offsets(width: int) -> object:
        return ffi.new("pv_offsets *", [zeros, width, 2])

    def calls(width: int) -> Iterator[tuple[tuple[Any, ...], int]]:
        """Yield the outputs of each call, filled before it, and its status."""
        odd, good = column(width), column(8)
        fill(digests)
        yield (digests,), lib.pv_sha256_many(digests, odd)
        fill(*of_keys)
        yield of_keys, lib.pv_spki_sha256_many(*of_keys, odd)
        fill(pinned, *of_keys)
        pins = bytes(32), 1
        yield (pinned, *of_keys), lib.pv_certs_are_pinned(pinned, *of_keys, *pins, odd)
        for parts in (
            (odd, good, offsets(8)),
            (good, odd, offsets(8)),
            (good, good, offsets(width)),
        ):
            outputs = tuple(columns.values())
            fill(*outputs)
            yield outputs, lib.pv_evaluate_many(answers, policy, *parts, 0)

    assert {status for _, status in calls(8)} == {lib.PV_OK}
    for outputs, status in calls(width):
        assert status == lib.PV_ERR_ARGUMENT
        for output in outputs:
            assert not any(bytes(ffi.buffer(output)))


def fill(*outputs: Any) -> None:  # noqa: ANN401 - of any type
    """Fill each output with ones."""
    for output in outputs:
        ffi.buffer(output)[:] = b"\xff" * len(ffi.buffer(output))
