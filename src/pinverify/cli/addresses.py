"""Servers as a user writes them."""

from __future__ import annotations

from typing import NamedTuple

from pinverify.policy._hosts import canonical
from pinverify.tls._connect import split_address

__all__ = ["Server"]


class Server(NamedTuple):
    """Host and port of a server."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Server:
        """Read ``host``, ``host:port`` or ``https://host``.

        Raises:
            PolicyError: *text* is none of these.
        """
        host, port = split_address(text)
        return cls(canonical(host), port)

    def __str__(self) -> str:
        """Return ``host:port``."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"
