"""`PinnedAdapter` of requests: settings of a request, proxies, one's own context.

The tests of docs/clients.md have its right and its wrong pins. These tests are about
settings that a single request may change, and that must not affect other requests.
"""

from __future__ import annotations

import gc
import pickle
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import client_servers
from client_recipes import (
    BY_HEADING,
    MARKS,
    Stage,
    assert_refused,
    assert_said_nothing,
)
from client_servers import HELLO, Server
from optional import client_library
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Report,
    find_pinning_error,
    report_of,
)
from pinverify.tls._ssl_contexts import rule_of
from pki import Authority, Identity
from tls_servers import client_context, server_context

__all__: list[str] = []

pytestmark = MARKS

CLIENT = BY_HEADING["requests"]
INSECURE = "ignore:Unverified HTTPS request"
HERE = "https://localhost:{}/"


@pytest.fixture
def requests() -> Any:  # noqa: ANN401 - a module
    """Return the library."""
    return client_library("requests")


def session_with(
    policy: Policy | PinSet,
    **settings: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - a session
    """Return a session that is pinned, and that no variable of the machine changes."""
    library: Any = client_library("requests")
    adapters: Any = client_library("pinverify.tls.requests")
    session = library.Session()
    session.trust_env = False
    session.mount("https://", adapters.PinnedAdapter(policy, **settings))
    return session


def serve(stage: Stage, identity: Identity) -> str:
    """Start a server, and return its URL."""
    return HERE.format(stage.put(CLIENT, server=identity).origin.port)


def refused(session: Any, url: str, **settings: Any) -> PinningError:  # noqa: ANN401
    """Return the error of a request that the pins must refuse."""
    library: Any = client_library("requests")
    with pytest.raises(library.exceptions.RequestException) as raised:
        session.get(url, timeout=10, **settings)
    assert_refused(CLIENT, raised.value, "localhost")
    found = find_pinning_error(raised.value)
    assert found is not None
    return found


def asking(
    stage: Stage, identity: Identity, conversation: client_servers.Conversation
) -> tuple[Server, list[bool]]:
    """Start a server that asks for certificates, and tells whether one came."""
    shown: list[bool] = []

    def converse(line: client_servers.Line) -> None:
        assert isinstance(line.sock, ssl.SSLSocket)
        shown.append(line.sock.getpeercert(binary_form=True) is not None)
        conversation(line)

    context = server_context(
        identity,
        version=stage.version,
        client_authority=stage.pki.root,
        client_mode=ssl.CERT_OPTIONAL,
    )
    return stage.stack.enter_context(Server(converse, context)), shown


# ---- verify and cert ---------------------------------------------------------


@pytest.mark.filterwarnings(INSECURE)
def test_without_verification_only_the_leaf_counts(stage: Stage) -> None:
    """Anybody can send the pinned authority's certificate below `verify=False`."""
    url = serve(stage, stage.pki.server)
    for pins, accepted in ([stage.pki.server.pin], True), ([stage.pki.ca.pin], False):
        with session_with(Policy({"localhost": pins})) as session:
            verified = session.get(url, verify=str(stage.cafile), timeout=10)
            assert verified.content == HELLO
            if accepted:
                answer = session.get(url, verify=False, timeout=10)
                assert answer.content == HELLO
            else:
                refused(session, url, verify=False)


@pytest.mark.filterwarnings(INSECURE)
def test_without_verification_nothing_changes_for_others(stage: Stage) -> None:
    """The leaf has the pinned key's name only; the next request verifies again."""
    forged = stage.pki.ca.forged_leaf("localhost")
    url = serve(stage, forged)
    with session_with(PinSet(leaf=[forged.pin])) as session:
        library: Any = client_library("requests")
        for _ in range(2):
            assert session.get(url, verify=False, timeout=10).content == HELLO
            with pytest.raises(library.exceptions.SSLError) as raised:
                session.get(url, verify=str(stage.cafile), timeout=10)
            assert find_pinning_error(raised.value) is None


def test_authorities_of_one_request_are_not_those_of_another(
    stage: Stage, tmp_path: Path
) -> None:
    """`verify="a.pem"` trusts these authorities for this request alone."""
    url = serve(stage, stage.pki.server)
    other = tmp_path / "other.pem"
    other.write_text(stage.pki.rogue_root.pem, encoding="ascii")
    library: Any = client_library("requests")
    with session_with(stage.policy()) as session:
        for _ in range(2):
            answer = session.get(url, verify=str(stage.cafile), timeout=10)
            assert answer.content == HELLO
            for verify in (str(other), True):
                with pytest.raises(library.exceptions.SSLError, match="VERIFY_FAILED"):
                    session.get(url, verify=verify, timeout=10)


def test_a_client_certificate_is_shown_for_its_request_alone(
    stage: Stage, tmp_path: Path
) -> None:
    """In a context that requests share, `cert=` would go to every later server."""
    own = str(stage.pki.client.write(tmp_path / "own.pem"))
    server, shown = asking(stage, stage.pki.server, client_servers.http)
    url = HERE.format(server.port)
    settings = {"verify": str(stage.cafile), "timeout": 10}
    with session_with(stage.policy()) as session:
        for cert in None, own, None:
            answer = session.get(url, cert=cert, **settings)
            assert answer.content == HELLO
            session.close()  # the next request is another handshake
    assert shown == [False, True, False]


# ---- the context of one's own ------------------------------------------------


def test_a_context_of_ones_own_has_the_authorities(stage: Stage) -> None:
    """It works with what it trusts, and nothing is added to that."""
    context = client_context(stage.pki.root)
    trusted = context.cert_store_stats()
    with session_with(stage.policy(), context=context) as session:
        url = serve(stage, stage.pki.server)
        assert session.get(url, timeout=10).content == HELLO
    assert context.cert_store_stats() == trusted
    both = client_context(stage.pki.root, stage.pki.rogue_root)
    with session_with(stage.policy(), context=both) as session:
        refused(session, serve(stage, stage.pki.impostor))


@pytest.mark.parametrize(
    "settings", [{"verify": False}, {"verify": "a.pem"}, {"cert": "own.pem"}]
)
def test_a_context_of_ones_own_is_not_changed_by_a_request(
    stage: Stage, settings: dict[str, Any]
) -> None:
    """The message says where authorities and certificate belong."""
    context = client_context(stage.pki.root)
    served = stage.put(CLIENT, server=stage.pki.server)
    with (
        session_with(stage.policy(), context=context) as session,
        pytest.raises(ValueError, match="load authorities and certificate into"),
    ):
        session.get(HERE.format(served.origin.port), timeout=10, **settings)
    assert served.origin.records == []


def test_a_context_that_cannot_be_pinned_is_refused_at_once(stage: Stage) -> None:
    """Not at the first request, when it is too late to look."""
    with pytest.raises(TypeError, match="expected an ssl"):
        session_with(stage.policy(), context="a context")


# ---- proxies -----------------------------------------------------------------


@pytest.mark.filterwarnings(INSECURE)
@pytest.mark.parametrize("scheme", ["http", "socks5h"])
@pytest.mark.parametrize("verifies", [True, False])
def test_what_comes_through_a_proxy_is_checked(
    stage: Stage,
    requests: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
    verifies: bool,  # noqa: FBT001
) -> None:
    """The proxy's own pool manager must not make contexts of its own."""
    verify = str(stage.cafile) if verifies else False
    if scheme == "socks5h":  # a manager that connects without the proxy
        manager: Any = client_library("urllib3").PoolManager

        def direct(*_: str, username: str, password: str, **settings: Any) -> Any:  # noqa: ANN401
            del username, password
            return manager(**settings)

        monkeypatch.setattr(requests.adapters, "SOCKSProxyManager", direct)
    for identity in stage.pki.server, stage.pki.impostor:
        origin = stage.put(CLIENT, server=identity).origin
        proxy = stage.stack.enter_context(
            Server(client_servers.connect_proxy(origin.port), None)
        )
        through = {"https": f"{scheme}://127.0.0.1:{proxy.port}"}
        url = HERE.format(origin.port)
        with session_with(stage.policy()) as session:
            if identity is stage.pki.server:
                answer = session.get(url, verify=verify, proxies=through, timeout=10)
                assert answer.content == HELLO
            else:
                refused(session, url, verify=verify, proxies=through)
                assert_said_nothing(CLIENT, origin.finished())
        assert bool(proxy.records) == (scheme == "http")


def test_an_https_proxy_does_not_see_the_client_certificate(
    stage: Stage, tmp_path: Path
) -> None:
    """It is for the server, and requests without pins does not show it either."""
    own = str(stage.pki.client.write(tmp_path / "own.pem"))
    server, at_server = asking(stage, stage.pki.server, client_servers.http)
    tunnel = client_servers.connect_proxy(server.port)
    proxy, at_proxy = asking(stage, stage.proxy_identity, tunnel)
    through = {"https": f"https://127.0.0.1:{proxy.port}"}
    settings = {"verify": str(stage.cafile), "cert": own, "timeout": 10}
    with session_with(stage.policy()) as session:
        for _ in range(2):
            answer = session.get(HERE.format(server.port), proxies=through, **settings)
            assert answer.content == HELLO
            session.close()
    assert at_server == [True, True]
    assert at_proxy == [False, False]


@pytest.mark.filterwarnings(INSECURE)
def test_without_verification_an_https_proxy_is_checked_by_its_leaf(
    stage: Stage,
) -> None:
    """And later requests through the same proxy are verified again."""
    proxied = BY_HEADING["requests through an https proxy"]
    library: Any = client_library("requests.exceptions")
    for identity in stage.proxy_identity, stage.pki.impostor:
        served = stage.put(proxied, server=stage.pki.server, proxy=identity)
        assert served.proxy is not None
        url = HERE.format(served.origin.port)
        through = {"https": f"https://127.0.0.1:{served.proxy.port}"}
        settings = {"proxies": through, "timeout": 10}
        with session_with(stage.policy()) as session:
            if identity is stage.proxy_identity:
                for verify in False, str(stage.cafile), False:
                    answer = session.get(url, verify=verify, **settings)
                    assert answer.content == HELLO
                with pytest.raises(library.ProxyError, match="VERIFY_FAILED"):
                    session.get(url, verify=True, **settings)
            else:
                with pytest.raises(OSError, match="proxy") as raised:
                    session.get(url, verify=False, **settings)
                assert_refused(CLIENT, raised.value, "127.0.0.1")
                assert_said_nothing(CLIENT, served.proxy.finished())
                assert served.origin.records == []


# ---- the adapter -------------------------------------------------------------


def test_retries_end_with_the_same_error(stage: Stage) -> None:
    """Each try is a handshake that is refused, and the last one is told."""
    origin = stage.put(CLIENT, server=stage.pki.impostor).origin
    told: list[Report] = []
    settings = {"max_retries": 2, "on_report": told.append}
    with session_with(stage.policy(), **settings) as session:
        url = HERE.format(origin.port)
        error = refused(session, url, verify=str(stage.cafile))
    assert len(origin.finished()) == 3
    assert_said_nothing(CLIENT, origin.finished())
    assert len(told) == 3
    assert told[-1] == error.report


def test_the_report_of_a_response_is_found(stage: Stage) -> None:
    """A response whose body waits has its connection."""
    url = serve(stage, stage.pki.server)
    settings = {"verify": str(stage.cafile), "stream": True, "timeout": 10}
    with (
        session_with(stage.policy()) as session,
        session.get(url, **settings) as response,
    ):
        report = report_of(response)
        assert report is not None
        assert str(report.matched) == stage.pki.server.pin
        assert response.content == HELLO


def test_a_context_of_requests_itself_makes_no_connection(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Version 2.32.2 sets it for each pool, where it would win."""
    adapters: Any = client_library("requests.adapters")
    theirs = client_context(stage.pki.root, stage.pki.rogue_root)
    before = adapters.HTTPAdapter.build_connection_pool_key_attributes

    def with_theirs(*given: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # noqa: ANN401
        host, settings = before(*given)
        return host, settings | {"ssl_context": theirs}

    name = "build_connection_pool_key_attributes"
    monkeypatch.setattr(adapters.HTTPAdapter, name, with_theirs)
    origin = stage.put(CLIENT, server=stage.pki.impostor).origin
    with session_with(stage.policy()) as session:
        refused(session, HERE.format(origin.port), verify=str(stage.cafile))
    assert_said_nothing(CLIENT, origin.finished())


def test_an_adapter_at_http_refuses(stage: Stage, requests: Any) -> None:  # noqa: ANN401
    """In clear there is no key to check: nothing is sent."""
    with session_with(stage.policy()) as session:
        session.mount("http://", session.get_adapter("https://localhost/"))
        origin = stage.stack.enter_context(Server(client_servers.http, None))
        with pytest.raises(requests.exceptions.InvalidSchema, match="https:// only"):
            session.get(f"http://localhost:{origin.port}/", timeout=10)
    assert origin.records == []


def test_a_pool_without_a_request_is_pinned(stage: Stage) -> None:
    """Older programs take a pool by its URL."""
    context = client_context(stage.pki.root, stage.pki.rogue_root)
    with session_with(stage.policy(), context=context) as session:
        adapter = session.get_adapter("https://localhost/")
        proxies = "http://127.0.0.1:1", "https://127.0.0.1:1"
        managers = [adapter.poolmanager, *map(adapter.proxy_manager_for, proxies)]
        for manager in managers:
            assert manager.connection_pool_kw["ssl_context"] is context
        assert managers[-1].proxy_config.ssl_context is context


def test_authorities_that_are_not_there_are_named(stage: Stage, tmp_path: Path) -> None:
    """A wrong path is an error before anything is sent."""
    client_library("requests")
    served = stage.put(CLIENT, server=stage.pki.server)
    url = HERE.format(served.origin.port)
    with session_with(stage.policy()) as session:
        with pytest.raises(FileNotFoundError, match="no-such-file"):
            session.get(url, verify=str(tmp_path / "no-such-file"), timeout=10)
        with pytest.raises(OSError, match="VERIFY_FAILED"):
            session.get(url, verify=str(tmp_path), timeout=10)  # an empty directory


# ---- files that change, and policies -----------------------------------------


def contexts_alive() -> int:
    """Return how many contexts with pins there are."""
    gc.collect()
    contexts = [one for one in gc.get_objects() if isinstance(one, ssl.SSLContext)]
    return sum(rule_of(context) is not None for context in contexts)


def replace(path: Path, text: str, *, in_place: bool) -> None:
    """Write a file anew, as programs do: the same file, or another of its name."""
    if in_place:
        path.write_text(text, encoding="ascii")
    else:
        beside = path.with_suffix(".new")
        beside.write_text(text, encoding="ascii")
        beside.replace(path)


CERTIFICATES_SHORT, CERTIFICATES_LONG = 40, 1000


@pytest.mark.parametrize(
    "number",
    [CERTIFICATES_SHORT, pytest.param(CERTIFICATES_LONG, marks=pytest.mark.slow)],
)
def test_pitfall_60_contexts_of_many_certificates_do_not_pile_up(
    stage: Stage, tmp_path: Path, number: int
) -> None:
    """Requests takes paths only, so programs write a file for each certificate.

    The adapter and its pools keep `pool_connections` each, which are 10, and one for
    connections that come without a request.
    """
    server, shown = asking(stage, stage.pki.server, client_servers.http)
    url = HERE.format(server.port)
    before, alive = contexts_alive(), []
    with session_with(stage.policy()) as session:
        for place in range(number):
            own = stage.pki.client.write(tmp_path / f"{place}.pem")
            settings = {"verify": str(stage.cafile), "cert": str(own), "timeout": 10}
            assert session.get(url, **settings).content == HELLO
            own.unlink()
            if place % 20 == 19:
                alive.append(contexts_alive() - before)
    assert shown == [True] * number
    assert max(alive) <= 10 + 10 + 1
    assert alive[-1] <= alive[0]


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("is_directory", [False, True])
def test_pitfall_60_an_authority_that_was_removed_is_not_trusted(
    stage: Stage,
    tmp_path: Path,
    in_place: bool,  # noqa: FBT001
    is_directory: bool,  # noqa: FBT001
) -> None:
    """As without pins: the file says today who is trusted. Idle connections go, too."""
    library: Any = client_library("requests")
    url = serve(stage, stage.pki.server)
    trusted = tmp_path / "trusted"
    trusted.mkdir()
    name = subject_hash(stage.pki.root) if is_directory else "all.pem"
    file = trusted / name
    verify = str(trusted if is_directory else file)
    with session_with(stage.policy()) as session:
        for text in stage.pki.root.pem, stage.pki.rogue_root.pem, stage.pki.root.pem:
            replace(file, text, in_place=in_place)
            if text == stage.pki.root.pem:
                answer = session.get(url, verify=verify, timeout=10)
                assert answer.content == HELLO
            else:
                with pytest.raises(library.exceptions.SSLError, match="VERIFY_FAILED"):
                    session.get(url, verify=verify, timeout=10)


def subject_hash(authority: Authority) -> str:
    """Return the name that OpenSSL looks for in a directory of authorities."""
    done = subprocess.run(
        ["openssl", "x509", "-noout", "-subject_hash"],
        input=authority.pem,
        capture_output=True,
        text=True,
        check=True,
    )
    return f"{done.stdout.strip()}.0"


def test_pitfall_60_a_certificate_that_was_replaced_is_shown_no_more(
    stage: Stage, tmp_path: Path
) -> None:
    """A renewed certificate, or that of another user, has the same path."""
    shown: list[bytes | None] = []

    def converse(line: client_servers.Line) -> None:
        assert isinstance(line.sock, ssl.SSLSocket)
        shown.append(line.sock.getpeercert(binary_form=True))
        client_servers.http(line)

    context = server_context(
        stage.pki.server, version=stage.version, client_authority=stage.pki.root
    )
    server = stage.stack.enter_context(Server(converse, context))
    own = tmp_path / "own.pem"
    settings = {"verify": str(stage.cafile), "cert": str(own), "timeout": 10}
    with session_with(stage.policy()) as session:
        for identity in stage.pki.client, stage.pki.stranger:
            identity.write(own)
            answer = session.get(HERE.format(server.port), **settings)
            assert answer.content == HELLO
    assert shown == [stage.pki.client.der, stage.pki.stranger.der]


def test_pitfall_60_a_proxy_of_a_removed_authority_is_refused(
    stage: Stage, tmp_path: Path
) -> None:
    """TLS to the proxy has the same authorities, and its managers do not pile up."""
    library: Any = client_library("requests.exceptions")
    proxied = BY_HEADING["requests through an https proxy"]
    served = stage.put(proxied, server=stage.pki.server, proxy=stage.proxy_identity)
    assert served.proxy is not None
    url = HERE.format(served.origin.port)
    through = {"https": f"https://127.0.0.1:{served.proxy.port}"}
    file = tmp_path / "all.pem"
    settings = {"proxies": through, "timeout": 10}
    with session_with(stage.policy(), pool_connections=2) as session:
        for _ in range(2):
            replace(file, stage.pki.root.pem, in_place=False)
            answer = session.get(url, verify=str(file), **settings)
            assert answer.content == HELLO
            replace(file, stage.pki.rogue_root.pem, in_place=False)
            with pytest.raises(library.ProxyError, match="VERIFY_FAILED"):
                session.get(url, verify=str(file), **settings)
        for place in range(5):
            other = tmp_path / f"{place}.pem"
            other.write_text(stage.pki.root.pem, encoding="ascii")
            answer = session.get(url, verify=str(other), **settings)
            assert answer.content == HELLO
        assert len(session.get_adapter(url).proxy_manager) == 2


def test_pitfall_60_use_replaces_the_policy(stage: Stage, tmp_path: Path) -> None:
    """Of all contexts, and of none if the new one is wrong.

    An idle connection, which the old policy accepted, answers no more.
    """
    url = serve(stage, stage.pki.server)
    own = str(stage.pki.client.write(tmp_path / "own.pem"))
    told: list[Report] = []
    nobody = Policy({"localhost": [stage.pki.stranger.pin]})
    many = [{"verify": str(stage.cafile)}, {"verify": str(stage.cafile), "cert": own}]
    with session_with(stage.policy(), on_report=told.append) as session:
        adapter = session.get_adapter(url)
        for _ in range(2):
            for settings in many:
                assert session.get(url, timeout=10, **settings).content == HELLO
            with pytest.raises(TypeError, match="expected a Policy or a PinSet"):
                adapter.use([stage.pki.stranger.pin])
            for settings in many:
                assert session.get(url, timeout=10, **settings).content == HELLO
            assert told == []
            adapter.use(nobody)
            for settings in many:
                refused(session, url, **settings)
            assert [report.digest for report in told] == [nobody.digest] * 2
            told.clear()
            adapter.use(stage.policy())
    context = client_context(stage.pki.root)
    with session_with(stage.policy(), context=context) as session:
        assert session.get(url, timeout=10).content == HELLO
        session.get_adapter(url).use(nobody)
        refused(session, url)


def test_pitfall_60_use_reaches_a_request_that_has_begun(
    stage: Stage,
    requests: Any,  # noqa: ANN401
) -> None:
    """It has its pool, and with it a context that the adapter may have dropped."""
    url = serve(stage, stage.pki.server)
    with session_with(stage.policy(), pool_connections=1) as session:
        adapter = session.get_adapter(url)
        request = requests.Request("GET", url).prepare()
        begun = adapter.get_connection_with_tls_context(request, str(stage.cafile))
        adapter.get_connection_with_tls_context(request, False)  # noqa: FBT003
        adapter.use(Policy({"localhost": [stage.pki.stranger.pin]}))
        begun.ca_certs = str(stage.cafile)
        error: Any = client_library("urllib3.exceptions").SSLError
        with pytest.raises(error) as raised:
            begun.urlopen("GET", "/", retries=False)
    assert_refused(CLIENT, raised.value, "localhost")


def test_threads_that_share_an_adapter_follow_its_policy(
    stage: Stage, tmp_path: Path
) -> None:
    """New contexts are made while the policy is replaced: none keeps the old one."""
    url = serve(stage, stage.pki.server)
    nobody = Policy({"localhost": [stage.pki.stranger.pin]})
    library: Any = client_library("requests")
    rounds, threads = 3, 4
    with (
        session_with(stage.policy(), pool_connections=2) as session,
        ThreadPoolExecutor(threads) as pool,
    ):
        adapter = session.get_adapter(url)

        def ask(place: int) -> bool:
            own = stage.pki.client.write(tmp_path / f"{place}.pem")
            try:
                session.get(url, verify=str(stage.cafile), cert=str(own), timeout=20)
            except library.exceptions.SSLError as error:
                if find_pinning_error(error) is None:
                    raise
                return False
            return True

        for turn in range(rounds):
            for policy, accepted in (nobody, False), (stage.policy(), True):
                during = [pool.submit(ask, n) for n in range(threads)]
                adapter.use(policy)
                after = [pool.submit(ask, threads + n) for n in range(threads)]
                assert [done.result() for done in after] == [accepted] * threads, turn
                assert len([done.result() for done in during]) == threads


def test_neither_adapter_nor_session_can_be_pickled(stage: Stage) -> None:
    """The copy would have no pins, or not these."""
    with session_with(stage.policy()) as session:
        for thing in session, session.get_adapter("https://localhost/"):
            with pytest.raises(TypeError, match="mount a new one"):
                pickle.dumps(thing)
