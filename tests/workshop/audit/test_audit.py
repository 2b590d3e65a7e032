"""`pinverify audit` on folders, PEM, tiles and CSV, which need no other library."""

from __future__ import annotations

import base64
import gzip
import importlib.util
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from audit_samples import MINE, cast, log_entries, planted, write_log
from cli_runs import Ended, answer, assert_no_answer, ended, on_terminal, process, run
from pinverify import UNPINNED, Pin, Rules
from pinverify.arrow._read import some
from pinverify.audit import _inputs, _summary
from pinverify.audit._judge import Names
from pinverify.core._keys import Column
from places import ROOT
from test_ct import tile

__all__: list[str] = []

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of the samples."""
    path = tmp_path / "pins.toml"
    path.write_text(cast().policy, encoding="ascii")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with certificates of each kind, and something else."""
    path = tmp_path / "certificates"
    (path / "more").mkdir(parents=True)
    (path / "pinned.der").write_bytes(cast().pinned.der)
    (path / "more" / "mixed.pem").write_text(
        "a text\n" + cast().rogue.pem + cast().pinned.key_pem + cast().stranger.pem,
        encoding="ascii",
    )
    (path / "malformed.crt").write_bytes(cast().rogue.der[:-1])
    (path / "README").write_text("no certificate", encoding="ascii")
    (path / "key.pem").write_text(cast().rogue.key_pem, encoding="ascii")
    (path / ".hidden.der").write_bytes(cast().rogue.der)
    return path


def write_csv(path: Path, rows: Sequence[Sequence[str]], delimiter: str = ",") -> Path:
    """Write a table; cells may have line ends."""
    lines = (delimiter.join(f'"{cell}"' for cell in row) for row in rows)
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    return path


# ---- what is read ------------------------------------------------------------


def test_a_folder_is_judged_by_the_names_of_its_certificates(
    folder: Path, policy: Path
) -> None:
    """Every kind of result is counted once, and the key is named with its place."""
    found = answer("audit", folder, "--policy", policy)
    assert run("audit", folder, "--policy", policy).code == 1
    pin = cast().rogue.pin
    place = {"source": str(folder / "more" / "mixed.pem"), "row": 0}
    assert found["outside"] == [
        {
            "host": MINE,
            "certificates": 1,
            "keys": [{"pin": pin, "certificates": 1, **place}],
            "under_more_keys": 0,
        }
    ]
    counts: dict[str, Any] = {
        "rows": 4,
        "null": 0,
        "malformed": 1,
        "no_rule": 1,
        "accepted": 1,
    }
    counts |= {"rejected": {"MISMATCH": 1}, "unmatched": {}, "left_out": 2}
    counts |= {"complete": True, "faults": [], "more_faults": 0, "more_outside": 0}
    assert {name: found[name] for name in counts} == counts
    malformed = str(folder / "malformed.crt")
    assert found["first_malformed"] == {"source": malformed, "row": 0}
    said = run("audit", folder, "--policy", policy, "--plot", folder / "a.svg").out
    assert f"the first malformed one is in {malformed}, row 0\n" in said
    assert said.endswith(f"the drawing in {folder / 'a.svg'}\n")
    (absent,) = found["never_seen"]
    assert [one["certificates"] for one in found["pins"]].count(1) == 1
    assert {one["pin"] for one in found["pins"]} == {cast().pinned.pin, absent}


def test_the_page_names_every_key_of_the_json(folder: Path, policy: Path) -> None:
    """In the order in which they are printed."""
    page = (ROOT / "docs" / "audit.md").read_text(encoding="utf-8")
    table = page.partition("## JSON")[2].partition("\n## ")[0]
    named = re.findall(r"(?m)^\| (`.*?`) \|", table)
    keys = re.findall(r"`(\w+)`", " ".join(named))
    assert keys == list(answer("audit", folder, "--policy", policy))


def test_a_terminal_gets_a_table_of_eighty_columns(folder: Path, policy: Path) -> None:
    """Every pin stays in one piece, and nothing is wider."""
    code, shown = on_terminal(
        "audit", folder, "--policy", policy, columns=80, NO_COLOR="1"
    )
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).splitlines()
    assert code == 1
    assert max(len(line) for line in lines if str(folder) not in line) <= 80
    assert any(re.search(r"│ rejected +│ MISMATCH, .* +1 │", line) for line in lines)
    assert f"    {cast().rogue.pin}" in lines


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("form", ["pem", "base64"])
def test_csv_has_hosts_or_the_names_of_certificates(
    tmp_path: Path, policy: Path, delimiter: str, form: str
) -> None:
    """PEM goes over several lines of a cell; an empty cell is null."""

    def cell(der: bytes, pem: str) -> str:
        return pem if form == "pem" else base64.b64encode(der).decode("ascii")

    pinned = cell(cast().pinned.der, cast().pinned.pem)
    rogue = cell(cast().rogue.der, cast().rogue.pem)
    rows = [
        ["Host", "PEM", "note"],
        [MINE, pinned, ""],
        [MINE, rogue, "a"],
        ["www.example.net", rogue, ""],
        ["", rogue, ""],
        [MINE, "", ""],
        [MINE, "MIIB", ""],
        ["www.example.net", "MIIB", ""],
        [MINE],
    ]
    table = write_csv(tmp_path / "table.csv", rows, delimiter)
    found = answer("audit", table, "--policy", policy)
    counts = ("rows", "accepted", "rejected", "no_rule", "null", "malformed")
    assert [found[name] for name in counts] == [8, 1, {"MISMATCH": 1}, 1, 2, 3]
    assert found["outside"][0]["keys"][0]["row"] == 1
    rows[0][0] = "whatever"
    write_csv(table, rows, delimiter)
    found = answer("audit", table, "--policy", policy)
    assert [found[name] for name in counts] == [8, 1, {"MISMATCH": 3}, 0, 1, 3]
    found = answer("audit", table, "--policy", policy, "--hosts", "whatever")
    assert [found[name] for name in counts] == [8, 1, {"MISMATCH": 1}, 1, 2, 3]


def test_rows_before_a_fault_of_csv_are_judged(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that never ends is named by its line."""
    monkeypatch.setattr(_inputs, "_CELL_MAX", 5000)
    rows = [["host", "pem"], [MINE, cast().rogue.pem], [MINE, 6000 * "M"]]
    table = write_csv(tmp_path / "table.csv", rows)
    done = run("audit", table, "--policy", policy)
    assert done.code == 2
    assert "after row 1, line " in done.err
    assert "MISMATCH" in done.out


def test_pem_without_an_end_is_malformed(tmp_path: Path, policy: Path) -> None:
    """It is a row, wherever it is; another kind of block is none."""
    text = cast().pinned.pem
    cut = text[: len(text) // 2]
    file = tmp_path / "some.pem"
    file.write_text(cut + "\n" + text + cast().pinned.key_pem + cut, "ascii")
    found = answer("audit", file, "--policy", policy)
    assert [found[name] for name in ("rows", "accepted", "malformed")] == [3, 1, 2]


# ---- logs --------------------------------------------------------------------

NUM = 1500


def outside(found: dict[str, Any]) -> set[tuple[str | None, str]]:
    """Return hosts and pins of an answer in JSON."""
    return {(o["host"], key["pin"]) for o in found["outside"] for key in o["keys"]}


def expected(num: int) -> set[tuple[str | None, str]]:
    """Return those of the planted certificates."""
    return {(one.host, str(Pin.from_certificate(one.der))) for one in planted(num)}


def test_a_log_gives_the_keys_for_my_hosts_that_are_not_pinned(
    tmp_path: Path, policy: Path
) -> None:
    """Exact names, wildcards, upper case, below a domain; and no other certificate."""
    write_log(tmp_path / "log", NUM)
    done = run("audit", tmp_path / "log", "--policy", policy)
    assert done.code == 1
    found = answer("audit", tmp_path / "log", "--policy", policy)
    assert outside(found) == expected(NUM)
    assert found["rejected"] == {"MISMATCH": 5}
    assert (found["rows"], found["accepted"]) == (NUM, NUM // 50)
    again = answer("audit", tmp_path / "log" / "tile" / "data", "--policy", policy)
    assert outside(again) == expected(NUM)


def test_every_name_is_read_where_there_are_many_domains(tmp_path: Path) -> None:
    """A policy with more domains than are searched for finds the same."""
    pins = [cast().pinned.pin]
    many = {f"www.example{i}.net": pins for i in range(40)}
    lines = "".join(f'[hosts."{name}"]\npins = {pins}\n' for name in many)
    policy = tmp_path / "pins.toml"
    policy.write_text(cast().policy + lines.replace("'", '"'), encoding="ascii")
    write_log(tmp_path / "log", NUM)
    assert outside(answer("audit", tmp_path / "log", "--policy", policy)) == expected(
        NUM
    )


def test_the_search_for_domains_leaves_out_no_name() -> None:
    """Each row with a domain is found, also behind one that ends inside of it."""
    pins = [cast().pinned.pin]
    rules = Rules({"a.example.com": pins, "192.0.2.65": pins})
    rows = [
        b"..ExAmPlE.cOm",
        b"",
        b"example.",
        b"com",
        b"\xc0\x00\x02A",
        b"example.com",
    ]
    column = Column.of_list([b"xyz", *rows, b"example.comexample.com"])
    assert list(Names(rules).candidates(some(column, 1, 7))) == [0, 2, 4, 5, 6]
    assert list(Names(Rules({})).candidates(column)) == []


@pytest.mark.parametrize(
    ("name", "judged"),
    [
        ("a.example.com", ["a.example.com"]),
        ("A.EXAMPLE.COM", ["a.example.com"]),
        ("*.example.com", ["a.example.com", "b.example.com"]),
        ("*.x.example.org", ["*.x.example.org"]),
        ("*.example.org", ["*.example.org"]),
        ("free.example.org", []),
        ("*.free.example.org", ["*.free.example.org"]),
        ("*.com", []),
        ("example.com", []),
        ("a_b.example.org", ["a_b.example.org"]),
        ("..", []),
    ],
)
def test_names_with_a_rule(name: str, judged: list[str]) -> None:
    """A wildcard stands for hosts of the policy, and for any other that it covers."""
    pins = [cast().pinned.pin]
    rules = Rules(
        {
            "a.example.com": pins,
            "b.example.com": pins,
            "**.example.org": pins,
            "free.example.org": UNPINNED,
        }
    )
    found = Names(rules)._with_rule(name)  # noqa: SLF001
    assert [one.shown for one in found] == judged


def test_names_that_cannot_be_read_are_findings(tmp_path: Path, policy: Path) -> None:
    """A certificate with my domain in it is never passed over."""
    der = cast().rogue.der
    name = b"\x82" + bytes([len(MINE)]) + MINE.encode()
    assert der.count(name) == 1
    damaged = der.replace(name, b"\x82\x7f" + name[2:])
    (tmp_path / "damaged.der").write_bytes(damaged)
    found = answer("audit", tmp_path / "damaged.der", "--policy", policy)
    assert found["rejected"] == {_summary.UNREADABLE: 1}
    assert found["outside"][0]["host"] is None


def test_a_cut_tile_is_named_and_nothing_before_it_is_lost(
    tmp_path: Path, policy: Path
) -> None:
    """The exit code says that the audit is not complete; other tiles are read."""
    write_log(tmp_path / "log", NUM)
    data = tmp_path / "log" / "tile" / "data"
    whole = (data / "001").read_bytes()
    (data / "001").write_bytes(whole[:-1])
    damaged = bytearray((data / "003").read_bytes())
    damaged[8:10] = b"\x09\x09"
    (data / "003").write_bytes(damaged)
    found = answer("audit", tmp_path / "log", "--policy", policy)
    assert run("audit", tmp_path / "log", "--policy", policy).code == 2
    assert found["rows"] == NUM - 1 - 256
    assert [
        str(data / name) in fault
        for name, fault in zip(("001", "003"), found["faults"], strict=True)
    ] == [True, True]
    assert "entry 255" in found["faults"][0]
    assert "entry 0" in found["faults"][1]
    assert not found["complete"]


def test_tiles_that_are_compressed_or_partial(tmp_path: Path, policy: Path) -> None:
    """A partial tile counts only if there is no longer one; a cut one loses nothing."""
    entries = list(log_entries(300))[:300]
    data = tmp_path / "tile" / "data"
    for name in ("000.p", "001.p"):
        (data / name).mkdir(parents=True)
    (data / "000").write_bytes(gzip.compress(tile(entries[:256])))
    (data / "000.p" / "9").write_bytes(tile(entries[:9]))
    for num in (9, 10):
        (data / "001.p" / str(num)).write_bytes(tile(entries[256 : 256 + num]))
    (tmp_path / "tile" / "0").mkdir()
    (tmp_path / "tile" / "0" / "000").write_bytes(b"\x30" * 32)
    found = answer("audit", tmp_path, "--policy", policy)
    assert (found["rows"], found["faults"]) == (266, [])
    whole = (data / "000").read_bytes()
    (data / "000").write_bytes(whole[: len(whole) // 2])
    found = answer("audit", tmp_path, "--policy", policy)
    assert 10 < found["rows"] < 266
    assert len(found["faults"]) == 1
    assert "cut" in found["faults"][0]


@pytest.mark.parametrize("keep", ["tile/data", "kept"])
def test_a_tile_is_known_by_its_name_whatever_it_holds(
    tmp_path: Path, policy: Path, keep: str
) -> None:
    """One that is corrupt from its first byte on is named, and so is an empty one."""
    folder = tmp_path / "log" / keep
    folder.mkdir(parents=True)
    (folder / "000").write_bytes(tile(list(log_entries(256))))
    (folder / "001").write_bytes(b"\xee" + tile(list(log_entries(9)))[1:])
    (folder / "002").touch()
    found = answer("audit", tmp_path / "log", "--policy", policy)
    assert (found["rows"], found["left_out"]) == (256, 0)
    named = [fault.partition(": ")[0] for fault in found["faults"]]
    assert named == [str(folder / "001"), str(folder / "002")]


# ---- exit codes and errors ---------------------------------------------------


def test_exit_codes(tmp_path: Path, folder: Path, policy: Path) -> None:
    """0 all match, 1 findings, 3 accepted without a match, 2 not complete."""
    pinned, rogue = folder / "pinned.der", tmp_path / "rogue.der"
    rogue.write_bytes(cast().rogue.der)
    assert run("audit", pinned, "--policy", policy).code == 0
    assert run("audit", pinned, rogue, "--policy", policy).code == 1
    empty = tmp_path / "empty.der"
    empty.touch()
    assert run("audit", pinned, rogue, empty, "--policy", policy).code == 2
    text = cast().policy.replace('"]\n\n', '"]\nmode = "report"\n\n', 1)
    policy.write_text(text, encoding="ascii")
    done = run("audit", pinned, rogue, "--policy", policy)
    assert done.code == 3
    assert re.search(r"^unmatched +MISMATCH, .* 1$", done.out, re.MULTILINE)


def test_what_cannot_be_read_is_one_clear_line(tmp_path: Path, policy: Path) -> None:
    """Each message names the file, what was expected, and the next step."""
    tables: list[tuple[list[str], tuple[object, ...], str]] = [
        (
            ["a,b"],
            (),
            "no column of certificates among 'a', 'b'; name it with --certif",
        ),
        (
            ["a,b"],
            ("--certificates", "c"),
            "no column 'c'; it has 'a', 'b'; see --certif",
        ),
        (
            ["cert,b", "MII,2"],
            ("--hosts", "c"),
            "no column 'c'; it has 'cert', 'b'; see --h",
        ),
        (
            ["cert", "1", "2"],
            (),
            "'cert' has no PEM and no base64 of DER, but '1'; name",
        ),
        (["cert"], (), "nothing to audit; give a table, certificates in DER or PEM"),
    ]
    for lines, options, phrase in tables:
        path = tmp_path / "table.csv"
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        assert_no_answer(run("audit", path, "--policy", policy, *options), phrase)
    others = [
        ("empty.parquet", b"", "the file is empty; write or fetch it again"),
        (
            "odd.bin",
            bytes(range(256)),
            "expected Parquet, Arrow IPC, CSV, DER, PEM or a",
        ),
        ("a.csv.gz", gzip.compress(b"cert"), "or a tile of a log; decompress it first"),
        ("key.pem", cast().pinned.key_pem.encode(), "no certificate in the PEM text"),
        *(
            (
                f"{encoding}.csv",
                "host,cert\na.example,M\n".encode(encoding),
                "as UTF-16 has, and is not",
            )
            for encoding in ("utf-16", "utf-16-le", "utf-16-be")
        ),
    ]
    for name, data, phrase in others:
        path = tmp_path / name
        path.write_bytes(data)
        done = run("audit", path, "--policy", policy)
        assert_no_answer(done, phrase)
        assert str(path) in done.err
        told = answer("audit", path, "--policy", policy)
        assert phrase in told["error"]
    (tmp_path / "nothing").mkdir()
    done = run("audit", tmp_path / "nothing", "--policy", policy)
    assert_no_answer(done, "nothing to audit")


def test_wrong_usage(tmp_path: Path, folder: Path, policy: Path) -> None:
    """No policy, no input, no such file, and outputs that would destroy an input."""
    assert_no_answer(run("audit", folder), "Missing option '--policy'")
    assert_no_answer(run("audit", "--policy", policy), "Missing argument 'INPUT...'")
    for option in ("--hosts", "--certificates"):
        done = run("audit", folder, "--policy", policy, option, "a")
        step = f"{option} has no effect without a table; leave {option} out"
        assert_no_answer(done, step)
    absent = tmp_path / "absent"
    assert_no_answer(run("audit", absent, "--policy", policy), "does not exist")
    leaf = folder / "pinned.der"
    options = ("--policy", policy, "--plot")
    assert_no_answer(run("audit", leaf, *options, leaf), "is an input; name another")
    assert_no_answer(run("audit", leaf, *options, policy), "is the policy file itself")
    done = run("audit", leaf, *options, absent / "keys.svg")
    assert_no_answer(done, "create it first")
    done = run("audit", leaf, *options, tmp_path)
    assert_no_answer(done, "is not a regular file; name a regular file with --plot")
    assert leaf.read_bytes() == cast().pinned.der


def test_without_pyarrow_the_next_step_is_named(
    tmp_path: Path, folder: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and -o need it; the other inputs are read all the same."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    step = "needs pyarrow; run pip install '.[audit]' in the checkout"
    done = run("audit", folder, "--policy", policy, "-o", tmp_path / "found.parquet")
    assert_no_answer(done, f"-o {step}")
    for name, data in (("a.parquet", b"PAR1"), ("b", b"ARROW1"), ("c", b"\xff" * 9)):
        (folder / name).write_bytes(data)
        assert_no_answer(run("audit", folder / name, "--policy", policy), step)
    done = run("audit", folder, "--policy", policy)
    assert (done.code, done.err.count(step)) == (2, 3)
    assert "rejected" in done.out


def test_rules_that_need_a_chain_are_told(tmp_path: Path, folder: Path) -> None:
    """A leaf alone never matches a pin of an authority."""
    policy = tmp_path / "ca.toml"
    text = cast().policy.replace("leaf =", "ca =")
    policy.write_text(text, encoding="ascii")
    done = run("audit", folder / "pinned.der", "--policy", policy)
    assert "**.example.org: the rule has pins in ca" in done.err
    assert done.code == 1


def test_clients_are_judged_without_names(tmp_path: Path, folder: Path) -> None:
    """A policy for clients alone decides about each certificate."""
    policy = tmp_path / "clients.toml"
    policy.write_text(
        "version = 1\n[clients]\n"
        f'leaf = ["{cast().stranger.pin}", "{cast().rogue.pin}"]\n',
        encoding="ascii",
    )
    found = answer("audit", folder, "--policy", policy)
    assert (found["accepted"], found["rejected"]) == (2, {"MISMATCH": 1})
    assert outside(found) == {(None, cast().pinned.pin)}


# ---- bounds ------------------------------------------------------------------


def test_hosts_and_keys_and_faults_are_bounded(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is beyond the bounds is counted."""
    for name in ("HOSTS_MAX", "KEYS_MAX", "FAULTS_MAX"):
        monkeypatch.setattr(_summary, name, 2)
    write_log(tmp_path / "log", NUM)
    for name in ("a", "b", "c"):
        (tmp_path / "log" / f"{name}.der").touch()
    found = answer("audit", tmp_path / "log", "--policy", policy)
    assert (len(found["outside"]), found["more_outside"]) == (2, 2)
    assert (len(found["faults"]), found["more_faults"]) == (2, 1)
    assert found["rejected"] == {"MISMATCH": 5}
    one = _summary.HostSeen()
    for i in range(5):
        key = bytes([i]) * 32
        found_one = ("a", i, None, "h", (), "MISMATCH", False, None, key, None)
        one.add(_summary.Finding(*found_one))
    assert (one.num, len(one.keys), one.more) == (5, 2, 3)


def test_files_that_are_too_long_are_named(
    tmp_path: Path, policy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a certificate nor a tile is read without a bound."""
    monkeypatch.setattr(_inputs, "_DER_MAX", 100)
    monkeypatch.setattr(_inputs, "_TILE_MAX", 100)
    whole = tile(list(log_entries(2)))
    for name, data in (
        ("a.der", cast().pinned.der),
        ("b", whole),
        ("000", gzip.compress(whole)),
    ):
        (tmp_path / name).write_bytes(data)
        done = run("audit", tmp_path / name, "--policy", policy)
        assert_no_answer(done, "longer than 100 bytes; is it a")


# ---- the picture -------------------------------------------------------------


def test_the_picture_has_a_lane_for_each_pin_and_each_host(
    tmp_path: Path, policy: Path
) -> None:
    """Pins in use have an area, others a line; hosts outside of them another colour."""
    write_log(tmp_path / "log", NUM)
    picture = tmp_path / "keys.svg"
    picture.write_text("old", encoding="ascii")
    done = run("audit", tmp_path / "log", "--policy", policy, "--plot", picture)
    assert done.code == 1
    root = ET.parse(picture).getroot()  # noqa: S314 - our own
    assert root.tag == f"{SVG}svg"
    kinds = [path.get("class") for path in root.iter(f"{SVG}path")]
    assert kinds.count("pinned") == 1
    assert kinds.count("none") == 1
    assert kinds.count("outside") == 4
    assert kinds.count("today") == 1
    texts = [text.text or "" for text in root.iter(f"{SVG}text")]
    assert {"never seen", MINE, "deep.down.example.org", "30 certificates"} <= {*texts}
    width = float(root.get("width", ""))
    for path in root.iter(f"{SVG}path"):
        xs = [float(x) for x in re.findall(r"[MH]([0-9.]+)", path.get("d", ""))]
        assert 0 <= min(xs) <= max(xs) <= width
    assert "prefers-color-scheme: dark" in picture.read_text(encoding="utf-8")


def test_steps_of_certificates_over_months() -> None:
    """Numbers rise and fall; a date that is none, or a time before its beginning."""
    spans = _summary.Spans()
    spans.add(("20260115000000Z", "20260301000000Z"))
    spans.add(("20260301000000Z", "20260302000000Z"))
    for wrong in (None, ("20270101000000Z", "20260101000000Z")):
        spans.add(wrong)
    jan = 12 * 2026
    assert spans.steps() == [(jan, 1), (jan + 2, 2), (jan + 3, 0)]
    assert spans.num == 2


# ---- Ctrl-C ------------------------------------------------------------------


def test_ctrl_c_leaves_nothing_half_written(tmp_path: Path, policy: Path) -> None:
    """Exit code 130, not a word, and the old file is the old one."""
    pipe = tmp_path / "pipe.csv"
    subprocess.run(["mkfifo", str(pipe)], check=True)
    (tmp_path / "out").mkdir()
    picture = tmp_path / "out" / "keys.svg"
    picture.write_text("old", encoding="ascii")
    child = process("audit", pipe, "--policy", policy, "--plot", picture)
    with pipe.open("w", encoding="ascii") as file:  # it reads now
        file.write("cert\n")
        file.flush()
        time.sleep(0.2)
        child.send_signal(signal.SIGINT)
        assert ended(child) == Ended(130, "", "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["keys.svg"]
    assert picture.read_text(encoding="ascii") == "old"
