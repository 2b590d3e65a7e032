"""Clients of `ssl` for tests: their contexts, operations and refusals.

`OPERATIONS` has every operation that can be the first on a socket. `trusting` makes a
context that trusts both authorities of the cast, and pins it if a policy is given.
`assert_refused` and `assert_nothing_said` check that a rejection is a proper one.
"""

from __future__ import annotations

import select
import ssl
import tempfile
from collections.abc import Callable
from typing import Any, cast

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, Report, pin_context
from pki import Identity, Pki
from tls_servers import LIMIT, MemoryLink, Record, TLSServer, client_context

__all__ = [
    "GREETING",
    "OPERATIONS",
    "SECRET",
    "WRITES",
    "Operation",
    "Serve",
    "any_operation",
    "any_read",
    "any_write",
    "assert_nothing_said",
    "assert_refused",
    "client_of",
    "connect",
    "converse",
    "decision_of",
    "echo",
    "later",
    "makefile_read",
    "makefile_write",
    "pinning",
    "pins_in",
    "raised_by",
    "reason",
    "sendfile",
    "session_of",
    "trusting",
    "unverifying",
    "wait_until_ready",
]

SECRET = b"a secret of the application"
GREETING = b"a greeting from the server"
Serve = Callable[..., TLSServer]
Operation = Callable[[ssl.SSLSocket], bytes | bytearray | None]


# ---------------------------------------------------------------------------
# What an application may do first with a socket. Each returns what it read.
# ---------------------------------------------------------------------------


def _send(tls: ssl.SSLSocket) -> None:
    assert tls.send(SECRET) == len(SECRET)


def _sendall(tls: ssl.SSLSocket) -> None:
    tls.sendall(SECRET)


def _write(tls: ssl.SSLSocket) -> None:
    assert tls.write(SECRET) == len(SECRET)


def sendfile(tls: ssl.SSLSocket) -> None:
    """Send the secret from a file."""
    with tempfile.TemporaryFile() as file:
        file.write(SECRET)
        file.seek(0)
        assert tls.sendfile(file) == len(SECRET)


def makefile_write(tls: ssl.SSLSocket) -> None:
    """Write the secret to a file that is the socket."""
    with tls.makefile("wb", buffering=0) as file:
        assert file.write(SECRET) == len(SECRET)


def _recv(tls: ssl.SSLSocket) -> bytes:
    return tls.recv(100)


def _recv_into(tls: ssl.SSLSocket) -> bytearray:
    buffer = bytearray(100)
    return buffer[: tls.recv_into(buffer)]


def _read(tls: ssl.SSLSocket) -> bytes:
    return tls.read(100)


def _read_into(tls: ssl.SSLSocket) -> bytearray:
    buffer = bytearray(100)
    # The stubs do not know that read() counts when it is given a buffer.
    return buffer[: cast("int", tls.read(100, buffer))]


def makefile_read(tls: ssl.SSLSocket) -> bytes:
    """Read the greeting from a file that is the socket."""
    with tls.makefile("rb") as file:
        return file.read(len(GREETING))


WRITES: dict[str, Operation] = {
    "send": _send,
    "sendall": _sendall,
    "write": _write,
    "sendfile": sendfile,
    "makefile-write": makefile_write,
}
READS: dict[str, Operation] = {
    "recv": _recv,
    "recv_into": _recv_into,
    "read": _read,
    "read-into-a-buffer": _read_into,
    "makefile-read": makefile_read,
}
OPERATIONS: dict[str, Operation] = {
    "do_handshake": lambda tls: tls.do_handshake(),
    **WRITES,
    **READS,
}
any_write = pytest.mark.parametrize("operation", WRITES.values(), ids=WRITES)
any_read = pytest.mark.parametrize("operation", READS.values(), ids=READS)
any_operation = pytest.mark.parametrize(
    "operation", OPERATIONS.values(), ids=OPERATIONS
)


# ---------------------------------------------------------------------------
# Contexts and servers
# ---------------------------------------------------------------------------


def trusting(pki: Pki, policy: Policy | PinSet | None = None) -> ssl.SSLContext:
    """Make a client context that trusts both roots, pinned if *policy* is there."""
    context = client_context(pki.root, pki.rogue_root)
    if policy is not None:
        assert pin_context(context, policy) is context
    return context


def pinning(pki: Pki) -> Policy:
    """Pin the key of `pki.server` for localhost."""
    return Policy({"localhost": [pki.server.pin]}, unpinned="reject")


def pins_in(place: str, pin: str) -> PinSet:
    """Make a PinSet with one pin, in the list of the name *place*."""
    lists: dict[str, Any] = {place: [pin]}
    return PinSet(**lists)


def unverifying(pki: Pki, policy: Policy | PinSet | None = None) -> ssl.SSLContext:
    """Make a client context that knows the roots and verifies nothing."""
    context = trusting(pki, policy)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def later(
    context: ssl.SSLContext,
    server: TLSServer,
    server_hostname: str | None = "localhost",
    session: ssl.SSLSession | None = None,
) -> ssl.SSLSocket:
    """Connect to *server*, with the handshake left for later.

    A pinned client leaves out a session that it would refuse, so *session* is put into
    the C object.
    """
    tls: Any = context.wrap_socket(
        server.connect(), server_hostname=server_hostname, do_handshake_on_connect=False
    )
    if session is not None:
        tls._sslobj.session = session  # noqa: SLF001
    return cast("ssl.SSLSocket", tls)


def connect(
    context: ssl.SSLContext,
    server: TLSServer,
    server_hostname: str | None = "localhost",
) -> ssl.SSLSocket:
    """Connect to *server*, handshake included."""
    return context.wrap_socket(server.connect(), server_hostname=server_hostname)


def echo(tls: ssl.SSLSocket, data: bytes = SECRET) -> None:
    """Send *data* to an echo server and expect it back."""
    tls.sendall(data)
    back = b""
    while len(back) < len(data):
        part = tls.recv(len(data) - len(back))
        assert part
        back += part
    assert back == data


def converse(link: MemoryLink) -> None:
    """Let the client of *link* write SECRET and read the server's echo."""
    link.run(lambda: link.client.write(SECRET))
    assert link.run(lambda: link.client.read(100)) == SECRET


def raised_by(operation: Callable[[Any], object], tls: object) -> Exception | None:
    """Do *operation* on *tls*, and return what it raised."""
    try:
        operation(tls)
    except Exception as error:  # noqa: BLE001 - which it is, is the question
        return error
    return None


def assert_nothing_said(record: Record) -> None:
    """Check that no byte of the application came, encrypted or in clear."""
    assert record.application == b""
    assert SECRET not in record.wire


def assert_refused(
    context: ssl.SSLContext, server: TLSServer, record: int = 0
) -> PinningError:
    """Check that *context* refuses *server*, and that nothing was said."""
    with later(context, server) as tls:
        with pytest.raises(PinningError) as caught:
            tls.sendall(SECRET)
        assert tls.fileno() == -1
    assert_nothing_said(server.record(record))
    return caught.value


def reason(error: PinningError) -> Reason:
    """Return why *error* was raised."""
    assert error.report is not None
    assert not error.report.accepted
    return error.report.reason


def wait_until_ready(tls: ssl.SSLSocket, operation: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Repeat *operation* on a non-blocking socket until it is done."""
    while True:
        try:
            return operation()
        except ssl.SSLWantReadError:
            assert select.select([tls], [], [], LIMIT)[0]
        except ssl.SSLWantWriteError:
            assert select.select([], [tls], [], LIMIT)[1]


def session_of(context: ssl.SSLContext, server: TLSServer) -> ssl.SSLSession:
    """Make a session with *server* that can be resumed."""
    with connect(context, server) as tls:
        echo(tls)  # in TLS 1.3 the ticket comes with the first data
        assert tls.session is not None
        return tls.session


def decision_of(tls: ssl.SSLSocket | ssl.SSLObject) -> Report | None:
    """Return the report of a connection, if it has one."""
    report: Report | None = tls.pin_report  # type: ignore[union-attr]
    return report


def client_of(pki: Pki, identity: Identity | None) -> ssl.SSLContext:
    """Return the context of a client with this certificate, or without any."""
    return client_context(pki.root, identity=identity)
