"""How a rejection is raised by a pinned pyOpenSSL connection: pitfalls 19 and 22."""

from __future__ import annotations

import pickle
import ssl
from concurrent.futures import ThreadPoolExecutor

from OpenSSL import SSL

from pinverify import PinningError, Policy, Reason, find_pinning_error
from pinverify.tls.pyopenssl import PinningSSLError
from pki import Pki
from pyopenssl_connections import (
    Link,
    Serve,
    connecting,
    echo,
    for_clients,
    in_memory,
    pinning,
    reason,
    trusting,
)
from tls_servers import LIMIT, server_context


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
