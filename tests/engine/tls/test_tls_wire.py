"""Handshakes with malformed certificates: nothing is accepted that should not be.

A server sends each certificate of malformed.py byte for byte, validly signed, over
TLS 1.2 and 1.3, as its leaf and as the authority above. OpenSSL completes many of
these handshakes. What then happens is one of three things, and the tables in
docs/malformed.md say which:

``refused``
    OpenSSL ends the handshake, with pins or without.
``MALFORMED``
    OpenSSL completes it and hands over the bytes of the wire; pinverify refuses
    them, whatever is pinned.
``by its key``
    OpenSSL completes it and hands over a certificate that it has encoded again, in
    DER, or one with a mistake that the walk accepts; its key is the wire's, byte for
    byte, and decides.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from malformed import (
    ALLOWED,
    FIELDS,
    MISTAKES,
    OTHER_SPKI,
    SPELLINGS,
    misspelt,
    mistaken,
)
from oracle_der import FrameError, lenient_spki
from pinverify import (
    Pin,
    PinningError,
    PinSet,
    Policy,
    Reason,
    Rules,
    core,
    pin_context,
)
from pinverify.errors import DERError
from pki import Authority, Identity
from places import ROOT
from tls_servers import LIMIT, client_context, new_socket, verified_chain
from wire_server import WireServer

__all__: list[str] = []

DOCUMENT = ROOT / "docs" / "malformed.md"
SECRET = b"a secret of the application"

PLACES = ("leaf", "ca")


class Cast(NamedTuple):
    """The cast: an authority that the client trusts, and those it vouches for."""

    root: Authority
    good: Identity
    """The certificate that is spelt otherwise."""
    leaf: Identity
    """The identity that proves its key: *good* itself, or one that it has signed."""

    def serve(self, wire: bytes, version: ssl.TLSVersion) -> WireServer:
        """Start a server that shows *wire* in the place of *good*."""
        chain = [wire] if self.leaf is self.good else [self.leaf.der, wire]
        assert isinstance(self.leaf.key, ec.EllipticCurvePrivateKey)
        return WireServer(chain, self.leaf.key, version)


def make_cast(place: str) -> Cast:
    """Make a cast in which the malformed certificate has this *place*."""
    root = Authority.root("Wire Root")
    while True:
        good: Identity = root.leaf("localhost")
        if place == "ca":
            good = root.intermediate("Wire CA")
        if good.spki[-1] & 1 == 0:  # so that the last bit of the key can be unused
            break
    leaf = good.leaf("localhost") if isinstance(good, Authority) else good
    return Cast(root, good, leaf)


@pytest.fixture(scope="module", params=PLACES)
def cast(request: pytest.FixtureRequest) -> Cast:
    """The malformed certificate is the leaf's, or the authority's above it."""
    return make_cast(request.param)


# ---- clients -------------------------------------------------------------------


def connected(server: WireServer) -> socket.socket:
    """Return a plain socket, connected to *server*."""
    sock = new_socket()
    sock.connect(server.address)
    return sock


def by_socket(context: ssl.SSLContext, server: WireServer) -> list[bytes]:
    """Send the secret over an SSL socket; return the verified chain."""
    with (
        connected(server) as sock,
        context.wrap_socket(sock, server_hostname="localhost") as tls,
    ):
        tls.sendall(SECRET)
        return verified_chain(tls)


def by_buffers(context: ssl.SSLContext, server: WireServer) -> list[bytes]:
    """Send the secret by an SSL object, as an event loop does."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with connected(server) as sock:
        while True:
            try:
                tls.write(SECRET)
                return verified_chain(tls)
            except ssl.SSLWantReadError:
                sock.sendall(outgoing.read())
                data = sock.recv(65536)
                incoming.write(data) if data else incoming.write_eof()
            finally:
                with contextlib.suppress(OSError):
                    sock.sendall(outgoing.read())


Client = Callable[[ssl.SSLContext, WireServer], list[bytes]]


class Outcome(NamedTuple):
    """How one handshake ended."""

    chain: list[bytes]
    """The verified chain, as the hook gets it; empty if there was an error."""
    error: Exception | None
    secret_arrived: bool

    @property
    def reason(self) -> Reason | None:
        """Why pinverify has refused, if it has."""
        report = getattr(self.error, "report", None)
        return None if report is None else report.reason


def shake_hands(
    cast: Cast, server: WireServer, client: Client, pins: PinSet | None = None
) -> Outcome:
    """Connect, with pins or without, and say how it ended."""
    context = client_context(cast.root)
    # What Python 3.13 sets and earlier ones do not: it refuses some of them.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if pins is not None:
        pin_context(context, pins)
    return finish(server, client, context)


def finish(server: WireServer, client: Client, context: ssl.SSLContext) -> Outcome:
    """Connect with this context, and say how it ended."""
    chain, error = [], None
    try:
        chain = client(context, server)
    except (ssl.SSLError, PinningError) as caught:
        error = caught
    visit = server.visits[-1]
    assert visit.done.wait(LIMIT)
    return Outcome(chain, error, SECRET in visit.application)


# ---- what happens --------------------------------------------------------------


def pin_of(spki: bytes) -> Pin:
    """Return the pin of a SubjectPublicKeyInfo, by hashlib."""
    return Pin.spki(hashlib.sha256(spki).digest())


def spki_on_the_wire(wire: bytes) -> bytes | None:
    """Return the key as it is spelt in a certificate, wherever BER has put it."""
    try:
        return lenient_spki(wire).raw
    except FrameError:
        return None


def pinned(cast: Cast, *keys: bytes | None) -> PinSet:
    """Pin each of *keys*, in the place where the malformed certificate stands."""
    pins = [pin_of(key) for key in keys if key is not None]
    return PinSet(leaf=pins) if cast.leaf is cast.good else PinSet(ca=pins)


def what_happens(
    cast: Cast, wire: bytes, client: Client, version: ssl.TLSVersion
) -> str:
    """Return which of the three things happens; anything else is a failure."""
    key = spki_on_the_wire(wire)
    with cast.serve(wire, version) as server:
        plain = shake_hands(cast, server, client)
        # Every key is pinned that anybody could see in it.
        tempted = shake_hands(
            cast, server, client, pinned(cast, cast.good.spki, OTHER_SPKI, key)
        )
        other = shake_hands(cast, server, client, pinned(cast, b"another key"))
    # Without its pin nothing is ever accepted.
    assert other.error is not None
    assert not other.secret_arrived
    if plain.error is not None:
        assert not isinstance(tempted.error, PinningError)
        assert tempted.error is not None
        assert not tempted.secret_arrived
        return "refused"
    assert plain.secret_arrived  # so a missing secret means something
    seen = plain.chain[0 if cast.leaf is cast.good else 1]
    if tempted.error is not None:
        assert seen == wire
        assert tempted.reason is other.reason is Reason.MALFORMED
        assert not tempted.secret_arrived
        return "MALFORMED"
    assert seen in {wire, cast.good.der}
    assert cast.good.der != wire
    assert core.spki(seen) == key
    assert other.reason is Reason.MISMATCH
    return "by its key"


# ---- the tables ----------------------------------------------------------------


def tables(
    cast: Cast, client: Client, version: ssl.TLSVersion
) -> tuple[dict[tuple[str, str], str], dict[str, str]]:
    """Return what happens for each field and spelling, and for each mistake."""
    spellings = {
        (field, spelling): what_happens(cast, wire, client, version)
        for field, spelling, wire in misspelt(cast.good, cast.root)
    }
    mistakes = {
        name: what_happens(cast, wire, client, version)
        for name, wire in mistaken(cast.good, cast.root)
    }
    return spellings, mistakes


def markdown(
    spellings: dict[tuple[str, str], str], mistakes: dict[str, str]
) -> Iterator[str]:
    """Yield the lines of the two tables in the documentation."""
    yield "| field | " + " | ".join(SPELLINGS) + " |"
    yield "|---" * (1 + len(SPELLINGS)) + "|"
    for field in FIELDS:
        cells = [spellings.get((field, spelling), "") for spelling in SPELLINGS]
        yield f"| {field} | " + " | ".join(cells) + " |"
    yield ""
    yield "Certificates with a single mistake:"
    yield ""
    yield "| mistake | what happens |"
    yield "|---|---|"
    for name in MISTAKES:
        yield f"| {name} | {mistakes[name]} |"


@pytest.mark.parametrize("client", [by_socket, by_buffers])
def test_what_happens_is_what_the_tables_say(
    cast: Cast, client: Client, version: ssl.TLSVersion
) -> None:
    """The same for both TLS versions, both places, and both kinds of connection."""
    expected = "\n".join(markdown(*tables(cast, client, version)))
    assert expected in DOCUMENT.read_text(encoding="utf-8"), "\n" + expected


def test_the_walk_refuses_every_one_of_them_but_three(cast: Cast) -> None:
    """Nobody gets a key out of the bytes of the wire, unless it is the right one."""
    wires = [("", wire) for _, _, wire in misspelt(cast.good, cast.root)]
    wires += mistaken(cast.good, cast.root)
    assert len(wires) == len(set(wires)) > 90
    for mistake, wire in wires:
        if mistake in ALLOWED:
            assert core.spki(wire) == cast.good.spki
        else:
            with pytest.raises(DERError):
                core.spki(wire)


# ---- authorities that are not quite X.509 --------------------------------------


@pytest.mark.parametrize("mistake", ALLOWED)
def test_an_old_root_in_the_store_of_the_client_harms_nobody(
    mistake: str, version: ssl.TLSVersion
) -> None:
    """The chain up to such a root is decided as any other.

    There are such roots, and OpenSSL verifies chains up to them. Its key can be
    blocked as well, and a key that is blocked for every host does not refuse it.
    """
    root = Authority.root("Old Root")
    old = dict(mistaken(root, root))[mistake]
    middle = root.intermediate("Wire CA")
    leaf = middle.leaf("localhost")
    keys = (leaf.spki, middle.spki, root.spki)
    key = leaf.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)

    def visit(rules: Rules) -> Outcome:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=old)
        pin_context(context, Policy(rules))
        with WireServer([leaf.der, middle.der], key, version) as server:
            return finish(server, by_socket, context)

    def on_localhost(pinset: PinSet, *, blocked: Sequence[Pin] = ()) -> Rules:
        return Rules({"localhost": pinset}, blocked=blocked)

    other, (mine, above, top) = pin_of(OTHER_SPKI), map(pin_of, keys)
    for rules in (
        on_localhost(PinSet([above])),
        on_localhost(PinSet([top])),
        on_localhost(PinSet(ca=[top])),
        on_localhost(PinSet([mine]), blocked=[other]),
        Rules({}, blocked=[other]),
    ):
        outcome = visit(rules)
        assert outcome.error is None
        assert outcome.secret_arrived
        assert outcome.chain == [leaf.der, middle.der, old]
    for rules, reason in (
        (on_localhost(PinSet([other])), Reason.MISMATCH),
        (on_localhost(PinSet([mine]), blocked=[top]), Reason.BLOCKED),
        (Rules({}, blocked=[top]), Reason.BLOCKED),
    ):
        outcome = visit(rules)
        assert outcome.reason is reason
        assert not outcome.secret_arrived


@pytest.mark.parametrize("client", [by_socket, by_buffers])
def test_a_good_certificate_is_accepted(
    cast: Cast, client: Client, version: ssl.TLSVersion
) -> None:
    """The twin of all of the above: this server and these pins do work."""
    with cast.serve(cast.good.der, version) as server:
        outcome = shake_hands(cast, server, client, pinned(cast, cast.good.spki))
    assert outcome.error is None
    assert outcome.secret_arrived
    assert outcome.chain[-2] == cast.good.der


def test_a_signature_that_fails_would_hide_the_spelling(
    version: ssl.TLSVersion,
) -> None:
    """If these certificates were signed wrongly, OpenSSL would refuse them all."""
    cast = make_cast("leaf")
    (wire,) = [
        wire
        for field, spelling, wire in misspelt(cast.good, Authority.root("Wire Root"))
        if (field, spelling) == ("subjectPublicKeyInfo", "long length")
    ]
    assert what_happens(cast, wire, by_socket, version) == "refused"
