"""Latency of one call while another Python thread computes.

CPython runs one thread at a time. A thread that releases the GIL waits up to one switch
interval (5 ms) to get it back from a busy thread. pinverify keeps the GIL during calls
of about a microsecond; batches release it. Both are measured here with the same
certificate: a call that keeps the GIL, and one that releases it.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import certificates
from pinverify import core
from pinverify._core import ffi, lib
from pinverify.core._keys import pack

__all__ = ["QUANTILES", "STALL_NS", "Latency", "latencies"]

QUANTILES = (0.5, 0.9, 0.99, 0.999)
STALL_NS = 1_000_000
"""A call that takes longer has waited for something."""


@dataclass(frozen=True, slots=True)
class Latency:
    """The times of one kind of call, in nanoseconds on the wall."""

    call: str
    quantiles: list[int]
    """Those of `QUANTILES`."""
    stalls_per_s: float
    """Calls over `STALL_NS` in a second of calling."""


class Busy:
    """Another thread that computes, in Python, until the end of a with block."""

    def __init__(self) -> None:
        """Prepare the thread."""
        self._stop = False
        self._thread = threading.Thread(target=self._count, daemon=True)

    def _count(self) -> None:
        for number in itertools.count():
            if self._stop and number:
                return

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop = True
        self._thread.join(30)


def _calls(cert: bytes) -> dict[str, Callable[[bytes], object]]:
    """Return the same work twice: walk and hash, by calls of the same weight."""
    digest = core.spki_sha256(cert)
    packed, out = ffi.from_buffer(pack(digest)), ffi.new("uint8_t[32]")
    keeps, releases = lib.pv_cert_is_pinned, lib.pv_spki_sha256
    return {
        "GIL kept": lambda cert: keeps(ffi.NULL, packed, 1, cert, len(cert)),
        "GIL released": lambda cert: releases(out, cert, len(cert)),
    }


def _latency(
    name: str, call: Callable[[bytes], object], cert: bytes, for_s: float
) -> Latency:
    clock = time.perf_counter_ns
    taken = []
    begin = clock()
    end = begin + int(1e9 * for_s)
    while (start := clock()) < end:
        call(cert)
        taken.append(clock() - start)
    seconds = (clock() - begin) / 1e9
    taken.sort()
    last = len(taken) - 1
    return Latency(
        name,
        [taken[min(int(q * len(taken)), last)] for q in QUANTILES],
        sum(ns > STALL_NS for ns in taken) / seconds,
    )


def latencies(for_s: float = 4.0) -> list[Latency]:
    """Return the times of one call, alone and beside a busy thread.

    Args:
        for_s: how long each kind of call is repeated.
    """
    [cert] = certificates.same_type("P-256", 1)
    found = []
    for name, call in _calls(cert).items():
        found.append(_latency(f"{name}, alone", call, cert, for_s))
        with Busy():
            found.append(_latency(f"{name}, busy thread", call, cert, for_s))
    return found


def test_calls_are_timed_beside_a_busy_thread() -> None:
    """Both kinds of call come to an end there."""
    found = latencies(for_s=0.04)
    assert len(found) == 4
    assert all(one.quantiles == sorted(one.quantiles) for one in found)
