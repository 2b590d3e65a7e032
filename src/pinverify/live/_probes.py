"""Answers to probes and scrapes: ``/healthz`` and ``/metrics``, over asyncio.

They belong on an address of their own, so that no probe counts as a rejected client.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, generate_latest

from pinverify.live._prometheus import collector

if TYPE_CHECKING:
    import socket

__all__ = ["serve_probes"]

_HEAD_MAX = 8192  # bytes
_SECONDS = 5.0
_TEXT = "text/plain; charset=utf-8"


async def serve_probes(listener: socket.socket) -> asyncio.Server:
    """Answer requests for ``/healthz`` and ``/metrics`` until the server is closed.

    The metrics are all of `prometheus_client.REGISTRY`, including the application's.

    Args:
        listener: a listening socket, which the server closes.
    """
    global _is_registered  # noqa: PLW0603 - of the process, as the registry is
    if not _is_registered:
        REGISTRY.register(collector())
        _is_registered = True
    return await asyncio.start_server(_answer, sock=listener, limit=_HEAD_MAX)


_is_registered = False


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer one request, and close."""
    failures = OSError, ValueError, asyncio.IncompleteReadError
    with contextlib.suppress(*failures, asyncio.LimitOverrunError):
        async with asyncio.timeout(_SECONDS):  # its error is an OSError
            head = await reader.readuntil(b"\r\n\r\n")
            status, kind, body = await _response(*head.split(b" ", 2)[:2])
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode("ascii")
                + body
            )
            await writer.drain()
    writer.close()


async def _response(method: bytes, target: bytes) -> tuple[str, str, bytes]:
    if method != b"GET":
        return "405 Method Not Allowed", _TEXT, b"only GET\n"
    path = target.partition(b"?")[0]
    if path == b"/healthz":
        return "200 OK", _TEXT, b"ok\n"
    if path == b"/metrics":
        # In a thread: with many rules it takes longer than others should wait.
        body = await asyncio.to_thread(generate_latest, REGISTRY)
        return "200 OK", CONTENT_TYPE_LATEST, body
    return "404 Not Found", _TEXT, b"/healthz and /metrics are here\n"
