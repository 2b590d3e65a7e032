"""Reports: the decision about one peer."""

from __future__ import annotations

import enum
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn, TypeAlias

from pinverify.core._hosts import canonical
from pinverify.core._keys import DIGEST_LEN, status_text
from pinverify.core._policies import (
    CLIENTS,
    NO_DEPTH,
    NO_RULE,
    SHAPE_PREFIXES,
    Answer,
    fields_of,
    rejection,
)
from pinverify.errors import PolicyError
from pinverify.policy._certs_and_pins import Pin, PinKind

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MODES",
    "Mode",
    "Reason",
    "Report",
    "Seen",
    "Side",
    "raw_of",
    "seen_of",
    "with_seen",
]

Mode: TypeAlias = Literal["enforce", "report"]

MODES: tuple[Mode, ...] = ("enforce", "report")
"""By their ``pv_mode``."""

Side: TypeAlias = Literal["client", "server"]


class Reason(enum.IntEnum):
    """The reason of an acceptance or a rejection."""

    __module__ = "pinverify"

    MISMATCH = 0
    """A list of pins does not match the chain."""
    MATCH = 1
    """Every list of pins matches."""
    NOT_PINNED = 2
    """There is no rule for the host, or its rule says "unpinned"."""
    EXPIRED = 3
    """The pins of the rule have expired."""
    NO_CERTIFICATE = 4
    """The peer showed no certificate."""
    MALFORMED = 5
    """A certificate is not strict DER."""
    BLOCKED = 6
    """A key or certificate in the chain is blocked."""
    BAD_HOST = 7
    """The host has no canonical form."""
    NOT_CHECKED = 8
    """The chain was not judged: a resumed session did not show it, or something failed
    before the decision. Only adapters give this reason; a policy never does."""

    def __str__(self) -> str:
        """Return the name, as in ``MISMATCH``."""
        return self.name


class Seen(NamedTuple):
    """The facts about a connection that an adapter adds; `Report` describes most."""

    side: Side | None = None
    peer: bytes | None = None
    address: Any = None
    resumed: bool | None = None
    hidden: bool = False
    """True if a resumed session did not show what is above the leaf."""
    doubt: str = ""
    """Why the TLS library did not verify the chain; empty if it did."""


class Report(Answer):
    """The decision about one peer.

    A report has no truth value, so ``if report:`` cannot accept a peer by mistake:
    use ``report.accepted``. A report keeps the core's answer, and decodes an attribute
    when somebody reads it.
    """

    __module__ = "pinverify"

    # Most reports are made in C, without __init__: see csrc/python/evaluator.h.
    __slots__ = ()

    def __init__(  # noqa: PLR0913, PLR0917 - what a report says
        self,
        raw: bytes,
        spkis: bytes,
        host: str | bytes | None,
        digest: bytes,
        detail: str | None = None,
        seen: Seen | None = None,
    ) -> None:
        """Keep the core's answer; only policies and adapters make reports.

        *raw* is a ``pv_report``, and *spkis* are the digests of the keys of the chain.
        *host* is as the caller wrote it, *digest* is that of the policy, and *detail*
        is a text that a ``pv_report`` cannot hold.
        """
        self._raw = raw
        self._spkis = spkis
        self._given = host
        self._digest = digest
        self._detail = detail
        self._seen = seen

    @classmethod
    def not_checked(
        cls,
        host: str | bytes | None,
        digest: bytes,
        detail: str,
        seen: Seen | None = None,
        chain: Sequence[Pin] = (),
    ) -> Report:
        """Make the rejection of a peer that could not be checked.

        The chain has the pins of the keys that were seen, leaf first.
        """
        raw = rejection(Reason.NOT_CHECKED, len(chain))
        spkis = b"".join(pin.digest for pin in chain)
        return cls(raw, spkis, host, digest, detail, seen)

    @property
    def accepted(self) -> bool:
        """True if the connection may be used."""
        return self._raw[0] == 1

    @property
    def reason(self) -> Reason:
        """The reason of the decision."""
        return _REASONS[self._raw[1]]

    @property
    def host(self) -> str | None:
        """The canonical host; the host as given if it has no canonical form.

        None for a peer without a name, and if one PinSet decides about every peer.
        """
        given = self._given
        if self._host is None and given is not None and self._fields.shape != CLIENTS:
            try:
                self._host = canonical(given)
            except PolicyError:
                self._host = given if isinstance(given, str) else given.decode("latin1")
        return self._host

    @property
    def rule(self) -> str | None:
        """The pattern that decided, or None."""
        fields = self._fields
        host = self.host
        if fields.rule == NO_RULE or host is None:
            return None
        return SHAPE_PREFIXES[fields.shape] + host[-fields.name_len :]

    @property
    def mode(self) -> Mode:
        """The rule's mode; a rule in "report" mode never rejects for its pins."""
        mode: Mode = MODES[self._fields.mode]
        return mode

    @property
    def matched(self) -> Pin | None:
        """The pin that matched, or that is blocked."""
        if self.reason not in _WITH_A_PIN:
            return None
        return Pin(_KINDS[self._fields.matched_kind], self._raw[-DIGEST_LEN:])

    @property
    def depth(self) -> int | None:
        """The position of the certificate that decided, 0 for the leaf.

        It is the first certificate that is pinned, blocked or malformed.
        """
        depth: int = self._fields.depth
        return None if depth == NO_DEPTH else depth

    @property
    def chain(self) -> tuple[Pin, ...]:
        """The SPKI pins of the certificates that were examined, leaf first.

        They end before the first certificate that is not strict DER. If the leaf was
        enough to accept the peer, its pin is the only one.
        """
        end = DIGEST_LEN * self._fields.num_seen
        return tuple(
            Pin(PinKind.SPKI, self._spkis[at : at + DIGEST_LEN])
            for at in range(0, end, DIGEST_LEN)
        )

    @property
    def digest(self) -> bytes:
        """The SHA-256 that identifies the compiled policy: 32 bytes."""
        return self._digest

    @property
    def detail(self) -> str:
        """Fault of the host or certificate, or why nothing was checked; else empty."""
        if self._detail:
            return self._detail
        if self.reason is Reason.BAD_HOST:
            if self._given is None:
                return "the peer has no name (server_hostname is None)"
            try:
                canonical(self._given)
            except PolicyError as error:
                return str(error)
            return f"{self._given!r} is not a host"
        status = self._fields.detail
        return f"not strict DER: {status_text(status)}" if status else ""

    @property
    def side(self) -> Side | None:
        """The side that the peer is on: "client" or "server".

        A pinned server reports "client". None if a policy decided without a connection.
        """
        return seen_of(self).side

    @property
    def peer(self) -> bytes | None:
        """The peer's own certificate in DER; None without certificate or connection."""
        return seen_of(self).peer

    @property
    def peer_address(self) -> Any:  # noqa: ANN401 - as in the module socket
        """The peer's address as ``getpeername`` returns it, or None.

        A connection over memory buffers, such as one of asyncio, does not know it.
        """
        return seen_of(self).address

    @property
    def resumed(self) -> bool | None:
        """True if the session was resumed; None if nobody knows."""
        return seen_of(self).resumed

    def to_dict(self) -> dict[str, Any]:
        """Return everything that the report says, as values that JSON has.

        Pins are written as `Pin` prints them, the policy's digest in hex, the peer's
        certificate in base64. What is not known is None.
        """
        peer, address = self.peer, self.peer_address
        if isinstance(address, bytes):  # of a Unix socket without a path
            address = address.decode("utf-8", "backslashreplace")
        return {
            "accepted": self.accepted,
            "reason": self.reason.name,
            "host": self.host,
            "rule": self.rule,
            "mode": self.mode,
            "matched": None if self.matched is None else str(self.matched),
            "depth": self.depth,
            "chain": [str(pin) for pin in self.chain],
            "digest": self.digest.hex(),
            "detail": self.detail or None,
            "side": self.side,
            "peer": None if peer is None else b2a_base64(peer, newline=False).decode(),
            "peer_address": list(address) if isinstance(address, tuple) else address,
            "resumed": self.resumed,
        }

    def __bool__(self) -> NoReturn:
        msg = "a Report has no truth value: use report.accepted"
        raise TypeError(msg)

    @property
    def _fields(self) -> Any:  # noqa: ANN401 - a C struct
        return fields_of(self._raw)

    def _key(self, host: str | bytes | None) -> tuple[Any, ...]:
        return self._raw, self._spkis, host, self._digest, self._detail, self._seen

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Report):
            return False
        return self._key(self.host) == other._key(other.host)

    def __hash__(self) -> int:
        return hash(self._key(self.host))

    def __repr__(self) -> str:
        """Return the values of all attributes but the peer's certificate."""
        said = ", ".join(f"{name}={getattr(self, name)!r}" for name in _ATTRIBUTES)
        return f"<Report {said}>"

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), self._key(self._given)


def raw_of(report: Report) -> Any:  # noqa: ANN401 - a C struct
    """Return the ``pv_report`` behind a report."""
    return report._fields


def seen_of(report: Report) -> Seen:
    """Return the facts about the connection behind a report."""
    return report._seen or Seen()  # noqa: SLF001 - of the same file


def with_seen(report: Report, seen: Seen) -> Report:
    """Add the facts about its connection to a new report, and return it."""
    report._seen = seen  # noqa: SLF001 - of the same file
    return report


# In the order of the core's numbers.
_REASONS = tuple(Reason)
_KINDS = tuple(PinKind)
_WITH_A_PIN = (Reason.MATCH, Reason.BLOCKED)

# In the order in which the class defines them.
_ATTRIBUTES = [
    name
    for name, value in vars(Report).items()
    if isinstance(value, property) and name not in {"_fields", "peer"}
]
