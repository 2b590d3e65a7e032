"""Property lists of Apple, as XML: by plistlib, with duplicate keys refused."""

from __future__ import annotations

import difflib
import plistlib
import re
from typing import TYPE_CHECKING, Any
from xml.parsers.expat import ExpatError

from pinverify.errors import PolicyError, shown
from pinverify.formats._policy_reading import text_of

if TYPE_CHECKING:
    from pinverify.formats._policy_reading import Given, Reading

__all__ = ["checked", "has_wildcard", "parsed", "written"]

# Each tag, line and entity is an object for plistlib. With fewer bytes for each, they
# would be more than ten times as large as the file.
_BYTES_FOR_PIECE = 8
_FREE_PIECES = 4096
_MAX_HEAD = 4096  # bytes in which source code shows that it is none


SOURCE = "source code"
_OTHERS = {
    "source code in Objective-C": r"#import|@[\"{\[]|@implementation",
    "an OpenStep property list": r'\A\s*\{\s*"?\w+"?\s*=',
    SOURCE: r"(?m)^\s*(?:import|let|var|func|TrustKit)\b",
}


def kind_of(text: str) -> str:
    """Return what a text is that is no property list; empty if it may be one."""
    head = text.lstrip()[:_MAX_HEAD]
    if head.startswith("<"):
        is_part = head.startswith("<key>")
        return "a part of a property list, without <plist>" if is_part else ""
    return next((kind for kind in _OTHERS if re.search(_OTHERS[kind], head)), "")


class _Once(dict[str, Any]):
    """A dictionary that refuses a key that it has."""

    __slots__ = ()

    def __setitem__(self, key: str, value: object) -> None:
        if key in self:
            msg = f"the key {shown(key)} is there twice; keep one of them"
            raise PolicyError(msg, kind="twice")
        super().__setitem__(key, value)


def parsed(data: bytes, given: Given) -> dict[str, Any]:
    """Return the dictionary of a property list.

    Raises:
        PolicyError: it is binary, not XML, or no dictionary; or a key is there twice.
    """
    if data.startswith(b"bplist"):
        advice = "convert it: plutil -convert xml1 FILE"
        msg = f"{given.name}: this is a binary property list; {advice}"
        raise PolicyError(msg, kind="syntax")
    text = text_of(data, given, "property list")
    if kind := kind_of(text):
        msg = (
            f"{given.name}: this is {kind}, which is not read; write the dictionary as "
            "a property list in XML (plutil -convert xml1 does it) or as JSON"
        )
        raise PolicyError(msg, kind="syntax")
    num_pieces = text.count("<") + text.count("\n") + text.count("&")
    if num_pieces > _FREE_PIECES + len(text) // _BYTES_FOR_PIECE:
        msg = f"{given.name}: {num_pieces:,} pieces of a few bytes; this is no policy"
        raise PolicyError(msg, kind="syntax")
    try:
        found = plistlib.loads(
            text.encode("utf-8"), fmt=plistlib.FMT_XML, dict_type=_Once
        )
    except PolicyError as error:
        msg = f"{given.name}: {error}"
        raise PolicyError(msg, kind=error.kind) from None
    except ExpatError as error:
        msg = f"{given.name}: line {error.lineno}: not XML: {error}"
        raise PolicyError(msg, kind="syntax") from None
    except (plistlib.InvalidFileException, ValueError, TypeError, LookupError):
        # plistlib lets through what its converters raise.
        msg = f"{given.name}: not a property list; write one in XML"
        raise PolicyError(msg, kind="syntax") from None
    except AttributeError:  # of a date that it cannot read
        msg = f"{given.name}: not a property list: a <date> is not a time"
        raise PolicyError(msg, kind="syntax") from None
    if not isinstance(found, dict):
        msg = f"{given.name}: expected a property list with a <dict>"
        raise PolicyError(msg, kind="syntax")
    return found


def has_wildcard(domain: str, below: str, where: str, reading: Reading) -> bool:
    """Return True if a domain has an asterisk, and note that as a mistake.

    Args:
        domain: the domain.
        below: the key that covers the names below a domain.
        where: its place in the file.
        reading: collects the mistakes.
    """
    if "*" not in domain:
        return False
    msg = f"a domain has no '*'; write the name below it, and {below}"
    reading.mistake(where, msg, "host")
    return True


def checked(
    table: object, known: dict[str, type], where: str, reading: Reading
) -> dict[str, Any]:
    """Return the entries of *table* that have a known key and the right type.

    An unknown key is a notice: the other system passes over it, too.
    """
    if not isinstance(table, dict):
        reading.mistake(where, "expected a dictionary")
        return {}
    found = {}
    for key, value in table.items():
        expected = known.get(key)
        if expected is None:
            near = difflib.get_close_matches(key, known, n=1)
            advice = f"is it {near[0]}?" if near else f"the keys are {', '.join(known)}"
            reading.notice(where, f"unknown key {shown(key)} is left out; {advice}")
        elif type(value) is not expected and not (
            issubclass(expected, dict) and isinstance(value, dict)
        ):
            reading.mistake(where, f"{key}: expected {_KINDS[expected]}")
        else:
            found[key] = value
    return found


_KINDS = {bool: "a boolean", list: "an array", str: "a string", dict: "a dictionary"}


def written(document: dict[str, Any]) -> str:
    """Return the text of a property list."""
    return plistlib.dumps(document).decode("utf-8")
