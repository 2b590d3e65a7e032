"""Rejections: `PinningError`, its text, and the search for a wrapped one.

The text has the pins seen, the pins expected, and the next step. It is built when
somebody asks for it, never during a handshake. It stays short, whatever the peer shows
and however many pins there are. The reasons are in `_report`.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import ssl
from collections import deque
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from pinverify import core
from pinverify.core._hosts import covering
from pinverify.core._policies import CLIENTS, NO_RULE
from pinverify.errors import PinverifyError, PolicyError, shortened
from pinverify.policy._certs_and_pins import (
    Pin,
    PinKind,
    element,
    inside,
    key_pin,
    pem,
    pins_of,
    subject_of,
)
from pinverify.policy._report import Reason, Report, raw_of, seen_of
from pinverify.policy._rules import moment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pinverify.core._policies import OpenPolicy, RawPinSet

__all__ = [
    "Mistaken",
    "PinningError",
    "find_pinning_error",
    "mistaken_pins",
    "pinset_behind",
    "subject_line",
    "text_behind",
]

# X509_V_ERR_APPLICATION_VERIFICATION: a check beyond OpenSSL's own said no.
_VERIFY_CODE = 50

_WHY_MAX = 1000
_NO_POLICY = bytes(32)  # in place of the digest of a policy


class PinningError(PinverifyError, ssl.SSLCertVerificationError):
    """Raised when a peer is rejected: do not use the connection.

    It is an `ssl.SSLCertVerificationError`, so code that handles a failed certificate
    check handles it too. It has the attributes of OpenSSL's errors: ``errno`` 1,
    ``library``, ``reason``, ``verify_code`` and ``verify_message``.

    Its text has at most 40 lines, and is built when somebody asks for it; so are
    ``args``, ``strerror`` and ``verify_message``.

    Some libraries, such as ldap3, make an error anew, from its text or its arguments:
    ``type(error)(str(error))``. Such a copy is a rejection, too; its report only says
    `Reason.NOT_CHECKED`. `find_pinning_error` finds the original if that is attached.

    Attributes:
        report: the decision.
    """

    __module__ = "pinverify"

    # To refuse a stranger costs little: __init__ stores two values in slots, and does
    # not call OSError.__init__.
    __slots__ = ("_text", "report")

    report: Report
    errno = ssl.SSLErrorNumber.SSL_ERROR_SSL
    library = "PINVERIFY"
    reason = "PINNING_FAILED"
    verify_code = _VERIFY_CODE

    def __init__(
        self,
        report: Report | str | int,
        text: Judged | Callable[[], str] | str | None = None,
    ) -> None:
        """Keep the report, and what the text is made of.

        Args:
            report: a rejection; or the text or the number of an error that a library
                makes anew.
            text: the text for people; or a function that returns it; or what was
                judged, to make the text when it is needed. Only the first line is in
                ``args``: libraries search these for words of OpenSSL, and the peer has
                chosen the subjects in the other lines.
        """
        if isinstance(report, Report):
            self.report = report
            self._text = "" if text is None else text
        else:
            self._text = str(report if text is None else text)
            why = shortened(self._text.partition("\n")[0], _WHY_MAX)
            self.report = Report.not_checked(None, _NO_POLICY, why)

    @cached_property
    def strerror(self) -> str:  # type: ignore[override]  # can be set, too
        """The first line."""
        text = self._text
        if isinstance(text, str):
            return text.partition("\n")[0]
        return _headline(self.report, text[1] if isinstance(text, tuple) else None)

    @cached_property
    def verify_message(self) -> str:  # type: ignore[override]
        """The first line."""
        return self.strerror

    @cached_property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """The ``errno`` of OpenSSL's errors, and the first line."""
        return (self.errno, self.strerror)

    def __repr__(self) -> str:
        return f"{type(self).__name__}{self.args!r}"

    def __str__(self) -> str:
        text = self._text
        if isinstance(text, tuple):
            text = rejection_text(self.report, *text)
        elif not isinstance(text, str):
            text = text()
        lines = text.splitlines()
        if len(lines) > LINES_MAX:
            text = "\n".join([*lines[: LINES_MAX - 1], "  …"])
        self._text = text
        return text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the report and the text, without the chain."""
        return (type(self), (self.report, str(self)), self.__dict__)


def text_behind(error: PinningError) -> Judged | Callable[[], str] | str:
    """Return the text of an error, or what it will be made of."""
    return error._text  # noqa: SLF001 - of the same file


def find_pinning_error(error: BaseException | None) -> PinningError | None:
    """Find the `PinningError` that a client library has wrapped, or return None.

    The search covers ``__cause__``, ``__context__``, ``reason`` (urllib, urllib3),
    ``os_error`` (aiohttp), ``inner_exception`` (azure-core), ``args``, ``exceptions``
    (groups), ``errors`` (a list or a dict) and the values of ``reasons`` (Twisted), to
    any depth. A library may make a new `PinningError` with only the text (ldap3), so an
    error with the report of a policy is preferred.

    Args:
        error: the exception of a client library.
    """
    seen: set[int] = set()
    waiting: deque[object] = deque([error])
    made_anew = None
    while waiting:
        candidate = waiting.popleft()
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        if isinstance(candidate, PinningError):
            if candidate.report.digest != _NO_POLICY:
                return candidate
            made_anew = made_anew or candidate
        seen.add(id(candidate))
        waiting.extend(_wrapped(candidate))
    return made_anew


def _wrapped(error: BaseException) -> Iterator[object]:
    """Yield every object that may be the error inside *error*, nearest first."""
    for name in ("reason", "os_error", "inner_exception", "__cause__", "__context__"):
        yield getattr(error, name, None)
    for name in ("args", "exceptions", "errors", "reasons"):
        several = getattr(error, name, ())
        if isinstance(several, dict):
            several = [*several.values()]
        if isinstance(several, list | tuple):
            for one in several:
                yield getattr(one, "value", one)


# ---- pins of the wrong bytes -------------------------------------------------------

# People hash what a command printed: the PEM text, the hex of a digest, the key without
# its algorithm. Such a pin matches nothing, but it looks right. All these pins can be
# computed from the certificate, and so recognized.


class Mistaken(NamedTuple):
    """A description of the bytes that were hashed, and the pin that was meant."""

    hashed: str
    right: Pin


def mistaken_pins(cert: bytes) -> dict[Pin, Mistaken]:
    """Return every pin that a wrong recipe makes of a certificate in strict DER."""
    right = pins_of(cert)
    if not right:
        return {}
    key, whole = right
    found = {
        Pin(PinKind.SPKI, core.sha256(data)): Mistaken(hashed, key)
        for hashed, data in _hashed_instead(cert, core.spki(cert), key.digest)
    }
    found[Pin(PinKind.SPKI, whole.digest)] = Mistaken("the whole certificate", whole)
    found[Pin(PinKind.CERTIFICATE, key.digest)] = Mistaken("the public key", key)
    return found


def _hashed_instead(
    cert: bytes, spki: bytes, digest: bytes
) -> Iterator[tuple[str, bytes]]:
    """Yield what people hash in place of a SubjectPublicKeyInfo, in words and bytes."""
    _, bits = inside(spki, element(spki, 0))
    yield "the key without its algorithm", spki[bits.start + 1 : bits.end]
    for what, der, label in (
        ("the key", spki, "PUBLIC KEY"),
        ("the certificate", cert, "CERTIFICATE"),
    ):
        text = pem(label, der).encode()
        yield f"the PEM text of {what}", text
        yield f"the PEM text of {what}", text.rstrip(b"\n")
        yield f"the base64 text of {what}", base64.b64encode(der)
        yield f"the hex text of {what}", der.hex().encode()
    yield "the hex text of its hash", digest.hex().encode()
    yield "the base64 text of its hash", base64.b64encode(digest)


# ---- the rule that would have matched, had a narrower one not decided alone --------

# Other systems unite rules, and people expect the same here. A compiled policy can find
# the rule for a host, but not a rule by its pattern. So it is asked about made-up hosts
# near the real one: about some of these, a wider rule decides.

_LEVELS = 8  # names above the host that are tried
_LABEL = "pinverify-asks"


def _hidden_rule(
    report: Report, chain: Sequence[bytes], handle: OpenPolicy, now: int
) -> str:
    """Return the next step if the pins of a wider rule match; else nothing."""
    if report.host is None or report.rule is None:
        return ""
    wider = set(covering(report.host)) - {report.rule}
    for host in _hosts_beside(report.host):
        raw, spkis = handle.evaluate(host.encode("ascii"), chain, now)
        other = Report(raw, spkis, host, handle.digest)
        if other.reason is Reason.MATCH and other.rule in wider:
            return (
                f"the pins of {other.rule} match, but {report.rule} decides alone; if "
                "you mean those, add them to it"
            )
    return ""


def _hosts_beside(host: str) -> Iterator[str]:
    """Yield made-up hosts one label and two labels below a host and each name above it.

    A rule for ``*.name`` decides about the host one label below that name, and a rule
    for ``**.name`` about the host two labels below. A made-up host that is too long is
    rejected, and matches nothing.
    """
    labels = host.split(".")
    for above in range(min(len(labels), _LEVELS)):
        name = ".".join(labels[above:])
        yield f"{_LABEL}.{name}"
        yield f"{_LABEL}.{_LABEL}.{name}"


# ---- the text ----------------------------------------------------------------

LINES_MAX = 40
Judged: TypeAlias = "tuple[Sequence[bytes], OpenPolicy, int]"
"""Arguments of `rejection_text`: the chain, the policy, and the time in seconds since
1970. A plain tuple, since one is made for each peer that is rejected."""

_SHOWN_MAX = 8  # pins of a list, certificates of a chain
_SUBJECT_MAX = 64
# The lists that must match, by their numbers.
_PINS, _LEAF, _CA = 0, 1, 2
_LIST_NAMES = ("pinned", "leaf", "ca")

# For each reason, the first line and the next step.
_TEXTS = {
    Reason.MISMATCH: (
        "no pin of {who} is in the chain",
        (
            "if its key was changed on purpose, add the new pin to the rule; if not, "
            "treat the connection as intercepted"
        ),
    ),
    Reason.NOT_PINNED: (
        "the policy has no pins for {who}, and rejects hosts without pins",
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
        "certificate {report.depth} of {who} is {report.detail}",
        "have the certificate issued again as strict DER (RFC 5280, 4.1)",
    ),
    Reason.BLOCKED: (
        "{who} shows a blocked key or certificate: {report.matched}",
        "do not use this peer until its key is replaced",
    ),
    Reason.BAD_HOST: (
        "the name of the peer is unusable: {report.detail}",
        "connect with a valid host name or IP address",
    ),
    Reason.NOT_CHECKED: (
        "{who} was not checked: {report.detail}",
        "connect again; never use a peer that was not checked",
    ),
}

_WITHOUT_A_NAME = (
    "the client gives no name, so no rule can be looked up: pin its context with a "
    "PinSet, which needs none, or make it send one (SNI: server_hostname); install() "
    "lets all such connections pass with nameless='allow'"
)


def _headline(report: Report, handle: OpenPolicy | None) -> str:
    """Return the first line; the peer cannot choose any word of it."""
    host = report.host
    who = "this peer" if host is None else repr(host)
    when = _when_expired(report, handle) if report.reason is Reason.EXPIRED else ""
    return _TEXTS[report.reason][0].format(who=who, when=when, report=report)


def _when_expired(report: Report, handle: OpenPolicy | None) -> str:
    pinset = None if handle is None else pinset_behind(report, handle)
    if pinset is None or pinset.raw.expires is None:
        return ""
    seconds = pinset.raw.expires
    with contextlib.suppress(PolicyError):  # outside the calendar
        date = moment(seconds)
        if date.tzinfo is dt.UTC:
            return f" at {date.replace(tzinfo=None).isoformat()}Z"
    return f" {seconds} seconds after 1970"


class _PinSetBehind(NamedTuple):
    """The PinSet of the rule that decided: its number and its fields."""

    number: int
    raw: RawPinSet


def rejection_text(
    report: Report, chain: Sequence[bytes], handle: OpenPolicy, now: int
) -> str:
    """Return the whole text of a rejection; the other arguments led to it.

    The first line says what happened. A certificate's subject cannot break out of its
    line, whatever an attacker put there.
    """
    reason = report.reason
    pinset = pinset_behind(report, handle)
    above: list[tuple[str, list[str]]] = []
    if report.rule not in (None, report.host):
        above.append(("rule", [repr(report.rule)]))
    below: list[tuple[str, list[str]]] = []
    mistake = ""
    if reason is Reason.MISMATCH and pinset is not None:
        if len(chain) > 1 and pinset.raw.looks_above_leaf:
            # The TLS library ends a chain at a certificate that it trusts. So the chain
            # has no root above a trusted intermediate, and no root that was replaced.
            end = subject_line(chain[-1]) or key_pin(chain[-1])
            text = f"at {end}, which the trust store holds; no pin above it can match"
            below.append(("ends", [text]))
        for number, name in enumerate(_LIST_NAMES):
            below.append((name, _pin_lines(handle, pinset, number)))
        mistake = _mistake_in_pins(handle, pinset, chain) or _hidden_rule(
            report, chain, handle, now
        )
        if doubt := seen_of(report).doubt:
            below.append(("note", [doubt]))
    below.append(("next", [_next_step(report, chain, pinset, mistake)]))
    if chain and reason is not Reason.BAD_HOST:
        used = 1 + sum(len(lines) for _, lines in above + below)
        lengths = (0,) * 8 if pinset is None else pinset.raw.num_pins
        whole = any(lengths[PinKind.CERTIFICATE :: 2])
        lines = _chain_lines(report, chain, LINES_MAX - used, whole=whole)
        above.append(("chain", lines))
    return "\n".join([_headline(report, handle), *_table(above + below)])


def _mistake_in_pins(
    handle: OpenPolicy, pinset: _PinSetBehind, chain: Sequence[bytes]
) -> str:
    """Return the next step if a pin was meant for a certificate of the chain.

    Such a pin is in the wrong list for its certificate, or is the hash of the wrong
    bytes. The core looks for such pins among all pins, however many there are.
    """
    texts: dict[tuple[int, Pin], str] = {}
    for depth, cert in enumerate(chain[:_SHOWN_MAX]):
        for guess, text in _guesses(depth, cert):
            texts.setdefault(guess, text)
    listed: set[tuple[int, Pin]] = set()
    for number, kind in product(range(len(_LIST_NAMES)), PinKind):
        digests = [pin.digest for at, pin in texts if (at, pin.kind) == (number, kind)]
        found = handle.pinned_among(pinset.number, number, kind, digests)
        listed.update((number, Pin(kind, digest)) for digest in found)
    return next((f"{one[1]} is {texts[one]}" for one in texts if one in listed), "")


def _guesses(depth: int, cert: bytes) -> Iterator[tuple[tuple[int, Pin], str]]:
    """Yield possible mistakes about a certificate: list and pin, and the next step."""
    wrong, right = (_LEAF, _CA) if depth else (_CA, _LEAF)
    for own in pins_of(cert):
        text = (
            f"the pin of certificate {depth}, where {_LIST_NAMES[wrong]} does not "
            f"look; if you mean that one, move it to {_LIST_NAMES[right]}"
        )
        yield (wrong, own), text
    for pin, mistaken in mistaken_pins(cert).items():
        text = (
            f"the hash of {mistaken.hashed} of certificate {depth}; if you mean that "
            f"one, write {mistaken.right}"
        )
        for number in (_PINS, _LEAF, _CA):
            yield (number, pin), text


def _next_step(
    report: Report, chain: Sequence[bytes], pinset: _PinSetBehind | None, mistake: str
) -> str:
    depth = report.depth
    alone = report.reason is Reason.MISMATCH and len(chain) == 1
    if seen_of(report).hidden and report.reason is Reason.NOT_CHECKED:
        return "the key need not have changed; a full handshake shows the chain"
    looks_above = pinset is not None and pinset.raw.looks_above_leaf
    if alone and seen_of(report).doubt and looks_above:
        return (
            "only the leaf counts then: keep verification on (CERT_REQUIRED) as long "
            "as the context is in use, or pin the leaf"
        )
    if alone and pinset is not None and pinset.raw.has_ca:
        return (
            "only the leaf counts here, so no pin of `ca` can match: turn validation "
            "on, connect without a resumed session, or pin the leaf"
        )
    if depth is not None and chain[depth].startswith(b"-----BEGIN "):
        return "give the chain as DER: ssl.PEM_cert_to_DER_cert(text)"
    if report.reason is Reason.NOT_PINNED and report.rule is not None:
        return (
            "the rule leaves this host unpinned: add pins, or make the policy with "
            "unpinned = 'allow'"
        )
    nameless = report.reason is Reason.BAD_HOST and not report.host
    return mistake or (_WITHOUT_A_NAME if nameless else _TEXTS[report.reason][1])


def pinset_behind(report: Report, handle: OpenPolicy) -> _PinSetBehind | None:
    """Return the PinSet of the rule that decided, or None if there is no rule."""
    raw = raw_of(report)
    index: int | None = None
    if raw.shape == CLIENTS:
        index = 0
    elif raw.rule != NO_RULE:
        _, index = handle.rule(raw.rule)
    return None if index is None else _PinSetBehind(index, handle.pinset(index))


def _pin_lines(handle: OpenPolicy, pinset: _PinSetBehind, number: int) -> list[str]:
    """Return the first pins of a list, and the number of the others."""
    lines: list[str] = []
    lengths = pinset.raw.lengths(number)
    for kind, length in zip(PinKind, lengths, strict=True):
        shown = min(length, _SHOWN_MAX - len(lines))
        digests = handle.pins(pinset.number, number, kind, shown)
        lines += [str(Pin(kind, digest)) for digest in digests]
    return lines + _more(sum(lengths) - len(lines))


def _chain_lines(
    report: Report, chain: Sequence[bytes], room: int, *, whole: bool
) -> list[str]:
    """Return the first certificates, and the one that decided, in *room* lines.

    If *whole* certificates are pinned, each takes two lines.
    """
    num = len(chain)
    shown_max = min(_SHOWN_MAX, (room - 1) // (2 if whole else 1))
    depths = list(range(min(num, shown_max)))
    if report.depth is not None and report.depth not in depths:
        depths[-1] = report.depth
    lines = []
    for depth in depths:
        cert = chain[depth]
        mark = "  <- this one" if depth == report.depth else ""
        lines.append(f"{key_pin(cert):<51}  {subject_line(cert)}{mark}".rstrip())
        if whole:
            lines.append(f"  {Pin(PinKind.CERTIFICATE, core.sha256(cert))}")
    return lines + _more(num - len(depths))


def _more(num: int) -> list[str]:
    return [f"… and {num:,} more"] if num else []


def _table(rows: list[tuple[str, list[str]]]) -> list[str]:
    return [
        f"  {name + ':' if i == 0 else '':<8} {line}".rstrip()
        for name, lines in rows
        for i, line in enumerate(lines)
    ]


def subject_line(cert: bytes) -> str:
    """Return a certificate's subject, which may contain anything, for display."""
    return shortened(subject_of(cert), _SUBJECT_MAX)
