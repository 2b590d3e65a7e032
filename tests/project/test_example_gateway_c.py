"""The gateway of `examples/gateway-c`, run as a process between two loopback ends.

Its upstreams record each byte, so a test knows what reached them. Every test ends the
gateway by a signal, and expects that it exits cleanly.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from c_objects import compiler
from compiled import ended
from gateway_in_c import (
    FOLDER,
    WARNINGS,
    GatewayInC,
    command_of_the_page,
    gateway_program,
)
from pinverify import load_policy
from pki import Pki, self_signed
from tls_clients import SECRET, Serve, client_of, echo
from tls_servers import LIMIT, client_context, server_context

__all__: list[str] = []

pytestmark = pytest.mark.ci  # examples are no part of the product

Start = Callable[..., GatewayInC]
Version = ssl.TLSVersion


@pytest.fixture(autouse=True, scope="module")
def _program() -> None:
    """Build the gateway before anything waits for it."""
    gateway_program()


@pytest.fixture
def start(pki: Pki, tmp_path: Path, serve: Serve) -> Iterator[Start]:
    """Start gateways before an echo server of the cast, or one at another port."""
    with contextlib.ExitStack() as stack:

        def begin(
            *options: str, port: int | None = None, version: Version | None = None
        ) -> GatewayInC:
            if port is None:
                port = serve(server_context(pki.server, version=version)).port
            where = ("--upstream", f"localhost:{port}")
            return stack.enter_context(GatewayInC(pki, tmp_path, *where, *options))

        yield begin


# ---- decisions -------------------------------------------------------------------


def test_each_client_is_decided_counted_and_named_once(
    start: Start, pki: Pki, version: Version
) -> None:
    """The log has key, subject, address and reason; the counters have each attempt."""
    gateway = start(version=version)
    other = pki.ca.leaf("other.example", purpose="client")
    came = [pki.stranger, None, other, pki.client, pki.stranger, None, pki.client]
    assert [gateway.served(c, version) for c in came] == [c is pki.client for c in came]
    counters = gateway.end()
    assert counters["client"]["accepted"] == {"MATCH": 2}
    assert counters["client"]["rejected"] == {"MISMATCH": 3, "NO_CERTIFICATE": 2}
    assert counters["upstream"]["accepted"] == {"MATCH": 2}
    assert counters["upstream"]["rejected"] == {}
    for side in ("client", "upstream"):
        assert counters[side]["bytes"] == 2 * len(SECRET)
        assert counters[side]["failed"] == {}
    assert counters["open"] == 0
    told = gateway.told("rejected")
    assert [(e["reason"], e["pin"], e["subject"]) for e in told] == [
        ("MISMATCH", pki.stranger.pin, "CN=stranger.example"),
        ("NO_CERTIFICATE", "none", ""),
        ("MISMATCH", other.pin, "CN=other.example"),
    ]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", e["address"]) for e in told)
    assert {(e["side"], e["mode"]) for e in told} == {("client", "enforce")}


def test_a_refused_client_that_has_much_to_say_learns_why(
    start: Start, pki: Pki
) -> None:
    """In TLS 1.3 it may send at once; a reset would take the alert away from it."""
    gateway = start()
    with gateway.connect(pki.stranger, Version.TLSv1_3) as tls:
        tls.sendall(BODY[:200_000])
        with pytest.raises(ssl.SSLError, match=r"(?i)alert.bad.certificate"):
            tls.recv(1)


def test_a_subject_cannot_break_out_of_its_field(start: Start, pki: Pki) -> None:
    """A line of the log is one JSON object, whatever a peer calls itself."""
    gateway = start()
    name = 'a"b\\c\n", "event": "x'
    peer = pki.ca.leaf("quotes.example", common_name=name, purpose="client")
    assert not gateway.served(peer)
    gateway.end()
    (told,) = gateway.told("rejected")
    fields = {"time", "event", "side", "reason", "mode", "pin", "subject", "address"}
    assert set(told) == fields
    assert told["subject"].startswith('CN=a\\"b')


def test_a_client_of_no_authority_fails_in_tls(start: Start) -> None:
    """Pins add to the verification: the failure is its own, and told with its text."""
    gateway = start()
    assert not gateway.served(self_signed("client.example"))
    counters = gateway.end()
    assert counters["client"]["failed"] == {"handshake": 1}
    (told,) = gateway.told("failed")
    assert "certificate" in told["why"]


def test_an_upstream_with_another_key_gets_no_byte_of_a_request(
    start: Start, pki: Pki, serve: Serve, version: Version
) -> None:
    """Another server, valid for the same name, is refused, counted and named."""
    impostor = serve(server_context(pki.impostor, version=version))
    gateway = start(port=impostor.port)
    assert not gateway.served(pki.client, version)
    record = impostor.record()
    assert record.application == b""
    assert SECRET not in record.wire
    counters = gateway.end()
    assert counters["upstream"]["rejected"] == {"MISMATCH": 1}
    assert counters["client"]["bytes"] == 0
    (told,) = gateway.told("rejected")
    assert (told["side"], told["pin"]) == ("upstream", pki.impostor.pin)
    assert told["address"] == f"localhost:{impostor.port}"


def test_an_upstream_of_another_name_gets_no_byte(
    start: Start, pki: Pki, serve: Serve
) -> None:
    """The key is pinned, and the certificate is not valid for the name."""
    elsewhere = pki.ca.leaf("elsewhere.example")
    server = serve(server_context(elsewhere))
    gateway = start(port=server.port)
    gateway.pin_upstream("localhost", elsewhere)
    gateway.reload()
    assert not gateway.served(pki.client)
    assert server.record().application == b""
    assert gateway.end()["upstream"]["failed"] == {"handshake": 1}
    (told,) = gateway.told("failed")
    assert told["why"] == "hostname mismatch"


def test_an_upstream_that_is_not_there_is_counted(start: Start, pki: Pki) -> None:
    """A port is bound here, and nobody listens on it."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gateway = start(port=nobody.getsockname()[1])
        assert not gateway.served(pki.client)
    assert gateway.end()["upstream"]["failed"] == {"connect": 1}


def test_a_roll_out_reports_first_and_enforces_after_a_reload(
    start: Start, pki: Pki
) -> None:
    """In report mode strangers are served, and the log lists them; then it refuses."""
    gateway = start()
    gateway.pin_clients(pki.client, mode="report")
    gateway.reload()
    strangers = [pki.ca.leaf(f"w{n}.example", purpose="client") for n in range(3)]
    assert all(gateway.served(stranger) for stranger in strangers)
    assert not gateway.served(None)  # TLS asks for a certificate in report mode, too
    assert gateway.counters()["client"]["accepted"] == {"MISMATCH": 3}
    gateway.pin_clients(pki.client, strangers[0])
    gateway.reload()
    assert list(map(gateway.served, strangers)) == [True, False, False]
    counters = gateway.end()
    assert counters["client"]["accepted"] == {"MISMATCH": 3, "MATCH": 1}
    assert counters["client"]["rejected"] == {"MISMATCH": 2}
    names = {
        event: [line["subject"] for line in gateway.told(event)]
        for event in ("accepted without a match", "rejected")
    }
    assert names == {
        "accepted without a match": [f"CN=w{n}.example" for n in range(3)],
        "rejected": ["CN=w1.example", "CN=w2.example"],
    }


def test_strangers_do_not_take_the_names_of_clients(start: Start, pki: Pki) -> None:
    """More addresses than the log names come first; the refused client is named."""
    gateway = start()
    for number in range(1100):
        with socket.socket() as plain:
            plain.bind((f"127.1.{number // 250}.{number % 250 + 1}", 0))
            plain.settimeout(LIMIT)
            plain.connect(("127.0.0.1", gateway.port))
            plain.sendall(b"no hello of TLS")
            with contextlib.suppress(ConnectionError):
                while plain.recv(100):
                    pass
        if number < 1024:
            gateway.until("failed")
    assert not gateway.served(pki.stranger)
    assert gateway.end()["client"]["failed"] == {"handshake": 1100}
    assert len(gateway.told("failed")) == 1024
    assert len(gateway.told("no more strangers are named until a reload")) == 1
    assert [told["pin"] for told in gateway.told("rejected")] == [pki.stranger.pin]


# ---- policies that change --------------------------------------------------------

TASKS, TURNS = 8, 15
ASKED = b"0123456789abcdef" * 2048  # two records of TLS


async def ask(port: int, context: ssl.SSLContext) -> bytes:
    """Send a request through the gateway, and read as many bytes back."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    writer.write(ASKED)
    await writer.drain()
    answer = await reader.readexactly(len(ASKED))
    writer.close()
    await writer.wait_closed()
    return answer


def test_no_connection_is_lost_in_a_reload_under_load(start: Start, pki: Pki) -> None:
    """Policies change, and wrong ones are refused, while clients come and go."""
    gateway = start()
    context, turns = client_of(pki, pki.client), iter(range(TASKS * TURNS))

    def change() -> None:
        gateway.pin_clients(pki.client, pki.stranger)
        gateway.reload()
        gateway.write(gateway.clients, b"broken")
        gateway.reload("policies kept")

    async def client() -> int:
        answered = 0
        for _ in range(TURNS):
            if next(turns) % 30 == 15:
                await asyncio.to_thread(change)
            answered += await ask(gateway.port, context) == ASKED
        return answered

    async def load() -> list[int]:
        return await asyncio.gather(*(client() for _ in range(TASKS)))

    assert sum(asyncio.run(asyncio.wait_for(load(), 3 * LIMIT))) == TASKS * TURNS
    assert gateway.served(pki.stranger)  # by the policy that was loaded
    counters = gateway.end()
    assert counters["client"]["accepted"] == {"MATCH": TASKS * TURNS + 1}
    assert counters["upstream"]["accepted"] == {"MATCH": TASKS * TURNS + 1}
    assert (counters["reloads"], counters["reloads_refused"]) == (4, 4)


def spoil_text(gateway: GatewayInC) -> str:
    """Put a policy in TOML in the place; return a part of the message."""
    gateway.write(gateway.clients, b"version = 1\n[clients]\n")
    return "clients.pvpol: not a compiled policy; make one with `pinverify compile"


def spoil_bytes(gateway: GatewayInC) -> str:
    """Change one byte."""
    data = bytearray(gateway.upstream.read_bytes())
    data[-1] ^= 1
    gateway.pin_clients(gateway.pki.client)
    gateway.write(gateway.upstream, bytes(data))
    return "up.pvpol: "


def forget_clients(gateway: GatewayInC) -> str:
    """Put a policy for hosts where that for clients is."""
    gateway.pin_upstream("localhost", gateway.pki.server)
    gateway.write(gateway.clients, gateway.upstream.read_bytes())
    return "clients.pvpol: no pins for clients; add [clients]"


def forget_upstream(gateway: GatewayInC) -> str:
    """Leave the upstream without pins, and let in another client, which must wait."""
    gateway.pin_upstream("other.example", gateway.pki.server)
    gateway.pin_clients(gateway.pki.stranger)
    return 'up.pvpol: no pins; add [hosts."localhost"]'


def remove(gateway: GatewayInC) -> str:
    """Remove a file."""
    gateway.clients.unlink()
    return "clients.pvpol: No such file"


def pipe(gateway: GatewayInC) -> str:
    """Put a pipe in the place, to which nobody writes."""
    gateway.clients.unlink(missing_ok=True)
    os.mkfifo(gateway.clients)
    return "clients.pvpol: it is no file"


def folder(gateway: GatewayInC) -> str:
    """Put a folder in the place."""
    gateway.clients.unlink()
    gateway.clients.symlink_to(gateway.folder)
    return "clients.pvpol: it is no file"


def empty(gateway: GatewayInC) -> str:
    """Leave an empty file."""
    gateway.write(gateway.clients, b"")
    return "clients.pvpol: it is empty"


def test_a_wrong_policy_leaves_both_old_ones_in_force(start: Start, pki: Pki) -> None:
    """The log has the message; the pins are those of before."""
    gateway = start()
    texts = (spoil_text, spoil_bytes, forget_clients, forget_upstream)
    spoilers = (*texts, remove, pipe, folder, empty)
    for spoil in spoilers:
        message = spoil(gateway)
        assert message in gateway.reload("policies kept")["error"]
        assert gateway.served(pki.client), spoil
        assert not gateway.served(pki.stranger), spoil
    gateway.pin_clients(pki.stranger)
    gateway.pin_upstream("localhost", pki.server)
    gateway.reload()
    assert gateway.served(pki.stranger)
    assert gateway.end()["reloads_refused"] == len(spoilers)


def test_a_wrong_policy_at_the_start_ends_the_program(pki: Pki, tmp_path: Path) -> None:
    """It never serves without pins, and says what is wrong."""
    gateway = GatewayInC(pki, tmp_path, "--upstream", "elsewhere.example:1")
    _, said = gateway.process.communicate(timeout=LIMIT)
    gateway.halt()
    assert gateway.process.returncode == 2
    assert said.endswith('up.pvpol: no pins; add [hosts."elsewhere.example"]\n')


# ---- sessions --------------------------------------------------------------------


def visit(gateway: GatewayInC, context: ssl.SSLContext, session: Any) -> Any:  # noqa: ANN401
    """Talk to the upstream, with a session or without; return the next session."""
    tls = context.wrap_socket(
        gateway.plain(), server_hostname="localhost", session=session
    )
    with tls:
        echo(tls)  # in TLS 1.3 the ticket comes with the first data
        assert tls.session_reused is (session is not None)
        return tls.session


def test_sessions_are_resumed_on_both_sides(
    start: Start, pki: Pki, serve: Serve, version: Version
) -> None:
    """Clients and the upstream resume, and the pins in force judge each time."""
    upstream = serve(server_context(pki.server, version=version))
    gateway = start(port=upstream.port)
    context = client_context(pki.root, identity=pki.client, version=version)
    session = None
    for _ in range(3):
        session = visit(gateway, context, session)
    assert [upstream.record(i).resumed for i in range(3)] == [False, True, True]
    gateway.pin_clients(pki.stranger)
    gateway.reload()
    with pytest.raises((OSError, AssertionError)):
        visit(gateway, context, session)
    counters = gateway.end()
    assert counters["client"]["resumed"] == 2
    assert counters["upstream"]["resumed"] == 2
    assert counters["client"]["rejected"] == {"MISMATCH": 1}
    (told,) = gateway.told("rejected")
    assert told["pin"] == pki.client.pin


# ---- streams ---------------------------------------------------------------------

BODY = bytes(range(256)) * 16384  # 4 MiB: more than the gateway and sockets hold


class OneAnswer:
    """A server of one connection: it answers what it has read to its end."""

    def __init__(
        self, pki: Pki, version: Version | None = None, *, cut: bool = False
    ) -> None:
        """Wait for a connection in a thread; *cut*: end without close_notify."""
        self.heard = b""
        self._context, self._cut = server_context(pki.server, version=version), cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LIMIT)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        plain = self._listener.accept()[0]
        plain.settimeout(LIMIT)
        with self._context.wrap_socket(plain, server_side=True) as tls:
            parts = []
            while data := tls.recv(65536):
                parts.append(data)
            self.heard = b"".join(parts)
            tls.sendall(self.heard[::-1])
            if not self._cut:
                tls.unwrap()

    def __enter__(self) -> Self:
        """Return the server itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """Wait for the thread."""
        self._thread.join(LIMIT)
        self._listener.close()
        assert not self._thread.is_alive()


def exchange(
    gateway: GatewayInC, version: Version | None = None, *, slowly: bool = False
) -> tuple[bytes, bool]:
    """Send BODY, end the stream, and read; True if the answer was ended, too."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    pki = gateway.pki
    context = client_context(pki.root, identity=pki.client, version=version)
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with socket.socket() as plain:
        if slowly:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.settimeout(LIMIT)
        plain.connect(("127.0.0.1", gateway.port))

        def step(operation: Callable[[], Any], *, once: bool = False) -> Any:  # noqa: ANN401
            while True:
                try:
                    return operation()
                except ssl.SSLWantReadError:
                    plain.sendall(outgoing.read())
                    if once:
                        return None
                    data = plain.recv(4096 if slowly else 65536)
                    incoming.write(data) if data else incoming.write_eof()
                finally:
                    plain.sendall(outgoing.read())

        step(tls.do_handshake)
        step(lambda: tls.write(BODY))
        step(tls.unwrap, once=True)  # close_notify goes out, and reading goes on
        parts = []
        try:
            while data := step(lambda: tls.read(65536)):
                parts.append(data)
        except (ssl.SSLEOFError, ConnectionError):
            return b"".join(parts), False
        except ssl.SSLZeroReturnError:  # the end, to those who have ended, too
            pass
        return b"".join(parts), True


@pytest.mark.parametrize("slowly", [False, True])
def test_a_side_that_has_ended_its_stream_gets_the_answer(
    start: Start, pki: Pki, version: Version, *, slowly: bool
) -> None:
    """4 MiB go up, the stream ends, and only then 4 MiB come back, and end."""
    with OneAnswer(pki, version) as server:
        gateway = start(port=server.port)
        assert exchange(gateway, version, slowly=slowly) == (BODY[::-1], True)
    assert server.heard == BODY
    counters = gateway.end()
    assert counters["client"]["bytes"] == len(BODY)
    assert counters["upstream"]["bytes"] == len(BODY)
    assert counters["client"]["failed"] == counters["upstream"]["failed"] == {}


def test_a_stream_that_was_cut_does_not_look_complete(start: Start, pki: Pki) -> None:
    """All bytes arrive, and no close_notify."""
    with OneAnswer(pki, cut=True) as server:
        gateway = start(port=server.port)
        assert exchange(gateway) == (BODY[::-1], False)
    assert gateway.end()["upstream"]["failed"] == {"cut": 1}


GREETING = bytes(64 * 2**20)


def test_a_client_that_does_not_read_stops_the_upstream(
    start: Start, pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway holds little of 64 MiB, and ends what does not move any more."""
    # AddressSanitizer keeps what the gateway has freed, as if it were held.
    monkeypatch.setenv("ASAN_OPTIONS", "quarantine_size_mb=1")
    upstream = serve(server_context(pki.server), greeting=GREETING)
    gateway = start("--idle-seconds", "0.3", port=upstream.port)
    before = gateway.most_memory()
    with gateway.connect(pki.client) as tls:
        assert gateway.until("failed")["kind"] == "idle"
        assert gateway.most_memory() - before < len(GREETING) // 8
        tls.close()
    assert gateway.end()["upstream"]["bytes"] < len(GREETING) // 2


# ---- bounds ----------------------------------------------------------------------

ROOM = 40


def test_more_clients_than_there_is_room_for_wait(start: Start, pki: Pki) -> None:
    """Idle connections stay; the next client is served when one of them leaves."""
    gateway = start("--connections", str(ROOM))
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(gateway.connect(pki.client)) for _ in range(ROOM)]
        for tls in idle:
            echo(tls)
        assert gateway.counters()["open"] == ROOM
        with gateway.plain() as waiting:
            threading.Timer(0.2, idle[0].unwrap).start()
            with gateway.connect(pki.client, plain=waiting) as late:
                echo(late)
        for tls in idle[1:]:
            echo(tls)
    assert gateway.end()["client"]["accepted"] == {"MATCH": ROOM + 1}


def test_a_client_that_says_nothing_does_not_stay(start: Start) -> None:
    """Without a handshake it is cut off, and counted."""
    gateway = start("--handshake-seconds", "0.1")
    with gateway.plain() as silent:
        assert silent.recv(1) == b""
    assert gateway.until("failed")["kind"] == "handshake"
    assert gateway.end()["client"]["failed"] == {"handshake": 1}


def test_an_upstream_that_says_nothing_does_not_hold_a_client(
    start: Start, pki: Pki, serve: Serve
) -> None:
    """The client is cut off when the handshake behind takes too long."""
    upstream = serve(server_context(pki.server), silent=True)
    gateway = start("--handshake-seconds", "0.3", port=upstream.port)
    assert not gateway.served(pki.client)
    assert gateway.end()["upstream"]["failed"] == {"handshake": 1}


def test_a_stop_lets_open_connections_finish(start: Start, pki: Pki) -> None:
    """New clients find nobody; the open one asks and is answered, then it ends."""
    gateway = start()
    with gateway.connect(pki.client) as tls:
        echo(tls)
        assert gateway.counters()["open"] == 1
        gateway.stop()
        assert gateway.until("stopping")["open"] == 1
        with pytest.raises(ConnectionRefusedError):
            gateway.connect(pki.client)
        echo(tls, SECRET[::-1])
    assert gateway.until("stopped")["cut"] == 0


@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_ends_in_time(start: Start, pki: Pki, signals: int) -> None:
    """A connection that does not finish is cut off: in time, or at a second signal."""
    gateway = start("--stop-seconds", "0.1" if signals == 1 else str(LIMIT))
    with gateway.connect(pki.client) as tls:
        echo(tls)
        gateway.stop()
        gateway.until("stopping")
        if signals == 2:
            gateway.process.send_signal(signal.SIGTERM)
        assert gateway.until("stopped")["cut"] == 1
        with contextlib.suppress(OSError):
            assert tls.recv(1) == b""


# ---- the command line and the page -----------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--upstream", "localhost"), "upstream: write HOST:PORT"),
        (("--upstream", "::1:1"), "upstream: write an IPv6 address in brackets"),
        (("--idle-seconds", "x"), "idle-seconds: write a number from 0.01 to 86400"),
        (("--connections", "0"), "connections: write a number from 1 to 1e+06"),
        (("--upstream", "localhost:1"), "certificate: it is missing"),
        (("--no-such",), "no such option"),
    ],
)
def test_a_wrong_command_line_is_told(options: tuple[str, ...], message: str) -> None:
    """The message names the option and what to write; nothing is started."""
    done = subprocess.run(
        [gateway_program(), *options],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr


@pytest.mark.ci
def test_the_command_of_the_page_builds_it(tmp_path: Path) -> None:
    """As it stands there, in one go; no file of it has a warning."""
    program = tmp_path / "gateway"
    line = shlex.join([*compiler(), *WARNINGS, "-o", str(program)])
    words = " ".join(word.replace("-O3", "-O1") for word in command_of_the_page())
    shell = ["sh", "-c", f"cd '{FOLDER}' && {line} {words}"]
    assert ended(shell, timeout=300) == (0, "", "")
    code, told, _ = ended([program, "--help"])
    assert (code, told) == ended([gateway_program(), "--help"])[:2]


def test_the_page_beside_it_is_right(start: Start, pki: Pki, tmp_path: Path) -> None:
    """Its policy is one for both sides, its options, events and links exist."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (policy,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "pins.toml").write_text(policy, encoding="utf-8")
    for name in ("clients.pvpol", "up.pvpol"):
        compiled = load_policy(tmp_path / "pins.toml").compile()
        (tmp_path / name).write_bytes(compiled)
    gateway = start()
    assert not gateway.served(pki.client)  # the upstream has another pin
    assert gateway.end()["client"]["accepted"] == {"MISMATCH": 1}
    done = subprocess.run(
        [gateway_program(), "--help"], capture_output=True, text=True, check=True
    )
    commands = "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL))
    options = set(re.findall(r" (--[a-z]+-?[a-z]+)", commands)) - {"--output"}
    assert len(options) > 5
    for option in options:
        assert option in done.stdout
    program = "".join(file.read_text("ascii") for file in FOLDER.glob("*.c"))
    events = re.findall(r'\("([a-z ]+)"\)|, "([a-z ]+)",', page)
    assert len(events) > 2
    for event in map("".join, events):
        assert f'"{event}"' in program, event
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (FOLDER / target).exists(), target
