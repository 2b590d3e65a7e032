"""Run scenarios in C on mutants of the adapter of OpenSSL.

That needs no copy of the tree: the changed file is compiled and linked with the objects
of all others, which are compiled once.
"""

from __future__ import annotations

import functools
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from c_objects import ended
from mutants.compiling import MutantError
from mutants.testing import Outcome
from openssl_cast import write_cast
from openssl_programs import objects, scenarios
from pki import example_pki

__all__ = ["VERSIONS", "outcome_of_scenarios"]

VERSIONS = ("TLS1.2", "TLS1.3")


_ONE_AT_A_TIME = threading.Lock()


@functools.cache
def _cast() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="cast-")
    write_cast(Path(folder.name), example_pki())
    return folder


def outcome_of_scenarios(changed: dict[str, str], names: Sequence[str]) -> Outcome:
    """Run scenarios, until something does not hold in one of them.

    Args:
        changed: texts of files of the adapter that are not as they were.
        names: the scenarios, or none for all.

    Raises:
        MutantError: the files are no C any more.
    """
    with _ONE_AT_A_TIME:  # made once, and then shared by all threads
        try:
            objects()
        except pytest.skip.Exception as error:
            return Outcome("skipped", str(error))
        cast = Path(_cast().name)
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        try:
            program = scenarios(Path(folder), changed, objects())
        except AssertionError as error:
            raise MutantError(str(error)) from error
        for name in names or ended([program])[1].split():
            for tls in VERSIONS:
                code, _, errors = ended([program, cast, tls, name])
                if code == 1:  # a crash would show less
                    place = errors.partition("\n")[0].rpartition("/")[2]
                    return Outcome("killed", f"{name} with {tls}", place)
                if code != 0:
                    return Outcome("invalid", f"{name} ended with {code}: {errors}")
    return Outcome("survived")
