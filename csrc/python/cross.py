"""Build wheels for all platforms of cross/targets.toml, on one machine.

    python csrc/python/cross.py FOLDER [PLATFORM...]

zig compiles for each of them, with the headers of the Python that runs this, and with
cross/pyconfig.h in the place of its pyconfig.h. The wheels are made of the sdist, which
is written into FOLDER as well. The same source gives the same bytes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
import tomllib
from pathlib import Path

__all__ = ["TARGETS", "build_sdist", "build_wheel", "compiler"]

CROSS = Path(__file__).resolve().parent / "cross"
ROOT = CROSS.parent.parent.parent

TARGETS: dict[str, dict[str, str]] = tomllib.loads(
    (CROSS / "targets.toml").read_text(encoding="ascii")
)

# What builds and test runs leave in the tree.
MADE = (
    *(".git", ".venv*", ".*_cache", "__pycache__", ".hypothesis", ".benchmarks"),
    *("build", "dist", "*.egg-info", "*.so", "*.o", "*.a"),
)

# What the linker needs beside the objects. The names of CPython are found when the
# module is loaded; on Windows an import library says in which DLL.
LINKING = {
    "linux": ["-s"],
    "darwin": ["-Wl,-undefined,dynamic_lookup", "-Wl,-x"],
    "win32": ["-s"],
}
MACHINES = {"win_amd64": "i386:x86-64", "win_arm64": "arm64"}


def compiler(target: str) -> list[str]:
    """Return the command of the C compiler for a platform."""
    command = [sys.executable, "-m", "ziglang", "cc"]
    return [*command, "-target", TARGETS[target]["zig"], "-g0"]


def _moment() -> str:
    """Return SOURCE_DATE_EPOCH: as it is, or the time of the last commit."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None:
        return given
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%ct"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _build(folder: Path, out: Path, what: str, moment: str, **variables: str) -> None:
    """Run the build frontend, whose output is shown if it fails."""
    command = [sys.executable, "-m", "build", f"--{what}", "--no-isolation"]
    variables["SOURCE_DATE_EPOCH"] = moment
    done = subprocess.run(
        [*command, "--outdir", str(out), str(folder)],
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\ncross.py: the build of the {what} failed")


def build_sdist(out: Path) -> Path:
    """Build the source distribution of a copy of the tree into a folder; return it."""
    with tempfile.TemporaryDirectory(prefix="pinverify-") as name:
        tree = Path(name) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(*MADE), symlinks=True)
        _build(tree, out, "sdist", _moment())
    (sdist,) = out.glob("*.tar.gz")
    return sdist


def build_wheel(sdist: Path, target: str, out: Path) -> Path:
    """Build the wheel for a platform into a folder; return it."""
    system = TARGETS[target]["system"]
    with tempfile.TemporaryDirectory(prefix="pinverify-") as name:
        folder = Path(name)
        with tarfile.open(sdist) as archive:
            moment = str(archive.getmembers()[0].mtime)  # that of the whole sdist
            archive.extractall(folder, filter="data")
        (tree,) = folder.iterdir()
        headers = folder / "headers"
        shutil.copytree(sysconfig.get_path("include"), headers)
        shutil.copy(CROSS / "pyconfig.h", headers)
        link = list(LINKING[system])
        if system == "win32":
            link.append(str(_import_library(target, folder)))
        command = (
            [*compiler(target), "-fPIC"] if system != "win32" else compiler(target)
        )
        _build(
            tree,
            out,
            "wheel",
            moment,
            PINVERIFY_TARGET=target,
            PINVERIFY_COMPILER=shlex.join(command),
            PINVERIFY_HEADERS=str(headers),
            PINVERIFY_LINKING=shlex.join(link),
            ZIG_LOCAL_CACHE_DIR=str(folder / "zig"),
        )
    (wheel,) = out.glob(f"*-{target}.whl")
    return wheel


def _import_library(target: str, folder: Path) -> Path:
    """Make the library that names python3.dll, which has the stable ABI."""
    library = folder / "python3.lib"
    command = [sys.executable, "-m", "ziglang", "dlltool", "-m", MACHINES[target]]
    command += ["-d", str(CROSS / "python3.def"), "-l", str(library)]
    subprocess.run(command, check=True)
    return library


def main(out: Path, targets: list[str]) -> None:
    """Build the sdist and the wheels."""
    unknown = set(targets) - set(TARGETS)
    if unknown:
        sys.exit(f"cross.py: no such platform: {', '.join(sorted(unknown))}")
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        sys.exit("cross.py: a free-threaded Python has no stable ABI; use another one")
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("pinverify-*.whl"), *out.glob("pinverify-*.tar.gz")):
        old.unlink()
    sdist = build_sdist(out)
    print(sdist.name)
    for target in targets or TARGETS:
        before = os.times().children_user
        wheel = build_wheel(sdist, target, out)
        spent = os.times().children_user - before
        print(f"{wheel.name}  {spent:.0f} s of CPU time", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:  # noqa: PLR2004 - the name of the program, and a folder
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
