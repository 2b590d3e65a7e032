"""`pinverify compile`: it writes the whole policy or nothing."""

from __future__ import annotations

import json
import mmap
import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinverify import Policy, load_policy
from tls_servers import TLSServer

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[..., TLSServer]
from cli_runs import answer, assert_no_answer, on_terminal, process, run

__all__: list[str] = []


def test_compile_writes_what_opens(source: Path, tmp_path: Path) -> None:
    """The bytes are those of Policy.compile, and the summary is of them."""
    target = tmp_path / "pins.pvpol"
    done = run("compile", source, "-o", target)
    assert (done.code, done.err) == (0, "")
    policy = Policy.open(target)
    assert target.read_bytes() == load_policy(source).compile()
    assert dict(re.findall(r"^(\w+) +(.+)$", done.out, re.MULTILINE)) == {
        "policy": str(target),
        "hosts": "3; of these wildcards 1, unpinned 1",
        "PinSets": "1",
        "bytes": str(target.stat().st_size),
        "digest": policy.digest.hex(),
    }
    assert answer("compile", source, "-o", target) == {
        "policy": str(target),
        "rules": 3,
        "wildcards": 1,
        "unpinned": 1,
        "clients": False,
        "pinsets": 1,
        "bytes": target.stat().st_size,
        "digest": policy.digest.hex(),
    }


def test_compile_leaves_the_old_file_to_those_who_mapped_it(
    source: Path, tmp_path: Path
) -> None:
    """The new policy is another inode, with the permissions of the old one."""
    target = tmp_path / "pins.pvpol"
    run("compile", source, "-o", target)
    before = target.read_bytes()
    target.chmod(0o640)
    inode = target.stat().st_ino
    with target.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    source.write_text(
        source.read_text(encoding="utf-8").replace("api.", "www."), encoding="utf-8"
    )
    assert run("compile", source, "-o", target).code == 0
    assert mapped[:] == before
    assert target.read_bytes() != before
    assert target.stat().st_ino != inode
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    mapped.close()


def test_compile_respects_the_umask(source: Path, tmp_path: Path) -> None:
    """A new file is as readable as any other that the user makes."""
    target = tmp_path / "pins.pvpol"
    before = os.umask(0o027)
    try:
        run("compile", source, "-o", target)
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


@pytest.mark.parametrize("problem", [OSError(28, "No space"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_compile_writes_the_whole_policy_or_nothing(
    step: str,
    problem: BaseException,
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever happens while it writes, the old file stays, and no other is left."""
    target = tmp_path / "pins.pvpol"
    target.write_bytes(b"old")
    names = sorted(path.name for path in tmp_path.iterdir())

    def fail(*_: object) -> None:
        raise problem

    monkeypatch.setattr(os if step == "fsync" else Path, step, fail)
    done = run("compile", source, "-o", target)
    monkeypatch.undo()
    assert done.out == ""
    if isinstance(problem, OSError):
        assert_no_answer(done, "No space")
    else:
        assert (done.code, done.err) == (130, "")
    assert target.read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_compile_keeps_the_old_file_when_the_policy_is_wrong(
    source: Path, tmp_path: Path
) -> None:
    """A mistake in the policy file is named, and costs nothing."""
    target = tmp_path / "pins.pvpol"
    target.write_bytes(b"old")
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("unpinned", "unpined"), encoding="utf-8")
    assert_no_answer(run("compile", source, "-o", target), f"{source}: ")
    assert target.read_bytes() == b"old"
    said = json.loads(run("compile", source, "-o", target, "--json").out)
    assert said["error"].startswith(f"{source}: ")


def test_compile_replaces_no_link_device_folder_or_source(
    source: Path, tmp_path: Path
) -> None:
    """Nothing but a policy is meant, whatever the name leads to."""
    other = tmp_path / "other"
    other.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(other)
    (tmp_path / "loose").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "folder").mkdir()
    for name in ("link", "loose", "fifo", "folder"):
        done = run("compile", source, "-o", tmp_path / name)
        assert_no_answer(done, "is not a regular file")
    text = source.read_bytes()
    hard_link = tmp_path / "hard"
    hard_link.hardlink_to(source)
    for target in (source, hard_link):
        done = run("compile", source, "-o", target)
        assert_no_answer(done, "the policy file itself")
    missing = tmp_path / "missing" / "pins.pvpol"
    assert_no_answer(run("compile", source, "-o", missing), "create it first")
    assert source.read_bytes() == text
    assert other.read_bytes() == b"mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_dash_is_stdout(source: Path) -> None:
    """As - is stdin for `pin`; the summary would be in the way of the bytes."""
    child = process("compile", source, "-o", "-", text=False)
    out, err = map(bytes, child.communicate(timeout=60))  # type: ignore[arg-type]
    assert (child.returncode, err) == (0, b"")
    assert out == load_policy(source).compile()
    converted = run("convert", "toml", "json", source, "-o", "-")
    assert converted == run("convert", "toml", "json", source)
    assert not Path("-").exists()
    code, shown = on_terminal("compile", source, "-o", "-")
    assert (code, "name a file with -o" in shown) == (2, True)
    said = json.loads(run("compile", source, "-o", "-", "--json").out)
    assert "would both write to stdout" in said["error"]
