"""Policies of many hosts: time to compile, open and look up, and bytes per host.

    python bench/bench_policy.py            a table for 1,000,000 hosts, 3 pins each
    python bench/bench_policy.py 100000     ... for another number of hosts
    make bench                              growing numbers, by pytest-benchmark

The table has CPU times, because wall-clock times would include other work.
The look-up is timed without Python: pv_evaluate_many decides about a batch of peers
without certificates, so each costs the search for its rule and little else. A host that
is spelt as in its rule is looked up as it is; one in capitals is made canonical first.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import mmap
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pinverify import Pin, Policy, Reason, core
from pinverify._core import ffi, lib
from pinverify.core._policies import OpenPolicy
from pinverify.policy._policy import handle_of

__all__: list[str] = []

HOSTS = 1_000_000
PINS_PER_HOST = 3
GROWING = (1, 1_000, 100_000)
UNTIMED = 100  # hosts at most, where a bench only shows that it still runs
NOW = 1_767_268_800


class ManyHosts(Mapping[str, list[Pin]]):
    """Rules for many hosts, each with pins of its own, made when asked for."""

    def __init__(self, num_hosts: int) -> None:
        """Take the number of hosts."""
        self._num_hosts = num_hosts

    def __getitem__(self, host: str) -> list[Pin]:
        digests = hashlib.shake_128(host.encode()).digest(32 * PINS_PER_HOST)
        return [Pin.spki(digests[i : i + 32]) for i in range(0, len(digests), 32)]

    def __iter__(self) -> Iterator[str]:
        return (f"host{i}.shop{i % 977}.example" for i in range(self._num_hosts))

    def __len__(self) -> int:
        return self._num_hosts


@functools.lru_cache(maxsize=1)
def compiled(num_hosts: int) -> bytes:
    """Return a policy of that many hosts."""
    return Policy(ManyHosts(num_hosts)).compile()


def some_of(num_hosts: int, num: int) -> list[str]:
    """Return hosts of the policy, in an order without pattern."""
    every = max(1, num_hosts // num)
    found = list(itertools.islice(ManyHosts(num_hosts), 0, None, every))
    random.Random(1).shuffle(found)  # noqa: S311  (an order, no key)
    return found[:num]


class Batch:
    """Peers that show no certificate, ready for one call of pv_evaluate_many."""

    def __init__(self, opened: OpenPolicy, hosts: Sequence[str]) -> None:
        """Lay out the hosts; check that each is found."""
        data = bytes(opened.data)
        self._bytes = ffi.from_buffer(data)
        self._policy = ffi.new("pv_policy *")
        if lib.pv_policy_open(self._policy, self._bytes, len(data)) != lib.PV_OK:
            raise AssertionError
        data = "".join(hosts).encode()
        ends = itertools.accumulate(map(len, hosts), initial=0)
        self._kept = (
            ffi.from_buffer(data),
            ffi.new("uint64_t[]", list(ends)),
            ffi.new("uint64_t[]", len(hosts) + 1),
        )
        at, host_ends, none = self._kept
        num = len(hosts)
        self._hosts = ffi.new("pv_column *", (at, len(data), (host_ends, 8, num)))
        self._certs = ffi.new("pv_column *", (ffi.NULL, 0, (none, 8, 0)))
        self._chains = ffi.new("pv_offsets *", (none, 8, num))
        self.num = num
        self.reports = ffi.new("pv_report[]", self.num)
        self._answers = ffi.new("pv_answers *", {"reports": self.reports})
        self()
        found = {report.reason for report in self.reports}
        assert found == {Reason.NO_CERTIFICATE}

    def __call__(self) -> None:
        """Decide about all of them."""
        status = lib.pv_evaluate_many(
            self._answers,
            self._policy,
            self._hosts,
            self._certs,
            self._chains,
            NOW,
        )
        assert status == lib.PV_OK


# ---- pytest-benchmark --------------------------------------------------------

grows = pytest.mark.parametrize("num_hosts", GROWING)


def _size(num_hosts: int, benchmark: Any) -> int:  # noqa: ANN401 - it has no types
    return num_hosts if benchmark.enabled else min(num_hosts, UNTIMED)


@grows
def test_compile(benchmark: Any, num_hosts: int) -> None:  # noqa: ANN401
    """From rules in Python to a policy that is checked and open."""
    num_hosts = _size(num_hosts, benchmark)
    policy = benchmark.pedantic(Policy, (dict(ManyHosts(num_hosts)),), rounds=3)
    assert handle_of(policy).num_rules == num_hosts


@grows
def test_open(benchmark: Any, num_hosts: int) -> None:  # noqa: ANN401
    """Hash all bytes and check all fields."""
    num_hosts = _size(num_hosts, benchmark)
    policy = benchmark(Policy.open, compiled(num_hosts))
    assert handle_of(policy).num_rules == num_hosts


@grows
def test_look_up_a_batch_of_1000(benchmark: Any, num_hosts: int) -> None:  # noqa: ANN401
    """In C, 1,000 hosts at most that are asked for again and again."""
    num_hosts = _size(num_hosts, benchmark)
    opened = OpenPolicy(compiled(num_hosts))
    benchmark(Batch(opened, some_of(num_hosts, 1_000)))


@grows
def test_look_up_one_from_python(benchmark: Any, num_hosts: int) -> None:  # noqa: ANN401
    """One host, one call: mostly the price of the call."""
    num_hosts = _size(num_hosts, benchmark)
    opened = OpenPolicy(compiled(num_hosts))
    [host] = some_of(num_hosts, 1)
    rule = benchmark(opened.find, host)
    assert opened.rule(rule)[0] == host


def test_the_table_can_be_printed() -> None:
    """The report of `main`, for few hosts."""
    text = table(UNTIMED)
    assert f"{UNTIMED:,} hosts" in text
    assert len(text.splitlines()) > 8


# ---- the report --------------------------------------------------------------


def seconds(task: Callable[[], object], rounds: int = 1) -> float:
    """Return the median of the CPU times that *task* takes."""
    taken = []
    for _ in range(rounds):
        start = time.process_time()
        task()
        taken.append(time.process_time() - start)
    return statistics.median(taken)


def look_up_ns(opened: OpenPolicy, hosts: Sequence[str], rounds: int) -> float:
    """Return the nanoseconds for one host of a batch, in C."""
    batch = Batch(opened, hosts)
    return seconds(batch, rounds) / batch.num * 1e9


def table(num_hosts: int) -> str:
    """Return the figures in Markdown."""
    policies: list[Policy] = []
    rules = ManyHosts(num_hosts)
    compile_s = seconds(lambda: policies.append(Policy(rules)))
    make_s = seconds(lambda: sum(1 for _ in rules.items()))
    blob = policies.pop().compile()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "policy.bin")
        path.write_bytes(blob)
        with (
            path.open("rb") as file,
            mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        ):
            open_s = seconds(lambda: Policy.open(mapped), rounds=5)
    opened = OpenPolicy(blob)
    all_hosts = some_of(num_hosts, num_hosts)
    few = all_hosts[:1_000]
    in_capitals = [host.upper() for host in few]
    rows = [
        (
            "compile (without the time to create the rules)",
            f"{compile_s - make_s:.1f} s",
        ),
        ("... per host", f"{(compile_s - make_s) / num_hosts * 1e6:.1f} µs"),
        ("bytes per host", f"{len(blob) / num_hosts:.0f}"),
        ("open, memory-mapped", f"{open_s * 1e3:.1f} ms"),
        ("look-up, the same 1,000 hosts", f"{look_up_ns(opened, few, 200):.0f} ns"),
        ("... in capitals", f"{look_up_ns(opened, in_capitals, 200):.0f} ns"),
        ("look-up, each host once", f"{look_up_ns(opened, all_hosts, 3):.0f} ns"),
    ]
    lines = [f"| {num_hosts:,} hosts, {PINS_PER_HOST} pins each | |", "|---|---|"]
    lines += [f"| {name} | {figure} |" for name, figure in rows]
    machine = (
        f"{cpu()}, SHA-256 by {core.kernel()}, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )
    return "\n".join([*lines, "", machine])


def cpu() -> str:
    """Return the name of the processor, as far as the system reports it."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine()
    fields = dict(
        [part.strip() for part in line.split(":", 1)]
        for line in info.read_text(encoding="utf-8").splitlines()
        if ":" in line
    )
    name = fields.get("model name", platform.machine())
    return f"{name} (family {fields.get('cpu family')}, model {fields.get('model')})"


if __name__ == "__main__":
    print(table(int(sys.argv[1]) if len(sys.argv) > 1 else HOSTS))  # noqa: T201
