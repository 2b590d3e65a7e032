"""Growth of cost with the number of pins, hosts and certificates.

Each curve is the CPU time of one task for growing sizes. Its slope is the exponent of
the power law that fits the larger half of the curve best: 1 is linear, 0 is flat.
Ratios and slopes can be compared between machines, times cannot.
"""

from __future__ import annotations

import functools
import hashlib
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import pytest

import bench_policy
import certificates
import measure
from pinverify import Policy, core
from pinverify.core._policies import OpenPolicy

__all__ = ["HOT", "Curve", "curves"]

SIZES = (1, 10, 100, 1_000, 10_000, 100_000, 1_000_000)
FIT_FROM = 10_000
"""Below this size, the cost of the call itself is visible."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One growing cost."""

    name: str
    of: str
    """The things whose number grows."""
    sizes: list[int]
    seconds: list[float]
    """The least CPU time of the task, at each size."""
    expected: tuple[float, float]
    """Bounds of the slope; with a reference, of the difference to its slope."""
    reference: list[float] = field(default_factory=list)
    """A lower bound at each size, such as the time to read the same bytes."""

    @property
    def slope(self) -> float:
        """The exponent of the larger half."""
        return self._slope_of(self.seconds)

    @property
    def compared_slope(self) -> float:
        """The slope that `expected` is about."""
        if not self.reference:
            return self.slope
        return self.slope - self._slope_of(self.reference)

    def _slope_of(self, seconds: list[float]) -> float:
        pairs = [
            pair
            for pair in zip(self.sizes, seconds, strict=True)
            if pair[0] >= min(FIT_FROM, self.sizes[-1] // 100)
        ]
        return measure.slope([x for x, _ in pairs], [y for _, y in pairs])

    @property
    def grows_as_it_should(self) -> bool:
        """True if the slope is within the expected bounds."""
        return self.expected[0] <= self.compared_slope <= self.expected[1]


HOT = "look a host up, among 1,000"
LINEAR = (0.85, 1.15)
AS_REFERENCE = (-0.2, 0.2)
FLAT = (-0.1, 0.25)


AT_LEAST_S = 0.05
"""Seconds for which a task is repeated to find its least time."""


def least_seconds(task: Callable[[], object]) -> float:
    """Return the least CPU time of a task, repeated for a while."""
    least = float("inf")
    spent = 0.0
    while spent < AT_LEAST_S or spent == 0.0:
        start = time.thread_time()
        task()
        taken = time.thread_time() - start
        least = min(least, taken)
        spent += max(taken, 1e-7)
    return least


def _many_times(task: Callable[[], object], times: int) -> Callable[[], object]:
    def repeat() -> None:
        for _ in range(times):
            task()

    return repeat


NO_BYTE = b"\xff"  # no pin has it here, so that looking for it reads them all


def _pins(sizes: Sequence[int]) -> Curve:
    """One certificate, verified against more and more pins.

    Pins that leave a cache take longer, each of them. So does reading: the reference
    is memchr, which reads the same bytes as fast as they come.
    """
    [cert] = certificates.same_type("P-256", 1)
    seconds, reading = [], []
    for size in sizes:
        pins = hashlib.shake_128(b"pins").digest(32 * size).replace(NO_BYTE, b"\0")
        matcher = core.matcher(pins)
        times = max(1, 10_000 // size)
        task = _many_times(functools.partial(matcher, cert), times)
        seconds.append(least_seconds(task) / times)
        task = _many_times(functools.partial(pins.find, NO_BYTE), times)
        reading.append(least_seconds(task) / times)
    name = "verify one certificate"
    return Curve(name, "pins", list(sizes), seconds, AS_REFERENCE, reading)


def _certificates(sizes: Sequence[int]) -> Curve:
    """More and more certificates in one call."""
    certs = certificates.web()
    seconds = []
    for size in sizes:
        some = (certs * (size // len(certs) + 1))[:size]
        data = b"".join(some)
        offsets = array("Q", accumulate(map(len, some), initial=0))
        times = max(1, 1_000 // size)
        task = _many_times(
            functools.partial(core.spki_sha256_many, data, offsets), times
        )
        seconds.append(least_seconds(task) / times)
    name = "hash the keys, one call"
    return Curve(name, "certificates", list(sizes), seconds, LINEAR)


def _hosts(sizes: Sequence[int]) -> list[Curve]:
    """Policies of more and more hosts: to compile, to open, to look up in."""
    found: dict[str, list[float]] = {"compile": [], "open": [], "hot": [], "cold": []}
    for size in sizes:
        rules = dict(bench_policy.ManyHosts(size))
        start = time.thread_time()
        blob = Policy(rules).compile()
        found["compile"].append(time.thread_time() - start)
        found["open"].append(least_seconds(functools.partial(Policy.open, blob)))
        opened = OpenPolicy(blob)
        hosts = bench_policy.some_of(size, min(size, 100_000))
        for name, some in (("hot", hosts[:1_000]), ("cold", hosts)):
            batch = bench_policy.Batch(opened, some)
            # One look-up takes less time than the clock of a thread can tell.
            times = max(1, 1_000 // batch.num)
            least = least_seconds(_many_times(batch, times))
            found[name].append(least / (times * batch.num))
    return [
        Curve(name, "hosts", list(sizes), found[key], expected)
        for key, name, expected in (
            ("compile", "compile a policy", LINEAR),
            ("open", "open a policy", LINEAR),
            ("hot", HOT, FLAT),
            # A million hosts are in no cache: that is a miss or two, for each of them.
            ("cold", "look a host up, among all", (-0.1, 0.5)),
        )
    ]


def curves(sizes: Sequence[int] = SIZES) -> list[Curve]:
    """Return all curves."""
    return [_pins(sizes), _certificates(sizes), *_hosts(sizes)]


def test_the_curves_are_drawn_from_small_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each has a time for each size, and a slope."""
    monkeypatch.setattr(sys.modules[__name__], "AT_LEAST_S", 0.0)
    found = curves((1, 4, 16))
    assert len(found) == 6
    for curve in found:
        assert min(curve.seconds) > 0
        assert isinstance(curve.slope, float)
