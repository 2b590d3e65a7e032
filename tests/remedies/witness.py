"""A pytest plugin that writes down how each test of a remedy ended.

It distinguishes a failed assertion from everything else that can end a test: a
remedy that was cut out badly breaks imports and names, and that shows nothing. A
peer that is refused although it should be accepted counts as a failed assertion; a
refusal for lack of a decision does not.
"""

from __future__ import annotations

import fnmatch
import json
import os
from collections.abc import Generator
from pathlib import Path

import pytest

import pinverify

__all__ = ["FOLDER", "is_meant"]

FOLDER = "PINVERIFY_REMEDIES_FOLDER"
"""The environment variable that names a folder. In it are pinverify; tests.json,
with the names of tests; and outcomes.json, when all is over."""

# What `assert` raises, and `pytest.raises` when nothing was raised.
_ASSERTIONS = (AssertionError, pytest.fail.Exception)

_outcomes: dict[str, str] = {}


def is_meant(test: str, name: str) -> bool:
    """Say whether *test* means the test of that *name*.

    Args:
        test: ``file::function``, with all of its parameters; or with some,
            ``file::function[TLS1.2-*]``.
        name: what pytest calls one test.
    """
    pattern = test.replace("[", "[[]")
    return name.partition("[")[0] == test or fnmatch.fnmatchcase(name, pattern)


def _folder() -> Path:
    return Path(os.environ[FOLDER]).resolve()


def pytest_configure() -> None:
    """See that it is the copy that is tested."""
    found = Path(pinverify.__file__).resolve().parent
    if found.parent != _folder():
        msg = f"pinverify was imported from {found}, not from the copy"
        raise pytest.UsageError(msg)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep what is meant: pytest itself knows whole functions only."""
    tests = json.loads((_folder() / "tests.json").read_text(encoding="utf-8"))
    items[:] = [
        item for item in items if any(is_meant(test, item.nodeid) for test in tests)
    ]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what ended the test; what comes before and after it may only fail it."""
    report = yield
    outcome = _outcome(report, call)
    if report.when == "call" or outcome != "passed":
        _outcomes.setdefault(item.nodeid, outcome)
    return report


def _outcome(report: pytest.TestReport, call: pytest.CallInfo[None]) -> str:
    """Return "passed", "killed", or in words what else it was."""
    if report.skipped:
        why = report.longrepr
        return f"skipped: {why[2] if isinstance(why, tuple) else why}"
    if report.passed or call.excinfo is None:
        return "passed"
    error = call.excinfo.value
    refused = isinstance(error, pinverify.PinningError) and error.report is not None
    if report.when == "call" and (refused or isinstance(error, _ASSERTIONS)):
        return "killed"
    return f"no assertion: {call.excinfo.exconly()}".partition("\n")[0]


def pytest_unconfigure() -> None:
    """Write it all down."""
    written = _folder() / "outcomes.json"
    written.write_text(json.dumps(_outcomes), encoding="utf-8")
