"""Policies of many hosts, made and opened: gates 25 to 27.

    python bench/bench_compile.py           a million hosts; files of 100,000

For compiling and opening, the figure is the least CPU time of some rounds. Reading a
file is compared with the parser alone, on the same text in the same round.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import mmap
import tempfile
import tomllib
from array import array
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import machine
import measure
from bench_growth import least_seconds
from pinverify import Pin, Policy, Rules, dump_rules, load_policy
from pinverify.policy._policy import handle_of

__all__ = [
    "FILES",
    "FROM_COLUMNS",
    "FROM_OBJECTS",
    "OPENING",
    "figures",
    "times",
]

FILES = "rules from a file"
FROM_OBJECTS = "ns/host compiled from objects"
FROM_COLUMNS = "ns/host compiled from columns"
OPENING = "ns/policy of a million hosts opened"
HOSTS, HOSTS_IN_FILES, QUICK_HOSTS = 1_000_000, 100_000, 100
PINS_PER_HOST = 2
PARSERS: dict[str, Callable[[str], object]] = {
    "toml": tomllib.loads,
    "json": json.loads,
}


class Columns:
    """Hosts in the order of their names, and two pins for each."""

    def __init__(self, num: int) -> None:
        """Make *num* hosts."""
        self.num = num
        self.hosts = sorted(f"host{i}.shop{i % 977}.example" for i in range(num))
        self.pins = hashlib.shake_128(b"pins").digest(32 * PINS_PER_HOST * num)
        self.data = "".join(self.hosts).encode()
        ends = array("I", itertools.accumulate(map(len, self.hosts), initial=0))
        self.offsets = memoryview(ends.tobytes()).cast("I")

    def objects(self) -> dict[str, list[Pin]]:
        """Return the same rules as objects."""
        pins = [
            Pin.spki(self.pins[at : at + 32]) for at in range(0, len(self.pins), 32)
        ]
        pairs = zip(pins[::2], pins[1::2], strict=True)
        return dict(zip(self.hosts, map(list, pairs), strict=True))

    def policy(self) -> Policy:
        """Compile the columns."""
        return Policy.from_columns(self.data, self.pins, offsets=self.offsets)


def times(num: int = HOSTS) -> dict[str, float]:
    """Return nanoseconds, by name: to compile each host, and to open all."""
    columns = Columns(num)
    objects = columns.objects()
    from_objects = least_seconds(lambda: Policy(objects))
    from_columns = min(least_seconds(columns.policy) for _ in range(3))
    policy = columns.policy()
    assert policy == Policy(objects)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.bin")
        path.write_bytes(policy.compile())
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            opening = min(least_seconds(lambda: Policy.open(mapped)) for _ in range(5))
    return {
        FROM_OBJECTS: 1e9 * from_objects / num,
        FROM_COLUMNS: 1e9 * from_columns / num,
        OPENING: 1e9 * opening,
    }


def figures(rounds: int = 5, num: int = HOSTS_IN_FILES) -> list[measure.Figure]:
    """Compare `load_policy` with the parser that it uses."""
    found = []
    rules = Rules(Columns(num).objects())
    with tempfile.TemporaryDirectory() as folder:
        for name, parse in PARSERS.items():
            text = str(dump_rules(rules, format=name).text)
            path = Path(folder, f"policy.{name}")
            path.write_text(text, encoding="utf-8")
            found.append(
                measure.compare(
                    FILES,
                    name,
                    measure.Task.call(
                        "load_policy", partial(load_policy, format=name), path
                    ),
                    measure.Task.call(f"{name} alone", parse, text),
                    unit="host",
                    units=num,
                    rounds=rounds,
                )
            )
    return found


@pytest.mark.parametrize("way", ["objects", "columns"])
def test_compile_two_pins_each(benchmark: Any, way: str) -> None:  # noqa: ANN401
    """From Python's objects, and from columns."""
    columns = Columns(100_000 if benchmark.enabled else QUICK_HOSTS)
    objects = columns.objects()
    task = columns.policy if way == "columns" else lambda: Policy(objects)
    policy = benchmark.pedantic(task, rounds=3)
    assert handle_of(policy).num_rules == columns.num


def test_the_figures_of_compiling_are_times_and_ratios() -> None:
    """One round of each, for `make bench`."""
    assert min(times(QUICK_HOSTS).values()) > 0
    found = figures(rounds=1, num=QUICK_HOSTS)
    assert [figure.case for figure in found] == ["toml", "json"]
    assert all(figure.ratio.median > 0 for figure in found)


def main() -> None:
    """Print the table."""
    found = times()
    lines = [
        f"| {HOSTS:,} hosts, {PINS_PER_HOST} pins each | |",
        "|---|---|",
        f"| compile from objects, per host | {found[FROM_OBJECTS] / 1e3:.1f} µs |",
        f"| compile from columns, per host | {found[FROM_COLUMNS] / 1e3:.2f} µs |",
        f"| open from a map | {found[OPENING] / 1e6:.0f} ms |",
    ]
    for figure in figures():
        ratio = figure.ratio.inverse()
        lines.append(
            f"| {HOSTS_IN_FILES:,} hosts from {figure.case}, by the parser alone | "
            f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f}) |"
        )
    print("\n".join(lines))  # noqa: T201
    print("\n" + ", ".join(machine.facts("cc").values()))  # noqa: T201


if __name__ == "__main__":
    main()
