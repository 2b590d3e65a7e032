"""Programs that a test starts, and ends by their own handles."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence

import pytest

from tls_servers import LIMIT

__all__ = ["free_port", "listens", "running", "started"]


def started(name: str) -> str:
    """Return the path of a program that a test starts; without it, skip the test."""
    program = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not there")
    return program


# Below those that systems give to connections, which could take one before the server
# of a test does. Tests in processes beside each other begin anywhere.
_ports = iter(random.SystemRandom().sample(range(16_384, 32_768), 4096))


def free_port() -> int:
    """Return a port of 127.0.0.1 on which nobody listens, and never one twice."""
    for port in _ports:
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    msg = "no port is free"
    raise AssertionError(msg)


def listens(port: int) -> bool:
    """Return True if somebody listens."""
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), LIMIT).close()
        return True
    return False


@contextlib.contextmanager
def running(command: Sequence[str], *ports: int) -> Iterator[None]:
    """Run a server from when it listens, on all ports, to the end of the block."""
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            end = time.monotonic() + LIMIT
            while not all(map(listens, ports)):
                assert process.poll() is None, f"{command[0]} has ended"
                assert time.monotonic() < end, f"{command[0]} does not listen"
                time.sleep(0.02)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
