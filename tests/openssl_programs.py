"""Programs in C on the adapter of OpenSSL, compiled once for all tests."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from core_sources import CSRC, adapter_sources, core_sources

__all__ = ["SCENARIOS", "Ended", "Objects", "ended", "objects"]

PROGRAMS = Path(__file__).resolve().parent / "c" / "openssl"
FLAGS = (
    *("-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Wpedantic"),
    *("-Wshadow", "-Werror"),
)
LIBRARIES = ("-lssl", "-lcrypto", "-pthread")

Ended = tuple[int, str, str]
"""The exit code of a program, and what it printed."""


def ended(command: Sequence[str | Path], timeout: float = 120) -> Ended:
    """Run a program to its end."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def _compiler() -> list[str]:
    given = shlex.split(os.environ.get("CC", ""))
    found = [name for name in ("gcc", "cc", "clang") if shutil.which(name)]
    if not (given or found):
        pytest.skip("there is no C compiler")
    return given or found[:1]


class Objects:
    """The core, the adapter and the programs, compiled file by file.

    Attributes:
        folder: holds the objects.
        adapter: the objects of the adapter, by the names of their C files.
        compiler: the command that compiles.
    """

    def __init__(self, folder: Path) -> None:
        """Compile everything into *folder*."""
        self.folder = folder
        self.compiler = _compiler()
        probe = folder / "probe.c"
        probe.write_text("#include <openssl/ssl.h>\n", encoding="ascii")
        if ended([*self.compiler, "-fsyntax-only", probe])[0] != 0:
            pytest.skip("no headers of OpenSSL here")
        sources = [*core_sources(), *adapter_sources(), *PROGRAMS.glob("*.c")]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            compiled = list(pool.map(self.compiled, sources))
        made = dict(zip(sources, compiled, strict=True))
        self._core = [made[path] for path in core_sources()]
        self.adapter = {path.name: made[path] for path in adapter_sources()}
        self._programs = {path.stem: made[path] for path in PROGRAMS.glob("*.c")}

    def compiled(self, source: Path, folder: Path | None = None, *flags: str) -> Path:
        """Compile one C file, which may not warn; return its object."""
        out = (folder or self.folder) / f"{source.parent.name}-{source.stem}.o"
        include = ["-I", str(CSRC), "-c", "-o", str(out), str(source)]
        assert ended([*self.compiler, *FLAGS, *flags, *include]) == (0, "", "")
        return out

    def linked(
        self,
        program: Path,
        *programs: str | Path,
        instead: dict[str, Path] | None = None,
    ) -> Path:
        """Link programs with the core and the adapter; return *program*.

        Args:
            program: the file to write.
            programs: names of C files in tests/c/openssl, without suffix, or objects.
            instead: other objects of files of the adapter, by their names.
        """
        files = [self._programs.get(str(name), Path(name)) for name in programs]
        files += (self.adapter | (instead or {})).values()
        command: list[str | Path] = [*self.compiler, "-o", program, *files]
        command += [*self._core, *LIBRARIES]
        assert ended(command) == (0, "", "")
        return program


SCENARIOS = ("scenarios", "dialogue", "client", "server", "composition")
"""The files of the program that runs scenarios."""


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pinverify-")


@functools.cache
def objects() -> Objects:
    """Return the objects, compiled once in a process."""
    return Objects(Path(_folder().name))
