"""Verdicts: the figure that a run measured for each gate, and whether it is reached."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bench_audit
import bench_compile
import bench_doors
import bench_growth
import bench_live
import bench_many
import bench_start
import gates
from measure import Spread

if TYPE_CHECKING:
    from bench_report import Results
    from gates import Row

__all__ = ["FROM_COUNTS", "FROM_FIGURES", "limits", "rows", "values"]

SINGLE = "one certificate"
FROM_FIGURES = {
    "1 P-256": (SINGLE, "P-256", "cryptography"),
    "1 RSA-2048": (SINGLE, "RSA-2048", "cryptography"),
    "1 Ed25519": (SINGLE, "Ed25519", "cryptography"),
    "2 pyOpenSSL": (SINGLE, "P-256", "pyOpenSSL"),
    "2 asn1crypto": (SINGLE, "P-256", "asn1crypto"),
    "3 P-256": (SINGLE, "P-256", "Python DER walk"),
    "3 RSA-2048": (SINGLE, "RSA-2048", "Python DER walk"),
    "4 P-256": (SINGLE, "P-256", "urllib3"),
    "4 RSA-2048": (SINGLE, "RSA-2048", "urllib3"),
    "5 P-256": (SINGLE, "P-256", "hashlib"),
    "6 P-256": ("verify", "P-256", "OpenSSL"),
    "6 RSA-2048": ("verify", "RSA-2048", "OpenSSL"),
    "8 web": ("SHA-256 of many keys", "web"),
    "9 web": ("batch", "web"),
    "9 real": ("batch", "real"),
    "10 contiguous": ("batch from Python", "contiguous"),
    "10 list[bytes]": ("batch from Python", "list"),
    "11 1,000 pins": ("scan", "1,000 pins"),
    "11 10,000 pins": ("scan", "10,000 pins"),
    "11 100,000 pins": ("scan", "100,000 pins"),
    "12 10,000 pins": ("three digests", "10,000 pins"),
    "12 100,000 pins": ("three digests", "100,000 pins"),
    "15 in C": ("two threads", "web"),
    "15 from Python": ("two threads from Python", "contiguous"),
    "16 leaf": (bench_doors.EVALUATE, "leaf"),
    "17 chain of two": (bench_doors.EVALUATE, "chain of two"),
    "17 miss": (bench_doors.EVALUATE, "miss"),
    "17 host without rule": (bench_doors.EVALUATE, "host without rule"),
    "18 2 pins": (bench_doors.VERIFY, "2 pins"),
    "18 10,000 pins": (bench_doors.VERIFY, "10,000 pins"),
    "19 leaf alone": (bench_many.BUFFERS, "leaf alone"),
    "19 chain of two": (bench_many.BUFFERS, "chain of two"),
    "20 leaf alone": (bench_many.LISTS, "leaf alone"),
    "20 chain of two": (bench_many.LISTS, "chain of two"),
    "26 toml": (bench_compile.FILES, "toml"),
    "26 json": (bench_compile.FILES, "json"),
    "28 --version": (bench_start.START, "--version"),
    "28 pin FILE": (bench_start.START, "pin FILE"),
    f"29 {bench_audit.CASE}": (bench_audit.AUDIT, bench_audit.CASE),
}
"""The figure that holds the value of a gate: bench, case, competitor."""

FROM_COUNTS = {
    "21": bench_many.MEMORY,
    "25 from objects": bench_compile.FROM_OBJECTS,
    "25 from columns": bench_compile.FROM_COLUMNS,
    "27": bench_compile.OPENING,
    "32": bench_start.CONTEXT,
    "33 two rules": bench_start.SHOW,
    "34 compiled": bench_live.BESIDE_A_LOOP,
    "34 text": bench_live.BESIDE_A_PARSER,
    "35": bench_live.COUNTING,
}
"""The number that is the value of a gate."""

# Our time by theirs, where a figure is theirs by ours.
INVERSE = ("5 ", "12 ", "18 ", "19 ", "20 ", "26 ", "28 ", "29 ")
SHARES = ("11 ",)  # in percent


def values(results: Results) -> dict[str, Spread]:
    """Return what was measured, by the key of its gate."""
    found = _ratios(results)
    of_handshakes = (gates.HANDSHAKE, gates.ON_EACH_WAY, gates.REFUSAL, gates.ADAPTER)
    for gate in gates.GATES:
        spread = results.handshakes.get(gate.case)
        if spread is not None and gate.what in of_handshakes:
            found[gate.key] = spread.added_percent() if gate.unit == "%" else spread
    walks = [n for name, n in results.counts.items() if name.startswith("walk/")]
    if walks:
        found["7"] = Spread.of([max(walks)])
    for key, name in FROM_COUNTS.items():
        if name in results.counts:
            found[key] = Spread.of([results.counts[name]])
    for curve in results.curves:
        if curve.name == bench_growth.HOT and curve.sizes[-1] >= 1_000_000:
            found["14"] = Spread.of([1e9 * curve.seconds[-1]])
    return found


def _ratios(results: Results) -> dict[str, Spread]:
    found: dict[str, Spread] = {}
    for key, names in FROM_FIGURES.items():
        figure = results.figure(*names)
        if figure is None:
            continue
        ratio = figure.ratio
        if key.startswith(INVERSE):
            ratio = ratio.inverse()
        found[key] = ratio.scaled(100) if key.startswith(SHARES) else ratio
    return found


def limits(results: Results) -> dict[str, float]:
    """Return the values possible here if only hashing and calling took time.

    A key has to be hashed, by the faster of pinverify and OpenSSL; and Python has to
    call C, which costs as much as a call that does nothing.
    """
    found: dict[str, float] = {}
    call = results.figure("a call that does nothing", "")
    for key, names in FROM_FIGURES.items():
        figure = results.figure(*names)
        hashing = results.figure("sha256 of one SPKI", names[1])
        if figure is None or hashing is None:
            continue
        least = min(hashing.ours_ns, hashing.theirs_ns)
        if names[0] == "verify":
            found[key] = figure.theirs_ns / least
        elif names[0] == SINGLE and call is not None:
            limit = figure.theirs_ns / (least + call.ours_ns)
            found[key] = 1 / limit if key.startswith(INVERSE) else limit
    return found


def rows(results: Results) -> list[Row]:
    """Return all gates with their verdicts."""
    return gates.judge(values(results), limits(results))
