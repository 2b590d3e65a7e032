"""pinverify's own formats in the shape of all others: TOML and compiled policies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.formats import toml
from pinverify.formats._losses import Dumped
from pinverify.formats._reading import Loaded
from pinverify.policy import Policy

if TYPE_CHECKING:
    from pinverify.formats._reading import Given
    from pinverify.policy import Rules

__all__ = ["dump_compiled", "dump_toml", "load_compiled", "load_toml"]


def load_toml(data: bytes, given: Given) -> Loaded:
    """Read a policy file; see docs/policy-toml.md."""
    try:
        text = data.decode("utf-8")  # keep line ends
    except UnicodeDecodeError as error:
        msg = (
            f"{given.name}: not UTF-8 at byte {error.start}; save a toml file as "
            "UTF-8; the format of a compiled policy is `compiled`"
        )
        raise PolicyError(msg, kind="syntax") from None
    return Loaded(toml.loads(text, given.name))


def dump_toml(rules: Rules, _: Given) -> Dumped:
    """Write a policy file."""
    return Dumped(toml.dumps(rules))


def load_compiled(data: bytes, given: Given) -> Loaded:
    """Read the rules back from a compiled policy."""
    try:
        return Loaded(Policy.open(data).rules)
    except PolicyError as error:
        msg = f"{given.name}: {error}; of a policy in another format give the format"
        raise PolicyError(msg) from None


def dump_compiled(rules: Rules, _: Given) -> Dumped:
    """Compile rules."""
    return Dumped(Policy(rules).compile())
