"""Firefox: the preload list StaticHPKPins.h, which is C++ that a program has written.

    static const char kRootFingerprint[] = "<base64>";
    static const char* const kPinset_one_Data[] = { kRootFingerprint, };
    … kPublicKeyPinningPreloadList[] = {
      { "x.org", true, false, false, -1, &kPinset_one },
    };
    … kPreloadPKPinsExpirationTime = INT64_C(1800034283244000);

The exact entry decides about a host, else the longest above it that includes the names
below: as in `Rules`. In test mode Firefox refuses nobody. All pins of the list end at
one time, in microseconds. Each statement of the file must be one that is known: what is
not understood might pin a host.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.formats._reading import Reading, text_of
from pinverify.policy import PinSet
from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.formats._reading import Given, Loaded
    from pinverify.policy import Pin
    from pinverify.policy._report import Mode

__all__ = ["loads"]

_BLANK = re.compile(
    r"(?:\s++|//[^\n]*|/\*(?:[^*]|\*(?!/))*+\*/|\#include <[\w./]*>[ \t]*(?=\n))*+",
    re.ASCII,
)
_STATEMENT = re.compile(
    r"""
      static\ const\ char\ k(?P<key>\w+)Fingerprint\[\]\s*=\s*"(?P<digest>[^"\n]*)";
    | static\ const\ char\ ?\*\ (?:const\ )?kPinset_(?P<pinset>\w+)_Data\[\]\s*=\s*
      \{(?P<keys>[^{}]*)\};
    | static\ const\ StaticFingerprints\ kPinset_(?P<again>\w+)\s*=\s*\{\s*
      sizeof\(kPinset_(?P=again)_Data\)\s*/\s*sizeof\(const\ char\ ?\*\),\s*
      kPinset_(?P=again)_Data\s*\};
    | struct\ \w+\s*\{[^{}]*\};
    | static\ const\ TransportSecurityPreload\ kPublicKeyPinningPreloadList\[\]\s*=\s*
      (?P<list>\{)
    | static\ const\ int32_t\ kUnknownId\s*=\s*-1;
    | static\ const\ PRTime\ kPreloadPKPinsExpirationTime\s*=\s*
      INT64_C\((?P<end>[0-9]{1,18})\);
    """,
    re.VERBOSE | re.ASCII,
)
_ENTRY = re.compile(
    r"""
      \{\s*"(?P<host>[^"\n]*)",\s*(?P<below>true|false),\s*(?P<test>true|false),
      \s*(?:true|false),\s*-?[0-9]+,\s*&kPinset_(?P<pinset>\w+)\s*\},?
    | (?P<end>\};)
    """,
    re.VERBOSE | re.ASCII,
)
_KEY = re.compile(r"k(\w+)Fingerprint\s*,?", re.ASCII)
_ONCE = {"digest", "keys", "list", "end"}  # the last groups of definitions
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# Fewer characters for an entry, and the rules would be many times as large as the file.
_LENGTH_FOR_ENTRY = 60
_FREE_ENTRIES = 512


class _Entry(NamedTuple):
    """An entry of the list: its host, its set of pins, and its line."""

    where: str
    host: str
    pinset: str
    is_below: bool
    is_test: bool


def loads(data: bytes, given: Given) -> Loaded:
    """Read a list.

    Raises:
        PolicyError: the file has something that is not understood, or no end.
    """
    reading = Reading(given)
    file = _File(text_of(data, given, "list"), reading)
    file.read()
    reading.check()
    values = _Values(file)
    for entry in file.entries:
        _add(entry, values, reading)
    return reading.loaded("no host has pins; name the file StaticHPKPins.h")


class _Values:
    """PinSets of a file, each made once: many entries may share a long one."""

    def __init__(self, file: _File) -> None:
        self._file = file
        self._made: dict[tuple[str, bool], PinSet | None] = {}

    def of_entry(self, entry: _Entry) -> PinSet | None:
        """Return the PinSet of an entry; None if it names no pins."""
        key = entry.pinset, entry.is_test
        if key not in self._made:
            pins = self._file.pinsets.get(entry.pinset)
            mode: Mode = "report" if entry.is_test else "enforce"
            expires = self._file.expires
            self._made[key] = (
                PinSet(pins, mode=mode, expires=expires, after_expiry="allow")
                if pins
                else None
            )
        return self._made[key]


def _add(entry: _Entry, values: _Values, reading: Reading) -> None:
    """Add the rule of an entry."""
    pattern = reading.pattern(entry.where, entry.host)
    value = values.of_entry(entry)
    if value is None:
        msg = f"there are no pins in {shown(entry.pinset)}; add its fingerprints"
        reading.mistake(entry.where, msg)
        return
    if pattern is None:
        return
    if "*" in pattern or {pattern, f"**.{pattern}"} & reading.rules_so_far.keys():
        msg = f"{shown(entry.host)} is there already, or has a '*'; keep one, without"
        reading.mistake(entry.where, msg, "twice")
        return
    reading.rule(entry.where, f"**.{pattern}" if entry.is_below else pattern, value)


class _File:
    """The statements of a file.

    Attributes:
        pinsets: pins by the names of their sets.
        entries: in their order.
        expires: the end of all pins.
    """

    def __init__(self, text: str, reading: Reading) -> None:
        self.pinsets: dict[str, list[Pin]] = {}
        self.entries: list[_Entry] = []
        self.expires: dt.datetime | None = None
        self._text = text
        self._reading = reading
        self._keys: dict[str, Pin] = {}
        self._line = 1
        self._at = 0

    def read(self) -> None:
        """Read all statements."""
        if (at := self._text.find("\\\n")) >= 0:
            line = self._text.count("\n", 0, at) + 1
            msg = "a line that goes on behind a backslash; write it as one line"
            self._reading.mistake(f"line {line}", msg)
            return
        seen: set[str] = set()
        for match in self._each(_STATEMENT):
            where = f"line {self._line}"
            name = f"{match.lastgroup} {match['key'] or match['pinset'] or ''}"
            if match.lastgroup in _ONCE and name in seen:
                self._reading.mistake(where, "this is there already; keep one", "twice")
            seen.add(name)
            if match["key"] is not None:
                pin = self._reading.key_pin(where, match["digest"])
                if pin is not None:
                    self._keys[match["key"]] = pin
            elif match["pinset"] is not None:
                self.pinsets[match["pinset"]] = list(self._pins(match["keys"], where))
            elif match["list"] is not None:
                self._read_list()
            elif match["end"] is not None:
                self._read_end(match["end"], where)
        if self.expires is None:
            msg = "kPreloadPKPinsExpirationTime is missing; give the whole file"
            self._reading.mistake("", msg)

    def _each(self, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
        """Yield what follows, one by one; note what is something else."""
        while True:
            self._skip_to(_blank_end(self._text, self._at))
            match = pattern.match(self._text, self._at)
            if match is None:
                if self._at < len(self._text):
                    rest = self._text[self._at : self._at + 80].partition("\n")[0]
                    msg = f"{shown(rest)} is not understood; give the file as it was"
                    self._reading.mistake(f"line {self._line}", msg)
                    self._at = len(self._text)
                return
            yield match
            self._skip_to(max(match.end(), self._at))

    def _skip_to(self, end: int) -> None:
        """Go on, and count the lines."""
        self._line += self._text.count("\n", self._at, end)
        self._at = end

    def _pins(self, keys: str, where: str) -> Iterator[Pin]:
        """Yield the pins of a set."""
        at = _blank_end(keys, 0)
        while at < len(keys):
            match = _KEY.match(keys, at)
            if match is None or match[1] not in self._keys:
                name = keys[at : at + 80].partition(",")[0]
                msg = f"{shown(name)} is no fingerprint of the file; add it"
                self._reading.mistake(where, msg)
                return
            yield self._keys[match[1]]
            at = _blank_end(keys, match.end())

    def _read_list(self) -> None:
        """Read the entries."""
        self._skip_to(self._text.index("{", self._at) + 1)
        left = _FREE_ENTRIES + len(self._text) // _LENGTH_FOR_ENTRY
        for match in self._each(_ENTRY):
            where = f"line {self._line}"
            left -= 1
            if match["end"] is not None:
                self._skip_to(match.end())
                return
            if left < 0:
                self._reading.mistake(where, "very many very small entries; cut it")
                self._at = len(self._text)
                return
            self.entries.append(
                _Entry(
                    where,
                    match["host"],
                    match["pinset"],
                    match["below"] == "true",
                    match["test"] == "true",
                )
            )

    def _read_end(self, microseconds: str, where: str) -> None:
        """Read the end of all pins."""
        try:
            self.expires = _EPOCH + dt.timedelta(seconds=int(microseconds) // 10**6)
        except OverflowError:
            msg = f"{microseconds} microseconds are after the year 9999; write less"
            self._reading.mistake(where, msg)


def _blank_end(text: str, at: int) -> int:
    """Return where blanks, comments and lines with an include end."""
    match = _BLANK.match(text, at)
    return match.end() if match else at
