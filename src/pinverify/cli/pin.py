"""`pinverify pin`: the fingerprints of servers, certificates and public keys."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, NamedTuple

from pinverify import core
from pinverify.cli.key_files import Item, Kind, read_items
from pinverify.cli.plain import Cell
from pinverify.cli.spellings import SPELLINGS
from pinverify.cli.x509 import Facts, facts, reencoded
from pinverify.errors import DERError, PinverifyError
from pinverify.policy._printable import printable, shortened

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pinverify.cli.output import Output
    from pinverify.cli.servers import Shown

__all__ = ["print_pins"]


class Entry(NamedTuple):
    """One certificate or public key, with its digests and warnings.

    Attributes:
        role: its place in the chain; without a chain, what it claims to be.
        proven: False if a server merely sent it.
        digests: that of its key; for a certificate, also that of the whole.
    """

    kind: Kind
    role: str
    subject: str
    proven: bool
    digests: dict[Kind, bytes]
    warnings: tuple[str, ...]

    def fingerprints(self) -> dict[str, str]:
        """Return the fingerprint in every spelling that applies."""
        return {
            name: spelling.write(self.digests[spelling.kind])
            for name, spelling in SPELLINGS.items()
            if spelling.kind in self.digests
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
    cafile: str | None,
    timeout: float,
) -> None:
    """Print the fingerprints of *sources*, each a server, a file or ``-``."""
    servers = [is_server(source) for source in sources]
    context: ssl.SSLContext | None = None
    if cafile is not None or any(servers):
        from pinverify.cli.servers import trusting  # TLS, which files do not need

        context = trusting(cafile)
    answers = []
    with out.progress("reading", len(sources)) as done:
        for source, server in zip(sources, servers, strict=True):
            answers.append(_answer(source, context if server else None, timeout))
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


def _answer(source: str, context: ssl.SSLContext | None, timeout: float) -> Answer:
    """Return the answer of a server, or without a context that of a file."""
    try:
        return _read(source) if context is None else _ask(source, context, timeout)
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
    return not (_FILE_NAMES.fullmatch(source) or os.path.exists(source))  # noqa: PTH110 - see _contents


def _read(source: str) -> Answer:
    answer = Answer(source, [], [])
    try:
        data = _contents(source)
    except OSError as error:
        answer.errors.append(f"{error.strerror}; give a file or a server")
        return answer
    for number, item in enumerate(read_items(data), 1):
        if isinstance(item, DERError):
            answer.errors.append(f"number {number}: {item}")
        else:
            answer.entries.append(_entry(item))
    return answer


def _contents(source: str) -> bytes:
    """Read a file or stdin, without pathlib, which nothing else here imports."""
    if source == "-":
        return sys.stdin.buffer.read()
    with open(source, "rb") as file:  # noqa: PTH123
        return file.read()


def _ask(source: str, context: ssl.SSLContext, timeout: float) -> Answer:
    from pinverify.cli.addresses import Server
    from pinverify.cli.problems import connection_problem
    from pinverify.cli.servers import look_at

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
    if item.kind == "public key":
        spki, said = item.der, Facts("", None)
    else:
        spki, said = core.spki(item.der), facts(item.der)
    digests: dict[Kind, bytes] = {"public key": core.sha256(spki)}
    if item.kind == "certificate":
        digests["certificate"] = core.sha256(item.der)
    role = role or said.role or item.kind
    warnings = () if proven else (_UNPROVEN,)
    return Entry(
        item.kind, role, said.subject, proven, digests, warnings + _other_recipe(spki)
    )


def _other_recipe(spki: bytes) -> tuple[str, ...]:
    other = reencoded(spki)
    if other is None or other == spki:
        return ()
    other_pin = SPELLINGS["sha256"].write(core.sha256(other))
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
    "pinning it now is trust on first use, so compare the pin with one that you got "
    "another way"
)


def _answer_warnings(answer: Answer) -> list[str]:
    if answer.shown is None or not answer.shown.problem:
        return []
    return [f"{answer.shown.unverified}; {_FIRST_USE}"]


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
