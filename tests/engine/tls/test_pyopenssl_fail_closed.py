"""Errors and interrupts inside the check of pyOpenSSL: the connection never opens."""

from __future__ import annotations

import ssl

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet, Policy, Reason, Report
from pinverify.tls import _judge, pyopenssl
from pki import Pki
from pyopenssl_connections import (
    SECRET,
    Serve,
    any_mode,
    assert_nothing_said,
    connecting,
    for_clients,
    pinning,
    reason,
    trusting,
)
from tls_servers import server_context


@any_mode
def test_a_report_that_can_not_be_told_is_a_refusal(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, mode: int
) -> None:
    """An on_report that raises can stop a connection, and can't open one."""
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": PinSet([pki.server.pin], mode="report")})

    def on_report(_: Report) -> None:
        raise ZeroDivisionError

    context = for_clients(pki, mode=mode)
    with connecting(context, server, policy, on_report=on_report) as conn:
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert_nothing_said(server.record())


@any_mode
def test_pitfall_3_an_interrupt_in_on_report_ends_the_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, mode: int
) -> None:
    """Ctrl-C goes on as it is; a second report, which passes, accepts nobody."""
    server = serve(server_context(pki.impostor, version=version))
    policy = Policy({"localhost": PinSet([pki.server.pin], mode="report")})
    told: list[Report] = []

    def on_report(report: Report) -> None:
        told.append(report)
        if len(told) == 1:
            raise KeyboardInterrupt

    context = for_clients(pki, mode=mode)
    with connecting(context, server, policy, on_report=on_report) as conn:
        with pytest.raises(KeyboardInterrupt):
            conn.send(SECRET)
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    assert len(told) == 1
    assert_nothing_said(server.record())


@any_mode
@pytest.mark.parametrize(
    "step",
    [(_judge, "verify_at"), (pyopenssl, "judge")],
    ids=["in the callback", "at the end"],
)
def test_an_error_inside_the_check_is_a_refusal(
    pki: Pki,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    mode: int,
    step: tuple[object, str],
) -> None:
    """Whatever goes wrong in the check, and if it goes well later: no connection."""
    server = serve(server_context(pki.server))

    def failing(*_: object) -> None:
        monkeypatch.undo()
        raise MemoryError

    monkeypatch.setattr(*step, failing)
    with connecting(for_clients(pki, mode=mode), server, pinning(pki)) as conn:
        for _ in range(2):
            with pytest.raises(PinningError) as caught:
                conn.send(SECRET)
            assert isinstance(caught.value.__cause__, MemoryError)
    assert_nothing_said(server.record())


def test_an_interrupt_inside_the_check_does_not_open_the_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between the handshake and the decision ends the connection."""
    server = serve(server_context(pki.impostor, version=version))

    def interrupting(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    context = trusting(pki.root, mode=SSL.VERIFY_NONE)  # no callback with the leaf
    with connecting(context, server, pinning(pki)) as conn:
        monkeypatch.setattr(_judge, "verify_at", interrupting)
        with pytest.raises(KeyboardInterrupt):
            conn.do_handshake()
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.NOT_CHECKED
        assert isinstance(caught.value.__cause__, KeyboardInterrupt)
    assert_nothing_said(server.record())
