"""The report of a connection, found in the objects of client and server libraries."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.policy import Report

__all__ = ["IN_SCOPE", "report_of"]

IN_SCOPE = "pinverify.report"
"""The key of the report that `pinverify.headers` puts in an ASGI scope or a WSGI
environ. No header can become this key: those begin with ``HTTP_``."""

_MISSING: Any = object()

# Attributes in which libraries keep the connection, nearest first. TLS inside of TLS
# has both `sslobj` (urllib3) and the socket of the outer connection.
_INSIDE = (
    "sslobj",
    "connection",  # responses of urllib3 and aiohttp
    "sock",
    "transport",
    "raw",  # responses of requests; files of http.client
    "fp",
    "_sock",
    "socket",
)

_OBJECTS_MAX = 100  # to look at: objects may have any attribute, without an end


def report_of(connection: object) -> Report | None:
    """Return the report of a connection that pins have accepted or rejected.

    The report is made once, and then kept.

    Args:
        connection: a socket or an object of `ssl`; a transport or a `StreamWriter` of
            asyncio; a transport of Twisted with TLS; a connection of pyOpenSSL; a
            response of httpx; one of http.client, urllib3 or requests whose body has
            not been read yet; one of aiohttp whose body has not arrived yet (a short
            one arrives with the head); an ASGI scope that has the transport; an ASGI
            scope or a WSGI environ that `pinverify.headers` let pass.

    Returns:
        The report; None if the TLS connection has no pins, or is not judged yet.

    Raises:
        TypeError: *connection* is none of these, or no longer has its connection.
    """
    seen: set[int] = set()
    waiting = [connection]
    while waiting and len(seen) < _OBJECTS_MAX:
        candidate = waiting.pop(0)
        if candidate is None or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        report: Report | None = _own_report(candidate)
        if report is not _MISSING:
            return report
        waiting[:0] = _inside(candidate)
    if isinstance(connection, Mapping):
        msg = (
            "this ASGI scope does not have its connection, as with uvicorn and "
            "hypercorn: use on_report of pin_context, which tells of each client that "
            "is refused or would be"
        )
    else:
        msg = (
            f"no TLS connection in {type(connection).__name__}: pass a socket, an "
            "ssl_object, a transport or a response whose body has not been read "
            "(stream=True of requests, preload_content=False of urllib3) and, with "
            "aiohttp, has not arrived whole"
        )
    raise TypeError(msg)


def _own_report(candidate: Any) -> Any:  # noqa: ANN401 - an object of any library
    """Return the report of a TLS connection; of anything else `_MISSING`."""
    if hasattr(type(candidate), "pin_report"):
        return candidate.pin_report
    if isinstance(candidate, Mapping) and IN_SCOPE in candidate:
        return candidate[IN_SCOPE]
    is_tls = isinstance(candidate, ssl.SSLSocket | ssl.SSLObject)
    is_tls = is_tls or type(candidate).__module__ == "OpenSSL.SSL"
    return None if is_tls else _MISSING  # without pins


def _inside(candidate: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the objects that may have the connection of *candidate*."""
    if isinstance(candidate, Mapping):  # ASGI scopes, extensions of httpx
        for name in ("ssl_object", "transport", "network_stream", "extensions"):
            yield candidate.get(name)
        return
    extra = getattr(candidate, "get_extra_info", None)
    if callable(extra):
        yield extra("ssl_object")
    handle = getattr(candidate, "getHandle", None)  # Twisted
    if callable(handle):
        yield handle()
    extensions = getattr(candidate, "extensions", None)
    if isinstance(extensions, Mapping):
        yield extensions
    for name in _INSIDE:
        yield getattr(candidate, name, None)
