"""Client certificates in headers: who passes, and what the application sees."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import pickle
from typing import Any

import pytest

from header_requests import (
    DOORS,
    HEADERS,
    OWN_HEADER,
    PEER,
    Answer,
    Lines,
    Sent,
    lines_of,
    value_of,
)
from pinverify import PinSet, Policy, PolicyError, Reason, Report, Rules, report_of
from pinverify.headers import Form, PinnedASGI, PinnedWSGI, Proxy
from pinverify.headers._forms import FORMS, VALUE_MAX
from pinverify.headers._rfc9440 import FormError
from pinverify.policy import Mode
from pki import Identity, Pki
from policy_samples import ABSENT

__all__: list[str] = []

SECRET = "a secret that only the proxy has".replace(" ", "-")

any_door = pytest.mark.parametrize("door", DOORS)
any_form = pytest.mark.parametrize("form", HEADERS)


def of_client(pki: Pki, mode: Mode = "enforce") -> PinSet:
    """Return the pins of the client of the cast."""
    return PinSet(leaf=[pki.client.pin], mode=mode)


def sent_by(identity: Identity, form: Form = "rfc9440") -> Sent:
    """Return the request that the proxy passes for a client."""
    return Sent([("Host", "a.example"), (HEADERS[form], value_of(form, identity))])


# ---- who passes --------------------------------------------------------------------


@any_door
@any_form
def test_the_pinned_client_alone_reaches_the_application(
    form: Form, door: str, pki: Pki
) -> None:
    """The stranger's certificate is as valid, and of the same authority."""
    proxy = Proxy(form, peers=[PEER])
    pins = of_client(pki)
    answer = DOORS[door](sent_by(pki.client, form), pins, proxy)
    assert answer.passed
    assert answer.report.reason is Reason.MATCH
    assert answer.reports == []
    refused = DOORS[door](sent_by(pki.stranger, form), pins, proxy)
    assert not refused.passed
    (report,) = refused.reports
    assert report.reason is Reason.MISMATCH
    assert report.peer == pki.stranger.der
    control = PinSet(leaf=[pki.stranger.pin])
    assert DOORS[door](sent_by(pki.stranger, form), control, proxy).passed


@any_door
def test_a_client_without_a_certificate_is_refused(door: str, pki: Pki) -> None:
    """The proxy sends no header for it; the client is told so."""
    answer = DOORS[door](Sent([]), of_client(pki), Proxy("rfc9440", peers=[PEER]))
    assert not answer.passed
    (report,) = answer.reports
    assert report.reason is Reason.NO_CERTIFICATE
    if door != "websocket":  # the server writes the body there
        assert b"NO_CERTIFICATE" in answer.body


@any_door
def test_report_mode_lets_pass_and_reports(door: str, pki: Pki) -> None:
    """A stranger, a client without a certificate, and bytes that are none."""
    proxy, pins = Proxy("rfc9440", peers=[PEER]), of_client(pki, "report")
    malformed = Sent([("Client-Cert", ":AAAA:")])
    for sent, reason in (
        (sent_by(pki.stranger), Reason.MISMATCH),
        (Sent([]), Reason.NO_CERTIFICATE),
        (malformed, Reason.MALFORMED),
    ):
        answer = DOORS[door](sent, pins, proxy)
        assert answer.passed
        assert answer.report.reason is reason
        assert [report.reason for report in answer.reports] == [reason]
    answer = DOORS[door](malformed, of_client(pki), proxy)
    assert not answer.passed


@any_door
def test_the_report_tells_side_leaf_and_address(door: str, pki: Pki) -> None:
    """As those of connections do; the address is that of the proxy."""
    proxy = Proxy("nginx", peers=[PEER])
    report = DOORS[door](sent_by(pki.client, "nginx"), of_client(pki), proxy).report
    assert (report.side, report.peer) == ("client", pki.client.der)
    assert report.peer_address == (PEER, 50000)
    assert report.host is None
    assert report.resumed is None
    assert pickle.loads(pickle.dumps(report)) == report  # noqa: S301 - our own


@any_door
def test_a_refusal_tells_no_more_than_its_reason(door: str, pki: Pki) -> None:
    """Neither pins, nor names, nor the secret, nor why a header is not believed."""
    proxy = Proxy("rfc9440", peers=[PEER], secret=SECRET)
    sent = Sent(lines_of("rfc9440", pki.stranger, SECRET))
    answer = DOORS[door](sent, of_client(pki), proxy)
    assert answer.status == 403
    forged = DOORS[door](sent_by(pki.stranger), of_client(pki), proxy)
    assert forged.status == 403
    if door != "websocket":
        beginning = b"403: the client certificate was refused: "
        assert answer.body == beginning + b"MISMATCH\n"
        assert forged.body == beginning + b"NOT_CHECKED\n"


@any_door
def test_a_refusal_is_logged_with_its_reason(
    door: str, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """As a refused handshake is."""
    proxy = Proxy("rfc9440", peers=[PEER])
    with caplog.at_level(logging.WARNING, "pinverify"):
        DOORS[door](sent_by(pki.stranger), of_client(pki), proxy)
        elsewhere = sent_by(pki.client)._replace(address="192.0.2.8")
        DOORS[door](elsewhere, of_client(pki), proxy)
    first, second = caplog.messages
    assert first.startswith("rejected: client MISMATCH key=sha256/")
    assert "CN=stranger.example" in first
    assert f"address={PEER}:50000" in first
    assert second.startswith("rejected: client NOT_CHECKED")
    assert "not come from the declared proxy: 192.0.2.8 is not one of its" in second


_OWN = "X-Pinverify-Secret"
_MISSING = f"{_OWN} is missing"
_OTHER = f"{_OWN} has another value"
_WRITE = "has no secret, or another one; let the proxy write"


@pytest.mark.parametrize(
    ("form", "secret", "says"),
    [
        ("rfc9440", None, f'Client-Cert {_WRITE} :BASE64:;secret="SECRET"'),
        ("rfc9440", SECRET[::-1], f'Client-Cert {_WRITE} :BASE64:;secret="SECRET"'),
        ("nginx", None, f"X-Ssl-Client-Cert {_WRITE} SECRET CERTIFICATE"),
        ("caddy", SECRET[::-1], f"X-Client-Cert {_WRITE} SECRET CERTIFICATE"),
        ("envoy", None, _MISSING),
        ("envoy", SECRET[::-1], _OTHER),
    ],
)
def test_the_log_tells_what_is_wrong_with_the_secret(
    form: Form,
    secret: str | None,
    says: str,
    pki: Pki,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It tells neither of the two values."""
    proxy = Proxy(form, peers=[PEER], secret=SECRET)
    with caplog.at_level(logging.WARNING, "pinverify"):
        sent = Sent(lines_of(form, pki.client, secret))
        DOORS["wsgi"](sent, of_client(pki), proxy)
    [line] = caplog.messages
    assert f"the declared proxy: {says}" in line
    assert SECRET not in line
    assert SECRET[::-1] not in line


@any_door
def test_a_callback_that_raises_refuses(door: str, pki: Pki) -> None:
    """An acceptance that could not be told must not happen."""

    def raises(_: Report) -> None:
        raise OSError

    proxy, pins = Proxy("rfc9440", peers=[PEER]), of_client(pki, "report")
    sent = sent_by(pki.stranger)
    assert DOORS[door](sent, pins, proxy).passed
    assert not DOORS[door](sent._replace(on_report=raises), pins, proxy).passed


@any_door
def test_an_expired_policy_decides_as_it_says(door: str, pki: Pki) -> None:
    """The time of each request counts."""
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    proxy, sent = Proxy("rfc9440", peers=[PEER]), sent_by(pki.client)
    leaf = [pki.client.pin]
    rejects = PinSet(leaf=leaf, expires=past, after_expiry="reject")
    allows = PinSet(leaf=leaf, expires=past, after_expiry="allow")
    assert not DOORS[door](sent, rejects, proxy).passed
    answer = DOORS[door](sent, allows, proxy)
    assert answer.passed
    assert [report.reason for report in answer.reports] == [Reason.EXPIRED]


# ---- from where --------------------------------------------------------------------


@any_door
@pytest.mark.parametrize(
    ("peers", "address"),
    [
        (["192.0.2.7"], "192.0.2.7"),
        (["192.0.2.0/24"], "192.0.2.255"),
        (["198.51.100.1", "192.0.2.7"], "192.0.2.7"),
        (["192.0.2.7"], "::ffff:192.0.2.7"),
        (["fd00::/64"], "fd00::1:2"),
        (["fd00::7"], "fd00:0:0:0:0:0:0:7"),
        (["unix"], None),
        (["unix", "192.0.2.7"], "192.0.2.7"),
        (["fe80::7%eth0"], "fe80::7%eth0"),
        (["fe80::7"], "fe80::7%eth0"),
    ],
)
def test_a_declared_peer_is_believed(
    peers: list[str], address: str | None, door: str, pki: Pki
) -> None:
    """An address, a network, a socket for both versions of IP, a Unix socket."""
    sent = sent_by(pki.client)._replace(address=address)
    assert DOORS[door](sent, of_client(pki), Proxy("rfc9440", peers=peers)).passed


@any_door
@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize(
    ("peers", "address"),
    [
        (["192.0.2.7"], "192.0.2.8"),
        (["192.0.2.0/24"], "192.0.3.1"),
        (["192.0.2.7"], None),
        (["unix"], "192.0.2.7"),
        (["unix"], "127.0.0.1"),
        (["fd00::/64"], "fd00:0:0:1::1"),
        (["fd00::/64"], "192.0.2.7"),
        (["192.0.2.7"], "a.example"),
        (["192.0.2.7"], "192.0.2.7, 198.51.100.1"),
        (["fe80::7%eth0"], "fe80::7%eth1"),
        (["fe80::7%eth0"], "fe80::7"),
    ],
)
def test_pitfall_71_anybody_else_is_refused_in_every_mode(
    peers: list[str], address: str | None, mode: Mode, door: str, pki: Pki
) -> None:
    """With the certificate of the pinned client, and without any header."""
    proxy, pins = Proxy("rfc9440", peers=peers), of_client(pki, mode)
    for sent in (sent_by(pki.client), Sent([])):
        answer = DOORS[door](sent._replace(address=address), pins, proxy)
        assert not answer.passed
        (report,) = answer.reports
        assert report.reason is Reason.NOT_CHECKED
        assert report.peer is None


def test_peers_of_an_iterator_are_all_declared(pki: Pki) -> None:
    """One that was read for a check would leave the secret alone to count."""
    proxy = Proxy("rfc9440", peers=iter([PEER]), secret=SECRET)  # type: ignore[arg-type]
    assert proxy.peers == (PEER,)
    lines = lines_of("rfc9440", pki.client, SECRET)
    for door in DOORS.values():
        assert door(Sent(lines), of_client(pki), proxy).passed
        assert not door(Sent(lines, "192.0.2.8"), of_client(pki), proxy).passed


@pytest.mark.parametrize("peer", [b"unix", 1, True, None])
def test_peers_are_texts(peer: Any) -> None:  # noqa: ANN401
    """Four bytes and numbers would be addresses that nobody meant."""
    with pytest.raises(TypeError, match="peers: expected text, got "):
        Proxy("rfc9440", peers=[peer])


@any_door
@any_form
def test_a_secret_is_needed_where_it_is_declared(
    form: Form, door: str, pki: Pki
) -> None:
    """Alone, and together with an address; the application does not see it."""
    good = lines_of(form, pki.client, SECRET)
    header, own = HEADERS[form], ("X-Pinverify-Secret", SECRET)
    bare = value_of(form, pki.client)

    def answer(proxy: Proxy, lines: Lines, address: str = PEER) -> Answer:
        return DOORS[door](Sent(lines, address), of_client(pki), proxy)

    def with_secret(secret: str) -> Lines:
        return lines_of(form, pki.client, secret)

    alone = Proxy(form, secret=SECRET)
    both = Proxy(form, peers=[PEER], secret=SECRET)
    for proxy in (alone, both):
        passed = answer(proxy, good)
        assert passed.passed
        assert SECRET not in repr(passed.heard)
        assert bare in repr(passed.heard).replace("\\\\", "\\")
        for wrong in (
            [(header, bare)],
            with_secret(SECRET[:-1]),
            with_secret(SECRET + "x"),
            with_secret(SECRET.upper()),
            with_secret(""),
            [*good, own] if form in OWN_HEADER else [(header, bare), own],
            [own] * (form not in OWN_HEADER),
        ):
            for mode in ("enforce", "report"):
                sent, pins = Sent(wrong), of_client(pki, mode)
                refused = DOORS[door](sent, pins, proxy)
                assert not refused.passed, wrong
                reasons = [report.reason for report in refused.reports]
                assert reasons == [Reason.NOT_CHECKED]
    assert answer(alone, good, address="203.0.113.9").passed
    assert not answer(both, good, address="203.0.113.9").passed


@any_door
@pytest.mark.parametrize("form", OWN_HEADER)
def test_a_secret_of_its_own_has_a_header_of_its_own(
    form: Form, door: str, pki: Pki
) -> None:
    """Another name may be declared for it, and the usual one does not count then."""
    other = Proxy(form, secret=SECRET, secret_header="X-Other")  # noqa: S106 - a name
    cert, own = lines_of(form, pki.client, SECRET)
    passed = DOORS[door](Sent([cert, ("X-Other", SECRET)]), of_client(pki), other)
    assert passed.passed
    assert SECRET not in repr(passed.heard)
    assert not DOORS[door](Sent([cert, own]), of_client(pki), other).passed


@any_door
@pytest.mark.parametrize("form", [one for one in HEADERS if one not in OWN_HEADER])
def test_an_older_recipe_does_not_show_the_secret(
    form: Form, door: str, pki: Pki
) -> None:
    """One that goes on to send it in a header of its own as well."""
    lines = [*lines_of(form, pki.client, SECRET), ("X-Pinverify-Secret", SECRET)]
    answer = DOORS[door](Sent(lines), of_client(pki), Proxy(form, secret=SECRET))
    assert answer.passed
    assert SECRET not in repr(answer.heard)


@pytest.mark.parametrize("form", FORMS)
def test_names_in_capitals_do_not_show_the_secret(pki: Pki, form: Form) -> None:
    """The names of an ASGI scope should be in lower case, and a server may forget."""
    heard: list[dict[str, Any]] = []

    async def application(scope: Any, _receive: Any, _send: Any) -> None:  # noqa: ANN401
        heard.append(scope)

    lines = lines_of(form, pki.client, SECRET)
    headers = [(n.upper().encode(), value.encode()) for n, value in lines]
    scope = {"type": "http", "headers": headers, "client": (PEER, 1024)}
    guarded: Any = PinnedASGI(application, of_client(pki), Proxy(form, secret=SECRET))
    asyncio.run(guarded(scope, None, None))
    assert len(heard) == 1
    assert SECRET not in repr(heard[0]["headers"])


@any_door
@pytest.mark.parametrize("form", ["nginx", "haproxy", "apache", "caddy"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_secret_without_a_certificate_is_a_client_without_one(
    blank: str, form: Form, door: str, pki: Pki
) -> None:
    """nginx, Caddy and Envoy write it so; servers cut the blank off."""
    proxy = Proxy(form, secret=SECRET)
    sent = Sent([(HEADERS[form], SECRET + blank)])
    answer = DOORS[door](sent, of_client(pki), proxy)
    assert not answer.passed
    assert [report.reason for report in answer.reports] == [Reason.NO_CERTIFICATE]
    reported = DOORS[door](sent, of_client(pki, "report"), proxy)
    assert reported.passed
    assert SECRET not in repr(reported.heard)


@pytest.mark.parametrize("form", HEADERS)
def test_a_header_is_read_in_linear_time(form: Form) -> None:
    """Nothing copies the rest of a value again and again: the bytes cut are counted."""

    class Counted(bytes):
        cut = 0

        def __getitem__(self, place: Any) -> Any:  # noqa: ANN401 - as bytes has it
            part = super().__getitem__(place)
            Counted.cut += len(part) if isinstance(part, bytes) else 1
            return part

    for piece in (b"a=;", b"AAAA,", b"%41", b"AAAA ", b"::"):
        value = Counted(piece * (30_000 // len(piece)))
        Counted.cut = 0
        with contextlib.suppress(FormError):
            FORMS[form].read(value)
        assert Counted.cut <= 2 * len(value)


def test_a_peer_whose_address_came_from_a_header_is_refused(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """As uvicorn replaces it by that of X-Forwarded-For, with its port or with 0."""
    heard: list[Any] = []

    async def app(*words: object) -> None:
        heard.append(words)

    async def nothing(*_: object) -> dict[str, str]:
        return {}

    async def drop(_: object) -> None: ...

    proxy = Proxy("rfc9440", peers=[PEER, "fd00::7", "unix"])
    middleware = PinnedASGI(app, of_client(pki), proxy)
    value = value_of("rfc9440", pki.client).encode()

    def ask(client: tuple[Any, ...] | None, *forwarded: str) -> bool:
        lines = [(b"x-forwarded-for", text.encode()) for text in forwarded]
        scope = {
            "type": "http",
            "headers": [(b"client-cert", value), *lines],
            "client": client,
            "server": ("192.0.2.1", 80),
        }
        before = len(heard)
        asyncio.run(middleware(scope, nothing, drop))
        return len(heard) > before

    assert ask((PEER, 5))
    assert ask((PEER, 5), f"{PEER}", "a:b:c, :5, x:5")
    assert ask((PEER, 5), f"{PEER}:6, 198.51.100.1:5")
    for client in ((PEER, 0), (PEER, None), None, (), ("", 5)):
        assert not ask(client)
    for text in (f"{PEER}:5", f"203.0.113.1, {PEER}:05 ", f"{PEER}:5, 203.0.113.1"):
        assert not ask((PEER, 5), text)
    assert not ask((PEER, 5), "203.0.113.1", f"{PEER}:5")
    assert not ask(("fd00::7", 5), "[fd00::7]:5")
    # The zone of an address may be any text, and then a bracket belongs to it.
    assert not ask(("fd00::7%[", 5), "[fd00::7%[]:5")
    assert not ask((f"::ffff:{PEER}%[", 5), f"[::ffff:{PEER}%[]:5")
    assert ask((f"::ffff:{PEER}", 5))
    assert not ask((f"::ffff:{PEER}%eth0", 5))
    assert ask(("fd00::7", 5), "[fd00::7]:6")
    assert "start uvicorn with --no-proxy-headers" in caplog.text


def test_a_server_that_tells_no_address_is_no_unix_socket(pki: Pki) -> None:
    """It says that the address is empty there, and not nothing."""
    heard: list[Any] = []

    def app(environ: Any, _: Any) -> list[bytes]:  # noqa: ANN401
        heard.append(environ)
        return []

    middleware = PinnedWSGI(app, of_client(pki), Proxy("rfc9440", peers=["unix"]))
    header = {
        "HTTP_CLIENT_CERT": value_of("rfc9440", pki.client),
        "SERVER_SOFTWARE": "waitress",
    }
    start: Any = lambda *_: None  # noqa: E731
    middleware(dict(header), start)
    assert heard == []
    middleware({**header, "REMOTE_ADDR": ""}, start)
    assert len(heard) == 1


# ---- the chain ---------------------------------------------------------------------


def test_pitfall_71_only_the_leaf_counts_unless_the_chain_is_declared(pki: Pki) -> None:
    """A chain that the client sent could have any authority in it."""
    pins = PinSet([pki.ca.pin])
    chain = ("Client-Cert-Chain", value_of("rfc9440", pki.ca))
    sent = Sent([*sent_by(pki.client).lines, chain])
    for door in DOORS.values():
        assert not door(sent, pins, Proxy("rfc9440", peers=[PEER])).passed
        verified = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
        answer = door(sent, pins, verified)
        assert answer.passed
        assert answer.report.depth == 1
        other = Proxy("rfc9440", peers=[PEER], verified_chain="X-Chain")
        assert not door(sent, pins, other).passed
        moved = Sent([sent.lines[1], ("X-Chain", chain[1])])
        assert door(moved, pins, other).passed


def test_a_chain_is_bounded_as_a_leaf_is(pki: Pki) -> None:
    """One that is longer than any header is refused, though each of it is right."""
    one = value_of("rfc9440", pki.ca)
    proxy = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
    fits = VALUE_MAX // (len(one) + 1)
    for num, passes in ((fits, True), (fits + 1, False)):
        chain = ("Client-Cert-Chain", ",".join([one] * num))
        sent = Sent([*sent_by(pki.client).lines, chain])
        for door in DOORS.values():
            assert door(sent, PinSet(ca=[pki.ca.pin]), proxy).passed is passes


def test_a_chain_that_does_not_count_is_not_read(pki: Pki) -> None:
    """A client may have sent it: it neither helps nor harms."""
    proxy = Proxy("rfc9440", peers=[PEER])
    for text in ("no chain", ":", "A" * (VALUE_MAX + 1)):
        sent = Sent([*sent_by(pki.client).lines, ("Client-Cert-Chain", text)])
        for door in DOORS.values():
            assert door(sent, PinSet(leaf=[pki.client.pin]), proxy).passed
            assert not door(sent, PinSet(leaf=[pki.server.pin]), proxy).passed


def test_ca_pins_are_an_error_where_only_the_leaf_counts(pki: Pki) -> None:
    """They would lock out everybody, in each policy that has them."""
    alone = Proxy("rfc9440", peers=[PEER])
    verified = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
    sent = sent_by(pki.client)
    both = PinSet(leaf=[pki.client.pin], ca=[pki.ca.pin])
    chain = ("Client-Cert-Chain", value_of("rfc9440", pki.ca))
    for door in DOORS.values():
        for pins in (both, PinSet(ca=[pki.ca.certificate_pin], mode="report")):
            with pytest.raises(PolicyError, match="pin the leaf; or, if the proxy"):
                door(sent, pins, alone)
        assert door(Sent([*sent.lines, chain]), both, verified).passed
        assert not door(sent, both, verified).passed


def test_several_certificates_of_a_chain_are_read_in_order(pki: Pki) -> None:
    """With blanks and tabs between them, as a list may have (RFC 8941, 3.1)."""
    values = [value_of("rfc9440", one) for one in (pki.ca, pki.root)]
    proxy = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
    for between in (",", ", ", " \t,\t "):
        line = ("Client-Cert-Chain", between.join(values))
        sent = Sent([*sent_by(pki.client).lines, line])
        answer = DOORS["http"](sent, PinSet(ca=[pki.root.pin]), proxy)
        assert answer.report.depth == 2
        assert len(answer.report.chain) == 3


def test_a_blocked_key_may_hide_where_a_declared_chain_is_missing(pki: Pki) -> None:
    """As in a resumed session, whose chain nobody saw."""
    pins = PinSet(leaf=[pki.client.pin], blocked=[ABSENT])
    sent = sent_by(pki.client)
    alone = Proxy("rfc9440", peers=[PEER])
    verified = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
    assert DOORS["http"](sent, pins, alone).passed
    assert not DOORS["http"](sent, pins, verified).passed
    chain = ("Client-Cert-Chain", value_of("rfc9440", pki.ca))
    assert DOORS["http"](Sent([*sent.lines, chain]), pins, verified).passed


def test_no_request_is_evidence_for_another(pki: Pki) -> None:
    """The chain of one request does not count for the next one."""
    calls: list[Any] = []

    def app(environ: Any, _: Any) -> list[bytes]:  # noqa: ANN401
        calls.append(environ)
        return []

    proxy = Proxy("rfc9440", peers=[PEER], verified_chain="Client-Cert-Chain")
    middleware = PinnedWSGI(app, PinSet(ca=[pki.ca.pin]), proxy)
    leaf = {
        "HTTP_CLIENT_CERT": value_of("rfc9440", pki.client),
        "SERVER_SOFTWARE": "waitress",
    }
    chain = {"HTTP_CLIENT_CERT_CHAIN": value_of("rfc9440", pki.ca)}

    def start(*_: object) -> Any:  # noqa: ANN401
        return None

    middleware({"REMOTE_ADDR": PEER, **leaf, **chain}, start)
    middleware({"REMOTE_ADDR": PEER, **leaf}, start)
    assert len(calls) == 1


# ---- scopes, policies, arguments ---------------------------------------------------


def test_lifespan_reaches_the_application_as_it_is(pki: Pki) -> None:
    """A server starts and stops the application by it; there is no client."""
    heard: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        heard.append((scope, receive, send))

    async def ends(_: Any = None) -> dict[str, str]:  # noqa: ANN401
        return {}

    middleware: Any = PinnedASGI(app, of_client(pki), Proxy("nginx", peers=["unix"]))
    scope = {"type": "lifespan"}
    asyncio.run(middleware(scope, ends, ends))
    assert heard == [(scope, ends, ends)]
    with pytest.raises(ValueError, match="a scope of type 'webtransport'"):
        asyncio.run(middleware({"type": "webtransport"}, ends, ends))
    assert len(heard) == 1


def test_a_new_policy_holds_from_the_next_request_on(pki: Pki) -> None:
    """And a wrong one changes nothing."""
    heard: list[Any] = []

    def app(environ: Any, _: Any) -> list[bytes]:  # noqa: ANN401
        heard.append(environ)
        return []

    environ = {
        "REMOTE_ADDR": PEER,
        "HTTP_CLIENT_CERT": value_of("rfc9440", pki.client),
        "SERVER_SOFTWARE": "waitress",
    }
    middleware = PinnedWSGI(app, of_client(pki), Proxy("rfc9440", peers=[PEER]))
    start: Any = lambda *_: None  # noqa: E731
    middleware(dict(environ), start)
    middleware.use(Policy.for_clients(PinSet(leaf=[pki.stranger.pin])))
    middleware(dict(environ), start)
    assert len(heard) == 1
    with pytest.raises(PolicyError, match="no pins for clients"):
        middleware.use(Policy({"a.example": [ABSENT]}))
    middleware(dict(environ), start)
    assert len(heard) == 1
    middleware.use(of_client(pki))
    middleware(dict(environ), start)
    assert len(heard) == 2


def test_a_policy_with_hosts_decides_by_its_clients(pki: Pki) -> None:
    """A policy file may have both."""
    rules = Rules({"a.example": [ABSENT]}, clients=of_client(pki))
    for cls in (PinnedASGI, PinnedWSGI):
        cls(None, Policy(rules), Proxy("nginx", peers=["unix"]))  # type: ignore[arg-type]
        with pytest.raises(PolicyError, match=r"add \[clients\] to its file"):
            cls(None, Policy({"a.example": [ABSENT]}), Proxy("nginx", peers=["unix"]))  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="write Proxy"):
            cls(None, of_client(pki), "nginx")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="expected a Policy or a PinSet"):
            cls(None, None, Proxy("nginx", peers=["unix"]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"form": "nginx"}, "nothing tells the proxy from anybody else"),
        ({"form": "guess", "peers": ["unix"]}, "expected one of rfc9440, nginx"),
        ({"form": "nginx", "peers": ["a.example"]}, "names are not looked up"),
        ({"form": "nginx", "peers": ["10.0.0.1/8"]}, "has host bits set"),
        ({"form": "nginx", "peers": ["0.0.0.0/0"]}, "is everybody"),
        ({"form": "nginx", "peers": ["::/0"]}, "is everybody"),
        ({"form": "nginx", "secret": "short"}, "openssl rand -hex 32"),
        ({"form": "nginx", "secret": "x" * 1025}, "openssl rand -hex 32"),
        ({"form": "nginx", "secret": "with blanks in the text"}, "without blanks"),
        ({"form": "nginx", "secret": "with-a-comma,-in-the-text"}, "without blanks"),
        ({"form": "rfc9440", "secret": 'with-a-quote"-in-it'}, "without blanks"),
        ({"form": "rfc9440", "secret": "with-a-backslash\\-in-it"}, "without blanks"),
        ({"form": "nginx", "secret": "\u00e9" * 20}, "printable ASCII"),
        ({"form": "nginx", "peers": ["unix"], "header": "X_Cert"}, "single hyphens"),
        ({"form": "nginx", "peers": ["unix"], "header": "A--B"}, "single hyphens"),
        ({"form": "nginx", "peers": ["unix"], "header": "A\n"}, "single hyphens"),
        (
            {
                "form": "envoy",
                "secret": SECRET,
                "secret_header": "x-forwarded-client-cert",
            },
            "a name of its own",
        ),
        (
            {"form": "nginx", "secret": SECRET, "secret_header": "X-Pinverify-Secret"},
            "let the proxy write X-SSL-Client-Cert: SECRET CERTIFICATE",
        ),
        (
            {
                "form": "caddy",
                "secret": SECRET,
                "secret_header": "X-S",
                "header": "X-C",
            },
            "let the proxy write X-C: SECRET CERTIFICATE",
        ),
        (
            {"form": "rfc9440", "peers": ["unix"], "secret_header": "X-S"},
            'let the proxy write Client-Cert: :BASE64:;secret="SECRET"',
        ),
        (
            {"form": "envoy", "peers": ["unix"], "verified_chain": "X-Chain"},
            "only the form rfc9440",
        ),
    ],
)
def test_a_wrong_declaration_is_refused(words: dict[str, Any], says: str) -> None:
    """The message names what to write."""
    with pytest.raises(ValueError, match=says) as caught:
        Proxy(**words)
    secret = words.get("secret", "no secret")
    assert secret not in str(caught.value)


def test_text_in_place_of_a_list_is_refused() -> None:
    """Or each letter would be an address."""
    with pytest.raises(TypeError, match=r"write peers=\['10\.0\.0\.7'\]"):
        Proxy("nginx", peers="10.0.0.7")
    with pytest.raises(TypeError, match="secret: expected text"):
        Proxy("nginx", secret=b"x" * 32)  # type: ignore[arg-type]


def test_a_declaration_is_a_plain_value_without_its_secret() -> None:
    """A log of settings must not have it."""
    peers = ["10.0.0.7"]
    proxy = Proxy("nginx", peers=peers, secret=SECRET)
    assert SECRET not in repr(proxy)
    assert "10.0.0.7" in repr(proxy)
    assert proxy == Proxy("nginx", peers=("10.0.0.7",), secret=SECRET)
    assert hash(proxy) == hash(Proxy("nginx", peers=("10.0.0.7",), secret=SECRET))
    peers.append("0.0.0.1")
    assert proxy.peers == ("10.0.0.7",)


def test_report_of_knows_a_scope_that_nobody_checked() -> None:
    """A scope without a report is no acceptance."""
    with pytest.raises(TypeError, match="does not have its connection"):
        report_of({"type": "http"})
