"""The state of a connection is its own: no class, thread or patch can replace it."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import pytest

from connection_states import has_passed, sslconnections, unjudged
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    create_connection,
    install,
    pin_context,
    uninstall,
)
from pki import Pki
from places import HELPERS
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    connect,
    converse,
    echo,
    later,
    pinning,
    trusting,
)
from tls_dialogues import Dialogues
from tls_servers import LIMIT, MemoryLink, TLSServer, server_context

__all__: list[str] = []

STATES = HELPERS / "connection_states.py"


@pytest.fixture(params=["pin_context", "install"])
def pinned(
    request: pytest.FixtureRequest, pki: Pki
) -> Iterator[Callable[[Policy | PinSet], ssl.SSLContext]]:
    """Return a function that makes a pinned context, in each of the two ways."""

    def make(policy: Policy | PinSet) -> ssl.SSLContext:
        if request.param == "pin_context":
            return trusting(pki, policy)
        install(policy)
        return trusting(pki)

    yield make
    uninstall()


Pinned = Callable[[Policy | PinSet], ssl.SSLContext]


# ---- pitfall 54: connections made from a live one --------------------------------


def _copy_of(kind: type) -> Any:  # noqa: ANN401
    own = {k: v for k, v in vars(kind).items() if k not in {"__dict__", "__weakref__"}}
    return type(kind)(kind.__name__, kind.__bases__, own)


def _raw_create(kind: Any) -> Callable[..., Any]:  # noqa: ANN401
    """Return ssl's own function, which makes a connection of any class."""
    plain: Any = ssl.SSLSocket if issubclass(kind, ssl.SSLSocket) else ssl.SSLObject
    create = plain._create.__func__  # noqa: SLF001
    return lambda *args, **how: create(kind, *args, **how)


_OF_SSL = (ssl.SSLSocket, ssl.SSLObject)  # they know no pins; their contexts do

CLASSES: dict[str, Callable[[Any], Any]] = {
    "the class": lambda kind: kind,
    "a subclass": lambda kind: type(kind)("Derived", (kind,), {}),
    "a copy": _copy_of,
    "ssl's class": lambda kind: (
        ssl.SSLSocket if issubclass(kind, ssl.SSLSocket) else ssl.SSLObject
    ),
}
MAKERS = (
    "its context",
    "another pinned context",
    "_create",
    "_create with a context without pins",
    "ssl's _create",
)


def _made(
    live: Any,  # noqa: ANN401
    kind: Any,  # noqa: ANN401
    maker: str,
    contexts: tuple[ssl.SSLContext, ...],
    *where: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Make a connection of a class, in one of the ways of `MAKERS`.

    Args:
        live: a VERIFIED connection of the first context.
        kind: the class.
        maker: the way.
        contexts: a pinned context, another one, and one without pins.
        where: a connected socket, or two memory buffers.
    """
    context = contexts[0]
    if maker == "another pinned context":
        context = contexts[1]
    elif maker == "_create with a context without pins" and kind not in _OF_SSL:
        context = contexts[2]
    is_socket = isinstance(live, ssl.SSLSocket)
    how: dict[str, Any] = {"server_hostname": "localhost"}
    if "_create" in maker:
        create = _raw_create(kind) if maker.startswith("ssl's") else kind._create  # noqa: SLF001
        return create(*where, **how, context=context)
    if is_socket:
        context.sslsocket_class = kind
        return context.wrap_socket(*where, **how)
    context.sslobject_class = kind
    return context.wrap_bio(*where, **how)


def _refused_or_used(
    use: Callable[[Any], None],
    what: Any,  # noqa: ANN401
    *,
    refused: bool,
) -> None:
    """Use a connection; if it is not *refused*, then only for its class."""
    errors = (PinningError, TypeError) if refused else (TypeError,)
    caught = None
    try:
        use(what)
    except errors as error:
        caught = error
    except RecursionError:  # it is nobody's answer, whatever was meant
        raise AssertionError("the connection calls itself for ever") from None  # noqa: EM101, TRY003
    assert caught or not refused


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("named", CLASSES)
def test_pitfall_54_no_class_makes_sockets_that_nobody_judges(  # noqa: PLR0913, PLR0917
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    pinned: Pinned,
    named: str,
    maker: str,
) -> None:
    """The class of a VERIFIED socket begins PENDING, or it is refused."""
    impostor = serve(server_context(pki.impostor, version=version), echo=False)
    honest = serve(server_context(pki.server, version=version))
    for pins, refused in (
        (PinSet([pki.server.pin, pki.impostor.pin]), False),
        (None, True),
    ):
        policy = pins or pinning(pki)
        contexts = (pinned(policy), pinned(policy), trusting(pki))
        with connect(contexts[0], honest) as live, impostor.connect() as plain:
            kind = CLASSES[named](type(live))

            def use(plain: Any) -> None:  # noqa: ANN401
                with _made(live, kind, maker, contexts, plain) as tls:  # noqa: B023
                    tls.sendall(SECRET)

            _refused_or_used(use, plain, refused=refused)
    assert_nothing_said(impostor.record(1))


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("named", CLASSES)
def test_pitfall_54_no_class_makes_objects_that_nobody_judges(
    pki: Pki, version: ssl.TLSVersion, pinned: Pinned, named: str, maker: str
) -> None:
    """The same over memory buffers."""
    for pins, refused in (
        (PinSet([pki.server.pin, pki.impostor.pin]), False),
        (None, True),
    ):
        policy = pins or pinning(pki)
        contexts = (pinned(policy), pinned(policy), trusting(pki))
        good = MemoryLink(contexts[0], server_context(pki.server, version=version))
        converse(good)
        link = MemoryLink(contexts[0], server_context(pki.impostor, version=version))
        kind = CLASSES[named](type(good.client))

        def use(link: MemoryLink) -> None:
            where = link.incoming, link.outgoing
            link.client = _made(good.client, kind, maker, contexts, *where)  # noqa: B023
            link.run(lambda: link.client.write(SECRET))

        _refused_or_used(use, link, refused=refused)
        assert link.application == b"" if refused else link.application in (b"", SECRET)


@pytest.mark.parametrize("given", ["of the live one", "of ssl"])
def test_pitfall_54_a_pending_connection_keeps_its_state_in_another_class(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, pinned: Pinned, given: str
) -> None:
    """Whoever gives it the class of a VERIFIED one, or of ssl, has not judged it."""
    context = pinned(pinning(pki))
    impostor = serve(server_context(pki.impostor, version=version), echo=False)
    honest = serve(server_context(pki.server, version=version))
    with connect(context, honest) as live:
        kind: Any = type(live) if given == "of the live one" else ssl.SSLSocket
        with later(context, impostor) as tls:
            tls.__class__ = kind
            with pytest.raises(PinningError):
                tls.sendall(SECRET)
        with later(context, honest) as tls:
            tls.__class__ = kind
            echo(tls)
            assert getattr(tls, "pin_report").accepted  # noqa: B009 - not in stubs
    assert_nothing_said(impostor.record())
    good = MemoryLink(context, server_context(pki.server, version=version))
    converse(good)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    link.client.__class__ = (
        type(good.client) if given == "of the live one" else ssl.SSLObject
    )
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


@pytest.mark.parametrize("name", ["_pinverify_settled", "_pinverify_accepted"])
def test_pitfall_54_no_attribute_of_a_pending_connection_is_its_state(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, name: str
) -> None:
    """Not on the connection, and not on its class."""
    impostor = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    for num, of_class in enumerate((False, True)):
        with later(context, impostor) as tls:
            setattr(type(tls) if of_class else tls, name, True)
            with contextlib.suppress(OSError, AttributeError, TypeError):
                tls.sendall(SECRET)
        assert_nothing_said(impostor.record(num))


def test_pitfall_54_the_c_object_itself_ends_its_handshake_with_the_check(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A class of the application may do the handshake by it."""
    context = trusting(pki, pinning(pki))
    with later(context, serve(server_context(pki.impostor, version=version))) as tls:
        connection: Any = tls
        with pytest.raises(PinningError):
            connection._sslobj.do_handshake()  # noqa: SLF001


def _is_of_no_test(kind: type) -> bool:
    tops = {above.__module__.partition(".")[0] for above in kind.__mro__}
    return tops <= {"pinverify", "ssl", "socket", "_socket", "builtins"}


def test_pitfall_54_each_class_around_a_live_connection_is_judged(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Above it, below it and beside it: all that a program can find by its class."""
    impostor = serve(server_context(pki.impostor, version=version), echo=False)
    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    beside = connect(trusting(pki, pinning(pki)), server)  # each context has a class
    with beside, connect(context, server) as live:
        above = [kind for kind in type(live).__mro__ if issubclass(kind, ssl.SSLSocket)]
        around = set(above)
        waiting = list(above)
        while waiting:
            below = filter(_is_of_no_test, waiting.pop().__subclasses__())
            waiting += [kind for kind in below if kind not in around]
            around.update(waiting)
        assert len(around) >= 3
        for num, kind in enumerate(around):
            with impostor.connect() as plain:
                tls: Any = None
                with contextlib.suppress(PinningError, TypeError):
                    how: dict[str, Any] = {"server_hostname": "localhost"}
                    tls = kind._create(plain, context=context, **how)  # type: ignore[attr-defined]  # noqa: SLF001
                    tls.sendall(SECRET)
                if tls is not None:
                    tls.close()
            assert_nothing_said(impostor.record(num))


# ---- pitfall 55: threads in a handshake ------------------------------------------


class _Slow:
    """Mixin for connections of one test: the first handshake takes until it goes on.

    A thread that comes in meanwhile is counted and leaves: in OpenSSL, it would crash
    the process.
    """

    entered = 0
    inside: threading.Event
    go_on: threading.Event

    def do_handshake(self, *block: bool) -> None:
        """Do the handshake of ssl, the first time when the test goes on."""
        cls: Any = next(kind for kind in type(self).__mro__ if "inside" in vars(kind))
        cls.entered += 1
        if cls.entered == 1:
            cls.inside.set()
            cls.go_on.wait(LIMIT)
        elif not cls.go_on.is_set():
            raise ssl.SSLWantReadError
        connection: Any = super()
        connection.do_handshake(*block)


def _slow(base: type) -> Any:  # noqa: ANN401
    own = {"inside": threading.Event(), "go_on": threading.Event()}
    return type("Slow", (_Slow, base), own)


def _comes_through(
    slow: type[_Slow],
    shake_hands: Callable[[], object],
    write: Callable[[], object],
) -> bool:
    """Return True if a second thread comes through while one shakes hands."""
    with ThreadPoolExecutor(2) as pool:
        first: Future[object] = pool.submit(shake_hands)
        assert slow.inside.wait(LIMIT)
        second: Future[object] = pool.submit(write)
        came_through = bool(wait([second], timeout=0.5).done)
        slow.go_on.set()
        wait([first, second], LIMIT)
    return came_through


@pytest.mark.parametrize("peer", ["server", "impostor"])
def test_pitfall_55_one_thread_at_a_time_shakes_hands(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, pinned: Pinned, peer: str
) -> None:
    """The other one waits, and then meets a VERIFIED or a FAILED connection."""
    slow = _slow(ssl.SSLSocket)
    server = serve(server_context(getattr(pki, peer), version=version), echo=False)
    context = pinned(pinning(pki))
    context.sslsocket_class = slow
    if "_pinverify" in vars(context):
        pin_context(context, pinning(pki))
    said: list[object] = []

    def write() -> None:
        try:
            tls.sendall(SECRET)
        except PinningError as error:
            said.append(error)

    def shake_hands() -> None:
        with contextlib.suppress(PinningError):
            tls.do_handshake()

    with later(context, server) as tls:
        assert not _comes_through(slow, shake_hands, write)
    assert slow.entered == 1
    if peer == "server":
        assert said == []
        assert server.record().application == SECRET
    else:
        assert len(said) == 1
        assert_nothing_said(server.record())


def test_pitfall_55_an_object_is_shaken_by_one_thread_at_a_time(
    pki: Pki, version: ssl.TLSVersion, pinned: Pinned
) -> None:
    """Event loops may hand an object to a pool of threads."""
    slow = _slow(ssl.SSLObject)
    context = pinned(pinning(pki))
    context.sslobject_class = slow
    if "_pinverify" in vars(context):
        pin_context(context, pinning(pki))
    link = MemoryLink(context, server_context(pki.server, version=version))

    def step(operation: Callable[[], object]) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            operation()

    assert not _comes_through(
        slow,
        lambda: step(link.client.do_handshake),
        lambda: step(lambda: link.client.write(SECRET)),
    )
    link.run(lambda: link.client.write(SECRET))
    assert link.application == SECRET


def test_pitfall_55_a_callback_in_the_handshake_cannot_use_its_connection(
    pki: Pki, version: ssl.TLSVersion, dialogue: Dialogues
) -> None:
    """A callback for SNI that reads, writes or shakes hands gets a ValueError.

    Before it can reach OpenSSL, which would crash: another object stands there.
    """
    seen: list[type[BaseException]] = []

    class OutOfReach:
        def __getattr__(self, name: str) -> None:
            raise RuntimeError(name)

    def on_server_name(connection: Any, *_: object) -> None:  # noqa: ANN401
        guarded = connection._sslobj  # noqa: SLF001
        raw, guarded.raw = guarded.raw, OutOfReach()
        for operation in (
            lambda: connection.read(1),
            lambda: connection.write(SECRET),
            connection.do_handshake,
            connection.unwrap,
            guarded.do_handshake,
            lambda: guarded.write(SECRET),
        ):
            try:
                operation()
            except (ValueError, RuntimeError) as error:
                seen.append(type(error))
        guarded.raw = raw

    server = server_context(pki.server, version=version, client_authority=pki.root)
    pin_context(server, PinSet(leaf=[pki.client.pin]))
    server.sni_callback = on_server_name
    client = trusting(pki)
    pki.client.load_into(client)
    dialogue(client, server).accepted()
    assert seen == [ValueError] * 6


@pytest.mark.parametrize("peer", ["server", "impostor"])
def test_pitfall_55_a_reader_and_a_writer_harm_no_process(
    pki: Pki, tmp_path: Path, version: ssl.TLSVersion, peer: str
) -> None:
    """Each process has lazy connections with two threads each; none of them dies.

    PROCESSES=64 makes the long form of it.
    """
    identity = getattr(pki, peer).write(tmp_path / "server.pem")
    trust = pki.trust_file(tmp_path)
    processes = int(os.environ.get("PROCESSES", "4"))
    command = [sys.executable, str(STATES), str(identity), str(trust)]
    command += [pki.server.pin, version.name]
    with ThreadPoolExecutor(4) as pool:
        runs = list(
            pool.map(
                lambda _: subprocess.run(
                    command, capture_output=True, text=True, check=False
                ),
                range(processes),
            )
        )
    # One that died after a handshake died of two threads in OpenSSL, as without pins.
    died = [run for run in runs if run.returncode < 0]
    assert not any("do_handshake" in run.stderr for run in died), died
    assert not died or peer == "server", died
    runs = [run for run in runs if run not in died]
    assert {run.returncode for run in runs} == {0}, runs
    counts = [[*map(int, re.findall(r"\d+", run.stdout))] for run in runs]
    served, refused, lost = map(sum, zip(*counts, strict=True))
    if peer == "server":
        assert (served + lost, refused) == (10 * len(runs), 0), runs
        assert lost < processes, runs
        assert 4 * len(died) <= processes, died
    else:
        assert (served, refused, lost) == (0, 10 * processes, 0), runs


# ---- pitfall 65: methods that are patched later ----------------------------------


class _Trace:
    """Methods of ssl, patched so that each call of them is noted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._calls: list[tuple[object, str]] = []
        self._monkeypatch = monkeypatch

    def patch(self, cls: type, *names: str) -> None:
        """Patch some methods of a class."""
        for name in names:
            self._monkeypatch.setattr(cls, name, self._noting(getattr(cls, name)))

    def calls(self, connection: object) -> list[str]:
        """Return the calls for one connection."""
        return [name for whose, name in self._calls if whose is connection]

    def _noting(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def noting(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            self._calls.append((args[0], method.__name__))
            return method(*args, **kwargs)

        return noting


@pytest.mark.parametrize(
    "patched",
    ["before it is made", "while pending", "before its first use", "once verified"],
)
def test_pitfall_65_methods_that_are_patched_later_are_called(  # noqa: PLR0913, PLR0917
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    pinned: Pinned,
    monkeypatch: pytest.MonkeyPatch,
    patched: str,
) -> None:
    """Tracing and security agents patch ssl when they like, and then see all data."""
    trace = _Trace(monkeypatch)
    context = pinned(pinning(pki))
    server = serve(server_context(pki.server, version=version))

    def patch() -> None:
        trace.patch(ssl.SSLSocket, "send", "recv", "do_handshake")

    with connect(context, server):
        pass
    if patched == "before it is made":
        patch()
    with later(context, server) as tls:
        if patched in {"while pending", "before its first use"}:
            patch()
        if patched != "before its first use":
            tls.do_handshake()
        if patched == "once verified":
            patch()
        tls.send(SECRET)
        tls.recv(1)
    expected = ["do_handshake", "send", "recv"]
    if patched == "before its first use":
        expected[:2] = ["send", "do_handshake"]
    assert trace.calls(tls) == expected[patched == "once verified" :]


def test_pitfall_65_methods_of_objects_that_are_patched_later_are_called(
    pki: Pki,
    version: ssl.TLSVersion,
    pinned: Pinned,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Over memory buffers, PENDING and VERIFIED."""
    trace = _Trace(monkeypatch)
    link = MemoryLink(pinned(pinning(pki)), server_context(pki.server, version=version))
    trace.patch(ssl.SSLObject, "do_handshake")
    link.run(lambda: link.client.write(SECRET))
    assert "do_handshake" in trace.calls(link.client)
    trace.patch(ssl.SSLObject, "write")
    link.run(lambda: link.client.write(SECRET))
    assert trace.calls(link.client)[-1] == "write"


# ---- the sweep after each test ---------------------------------------------------


def test_the_sweep_sees_a_connection_that_nobody_judged(pki: Pki, serve: Serve) -> None:
    """So that it does not pass by seeing nothing; see the fixture in conftest.py."""
    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server))
    with connect(context, server) as live, later(context, server) as tls:
        assert live in sslconnections()
        assert tls in sslconnections()
        assert has_passed(live)
        assert not has_passed(tls)
        assert unjudged() == []
        raw = vars(tls)["_sslobj"].raw
        tls.__class__ = type(live)
        vars(tls)["_sslobj"] = raw
        assert unjudged() == [tls]
        vars(tls)["_sslobj"] = None


def test_the_sweep_lets_connections_without_pins_be(pki: Pki, serve: Serve) -> None:
    """A context that is hooked for one connection has no pins for the others."""
    server: TLSServer = serve(server_context(pki.server))
    context = trusting(pki)
    address = ("localhost", server.port)
    create_connection(address, pinning(pki), context=context).close()
    with connect(context, server) as tls:
        assert tls in sslconnections()
        assert unjudged() == []
