"""The pages about HAProxy and Envoy: their commands, and their configurations.

HAProxy's configuration runs here; test_clients_envoy.py runs Envoy's.
"""

from __future__ import annotations

import hashlib
import re
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from cli_runs import run
from header_requests import Lines
from pages import blocks
from pinverify import load_rules
from pki import Pki
from places import ROOT
from proxies import ask
from started import free_port, running, started
from tls_servers import LIMIT, client_context

__all__: list[str] = []

DOCS = ROOT / "docs"


@pytest.mark.parametrize("page", ["haproxy.md", "envoy.md"])
def test_the_commands_print_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each with the policy that stands above it."""
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, text in blocks(DOCS / page):
        if language == "toml":
            Path("pins.toml").write_text(text, encoding="utf-8")
        elif language == "console":
            command, _, shown = text.partition("\n")
            ended = run(*command.split()[2:])
            assert (ended.code, ended.err) == (0, "")
            assert ended.out.strip("\n") == shown.strip("\n")
            ran += 1
    assert ran


def test_the_context_of_the_page_has_the_pins_of_its_policy(tmp_path: Path) -> None:
    """Read as `pinverify` reads the files of Envoy."""
    page = blocks(DOCS / "envoy.md")
    texts = [text for language, text in page if language == "yaml"]
    (context,) = map(yaml.safe_load, texts)
    file = tmp_path / "envoy.yaml"
    file.write_text(yaml.safe_dump(context), encoding="utf-8")
    policy = tmp_path / "pins.toml"
    policy.write_text(
        dict(reversed(blocks(DOCS / "envoy.md")))["toml"], encoding="utf-8"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_rules(file, format="envoy") == load_rules(policy)
    assert (
        run("convert", "envoy", "toml", file, "--output", tmp_path / "back").code == 0
    )
    assert load_rules(tmp_path / "back", format="toml") == load_rules(policy)


# ---- HAProxy -------------------------------------------------------------------------


@pytest.fixture
def application() -> Iterator[str]:
    """Run a server that answers everybody; return its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "7")
            self.end_headers()
            self.wfile.write(b"reached")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(LIMIT)


DEFAULTS = """
defaults
    mode http
    timeout client 9s
    timeout connect 9s
    timeout server 9s
"""


@pytest.mark.parametrize("way", ["deny", "log"])
def test_haproxy_runs_as_the_page_says(
    way: str,
    application: str,
    pki: Pki,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pinned certificate alone passes; the line for the log refuses nobody."""
    monkeypatch.chdir(tmp_path)
    page = blocks(DOCS / "haproxy.md")
    (policy,) = (text for language, text in page if language == "toml")
    whole, logged = (text for language, text in page if language == "haproxy")
    digest = hashlib.sha256(pki.client.der).hexdigest()
    first = re.findall(r"cert-sha256:(\w+)", policy)[0]
    Path("pins.toml").write_text(policy.replace(first, digest), encoding="utf-8")
    command = "convert toml haproxy pins.toml --output pins.lst"
    assert run(*command.split()).code == 0
    pki.server.write(tmp_path / "server.pem")
    Path("clients.pem").write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    port = free_port()
    if way == "log":
        whole = re.sub(r".*http-request deny.*\n", lambda _: logged, whole)
    whole = whole.replace("bind :443", f"bind 127.0.0.1:{port}")
    whole = whole.replace("/etc/pki/", f"{tmp_path}/")
    whole = whole.replace("10.0.0.9:8000", application)
    Path("haproxy.cfg").write_text(DEFAULTS + whole, encoding="utf-8")
    lines: Lines = ()
    with running([started("haproxy"), "-db", "-q", "-f", "haproxy.cfg"], port):
        for who, status in ((pki.client, 200), (pki.stranger, 403)):
            context = client_context(pki.root, identity=who)
            answer = ask(port, "/", lines, context)
            assert answer.status == (200 if way == "log" else status)
        assert ask(port, "/", lines, client_context(pki.root)).status == 0
