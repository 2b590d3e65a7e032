"""An SVG of keys over time: how many certificates are valid in each month.

There is one lane for each pin, and one for each host with keys outside of its pins. The
height of each lane stands for the largest number in it, so lanes cannot be compared
with each other.
"""

from __future__ import annotations

import datetime as dt
import html
from typing import TYPE_CHECKING, NamedTuple

from pinverify.audit._summary import counted
from pinverify.errors import shortened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pinverify.audit._summary import Spans, Summary

__all__ = ["drawing", "is_plot"]

_WIDTH, _MARGIN = 960, 28
_LEFT, _RIGHT = 330, 140  # beside the lanes: names, and numbers
_LANE, _GAP, _HEAD = 34, 14, 34
_TOP, _BOTTOM = 98, 50
_LANES_MAX = 30  # of each kind
_YEARS_MAX = 15  # before and after today
_YEAR, _QUARTER, _FEW_MONTHS = 12, 3, 30
_LABELS_MAX = 10
_NAME_MAX, _PIN_MAX = 40, 30

_NOTE = "certificates that are valid in each month; each lane has its own scale"

_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
    fill: #1f2328 }
  .title { font-size: 19px; font-weight: 600 }
  .head { font-weight: 600 }
  .small { font-size: 11px }
  .dim { fill: #59636e }
  .paper { fill: #ffffff }
  .grid { stroke: #d8dee4; stroke-width: 1 }
  .base { stroke: #8c959f; stroke-width: 1 }
  .pinned { fill: #1a7f8c }
  .outside { fill: #cf222e }
  .none { stroke: #9a6700; stroke-width: 2; stroke-dasharray: 3 5 }
  .today { stroke: #1f2328; stroke-width: 1.5; stroke-dasharray: 5 4 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .dim { fill: #9198a1 }
    .paper { fill: #0d1117 }
    .grid { stroke: #2a313c }
    .base { stroke: #656c76 }
    .pinned { fill: #39b5c4 }
    .outside { fill: #ff6a69 }
    .none { stroke: #d29922 }
    .today { stroke: #e6edf3 }
  }
"""


_SVG = '<svg xmlns="http://www.w3.org/2000/svg"'


class _Lane(NamedTuple):
    name: str
    below: str
    kind: str
    """CSS class of its area."""
    num: int
    spans: Spans


def drawing(summary: Summary) -> str:
    """Return the SVG of a summary."""
    pins = [
        _Lane(", ".join(seen.patterns), str(seen.pin), "pinned", seen.num, seen.spans)
        for seen in summary.pins.values()
        if not seen.only_ca
    ]
    hosts = [
        _Lane(
            host or "no host",
            counted(len(seen.keys), "key") + ("+" if seen.more else ""),
            "outside",
            seen.num,
            seen.spans,
        )
        for host, seen in summary.hosts.items()
    ]
    return _Picture(pins, hosts).text()


def is_plot(path: Path) -> bool:
    """Return True if a file begins as a drawing does."""
    with path.open("rb") as file:
        return file.read(len(_SVG)).decode("latin-1") == _SVG


class _Picture:
    """The lanes, and the months that they show."""

    def __init__(self, pins: Sequence[_Lane], hosts: Sequence[_Lane]) -> None:
        now = dt.datetime.now(dt.UTC)
        self._today = f"{now:%Y-%m-%d}"
        self._now = _YEAR * now.year + now.month - 1 + (now.day - 1) / 31
        most = [("pins", pins), ("outside of the pins", hosts)]
        self._parts = [(head, lanes) for head, lanes in most if lanes]
        spans = [lane.spans.steps() for lane in (*pins, *hosts)]
        months = [int(self._now), *(month for steps in spans for month, _ in steps)]
        reach = _YEAR * _YEARS_MAX
        first = max(min(months), int(self._now) - reach)
        last = min(max(months), int(self._now) + reach) + 1
        self._tick = _QUARTER if last - first <= _FEW_MONTHS else _YEAR
        self._first = first // self._tick * self._tick
        self._last = -(-last // self._tick) * self._tick

    def text(self) -> str:
        """Return the whole document."""
        body: list[str] = []
        y = _TOP
        for head, lanes in self._parts:
            y += _HEAD
            body.append(_text(_MARGIN, y, head, "head"))
            for lane in lanes[:_LANES_MAX]:
                y += _GAP + _LANE
                body.extend(self._lane(lane, y))
            if (more := len(lanes) - _LANES_MAX) > 0:
                y += _GAP + _GAP
                body.append(_text(_MARGIN, y, f"and {more:,} more", "dim"))
        bottom = y + _GAP
        height = bottom + _BOTTOM
        axis = list(self._axis(bottom))
        title = "Keys over time"
        return "\n".join(
            [
                _opening(height),
                f'<title id="title">{title}</title>',
                f"<style>{_STYLE}</style>",
                f'<rect class="paper" width="{_WIDTH}" height="{height}"/>',
                _text(_MARGIN, 38, title, "title"),
                _text(_MARGIN, 60, _NOTE, "dim"),
                *axis,
                *body,
                *self._today_line(bottom),
                "</svg>\n",
            ]
        )

    def _x(self, month: float) -> float:
        """Return the x coordinate of a month; of the edge, for a month outside."""
        width = _WIDTH - _LEFT - _RIGHT
        share = (month - self._first) / (self._last - self._first)
        return round(_LEFT + width * min(max(share, 0), 1), 1)

    def _axis(self, bottom: int) -> Iterator[str]:
        ticks = range(self._first, self._last + 1, self._tick)
        every = -(-len(ticks) // _LABELS_MAX)
        for month in ticks[::every]:
            x = self._x(month)
            year, number = divmod(month, _YEAR)
            label = str(year) if self._tick == _YEAR else f"{year}-{number + 1:02}"
            yield f'<path class="grid" d="M{x} {_TOP}V{bottom}"/>'
            yield _text(x, bottom + 20, label, "dim small", "middle")

    def _today_line(self, bottom: int) -> Iterator[str]:
        x = self._x(self._now)
        yield f'<path class="today" d="M{x} {_TOP - 6}V{bottom}"/>'
        yield _text(x, _TOP - 12, f"today, {self._today}", "small", "middle")

    def _lane(self, lane: _Lane, y: int) -> Iterator[str]:
        """Yield a lane whose bottom is at *y*."""
        name = shortened(lane.name, _NAME_MAX)
        below = shortened(lane.below, _PIN_MAX)
        yield f"<g><title>{_escaped(lane.name)}  {_escaped(lane.below)}</title>"
        yield _text(_MARGIN, y - 18, name, "")
        yield _text(_MARGIN, y - 3, below, "dim small")
        end = _WIDTH - _RIGHT
        steps = lane.spans.steps()
        if steps:
            yield f'<path class="base" d="M{_LEFT} {y}H{end}"/>'
            yield f'<path class="{lane.kind}" d="{self._area(steps, y)}"/>'
        else:
            yield f'<path class="none" d="M{_LEFT} {y - 10}H{end}"/>'
        said = counted(lane.num) if lane.num else "never seen"
        yield _text(end + 12, y - 8, said, "small" if lane.num else "small dim")
        yield "</g>"

    def _area(self, steps: Sequence[tuple[int, int]], y: int) -> str:
        """Return the path of an area as high as the numbers of a lane."""
        highest = max(num for _, num in steps)
        path = f"M{self._x(steps[0][0])} {y}"
        for month, num in steps:
            path += f"H{self._x(month)}V{round(y - _LANE * num / highest, 1)}"
        return path + "Z"


def _opening(height: int) -> str:
    return (
        f'{_SVG} width="{_WIDTH}" height="{height}" '
        f'viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">'
    )


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    end = "" if anchor == "start" else f' text-anchor="{anchor}"'
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x}" y="{y}"{end}>{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    return html.escape(shortened(text, 500))
