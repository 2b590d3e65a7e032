"""`make bench`: run all benches, and say which gates were reached or missed.

Into a folder of results, it writes ``figures.json`` (everything measured), ``table.md``
(the gates and their verdicts) and the plots. ``--publish`` puts the table into
bench/NOTES.md, and puts the figures for users and the plots into docs/performance.md.

    make bench                 a quarter of an hour on two cores
    make bench PUBLISH=1       ... and into the docs
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import bench_audit
import bench_batch
import bench_c
import bench_compile
import bench_compilers
import bench_connections
import bench_counts
import bench_doors
import bench_growth
import bench_handshake
import bench_live
import bench_many
import bench_openssl
import bench_single
import bench_start
import bench_tail
import gates
import machine
import plots
from bench_growth import Curve
from bench_tail import Latency
from gates import Row
from measure import Figure, Spread
from verdicts import rows

__all__ = ["Results", "collect", "table"]

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results"
PUBLISHED = RESULTS / "published.json"
NOTES = ROOT / "bench" / "NOTES.md"
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "performance"
MARKS = re.compile(r"(<!-- figures: begin -->\n).*?(<!-- figures: end -->)", re.DOTALL)

BOUGHT = (
    "16 leaf",
    "17 chain of two",
    "1 P-256",
    "10 contiguous",
    "19 leaf alone",
    "29 keys of a Parquet file",
    "22 memory buffers, leaf pin",
    "22 memory buffers, CA pin",
    "22 memory buffers, host without pins",
    "23 sockets, leaf pin",
    "28 pin FILE",
)
"""The gates that the page for users shows, by their keys."""

HANDSHAKES = (60, 60)  # rounds, and handshakes of each kind in one
CONNECTIONS = (200, 3)  # the same, on each way to shake hands
IN_C = (200, 4)  # the same, in C


@dataclass
class Results:
    """Everything that one run has measured."""

    facts: dict[str, str]
    figures: list[Figure] = field(default_factory=list)
    handshakes: dict[str, Spread] = field(default_factory=dict)
    counts: dict[str, float] = field(default_factory=dict)
    curves: list[Curve] = field(default_factory=list)
    latencies: list[Latency] = field(default_factory=list)
    cycles: bench_compilers.Cycles = field(default_factory=dict)

    def figure(self, bench: str, case: str, theirs: str = "") -> Figure | None:
        """Return the first figure whose names begin so."""
        for found in self.figures:
            names = (found.bench, found.case, found.theirs)
            if all(map(str.startswith, names, (bench, case, theirs))):
                return found
        return None

    def to_json(self) -> str:
        """Return all of it."""
        return json.dumps(dataclasses.asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Results:
        """Read what `to_json` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(
            facts=data["facts"],
            figures=[Figure.read(one) for one in data["figures"]],
            handshakes={k: Spread(**v) for k, v in data["handshakes"].items()},
            counts=data["counts"],
            curves=[
                Curve(**{**one, "expected": tuple(one["expected"])})
                for one in data["curves"]
            ],
            latencies=[Latency(**one) for one in data["latencies"]],
            cycles=data.get("cycles", {}),
        )


# ---- measuring ---------------------------------------------------------------


def _steps(
    results: Results, folder: Path, compiler: str
) -> dict[str, Callable[[], None]]:
    """Return the steps of a run, by the text that is printed for each."""

    def in_c() -> None:
        lines = bench_c.figures(folder, compiler=compiler)
        results.figures += [Figure.read(line) for line in lines]

    def from_python(figures: Callable[[], list[Figure]]) -> Callable[[], None]:
        return lambda: results.figures.extend(figures())

    def handshakes() -> None:
        ratios = bench_handshake.added_to_handshakes(*HANDSHAKES)
        results.handshakes = {name: Spread.of(r) for name, r in ratios.items()}
        results.handshakes |= bench_connections.spreads(*CONNECTIONS)
        results.handshakes |= bench_openssl.spreads(*IN_C, compiler)

    def counts() -> None:
        if shutil.which("valgrind") is None:
            print("  no valgrind: instructions are not counted")
            return
        results.counts |= bench_counts.count_all(compiler, folder)
        results.counts |= bench_start.instructions()

    def compilers() -> None:
        results.cycles = bench_compilers.cycles()

    def growth() -> None:
        results.curves = bench_growth.curves()

    def tail() -> None:
        results.latencies = bench_tail.latencies()

    return {
        "C benches": in_c,
        "one certificate from Python": from_python(bench_single.figures),
        "one peer from Python": from_python(bench_doors.figures),
        "many certificates from Python": from_python(bench_batch.figures),
        "many peers from Python": from_python(bench_many.figures),
        "memory for them": lambda: results.counts.update(bench_many.memory()),
        "policies of many hosts": lambda: results.counts.update(bench_compile.times()),
        "policies from files": from_python(bench_compile.figures),
        "reloads and counts": lambda: results.counts.update(bench_live.times()),
        "an audit in SQL": from_python(bench_audit.figures),
        "start of a process": from_python(bench_start.figures),
        "TLS handshakes": handshakes,
        "instructions": counts,
        "compilers": compilers,
        "latency beside a busy thread": tail,
        "growth, up to a million": growth,
    }


def collect(compiler: str) -> Results:
    """Measure everything."""
    results = Results(machine.facts(compiler))
    before = machine.load()
    with tempfile.TemporaryDirectory() as folder:
        for name, step in _steps(results, Path(folder), compiler).items():
            start = time.monotonic()
            print(f"{name} …", flush=True)
            step()
            print(f"  {time.monotonic() - start:.0f} s", flush=True)
    results.facts["load"] = f"{before:.1f} before, {machine.load():.1f} after"
    return results


# ---- writing -----------------------------------------------------------------


def _number(value: float) -> str:
    """Return three digits, or all before the point."""
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "ns":
        return _time(value / 1e9)
    return f"{_number(value)} {unit}" if unit != "instructions" else f"{value:,.0f}"


def _table_row(row: Row) -> list[str]:
    gate, measured = row.gate, row.measured
    sign = "≤" if gate.at_most else "≥"
    spread = ""
    if measured is not None and measured.rounds > 1:
        ends = measured.low, measured.high
        if gate.unit == "ns":
            low, high = (_time(value / 1e9) for value in ends)
        else:
            low, high = map(_number, ends)
        spread = f" ({low} to {high})"
    return [
        str(gate.number),
        gate.name,
        _with_unit(measured.median, gate.unit) + spread if measured else "",
        f"{sign} {_with_unit(gate.gate, gate.unit)}",
        _with_unit(gate.edge, gate.unit),
        _with_unit(row.limit_here, gate.unit),
        f"**{row.verdict}**" if row.verdict == "missed" else row.verdict,
    ]


def _markdown(header: Iterable[str], lines: Iterable[Iterable[str]]) -> str:
    header = list(header)
    all_lines = [header, ["---"] * len(header), *lines]
    return "\n".join("| " + " | ".join(line) + " |" for line in all_lines) + "\n"


def table(results: Results) -> str:
    """Return the verdicts, the slopes and the machine, in Markdown."""
    # What users call comes first, then the core.
    judged = sorted(rows(results), key=lambda row: row.gate.number < gates.FIRST_CALL)
    reached = sum(row.reached for row in judged)
    header = ["#", "what", "measured", "gate", "edge", "limit here", "verdict"]
    parts = [
        f"{reached} of {len(judged)} are reached.\n",
        _markdown(header, map(_table_row, judged)),
        _growth(results.curves),
        _compilers(results.cycles),
        _machine(results.facts),
    ]
    return "\n".join(part for part in parts if part)


def bought(results: Results) -> str:
    """Return what users buy, and the machine, in Markdown."""
    found = {row.gate.key: row for row in rows(results)}
    lines = [_table_row(found[key])[1:3] for key in BOUGHT]
    shown = ("date", "processor", "system", "Python", "libraries")
    facts = {name: results.facts[name] for name in shown}
    return _markdown(["what", "measured"], lines) + "\n" + _machine(facts)


def _growth(curves: list[Curve]) -> str:
    lines = [
        [
            curve.name,
            curve.of,
            f"{curve.slope:.2f}",
            _expected(curve),
            f"{_time(curve.seconds[-1])} at {curve.sizes[-1]:,}",
            "as it should" if curve.grows_as_it_should else "**not as it should**",
        ]
        for curve in curves
    ]
    header = ["cost", "grows with", "slope", "expected", "time", "verdict"]
    return _markdown(header, lines) if lines else ""


def _compilers(cycles: bench_compilers.Cycles) -> str:
    compilers = list(dict.fromkeys(name for found in cycles.values() for name in found))
    lines = []
    for function, found in cycles.items():
        costs = [f"{found[c]:.1f}" if c in found else "" for c in compilers]
        spread = bench_compilers.spread(found)
        percent = f"{100 * spread:.0f} %"
        if spread > bench_compilers.MOST_SPREAD:
            percent = f"**{percent}**"
        lines.append([function, *costs, percent])
    header = ["cycles for a block of SHA-256", *compilers, "spread"]
    return _markdown(header, lines) if lines else ""


def _expected(curve: Curve) -> str:
    if curve.reference:
        reading = curve.slope - curve.compared_slope
        return f"{reading:.2f} ± {curve.expected[1]:g}, as to read them"
    return f"{curve.expected[0]:g} to {curve.expected[1]:g}"


def _time(seconds: float) -> str:
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{_number(seconds / size)} {unit}"
    return f"{_number(seconds * 1e9)} ns"


def _machine(facts: dict[str, str]) -> str:
    return _markdown(["measured on", ""], ([k, v] for k, v in facts.items() if v))


def write(results: Results, folder: Path) -> None:
    """Write the results, the table and the plots into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "figures.json").write_text(results.to_json(), encoding="utf-8")
    (folder / "table.md").write_text(table(results), encoding="utf-8")
    _write_plots(results, folder)


def _write_plots(results: Results, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in plots.all_plots(rows(results), results).items():
        (folder / f"{name}.svg").write_text(svg, encoding="utf-8")


def publish(results: Results) -> None:
    """Put the tables and the plots into their pages, and the figures beside them."""
    PUBLISHED.write_text(results.to_json(), encoding="utf-8")
    for page, figures in _pages(results).items():
        text = page.read_text(encoding="utf-8")
        page.write_text(_with_figures(text, figures), encoding="utf-8")
    _write_plots(results, PLOTS)


def _pages(results: Results) -> dict[Path, str]:
    return {NOTES: table(results), PAGE: bought(results)}


def _with_figures(page: str, figures: str) -> str:
    """Return the page with the figures between its marks."""
    return MARKS.sub(lambda marks: f"{marks[1]}{figures}{marks[2]}", page)


def main(arguments: list[str]) -> int:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(description="All benches.")
    parser.add_argument("--cc", default="gcc", help="the C compiler")
    parser.add_argument("--publish", action="store_true", help="into the pages, too")
    parser.add_argument("--from", dest="source", type=Path, help="figures.json to read")
    options = parser.parse_args(arguments)
    if options.source:
        results = Results.from_json(options.source.read_text(encoding="utf-8"))
    else:
        results = collect(options.cc)
        write(results, RESULTS / "latest")
    if options.publish:
        publish(results)
    print("\n" + table(results))
    print(f"More is in {(RESULTS / 'latest').relative_to(ROOT)}.")
    return 0


# ---- tests -------------------------------------------------------------------


def _published() -> Results:
    return Results.from_json(PUBLISHED.read_text(encoding="utf-8"))


def test_the_pages_show_what_was_measured() -> None:
    """Nobody edits a figure: tables and plots are what the figures make of them."""
    results = _published()
    for page, figures in _pages(results).items():
        text = page.read_text(encoding="utf-8")
        assert MARKS.search(text)
        assert text == _with_figures(text, figures)
    for name, svg in plots.all_plots(rows(results), results).items():
        assert (PLOTS / f"{name}.svg").read_text(encoding="utf-8") == svg, name


def test_results_survive_being_stored() -> None:
    """All that a run has measured is published."""
    results = _published()
    assert Results.from_json(results.to_json()) == results
    assert results.figures
    assert results.facts["processor"]


@pytest.mark.parametrize(
    ("measured", "verdict"), [(0.79, "reached"), (0.80, "reached"), (0.81, "missed")]
)
def test_a_gate_is_reached_on_one_side_only(measured: float, verdict: str) -> None:
    """At most 0.80: more is missed; and what was not measured is not reached."""
    judged = gates.judge({"5 P-256": Spread.of([measured])}, {})
    (row,) = [row for row in judged if row.gate.number == 5]
    assert row.verdict == verdict
    others = [row for row in judged if row.gate.number != 5]
    assert {row.verdict for row in others} == {"not measured"}
    assert not any(row.reached for row in others)


def test_a_value_without_a_gate_is_a_mistake() -> None:
    """A misspelt key would leave its gate unmeasured."""
    with pytest.raises(KeyError, match="99 nothing"):
        gates.judge({"99 nothing": Spread.of([1.0])}, {})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
