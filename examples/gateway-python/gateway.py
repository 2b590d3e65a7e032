"""A TLS gateway on asyncio: clients are pinned, and so are the servers behind it.

    python gateway.py --certificate gateway.pem --client-authorities clients.pem
        --client-policy clients.toml --upstream api.internal:8443
        --upstream-authorities servers.pem --upstream-policy upstream.toml

It takes a connection of TLS, checks the client's pin, connects to an upstream, checks
its pin, and then passes bytes in both directions. It parses none of them. README.md
beside it says how to roll out, reload and stop.

A connection goes through `Gateway.serve`: the decision about the client comes before
the connection to the upstream, and the decision about the upstream before the first
byte of a request. asyncio.start_server would drop the error of a refused client; so the
gateway accepts connections itself, and has the error, the report and the address.
"""
# ruff: noqa: INP001 - a script, in no package

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple

from record import JSONLines, Record, open_connections, tell

import pinverify
from pinverify.live import PolicyFile, serve_probes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.live import Followed

__all__ = ["Gateway", "main"]

CHUNK = 65536  # bytes read at a time, and so held for each direction


class Stream(NamedTuple):
    """Both directions of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Gateway:
    """One listening port, its upstreams, and the two policies."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Make both contexts, and let each follow its policy.

        Raises:
            OSError: a file cannot be read.
            PolicyError: a policy is wrong; the message says where.
        """
        self.record = Record()
        self._options = options
        self._turns: Iterator[int] = itertools.count()
        self._room = asyncio.Semaphore(options.connections)
        self._tasks: set[asyncio.Task[None]] = set()
        open_connections.set_function(lambda: len(self._tasks))
        self._server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.load_cert_chain(options.certificate)
        self._server.load_verify_locations(options.client_authorities)
        self._server.verify_mode = ssl.CERT_REQUIRED
        trusted = options.upstream_authorities
        self._client = ssl.create_default_context(cafile=trusted)
        followers = (
            (options.client_policy, self._pin_clients),
            (options.upstream_policy, self._pin_upstream),
        )
        self.policies = [
            PolicyFile(path, every=options.look_seconds, on_event=self._tell)
            for path, _ in followers
        ]
        for file, (_, use) in zip(self.policies, followers, strict=True):
            file.follow(use)

    # ---- policies ----------------------------------------------------------------

    def _pin_clients(self, policy: pinverify.Policy) -> None:
        if not policy.has_clients:
            msg = "no pins for clients; add [clients]"
            raise pinverify.PolicyError(msg)
        pinverify.pin_context(self._server, policy)

    def _pin_upstream(self, policy: pinverify.Policy) -> None:
        rules = policy.rules
        for host, _ in self._options.upstream:
            rule = rules.deciding(host)
            if rule is None or rule[1] is pinverify.UNPINNED:
                msg = f'no pins; add [hosts."{host}"]'
                raise pinverify.PolicyError(msg)
        pinverify.pin_context(self._client, policy)

    def _tell(self, event: Followed) -> None:
        if event.error is not None:
            level, error = logging.ERROR, event.error
            tell("policy kept", level=level, file=event.path, error=error)
        else:
            self.record.forget()
            tell("policy", file=event.path, digest=event.new.digest.hex())

    def wake(self) -> None:
        """Have both policies read at once."""
        for file in self.policies:
            file.wake()

    # ---- connections -------------------------------------------------------------

    async def accept(self, listener: socket.socket) -> None:
        """Accept connections until cancelled; if too many are open, let them wait."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room.acquire()
            try:
                plain, address = await loop.sock_accept(listener)
            except OSError as error:  # no more descriptors, or the client has left
                self._room.release()
                self.record.failed("client", "accept", "", error)
                await asyncio.sleep(0.1)
                continue
            task = asyncio.create_task(self.serve(plain, _spelt(address)))
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()
        if not task.cancelled() and (error := task.exception()) is not None:
            tell("a fault of the gateway", level=logging.ERROR, error=repr(error))

    async def serve(self, plain: socket.socket, address: str) -> None:
        """Serve one client from its handshake to its end."""
        streams: list[Stream] = []
        try:
            greeted = await self._greet(plain, address, streams)
            if greeted and await self._connect(streams):
                await self._join(streams[0], streams[1], address)
        except asyncio.CancelledError:  # the time to finish is over
            _abort(streams)
            raise
        finally:
            await _close(streams)

    async def _greet(
        self, plain: socket.socket, address: str, streams: list[Stream]
    ) -> bool:
        """Shake hands with a client; return False if that fails or it is refused."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(CHUNK)
        protocol = asyncio.StreamReaderProtocol(reader)
        try:
            transport, _ = await loop.connect_accepted_socket(
                lambda: protocol,
                plain,
                ssl=self._server,
                ssl_handshake_timeout=self._options.handshake_seconds,
                ssl_shutdown_timeout=self._options.idle_seconds,
            )
        except OSError as error:
            self._not_connected("client", address, error)
            return False
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        streams.append(Stream(reader, writer))
        self._accepted(writer, address)
        return True

    async def _connect(self, streams: list[Stream]) -> bool:
        """Connect to the next upstream that has its pin; False if there is none."""
        upstreams, turn = self._options.upstream, next(self._turns)
        for index in range(len(upstreams)):
            host, port = upstreams[(turn + index) % len(upstreams)]
            address = f"{host}:{port}"
            try:
                async with asyncio.timeout(self._options.handshake_seconds):
                    connection = await asyncio.open_connection(
                        host,
                        port,
                        limit=CHUNK,
                        ssl=self._client,
                        ssl_shutdown_timeout=self._options.idle_seconds,
                    )
            except OSError as error:
                self._not_connected("server", address, error)
            else:
                streams.append(Stream(*connection))
                self._accepted(connection[1], address)
                return True
        return False

    def _accepted(self, writer: asyncio.StreamWriter, address: str) -> None:
        report = pinverify.report_of(writer)
        if report is None:
            msg = "the context has no pins"
            raise RuntimeError(msg)
        self.record.decided(report, address)

    def _not_connected(self, side: str, address: str, error: OSError) -> None:
        rejected = pinverify.find_pinning_error(error)
        if rejected is not None:
            self.record.decided(rejected.report, address)
        else:
            self.record.failed(side, "handshake", address, error)

    async def _join(self, client: Stream, upstream: Stream, address: str) -> None:
        """Pass bytes in both directions until one ends, or nothing moves any more."""
        idle = self._options.idle_seconds
        try:
            async with asyncio.timeout(idle) as limit, asyncio.TaskGroup() as pumps:
                pumps.create_task(_pump(client.reader, upstream.writer, limit, idle))
                pumps.create_task(_pump(upstream.reader, client.writer, limit, idle))
        except* OSError as errors:  # one that is alone comes in a group here, too
            error = errors.exceptions[0]
            kind = "idle" if isinstance(error, TimeoutError) else "broken"
            self.record.failed("client", kind, address, error)
            _abort([client, upstream])

    async def drain(self, seconds: float) -> None:
        """Let open connections finish; after *seconds*, end those that have not."""
        tell("stopping", open=len(self._tasks))
        tasks = set(self._tasks)
        late = (await asyncio.wait(tasks, timeout=seconds))[1] if tasks else set()
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        tell("stopped", cut=len(late))


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    limit: asyncio.Timeout,
    idle: float,
) -> None:
    """Pass bytes on until the source ends, then end the sink.

    A slow sink stops the reading: drain() waits until it has taken most of them.
    """
    loop = asyncio.get_running_loop()
    while data := await source.read(CHUNK):
        sink.write(data)
        await sink.drain()
        if not limit.expired():
            limit.reschedule(loop.time() + idle)
    sink.close()  # after the bytes that it still holds


def _abort(streams: list[Stream]) -> None:
    for stream in streams:
        stream.writer.transport.abort()


async def _close(streams: list[Stream]) -> None:
    """Close, and wait until the peers have closed too; cancelled, wait no longer."""
    for stream in streams:
        stream.writer.close()
    try:
        for stream in streams:
            with contextlib.suppress(OSError):
                await stream.writer.wait_closed()
    finally:
        _abort(streams)


def _spelt(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _address(text: str) -> tuple[str, int]:
    """Read ``host:port``; an IPv6 address stands in brackets."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


async def run(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT, then let open connections finish."""
    gateway = Gateway(options)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, gateway.wake)
    family = socket.AF_INET6 if ":" in options.listen[0] else socket.AF_INET
    listener = socket.create_server(options.listen, family=family, backlog=1024)
    listener.settimeout(0)  # asyncio must not wait in it
    shown = socket.create_server(("127.0.0.1", options.metrics_port))
    listens, shows = (each.getsockname() for each in (listener, shown))
    metrics = await serve_probes(shown)
    tell("listening", address=_spelt(listens), metrics=_spelt(shows))
    chores = [
        asyncio.create_task(chore) for chore in (stop.wait(), gateway.accept(listener))
    ]
    await asyncio.wait(chores, return_when=asyncio.FIRST_COMPLETED)
    for chore in chores:
        chore.cancel()
    await asyncio.wait(chores)
    listener.close()
    await gateway.drain(options.stop_seconds)
    metrics.close()
    for chore in chores:
        with contextlib.suppress(asyncio.CancelledError):
            chore.result()  # raises what ended it


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for side in ("client", "upstream"):
        parser.add_argument(f"--{side}-authorities", required=True, help="PEM file")
        parser.add_argument(f"--{side}-policy", required=True, help="TOML file")
    parser.add_argument("--certificate", required=True, help="PEM file, with the key")
    add = parser.add_argument
    add("--upstream", type=_address, action="append", required=True, help="host:port")
    add("--listen", type=_address, default=("127.0.0.1", 8443), help="host:port")
    add("--metrics-port", type=int, default=9443, help="of 127.0.0.1")
    add("--connections", type=int, default=1000, help="at most open at a time")
    add("--handshake-seconds", type=float, default=10.0)
    add("--idle-seconds", type=float, default=60.0)
    add("--look-seconds", type=float, default=1.0, help="from look to look at files")
    add("--stop-seconds", type=float, default=30.0, help="to finish after SIGTERM")
    options = parser.parse_args()
    handler = logging.StreamHandler()
    handler.setFormatter(JSONLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.captureWarnings(capture=True)  # what lint finds in a policy
    # It would name each peer a second time, and without the address.
    logging.getLogger("pinverify").setLevel(logging.ERROR)
    try:
        asyncio.run(run(options))
    except (OSError, pinverify.PinverifyError) as error:
        parser.exit(2, f"gateway: {error}\n")


if __name__ == "__main__":
    main()
