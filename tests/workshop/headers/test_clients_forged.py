"""Forged headers of clients, through each proxy to each server: none of them counts.

Each proxy has the recipes of docs/behind-a-proxy.md, with the secret and without, with
certificates required and optional. The page has two tables of how servers and proxies
treat headers by themselves; a test compares the tables with what it sees.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from client_table import tell_forgeries
from header_requests import HEADERS, lines_of, value_of
from header_servers import (
    REACHED,
    SERVERS,
    Server,
    serving,
    version_of,
    write_application,
)
from optional import client_library
from pinverify.headers import Form
from pki import Pki
from proxies import (
    CLOSE,
    FORM_OF,
    OPTIONAL,
    PAGE,
    RECIPES,
    SECRET,
    TRAILERS,
    WITHOUT_SECRET,
    Front,
    Listeners,
    Recorder,
    envoy,
    forgeries,
    fronts,
    program_of,
    request_text,
    send,
)
from started import free_port, running
from tls_servers import LIMIT, client_context

__all__: list[str] = []

pytestmark = pytest.mark.usefixtures("client_table")

NAMES = {
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "apache": "Apache",
    "caddy": "Caddy",
    "envoy": "Envoy",
}
"""Of the proxies, as the page has them."""
CHAIN = "Client-Cert-Chain"


@pytest.fixture(scope="module")
def folder(pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the application."""
    folder = tmp_path_factory.mktemp("application")
    write_application(folder, pki)
    return folder


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, folder: Path) -> Iterator[Server]:
    """Run each server in turn."""
    with serving(request.param, folder) as server:
        yield server


# ---- the recipes -------------------------------------------------------------------


class Place(NamedTuple):
    """The listeners of one recipe.

    Attributes:
        ports: of the proxy.
        form: of its header.
        secret: True if the recipe has it.
        optional: True if a client may have no certificate.
    """

    ports: Front
    form: Form
    secret: bool
    optional: bool

    @property
    def path(self) -> str:
        """The path at which the application has this declaration."""
        return f"/{self.form}{'-secret' * self.secret}"


@contextlib.contextmanager
def proxied(
    name: str,
    port: int,
    pki: Pki,
    folder: Path,
    more: dict[str, Any] = {},  # noqa: B006 - it is not changed
) -> Iterator[list[Place]]:
    """Run a proxy with all its recipes in front of a server at *port*.

    Args:
        name: of the proxy.
        port: of the server.
        pki: has the identity of the proxy, and the authority of the clients.
        folder: for its files.
        more: more lines for each connection manager of Envoy.
    """
    kinds = [(secret, opt) for secret in (False, True) for opt in (False, True)]
    if name != "envoy":
        texts = [(RECIPES if secret else WITHOUT_SECRET)[name] for secret, _ in kinds]
        assert all(OPTIONAL[name][0] in text for text in texts)
        texts = [
            text.replace(*OPTIONAL[name]) if optional else text
            for text, (_, optional) in zip(texts, kinds, strict=True)
        ]
        with fronts(name, texts, f"127.0.0.1:{port}", pki, folder) as several:
            yield [
                Place(ports, FORM_OF[name], *kind)
                for ports, kind in zip(several, kinds, strict=True)
            ]
        return
    with_secret, xfcc = (
        yaml.safe_load(texts["envoy"]) | more for texts in (RECIPES, WITHOUT_SECRET)
    )
    plain = {"common_http_protocol_options": xfcc["common_http_protocol_options"]}
    plain |= more
    listeners, places = [], []
    for secret, optional in kinds:
        ports = Front(free_port(), free_port())
        tls, clear = (with_secret, with_secret) if secret else (xfcc, plain)
        listeners.append(Listeners(ports, tls, clear, optional))
        places.append(Place(ports, "nginx" if secret else "envoy", secret, optional))
    command = envoy(listeners, {"application": port}, pki, folder)
    with running(command, *(port for place in places for port in place.ports)):
        yield places


# ---- forgeries ---------------------------------------------------------------------


def forged(place: Place, pki: Pki) -> Iterator[str]:
    """Yield all forgeries for a recipe: of the certificate, and of a chain."""
    header, value = HEADERS[place.form], value_of(place.form, pki.client)
    yield from forgeries(place.path, header, value)
    if place.secret:
        guess = dict(lines_of(place.form, pki.client, "x" * len(SECRET)))
        yield request_text(place.path, CLOSE, f"{header}: {guess[header]}")
    if place.form == "rfc9440":
        path = f"/rfc9440-chain{'-secret' * place.secret}"
        yield from forgeries(path, CHAIN, value_of("rfc9440", pki.rogue_ca))


@pytest.mark.parametrize("proxy", NAMES)
def test_pitfall_52_and_53_only_what_the_proxy_wrote_counts(
    proxy: str, server: Server, pki: Pki, tmp_path: Path
) -> None:
    """The pinned client passes, in each way that the page allows, and no forgery."""
    client = client_context(pki.root, identity=pki.client)
    apart = SERVERS[server.name].keeps_apart
    honest, sent = [], 0
    with proxied(proxy, server.port, pki, tmp_path) as places:
        for place in places:
            passes = place.secret or apart
            reply = send(place.ports.tls, request_text(place.path, CLOSE), client)
            assert (reply.body == REACHED) == passes, reply
            chunked = request_text(place.path, CLOSE, trailer=["X-Other: a"])
            answers = [reply, send(place.ports.tls, chunked, client)]
            assert not shows_secret(place, client)
            honest += [answer.status for answer in answers if not place.optional]
            sent += forgeries_sent(place, server, pki)
    tell_forgeries(_version(proxy), version_of(server.name), sent, *honest)


def shows_secret(place: Place, client: ssl.SSLContext) -> bool:
    """Return True if an answer tells what the proxy wrote, as one to `TRACE` may."""
    for method in ("TRACE", "OPTIONS"):
        for line in ("Max-Forwards: 0", "Max-Forwards: 1"):
            text = request_text(place.path, CLOSE, line).replace("GET", method, 1)
            reply = send(place.ports.tls, text, client)
            assert reply.status, text
            if SECRET.encode() in reply.head + reply.body:
                return True
    return False


def forgeries_sent(place: Place, server: Server, pki: Pki) -> int:
    """Send forgeries from whoever can; return how many reached nobody: all of them."""
    stranger, nobody = (
        client_context(pki.root, identity=one) for one in (pki.stranger, None)
    )
    senders: list[tuple[int, ssl.SSLContext | None]] = [(place.ports.tls, stranger)]
    if place.optional:
        senders = [(place.ports.tls, nobody), (place.ports.plain, None)]
    before, sent = server.num_reached(), 0
    for port, context in senders:
        for request in forged(place, pki):
            assert send(port, request, context).body != REACHED, (place, request)
            sent += 1
    assert server.num_reached() == before
    return sent


def test_pitfall_52_a_proxy_that_is_told_to_pass_trailers_lets_no_forgery_pass(
    folder: Path, pki: Pki, tmp_path: Path
) -> None:
    """Envoy has an option for it, and uvicorn with httptools has it for headers."""
    client = client_context(pki.root, identity=pki.client)
    probe = request_text("/raw", CLOSE, trailer=["X-Probe: a"])
    with (
        serving("uvicorn, httptools", folder) as server,
        proxied("envoy", server.port, pki, tmp_path, TRAILERS) as places,
    ):
        for place in places:
            seen = send(place.ports.tls, probe, client).body
            assert ["x-probe", "a"] in json.loads(seen)  # the attack
            reply = send(place.ports.tls, request_text(place.path, CLOSE), client)
            assert reply.body == REACHED
            assert forgeries_sent(place, server, pki)


@pytest.mark.parametrize("name", ["hypercorn", "granian, ASGI"])
def test_pitfall_52_no_server_takes_a_trailer_of_http_2_for_a_header(
    name: str, folder: Path
) -> None:
    """No `Transfer-Encoding` tells of it, so that these servers must drop it."""
    events = client_library("h2.events")
    client = client_library("h2.connection").H2Connection()
    with (
        serving(name, folder) as server,
        socket.create_connection(("127.0.0.1", server.port), LIMIT) as connection,
    ):
        client.initiate_connection()
        head = {":method": "POST", ":path": "/raw", ":scheme": "http"}
        head |= {":authority": "localhost", "x-head": "a"}
        client.send_headers(1, head.items())
        client.send_data(1, b"abc")
        client.send_headers(1, [("x-probe", "a")], end_stream=True)
        connection.sendall(client.data_to_send())
        body, ended = b"", False
        while not ended:
            received = connection.recv(65536)
            assert received, "the server has ended the connection"
            for event in client.receive_data(received):
                body += getattr(event, "data", b"")
                ended |= isinstance(event, events.StreamEnded | events.StreamReset)
            connection.sendall(client.data_to_send())
    names = {name for name, _ in json.loads(body)}
    assert "x-head" in names
    assert "x-probe" not in names


def _version(proxy: str) -> str:
    words = {"apache": "-v", "envoy": "--version", "caddy": "version"}
    command = [program_of(proxy), words.get(proxy, "-v")]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r"\d+\.\d+\.\d+", said.stdout + said.stderr)
    assert found is not None
    return f"{proxy} {found[0]}"


# ---- what servers and proxies do by themselves -------------------------------------


def table(heading: str) -> dict[str, dict[str, str]]:
    """Return the table of the page whose first column has a heading: rows by name."""
    lines = iter(PAGE.read_text(encoding="utf-8").splitlines())
    head: list[str] = []
    rows = {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            head = []
        elif cells[0] == heading:
            head = cells
        elif head and not set(line) <= set("|-"):
            rows[cells[0]] = dict(zip(head[1:], cells[1:], strict=True))
    return rows


def _of_values(values: list[str]) -> str:
    if values in (["a", "b"], ["b", "a"]):
        return "both"
    if len(values) == 1 and re.fullmatch(r"a\s*,?\s*b", values[0]):
        return "joined"
    return {"a": "the first", "b": "the last"}.get("".join(values), "dropped")


TRICKS: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "trailer": ((CLOSE,), ("X-Probe: a",)),
    "`X_Probe`": ((CLOSE, "X_Probe: a"), ()),
    "twice": ((CLOSE, "X-Probe: a", "X-Probe: b"), ()),
    "folded": ((CLOSE, "X-Probe: a", " b"), ()),
    "`Connection: X-Probe`": ((f"{CLOSE}, X-Probe", "X-Probe: a"), ()),
}


def test_pitfall_53_each_server_does_what_the_page_says(
    server: Server, pki: Pki
) -> None:
    """With a trailer, underscores, two headers, folding; and without a secret."""
    seen = {}
    for trick, (lines, trailer) in TRICKS.items():
        reply = send(server.port, request_text("/raw", *lines, trailer=trailer))
        if reply.status != 200:
            seen[trick] = "refused"
            continue
        pairs = [
            (name.upper().removeprefix("HTTP_"), value)
            for name, value in json.loads(reply.body)
        ]
        values = [v for name, v in pairs if name.replace("-", "_") == "X_PROBE"]
        names = [name for name, _ in pairs if name.replace("-", "_") == "X_PROBE"]
        if trick == "trailer":
            seen[trick] = "a header" if values else "dropped"
        elif trick == "`X_Probe`":
            of_wsgi = SERVERS[server.name].is_wsgi
            taken = "taken for `X-Probe`" if of_wsgi else "kept apart"
            seen[trick] = taken if names else "dropped"
        elif trick == "`Connection: X-Probe`":
            seen[trick] = "kept" if values else "dropped"
        else:
            seen[trick] = _of_values(values)
    lines = [f"{n}: {v}" for n, v in lines_of("caddy", pki.client)]
    reply = send(server.port, request_text("/caddy", CLOSE, *lines))
    seen["without a secret"] = "allowed" if reply.body == REACHED else "refused"
    assert seen == table("server")[server.name]


@pytest.mark.parametrize("proxy", NAMES)
def test_pitfall_53_no_proxy_shows_its_secret(
    proxy: str, pki: Pki, tmp_path: Path
) -> None:
    """Not to the client whose certificate is beside it either."""
    client = client_context(pki.root, identity=pki.client)
    with (
        contextlib.closing(Recorder()) as recorder,
        proxied(proxy, recorder.port, pki, tmp_path) as places,
    ):
        for place in places:
            assert not shows_secret(place, client)


@pytest.mark.parametrize("proxy", NAMES)
def test_pitfall_53_each_proxy_passes_what_the_page_says(
    proxy: str, pki: Pki, tmp_path: Path
) -> None:
    """With its recipe: trailers, underscores, two headers, folding, hop-by-hop."""
    recorder, seen = Recorder(), {}
    client = client_context(pki.root, identity=pki.client)
    with (
        contextlib.closing(recorder),
        proxied(proxy, recorder.port, pki, tmp_path) as places,
    ):
        place = places[-1]
        for trick, (lines, trailer) in TRICKS.items():
            recorder.requests.clear()
            request = request_text("/", *lines, trailer=trailer)
            send(place.ports.tls, request, client)
            if not recorder.requests:
                seen[trick] = "refused"
                continue
            found = re.findall(
                rb"(?i)\r\n(x[-_]probe):([^\r\n]*)", recorder.requests[0]
            )
            values = [value.decode().strip() for _, value in found]
            passes = "passed" if values else "dropped"
            of_several = trick in {"twice", "folded"}
            seen[trick] = _of_values(values) if of_several else passes
            if trick == "trailer":
                is_chunked = b"chunked" in recorder.requests[0].lower()
                seen["chunks"] = "passed" if is_chunked else "a length"
        header = HEADERS[place.form]
        recorder.requests.clear()
        hop = request_text("/", f"{CLOSE}, {header}")
        send(place.ports.tls, hop, client)
        [request_seen] = recorder.requests
        is_there = header.lower().encode() in request_seen.lower().replace(
            b"connection: close, " + header.lower().encode(), b""
        )
        seen["`Connection:` its header"] = "kept" if is_there else "dropped"
    assert seen == table("proxy")[NAMES[proxy]]
