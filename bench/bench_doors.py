"""The call in the README, compared with the three lines that people write today.

    python bench/bench_doors.py             the table

`Policy.evaluate` takes a host and a chain and returns a report; `Policy.verify` raises
an error. The three lines load a certificate with the package cryptography, hash its key
with hashlib, and compare it with two pins by `hmac.compare_digest`. They know neither
hosts nor chains, so they always get only the leaf.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import certificates
import measure
from pinverify import Pin, PinningError, PinSet, Policy, Reason, core

__all__ = ["EVALUATE", "VERIFY", "figures"]

HOST = "api.example.com"
NUMS = (2, 10_000)
NUM = 64  # calls that are timed together
THREE_LINES = "three lines with cryptography"
EVALUATE = "Policy.evaluate"
VERIFY = "Policy.verify, rejected"


def chain_of(length: int) -> list[bytes]:
    """Return P-256 certificates; that they do not sign each other matters to nobody."""
    return list(certificates.same_type("P-256")[:length])


def others(num: int) -> list[Pin]:
    """Return pins of nobody."""
    return [Pin.spki(core.sha256(b"%d" % i)) for i in range(num)]


@functools.cache
def cases() -> dict[str, tuple[Policy, str, list[bytes], Reason]]:
    """Return a policy, a host, a chain and the answer, for each kind of answer."""
    leaf, authority = (Pin.spki(core.spki_sha256(cert)) for cert in chain_of(2))
    by_leaf = Policy({HOST: [leaf, *others(1)]})
    by_authority = Policy({HOST: PinSet(ca=[authority, *others(1)])})
    nobody = Policy({HOST: others(2)})
    return {
        "leaf": (by_leaf, HOST, chain_of(1), Reason.MATCH),
        "chain of two": (by_authority, HOST, chain_of(2), Reason.MATCH),
        "miss": (nobody, HOST, chain_of(1), Reason.MISMATCH),
        "host without rule": (
            by_leaf,
            "www.example.com",
            chain_of(1),
            Reason.NOT_PINNED,
        ),
    }


def three_lines(der: bytes, pins: list[bytes]) -> bool:
    """Tell whether the key of a certificate is pinned, as people write it."""
    key = x509.load_der_x509_certificate(der).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    digest = hashlib.sha256(spki).digest()
    return any([hmac.compare_digest(digest, pin) for pin in pins])  # noqa: C419 - each


def _many(who: str, names: dict[str, Any], call: str) -> measure.Task:
    return measure.Task(who, f"for _ in range({NUM}): {call}", names)


def _evaluate(policy: Policy, host: str, chain: list[bytes]) -> measure.Task:
    names = {"policy": policy, "host": host, "chain": chain}
    return _many(EVALUATE, names, "policy.evaluate(host, chain)")


def _three_lines() -> measure.Task:
    [leaf] = chain_of(1)
    names = {"f": three_lines, "leaf": leaf}
    names["pins"] = [core.spki_sha256(leaf), bytes(32)]
    return _many(THREE_LINES, names, "f(leaf, pins)")


def _verify(policy: Policy) -> measure.Task:
    """Return the task of a rejection that is caught, its text not asked for."""
    names = {"policy": policy, "host": HOST, "chain": chain_of(1)}
    names["PinningError"] = PinningError
    call = """
    try:
        policy.verify(host, chain)
    except PinningError:
        pass
"""
    return _many(VERIFY, names, call)


def figures(rounds: int = measure.ROUNDS) -> list[measure.Figure]:
    """Compare each answer of `evaluate` with the three lines, and `verify` with it."""
    found = [
        measure.compare(
            EVALUATE,
            case,
            _evaluate(policy, host, chain),
            _three_lines(),
            unit="call",
            units=NUM,
            rounds=rounds,
        )
        for case, (policy, host, chain, _) in cases().items()
    ]
    for num in NUMS:
        policy = Policy({HOST: others(num)})
        found.append(
            measure.compare(
                VERIFY,
                f"{num:,} pins",
                _verify(policy),
                _evaluate(policy, HOST, chain_of(1)),
                unit="call",
                units=NUM,
                rounds=rounds,
            )
        )
    return found


@pytest.mark.parametrize("case", cases())
def test_evaluate(benchmark: Any, case: str) -> None:  # noqa: ANN401
    """A report for one peer, as users ask for it."""
    policy, host, chain, reason = cases()[case]
    benchmark.group = "one peer"
    assert benchmark(policy.evaluate, host, chain).reason is reason


def test_three_lines(benchmark: Any) -> None:  # noqa: ANN401
    """They find the key of the leaf, and no other."""
    leaf, other = chain_of(2)
    pins = [core.spki_sha256(leaf), bytes(32)]
    assert not three_lines(other, pins)
    benchmark.group = "one peer"
    assert benchmark(three_lines, leaf, pins)


def test_the_figures_are_ratios() -> None:
    """One round of each comparison, for `make bench`."""
    found = figures(rounds=1)
    assert len(found) == len(cases()) + len(NUMS)
    assert all(figure.ratio.median > 0 for figure in found)


def main() -> None:
    """Print the table."""
    print("| call | case | time | beside it | takes | theirs by ours |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for one in figures():
        ours = f"{one.bench} | {one.case} | {one.ours_ns / 1000:.2f} µs"
        theirs = f"{one.theirs} | {one.theirs_ns / 1000:.2f} µs"
        print(f"| {ours} | {theirs} | {one.ratio.median:.2f} |")  # noqa: T201


if __name__ == "__main__":
    main()
