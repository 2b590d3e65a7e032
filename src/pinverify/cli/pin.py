"""`pinverify pin`: the fingerprints of servers, certificates and public keys."""

from __future__ import annotations

import base64
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pinverify import core
from pinverify.cli.key_files import Item, Kind, read_items
from pinverify.cli.output import Cell, Output
from pinverify.cli.servers import (
    Server,
    Shown,
    connection_problem,
    look_at,
    trusting,
)
from pinverify.cli.x509 import Facts, facts, reencoded
from pinverify.errors import DERError, PinverifyError
from pinverify.policy import Pin, PinKind
from pinverify.policy._message import printable, shortened

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

__all__ = ["SPELLINGS", "print_pins"]


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


def _colons(digest: bytes) -> str:
    return digest.hex(":").upper()


class Spelling(NamedTuple):
    """One way to write a fingerprint."""

    kind: PinKind
    write: Callable[[bytes], str]


SPELLINGS = {
    # of the public key
    "sha256": Spelling(PinKind.SPKI, lambda d: f"sha256/{_base64(d)}"),
    "curl": Spelling(PinKind.SPKI, lambda d: f"sha256//{_base64(d)}"),
    "hpkp": Spelling(PinKind.SPKI, lambda d: f'pin-sha256="{_base64(d)}"'),
    "hex": Spelling(PinKind.SPKI, _colons),
    # of the whole certificate
    "cert": Spelling(PinKind.CERTIFICATE, lambda d: f"cert-sha256:{d.hex()}"),
    "cert-hex": Spelling(PinKind.CERTIFICATE, _colons),
}
"""The values of ``--format``."""


class Entry(NamedTuple):
    """One certificate or public key, with its pins and warnings.

    Attributes:
        role: its place in the chain; without a chain, what it claims to be.
        proven: False if a server merely sent it.
        pins: the pin of its key; for a certificate, also the pin of the whole.
    """

    kind: Kind
    role: str
    subject: str
    proven: bool
    pins: tuple[Pin, ...]
    warnings: tuple[str, ...]

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint in every spelling that applies."""
        digests = {pin.kind: pin.digest for pin in self.pins}
        return {
            name: spelling.write(digests[spelling.kind])
            for name, spelling in SPELLINGS.items()
            if spelling.kind in digests
        }


class Answer(NamedTuple):
    """The entries and errors of one source.

    Attributes:
        source: as the user wrote it.
        entries: for a server the verified chain, leaf first, then the rest.
        errors: one line for each part that could not be read.
        shown: the chains of a server; None for files.
    """

    source: str
    entries: list[Entry]
    errors: list[str]
    shown: Shown | None = None


def print_pins(
    out: Output,
    sources: Sequence[str],
    *,
    spelling: str | None,
    cafile: Path | None,
    timeout: float,
) -> None:
    """Print the fingerprints of *sources*, each a server, a file or ``-``."""
    context = trusting(cafile)
    answers = []
    with out.progress("reading", len(sources)) as done:
        for source in sources:
            answers.append(_answer(source, context, timeout))
            done()
    for answer in answers:
        for problem in answer.errors:
            out.fail(f"{answer.source}: {problem}")
    if out.as_json:
        out.json([_as_json(answer) for answer in answers])
    elif spelling is not None:
        for answer in answers:
            _print_one_spelling(out, answer, spelling)
    else:
        readable = [answer for answer in answers if answer.entries]
        for number, answer in enumerate(readable):
            if number:
                out.line()
            _print_all(out, answer)


# ---- sources -----------------------------------------------------------------

_FILE_NAMES = re.compile(r".*[/\\].*|-|.*\.(pem|der|crt|cer|key)", re.IGNORECASE)
_SERVERS = re.compile(r"https://.*|.*:\d+")


def _answer(source: str, context: ssl.SSLContext, timeout: float) -> Answer:
    try:
        if is_server(source):
            return _ask(source, context, timeout)
        return _read(source)
    except PinverifyError as error:
        return Answer(source, [], [str(error)])


def is_server(source: str) -> bool:
    """Return True for a server, False for a file.

    ``https://…`` and ``…:port`` are servers; ``-``, a path with a slash, and a
    name with the suffix of a certificate are files. Any other name is a file if
    such a file exists.
    """
    if _SERVERS.fullmatch(source):
        return True
    return not (_FILE_NAMES.fullmatch(source) or Path(source).exists())


def _read(source: str) -> Answer:
    answer = Answer(source, [], [])
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        answer.errors.append(f"{error.strerror}; give a file or a server")
        return answer
    for number, item in enumerate(read_items(data), 1):
        if isinstance(item, DERError):
            answer.errors.append(f"number {number}: {item}")
        else:
            answer.entries.append(_entry(item))
    return answer


def _ask(source: str, context: ssl.SSLContext, timeout: float) -> Answer:
    server = Server.parse(source)
    try:
        shown = look_at(server, context, timeout)
    except OSError as error:
        return Answer(source, [], [connection_problem(server, error, timeout)])
    answer = Answer(str(server), [], [], shown)
    extras = [cert for cert in dict.fromkeys(shown.sent) if cert not in shown.verified]
    for depth, cert in enumerate(shown.verified):
        role = "leaf" if depth == 0 else facts(cert).role or ""
        _add(answer, cert, role, proven=True)
    for depth, cert in enumerate(extras):
        leaf = depth == 0 and not shown.verified  # the handshake proved its key
        _add(answer, cert, "leaf" if leaf else "only sent", proven=leaf)
    return answer


def _add(answer: Answer, cert: bytes, role: str, *, proven: bool) -> None:
    try:
        entry = _entry(Item("certificate", cert), role, proven=proven)
    except DERError as error:
        answer.errors.append(f"certificate {len(answer.entries)} of its chain: {error}")
    else:
        answer.entries.append(entry)


# ---- answers -----------------------------------------------------------------


def _entry(item: Item, role: str = "", *, proven: bool = True) -> Entry:
    pins: tuple[Pin, ...]
    if item.kind == "public key":
        spki, said = item.der, Facts("", None)
        pins = (Pin(PinKind.SPKI, core.sha256(spki)),)
    else:
        spki, said = core.spki(item.der), facts(item.der)
        pins = (
            Pin(PinKind.SPKI, core.sha256(spki)),
            Pin(PinKind.CERTIFICATE, core.sha256(item.der)),
        )
    role = role or said.role or item.kind
    warnings = () if proven else (_UNPROVEN,)
    return Entry(
        item.kind, role, said.subject, proven, pins, warnings + _other_recipe(spki)
    )


def _other_recipe(spki: bytes) -> tuple[str, ...]:
    other = reencoded(spki)
    if other is None or other == spki:
        return ()
    other_pin = Pin(PinKind.SPKI, core.sha256(other))
    warning = (
        "cryptography's public_key().public_bytes(…) encodes this key differently; the "
        f"pin by that recipe, {other_pin}, does not match"
    )
    return (warning,)


_UNPROVEN = (
    "any server can send this certificate, which proves nothing; do not pin it for "
    "that reason"
)

_FIRST_USE = (
    "no trusted authority vouches for this server; pinning it now is trust on first "
    "use, so compare the pin with one that you got another way"
)


def _answer_warnings(answer: Answer) -> list[str]:
    return [_FIRST_USE] if answer.shown and answer.shown.problem else []


def _print_one_spelling(out: Output, answer: Answer, spelling: str) -> None:
    """Print lines for a script; for a server only the leaf, whose key is proven."""
    entries = answer.entries[:1] if answer.shown else answer.entries
    for warning in _answer_warnings(answer):
        out.warn(f"{answer.source}: {warning}")
    for entry in entries:
        for warning in entry.warnings:
            out.warn(f"{answer.source}: {warning}")
        fingerprint = entry.fingerprints().get(spelling)
        if fingerprint is None:
            out.fail(
                f"{answer.source}: {spelling} is the fingerprint of a certificate, and "
                "this is a public key; use --format sha256"
            )
        else:
            out.line(fingerprint)


_SUBJECT_MAX = 95  # the length of a fingerprint in hex


def _print_all(out: Output, answer: Answer) -> None:
    heading: list[Cell | str] = [Cell(printable(answer.source), "bold")]
    if answer.shown is not None:
        if answer.shown.problem:
            state = Cell(f"not verified: {printable(answer.shown.problem)}", "bold red")
        else:
            state = Cell("verified: a trusted authority vouches for it", "green")
        heading += ["  ", state]
    out.line(*heading)
    for warning in _answer_warnings(answer):
        out.hanging(f"  warning: {warning}", "yellow", indent=11)
    for entry in answer.entries:
        out.line()
        name = f"  {shortened(entry.subject, _SUBJECT_MAX)}" if entry.subject else ""
        out.line("  ", Cell(entry.role, "bold cyan"), name)
        fingerprints = list(entry.fingerprints().items())
        if not entry.proven:  # for comparison only, not to paste
            del fingerprints[1:]
        out.fields(fingerprints, indent="    ")
        for warning in entry.warnings:
            out.hanging(f"    warning: {warning}", "yellow", indent=13)


def _as_json(answer: Answer) -> dict[str, object]:
    shown = answer.shown
    return {
        "source": answer.source,
        "verified": None if shown is None else not shown.problem,
        "problem": None if shown is None else shown.problem or None,
        "warnings": _answer_warnings(answer),
        "errors": answer.errors,
        "entries": [
            {
                "kind": entry.kind,
                "role": entry.role,
                "subject": entry.subject or None,
                "proven": entry.proven,
                "fingerprints": entry.fingerprints(),
                "warnings": entry.warnings,
            }
            for entry in answer.entries
        ],
    }
