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
    Answer,
    fields_of,
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


class Report(Answer):
    """The decision about one peer.

    A report has no truth value, so ``if report:`` cannot accept a peer by mistake:
    use ``report.accepted``. It keeps the core's answer, and decodes each attribute when
    it is read.
    """

    # Most reports are made in C, without __init__: see csrc/python/evaluator.h.
    __slots__ = ()

    def __init__(
        self,
        raw: bytes,
        spkis: bytes,
        host: str | bytes | None,
        digest: bytes,
        detail: str | None = None,
    ) -> None:
        """Keep the core's answer; only policies make reports.

        Args:
            raw: a ``pv_report``.
            spkis: the digests of the keys of the chain, n × 32 bytes.
            host: as the caller wrote it.
            digest: that of the policy.
            detail: a text that *raw* cannot hold.
        """
        self._raw = raw
        self._spkis = spkis
        self._given = host
        self._digest = digest
        self._detail = detail

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
        return MODES[self._fields.mode]

    @property
    def matched(self) -> Pin | None:
        """The pin that matched, or that is blocked."""
        if self.reason not in _WITH_A_PIN:
            return None
        fields = self._fields
        return Pin(_KINDS[fields.matched_kind], fields.matched)

    @property
    def depth(self) -> int | None:
        """The position of the certificate that decided, 0 for the leaf.

        It is the first certificate that is pinned, blocked or malformed.
        """
        depth = self._fields.depth
        return None if depth == NO_DEPTH else depth

    @property
    def chain(self) -> tuple[Pin, ...]:
        """The SPKI pins of the certificates that were examined, leaf first.

        They end before the first certificate that is not strict DER. If the leaf was
        enough to accept the peer, it is the only one.
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
            return _why_bad(self._given)
        status = self._fields.detail
        return f"not strict DER: {status_text(status)}" if status else ""

    def __bool__(self) -> NoReturn:
        """Refuse to be a truth value."""
        msg = "a Report has no truth value: use report.accepted"
        raise TypeError(msg)

    @property
    def _fields(self) -> RawReport:
        return fields_of(self._raw)

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
    return report._fields


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
