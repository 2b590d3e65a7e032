"""Contexts, also with classes of their own: which can be pinned, which are refused."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import socket
import ssl
import sys
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from pinverify import PinningError, PinSet, pin_context
from pki import Pki
from tls_clients import SECRET, Serve, assert_refused, connect, echo, pinning, trusting
from tls_servers import LIMIT, MemoryLink, server_context


class _IgnoresForSockets(ssl.SSLContext):
    """Wraps sockets in a class of its own choice."""

    def wrap_socket(self, sock: socket.socket, **options: Any) -> ssl.SSLSocket:  # type: ignore[override]  # noqa: ANN401
        return ssl.SSLSocket._create(sock=sock, context=self, **options)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


class _IgnoresForObjects(ssl.SSLContext):
    """Wraps BIOs in a class of its own choice."""

    def wrap_bio(self, *bios: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401
        return ssl.SSLObject._create(*bios, context=self, **options)  # type: ignore[attr-defined, no-any-return]  # noqa: SLF001


class _Delegates(ssl.SSLContext):
    """Hands everything to a context inside, which knows nothing of our classes."""

    def __init__(self, protocol: int) -> None:
        self.inside = ssl.SSLContext(protocol)

    def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
        return self.inside.wrap_socket(*things, **options)

    def wrap_bio(self, *things: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401
        return self.inside.wrap_bio(*things, **options)


class _WantsPeers(ssl.SSLContext):
    """Looks at the peer of each socket at once, as truststore did before 0.10.5."""

    def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
        tls = super().wrap_socket(*things, **options)
        try:
            tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]  # noqa: SLF001
        except Exception:
            tls.close()
            raise
        return tls


class _Around(ssl.SSLContext):
    """Makes its connections with another context, and says where it is."""

    def __init__(self, _: int) -> None:
        self._ctx: ssl.SSLContext

    def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
        return self._ctx.wrap_socket(*things, **options)

    def wrap_bio(self, *things: Any, **options: Any) -> ssl.SSLObject:  # noqa: ANN401
        return self._ctx.wrap_bio(*things, **options)


def test_a_context_around_another_one_is_pinned_inside(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Truststore's is such a one."""
    outside = _Around(ssl.PROTOCOL_TLS_CLIENT)
    outside._ctx = trusting(pki)  # noqa: SLF001
    server = serve(server_context(pki.impostor, version=version))
    with connect(outside, server) as tls:
        echo(tls)
    pin_context(outside, pinning(pki))
    assert_refused(outside, server, record=1)


def test_pitfall_15_a_context_that_can_not_be_tried_is_refused(pki: Pki) -> None:
    """The error names the next step; the context is as it was.

    That such a context enforces pins could not be seen without a peer.
    """
    context = _WantsPeers(ssl.PROTOCOL_TLS_CLIENT)
    before = dict(vars(context))
    with pytest.raises(TypeError, match=r"truststore 0\.10\.5 or later") as caught:
        pin_context(context, pinning(pki))
    assert isinstance(caught.value.__cause__, AttributeError)
    assert vars(context) == before


@pytest.mark.parametrize("side", [ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER])
@pytest.mark.parametrize("kind", [_IgnoresForSockets, _Delegates])
def test_pitfall_15_a_context_that_ignores_the_hooks_is_refused(
    pki: Pki, kind: type[ssl.SSLContext], side: int
) -> None:
    """pin_context() raises TypeError rather than return a context without pins.

    Some libraries bring their own SSLContext whose wrap_socket() does not ask
    for `sslsocket_class`. Pins on it would be decoration.
    """
    with pytest.raises(TypeError):
        pin_context(kind(side), PinSet(pins=[pki.server.pin]))


def test_pitfall_15_a_context_that_creates_objects_of_another_class_is_reached(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The check is mixed into the class that owns the C object, whatever it is."""
    context = _IgnoresForObjects(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    impostor = server_context(pki.impostor, version=version)
    control = MemoryLink(context, impostor)
    control.run(lambda: control.client.write(SECRET))
    assert control.application == SECRET
    pin_context(context, pinning(pki))
    link = MemoryLink(context, impostor)
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_15_a_context_around_a_pinned_one_is_refused(pki: Pki) -> None:
    """The pins of the context inside are not those that were asked for.

    The connections look pinned, and are: by another policy, here one on trial.
    """
    outer = _Delegates(ssl.PROTOCOL_TLS_CLIENT)
    pin_context(outer.inside, PinSet(pins=[pki.server.pin], mode="report"))
    with pytest.raises(TypeError):
        pin_context(outer, PinSet(pins=[pki.server.pin]))


def test_pitfall_15_what_is_no_context_is_refused(pki: Pki) -> None:
    """Neither a duck nor a policy in the wrong place is taken."""
    pins = PinSet(pins=[pki.server.pin])
    things: tuple[Any, ...] = (object(), None, ssl.SSLContext, pins)
    for thing in things:
        with pytest.raises(TypeError):
            pin_context(thing, pins)
    policies: tuple[Any, ...] = (None, {}, [pki.server.pin], "sha256/")
    for policy in policies:
        context = trusting(pki)
        with pytest.raises(TypeError):
            pin_context(context, policy)
        assert context.sslsocket_class is ssl.SSLSocket


def test_classes_that_are_on_the_context_already_are_kept(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Another library's socket class still sees its calls, behind the check."""
    sent = []

    class Counting(ssl.SSLSocket):
        def send(self, data: Any, flags: int = 0) -> int:  # noqa: ANN401
            sent.append(bytes(data))
            return super().send(data, flags)

    class Object(ssl.SSLObject):
        pass

    context = trusting(pki)
    context.sslsocket_class = Counting
    context.sslobject_class = Object
    pin_context(context, pinning(pki))
    good = serve(server_context(pki.server, version=version))
    with connect(context, good) as tls:
        assert isinstance(tls, Counting)
        echo(tls)
    assert sent == [SECRET]
    bad = serve(server_context(pki.impostor, version=version))
    assert_refused(context, bad)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    assert isinstance(link.client, Object)
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))


@pytest.mark.parametrize(
    "replaced",
    [
        {"sslsocket_class": ssl.SSLSocket, "sslobject_class": ssl.SSLObject},
        {"sslsocket_class": ssl.SSLSocket},
        {"sslobject_class": ssl.SSLObject},
    ],
    ids=["both", "socket", "object"],
)
def test_pinning_again_sees_that_the_classes_are_still_there(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, replaced: dict[str, type]
) -> None:
    """Another library may have put its own class in our place meanwhile.

    A call that only swapped the policy would return a context without pins.
    """
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    for name, kind in replaced.items():
        setattr(context, name, kind)
    pin_context(context, pinning(pki))
    assert_refused(context, server)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_a_pin_context_that_fails_does_not_undo_another_one(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Two threads pin one context; one of them fails, for want of a socket, say.

    What it puts back must not be the time before the other one's success: that
    one has been told that its context is pinned.
    """

    class Failing(ssl.SSLContext):
        """Out of sockets once, after another thread has had its turn."""

        def wrap_socket(self, *things: Any, **options: Any) -> ssl.SSLSocket:  # noqa: ANN401
            if turns:
                return super().wrap_socket(*things, **options)
            turns.append(pool.submit(pin_context, self, pinning(pki)))
            with contextlib.suppress(TimeoutError):  # it may have to wait for us
                turns[0].result(0.2)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    turns: list[Future[ssl.SSLContext]] = []
    context = Failing(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.trust_pem)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
            pin_context(context, pinning(pki))
        assert turns[0].result(LIMIT) is context
    server = serve(server_context(pki.impostor, version=version))
    assert_refused(context, server)
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))


def test_a_pin_context_that_fails_does_not_unpin_for_a_moment(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one thread fails to swap the policy, others go on connecting.

    They must find our classes on the context at every moment. A trace looks
    before each line that runs.
    """

    def fail(*_things: object, **_options: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    context = trusting(pki, pinning(pki))
    classes = (context.sslsocket_class, context.sslobject_class)
    seen = set()

    def trace(*_event: object) -> Any:  # noqa: ANN401
        seen.add((context.sslsocket_class, context.sslobject_class))
        return trace

    monkeypatch.setattr(socket, "socket", fail)
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        with contextlib.suppress(OSError):
            pin_context(context, pinning(pki))
    finally:
        sys.settrace(before)
    assert seen == {classes}


def test_a_pin_context_that_fails_leaves_the_context_as_it_was(pki: Pki) -> None:
    """A TypeError is no half-pinned context."""
    context = _IgnoresForSockets(ssl.PROTOCOL_TLS_CLIENT)
    before = dict(vars(context))
    with pytest.raises(TypeError):
        pin_context(context, pinning(pki))
    assert vars(context) == before
    assert type(context) is _IgnoresForSockets
    assert context.sslsocket_class is ssl.SSLSocket


def test_the_classes_of_a_pinned_context_on_another_one_stay_pinned(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Libraries copy contexts attribute by attribute: no pin may get lost so."""
    server = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    copied = trusting(pki)
    copied.sslsocket_class = context.sslsocket_class
    copied.sslobject_class = context.sslobject_class
    assert_refused(copied, server)
    with contextlib.suppress(TypeError):
        pin_context(copied, PinSet(pins=[pki.root.pin]))
    assert_refused(copied, server, record=1)
    assert_refused(context, server, record=2)


class _NotesProtocols(ssl.SSLContext):
    """Notes each list of protocols that reaches OpenSSL."""

    def _set_alpn_protocols(self, protocols: bytearray) -> None:
        vars(self).setdefault("noted", []).append(bytes(protocols))
        super()._set_alpn_protocols(protocols)  # type: ignore[misc]


def test_a_context_that_a_client_is_given_decides_by_its_pins(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """A program may set `.context` before the handshake, to one with other pins."""
    for pin, accepted in ((pki.server.pin, True), (pki.impostor.pin, False)):
        context = trusting(pki, PinSet([pki.server.pin]))
        link = MemoryLink(context, server_context(pki.server, version=version))
        link.client.context = trusting(pki, PinSet([pin]))
        if accepted:
            link.run(lambda: link.client.write(SECRET))  # noqa: B023
        else:
            with pytest.raises(PinningError):
                link.run(lambda: link.client.write(SECRET))  # noqa: B023
        assert link.application == (SECRET if accepted else b"")


def test_the_same_protocols_are_set_once(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Urllib3 sets them for each connection.

    OpenSSL frees the list while it copies it into a connection of another thread: one
    ClientHello in a hundred then has other bytes than a list, where threads do nothing
    else.
    """
    listening = server_context(pki.server, version=version)
    listening.set_alpn_protocols(["h2", "http/1.1"])
    server = serve(listening)
    context = _NotesProtocols(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=pki.root.pem)
    pin_context(context, PinSet(pins=[pki.server.pin]))
    for protocols in (["h2"], ["h2"], ["http/1.1"], ["http/1.1"], ["h2"]):
        context.set_alpn_protocols(protocols)
        with connect(context, server) as tls:
            assert tls.selected_alpn_protocol() == protocols[0]
    with pytest.raises(ssl.SSLError):
        context.set_alpn_protocols([""])
    context.set_alpn_protocols([])
    assert vars(context)["noted"][:3] == [b"\x02h2", b"\x08http/1.1", b"\x02h2"]
    with connect(context, server) as tls:
        assert tls.selected_alpn_protocol() is None


def test_pitfall_29_a_context_with_pins_on_it_can_be_collected(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Contexts, their classes and their connections leave no trace.

    A server that makes a context per tenant would grow without end otherwise.
    """
    server = serve(server_context(pki.server, version=version))
    impostor = serve(server_context(pki.impostor, version=version))
    context = trusting(pki, pinning(pki))
    with connect(context, server) as tls:
        echo(tls)
    with pytest.raises(PinningError):
        connect(context, impostor)
    dead: list[weakref.ref[Any]] = [
        weakref.ref(context),
        weakref.ref(context.sslsocket_class),
        weakref.ref(context.sslobject_class),
        weakref.ref(type(tls)),
        weakref.ref(tls),
    ]
    del context, tls
    gc.collect()
    alive = [ref() for ref in dead if ref() is not None]
    # The classes of the stdlib and those shared by all contexts may stay.
    assert not [thing for thing in alive if not _is_shared(thing)]


def _is_shared(thing: object) -> bool:
    module = getattr(thing, "__module__", "")
    name = getattr(thing, "__qualname__", "<locals>")
    return isinstance(thing, type) and (
        module == "ssl" or (module.startswith("pinverify") and "<" not in name)
    )


@pytest.mark.parametrize("write", ["sslsocket_class", "__class__", "both"])
def test_pitfall_54_one_write_undoes_no_pins(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, write: str
) -> None:
    """Both writes do, which stands under the limits in the README."""
    context = trusting(pki, pinning(pki))
    if write != "__class__":
        context.sslsocket_class = ssl.SSLSocket
    if write != "sslsocket_class":
        context.__class__ = ssl.SSLContext
    impostor = serve(server_context(pki.impostor, version=version))
    if write == "both":
        with connect(context, impostor) as tls:
            echo(tls)
    else:
        assert_refused(context, impostor)
