"""The gateway in C under load, with and without pins, on the loopback interface.

Both gateways run all the time, and clients visit them in turn for slices of a few
seconds, so that other work of the machine disturbs both. The policies of the pinned one
are replaced each second. Every tenth file is wrong: it must be refused, and the policy
before it must stay in force. Each visit is a full handshake of TLS 1.3 with a client
certificate, a handshake with the upstream, and an answer from there.

    PYTHONPATH=tests/helpers python bench/bench_gateway.py --seconds 300
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import machine
from bench_c import has_openssl_headers
from pinverify import PinSet, Policy, Rules
from pki import Pki, example_pki

__all__ = ["Gateway", "load"]

ROOT = Path(__file__).resolve().parent.parent
EXAMPLE = ROOT / "examples" / "gateway-c"
LOAD = ROOT / "bench" / "c" / "gateway_load.c"
FLAGS = ("-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
LIBRARIES = ("-lssl", "-lcrypto", "-pthread")


def _build(folder: Path, flags: str = "-O3") -> None:
    """Build the gateway with and without pins, and the ends, into *folder*."""
    without = f"ADAPTER={ROOT / 'bench' / 'c' / 'without_pins.c'}"
    for name, more in {"pinned": (), "plain": (without,)}.items():
        command = ["make", "-s", "-C", EXAMPLE, f"OUT={folder / name}"]
        command += [f"CFLAGS={flags}", *more]
        subprocess.run(list(map(str, command)), check=True, timeout=300)
    ends = ["cc", *FLAGS, flags, "-o", str(folder / "load"), str(LOAD), *LIBRARIES]
    subprocess.run(ends, check=True, timeout=300)


def _write(file: Path, data: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(data)
    new.rename(file)


@dataclass
class Gateway:
    """A gateway that runs, and what was seen of it.

    Attributes:
        process: the gateway.
        port: where it listens.
        events: those of its log, which a thread reads.
        taken: microseconds from connect to answer, of each visit.
        seconds: how long it was visited.
        errors: visits that failed.
        memory: resident bytes after each slice.
        cpu: seconds of processor time that the gateway itself has taken.
    """

    process: subprocess.Popen[str]
    events: list[dict[str, Any]] = field(default_factory=list)
    port: int = 0
    taken: list[int] = field(default_factory=list)
    seconds: float = 0.0
    errors: list[str] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    cpu: float = 0.0

    def read(self) -> None:
        """Read its log to the end."""
        assert self.process.stderr is not None
        self.events += map(json.loads, self.process.stderr)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name."""
        return [line for line in self.events if line["event"] == event]

    def look(self) -> None:
        """Note the resident memory and the processor time."""
        proc = Path(f"/proc/{self.process.pid}")
        pages = int((proc / "statm").read_text("ascii").split()[1])
        self.memory.append(pages * resource.getpagesize())
        # After the name, which may have blanks: the fields from the third on.
        fields = (proc / "stat").read_text("ascii").rpartition(")")[2].split()
        self.cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def _gateway(program: Path, folder: Path, upstream: str) -> Iterator[Gateway]:
    """Run a gateway with the files in *folder*, until the end of the block."""
    trust, policy = folder / "trust.pem", folder / "pins.pvpol"
    command = [
        *(program, "--listen", "127.0.0.1:0", "--upstream", f"localhost:{upstream}"),
        *("--certificate", folder / "server.pem"),
        *("--client-authorities", trust, "--upstream-authorities", trust),
        *("--client-policy", policy, "--upstream-policy", policy),
    ]
    with subprocess.Popen(
        list(map(str, command)), stderr=subprocess.PIPE, text=True
    ) as process:
        gateway = Gateway(process)
        assert process.stderr is not None
        try:
            while not gateway.port:
                gateway.events.append(json.loads(process.stderr.readline()))
                address = gateway.events[-1].get("address", "")
                gateway.port = int(address.rpartition(":")[2] or 0)
            reader = threading.Thread(target=gateway.read)
            reader.start()
            yield gateway
            process.terminate()
            reader.join(60)
        finally:
            process.kill()
    if process.returncode != 0:
        msg = f"the gateway ended with {process.returncode}"
        raise RuntimeError(msg)


def _visit(gateway: Gateway, folder: Path, seconds: float) -> None:
    """Let clients visit a gateway for a slice."""
    client, trust = folder / "client.pem", folder / "trust.pem"
    arguments = (gateway.port, client, trust, int(1000 * seconds))
    done = subprocess.run(
        [str(folder / "load"), "clients", *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=seconds + 60,
    )
    lines = done.stdout.splitlines()
    gateway.errors += [line for line in lines if line.startswith("error")]
    gateway.taken += [int(line) for line in lines if not line.startswith("error")]
    gateway.seconds += seconds
    gateway.look()


class _Swaps(threading.Thread):
    """Replaces the policy of a gateway each second; every tenth one is wrong."""

    def __init__(self, gateway: Gateway, folder: Path, pki: Pki) -> None:
        super().__init__()
        self.good = self.wrong = 0
        self._done = threading.Event()
        self._gateway, self._file = gateway, folder / "pins.pvpol"
        self._policies = [_policy(pki, extra) for extra in (pki.root.pin, pki.ca.pin)]

    def run(self) -> None:
        """Go on until told to end."""
        while not self._done.wait(1.0):
            if (self.good + self.wrong) % 10 == 9:
                _write(self._file, b"no policy")
                self.wrong += 1
            else:
                _write(self._file, self._policies[self.good % 2])
                self.good += 1
            self._gateway.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """Wait for the last one."""
        self._done.set()
        self.join()


def _policy(pki: Pki, extra: str) -> bytes:
    """Pin client and server, and an authority as a backup that never matches."""
    hosts = {"localhost": PinSet(leaf=[pki.server.pin, extra])}
    rules = Rules(hosts, clients=PinSet(leaf=[pki.client.pin, extra]))
    return Policy(rules).compile()


def load(folder: Path, seconds: float, slice_seconds: float = 5.0) -> list[Gateway]:
    """Visit both gateways in turn; return the pinned one and the other.

    Args:
        folder: has what `_build` made.
        seconds: how long in all.
        slice_seconds: how long one of them at a time.

    Raises:
        RuntimeError: a visit failed, or the counters of a gateway say otherwise.
    """
    pki = example_pki()
    pki.server.write(folder / "server.pem")
    pki.client.write(folder / "client.pem")
    (folder / "trust.pem").write_text(pki.trust_pem, encoding="ascii")
    _write(folder / "pins.pvpol", _policy(pki, pki.root.pin))
    upstream = [str(folder / "load"), "upstream", str(folder / "server.pem")]
    with subprocess.Popen(upstream, stdout=subprocess.PIPE, text=True) as ends:
        assert ends.stdout is not None
        try:
            port = ends.stdout.readline().strip()
            with (
                _gateway(folder / "pinned", folder, port) as pinned,
                _gateway(folder / "plain", folder, port) as plain,
            ):
                swaps = _Swaps(pinned, folder, pki)
                swaps.start()
                try:
                    for _ in range(math.ceil(seconds / slice_seconds / 2)):
                        for gateway in (pinned, plain):
                            _visit(gateway, folder, slice_seconds)
                finally:
                    swaps.end()
        finally:
            ends.kill()
    _judge(pinned, plain, swaps)
    return [pinned, plain]


def _judge(pinned: Gateway, plain: Gateway, swaps: _Swaps) -> None:
    """Compare what the clients saw with what the gateways counted."""
    last = [gateway.told("counters")[-1] for gateway in (pinned, plain)]
    visits, others = len(pinned.taken), len(plain.taken)
    facts = {
        "no visit failed": not pinned.errors + plain.errors,
        "each client matched": last[0]["client"]["accepted"] == {"MATCH": visits},
        "each upstream matched": last[0]["upstream"]["accepted"] == {"MATCH": visits},
        "nobody was refused": not last[0]["client"]["rejected"],
        # Nothing is counted without pins, but each visit brings as many bytes.
        "without pins, all came": last[1]["client"]["bytes"] * visits
        == last[0]["client"]["bytes"] * others,
        # A signal that comes before the one before was read is one with it.
        "policies were replaced": 0 < last[0]["reloads"] <= swaps.good,
        "wrong ones were refused": last[0]["reloads_refused"] <= swaps.wrong,
    }
    wrong = [fact for fact, holds in facts.items() if not holds]
    if wrong:
        msg = f"not so: {wrong}; {last}; {(pinned.errors + plain.errors)[:5]}"
        raise RuntimeError(msg)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="epoll is of Linux")
def test_the_gateway_takes_load(tmp_path: Path) -> None:
    """No visit fails while policies are replaced, and the counters say the same."""
    if not has_openssl_headers():
        pytest.skip("no C compiler, or no headers of OpenSSL (Debian: libssl-dev)")
    _build(tmp_path, "-O0")
    pinned, plain = load(tmp_path, seconds=3.0, slice_seconds=0.75)
    assert min(len(pinned.taken), len(plain.taken)) > 1
    assert pinned.told("counters")[-1]["reloads"] > 0


def _row(name: str, gateway: Gateway) -> str:
    """Return a line of the table."""
    taken = statistics.quantiles(gateway.taken, n=100)
    rate = len(gateway.taken) / gateway.seconds
    first, last = (memory / 1e6 for memory in (gateway.memory[0], gateway.memory[-1]))
    median, p99 = (taken[i] / 1000 for i in (49, 98))
    cpu = gateway.cpu / len(gateway.taken) * 1e6
    return (
        f"| {name} | {len(gateway.taken):,} | {rate:.0f} | {median:.2f} ms "
        f"| {p99:.2f} ms | {cpu:.0f} µs | {first:.1f} MB | {last:.1f} MB |"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="in all")
    parser.add_argument("--slice", type=float, default=5.0, help="seconds of one turn")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _build(Path(folder))
        pinned, plain = load(Path(folder), options.seconds, options.slice)
    counters = pinned.told("counters")[-1]
    facts = machine.facts()
    swaps = f"{counters['reloads']}; wrong ones refused: {counters['reloads_refused']}"
    lines = [
        "| gateway | visits | a second | median | p99 | CPU | memory, first | last |",
        "|---|---|---|---|---|---|---|---|",
        _row("with pins", pinned),
        _row("without", plain),
        "",
        f"0 errors; policies replaced: {swaps}.",
        f"{facts['processor']}, {facts['Python']}, {facts['date']}.",
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
