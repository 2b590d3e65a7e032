"""Client libraries and their special features: proxies, pools, loops, retries.

Libraries that are not installed are skipped; the dependency group "clients" has all.
Pitfalls keep their numbers from the design: 14, 17, 18, 25 and 27.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import importlib.util
import io
import os
import re
import ssl
from collections.abc import Callable
from typing import Any

import pytest

import client_servers
import pinverify
from client_recipes import (
    BY_HEADING,
    MARKS,
    Served,
    Stage,
    assert_documented,
    assert_refused,
    assert_said_nothing,
    named,
    names_given,
    recipe,
    run,
    sections,
)
from client_servers import HELLO, Server
from optional import client_library
from pinverify import PinningError, PinSet, Policy, Reason, find_pinning_error
from pki import Identity
from tls_servers import LIMIT, TLSServer, client_context, server_context

pytestmark = MARKS


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


@pytest.mark.parametrize("heading", ["ldap3", "oracledb"])
def test_pitfall_56_a_library_that_gives_no_name_sends_an_impostor_nothing(
    stage: Stage, heading: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would send its password; and the refusal says which ways there are.

    Neither the process nor, if the library takes one, its context can look up a rule.
    """
    client = BY_HEADING[heading]
    client.require()
    code = recipe(heading).code
    pinned = "pinverify.pin_context(database, pinverify.PinSet(pins))\n"
    nameless = code.replace(", sni=host", "").replace(pinned, "")
    assert nameless != code
    served = stage.put(client, server=stage.pki.impostor)
    policy = Policy({"localhost": [stage.pki.server.pin]})
    names = {
        "pinverify": pinverify,
        "policy": Policy({}),
        "cafile": str(stage.cafile),
        "host": "localhost",
        "port": served.origin.port,
    }
    with names_given(monkeypatch) as given:
        assert run(nameless, dict(names)) == client.answer
    assert given == [None]
    assert b"me" in served.origin.finished()[0].application

    names["policy"] = policy
    pinverify.install(policy)
    errors = [_refused_as_documented(heading, nameless, names)]
    pinverify.uninstall()
    if pinned in code:
        with_rules = code.replace("pinverify.PinSet(pins)", "policy")
        errors.append(_refused_as_documented(heading, with_rules, names))
    for error in errors:
        for way_out in ("gives no name", "PinSet", "SNI", "nameless='allow'"):
            assert way_out in str(find_pinning_error(error))
    assert_said_nothing(client, served.origin.finished()[1:])


def _refused_as_documented(
    heading: str, code: str, names: dict[str, Any]
) -> BaseException:
    with pytest.raises(named(recipe(heading).refused[0])) as raised:
        run(code, dict(names))
    return raised.value


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
    contrib: Any = client_library("urllib3.contrib.pyopenssl")
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

    An adapter that only pins the manager of direct connections sends without pins.
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
    """`verify=False` turns certificate validation off, and the pins stay.

    Then nothing but the leaf is known of the peer, and a pin of it still holds.
    """
    client = BY_HEADING["requests"]
    client.require()
    code = recipe("requests").code.replace("verify=cafile", "verify=False")
    assert "verify=False" in code
    good = stage.put(client, server=stage.pki.server).origin
    bad = stage.put(client, server=stage.pki.impostor).origin
    policy = stage.policy()
    insecure: Any = named("urllib3.exceptions.InsecureRequestWarning")
    with pytest.warns(insecure):
        answer = run(code, {"policy": policy, "url": _url(good)})
    assert answer == HELLO
    with pytest.raises(named("requests.exceptions.SSLError")) as raised:
        run(code, {"policy": policy, "url": _url(bad)})
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


# ---- libraries that keep the error to themselves -------------------------------

KEEPS = "Libraries that keep the error to themselves"
FOUND = {
    "the error and its report": (Reason.MISMATCH, "localhost"),
    "the error, with its text but without its report: `report.reason` is "
    "`NOT_CHECKED`": (Reason.NOT_CHECKED, None),
    "nothing": None,
}

Notice = Callable[[pinverify.Report], object]


def _azure_core(stage: Stage, port: int, notice: Notice) -> None:
    requests: Any = client_library("requests")
    transport: Any = client_library("azure.core.pipeline.transport")
    adapters: Any = client_library("pinverify.tls.requests")
    with requests.Session() as session:
        session.trust_env = False
        adapter = adapters.PinnedAdapter(stage.policy(), on_report=notice)
        session.mount("https://", adapter)
        sending = transport.RequestsTransport(session=session, session_owner=False)
        request = transport.HttpRequest("GET", f"https://localhost:{port}/")
        sending.send(request, connection_verify=str(stage.cafile))


def _ldap3(stage: Stage, port: int, notice: Notice) -> None:
    ldap3: Any = client_library("ldap3")
    pinverify.install(stage.policy(), on_report=notice)
    tls = ldap3.Tls(
        validate=ssl.CERT_REQUIRED, ca_certs_file=str(stage.cafile), sni="localhost"
    )
    server = ldap3.Server("127.0.0.1", port, use_ssl=True, tls=tls)
    ldap3.Connection(server, auto_bind=True)


def _aiokafka(stage: Stage, port: int, notice: Notice) -> None:
    aiokafka: Any = client_library("aiokafka")

    async def start() -> None:
        producer = aiokafka.AIOKafkaProducer(
            bootstrap_servers=f"localhost:{port}",
            security_protocol="SSL",
            ssl_context=_context(stage, notice),
        )
        try:
            await producer.start()
        finally:
            await producer.stop()

    asyncio.run(start())


def _cassandra(stage: Stage, port: int, notice: Notice) -> None:
    cluster: Any = client_library("cassandra.cluster").Cluster(
        ["127.0.0.1"],
        port=port,
        ssl_context=_context(stage, notice),
        ssl_options={"server_hostname": "localhost"},
    )
    try:
        cluster.connect()
    finally:
        cluster.shutdown()


def _pymongo(stage: Stage, port: int, notice: Notice) -> None:
    pymongo: Any = client_library("pymongo")
    pinverify.install(stage.policy(), on_report=notice)

    async def ping() -> None:
        client = pymongo.AsyncMongoClient(
            "localhost",
            port,
            tls=True,
            tlsCAFile=str(stage.cafile),
            serverSelectionTimeoutMS=2000,
        )
        try:
            await client.admin.command("ping")
        finally:
            await client.close()

    asyncio.run(ping())


def _context(stage: Stage, notice: Notice) -> ssl.SSLContext:
    """Return a context that trusts the impostor's authority, too, with pins."""
    context = client_context(stage.pki.root, stage.pki.rogue_root)
    return pinverify.pin_context(context, stage.policy(), on_report=notice)


KEEPING: dict[str, Callable[[Stage, int, Notice], None]] = {
    "azure-core": _azure_core,
    "ldap3": _ldap3,
    "aiokafka": _aiokafka,
    "cassandra-driver": _cassandra,
    "pymongo": _pymongo,
}


MODULES = {"azure-core": "azure.core", "cassandra-driver": "cassandra"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("library", KEEPING)
def test_pitfall_67_a_library_keeps_the_error_as_the_page_says(
    stage: Stage, library: str
) -> None:
    """The events tell of the errors that `find_pinning_error` does not find."""
    client_library(MODULES.get(library, library))
    rows = re.findall(r"(?m)^\| ([\w-]+) \| `([\w.]+)` \| (.*) \|$", sections()[KEEPS])
    assert [name for name, *_ in rows] == [*KEEPING]
    [(raises, finds)] = [row[1:] for row in rows if row[0] == library]
    (code,) = re.findall(r"(?s)```python\n(.*?)```", sections()[KEEPS])
    names: dict[str, Any] = {
        "pinverify": pinverify,
        "context": client_context(stage.pki.root),
        "policy": stage.policy(),
    }
    run(code, names)
    client = BY_HEADING["urllib3"]
    origin = stage.put(client, server=stage.pki.impostor).origin
    with pytest.raises(named(raises)) as raised:
        KEEPING[library](stage, origin.port, names["notice"])
    found = find_pinning_error(raised.value)
    report = None if found is None else (found.report.reason, found.report.host)
    assert report == FOUND[finds]
    told = {(report.reason, report.host) for report in names["refused"]}
    assert told == {(Reason.MISMATCH, "localhost")}
    # pymongo lets its event loop end before the transport of the connection is closed.
    del raised, found
    names.clear()
    gc.collect()
    assert_said_nothing(client, origin.finished())


def test_the_synchronous_client_of_pymongo_is_not_pinned_over_pyopenssl(
    stage: Stage,
) -> None:
    """A limit that the page names: its context is none of `ssl`."""
    client_library("service_identity")
    support: Any = client_library("pymongo.ssl_support")
    pinverify.install(stage.policy())
    given = None, None, str(stage.cafile), None, False, False, False
    assert not isinstance(support.get_ssl_context(*given, True), ssl.SSLContext)  # noqa: FBT003
    assert isinstance(support.get_ssl_context(*given, False), ssl.SSLContext)  # noqa: FBT003
