"""Reading of policies of other systems: rules, notices and mistakes of one file.

A reader tells a `Reading` what it finds. In the end there are rules, or one error with
all mistakes: who corrects a file wants to see them together.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, NamedTuple

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
from pinverify.policy._pin import near_base64

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from pinverify.formats._losses import Position
    from pinverify.policy import Unpinned

__all__ = [
    "Given",
    "Loaded",
    "Reading",
    "lines_of",
    "text_of",
]

_BASE64_LENGTH = 44
_MAX_WHERE = 256
_MAX_PATTERN = 512  # a host has 253 bytes; a message quotes a pattern as a whole


class Given(NamedTuple):
    """Facts that a caller gives beside the bytes of a file.

    Attributes:
        name: of the file, for messages.
        host: the host or pattern of the pins, where the format does not say it.
        now: the current time, where a format counts from it; None reads the clock.
        beside: the contents of other files, where a format has several.
        position: of pins for any position, where a system needs to know it to write
            them.
    """

    name: str = "<bytes>"
    host: str | None = None
    now: dt.datetime | None = None
    beside: tuple[bytes, ...] = ()
    position: Position | None = None


class Loaded(NamedTuple):
    """Rules that were read.

    Attributes:
        rules: the rules.
        notices: what the reader left out, and accepts no more for it.
        remarks: what a person may want to know though nothing is left out; for `lint`.
    """

    rules: Rules
    notices: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


class Reading:
    """Collects what one file says."""

    def __init__(self, given: Given) -> None:
        self._given = given
        self._hosts: dict[str, PinSet | Unpinned] = {}
        self._origins: dict[str, str] = {}
        self._clients: PinSet | None = None
        self._notices: list[str] = []
        self._remarks: list[str] = []
        self._mistakes: list[str] = []
        self._kinds: list[Kind] = []
        self._num_mistakes = 0
        self.told_keys: set[str] = set()  # unknown keys, each of which is told once

    def mistake(self, where: str, text: str, kind: Kind = "") -> None:
        """Note a mistake; *where* is a line or a key, or empty for the whole file."""
        self._num_mistakes += 1
        if len(self._kinds) < MAX_TOLD:
            self._kinds.append(kind)
        self._tell(self._mistakes, where, text)

    def notice(self, where: str, text: str) -> None:
        """Note something that was left out and makes no policy accept more."""
        self._tell(self._notices, where, text)

    def remark(self, where: str, text: str) -> None:
        """Note how something is read that is not left out."""
        self._tell(self._remarks, where, text)

    def _tell(self, told: list[str], where: str, text: str) -> None:
        if len(told) < MAX_TOLD:  # a hostile file has a million of them
            parts = self._place(where), printable(text)
            told.append(": ".join(filter(None, parts)))

    def key_pin(self, where: str, text: str) -> Pin | None:
        """Read the base64 of an SPKI pin; None, and a mistake, if it is none."""
        if len(text) == _BASE64_LENGTH:  # "sha256//" and 44 characters are of curl
            with contextlib.suppress(PolicyError):
                return Pin.parse(f"sha256/{text}")
        msg = f"{shown(text)} is not the base64 of a SHA-256: {near_base64(text)}"
        self.mistake(where, msg, "pin")
        return None

    def pattern(self, where: str, text: str) -> str | None:
        """Return the canonical pattern; None, and a mistake, if it is none."""
        if len(text) > _MAX_PATTERN:
            msg = f"{shown(text)} is not a host: it is too long"
            self.mistake(where, msg, "host")
            return None
        try:
            return canonical_pattern(text)
        except PolicyError as error:
            self.mistake(where, str(error), "host")
            return None

    def rule(self, where: str, pattern: str, value: PinSet | Unpinned) -> None:
        """Add the rule of a canonical pattern; a second one is a mistake.

        So is a name with too many labels for ``**.``, which a format may say otherwise.
        """
        wildcard, name = split_pattern(pattern)
        if wildcard == "**." and not takes_any_labels(name):
            self.pattern(where, pattern)  # it says why
            return
        if pattern in self._hosts:
            first = self._origins[pattern].removeprefix(f"{self._given.name}: ")
            msg = f"{pattern!r} is there already, see {first}; keep one"
            self.mistake(where, msg, "twice")
            return
        self._hosts[pattern] = value
        self._origins[pattern] = self._place(where)

    def _place(self, where: str) -> str:
        """Return a place in the file for messages; keys may have any characters."""
        where = shortened(where, _MAX_WHERE)
        return ": ".join(filter(None, (self._given.name, where)))

    def for_clients(self, where: str, value: PinSet) -> None:
        """Set the pins of clients; other ones for other clients are a mistake."""
        if self._clients not in {None, value}:
            msg = "other pins for clients are there already; a policy has one set"
            self.mistake(where, msg)
            return
        self._clients = value

    @property
    def rules_so_far(self) -> dict[str, PinSet | Unpinned]:
        """The rules that were added."""
        return self._hosts

    @property
    def is_wrong(self) -> bool:
        """True if there is a mistake."""
        return bool(self._mistakes)

    def check(self) -> None:
        """Raise the error with all mistakes, if there are any.

        Raises:
            MistakesError: there are some.
        """
        if self._mistakes:
            name, num = self._given.name, self._num_mistakes
            raise MistakesError(self._mistakes, name, num, self._kinds)

    def loaded(self, nothing: str) -> Loaded:
        """Return the rules and notices.

        Args:
            nothing: the error for a file that pins no host, and its next step; empty
                where a rule without pins is an answer.

        Raises:
            PolicyError: there are mistakes, or no host has pins.
        """
        values = (*self._hosts.values(), self._clients)
        pinned = any(isinstance(value, PinSet) for value in values)
        if nothing and not pinned and not self._mistakes:
            self.mistake("", nothing)
        self.check()
        rules = Rules(self._hosts, clients=self._clients, origins=self._origins)
        return Loaded(rules, tuple(self._notices), tuple(self._remarks))


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line; no list of them is made."""
    for number, match in enumerate(re.finditer(r"[^\n]*(?:\n|\Z)", text), start=1):
        yield number, match[0].rstrip("\r\n")


def text_of(data: bytes, given: Given, what: str) -> str:
    """Return the text of a file in UTF-8.

    Args:
        data: the file; a byte order mark at its beginning is left out.
        given: its name.
        what: the kind of file, for the message.

    Raises:
        PolicyError: the bytes are not UTF-8, or have a NUL.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        msg = f"{given.name}: this is UTF-16; save the {what} as UTF-8"
        raise PolicyError(msg, kind="syntax")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        msg = f"{given.name}: not UTF-8 at byte {error.start}; save the {what} as UTF-8"
        raise PolicyError(msg, kind="syntax") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        msg = f"{given.name}: line {line}: a NUL does not belong in a {what}; remove it"
        raise PolicyError(msg, kind="syntax")
    return text
