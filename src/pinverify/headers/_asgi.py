"""Middleware for ASGI: uvicorn, hypercorn, Starlette, FastAPI, Django."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from pinverify.headers._middleware import Middleware
from pinverify.headers._request_decision import Request, refusal_text
from pinverify.tls._report_of import IN_SCOPE

__all__ = ["PinnedASGI"]

_Message: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[_Message]]
_Send: TypeAlias = Callable[[_Message], Awaitable[None]]
_App: TypeAlias = Callable[[_Message, _Receive, _Send], Awaitable[None]]

_POLICY_VIOLATION = 1008  # RFC 6455, 7.4.1


class PinnedASGI(Middleware[_App]):
    """An ASGI application that only pinned clients reach.

    Put it outside of all other middleware. If another middleware replaces the peer's
    address by an address from a header, the proxy cannot be recognised. uvicorn, too,
    replaces it unless started with ``--no-proxy-headers``; an address that uvicorn has
    replaced is refused.

    A refused request is answered by 403; a websocket is closed before it opens. The
    application finds the report of an accepted request by ``report_of(scope)``.
    """

    __module__ = "pinverify.headers"

    async def __call__(self, scope: _Message, receive: _Receive, send: _Send) -> None:
        """Answer one request, or hand it to the application.

        Raises:
            ValueError: the scope has a type without a known check.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await self._app(scope, receive, send)
            return
        if kind not in {"http", "websocket"}:
            msg = f"a scope of type {kind!r} has no client certificate to check"
            raise ValueError(msg)
        report = self._gate.decide(_request(scope))
        if report.accepted:
            shown = self._gate.for_application
            seen = [(n, shown(n.lower(), value)) for n, value in scope["headers"]]
            kept = [line for line in seen if line[1] is not None]
            await self._app({**scope, "headers": kept, IN_SCOPE: report}, receive, send)
        elif kind == "http":
            await _refuse(refusal_text(report).encode(), send)
        else:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})


async def _refuse(text: bytes, send: _Send) -> None:
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": text})


_REPLACED = (
    "the server took the address of the peer from a header; start uvicorn with "
    "--no-proxy-headers, and put this middleware outside of others"
)
_UNKNOWN = "the server does not tell the address of the peer; declare a secret alone"


def _request(scope: _Message) -> Request:
    """Return the parts of a scope that the decision needs.

    For a Unix socket, ``server`` in the scope has a path instead of a host, and no
    port.
    """
    client, server, lines = scope.get("client"), scope.get("server"), scope["headers"]
    if not client:
        unix = server is not None and server[1] is None
        return Request(lines, None, unix, "" if unix else _UNKNOWN)
    if _is_replaced(client[0], client[1], lines):
        return Request(lines, None, unix=False, next_step=_REPLACED)
    return Request(lines, (client[0], client[1]), unix=False)


def _is_replaced(host: str, port: int, lines: Iterable[tuple[bytes, bytes]]) -> bool:
    """Return True if the server took the address of the peer from a header.

    uvicorn does so unless it is told not to. If the header has no port, uvicorn sets
    port 0, which no connection has. Otherwise the header has both the host and the port
    that uvicorn sets; the host may be in brackets or within other text.
    """
    if not port:
        return True
    for name, value in lines:
        if name.lower() == b"x-forwarded-for":
            for one in value.decode("latin-1").split(","):
                given, _, number = one.rpartition(":")
                with contextlib.suppress(ValueError):  # not a number
                    if host in given and int(number) == port:
                        return True
    return False
