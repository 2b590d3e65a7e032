"""Calls with threads that an exception ends: none of their threads goes on.

C reads the memory of a caller, and of producers of Arrow columns, in several threads.
Ctrl-C, or whatever a signal handler raises, ends the call in one of them; then the
caller may release or change the memory. A thread that still read it would crash the
program `interrupted_calls.py`.
`MOMENTS=1000 make slow TESTS=tests/engine/tls/test_interrupted_calls.py` interrupts it
more often.
"""

from __future__ import annotations

import _thread
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from array import array
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from arrow_arrays import Given, Lent, strings, values
from interrupted_calls import Parts, num_threads
from optional import client_library
from pinverify import PinSet, Policy, Reason, arrow
from pinverify.core import _arrow, _peers
from pinverify.core._peers import ColumnOfChains, Hosts
from pki import Pki
from places import HELPERS
from policy_samples import ABSENT
from test_interrupted import each_point, interrupt_comes

__all__: list[str] = []

PROGRAM = HELPERS / "interrupted_calls.py"
MOMENTS = int(os.environ.get("MOMENTS", "50"))
THREADS = (2, 8)
AT_ONCE = 8192


# ---- signals -----------------------------------------------------------------


def interrupted(call: str, threads: int, size: int, moments: range) -> None:
    """Interrupt a call in a process of its own, when so many parts have begun."""
    numbers = map(str, [threads, size, *moments])
    command = [sys.executable, str(PROGRAM), call, *numbers]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
        env=os.environ | {"ARROW_DEFAULT_MEMORY_POOL": "system"},
    )
    said = done.stdout, done.stderr[-3000:]
    assert done.returncode == 0, (done.returncode, *said)
    assert done.stdout == f"{len(moments)} interrupted\n", said


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("call", ["verdicts", "of_bytes", "evaluate_many"])
def test_pitfall_63_a_signal_leaves_no_thread_in_memory_that_goes(
    call: str, threads: int
) -> None:
    """No crash; no thread and no part goes on; none is begun, but for those meanwhile.

    The memory is unmapped as soon as its owner lets go of it.
    """
    interrupted(call, threads, 512, range(1, 40, 5))


@pytest.mark.slow
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("call", ["verdicts", "of_bytes", "evaluate_many"])
def test_pitfall_63_a_signal_at_any_moment(call: str, threads: int) -> None:
    """The same at each of many parts, which are as large as they always are."""
    interrupted(call, threads, AT_ONCE, range(1, MOMENTS + 1))


@pytest.mark.slow
@pytest.mark.parametrize("threads", THREADS)
def test_pitfall_63_a_signal_during_a_column_of_pyarrow(threads: int) -> None:
    """In memory that goes back to the system at once."""
    client_library("pyarrow")
    interrupted("of_pyarrow", threads, AT_ONCE, range(1, MOMENTS + 1))


# ---- any line ----------------------------------------------------------------

POLICY = Policy.for_clients(PinSet(leaf=[ABSENT]))


@contextlib.contextmanager
def small_parts(monkeypatch: pytest.MonkeyPatch, size: int = 8) -> Iterator[None]:
    """Cut columns into parts of some rows."""
    with monkeypatch.context() as patch:
        patch.setattr(_peers, "_MOST_AT_ONCE", size)
        yield


def nothing(_number: int) -> None:
    """Do nothing when a part begins."""


def test_pitfall_63_an_interrupt_before_any_line_leaves_no_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In front of each line of this package that the calling thread runs."""
    column = strings([b"no certificate"] * 64, "z")

    def attempt(number: int) -> str:
        ended, caller = "finished", threading.get_ident()
        before, has_begun = _thread._count(), threading.Event()  # noqa: SLF001

        def longer_elsewhere(_number: int) -> None:
            if threading.get_ident() == caller:
                has_begun.wait(0.05)  # or this thread could do all parts
            else:
                has_begun.set()
                time.sleep(0.002)

        with Parts(longer_elsewhere) as parts, small_parts(monkeypatch):
            try:
                with interrupt_comes(number):
                    found = arrow.verdicts(POLICY, None, Lent(column), threads=3)
                assert len(values(found)) == column.length
            except KeyboardInterrupt:
                ended = "interrupted"
            assert parts.running == 0, number
            assert num_threads(before) == before, number
        return ended

    points = each_point(attempt, interrupt_comes, usual="finished")
    assert points.count("interrupted") > 100


def test_pitfall_63_interrupts_during_the_wait_end_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """While another thread has a part, there may be twenty of them."""
    column = strings([b"no certificate"] * 256, "z")
    before = _thread._count()  # noqa: SLF001
    caller, handled, over = threading.get_ident(), 0, False

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        nonlocal handled
        handled += 1
        raise KeyboardInterrupt

    def on_begin(_number: int) -> None:
        if threading.get_ident() == caller:
            time.sleep(0.01)  # the other thread begins meanwhile
            return
        for wanted in range(1, 21):  # the caller soon has nothing to do but wait
            if over:
                return
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                if handled >= wanted or over:
                    break
                time.sleep(0.001)

    old = signal.signal(signal.SIGINT, on_signal)
    with Parts(on_begin) as parts, small_parts(monkeypatch):
        try:
            arrow.verdicts(POLICY, None, Lent(column), threads=2)
        except KeyboardInterrupt:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        running, over = parts.running, True
        left = num_threads(before)
    signal.signal(signal.SIGINT, old)
    assert handled >= 20
    assert running == 0
    assert left == before


# ---- faults ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault", [RuntimeError("can't start new thread"), MemoryError()], ids=repr
)
def test_pitfall_63_a_thread_that_cannot_be_started_ends_the_others(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    """The error is raised when they have ended."""
    column = strings([b"no certificate"] * 4096, "z")
    start = _thread.start_new_thread
    started: list[int] = []
    before = _thread._count()  # noqa: SLF001

    def failing(work: Callable[[int], None], args: tuple[int]) -> None:
        if len(started) == 2:
            for _ in range(10_000):  # until each of them has a part
                if parts.begun >= 2:
                    break
                time.sleep(0.001)
            raise fault
        started.append(start(work, args))

    monkeypatch.setattr(_thread, "start_new_thread", failing)
    with Parts(lambda _: time.sleep(0.01)) as parts, small_parts(monkeypatch):
        with pytest.raises(type(fault)):
            arrow.verdicts(POLICY, None, Lent(column), threads=5)
        running, begun = parts.running, parts.begun
    assert len(started) == 2
    assert running == 0
    assert num_threads(before) == before
    assert begun < 512, "all parts were decided about, although nobody will see it"


def test_pitfall_63_no_more_threads_than_parts_are_started(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever number is asked for; and not as many as there are rows."""
    started: list[int] = []
    start = _thread.start_new_thread

    def counted(work: Callable[[int], None], args: tuple[int]) -> None:
        started.append(start(work, args))

    monkeypatch.setattr(_thread, "start_new_thread", counted)

    column = strings([pki.server.der] * 24, "z")
    chains = [[pki.server.der]] * 600
    many = array("q", bytes(8 * 100_001))
    for threads in (2**40, 5000):
        for rows, most in ((0, 0), (4, 0), (24, 2)):
            arrow.verdicts(POLICY, None, Given(column, 0, rows), threads=threads)
            assert len(started) == most
            started.clear()
        POLICY.evaluate_many(None, chains, threads=threads)
        assert len(started) == 2
        started.clear()
        POLICY.evaluate_many(None, b"", offsets=many, threads=threads)
        assert len(started) == 255
        started.clear()


def test_an_error_in_any_thread_is_raised(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the other threads begin no more parts."""
    column = strings([pki.server.der] * 4096, "z")
    caller = threading.get_ident()
    for in_caller in (True, False):

        def on_begin(_: int, in_caller: bool = in_caller) -> None:  # noqa: FBT001
            if (threading.get_ident() == caller) is in_caller:
                msg = "a fault"
                raise SystemError(msg)
            time.sleep(0.01)

        with (
            Parts(on_begin) as parts,
            small_parts(monkeypatch),
            pytest.raises(SystemError, match="a fault"),
        ):
            arrow.verdicts(POLICY, None, Given(column), threads=3)
        assert parts.begun < 512


# ---- parts -------------------------------------------------------------------


def test_pitfall_63_a_part_of_columns_is_small() -> None:
    """So what is interrupted ends soon: at most 8,192 rows, with any arguments."""
    num = 3 * AT_ONCE + 5
    chain_offsets = array("q", range(num + 1))
    offsets = array("q", bytes(8 * num + 8))
    for chain_ends in (None, chain_offsets):
        for hosts in (None, ["a.example"] * num):
            with Parts(nothing) as parts:
                POLICY.evaluate_many(
                    hosts, b"", offsets=offsets, chain_offsets=chain_ends
                )
            assert parts.begun == 4


def test_each_part_of_chains_is_about_its_own_certificates(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With gaps before the first chain and behind the last, in offsets of any width."""
    chain = [*pki.server.chain_der, b"?"]
    certs = [b"gap"] * 3 + [one for i in range(100) for one in chain[i % 4 :]] + [b"!"]
    data = b"".join(certs)
    ends, chain_ends = [0], [3]
    for one in certs:
        ends.append(ends[-1] + len(one))
    for i in range(100):
        chain_ends.append(chain_ends[-1] + len(chain[i % 4 :]))
    policy = Policy.for_clients(PinSet(ca=[pki.ca.pin]))
    each = [policy.evaluate(None, chain[i % 4 :]) for i in range(100)]
    for code in "iIqQ":
        for threads in (1, 3):
            with small_parts(monkeypatch):
                found = policy.evaluate_many(
                    None,
                    data,
                    offsets=array(code, ends),
                    chain_offsets=array(code, chain_ends),
                    threads=threads,
                )
            assert found == each


@pytest.mark.parametrize("code", "iIqQ")
@pytest.mark.parametrize("where", [0, 1, 8, 9, 15, 16, 20, 24])
def test_chain_offsets_that_are_wrong_are_refused_in_any_part(
    code: str, where: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that descends, that is negative, or that exceeds the certificates."""
    for wrong in (-1, 30, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1):
        at = list(range(1, 26))
        at[where] = wrong
        with contextlib.suppress(OverflowError):
            numbers = array(code, at)
            with small_parts(monkeypatch), pytest.raises(ValueError, match="descend"):
                POLICY.evaluate_many(
                    None, b"", offsets=bytes_of_zeros(26), chain_offsets=numbers
                )
    at = list(range(1, 26))
    at[where] = 0
    if where:
        with small_parts(monkeypatch), pytest.raises(ValueError, match="descend"):
            POLICY.evaluate_many(
                None, b"", offsets=bytes_of_zeros(26), chain_offsets=array(code, at)
            )


def test_a_part_may_have_no_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its chains are empty, which is a rejection and no error."""
    chain_ends = array("I", [0] * 17 + [26])
    with small_parts(monkeypatch):
        found = POLICY.evaluate_many(
            None, b"", offsets=bytes_of_zeros(26), chain_offsets=chain_ends
        )
    reasons = [report.reason for report in found]
    assert reasons == [Reason.NO_CERTIFICATE] * 16 + [Reason.MALFORMED]


def bytes_of_zeros(num: int) -> array[int]:
    """Return the offsets of empty certificates."""
    return array("I", bytes(4 * num + 4))


# ---- memory ------------------------------------------------------------------


def test_pitfall_63_what_decides_holds_the_memory_of_the_columns(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The structs of the producer are released when hosts and chains are gone."""
    given: list[Any] = []

    class Handle:
        def evaluate_many(self, *peers: Any, **_: Any) -> None:  # noqa: ANN401
            given.extend(peers[:2])
            raise KeyboardInterrupt

    owners = owners_made(monkeypatch)
    monkeypatch.setattr(arrow, "handle_of", lambda _: Handle())
    hosts = Lent(strings([b"a.example"], "u"))
    chains = Lent(strings([pki.server.der], "z"))
    with pytest.raises(KeyboardInterrupt):
        arrow.verdicts(POLICY, hosts, chains)
    assert [type(one) for one in given] == [Hosts, ColumnOfChains]
    del hosts, chains
    for left in (2, 1, 0):
        gc.collect()
        assert num_alive(owners) == left
        given[:1] = []


def owners_made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return weak references to what owns the memory of arrays, as it is made."""
    made: list[Any] = []
    make = _arrow._array  # noqa: SLF001

    def noted(column: Any, owner: Any, *, top: bool = False) -> Any:  # noqa: ANN401
        made.append(weakref.ref(owner))
        return make(column, owner, top=top)

    monkeypatch.setattr(_arrow, "_array", noted)
    return made


def num_alive(owners: list[Any]) -> int:
    """Return how many of them there still are."""
    return sum(owner() is not None for owner in owners)
