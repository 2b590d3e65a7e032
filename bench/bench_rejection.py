"""The cost of a rejection relative to an acceptance, with many pins in the rule.

    python bench/bench_rejection.py         a table for 2 and for 10,000 pins

A server with 10,000 pinned clients meets strangers all day, and none of them may keep
it busy. Both take turns, and the figure is their ratio: the time of a rejection,
without its text, divided by that of an acceptance.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import pytest

import measure
from pinverify import Pin, PinningError, PinSet, Policy, core
from pki import example_pki

__all__: list[str] = []

NUMS = (2, 10_000)
GOAL = 2.5  # a rejection may cost that many times an acceptance


@functools.cache
def policies(num: int) -> tuple[Policy, Policy]:
    """Return two policies for clients: one has the client's pin, the other has not."""
    others = [Pin.spki(core.sha256(b"%d" % i)) for i in range(num)]
    known = Pin.parse(example_pki().client.pin)
    accepting = PinSet(leaf=[*others[1:], known])
    return Policy.for_clients(accepting), Policy.for_clients(PinSet(leaf=others))


def calls(num: int) -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    """Return how a client is accepted, and how one is rejected, by each method."""
    accepting, rejecting = policies(num)
    chain = example_pki().client.chain_der

    def rejected() -> None:
        with contextlib.suppress(PinningError):
            rejecting.verify(None, chain)

    return {
        "verify": (lambda: accepting.verify(None, chain), rejected),
        "evaluate": (
            lambda: accepting.evaluate(None, chain),
            lambda: rejecting.evaluate(None, chain),
        ),
    }


def figures(rounds: int = measure.ROUNDS) -> list[measure.Figure]:
    """Compare each pair."""
    return [
        measure.compare(
            f"a rejection by {method}, by an acceptance",
            f"{num:,} pins",
            measure.Task.call("an acceptance", accept),
            measure.Task.call("a rejection", reject),
            unit="call",
            rounds=rounds,
        )
        for num in NUMS
        for method, (accept, reject) in calls(num).items()
    ]


@pytest.mark.parametrize("num", NUMS)
@pytest.mark.parametrize("method", ["verify", "evaluate"])
def test_one_rejection(benchmark: Any, method: str, num: int) -> None:  # noqa: ANN401
    """A client that nobody pinned is rejected, and the text is not asked for."""
    benchmark.group = f"a rejection, {num:,} pins"
    benchmark(calls(num)[method][1])
    assert policies(num)[0].evaluate(None, example_pki().client.chain_der).accepted
    assert not policies(num)[1].evaluate(None, example_pki().client.chain_der).accepted


def test_the_figures_are_ratios() -> None:
    """One round of each comparison."""
    found = figures(rounds=1)
    assert len(found) == 2 * len(NUMS)
    assert all(figure.ratio.median > 0 for figure in found)


def main() -> None:
    """Print the table."""
    print("| call | pins | acceptance | rejection | ratio | goal |")  # noqa: T201
    print("|---|---|---|---|---|---|")  # noqa: T201
    for figure in figures():
        times = f"{figure.ours_ns / 1000:.1f} µs | {figure.theirs_ns / 1000:.1f} µs"
        ratio = f"{figure.ratio.median:.2f} | ≤ {GOAL}"
        print(f"| {figure.bench} | {figure.case} | {times} | {ratio} |")  # noqa: T201


if __name__ == "__main__":
    main()
