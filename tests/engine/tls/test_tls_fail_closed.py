"""Errors and interrupts inside the check: the connection is closed, never open."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, Report, pin_context
from pinverify.tls import _judge, _ssl_connections
from pki import Pki
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    connect,
    echo,
    later,
    pinning,
    trusting,
)
from tls_servers import MemoryLink, server_context


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
            patch.setattr(_judge, "_time", fail)
            patch.setattr(_judge, "evaluate_at", fail)
            patch.setattr(_judge, "verify_at", fail)
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
    """Ctrl-C between handshake and verdict ends the connection."""
    server = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))

    def interrupt(*_things: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with later(context, server) as tls:
        with monkeypatch.context() as patch:
            patch.setattr(ssl.SSLSocket, "getpeercert", interrupt)
            patch.setattr(_judge, "evaluate_at", interrupt)
            patch.setattr(_judge, "verify_at", interrupt)
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
        patch.setattr(_judge, "_time", fail)
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


def test_a_connection_is_not_judged_by_the_peer_of_another_c_object(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Notes about a C object count for that one alone."""
    genuine = serve(server_context(pki.server, version=version), echo=False)
    forged = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    with later(context, genuine) as tls, later(context, forged) as other:
        vars(tls)["_sslobj"].raw.do_handshake()
        tls._sslobj = vars(other)["_sslobj"].raw  # type: ignore[attr-defined]  # noqa: SLF001
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                tls.sendall(SECRET)
            assert caught.value.report.reason is Reason.NOT_CHECKED
    assert_nothing_said(forged.record())


def test_a_verified_connection_is_not_given_another_c_object(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Its state is that of the C object that was judged; neither works any more."""
    genuine = serve(server_context(pki.server, version=version), echo=False)
    forged = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    with connect(context, genuine) as tls, later(context, forged) as other:
        tls._sslobj = vars(other)["_sslobj"].raw  # type: ignore[attr-defined]  # noqa: SLF001
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                tls.sendall(SECRET)
            assert caught.value.report.reason is Reason.NOT_CHECKED
    assert_nothing_said(genuine.record())
    assert_nothing_said(forged.record())


MOVES: dict[str, Callable[[Any], object]] = {
    "read": lambda inner: inner.read(100),
    "write": lambda inner: inner.write(SECRET),
    "shutdown": lambda inner: inner.shutdown(),
}


@pytest.mark.parametrize("move", MOVES)
def test_the_c_object_moves_nothing_before_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, move: str
) -> None:
    """A library that has it goes around the methods of the connection, not of this."""
    context = trusting(pki, pinning(pki))
    forged = serve(server_context(pki.impostor, version=version), echo=False)
    with later(context, forged) as tls:
        inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
        inner.raw.do_handshake()
        for _ in range(2):
            with pytest.raises(PinningError):
                MOVES[move](inner)
    assert_nothing_said(forged.record())


exits = pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])


class Interrupted:
    """An on_report that is interrupted once, and never again."""

    def __init__(self, kind: type[BaseException]) -> None:
        """Begin before the interrupt."""
        self.told: list[Report] = []
        self._kind = kind

    def __call__(self, report: Report) -> None:
        """Note the report; raise the first time."""
        self.told.append(report)
        if len(self.told) == 1:
            raise self._kind


@exits
def test_pitfall_3_an_interrupt_in_on_report_ends_the_ssl_object(
    pki: Pki, version: ssl.TLSVersion, kind: type[BaseException]
) -> None:
    """The interrupt goes on as it is, and the connection is FAILED for good.

    on_report that raises rejects the peer. If the next call judged again, the second
    report, which passes, would accept it.
    """
    on_trial = Policy({"localhost": PinSet([pki.server.pin], mode="report")})
    on_report = Interrupted(kind)
    context = pin_context(trusting(pki), on_trial, on_report=on_report)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(kind):
        link.run(link.client.do_handshake)
    waiting = link.outgoing.pending
    for _ in range(2):
        with pytest.raises(PinningError) as caught:
            link.run(lambda: link.client.write(SECRET))
        assert caught.value.report.reason is Reason.NOT_CHECKED
        assert isinstance(caught.value.__cause__, kind)
    assert len(on_report.told) == 1
    assert waiting == 0
    assert link.application == b""


@exits
def test_pitfall_3_an_interrupt_in_on_report_ends_the_socket(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, kind: type[BaseException]
) -> None:
    """The same over a socket, whenever its handshake takes place."""
    server = serve(server_context(pki.impostor, version=version), echo=False)
    on_trial = Policy({"localhost": PinSet([pki.server.pin], mode="report")})
    on_report = Interrupted(kind)
    context = pin_context(trusting(pki), on_trial, on_report=on_report)
    with later(context, server) as tls:
        with pytest.raises(kind):
            tls.sendall(SECRET)
        with pytest.raises(PinningError):
            tls.sendall(SECRET)
        assert tls.fileno() == -1
    assert len(on_report.told) == 1
    on_report.told.clear()
    with pytest.raises(kind):
        context.wrap_socket(server.connect(), server_hostname="localhost")
    assert_nothing_said(server.record(0))
    assert_nothing_said(server.record(1))


def test_pitfall_14_an_interrupt_before_our_answer_throws_it_away(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The buffer may hold a client certificate, which must not leave."""
    context = trusting(pki, pinning(pki))
    twelve = ssl.TLSVersion.TLSv1_2  # in TLS 1.3 the decision precedes our answer
    link = MemoryLink(context, server_context(pki.impostor, version=twelve))

    def interrupt(*_things: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_ssl_connections, "reject_early", interrupt)
        with pytest.raises(KeyboardInterrupt):
            link.run(link.client.do_handshake)
    assert link.outgoing.pending == 0
    with pytest.raises(PinningError):
        link.run(link.client.do_handshake)


def test_an_object_is_not_judged_by_the_peer_of_another_c_object(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The same over memory buffers."""
    context = trusting(pki, pinning(pki))
    good, bad = (
        MemoryLink(context, server_context(identity, version=version))
        for identity in (pki.server, pki.impostor)
    )
    good.run(good.client.do_handshake)
    for link in good, bad:
        client: Any = link.client
        other: Any = trusting(pki).wrap_bio(
            link.incoming, link.outgoing, server_hostname="localhost"
        )
        client._sslobj = other._sslobj  # noqa: SLF001
        with pytest.raises(PinningError) as caught:
            client.write(SECRET)
        assert caught.value.report.reason is Reason.NOT_CHECKED


def test_the_c_object_may_be_put_where_it_is(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A library may put it back, while PENDING and once VERIFIED."""
    context = trusting(pki, pinning(pki))
    with later(context, serve(server_context(pki.server, version=version))) as tls:
        connection: Any = tls
        for _ in range(2):
            connection._sslobj = connection._sslobj  # noqa: SLF001
            echo(tls)
