"""A gateway of `examples` as a process: its log in JSON, its signals, its end."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tls_servers import LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["GatewayProcess"]


class GatewayProcess:
    """A gateway that runs.

    Attributes:
        process: its process.
        events: the events of its log that were read.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str]) -> None:
        """Start it."""
        self.events: list[dict[str, Any]] = []
        self._told_to_stop = False
        self.process = subprocess.Popen(
            command, env=env, stderr=subprocess.PIPE, text=True
        )
        # A gateway that says nothing must not stop the tests.
        self._watchdog = threading.Timer(3 * LIMIT, self.process.kill)
        self._watchdog.start()

    def __exit__(self, *error: object) -> None:
        """End it, unless a test has."""
        if self.process.returncode is None:
            self.end()

    # ---- its log -----------------------------------------------------------------

    def until(self, event: str) -> dict[str, Any]:
        """Read the log up to an event, and return it."""
        assert self.process.stderr is not None
        while line := self.process.stderr.readline():
            self.events.append(json.loads(line))
            if self.events[-1]["event"] == event:
                return self.events[-1]
        msg = f"no {event!r} in {self.events}"
        raise AssertionError(msg)

    def told(self, event: str) -> list[dict[str, Any]]:
        """Return the events of this name that were read."""
        return [line for line in self.events if line["event"] == event]

    def reload(self, event: str = "policies") -> dict[str, Any]:
        """Let it read its policies again; return the event that tells of it."""
        self.process.send_signal(signal.SIGHUP)
        return self.until(event)

    def most_memory(self) -> int:
        """Return the most memory that it ever had, in bytes, as Linux tells it."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return 1024 * int(found[1])

    # ---- its end -----------------------------------------------------------------

    def stop(self) -> None:
        """Tell it to stop, once: a second signal would cut all connections."""
        if not self._told_to_stop:
            self._told_to_stop = True
            self.process.terminate()

    def end(self) -> dict[str, Any]:
        """Let it stop, expect that it does so cleanly; return its last event."""
        try:
            self.stop()
            _, rest = self.process.communicate(timeout=LIMIT)
        finally:
            self.halt()
        self.events += map(json.loads, rest.splitlines())
        assert self.process.returncode == 0, self.events
        return self.events[-1]

    def halt(self) -> None:
        """End the process, however it is."""
        self.process.kill()
        self.process.wait()
        self._watchdog.cancel()
