"""The programs in `examples`, run as users run them.

The example for mitmproxy has a test file of its own, because it needs mitmproxy; so do
the gateways, because their tests are long.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import pinverify
from pinverify import PinSet, Rules
from pinverify.formats import toml
from pinverify.policy import Mode
from pki import Identity, Pki
from places import ROOT
from tls_clients import client_of
from tls_servers import LIMIT

__all__: list[str] = []

FOLDER = ROOT / "examples"
SOURCE = Path(pinverify.__file__).resolve().parent.parent


def test_each_example_is_run_by_a_test() -> None:
    """A program that nobody runs stops working, and nobody notices."""
    tests = Path(__file__).resolve().parent
    names = ("test_examples.py", "test_mitmproxy.py", "test_example_gateway.py")
    texts = "".join((tests / name).read_text(encoding="utf-8") for name in names)
    programs = [example for example in FOLDER.rglob("*.py") if is_program(example)]
    assert programs
    for example in programs:
        assert f'"{example.name}"' in texts, example


def is_program(example: Path) -> bool:
    """Return True for a file that no other one beside it imports."""
    imported = rf"(?m)^(?:from|import) {example.stem}\b"
    return not any(
        re.search(imported, other.read_text(encoding="utf-8"))
        for other in example.parent.glob("*.py")
    )


@contextlib.contextmanager
def asyncio_server(
    pki: Pki, folder: Path, clients: PinSet
) -> Iterator[tuple[int, list[str]]]:
    """Run the program; yield its port, and the lines of its log once it has ended."""
    pins = folder / "pins.toml"
    pins.write_text(toml.dumps(Rules(clients=clients)), encoding="utf-8")
    files = pki.server.write(folder / "server.pem"), pki.trust_file(folder), pins
    lines: list[str] = []
    with subprocess.Popen(
        [
            *(sys.executable, "-u", str(FOLDER / "asyncio_server.py")),
            *(*map(str, files), "--port", "0"),
        ],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            first = process.stderr.readline()
            listens = re.search(r"listening on 127\.0\.0\.1:(\d+)$", first)
            assert listens is not None, first
            yield int(listens[1]), lines
        finally:
            process.send_signal(signal.SIGINT)
            try:
                _, rest = process.communicate(timeout=LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, rest
        lines += rest.splitlines()


def echoed(pki: Pki, port: int, client: Identity, version: ssl.TLSVersion) -> bytes:
    """Send a line as *client*; return what comes back."""
    context = client_of(pki, client)
    context.maximum_version = version
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(OSError),  # how a refusal looks depends on the moment
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(b"hello\n")
        return tls.recv(100)
    return b""


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_pitfall_45_the_asyncio_server_logs_each_refused_client(
    pki: Pki, tmp_path: Path, version: ssl.TLSVersion, mode: Mode
) -> None:
    """The audit has each one, the log of pinverify one in a minute."""
    pins = PinSet(leaf=[pki.client.pin, pki.root.pin], mode=mode)
    clients = [pki.client, pki.stranger, pki.stranger]
    with (
        contextlib.ExitStack() as staying,
        asyncio_server(pki, tmp_path, pins) as (port, lines),
    ):
        plain = socket.create_connection(("127.0.0.1", port), LIMIT)
        tls = client_of(pki, pki.client).wrap_socket(plain, server_hostname="localhost")
        staying.enter_context(tls)  # it holds up neither the others nor the end
        answers = [echoed(pki, port, one, version) for one in clients]
    assert answers == [b"hello\n", *[b"hello\n" if mode == "report" else b""] * 2]
    audit = [line for line in lines if line.startswith("audit WARNING ")]
    events = [json.loads(line.removeprefix("audit WARNING ")) for line in audit]
    told = [(event["key"], event["reason"], event["accepted"]) for event in events]
    assert told == [(pki.stranger.pin, "MISMATCH", mode == "report")] * 2
    ours = [line for line in lines if line.startswith("pinverify WARNING ")]
    assert len(ours) == 1
    assert f"key={pki.stranger.pin}" in ours[0]
