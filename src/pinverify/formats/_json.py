"""pinverify's own format in JSON: the tables of docs/policy-toml.md, and fast to read.

Programs write it, programs read it. Duplicate keys and lone surrogates are refused,
and so is a text that would take far more memory than its size.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
from pinverify.files._columns import columns_of
from pinverify.files._tables import all_mistakes, rules_of
from pinverify.formats._json_mistakes import look_again
from pinverify.formats._json_values import (
    NotJSONError,
    check_text,
    decoded,
    key_twice,
    told_constant,
    told_twice,
    with_times,
)
from pinverify.formats._losses import Dumped
from pinverify.formats._reading import Loaded, text_of
from pinverify.policy import PinSet
from pinverify.policy._rules import LISTS

if TYPE_CHECKING:
    from pinverify.files._columns import Columns
    from pinverify.formats._reading import Given
    from pinverify.policy import Pin, Rules

__all__ = ["compiles", "dumps", "loads", "parsed"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read rules from JSON.

    Raises:
        PolicyError: the text has a mistake; the message says where, and what to write.
    """
    text = text_of(data, given, "policy")
    try:
        return Loaded(rules_of(with_times(_parsed(text, given.name)), given.name))
    except NotJSONError:
        raise
    except PolicyError as error:
        first = error
    raise _all_mistakes(text, given.name, first, tables=True)


def compiles(data: bytes, given: Given) -> Columns | Loaded:
    """Read JSON that is to be compiled; as columns, where it can be.

    Raises:
        PolicyError: as in `loads`.
    """
    return _columns(text_of(data, given, "policy")) or loads(data, given)


def _columns(text: str) -> Columns | None:
    """Return the columns of a text; None if it has, or may have, anything else in it.

    The parser is not told to look at each object, which takes far longer than all the
    rest. So a key that is there twice shows in another way: there are more colons than
    keys, since no name or pin has one but an address.
    """
    if "\\" in text or _has_too_many_values(text):
        return None
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = columns_of(document) if isinstance(document, dict) else None
    if found is None:
        return None
    num_keys = len(document) + 2 * len(found.hosts)
    in_names = sum(host.count(":") for host in found.hosts)
    return found if text.count(":") == num_keys + in_names else None


def dumps(rules: Rules, _: Given) -> Dumped:
    """Write rules as JSON: reading it gives equal rules."""
    document: dict[str, Any] = {"version": 1}
    if rules.unpinned != "allow":
        document["unpinned"] = rules.unpinned
    if rules.blocked:
        document["blocked"] = _texts(rules.blocked)
    if rules.clients is not None:
        document["clients"] = _table(rules.clients)
    document["hosts"] = {
        pattern: _table(value) if isinstance(value, PinSet) else {"unpinned": True}
        for pattern, value in sorted(rules.hosts.items())
    }
    if not (rules.hosts or rules.blocked or rules.clients):
        msg = "there are no rules to write; add a host"
        raise PolicyError(msg)
    return Dumped(json.dumps(document, indent=1) + "\n")


# ---- reading -----------------------------------------------------------------------

# Every value of JSON is behind one of these. With fewer bytes for a value, the objects
# that Python makes are more than ten times as large as the text.
_BEFORE_VALUES = "[{,:"
_BYTES_FOR_VALUE = 8
_FREE_VALUES = 4096


def parsed(text: str, name: str) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON from a stranger.

    Raises:
        PolicyError: it is not JSON, a key is there twice, a string is not Unicode, or
            it is made of very many very small values.
    """
    try:
        return _parsed(text, name)
    except NotJSONError:
        raise
    except PolicyError as error:
        first = error
    raise _all_mistakes(text, name, first, tables=False)


def _all_mistakes(
    text: str, name: str, first: PolicyError, *, tables: bool
) -> PolicyError:
    """Return the error with all mistakes of a text that is JSON."""
    first.__traceback__ = first.__context__ = None  # they hold the whole document
    return all_mistakes(
        look_again(text, name, tables=tables), lambda _: {}, name, first
    )


def _has_too_many_values(text: str) -> bool:
    num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
    return num_values > _FREE_VALUES + len(text) // _BYTES_FOR_VALUE


def _parsed(text: str, name: str) -> Any:  # noqa: ANN401 - any JSON
    if _has_too_many_values(text):
        num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
        msg = f"{name}: {num_values:,} values of a few bytes each; this is no policy"
        raise NotJSONError(msg)
    document = decoded(text, name, _object, _no_constant)
    if "\\u" in text:  # else they could not stand in UTF-8
        _check_unicode(document)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a key that is there twice would silently replace the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise PolicyError(told_twice(key_twice(pairs)))
    return found


def _no_constant(name: str) -> None:
    raise PolicyError(told_constant(name))


def _check_unicode(document: object) -> None:
    """Refuse strings that no encoding can write."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            check_text(value)


# ---- writing -----------------------------------------------------------------------


def _table(pinset: PinSet) -> dict[str, Any]:
    table: dict[str, Any] = {
        name: _texts(getattr(pinset, name)) for name in LISTS if getattr(pinset, name)
    }
    if pinset.mode != "enforce":
        table["mode"] = pinset.mode
    if pinset.expires is not None:
        table["expires"] = pinset.expires.isoformat().replace("+00:00", "Z")
        table["after_expiry"] = pinset.after_expiry
    return table


def _texts(pins: tuple[Pin, ...]) -> list[str]:
    return [str(pin) for pin in pins]
