"""Chromium: the preload list transport_security_state_static.json, and its .pins.

The list has sets of pins (pinsets) and entries, which are hosts. Pinsets name pins,
whose keys are in the .pins file beside the list. Whole lines that begin with ``//`` are
comments in the list; in the file of pins, those that begin with ``#`` are.

Only the nearest entry decides about a host: the exact one, else the longest above it.
That entry decides even if it has no pins, or is not for the names below it: then the
host has no pins, whatever entries of wider names say. So all entries count, not only
those with pins. A pinset may also have bad pins, which no chain may contain.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.core._hosts import covering
from pinverify.errors import DERError, PolicyError, shown
from pinverify.formats import _json
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import UNPINNED, Pin, PinSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Unpinned

__all__ = ["loads"]

_NOTHING = "no entry has pins; name a list with pinsets, and entries that use them"
_SET_KEYS: dict[str, type] = {
    "name": str,
    "static_spki_hashes": list,
    "bad_static_spki_hashes": list,
    "report_uri": str,
}
_ENTRY_KEYS: dict[str, type] = {
    "name": str,
    "policy": str,
    "mode": str,
    "include_subdomains": bool,
    "include_subdomains_for_pinning": bool,
    "pins": str,
}
# Keys of older lists, which are not about pins.
_PASSED_OVER = {"include_subdomains_for_expect_staple"}
_COMMENT = re.compile(r"(?m)^[ \t]*//.*$")
_TOP_KEYS: dict[str, type] = {"pinsets": list, "entries": list}
_NO_PINS = (
    "the keys of the pins are in another file; put it beside the list, with the ending "
    ".pins, or give it as `pins`"
)


def loads(data: bytes, given: Given) -> Loaded:
    """Read a list, and the pins beside it.

    Today's list has its pinsets, and the entries with pins, in a second JSON file. If a
    host is in both files, ``include_subdomains`` in either file is for the pins, too:
    Chromium's generator writes one bit for both.
    """
    reading = Reading(given)
    texts = [text_of(part, given, "list") for part in (data, *given.beside)]
    others = [one for one in texts[1:] if one.lstrip().startswith(("{", "//"))]
    lists = [texts[0], *others]
    keys = [text for text in texts[1:] if text not in others]
    top: dict[str, list[Any]] = {key: [] for key in _TOP_KEYS}
    for text in lists:
        document = _json.parsed(_COMMENT.sub("", text), given.name)
        for key, tables in _checked(document, _TOP_KEYS, "", reading).items():
            top[key] += tables
    pins = _read_pins("\n".join(keys), reading)
    sets: dict[str, PinSet] = {}
    if not keys and top["pinsets"]:
        reading.mistake("", _NO_PINS)
    for number, table in enumerate(top["pinsets"] if keys else ()):
        _read_set(f"pinsets[{number}]", table, pins, sets, reading)
    reading.check()
    _note_unused(pins, top["pinsets"], reading)
    _add_entries(top["entries"], sets, reading)
    return reading.loaded(_NOTHING)


def _checked(
    table: object, known: dict[str, type], where: str, reading: Reading
) -> dict[str, Any]:
    """Return the known entries of a table; a key that resembles one is a mistake."""
    if not isinstance(table, dict):
        reading.mistake(where, "expected a dictionary")
        return {}
    found = {}
    for key, value in table.items():
        near = difflib.get_close_matches(key, known, n=1, cutoff=0.8)
        if key not in known and near and key not in _PASSED_OVER:
            msg = f"unknown key {shown(key)}; is it {near[0]}?"
            reading.mistake(where, msg, "key")
        elif key in known and not isinstance(value, known[key]):
            kind = {bool: "a boolean", list: "an array", str: "a string"}[known[key]]
            reading.mistake(where, f"{key}: expected {kind}")
        elif key in known:
            found[key] = value
        elif key not in reading.told_keys:
            reading.told_keys.add(key)
            reading.notice(
                where, f"unknown key {shown(key)} is left out, here and below"
            )
    return found


# ---- the list ----------------------------------------------------------------------


def _read_set(
    where: str,
    table: object,
    pins: Mapping[str, Pin],
    sets: dict[str, PinSet],
    reading: Reading,
) -> None:
    said = _checked(table, _SET_KEYS, where, reading)
    lists: dict[str, list[Pin]] = {}
    for key in _LISTS:
        lists[key] = []
        for name in said.get(key, []):
            if isinstance(name, str) and name in pins:
                lists[key].append(pins[name])
            else:
                msg = f"{key}: {shown(str(name))} is no name of the .pins file; add it"
                reading.mistake(where, msg)
    good, bad = lists.values()
    name = said.get("name", "")
    if not name or name in sets:
        reading.mistake(where, f"a name of its own is missing, or {shown(name)} is not")
    elif good:
        sets[name] = PinSet(good, blocked=bad)
    elif not said.get("static_spki_hashes"):
        reading.mistake(where, "static_spki_hashes is missing or empty; add a name")


def _note_unused(
    pins: Iterable[str], tables: list[dict[str, Any]], reading: Reading
) -> None:
    """Note the pins that are in no pinset: somebody may think that they count."""
    used = {name for table in tables for key in _LISTS for name in table.get(key, [])}
    for name in pins:
        if name not in used:
            reading.notice(".pins", f"{name} is in no pinset; remove it, or add it")


_LISTS = ("static_spki_hashes", "bad_static_spki_hashes")


class _Entry(NamedTuple):
    """An entry: its pins, if it has any, and whether they are for names below it."""

    pins: PinSet | None
    is_below: bool


def _add_entries(entries: list[Any], sets: dict[str, PinSet], reading: Reading) -> None:
    found: dict[str, _Entry] = {}
    for number, table in enumerate(entries):
        where = f"entries[{number}]"
        said = _checked(table, _ENTRY_KEYS, where, reading)
        text = said.get("name", "")
        pattern = reading.pattern(where, text)
        if pattern is None:
            continue
        if "*" in pattern:
            reading.mistake(where, f"{shown(text)} has a '*'; remove it", "host")
        used = said.get("pins")
        if used is not None and used not in sets:
            reading.mistake(where, f"{shown(text)}: no pinset {shown(used)}; add it")
        is_below = any(
            said.get(key, False)
            for key in ("include_subdomains", "include_subdomains_for_pinning")
        )
        pins = None if used is None else sets.get(used)
        before = found.get(pattern, _Entry(pins, is_below))
        if None not in {before.pins, pins} and before.pins != pins:
            msg = f"{shown(text)} is there already, with other pins; keep one"
            reading.mistake(where, msg, "twice")
        found[pattern] = _Entry(before.pins or pins, before.is_below or is_below)
    for name, entry in found.items():
        for pattern, value in _rules_of(name, entry, found):
            reading.rule("entries", pattern, value)


def _rules_of(
    name: str, entry: _Entry, entries: Mapping[str, _Entry]
) -> Iterator[tuple[str, PinSet | Unpinned]]:
    """Yield the rules of an entry; none if it needs no pins and no exemption."""
    if entry.pins is not None:
        yield f"**.{name}" if entry.is_below else name, entry.pins
        if entry.is_below:
            return
    for wider in covering(f"**.{name}"):
        above = entries.get(wider.removeprefix("**."))
        if above is not None and wider != f"**.{name}":
            if above.pins is not None and above.is_below:
                yield f"**.{name}", UNPINNED
            return


# ---- the pins ----------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*", re.ASCII)
_TIMESTAMP = "PinsListTimestamp"  # followed by the time of the list, not a key


def _read_pins(keys: str, reading: Reading) -> dict[str, Pin]:
    """Return the pins of a .pins file by their names."""
    found: dict[str, Pin] = {}
    pieces = _pieces(keys)
    for number, name in pieces:
        if not _NAME.fullmatch(name) or name in found:
            msg = f"expected the name of a pin, and a new one; got {shown(name)}"
            reading.mistake(f".pins, line {number}", msg)
            break
        at, text = next(pieces, (0, ""))
        if not at:
            reading.mistake(".pins", f"{name} has no key; add it")
        elif name != _TIMESTAMP:
            try:
                found[name] = _pin(text)
            except (DERError, PolicyError) as error:
                reading.mistake(f".pins, line {at}", f"{name}: {error}", "pin")
    return found


def _pin(text: str) -> Pin:
    """Return a pin: from its digest, a certificate or a key."""
    if text.startswith("-----BEGIN CERTIFICATE"):
        return Pin.from_certificate(text)
    if text.startswith("-----BEGIN PUBLIC KEY"):
        return Pin.from_public_key(text)
    return Pin.parse(text)


# A whole PEM block, else the rest of a line. A comment is a line of its own.
_PIECE = re.compile(
    r"""
      -----BEGIN[ ](?P<label>CERTIFICATE|PUBLIC[ ]KEY)-----
      [^-]*-----END[ ](?P=label)-----
    | ^[ \t]*\#[^\n]*
    | [^\s][^\n]*
    """,
    re.VERBOSE | re.MULTILINE,
)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Yield names, digests and PEM blocks, and the numbers of their lines."""
    line, at = 1, 0
    for match in _PIECE.finditer(text):
        line, at = line + text.count("\n", at, match.start()), match.start()
        piece = match[0].strip()
        if not piece.startswith("#"):
            yield line, piece
