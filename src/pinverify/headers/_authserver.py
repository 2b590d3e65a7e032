"""A service that proxies ask about each request: may this client pass?

nginx calls it auth_request, Traefik and Caddy forward_auth, Envoy ext_authz. The proxy
sends the head of the request with the client's certificate in a header, and lets the
request pass if the answer is 200. Any other answer, or no answer, refuses the request.
Envoy takes no other status for an acceptance, and the other proxies take 200, too.

Everything is bounded: the head of a request, the number of connections, the time that a
connection may be silent or slow, the time to stop. The bounds must not become a way to
lock the proxy out:

* If one connection too many comes, the one that has been silent longest is closed for
  it. So a stranger who holds many connections does not lock the proxy out.
* After each answer on a connection, the others have their turn, however many requests
  that connection has sent.
* A connection counts until it is closed. If a peer does not read an answer, the
  connection is closed, and the answer is dropped.
* Log lines that strangers cause are limited as log lines of rejections are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import TYPE_CHECKING

from pinverify.headers._forms import VALUE_MAX
from pinverify.headers._request_decision import Request
from pinverify.headers._request_head import HeadError, read_head
from pinverify.tls import _events

if TYPE_CHECKING:
    from pinverify.headers._request_decision import Gate
    from pinverify.policy import Report

__all__ = ["AuthService", "Bounds"]

_BURST = 16  # connections accepted at once, before any of them is counted
_BACKLOG = 1024  # connections that the kernel holds until they are accepted
_SPARE = 128  # open files that are not counted connections, such as several bursts
_UNREADABLE = "refused: a request that cannot be read: "


class Bounds:
    """The bounds of a service.

    Attributes:
        head: the largest head of a request, in bytes. It has room for a header with a
            certificate, and twice as much for headers that are not for the service,
            such as cookies.
        connections: the largest number of connections at a time; one more closes the
            one that has been silent longest. A process that may not open so many files
            takes fewer connections.
        silence: seconds to wait for the head of a request; proxies keep connections
            open for about a minute.
        answer: seconds that the proxy has to read an answer.
        end: seconds to finish answers when the service stops.
    """

    head = 3 * VALUE_MAX
    connections = 1024
    silence = 75.0
    answer = 10.0
    end = 5.0


class AuthService:
    """Answers 200 to requests of pinned clients, and 403 to all others."""

    def __init__(self, gate: Gate, bounds: type[Bounds] = Bounds) -> None:
        """Keep the gate, which decides."""
        self._gate = gate
        self._bounds = bounds
        self._connections = bounds.connections
        self._talks: set[asyncio.Task[None]] = set()
        # The connection that has been silent longest comes first.
        self._waiting: dict[asyncio.Task[None], None] = {}
        self._is_stopping = False
        self._unix = False

    async def serve(self, listener: socket.socket, until: asyncio.Event) -> None:
        """Answer until *until* is set; then finish the answers under way.

        Args:
            listener: a listening socket, which is closed at the end.
            until: an event that ends the service.
        """
        self._unix = listener.family == socket.AF_UNIX
        self._connections = max(1, min(self._bounds.connections, _files() - _SPARE))
        server = await asyncio.start_server(
            self._begin, sock=listener, limit=self._bounds.head, backlog=_BURST
        )
        listener.listen(_BACKLOG)  # asyncio has one number for burst and backlog
        try:
            await until.wait()
        finally:
            self._is_stopping = True
            server.close()
            for talk in list(self._waiting):
                talk.cancel()
            await self._ended()

    async def _ended(self) -> None:
        """Wait for the answers under way, but not for ever."""
        if self._talks:
            _, late = await asyncio.wait(self._talks, timeout=self._bounds.end)
            for talk in late:
                talk.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _begin(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a new connection; if there are too many, close another one for it."""
        talk = asyncio.current_task()
        if talk is None or not self._has_room(writer):
            writer.transport.abort()
            return
        self._talks.add(talk)
        # With no buffer, `drain` waits until the kernel has taken all of an answer.
        writer.transport.set_write_buffer_limits(high=0)
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await self._talk(reader, writer, talk)
        finally:
            self._talks.discard(talk)
            if writer.transport.get_write_buffer_size():
                writer.transport.abort()  # `close` would wait for the peer, for ever
            else:
                writer.close()

    def _has_room(self, writer: asyncio.StreamWriter) -> bool:
        """Return True if a connection has room, after closing another one if needed."""
        if len(self._talks) < self._connections:
            return True
        what = "all connections are in use: the one that is silent longest is closed"
        self._tell(what, writer)
        silent = next(iter(self._waiting), None)
        if silent is None:
            return False
        del self._waiting[silent]
        self._talks.discard(silent)  # not counted any more, though it ends later
        silent.cancel()
        return True

    async def _talk(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        talk: asyncio.Task[None],
    ) -> None:
        """Answer one request after the other; a slow peer raises TimeoutError."""
        goes_on = True
        while goes_on and not self._is_stopping:
            self._waiting[talk] = None
            try:
                async with asyncio.timeout(self._bounds.silence):
                    data = await reader.readuntil(b"\r\n\r\n")
                answer, goes_on = self._answer(data, writer)
            except asyncio.LimitOverrunError:
                self._tell(f"{_UNREADABLE}its head is too long", writer)
                answer, goes_on = _status(b"431 Request Header Fields Too Large"), False
            finally:
                self._waiting.pop(talk, None)
            writer.write(answer)
            async with asyncio.timeout(self._bounds.answer):
                await writer.drain()
            await asyncio.sleep(0)  # let others run: perhaps nothing above has waited

    def _answer(self, data: bytes, writer: asyncio.StreamWriter) -> tuple[bytes, bool]:
        """Return the answer to a request, and True if another one may follow."""
        try:
            head = read_head(data)
        except HeadError as error:
            self._tell(f"{_UNREADABLE}{error}", writer)
            return _status(b"400 Bad Request"), False
        address = writer.get_extra_info("peername")  # None if the peer is gone already
        known = address[:2] if isinstance(address, tuple) else None
        report = self._gate.decide(Request(head.lines, known, self._unix))
        return _verdict(report), head.goes_on

    @staticmethod
    def _tell(what: str, writer: asyncio.StreamWriter) -> None:
        """Log a fault, in words that no peer chooses, unless it is held back."""
        held = _events.limit.admit(what, time.monotonic())
        if held is not None:
            address = _events.address_text(writer.get_extra_info("peername"))
            place = [] if address is None else [f"address={address}"]
            _events.logger().warning("%s", " ".join([what, *place, *held.words()]))


def _files() -> int:
    """Return the number of files that the process may open."""
    try:
        import resource  # noqa: PLC0415 - Windows lacks it, and has no such bound
    except ImportError:
        return _SPARE + Bounds.connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _SPARE + Bounds.connections if soft == resource.RLIM_INFINITY else soft


def _verdict(report: Report) -> bytes:
    """Return the answer to a request, with two headers for the log of the proxy."""
    lines = [b"X-Pinverify-Reason: " + report.reason.name.encode()]
    if report.chain:
        lines.append(b"X-Pinverify-Pin: " + str(report.chain[0]).encode())
    return _status(b"200 OK" if report.accepted else b"403 Forbidden", *lines)


def _status(status: bytes, *lines: bytes) -> bytes:
    """Return an answer without a body."""
    head = [b"HTTP/1.1 " + status, *lines, b"Cache-Control: no-store"]
    return b"\r\n".join([*head, b"Content-Length: 0", b"", b""])
