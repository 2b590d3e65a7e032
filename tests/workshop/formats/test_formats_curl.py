"""curl reads what is written for it."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest

from pinverify import Pin, PinSet, Policy, Rules, dump_rules, load_rules
from pki import Pki
from started import started
from tls_servers import TLSServer, server_context

__all__: list[str] = []

HOST = "localhost"
ONE, TWO = (Pin.spki(hashlib.sha256(key).digest()) for key in (b"one", b"two"))
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"
PIN_MISMATCH = 90  # CURLE_SSL_PINNEDPUBKEYNOTMATCH, in curl's manual


# ---- curl --------------------------------------------------------------------------


@pytest.mark.parametrize("other", ["key", "authority", "nothing"])
def test_curl_refuses_the_same_servers(other: str, pki: Pki, tmp_path: Path) -> None:
    """Its pins are of the leaf's key, and of nothing above it."""
    pin = {"key": Pin.parse(pki.server.pin), "authority": Pin.parse(pki.ca.pin)}
    rules = Rules({HOST: PinSet(leaf=[pin.get(other, ONE), TWO])})
    text = str(dump_rules(rules, format="curl").text).strip()
    file = tmp_path / "pins"
    file.write_text(text, encoding="ascii")
    server = TLSServer(server_context(pki.server), greeting=ANSWER, echo=False)
    command = [started("curl"), "--silent", "--noproxy", "*", "--http1.0"]
    command += ["--cacert", str(pki.trust_file(tmp_path)), "--pinnedpubkey", text]
    command += ["--connect-to", f"::127.0.0.1:{server.port}", f"https://{HOST}/"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    finally:
        server.close()
    read = Policy(load_rules(file, format="curl", host=HOST))
    report = read.evaluate(HOST, [pki.server.der, pki.ca.der])
    assert report.accepted == (other == "key")
    assert done.returncode == (0 if report.accepted else PIN_MISMATCH)
    assert done.stdout == (b"ok" if report.accepted else b"")
