"""Pins for the client connections of a process: `install` and `uninstall`."""

from __future__ import annotations

import contextlib
import datetime as dt
import multiprocessing
import os
import socket
import ssl
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

import pinverify
from connection_states import has_passed
from pinverify import (
    UNPINNED,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    Rules,
    create_connection,
    install,
    pin_context,
    report_of,
    uninstall,
)
from pinverify.tls import _policy_in_force, _process_wide
from pki import Pki
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    assert_refused,
    client_of,
    connect,
    converse,
    echo,
    later,
    pinning,
    reason,
    trusting,
)
from tls_servers import MemoryLink, new_socket, server_context

__all__: list[str] = []


@contextlib.contextmanager
def installing(policy: Policy | PinSet, **options: Any) -> Iterator[None]:  # noqa: ANN401
    """Pin the process for a while."""
    install(policy, **options)
    try:
        yield
    finally:
        uninstall()


@pytest.mark.usefixtures("installed")
def test_pitfall_17_install_reaches_a_context_that_nobody_pinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A library that makes its own context is reached, and no server is."""
    with connect(
        trusting(pki), serve(server_context(pki.server, version=version))
    ) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(trusting(pki), impostor)
    uninstall()
    with connect(trusting(pki), impostor) as tls:
        echo(tls)


@pytest.mark.usefixtures("installed")
def test_a_context_with_pins_of_its_own_keeps_them_beside_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """pin_context() works on a process with install(), and its policy rules."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, PinSet(pins=[pki.impostor.pin]))
    with connect(context, server) as tls:
        echo(tls)
    address = ("localhost", server.port)
    pins = PinSet(ca=[pki.rogue_ca.pin])
    with create_connection(address, pins, context=trusting(pki)) as tls:
        echo(tls)
    assert_refused(trusting(pki), server, record=2)
    uninstall()
    pin_context(context, pinning(pki))
    assert_refused(context, server, record=3)


@pytest.mark.usefixtures("installed")
def test_pins_for_one_connection_do_not_lift_those_of_install(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """create_connection() leaves a context as it found it, here pinned by install."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    address = ("localhost", server.port)
    create_connection(address, PinSet(pins=[pki.impostor.pin]), context=context).close()
    assert_refused(context, server, record=1)
    with pytest.raises(PinningError):  # nor where the handshake is not left for later
        connect(context, server)


@pytest.mark.usefixtures("installed")
def test_a_second_install_replaces_the_policy(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Also for contexts that are there already."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    assert_refused(context, server)
    install(Policy({"localhost": [pki.impostor.pin]}))
    with connect(context, server) as tls:
        echo(tls)


def test_use_replaces_the_policy_and_keeps_what_install_was_told(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """The callback and the choice about names; what is no policy changes nothing."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki)
    told: list[Report] = []
    pins = install(pinning(pki), on_report=told.append, nameless="allow")
    try:
        assert_refused(context, server)
        bad: Any = "sha256/"
        with pytest.raises(TypeError):
            pins.use(bad)
        assert_refused(context, server, record=1)
        pins.use(Policy({"localhost": [pki.impostor.pin]}))
        with connect(context, server) as tls:
            echo(tls)
        rejecting = _policy_in_force.installed[0].in_force
        assert rejecting is not None
        assert not rejecting.rejects_nameless
        pins.use(pinning(pki))
        assert_refused(context, server, record=3)
        assert [report.reason for report in told] == [Reason.MISMATCH] * 3
    finally:
        uninstall()
    with pytest.raises(ValueError, match="not installed any more"):
        pins.use(pinning(pki))
    assert not _policy_in_force.installed


def test_an_install_that_fails_leaves_nothing_behind(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of it would check some connections, and nobody could undo it."""
    before = dict(vars(ssl.SSLContext))
    installed: list[bool] = []

    def fail(*_: object) -> None:
        installed.append(dict(vars(ssl.SSLContext)) != before)
        raise KeyboardInterrupt

    monkeypatch.setattr(_process_wide, "_try_once", fail)
    with pytest.raises(KeyboardInterrupt):
        install(pinning(pki))
    assert installed == [True]
    assert dict(vars(ssl.SSLContext)) == before
    assert not _policy_in_force.installed


def test_install_tells_of_report_mode(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """A process on trial hears what it would have refused."""
    told: list[Report] = []
    on_trial = Policy({"localhost": PinSet([pki.server.pin], mode="report")})
    server = serve(server_context(pki.impostor, version=version))
    with (
        installing(on_trial, on_report=told.append),
        connect(trusting(pki), server) as tls,
    ):
        echo(tls)
    assert [report.reason for report in told] == [Reason.MISMATCH]


# ---- contexts and classes of other libraries -------------------------------------


class _OwnSocket(ssl.SSLSocket):
    """A class of another library."""


class _OwnObject(ssl.SSLObject):
    """A class of another library."""


class _OwnClasses(ssl.SSLContext):
    """Contexts of another library, with classes of their own."""

    sslsocket_class = _OwnSocket
    sslobject_class = _OwnObject


class _OwnMethods(ssl.SSLContext):
    """Contexts that ask for no class of a context."""

    def wrap_socket(self, sock: Any, **how: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        return ssl.SSLSocket._create(sock=sock, context=self, **how)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001

    def wrap_bio(self, *buffers: Any, **how: Any) -> ssl.SSLObject:  # noqa: ANN401
        return ssl.SSLObject._create(*buffers, context=self, **how)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


def _plain() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _own_classes_on_the_context() -> ssl.SSLContext:
    context = _plain()
    context.sslsocket_class = _OwnSocket
    context.sslobject_class = _OwnObject
    return context


KINDS: dict[str, Callable[[], ssl.SSLContext]] = {
    "plain": _plain,
    "classes on the context": _own_classes_on_the_context,
    "classes on a subclass": lambda: _OwnClasses(ssl.PROTOCOL_TLS_CLIENT),
    "methods of a subclass": lambda: _OwnMethods(ssl.PROTOCOL_TLS_CLIENT),
}


@pytest.mark.parametrize("made", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_pitfall_33_install_reaches_contexts_and_classes_of_other_libraries(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, kind: str, made: str
) -> None:
    """Made before or after, in each form of a connection; the control first."""

    def context() -> ssl.SSLContext:
        context = KINDS[kind]()
        context.load_verify_locations(cadata=pki.trust_pem)
        return context

    server = serve(server_context(pki.impostor, version=version))
    early = context()
    with connect(context(), server) as tls:
        echo(tls)
    with installing(pinning(pki)):
        client = early if made == "before" else context()
        with pytest.raises(PinningError):
            connect(client, server)
        with later(client, server) as tls, pytest.raises(PinningError):
            tls.sendall(SECRET)
        with (
            client.wrap_socket(new_socket(), server_hostname="localhost") as tls,
            pytest.raises(PinningError),
        ):
            tls.connect(server.address)
        for record in (1, 2, 3):
            assert_nothing_said(server.record(record))
        link = MemoryLink(client, server_context(pki.impostor, version=version))
        with pytest.raises(PinningError):
            link.run(lambda: link.client.write(SECRET))
        assert link.application == b""
        right = serve(server_context(pki.server, version=version))
        with connect(client, right) as tls:
            echo(tls)
            own = _OwnSocket if "classes" in kind else ssl.SSLSocket
            assert isinstance(tls, own)
    with connect(early, server) as tls:
        echo(tls)


@pytest.mark.usefixtures("installed")
def test_pitfall_33_nothing_is_sent_in_clear_on_a_socket_wrapped_before_connect(
    pki: Pki, serve: Serve
) -> None:
    """After a connect() whose handshake fails, ssl would go on in plain text."""
    server = serve(server_context(pki.server))
    trusts_nobody = ssl.create_default_context()
    with trusts_nobody.wrap_socket(new_socket(), server_hostname="localhost") as tls:
        assert hasattr(tls, "pin_report")
        with pytest.raises(ssl.SSLCertVerificationError):
            tls.connect(server.address)
        with pytest.raises(OSError, match=r"Bad file|not established"):
            tls.sendall(SECRET)
    assert_nothing_said(server.record())


class _Reclassifies(ssl.SSLContext):
    """Replaces the class of a connection after its creation, as eventlet does."""

    def wrap_socket(self, *things: Any, **how: Any) -> ssl.SSLSocket:  # noqa: ANN401
        tls = super().wrap_socket(*things, **how)
        tls.__class__ = _OwnSocket
        return tls


def test_pitfall_33_a_context_that_escapes_cannot_connect(
    pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each connection is refused by name; and so is `install` if it is everywhere."""
    server = serve(server_context(pki.impostor))
    context = _Reclassifies(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    with connect(context, server) as tls:
        echo(tls)
    with installing(pinning(pki)):
        for record in (1, 2):
            with pytest.raises(TypeError, match="_Reclassifies does not make its"):
                connect(context, server)
            assert_nothing_said(server.record(record))
    monkeypatch.setattr(ssl, "SSLContext", _Reclassifies)
    with pytest.raises(TypeError, match="_Reclassifies does not make its"):
        install(pinning(pki))
    monkeypatch.undo()
    assert "_wrap_socket" not in vars(ssl.SSLContext)
    with connect(trusting(pki), server) as tls:
        echo(tls)


def test_pitfall_33_a_class_that_was_changed_since_is_tried_again(
    pki: Pki, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look under an earlier install says nothing about this one."""

    class Own(ssl.SSLContext):
        pass

    def reclassifying(self: Own, *things: Any, **how: Any) -> ssl.SSLSocket:  # noqa: ANN401
        tls = super(Own, self).wrap_socket(*things, **how)
        tls.__class__ = _OwnSocket
        return tls

    server = serve(server_context(pki.server))
    context = Own(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    with installing(pinning(pki)), connect(context, server) as tls:
        echo(tls)
    monkeypatch.setattr(Own, "wrap_socket", reclassifying, raising=False)
    other = Own(ssl.PROTOCOL_TLS_CLIENT)
    other.load_verify_locations(cadata=pki.trust_pem)
    with (
        installing(pinning(pki)),
        pytest.raises(TypeError, match="Own does not make its"),
    ):
        connect(other, server)


class _AlwaysShakesHands(ssl.SSLContext):
    """Leaves no handshake for later."""

    def wrap_socket(self, sock: Any, **how: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        return super().wrap_socket(sock, **how | {"do_handshake_on_connect": True})


class _OtherArguments(ssl.SSLContext):
    """Takes fewer arguments than that of ssl."""

    def wrap_socket(self, sock: Any, server_hostname: str) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        return super().wrap_socket(sock, server_hostname=server_hostname)


@pytest.mark.parametrize("kind", [_AlwaysShakesHands, _OtherArguments])
def test_pitfall_33_a_context_that_cannot_be_tried_is_named(
    pki: Pki, serve: Serve, kind: type[ssl.SSLContext]
) -> None:
    """The error tells that it is about pins, and of which class."""
    context = kind(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    server = serve(server_context(pki.impostor))
    with connect(context, server) as tls:
        echo(tls)
    with installing(pinning(pki)):
        with pytest.raises((TypeError, ValueError)) as caught:  # also those of ssl
            connect(context, server)
        said = str(caught.value)
        assert f"{kind.__name__} cannot be tried by install(), which pins" in said
        assert isinstance(caught.value, TypeError)
        assert caught.value.__cause__ is not None
    assert_nothing_said(server.record(1))


def test_pitfall_33_urllib3_over_pyopenssl_is_refused_by_name(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections are not of ssl; the error says how to undo that."""
    injected = types.ModuleType("urllib3.util")
    injected.IS_PYOPENSSL = True  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "urllib3.util", injected)
    with pytest.raises(TypeError, match=r"extract_from_urllib3\(\)"):
        install(pinning(pki))
    injected.IS_PYOPENSSL = False  # type: ignore[attr-defined]
    with installing(pinning(pki)):
        assert "_wrap_socket" in vars(ssl.SSLContext)


def test_uninstall_brings_everything_back() -> None:
    """A second call of install() changes the policy alone."""
    before = dict(vars(ssl.SSLContext))
    for pins in ("A", "E"):
        install(PinSet([f"sha256/{pins * 43}="]))
    assert dict(vars(ssl.SSLContext)) != before
    uninstall()
    assert dict(vars(ssl.SSLContext)) == before
    uninstall()
    assert dict(vars(ssl.SSLContext)) == before


# ---- threads that make the first connections of a context ------------------------


@pytest.mark.parametrize("kind", ["socket", "object"])
def test_pitfall_72_the_second_first_connection_of_a_context_is_judged(
    pki: Pki, kind: str
) -> None:
    """Another thread guards the context when the methods of this one are looked up."""
    context = trusting(pki)
    impostor = server_context(pki.impostor)
    entries = set()

    def first(frame: types.FrameType, _event: str, _arg: object) -> None:
        if frame.f_code in entries:
            sys.settrace(None)
            with pytest.raises(PinningError):
                converse(MemoryLink(context, impostor))

    def second() -> ssl.SSLSocket | MemoryLink:
        if kind == "object":
            return MemoryLink(context, impostor)
        ours, _theirs = pair
        return context.wrap_socket(
            ours, server_hostname="localhost", do_handshake_on_connect=False
        )

    pair = socket.socketpair()
    with installing(pinning(pki)), pair[0], pair[1]:
        methods: Any = vars(ssl.SSLContext)
        entries |= {methods[name].__code__ for name in ("_wrap_socket", "_wrap_bio")}
        sys.settrace(first)
        try:
            made = second()
        finally:
            sys.settrace(None)
        tls = made.client if isinstance(made, MemoryLink) else made
        assert not has_passed(tls)
        if isinstance(made, MemoryLink):
            with pytest.raises(PinningError):
                converse(made)
        if isinstance(tls, ssl.SSLSocket):
            tls.close()


def test_pitfall_72_a_connection_from_before_install_is_not_taken_for_judged(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is made while another thread calls `install` has to be made again."""
    context = trusting(pki)
    installed = _policy_in_force.installed
    make = vars(_process_wide)["_make"]

    def late(*how: Any) -> Any:  # noqa: ANN401
        made = make(*how)
        installed.extend(rules)
        return made

    rules: list[Any] = []
    monkeypatch.setattr(_process_wide, "_make", late)
    with installing(pinning(pki)):
        rules += installed
        installed.clear()
        ours, theirs = socket.socketpair()
        with ours, theirs, pytest.raises(OSError, match="connect again"):
            context.wrap_socket(
                ours, server_hostname="localhost", do_handshake_on_connect=False
            )


# ---- servers ---------------------------------------------------------------------


class _Notes(ssl.SSLContext):
    """Notes the options in force while a C object is created."""

    noted: ssl.Options

    def _wrap_bio(self, *buffers: Any, **how: Any) -> Any:  # noqa: ANN401
        self.noted = self.options
        return super()._wrap_bio(*buffers, **how)  # type: ignore[misc]


def test_pitfall_34_install_leaves_servers_alone(pki: Pki) -> None:
    """Class, renegotiation and later authentication are as the application set them."""
    context = _Notes(ssl.PROTOCOL_TLS_SERVER)
    pki.server.load_into(context)
    context.load_verify_locations(cadata=pki.root.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    context.post_handshake_auth = True
    context.options &= ~ssl.OP_NO_RENEGOTIATION
    client = client_of(pki, pki.client)
    client.post_handshake_auth = True
    client.options &= ~ssl.OP_NO_RENEGOTIATION
    with installing(pinning(pki)):
        link = MemoryLink(client, context)
        assert type(link.server) is ssl.SSLObject
        assert type(context) is _Notes
        assert not context.noted & ssl.OP_NO_RENEGOTIATION
        converse(link)
        link.server.verify_client_post_handshake()
        link.server.write(b"who are you?")
        link.exchange()
        assert link.client.read(100) == b"who are you?"  # and answers that
        converse(link)
        assert link.server.getpeercert(binary_form=True) == pki.client.der
        # The context of a client may serve as well: its options are as they were.
        assert not client.options & ssl.OP_NO_RENEGOTIATION
        with _Serving(context) as tls:
            assert type(tls) is ssl.SSLSocket


def test_install_leaves_the_servers_of_a_context_for_both_sides_alone(pki: Pki) -> None:
    """A context that has made a connection of a client is guarded, and may serve."""
    with pytest.warns(DeprecationWarning, match="PROTOCOL_TLS"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS)
    pki.server.load_into(context)
    context.load_verify_locations(cadata=pki.root.pem)
    context.verify_mode = ssl.CERT_REQUIRED
    with installing(pinning(pki)):
        converse(MemoryLink(context, server_context(pki.server)))
        link = MemoryLink(client_of(pki, pki.client), context)
        assert type(link.server) is ssl.SSLObject
        converse(link)
        assert report_of(link.client) is not None
        assert report_of(link.server) is None
        with _Serving(context) as tls:
            assert type(tls) is ssl.SSLSocket


class _Serving:
    """A server's socket that is not connected."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.tls = context.wrap_socket(new_socket(), server_side=True)

    def __enter__(self) -> ssl.SSLSocket:
        return self.tls

    def __exit__(self, *_error: object) -> None:
        self.tls.close()


def test_pitfall_36_a_client_never_renegotiates_whatever_the_options_were(
    pki: Pki,
) -> None:
    """Options assigned after pinning, on a class whose creation is not ours."""
    for pinned in (True, False):
        context = _Notes(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pki.trust_pem)
        if pinned:
            pin_context(context, pinning(pki))
            context.sslobject_class = _OwnObject
        with contextlib.nullcontext() if pinned else installing(pinning(pki)):
            context.options = ssl.OP_ALL
            link = MemoryLink(context, server_context(pki.server))
            assert context.noted & ssl.OP_NO_RENEGOTIATION
            converse(link)


# ---- connections without a name, and names in other spellings --------------------


def _unnamed(pki: Pki) -> ssl.SSLContext:
    context = trusting(pki)
    context.check_hostname = False
    return context


def _without_a_name(
    pki: Pki, serve: Serve, context: ssl.SSLContext, form: str
) -> PinningError | None:
    """Connect without a name in one of three forms; return the rejection."""
    server = server_context(pki.server)
    try:
        if form == "memory":
            link = MemoryLink(context, server, server_hostname=None)
            link.run(lambda: link.client.write(SECRET))
            assert link.application == SECRET
        else:
            way = connect if form == "socket" else later
            with way(context, serve(server), server_hostname=None) as tls:
                echo(tls)
    except PinningError as error:
        return error
    return None


FORMS = ["socket", "lazy", "memory"]


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_35_a_connection_without_a_name_has_no_pins_under_install(
    pki: Pki, serve: Serve, form: str
) -> None:
    """If nothing is enforced, or the application says so, it is accepted, and reported.

    A context that was pinned on purpose rejects it: no rule could be looked up.
    """
    hosts = {"localhost": [pki.impostor.pin]}
    on_trial = {"localhost": PinSet([pki.impostor.pin], mode="report")}
    for policy, options in (
        (Policy(on_trial), {}),
        (Policy(hosts), {"nameless": "allow"}),
    ):
        told: list[Report] = []
        with installing(policy, on_report=told.append, **options):
            assert _without_a_name(pki, serve, _unnamed(pki), form) is None
        assert [report.reason for report in told] == [Reason.NOT_PINNED]
        assert told[0].accepted
        assert told[0].host == "no-name.invalid"

    pinned = pin_context(_unnamed(pki), Policy(hosts))
    error = _without_a_name(pki, serve, pinned, form)
    assert error is not None
    assert reason(error) is Reason.BAD_HOST


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_56_a_client_without_a_name_says_nothing_where_a_rule_enforces(
    pki: Pki, serve: Serve, form: str, version: ssl.TLSVersion
) -> None:
    """Some libraries give no name, and would send their password to an impostor."""
    server = serve(server_context(pki.impostor, version=version))

    def say(context: ssl.SSLContext) -> bytes:
        if form == "memory":
            impostor = server_context(pki.impostor, version=version)
            link = MemoryLink(context, impostor, server_hostname=None)
            link.run(lambda: link.client.write(SECRET))
            return bytes(link.application)
        way = connect if form == "socket" else later
        with way(context, server, server_hostname=None) as tls:
            echo(tls)
        return SECRET

    assert say(_unnamed(pki)) == SECRET
    told: list[Report] = []
    policy = Policy({"localhost": [pki.server.pin]})
    with (
        installing(policy, on_report=told.append),
        pytest.raises(PinningError) as caught,
    ):
        say(_unnamed(pki))
    assert reason(caught.value) is Reason.BAD_HOST
    if form != "memory":
        assert_nothing_said(server.record(1))
    assert [report.reason for report in told] == [Reason.BAD_HOST]
    with pytest.raises(PinningError) as of_a_context:
        say(pin_context(_unnamed(pki), policy))
    for error in (caught.value, of_a_context.value):
        for way_out in ("gives no name", "PinSet", "SNI", "nameless='allow'"):
            assert way_out in str(error)


def _expired(pin: str, mode: Literal["enforce", "report"] = "enforce") -> PinSet:
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    return PinSet([pin], expires=past, after_expiry="allow", mode=mode)


def test_pitfall_56_one_enforced_rule_is_enough(pki: Pki, serve: Serve) -> None:
    """Rules in report mode, of clients, or without pins enforce nothing for a host."""
    here, trial = [pki.server.pin], PinSet([pki.server.pin], mode="report")
    enforced = PinSet(here)
    for rules, rejected in (
        (Rules({}), False),
        (Rules({"a.example": UNPINNED}), False),
        (Rules({"a.example": trial}), False),
        (Rules({"a.example": _expired(here[0], "report")}), False),
        (Rules({"a.example": trial, "**.b.example": UNPINNED}), False),
        (Rules({"a.example": trial}, clients=enforced), False),
        (Rules({"a.example": trial}, clients=trial), False),
        (Rules({"a.example": trial, "b.example": enforced}, clients=enforced), True),
        (Rules({"a.example": trial, "b.example": enforced}, clients=trial), True),
        (Rules({"a.example": trial, "**.b.example": enforced}), True),
        (Rules({"a.example": trial, "c.example": _expired(here[0])}), True),
    ):
        with installing(Policy(rules)):
            error = _without_a_name(pki, serve, _unnamed(pki), "socket")
        assert (error is not None) is rejected, rules
        if error is not None:
            assert reason(error) is Reason.BAD_HOST


def test_pitfall_56_what_the_application_allows_is_of_one_policy(
    pki: Pki, serve: Serve
) -> None:
    """A later call of `install` says it anew, and cannot lift unpinned="reject"."""
    hosts = {"localhost": [pki.server.pin]}
    with installing(Policy(hosts), nameless="allow"):
        assert _without_a_name(pki, serve, _unnamed(pki), "socket") is None
        install(Policy(hosts))
        assert _without_a_name(pki, serve, _unnamed(pki), "socket") is not None
        install(Policy(hosts, unpinned="reject"), nameless="allow")
        assert _without_a_name(pki, serve, _unnamed(pki), "socket") is not None
        install(PinSet([pki.server.pin]))  # it needs no name
        assert _without_a_name(pki, serve, _unnamed(pki), "socket") is None
        with pytest.raises(ValueError, match="nameless: expected 'allow' or 'reject'"):
            install(Policy(hosts), nameless="Reject")  # type: ignore[arg-type]
    assert not _policy_in_force.installed


@pytest.mark.parametrize("form", FORMS)
def test_pitfall_35_a_connection_without_a_name_is_no_way_around(
    pki: Pki, serve: Serve, form: str
) -> None:
    """It is rejected where hosts without pins are, or if one of its keys is blocked."""
    hosts = {"localhost": PinSet([pki.impostor.pin], mode="report")}
    clients = PinSet([pki.impostor.pin])
    for policy, why in (
        (Policy(hosts, unpinned="reject"), Reason.BAD_HOST),
        (Policy(hosts, blocked=[pki.server.pin]), Reason.BLOCKED),
        (Policy(hosts, blocked=[pki.ca.pin]), Reason.BLOCKED),
        (Policy(Rules(hosts, clients=clients, unpinned="reject")), Reason.BAD_HOST),
        (clients, Reason.MISMATCH),
    ):
        with installing(policy):
            error = _without_a_name(pki, serve, _unnamed(pki), form)
        assert error is not None
        assert reason(error) is why


@pytest.mark.parametrize(
    ("pinned", "asked"),
    [
        ("localhost", "LOCALHOST"),
        ("localhost", "localhost."),
        ("localhost", "localhost.."),
        ("localhost", "localhost "),
        ("localhost", "\uff4cocalhost"),
        ("localhost", "localhost\u3002"),
        ("b\u00fccher.example", "B\u00dcCHER.example"),
        ("b\u00fccher.example", "xn--bcher-kva.example."),
        ("127.0.0.1", "127.1"),
        ("127.0.0.1", "2130706433"),
        ("127.0.0.1", "0x7f000001"),
        ("127.0.0.1", "127.0.0.01"),
        ("127.0.0.1", "127.0.0.1."),
        ("127.0.0.1", "\uff11\uff12\uff17.0.0.1"),
        ("::1", "0:0::1"),
        ("::1", "[::1]"),
        ("fe80::1", "fe80::1%eth0"),
        ("fe80::1", "fe80:0::1%25lo"),
    ],
)
def test_pitfall_35_no_spelling_of_a_pinned_host_escapes_its_rule(
    pki: Pki, pinned: str, asked: str
) -> None:
    """Each is refused by ssl, or meets the rule, or has no canonical form."""
    policy = Policy({pinned: [pki.impostor.pin]}, unpinned="allow")
    for way in ("install", "pin_context"):
        context = _unnamed(pki)
        if way == "pin_context":
            pin_context(context, policy)
        with contextlib.nullcontext() if way == "pin_context" else installing(policy):
            try:
                link = MemoryLink(
                    context, server_context(pki.server), server_hostname=asked
                )
            except (ValueError, UnicodeError):
                continue
            with pytest.raises(PinningError) as caught:
                link.run(lambda link=link: link.client.write(SECRET))  # type: ignore[misc]
            assert reason(caught.value) in {Reason.MISMATCH, Reason.BAD_HOST}
            assert link.application == b""


ODD_NAMES = [
    "fe80::1%eth0",
    "fe80::1%1",
    "db.1",
    "123",
    "10.0.0.256",
    "kafka~0",
    "my-service:8080",
    "*.example",
    "host%20",
    "host,name",
    "[::1]",
    "10.0.0.1.2",
    "node 7",
    "a..b",
    "::1:z",
    "+1.2.3",
    "(none)",
    "S7.service.V3.319",
    255 * "n",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_pitfall_57_a_name_that_no_rule_can_mean_has_no_pins_under_install(
    pki: Pki, serve: Serve, name: str
) -> None:
    """It is accepted where hosts without pins are, and reported, in each form.

    A policy that rejects hosts without pins rejects it, and so does `pin_context`.
    """
    as_bytes: Any = name.encode()  # as text ssl refuses some of them
    hosts = {"api.example.com": [pki.impostor.pin], "**.b.example": [pki.impostor.pin]}

    def say(context: ssl.SSLContext, form: str) -> bytes:
        # In TLS 1.2 a rejection over memory buffers comes early.
        version = ssl.TLSVersion.TLSv1_2 if form == "memory" else None
        server = server_context(pki.server, version=version)
        if form == "memory":
            link = MemoryLink(context, server, server_hostname=as_bytes)
            link.run(lambda: link.client.write(SECRET))
            return bytes(link.application)
        way = connect if form == "socket" else later
        with way(context, serve(server), server_hostname=as_bytes) as tls:
            echo(tls)
        return SECRET

    for form in FORMS:
        assert say(_unnamed(pki), form) == SECRET
        told: list[Report] = []
        with installing(Policy(hosts), on_report=told.append):
            assert say(_unnamed(pki), form) == SECRET
        assert [(r.accepted, r.reason) for r in told] == [(True, Reason.NOT_PINNED)]
        assert str(told[0].host).endswith("no-name.invalid")
        blocked = Policy(hosts, blocked=[pki.server.pin])
        with installing(blocked), pytest.raises(PinningError) as caught:
            say(_unnamed(pki), form)
        assert reason(caught.value) is Reason.BLOCKED
        strict = Policy(hosts, unpinned="reject")
        with installing(strict), pytest.raises(PinningError) as caught:
            say(_unnamed(pki), form)
        assert reason(caught.value) is Reason.BAD_HOST
        with pytest.raises(PinningError) as caught:
            say(pin_context(_unnamed(pki), Policy(hosts)), form)
        assert reason(caught.value) is Reason.BAD_HOST


SPELLINGS: dict[str, list[str | bytes]] = {
    "api.example.com": [
        "API.Example.COM",
        "api.example.com.",
        b"api.example.com..",
        "api.example.com:443",
        "API.EXAMPLE.COM:443",
        "api.example.com.:443",
        "api.example.com:https",
        "api.example.com:443:443",
        "[api.example.com]",
        "[api.example.com]:443",
        "api.example.com%eth0",
        "api.example.com%25eth0:443",
        "api%2eexample%2Ecom",
        "%61pi.example.com:443",
        "api.example.com%00.evil.example",
        " api.example.com",
        "api.example.com ",
        "\tapi.example.com\r\n",
        "api.example.com evil.example",
        "https://api.example.com",
        "https://me:secret@api.example.com:443/path?query#part",
        "me@api.example.com",
        "<api.example.com>",
        "api.example.com,",
        b"\x01api.example.com\x7f",
        "api.example.com/path",
        "//api.example.com",
        "api\uff0eexample\u3002com",
        "\uff21\uff30\uff29.example.com",
        "api.example.com\uff1a443",
        b"API.example.com:443",
    ],
    "**.wild.example": [
        "kafka~0.wild.example",
        "*.wild.example",
        "a,b.wild.example:443",
        "a b.wild.example",
        "a/b.c.wild.example:443",
        "a:b.wild.example",
        "a%.wild.example",
        b"a..wild.example",
        64 * b"a" + b".wild.example",
        "a~." + 60 * "b." + 60 * "c." + "wild.example",
    ],
    "b\u00fccher.example": [
        "B\u00dcCHER.example",
        "xn--bcher-kva.example.",
        "XN--BCHER-KVA.example:443",
        "bu\u0308cher.example",
        "b%C3%BCcher.example",
        "b\u00fccher.example:443",
    ],
    "127.0.0.1": [
        "127.1",
        "127.0.1",
        "127.1:443",
        "127.0.0.1.",
        "127.0.0.1:443",
        "[127.0.0.1]:443",
        "0x7f.1",
        "0x7f000001",
        "0X7F.0.0.1",
        "2130706433",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.01",
        "127.000.000.001",
        "127.0.0.1 x",
        " 127.0.0.1",
        "127. 0. 0. 1",
        "+127.0.0.1",
        "4294967423.0.0.1",
        "\uff11\uff12\uff17.0.0.1",
        "127\u30020\u30020\u30021",
        "http://127.1/",
    ],
    "::1": [
        "0:0::1",
        "0000:0000:0000:0000:0000:0000:0000:0001",
        "::0.0.0.1",
        "[::1]",
        "[::1]:443",
        "[::1%25lo]:443",
        "::1]",
        "::1%lo",
        "::1%1",
        "https://[::1]:443/",
    ],
    "fe80::1": [
        "fe80::1%eth0",
        "FE80:0::1%25lo",
        "[fe80::1%eth0]:443",
        "fe80::1%1:443",
    ],
}


@pytest.mark.parametrize(
    ("pinned", "asked"),
    [(pinned, asked) for pinned, names in SPELLINGS.items() for asked in names],
)
def test_pitfall_57_no_spelling_of_a_pinned_host_escapes_its_rule_under_install(
    pki: Pki,
    pinned: str,
    asked: Any,  # noqa: ANN401 - ssl takes bytes, too
) -> None:
    """The rule decides: the impostor hears nothing, the genuine server is served.

    Where it is unclear which address is meant, nobody is; what ssl itself refuses
    reaches nobody either.
    """
    server = server_context(pki.server)
    try:
        converse(MemoryLink(_unnamed(pki), server, server_hostname=asked))
    except (ValueError, UnicodeError):
        return
    with installing(Policy({pinned: [pki.impostor.pin]})):
        link = MemoryLink(_unnamed(pki), server, server_hostname=asked)
        with pytest.raises(PinningError) as caught:
            link.run(lambda: link.client.write(SECRET))
        assert link.application == b""
    if reason(caught.value) is Reason.BAD_HOST:
        assert asked in {"+127.0.0.1", "4294967423.0.0.1"}
        return
    assert reason(caught.value) is Reason.MISMATCH
    told: list[Report] = []
    with installing(Policy({pinned: [pki.server.pin]}), on_report=told.append):
        converse(MemoryLink(_unnamed(pki), server, server_hostname=asked))
    assert not told


def test_pitfall_57_a_name_that_can_mean_two_rules_is_rejected(pki: Pki) -> None:
    """Not even a key that one of them accepts is accepted."""
    server = server_context(pki.server)
    pins = [pki.server.pin]
    for first, second, asked in (
        ("127.0.0.1", "177.0.0.1", "0177.0.0.1"),
        ("api", "api.example", "api%2eexample"),
    ):
        for hosts, accepted in (
            ({first: pins}, True),
            ({second: pins}, True),
            ({first: pins, second: [pki.impostor.pin]}, False),
            ({first: [pki.impostor.pin], second: UNPINNED}, False),
        ):
            with installing(Policy(hosts)):  # type: ignore[arg-type]
                link = MemoryLink(_unnamed(pki), server, server_hostname=asked)
                if accepted:
                    converse(link)
                    continue
                with pytest.raises(PinningError) as caught:
                    link.run(lambda link=link: link.client.write(SECRET))  # type: ignore[misc]
            assert reason(caught.value) is Reason.BAD_HOST


@pytest.mark.usefixtures("installed")
def test_pitfall_35_a_mapped_address_is_another_host_for_tls_too(pki: Pki) -> None:
    """OpenSSL takes no certificate of an IPv4 address for one of the IPv6 address.

    So a rule for the one need not be for the other.
    """
    install(Policy({"127.0.0.1": [pki.server.pin]}, unpinned="allow"))
    for host, accepted in (("127.0.0.1", True), ("::ffff:127.0.0.1", False)):
        link = MemoryLink(
            trusting(pki), server_context(pki.server), server_hostname=host
        )
        if accepted:
            converse(link)
            continue
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            link.run(lambda link=link: link.client.write(SECRET))  # type: ignore[misc]
        assert link.application == b""


# ---- other processes -------------------------------------------------------------

# It is the main module, which workers import again, unless they are forks.
_WITH_WORKERS = """
import logging
import multiprocessing
import socket
import ssl
import sys
from concurrent.futures import ProcessPoolExecutor

import pinverify

METHOD, HOW, PIN, PORT, CAFILE = {arguments!r}
POLICY = pinverify.Policy({{"localhost": [PIN]}})
multiprocessing.set_start_method(METHOD, force=True)
logging.basicConfig(stream=sys.stdout, format="%(message)s")
if HOW == "main module":
    pinverify.install(POLICY)


def ask():
    context = ssl.create_default_context(cafile=CAFILE)
    with (
        socket.create_connection(("127.0.0.1", PORT)) as sock,
        context.wrap_socket(
            sock, server_hostname="localhost", do_handshake_on_connect=False
        ) as tls,
    ):
        try:
            tls.sendall(b"a secret of the application")
            return "said" if tls.recv(1) else "closed"
        except pinverify.PinningError:
            return "refused"


if __name__ == "__main__":
    pinverify.install(POLICY)
    pinverify.install(POLICY)
    print(ask())
    options = {{}}
    if HOW == "initializer":
        options = {{"initializer": pinverify.install, "initargs": (POLICY,)}}
    with ProcessPoolExecutor(1, **options) as executor:
        print(executor.submit(ask).result())
    with multiprocessing.Pool(1, **options) as pool:
        print(pool.apply(ask))
"""


@pytest.mark.parametrize("how", ["", "initializer", "main module"])
@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_pitfall_58_workers_that_are_no_forks_have_the_pins_they_are_given(
    pki: Pki, serve: Serve, tmp_path: Path, method: str, how: str
) -> None:
    """Those that are given none would talk to anybody, so the process is warned once.

    The guide shows both ways to give them: `initializer`, and the main module.
    """
    server = serve(server_context(pki.impostor))
    cafile = str(pki.trust_file(tmp_path))
    arguments = method, how, str(pki.server.pin), server.port, cafile
    program = tmp_path / "program.py"
    program.write_text(_WITH_WORKERS.format(arguments=arguments), encoding="utf-8")
    source = Path(pinverify.__file__).parent.parent
    run = subprocess.run(
        [sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    lines = run.stdout.splitlines()
    warnings = [line for line in lines if "worker processes" in line]
    answers = [line for line in lines if line in {"said", "refused", "closed"}]
    pinned = method == "fork" or how
    assert answers == ["refused"] + 2 * ["refused" if pinned else "said"]
    if method == "fork":
        assert warnings == []
    else:
        assert len(warnings) == 1
        assert repr(method) in warnings[0]
        assert "initializer=pinverify.install" in warnings[0]
    said = [bytes(server.record(i).application) for i in range(3)]
    assert said == [b""] + 2 * [b"" if pinned else SECRET]


@pytest.mark.parametrize("when", ["before", "after"])
def test_pitfall_58_the_process_is_warned_of_subinterpreters(
    pki: Pki,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    """Once, if their module is imported before `install` or after it."""
    monkeypatch.setattr(_process_wide, "_warned", set())
    module = types.ModuleType("concurrent.interpreters")
    if when == "before":
        monkeypatch.setitem(sys.modules, module.__name__, module)
    with installing(pinning(pki)):
        assert ("subinterpreters" in caplog.text) is (when == "before")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        for _ in range(2):
            converse(MemoryLink(trusting(pki), server_context(pki.server)))
    assert caplog.text.count("subinterpreters") == 1
