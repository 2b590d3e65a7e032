"""pinverify's own policy format, in TOML."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinverify.policy import Policy

__all__ = ["loads"]


def loads(text: str, name: str = "<string>") -> Policy:
    """Read a policy."""
    raise NotImplementedError
