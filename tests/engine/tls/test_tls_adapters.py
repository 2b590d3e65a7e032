"""Both adapters apply the one rule of evidence, and report a peer last.

`test_tls_evidence.py` has the rule case by case. These tests show in real handshakes
that each adapter calls it: `ssl` over sockets, `ssl` over memory buffers, pyOpenSSL.
"""

from __future__ import annotations

import datetime as dt
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, Report, pin_context
from pinverify.tls import _judge, _ssl_connections, pyopenssl
from pinverify.tls._judge import Peer
from pki import Pki
from pyopenssl_connections import connecting, for_clients
from pyopenssl_connections import session_of as pyopenssl_session_of
from tls_clients import SECRET, Serve, connect, later, session_of, trusting
from tls_servers import MemoryLink, TLSServer, server_context

__all__: list[str] = []

PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def server_of(pki: Pki, serve: Serve) -> TLSServer:
    """Start the genuine server."""
    return serve(server_context(pki.server))


def over_socket(pki: Pki, serve: Serve, policy: Policy) -> None:
    """Connect with `ssl`, the handshake done on the way."""
    with connect(pin_context(trusting(pki), policy), server_of(pki, serve)) as tls:
        tls.sendall(SECRET)


def over_socket_later(pki: Pki, serve: Serve, policy: Policy) -> None:
    """Connect with `ssl`, the handshake done by the first write."""
    with later(pin_context(trusting(pki), policy), server_of(pki, serve)) as tls:
        tls.sendall(SECRET)


def in_memory(pki: Pki, serve: Serve, policy: Policy) -> None:
    """Connect with `ssl` over memory buffers."""
    del serve
    link = MemoryLink(pin_context(trusting(pki), policy), server_context(pki.server))
    link.run(link.client.do_handshake)


def by_pyopenssl(pki: Pki, serve: Serve, policy: Policy) -> None:
    """Connect with pyOpenSSL."""
    with connecting(for_clients(pki), server_of(pki, serve), policy) as conn:
        conn.sendall(SECRET)


Adapter = Callable[[Pki, Serve, Policy], None]
ADAPTERS: dict[str, Adapter] = {
    "socket": over_socket,
    "lazy socket": over_socket_later,
    "memory": in_memory,
    "pyOpenSSL": by_pyopenssl,
}
any_adapter = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)


@any_adapter
def test_pitfall_48_an_adapter_asks_the_rule_of_evidence(
    pki: Pki,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    adapter: Adapter,
) -> None:
    """The rule hears of each handshake once, and its rejection ends the connection."""
    asked: list[tuple[Peer, bytes | None]] = []

    def judge(in_force: Any, _: Any, peer: Peer, shown: Any) -> Any:  # noqa: ANN401
        asked.append((peer, shown.leaf()))
        raise _judge.rejection(in_force, peer[0], "the rule says no")

    monkeypatch.setattr(_ssl_connections, "judge", judge)
    monkeypatch.setattr(pyopenssl, "judge", judge)
    with pytest.raises(PinningError, match="the rule says no") as caught:
        adapter(pki, serve, Policy({}))
    assert caught.value.report.reason is Reason.NOT_CHECKED
    assert [leaf for _, leaf in asked] == [pki.server.der]
    assert asked[0][0][0] in {"localhost", b"localhost"}
    assert not asked[0][0][1]


# An expired rule lets the peer in, a key is blocked for everybody, and nobody here has
# seen the chain of the session: the blocked key may be in it.
def expired_with_a_blocked_key(pki: Pki) -> Policy:
    """Return the policy of the case above."""
    expired = PinSet([pki.impostor.pin], expires=PAST, after_expiry="allow")
    return Policy({"localhost": expired}, blocked=[pki.rogue_ca.pin])


def test_pitfall_48_ssl_tells_of_no_acceptance_that_it_then_takes_back(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever hears of an acceptance can rely on it."""
    told: list[Report] = []
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = session_of(context, server)
    policy = expired_with_a_blocked_key(pki)
    pin_context(context, policy, on_report=told.append)
    with (
        later(context, server, session=session) as tls,
        pytest.raises(PinningError, match="a resumed session shows no chain"),
    ):
        tls.sendall(SECRET)
    assert server.record(1).resumed
    assert [report.reason for report in told] == [Reason.NOT_CHECKED]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "rejected: server NOT_CHECKED" in caplog.text
    # A full handshake shows the chain, and nothing blocked is in it.
    with connect(context, server) as tls:
        tls.sendall(SECRET)
    assert [report.reason for report in told[1:]] == [Reason.EXPIRED]


def test_pitfall_48_pyopenssl_tells_of_no_acceptance_that_it_then_takes_back(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, caplog: pytest.LogCaptureFixture
) -> None:
    """The same case gives the same answer in both adapters."""
    told: list[Report] = []
    server = serve(server_context(pki.server, version=version))
    context = for_clients(pki)
    session = pyopenssl_session_of(context, server)
    policy = expired_with_a_blocked_key(pki)
    with (
        connecting(
            context, server, policy, session=session, on_report=told.append
        ) as conn,
        pytest.raises(PinningError, match="a resumed session shows no chain"),
    ):
        conn.sendall(SECRET)
    assert [report.reason for report in told] == [Reason.NOT_CHECKED]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "rejected: server NOT_CHECKED" in caplog.text
    with connecting(context, server, policy, on_report=told.append) as conn:
        conn.sendall(SECRET)
    assert [report.reason for report in told[1:]] == [Reason.EXPIRED]


# A client that has nothing but pinverify. Its first handshake is without pins: what
# `ssl` itself imports for one is not ours to count.
CLIENT = """
import socket, ssl, sys
import pinverify

port, cafile, good, wrong = sys.argv[1:]

def connect(context):
    plain = socket.create_connection(("127.0.0.1", int(port)))
    context.wrap_socket(plain, server_hostname="localhost").close()

def connect_in_memory(context):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.create_connection(("127.0.0.1", int(port))) as plain:
        for _ in range(10):
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                plain.sendall(outgoing.read())
                incoming.write(plain.recv(65536))
            else:
                return tls.pin_report
        raise AssertionError("no handshake")

def trusting(pin=None):
    context = ssl.create_default_context(cafile=cafile)
    rules = {"localhost": [pin]} if pin else {}
    return pinverify.pin_context(context, pinverify.Policy(rules)) if pin else context

accepting, refusing = trusting(good), trusting(wrong)
connect(trusting())
for how in (connect, connect_in_memory):
    before = set(sys.modules)
    how(accepting)
    print("accepted:", sorted(set(sys.modules) - before))
    try:
        how(refusing)
    except pinverify.PinningError as error:
        assert error.report.reason is pinverify.Reason.MISMATCH
        print("refused:", sorted(set(sys.modules) - before))
assert "cryptography" not in sys.modules
"""


@pytest.mark.parametrize("place", ["leaf", "ca"])
def test_a_handshake_imports_nothing(
    pki: Pki, serve: Serve, tmp_path: Path, place: str
) -> None:
    """Neither an acceptance nor a refusal makes an event loop wait for the disk."""
    server = server_of(pki, serve)
    good = {"leaf": pki.server.pin, "ca": pki.ca.pin}[place]
    arguments = [str(server.address[1]), str(pki.trust_file(tmp_path)), good]
    done = subprocess.run(
        [sys.executable, "-c", CLIENT, *arguments, pki.impostor.pin],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["accepted: []", "refused: []"] * 2
