"""Compiled policies: opened as they are, or read as rules like all other formats."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from pinverify import policy  # its parts are imported when they are used
from pinverify.errors import PolicyError
from pinverify.formats._losses import Dumped
from pinverify.formats._policy_reading import Loaded
from pinverify.policy._compiled import read_compiled

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given
    from pinverify.policy import Policy, Rules

__all__ = ["bytes_in", "dumps", "loads", "opened"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read the rules back from a compiled policy."""
    return Loaded(opened(data, given.name).rules)


def dumps(rules: Rules, _: Given) -> Dumped:
    """Compile rules."""
    return Dumped(policy.Policy(rules).compile())


def opened(data: bytes, name: str) -> Policy:
    """Open the bytes of a policy; *name* is its name in errors."""
    try:
        return policy.Policy.open(data)
    except PolicyError as error:
        raise _not_compiled(name, error) from None


def bytes_in(file: IO[bytes], name: str) -> bytes:
    """Read a compiled policy from a file or a pipe; *name* is its name in errors."""
    try:
        return read_compiled(file)
    except PolicyError as error:
        raise _not_compiled(name, error) from None


def _not_compiled(name: str, error: PolicyError) -> PolicyError:
    return PolicyError(
        f"{name}: {error}; of a policy in another format give the format"
    )
