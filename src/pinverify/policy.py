"""Policies: which pins hold for which host, and the decision about a peer.

A policy is compiled when it is made, and the C core decides from the compiled
bytes: a `Policy` made from rules and one opened from a file are the same thing.
"""

from __future__ import annotations

import datetime as dt
import enum
import mmap
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pinverify import compiler, core, hosts
from pinverify.errors import PinningError, PolicyError
from pinverify.pin import Pin, PinKind
from pinverify.report import Mode, Reason, Report, rejection_message

__all__ = ["UNPINNED", "PinSet", "Pins", "Policy", "Unpinned"]

Pins: TypeAlias = Iterable[Pin | str]
"""Pins, or their spellings as `Pin.parse` reads them."""

_LISTS = ("pins", "leaf", "ca", "blocked")


class Unpinned(enum.Enum):
    """The type of `UNPINNED`."""

    UNPINNED = "unpinned"


UNPINNED = Unpinned.UNPINNED
"""In place of a PinSet: carves a host out of a wider rule. The host is then
treated as one that no rule names."""


@dataclass(frozen=True, slots=True)
class PinSet:
    """The pins of one rule, and what happens when they are not met.

    Each of `pins`, `leaf` and `ca` that is not empty must be hit by at least one
    of its pins; several pins in one list are for rotation.

    As it is, without a policy, a PinSet holds for every peer whatever its name
    (client certificates have none), and has the same `verify` and `evaluate`.

    Attributes:
        pins: hit by a certificate at any position of the chain.
        leaf: hit by the peer's own certificate, position 0.
        ca: hit by a certificate at position 1 or later.
        blocked: hit by none.
        mode: "enforce", or "report": accept, and keep the reason.
        expires: when the pins stop to hold, timezone-aware; whole seconds, a
            fraction is cut off. Needs `after_expiry`.
        after_expiry: "allow" or "reject" every connection from then on. There is
            no default: pinning that ends silently and a service that stops are
            both surprises.

    Raises:
        PolicyError: a value is none of these, or there is no pin at all.
    """

    pins: tuple[Pin, ...] = ()
    leaf: tuple[Pin, ...] = ()
    ca: tuple[Pin, ...] = ()
    blocked: tuple[Pin, ...] = ()
    mode: Mode = "enforce"
    expires: dt.datetime | None = None
    after_expiry: Literal["allow", "reject"] | None = None
    _opened: list[Policy] = field(init=False, repr=False, compare=False)

    def __init__(  # noqa: PLR0913 - a PinSet is what has these fields
        self,
        pins: Pins = (),
        leaf: Pins = (),
        ca: Pins = (),
        blocked: Pins = (),
        *,
        mode: Mode = "enforce",
        expires: dt.datetime | None = None,
        after_expiry: Literal["allow", "reject"] | None = None,
    ) -> None:
        """Read and check the fields."""
        given = zip(_LISTS, (pins, leaf, ca, blocked), strict=True)
        for name, value in given:
            object.__setattr__(self, name, _read_pins(value, name))
        _check_choice("mode", mode, ("enforce", "report"))
        object.__setattr__(self, "mode", mode)
        object.__setattr__(self, "expires", _whole_seconds(expires))
        _check_expiry(expires, after_expiry)
        object.__setattr__(self, "after_expiry", after_expiry)
        object.__setattr__(self, "_opened", [])
        if not (self.pins or self.leaf or self.ca):
            msg = (
                "a PinSet needs at least one pin in pins, leaf or ca; to leave a "
                "host without pins, write UNPINNED"
            )
            raise PolicyError(msg)

    def verify(
        self,
        verified_chain: Sequence[bytes],
        *,
        now: dt.datetime | None = None,
    ) -> Report:
        """Decide about a peer, as `Policy.verify` does."""
        return self.as_policy().verify(None, verified_chain, now=now)

    def evaluate(
        self,
        verified_chain: Sequence[bytes],
        *,
        now: dt.datetime | None = None,
    ) -> Report:
        """Decide about a peer, as `Policy.evaluate` does."""
        return self.as_policy().evaluate(None, verified_chain, now=now)

    def evaluate_many(
        self,
        chains: Sequence[Sequence[bytes]] | core.Buffer,
        *,
        offsets: core.Offsets | None = None,
        chain_offsets: core.Offsets | None = None,
        now: dt.datetime | None = None,
    ) -> list[Report]:
        """Decide about n peers at one time, as `Policy.evaluate_many` does."""
        return self.as_policy().evaluate_many(
            None, chains, offsets=offsets, chain_offsets=chain_offsets, now=now
        )

    def compile(self) -> bytes:
        """Return the compiled policy of this one PinSet for every peer."""
        return compiler.compile_policy((), every_peer=_fields(self))

    def as_policy(self) -> Policy:
        """Return this PinSet as a policy for every peer, made at the first use."""
        if not self._opened:
            self._opened.append(Policy.open(self.compile()))
        return self._opened[0]


class Policy:
    """Which pins hold for which host. Immutable, and safe to share by threads.

    Patterns are a host name (``api.example.com``), ``*.`` and a name (exactly
    one label more), ``**.`` and a name (any number of labels more, or none), or
    an IP address. There are no ports: a TLS connection does not know its port.
    The most specific rule decides, alone: the exact one, else the one with the
    longest name, else ``*.`` before ``**.``.
    """

    __slots__ = ("__weakref__", "_core", "_digest")

    def __init__(
        self,
        rules: Mapping[str, PinSet | Unpinned | Pins],
        *,
        unpinned: Literal["allow", "reject"] = "allow",
        blocked: Pins = (),
    ) -> None:
        """Compile the rules.

        Args:
            rules: for each pattern a PinSet, a list of pins, or `UNPINNED`.
            unpinned: what happens to hosts without pins.
            blocked: pins that no host may show, whether it has a rule or not.

        Raises:
            PolicyError: a pattern, a pin or a value is wrong; the message says
                which.
        """
        _check_choice("unpinned", unpinned, ("allow", "reject"))
        compiled = compiler.compile_policy(
            _read_rules(rules),
            _by_kind(_read_pins(blocked, "blocked")),
            reject_unpinned=unpinned == "reject",
        )
        self._set_core(core.OpenPolicy(compiled))

    @classmethod
    def open(cls, source: bytes | mmap.mmap | str | os.PathLike[str]) -> Self:
        """Open a compiled policy, checking all of it.

        Args:
            source: its bytes; or a read-only `mmap.mmap`, which is used where it
                lies, so the file must never be changed or cut: replace it by
                another (a new inode); or the path of a file, which is read.

        Raises:
            PolicyError: it is not a compiled policy, whole and unchanged.
            OSError: the file can't be read.
        """
        self = cls.__new__(cls)
        try:
            self._set_core(core.OpenPolicy(_policy_bytes(source)))
        except PolicyError as error:
            if not isinstance(source, str | os.PathLike):
                raise
            msg = f"{source}: {error}; a policy in TOML is read by load_policy"
            raise PolicyError(msg) from None
        return self

    def _set_core(self, opened: core.OpenPolicy) -> None:
        self._core = opened
        self._digest = opened.digest

    def compile(self) -> bytes:
        """Return the compiled policy: bytes to store, sign, share and open."""
        return bytes(self._core.data)

    @property
    def digest(self) -> bytes:
        """The SHA-256 that names this policy: 32 bytes."""
        return self._digest

    @property
    def opened(self) -> core.OpenPolicy:
        """The core's handle, for adapters: it decides without making a report."""
        return self._core

    @property
    def every_peer(self) -> bool:
        """Whether this is one PinSet for every peer, and hosts do not count."""
        return self._core.every_peer

    def __len__(self) -> int:
        """Return the number of rules."""
        return self._core.num_rules

    def __bool__(self) -> bool:
        """Be true, without rules too: such a policy may still reject."""
        return True

    def __repr__(self) -> str:
        """Return the number of rules and the beginning of the digest."""
        what = "every peer" if self.every_peer else f"{len(self)} rules"
        return f"<pinverify.Policy {what}, digest {self._digest.hex()[:16]}…>"

    def __eq__(self, other: object) -> bool:
        """Policies with the same digest are the same policy."""
        return isinstance(other, Policy) and self._digest == other._digest

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._digest)

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
        """Decide about one peer; a rejection is an exception.

        Args:
            host: the name that the TLS library verified.
            verified_chain: DER certificates, leaf first: the chain that the TLS
                library *verified*, or the leaf alone. Never the chain as the
                peer sent it: anybody can append a well-known CA to that
                (CVE-2016-2402).
            now: timezone-aware; None is the current time.

        Returns:
            A report that accepts.

        Raises:
            PinningError: the peer is rejected; its ``report`` says why.
        """
        report = self.evaluate(host, verified_chain, now=now)
        if report.accepted:
            return report
        expected = self._pinset_behind(report)
        message = rejection_message(report, verified_chain, expected)
        raise PinningError.of(message, report)

    def evaluate(
        self,
        host: str | bytes | None,
        verified_chain: Sequence[bytes],
        *,
        now: dt.datetime | None = None,
    ) -> Report:
        """Decide about one peer; a rejection is a report like any other.

        The arguments are those of `verify`. Bytes that are no certificate and text
        that is no host are a rejection, too.

        Raises:
            TypeError: an argument is of another type.
        """
        name, why = self._canonical(host)
        chain = _as_chain(verified_chain)
        raw, spkis = self._core.verify(name.encode(), chain, _seconds(now))
        return self._report(raw, spkis, name, host, why)

    def blocks(self, host: str | bytes | None) -> bool:
        """Say whether any key is blocked for *host*.

        If so, a chain of which a part is missing can't be cleared of it.

        Raises:
            PolicyError: *host* is no host.
        """
        if self.every_peer or host is None:
            return self._core.blocks(None)
        return self._core.blocks(self._core.find(hosts.canonical(host)))

    def evaluate_many(
        self,
        hosts: Sequence[str | bytes | None] | None,
        chains: Sequence[Sequence[bytes]] | core.Buffer,
        *,
        offsets: core.Offsets | None = None,
        chain_offsets: core.Offsets | None = None,
        now: dt.datetime | None = None,
    ) -> list[Report]:
        """Decide about n peers at one time, in one C call.

        Args:
            hosts: n hosts. None stands for n peers without a name, as a policy for
                every peer takes them.
            chains: n verified chains, each leaf first; or, with *offsets*, one
                buffer that holds the certificates of all. It is read where it lies:
                no other thread may change it meanwhile.
            offsets: certificate j is bytes offsets[j] to offsets[j + 1] of the buffer
                (the layout of an Arrow binary column).
            chain_offsets: chain i is the certificates chain_offsets[i] to
                chain_offsets[i + 1]; None: each certificate is a chain, the leaf
                alone.
            now: timezone-aware; None is the current time.

        Returns:
            n reports, in the same order.

        Raises:
            ValueError: there are not as many chains as hosts; or offsets do not
                ascend, or pass the end of what they cut.
            TypeError: the offsets are not integers of 4 or 8 bytes.
        """
        shown: Any = chains
        if offsets is None:
            shown = [_as_chain(chain) for chain in shown]
        peers = core.Chains(shown, offsets, chain_offsets)
        given = [None] * peers.num if hosts is None else hosts
        names = [self._canonical(host) for host in given]
        decided = self._core.verify_many(
            [name.encode() for name, _ in names], peers, _seconds(now)
        )
        return [
            self._report(raw, spkis, name, host, why)
            for (raw, spkis), (name, why), host in zip(
                decided, names, given, strict=True
            )
        ]

    def _canonical(self, host: str | bytes | None) -> tuple[str, str]:
        """Return the canonical host; or, for the core to reject, "" and why."""
        if self.every_peer:
            return "", ""
        if host is None:
            return "", "the peer has no name (server_hostname is None)"
        if not isinstance(host, str | bytes):
            msg = f"a host is text, got {type(host).__name__}"
            raise TypeError(msg)
        try:
            return hosts.canonical(host), ""
        except PolicyError as error:
            return "", str(error)

    def _report(
        self,
        raw: core.RawReport,
        spkis: bytes,
        name: str,
        given: str | bytes | None,
        why: str,
    ) -> Report:
        seen = [
            Pin(PinKind.SPKI, spkis[at : at + core.DIGEST_LEN])
            for at in range(0, core.DIGEST_LEN * raw.num_seen, core.DIGEST_LEN)
        ]
        matched = None
        if raw.reason in _WITH_A_PIN:
            matched = Pin(_KINDS[raw.matched_kind], raw.matched)
        host: str | None = None if self.every_peer else name
        if why:
            host = given.decode("latin-1") if isinstance(given, bytes) else given
        elif raw.detail:
            why = f"not strict DER: {core.status_text(raw.detail)}"
        pattern = None
        if raw.rule != core.NO_RULE:
            pattern = core.SHAPE_PREFIXES[raw.shape] + name[-raw.name_len :]
        return Report(
            accepted=raw.accepted == 1,
            reason=_REASONS[raw.reason],
            host=host,
            pattern=pattern,
            mode=_MODES[raw.mode],
            matched=matched,
            depth=None if raw.depth == core.NO_DEPTH else raw.depth,
            chain=tuple(seen),
            policy_digest=self._digest,
            detail=why,
        )

    def _pinset_behind(self, report: Report) -> core.PinSetFields | None:
        """Return the PinSet of the rule that decided, None without one."""
        if self.every_peer:
            return self._core.pinset(0)
        if report.pattern is None or report.host is None:
            return None
        rule = self._core.find(report.host)
        pinset = None if rule is None else self._core.rule(rule)[1]
        return None if pinset is None else self._core.pinset(pinset)


# ---- reading what users write ------------------------------------------------


def _read_pins(pins: Pins, where: str) -> tuple[Pin, ...]:
    if isinstance(pins, str | bytes | Pin) or not isinstance(pins, Iterable):
        msg = f"{where}: expected a list of pins, got {pins!r}; write [{pins!r}]"
        raise PolicyError(msg)
    try:
        read = [pin if isinstance(pin, Pin) else Pin.parse(pin) for pin in pins]
    except (PolicyError, TypeError) as error:
        msg = f"{where}: {error}"
        raise PolicyError(msg) from None
    # A set has no order of its own; equal policies have equal bytes all the same.
    return tuple(sorted(read) if isinstance(pins, AbstractSet) else read)


def _read_rules(
    rules: Mapping[str, PinSet | Unpinned | Pins],
) -> list[compiler.Rule]:
    seen: dict[str, str] = {}
    result = []
    for text, value in rules.items():
        pattern = _pattern(text)
        if pattern in seen:
            msg = f"{text!r} and {seen[pattern]!r} are one pattern; keep one of them"
            raise PolicyError(msg)
        seen[pattern] = text
        if isinstance(value, Unpinned):
            result.append(compiler.Rule(pattern, None))
            continue
        try:
            pinset = value if isinstance(value, PinSet) else PinSet(value)
        except PolicyError as error:
            msg = f"{text!r}: {error}"
            raise PolicyError(msg) from None
        result.append(compiler.Rule(pattern, _fields(pinset)))
    return result


def _pattern(text: str) -> str:
    """Return a pattern in its one canonical spelling."""
    if not isinstance(text, str):
        msg = f"a pattern is text, got {text!r}"
        raise PolicyError(msg)
    prefix = next((p for p in ("**.", "*.") if text.startswith(p)), "")
    try:
        name = hosts.canonical(text.removeprefix(prefix))
    except PolicyError as error:
        raise PolicyError(_bad_pattern(text, str(error))) from None
    if prefix and core.is_address(name):
        msg = f"{text!r}: an IP address stands alone, without {prefix!r}"
        raise PolicyError(msg)
    return prefix + name


def _bad_pattern(text: str, why: str) -> str:
    advice = ""
    if "://" in text or "/" in text:
        advice = "; write the host alone, without scheme and path"
    elif "*" in text:
        advice = "; a wildcard is '*.' or '**.' at the beginning, then a name"
    elif text.count(":") == 1:
        advice = "; write the host without a port: rules hold for all ports"
    return f"{text!r} is not a pattern: {why}{advice}"


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        expected = " or ".join(repr(choice) for choice in choices)
        msg = f"{name}: expected {expected}, got {value!r}"
        raise PolicyError(msg)


def _check_expiry(expires: object, after_expiry: object) -> None:
    if expires is None and after_expiry is not None:
        msg = "after_expiry: there is no expires; give both or none"
        raise PolicyError(msg)
    if expires is not None:
        if after_expiry is None:
            msg = (
                "expires: say what happens then, after_expiry='allow' or "
                "after_expiry='reject'"
            )
            raise PolicyError(msg)
        _check_choice("after_expiry", after_expiry, ("allow", "reject"))


def _whole_seconds(expires: object) -> dt.datetime | None:
    if expires is None:
        return None
    if not isinstance(expires, dt.datetime) or expires.utcoffset() is None:
        msg = f"expires: expected a datetime with a timezone, got {expires!r}"
        raise PolicyError(msg)
    return expires.replace(microsecond=0)


# ---- to and from the core ----------------------------------------------------


def _by_kind(pins: Iterable[Pin]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    pins = tuple(pins)
    return (
        tuple(pin.digest for pin in pins if pin.kind is PinKind.SPKI),
        tuple(pin.digest for pin in pins if pin.kind is PinKind.CERTIFICATE),
    )


def _fields(pinset: PinSet) -> core.PinSetFields:
    runs: tuple[tuple[bytes, ...], ...] = ()
    for name in _LISTS:
        runs += _by_kind(getattr(pinset, name))
    return core.PinSetFields(
        mode=int(pinset.mode == "report"),
        expires=None if pinset.expires is None else _seconds(pinset.expires),
        expired_rejects=pinset.after_expiry == "reject",
        runs=runs,
    )


def _policy_bytes(
    source: bytes | mmap.mmap | str | os.PathLike[str],
) -> bytes | mmap.mmap:
    if isinstance(source, mmap.mmap):
        with memoryview(source) as view:
            if not view.readonly:
                msg = "map the policy read-only: mmap.mmap(…, access=mmap.ACCESS_READ)"
                raise PolicyError(msg)
        return source
    if isinstance(source, str | os.PathLike):
        return Path(source).read_bytes()
    return bytes(source)  # a copy where the bytes could change


def _as_chain(chain: Sequence[bytes]) -> list[bytes]:
    if isinstance(chain, bytes | bytearray | memoryview | str):
        msg = "a chain is a list of DER certificates, leaf first; write [certificate]"
        raise TypeError(msg)
    return list(chain)


# By the numbers of the core.
_REASONS = tuple(Reason)
_KINDS = tuple(PinKind)
_MODES: tuple[Mode, ...] = ("enforce", "report")
_WITH_A_PIN = (Reason.MATCH, Reason.BLOCKED)

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _seconds(moment: dt.datetime | None) -> int:
    """Return whole seconds since 1970, rounded down; None is the current time."""
    if moment is None:
        return int(time.time())
    if not isinstance(moment, dt.datetime):
        msg = f"now: expected a datetime with a timezone, got {moment!r}"
        raise TypeError(msg)
    if moment.utcoffset() is None:
        msg = f"now: expected a datetime with a timezone, got {moment!r}"
        raise PolicyError(msg)
    return (moment - _EPOCH) // dt.timedelta(seconds=1)
