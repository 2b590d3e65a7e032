"""The store of objects of `compiled.py`: what it keeps is never what is stale.

A stale object would be a silent fault: a test would run code that is gone.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import compiled
from c_objects import compiler
from compiled import compiled_object, ended

__all__: list[str] = []

SOURCE = """
#include "value.h"
#include <other.h>
int main(void) { return VALUE + OTHER; }
"""


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep these objects apart from those of other tests."""
    store = tmp_path / "store"
    store.mkdir()
    monkeypatch.setattr(compiled, "_store", lambda: store)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A C file with two headers, of which one is found by a flag."""
    for name, text in (
        ("code/main.c", SOURCE),
        ("code/value.h", "#define VALUE 1\n"),
        ("first/README", "no header yet\n"),
        ("second/other.h", "#define OTHER 10\n"),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="ascii")
    return tmp_path / "code" / "main.c"


def command(source: Path, *flags: str) -> list[str]:
    """Return the compiler, and flags that name both folders."""
    top = source.parent.parent
    folders = (f"-I{top / 'first'}", "-isystem", str(top / "second"))
    return [*compiler(), "-std=c11", *folders, *flags]


def value(source: Path, *flags: str) -> int:
    """Return what the program returns."""
    program = source.with_suffix("")
    made = compiled_object(command(source, *flags), source)
    assert ended([*compiler(), "-o", program, made]) == (0, "", "")
    return ended([program])[0]


def num_objects(tmp_path: Path) -> int:
    """Return how many objects are kept."""
    return len([*(tmp_path / "store").glob("*.o")])


def test_an_object_is_made_once(source: Path, tmp_path: Path) -> None:
    """Also if many ask for it at the same time; nothing else is left behind."""
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(compiled_object, command(source), source) for _ in "12345"]
        assert len({future.result() for future in asked}) == 1
    before = {path: path.stat().st_ino for path in (tmp_path / "store").iterdir()}
    assert sorted(path.suffix for path in before) == [".included", ".lock", ".o"]
    assert compiled_object(command(source), source) in before
    after = {path: path.stat().st_ino for path in (tmp_path / "store").iterdir()}
    assert before == after


def test_a_change_of_anything_makes_another_object(
    source: Path, tmp_path: Path
) -> None:
    """The source, a header beside it or of a flag, a flag; and back again."""
    assert value(source) == 11
    header, other = source.with_name("value.h"), tmp_path / "second" / "other.h"
    times = header.stat()
    header.write_text("#define VALUE 2\n", encoding="ascii")
    # An archive or an rsync may give a new file an old time.
    os.utime(header, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert value(source) == 12
    other.write_text("#define OTHER 20\n", encoding="ascii")
    assert value(source) == 22
    source.write_text(SOURCE.replace("+", "-"), encoding="ascii")
    assert value(source) == (2 - 20) % 256
    assert value(source, "-DVALUE=2", "-O1") == (2 - 20) % 256
    assert num_objects(tmp_path) == 5
    source.write_text(SOURCE, encoding="ascii")
    other.write_text("#define OTHER 10\n", encoding="ascii")
    assert value(source) == 12
    assert num_objects(tmp_path) == 5


def test_a_header_that_hides_another_one_is_seen(source: Path, tmp_path: Path) -> None:
    """It was not there when the object was made, so no list of files has it."""
    assert value(source) == 11
    hides = tmp_path / "first" / "other.h"
    hides.write_text("#define OTHER 30\n", encoding="ascii")
    assert value(source) == 31
    hides.unlink()
    assert value(source) == 11
    assert num_objects(tmp_path) == 2


def test_a_variable_of_the_compiler_is_part_of_the_key(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPATH names folders, as -I does."""
    assert value(source) == 11
    monkeypatch.setenv("CPATH", str(tmp_path / "first"))
    (tmp_path / "first" / "other.h").write_text("#define OTHER 40\n", encoding="ascii")
    assert value(source) == 41


def test_the_same_text_elsewhere_is_another_object(
    source: Path, tmp_path: Path
) -> None:
    """A failed assertion names the file, whose path is in the object."""
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in source.parent.glob("*.[ch]"):
        (copy / path.name).write_bytes(path.read_bytes())
    first, second = (
        compiled_object(command(source), path) for path in (source, copy / source.name)
    )
    assert first != second


def test_a_warning_is_no_object(source: Path, tmp_path: Path) -> None:
    """It is told each time, and nothing is kept."""
    source.write_text("int f(int x) { return 1; }\n", encoding="ascii")
    for _ in "12":
        with pytest.raises(AssertionError, match="unused"):
            compiled_object(command(source, "-Wall", "-Wextra"), source)
    assert num_objects(tmp_path) == 0
    assert not [*(tmp_path / "store").glob("*.included")]


def test_a_file_that_changes_while_it_is_compiled_is_compiled_again(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows which of the two texts the compiler has read."""

    def edited(line: list[str | Path], timeout: float = 120) -> compiled.Ended:
        done = ended(line, timeout)
        if "-c" in line and num_objects(tmp_path) == 0 and "1" in header.read_text():
            header.write_text("#define VALUE 3\n", encoding="ascii")
        return done

    header = source.with_name("value.h")
    monkeypatch.setattr(compiled, "ended", edited)
    assert value(source) == 13
    assert num_objects(tmp_path) == 1
