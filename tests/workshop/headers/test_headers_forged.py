"""Forged headers: a request that is not as declared never reaches the application.

Each attempt sends the certificate of the pinned client, which is public. The same
request, as the proxy sends it, passes: so no attempt is refused for another reason.
"""

from __future__ import annotations

import base64
import contextlib
import string
import textwrap
import urllib.parse
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from header_requests import (
    DOORS,
    HEADERS,
    OWN_HEADER,
    PEER,
    Lines,
    Sent,
    lines_of,
    value_of,
)
from pinverify import PinSet, Reason
from pinverify.headers import Form, Proxy
from pinverify.headers._forms import VALUE_MAX, read_leaf
from pinverify.headers._rfc9440 import FormError, byte_sequence, byte_sequences
from pinverify.policy import Mode
from pki import Identity, example_pki

__all__: list[str] = []

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - of this test


class Attempt(NamedTuple):
    """One attempt.

    Attributes:
        what: the trick.
        lines: the headers.
        form: the declared one.
        wsgi: False if WSGI has one name for both spellings; servers that do not drop
            one of them are refused.
    """

    what: str
    lines: Lines
    form: Form = "rfc9440"
    wsgi: bool = True


_Tricks = list[tuple[str, Lines]]


def _attempts(client: Identity, other: Identity) -> list[Attempt]:
    """Return the attempts on proxies that are declared by an address."""
    good = value_of("rfc9440", client)
    inner = good.strip(":")
    wrong = value_of("rfc9440", other)
    escaped = value_of("nginx", client)
    envoy = value_of("envoy", client)
    cert = f'Cert="{escaped}"'
    name = "Client-Cert"
    raw = len(client.der)
    to_pad = base64.b64encode(client.der + b"\0" * ((1 - raw) % 3)).decode()
    pem = client.pem

    def nginx(text: str) -> Lines:
        return [(HEADERS["nginx"], text)]

    def xfcc(text: str) -> Lines:
        return [(HEADERS["envoy"], text)]

    def quoted(text: str) -> Lines:
        return nginx(urllib.parse.quote(text, safe=""))

    def apache(text: str) -> Lines:
        return [(HEADERS["apache"], text)]

    sequences: _Tricks = [
        ("twice, the same", [(name, good), (name, good)]),
        ("twice, another first", [(name, wrong), (name, good)]),
        ("twice, another last", [(name, good), (name, wrong)]),
        ("an empty one beside it", [(name, ""), (name, good)]),
        ("two cases of one name", [(name, good), ("CLIENT-CERT", good)]),
        ("empty", [(name, "")]),
        ("a blank", [(name, " ")]),
        ("an empty sequence", [(name, "::")]),
        ("a parameter", [(name, good + ";a=1")]),
        ("a parameter without a value", [(name, good + ";a")]),
        ("no colons", [(name, inner)]),
        ("one colon", [(name, ":" + inner)]),
        ("a string", [(name, f'"{inner}"')]),
        ("a list of two", [(name, f"{good}, {wrong}")]),
        ("a list with an empty member", [(name, good + ",")]),
        ("an inner list", [(name, f"({good})")]),
        ("a dictionary", [(name, f"cert={good}")]),
        ("no padding", [(name, f":{to_pad.rstrip('=')}:")]),
        ("too much padding", [(name, f":{inner}=:")]),
        ("padding inside", [(name, f":{inner[:4]}=={inner[4:]}:")]),
        ("bits behind the last byte", [(name, ":MIIB/x==:")]),
        ("base64url", [(name, ":" + inner.replace("+", "-").replace("/", "_") + "-:")]),
        ("a blank before it", [(name, " " + good)]),
        ("a blank behind it", [(name, good + " ")]),
        ("a tab inside", [(name, good[:9] + "\t" + good[9:])]),
        ("obsolete folding", [(name, good[:9] + "\r\n " + good[9:])]),
        ("a line end behind it", [(name, good + "\n")]),
        ("NUL behind it", [(name, good + "\0")]),
        ("a letter of another alphabet", [(name, good[:9] + "\xe9" + good[9:])]),
        ("huge", [(name, ":" + "A" * VALUE_MAX + ":")]),
        ("an escaped colon", [(name, good.replace(":", "%3A"))]),
        ("the form of nginx", [(name, escaped)]),
        ("the form of Envoy", [(name, envoy)]),
        ("the form of Apache", [(name, value_of("apache", client))]),
        ("a PEM text", [(name, pem)]),
        ("(null), as Apache says", [(name, "(null)")]),
        ("a chain without a leaf", [("Client-Cert-Chain", good)]),
        (
            "a chain without, and an empty leaf",
            [("Client-Cert-Chain", good), (name, "")],
        ),
    ]
    spellings: _Tricks = [
        ("two chains", [(name, good), *[("Client-Cert-Chain", good)] * 2]),
        ("an underscore", [("Client_Cert", good)]),
        ("an underscore beside it", [(name, good), ("Client_Cert", good)]),
        ("an underscore and capitals", [("CLIENT_CERT", good)]),
        ("a dot", [("Client.Cert", good)]),
        ("a blank behind the name", [("Client-Cert ", good)]),
        ("NUL behind the name", [("Client-Cert\0", good)]),
        ("an underscore in the chain's", [(name, good), ("Client-Cert_Chain", good)]),
    ]
    double = urllib.parse.quote(escaped, safe="")
    escapes: _Tricks = [
        ("escaped twice", nginx(double)),
        ("escaped in lower case", nginx(escaped.lower())),
        ("lower digits", nginx(escaped.replace("%0A", "%0a"))),
        ("half an escape", nginx(escaped + "%0")),
        ("no hex digits", nginx(escaped + "%zz")),
        ("a plus for a blank", nginx(escaped.replace("%20", "+"))),
        ("not escaped", nginx(pem.replace("\n", " "))),
        ("an escaped NUL behind it", nginx(escaped + "%00")),
        ("two certificates", quoted(pem + other.pem)),
        ("another certificate first", quoted(other.pem + pem)),
        ("text behind it", quoted(pem + "x")),
        ("text before it", quoted("x\n" + pem)),
        ("a blank line", quoted(pem.replace("\n", "\n\n", 1))),
        ("carriage returns", quoted(pem.replace("\n", "\r\n"))),
        ("another label", quoted(pem.replace("CERTIFICATE", "X509 CRL"))),
        ("no end", quoted(pem.partition("-----END")[0])),
        ("a header of PEM", quoted(pem.replace("\n", "\nA: b\n\n", 1))),
        ("short lines", quoted(pem[:40] + "\n" + pem[40:])),
        ("a long line", quoted(pem[:28] + pem[28:].replace("\n", "", 2))),
        ("only a sequence", nginx(good)),
    ]
    folded = value_of("apache", client)
    blanks: _Tricks = [
        ("two certificates", apache(folded + " " + value_of("apache", other))),
        ("short lines", apache(folded[:40] + " " + folded[40:])),
        ("two blanks", apache(folded.replace(" ", "  "))),
        ("tabs", apache(folded.replace(" ", "\t"))),
        ("line ends", apache(pem)),
        ("cut at the first line", apache("-----BEGIN CERTIFICATE-----")),
        ("(null)", apache("(null)")),
    ]
    elements: _Tricks = [
        ("two elements", xfcc(f"{envoy},{envoy}")),
        ("another element first", xfcc(f"Hash=00,{envoy}")),
        ("an element before that has other keys", xfcc(f"By=spiffe://b,{cert}")),
        ("an element without", xfcc('By=a;Subject=""')),
        ("Cert twice", xfcc(f"{cert};{cert}")),
        ("Cert twice, in two cases", xfcc(f"{cert};{cert.replace('Cert', 'cert')}")),
        ("the hash of another", xfcc(f"Hash={'00' * 32};{cert}")),
        ("Hash twice", xfcc(f"Hash={'00' * 32};{envoy}")),
        ("Cert in a subject", xfcc(f'Subject="{cert.replace(chr(34), "")}"')),
        ("Cert in an escaped subject", xfcc('Subject="\\";' + cert + ';\\""')),
        ("no end of quotes", xfcc(cert[:-1])),
        ("blanks", xfcc(f"{cert}; Hash=00")),
        ("not escaped", xfcc(f'Cert="{pem}"')),
        ("escaped twice", xfcc(f'Cert="{double}"')),
    ]
    bare: _Tricks = [
        ("two of HAProxy", [(HEADERS["haproxy"], f"{inner},{inner}")]),
        ("colons in HAProxy's", [(HEADERS["haproxy"], good)]),
        ("an empty one of HAProxy", [(HEADERS["haproxy"], "")]),
    ]
    lists: _Tricks = [
        ("an empty member first", [(HEADERS["traefik"], f",{inner}")]),
        ("an empty member last", [(HEADERS["traefik"], f"{inner},")]),
        ("a blank in the list", [(HEADERS["traefik"], f"{inner}, {inner}")]),
        ("a wrong member behind", [(HEADERS["traefik"], f"{inner},{inner[:-1]}*")]),
    ]
    by_form: dict[Form, _Tricks] = {
        "rfc9440": sequences,
        "nginx": escapes,
        "apache": blanks,
        "envoy": elements,
        "haproxy": bare,
        "traefik": lists,
    }
    return [
        *(
            Attempt(what, lines, form)
            for form, several in by_form.items()
            for what, lines in several
        ),
        *(Attempt(what, lines, wsgi=False) for what, lines in spellings),
    ]


ATTEMPTS = _attempts(example_pki().client, example_pki().stranger)


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize(
    "attempt", ATTEMPTS, ids=lambda a: f"{a.form}: {a.what}".encode("ascii").decode()
)
def test_pitfall_71_a_forged_header_reaches_nobody(
    attempt: Attempt, mode: Mode
) -> None:
    """Through the declared proxy itself, in every mode, by every door."""
    client = example_pki().client
    pins = PinSet(leaf=[client.pin], mode=mode)
    proxy = Proxy(attempt.form, peers=[PEER])
    honest = [(HEADERS[attempt.form], value_of(attempt.form, client))]
    for name, door in DOORS.items():
        if name != "wsgi" or attempt.wsgi:
            assert door(Sent(honest), pins, proxy).passed
            answer = door(Sent(attempt.lines), pins, proxy)
            assert not answer.passed
            (report,) = answer.reports
            assert report.reason is Reason.NOT_CHECKED
            assert report.detail


def test_there_are_enough_attempts() -> None:
    """The table is not emptied by a mistake, and no attempt is there twice."""
    assert len(ATTEMPTS) > 80
    assert len({(a.form, a.what) for a in ATTEMPTS}) == len(ATTEMPTS)
    assert len({(a.form, tuple(a.lines)) for a in ATTEMPTS}) == len(ATTEMPTS)


any_door = pytest.mark.parametrize("door", DOORS)


@any_door
@pytest.mark.parametrize("form", OWN_HEADER)
def test_a_header_of_plain_http_is_refused_without_the_secret(
    form: Form, door: str
) -> None:
    """A proxy that adds its secret on TLS only passes such a header as it came."""
    client = example_pki().client
    pins = PinSet(leaf=[client.pin])
    proxy = Proxy(form, peers=[PEER], secret=SECRET)
    lines = [(HEADERS[form], value_of(form, client))]
    with_secret = [*lines, ("X-Pinverify-Secret", SECRET)]
    assert DOORS[door](Sent(with_secret), pins, proxy).passed
    for forged in (
        lines,
        [*lines, ("X-Pinverify-Secret", SECRET[::-1])],
        [*lines, ("X-Pinverify-Secret", f" {SECRET}")],
        [*lines, ("X-Pinverify-Secret", f"{SECRET},{SECRET}")],
        [*with_secret, ("X-Pinverify-Secret", "")],
    ):
        answer = DOORS[door](Sent(forged), pins, proxy)
        assert not answer.passed
        assert [r.reason for r in answer.reports] == [Reason.NOT_CHECKED]
        assert SECRET not in repr(answer.reports)


def _forged_beside(form: Form, client: Identity, other: Identity) -> list[Lines]:
    """Return what may come to a server beside, or in place of, the proxy's header.

    The proxy's is that of *other*; somebody wrote the certificate of *client* into a
    trailer, or a header with underscores, and guesses the secret.
    """
    header, value = HEADERS[form], value_of(form, client)
    (_, written), *_ = lines_of(form, other, SECRET)
    guess = "x" * len(SECRET)
    (_, guessed), *_ = lines_of(form, client, guess)
    values = [
        value,
        guessed,
        f"{value} {SECRET[:-1]}",
        f"{SECRET[:-1]} {value}",
        f" {value}",
        f"{written},{value}",
        f"{written}, {value}",
        f"{value},{written}",
        f"{value}, {written}",
        f"{guessed},{written}",
        f"{written};{value}",
        f'{value};secret=""',
        f'{value};secret="{guess}";{written}',
        f'{value};Secret="{guess}"',
        f"{value};secret={guess}",
    ]
    return [
        *([(header, one)] for one in values),
        *([(header, written), (header, one)] for one in values),
        *([(header, one), (header, written)] for one in values),
    ]


@any_door
@pytest.mark.parametrize("form", [one for one in HEADERS if one not in OWN_HEADER])
def test_pitfall_53_no_header_counts_without_the_secret_in_it(
    form: Form, door: str
) -> None:
    """Alone, beside that of the proxy, and joined to it by a server that merges."""
    client, other = example_pki().client, example_pki().stranger
    pins, proxy = PinSet(leaf=[client.pin]), Proxy(form, peers=[PEER], secret=SECRET)
    for software in ("gunicorn/21.2.0", "WSGIServer/0.2", "gunicorn/23.0.0", None):
        honest = Sent(lines_of(form, client, SECRET), software=software)
        assert DOORS[door](honest, pins, proxy).passed
        for forged in _forged_beside(form, client, other):
            answer = DOORS[door](Sent(forged, software=software), pins, proxy)
            assert not answer.passed, forged


@any_door
def test_pitfall_53_a_chain_counts_only_with_the_secret_in_each_member(
    door: str,
) -> None:
    """A server may join a client's list to that of the proxy, before it or behind."""
    pki = example_pki()
    pins = PinSet(ca=[pki.ca.pin])
    verified = Proxy("rfc9440", secret=SECRET, verified_chain="Client-Cert-Chain")
    leaf = lines_of("rfc9440", pki.client, SECRET)
    ca, root = (value_of("rfc9440", one) for one in (pki.ca, pki.root))
    end = f';secret="{SECRET}"'

    def answer(*chains: str) -> tuple[bool, str]:
        lines = [*leaf, *(("Client-Cert-Chain", chain) for chain in chains)]
        seen = DOORS[door](Sent(lines), pins, verified)
        return seen.passed, repr(seen.heard)

    for chain in (
        f"{ca}{end}",
        f"{ca}{end}, {root}{end}",
        f"{ca}{end} \t,\t{root}{end}",
    ):
        passed, heard = answer(chain)
        assert passed
        assert SECRET not in heard
        assert ca in heard
    for chains in (
        (ca,),
        (f'{ca};secret="{SECRET[::-1]}"',),
        (f"{ca}, {root}{end}",),
        (f"{root}{end}, {ca}",),
        (f"{root}{end}, {ca}, {root}{end}",),
        (f"{ca}{end};a",),
        (f"{ca};a{end}",),
        (f"{ca}{end}{end}",),
        (f"{ca[:-1]}{end}:",),
        (f"{ca}{end},",),
        (f"{root}{end}", ca),
        ("",),
        (),
    ):
        assert not answer(*chains)[0], chains


@pytest.mark.parametrize(
    "software",
    [
        "gunicorn/21.2.0",
        "gunicorn/2.22.0",
        "gunicorn/19.9.0",
        "gunicorn",
        "gunicorn/",
        "gunicorn/x",
        "gunicorn/21.22.0",
        "gunicorn/22",
        "WSGIServer/0.2 CPython/3.13.0",
        "Cheroot/11.1.2 Server",
        "Apache/2.4.66 (Debian)",
        "waitress/1",
        "a waitress",
        "",
        None,
    ],
)
@pytest.mark.parametrize("form", HEADERS)
def test_pitfall_53_servers_that_may_merge_spellings_need_the_secret_in_the_header(
    form: Form, software: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    """For `Client_Cert` could be what they call Client-Cert; others are named."""
    client = example_pki().client
    pins = PinSet(leaf=[client.pin])
    alone, guarded = Proxy(form, peers=[PEER]), Proxy(form, secret=SECRET)
    merging = Sent(lines_of(form, client), software=software)
    assert DOORS["http"](merging, pins, alone).passed  # ASGI keeps them apart
    for apart in ("gunicorn/22.0.0", "gunicorn/27.0.1", "gunicorn/100.1", "waitress"):
        assert DOORS["wsgi"](merging._replace(software=apart), pins, alone).passed
    answer = DOORS["wsgi"](merging, pins, alone)
    assert [report.reason for report in answer.reports] == [Reason.NOT_CHECKED]
    assert "take gunicorn 22, waitress or PinnedASGI" in caplog.text
    with_secret = Sent(lines_of(form, client, SECRET), software=software)
    passed = DOORS["wsgi"](with_secret, pins, guarded).passed
    assert passed == (form not in OWN_HEADER)


@any_door
@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("form", HEADERS)
def test_pitfall_52_a_request_that_may_have_a_trailer_needs_a_secret(
    form: Form, mode: Mode, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A server may put the trailer, which anybody writes, among the headers."""
    client = example_pki().client
    pins, alone = PinSet(leaf=[client.pin], mode=mode), Proxy(form, peers=[PEER])
    for name in ("Transfer-Encoding", "transfer-encoding", "TRANSFER-ENCODING"):
        for value in ("chunked", "gzip, chunked", ""):
            chunked = (name, value)
            lines = lines_of(form, client)
            assert DOORS[door](Sent(lines), pins, alone).passed
            answer = DOORS[door](Sent([chunked, *lines]), pins, alone)
            assert not answer.passed
            assert [r.reason for r in answer.reports] == [Reason.NOT_CHECKED]
            lines = lines_of(form, client, SECRET)
            for peers in ((), (PEER,)):
                guarded = Proxy(form, peers=peers, secret=SECRET)
                assert DOORS[door](Sent([chunked, *lines]), pins, guarded).passed
    assert "declare a secret, or let the proxy send Content-Length" in caplog.text


def test_a_spelling_of_the_secret_is_refused_too() -> None:
    """Or a proxy that replaces one header would pass the other."""
    client = example_pki().client
    proxy = Proxy("envoy", secret=SECRET)
    lines = [*lines_of("envoy", client, SECRET)]
    pins = PinSet(leaf=[client.pin])
    assert DOORS["http"](Sent(lines), pins, proxy).passed
    lines.append(("X_Pinverify_Secret", SECRET))
    assert not DOORS["http"](Sent(lines), pins, proxy).passed


def test_other_headers_are_nobody_s_business() -> None:
    """Names that only begin or end alike, and any bytes in them."""
    client = example_pki().client
    lines = [
        ("Client-Cert", value_of("rfc9440", client)),
        ("Client-Certs", "x"),
        ("X-Client-Cert", "x"),
        ("X_Client_Cert", "x"),
        ("Cookie", "\xe9"),
    ]
    proxy = Proxy("rfc9440", peers=[PEER])
    for door in DOORS.values():
        assert door(Sent(lines), PinSet(leaf=[client.pin]), proxy).passed


# ---- any value ---------------------------------------------------------------------

http_sf = pytest.importorskip("http_sf", reason="http-sf is not installed")

SEQUENCES = st.binary(max_size=40).map(lambda data: base64.b64encode(data).decode())
PIECES = st.one_of(
    SEQUENCES.map(lambda text: f":{text}:"),
    SEQUENCES.map(lambda text: f":{text.rstrip('=')}:"),
    st.sampled_from([*':,;= \t=()"\\', "::", ";a=1", ", ", ":AB==:", "*", "?1", "\0"]),
    st.text(string.printable, max_size=3),
)
VALUES = st.lists(PIECES, max_size=4).map("".join)


@given(VALUES)
@example(":AAAA:")
@example(":AAAA:;a")
@example(":AB==:")
def test_ours_reads_a_part_of_what_a_reader_of_structured_fields_does(
    text: str,
) -> None:
    """Of an item: the same bytes, or nothing."""
    try:
        ours = byte_sequence(text.encode("latin-1"))
    except FormError:
        return
    value, parameters = http_sf.parse(text.encode("latin-1"), tltype="item")
    assert (value, parameters) == (ours, {})
    assert base64.b64encode(ours).decode() == text[1:-1]


@given(VALUES)
@example(":AAAA:, :AQID:")
@example(":AAAA:\t,\t:AQID:")
@example(":AAAA:,")
@example("\t:AAAA:")
@example(" \t:AAAA:")
@example(":AAAA:\t")
def test_ours_reads_a_part_of_the_lists_too(text: str) -> None:
    """The same members in the same order, or nothing."""
    try:
        ours = byte_sequences(text.encode("latin-1"))
    except FormError:
        return
    theirs = http_sf.parse(text.encode("latin-1"), tltype="list")
    assert theirs == [(one, {}) for one in ours]


@given(st.binary(min_size=1, max_size=100), st.integers(0, 3))
def test_what_a_serialiser_writes_is_read(data: bytes, more: int) -> None:
    """Ours refuses no certificate that is written as RFC 9440 says."""
    text = http_sf.ser(data)
    assert byte_sequence(text.encode()) == data
    several = ", ".join([text] * (more + 1))
    assert byte_sequences(several.encode()) == [data] * (more + 1)


@given(st.sampled_from(list(HEADERS)), st.one_of(st.binary(max_size=60), VALUES))
def test_any_value_is_read_or_refused(form: Form, value: bytes | str) -> None:
    """No other exception comes of it, whatever it is."""
    data = value if isinstance(value, bytes) else value.encode("latin-1")
    with contextlib.suppress(FormError):
        assert read_leaf(form, data)


@pytest.mark.parametrize("size", [*range(45, 52), *range(93, 100)])
def test_pem_of_any_length_is_read(size: int) -> None:
    """The last line may be full, too."""
    data = bytes(size)
    lines = textwrap.wrap(base64.b64encode(data).decode(), 64)
    pem = ["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----"]
    assert read_leaf("apache", " ".join(pem).encode()) == data
    escaped = urllib.parse.quote("\n".join([*pem, ""]), safe="")
    assert read_leaf("nginx", escaped.encode()) == data


@given(st.sampled_from(list(HEADERS)), st.data())
def test_a_changed_letter_never_reads_as_the_same_certificate(
    form: Form, data: st.DataObject
) -> None:
    """Each certificate has one spelling: nothing in the value is ignored.

    In Envoy's header the other keys are: they are of no use to the pins.
    """
    client = example_pki().client
    value = value_of(form, client).encode()
    if form == "envoy":
        value = value[value.index(b"Cert=") : value.index(b";Subject")]
        beginning = len(b"Cert=")
    else:
        beginning = 0
    at = data.draw(st.integers(beginning, len(value) - 1))
    letter = data.draw(st.integers(0, 255))
    changed = value[:at] + bytes([letter]) + value[at + 1 :]
    if changed != value:
        with contextlib.suppress(FormError):
            assert read_leaf(form, changed) != client.der
