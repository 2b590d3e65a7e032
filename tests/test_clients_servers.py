"""Server libraries with the recipes of docs/clients.md for client certificates.

What is not installed is skipped; the dependency group "clients" has it all.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from pathlib import Path

from client_recipes import MARKS
from client_table import row, short
from pinverify import PinSet
from pki import Identity, Pki
from server_recipes import ServerSide, any_server, running
from tls_servers import LIMIT, client_context

pytestmark = MARKS


def _talk(side: ServerSide, pki: Pki, identity: Identity, port: int) -> bytes:
    """Send the request of *side*, as a client with *identity*; return the answer."""
    context = client_context(pki.root, identity=identity)
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


@any_server
def test_a_server_hears_its_pinned_client_alone(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The application of a pinned server hears nothing of any other client.

    The stranger's certificate is valid, from the same authority.
    """
    pins = PinSet(leaf=[pki.client.pin])
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in _talk(side, pki, pki.client, server.port)
        server.read.wait_for(1)
        row(side).allowed.add(short(version))
        assert _talk(side, pki, pki.stranger, server.port) == b""
        assert side.answer in _talk(side, pki, pki.client, server.port)
        server.read.wait_for(2)
        row(side).refused.add(short(version))


@any_server
def test_a_server_whose_pins_only_report_hears_both(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The control: the pins refuse the stranger, and nothing else does."""
    pins = PinSet(leaf=[pki.client.pin], mode="report")
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in _talk(side, pki, pki.stranger, server.port)
        server.read.wait_for(1)
