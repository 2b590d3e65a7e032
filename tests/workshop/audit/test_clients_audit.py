"""`pinverify audit` on tables of pyarrow: Parquet, Arrow IPC, findings, and bounds.

Slow tests take many rows:
`make clients TESTS="-m slow tests/workshop/audit/test_clients_audit.py"`.
"""

from __future__ import annotations

import base64
import gc
import os
import random
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

import pki
from audit_samples import MINE, cast, keys_of_its_own, planted, write_log
from cli_runs import Ended, answer, assert_no_answer, ended, process, run
from optional import client_library
from pinverify import Pin, core, ct
from pinverify.audit._findings_file import FindingsFile
from pinverify.audit._rows import Wanted
from pinverify.audit._tables import read_parquet
from places import ROOT
from test_cli_manual import COLUMNS, TERMINAL, Page

__all__: list[str] = []

PAGE = ROOT / "docs" / "audit.md"
NUM, OF_A_GROUP = 3000, 1000


@pytest.fixture(autouse=True)
def pa() -> Any:  # noqa: ANN401
    """The library pyarrow."""
    client_library("pyarrow.parquet")
    return client_library("pyarrow")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of the samples."""
    path = tmp_path / "pins.toml"
    path.write_text(cast().policy, encoding="ascii")
    return path


class Row(NamedTuple):
    """A row of the tables."""

    host: str | None
    der: bytes | None


def rows(num: int = NUM) -> list[Row]:
    """Return rows: one in ten ours, of these one in ten with another key."""
    others = keys_of_its_own(cast().stranger.der, num)
    rogues = keys_of_its_own(cast().rogue.der, num)
    found = []
    for i in range(num):
        row = Row("www.example.net", next(others))
        if i % 100 == 5:
            row = Row(MINE, next(rogues))
        elif i % 10 == 5:
            row = Row(MINE, cast().renewed.der)
        elif i % 1000 == 8:
            row = Row(MINE, b"\x30\x03abc")
        elif i % 1000 == 9:
            row = Row(None, cast().rogue.der)
        elif i % 1000 == 10:
            row = Row(MINE, None)
        found.append(row)
    return found


COUNTS = {"rows": NUM, "accepted": NUM // 10 - NUM // 100, "malformed": NUM // 1000}
COUNTS |= {"null": 2 * NUM // 1000}
REJECTED = NUM // 100


def counts(found: dict[str, Any]) -> dict[str, int]:
    """Return the counts that are compared."""
    return {name: found[name] for name in COUNTS}


def table(pa: Any, kind: str = "binary") -> Any:  # noqa: ANN401
    """Return the rows as a table."""
    hosts, ders = zip(*rows(), strict=True)
    columns = {"note": list(range(NUM)), "der": ders, "hostname": hosts}
    found = pa.table(columns)
    return found.set_column(1, "der", found["der"].cast(getattr(pa, kind)()))


def write(pa: Any, path: Path, one: Any, form: str = "parquet", **more: Any) -> Path:  # noqa: ANN401
    """Write a table in one of the forms that are read."""
    if form == "parquet":
        more = {"row_group_size": OF_A_GROUP, "compression": "none"} | more
        client_library("pyarrow.parquet").write_table(one, path, **more)
        return path
    make = pa.ipc.new_file if form == "ipc file" else pa.ipc.new_stream
    with make(path, one.schema) as writer:
        writer.write_table(one, OF_A_GROUP)
    return path


# ---- what is read ------------------------------------------------------------

FORMS = ("parquet", "ipc file", "ipc stream")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", ["binary", "large_binary", "binary_view"])
def test_each_form_and_type(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
    kind: str,
) -> None:
    """The counts are those of the rows, and each finding has its row."""
    if form == "parquet" and kind == "binary_view":
        kind = "binary"
    path = write(pa, tmp_path / "table", table(pa, kind), form)
    target = tmp_path / "found.parquet"
    done = run("audit", path, "--policy", policy, "-o", target)
    assert (done.code, done.err) == (1, "")
    found = answer("audit", path, "--policy", policy)
    assert counts(found) == COUNTS
    assert found["rejected"] == {"MISMATCH": REJECTED}
    assert found["complete"]
    findings = client_library("pyarrow.parquet").read_table(target).to_pylist()
    assert len(findings) == REJECTED + COUNTS["malformed"]
    wanted = rows()
    for one in findings:
        row = wanted[one["row"]]
        assert (one["source"], one["host"]) == (str(path), row.host)
        assert row.der is not None
        if one["reason"] == "MALFORMED":
            assert one["spki_sha256"] is None
        else:
            assert one["reason"] == "MISMATCH"
            assert one["spki_sha256"] == core.spki_sha256(row.der)
            certificate = cast().rogue.certificate
            assert one["not_after"] == certificate.not_valid_after_utc
            assert one["rule"] == MINE
        assert not one["accepted"]


@pytest.mark.parametrize("form", FORMS)
def test_dictionaries_and_texts(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
) -> None:
    """Values of a dictionary, and PEM in texts of each kind."""
    few = {
        "host": [MINE, MINE, None],
        "pem": [cast().pinned.pem, cast().rogue.pem, "?"],
    }
    for kind in ("string", "large_string", "dictionary"):
        one = pa.table(few)
        for i, name in enumerate(few):
            column = one[name].combine_chunks()
            column = (
                column.dictionary_encode()
                if kind == "dictionary"
                else column.cast(getattr(pa, kind)())
            )
            one = one.set_column(i, name, column)
        path = write(pa, tmp_path / f"{kind}.{form[:3]}", one, form)
        found = answer("audit", path, "--policy", policy)
        assert (found["accepted"], found["rejected"]) == (1, {"MISMATCH": 1})
        assert (found["null"], found["faults"]) == (1, [])


def test_a_table_without_hosts_is_searched_by_names(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
) -> None:
    """As a log is; and a folder of tables is one input."""
    folder = tmp_path / "tables"
    folder.mkdir()
    write(pa, folder / "a.parquet", table(pa).drop_columns(["hostname"]))
    write(pa, folder / "b.arrow", table(pa).select(["der"]), "ipc file")
    target = folder / "findings.parquet"
    for _ in range(2):  # what was written is no input
        found = answer("audit", folder, "--policy", policy, "-o", target)
        rejected = 2 * (REJECTED + NUM // 1000)  # those without a host as well
        assert found["rejected"] == {"MISMATCH": rejected}
        assert found["null"] == 2 * NUM // 1000


@pytest.mark.parametrize("form", FORMS)
def test_two_columns_of_one_name_are_refused(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
) -> None:
    """Nobody knows the one that is meant."""
    one = table(pa)
    for name in ("der", "hostname"):
        path = write(pa, tmp_path / "table", one.append_column(name, one[name]), form)
        done = run("audit", path, "--policy", policy)
        assert_no_answer(done, f"the column '{name}' has the type of two columns")


@pytest.mark.parametrize("form", FORMS)
def test_a_column_of_texts_may_begin_with_nulls(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
) -> None:
    """They are counted, and what is behind them is read."""
    cells = [None] * OF_A_GROUP + [cast().rogue.pem]
    path = write(pa, tmp_path / "table", pa.table({"pem": cells}), form)
    found = answer("audit", path, "--policy", policy)
    assert (found["null"], found["rejected"]) == (OF_A_GROUP, {"MISMATCH": 1})
    assert found["faults"] == []


def test_a_stream_ends_once_and_the_file_with_it(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
) -> None:
    """Cut between batches, or with another behind it, it is not read as a whole."""
    path = write(pa, tmp_path / "table", table(pa), "ipc stream")
    whole = path.read_bytes()
    for data, phrase in (
        (whole[:-8], "without the mark of its end"),
        (whole + whole, "bytes follow the end of the stream"),
        (whole + b"x", "bytes follow the end of the stream"),
    ):
        path.write_bytes(data)
        found = answer("audit", path, "--policy", policy)
        assert (found["rows"], len(found["faults"])) == (NUM, 1)
        assert phrase in found["faults"][0]
        assert run("audit", path, "--policy", policy).code == 2


def test_findings_replace_only_findings_in_a_folder(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
) -> None:
    """A table of certificates there is neither overwritten nor passed over."""
    folder = tmp_path / "in"
    folder.mkdir()
    path = write(pa, folder / "a.parquet", table(pa))
    whole = path.read_bytes()
    done = run("audit", folder, "--policy", policy, "-o", path)
    assert_no_answer(done, "is in a folder that is an input; name another file")
    assert path.read_bytes() == whole


def test_findings_in_files_whose_names_are_no_text(
    tmp_path: Path, policy: Path
) -> None:
    """The name of a file is bytes; in the table it is escaped."""
    (tmp_path / "in").mkdir()
    for name in (b"\xff.der", b"a\n.der"):
        path = os.fsencode(tmp_path / "in") + b"/" + name
        Path(os.fsdecode(path)).write_bytes(cast().rogue.der)
    target = tmp_path / "found.parquet"
    assert run("audit", tmp_path / "in", "--policy", policy, "-o", target).code == 1
    findings = client_library("pyarrow.parquet").read_table(target).to_pylist()
    names = [one["source"].rpartition("/")[2] for one in findings]
    assert names == ["a\\n.der", "\\udcff.der"]


def test_a_log_leads_to_findings(tmp_path: Path, policy: Path) -> None:
    """With the tile, the number of the entry in it, and its number in the log."""
    write_log(tmp_path / "log", NUM)
    target = tmp_path / "found.parquet"
    assert run("audit", tmp_path / "log", "--policy", policy, "-o", target).code == 1
    findings = client_library("pyarrow.parquet").read_table(target).to_pylist()
    assert [one["leaf_index"] for one in findings] == [p.entry for p in planted(NUM)]
    for one, plant in zip(findings, planted(NUM), strict=True):
        entries = ct.read_tile(Path(one["source"]).read_bytes())
        assert entries[one["row"]].certificate == plant.der
        assert one["host"] == plant.host
        pin = Pin.spki(one["spki_sha256"])
        assert pin == Pin.from_certificate(plant.der)


# ---- what is refused ---------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_columns_that_do_not_fit(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
) -> None:
    """Another name or type is one line, with the option that names another column."""
    path = write(pa, tmp_path / "table", table(pa), form)
    numbers = write(pa, tmp_path / "numbers", pa.table({"der": [1], "b": ["a"]}), form)
    texts = write(pa, tmp_path / "texts", pa.table({"der": ["?"]}), form)
    none = write(pa, tmp_path / "none", pa.table({"a": [b"1"]}), form)
    empty = write(pa, tmp_path / "empty", table(pa)[:0], form)
    for one, options, phrase in (
        (path, ("--certificates", "x"), "no column 'x'; it has 'note', 'der'"),
        (path, ("--hosts", "x"), "no column 'x'; it has 'note', 'der'"),
        (path, ("--hosts", "note"), "'note' has the type int64; hosts are text"),
        (numbers, (), "'der' has the type int64; certificates are binary (DER) or"),
        (texts, (), "'der' has no PEM and no base64 of DER, but '?'; name another"),
        (none, (), "no column of certificates among 'a'; name it with --certif"),
        (empty, (), "nothing to audit"),
    ):
        done = run("audit", one, "--policy", policy, *options)
        assert_no_answer(done, phrase)
        assert str(one) in done.err
    found = answer("audit", none, "--policy", policy, "--certificates", "a")
    assert found["malformed"] == 1


def test_files_that_are_cut(pa: Any, tmp_path: Path, policy: Path) -> None:  # noqa: ANN401
    """Each is named, the others are read, and no findings of a failed run are kept."""
    good = write(pa, tmp_path / "good.parquet", table(pa))
    for form in FORMS:
        path = write(pa, tmp_path / "cut", table(pa), form)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) * 2 // 3])
        done = run("audit", good, path, "--policy", policy)
        assert done.code == 2
        assert done.err.startswith(f"pinverify: {path}: ")
        assert "MISMATCH" in done.out
        target = tmp_path / "found.parquet"
        alone = run("audit", path, "--policy", policy, "-o", target)
        assert alone.code == 2
        if form == "ipc stream":  # what came before the cut
            assert "batch 1 and all after it" in alone.err or "batch 2" in alone.err
            target.unlink()
        assert not target.exists()


@pytest.mark.parametrize("whole", [True, False])
def test_an_encrypted_file_is_told_apart_from_a_corrupt_one(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    whole: bool,  # noqa: FBT001
) -> None:
    """Its metadata is encrypted, or the certificates alone."""
    encryption: Any = client_library("pyarrow.parquet.encryption")
    parquet: Any = client_library("pyarrow.parquet")

    class KeepsKeys(encryption.KmsClient):  # type: ignore[misc]
        def wrap_key(self, key: bytes, _: str) -> bytes:
            return base64.b64encode(key)

    factory = encryption.CryptoFactory(lambda _: KeepsKeys())
    properties = factory.file_encryption_properties(
        encryption.KmsConnectionConfig(),
        encryption.EncryptionConfiguration(
            footer_key="one", column_keys={"two": ["der"]}, plaintext_footer=not whole
        ),
    )
    path, content = tmp_path / "secret.parquet", table(pa)
    with parquet.ParquetWriter(
        path, content.schema, encryption_properties=properties
    ) as writer:
        writer.write_table(content)
    done = run("audit", path, "--policy", policy)
    assert done.code == 2
    assert "it is encrypted, so write a copy that is not" in done.err
    assert "again" not in done.err


@pytest.mark.parametrize("checksums", [False, True])
@pytest.mark.parametrize("compression", ["none", "zstd"])
def test_a_corrupt_row_group_is_named_and_the_others_are_read(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    compression: str,
    checksums: bool,  # noqa: FBT001
) -> None:
    """Wherever bytes of it are changed, the other groups lose no row."""
    options: dict[str, Any] = {
        "compression": compression,
        "write_page_checksum": checksums,
    }
    path = write(pa, tmp_path / "table.parquet", table(pa), **options)
    whole = path.read_bytes()
    parquet: Any = client_library("pyarrow.parquet")
    group = parquet.ParquetFile(path).metadata.row_group(1).column(1)
    start = group.dictionary_page_offset or group.data_page_offset
    size = group.total_compressed_size
    rng = random.Random(1)  # noqa: S311
    faults = 0
    for at in [0, 1, 5, size // 2, *(rng.randrange(size) for _ in range(20))]:
        damaged = bytearray(whole)
        for i in range(8):
            damaged[start + min(at + i, size - 1)] ^= rng.randrange(1, 256)
        path.write_bytes(damaged)
        done = run("audit", path, "--policy", policy)
        found = answer("audit", path, "--policy", policy)
        assert found["rows"] >= 2 * OF_A_GROUP
        if found["faults"]:
            faults += 1
            assert done.code == 2
            assert "row group 1, rows " in done.err
            assert str(path) in done.err
        else:  # what was changed is inside of a certificate
            assert found["rows"] == NUM
            assert not checksums
    assert faults >= (24 if checksums else 1)


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_corrupt_file_of_arrow_never_crashes(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    form: str,
) -> None:
    """Offsets that lead elsewhere are found before the core sees them."""
    path = write(pa, tmp_path / "table", table(pa), form)
    whole = path.read_bytes()
    rng = random.Random(2)  # noqa: S311
    for _ in range(60):
        damaged = bytearray(whole)
        at = rng.randrange(len(whole)) if rng.random() < 0.5 else rng.randrange(9000)
        damaged[at : at + 8] = rng.randbytes(8)
        path.write_bytes(damaged[: len(whole)])
        done = run("audit", path, "--policy", policy)
        assert done.code in {1, 2}
        assert done.err.startswith(f"pinverify: {path}: ") == (done.code == 2)


# ---- bounds ------------------------------------------------------------------


def test_a_large_row_group_is_read_in_pieces(pa: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """No batch has more than some megabytes, however the file was written."""
    one = pa.table({"der": list(keys_of_its_own(cast().rogue.der, 9000))})
    path = write(pa, tmp_path / "table.parquet", one, row_group_size=9000)
    sizes = [
        batch.certs.num  # type: ignore[union-attr]
        for batch in read_parquet(path, "", Wanted(), lambda _: None)
    ]
    assert sum(sizes) == 9000
    assert max(sizes) <= 4096
    large = pa.table({"der": [os.urandom(1 << 18) for _ in range(200)]})
    write(pa, path, large, row_group_size=200)
    pieces = read_parquet(path, "", Wanted(), lambda _: None)
    assert max(batch.certs.num for batch in pieces) <= 64  # type: ignore[union-attr]


def peak(*arguments: object) -> tuple[int, int]:
    """Run an audit in a process of its own; return its exit code and peak RSS in kB."""
    child = process("audit", *arguments)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    child.communicate()
    return child.returncode, usage.ru_maxrss


def repeated(pa: Any, path: Path, num: int, *, one_group: bool) -> Path:  # noqa: ANN401
    """Write *num* rows with hosts, in one row group or in many."""
    parquet: Any = client_library("pyarrow.parquet")
    one = table(pa).select(["hostname", "der"])
    options = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, one.schema, **options) as writer:
        if one_group:
            whole = pa.concat_tables([one] * (num // NUM))
            writer.write_table(whole, row_group_size=num)
        else:
            for _ in range(num // NUM):
                writer.write_table(one)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("one_group", [False, True])
def test_memory_does_not_grow_with_the_rows(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
    one_group: bool,  # noqa: FBT001
) -> None:
    """Four times the rows take no more, in many row groups or in one."""
    target = tmp_path / "found.parquet"
    sizes = []
    for num in (100 * NUM, 400 * NUM):
        path = repeated(pa, tmp_path / "table.parquet", num, one_group=one_group)
        code, size = peak(path, "--policy", policy, "-o", target)
        assert code == 1
        sizes.append(size)
        path.unlink()
    assert sizes[1] < 1.15 * sizes[0]
    assert max(sizes) < 500_000


@pytest.mark.slow
def test_a_log_of_many_entries(tmp_path: Path, policy: Path) -> None:
    """Exactly the planted certificates are found among 100,000."""
    num = 100_000
    write_log(tmp_path / "log", num)
    found = answer("audit", tmp_path / "log", "--policy", policy)
    keys = {(o["host"], key["pin"]) for o in found["outside"] for key in o["keys"]}
    plants = planted(num)
    assert keys == {(p.host, str(Pin.from_certificate(p.der))) for p in plants}
    assert (found["rows"], found["rejected"]) == (num, {"MISMATCH": len(plants)})


# ---- Ctrl-C ------------------------------------------------------------------


def test_ctrl_c_at_any_moment_leaves_no_output(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    policy: Path,
) -> None:
    """Exit code 130 and not a word, or all was done already."""
    path = repeated(pa, tmp_path / "table.parquet", 20 * NUM, one_group=False)
    folder = tmp_path / "out"
    folder.mkdir()
    target, picture = folder / "found.parquet", folder / "keys.svg"
    outputs = ("-o", target, "--plot", picture)
    begin = time.monotonic()
    assert ended(process("audit", path, "--policy", policy, *outputs)).code == 1
    whole = time.monotonic() - begin
    interrupted = 0
    for part in (*range(1, 20, 2), *range(2, 20, 2)):
        target.write_bytes(b"old")
        picture.write_bytes(b"old")
        begin = time.monotonic()
        child = process("audit", path, "--policy", policy, *outputs)
        time.sleep(whole * (0.2 + 0.045 * part))
        child.send_signal(signal.SIGINT)
        done = ended(child)
        assert {one.name for one in folder.iterdir()} == {target.name, picture.name}
        if done.code == 130:
            interrupted += 1
            assert done == Ended(130, "", "")
        else:  # the machine is faster than it was
            whole = min(whole, time.monotonic() - begin)
        for one, ending in ((target, b"PAR1"), (picture, b"</svg>\n")):
            assert one.read_bytes() == b"old" or one.read_bytes().endswith(ending)
    assert interrupted >= 5


def test_a_writer_that_is_freed_after_its_file_says_nothing(
    pa: Any,  # noqa: ANN401, ARG001
    tmp_path: Path,
) -> None:
    """Ctrl-C between the making of a writer and its block leaves it so."""
    with (tmp_path / "found.parquet").open("wb") as file:
        left = FindingsFile(file)
    said: list[object] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "unraisablehook", said.append)
        del left
        gc.collect()
    assert not said


# ---- the page ----------------------------------------------------------------


def test_the_page_shows_what_happens(
    pa: Any,  # noqa: ANN401
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Commands and code print what docs/audit.md says; UPDATE=1 writes it there."""
    numbers = iter(range(1, 100))
    monkeypatch.setattr(
        pki,
        "_new_key",
        lambda _: ec.derive_private_key(next(numbers), ec.SECP256R1()),
    )
    monkeypatch.chdir(tmp_path)
    for name, value in TERMINAL.items():
        monkeypatch.setenv(name, value)
    for made in (cast, planted):
        made.cache_clear()
    try:
        write(pa, Path("scan.parquet"), table(pa))
        write_log(Path("log"), NUM)
        page = Page(PAGE)
        page.read()
        assert f"```toml\n{cast().policy}```" in page.text
    finally:
        for made in (cast, planted):
            made.cache_clear()
    if os.environ.get("UPDATE"):
        PAGE.write_text(page.text, encoding="utf-8")
    assert page.text == PAGE.read_text(encoding="utf-8")
    assert max(map(len, re.findall(r"(?m)^[╭│ ].*$", page.text))) <= COLUMNS
