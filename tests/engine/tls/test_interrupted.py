"""An exception anywhere in the decision accepts nobody.

In turn, each allocation that Python makes fails for lack of memory, and Ctrl-C comes
before each line of pinverify that runs. The application goes on as if nothing had
happened. If the peer's key is wrong, application data must not be sent, wherever the
exception came. If it is right, the error never speaks of a wrong pin.
"""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import gc
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pinverify
from examples import some_of
from pinverify import PinningError, PinSet, Policy, Reason, pin_context
from pki import Pki
from tls_servers import MemoryLink, client_context, server_context

__all__: list[str] = []

# An object that is thrown away needs memory, too, and can only warn.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

SECRET = b"a secret of the application"
HERE = str(Path(pinverify.__file__).parent)

# Points at which an operation can fail. None has as many, and who has seen so many
# in a row that made no difference has seen the last one that does.
MOST = 20_000
NO_DIFFERENCE = 30
AT_A_TIME = 10  # a process is large when many tests have run in it

# ---- what fails, and where -------------------------------------------------------

Fault = Callable[[int], contextlib.AbstractContextManager[None]]


@contextlib.contextmanager
def allocation_fails(number: int) -> Iterator[None]:
    """Let Python's allocation *number* fail, and no other."""
    testcapi = pytest.importorskip("_testcapi")
    testcapi.set_nomemory(number, number + 1)
    try:
        yield
    finally:
        testcapi.remove_mem_hooks()


@contextlib.contextmanager
def interrupt_comes(number: int) -> Iterator[None]:
    """Raise KeyboardInterrupt before line *number* of pinverify that runs."""
    left = number

    def on_line(_frame: FrameType, event: str, _argument: object) -> Any:  # noqa: ANN401
        nonlocal left
        if event == "line":
            left -= 1
            if left == -1:
                raise KeyboardInterrupt
        return on_line

    def on_call(frame: FrameType, _event: str, _argument: object) -> Any:  # noqa: ANN401
        return on_line if frame.f_code.co_filename.startswith(HERE) else None

    before = sys.gettrace()
    sys.settrace(on_call)
    try:
        yield
    finally:
        sys.settrace(before)


# CPython 3.13 dies of a generator for which there is no memory, at once or a little
# later. That accepts nobody either, so attempts have processes of their own, which
# may die with such an interpreter. With any other they may not. 3.12 gives wrong
# arguments to a call that comes later instead: the answers are read without generators.
GENERATORS = """
import _testcapi
for number in range(100):
    _testcapi.set_nomemory(number, number + 1)
    try:
        tuple(tuple(inner for inner in range(3)) for _ in range(3))
    except MemoryError:
        pass
    finally:
        _testcapi.remove_mem_hooks()
"""


@functools.cache
def generators_crash() -> bool:
    """Say whether this Python dies where a generator can't be made."""
    command = [sys.executable, "-c", GENERATORS]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    return done.returncode < 0


any_fault = pytest.mark.parametrize("fault", [allocation_fails, interrupt_comes])


DIED = "the interpreter died"
CRASHES = {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS}
PATIENCE = 60.0


def apart(attempt: Callable[[int], str], numbers: range) -> list[str]:
    """Return what *attempt* says of these points, called in a process of its own.

    If the process dies, each point gets one. What an attempt has left on the free lists
    of the interpreter would serve the next one instead of an allocation; a collection
    empties them.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # nothing of pytest's may run here
        faulthandler.disable()
        gc.freeze()  # collections are quick then
        try:
            said = "said"
            for number in numbers:
                gc.collect()
                said += "\n" + attempt(number)
        except BaseException:  # noqa: BLE001 - the parent raises it
            said = "failed\n" + traceback.format_exc()
        os.write(writer, said.encode()[:60_000])
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        if not select.select([answers], [], [], PATIENCE)[0]:
            os.kill(child, signal.SIGKILL)
        said = answers.read().decode()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        if len(numbers) > 1:
            return [apart(attempt, range(i, i + 1))[0] for i in numbers]
        crash = signal.Signals(os.WTERMSIG(status))
        assert crash in CRASHES, f"{crash.name} at point {numbers[0]}"
        assert generators_crash(), f"{crash.name} at point {numbers[0]}"
        return [DIED]
    kind, *rest = said.split("\n")
    assert kind == "said", f"at one of the points {numbers}: {said}"
    return rest


def each_point(
    attempt: Callable[[int], str], fault: Fault, usual: str, at_a_time: int = AT_A_TIME
) -> list[str]:
    """Call *attempt* with each point; return what it said of those that matter.

    Args:
        attempt: lets the operation fail at a point, and says how it ended.
        fault: what *attempt* uses; where memory fails, the interpreter may die.
        usual: how it ends without a fault.
        at_a_time: so many attempts have a process together, where memory fails.
    """
    endings: list[str] = []
    while not is_over(endings, usual):
        numbers = range(len(endings), len(endings) + at_a_time)
        assert numbers.start < MOST, f"it fails at more than {MOST} points"
        if fault is allocation_fails:
            endings += apart(attempt, numbers)
        else:
            # An interrupt between two lines of an `except` leaves CPython with the
            # exception in hand, as long as the thread lives: later ones would have it
            # as their context.
            with ThreadPoolExecutor(1) as pool:
                endings += pool.map(attempt, numbers)
    assert endings.count(DIED) < len(endings) / 4, "too few were looked at"
    return endings[: num_that_matter(endings, usual)]


def num_that_matter(endings: list[str], usual: str) -> int:
    """Return the number of the last point that made a difference, and one."""
    return max((i + 1 for i, end in enumerate(endings) if end != usual), default=0)


def is_over(endings: list[str], usual: str) -> bool:
    """Say whether so many points in a row made no difference that none will."""
    return len(endings) - num_that_matter(endings, usual) > NO_DIFFERENCE


def ending(error: BaseException | None) -> str:
    """Say how an operation ended that raised *error*, or nothing."""
    return "refused" if of_pins(error) else type(error).__name__


# ---- whom --------------------------------------------------------------------------

# What is pinned, by what the decision has to look at.
PINS: dict[str, Callable[[Pki, str], PinSet]] = {
    "the leaf": lambda pki, who: PinSet(leaf=[getattr(pki, who).pin]),
    "an authority": lambda _, who: PinSet(ca=[CA_OF[who]]),
}
CA_OF: dict[str, str] = {}

any_pins = pytest.mark.parametrize("pins", PINS)


@pytest.fixture(autouse=True)
def _setting(pki: Pki) -> None:
    CA_OF.update(server=pki.ca.pin, impostor=pki.rogue_ca.pin)


def of_pins(error: BaseException | None) -> bool:
    """Say whether *error* is the refusal that a wrong pin gets, unhindered."""
    return (
        isinstance(error, PinningError)
        and error.report.reason is not Reason.NOT_CHECKED
    )


# ---- buffers -----------------------------------------------------------------------


class Handshake:
    """A handshake in memory, at the point where the client is about to decide."""

    def __init__(self, pki: Pki, pins: PinSet) -> None:
        """Do all of it but the last step of the client."""
        context = pin_context(client_context(pki.root), pins)
        self.link = MemoryLink(context, server_context(pki.server))
        with contextlib.suppress(pinverify.PinningError, OSError):
            self.link.client.do_handshake()
        self.link.exchange()

    def finish(self, fault: Fault, number: int) -> BaseException | None:
        """Do the last step, with a fault; return what came of it."""
        try:
            with fault(number):
                self.link.client.do_handshake()
        except BaseException as error:  # noqa: BLE001 - Ctrl-C is what it is about
            return error
        return None

    def go_on(self) -> bool:
        """Send the secret, as if nothing had happened; return whether it arrived."""
        # CPython 3.13 may lose the attributes of an object whose class it can't change
        # for want of memory. And an interrupt in the last line of a handshake, where no
        # signal comes, leaves the connection in the middle of it. Such connections are
        # of no use to anybody.
        with contextlib.suppress(PinningError, AttributeError, ValueError):
            self.link.run(lambda: self.link.client.write(SECRET))
        return bool(self.link.application)


@any_fault
@any_pins
def test_no_fault_lets_a_wrong_pin_pass(pki: Pki, pins: str, fault: Fault) -> None:
    """Whatever the error is, and although the application does not heed it."""

    def attempt(number: int) -> str:
        handshake = Handshake(pki, PINS[pins](pki, "impostor"))
        error = handshake.finish(fault, number)
        assert error is not None, number
        assert not handshake.go_on(), number
        return ending(error)

    assert len(each_point(attempt, fault, usual="refused")) > 10


@any_fault
@any_pins
def test_the_error_that_comes_of_a_fault_names_it(
    pki: Pki, pins: str, fault: Fault
) -> None:
    """Nobody is to look for a wrong pin where memory was short.

    A right pin passes without a fault: the test above does not refuse everybody.
    """

    def attempt(number: int) -> str:
        handshake = Handshake(pki, PINS[pins](pki, "server"))
        error = handshake.finish(fault, number)
        assert not of_pins(error), number
        if isinstance(error, PinningError):
            assert "MemoryError" in str(error), number
        else:
            assert isinstance(error, MemoryError | KeyboardInterrupt | None), number
        arrived = handshake.go_on()
        assert not (arrived and isinstance(error, PinningError)), number
        return f"{ending(error)}, {'arrived' if arrived else 'lost'}"

    # From 3.14 on, the usual way to a decision has one allocation less.
    assert len(each_point(attempt, fault, usual="NoneType, arrived")) >= 5


# ---- calls -------------------------------------------------------------------------

CALLS: dict[str, Callable[[Policy, PinSet, list[bytes]], bool]] = {
    "verify": lambda policy, _, chain: policy.verify("localhost", chain).accepted,
    "evaluate": lambda policy, _, chain: policy.evaluate("localhost", chain).accepted,
    "evaluate of a long chain": lambda policy, _, chain: (
        policy.evaluate("localhost", chain * 17).accepted
    ),
    "evaluate_many": lambda policy, _, chain: (
        policy.evaluate_many(["localhost"], [chain])[0].accepted
    ),
    "a PinSet": lambda _, pinset, chain: (
        Policy.for_clients(pinset).evaluate(None, chain).accepted
    ),
}


# The least number of points at which a fault has an effect. Plain arguments are decided
# in one call into C, which leaves few.
LEAST_POINTS = dict.fromkeys(CALLS, 6) | {"evaluate": 2}


@any_fault
@pytest.mark.parametrize("call", some_of(CALLS, 2))
def test_no_fault_makes_a_call_accept_a_wrong_pin(
    pki: Pki, call: str, fault: Fault
) -> None:
    """It raises, or it says no; and the right pin is accepted all the same."""

    def attempt(number: int) -> str:
        pinset = PinSet(leaf=[pki.server.pin])
        policy = Policy({"localhost": pinset})
        try:
            with fault(number):
                accepted = CALLS[call](policy, pinset, pki.impostor.chain_der)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C is what it is about
            ended = ending(error)
        else:
            assert not accepted, number
            ended = "refused"
        assert CALLS[call](policy, pinset, pki.server.chain_der), number
        return ended

    # A frame that an attempt has left may serve the next one. Where there are few
    # points, that counts.
    least = LEAST_POINTS[call]
    at_a_time = AT_A_TIME if least > 2 else 1
    points = each_point(attempt, fault, usual="refused", at_a_time=at_a_time)
    assert len(points) >= least
