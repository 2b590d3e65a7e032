"""The gateway of `examples/gateway-c` as a process: its build, start, use and end."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shlex
import signal
import socket
import ssl
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pytest

from c_objects import FLAGS as COMMON
from c_objects import compiler, core_objects
from compiled import compiled_object, ended
from core_sources import CSRC, MAP, adapter_sources
from gateway_process import GatewayProcess
from openssl_programs import objects
from pinverify import PinSet, Policy
from pki import Identity, Pki
from places import ROOT
from tls_clients import SECRET
from tls_servers import LIMIT, client_context

__all__ = [
    "FOLDER",
    "WARNINGS",
    "GatewayInC",
    "command_of_the_page",
    "gateway_program",
]

FOLDER = ROOT / "examples" / "gateway-c"

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror")


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pinverify-")


def command_of_the_page() -> list[str]:
    """Return the words behind `cc` of the command that builds it, up to its -o."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"(?m)^\$ cc (.*) -o gateway$", page)
    words: list[str] = line.split()
    assert "-O3" in words
    return words


@functools.cache
def gateway_program() -> Path:
    """Build the gateway, once in a process; a warning is an error.

    It is made of the files that its page says, and with the flags there. Files of csrc
    are compiled with the flags of other tests, so that their objects can be shared.
    """
    if not sys.platform.startswith("linux"):
        pytest.skip("the gateway in C needs epoll, which Linux has")
    words = command_of_the_page()
    libraries = [word for word in words if word.startswith(("-l", "-pthread"))]
    patterns = [word for word in words if not word.startswith("-")]
    flags = [word for word in words if word.startswith(("-std", "-D"))]
    assert {*words} == {*libraries, *patterns, *flags, "-O3", "-I../../csrc"}
    sources = {path.resolve() for text in patterns for path in FOLDER.glob(text)}
    own = {path for path in sources if path.parent == FOLDER}
    # `make sanitize` gives other flags, which are for each file.
    given = shlex.split(os.environ.get("GATEWAY_CFLAGS", ""))
    of_csrc = (*compiler(), *COMMON, *given)
    beside = {*adapter_sources(), MAP}
    core = core_objects(of_csrc)
    assert sources > beside
    assert sources - own - beside <= core.keys()
    made = [core[path] for path in core if path in sources]
    if not given:
        made += objects().adapter.values()
        beside = {MAP}
    command = [*compiler(), *flags, *(given or ["-O1"]), *WARNINGS, f"-I{CSRC}"]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made += pool.map(
            compiled_object,
            [*([*of_csrc, f"-I{CSRC}"] for _ in beside), *(command for _ in own)],
            [*sorted(beside), *sorted(own)],
        )
    program = Path(_folder().name) / "gateway"
    link: list[str | Path] = [*compiler(), *given, "-o", program, *made, *libraries]
    assert ended(link) == (0, "", "")
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
