"""Run tests of another project in this process, and write down their outcomes.

    python child.py OUT plain unittest test.test_ssl …
    python child.py OUT pinned pytest test/with_dummyserver …

"pinned" pins every `ssl.SSLContext` of the process when it is made, with a policy that
accepts every peer: so each connection is judged, and none should be refused. OUT is a
JSON file with the outcomes by the names of tests, and with two counts: the contexts
that were pinned, and the peers that were judged.

This file imports no other file of these tests, because it may be run anywhere.
"""

from __future__ import annotations

import datetime as dt
import gc
import importlib
import json
import logging
import os
import ssl
import sys
import traceback
import unittest
from pathlib import Path
from typing import Any

__all__: list[str] = []

# An outcome that is worse replaces one that is better: a test may fail at its end.
_WORSE = ("passed", "skipped", "failed")


class Outcomes(dict[str, str]):
    """The outcomes of tests, by their names."""

    def note(self, name: str, outcome: str) -> None:
        """Keep the worst outcome of a test and of its parts."""
        known = self.get(name, "passed")
        self[name] = max(known, outcome, key=_WORSE.index)


# ---- pins on everything ------------------------------------------------------


def pin_every_context() -> dict[str, int]:
    """Pin each context that this process makes from now on; return the counts.

    The pins have expired, which accepts every peer: with a name or without one, with a
    certificate or without one.
    """
    import pinverify  # noqa: PLC0415 - a process without pins must not load it

    counts = {"contexts": 0, "judged": 0}
    policy = pinverify.Policy.for_clients(
        pinverify.PinSet(
            leaf=["sha256/" + "A" * 43 + "="],
            expires=dt.datetime(2000, 1, 1, tzinfo=dt.UTC),
            after_expiry="allow",
        )
    )
    # Tests of others look at what is logged.
    logging.getLogger("pinverify").addHandler(logging.NullHandler())
    logging.getLogger("pinverify").propagate = False

    def judged(_: pinverify.Report) -> None:
        counts["judged"] += 1

    new: Any = ssl.SSLContext.__new__

    def pinned(cls: type[ssl.SSLContext], *args: Any, **kwargs: Any) -> ssl.SSLContext:  # noqa: ANN401
        context: ssl.SSLContext = new(cls, *args, **kwargs)
        counts["contexts"] += 1
        return pinverify.pin_context(context, policy, on_report=judged)

    ssl.SSLContext.__new__ = pinned  # type: ignore[assignment]
    return counts


# ---- unittest ----------------------------------------------------------------


class _Result(unittest.TextTestResult):
    """A result that notes the outcomes."""

    outcomes = Outcomes()

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addSuccess(test)
        self.outcomes.note(test.id(), "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        super().addSkip(test, reason)
        self.outcomes.note(test.id(), "skipped")

    def addExpectedFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: ANN401, N802
        super().addExpectedFailure(test, err)
        self.outcomes.note(test.id(), "skipped")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().addUnexpectedSuccess(test)
        self.outcomes.note(test.id(), "failed")

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: ANN401, N802
        super().addError(test, err)
        self.outcomes.note(test.id(), "failed")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: ANN401, N802
        super().addFailure(test, err)
        self.outcomes.note(test.id(), "failed")

    def addSubTest(  # noqa: N802
        self,
        test: unittest.TestCase,
        subtest: unittest.TestCase,
        err: Any,  # noqa: ANN401
    ) -> None:
        super().addSubTest(test, subtest, err)
        if err is not None:
            self.outcomes.note(test.id(), "failed")


def run_unittest(names: list[str]) -> Outcomes:
    """Run test modules or tests of the standard library, without the internet."""
    # Imported here and by name, because not every Python comes with it.
    support = importlib.import_module("test.support")
    # The names of resources that tests may use beside this machine: none.
    support.use_resources = []  # type: ignore[attr-defined]
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result: Any = _Result
    unittest.TextTestRunner(resultclass=result, warnings="default").run(suite)
    return _Result.outcomes


# ---- pytest ------------------------------------------------------------------


class _Plugin:
    """A plugin that notes the outcomes."""

    def __init__(self, without: set[str]) -> None:
        self.outcomes = Outcomes()
        self.finished = False
        self._without = without
        self._left: list[str] = []

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        if unknown := self._without - {item.nodeid for item in items}:
            msg = f"no such test, so it cannot be left out: {sorted(unknown)}"
            raise ValueError(msg)
        items[:] = [item for item in items if item.nodeid not in self._without]

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        # What a test leaves open counts against it, and not against a later test that
        # happens to run when the garbage is collected. What it logged, and its own
        # exception, keep frames alive until now.
        for name in ("last_type", "last_value", "last_traceback", "last_exc"):
            setattr(sys, name, None)
        gc.collect()
        if self._left:
            self.outcomes.note(nodeid, "failed")
            print(nodeid, "left:", *self._left)  # noqa: T201
            self._left.clear()

    def note_unraisable(self, unraisable: Any) -> None:  # noqa: ANN401
        """Keep a warning that is an error where nobody can catch it."""
        if isinstance(unraisable.exc_value, Warning):
            self._left.append(str(unraisable.exc_value))

    def pytest_sessionfinish(self) -> None:
        self.finished = True

    def pytest_runtest_logreport(self, report: Any) -> None:  # noqa: ANN401
        outcome = "skipped" if hasattr(report, "wasxfail") else report.outcome
        self.outcomes.note(report.nodeid, outcome)


def run_pytest(arguments: list[str]) -> Outcomes:
    """Run pytest in the current folder, without the tests "--without=…"."""
    import pytest  # noqa: PLC0415 - the standard library's tests do without

    # pytest's own --deselect takes the beginnings of names.
    left_out = [one for one in arguments if one.startswith("--without=")]
    arguments = [one for one in arguments if one not in left_out]
    plugin = _Plugin({one.removeprefix("--without=") for one in left_out})
    sys.unraisablehook = plugin.note_unraisable  # pytest's knows no test
    plugins = ["-p", "no:cacheprovider", "-p", "no:unraisableexception"]
    try:
        pytest.main([*plugins, "--quiet", *arguments], plugins=[plugin])
    except Exception:
        # After the last test pytest still raises, for example about sockets that a
        # failed test has left open. Nothing is lost then: each outcome is known.
        if not plugin.finished:
            raise
        traceback.print_exc()
    return plugin.outcomes


def main() -> None:
    """Do what the command line says."""
    out, pins, kind, *arguments = sys.argv[1:]
    counts = pin_every_context() if pins == "pinned" else {}
    run = {"unittest": run_unittest, "pytest": run_pytest}[kind]
    written = json.dumps({"outcomes": run(arguments), "counts": counts})
    Path(out).write_text(written, encoding="utf-8")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that a test has left behind must not keep the process


if __name__ == "__main__":
    main()
