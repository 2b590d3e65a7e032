"""A drill: the key changes, then the authority, under the load of fifty clients.

Each step is the one that the advice calls safe. In between, a broken file is published.
A man in the middle, whose authority the computers trust, tries all the time.
"""

from __future__ import annotations

import ssl
import threading
from collections import Counter
from pathlib import Path
from typing import Self

import pytest

from cli_runs import answer, run
from pinverify import PinSet, Report, Rules
from pinverify.formats import toml
from pinverify.live import PolicyFile, _policy_file
from pki import Authority, Identity, Pki
from test_live_policy_file import put, report, until
from tls_clients import trusting
from tls_servers import LIMIT, server_context

__all__: list[str] = []

pytestmark = pytest.mark.ci  # a drill of ten seconds

CLIENTS = 50


class Fleet:
    """Clients that connect all the time, each with a context that follows the file.

    Attributes:
        server: the context of the servers; another one changes their key at once.
        reports: of the servers, by outcome and reason.
        passed: how often the man in the middle was accepted.
    """

    def __init__(
        self, file: PolicyFile, pki: Pki, other: Authority, impostor: Identity
    ) -> None:
        self.server = server_context(pki.server)
        self.reports: Counter[tuple[bool, str]] = Counter()
        self.refused: list[Report] = []
        self.passed = 0
        self.attempts = 0
        self.faults: list[Exception] = []
        self._wrong = server_context(impostor)
        self._ended = threading.Event()
        self._turns = [0] * CLIENTS
        self._threads = []
        for number in range(CLIENTS):
            context = trusting(pki)
            context.load_verify_locations(cadata=other.pem)
            file.follow(context)
            arguments = context, number
            thread = threading.Thread(target=self._connect, args=arguments)
            self._threads.append(thread)

    def _connect(self, context: ssl.SSLContext, number: int) -> None:
        try:
            while not self._ended.is_set():
                found = report(context, self.server)
                self.reports[found.accepted, found.reason.name] += 1
                if not found.accepted:
                    self.refused.append(found)
                if number % 10 == 0:
                    self.attempts += 1
                    self.passed += report(context, self._wrong).accepted
                self._turns[number] += 1
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.faults.append(error)

    def go_on(self) -> None:
        """Wait until each client has begun and ended another connection."""
        before = [*self._turns]
        until(
            lambda: (
                all(
                    now >= then + 2
                    for then, now in zip(before, self._turns, strict=True)
                )
                or self.faults
            )
        )

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(LIMIT)


def advised(step: str, *command: object) -> None:
    """Fail unless this is the step, and the gate lets it pass."""
    found = answer("rotate", "plan", *command)
    assert (found["step"], found["mistakes"]) == (step, []), found


def test_no_client_is_lost_and_none_is_deceived(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key, then the authority, and a broken file between: 0 lost, 0 wrong."""
    monkeypatch.setattr(_policy_file, "_SETTLE", 0.0)
    third = Authority.root("Third Root")
    renewed, spare = pki.ca.leaf("localhost", days=90), pki.ca.leaf("localhost")
    moved = pki.rogue_ca.leaf("localhost", days=90)  # it is honest here
    path, before = tmp_path / "pins.toml", tmp_path / "before.toml"
    chains = {}
    for name, identity in (
        ("first", pki.server),
        ("renewed", renewed),
        ("spare", spare),
        ("moved", moved),
    ):
        chains[name] = tmp_path / f"{name}.pem"
        identity.write(chains[name])

    def publish(*pins: str) -> None:
        before.write_bytes(path.read_bytes() if path.exists() else b"")
        put(path, toml.dumps(Rules({"localhost": PinSet(list(pins))})))

    def in_force() -> None:
        until(lambda: file.policy.rules.hosts == _rules(path))
        fleet.go_on()

    publish(pki.server.pin, renewed.pin)
    impostor = third.leaf("localhost")
    with (
        PolicyFile(path, every=0.01) as file,
        Fleet(file, pki, third, impostor) as fleet,
    ):
        fleet.go_on()
        # The key: it was pinned from the beginning.
        use = ("--server", chains["first"])
        advised("DEPLOY", path, *use, "--next", chains["renewed"])
        fleet.server = server_context(renewed)
        fleet.go_on()
        # The old pin is dropped, and another spare key pinned.
        use = ("--server", chains["renewed"])
        advised("PIN", path, *use, "--next", chains["spare"])
        publish(renewed.pin, spare.pin)
        in_force()
        # Half of a file is published: it does not count.
        failures = file.failures
        put(path, path.read_bytes()[:-30])
        until(lambda: file.failures > failures)
        fleet.go_on()
        # The authority: its next certificate has a key of ours, which is pinned first.
        publish(renewed.pin, spare.pin, moved.pin)
        in_force()
        advised("DROP", path, *use, "--next", chains["moved"])
        done = run("rotate", "check", path, *use, "--next", chains["moved"])
        assert done.code == 0, done.out
        fleet.server = server_context(moved)
        fleet.go_on()
        publish(moved.pin, spare.pin)
        in_force()
    assert not fleet.faults
    assert fleet.refused == []
    assert fleet.reports.keys() == {(True, "MATCH")}
    assert sum(fleet.reports.values()) > 10 * CLIENTS
    assert (fleet.passed, fleet.attempts > CLIENTS) == (0, True)


def _rules(path: Path) -> object:
    return toml.loads(path.read_text("utf-8")).hosts
