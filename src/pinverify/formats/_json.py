"""pinverify's own format in JSON: the tables of docs/policy-toml.md, and fast to read.

Programs write it, programs read it. Duplicate keys and lone surrogates are refused,
and so is a text that would take far more memory than its size.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
from pinverify.formats._losses import Dumped
from pinverify.formats._near_pins import shown
from pinverify.formats._reading import Loaded, text_of
from pinverify.formats.toml import rules_of
from pinverify.policy import PinSet
from pinverify.policy._rules import LISTS

if TYPE_CHECKING:
    from pinverify.formats._reading import Given
    from pinverify.policy import Pin, Rules

__all__ = ["dumps", "loads", "parsed"]


def loads(data: bytes, given: Given) -> Loaded:
    """Read rules from JSON.

    Raises:
        PolicyError: the text has a mistake; the message says where, and what to write.
    """
    document = parsed(text_of(data, given, "policy"), given.name)
    if not isinstance(document, dict):
        msg = (
            f'{given.name}: expected an object, as in {{"version": 1, "hosts": {{…}}}}'
        )
        raise PolicyError(msg)
    hosts = document.get("hosts")
    tables = list(hosts.values()) if isinstance(hosts, dict) else []
    for table in (*tables, document.get("clients")):
        if isinstance(table, dict) and "expires" in table:
            table["expires"] = _moment(table["expires"], given.name)
    return Loaded(rules_of(document, given.name))


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
    num_values = sum(text.count(mark) for mark in _BEFORE_VALUES)
    if num_values > _FREE_VALUES + len(text) // _BYTES_FOR_VALUE:
        msg = f"{name}: {num_values:,} values of a few bytes each; this is no policy"
        raise PolicyError(msg)
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_constant=_no_constant
        )
    except RecursionError:
        msg = f"{name}: not JSON of a policy: nested too deeply"
        raise PolicyError(msg) from None
    except PolicyError as error:
        msg = f"{name}: {error}"
        raise PolicyError(msg) from None
    except json.JSONDecodeError as error:
        msg = (
            f"{name}: line {error.lineno}: not JSON: {error.msg} at column "
            f"{error.colno}; JSON has no comments, and no comma behind the last value"
        )
        raise PolicyError(msg) from None
    except ValueError:  # int() raises one for thousands of digits
        msg = f"{name}: not JSON of a policy: a number has thousands of digits"
        raise PolicyError(msg) from None
    if "\\u" in text:  # else they could not stand in UTF-8
        _check_unicode(document, name)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object; a key that is there twice would silently replace the first."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        msg = f"the key {shown(twice)} is there twice; keep one of them"
        raise PolicyError(msg)
    return found


def _no_constant(name: str) -> None:
    msg = f"not JSON: {name} is no value of JSON"
    raise PolicyError(msg)


def _check_unicode(document: object, name: str) -> None:
    """Refuse strings that no encoding can write."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str) and not value.isascii():
            try:
                value.encode("utf-8")
            except UnicodeEncodeError:
                msg = f"{name}: {shown(value)} has half of a surrogate pair; remove it"
                raise PolicyError(msg) from None


def _moment(value: object, name: str) -> object:
    """Return the date-time of a text; anything else is for the check of types."""
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return dt.datetime.fromisoformat(value)
    except ValueError:
        pass
    msg = f"{name}: expires: {shown(value)} is not a time, as 2027-01-31T00:00:00Z"
    raise PolicyError(msg)


# RFC 3339; a time without an offset has an error of its own.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)


# ---- writing -----------------------------------------------------------------------


def _table(pinset: PinSet) -> dict[str, Any]:
    table: dict[str, Any] = {
        name: _texts(getattr(pinset, name)) for name in LISTS if getattr(pinset, name)
    }
    # A table with the single key ca is refused in TOML, where it may be a host.
    if pinset.mode != "enforce" or table.keys() == {"ca"}:
        table["mode"] = pinset.mode
    if pinset.expires is not None:
        table["expires"] = pinset.expires.isoformat().replace("+00:00", "Z")
        table["after_expiry"] = pinset.after_expiry
    return table


def _texts(pins: tuple[Pin, ...]) -> list[str]:
    return [str(pin) for pin in pins]
