"""The table of what was seen of each client and server library."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass, field

from client_recipes import Client
from server_recipes import ServerSide

__all__ = ["row", "short", "text_of_table"]


@dataclass
class Row:
    """The observations of one client."""

    path: str
    allowed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)


_rows: dict[str, Row] = {}


def row(client: Client | ServerSide) -> Row:
    """Return the row of a client."""
    return _rows.setdefault(client.heading, Row(client.path))


def short(version: ssl.TLSVersion) -> str:
    """Return a version as the table shows it."""
    return version.name.removeprefix("TLSv1_").join(("1.", ""))


def _columns(seen: Row) -> tuple[set[str], set[str], set[str]]:
    return seen.allowed, seen.refused, seen.found


def text_of_table() -> str:
    """Return what was seen since the last call, as a table; empty if nothing was."""
    if not _rows:
        return ""
    lines: list[tuple[str, ...]] = [
        ("client", "path", "allowed", "refused", "error found at")
    ]
    lines += [
        (heading, seen.path, *(" ".join(sorted(s)) or "-" for s in _columns(seen)))
        for heading, seen in _rows.items()
    ]
    _rows.clear()
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    title = f"Python {sys.version.split()[0]}, with the TLS versions of each answer"
    text = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(["\n", title, *text, ""])
