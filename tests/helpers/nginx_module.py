"""The module of `examples/nginx`: its build, an nginx with it, and requests."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pytest

from pinverify import PinSet, Policy, Rules
from pki import Pki
from places import ROOT
from started import listens, started
from tls_servers import LIMIT

__all__ = [
    "FOLDER",
    "Answer",
    "Nginx",
    "asked",
    "built",
    "checked",
    "until",
    "write_clients",
]

FOLDER = ROOT / "examples" / "nginx"
BUILD_LIMIT = 240  # seconds; configure compiles about a hundred small programs


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="pinverify-")


@functools.cache
def built() -> Path:
    """Return the module, built once in a process by the commands of its README."""
    started("nginx")
    if not Path("/usr/share/nginx/src/conf_flags").exists():
        pytest.skip("nginx-dev is not there")
    # Its configure script cannot take a blank in a path: it gets a link without any.
    checkout = Path(_folder().name) / "checkout"
    checkout.symlink_to(FOLDER.parent.parent)
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"(?m)^\$ (.*)$", readme)
    assert len(commands) == 3
    done = subprocess.run(
        ["bash", "-ec", "\n".join(commands).replace(" modules", " -j2 modules")],
        cwd=_folder().name,
        env={**os.environ, "PINVERIFY": str(checkout), "CC": "gcc"},
        capture_output=True,
        text=True,
        timeout=BUILD_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    (module,) = Path(_folder().name).glob("nginx-src/objs/*.so")
    return module


_HEAD = """
load_module {module};
daemon off;
worker_processes 2;
pid {folder}/pid;
error_log {folder}/error.log info;
{user}
events {{}}
http {{
    log_format words '$request_uri $status $pinverify_reason $pinverify_accepted '
                    '$pinverify_spki $pinverify_matched $ssl_session_reused';
    access_log {folder}/access.log words;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    root {folder}/www;
    ssl_certificate {folder}/server.pem;
    ssl_certificate_key {folder}/server.pem;
    ssl_client_certificate {folder}/clients.pem;
    ssl_verify_depth 3;
{text}
}}
"""


def _write_files(folder: Path, pki: Pki) -> None:
    (folder / "www").mkdir(exist_ok=True)
    (folder / "www" / "index.html").write_text("reached", encoding="ascii")
    pki.server.write(folder / "server.pem")
    pki.trust_file(folder)
    (folder / "clients.pem").write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    write_clients(folder, PinSet(leaf=[pki.client.pin]))
    upstreams = Rules({"localhost": PinSet(leaf=[pki.server.pin])})
    (folder / "upstreams.pvpol").write_bytes(Policy(upstreams).compile())


def write_clients(folder: Path, pins: PinSet, name: str = "clients.pvpol") -> None:
    """Write a policy for clients: a new file, renamed over the old one."""
    new = folder / "new"
    new.write_bytes(Policy.for_clients(pins).compile())
    new.rename(folder / name)


def _configured(text: str, folder: Path, *, module: bool = True) -> list[str]:
    user = "user root;" if os.geteuid() == 0 else ""
    head = _HEAD.format(folder=folder, module=built(), user=user, text=text)
    if not module:
        head = head.replace("load_module", "# load_module")
        head = re.sub(r"\$pinverify_\w+", "-", head)
    file = folder / "nginx.conf"
    file.write_text(head, encoding="utf-8")
    return [started("nginx"), "-p", str(folder), "-c", str(file)]


def checked(text: str, folder: Path, pki: Pki) -> tuple[int, str]:
    """Return the exit code of ``nginx -t``, and what it says."""
    _write_files(folder, pki)
    done = subprocess.run(
        [*_configured(text, folder), "-t"],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    return done.returncode, done.stderr


def until(holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, for a bounded time."""
    end = time.monotonic() + LIMIT
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.02)


class Nginx:
    """An nginx that runs in the foreground, with two workers, in a folder."""

    def __init__(self, text: str, folder: Path, pki: Pki, *ports: int) -> None:
        """Write its files; *text* stands in its http block."""
        _write_files(folder, pki)
        self.folder, self._ports = folder, ports
        self._command = _configured(text, folder)

    def __enter__(self) -> Self:
        """Start it, and wait until it listens."""
        self.process = subprocess.Popen(self._command, start_new_session=True)
        with contextlib.ExitStack() as stack:
            stack.callback(self._end)
            until(
                lambda: (
                    self.process.poll() is not None or all(map(listens, self._ports))
                ),
                "nginx does not listen",
            )
            assert self.process.poll() is None, "nginx has ended"
            stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        """End it, and expect that it ends cleanly and no worker died of a signal."""
        self._end()
        assert self.process.returncode == 0
        assert "exited on signal" not in self.errors()

    def _end(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(LIMIT)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def errors(self) -> str:
        """Return its error log."""
        return (self.folder / "error.log").read_text(encoding="utf-8")

    def notices(self) -> list[str]:
        """Return the lines of the module in its error log."""
        return re.findall(r"pinverify: the policy .*", self.errors())

    def accesses(self) -> list[list[str]]:
        """Return the lines of its access log, as words."""
        text = (self.folder / "access.log").read_text(encoding="utf-8")
        return [line.split() for line in text.splitlines()]

    def configure(self, text: str, *, module: bool = True) -> None:
        """Write another configuration; it is read at the next reload."""
        _configured(text, self.folder, module=module)

    def reload(self) -> None:
        """Let it read its configuration again, as ``nginx -s reload`` does."""
        self.process.send_signal(signal.SIGHUP)


class Answer(NamedTuple):
    """The answers of one connection; none if it came to nothing."""

    statuses: list[int]
    body: bytes
    is_resumed: bool
    session: ssl.SSLSession | None


def asked(
    port: int,
    context: ssl.SSLContext | None,
    *paths: str,
    name: str | None = "localhost",
    host: str | None = None,
    session: ssl.SSLSession | None = None,
) -> Answer:
    """Send requests through one connection, each after the answer to the last.

    Args:
        port: of 127.0.0.1.
        context: speaks TLS; None sends the requests in clear.
        paths: one for each request; "/" without any.
        name: sent as SNI, unless it is None.
        host: the header Host, if it is not *name*.
        session: to be resumed.
    """
    statuses, body, resumed, kept = [], b"", False, None
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(ConnectionError, ssl.SSLError),
    ):
        sock = plain
        if context is not None:
            context.check_hostname = False
            sock = context.wrap_socket(plain, server_hostname=name, session=session)
        for status, content in _exchanged(sock, paths or ("/",), host or name or "x"):
            statuses.append(status)
            body = content
            if isinstance(sock, ssl.SSLSocket):
                resumed, kept = bool(sock.session_reused), sock.session
        sock.close()
    return Answer(statuses, body, resumed, kept)


def _exchanged(
    sock: socket.socket, paths: Sequence[str], host: str
) -> list[tuple[int, bytes]]:
    answers = []
    with sock.makefile("rb") as file:
        for path in paths:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"
            sock.sendall(head.encode("ascii"))
            first = file.readline()
            if not first:
                break
            length = 0
            while (line := file.readline()) not in {b"\r\n", b""}:
                key, _, value = line.partition(b":")
                length = int(value) if key.lower() == b"content-length" else length
            answers.append((int(first.split()[1]), file.read(length)))
    return answers
