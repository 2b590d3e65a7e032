"""An exception anywhere in the decision accepts nobody.

Memory runs out at each allocation that Python makes, one after the other; Ctrl-C
comes before each line of pinverify that runs. The application goes on as if nothing
had happened. Where the peer shows a wrong pin, its data must not leave, whichever
point it was; where it shows the right one, nothing is lost for good.
"""

from __future__ import annotations

import contextlib
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import pinverify
from pinverify import PinningError, PinSet, Policy, pin_context
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


# CPython 3.13 dies of a generator for which there is no memory. That accepts nobody
# either, but ends the tests.
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


def each_point(attempt: Callable[[int], bool]) -> int:
    """Call *attempt* with each point; return how many made a difference.

    Args:
        attempt: lets the operation fail at a point, and says whether it ended in
            another way than it does without a fault.
    """
    last = -1
    for number in range(MOST):
        if attempt(number):
            last = number
        elif number - last > NO_DIFFERENCE:
            return last + 1
    msg = f"it fails at more than {MOST} points"
    raise AssertionError(msg)


# ---- whom --------------------------------------------------------------------------

# What is pinned, by what the decision has to look at.
PINS: dict[str, Callable[[Pki, str], PinSet]] = {
    "the leaf": lambda pki, who: PinSet(leaf=[getattr(pki, who).pin]),
    "an authority": lambda _, who: PinSet(ca=[CA_OF[who]]),
}
CA_OF: dict[str, str] = {}

any_pins = pytest.mark.parametrize("pins", PINS)


@pytest.fixture(autouse=True)
def _setting(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    CA_OF.update(server=pki.ca.pin, impostor=pki.rogue_ca.pin)
    # The message names subjects by way of `cryptography`, which answers a failed
    # allocation with warnings, and that is for its own tests.
    monkeypatch.setattr("pinverify.report._subject", lambda _cert: "")
    if generators_crash():  # so, in a message; the decision itself needs none
        monkeypatch.setattr("pinverify.policy.rejection_message", lambda *_: "refused")
        monkeypatch.setattr(Policy, "_pinset_behind", lambda *_: None)


def of_pins(error: BaseException | None) -> bool:
    """Say whether *error* is the refusal that a wrong pin gets, unhindered."""
    return isinstance(error, PinningError) and error.report is not None


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
        # for want of memory. Such a connection is of no use to anybody.
        with contextlib.suppress(PinningError, AttributeError):
            self.link.run(lambda: self.link.client.write(SECRET))
        return bool(self.link.application)


@any_fault
@any_pins
def test_no_fault_lets_a_wrong_pin_pass(pki: Pki, pins: str, fault: Fault) -> None:
    """Whatever the error is, and although the application does not heed it."""

    def attempt(number: int) -> bool:
        handshake = Handshake(pki, PINS[pins](pki, "impostor"))
        error = handshake.finish(fault, number)
        assert error is not None, number
        assert not handshake.go_on(), number
        return not of_pins(error)

    assert each_point(attempt) > 10


@any_fault
@any_pins
def test_the_error_that_comes_of_a_fault_names_it(
    pki: Pki, pins: str, fault: Fault
) -> None:
    """Nobody is to look for a wrong pin where memory was short.

    A right pin passes without a fault: the test above does not refuse everybody.
    """
    outcomes = set()

    def attempt(number: int) -> bool:
        handshake = Handshake(pki, PINS[pins](pki, "server"))
        error = handshake.finish(fault, number)
        assert not of_pins(error), number
        if isinstance(error, PinningError):
            assert "MemoryError" in str(error), number
        else:
            assert isinstance(error, MemoryError | KeyboardInterrupt | None), number
        outcomes.add((type(error), handshake.go_on()))
        return error is not None

    assert each_point(attempt) > 5
    assert (type(None), True) in outcomes
    assert (PinningError, True) not in outcomes


# ---- calls -------------------------------------------------------------------------

CALLS: dict[str, Callable[[Policy, PinSet, list[bytes]], bool]] = {
    "verify": lambda policy, _, chain: policy.verify("localhost", chain).accepted,
    "evaluate": lambda policy, _, chain: policy.evaluate("localhost", chain).accepted,
    "evaluate_many": lambda policy, _, chain: (
        policy.evaluate_many(["localhost"], [chain])[0].accepted
    ),
    "a PinSet": lambda _, pinset, chain: pinset.evaluate(chain).accepted,
}


@any_fault
@pytest.mark.parametrize("call", CALLS)
def test_no_fault_makes_a_call_accept_a_wrong_pin(
    pki: Pki, call: str, fault: Fault
) -> None:
    """It raises, or it says no; and the right pin is accepted all the same."""

    def attempt(number: int) -> bool:
        pinset = PinSet(leaf=[pki.server.pin])
        policy = Policy({"localhost": pinset})
        try:
            with fault(number):
                accepted = CALLS[call](policy, pinset, pki.impostor.chain_der)
        except BaseException as error:  # noqa: BLE001 - Ctrl-C is what it is about
            failed = not of_pins(error)
        else:
            assert not accepted, number
            failed = False
        assert CALLS[call](policy, pinset, pki.server.chain_der), number
        return failed

    assert each_point(attempt) > 5
