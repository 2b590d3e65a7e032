"""Pins for the client connections of a process: `install` and `uninstall`."""

from __future__ import annotations

import contextlib
import ssl
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Reason,
    Report,
    Rules,
    create_connection,
    install,
    pin_context,
    uninstall,
)
from pinverify.tls import _in_force, _process_wide
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
    assert not _in_force.installed


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


@pytest.mark.parametrize("form", ["socket", "lazy", "memory"])
def test_pitfall_35_a_connection_without_a_name_has_no_pins_under_install(
    pki: Pki, serve: Serve, form: str
) -> None:
    """If hosts without pins are allowed, it is accepted, and reported.

    A context that was pinned on purpose rejects it: no rule could be looked up.
    """
    told: list[Report] = []
    hosts = {"localhost": [pki.impostor.pin]}
    with installing(Policy(hosts), on_report=told.append):
        assert _without_a_name(pki, serve, _unnamed(pki), form) is None
    assert [report.reason for report in told] == [Reason.NOT_PINNED]
    assert told[0].accepted
    assert told[0].host == "no-name.invalid"

    pinned = pin_context(_unnamed(pki), Policy(hosts))
    error = _without_a_name(pki, serve, pinned, form)
    assert error is not None
    assert reason(error) is Reason.BAD_HOST


@pytest.mark.parametrize("form", ["socket", "lazy", "memory"])
def test_pitfall_35_a_connection_without_a_name_is_no_way_around(
    pki: Pki, serve: Serve, form: str
) -> None:
    """It is rejected where hosts without pins are, or if one of its keys is blocked."""
    hosts = {"localhost": [pki.impostor.pin]}
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
