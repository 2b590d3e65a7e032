"""Faults around a decision: files, forks, threads, signals, the clock.

In each case nobody is accepted who should not be, nothing crashes, and the error
names its cause. A test that may end a process, or is about its end, runs a few lines
of Python in a process of its own, and checks its exit code and output.
"""

from __future__ import annotations

import datetime as dt
import math
import mmap
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pinverify import (
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Reason,
    core,
    pin_context,
)
from pki import Pki
from places import HELPERS
from tls_servers import MemoryLink, client_context, server_context

__all__: list[str] = []

HOST = "localhost"
SECRET = b"a secret of the application"


def rules(pki: Pki) -> Policy:
    """Return a policy that accepts the server and nobody else."""
    return Policy({HOST: [pki.server.pin]})


def decides(policy: Policy, pki: Pki) -> bool:
    """Say whether a policy accepts the server, and refuses the impostor."""
    good = policy.evaluate(HOST, pki.server.chain_der)
    bad = policy.evaluate(HOST, pki.impostor.chain_der)
    return good.accepted and not bad.accepted and bad.reason is Reason.MISMATCH


QUIET = """
import logging
logging.getLogger("pinverify").addHandler(logging.NullHandler())
"""


def run_python(code: str, *arguments: str | Path, clock: str = "") -> str:
    """Run Python code in a process of its own; return what it prints.

    The code finds `pki` and `tls_servers`; *clock* is a time that it is told.
    Rejections are not logged, so that a word on standard error is a fault.
    """
    code = QUIET + textwrap.dedent(code)
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    if clock:
        faketime = shutil.which("faketime")
        if faketime is None:
            pytest.skip("no faketime here (Debian and Ubuntu: faketime)")
        command = [faketime, "-f", clock, *command]
    done = subprocess.run(
        command, cwd=HELPERS, capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


# ---- policy files ----------------------------------------------------------------


def test_a_file_that_is_cut_after_it_was_opened_does_no_harm(
    pki: Pki, tmp_path: Path
) -> None:
    """`Policy.open` reads a file: what becomes of it later does not matter."""
    path = tmp_path / "policy"
    path.write_bytes(rules(pki).compile())
    policy = Policy.open(path)
    os.truncate(path, 0)
    assert decides(policy, pki)
    path.write_bytes(b"\xff" * 4096)
    assert decides(policy, pki)


def test_a_file_that_is_replaced_while_it_is_mapped_does_no_harm(
    pki: Pki, tmp_path: Path
) -> None:
    """The map is of the old file, which lives as long as somebody uses it."""
    path = tmp_path / "policy"
    path.write_bytes(rules(pki).compile())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    policy = Policy.open(mapped)
    other = tmp_path / "policy.new"
    other.write_bytes(Policy({HOST: [pki.impostor.pin]}).compile())
    other.replace(path)  # another inode
    assert decides(policy, pki)
    assert not decides(Policy.open(path), pki)


def test_a_map_in_use_can_not_be_closed(pki: Pki, tmp_path: Path) -> None:
    """Otherwise its policy would read memory that is gone."""
    path = tmp_path / "policy"
    path.write_bytes(rules(pki).compile())
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    policy = Policy.open(mapped)
    with pytest.raises(BufferError):
        mapped.close()
    assert decides(policy, pki)


CUT_MAP = """
import mmap, os, sys
from pinverify import Policy
from pki import example_pki

pki = example_pki()
# Rules on many pages, so that whatever is looked up lies behind the cut.
rules = {f"h{i}.example": [pki.server.pin] for i in range(2000)}
with open(sys.argv[1], "w+b") as file:
    file.write(Policy(rules).compile())
    file.flush()
    policy = Policy.open(
        sys.argv[1] if sys.argv[2] == "read"
        else mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    )
    os.truncate(sys.argv[1], 0)
for i in range(2000):
    for who, right in ((pki.server, True), (pki.impostor, False)):
        report = policy.evaluate(f"h{i}.example", who.chain_der)
        if report.accepted is not right:
            print("wrong", flush=True)
print("asked", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGBUS"), reason="there is no SIGBUS here")
@pytest.mark.parametrize("how", ["read", "mapped"])
def test_a_mapped_file_that_is_cut_ends_the_process_and_a_read_one_does_not(
    tmp_path: Path, how: str
) -> None:
    """A mapped file must be replaced, never changed: the guide says so.

    A path is read, and what becomes of the file does no harm. Of a map nothing is
    left, and the system ends the process before anybody is accepted.
    """
    done = subprocess.run(
        [sys.executable, "-c", CUT_MAP, str(tmp_path / "policy"), how],
        cwd=HELPERS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if how == "read":
        assert (done.returncode, done.stdout, done.stderr) == (0, "asked\n", "")
    else:
        assert (done.returncode, done.stdout) == (-signal.SIGBUS, "")


@pytest.mark.parametrize("fault", ["cut", "flipped", "empty", "doubled", "missing"])
def test_a_damaged_file_is_refused_by_its_name(
    pki: Pki, tmp_path: Path, fault: str
) -> None:
    """Whoever starts the program learns which file it is, and what it has."""
    good = rules(pki).compile()
    path = tmp_path / "policy"
    damaged = {
        "cut": good[: len(good) // 2],
        "flipped": good[:-9] + bytes((good[-9] ^ 1,)) + good[-8:],
        "empty": b"",
        "doubled": good + good,
    }
    if fault in damaged:
        path.write_bytes(damaged[fault])
    with pytest.raises((PolicyError, OSError), match="policy") as caught:
        Policy.open(path)
    assert str(path) in str(caught.value)


# ---- forks -----------------------------------------------------------------------

FORK = """
import mmap, os, sys
from pinverify import PinningError, Policy, pin_context
from pki import example_pki
from tls_servers import MemoryLink, client_context, server_context

pki = example_pki()
with open(sys.argv[1], "w+b") as file:
    file.write(Policy({"localhost": [pki.server.pin]}).compile())
    file.flush()
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
policies = [Policy.open(sys.argv[1]), Policy.open(mapped)]
context = pin_context(client_context(pki.root, pki.rogue_root), policies[1])
servers = [server_context(pki.server), server_context(pki.impostor)]

def decide() -> bool:
    for policy in policies:
        if not policy.evaluate("localhost", pki.server.chain_der).accepted:
            return False
        if policy.evaluate("localhost", pki.impostor.chain_der).accepted:
            return False
    link = MemoryLink(context, servers[0])
    link.run(lambda: link.client.write(b"x"))
    if link.application != b"x":
        return False
    link = MemoryLink(context, servers[1])
    try:
        link.run(lambda: link.client.write(b"x"))
    except PinningError:
        return not link.application
    return False

half_way = MemoryLink(context, servers[1])
assert decide()
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        try:
            half_way.run(lambda: half_way.client.write(b"x"))
        except PinningError:
            os._exit(0 if decide() and not half_way.application else 1)
        os._exit(2)
    children.append(child)
print(sorted(os.waitpid(child, 0)[1] for child in children), decide())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_children_of_a_fork_decide_as_their_parent_does(tmp_path: Path) -> None:
    """With a policy that was copied, one that is mapped, and a handshake half done."""
    assert run_python(FORK, tmp_path / "policy") == f"{[0] * 8} True\n"


# ---- threads ---------------------------------------------------------------------


def test_32_threads_decide_with_one_policy(pki: Pki) -> None:
    """Also where all of them use a PinSet for the first time, at once."""
    policy = rules(pki)
    pinset = PinSet(leaf=[pki.server.pin])
    is_pinned = core.matcher(core.spki_sha256(pki.server.der))
    chains = [pki.server.chain_der, pki.impostor.chain_der] * 8

    def decide(_number: int) -> list[bool]:
        reports = policy.evaluate_many([HOST] * len(chains), chains)
        return [
            *(report.accepted for report in reports),
            Policy.for_clients(pinset).evaluate(None, pki.server.chain_der).accepted,
            Policy.for_clients(pinset).evaluate(None, pki.impostor.chain_der).accepted,
            is_pinned(pki.server.der),
            is_pinned(pki.impostor.der),
        ]

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(decide, range(320), timeout=60))
    assert answers == [[True, False] * 10] * 320


# ---- the end of the interpreter ----------------------------------------------------

SHUTDOWN = """
import atexit, sys, threading
from pinverify import PinningError, Policy, pin_context
from pki import example_pki
from tls_servers import MemoryLink, client_context, server_context

pki = example_pki()
policy = Policy({"localhost": [pki.server.pin]})
context = pin_context(client_context(pki.root, pki.rogue_root), policy)
good, bad = server_context(pki.server), server_context(pki.impostor)
# Kept by a cycle of a module that is cleared last.
sys.kept = [MemoryLink(context, good), MemoryLink(context, bad), context, policy]
sys.kept[0].run(lambda: sys.kept[0].client.write(b"x"))
sys.kept.append(sys.kept)

class Late:
    def __init__(self):
        self.link = MemoryLink(context, bad)
        self.policy, self.chain = policy, pki.impostor.chain_der
        self.refused = PinningError
        self.out = sys.stdout

    def __del__(self):
        try:
            self.link.run(lambda: self.link.client.write(b"x"))
        except self.refused:
            pass
        accepted = self.policy.evaluate("localhost", self.chain).accepted
        self.out.write(f"late: {bytes(self.link.application)} {accepted}\\n")
        self.out.flush()

sys.late = Late()

def forever():
    while True:
        try:
            link = MemoryLink(context, bad)
            link.run(lambda: link.client.write(b"x"))
        except PinningError:
            continue
        print("accepted", flush=True)

for _ in range(4):
    threading.Thread(target=forever, daemon=True).start()

@atexit.register
def at_exit():
    report = policy.evaluate("localhost", pki.impostor.chain_der)
    print("at exit:", report.accepted, flush=True)
"""


def test_the_interpreter_ends_with_live_connections() -> None:
    """Without a word, and without an acceptance in its last moments."""
    for _ in range(3):
        printed = run_python(SHUTDOWN).splitlines()
        assert printed[0] == "at exit: False"
        assert printed[1:] in ([], ["late: b'' False"])


# ---- signals -----------------------------------------------------------------------

SIGNALS = """
import signal, sys
from pinverify import PinningError, PinSet, pin_context
from pki import example_pki
from tls_servers import TLSServer, client_context, server_context

pki = example_pki()
arrived = 0
def on_alarm(*_):
    global arrived
    arrived += 1
signal.signal(signal.SIGALRM, on_alarm)
context = pin_context(
    client_context(pki.root, pki.rogue_root), PinSet(ca=[pki.ca.pin])
)
with TLSServer(server_context(pki.server)) as good:
    with TLSServer(server_context(pki.impostor)) as bad:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        rejected = 0
        for _ in range(40):
            sock = good.connect()
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                tls.sendall(b"x")
                assert tls.recv(1) == b"x"
            sock = bad.connect()
            try:
                context.wrap_socket(sock, server_hostname="localhost").sendall(b"x")
            except PinningError as error:
                rejected += error.report.reason.name == "MISMATCH"
            finally:
                sock.close()
        signal.setitimer(signal.ITIMER_REAL, 0)
        read = sum(len(bad.record(i).application) for i in range(40))
print(arrived > 40, rejected, read)
"""


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="there is no timer here")
def test_signals_disturb_no_handshake() -> None:
    """A call that a signal interrupts (EINTR) goes on; every decision is the same."""
    assert run_python(SIGNALS) == "True 40 0\n"


# ---- the clock ---------------------------------------------------------------------

EXPIRES = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)


def expiring(pki: Pki, after_expiry: str) -> PinSet:
    """Pin another key, until the end of 2029."""
    assert after_expiry in {"allow", "reject"}
    return PinSet([pki.impostor.pin], expires=EXPIRES, after_expiry=after_expiry)  # type: ignore[arg-type]


def shake_hands(pki: Pki, pins: PinSet) -> bool:
    """Say whether the server is accepted."""
    link = MemoryLink(
        pin_context(client_context(pki.root), pins), server_context(pki.server)
    )
    try:
        link.run(lambda: link.client.write(SECRET))
    except PinningError:
        assert not link.application
        return False
    return link.application == SECRET


def set_clock(patch: pytest.MonkeyPatch, now: float) -> None:
    """Let pinverify see another time; OpenSSL keeps its own."""
    patch.setattr("time.time", lambda: now)
    patch.setattr("pinverify.tls._judge._time", lambda: now)


@pytest.mark.parametrize("after_expiry", ["allow", "reject"])
def test_each_handshake_is_decided_by_the_clock_of_its_moment(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, after_expiry: str
) -> None:
    """The clock jumps over the expiry, and back: nothing remembers what it was.

    Who can set the clock ends the pins of a rule with "allow"; with "reject" he
    ends the connections.
    """
    pins = expiring(pki, after_expiry)
    end = EXPIRES.timestamp()
    for now in (end - 1, end, end + 1e9, end - 0.001, end, 0):
        set_clock(monkeypatch, now)
        expired = now >= end
        assert shake_hands(pki, pins) == (expired and after_expiry == "allow"), now
        report = Policy.for_clients(pins).evaluate(None, pki.server.chain_der)
        assert (report.reason is Reason.EXPIRED) == expired


@pytest.mark.parametrize("now", [math.nan, math.inf, -math.inf, 1e300])
def test_a_clock_that_tells_no_time_accepts_nobody(
    pki: Pki, monkeypatch: pytest.MonkeyPatch, now: float
) -> None:
    """Although the pins would no longer hold at the end of all days."""
    set_clock(monkeypatch, now)
    assert not shake_hands(pki, expiring(pki, "allow"))


def test_a_clock_that_fails_is_named_in_the_error(
    pki: Pki, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not the pin: nobody is to look for a wrong one."""

    def fail() -> float:
        msg = "the clock has stopped"
        raise OSError(msg)

    monkeypatch.setattr("pinverify.tls._judge._time", fail)
    link = MemoryLink(
        pin_context(client_context(pki.root), PinSet([pki.server.pin])),
        server_context(pki.server),
    )
    with pytest.raises(PinningError, match="the clock has stopped") as caught:
        link.run(lambda: link.client.write(SECRET))
    assert isinstance(caught.value.__cause__, OSError)
    assert not link.application


CLOCK = """
import datetime as dt
from pinverify import Pin, PinSet, Policy
from pki import example_pki
chain = example_pki().server.chain_der
end = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
for after in ("allow", "reject"):
    pins = PinSet([Pin.spki(bytes(32))], expires=end, after_expiry=after)
    report = Policy({"a.example": pins}).evaluate("a.example", chain)
    print(report.accepted, report.reason.name)
"""


@pytest.mark.parametrize(
    ("clock", "printed"),
    [
        ("@2029-12-31 23:00:00", ["False MISMATCH", "False MISMATCH"]),
        ("@2030-01-01 01:00:00", ["True EXPIRED", "False EXPIRED"]),
        ("@1971-01-01 00:00:00", ["False MISMATCH", "False MISMATCH"]),
    ],
)
def test_the_clock_of_the_machine_is_the_one_that_counts(
    monkeypatch: pytest.MonkeyPatch, clock: str, printed: list[str]
) -> None:
    """Told by faketime, which answers in place of the kernel."""
    monkeypatch.setenv("TZ", "UTC")
    assert run_python(CLOCK, clock=clock).splitlines() == printed
