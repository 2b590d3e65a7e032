"""`pinverify show`: print the rules of a policy file, also of a compiled one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.cli.output import Cell
from pinverify.cli.policy_files import loaded_from
from pinverify.cli.rule_lines import by_name, of_default, of_rule
from pinverify.core._policies import OpenPolicy
from pinverify.errors import printable
from pinverify.formats import dump_rules
from pinverify.policy._compiled import compile_rules

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pinverify.cli.output import Output
    from pinverify.cli.rule_lines import Line
    from pinverify.policy import Rules

__all__ = ["show_file"]


def show_file(out: Output, source: Path, policy_format: str, host: str | None) -> None:
    """Print the rules, sorted by domain, and the digest of the policy."""
    loaded = loaded_from(out, source, policy_format, host)
    for notice in loaded.notices:
        out.warn(notice)
    rules = loaded.rules
    digest = OpenPolicy(compile_rules(rules)).digest.hex()
    if out.as_json:
        import json

        written = json.loads(dump_rules(rules, format="json").text)
        out.json({"policy": str(source), "digest": digest, "rules": written})
        return
    _print(out, rules)
    num = f"{len(rules.hosts):,} rule{'' if len(rules.hosts) == 1 else 's'}"
    clients = " and clients" if rules.clients is not None else ""
    out.hanging(f"{num}{clients}, digest {digest}", "dim", indent=2)


def _print(out: Output, rules: Rules) -> None:
    _block(out, "hosts without a rule", of_default(rules))
    if rules.clients is not None:
        _block(out, "clients", of_rule(rules.clients))
    for pattern in sorted(rules.hosts, key=by_name):
        _block(out, pattern, of_rule(rules.hosts[pattern]))


def _block(out: Output, title: str, lines: Sequence[Line]) -> None:
    """Print a title and its lines; a key is not repeated on the next line."""
    out.line(Cell(printable(title), "bold"))
    width = max(len(line.key) for line in lines)
    last = ""
    for key, value in lines:
        shown = "" if key == last else key
        gap = " " if width else ""
        beginning = Cell(f"  {shown:<{width}}{gap}", "dim")
        out.hanging(printable(value), indent=len(beginning.text), beginning=beginning)
        last = key
    out.line()
