"""`pinverify lint`: print the mistakes in a policy file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pinverify._version import __version__
from pinverify.cli.exit_codes import FOUND
from pinverify.cli.key_sources import is_server
from pinverify.cli.output import Cell
from pinverify.cli.policy_files import host_of_pins, loaded_from
from pinverify.errors import PolicyError, printable
from pinverify.review._lint import (
    CHECKS,
    LEVELS,
    OF_READERS,
    POLICY,
    Finding,
    lint,
    placed,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pinverify.cli.output import Output
    from pinverify.cli.shared_options import Way
    from pinverify.errors import Kind
    from pinverify.policy import Rules

__all__ = ["lint_file"]


def lint_file(  # noqa: PLR0913 - one per option
    out: Output,
    source: Path,
    policy_format: str,
    host: str | None,
    *,
    servers: Sequence[str],
    way: Way,
    strict: bool,
    as_sarif: bool,
) -> None:
    """Print the findings about a policy file.

    Args:
        out: gets the findings.
        source: the file.
        policy_format: its format.
        host: the host of the pins, for a format that does not name it.
        servers: servers, or files with chains, to compare the rules with.
        way: how servers are reached. With *servers*, or with a `cafile`, the rules are
            also compared with the trusted authorities.
        strict: True if warnings count as errors for the exit code.
        as_sarif: True to print SARIF.
    """
    found = _read_and_lint(out, source, policy_format, host, servers, way)
    counted = LEVELS[: 2 if strict else 1]
    if any(finding.level in counted for finding in found):
        out.exit_code = FOUND
    if as_sarif:
        out.json(_sarif(source, found))
    elif out.as_json:
        shown = [
            {**finding._asdict(), "line": _line(source, finding)} for finding in found
        ]
        out.json({"policy": str(source), "findings": shown, "counts": _counts(found)})
    else:
        _print(out, found)


def _read_and_lint(  # noqa: PLR0913, PLR0917 - as above
    out: Output,
    source: Path,
    policy_format: str,
    host: str | None,
    servers: Sequence[str],
    way: Way,
) -> list[Finding]:
    of_pins = host
    if not all(map(is_server, servers)):  # then --host may be for a file with a chain
        of_pins = host_of_pins(policy_format, host)
    try:
        loaded = loaded_from(out, source, policy_format, of_pins)
    except PolicyError as error:  # report the reader's mistakes in the same form
        lines: Sequence[str] = getattr(error, "lines", (str(error),))
        kinds: Sequence[Kind] = getattr(error, "kinds", (error.kind,))
        others: list[Kind] = [""] * len(lines)  # kinds for a last line "and N more"
        return [
            _told_by_reader(OF_READERS[kind].code, source, line)
            for line, kind in zip(lines, [*kinds, *others], strict=False)
        ]
    notices = [_told_by_reader("PV102", source, line) for line in loaded.notices]
    notices += [_told_by_reader("PV110", source, line) for line in loaded.remarks]
    chains, authorities = _certificates(servers, way, loaded.rules, host)
    found = placed(
        lint(loaded.rules, chains=chains, authorities=authorities), str(source)
    )
    return sorted([*notices, *found], key=lambda finding: LEVELS.index(finding.level))


def _certificates(
    servers: Sequence[str], way: Way, rules: Rules, host: str | None
) -> tuple[dict[str, list[bytes]], list[bytes]]:
    """Return the chain of each server or file, and the authorities that are trusted."""
    if not servers and way.cafile is None:
        return {}, []
    from pinverify.cli.chain_files import chains_in
    from pinverify.cli.servers import Server, chain_of, trusting

    context = trusting(way.cafile)
    chains: dict[str, list[bytes]] = {}
    for address in servers:
        if not is_server(address):
            chains |= chains_in(address, rules, host)
            continue
        server = Server.parse(address, way)
        chains[server.host] = chain_of(server, context, way)
    return chains, context.get_ca_certs(binary_form=True)


def _told_by_reader(code: str, source: Path, line: str) -> Finding:
    """Return a finding for a line from a reader, which begins with the file's name."""
    name = str(source)
    text = line.removeprefix(f"{name}: ")
    place = re.match(r"line \d+(?=: )", text)
    if place:
        name, text = f"{name}: {place[0]}", text[place.end() + 2 :]
    return Finding(code, CHECKS[code].level, POLICY, name, text)


_TOLD = {row.code for row in OF_READERS.values()}


def _counts(found: Sequence[Finding]) -> dict[str, int]:
    return {
        f"{level}s": sum(finding.level == level for finding in found)
        for level in LEVELS
    }


def _line(source: Path, finding: Finding) -> int | None:
    """Return the line number of a finding, if the reader knows it."""
    told = finding.place.removeprefix(str(source))
    match = re.search(r"\bline (\d+)", told)
    if match is None and finding.code in _TOLD:  # a parser says it in its own words
        match = re.search(r"\bline (\d+)", finding.text)
    return int(match[1]) if match else None


# ---- for people --------------------------------------------------------------------

_STYLES = {"error": "bold red", "warning": "bold yellow", "hint": "bold cyan"}


def _print(out: Output, found: Sequence[Finding]) -> None:
    for finding in found:
        if out.is_terminal:
            style = _STYLES[finding.level]
            title = CHECKS[finding.code].title
            out.line(Cell(f"{finding.level} {finding.code}", style), f"  {title}")
            out.line("  ", Cell(printable(finding.where), "dim"))
            out.hanging(f"  {printable(finding.text)}", indent=2)
            out.line()
        else:
            out.line(printable(str(finding)))
    counts = _counts(found)
    said = [
        f"{num:,} {name if num != 1 else name.removesuffix('s')}"
        for name, num in counts.items()
        if num
    ]
    worst = found[0].level if found else ""
    out.line(Cell(", ".join(said) or "no findings", _STYLES.get(worst, "bold green")))


# ---- for programs ------------------------------------------------------------------

_SARIF_LEVELS = {"error": "error", "warning": "warning", "hint": "note"}


def _sarif(source: Path, found: Sequence[Finding]) -> dict[str, Any]:
    """Return the findings in SARIF 2.1.0, which code hosts show beside the lines."""
    codes = sorted({finding.code for finding in found})
    driver = {
        "name": "pinverify",
        "version": __version__,
        "rules": [
            {"id": code, "shortDescription": {"text": CHECKS[code].title}}
            for code in codes
        ],
    }
    results = [
        {
            "ruleId": finding.code,
            "level": _SARIF_LEVELS[finding.level],
            "message": {"text": f"{finding.where}: {finding.text}"},
            "locations": [{"physicalLocation": _location(source, finding)}],
        }
        for finding in found
    ]
    return {
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results}],
    }


def _location(source: Path, finding: Finding) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": source.as_posix()}}
    line = _line(source, finding)
    if line is not None:
        location["region"] = {"startLine": line}
    return location
