"""`pinverify pin`: the fingerprints of servers, certificates and public keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.cli.key_sources import answers_of, tell_warnings
from pinverify.cli.output import Cell
from pinverify.cli.spellings import SPELLINGS
from pinverify.errors import printable, shortened
from pinverify.policy._certs_and_pins import pem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.cli.key_sources import Answer, Entry
    from pinverify.cli.output import Output
    from pinverify.cli.shared_options import Way

__all__ = ["print_pins"]


def print_pins(
    out: Output, sources: Sequence[str], way: Way, *, spelling: str | None, pem: bool
) -> None:
    """Print the fingerprints of *sources*, each a server, a file or ``-``.

    Args:
        out: gets the fingerprints.
        sources: the sources, as the user wrote them.
        way: how servers are reached.
        spelling: if given, print only the fingerprints in this spelling.
        pem: True to print the certificates and keys themselves.
    """
    answers = answers_of(out, sources, way)
    if out.as_json:
        out.json([_as_json(answer) for answer in answers])
    elif pem:
        for answer in answers:
            _print_pem(out, answer)
    elif spelling is not None:
        for answer in answers:
            _print_one_spelling(out, answer, spelling)
    else:
        _print_all(out, [answer for answer in answers if answer.entries])


def _print_pem(out: Output, answer: Answer) -> None:
    """Print the verified chain of a server, else the one it sent; or a file's items."""
    entries = [entry for entry in answer.entries if entry.proven]
    if answer.warnings:
        entries = answer.entries
    tell_warnings(out, answer, entries)
    for entry in entries:
        for line in pem(entry.kind.upper(), entry.der).splitlines():
            out.line(line)


def _print_one_spelling(out: Output, answer: Answer, spelling: str) -> None:
    """Print lines for a script; for a server, only the leaf, whose key is proven."""
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
    # The pin of an unproven key is shown to be compared, not to be pasted.
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
