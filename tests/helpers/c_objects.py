"""The C compiler of the tests, its flags, and the objects of the core."""

from __future__ import annotations

import functools
import os
import shlex
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from compiled import Ended, compiled_object, ended
from core_sources import core_sources

__all__ = ["FLAGS", "Ended", "compile_object", "compiler", "core_objects", "ended"]

FLAGS = (
    *("-std=c11", "-D_DEFAULT_SOURCE", "-O1", "-Wall", "-Wextra", "-Wpedantic"),
    *("-Wshadow", "-Werror", "-fPIC"),
)
"""Flags of most programs and libraries of the tests, which share objects by them."""


def compiler() -> tuple[str, ...]:
    """Return the command of a C compiler of this machine: CC, or a usual one."""
    given = shlex.split(os.environ.get("CC", ""))
    found = [name for name in ("gcc", "cc", "clang") if shutil.which(name)]
    if not (given or found):
        pytest.skip("there is no C compiler")
    return tuple(given or found[:1])


def compile_object(command: Sequence[str], source: Path, out: Path) -> None:
    """Compile a C file that a test has written; the compiler may not warn."""
    done = ended([*command, "-c", "-o", out, source])
    assert done == (0, "", ""), done[2]


@functools.cache
def core_objects(command: tuple[str, ...]) -> dict[Path, Path]:
    """Return the objects of the core by their sources.

    Args:
        command: a compiler and its flags.
    """
    sources = core_sources()
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = pool.map(lambda source: compiled_object(command, source), sources)
        return dict(zip(sources, made, strict=True))
