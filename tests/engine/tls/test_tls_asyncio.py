"""Pinned contexts in asyncio: streams, protocols, servers and client certificates.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well. Each attack first runs against a context without pins
and succeeds there, so no test here can pass by doing nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, cast

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, pin_context
from pki import Identity, Pki
from tls_clients import (
    GREETING,
    SECRET,
    Serve,
    assert_nothing_said,
    client_of,
    connect,
    pinning,
    reason,
    trusting,
)
from tls_servers import LIMIT, TLSServer, client_context, server_context


async def _open(
    context: ssl.SSLContext, server: TLSServer, how: str
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a TLS connection in one of the ways asyncio has."""
    if how == "open_connection":
        return await asyncio.open_connection(
            *server.address, ssl=context, server_hostname="localhost"
        )
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        await writer.start_tls(context, server_hostname="localhost")
    except BaseException:
        writer.close()
        raise
    return reader, writer


async def _echo(context: ssl.SSLContext, server: TLSServer, how: str) -> bytes:
    reader, writer = await _open(context, server, how)
    try:
        writer.write(SECRET)
        await writer.drain()
        return await reader.readexactly(len(SECRET))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _run(coroutine: Any) -> Any:  # noqa: ANN401
    """Run a coroutine, for LIMIT seconds at most."""
    return asyncio.run(asyncio.wait_for(coroutine, LIMIT))


any_way = pytest.mark.parametrize("how", ["open_connection", "start_tls"])


@any_way
def test_asyncio_accepts_the_right_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """Streams work as without pins."""
    server = serve(server_context(pki.server, version=version))
    assert _run(_echo(trusting(pki, pinning(pki)), server, how)) == SECRET


@any_way
def test_asyncio_refuses_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """The PinningError itself arrives, and the server reads nothing."""
    server = serve(server_context(pki.impostor, version=version))
    assert _run(_echo(trusting(pki), server, how)) == SECRET
    with pytest.raises(PinningError) as caught:
        _run(_echo(trusting(pki, pinning(pki)), server, how))
    assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record(1))


@any_way
def test_pitfall_14_asyncio_keeps_the_client_certificate_from_an_impostor(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """A server with a wrong pin does not learn who the client is.

    The client's certificate leaves with its last flight: the check has to come
    before that flight does, for TLS 1.2 in the middle of the handshake.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )

    def presenting(policy: Policy | None) -> ssl.SSLContext:
        context = client_context(pki.root, pki.rogue_root, identity=pki.client)
        return context if policy is None else pin_context(context, policy)

    assert _run(_echo(presenting(None), server, how)) == SECRET
    assert server.record(0).client_certificate
    with pytest.raises(PinningError):
        _run(_echo(presenting(pinning(pki)), server, how))
    assert not server.record(1).client_certificate


@any_way
def test_an_early_look_counts_the_leaf_alone_without_verification(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, how: str
) -> None:
    """An impostor appends the pinned authority, to be shown a client certificate."""
    impostor = server_context(
        pki.impostor, version=version, extra=[pki.ca], client_authority=pki.root
    )
    server = serve(impostor)
    context = client_context(pki.root, identity=pki.client)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    pin_context(context, PinSet(ca=[pki.ca.pin]))
    with pytest.raises(PinningError):
        _run(_echo(context, server, how))
    assert not server.record(0).client_certificate


def test_pitfall_14_a_socket_shows_the_client_certificate(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A limit that README.md names: OpenSSL writes to a socket by itself.

    The check can come when its handshake is over, and not before. Application
    data stays here all the same.
    """
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    context = client_context(pki.root, pki.rogue_root, identity=pki.client)
    with pytest.raises(PinningError):
        connect(pin_context(context, pinning(pki)), server)
    assert server.record().client_certificate
    assert_nothing_said(server.record())


def test_asyncio_never_starts_a_protocol_with_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """connection_made() comes after the check, and data_received() never."""
    calls: list[str] = []

    class Watching(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            cast("asyncio.Transport", transport).write(SECRET)
            calls.append("connection_made")

        def data_received(self, data: bytes) -> None:
            calls.append(f"data_received({data!r})")

    async def attack() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_connection(
            Watching,
            *server.address,
            ssl=trusting(pki, pinning(pki)),
            server_hostname="localhost",
        )

    server = serve(server_context(pki.impostor, version=version), greeting=GREETING)
    with pytest.raises(PinningError):
        _run(attack())
    assert calls == []
    assert_nothing_said(server.record())


def test_asyncio_moves_a_megabyte_over_a_pinned_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The data path after the check is the stdlib's."""
    data = bytes(range(256)) * 4096

    async def exchange() -> bytes:
        reader, writer = await _open(context, server, "open_connection")
        writer.write(data)
        back = await reader.readexactly(len(data))
        writer.close()
        await writer.wait_closed()
        return back

    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    assert _run(exchange()) == data


def test_an_asyncio_server_accepts_the_pinned_client_alone(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """No callback runs for a client whose key is not pinned, or who has none."""
    context = server_context(
        pki.server,
        version=version,
        client_authority=pki.root,
        client_mode=ssl.CERT_OPTIONAL,
    )
    pin_context(context, PinSet(leaf=[pki.client.pin]))
    served: list[bytes] = []

    async def on_client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        data = await reader.read(100)
        served.append(data)
        writer.write(data)
        await writer.drain()
        writer.close()

    async def talk(identity: Identity | None, port: int) -> bytes:
        reader, writer = None, None
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1",
                port,
                ssl=client_of(pki, identity),
                server_hostname="localhost",
            )
            writer.write(SECRET)
            await writer.drain()
            return await reader.read(100)
        except OSError:
            return b""
        finally:
            if writer is not None:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def all_three() -> list[bytes]:
        server = await asyncio.start_server(on_client, "127.0.0.1", 0, ssl=context)
        async with server:
            port = server.sockets[0].getsockname()[1]
            return [
                await talk(identity, port)
                for identity in (pki.stranger, None, pki.client)
            ]

    assert _run(all_three()) == [b"", b"", SECRET]
    assert served == [SECRET]
