"""The gateway of `examples/gateway-c` as a process: its build, start, use and end."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Self

import pytest

from gateway_process import GatewayProcess
from pinverify import PinSet, Policy
from pki import Identity, Pki
from places import ROOT
from tls_clients import SECRET
from tls_servers import LIMIT, client_context

__all__ = ["FOLDER", "GatewayInC", "gateway_program"]

FOLDER = ROOT / "examples" / "gateway-c"

# `make sanitize` gives others.
FLAGS = os.environ.get("GATEWAY_CFLAGS", "-O1")
WARNINGS = "-Wall -Wextra -Wpedantic -Wconversion -Wshadow -Werror"


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pinverify-")


@functools.cache
def gateway_program() -> Path:
    """Build the gateway as its page says, once in a process; a warning is an error."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the gateway in C needs epoll, which Linux has")
    compiler = os.environ.get("CC", "") or "cc"
    if shutil.which(shlex.split(compiler)[0]) is None:
        pytest.skip("there is no C compiler")
    header = "#include <openssl/ssl.h>\n"
    probe = [*shlex.split(compiler), "-fsyntax-only", "-x", "c", "-"]
    if subprocess.run(probe, input=header, text=True, check=False).returncode != 0:
        pytest.skip("there are no headers of OpenSSL (Debian: libssl-dev)")
    program = Path(_folder().name) / "gateway"
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"(?m)^\$ cc (.* -o )gateway$", page)
    assert " -O3 " in command
    command = command.replace("-O3", f"{FLAGS} {WARNINGS}")
    done = subprocess.run(
        ["sh", "-c", f"{compiler} {command} {program}"],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return program


class GatewayInC(GatewayProcess):
    """A gateway that runs: its port, its policy files and the events of its log."""

    def __init__(self, pki: Pki, folder: Path, *options: str) -> None:
        """Start it with the client and the server of the cast pinned."""
        self.pki, self.folder = pki, folder
        self.clients, self.upstream = folder / "clients.pvpol", folder / "up.pvpol"
        if not self.clients.exists():
            self.pin_clients(pki.client)
        if not self.upstream.exists():
            self.pin_upstream("localhost", pki.server)
        trusted = str(pki.trust_file(folder))
        certificate = str(pki.server.write(folder / "gateway.pem"))
        command = [
            *(str(gateway_program()), "--certificate", certificate),
            *("--client-authorities", trusted, "--upstream-authorities", trusted),
            *("--client-policy", str(self.clients)),
            *("--upstream-policy", str(self.upstream)),
            *("--listen", "127.0.0.1:0", *options),
        ]
        super().__init__(command, os.environ)

    def __enter__(self) -> Self:
        """Wait until it listens."""
        address = self.until("listening")["address"]
        self.port = int(str(address).rpartition(":")[2])
        return self

    # ---- its policies ------------------------------------------------------------

    def pin_clients(self, *clients: Identity, **options: Any) -> None:  # noqa: ANN401
        """Write the policy for clients."""
        pins = PinSet(leaf=[*(c.pin for c in clients), self.pki.root.pin], **options)
        self.write(self.clients, Policy.for_clients(pins).compile())

    def pin_upstream(self, host: str, server: Identity) -> None:
        """Write the policy for the upstream."""
        pins = PinSet(leaf=[server.pin, self.pki.root.pin])
        self.write(self.upstream, Policy({host: pins}).compile())

    def write(self, file: Path, data: bytes) -> None:
        """Put a new file in the place of an old one, as a person should."""
        new = file.with_suffix(".new")
        new.write_bytes(data)
        new.rename(file)

    # ---- its counters ------------------------------------------------------------

    def counters(self) -> dict[str, Any]:
        """Return its counters."""
        self.process.send_signal(signal.SIGUSR1)
        return self.until("counters")

    def end(self) -> dict[str, Any]:
        """Let it stop, expect that it does so cleanly; return its last counters."""
        super().end()
        return self.told("counters")[-1]

    # ---- its clients -------------------------------------------------------------

    def plain(self) -> socket.socket:
        """Connect without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), LIMIT)

    def connect(
        self,
        client: Identity | None,
        version: ssl.TLSVersion | None = None,
        plain: socket.socket | None = None,
    ) -> ssl.SSLSocket:
        """Connect as *client*; in TLS 1.3 a refusal shows at the first read."""
        context = client_context(self.pki.root, identity=client, version=version)
        return context.wrap_socket(
            plain or self.plain(),
            server_hostname="localhost",
            suppress_ragged_eofs=False,
        )

    def served(
        self, client: Identity | None, version: ssl.TLSVersion | None = None
    ) -> bool:
        """Return True if *client* gets an answer, False if it is cut off."""
        answered = False
        # How a refusal looks depends on the moment.
        with contextlib.suppress(OSError), self.connect(client, version) as tls:
            tls.sendall(SECRET)
            answered = tls.recv(len(SECRET)) == SECRET
            tls.unwrap()
        return answered
