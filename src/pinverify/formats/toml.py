"""pinverify's own policy format, in TOML; docs/policy-toml.md is its manual.

This file checks keys and types, and names types in the words of TOML. The meaning is
checked by `PinSet` and `Rules`, as for every format. In both cases the error begins
with file, table and key.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.errors import PolicyError
from pinverify.policy import UNPINNED, PinSet, Rules, Unpinned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.policy import Pin

__all__ = ["dumps", "loads"]

_VERSION = 1


def loads(text: str, name: str = "<string>") -> Rules:
    """Read rules from the text of a policy file.

    Args:
        text: TOML 1.0.
        name: the name of the file, for errors.

    Raises:
        PolicyError: the text has a mistake; the message begins with *name*, says
            where and what it is, and names the next step.
    """
    with _at(name):
        document = _parse(text)
        _check_top(document)
        unpinned = document.get("unpinned", "allow")
        blocked = document.get("blocked", ())
        Rules(unpinned=unpinned, blocked=blocked)  # report errors at the top first
        clients = _clients(document["clients"]) if "clients" in document else None
        hosts: dict[str, PinSet | Unpinned] = {}
        origins: dict[str, str] = {}
        for pattern, value in document.get("hosts", {}).items():
            where = f"[hosts.{_quoted(pattern)}]"
            with _at(where):
                hosts[pattern] = _rule(pattern, value)
            origins[pattern] = f"{name}: {where}"
        with _at("[hosts]"):
            return Rules(
                hosts,
                unpinned=unpinned,
                blocked=blocked,
                clients=clients,
                origins=origins,
            )


def dumps(rules: Rules) -> str:
    """Write rules as the text of a policy file: ``loads(dumps(rules)) == rules``.

    Raises:
        PolicyError: there are no rules.
    """
    if not (rules.hosts or rules.blocked or rules.clients):
        msg = "there are no rules to write; add a host"
        raise PolicyError(msg)
    lines = [f"version = {_VERSION}"]
    if rules.unpinned != "allow":
        lines.append(f'unpinned = "{rules.unpinned}"')
    if rules.blocked:
        lines.append(f"blocked = {_pins_as_toml(rules.blocked)}")
    if rules.clients is not None:
        lines += ["", "[clients]", *_pinset_as_toml(rules.clients)]
    for pattern, value in sorted(rules.hosts.items()):
        lines += ["", f"[hosts.{_quoted(pattern)}]"]
        if isinstance(value, PinSet):
            lines += _pinset_as_toml(value)
        else:
            lines.append("unpinned = true")
    return "\n".join(lines) + "\n"


class _Key(NamedTuple):
    """The type of a key's value, and its description."""

    type: type
    expected: str


_PINS = _Key(list, 'a list of pins, as in ["sha256/…"]')
_ALLOW_OR_REJECT = _Key(str, '"allow" or "reject"')

_TOP = {
    "version": _Key(int, str(_VERSION)),
    "unpinned": _ALLOW_OR_REJECT,
    "blocked": _PINS,
    "hosts": _Key(dict, 'a table for each host, as in [hosts."api.example.com"]'),
    "clients": _Key(dict, "a table, as in [clients]"),
}
_HOST = {
    "pins": _PINS,
    "leaf": _PINS,
    "ca": _PINS,
    "blocked": _PINS,
    "mode": _Key(str, '"enforce" or "report"'),
    "expires": _Key(dt.datetime, "a date-time, as in 2027-01-31T00:00:00Z"),
    "after_expiry": _ALLOW_OR_REJECT,
    "unpinned": _Key(
        bool, 'true ("allow" or "reject" for all hosts belongs at the top)'
    ),
}

_KINDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    str: "a string",
    list: "an array",
    dict: "a table",
    dt.datetime: "a date-time",
    dt.date: "a date",
    dt.time: "a time",
}


# ---- the file ----------------------------------------------------------------


@contextlib.contextmanager
def _at(where: str) -> Iterator[None]:
    """Put *where* in front of errors raised in the block."""
    try:
        yield
    except PolicyError as error:
        msg = f"{where}: {error}"
        raise PolicyError(msg) from None


def _parse(text: str) -> dict[str, Any]:
    if text.startswith("\ufeff"):
        msg = "the file begins with a byte order mark; save it as UTF-8 without one"
        raise PolicyError(msg)
    try:
        return tomllib.loads(text)
    except RecursionError:
        msg = "not TOML: nested too deeply; a host's table holds no further tables"
        raise PolicyError(msg) from None
    except ValueError as error:  # int() raises one for thousands of digits
        advice = "pins, and hosts with dots or '*', need quotes"
        if "twice" in str(error) or "overwrite" in str(error):
            advice = "a key is there twice; keep one of them"
        msg = f"not TOML: {error}; {advice}"
        raise PolicyError(msg) from None


def _check_top(document: dict[str, Any]) -> None:
    version = document.get("version", _VERSION)
    # Checked first, because a later version may have unknown keys.
    if type(version) is int and version != _VERSION:
        msg = (
            f"version: this pinverify reads version {_VERSION} only; for a later "
            "version, install a later pinverify"
        )
        raise PolicyError(msg)
    for key, value in document.items():
        if isinstance(value, dict) and not _nearest(key, _TOP):
            raise PolicyError(_name_in_quotes(key, key, value))
    _check_keys(document, _TOP, _HOST, 'in the table of a host, [hosts."…"]')
    if "version" not in document:
        msg = (
            f"version is missing; write version = {_VERSION} at the top of the file, "
            "above the first table"
        )
        raise PolicyError(msg)
    if not (document.get("hosts") or document.get("blocked") or "clients" in document):
        msg = (
            "hosts: there is no host, and nothing is blocked, so nothing would be "
            'checked; add one, as in hosts."api.example.com" = ["sha256/…"]'
        )
        raise PolicyError(msg)


def _check_keys(
    table: dict[str, Any],
    keys: dict[str, _Key],
    keys_elsewhere: dict[str, _Key],
    elsewhere: str,
) -> None:
    """Check that the keys of *table* are known, and the types of their values."""
    for key, value in table.items():
        if key not in keys:
            if key in keys_elsewhere:
                advice = f"it belongs {elsewhere}"
            elif near := _nearest(key, keys):
                advice = f"did you mean {near!r}?"
            else:
                advice = f"the keys here are {', '.join(keys)}"
            msg = f"unknown key {key!r}; {advice}"
            raise PolicyError(msg)
        if key == "clients" and isinstance(value, list):  # the short form
            continue
        if type(value) is not keys[key].type:  # a bool is an int, a date-time a date
            msg = f"{key}: expected {keys[key].expected}, got {_KINDS[type(value)]}"
            raise PolicyError(msg)


def _nearest(key: str, keys: dict[str, _Key]) -> str | None:
    return next(iter(difflib.get_close_matches(key.lower(), keys, n=1)), None)


# ---- one host ----------------------------------------------------------------


def _rule(pattern: str, value: object) -> PinSet | Unpinned:
    if isinstance(value, dict):
        _check_quotes(pattern, value)
    table = _table_of(value)
    if "unpinned" in table:
        _check_unpinned(table)
        return UNPINNED
    return _pinset(table, "write unpinned = true to leave the host without pins")


def _clients(value: object) -> PinSet:
    with _at("[clients]"):
        table = _table_of(value)
        if "unpinned" in table:
            msg = "unpinned is for hosts; leave [clients] out for no pins"
            raise PolicyError(msg)
        return _pinset(table, "leave [clients] out")


def _table_of(value: object) -> dict[str, Any]:
    """Return the table of a host or of clients, with its keys checked."""
    if isinstance(value, list):  # the short form
        value = {"pins": value}
    if not isinstance(value, dict):
        msg = f"expected {_PINS.expected}, or a table, got {_KINDS[type(value)]}"
        raise PolicyError(msg)
    _check_zone(value.get("expires"))
    _check_keys(value, _HOST, _TOP, "at the top of the file, above the first table")
    return value


def _pinset(table: dict[str, Any], otherwise: str) -> PinSet:
    if not (table.get("pins") or table.get("leaf") or table.get("ca")):
        msg = f"pins: there is no pin in pins, leaf or ca; add one, or {otherwise}"
        raise PolicyError(msg)
    return PinSet(**table)


def _check_unpinned(table: dict[str, Any]) -> None:
    if not table["unpinned"]:
        msg = "unpinned: expected true, got false; leave the key out for a pinned host"
        raise PolicyError(msg)
    others = [key for key in table if key != "unpinned"]
    if others:
        msg = (
            "unpinned = true leaves the host without pins, so it must be the only "
            f"key; remove it, or remove {', '.join(others)}"
        )
        raise PolicyError(msg)


def _check_zone(expires: object) -> None:
    """Refuse a date, and a date-time without an offset."""
    if isinstance(expires, dt.date) and getattr(expires, "tzinfo", None) is None:
        text = expires.isoformat()
        whole = text if isinstance(expires, dt.datetime) else text + "T00:00:00"
        msg = f"expires: {text} has no timezone; add Z for UTC: {whole}Z"
        raise PolicyError(msg)


# ---- quotes ------------------------------------------------------------------
# Without quotes, TOML splits a host at its dots: [hosts.api.example.com] is a table
# in a table in a table.


def _check_quotes(pattern: str, table: dict[str, Any]) -> None:
    """Refuse the pieces of a host without quotes."""
    for key, value in table.items():
        unknown_list = isinstance(value, list) and key not in _HOST
        if isinstance(value, dict) or (unknown_list and not _nearest(key, _HOST)):
            raise PolicyError(_name_in_quotes(key, f"{pattern}.{key}", value))
    # hosts.shop.ca = ["sha256/…"] would pin the host "shop", and shop.ca, in
    # Canada, would silently have no pins.
    if table.keys() == {"ca"} and re.fullmatch(r"[A-Za-z0-9_-]+", pattern):
        msg = (
            f"ca: without quotes, {pattern}.ca is the key ca of the host {pattern}; if "
            'you mean that, add mode = "enforce" to it; if not, write hosts.'
            + _quoted(f"{pattern}.ca")
        )
        raise PolicyError(msg)


def _name_in_quotes(key: str, host: str, value: object) -> str:
    """Return the error for *key*, which was meant to be part of a host."""
    kind = _KINDS[type(value)]
    while isinstance(value, dict) and not value.keys() & _HOST.keys():
        label, value = next(iter(value.items()), ("", None))
        if not isinstance(value, dict | list):
            break
        host += f".{label}"
    return (
        f"{key!r}: {kind} does not belong here; a host is named in quotes, "
        f"as in [hosts.{_quoted(host)}]"
    )


def _quoted(text: str) -> str:
    """Return *text* as a TOML string, with unprintable characters escaped."""
    return json.dumps(text, ensure_ascii=not text.isprintable())


# ---- writing -----------------------------------------------------------------


def _pinset_as_toml(pinset: PinSet) -> list[str]:
    lists = [
        name for name in ("pins", "leaf", "ca", "blocked") if getattr(pinset, name)
    ]
    lines = [f"{name} = {_pins_as_toml(getattr(pinset, name))}" for name in lists]
    # A table with the single key ca is refused: see _check_quotes.
    if pinset.mode != "enforce" or lists == ["ca"]:
        lines.append(f'mode = "{pinset.mode}"')
    if pinset.expires is not None:
        expires = pinset.expires.isoformat().replace("+00:00", "Z")
        lines += [f"expires = {expires}", f'after_expiry = "{pinset.after_expiry}"']
    return lines


def _pins_as_toml(pins: tuple[Pin, ...]) -> str:
    written = [f'"{pin}"' for pin in pins]
    if len(written) == 1:
        return f"[{written[0]}]"
    return "\n".join(["[", *(f"    {pin}," for pin in written), "]"])
