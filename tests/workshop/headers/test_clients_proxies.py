"""Real proxies in front of real servers, as docs/behind-a-proxy.md sets them up."""

from __future__ import annotations

import contextlib
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

from header_requests import HEADERS, Lines, lines_of, value_of
from optional import client_library
from pinverify.headers import Form
from pki import Pki, example_pki
from proxies import (
    FORM_OF,
    OPTIONAL,
    RECIPES,
    SECRET,
    WITHOUT_SECRET,
    Front,
    Listeners,
    Recorder,
    ask,
    envoy,
    forgeries,
    front,
    fronts,
    recipe,
    send,
)
from started import free_port, running
from tls_servers import LIMIT, client_context

__all__: list[str] = []

REACHED = b"reached"

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
    "uvicorn": (
        *("--lifespan", "off", "--no-proxy-headers", "--log-level", "critical"),
        *("--http", "h11"),
    ),
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


def forged(form: Form, pki: Pki) -> list[Lines]:
    """Return headers that a stranger writes, with the pinned client's certificate."""
    header, value = HEADERS[form], value_of(form, pki.client)
    guess = ("X-Pinverify-Secret", "x" * len(SECRET))
    [(_, guessed), *_] = lines_of(form, pki.client, "x" * len(SECRET))
    return [
        [(header, value)],
        [(header.lower(), value)],
        [(header.replace("-", "_"), value)],
        [(header.upper().replace("-", "_"), value)],
        [(header.replace("-", "_", 1), value)],
        [(header, value), (header, value)],
        [(header, value), (header.replace("-", "_"), value)],
        [(header, guessed)],
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
    texts = [WITHOUT_SECRET[name], RECIPES[name]]
    with fronts(name, texts, application, pki, tmp_path) as several:
        paths = f"/{form}", f"/{form}-secret"
        for ports, path in zip(several, paths, strict=True):
            assert ask(ports.tls, path, (), client).body == REACHED
            refused = ask(ports.tls, path, (), stranger)
            assert (refused.status, b"MISMATCH" in refused.body) == (403, True)
            assert ask(ports.tls, path, (), context_of(pki, None)).body != REACHED
            assert ask(ports.plain, path).status == 403
            for lines in forged(form, pki):
                answers = [
                    ask(ports.tls, path, lines, stranger),
                    ask(ports.tls, path, lines, context_of(pki, None)),
                    ask(ports.plain, path, lines),
                ]
                assert REACHED not in b"".join(answer.body for answer in answers), lines
        ports = several[0]
        assert ask(ports.tls, f"/{form}-secret", (), client).status == 403
        assert ask(ports.tls, f"/{form}-elsewhere", (), client).status == 403
        assert ask(ports.tls, f"/{form}-unix", (), client).status == 403
        sessions: list[ssl.SSLSession | None] = []
        for _ in range(2):
            assert ask(ports.tls, f"/{form}", (), old, sessions).body == REACHED


def test_a_secret_closes_the_gap_of_a_plain_listener(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """The mistake of CVE-2026-46579: set on TLS, not removed on plain HTTP."""
    text, removed = RECIPES["nginx"], 'proxy_set_header X-SSL-Client-Cert "";'
    assert text.count(removed) == 1
    with_gap = text.replace(removed, "")
    lines = [(HEADERS["nginx"], value_of("nginx", pki.client))]
    with front("nginx", with_gap, application, pki, tmp_path) as ports:
        assert ask(ports.plain, "/nginx", lines).body == REACHED  # the attack
        assert ask(ports.plain, "/nginx-secret", lines).status == 403
        assert ask(ports.plain, "/nginx", [*lines, *lines]).status == 403


NO_CERTIFICATE = {
    "nginx": (b"NO_CERTIFICATE", b"NO_CERTIFICATE"),
    "haproxy": (b"NO_CERTIFICATE", b"NOT_CHECKED"),
    "apache": (b"NOT_CHECKED", b"NOT_CHECKED"),
    "caddy": (b"NOT_CHECKED", b"NOT_CHECKED"),
}


@pytest.mark.parametrize("name", FORM_OF)
def test_a_client_without_a_certificate_is_told_so(
    name: str, application: str, pki: Pki, tmp_path: Path
) -> None:
    """Where the proxy lets it in, without a secret and with one, as the page says."""
    texts = [
        text.replace(*OPTIONAL[name]) for text in (WITHOUT_SECRET[name], RECIPES[name])
    ]
    nobody, client = context_of(pki, None), context_of(pki, "client")
    with fronts(name, texts, application, pki, tmp_path) as several:
        ways = ("", "-secret")
        for ports, way, reason in zip(several, ways, NO_CERTIFICATE[name], strict=True):
            path = f"/{FORM_OF[name]}{way}"
            refused = ask(ports.tls, path, (), nobody)
            assert (refused.status, reason in refused.body) == (403, True), refused
            assert ask(ports.tls, path, (), client).body == REACHED


def test_haproxy_can_send_the_certificate_alone(
    application: str, pki: Pki, tmp_path: Path
) -> None:
    """In base64 without the colons of RFC 9440: the form `haproxy`."""
    named = f"Client-Cert ':%[ssl_c_der,base64]:;secret=\"{SECRET}\"'"
    assert named in RECIPES["haproxy"]
    alone = f'X-SSL-Client-DER "{SECRET} %[ssl_c_der,base64]"'
    text = RECIPES["haproxy"].replace(named, alone)
    with front("haproxy", text, application, pki, tmp_path) as ports:
        client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
        assert ask(ports.tls, "/haproxy-secret", (), client).body == REACHED
        assert ask(ports.tls, "/haproxy-secret", (), stranger).status == 403
        assert ask(ports.tls, "/rfc9440-secret", (), client).status == 403


def test_nobody_comes_directly_with_a_header(application: str, pki: Pki) -> None:
    """From an address that is not declared, or without the secret."""
    port = int(application.rpartition(":")[2])
    for form in FORMS:
        lines = [(HEADERS[form], value_of(form, pki.client))]
        assert ask(port, f"/{form}", lines).body == REACHED  # as the proxy would
        for way in ("secret", "elsewhere", "unix"):
            assert ask(port, f"/{form}-{way}", lines).status == 403
        with_secret = lines_of(form, pki.client, SECRET)
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
    text = WITHOUT_SECRET["nginx"]
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


FROM_ENVOY = yaml.safe_load(WITHOUT_SECRET["envoy"])
WITH_SECRET = yaml.safe_load(RECIPES["envoy"])
COMMON = "common_http_protocol_options"


@pytest.mark.parametrize("with_secret", [False, True])
def test_the_pinned_client_alone_comes_through_envoy(
    with_secret: bool,  # noqa: FBT001 - a parameter
    application: str,
    pki: Pki,
    tmp_path: Path,
) -> None:
    """Its lines are those of the page, also those of a listener without TLS."""
    ports = Front(free_port(), free_port())
    form: Form = "nginx" if with_secret else "envoy"
    path = f"/{form}-secret" if with_secret else f"/{form}"
    settings = WITH_SECRET if with_secret else FROM_ENVOY
    plain = WITH_SECRET if with_secret else {COMMON: FROM_ENVOY[COMMON]}
    listeners = Listeners(ports, settings, plain)
    clusters = {"application": int(application.split(":")[1])}
    command = envoy([listeners], clusters, pki, tmp_path)
    client, stranger = context_of(pki, "client"), context_of(pki, "stranger")
    with running(command, *ports):
        assert ask(ports.tls, path, (), client).body == REACHED
        assert ask(ports.tls, path, (), stranger).status == 403
        assert ask(ports.plain, path).status == 403
        for lines in forged(form, pki):
            assert ask(ports.tls, path, lines, stranger).body != REACHED
            assert ask(ports.plain, path, lines).body != REACHED


@contextlib.contextmanager
def envoy_that_asks(
    pki: Pki, folder: Path, *, optional: bool = False, limits: dict[str, Any]
) -> Iterator[tuple[Front, list[str], Recorder]]:
    """Run Envoy with its filter `ext_authz`, as the page has it, but no service.

    Args:
        pki: has the identity of Envoy, and the authority of the clients.
        folder: for files.
        optional: True if a client may have no certificate.
        limits: lines of the connection manager.

    Yields:
        the listeners, the command of the service, and the application.
    """
    asks = yaml.safe_load(recipe("Envoy with ext_authz", "yaml"))
    policy, secret = folder / "clients.toml", folder / "secret"
    leaf = [pki.client.pin, pki.rogue_ca.pin]
    policy.write_text(f"version = 1\n[clients]\nleaf = {leaf!r}\n", encoding="utf-8")
    secret.write_text(SECRET + "\n", encoding="ascii")
    ports, port = Front(free_port(), free_port()), free_port()
    served = [sys.executable, "-m", "pinverify", "authserver", "--form", "nginx"]
    served += ["--policy", str(policy), "--from", "127.0.0.1"]
    served += ["--secret-file", str(secret), "--listen", f"127.0.0.1:{port}"]
    with contextlib.closing(Recorder()) as application:
        clusters = {"application": application.port, "pinverify": port}
        listeners = Listeners(ports, limits, limits, optional, [asks])
        command = envoy([listeners], clusters, pki, folder)
        with running(command, *ports):
            yield ports, served, application


def _port_of(served: list[str]) -> int:
    return int(served[-1].rpartition(":")[2])


def test_pitfall_52_no_forged_header_passes_the_service_that_envoy_asks(
    pki: Pki, tmp_path: Path
) -> None:
    """Nor anybody while the service is not there; no secret reaches the application."""
    client, stranger, nobody = (
        context_of(pki, who) for who in ("client", "stranger", None)
    )
    [(header, guess)] = lines_of("nginx", pki.client, "x" * len(SECRET))
    requests = [
        *forgeries("/", header, value_of("nginx", pki.client)),
        *forgeries("/", header, guess),
    ]
    with envoy_that_asks(pki, tmp_path, optional=True, limits={}) as asking:
        ports, served, application = asking
        assert ask(ports.tls, "/", (), client).status >= 400  # nobody answers
        assert application.requests == []
        with running(served, _port_of(served)):
            assert ask(ports.tls, "/", (), client).status == 200
            assert SECRET.encode() not in application.requests.pop()
            for text in requests:
                for port, context in (
                    (ports.tls, nobody),
                    (ports.tls, stranger),
                    (ports.plain, None),
                ):
                    assert send(port, text, context).status != 200
            assert application.requests == []


def test_pitfall_68_envoy_lets_pass_what_an_honest_client_sends(
    pki: Pki, tmp_path: Path
) -> None:
    """Many headers and long cookies; Envoy itself refuses control characters."""
    client = context_of(pki, "client")
    common = {"max_headers_count": 200}
    limits = {"max_request_headers_kb": 256, "common_http_protocol_options": common}
    with envoy_that_asks(pki, tmp_path, limits=limits) as asking:
        ports, served, application = asking
        with running(served, _port_of(served)):
            for lines in (
                [(f"A-{number}", "b") for number in range(130)],
                [("A", "\xc3\xa9")],
                [("Cookie", "x" * 128 * 1024)],
                [("A", "x" * 32 * 1024)] * 4,
            ):
                assert ask(ports.tls, "/", lines, client).status == 200, lines[0]
                assert application.requests.pop()
            assert ask(ports.tls, "/", [("A", "b\x7f")], client).status == 400
