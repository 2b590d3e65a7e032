"""Loopback servers that speak just enough of a protocol for a real client library.

Each protocol is one function, a conversation: it reads what the client says and
answers, up to the first question of a client. A `Server` holds the conversation with
each client in a thread, and records what it read in cleartext and over TLS. Nothing
here knows pinverify. Every wait has a timeout, `close` ends every thread, and errors in
a conversation are kept in its record.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import importlib
import re
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

__all__ = [
    "HELLO",
    "Line",
    "Record",
    "Server",
    "connect_proxy",
    "echo",
    "ftp",
    "http",
    "http2",
    "imap",
    "ldap",
    "mqtt",
    "mysql",
    "oracle",
    "pop3",
    "postgres",
    "redis",
    "smtp",
    "starttls_echo",
    "websocket",
]

HELLO = b"hello"
LIMIT = 20.0  # seconds; nothing waits this long unless it is broken


@dataclass
class Record:
    """The bytes of one connection. They are complete when `done` is set."""

    clear: bytearray = field(default_factory=bytearray)
    """The bytes that were read before TLS."""
    application: bytearray = field(default_factory=bytearray)
    """The bytes that were read over TLS."""
    after: bytearray = field(default_factory=bytearray)
    """The bytes that came after a handshake that failed, as they came."""
    handshake: bool = False
    """The server's handshake came to its end."""
    error: Exception | None = None
    """The error that ended the conversation, if one did."""
    done: threading.Event = field(default_factory=threading.Event)


class Line:
    """One connection, as a conversation sees it."""

    def __init__(
        self, sock: socket.socket, context: ssl.SSLContext | None, record: Record
    ) -> None:
        """Begin in clear; without *context* there is no TLS on this line."""
        self.sock = sock
        self.record = record
        self.context = context
        self._unread = bytearray()

    @property
    def tls(self) -> bool:
        """True once TLS has begun."""
        return isinstance(self.sock, ssl.SSLSocket)

    def start_tls(self) -> None:
        """Do the handshake. What comes from now on is application data."""
        assert self.context is not None
        self.sock = self.context.wrap_socket(
            self.sock, server_side=True, do_handshake_on_connect=False
        )
        self.sock.do_handshake()
        self.record.handshake = True

    def read(self, count: int) -> bytes:
        """Return *count* bytes; fewer if the client ends."""
        while len(self._unread) < count and self._fill():
            pass
        taken = bytes(self._unread[:count])
        del self._unread[:count]
        return taken

    def read_until(self, end: bytes) -> bytes:
        """Return what comes up to *end* and with it; nothing if the client ends."""
        while end not in self._unread:
            if not self._fill():
                return b""
        return self.read(self._unread.index(end) + len(end))

    def line(self) -> bytes:
        """Return one line without its end; nothing if the client ends."""
        return self.read_until(b"\n").rstrip(b"\r\n")

    def some(self) -> bytes:
        """Return whatever comes next; nothing if the client ends."""
        if not self._unread:
            self._fill(at_once=65536)
        return self.read(len(self._unread))

    def write(self, data: bytes) -> None:
        """Send *data*."""
        self.sock.sendall(data)

    def _fill(self, at_once: int = 1) -> bool:
        """Read; in clear, not one byte of the handshake that may come next."""
        data = self.sock.recv(65536 if self.tls else at_once)
        self._unread += data
        read = self.record.application if self.tls else self.record.clear
        read += data
        return bool(data)

    def close(self) -> None:
        """Say goodbye, read what still comes, and close."""
        if self.record.handshake:
            self.record.done.set()  # nothing more is recorded
            with contextlib.suppress(OSError, ValueError):
                tls: Any = self.sock
                tls.settimeout(0)  # the client's goodbye is read below, if it comes
                tls.unwrap()
        with socket.socket(fileno=self.sock.detach()) as raw:
            raw.settimeout(LIMIT)
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_WR)
                while data := raw.recv(65536):
                    self.record.after += b"" if self.record.handshake else data
        self.record.done.set()


Conversation = Callable[[Line], None]


class Server:
    """A server on 127.0.0.1 that holds one conversation with each client."""

    def __init__(
        self,
        conversation: Conversation,
        context: ssl.SSLContext | None,
        *,
        tls_first: bool = True,
    ) -> None:
        """Start listening.

        Args:
            conversation: what it says.
            context: how it speaks TLS; None if it does not.
            tls_first: the handshake comes before the conversation.
        """
        self.records: list[Record] = []
        self._conversation = conversation
        self._context = context
        self._tls_first = tls_first
        self._closing = False
        self._lines: list[tuple[socket.socket, threading.Thread]] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def finished(self) -> list[Record]:
        """Wait until every connection so far is over; return all records."""
        records = list(self.records)
        for record in records:
            assert record.done.wait(LIMIT), "the client left its connection open"
        return records

    def close(self) -> None:
        """End the listener and every connection, and wait for the threads."""
        self._closing = True
        # accept() does not return when another thread closes its socket: a last
        # connection wakes it.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), LIMIT).close()
        self._accepting.join(LIMIT)
        self._listener.close()
        assert not self._accepting.is_alive()
        for sock, thread in self._lines:
            if thread.is_alive():
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            thread.join(LIMIT)
            assert not thread.is_alive()
            sock.close()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the server."""
        self.close()

    def _accept(self) -> None:
        while True:
            sock, _ = self._listener.accept()
            if self._closing:
                sock.close()
                return
            record = Record()
            self.records.append(record)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(LIMIT)
            # close() needs a handle of its own: TLS takes the other one over.
            handle = sock.dup()
            thread = threading.Thread(
                target=self._hold, args=(sock, record), daemon=True
            )
            self._lines.append((handle, thread))
            thread.start()

    def _hold(self, sock: socket.socket, record: Record) -> None:
        line = Line(sock, self._context, record)
        try:
            if self._tls_first and self._context is not None:
                line.start_tls()
            self._conversation(line)
        except Exception as error:  # noqa: BLE001  (the record is for the test)
            record.error = error
        finally:
            line.close()


# ---- the web -----------------------------------------------------------------


def http(line: Line) -> None:
    """HTTP/1.1: every request gets "hello", on one connection."""
    while line.read_until(b"\r\n\r\n"):
        line.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + HELLO)


def http2(line: Line) -> None:
    """HTTP/2: every request gets "hello". The context must offer "h2" (ALPN)."""
    h2: Any = importlib.import_module("h2.connection")
    config: Any = importlib.import_module("h2.config")
    connection = h2.H2Connection(config.H2Configuration(client_side=False))
    connection.initiate_connection()
    line.write(connection.data_to_send())
    while data := line.some():
        for event in connection.receive_data(data):
            if type(event).__name__ == "StreamEnded":
                connection.send_headers(event.stream_id, [(":status", "200")])
                connection.send_data(event.stream_id, HELLO, end_stream=True)
        line.write(connection.data_to_send())


def websocket(line: Line) -> None:
    """WebSocket (RFC 6455): every short message comes back."""
    head = line.read_until(b"\r\n\r\n")
    key = re.search(rb"(?i)sec-websocket-key: *(\S+)", head)
    assert key is not None
    secret = key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = base64.b64encode(hashlib.sha1(secret, usedforsecurity=False).digest())
    line.write(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    while header := line.read(2):
        mask = line.read(4)
        masked = line.read(header[1] & 0x7F)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
        line.write(bytes([header[0], len(payload)]) + payload)
        if header[0] & 0x0F == 8:  # close, and the answer to it
            return


def connect_proxy(port: int) -> Conversation:
    """A proxy that answers CONNECT, whatever the host, with a tunnel to *port*."""

    def converse(line: Line) -> None:
        if not line.read_until(b"\r\n\r\n").startswith(b"CONNECT "):
            return
        with socket.create_connection(("127.0.0.1", port), LIMIT) as origin:
            line.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _tunnel(line, origin)

    return converse


def _tunnel(line: Line, origin: socket.socket) -> None:
    """Carry bytes both ways, in one thread, until one side ends."""
    while True:
        pending = isinstance(line.sock, ssl.SSLSocket) and line.sock.pending()
        ready: Iterable[object] = [line.sock]
        if not pending:
            ready, _, _ = select.select([line.sock, origin], [], [], LIMIT)
        for sock in ready:
            data = line.some() if sock is line.sock else origin.recv(65536)
            if not data:
                return
            if sock is line.sock:
                origin.sendall(data)
            else:
                line.write(data)


# ---- lines of our own --------------------------------------------------------


def echo(line: Line) -> None:
    """Every byte comes back."""
    while data := line.some():
        line.write(data)


def starttls_echo(line: Line) -> None:
    """The line STARTTLS, answered with "go"; then TLS, and every byte comes back."""
    if line.line() == b"STARTTLS":
        line.write(b"go\n")
        line.start_tls()
        echo(line)


# ---- mail and files ----------------------------------------------------------


def smtp(line: Line) -> None:
    """SMTP (RFC 5321) with STARTTLS (RFC 3207), if there is TLS on this line."""
    line.write(b"220 localhost\r\n")
    while command := line.line():
        verb = command.split()[0].upper()
        if verb == b"STARTTLS" and line.context is not None:
            line.write(b"220 go\r\n")
            line.start_tls()
        elif verb == b"EHLO":
            more = line.context is not None and not line.tls
            line.write(b"250-localhost\r\n250-STARTTLS\r\n" if more else b"")
            line.write(b"250 8BITMIME\r\n")
        else:
            line.write(_smtp_answer(verb))
            if verb == b"QUIT":
                return


def _smtp_answer(verb: bytes) -> bytes:
    known = {b"NOOP": b"250 hello\r\n", b"QUIT": b"221 bye\r\n"}
    return known.get(verb, b"502 not implemented\r\n")


def imap(line: Line) -> None:
    """IMAP (RFC 9051), over TLS or with STARTTLS."""
    line.write(b"* OK localhost\r\n")
    while command := line.line():
        tag, verb = command.split()[:2]
        untagged = b""
        if verb == b"CAPABILITY":
            untagged = b"* CAPABILITY IMAP4rev1"
            if line.context is not None and not line.tls:
                untagged += b" STARTTLS"
            untagged += b"\r\n"
        if verb == b"STARTTLS" and (line.context is None or line.tls):
            line.write(tag + b" BAD unknown\r\n")
            continue
        line.write(untagged + tag + b" OK hello\r\n")
        if verb == b"STARTTLS":
            line.start_tls()
        elif verb == b"LOGOUT":
            return


def pop3(line: Line) -> None:
    """POP3 (RFC 1939), over TLS or with STLS (RFC 2595)."""
    line.write(b"+OK localhost\r\n")
    while command := line.line():
        if command == b"CAPA":
            capable = line.context is not None and not line.tls
            line.write(b"+OK\r\n" + (b"STLS\r\n" if capable else b"") + b".\r\n")
        elif command == b"STLS" and line.context is not None:
            line.write(b"+OK go\r\n")
            line.start_tls()
        elif command in {b"NOOP", b"QUIT"}:
            line.write(b"+OK hello\r\n")
            if command == b"QUIT":
                return
        else:
            line.write(b"-ERR unknown\r\n")


def ftp(data_context: ssl.SSLContext) -> Conversation:
    """FTP with AUTH TLS (RFC 4217); every file is "hello", and any can be stored.

    Args:
        data_context: how the data connections speak TLS.
    """

    def converse(line: Line) -> None:
        line.write(b"220 localhost\r\n")
        with socket.create_server(("127.0.0.1", 0)) as data:
            data.settimeout(LIMIT)
            while command := line.line():
                verb = command.split()[0]
                if verb == b"AUTH" and line.context is not None:
                    line.write(b"234 go\r\n")
                    line.start_tls()
                elif verb in {b"RETR", b"STOR"}:
                    line.write(b"150 open\r\n")
                    _ftp_data(line, data, data_context, stores=verb == b"STOR")
                else:
                    line.write(_ftp_answer(verb, data.getsockname()[1]))
                if verb == b"QUIT":
                    return

    return converse


def _ftp_answer(verb: bytes, port: int) -> bytes:
    passive = f"227 passive (127,0,0,1,{port // 256},{port % 256})\r\n"
    return {
        b"USER": b"230 logged in\r\n",
        b"PBSZ": b"200 ok\r\n",
        b"PROT": b"200 ok\r\n",
        b"TYPE": b"200 ok\r\n",
        b"PASV": passive.encode("ascii"),
        b"QUIT": b"221 bye\r\n",
    }.get(verb, b"502 not implemented\r\n")


def _ftp_data(
    control: Line, listener: socket.socket, context: ssl.SSLContext, *, stores: bool
) -> None:
    sock, _ = listener.accept()
    sock.settimeout(LIMIT)
    data = Line(sock, context, control.record)
    try:
        data.start_tls()
        if stores:
            while data.some():
                pass
        else:
            data.write(HELLO)
        tls: Any = data.sock
        tls.unwrap()  # a client waits for it
    except OSError:
        control.write(b"426 the data connection broke\r\n")
    else:
        control.write(b"226 done\r\n")
    finally:
        data.sock.close()


# ---- data bases and queues ---------------------------------------------------


def redis(line: Line) -> None:
    """Redis, RESP2 or 3: PING, and what a client says to introduce itself."""
    while header := line.line():
        words = []
        for _ in range(int(header[1:])):
            length = int(line.line()[1:])
            words.append(line.read(length + 2)[:-2].upper())
        if words[0] == b"HELLO":
            line.write(b"%1\r\n$5\r\nproto\r\n:3\r\n")
        else:
            line.write(b"+PONG\r\n" if words[0] == b"PING" else b"+OK\r\n")


def postgres(line: Line) -> None:
    """PostgreSQL, protocol 3.0: SSLRequest, no password, simple queries."""
    length, code = struct.unpack("!II", line.read(8))
    if code == 80877103 and line.context is not None:
        line.write(b"S")
        line.start_tls()
        length = struct.unpack("!I", line.read(4))[0]
        line.read(length - 4)
    elif code == 80877103:
        line.write(b"N")
        if not line.read(1):
            return
    ready = _pg(b"Z", b"I")
    line.write(
        _pg(b"R", bytes(4))
        + _pg(b"S", b"server_version\x0016.0\x00")
        + _pg(b"S", b"client_encoding\x00UTF8\x00")
        + _pg(b"K", bytes(8))
        + ready
    )
    while header := line.read(5):
        line.read(struct.unpack("!I", header[1:])[0] - 4)
        if header[:1] == b"X":  # Terminate
            return
        if header[:1] == b"Q":
            line.write(_pg(b"C", HELLO + b"\x00") + ready)


def _pg(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


_MYSQL_SSL = 0x0800


def mysql(line: Line) -> None:
    """MySQL, protocol 10: the SSL request, an empty password, OK to each command."""
    capabilities = 0x000FA20D | (_MYSQL_SSL if line.context is not None else 0)
    line.write(
        _mysql(
            0,
            b"\x0a8.0.0\x00"
            + bytes(4)  # connection id
            + b"8 bytes.\x00"
            + struct.pack("<HBHH", capabilities & 0xFFFF, 45, 2, capabilities >> 16)
            + b"\x15"
            + bytes(10)
            + b"twelve bytes\x00mysql_native_password\x00",
        )
    )
    ok = b"\x00\x00\x00\x02\x00\x00\x00"
    number, packet = _mysql_packet(line)
    if struct.unpack("<I", packet[:4])[0] & _MYSQL_SSL and not line.tls:
        line.start_tls()
        number, _ = _mysql_packet(line)
    line.write(_mysql(number + 1, ok))
    while packet:
        number, packet = _mysql_packet(line)
        if packet[:1] == b"\x01":  # COM_QUIT
            return
        line.write(_mysql(number + 1, ok))


def _mysql(number: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "little") + bytes([number]) + body


def _mysql_packet(line: Line) -> tuple[int, bytes]:
    header = line.read(4)
    if not header:
        return 0, b""
    return header[3], line.read(int.from_bytes(header[:3], "little"))


def ldap(line: Line) -> None:
    """LDAP: StartTLS (RFC 4511, 4.14), and success for every short request."""
    while header := line.read(2):
        body = line.read(header[1])
        number, operation = body[2], body[3]
        # The answer is one tag higher, but nothing is found before that of a search.
        tag = operation + (2 if operation == 0x63 else 1)
        done = bytes([tag, 7, 10, 1, 0, 4, 0, 4, 0])
        able = line.context is not None and not line.tls
        if operation == 0x77 and not able:
            done = done[:4] + b"\x34" + done[5:]  # unavailable
        line.write(bytes([0x30, 3 + len(done), 2, 1, number]) + done)
        if operation == 0x77 and able:
            line.start_tls()


def mqtt(line: Line) -> None:
    """MQTT 3.1.1: CONNECT, PUBLISH with QoS 1, DISCONNECT. Short packets only."""
    while header := line.read(2):
        body = line.read(header[1])
        kind = header[0] >> 4
        if kind == 1:  # CONNECT: CONNACK
            line.write(b"\x20\x02\x00\x00")
        elif kind == 3:  # PUBLISH: PUBACK with its packet identifier
            topic = int.from_bytes(body[:2], "big")
            line.write(b"\x40\x02" + body[2 + topic : 4 + topic])
        elif kind == 14:  # DISCONNECT
            return


# The password of every user of the Oracle Database below. It is never sent: who knows
# it can read the key that the server chose.
ORACLE_PASSWORD = b"swordfish"


def oracle(line: Line) -> None:
    """Oracle Net: a user logs on with a password (the verifier of 11g), and off."""
    packet = _oracle_packet(line, long=False)
    if len(packet) == 74:  # the connect string comes in a packet of its own
        _oracle_packet(line, long=False)
    accept = struct.pack("!HH20xI", 317, 0, 8192)
    line.write(struct.pack("!HxxBxxx", 8 + len(accept), 2) + accept)
    capable = bytearray(64)
    capable[7] = 7  # that of 12.2
    answers = [
        b"\x01\x06\x00Fake\x00"
        + struct.pack("<HBH", 873, 0, 0)  # UTF-8
        + struct.pack("!H11s", 11, bytes(9) + b"\x07\xd0")
        + _oracle_bytes(bytes(capable))
        + _oracle_bytes(bytes(11)),
        b"\x02\x00\x00",  # the types that the client asked for
    ]
    for answer in answers:
        _oracle_packet(line)
        _oracle_answer(line, answer)
    _oracle_packet(line)
    log_on = _OracleLogOn()
    _oracle_answer(line, log_on.challenge())
    _oracle_answer(line, log_on.welcome(_oracle_packet(line)))
    while _oracle_packet(line)[10:11]:  # log off, and the end
        _oracle_answer(line, b"\x09\x00\x00")


def _oracle_packet(line: Line, *, long: bool = True) -> bytes:
    header = line.read(8)
    if not header:
        return b""
    length = int.from_bytes(header[: 4 if long else 2], "big")
    return header + line.read(length - 8)


def _oracle_answer(line: Line, body: bytes) -> None:
    line.write(struct.pack("!IBxxxH", 10 + len(body), 6, 0) + body)


def _oracle_bytes(data: bytes) -> bytes:
    return bytes([len(data)]) + data


def _oracle_number(number: int) -> bytes:
    data = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return _oracle_bytes(data)


class _OracleLogOn:
    """The keys of one log-on, with the verifier of 11g."""

    def __init__(self) -> None:
        self._salt = bytes(range(10))
        digest = hashlib.sha1(ORACLE_PASSWORD + self._salt, usedforsecurity=False)
        self._password_key = digest.digest() + bytes(4)
        self._ours = bytes(range(48))

    def challenge(self) -> bytes:
        """Answer the name of a user."""
        key = self._cipher(self._password_key).encryptor().update(self._ours)
        return self._parameters(
            {"AUTH_SESSKEY": key.hex().upper(), "AUTH_VFR_DATA": self._salt.hex()}
        )

    def welcome(self, packet: bytes) -> bytes:
        """Answer the key and the password of the client."""
        found = re.search(rb"AUTH_SESSKEY.*?([0-9A-F]{96})", packet, re.DOTALL)
        assert found is not None
        sent = bytes.fromhex(found[1].decode())
        theirs = self._cipher(self._password_key).decryptor().update(sent)
        mixed = bytes(a ^ b for a, b in zip(self._ours, theirs, strict=True))
        parts = mixed[16:32], mixed[32:40]
        key = b"".join(hashlib.md5(p, usedforsecurity=False).digest() for p in parts)
        proof = bytes(16) + b"SERVER_TO_CLIENT" + 16 * b"\x10"
        sealed = self._cipher(key[:24]).encryptor().update(proof)
        return self._parameters(
            {
                "AUTH_SVR_RESPONSE": sealed.hex().upper(),
                "AUTH_VERSION_NO": str(19 << 24),
                "AUTH_SESSION_ID": "1",
                "AUTH_SERIAL_NUM": "1",
            }
        )

    @staticmethod
    def _cipher(key: bytes) -> Any:  # noqa: ANN401
        ciphers: Any = importlib.import_module("cryptography.hazmat.primitives.ciphers")
        return ciphers.Cipher(ciphers.algorithms.AES(key), ciphers.modes.CBC(bytes(16)))

    @staticmethod
    def _parameters(values: dict[str, str]) -> bytes:
        data = b"\x08" + _oracle_number(len(values))
        for name, value in values.items():
            for text in (name.encode(), value.encode()):
                data += _oracle_number(len(text)) + _oracle_bytes(text)
            data += _oracle_number(0x1B25 if name == "AUTH_VFR_DATA" else 0)
        return data + b"\x09\x00\x00"
