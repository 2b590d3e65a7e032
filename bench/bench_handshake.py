"""What pins add to a TLS 1.3 handshake: CPU time, both ends, over loopback.

Plain and pinned contexts take turns in one process, and each round compares
neighbours, so that a noisy machine disturbs both alike. The figure is the median
of the ratios of the rounds.

    python bench/bench_handshake.py        a table, in about two minutes
"""

from __future__ import annotations

import platform
import socket
import ssl
import statistics
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pki
from pinverify import PinSet, Policy, pin_context
from tls_servers import client_context, server_context

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []


class Loopback:
    """One server on 127.0.0.1, in a thread of this process, and its clients."""

    def __init__(self, identity: pki.Identity) -> None:
        """Start listening."""
        self._context = server_context(identity, version=ssl.TLSVersion.TLSv1_3)
        self._context.num_tickets = 0  # each handshake is a full one
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:  # closed
                return
            with self._context.wrap_socket(plain, server_side=True) as tls:
                while data := tls.recv(65536):
                    tls.sendall(data)

    def shake(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Return a client connection, after the handshake."""
        plain = socket.create_connection(self._listener.getsockname(), timeout=30)
        return context.wrap_socket(plain, server_hostname="localhost")

    def close(self) -> None:
        """End the server."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


def contexts(cast: pki.Pki) -> dict[str, ssl.SSLContext]:
    """Return the competitors: without pins, with a leaf pin, with a CA pin."""
    policies = {
        "leaf pin": Policy({"localhost": [cast.server.pin, cast.stranger.pin]}),
        "CA pin": Policy({"localhost": PinSet(ca=[cast.ca.pin, cast.stranger.pin])}),
    }
    plain = {name: client_context(cast.root) for name in ("plain", "plain again")}
    return plain | {
        name: pin_context(client_context(cast.root), policy)
        for name, policy in policies.items()
    }


def cpu_seconds(task: Callable[[], object], repeat: int) -> float:
    """Return the CPU time that this process takes to repeat *task*."""
    start = time.process_time()
    for _ in range(repeat):
        task()
    return time.process_time() - start


def added_to_handshakes(rounds: int, repeat: int) -> dict[str, float]:
    """Return, for each competitor, the median CPU time relative to plain ssl.

    Args:
        rounds: how often the competitors take turns.
        repeat: handshakes of each in one round.
    """
    cast = pki.example_pki()
    loopback = Loopback(cast.server)
    competitors = contexts(cast)
    ratios: dict[str, list[float]] = {name: [] for name in competitors}
    try:
        for number in range(rounds):
            names = list(competitors)
            if number % 2:
                names.reverse()  # neither end of a round is favoured
            taken = {
                name: cpu_seconds(
                    lambda name=name: loopback.shake(competitors[name]).close(),  # type: ignore[misc]
                    repeat,
                )
                for name in names
            }
            for name, seconds in taken.items():
                ratios[name].append(seconds / taken["plain"])
    finally:
        loopback.close()
    return {name: statistics.median(values) for name, values in ratios.items()}


def added_to_data(rounds: int, repeat: int) -> dict[str, float]:
    """Return the same for echoes of 16 bytes on established connections."""
    cast = pki.example_pki()
    ratios: dict[str, list[float]] = {}
    loopbacks = []
    echoes: dict[str, Any] = {}
    try:
        for name, context in contexts(cast).items():
            loopbacks.append(Loopback(cast.server))
            tls = loopbacks[-1].shake(context)
            echoes[name] = tls

        for _ in range(rounds):
            taken = {}
            for name, tls in echoes.items():
                taken[name] = cpu_seconds(
                    lambda tls=tls: (tls.sendall(bytes(16)), tls.recv(16)),  # type: ignore[misc]
                    repeat,
                )
            for name, seconds in taken.items():
                ratios.setdefault(name, []).append(seconds / taken["plain"])
    finally:
        for tls in echoes.values():
            tls.close()
        for loopback in loopbacks:
            loopback.close()
    return {name: statistics.median(values) for name, values in ratios.items()}


def test_handshake_with_each_kind_of_pin(benchmark: Any) -> None:  # noqa: ANN401
    """All competitors shake hands and talk; the figures come from `main`."""
    result = benchmark(lambda: added_to_handshakes(1, 2) | added_to_data(1, 2))
    assert set(result) == {"plain", "plain again", "leaf pin", "CA pin"}


def table(rounds: int = 40, repeat: int = 60) -> str:
    """Return the figures in Markdown."""
    gates = {"plain": "", "plain again": "noise", "leaf pin": "3 %", "CA pin": "4 %"}
    handshakes = added_to_handshakes(rounds, repeat)
    data = added_to_data(rounds, 1000)
    lines = [
        "| context | CPU added to a handshake | gate | CPU added to an echo |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {100 * (handshakes[name] - 1):+.1f} % | {gate} "
        f"| {100 * (data[name] - 1):+.1f} % |"
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
