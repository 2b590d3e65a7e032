"""The list of suites.toml, the comparison of run.py, and the pins of child.py.

`make suites` runs the suites themselves. This is fast.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from others_suites import run
from others_suites.run import Suite
from pki import Pki
from tls_clients import Serve
from tls_servers import server_context

__all__: list[str] = []

pytestmark = pytest.mark.ci

CHILD = Path(run.__file__).with_name("child.py")

_TESTS = """
import os
import socket
import ssl
import unittest


def connect(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(os.environ["CAFILE"])
    context.check_hostname = name is not None
    sock = socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), 20)
    with context.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(b"hello")
        assert tls.recv(5) == b"hello"
        return hasattr(tls, "pin_report")


class Pinned(unittest.TestCase):
    def test_with_a_name(self):
        self.assertTrue(connect("localhost"))

    def test_without_a_name(self):
        self.assertTrue(connect(None))

    def test_in_parts(self):
        for part in (1, 2):
            with self.subTest(part=part):
                self.assertEqual(part, 1)

    def test_skipped(self):
        self.skipTest("not here")
"""


def test_the_list_names_suites_and_gives_reasons() -> None:
    """A failure of a suite that is not there would never be looked for."""
    suites = {suite.name: suite for suite in run.suites()}
    assert len(suites) == len(run.suites())
    assert {suite.kind for suite in suites.values()} == {"unittest", "pytest"}
    failures = run.failures()
    assert {failure["suite"] for failure in failures} <= set(suites)
    for failure in failures:
        assert failure["reason"]
        assert failure["tests"]
    kinds = {name: suite.kind for name, suite in suites.items() if run.left_out(name)}
    assert set(kinds.values()) == {"pytest"}  # of unittest none can be left out


def test_a_test_counts_if_it_passes_without_pins() -> None:
    """The list has to name each that fails, is skipped or is gone with pins alone."""
    plain = dict.fromkeys(["fine", "listed", "new", "skips", "lost", "saved"], "passed")
    plain |= {"ill": "failed", "odd": "skipped"}
    pinned = plain | {"listed": "failed", "new": "failed", "skips": "skipped"}
    pinned |= {"ill": "passed"}
    del pinned["lost"]
    verdict = run.compared(plain, pinned, ["listed", "saved", "nowhere"])
    assert verdict.passed == 2
    assert verdict.ailing == {"ill"}
    assert verdict.skipped == {"odd"}
    assert verdict.meant == {"listed"}
    assert verdict.new == {"new", "skips", "lost"}
    assert verdict.gone == {"saved", "nowhere"}
    newer = run.compared(plain, pinned, ["listed", "saved", "nowhere"], ["nowhere"])
    assert newer.gone == {"saved"}


def test_a_failure_counts_unless_it_comes_without_pins_too_or_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A test that fails now and then without pins is no fault of theirs."""
    suite = Suite("some", "unittest", ())
    rounds: dict[str, list[list[str]]] = {"plain": [], "pinned": []}
    fail = {("plain", 3, "shaky"), ("pinned", 9, "firm"), ("pinned", 2, "shaky")}

    def again(_: Suite, pins: str, tests: list[str]) -> run.Run:
        rounds[pins].append(tests)
        number = len(rounds[pins])
        outcomes = {
            test: "failed" if (pins, number, test) in fail else "passed"
            for test in tests
        }
        return run.Run(outcomes, 0, 0, "")

    monkeypatch.setattr(run, "ran", again)
    tests = frozenset({"firm", "once", "shaky"})
    assert run.unsteady(suite, tests) == {"once", "shaky"}
    assert len(rounds["plain"]) == len(rounds["pinned"]) == run.REPEATS
    assert rounds["plain"][3:] == [["firm", "once"]] * (run.REPEATS - 3)
    assert rounds["pinned"][9:] == [["once"]]


@pytest.mark.parametrize("what", ["unittest test_others", "pytest test_others.py"])
@pytest.mark.parametrize("pins", ["plain", "pinned"])
def test_every_context_of_a_pinned_run_is_pinned(
    what: str, pins: str, pki: Pki, serve: Serve, tmp_path: Path
) -> None:
    """The tests of others make contexts of their own, which nobody hands out."""
    server = serve(server_context(pki.server))
    (tmp_path / "test_others.py").write_text(_TESTS, encoding="utf-8")
    out = tmp_path / "outcomes.json"
    done = subprocess.run(
        [sys.executable, str(CHILD), str(out), pins, *what.split()],
        cwd=tmp_path,
        env={
            "CAFILE": str(pki.trust_file(tmp_path)),
            "PORT": str(server.port),
            "PYTHONPATH": str(tmp_path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    found = json.loads(out.read_text(encoding="utf-8"))
    outcomes = {
        name.replace("::", ".").rpartition(".")[2]: outcome
        for name, outcome in found["outcomes"].items()
    }
    wanted = "passed" if pins == "pinned" else "failed"
    assert outcomes == {
        "test_with_a_name": wanted,
        "test_without_a_name": wanted,
        "test_in_parts": "failed",
        "test_skipped": "skipped",
    }, done.stderr
    assert found["counts"] == ({"contexts": 2, "judged": 2} if pins == "pinned" else {})


def outcomes_of_pytest(folder: Path, *more: str) -> tuple[dict[str, str], str]:
    """Run test_others.py of a folder; return the outcomes, and what was printed."""
    out = folder / "outcomes.json"
    done = subprocess.run(
        [sys.executable, str(CHILD), out, "plain", "pytest", "test_others.py", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    outcomes: dict[str, str] = json.loads(out.read_text(encoding="utf-8"))["outcomes"]
    return outcomes, done.stdout


@pytest.mark.parametrize("hook", ["pytest_unconfigure", "pytest_collection"])
def test_outcomes_are_kept_if_pytest_fails_after_the_last_test(
    hook: str, tmp_path: Path
) -> None:
    """A run that broke off before that has none, so nobody compares with it."""
    broken = f"def {hook}():\n    raise ZeroDivisionError\n"
    (tmp_path / "conftest.py").write_text(broken, encoding="utf-8")
    test = "def test_fine():\n    pass\n"
    (tmp_path / "test_others.py").write_text(test, encoding="utf-8")
    found, printed = outcomes_of_pytest(tmp_path)
    assert "ZeroDivisionError" in printed
    kept = {"test_others.py::test_fine": "passed"}
    assert found == (kept if hook == "pytest_unconfigure" else {})


@pytest.mark.parametrize(
    ("name", "kept"),
    [("test_bad", {"test_others.py::test_fine": "passed"}), ("test_gone", {})],
)
def test_a_test_is_left_out_if_it_is_there(
    name: str, kept: dict[str, str], tmp_path: Path
) -> None:
    """A name that has changed would be run again, so it is an error."""
    tests = "def test_fine():\n    pass\n\ndef test_bad():\n    raise ValueError\n"
    (tmp_path / "test_others.py").write_text(tests, encoding="utf-8")
    found, printed = outcomes_of_pytest(tmp_path, f"--without=test_others.py::{name}")
    assert found == kept, printed


_LEAVES_SOCKETS = """
import logging
import socket
import pytest

pytestmark = pytest.mark.filterwarnings("error")

def leave_open():
    sock = socket.socket()
    raise OSError(sock.fileno())

def test_logs():
    try:
        leave_open()
    except OSError as error:
        logging.warning("%r", error)

def test_after_it():
    pass

def test_fails():
    leave_open()

def test_after_that():
    pass
"""


def test_what_a_test_leaves_open_counts_against_it(tmp_path: Path) -> None:
    """Records and exceptions keep a socket alive for longer than its test runs."""
    (tmp_path / "test_others.py").write_text(_LEAVES_SOCKETS, encoding="utf-8")
    found, printed = outcomes_of_pytest(tmp_path)
    assert {name.partition("::")[2]: outcome for name, outcome in found.items()} == {
        "test_logs": "failed",
        "test_after_it": "passed",
        "test_fails": "failed",
        "test_after_that": "passed",
    }, printed
    assert printed.count("unclosed <socket.socket") >= 2
