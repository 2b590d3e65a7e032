"""Decisions about hosts that an adversary chose, beside those about other hosts.

    PYTHONPATH=tests python bench/bench_hosts.py             the table

An adversary who knows the code has as many names in a policy as anybody, of any shape:
wildcards in each other, as deep as a name can be, and names whose buckets turned out
the fullest. Its hosts are asked for by `Policy.evaluate`, as a gateway does with names
from outside, in turns with hosts that were taken at random from the same policy.
"""

from __future__ import annotations

import functools
import itertools
import random
from typing import Any, NamedTuple

import pytest

import certificates
import measure
from compiled_model import taken_apart
from pinverify import Pin, Policy, Reason

__all__ = ["HOSTS", "figures"]

HOSTS = "Policy.evaluate, a chosen host"

NUM_RULES, QUICK_RULES = 100_000, 1000
NUM = 64  # hosts that are timed together
DEEPEST = 125  # labels under "b", so that "*." still fits into 253 bytes
HOST_MAX = 253


class Chosen(NamedTuple):
    """A policy, the hosts that were chosen, and hosts that were not."""

    policy: Policy
    cases: dict[str, list[str]]
    """`NUM` hosts for each way to choose them."""
    others: list[str]


def _deep(num: int) -> str:
    return "a." * num + "b"


@functools.cache
def chosen(num_rules: int = NUM_RULES) -> Chosen:
    """Return the policy of an adversary who has *num_rules* names."""
    pins = [Pin.spki(bytes(32)), Pin.spki(bytes([1]) * 32)]
    deep = [
        star + _deep(depth) for depth in range(DEEPEST + 1) for star in ("*.", "**.")
    ]
    names = [f"h{i}.example" for i in range(num_rules - len(deep))]
    patterns = [pattern for pattern in deep if len(pattern) <= HOST_MAX]
    policy = Policy(dict.fromkeys(patterns + names, pins))
    others = random.Random(1).sample(names, NUM)  # noqa: S311
    return Chosen(
        policy,
        {
            "wildcards at each depth": [_deep(DEEPEST)] * NUM,
            "the same, in capitals": [_deep(DEEPEST).upper()] * NUM,
            "as deep, without a rule": ["c." * DEEPEST + "c"] * NUM,
            "the fullest buckets": _in_full_buckets(policy),
        },
        others,
    )


def _in_full_buckets(policy: Policy) -> list[str]:
    """Return the last names of the fullest buckets: look-ups pass the others first."""
    parts = taken_apart(policy.compile())
    sizes = [(end - start, end) for start, end in itertools.pairwise(parts.buckets)]
    found = []
    for _, end in sorted(sizes, reverse=True)[:NUM]:
        rule = parts.rules[end - 1]
        name = parts.names[rule.name_at : rule.name_at + rule.name_len].decode()
        found.append(name if name.endswith(".example") else f"x.{name}")
    return found


def _asking(who: str, policy: Policy, hosts: list[str]) -> measure.Task:
    names: dict[str, Any] = {"evaluate": policy.evaluate, "hosts": hosts}
    names["chain"] = list(certificates.same_type("P-256")[:1])
    return measure.Task(who, "for host in hosts: evaluate(host, chain)", names)


def figures(
    rounds: int = measure.ROUNDS, num_rules: int = NUM_RULES
) -> list[measure.Figure]:
    """Compare each way to choose hosts with hosts at random."""
    policy, cases, others = chosen(num_rules)
    return [
        measure.compare(
            HOSTS,
            case,
            _asking(case, policy, hosts),
            _asking("hosts at random", policy, others),
            unit="host",
            units=NUM,
            rounds=rounds,
        )
        for case, hosts in cases.items()
    ]


@pytest.mark.parametrize("case", chosen(QUICK_RULES).cases)
def test_a_chosen_host(benchmark: Any, case: str) -> None:  # noqa: ANN401
    """It has the rule that is its own, or none."""
    policy, cases, _ = chosen(QUICK_RULES)
    has_rule = case != "as deep, without a rule"
    benchmark.group = "one host"
    for host in cases[case]:
        found = policy.evaluate(host, []).reason
        assert found is (Reason.NO_CERTIFICATE if has_rule else Reason.NOT_PINNED)
    benchmark(policy.evaluate, cases[case][0], [])


def test_the_figures_are_ratios() -> None:
    """One round of each comparison."""
    assert all(one.ratio.median > 0 for one in figures(1, QUICK_RULES))


def main() -> None:
    """Print the table."""
    print("| chosen | time | a host at random | ours by theirs |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    for one in figures():
        ratio = one.ratio.inverse()
        print(  # noqa: T201
            f"| {one.case} | {one.ours_ns:.0f} ns | {one.theirs_ns:.0f} ns "
            f"| {ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |"
        )


if __name__ == "__main__":
    main()
