"""Findings: the answers of lint, one for each mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CLIENTS", "LEVELS", "POLICY", "Finding", "Level", "placed"]

Level: TypeAlias = Literal["error", "warning", "hint"]

LEVELS: tuple[Level, ...] = ("error", "warning", "hint")
"""The worst first.

    error     the rule can never match, or never refuses anybody
    warning   the rule will break or lapse
    hint      the rule may mean something else than was meant
"""

CLIENTS = "clients"
POLICY = "policy"


class Finding(NamedTuple):
    """One mistake in rules.

    Attributes:
        code: such as "PV201"; docs/lint.md describes each.
        level: "error", "warning" or "hint".
        pattern: the pattern of the rule; "clients", or "policy" for all rules.
        place: the place where the rule was written, empty if it is not known.
        text: the mistake, and the next step.
    """

    code: str
    level: Level
    pattern: str
    place: str
    text: str

    @property
    def where(self) -> str:
        """The place, and the pattern where the place does not say it."""
        if not self.place:
            return self.pattern
        if self.pattern == POLICY or f'"{self.pattern}"' in self.place:
            return self.place
        return f"{self.place}: {self.pattern}"

    def __str__(self) -> str:
        """Return the finding in one line, as a compiler writes it."""
        return f"{self.where}: {self.level} {self.code}: {self.text}"


def placed(found: Iterable[Finding], name: str) -> list[Finding]:
    """Return findings about a file: where no place is known, it is named."""
    return [one if one.place else one._replace(place=name) for one in found]


# Said of the class that users see; a NamedTuple cannot say it.
Finding.__module__ = "pinverify"
