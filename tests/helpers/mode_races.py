"""Connections to a genuine server and an impostor while a thread changes the mode.

The mode is the verify mode of a context. The impostor's leaf merely names the pinned
authority as its issuer. OpenSSL refuses it while verification is on. While it is off,
OpenSSL builds a "verified" chain with the pinned authority in it: whoever mistakes one
mode for the other accepts the impostor.
"""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from pinverify import find_pinning_error
from pki import Pki
from tls_servers import LIMIT, server_context

__all__ = [
    "CONNECTIONS",
    "Connect",
    "Outcomes",
    "Peers",
    "meanwhile",
    "outcome",
    "outcomes",
]

CONNECTIONS = int(os.environ.get("VERIFY_MODE_CONNECTIONS", "10000"))
"""The connections to the impostor that a slow test makes in each form."""

_TRUE_REASONS = (
    "OpenSSL did not verify this chain: verify_mode was CERT_NONE when",
    # During the first connection of a context, which `install` guards only then.
    "whether OpenSSL verified this chain: verify_mode was changed while",
)
Outcomes = Counter[str]


class Peers:
    """The genuine server and an impostor, over TCP and in memory.

    Attributes:
        contexts: the context of each.
        addresses: where each listens.
        received: the number of bytes of application data that each got.
    """

    def __init__(self, pki: Pki, version: ssl.TLSVersion, answer: bytes = b"") -> None:
        """Start to listen; *answer* is what each says to whatever it hears."""
        identities = {"genuine": pki.server, "forged": pki.ca.forged_leaf("localhost")}
        self.contexts = {
            name: server_context(identity, version=version)
            for name, identity in identities.items()
        }
        self.listeners = {
            name: socket.create_server(("127.0.0.1", 0), backlog=64)
            for name in identities
        }
        self.addresses = {
            name: listener.getsockname() for name, listener in self.listeners.items()
        }
        self.received = dict.fromkeys(identities, 0)
        self.answer = answer
        self.closing = False
        self.threads = [
            threading.Thread(target=self._serve, args=(name,)) for name in identities
        ]
        for thread in self.threads:
            thread.start()

    def _serve(self, name: str) -> None:
        """Serve one connection after the other; a client that fails just leaves."""
        while True:
            sock, _ = self.listeners[name].accept()
            if self.closing:
                sock.close()
                return
            sock.settimeout(LIMIT)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with (
                contextlib.suppress(OSError),
                sock,
                self.contexts[name].wrap_socket(sock, server_side=True) as tls,
            ):
                heard = tls.recv(65536)
                self.received[name] += len(heard)
                if heard and self.answer:
                    tls.sendall(self.answer)

    def __enter__(self) -> Self:
        """Return the servers."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End both servers, once they have heard all that was sent."""
        self.closing = True
        for address in self.addresses.values():
            socket.create_connection(address, LIMIT).close()
        for thread in self.threads:
            thread.join(LIMIT)
            assert not thread.is_alive()
        for listener in self.listeners.values():
            listener.close()


@contextlib.contextmanager
def meanwhile(action: Callable[[], object]) -> Iterator[None]:
    """Repeat an action in another thread, once before and until the block is over."""
    over, begun = threading.Event(), threading.Event()

    def repeat() -> None:
        try:
            while not over.is_set():
                action()
                begun.set()
        finally:
            begun.set()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # otherwise each handshake waits 5 ms for the GIL
    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(repeat)
        try:
            assert begun.wait(LIMIT)
            yield
        finally:
            over.set()
            sys.setswitchinterval(before)
        repeated.result(LIMIT)


Connect = Callable[[Peers, str], object]
"""Sends something to the server of this name, or raises."""


def outcomes(connect: Connect, peers: Peers, times: int) -> dict[str, Outcomes]:
    """Connect to both servers by turns, and count what comes of it.

    Args:
        connect: makes one connection.
        peers: the servers.
        times: the number of connections to the impostor; half as many go to the
            genuine server.
    """
    counted = {name: Outcomes() for name in peers.contexts}
    for _ in range(times // 2):
        for name in ("forged", "genuine", "forged"):
            counted[name][outcome(connect, peers, name)] += 1
    return counted


def outcome(connect: Connect, peers: Peers, name: str) -> str:
    """Connect once; return "accepted", who refused the peer, or another error."""
    try:
        connect(peers, name)
    except Exception as error:  # noqa: BLE001 - clients raise what they like
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            return "by OpenSSL"
        found = find_pinning_error(error)
        if found is not None:
            told = any(reason in str(found) for reason in _TRUE_REASONS)
            return "by pins" if told else f"by pins, with another reason: {found}"
        return repr(error)
    return "accepted"
