"""Real clients that connect again and again to pinned servers of several processes.

curl, node and nginx resume by default. Each connection may meet another worker. A
refusal of the honest client is a fault, and so is an acceptance of the other one.
`RECONNECTS=1000 make clients TESTS=tests/test_clients_resume.py` runs the long form.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import importlib
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from client_table import short
from forked_servers import answer_one, ask, forked, serve
from pinverify import PinSet, pin_context
from pki import Identity, example_pki
from tls_clients import client_of
from tls_servers import LIMIT, server_context

__all__: list[str] = []

# Python warns of forks in a process with threads, which other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

CAST = example_pki()
RECONNECTS = int(os.environ.get("RECONNECTS", "12"))
WORKERS = 4


# ---- servers -----------------------------------------------------------------


class Served(NamedTuple):
    """The parts of a server."""

    context: ssl.SSLContext
    listener: socket.socket
    directory: Path

    @property
    def port(self) -> int:
        """The port that it listens on."""
        port: int = self.listener.getsockname()[1]
        return port


@contextlib.contextmanager
def pre_fork(served: Served, workers: int = WORKERS) -> Iterator[None]:
    """Accept in several forks; a file tells them to block the client's key."""
    policy = PinSet(ca=[CAST.ca.pin], blocked=[CAST.client.pin])

    def answer(sock: socket.socket, context: ssl.SSLContext) -> None:
        if (served.directory / "block").exists():
            pin_context(context, policy)
        answer_one(sock, context)

    def action() -> None:
        serve(served.listener, served.context, answer)

    with forked(*[action] * workers):
        yield


def one_worker(served: Served) -> contextlib.AbstractContextManager[None]:
    """Accept in one fork, which has all that it ever gave to a client."""
    return pre_fork(served, workers=1)


@contextlib.contextmanager
def forking_mix_in(served: Served) -> Iterator[None]:
    """Fork for each connection."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(LIMIT)
            answer_one(self.request, served.context)

    class Server(socketserver.ForkingMixIn, socketserver.TCPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Print nothing: a rejection is an error here."""

    server = Server(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = served.listener
    with forked(server.serve_forever):
        yield


@contextlib.contextmanager
def tornado(served: Served) -> Iterator[None]:
    """Fork as tornado does."""
    web: Any = pytest.importorskip("tornado.web", reason="tornado is not installed")
    process: Any = importlib.import_module("tornado.process")
    httpserver: Any = importlib.import_module("tornado.httpserver")

    class Hello(web.RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            self.write(b"hello")

    def action() -> None:
        process.fork_processes(WORKERS)

        async def main() -> None:
            app = web.Application([("/.*", Hello)], log_function=lambda _: None)
            server = httpserver.HTTPServer(app, ssl_options=served.context)
            served.listener.setblocking(False)  # noqa: FBT003
            server.add_sockets([served.listener])
            await asyncio.Event().wait()

        asyncio.run(main())

    with forked(action):
        yield


async def _app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
    await receive()
    if scope["type"] == "http":
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})


@contextlib.contextmanager
def uvicorn(served: Served) -> Iterator[None]:
    """Run one uvicorn in each of several forks."""
    module: Any = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    config = module.Config(_app, log_level="critical", lifespan="off")
    config.load()
    config.ssl = served.context

    def action() -> None:
        module.Server(config).run(sockets=[served.listener])

    with forked(*[action] * WORKERS):
        yield


_GUNICORN = """
import pinverify

workers = {workers}
loglevel = "critical"
certfile = {certfile!r}
ca_certs = {cafile!r}
cert_reqs = 2
preload_app = True


def ssl_context(config, default):
    global context
    if "context" not in globals():
        context = pinverify.pin_context(default(), pinverify.PinSet(**{pins!r}))
    return context


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5"), ("Connection", "close")])
    return [b"hello"]
"""


@contextlib.contextmanager
def gunicorn(served: Served) -> Iterator[None]:
    """Let gunicorn fork its workers."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    source = _GUNICORN.format(
        workers=WORKERS,
        certfile=str(CAST.server.write(served.directory / "server.pem")),
        cafile=str(CAST.trust_file(served.directory)),
        pins={"ca": [CAST.ca.pin], "blocked": [CAST.stranger.pin]},
    )
    config = served.directory / "gunicorn_conf.py"
    config.write_text(source, encoding="ascii")
    fd = served.listener.fileno()
    command = ["-m", "gunicorn", "-c", str(config), "-b", f"fd://{fd}"]
    with subprocess.Popen(
        [sys.executable, *command, "gunicorn_conf:application"],
        cwd=served.directory,
        pass_fds=[fd],
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


SERVERS = {
    "workers": pre_fork,
    "one worker": one_worker,
    "ForkingMixIn": forking_mix_in,
    "tornado": tornado,
    "uvicorn": uvicorn,
    "gunicorn": gunicorn,
}

# ---- clients -----------------------------------------------------------------


class Caller(NamedTuple):
    """A client with its certificate."""

    identity: Identity
    port: int
    directory: Path
    version: ssl.TLSVersion
    times: int

    def context(self) -> ssl.SSLContext:
        """Return a context of Python for it."""
        context = client_of(CAST, self.identity)
        context.maximum_version = self.version
        return context

    def files(self) -> tuple[str, str]:
        """Return the file of its certificate and key, and that of the authorities."""
        own = self.identity.write(self.directory / "client.pem")
        return str(own), str(CAST.trust_file(self.directory))


Answers = Counter[str]


def with_ssl(caller: Caller) -> Answers:
    """Resume with Python's ssl."""
    context, session = caller.context(), None
    answers = Answers()
    for _ in range(caller.times):
        answer, session = ask(caller.port, context, session)
        answers[answer.decode()] += 1
    return answers


def with_curl(caller: Caller) -> Answers:
    """Resume with one process of curl."""
    own, cafile = caller.files()
    command = [
        *("curl", "--silent", "--ipv4", "--max-time", str(LIMIT)),
        *("--cert", own, "--cacert", cafile, "--http1.1"),
        *("--header", "Connection: close", "--tls-max", short(caller.version)),
        *("--write-out", "\\n", f"https://localhost:{caller.port}/[1-{caller.times}]"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Answers(done.stdout.splitlines())


_NODE = """
const https = require("https"), fs = require("fs");
const [, , own, ca, port, version, times] = process.argv;
const pem = fs.readFileSync(own);
const agent = new https.Agent({
  cert: pem, key: pem, ca: fs.readFileSync(ca), maxVersion: version, keepAlive: false,
  timeout: 20000,
});
const get = () => new Promise((resolve) => {
  const options = {agent, port, host: "localhost", family: 4, path: "/"};
  https.get(options, (answer) => {
    let body = "";
    answer.on("data", (part) => { body += part; });
    answer.on("end", () => resolve(body));
    answer.on("error", () => resolve(""));
  }).on("error", () => resolve(""));
});
(async () => {
  for (let i = 0; i < Number(times); i += 1) console.log(await get());
})();
"""


def with_node(caller: Caller) -> Answers:
    """Resume with one process of node."""
    script = caller.directory / "client.js"
    script.write_text(_NODE, encoding="ascii")
    rest = (str(caller.port), "TLSv" + short(caller.version))
    command = ["node", str(script), *caller.files(), *rest, str(caller.times)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return Answers(done.stdout.splitlines())


_NGINX = """
daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
worker_processes 1;
events {{}}
http {{
  access_log off;
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass https://127.0.0.1:{upstream};
      proxy_ssl_certificate {own}; proxy_ssl_certificate_key {own};
      proxy_ssl_trusted_certificate {cafile}; proxy_ssl_verify on;
      proxy_ssl_verify_depth 3; proxy_ssl_name localhost;
      proxy_ssl_server_name on; proxy_ssl_protocols {version};
    }}
  }}
}}
"""


def with_nginx(caller: Caller) -> Answers:
    """Resume with nginx as a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own, cafile = caller.files()
    text = _NGINX.format(
        directory=caller.directory,
        port=port,
        upstream=caller.port,
        own=own,
        cafile=cafile,
        version="TLSv" + short(caller.version),
    )
    config = caller.directory / "nginx.conf"
    config.write_text(text, encoding="ascii")
    nginx = shutil.which("nginx") or "/usr/sbin/nginx"
    answers = Answers()
    with subprocess.Popen(
        [nginx, "-p", str(caller.directory), "-c", str(config)],
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            _wait_for(port)
            for _ in range(caller.times):
                answers[_get_plain(port)] += 1
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    return answers


def _get_plain(port: int) -> str:
    """Return the body of an answer of the proxy, empty if it is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read()
        return body.decode() if answer.status == HTTPStatus.OK else ""


def with_requests(caller: Caller) -> Answers:
    """Connect again and again with requests."""
    requests: Any = pytest.importorskip("requests", reason="requests is not installed")
    own, cafile = caller.files()
    answers = Answers()
    with requests.Session() as session:
        for _ in range(caller.times):
            try:
                answer = session.get(
                    f"https://localhost:{caller.port}/",
                    cert=own,
                    verify=cafile,
                    timeout=LIMIT,
                    headers={"Connection": "close"},
                )
                answers[answer.text] += 1
            except requests.RequestException:
                answers[""] += 1
    return answers


def with_httpx(caller: Caller) -> Answers:
    """Connect again and again with httpx."""
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed")
    answers = Answers()
    headers = {"Connection": "close"}
    with httpx.Client(verify=caller.context(), headers=headers, timeout=LIMIT) as api:
        for _ in range(caller.times):
            try:
                answers[api.get(f"https://localhost:{caller.port}/").text] += 1
            except httpx.HTTPError:
                answers[""] += 1
    return answers


def with_aiohttp(caller: Caller) -> Answers:
    """Connect again and again with aiohttp."""
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    answers = Answers()

    async def main() -> None:
        connector = aiohttp.TCPConnector(ssl=caller.context(), force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            for _ in range(caller.times):
                try:
                    url = f"https://localhost:{caller.port}/"
                    async with session.get(url) as answer:
                        answers[await answer.text()] += 1
                except (aiohttp.ClientError, OSError):
                    answers[""] += 1

    asyncio.run(main())
    return answers


CLIENTS: dict[str, Callable[[Caller], Answers]] = {
    "ssl": with_ssl,
    "curl": with_curl,
    "node": with_node,
    "nginx": with_nginx,
    "requests": with_requests,
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
}
PROGRAMS = {"curl", "node", "nginx"}

# ---- the tests ---------------------------------------------------------------


def _wait_for(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(int(LIMIT / 0.05)):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), LIMIT).close()
            return
        time.sleep(0.05)
    msg = f"nobody listens on port {port}"
    raise AssertionError(msg)


def _calls(
    client: str, served: Served, identity: Identity, version: ssl.TLSVersion, times: int
) -> Answers:
    """Let a client call; return its answers, by their text."""
    if client in PROGRAMS and not shutil.which(
        client, path=os.environ["PATH"] + ":/usr/sbin"
    ):
        pytest.skip(f"{client} is not installed")
    caller = Caller(identity, served.port, served.directory, version, times)
    return CLIENTS[client](caller)


def _accepted(answers: Answers) -> int:
    return sum(answers[text] for text in ("full", "resumed", "hello"))


@contextlib.contextmanager
def _serving(
    server: str, directory: Path, pins: PinSet | None, version: ssl.TLSVersion
) -> Iterator[Served]:
    context = server_context(CAST.server, version=version, client_authority=CAST.root)
    if pins is not None:
        pin_context(context, pins)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        served = Served(context, listener, directory)
        with SERVERS[server](served):
            yield served


def _pins() -> PinSet:
    return PinSet(ca=[CAST.ca.pin], blocked=[CAST.stranger.pin])


@pytest.mark.parametrize("client", ["ssl", "curl", "node", "nginx"])
def test_pitfall_40_without_pins_a_client_resumes_at_other_workers(
    tmp_path: Path, version: ssl.TLSVersion, client: str
) -> None:
    """The control: this is what these clients do.

    curl takes no ticket in TLS 1.2, so only the worker that gave it a session can
    resume it, and clients that wait are dealt out to idle workers in turns.
    """
    by_session_id = (client, version) == ("curl", ssl.TLSVersion.TLSv1_2)
    server = "one worker" if by_session_id else "workers"
    with _serving(server, tmp_path, None, version) as served:
        answers = _calls(client, served, CAST.client, version, 20)
    assert answers["resumed"] > 0


@pytest.mark.parametrize("client", CLIENTS)
def test_pitfall_40_workers_refuse_no_client_that_comes_back(
    tmp_path: Path, version: ssl.TLSVersion, client: str
) -> None:
    """All reconnects are accepted, until the key of the client is blocked."""
    with _serving("workers", tmp_path, _pins(), version) as served:
        answers = _calls(client, served, CAST.client, version, RECONNECTS)
        print(f"{client}, {short(version)}, workers: {dict(answers)}")  # noqa: T201
        assert _accepted(answers) == RECONNECTS
        assert _accepted(_calls(client, served, CAST.stranger, version, 3)) == 0
        (tmp_path / "block").touch()
        assert _accepted(_calls(client, served, CAST.client, version, 8)) == 0


@pytest.mark.parametrize("client", ["curl", "node"])
@pytest.mark.parametrize("server", [name for name in SERVERS if name != "workers"])
def test_pitfall_40_servers_that_fork_refuse_no_client_that_comes_back(
    tmp_path: Path, version: ssl.TLSVersion, server: str, client: str
) -> None:
    """All reconnects are accepted, and none of the client whose key is blocked."""
    with _serving(server, tmp_path, _pins(), version) as served:
        answers = _calls(client, served, CAST.client, version, RECONNECTS)
        print(f"{client}, {short(version)}, {server}: {dict(answers)}")  # noqa: T201
        assert _accepted(answers) == RECONNECTS
        assert _accepted(_calls(client, served, CAST.stranger, version, 3)) == 0
