"""Errors and interrupts inside the check: the connection is closed, never open."""

from __future__ import annotations

import socket
import ssl

import pytest

from pinverify import PinningError, Reason
from pinverify.tls import _evidence
from pki import Pki
from tls_clients import SECRET, Serve, assert_nothing_said, later, pinning, trusting
from tls_servers import server_context


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, OSError, ValueError])
def test_an_error_inside_the_check_is_a_refusal(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[Exception],
) -> None:
    """If there is no verdict the connection is not used, although the peer is right.

    What leaves the check is a PinningError all the same: event loops lose other
    exceptions, or take them for something that may be tried again.
    """
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki, pinning(pki))

    def fail(*_things: object, **_options: object) -> None:
        raise kind

    with later(context, server) as tls:
        with monkeypatch.context() as patch:
            patch.setattr(_evidence, "_time", fail)
            patch.setattr(_evidence, "evaluate_at", fail)
            patch.setattr(_evidence, "verify_at", fail)
            with pytest.raises(PinningError) as caught:
                tls.sendall(SECRET)
        assert isinstance(caught.value.__cause__, kind)
        assert caught.value.report.reason is Reason.NOT_CHECKED
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


def test_an_interrupt_inside_the_check_does_not_open_the_socket(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C between handshake and verdict leaves the verdict open, not passed."""
    server = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))

    def interrupt(*_things: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with later(context, server) as tls:
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLSocket, "getpeercert", interrupt)
            patch.setattr(_evidence, "evaluate_at", interrupt)
            patch.setattr(_evidence, "verify_at", interrupt)
            with pytest.raises((KeyboardInterrupt, PinningError)):
                tls.sendall(SECRET)
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


@pytest.mark.parametrize("kind", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_nobody_gets_a_connection_whose_check_did_not_end(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
) -> None:
    """Where wrap_socket does the handshake, it raises, and the socket is closed."""
    server = serve(server_context(pki.server, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    made: list[ssl.SSLSocket] = []

    def fail(*_things: object, **_options: object) -> None:
        raise kind

    def note(sock: ssl.SSLSocket) -> object:
        made.append(sock)  # the only way to it before wrap_socket returns
        return socket.socket.getpeername(sock)

    with monkeypatch.context() as patch:
        patch.setattr(_evidence, "_time", fail)
        patch.setattr(ssl.SSLSocket, "getpeername", note, raising=False)
        with pytest.raises(
            KeyboardInterrupt if kind is KeyboardInterrupt else PinningError
        ) as caught:
            context.wrap_socket(server.connect(), server_hostname="localhost")
    if isinstance(caught.value, PinningError):
        assert isinstance(caught.value.__cause__, kind)
        with pytest.raises(PinningError):
            made[0].sendall(SECRET)
    assert made[0].fileno() == -1
    assert_nothing_said(server.record())
