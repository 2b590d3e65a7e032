"""Reports: the decision about one peer, and the text that a person acts on."""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn, TypeAlias

from pinverify import core
from pinverify.errors import DERError
from pinverify.pin import Pin, PinKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Mode", "Reason", "Report", "rejection_message"]

Mode: TypeAlias = Literal["enforce", "report"]


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


@dataclass(frozen=True, slots=True)
class Report:
    """The decision about one peer.

    A report is no truth value, so that ``if report`` can't pass by accident: ask
    ``report.accepted``.

    Attributes:
        accepted: whether the connection may be used.
        reason: why.
        host: the canonical host; as it was given if it has no canonical form;
            None where one PinSet holds for every peer.
        pattern: the rule that decided, None without one.
        mode: the rule's mode; a rule in "report" mode never rejects for its pins.
        matched: the pin that was hit, or that is blocked.
        depth: the position in the chain of the certificate that decided, 0 for
            the leaf: the first that is pinned, or blocked, or malformed.
        chain: the SPKI pins that were looked at, leaf first. Where an adapter
            needs no more than the leaf to accept, it is that one.
        policy_digest: the SHA-256 that names the compiled policy: 32 bytes.
        detail: why the host or a certificate is bad, in words; else empty.
    """

    accepted: bool
    reason: Reason
    host: str | None
    pattern: str | None
    mode: Mode
    matched: Pin | None
    depth: int | None
    chain: tuple[Pin, ...]
    policy_digest: bytes
    detail: str = ""

    def __bool__(self) -> NoReturn:
        """Refuse to be a truth value."""
        msg = "a Report is no truth value: ask report.accepted"
        raise TypeError(msg)


def rejection_message(
    report: Report,
    chain: Sequence[bytes],
    expected: core.PinSetFields | None,
) -> str:
    """Return what a person needs to act: seen, expected, and what to do next.

    The first line says what happened. Nothing of a certificate's subject can
    break out of its line, whatever an attacker put there.

    Args:
        report: a rejection.
        chain: the DER certificates behind it, leaf first.
        expected: the PinSet of the rule, None without one.
    """
    rows: list[tuple[str, list[str]]] = []
    if report.pattern is not None and report.pattern != report.host:
        rows.append(("rule", [repr(report.pattern)]))
    runs = expected.runs if expected is not None else ((),) * 8
    if chain and report.reason is not Reason.BAD_HOST:
        whole = any(runs[PinKind.CERTIFICATE :: 2])
        rows.append(("chain", _chain_lines(report, chain, whole=whole)))
    if report.reason is Reason.MISMATCH:
        for number, name in enumerate(("pinned", "leaf", "ca")):
            rows.append((name, _pin_lines(runs[2 * number : 2 * number + 2])))
    headline, next_step = _texts(report, expected)
    if report.depth is not None and chain[report.depth].startswith(b"-----BEGIN "):
        next_step = "give the chain as DER: ssl.PEM_cert_to_DER_cert(text)"
    if report.reason is Reason.NOT_PINNED and report.pattern is not None:
        next_step = "its rule says unpinned: give it pins, or unpinned = 'allow' to all"
    rows.append(("next", [next_step]))
    return "\n".join([headline, *_table(rows)])


# What happened, and what a person does next.
_TEXTS = {
    Reason.MISMATCH: (
        "no pin of {who} is in the chain",
        (
            "if its key was changed on purpose, add the new pin to the rule; if not, "
            "treat the connection as intercepted"
        ),
    ),
    Reason.NOT_PINNED: (
        "no pin holds for {who}, and the policy rejects such hosts",
        "add a rule for the host, or make the policy with unpinned = 'allow'",
    ),
    Reason.EXPIRED: (
        "the pins of {who} expired{when}",
        "deploy a policy with today's pins and a later expiry",
    ),
    Reason.NO_CERTIFICATE: (
        "{who} showed no certificate",
        "have the peer send its certificate (a server must request one)",
    ),
    Reason.MALFORMED: (
        "certificate {depth} of {who} is {detail}",
        "have the certificate issued again as strict DER (RFC 5280, 4.1)",
    ),
    Reason.BLOCKED: (
        "{who} shows a blocked key or certificate: {matched}",
        "do not use this peer until its key is replaced",
    ),
    Reason.BAD_HOST: (
        "the name of the peer is unusable: {detail}",
        "connect by a host name or an IP address that has one meaning",
    ),
}


def _texts(report: Report, expected: core.PinSetFields | None) -> list[str]:
    """Return the first line and the next step."""
    values = {
        "who": "this peer" if report.host is None else repr(report.host),
        "when": _when(expected) if report.reason is Reason.EXPIRED else "",
        "depth": report.depth,
        "detail": report.detail,
        "matched": report.matched,
    }
    return [text.format_map(values) for text in _TEXTS[report.reason]]


def _when(expected: core.PinSetFields | None) -> str:
    if expected is None or expected.expires is None:
        return ""
    try:
        moment = dt.datetime.fromtimestamp(expected.expires, dt.UTC)
    except (ValueError, OverflowError):  # a year that no calendar has
        return f" {expected.expires} seconds after 1970"
    return f" at {moment:%Y-%m-%dT%H:%M:%SZ}"


def _chain_lines(report: Report, chain: Sequence[bytes], *, whole: bool) -> list[str]:
    lines = []
    for depth, cert in enumerate(chain):
        mark = "  <- this one" if depth == report.depth else ""
        lines.append(f"{_spki_pin(cert):<51}  {_subject(cert)}{mark}".rstrip())
        if whole:
            lines.append(f"  {Pin(PinKind.CERTIFICATE, core.sha256(cert))}")
    return lines


def _spki_pin(cert: bytes) -> str:
    try:
        return str(Pin(PinKind.SPKI, core.spki_sha256(cert)))
    except DERError:
        return "(not strict DER)"


def _pin_lines(runs: Sequence[Iterable[bytes]]) -> list[str]:
    return [
        str(Pin(kind, digest))
        for kind, run in zip(PinKind, runs, strict=True)
        for digest in run
    ]


def _table(rows: list[tuple[str, list[str]]]) -> list[str]:
    return [
        f"  {name + ':' if i == 0 else '':<8} {line}".rstrip()
        for name, lines in rows
        for i, line in enumerate(lines)
    ]


_SUBJECT_MAX = 64


def _subject(cert: bytes) -> str:
    """Return a certificate's subject for display, if `cryptography` is there.

    It is only looked at by people; the decision is made already. Anything may
    stand in it, so what is not printable is escaped and what is long is cut.
    """
    try:
        from cryptography import x509  # noqa: PLC0415 - optional

        text = x509.load_der_x509_certificate(cert).subject.rfc4514_string()
    except Exception:  # noqa: BLE001 - a subject is never worth a second error
        return ""
    safe = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)
    return safe if len(safe) <= _SUBJECT_MAX else safe[: _SUBJECT_MAX - 1] + "…"
