"""pinverify's own policy format, in TOML; docs/policy-toml.md is its manual.

This file checks keys and types, and names types in the words of TOML. The meaning is
checked by `PinSet` and `Rules`, as for every format. In both cases the error begins
with file, table and key.
"""

from __future__ import annotations

import datetime as dt
import difflib
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.errors import PolicyError
from pinverify.policy import UNPINNED, PinSet, Rules, Unpinned
from pinverify.policy._rules import check_choice, read_pins

if TYPE_CHECKING:
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
    try:
        document = _parse(text)
    except PolicyError as error:
        msg = f"{name}: {error}"
        raise PolicyError(msg) from None
    return rules_of(document, name)


def rules_of(document: dict[str, Any], name: str) -> Rules:
    """Return the rules that the tables of a parsed policy file say.

    The arguments and the errors are those of `loads`.
    """
    where = name
    try:
        _check_top(document)
        unpinned = document.get("unpinned", "allow")
        check_choice("unpinned", unpinned, ("allow", "reject"))
        blocked = read_pins(document.get("blocked", ()), "blocked")
        clients: PinSet | None = None
        if "clients" in document:
            where = f"{name}: [clients]"
            clients = _clients(document["clients"])
        hosts: dict[str, PinSet | Unpinned] = {}
        origins: dict[str, str] = {}
        for pattern, value in document.get("hosts", {}).items():
            where = origins[pattern] = f"{name}: [hosts.{_quoted(pattern)}]"
            hosts[pattern] = _rule(pattern, value)
        where = f"{name}: [hosts]"
        return Rules(
            hosts, unpinned=unpinned, blocked=blocked, clients=clients, origins=origins
        )
    except PolicyError as error:
        msg = f"{where}: {error}"
        raise PolicyError(msg) from None


def dumps(rules: Rules) -> str:
    """Write rules as the text of a policy file: ``loads(dumps(rules)) == rules``.

    Raises:
        PolicyError: there are no rules.
        TypeError: *rules* are not `Rules`.
    """
    if not isinstance(rules, Rules):
        msg = f"expected Rules, got {type(rules).__name__}; of a Policy write its rules"
        raise TypeError(msg)
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
    """The types that a key's value may have, and their description."""

    types: tuple[type, ...]
    expected: str


_PINS = _Key((list,), 'a list of pins, as in ["sha256/…"]')
_ALLOW_OR_REJECT = _Key((str,), '"allow" or "reject"')

_TOP = {
    "version": _Key((int,), str(_VERSION)),
    "unpinned": _ALLOW_OR_REJECT,
    "blocked": _PINS,
    "hosts": _Key((dict,), 'a table for each host, as in [hosts."api.example.com"]'),
    "clients": _Key((dict, list), "a table, as in [clients]"),
}
_HOST = {
    "pins": _PINS,
    "leaf": _PINS,
    "ca": _PINS,
    "blocked": _PINS,
    "mode": _Key((str,), '"enforce" or "report"'),
    "expires": _Key((dt.datetime,), "a date-time, as in 2027-01-31T00:00:00Z"),
    "after_expiry": _ALLOW_OR_REJECT,
    "unpinned": _Key(
        (bool,), 'true ("allow" or "reject" for all hosts belongs at the top)'
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
    type(None): "null",  # of JSON, whose tables are these
}


# ---- the file ----------------------------------------------------------------


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
        raise PolicyError(_not_toml(str(error))) from None


def _not_toml(problem: str) -> str:
    advice = "pins, and hosts with dots or '*', need quotes"
    if "twice" in problem or "overwrite" in problem:
        advice = "a key is there twice; keep one of them"
    return f"not TOML: {problem}; {advice}"


def _check_top(document: dict[str, Any]) -> None:
    version = document.get("version", _VERSION)
    # Checked first, because a later version may have unknown keys.
    if type(version) is int and version != _VERSION:
        msg = (
            f"version: this pinverify reads version {_VERSION} only; for a later "
            "version, install a later pinverify"
        )
        raise PolicyError(msg)
    _check_keys(document, _TOP)
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
    table: dict[str, Any], keys: dict[str, _Key], pattern: str | None = None
) -> None:
    """Check that the keys of *table* are known, and the types of their values.

    Args:
        table: the top of the file, or the table of a host or of clients.
        keys: the known ones.
        pattern: the host of the table, if it has one.
    """
    for key, value in table.items():
        # Not isinstance: a bool is an int, a date-time is a date.
        if key not in keys or type(value) not in keys[key].types:
            raise PolicyError(_complaint(key, value, keys, pattern))


def _complaint(
    key: str, value: object, keys: dict[str, _Key], pattern: str | None
) -> str:
    """Return the message for a key that is unknown, or whose value has a wrong type."""
    near = next(iter(difflib.get_close_matches(key.lower(), keys, n=1)), None)
    if keys is _TOP and isinstance(value, dict) and not near:
        return _name_in_quotes(key, key, value)
    if pattern is not None and (
        isinstance(value, dict) or (isinstance(value, list) and not near)
    ):
        return _name_in_quotes(key, f"{pattern}.{key}", value)
    if key in keys:
        return f"{key}: expected {keys[key].expected}, got {_KINDS[type(value)]}"
    advice = f"the keys here are {', '.join(keys)}"
    if key in _HOST:
        advice = 'it belongs in the table of a host, [hosts."…"]'
    elif key in _TOP:
        advice = "it belongs at the top of the file, above the first table"
    elif near:
        advice = f"did you mean {near!r}?"
    return f"unknown key {key!r}; {advice}"


# ---- one host ----------------------------------------------------------------


def _rule(pattern: str, value: object) -> PinSet | Unpinned:
    table = _table_of(value, pattern)
    # hosts.shop.ca = ["sha256/…"] would pin the host "shop", and shop.ca, in
    # Canada, would silently have no pins.
    if isinstance(value, dict) and table.keys() == {"ca"}:
        _check_that_ca_is_a_key(pattern)
    if "unpinned" in table:
        _check_unpinned(table)
        return UNPINNED
    return _pinset(table, "write unpinned = true to leave the host without pins")


def _clients(value: object) -> PinSet:
    table = _table_of(value, None)
    if "unpinned" in table:
        msg = "unpinned is for hosts; leave [clients] out for no pins"
        raise PolicyError(msg)
    return _pinset(table, "leave [clients] out")


def _table_of(value: object, pattern: str | None) -> dict[str, Any]:
    """Return the table of a host or of clients, with its keys checked."""
    if isinstance(value, list):  # the short form
        value = {"pins": value}
    if not isinstance(value, dict):
        msg = f"expected {_PINS.expected}, or a table, got {_KINDS[type(value)]}"
        raise PolicyError(msg)
    expires = value.get("expires")
    if isinstance(expires, dt.date) and getattr(expires, "tzinfo", None) is None:
        raise PolicyError(_without_zone(expires))
    _check_keys(value, _HOST, pattern)
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


def _without_zone(expires: dt.date) -> str:
    """Return the message for a date, or a date-time without an offset."""
    text = expires.isoformat()
    whole = text if isinstance(expires, dt.datetime) else text + "T00:00:00"
    return f"expires: {text} has no timezone; add Z for UTC: {whole}Z"


# ---- quotes ------------------------------------------------------------------
# Without quotes, TOML splits a host at its dots: [hosts.api.example.com] is a table
# in a table in a table.


def _check_that_ca_is_a_key(pattern: str) -> None:
    """Refuse the key ca where it may be a piece of a host without quotes."""
    if re.fullmatch(r"[A-Za-z0-9_-]+", pattern):
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
    return _ENCODE_PLAIN(text) if text.isprintable() else json.dumps(text)


_ENCODE_PLAIN = json.JSONEncoder(ensure_ascii=False).encode


# ---- writing -----------------------------------------------------------------


def _pinset_as_toml(pinset: PinSet) -> list[str]:
    lists = [
        name for name in ("pins", "leaf", "ca", "blocked") if getattr(pinset, name)
    ]
    lines = [f"{name} = {_pins_as_toml(getattr(pinset, name))}" for name in lists]
    # A table with the single key ca is refused: see _check_that_ca_is_a_key.
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
