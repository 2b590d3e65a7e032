"""HAProxy: lists of certificates, and HAProxy itself where it is installed."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given

from other_systems import (
    FAST,
    HOSTS_HERE,
    LONG,
    SOME_CHAINS,
    Cert,
    dump,
    losses_are_true,
    small_rules,
)
from pinverify import Pin, PinKind, PinSet, Policy, Rules
from pki import Identity, example_pki
from policy_samples import ABSENT
from tls_servers import LIMIT, client_context

__all__: list[str] = []


def hashes(text: str) -> set[str]:
    """Return the hashes of a list: lines that are no comments."""
    return {line for line in text.splitlines() if line and not line.startswith("#")}


def whole(identity: Identity) -> Pin:
    """Return the pin of a whole certificate."""
    return Pin.from_certificate(identity.der, kind=PinKind.CERTIFICATE)


# ---- the model ---------------------------------------------------------------------


def _written_rules_agree(rules: Rules, host: str, chains: list[list[Cert]]) -> None:
    """Compare with the ACL: it hashes the peer's own certificate, in capitals."""
    dumped = dump(rules, "haproxy", host=host)
    if dumped is None:
        return
    listed = hashes(str(dumped.text))

    def decides(_: str, chain: Sequence[Cert], __: dt.datetime) -> bool:
        return chain[0].certificate.upper() in listed

    losses_are_true(rules, dumped, decides, chains, hosts=[host])


@FAST
@given(small_rules(), HOSTS_HERE, SOME_CHAINS)
def test_what_haproxy_cannot_say_is_told(
    rules: Rules, host: str, chains: list[list[Cert]]
) -> None:
    """About the host that is written."""
    _written_rules_agree(rules, host, chains)


@pytest.mark.slow
def test_many_rules_are_written_truly() -> None:
    """The long form of the test above."""
    LONG(given(small_rules(), HOSTS_HERE, SOME_CHAINS)(_written_rules_agree))()


def test_keys_are_left_out_and_told() -> None:
    """HAProxy has no word for a key."""
    cert = whole(example_pki().client)
    dumped = dump(Rules({"x.org": PinSet(leaf=[ABSENT, cert])}), "haproxy")
    assert dumped is not None
    assert [loss.kind for loss in dumped.losses] == ["key-pins"]
    assert dumped.text == (
        f"# acl pinned ssl_s_der,sha2(256),hex -f FILE\n{cert.digest.hex().upper()}\n"
    )
    assert dump(Rules({"x.org": PinSet(leaf=[ABSENT])}), "haproxy") is None
    assert dump(Rules(clients=PinSet(ca=[cert])), "haproxy") is None


# ---- HAProxy -----------------------------------------------------------------------

CONFIGURATION = """
global
    crt-base {folder}
    ca-base {folder}
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
frontend front
    bind 127.0.0.1:{port} ssl crt server.pem ca-file ca.pem verify required
    {acl}
    http-request deny unless pinned
    http-request return status 200
"""


@contextlib.contextmanager
def haproxy(text: str, folder: Path) -> Iterator[int]:
    """Run HAProxy with a list as it was written; yield its port."""
    program = shutil.which("haproxy")
    if program is None:
        pytest.skip("haproxy is not there")
    pki = example_pki()
    pki.server.write(folder / "server.pem")
    (folder / "ca.pem").write_text(pki.root.pem + pki.ca.pem, "ascii")
    (folder / "pins.lst").write_text(text, "ascii")
    acl = text.splitlines()[0].removeprefix("# ").replace("FILE", f"{folder}/pins.lst")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    configuration = folder / "haproxy.cfg"
    configuration.write_text(CONFIGURATION.format(port=port, folder=folder, acl=acl))
    with subprocess.Popen([program, "-db", "-f", str(configuration)]) as process:
        try:
            yield port
        finally:
            process.kill()


def connected(port: int) -> socket.socket:
    """Return a connection; HAProxy may still be starting."""
    end = time.monotonic() + LIMIT
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


def status(port: int, client: Identity) -> int:
    """Return the status that a client gets."""
    context = client_context(example_pki().root, identity=client)
    with context.wrap_socket(connected(port), server_hostname="localhost") as tls:
        tls.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while part := tls.recv(4096):
                answer += part
    return int(answer.split()[1])


def decisions(rules: Rules, clients: Sequence[Identity], folder: Path) -> list[bool]:
    """Return whether HAProxy lets each client in."""
    dumped = dump(rules, "haproxy")
    assert dumped is not None
    assert dumped.losses == ()
    with haproxy(str(dumped.text), folder) as port:
        found = [status(port, client) for client in clients]
    assert set(found) <= {200, 403}
    return [code == 200 for code in found]


def test_haproxy_decides_about_clients_by_a_written_list(tmp_path: Path) -> None:
    """As the rules do: two clients of one authority, of which one is pinned."""
    pki = example_pki()
    clients = [pki.client, pki.stranger]
    for pinned in clients:
        rules = Rules(clients=PinSet(leaf=[whole(pinned), Pin.certificate("00" * 32)]))
        policy = Policy(rules)
        ours = [policy.evaluate(None, c.chain_der).accepted for c in clients]
        assert ours == [client is pinned for client in clients]
        assert decisions(rules, clients, tmp_path) == ours
