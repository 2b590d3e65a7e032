"""Columns of pyarrow, Polars, DuckDB and Dask: each row gets the core's answer.

`ARROW_ROWS=1000000 make clients TESTS=tests/workshop/arrow/test_clients_arrow.py` takes
a million rows instead of some thousands.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import certificate_tables
from certificate_tables import Row
from optional import client_library
from pages import run_page
from pinverify import Policy, arrow, core, ct
from pinverify._core import ffi
from pinverify.arrow import _read
from pinverify.errors import DERError
from pki import Pki
from places import ROOT
from policy_samples import NOON
from test_ct import entries

__all__: list[str] = []

NUM_ROWS = int(os.environ.get("ARROW_ROWS", "20000"))
PAGE = ROOT / "docs" / "arrow.md"

Verdict = tuple[Any, ...]
FIELDS = ("accepted", "reason", "depth", "matched")


def digest(der: bytes | None) -> bytes | None:
    """Return what the core says of one certificate; None: null or malformed."""
    try:
        return None if der is None else core.spki_sha256(der)
    except DERError:
        return None


def verdict(policy: Policy, row: Row) -> Verdict:
    """Return what a policy says of one peer."""
    if row.host is None or row.der is None:
        return (None,) * len(FIELDS)
    report = policy.evaluate(row.host, [row.der], now=NOON)
    matched = report.matched.digest if report.matched else None
    return (report.accepted, int(report.reason), report.depth, matched)


class Table(NamedTuple):
    """A Parquet file, and the answers row by row."""

    path: Path
    policy: Policy
    digests: list[bytes | None]
    verdicts: list[Verdict]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Table:
    """A table in a file, whose rows the core has judged one by one."""
    client_library("pyarrow")
    path = tmp_path_factory.mktemp("arrow") / "certificates.parquet"
    certificate_tables.write(path, NUM_ROWS)
    policy = certificate_tables.policy()
    digests, verdicts = [], []
    for row in certificate_tables.rows(NUM_ROWS):
        digests.append(digest(row.der))
        verdicts.append(verdict(policy, row))
    assert {one[1] for one in verdicts} == {None, 0, 1, 2, 5}
    return Table(path, policy, digests, verdicts)


def check(ours: Sequence[object], theirs: Sequence[object]) -> None:
    """Compare two columns, and show the first rows where they differ."""
    rows = enumerate(zip(ours, theirs, strict=True))
    differ = (
        f"row {row}: {one} and {other}" for row, (one, other) in rows if one != other
    )
    assert list(itertools.islice(differ, 3)) == []


def of_structs(rows: Sequence[dict[str, Any]]) -> list[Verdict]:
    """Return the fields that are compared."""
    return [tuple(row[name] for name in FIELDS) for row in rows]


# ---- engines -----------------------------------------------------------------


def pieces(table: Any, parquet: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield batches that do not end where the groups of the file end."""
    with parquet.ParquetFile(table.path) as file:
        yield from file.iter_batches(batch_size=7777)


TYPES = ("binary", "large_binary", "binary_view")


@pytest.mark.parametrize("kind", TYPES)
def test_pyarrow(table: Table, kind: str) -> None:
    """In batches, in slices of them, and as one chunked column; in each layout."""
    pa: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")
    of_kind = getattr(pa, kind)()
    digests: list[Any] = []
    verdicts: list[Any] = []
    for batch in pieces(table, parquet):
        for first in range(0, len(batch), 3000):
            part = batch.slice(first, 3000)
            ders = part["der"].cast(of_kind)
            digests += pa.array(arrow.spki_sha256(ders)).to_pylist()
            found = arrow.verdicts(table.policy, part["host"], ders, now=NOON)
            verdicts += of_structs(pa.array(found).to_pylist())
    check(digests, table.digests)
    check(verdicts, table.verdicts)
    whole = parquet.read_table(table.path)
    ders = whole["der"].cast(of_kind)
    found = pa.array(arrow.spki_sha256(ders))
    found.validate(full=True)
    check(found.to_pylist(), table.digests)
    batch = pa.record_batch(arrow.verdicts(table.policy, whole["host"], ders, now=NOON))
    batch.validate(full=True)
    check(of_structs(batch.to_pylist()), table.verdicts)
    malformed = pa.array(arrow.spki_sha256(ders).malformed).to_pylist()
    nulls = ders.is_null().to_pylist()
    expected = [
        None if null else one is None
        for null, one in zip(nulls, table.digests, strict=True)
    ]
    check(malformed, expected)


def test_duckdb(table: Table) -> None:
    """As functions of SQL, which it calls with some rows at a time, in threads."""
    pa: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")
    duckdb: Any = client_library("duckdb")
    fields = "STRUCT(accepted BOOL, reason UTINYINT, rule UINTEGER, depth UINTEGER, "
    fields += "matched BLOB)"

    def digests_of(ders: Any) -> Any:  # noqa: ANN401
        return pa.array(arrow.spki_sha256(ders))

    def verdicts_of(hosts: Any, ders: Any) -> Any:  # noqa: ANN401
        return pa.array(arrow.verdicts(table.policy, hosts, ders, now=NOON))

    options = {"type": "arrow", "null_handling": "special"}
    with duckdb.connect() as connection:
        connection.create_function("digest", digests_of, ["BLOB"], "BLOB", **options)
        arguments = ["VARCHAR", "BLOB"]
        connection.create_function("verdict", verdicts_of, arguments, fields, **options)
        rows = connection.execute(
            f"SELECT digest(der), verdict(host, der) FROM '{table.path}'"  # noqa: S608
        ).fetchall()
        check([row[0] for row in rows], table.digests)
        check(of_structs([row[1] for row in rows]), table.verdicts)
        # An answer is a table of SQL, too.
        whole = parquet.read_table(table.path)
        answer = arrow.verdicts(table.policy, whole["host"], whole["der"], now=NOON)
        connection.register("answer", pa.table(answer))
        query = "SELECT count(*) FROM answer WHERE accepted"
        num = sum(one[0] is True for one in table.verdicts)
        assert connection.execute(query).fetchall() == [(num,)]


def test_polars(table: Table) -> None:
    """In lazy queries, in a frame that was put together, and in slices of it."""
    pl: Any = client_library("polars")

    def digests_of(ders: Any) -> Any:  # noqa: ANN401
        return pl.Series(arrow.spki_sha256(ders))

    lazy = pl.scan_parquet(table.path)
    digests = pl.col("der").map_batches(digests_of, return_dtype=pl.Binary)
    for engine in ("in-memory", "streaming"):
        found = lazy.select(digests).collect(engine=engine)
        check(found["der"].to_list(), table.digests)
    frame = lazy.collect()
    half = frame.height // 2 + 1
    frame = pl.concat([frame[:half], frame[half:]], rechunk=False)
    found = arrow.verdicts(table.policy, frame["host"], frame["der"], now=NOON)
    check(of_structs(pl.DataFrame(found).to_dicts()), table.verdicts)
    part = frame[half - 5 : half + 900]
    found = arrow.verdicts(table.policy, part["host"], part["der"], now=NOON)
    expected = table.verdicts[half - 5 : half + 900]
    check(of_structs(pl.DataFrame(found).to_dicts()), expected)


def test_dask(table: Table) -> None:
    """A task for each group of rows, in threads."""
    pa: Any = client_library("pyarrow")
    parquet: Any = client_library("pyarrow.parquet")
    dask: Any = client_library("dask")

    def of_group(group: int) -> tuple[list[Any], list[Any]]:
        with parquet.ParquetFile(table.path) as file:
            rows = file.read_row_group(group)
        digests = pa.array(arrow.spki_sha256(rows["der"]))
        found = arrow.verdicts(table.policy, rows["host"], rows["der"], now=NOON)
        return digests.to_pylist(), of_structs(pa.array(found).to_pylist())

    with parquet.ParquetFile(table.path) as file:
        tasks = [dask.delayed(of_group)(i) for i in range(file.num_row_groups)]
    groups = dask.compute(*tasks, scheduler="threads", num_workers=2)
    check([one for group in groups for one in group[0]], table.digests)
    check([one for group in groups for one in group[1]], table.verdicts)


# ---- chains, and types of the libraries --------------------------------------


def test_chains_in_lists_of_the_libraries(pki: Pki) -> None:
    """Lists of each kind, whole and in slices, of pyarrow and of Polars."""
    pa: Any = client_library("pyarrow")
    pl: Any = client_library("polars")
    policy = Policy({"a.example": [pki.ca.pin]}, unpinned="reject")
    chains = [pki.server.chain_der, None, [], [pki.server.der], [b"?"]] * 20
    hosts = ["a.example", "a.example", None, "b.example", "a.example"] * 20
    expected = [
        policy.evaluate(host, chain).accepted if host and chain is not None else None
        for host, chain in zip(hosts, chains, strict=True)
    ]
    names = pa.array(hosts)
    kinds = [
        make(of())
        for make in (pa.list_, pa.large_list)
        for of in (pa.binary, pa.large_binary, pa.binary_view)
    ]
    for kind in kinds:
        column = pa.array(chains, kind)
        for first in (0, 3, 41):
            found = arrow.verdicts(policy, names[first:], column[first:])
            accepted = pa.array(found).field("accepted").to_pylist()
            assert accepted == expected[first:]
    frame = pl.DataFrame({"host": hosts, "chain": chains})[7:]
    found = arrow.verdicts(policy, frame["host"], frame["chain"])
    assert pl.DataFrame(found)["accepted"].to_list() == expected[7:]


def test_types_of_pyarrow_that_are_refused(pki: Pki) -> None:
    """A table, texts, dictionaries, views of lists, and lists of one length."""
    pa: Any = client_library("pyarrow")
    der = pki.server.der
    ders = pa.array([der, der])
    calls: list[tuple[Callable[..., Any], Any, str]] = [
        (arrow.spki_sha256, pa.table({"der": ders}), r"got the Arrow type '\+s'"),
        (arrow.spki_sha256, pa.array(["text"]), "got the Arrow type 'u'"),
        (arrow.spki_sha256, ders.dictionary_encode(), "dictionary-encoded; decode it"),
        (arrow.spki_sha256, pa.array([1]), "got the Arrow type 'l'"),
        (arrow.spki_sha256, pa.array([[der]]), r"got the Arrow type '\+l'"),
    ]
    for call, wrong, message in calls:
        with pytest.raises(TypeError, match=message):
            call(wrong)
    for kind in (pa.list_(pa.binary(), 1), pa.list_view(pa.binary())):
        with pytest.raises(TypeError, match="chains: expected lists of binary"):
            arrow.verdicts(Policy({}), None, pa.array([[der]], kind))


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_the_core_reads_the_buffers_of_pyarrow(kind: str) -> None:
    """Data and offsets are not copied, of a slice of a chunked column neither."""
    pa: Any = client_library("pyarrow")
    of_kind = getattr(pa, kind)()
    one, two = pa.array([b"12", b"345"], of_kind), pa.array([b"6"] * 9, of_kind)
    column = pa.chunked_array([one, two])[1:8]
    for rows, chunk in zip(
        _read.read(column, "column", "certificates"), column.chunks, strict=True
    ):
        _, offsets, data = chunk.buffers()
        width = 4 if kind == "binary" else 8
        handle = rows.strings.handle
        assert int(ffi.cast("uintptr_t", handle.data)) == data.address
        at = int(ffi.cast("uintptr_t", handle.offsets.at))
        assert at == offsets.address + width * chunk.offset


def test_an_answer_goes_to_each_library_without_a_copy(pki: Pki) -> None:
    """Pyarrow has the very bytes that an answer has."""
    pa: Any = client_library("pyarrow")
    answer = arrow.spki_sha256(pa.array([pki.server.der]))
    ours, again = pa.array(answer), pa.chunked_array(answer)
    address = ours.buffers()[1].address
    assert again.chunk(0).buffers()[1].address == address
    del answer
    assert ours.to_pylist() == again.to_pylist() == [core.spki_sha256(pki.server.der)]


def test_entries_of_a_log_are_a_table() -> None:
    """Each field has its type, in pyarrow and in Polars."""
    pa: Any = client_library("pyarrow")
    pl: Any = client_library("polars")
    found = ct.Entries([*entries(), entries()[0]._replace(leaf_index=None)])
    batch = pa.record_batch(found)
    batch.validate(full=True)
    assert str(batch.schema.field("timestamp").type) == "timestamp[ms, tz=UTC]"
    rows = batch.to_pylist()
    assert [row["leaf_index"] for row in rows] == [one.leaf_index for one in found]
    assert [row["precertificate"] for row in rows] == [
        one.precertificate for one in found
    ]
    assert [row["certificate"] for row in rows] == [one.certificate for one in found]
    prints = [list(one.chain_sha256) for one in found]
    assert [row["chain_sha256"] for row in rows] == prints
    milliseconds = batch["timestamp"].cast(pa.int64()).to_pylist()
    assert milliseconds == [one.timestamp for one in found]
    frame = pl.DataFrame(found)
    assert frame["chain_sha256"].to_list() == prints
    assert pa.table(found).num_rows == frame.height == len(found)


# ---- the page ----------------------------------------------------------------


def test_the_page_prints_what_it_says(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each block runs, with the libraries that it is about."""
    for library in ("pyarrow", "polars", "duckdb", "dask"):
        client_library(library)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"leaf": pki.server.der, "ca": pki.ca.der}
    run_page(PAGE, names)
