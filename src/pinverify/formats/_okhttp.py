"""OkHttp: the calls ``.add("pattern", "sha256/…")`` of a CertificatePinner.

Patterns are those of pinverify. What differs is the meaning of several that match one
host: OkHttp unites their pins, but in `Rules` the most specific one decides alone. So
the reader gives each pattern the pins of all patterns that cover it. It also adds hosts
where two patterns meet although neither covers the other, which is so only in one case:
``*.x`` and ``**.l.x`` meet in ``l.x``. Then the most specific rule has the pins that
OkHttp unites.

`_okhttp_calls` finds the calls in source code, and what they say. It reads a builder as
used, whatever the conditions around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pinverify.core._hosts import covering, split_pattern
from pinverify.errors import PolicyError, shown
from pinverify.formats._losses import Abilities, Dumped, Losses, fit
from pinverify.formats._parser_process import language_of, read_source
from pinverify.formats._policy_reading import Reading, text_of
from pinverify.policy import PinSet, Rules

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pinverify.formats._policy_reading import Given, Loaded
    from pinverify.policy import Pin

__all__ = ["dumps", "loads"]

_CAN = Abilities(shapes=frozenset({"", "*.", "**."}), exempt=True)


def loads(data: bytes, given: Given) -> Loaded:
    """Read the pins in Kotlin or Java source code."""
    reading = Reading(given)
    text = text_of(data, given, "source file")
    language = language_of(given.name)
    found = read_source(text, [language] if language else ["kotlin", "java"], given)
    for line, notice in found["notices"]:
        reading.notice(f"line {line}", notice)
    pins: dict[str, set[Pin]] = {}
    places: dict[str, str] = {}
    said = [*found["calls"], *found["mistakes"]]
    for line, literals in sorted(said, key=lambda one: one[0]):
        where = f"line {line}"
        if isinstance(literals, str):
            reading.mistake(where, literals)
            continue
        first, *others = literals or [""]
        pattern = reading.pattern(where, first)
        if first.endswith("."):
            reading.mistake(
                where, f"{shown(first)}: OkHttp finds no host for a dot", "host"
            )
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
        "there is no CertificatePinner.Builder with pins; name the file that has one"
    )


def dumps(rules: Rules, given: Given) -> Dumped:
    """Write a CertificatePinner in Kotlin."""
    losses = Losses(given.position)
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
    """Tell where OkHttp unites pins, but the most specific rule has fewer."""
    for pattern in _with_meetings(rules.hosts):
        ours = rules.hosts.get(pattern, rules.hosts.get(f"**.{pattern}"))
        own = set(ours.pins) if isinstance(ours, PinSet) else set()
        if _united(pattern, pins) == own:
            continue
        if own:
            losses.add("union", pattern, "its pins alone", "also those of wider rules")
        else:
            losses.add("exempt", pattern, "no pins", "those of wider rules")


def _pin(reading: Reading, where: str, text: str) -> Pin | None:
    prefix = "sha256/"
    if not text.startswith(prefix):
        why = "SHA-1 can be forged" if text.startswith("sha1/") else "unknown to OkHttp"
        msg = f"{shown(text)}: {why}; write {prefix} and base64"
        reading.mistake(where, msg, "pin")
        return None
    return reading.key_pin(where, text.removeprefix(prefix))
