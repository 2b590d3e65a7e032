"""`report_of` finds the report in objects of libraries, without importing these."""

from __future__ import annotations

import asyncio
import ssl
from unittest import mock

import pytest
from OpenSSL import SSL

import pyopenssl_connections as pyopenssl
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    create_connection,
    pin_context,
    report_of,
)
from pki import Pki
from policy_samples import ABSENT
from tls_clients import SECRET, Serve, connect, converse, pinning, trusting
from tls_servers import MemoryLink, TLSServer, server_context

__all__: list[str] = []


def matched(found: Report | None, connection: object) -> None:
    """Check the report of an accepted server, and that it is made once."""
    assert found is not None
    assert found.reason is Reason.MATCH
    assert (found.side, found.resumed) == ("server", False)
    assert report_of(connection) is found


def test_of_a_socket_and_of_a_rejected_one(pki: Pki, serve: Serve) -> None:
    """A rejected connection has its report too."""
    context = trusting(pki, pinning(pki))
    with connect(context, serve(server_context(pki.server))) as tls:
        found = report_of(tls)
        matched(found, tls)
        assert found is not None
        assert found.peer_address == tls.getpeername()
        assert found.peer == pki.server.der
    link = MemoryLink(context, server_context(pki.impostor))
    assert report_of(link.client) is None
    with pytest.raises(PinningError):
        converse(link)
    rejected = report_of(link.client)
    assert rejected is not None
    assert rejected.reason is Reason.MISMATCH


def test_of_a_connection_without_pins(pki: Pki, serve: Serve) -> None:
    """There is nothing to report, and that is no error."""
    server = serve(server_context(pki.server))
    with connect(trusting(pki), server) as tls:
        assert report_of(tls) is None
    with pyopenssl.connecting(pyopenssl.for_clients(pki), server) as conn:
        assert report_of(conn) is None


def test_of_pyopenssl(pki: Pki, serve: Serve) -> None:
    """The report is that of the connection, before and after."""
    server = serve(server_context(pki.server))
    context = pyopenssl.for_clients(pki, mode=SSL.VERIFY_PEER)
    with pyopenssl.connecting(context, server, pinning(pki)) as conn:
        assert report_of(conn) is None
        conn.send(SECRET)
        matched(report_of(conn), conn)


def test_of_asyncio(pki: Pki, serve: Serve) -> None:
    """The transport, the writer, and a scope that has the transport."""
    context = trusting(pki, pinning(pki))
    server: TLSServer = serve(server_context(pki.server))

    async def talk() -> None:
        host, port = server.address[:2]
        _, writer = await asyncio.open_connection(
            host, port, ssl=context, server_hostname="localhost"
        )
        try:
            for given in (
                writer,
                writer.transport,
                writer.get_extra_info("ssl_object"),
                {"type": "http", "transport": writer.transport},
            ):
                matched(report_of(given), given)
        finally:
            writer.transport.abort()

    asyncio.run(talk())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (object(), "no TLS connection in object"),
        (None, "no TLS connection in NoneType"),
        ({"type": "http", "extensions": {}}, "use on_report"),
        (mock.MagicMock(), "no TLS connection in MagicMock"),
    ],
    ids=["object", "None", "scope", "mock"],
)
def test_of_anything_else_is_an_error_with_the_next_step(
    given: object, words: str
) -> None:
    """None would mean that there are no pins."""
    with pytest.raises(TypeError, match=words):
        report_of(given)


def test_create_connection_tells_the_callback(pki: Pki, serve: Serve) -> None:
    """The callback of one connection hears of it alone."""
    server = serve(server_context(pki.server))
    told: list[Report] = []
    others: list[Report] = []
    context = pin_context(
        trusting(pki), Policy({}, unpinned="reject"), on_report=others.append
    )
    policy = Policy({"127.0.0.1": PinSet([ABSENT], mode="report")})
    context.check_hostname = False
    address = server.address[:2]
    with create_connection(
        address, policy, context=context, on_report=told.append
    ) as tls:
        assert isinstance(tls, ssl.SSLSocket)
    assert [report.reason for report in told] == [Reason.MISMATCH]
    assert told[0].peer_address[:2] == address
    assert others == []
