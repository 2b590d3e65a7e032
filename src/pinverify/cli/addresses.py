"""Servers as a user writes them: a name, and where to connect to."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.starttls import PROTOCOLS
from pinverify.errors import PolicyError
from pinverify.policy._hosts import canonical
from pinverify.tls._connect import HTTPS_PORT, split_address

if TYPE_CHECKING:
    from pinverify.cli.way import Way

__all__ = ["Server", "default_port"]


def default_port(way: Way) -> int:
    """Return the port of servers that are written without one."""
    return HTTPS_PORT if way.starttls is None else PROTOCOLS[way.starttls].port


class Server(NamedTuple):
    """A server.

    Attributes:
        host: the name that it is asked for, that is verified, and looked up in rules.
        port: its port.
        place: where to connect to; without `--connect` or `--servername` the same.
    """

    host: str
    port: int
    place: tuple[str, int]

    @classmethod
    def parse(cls, text: str, way: Way) -> Server:
        """Read ``host``, ``host:port`` or ``https://host``.

        Raises:
            PolicyError: *text* is none of these.
        """
        if way.starttls is not None and "://" in text:
            msg = f"{text!r} with --starttls: write host or host:port"
            raise PolicyError(msg)
        host, port = split_address(text, default_port(way))
        return cls.named(canonical(host), port, way)

    @classmethod
    def named(cls, host: str, port: int, way: Way) -> Server:
        """Return a server with this canonical host, reached in a way.

        Raises:
            PolicyError: the name or the place that *way* has is none.
        """
        place = host, port
        if way.connect is not None:
            other, number = split_address(way.connect, port)
            place = canonical(other), number
        if way.servername is not None:
            host = canonical(way.servername)
        return cls(host, port, place)

    def __str__(self) -> str:
        """Return ``host:port``, and the place if it is another."""
        written = _written(self.host, self.port)
        if self.place == (self.host, self.port):
            return written
        return f"{written} at {_written(*self.place)}"


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
