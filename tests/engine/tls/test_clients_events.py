"""Servers of many libraries: the log and the callback name each refused client.

Most of these libraries drop the error of a failed handshake, so without this a refused
client would leave no trace. One known client and three strangers meet each server, in
both modes. The table at the end of the run shows what each server reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import importlib
import logging
import queue
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

import pinverify
from client_recipes import MARKS
from client_table import tell_events
from optional import client_library
from pinverify import PinSet, Reason, Report, report_of
from pinverify.policy import Mode
from pinverify.tls.pyopenssl import pin_connection
from pki import Pki
from pyopenssl_connections import for_servers
from server_recipes import SERVERS, ServerSide, running, talk
from tls_servers import LIMIT

__all__: list[str] = []

pytestmark = MARKS

# It has no context of `ssl`, so no recipe: its connections are pinned one by one.
TWISTED = ServerSide("Twisted", (), b"hello", b"hello", lambda _: {})
LOOPS = [
    *((side, "asyncio") for side in SERVERS),
    (SERVERS[0], "uvloop"),
    (TWISTED, "its reactor"),
]


@pytest.fixture(params=LOOPS, ids=lambda one: f"{one[0].heading} on {one[1]}")
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ServerSide:
    """Return a recipe; its loop is that of asyncio, or uvloop's."""
    server: ServerSide
    server, loop = request.param
    if loop != "uvloop":
        return server
    uvloop = client_library("uvloop")
    monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)
    return replace(server, needs=("uvloop",))


@contextlib.contextmanager
def twisted(
    pki: Pki, pins: PinSet, version: ssl.TLSVersion, told: Callable[[Report], None]
) -> Iterator[int]:
    """Run an echo of Twisted in a reactor of its own, in a thread; yield its port."""
    interfaces: Any = client_library("twisted.internet.interfaces")
    protocol: Any = client_library("twisted.internet.protocol")
    tls: Any = client_library("twisted.protocols.tls")
    implementer: Any = importlib.import_module("zope.interface").implementer
    context = for_servers(
        pki, mode=SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, version=version
    )

    @implementer(interfaces.IOpenSSLServerConnectionCreator)
    class Pinned:
        def serverConnectionForTLS(self, _: object) -> SSL.Connection:  # noqa: N802
            return pin_connection(SSL.Connection(context, None), pins, on_report=told)

    class Echo(protocol.Protocol):  # type: ignore[misc]
        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            self.transport.write(data)

    reactor: Any = client_library("twisted.internet.selectreactor").SelectReactor()
    factory = protocol.Factory.forProtocol(Echo)
    pinned = tls.TLSMemoryBIOFactory(Pinned(), False, factory, reactor)  # noqa: FBT003
    port: queue.Queue[int] = queue.Queue()

    def listen() -> None:
        listening = reactor.listenTCP(0, pinned, interface="127.0.0.1")
        port.put(listening.getHost().port)

    reactor.callWhenRunning(listen)
    thread = threading.Thread(target=reactor.run, args=(False,), daemon=True)
    thread.start()
    try:
        yield port.get(timeout=LIMIT)
    finally:
        reactor.callFromThread(reactor.stop)
        thread.join(LIMIT)
        assert not thread.is_alive()


def wait_for(told: list[Report], count: int) -> None:
    """Wait until so many were told: a client of TLS 1.3 ends first."""
    for _ in range(int(LIMIT / 0.01)):
        if len(told) >= count:
            break
        time.sleep(0.01)


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_pitfall_45_a_server_names_each_stranger(  # noqa: PLR0913, PLR0917 - fixtures
    side: ServerSide,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: Mode,
    version: ssl.TLSVersion,
) -> None:
    """Three strangers are three events and three lines; a known client is none."""
    caplog.set_level(logging.WARNING, "pinverify")
    told: list[Report] = []
    pinning = functools.partial(pinverify.pin_context, on_report=told.append)
    monkeypatch.setattr(pinverify, "pin_context", pinning)
    strangers = [
        pki.stranger,
        pki.ca.leaf("second.example", purpose="client"),
        pki.ca.leaf("third.example", purpose="client"),
    ]
    pins = PinSet(leaf=[pki.client.pin], mode=mode)
    served = []
    with contextlib.ExitStack() as stack:
        if side is TWISTED:
            port = stack.enter_context(twisted(pki, pins, version, told.append))
        else:
            port = stack.enter_context(running(side, pki, tmp_path, pins, version)).port
        clients = [pki.client, *strangers, pki.client]
        for number, client in enumerate(clients):
            served.append(side.answer in talk(side, port, client, pki, version))
            wait_for(told, min(number, len(strangers)))
            assert len(told) == min(number, len(strangers))
    assert served == [True, *[mode == "report"] * 3, True]
    assert [report.peer for report in told] == [one.der for one in strangers]
    assert {report.reason for report in told} == {Reason.MISMATCH}
    assert {report.accepted for report in told} == {mode == "report"}
    lines = [r.getMessage() for r in caplog.records if r.name == "pinverify"]
    assert len(lines) == 3
    for stranger, line in zip(strangers, lines, strict=True):
        assert stranger.pin in line
    name = f"{side.heading} on uvloop" if "uvloop" in side.needs else side.heading
    counts = served.count(True), served.count(False), len(told), len(lines)
    tell_events(name, version, mode, *counts)


@pytest.mark.parametrize("heading", ["uvicorn", "hypercorn"])
def test_the_scope_of_an_asgi_server_does_not_have_the_connection(
    heading: str, pki: Pki, tmp_path: Path
) -> None:
    """The error names the callback, and the scope nothing that leads to TLS.

    With a server that passes its connection on, `report_of` could find it: this test
    fails then, and what the docstring and the guide say of it changes.
    """
    scopes: list[dict[str, Any]] = []
    (server,) = (one for one in SERVERS if one.heading == heading)

    def remembering(read: list[object]) -> dict[str, Any]:
        inner: Any = server.names(read)["app"]

        async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
            if scope["type"] == "http":
                scopes.append(scope)
            await inner(scope, receive, send)

        return {"app": app}

    side = replace(server, names=remembering)
    version = ssl.TLSVersion.TLSv1_3
    pins = PinSet(leaf=[pki.client.pin])
    with running(side, pki, tmp_path, pins, version) as served:
        assert side.answer in talk(side, served.port, pki.client, pki, version)
    (scope,) = scopes
    assert scope["scheme"] == "https"
    assert "transport" not in scope
    assert not scope.get("extensions")
    with pytest.raises(TypeError, match="use on_report of pin_context"):
        report_of(scope)
