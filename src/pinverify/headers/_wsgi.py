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

    WSGI has one name for ``Client-Cert`` and ``Client_Cert``, and some servers pass the
    second, which a client may send beside the proxy's. With a secret in the header with
    the certificate that helps nobody. Without one, only requests of servers that are
    known to drop the second are accepted: gunicorn 22 and later, and waitress.

    Put it outside of all other middleware, above all of such that replaces the
    address of the peer. A refused request is answered by 403. The application finds
    the report of an accepted one by ``report_of(environ)``.
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


# What servers call themselves (SERVER_SOFTWARE) that drop names with underscores.
_DROPS_UNDERSCORES = re.compile(
    r"gunicorn/(?:2[2-9]|[3-9][0-9]|[1-9][0-9]{2,})\..*|waitress"
)


def _merged(environ: dict[str, Any]) -> str:
    """Return why a header may be one with underscores; empty if it cannot be one."""
    server = environ.get("SERVER_SOFTWARE")
    if isinstance(server, str) and _DROPS_UNDERSCORES.fullmatch(server):
        return ""
    return (
        f"{server or 'the server'} may take X_Y for X-Y; declare a secret that stands "
        "beside the certificate, or take gunicorn 22, waitress or PinnedASGI"
    )


def _names(environ: dict[str, Any]) -> list[tuple[str, bytes]]:
    """Return the variables that have headers (RFC 3875, 4.1.18), and their names."""
    return [
        (key, _bytes(key[len(_PREFIX) :].replace("_", "-")))
        for key in environ
        if key.startswith(_PREFIX)
    ]


def _request(environ: dict[str, Any]) -> Request:
    """Return the parts of an environment that are needed.

    A server on a Unix socket, such as gunicorn, says that the address is empty. One
    that says nothing has no address that could be compared.
    """
    lines = [(name, _bytes(environ[key])) for key, name in _names(environ)]
    merged, address = _merged(environ), environ.get("REMOTE_ADDR")
    if not address:
        unix = address is not None
        return Request(lines, None, unix, merged=merged)
    peer = (address, _number(environ.get("REMOTE_PORT")))
    return Request(lines, peer, unix=False, merged=merged)


def _bytes(text: str) -> bytes:
    """Return the bytes behind a text of WSGI (PEP 3333), never other ones."""
    return text.encode("latin-1", "backslashreplace")


def _number(port: object) -> int:
    """Return a port; servers need not tell it, and then it is 0."""
    return int(port) if isinstance(port, str) and port.isdecimal() else 0
