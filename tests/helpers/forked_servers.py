"""Servers whose workers are forks, as pre-forking servers run them.

The workers share only a listening context, so that each can open the tickets of the
others.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

from tls_servers import LIMIT

__all__ = ["Answer", "AnswerOne", "answer_one", "ask", "forked", "serve", "workers"]

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def answer_one(sock: socket.socket, context: ssl.SSLContext) -> None:
    """Answer one HTTP request; the body tells whether the session was resumed."""
    with context.wrap_socket(sock, server_side=True) as tls:
        request = b""
        while b"\r\n\r\n" not in request:
            part = tls.recv(65536)
            if not part:
                return
            request += part
        body = b"resumed" if tls.session_reused else b"full"
        tls.sendall(
            b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        with contextlib.suppress(OSError):
            tls.unwrap()


AnswerOne = Callable[[socket.socket, Any], None]
"""Does what `answer_one` does, with a context of another library perhaps."""


def serve(
    listener: socket.socket,
    context: Any,  # noqa: ANN401
    answer: AnswerOne = answer_one,
) -> None:
    """Answer one client after the other, for ever."""
    while True:
        sock, _ = listener.accept()
        sock.settimeout(LIMIT)
        with sock, contextlib.suppress(OSError):  # a rejection is one
            answer(sock, context)


@contextlib.contextmanager
def forked(*actions: Callable[[], object]) -> Iterator[list[int]]:
    """Run each action in a child of its own until the block ends; yield their groups.

    A child ends with its own children, if it has any: they are of its process group.
    """
    children: list[int] = []
    try:
        for action in actions:
            child = os.fork()
            if child == 0:  # nothing of pytest's may run here
                try:
                    os.setpgid(0, 0)
                    action()
                finally:
                    os._exit(1)
            with contextlib.suppress(OSError):  # whoever is first
                os.setpgid(child, child)
            children.append(child)
        yield children
    finally:
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)


@contextlib.contextmanager
def workers(
    context: Any,  # noqa: ANN401
    number: int,
    answer: AnswerOne = answer_one,
) -> Iterator[list[int]]:
    """Run workers, each with a port of its own, so that a client can choose."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=64))
            for _ in range(number)
        ]
        stack.enter_context(
            forked(*(lambda to=one: serve(to, context, answer) for one in listeners))
        )
        yield [listener.getsockname()[1] for listener in listeners]


Answer = tuple[bytes, ssl.SSLSession | None]
"""The body of an answer, empty if there was none, and the client's session."""


def ask(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> Answer:
    """Send a request as a client that may resume a session."""
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(OSError),  # how a refusal looks depends on the moment
        context.wrap_socket(plain, server_hostname="localhost", session=session) as tls,
    ):
        tls.sendall(_REQUEST)
        while part := tls.recv(65536):
            answer += part
        session = tls.session
    return answer.partition(b"\r\n\r\n")[2], session
