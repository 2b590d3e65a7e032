"""Policies swapped while many threads shake hands: exactly one decides each handshake.

Pitfall 28. A connection that was decided by half of one policy and half of the
other, or by none, would be an acceptance that nobody wrote down.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pinverify import PinningError, PinSet, Policy, Reason, pin_context
from tls_servers import MemoryLink, client_context, server_context

if TYPE_CHECKING:
    import ssl

    from pinverify import Report
    from pki import Pki

THREADS = 32
SWAP_EVERY = 0.05  # seconds
ROUNDS = 8

# Bytes, in the second half: one forgotten connection takes about 60 KiB, and the slow
# form would show 400 bytes for each.
GROWTH_MAX = 8 << 20


def resident() -> int:
    """Return the bytes of this process that are in memory, and in use.

    A refused connection and its error refer to each other, through the traceback,
    until the collector comes by. And each thread's part of glibc's heap keeps pages
    that are free, some MiB more or less from round to round.
    """
    gc.collect()
    with contextlib.suppress(AttributeError):  # musl has neither
        ctypes.CDLL(None).malloc_trim(0)
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


class Swapper:
    """Puts one policy after the other on a context, until it is told to stop."""

    def __init__(self, context: ssl.SSLContext, policies: list[Policy]) -> None:
        """Start."""
        self.swaps = 0
        self._context = context
        self._policies = policies
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(SWAP_EVERY):
            self.swaps += 1
            pin_context(self._context, self._policies[self.swaps % 2])

    def stop(self) -> None:
        """Stop, and wait for the end."""
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()


def shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> tuple[bool, Report]:
    """Return whether a byte could be sent, and the report of the connection."""
    link = MemoryLink(client, server)
    with contextlib.suppress(PinningError):
        link.run(lambda: link.client.write(b"x"))
    report: Report = link.client.pin_report  # type: ignore[attr-defined]
    return link.application == b"x", report


@pytest.mark.parametrize(
    "share",
    [
        pytest.param(4, id="1024-handshakes"),
        pytest.param(160, id="40960-handshakes", marks=pytest.mark.slow),
    ],
)
def test_pitfall_28_each_handshake_is_decided_by_exactly_one_policy(
    pki: Pki, share: int
) -> None:
    """The report's digest names a policy, and the outcome is that policy's.

    Memory is flat: the first half warms every thread's, the second adds none. In each
    round each thread does its *share* of handshakes.
    """
    accepts = Policy({"localhost": [pki.server.pin]})
    refuses = Policy({"localhost": PinSet(ca=[pki.impostor.pin])})
    client = pin_context(client_context(pki.root, pki.rogue_root), accepts)
    server = server_context(pki.server)

    def several(number: int) -> list[tuple[bool, Report]]:
        return [shake_hands(client, server) for _ in range(number)]

    several(THREADS)  # what is made once is made before memory is measured
    swapper = Swapper(client, [accepts, refuses])
    grown = []
    outcomes: Counter[tuple[bool, bytes, Reason]] = Counter()
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            for _ in range(ROUNDS):
                for results in pool.map(several, [share] * THREADS, timeout=600):
                    outcomes.update(
                        (sent, report.digest, report.reason) for sent, report in results
                    )
                grown.append(resident())
    finally:
        swapper.stop()
    # A swap takes place between handshakes of each kind, so both have occurred.
    assert swapper.swaps >= 2
    assert set(outcomes) == {
        (True, accepts.digest, Reason.MATCH),
        (False, refuses.digest, Reason.MISMATCH),
    }
    assert outcomes.total() == ROUNDS * THREADS * share
    assert grown[-1] - grown[ROUNDS // 2 - 1] < GROWTH_MAX, grown
