"""Compile the C core, unchanged or with one file changed.

Only mutants of the C core need this: those of Python run with the installed module.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from core_sources import core_sources

__all__ = ["Build", "MutantError", "compiled"]

ROOT = Path(__file__).resolve().parent.parent.parent
CSRC = ROOT / "csrc"

# Fast to compile. What C leaves undefined, such as an index out of range, ends the
# program, as it does under `make sanitize`: it would not always change an answer.
FLAGS = (
    *("-std=c11", "-O1", "-fPIC", "-fvisibility=hidden", "-DPV_API=", "-w"),
    *("-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"),
)


class MutantError(Exception):
    """A mutant that shows nothing: it does not fit, or it is no program."""


def compiled(source: Path, out: Path, *flags: str) -> Path:
    """Compile one C file; return its object.

    Raises:
        MutantError: it is no C any more.
    """
    _run([*_compiler(), *FLAGS, *flags, "-c", "-o", str(out), str(source)])
    return out


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "")) or ["gcc"]


def _run(command: Sequence[str], cwd: Path = ROOT) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        msg = f"{command[0]} ended with {done.returncode}:\n{done.stderr[-1500:]}"
        raise MutantError(msg)


# What cffi makes of the header: a C file that includes those of csrc/python.
_GENERATE = "import build_cffi; build_cffi.ffibuilder.emit_c_code({!r})"


def _of_core(csrc: Path, name: str, out: Path) -> Path:
    """Compile a C file of the core, or with the name ``_core.c`` cffi's."""
    include = [f"-I{csrc}"]
    source = csrc / name
    if name == "_core.c":
        include.append(f"-I{sysconfig.get_path('include')}")
        include.append("-DPy_LIMITED_API=0x030B0000")
        source = out.with_suffix(".c")
        _run([sys.executable, "-c", _GENERATE.format(str(source))], csrc / "python")
    return compiled(source, out, *include)


def _seen_from(csrc: Path, name: str) -> set[str]:
    """Return the files that go into the object of a C file."""
    if name == "_core.c":
        ours = {f"python/{path.name}" for path in (csrc / "python").iterdir()}
        return {"_core.c", "pinverify.h", "pinverify_compile.h", *ours}
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        file = waiting.pop()
        if file not in seen and (csrc / file).exists():
            seen.add(file)
            text = (csrc / file).read_text(encoding="ascii")
            names = re.findall(r'^#include "([\w./]+\.h)"', text, re.MULTILINE)
            waiting += [os.path.normpath(Path(file).parent / n) for n in names]
    return seen


class Build:
    """The core without a fault, compiled; linked again for each mutant of it."""

    def __init__(self, folder: Path, pool: ThreadPoolExecutor) -> None:
        """Compile every file into *folder*."""
        files = (path.relative_to(CSRC).as_posix() for path in core_sources())
        names = sorted([*files, "_core.c"])
        self.users = {name: _seen_from(CSRC, name) for name in names}
        objects = pool.map(
            lambda name: _of_core(CSRC, name, folder / f"{Path(name).name}.o"), names
        )
        self.objects = dict(zip(names, objects, strict=True))

    def link(self, module: Path, csrc: Path | None = None, file: str = "") -> None:
        """Make a module.

        Args:
            module: what is made.
            csrc: a folder in which one file is not as it was; None if all are.
            file: that file, as the folder names it.

        Raises:
            MutantError: it is no C any more.
        """
        objects = dict(self.objects)
        for name, seen in self.users.items():
            if csrc is not None and file in seen:
                out = csrc.parent / f"{Path(name).name}.o"
                objects[name] = _of_core(csrc, name, out)
        link = ["-shared", "-Wl,-Bsymbolic", "-o", str(module)]
        _run([*_compiler(), *link, *map(str, objects.values())])
