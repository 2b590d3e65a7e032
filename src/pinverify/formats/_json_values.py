"""Values of pinverify's JSON: those that a parser takes and we do not, and times."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from pinverify.errors import PolicyError
from pinverify.policy._printable import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.files._tables import Place

__all__ = [
    "NotJSONError",
    "check_text",
    "decoded",
    "key_twice",
    "moment_of",
    "tables_of",
    "told_constant",
    "told_twice",
    "with_times",
]


class NotJSONError(PolicyError):
    """Raised for a text that cannot be parsed: there is nothing else to find in it."""

    def __init__(self, message: str) -> None:
        """Take the message."""
        super().__init__(message, kind="syntax")


def decoded(
    text: str,
    name: str,
    of_pairs: Callable[[list[tuple[str, Any]]], object],
    of_constant: Callable[[str], object] | None = None,
) -> Any:  # noqa: ANN401 - any JSON
    """Parse JSON.

    Args:
        text: the JSON.
        name: of the file.
        of_pairs: makes an object of its keys and values.
        of_constant: makes a value of NaN or an infinity; they are floats without it.

    Raises:
        NotJSONError: it is not JSON.
        PolicyError: one of the functions raised it.
    """
    try:
        return json.loads(text, object_pairs_hook=of_pairs, parse_constant=of_constant)
    except RecursionError:
        msg = f"{name}: not JSON of a policy: nested too deeply"
        raise NotJSONError(msg) from None
    except json.JSONDecodeError as error:
        msg = (
            f"{name}: line {error.lineno}: not JSON: {error.msg} at column "
            f"{error.colno}; JSON has no comments, and no comma behind the last value"
        )
        raise NotJSONError(msg) from None
    except PolicyError:
        raise
    except ValueError:  # int() raises one for thousands of digits
        msg = f"{name}: not JSON of a policy: a number has thousands of digits"
        raise NotJSONError(msg) from None


def key_twice(pairs: list[tuple[str, Any]]) -> str:
    """Return the key that is there most often."""
    return Counter(key for key, _ in pairs).most_common(1)[0][0]


def told_twice(key: str) -> str:
    """Return the message for a key that is there twice."""
    return f"the key {shown(key)} is there twice; keep one of them"


def told_constant(name: str) -> str:
    """Return the message for NaN and infinity."""
    return f"not JSON: {name} is no value of JSON"


def check_text(text: str) -> None:
    """Refuse a string with half of a surrogate pair.

    Raises:
        PolicyError: it has one.
    """
    if text.isascii():
        return
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        msg = f"{shown(text)} has half of a surrogate pair; remove it"
        raise PolicyError(msg) from None


def with_times(document: object) -> dict[str, Any]:
    """Return a document whose texts of times have become date-times.

    Raises:
        PolicyError: it is no object, or a text is not a time.
    """
    if not isinstance(document, dict):
        msg = 'expected an object, as in {"version": 1, "hosts": {…}}'
        raise PolicyError(msg)
    for _, table in tables_of(document):
        if "expires" in table:
            table["expires"] = moment_of(table["expires"])
        if table.keys() == {"ca"}:  # a name in JSON has its quotes
            table["mode"] = "enforce"
    return document


def tables_of(document: dict[str, Any]) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the place and the table of each host, and of clients."""
    hosts = document.get("hosts")
    for pattern, table in hosts.items() if isinstance(hosts, dict) else ():
        if isinstance(table, dict):
            yield ("hosts", pattern), table
    if isinstance(document.get("clients"), dict):
        yield ("clients",), document["clients"]


def moment_of(value: object) -> object:
    """Return the date-time of a text; anything else is for the check of types.

    Raises:
        PolicyError: the text is not a time.
    """
    if not isinstance(value, str):
        return value
    try:
        if _TIME.fullmatch(value):
            return dt.datetime.fromisoformat(value)
    except ValueError:
        pass
    msg = f"expires: {shown(value)} is not a time, as 2027-01-31T00:00:00Z"
    raise PolicyError(msg, kind="expiry")


# RFC 3339; a time without an offset has an error of its own.
_TIME = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)?", re.ASCII
)
