"""Property lists of Apple in XML, read by plistlib; duplicate keys are refused."""

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

# plistlib makes an object of each tag, line and entity. With fewer bytes for each, the
# objects would be more than ten times as large as the file.
_BYTES_FOR_PIECE = 8
_FREE_PIECES = 4096
_MAX_HEAD = 4096  # characters, enough to recognise source code


SOURCE = "source code"
_OTHERS = {
    "source code in Objective-C": r"#import|@[\"{\[]|@implementation",
    "an OpenStep property list": r'\A\s*\{\s*"?\w+"?\s*=',
    SOURCE: r"(?m)^\s*(?:import|let|var|func|TrustKit)\b",
}


def kind_of(text: str) -> str:
    """Return what a text is instead of a property list; empty if it may be one."""
    head = text.lstrip()[:_MAX_HEAD]
    if head.startswith("<"):
        is_part = head.startswith("<key>")
        return "a part of a property list, without <plist>" if is_part else ""
    return next((kind for kind in _OTHERS if re.search(_OTHERS[kind], head)), "")


class _Once(dict[str, Any]):
    """A dictionary that refuses a key that it already has."""

    __slots__ = ()

    def __setitem__(self, key: str, value: object) -> None:
        if key in self:
            msg = f"the key {shown(key)} is there twice; keep one of them"
            raise PolicyError(msg, kind="twice")
        super().__setitem__(key, value)


def parsed(data: bytes, given: Given) -> dict[str, Any]:
    """Return the dictionary of a property list."""
    if data.startswith(b"bplist"):
        why = "this is a binary property list; convert it: plutil -convert xml1 FILE"
        given.refuse(why, kind="syntax")
    text = text_of(data, given, "property list")
    if kind := kind_of(text):
        why = (
            f"this is {kind}, which is not read; write the dictionary as a property "
            "list in XML (plutil -convert xml1 does it) or as JSON"
        )
        given.refuse(why, kind="syntax")
    num_pieces = text.count("<") + text.count("\n") + text.count("&")
    if num_pieces > _FREE_PIECES + len(text) // _BYTES_FOR_PIECE:
        why = f"{num_pieces:,} pieces of a few bytes; this is no policy"
        given.refuse(why, kind="syntax")
    document = text.lstrip()  # as Apple does; XML begins with its declaration
    try:
        found = plistlib.loads(
            document.encode("utf-8"), fmt=plistlib.FMT_XML, dict_type=_Once
        )
    except PolicyError as error:
        given.refuse(str(error), kind=error.kind)
    except ExpatError as error:
        skipped = text.removesuffix(document).count("\n")
        given.refuse(f"not XML: {error}", skipped + error.lineno, "syntax")
    except (plistlib.InvalidFileException, ValueError, TypeError, LookupError):
        # plistlib does not catch what its converters raise.
        given.refuse("not a property list; write one in XML", kind="syntax")
    except AttributeError:  # for a date that it cannot read
        why = "not a property list: a <date> is not a time"
        given.refuse(why, kind="syntax")
    if not isinstance(found, dict):
        given.refuse("expected a property list with a <dict>", kind="syntax")
    return found


def has_wildcard(domain: str, below: str, where: str, reading: Reading) -> bool:
    """Return True and note a mistake if a domain has an asterisk.

    *below* is the key with which a domain covers the names below it, for the message.
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

    An unknown key is a notice, because the other system ignores it, too.
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
