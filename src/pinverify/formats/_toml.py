"""pinverify's own policy file, with the functions that all formats have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinverify.files import toml
from pinverify.files._toml_and_json_tables import Columns, columns_of, rules_of
from pinverify.formats._losses import Dumped
from pinverify.formats._policy_reading import Loaded
from pinverify.formats.toml import dumps as write

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Rules

__all__ = ["compiles", "dumps", "loads"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read a policy file; see docs/policy-toml.md."""
    return Loaded(toml.loads(toml.text_of(data, given.name), given.name))


def compiles(data: bytes, given: Given) -> Columns | Loaded:
    """Read a policy file that is to be compiled, as columns if that is possible."""
    return toml.read(toml.text_of(data, given.name), given.name, _columns_or_rules)


def _columns_or_rules(document: dict[str, Any], name: str) -> Columns | Loaded:
    return columns_of(document) or Loaded(rules_of(document, name))


def dumps(rules: Rules, _: Given) -> Dumped:
    """Write a policy file."""
    return Dumped(write(rules))
