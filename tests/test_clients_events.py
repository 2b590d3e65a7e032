"""Servers of many libraries: the log and the callback name each refused client.

Most of these libraries drop the error of a failed handshake, so a refused client left
no trace. One known client and three strangers meet each server, in both modes; the
table at the end of the run says for each what was told.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
import ssl
import time
from pathlib import Path

import pytest

import pinverify
from client_recipes import MARKS
from optional import client_library
from pinverify import PinSet, Reason, Report
from pinverify.policy import Mode
from pki import Identity, Pki
from server_recipes import SERVERS, ServerSide, running
from tls_servers import LIMIT, client_context

__all__: list[str] = []

pytestmark = MARKS

LOOPS = [
    *((side, "asyncio") for side in SERVERS),
    (SERVERS[0], "uvloop"),
]


@pytest.fixture(params=LOOPS, ids=lambda one: f"{one[0].heading} on {one[1]}")
def side(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ServerSide:
    """Return a recipe; its loop is that of asyncio, or uvloop's."""
    server: ServerSide
    server, loop = request.param
    if loop == "uvloop":
        uvloop = client_library("uvloop")
        monkeypatch.setattr(asyncio, "new_event_loop", uvloop.new_event_loop)
    return server


def talk(side: ServerSide, pki: Pki, client: Identity, port: int) -> bool:
    """Say whether the server answers a client."""
    context = client_context(pki.root, identity=client)
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(OSError),
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(side.request)
        while side.answer not in answer and (data := tls.recv(65536)):
            answer += data
    return side.answer in answer


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
    with running(side, pki, tmp_path, pins, ssl.TLSVersion.TLSv1_3) as server:
        assert talk(side, pki, pki.client, server.port)
        assert told == []
        for number, stranger in enumerate(strangers, 1):
            assert talk(side, pki, stranger, server.port) == (mode == "report")
            wait_for(told, number)
        assert talk(side, pki, pki.client, server.port)
    assert [report.peer for report in told] == [one.der for one in strangers]
    assert {report.reason for report in told} == {Reason.MISMATCH}
    assert {report.accepted for report in told} == {mode == "report"}
    lines = [r.getMessage() for r in caplog.records if r.name == "pinverify"]
    assert len(lines) == 3
    for stranger, line in zip(strangers, lines, strict=True):
        assert stranger.pin in line
    print(f"\n{side.heading}, {mode}: {len(told)} told, {len(lines)} logged")  # noqa: T201
    for line in lines:
        print("   ", line)  # noqa: T201
