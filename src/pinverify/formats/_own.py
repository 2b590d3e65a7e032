"""pinverify's own formats in the shape of all others: TOML and compiled policies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pinverify import policy  # a part is imported when it is used
from pinverify.errors import PolicyError
from pinverify.files import toml
from pinverify.files._policy_tables import Columns, columns_of, rules_of
from pinverify.formats._losses import Dumped
from pinverify.formats._policy_reading import Loaded

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Rules

__all__ = [
    "columns_or_rules",
    "compile_toml",
    "dump_compiled",
    "dump_toml",
    "load_compiled",
    "load_toml",
]


def load_toml(data: bytes, given: Given) -> Loaded:
    """Read a policy file; see docs/policy-toml.md."""
    return Loaded(toml.loads(toml.text_of(data, given.name), given.name))


def compile_toml(data: bytes, given: Given) -> Columns | Loaded:
    """Read a policy file that is to be compiled; as columns, where it can be."""
    return toml.read(toml.text_of(data, given.name), given.name, columns_or_rules)


def columns_or_rules(document: dict[str, Any], name: str) -> Columns | Loaded:
    """Return the columns of a document, or else its rules."""
    return columns_of(document) or Loaded(rules_of(document, name))


def dump_toml(rules: Rules, _: Given) -> Dumped:
    """Write a policy file."""
    return Dumped(toml.dumps(rules))


def load_compiled(data: bytes, given: Given) -> Loaded:
    """Read the rules back from a compiled policy."""
    try:
        return Loaded(policy.Policy.open(data).rules)
    except PolicyError as error:
        msg = f"{given.name}: {error}; of a policy in another format give the format"
        raise PolicyError(msg) from None


def dump_compiled(rules: Rules, _: Given) -> Dumped:
    """Compile rules."""
    return Dumped(policy.Policy(rules).compile())
