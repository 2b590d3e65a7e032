"""Reports: the decision about one peer."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from pinverify.core._library import DIGEST_LEN, status_text
from pinverify.core._open_policy import (
    CLIENTS,
    NO_DEPTH,
    NO_RULE,
    SHAPE_PREFIXES,
    rejection,
)
from pinverify.errors import PolicyError
from pinverify.policy._hosts import canonical
from pinverify.policy._pin import Pin, PinKind

if TYPE_CHECKING:
    from pinverify.core._open_policy import RawReport

__all__ = ["MODES", "Mode", "Reason", "Report", "raw_of"]

Mode: TypeAlias = Literal["enforce", "report"]

MODES: tuple[Mode, ...] = ("enforce", "report")
"""By their ``pv_mode``."""


class Reason(enum.IntEnum):
    """The reason of an acceptance or a rejection."""

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
    """The TLS library gave too little evidence, or something failed before the
    decision. Only adapters give this reason; a policy never does."""


class Report:
    """The decision about one peer.

    A report has no truth value, so ``if report:`` cannot accept a peer by mistake:
    use ``report.accepted``. It keeps the core's answer, and decodes each attribute when
    it is read.
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
        """Keep the core's answer; only policies make reports."""
        self._raw = raw
        self._spkis = spkis  # of the chain, n × 32 bytes
        self._given = host
        self._host: str | None = None  # canonical, after the first access
        self._digest = digest
        self._detail = detail  # a text that `raw` cannot hold

    @classmethod
    def not_checked(
        cls, host: str | bytes | None, digest: bytes, detail: str
    ) -> Report:
        """Make the rejection of a peer that could not be checked.

        Args:
            host: the name that was to be verified, or None.
            digest: the digest of the policy in force.
            detail: the reason, in words.
        """
        return cls(rejection(Reason.NOT_CHECKED), b"", host, digest, detail)

    @property
    def accepted(self) -> bool:
        """True if the connection may be used."""
        return self._raw.accepted == 1

    @property
    def reason(self) -> Reason:
        """The reason of the decision."""
        return _REASONS[self._raw.reason]

    @property
    def host(self) -> str | None:
        """The canonical host; the host as given if it has no canonical form.

        None for a peer without a name, and if one PinSet decides about every peer.
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
        """The pattern that decided, or None."""
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
        """The pin that matched, or that is blocked."""
        if self.reason not in _WITH_A_PIN:
            return None
        raw = self._raw
        return Pin(_KINDS[raw.matched_kind], raw.matched)

    @property
    def depth(self) -> int | None:
        """The position of the certificate that decided, 0 for the leaf.

        It is the first certificate that is pinned, blocked or malformed.
        """
        depth = self._raw.depth
        return None if depth == NO_DEPTH else depth

    @property
    def chain(self) -> tuple[Pin, ...]:
        """The SPKI pins of the certificates that were examined, leaf first.

        They end before the first certificate that is not strict DER. If the leaf was
        enough to accept the peer, it is the only one.
        """
        end = DIGEST_LEN * self._raw.num_seen
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
            return _why_bad(self._given)
        status = self._raw.detail
        return f"not strict DER: {status_text(status)}" if status else ""

    def __bool__(self) -> NoReturn:
        """Refuse to be a truth value."""
        msg = "a Report has no truth value: use report.accepted"
        raise TypeError(msg)

    def _key(self) -> tuple[object, ...]:
        return self._raw, self._spkis, self.host, self._digest, self._detail

    def __eq__(self, other: object) -> bool:
        """Compare everything that the reports say."""
        return self._key() == other._key() if isinstance(other, Report) else False

    def __hash__(self) -> int:
        """Agree with ``==``."""
        return hash(self._key())

    def __repr__(self) -> str:
        """Return the values of all attributes."""
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
