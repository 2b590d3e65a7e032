"""The C functions of policies that Python does not call."""

from __future__ import annotations

import struct

import pytest

from pinverify import UNPINNED, Pin, PinSet, Policy
from pinverify._core import ffi, lib
from pinverify.core._handle import OpenPolicy
from pki import Pki
from policy_in_c import opened_in_c
from policy_samples import ABSENT, NOW, OTHER

__all__: list[str] = []


def test_pv_verify_without_a_pointer_fails_and_rejects(pki: Pki) -> None:
    """The report is zero, whatever stood in it: a rejection."""
    opened, _keep = opened_in_c(Policy({}))
    chain = ffi.from_buffer(pki.server.der)
    spans = ffi.new("pv_span[]", [(chain, len(chain))])
    closed = ffi.new("pv_policy *")  # never opened
    for policy, host, certs in (
        (closed, b"a", spans),
        (opened, ffi.NULL, spans),
        (opened, b"a", ffi.NULL),
    ):
        report = ffi.new("pv_report *", {"accepted": 1, "reason": 1})
        status = lib.pv_verify(report, ffi.NULL, policy, host, 1, certs, 1, NOW)
        assert status == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(report)))
    report = ffi.new("pv_report *")
    assert lib.pv_verify(report, ffi.NULL, opened, b"a", 1, spans, 1, NOW) == lib.PV_OK
    assert report.accepted == 1
    assert report.reason == lib.PV_NOT_PINNED


def test_the_light_calls_of_c_reject_what_they_cannot_ask(pki: Pki) -> None:
    """No policy, no host, lengths that do not add up: never a pass."""
    opened, _keep = opened_in_c(Policy({}))
    closed = ffi.new("pv_policy *")
    der = pki.server.der
    good = struct.pack("<I", len(der))
    asked = lib.pv_decide(opened, b"a", 1, der, len(der), good, 1, NOW)
    assert asked == lib.PV_ACCEPTED + lib.PV_NOT_PINNED
    assert lib.pv_leaf_suffices(opened, b"a", 1, der, len(der), NOW) == 1
    for policy, host in ((closed, b"a"), (opened, ffi.NULL)):
        assert lib.pv_decide(policy, host, 1, der, len(der), good, 1, NOW) == 0
        assert lib.pv_leaf_suffices(policy, host, 1, der, len(der), NOW) == 0
    assert lib.pv_rule_blocks(closed, 0) == 1
    assert lib.pv_rule_blocks(opened, lib.PV_NO_RULE) == 0
    for wrong in ([0], [len(der) - 1], [len(der) + 1], [2**32 - 1], [len(der), 1], []):
        lens, num = struct.pack(f"<{len(wrong)}I", *wrong), len(wrong)
        assert lib.pv_decide(opened, b"a", 1, der, len(der), lens, num, NOW) == 0


@pytest.mark.parametrize(
    "offsets",
    [
        {"hosts": [0, 2, 1]},
        {"hosts": [0, 1, 3]},
        {"certs": [0, 5, 4]},
        {"certs": [0, 4, 1 << 63]},
        {"chains": [0, 2, 1]},
        {"chains": [0, 1, 3]},
    ],
    ids=str,
)
def test_pv_verify_many_refuses_offsets_that_do_not_ascend_or_pass_their_end(
    offsets: dict[str, list[int]],
) -> None:
    """Every report is zero then, and so are the keys: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    given = {"hosts": [0, 1, 2], "certs": [0, 4, 8], "chains": [0, 1, 2]} | offsets
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    spkis = ffi.new("uint8_t[64]", b"\xff" * 64)
    at = {name: ffi.new("uint64_t[]", positions) for name, positions in given.items()}
    hosts = ffi.from_buffer(b"ab")
    certs = ffi.from_buffer(b"\x30\x02\x02\x00\x30\x02\x02\x00")
    status = lib.pv_verify_many(
        reports,
        spkis,
        opened,
        ffi.new("pv_column *", [hosts, 2, [at["hosts"], 8, 2]]),
        ffi.new("pv_column *", [certs, 8, [at["certs"], 8, 2]]),
        ffi.new("pv_offsets *", [at["chains"], 8, 2]),
        NOW,
    )
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))
    assert not any(bytes(ffi.buffer(spkis)))


@pytest.mark.parametrize("num_chains", [0, 1, 3])
def test_pv_verify_many_refuses_another_number_of_chains_than_hosts(
    num_chains: int,
) -> None:
    """A chain would belong to no host. Every report is zero: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    at = ffi.new("uint64_t[]", [0, 1, 2, 2])
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    text = ffi.from_buffer(b"ab")
    column = ffi.new("pv_column *", [text, 2, [at, 8, 2]])
    chains = ffi.new("pv_offsets *", [at, 8, num_chains])
    status = lib.pv_verify_many(reports, ffi.NULL, opened, column, column, chains, NOW)
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))


def test_a_policy_is_read_back_by_number_and_no_further() -> None:
    """Rules, PinSets and pins past the end give PV_ERR_ARGUMENT, and zeros."""
    blocked = Pin.certificate(b"\x09" * 32)
    policy = Policy(
        {"a.example": PinSet([ABSENT, OTHER]), "b.example": UNPINNED},
        blocked=[blocked],
    )
    opened, _keep = opened_in_c(policy)
    rule = ffi.new("pv_rule *", {"shape": 1})
    pinset = ffi.new("pv_pinset *", {"mode": 1})
    pin = ffi.new("uint8_t[32]", b"\xff" * 32)
    assert lib.pv_policy_rule(rule, opened, 2) == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(rule)))
    for number in (1, lib.PV_UNPINNED):
        assert lib.pv_policy_pinset(pinset, opened, number) == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(pinset)))
    for wrong in (
        (0, 0, 0, 2),  # the third of two pins
        (0, 0, 1, 0),  # certificate pins, of which there are none
        (0, 4, 0, 0),  # a fifth list
        (0, 0, 2, 0),  # a third kind
        (1, 0, 0, 0),  # a second PinSet
        (lib.PV_UNPINNED, 0, 1, 0),  # the policy itself blocks, and has no pins
        (lib.PV_UNPINNED, 3, 0, 0),
        (lib.PV_UNPINNED, 3, 1, 1),
    ):
        assert lib.pv_policy_pin(pin, opened, *wrong) == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(pin)))
    for place, digest in (
        ((0, 0, 0, 0), Pin.parse(ABSENT).digest),
        ((0, 0, 0, 1), Pin.parse(OTHER).digest),
        ((lib.PV_UNPINNED, 3, 1, 0), blocked.digest),
    ):
        assert lib.pv_policy_pin(pin, opened, *place) == lib.PV_OK
        assert bytes(ffi.buffer(pin)) == digest
    with pytest.raises(IndexError):
        OpenPolicy(policy.compile()).rule(2)
