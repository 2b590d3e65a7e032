"""Update the rows of the tables after names in the source have changed.

    make anchors FIX=1          what has changed since the last commit
    make anchors FIX=v0.9       what has changed since that revision
    make mutants FIX=1          only the tables of mutants; also: remedies, prove

A row must fit the source at that revision. Its place is then looked for in the source
of today: the function, its file, its variables and its macros may have other names.
The words that the row finds and puts get the new names, and nothing else changes. Tests
that have moved to another file are followed, too.

Only the rows that need it are rewritten, in place. If words are gone, or may be meant
in two places, the row is printed for a person, and the exit status is 1.
"""
# ruff: noqa: T201 - a program that prints what it did

from __future__ import annotations

import argparse
import dataclasses
import io
import re
import subprocess
import sys
import tarfile
from collections.abc import Mapping, Sequence
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath

import anchors
from anchors import AnchorError, Change, Definition, Place, is_called
from new_names import Renames, most_alike, renamed
from table_rows import Row, rewritten, rows_of

__all__ = ["followed", "main"]

ROOT = Path(__file__).resolve().parent.parent.parent

# The tables of each kind, and the folder in which their rows plant their changes.
TABLES = {
    "mutants": {
        "tests/mutants/core.toml": "csrc",
        "tests/mutants/openssl.toml": "csrc/openssl",
        "tests/mutants/python.toml": "src/pinverify",
    },
    "remedies": {
        "tests/remedies/remedies.toml": "src/pinverify",
        "tests/remedies/openssl.toml": "csrc/openssl",
        "tests/remedies/boringssl.toml": "csrc/openssl",
    },
    "prove": {"tests/prove/*.toml": "csrc"},
    "constant_time": {"tests/constant_time/leaks.toml": "csrc"},
}

LEAST_WORDS = 4  # that tell a place, whatever function they are in
AROUND = 4  # words before a place and after it tell which of several it is


# ---- the source of then ------------------------------------------------------------


def read_at(root: Path, revision: str, folder: str) -> dict[str, str]:
    """Return the files of a folder as they were; see `anchors.read`."""
    command = ["git", "-C", str(root), "archive", revision, folder]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode != 0:
        sys.exit(
            f"git has no {folder} of {revision!r}: {done.stderr.decode().strip()}\n"
            "Name a revision in which the rows did fit: make anchors FIX=<revision>"
        )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        return {
            str(PurePosixPath(member.name).relative_to(folder)): file.read().decode()
            for member in archive
            if member.name.endswith(anchors.SUFFIXES)
            and (file := archive.extractfile(member)) is not None
        }


# ---- one row --------------------------------------------------------------------


def followed(change: Change, renames: Renames) -> Change:
    """Return a change as it has to be written today.

    Raises:
        AnchorError: a person has to look at it.
    """
    try:
        place = anchors.locate(_as_it_was(change, renames), renames.old)
    except AnchorError as error:
        if _fits(change, renames.new):
            return change  # a row that is new, or has followed
        msg = f"it did not fit then either: name an older revision; {error}"
        raise AnchorError(msg) from None
    try:
        new, names, at, quote = _today(place, change, renames)
    except AnchorError as error:
        if _fits(change, renames.new):
            msg = f"it fits today, but perhaps in another place than then: {error}"
            raise AnchorError(msg) from None
        raise
    result = dataclasses.replace(
        change,
        find=_with_names(change.find, names, place.file),
        put=_with_names(change.put, names, place.file),
        scope=new.name,
    )
    put = anchors.tokens(result.put, is_python=_is_python(new))
    if gone := sorted(renames.gone & set(anchors.words(put))):
        msg = f"what it puts there has {' and '.join(gone)}, which is gone"
        raise AnchorError(msg)
    result = _named_file(result, new, renames.new, keep=result == change)
    fits = [
        (each, i)
        for each in anchors.named(new.name, new.file, renames.new)
        for i in anchors.matches(quote, anchors.words(each.body))
    ]
    same = [i for i, (each, where) in enumerate(fits, 1) if (each, where) == (new, at)]
    return dataclasses.replace(result, nth=same[0] if len(fits) > 1 else 0)


def _fits(change: Change, sources: Mapping[str, str]) -> bool:
    try:
        anchors.locate(change, sources)
    except AnchorError:
        return False
    return True


def _as_it_was(change: Change, renames: Renames) -> Change:
    """Return a change whose function somebody has renamed already, as it was."""
    if anchors.named(change.scope, change.file, renames.old):
        return change
    befores = {
        (before.name, before.file)
        for before, after in renames.pairs.items()
        if after.name == change.scope and is_called(after.file, change.file)
    }
    if len(befores) == 1:
        ((name, file),) = befores
        return dataclasses.replace(change, scope=name, file=file)
    return change


def _today(
    place: Place, change: Change, renames: Renames
) -> tuple[Definition, dict[str, str], int, list[str]]:
    """Return where a place is today, and how it reads there.

    Namely the definition, what was renamed there, the number of the first word, and
    the words.

    Raises:
        AnchorError: it is gone, or might be in two places.
    """
    old = place.definition
    quote = anchors.words(anchors.tokens(change.find, is_python=_is_python(old)))
    if old.kind == "file":
        pair = _file_of_today(old, renames)
    else:
        pair = renames.pairs.get(old)
    if pair is not None:
        names = renames.names_in(old, pair)
        words = renamed(quote, names)
        at = _aligned(old, pair, names, place.at, words)
        if at is not None:
            return pair, names, at, words
    words = renamed(quote, renames.names)
    elsewhere = _everywhere(words, renames.new)
    alone = len(elsewhere) == len(_everywhere(quote, renames.old)) == 1
    if alone and len(words) >= LEAST_WORDS:
        return elsewhere[0][0], renames.names, elsewhere[0][1], words
    became = f"`{pair.name or pair.file}`" if pair else "nothing that is there today"
    fault = f"{change.find!r} is {'ambiguous' if elsewhere else 'gone'}"
    msg = f"`{old.name or old.file}` has become {became}, where {fault}"
    raise AnchorError(msg)


def _is_python(definition: Definition) -> bool:
    return definition.file.endswith(".py")


def _file_of_today(old: Definition, renames: Renames) -> Definition | None:
    file = renames.files.get(old.file, old.file)
    return (
        anchors.definitions(file, renames.new[file])[-1]
        if file in renames.new
        else None
    )


def _aligned(
    old: Definition,
    new: Definition,
    names: Mapping[str, str],
    at: int,
    quote: list[str],
) -> int | None:
    """Return which of the places in *new* that read like a quote is the old one."""
    before = renamed(anchors.words(old.body), names)
    after = anchors.words(new.body)
    found = anchors.matches(quote, after)
    if len(found) == 1 and len(anchors.matches(quote, before)) == 1:
        return found[0]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    blocks = matcher.get_matching_blocks()
    where = {a + i: b + i for a, b, size in blocks for i in range(size)}
    around = [
        *range(max(at - AROUND, 0), at),
        *range(at + len(quote), min(at + len(quote) + AROUND, len(before))),
    ]
    for place in found:
        inside = all(where.get(at + k) == place + k for k in range(len(quote)))
        same = sum(where.get(i) == i - at + place for i in around)
        if inside and 2 * same > len(around):
            return place
    return None


def _everywhere(
    quote: Sequence[str], sources: Mapping[str, str]
) -> list[tuple[Definition, int]]:
    """Return all places with these words, each in the smallest definition."""
    found: dict[tuple[str, int], tuple[Definition, int]] = {}
    for file, text in sources.items():
        inside = [each for each in anchors.definitions(file, text) if each.body]
        for each in sorted(inside, key=lambda each: len(each.body), reverse=True):
            for at in anchors.matches(quote, anchors.words(each.body)):
                found[file, each.body[at].start] = each, at
    return list(found.values())


def _with_names(text: str, names: Mapping[str, str], file: str) -> str:
    """Return C or Python, or a part of it, with other names; the rest stays."""
    parts, at = [], 0
    for token in anchors.tokens(text, is_python=file.endswith(".py")):
        parts += [text[at : token.start], names.get(token.text, token.text)]
        at = token.end
    return "".join([*parts, text[at:]])


def _named_file(
    change: Change, new: Definition, sources: Mapping[str, str], *, keep: bool
) -> Change:
    """Say in which file a definition is, if its name does not say so.

    A file that is named without need stays there if *keep* is true.
    """
    files = {each.file for each in anchors.named(change.scope, "", sources)}
    is_clear = bool(change.scope) and len(files) == 1
    meant = [file for file in files if is_called(file, change.file)]
    if change.file and meant == [new.file] and (keep or not is_clear):
        return change
    if is_clear:
        return dataclasses.replace(change, file="")
    parts = PurePosixPath(new.file).parts
    shorts = ["/".join(parts[-num:]) for num in range(1, len(parts) + 1)]
    clear = [
        short for short in shorts if sum(is_called(file, short) for file in files) == 1
    ]
    return dataclasses.replace(change, file=clear[0] if clear else new.file)


# ---- tests, and functions that a proof names -------------------------------------


class Tests:
    """Where tests are today."""

    def __init__(self, old: Mapping[str, str], new: Mapping[str, str]) -> None:
        """Compare the test files of then with those of today."""
        self._old, self._new = _functions(old), _functions(new)
        self._before = {each.name for each in self._old}
        self._files = set(new)
        c = [text for file, text in new.items() if file.endswith(".c")]
        self._words_in_c = {word for text in c for word in re.findall(r"\w+", text)}

    def follow(self, test: str) -> str:
        """Return how a test is called today.

        Raises:
            AnchorError: it is gone, or there are two.
        """
        path, _, name = test.partition("::")
        if test in self._words_in_c:  # a scenario of a program in C
            return test
        file, (name, *parameters) = path.removeprefix("tests/"), name.partition("[")
        named = [each for each in self._new if each.name == name]
        if file in self._files and (not name or file in {each.file for each in named}):
            return test
        found = named or [each for each in self._new if each.name not in self._before]
        if len(named) != 1:
            olds = [e for e in self._old if (e.file, e.name) == (file, name)]
            found = most_alike(olds[0], found) if olds else []
        if len(found) != 1:
            files = " and ".join(each.file for each in named) or "no file"
            msg = f"{test} is gone; that name is in {files}"
            raise AnchorError(msg)
        return f"tests/{found[0].file}::{found[0].name}{''.join(parameters)}"


def _functions(sources: Mapping[str, str]) -> list[Definition]:
    return [
        each
        for file, text in sources.items()
        for each in anchors.definitions(file, text)
        if each.name.startswith("test_")
    ]


def _follow_columns(row: Row, renames: Renames) -> dict[str, str]:
    """Return what the functions and files that a proof names are called today."""
    today = {}
    for key in ("function", "replace", "instead"):
        for word in re.findall(r"\w+", str(row.data.get(key, ""))):
            names = {renames.names[word]} if word in renames.names else set()
            there = {each.kind for each in anchors.named(word, "", renames.new)}
            if not names and "function" not in there:
                names = renames.named_today(word, _file_then(row, renames))
            today[word] = names.pop() if len(names) == 1 else word
    for file in row.data.get("link", ()):
        if file not in renames.new:
            today[file] = renames.files.get(file, file)
    return {old: new for old, new in today.items() if old != new}


def _file_then(row: Row, renames: Renames) -> str:
    try:
        return anchors.locate(row.change or Change(find="", put=""), renames.old).file
    except AnchorError:
        return ""


# ---- all rows ----------------------------------------------------------------------


def follow(root: Path, path: Path, renames: Renames, tests: Tests) -> tuple[int, int]:
    """Rewrite a table; return how many rows changed, and how many need a person."""
    text, name = path.read_text(encoding="utf-8"), path.relative_to(root).as_posix()
    num_changed, num_left, parts = 0, 0, []
    for row in rows_of(text):
        faults, new_tests, change = [], {}, row.change
        for test in row.data.get("tests", ()):
            try:
                new_tests[test] = tests.follow(test)
            except AnchorError as error:
                faults.append(str(error))
        if change is not None:
            try:
                change = followed(change, renames)
            except AnchorError as error:
                faults.append(str(error))
        block = rewritten(row, change, new_tests | _follow_columns(row, renames))
        for fault in faults:
            print(f"{name}:{row.line}: LOOK: {row.title}: {fault}")
        if block != row.text:
            print(f"{name}:{row.line}: {row.title}\n{_difference(row.text, block)}")
        num_changed += block != row.text
        num_left += bool(faults)
        parts.append(block)
    path.write_text("".join(parts), encoding="utf-8")
    return num_changed, num_left


def _difference(before: str, after: str) -> str:
    a, b = before.splitlines(), after.splitlines()
    lines = [f"    - {line}" for line in a if line not in b]
    lines += [f"    + {line}" for line in b if line not in a]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Let the tables follow; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tables", nargs="*", help=f"{', '.join(TABLES)}; or all")
    parser.add_argument("--since", default="1", help="a revision; 1 is HEAD")
    options = parser.parse_args(arguments)
    unknown = set(options.tables) - set(TABLES)
    if unknown:
        parser.error(f"no table {', '.join(unknown)}; there are: {', '.join(TABLES)}")
    revision = "HEAD" if options.since == "1" else options.since
    old_tests = read_at(root, revision, "tests")
    tests, compared = Tests(old_tests, anchors.read(root / "tests")), {}
    num_changed = num_left = 0
    kinds = [TABLES[table] for table in options.tables or TABLES]
    for pattern, folder in (pair for kind in kinds for pair in kind.items()):
        paths = sorted(root.glob(pattern))
        if paths and folder not in compared:
            old = read_at(root, revision, folder)
            compared[folder] = Renames(old, anchors.read(root / folder))
        for path in paths:
            changed, left = follow(root, path, compared[folder], tests)
            num_changed, num_left = num_changed + changed, num_left + left
    print(f"{num_changed} rows follow {revision}; {num_left} need a person.")
    return 1 if num_left else 0


if __name__ == "__main__":
    sys.exit(main())
