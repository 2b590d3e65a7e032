"""Arguments of the wrong kind: each gets an error that says what to write."""

from __future__ import annotations

import ctypes
import datetime as dt
import hashlib
from typing import Any

import pytest

from pinverify import (
    DERError,
    Pin,
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    core,
)
from pinverify.core._keys import pack
from pinverify.core._peers import Chains, Hosts
from pinverify.core._policies import OpenPolicy
from pki import Pki
from policy_samples import ABSENT

__all__: list[str] = []


def test_a_policy_is_made_of_rules_and_of_nothing_else() -> None:
    """Each error names the next step."""
    make: Any = Policy
    for wrong, advice in (
        (PinSet([ABSENT]), r"Policy\.for_clients\(PinSet"),
        ([ABSENT], r"write \{'api\.example\.com': \["),
        ("pins.toml", r"load_policy\(path\)"),
        (b"pinvpol2", r"Policy\.open"),
        (None, r"got NoneType; write \{"),
        (Policy({}), r"got Policy; write \{"),
    ):
        with pytest.raises(TypeError, match=advice):
            make(wrong)
    for options in ({"unpinned": "reject"}, {"blocked": [ABSENT]}):
        with pytest.raises(TypeError, match="give these to Rules"):
            make(Rules(), **options)
    clients: Any = Policy.for_clients
    with pytest.raises(TypeError, match=r"got list; write PinSet"):
        clients([ABSENT])
    rules: Any = Rules
    with pytest.raises(TypeError, match=r"clients: .* write PinSet"):
        rules(clients=[ABSENT])


def test_a_wrong_type_is_a_type_error_that_says_what_to_write(pki: Pki) -> None:
    """No error of the C binding reaches a user."""
    policy = Policy({"a.example": [pki.server.pin]})
    der: Any = pki.server.der
    anything: Any = 3
    with pytest.raises(TypeError, match=r"write \[certificate\]"):
        policy.evaluate("a.example", der)
    with pytest.raises(TypeError, match=r"write \[certificate\]"):
        policy.evaluate_many(["a.example"], [der])
    with pytest.raises(TypeError, match="expected bytes, got str"):
        policy.evaluate("a.example", ["text"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="a host is text, got int"):
        policy.evaluate(anything, [der])
    with pytest.raises(TypeError, match="datetime with a timezone"):
        policy.evaluate("a.example", [der], now=anything)


def test_a_time_without_a_timezone_is_refused(pki: Pki) -> None:
    """It would be a time of this machine, hours away from the one that is meant."""
    policy = Policy({"a.example": [pki.server.pin]})
    naive = dt.datetime(2026, 1, 1)  # noqa: DTZ001
    for call in (policy.verify, policy.evaluate):
        with pytest.raises(PolicyError, match="datetime with a timezone"):
            call("a.example", [pki.server.der], now=naive)


def test_a_policy_for_clients_needs_their_pins(pki: Pki) -> None:
    """Without any, it would be a policy that accepts every client."""
    anything: Any
    for anything in (None, [pki.client.pin], {}):
        with pytest.raises(TypeError, match=r"write PinSet\(\[…\]\)"):
            Policy.for_clients(anything)


def test_pem_in_place_of_der_is_named(pki: Pki) -> None:
    """The advice is about the encoding, not about the certificate."""
    pem = pki.server.pem.encode()
    with pytest.raises(PinningError, match="give the chain as DER"):
        Policy({"a.example": [pki.server.pin]}).verify("a.example", [pem])
    for call in (core.spki, core.spki_sha256, core.matcher(bytes(32))):
        with pytest.raises(DERError, match="this is PEM"):
            call(pem)


def test_as_many_chains_as_hosts_are_needed(pki: Pki) -> None:
    """C would read past the end of the offsets otherwise."""
    opened = OpenPolicy(Policy({"a.example": [pki.server.pin]}).compile())
    for num_hosts, num_chains in ((2, 1), (1, 2), (1, 0), (0, 1)):
        chains: list[list[bytes]] = [[] for _ in range(num_chains)]
        with pytest.raises(ValueError, match="one per peer"):
            opened.evaluate_many(
                Hosts([b"a"] * num_hosts, None, bytes), Chains(chains), 0
            )


def test_many_items_may_come_from_any_iterable_and_any_buffer(pki: Pki) -> None:
    """A generator is not empty, and a view of words is as long as its bytes."""
    der = pki.server.der
    expected = core.spki_sha256(der) * 2
    given: Any = (cert for cert in (der, der))
    assert core.spki_sha256_many(given) == (expected, [])
    words: Any = memoryview(bytes(range(64))).cast("I")
    assert core.sha256(words) == hashlib.sha256(bytes(range(64))).digest()
    assert core.sha256_many([words]) == core.sha256(words)
    with pytest.raises(TypeError, match="give offsets"):
        core.spki_sha256_many(der)
    assert core.matcher(core.spki_sha256(der))(memoryview(der))  # type: ignore[arg-type]


def test_an_expiry_that_no_calendar_has_is_told_all_the_same(pki: Pki) -> None:
    """The year 10000 in UTC is a valid moment in another zone."""
    early = dt.datetime(1, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=1)))
    late = dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-1)))
    expired = PinSet([pki.server.pin], expires=early, after_expiry="reject")
    with pytest.raises(PinningError, match=r"expired .* seconds after 1970"):
        Policy.for_clients(expired).verify(None, [pki.server.der])
    holds = PinSet([pki.server.pin], expires=late, after_expiry="reject")
    with pytest.raises(PinningError, match="no pin of this peer"):
        Policy.for_clients(holds).verify(None, [pki.ca.der])


def test_a_view_with_strange_items_is_measured_in_bytes() -> None:
    """Items of no bytes have a length, and C would read that many pins."""
    strange: Any = memoryview(((ctypes.c_ubyte * 0) * 64)())
    assert not core.pins_contain(strange, bytes(32))
    assert pack(strange) == b""


def test_a_policy_is_true_even_without_rules() -> None:
    """`if policy:` means "is there one", and must not lose the pins."""
    for policy in (
        Policy({}, unpinned="reject"),
        Policy.for_clients(PinSet(leaf=[Pin.spki(bytes(32))])),
    ):
        given: object = policy
        assert given
