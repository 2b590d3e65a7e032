"""The mitmproxy addon of examples/, in a real mitmdump between two loopback ends.

`pki.server` is the server that the proxy means, and `pki.impostor` has a
certificate for the same names from another authority that the proxy trusts.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import queue
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from OpenSSL import SSL

from pinverify import Policy
from pki import Pki
from places import ROOT
from tls_servers import LIMIT, TLSServer, server_context

exceptions: Any = pytest.importorskip("mitmproxy.exceptions")

ADDON = ROOT / "examples" / "mitmproxy_pins.py"
MITMDUMP = Path(sys.executable).with_name("mitmdump")
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
STARTING = 3 * LIMIT  # seconds; it imports a lot

Serve = Callable[..., TLSServer]


class Mitmdump:
    """A running mitmdump, with what it prints."""

    def __init__(self, directory: Path, roots: Path, *settings: str) -> None:
        """Start it on a free port of the loopback interface."""
        self.log: list[str] = []
        self._directory = directory
        self._lines: queue.Queue[str | None] = queue.Queue()
        options = (
            f"confdir={directory}",
            f"ssl_verify_upstream_trusted_ca={roots}",
            *settings,
        )
        self._process = subprocess.Popen(
            [
                *(str(MITMDUMP), "--listen-host", "127.0.0.1", "--listen-port", "0"),
                *("--no-rawtcp", "-s", str(ADDON)),
                *(word for option in options for word in ("--set", option)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            cwd=directory,  # without a pins.toml
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(None)

    def wait_for(self, pattern: str) -> re.Match[str] | None:
        """Read its log up to a line with *pattern*. None if it ends before."""
        end = time.monotonic() + STARTING
        while True:
            line = self._lines.get(timeout=max(0.0, end - time.monotonic()))
            if line is None:
                return None
            self.log.append(line)
            if found := re.search(pattern, line):
                return found

    def wait_until_it_listens(self) -> int:
        """Return its port."""
        found = self.wait_for(r"listening at 127\.0\.0\.1:(\d+)")
        assert found is not None, self.log
        return int(found[1])

    def wait_until_it_ends(self) -> int:
        """Return its exit code."""
        assert self.wait_for(r"(?!)") is None
        return self._process.wait(LIMIT)

    def close(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(LIMIT)
        self._reader.join(LIMIT)
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def authority(self) -> Path:
        """The certificate that its clients trust."""
        return self._directory / "mitmproxy-ca-cert.pem"


@pytest.fixture(scope="module")
def start(
    pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Mitmdump]]:
    """Start mitmdump with a policy, and end it when the tests are over."""
    running: list[Mitmdump] = []

    def start(policy: str | None) -> Mitmdump:
        directory = tmp_path_factory.mktemp("mitmproxy")
        settings = []
        if policy is not None:
            pins = directory / "pins.toml"
            pins.write_text(policy, encoding="utf-8")
            settings.append(f"pins={pins}")
        running.append(Mitmdump(directory, pki.trust_file(directory), *settings))
        return running[-1]

    yield start
    for process in running:
        process.close()


@pytest.fixture(scope="module")
def proxy(pki: Pki, start: Callable[..., Mitmdump]) -> tuple[Mitmdump, int]:
    """Run one mitmdump with a pin for localhost, for most tests."""
    process = start(
        'version = 1\nunpinned = "reject"\n'
        f'[hosts]\n"localhost" = ["{pki.server.pin}"]\n'
    )
    return process, process.wait_until_it_listens()


def get(
    process: Mitmdump, port: int, server: TLSServer, name: str = "localhost"
) -> tuple[int, bytes]:
    """GET a page of *server* through the proxy; return status and body."""
    context = ssl.create_default_context(cafile=process.authority)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as plain:
        plain.sendall(f"CONNECT 127.0.0.1:{server.port} HTTP/1.1\r\n\r\n".encode())
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            part = plain.recv(1)
            assert part, answer
            answer += part
        assert answer.startswith(b"HTTP/1.1 200"), answer
        with context.wrap_socket(plain, server_hostname=name) as tls:
            tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            response = http.client.HTTPResponse(tls)
            response.begin()
            return response.status, response.read()


def test_the_pinned_server_is_asked(
    proxy: tuple[Mitmdump, int], pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A request passes mitmproxy as without pins."""
    server = serve(
        server_context(pki.server, version=version), greeting=RESPONSE, echo=False
    )
    assert get(*proxy, server) == (200, b"hello")


def test_an_impostor_is_not_asked(
    proxy: tuple[Mitmdump, int], pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The proxy trusts its certificate. The pin does not, and the log says why."""
    process, port = proxy
    server = serve(server_context(pki.impostor, version=version), greeting=RESPONSE)
    status, _ = get(process, port, server)
    assert status == 502
    record = server.record()
    assert record.application == b""
    assert not record.handshake
    for words in (
        "no pin of 'localhost' is in the chain",
        f"chain: .*{re.escape(pki.impostor.pin)}",
        f"pinned: .*{re.escape(pki.server.pin)}",
    ):
        assert process.wait_for(words) is not None


def test_a_name_without_a_rule_follows_the_policy(
    proxy: tuple[Mitmdump, int], pki: Pki, serve: Serve
) -> None:
    """The name is the one that mitmproxy verifies, not that of the CONNECT."""
    process, port = proxy
    server = serve(server_context(pki.server), greeting=RESPONSE)
    status, _ = get(process, port, server, "other.localhost")
    assert status == 502
    assert server.record().application == b""
    assert process.wait_for("the policy has no pins for 'other.localhost'") is not None


@pytest.mark.parametrize("policy", [None, "version = 1\n[hosts]\n'a..b' = []\n"])
def test_without_a_policy_mitmdump_does_not_start(
    start: Callable[..., Mitmdump], policy: str | None
) -> None:
    """A proxy that was meant to pin must not run without pins."""
    process = start(policy)
    assert process.wait_until_it_ends() != 0
    assert "pins: " in "".join(process.log)


class _Unknown(SSL.Connection):
    """A layer that pins are not made for."""


def test_a_connection_that_can_not_be_pinned_is_not_made(pki: Pki) -> None:
    """It logs what an addon raises, and goes on; AddonHalt is obeyed.

    Without it the next addon makes a connection, and that one has no pins.
    """
    spec = importlib.util.spec_from_file_location("mitmproxy_pins", ADDON)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (addon,) = module.addons
    addon.policy = Policy({"localhost": [pki.server.pin]})
    data = SimpleNamespace(
        ssl_conn=_Unknown(SSL.Context(SSL.TLS_CLIENT_METHOD)),
        conn=SimpleNamespace(sni="localhost"),
    )
    with pytest.raises(exceptions.AddonHalt):
        addon.tls_start_server(data)
    assert data.ssl_conn is None
    quic = SimpleNamespace(settings="what another addon has made")
    with pytest.raises(exceptions.AddonHalt):
        addon.quic_start_server(quic)
    assert quic.settings is None
