"""`Policy.evaluate` in C: the answers of its slow path, whatever it is given."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import gc
import pickle
import random
import sys
import weakref
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pinverify import UNPINNED, Pin, PinningError, PinSet, Policy, Reason, Report, Rules
from pinverify._core import Answer, ffi
from pinverify.policy._policy import _evaluate_slowly, handle_of
from pki import Pki
from policy_samples import ABSENT, HOST, NOON, NOW

__all__: list[str] = []

CASES = 10_000
THREADS = 32
LONG = 17  # certificates; the slow path takes these


class Text(str):
    """A host that is not plain, though it is equal to one."""

    __slots__ = ()


def slowly(policy: Policy) -> Callable[[Any, Any, int], Report]:
    """Return the slow path alone."""
    return functools.partial(_evaluate_slowly, handle_of(policy))


def at_once(policy: Policy) -> Callable[[Any, Any, int], Report]:
    """Return the function in C, which may not fall back to the slow path."""

    def unexpected(host: object, chain: object, seconds: object) -> Report:
        pytest.fail(f"not at once: {host!r}, {chain!r}, {seconds!r}")

    return handle_of(policy).evaluator(Report, unexpected)


def some_policies(pki: Pki) -> list[Policy]:
    """Return policies with each mode, list, expiry and default."""
    known, ca = pki.server.pin, pki.ca.certificate_pin
    past = NOON - dt.timedelta(days=1)
    rules: dict[str, Any] = {
        "a.example": [known, ABSENT],
        "*.example": PinSet(ca=[ca], blocked=[pki.impostor.pin]),
        "**.b.example": PinSet([ABSENT], mode="report"),
        "c.example": PinSet([known], expires=past, after_expiry="reject"),
        "d.example": PinSet([known], expires=past, after_expiry="allow"),
        "e.example": UNPINNED,
        "xn--bcher-kva.example": PinSet(leaf=[known]),
        "::1": [known],
    }
    clients = PinSet(leaf=[pki.client.pin])
    return [
        Policy(rules),
        Policy(rules, unpinned="reject", blocked=[pki.impostor.certificate_pin]),
        Policy(Rules(rules, clients=clients)),
        Policy.for_clients(clients),
        Policy({}),
    ]


def some_hosts() -> list[Any]:
    """Return hosts of all kinds, some of them bad."""
    names = ["a", "z", "x.b", "b", "c", "d", "e", "xn--bcher-kva", "bücher", "faß"]
    hosts: list[Any] = [f"{name}.example" for name in names]
    hosts += [host.upper() + "." for host in hosts[:4]]
    hosts += [host.encode() for host in hosts[:6]]
    hosts += ["0::1", "::g", "", b"", ".", "a..b", "a\0b", b"\xff", "\ud800", None]
    hosts += ["a" * 300, Text("a.example"), Text("bücher.example"), "a\u3002example"]
    return hosts


def some_chains(pki: Pki) -> list[Any]:
    """Return chains of all kinds, with certificates of all kinds."""
    full = pki.server.chain_der
    others = [[pki.client.der], [pki.impostor.der, pki.ca.der], pki.client.chain_der]
    malformed = [[b""], [b"?"], [full[0], full[1][:-1]], [full[0] + b"\0"]]
    lists: list[list[bytes]] = [full, full[:1], [], *others, *malformed]
    lists += [full[:1] * LONG, full[:1] * (LONG - 1)]
    odd = [[bytearray(full[0])], [memoryview(full[0]), full[1]]]
    return [*lists, *map(tuple, lists), *odd]


def test_ten_thousand_answers_are_those_of_the_slow_path(pki: Pki) -> None:
    """A report is the same in every respect, whoever made it."""
    draw = random.Random(16)  # noqa: S311  (an order, no key)
    policies, hosts, chains = some_policies(pki), some_hosts(), some_chains(pki)
    met: Counter[tuple[Reason, bool]] = Counter()
    for _ in range(CASES):
        policy, host, chain = map(draw.choice, (policies, hosts, chains))
        report = policy.evaluate(host, chain, now=NOON)
        same = slowly(policy)(host, chain, NOW)
        assert report == same
        assert (repr(report), hash(report)) == (repr(same), hash(same))
        assert type(report) is Report
        copy = pickle.loads(pickle.dumps(report))  # noqa: S301  (ours)
        assert (copy, repr(copy)) == (same, repr(same))
        with contextlib.suppress(PinningError):
            assert policy.verify(host, chain, now=NOON) == same
            assert same.accepted
        met[report.reason, report.accepted] += 1
    # Each reason that a policy can give was met.
    assert {reason for reason, _ in met} == {*Reason} - {Reason.NOT_CHECKED}
    assert min(met.values()) > 5


@pytest.mark.parametrize("host", [HOST, HOST.upper(), b"x", "a..b", "a\0b", None])
def test_plain_arguments_are_decided_at_once(pki: Pki, host: str | bytes) -> None:
    """The slow path is for what is seldom: a report is ten times cheaper without."""
    for policy in some_policies(pki):
        decide = at_once(policy)
        for chain in (pki.server.chain_der, (pki.server.der,), [], [b"?"] * (LONG - 1)):
            assert decide(host, chain, NOW) == slowly(policy)(host, chain, NOW)


def test_a_chain_that_is_too_long_is_decided_slowly(pki: Pki) -> None:
    """C has room for a chain of some length, and no chain is cut."""
    policy = Policy({HOST: [ABSENT]})  # the function in C does not keep it
    decide = handle_of(policy).evaluator(
        Report, lambda *_: Report(b"\1", b"", None, bytes(32))
    )
    for number in range(LONG + 3):
        slow = decide(HOST, [pki.server.der] * number, NOW).accepted
        assert slow == (number >= LONG)


def test_each_wrong_argument_gets_the_error_of_the_slow_path(pki: Pki) -> None:
    """Its type and its words."""
    policy, der = Policy({HOST: [ABSENT]}), pki.server.der
    wrong: list[tuple[Any, Any]] = [
        (3, [der]),
        (Text, [der]),
        (bytearray(b"a"), [der]),
        (HOST, der),
        (HOST, "text"),
        (HOST, None),
        (HOST, [der, "text"]),
        (HOST, (der, None)),
        (HOST, [[der]]),
    ]
    for host, chain in wrong:
        with pytest.raises(TypeError) as expected:
            slowly(policy)(host, chain, NOW)
        for call in (policy.evaluate, policy.verify):
            with pytest.raises(TypeError) as caught:
                call(host, chain)
            assert str(caught.value) == str(expected.value)


def test_a_moment_that_c_cannot_count_is_an_error(pki: Pki) -> None:
    """It is not cut to the lowest bits, which would be another moment."""
    decide: Any = Policy({HOST: [ABSENT]})._evaluate  # noqa: SLF001  (no public way)
    for moment in (1 << 63, -(1 << 63) - 1, 1 << 64):
        with pytest.raises(OverflowError):
            decide(HOST, [pki.server.der], moment)
    for wrong in (None, "0", 0.5):
        with pytest.raises(TypeError):
            decide(HOST, [pki.server.der], wrong)
    with pytest.raises(TypeError, match="host, chain and seconds"):
        decide(HOST, [pki.server.der])


def test_an_evaluator_needs_a_whole_pv_policy() -> None:
    """C would read past its end otherwise."""
    size = ffi.sizeof("pv_policy")
    make: Any = Report._evaluator  # noqa: SLF001  (no public way)
    for wrong in (size - 1, size + 1, 0):
        with pytest.raises(ValueError, match="not a pv_policy"):
            make(bytes(wrong), bytes(32), len)
    with pytest.raises(TypeError):
        make("text", bytes(32), len)
    # One that is not open decides nothing.
    assert make(bytes(size), bytes(32), lambda *_: 7)(HOST, [], NOW) == 7


def test_a_report_without_an_answer_accepts_nobody() -> None:
    """The base class can be made by itself, but says nothing then."""
    assert Answer()._raw is None  # noqa: SLF001  (what an empty one has)
    empty = Report.__new__(Report)
    for name in ("accepted", "reason", "rule", "chain"):
        with pytest.raises(TypeError):
            getattr(empty, name)


def test_a_report_keeps_what_it_refers_to_and_then_lets_go(pki: Pki) -> None:
    """A forgotten reference would grow with each handshake; one too few would crash."""
    host, leaf = f"a.{len(pki.server.der)}.example", bytes(bytearray(pki.server.der))
    chain = [leaf]
    policy = Policy({"**.example": [pki.server.pin], "z.test": [ABSENT]})
    digest = policy.digest

    def counts() -> list[int]:
        return [*map(sys.getrefcount, (host, leaf, chain, digest))]

    before = counts()
    for _ in range(100):
        reports = [policy.evaluate(host, shown) for shown in (chain, (leaf,), [])]
        assert reports[0].accepted
        held = [now - then for now, then in zip(counts(), before, strict=True)]
        assert held == [3, 0, 0, 3]
        with contextlib.suppress(PinningError):
            policy.verify("z.test", chain)
        with contextlib.suppress(TypeError):
            policy.evaluate(host, [leaf, ""])  # type: ignore[list-item]
        del reports
    gc.collect()  # errors and their tracebacks
    assert counts() == before


def test_a_policy_goes_without_the_collector(pki: Pki) -> None:
    """One that was swapped for another gives its memory back at once."""
    policy = Policy({HOST: [pki.server.pin]})
    report = policy.evaluate(HOST, [pki.server.der])
    gone = weakref.ref(policy)
    del policy
    assert gone() is None
    assert report.accepted


def test_threads_share_a_policy_that_is_swapped_and_a_chain_that_changes(
    pki: Pki,
) -> None:
    """Each report is the one that its policy gives for some state of the chain."""
    policies = [Policy({HOST: [pin]}) for pin in (pki.server.pin, ABSENT)]
    shared = {"policy": policies[0], "chain": list(pki.server.chain_der)}
    states = [list(pki.server.chain_der), [], [pki.server.der] * LONG]
    expected = {
        (policy.digest, tuple(state)): slowly(policy)(HOST, state, NOW)
        for policy in policies
        for state in states
    }
    right = list(expected.values())

    def decide(first: int) -> set[tuple[Reason, bool]]:
        met = set()
        for number in range(first, first + 600):
            shared["policy"] = policies[number % 2]
            shared["chain"][:] = states[number % 3]  # type: ignore[index]
            policy: Any = shared["policy"]
            report = policy.evaluate(HOST, shared["chain"])
            assert report in right
            assert report.digest == policy.digest
            met.add((report.reason, report.accepted))
        return met

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            met = set().union(*pool.map(decide, range(THREADS)))
    finally:
        sys.setswitchinterval(interval)
    assert met == {
        (Reason.MATCH, True),
        (Reason.MISMATCH, False),
        (Reason.NO_CERTIFICATE, False),
    }


def test_a_pin_of_each_kind_is_decoded(pki: Pki) -> None:
    """The last bytes of an answer are the digest that matched."""
    policy = Policy({HOST: [pki.server.certificate_pin]})
    report = policy.evaluate(HOST, [pki.server.der])
    assert report.matched == Pin.parse(pki.server.certificate_pin)
