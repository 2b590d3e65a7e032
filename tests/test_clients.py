"""The recipes of docs/clients.md against the real client libraries.

Each recipe is read from the page by its heading and run: with the right key, with
a wrong one, and without pins, where the same impostor is believed. The servers
tell what they read: before the verdict not one application byte. At the end the
module prints what it saw as a table. What is not installed is skipped; the
dependency group "clients" has it all.

Pitfalls keep their numbers from the design: 16 to 19, 25 and 27.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import importlib
import importlib.util
import io
import json
import os
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import client_servers
import pinverify
from client_servers import HELLO, Conversation, Record, Server
from pinverify import PinningError, PinSet, Policy, Reason, find_pinning_error
from pki import Identity, Pki
from tls_servers import LIMIT, TLSServer, client_context, server_context

# Some libraries let their loop end before a transport is closed to the last byte,
# and leave the rest to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

PAGE = Path(__file__).resolve().parent.parent / "docs" / "clients.md"
SOURCE = Path(pinverify.__file__).resolve().parent.parent


# ---- the page ----------------------------------------------------------------


class Recipe(NamedTuple):
    """What the page says below one heading."""

    code: str
    refused: tuple[str, ...]
    """The exceptions of a refusal, dotted."""
    refused_by_proxy: tuple[str, ...]


@functools.cache
def sections() -> dict[str, str]:
    """Return the text below each heading of the page, up to the next one."""
    parts = re.split(r"(?m)^###? (.*)\n", PAGE.read_text(encoding="utf-8"))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def recipe(heading: str) -> Recipe:
    """Return the recipe below *heading*."""
    text = sections()[heading]
    (code,) = re.findall(r"(?s)```python\n(.*?)```", text)
    after = text.partition("\nRefused: ")[2]
    refused, _, by_proxy = after.partition("At the proxy: ")
    # A sentence ends the names: what follows is about options.
    names = [
        tuple(re.findall(r"`([\w.]+)`", re.split(r"\.\s", part)[0]))
        for part in (refused, by_proxy)
    ]
    return Recipe(code, *names)


def run(code: str, names: dict[str, Any]) -> Any:  # noqa: ANN401
    """Run a recipe, and return its `answer`."""
    exec(compile(code, str(PAGE), "exec"), names)  # noqa: S102 - our own page
    return names.get("answer")


def named(dotted: str) -> type[BaseException]:
    """Return the exception that the page calls *dotted*."""
    parts = dotted.split(".")
    for at in range(len(parts) - 1, 0, -1):
        with contextlib.suppress(ImportError):
            found: Any = importlib.import_module(".".join(parts[:at]))
            for part in parts[at:]:
                found = getattr(found, part)
            return found  # type: ignore[no-any-return]
    return getattr(importlib.import_module("builtins"), dotted)  # type: ignore[no-any-return]


# ---- the clients -------------------------------------------------------------


@dataclass(frozen=True)
class Client:
    """One recipe, the server it talks to, and what it gets from it."""

    heading: str
    needs: tuple[str, ...] = ()
    conversation: Conversation = client_servers.http
    answer: object = HELLO
    tls_first: bool = True
    path: str = "TLS"
    before: str = ""
    """The heading of a recipe whose definitions this one uses."""
    sends: bytes = b""
    """What it says in clear, before TLS."""
    by_fingerprint: bool = False
    """It is about fingerprints: no context is pinned."""
    reads_in_a_thread: bool = False
    """One thread reads while another writes, which OpenSSL does not promise to bear: a
    ticket that comes meanwhile can stop both."""

    @property
    def proxied(self) -> bool:
        """Whether it goes through an https proxy."""
        return self.path == "TLS in TLS"

    def require(self) -> None:
        """Skip the test if a library is not there; say which."""
        for module in self.needs:
            pytest.importorskip(module, reason=f"{module} is not installed")


def _web(heading: str, *needs: str, **more: Any) -> Client:  # noqa: ANN401
    return Client(heading, needs, **more)


def _proxied(heading: str, *needs: str, **more: Any) -> Client:  # noqa: ANN401
    return Client(heading, needs, path="TLS in TLS", **more)


def _upgraded(heading: str, *needs: str, **more: Any) -> Client:  # noqa: ANN401
    return Client(heading, needs, tls_first=False, path="STARTTLS", **more)


_ECHO: dict[str, Any] = {
    "conversation": client_servers.echo,
    "answer": HELLO + b"\n",
}
_STARTTLS: dict[str, Any] = {
    "conversation": client_servers.starttls_echo,
    "answer": HELLO + b"\n",
    "sends": b"STARTTLS\n",
}
_WEBSOCKET: dict[str, Any] = {"conversation": client_servers.websocket}

CLIENTS = [
    _web("http.client"),
    _web("urllib.request"),
    _web("urllib3", "urllib3"),
    _proxied("urllib3 through an https proxy", "urllib3"),
    _web("requests", "requests"),
    _proxied("requests through an https proxy", "requests", before="requests"),
    _web("httpx", "httpx"),
    _web("httpx with HTTP/2", "httpx", "h2", conversation=client_servers.http2),
    _web("httpx with asyncio", "httpx"),
    _web("httpx with trio", "httpx", "trio"),
    _proxied("httpx through an https proxy", "httpx"),
    _proxied("httpx with asyncio through an https proxy", "httpx"),
    _web("aiohttp", "aiohttp"),
    _proxied("aiohttp through an https proxy", "aiohttp"),
    Client("asyncio", **_ECHO),
    _upgraded("asyncio with start_tls", **_STARTTLS),
    Client("uvloop", ("uvloop",), **_ECHO),
    _upgraded("uvloop with start_tls", "uvloop", **_STARTTLS),
    Client("anyio", ("anyio",), **_ECHO),
    Client("anyio with trio", ("anyio", "trio"), **_ECHO),
    Client("trio", ("trio",), **_ECHO),
    _web("tornado", "tornado"),
    Client("websockets", ("websockets",), reads_in_a_thread=True, **_WEBSOCKET),
    Client("websockets with asyncio", ("websockets",), **_WEBSOCKET),
    _proxied(
        "websockets through an https proxy",
        "websockets",
        reads_in_a_thread=True,
        **_WEBSOCKET,
    ),
    _proxied(
        "websockets with asyncio through an https proxy", "websockets", **_WEBSOCKET
    ),
    _upgraded(
        "smtplib",
        conversation=client_servers.smtp,
        sends=b"ehlo [127.0.0.1]\r\nSTARTTLS\r\n",
    ),
    _upgraded(
        "aiosmtplib",
        "aiosmtplib",
        conversation=client_servers.smtp,
        answer=HELLO.decode(),
        sends=b"EHLO localhost\r\nSTARTTLS\r\n",
    ),
    Client("imaplib", conversation=client_servers.imap, answer="OK"),
    _upgraded(
        "imaplib with starttls",
        conversation=client_servers.imap,
        answer="OK",
        sends=b"XXXX0 CAPABILITY\r\nXXXX1 STARTTLS\r\n",
    ),
    Client("poplib", conversation=client_servers.pop3, answer=b"+OK hello"),
    _upgraded(
        "poplib with stls",
        conversation=client_servers.pop3,
        answer=b"+OK hello",
        sends=b"CAPA\r\nSTLS\r\n",
    ),
    _upgraded("ftplib", conversation=client_servers.ftp, sends=b"AUTH TLS\r\n"),
    Client("redis", ("redis",), client_servers.redis, answer=True, path="install"),
    Client(
        "redis with asyncio",
        ("redis",),
        client_servers.redis,
        answer=True,
        path="install",
    ),
    _upgraded(
        "asyncpg",
        "asyncpg",
        conversation=client_servers.postgres,
        answer=HELLO.decode(),
        sends=b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    ),
    _upgraded(
        "pymysql",
        "pymysql",
        conversation=client_servers.mysql,
        answer=0,
        sends=b"\x20\x00\x00\x01" + 32 * b"?",
    ),
    Client("paho-mqtt", ("paho.mqtt",), client_servers.mqtt, answer=True),
    _web("urllib3 with fingerprints", "urllib3", by_fingerprint=True),
    _web("urllib3 with assert_fingerprint", "urllib3", by_fingerprint=True),
    _web("aiohttp with a Fingerprint", "aiohttp", by_fingerprint=True),
]
BY_HEADING = {client.heading: client for client in CLIENTS}
PROXIED = [client for client in CLIENTS if client.proxied]
UPGRADED = [client for client in CLIENTS if not client.tls_first]


def _heading(client: Client) -> str:
    return client.heading


any_client = pytest.mark.parametrize("client", CLIENTS, ids=_heading)
any_proxied = pytest.mark.parametrize("client", PROXIED, ids=_heading)


# ---- the stage ---------------------------------------------------------------


@dataclass
class Stage:
    """Servers for one client, and the names that its recipe uses.

    The server is called "localhost" and its proxy "127.0.0.1", so that one
    policy has a rule for each, with another key.
    """

    pki: Pki
    cafile: Path
    version: ssl.TLSVersion
    stack: contextlib.ExitStack
    proxy_identity: Identity
    names: dict[str, Any] = field(default_factory=dict)
    """Those of the last recipe, after its run."""

    def policy(self) -> Policy:
        """Return the pins of the server and of the proxy."""
        rules = {
            "localhost": [self.pki.server.pin],
            "127.0.0.1": [self.proxy_identity.pin],
        }
        return Policy(rules, unpinned="reject")

    def put(
        self,
        client: Client,
        *,
        server: Identity,
        proxy: Identity | None = None,
        offers_tls: bool = True,
    ) -> Served:
        """Start the server, and the proxy if the client has one."""
        context = self._context(server, client)
        conversation: Any = client.conversation
        if conversation is client_servers.ftp:
            conversation = conversation(context)
        origin = self.stack.enter_context(
            Server(
                conversation,
                context if offers_tls else None,
                tls_first=client.tls_first,
            )
        )
        if not client.proxied:
            return Served(origin)
        between = Server(
            client_servers.connect_proxy(origin.port),
            self._context(proxy or self.proxy_identity, client),
        )
        return Served(origin, self.stack.enter_context(between))

    def _context(self, identity: Identity, client: Client) -> ssl.SSLContext:
        context = server_context(identity, version=self.version)
        if client.conversation is client_servers.http2:
            context.set_alpn_protocols(["h2"])
        if client.reads_in_a_thread:
            context.num_tickets = 0
        return context

    def ask(
        self,
        client: Client,
        served: Served,
        policy: Policy | None,
        *,
        context: ssl.SSLContext | None = None,
    ) -> object:
        """Run the client's recipe. Without a policy nothing is pinned."""
        context = context or client_context(self.pki.root, self.pki.rogue_root)
        if policy is not None and not client.by_fingerprint:
            pinverify.pin_context(context, policy)
        pins = [self.pki.server.pin, self.pki.server.certificate_pin]
        if policy is None:  # a recipe about fingerprints can't do without one
            pins.append(self.pki.impostor.pin)
        self.names = names = {
            "pinverify": pinverify,
            "context": context,
            "policy": policy or Policy({}, unpinned="allow"),
            "fingerprints": tuple(pins),
            "cafile": str(self.cafile),
            "host": "localhost",
            "port": served.origin.port,
            "url": f"https://localhost:{served.origin.port}/",
        }
        if served.proxy is not None:
            names["proxy"] = f"https://127.0.0.1:{served.proxy.port}"
        code = recipe(client.heading).code
        if client.before:  # its definitions alone
            first = recipe(client.before).code
            code = first[: first.index(code.partition("\n")[0])] + code
        return run(code, names)

    def refused(
        self,
        client: Client,
        served: Served,
        policy: Policy,
        *,
        context: ssl.SSLContext | None = None,
    ) -> BaseException:
        """Run the recipe, which must fail; return what the user has to catch."""
        try:
            answer = self.ask(client, served, policy, context=context)
        except Exception as error:  # noqa: BLE001 - which it is, is the question
            return error
        pytest.fail(f"{client.heading} was answered: {answer!r}")


class Served(NamedTuple):
    """What a client talks to."""

    origin: Server
    proxy: Server | None = None


@pytest.fixture(scope="module")
def proxy_identity(pki: Pki) -> Identity:
    """The key of the proxy: not the server's."""
    return pki.ca.leaf("127.0.0.1")


@pytest.fixture
def stage(
    pki: Pki,
    proxy_identity: Identity,
    version: ssl.TLSVersion,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Stage]:
    """A stage of each TLS version, and nothing left of it afterwards."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    connection: Any = None
    if importlib.util.find_spec("urllib3"):
        connection = importlib.import_module("urllib3.connection")
        # One recipe replaces it: this puts it back.
        name = "_assert_fingerprint"
        monkeypatch.setattr(connection, name, getattr(connection, name))
    with contextlib.ExitStack() as stack:
        yield Stage(pki, pki.trust_file(tmp_path), version, stack, proxy_identity)
        pinverify.uninstall()


# ---- the table ---------------------------------------------------------------


@dataclass
class Row:
    """What was seen of one client."""

    path: str
    allowed: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    found: set[str] = field(default_factory=set)


_rows: dict[str, Row] = {}


def row(client: Client | ServerSide) -> Row:
    """Return the row of a client."""
    return _rows.setdefault(client.heading, Row(client.path))


def _short(version: ssl.TLSVersion) -> str:
    return version.name.removeprefix("TLSv1_").join(("1.", ""))


@pytest.fixture(scope="module", autouse=True)
def _table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what was seen, when the module is over."""
    yield
    gc.collect()  # here, where it is known what may be unclosed
    if not _rows:
        return
    lines: list[tuple[str, ...]] = [
        ("client", "path", "allowed", "refused", "error found at")
    ]
    lines += [
        (heading, seen.path, *(" ".join(sorted(s)) or "-" for s in _columns(seen)))
        for heading, seen in _rows.items()
    ]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    title = f"Python {sys.version.split()[0]}, with the TLS versions of each answer"
    text = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    plugins = request.config.pluginmanager
    with plugins.getplugin("capturemanager").global_and_fixture_disabled():
        plugins.getplugin("terminalreporter").write("\n".join(["\n", title, *text, ""]))


def _columns(seen: Row) -> tuple[set[str], set[str], set[str]]:
    return seen.allowed, seen.refused, seen.found


_NAMES = ("reason", "os_error", "__cause__", "__context__")


def where(error: BaseException) -> str:
    """Return how a user gets from *error* to the `PinningError`, spelled out."""
    waiting: list[tuple[str, Any]] = [("", error)]
    seen: set[int] = set()
    while waiting:
        path, candidate = waiting.pop(0)
        if isinstance(candidate, PinningError):
            return path or "itself"
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        seen.add(id(candidate))
        # First what the libraries document.
        inside = [(f"{path}.{n}", getattr(candidate, n, None)) for n in _NAMES]
        inside[2:2] = [
            (f"{path}.args[{i}]", argument) for i, argument in enumerate(candidate.args)
        ]
        waiting += inside
    return "nowhere"


# ---- every client ------------------------------------------------------------


@any_client
def test_a_client_with_the_right_pin_is_served(client: Client, stage: Stage) -> None:
    """Pins break no client: the recipe of the page does what it is for."""
    client.require()
    served = stage.put(client, server=stage.pki.server)
    assert stage.ask(client, served, stage.policy()) == client.answer
    row(client).allowed.add(_short(stage.version))


@any_client
def test_without_pins_an_impostor_is_served(client: Client, stage: Stage) -> None:
    """The control: what refuses the impostor below are the pins alone.

    Its certificate is valid for every client here.
    """
    client.require()
    impostor = stage.pki.impostor
    served = stage.put(client, server=impostor, proxy=impostor)
    assert stage.ask(client, served, None) == client.answer
    for record in served.origin.finished():
        assert record.application


@any_client
def test_pitfall_19_a_refusal_is_found_in_what_the_client_raises(
    client: Client, stage: Stage
) -> None:
    """The impostor reads nothing, and the user finds out why.

    Without `find_pinning_error` a program would have to know where each library
    keeps what went wrong; a `PinningError` that is no `ssl.SSLError` would be
    swallowed by some, and would crash the event loop in others.
    """
    client.require()
    served = stage.put(client, server=stage.pki.impostor)
    error = stage.refused(client, served, stage.policy())
    assert_said_nothing(client, served.origin.finished())
    assert_documented(error, recipe(client.heading).refused)
    assert_refused(client, error, "localhost")
    row(client).refused.add(_short(stage.version))
    row(client).found.add(where(error))


@any_proxied
def test_an_impostor_in_place_of_the_proxy_is_refused(
    client: Client, stage: Stage
) -> None:
    """TLS to the proxy is checked too, before the proxy hears of a host."""
    client.require()
    served = stage.put(client, server=stage.pki.server, proxy=stage.pki.impostor)
    assert served.proxy is not None
    error = stage.refused(client, served, stage.policy())
    assert_said_nothing(client, served.proxy.finished())
    assert served.origin.records == []
    assert_documented(error, recipe(client.heading).refused_by_proxy)
    assert_refused(client, error, "127.0.0.1")


def assert_said_nothing(client: Client, records: list[Record]) -> None:
    """No connection brought more than what comes before TLS."""
    assert records
    for record in records:
        assert bytes(record.application) == b""
        assert re.fullmatch(_pattern(client.sends), record.clear)
        # After a handshake that failed, TLS speaks or nobody.
        assert bytes(record.after[:1]) in {b"", b"\x14", b"\x15", b"\x16", b"\x17"}


def _pattern(sends: bytes) -> bytes:
    """X stands for a capital letter of a random tag, ? for any byte."""
    pattern = re.escape(sends)
    return b"(?s)" + pattern.replace(b"XXXX", b"[A-Z]{4}").replace(rb"\?", b".")


def assert_documented(error: BaseException, names: tuple[str, ...]) -> None:
    """The page names what is raised."""
    assert names
    assert isinstance(error, tuple(named(name) for name in names)), repr(error)


def assert_refused(client: Client, error: BaseException, host: str) -> None:
    """The pins refused, those of *host*, and nothing else did."""
    found = find_pinning_error(error)
    assert found is not None, repr(error)
    assert found.report is not None
    assert found.report.reason is Reason.MISMATCH
    assert found.report.host == (None if client.by_fingerprint else host)


@pytest.mark.parametrize(
    "client",
    [client for client in UPGRADED if client.sends != b"STARTTLS\n"],
    ids=_heading,
)
def test_a_peer_that_offers_no_tls_is_refused(client: Client, stage: Stage) -> None:
    """Pins are worth nothing if a client goes on in clear when TLS is stripped."""
    client.require()
    served = stage.put(client, server=stage.pki.server, offers_tls=False)
    stage.refused(client, served, stage.policy())
    with contextlib.suppress(KeyError):
        stage.names["pop"].close()  # poplib leaves that to the user
    for record in served.origin.finished():
        said = bytes(record.clear)
        # Not the command after TLS, nor who the user is.
        for secret in (b"noop", b"user", b"login", b"me\x00", b"mine"):
            assert secret not in said.lower()


def test_the_page_has_a_recipe_for_each_client_and_no_other() -> None:
    """A recipe that no test runs would rot."""
    others = {"truststore", "gevent"} | {side.heading for side in SERVERS}
    found = re.findall(r"(?m)^### (.*)$", PAGE.read_text(encoding="utf-8"))
    assert len(found) == len(set(found))
    assert set(found) == {client.heading for client in CLIENTS} | others


def test_the_context_of_the_page_is_pinned(stage: Stage) -> None:
    """The block before the recipes makes what they call `context`."""
    client = BY_HEADING["http.client"]
    served = stage.put(client, server=stage.pki.impostor)
    pins = [stage.pki.server.pin]
    names = {"host": "localhost", "pins": pins, "cafile": str(stage.cafile)}
    run(recipe("Recipes").code, names)
    context: Any = names["context"]
    error = stage.refused(client, served, names["policy"], context=context)  # type: ignore[arg-type]
    assert isinstance(error, PinningError)
    assert_said_nothing(client, served.origin.finished())


# ---- what is special about one client ----------------------------------------


def test_pitfall_17_redis_is_reached_by_install_alone(stage: Stage) -> None:
    """redis-py makes its own context: pins on another one change nothing for it.

    Without `install`, a program that pins a context and uses redis-py believes
    itself pinned and is not.
    """
    client = BY_HEADING["redis"]
    client.require()
    served = stage.put(client, server=stage.pki.impostor)
    redis: Any = importlib.import_module("redis")
    pinverify.pin_context(ssl.create_default_context(), stage.policy())

    def ping() -> object:
        with redis.Redis(
            host="localhost",
            port=served.origin.port,
            ssl=True,
            ssl_ca_certs=str(stage.cafile),
        ) as connection:
            return connection.ping()

    assert ping() is True
    before = len(served.origin.records)
    pinverify.install(stage.policy())
    with pytest.raises(redis.exceptions.ConnectionError) as raised:
        ping()
    assert_refused(client, raised.value, "localhost")
    assert_said_nothing(client, served.origin.finished()[before:])


def test_pitfall_18_aiohttp_checks_the_proxy_and_the_server(stage: Stage) -> None:
    """Two handshakes, one inside of the other, each with the rule of its own host.

    If the inner one were looked up by the proxy's name, or were not checked
    since the outer one was, exchanged keys would pass.
    """
    client = BY_HEADING["aiohttp through an https proxy"]
    client.require()
    served = stage.put(client, server=stage.pki.server)
    reports: list[pinverify.Report] = []
    context = client_context(stage.pki.root)
    nobody = [stage.pki.stranger.pin]
    reporting = {
        host: PinSet(nobody, mode="report") for host in ("localhost", "127.0.0.1")
    }
    pinverify.pin_context(context, Policy(reporting), on_report=reports.append)
    assert stage.ask(client, served, None, context=context) == client.answer
    assert [report.host for report in reports] == ["127.0.0.1", "localhost"]
    leaves = [report.chain[0] for report in reports]
    expected = [stage.proxy_identity.pin, stage.pki.server.pin]
    assert [str(pin) for pin in leaves] == expected

    exchanged = Policy(
        {"localhost": [stage.proxy_identity.pin], "127.0.0.1": [stage.pki.server.pin]}
    )
    error = stage.refused(client, served, exchanged)
    assert_refused(client, error, "127.0.0.1")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_pitfall_25_a_megabyte_comes_back_and_an_impostor_gets_none(
    stage: Stage, loop: str
) -> None:
    """Uvloop keeps `read` and `write` of the SSL object from before the handshake.

    If the check only put other methods in place when it is over, what uvloop
    kept would either stay gated for ever, or never have been.
    """
    client = BY_HEADING[loop]
    client.require()
    data = os.urandom(1 << 20)

    async def ask(port: int, context: ssl.SSLContext) -> bytes:
        reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
        sending = asyncio.ensure_future(_send(writer, data))
        answer = await reader.readexactly(len(data))
        await sending
        writer.close()
        await writer.wait_closed()
        return answer

    context = client_context(stage.pki.root, stage.pki.rogue_root)
    pinverify.pin_context(context, stage.policy())
    start: Any = importlib.import_module(loop).run
    server = stage.put(client, server=stage.pki.server).origin
    assert start(ask(server.port, context)) == data
    impostor = stage.put(client, server=stage.pki.impostor).origin
    with pytest.raises(PinningError):
        start(ask(impostor.port, context))
    assert_said_nothing(client, impostor.finished())


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_pitfall_25_no_protocol_starts_before_the_check(
    stage: Stage, loop: str
) -> None:
    """A server that speaks first is not heard if its key is wrong."""
    client = BY_HEADING[loop]
    client.require()
    heard: list[str] = []

    class Listener(asyncio.Protocol):
        def __init__(self, over: asyncio.Event) -> None:
            self.over = over

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            heard.append("connection_made")
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            del data
            heard.append("data_received")
            self.transport.close()

        def connection_lost(self, error: Exception | None) -> None:
            del error
            self.over.set()

    async def listen(context: ssl.SSLContext) -> None:
        over = asyncio.Event()
        await asyncio.get_running_loop().create_connection(
            lambda: Listener(over), "localhost", server.port, ssl=context
        )
        await asyncio.wait_for(over.wait(), LIMIT)

    server = stage.stack.enter_context(
        Server(_greet, server_context(stage.pki.impostor, version=stage.version))
    )
    start: Any = importlib.import_module(loop).run
    context = client_context(stage.pki.root, stage.pki.rogue_root)
    start(listen(context))
    assert heard == ["connection_made", "data_received"]
    heard.clear()
    with pytest.raises(PinningError):
        start(listen(pinverify.pin_context(context, stage.policy())))
    assert heard == []


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "anyio", "anyio with trio"])
def test_pitfall_14_an_impostor_does_not_see_the_client_certificate(
    stage: Stage, loop: str
) -> None:
    """Event loops do TLS in memory: the client's certificate waits there.

    Without a check before it leaves, an impostor that asks learns who we are. In
    TLS 1.2 that is in the middle of the handshake.
    """
    client = BY_HEADING[loop]
    client.require()
    asking = server_context(
        stage.pki.impostor, version=stage.version, client_authority=stage.pki.root
    )
    server: Any = stage.stack.enter_context(TLSServer(asking))
    context = client_context(
        stage.pki.root, stage.pki.rogue_root, identity=stage.pki.client
    )
    served = Served(server)
    assert stage.ask(client, served, None, context=context) == client.answer
    error = stage.refused(client, served, stage.policy(), context=context)
    assert find_pinning_error(error) is not None
    assert server.record(0).client_certificate
    assert not server.record(1).client_certificate


def _greet(line: client_servers.Line) -> None:
    line.write(HELLO)
    client_servers.echo(line)


def test_pitfall_27_a_pooled_connection_outlives_the_policy(stage: Stage) -> None:
    """The check is in the handshake, and a pool does none for an open connection.

    Who swaps a policy to shut a peer out goes on talking to it, until the pool
    is closed: so the page says to close it, or to keep a pool for each digest.
    """
    client = BY_HEADING["urllib3"]
    client.require()
    urllib3: Any = importlib.import_module("urllib3")
    port = stage.put(client, server=stage.pki.server).origin.port
    url = f"https://localhost:{port}/"
    context = pinverify.pin_context(client_context(stage.pki.root), stage.policy())
    today = Policy({"localhost": [stage.pki.stranger.pin]})
    with urllib3.PoolManager(ssl_context=context) as pool:
        assert pool.request("GET", url, retries=False).data == HELLO
        pinverify.pin_context(context, today)
        assert pool.request("GET", url, retries=False).data == HELLO  # still open
        pool.clear()
        with pytest.raises(urllib3.exceptions.SSLError) as raised:
            pool.request("GET", url, retries=False)
    assert find_pinning_error(raised.value) is not None


def test_pitfall_27_a_pool_for_each_digest_does_not(stage: Stage) -> None:
    """The recipe of the page: a new policy begins with new connections."""
    client = BY_HEADING["urllib3"]
    client.require()
    urllib3: Any = importlib.import_module("urllib3")
    port = stage.put(client, server=stage.pki.server).origin.port
    url = f"https://localhost:{port}/"
    names: dict[str, Any] = {"cafile": str(stage.cafile)}
    run(recipe("Open connections").code, names)
    pool_for = names["pool_for"]
    today = Policy({"localhost": [stage.pki.stranger.pin]})
    try:
        assert pool_for(stage.policy()) is pool_for(stage.policy())
        assert pool_for(stage.policy()).request("GET", url).data == HELLO
        with pytest.raises(urllib3.exceptions.SSLError) as raised:
            pool_for(today).request("GET", url, retries=False)
        assert find_pinning_error(raised.value) is not None
    finally:
        for pool in names["pools"].values():
            pool.clear()


def test_a_context_of_urllib3_on_pyopenssl_is_refused(stage: Stage) -> None:
    """It looks like an `ssl.SSLContext` and knows nothing of its classes."""
    contrib: Any = pytest.importorskip("urllib3.contrib.pyopenssl")
    context = contrib.PyOpenSSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.raises(TypeError, match="PyOpenSSLContext"):
        pinverify.pin_context(context, stage.policy())


def test_urllib3_and_its_default_retries_find_the_same(stage: Stage) -> None:
    """Four handshakes, four refusals, and the last one is told."""
    client = BY_HEADING["urllib3"]
    client.require()
    urllib3: Any = importlib.import_module("urllib3")
    server = stage.put(client, server=stage.pki.impostor).origin
    context = client_context(stage.pki.root, stage.pki.rogue_root)
    pinverify.pin_context(context, stage.policy())
    with (
        urllib3.PoolManager(ssl_context=context) as pool,
        pytest.raises(urllib3.exceptions.MaxRetryError) as raised,
    ):
        pool.request("GET", f"https://localhost:{server.port}/")
    assert find_pinning_error(raised.value) is raised.value.reason.args[0]
    assert len(server.finished()) == 4
    assert_said_nothing(client, server.finished())


def test_requests_from_the_environment_go_through_the_proxy_pinned(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTPS_PROXY moves requests to another pool manager: the adapter pins that too.

    An adapter that only has `init_poolmanager` sends through a proxy without pins.
    """
    client = BY_HEADING["requests"]
    client.require()
    origin = stage.put(client, server=stage.pki.impostor).origin
    proxy = stage.stack.enter_context(
        Server(client_servers.connect_proxy(origin.port), None)
    )
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
    assert stage.ask(client, Served(origin), None) == client.answer
    assert proxy.finished()
    before = len(origin.finished())
    error = stage.refused(client, Served(origin), stage.policy())
    assert_refused(client, error, "localhost")
    assert_said_nothing(client, origin.finished()[before:])


def test_requests_without_verification_still_checks_the_leaf(stage: Stage) -> None:
    """`verify=False` turns certificate validation off, on the pinned context too.

    Then nothing but the leaf is known of the peer, and a pin of it still holds.
    """
    client = BY_HEADING["requests"]
    client.require()
    code = recipe("requests").code.replace("timeout=10", "verify=False")
    assert "verify=False" in code
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    context = pinverify.pin_context(ssl.create_default_context(), stage.policy())
    context.check_hostname = False
    insecure: Any = named("urllib3.exceptions.InsecureRequestWarning")
    with pytest.warns(insecure):
        answer = run(code, {"context": context, "url": _url(good)})
    assert answer == HELLO
    with pytest.raises(named("requests.exceptions.SSLError")) as raised:
        run(code, {"context": context, "url": _url(bad)})
    assert_refused(client, raised.value, "localhost")
    assert_said_nothing(client, bad.finished())


def _url(server: Server) -> str:
    return f"https://localhost:{server.port}/"


def test_the_data_connection_of_ftp_is_checked(stage: Stage) -> None:
    """A file is not sent to whoever answers at the port of the data connection."""
    client = BY_HEADING["ftplib"]
    ftplib: Any = importlib.import_module("ftplib")
    context = client_context(stage.pki.root, stage.pki.rogue_root)

    def store(data_identity: Identity) -> tuple[Server, Callable[[], None]]:
        server = stage.stack.enter_context(
            Server(
                client_servers.ftp(
                    server_context(data_identity, version=stage.version)
                ),
                server_context(stage.pki.server, version=stage.version),
                tls_first=client.tls_first,
            )
        )

        def run_it() -> None:
            with ftplib.FTP_TLS(context=context) as ftp:
                ftp.connect("localhost", server.port)
                ftp.login()
                ftp.prot_p()
                ftp.storbinary("STOR file", io.BytesIO(b"a secret"))

        return server, run_it

    server, run_it = store(stage.pki.impostor)
    run_it()
    assert b"a secret" in server.finished()[0].application
    pinverify.pin_context(context, stage.policy())
    server, run_it = store(stage.pki.server)
    run_it()
    assert b"a secret" in server.finished()[0].application
    server, run_it = store(stage.pki.impostor)
    with pytest.raises(ftplib.error_temp) as raised:  # from QUIT, on the way out
        run_it()
    assert_refused(client, raised.value, "localhost")
    assert b"a secret" not in server.finished()[0].application


def test_a_refusal_leaves_the_loop_of_tornado_usable(stage: Stage) -> None:
    """A peer that is refused must not break the connections that come after it.

    tornado watches the socket's descriptor. If the check closes the socket, tornado
    can't stop to watch it, and the next socket with that number is "added twice".
    """
    client = BY_HEADING["tornado"]
    client.require()
    httpclient: Any = importlib.import_module("tornado.httpclient")
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    context = client_context(stage.pki.root, stage.pki.rogue_root)
    pinverify.pin_context(context, stage.policy())

    async def ask() -> list[object]:
        seen: list[object] = []
        for port in (good.port, bad.port, good.port, bad.port, good.port):
            session = httpclient.AsyncHTTPClient(force_instance=True)
            try:
                url = f"https://localhost:{port}/"
                answer = await session.fetch(url, ssl_options=context)
                seen.append(answer.body)
            except Exception as error:  # noqa: BLE001 - which it is, is the question
                seen.append(type(error))
            finally:
                session.close()
        return seen

    assert asyncio.run(ask()) == [HELLO, PinningError, HELLO, PinningError, HELLO]


@pytest.mark.parametrize(
    "name",
    ["UNEXPECTED_EOF_WHILE_READING", "wrong version number", "CERTIFICATE_VERIFY"],
)
@pytest.mark.parametrize("heading", ["anyio", "anyio with trio", "urllib3", "aiohttp"])
def test_a_subject_that_reads_like_another_error_changes_nothing(
    stage: Stage, name: str, heading: str
) -> None:
    """An attacker chooses the subject that the message shows.

    Some libraries tell errors by their text, and would make of it the end of the
    stream, or advice to talk to the proxy in clear.
    """
    client = BY_HEADING[heading]
    client.require()
    impostor = stage.pki.rogue_ca.leaf("localhost", common_name=name)
    served = stage.put(client, server=impostor)
    error = stage.refused(client, served, stage.policy())
    assert_refused(client, error, "localhost")
    assert_said_nothing(client, served.origin.finished())
    assert_documented(error, recipe(heading).refused)


# ---- servers -----------------------------------------------------------------


@dataclass(frozen=True)
class ServerSide:
    """A recipe for a server, and how a client talks to it."""

    heading: str
    needs: tuple[str, ...]
    request: bytes
    answer: bytes
    names: Callable[[list[object]], dict[str, Any]]
    """The application, which appends what it reads to a list."""
    path: str = "server"


_GET = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
_UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)


def _streams(read: list[object]) -> dict[str, Any]:
    async def handle(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line = await reader.readline()
        read.append(line)
        writer.write(line)
        await writer.drain()
        writer.close()

    return {"handle": handle}


def _aiohttp_app(read: list[object]) -> dict[str, Any]:
    web: Any = importlib.import_module("aiohttp.web")

    async def hello(request: Any) -> Any:  # noqa: ANN401
        read.append(request.path)
        return web.Response(body=HELLO)

    app = web.Application()
    app.router.add_get("/", hello)
    return {"app": app}


def _tornado_app(read: list[object]) -> dict[str, Any]:
    web: Any = importlib.import_module("tornado.web")

    class Hello(web.RequestHandler):  # type: ignore[misc]
        def get(self) -> None:
            read.append(self.request.path)
            self.write(HELLO)

    return {"app": web.Application([("/", Hello)])}


def _asgi_app(read: list[object]) -> dict[str, Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        if scope["type"] != "http":
            return
        read.append(await receive())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": HELLO})

    return {"app": app}


def _websocket_handler(read: list[object]) -> dict[str, Any]:
    async def handle(websocket: Any) -> None:  # noqa: ANN401
        read.append(websocket.request.path)

    return {"handle": handle}


def _http_handler(read: list[object]) -> dict[str, Any]:
    server: Any = importlib.import_module("http.server")

    class Handler(server.BaseHTTPRequestHandler):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802 - http.server's name
            read.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(HELLO)

    return {"Handler": Handler}


SERVERS = [
    ServerSide("asyncio server", (), HELLO + b"\n", HELLO, _streams),
    ServerSide("aiohttp server", ("aiohttp",), _GET, HELLO, _aiohttp_app),
    ServerSide("uvicorn", ("uvicorn",), _GET, HELLO, _asgi_app),
    ServerSide(
        "websockets server", ("websockets",), _UPGRADE, b"101", _websocket_handler
    ),
    ServerSide("tornado server", ("tornado",), _GET, HELLO, _tornado_app),
    ServerSide("http.server", (), _GET, HELLO, _http_handler),
]

any_server = pytest.mark.parametrize("side", SERVERS, ids=lambda side: side.heading)


class Heard(list[object]):
    """What an application reads, and a way to wait for it."""

    def wait_for(self, count: int) -> None:
        """Wait until the application has read *count* times; never more."""
        for _ in range(int(LIMIT / 0.01)):
            if len(self) >= count:
                break
            time.sleep(0.01)
        assert len(self) == count


class Running(NamedTuple):
    """A server of one recipe."""

    port: int
    read: Heard


@contextlib.contextmanager
def running(
    side: ServerSide, pki: Pki, tmp_path: Path, clients: PinSet, version: ssl.TLSVersion
) -> Iterator[Running]:
    """Run the recipe of *side*; end it, and all that it started, afterwards."""
    for module in side.needs:
        pytest.importorskip(module, reason=f"{module} is not installed")
    read = Heard()
    names = side.names(read) | {
        "certfile": str(pki.server.write(tmp_path / "server.pem")),
        "cafile": str(pki.trust_file(tmp_path)),
        "clients": clients,
        "host": "127.0.0.1",
        "port": 0,
    }
    run(recipe("Servers").code, names)
    names["context"].minimum_version = names["context"].maximum_version = version
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        names["listener"] = listener
        run(recipe(side.heading).code, names)
        if "serve" not in names:
            with _in_thread(names["server"]) as port:
                yield Running(port, read)
        else:
            with _in_loop(names["serve"]):
                yield Running(listener.getsockname()[1], read)


@contextlib.contextmanager
def _in_thread(server: Any) -> Iterator[int]:  # noqa: ANN401
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join(LIMIT)
        assert not thread.is_alive()


@contextlib.contextmanager
def _in_loop(serve: Callable[[], Any]) -> Iterator[None]:
    """Run a coroutine in a loop of its own, in a thread, until the block is over."""
    loop = asyncio.new_event_loop()
    serving: list[asyncio.Task[None]] = []
    begun = threading.Event()

    async def main() -> None:
        serving.append(asyncio.ensure_future(serve()))
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await serving[0]

    def whole() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=whole, daemon=True)
    thread.start()
    assert begun.wait(LIMIT)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(serving[0].cancel)
        thread.join(LIMIT)
        assert not thread.is_alive()


def _talk(side: ServerSide, pki: Pki, identity: Identity, port: int) -> bytes:
    """Send the request of *side*, as a client with *identity*; return the answer."""
    context = client_context(pki.root, identity=identity)
    answer = b""
    with (
        socket.create_connection(("127.0.0.1", port), LIMIT) as plain,
        contextlib.suppress(OSError),  # how a refusal looks depends on the moment
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.sendall(side.request)
        while side.answer not in answer and (data := tls.recv(65536)):
            answer += data
    return answer


@any_server
def test_a_server_hears_its_pinned_client_alone(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The application of a pinned server hears nothing of any other client.

    The stranger's certificate is valid, from the same authority.
    """
    pins = PinSet(leaf=[pki.client.pin])
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in _talk(side, pki, pki.client, server.port)
        server.read.wait_for(1)
        row(side).allowed.add(_short(version))
        assert _talk(side, pki, pki.stranger, server.port) == b""
        assert side.answer in _talk(side, pki, pki.client, server.port)
        server.read.wait_for(2)
        row(side).refused.add(_short(version))


@any_server
def test_a_server_whose_pins_only_report_hears_both(
    side: ServerSide, pki: Pki, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """The control: the pins refuse the stranger, and nothing else does."""
    pins = PinSet(leaf=[pki.client.pin], mode="report")
    with running(side, pki, tmp_path, pins, version) as server:
        assert side.answer in _talk(side, pki, pki.stranger, server.port)
        server.read.wait_for(1)


# ---- patched processes -------------------------------------------------------

# Run in a process of its own, since it can't be undone. It prints what came of the
# pinned context with the right server and with the impostor, and of a context
# without pins with the impostor.
_PROBE = """
import http.client, json, ssl, sys

def ask(context, port):
    connection = http.client.HTTPSConnection("localhost", port, context=context)
    try:
        connection.request("GET", "/")
        return connection.getresponse().read().decode()
    except Exception as error:
        found = pinverify.find_pinning_error(error)
        return type(found or error).__name__
    finally:
        connection.close()

good, bad = json.loads(sys.argv[1])
unpinned = ssl.create_default_context()
print(json.dumps([ask(context, good), ask(context, bad), ask(unpinned, bad)]))
"""
_POLICY = """
import json, sys
import pinverify
policy = pinverify.Policy({"localhost": [sys.argv[2]]}, unpinned="reject")
"""
_PINNED = """
import ssl
context = pinverify.pin_context(ssl.create_default_context(), policy)
"""
_TRUSTSTORE = "import truststore\ntruststore.inject_into_ssl()\n"
_GEVENT = """
import warnings
from gevent import monkey
warnings.simplefilter("ignore")
monkey.patch_all()
"""


class Patched(NamedTuple):
    """A library that patches the process, and when the context is pinned."""

    library: str
    code: str
    expected: tuple[str, str]
    """What comes of the right server, and of the impostor."""


def _patched() -> dict[str, Patched]:
    right = (HELLO.decode(), "PinningError")
    return {
        "the recipe for truststore": Patched(
            "truststore", _POLICY + recipe("truststore").code, right
        ),
        "pinned, then truststore": Patched(
            "truststore", _POLICY + _PINNED + _TRUSTSTORE, right
        ),
        "a context of truststore": Patched(
            "truststore",
            _POLICY + "import ssl, truststore\n"
            "context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)\n"
            "pinverify.pin_context(context, policy)\n",
            right,
        ),
        # The recipe begins with the patch: the policy comes after it.
        "the recipe for gevent": Patched(
            "gevent",
            recipe("gevent").code.replace("context =", _POLICY + "context ="),
            right,
        ),
        # As a context without pins does, since gevent replaces what ssl.py calls.
        "pinned, then gevent": Patched(
            "gevent", _POLICY + _PINNED + _GEVENT, ("TypeError", "TypeError")
        ),
    }


@pytest.mark.parametrize("order", _patched())
def test_pitfall_16_pins_and_patches_of_the_process_in_any_order(
    order: str, stage: Stage
) -> None:
    """Truststore and gevent put other classes in the place of ssl's.

    A hook that names `ssl.SSLContext` or `ssl.SSLSocket` misses theirs, or is
    replaced by them: the context looks pinned, and nothing is checked.
    """
    patched = _patched()[order]
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    seen = in_a_process(
        patched.library, patched.code + _PROBE, stage, [good.port, bad.port]
    )
    assert seen == [*patched.expected, HELLO.decode()]
    *refused, believed = bad.finished()
    assert believed.application
    assert_said_nothing(client, refused)


def test_a_context_from_before_gevent_fails_without_pins_as_well(stage: Stage) -> None:
    """The control: that it makes no connection any more is not our doing."""
    client = BY_HEADING["http.client"]
    good = stage.put(client, server=stage.pki.server).origin
    before = "import ssl\ncontext = ssl.create_default_context()\n"
    code = _POLICY + before + _GEVENT + _PROBE
    seen = in_a_process("gevent", code, stage, [good.port, good.port])
    assert seen == ["TypeError", "TypeError", HELLO.decode()]


def test_install_reaches_contexts_that_nobody_hands_out(stage: Stage) -> None:
    """Contexts that libraries made for themselves, before and after `install`."""
    client = BY_HEADING["http.client"]
    for library in ("requests", "httpx", "aiohttp"):
        pytest.importorskip(library, reason=f"{library} is not installed")
    bad = stage.put(client, server=stage.pki.impostor).origin
    code = """
import asyncio, json, ssl, sys, urllib.request
import aiohttp, httpx, requests
import pinverify

url = f"https://localhost:{json.loads(sys.argv[1])[0]}/"
shared = ssl.create_default_context()
policy = pinverify.Policy({"localhost": [sys.argv[2]]}, unpinned="reject")

async def with_aiohttp():
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return await response.read()

ways = [
    lambda: urllib.request.urlopen(url, context=shared).read(),
    lambda: urllib.request.urlopen(url).read(),
    lambda: requests.get(url).content,
    lambda: httpx.get(url).content,
    lambda: asyncio.run(with_aiohttp()),
]
seen = []
for install in (True, False):
    if install:
        pinverify.install(policy)
    for way in ways:
        try:
            seen.append(way().decode())
        except Exception as error:
            seen.append(type(pinverify.find_pinning_error(error)).__name__)
    pinverify.uninstall()
print(json.dumps(seen))
"""
    seen = in_a_process("httpx", code, stage, [bad.port])
    assert seen == 5 * ["PinningError"] + 5 * [HELLO.decode()]
    assert_said_nothing(client, bad.finished()[:5])


def in_a_process(library: str, code: str, stage: Stage, ports: list[int]) -> object:
    """Run *code* in a new interpreter, which trusts both authorities."""
    pytest.importorskip(library, reason=f"{library} is not installed")
    environment = {
        **os.environ,
        "SSL_CERT_FILE": str(stage.cafile),
        "REQUESTS_CA_BUNDLE": str(stage.cafile),
        "PYTHONPATH": os.pathsep.join([str(SOURCE), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(ports), stage.pki.server.pin],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
