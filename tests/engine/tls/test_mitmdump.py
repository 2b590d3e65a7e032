"""A real man in the middle: mitmdump, whose authority the client trusts.

This is what pins are for. The certificate is valid for the host, so without pins
every request passes through mitmdump, which reads it. With pins no request does: none
is in mitmdump's log or at the server behind it.

mitmdump is looked for beside the interpreter, then on the PATH; it may be in
another environment. It chooses its own port, keeps its authority in a temporary
folder, and is ended by its own handle.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import pinverify
from client_servers import HELLO, Server, http
from optional import client_library
from pinverify import PinningError, Policy, find_pinning_error
from pki import Pki
from tls_servers import LIMIT, server_context


@dataclass
class Middle:
    """A mitmdump that passes everything on to one server."""

    log: Path
    authority: Path
    """The certificate of its authority, PEM."""
    server: Server
    port: int = 0

    def text(self) -> str:
        """Return its log so far."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, what: Callable[[str], object]) -> str:
        """Wait until *what* is true of the log, and return it."""
        for _ in range(int(LIMIT / 0.05)):
            text = self.text()
            if what(text):
                return text
            time.sleep(0.05)
        pytest.fail(f"mitmdump has not done what it should:\n{self.text()}")

    def saw(self, path: str) -> bool:
        """Say whether it read a request for *path*, once nobody is connected."""
        log = self.wait_for(
            lambda text: (
                text.count("client connect\n") == text.count("client disconnect\n")
            )
        )
        return f"{path}\n" in log


@pytest.fixture(scope="module")
def middle(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Middle]:
    """Start mitmdump in front of a server; end both."""
    beside = str(Path(sys.executable).parent)
    path = os.pathsep.join([beside, os.environ.get("PATH", os.defpath)])
    program = shutil.which("mitmdump", path=path)
    if program is None:
        pytest.skip("mitmdump is not installed")
    folder = tmp_path_factory.mktemp("mitmdump")
    settings = {
        "confdir": folder,
        "ssl_verify_upstream_trusted_ca": pki.trust_file(folder),
        "flow_detail": 1,
        "termlog_verbosity": "info",
    }
    with Server(http, server_context(pki.server)) as server:
        authority = folder / "mitmproxy-ca-cert.pem"
        found = Middle(folder / "log", authority, server)
        with found.log.open("w", encoding="utf-8") as log:
            process = subprocess.Popen(
                [
                    program,
                    *("--mode", f"reverse:https://localhost:{server.port}/"),
                    *("--listen-host", "127.0.0.1", "--listen-port", "0"),
                    *(f"--set={name}={value}" for name, value in settings.items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1"},
            )
        try:
            listening = re.compile(r"listening at \S*?:(\d+)")
            text = found.wait_for(
                lambda text: listening.search(text) or process.poll() is not None
            )
            port = listening.search(text)
            assert port is not None, text
            found.port = int(port[1])
            yield found
        finally:
            process.terminate()
            try:
                process.wait(LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(LIMIT)


# ---- four clients ------------------------------------------------------------

Get = Callable[[Middle, str, Policy | None], bytes]
"""Get a path through mitmdump, with pins or without."""


def context_of(middle: Middle, policy: Policy | None) -> ssl.SSLContext:
    """Return a context that trusts mitmdump's authority and no other."""
    context = ssl.create_default_context(cafile=str(middle.authority))
    return context if policy is None else pinverify.pin_context(context, policy)


def _url(middle: Middle, path: str) -> str:
    return f"https://localhost:{middle.port}{path}"


def with_urllib3(middle: Middle, path: str, policy: Policy | None) -> bytes:
    """Ask with urllib3."""
    urllib3: Any = importlib.import_module("urllib3")
    with urllib3.PoolManager(ssl_context=context_of(middle, policy)) as pool:
        answer: bytes = pool.request("GET", _url(middle, path), retries=False).data
    return answer


def with_httpx(middle: Middle, path: str, policy: Policy | None) -> bytes:
    """Ask with httpx."""
    httpx: Any = importlib.import_module("httpx")
    context = context_of(middle, policy)
    with httpx.Client(verify=context, trust_env=False) as client:
        answer: bytes = client.get(_url(middle, path)).content
    return answer


def with_aiohttp(middle: Middle, path: str, policy: Policy | None) -> bytes:
    """Ask with aiohttp."""
    aiohttp: Any = importlib.import_module("aiohttp")

    async def ask() -> bytes:
        connector = aiohttp.TCPConnector(ssl=context_of(middle, policy))
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(_url(middle, path)) as response,
        ):
            answer: bytes = await response.read()
            return answer

    return asyncio.run(ask())


def with_pyopenssl(middle: Middle, path: str, policy: Policy | None) -> bytes:
    """Ask with pyOpenSSL, over a socket."""
    openssl: Any = importlib.import_module("OpenSSL.SSL")
    context = openssl.Context(openssl.TLS_CLIENT_METHOD)
    context.load_verify_locations(str(middle.authority))
    context.set_verify(openssl.VERIFY_PEER)
    with contextlib.ExitStack() as stack:
        plain = socket.create_connection(("127.0.0.1", middle.port), LIMIT)
        stack.callback(plain.close)
        # A timeout of Python's would make the socket one that does not block.
        plain.settimeout(None)
        limit = struct.pack("ll", int(LIMIT), 0)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        connection = openssl.Connection(context, plain)
        connection.set_tlsext_host_name(b"localhost")
        connection.set_connect_state()
        if policy is not None:
            pyopenssl: Any = importlib.import_module("pinverify.tls.pyopenssl")
            pyopenssl.pin_connection(connection, policy)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = b""
        while HELLO not in answer:
            answer += connection.recv(65536)
        connection.shutdown()
    return HELLO


CLIENTS: dict[str, Get] = {
    "urllib3": with_urllib3,
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
    "OpenSSL": with_pyopenssl,
}


@pytest.mark.parametrize("library", CLIENTS)
def test_pitfall_30_a_man_in_the_middle_reads_nothing_past_a_pin(
    library: str, middle: Middle, pki: Pki
) -> None:
    """The certificate is valid; only the key is not the server's.

    Without pins a trusted authority, of a company or of a thief, reads it all.
    """
    client_library(library)
    get = CLIENTS[library]

    believed = f"/{library}/without-pins"
    assert get(middle, believed, None) == HELLO
    assert middle.saw(believed)
    assert believed.encode() in _said(middle)

    policy = Policy({"localhost": [pki.server.pin]}, unpinned="reject")
    refused = f"/{library}/with-pins"
    before = middle.text().count("client connect\n")
    error = refusal(get, middle, refused, policy)
    assert "CN=mitmproxy" in str(error)
    assert pki.server.pin in str(error)
    # It was there, and heard no request.
    middle.wait_for(lambda text: text.count("client connect\n") > before)
    assert not middle.saw(refused)
    assert refused.encode() not in _said(middle)


def refusal(get: Get, middle: Middle, path: str, policy: Policy) -> PinningError:
    """Return the error of a request that must fail."""
    try:
        answer = get(middle, path, policy)
    except Exception as error:
        found = find_pinning_error(error)
        if found is None:
            raise
        return found
    pytest.fail(f"the request was answered: {answer!r}")


def _said(middle: Middle) -> bytes:
    """Return all that the server behind mitmdump has read."""
    return b"".join(bytes(r.application) for r in middle.server.records)
