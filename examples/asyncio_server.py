"""An echo server on asyncio that pins its clients, and logs those that it refuses.

    python asyncio_server.py server.pem authorities.pem pins.toml

server.pem has the server's certificates and key, authorities.pem the authorities of the
clients, and pins.toml the pins of the clients, in a table [clients].

asyncio drops the error of a handshake that fails: a refused client reaches no handler,
and without pinverify's events it leaves no trace. There are two kinds, and this program
shows both. The logger "pinverify" has a line for people, at most one in a minute for
the same client and reason. The callback is called for every refused client; here it
writes a line of JSON to the logger "audit". In report mode both tell of the clients
that would be refused.

A connection of asyncio does not know its peer's address at this moment, so a client is
named by its key. Look the key up among the certificates that you have issued.
"""
# ruff: noqa: INP001 - a script, in no package

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import ssl

import pinverify

__all__ = ["main"]

log = logging.getLogger("server")
audit = logging.getLogger("audit")


def record(report: pinverify.Report) -> None:
    """Write down a client that is refused, or would be; called in the handshake."""
    event = {
        "accepted": report.accepted,
        "reason": report.reason.name,
        "key": str(report.chain[0]) if report.chain else None,
        "resumed": report.resumed,
        "policy": report.digest.hex(),
    }
    audit.warning("%s", json.dumps(event))


def pinned_context(certificate: str, authorities: str, pins: str) -> ssl.SSLContext:
    """Return a context that demands a pinned certificate of each client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.load_verify_locations(authorities)
    context.verify_mode = ssl.CERT_REQUIRED
    policy = pinverify.load_policy(pins)
    return pinverify.pin_context(context, policy, on_report=record)


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line of a client with the same line."""
    with contextlib.suppress(OSError):  # the client left
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
        writer.close()
        await writer.wait_closed()


async def serve(context: ssl.SSLContext, host: str, port: int) -> None:
    """Serve until the program is interrupted."""
    server = await asyncio.start_server(echo, host, port, ssl=context)
    for listener in server.sockets:
        log.info("listening on %s:%d", *listener.getsockname()[:2])
    try:
        await asyncio.Event().wait()
    finally:
        server.close()  # serve_forever() would wait for clients that stay


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name in ("certificate", "authorities", "pins"):
        parser.add_argument(name, help="a file")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8443)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(name)s %(levelname)s %(message)s")
    context = pinned_context(given.certificate, given.authorities, given.pins)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(context, given.host, given.port))


if __name__ == "__main__":
    main()
