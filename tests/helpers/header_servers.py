"""Servers of ASGI and WSGI, each with the same application behind the middleware.

The application has a path for each form and way to declare a proxy, and `/raw`, which
answers with the headers that it gets.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from optional import client_library, is_expected
from pinverify.headers import Form
from pki import Pki
from proxies import SECRET
from started import free_port, running

__all__ = [
    "FORMS",
    "REACHED",
    "SERVERS",
    "Server",
    "serving",
    "version_of",
    "write_application",
]

REACHED = b"reached"
FORMS: tuple[Form, ...] = ("rfc9440", "nginx", "apache", "caddy", "envoy", "haproxy")

_APPLICATION = """
    import json
    import pathlib
    import sys
    from pinverify import PinSet, report_of
    from pinverify.headers import PinnedASGI, PinnedWSGI, Proxy

    LOG = pathlib.Path(__file__).with_name("reached")
    PEERS, CHAIN = ["127.0.0.1"], "Client-Cert-Chain"
    clients, authority = PinSet(leaf=[{client!r}]), PinSet(ca=[{authority!r}])

    def reached(seen):
        assert {secret!r} not in repr(seen)
        with LOG.open("a") as log:
            log.write("x")
        return b"reached"

    async def answer(receive, send, body):
        while (await receive()).get("more_body"):
            pass
        head = [(b"content-length", b"%d" % len(body))]
        await send({{"type": "http.response.start", "status": 200, "headers": head}})
        await send({{"type": "http.response.body", "body": body}})

    async def of_asgi(scope, receive, send):
        assert report_of(scope).accepted
        await answer(receive, send, reached(scope["headers"]))

    def of_wsgi(environ, start_response):
        assert report_of(environ).accepted
        seen = {{k: v for k, v in environ.items() if k.startswith("HTTP_")}}
        body = reached(seen)
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    PROXIES = {{}}
    for form in {forms!r}:
        PROXIES["/" + form] = clients, Proxy(form, peers=PEERS)
        PROXIES["/" + form + "-secret"] = clients, Proxy(form, secret={secret!r})
    proxy = Proxy("rfc9440", peers=PEERS, verified_chain=CHAIN)
    PROXIES["/rfc9440-chain"] = authority, proxy
    proxy = Proxy("rfc9440", secret={secret!r}, verified_chain=CHAIN)
    PROXIES["/rfc9440-chain-secret"] = authority, proxy
    BY_ASGI = {{path: PinnedASGI(of_asgi, *words) for path, words in PROXIES.items()}}
    BY_WSGI = {{path: PinnedWSGI(of_wsgi, *words) for path, words in PROXIES.items()}}

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            while (await receive())["type"] != "lifespan.shutdown":
                await send({{"type": "lifespan.startup.complete"}})
            await send({{"type": "lifespan.shutdown.complete"}})
        elif scope["path"] == "/raw":
            pairs = [(n.decode(), v.decode("latin-1")) for n, v in scope["headers"]]
            await answer(receive, send, json.dumps(pairs).encode())
        else:
            await BY_ASGI[scope["path"]](scope, receive, send)

    def wsgi(environ, start_response):
        if environ["PATH_INFO"] != "/raw":
            return BY_WSGI[environ["PATH_INFO"]](environ, start_response)
        if environ.get("HTTP_TRANSFER_ENCODING") or environ.get("CONTENT_LENGTH"):
            environ["wsgi.input"].read(3)
        pairs = [p for p in environ.items() if p[0].startswith("HTTP_")]
        body = json.dumps(pairs).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    if __name__ == "__main__":
        from wsgiref.simple_server import make_server

        make_server("127.0.0.1", int(sys.argv[1]), wsgi).serve_forever()
"""


class Server(NamedTuple):
    """A server that runs.

    Attributes:
        name: as the page has it.
        port: of 127.0.0.1.
        reached: a file with a byte for each request that reached the application.
    """

    name: str
    port: int
    reached: Path

    def num_reached(self) -> int:
        """Return how many requests have reached the application."""
        return self.reached.stat().st_size


class _Kind(NamedTuple):
    """One server.

    Attributes:
        package: to import; its version is that of the server.
        words: of its command, in which `PORT` is replaced; empty for wsgiref.
        is_wsgi: True if the application is that of WSGI.
        keeps_apart: True if a name with underscores is never taken for another.
    """

    package: str
    words: str
    is_wsgi: bool
    keeps_apart: bool


def _asgi(package: str, words: str) -> _Kind:
    return _Kind(package, words, is_wsgi=False, keeps_apart=True)


def _wsgi(package: str, words: str, *, keeps_apart: bool = False) -> _Kind:
    return _Kind(package, words, is_wsgi=True, keeps_apart=keeps_apart)


_UVICORN = "uvicorn application:asgi --port PORT --no-proxy-headers --http"
_GRANIAN = "granian --host 127.0.0.1 --port PORT --interface"
_GUNICORN = "gunicorn application:wsgi --bind 127.0.0.1:PORT"
_WAITRESS = "waitress --listen=127.0.0.1:PORT application:wsgi"
SERVERS = {
    "uvicorn, h11": _asgi("uvicorn", f"{_UVICORN} h11"),
    "uvicorn, httptools": _asgi("uvicorn", f"{_UVICORN} httptools"),
    "hypercorn": _asgi("hypercorn", "hypercorn application:asgi --bind 127.0.0.1:PORT"),
    "daphne": _asgi("daphne", "daphne -b 127.0.0.1 -p PORT application:asgi"),
    "granian, ASGI": _asgi("granian", f"{_GRANIAN} asgi application:asgi"),
    "gunicorn": _wsgi("gunicorn", f"{_GUNICORN} --no-control-socket", keeps_apart=True),
    "gunicorn 21": _wsgi("gunicorn", _GUNICORN),
    "waitress": _wsgi("waitress", _WAITRESS, keeps_apart=True),
    "cheroot": _wsgi("cheroot", "cheroot application:wsgi --bind 127.0.0.1:PORT"),
    "granian, WSGI": _wsgi("granian", f"{_GRANIAN} wsgi application:wsgi"),
    "wsgiref": _wsgi("wsgiref", ""),
}
"""By the names of the page."""

# Beside the current one: the Makefile installs it there.
_GUNICORN_21 = Path(sys.prefix, "gunicorn-21")


def write_application(folder: Path, pki: Pki) -> None:
    """Write the application; its authority is one that has issued nothing here."""
    code = textwrap.dedent(_APPLICATION).format(
        client=pki.client.pin,
        authority=pki.rogue_ca.pin,
        secret=SECRET,
        forms=FORMS,
    )
    (folder / "application.py").write_text(code, encoding="utf-8")
    (folder / "reached").touch()


@contextlib.contextmanager
def serving(name: str, folder: Path) -> Iterator[Server]:
    """Run a server with the application in *folder*; without it, skip the test."""
    kind, port = SERVERS[name], free_port()
    path = [str(folder)]
    if name == "gunicorn 21":
        if not _GUNICORN_21.is_dir():
            assert not is_expected(), "`make clients` installs gunicorn 21"
            pytest.skip("gunicorn 21 is not installed")
        path.insert(0, str(_GUNICORN_21))
    else:
        client_library(kind.package)
    if "httptools" in name:
        client_library("httptools")
    words = kind.words.replace("PORT", str(port)).split()
    module = ["-m", *words] if words else [str(folder / "application.py"), str(port)]
    if already := os.environ.get("PYTHONPATH"):
        path.append(already)
    environment = ["env", f"PYTHONPATH={':'.join(path)}"]
    with running([*environment, sys.executable, *module], port):
        yield Server(name, port, folder / "reached")


def version_of(name: str) -> str:
    """Return a server with its version."""
    if name == "wsgiref":
        return f"wsgiref {sys.version.split()[0]}"
    path = [str(_GUNICORN_21)] if name == "gunicorn 21" else sys.path
    package = SERVERS[name].package
    found = importlib.metadata.distributions(name=package, path=path)
    told = f"{package} {next(iter(found)).version}"
    _, _, part = name.partition(", ")
    if part == "httptools":
        part += f" {importlib.metadata.version(part)}"
    return f"{told}, {part}" if part else told
