"""Text from untrusted peers and files, made fit to be printed."""

from __future__ import annotations

__all__ = ["printable", "shortened", "shown"]

_MAX_SHOWN = 80


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


def shown(text: str, length: int = _MAX_SHOWN) -> str:
    """Return a quotation of *text* that is short enough for a message."""
    return repr(text) if len(text) <= length else f"{text[:length]!r}…"
