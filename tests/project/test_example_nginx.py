"""The module of `examples/nginx` in Debian's nginx: clients, upstreams, reloads.

The module is built by the commands of its README. Each nginx has a folder of its own,
listens on 127.0.0.1 alone, and is ended by its process.
"""

from __future__ import annotations

import os
import re
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_runs import run
from nginx_module import (
    FOLDER,
    Nginx,
    asked,
    built,
    checked,
    until,
    write_clients,
)
from pinverify import PinSet, Policy, Reason
from pki import Authority, Identity, Pki, example_pki
from places import ROOT
from started import free_port, started
from tls_clients import Serve
from tls_servers import client_context, server_context

__all__: list[str] = []

pytestmark = pytest.mark.slow

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
DEVICE = Authority.root("Maker").leaf("device.example", purpose="client")

CLIENTS = """
    pinverify_policy clients.pvpol;
    ssl_session_ticket_key {folder}/tickets;
    server {{
        listen 127.0.0.1:{tls} ssl;
        http2 on;
        server_name localhost;
        ssl_verify_client on;
        pinverify enforce;
        satisfy any;
        allow all;
        location /off/ {{ alias {folder}/www/; pinverify off; }}
        location /report/ {{ alias {folder}/www/; pinverify report; }}
        error_page 495 496 /refused/index.html;
        location /refused/ {{ alias {folder}/www/; pinverify off; }}
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name other.localhost;
        ssl_verify_client on;
        pinverify enforce;
        pinverify_policy strangers.pvpol;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name optional.localhost;
        ssl_verify_client optional;
        pinverify enforce;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name devices.localhost;
        ssl_verify_client optional_no_ca;
        pinverify enforce;
        pinverify_policy devices.pvpol;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name authority.localhost;
        ssl_verify_client on;
        pinverify enforce;
        pinverify_policy authority.pvpol;
    }}
    server {{
        listen 127.0.0.1:{tls} ssl;
        server_name open.localhost;
    }}
    server {{
        listen 127.0.0.1:{plain};
        pinverify enforce;
    }}
"""


class Served(Nginx):
    """The nginx that most tests ask, and who asks it."""

    def __init__(self, folder: Path, pki: Pki) -> None:
        """Write its files."""
        self.tls, self.plain, self.pki = free_port(), free_port(), pki
        write_clients(folder, PinSet(leaf=[pki.stranger.pin]), "strangers.pvpol")
        write_clients(folder, PinSet(leaf=[DEVICE.pin]), "devices.pvpol")
        write_clients(folder, PinSet(ca=[pki.ca.pin]), "authority.pvpol")
        (folder / "tickets").write_bytes(bytes(range(80)))
        text = CLIENTS.format(folder=folder, tls=self.tls, plain=self.plain)
        super().__init__(text, folder, pki, self.tls, self.plain)

    def status(self, who: Identity | None, name: str = "localhost") -> int:
        """Return the status that one request gets; 0 for none."""
        answer = asked(self.tls, self.context(who), name=name)
        return answer.statuses[0] if answer.statuses else 0

    def context(
        self, who: Identity | None, version: ssl.TLSVersion | None = None
    ) -> ssl.SSLContext:
        """Return the context of a client."""
        return client_context(self.pki.root, identity=who, version=version)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Run one nginx for all tests that change nothing."""
    with Served(tmp_path_factory.mktemp("nginx"), example_pki()) as running:
        yield running


# ---- clients -------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pinned_client_alone_is_served(
    nginx: Served, pki: Pki, version: ssl.TLSVersion
) -> None:
    """In full and in resumed handshakes; the authority vouches for all of them."""
    rogue = pki.rogue_ca.leaf("client.example", purpose="client")
    expected = {pki.client: 200, pki.stranger: 400, rogue: 400, None: 400}
    for who, status in expected.items():
        context = nginx.context(who, version)
        first = asked(nginx.tls, context)
        again = asked(nginx.tls, context, session=first.session)
        assert first.statuses == again.statuses == [status]
        if who in {pki.client, pki.stranger}:
            assert again.is_resumed
    # Without pins the stranger gets in.
    context = nginx.context(pki.stranger, version)
    assert asked(nginx.tls, context, "/off/").statuses == [200]


def test_the_logs_name_each_refused_connection_once(nginx: Served, pki: Pki) -> None:
    """With the key, the reason and the address; the access log has each request."""
    before = len(nginx.notices())
    for who in (pki.stranger, pki.client):
        answer = asked(nginx.tls, nginx.context(who), *["/report/?n=1"] * 3)
        assert (answer.statuses, answer.body) == ([200] * 3, b"reached")
    asked(nginx.tls, nginx.context(pki.stranger), "/?n=1")
    asked(nginx.tls, nginx.context(None), "/?n=1", name="optional.localhost")
    # A server where nothing is switched on is not told of.
    assert nginx.status(None, "open.localhost") == 200
    rejected = [line for line in nginx.notices()[before:] if "client" in line]
    assert len(rejected) == 3
    assert (
        f"MISMATCH the chain does not match the pins, key {pki.stranger.pin}"
        in (rejected[0])
    )
    assert "client: 127.0.0.1" in rejected[0]
    assert "NO_CERTIFICATE" in rejected[2]
    assert "key unknown" in rejected[2]

    def words() -> list[list[str]]:
        return sorted(line[1:6] for line in nginx.accesses() if "?n=1" in line[0])

    stranger = ["MISMATCH", "0", pki.stranger.pin, "-"]
    client = ["MATCH", "1", pki.client.pin, pki.client.pin]
    expected = [["200", *stranger], ["200", *client]] * 3
    expected += [["400", *stranger], ["400", "NO_CERTIFICATE", "0", "-", "-"]]
    until(lambda: words() == sorted(expected), f"the access log has {words()}")


def test_the_names_of_reasons_are_those_of_python() -> None:
    """$pinverify_reason and X-Pinverify-Reason can be compared."""
    source = ROOT / "examples" / "nginx" / "notices.c"
    text = source.read_text(encoding="ascii")
    for reason in Reason:
        assert f'case PV_{reason.name}:\n      return "{reason.name}";' in text


def test_a_refusal_can_have_a_page_and_addresses_are_not_enough(
    nginx: Served, pki: Pki
) -> None:
    """The page is that of the codes 495 and 496; `satisfy any` stands in the server."""
    refused = asked(nginx.tls, nginx.context(pki.stranger))
    assert (refused.statuses, refused.body) == ([400], b"reached")  # of /refused/
    kept = asked(nginx.tls, nginx.context(pki.stranger), "/report/", "/", "/off/")
    assert kept.statuses == [200, 400]  # nginx closes after the code 495


def test_each_server_of_a_socket_has_its_own_pins(nginx: Served, pki: Pki) -> None:
    """By SNI; a request for another server than that of the handshake is refused."""
    for name, pinned in (
        ("localhost", pki.client),
        ("optional.localhost", pki.client),
        ("other.localhost", pki.stranger),
    ):
        for who in (pki.client, pki.stranger):
            assert nginx.status(who, name) == (200 if who is pinned else 400), name
        assert nginx.status(None, name) == 400
    client, stranger = nginx.context(pki.client), nginx.context(pki.stranger)
    assert nginx.status(None, "open.localhost") == 200
    for context in (client, stranger):
        for sni in ("open.localhost", "localhost", None):
            answer = asked(nginx.tls, context, name=sni, host="other.localhost")
            assert answer.statuses == [421], sni
        answer = asked(nginx.tls, context, name="open.localhost", host="localhost")
        assert answer.statuses == [421]
    # Without SNI the first server of the socket decides.
    assert asked(nginx.tls, client, name=None, host="localhost").statuses == [200]
    assert asked(nginx.tls, stranger, name=None, host="localhost").statuses == [400]


def test_a_session_of_one_server_does_not_open_another(nginx: Served, pki: Pki) -> None:
    """Each is judged by the pins of the server that it asks."""
    for version in VERSIONS:
        context = nginx.context(pki.stranger, version)
        first = asked(nginx.tls, context, name="other.localhost")
        assert first.statuses == [200]
        again = asked(nginx.tls, context, session=first.session)
        assert again.statuses in ([400], [421], [])


def test_devices_of_unknown_authorities_are_pinned_by_their_key(
    nginx: Served, pki: Pki
) -> None:
    """With optional_no_ca; another such device is refused, and no certificate is."""
    other = Authority.root("Maker").leaf("device.example", purpose="client")
    assert nginx.status(DEVICE, "devices.localhost") == 200
    assert nginx.status(other, "devices.localhost") == 400
    assert nginx.status(None, "devices.localhost") == 400
    assert nginx.status(pki.client, "devices.localhost") == 400
    assert nginx.status(DEVICE, "optional.localhost") == 400


@pytest.mark.parametrize("version", VERSIONS)
def test_a_pinned_authority_counts_in_resumed_sessions(
    nginx: Served, pki: Pki, version: ssl.TLSVersion
) -> None:
    """The chain of the first handshake is in the ticket, for both workers."""
    context, session = nginx.context(pki.stranger, version), None
    for turn in range(6):
        answer = asked(nginx.tls, context, name="authority.localhost", session=session)
        assert (answer.statuses, answer.is_resumed) == ([200], turn > 0)
        session = answer.session


def test_plain_http_has_no_certificate(nginx: Served) -> None:
    """A listener without TLS, which is the one that is forgotten, serves nobody."""
    assert asked(nginx.plain, None).statuses == [400]


def curled(nginx: Nginx, who: Identity, port: int, *words: str) -> list[str]:
    """Return version, status and new connections of the requests that curl makes."""
    certificate = str(who.write(nginx.folder / "curl.pem"))
    done = subprocess.run(
        [
            *(started("curl"), "--silent", "--cert", certificate),
            *("--key", certificate, "--cacert", str(nginx.folder / "roots.pem")),
            *("--resolve", f"localhost:{port}:127.0.0.1", "--output", "/dev/null"),
            *("--output", "/dev/null", "--max-time", "20"),
            *("--write-out", "%{http_version} %{http_code} %{num_connects}\n"),
            *(word.replace("SERVER", f"https://localhost:{port}") for word in words),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()


def test_http_2_has_the_same_decision(nginx: Served, pki: Pki) -> None:
    """Two requests through one connection."""
    for who, status in ((pki.client, "200"), (pki.stranger, "400")):
        answers = curled(nginx, who, nginx.tls, "--http2", "SERVER/", "SERVER/")
        assert answers == [f"2 {status} 1", f"2 {status} 0"]


def test_http_3_is_refused(tmp_path: Path, pki: Pki) -> None:
    """The adapter of OpenSSL does not know QUIC; locations without pins answer."""
    port = free_port()
    off = f"location /off/ {{ alias {tmp_path}/www/; pinverify off; }}"
    text = server(ON, POLICY, ENFORCE, off, "listen 127.0.0.1:1 quic reuseport;")
    with Nginx(text.replace(":1 ", f":{port} "), tmp_path, pki, port) as nginx:
        for path, status in (("/", "421"), ("/off/", "200")):
            answers = curled(nginx, pki.client, port, "--http3-only", f"SERVER{path}")
            assert answers == [f"3 {status} 1"]


# ---- reloads -------------------------------------------------------------------------


def test_a_reload_loses_no_request(tmp_path: Path, pki: Pki) -> None:
    """Policies change four times under load; the last one decides."""
    with Served(tmp_path, pki) as nginx:
        served: list[int] = []
        done = threading.Event()

        def load() -> None:
            while not done.is_set():
                served.append(nginx.status(pki.client))

        def turn(status: int, *pinned: Identity) -> None:
            write_clients(tmp_path, PinSet(leaf=[who.pin for who in pinned]))
            nginx.reload()
            until(lambda: nginx.status(pki.stranger) == status, "no reload")

        threads = [threading.Thread(target=load) for _ in range(3)]
        try:
            for thread in threads:
                thread.start()
            for _ in range(2):
                turn(200, pki.client, pki.stranger)
                turn(400, pki.client)
            until(lambda: len(served) > 20, "there was no load")
        finally:
            done.set()
            for thread in threads:
                thread.join()
        assert set(served) == {200}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_ticket_from_before_a_reload_is_judged_anew(
    tmp_path: Path, pki: Pki, version: ssl.TLSVersion
) -> None:
    """The keys of the tickets stay, and pins that were removed do not live on."""
    with Served(tmp_path, pki) as nginx:
        context = nginx.context(pki.client, version)
        first = asked(nginx.tls, context)
        assert first.statuses == [200]
        write_clients(tmp_path, PinSet(leaf=[pki.stranger.pin]))
        nginx.reload()
        until(lambda: nginx.status(pki.stranger) == 200, "no reload")

        def is_refused() -> bool:  # by the new workers: the old ones are ending
            answer = asked(nginx.tls, context, session=first.session)
            assert answer.is_resumed
            return answer.statuses == [400]

        until(is_refused, "the ticket is accepted")


def test_a_broken_policy_is_not_loaded(tmp_path: Path, pki: Pki) -> None:
    """The old one stays in force, and the log says why."""
    with Served(tmp_path, pki) as nginx:
        (tmp_path / "clients.pvpol").write_bytes(b"pinvpol2")
        nginx.reload()
        until(lambda: "is no compiled policy" in nginx.errors(), "no word of it")
        assert nginx.status(pki.client) == 200
        assert nginx.status(pki.stranger) == 400


def test_a_reload_may_remove_the_module(tmp_path: Path, pki: Pki) -> None:
    """OpenSSL goes on to call the adapter's functions, which stay in memory."""
    port = free_port()
    text = f"server {{ listen 127.0.0.1:{port} ssl; ssl_verify_client on; %s }}"
    pinned = "pinverify_policy clients.pvpol; pinverify enforce;"
    with Nginx(text % pinned, tmp_path, pki, port) as nginx:
        stranger = client_context(pki.root, identity=pki.stranger)
        assert asked(port, stranger).statuses == [400]
        nginx.configure(text % "", module=False)
        for _ in range(2):
            nginx.reload()
            until(lambda: asked(port, stranger).statuses == [200], "no reload")
        nginx.configure(text % pinned)
        nginx.reload()
        until(lambda: asked(port, stranger).statuses == [400], "no reload")


# ---- nginx -t ------------------------------------------------------------------------


def server(*directives: str, tls: bool = True) -> str:
    """Return a server block."""
    listen = "listen 127.0.0.1:1 ssl;" if tls else "listen 127.0.0.1:1;"
    return "\n".join(["server {", listen, *directives, "}"])


def proxy(path: str, *directives: str, to: str = "https://localhost:1") -> str:
    """Return a location with an upstream, and pins for it."""
    head = f"location {path} {{ proxy_pass {to}; proxy_ssl_server_name on;"
    return "\n".join([head, *directives, "}"])


ON = "ssl_verify_client on;"
POLICY, ENFORCE = "pinverify_policy clients.pvpol;", "pinverify enforce;"
PROXIED = "proxy_pinverify_policy upstreams.pvpol;", "proxy_pinverify enforce;"
GROUP = "upstream group { server 127.0.0.1:1; keepalive 2; }\n"

WRONG = {
    "missing": (server(ON, "pinverify_policy missing;"), 'missing" cannot be opened'),
    "folder": (server(ON, "pinverify_policy www;"), 'www" cannot be read whole'),
    "pipe": (server(ON, "pinverify_policy pipe;"), 'pipe" cannot be read whole'),
    "empty": (server(ON, "pinverify_policy empty;"), "is no compiled policy"),
    "cut": (server(ON, "pinverify_policy cut;"), "is no compiled policy"),
    "toml": (
        server(ON, "pinverify_policy pins.toml;"),
        'Make one with "pinverify compile pins.toml --output pins.pvpol"',
    ),
    "hosts": (
        server(ON, "pinverify_policy upstreams.pvpol;"),
        'no pins for clients: add the table "[clients]"',
    ),
    "clients": (
        server("proxy_pinverify_policy clients.pvpol;"),
        'no pins for hosts: add the table "[hosts."NAME"]"',
    ),
    "twice": (server(ON, POLICY, POLICY), '"pinverify_policy" directive is duplicate'),
    "mode": (server(ON, POLICY, "pinverify on;"), 'invalid value "on"'),
    "no policy": (server(ON, ENFORCE), 'add "pinverify_policy", for the server in'),
    "nobody asked": (server(POLICY, ENFORCE), 'set "ssl_verify_client" to on'),
    "early data": (
        server(ON, POLICY, ENFORCE, "ssl_early_data on;"),
        'remove "ssl_early_data on"',
    ),
    "no policy for upstreams": (
        server(proxy("/up", PROXIED[1])),
        'add "proxy_pinverify_policy", for location "/up"',
    ),
    "upstream in clear": (
        server(proxy("/up", *PROXIED, to="http://localhost:1")),
        'write https, or "proxy_pinverify off"',
    ),
    "upstream in clear by inheritance": (
        server(*PROXIED, proxy("/a"), proxy("/b", to="http://localhost:1")),
        'or "proxy_pinverify off", for location "/b"',
    ),
    "no name": (
        server(proxy("/up", *PROXIED).replace("proxy_ssl_server_name on;", "")),
        'add "proxy_ssl_server_name on"',
    ),
    "shared upstream": (
        GROUP
        + server(
            proxy("/a", *PROXIED, to="https://group"),
            proxy("/b", to="https://group"),
        ),
        "make one upstream{} for each",
    ),
    "upstream in clear under a condition": (
        server(
            proxy("/up", *PROXIED, "if ($arg_a) { proxy_pass http://localhost:1; }")
        ),
        'write it in a location, for location "/up"',
    ),
    "upstream in clear for some methods": (
        server(
            proxy(
                "/up", *PROXIED, "limit_except GET { proxy_pass http://localhost:1; }"
            )
        ),
        'write it in a location, for location "/up"',
    ),
    "shared upstream under a condition": (
        GROUP
        + server(
            proxy("/a", *PROXIED, to="https://group"),
            proxy("/b", "if ($arg_a) { proxy_pass https://group; }"),
        ),
        "make one upstream{} for each",
    ),
    "shared upstream with two names": (
        GROUP
        + server(
            *PROXIED,
            proxy("/a", "proxy_ssl_name a.localhost;", to="https://group"),
            proxy("/b", "proxy_ssl_name b.localhost;", to="https://group"),
        ),
        "make one upstream{} for each",
    ),
    "shared upstream with any name": (
        GROUP
        + server(
            proxy("/up", *PROXIED, "proxy_ssl_name $host;", to="https://group"),
        ),
        'write "proxy_ssl_name" without variables',
    ),
    "shared upstream in clear": (
        GROUP
        + server(
            proxy("/a", to="http://group"),
            proxy("/b", *PROXIED, to="https://group"),
        ),
        "make one upstream{} for each",
    ),
}

RIGHT = {
    "inherited": f"{POLICY} {ENFORCE}" + server(ON) + server(ON, "pinverify off;"),
    "without TLS": f"{POLICY} {ENFORCE}" + server(tls=False),
    "one upstream": GROUP
    + server(*PROXIED, proxy("/a", to="https://group"), proxy("/b", to="https://group"))
    + server(proxy("/c", "if ($arg_a) { break; }"))
    + server(
        proxy("/d", *PROXIED, "proxy_ssl_name $proxy_host;", to="https://group"),
        proxy("/e", *PROXIED, "if ($arg_a) { break; }", to="https://group"),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_nginx_does_not_start_with(case: str, tmp_path: Path, pki: Pki) -> None:
    """The message names the file or the server, its line, and the next step."""
    text, expected = WRONG[case]
    policy = Policy.for_clients(PinSet(leaf=[pki.client.pin])).compile()
    (tmp_path / "cut").write_bytes(policy[:-1])
    (tmp_path / "empty").write_bytes(b"")
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it
    (tmp_path / "pins.toml").write_text("version = 1\n", encoding="ascii")
    code, told = checked(text, tmp_path, pki)
    assert code != 0
    assert expected in told
    first = next(line for line in told.splitlines() if expected in line)
    assert f"in {tmp_path}/nginx.conf:" in first


@pytest.mark.parametrize("case", RIGHT)
def test_nginx_starts_with(case: str, tmp_path: Path, pki: Pki) -> None:
    """Directives are inherited from http, and the inner ones replace the outer."""
    code, told = checked(RIGHT[case], tmp_path, pki)
    assert code == 0, told


# ---- upstreams -----------------------------------------------------------------------

UPSTREAMS = """
    upstream kept {{ server 127.0.0.1:{honest}; keepalive 2; }}
    server {{
        listen 127.0.0.1:{honest} ssl;
        access_log {folder}/upstream.log words;
    }}
    server {{
        listen 127.0.0.1:{serving} ssl;
        ssl_certificate {folder}/impostor.pem;
        ssl_certificate_key {folder}/impostor.pem;
    }}
    server {{
        listen 127.0.0.1:{port};
        proxy_ssl_trusted_certificate {folder}/roots.pem;
        proxy_ssl_verify_depth 3;
        proxy_ssl_verify on;
        proxy_ssl_server_name on;
        proxy_ssl_name localhost;
        proxy_pinverify_policy upstreams.pvpol;
        proxy_pinverify enforce;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location /right/ {{ proxy_pass https://127.0.0.1:{honest}/; }}
        location /kept/ {{ proxy_pass https://kept/; }}
        location /wrong/ {{ proxy_pass https://127.0.0.1:{impostor}/; }}
        location /pinned/ {{
            proxy_pass https://127.0.0.1:{serving}/;
            location /pinned/not/ {{
                proxy_pinverify off;
                proxy_pass https://127.0.0.1:{serving}/;
            }}
        }}
        location /if/ {{
            set $yes 1;
            if ($yes) {{ add_header X-Yes 1; }}
            rewrite ^ / break;
            proxy_pass https://127.0.0.1:{honest};
        }}
        location /unpinned/ {{
            proxy_pinverify off;
            proxy_pass https://127.0.0.1:{serving}/;
        }}
        location /report/ {{
            proxy_pinverify report;
            proxy_pass https://127.0.0.1:{serving}/;
        }}
        location /key/ {{
            proxy_ssl_verify off;
            proxy_pass https://127.0.0.1:{honest}/;
        }}
        location /authority/ {{
            proxy_pinverify_policy authority.pvpol;
            proxy_pass https://127.0.0.1:{honest}/;
        }}
        location /authority-unverified/ {{
            proxy_pinverify_policy authority.pvpol;
            proxy_ssl_verify off;
            proxy_pass https://127.0.0.1:{honest}/;
        }}
        location /address/ {{
            proxy_ssl_name 127.0.0.1;
            proxy_pass https://127.0.0.1:{honest}/;
        }}
        location /other-name/ {{
            proxy_ssl_name elsewhere.example;
            proxy_pass https://127.0.0.1:{honest}/;
        }}
    }}
"""


def test_no_byte_of_a_request_reaches_an_upstream_with_another_key(
    tmp_path: Path, pki: Pki, serve: Serve
) -> None:
    """Both are valid for the name; sessions are resumed, and connections kept."""
    port, honest, serving = free_port(), free_port(), free_port()
    pki.impostor.write(tmp_path / "impostor.pem")
    impostor = serve(server_context(pki.impostor))
    policy = Policy({"localhost": PinSet(ca=[pki.ca.pin])}).compile()
    (tmp_path / "authority.pvpol").write_bytes(policy)
    text = UPSTREAMS.format(
        folder=tmp_path,
        port=port,
        honest=honest,
        serving=serving,
        impostor=impostor.port,
    )
    with Nginx(text, tmp_path, pki, port, honest, serving) as nginx:

        def statuses(path: str) -> list[int]:
            return asked(port, None, *[path] * 3).statuses

        # The location without verification is the last: nginx hands its sessions to
        # the others, and then refuses them itself (docs/nginx.md).
        for path in ("/right/", "/kept/", "/authority/", "/if/", "/key/"):
            assert statuses(path) == [200] * 3, path
        assert nginx.notices() == []
        log = tmp_path / "upstream.log"
        until(lambda: " r\n" in log.read_text(encoding="ascii"), "none was resumed")
        for path in ("/wrong/", "/authority-unverified/", "/address/"):
            assert statuses(path) == [502] * 3, path
        told = nginx.notices()
        assert len(told) == 9
        mismatch = "MISMATCH the chain does not match the pins, key"
        assert f"{mismatch} {pki.impostor.pin}" in told[0]
        assert f'upstream: "https://127.0.0.1:{impostor.port}/"' in told[0]
        assert f"{mismatch} {pki.server.pin}" in told[3]
        assert "proxy_ssl_name must be a name" in told[6]
        records = [impostor.record(number) for number in range(3)]
        assert not any(record.application for record in records)
        assert not any(record.handshake for record in records)
        assert statuses("/other-name/") == [502] * 3  # by nginx's own verification
        # Another impostor is served from, unless pins refuse it.
        assert statuses("/pinned/") == [502] * 3
        assert statuses("/unpinned/") == statuses("/pinned/not/") == [200] * 3
        before = len(nginx.notices())
        assert statuses("/report/") == [200] * 3
        assert len(nginx.notices()) == before + 3


def test_sessions_are_not_reused_where_nginx_is_told_so(
    tmp_path: Path, pki: Pki
) -> None:
    """The module writes this setting for a location as it would be inherited."""
    port, honest = free_port(), free_port()
    upstream = server("access_log upstream.log words;")
    to = f"https://localhost:{honest}"
    front = server(proxy("/", *PROXIED, to=to), tls=False)
    text = upstream.replace(":1 ", f":{honest} ") + front.replace(":1;", f":{port};", 1)
    for setting, resumed in (("off", set()), ("on", {"r"})):
        folder = tmp_path / setting
        folder.mkdir()
        http = f"proxy_ssl_session_reuse {setting};\n{text}"
        with Nginx(http, folder, pki, port, honest):
            assert asked(port, None, *["/"] * 4).statuses == [200] * 4
        log = (folder / "upstream.log").read_text(encoding="ascii")
        assert {line.split()[-1] for line in log.splitlines()} == {".", *resumed}


# ---- the pages -----------------------------------------------------------------------

PAGE = ROOT / "docs" / "nginx.md"


def blocks(page: Path, language: str, folder: Path) -> list[str]:
    """Return the blocks of a page, with paths of a test."""
    texts = re.findall(
        rf"(?s)```{language}\n(.*?)```", page.read_text(encoding="utf-8")
    )
    for old, new in (("/etc/pki", ""), ("/var/log/nginx", ""), ("/var/www", "/www")):
        texts = [text.replace(old, f"{folder}{new}") for text in texts]
    return texts


def test_the_configurations_of_the_page_run(
    tmp_path: Path, pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first is for clients, whose policy is compiled as it says; one has pins."""
    clients, proxied = blocks(PAGE, "nginx", tmp_path)
    (policy,) = blocks(PAGE, "toml", tmp_path)
    (command,) = blocks(PAGE, "console", tmp_path)
    first, second = re.findall(r"sha256/[\w+/]{43}=", policy)
    policy = policy.replace(first, pki.client.pin).replace(second, pki.root.pin)
    (tmp_path / "pins.toml").write_text(policy, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert run(*command.split()[2:]).code == 0
    compiled = (tmp_path / "clients.pvpol").read_bytes()
    (tmp_path / "servers.pem").write_text(pki.trust_pem, encoding="ascii")
    upstreams = Policy({"localhost": PinSet(leaf=[pki.server.pin])}).compile()
    (tmp_path / "servers.pvpol").write_bytes(upstreams)
    tls, plain, honest = free_port(), free_port(), free_port()
    # The whole directive: the name of the folder may have these digits too.
    clients = clients.replace("listen 443 ", f"listen 127.0.0.1:{tls} ")
    proxied = proxied.replace("listen 80;", f"listen 127.0.0.1:{plain};")
    proxied = proxied.replace("api.example.com", f"localhost:{honest}")
    upstream = server().replace("127.0.0.1:1", f"127.0.0.1:{honest}")
    (tmp_path / "www" / "refused").mkdir(parents=True)
    (tmp_path / "www" / "refused" / "index.html").write_text("no", encoding="ascii")
    text = clients + proxied + upstream
    with Nginx(text, tmp_path, pki, tls, plain, honest) as nginx:
        # These files are not those of other tests.
        (tmp_path / "clients.pvpol").write_bytes(compiled)
        nginx.reload()
        certificates = {
            who: client_context(pki.root, identity=who)
            for who in (pki.client, pki.stranger)
        }
        until(lambda: asked(tls, certificates[pki.client]).statuses == [200], "")
        refused = asked(tls, certificates[pki.stranger])
        assert (refused.statuses, refused.body) == ([400], b"no")
        assert asked(plain, None).statuses == [200]
        log, line = tmp_path / "pins.log", f"GET / HTTP/1.1 200 MATCH {pki.client.pin}"
        until(lambda: line in log.read_text(encoding="utf-8"), "no line in the log")


def test_the_configuration_of_the_readme_is_right(tmp_path: Path, pki: Pki) -> None:
    """All of it, since it is a whole file."""
    (text,) = blocks(FOLDER / "README.md", "nginx", tmp_path)
    relative = "nginx-src/objs/ngx_http_pinverify_module.so"
    assert text.startswith(f"load_module {relative};")
    checked("", tmp_path, pki)  # which writes files
    file = tmp_path / "whole.conf"
    file.write_text(text.replace(relative, str(built())), encoding="utf-8")
    settings = f"pid {tmp_path}/pid; error_log stderr;"
    command = [started("nginx"), "-t", "-p", str(tmp_path), "-c", str(file)]
    done = subprocess.run(
        [*command, "-g", settings], capture_output=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr


def test_each_directive_and_variable_is_on_the_page() -> None:
    """The page has all that the source has, and nothing else."""
    names = {
        name
        for file in ("module.c", "clients.c")
        for name in re.findall(
            r'ngx_string\("((?:proxy_)?pinverify\w*)"\)',
            (FOLDER / file).read_text(encoding="ascii"),
        )
    }
    page = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `\$?(\w+)", page)
    assert sorted(rows) == sorted(names)


def test_the_source_has_no_warnings() -> None:
    """By clang; the build takes those of gcc for errors. nginx's headers have some."""
    tree = built().parent.parent
    folders = ["core", "event", "event/modules", "event/quic", "os/unix", "http"]
    folders += ["http/modules", "http/v2", "http/v3"]
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion"]
    flags += ["-Wshadow", "-Werror", "-fsyntax-only", f"-I{ROOT / 'csrc'}"]
    for folder in (tree / "objs", *(tree / "src" / name for name in folders)):
        flags += ["-isystem", str(folder)]
    sources = sorted(map(str, FOLDER.glob("*.c")))
    done = subprocess.run(
        [started("clang-19"), *flags, *sources],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
