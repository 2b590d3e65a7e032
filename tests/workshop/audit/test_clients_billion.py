"""The plan for many files, `docs/billion.md`: its blocks run, and its claims hold."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import certificate_tables
from optional import client_library
from pages import run_page
from pki import Pki
from places import ROOT

__all__: list[str] = []

PAGE = ROOT / "docs" / "billion.md"
NUM_ROWS = 3000


@pytest.fixture
def names(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the page, after each of its blocks has run."""
    client_library("pyarrow")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"leaf": pki.server.der, "ca": pki.ca.der}
    run_page(PAGE, names)
    return names


def test_findings_are_all_rows_that_are_not_accepted(
    names: dict[str, Any], tmp_path: Path
) -> None:
    """Malformed rows and null rows too; the number of rows is that of the file."""
    parquet: Any = client_library("pyarrow.parquet")
    policy = names["policy"] = certificate_tables.policy()
    source, target = tmp_path / "rows.parquet", tmp_path / "found.parquet"
    certificate_tables.write(source, NUM_ROWS)
    assert names["judge_file"](source, target) == NUM_ROWS
    expected: list[tuple[str | None, int | None]] = []
    for row in certificate_tables.rows(NUM_ROWS):
        if row.host is None or row.der is None:
            expected.append((row.host, None))
        elif not (report := policy.evaluate(row.host, [row.der])).accepted:
            expected.append((row.host, int(report.reason)))
    found = parquet.read_table(target).to_pylist()
    assert [(row["host"], row["reason"]) for row in found] == expected
    assert {reason for _, reason in expected} == {None, 0, 2, 5}
    keys = [row["key"] for row in found if row["reason"] == 0]
    assert all(len(key) == 32 for key in keys)


@pytest.mark.parametrize("length", [0, 100, -1000, -1])
def test_a_file_that_is_cut_is_a_failure(
    names: dict[str, Any], tmp_path: Path, length: int
) -> None:
    """It has no target, and no other file is lost for it."""
    good, bad = tmp_path / "good.parquet", tmp_path / "bad.parquet"
    certificate_tables.write(good, NUM_ROWS)
    bad.write_bytes(good.read_bytes()[:length])
    folder = tmp_path / "found"
    failures = names["judge_files"]([bad, good], folder)
    assert list(failures) == ["bad.parquet"]
    assert (folder / "good.parquet").exists()
    assert not (folder / "bad.parquet").exists()


def test_a_worker_that_dies_leaves_no_target(
    names: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stops it before the end; the next call judges the file again."""
    source, folder = tmp_path / "rows.parquet", tmp_path / "found"
    certificate_tables.write(source, NUM_ROWS)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            names["judge_files"]([source], folder)
    assert not (folder / source.name).exists()
    assert names["judge_files"]([source], folder) == {}
    assert (folder / source.name).exists()
