"""Classes of an application on a pinned context: they are used, and checked."""

from __future__ import annotations

import inspect
import ssl
from typing import Any, cast

import pytest

from pinverify import PinningError, PinSet, pin_context
from pki import Pki
from tls_clients import (
    SECRET,
    Serve,
    assert_nothing_said,
    assert_refused,
    connect,
    echo,
    later,
    pinning,
    trusting,
)
from tls_servers import MemoryLink, server_context

__all__: list[str] = []


class Log:
    """The calls that an application's classes have seen."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.refuse = False

    def socket_class(self, base: Any) -> Any:  # noqa: ANN401
        """Return a subclass of *base* that logs, and checks peers in its own way."""
        log = self

        class Own(base):  # type: ignore[misc]
            @classmethod
            def _create(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
                log.calls.append("_create")
                return super()._create(*args, **kwargs)

            def do_handshake(self, *args: Any) -> None:  # noqa: ANN401
                super().do_handshake(*args)
                log.calls.append("do_handshake")
                if log.refuse:
                    msg = "the application's own check"
                    raise ssl.SSLError(msg)

            def write(self, data: bytes) -> int:
                log.calls.append("write")
                return cast("int", super().write(data))

            def send(self, data: bytes, flags: int = 0) -> int:
                log.calls.append("send")
                return cast("int", super().send(data, flags))

        return Own


@pytest.mark.parametrize("when", ["at once", "later"])
def test_pitfall_37_a_subclass_of_our_class_keeps_its_methods(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, when: str
) -> None:
    """They are called while PENDING, in the handshake, and once VERIFIED."""
    log = Log()
    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    with connect(context, server):
        pass  # so that our class has seen one of its own
    context.sslsocket_class = log.socket_class(context.sslsocket_class)
    with (connect if when == "at once" else later)(context, server) as tls:
        assert isinstance(tls, context.sslsocket_class)
        echo(tls)
        with pytest.raises(ValueError, match="already-connected"):
            tls.connect(("localhost", server.port))
        echo(tls)
        assert isinstance(tls, context.sslsocket_class)
        assert log.calls[0] == "_create"
        assert log.calls.count("do_handshake") == 1
        assert log.calls.count("send") == 2
        assert getattr(tls, "pin_report").accepted  # noqa: B009 - not in ssl's stubs
    impostor = serve(server_context(pki.impostor, version=version))
    assert_refused(context, impostor)


def test_pitfall_37_a_check_of_the_application_refuses_as_well(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """OCSP, for example: its refusal comes after the pins, and before any data."""
    log = Log()
    log.refuse = True
    context = trusting(pki, pinning(pki))
    context.sslsocket_class = log.socket_class(context.sslsocket_class)
    server = serve(server_context(pki.server, version=version))
    with pytest.raises(ssl.SSLError, match="own check"):
        connect(context, server)
    assert_nothing_said(server.record())


def test_pitfall_37_a_subclass_of_our_class_for_objects_keeps_its_methods(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """The same in memory."""
    log = Log()
    context = trusting(pki, pinning(pki))
    context.sslobject_class = log.socket_class(context.sslobject_class)
    link = MemoryLink(context, server_context(pki.server, version=version))
    link.run(lambda: link.client.write(SECRET))
    assert log.calls[0] == "_create"
    assert "do_handshake" in log.calls
    link.run(lambda: link.client.write(SECRET))
    assert isinstance(link.client, context.sslobject_class)
    assert link.application == 2 * SECRET
    bad = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        bad.run(lambda: bad.client.write(SECRET))
    assert bad.application == b""


def test_pitfall_37_a_subclass_of_our_class_for_objects_makes_its_objects(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """They begin as objects of that class, not of the one that it is derived from."""
    made: list[type] = []
    context = trusting(pki, pinning(pki))
    base: Any = context.sslobject_class

    class Own(base):  # type: ignore[misc]
        def __new__(cls) -> Any:  # noqa: ANN401
            made.append(cls)
            return super().__new__(cls)

    context.sslobject_class = Own
    link = MemoryLink(context, server_context(pki.server, version=version))
    assert made == [Own]
    link.run(lambda: link.client.write(SECRET))
    assert link.application == SECRET


def test_pitfall_37_a_class_of_the_application_for_objects_is_called(
    pki: Pki, version: ssl.TLSVersion
) -> None:
    """Its own handshake is done, and is followed by the check, also of a refusal."""
    log = Log()
    context = trusting(pki)
    context.sslobject_class = log.socket_class(ssl.SSLObject)
    pin_context(context, pinning(pki))
    log.calls.clear()
    link = MemoryLink(context, server_context(pki.server, version=version))
    link.run(link.client.do_handshake)
    assert log.calls == ["_create", "do_handshake"]
    link.run(lambda: link.client.write(SECRET))
    assert log.calls == ["_create", "do_handshake", "write"]
    assert link.application == SECRET
    bad = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        bad.run(lambda: bad.client.write(SECRET))
    assert bad.application == b""


def test_pitfall_37_a_class_that_shakes_no_hands_is_checked(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Its data would come before the check, since OpenSSL shakes hands for it."""

    class Lazy(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:  # noqa: FBT001, FBT002
            pass

    class LazyObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            pass

    context = trusting(pki)
    context.sslsocket_class, context.sslobject_class = Lazy, LazyObject
    pin_context(context, pinning(pki))
    with connect(context, serve(server_context(pki.server, version=version))) as tls:
        echo(tls)
    impostor = serve(server_context(pki.impostor, version=version))
    with connect(context, impostor) as tls, pytest.raises(PinningError):
        tls.sendall(SECRET)
    assert_nothing_said(impostor.record())
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""


def test_pitfall_37_a_class_that_cannot_be_extended_is_refused(
    pki: Pki, serve: Serve
) -> None:
    """Nobody gets its socket, so it is closed at once."""
    made: list[ssl.SSLSocket] = []

    class Final(ssl.SSLSocket):
        def __new__(cls, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            made.append(super().__new__(cls, *args, **kwargs))
            return made[-1]

        def __init_subclass__(cls) -> None:
            msg = "nobody derives from it"
            raise TypeError(msg)

    context = trusting(pki, pinning(pki))
    context.sslsocket_class = Final
    with pytest.raises(TypeError, match=r"Final \(nobody derives from it\)"):
        connect(context, serve(server_context(pki.server)))
    assert made[0].fileno() == -1


def test_pitfall_37_connections_are_instances_of_the_classes_of_their_context(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Before the check and after it; and then their data flows as without pins."""
    context = trusting(pki, pinning(pki))
    server = serve(server_context(pki.server, version=version))
    names = {"send", "sendall", "recv", "recv_into", "read", "write"}
    for way in (connect, later):
        with way(context, server) as tls:
            assert isinstance(tls, context.sslsocket_class)
            echo(tls)
            assert isinstance(tls, context.sslsocket_class)
            for name in names:
                assert getattr(type(tls), name) is getattr(ssl.SSLSocket, name)
    link = MemoryLink(context, server_context(pki.server, version=version))
    assert isinstance(link.client, context.sslobject_class)
    link.run(link.client.do_handshake)
    assert isinstance(link.client, context.sslobject_class)
    for name in names & {"read", "write"}:
        assert getattr(type(link.client), name) is getattr(ssl.SSLObject, name)


@pytest.mark.parametrize("when", ["at once", "later"])
def test_pitfall_37_a_class_that_is_set_after_pinning_is_checked(
    pki: Pki, serve: Serve, version: ssl.TLSVersion, when: str
) -> None:
    """It knows nothing of pins, and replaces the class that does."""
    log = Log()
    context = trusting(pki)
    own = log.socket_class(ssl.SSLSocket)
    context.sslsocket_class = own
    context.sslobject_class = log.socket_class(ssl.SSLObject)
    impostor = serve(server_context(pki.impostor, version=version))
    with connect(context, impostor) as tls:
        echo(tls)

    context = trusting(pki, pinning(pki))
    context.sslsocket_class = own
    context.sslobject_class = log.socket_class(ssl.SSLObject)
    way = connect if when == "at once" else later
    with pytest.raises(PinningError), way(context, impostor) as tls:
        tls.sendall(SECRET)
    assert_nothing_said(impostor.record(1))
    link = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        link.run(lambda: link.client.write(SECRET))
    assert link.application == b""
    log.calls.clear()
    with way(context, serve(server_context(pki.server, version=version))) as tls:
        echo(tls)
        assert isinstance(tls, own)
    expected = ["_create", "do_handshake", "send"]
    if when == "later":
        expected[1:] = ["send", "do_handshake"]
    assert log.calls == expected


def test_pitfall_37_a_subclass_of_the_class_of_a_connection_is_checked(
    pki: Pki, serve: Serve, version: ssl.TLSVersion
) -> None:
    """Its connections begin PENDING, with pins of their own if their context has."""
    context = trusting(pki, pinning(pki))
    with connect(context, serve(server_context(pki.server, version=version))) as tls:
        derived: Any = type("Derived", (type(tls),), {})
    impostor = serve(server_context(pki.impostor, version=version))
    context.sslsocket_class = derived
    assert_refused(context, impostor)
    other = trusting(pki)
    other.sslsocket_class = derived
    pin_context(other, PinSet([pki.impostor.pin]))
    with connect(other, impostor) as tls:
        assert isinstance(tls, derived)
        echo(tls)
    with pytest.raises(PinningError):
        connect(other, serve(server_context(pki.server, version=version)))


@pytest.mark.parametrize("theirs", [ssl.SSLSocket, ssl.SSLObject])
def test_the_context_is_where_our_classes_look_for_it(theirs: Any) -> None:  # noqa: ANN401
    """Another version of ssl may add parameters, but must not move this one."""
    names = [*inspect.signature(theirs._create).parameters]  # noqa: SLF001
    assert names.index("context") == 5


@pytest.mark.parametrize("derived", ["from ssl's class", "from ours"])
def test_a_class_may_read_before_it_shakes_hands(
    pki: Pki, version: ssl.TLSVersion, derived: str
) -> None:
    """OpenSSL does the handshake in the read, and the check follows."""
    context = trusting(pki)
    if derived == "from ours":
        pin_context(context, pinning(pki))
    base: Any = context.sslobject_class

    class Reading(base):  # type: ignore[misc]
        def do_handshake(self, *_: object) -> None:
            self.read(0)
            super().do_handshake()

    context.sslobject_class = Reading
    pin_context(context, pinning(pki))
    link = MemoryLink(context, server_context(pki.server, version=version))
    link.run(lambda: link.client.write(SECRET))
    assert link.application == SECRET
    bad = MemoryLink(context, server_context(pki.impostor, version=version))
    with pytest.raises(PinningError):
        bad.run(lambda: bad.client.write(SECRET))
    assert bad.application == b""
