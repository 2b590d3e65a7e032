"""Reading of a policy of another system: the rules, notices and mistakes of a file.

A reader adds what it finds to a `Reading`. At the end there are rules, or one error
with all mistakes: a person who corrects a file wants to see them together.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn, TypeAlias

from pinverify.core._hosts import (
    canonical_pattern,
    split_pattern,
    takes_any_labels,
)
from pinverify.errors import (
    MAX_TOLD,
    Kind,
    MistakesError,
    PolicyError,
    printable,
    shortened,
    shown,
)
from pinverify.policy import Pin, PinSet, Rules
from pinverify.policy._certs_and_pins import (
    ANYWHERE,
    MAX_READ,
    RECIPE,
    first_fault,
    wrong_base64,
)

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pinverify.formats._losses import Position
    from pinverify.policy import Unpinned

__all__ = ["Given", "Loaded", "Reading", "Where", "line_at", "lines_of", "text_of"]

Where: TypeAlias = str | int
"""A place in a file: a line, or a key; empty or 0 for the whole file."""

_BASE64_LENGTH = 44
_MAX_WHERE = 256
_MAX_PATTERN = 512  # a host has 253 bytes; a message quotes a pattern as a whole

# Texts that are refused where bare base64 belongs, and what is wrong with each.
_BARE = (
    (r"^$", f"it is empty; {RECIPE}"),
    *ANYWHERE[:4],
    (
        r"(?i)^(sha-?256(//|/|:|=)|pin-sha256=)",
        "remove what stands before the base64",
    ),
    (r"(?i)^(sha-?1|md5)\b", f"SHA-1 and MD5 can be forged; {RECIPE}"),
    (
        r"^(?:[0-9A-Fa-f]{2}:?){16,64}$",
        f"it is hex; write the base64 of the same bytes; {RECIPE}",
    ),
)


class Given(NamedTuple):
    """Facts that a caller gives in addition to the bytes of a file.

    Attributes:
        name: the name of the file, for messages.
        host: the host or pattern of the pins, if the format does not say it.
        now: the current time, if the format counts from it; None reads the clock.
        beside: the contents of the other files, if the format has several.
        position: the position to write for pins of any position, if the format to write
            must name one.
    """

    name: str = "<bytes>"
    host: str | None = None
    now: dt.datetime | None = None
    beside: tuple[bytes, ...] = ()
    position: Position | None = None

    def refuse(self, text: str, where: Where = "", kind: Kind = "") -> NoReturn:
        """Raise an error about a file, without looking for further mistakes."""
        msg = f"{self.place(where)}: {text}"
        raise PolicyError(msg, kind=kind) from None

    def place(self, where: Where) -> str:
        """Return a place in the file for messages; keys may have any characters."""
        if isinstance(where, int):
            where = f"line {where}" if where else ""
        return ": ".join(filter(None, (self.name, shortened(where, _MAX_WHERE))))


class Loaded(NamedTuple):
    """Rules that were read.

    Attributes:
        rules: the rules.
        notices: what was left out without making the policy accept more.
        remarks: for `lint`, what a person may want to know about rules that were not
            left out.
    """

    rules: Rules
    notices: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Reading:
    """Collection of what one file says.

    Attributes:
        rules_so_far: the rules that were added.
        told_keys: unknown keys that were reported, each of them once.
    """

    def __init__(self, given: Given) -> None:
        self._given = given
        self.rules_so_far: dict[str, PinSet | Unpinned] = {}
        self._origins: dict[str, str] = {}
        self._clients: PinSet | None = None
        self._notices: list[str] = []
        self._remarks: list[str] = []
        self._mistakes: list[str] = []
        self._kinds: list[Kind] = []
        self._num_mistakes = 0
        self.told_keys: set[str] = set()

    def mistake(self, where: Where, text: str, kind: Kind = "") -> None:
        """Note a mistake."""
        self._num_mistakes += 1
        if len(self._kinds) < MAX_TOLD:
            self._kinds.append(kind)
        self._tell(self._mistakes, where, text)

    def notice(self, where: Where, text: str) -> None:
        """Note something that was left out without making the policy accept more."""
        self._tell(self._notices, where, text)

    def remark(self, where: Where, text: str) -> None:
        """Note, for `lint`, how a part of the file was read."""
        self._tell(self._remarks, where, text)

    def _tell(self, told: list[str], where: Where, text: str) -> None:
        if len(told) < MAX_TOLD:  # a hostile file may need a million
            parts = self._given.place(where), printable(text)
            told.append(": ".join(filter(None, parts)))

    def key_pin(self, where: Where, text: str) -> Pin | None:
        """Read the base64 of an SPKI pin; None, with a mistake noted, if it is bad."""
        if len(text) == _BASE64_LENGTH:  # "sha256//" and 44 characters would be curl's
            with contextlib.suppress(PolicyError):
                return Pin.parse(f"sha256/{text}")
        msg = f"{shown(text)} is not the base64 of a SHA-256: {_wrong_key(text)}"
        self.mistake(where, msg, "pin")
        return None

    def pattern(self, where: Where, text: str, no_wildcard: str = "") -> str | None:
        """Return the canonical pattern of *text*, or note a mistake and return None.

        *no_wildcard* is the mistake for an asterisk, in a format that has none.
        """
        try:
            if len(text) > _MAX_PATTERN:
                self.mistake(
                    where, f"{shown(text)} is not a host: it is too long", "host"
                )
            elif no_wildcard and "*" in text:
                self.mistake(where, f"{shown(text)}: {no_wildcard}", "host")
            else:
                return canonical_pattern(text)
        except PolicyError as error:
            self.mistake(where, str(error), "host")
        return None

    def rule(self, where: Where, pattern: str, value: PinSet | Unpinned) -> None:
        """Add the rule of a canonical pattern; a second rule for it is a mistake.

        So is a ``**.`` pattern whose name has too many labels.
        """
        wildcard, name = split_pattern(pattern)
        if wildcard == "**." and not takes_any_labels(name):
            self.pattern(where, pattern)  # notes the mistake
            return
        if pattern in self.rules_so_far:
            first = self._origins[pattern].removeprefix(f"{self._given.name}: ")
            msg = f"{pattern!r} is there already, see {first}; keep one"
            self.mistake(where, msg, "twice")
            return
        self.rules_so_far[pattern] = value
        self._origins[pattern] = self._given.place(where)

    def for_clients(self, where: Where, value: PinSet) -> None:
        """Set the pins of clients; a second call with other pins is a mistake."""
        if self._clients not in {None, value}:
            msg = "other pins for clients are there already; a policy has one set"
            self.mistake(where, msg)
            return
        self._clients = value

    @property
    def is_wrong(self) -> bool:
        """True if there is a mistake."""
        return bool(self._mistakes)

    def check(self) -> None:
        """Raise the error with all mistakes, if there are any."""
        if self._mistakes:
            name, num = self._given.name, self._num_mistakes
            raise MistakesError(self._mistakes, name, num, self._kinds)

    def loaded(self, nothing: str) -> Loaded:
        """Return the rules and notices, if there are no mistakes.

        Args:
            nothing: the mistake and the advice for a file that pins no host; empty if a
                file may have no pins.
        """
        values = (*self.rules_so_far.values(), self._clients)
        pinned = any(isinstance(value, PinSet) for value in values)
        if nothing and not pinned and not self._mistakes:
            self.mistake("", nothing)
        self.check()
        rules = Rules(self.rules_so_far, clients=self._clients, origins=self._origins)
        return Loaded(rules, tuple(self._notices), tuple(self._remarks))


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line, without a list of all lines."""
    for number, match in enumerate(re.finditer(r"[^\n]*(?:\n|\Z)", text), start=1):
        yield number, match[0].rstrip("\r\n")


def line_at(text: str, position: int) -> int:
    """Return the number of the line in which a character is."""
    return 1 + text.count("\n", 0, position)


def text_of(data: bytes, given: Given, what: str) -> str:
    """Return the text of a file in UTF-8, without a byte order mark.

    Messages call the text *what*.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        given.refuse(f"this is UTF-16; save the {what} as UTF-8", kind="syntax")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"not UTF-8 at byte {error.start}; save the {what} as UTF-8"
        given.refuse(why, kind="syntax")
    if "\0" in text:
        line = line_at(text, text.index("\0"))
        given.refuse(f"a NUL does not belong in a {what}; remove it", line, "syntax")
    return text


def _wrong_key(text: str) -> str:
    """Return what is wrong with text that should be the base64 of a SHA-256."""
    text = text[:MAX_READ]
    return first_fault(_BARE, text) or wrong_base64(text)
