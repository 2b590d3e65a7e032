"""An audit in SQL: DuckDB hashes the keys of a Parquet file with our function.

It takes turns with DuckDB's own `sha256` over the same column. Both read the same
file; ours finds the key in each certificate and hashes it, DuckDB's hashes the whole
certificate. The figure is wall-clock time, with as many threads as DuckDB takes.

    python bench/bench_audit.py                  a million certificates
    python bench/bench_audit.py --rows 100000    fewer
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import certificate_tables
import machine
import measure
from optional import client_library
from pinverify import arrow, core
from pinverify.errors import DERError

__all__ = ["AUDIT", "CASE", "figures"]

AUDIT = "audit in SQL"
CASE = "keys of a Parquet file"

NUM_ROWS = 1_000_000
ROUNDS = 7  # of some seconds each
QUICK_ROWS = 5000

OURS, THEIRS = "spki_sha256", "sha256"


def greatest(connection: Any, function: str, path: Path) -> bytes | str:  # noqa: ANN401
    """Return the greatest hash of a column, so that each of them is needed."""
    query = f"SELECT max({function}(der)) FROM '{path}'"  # noqa: S608 - our own path
    found: bytes | str = connection.execute(query).fetchall()[0][0]
    return found


@contextlib.contextmanager
def database() -> Iterator[Any]:
    """Open DuckDB with our function, as docs/arrow.md does."""
    pa: Any = client_library("pyarrow")
    duckdb: Any = client_library("duckdb")
    with duckdb.connect() as connection:
        connection.create_function(
            OURS,
            lambda column: pa.array(arrow.spki_sha256(column)),
            ["BLOB"],
            "BLOB",
            type="arrow",
            null_handling="special",
        )
        yield connection


@contextlib.contextmanager
def file_of(num: int) -> Iterator[Path]:
    """Make a Parquet file, which is deleted afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "certificates.parquet")
        certificate_tables.write(path, num)
        yield path


def figures(rounds: int = ROUNDS, num: int = NUM_ROWS) -> list[measure.Figure]:
    """Compare both functions."""
    with file_of(num) as path, database() as connection:
        ours, theirs = (
            measure.Task.call(name, greatest, connection, name, path)
            for name in (OURS, THEIRS)
        )
        return [
            measure.compare(
                AUDIT,
                CASE,
                ours,
                theirs,
                unit="row",
                units=num,
                rounds=rounds,
                wall_clock=True,
            )
        ]


def digest(der: bytes) -> bytes:
    """Return the digest of a key; of what is malformed, the least bytes."""
    try:
        return core.spki_sha256(der)
    except DERError:
        return b""


@pytest.mark.parametrize("function", [OURS, THEIRS])
def test_audit(benchmark: Any, function: str) -> None:  # noqa: ANN401
    """DuckDB hashes each key, or each certificate."""
    client_library("pyarrow")
    client_library("duckdb")
    num = NUM_ROWS if benchmark.enabled else QUICK_ROWS
    benchmark.group = AUDIT
    with file_of(num) as path, database() as connection:
        found = benchmark(greatest, connection, function, path)
    ders = [row.der for row in certificate_tables.rows(num) if row.der is not None]
    if function == OURS:
        assert found == max(map(digest, ders))
    else:
        assert found == max(hashlib.sha256(der).hexdigest() for der in ders)


def test_the_figure_is_a_ratio() -> None:
    """One round, for `make bench`."""
    client_library("pyarrow")
    client_library("duckdb")
    (found,) = figures(rounds=1, num=QUICK_ROWS)
    assert found.ratio.median > 0


def main() -> None:
    """Print the figure: time of ours by that of DuckDB's own function."""
    parser = argparse.ArgumentParser(description="An audit in SQL.")
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    before = machine.load()
    (found,) = figures(options.rounds, options.rows)
    ratio = found.ratio.inverse()
    spread = f"{ratio.low:.2f} to {ratio.high:.2f}"
    load = f"{before:.1f} before, {machine.load():.1f} after"
    facts = machine.facts() | {"load": load}
    lines = [
        "| DuckDB with | least time a row | by that of its `sha256` | quartiles |",
        "|---|---|---|---|",
        f"| `{OURS}` | {found.ours_ns:,.0f} ns | {ratio.median:.2f} | {spread} |",
        f"| `{THEIRS}` | {found.theirs_ns:,.0f} ns | | |",
        "",
        f"{options.rows:,} rows, {options.rounds} rounds",
        *(f"{name}: {value}" for name, value in facts.items()),
    ]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
