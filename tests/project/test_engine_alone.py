"""The engine without the workshop: its tests pass on a copy of the package.

Imports show which test files use only the engine, directly and through the helpers that
they import.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pinverify
from places import ROOT, TESTS
from test_floors import ENGINE, PACKAGE

__all__: list[str] = []

pytestmark = pytest.mark.ci

MODULES = {
    path.stem: path
    for folder in ("engine", "workshop", "c", "project", "helpers")
    for path in (TESTS / folder).rglob("*.py")
}
OF_THE_ENGINE = re.compile(
    r"test_(compile|compiled|core|pin|pinning|policy|pyopenssl|rejection_text|report|rules"
    r"|tls|twisted)(_\w+)?\.py"
)
# Their names of the workshop are in code that they run in other processes.
BY_NAME = re.compile(
    r"pinverify\.(arrow|audit|cli|ct|demo|formats|headers|live|review)\b"
)


def _homes() -> dict[str, str]:
    """Return by public name of pinverify the package that has it."""
    tree = ast.parse(Path(pinverify.__file__).read_text(encoding="utf-8"))
    return {
        alias.name: node.module.split(".")[1]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        and (node.module or "").startswith("pinverify.")
        and node.module
        for alias in node.names
    }


HOMES = _homes()


def _used(path: Path, seen: set[Path]) -> set[str]:
    """Return the packages of pinverify that a file of tests uses, and its helpers."""
    if path in seen:
        return set()
    seen.add(path)
    source = path.read_text(encoding="utf-8")
    used = set(BY_NAME.findall(source))
    if re.search(r"\"-m\",\s*\"pinverify\"", source):
        used.add("cli")
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [f"{node.value.id}.{node.attr}"]
        for name in names:
            first, _, rest = name.partition(".")
            second = rest.partition(".")[0]
            if first == "pinverify":
                used.add(HOMES.get(second, second))
            elif first in MODULES:
                used |= _used(MODULES[first], seen)
    return used


def files_of_the_engine() -> list[str]:
    """Return the files of tests that use the engine alone."""
    files = [path for path in MODULES.values() if OF_THE_ENGINE.match(path.name)]
    neutral = ENGINE | {"", "_core", "__all__", "__file__", "__version__"}
    alone = [path for path in files if _used(path, set()) <= neutral]
    return sorted(path.relative_to(ROOT).as_posix() for path in alone)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the engine into a folder for PYTHONPATH."""
    folder = tmp_path_factory.mktemp("alone")
    package = folder / "pinverify"
    package.mkdir()
    for path in PACKAGE.iterdir():
        if path.is_dir() and path.name in ENGINE:
            shutil.copytree(path, package / path.name)
        elif path.is_file() and (path.stem in ENGINE or path.suffix != ".py"):
            shutil.copy(path, package)
    shutil.copy(PACKAGE / "__init__.py", package)
    return folder


def run(alone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the copy before any other pinverify."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        check=False,
        cwd=ROOT,
        encoding="utf-8",
        env={"PYTHONPATH": str(alone), "PATH": "/usr/bin:/bin", "HOME": "/nonexistent"},
        timeout=1200,
    )


CODE = """
import os, sys
import pinverify
assert os.path.dirname(os.path.dirname(pinverify.__file__)) == sys.argv[1]
pin = "sha256/" + "A" * 42 + "E="
with open(sys.argv[2], "w") as file:
    file.write(f'version = 1\\nhosts."a.example" = ["{pin}", "{pin[:-2]}I="]\\n')
policy = pinverify.load_policy(sys.argv[2])
print(policy.evaluate("a.example", []).reason.name)
try:
    pinverify.load_policy(sys.argv[2], format="json")
except pinverify.PolicyError as error:
    print(error)
"""


def test_the_engine_decides_and_reads_its_own_files(
    alone: Path, tmp_path: Path
) -> None:
    """Of other formats it says what is missing."""
    file = tmp_path / "pins.toml"
    done = run(alone, "-W", "ignore", "-c", CODE, str(alone), str(file))
    assert done.stderr == ""
    reason, said = done.stdout.splitlines()
    assert reason == "NO_CERTIFICATE"
    assert said.startswith(f"{file}: nothing here reads the format 'json': install")


@pytest.mark.slow
def test_the_files_of_the_engine_pass_without_the_workshop(alone: Path) -> None:
    """Those that need it would fail with an import; ALONE=16 takes some."""
    files = files_of_the_engine()
    names = {Path(file).name for file in files}
    assert {"test_core_scan.py", "test_policy_decision.py"} <= names
    assert "test_tls_bypass.py" in names
    files = files[:: int(os.environ.get("ALONE", "1"))]
    done = run(
        alone,
        *("-m", "pytest", "-q", "-p", "no:cacheprovider"),
        *files,
    )
    tail = done.stdout[-3000:]
    assert done.returncode == 0, tail
    assert re.search(r"\d{2,} passed", tail)
