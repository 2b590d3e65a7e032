"""Programs in C on the adapter of OpenSSL, compiled once for all tests.

They are compiled for OpenSSL, and for BoringSSL if Debian's package is installed.
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from c_objects import FLAGS, compile_object, compiler, core_objects
from compiled import compiled_object, ended
from core_sources import CSRC, MAP, adapter_sources
from places import TESTS

__all__ = [
    "BORINGSSL",
    "OPENSSL",
    "SCENARIOS",
    "Library",
    "Objects",
    "objects",
    "scenarios",
]

PROGRAMS = TESTS / "c" / "openssl"
LIBRARIES = ("-lssl", "-lcrypto", "-pthread")


@dataclass(frozen=True)
class Library:
    """A library that the adapter is compiled for.

    Attributes:
        name: that of the project.
        include: the folder of its headers, or None for the compiler's own.
        folder: a pattern of the folder of its libraries below /usr/lib, or None.
    """

    name: str
    include: str | None = None
    folder: str | None = None

    def compiling(self) -> tuple[str, ...]:
        """Return flags for the compiler."""
        return () if self.include is None else ("-isystem", self.include)

    def linking(self) -> tuple[str, ...]:
        """Return flags for the linker, which make programs find the library."""
        if self.folder is None:
            return LIBRARIES
        found = [str(path) for path in Path("/usr/lib").glob(self.folder)]
        paths = [f for path in found for f in (f"-L{path}", f"-Wl,-rpath,{path}")]
        return (*paths, *LIBRARIES)


OPENSSL = Library("OpenSSL")

# Debian has it for programs of Android, in the package android-libboringssl-dev.
BORINGSSL = Library("BoringSSL", "/usr/include/android", "*/android")


@functools.cache
def _folder(name: str) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix=f"pinverify-{name}-")


def _core() -> Iterable[Path]:
    """Compile the core, which is the same for all libraries."""
    return core_objects((*compiler(), *FLAGS)).values()


class Objects:
    """The core, the adapter and the programs, compiled file by file.

    Attributes:
        adapter: the objects of the adapter, by the names of their C files.
        compiler: the command that compiles.
    """

    def __init__(self, folder: Path, library: Library) -> None:
        """Compile the adapter for *library*; *folder* is for programs."""
        self.compiler = compiler()
        self._folder, self._library = folder, library
        self._linked: dict[tuple[str, ...], Path] = {}
        probe = folder / "probe.c"
        program = "#include <openssl/ssl.h>\nint main(void) { return 0; }\n"
        probe.write_text(program, encoding="ascii")
        flags = [*library.compiling(), str(probe), *library.linking()]
        # Without its folder, the compiler would find those of another library.
        is_there = library.include is None or Path(library.include).is_dir()
        if (
            not is_there
            or ended([*self.compiler, "-o", folder / "probe", *flags])[0] != 0
        ):
            pytest.skip(f"no headers of {library.name} here")
        sources = adapter_sources()
        names = (path.name for path in sources)
        self.adapter = dict(zip(names, self._objects(sources), strict=True))

    def _command(self, *flags: str) -> tuple[str, ...]:
        flags = (*flags, *self._library.compiling(), f"-I{CSRC}")
        return (*self.compiler, *FLAGS, *flags)

    def _objects(self, sources: Sequence[Path]) -> list[Path]:
        """Return the objects of C files of the checkout."""
        command = self._command()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [*pool.map(lambda path: compiled_object(command, path), sources)]

    def compiled(self, source: Path, folder: Path, *flags: str) -> Path:
        """Compile a C file of a test, which may not warn; return its object."""
        out = folder / f"{source.parent.name}-{source.stem}.o"
        compile_object(self._command(*flags), source, out)
        return out

    def program(self, *names: str) -> Path:
        """Link files of tests/c/openssl, by their names; return the program.

        It is linked once in a process.
        """
        if names not in self._linked:
            self._linked[names] = self.linked(self._folder / names[0], *names)
        return self._linked[names]

    def linked(
        self,
        program: Path,
        *programs: str | Path,
        instead: dict[str, Path] | None = None,
    ) -> Path:
        """Link programs with the core and the adapter; return *program*.

        Args:
            program: the file to write.
            programs: names of C files in tests/c/openssl, without suffix, or other C
                files of the checkout, or objects; and policy_map.
            instead: other objects of files of the adapter, by their names.
        """
        known = {path.stem: path for path in (*PROGRAMS.glob("*.c"), MAP)}
        paths = [known.get(str(name), Path(name)) for name in programs]
        files = self._objects([path for path in paths if path.suffix == ".c"])
        files += [path for path in paths if path.suffix != ".c"]
        files += (self.adapter | (instead or {})).values()
        command: list[str | Path] = [*self.compiler, "-o", program, *files]
        # BoringSSL calls functions of faults.c.
        command += [*_core(), "-rdynamic", *self._library.linking()]
        assert ended(command) == (0, "", "")
        return program


SCENARIOS = (
    *("scenarios", "dialogue", "client", "server", "composition"),
    *("verify_callbacks", "early"),
    "boringssl",
)
"""The files of the program that runs scenarios."""


@functools.cache
def objects(library: Library = OPENSSL) -> Objects:
    """Return the objects for a library, compiled once in a process."""
    return Objects(Path(_folder(library.name).name), library)


def scenarios(folder: Path, changed: dict[str, str], made: Objects) -> Path:
    """Return the program that runs scenarios, where files of the adapter are changed.

    Args:
        folder: what is made for it.
        changed: the texts of these files, by their names.
        made: the objects of all other files.
    """
    instead = {}
    for file, text in changed.items():
        copy = folder / file
        # The copy is elsewhere, and includes the headers all the same.
        included = text.replace('#include "', f'#include "{CSRC / "openssl"}/')
        copy.write_text(included, encoding="ascii")
        instead[file] = made.compiled(copy, folder, "-w")
    return made.linked(folder / "program", *SCENARIOS, instead=instead)
