"""Reports: the decision about one peer."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from pinverify.core._handle import (
    CLIENTS,
    NO_DEPTH,
    NO_RULE,
    SHAPE_PREFIXES,
    rejection,
)
from pinverify.core._library import DIGEST_LEN, status_text
from pinverify.errors import PolicyError
from pinverify.policy._hosts import canonical
from pinverify.policy._pin import Pin, PinKind

if TYPE_CHECKING:
    from pinverify.core._handle import RawReport

__all__ = ["MODES", "Mode", "Reason", "Report", "raw_of"]

Mode: TypeAlias = Literal["enforce", "report"]

MODES: tuple[Mode, ...] = ("enforce", "report")
"""By their ``pv_mode``."""


class Reason(enum.IntEnum):
    """Why a report accepts or rejects."""

    MISMATCH = 0
    """Pins are required, and the chain lacks one."""
    MATCH = 1
    """Every list of pins is hit."""
    NOT_PINNED = 2
    """No rule names the host, or one says "unpinned"."""
    EXPIRED = 3
    """The rule's time is over."""
    NO_CERTIFICATE = 4
    """The peer showed none."""
    MALFORMED = 5
    """A certificate is not strict DER."""
    BLOCKED = 6
    """A key or certificate of the chain is blocked."""
    BAD_HOST = 7
    """The host has no canonical form."""
    NOT_CHECKED = 8
    """The evidence of the TLS library is not enough, or something failed before there
    was a decision. Adapters say so; a policy never does."""


class Report:
    """The decision about one peer.

    A report has no truth value, so ``if report:`` cannot accept a peer by mistake:
    ask ``report.accepted``. It keeps the core's answer; each attribute is decoded when
    it is asked for.
    """

    __slots__ = ("_detail", "_digest", "_given", "_host", "_raw", "_spkis")

    def __init__(
        self,
        raw: RawReport,
        spkis: bytes,
        host: str | bytes | None,
        digest: bytes,
        detail: str = "",
    ) -> None:
        """Keep the core's answer. Policies make reports; nobody else needs to."""
        self._raw = raw
        self._spkis = spkis  # of the chain, n × 32 bytes
        self._given = host
        self._host: str | None = None  # canonical, once somebody has asked for it
        self._digest = digest
        self._detail = detail  # in words, if it is not in `raw`

    @classmethod
    def not_checked(
        cls, host: str | bytes | None, digest: bytes, detail: str
    ) -> Report:
        """Make the rejection of a peer about which nothing was decided.

        Args:
            host: the name that was to be verified, None without one.
            digest: of the policy that was in force.
            detail: why, in words.
        """
        return cls(rejection(Reason.NOT_CHECKED), b"", host, digest, detail)

    @property
    def accepted(self) -> bool:
        """True if the connection may be used."""
        return self._raw.accepted == 1

    @property
    def reason(self) -> Reason:
        """Why."""
        return _REASONS[self._raw.reason]

    @property
    def host(self) -> str | None:
        """The canonical host; as it was given if it has no canonical form.

        None for a peer without a name, and where one PinSet decides about every peer.
        """
        given = self._given
        if self._host is None and given is not None and self._raw.shape != CLIENTS:
            try:
                self._host = canonical(given)
            except PolicyError:
                self._host = given if isinstance(given, str) else given.decode("latin1")
        return self._host

    @property
    def rule(self) -> str | None:
        """The pattern that decided, None without one."""
        raw = self._raw
        host = self.host
        if raw.rule == NO_RULE or host is None:
            return None
        return SHAPE_PREFIXES[raw.shape] + host[-raw.name_len :]

    @property
    def mode(self) -> Mode:
        """The rule's mode; a rule in "report" mode never rejects for its pins."""
        return MODES[self._raw.mode]

    @property
    def matched(self) -> Pin | None:
        """The pin that was hit, or that is blocked."""
        if self.reason not in _WITH_A_PIN:
            return None
        raw = self._raw
        return Pin(_KINDS[raw.matched_kind], raw.matched)

    @property
    def depth(self) -> int | None:
        """The position in the chain of the certificate that decided, 0 for the leaf.

        It is the first that is pinned, or blocked, or malformed.
        """
        depth = self._raw.depth
        return None if depth == NO_DEPTH else depth

    @property
    def chain(self) -> tuple[Pin, ...]:
        """The SPKI pins that were looked at, leaf first.

        Where an adapter needs no more than the leaf to accept, it is that one.
        """
        end = DIGEST_LEN * self._raw.num_seen
        return tuple(
            Pin(PinKind.SPKI, self._spkis[at : at + DIGEST_LEN])
            for at in range(0, end, DIGEST_LEN)
        )

    @property
    def digest(self) -> bytes:
        """The SHA-256 that names the compiled policy: 32 bytes."""
        return self._digest

    @property
    def detail(self) -> str:
        """Why the host or a certificate is bad, or nothing was checked; else empty."""
        if self._detail:
            return self._detail
        if self.reason is Reason.BAD_HOST:
            return _why_bad(self._given)
        status = self._raw.detail
        return f"not strict DER: {status_text(status)}" if status else ""

    def __bool__(self) -> NoReturn:
        """Refuse to be a truth value."""
        msg = "a Report has no truth value: ask report.accepted"
        raise TypeError(msg)

    def _key(self) -> tuple[object, ...]:
        return self._raw, self._spkis, self.host, self._digest, self._detail

    def __eq__(self, other: object) -> bool:
        """Reports that say the same are equal."""
        return self._key() == other._key() if isinstance(other, Report) else False

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Return all that it says."""
        said = ", ".join(f"{name}={getattr(self, name)!r}" for name in _ATTRIBUTES)
        return f"<Report {said}>"

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the bytes."""
        made_of = (self._raw, self._spkis, self._given, self._digest, self._detail)
        return (type(self), made_of)


def raw_of(report: Report) -> RawReport:
    """Return the core's answer behind a report."""
    return report._raw  # noqa: SLF001 - of the same file


def _why_bad(host: str | bytes | None) -> str:
    if host is None:
        return "the peer has no name (server_hostname is None)"
    try:
        canonical(host)
    except PolicyError as error:
        return str(error)
    return f"{host!r} is not a host"


# By the numbers of the core.
_REASONS = tuple(Reason)
_KINDS = tuple(PinKind)
_WITH_A_PIN = (Reason.MATCH, Reason.BLOCKED)

_ATTRIBUTES = (
    "accepted",
    "reason",
    "host",
    "rule",
    "mode",
    "matched",
    "depth",
    "chain",
    "digest",
    "detail",
)
