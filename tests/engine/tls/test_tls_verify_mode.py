"""The verify mode that is in force is known while other threads change it.

`mode_races` explains what an impostor gains from a mistake. Set the variable
VERIFY_MODE_CONNECTIONS to 100,000 for a long run of the slow tests.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

import pinverify
from examples import some_of
from mode_races import CONNECTIONS, Peers, meanwhile, outcomes
from pinverify import PinningError, PinSet, install, pin_context, uninstall
from pinverify.tls._ssl_contexts import _exclusion
from pki import Pki
from tls_clients import SECRET, trusting
from tls_servers import LIMIT, MemoryLink, new_socket, server_context

__all__: list[str] = []


# ---- the forms of a connection: each sends the secret, or raises ----------------


def _tcp(peers: Peers, name: str) -> socket.socket:
    sock = new_socket()
    sock.connect(peers.addresses[name])
    return sock


def _socket(context: ssl.SSLContext, peers: Peers, name: str) -> None:
    with context.wrap_socket(_tcp(peers, name), server_hostname="localhost") as tls:
        tls.sendall(SECRET)


def _lazy(context: ssl.SSLContext, peers: Peers, name: str) -> None:
    with context.wrap_socket(
        _tcp(peers, name), server_hostname="localhost", do_handshake_on_connect=False
    ) as tls:
        tls.sendall(SECRET)


def _unconnected(context: ssl.SSLContext, peers: Peers, name: str) -> None:
    with context.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        tls.connect(peers.addresses[name])
        tls.sendall(SECRET)


def _memory(context: ssl.SSLContext, peers: Peers, name: str) -> None:
    link = MemoryLink(context, peers.contexts[name])
    try:
        link.run(lambda: link.client.write(SECRET))
    finally:
        peers.received[name] += len(link.application)


FORMS: dict[str, Callable[[ssl.SSLContext, Peers, str], None]] = {
    "sockets": _socket,
    "memory buffers": _memory,
    "lazy handshakes": _lazy,
    "wrapped before connect": _unconnected,
}


def toggle(context: ssl.SSLContext) -> None:
    """Turn verification off and on; let other threads run with each of the modes."""
    for mode in (ssl.CERT_NONE, ssl.CERT_REQUIRED):
        context.verify_mode = mode
        time.sleep(0)


@pytest.mark.parametrize("form", some_of(FORMS, 2))
@pytest.mark.parametrize(
    ("how", "connections"),
    [
        ("pin_context", 100),
        ("install", 100),
        pytest.param("pin_context", CONNECTIONS, marks=pytest.mark.slow),
    ],
)
def test_pitfall_31_an_impostor_gets_nothing_while_the_mode_is_toggled(
    pki: Pki, version: ssl.TLSVersion, form: str, how: str, connections: int
) -> None:
    """Nobody takes a chain that OpenSSL did not verify for one that it verified.

    Nor is the genuine server refused without the true reason.
    """
    context = trusting(pki)
    context.check_hostname = False
    (install if how == "install" else partial(pin_context, context))(
        PinSet(pins=[pki.ca.pin])
    )
    connect = partial(FORMS[form], context)
    try:
        with Peers(pki, version) as peers, meanwhile(partial(toggle, context)):
            counted = outcomes(connect, peers, connections)
    finally:
        uninstall()
    print(form, counted)  # noqa: T201 - figures of a long run
    forged, genuine = counted["forged"], counted["genuine"]
    assert set(forged) == {"by OpenSSL", "by pins"}
    assert set(genuine) == {"accepted", "by pins"}
    assert peers.received["forged"] == 0
    if form == "memory buffers":  # elsewhere the server may read it later
        assert peers.received["genuine"] == genuine["accepted"] * len(SECRET)


# ---- the same, step by step ------------------------------------------------------


class _Interrupted(ssl.SSLContext):
    """Calls `turn` in the middle of the creation of a C object."""

    turn: Callable[[], None] | None = None

    def _wrap_bio(self, *buffers: Any, **how: Any) -> Any:  # noqa: ANN401
        if self.turn is not None:
            self.turn()
            made = super()._wrap_bio(*buffers, **how)  # type: ignore[misc]
            self.turn()
            return made
        return super()._wrap_bio(*buffers, **how)  # type: ignore[misc]


@pytest.fixture
def interrupted(pki: Pki) -> _Interrupted:
    """A pinned context that trusts the root, and checks no names."""
    context = _Interrupted(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    context.check_hostname = False
    pin_context(context, PinSet(pins=[pki.ca.pin]))
    return context


def _forged_link(context: ssl.SSLContext, pki: Pki) -> MemoryLink:
    return MemoryLink(context, server_context(pki.ca.forged_leaf("localhost")))


def test_pitfall_31_no_thread_changes_the_mode_during_a_creation(
    pki: Pki, interrupted: _Interrupted
) -> None:
    """Off for the moment in which OpenSSL copies the mode, and on again.

    A look at the mode before and after shows nothing of it. But the change is counted,
    and the other thread has to wait while a second object is created.
    """
    modes = cycle([ssl.CERT_NONE, ssl.CERT_REQUIRED])
    turns: list[Future[None]] = []
    with ThreadPoolExecutor(1) as pool:

        def turn() -> None:
            mode = next(modes)
            turns.append(pool.submit(setattr, interrupted, "verify_mode", mode))
            with contextlib.suppress(TimeoutError):  # it has to wait for us
                turns[-1].result(0.2)

        interrupted.turn = turn
        link = _forged_link(interrupted, pki)
        for done in turns:
            done.result(LIMIT)
    assert len(turns) == 4
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert not isinstance(caught.value, PinningError)
    assert link.application == b""


def test_pitfall_31_a_change_by_the_creating_thread_itself_is_noticed(
    pki: Pki, interrupted: _Interrupted
) -> None:
    """A signal handler or a finalizer passes the lock, since its thread holds it."""
    modes = cycle([ssl.CERT_NONE, ssl.CERT_REQUIRED])

    def change(*_signal: object) -> None:
        interrupted.verify_mode = next(modes)

    def turn() -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, change)
    try:
        interrupted.turn = turn
        link = _forged_link(interrupted, pki)
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(PinningError) as caught:
        link.run(lambda: link.client.write(SECRET))
    assert "verify_mode was changed while the connection was made" in str(caught.value)
    assert link.application == b""


def test_pitfall_31_a_change_past_the_lock_is_noticed(
    pki: Pki, interrupted: _Interrupted
) -> None:
    """Truststore sets the mode of its inner context with the descriptor of C.

    That passes the lock. Unless it is undone before the creation is over, it shows.
    """
    plain = super(ssl.SSLContext, ssl.SSLContext)

    def turn() -> None:
        plain.verify_mode.__set__(interrupted, ssl.CERT_NONE)  # type: ignore[attr-defined]

    interrupted.turn = turn
    link = _forged_link(interrupted, pki)
    interrupted.verify_mode = ssl.CERT_REQUIRED
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_a_context_without_pins_of_its_own_takes_the_lock(pki: Pki) -> None:
    """`install` changes the options of such a context, for one connection each.

    Here the check is in a class that another context was given.
    """
    pinned, other = trusting(pki), trusting(pki)
    pin_context(pinned, PinSet(pins=[pki.ca.pin]))
    other.sslobject_class = pinned.sslobject_class
    other.options |= ssl.OP_NO_RENEGOTIATION
    with ThreadPoolExecutor(1) as pool:
        with _exclusion.lock:
            made = pool.submit(MemoryLink, other, server_context(pki.server))
            with pytest.raises(TimeoutError):
                made.result(0.2)
        assert made.result(LIMIT).client.context is other


_FORKS = """
import os, signal, ssl, sys, threading
import pinverify

class Waits(ssl.SSLContext):
    def _wrap_bio(self, *buffers, **how):
        if threading.current_thread() is not threading.main_thread():
            inside.set()
            leave.wait()
        return super()._wrap_bio(*buffers, **how)

def connect():
    context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="localhost")

inside, leave = threading.Event(), threading.Event()
context = Waits(ssl.PROTOCOL_TLS_CLIENT)
pinverify.pin_context(context, pinverify.PinSet(["sha256/" + "A" * 43 + "="]))
context.options &= ~ssl.OP_NO_RENEGOTIATION  # so the next creation takes the lock
thread = threading.Thread(target=connect)
thread.start()
inside.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)  # a child that hangs dies of it
    connect()
    context.verify_mode = ssl.CERT_REQUIRED
    os._exit(0)
leave.set()
thread.join()
sys.exit(os.waitpid(child, 0)[1])
"""


def test_pitfall_47_a_child_does_not_wait_for_a_lock_of_its_parent() -> None:
    """A thread of the parent creates a connection while another thread forks."""
    source = Path(pinverify.__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKS],
        check=False,
        env={**os.environ, "PYTHONPATH": str(source)},
        timeout=60,
    )
    assert done.returncode == 0
