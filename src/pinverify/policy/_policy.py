"""Policies: the decision about a peer.

A policy is compiled when it is made, and the C core decides from the compiled
bytes: a `Policy` made from rules and one opened from a file are the same thing.
"""

from __future__ import annotations

import mmap
import os
import stat
import time
from array import array
from collections.abc import Mapping
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self

from pinverify.core._hosts import (
    BadPatternError,
    canonical,
    canonical_column,
    canonical_pattern,
)
from pinverify.core._keys import DIGEST_LEN, Column, Positions, as_bytes, view
from pinverify.core._peers import Hosts, as_chain, chains_of
from pinverify.core._policies import OpenPolicy
from pinverify.errors import PolicyError
from pinverify.policy._compiled import (
    compile_rules,
    compiled,
    flags_of,
    read_compiled,
    read_rules,
)
from pinverify.policy._pinning_error import PinningError
from pinverify.policy._report import Report, with_seen
from pinverify.policy._report_columns import Reports
from pinverify.policy._rules import (
    PinSet,
    Rules,
    check_choice,
    checked_moment,
    read_pins,
    seconds_of,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from pinverify.core._keys import Buffer, Offsets
    from pinverify.policy._report import Seen
    from pinverify.policy._rules import Pins, Unpinned

__all__ = [
    "Policy",
    "as_policy",
    "check_policy",
    "evaluate_at",
    "handle_of",
    "name_for_core",
    "open_at_once",
    "verify_at",
]

# ---- the columns of `Policy.from_columns` ------------------------------------------


def _patterns(hosts: Sequence[str] | Buffer, offsets: Offsets | None) -> Column:
    """Return the canonical patterns, in the order in which they are given."""
    given: Any = hosts
    if offsets is not None:
        column = Column(given, Positions.kept(offsets))
    else:
        if isinstance(given, str):  # its letters would be the hosts
            msg = (
                f"hosts are a list of texts, got the text {given!r}; write [{given!r}]"
            )
            raise TypeError(msg)
        texts = list(given)
        if not all(isinstance(text, str) for text in texts):
            msg = "hosts are a list of texts; for one buffer give offsets as well"
            raise TypeError(msg)
        if not all(map(str.isascii, texts)):
            texts = [_a_pattern(row, text) for row, text in enumerate(texts)]
        column = Column.of_texts(texts)
    try:
        return canonical_column(column)
    except BadPatternError as error:
        text = column.text(error.row)
        found = _a_pattern(error.row, text)  # raises, if it is ASCII
        msg = f"hosts, row {error.row}: {text!r} is not ASCII; write {found!r}"
        raise PolicyError(msg) from None


def _a_pattern(row: int, text: str) -> str:
    try:
        return canonical_pattern(text)
    except PolicyError as error:
        msg = f"hosts, row {row}: {error}"
        raise PolicyError(msg) from None


def _out_of_order(row: int, this: str, before: str) -> str:
    if this == before:
        return f"hosts, row {row}: {this!r} is in row {row - 1} already; keep one row"
    return (
        f"hosts, row {row}: {this!r} is not behind {before!r}, the row before it; sort "
        "the rows by the canonical spelling of their hosts, as sorted() does"
    )


def _lists(pins: Buffer, pin_offsets: Offsets | None, num_hosts: int) -> list[bytes]:
    """Return the pins of each host, sorted, each once: n × 32 bytes."""
    if isinstance(pins, str | list | tuple):
        msg = (
            f"pins are digests of {DIGEST_LEN} bytes back to back, got "
            f"{type(pins).__name__}; join Pin.digest of each, or use Rules and Policy"
        )
        raise TypeError(msg)
    data = pins if type(pins) is bytes else view(pins).tobytes()
    if len(data) % DIGEST_LEN:
        msg = f"pins have {DIGEST_LEN} bytes each, got {len(data)} bytes"
        raise PolicyError(msg)
    if pin_offsets is None:
        num_pins = len(data) // DIGEST_LEN
        each = num_pins // max(num_hosts, 1)
        if each * num_hosts != num_pins:
            msg = (
                f"{num_pins} pins for {num_hosts} hosts: not as many for each; say "
                "with pin_offsets which are whose"
            )
            raise PolicyError(msg)
        ends = [DIGEST_LEN * each * host for host in range(num_hosts + 1)]
    else:
        positions = Positions.kept(pin_offsets).view
        ends = [DIGEST_LEN * position for position in positions]
        _check_pin_offsets(ends, num_hosts, len(data))
    lists = [data[a:b] for a, b in pairwise(ends)]
    if b"" in lists:
        row = lists.index(b"")
        msg = f"hosts, row {row}: there is no pin; add one, or drop the row"
        raise PolicyError(msg)
    return [_sorted(one) if len(one) > DIGEST_LEN else one for one in lists]


def _check_pin_offsets(ends: Sequence[int], num_hosts: int, end: int) -> None:
    if len(ends) != num_hosts + 1:
        msg = (
            f"{len(ends)} pin_offsets and {num_hosts} hosts: give one offset more than "
            "there are hosts"
        )
        raise ValueError(msg)
    if any(a > b for a, b in pairwise(ends)) or ends[-1] > end or ends[0] < 0:
        msg = "pin_offsets descend, or exceed the number of pins"
        raise ValueError(msg)


def _sorted(digests: bytes) -> bytes:
    if len(digests) == 2 * DIGEST_LEN:  # fast path
        one, other = digests[:DIGEST_LEN], digests[DIGEST_LEN:]
        if one != other:
            return digests if one < other else other + one
    starts = range(0, len(digests), DIGEST_LEN)
    return b"".join(sorted({digests[at : at + DIGEST_LEN] for at in starts}))


class Policy:
    """Compiled rules, which decide about peers. Immutable, and safe for threads.

    `Rules` describes the patterns, which have no ports, and how a host's rule is found.
    """

    __module__ = "pinverify"

    __slots__ = ("__weakref__", "_evaluate", "_handle")

    def __init__(
        self,
        rules: Rules | Mapping[str, PinSet | Unpinned | Pins],
        *,
        unpinned: Literal["allow", "reject"] = "allow",
        blocked: Pins = (),
    ) -> None:
        """Compile the rules.

        Args:
            rules: `Rules`; or for each pattern a PinSet, a list of pins, or
                `UNPINNED`.
            unpinned: "allow" or "reject" hosts without pins.
            blocked: pins that no peer may show, whether its host has a rule or not.

        Raises:
            PolicyError: a pattern, a pin or a value is wrong; the message names it.
            TypeError: *rules* is neither `Rules` nor a mapping.
        """
        if not isinstance(rules, Rules):
            rules = Rules(rules, unpinned=unpinned, blocked=blocked)
        elif unpinned != "allow" or blocked:
            msg = "Rules have their own unpinned and blocked: give these to Rules(…)"
            raise TypeError(msg)
        self._use(OpenPolicy(compile_rules(rules)))

    def _use(self, handle: OpenPolicy) -> None:
        self._handle = handle
        # The slow path must not refer to this policy, or there would be a circle.
        self._evaluate = handle.evaluator(Report, partial(_evaluate_slowly, handle))

    @classmethod
    def for_clients(cls, pinset: PinSet) -> Self:
        """Make the policy that applies one PinSet to every peer, whatever its name.

        For servers: client certificates have no name to look up.

        Raises:
            TypeError: *pinset* is not a PinSet.
        """
        if not isinstance(pinset, PinSet):
            msg = f"expected a PinSet, got {type(pinset).__name__}; write PinSet([…])"
            raise TypeError(msg)
        return cls(Rules(clients=pinset))

    @classmethod
    def from_columns(  # noqa: PLR0913 - one per column and option
        cls,
        hosts: Sequence[str] | Buffer,
        pins: Buffer,
        *,
        offsets: Offsets | None = None,
        pin_offsets: Offsets | None = None,
        unpinned: Literal["allow", "reject"] = "allow",
        blocked: Pins = (),
    ) -> Self:
        """Compile many rules for hosts, given in columns.

        The policy is that of `Rules` with the same patterns and SPKI pins, but it is
        compiled many times as fast.

        Args:
            hosts: n patterns, in the order of their canonical spellings, each once;
                or, with *offsets*, one buffer that holds all of them, in ASCII.
            pins: SPKI pins, 32 bytes each, back to back.
            offsets: pattern i is bytes offsets[i] to offsets[i + 1] of the buffer.
            pin_offsets: host i has pins pin_offsets[i] to pin_offsets[i + 1]; None if
                all hosts have equally many pins.
            unpinned: "allow" or "reject" hosts without pins.
            blocked: pins that no peer may show, whether its host has a rule or not.

        Raises:
            PolicyError: a host is not a pattern, is out of order, or has no pin; the
                message names its row.
            ValueError: offsets descend or exceed what they cut.
            TypeError: an argument has the wrong type.
        """
        check_choice("unpinned", unpinned, ("allow", "reject"))
        blocked = read_pins(blocked, "blocked")
        patterns = _patterns(hosts, offsets)
        lists = _lists(pins, pin_offsets, patterns.num)
        numbers = dict.fromkeys(lists, 0)
        pinset_of = array("I", range(len(numbers)))
        if len(numbers) < len(lists):  # some hosts share a PinSet
            numbers = dict(zip(numbers, pinset_of, strict=True))
            pinset_of = array("I", map(numbers.__getitem__, lists))
        flags = flags_of(unpinned, clients=False)
        try:
            data = compiled(patterns, pinset_of, numbers, flags, blocked)
        except BadPatternError as error:
            this, before = patterns.text(error.row), patterns.text(error.row - 1)
            raise PolicyError(_out_of_order(error.row, this, before)) from None
        self = cls.__new__(cls)
        self._use(OpenPolicy(data))
        return self

    @classmethod
    def open(cls, source: bytes | mmap.mmap | str | os.PathLike[str]) -> Self:
        """Open a compiled policy, and check all of it.

        A mapped file is checked once, and then used in place. If another process later
        changes the file, wrong decisions or a crash follow; if it is truncated, this
        process is killed (SIGBUS). So map a file only if all who can write to it
        replace it by another one (a new inode), as ``pinverify compile`` does. If you
        are not sure of that, give its path: then the policy is a private copy.

        Args:
            source: the policy's bytes; the path of a regular file, which is read; or a
                read-only `mmap.mmap`, which is used without a copy. ``bytes(map)`` is
                a private copy, too. For a pipe, give the bytes:
                ``Policy.open(sys.stdin.buffer.read())``.

        Raises:
            PolicyError: *source* is not a complete, unchanged compiled policy, or is
                the path of something else than a regular file.
            OSError: the file cannot be read.
        """
        if isinstance(source, str | os.PathLike):
            handle = _opened(source)
        elif not isinstance(source, mmap.mmap):
            handle = OpenPolicy(bytes(source))  # copies a bytearray, which could change
        elif memoryview(source).readonly:
            handle = OpenPolicy(source)
        else:
            msg = "map the policy read-only: mmap.mmap(…, access=mmap.ACCESS_READ)"
            raise PolicyError(msg)
        self = cls.__new__(cls)
        self._use(handle)
        return self

    def compile(self) -> bytes:
        """Return the compiled policy: bytes to store, sign, share and open."""
        return bytes(self._handle.data)

    @property
    def rules(self) -> Rules:
        """The rules, read from the compiled policy each time.

        Raises:
            PolicyError: an expiry is outside the calendar. pinverify does not compile
                such a policy, but it can decide by one.
        """
        return read_rules(self._handle)

    @property
    def digest(self) -> bytes:
        """The SHA-256 that identifies this policy: 32 bytes."""
        return self._handle.digest

    @property
    def has_clients(self) -> bool:
        """True if there are pins for peers without a name."""
        return self._handle.has_clients

    def __repr__(self) -> str:
        clients = ", clients" if self.has_clients else ""
        rules = f"{self._handle.num_rules} rules{clients}"
        return f"<pinverify.Policy {rules}, digest {self.digest.hex()[:16]}…>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Policy) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        """Pickle the compiled bytes; they are checked again when unpickled."""
        return (type(self).open, (self.compile(),))

    def verify(
        self,
        host: str | bytes | None,
        verified_chain: Sequence[bytes],
        *,
        now: dt.datetime | None = None,
    ) -> Report:
        """Decide about one peer, and raise if it is rejected.

        Args:
            host: the name that the TLS library verified; None for a peer without a
                name, such as a client.
            verified_chain: DER certificates, leaf first: the chain that the TLS
                library *verified*, or the leaf alone. Never the chain as the peer
                sent it: anybody can append a well-known CA to that (CVE-2016-2402).
            now: timezone-aware; None is the current time.

        Returns:
            The report of an accepted peer.

        Raises:
            PinningError: the peer is rejected; its ``report`` has the reason.
        """
        return verify_at(self, host, as_chain(verified_chain), _seconds(now))

    def evaluate(
        self,
        host: str | bytes | None,
        verified_chain: Sequence[bytes],
        *,
        now: dt.datetime | None = None,
    ) -> Report:
        """Decide about one peer, and return the report, also of a rejection.

        The arguments are those of `verify`. Bytes that are not a certificate and text
        that is not a host lead to a rejection, not to an exception.

        Raises:
            TypeError: an argument has the wrong type.
        """
        return self._evaluate(host, verified_chain, _seconds(now))

    def evaluate_many(  # noqa: PLR0913 - two columns, and their offsets
        self,
        hosts: Sequence[str | bytes | None] | Buffer | None,
        chains: Sequence[Sequence[bytes]] | Buffer,
        *,
        host_offsets: Offsets | None = None,
        offsets: Offsets | None = None,
        chain_offsets: Offsets | None = None,
        now: dt.datetime | None = None,
        threads: int = 1,
    ) -> Reports:
        """Decide about n peers.

        A buffer with certificates is not copied: no other thread may change it during
        the call. The answer keeps what it needs of the other arguments: read-only
        buffers as they are, and copies of everything else.

        Args:
            hosts: n hosts; or with *host_offsets* one buffer with all of them, in
                ASCII, where an empty host is a peer without a name; or None if no peer
                has a name.
            chains: n verified chains, each leaf first; or, with *offsets*, one buffer
                with all certificates.
            host_offsets: host i is bytes host_offsets[i] to host_offsets[i + 1] of
                *hosts* (the layout of an Arrow string column).
            offsets: certificate j is bytes offsets[j] to offsets[j + 1] of *chains*
                (the layout of an Arrow binary column).
            chain_offsets: chain i is certificates chain_offsets[i] to
                chain_offsets[i + 1]; None if each certificate is a chain by itself,
                a leaf alone.
            now: timezone-aware; None is the current time.
            threads: the number of threads that decide: at most 256, and at most one for
                each part of up to 8,192 peers. All have ended when the call ends, even
                by Ctrl-C.

        Returns:
            n reports, in the same order.

        Raises:
            ValueError: the numbers of chains and hosts differ; or offsets descend, or
                exceed the end of the buffer or of the certificates; or *threads* is
                less than 1.
            TypeError: the offsets are not integers of 4 or 8 bytes; or a host or a
                certificate has the wrong type.
        """
        if threads < 1:
            msg = f"threads: expected 1 or more, got {threads}"
            raise ValueError(msg)
        handle = self._handle
        name = (lambda _: b"") if handle.ignores_hosts else name_for_core
        named = Hosts(hosts, host_offsets, name)
        peers = chains_of(chains, offsets, chain_offsets)
        answers = handle.evaluate_many(named, peers, _seconds(now), threads)
        return Reports(answers, named, handle.digest, handle.name_len)


# ---- for adapters --------------------------------------------------------------


def handle_of(policy: Policy) -> OpenPolicy:
    """Return the core's handle, which can decide without making a report."""
    return policy._handle  # noqa: SLF001 - of the same file


def verify_at(
    policy: Policy,
    host: str | bytes | None,
    chain: Sequence[bytes],
    seconds: int,
    seen: Seen | None = None,
) -> Report:
    """Decide as `Policy.verify` does, at a time in seconds since 1970."""
    report = evaluate_at(policy, host, chain, seconds, seen)
    if report.accepted:
        return report
    chain = [*map(as_bytes, chain)]  # as it is now: the text is made later
    raise PinningError(report, (chain, handle_of(policy), seconds))


def evaluate_at(
    policy: Policy,
    host: str | bytes | None,
    chain: Sequence[bytes],
    seconds: int,
    seen: Seen | None = None,
) -> Report:
    """Decide as `Policy.evaluate` does, *seconds* after 1970, and add *seen*."""
    report = policy._evaluate(host, chain, seconds)  # noqa: SLF001 - of the same file
    return report if seen is None else with_seen(report, seen)


def _evaluate_slowly(
    handle: OpenPolicy, host: str | bytes | None, chain: Sequence[bytes], seconds: int
) -> Report:
    """Slow path of `Policy.evaluate`: arguments of all types, errors included."""
    chain = as_chain(chain)
    name = b"" if handle.ignores_hosts else name_for_core(host)
    raw, spkis = handle.evaluate(name, chain, seconds)
    return Report(raw, spkis, host, handle.digest)


def name_for_core(host: str | bytes | None) -> bytes:
    """Return a host in ASCII, canonical or not; empty for a peer without a name."""
    if host is None:
        return b""
    if isinstance(host, str):
        try:
            host = (host if host.isascii() else canonical(host)).encode()
        except PolicyError:
            return _NO_HOST
    if not isinstance(host, bytes):
        msg = f"a host is text, got {type(host).__name__}"
        raise TypeError(msg)
    return host or _NO_HOST


# A host that the core rejects; an empty one would mean a peer without a name.
_NO_HOST = b"."


def as_policy(policy: Policy | PinSet) -> Policy:
    """Return *policy*, or the policy that applies a PinSet to every peer."""
    if isinstance(policy, PinSet):
        return Policy.for_clients(policy)
    check_policy(policy, "a Policy or a PinSet")
    return policy


def check_policy(policy: object, expected: str = "a Policy") -> None:
    """Raise `TypeError` unless *policy* is a Policy."""
    if isinstance(policy, Policy):
        return
    if isinstance(policy, Rules):
        advice = "write Policy(rules)"
    elif isinstance(policy, Mapping):
        advice = "write Policy({…})"
    elif isinstance(policy, str | os.PathLike):
        advice = "a policy file is read by load_policy(path)"
    elif isinstance(policy, bytes):
        advice = "a compiled policy is opened by Policy.open(data)"
    else:
        advice = "make one by Policy({…}), or read it by load_policy(path)"
    msg = f"expected {expected}, got {type(policy).__name__}; {advice}"
    raise TypeError(msg)


def _opened(path: str | os.PathLike[str]) -> OpenPolicy:
    """Read a regular file, and open the compiled policy that it holds."""
    advice = ""
    descriptor = open_at_once(path)
    try:
        found = os.fstat(descriptor)
        _check_regular(found.st_mode)
        advice = "; a policy in TOML is read by load_policy"
        with os.fdopen(descriptor, "rb", buffering=0, closefd=False) as file:
            return OpenPolicy(read_compiled(file, found.st_size))
    except PolicyError as error:
        msg = f"{os.fspath(path)}: {error}{advice}"
        raise PolicyError(msg) from None
    finally:
        os.close(descriptor)


def open_at_once(path: str | os.PathLike[str]) -> int:
    """Open a path for reading without blocking, and return its descriptor.

    A plain open of a pipe without a writer, or of some devices, would wait for ever.
    """
    flags = os.O_RDONLY
    for name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
        flags |= getattr(os, name, 0)  # Windows has the last one alone
    return os.open(path, flags)


def _check_regular(mode: int) -> None:
    """Refuse anything but a regular file, and say what to do instead."""
    if stat.S_ISREG(mode):
        return
    msg = "it is a directory; name the file of a compiled policy"
    if not stat.S_ISDIR(mode):
        kind = "a pipe" if stat.S_ISFIFO(mode) else "no regular file"
        msg = (
            f"it is {kind}; read the policy, and give its bytes, as in "
            "Policy.open(sys.stdin.buffer.read())"
        )
    raise PolicyError(msg)


def _seconds(moment: dt.datetime | None) -> int:
    """Return whole seconds since 1970, rounded down; None is the current time."""
    return int(time.time()) if moment is None else seconds_of(checked_moment(moment))
