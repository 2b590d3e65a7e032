"""`pinverify.live.PolicyFile`: policies replaced while connections are made."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import logging
import os
import shutil
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest

from cli_runs import environment
from pinverify import (
    PinningError,
    PinSet,
    Policy,
    PolicyError,
    Report,
    Rules,
    diff,
    find_pinning_error,
    pin_context,
    report_of,
)
from pinverify.formats import toml
from pinverify.live import Followed, PolicyFile, _policy_file
from pki import Identity, Pki
from tls_clients import trusting
from tls_servers import LIMIT, MemoryLink, server_context

__all__: list[str] = []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no time pass between two readings."""
    monkeypatch.setattr(_policy_file, "_SETTLE", 0.0)


def pinning(*peers: Identity, host: str = "localhost") -> Policy:
    """Return a policy for one host."""
    return Policy({host: [peer.pin for peer in peers]})


def text_of(policy: Policy) -> str:
    """Return a policy as its file has it."""
    return toml.dumps(policy.rules)


def put(path: Path, contents: str | bytes) -> None:
    """Replace a file by another one, as everybody should."""
    data = contents if isinstance(contents, bytes) else contents.encode()
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.replace(path)


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true, but not for ever."""
    end = time.monotonic() + 3 * LIMIT
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.001)
    msg = "it never came true"
    raise AssertionError(msg)


def report(context: ssl.SSLContext, server: ssl.SSLContext) -> Report:
    """Shake hands in memory; return the decision."""
    link = MemoryLink(context, server)
    try:
        link.run(link.client.do_handshake)
    except PinningError as error:
        return error.report
    found = report_of(link.client)
    assert found is not None
    return found


# ---- one that is replaced ----------------------------------------------------


@pytest.mark.usefixtures("quick")
def test_a_new_policy_is_put_in_force_everywhere_and_told(
    pki: Pki, tmp_path: Path
) -> None:
    """By a context, an object with `use`, and a function; the callback stays."""
    path = tmp_path / "pins.toml"
    old, new = pinning(pki.server), pinning(pki.impostor)
    put(path, text_of(old))
    events: list[Followed] = []
    used: list[Policy] = []
    told: list[Report] = []

    class WithUse:
        def __call__(self) -> None:
            """Be callable, too, as a middleware is."""
            raise AssertionError

        def use(self, policy: Policy) -> None:
            used.append(policy)

    with PolicyFile(path, every=None, on_event=events.append) as file:
        context = trusting(pki)
        pin_context(context, old, on_report=told.append)
        assert file.follow(context) is context
        unpinned = file.follow(trusting(pki))
        file.follow(WithUse())
        file.follow(used.append)
        assert used == [old, old]
        server = server_context(pki.impostor)
        assert not report(context, server).accepted
        put(path, text_of(new))
        assert file.reload()
        assert file.policy == new
        assert used == [old, old, new, new]
        for each in (context, unpinned):
            assert report(each, server).digest == new.digest
            assert report(each, server).accepted
        assert [each.digest for each in told] == [old.digest]
        assert file.reload()  # nothing new, but somebody asked
    (event, same) = events
    assert (event.path, event.old, event.new, event.error) == (
        str(path),
        old,
        new,
        None,
    )
    assert event.changes() == diff(old.rules, new.rules) != []
    assert (same.old, same.new, same.error, same.changes()) == (new, new, None, [])
    assert file.failures == 0


def test_what_cannot_follow_is_refused(pki: Pki, tmp_path: Path) -> None:
    """At once; and a follower may refuse the policy, which is told with the file."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))
    with PolicyFile(path, every=None) as file:
        wrong: Any = "a text"
        with pytest.raises(TypeError, match="a str cannot follow a policy"):
            file.follow(wrong)
        server = server_context(pki.server)
        with pytest.raises(PolicyError, match=r"pins\.toml: the clients of a server"):
            file.follow(server)


@pytest.mark.usefixtures("quick")
def test_one_follower_that_refuses_keeps_the_old_policy_for_all(
    pki: Pki, tmp_path: Path
) -> None:
    """A server needs pins for clients; a client beside it gets its old policy back."""
    path = tmp_path / "pins.toml"
    hosts = {"localhost": [pki.server.pin]}
    old = Policy(Rules(hosts, clients=PinSet(leaf=[pki.client.pin])))
    put(path, text_of(old))
    events: list[Followed] = []
    with PolicyFile(path, every=None, on_event=events.append) as file:
        client = file.follow(trusting(pki))
        file.follow(server_context(pki.server, client_authority=pki.root))
        put(path, text_of(pinning(pki.impostor)))
        assert not file.reload()
        assert file.policy == old
        assert report(client, server_context(pki.server)).digest == old.digest
    assert file.failures == 1
    assert [event.new for event in events] == [old]
    assert events[0].error is not None
    assert "the clients of a server have no host name" in events[0].error


# ---- files that are wrong ----------------------------------------------------


def _truncated(path: Path, text: str) -> None:
    put(path, text[:-20])


def _empty(path: Path, _: str) -> None:
    put(path, "")


def _gone(path: Path, _: str) -> None:
    path.unlink()


def _version(path: Path, text: str) -> None:
    put(path, text.replace("version = 1", "version = 2"))


def _garbage_in_place(path: Path, _: str) -> None:
    path.write_bytes(b"\0\xff garbage")


def _fifo(path: Path, _: str) -> None:
    new = path.with_name("fifo")
    os.mkfifo(new)
    new.replace(path)


def _directory(path: Path, _: str) -> None:
    _link(path, path.parent)


def _dangling(path: Path, _: str) -> None:
    _link(path, path.with_name("nowhere"))


def _unreadable(path: Path, text: str) -> None:
    if os.geteuid() == 0:  # root reads files of any mode
        _link(path, Path("/proc/self/mem"))
    else:
        put(path, text)
        path.chmod(0)


def _link(path: Path, target: Path) -> None:
    new = path.with_name("link")
    new.symlink_to(target)
    new.replace(path)


SPOILT = [
    _truncated,
    _empty,
    _gone,
    _version,
    _garbage_in_place,
    _fifo,
    _directory,
    _dangling,
    _unreadable,
]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("format", ["toml", "compiled"])
@pytest.mark.parametrize("spoil", SPOILT)
def test_the_old_policy_stays_and_that_is_told_and_counted_once(
    pki: Pki,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path, str], None],
    format: str,  # noqa: A002 - as the argument
) -> None:
    """However often the file is looked at; then the next good file is taken."""
    path = tmp_path / "pins"
    old, new = pinning(pki.server), pinning(pki.impostor)

    def good(policy: Policy) -> str | bytes:
        return text_of(policy) if format == "toml" else policy.compile()

    put(path, good(old))
    events: list[Followed] = []
    used: list[Policy] = []
    with PolicyFile(path, format=format, every=0.002, on_event=events.append) as file:
        file.follow(used.append)
        spoil(path, text_of(new))
        until(lambda: events)
        time.sleep(0.05)  # many looks
        assert len(events) == 1
        assert events[0].error is not None
        assert events[0].new is old or events[0].new == old
        assert (file.policy, file.failures) == (old, 1)
        put(path, good(new))
        until(lambda: len(events) == 2)
        assert file.policy == new
    assert used == [old, new]
    errors = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "the old policy stays: " in errors[0].getMessage()
    assert caplog.text.count(str(path)) == 1


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_wrong_file_at_the_start_is_an_error(
    pki: Pki, tmp_path: Path, spoil: Callable[[Path, str], None]
) -> None:
    """There is no old policy that could stay."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))
    spoil(path, text_of(pinning(pki.server)))
    with pytest.raises((PolicyError, OSError)):
        PolicyFile(path)


@pytest.mark.usefixtures("quick")
def test_the_same_policy_that_comes_back_ends_the_fault(
    pki: Pki, tmp_path: Path
) -> None:
    """Nothing has to be replaced, but it is told that the file is right again."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))
    events: list[Followed] = []
    used: list[Policy] = []
    with PolicyFile(path, every=0.002, on_event=events.append) as file:
        file.follow(used.append)
        text = path.read_text("utf-8")
        path.unlink()
        until(lambda: len(events) == 1)
        put(path, text)
        until(lambda: len(events) == 2)
        assert file.reload()
    assert [event.error is None for event in events] == [False, True, True]
    assert len(used) == 1


# ---- files that are written slowly -------------------------------------------


def test_a_text_that_is_half_written_does_not_count(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The beginning of TOML is TOML: a policy with fewer hosts would be in force."""
    path = tmp_path / "pins.toml"
    old = pinning(pki.server)
    hosts = {f"h{i}.example": [pki.server.pin, pki.ca.pin] for i in range(9)}
    new = Policy(Rules(hosts))
    put(path, text_of(old))
    pieces = text_of(new).split("\n\n")
    for number in range(1, len(pieces)):  # each beginning is a policy, or no TOML
        begun = "\n\n".join(pieces[: number + 1]) + "\n"
        assert toml.loads(begun).hosts.keys() <= hosts.keys()
    used: list[Policy] = []
    with PolicyFile(path, every=None) as file:
        file.follow(used.append)
        with path.open("w", encoding="utf-8") as written:
            waiting = iter(pieces)
            written.write(next(waiting))
            written.flush()

            def go_on(_: float) -> None:
                """Write the next piece between two readings."""
                for piece in waiting:
                    written.write("\n\n" + piece)
                    written.flush()
                    return

            monkeypatch.setattr(time, "sleep", go_on)
            assert file.reload()
    assert used == [old, new]


def test_a_text_that_never_comes_to_an_end_is_an_error(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of readings is bounded."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))

    def grow(_: float) -> None:
        with path.open("a", encoding="utf-8") as written:
            written.write("#\n")

    monkeypatch.setattr(time, "sleep", grow)
    with pytest.raises(PolicyError, match="rename a whole file to it"):
        PolicyFile(path)


@pytest.mark.usefixtures("quick")
def test_a_file_that_is_rewritten_in_one_tick_of_its_clock_is_noticed(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same inode, size and times, and other bytes."""
    path = tmp_path / "pins.toml"
    old, new = pinning(pki.server), pinning(pki.impostor)
    put(path, text_of(old))
    state = (*_policy_file._state_of(str(path))[:3], time.time_ns())  # noqa: SLF001
    looks: list[str] = []

    def state_of(name: str) -> tuple[int, ...]:
        looks.append(name)
        return state

    monkeypatch.setattr(_policy_file, "_state_of", state_of)
    with PolicyFile(path, every=0.002) as file:
        file.follow(lambda _: None)
        until(lambda: len(looks) > 2)
        path.write_text(text_of(new), "utf-8")
        until(lambda: file.policy == new)


# ---- file systems of the field -----------------------------------------------


@pytest.mark.usefixtures("quick")
def test_the_symbolic_links_of_kubernetes_are_followed(
    pki: Pki, tmp_path: Path
) -> None:
    """A ConfigMap is swapped by renaming ``..data``; the path stays as it is."""
    old, new = pinning(pki.server), pinning(pki.impostor)
    for name, policy in (("..1", old), ("..2", new)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "pins.toml").write_text(text_of(policy), "utf-8")
    (tmp_path / "..data").symlink_to("..1")
    path = tmp_path / "pins.toml"
    path.symlink_to("..data/pins.toml")
    with PolicyFile(path, every=0.002) as file:
        file.follow(lambda _: None)
        assert file.policy == old
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        shutil.rmtree(tmp_path / "..1")
        until(lambda: file.policy == new)
        assert not file.never_changes
    assert file.failures <= 1  # between the two steps there may have been no file


_IN_A_MOUNT = """
import logging, subprocess, sys
from pathlib import Path
from pinverify.live import PolicyFile
logging.basicConfig(format="%(message)s")
folder = Path(sys.argv[1])
target = folder / "one file"
target.touch()
mounted = ["mount", "--bind", str(folder / "pins.toml"), str(target)]
if subprocess.run(mounted).returncode:
    sys.exit(77)
print(PolicyFile(folder / "pins.toml").never_changes, PolicyFile(target).never_changes)
"""


@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare (util-linux) here")
def test_a_file_that_is_a_mount_of_its_own_is_told_at_the_start(
    pki: Pki, tmp_path: Path
) -> None:
    """A ConfigMap by subPath is one: what takes its place outside is never seen."""
    put(tmp_path / "pins.toml", text_of(pinning(pki.server)))
    done = subprocess.run(
        ["unshare", "-m", sys.executable, "-c", _IN_A_MOUNT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        env=environment(),
        check=False,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this user may not mount")
    assert done.stdout == "False True\n", done.stderr
    assert done.stderr.count("is a mount of its own") == 1
    assert "mount its folder" in done.stderr


# ---- threads, signals, forks -------------------------------------------------


def _watchers() -> int:
    return sum("_run" in thread.name for thread in threading.enumerate())


@pytest.mark.usefixtures("quick")
def test_a_signal_has_the_file_read_at_once_and_close_ends_the_thread(
    pki: Pki, tmp_path: Path
) -> None:
    """With `signal` and in a loop of asyncio: `wake` may be called by either."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))
    before = _watchers()
    file = PolicyFile(path, every=None)
    file.follow(lambda _: None)
    assert _watchers() == before + 1
    kept = signal.signal(signal.SIGHUP, file.wake)
    try:
        put(path, text_of(pinning(pki.impostor)))
        os.kill(os.getpid(), signal.SIGHUP)
        until(lambda: file.policy == pinning(pki.impostor))
    finally:
        signal.signal(signal.SIGHUP, kept)

    async def in_a_loop() -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGHUP, file.wake)
        put(path, text_of(pinning(pki.server)))
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(int(LIMIT * 100)):
            if file.policy == pinning(pki.server):
                break
            await asyncio.sleep(0.01)
        loop.remove_signal_handler(signal.SIGHUP)

    asyncio.run(in_a_loop())
    assert file.policy == pinning(pki.server)
    file.close()
    file.close()
    assert _watchers() == before


_FORKED = """
import os, sys, time
from pathlib import Path
from pinverify.live import PolicyFile
path = Path(sys.argv[1])
file = PolicyFile(path, every=0.01)
file.follow(lambda policy: None)
old = file.policy
new = path.with_name("new")
ours, theirs = os.pipe()
child = os.fork()
if child == 0:
    os.read(ours, 1)  # the file is another one now
    for _ in range(3000):
        if file.policy != old:
            os._exit(7)
        time.sleep(0.01)
    os._exit(1)
new.rename(path)
os.write(theirs, b"x")
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process_follows_the_file_too(pki: Pki, tmp_path: Path) -> None:
    """As the workers of a server that loads the application before it forks."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))
    put(tmp_path / "new", text_of(pinning(pki.impostor)))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKED, str(path)],
        timeout=2 * LIMIT,
        env=environment(),
        check=False,
    )
    assert done.returncode == 7


def test_an_exception_of_on_event_is_logged_and_changes_nothing(
    pki: Pki, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The policy is in force before anybody is told of it."""
    path = tmp_path / "pins.toml"
    put(path, text_of(pinning(pki.server)))

    def fail(_: Followed) -> None:
        raise RuntimeError

    with PolicyFile(path, every=None, on_event=fail) as file:
        put(path, text_of(pinning(pki.impostor)))
        assert file.reload()
        assert file.policy == pinning(pki.impostor)
    assert "on_event raised" in caplog.text


# ---- under load --------------------------------------------------------------

THREADS = 8


class Load:
    """Threads that connect all the time, and the policies that decided."""

    def __init__(self, pki: Pki, contexts: list[ssl.SSLContext]) -> None:
        self.decided: dict[bytes, set[bool]] = {}
        self.faults: list[BaseException] = []
        self.connections = 0
        self._ended = threading.Event()
        self._threads = [
            threading.Thread(target=self._connect, args=(pki, contexts, number))
            for number in range(THREADS)
        ]

    def _connect(self, pki: Pki, contexts: list[ssl.SSLContext], number: int) -> None:
        server = server_context(pki.server)
        turns = itertools.count(number)
        while not self._ended.is_set():
            try:
                found = report(contexts[next(turns) % len(contexts)], server)
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.faults.append(find_pinning_error(error) or error)
                return
            self.decided.setdefault(found.digest, set()).add(found.accepted)
            self.connections += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(LIMIT)


@contextlib.contextmanager
def _no_more_descriptors() -> Iterator[None]:
    before = _descriptors()
    yield
    more = {fd: to for fd, to in _descriptors().items() if fd not in before}
    assert not more


def _descriptors() -> dict[str, str]:
    """Return the open descriptors of this process, and what they lead to."""
    gc.collect()
    found: dict[str, str] = {}
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # that of this loop
            found[path.name] = str(path.readlink())
    return found


def replace_under_load(pki: Pki, folder: Path, replacements: int) -> None:
    """Replace a compiled policy often, spoil it now and then, and connect meanwhile."""
    path = folder / "pins.pvpol"
    expected: dict[bytes, bool] = {}

    def policy(number: int) -> Policy:
        good = number % 2 == 0
        pin = pki.server.pin if good else pki.impostor.pin
        other = f"h{number}.example"
        made = Policy({"localhost": [pin], other: [pki.ca.pin]})
        expected[made.digest] = good
        return made

    put(path, policy(0).compile())
    with (
        _no_more_descriptors(),
        PolicyFile(path, format="compiled", every=0.001) as file,
    ):
        contexts = [file.follow(trusting(pki)) for _ in range(4)]
        with Load(pki, contexts) as load:
            until(lambda: load.connections > THREADS)
            spoilt = 0
            for number in range(1, replacements + 1):
                new = policy(number)
                put(path, new.compile())
                if number % 10 == 0:
                    until(lambda: file.policy.digest == new.digest)  # noqa: B023
                    spoil = SPOILT[number // 10 % len(SPOILT)]
                    before = file.failures
                    spoil(path, text_of(new))
                    until(lambda: file.failures > before)  # noqa: B023
                    assert file.policy.digest == new.digest
                    spoilt += 1
                if number % 1000 == 0:
                    gc.collect()
            put(path, policy(0).compile())
            until(lambda: file.policy.digest == policy(0).digest)
            before = load.connections
            until(lambda: load.connections > before + THREADS)
    assert not load.faults
    assert file.failures == spoilt
    assert {digest: {good} for digest, good in expected.items()}.items() >= (
        load.decided.items()
    )
    assert len(load.decided) > 1


def test_every_connection_is_decided_by_a_policy_that_was_in_the_file(
    pki: Pki, tmp_path: Path
) -> None:
    """Replaced and spoilt while threads connect."""
    replace_under_load(pki, tmp_path, 60)


@pytest.mark.slow
def test_ten_thousand_replacements_lose_nothing_and_nothing_grows(
    pki: Pki, tmp_path: Path
) -> None:
    """No descriptor, and no memory beyond that of the policies that a test keeps."""
    replace_under_load(pki, tmp_path, 500)
    gc.collect()
    before = _memory()
    replace_under_load(pki, tmp_path, int(os.environ.get("REPLACEMENTS", "10000")))
    gc.collect()
    assert _memory() < before + 40 * 2**20


def _memory() -> int:
    """Return the memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
