"""`pinverify pin`: the fingerprints of servers, certificates and public keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pinverify.cli.answers import answer_of, is_server, tell_warnings
from pinverify.cli.options import WAY, refuse_ignored
from pinverify.cli.plain import Cell
from pinverify.cli.spellings import SPELLINGS
from pinverify.errors import printable, shortened
from pinverify.policy._der_and_pem import pem

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from pinverify.cli.answers import Answer, Entry
    from pinverify.cli.options import Way
    from pinverify.cli.output import Output
    from pinverify.cli.stanza import Stanza

__all__ = ["Wanted", "print_pins"]


class Wanted(NamedTuple):
    """Output in place of a description for people.

    Attributes:
        spelling: the fingerprints in one spelling.
        pem: the certificates and keys themselves.
        stanza: a policy.
    """

    spelling: str | None = None
    pem: bool = False
    stanza: Stanza | None = None


def print_pins(out: Output, sources: Sequence[str], wanted: Wanted, way: Way) -> None:
    """Print the fingerprints of *sources*, each a server, a file or ``-``."""
    servers = [is_server(source) for source in sources]
    if not any(servers):
        refuse_ignored("on files", *WAY)
    context: ssl.SSLContext | None = None
    if any(servers):
        from pinverify.cli.servers import context_for  # TLS, which files do not need

        context = context_for(way)
    answers = []
    doing = f"reading {sources[0]}" if len(sources) == 1 else "reading"
    with out.progress(doing, len(sources)) as done:
        for source, server in zip(sources, servers, strict=True):
            answers.append(answer_of(source, context if server else None, way))
            done()
    for answer in answers:
        for problem in answer.errors:
            out.fail(problem)
    _print(out, answers, wanted)


def _print(out: Output, answers: Sequence[Answer], wanted: Wanted) -> None:
    """Print what is wanted of the answers."""
    if out.as_json:
        out.json([_as_json(answer) for answer in answers])
    elif wanted.stanza is not None:
        from pinverify.cli.stanza import print_stanza  # formats, which others do not

        print_stanza(out, answers, wanted.stanza)
    elif wanted.pem:
        for answer in answers:
            _print_pem(out, answer)
    elif wanted.spelling is not None:
        for answer in answers:
            _print_one_spelling(out, answer, wanted.spelling)
    else:
        _print_all(out, [answer for answer in answers if answer.entries])


def _print_pem(out: Output, answer: Answer) -> None:
    """Print the verified chain of a server, or what it sent, or what a file has."""
    entries = [entry for entry in answer.entries if entry.proven]
    if answer.warnings:
        entries = answer.entries
    tell_warnings(out, answer, entries)
    for entry in entries:
        for line in pem(entry.kind.upper(), entry.der).splitlines():
            out.line(line)


def _print_one_spelling(out: Output, answer: Answer, spelling: str) -> None:
    """Print lines for a script; for a server only the leaf, whose key is proven."""
    entries = answer.pinnable
    tell_warnings(out, answer, entries)
    for entry in entries:
        fingerprint = entry.fingerprints().get(spelling)
        if fingerprint is None:
            out.fail(
                f"{answer.source}: {spelling} is the fingerprint of a certificate, and "
                "this is a public key; use --format sha256"
            )
        else:
            out.line(fingerprint)


_SUBJECT_MAX = 95  # the length of a fingerprint in hex


def _print_all(out: Output, answers: Sequence[Answer]) -> None:
    """Print descriptions for people."""
    for number, answer in enumerate(answers):
        if number:
            out.line()
        _print_heading(out, answer)
        for entry in answer.entries:
            out.line()
            _print_entry(out, entry)
    if out.is_terminal and answers:
        out.line()
        others = ", ".join(name for name in SPELLINGS if name not in _TO_SHOW)
        text = f"other spellings: --format {others}; a policy: --stanza FORMAT"
        out.hanging(text, "dim", indent=2)


def _print_heading(out: Output, answer: Answer) -> None:
    state, style = "", ""
    if answer.shown is not None and answer.shown.problem:
        state, style = f"not verified: {printable(answer.shown.problem)}", "bold red"
    elif answer.shown is not None:
        state, style = "verified: a trusted authority vouches for it", "green"
    name = Cell(printable(answer.source) + ("  " if state else ""), "bold")
    out.hanging(state, style, indent=2, beginning=name)
    for warning in answer.warnings:
        out.hanging(f"  warning: {warning}", "yellow", indent=11)


_TO_SHOW = ("sha256", "cert")  # the others say the same


def _print_entry(out: Output, entry: Entry) -> None:
    role = Cell(
        f"  {entry.role}  " if entry.subject else f"  {entry.role}", "bold cyan"
    )
    out.hanging(shortened(entry.subject, _SUBJECT_MAX), indent=4, beginning=role)
    fingerprints = entry.fingerprints()
    # What is not proven is shown for comparison only, and not to paste.
    shown = _TO_SHOW if entry.proven else _TO_SHOW[:1]
    for name in shown:
        if name in fingerprints:
            out.hanging(f"    {fingerprints[name]}")
    if rows := entry.details.rows():
        out.fields(rows, indent="    ")
    for warning in entry.warnings:
        out.hanging(f"    warning: {warning}", "yellow", indent=13)


def _as_json(answer: Answer) -> dict[str, object]:
    shown = answer.shown
    return {
        "source": answer.source,
        "verified": None if shown is None else not shown.problem,
        "problem": None if shown is None else shown.problem or None,
        "warnings": answer.warnings,
        "errors": answer.errors,
        "entries": [
            {
                "kind": entry.kind,
                "role": entry.role,
                "subject": entry.subject or None,
                "proven": entry.proven,
                **entry.details.to_dict(),
                "fingerprints": entry.fingerprints(),
                "warnings": entry.warnings,
            }
            for entry in answer.entries
        ],
    }
