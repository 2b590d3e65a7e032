"""CPU time that the module of `examples/nginx` adds to a request.

    PYTHONPATH=tests/helpers python bench/bench_nginx.py                   in one minute
    PYTHONPATH=tests/helpers python bench/bench_nginx.py --instructions    by valgrind

One nginx, in one process, serves a small file through one persistent connection. The
locations differ only in their pins, and take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import machine
from nginx_module import Nginx
from pki import example_pki
from started import free_port, started
from tls_servers import LIMIT, client_context

__all__: list[str] = []

ROUNDS, REQUESTS = 60, 500  # of each location, in turns
COUNTED = (100, 600)  # requests under valgrind; the difference is what counts

CASES = {
    "off": "pinverify off; access_log off;",
    "enforce": "pinverify enforce; access_log off;",
    "log off": "pinverify off; access_log {folder}/words.log few;",
    "log enforce": "pinverify enforce; access_log {folder}/words.log pins;",
}
LOCATION = "location /{number}/ {{ alias {folder}/www/; {directives} }}\n"
SERVER = """
    keepalive_requests 1000000;
    log_format few '$remote_addr $status';
    log_format pins '$remote_addr $status $pinverify_reason $pinverify_spki';
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_verify_client on;
        pinverify_policy clients.pvpol;
        {locations}
    }}
"""


class Bench(Nginx):
    """An nginx in one process, and a client that keeps its connection."""

    def __init__(self, folder: Path, *before: str) -> None:
        """Write its files; *before* are words in front of its command."""
        self.port = free_port()
        locations = "".join(
            LOCATION.format(
                number=number,
                folder=folder,
                directives=directives.format(folder=folder),
            )
            for number, directives in enumerate(CASES.values())
        )
        text = SERVER.format(port=self.port, locations=locations)
        super().__init__(text, folder, example_pki(), self.port)
        self._command = [*before, *self._command, "-g", "master_process off;"]

    @contextlib.contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        """Yield one connection of the pinned client."""
        pki = example_pki()
        context = client_context(pki.root, identity=pki.client)
        with (
            socket.create_connection(("127.0.0.1", self.port), LIMIT) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as connection,
        ):
            yield connection

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, which the kernel counts in ns."""
        text = Path(f"/proc/{self.process.pid}/schedstat").read_text(encoding="ascii")
        return int(text.split()[0]) / 1e9


def ask(connection: ssl.SSLSocket, number: int, requests: int) -> None:
    """Send requests to a location, each after the answer to the last."""
    request = f"GET /{number}/ HTTP/1.1\r\nHost: localhost\r\n\r\n".encode("ascii")
    for _ in range(requests):
        connection.sendall(request)
        answer = b""
        while not answer.endswith(b"reached"):
            answer += connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 200 ")


def measured(folder: Path, rounds: int, requests: int) -> dict[str, list[float]]:
    """Return the microseconds of a request, of each round and location."""
    found: dict[str, list[float]] = {name: [] for name in CASES}
    with Bench(folder) as nginx, nginx.connected() as connection:
        for _ in range(rounds):
            for number, name in enumerate(CASES):
                before = nginx.cpu_seconds()
                ask(connection, number, requests)
                # The process is waiting for the next request, so all is counted.
                time.sleep(0.002)
                found[name].append((nginx.cpu_seconds() - before) / requests * 1e6)
    return found


def instructions(folder: Path, number: int) -> float:
    """Return the instructions of a request, counted by valgrind."""
    counts = []
    for requests in COUNTED:
        log = folder / "callgrind"
        tool = [started("valgrind"), "--tool=callgrind", f"--log-file={log}"]
        tool += [f"--callgrind-out-file={folder}/out"]
        with Bench(folder, *tool) as nginx, nginx.connected() as connection:
            ask(connection, number, requests)
        (count,) = re.findall(r"Collected : (\d+)", log.read_text(encoding="ascii"))
        counts.append(int(count))
    return (counts[1] - counts[0]) / (COUNTED[1] - COUNTED[0])


@pytest.mark.ci  # which compiles the module first
def test_requests_through_a_kept_connection(benchmark: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """One request of each location."""
    with Bench(tmp_path) as nginx, nginx.connected() as connection:

        def ask_each() -> None:
            for number in range(len(CASES)):
                ask(connection, number, 1)

        benchmark(ask_each)


def rows(folder: Path) -> Iterator[str]:
    """Measure all locations, and yield the rows of a table."""
    found = measured(folder, ROUNDS, REQUESTS)
    yield "| location | µs of a request | more than without pins |\n|---|---|---|"
    for case, base in (("enforce", "off"), ("log enforce", "log off")):
        pairs = zip(found[case], found[base], strict=True)
        more = statistics.median(one - other for one, other in pairs)
        yield f"| {base} | {statistics.median(found[base]):.1f} | |"
        yield f"| {case} | {statistics.median(found[case]):.1f} | {more:+.2f} |"


def counted_rows(folder: Path) -> Iterator[str]:
    """Count the instructions of all locations, and yield the rows of a table."""
    yield "| location | instructions of a request |\n|---|---|"
    for number, case in enumerate(CASES):
        yield f"| {case} | {instructions(folder, number):,.0f} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--instructions", action="store_true")
    table = counted_rows if parser.parse_args().instructions else rows
    with tempfile.TemporaryDirectory() as name:
        for row in table(Path(name)):
            sys.stdout.write(f"{row}\n")
            sys.stdout.flush()
    command = [started("nginx"), "-v"]
    version = subprocess.run(command, capture_output=True, text=True, check=True)
    when = f"{datetime.now(UTC):%Y-%m-%d}"
    sys.stdout.write(f"\n{machine.cpu()}, {version.stderr.strip()}, {when}.\n")


if __name__ == "__main__":
    main()
