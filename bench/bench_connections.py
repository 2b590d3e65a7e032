"""CPU time that pins add to a handshake, for each way in which applications do one.

    python bench/bench_connections.py                a table, in about three minutes
    python bench/bench_connections.py --tree DIR     compared with a checkout

`bench_handshake.py` has blocking sockets with the server in a thread. This bench has
memory buffers (`ssl.SSLObject`: asyncio, aiohttp, uvicorn and httpx use these), the
streams of asyncio, servers with pins for clients, and clients that a server refuses.
All take turns in one process, and each round compares neighbours, so another checkout
is measured in the same minute as this one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import platform
import ssl
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import gates
import pinverify
import pinverify.core
import pki
from bench_handshake import PLAIN, Loopback, added, in_turns
from measure import Spread
from tls_servers import client_context, server_context

__all__: list[str] = []

Task = Callable[[], object]
Pinverify = Any  # the module, of this checkout or of another one

NUMS = (1, 10_000)  # pins of a server that refuses

REFUSED = "refused by a server, "

GATES = {
    gate.case: f"≤ {gate.gate if gate.unit == '%' else 100 * (gate.gate - 1):g} %"
    for gate in gates.GATES
    if gate.number in (22, 23, 24)
}
"""The most that may be added, by `case`."""


def case(route: str, kind: str) -> str:
    """Return what `gates.py` calls a kind of handshake: 22, 23, and 24 if refused."""
    if kind == "refused":
        return route.removeprefix(REFUSED).replace("1 pins", "1 pin")
    return f"{route}, {kind}"


# ---- handshakes ----------------------------------------------------------------


def in_memory(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Do a handshake of two `ssl.SSLObject`, as an event loop does."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    far = server.wrap_bio(to_server, to_client, server_side=True)
    waiting = [near, far]
    for _ in range(10):
        for end in tuple(waiting):
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
                waiting.remove(end)
        if not waiting:
            return
    msg = "the handshake does not come to an end"
    raise AssertionError(msg)


def refused(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """Do a handshake that the server refuses for its pins."""
    try:
        in_memory(client, server)
    except ssl.SSLCertVerificationError:
        return
    msg = "the client was not refused"
    raise AssertionError(msg)


class Streams:
    """Clients of asyncio's streams, and a server."""

    def __init__(self, identity: pki.Identity) -> None:
        """Start the server."""
        self._server = Loopback(identity)
        self.cpu_seconds = self._server.cpu_seconds
        self._loop = asyncio.new_event_loop()

    def shake(self, context: ssl.SSLContext) -> None:
        """Open a connection, and close it."""
        self._loop.run_until_complete(self._open(context))

    async def _open(self, context: ssl.SSLContext) -> None:
        host, port = self._server.address
        _, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="localhost"
        )
        writer.transport.abort()

    def close(self) -> None:
        """End the server."""
        self._loop.close()
        self._server.close()


# ---- competitors ---------------------------------------------------------------


def clients(cast: pki.Pki, pins: Pinverify) -> dict[str, ssl.SSLContext]:
    """Return a client's context for each kind of pin."""
    leaf = [cast.server.pin, cast.stranger.pin]
    rules = {
        "leaf pin": {"localhost": leaf},
        "CA pin": {"localhost": pins.PinSet(ca=[cast.ca.pin, cast.stranger.pin])},
        "host without pins": {"elsewhere.example": leaf},
    }
    return {
        name: pins.pin_context(client_context(cast.root), pins.Policy(rule))
        for name, rule in rules.items()
    }


def server(cast: pki.Pki) -> ssl.SSLContext:
    """Return the context of a server that asks for certificates."""
    context = server_context(
        cast.server, version=ssl.TLSVersion.TLSv1_3, client_authority=cast.root
    )
    context.num_tickets = 0  # each handshake is a full one
    return context


def pinned_server(
    cast: pki.Pki, pins: Pinverify, num: int, *, accepts: bool
) -> ssl.SSLContext:
    """Return the same with pins, of which the last may be the client's."""
    known = [pins.Pin.spki(pins.core.sha256(b"%d" % i)) for i in range(num)]
    if accepts:
        known[-1] = pins.Pin.parse(cast.client.pin)
    context: ssl.SSLContext = pins.pin_context(server(cast), pins.PinSet(leaf=known))
    return context


class Routes:
    """The tasks to compare, by route and competitor."""

    def __init__(self, cast: pki.Pki) -> None:
        """Start the servers, and make the tasks without pins."""
        self._cast = cast
        self._sockets, self._streams = Loopback(cast.server), Streams(cast.server)
        self._client = client_context(cast.root, identity=cast.client)
        self._server = server_context(cast.server, version=ssl.TLSVersion.TLSv1_3)
        self._server.num_tickets = 0
        self.tasks: dict[str, dict[str, Task]] = {}
        self.clocks: dict[str, Callable[[], float]] = {
            "sockets": self._sockets.cpu_seconds,
            "asyncio streams": self._streams.cpu_seconds,
        }
        for name in PLAIN:
            self._add_client(name, client_context(cast.root))
            self._add("server, memory buffers", name, in_memory, server(cast))

    def add(self, pins: Pinverify, suffix: str = "") -> None:
        """Add the tasks with pins of a checkout, and do each once."""
        for name, context in clients(self._cast, pins).items():
            self._add_client(name + suffix, context)
        context = pinned_server(self._cast, pins, 2, accepts=True)
        self._add("server, memory buffers", "client pins" + suffix, in_memory, context)
        for num in NUMS:
            route = f"{REFUSED}{num:,} pins{suffix}"
            for name in PLAIN:  # here, what the refusal is compared with
                context = pinned_server(self._cast, pins, num, accepts=True)
                self._add(route, name, in_memory, context)
            context = pinned_server(self._cast, pins, num, accepts=False)
            self._add(route, "refused", refused, context)

    def _add_client(self, name: str, context: ssl.SSLContext) -> None:
        def sockets() -> None:
            self._sockets.shake(context).close()

        self._run("memory buffers", name, lambda: in_memory(context, self._server))
        self._run("sockets", name, sockets)
        self._run("asyncio streams", name, lambda: self._streams.shake(context))

    def _add(
        self,
        route: str,
        name: str,
        shake: Callable[[ssl.SSLContext, ssl.SSLContext], None],
        context: ssl.SSLContext,
    ) -> None:
        self._run(route, name, lambda: shake(self._client, context))

    def _run(self, route: str, name: str, task: Task) -> None:
        task()
        self.tasks.setdefault(route, {})[name] = task

    def close(self) -> None:
        """End the servers."""
        self._sockets.close()
        self._streams.close()


@contextlib.contextmanager
def another(tree: Path) -> Iterator[Pinverify]:
    """Import pinverify of another checkout, which is built, beside this one's."""
    ours = _forget()
    sys.path.insert(0, str(tree / "src"))
    try:
        found: Any = importlib.import_module("pinverify")
        importlib.import_module("pinverify.core")
        if not Path(found.__file__).is_relative_to(tree):
            msg = f"{tree} has no src/pinverify"
            raise ImportError(msg)
        yield found
    finally:
        sys.path.pop(0)
        _forget()
        sys.modules.update(ours)


def _forget() -> dict[str, Any]:
    names = [name for name in sys.modules if name.partition(".")[0] == "pinverify"]
    return {name: sys.modules.pop(name) for name in names}


# ---- figures -------------------------------------------------------------------


def figures(
    rounds: int, repeat: int, tree: Path | None = None
) -> dict[str, dict[str, list[float]]]:
    """Return the CPU time relative to plain ssl, by route, competitor and round."""
    routes = Routes(pki.example_pki())
    log = logging.getLogger("pinverify")
    log.addHandler(quiet := logging.NullHandler())
    log.propagate, before = False, log.propagate
    try:
        routes.add(pinverify)
        if tree is not None:
            with another(tree.resolve()) as other:
                routes.add(other, f", {tree.name}")
        return {
            route: in_turns(
                list(tasks),
                _runner(tasks),
                rounds,
                repeat,
                routes.clocks.get(route, time.process_time),
            )
            for route, tasks in routes.tasks.items()
        }
    finally:
        log.removeHandler(quiet)
        log.propagate = before
        routes.close()


def spreads(rounds: int, repeat: int) -> dict[str, Spread]:
    """Return what they spread over, by `case`."""
    return {
        case(route, kind): Spread.of(ratios)
        for route, kinds in figures(rounds, repeat).items()
        for kind, ratios in kinds.items()
    }


def _runner(tasks: dict[str, Task]) -> Callable[[str], object]:
    return lambda name: tasks[name]()


def test_handshakes_on_each_route(benchmark: Any) -> None:  # noqa: ANN401
    """Every route is walked; the figures come from `main`."""
    found = benchmark(lambda: figures(1, 1))
    assert len(found) == 4 + len(NUMS)
    cases = {case(route, kind) for route, kinds in found.items() for kind in kinds}
    assert cases >= GATES.keys()
    for num in NUMS:
        assert found[f"{REFUSED}{num:,} pins"]["refused"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="CPU added to a handshake by pins.")
    parser.add_argument("--tree", type=Path, help="another checkout, built in place")
    parser.add_argument("--rounds", type=int, default=200)
    given = parser.parse_args()
    print("| handshake | competitor | added CPU | gate |")  # noqa: T201
    print("|---|---|---|---|")  # noqa: T201
    for route, ratios in figures(given.rounds, 3, given.tree).items():
        for name, values in ratios.items():
            gate = GATES.get(case(route, name), "")
            if route.startswith("refused"):
                name = name.replace("plain", "accepted")  # noqa: PLW2901
            print(f"| {route} | {name} | {added(values)} | {gate} |")  # noqa: T201
    print(  # noqa: T201
        f"\nTLS 1.3, ECDSA P-256, one intermediate, both ends, {given.rounds} rounds "
        f"of 3; Python {platform.python_version()}, {ssl.OPENSSL_VERSION}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )


if __name__ == "__main__":
    main()
