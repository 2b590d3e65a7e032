"""`pinverify authserver`: the service that proxies ask about each request."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_runs import environment, run
from header_requests import HEADERS, lines_of, value_of
from pinverify import PinSet, Policy, Report, Rules
from pinverify.headers import Form, Proxy
from pinverify.headers._authserver import AuthService, Bounds
from pinverify.headers._request_decision import Gate
from pinverify.headers._request_head import HeadError, read_head
from pinverify.tls._events import OnReport
from pki import Pki, example_pki
from proxies import SECRET, Front, Recorder, ask, forgeries, front, recipe, send
from started import free_port
from tls_servers import LIMIT, client_context

__all__: list[str] = []

END = b"\r\n\r\n"
PINS = PinSet(leaf=[example_pki().client.pin])
VALUE = value_of("rfc9440", example_pki().client)
CERT = f"Client-Cert: {VALUE}".encode()


def request(*lines: bytes, first: bytes = b"GET / HTTP/1.1") -> bytes:
    """Return the head of a request."""
    return b"\r\n".join([first, b"Host: a.example", *lines]) + END


# ---- the head of a request ---------------------------------------------------------


def test_a_head_is_read_as_it_was_sent() -> None:
    """Names and values in order, without the blanks around a value."""
    head = read_head(request(b"A: b", b"a:c \t", b"B:", b"C: \xe9 d"))
    assert head.lines[1:] == [
        (b"A", b"b"),
        (b"a", b"c"),
        (b"B", b""),
        (b"C", b"\xe9 d"),
    ]
    assert head.goes_on


@pytest.mark.parametrize(
    ("data", "goes_on"),
    [
        (request(), True),
        (request(b"Connection: close"), False),
        (request(b"Connection: keep-alive, Close"), False),
        (request(b"Connection: x", b"connection: close"), False),
        (request(b"Connection: keep-alive", first=b"GET / HTTP/1.0"), False),
        (request(b"Content-Length: 0"), True),
    ],
)
def test_a_connection_stays_open_if_both_want_it(data: bytes, goes_on: bool) -> None:  # noqa: FBT001
    """HTTP/1.0 never does: its proxies open a connection for each request."""
    assert read_head(data).goes_on == goes_on


@pytest.mark.parametrize(
    "data",
    [
        request(first=b"GET / HTTP/2.0"),
        request(first=b"GET  / HTTP/1.1"),
        request(first=b"GET / HTTP/1.1 "),
        request(first=b"GET /a\tb HTTP/1.1"),
        request(first=b"GET /"),
        request(first=b""),
        request(b"A : b"),
        request(b" A: b"),
        request(b"A: b", b" folded"),
        request(b"A: b", b"\tfolded"),
        request(b"A"),
        request(b": b"),
        request(b"A\0: b"),
        request(b"A: b\0"),
        request(b"A: b\rC: d"),
        request(b"A: b\nC: d"),
        request(b"A\xe9: b"),
        request(b"Content-Length: 1"),
        request(b"Content-Length: 0", b"Content-Length: 0"),
        request(b"Content-Length: +0"),
        request(b"Content-Length: 0, 0"),
        request(b"Transfer-Encoding: chunked"),
        request(b"transfer-encoding: identity"),
    ],
)
def test_a_head_that_two_could_read_in_two_ways_is_refused(data: bytes) -> None:
    """Folding, blanks, bare line ends, bodies, and other smuggled goods."""
    with pytest.raises(HeadError):
        read_head(data)


@given(st.binary(max_size=80))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """No other exception comes of them."""
    for text in (data + END, request(data), request(b"A: " + data)):
        with contextlib.suppress(HeadError):
            assert read_head(text)


# ---- the service -------------------------------------------------------------------


class Talk:
    """A service that runs, and connections to it.

    Attributes:
        port: of the service.
    """

    def __init__(self, port: int, ended: asyncio.Event) -> None:
        self.port = port
        self._ended = ended

    async def connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Return a new connection."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def said(self, data: bytes) -> bytes:
        """Send bytes over a new connection; return all that comes until its end."""
        reader, writer = await self.connected()
        writer.write(data)
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            writer.close()

    def end(self) -> None:
        """Tell the service to end."""
        self._ended.set()


def served(
    talk: Callable[[Talk], Coroutine[Any, Any, None]],
    bounds: type[Bounds] = Bounds,
    proxy: Proxy | None = None,
    on_report: OnReport | None = None,
) -> None:
    """Run a service for as long as *talk* takes, and let it end."""
    gate = Gate(PINS, proxy or Proxy("rfc9440", peers=["127.0.0.1"]), on_report)

    async def both() -> None:
        ended = asyncio.Event()
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        service = asyncio.ensure_future(
            AuthService(gate, bounds).serve(listener, ended)
        )
        try:
            async with asyncio.timeout(LIMIT):
                await talk(Talk(port, ended))
        finally:
            ended.set()
            await asyncio.wait_for(service, LIMIT)

    asyncio.run(both())


CLOSE = b"Connection: close"


def test_a_pinned_client_gets_200_and_all_others_403(pki: Pki) -> None:
    """The proxy logs reason and pin from the answer, which has no body."""
    stranger = value_of("rfc9440", pki.stranger).encode()

    async def talk(service: Talk) -> None:
        answer = await service.said(request(CERT, CLOSE))
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert answer.endswith(b"\r\nContent-Length: 0" + END)
        assert b"\r\nX-Pinverify-Reason: MATCH\r\n" in answer
        assert b"\r\nX-Pinverify-Pin: " + pki.client.pin.encode() + b"\r\n" in answer
        refused = await service.said(request(b"Client-Cert: " + stranger, CLOSE))
        assert refused.startswith(b"HTTP/1.1 403 Forbidden\r\n")
        assert b"\r\nX-Pinverify-Reason: MISMATCH\r\n" in refused
        assert pki.stranger.pin.encode() in refused
        for lines in (
            [],
            [CERT, CERT],
            [CERT.replace(b"-", b"_", 1)],
            [b"Client-Cert:"],
        ):
            answer = await service.said(request(*lines, CLOSE))
            assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n"), lines
            assert b"X-Pinverify-Pin" not in answer

    served(talk)


def test_only_the_declared_proxy_gets_an_acceptance() -> None:
    """By the address of the connection, or by the secret."""
    secret = "0123456789abcdef"  # noqa: S105 - of this test

    async def elsewhere(service: Talk) -> None:
        assert b" 403 " in await service.said(request(CERT, CLOSE))

    async def with_secret(service: Talk) -> None:
        line = CERT + b';secret="' + secret.encode() + b'"'
        own = b"X-Pinverify-Secret: " + secret.encode()
        assert b" 200 " in await service.said(request(line, CLOSE))
        assert b" 403 " in await service.said(request(CERT, own, CLOSE))
        assert b" 403 " in await service.said(request(line[:-1], CLOSE))
        assert b" 403 " in await service.said(request(line[:-2] + b'"', CLOSE))
        assert b" 403 " in await service.said(request(line, line, CLOSE))

    served(elsewhere, proxy=Proxy("rfc9440", peers=["192.0.2.1", "unix"]))
    served(elsewhere, proxy=Proxy("rfc9440", secret=secret))
    served(with_secret, proxy=Proxy("rfc9440", secret=secret))


@pytest.mark.parametrize(
    "more",
    [
        [b"A: b"] * 1000,
        [b"A: \x7f"],
        [b"A: \x01\x1b\xff"],
        [b"Cookie: " + b"x" * 128 * 1024],
        [b"Cookie: " + b"x" * 32 * 1024] * 4,
        [b"X-Pinverify-Secret: x", b"Client-Certs: :", b"X-SSL-Client-Cert: x"],
    ],
    ids=["many", "DEL", "control characters", "a cookie", "cookies", "other headers"],
)
def test_pitfall_68_headers_that_are_not_for_the_service_refuse_nobody(
    more: list[bytes],
) -> None:
    """A proxy passes those of an honest client to it, if its recipe does not say no."""

    async def talk(service: Talk) -> None:
        for lines in ([CERT, *more], [*more, CERT]):
            assert b" 200 " in await service.said(request(*lines, CLOSE))
        assert b" 403 " in await service.said(request(*more, CLOSE))
        first = b"GET /\xc3\xa9 HTTP/1.1"
        assert b" 200 " in await service.said(request(CERT, CLOSE, first=first))

    served(talk)


def test_requests_over_one_connection_are_decided_each() -> None:
    """An acceptance before is no acceptance now; pipelined ones are in order."""

    async def talk(service: Talk) -> None:
        answer = await service.said(request(CERT) + request() + request(CERT, CLOSE))
        statuses = [part.split()[1] for part in answer.split(END) if part]
        assert statuses == [b"200", b"403", b"200"]

    served(talk)


def test_a_request_that_cannot_be_read_ends_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The bytes behind it could be its body, written by a client."""

    async def talk(service: Talk) -> None:
        with_body = request(CERT, b"Content-Length: 9") + request(CERT)
        for data in (with_body, b"x" + END + request(CERT), request(b"A\0:") * 2):
            answer = await service.said(data)
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert answer.count(b"HTTP/1.1") == 1

    with caplog.at_level(logging.WARNING, "pinverify"):
        served(talk)
    assert "it has a body; let the proxy send none" in caplog.text


def test_blanks_are_looked_at_once() -> None:
    """For 130 kB of them it took a minute: each way to share them was tried."""
    blanks = b"A:" + b" " * 120_000
    assert read_head(request(blanks + b"b")).lines[-1] == (b"A", b"b")
    with pytest.raises(HeadError):
        read_head(request(blanks + b"\0"))


def test_a_head_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """The refusal is logged, too."""

    class Narrow(Bounds):
        head = 4096

    async def talk(service: Talk) -> None:
        answer = await service.said(b"GET / HTTP/1.1\r\nA: " + b"x" * 9000)
        assert answer.startswith(b"HTTP/1.1 431 ") or answer == b""

    served(talk, Narrow)
    assert "a request that cannot be read: its head is too long" in caplog.text


def test_a_connection_too_many_ends_the_one_that_is_silent_longest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Somebody who holds all connections must not lock the proxy out."""

    class Narrow(Bounds):
        connections = 2

    async def talk(service: Talk) -> None:
        first, second = await service.connected(), await service.connected()
        first[1].write(request(CERT))  # they are there when they are answered
        assert b"200" in await first[0].readuntil(END)
        second[1].write(request(CERT))
        assert b"200" in await second[0].readuntil(END)
        first[1].write(request(CERT))
        assert b"200" in await first[0].readuntil(END)
        assert b"200" in await service.said(request(CERT, CLOSE))
        assert await second[0].read() == b""
        first[1].write(request(CERT, CLOSE))
        assert b"200" in await first[0].read()
        for writer in (first[1], second[1]):
            writer.close()

    served(talk, Narrow)
    assert "the one that is silent longest is closed address=127.0.0.1" in caplog.text


def test_a_connection_too_many_is_refused_where_none_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """There are never more than the bound: here the other one takes no answers."""

    class One(Bounds):
        connections = 1

    async def talk(service: Talk) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(0)
            await loop.sock_connect(client, ("127.0.0.1", service.port))
            with pytest.raises(TimeoutError):  # the service waits until it takes them
                async with asyncio.timeout(1):
                    await loop.sock_sendall(client, request() * 1_000_000)
            assert await service.said(request(CERT, CLOSE)) == b""

    served(talk, One)
    assert "all connections are in use" in caplog.text


def test_requests_of_one_connection_wait_for_those_of_others() -> None:
    """One that sends very many must not keep the proxy waiting."""
    reports: list[Report] = []

    async def talk(service: Talk) -> None:
        many, one = await service.connected(), await service.connected()
        for reader, writer in (many, one):
            writer.write(request())
            assert b"403" in await reader.readuntil(END)
        reports.clear()
        many[1].write(request() * 200)
        one[1].write(request())
        assert b"403" in await one[0].readuntil(END)
        port = one[1].get_extra_info("sockname")[1]
        assert [report.peer_address[1] for report in reports].index(port) < 100
        for writer in (many[1], one[1]):
            writer.close()

    served(talk, on_report=reports.append)


def test_a_peer_that_takes_no_answers_is_cut_off() -> None:
    """Closing would keep the connection until it takes them: for ever, and uncounted.

    A connection that is only closed is not read, so sending would not end.
    """

    class Impatient(Bounds):
        answer = 0.05

    async def talk(service: Talk) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.settimeout(0)
            await loop.sock_connect(client, ("127.0.0.1", service.port))
            with pytest.raises(ConnectionError):
                await loop.sock_sendall(client, request() * 1_000_000)

    served(talk, Impatient)


def test_strangers_cannot_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """A fault is logged once in a minute, as a rejection is."""

    async def talk(service: Talk) -> None:
        for _ in range(3):
            assert b" 400 " in await service.said(b"x" + END)

    served(talk)
    assert [text.partition(" address=")[0] for text in caplog.messages] == [
        "refused: a request that cannot be read: the first line is not one of HTTP/1.1"
    ]


def test_a_silent_connection_is_closed() -> None:
    """Before the first byte of a request, and inside of one."""

    class Impatient(Bounds):
        silence = 0.05

    async def talk(service: Talk) -> None:
        assert await service.said(b"") == b""
        assert await service.said(request(CERT)[:-2]) == b""

    served(talk, Impatient)


def test_it_ends_although_proxies_keep_connections_open() -> None:
    """An idle connection is closed, and so is one with half a request."""

    async def talk(service: Talk) -> None:
        idle, half = await service.connected(), await service.connected()
        idle[1].write(request(CERT))
        assert b"200" in await idle[0].readuntil(END)
        half[1].write(request(CERT)[:-2])
        service.end()
        assert await idle[0].read() == b""
        assert await half[0].read() == b""
        for writer in (idle[1], half[1]):
            writer.close()

    served(talk)


# ---- the command -------------------------------------------------------------------


def policy_file(folder: Path, pin: str) -> Path:
    """Write a policy that pins one key of clients."""
    file = folder / "clients.toml"
    text = f'version = 1\n[clients]\nleaf = ["{pin}", "{example_pki().rogue_ca.pin}"]\n'
    file.write_text(text, encoding="utf-8")
    return file


class Service:
    """The command in a process of its own.

    Attributes:
        place: as it prints it.
        process: the process.
        out: what it printed after that place; known when it has ended.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out = ""
        assert process.stdout is not None
        self.place: str = json.loads(_until_brace(process.stdout))["listening"]

    @property
    def port(self) -> int:
        """The port of 127.0.0.1 that it listens on."""
        return int(self.place.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit code, and what stands on stderr."""
        self.process.send_signal(number)
        self.out, err = self.process.communicate(timeout=LIMIT)
        return self.process.returncode, err


def _until_brace(stream: Any) -> str:  # noqa: ANN401 - a text stream
    lines = []
    for line in stream:
        lines.append(line)
        if line == "}\n":
            break
    return "".join(lines)


@contextlib.contextmanager
def serving(*options: str, files: int = 1024) -> Iterator[Service]:
    """Run the command from when it listens to the end of the block.

    Args:
        options: of the command.
        files: the number that it may open.
    """
    bounded = ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")
    with subprocess.Popen(
        [*bounded, sys.executable, "-m", "pinverify", "authserver", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield Service(process)
        finally:
            process.kill()


def test_the_command_serves_reads_its_policy_again_and_ends(
    pki: Pki, tmp_path: Path
) -> None:
    """SIGHUP takes a new policy, but none with a mistake; SIGTERM ends it with 0."""
    file = policy_file(tmp_path, pki.client.pin)
    lines = [("Client-Cert", VALUE)]
    options = ("--policy", str(file), "--form", "rfc9440", "--from", "127.0.0.1")
    with serving(*options, "--listen", f"127.0.0.1:{free_port()}") as service:
        assert ask(service.port, "/", lines).status == 200
        assert ask(service.port, "/").status == 403
        policy_file(tmp_path, pki.stranger.pin)
        service.process.send_signal(signal.SIGHUP)
        _until(lambda: ask(service.port, "/", lines).status == 403)
        file.write_text("version = 2", encoding="utf-8")
        service.process.send_signal(signal.SIGHUP)
        stranger = [("Client-Cert", value_of("rfc9440", pki.stranger))]
        assert ask(service.port, "/", stranger).status == 200
        code, err = service.end()
    assert code == 0
    clients = PinSet(leaf=[pki.stranger.pin, pki.rogue_ca.pin])
    assert json.loads(service.out) == {
        "reloaded": str(file),
        "digest": Policy(Rules(clients=clients)).digest.hex(),
    }
    assert "the old policy stays: " in err
    assert "pinverify: rejected: client MISMATCH key=sha256/" in err
    assert "Traceback" not in err


def test_connections_never_need_more_files_than_there_are(
    pki: Pki, tmp_path: Path
) -> None:
    """Or the service could not accept the proxy's."""
    file = policy_file(tmp_path, pki.client.pin)
    options = ("--policy", str(file), "--form", "rfc9440", "--from", "127.0.0.1")
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    with (
        serving(*options, *listen, files=160) as service,
        contextlib.ExitStack() as silent,
    ):
        for _ in range(200):
            place = ("127.0.0.1", service.port)
            silent.enter_context(socket.create_connection(place, LIMIT))
        assert ask(service.port, "/", [("Client-Cert", VALUE)]).status == 200
        _, err = service.end()
    assert "Traceback" not in err


def test_a_signal_may_come_as_soon_as_the_service_listens(
    pki: Pki, tmp_path: Path
) -> None:
    """A program that reads the line may have a new policy at once."""
    file = policy_file(tmp_path, pki.client.pin)
    options = ("--policy", str(file), "--form", "rfc9440", "--from", "127.0.0.1")
    with serving(*options, "--listen", f"127.0.0.1:{free_port()}") as service:
        service.process.send_signal(signal.SIGHUP)
        assert ask(service.port, "/", [("Client-Cert", VALUE)]).status == 200
        assert service.end()[0] == 0


def _until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.01)


def test_the_command_on_a_unix_socket(pki: Pki, tmp_path: Path) -> None:
    """Owner and group can connect; the path is gone afterwards."""
    file, path = policy_file(tmp_path, pki.client.pin), tmp_path / "a.sock"
    listen = f"unix:{path}"
    options = ("--policy", str(file), "--form", "rfc9440", "--listen", listen)
    with serving(*options, "--from", "unix") as service:
        assert service.place == listen
        assert path.stat().st_mode & 0o777 == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(LIMIT)
            client.connect(str(path))
            client.sendall(request(CERT, CLOSE))
            assert client.recv(65536).startswith(b"HTTP/1.1 200 OK")
        again = run("authserver", *options, "--from", "unix")
        assert again.code == 2
        assert "if no other process uses it, remove it" in again.err
        assert service.end(signal.SIGINT)[0] == 130
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "declare its addresses (--from), a Unix socket (--from unix)"),
        (("--from", "a.example"), "--from: 'a.example' does not appear"),
        (("--from", "0.0.0.0/0"), "0.0.0.0/0 is everybody"),
        (("--from", "10.0.0.7/8"), "10.0.0.7/8 has host bits set; write 10.0.0.0/8"),
        (("--from", "::1", "--listen", "localhost:1"), "localhost:1: write an address"),
        (("--from", "::1", "--listen", "127.0.0.1:x"), "as in 127.0.0.1:9180, or unix"),
        (("--from", "::1", "--listen", "192.0.2.1:9"), "--listen 192.0.2.1:9: Cannot"),
        (("--from", "unix"), "--from unix: nobody comes through a Unix socket to 127"),
        (("--from", "::1", "--listen", "unix:/a"), "nobody has an address there; add"),
        (("--from", "unix", "--listen", "unix:/no/a.sock"), "No such file"),
        (("--secret-file", "short"), "--secret-file: expected 16 to 1024"),
        (("--secret-file", "latin"), "has bytes that are not ASCII"),
        (("--secret-file", "nothing"), "'nothing' does not exist"),
    ],
)
def test_wrong_options_are_refused_with_the_next_step(
    options: tuple[str, ...],
    says: str,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is served, and the message names the option."""
    monkeypatch.chdir(tmp_path)
    Path("short").write_text("secret\n", encoding="ascii")
    Path("latin").write_bytes(b"\xe9" * 20)
    file = policy_file(tmp_path, pki.client.pin)
    ended = run("authserver", "--policy", file, "--form", "nginx", *options)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err.replace("\n          ", "")


def test_a_policy_without_clients_is_refused(source: Path) -> None:
    """It would refuse everybody, or nobody."""
    words = ("authserver", "--form", "nginx", "--from", "::1", "--policy")
    ended = run(*words, source)
    assert ended.code == 2
    assert f"{source}: the policy has no pins for clients: add [clients]" in ended.err
    assert "Rules" not in ended.err
    wrong = run("authserver", "--form", "x", "--from", "unix", "--policy", source)
    assert "'x' is not one of 'rfc9440', 'nginx'" in wrong.err


# ---- proxies -----------------------------------------------------------------------


RECIPES = {
    "nginx": recipe("nginx with auth_request", "nginx"),
    "caddy": recipe("Caddy with forward_auth", "caddyfile"),
}


@contextlib.contextmanager
def asking(
    name: str, pki: Pki, folder: Path, *changes: tuple[str, str]
) -> Iterator[tuple[Service, Front, Recorder]]:
    """Run the service, a proxy that asks it, and an application that believes all."""
    form: Form = "nginx" if name == "nginx" else "caddy"
    secret = folder / "secret"
    secret.write_text(f"{SECRET}\n", encoding="ascii")
    options = ("--policy", str(policy_file(folder, pki.client.pin)), "--form", form)
    declared = ("--from", "127.0.0.1", "--secret-file", str(secret))
    listen = ("--listen", f"127.0.0.1:{free_port()}")
    with (
        serving(*options, *declared, *listen) as service,
        contextlib.closing(Recorder()) as application,
    ):
        text = RECIPES[name].replace("127.0.0.1:9180", f"127.0.0.1:{service.port}")
        text = text.replace("/var/log/nginx/pinned.log", str(folder / "pinned.log"))
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        place = f"127.0.0.1:{application.port}"
        with front(name, text, place, pki, folder) as ports:
            yield service, ports, application


@pytest.mark.parametrize("name", RECIPES)
def test_a_proxy_lets_pass_whom_the_service_accepts(
    name: str, pki: Pki, tmp_path: Path
) -> None:
    """And nobody while the service is not there."""
    header = HEADERS["nginx" if name == "nginx" else "caddy"]
    client, stranger = (
        client_context(pki.root, identity=one) for one in (pki.client, pki.stranger)
    )
    with asking(name, pki, tmp_path) as (service, ports, application):
        assert ask(ports.tls, "/a?b", (), client).status == 200
        [passed] = application.requests
        assert header.lower().encode() not in passed.lower()
        assert SECRET.encode() not in passed
        application.requests.clear()
        assert ask(ports.tls, "/", (), stranger).status == 403
        assert ask(ports.plain, "/").status in {301, 302}
        if name == "nginx":
            assert ask(ports.tls, "/pinverify", (), client).status == 404
            log = (tmp_path / "pinned.log").read_text("utf-8").splitlines()
            assert log[0] == f"127.0.0.1 200 MATCH {pki.client.pin}"
            assert log[1] == f"127.0.0.1 403 MISMATCH {pki.stranger.pin}"
        os.kill(service.process.pid, signal.SIGTERM)
        service.process.wait(LIMIT)
        assert ask(ports.tls, "/", (), client).status >= 500
        assert application.requests == []


# The lines of each recipe that let in clients without a certificate.
_OPTIONAL = {
    "nginx": ("ssl_verify_client      on;", "ssl_verify_client optional;"),
    "caddy": ("mode require_and_verify", "mode verify_if_given"),
}


@pytest.mark.parametrize("name", RECIPES)
def test_pitfall_52_no_forged_header_passes_the_service(
    name: str, pki: Pki, tmp_path: Path
) -> None:
    """In a trailer, with underscores, hop-by-hop, twice; with a guessed secret."""
    form: Form = "nginx" if name == "nginx" else "caddy"
    [(header, guess)] = lines_of(form, pki.client, "x" * len(SECRET))
    requests = [
        *forgeries("/", header, value_of(form, pki.client)),
        *forgeries("/", header, guess),
    ]
    nobody, stranger = (
        client_context(pki.root, identity=one) for one in (None, pki.stranger)
    )
    with asking(name, pki, tmp_path, _OPTIONAL[name]) as (_, ports, application):
        for text in requests:
            for port, context in (
                (ports.tls, nobody),
                (ports.tls, stranger),
                (ports.plain, None),
            ):
                assert send(port, text, context).status != 200
        assert application.requests == []


@pytest.mark.parametrize("name", RECIPES)
def test_pitfall_68_a_proxy_lets_pass_what_an_honest_client_sends(
    name: str, pki: Pki, tmp_path: Path
) -> None:
    """Many headers, odd bytes, long cookies: whatever the proxy itself takes."""
    client = client_context(pki.root, identity=pki.client)
    larger = ("listen 443 ssl;", "listen 443 ssl; large_client_header_buffers 8 64k;")
    changes = [larger] if name == "nginx" else []
    with asking(name, pki, tmp_path, *changes) as (_, ports, application):
        for lines in (
            [(f"A-{number}", "b") for number in range(130)],
            [("A", "b\x7f")],
            [("A", "\xc3\xa9")],
            [("Cookie", "x" * 32 * 1024)] * 4,
            [("A", "x" * 32 * 1024)] * 4,
        ):
            reply = ask(ports.tls, "/", lines, client)
            if name == "caddy" and "\x7f" in lines[0][1]:
                assert reply.status == 400  # it is Caddy that refuses it
                continue
            assert reply.status == 200, lines[0]
            assert application.requests.pop()
