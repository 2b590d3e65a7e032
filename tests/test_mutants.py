"""mutants.toml names lines and tests that are there; its runner sees what is wrong.

`make mutants` plants them all. What stands here is fast, so that who changes the core
hears at once of a mutant that no longer fits.
"""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

import anchors
from anchors import AnchorError, Change
from mutants import run
from mutants.run import Mutant, MutantError

__all__: list[str] = []

MUTANTS = run.mutants()
CSRC = run.ROOT / "csrc"


def test_every_file_of_the_core_has_mutants() -> None:
    """None of them is forgotten, and there are many."""
    files = {mutant.file for mutant in MUTANTS}
    sources = {str(path.relative_to(CSRC)) for path in CSRC.rglob("*.c")}
    assert sources <= files
    others = {"der.h", "ct.h", "columns.h"}
    others |= {
        f"python/{name}" for name in ("matcher.h", "evaluator.h", "build_cffi.py")
    }
    assert others <= files
    assert len(MUTANTS) >= 36


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where}: {m.what}")
def test_a_mutant_is_where_the_list_says(mutant: Mutant) -> None:
    """Its place is in the source, once, and its tests are there, too."""
    file, text = anchors.made(mutant.change, run.sources())
    assert text != run.sources()[file]
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert not name or name in _functions(file), test


@functools.cache
def _functions(file: str) -> set[str]:
    tree = ast.parse((run.ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_mutant_is_there_twice() -> None:
    """Each is another fault, and has words of its own."""
    assert len({anchors.made(m.change, run.sources()) for m in MUTANTS}) == len(MUTANTS)
    assert len({(m.where, m.file, m.what) for m in MUTANTS}) == len(MUTANTS)


def test_the_tests_for_what_others_let_pass_exist() -> None:
    """A name that is not there would be an error of pytest, and kill nothing."""
    for name in run.CORE_TESTS:
        assert (run.ROOT / "tests" / f"test_{name}.py").exists(), name


def test_a_place_that_is_gone_is_an_error() -> None:
    """An entry that no longer fits would prove nothing."""
    change = Change(scope="der_at_end", find="no such words", put="")
    mutant = Mutant(what="", change=change, tests=())
    assert mutant.file == ""
    with pytest.raises(AnchorError, match=r"`der_at_end` has no .*make anchors FIX=1"):
        anchors.made(change, run.sources())


def test_a_name_that_no_mutant_has_is_an_error() -> None:
    """Otherwise `make mutants MUTANTS=hosts` would pass with nothing tried."""
    assert {mutant.file for mutant in run.chosen(["host", "der.h"])} == {
        "host.c",
        "der.h",
    }
    assert {mutant.where for mutant in run.chosen(["is_oid"])} == {"is_oid"}
    assert run.chosen([]) == MUTANTS
    with pytest.raises(MutantError, match="no mutant of hosts"):
        run.chosen(["host", "hosts"])


def test_what_does_not_compile_is_no_mutant(tmp_path: Path) -> None:
    """The message of the compiler says why."""
    source = tmp_path / "planted.c"
    source.write_text("int planted(void) { return 1; }\n", encoding="ascii")
    assert run.compiled(source, tmp_path / "planted.o").exists()
    source.write_text("int planted(void) { return one; }\n", encoding="ascii")
    with pytest.raises(MutantError, match="one"):
        run.compiled(source, tmp_path / "planted.o")


# A test file, how a run of it ends, and words that stand in what is said of it.
ENDS = {
    "def test_x(): assert 1": ("survived", ""),
    "def test_x(): assert 0": ("killed", "tests/test_x.py::test_x"),
    "def test_a(): pass\ndef test_x(): raise OSError": (
        "killed",
        "tests/test_x.py::test_x",
    ),
    "import os\ndef test_x(): os.kill(os.getpid(), 11)": (
        "killed",
        "tests/test_x.py::test_x",
    ),
    "import pytest\ndef test_x(): pytest.skip('not here')": ("skipped", ""),
    "import no_such_module\ndef test_x(): pass": ("invalid", "no_such_module"),
    "import os\nos.kill(os.getpid(), 11)": ("invalid", "ended with -11"),
    "def test_x(no_such_fixture): pass": ("invalid", "no_such_fixture"),
    "x = 1": ("invalid", "ended with 5"),
    "import time\ndef test_x(): time.sleep(60)": ("invalid", "not over after"),
}


def planted(folder: Path, text: str) -> Path:
    """Write a test file, and what the runner expects beside it."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_x.py").write_text(text, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n", encoding="utf-8")
    profile = "import hypothesis\nhypothesis.settings.register_profile('unshrunk')\n"
    (folder / "conftest.py").write_text(profile, encoding="utf-8")
    return folder


@pytest.mark.parametrize("text", ENDS)
def test_only_a_test_that_fails_kills(text: str, tmp_path: Path) -> None:
    """A mutant that breaks imports or fixtures shows nothing; neither does silence."""
    verdict, words = ENDS[text]
    timeout = 3 if "sleep" in text else 60
    folder = planted(tmp_path, text)
    outcome = run.outcome_of(folder, ["tests/test_x.py"], timeout)
    assert outcome.verdict == verdict, outcome
    assert words in outcome.by


def test_the_environment_of_the_runner_reaches_no_copy(tmp_path: Path) -> None:
    """A copy finds its own pinverify, not the one that the runner has imported."""
    package = tmp_path / "src" / "pinverify"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("MARK = 1\n", encoding="utf-8")
    text = "import pinverify\ndef test_x(): assert not hasattr(pinverify, 'MARK')\n"
    folder = planted(tmp_path, text)
    assert run.outcome_of(folder, ["tests/test_x.py"]).verdict == "killed"
