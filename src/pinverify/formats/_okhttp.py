"""OkHttp: the calls ``.add("pattern", "sha256/…")`` of a CertificatePinner.

Patterns are those of pinverify. What differs is the meaning of several that match one
host: OkHttp unites their pins, and in `Rules` the most specific one decides, alone. So
the reader gives each pattern the pins of all patterns that cover it, and adds the only
hosts where two patterns meet and none covers the other: ``*.x`` and ``**.l.x`` meet in
``l.x``. Then the most specific rule has the pins that OkHttp unites.

The reader finds the calls in source code, and reads string literals only. It reads
every ``add`` of the file: one that it passed over might pin a host. It takes all calls
as made, and knows nothing of conditions in the code.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import PolicyError
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._reading import Reading, text_of
from pinverify.policy import PinSet, Rules
from pinverify.policy._hosts import covering, split_pattern
from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pinverify.formats._reading import Given, Loaded
    from pinverify.policy import Pin

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({"", "*.", "**."}), exempt=True)


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pins in Kotlin or Java source code.

    Raises:
        PolicyError: a call is not understood, or there is none.
    """
    reading = Reading(given)
    pins: dict[str, set[Pin]] = {}
    places: dict[str, str] = {}
    for call in _calls(text_of(data, given, "source file"), reading):
        where = f"line {call.line}"
        first, *others = call.literals
        pattern = reading.pattern(where, first)
        if not others:
            reading.mistake(where, f"{shown(first)} has no pins; add one")
        read = [pin for text in others if (pin := _pin(reading, where, text))]
        if pattern is not None:
            pins.setdefault(pattern, set()).update(read)
            places.setdefault(pattern, where)
    reading.check()
    for pattern in _with_meetings(pins):
        reading.rule(places.get(pattern, ""), pattern, PinSet(_united(pattern, pins)))
    return reading.loaded(
        'there is no call of .add("host", "sha256/…"); name the file that builds the '
        "CertificatePinner"
    )


def dumps(rules: Rules, _: Given) -> Dumped:
    """Write a CertificatePinner in Kotlin.

    Raises:
        PolicyError: there is no rule that OkHttp can say.
    """
    losses = Losses()
    fitted = fit(rules, _CAN, losses)
    pins = {
        pattern: value.pins
        for pattern, value in fitted.hosts.items()
        if isinstance(value, PinSet)
    }
    if not pins:
        msg = "okhttp: there is no rule to write; add a host with pins of keys"
        raise PolicyError(msg)
    _tell_unions(fitted, pins, losses)
    lines = ["CertificatePinner.Builder()"]
    for pattern, own in pins.items():  # there is nothing in them to escape
        arguments = ", ".join(f'"{text}"' for text in (pattern, *own))
        lines.append(f"    .add({arguments})")
    lines.append("    .build()")
    return Dumped("\n".join(lines) + "\n", losses.found())


# ---- the union ---------------------------------------------------------------------


def _with_meetings(patterns: Iterable[str]) -> list[str]:
    """Return *patterns*, and the hosts where two meet that do not cover each other."""
    known = set(patterns)
    meetings = set()
    for pattern in known:
        wildcard, name = split_pattern(pattern)
        if wildcard == "**." and "*." + name.partition(".")[2] in known:
            meetings.add(name)
    return sorted(known | meetings)


def _united(pattern: str, pins: Mapping[str, Collection[Pin]]) -> set[Pin]:
    """Return the pins that OkHttp unites for the hosts of *pattern*."""
    return {pin for other in covering(pattern) for pin in pins.get(other, ())}


def _tell_unions(
    rules: Rules, pins: Mapping[str, Collection[Pin]], losses: Losses
) -> None:
    """Tell where OkHttp unites pins, and the most specific rule has fewer."""
    for pattern in _with_meetings(rules.hosts):
        ours = rules.hosts.get(pattern, rules.hosts.get(f"**.{pattern}"))
        own = set(ours.pins) if isinstance(ours, PinSet) else set()
        if _united(pattern, pins) == own:
            continue
        if own:
            losses.add("union", pattern, "its pins alone", "also those of wider rules")
        else:
            losses.add("exempt", pattern, "no pins", "those of wider rules")


# ---- source code -------------------------------------------------------------------


class _Call(NamedTuple):
    """One call of ``add``: the line, and its arguments."""

    line: int
    literals: list[str]


# What can stand in source code: each token is matched as a whole, so that a quotation
# mark in a comment begins no string. Comments nest in Kotlin and not in Java; one
# inside of another is refused.
_TOKEN = re.compile(
    r"""
      (?P<blank>\s+)
    | (?P<comment>//[^\n]*|/\*(?:[^*/]|\*(?!/)|/(?!\*))*+\*/)
    | (?P<broken>/\*|\"{3}|\\|`)
    | (?P<string>"(?:[^"\\\n]|\\.)*+")
    | (?P<character>'(?:[^'\\\n]|\\.)*+')
    | (?P<builder>CertificatePinner\s*\.\s*Builder\s*\()
    | (?P<name>[^\W\d]\w*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_BROKEN = (
    "begins something that cannot be read here; use strings in simple quotes, and "
    "comments that end and do not nest"
)
_SECOND = (
    "a second CertificatePinner.Builder, whose pins would be mixed with those of the "
    "first; keep one of them in the file"
)
_NO_LITERALS = (
    "an add that is no call with string literals alone; write the pins as in "
    '.add("host", "sha256/…"), or take what adds other things out of the file'
)


def _calls(text: str, reading: Reading) -> Iterator[_Call]:
    """Yield the calls of ``add``; note those that cannot be read."""
    tokens = _TOKEN.finditer(text)
    line, at, num_builders = 1, 0, 0
    for token in tokens:
        is_add = token.lastgroup == "name" and token[0] == "add"
        if not is_add and token.lastgroup not in {"broken", "builder"}:
            continue
        line, at = line + text.count("\n", at, token.start()), token.start()
        where = f"line {line}"
        if token.lastgroup == "broken":
            reading.mistake(where, f"{token[0]} {_BROKEN}")
            return
        if token.lastgroup == "builder":
            num_builders += 1
            if num_builders > 1:
                reading.mistake(where, _SECOND)
        elif literals := _literals(tokens):
            yield _Call(line, literals)
        else:
            reading.mistake(where, _NO_LITERALS)


def _literals(tokens: Iterator[re.Match[str]]) -> list[str] | None:
    """Return the strings in the brackets that follow; None if there is anything else.

    A template of Kotlin (``$name``) and an escape are something else: no pattern and no
    pin needs them.
    """
    inside = (token for token in tokens if token.lastgroup not in {"blank", "comment"})
    if next(inside, _NO_TOKEN)[0] != "(":
        return None
    found: list[str] = []
    comma = True
    for token in inside:
        if token[0] == ")":  # Kotlin allows a comma before it
            return found
        if token[0] == "," and not comma:
            comma = True
        elif token.lastgroup == "string" and comma and not set(token[0]) & {"$", "\\"}:
            found.append(token[0][1:-1])
            comma = False
        else:
            return None
    return None


_NO_TOKEN = ("",)


def _pin(reading: Reading, where: str, text: str) -> Pin | None:
    """Read a pin as OkHttp spells it."""
    prefix = "sha256/"
    if not text.startswith(prefix):
        why = "SHA-1 can be forged" if text.startswith("sha1/") else "unknown to OkHttp"
        msg = f"{shown(text)}: {why}; write {prefix} and base64"
        reading.mistake(where, msg, "pin")
        return None
    return reading.key_pin(where, text.removeprefix(prefix))
