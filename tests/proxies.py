"""Proxies as docs/behind-a-proxy.md sets them up, and requests through them.

The configuration of a proxy is what the page says, with other ports and paths. So the
page is right, or a test fails.
"""

from __future__ import annotations

import contextlib
import functools
import re
import socket
import ssl
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from header_requests import Lines
from pinverify.headers import Form
from pki import Pki
from started import free_port, running, started
from tls_servers import LIMIT

__all__ = ["FORM_OF", "SECRET", "Front", "Reply", "ask", "front", "recipe"]

PAGE = Path(__file__).resolve().parent.parent / "docs" / "behind-a-proxy.md"
SECRET = "a-secret-that-only-proxy-and-application-know"  # noqa: S105 - of the page
FORM_OF: dict[str, Form] = {
    "nginx": "nginx",
    "haproxy": "rfc9440",
    "apache": "apache",
    "caddy": "caddy",
}
APACHE_MODULES = "/usr/lib/apache2/modules"


@functools.cache
def recipe(heading: str, language: str) -> str:
    """Return the one block of a language below a heading of the page."""
    text = PAGE.read_text(encoding="utf-8")
    parts = re.split(r"(?m)^###? (.*)\n", text)
    section = dict(zip(parts[1::2], parts[2::2], strict=True))[heading]
    (block,) = re.findall(rf"(?s)```{language}\n(.*?)```", section)
    return str(block)


class Front(NamedTuple):
    """The listeners of a proxy that runs."""

    tls: int
    plain: int


@contextlib.contextmanager
def front(
    name: str,
    text: str,
    application: str,
    pki: Pki,
    folder: Path,
) -> Iterator[Front]:
    """Run a proxy from when it listens to the end of the block.

    Args:
        name: nginx, haproxy, apache or caddy.
        text: its recipe.
        application: address and port in place of ``10.0.0.9:8000``.
        pki: has the identity of the proxy, and the authority of the clients.
        folder: for its files.
    """
    ports = Front(free_port(), free_port())
    pki.server.write(folder / "server.pem")
    (folder / "clients.pem").write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    text = text.replace("/etc/pki/", f"{folder}/").replace("10.0.0.9:8000", application)
    with running(_COMMANDS[name](text, ports, folder), *ports):
        yield ports


# ---- each proxy --------------------------------------------------------------------

_NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{text}
}}
"""


def _nginx(text: str, ports: Front, folder: Path) -> list[str]:
    text = _placed(text, "listen 443 ssl", f"listen 127.0.0.1:{ports.tls} ssl")
    text = _placed(text, "listen 80", f"listen 127.0.0.1:{ports.plain}")
    file = _written(folder / "nginx.conf", _NGINX.format(folder=folder, text=text))
    return [started("nginx"), "-p", str(folder), "-c", file]


_HAPROXY = """
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
"""


def _haproxy(text: str, ports: Front, folder: Path) -> list[str]:
    text = _placed(text, "bind :443", f"bind 127.0.0.1:{ports.tls}")
    text = _placed(text, "bind :80", f"bind 127.0.0.1:{ports.plain}")
    return [
        *(started("haproxy"), "-db", "-q", "-f"),
        _written(folder / "haproxy.cfg", _HAPROXY + text),
    ]


_APACHE = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
Listen 127.0.0.1:{tls}
Listen 127.0.0.1:{plain}
User daemon
Group daemon
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
"""


def _apache(text: str, ports: Front, folder: Path) -> list[str]:
    if not Path(APACHE_MODULES).is_dir():
        pytest.skip("the modules of apache2 are not there")
    text = _placed(text, "*:443", f"127.0.0.1:{ports.tls}")
    text = _placed(text, "*:80", f"127.0.0.1:{ports.plain}")
    head = _APACHE.format(folder=folder, modules=APACHE_MODULES, **ports._asdict())
    file = _written(folder / "apache.conf", head + text)
    return [started("apache2"), "-X", "-f", file]


_CADDY = """
{{
    admin off
    auto_https off
    default_bind 127.0.0.1
    servers {{
        protocols h1 h2
    }}
    storage file_system {folder}/caddy
}}
"""


def _caddy(text: str, ports: Front, folder: Path) -> list[str]:
    text = _placed(
        text, "https://www.example.org:443", f"https://localhost:{ports.tls}"
    )
    text = _placed(text, "http://:80", f"http://localhost:{ports.plain}")
    file = _written(folder / "Caddyfile", _CADDY.format(folder=folder) + text)
    command = [started("caddy"), "run", "--adapter", "caddyfile", "--config", file]
    return ["env", f"XDG_CONFIG_HOME={folder}", *command]  # it saves what it runs


def _placed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, f"{old!r} is not once on the page"
    return text.replace(old, new)


def _written(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return str(file)


_COMMANDS = {"nginx": _nginx, "haproxy": _haproxy, "apache": _apache, "caddy": _caddy}


# ---- requests ----------------------------------------------------------------------


_SWITCHED = b"HTTP/1.1 101 "  # no end of the connection follows


class Reply(NamedTuple):
    """The answer that a client gets; all empty if it got none."""

    status: int
    head: bytes
    body: bytes


def ask(
    port: int,
    path: str,
    lines: Lines = (),
    context: ssl.SSLContext | None = None,
    sessions: list[ssl.SSLSession | None] | None = None,
) -> Reply:
    """Send a request by hand, so that any header can be in it.

    Args:
        port: of 127.0.0.1.
        path: begins with a slash.
        lines: headers.
        context: speaks TLS; None sends it in clear.
        sessions: the last one is resumed, and the new one appended.
    """
    head = [f"GET {path} HTTP/1.1", f"Host: localhost:{port}"]
    if not any(name == "Upgrade" for name, _ in lines):
        head.append("Connection: close")
    head += [f"{name}: {value}" for name, value in lines]
    data = "\r\n".join([*head, "", ""]).encode("latin-1")
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(ConnectionError, ssl.SSLError),
        _over(plain, context, sessions) as connection,
    ):
        connection.sendall(data)
        while not answer.startswith(_SWITCHED) and (part := connection.recv(65536)):
            answer += part
        if sessions is not None and isinstance(connection, ssl.SSLSocket):
            assert connection.session_reused == bool(sessions)
            sessions.append(connection.session)
    first, _, body = answer.partition(b"\r\n\r\n")
    return Reply(int(first.split()[1]) if first else 0, first, body)


def _over(
    plain: socket.socket,
    context: ssl.SSLContext | None,
    sessions: Sequence[ssl.SSLSession | None] | None,
) -> contextlib.AbstractContextManager[socket.socket]:
    if context is None:
        return contextlib.nullcontext(plain)
    session = sessions[-1] if sessions else None
    return context.wrap_socket(plain, server_hostname="localhost", session=session)
