"""The gateway of `examples/gateway-python`, run as a process between two loopback ends.

Its upstreams record each byte, so a test knows what reached them. Every test ends the
gateway by a signal, and expects that it exits cleanly.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

import pinverify
from gateway_process import GatewayProcess
from pinverify import PinSet, Rules
from pinverify.formats import toml
from pki import Identity, Pki
from places import ROOT
from tls_clients import SECRET, Serve, client_of, echo
from tls_servers import LIMIT, server_context

__all__: list[str] = []

pytestmark = pytest.mark.ci  # examples are no part of the product

FOLDER = ROOT / "examples" / "gateway-python"
PROGRAM = FOLDER / "gateway.py"
SOURCE = Path(pinverify.__file__).resolve().parent.parent


class Running(GatewayProcess):
    """A gateway that runs: its ports, its policy files and the events of its log."""

    def __init__(self, pki: Pki, folder: Path, *options: str) -> None:
        """Start it with the client and the server of the cast pinned."""
        self.pki, self.folder = pki, folder
        if not (folder / "clients.toml").exists():
            self.pin_clients(pki.client)
        if not (folder / "upstream.toml").exists():
            self.pin_upstream(pki.server)
        trusted = str(pki.trust_file(folder))
        certificate = str(pki.server.write(folder / "gateway.pem"))
        command = [
            *(sys.executable, str(PROGRAM), "--certificate", certificate),
            *("--client-authorities", trusted, "--upstream-authorities", trusted),
            *("--client-policy", str(folder / "clients.toml")),
            *("--upstream-policy", str(folder / "upstream.toml")),
            *("--listen", "127.0.0.1:0", "--metrics-port", "0"),
            *("--look-seconds", "3600", *options),
        ]
        super().__init__(command, {**os.environ, "PYTHONPATH": str(SOURCE)})

    def __enter__(self) -> Self:
        """Wait until it listens."""
        ready = self.until("listening")
        self.port, self.metrics_port = (
            int(str(ready[name]).rpartition(":")[2]) for name in ("address", "metrics")
        )
        return self

    def end(self) -> dict[str, Any]:
        """Let it stop, expect that it does so cleanly, and read all events."""
        last = super().end()
        assert not self.told("a fault of the gateway"), self.events
        return last

    def pin_clients(self, *clients: Identity, **options: Any) -> None:  # noqa: ANN401
        """Write the policy for clients."""
        pins = PinSet(leaf=[*(c.pin for c in clients), self.pki.root.pin], **options)
        text = toml.dumps(Rules(clients=pins))
        (self.folder / "clients.toml").write_text(text, encoding="utf-8")

    def pin_upstream(self, server: Identity) -> None:
        """Write the policy for the upstream."""
        pins = PinSet(leaf=[server.pin, self.pki.ca.pin])
        text = toml.dumps(Rules({"localhost": pins}))
        (self.folder / "upstream.toml").write_text(text, encoding="utf-8")

    def reload(self, event: str = "policy") -> dict[str, Any]:
        """Let it read both files again; return the last event of this name."""
        self.process.send_signal(signal.SIGHUP)
        self._told_of_a_file()
        self._told_of_a_file()
        return self.told(event)[-1]

    def _told_of_a_file(self) -> None:
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.events.append(json.loads(line))
            if self.events[-1]["event"] in {"policy", "policy kept"}:
                return

    def counters(self) -> dict[str, int]:
        """Return its counters, by name and labels."""
        with socket.create_connection(("127.0.0.1", self.metrics_port), LIMIT) as sock:
            sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
            with sock.makefile("rb") as file:
                _, _, body = file.read().decode("ascii").partition("\r\n\r\n")
        found = re.findall(r"(?m)^(?:gateway|pinverify)_(\S+) (\d+)\.0$", body)
        return {name: int(value) for name, value in found}

    def connect(self, client: Identity | None) -> ssl.SSLSocket:
        """Connect as *client*; in TLS 1.3 a refusal shows at the first read."""
        plain = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        context = client_of(self.pki, client)
        return context.wrap_socket(plain, server_hostname="localhost")

    def served(self, client: Identity | None) -> bool:
        """Return True if *client* gets an answer, False if it is cut off."""
        try:
            with self.connect(client) as tls:
                tls.sendall(SECRET)
                return tls.recv(len(SECRET)) != b""
        except OSError:  # how a refusal looks depends on the moment
            return False


Start = Callable[..., Running]


@pytest.fixture
def start(pki: Pki, tmp_path: Path, serve: Serve) -> Iterator[Start]:
    """Start gateways before an echo server of the cast, or one at another port."""
    with contextlib.ExitStack() as stack:

        def begin(*options: str, port: int | None = None) -> Running:
            port = port or serve(server_context(pki.server)).port
            where = ("--upstream", f"localhost:{port}")
            return stack.enter_context(Running(pki, tmp_path, *where, *options))

        yield begin


def decisions(side: str, reason: str, mode: str = "enforce") -> str:
    """Return the name of a counter."""
    accepted = str(reason == "MATCH" or mode == "report").lower()
    labels = f'accepted="{accepted}",mode="{mode}",reason="{reason}",side="{side}"'
    return f"decisions_total{{{labels}}}"


TASKS, TURNS = 10, 20
ASKED = b"0123456789abcdef" * 2048  # two records of TLS and more


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
    """Policies change four times while clients come and go; each gets its answer."""
    gateway = start()
    context, turns = client_of(pki, pki.client), iter(range(TASKS * TURNS))

    async def client() -> int:
        answered = 0
        for _ in range(TURNS):
            if next(turns) % 50 == 25:
                gateway.pin_clients(pki.client, pki.stranger)
                await asyncio.to_thread(gateway.reload)
            answered += await ask(gateway.port, context) == ASKED
        return answered

    async def load() -> list[int]:
        return await asyncio.gather(*(client() for _ in range(TASKS)))

    assert sum(asyncio.run(asyncio.wait_for(load(), 3 * LIMIT))) == TASKS * TURNS
    assert gateway.counters()[decisions("client", "MATCH")] == TASKS * TURNS
    assert gateway.counters()[decisions("server", "MATCH")] == TASKS * TURNS
    assert gateway.served(pki.stranger)  # by the policy that was loaded


def test_each_refused_client_is_counted_and_named_once(start: Start, pki: Pki) -> None:
    """The log has key, subject, address and reason; the counter has each attempt."""
    gateway = start()
    other = pki.ca.leaf("other.example", purpose="client")
    came = [pki.stranger, other, pki.stranger, pki.client, pki.stranger]
    assert [gateway.served(c) for c in came] == [c is pki.client for c in came]
    counters = gateway.counters()
    assert counters[decisions("client", "MISMATCH")] == 4
    assert counters[decisions("client", "MATCH")] == 1
    gateway.end()
    told = gateway.told("rejected")
    assert [(e["pin"], e["subject"], e["reason"], e["side"]) for e in told] == [
        (pki.stranger.pin, "CN=stranger.example", "MISMATCH", "client"),
        (other.pin, "CN=other.example", "MISMATCH", "client"),
    ]
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+", e["address"]) for e in told)


def test_a_roll_out_reports_first_and_enforces_after_a_reload(
    start: Start, pki: Pki
) -> None:
    """In report mode strangers are served, and the log lists them; then it refuses."""
    gateway = start()
    gateway.pin_clients(pki.client, mode="report")
    gateway.reload()
    strangers = [pki.ca.leaf(f"w{n}.example", purpose="client") for n in range(3)]
    assert all(gateway.served(stranger) for stranger in strangers)
    assert gateway.counters()[decisions("client", "MISMATCH", "report")] == 3
    gateway.pin_clients(pki.client, strangers[0])
    gateway.reload()
    assert list(map(gateway.served, strangers)) == [True, False, False]
    assert gateway.counters()[decisions("client", "MISMATCH")] == 2
    gateway.end()
    names = {
        event: [line["subject"] for line in gateway.told(event)]
        for event in ("accepted without a match", "rejected")
    }
    assert names == {
        "accepted without a match": [f"CN=w{n}.example" for n in range(3)],
        "rejected": ["CN=w1.example", "CN=w2.example"],
    }


def test_an_upstream_with_another_key_gets_no_byte_of_a_request(
    start: Start, pki: Pki, serve: Serve
) -> None:
    """Another server, valid for the same name, is refused, counted and named."""
    impostor = serve(server_context(pki.impostor))
    gateway = start(port=impostor.port)
    assert not gateway.served(pki.client)
    record = impostor.record()
    assert record.application == b""
    assert SECRET not in record.wire
    assert gateway.counters()[decisions("server", "MISMATCH")] == 1
    gateway.end()
    (told,) = gateway.told("rejected")
    assert told["pin"] == pki.impostor.pin
    assert told["address"] == f"localhost:{impostor.port}"


def test_the_next_upstream_takes_over(start: Start, pki: Pki, serve: Serve) -> None:
    """A client is served while one upstream of the list has its pin."""
    impostor = serve(server_context(pki.impostor))
    gateway = start("--upstream", f"localhost:{impostor.port}")
    assert all(gateway.served(pki.client) for _ in range(4))
    assert gateway.counters()[decisions("server", "MATCH")] == 4
    assert gateway.counters()[decisions("server", "MISMATCH")] == 2


def break_text(gateway: Running) -> str:
    """Break the policy for clients; return a part of the message."""
    file = gateway.folder / "clients.toml"
    file.write_text("version = 1\n[clients]\nleaf = ['sha256/AA']\n", encoding="utf-8")
    return "clients.toml: line 3: [clients]: leaf: not a SHA-256 pin"


def forget_clients(gateway: Running) -> str:
    """Write a policy for hosts where that for clients is; a server needs clients."""
    text = (gateway.folder / "upstream.toml").read_text(encoding="utf-8")
    (gateway.folder / "clients.toml").write_text(text, encoding="utf-8")
    return "clients.toml: no pins for clients; add [clients]"


def forget_upstream(gateway: Running) -> str:
    """Leave the upstream without pins."""
    text = toml.dumps(Rules({"other.example": [gateway.pki.server.pin]}))
    (gateway.folder / "upstream.toml").write_text(text, encoding="utf-8")
    return 'upstream.toml: no pins; add [hosts."localhost"]'


def remove(gateway: Running) -> str:
    """Remove a file."""
    (gateway.folder / "clients.toml").unlink()
    return "No such file"


def test_a_wrong_policy_leaves_the_old_one_in_force(start: Start, pki: Pki) -> None:
    """The log has the message; the pins are those of before."""
    gateway = start()
    for spoil in (break_text, forget_clients, forget_upstream, remove):
        message = spoil(gateway)
        gateway.reload("policy kept")
        kept = [event["error"] for event in gateway.told("policy kept")[-2:]]
        assert any(message in error for error in kept)
        assert gateway.served(pki.client), spoil
        assert not gateway.served(pki.stranger), spoil
    gateway.pin_clients(pki.stranger)
    gateway.pin_upstream(pki.server)
    gateway.reload()
    assert gateway.served(pki.stranger)


def test_a_policy_that_is_replaced_is_noticed_without_a_signal(
    start: Start, pki: Pki
) -> None:
    """The gateway looks at its files, and one that is wrong does not stop the other."""
    gateway = start("--look-seconds", "0.05")
    forget_upstream(gateway)
    assert "upstream.toml: no pins" in gateway.until("policy kept")["error"]
    gateway.pin_clients(pki.stranger)
    assert gateway.until("policy")["file"].endswith("clients.toml")
    assert gateway.served(pki.stranger)
    assert not gateway.served(pki.client)


def test_a_wrong_policy_at_the_start_ends_the_program(pki: Pki, tmp_path: Path) -> None:
    """It never serves without pins, and says what is wrong."""
    gateway = Running(pki, tmp_path, "--upstream", "elsewhere.example:1")
    _, said = gateway.process.communicate(timeout=LIMIT)
    gateway.halt()
    assert gateway.process.returncode == 2
    assert said.endswith('upstream.toml: no pins; add [hosts."elsewhere.example"]\n')


def test_a_stop_lets_open_connections_finish(start: Start, pki: Pki) -> None:
    """New clients find nobody; the open one asks and is answered, then it ends."""
    gateway = start()
    with gateway.connect(pki.client) as tls:
        echo(tls)
        assert gateway.counters()["open_connections"] == 1
        gateway.stop()
        assert gateway.until("stopping")["open"] == 1
        with pytest.raises(ConnectionRefusedError):
            gateway.connect(pki.client)
        echo(tls, SECRET[::-1])
    assert gateway.until("stopped")["cut"] == 0


def test_a_stop_ends_in_time(start: Start, pki: Pki) -> None:
    """A connection that does not finish is cut off."""
    gateway = start("--stop-seconds", "0.1")
    with gateway.connect(pki.client) as tls:
        echo(tls)
        gateway.stop()
        assert gateway.until("stopped")["cut"] == 1
        with contextlib.suppress(OSError):
            assert tls.recv(1) == b""


def test_a_client_without_a_certificate_is_counted(start: Start) -> None:
    """TLS refuses it before any pin is compared; the counters show it all the same."""
    gateway = start()
    assert not gateway.served(None)
    told = gateway.until("failed")
    assert (told["kind"], told["side"]) == ("handshake", "client")
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in told["error"]
    assert gateway.counters()['failures_total{kind="handshake",side="client"}'] == 1


def test_a_client_that_says_nothing_does_not_stay(start: Start) -> None:
    """Without a handshake it is cut off, and counted."""
    gateway = start("--handshake-seconds", "0.1")
    with socket.create_connection(("127.0.0.1", gateway.port), LIMIT) as silent:
        assert silent.recv(1) == b""
    assert gateway.until("failed")["kind"] == "handshake"
    assert gateway.counters()['failures_total{kind="handshake",side="client"}'] == 1


GREETING = bytes(64 * 2**20)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux shows it")
def test_a_client_that_does_not_read_stops_the_upstream(
    start: Start, pki: Pki, serve: Serve
) -> None:
    """The gateway holds little of 64 MiB, and ends what does not move any more."""
    upstream = serve(server_context(pki.server), greeting=GREETING)
    gateway = start("--idle-seconds", "0.5", port=upstream.port)
    before = gateway.most_memory()
    with gateway.connect(pki.client) as tls:
        assert gateway.until("failed")["kind"] == "idle"
        assert gateway.most_memory() - before < len(GREETING) // 2
        tls.close()


ANSWER = ASKED * 128  # 4 MiB: more than the gateway holds


async def narrow_end(
    gateway: Running,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect with little room: the gateway holds bytes when its source ends."""
    narrow = socket.socket()
    narrow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    narrow.connect(("127.0.0.1", gateway.port))
    return await asyncio.open_connection(
        limit=1024,
        sock=narrow,
        ssl=client_of(gateway.pki, gateway.pki.client),
        server_hostname="localhost",
    )


def test_the_last_bytes_of_each_side_arrive(start: Start, pki: Pki) -> None:
    """An upstream that answers and ends, and a client that does, are heard out."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(len(SECRET))
        if first == SECRET:
            writer.write(ANSWER)
        else:
            heard.append(first + await reader.read(-1))
            done.set()
        writer.close()

    async def converse() -> bytes:
        server = await asyncio.start_server(
            hear, "127.0.0.1", 0, ssl=server_context(pki.server)
        )
        port = server.sockets[0].getsockname()[1]
        gateway = await asyncio.to_thread(start, port=port)
        (reader, writer), (_, other) = [await narrow_end(gateway) for _ in range(2)]
        writer.write(SECRET)
        answered = bytearray()
        await asyncio.sleep(0.3)  # the answer comes as far as there is room
        while data := await reader.read(1024):
            answered += data
        other.write(ANSWER)
        other.close()
        await done.wait()
        writer.close()
        server.close()
        return bytes(answered)

    done = asyncio.Event()
    answered = asyncio.run(asyncio.wait_for(converse(), LIMIT))
    assert answered == ANSWER
    assert heard == [ANSWER]


def test_the_page_beside_it_is_right(
    start: Start, pki: Pki, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its policy is one for both sides, its options and events exist."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    (policy,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    for name in ("clients.toml", "upstream.toml"):
        (tmp_path / name).write_text(policy, encoding="utf-8")
    gateway = start()
    assert not gateway.served(pki.client)  # the upstream has another pin
    assert gateway.counters()[decisions("client", "MISMATCH", "report")] == 1
    subprocess.run([sys.executable, str(PROGRAM), "--help"], check=True, timeout=LIMIT)
    usage = capfd.readouterr().out
    (command,) = re.findall(r"```console\n(.*?)```", page, re.DOTALL)
    for option in re.findall(r"--[a-z-]+", command):
        assert option in usage
    program = "".join(file.read_text("utf-8") for file in FOLDER.glob("*.py"))
    events = re.findall(r'\("([a-z ]+)"\)|, "([a-z ]+)",', page)
    assert len(events) == 3
    for event in map("".join, events):
        assert f'"{event}"' in program, event
    for target in re.findall(r"\]\(([^)#]+)\)", page):
        assert (FOLDER / target).exists(), target
