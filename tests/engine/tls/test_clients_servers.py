"""Server libraries with the recipes of docs/clients.md for client certificates.

Libraries that are not installed are skipped; the dependency group "clients" has all.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from client_recipes import MARKS
from client_table import row, short
from pinverify import PinSet
from pki import Pki
from server_recipes import ServerSide, any_server, running, talk

pytestmark = MARKS


@any_server
def test_a_server_hears_its_pinned_client_alone(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The application of a pinned server hears nothing of any other client.

    The stranger's certificate is valid, from the same authority.
    """
    pins = PinSet(leaf=[pki.client.pin])
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in talk(side, server.port, pki.client, pki, version)
        server.read.wait_for(1)
        row(side).allowed.add(short(version))
        assert talk(side, server.port, pki.stranger, pki, version) == b""
        assert side.answer in talk(side, server.port, pki.client, pki, version)
        server.read.wait_for(2)
        row(side).refused.add(short(version))


@any_server
def test_a_server_whose_pins_only_report_hears_both(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The control: the pins refuse the stranger, and nothing else does."""
    pins = PinSet(leaf=[pki.client.pin], mode="report")
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in talk(side, server.port, pki.stranger, pki, version)
        server.read.wait_for(1)
