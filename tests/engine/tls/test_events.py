"""Events: each decision other than a plain match is reported and logged, once.

`on_report` gets every one. The log names the peers, and is bounded.
"""

from __future__ import annotations

import functools
import logging
import pickle
import ssl
import threading
import unittest.mock
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from OpenSSL import SSL

import pinverify
import pyopenssl_connections as pyopenssl
from optional import client_library
from pinverify import PinningError, PinSet, Policy, Reason, Report, pin_context
from pinverify.headers import PinnedASGI, PinnedWSGI, Proxy
from pinverify.policy import Mode
from pinverify.tls import _events
from pinverify.tls._policy_in_force import in_force
from pinverify.tls.pyopenssl import pin_connection, verify
from pki import Identity, Pki
from policy_samples import ABSENT
from tls_clients import (
    SECRET,
    Serve,
    client_of,
    connect,
    converse,
    later,
    session_of,
    trusting,
)
from tls_dialogues import Dialogues
from tls_servers import MemoryLink, client_context, server_context

__all__: list[str] = []

LOG = "pinverify"


class Interrupting:
    """A callback that raises what Ctrl-C raises."""

    def __init__(self) -> None:
        """Begin without a report."""
        self.told: list[Report] = []

    def __call__(self, report: Report) -> None:
        """Keep the report, and raise."""
        self.told.append(report)
        raise KeyboardInterrupt


def pinned_server(
    pki: Pki, clients: PinSet, on_report: Callable[[Report], object]
) -> ssl.SSLContext:
    """Make a context for servers that pins its clients."""
    context = server_context(pki.server, client_authority=pki.root)
    return pin_context(context, clients, on_report=on_report)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of our log."""
    return [r.getMessage() for r in caplog.records if r.name == LOG]


# ---- what is told ------------------------------------------------------------


def test_pitfall_45_a_server_tells_of_a_refused_client(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """Event loops drop the error of a refused client, so the event must name it."""
    told: list[Report] = []
    server = pinned_server(pki, PinSet(leaf=[pki.client.pin]), told.append)
    dialogue(client_of(pki, pki.client), server).accepted()
    assert (told, lines(caplog)) == ([], [])
    assert dialogue(client_of(pki, pki.stranger), server).refused() is Reason.MISMATCH
    assert len(told) == 1
    report = told[0]
    assert not report.accepted
    assert report.side == "client"
    assert report.peer == pki.stranger.der
    assert report.resumed is False
    assert report.host is None
    assert len(lines(caplog)) == 1
    line = lines(caplog)[0]
    assert line.startswith("rejected: client MISMATCH ")
    assert f"key={pki.stranger.pin} subject='CN=" in line
    assert f"policy={report.digest.hex()[:16]}" in line


def test_pitfall_45_report_mode_names_each_client(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """The list of unknown clients is what a roll-out in report mode is for."""
    told: list[Report] = []
    server = pinned_server(pki, PinSet(leaf=[ABSENT], mode="report"), told.append)
    clients = [pki.client, pki.stranger, pki.ca.leaf("c.example", purpose="client")]
    for client in clients * 2:
        dialogue(client_of(pki, client), server).accepted()
    assert [report.peer for report in told] == [one.der for one in clients] * 2
    assert all(report.accepted for report in told)
    logged = lines(caplog)
    assert len(logged) == 3
    for client, line in zip(clients, logged, strict=True):
        assert line.startswith("accepted without a match: client MISMATCH ")
        assert client.pin in line


def test_a_client_tells_of_a_refused_server(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """Early rejections, and those at the end, are told once."""
    told: list[Report] = []
    context = trusting(pki)
    policy = Policy({"localhost": [pki.server.pin]})
    pin_context(context, policy, on_report=told.append)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        del told[:]
        impostor = server_context(pki.impostor, version=version)
        assert dialogue(context, impostor).refused() is Reason.MISMATCH
        [report] = told
        assert (report.side, report.peer) == ("server", pki.impostor.der)
    [line] = lines(caplog)
    assert "rejected: server MISMATCH" in line
    assert "host=localhost rule=localhost" in line


def test_every_kind_of_rejection_is_told_once(pki: Pki) -> None:
    """Also those that no policy decides: no certificate, a bad name, a fault."""
    told: list[Report] = []
    context = trusting(pki)
    server = server_context(pki.server)
    pin_context(context, Policy({"localhost": [ABSENT]}), on_report=told.append)
    context.check_hostname = False

    def refused(link: MemoryLink) -> Reason:
        for _ in range(2):
            with pytest.raises(PinningError):
                converse(link)
        return told.pop().reason

    assert refused(MemoryLink(context, server)) is Reason.MISMATCH
    assert refused(MemoryLink(context, server, server_hostname=None)) is Reason.BAD_HOST
    pin_context(context, Policy({}, unpinned="reject"), on_report=told.append)
    assert refused(MemoryLink(context, server)) is Reason.NOT_PINNED
    blocked = Policy({}, blocked=[pki.server.pin])
    pin_context(context, blocked, on_report=told.append)
    assert refused(MemoryLink(context, server)) is Reason.BLOCKED
    assert told == []
    mtls = pinned_server(pki, PinSet(leaf=[ABSENT]), told.append)
    mtls.verify_mode = ssl.CERT_OPTIONAL
    link = MemoryLink(client_context(pki.root), mtls)
    with pytest.raises(PinningError):
        converse(link)
    assert [report.reason for report in told] == [Reason.NO_CERTIFICATE]
    assert told[0].peer is None


def test_plain_matches_and_hosts_without_pins_are_no_events(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever gets an event has something to do."""
    told: list[Report] = []
    context = trusting(pki)
    for policy in (Policy({"localhost": [pki.server.pin]}), Policy({})):
        pin_context(context, policy, on_report=told.append)
        dialogue(context, server_context(pki.server)).accepted()
    assert (told, lines(caplog)) == ([], [])


def test_pyopenssl_tells_once_of_what_it_refuses(
    pki: Pki, serve: Serve, caplog: pytest.LogCaptureFixture, version: ssl.TLSVersion
) -> None:
    """In the verify callback, and after the handshake where there was none."""
    server = serve(server_context(pki.impostor, version=version))
    address = None
    for mode in (SSL.VERIFY_PEER, SSL.VERIFY_NONE):
        told: list[Report] = []
        context = pyopenssl.trusting(pki.root, pki.rogue_root, mode=mode)
        with pyopenssl.connecting(
            context, server, pyopenssl.pinning(pki), on_report=told.append
        ) as conn:
            address = conn.getpeername()
            for _ in range(2):
                with pytest.raises(PinningError):
                    conn.send(SECRET)
        [report] = told
        assert (report.side, report.peer) == ("server", pki.impostor.der)
        assert report.peer_address == address
    [line] = lines(caplog)
    assert address is not None
    assert f"address={address[0]}:{address[1]}" in line


def test_a_socket_tells_the_address_of_its_peer(
    pki: Pki, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    """A socket knows it until it is closed, so it is read before that."""
    told: list[Report] = []
    context = pin_context(
        trusting(pki), Policy({"localhost": [ABSENT]}), on_report=told.append
    )
    server = serve(server_context(pki.server))
    plain = server.connect()
    address = plain.getpeername()
    with plain, pytest.raises(PinningError):
        context.wrap_socket(plain, server_hostname="localhost")
    assert [report.peer_address for report in told] == [address]
    assert f" address=127.0.0.1:{address[1]} " in lines(caplog)[0]


# ---- callbacks that raise ----------------------------------------------------


def test_a_callback_that_raises_hides_no_rejection(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """The rejection is raised, and the exception of the callback goes with it."""
    failed = RuntimeError("no disk\n\x1b[2J")
    told: list[Report] = []

    def failing(report: Report) -> None:
        told.append(report)
        raise failed

    server = pinned_server(pki, PinSet(leaf=[ABSENT]), failing)
    result = dialogue(client_of(pki, pki.client), server)
    assert result.refused() is Reason.MISMATCH
    assert result.error is not None
    assert result.error.__context__ is failed
    assert "no disk" in result.error.__notes__[0]
    assert len(told) == 1
    assert "failed: RuntimeError('no disk" in lines(caplog)[1]
    assert all(line.isprintable() for line in lines(caplog))


def test_a_callback_that_refuses_an_acceptance_is_called_once(
    pki: Pki, dialogue: Dialogues, caplog: pytest.LogCaptureFixture
) -> None:
    """It has been told of this connection; the log tells of the rejection."""
    told: list[Report] = []

    def refusing(report: Report) -> None:
        told.append(report)
        msg = "not this one"
        raise LookupError(msg)

    server = pinned_server(pki, PinSet(leaf=[ABSENT], mode="report"), refusing)
    result = dialogue(client_of(pki, pki.client), server)
    assert result.refused() is Reason.NOT_CHECKED
    assert [report.accepted for report in told] == [True]
    assert isinstance(result.error, PinningError)
    assert isinstance(result.error.__cause__, LookupError)
    [line] = lines(caplog)
    assert "rejected: client NOT_CHECKED" in line
    assert "on_report raised LookupError('not this one'); a callback that" in line


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_ctrl_c_in_a_callback_ends_the_connection(pki: Pki, mode: Mode) -> None:
    """A connection that the callback interrupted is neither PENDING nor usable."""
    callback = Interrupting()
    policy = Policy({"localhost": PinSet([ABSENT], mode=mode)})
    context = pin_context(trusting(pki), policy, on_report=callback)
    link = MemoryLink(context, server_context(pki.server))
    with pytest.raises(KeyboardInterrupt):
        converse(link)
    for _ in range(2):
        with pytest.raises(PinningError):
            link.client.write(SECRET)
        with pytest.raises(PinningError):
            link.client.do_handshake()
    link.exchange()
    assert link.application == b""
    assert len(callback.told) == 1


@pytest.mark.parametrize("mode", ["enforce", "report"])
def test_ctrl_c_in_a_callback_ends_a_pyopenssl_connection(
    pki: Pki, serve: Serve, mode: Mode
) -> None:
    """The same for the other adapter."""
    callback = Interrupting()
    server = serve(server_context(pki.server))
    policy = Policy({"localhost": PinSet([ABSENT], mode=mode)})
    with pyopenssl.connecting(
        pyopenssl.for_clients(pki), server, policy, on_report=callback
    ) as conn:
        with pytest.raises(KeyboardInterrupt):
            conn.send(SECRET)
        with pytest.raises(PinningError):
            conn.send(SECRET)
    assert len(callback.told) == 1
    pyopenssl.assert_nothing_said(server.record())


def test_a_filter_of_the_log_that_raises_hides_no_rejection(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log is the application's, and anything in it may fail."""

    def broken(record: logging.LogRecord) -> bool:
        raise LookupError(record.name)

    monkeypatch.setattr(logging.getLogger(LOG), "filters", [broken])
    told: list[Report] = []
    context = pin_context(
        trusting(pki), Policy({"localhost": [ABSENT]}), on_report=told.append
    )
    link = MemoryLink(context, server_context(pki.server))
    with pytest.raises(PinningError):
        converse(link)
    assert len(told) == 1


# ---- the log -----------------------------------------------------------------


def one_report(pki: Pki, number: int = 0) -> Report:
    """Return the report of a rejection; each *number* is another peer."""
    return Policy({}, unpinned="reject").evaluate(
        f"h{number}.example", [pki.client.der]
    )


TOLD = [
    *("accepted", "chain", "detail", "digest", "host", "peer", "peer_address"),
    *("reason", "rule", "side"),
]


def like(report: Report, **change: Any) -> Any:  # noqa: ANN401
    """Return a report that differs from another in some fields."""
    fields = {name: getattr(report, name) for name in TOLD}
    return SimpleNamespace(**fields | change)


def test_a_peer_is_logged_once_a_minute_with_the_number_held_back() -> None:
    """A client that tries again all day does not fill the disk."""
    limit = _events.Limit()
    admitted = [limit.admit("one", float(second)) for second in range(0, 130, 10)]
    said = [held for held in admitted if held is not None]
    assert [held.alike for held in said] == [0, 5, 5]
    assert limit.admit("two", 1.0) == (0, 0)


def test_events_that_differ_are_not_held_back(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An acceptance is told though a rejection was, and what another policy says."""
    monkeypatch.setattr(_events, "limit", _events.Limit())
    report = one_report(pki)
    others: list[dict[str, Any]] = [
        {"accepted": not report.accepted},
        {"digest": bytes(32)},
        {"host": "other.example"},
        {"host": None},
        {"host": None, "chain": ("another key",)},
        {"reason": Reason.BLOCKED},
        {"side": "other"},
    ]
    for change in [{}, *others]:
        for _ in range(2):
            _events.log(like(report, **change))
    assert len(lines(caplog)) == 1 + len(others)


def test_strangers_with_new_keys_do_not_fill_the_log() -> None:
    """Anybody can make keys; what is not logged is counted."""
    limit = _events.Limit()
    size = _events.PEERS_MAX
    admitted = [limit.admit(key, 0.0) for key in range(2 * size)]
    assert sum(held is not None for held in admitted) == size
    later = limit.admit("later", 61.0)
    assert later == (0, size)
    assert len(limit.entries) == size
    assert limit.admit(0, 61.0) == (0, 0)


def test_threads_at_the_limit_raise_nothing() -> None:
    """There is no lock to hold; the numbers may be wrong, an exception may not be."""
    limit = _events.Limit()
    failed: list[BaseException] = []

    def fill(start: int) -> None:
        try:
            for number in range(20_000):
                limit.admit(start + number, number / 10)
        except BaseException as error:  # noqa: BLE001 - of any kind
            failed.append(error)

    threads = [threading.Thread(target=fill, args=(7 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []


def named(common_name: str, pki: Pki) -> Identity:
    """Return a client whose subject is its own choice."""
    return pki.ca.leaf("x.example", common_name=common_name, purpose="client")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J", "\u202eevil", "q'\"", "x" * 64])
def test_a_subject_cannot_break_out_of_its_line(pki: Pki, name: str) -> None:
    """A log line that a peer wrote would lie about others."""
    client = named(name, pki)
    server = pinned_server(pki, PinSet(leaf=[ABSENT]), print)
    link = MemoryLink(client_of(pki, client), server)
    with pytest.raises(PinningError) as caught:
        converse(link)
    line = str(_events.Line(caught.value.report, _events.Held(3, 4)))
    assert line.isprintable()
    assert len(line) < 500
    assert line.endswith("(3 more like it held back) (4 of other peers held back)")


def test_a_detail_cannot_look_like_a_field_of_its_line(pki: Pki) -> None:
    """Programs that read lines split them at blanks that are in no quotes."""
    report = one_report(pki)
    for detail in ("why host=other.example policy=00", "'why' rule=all", "\"'\\ key=1"):
        line = str(_events.Line(like(report, detail=detail), _events.Held(0, 0)))
        assert f" detail={detail!r} policy=" in line
        plain = str(_events.Line(report, _events.Held(0, 0)))
        assert line.replace(f" detail={detail!r}", "") == plain


def test_the_text_of_a_line_is_made_for_a_handler_alone(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without one, a handshake does not pay for it."""
    caplog.set_level(logging.ERROR, LOG)
    monkeypatch.setattr(_events.Line, "__str__", lambda _: pytest.fail("made"))
    _events.log(one_report(pki))


# ---- reports -----------------------------------------------------------------


def test_a_report_of_a_connection_is_a_plain_value(pki: Pki) -> None:
    """It pickles, compares and shows what it says about the connection."""
    told: list[Report] = []
    server = pinned_server(pki, PinSet(leaf=[ABSENT], mode="report"), told.append)
    link = MemoryLink(client_of(pki, pki.client), server)
    converse(link)
    [report] = told
    again = pickle.loads(pickle.dumps(report))  # noqa: S301 - ours
    assert again == report
    assert hash(again) == hash(report)
    assert again.peer == pki.client.der
    assert "side='client', peer_address=None, resumed=False" in repr(report)
    plain = Policy.for_clients(PinSet(leaf=[ABSENT], mode="report"))
    without = plain.evaluate(None, [pki.client.der])
    assert (without.side, without.peer) == (None, None)
    assert (without.peer_address, without.resumed) == (None, None)
    assert without != report


# ---- the text ----------------------------------------------------------------


def test_pitfall_43_a_resumed_session_is_not_called_an_interception(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Nobody saw its chain, so its key need not have changed."""
    server = serve(server_context(pki.server, version=version))
    context = trusting(pki)
    session = session_of(context, server)
    for pinset in (PinSet(ca=[pki.ca.pin]), PinSet([pki.ca.pin])):
        pin_context(context, Policy({"localhost": pinset}))
        with (
            later(context, server, session=session) as tls,
            pytest.raises(PinningError) as caught,
        ):
            tls.sendall(SECRET)
        text = str(caught.value)
        told = "'localhost' was not checked: a resumed session shows no chain"
        assert text.startswith(told)
        assert "the key need not have changed" in text
        assert "connect again without the session" in text
        assert "intercepted" not in text
    pin_context(context, Policy({"localhost": PinSet(leaf=[ABSENT])}))
    with (
        later(context, server, session=session) as tls,
        pytest.raises(PinningError, match="intercepted"),
    ):
        tls.sendall(SECRET)


def test_pitfall_49_a_rejection_says_where_the_chain_ends(
    pki: Pki, serve: Serve
) -> None:
    """A store with the intermediate hides the root, and a pin of the root fails."""
    server = serve(server_context(pki.server))
    context = client_context(pki.ca)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    pin_context(context, Policy({"localhost": [pki.root.pin]}))
    with pytest.raises(PinningError) as caught:
        connect(context, server)
    name = pki.ca.certificate.subject.rfc4514_string()
    assert f"ends:    at {name}, which the trust store holds" in str(caught.value)
    pin_context(context, Policy({"localhost": PinSet(leaf=[ABSENT])}))
    with pytest.raises(PinningError) as caught:
        connect(context, server)
    assert "ends:" not in str(caught.value)  # a root would not help here


# ---- callbacks that would never run ------------------------------------------


async def _awaited(_: Report) -> None:
    """Never run: nobody awaits it."""


class _Awaited:
    async def __call__(self, _: Report) -> None:
        """Never run, either."""

    async def method(self, _: Report) -> None:
        """Never run, either."""


def _generator(_: Report) -> Iterator[None]:
    yield


async def _async_generator(_: Report) -> AsyncIterator[None]:
    yield


NEVER_RUN: dict[str, Any] = {
    "async def": _awaited,
    "partial": functools.partial(_awaited),
    "partial of a partial": functools.partial(functools.partial(_awaited)),
    "object": _Awaited(),
    "partial of an object": functools.partial(_Awaited()),
    "method": _Awaited().method,
    "generator": _generator,
    "async generator": _async_generator,
    "AsyncMock": unittest.mock.AsyncMock(),
}
RUN: list[Any] = [
    [].append,
    print,
    functools.partial(print, "peer:"),
    unittest.mock.Mock(),
    Interrupting(),
    lambda _: None,
]

TAKEN: dict[str, Callable[[PinSet, Any], object]] = {
    "pin_context": lambda pins, on_report: pin_context(
        ssl.create_default_context(), pins, on_report=on_report
    ),
    "install": lambda pins, on_report: pinverify.install(pins, on_report=on_report),
    "create_connection": lambda pins, on_report: pinverify.create_connection(
        ("localhost", 9), pins, on_report=on_report
    ),
    "wrap_socket": lambda pins, on_report: pinverify.wrap_socket(
        cast("Any", "no socket"), pins, server_hostname="localhost", on_report=on_report
    ),
    "check": lambda pins, on_report: pinverify.check(
        "localhost:9", pins, on_report=on_report
    ),
    "pyOpenSSL": lambda pins, on_report: pin_connection(
        SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None),
        pins,
        host="localhost",
        on_report=on_report,
    ),
    "pyOpenSSL afterwards": lambda pins, on_report: verify(
        SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None),
        pins,
        on_report=on_report,
    ),
    "Twisted": lambda pins, on_report: client_library(
        "pinverify.tls.twisted"
    ).PinnedConnectionCreator("localhost", pins, on_report=on_report),
    "Twisted's Agent": lambda pins, on_report: client_library(
        "pinverify.tls.twisted"
    ).PinnedPolicyForHTTPS(pins, on_report=on_report),
    "requests": lambda pins, on_report: client_library(
        "pinverify.tls.requests"
    ).PinnedAdapter(pins, on_report=on_report),
    "headers (ASGI)": lambda pins, on_report: PinnedASGI(
        cast("Any", _awaited),
        pins,
        Proxy("rfc9440", peers=["unix"]),
        on_report=on_report,
    ),
    "headers (WSGI)": lambda pins, on_report: PinnedWSGI(
        cast("Any", _generator),
        pins,
        Proxy("rfc9440", peers=["unix"]),
        on_report=on_report,
    ),
}


@pytest.mark.parametrize("taken", TAKEN)
@pytest.mark.parametrize("callback", NEVER_RUN)
def test_pitfall_66_a_callback_that_never_runs_is_refused_at_once(
    taken: str, callback: str
) -> None:
    """A roll-out in report mode that tells nobody looks like one without a fault."""
    with pytest.raises(TypeError, match=r"on_report: .* would never run"):
        TAKEN[taken](PinSet([ABSENT]), NEVER_RUN[callback])


def test_pitfall_66_whatever_runs_is_taken() -> None:
    """Functions, methods, partials and objects, of C and of Python."""
    for callback in RUN:
        assert in_force(PinSet([ABSENT]), callback).on_report is callback
