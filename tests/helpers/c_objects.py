"""Objects of C files, compiled once per process, compiler and set of flags."""

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

from core_sources import core_sources

__all__ = ["FLAGS", "Ended", "compile_object", "compiler", "core_objects", "ended"]

FLAGS = (
    *("-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Wpedantic"),
    *("-Wshadow", "-Werror"),
)
"""Flags of most programs of the tests."""

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


def compiler() -> tuple[str, ...]:
    """Return the command of a C compiler of this machine: CC, or a usual one."""
    given = shlex.split(os.environ.get("CC", ""))
    found = [name for name in ("gcc", "cc", "clang") if shutil.which(name)]
    if not (given or found):
        pytest.skip("there is no C compiler")
    return tuple(given or found[:1])


def compile_object(command: Sequence[str], source: Path, out: Path) -> None:
    """Compile one C file with a compiler and its flags; it may not warn."""
    assert ended([*command, "-c", "-o", out, source]) == (0, "", "")


@functools.cache
def core_objects(command: tuple[str, ...]) -> dict[Path, Path]:
    """Return the objects of the core by their sources.

    Args:
        command: a compiler and its flags.
    """
    folder = Path(_folder(command).name)
    made = {source: folder / f"{source.stem}.o" for source in core_sources()}
    assert len({*made.values()}) == len(made)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda pair: compile_object(command, *pair), made.items()):
            pass
    return made


@functools.cache
def _folder(_: tuple[str, ...]) -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pinverify-objects-")
