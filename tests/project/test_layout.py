"""The layout of the source: names of files, floors in C, and rules for every file.

C files are on floors, as those of Python are (test_floors.py). The undefined symbols of
their objects show what they use. Rules for every file are about the length of its
lines, its first words, and its place in the map of the tests.

Every check is a function from text or symbols to a list of faults. For each there is a
test that the tree has no fault, and one that a planted fault is found.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest

import map_of_tests
from c_objects import compiler, core_objects
from compiled import compiled_object
from core_sources import MAP, adapter_sources, core_sources
from places import ROOT

__all__: list[str] = []

pytestmark = pytest.mark.ci

CSRC = ROOT / "csrc"
PACKAGE = ROOT / "src" / "pinverify"

SAYS_NOTHING = {"base", "common", "helpers", "manager", "misc", "util", "utils"}


def test_each_test_stands_in_the_folder_of_its_room() -> None:
    """At the top are the folders, and the fixtures of all tests."""
    found = {path.name for path in (ROOT / "tests").glob("*.py")}
    assert found == {"conftest.py"}


def test_file_names_say_something() -> None:
    """No file is called after the idea it lacks."""
    folders = (PACKAGE, CSRC, ROOT / "tests", ROOT / "bench")
    names = {path.stem for folder in folders for path in folder.rglob("*.*")}
    assert "pinverify" in names
    assert names & SAYS_NOTHING == set()


# ---- C -----------------------------------------------------------------------

# The first pattern that fits a file tells its floor.
C_FLOORS = {
    "siphash_portable.c": -2,  # below the other kernels, which use them
    "siphash_x86.c": -1,
    "host.c": 0,
    "cpu.c": 0,
    "status.c": 0,
    "text.c": 0,
    "sha256_*.c": 0,
    "scan_*.c": 0,
    "spki.c": 1,
    "sha256.c": 1,
    "scan.c": 1,
    "spki_sha256.c": 2,
    "policy_hash.c": 2,
    "policy_find.c": 3,
    "policy_open.c": 3,
    "evaluate.c": 4,
    "evaluate_many.c": 5,
    "policy_compile.c": 5,
    "policy_map.c": 6,
    # The adapter of OpenSSL.
    "policy_in_force.c": 6,
    "hash_cache.c": 6,
    "memo.c": 7,
    "broken_bio.c": 6,
    "step.c": 6,
    "ex_data.c": 7,
    "facts_*.c": 8,
    "judge.c": 9,
    "rejected_connection.c": 10,
    "verify_callback.c": 11,
    "handshake.c": 12,
    "guard_*.c": 13,
    "pinverify_openssl.c": 14,
}

LIBC = {"memchr", "memcmp", "memcpy", "memmove", "memset"}

# The one thing that may change while a program runs: which kernel was chosen.
WRITABLE = re.compile(r"(scan|sha256)_chosen")

# The adapter takes functions of OpenSSL from outside as well, and a clock; it keeps
# the places that OpenSSL has given it, and the security callback of new contexts.
OPENSSL = re.compile(r"(SSL|X509|BIO|ERR|CRYPTO|OPENSSL)_\w+|i2d_X509|TLS_method")
LIBC_OF_ADAPTER = LIBC | {"sched_yield", "strcmp", "strlen", "time"}
WRITABLE_IN_ADAPTER = re.compile(
    r"once|(context|connection)_index|method|type|security_of_openssl"
)

# The file that opens policies in files needs POSIX, and allocates pages alone.
POSIX_OF_MAP = {"close", "fstat", "mmap", "mprotect", "munmap", "open", "pread", "read"}
POSIX_OF_MAP |= {"__errno_location"}

# The objects that are looked at have no stack protector, whose runtime would be
# one symbol more, and fixed addresses: so constant tables of pointers count as
# the constants they are.
COMPILE = (
    *("-std=c11", "-O2", "-fvisibility=hidden", "-fno-stack-protector"),
    *("-fno-pic", "-fno-pie", "-U_FORTIFY_SOURCE"),
)

WITHOUT_COMMENTS = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True)
class Symbols:
    """Symbols of the object of a C file: its own, and those from elsewhere."""

    file: str
    defined: frozenset[str] = frozenset()
    undefined: frozenset[str] = frozenset()
    writable: frozenset[str] = frozenset()


def run(*command: str | Path) -> str:
    """Run a command of the tool chain; return what it prints."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def symbols(source: Path) -> Symbols:
    """Return the symbols of the object of a C file in csrc."""
    made = compiled_object([*compiler(), *COMPILE, f"-I{CSRC}"], source)
    return symbols_of(made, source.name)


def symbols_of(obj: Path, file: str) -> Symbols:
    """Read the symbols of the object of a C file."""
    kinds: dict[str, set[str]] = {"defined": set(), "undefined": set(), "data": set()}
    for line in run("nm", "-P", obj).splitlines():
        name, kind = line.split()[:2]
        if kind in "Uwv":
            kinds["undefined"].add(name)
        elif kind.isupper():
            kinds["defined"].add(name)
        if kind in "bBdDcCsSgG":
            kinds["data"].add(name)
    return Symbols(
        file,
        frozenset(kinds["defined"]),
        frozenset(kinds["undefined"]),
        frozenset(kinds["data"]),
    )


def skip_without_openssl(folder: Path) -> None:
    """Skip a test on a machine without the headers of OpenSSL."""
    source = folder / "openssl.c"
    source.write_text("#include <openssl/ssl.h>\n", encoding="ascii")
    command = [*compiler(), "-fsyntax-only", str(source)]
    if subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("no headers of OpenSSL here")


def planted(folder: Path, name: str, text: str) -> Symbols:
    """Return the symbols of a C file that a test makes up."""
    source = folder / name
    source.write_text(text, encoding="ascii")
    obj = source.with_suffix(".o")
    run(*compiler(), *COMPILE, "-I", CSRC, "-c", "-o", obj, source)
    return symbols_of(obj, name)


def c_floor(file: str) -> int | None:
    """Return the floor of a C file, or None if it has none."""
    floors = (floor for pattern, floor in C_FLOORS.items() if fnmatch(file, pattern))
    return next(floors, None)


def c_floor_faults(objects: list[Symbols]) -> list[str]:
    """Return which files use a file that is not below them."""
    faults = [
        f"{o.file} stands on no floor" for o in objects if c_floor(o.file) is None
    ]
    home = {name: o.file for o in objects for name in o.defined}
    for user in objects:
        floor = c_floor(user.file)
        for name in sorted(user.undefined & home.keys()):
            used = c_floor(home[name])
            if floor is None or used is None or used >= floor:
                faults.append(f"{user.file} uses {name} of {home[name]}")
    return faults


def libc_faults(objects: list[Symbols]) -> list[str]:
    """Return what the core takes from outside, but for functions on bytes."""
    inside = LIBC.union(*(o.defined for o in objects))
    return [
        f"{o.file}: {name}" for o in objects for name in sorted(o.undefined - inside)
    ]


def writable_faults(objects: list[Symbols]) -> list[str]:
    """Return what can be written while a program runs, but for kernel choices."""
    names = ((o.file, name) for o in objects for name in sorted(o.writable))
    return [f"{file}: {name}" for file, name in names if not WRITABLE.fullmatch(name)]


def declared(header: str) -> set[str]:
    """Return the functions that a header declares."""
    return set(re.findall(r"\b(pv_\w+)\s*\(", WITHOUT_COMMENTS.sub("", header)))


def header_texts(*more: str) -> str:
    """Return the public headers of the core, and other public headers, as one text."""
    names = ("pinverify.h", "pinverify_compile.h", *more)
    return "".join((CSRC / name).read_text(encoding="ascii") for name in names)


def exported(folder: Path, *sources: Path, core: bool = False) -> set[str]:
    """Link C files as one library, or beside the core; return what it shows."""
    library = folder / "library.so"
    command = (
        *(*compiler(), "-std=c11", "-O0", "-fPIC", "-fvisibility=hidden"),
        *("-I", str(CSRC)),
    )
    objects = [*core_objects(command).values()] if core else []
    ours = [path for path in sources if path.is_relative_to(CSRC)]
    made_up = {*sources} - {*ours}
    with ThreadPoolExecutor() as pool:
        objects += pool.map(partial(compiled_object, command), ours)
    run(*command, "-shared", "-o", library, *made_up, *objects)
    lines = run("nm", "-DP", "--defined-only", library).splitlines()
    linkers = {"_init", "_fini", "__bss_start", "_edata", "_end"}
    return {line.split()[0] for line in lines} - linkers


def text_faults(text: bytes, columns: int = 80) -> list[str]:
    """Return what a C file holds beside lines of at most 80 ASCII characters."""
    faults = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if len(line) > columns:
            faults.append(f"line {number} is longer than {columns}")
        if any(not 0x20 <= byte < 0x7F for byte in line):
            faults.append(f"line {number} holds a byte that is not printable ASCII")
    return faults


@pytest.fixture(scope="module")
def objects() -> list[Symbols]:
    """The symbols of the whole core."""
    if shutil.which("nm") is None:
        pytest.skip("no nm here")
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(symbols, core_sources()))
    assert any("pv_evaluate" in o.defined for o in found)
    return found


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> list[Symbols]:
    """The symbols of the adapter of OpenSSL."""
    skip_without_openssl(tmp_path_factory.mktemp("adapter"))
    with ThreadPoolExecutor() as pool:
        return list(pool.map(symbols, adapter_sources()))


def test_the_adapter_uses_lower_floors_only(
    objects: list[Symbols], adapter: list[Symbols]
) -> None:
    """It stands on the core, which does not know it."""
    assert {o.file for o in adapter} >= {"pinverify_openssl.c", "judge.c"}
    assert c_floor_faults([*objects, *adapter]) == []


def test_the_adapter_needs_openssl_and_a_clock(
    objects: list[Symbols], adapter: list[Symbols]
) -> None:
    """It does no I/O of its own, and keeps nothing for a whole process but places."""
    ours = frozenset[str]().union(*(o.defined for o in (*objects, *adapter)))
    names = frozenset[str]().union(*(o.undefined for o in adapter)) - ours
    assert {n for n in names - LIBC_OF_ADAPTER if not OPENSSL.fullmatch(n)} == set()
    kept = frozenset[str]().union(*(o.writable for o in adapter))
    assert {name for name in kept if not WRITABLE_IN_ADAPTER.fullmatch(name)} == set()


def test_the_adapter_exports_what_its_header_declares(tmp_path: Path) -> None:
    """Beside the core, whose functions its header includes."""
    skip_without_openssl(tmp_path)
    texts = header_texts("pinverify_openssl.h")
    assert exported(tmp_path, *adapter_sources(), core=True) == declared(texts)


def test_the_file_of_maps_needs_the_core_and_posix(
    objects: list[Symbols], tmp_path: Path
) -> None:
    """It stands on the core, exports what its header declares, and keeps nothing."""
    found = symbols(MAP)
    assert c_floor_faults([*objects, found]) == []
    ours = frozenset[str]().union(*(o.defined for o in objects))
    assert found.undefined - ours - LIBC <= POSIX_OF_MAP
    assert "mmap" in found.undefined
    assert found.writable == set()
    texts = header_texts("pinverify_map.h")
    assert exported(tmp_path, MAP, core=True) == declared(texts)


def test_c_file_uses_lower_floors_only(objects: list[Symbols]) -> None:
    """A file calls files below it only; files of one floor don't know each other."""
    assert c_floor_faults(objects) == []


def test_c_core_allocates_nothing_and_needs_nothing(objects: list[Symbols]) -> None:
    """No malloc, no I/O, no clock: the core takes only mem* from outside."""
    assert libc_faults(objects) == []


def test_c_core_has_no_writable_globals(objects: list[Symbols]) -> None:
    """Any thread may call any function: only the kernel choice can change."""
    assert writable_faults(objects) == []


def test_c_core_exports_what_its_headers_declare(tmp_path: Path) -> None:
    """Each function of both headers exists, and nothing else is visible."""
    texts = header_texts()
    assert {"pv_evaluate", "pv_policy_compile"} <= declared(texts)
    assert exported(tmp_path, core=True) == declared(texts)


def test_a_gateway_reads_a_header_without_the_compiler() -> None:
    """Only the file that compiles policies includes the compiler's header."""
    gateway = (CSRC / "pinverify.h").read_text(encoding="ascii")
    assert {"pv_policy_open", "pv_decide"} <= declared(gateway)
    assert not [name for name in declared(gateway) if "compile" in name]
    users = {
        path.relative_to(CSRC).as_posix()
        for path in CSRC.rglob("*.[ch]")
        if re.search(r'#include "\S*pinverify_compile\.h"', path.read_text("ascii"))
    }
    assert users == {"compile/policy_compile.c"}


@pytest.mark.parametrize(
    "path", sorted(CSRC.rglob("*.[ch]")), ids=lambda path: str(path.name)
)
def test_c_file_is_short_lines_of_ascii(path: Path) -> None:
    """No character in the core looks like another, and no line is cut off."""
    assert text_faults(path.read_bytes()) == []


def test_planted_upward_call_is_seen(tmp_path: Path) -> None:
    """A call to a file above, or on the same floor, or without one, is a fault."""
    low = planted(tmp_path, "host.c", "int spki(void); int host(void) {return spki();}")
    same = planted(tmp_path, "scan.c", "int spki(void); int s(void) {return spki();}")
    high = planted(tmp_path, "spki.c", "int spki(void) {return 1;}")
    odd = planted(tmp_path, "odd.c", "int odd(void) {return 1;}")
    assert c_floor_faults([low, high]) == ["host.c uses spki of spki.c"]
    assert c_floor_faults([same, high]) == ["scan.c uses spki of spki.c"]
    assert c_floor_faults([high]) == []
    assert c_floor_faults([odd]) == ["odd.c stands on no floor"]


def test_planted_allocation_is_seen(tmp_path: Path) -> None:
    """A call of malloc, or of anything else that is not mem*, is a fault."""
    text = "#include <stdlib.h>\nvoid *der(void) { return malloc(9); }"
    assert libc_faults([planted(tmp_path, "host.c", text)]) == ["host.c: malloc"]


@pytest.mark.parametrize(
    "variable", ["int seen;", "static int seen = 1;", "static int seen;"]
)
def test_planted_writable_global_is_seen(tmp_path: Path, variable: str) -> None:
    """Zeroed or not, static or not: a variable is a fault, a constant is none."""
    text = f"{variable} int host(void) {{ return ++seen; }}"
    assert writable_faults([planted(tmp_path, "host.c", text)]) == ["host.c: seen"]
    table = "static int f(void) { return 1; } int (*const rows[])(void) = {f, f};"
    assert writable_faults([planted(tmp_path, "cpu.c", table)]) == []


def test_planted_export_is_seen(tmp_path: Path) -> None:
    """A function that is public and not in the header differs from the header."""
    source = tmp_path / "extra.c"
    source.write_text(
        '#include "pinverify.h"\nPV_API int pv_extra(void) { return 1; }\n'
        "int inner(void) { return 1; }\n",
        encoding="ascii",
    )
    assert exported(tmp_path, source) == {"pv_extra"}
    assert declared("// pv_a(1)\n/* pv_b(1) */ int pv_c(int x);") == {"pv_c"}


@pytest.mark.parametrize(
    "text", [b"int caf\xc3\xa9;", b"int\tx;", b"int x;\r\n", b"// " + 78 * b"x"]
)
def test_planted_character_is_seen(text: bytes) -> None:
    """Accents, tabs, carriage returns and long lines are faults."""
    assert len(text_faults(text)) == 1
    assert text_faults(b"int x;\n// " + 77 * b"x") == []


# ---- every file --------------------------------------------------------------

# Home folders, drives, and folders that only some machines have.
MACHINE_PATH = re.compile(
    rb"""(?<![\w.~$}/-]) (?: / (?:home|root|Users|work|mnt|srv) / [\w.]
    | [A-Z]: \\ \w )""",
    re.VERBOSE,
)


def tracked() -> list[Path]:
    """Return the files that git knows or would add."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = run("git", "-C", ROOT, "ls-files", "-coz", "--exclude-standard")
    return [ROOT / name for name in names.split("\0") if (ROOT / name).is_file()]


def test_the_page_for_contributors_names_files_that_exist() -> None:
    """A newcomer who follows it finds each file and folder."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    names = set(re.findall(r"`((?:csrc|src|tests|docs)/[\w./*-]+)`", page))
    assert "csrc/spki.c" in names
    assert {name for name in names if not any(ROOT.glob(name))} == set()


def test_the_page_of_the_core_has_every_file() -> None:
    """Its table names each file of the core and of the adapter, and no other."""
    page = (CSRC / "README.md").read_text(encoding="ascii")
    table = page.partition("## Files")[2]
    names = {Path(name).stem for name in re.findall(r"`([\w.*]+)`", table)}
    files = {p.stem for p in (*CSRC.glob("*.[ch]"), *CSRC.glob("openssl/*.[ch]"))}
    assert {f for f in files if not any(fnmatch(f, n) for n in names)} == set()
    kept = files | {p.stem for p in CSRC.iterdir()}
    assert {n for n in names if not any(fnmatch(f, n) for f in kept)} == set()


def test_no_file_names_a_path_of_one_machine() -> None:
    """The text of every file holds on every machine."""
    files = tracked()
    assert CSRC / "pinverify.h" in files
    found = {path.name: MACHINE_PATH.search(path.read_bytes()) for path in files}
    assert {name: hit[0] for name, hit in found.items() if hit} == {}


@pytest.mark.parametrize("folder", ["home", "root", "Users", "work"])
def test_planted_path_of_one_machine_is_seen(folder: str) -> None:
    """An absolute path into a home folder is seen; a part of an address is not."""
    assert MACHINE_PATH.search(f'open("/{folder}/me/x")'.encode())
    assert not MACHINE_PATH.search(f"https://example.org/{folder}/me".encode())


def versions() -> dict[str, str | None]:
    """Return the version as each file that tells it tells it."""
    tellers = {
        "pyproject.toml": r'^version = "(.+)"$',
        "CHANGELOG.md": r"^## (\d\S+)",
        "src/pinverify/_version.py": r'^__version__ = "(.+)"$',
        "csrc/pinverify.h": r'^#define PV_VERSION "(.+)"$',
        "csrc/meson.build": r"^  version: '(.+)',$",
    }
    texts = {name: (ROOT / name).read_text(encoding="utf-8") for name in tellers}
    hits = {name: re.search(tellers[name], texts[name], re.MULTILINE) for name in texts}
    return {name: hit and hit[1] for name, hit in hits.items()}


def test_version_is_the_same_everywhere() -> None:
    """The package, its metadata and the newest entry of the changelog agree."""
    told = versions()
    assert set(told.values()) == {told["pyproject.toml"]}
    assert told["pyproject.toml"] is not None


# ---- first words -------------------------------------------------------------


def sources(*suffixes: str) -> dict[str, str]:
    """Return the text of each tracked file of Python or C, by its path."""
    return {
        path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
        for path in tracked()
        if path.suffix in suffixes
    }


# A docstring says what a thing is or does; it does not ask.
QUESTION = re.compile(r"(?:What|Which|Who|Whose|Whether)\b")
QUESTION_IN_C = re.compile(r"(?://|/\*) [\w.]+: (?:what|which|who|whose|whether|see)\b")
# Of a comment of several lines, the first one.
COMMENT_QUESTION = re.compile(
    r"(?m)(?:\A|^(?! *//).*\n) *(// (?:What|Which|Who|Whose|Whether)\b.*)"
)


def docstrings(source: str) -> list[str]:
    """Return the docstrings of a module, its classes, functions and attributes."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [
        statement.value.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, kinds)
        for statement in node.body
        if isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    ]


def questions(source: str) -> list[str]:
    """Return the first lines of the docstrings that begin as a question does."""
    found = [text.strip().splitlines()[0] for text in docstrings(source)]
    return [line for line in found if QUESTION.match(line)]


def test_no_docstring_begins_as_a_question() -> None:
    """A reader who skims first lines learns what things are: nouns and verbs."""
    texts = sources(".py", ".pyi")
    faults = {name: found for name, text in texts.items() if (found := questions(text))}
    assert faults == {}


def test_no_c_file_begins_as_a_question() -> None:
    """The first line of a C file says what the file is for."""
    texts = sources(".c", ".h")
    first_lines = {name: text.partition("\n")[0] for name, text in texts.items()}
    faults = {n: line for n, line in first_lines.items() if QUESTION_IN_C.match(line)}
    assert faults == {}


def test_no_comment_of_the_core_begins_as_a_question() -> None:
    """Nor does a comment of a function, or within one."""
    faults = {
        path.name: found
        for path in CSRC.rglob("*.[ch]")
        if (found := COMMENT_QUESTION.findall(path.read_text("ascii")))
    }
    assert faults == {}


def test_a_planted_question_is_seen() -> None:
    """In a docstring of any kind, and in the first line of C."""
    source = (
        '"""What a."""\n'
        'class A():\n    """Which."""\n    x: int\n    """Whose x."""\n'
        '    def f(self):\n        """Whether f."""\n'
        'async def g():\n    """Who g."""\n'
    )
    assert len(questions(source)) == 5
    assert questions('"""Whatever comes."""\ndef f():\n    """Say what."""') == []
    assert QUESTION_IN_C.match("// a.c: what b.h says.")
    assert not QUESTION_IN_C.match("// a.c: says what b.h means.")
    text = "// Which.\n// What.\nint a;\n  // Says\n  // What.\n  // Whole.\n"
    assert COMMENT_QUESTION.findall(text) == ["// Which."]


# ---- the map of the tests ----------------------------------------------------


def test_the_map_of_the_tests_is_whole() -> None:
    """Every file says what it is about; every folder is in the table of folders."""
    page = map_of_tests.PAGE.read_text(encoding="utf-8")
    assert map_of_tests.page_with_map(page) == page, "run map_of_tests.py"
    assert not re.search(r"\|  \|$", page, re.MULTILINE)
    tests = map_of_tests.TESTS
    inside = [p.relative_to(tests) for p in tracked() if p.is_relative_to(tests)]
    folders = {path.parts[0] for path in inside if len(path.parts) > 1}
    assert set(re.findall(r"(?m)^\| `(\w+)` \|", page)) == folders


def test_an_old_map_is_seen() -> None:
    """A file that is missing in it, and a page without a place for it."""
    page = map_of_tests.PAGE.read_text(encoding="utf-8")
    gap = re.sub(r"\| `test_pin\.py` .*\n", "", page)
    assert map_of_tests.page_with_map(gap) == page != gap
    with pytest.raises(ValueError, match="no place"):
        map_of_tests.page_with_map("# Tests")
