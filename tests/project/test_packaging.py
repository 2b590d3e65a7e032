"""The wheel and the sdist, as a person gets them who installs pinverify.

Both are built as a release is built, from a copy of the tree, then installed in
clean environments and used there. That takes minutes and the package index, so
these tests are slow ones: `make slow` runs them.

Every check of a file's content is a function that returns a list of faults, and must
find a planted one.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from places import ROOT

__all__: list[str] = []

pytestmark = pytest.mark.slow

# What builds and test runs leave behind, where no git tells it from the sources.
MADE = ("*.so", "*.o", "*.pyc", "*.egg-info/*", ".*_cache/*", ".venv/*", "build/*")

WHEEL_NEEDS = {
    "pinverify/__init__.py",
    "pinverify/_core.abi3.so",
    "pinverify/_core.pyi",
    "pinverify/core/__init__.py",
    "pinverify/py.typed",
}

# Ends with the path of the package, so that nobody mistakes one for another.
SMOKE = """
import sys
import pinverify
from pinverify import core

assert pinverify.__file__.startswith(sys.prefix), pinverify.__file__
assert core.sha256(b"abc").hex() == (
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
)
assert core.kernels()[-1] == "portable", core.kernels()
print("works:", pinverify.__file__)
"""

# All that the module takes from outside, beside CPython's stable ABI: functions on
# bytes, what the compiler adds to guard them and the stack, and the loader's hooks.
FOREIGN = re.compile(
    r"_?Py\w+"
    r"|mem(chr|cmp|cpy|move|set)|__mem(cpy|move|set)_chk"
    r"|__stack_chk_fail"
    r"|__cxa_finalize|__gmon_start__|_ITM_(de)?registerTMCloneTable"
)

# What hardening-check would ask for, and can't be had here: a library is no PIE;
# every size is known when the core is compiled, so that no call is left to fortify;
# Debian's own start files are without the marks of control flow.
NOT_ASKED = ("--nopie", "--nofortify", "--nocfprotection", "--nobranchprotection")

# An extension module that reaches for CPython's insides.
OUTSIDE_THE_ABI = """
extern void *_PyLong_AsByteArray(void);
void *PyInit_planted(void) { return _PyLong_AsByteArray(); }
"""


class Release(NamedTuple):
    """The two files of one release."""

    sdist: Path
    wheel: Path


def environment() -> dict[str, str]:
    """Return the environment without what could point at the source tree."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    return {name: text for name, text in os.environ.items() if name not in ours}


def attempt(
    *command: str | Path, cwd: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in *cwd*, with *variables* in its environment besides."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environment() | variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=600,
    )


def run(*command: str | Path, cwd: Path, **variables: str) -> str:
    """Run a command that must succeed; return what it prints."""
    done = attempt(*command, cwd=cwd, **variables)
    assert done.returncode == 0, done.stdout
    return done.stdout


# ---- building ----------------------------------------------------------------


def sources() -> set[str]:
    """Return the files of the source tree: what git knows or would add."""
    if (ROOT / ".git").exists():
        listed = run("git", "ls-files", "-coz", "--exclude-standard", cwd=ROOT)
        names = {name for name in listed.split("\0") if name}
    else:
        paths = (path.relative_to(ROOT) for path in ROOT.rglob("*"))
        names = {str(path) for path in paths if not any(map(path.match, MADE))}
    return {name for name in names if (ROOT / name).is_file()}


def build(folder: Path, *, age: int = 0, **variables: str) -> Release:
    """Copy the sources into *folder* and build a release there.

    Their files are *age* seconds old, and without one only their owner reads them.
    """
    for name in sorted(sources()):
        copy = folder / "tree" / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy)
        if age:
            then = copy.stat().st_mtime - age
            os.utime(copy, (then, then))
            copy.chmod(copy.stat().st_mode & 0o700)
    # build makes the sdist from the tree, and the wheel from the sdist: so the
    # sdist is shown to hold all that a build needs.
    run(sys.executable, "-m", "build", "tree", cwd=folder, **variables)
    dist = folder / "tree" / "dist"
    (sdist,) = dist.glob("*.tar.gz")
    (wheel,) = dist.glob("*.whl")
    return Release(sdist, wheel)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The sdist and the wheel of this tree."""
    return build(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def extension(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled module, out of the wheel."""
    with zipfile.ZipFile(release.wheel) as wheel:
        folder = tmp_path_factory.mktemp("wheel")
        return Path(wheel.extract("pinverify/_core.abi3.so", folder))


# ---- what is inside ----------------------------------------------------------


def wheel_faults(names: set[str]) -> list[str]:
    """Return what a wheel lacks, or holds and should not."""
    inside = re.compile(r"pinverify(-[\d.]+\.dist-info)?/")
    unwanted = (".c", ".h", ".o", ".toml", "build_cffi.py")
    return [
        *(f"lacks {name}" for name in sorted(WHEEL_NEEDS - names)),
        *(f"holds {name}" for name in sorted(names) if name.endswith(unwanted)),
        *(f"misplaces {name}" for name in sorted(names) if not inside.match(name)),
    ]


def sdist_faults(names: set[str], wanted: set[str]) -> list[str]:
    """Return what an sdist lacks of *wanted*, or holds and should not."""
    made = sorted(name for name in names if any(map(Path(name).match, MADE[:3])))
    lacking = sorted(wanted - names)
    return [*(f"lacks {n}" for n in lacking), *(f"holds {n}" for n in made)]


def foreign_symbols(extension: Path) -> list[str]:
    """Return what an ELF file takes from outside and should not."""
    lines = run("nm", "-DP", "--undefined-only", extension, cwd=extension.parent)
    names = {line.split()[0].partition("@")[0] for line in lines.splitlines()}
    return sorted(name for name in names if not FOREIGN.fullmatch(name))


def hardening_faults(extension: Path) -> list[str]:
    """Return what an ELF file lacks that makes an attack harder."""
    parts = ("--dynamic", "--program-headers", "--dyn-syms")
    text = run("readelf", "--wide", *parts, extension, cwd=extension.parent)
    needed = {
        "GNU_RELRO": r"\bGNU_RELRO\b",
        "BIND_NOW": r"\bBIND_NOW\b",
        "its own symbols first": r"\bSYMBOLIC\b",
        "a stack that is not code": r"GNU_STACK .* RW ",
        "a guarded stack": r"\b__stack_chk_fail\b",
    }
    return [name for name, line in needed.items() if not re.search(line, text)]


def test_wheel_is_for_every_python_from_3_11_on(release: Release) -> None:
    """One wheel per platform serves all versions: CPython's stable ABI."""
    name = r"pinverify-[\d.]+-cp311-abi3-\w+\.whl"
    assert re.fullmatch(name, release.wheel.name)


def test_wheel_holds_the_package_and_nothing_else(release: Release) -> None:
    """The types and the compiled module are there, the C sources are not."""
    with zipfile.ZipFile(release.wheel) as wheel:
        assert wheel_faults(set(wheel.namelist())) == []


def test_planted_wheel_content_is_seen() -> None:
    """A missing py.typed is a fault, and so is a header, and a stray folder."""
    assert wheel_faults(WHEEL_NEEDS) == []
    assert wheel_faults(WHEEL_NEEDS - {"pinverify/py.typed"}) == [
        "lacks pinverify/py.typed"
    ]
    header = "pinverify/pinverify.h"
    assert wheel_faults(WHEEL_NEEDS | {header}) == [f"holds {header}"]
    assert wheel_faults(WHEEL_NEEDS | {"tests/a.py"}) == ["misplaces tests/a.py"]


def test_sdist_holds_all_sources(release: Release) -> None:
    """A packager can build, test and read pinverify from the sdist alone."""
    with tarfile.open(release.sdist) as sdist:
        files = [member.name for member in sdist.getmembers() if member.isfile()]
    names = {name.partition("/")[2] for name in files}
    wanted = sources()
    headers = {"csrc/pinverify.h", "csrc/pinverify_compile.h"}
    assert {*headers, "csrc/python/build_cffi.py", "Makefile"} <= wanted
    assert sdist_faults(names, wanted) == []


def test_planted_sdist_content_is_seen() -> None:
    """A source file that is missing is a fault, and so is a built module."""
    assert sdist_faults({"a.c", "PKG-INFO"}, {"a.c"}) == []
    assert sdist_faults(set(), {"a.c"}) == ["lacks a.c"]
    assert sdist_faults({"x/a.so"}, set()) == ["holds x/a.so"]


def audit(what: Path) -> subprocess.CompletedProcess[str]:
    """Compare the symbols that an extension uses with CPython's stable ABI."""
    auditor = (sys.executable, "-m", "abi3audit", "--strict", "--verbose")
    return attempt(*auditor, what, cwd=what.parent, COLUMNS="200")


def test_extension_keeps_to_the_stable_abi(release: Release) -> None:
    """The module uses no symbol that a later Python may drop."""
    done = audit(release.wheel)
    assert done.returncode == 0, done.stdout
    assert "1 extensions scanned" in done.stdout


def test_planted_symbol_outside_the_abi_is_seen(tmp_path: Path) -> None:
    """The auditor finds a private function of CPython."""
    (tmp_path / "planted.c").write_text(OUTSIDE_THE_ABI, encoding="ascii")
    run("cc", "-shared", "-fPIC", "-o", "planted.abi3.so", "planted.c", cwd=tmp_path)
    done = audit(tmp_path / "planted.abi3.so")
    assert done.returncode != 0
    assert "_PyLong_AsByteArray" in done.stdout


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_extension_is_hardened(extension: Path) -> None:
    """No address can be rewritten after loading, and no stack be run or smashed."""
    assert hardening_faults(extension) == []


def soft_module(folder: Path) -> Path:
    """Return a module that is compiled and linked without the flags."""
    # A frame of many pages, so that there is something to guard.
    code = "int soft(int i) { volatile char frame[65536] = {0}; return frame[i]; }"
    (folder / "soft.c").write_text(code, encoding="ascii")
    soft = ("-fno-stack-protector", "-fno-stack-clash-protection")
    link = ("-Wl,-z,norelro,-z,lazy,-z,execstack", "-shared", "-fPIC")
    run("cc", *soft, *link, "-o", "soft.so", "soft.c", cwd=folder)
    return folder / "soft.so"


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_planted_soft_module_is_seen(tmp_path: Path) -> None:
    """A module that is linked without the flags lacks each of these."""
    assert len(hardening_faults(soft_module(tmp_path))) == 5


def hardening_check(module: Path) -> subprocess.CompletedProcess[str]:
    """Ask Debian's hardening-check about an ELF file."""
    if shutil.which("hardening-check") is None:
        pytest.skip("no hardening-check here (Debian and Ubuntu: devscripts)")
    return attempt("hardening-check", *NOT_ASKED, module, cwd=module.parent)


def test_hardening_check_has_nothing_to_say(extension: Path) -> None:
    """A guarded stack, that no frame steps over; nothing to rewrite after loading."""
    done = hardening_check(extension)
    assert done.returncode == 0, done.stdout
    for line in (
        "Stack protected: yes",
        "Read-only relocations: yes",
        "Immediate binding: yes",
        "Stack clash protection: yes",
    ):
        assert line in done.stdout


def test_hardening_check_sees_a_planted_soft_module(tmp_path: Path) -> None:
    """It fails, so that its silence means something."""
    done = hardening_check(soft_module(tmp_path))
    assert done.returncode != 0
    assert done.stdout.count("no, not found!") >= 3


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_extension_takes_nothing_else_from_outside(extension: Path) -> None:
    """Python's stable ABI and functions on bytes: no allocation, no I/O, no clock."""
    assert foreign_symbols(extension) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF")
def test_planted_foreign_symbol_is_seen(tmp_path: Path) -> None:
    """A module that allocates or reads a clock is found out."""
    code = "#include <stdlib.h>\n#include <time.h>\n"
    code += "void *planted(void) { return malloc(time(NULL)); }"
    (tmp_path / "planted.c").write_text(code, encoding="ascii")
    run("cc", "-shared", "-fPIC", "-o", "planted.so", "planted.c", cwd=tmp_path)
    assert foreign_symbols(tmp_path / "planted.so") == ["malloc", "time"]


def test_release_is_reproducible(release: Release, tmp_path: Path) -> None:
    """Two builds of one tree give the same bytes, the sdist's and the wheel's.

    They differ in the folder, the time, and the times and permissions of the files.
    """
    epoch = "1700000000"
    first = build(tmp_path / "one", SOURCE_DATE_EPOCH=epoch)
    other = tmp_path / "another folder"
    second = build(other, age=86_400, SOURCE_DATE_EPOCH=epoch)
    assert first.wheel.read_bytes() == second.wheel.read_bytes()
    assert first.sdist.read_bytes() == second.sdist.read_bytes()
    assert first.wheel.name == release.wheel.name
    assert first.sdist.name == release.sdist.name


def test_release_without_an_epoch_tells_its_time(release: Release) -> None:
    """The twin: the bytes are the same because they were evened out."""
    with tarfile.open(release.sdist) as sdist:
        assert len({member.mtime for member in sdist.getmembers()}) > 1


# ---- installing and using ----------------------------------------------------


def version_of(python: str) -> str | None:
    """Return an interpreter's version, or None if it can't serve here."""
    probe = "import sys, ensurepip; print('{}.{:02}'.format(*sys.version_info))"
    done = attempt(python, "-I", "-c", probe, cwd=ROOT)
    version = done.stdout.strip()
    return version if done.returncode == 0 and version >= "3.11" else None


def another_python() -> str:
    """Return an interpreter of another version than this one."""
    numbered = [f"python3.{minor}" for minor in range(11, 20)]
    for name in (*numbered, "python3", "/usr/bin/python3"):
        python = shutil.which(name)
        if python and version_of(python) not in (None, version_of(sys.executable)):
            return python
    pytest.skip("no second Python of 3.11 or later here")


def install(python: str, what: Path | str, folder: Path) -> Path:
    """Install a wheel or sdist into a clean environment; return its Python."""
    run(python, "-m", "venv", folder / "venv", cwd=folder)
    installed = folder / "venv" / "bin" / "python"
    run(installed, "-m", "pip", "install", "--quiet", what, cwd=folder)
    return installed


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
@pytest.mark.parametrize("which", ["this Python", "another Python"])
def test_installed_release_works(
    release: Release, tmp_path: Path, kind: str, which: str
) -> None:
    """Installed where there is nothing else, it imports, hashes and has kernels."""
    python = sys.executable if which == "this Python" else another_python()
    installed = install(python, getattr(release, kind), tmp_path)
    assert "works:" in run(installed, "-I", "-c", SMOKE, cwd=tmp_path)


WITHOUT_HEADERS = """
import sysconfig
real = sysconfig.get_path
sysconfig.get_path = lambda name, *rest, **more: (
    "/no/such/folder" if name == "include" else real(name, *rest, **more)
)
"""


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("compiler", "no C compiler (/no/such/cc): install one (Debian and Ubuntu: "),
        ("headers", f"'{sys.executable}' has no Python.h: install its headers "),
    ],
)
def test_an_installation_that_cannot_compile_ends_with_the_next_step(
    release: Release, tmp_path: Path, missing: str, said: str
) -> None:
    """One sentence, as the last word of the build before those of pip."""
    variables = {"CC": "/no/such/cc"}
    if missing == "headers":
        (tmp_path / "sitecustomize.py").write_text(WITHOUT_HEADERS)
        variables = {"PYTHONPATH": str(tmp_path)}
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    done = attempt(*pip, release.sdist, cwd=tmp_path, **variables)
    assert done.returncode != 0
    last = done.stdout.partition("[end of output]")[0].splitlines()[-2]
    assert last.strip().startswith(f"error: pinverify: {said}")
    assert last.endswith(", and install again")


def test_command_without_its_extra_says_what_to_install(
    release: Release, tmp_path: Path
) -> None:
    """A user of the library alone who types `pinverify` learns the next step."""
    command = install(sys.executable, release.wheel, tmp_path).with_name("pinverify")
    done = attempt(command, cwd=tmp_path)
    assert done.returncode == 2
    assert "pip install '.[cli]' in the checkout" in done.stdout
    assert done.stdout.count("\n") == 1


def test_command_with_its_extra_works(release: Release, tmp_path: Path) -> None:
    """The extra names all that the command and its demo need."""
    python = install(sys.executable, f"{release.wheel}[cli]", tmp_path)
    command = python.with_name("pinverify")
    assert "Usage" in run(command, "--help", cwd=tmp_path)
    assert "PinningError" in run(command, "demo", cwd=tmp_path)


def test_smoke_test_is_not_fooled_by_the_source_tree(tmp_path: Path) -> None:
    """A package that is imported from the tree does not count as installed."""
    done = attempt(
        sys.executable, "-c", SMOKE, cwd=tmp_path, PYTHONPATH=str(ROOT / "src")
    )
    assert done.returncode != 0
    assert "AssertionError" in done.stdout
