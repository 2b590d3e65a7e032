"""Scrapes of Prometheus: they match the connections, and the alert rules are valid."""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import shutil
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from header_requests import value_of
from optional import client_library
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    Report,
    Rules,
    check,
    create_connection,
    install,
    pin_context,
    report_of,
    uninstall,
)
from pinverify.formats import toml
from pinverify.headers import Proxy
from pinverify.headers._request_decision import Gate, Request
from pinverify.live import PolicyFile, _policy_file
from pinverify.live._policy_file import policy_files
from pki import Identity, Pki
from places import ROOT
from started import free_port
from test_authserver import policy_file, serving
from test_live_counts import POLICIES, policy_for, shake
from tls_clients import Serve, client_of, trusting
from tls_servers import LIMIT, server_context

prometheus: Any = client_library("prometheus_client")

from pinverify.live import collector  # noqa: E402 - for those who have the library

__all__: list[str] = []

PAGE = ROOT / "docs" / "operate.md"
DECISION = ("side", "reason", "mode", "accepted")


@pytest.fixture
def registry() -> Any:  # noqa: ANN401 - of the library
    """Return a registry with nothing but our collector."""
    made = prometheus.CollectorRegistry()
    made.register(collector())
    return made


def scraped(registry: Any, name: str, *labels: str) -> Counter[tuple[str, ...]]:  # noqa: ANN401
    """Return the samples of a metric, by some labels, as Prometheus reads them."""
    text = prometheus.generate_latest(registry).decode("utf-8")
    parse = importlib.import_module("prometheus_client.parser")
    found: Counter[tuple[str, ...]] = Counter()
    for family in parse.text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name:
                found[tuple(sample.labels[each] for each in labels)] += sample.value
    return found


def decision(report: Report) -> tuple[str, ...]:
    """Return the labels of a report."""
    accepted = str(report.accepted).lower()
    return report.side or "", report.reason.name, report.mode, accepted


# ---- everything that decides, counted ----------------------------------------


class Sent:
    """Connections of each kind, and the reports that came of them."""

    def __init__(self, pki: Pki, serve: Serve) -> None:
        self.pki, self.reports = pki, Counter[tuple[str, ...]]()
        self.server = server_context(pki.server)
        self.port = serve(server_context(pki.server)).port
        self.contexts = {kind: trusting(pki) for kind in POLICIES}
        self.clients = server_context(pki.server, client_authority=pki.root)
        pin_context(self.clients, PinSet(leaf=[pki.client.pin]))
        proxy = Proxy("rfc9440", peers=["127.0.0.1"])
        self.gate = Gate(PinSet(leaf=[pki.client.pin]), proxy)
        self.session: ssl.SSLSession | None = None
        self.resumed = 0

    def note(self, report: Report | None) -> None:
        """Keep what a connection was told."""
        assert report is not None
        self.reports[decision(report)] += 1

    def connect(self, turn: int) -> None:
        """Make one connection, of a kind that depends on the turn."""
        kinds = [self.context, self.server_side, self.header, self.process]
        kinds += [self.socket, self.resume, self.pyopenssl]
        kinds[turn % len(kinds)](turn)

    def context(self, turn: int) -> None:
        """Connect by a context whose policy was swapped just now."""
        kind = POLICIES[turn // 7 % len(POLICIES)]
        pin_context(self.contexts[kind], policy_for(self.pki, kind))
        for report in shake(self.contexts[kind], self.server):
            self.note(report)

    def server_side(self, turn: int) -> None:
        """Be a server with pins for clients."""
        who: Identity | None
        who = (self.pki.client, self.pki.stranger)[turn // 7 % 2]
        for report in shake(client_of(self.pki, who), self.clients):
            self.note(report)

    def header(self, turn: int) -> None:
        """Take a certificate from a header, also of somebody who is not the proxy."""
        who = (self.pki.client, self.pki.stranger)[turn // 7 % 2]
        address = ("127.0.0.1", "10.0.0.1")[turn // 14 % 2]
        lines = [(b"Client-Cert", value_of("rfc9440", who).encode())]
        self.note(self.gate.decide(Request(lines, (address, 1), unix=False)))

    def process(self, turn: int) -> None:
        """Connect by a context that install reaches."""
        kind = POLICIES[turn // 7 % len(POLICIES)]
        install(policy_for(self.pki, kind))
        try:
            (report,) = shake(trusting(self.pki), self.server)
        finally:
            uninstall()
        self.note(report)

    def socket(self, turn: int) -> None:
        """Connect over a socket."""
        kind = POLICIES[turn // 7 % len(POLICIES)]
        place, policy = ("localhost", self.port), policy_for(self.pki, kind)
        try:
            with create_connection(place, policy, context=trusting(self.pki)) as tls:
                self.note(report_of(tls))
        except PinningError as error:
            self.note(error.report)

    def resume(self, turn: int) -> None:
        """Resume a session, under the right policy and under a wrong one."""
        context = self.contexts["match"]
        pin_context(context, policy_for(self.pki, "match"))
        name = "localhost"
        for _ in range(1 + turn // 7 % 2):
            plain = socket.create_connection(("127.0.0.1", self.port), LIMIT)
            session = self.session
            with context.wrap_socket(
                plain, server_hostname=name, session=session
            ) as tls:
                tls.sendall(b"x")
                tls.recv(1)
                self.session = tls.session
                self.resumed += bool(tls.session_reused)
                self.note(report_of(tls))

    def pyopenssl(self, turn: int) -> None:
        """Connect by pyOpenSSL."""
        openssl: Any = client_library("OpenSSL.SSL")
        from pinverify.tls.pyopenssl import (  # noqa: PLC0415 - only where it is
            pin_connection,
        )

        kind = POLICIES[turn // 7 % len(POLICIES)]
        context = openssl.Context(openssl.TLS_CLIENT_METHOD)
        context.set_verify(openssl.VERIFY_PEER)
        store = context.get_cert_store()
        crypto: Any = client_library("OpenSSL.crypto")
        store.add_cert(crypto.X509.from_cryptography(self.pki.root.certificate))
        plain = socket.create_connection(("127.0.0.1", self.port), LIMIT)
        plain.settimeout(None)
        with contextlib.closing(openssl.Connection(context, plain)) as conn:
            conn.set_connect_state()
            conn.set_tlsext_host_name(b"localhost")
            pin_connection(conn, policy_for(self.pki, kind))
            with contextlib.suppress(PinningError):
                conn.do_handshake()
            self.note(conn.pin_report)


@pytest.mark.ci  # a thousand connections
@pytest.mark.filterwarnings("ignore:Passing pyOpenSSL:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Attempting to mutate:DeprecationWarning")
def test_a_scrape_is_what_was_sent(
    pki: Pki,
    serve: Serve,
    registry: Any,  # noqa: ANN401
) -> None:
    """A thousand connections of all kinds, across more than a hundred swaps."""
    sent = Sent(pki, serve)
    before = scraped(registry, "pinverify_decisions_total", *DECISION)
    for turn in range(1000):
        sent.connect(turn)
    after = scraped(registry, "pinverify_decisions_total", *DECISION)
    assert after - before == sent.reports
    assert sum(sent.reports.values()) >= 1000
    assert sent.resumed > 50
    reasons = {reason for _, reason, _, _ in sent.reports}
    wanted = {"MATCH", "MISMATCH", "NOT_PINNED", "EXPIRED", "BLOCKED", "NOT_CHECKED"}
    assert reasons >= wanted
    rules = scraped(registry, "pinverify_rule_decisions_total", "rule")
    assert {("localhost",), ("**.localhost",)} <= rules.keys()


def test_a_check_is_counted_too(pki: Pki, serve: Serve, registry: Any) -> None:  # noqa: ANN401
    """It makes a connection of its own."""
    port = serve(server_context(pki.server)).port
    before = scraped(registry, "pinverify_decisions_total", *DECISION)
    context = trusting(pki)
    found = check(f"https://localhost:{port}", [pki.server.pin], context=context)
    after = scraped(registry, "pinverify_decisions_total", *DECISION)
    assert after - before == {decision(found): 1}


# ---- policies ----------------------------------------------------------------


def test_policies_are_exported_by_path(
    pki: Pki,
    tmp_path: Path,
    registry: Any,  # noqa: ANN401
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Their digest, the next expiry, failures; each path once, and none when closed."""
    monkeypatch.setattr(_policy_file, "_SETTLE", 0.0)
    policy_files.clear()
    import datetime as dt  # noqa: PLC0415 - of this test alone

    at = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    past = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    rules = Rules(
        {
            "a.example": PinSet([pki.server.pin], expires=at, after_expiry="reject"),
            "b.example": PinSet([pki.server.pin], expires=past, after_expiry="allow"),
        }
    )
    path = tmp_path / "pins.toml"
    path.write_text(toml.dumps(rules), "utf-8")
    with PolicyFile(path, every=None) as file, PolicyFile(path, every=None):
        name = "pinverify_policy_earliest_expiry_timestamp_seconds"
        assert scraped(registry, name, "path") == {(str(path),): at.timestamp()}
        info = scraped(registry, "pinverify_policy_info", "path", "digest")
        assert info == {(str(path), Policy(rules).digest.hex()): 1}
        path.write_text("version = 2", "utf-8")
        assert not file.reload()
        failures = scraped(registry, "pinverify_policy_reload_failures_total", "path")
        assert failures == {(str(path),): 1}
        loaded = "pinverify_policy_loaded_timestamp_seconds"
        assert scraped(registry, loaded, "path")[str(path),] <= time.time()
        path.write_text(toml.dumps(Rules({"a.example": [pki.ca.pin]})), "utf-8")
        assert file.reload()
        assert scraped(registry, name, "path") == {(str(path),): at.timestamp()}
    assert scraped(registry, "pinverify_policy_info", "path") == {}


# ---- the service -------------------------------------------------------------


def fetched(port: int, path: str, method: str = "GET") -> tuple[int, str]:
    """Return the status and the body of an answer."""
    url = f"http://127.0.0.1:{port}{path}"
    asked = urllib.request.Request(url, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT) as answer:  # noqa: S310
            return answer.status, answer.read().decode("utf-8")
    except urllib.error.HTTPError as error:
        with error:  # it is the answer, with its connection
            return error.code, error.read().decode("utf-8")


@contextlib.contextmanager
def service(pki: Pki, folder: Path) -> Iterator[tuple[int, int]]:
    """Run authserver; yield its port and that for probes."""
    file = policy_file(folder, pki.client.pin)
    port, probes = free_port(), free_port()
    options = ("--policy", str(file), "--form", "rfc9440", "--from", "127.0.0.1")
    where = ("--listen", f"127.0.0.1:{port}", "--metrics", f"127.0.0.1:{probes}")
    with serving(*options, *where) as running:
        yield running.port, probes


def test_probes_have_an_address_of_their_own(pki: Pki, tmp_path: Path) -> None:
    """A probe is no client that was rejected; clients find no metrics."""
    from proxies import ask  # noqa: PLC0415 - it needs the helpers of proxies

    with service(pki, tmp_path) as (port, probes):
        assert fetched(probes, "/healthz") == (200, "ok\n")
        assert fetched(probes, "/other")[0] == 404
        assert fetched(probes, "/metrics", "POST")[0] == 405
        status, text = fetched(probes, "/metrics?x=1")
        assert status == 200
        assert "pinverify_decisions_total{" not in text
        assert ask(port, "/metrics").status == 403
        value = [("Client-Cert", value_of("rfc9440", pki.client))]
        assert ask(port, "/", value).status == 200
        _, text = fetched(probes, "/metrics")
        digest = re.findall(r'pinverify_policy_info\{digest="([0-9a-f]{64})"', text)
        assert len(digest) == 1
        counts = re.findall(r"(?m)^pinverify_decisions_total\{.*\} (\S+)$", text)
        assert counts == ["1.0", "1.0"]
        with socket.create_connection(("127.0.0.1", probes), LIMIT) as silent:
            assert fetched(probes, "/healthz") == (200, "ok\n")
            silent.sendall(b"x" * 20_000)
            with contextlib.suppress(ConnectionError):
                assert silent.recv(1) == b""


# ---- Prometheus itself -------------------------------------------------------


def rules_of_the_page() -> str:
    """Return the alert rules."""
    _, _, rest = PAGE.read_text("utf-8").partition("```yaml\n")
    return rest.partition("```")[0]


def test_the_rules_name_only_what_is_exported(registry: Any) -> None:  # noqa: ANN401
    """Each metric and each label of an expression is one of the collector's."""
    text = rules_of_the_page()
    expressions = re.findall(r"expr: (.*)", text)
    assert len(expressions) == 5
    exported: dict[str, set[str]] = {}
    for family in registry.collect():
        suffix = "_total" if family.type == "counter" else ""
        exported[family.name + suffix] = set(family._labelnames)  # noqa: SLF001
    used = set(re.findall(r"pinverify_\w+", " ".join(expressions)))
    assert used <= exported.keys()
    for name, labels in re.findall(r"(pinverify_\w+)\{(.*?)\}", " ".join(expressions)):
        assert set(re.findall(r"(\w+)=", labels)) <= exported[name]
    listed = set(re.findall(r"(?m)^\| `(pinverify_\w+)`", PAGE.read_text("utf-8")))
    assert listed == exported.keys()


@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool here")
def test_promtool_takes_the_rules(tmp_path: Path) -> None:
    """And what is exported is in its format."""
    file = tmp_path / "rules.yaml"
    file.write_text(rules_of_the_page(), "utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "5 rules found" in done.stdout) == (0, True), done.stderr


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no Prometheus here")
def test_prometheus_scrapes_the_service(pki: Pki, tmp_path: Path) -> None:
    """A real one, with the rules: it finds the digest of the policy in force."""
    from proxies import ask  # noqa: PLC0415 - it needs the helpers of proxies

    listen = free_port()
    (tmp_path / "rules.yaml").write_text(rules_of_the_page(), "utf-8")
    with service(pki, tmp_path) as (port, probes):
        assert ask(port, "/").status == 403
        target = {"targets": [f"127.0.0.1:{probes}"]}
        job = {"job_name": "pinverify", "static_configs": [target]}
        settings = {
            "global": {"scrape_interval": "1s"},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [job],
        }
        (tmp_path / "prometheus.yml").write_text(json.dumps(settings), "utf-8")
        with subprocess.Popen(
            [
                "prometheus",
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{listen}",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                found = _queried(listen, "pinverify_decisions_total")
            finally:
                process.kill()
    labels = found[0]["metric"]
    assert (labels["side"], labels["reason"]) == ("client", "NO_CERTIFICATE")
    assert found[0]["value"][1] == "1"


def _queried(port: int, expression: str) -> list[dict[str, Any]]:
    """Return what Prometheus has scraped, once it has."""
    for _ in range(400):
        with contextlib.suppress(OSError, ValueError, KeyError):
            _, text = fetched(port, f"/api/v1/query?query={expression}")
            if found := json.loads(text)["data"]["result"]:
                return list(found)
        time.sleep(0.1)
    msg = "nothing was scraped"
    raise AssertionError(msg)
