"""Requests with a client's certificate in a header, and the middleware they are for.

Other code than pinverify's writes the values: `cryptography`, `base64` and
`urllib.parse`.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import urllib.parse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from pinverify import PinSet, Report, report_of
from pinverify.headers import Form, PinnedASGI, PinnedWSGI, Proxy
from pki import Identity

__all__ = [
    "DOORS",
    "HEADERS",
    "OWN_HEADER",
    "PEER",
    "Answer",
    "Lines",
    "Sent",
    "lines_of",
    "value_of",
]

Lines = Sequence[tuple[str, str]]

PEER = "192.0.2.7"  # the proxy

HEADERS: dict[Form, str] = {
    "rfc9440": "Client-Cert",
    "nginx": "X-SSL-Client-Cert",
    "envoy": "X-Forwarded-Client-Cert",
    "haproxy": "X-SSL-Client-DER",
    "apache": "X-SSL-Client-Cert",
    "traefik": "X-Forwarded-Tls-Client-Cert",
    "caddy": "X-Client-Cert",
    "alb": "X-Amzn-Mtls-Clientcert-Leaf",
}


def value_of(form: Form, identity: Identity) -> str:
    """Return the header that a proxy of this form passes for a client."""
    text = base64.b64encode(identity.der).decode("ascii")
    escaped = urllib.parse.quote(identity.pem, safe="")
    digest = hashlib.sha256(identity.der).hexdigest()
    return {
        "rfc9440": f":{text}:",
        "nginx": escaped,
        "envoy": f'By=spiffe://a.example/x;Hash={digest};Cert="{escaped}";Subject="'
        f'O=\\"A, B\\";CN=a=b";URI=;DNS=a.example;DNS=b.example',
        "haproxy": text,
        "apache": identity.pem.replace("\n", " ").strip(),
        "traefik": text,
        "caddy": text,
        "alb": urllib.parse.quote(identity.pem, safe="+/="),
    }[form]


# The forms whose secret has a header of its own.
OWN_HEADER: tuple[Form, ...] = ("envoy", "traefik", "alb")


def lines_of(form: Form, identity: Identity, secret: str | None = None) -> Lines:
    """Return the lines that a proxy passes for a client: certificate and secret."""
    header, value = HEADERS[form], value_of(form, identity)
    if secret is None:
        return [(header, value)]
    if form in OWN_HEADER:
        return [(header, value), ("X-Pinverify-Secret", secret)]
    if form == "rfc9440":
        return [(header, f'{value};secret="{secret}"')]
    return [(header, f"{secret} {value}")]


class Answer(NamedTuple):
    """The end of a request.

    Attributes:
        status: the code that the client reads.
        body: what it reads.
        heard: the scope or the environ of each request that reached the application.
        reports: of `on_report`.
    """

    status: int
    body: bytes
    heard: list[dict[str, Any]]
    reports: list[Report]

    @property
    def passed(self) -> bool:
        """True if the request reached the application."""
        assert (self.status == 200) == bool(self.heard)
        return bool(self.heard)

    @property
    def report(self) -> Report:
        """The report that the application finds."""
        report = report_of(self.heard[0])
        assert report is not None
        return report


class Sent(NamedTuple):
    """A request.

    Attributes:
        lines: its headers.
        address: of the peer; None for a Unix socket.
        on_report: is called after the report was kept.
        software: the name of the server of WSGI.
    """

    lines: Lines
    address: str | None = PEER
    on_report: Callable[[Report], object] = id
    software: str | None = "gunicorn/23.0.0"


def http(sent: Sent, pins: PinSet, proxy: Proxy) -> Answer:
    """Send a request through the middleware for ASGI."""
    return _asgi("http", sent, pins, proxy)


def websocket(sent: Sent, pins: PinSet, proxy: Proxy) -> Answer:
    """Open a websocket through the middleware for ASGI."""
    return _asgi("websocket", sent, pins, proxy)


def _asgi(kind: str, sent: Sent, pins: PinSet, proxy: Proxy) -> Answer:
    answer = Answer(0, b"", [], [])
    events: list[dict[str, Any]] = []

    async def app(scope: Any, _: Any, send: Any) -> None:  # noqa: ANN401
        answer.heard.append(scope)
        if kind == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"hello"})
        else:
            await send({"type": "websocket.accept"})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request" if kind == "http" else "websocket.connect"}

    async def send(event: Any) -> None:  # noqa: ANN401
        events.append(event)

    scope = {
        "type": kind,
        "headers": [
            (name.lower().encode(), value.encode("latin-1"))
            for name, value in sent.lines
        ],
        "client": None if sent.address is None else (sent.address, 50000),
        "server": ("/run/a.sock", None) if sent.address is None else ("192.0.2.1", 80),
    }
    middleware = PinnedASGI(app, pins, proxy, on_report=_telling(answer, sent))
    asyncio.run(middleware(scope, receive, send))
    if kind == "http":
        body = b"".join(event.get("body", b"") for event in events)
        return answer._replace(status=events[0]["status"], body=body)
    (event,) = events
    return answer._replace(status=200 if event["type"] == "websocket.accept" else 403)


def wsgi(sent: Sent, pins: PinSet, proxy: Proxy) -> Answer:
    """Send a request through the middleware for WSGI, as `wsgiref` would."""
    answer = Answer(0, b"", [], [])
    started: list[str] = []

    def app(environ: Any, start_response: Any) -> Iterable[bytes]:  # noqa: ANN401
        answer.heard.append(environ)
        start_response("200 OK", [])
        return [b"hello"]

    environ: dict[str, Any] = {"REQUEST_METHOD": "GET", "SERVER_PORT": "80"}
    if sent.software is not None:
        environ |= {"SERVER_SOFTWARE": sent.software}
    if sent.address is None:
        environ |= {"REMOTE_ADDR": ""}
    else:
        environ |= {"REMOTE_ADDR": sent.address, "REMOTE_PORT": "50000"}
    for name, value in sent.lines:
        key = "HTTP_" + name.upper().replace("-", "_")
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    middleware = PinnedWSGI(app, pins, proxy, on_report=_telling(answer, sent))
    body = b"".join(middleware(environ, lambda status, _: started.append(status)))  # type: ignore[arg-type]
    return answer._replace(status=int(started[0][:3]), body=body)


def _telling(answer: Answer, sent: Sent) -> Callable[[Report], object]:
    def tell(report: Report) -> None:
        answer.reports.append(report)
        sent.on_report(report)

    return tell


DOORS: dict[str, Callable[[Sent, PinSet, Proxy], Answer]] = {
    "http": http,
    "websocket": websocket,
    "wsgi": wsgi,
}
