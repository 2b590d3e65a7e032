"""Dialogues in cleartext after which TLS begins, one for each protocol.

Cleartext is not trusted, since anybody can have sent it: it decides only whether a
handshake begins. An answer is read to its end, and not a byte further. Bytes that a man
in the middle adds after an answer go to TLS, whose handshake then fails. So such bytes
are never taken for something that the server said over TLS (CVE-2011-0411).
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import shortened
from pinverify.policy._certs_and_pins import element, inside

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

__all__ = ["PROTOCOLS", "NoStartTLSError", "Protocol", "begin_tls"]

_LINE_MAX = 1024  # bytes; RFC 5321, 4.5.3.1.5: a reply line of SMTP has 512
_LINES_MAX = 100  # lines of one answer
_PACKET_MAX = 8192  # bytes; greetings of MySQL and answers of LDAP have about 100
_SHOWN_MAX = 60


class NoStartTLSError(OSError):
    """Raised when a server does not begin TLS; the text says what it did instead."""


class _Wire:
    """A cleartext connection, read to the end of an answer and no further."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock = sock
        self._end = time.monotonic() + seconds  # end of the whole dialogue

    def send(self, data: bytes) -> None:
        """Send a request."""
        self._sock.settimeout(self._left())
        self._sock.sendall(data)

    def read(self, count: int) -> bytes:
        """Read exactly *count* bytes, at most `_PACKET_MAX`."""
        if count > _PACKET_MAX:
            msg = f"announced an answer of {count:,} bytes"
            raise NoStartTLSError(msg)
        data = b""
        while len(data) < count:
            self._sock.settimeout(self._left())
            more = self._sock.recv(count - len(data))
            if not more:
                msg = "closed the connection"
                raise NoStartTLSError(msg)
            data += more
        return data

    def line(self) -> bytes:
        """Read one line, and return it without its end."""
        line = b""
        while not line.endswith(b"\n"):
            if len(line) >= _LINE_MAX:
                raise _refusal(line)
            line += self.read(1)
        return line.rstrip(b"\r\n")

    def reply(self, code: bytes) -> list[bytes]:
        """Read a reply of SMTP or FTP, whose last line has a blank after the code.

        Raises:
            NoStartTLSError: the code of the reply is not *code*.
        """
        lines = [self.line()]
        first = lines[0][:3]
        while lines[-1][:4] not in {first, first + b" "}:
            if len(lines) == _LINES_MAX:
                raise _refusal(lines[0])
            lines.append(self.line())
        if first != code:
            raise _refusal(lines[-1])
        return lines

    def _left(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _refusal(said: bytes) -> NoStartTLSError:
    text = shortened(said.decode("utf-8", "replace"), _SHOWN_MAX)
    return NoStartTLSError(f"said {text!r}")


# ---- lines of text -------------------------------------------------------------


def _smtp(wire: _Wire) -> None:
    """Begin TLS in SMTP (RFC 3207, 4)."""
    wire.reply(b"220")
    wire.send(b"EHLO localhost\r\n")
    offers = wire.reply(b"250")
    if b"STARTTLS" not in {line[4:].strip().upper() for line in offers}:
        msg = "does not offer STARTTLS"
        raise NoStartTLSError(msg)
    wire.send(b"STARTTLS\r\n")
    wire.reply(b"220")


def _imap(wire: _Wire) -> None:
    """Begin TLS in IMAP (RFC 9051, 6.2.1)."""
    greeting = wire.line()
    if not greeting.upper().startswith(b"* OK"):
        raise _refusal(greeting)
    wire.send(b"a STARTTLS\r\n")
    lines = (wire.line() for _ in range(_LINES_MAX))
    answer = next((line for line in lines if line.startswith(b"a ")), b"no answer")
    if answer[:4].upper() != b"A OK":
        raise _refusal(answer)


def _pop3(wire: _Wire) -> None:
    """Begin TLS in POP3 (RFC 2595, 4)."""
    for request in (b"STLS\r\n", b""):
        line = wire.line()
        if not line.startswith(b"+OK"):
            raise _refusal(line)
        wire.send(request)


def _ftp(wire: _Wire) -> None:
    """Begin TLS in FTP (RFC 4217, 4)."""
    wire.reply(b"220")
    wire.send(b"AUTH TLS\r\n")
    wire.reply(b"234")


# ---- bytes ---------------------------------------------------------------------


def _postgres(wire: _Wire) -> None:
    """Begin TLS in PostgreSQL (its manual, "SSL Session Encryption")."""
    wire.send(struct.pack("!II", 8, 80877103))
    answer = wire.read(1)
    if answer == b"N":
        msg = "has TLS switched off"
        raise NoStartTLSError(msg)
    if answer != b"S":
        raise _refusal(answer)


_MYSQL_TLS = 0x0800  # CLIENT_SSL
_MYSQL_PROTOCOL_41 = 0x0200
_MYSQL_SECURE_CONNECTION = 0x8000
_MYSQL_ABLE = _MYSQL_TLS | _MYSQL_PROTOCOL_41 | _MYSQL_SECURE_CONNECTION
_MYSQL_UTF8 = 45
_MYSQL_ERROR = 0xFF
_MYSQL_VERSION = 10


def _mysql(wire: _Wire) -> None:
    """Begin TLS in MySQL (its Connection Phase: HandshakeV10 and SSLRequest)."""
    header = wire.read(4)
    greeting = wire.read(int.from_bytes(header[:3], "little"))
    if not greeting or greeting[0] != _MYSQL_VERSION:
        # An error has its number, two bytes, before its text.
        raise _refusal(greeting[3 if greeting[:1] == bytes([_MYSQL_ERROR]) else 0 :])
    # After the version, which ends with a zero: 4 bytes, 8 bytes, a zero, capabilities.
    able = greeting[greeting.find(b"\0") + 14 :][:2]
    if not int.from_bytes(able, "little") & _MYSQL_TLS:
        msg = "has TLS switched off"
        raise NoStartTLSError(msg)
    body = struct.pack("<IIB23x", _MYSQL_ABLE, _PACKET_MAX, _MYSQL_UTF8)
    wire.send(len(body).to_bytes(3, "little") + bytes([header[3] + 1 & 0xFF]) + body)


# LDAP message 1: an ExtendedRequest with the OID of StartTLS.
_LDAP_REQUEST = bytes.fromhex("301d 020101 7718 8016") + b"1.3.6.1.4.1.1466.20037"
_LDAP_RESPONSE = 0x78
_SEQUENCE = 0x30


def _ldap(wire: _Wire) -> None:
    """Begin TLS in LDAP (RFC 4511, 4.12 and 4.14)."""
    wire.send(_LDAP_REQUEST)
    message = wire.read(2)
    if message[1] & 0x80:
        message += wire.read(min(message[1] & 0x7F, 4))
        length = int.from_bytes(message[2:], "big")
    else:
        length = message[1]
    if message[0] != _SEQUENCE:
        raise _refusal(message)
    message += wire.read(length)
    try:
        number, response, *_ = inside(message, element(message, 0))
        code, _, text, *_ = inside(message, response)
    except (IndexError, ValueError):
        raise _refusal(message) from None
    is_answer = message[number.start : number.end] == b"\x01"
    if not is_answer or response.tag != _LDAP_RESPONSE:
        raise _refusal(message)
    if message[code.start : code.end] != b"\0":
        raise _refusal(message[text.start : text.end] or b"no")


# ---- the table -----------------------------------------------------------------


class Protocol(NamedTuple):
    """A protocol that begins in cleartext.

    Attributes:
        port: the port where its servers usually listen.
        other_ports: other ports where they may listen; for advice.
        begin: holds the dialogue.
    """

    port: int
    other_ports: tuple[int, ...]
    begin: Callable[[_Wire], None]


PROTOCOLS = {
    "smtp": Protocol(25, (587, 2525), _smtp),
    "imap": Protocol(143, (), _imap),
    "pop3": Protocol(110, (), _pop3),
    "ftp": Protocol(21, (), _ftp),
    "postgres": Protocol(5432, (5433, 6432), _postgres),
    "mysql": Protocol(3306, (3307,), _mysql),
    "ldap": Protocol(389, (3268,), _ldap),
}
"""Every protocol by its name."""


def begin_tls(sock: socket.socket, protocol: str, seconds: float) -> None:
    """Hold the dialogue of a protocol; the TLS handshake comes next.

    Args:
        sock: a connected socket.
        protocol: the name of the protocol.
        seconds: the time for the whole dialogue.

    Raises:
        NoStartTLSError: the server did not agree.
        OSError: the connection broke, or the time is up.
    """
    PROTOCOLS[protocol].begin(_Wire(sock, seconds))
