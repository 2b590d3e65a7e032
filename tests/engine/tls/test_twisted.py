"""Pins enforced on Twisted's TLS clients, in a real reactor on the loopback.

pki.py has the cast: `pki.server` is the server that the client means, and
`pki.impostor` has a certificate for the same names from another authority that
the client trusts as well.
"""

# ruff: noqa: E402 - these imports are for those who have Twisted

from __future__ import annotations

import queue
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from optional import client_library

client_library("service_identity")
endpoints: Any = client_library("twisted.internet.endpoints")
tls: Any = client_library("twisted.internet.ssl")
web: Any = client_library("twisted.web.client")

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from OpenSSL import SSL
from twisted.internet import protocol
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    Report,
    find_pinning_error,
    report_of,
)
from pinverify.tls.twisted import PinnedConnectionCreator, PinnedPolicyForHTTPS
from pki import Identity, Pki
from tls_servers import LIMIT, Record, TLSServer, server_context

# What Twisted does with certificates, and with bodies that come at once.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore:Passing pyOpenSSL .* objects is deprecated:DeprecationWarning"
    ),
    pytest.mark.filterwarnings("ignore:Using readBody with:DeprecationWarning"),
]

SECRET = b"a secret of the application"
RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

Serve = Callable[..., TLSServer]


@pytest.fixture(scope="module")
def reactor() -> Iterator[Any]:
    """Run Twisted's reactor in a thread. It can be started once in a process."""
    from twisted.internet import reactor  # noqa: PLC0415 - the import installs it

    running: Any = reactor
    thread = threading.Thread(target=running.run, args=(False,), daemon=True)
    thread.start()
    yield running
    running.callFromThread(running.stop)
    thread.join(LIMIT)
    assert not thread.is_alive()


def call(reactor: Any, function: Callable[[], Any]) -> Any:  # noqa: ANN401
    """Call *function* in the reactor's thread, and wait for what it comes to."""
    outcome: queue.Queue[Any] = queue.Queue()
    reactor.callFromThread(lambda: maybeDeferred(function).addBoth(outcome.put))
    result = outcome.get(timeout=LIMIT)
    if isinstance(result, Failure):
        result.raiseException()
    return result


class Client(protocol.Protocol):
    """Says something, and waits for the echo."""

    def __init__(self, *, start_tls: object = None) -> None:
        """Keep what *start_tls* is to be done with, if the transport is plain."""
        self._start_tls = start_tls
        self.heard = b""
        self.lost: Deferred[object] = Deferred()

    def connectionMade(self) -> None:  # noqa: N802 - Twisted's names
        """Speak, before the handshake is done: Twisted keeps it until then."""
        transport: Any = self.transport
        if self._start_tls is not None:
            transport.startTLS(self._start_tls)
        transport.write(SECRET)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802
        """Leave when the echo has come."""
        transport: Any = self.transport
        self.heard += data
        if self.heard == SECRET:
            transport.loseConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: N802
        """Tell what was heard, and why it is over."""
        self.lost.callback((self.heard, reason.value))


def talk(
    reactor: Any,  # noqa: ANN401
    server: TLSServer,
    creator: object,
    *,
    start_tls: bool = False,
    made_by: type[Client] = Client,
) -> tuple[bytes, BaseException]:
    """Connect and speak; return what was heard, and what ended the connection."""

    def connect() -> object:
        plain = endpoints.TCP4ClientEndpoint(reactor, "127.0.0.1", server.port)
        client = made_by(start_tls=creator if start_tls else None)
        endpoint = plain if start_tls else endpoints.wrapClientTLS(creator, plain)
        started = endpoints.connectProtocol(endpoint, client)
        return started.addCallback(lambda _: client.lost)

    heard, ended = call(reactor, connect)
    assert isinstance(heard, bytes)
    assert isinstance(ended, Exception)
    return heard, ended


def trusting(*authorities: Identity, identity: Identity | None = None) -> Any:  # noqa: ANN401
    """Make options that trust *authorities* and show *identity*."""
    roots = tls.trustRootFromCertificates([loaded(each) for each in authorities])
    if identity is None:
        return tls.CertificateOptions(trustRoot=roots)
    pem = (identity.key_pem + identity.pem).encode()
    shown = tls.PrivateCertificate.loadPEM(pem)
    return tls.CertificateOptions(
        trustRoot=roots,
        certificate=shown.original,
        privateKey=shown.privateKey.original,
    )


def loaded(identity: Identity) -> Any:  # noqa: ANN401
    """Return a certificate as Twisted has it."""
    return tls.Certificate.loadPEM(identity.pem.encode())


def assert_nothing_said(record: Record) -> None:
    """Check that no byte of the application came, encrypted or in clear."""
    assert record.application == b""
    assert SECRET not in record.wire


@pytest.mark.parametrize("host", ["localhost", b"LOCALHOST", "127.0.0.1"])
def test_the_right_pin_is_accepted(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    host: str | bytes,
) -> None:
    """Data flows; SNI is sent for a name, and not for an address."""
    server = serve(server_context(pki.server, version=version))
    policy = Policy(
        {"localhost": [pki.ca.pin], "127.0.0.1": [pki.server.pin]}, unpinned="reject"
    )
    creator = PinnedConnectionCreator(host, policy, options=trusting(pki.root))
    heard, _ = talk(reactor, server, creator)
    assert heard == SECRET
    expected = None if host == "127.0.0.1" else "localhost"
    assert server.record().server_name == expected


@pytest.mark.parametrize("start_tls", [False, True])
def test_a_wrong_pin_is_refused(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    start_tls: bool,  # noqa: FBT001
) -> None:
    """The reason of connectionLost is the PinningError, and nothing was said.

    Twisted keeps what the application writes until the handshake is done. It
    looks into the arguments of every SSL.Error, so ours have the same shape.
    """
    server = serve(server_context(pki.impostor, version=version))
    options = trusting(pki.root, pki.rogue_root)
    rogue, ours = (
        PinnedConnectionCreator(
            "localhost", Policy({"localhost": PinSet(ca=[pin])}), options=options
        )
        for pin in (pki.rogue_ca.pin, pki.ca.pin)
    )
    heard, _ = talk(reactor, server, rogue, start_tls=start_tls)
    assert heard == SECRET
    heard, ended = talk(reactor, server, ours, start_tls=start_tls)
    assert heard == b""
    assert isinstance(ended, PinningError)
    assert ended.report is not None
    assert (ended.report.reason, ended.report.host) == (Reason.MISMATCH, "localhost")
    record = server.record(1)
    assert_nothing_said(record)
    assert "alert" in str(record.error)


def test_use_replaces_the_policy(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """Of a creator, and of all creators that an Agent has got."""
    server = serve(server_context(pki.impostor, version=version))
    options = trusting(pki.root, pki.rogue_root)
    ours = Policy({"localhost": PinSet(ca=[pki.ca.pin])})
    rogue = Policy({"localhost": PinSet(ca=[pki.rogue_ca.pin])})
    alone = PinnedConnectionCreator("localhost", ours, options=options)
    for_agent = PinnedPolicyForHTTPS(ours, options=options)
    handed_out = for_agent.creatorForNetloc(b"localhost", server.port)
    for use, creator in ((alone.use, alone), (for_agent.use, handed_out)):
        assert talk(reactor, server, creator)[0] == b""
        use(rogue)
        assert talk(reactor, server, creator)[0] == SECRET


def test_pitfall_14_an_impostor_does_not_see_the_client_certificate(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """The handshake ends before the client's answer leaves its buffer."""
    server = serve(
        server_context(pki.impostor, version=version, client_authority=pki.root)
    )
    options = trusting(pki.root, pki.rogue_root, identity=pki.client)
    for index, pins in enumerate((PinSet([pki.impostor.pin]), PinSet([pki.ca.pin]))):
        creator = PinnedConnectionCreator("localhost", pins, options=options)
        talk(reactor, server, creator)
        assert server.record(index).client_certificate is (index == 0)
    assert_nothing_said(server.record(1))


@pytest.mark.parametrize("named", ["elsewhere.example", None])
def test_a_certificate_for_another_host_is_refused_in_spite_of_its_pin(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
    named: str | None,
) -> None:
    """Pins add to validation: the certificate must be for the host.

    One that has no names at all is for no host. That is another error of
    service-identity than a wrong name.
    """
    identity = pki.ca.leaf("elsewhere.example")
    if named is None:
        identity = _without_names(pki, identity)
    server = serve(server_context(identity, version=version))
    creator = PinnedConnectionCreator(
        "localhost", PinSet([identity.pin]), options=trusting(pki.root)
    )
    heard, ended = talk(reactor, server, creator)
    assert heard == b""
    assert not isinstance(ended, PinningError)
    assert type(ended).__module__ == "service_identity.exceptions"
    assert_nothing_said(server.record())


def _without_names(pki: Pki, identity: Identity) -> Identity:
    old = identity.certificate
    builder = (
        x509.CertificateBuilder()
        .subject_name(old.subject)
        .issuer_name(old.issuer)
        .public_key(old.public_key())
        .serial_number(old.serial_number)
        .not_valid_before(old.not_valid_before_utc)
        .not_valid_after(old.not_valid_after_utc)
    )
    for extension in old.extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            builder = builder.add_extension(extension.value, extension.critical)
    certificate = builder.sign(pki.ca.key, hashes.SHA256())
    return Identity(certificate, identity.key, identity.issuers)


def test_validation_is_on_whatever_the_options_say(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """Options without a trust root trust nobody. Twisted's would verify nothing."""
    server = serve(server_context(pki.server, version=version))
    pins = PinSet([pki.server.pin])
    for options in (tls.CertificateOptions(), trusting(pki.rogue_root), None):
        creator = PinnedConnectionCreator("localhost", pins, options=options)
        heard, ended = talk(reactor, server, creator)
        assert heard == b""
        assert isinstance(ended, SSL.Error)
        assert not isinstance(ended, PinningError)
    for index in range(3):
        assert_nothing_said(server.record(index))


def test_pitfall_21_a_callback_on_the_context_is_bypassed_and_the_creator_is_not(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """The connections of optionsForClientTLS replace the callback of their context.

    Pins there are never asked, and nothing tells so.
    """
    server = serve(server_context(pki.impostor, version=version))
    asked: list[object] = []

    def refuse_all(*args: object) -> bool:
        asked.append(args)
        return False

    options = trusting(pki.root, pki.rogue_root)
    creator: Any = tls.optionsForClientTLS("localhost", options.trustRoot)
    context = creator._createConnection.__self__.getContext()  # noqa: SLF001
    context.set_verify(SSL.VERIFY_PEER, refuse_all)
    heard, _ = talk(reactor, server, creator)
    assert heard == SECRET
    assert asked == []

    creator = PinnedConnectionCreator(
        "localhost",
        Policy({"localhost": [pki.server.pin]}),
        options=options,
    )
    heard, ended = talk(reactor, server, creator)
    assert heard == b""
    assert isinstance(ended, PinningError)
    assert_nothing_said(server.record(1))


def test_a_transport_has_the_report(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """There is none before the handshake; plain transports have no connection."""
    found: list[Report | None] = []

    class Asking(Client):
        def connectionMade(self) -> None:  # noqa: N802 - Twisted's names
            transport: Any = self.transport
            found.append(report_of(transport))
            with pytest.raises(TypeError, match="no TLS connection"):
                report_of(transport.transport)  # that below TLS
            super().connectionMade()

        def dataReceived(self, data: bytes) -> None:  # noqa: N802
            found.append(report_of(self.transport))
            super().dataReceived(data)

    server = serve(server_context(pki.server, version=version))
    policy = Policy({"localhost": [pki.server.pin]}, unpinned="reject")
    creator = PinnedConnectionCreator("localhost", policy, options=trusting(pki.root))
    heard, _ = talk(reactor, server, creator, made_by=Asking)
    assert heard == SECRET
    before, *after = found
    assert before is None
    assert after
    for report in after:
        assert report is after[0]
        assert report is not None
        assert (report.reason, report.peer) == (Reason.MATCH, pki.server.der)


def test_report_mode_is_told(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """on_report hears of a connection that goes on without its pins."""
    server = serve(server_context(pki.server, version=version))
    told: list[Report] = []
    creator = PinnedConnectionCreator(
        "localhost",
        PinSet([pki.impostor.pin], mode="report"),
        options=trusting(pki.root),
        on_report=told.append,
    )
    heard, _ = talk(reactor, server, creator)
    assert heard == SECRET
    assert [report.reason for report in told] == [Reason.MISMATCH]


def _get(
    reactor: Any,  # noqa: ANN401
    policy: PinnedPolicyForHTTPS,
    server: TLSServer,
    host: str = "localhost",
) -> bytes:
    """GET a page with Twisted's Agent."""
    agent = web.Agent(reactor, policy, connectTimeout=LIMIT)
    url = f"https://{host}:{server.port}/".encode()
    body = call(reactor, lambda: agent.request(b"GET", url).addCallback(web.readBody))
    assert isinstance(body, bytes)
    return body


def test_pitfall_19_an_agent_asks_the_pinned_server_alone(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """No request reaches an impostor; the error is in the reasons."""
    https = PinnedPolicyForHTTPS(
        Policy({"localhost": [pki.server.pin]}, unpinned="reject"),
        options=trusting(pki.root, pki.rogue_root),
    )
    good = serve(server_context(pki.server, version=version), greeting=RESPONSE)
    assert _get(reactor, https, good) == b"hello"
    bad = serve(server_context(pki.impostor, version=version), greeting=RESPONSE)
    with pytest.raises(web.ResponseNeverReceived) as caught:
        _get(reactor, https, bad)
    error = find_pinning_error(caught.value)
    assert error is not None
    assert caught.value.reasons[0].value is error
    assert error.report is not None
    assert error.report.reason is Reason.MISMATCH
    assert bad.record().application == b""
    with pytest.raises(web.ResponseNeverReceived) as caught:
        _get(reactor, https, good, "127.0.0.1")
    error = find_pinning_error(caught.value)
    assert error is not None
    assert error.report is not None
    assert error.report.reason is Reason.NOT_PINNED
    assert good.record(1).application == b""


def test_an_agent_tells_of_report_mode(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
) -> None:
    """on_report hears of an https request, too."""
    told: list[Report] = []
    https = PinnedPolicyForHTTPS(
        PinSet([pki.impostor.pin], mode="report"),
        options=trusting(pki.root),
        on_report=told.append,
    )
    server = serve(server_context(pki.server), greeting=RESPONSE)
    assert _get(reactor, https, server) == b"hello"
    assert [report.reason for report in told] == [Reason.MISMATCH]


def test_without_options_the_authorities_of_the_platform_are_trusted(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """They are those that OpenSSL finds, and a variable tells it where."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.trust_file(tmp_path)))
    server = serve(server_context(pki.server), greeting=RESPONSE)
    pins = PinSet([pki.server.pin])
    assert _get(reactor, PinnedPolicyForHTTPS(pins), server) == b"hello"
    other = serve(server_context(pki.server))
    heard, _ = talk(reactor, other, PinnedConnectionCreator("localhost", pins))
    assert heard == SECRET


def test_a_host_without_one_meaning_is_refused_at_once(pki: Pki) -> None:
    """There is nobody to connect to, and no rule to look up."""
    with pytest.raises(PolicyError):
        PinnedConnectionCreator("bad..name", PinSet([pki.server.pin]))
    with pytest.raises(PolicyError):
        PinnedPolicyForHTTPS(PinSet([pki.server.pin])).creatorForNetloc(b"1.2.3", 443)


def test_a_client_certificate_of_twisted_is_shown(
    reactor: Any,  # noqa: ANN401
    pki: Pki,
    serve: Serve,
    version: ssl.TLSVersion,
) -> None:
    """Options that Twisted's own certificate objects make work as they are."""
    server = serve(
        server_context(pki.server, version=version, client_authority=pki.root)
    )
    client = pki.root.leaf("client.example", purpose="client")
    pem = (client.key_pem + client.pem).encode()
    options = tls.PrivateCertificate.loadPEM(pem).options(loaded(pki.root))
    creator = PinnedConnectionCreator(
        "localhost", PinSet(ca=[pki.ca.pin]), options=options
    )
    heard, _ = talk(reactor, server, creator)
    assert heard == SECRET
    assert server.record().client_certificate
