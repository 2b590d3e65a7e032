"""Spark: two executors give the same table as DuckDB, and `docs/spark.md` is right.

`make engines` runs this; `ARROW_ROWS=1000000 make engines` takes a million rows.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import certificate_tables
from optional import client_library
from pages import run_page
from pinverify import arrow
from pki import Pki
from places import ROOT
from policy_samples import NOON
from spark_sessions import CLUSTER, local_session

__all__: list[str] = []

pytestmark = [
    pytest.mark.slow,
    # Sockets to the JVM are closed by the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

NUM_ROWS = int(os.environ.get("ARROW_ROWS", "20000"))
NUM_FILES = 16
PAGE = ROOT / "docs" / "spark.md"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, which the JVM keeps all the time."""
    folder = tmp_path_factory.mktemp("spark")
    with contextlib.chdir(folder):
        yield folder


@pytest.fixture(scope="module")
def spark(folder: Path) -> Iterator[Any]:
    """A session with two executors, which are processes."""
    pyspark: Any = client_library("pyspark")
    assert Path.cwd() == folder
    session = local_session(CLUSTER)
    application = session.sparkContext.applicationId
    yield session
    session.stop()
    shutil.rmtree(Path(pyspark.__file__).parent / "work" / application)


@pytest.fixture(scope="module")
def names(spark: Any, pki: Pki) -> dict[str, Any]:  # noqa: ANN401
    """The names of the page, after each of its blocks has run."""
    names: dict[str, Any] = {"leaf": pki.server.der, "ca": pki.ca.der}
    names["__name__"] = "__main__"  # as in a script: functions are shipped by value
    run_page(PAGE, names)
    assert names["spark"] is spark
    return names


def test_two_executors_give_the_table_of_duckdb(
    names: dict[str, Any],
    spark: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each row of 16 files has the same answers, malformed ones and nulls included."""
    pa: Any = client_library("pyarrow")
    duckdb: Any = client_library("duckdb")
    policy = certificate_tables.policy()
    files, answers = tmp_path / "files", tmp_path / "answers"
    files.mkdir()
    certificate_tables.write_parts(files, NUM_ROWS, NUM_FILES)
    monkeypatch.setitem(names, "compiled", policy.compile())
    frame = spark.read.parquet(str(files))
    frame.mapInArrow(names["judge"], names["schema"]).write.parquet(str(answers))
    assert spark.sparkContext.master == CLUSTER
    fields = "STRUCT(accepted BOOL, reason UTINYINT, rule UINTEGER, depth UINTEGER, "
    fields += "matched BLOB)"

    def key(ders: Any) -> Any:  # noqa: ANN401
        return pa.array(arrow.spki_sha256(ders))

    def malformed(ders: Any) -> Any:  # noqa: ANN401
        return pa.array(arrow.spki_sha256(ders).malformed)

    def verdict(hosts: Any, ders: Any) -> Any:  # noqa: ANN401
        return pa.array(arrow.verdicts(policy, hosts, ders, now=NOON))

    options = {"type": "arrow", "null_handling": "special"}
    with duckdb.connect() as connection:
        add = connection.create_function
        add("key", key, ["BLOB"], "BLOB", **options)
        add("malformed", malformed, ["BLOB"], "BOOL", **options)
        add("verdict", verdict, ["VARCHAR", "BLOB"], fields, **options)
        connection.execute(
            "CREATE TABLE theirs AS SELECT id, key(der) AS key, malformed(der) AS "  # noqa: S608
            f"malformed, unnest(verdict(host, der)) FROM '{files}/*.parquet'"
        )
        connection.execute(
            f"CREATE TABLE ours AS SELECT * FROM '{answers}/*.parquet'"  # noqa: S608
        )
        counts = "SELECT count(*), count(DISTINCT id), count(key), count(accepted), "
        counts += "sum(malformed::INT), sum(accepted::INT) FROM "
        (ours,) = connection.execute(counts + "ours").fetchall()
        (theirs,) = connection.execute(counts + "theirs").fetchall()
        assert ours == theirs
        assert ours[:2] == (NUM_ROWS, NUM_ROWS)
        assert 0 < ours[4] < NUM_ROWS // 90
        for one, other in (("ours", "theirs"), ("theirs", "ours")):
            rows = connection.execute(
                f"SELECT id, key, malformed, accepted, reason, rule, depth, matched "  # noqa: S608
                f"FROM {one} EXCEPT ALL SELECT id, key, malformed, accepted, reason, "
                f"rule, depth, matched FROM {other} LIMIT 3"
            ).fetchall()
            assert rows == []


@pytest.fixture
def bare_python(tmp_path: Path) -> Path:
    """A Python that has the packages of this one, but not pinverify."""
    pyspark: Any = client_library("pyspark")
    folder = tmp_path / "bare"
    venv.create(folder)
    place = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    packages = Path(pyspark.__file__).parent.parent
    # A line of a .pth file is a folder whose own .pth files do not count, and in
    # those is where an editable install says where its source is.
    (folder / place / "others.pth").write_text(f"{packages}\n", encoding="utf-8")
    return folder / "bin" / "python"


def test_an_executor_without_pinverify_says_what_to_do(
    names: dict[str, Any],
    spark: Any,  # noqa: ANN401
    bare_python: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The job fails, and its error names the package, the Python and the next step."""
    errors: Any = client_library("pyspark.errors")
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(bare_python))
    where = f"{bare_python} on {names['socket'].gethostname()}"
    expected = f"No module named 'pinverify' in {where}: {names['ADVICE']}"
    frame = spark.read.parquet("certificates.parquet")
    with pytest.raises(errors.PythonException) as caught:
        frame.mapInArrow(names["judge"], names["schema"]).collect()
    assert f"ModuleNotFoundError: {expected}" in str(caught.value)
    assert names["spark"].sparkContext.parallelize([0], 1).map(
        names["version"]
    ).collect() == [expected]


def test_a_file_that_is_cut_fails_the_job(
    names: dict[str, Any],
    spark: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """No row is missing without an error."""
    errors: Any = client_library("py4j.protocol")
    path = tmp_path / "cut.parquet"
    certificate_tables.write(path, 3000)
    path.write_bytes(path.read_bytes()[:-1000])
    schema = "id long, host string, der binary"
    frame = spark.read.schema(schema).parquet(str(path))
    with pytest.raises(errors.Py4JJavaError, match=r"cut\.parquet"):
        frame.mapInArrow(names["judge"], names["schema"]).collect()
