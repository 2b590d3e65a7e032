"""The server libraries with a recipe in docs/clients.md, and a way to run each."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from client_recipes import recipe, run
from client_servers import HELLO
from optional import client_library
from pinverify import PinSet
from pki import Identity, Pki
from tls_servers import LIMIT, client_context

__all__ = ["SERVERS", "ServerSide", "any_server", "running", "talk"]


@dataclass(frozen=True)
class ServerSide:
    """A recipe for a server, and how a client talks to it."""

    heading: str
    needs: tuple[str, ...]
    request: bytes
    answer: bytes
    names: Callable[[list[object]], dict[str, Any]]
    """The application, which appends what it reads to a list."""
    path: str = "server"


_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def _streams(read: list[object]) -> dict[str, Any]:
    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line = await reader.readline()
        read.append(line)
        writer.write(line)
        await writer.drain()
        writer.close()

    return {"handle": handle}


def _aiohttp_app(read: list[object]) -> dict[str, Any]:
    web: Any = importlib.import_module("aiohttp.web")

    async def hello(request: Any) -> Any:  # noqa: ANN401
        read.append(request.path)
        return web.Response(body=HELLO)

    app = web.Application()
    app.router.add_get("/", hello)
    return {"app": app}


def _tornado_app(read: list[object]) -> dict[str, Any]:
    web: Any = importlib.import_module("tornado.web")

    class Hello(web.RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            read.append(self.request.path)
            self.write(HELLO)

    return {"app": web.Application([("/", Hello)])}


def _asgi_app(read: list[object]) -> dict[str, Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        if scope["type"] != "http":
            return
        read.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": HELLO})

    return {"app": app}


def _websocket_handler(read: list[object]) -> dict[str, Any]:
    async def handle(websocket: Any) -> None:  # noqa: ANN401
        read.append(websocket.request.path)

    return {"handle": handle}


def _http_handler(read: list[object]) -> dict[str, Any]:
    server: Any = importlib.import_module("http.server")

    class Handler(server.BaseHTTPRequestHandler):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            read.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(HELLO)

    return {"Handler": Handler}


SERVERS = [
    ServerSide("asyncio server", (), HELLO + b"\n", HELLO, _streams),
    ServerSide("aiohttp server", ("aiohttp",), _GET, HELLO, _aiohttp_app),
    ServerSide("uvicorn", ("uvicorn",), _GET, HELLO, _asgi_app),
    ServerSide("hypercorn", ("hypercorn",), _GET, HELLO, _asgi_app),
    ServerSide(
        "websockets server", ("websockets",), _UPGRADE, b"101", _websocket_handler
    ),
    ServerSide("tornado server", ("tornado",), _GET, HELLO, _tornado_app),
    ServerSide("http.server", (), _GET, HELLO, _http_handler),
]
any_server = pytest.mark.parametrize("side", SERVERS, ids=lambda side: side.heading)


class Heard(list[object]):
    """The reads of an application, and a way to wait for them."""

    def wait_for(self, count: int) -> None:
        """Wait until the application has read *count* times; never more."""
        for _ in range(int(LIMIT / 0.01)):
            if len(self) >= count:
                break
            time.sleep(0.01)
        assert len(self) == count


class Running(NamedTuple):
    """A server of one recipe."""

    port: int
    read: Heard


@contextlib.contextmanager
def running(
    side: ServerSide, pki: Pki, tmp_path: Path, clients: PinSet, version: ssl.TLSVersion
) -> Iterator[Running]:
    """Run the recipe of *side*; end it, and all that it started, afterwards."""
    for module in side.needs:
        client_library(module)
    read = Heard()
    names = side.names(read) | {
        "certfile": str(pki.server.write(tmp_path / "server.pem")),
        "cafile": str(pki.trust_file(tmp_path)),
        "clients": clients,
        "host": "127.0.0.1",
        "port": 0,
    }
    run(recipe("Servers").code, names)
    names["context"].minimum_version = names["context"].maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        names["listener"] = listener
        run(recipe(side.heading).code, names)
        if "serve" not in names:
            with _in_thread(names["server"]) as port:
                yield Running(port, read)
        else:
            with _in_loop(names["serve"]):
                yield Running(listener.getsockname()[1], read)


def talk(
    side: ServerSide, port: int, client: Identity, pki: Pki, version: ssl.TLSVersion
) -> bytes:
    """Send the request of *side* as *client*; return what comes of the answer.

    The client speaks one version, because some servers make a context of their own.
    """
    context = client_context(pki.root, identity=client, version=version)
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(OSError),  # how a refusal looks depends on the moment
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(side.request)
        while side.answer not in answer and (data := tls.recv(65536)):
            answer += data
    return answer


@contextlib.contextmanager
def _in_thread(server: Any) -> Iterator[int]:  # noqa: ANN401
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(LIMIT)
        assert not thread.is_alive()


@contextlib.contextmanager
def _in_loop(serve: Callable[[], Any]) -> Iterator[None]:
    """Run a coroutine in a loop of its own, in a thread, until the block is over."""
    loop = asyncio.new_event_loop()
    serving: list[asyncio.Task[None]] = []
    begun = threading.Event()

    async def main() -> None:
        serving.append(asyncio.ensure_future(serve()))
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await serving[0]

    def whole() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    assert begun.wait(LIMIT)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(serving[0].cancel)
        thread.join(LIMIT)
        assert not thread.is_alive()
