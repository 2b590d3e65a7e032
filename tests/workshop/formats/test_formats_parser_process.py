"""Source code is parsed in a process of its own, whose crash does not end ours."""

from __future__ import annotations

import importlib.util
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples import examples, some_of
from optional import lacks_parsers
from other_systems import here
from pinverify import PolicyError, Rules
from pinverify.formats import _okhttp, _parser_process, _trustkit
from pinverify.formats._policy_reading import Given, Loaded
from places import TESTS
from policy_samples import ABSENT
from test_formats_corpus import rules_of, source_of

__all__: list[str] = []

GIVEN = Given("Pins.kt")
CODE = f'val p = CertificatePinner.Builder().add("x.org", "{ABSENT}").build()'


@pytest.fixture(autouse=True)
def _needs_parsers() -> None:
    if lacks_parsers():
        pytest.skip("tree_sitter is not installed")


def test_a_child_reads_the_code() -> None:
    """Its findings come back as JSON."""
    found = _parser_process.read_source(CODE, ["kotlin"], GIVEN)
    assert found == {"calls": [[1, ["x.org", ABSENT]]], "mistakes": [], "notices": []}
    assert found == here(CODE, ["kotlin"], GIVEN)


def test_a_parser_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the line that installs it; nothing else is tried in its place."""
    real = importlib.util.find_spec

    def absent(name: str) -> object:
        return None if name == "tree_sitter_kotlin" else real(name)

    monkeypatch.setattr(importlib.util, "find_spec", absent)
    words = r"source code needs tree-sitter: pip install '\.\[source\]'"
    with pytest.raises(PolicyError, match=words):
        _okhttp.loads(CODE.encode(), GIVEN)


ENDS = {
    "crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "exits": "raise SystemExit(3)",
    "raises": "raise ValueError",
    "prints no JSON": "print('{')",
    "prints nothing": "",
    "answers and fails": "print('{}'); raise SystemExit(3)",
    "never ends": "import time; time.sleep(60)",
    "counts for ever": "while True: pass",
}


@pytest.mark.parametrize("what", ENDS)
def test_a_child_that_fails_is_an_error(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it does, and within the time."""
    monkeypatch.setattr(_parser_process, "_BOOT", ENDS[what])
    monkeypatch.setattr(_parser_process, "_SECONDS", 1 if "ever" in what else 20)
    began = time.monotonic()
    with pytest.raises(PolicyError, match="move the code of the pins into") as caught:
        _okhttp.loads(CODE.encode(), GIVEN)
    assert caught.value.kind == "syntax"
    assert time.monotonic() - began < 30


def test_a_child_has_no_more_memory_than_its_limit() -> None:
    """A parser that asks for more does not take the machine with it."""
    boot = (
        "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
        "from pinverify.formats import _parser_process as it; "
        "it.limit(); bytearray(4 * 2**30)"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_parser_process, "_BOOT", boot)
        with pytest.raises(PolicyError, match="the parser ended with 1"):
            _okhttp.loads(CODE.encode(), GIVEN)


def test_nothing_of_the_environment_chooses_what_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module beside the file, and PYTHONPATH, are not imported by the child."""
    (tmp_path / "json.py").write_text("raise SystemExit(9)", encoding="ascii")
    (tmp_path / "tree_sitter.py").write_text("raise SystemExit(9)", encoding="ascii")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    assert _okhttp.loads(CODE.encode(), GIVEN).rules == Rules({"x.org": [ABSENT]})


# ---- hostile source ----------------------------------------------------------------

PIECES = {
    "open brackets": "(",
    "blocks": "{",
    "lists": "[",
    "strings": '"',
    "raw strings": '"""',
    "templates": '"${',
    "comments": "/*",
    "names": "a.",
    "calls": ".add(",
    "closed calls": f'.add("x.org", "{ABSENT}")',
    "sums": '"a" + ',
    "constants": 'val a = b\nval b = a\nval c = a + b + c + "x"\n',
    "doubled": "val b = a + a\nval a = b + b\n",
    "loops": "for (a in b) {\n",
    "lambdas": "x.forEach { a ->\n",
    "builders": "CertificatePinner.Builder()\n",
    "dictionaries": "[kTSKPinnedDomains: [",
    "wide characters": "\U0001f600",
    "lines": "\n",
    "carriage returns": "\r",
    "dollars": "$a",
    "ternaries": "a ? b : ",
    "generics": "a<",
    "annotations": "@a ",
}
SIZE = 6_000


@pytest.mark.parametrize("piece", some_of(PIECES, 3))
@pytest.mark.parametrize("name", ["x.kt", "x.java", "x.swift"])
def test_hostile_code_is_read_or_refused_in_time(name: str, piece: str) -> None:
    """By a child that may fail, and never by more than a PolicyError here."""
    text = PIECES[piece] * (SIZE // len(PIECES[piece]))
    reader: Callable[..., object] = (
        _trustkit.loads if name == "x.swift" else _okhttp.loads
    )
    began = time.monotonic()
    with pytest.raises(PolicyError) as caught:
        reader(text.encode("utf-8"), Given(name))
    assert len(str(caught.value)) < 10_000
    assert time.monotonic() - began < 2 * _parser_process._SECONDS  # noqa: SLF001


def test_source_code_has_a_limit() -> None:
    """A larger file is none that people write."""
    with pytest.raises(PolicyError, match="more than 1,048,576 bytes of source"):
        _okhttp.loads(b"a" * (2**20 + 1), GIVEN)


WORDS = st.lists(
    st.sampled_from(
        [*PIECES.values(), CODE, "}", ")", "]", "\n", "val a = ", "return "]
    )
    | st.text(max_size=4),
    max_size=14,
).map("".join)


@settings(deadline=None, max_examples=examples(150))
@given(st.sampled_from(["kotlin", "java", "swift"]), WORDS)
def test_any_code_is_calls_or_mistakes(language: str, text: str) -> None:
    """No words make the reader itself fail, or read a pin that is not there."""
    if "\0" in text or any("\ud800" <= one <= "\udfff" for one in text):
        return
    found = here(text, [language], GIVEN)
    for line, values in found.get("calls", []):
        assert line >= 1
        assert all(value in text for value in values)


# ---- pins that are not there ---------------------------------------------------------

HIDDEN = tomllib.loads(
    (TESTS / "vectors" / "hidden_pins.toml").read_text(encoding="utf-8")
)["text"]


def loaded(text: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Loaded:
    """Read a text in this process."""
    reader: Any = _trustkit if text["file"].endswith(".swift") else _okhttp
    monkeypatch.setattr(reader, "read_source", here)
    found: Loaded = reader.loads(source_of(text).encode(), Given(text["file"]))
    return found


def test_no_pin_is_read_that_the_application_may_not_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And none is missed: what the reader does not follow is an error that names it."""
    wrong = {}
    for text in HIDDEN:
        try:
            found: object = loaded(text, monkeypatch).rules
        except PolicyError as error:
            found = str(error)
        if "pins" in text:
            right = found == rules_of(text)
        else:
            right = isinstance(found, str) and all(w in found for w in text["says"])
        if not right:
            wrong[text["name"]] = found
    assert wrong == {}


def test_conditions_around_a_whole_pinner_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The policy then has pins where the application may have none."""
    told = {}
    for text in [text for text in HIDDEN if "pins" in text]:
        told[text["name"]] = [str(n) for n in loaded(text, monkeypatch).notices]
    (pinner,) = told.pop("a pinner under a condition")
    (unused,) = told.pop("a private function that nothing calls")
    (started,) = told.pop("a start of TrustKit under a condition")
    assert "line 3: the pinner is under the condition of line 2" in pinner
    assert "line 2: the pinner is in debug, which nothing calls" in unused
    assert "line 5: TrustKit is started under the condition of line 4" in started
    (built,) = told.pop("a start of TrustKit that the build decides about")
    assert "line 5: TrustKit is started under the condition of line 4" in built
    (called,) = told.pop("a private function that is called under a condition")
    assert "line 2: the pinner is under the condition of line 2" in called
    for name, line in {
        "the pinner without pins as one of two": 3,
        "the pinner without pins in a variable, as one of two": 2,
    }.items():
        (without,) = told.pop(name)
        assert f"line {line}: a pinner without pins" in without
    for name, line in {
        "a client that is null where something else is made": 4,
        "a pinner in place of one that is null": 2,
    }.items():
        (given,) = told.pop(name)
        assert f"the pinner is under the condition of line {line};" in given
    for name, line in {
        "two pinners for other hosts": 2,
        "two pinners whose names end alike": 2,
        "a private function that makes a pinner for each host": 6,
    }.items():
        (second,) = told.pop(name)
        assert f"line {line}: a second" in second
        assert "Builder with other hosts" in second
    assert not any(told.values())
    empty = 'val a = CertificatePinner.Builder().add("x.org", "sha256/{1}").build()\n'
    empty += "val b = CertificatePinner.Builder().build()\n"
    both = loaded({"file": "Pins.kt", "text": empty}, monkeypatch)
    (notice,) = map(str, both.notices)
    assert "line 2: a builder without pins" in notice
