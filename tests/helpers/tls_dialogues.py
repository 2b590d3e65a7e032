"""A client and a server that exchange a few words, in each way that `ssl` has.

A pinned server may work over memory buffers, as event loops do; over a blocking
socket that shakes hands when it is wrapped; or over one that shakes hands at the first
read. These are different classes and different paths to the same decision, so a test
of a decision takes the fixture `dialogue` and runs in every way.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from pinverify import PinningError, Reason
from tls_clients import SECRET, converse, reason
from tls_servers import LIMIT, MemoryLink

__all__ = ["WAYS", "Dialogue", "Dialogues"]


@dataclass
class Dialogue:
    """The result of a dialogue.

    Attributes:
        heard: what the server read.
        answered: what the client read.
        error: the rejection by either side.
        session: the client's, to resume, if it was accepted.
        resumed: the server resumed an earlier session, and accepted the client.
        kept: the server's end. OpenSSL forgets the session of a connection that is
            freed without a farewell, and then nothing could be resumed.
    """

    heard: bytes = b""
    answered: bytes = b""
    error: PinningError | None = None
    session: ssl.SSLSession | None = None
    resumed: bool = False
    kept: object = None

    def accepted(self) -> Dialogue:
        """Check that both sides were heard, and return the dialogue."""
        assert self.error is None
        assert (self.heard, self.answered) == (SECRET, SECRET)
        return self

    def refused(self) -> Reason:
        """Check that nothing was said; return the reason for the rejection."""
        assert (self.heard, self.answered) == (b"", b"")
        assert self.error is not None
        return reason(self.error)


Dialogues = Callable[..., Dialogue]
"""The fixture `dialogue`: a function of the contexts of a client and a server,
and of the client's ``server_hostname`` and ``session``."""


def _over_memory(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    *,
    server_hostname: str = "localhost",
    session: ssl.SSLSession | None = None,
) -> Dialogue:
    """Let both talk over memory buffers."""
    link = MemoryLink(client, server, server_hostname=server_hostname, session=session)
    result = Dialogue()
    try:
        converse(link)
    except PinningError as error:
        result.error = error
    else:
        result.answered = SECRET
        result.session = link.client.session
        result.resumed = bool(link.server.session_reused)
        result.kept = link.server
    result.heard = bytes(link.application)
    return result


def _over_sockets(
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    *,
    at_once: bool,
    server_hostname: str = "localhost",
    session: ssl.SSLSession | None = None,
) -> Dialogue:
    """Let both talk over blocking sockets.

    The handshake comes *at_once*, in wrap_socket(), or else with the first data.
    """
    result = Dialogue()

    def serve(sock: socket.socket) -> None:
        with server.wrap_socket(
            sock, server_side=True, do_handshake_on_connect=at_once
        ) as tls:
            result.heard = tls.recv(100)
            tls.sendall(result.heard)
            result.resumed = bool(tls.session_reused)
            result.kept = getattr(tls, "_sslobj", None)

    def talk(sock: socket.socket) -> None:
        with client.wrap_socket(
            sock,
            server_hostname=server_hostname,
            session=session,
            do_handshake_on_connect=at_once,
        ) as tls:
            tls.sendall(SECRET)
            result.answered = tls.recv(100)
            result.session = tls.session

    theirs, ours = socket.socketpair()
    for sock in (theirs, ours):
        sock.settimeout(LIMIT)
    # The pool ends last: a server that still waits then gets the end of the stream.
    with ThreadPoolExecutor(1) as pool, theirs, ours:
        served = pool.submit(serve, theirs)
        said = _raised_by(talk, ours)
        ours.close()
        errors = [served.exception(LIMIT), said]
    rejections = [error for error in errors if isinstance(error, PinningError)]
    result.error = rejections[0] if rejections else None
    # After a rejection, the other side may meet a closed connection.
    if result.error is None and any(errors):
        raise next(error for error in errors if error is not None)
    return result


def _raised_by(
    talk: Callable[[socket.socket], None], sock: socket.socket
) -> OSError | None:
    try:
        talk(sock)
    except OSError as error:
        return error
    return None


WAYS: dict[str, Dialogues] = {
    "memory": _over_memory,
    "socket": partial(_over_sockets, at_once=True),
    "lazy": partial(_over_sockets, at_once=False),
}
"""By the names that tests have for them."""
