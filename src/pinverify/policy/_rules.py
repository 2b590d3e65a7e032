"""Rules: the hosts and pins that a person wrote, as plain values to read and compare.

Formats read and write rules; `Policy` compiles them and decides. Values are canonical
from the beginning (patterns in ASCII, pins sorted, times in UTC), so rules that mean
the same are equal, however they were written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import os
from collections.abc import Iterable, Mapping
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

from pinverify.core._hosts import canonical, canonical_patterns, covering
from pinverify.errors import PolicyError
from pinverify.policy._certs_and_pins import Pin, Value

if TYPE_CHECKING:
    from pinverify.policy._report import Mode

__all__ = [
    "LISTS",
    "UNPINNED",
    "PinSet",
    "Pins",
    "Rules",
    "Unpinned",
    "check_choice",
    "check_rules",
    "checked_moment",
    "lists_of",
    "moment",
    "read_pins",
    "seconds_of",
]

Pins: TypeAlias = Iterable[Pin | str]
"""Pins, or texts that `Pin.parse` reads."""

LISTS = ("pins", "leaf", "ca", "blocked")
"""The lists of a PinSet, by their ``pv_list``."""

lists_of = attrgetter(*LISTS)


class Unpinned(enum.Enum):
    """The type of `UNPINNED`."""

    UNPINNED = "unpinned"

    def __repr__(self) -> str:
        return "UNPINNED"


UNPINNED = Unpinned.UNPINNED
"""Exempts a host from wider rules, in place of its PinSet: the host is treated like one
without any rule."""


class PinSet(Value):
    """The pins of one rule, its mode and its expiry.

    Each of the lists `pins`, `leaf` and `ca` that is not empty must have a pin that
    matches. Several pins in one list allow keys to change. Lists are kept sorted,
    without duplicates.

    Attributes:
        pins: match a certificate at any position of the chain.
        leaf: match only the peer's own certificate, position 0.
        ca: match only a certificate at position 1 or later.
        blocked: reject a peer whose chain has one of these.
        mode: "enforce"; or "report": accept the peer, and keep the reason.
        expires: moment when the pins stop applying, timezone-aware. It is kept in UTC
            and whole seconds; a fraction is cut off. Needs `after_expiry`.
        after_expiry: "allow" or "reject" every connection from then on. There is no
            default, because pins that end silently and a service that stops are both
            bad surprises.

    Raises:
        PolicyError: a value is wrong, or there is no pin in pins, leaf or ca.
    """

    __module__ = "pinverify"

    __match_args__ = (
        *("pins", "leaf", "ca", "blocked"),
        *("mode", "expires", "after_expiry"),
    )
    __slots__ = __match_args__

    pins: tuple[Pin, ...]
    leaf: tuple[Pin, ...]
    ca: tuple[Pin, ...]
    blocked: tuple[Pin, ...]
    mode: Mode
    expires: dt.datetime | None
    after_expiry: Literal["allow", "reject"] | None

    def __init__(  # noqa: PLR0913 - one per field
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
        pins = read_pins(pins, "pins")
        leaf = read_pins(leaf, "leaf")
        ca = read_pins(ca, "ca")
        blocked = read_pins(blocked, "blocked")
        check_choice("mode", mode, ("enforce", "report"))
        expires = _read_expiry(expires, after_expiry)
        if not (pins or leaf or ca):
            msg = (
                "a PinSet needs at least one pin in pins, leaf or ca; to leave a "
                "host without pins, write UNPINNED"
            )
            raise PolicyError(msg)
        self._fill(pins, leaf, ca, blocked, mode, expires, after_expiry)

    def __repr__(self) -> str:
        said = []
        for name in self.__match_args__:
            value = getattr(self, name)
            if name in LISTS:
                value = [str(pin) for pin in value]
            if value and value != "enforce":
                said.append(f"{name}={value!r}")
        return f"PinSet({', '.join(said)})"


class Rules(Value):
    """Rules for hosts and for clients: the input of a `Policy`.

    A pattern is a host name (``api.example.com``), ``*.`` and a name (exactly one
    more label), ``**.`` and a name (any number of labels more, or none), or an IP
    address. There are no ports: a TLS connection does not know its port. The most
    specific rule decides, alone: the exact name first, then the rule with the longest
    name, then ``*.`` before ``**.``. The order of the rules does not matter.

    Rules are equal if they have the same patterns with the same values; order and
    `origins` do not count.

    Attributes:
        hosts: a `PinSet` or `UNPINNED` for each canonical pattern. Read-only.
        unpinned: "allow" or "reject" hosts without pins.
        blocked: pins that no peer may show, whether its host has a rule or not.
        clients: the PinSet for peers without a name, or None. If there are no rules
            for hosts, this PinSet decides about every peer.
        origins: the place where each canonical pattern was written, as far as it is
            known; for messages. Read-only.

    Raises:
        PolicyError: a pattern, a pin or a value is wrong; the message names it.
        TypeError: an argument has the wrong type.
    """

    __module__ = "pinverify"

    __match_args__ = ("hosts", "unpinned", "blocked", "clients", "origins")
    __slots__ = __match_args__

    hosts: Mapping[str, PinSet | Unpinned]
    unpinned: Literal["allow", "reject"]
    blocked: tuple[Pin, ...]
    clients: PinSet | None
    origins: Mapping[str, str]

    def __init__(
        self,
        hosts: Mapping[str, PinSet | Unpinned | Pins] = MappingProxyType({}),
        *,
        unpinned: Literal["allow", "reject"] = "allow",
        blocked: Pins = (),
        clients: PinSet | None = None,
        origins: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        if not isinstance(hosts, Mapping):
            raise TypeError(_no_mapping(hosts))
        check_choice("unpinned", unpinned, ("allow", "reject"))
        read = read_pins(blocked, "blocked")
        if clients is not None and not isinstance(clients, PinSet):
            msg = f"clients: expected a PinSet, got {clients!r}; write PinSet([…])"
            raise TypeError(msg)
        by_pattern, written = _read_hosts(hosts, origins)
        self._fill(by_pattern, unpinned, read, clients, written)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rules):
            return NotImplemented
        return bool(self._values[:-1] == other._values[:-1])

    def __hash__(self) -> int:
        hosts = frozenset(self.hosts.items())
        return hash((hosts, self.unpinned, self.blocked, self.clients))

    def __repr__(self) -> str:
        said = [repr(dict(self.hosts))]
        if self.unpinned != "allow":
            said.append(f"unpinned={self.unpinned!r}")
        if self.blocked:
            said.append(f"blocked={[str(pin) for pin in self.blocked]!r}")
        if self.clients is not None:
            said.append(f"clients={self.clients!r}")
        return f"Rules({', '.join(said)})"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the arguments; they are checked again when unpickled."""
        hosts, unpinned, blocked, clients, origins = self._values
        choices = {"unpinned": unpinned, "blocked": blocked, "clients": clients}
        return partial(Rules, origins=dict(origins), **choices), (dict(hosts),)

    def deciding(self, host: str | bytes) -> tuple[str, PinSet | Unpinned] | None:
        """Return the rule that decides about *host*, or None.

        Returns:
            Its pattern, and its PinSet or `UNPINNED`.

        Raises:
            PolicyError: *host* is not a host.
            TypeError: *host* is not text; the PinSet of peers without a name is
                `clients`.
        """
        if not isinstance(host, str | bytes):
            msg = f"a host is text, got {host!r}; for peers without a name see clients"
            raise TypeError(msg)
        for pattern in covering(canonical(host)):
            if pattern in self.hosts:
                return pattern, self.hosts[pattern]
        return None


def read_pins(pins: Pins, where: str) -> tuple[Pin, ...]:
    """Return pins, each once and sorted; *where* begins the message of an error."""
    if pins is _NO_PINS:  # fast path: most lists are empty
        return _NO_PINS
    if type(pins) is not list and (
        isinstance(pins, str | bytes | Pin) or not isinstance(pins, Iterable)
    ):
        msg = f"{where}: expected a list of pins, got {pins!r}; write [{pins!r}]"
        raise PolicyError(msg)
    try:
        read = [pin if isinstance(pin, Pin) else Pin.parse(pin) for pin in pins]
    except (PolicyError, TypeError) as error:
        msg = f"{where}: {error}"
        raise PolicyError(msg, kind="pin") from None
    if len(read) > 1:
        read.sort(key=_FIELDS)
        if len({pin.digest for pin in read}) < len(read):
            read = list(dict.fromkeys(read))
    sorted_pins = tuple(read)
    return pins if type(pins) is tuple and pins == sorted_pins else sorted_pins


_NO_PINS: tuple[Pin, ...] = ()
_FIELDS = attrgetter("kind", "digest")


def _read_hosts(
    hosts: Mapping[str, PinSet | Unpinned | Pins], origins: Mapping[str, str]
) -> tuple[Mapping[str, PinSet | Unpinned], Mapping[str, str]]:
    """Return the rule of each canonical pattern, and where it was written."""
    patterns = canonical_patterns(list(hosts))
    given = dict(zip(patterns, hosts, strict=True))
    if len(given) < len(patterns):
        for pattern, text in zip(patterns, hosts, strict=True):
            if given[pattern] != text:
                msg = (
                    f"{given[pattern]!r} and {text!r} are one pattern; keep one of them"
                )
                raise PolicyError(msg, kind="twice")
    rules: dict[str, PinSet | Unpinned] = {}
    for pattern, (text, value) in zip(patterns, hosts.items(), strict=True):
        if isinstance(value, PinSet) or value is UNPINNED:
            rules[pattern] = value
            continue
        try:
            rules[pattern] = PinSet(value)
        except PolicyError as error:
            msg = f"{text!r}: {error}"
            raise PolicyError(msg, kind=error.kind) from None
    if strangers := origins.keys() - hosts.keys():
        msg = f"origins: there is no rule for {min(strangers)!r}"
        raise PolicyError(msg)
    written = {p: origins[text] for p, text in given.items() if text in origins}
    return MappingProxyType(rules), MappingProxyType(written)


def _no_mapping(given: object) -> str:
    """Return the message for an argument that is not a mapping of hosts."""
    if isinstance(given, PinSet):
        advice = (
            "for a host write {'api.example.com': PinSet(…)}, for peers without a "
            "name Policy.for_clients(PinSet(…))"
        )
    elif isinstance(given, str | bytes):
        advice = (
            "a policy file is read by load_policy(path), a compiled policy by "
            "Policy.open(path or bytes)"
        )
    else:
        advice = "write {'api.example.com': ['sha256/…', 'sha256/…']}"
    kind = type(given).__name__
    return f"rules are a mapping of hosts to pins, got {kind}; {advice}"


def check_rules(rules: object) -> None:
    """Raise `TypeError` unless *rules* are `Rules`."""
    if isinstance(rules, Rules):
        return
    if isinstance(rules, Mapping):
        advice = "write Rules({…})"
    elif isinstance(rules, PinSet):
        advice = "write Rules({'api.example.com': PinSet(…)})"
    elif isinstance(rules, str | os.PathLike):
        advice = "a policy file is read by load_rules(path)"
    elif isinstance(rules, bytes):
        advice = "those of a compiled policy are Policy.open(data).rules"
    elif hasattr(type(rules), "rules"):
        advice = "of a Policy give its rules"
    else:
        advice = "make them by Rules({…}), or read them by load_rules(path)"
    msg = f"expected Rules, got {type(rules).__name__}; {advice}"
    raise TypeError(msg)


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        expected = " or ".join(repr(choice) for choice in choices)
        msg = f"{name}: expected {expected}, got {value!r}"
        raise PolicyError(msg)


def _read_expiry(expires: object, after_expiry: object) -> dt.datetime | None:
    """Return *expires* in UTC and whole seconds."""
    if expires is None:
        if after_expiry is not None:
            msg = "after_expiry: expires is missing; give both or neither"
            raise PolicyError(msg, kind="expiry")
        return None
    if not isinstance(expires, dt.datetime) or expires.utcoffset() is None:
        msg = f"expires: expected a datetime with a timezone, got {expires!r}"
        raise PolicyError(msg, kind="expiry")
    if after_expiry is None:
        msg = (
            "expires: say what happens then, after_expiry='allow' or "
            "after_expiry='reject'"
        )
        raise PolicyError(msg, kind="expiry")
    check_choice("after_expiry", after_expiry, ("allow", "reject"))
    return moment(seconds_of(expires))


# ---- moments -----------------------------------------------------------------

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)
_FARTHEST = dt.timedelta(hours=23, minutes=59)  # the largest offset that TOML writes


def checked_moment(now: object) -> dt.datetime:
    """Return the moment that a caller gives; None stands for the current time."""
    if now is None:
        return dt.datetime.now(dt.UTC)
    if not isinstance(now, dt.datetime) or now.utcoffset() is None:
        msg = f"now: expected a datetime with a timezone, got {now!r}"
        error = PolicyError if isinstance(now, dt.datetime) else TypeError
        raise error(msg)
    return now


def seconds_of(aware: dt.datetime) -> int:
    """Return whole seconds since 1970-01-01T00:00:00Z, rounded down."""
    return (aware - _EPOCH) // _SECOND


def moment(seconds: int) -> dt.datetime:
    """Return the moment *seconds* after 1970-01-01T00:00:00Z, in UTC.

    Near the first and the last day of the calendar, a moment may exist only in another
    timezone, and is returned in that one. PolicyError if it exists in none.
    """
    with contextlib.suppress(OverflowError):
        return _EPOCH + _SECOND * seconds
    offset = _FARTHEST if seconds < 0 else -_FARTHEST
    try:
        local = _EPOCH.replace(tzinfo=dt.timezone(offset))
        return local + (_SECOND * seconds + offset)
    except OverflowError:
        msg = (
            f"{seconds} seconds after 1970 is outside the calendar; compile the "
            "policy again, with expires between the years 1 and 9999"
        )
        raise PolicyError(msg) from None
