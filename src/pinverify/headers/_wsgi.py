"""Middleware for WSGI: gunicorn, waitress, mod_wsgi, Flask, Django."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from wsgiref.types import WSGIApplication

from pinverify.headers._gate import Request, refusal_text
from pinverify.headers._middleware import Middleware
from pinverify.tls._report_of import IN_SCOPE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse

__all__ = ["PinnedWSGI"]


class PinnedWSGI(Middleware[WSGIApplication]):
    """A WSGI application that only pinned clients reach.

    WSGI has one name for ``Client-Cert`` and ``Client_Cert``. gunicorn, waitress and
    werkzeug drop the second; behind a server that does not, as `wsgiref`, the proxy
    must drop it.

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
            if self._gate.secret_name is not None:
                environ.pop(_key(self._gate.secret_name), None)
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


def _key(name: bytes) -> str:
    """Return the variable that has a header (RFC 3875, 4.1.18)."""
    return _PREFIX + name.decode("ascii").upper().replace("-", "_")


def _request(environ: dict[str, Any]) -> Request:
    """Return the parts of an environment that are needed.

    A server on a Unix socket, such as gunicorn, says that the address is empty. One
    that says nothing has no address that could be compared.
    """
    lines = [
        (_bytes(key[len(_PREFIX) :].replace("_", "-")), _bytes(value))
        for key, value in environ.items()
        if key.startswith(_PREFIX)
    ]
    address = environ.get("REMOTE_ADDR")
    if not address:
        return Request(lines, None, unix=address is not None)
    return Request(lines, (address, _number(environ.get("REMOTE_PORT"))), unix=False)


def _bytes(text: str) -> bytes:
    """Return the bytes behind a text of WSGI (PEP 3333), never other ones."""
    return text.encode("latin-1", "backslashreplace")


def _number(port: object) -> int:
    """Return a port; servers need not tell it, and then it is 0."""
    return int(port) if isinstance(port, str) and port.isdecimal() else 0
