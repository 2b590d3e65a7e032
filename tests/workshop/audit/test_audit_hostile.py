"""`pinverify audit` on inputs that an attacker made to hide a certificate."""

from __future__ import annotations

import base64
import gzip
import os
import signal
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from audit_samples import MINE, cast, log_entries, write_log
from cli_runs import Ended, answer, assert_no_answer, ended, process, run
from pinverify import UNPINNED, Rules
from pinverify.audit._judge import Names
from pinverify.core._keys import Column
from pki import Authority
from test_ct import tile

__all__: list[str] = []


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The policy of the samples."""
    path = tmp_path / "pins.toml"
    path.write_text(cast().policy, encoding="ascii")
    return path


def counted(found: dict[str, Any], *names: str) -> list[Any]:
    """Return some counts of an answer."""
    return [found[name] for name in names]


# ---- names -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "name", "shown"),
    [
        ("**.a.example.com", "*.example.com", ["a.example.com"]),
        ("**.example.com", "*.com", ["example.com"]),
        ("example.com", "*.com", ["example.com"]),
        ("example.com", "*.COM.", ["example.com"]),
        ("*.example.com", "*.com", []),
        ("a.example.com", "a.example.com\0.example.net", ["a.example.com"]),
        ("a.example.com", "a.example.com.", ["a.example.com"]),
        ("a.example.com", "*.*.com", []),
        ("a.example.com", "a*.example.com", []),
    ],
)
def test_a_name_that_covers_a_host_is_found(
    pattern: str, name: str, shown: list[str]
) -> None:
    """Both by the search for domains and by the name itself."""
    names = Names(Rules({pattern: [cast().pinned.pin]}))
    if shown:
        san = b"\x30\x80" + name.encode() + b"\x30"
        column = Column.of_list([b"", san, b""])
        assert list(names.candidates(column)) == [1]
    assert [one.shown for one in names._with_rule(name)] == shown  # noqa: SLF001


def test_a_wildcard_is_judged_for_a_host_without_a_rule_of_its_own() -> None:
    """Any host that stands for it is below no narrower rule."""
    pins = [cast().pinned.pin]
    rules = Rules(
        {"*.example.com": pins, "**.x.example.com": UNPINNED, "**.example.com": pins}
    )
    found = Names(rules)._with_rule("*.example.com")  # noqa: SLF001
    assert [one.shown for one in found] == ["*.example.com"]


def test_a_key_that_is_blocked_for_all_is_found_under_any_name(tmp_path: Path) -> None:
    """Names that have a rule, names that have none, and no names at all."""
    stranger, rogue = cast().stranger, cast().rogue
    nameless = Authority.root("Example CA 9").leaf("192.0.2.7", key=stranger.key)
    policy = tmp_path / "pins.toml"
    blocked = f'version = 1\nblocked = ["{stranger.pin}"]\n'
    policy.write_text(cast().policy.replace("version = 1\n", blocked), "ascii")
    (tmp_path / "in").mkdir()
    for i, one in enumerate((stranger, nameless, cast().pinned)):
        (tmp_path / "in" / f"{i}.der").write_bytes(one.der)
    found = answer("audit", tmp_path / "in", "--policy", policy)
    assert found["rejected"] == {"BLOCKED": 2}
    assert counted(found, "rows", "accepted", "no_rule") == [3, 1, 0]
    hosts = {one["host"] for one in found["outside"]}
    assert hosts == {None}
    (tmp_path / "in" / "3.der").write_bytes(rogue.der)
    found = answer("audit", tmp_path / "in", "--policy", policy)
    assert found["rejected"] == {"BLOCKED": 2, "MISMATCH": 1}


# ---- PEM and CSV -------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [
        lambda pems: pems,
        lambda pems: pems.replace("\n", "\r\n"),
        lambda pems: pems.replace("\n", "\r"),
        lambda pems: pems.replace("\n", " "),
        lambda pems: pems.replace("-----\n-----", "----------"),
        lambda pems: 5000 * "# no certificate\n" + pems,
        lambda pems: ((1 << 20) - 9) * "x" + pems + ((1 << 20) - 9) * "x",
    ],
    ids=["lf", "crlf", "cr", "blanks", "joined", "text", "long lines"],
)
def test_every_certificate_of_a_pem_text_is_judged(
    tmp_path: Path, policy: Path, written: Callable[[str], str]
) -> None:
    """Line ends of any kind, and none; files that were put together end in anything."""
    file = tmp_path / "some.pem"
    pems = "".join(one.pem for one in (cast().pinned, cast().rogue, cast().stranger))
    file.write_bytes(written(pems).encode("ascii"))
    found = answer("audit", file, "--policy", policy)
    assert counted(found, "rows", "accepted", "malformed", "no_rule") == [3, 1, 0, 1]
    assert found["outside"][0]["keys"][0]["row"] == 1


@pytest.mark.parametrize(
    "note", ['"5', '"5"x', '5\n"'], ids=["open", "after the end", "open row"]
)
def test_a_stray_quote_hides_no_row(tmp_path: Path, policy: Path, note: str) -> None:
    """The rows behind it are in a cell that never ends: the rest was not read."""
    pinned, rogue = (
        base64.b64encode(one.der).decode() for one in (cast().pinned, cast().rogue)
    )
    table = tmp_path / "table.csv"
    lines = ["cert,host,note", f"{pinned},{MINE},{note}", f"{rogue},{MINE},"]
    table.write_text("\n".join(lines) + "\n", encoding="ascii")
    done = run("audit", table, "--policy", policy)
    assert done.code == 2
    assert "the rest was not read" in done.err


# ---- tiles -------------------------------------------------------------------


def test_a_tile_has_as_many_entries_as_its_name_says(
    tmp_path: Path, policy: Path
) -> None:
    """One that is cut between two entries is named."""
    write_log(tmp_path / "log", 600)
    data = tmp_path / "log" / "tile" / "data"
    some = list(log_entries(600))
    (data / "000").write_bytes(tile(some[:255]))
    (data / "002.p" / "88").write_bytes(gzip.compress(tile(some[512:590])))
    found = answer("audit", tmp_path / "log", "--policy", policy)
    told = found["faults"]
    assert [one.partition(": ")[2].partition(";")[0] for one in told] == [
        "255 entries, not 256 as its name says",
        "78 entries, not 88 as its name says",
    ]
    assert run("audit", tmp_path / "log", "--policy", policy).code == 2
    assert found["rows"] == 600 - 1 - 10


def test_what_follows_a_compressed_tile_is_told(tmp_path: Path, policy: Path) -> None:
    """A second member of gzip is not passed over."""
    file = tmp_path / "000"
    parts = [gzip.compress(tile([one])) for one in list(log_entries(9))[:2]]
    file.write_bytes(b"".join(parts))
    found = answer("audit", file, "--policy", policy)
    assert found["rows"] == 1
    assert "bytes follow the compressed tile" in found["faults"][0]


def test_names_beside_partial_tiles_are_not_passed_over(
    tmp_path: Path, policy: Path
) -> None:
    """Only a shorter tile is left out for a longer one."""
    part = tmp_path / "tile" / "data" / "000.p"
    part.mkdir(parents=True)
    (part / "2").write_bytes(tile(list(log_entries(9))[:2]))
    for name in ("003", "rogue.der"):
        (part / name).write_bytes(cast().rogue.der)
    found = answer("audit", tmp_path / "tile", "--policy", policy)
    assert found["rows"] == 3
    assert len(found["faults"]) == 1  # 003, which is no tile


def test_certificates_in_a_folder_called_tile_are_read(
    tmp_path: Path, policy: Path
) -> None:
    """Only hashes and names of a log have such a name."""
    folder = tmp_path / "tile" / "1" / "certificates"
    folder.mkdir(parents=True)
    (folder / "rogue.der").write_bytes(cast().rogue.der)
    assert answer("audit", folder, "--policy", policy)["rejected"] == {"MISMATCH": 1}
    (tmp_path / "tile" / "0").mkdir()
    (tmp_path / "tile" / "0" / "001").write_bytes(b"\x30" * 32)
    found = answer("audit", tmp_path, "--policy", policy)
    assert counted(found, "rows", "malformed") == [1, 0]


# ---- folders -----------------------------------------------------------------


def test_links_in_a_folder_are_followed_or_told(tmp_path: Path, policy: Path) -> None:
    """A link to a folder elsewhere would hide what is in it; a loop hides nothing."""
    folder, other = tmp_path / "in", tmp_path / "other"
    for one in (folder / "more", other):
        one.mkdir(parents=True)
    (folder / "pinned.der").write_bytes(cast().pinned.der)
    (other / "rogue.der").write_bytes(cast().rogue.der)
    (folder / "more" / "loop").symlink_to("..")
    os.mkfifo(folder / "pipe")
    found = answer("audit", folder, "--policy", policy)
    assert counted(found, "rows", "faults", "left_out") == [1, [], 1]
    (folder / "more" / "file.der").symlink_to(other / "rogue.der")
    found = answer("audit", folder, "--policy", policy)
    assert counted(found, "rows", "faults") == [2, []]
    (folder / "elsewhere").symlink_to(other)
    (folder / "gone.der").symlink_to("absent")
    (folder / "self.der").symlink_to("self.der")
    found = answer("audit", folder, "--policy", policy)
    assert found["rows"] == 2
    assert [one.partition(": ")[2].partition(";")[0] for one in found["faults"]] == [
        "a link to a folder",
        "No such file or directory",
        "Too many levels of symbolic links",
    ]


def test_folders_in_folders_have_no_bound(tmp_path: Path, policy: Path) -> None:
    """Those that are deeper than Python calls functions are read."""
    folder = tmp_path / "in"
    folder.mkdir()
    deepest = str(folder)
    for _ in range(1100):
        deepest += "/d"
        Path(deepest).mkdir()
    rogue = Path(deepest, "rogue.der")
    rogue.write_bytes(cast().rogue.der)
    found = answer("audit", folder, "--policy", policy)
    subprocess.run(["rm", "-r", str(folder)], check=True)  # pytest could not
    assert found["rejected"] == {"MISMATCH": 1}


# ---- outputs -----------------------------------------------------------------


def test_an_output_replaces_no_input_of_a_folder(tmp_path: Path, policy: Path) -> None:
    """Neither is a file passed over because it is named as an output."""
    folder = tmp_path / "in"
    folder.mkdir()
    leaf, picture = folder / "rogue.der", folder / "keys.svg"
    leaf.write_bytes(cast().rogue.der)
    for target in (leaf, folder / ".." / "in" / "rogue.der"):
        done = run("audit", folder, "--policy", policy, "--plot", target)
        assert_no_answer(done, "is in a folder that is an input; name another")
    assert leaf.read_bytes() == cast().rogue.der
    for _ in range(2):  # its own picture is replaced
        done = run("audit", folder, "--policy", policy, "--plot", picture)
        assert done.code == 1


def test_a_dash_is_no_file(tmp_path: Path, policy: Path) -> None:
    """A picture and a summary cannot both go to stdout."""
    (tmp_path / "a.der").write_bytes(cast().rogue.der)
    done = run("audit", tmp_path / "a.der", "--policy", policy, "--plot", "-")
    assert_no_answer(done, "-: name a file")


def test_the_picture_is_well_formed_whatever_hosts_are_called(
    tmp_path: Path, policy: Path
) -> None:
    """Hosts in tables may be any text."""
    table, picture = tmp_path / "table.csv", tmp_path / "keys.svg"
    rogue = base64.b64encode(cast().rogue.der).decode()
    hosts = ["<b>&amp;", "]]>", "a\x00b", "\x1b[31m", "\ufffe", "\u202e", "x" * 999]
    text = "cert,host\n" + "".join(f'{rogue},"{host}"\n' for host in hosts)
    table.write_bytes(text.encode() + f"{rogue},".encode() + b"\xed\xa0\x80\xff\n")
    done = run("audit", table, "--policy", policy, "--plot", picture)
    assert (done.code, done.err) == (1, "")
    ET.parse(picture)  # noqa: S314 - our own
    assert "\x1b" not in done.out


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing_half_written(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The old file is the old one, and there is no other."""
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "found.parquet"
    target.write_text("old", encoding="ascii")
    code = (
        # `nohup make test` ignores this signal, and a child would, too.
        "import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
        "import sys, time; from pathlib import Path\n"
        "from pinverify.cli.written_files import replacing\n"
        "with replacing(Path(sys.argv[1])) as file:\n"
        "    file.write(b'new'); print('begun', flush=True); time.sleep(60)\n"
    )
    child = process(target, code=code)
    assert child.stdout is not None
    assert child.stdout.readline() == "begun\n"
    child.send_signal(number)
    assert ended(child) == Ended(-number, "", "")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["found.parquet"]
    assert target.read_text(encoding="ascii") == "old"
