"""Middleware for WSGI: gunicorn, waitress, Flask, Django."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from pinverify.headers._middleware import Middleware
from pinverify.headers._request_decision import Request, refusal_text
from pinverify.tls._report_of import IN_SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse

__all__ = ["PinnedWSGI"]


class PinnedWSGI(Middleware[WSGIApplication]):
    """A WSGI application that only pinned clients reach.

    WSGI has one name for ``Client-Cert`` and ``Client_Cert``. Some servers pass
    ``Client_Cert``, which a client can send in addition to the proxy's header. A secret
    in the header with the certificate makes the client's header useless. Without a
    secret there, requests are accepted only from servers that are known to drop
    ``Client_Cert``: gunicorn 22 and later, and waitress.

    Put it outside of all other middleware, especially of any that replaces the address
    of the peer. A refused request is answered by 403. The application finds the report
    of an accepted request by ``report_of(environ)``.
    """

    __module__ = "pinverify.headers"

    def __call__(
        self, environ: dict[str, Any], start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer one request, or hand it to the application."""
        report = self._gate.decide(_request(environ))
        if report.accepted:
            for key, name in _names(environ):
                value = _bytes(environ[key])
                seen = self._gate.for_application(name.lower(), value)
                if seen is None:
                    del environ[key]
                elif seen != value:
                    environ[key] = seen.decode("latin-1")
            environ[IN_SCOPE] = report
            return self._app(environ, start_response)
        text = refusal_text(report).encode()
        headers = [
            ("Content-Type", "text/plain; charset=utf-8"),
            ("Content-Length", str(len(text))),
            ("Cache-Control", "no-store"),
        ]
        start_response("403 Forbidden", headers)
        return [text]


_PREFIX = "HTTP_"


# SERVER_SOFTWARE of the servers that drop names with underscores.
_DROPS_UNDERSCORES = re.compile(
    r"gunicorn/(?:2[2-9]|[3-9][0-9]|[1-9][0-9]{2,})\..*|waitress"
)


def _merged(environ: dict[str, Any]) -> str:
    """Return why a header may have come with underscores; empty if it cannot."""
    server = environ.get("SERVER_SOFTWARE")
    if isinstance(server, str) and _DROPS_UNDERSCORES.fullmatch(server):
        return ""
    return (
        f"{server or 'the server'} may take X_Y for X-Y; declare a secret that stands "
        "beside the certificate, or take gunicorn 22, waitress or PinnedASGI"
    )


def _names(environ: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Return the variables with headers (RFC 3875, 4.1.18), and the headers' names."""
    return [
        (key, _bytes(key[len(_PREFIX) :].replace("_", "-")))
        for key in environ
        if key.startswith(_PREFIX)
    ]


def _request(environ: dict[str, Any]) -> Request:
    """Return the parts of an environment that the decision needs.

    On a Unix socket, servers such as gunicorn give an empty address. If a server gives
    no address at all, there is nothing to compare.
    """
    lines = [(name, _bytes(environ[key])) for key, name in _names(environ)]
    merged, address = _merged(environ), environ.get("REMOTE_ADDR")
    if not address:
        unix = address is not None
        return Request(lines, None, unix, merged=merged)
    peer = (address, _number(environ.get("REMOTE_PORT")))
    return Request(lines, peer, unix=False, merged=merged)


def _bytes(text: str) -> bytes:
    """Return the bytes that a text of WSGI stands for (PEP 3333); escape others."""
    return text.encode("latin-1", "backslashreplace")


def _number(port: object) -> int:
    """Return a port, or 0 if the server does not give it."""
    return int(port) if isinstance(port, str) and port.isdecimal() else 0
