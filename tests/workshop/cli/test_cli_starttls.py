"""`--starttls`: each protocol begins in cleartext, and nothing there is trusted."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import client_servers
from cli_runs import answer, assert_no_answer, run
from pinverify.cli.starttls import PROTOCOLS, NoStartTLSError, begin_tls
from pki import Pki
from tls_servers import LIMIT, server_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Talk = Callable[..., client_servers.Server]

__all__: list[str] = []

DIALOGUES = {
    "smtp": client_servers.smtp,
    "imap": client_servers.imap,
    "pop3": client_servers.pop3,
    "ftp": client_servers.ftp(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)),
    "postgres": client_servers.postgres,
    "mysql": client_servers.mysql,
    "ldap": client_servers.ldap,
}
every_protocol = pytest.mark.parametrize("protocol", PROTOCOLS)


@pytest.fixture
def talk(pki: Pki) -> Iterator[Talk]:
    """Start a server that begins in clear; without TLS if that is asked for."""
    servers = []

    def start(protocol: str, *, tls: bool = True) -> client_servers.Server:
        context = server_context(pki.server) if tls else None
        server = client_servers.Server(DIALOGUES[protocol], context, tls_first=False)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.close()


def test_every_protocol_has_a_server_here() -> None:
    """A protocol that is new must be tried."""
    assert DIALOGUES.keys() == PROTOCOLS.keys()
    ports = [p for one in PROTOCOLS.values() for p in (one.port, *one.other_ports)]
    assert len(ports) == len(set(ports))


@every_protocol
def test_the_servers_of_these_tests_are_real_enough(protocol: str, talk: Talk) -> None:
    """OpenSSL's client, which knows every one of these protocols, agrees with them."""
    server = talk(protocol)
    done = subprocess.run(
        [
            *("openssl", "s_client", "-starttls", protocol),
            *("-connect", f"127.0.0.1:{server.port}"),
        ],
        input=b"",
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"BEGIN CERTIFICATE" in done.stdout


@every_protocol
def test_the_chain_of_a_server_that_begins_in_clear_is_shown(
    protocol: str, pki: Pki, talk: Talk, trust: tuple[str, Path]
) -> None:
    """It is verified as any other, and `check` and `explain` decide about it."""
    server = talk(protocol)
    way = (f"127.0.0.1:{server.port}", "--starttls", protocol, *trust)
    [said] = answer("pin", *way)
    assert said["verified"] is True
    pins = [entry["fingerprints"]["sha256"] for entry in said["entries"]]
    assert pins == [pki.server.pin, pki.ca.pin, pki.root.pin]
    assert run("check", *way, "--pin", pki.server.pin).code == 0
    assert run("check", *way, "--pin", pki.impostor.pin).code == 1
    assert all(record.handshake for record in server.finished())


@every_protocol
def test_a_server_without_tls_is_told(protocol: str, pki: Pki, talk: Talk) -> None:
    """It is no rejection; the line says what the server did."""
    server = talk(protocol, tls=False)
    way = (f"127.0.0.1:{server.port}", "--starttls", protocol)
    done = run("check", *way, "--pin", pki.server.pin)
    assert_no_answer(done, f"no STARTTLS: 127.0.0.1:{server.port} ")
    assert f"; is it {protocol}, with TLS set up?\n" in done.err


# ---- hostile servers -------------------------------------------------------------


def dialogue_with(protocol: str, answers: bytes) -> str:
    """Return what `begin_tls` says of a server that sends some bytes and ends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answers)
        theirs.shutdown(socket.SHUT_WR)
        try:
            begin_tls(ours, protocol, LIMIT)
        except NoStartTLSError as error:
            return str(error)
        return "TLS"


GOOD = {
    "smtp": b"220 a\r\n250-a\r\n250 STARTTLS\r\n220 go\r\n",
    "imap": b"* OK a\r\n* CAPABILITY IMAP4\r\na OK go\r\n",
    "pop3": b"+OK a\r\n+OK go\r\n",
    "ftp": b"220-a\r\n 220 b\r\n220 c\r\n234 go\r\n",
    "postgres": b"S",
    "mysql": b"\x20\0\0\0\x0a8\0" + bytes(13) + b"\0\x08" + bytes(14),
    "ldap": b"\x30\x0c\2\1\1\x78\7\x0a\1\0\4\0\4\0",
}


@every_protocol
@pytest.mark.parametrize("cut", [0, 0.5, -1])
def test_an_answer_that_ends_early_is_none(protocol: str, cut: float) -> None:
    """Whole it is agreement; cut anywhere it is not."""
    good = GOOD[protocol]
    assert dialogue_with(protocol, good) == "TLS"
    end = int(len(good) * cut) if cut >= 0 else len(good) - 1
    assert dialogue_with(protocol, good[:end]) == "closed the connection"


@every_protocol
def test_what_comes_behind_the_answer_is_left_to_tls(protocol: str) -> None:
    """A line that somebody sends in clear is no answer over TLS (CVE-2011-0411)."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(GOOD[protocol] + b"250 evil\r\n")
        begin_tls(ours, protocol, LIMIT)
        assert ours.recv(100) == b"250 evil\r\n"


@every_protocol
@given(answers=st.binary(max_size=300) | st.text("2034 -+OKa*\r\n").map(str.encode))
def test_random_answers_end_in_an_answer_or_an_error(
    protocol: str, answers: bytes
) -> None:
    """Never in another exception."""
    assert dialogue_with(protocol, answers)


ENDLESS = {
    "smtp": (b"220 a\r\n", b"250-a\r\n"),
    "imap": (b"* OK a\r\n", b"* a\r\n"),
    "pop3": (b"", b"x"),
    "ftp": (b"220-a\r\n", b"a\r\n"),
    "postgres": (b"E", b"x"),
    "mysql": (b"\xff\xff\xff\0", b"x"),
    "ldap": (b"\x30\x84\xff\xff\xff\xff", b"x"),
}


@every_protocol
def test_an_endless_answer_is_not_read_to_its_end(protocol: str) -> None:
    """A server that never ends gets 100 lines, or 8 kB, and no more."""
    first, more = ENDLESS[protocol]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.settimeout(LIMIT)
        flood = threading.Thread(target=lambda: _send(theirs, first, more * 1000))
        flood.start()
        with pytest.raises(NoStartTLSError, match=r"said|announced an answer"):
            begin_tls(ours, protocol, LIMIT)
        ours.close()
        flood.join(LIMIT)
        assert not flood.is_alive()


def _send(sock: socket.socket, first: bytes, more: bytes) -> None:
    try:
        sock.sendall(first)
        for _ in range(100):
            sock.sendall(more)
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass


REFUSALS = {
    "smtp": (b"220 a\r\n250-a\r\n250 STARTTLS\r\n454 later\r\n", "said '454 later'"),
    "smtp busy": (b"421-x\r\n421 busy \x1b[2J\r\n", r"said '421 busy \\x1b[2J'"),
    "smtp without": (b"220 a\r\n250-STARTTLSX\r\n250 SIZE\r\n", "not offer STARTTLS"),
    "imap": (b"* OK a\r\na NO never\r\n", "said 'a NO never'"),
    "imap full": (b"* BYE full\r\n", "said '* BYE full'"),
    "pop3": (b"+OK a\r\n-ERR never\r\n", "said '-ERR never'"),
    "ftp": (b"220 a\r\n500 what?\r\n", "said '500 what?'"),
    "postgres": (b"N", "has TLS switched off"),
    "mysql": (
        GOOD["mysql"].replace(b"\0\x08", b"\xff\xf7"),
        "has TLS switched off",
    ),
    "mysql blocked": (b"\x0a\0\0\0\xff\x6a\x04blocked", "said 'blocked'"),
    "ldap": (b"\x30\x0e\2\1\1\x78\x09\x0a\1\x34\4\0\4\2no", "said 'no'"),
    "ldap other": (b"\x30\x0c\2\1\0\x78\7\x0a\1\0\4\0\4\0", "said"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_a_refusal_is_quoted(case: str) -> None:
    """In characters that can be printed."""
    said, phrase = REFUSALS[case]
    assert phrase in dialogue_with(case.partition(" ")[0], said)


def test_a_slow_dialogue_ends_in_time() -> None:
    """The time is for the whole of it, and not for each byte."""
    ours, theirs = socket.socketpair()
    done = threading.Event()

    def drip() -> None:
        for _ in range(20):
            theirs.sendall(b"2")
            if done.wait(0.1):
                return
        theirs.shutdown(socket.SHUT_WR)

    with ours, theirs:
        slow = threading.Thread(target=drip)
        slow.start()
        with pytest.raises(TimeoutError):
            begin_tls(ours, "smtp", 0.5)
        done.set()
        slow.join(LIMIT)


# ---- the option ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "phrase"),
    [
        (("pin", "a.org", "--starttls", "gopher"), "--starttls"),
        (("pin", "https://a.org", "--starttls", "smtp"), "write host or host:port"),
    ],
)
def test_a_wrong_use_is_refused(words: tuple[str, ...], phrase: str) -> None:
    """With the next step."""
    assert_no_answer(run(*words), phrase)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Refuse every connection, and return the places that were asked for."""
    places: list[object] = []

    def refuse(place: object, *_: object) -> socket.socket:
        places.append(place)
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(socket, "create_connection", refuse)
    return places


def test_the_port_is_that_of_the_protocol(asked: list[object]) -> None:
    """Nobody gives 443 for a mail server."""
    for protocol, row in PROTOCOLS.items():
        run("pin", "a.org", "--starttls", protocol)
        assert asked[-1] == ("a.org", row.port)
    run("pin", "a.org:26", "--starttls", "smtp")
    assert asked[-1] == ("a.org", 26)


@pytest.mark.parametrize("protocol", ["smtp", "imap", "pop3", "ftp", "mysql"])
def test_a_server_that_begins_in_clear_is_recognised(
    protocol: str, pki: Pki, talk: Talk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --starttls the next step names it; by its port also the protocol."""
    server = talk(protocol)
    done = run("check", f"127.0.0.1:{server.port}", "--pin", pki.server.pin)
    assert_no_answer(done, "add --starttls")
    row = PROTOCOLS[protocol]._replace(port=server.port)
    monkeypatch.setitem(PROTOCOLS, protocol, row)
    done = run("check", f"127.0.0.1:{server.port}", "--pin", pki.server.pin)
    assert_no_answer(done, f"TLS begins later there: add --starttls {protocol}\n")
