"""Real clients that connect again and again to pinned servers of several processes.

curl, node and nginx resume by default. Each connection may meet another worker. It is
a fault to refuse the honest client, to accept the other client, or to accept the honest
one after an operator has blocked its key.
`RECONNECTS=1000 make clients TESTS=tests/engine/tls/test_clients_resume.py` runs the
long form.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import http.server
import importlib
import os
import shutil
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from client_table import short
from examples import some_of
from forked_servers import answer_one, ask, forked, serve
from optional import ALL_CLIENTS
from pinverify import PinSet, pin_context
from pki import Identity, example_pki
from started import free_port, running, started
from tls_clients import client_of
from tls_servers import LIMIT, server_context

__all__: list[str] = []

# Python warns of forks in a process with threads, which other tests may have left.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")

CAST = example_pki()
RECONNECTS = int(os.environ.get("RECONNECTS", "12"))
WORKERS = 4
PINS = PinSet(ca=[CAST.ca.pin], blocked=[CAST.stranger.pin])
BLOCKING = PinSet(ca=[CAST.ca.pin], blocked=[CAST.client.pin])


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

    def wait_for(self, notes: str, number: int) -> bool:
        """Return True once so many processes have left a note, False if they do not."""
        return _soon(lambda: len(list(self.directory.glob(notes))) >= number)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Let SIGHUP block the client's key in each process that is forked here."""

        def reload(*_signal: object) -> None:
            pin_context(self.context, BLOCKING)
            (self.directory / f"done.{os.getpid()}").touch()

        before = signal.signal(signal.SIGHUP, reload)
        try:
            yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def hang_up(self, groups: list[int], processes: int) -> None:
        """Send SIGHUP until so many processes have done what it says."""

        def done() -> bool:
            for group in groups:
                os.killpg(group, signal.SIGHUP)
            return len(list(self.directory.glob("done.*"))) >= processes

        assert _soon(done)


def _soon(action: Callable[[], bool]) -> bool:
    """Repeat an action until it returns True; return False if it never does."""
    for _ in range(int(LIMIT / 0.05)):
        if action():
            return True
        time.sleep(0.05)
    return False


Block = Callable[[], None]
"""Blocks the client's key in a running server, as its operator would."""


@contextlib.contextmanager
def pre_fork(served: Served, workers: int = WORKERS) -> Iterator[Block]:
    """Accept in several forks."""

    def action() -> None:
        serve(served.listener, served.context)

    with served.reloading(), forked(*[action] * workers) as groups:
        yield lambda: served.hang_up(groups, workers)


def one_worker(served: Served) -> contextlib.AbstractContextManager[Block]:
    """Accept in one fork, which has all that it ever gave to a client."""
    return pre_fork(served, workers=1)


@contextlib.contextmanager
def forking_mix_in(served: Served) -> Iterator[Block]:
    """Fork for each connection; the parent has the pins of later ones."""

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

    with served.reloading(), forked(server.serve_forever) as groups:
        yield lambda: served.hang_up(groups, 1)


@contextlib.contextmanager
def tornado(served: Served) -> Iterator[Block]:
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

    with served.reloading(), forked(action) as groups:
        yield lambda: served.hang_up(groups, 1 + WORKERS)


async def _app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
    await receive()
    if scope["type"] == "http":
        headers = [(b"content-length", b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"hello"})


@contextlib.contextmanager
def uvicorn(served: Served) -> Iterator[Block]:
    """Run one uvicorn in each of several forks."""
    module: Any = pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    config = module.Config(_app, log_level="critical", lifespan="off", http="h11")
    config.load()
    config.ssl = served.context

    def action() -> None:
        module.Server(config).run(sockets=[served.listener])

    with served.reloading(), forked(*[action] * WORKERS) as groups:
        yield lambda: served.hang_up(groups, WORKERS)


# The workers are forks of the process that has read this, and SIGHUP reads it again.
_GUNICORN = """
import os
import pathlib
import ssl

import pinverify

workers = {workers}
loglevel = "critical"
certfile = {certfile!r}
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certfile)
context.load_verify_locations({cafile!r})
context.verify_mode = ssl.CERT_REQUIRED
pinverify.pin_context(context, pinverify.PinSet(**{pins!r}))


def ssl_context(config, default):
    return context


def post_worker_init(worker):
    pathlib.Path({directory!r}, f"begun.{{os.getpid()}}").touch()


def worker_exit(server, worker):
    pathlib.Path({directory!r}, f"left.{{os.getpid()}}").touch()
"""
_WSGI = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5"), ("Connection", "close")])
    return [b"hello"]
"""


@contextlib.contextmanager
def gunicorn(served: Served) -> Iterator[Block]:
    """Let gunicorn fork its workers."""
    pytest.importorskip("gunicorn", reason="gunicorn is not installed")
    config = served.directory / "gunicorn_conf.py"
    (served.directory / "application.py").write_text(_WSGI, encoding="ascii")

    def write(blocked: str) -> None:
        text = _GUNICORN.format(
            workers=WORKERS,
            certfile=str(CAST.server.write(served.directory / "server.pem")),
            cafile=str(CAST.trust_file(served.directory)),
            pins={"ca": [CAST.ca.pin], "blocked": [blocked]},
            directory=str(served.directory),
        )
        config.write_text(text, encoding="ascii")

    write(CAST.stranger.pin)
    fd = served.listener.fileno()
    command = ["-m", "gunicorn", "-c", str(config), "-b", f"fd://{fd}"]
    with subprocess.Popen(
        [sys.executable, *command, "application:application"],
        cwd=served.directory,
        pass_fds=[fd],
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:

        def block() -> None:
            write(CAST.client.pin)
            assert served.wait_for("begun.*", WORKERS)
            process.send_signal(signal.SIGHUP)
            assert served.wait_for("left.*", WORKERS)  # those with the old pins

        try:
            yield block
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


BLOCKED = 8
"""The number of calls of a client whose key is blocked."""

Answers = Counter[str]
Both = tuple[Answers, Answers]
"""The answers to the calls before the key was blocked, and to those afterwards."""


class Caller(NamedTuple):
    """A client with its certificate; `block` is called in the midst of its calls."""

    identity: Identity
    port: int
    directory: Path
    version: ssl.TLSVersion
    times: int
    block: Block

    @property
    def url(self) -> str:
        """The URL that it calls."""
        return f"https://localhost:{self.port}/"

    def context(self) -> ssl.SSLContext:
        """Return a context of Python for it."""
        context = client_of(CAST, self.identity)
        context.maximum_version = self.version
        return context

    def files(self) -> tuple[str, str]:
        """Return the file of its certificate and key, and that of the authorities."""
        own = self.identity.write(self.directory / "client.pem")
        return str(own), str(CAST.trust_file(self.directory))

    def call(self, get: Callable[[], str]) -> Both:
        """Call with a function that returns the body of an answer."""
        before = Answers(get() for _ in range(self.times))
        self.block()
        return before, Answers(get() for _ in range(BLOCKED))

    def run(self, command: Sequence[str]) -> Both:
        """Call with a program, which prints the answers on lines of their own.

        Between its two rows of calls it asks for the URL that `{block}` stands for.
        """
        with _asked(self.block) as url:
            done = subprocess.run(
                [part.replace("{block}", url) for part in command],
                capture_output=True,
                text=True,
                check=False,
            )
        before, _, after = done.stdout.partition("blocked\n")
        return Answers(before.splitlines()), Answers(after.splitlines())


@contextlib.contextmanager
def _asked(action: Callable[[], None]) -> Iterator[str]:
    """Do an action when a URL is asked for, and answer "blocked"; yield the URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            action()
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            self.wfile.write(b"blocked")

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join(LIMIT)


def with_ssl(caller: Caller) -> Both:
    """Resume with Python's ssl."""
    context, session = caller.context(), None

    def get() -> str:
        nonlocal session
        answer, session = ask(caller.port, context, session)
        return answer.decode()

    return caller.call(get)


def with_curl(caller: Caller) -> Both:
    """Resume with one process of curl."""
    own, cafile = caller.files()
    command = [
        *("curl", "--silent", "--ipv4", "--max-time", str(LIMIT)),
        *("--cert", own, "--cacert", cafile, "--http1.1"),
        *("--header", "Connection: close", "--tls-max", short(caller.version)),
        *("--write-out", "\n", f"{caller.url}[1-{caller.times}]"),
        *("{block}", f"{caller.url}[1-{BLOCKED}]"),
    ]
    return caller.run(command)


_NODE = """
const http = require("http"), https = require("https"), fs = require("fs");
const [, , own, ca, url, version, times, block, blocked] = process.argv;
const pem = fs.readFileSync(own);
const agent = new https.Agent({
  cert: pem, key: pem, ca: fs.readFileSync(ca), maxVersion: version, keepAlive: false,
  timeout: 20000,
});
const get = (library, to, options) => new Promise((resolve) => {
  library.get(to, options, (answer) => {
    let body = "";
    answer.on("data", (part) => { body += part; });
    answer.on("end", () => resolve(body));
    answer.on("error", () => resolve(""));
  }).on("error", () => resolve(""));
});
const call = async (number) => {
  for (let i = 0; i < Number(number); i += 1) {
    console.log(await get(https, url, {agent, family: 4}));
  }
};
(async () => {
  await call(times);
  console.log(await get(http, block, {}));
  await call(blocked);
})();
"""


def with_node(caller: Caller) -> Both:
    """Resume with one process of node."""
    script = caller.directory / "client.js"
    script.write_text(_NODE, encoding="ascii")
    rest = (caller.url, "TLSv" + short(caller.version), str(caller.times))
    command = ["node", str(script), *caller.files(), *rest, "{block}", str(BLOCKED)]
    return caller.run(command)


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


def with_nginx(caller: Caller) -> Both:
    """Resume with nginx as a proxy."""
    port = free_port()
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
    command = [started("nginx"), "-p", str(caller.directory), "-c", str(config)]
    with running(command, port):
        return caller.call(lambda: _get_plain(port))


def _get_plain(port: int) -> str:
    """Return the body of an answer of the proxy, empty if it is an error."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        answer = connection.getresponse()
        body = answer.read()
        return body.decode() if answer.status == HTTPStatus.OK else ""


def with_requests(caller: Caller) -> Both:
    """Connect again and again with requests."""
    requests: Any = pytest.importorskip("requests", reason="requests is not installed")
    own, cafile = caller.files()
    settings = {"cert": own, "verify": cafile, "timeout": LIMIT}
    headers = {"Connection": "close"}
    with requests.Session() as session:

        def get() -> str:
            with contextlib.suppress(requests.RequestException):
                return str(session.get(caller.url, headers=headers, **settings).text)
            return ""

        return caller.call(get)


def with_httpx(caller: Caller) -> Both:
    """Connect again and again with httpx."""
    httpx: Any = pytest.importorskip("httpx", reason="httpx is not installed")
    headers = {"Connection": "close"}
    with httpx.Client(verify=caller.context(), headers=headers, timeout=LIMIT) as api:

        def get() -> str:
            with contextlib.suppress(httpx.HTTPError):
                return str(api.get(caller.url).text)
            return ""

        return caller.call(get)


def with_aiohttp(caller: Caller) -> Both:
    """Connect again and again with aiohttp."""
    aiohttp: Any = pytest.importorskip("aiohttp", reason="aiohttp is not installed")

    async def open_session() -> Any:  # noqa: ANN401
        connector = aiohttp.TCPConnector(ssl=caller.context(), force_close=True)
        return aiohttp.ClientSession(connector=connector)

    async def get_with(session: Any) -> str:  # noqa: ANN401
        with contextlib.suppress(aiohttp.ClientError, OSError):
            async with session.get(caller.url) as answer:
                return str(await answer.text())
        return ""

    with asyncio.Runner() as loop:
        session = loop.run(open_session())
        try:
            return caller.call(lambda: loop.run(get_with(session)))
        finally:
            loop.run(session.close())


CLIENTS: dict[str, Callable[[Caller], Both]] = {
    "ssl": with_ssl,
    "curl": with_curl,
    "node": with_node,
    "nginx": with_nginx,
    "requests": with_requests,
    "httpx": with_httpx,
    "aiohttp": with_aiohttp,
}
PROGRAMS = {"curl", "node", "nginx"}

# With each server, they take half a minute: only `make clients` runs them.
CLIENTS_HERE = [
    name for name in CLIENTS if name not in PROGRAMS or os.environ.get(ALL_CLIENTS)
]

# ---- the tests ---------------------------------------------------------------


def _calls(  # noqa: PLR0913, PLR0917 - a client, and what it meets
    client: str,
    served: Served,
    identity: Identity,
    version: ssl.TLSVersion,
    times: int,
    block: Block = lambda: None,
) -> Both:
    """Let a client call, and block its key in between; return its answers."""
    if client in PROGRAMS and not shutil.which(
        client, path=os.environ["PATH"] + ":/usr/sbin"
    ):
        pytest.skip(f"{client} is not installed")
    caller = Caller(identity, served.port, served.directory, version, times, block)
    return CLIENTS[client](caller)


def _accepted(answers: Answers) -> int:
    return sum(answers[text] for text in ("full", "resumed", "hello"))


@contextlib.contextmanager
def _serving(
    server: str, directory: Path, pins: PinSet | None, version: ssl.TLSVersion
) -> Iterator[tuple[Served, Block]]:
    context = server_context(CAST.server, version=version, client_authority=CAST.root)
    if pins is not None:
        pin_context(context, pins)
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        served = Served(context, listener, directory)
        with SERVERS[server](served) as block:
            yield served, block


@pytest.mark.parametrize("client", sorted({"ssl", *PROGRAMS} & {*CLIENTS_HERE}))
def test_pitfall_40_without_pins_a_client_resumes_at_other_workers(
    tmp_path: Path, version: ssl.TLSVersion, client: str
) -> None:
    """The control: this is what these clients do.

    curl takes no ticket in TLS 1.2, so only the worker that gave it a session can
    resume it, and clients that wait are dealt out to idle workers in turns.
    """
    by_session_id = (client, version) == ("curl", ssl.TLSVersion.TLSv1_2)
    server = "one worker" if by_session_id else "workers"
    with _serving(server, tmp_path, None, version) as (served, _):
        answers, _ = _calls(client, served, CAST.client, version, 20)
    assert answers["resumed"] > 0


@pytest.mark.parametrize("client", CLIENTS_HERE)
@pytest.mark.parametrize("server", some_of(SERVERS, 2))
def test_pitfall_40_servers_that_fork_refuse_no_client_that_comes_back(
    tmp_path: Path, version: ssl.TLSVersion, server: str, client: str
) -> None:
    """All reconnects are accepted, until the key of the client is blocked.

    Then the same process of the client comes back, with the sessions that it has. The
    server goes on for others: the stranger's key is not blocked any more.
    """
    with _serving(server, tmp_path, PINS, version) as (served, block):
        strangers = _calls(client, served, CAST.stranger, version, 3)
        assert sum(map(_accepted, strangers)) == 0
        before, after = _calls(client, served, CAST.client, version, RECONNECTS, block)
        print(  # noqa: T201 - figures of a long run
            f"{client}, {short(version)}, {server}: {dict(before)}, then {dict(after)}"
        )
        assert (_accepted(before), before.total()) == (RECONNECTS, RECONNECTS)
        assert (_accepted(after), after.total()) == (0, BLOCKED)
        answer, _ = ask(served.port, client_of(CAST, CAST.stranger))
        assert answer in {b"full", b"hello"}
