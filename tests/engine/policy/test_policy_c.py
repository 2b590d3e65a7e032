"""The C functions of policies that Python does not call."""

from __future__ import annotations

import struct

import pytest

from pinverify import UNPINNED, Pin, PinSet, Policy, Rules, core
from pinverify._core import ffi, lib
from pinverify.core._keys import chain
from pinverify.core._policies import OpenPolicy
from pki import Pki
from policy_in_c import opened_in_c, rules_and_clients
from policy_samples import ABSENT, NOW, OTHER

__all__: list[str] = []


def test_pv_evaluate_without_a_pointer_fails_and_rejects(pki: Pki) -> None:
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
        status = lib.pv_evaluate(report, ffi.NULL, policy, host, 1, certs, 1, NOW)
        assert status == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(report)))
    report = ffi.new("pv_report *")
    assert (
        lib.pv_evaluate(report, ffi.NULL, opened, b"a", 1, spans, 1, NOW) == lib.PV_OK
    )
    assert report.accepted == 1
    assert report.reason == lib.PV_NOT_PINNED


def test_the_light_calls_of_c_reject_what_they_cannot_ask(pki: Pki) -> None:
    """No policy, no host, offsets that descend or do not end with the bytes."""
    opened, _keep = opened_in_c(Policy({}))
    closed = ffi.new("pv_policy *")
    der = pki.server.der
    good = struct.pack("=2I", 0, len(der))
    reason = ffi.new("uint32_t *")
    assert lib.pv_decide(reason, opened, b"a", 1, der, len(der), good, 1, NOW) == 1
    assert reason[0] == lib.PV_NOT_PINNED
    assert lib.pv_leaf_suffices(opened, b"a", 1, der, len(der), NOW) == 1
    for policy, host in ((closed, b"a"), (opened, ffi.NULL)):
        reason[0] = lib.PV_MATCH
        asked = lib.pv_decide(reason, policy, host, 1, der, len(der), good, 1, NOW)
        assert (asked, reason[0]) == (0, lib.PV_MISMATCH)
        assert lib.pv_leaf_suffices(policy, host, 1, der, len(der), NOW) == 0
        assert lib.pv_host_is_clear(policy, host, 1) == 0
    assert lib.pv_host_is_clear(opened, b"a", 1) == 1
    assert lib.pv_host_is_clear(opened, b"a..b", 4) == 0
    assert lib.pv_host_is_clear(opened, ffi.NULL, 0) == 1
    for certs, ends in ((ffi.NULL, good), (der, ffi.NULL)):
        asked = lib.pv_decide(reason, opened, b"a", 1, certs, len(der), ends, 1, NOW)
        assert (asked, reason[0]) == (0, lib.PV_MISMATCH)
    size = len(der)
    for wrong in (
        [0],
        [0, 0],
        [0, size - 1],
        [0, size + 1],
        [0, 2**32 - 1],
        [0, size, size + 1],
        [0, size, 1],
        [1, 0],
    ):
        ends, num = struct.pack(f"={len(wrong)}I", *wrong), len(wrong) - 1
        asked = lib.pv_decide(ffi.NULL, opened, b"a", 1, der, size, ends, num, NOW)
        assert asked == 0


def test_a_policy_that_was_never_opened_has_nothing() -> None:
    """No rule and no pins; and many peers are refused together."""
    closed = ffi.new("pv_policy *")
    assert lib.pv_policy_find(closed, b"a", 1) == lib.PV_NO_RULE
    pin = ffi.new("uint8_t[32]", b"\xff" * 32)
    assert lib.pv_policy_pin(pin, closed, 0, 0, 0, 0) == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(pin)))
    reports = ffi.new("pv_report[]", [{"accepted": 1}])
    ends = ffi.new("uint64_t[]", [0, 1])
    status = lib.pv_evaluate_many(
        ffi.new("pv_answers *", {"reports": reports}),
        closed,
        ffi.new("pv_column *", [ffi.from_buffer(b"a"), 1, [ends, 8, 1]]),
        ffi.new("pv_column *", [ffi.from_buffer(b"0"), 1, [ends, 8, 1]]),
        ffi.NULL,
        NOW,
    )
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))


def test_a_pointer_to_nothing_is_an_empty_text(pki: Pki) -> None:
    """A peer without a name is no client here; and one may show no certificate."""
    pins = PinSet([Pin.from_certificate(pki.server.der)])
    reason = ffi.new("uint32_t *")
    nothing = struct.pack("=I", 0)
    for rules, found in (({}, lib.PV_BAD_HOST), ({"a": pins}, lib.PV_NO_CERTIFICATE)):
        opened, _keep = opened_in_c(Policy(rules))
        host, host_len = (b"a", 1) if rules else (ffi.NULL, 0)
        lib.pv_decide(reason, opened, host, host_len, ffi.NULL, 0, nothing, 0, NOW)
        assert reason[0] == found
        leaf = pki.server.der
        assert lib.pv_leaf_suffices(opened, ffi.NULL, 0, leaf, len(leaf), NOW) == 0


def test_columns_of_empty_strings_need_no_bytes() -> None:
    """Their pointers may be NULL: a client without a name, and no certificate."""
    opened, _keep = opened_in_c(Policy(Rules({}, clients=PinSet([ABSENT]))))
    ends = ffi.new("uint64_t[]", [0, 0])
    nothing = ffi.new("pv_column *", [ffi.NULL, 0, [ends, 8, 1]])
    reports = ffi.new("pv_report[]", 1)
    answers = ffi.new("pv_answers *", {"reports": reports})
    status = lib.pv_evaluate_many(answers, opened, nothing, nothing, ffi.NULL, NOW)
    assert status == lib.PV_OK
    assert (reports[0].accepted, reports[0].reason) == (0, lib.PV_MALFORMED)


def test_every_rejection_of_the_light_call_is_false(pki: Pki) -> None:
    """`if (pv_decide(…))` goes on for an accepted peer and for nobody else."""
    right, wrong = (
        PinSet(leaf=[Pin.from_certificate(c.der)]) for c in (pki.server, pki.impostor)
    )
    blocked = PinSet(right.leaf, blocked=right.leaf)
    rules = {"right": right, "wrong": wrong, "blocked": blocked}
    opened, _keep = opened_in_c(Policy(rules, unpinned="reject"))
    reason = ffi.new("uint32_t *")

    def decide(host: bytes, certs: list[bytes]) -> tuple[int, int]:
        _, data, ends = chain(certs)
        accepted = lib.pv_decide(
            reason, opened, host, len(host), data, len(data), ends, len(certs), NOW
        )
        return accepted, reason[0]

    der = pki.server.der
    assert decide(b"right", [der]) == (1, lib.PV_MATCH)
    assert [
        decide(b"wrong", [der]),
        decide(b"blocked", [der]),
        decide(b"right", [b"no certificate"]),
        decide(b"right", []),
        decide(b"a..b", [der]),
        decide(b"unpinned", [der]),
    ] == [
        (0, lib.PV_MISMATCH),
        (0, lib.PV_BLOCKED),
        (0, lib.PV_MALFORMED),
        (0, lib.PV_NO_CERTIFICATE),
        (0, lib.PV_BAD_HOST),
        (0, lib.PV_NOT_PINNED),
    ]


def test_bytes_that_are_no_certificate_are_not_pinned(pki: Pki) -> None:
    """`if (pv_cert_is_pinned(NULL, …))` is false for them; the status says why."""
    pin, der = core.spki_sha256(pki.server.der), pki.server.der
    status = ffi.new("pv_status *", lib.PV_ERR_ARGUMENT)
    for out in (ffi.NULL, status):
        assert lib.pv_cert_is_pinned(out, pin, 1, der, len(der)) == 1
    assert status[0] == lib.PV_OK
    for bad in (b"", b"not a certificate at all", der[:-1], der + b"\0"):
        for out in (ffi.NULL, status):
            assert lib.pv_cert_is_pinned(out, pin, 1, bad, len(bad)) == 0
            assert lib.pv_cert_is_pinned(out, bytes(32), 1, bad, len(bad)) == 0
        assert status[0] != lib.PV_OK
    assert lib.pv_cert_is_pinned(status, bytes(32), 1, der, len(der)) == 0
    assert status[0] == lib.PV_OK


def test_pins_of_clients_stand_beside_rules(pki: Pki) -> None:
    """Rules decide about peers with a name, the pins of clients about those without."""
    client = PinSet(leaf=[Pin.from_certificate(pki.server.der)])
    host = PinSet(leaf=[Pin.from_certificate(pki.impostor.der)])
    opened, _keep = rules_and_clients(client, {"a.example": host})
    assert lib.pv_policy_has_clients(opened) == 1
    assert lib.pv_policy_num_rules(opened) == 1
    report = ffi.new("pv_report *")

    def answer(name: bytes, der: bytes) -> tuple[int, int, int, int]:
        data = ffi.from_buffer(der)
        spans = ffi.new("pv_span[]", [(data, len(data))])
        status = lib.pv_evaluate(
            report, ffi.NULL, opened, name, len(name), spans, 1, NOW
        )
        assert status == lib.PV_OK
        return report.accepted, report.reason, report.shape, report.rule

    none = lib.PV_NO_RULE
    server, other = pki.server.der, pki.impostor.der
    assert answer(b"", server) == (1, lib.PV_MATCH, lib.PV_CLIENTS, none)
    assert answer(b"", other) == (0, lib.PV_MISMATCH, lib.PV_CLIENTS, none)
    assert answer(b"a.example", other) == (1, lib.PV_MATCH, lib.PV_EXACT, 0)
    assert answer(b"a.example", server) == (0, lib.PV_MISMATCH, lib.PV_EXACT, 0)
    assert answer(b"b.example", server) == (1, lib.PV_NOT_PINNED, lib.PV_EXACT, none)
    assert answer(b"a..b", server) == (0, lib.PV_BAD_HOST, lib.PV_EXACT, none)


def test_a_key_that_clients_may_not_show_makes_a_client_unclear(pki: Pki) -> None:
    """It says nothing of peers with a name; a key blocked for all does."""
    pins = [Pin.from_certificate(pki.server.der)]
    rules = {"a.example": PinSet(leaf=pins)}
    other = [Pin.from_certificate(pki.impostor.der)]
    blocking, plain = PinSet(leaf=pins, blocked=other), PinSet(leaf=pins)
    for clients, host, expected in (
        (blocking, b"", 0),
        (blocking, b"a.example", 1),
        (blocking, b"b.example", 1),
        (plain, b"", 1),
    ):
        opened, _keep = rules_and_clients(clients, rules)
        assert lib.pv_host_is_clear(opened, host, len(host)) == expected
        der = pki.server.der
        suffices = lib.pv_leaf_suffices(opened, host, len(host), der, len(der), NOW)
        assert suffices == expected
    blocked = Policy(rules, blocked=pins)
    opened, _keep = opened_in_c(blocked)
    for host in (b"", b"a.example", b"b.example"):
        assert lib.pv_host_is_clear(opened, host, len(host)) == 0


def test_the_header_of_a_policy_can_be_read(pki: Pki) -> None:
    """No field of a pv_policy needs to be; what is not open is zero."""
    pins = [Pin.from_certificate(pki.server.der)]
    rules = {"a": PinSet(pins), "b": PinSet(leaf=pins), "*.c": PinSet(pins)}
    policy = Policy(rules, unpinned="reject", blocked=pins)
    opened, _keep = opened_in_c(policy)
    assert lib.pv_policy_num_rules(opened) == 3
    assert lib.pv_policy_num_pinsets(opened) == 2
    assert lib.pv_policy_has_clients(opened) == 0
    assert lib.pv_policy_rejects_unpinned(opened) == 1
    assert [lib.pv_policy_num_blocked(opened, kind) for kind in range(3)] == [1, 0, 0]
    digest = ffi.new("uint8_t[32]")
    lib.pv_policy_digest(digest, opened)
    assert bytes(digest) == policy.digest
    closed = ffi.new("pv_policy *")
    lib.pv_policy_digest(digest, closed)
    assert not any(bytes(digest))
    assert lib.pv_policy_num_blocked(closed, lib.PV_SPKI) == 0
    assert lib.pv_policy_num_rules(closed) == lib.pv_policy_has_clients(closed) == 0


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
def test_pv_evaluate_many_refuses_offsets_that_do_not_ascend_or_pass_their_end(
    offsets: dict[str, list[int]],
) -> None:
    """Every report is zero then, and so are the keys: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    given = {"hosts": [0, 1, 2], "certs": [0, 4, 8], "chains": [0, 1, 2]} | offsets
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    # With room behind: whoever does not refuse them writes there, and breaks nothing.
    spkis = ffi.new("uint8_t[96]", b"\xff" * 96)
    at = {name: ffi.new("uint64_t[]", [*ends, 8]) for name, ends in given.items()}
    hosts = ffi.from_buffer(b"ab")
    certs = ffi.from_buffer(b"\x30\x02\x02\x00\x30\x02\x02\x00")
    status = lib.pv_evaluate_many(
        ffi.new("pv_answers *", {"reports": reports, "spkis": spkis}),
        opened,
        ffi.new("pv_column *", [hosts, 2, [at["hosts"], 8, 2]]),
        ffi.new("pv_column *", [certs, 8, [at["certs"], 8, 2]]),
        ffi.new("pv_offsets *", [at["chains"], 8, 2]),
        NOW,
    )
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))
    assert not any(bytes(ffi.buffer(spkis, 64)))


def test_pv_evaluate_many_refuses_offsets_of_another_width() -> None:
    """They have 4 bytes or 8."""
    opened, _keep = opened_in_c(Policy({}))
    reports = ffi.new("pv_report[]", [{"accepted": 1}])
    ends = ffi.new("uint64_t[]", [0, 1])
    for widths in ((2, 8), (8, 2), (0, 8)):
        hosts, certs = (
            ffi.new("pv_column *", [ffi.from_buffer(b"0"), 1, [ends, width, 1]])
            for width in widths
        )
        answers = ffi.new("pv_answers *", {"reports": reports})
        status = lib.pv_evaluate_many(answers, opened, hosts, certs, ffi.NULL, NOW)
        assert status == lib.PV_ERR_ARGUMENT
        assert not any(bytes(ffi.buffer(reports)))


@pytest.mark.parametrize("num_chains", [0, 1, 3])
def test_pv_evaluate_many_refuses_another_number_of_chains_than_hosts(
    num_chains: int,
) -> None:
    """A chain would belong to no host. Every report is zero: nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    at = ffi.new("uint64_t[]", [0, 1, 2, 2])
    reports = ffi.new("pv_report[]", [{"accepted": 1}, {"accepted": 1}])
    text = ffi.from_buffer(b"ab")
    column = ffi.new("pv_column *", [text, 2, [at, 8, 2]])
    chains = ffi.new("pv_offsets *", [at, 8, num_chains])
    answers = ffi.new("pv_answers *", {"reports": reports})
    status = lib.pv_evaluate_many(answers, opened, column, column, chains, NOW)
    assert status == lib.PV_ERR_ARGUMENT
    assert not any(bytes(ffi.buffer(reports)))


@pytest.mark.parametrize("num_certs", [0, 1, 3])
def test_pv_evaluate_many_without_chains_needs_a_certificate_for_each_host(
    num_certs: int,
) -> None:
    """Each certificate is a chain then. With another number nobody is accepted."""
    opened, _keep = opened_in_c(Policy({}))
    at = ffi.new("uint64_t[]", [0, 1, 2, 2])
    text = ffi.from_buffer(b"ab")
    reports = ffi.new("pv_report[]", 2)
    answers = ffi.new("pv_answers *", {"reports": reports})
    hosts = ffi.new("pv_column *", [text, 2, [at, 8, 2]])
    for num, status in ((num_certs, lib.PV_ERR_ARGUMENT), (2, lib.PV_OK)):
        certs = ffi.new("pv_column *", [text, 2, [at, 8, num]])
        found = lib.pv_evaluate_many(answers, opened, hosts, certs, ffi.NULL, NOW)
        assert found == status
        accepted = {report.accepted for report in reports}
        assert accepted == {int(status == lib.PV_OK)}


def test_pv_evaluate_many_writes_all_digests_of_a_chain(pki: Pki) -> None:
    """Zeros, too, whatever was there: behind what can't be read, and unexamined."""
    opened, _keep = opened_in_c(Policy({"a": [ABSENT]}))
    der = pki.server.der
    data, size = ffi.from_buffer(der + b"?" + der), len(der)
    ends = ffi.new("uint64_t[]", [0, size, size, size + 1, 2 * size + 1])
    certs = ffi.new("pv_column *", [data, 2 * size + 1, [ends, 8, 4]])
    at = ffi.new("uint64_t[]", [0, 1, 2])
    hosts = ffi.new("pv_column *", [ffi.from_buffer(b"ab"), 2, [at, 8, 2]])
    starts = ffi.new("uint64_t[]", [0, 3, 4])
    spkis = ffi.new("uint8_t[128]", b"\xff" * 128)
    answers = ffi.new("pv_answers *", {"spkis": spkis})
    chains = ffi.new("pv_offsets *", [starts, 8, 2])
    assert lib.pv_evaluate_many(answers, opened, hosts, certs, chains, NOW) == lib.PV_OK
    assert bytes(spkis) == core.spki_sha256(der) + bytes(96)


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


def test_a_host_that_is_too_long_has_no_rule() -> None:
    """None is canonical with more than 253 bytes, whatever its suffix is."""
    suffix = ".".join(["a" * 62] * 4)
    opened, _keep = opened_in_c(Policy({f"*.{suffix}": UNPINNED}))
    longest, longer = f"x.{suffix}".encode(), f"xx.{suffix}".encode()
    assert (len(longest), len(longer)) == (253, 254)
    assert lib.pv_policy_find(opened, longest, 253) == 0
    assert lib.pv_policy_find(opened, longer, 254) == lib.PV_NO_RULE
    dots = b"." * 100_000
    assert lib.pv_policy_find(opened, dots, len(dots)) == lib.PV_NO_RULE
