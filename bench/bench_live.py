"""Delay of an event loop while policies are replaced, and counts: gates 34 and 35.

    python bench/bench_live.py

A thread reads a policy of 10,000 hosts now and then while a loop ticks each
millisecond. The figure is the 99th percentile of how late the loop is in ticks in which
the thread reads. It is compared with that of ticks in the same run in which the thread
sleeps, or only calls the parser, because other programs make a loop late as well.
"""

from __future__ import annotations

import asyncio
import time
import timeit
import tomllib
from collections.abc import Callable

import machine
from bench_compile import Columns
from pinverify import Policy, Rules, dump_rules
from pinverify.formats._load import policy_in
from pinverify.policy._policy import handle_of
from pinverify.tls._events import Cell, cell_of_name

__all__ = ["BESIDE_A_LOOP", "BESIDE_A_PARSER", "COUNTING", "times"]

BESIDE_A_LOOP = "ns late, compiled, beyond a loop alone"
BESIDE_A_PARSER = "ns late, text, beyond the parser alone"
COUNTING = "ns/connection counted"
HOSTS, QUICK_HOSTS = 10_000, 100
SECONDS, QUICK_SECONDS = 1.0, 0.05
TICK, PAUSE = 0.001, 0.02
TURNS = 10


def times(hosts: int = HOSTS, seconds: float = SECONDS) -> dict[str, float]:
    """Return nanoseconds, by name: the lateness of a loop, and a count."""
    rules = Rules(Columns(hosts).objects())
    compiled = Policy(rules).compile()
    text = dump_rules(rules).text
    assert isinstance(text, str)
    data = text.encode()
    tasks: dict[str, Callable[[], object]] = {
        "nothing": lambda: time.sleep(0.01),
        "compiled": lambda: policy_in(compiled, "pins", "compiled"),
        "parser": lambda: tomllib.loads(text),
        "text": lambda: policy_in(data, "pins", "toml"),
    }
    late: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(TURNS):
        for name, task in tasks.items():
            late[name] += asyncio.run(_late_ticks(task, seconds))
    worst = {
        name: sorted(found)[int(0.99 * len(found))] for name, found in late.items()
    }
    return {
        BESIDE_A_LOOP: 1e9 * max(0.0, worst["compiled"] - worst["nothing"]),
        BESIDE_A_PARSER: 1e9 * max(0.0, worst["text"] - worst["parser"]),
        COUNTING: _counting(),
    }


async def _late_ticks(task: Callable[[], object], seconds: float) -> list[float]:
    """Return how late a loop was in each tick in which a thread did a task."""
    ticks: list[tuple[float, float]] = []
    busy: list[tuple[float, float]] = []
    ended = False

    def repeat() -> None:
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            begun = time.perf_counter()
            task()
            busy.append((begun, time.perf_counter()))
            time.sleep(PAUSE)

    async def tick() -> None:
        while not ended:
            begun = time.perf_counter()
            await asyncio.sleep(TICK)
            ticks.append((begun, time.perf_counter()))

    ticking = asyncio.create_task(tick())
    await asyncio.to_thread(repeat)
    ended = True
    await ticking
    return [
        woke - begun - TICK
        for begun, woke in ticks
        if any(begun < end and start < woke for start, end in busy)
    ]


def _counting() -> float:
    """Return the time of what a handshake does to be counted."""
    handle = handle_of(Policy({"api.example.com": ["sha256/" + "A" * 43 + "="]}))
    cells: dict[object, Cell] = {}
    name, is_client = b"api.example.com", False

    def count() -> None:
        try:
            cell = cells[name or is_client]
        except KeyError:
            cell = cell_of_name(cells, handle, name, is_client=is_client)
        cell[0] += 1

    def empty() -> None:
        pass

    turns = 200_000
    with_it, without = (
        min(timeit.repeat(call, timer=time.process_time, number=turns, repeat=5))
        for call in (count, empty)
    )
    return 1e9 * (with_it - without) / turns


def test_the_figures_of_reloads_are_times() -> None:
    """One short round of each."""
    found = times(QUICK_HOSTS, QUICK_SECONDS)
    assert found.keys() == {BESIDE_A_LOOP, BESIDE_A_PARSER, COUNTING}
    assert 0 < found[COUNTING] < 1e6


def main() -> None:
    """Print the table."""
    lines = [f"| {HOSTS:,} hosts | |", "|---|---|"]
    lines += [f"| {name} | {value:,.0f} |" for name, value in times().items()]
    print("\n".join(lines))  # noqa: T201
    print("\n" + ", ".join(machine.facts("cc").values()))  # noqa: T201


if __name__ == "__main__":
    main()
