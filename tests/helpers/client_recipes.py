"""The recipes of docs/clients.md, their clients, and the servers that these meet.

Each recipe is read from the page by its heading and run against a server that reports
what it read. At the end of a module, `client_table` prints the results.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import importlib.util
import re
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import client_servers
import pinverify
from client_servers import HELLO, Conversation, Record, Server
from optional import client_library
from pinverify import PinningError, Policy, Reason, find_pinning_error
from pinverify.tls import _pin_context, _process_wide
from pki import Identity, Pki
from places import ROOT
from tls_servers import client_context, server_context

__all__ = [
    "BY_HEADING",
    "CLIENTS",
    "MARKS",
    "PAGE",
    "SOURCE",
    "UPGRADED",
    "Client",
    "Served",
    "Stage",
    "any_client",
    "any_proxied",
    "assert_documented",
    "assert_refused",
    "assert_said_nothing",
    "heading_of",
    "named",
    "names_given",
    "recipe",
    "run",
    "sections",
    "where",
]

# Some libraries let their loop end before a transport is closed to the last byte,
# and leave the rest to the garbage collector.
MARKS = [
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    # ldap3 uses names of pyasn1 and ssl that are deprecated.
    pytest.mark.filterwarnings("ignore:(tag|type)Map is:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:ssl.match_hostname:DeprecationWarning"),
    pytest.mark.usefixtures("client_table"),
]
PAGE = ROOT / "docs" / "clients.md"
SOURCE = Path(pinverify.__file__).resolve().parent.parent


# ---- the page ----------------------------------------------------------------


class Recipe(NamedTuple):
    """The text of the page below one heading."""

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
    """Its bytes in clear, before TLS."""
    by_fingerprint: bool = False
    """It is about fingerprints: no context is pinned."""
    by_pinset: bool = False
    """Its context is pinned for one server, and knows no host."""
    makes_errors_anew: bool = False
    """Its exceptions have the text of the `PinningError`, and not the report."""
    reads_in_a_thread: bool = False
    """One thread reads while another writes, which OpenSSL does not promise to bear: a
    ticket that comes meanwhile can stop both."""

    @property
    def proxied(self) -> bool:
        """True if it goes through an https proxy."""
        return self.path == "TLS in TLS"

    def require(self) -> None:
        """Skip the test if a library is not there; say which."""
        for module in self.needs:
            client_library(module)


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
    Client(
        "ldap3",
        ("ldap3",),
        client_servers.ldap,
        answer=True,
        path="install",
        makes_errors_anew=True,
    ),
    Client(
        "oracledb",
        ("oracledb", "cryptography"),
        client_servers.oracle,
        answer="19.0.0.0.0",
        by_pinset=True,
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


def heading_of(client: Client) -> str:
    """Return the id of a client in the names of tests."""
    return client.heading


any_client = pytest.mark.parametrize("client", CLIENTS, ids=heading_of)
any_proxied = pytest.mark.parametrize("client", PROXIED, ids=heading_of)


@contextlib.contextmanager
def names_given(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """Record the names that clients give to ssl for their connections."""
    names: list[str | None] = []

    def recording(original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def wrap(*args: Any, **how: Any) -> Any:  # noqa: ANN401
            tls = original(*args, **how)
            if not tls.server_side and tls.server_hostname not in names:
                names.append(tls.server_hostname)
            return tls

        return wrap

    with monkeypatch.context() as patch:
        # What pinverify makes to try a context has no server.
        patch.setattr(_pin_context, "_made_without_a_peer", lambda _: [])
        patch.setattr(_process_wide, "_made_with_a_peer", lambda _: [])
        for name in ("wrap_socket", "wrap_bio"):
            original = getattr(ssl.SSLContext, name)
            patch.setattr(ssl.SSLContext, name, recording(original))
        try:
            yield names
        finally:
            pinverify.uninstall()  # what it has changed since then


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
        if policy is None:  # a recipe that makes pins of them can't do without one
            pins.append(self.pki.impostor.pin)
        self.names = names = {
            "pinverify": pinverify,
            "context": context,
            "policy": policy or Policy({}, unpinned="allow"),
            "fingerprints": tuple(pins),
            "pins": pins,
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
    """The server that a client talks to, and its proxy."""

    origin: Server
    proxy: Server | None = None


# ---- the table ---------------------------------------------------------------


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
    if client.makes_errors_anew:
        assert found.report.reason is Reason.NOT_CHECKED
        assert f"no pin of {host!r} is in the chain" in str(found)
        return
    assert found.report.reason is Reason.MISMATCH
    nobody = client.by_fingerprint or client.by_pinset
    assert found.report.host == (None if nobody else host)
