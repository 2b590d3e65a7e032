"""CPU time that pins add to a TLS 1.3 handshake, at both ends, over loopback.

Plain and pinned contexts take turns in one process, and each round compares
neighbours, so that a noisy machine disturbs both alike. The figure is the median
of the ratios of the rounds.

    python bench/bench_handshake.py        a table, in about two minutes
"""

from __future__ import annotations

import contextlib
import multiprocessing
import platform
import random
import socket
import ssl
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pki
from pinverify import PinSet, Policy, pin_context
from tls_servers import client_context, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

PLAIN = ("plain", "plain again")


class Loopback:
    """One server on 127.0.0.1, in a process of its own, and its clients.

    In a thread, it would compete with the clients for the GIL, and who waits for whom
    depends on microseconds.
    """

    def __init__(self, identity: pki.Identity) -> None:
        """Start listening."""
        context = server_context(identity, version=ssl.TLSVersion.TLSv1_3)
        context.num_tickets = 0  # each handshake is a full one
        with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
            self.address: tuple[str, int] = listener.getsockname()
            self._server = multiprocessing.get_context("fork").Process(
                target=_serve, args=(listener, context), daemon=True
            )
            self._server.start()

    def cpu_seconds(self) -> float:
        """Return the CPU time of this process and of the server, so far."""
        # As clock_getcpuclockid(3) of Linux makes the number of a process's clock.
        clock = ~(self._server.pid or 0) << 3 | 2
        return time.process_time() + time.clock_gettime(clock)

    def shake(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Return a client connection, after the handshake."""
        plain = socket.create_connection(self.address, timeout=30)
        return context.wrap_socket(plain, server_hostname="localhost")

    def close(self) -> None:
        """End the server."""
        self._server.terminate()
        self._server.join(30)


def _serve(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        plain, _ = listener.accept()
        with (
            contextlib.suppress(ConnectionResetError),  # a client may abort
            context.wrap_socket(plain, server_side=True) as tls,
        ):
            while data := tls.recv(65536):
                tls.sendall(data)


def contexts(cast: pki.Pki) -> dict[str, ssl.SSLContext]:
    """Return the competitors: without pins, with a leaf pin, with a CA pin."""
    policies = {
        "leaf pin": Policy({"localhost": [cast.server.pin, cast.stranger.pin]}),
        "CA pin": Policy({"localhost": PinSet(ca=[cast.ca.pin, cast.stranger.pin])}),
    }
    plain = {name: client_context(cast.root) for name in PLAIN}
    return plain | {
        name: pin_context(client_context(cast.root), policy)
        for name, policy in policies.items()
    }


def seconds_of(
    task: Callable[[], object], repeat: int, clock: Callable[[], float]
) -> float:
    """Return the CPU time that it takes to repeat *task*."""
    start = clock()
    for _ in range(repeat):
        task()
    return clock() - start


def added_to_handshakes(rounds: int, repeat: int) -> dict[str, list[float]]:
    """Return, for each competitor, its CPU time relative to plain ssl, by rounds.

    In each round the competitors take turns in an order of its own. Two of them are
    plain: the reference is their mean, and each of the two shows the noise.

    Args:
        rounds: how often the competitors take turns.
        repeat: handshakes of each in one round.
    """
    cast = pki.example_pki()
    loopback = Loopback(cast.server)
    competitors = contexts(cast)

    def shake(name: str) -> None:
        loopback.shake(competitors[name]).close()

    try:
        for name in competitors:
            shake(name)
        return in_turns(list(competitors), shake, rounds, repeat, loopback.cpu_seconds)
    finally:
        loopback.close()


def added_to_data(rounds: int, repeat: int) -> dict[str, list[float]]:
    """Return the same for echoes of 16 bytes on established connections.

    One thread holds both ends, so nobody waits for anybody. The server's is driven
    below the methods of ssl, since the interpreter runs a method faster where it
    meets one class only, and a program mostly has one.
    """
    cast = pki.example_pki()
    server = server_context(cast.server, version=ssl.TLSVersion.TLSv1_3)
    with contextlib.ExitStack() as stack:
        ends = {
            name: _connected(stack, context, server)
            for name, context in contexts(cast).items()
        }

        def echo(name: str) -> None:
            client, peer = ends[name]
            client.sendall(bytes(16))
            peer.write(peer.read(16))
            client.recv(16)

        return in_turns(list(ends), echo, rounds, repeat)


def _connected(
    stack: contextlib.ExitStack, client: ssl.SSLContext, server: ssl.SSLContext
) -> tuple[ssl.SSLSocket, Any]:
    """Return a client, after the handshake, and the C object of its server."""
    near, far = socket.socketpair()
    with ThreadPoolExecutor(1) as other:
        accepted = other.submit(server.wrap_socket, far, server_side=True)
        tls = stack.enter_context(client.wrap_socket(near, server_hostname="localhost"))
        peer = stack.enter_context(accepted.result(30))
    return tls, peer._sslobj  # type: ignore[attr-defined]  # noqa: SLF001


def in_turns(
    names: list[str],
    task: Callable[[str], object],
    rounds: int,
    repeat: int,
    clock: Callable[[], float] = time.process_time,
) -> dict[str, list[float]]:
    """Return, for each name, the CPU time of *task* by that of `PLAIN`, by rounds."""
    ratios: dict[str, list[float]] = {name: [] for name in names}
    dice = random.Random(1)  # noqa: S311 - an order, no secret
    for _ in range(rounds):
        taken = {
            name: seconds_of(lambda name=name: task(name), repeat, clock)  # type: ignore[misc]
            for name in dice.sample(names, len(names))
        }
        plain = statistics.mean(taken[name] for name in PLAIN)
        for name, seconds in taken.items():
            ratios[name].append(seconds / plain)
    return ratios


def test_handshake_with_each_kind_of_pin(benchmark: Any) -> None:  # noqa: ANN401
    """All competitors shake hands and talk; the figures come from `main`."""
    both = benchmark(lambda: (added_to_handshakes(1, 2), added_to_data(1, 2)))
    for result in both:
        assert set(result) == {*PLAIN, "leaf pin", "CA pin"}


def added(ratios: list[float]) -> str:
    """Return the median of what was added, and the error of that median."""
    low, median, high = statistics.quantiles(ratios, n=4)
    error = 0.93 * (high - low) / len(ratios) ** 0.5  # if they spread as usual
    return f"{100 * (median - 1):+.1f} ± {100 * error:.1f} %"


def table(rounds: int = 300, repeat: int = 10) -> str:
    """Return the figures in Markdown."""
    gates = {"plain": "", "plain again": "", "leaf pin": "≤ 3 %", "CA pin": "≤ 4 %"}
    handshakes = added_to_handshakes(rounds, repeat)
    data = added_to_data(rounds, 10 * repeat)
    lines = [
        "| context | CPU added to a handshake | gate | CPU added to an echo |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {added(handshakes[name])} | {gate} | {added(data[name])} |"
        for name, gate in gates.items()
    ]
    machine = (
        f"TLS 1.3, ECDSA P-256, one intermediate, both ends, {rounds} rounds of "
        f"{repeat}; Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )
    return "\n".join([*lines, "", machine])


if __name__ == "__main__":
    print(table())  # noqa: T201 - what it is for
