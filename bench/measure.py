"""Comparison of two competitors that take turns; the figure is their ratio.

Other work on the machine disturbs neighbours alike, so the ratio of two times measured
one after the other is more reliable than either. The figure is the median of the ratios
of many rounds; the quartiles say how far to trust it.
"""

from __future__ import annotations

import math
import statistics
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Figure", "Spread", "Task", "compare", "slope"]

ROUNDS = 31
SLICE_S = 0.004
"""Least duration of one side of a round."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and quartiles of many rounds."""

    median: float
    low: float
    """The lower quartile."""
    high: float
    """The upper quartile."""
    rounds: int

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """Return the spread of some values."""
        if len(values) == 1:
            return cls(values[0], values[0], values[0], 1)
        low, median, high = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, low, high, len(values))

    def scaled(self, factor: float) -> Spread:
        """Return the spread of each value times a factor."""
        low, high = self.low * factor, self.high * factor
        return Spread(self.median * factor, low, high, self.rounds)

    def added_percent(self) -> Spread:
        """Return by how much each value is more than one, in percent."""
        low, high = 100 * (self.low - 1), 100 * (self.high - 1)
        return Spread(100 * (self.median - 1), low, high, self.rounds)

    def inverse(self) -> Spread:
        """Return the spread of the reciprocal of each value."""
        return Spread(1 / self.median, 1 / self.high, 1 / self.low, self.rounds)


@dataclass(frozen=True, slots=True)
class Figure:
    """One comparison; the C benches print the same fields."""

    bench: str
    case: str
    ours: str
    theirs: str
    unit: str
    ours_ns: float
    """The least of all rounds, for one unit."""
    theirs_ns: float
    ratio: Spread
    """Their time divided by ours."""

    @classmethod
    def read(cls, line: dict[str, Any]) -> Figure:
        """Read what a C bench printed."""
        return cls(**{**line, "ratio": Spread(**line["ratio"])})


@dataclass(frozen=True, slots=True)
class Task:
    """The work of one competitor: a statement, so that no call is added to it."""

    who: str
    statement: str
    names: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def call(cls, who: str, function: Callable[..., object], *args: object) -> Task:
        """Return the task of calling a function."""
        names: dict[str, Any] = {"function": function}
        names |= {f"a{i}": value for i, value in enumerate(args)}
        return cls(who, f"function({', '.join(list(names)[1:])})", names)

    @classmethod
    def each(
        cls, who: str, function: Callable[[bytes], object], items: tuple[bytes, ...]
    ) -> Task:
        """Return the task of calling a function with each item."""
        names = {"function": function, "items": items}
        return cls(who, "for item in items: function(item)", names)


def compare(  # noqa: PLR0913 - a comparison is what has these
    bench: str,
    case: str,
    ours: Task,
    theirs: Task,
    *,
    unit: str,
    units: int = 1,
    rounds: int = ROUNDS,
    wall_clock: bool = False,
) -> Figure:
    """Let two tasks take turns.

    Args:
        bench: what is compared; with *case* the name of the figure.
        case: on which input.
        ours: the task of pinverify.
        theirs: the other one.
        unit: what a task handles `units` of.
        units: how many one run of either handles.
        rounds: how often they take turns; once is quick and shows only that it runs.
        wall_clock: count time on the wall, for tasks with threads; else only the
            CPU time of this thread.
    """
    clock = time.perf_counter if wall_clock else time.thread_time
    timers = [
        timeit.Timer(task.statement, timer=clock, globals=task.names)
        for task in (ours, theirs)
    ]
    repeats = [_repeats(timer, quick=rounds == 1) for timer in timers]
    times: list[list[float]] = [[], []]
    for number in range(rounds):
        # Neither is always the first, nor always behind the same neighbour.
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            taken = timers[side].timeit(repeats[side])
            times[side].append(1e9 * taken / repeats[side] / units)
    ratios = [b / a for a, b in zip(*times, strict=True)]
    ours_ns, theirs_ns = map(min, times)
    return Figure(
        bench=bench,
        case=case,
        ours=ours.who,
        theirs=theirs.who,
        unit=f"ns/{unit}",
        ours_ns=ours_ns,
        theirs_ns=theirs_ns,
        ratio=Spread.of(ratios),
    )


def _repeats(timer: timeit.Timer, *, quick: bool) -> int:
    """Return how many runs fill a slice; this also warms caches up."""
    number = 1
    if quick:
        return number
    while timer.timeit(number) < SLICE_S:
        number *= 2
    return number


def slope(xs: list[float], ys: list[float]) -> float:
    """Return the exponent b of the best y = a x^b: 1 is linear, 0 does not grow."""
    return statistics.linear_regression(
        [math.log(x) for x in xs],
        [math.log(y) for y in ys],
    ).slope
