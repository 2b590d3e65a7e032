"""The head of an HTTP/1.1 request, read as strictly as proxies write it (RFC 9112).

The service of `pinverify authserver` answers requests of one proxy, which have no body.
So folding, a blank before a colon, any line end but CR LF, and a body are refused:
nothing may have two readings.

The number of headers and the bytes in their values are not judged here, because the
proxy passes on the headers of honest clients. Headers that count are read strictly by
their forms.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["Head", "HeadError", "read_head"]

_FIRST = re.compile(rb"[!-~]+ [^\0- ]+ HTTP/1\.([01])")
# A token, a colon, and any bytes except those that end a line or a text for some reader
# (RFC 9110, 5.5 and 5.6.2). Blanks are cut off afterwards: two repeats that both match
# blanks would backtrack.
_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([^\0\r\n]*)")


class HeadError(Exception):
    """Raised for a request that is refused unread; the text says why."""


class Head(NamedTuple):
    """The head of a request.

    Attributes:
        lines: name and value of each header, in order.
        goes_on: True if the connection stays open for another request.
    """

    lines: list[tuple[bytes, bytes]]
    goes_on: bool


def read_head(data: bytes) -> Head:
    """Read the head of a request.

    Args:
        data: the bytes up to and including the blank line.

    Raises:
        HeadError: *data* is not the head of a request without a body.
    """
    first, *rest = data.removesuffix(b"\r\n\r\n").split(b"\r\n")
    found = _FIRST.fullmatch(first)
    if found is None:
        msg = "the first line is not one of HTTP/1.1"
        raise HeadError(msg)
    lines = [_line(text) for text in rest]
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        values.setdefault(name.lower(), []).append(value)
    if b"transfer-encoding" in values or values.get(b"content-length", [b"0"]) != [
        b"0"
    ]:
        msg = "it has a body; let the proxy send none"
        raise HeadError(msg)
    words = b",".join(values.get(b"connection", [])).lower().split(b",")
    closes = b"close" in {word.strip(b" \t") for word in words}
    return Head(lines, goes_on=found[1] == b"1" and not closes)


def _line(text: bytes) -> tuple[bytes, bytes]:
    found = _LINE.fullmatch(text)
    if found is None:
        msg = "a line is no header"
        raise HeadError(msg)
    return found[1], found[2].strip(b" \t")
