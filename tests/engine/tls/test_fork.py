"""Forks while other threads are at work: the child does not hang, and checks peers.

In the child of a fork only one thread goes on. A lock that another one held at that
moment would stay locked for ever, and the child would hang in its next handshake.
"""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pinverify import PinningError, PinSet, pin_context
from pinverify.tls import _events
from pinverify.tls._memo import Memo
from pinverify.tls._ssl_contexts import rule_of
from pki import Pki
from tls_clients import SECRET, converse, pinning, trusting
from tls_servers import LIMIT, MemoryLink, client_context, server_context

__all__: list[str] = []

# Python warns of forks in a process with threads, and that is what is tested here.
pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork"),
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
]

CHILD_LIMIT = 20  # seconds; then a child that waits in Python is interrupted
KILL_LIMIT = 10  # more seconds; then one that waits in C is killed


def _interrupt(*_: object) -> None:
    msg = "the child waits for a lock of Python"
    raise TimeoutError(msg)


def ends_in_child(action: Callable[[], object]) -> bool:
    """Do *action* in the child of a fork.

    Returns:
        False if the child hangs in C, where no signal handler of Python can run.

    Raises:
        AssertionError: the action failed, or hangs in Python.
    """
    child = os.fork()
    if child == 0:  # nothing of pytest's may run here
        signal.signal(signal.SIGALRM, _interrupt)
        signal.alarm(CHILD_LIMIT)
        try:
            action()
        except BaseException:  # noqa: BLE001 - the parent sees the exit code
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)
    killer = threading.Timer(CHILD_LIMIT + KILL_LIMIT, os.kill, (child, signal.SIGKILL))
    killer.start()
    _, status = os.waitpid(child, 0)
    killer.cancel()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return False
    assert os.waitstatus_to_exitcode(status) == 0
    return True


def in_child(action: Callable[[], object]) -> None:
    """Do *action* in the child of a fork, and check that it comes to its end."""
    assert ends_in_child(action), "the child hangs in C"


class Pause:
    """A point at which a thread waits."""

    def __init__(self) -> None:
        """Nobody waits yet."""
        self.reached = threading.Event()
        self.ended = threading.Event()

    def wait(self) -> None:
        """Say that it is reached, and wait for the end."""
        self.reached.set()
        assert self.ended.wait(LIMIT)


@contextlib.contextmanager
def stopped_in(action: Callable[[Pause], object]) -> Iterator[None]:
    """Let a thread do *action* up to its pause, and the rest after the block."""
    pause = Pause()
    thread = threading.Thread(target=action, args=(pause,))
    thread.start()
    try:
        assert pause.reached.wait(LIMIT)
        yield
    finally:
        pause.ended.set()
        thread.join(LIMIT)
        assert not thread.is_alive()


class Slow:
    """A key; one of its hashes takes as long as a pause."""

    def __init__(self, pause: Pause, use: int = 1) -> None:
        """Make a key that pauses in use number *use*."""
        self.uses = 0
        self._pause = pause
        self._use = use

    def __hash__(self) -> int:
        """Wait, if this is the use."""
        self.uses += 1
        if self.uses == self._use:
            self._pause.wait()
        return 0


def _pin_slowly(pause: Pause) -> None:
    class SlowContext(ssl.SSLContext):
        def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:  # noqa: ANN401
            pause.wait()
            return super().wrap_bio(*args, **kwargs)

    context = SlowContext(ssl.PROTOCOL_TLS_CLIENT)
    pin_context(context, PinSet(["sha256/" + 43 * "A" + "="]))


def test_pitfall_47_a_child_can_pin_while_another_thread_pins(pki: Pki) -> None:
    """The lock that pinning takes is free in the child."""

    def use() -> None:
        converse(MemoryLink(trusting(pki, pinning(pki)), server_context(pki.server)))

    with stopped_in(_pin_slowly):
        in_child(use)
    use()


def test_pitfall_47_a_child_can_log_while_another_thread_logs(pki: Pki) -> None:
    """The lock of the log is free in the child."""
    context = trusting(pki, PinSet([pki.impostor.pin], mode="report"))

    def use() -> None:
        converse(MemoryLink(context, server_context(pki.server)))

    with stopped_in(lambda pause: _events.limit.admit(Slow(pause), 0)):
        in_child(use)
    use()


def test_pitfall_47_a_child_can_judge_while_another_thread_remembers(pki: Pki) -> None:
    """The evidence of a context is not locked in the child."""
    context = trusting(pki, PinSet(ca=[pki.ca.pin]))
    rule = rule_of(context)
    assert rule is not None

    def use() -> None:
        converse(MemoryLink(context, server_context(pki.server)))

    quick = Slow(Pause(), use=0)
    Memo().remember(quick, [b"a leaf"], bytes)

    def remember(pause: Pause) -> None:
        rule.memo.remember(Slow(pause, quick.uses), [b"a leaf"], bytes)

    with stopped_in(remember):
        in_child(use)
    use()


def test_pitfall_47_forks_amid_the_handshakes_of_many_threads(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Each child checks the right and the wrong client, whatever the threads do.

    They shake hands with pins of an authority, and swap the policy. OpenSSL has locks
    of its own, which nobody replaces: a child that hangs in C met one that another
    thread held. It must not hang in Python.
    """
    server = server_context(pki.server, version=version, client_authority=pki.root)
    right = PinSet(ca=[pki.ca.pin], blocked=[pki.stranger.pin])
    pin_context(server, right)
    clients = [
        client_context(pki.root, identity=identity)
        for identity in (pki.client, pki.stranger)
    ]

    def both() -> None:
        converse(MemoryLink(clients[0], server))
        link = MemoryLink(clients[1], server)
        with pytest.raises(PinningError):
            converse(link)
        assert SECRET not in link.application

    failures: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            while not over.is_set():
                both()
                pin_context(server, right)
        except BaseException as error:  # noqa: BLE001 - the test shows it
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    try:
        ended = [ends_in_child(both) for _ in range(10)]
    finally:
        over.set()
        for thread in threads:
            thread.join(LIMIT)
    assert not any(thread.is_alive() for thread in threads)
    assert failures == []
    assert any(ended)
