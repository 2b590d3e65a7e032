"""The tables of the results of each client and server library."""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass, field

from client_recipes import Client
from server_recipes import ServerSide

__all__ = ["row", "short", "tell_events", "tell_forgeries", "text_of_tables"]


@dataclass
class Row:
    """The observations of one client."""

    path: str
    allowed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)


_rows: dict[str, Row] = {}
_events: list[tuple[str, ...]] = []
_forgeries: list[tuple[str, ...]] = []


def row(client: Client | ServerSide) -> Row:
    """Return the row of a client."""
    return _rows.setdefault(client.heading, Row(client.path))


def short(version: ssl.TLSVersion) -> str:
    """Return a version as the table shows it."""
    return version.name.removeprefix("TLSv1_").join(("1.", ""))


def _columns(seen: Row) -> tuple[set[str], set[str], set[str]]:
    return seen.allowed, seen.refused, seen.found


def tell_events(server: str, version: ssl.TLSVersion, mode: str, *counts: int) -> None:
    """Add a server's row: its clients accepted and refused, events told and logged."""
    _events.append((server, short(version), mode, *map(str, counts)))


def tell_forgeries(proxy: str, server: str, sent: int, *honest: int) -> None:
    """Add a row: forgeries, of which none passed, and answers to the pinned client."""
    _forgeries.append((proxy, server, str(sent), *map(str, honest)))


def text_of_tables() -> str:
    """Return what was seen since the last call, as tables; empty if nothing was."""
    python = f"Python {sys.version.split()[0]}"
    clients: list[tuple[str, ...]] = [
        (heading, seen.path, *(" ".join(sorted(s)) or "-" for s in _columns(seen)))
        for heading, seen in _rows.items()
    ]
    text = _laid_out(
        f"{python}, with the TLS versions of each answer",
        ("client", "path", "allowed", "refused", "error found at"),
        clients,
    ) + _laid_out(
        f"{python}, with the number of clients, and of events that name one",
        ("server", "TLS", "mode", "accepted", "refused", "told", "logged"),
        _events,
    )
    text += _laid_out(
        f"{python}, with the number of forged requests, of which none passed, and the "
        "answers to the pinned client",
        ("proxy", "server", "forged", "no secret", "chunked", "secret", "chunked"),
        _forgeries,
    )
    for rows in (_rows, _events, _forgeries):
        rows.clear()
    return text


def _laid_out(title: str, head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table in columns; without rows, nothing."""
    if not rows:
        return ""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join(["\n", title, *text, ""])
