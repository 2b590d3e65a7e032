"""`report_of` with real responses, before and after their bodies are read.

Most libraries detach the connection from a response whose body is complete. Then
`report_of` raises an error: None would mean that the connection had no pins.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import client_servers
from client_recipes import MARKS
from client_servers import HELLO, Line, Server
from optional import client_library
from pinverify import Policy, Reason, pin_context, report_of
from pki import Pki
from tls_servers import LIMIT, client_context, server_context

__all__: list[str] = []

pytestmark = MARKS


class Site(NamedTuple):
    """A server whose bodies wait for `gate`, and a client's way to it."""

    port: int
    url: str
    context: ssl.SSLContext
    gate: threading.Event
    key: bytes
    """The certificate of the server."""

    def matched(self, given: object) -> None:
        """Check the report of *given*, and that it is made once."""
        found = report_of(given)
        assert found is not None
        assert found.reason is Reason.MATCH
        assert (found.host, found.peer) == ("localhost", self.key)
        assert report_of(given) is found


@pytest.fixture
def site(
    pki: Pki, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Site]:
    """Run a server that sends the head, and the body when the gate opens."""
    monkeypatch.setenv("NO_PROXY", "*")
    gate = threading.Event()

    def converse(line: Line) -> None:
        while line.read_until(b"\r\n\r\n"):
            line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
            assert gate.wait(LIMIT)
            line.write(HELLO)

    with Server(converse, server_context(pki.server, version=version)) as server:
        url = f"https://localhost:{server.port}/"
        try:
            yield Site(server.port, url, pinned(pki), gate, pki.server.der)
        finally:
            gate.set()


def pinned(pki: Pki) -> ssl.SSLContext:
    """Make a context with the pin of the server."""
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="reject")
    return pin_context(client_context(pki.root), policy)


def let_go(response: object) -> None:
    """Check that *response* no longer has its connection, and what the error says."""
    name = type(response).__name__
    words = f"no TLS connection in {name}: .* whose body has not been read"
    with pytest.raises(TypeError, match=words):
        report_of(response)


def test_of_http_client(site: Site) -> None:
    """The connection has the report until it is closed, the response until it is read.

    The connection stays open, because the server keeps it.
    """
    connection = http.client.HTTPSConnection(
        "localhost", site.port, context=site.context, timeout=LIMIT
    )
    with contextlib.closing(connection):
        connection.request("GET", "/")
        response = connection.getresponse()
        site.matched(response)
        site.gate.set()
        assert response.read() == HELLO
        let_go(response)
        site.matched(connection)
    let_go(connection)


def test_of_urllib_request(site: Site) -> None:
    """A response of urlopen is one of http.client."""
    with urllib.request.urlopen(  # noqa: S310 - the test's own https server
        site.url, context=site.context, timeout=LIMIT
    ) as response:
        site.matched(response)
        site.gate.set()
        assert response.read() == HELLO
        let_go(response)


def test_of_urllib3(site: Site) -> None:
    """Without preload_content=False, the body is read before anybody can ask."""
    urllib3: Any = client_library("urllib3")
    with urllib3.PoolManager(ssl_context=site.context) as pool:
        response = pool.request("GET", site.url, preload_content=False)
        site.matched(response)
        site.gate.set()
        assert response.read() == HELLO
        let_go(response)
        let_go(pool.request("GET", site.url))


def test_of_tls_inside_of_tls(site: Site, pki: Pki) -> None:
    """The report is that of the server, and not that of the https proxy."""
    urllib3: Any = client_library("urllib3")
    httpx: Any = client_library("httpx")
    outer = client_context(pki.root)
    pin_context(outer, Policy({"127.0.0.1": [pki.server.pin]}, unpinned="reject"))
    tunnel = client_servers.connect_proxy(site.port)
    with Server(tunnel, server_context(pki.server)) as between:
        address = f"https://127.0.0.1:{between.port}"
        with urllib3.ProxyManager(
            address, proxy_ssl_context=outer, ssl_context=site.context
        ) as pool:
            response = pool.request("GET", site.url, preload_content=False)
            site.matched(response)
            site.gate.set()
            assert response.read() == HELLO
        proxy = httpx.Proxy(address, ssl_context=outer)
        with httpx.Client(proxy=proxy, verify=site.context) as client:
            site.matched(client.get(site.url))


def test_of_requests(site: Site, pki: Pki, tmp_path: Path) -> None:
    """Without stream=True, the body is read before anybody can ask."""
    requests: Any = client_library("requests")
    adapters: Any = client_library("requests.adapters")

    class Pinned(adapters.HTTPAdapter):  # type: ignore[misc]
        def init_poolmanager(self, *args: Any, **options: Any) -> None:  # noqa: ANN401
            super().init_poolmanager(*args, ssl_context=site.context, **options)

    with requests.Session() as session:
        session.mount("https://", Pinned())
        session.verify = str(pki.trust_file(tmp_path))
        response = session.get(site.url, stream=True)
        site.matched(response)
        site.gate.set()
        assert response.content == HELLO
        let_go(response)
        let_go(session.get(site.url))


def test_of_httpx(site: Site) -> None:
    """A response keeps its connection for good."""
    httpx: Any = client_library("httpx")
    with httpx.Client(verify=site.context, trust_env=False) as client:
        with client.stream("GET", site.url) as response:
            site.matched(response)
            site.gate.set()
            assert response.read() == HELLO
            site.matched(response)
        response = client.get(site.url)
        site.matched(response)
    site.matched(response)


def test_of_httpx_with_asyncio(site: Site) -> None:
    """It is the same with streams of asyncio."""
    httpx: Any = client_library("httpx")

    async def ask() -> None:
        async with httpx.AsyncClient(verify=site.context, trust_env=False) as client:
            async with client.stream("GET", site.url) as response:
                site.matched(response)
                site.gate.set()
                assert await response.aread() == HELLO
                site.matched(response)
            response = await client.get(site.url)
            site.matched(response)
        site.matched(response)

    asyncio.run(ask())


def test_of_aiohttp(site: Site) -> None:
    """A response has its connection until the whole body has arrived."""
    aiohttp: Any = client_library("aiohttp")

    async def ask() -> None:
        connector = aiohttp.TCPConnector(ssl=site.context)
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(site.url) as response,
        ):
            site.matched(response)
            site.gate.set()
            assert await response.read() == HELLO
            let_go(response)

    asyncio.run(ask())


def test_of_aiohttp_with_a_body_that_comes_with_the_head(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The whole body has arrived before it is read: the connection is given back.

    One record of TLS brings both, so no part of the answer is left to wait for.
    """
    aiohttp: Any = client_library("aiohttp")
    context = server_context(pki.server, version=version)

    async def ask(port: int) -> None:
        connector = aiohttp.TCPConnector(ssl=pinned(pki))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"https://localhost:{port}/") as response,
        ):
            let_go(response)
            assert await response.read() == HELLO

    with Server(client_servers.http, context) as server:
        asyncio.run(ask(server.port))
