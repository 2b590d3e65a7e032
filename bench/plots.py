"""The plots of the benches, written here as SVG line by line.

They have only lines, dots and words. Axes have units, each curve is named beside it,
filled and hollow dots differ without colour, and the colours are those that
colour-blind people can distinguish (Okabe and Ito). The plots follow the reader's light
or dark scheme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING, Protocol

import bench_tail

if TYPE_CHECKING:
    from bench_growth import Curve
    from bench_tail import Latency
    from gates import Row
    from measure import Figure

__all__ = ["all_plots"]

STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans",
  sans-serif; fill: #1f2328; }
.title { font-size: 16px; font-weight: 600; }
.small { font-size: 12px; }
.soft { fill: #57606a; }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.back { fill: #ffffff; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; }
.dashed { stroke-dasharray: 5 4; stroke-width: 1.5; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.gate { stroke: #57606a; stroke-width: 1.5; }
.dot { stroke-width: 2; }
.hollow { fill: #ffffff; }
.blue { stroke: #0072b2; } .blue.full { fill: #0072b2; } .blue.word { fill: #0072b2; }
.red { stroke: #d55e00; } .red.full { fill: #d55e00; } .red.word { fill: #b34f00; }
.green { stroke: #00805f; } .green.full { fill: #00805f; }
.green.word { fill: #00805f; }
.plum { stroke: #a3527f; } .plum.full { fill: #a3527f; } .plum.word { fill: #a3527f; }
.grey { stroke: #6e7781; } .grey.full { fill: #6e7781; } .grey.word { fill: #57606a; }
.word { stroke: none !important; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .soft { fill: #9198a1; } .back, .hollow { fill: #0d1117; }
  .grid { stroke: #2d333b; } .gate { stroke: #9198a1; }
  .blue { stroke: #56b4e9; } .blue.full, .blue.word { fill: #56b4e9; }
  .red { stroke: #f0933c; } .red.full, .red.word { fill: #f0933c; }
  .green { stroke: #2fbf95; } .green.full, .green.word { fill: #2fbf95; }
  .plum { stroke: #d991bb; } .plum.full, .plum.word { fill: #d991bb; }
  .grey { stroke: #9198a1; } .grey.full, .grey.word { fill: #9198a1; }
}
"""

LEFT = 24  # the margin of everything


class Canvas:
    """A drawing, from top to bottom."""

    def __init__(self, title: str, subtitle: str, width: float = 820) -> None:
        """Begin with a title."""
        self.width = width
        self.height = 0.0
        self._title = title
        self._parts: list[str] = []
        self.text(LEFT, 34, title, "title")
        self.text(LEFT, 56, subtitle, "soft")

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """Write a line; *y* is its baseline."""
        self._grow(y + 16)
        place = f'x="{x:.1f}" y="{y:.1f}"'
        self._parts.append(f'<text {place} class="{kind}">{escape(text)}</text>')

    def line(self, points: Iterable[tuple[float, float]], kind: str) -> None:
        """Draw a line through some points."""
        places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        self._parts.append(f'<polyline points="{places}" class="line {kind}"/>')

    def dot(self, x: float, y: float, kind: str, *, radius: float = 5) -> None:
        """Draw a dot."""
        self._grow(y + 16)
        place = f'cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"'
        self._parts.append(f'<circle {place} class="dot {kind}"/>')

    def svg(self) -> str:
        """Return the whole."""
        size = f'viewBox="0 0 {self.width:g} {self.height + 8:g}"'
        size += f' width="{self.width:g}"'
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
                f"<title>{escape(self._title)}</title>",
                f"<style>{STYLE}</style>",
                '<rect width="100%" height="100%" class="back"/>',
                *self._parts,
                "</svg>\n",
            ]
        )

    def _grow(self, y: float) -> None:
        self.height = max(self.height, y)


class LogScale:
    """Positions on an axis where each decade is as long as the other."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        """Lay values from *low* to *high* between two positions."""
        self._low, self._high = math.log10(low), math.log10(high)
        self._begin, self.end = begin, end

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._low) / (self._high - self._low)
        return self._begin + share * (self.end - self._begin)

    def decades(self) -> list[float]:
        """Return the powers of ten on the axis; twice and five times them if few."""
        first, last = math.floor(self._low), math.ceil(self._high)
        steps = (1, 2, 5) if self._high - self._low < 2 else (1,)
        marks = [s * 10.0**power for power in range(first, last + 1) for s in steps]
        low, high = self._low - 1e-9, self._high + 1e-9
        return [mark for mark in marks if low <= math.log10(mark) <= high]


def _mark_below(value: float) -> float:
    """Return the next smaller of 1, 2 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step * power for step in (1, 2, 5) if step * power <= value)


def _mark_above(value: float) -> float:
    """Return the next larger of 1, 2, 5 and 10 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return min(step * power for step in (1, 2, 5, 10) if step * power >= value)


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size * 0.9999:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _count(number: float) -> str:
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:g} {unit}"
    return f"{number:g}"


def _vertical_axis(
    canvas: Canvas, scale: LogScale, top: float, bottom: float, label: str
) -> None:
    """Draw the decades of a horizontal scale as lines from top to bottom."""
    for value in scale.decades():
        x = scale(value)
        canvas.line([(x, top), (x, bottom)], "grid")
        canvas.text(x, bottom + 18, _time(value), "small soft mid")
    canvas.text(scale.end, bottom + 38, label, "small soft end")


# ---- one certificate ---------------------------------------------------------

ROW = 30


def one_certificate(figures: Sequence[Figure]) -> str:
    """Draw how long each competitor takes for one certificate, from Python."""
    types = {"P-256": "full", "RSA-2048": "hollow"}
    times: dict[str, dict[str, float]] = {}
    for one in figures:
        if one.bench == "one certificate" and one.case in types:
            times.setdefault(one.theirs, {})[one.case] = one.theirs_ns * 1e-9
            times.setdefault(one.ours, {})[one.case] = one.ours_ns * 1e-9
    names = sorted(times, key=lambda name: times[name]["P-256"])
    canvas = Canvas(
        "Is the key of this certificate pinned?",
        "From Python: ● P-256 key, its time, and that by the matcher's; ○ RSA-2048 key",
    )
    top, bottom = 78.0, 78.0 + ROW * len(names)
    scale = LogScale(1e-7, 1e-4, 250, 690)
    _vertical_axis(canvas, scale, top, bottom, "time, log scale; ← better")
    ours = times["pinverify matcher"]["P-256"]
    for number, name in enumerate(names):
        y = top + ROW * (number + 0.5)
        colour = "blue" if name.startswith("pinverify") else "grey"
        canvas.text(238, y + 4, name, "end")
        at = {case: scale(seconds) for case, seconds in times[name].items()}
        canvas.line([(x, y) for x in at.values()], colour)
        for case, x in sorted(at.items(), reverse=True):
            canvas.dot(x, y, f"{colour} {types[case]}")
        factor = times[name]["P-256"] / ours
        label = _time(times[name]["P-256"])
        if name != "pinverify matcher":
            label += f", {factor:.3g} ×"
        canvas.text(706, y + 4, label, f"small {colour} word")
    return canvas.svg()


# ---- gates -------------------------------------------------------------------


def gates(judged: Sequence[Row]) -> str:
    """Draw how far each gate is passed or missed."""
    shown = [row for row in judged if row.measured is not None]
    canvas = Canvas(
        "What was to be reached, and what was",
        "● reached, ○ missed; a line is the middle half of all rounds",
        width=960,
    )
    top, bottom = 78.0, 78.0 + 24 * len(shown)
    scale = LogScale(0.25, 4, 540, 800)
    for value in (0.25, 0.5, 1.0, 2.0, 4.0):
        kind = "gate" if value == 1 else "grid"
        canvas.line([(scale(value), top), (scale(value), bottom)], kind)
        text = "gate" if value == 1 else f"{value:g} ×"
        canvas.text(scale(value), bottom + 18, text, "small soft mid")
    canvas.text(800, bottom + 38, "better →", "small soft end")
    for number, row in enumerate(shown):
        _gate_row(canvas, scale, row, top + 24 * (number + 0.5))
    return canvas.svg()


def _gate_row(canvas: Canvas, scale: LogScale, row: Row, y: float) -> None:
    gate, measured = row.gate, row.measured
    assert measured is not None

    def place(value: float) -> float:
        share = value / gate.gate if not gate.at_most else gate.gate / max(value, 1e-9)
        return scale(min(max(share, 0.25), 4.0))

    colour = "blue" if row.reached else "red"
    canvas.text(LEFT + 14, y + 4, f"{gate.number}", "small soft end")
    canvas.text(LEFT + 26, y + 4, gate.name, "small")
    canvas.line([(place(measured.low), y), (place(measured.high), y)], colour)
    filling = "full" if row.reached else "hollow"
    canvas.dot(place(measured.median), y, f"{colour} {filling}", radius=4.5)
    unit = "" if gate.unit == "instructions" else f" {gate.unit}"
    sign = "≤" if gate.at_most else "≥"
    label = f"{measured.median:.3g}{unit} ({sign} {gate.gate:g})"
    if gate.unit == "ns":
        label = f"{_time(measured.median / 1e9)} ({sign} {_time(gate.gate / 1e9)})"
    canvas.text(814, y + 4, label, f"small {colour} word")


# ---- growth ------------------------------------------------------------------

PANEL = 250
COLOURS = ("blue", "red", "green", "plum")
"""Of the curves of one panel; the first two are steep, the others flat."""


def growth(curves: Sequence[Curve]) -> str:
    """Draw cost against size, one panel for each thing that grows."""
    canvas = Canvas(
        "How cost grows",
        "CPU time against size, both on log scales; a slope of 1 is linear, 0 is flat",
        width=LEFT + 3 * (PANEL + 60) + 40,
    )
    times = [seconds for curve in curves for seconds in curve.seconds]
    low = 10.0 ** math.floor(math.log10(min(times)) - 0.7)
    high = 10.0 ** math.ceil(math.log10(max(times)))
    top, bottom = 96.0, 416.0
    scale = LogScale(low, high, bottom, top)
    kinds = list(dict.fromkeys(curve.of for curve in curves))
    for number, kind in enumerate(kinds):
        left = LEFT + 44 + number * (PANEL + 60)
        of_kind = [curve for curve in curves if curve.of == kind]
        for value in scale.decades():
            y = scale(value)
            canvas.line([(left, y), (left + PANEL, y)], "grid")
            if number == 0:
                canvas.text(left - 6, y + 4, _time(value), "small soft end")
        _panel(canvas, scale, of_kind, left, bottom)
    return canvas.svg()


def _panel(
    canvas: Canvas, scale: LogScale, curves: Sequence[Curve], left: float, bottom: float
) -> None:
    sizes = curves[0].sizes
    across = LogScale(sizes[0], sizes[-1], left + 8, left + PANEL - 8)
    for size in sizes[:: 2 if len(sizes) > 4 else 1]:
        canvas.text(across(size), bottom + 18, _count(size), "small soft mid")
    canvas.text(left + PANEL / 2, bottom + 38, f"{curves[0].of}", "mid")
    for curve, colour in zip(curves, COLOURS, strict=False):
        points = [
            (across(x), scale(y))
            for x, y in zip(curve.sizes, curve.seconds, strict=True)
        ]
        canvas.line(points, colour)
        for x, y in points:
            canvas.dot(x, y, f"{colour} full", radius=2.5)
        _curve_label(canvas, curve, points, colour)
        if curve.reference:
            lower = [
                (across(x), scale(y))
                for x, y in zip(curve.sizes, curve.reference, strict=True)
            ]
            canvas.line(lower, "grey dashed")
            x, y = lower[len(lower) // 2]
            canvas.text(x + 10, y + 18, "read them (memchr)", "small grey word")


def _curve_label(
    canvas: Canvas, curve: Curve, points: Sequence[tuple[float, float]], colour: str
) -> None:
    """Write name and slope where no line passes."""
    x, y = points[-1]
    end = "end"
    if colour == COLOURS[0]:  # above a steep curve, left of its end
        x, y = x - 16, y - 6
    elif colour == COLOURS[1]:  # below a steep curve, right of its middle
        x, y = points[len(points) // 2]
        x, y, end = x + 12, y + 16, ""
    else:  # below and above flat ones
        y += 20 if colour == COLOURS[2] else -28
    canvas.text(x, y, curve.name, f"small {colour} word {end}")
    canvas.text(x, y + 14, f"slope {curve.slope:.2f}", f"small soft {end}")


# ---- latency -----------------------------------------------------------------


def tail(latencies: Sequence[Latency]) -> str:
    """Draw the quantiles of one call, alone and beside a busy thread."""
    canvas = Canvas(
        "One call, alone and beside a thread that computes",
        "The same certificate: walked and hashed by a call that keeps the GIL, or not",
    )
    top, bottom = 96.0, 96.0 + 44 * len(latencies)
    times = [ns * 1e-9 for one in latencies for ns in one.quantiles]
    scale = LogScale(_mark_below(min(times)), _mark_above(max(times)), 210, 640)
    _vertical_axis(canvas, scale, top, bottom, "time on the wall, log scale")
    for number, one in enumerate(latencies):
        y = top + 44 * (number + 0.6)
        colour = "blue" if "kept" in one.call else "red"
        canvas.text(198, y + 4, one.call, "end")
        at = [scale(ns * 1e-9) for ns in one.quantiles]
        canvas.line([(at[0], y), (at[-1], y)], colour)
        last = -math.inf
        for x, quantile in zip(at, bench_tail.QUANTILES, strict=True):
            canvas.dot(x, y, f"{colour} full", radius=4)
            if x - last > 34:
                canvas.text(x, y - 10, f"{100 * quantile:g} %", "small soft mid")
                last = x
        label = f"{one.stalls_per_s:.0f} calls a second"
        canvas.text(656, y, label, f"small {colour} word")
        canvas.text(656, y + 15, "take over 1 ms", "small soft")
    return canvas.svg()


class _Measured(Protocol):
    figures: list[Figure]
    curves: list[Curve]
    latencies: list[Latency]


def all_plots(judged: Sequence[Row], measured: _Measured) -> dict[str, str]:
    """Return every plot that there are figures for, by the name of its file."""
    found = {"gates": gates(judged)}
    if any(one.bench == "one certificate" for one in measured.figures):
        found["one-certificate"] = one_certificate(measured.figures)
    if measured.curves:
        found["growth"] = growth(measured.curves)
    if measured.latencies:
        found["latency"] = tail(measured.latencies)
    return found
