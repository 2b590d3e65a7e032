"""The uses in a few lines: create_connection, wrap_socket, check."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinverify import (
    Pin,
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    check,
    create_connection,
    pin_context,
    wrap_socket,
)
from pinverify.tls import _connect
from pki import Pki
from policy_samples import ABSENT
from tls_servers import LIMIT, Record, TLSServer, client_context, server_context

SECRET = b"a secret of the application"

Serve = Callable[..., TLSServer]


def trusting(pki: Pki) -> ssl.SSLContext:
    """Make a client context that trusts both roots."""
    return client_context(pki.root, pki.rogue_root)


def pinning(pki: Pki) -> Policy:
    """Pin the key of `pki.server` for localhost."""
    return Policy({"localhost": [pki.server.pin]}, unpinned="reject")


def echo(tls: ssl.SSLSocket) -> None:
    """Send SECRET to an echo server and expect it back."""
    tls.sendall(SECRET)
    assert tls.recv(100) == SECRET


def assert_nothing_said(record: Record) -> None:
    """Check that no byte of the application came."""
    assert record.application == b""
    assert SECRET not in record.wire


@pytest.fixture
def closed_port() -> int:
    """A port of 127.0.0.1 where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


# ---------------------------------------------------------------------------
# create_connection
# ---------------------------------------------------------------------------


def test_create_connection_returns_a_checked_connection(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """It is connected, verified and pinned, and has the timeout asked for."""
    server = serve(server_context(pki.server, version=version))
    with create_connection(
        ("localhost", server.port), pinning(pki), timeout=LIMIT, context=trusting(pki)
    ) as tls:
        assert isinstance(tls, ssl.SSLSocket)
        assert tls.gettimeout() == LIMIT
        assert tls.server_hostname == "localhost"
        echo(tls)
    assert server.record().server_name == "localhost"


def test_create_connection_takes_a_pin_set(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A PinSet holds for whatever host it is."""
    server = serve(server_context(pki.server, version=version))
    for pins in (PinSet(leaf=[pki.server.pin]), PinSet(ca=[pki.root.pin])):
        with create_connection(
            ("127.0.0.1", server.port), pins, timeout=LIMIT, context=trusting(pki)
        ) as tls:
            echo(tls)


def test_create_connection_refuses_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """PinningError with a report; the server reads nothing and is hung up on."""
    server = serve(server_context(pki.impostor, version=version))
    with pytest.raises(PinningError) as caught:
        create_connection(
            ("localhost", server.port),
            pinning(pki),
            timeout=LIMIT,
            context=trusting(pki),
        )
    assert caught.value.report is not None
    assert caught.value.report.reason is Reason.MISMATCH
    assert caught.value.report.host == "localhost"
    assert_nothing_said(server.record())


def test_create_connection_validates_as_well(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The right pin does not excuse a certificate that nobody vouches for."""
    server = serve(server_context(pki.server, version=version))
    for context in (None, client_context(pki.rogue_root)):
        with pytest.raises(ssl.SSLCertVerificationError) as caught:
            create_connection(
                ("localhost", server.port),
                pinning(pki),
                timeout=LIMIT,
                context=context,
            )
        assert not isinstance(caught.value, PinningError)
    assert_nothing_said(server.record(0))
    assert_nothing_said(server.record(1))


def test_create_connection_validates_the_host_name(pki: Pki, serve: Serve) -> None:
    """Nor does it excuse a certificate for another host."""
    elsewhere = pki.ca.leaf("elsewhere.example")
    server = serve(server_context(elsewhere))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        create_connection(
            ("localhost", server.port),
            PinSet(pins=[elsewhere.pin]),
            timeout=LIMIT,
            context=trusting(pki),
        )
    assert not isinstance(caught.value, PinningError)
    assert_nothing_said(server.record())


def test_create_connection_tells_a_network_failure_from_a_mismatch(
    pki: Pki, closed_port: int
) -> None:
    """Nobody listens: an OSError that is no PinningError."""
    with pytest.raises(ConnectionRefusedError):
        create_connection(("127.0.0.1", closed_port), PinSet(pins=[pki.server.pin]))


def test_create_connection_gives_up_on_a_silent_server(pki: Pki, serve: Serve) -> None:
    """The timeout holds for the handshake, not for connect() alone."""
    server = serve(server_context(pki.server), silent=True)
    with pytest.raises(TimeoutError):
        create_connection(
            ("localhost", server.port),
            pinning(pki),
            timeout=0.05,
            context=trusting(pki),
        )
    assert_nothing_said(server.record())


def test_create_connection_uses_the_policy_of_each_call(pki: Pki, serve: Serve) -> None:
    """Two calls with one context do not get each other's pins."""
    server = serve(server_context(pki.server))
    context = trusting(pki)
    address = ("localhost", server.port)
    wrong = Policy({"localhost": [pki.impostor.pin]})
    with create_connection(address, pinning(pki), context=context) as tls:
        echo(tls)
    with pytest.raises(PinningError):
        create_connection(address, wrong, context=context)
    with create_connection(address, pinning(pki), context=context) as tls:
        echo(tls)
    assert_nothing_said(server.record(1))


def test_the_policy_of_one_call_is_not_left_on_the_context(
    pki: Pki, serve: Serve
) -> None:
    """A monitor that checks in report mode must not disarm the application.

    Both use one context, which the application has pinned. If the call's policy
    stayed on it, the application's next connection would go to the impostor.
    """
    server = serve(server_context(pki.impostor))
    where = f"localhost:{server.port}"
    context = pin_context(trusting(pki), pinning(pki))
    trial = PinSet(pins=[pki.server.pin], mode="report")
    assert check(where, trial, context=context).accepted
    with pytest.raises(PinningError):
        context.wrap_socket(server.connect(), server_hostname="localhost").close()
    create_connection(("localhost", server.port), trial, context=context).close()
    with pytest.raises(PinningError):
        context.wrap_socket(server.connect(), server_hostname="localhost").close()
    assert_nothing_said(server.record(1))


# ---------------------------------------------------------------------------
# wrap_socket
# ---------------------------------------------------------------------------


def test_wrap_socket_checks_a_connected_socket(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Accepted, the socket talks; the host is the one that was named."""
    server = serve(server_context(pki.server, version=version))
    sock = server.connect()
    with wrap_socket(
        sock, pinning(pki), server_hostname="localhost", context=trusting(pki)
    ) as tls:
        assert isinstance(tls, ssl.SSLSocket)
        echo(tls)
    assert sock.fileno() == -1


def test_wrap_socket_refuses_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Refused, the connection is closed, whoever still holds the socket."""
    server = serve(server_context(pki.impostor, version=version))
    sock = server.connect()
    with pytest.raises(PinningError) as caught:
        wrap_socket(
            sock, pinning(pki), server_hostname="localhost", context=trusting(pki)
        )
    assert caught.value.report is not None
    assert not caught.value.report.accepted
    assert sock.fileno() == -1
    assert_nothing_said(server.record())


def test_wrap_socket_validates_as_well(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Without a context it is the default one, which trusts no test authority."""
    server = serve(server_context(pki.server, version=version))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        wrap_socket(server.connect(), pinning(pki), server_hostname="localhost")
    assert not isinstance(caught.value, PinningError)
    assert_nothing_said(server.record())


def test_wrap_socket_wants_a_name(pki: Pki, serve: Serve) -> None:
    """A connection without a name would have no rule: it can't be forgotten."""
    server = serve(server_context(pki.server))
    with server.connect() as sock, pytest.raises(TypeError):
        wrap_socket(sock, pinning(pki))  # type: ignore[call-arg]


class _OtherClassOnceConnected(ssl.SSLContext):
    """Ignores `sslsocket_class` for connected sockets only."""

    def wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        if _is_connected(sock):
            return ssl.SSLSocket._create(sock=sock, context=self, **options)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001
        return super().wrap_socket(sock, **options)


class _OtherContextOnceConnected(ssl.SSLContext):
    """Passes connected sockets to another context, which trusts the same."""

    def wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        if _is_connected(sock):
            other = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            for trusted in self.get_ca_certs(binary_form=True):
                other.load_verify_locations(cadata=trusted)
            return other.wrap_socket(sock, **options)
        return super().wrap_socket(sock, **options)


class _HandshakeOnceConnected(ssl.SSLContext):
    """Does the handshake at once, whether it was asked for or not."""

    def wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        options["do_handshake_on_connect"] = True
        return super().wrap_socket(sock, **options)


def _is_connected(sock: socket.socket) -> bool:
    try:
        sock.getpeername()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        (_OtherContextOnceConnected, "does not make its connections with its"),
        (_HandshakeOnceConnected, "does the handshake when it wraps a socket"),
    ],
)
def test_pitfall_15_a_connection_that_no_pins_wait_for_is_refused(
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    kind: type[ssl.SSLContext],
    problem: str,
) -> None:
    """The connection itself is looked at, not only the one made without a peer.

    These contexts look right until the socket is connected. Their connection would be
    returned unchecked.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    sock = server.connect()
    with pytest.raises(TypeError, match=f"{kind.__name__} {problem}"):
        wrap_socket(sock, pinning(pki), server_hostname="localhost", context=context)
    assert sock.fileno() == -1
    with pytest.raises(TypeError, match=f"{kind.__name__} {problem}"):
        create_connection(("localhost", server.port), pinning(pki), context=context)
    assert_nothing_said(server.record(0))
    assert_nothing_said(server.record(1))


def test_pitfall_15_a_connection_of_another_class_is_checked(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The check is mixed into the class of the connection when TLS begins on it."""
    server = serve(server_context(pki.impostor, version=version))
    context = _OtherClassOnceConnected(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    with pytest.raises(PinningError):
        wrap_socket(
            server.connect(),
            pinning(pki),
            server_hostname="localhost",
            context=context,
        )
    assert_nothing_said(server.record())


# ---------------------------------------------------------------------------
# check
# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["https://localhost:{}", "https://localhost:{}/a/b?c#d", "localhost:{}"]
)
def test_check_reports_what_it_matched(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, tmp_path: Path, form: str
) -> None:
    """One line in a script: the report says which pin, where in the chain."""
    server = serve(server_context(pki.server, version=version))
    report = check(
        form.format(server.port), [pki.ca.pin], cafile=str(pki.trust_file(tmp_path))
    )
    assert report.accepted
    assert report.reason is Reason.MATCH
    assert report.matched == Pin.parse(pki.ca.pin)
    assert report.depth == 1
    assert report.chain[0] == Pin.parse(pki.server.pin)
    record = server.record()
    assert record.server_name == "localhost"
    assert_nothing_said(record)


def test_check_takes_policies_pin_sets_and_pins(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Whatever form the pins are in, the same question is asked."""
    server = serve(server_context(pki.server, version=version))
    where = f"localhost:{server.port}"
    pin = Pin.parse(pki.server.pin)
    for pins in (pinning(pki), PinSet(leaf=[pin]), [pin], (pki.server.pin,)):
        assert check(where, pins, context=trusting(pki)).matched == pin


def test_check_refuses_a_wrong_pin(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """PinningError with a report that shows what was there instead."""
    server = serve(server_context(pki.impostor, version=version))
    with pytest.raises(PinningError) as caught:
        check(
            f"https://localhost:{server.port}",
            [pki.server.pin],
            context=trusting(pki),
        )
    assert caught.value.report is not None
    assert caught.value.report.reason is Reason.MISMATCH
    assert pki.impostor.pin in str(caught.value)
    assert_nothing_said(server.record())


def test_check_reports_what_a_policy_on_trial_would_refuse(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """In report mode the answer is accepted, with the reason kept."""
    server = serve(server_context(pki.impostor, version=version))
    report = check(
        f"localhost:{server.port}",
        PinSet(pins=[pki.server.pin], mode="report"),
        context=trusting(pki),
    )
    assert report.accepted
    assert report.reason is Reason.MISMATCH


def test_check_validates_as_well(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The right pin on a certificate that nobody vouches for is no success."""
    server = serve(server_context(pki.server, version=version))
    with pytest.raises(ssl.SSLCertVerificationError) as caught:
        check(f"https://localhost:{server.port}", [pki.server.pin])
    assert not isinstance(caught.value, PinningError)


def test_check_tells_a_network_failure_from_a_mismatch(
    pki: Pki, closed_port: int
) -> None:
    """Nobody listens: an OSError that is no PinningError."""
    with pytest.raises(OSError, match="refused") as caught:
        check(f"https://127.0.0.1:{closed_port}", [pki.server.pin])
    assert not isinstance(caught.value, ssl.SSLError)


def test_check_gives_up_on_a_silent_server(pki: Pki, serve: Serve) -> None:
    """A monitor must not hang."""
    server = serve(server_context(pki.server), silent=True)
    with pytest.raises(TimeoutError):
        check(
            f"https://localhost:{server.port}",
            [pki.server.pin],
            timeout=0.05,
            context=trusting(pki),
        )
    assert_nothing_said(server.record())


def test_check_reaches_an_address(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """An IP address is a host as well."""
    server = serve(server_context(pki.server, version=version))
    report = check(
        f"https://127.0.0.1:{server.port}", [pki.server.pin], context=trusting(pki)
    )
    assert report.accepted


@pytest.mark.parametrize(
    "where",
    [
        "",
        "https://",
        "http://localhost:1",
        "localhost:port",
        "localhost:99999",
        "a:b:c",
        "user@localhost:443",
    ],
)
def test_check_refuses_what_is_no_https_url_and_no_host_and_port(
    pki: Pki, where: str
) -> None:
    """A typo is an error about the argument, before any packet leaves."""
    with pytest.raises(ValueError, match=r".+") as caught:
        check(where, [pki.server.pin])
    assert not isinstance(caught.value, OSError)


def test_check_refuses_an_empty_list_of_pins(pki: Pki, serve: Serve) -> None:
    """Nothing asked for is a mistake, not a success."""
    server = serve(server_context(pki.server))
    with pytest.raises(PolicyError):
        check(f"localhost:{server.port}", [], context=trusting(pki))


def test_the_timeout_is_that_of_the_socket(pki: Pki, serve: Serve) -> None:
    """It holds for connecting, and for each later operation."""
    server = serve(server_context(pki.server))
    address = ("localhost", server.port)
    for timeout in (None, 7.5):
        with create_connection(
            address, pinning(pki), timeout=timeout, context=trusting(pki)
        ) as tls:
            assert tls.gettimeout() == timeout


def test_a_failed_connection_leaves_no_socket_open(
    pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some mistakes are found when the socket is there already."""
    opened: list[socket.socket] = []
    connect = socket.create_connection

    def connect_and_keep(*how: Any, **more: Any) -> socket.socket:  # noqa: ANN401
        opened.append(connect(*how, **more))
        return opened[-1]

    server = serve(server_context(pki.server))
    anything: Any = "no context"
    with monkeypatch.context() as patched:
        patched.setattr(socket, "create_connection", connect_and_keep)
        with pytest.raises(TypeError, match=r"expected an ssl\.SSLContext"):
            create_connection(
                ("localhost", server.port), pinning(pki), context=anything
            )
    assert [plain.fileno() for plain in opened] == [-1]


def test_check_raises_where_nobody_has_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection without a report is never an acceptance."""
    plain = contextlib.nullcontext(object())
    monkeypatch.setattr(_connect, "create_connection", lambda *_, **__: plain)
    with pytest.raises(PinningError, match="not checked"):
        check("localhost", [ABSENT])


def test_create_connection_takes_no_text() -> None:
    """Host and port are two arguments there; `check` takes text."""
    with pytest.raises(TypeError, match=r"as in \('localhost', 443\); got text"):
        create_connection("localhost", PinSet([ABSENT]))  # type: ignore[arg-type]


def test_check_names_the_file_that_is_not_there() -> None:
    """The error of ssl does not."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pem") as caught:
        check("localhost", [ABSENT], cafile="nowhere.pem")
    assert caught.value.filename == "nowhere.pem"


def test_check_takes_a_context_or_a_cafile(pki: Pki, tmp_path: Path) -> None:
    """Of both, one would be ignored."""
    cafile = str(pki.trust_file(tmp_path))
    with pytest.raises(TypeError, match="not both"):
        check("localhost", [ABSENT], context=trusting(pki), cafile=cafile)
