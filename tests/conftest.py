"""Fixtures that most test files share."""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import importlib.util
import os
import signal
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import pinverify
from client_recipes import Stage
from client_table import text_of_tables
from connection_states import unjudged
from examples import examples
from optional import lacks_parsers
from pinverify.tls import _events
from pki import Identity, Pki, example_pki
from tls_clients import pinning
from tls_dialogues import WAYS, Dialogues
from tls_servers import TLSServer

__all__: list[str] = []

# No test depends on how fast the machine is, or on what else it does. A checkout that
# cannot be written keeps no examples for the next run.
_writable = os.access(Path(__file__).parent.parent, os.W_OK)
_kept = hypothesis.settings().database if _writable else None
hypothesis.settings.register_profile(
    "untimed", deadline=None, database=_kept, max_examples=examples(100)
)
hypothesis.settings.load_profile("untimed")

# A shell lets what it starts in the background ignore Ctrl-C, and children inherit
# that. Those of the tests are to meet what a person's do.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# For who asks whether a test fails, and not for how little it takes: `make mutants`.
_phases = (hypothesis.Phase.explicit, hypothesis.Phase.generate)
hypothesis.settings.register_profile(
    "unshrunk", parent=hypothesis.settings.get_profile("untimed"), phases=_phases
)


@pytest.fixture(autouse=True, scope="module")
def _heap_of_its_own() -> None:
    """Leave what lives before a module to no search of `gc` in it.

    Each test of connections searches the heap for those that nobody judged. In the heap
    of thousands of tests that would take longer than the test.
    """
    gc.collect()
    gc.freeze()


@functools.cache
def _lacks_parsers() -> bool:
    found = importlib.util.find_spec("pinverify.formats")  # the engine may be alone
    return found is not None and lacks_parsers()


@pytest.fixture(autouse=True)
def _without_parsers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip a test where it needs tree-sitter, if that is not installed."""

    def read_source(*_: object) -> None:
        pytest.skip("tree_sitter is not installed")

    # Named, so that tests of the engine run where there is no other package.
    if _lacks_parsers():
        for module in ("_okhttp", "_trustkit"):
            monkeypatch.setattr(f"pinverify.formats.{module}.read_source", read_source)


@pytest.fixture(autouse=True)
def _log_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the log of each test begin anew: it names a peer once a minute."""
    monkeypatch.setattr(_events, "limit", _events.Limit())


@pytest.fixture(autouse=True)
def _nothing_unjudged(request: pytest.FixtureRequest) -> Iterator[None]:
    """After a test of connections, none lives that passed without a decision."""
    yield
    if request.node.path.name.startswith(("test_tls_", "test_clients_")):
        assert unjudged() == []


@pytest.fixture(scope="session")
def pki() -> Pki:
    """The authorities and identities of most tests, made once."""
    return example_pki()


@pytest.fixture(
    params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
    ids=["TLS1.2", "TLS1.3"],
)
def version(request: pytest.FixtureRequest) -> ssl.TLSVersion:
    """Each TLS version in turn: their handshakes end in different ways."""
    value: ssl.TLSVersion = request.param
    return value


@pytest.fixture
def serve() -> Iterator[Callable[..., TLSServer]]:
    """Start TLS servers, and close them when the test is over."""
    with contextlib.ExitStack() as stack:

        def start(context: ssl.SSLContext, **options: object) -> TLSServer:
            server = TLSServer(context, **options)  # type: ignore[arg-type]
            return stack.enter_context(server)

        yield start


@pytest.fixture(params=WAYS)
def dialogue(request: pytest.FixtureRequest) -> Dialogues:
    """Each way of `ssl` in turn: memory buffers, sockets, lazy handshakes."""
    return WAYS[request.param]


# ---- pinned contexts ---------------------------------------------------------


@pytest.fixture
def installed(pki: Pki) -> Iterator[None]:
    """Pin the key of `pki.server` for localhost, for every client of the process."""
    pinverify.install(pinning(pki))
    try:
        yield
    finally:
        pinverify.uninstall()
        assert ssl.SSLContext.sslsocket_class is ssl.SSLSocket
        assert ssl.SSLContext.sslobject_class is ssl.SSLObject
        for inherited in ("_wrap_socket", "_wrap_bio"):  # the methods of C are back
            assert inherited not in vars(ssl.SSLContext)


# ---- the command line --------------------------------------------------------


@pytest.fixture
def trust(pki: Pki, tmp_path: Path) -> tuple[str, Path]:
    """The options by which a command trusts both authorities of the cast."""
    return ("--cafile", pki.trust_file(tmp_path))


@pytest.fixture
def source(pki: Pki, tmp_path: Path) -> Path:
    """A policy file with a host, a wildcard and an unpinned host."""
    file = tmp_path / "pins.toml"
    file.write_text(
        "version = 1\n[hosts]\n"
        f'"api.example.com" = ["{pki.server.pin}", "{pki.root.pin}"]\n'
        f'"*.example.com" = ["{pki.server.pin}", "{pki.root.pin}"]\n'
        '"status.example.com" = { unpinned = true }\n',
        encoding="utf-8",
    )
    return file


# ---- client libraries --------------------------------------------------------


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


@pytest.fixture(scope="module")
def client_table(request: pytest.FixtureRequest) -> Iterator[None]:
    """Print what was seen of each client, when the module is over."""
    yield
    gc.collect()  # here, where it is known what may be unclosed
    if text := text_of_tables():
        plugins = request.config.pluginmanager
        with plugins.getplugin("capturemanager").global_and_fixture_disabled():
            plugins.getplugin("terminalreporter").write(text)
