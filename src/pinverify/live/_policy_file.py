"""A policy that is read again when its file is replaced, and its followers.

A thread looks at the file, once a second or when it is told to; a handshake never does.
Reading fails closed: if the file, the policy in it or one of the followers has a fault,
the old policy stays in force everywhere. The fault is logged once, as an error, and
counted.

*A file that is only half written* is the danger: the first half of a TOML file may be
valid TOML. A compiled policy has a digest of its own bytes, so one reading is enough.
Any other file counts only if two successive readings are equal. Two readings do not
notice a writer that pauses for longer than the time between them, so a new policy
should be written to another file, which is then renamed.

*Another file* is recognised by device, inode, size and times, then by the digest of its
contents. The path is looked up each time, so a symbolic link that leads elsewhere (the
``..data`` of Kubernetes) is another file.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import stat
import threading
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, TypeVar

from pinverify.core import sha256
from pinverify.errors import PolicyError
from pinverify.formats._load import policy_in
from pinverify.policy._policy import handle_of, open_at_once
from pinverify.review import diff
from pinverify.tls._pin_context import pin_context
from pinverify.tls._ssl_contexts import inner_context, is_context, rule_of

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from pinverify.policy import Policy
    from pinverify.review import Change

__all__ = ["Followed", "PolicyFile", "policy_files"]

_logger = logging.getLogger("pinverify")

_SETTLE = 0.1  # seconds between two readings of a text
_READINGS_MAX = 20
_READ, _END = "read", "end"  # what the thread is asked for
_TICK_NS = 3 * 10**9  # a tick of the clock of FAT, and a little more

policy_files: weakref.WeakSet[PolicyFile] = weakref.WeakSet()
"""The files that this process follows."""


class _Replaceable(Protocol):
    def use(self, policy: Policy, /) -> object:
        """Replace the policy."""


Follower: TypeAlias = "ssl.SSLContext | _Replaceable | Callable[[Policy], object]"
_Follower = TypeVar("_Follower", bound=Follower)


@dataclass(frozen=True, slots=True)
class Followed:
    """A reading of a policy file that changed something, failed, or was asked for.

    Attributes:
        path: the path of the file.
        old: the policy that was in force before.
        new: the policy that is in force now; the old one if it stays.
        error: why the old one stays, or None.
    """

    __module__ = "pinverify.live"

    path: str
    old: Policy
    new: Policy
    error: str | None = None

    def changes(self) -> list[Change]:
        """Return what changed: the result of `pinverify.diff` on both policies.

        It takes long with large policies: call it in a thread of its own.
        """
        return diff(self.old.rules, self.new.rules)


class PolicyFile:
    """A policy file; its followers get the policy in it, and each new one.

    Attributes:
        path: the path of the file.
        failures: how many readings failed, so that the old policy stayed. The same
            fault is counted again only if `reload` or `wake` finds it again.
        loaded_at: when the policy was put in force, in seconds since 1970.
        never_changes: True if the file is a mount of its own, so that a file that
            replaces the mounted one at its source is not seen.
    """

    __module__ = "pinverify.live"

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "toml",  # noqa: A002 - the usual word
        every: float | None = 1.0,
        on_event: Callable[[Followed], object] | None = None,
    ) -> None:
        """Read the policy. The file is watched as soon as something follows it.

        Args:
            path: the file.
            format: "toml", "compiled", or another format of docs/formats.md whose
                policies are one file each. Reading a text format blocks an event loop;
                reading a compiled policy does not.
            every: seconds between looks at the file; None to look only when `wake` or
                `reload` is called.
            on_event: called with each `Followed`, in the thread that read the file.
                What it raises is logged.

        Raises:
            PolicyError: the policy has mistakes, or the file is not a regular file.
            OSError: the file cannot be read.
        """
        self.path = os.fspath(path)
        self.failures = 0
        self.never_changes = _is_a_mount(self.path)
        self._format = format
        self._every = every
        self._on_event = on_event
        self._followers: list[Callable[[Policy], object]] = []
        self._error: str | None = None  # why the present file was not accepted
        self._seen: object = None
        data = self._contents()
        self._digest = sha256(data)
        self._policy = self._policy_in(data)
        self._expiries = _expiries_of(self._policy)
        self.loaded_at = time.time()
        self._watcher: threading.Thread | None = None
        self._begin()
        policy_files.add(self)
        if self.never_changes:
            _logger.warning(
                "%s is a mount of its own (a bind mount of one file, a ConfigMap by "
                "subPath): a file that takes its place outside is not seen here; mount "
                "its folder",
                self.path,
            )

    @property
    def policy(self) -> Policy:
        """The policy in force."""
        return self._policy

    def follow(self, follower: _Follower) -> _Follower:
        """Give *follower* the policy, now and whenever there is a new one.

        Args:
            follower: an `ssl.SSLContext`, which is pinned; or an object with
                ``use(policy)``; or a function that takes the policy. If *follower*
                raises, the new policy is refused, and the followers that already have
                the new policy get the old one back.

        Returns:
            *follower*, which this object keeps alive.

        Raises:
            TypeError: *follower* is none of these.
            PolicyError: *follower* refuses the policy.
        """
        use = _replacing(follower)
        with self._lock:
            try:
                use(self._policy)
            except PolicyError as error:
                raise PolicyError(self._in_words(error), kind=error.kind) from error
            self._followers.append(use)
            if self._watcher is None:
                self._watch()
        return follower

    def earliest_expiry(self) -> int | None:
        """Return when the next rule expires.

        The moment is in seconds since 1970; None if no rule will expire.
        """
        now = time.time()
        return min((each for each in self._expiries if each > now), default=None)

    def reload(self) -> bool:
        """Read the file now, and return True if the policy in it is in force.

        The result is always logged and reported, since somebody has asked for it.
        """
        return self._look(asked=True)

    def wake(self, *_: object) -> None:
        """Let the thread that looks at the file read it at once.

        It may be called in a signal handler:
        ``loop.add_signal_handler(signal.SIGHUP, file.wake)`` in asyncio, otherwise
        ``signal.signal(signal.SIGHUP, file.wake)``.
        """
        self._asked.put(_READ)

    def close(self) -> None:
        """Stop looking at the file. The policy stays in force, but not in metrics."""
        policy_files.discard(self)
        with self._lock:
            watcher, self._watcher = self._watcher, None
        if watcher is not None and watcher is not threading.current_thread():
            self._asked.put(_END)
            watcher.join()

    def __enter__(self) -> Self:
        """Return the file, to be closed at the end of a block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    # ---- the thread --------------------------------------------------------------

    def _begin(self) -> None:
        """Create what the thread needs; a forked child creates it again."""
        self._lock = threading.RLock()
        self._asked: queue.SimpleQueue[str] = queue.SimpleQueue()

    def _watch(self) -> None:
        """Start the thread, which keeps this object alive until it is closed."""
        self._watcher = threading.Thread(target=self._run, daemon=True)
        self._watcher.start()

    def _run(self) -> None:
        while self._watcher is threading.current_thread():
            try:
                if self._asked.get(timeout=self._every) == _END:
                    return
                self._look(asked=True)
            except queue.Empty:
                self._look(asked=False)

    def go_on_in_child(self) -> None:
        """Watch in a forked process, too, which does not have the thread."""
        self._begin()
        if self._watcher is not None:
            self._watch()

    # ---- reading -----------------------------------------------------------------

    def _look(self, *, asked: bool) -> bool:
        """Read the file if it is another one or somebody asked; use its policy."""
        with self._lock:
            state = _state_of(self.path)
            if state == self._seen and not asked:
                return self._error is None
            old, error = self._policy, None
            try:
                data = self._contents()
                # The data may be of a later state, which the next look will see.
                self._seen = state if _is_old(state) else None
                digest = sha256(data)
                if digest == self._digest and not asked:
                    return self._error is None
                self._digest = digest
                new = self._policy_in(data)
                if new.digest != old.digest:
                    self._hand_on(new)
            except Exception as cause:  # noqa: BLE001 - any error: fail closed
                error = self._in_words(cause)
                self._seen = state if _is_old(state) else None
                self._digest = b""
            is_news = error != self._error or self._policy is not old
            self._error = error
            if error and (asked or is_news):
                self.failures += 1
            if asked or is_news:
                self._tell(Followed(self.path, old, self._policy, error))
            return error is None

    def _contents(self) -> bytes:
        """Return the bytes of the whole file, as far as that can be known.

        Raises:
            OSError: the file cannot be read.
            PolicyError: it is not a regular file, or changes at each reading.
        """
        data = _contents_of(self.path)
        if self._format == "compiled":  # it contains its digest
            return data
        for _ in range(_READINGS_MAX):
            before = data
            time.sleep(_SETTLE)
            data = _contents_of(self.path)
            if data == before:
                return data
        msg = f"{self.path}: it was written all the time; rename a whole file to it"
        raise PolicyError(msg)

    def _policy_in(self, data: bytes) -> Policy:
        policy, notices = policy_in(data, self.path, self._format)
        for notice in notices:
            _logger.warning("%s", notice)
        return policy

    def _hand_on(self, new: Policy) -> None:
        """Put a policy in force everywhere, or nowhere."""
        expiries = _expiries_of(new)
        done: list[Callable[[Policy], object]] = []
        try:
            for use in self._followers:
                done.append(use)
                use(new)
        except BaseException:
            for use in reversed(done):
                try:
                    use(self._policy)
                except Exception:
                    _logger.exception("%s: the old policy was refused", self.path)
            raise
        self._policy, self._expiries = new, expiries
        self.loaded_at = time.time()

    def _in_words(self, error: BaseException) -> str:
        if isinstance(error, OSError):
            return f"{self.path}: {error.strerror or error}"
        text = str(error) if isinstance(error, PolicyError) else repr(error)
        return text if text.startswith(self.path) else f"{self.path}: {text}"

    def _tell(self, event: Followed) -> None:
        if event.error is not None:
            for line in event.error.splitlines():
                _logger.error("the old policy stays: %s", line)
        else:
            digests = event.old.digest.hex()[:16], event.new.digest.hex()[:16]
            _logger.info("%s: policy %s, before %s", self.path, digests[1], digests[0])
        if self._on_event is not None:
            try:
                self._on_event(event)
            except Exception:
                _logger.exception("on_event raised")


def _in_child() -> None:
    for file in [*policy_files]:
        file.go_on_in_child()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_in_child)


# ---- followers ---------------------------------------------------------------------


def _replacing(follower: Any) -> Callable[[Policy], object]:  # noqa: ANN401 - any object
    """Return the function that gives *follower* a policy."""
    if is_context(follower):

        def replace(policy: Policy) -> None:
            rule = rule_of(inner_context(follower))
            before = None if rule is None else rule.in_force
            on_report = None if before is None else before.on_report
            pin_context(follower, policy, on_report=on_report)

        return replace
    use = getattr(follower, "use", follower)
    if not callable(use):
        msg = (
            f"a {type(follower).__name__} cannot follow a policy: expected an "
            "ssl.SSLContext, an object with use(policy), or a function"
        )
        raise TypeError(msg)
    return use  # type: ignore[no-any-return] # of any type


def _expiries_of(policy: Policy) -> set[int]:
    """Return the moments at which rules expire."""
    handle = handle_of(policy)
    found = (handle.pinset(index).expires for index in range(handle.num_pinsets))
    return {expires for expires in found if expires is not None}


# ---- files -------------------------------------------------------------------------


def _state_of(path: str) -> tuple[int, ...]:
    """Return numbers that change with the file; only one if there is no file."""
    try:
        found = Path(path).stat()
    except OSError as error:
        return (error.errno or 0,)
    times = found.st_mtime_ns, found.st_ctime_ns
    return found.st_dev, found.st_ino, found.st_size, *times


def _is_old(state: tuple[int, ...]) -> bool:
    """Return True if any later change of the file would change its state.

    A file can be written twice in one tick of the clock that sets its times. That clock
    may be another machine's.
    """
    return len(state) == 1 or abs(time.time_ns() - max(state[3:])) > _TICK_NS


def _contents_of(path: str) -> bytes:
    """Return the bytes of a regular file.

    Raises:
        OSError: the file cannot be read.
        PolicyError: the file is not a regular file.
    """
    descriptor = open_at_once(path)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            msg = f"{path}: it is no regular file, which alone can be replaced"
            raise PolicyError(msg)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(descriptor)


_MOUNTS = Path("/proc/self/mountinfo")


def _is_a_mount(path: str) -> bool:
    """Return True if a file is itself a mount point of Linux."""
    try:
        lines = _MOUNTS.read_bytes().splitlines()
    except OSError:  # not Linux
        return False
    points = (line.split()[4] for line in lines)
    real = os.fsencode(Path(path).resolve())
    return any(re.sub(rb"\\([0-7]{3})", _octal, point) == real for point in points)


def _octal(found: re.Match[bytes]) -> bytes:
    return bytes([int(found[1], 8)])
