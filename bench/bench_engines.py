"""Keys per CPU second: data engines, each with our function, over one Parquet file.

    make engines TESTS=--version
    PYTHONPATH=tests/helpers:bench .venv/…-engines/bin/python bench/bench_engines.py

Engines take turns, each in a process of its own. The figure is the CPU time of that
process and all that it has started, such as threads, the JVM and workers, from the
first row to the last: imports and the start of a session do not count. The file was
read before, so it comes from memory. Each engine counts the digests; all must agree.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

import certificate_tables
import certificates
import machine
import measure
from optional import client_library
from peers import by_cryptography
from pinverify import arrow, core
from spark_sessions import local_session

__all__ = ["ENGINES", "Run", "tree_cpu"]

NUM_ROWS = 1_000_000
ROUNDS = 3
QUICK_ROWS = 5000
THREADS = 2
LIMIT = 500
FEW = 20_000
"""Rows for the loop, whose time for a million would be a minute."""

Work: TypeAlias = Callable[[], tuple[int, int]]
"""The measured part of an engine: it returns the numbers of rows and of digests."""


def count(digests: Any) -> int:  # noqa: ANN401 - an array of pyarrow
    """Return the number of rows that have a digest."""
    return len(digests) - int(digests.null_count)


# ---- in memory ---------------------------------------------------------------


def _column(path: Path) -> Any:  # noqa: ANN401
    parquet: Any = client_library("pyarrow.parquet")
    return parquet.read_table(path, columns=["der"])["der"]


def core_alone(path: Path) -> Work:
    """The core, from buffers: hashing and nothing else."""
    columns = []
    for chunk in _column(path).chunks:
        _, at, data = chunk.buffers()
        offsets = memoryview(at).cast("B").cast("i")
        used = slice(chunk.offset, chunk.offset + len(chunk) + 1)
        columns.append((memoryview(data), offsets[used]))

    def work() -> tuple[int, int]:
        num, found = 0, 0
        for data, offsets in columns:
            _, malformed = core.spki_sha256_many(data, offsets)
            num += len(offsets) - 1
            found += len(offsets) - 1 - len(malformed)
        return num, found

    return work


def arrow_alone(path: Path) -> Work:
    """`arrow.spki_sha256`, of a column in memory."""
    pa: Any = client_library("pyarrow")
    column = _column(path)
    return lambda: (len(column), count(pa.array(arrow.spki_sha256(column))))


def cryptography_loop(path: Path) -> Work:
    """Users without pinverify: a loop over certificates in memory."""
    del path  # some of its keys are on no curve, so cryptography would refuse them
    web = certificates.web()
    some = [web[i % len(web)] for i in range(FEW)]
    is_pinned = by_cryptography([bytes(32)])
    return lambda: (FEW, FEW + sum(map(is_pinned, some)))


# ---- one machine -------------------------------------------------------------


def file_alone(path: Path) -> Work:
    """The file, read by pyarrow, and no digest."""
    parquet: Any = client_library("pyarrow.parquet")

    def work() -> tuple[int, int]:
        with parquet.ParquetFile(path) as file:
            num = sum(map(len, file.iter_batches(columns=["der"])))
        return num, 0

    return work


def pyarrow(path: Path) -> Work:
    """Batches of rows, as docs/arrow.md reads them."""
    pa: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")

    def work() -> tuple[int, int]:
        num, found = 0, 0
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["der"]):
                num += len(batch)
                found += count(pa.array(arrow.spki_sha256(batch["der"])))
        return num, found

    return work


def duckdb(path: Path) -> Work:
    """A function of SQL."""
    pa: Any = client_library("pyarrow")
    connection: Any = client_library("duckdb").connect()
    connection.execute(f"SET threads = {THREADS}")
    connection.create_function(
        "spki_sha256",
        lambda column: pa.array(arrow.spki_sha256(column)),
        ["BLOB"],
        "BLOB",
        type="arrow",
        null_handling="special",
    )
    query = f"SELECT count(*), count(spki_sha256(der)) FROM '{path}'"  # noqa: S608

    def work() -> tuple[int, int]:
        num, found = connection.execute(query).fetchall()[0]
        return num, found

    return work


def polars(path: Path) -> Work:
    """A lazy query, in the streaming engine."""
    pl: Any = client_library("polars")

    def digests_of(ders: Any) -> Any:  # noqa: ANN401
        return pl.Series(arrow.spki_sha256(ders))

    digests = pl.col("der").map_batches(
        digests_of, return_dtype=pl.Binary, is_elementwise=True
    )
    query = pl.scan_parquet(path).select(num=pl.len(), found=digests.count())

    def work() -> tuple[int, int]:
        row = query.collect(engine="streaming").row(0)
        return row[0], row[1]

    return work


def dask(path: Path) -> Work:
    """A task for each group of rows, in threads."""
    pa: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")
    engine: Any = client_library("dask")

    def of_group(group: int) -> tuple[int, int]:
        with parquet.ParquetFile(path) as file:
            ders = file.read_row_group(group, ["der"], use_threads=False)["der"]
        return len(ders), count(pa.array(arrow.spki_sha256(ders)))

    with parquet.ParquetFile(path) as file:
        tasks = [engine.delayed(of_group)(i) for i in range(file.num_row_groups)]

    def work() -> tuple[int, int]:
        found = engine.compute(*tasks, scheduler="threads", num_workers=THREADS)
        return sum(one[0] for one in found), sum(one[1] for one in found)

    return work


# ---- clusters ----------------------------------------------------------------


def spark(path: Path) -> Work:
    """`mapInArrow` in two executor threads; the session has run a small job before."""
    client_library("pyspark")
    session: Any = local_session(f"local[{THREADS}]")

    def digests(batches: Iterator[Any]) -> Iterator[Any]:
        pa: Any = importlib.import_module("pyarrow")  # in the executor
        for batch in batches:
            found = pa.array(arrow.spki_sha256(batch["der"])).cast(pa.binary())
            yield pa.record_batch([found], ["key"])

    frame = session.read.parquet(str(path)).select("der")
    frame.limit(10).mapInArrow(digests, "key binary").collect()
    query = frame.mapInArrow(digests, "key binary").selectExpr("count(*)", "count(key)")

    def work() -> tuple[int, int]:
        row = query.collect()[0]
        return row[0], row[1]

    return work


ENGINES: dict[str, Callable[[Path], Work]] = {
    "the core, from memory": core_alone,
    "`arrow.spki_sha256`, from memory": arrow_alone,
    "the file alone, no digests": file_alone,
    "pyarrow, batches": pyarrow,
    "Dask, threads": dask,
    "DuckDB": duckdb,
    "Polars, streaming": polars,
    "Spark, `mapInArrow`": spark,
    "a loop with `cryptography`, from memory": cryptography_loop,
}
"""All that is compared, by the name in the table."""


# ---- measuring ---------------------------------------------------------------


class Run(NamedTuple):
    """One engine and one file."""

    rows: int
    digests: int
    cpu_s: float
    wall_s: float
    memory_mb: float
    """The most that this one process had, without those that it started."""

    @property
    def rows_a_cpu_second(self) -> float:
        """Rows by CPU time."""
        return self.rows / self.cpu_s


def tree_cpu() -> float:
    """Return the CPU seconds of this process and all below it, on Linux.

    Of processes that have ended, those count that were waited for.
    """
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            except OSError:  # it has ended
                continue
            fields = text.rpartition(")")[2].split()  # the name may hold blanks
            parents[int(entry.name)] = int(fields[1])
            ticks[int(entry.name)] = sum(map(int, fields[11:15]))
    tree = {os.getpid()}
    while more := {one for one, of in parents.items() if of in tree} - tree:
        tree |= more
    # Ours to the nanosecond, the others in ticks of the system.
    others = sum(ticks[one] for one in tree - {os.getpid()})
    own = resource.getrusage(resource.RUSAGE_SELF)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = sum(one.ru_utime + one.ru_stime for one in (own, ended))
    return used + others / os.sysconf("SC_CLK_TCK")


def run(engine: str, path: Path) -> Run:
    """Run one engine in this process."""
    work = ENGINES[engine](path)
    cpu, wall = tree_cpu(), time.perf_counter()
    rows, digests = work()
    wall = time.perf_counter() - wall
    cpu = tree_cpu() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Run(rows, digests, cpu, wall, most)


def run_apart(engine: str, path: Path) -> Run:
    """Run one engine in a process of its own."""
    command = [sys.executable, __file__, str(path), "--engine", engine]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LIMIT
    )
    if done.returncode != 0:
        msg = f"{engine}: {done.stderr[-2000:]}"
        raise RuntimeError(msg)
    return Run(**json.loads(done.stdout.splitlines()[-1]))


def figures(
    path: Path, engines: Sequence[str], rounds: int = ROUNDS
) -> dict[str, list[Run]]:
    """Let engines take turns."""
    found: dict[str, list[Run]] = {engine: [] for engine in engines}
    for number in range(rounds):
        for engine in engines if number % 2 == 0 else reversed(engines):
            found[engine].append(run_apart(engine, path))
    return found


def table(found: dict[str, list[Run]]) -> str:
    """Return the table in Markdown, the fastest first."""
    lines = [
        "| engine | rows a CPU second | quartiles | rows a second | its process |",
        "|---|---|---|---|---|",
    ]
    spreads = {
        name: measure.Spread.of([one.rows_a_cpu_second for one in runs])
        for name, runs in found.items()
    }
    for name in sorted(found, key=lambda name: -spreads[name].median):
        spread, runs = spreads[name], found[name]
        wall = measure.Spread.of([one.rows / one.wall_s for one in runs]).median
        most = max(one.memory_mb for one in runs)
        columns = [
            name,
            f"{spread.median:,.0f}",
            f"{spread.low:,.0f} to {spread.high:,.0f}",
            f"{wall:,.0f}",
            f"{most:,.0f} MB",
        ]
        lines.append("| " + " | ".join(columns) + " |")
    return "\n".join(lines)


# ---- tests -------------------------------------------------------------------

WITHOUT_DIGESTS = "the file alone, no digests"
LOOP = "a loop with `cryptography`, from memory"
LIBRARIES = {"Dask, threads": "dask", "DuckDB": "duckdb", "Polars, streaming": "polars"}


@pytest.mark.parametrize("engine", [name for name in ENGINES if "Spark" not in name])
def test_engine(engine: str, tmp_path: Path) -> None:
    """Each counts the same digests, and the time of all its threads counts."""
    client_library("pyarrow")
    client_library(LIBRARIES.get(engine, "pyarrow"))
    path = tmp_path / "certificates.parquet"
    certificate_tables.write(path, QUICK_ROWS)
    found = run(engine, path)
    ders = [row.der for row in certificate_tables.rows(QUICK_ROWS)]
    num_null = sum(der is None for der in ders)
    malformed = core.spki_sha256_many([der for der in ders if der is not None])[1]
    expected = QUICK_ROWS - num_null - len(malformed)
    if engine == LOOP:
        assert found[:2] == (FEW, FEW)
    else:
        digests = 0 if engine == WITHOUT_DIGESTS else expected
        assert found[:2] == (QUICK_ROWS, digests)
    assert found.cpu_s > 0


def test_time_of_processes_below_counts() -> None:
    """While a child runs, and after it was waited for."""
    code = (
        "import sys, time\n"
        "while time.process_time() < 0.3: pass\n"
        "print(flush=True)\n"
        "sys.stdin.read()"
    )
    before = tree_cpu()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert tree_cpu() - before > 0.25
    assert tree_cpu() - before > 0.25


def main() -> None:
    """Print the table; or run one engine and print what it took."""
    parser = argparse.ArgumentParser(description="Keys a CPU second, by engine.")
    parser.add_argument("file", type=Path, nargs="?", help="default: one is made")
    parser.add_argument("--engine", choices=ENGINES)
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    options = parser.parse_args()
    if options.engine:
        print(json.dumps(run(options.engine, options.file)._asdict()))  # noqa: T201
        return
    before = machine.load()
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder, "certificates.parquet")
        if not options.file:
            certificate_tables.write(path, options.rows)
        size = path.stat().st_size
        found = figures(path, list(ENGINES), options.rounds)
    numbers = {
        runs[0].digests
        for name, runs in found.items()
        if name not in (WITHOUT_DIGESTS, LOOP)
    }
    if len(numbers) != 1:
        msg = f"the engines disagree: {numbers}"
        raise RuntimeError(msg)
    load = f"{before:.1f} before, {machine.load():.1f} after"
    facts = machine.facts() | {"load": load}
    lines = [
        table(found),
        "",
        f"{options.rows:,} rows, {size / 1e6:,.0f} MB, {options.rounds} rounds",
        *(f"{name}: {value}" for name, value in facts.items()),
    ]
    print("\n".join(lines))  # noqa: T201


if __name__ == "__main__":
    main()
