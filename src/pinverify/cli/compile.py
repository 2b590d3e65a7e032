"""`pinverify compile`: turn a policy file into a compiled policy, atomically."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pinverify.cli.output import Cell, NoAnswerError, Output
from pinverify.cli.policy_files import rules_from
from pinverify.cli.written_files import check_target, replace_file
from pinverify.errors import printable
from pinverify.policy import PinSet, Policy

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NO_TEXT", "compile_file"]

NO_TEXT = "a compiled policy is no text for a terminal; name a file with -o"


def compile_file(
    out: Output, source: Path, target: Path | None, policy_format: str, host: str | None
) -> None:
    """Compile *source* to *target* and print a summary, or to stdout without one."""
    if target is not None:
        check_target(target, source)
    elif out.is_terminal:
        raise NoAnswerError(NO_TEXT)
    rules = rules_from(out, source, policy_format, host=host)
    with out.progress(f"compiling {source.name}"):
        policy = Policy(rules)
        compiled = policy.compile()
    if target is None:
        sys.stdout.buffer.write(compiled)
        return
    replace_file(target, compiled)
    pinned = [value for value in rules.hosts.values() if isinstance(value, PinSet)]
    clients = [] if rules.clients is None else [rules.clients]
    counts = {
        "rules": len(rules.hosts),
        "wildcards": sum(pattern.startswith("*") for pattern in rules.hosts),
        "unpinned": len(rules.hosts) - len(pinned),
        "clients": rules.clients is not None,
        "pinsets": len({*pinned, *clients}),
        "bytes": len(compiled),
    }
    digest = policy.digest.hex()
    if out.as_json:
        out.json({"policy": str(target), **counts, "digest": digest})
        return
    hosts = "{rules:,}; of these wildcards {wildcards:,}, unpinned {unpinned:,}"
    out.fields(
        [
            ("policy", Cell(printable(str(target)), "bold")),
            ("hosts", hosts.format_map(counts)),
            *([("clients", "pinned")] if clients else []),
            ("PinSets", "{pinsets:,}".format_map(counts)),
            ("bytes", "{bytes:,}".format_map(counts)),
            ("digest", digest),
        ]
    )
