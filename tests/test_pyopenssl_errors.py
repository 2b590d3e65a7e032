"""Errors of pinned pyOpenSSL connections: rejections, and failures inside the check."""

from __future__ import annotations

import pickle
import ssl
from concurrent.futures import ThreadPoolExecutor

import pytest
from OpenSSL import SSL

from pinverify import PinningError, PinSet, Policy, Reason, Report, find_pinning_error
from pinverify.tls import _pyopenssl_check
from pinverify.tls.pyopenssl import PinningSSLError
from pki import Pki
from pyopenssl_connections import (
    SECRET,
    Link,
    Serve,
    any_mode,
    assert_nothing_said,
    connecting,
    echo,
    for_clients,
    in_memory,
    pinning,
    reason,
    trusting,
)
from tls_servers import LIMIT, server_context

# ---------------------------------------------------------------------------
# Pitfalls 19 and 22: how a rejection is raised
# ---------------------------------------------------------------------------


def _rejection(pki: Pki) -> PinningError:
    """Return what a connection with a wrong pin raises."""
    backend = trusting(
        method=SSL.TLS_SERVER_METHOD, mode=SSL.VERIFY_NONE, identity=pki.impostor
    )
    link = Link(
        in_memory(for_clients(pki), pinning(pki)), in_memory(backend, server=True)
    )
    link.talk()
    error = link.errors["client"]
    assert isinstance(error, PinningError)
    return error


def test_pitfall_19_a_rejection_is_what_every_library_expects(pki: Pki) -> None:
    """It is an error of pinverify, of ssl and of pyOpenSSL, with their attributes.

    A program that handles SSL.Error would crash, or retry without TLS, on an
    error that it does not know.
    """
    error = _rejection(pki)
    assert isinstance(error, SSL.Error)
    assert isinstance(error, ssl.SSLCertVerificationError)
    assert (error.errno, error.library, error.reason) == (
        1,
        "PINVERIFY",
        "PINNING_FAILED",
    )
    assert error.verify_code == 50
    headline = "no pin of 'localhost' is in the chain"
    assert error.verify_message == headline
    # As OpenSSL's have it, and without a word that the peer has chosen.
    assert error.args == ([("pinverify", "", headline)],)
    assert str(error).startswith(headline)
    assert pki.server.pin in str(error)
    assert pki.impostor.pin in str(error)


def test_pitfall_19_a_rejection_survives_pickle_and_wrapping(pki: Pki) -> None:
    """It comes back whole from another process, and is found in what wraps it."""
    error = _rejection(pki)
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    assert type(copy) is PinningSSLError
    assert (str(copy), copy.args, copy.errno) == (str(error), error.args, error.errno)
    assert copy.report == error.report
    wrapped = ssl.SSLError(f"bad handshake: {error!r}")  # as urllib3 has it
    wrapped.__cause__ = error
    assert find_pinning_error(wrapped) is error


def test_pitfall_22_every_failure_is_raised_by_its_own_connection(
    pki: Pki, serve: Serve
) -> None:
    """Threads share one Context, and half of them have wrong pins.

    pyOpenSSL keeps what a context's callback raises in the context, and whichever
    connection comes next raises it: a right one fails, a wrong one says something
    else.
    """
    server = serve(server_context(pki.server))
    context = for_clients(pki)
    right = Policy({"*.example": [pki.server.pin]})
    wrong = Policy({"*.example": [pki.impostor.pin]})

    def attempt(number: int) -> BaseException | None:
        policy = wrong if number % 2 else right
        try:
            with connecting(context, server, policy, host=f"h{number}.example") as conn:
                echo(conn)
        except SSL.Error as error:
            return error
        return None

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(attempt, range(500), timeout=3 * LIMIT))
    for number, outcome in enumerate(outcomes):
        if number % 2:
            assert reason(outcome) is Reason.MISMATCH
            assert f"'h{number}.example'" in str(outcome)
        else:
            assert outcome is None


# ---------------------------------------------------------------------------
# Failures inside the check
# ---------------------------------------------------------------------------


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
@pytest.mark.parametrize(
    "step",
    [(Policy, "verify"), (_pyopenssl_check, "judge")],
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
    """Ctrl-C between the handshake and the decision leaves the decision to do."""
    server = serve(server_context(pki.impostor, version=version))

    def interrupting(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    context = trusting(pki.root, mode=SSL.VERIFY_NONE)  # no callback with the leaf
    with connecting(context, server, pinning(pki)) as conn:
        monkeypatch.setattr(Policy, "verify", interrupting)
        with pytest.raises(KeyboardInterrupt):
            conn.do_handshake()
        with pytest.raises(PinningError) as caught:
            conn.send(SECRET)
        assert reason(caught.value) is Reason.MISMATCH
    assert_nothing_said(server.record())
