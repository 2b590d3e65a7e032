"""Programs of other systems read what is written for them: curl, Apache, nginx."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.client
import subprocess
from pathlib import Path

import pytest

from pinverify import Pin, PinSet, Policy, Rules, dump_rules, load_rules
from pki import Pki
from started import free_port, running, started
from tls_servers import LIMIT, TLSServer, server_context

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


# ---- headers -----------------------------------------------------------------------

NGINX = """
daemon off;
master_process off;
pid {folder}/pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        {line}
        location / {{ return 404; }}
    }}
}}
"""

APACHE = """
ServerName localhost
ServerRoot {folder}
DefaultRuntimeDir {folder}
PidFile {folder}/pid
ErrorLog {folder}/log
Listen 127.0.0.1:{port}
User daemon
Group daemon
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule headers_module {modules}/mod_headers.so
DocumentRoot {folder}
{line}
"""

MODULES = "/usr/lib/apache2/modules"


def command_for(name: str, text: str, port: int, folder: Path) -> list[str]:
    """Write a configuration, and return the command of a server that reads it."""
    configuration = folder / "server.conf"
    template = {"nginx": NGINX, "apache": APACHE}[name]
    written = template.format(folder=folder, port=port, line=text, modules=MODULES)
    configuration.write_text(written, encoding="utf-8")
    if name == "nginx":
        return [started("nginx"), "-p", str(folder), "-c", str(configuration)]
    if not Path(MODULES).is_dir():
        pytest.skip("the modules of apache2 are not there")
    return [started("apache2"), "-X", "-f", str(configuration)]


@pytest.mark.parametrize("name", ["apache", "nginx"])
def test_servers_send_the_header_that_is_written(name: str, tmp_path: Path) -> None:
    """With errors, too; and the header has the rules that were written."""
    end = dt.datetime.now(dt.UTC).replace(microsecond=0) + dt.timedelta(days=60)
    pinset = PinSet([ONE, TWO], expires=end, after_expiry="allow")
    rules = Rules({f"**.{HOST}": pinset})
    text = str(dump_rules(rules, format=name).text)
    port = free_port()
    with running(command_for(name, text, port, tmp_path), port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT)
        with contextlib.closing(connection):
            connection.request("GET", "/nothing-there")
            answer = connection.getresponse()
            header = answer.headers["Public-Key-Pins"]
    assert answer.status >= http.HTTPStatus.BAD_REQUEST
    file = tmp_path / "header"
    file.write_text(header, encoding="ascii")
    read = load_rules(file, format="hpkp", host=HOST)
    (read_back,) = read.hosts.values()
    assert isinstance(read_back, PinSet)
    assert read_back.pins == pinset.pins
    assert read.hosts.keys() == rules.hosts.keys()
