"""Run tests in a copy of the tree, and return their outcomes.

Imports take most of the time of a run. So each run is forked from one process that has
imported pytest and the libraries that tests need, but nothing of the project, which
comes from the copy.
"""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["TIMEOUT", "TIMEOUT_OF_ALL", "Outcome", "outcome_of"]

ROOT = Path(__file__).resolve().parent.parent.parent

TIMEOUT = 120  # seconds for the tests of one mutant; most take less than one
TIMEOUT_OF_ALL = 600

# The same examples each time. conftest.py has that profile. The plugin of anyio is not
# used, and imports much. A row names its tests, so none is left out because it is slow.
OPTIONS = (
    *("-x", "-q", "-ra", "--tb=short", "-p", "no:cacheprovider", "-p", "no:anyio"),
    *("-m", "", "--hypothesis-seed=0", "--hypothesis-profile=unshrunk"),
)

# Not the plugins of pytest, which rewrites what it imports itself.
IMPORTED = (
    *("pytest", "_pytest.assertion.rewrite", "_pytest.doctest", "_pytest.junitxml"),
    *("_pytest.faulthandler", "_pytest.logging", "_pytest.monkeypatch"),
    *("asyncio", "ssl", "http.client", "urllib.request", "multiprocessing.process"),
    *("cryptography.x509", "cryptography.hazmat.primitives.serialization.pkcs12"),
    *("cryptography.hazmat.primitives.asymmetric.ed25519", "idna", "cffi"),
)

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(list(IMPORTED))


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of a run of tests.

    Attributes:
        verdict: "killed", "survived", "skipped", or "invalid".
        by: the test that failed; for what is invalid or skipped, what happened.
        error: what the test failed with, shortened.
    """

    verdict: str
    by: str = ""
    error: str = ""


def outcome_of(folder: Path, tests: Sequence[str], timeout: float = TIMEOUT) -> Outcome:
    """Run tests in a copy, until one of them fails."""
    with tempfile.NamedTemporaryFile(prefix="pytest-", suffix=".log") as log:
        process = _forks.Process(target=_tested, args=(folder, tests, log.name))
        process.start()
        process.join(timeout)
        code = process.exitcode
        if code is None:
            # What a test has started is to end with it.
            os.killpg(process.ident or 0, signal.SIGKILL)
            process.join()
        process.close()
        text = Path(log.name).read_text(encoding="utf-8", errors="replace")
    if code is None:
        return Outcome("invalid", f"not over after {timeout} s")
    return _outcome(code, text)


def _tested(folder: Path, tests: Sequence[str], log: str) -> None:
    """Run tests in this process, which ends with the exit status of pytest."""
    os.setsid()
    os.chdir(folder)
    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    source = str(folder / "src")
    os.environ["PYTHONPATH"] = source
    os.environ["PINVERIFY_FULL"] = "1"
    # Where these are set, pytest computes the whole difference of what a test compares,
    # for minutes where that is long, and Hypothesis draws other examples.
    for name in ("CI", "BUILD_NUMBER"):
        os.environ.pop(name, None)
    # Caches spare each run of the copy half of its time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    ours = ("", str(ROOT), str(ROOT / "src"))
    inside = str(ROOT / "tests")
    others = [path for path in sys.path if path not in ours]
    sys.path[:] = [source, *(p for p in others if not p.startswith(inside))]
    import pytest  # noqa: PLC0415 - here, and not where mutants are only listed

    code = int(pytest.main([*OPTIONS, *tests]))
    sys.stdout.flush()
    os._exit(code)


# As pytest names a test that failed; and as faulthandler names one in which the
# process came to its end.
_FAILED = re.compile(r"^FAILED (tests/[\w/.]+::\w+)(?:.*? - (.*)|.*)$", re.MULTILINE)
_CRASHED = re.compile(
    r'File ".*?(tests/(?:\w+/)*test_\w+\.py)", line \d+ in (test_\w+)'
)
_SKIPPED = re.compile(r"^SKIPPED .*", re.MULTILINE)
# A fault is a wrong decision. One that names what is not there ends everything.
_NO_PROGRAM = re.compile(r"^.*\b(?:NameError|UnboundLocalError)\b.*$", re.MULTILINE)


def _outcome(code: int, text: str) -> Outcome:
    failed = _FAILED.search(text)
    # However the process ends after that: the fault may have broken memory, too.
    if code != 0 and failed is not None:
        if no_program := _NO_PROGRAM.search(text):
            return Outcome("invalid", no_program[0].strip())
        return Outcome("killed", failed[1], failed[2] or "")
    crashed = _CRASHED.search(text)
    if code < 0 and crashed is not None:
        return Outcome("killed", f"{crashed[1]}::{crashed[2]}")
    if code != 0:
        return Outcome("invalid", f"pytest ended with {code}:\n{text[-1500:]}")
    if skipped := _SKIPPED.search(text):
        return Outcome("invalid", f"a test was not run: {skipped[0]}")
    return Outcome("survived")
