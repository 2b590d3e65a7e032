"""The lists of mutants name existing lines and tests; the runner finds faults.

`make mutants` plants them all. These tests are fast, so that whoever changes the source
learns at once of a mutant that no longer fits.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from pathlib import Path

import pytest

import anchors
from anchors import AnchorError, Change
from core_sources import core_sources
from mutants import compiling, run, testing
from mutants.compiling import MutantError
from mutants.run import ADAPTER, C_CORE, PYTHON, Mutant
from mutants.testing import Outcome
from parts import in_part
from test_openssl_adapter import names as scenario_names

__all__: list[str] = []

pytestmark = pytest.mark.ci

MUTANTS = run.mutants()
CSRC = run.ROOT / "csrc"


def test_every_file_of_the_core_has_mutants() -> None:
    """None of them is forgotten, and there are many."""
    files = {mutant.file for mutant in MUTANTS if mutant.layer is C_CORE}
    sources = {str(path.relative_to(CSRC)) for path in core_sources()}
    assert sources <= files
    others = {"der.h", "constant_time.h", "columns.h"}
    others |= {f"python/{path.name}" for path in (CSRC / "python").glob("*.*")}
    others -= {"python/cross.py"}  # compiles for other systems: test_wheels.py looks
    assert others <= files


# Each of these decides which peer is accepted, or reads what a person has written.
ENFORCING = {
    "arrow/__init__.py": 6,
    "arrow/_read.py": 6,
    "core/_hosts.py": 4,
    "core/_policies.py": 4,
    "ct.py": 5,
    "formats/_android.py": 2,
    "formats/_losses.py": 2,
    "formats/_okhttp.py": 2,
    "files/_toml_and_json_tables.py": 10,
    "files/toml.py": 3,
    "formats/toml.py": 4,
    "headers/_asgi.py": 2,
    "headers/_authserver.py": 1,
    "headers/_forms.py": 2,
    "headers/_request_decision.py": 4,
    "headers/_request_head.py": 1,
    "headers/_rfc9440.py": 1,
    "headers/_wsgi.py": 1,
    "policy/_certs_and_pins.py": 6,
    "policy/_compiled.py": 8,
    "policy/_policy.py": 6,
    "policy/_report.py": 4,
    "policy/_rules.py": 8,
    "tls/_connect.py": 4,
    "tls/_ssl_connections.py": 15,
    "tls/_judge.py": 10,
    "tls/_pin_context.py": 4,
    "tls/_process_wide.py": 2,
    "tls/compat.py": 6,
    "tls/pyopenssl.py": 18,
    "tls/requests.py": 8,
    "tls/twisted.py": 5,
}
PYTHON_MUTANTS = 120


def test_every_file_that_enforces_pins_has_mutants() -> None:
    """A check that is deleted in one of them lets a peer in."""
    num = Counter(mutant.file for mutant in MUTANTS if mutant.layer is PYTHON)
    assert {file: num[file] for file in ENFORCING if num[file] < ENFORCING[file]} == {}
    assert num.total() >= PYTHON_MUTANTS


# A decision is made in judge.c, and what leads to it in these.
ADAPTER_FILES = {"memo.c", "handshake.c", "policy_in_force.c", "judge.c"}
ADAPTER_FILES |= {"pinverify_openssl.c", "rejected_connection.c", "verify_callback.c"}
ADAPTER_MUTANTS = 20


def test_the_adapter_has_mutants() -> None:
    """A check that is deleted in one of these files lets a peer in."""
    files = [mutant.file for mutant in MUTANTS if mutant.layer is ADAPTER]
    assert set(files) >= ADAPTER_FILES
    assert len(files) >= ADAPTER_MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.where}: {m.what}")
def test_a_mutant_is_where_the_list_says(mutant: Mutant) -> None:
    """Its place is in the source, once, and its tests are there, too."""
    sources = run.sources(mutant.layer)
    file, text = anchors.made(mutant.change, sources)
    assert text != sources[file]
    if file.endswith(".py"):
        ast.parse(text, file)
    assert mutant.tests
    if mutant.layer is ADAPTER:
        assert set(mutant.tests) <= set(scenario_names())
        return
    for test in mutant.tests:
        file, _, name = test.partition("[")[0].partition("::")
        assert not name or name in _functions(file), test


@functools.cache
def _functions(file: str) -> set[str]:
    tree = ast.parse((run.ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_no_mutant_is_there_twice() -> None:
    """Each is another fault, and has words of its own."""
    made = {anchors.made(m.change, run.sources(m.layer)) for m in MUTANTS}
    assert len(made) == len(MUTANTS)
    assert len({(m.where, m.file, m.what) for m in MUTANTS}) == len(MUTANTS)


def test_the_tests_for_what_others_let_pass_exist() -> None:
    """A name that is not there would be an error of pytest, and kill nothing."""
    for layer in run.LAYERS:
        for name in layer.tests:
            assert run.path_of(name).endswith(f"/test_{name}.py")


def test_a_place_that_is_gone_is_an_error() -> None:
    """An entry that no longer fits would prove nothing."""
    change = Change(scope="der_at_end", find="no such words", put="")
    mutant = Mutant(what="", layer=C_CORE, change=change, tests=())
    assert mutant.file == ""
    with pytest.raises(AnchorError, match=r"`der_at_end` has no .*make anchors FIX=1"):
        anchors.made(change, run.sources(C_CORE))


def test_a_name_that_no_mutant_has_is_an_error() -> None:
    """Otherwise `make mutants MUTANTS=hose` would pass with nothing tried."""
    assert {mutant.file for mutant in run.chosen(["host", "der.h"])} == {
        "host.c",
        "der.h",
    }
    assert {mutant.where for mutant in run.chosen(["is_oid"])} == {"is_oid"}
    assert {mutant.file for mutant in run.chosen(["toml"])} == {
        "files/toml.py",
        "formats/toml.py",
    }
    assert {mutant.file for mutant in run.chosen(["rules"])} == {"policy/_rules.py"}
    assert {mutant.where for mutant in run.chosen(["is_answered"])} == {"is_answered"}
    assert {mutant.layer for mutant in run.chosen(["python"])} == {PYTHON}
    assert run.chosen(["core", "openssl", "python"]) == run.chosen([]) == MUTANTS
    with pytest.raises(MutantError, match="no mutant of hose"):
        run.chosen(["host", "hose"])


def test_what_does_not_compile_is_no_mutant(tmp_path: Path) -> None:
    """The message of the compiler says why."""
    source = tmp_path / "planted.c"
    source.write_text("int planted(void) { return 1; }\n", encoding="ascii")
    assert compiling.compiled(source, tmp_path / "planted.o").exists()
    source.write_text("int planted(void) { return one; }\n", encoding="ascii")
    with pytest.raises(MutantError, match="one"):
        compiling.compiled(source, tmp_path / "planted.o")


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
    "import os\ndef test_x(request):\n"
    " request.config.add_cleanup(lambda: os.kill(os.getpid(), 11))\n"
    " assert not 'after the test'": ("killed", "tests/test_x.py::test_x"),
    "import os\ndef test_x(): assert 'CI' not in os.environ": ("survived", ""),
    "import pytest\ndef test_x(): pytest.skip('not here')": ("invalid", "not here"),
    "import pytest\ndef test_a(): pass\ndef test_x(): pytest.skip('not here')": (
        "invalid",
        "not here",
    ),
    "def test_x(): no_such_name": ("invalid", "NameError"),
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


@pytest.mark.slow
@pytest.mark.parametrize("text", ENDS)
def test_only_a_test_that_fails_kills(text: str, tmp_path: Path) -> None:
    """A mutant that breaks imports or fixtures shows nothing; neither does silence."""
    verdict, words = ENDS[text]
    timeout = 3 if "sleep" in text else 60
    folder = planted(tmp_path, text)
    outcome = testing.outcome_of(folder, ["tests/test_x.py"], timeout)
    assert outcome.verdict == verdict, outcome
    assert words in outcome.by


def test_the_environment_of_the_runner_reaches_no_copy(tmp_path: Path) -> None:
    """A copy finds its own pinverify, not the one that the runner has imported."""
    package = tmp_path / "src" / "pinverify"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("MARK = 1\n", encoding="utf-8")
    text = "import pinverify\ndef test_x(): assert not hasattr(pinverify, 'MARK')\n"
    folder = planted(tmp_path, text)
    assert testing.outcome_of(folder, ["tests/test_x.py"]).verdict == "killed"


def test_a_mutant_of_python_is_planted_and_taken_out_again(tmp_path: Path) -> None:
    """Also where both texts have one size and one time, which caches go by."""
    copy = run.Copy(tmp_path, None)
    change = Change(scope="_REJECT_UNPINNED", find="1", put="4")
    mutant = Mutant(what="", layer=PYTHON, change=change, tests=())
    name = (
        "test_step_2_a_host_without_a_rule_is_accepted_or_rejected_as_the_policy_says"
    )
    test = f"tests/engine/policy/test_policy_decision.py::{name}"
    with copy.without_fault(PYTHON):
        assert testing.outcome_of(tmp_path, [test]) == Outcome("survived")
    with copy.planted(mutant):
        assert testing.outcome_of(tmp_path, [test]).verdict == "killed"
    with copy.without_fault(PYTHON):
        assert testing.outcome_of(tmp_path, [test]) == Outcome("survived")


# ---- a part of a table -------------------------------------------------------


@pytest.mark.parametrize("num_parts", [1, 2, 3, 7])
def test_the_parts_of_a_table_have_each_row_once(
    num_parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nobody who asks for all parts, one after the other, misses a row."""
    found = []
    for part in range(1, num_parts + 1):
        monkeypatch.setenv("PART", f"{part}/{num_parts}")
        found += [row for row in range(100) if in_part(row)]
    assert sorted(found) == list(range(100))


def test_without_a_part_all_rows_are_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PART is empty, too, as make leaves it."""
    monkeypatch.delenv("PART", raising=False)
    assert all(map(in_part, range(100)))
    monkeypatch.setenv("PART", "")
    assert all(map(in_part, range(100)))


@pytest.mark.parametrize(
    "text", ["0/3", "4/3", "1", "1/0", "/", "a/b", "-1/3", "1/3/3"]
)
def test_a_part_that_is_none_is_an_error(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would leave everything out, and say that all is well."""
    monkeypatch.setenv("PART", text)
    with pytest.raises(SystemExit, match="write 2/3 for every third row"):
        in_part(0)
