"""`make release-check` repeats what is stale, all of it, and nothing else."""

from __future__ import annotations

import functools
import os
import re
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import anchors
from mutants import run as of_mutants
from places import ROOT
from prove import run as of_proofs
from release_check import depends, run
from release_check.run import Kept, Page, Step
from release_check.tables import TABLES, Row
from remedies import run as of_remedies

__all__: list[str] = []

pytestmark = pytest.mark.ci

Changed = Callable[[str], set[str]]


@functools.cache
def table(name: str) -> list[Row]:
    """Return the rows of a table, once."""
    return TABLES[name]()


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> Changed:
    """Change one file, and name the steps and the rows that are stale then."""
    # A step without tools: these are the same before and after.
    steps = {step.name: step for step in run.steps()}

    def hashes() -> dict[str, str]:
        found: dict[str, str] = {}
        for name, step in steps.items():
            if step.rows:
                found |= {
                    f"{name} {row.text}": depends.digest(row.files)
                    for row in table(step.rows)
                }
            else:
                found[name] = depends.digest(depends.matching(*step.files))
        return found

    def changed(file: str) -> set[str]:
        assert file in depends.files()
        before = hashes()
        original = depends.of_file
        with monkeypatch.context() as patch:
            patch.setattr(
                depends,
                "of_file",
                lambda name: b"changed" if name == file else original(name),
            )
            after = hashes()
        return {name for name, key in before.items() if after[name] != key}

    return changed


def _of(stale: set[str], step: str) -> set[str]:
    return {name for name in stale if name.startswith(f"{step} ")}


def test_a_change_of_c_repeats_what_it_could_break(rows: Changed) -> None:
    """The rows of the file and of its users, and each step that runs the core."""
    stale = rows("csrc/host.c")
    assert {"tests", "slow", "fuzz", "coverage", "suites-3.13", "warnings"} <= stale
    proofs = _of(stale, "prove")
    assert any("prove_host.c" in name for name in proofs)
    assert not any("prove_sha256" in name for name in proofs)
    mutants = _of(stale, "mutants")
    assert any("canonical" in name for name in mutants)
    assert not any("sha256_rounds" in name for name in mutants)


def test_a_change_of_python_repeats_what_it_could_break(rows: Changed) -> None:
    """Rows of files that import it, and none of C, whose tests need no Python."""
    stale = rows("src/pinverify/policy/_rules.py")
    assert {"tests", "slow", "clients-3.13", "suites-3.11"} <= stale
    assert not {"warnings", "differential"} & stale
    assert _of(stale, "prove") == set()
    assert _of(stale, "mutants")
    assert _of(stale, "remedies")


def test_a_change_of_a_page_repeats_tests(rows: Changed) -> None:
    """Tests run the code of pages; the core, its proofs and its fuzzers do not."""
    stale = rows("docs/operate.md")
    assert {"tests", "slow"} <= stale
    assert not {"warnings", "fuzz", "coverage", "suites-3.11"} & stale
    assert _of(stale, "prove") == set()


def test_each_row_depends_on_the_file_that_it_breaks() -> None:
    """And a mutant on the tests that should notice it."""
    for row, mutant in zip(table("mutants"), of_mutants.mutants(), strict=True):
        broken = f"{mutant.layer.folder}/{mutant.file}"
        assert broken in row.files, mutant
        if mutant.layer is not of_mutants.ADAPTER:
            named = {test.partition("::")[0] for test in mutant.tests}
            assert named <= row.files, mutant
    assert len(table("remedies")) == len(of_remedies.remedies())
    for proof, row in zip(of_proofs.chosen([]), table("proofs"), strict=True):
        file = anchors.locate(proof.bug, anchors.read(ROOT / "csrc")).file
        assert f"csrc/{file}" in row.files, proof.name


def test_every_file_that_is_used_is_known() -> None:
    """A new file counts before it is committed; what git ignores does not."""
    assert "csrc/spki.c" in depends.files()
    assert depends.WRITTEN not in depends.files()
    assert not any(name.endswith(".so") for name in depends.files())
    with pytest.raises(ValueError, match="no file fits 'nowhere/"):
        depends.matching("nowhere/*")


def _step(command: str, **more: object) -> Step:
    step = Step(name="trial", shows="a trial", command=command, **more)  # type: ignore[arg-type]
    # Its hashes are made up, so that nothing of the checkout counts.
    vars(step)["keys"] = ["a" * 64] if not step.rows else ["b" * 64, "c" * 64, "d" * 64]
    return step


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Kept, Page]:
    """A cache and a page of a test's own."""
    monkeypatch.setattr(run, "LOGS", tmp_path / "logs")
    return Kept(tmp_path / "kept"), Page(tmp_path / "evidence.md")


def test_a_step_that_passed_is_not_repeated(
    tmp_path: Path,
    place: tuple[Kept, Page],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Here by the cache, elsewhere by the page; unless nothing is believed."""
    kept, page = place
    step = _step("echo '7 passed in 3s'", counts=r"\d+ passed in \d+s")
    monkeypatch.setattr(run, "steps", lambda: [step])
    assert run.stale(step, kept, page, fresh=False) == [0]
    assert run.run(step, [0], kept, page)
    assert "passed  trial: 0 s, 7 passed in 3s" in capsys.readouterr().out
    assert run.stale(step, kept, page, fresh=False) == []
    elsewhere = Kept(tmp_path / "elsewhere")
    assert run.stale(step, elsewhere, page, fresh=False) == []
    assert run.stale(step, elsewhere, page, fresh=True) == [0]
    vars(step)["keys"] = ["e" * 64]
    assert run.stale(step, kept, page, fresh=False) == [0]


def test_a_step_that_fails_is_not_kept(
    place: tuple[Kept, Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """The end of what it printed is shown, and nothing is written."""
    kept, page = place
    step = _step("echo why; exit 3")
    assert not run.run(step, [0], kept, page)
    assert "FAILED  trial" in (printed := capsys.readouterr().out)
    assert "why" in printed
    assert run.stale(step, kept, page, fresh=False) == [0]
    assert not page.path.exists()


def test_what_lacks_a_tool_fails_with_the_package(
    place: tuple[Kept, Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """A step that cannot run has shown nothing."""
    step = _step("true", tools=("no-such-tool",), packages=("a-package",))
    assert not run.run(step, [0], *place)
    assert "there is no no-such-tool" in (printed := capsys.readouterr().out)
    assert "apt install a-package" in printed


def test_rows_that_passed_before_an_interruption_are_not_repeated(
    place: tuple[Kept, Page], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only those that are left run again, and the page says nothing until all pass."""
    kept, page = place
    step = _step('echo 0 >>"$PASSED"; exit 1', rows="mutants")
    monkeypatch.setattr(run, "steps", lambda: [step])
    assert not run.run(step, [0, 1, 2], kept, page)
    assert run.stale(step, kept, page, fresh=False) == [1, 2]
    assert not page.path.exists()
    again = _step('printf "%s\\n" $(cat "$ROWS") >>"$PASSED"', rows="mutants")
    assert run.run(again, [1, 2], kept, page)
    assert run.stale(step, kept, page, fresh=False) == []
    assert page.hash_of("trial") == step.key


def test_half_a_number_is_no_row(place: tuple[Kept, Page]) -> None:
    """A line that is half written may be the number of another row."""
    kept, page = place
    command = 'printf 0 >>"$PASSED"; sleep 1; echo 1 >>"$PASSED"; exit 1'
    step = _step(command, rows="mutants")
    assert not run.run(step, [0, 1, 2], kept, page)
    assert run.stale(step, kept, page, fresh=False) == [0, 2]


def test_a_fresh_step_gets_its_row_of_the_page(
    place: tuple[Kept, Page],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Also if its rows passed in several runs, or a change has been taken back."""
    kept, page = place
    monkeypatch.setattr(run, "Page", lambda: page)
    monkeypatch.setattr(run, "Kept", lambda _: kept)
    whole = _step("echo 7 passed", counts=r"\d+ passed")
    monkeypatch.setattr(run, "steps", lambda: [whole])
    assert run.main([]) == 0
    page.path.unlink()
    assert run.main(["--list"]) == 0
    assert not page.path.exists()
    assert run.main([]) == 0
    assert page.hash_of("trial") == whole.key
    assert page.rows()["trial"][-1] == "7 passed"
    in_parts = _step("exit 1", rows="mutants")
    monkeypatch.setattr(run, "steps", lambda: [in_parts])
    for key in in_parts.keys:
        kept.add(key, "")
    assert run.main([]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "fresh   trial"
    assert page.hash_of("trial") == in_parts.key
    assert page.rows()["trial"][-1] == "3 rows"


def test_what_ran_on_changed_files_is_not_kept(
    place: tuple[Kept, Page],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A file that is saved meanwhile was seen by a part of the step, or by none."""
    kept, page = place
    moved = iter([(), ("csrc/host.c",)])
    monkeypatch.setattr(depends, "changed", lambda: next(moved))
    step = _step('echo 0 >>"$PASSED"; sleep 1; echo 1 >>"$PASSED"', rows="mutants")
    assert not run.run(step, [0, 1, 2], kept, page)
    assert "trial: changed while it ran: csrc/host.c" in capsys.readouterr().out
    assert run.stale(step, kept, page, fresh=False) == [1, 2]
    assert not page.path.exists()


def test_files_that_change_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is written, added or taken away."""
    monkeypatch.setattr(depends, "ROOT", tmp_path)
    for cached in (depends.files, depends.of_file, depends._all):  # noqa: SLF001
        monkeypatch.setattr(
            depends, cached.__name__, functools.cache(cached.__wrapped__)
        )
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    for name in ("a", "b"):
        (tmp_path / name).write_text(name, encoding="ascii")
    depends.digest(depends.files())
    assert depends.changed() == ()
    (tmp_path / "a").write_text("other", encoding="ascii")
    assert depends.changed() == ("a",)
    (tmp_path / "b").unlink()
    (tmp_path / "c").touch()
    assert depends.changed() == ("a", "b", "c")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_all_that_a_step_started(
    tmp_path: Path, number: signal.Signals
) -> None:
    """Bash lets what runs in the background ignore Ctrl-C: it ends as well."""
    # Its other end is closed when the last process that has it has ended.
    os.mkfifo(pipe := tmp_path / "pipe")
    step = f"(echo started; exec sleep 600) >{pipe} & wait"
    program = f"""if True:
        import pathlib, runpy, sys
        from release_check import run

        run.LOGS = pathlib.Path({str(tmp_path)!r})
        step = run.Step(name="trial", shows="a trial", command={step!r})
        vars(step)["keys"] = ["a" * 64]
        run.steps = lambda: [step]
        sys.argv[1:] = []
        runpy.run_module("release_check", run_name="__main__")
    """
    folders = ("tests", "tests/helpers", "tests/anchoring")
    variables = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / folder) for folder in folders),
        "XDG_CACHE_HOME": str(tmp_path),
    }
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with subprocess.Popen(
            [sys.executable, "-c", program], env=os.environ | variables
        ) as process:
            select.select([reading], [], [], 30)
            assert os.read(reading, 100) == b"started\n"
            process.send_signal(number)
            assert process.wait(30) != 0
        select.select([reading], [], [], 30)
        assert os.read(reading, 100) == b""
    finally:
        os.close(reading)


def test_rows_that_cannot_run_here_leave_the_step_stale(
    place: tuple[Kept, Page], capsys: pytest.CaptureFixture[str]
) -> None:
    """A kernel that this processor lacks is tried on one that has it."""
    kept, page = place
    step = _step('echo 0 >>"$PASSED"', rows="mutants")
    assert run.run(step, [0, 1], kept, page)
    assert "1 rows cannot run here" in capsys.readouterr().out
    assert not page.path.exists()


def test_each_step_says_what_it_is_and_has_a_target() -> None:
    """Steps have names of their own, and call make or a script that is there."""
    steps = run.steps()
    assert len({step.name for step in steps}) == len(steps)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for step in steps:
        assert step.shows
        assert step.key  # each pattern fits a file
        if "make " in step.command:
            target = step.command.partition("make ")[2].split()[0]
            assert re.search(rf"(?m)^([\w-]+ )*{target}\b.*:", makefile), target
        else:
            assert (ROOT / step.command.split()[1]).exists()


def test_a_list_runs_nothing() -> None:
    """`.ci/run` says with it what is stale, and fails for none of it."""
    # Inside another make, it would say which folder it enters.
    command = ["make", "--no-print-directory", "release-check", "LIST=page"]
    command.append("STEP=warnings fuzz")
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split() for line in lines] == [
        [line.split()[0], name]
        for line, name in zip(lines, ("warnings", "fuzz"), strict=True)
    ]
    assert {line.split()[0] for line in lines} <= {"fresh", "stale"}
