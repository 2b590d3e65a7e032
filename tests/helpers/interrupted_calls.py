"""Calls with threads that a signal interrupts, in a process that this may crash.

    python interrupted_calls.py CALL THREADS SIZE MOMENT...

For each MOMENT it makes a new column of certificates, in memory that is freed when its
owner releases it, and lets THREADS threads judge it in parts of SIZE rows. When MOMENT
parts have begun, it sends a SIGINT. Certificates of parts that have ended long before
are empty, so that all moments need the same memory. All checks count; none measures
time. The last line says how many calls were interrupted.
"""

from __future__ import annotations

import _thread
import gc
import mmap
import os
import signal
import sys
import threading
import time
from array import array
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from arrow_arrays import Lent
from optional import client_library
from pinverify import PinSet, Policy, arrow
from pinverify.core import _peers, _policies
from pinverify.core._arrow import ArrowColumn
from pinverify.core._keys import lib
from pki import example_pki
from policy_samples import ABSENT

__all__ = ["Parts", "num_threads"]


class Parts:
    """A count of the calls into C, one for each part.

    It stands where the core is: `with Parts(…) as parts`.
    """

    def __init__(self, on_begin: Callable[[int], object]) -> None:
        """Name what is called in a thread that begins a part, with their number."""
        self.begun = self.running = 0
        self._on_begin = on_begin
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Return anything else of the core."""
        return getattr(lib, name)

    def pv_evaluate_many(self, *args: Any) -> int:  # noqa: ANN401
        """Decide, and count."""
        with self._lock:
            self.begun += 1
            self.running += 1
            number = self.begun
        try:
            self._on_begin(number)
            status: int = lib.pv_evaluate_many(*args)
        finally:
            with self._lock:
                self.running -= 1
        return status

    def __enter__(self) -> Self:
        """Stand where the core is."""
        vars(_policies)["lib"] = self
        return self

    def __exit__(self, *_: object) -> None:
        """Put the core back."""
        vars(_policies)["lib"] = lib


def num_threads(expected: int) -> int:
    """Return the number of threads, as soon as there are not more than expected.

    One that has no part may yet have to begin, or to end: it needs a moment for that.
    """
    for _ in range(10_000):
        if _thread._count() <= expected:  # noqa: SLF001 - all, also of other modules
            break
        time.sleep(0.001)
    return _thread._count()  # noqa: SLF001


class Map(mmap.mmap):
    """Memory that is unmapped with its owner, which notes what runs then."""

    running: Callable[[], int]
    seen: list[int]

    def __del__(self) -> None:
        """Note it, before the memory goes."""
        self.seen.append(self.running())


def verdicts(
    policy: Policy, memory: list[Any], offsets: array[int], threads: int
) -> None:
    """Ask about an Arrow column that nobody but the call holds."""
    column = ArrowColumn("", "Z", len(offsets) - 1, [offsets, memory.pop()])
    lent = Lent(column)
    del column
    arrow.verdicts(policy, None, lent, threads=threads)


def of_bytes(
    policy: Policy, memory: list[Any], offsets: array[int], threads: int
) -> None:
    """Ask about an Arrow column in memory of malloc, whose end ASan sees."""
    memory[0] = bytes(memory[0])
    verdicts(policy, memory, offsets, threads)


def of_pyarrow(
    policy: Policy, memory: list[Any], offsets: array[int], threads: int
) -> None:
    """Ask about an array of pyarrow, in memory of its own allocator."""
    pyarrow = client_library("pyarrow")
    buffers = [None, *map(_copied, (offsets, memory.pop()))]
    kind = pyarrow.large_binary()
    column = [pyarrow.Array.from_buffers(kind, len(offsets) - 1, buffers)]
    del buffers
    arrow.verdicts(policy, None, Popped(column), threads=threads)


def _copied(data: Any) -> Any:  # noqa: ANN401
    """Return a buffer of pyarrow, which is gone with the array that has it."""
    given = memoryview(data).cast("B")
    made = client_library("pyarrow").allocate_buffer(given.nbytes)
    memoryview(made).cast("B")[:] = given
    return made


class Popped:
    """A column that is handed over, and not kept."""

    def __init__(self, column: list[Any]) -> None:
        """Take it out of a list, so that the caller has it no more."""
        self._column = column

    def __arrow_c_array__(self) -> Any:  # noqa: ANN401
        """Return the capsules of the column."""
        return self._column.pop().__arrow_c_array__()


def evaluate_many(
    policy: Policy, memory: list[Any], offsets: array[int], threads: int
) -> None:
    """Ask about a buffer, which its owner closes after the call."""
    policy.evaluate_many(None, memory[0], offsets=offsets, threads=threads)


CALLS = {one.__name__: one for one in (verdicts, of_bytes, of_pyarrow, evaluate_many)}


def main(call: str, threads: int, size: int, moments: list[int]) -> None:
    """Interrupt a call at each of some moments."""
    pki = example_pki()
    policy = Policy.for_clients(PinSet(leaf=[ABSENT]))
    der = pki.server.der
    some = der * size
    offset_len = array("q").itemsize
    _peers._MOST_AT_ONCE = size  # noqa: SLF001
    num_interrupted, before = 0, _thread._count()  # noqa: SLF001
    for moment in moments:
        at_signal: list[int] = []

        def on_begin(number: int, moment: int = moment) -> None:
            if number == moment:
                os.kill(os.getpid(), signal.SIGINT)
            elif number > moment - threads:
                time.sleep(0.1)  # the others have a part when the handler raises

        with Parts(on_begin) as parts:

            def on_signal(_number: int, _frame: FrameType | None) -> None:
                at_signal.append(parts.begun)  # noqa: B023 - this one
                raise KeyboardInterrupt

            signal.signal(signal.SIGINT, on_signal)
            empty, num = max(moment - threads, 0), 3 * threads + 4
            offsets = array("q", bytes(offset_len * size * empty))
            offsets.extend(range(0, len(some) * num + 1, len(der)))
            memory: list[Any] = [Map(-1, len(some) * num)]
            seen: list[int] = []
            memory[0].seen, memory[0].running = seen, lambda: parts.running
            for _ in range(num):
                memory[0].write(some)
            try:
                CALLS[call](policy, memory, offsets, threads)
            except KeyboardInterrupt:
                num_interrupted += 1
            running = parts.running
        for left in memory:
            left.close()
        gc.collect()
        where = f"{call}, {threads} threads, at part {moment}"
        left = num_threads(before) - before
        assert left == 0, f"{where}: {left} threads go on"
        assert running == 0, f"{where}: {running} parts go on"
        assert not any(seen), f"{where}: the memory went under a thread"
        later = parts.begun - at_signal[0] if at_signal else 0
        assert later <= threads, f"{where}: {later} parts were begun afterwards"
    print(num_interrupted, "interrupted", flush=True)  # noqa: T201


if __name__ == "__main__":
    name, *numbers = sys.argv[1:]
    threads_, size_, *moments_ = map(int, numbers)
    main(name, threads_, size_, moments_)
