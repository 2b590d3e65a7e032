"""Rows of the tables name places in the source, and are updated after a rename.

Each rename is made in a small repository with one row, as a person would make it. Then
the row must be as that person would have written it.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

import anchors
import follow_renames
from anchors import AnchorError, Change
from places import ROOT
from table_rows import rewritten, rows_of

__all__: list[str] = []

pytestmark = pytest.mark.ci

CSRC = anchors.read(ROOT / "csrc")
PROOFS = [
    pytest.param(row.change, id=f"{path.stem}: {row.title}")
    for path in sorted((ROOT / "tests" / "prove").glob("*.toml"))
    for row in rows_of(path.read_text(encoding="utf-8"))
    if row.data
]


@pytest.mark.parametrize("bug", PROOFS)
def test_a_planted_bug_of_a_proof_is_where_the_table_says(bug: Change) -> None:
    """A bug that is nowhere would be found out only after minutes."""
    file, text = anchors.made(bug, CSRC)
    assert text != CSRC[file]


# ---- places ----------------------------------------------------------------------

C = """\
#define RARE(x) __builtin_expect(!!(x), 0)
#define TWICE(x) \\
  ((x) + (x))
enum { FIRST = 1, SECOND = 2 };
enum color { RED = 3 };
static const int table[] = {1, 2, 3};
typedef struct span { int start, end; } span;
int declared(int a);

TARGET_BEGIN("avx2")
static ATTRIBUTE(pure) int f(const int *a, int n) {
  int sum = 0;  // sum = 1
  for (int i = 0; i < n; i++) {
    if (RARE(a[i] < 0)) { return -1; }
    sum += a[i];
  }
  return sum > n && a[0] < n ? 1 : 0;
}
TARGET_END
static int g(void) REQUIRES(sum < 3) ASSIGNS(x, y) { return sum < 3; }
"""
PYTHON = '''\
"""A module that doesn't do much."""
LIMIT = 10


class Box:
    """A box."""

    size: int = 3

    @property
    def area(self) -> int:
        """Say "how large"."""
        if self.size > LIMIT:
            raise ValueError(
                "too large",
            )  # noqa
        return self.size * self.size

    def other(self) -> int:
        def inner() -> int:
            return self.size * 2

        return inner()
'''
SOURCES = {"a.c": C, "low/b.py": PYTHON}


@pytest.mark.parametrize(
    ("scope", "find", "line"),
    [
        ("f", "sum=0 ;", "int sum = 0;"),
        ("f", "for(int i=0;i<n;i++){ if(RARE(", "for (int i = 0; i < n; i++) {"),
        ("f", "a[i]<0 /* a comment */", "if (RARE(a[i] < 0)) { return -1; }"),
        ("g", "sum < 3", "static int g(void) REQUIRES(sum < 3)"),
        ("TWICE", "(x) + (x)", "((x) + (x))"),
        ("table", "2", "static const int table[] = {1, 2, 3};"),
        ("color", "RED = 3", "enum color { RED = 3 };"),
        ("span", "end", "typedef struct span"),
        ("LIMIT", "10", "LIMIT = 10"),
        ("Box.size", "3", "size: int = 3"),
        ("Box.area", "size>LIMIT", "if self.size > LIMIT:"),
        ("Box.area", 'ValueError("too large")', "raise ValueError("),
        ("Box.other.inner", "* 2", "return self.size * 2"),
        ("Box", "return inner()", "return inner()"),
    ],
)
def test_words_are_found_in_what_is_named(scope: str, find: str, line: str) -> None:
    """Layout and comments do not count, nor does the comma that ruff adds."""
    place = anchors.locate(Change(scope=scope, find=find, put=""), SOURCES)
    text = SOURCES[place.file]
    start = text.rfind("\n", 0, place.start) + 1
    assert text[start:].lstrip().startswith(line)


def test_a_contract_is_no_part_of_a_function() -> None:
    """It may go elsewhere, and no row changes."""
    change = Change(scope="g", find="sum < 3", put="sum < 4")
    _, text = anchors.made(change, SOURCES)
    assert "REQUIRES(sum < 3) ASSIGNS(x, y) { return sum < 4; }" in text


def test_the_nth_of_several_is_changed() -> None:
    """They are counted in the function, from 1."""
    change = Change(scope="f", find="a[i]", put="a[0]", nth=2)
    _, text = anchors.made(change, SOURCES)
    assert text == C.replace("sum += a[i]", "sum += a[0]")


def test_a_place_without_a_name_is_found_by_its_file() -> None:
    """So it is with the constants of C."""
    change = Change(file="a.c", find="SECOND = 2", put="SECOND = 3")
    assert anchors.made(change, SOURCES) == ("a.c", C.replace("D = 2", "D = 3"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Change(scope="f", find="a[i]", put=""), r"`f` has 'a\[i\]' 2 times: which"),
        (Change(scope="f", find="a[i]", put="", nth=3), r"`f` has 'a\[i\]' 2 times"),
        (Change(scope="f", find="a[j]", put=""), r"`f` has no 'a\[j\]'"),
        (Change(scope="f", find="// sum", put=""), "`f` has no"),
        (Change(scope="h", find="a", put=""), "nothing is called `h`"),
        (Change(scope="f", file="b.c", find="a", put=""), "nothing is called `f`"),
        (Change(find="a", put=""), "needs `in` or `file`"),
        (Change(scope="x", find="1", put=""), r"`x` is in d\.c and d\.h: name the"),
    ],
)
def test_an_anchor_that_does_not_fit_names_the_next_step(
    change: Change, message: str
) -> None:
    """A change that is made elsewhere, or nowhere, would show nothing."""
    sources = SOURCES | {"d.c": "int x(void) { return 1; }", "d.h": "enum x { A = 1 };"}
    with pytest.raises(AnchorError, match=message + ".*; .*`make anchors FIX=1`"):
        anchors.locate(change, sources)


def test_several_lines_of_python_come_to_stand_where_the_first_one_does() -> None:
    """They stand in the table without the indentation of the source."""
    put = "if True:\n    return 1\nreturn 2"
    change = Change(scope="Box.other", find="return inner()", put=put)
    _, text = anchors.made(change, SOURCES)
    after = "if True:\n            return 1\n        return 2"
    assert text == PYTHON.replace("return inner()", after)


# ---- rows --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "after"),
    [
        (
            '[[m]]\n# why\nin = "f"\nfind = "a"  # one\nput = "b"\ntests = []\n',
            (
                '[[m]]\n# why\nin = "g"\nfile = "c.c"\nnth = 2\nfind = "x"  # one\n'
                "put = '\"y\"'\ntests = []\n"
            ),
        ),
        (
            '[[p]]\nfunction = "f"\nbug = { find = "a", put = "b" }\n',
            (
                '[[p]]\nfunction = "f"\nbug = { in = "g", file = "c.c", nth = 2, '
                'find = "x", put = \'"y"\' }\n'
            ),
        ),
        (
            '[[p]]\nfunction = "f"\nbug.find = "a"\nbug.put = "b"\n',
            (
                '[[p]]\nfunction = "f"\nbug.in = "g"\nbug.file = "c.c"\nbug.nth = 2\n'
                'bug.find = "x"\nbug.put = \'"y"\'\n'
            ),
        ),
    ],
)
def test_a_row_is_rewritten_in_its_own_layout(row: str, after: str) -> None:
    """Comments and line breaks stay as they are."""
    (found,) = (each for each in rows_of(row) if each.data)
    new = Change(scope="g", file="c.c", nth=2, find="x", put='"y"')
    assert rewritten(found, new, {}) == after
    (found,) = (each for each in rows_of(after) if each.data)
    back = Change(scope="f", find="a", put="b")
    assert rewritten(found, back, {}).replace("'b'", '"b"') in (
        row,
        row.replace("find", 'in = "f", find') if "{" in row else "",
        row.replace("bug.find", 'bug.in = "f"\nbug.find'),
    )


# ---- following ---------------------------------------------------------------------

TREE = {
    "csrc/der.c": (
        "static int enter(span *in, int tag) {\n"
        "  if (RARE(in->pos >= in->end)) { return 0; }\n"
        "  return in->base[in->pos] == tag;\n}\n"
        "static int skip(span *in) {\n"
        "  for (int i = 0; i < in->num; i++) { in->pos += i; }\n"
        "  for (int i = 0; i < in->num; i++) { in->end -= i; }\n"
        "  return enter(in, 4);\n}\n"
    ),
    "csrc/kernel_a.c": "static int scan(int *p) {\n  return load(p + 1) ^ 17;\n}\n",
    "csrc/kernel_b.c": "static int scan(int *p) {\n  return load(p + 2) ^ 18;\n}\n",
    "src/pinverify/tls.py": (
        "class _Pending:\n    def send(self, data):\n"
        "        self.do_handshake()\n        return super().send(data)\n\n"
        "    def recv(self, size):\n"
        "        self.do_handshake()\n        return super().recv(size)\n"
    ),
    "tests/test_a.py": "def test_one():\n    assert 1\n",
    "tests/mutants/core.toml": (
        "# A table.\n\n"
        '[[mutant]]\nwhat = "behind the end"\nin = "enter"\n'
        'find = "in->pos >= in->end"\nput = "in->pos > in->end"\n'
        'tests = ["tests/test_a.py::test_one[x]"]\n\n'
        '[[mutant]]\nwhat = "one too many"\nin = "skip"\n'
        'find = "i < in->num"\nnth = 2\n'
        'put = "i <= in->num"\ntests = ["tests/test_a.py"]\n'
    ),
    "tests/mutants/python.toml": (
        '[[mutant]]\nwhat = "data before the check"\nin = "_Pending.recv"\n'
        'find = "self.do_handshake()"\nput = "pass"\n'
        'tests = ["tests/test_a.py::test_one"]\n'
    ),
    "tests/prove/p.toml": (
        '[[proof]]\nfunction = "scan"\nlink = ["der.c"]\n'
        'bug = { file = "kernel_b.c", find = "load(p + 2)", put = "load(p)" }\n'
    ),
    "tests/remedies/remedies.toml": (
        '[[remedy]]\nwhat = "a gate"\ntests = ["tests/test_a.py::test_one"]\n'
        '[[remedy.change]]\nin = "_Pending.send"\n'
        "find = '''\nself.do_handshake()\nreturn super().send(data)'''\n"
        'put = "return super().send(data)"\n'
    ),
}
TABLES = [name for name in TREE if name.endswith(".toml")]


def git(folder: Path, *arguments: str) -> None:
    """Run git in a folder, as nobody in particular."""
    name = ("-c", "user.name=a", "-c", "user.email=a@example.org")
    command = ["git", "-C", str(folder), *name, *arguments]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a repository with a source, its tests and its tables."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    for name, text in TREE.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message", "Begin")
    return tmp_path


def replaced(folder: Path, file: str, words: Mapping[str, str]) -> None:
    """Replace words in a file."""
    path = folder / file
    text = path.read_text(encoding="utf-8")
    for before, after in words.items():
        assert before in text
        text = text.replace(before, after)
    path.write_text(text, encoding="utf-8")


def moved(folder: Path, file: str, to: str) -> None:
    """Move a file to a folder that may not exist yet."""
    (folder / to).parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder / file, folder / to)


def rename_a_function(folder: Path) -> dict[str, str]:
    """Rename one that another one calls."""
    replaced(folder, "csrc/der.c", {"enter(": "pv__der_enter("})
    return {'in = "enter"': 'in = "pv__der_enter"'}


def rename_variables_and_macros(folder: Path) -> dict[str, str]:
    """Rename in one function a parameter, a member and a macro."""
    words = {"RARE": "UNLIKELY", "in->end": "cursor->limit", "in->": "cursor->"}
    replaced(folder, "csrc/der.c", words | {"*in": "*cursor", "(in,": "(cursor,"})
    return {"in->end": "cursor->limit", "in->": "cursor->"}


def lay_it_out_anew(folder: Path) -> dict[str, str]:
    """Break lines, and add comments."""
    words = {
        "in->pos >= ": "in->pos  // where it is\n      >= ",
        "{ return 0; }": "return 0;",
    }
    replaced(folder, "csrc/der.c", words)
    words = {"super().send(data)": "super().send(\n            data,\n        )"}
    replaced(folder, "src/pinverify/tls.py", words)
    return {}


def move_a_file(folder: Path) -> dict[str, str]:
    """Move files of C and Python to folders."""
    moved(folder, "csrc/kernel_b.c", "csrc/kernels/kernel_b.c")
    moved(folder, "src/pinverify/tls.py", "src/pinverify/tls/sockets.py")
    return {}


def rename_a_file(folder: Path) -> dict[str, str]:
    """Give files other names."""
    moved(folder, "csrc/der.c", "csrc/asn1.c")
    moved(folder, "csrc/kernel_b.c", "csrc/kernels/b.c")
    return {'"der.c"': '"asn1.c"', "kernel_b.c": "b.c"}


def move_a_function(folder: Path) -> dict[str, str]:
    """Move one to another file, and give it another name there."""
    path = folder / "csrc" / "der.c"
    text = path.read_text(encoding="utf-8")
    at = text.index("static int skip")
    path.write_text(text[:at], encoding="utf-8")
    other = folder / "csrc" / "skip.c"
    other.write_text(text[at:].replace("skip(", "skip_all("), encoding="utf-8")
    return {'in = "skip"': 'in = "skip_all"'}


def move_a_method(folder: Path) -> dict[str, str]:
    """Rename a class and a method, and move them to another module."""
    moved(folder, "src/pinverify/tls.py", "src/pinverify/tls/_connect.py")
    words = {"_Pending": "PendingSocket", "do_handshake": "shake_hands"}
    replaced(folder, "src/pinverify/tls/_connect.py", words)
    return {"_Pending.": "PendingSocket.", "do_handshake": "shake_hands"}


def rename_differently_in_each_file(folder: Path) -> dict[str, str]:
    """Make the names of two files different."""
    for kernel in "ab":
        words = {"scan": f"{kernel}_scan", "load": f"{kernel}_load"}
        replaced(folder, f"csrc/kernel_{kernel}.c", words)
    return {"scan": "b_scan", "load": "b_load", 'file = "kernel_b.c", ': ""}


def add_the_same_words_before(folder: Path) -> dict[str, str]:
    """Let the second place become the third."""
    loop = "  for (int i = 0; i < in->num; i++) { in->mid *= i; }\n"
    words = {"skip(span *in) {\n": "skip(span *in) {\n" + loop}
    replaced(folder, "csrc/der.c", words)
    return {"nth = 2": "nth = 3"}


def take_the_first_away(folder: Path) -> dict[str, str]:
    """Let the second place become the only one."""
    loop = "  for (int i = 0; i < in->num; i++) { in->pos += i; }\n"
    replaced(folder, "csrc/der.c", {loop: ""})
    return {"nth = 2\n": ""}


def move_a_test(folder: Path) -> dict[str, str]:
    """Move a test to another file; the old file stays, empty."""
    shutil.copy(folder / "tests/test_a.py", folder / "tests/test_b.py")
    (folder / "tests/test_a.py").write_text("", encoding="utf-8")
    return {"test_a.py::": "test_b.py::"}


RENAMES = [
    rename_a_function,
    rename_variables_and_macros,
    lay_it_out_anew,
    move_a_file,
    rename_a_file,
    move_a_function,
    move_a_method,
    rename_differently_in_each_file,
    add_the_same_words_before,
    take_the_first_away,
    move_a_test,
]


@pytest.mark.parametrize("committed", [False, True], ids=["before", "after-a-commit"])
@pytest.mark.parametrize("rename", RENAMES, ids=lambda rename: rename.__name__)
def test_rows_follow_a_rename(
    tree: Path, rename: Callable[[Path], dict[str, str]], *, committed: bool
) -> None:
    """They get the new names, and nothing else changes."""
    words = rename(tree)
    since = "1"
    if committed:
        git(tree, "add", "--all")
        git(tree, "commit", "--quiet", "--message", "Rename")
        since = "HEAD~1"
    assert follow_renames.main(["--since", since], tree) == 0
    wanted = "".join(TREE[name] for name in TABLES)
    for before, after in words.items():
        wanted = wanted.replace(before, after)
    found = "".join((tree / name).read_text(encoding="utf-8") for name in TABLES)
    assert found == wanted
    assert follow_renames.main(["--since", since], tree) == 0  # nothing is left to do
    again = "".join((tree / name).read_text(encoding="utf-8") for name in TABLES)
    assert again == wanted


def test_a_row_that_fits_stays_as_it_is(tree: Path) -> None:
    """Also one that names its file without need, or a scenario of a program in C."""
    table = "tests/mutants/core.toml"
    words = {'in = "enter"': 'in = "enter"\nfile = "der.c"'}
    words['"tests/test_a.py::test_one[x]"'] = '"whole_chain"'
    replaced(tree, table, words)
    (tree / "tests/chains.c").write_text("void whole_chain(void) {}\n", "utf-8")
    before = (tree / table).read_text(encoding="utf-8")
    assert follow_renames.main([], tree) == 0
    assert (tree / table).read_text(encoding="utf-8") == before
    (tree / "tests/chains.c").write_text("void another_chain(void) {}\n", "utf-8")
    assert follow_renames.main([], tree) == 1


GONE = [
    ("csrc/der.c", {"in->pos >= in->end": "!has_more(in)"}, "behind the end"),
    ("csrc/der.c", {"i < in->num; i++) { in->end -= i": "!done(in)"}, "one too many"),
    ("tests/test_a.py", {"test_one": "of_another_kind"}, "tests/test_a.py::test_one"),
]


@pytest.mark.parametrize(("file", "words", "said"), GONE)
def test_a_row_that_can_not_follow_is_left_to_a_person(
    tree: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    words: dict[str, str],
    said: str,
) -> None:
    """It stays as it is, and the exit status says so."""
    replaced(tree, file, words)
    assert follow_renames.main([], tree) == 1
    for name in TABLES:
        assert (tree / name).read_text(encoding="utf-8") == TREE[name]
    assert any(
        "LOOK" in line and said in line for line in capsys.readouterr().out.splitlines()
    )


def test_a_row_that_may_fit_elsewhere_is_left_to_a_person(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of two is gone, and what was the second is the first now."""
    replaced(tree, "tests/mutants/core.toml", {"nth = 2": "nth = 1"})
    words = {"i < in->num; i++) { in->pos += i": "!done(in); ) { in->pos += i"}
    replaced(tree, "csrc/der.c", words)
    assert follow_renames.main(["mutants"], tree) == 1
    assert "LOOK: one too many: it fits today, but" in capsys.readouterr().out


def test_a_row_that_plants_a_name_which_is_gone_is_left_to_a_person(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would break for another reason than the one that its words give."""
    table = "tests/mutants/core.toml"
    replaced(tree, table, {'"in->pos > in->end"': '"load(in)"'})
    for kernel in "ab":
        replaced(tree, f"csrc/kernel_{kernel}.c", {"load(": "*("})
    assert follow_renames.main(["mutants"], tree) == 1
    assert "what it puts there has load, which is gone" in capsys.readouterr().out


def test_a_row_that_never_fitted_is_left_to_a_person(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An older revision may do."""
    table = "tests/mutants/core.toml"
    replaced(tree, table, {"in->pos >= in->end": "at_end(in)"})
    assert follow_renames.main(["mutants"], tree) == 1
    assert "LOOK: behind the end: it did not fit then either" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"git has no \w+ of 'v9'.*\n.*FIX=<revision>"):
        follow_renames.main(["mutants", "--since", "v9"], tree)


def test_one_table_is_chosen_by_its_name(tree: Path) -> None:
    """The others stay."""
    rename_a_function(tree)
    before = (tree / TABLES[0]).read_text(encoding="utf-8")
    assert follow_renames.main(["prove", "remedies"], tree) == 0
    assert (tree / TABLES[0]).read_text(encoding="utf-8") == before
    with pytest.raises(SystemExit):
        follow_renames.main(["proofs"], tree)
