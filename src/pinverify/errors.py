"""Errors, and text that is fit for their messages; `PinningError` is in `policy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "MAX_TOLD",
    "DERError",
    "Kind",
    "MistakesError",
    "PinverifyError",
    "PolicyError",
    "printable",
    "shortened",
    "shown",
    "told",
]

Kind: TypeAlias = Literal[
    "", "syntax", "pin", "host", "expiry", "key", "twice", "digest"
]
"""The kinds of mistakes in policies that have their own codes in `lint`, or empty."""


class PinverifyError(Exception):
    """Base class of all errors that pinverify raises."""

    __module__ = "pinverify"


class DERError(PinverifyError, ValueError):
    """Raised for bytes that are not strict DER; the message names the field."""

    __module__ = "pinverify"


class PolicyError(PinverifyError, ValueError):
    """Raised for a wrong pin, host, rule or policy; the message says where.

    Attributes:
        kind: the kind of the mistake, if docs/lint.md lists it; else empty, as for
            mistakes of several kinds together.
    """

    __module__ = "pinverify"

    def __init__(self, *args: object, kind: Kind = "") -> None:
        super().__init__(*args)
        self.kind: Kind = kind


MAX_TOLD = 20
"""The most mistakes, and the most notices, that are reported about one file."""


class MistakesError(PolicyError):
    """Raised for all mistakes of a file together.

    Attributes:
        lines: one for each of the first twenty mistakes; if there are others, one more
            line counts them.
        kinds: the kind of each mistake that has a line. If all kinds are the same, the
            error has this kind too; else its kind is empty.
    """

    def __init__(
        self, lines: Sequence[str], name: str, num: int, kinds: Sequence[Kind] = ()
    ) -> None:
        """Take the first mistakes, the name of the file, and the number of all."""
        self.lines = told(lines, name, num)
        self.kinds = tuple(kinds[: len(lines)])
        kind: Kind = self.kinds[0] if len({*self.kinds}) == 1 else ""
        super().__init__("\n".join(self.lines), kind=kind)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a `PolicyError` with the same message and attributes."""
        return PolicyError, self.args, self.__dict__


def told(lines: Sequence[str], name: str, num: int) -> tuple[str, ...]:
    """Return the first lines about a file, and one line that counts the others."""
    first = tuple(lines[:MAX_TOLD])
    more = num - len(first)
    return (*first, f"{name}: … and {more:,} more") if more else first


def printable(text: str) -> str:
    """Return *text* on one line, with unprintable characters escaped.

    A terminal obeys control characters, and invisible characters can change the
    look of others.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def shortened(text: str, length: int) -> str:
    """Return printable text of at most *length* characters; subjects may be long."""
    text = printable(text[: length + 1])  # escaping makes no text shorter
    return text if len(text) <= length else text[: length - 1] + "…"


def shown(text: str, length: int = 80) -> str:
    """Return a quotation of *text* that is short enough for a message."""
    return repr(text) if len(text) <= length else f"{text[:length]!r}…"
