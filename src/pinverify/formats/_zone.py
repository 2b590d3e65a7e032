"""Records of a zone file (RFC 1035, 5), with complete names as owners.

    $ORIGIN example.com.
    _443._tcp.www  3600 IN TLSA 3 1 1 ( 0123…
                                        cdef )

$INCLUDE is not followed, and $GENERATE is not executed: both are refused, because a
record that they would add might count.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pinverify.errors import shown
from pinverify.formats._policy_reading import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pinverify.formats._policy_reading import Reading

__all__ = ["Record", "records", "whole_name"]

_MAX_WORDS = 1024  # of a record: a whole certificate in lines of 64 digits has 100
_WORD = re.compile(
    r"""
      [ \t\f\v]+
    | (?P<comment>;.*)
    | (?P<bracket>[()])
    | (?P<quoted>"(?:[^"\\]|\\.)*+")
    | (?P<word>(?:[^ \t\f\v;()"\\]|\\.)++)
    | (?P<broken>.)
    """,
    re.VERBOSE,
)
_TTL = re.compile(r"(?:[0-9]++[smhdw]?+)++", re.ASCII | re.IGNORECASE)
_IN = {"IN", "CLASS1"}  # RFC 3597, 5: a class and a type may be written as a number
_OTHER_CLASS = re.compile(r"CH|HS|CS|CLASS(?:0|[1-9][0-9]{0,4})", re.ASCII)
_TYPE = re.compile(r"[A-Z][A-Z0-9-]*+", re.ASCII)
_TYPE_NUMBER = re.compile(r"TYPE(?:0|[1-9][0-9]{0,4})", re.ASCII)
_MISREAD = "TYPE5"  # a CNAME with its name in hex: not skipped, but a mistake
_KNOWN = frozenset(
    """
    A A6 AAAA AFSDB AMTRELAY APL ATMA AVC BRID CAA CDNSKEY CDS CERT CLA CNAME CSYNC
    DHCID DLV DNAME DNSKEY DOA DS DSYNC EID EUI48 EUI64 GID GPOS HHIT HINFO HIP HTTPS
    IPN IPSECKEY ISDN KEY KX L32 L64 LOC LP MB MD MF MG MINFO MR MX NAPTR NID NIMLOC
    NINFO NS NSAP NSAP-PTR NSEC NSEC3 NSEC3PARAM NULL NXNAME NXT OPENPGPKEY OPT PTR PX
    RESINFO RKEY RP RRSIG RT SIG SINK SMIMEA SOA SPF SRV SSHFP SVCB TA TALINK TLSA TXT
    UID UINFO UNSPEC URI WALLET WKS X25 ZONEMD
    """.split()  # noqa: SIM905 - IANA's registry, which is long
)


class Record(NamedTuple):
    """A record.

    Attributes:
        line: the number of the line where it begins.
        owner: a complete name in lower case, without the last dot.
        origin: the name to append to relative names in its data, or None.
        type: the type in capitals.
        data: the words after the type.
    """

    line: int
    owner: str
    origin: str | None
    type: str
    data: Sequence[str]


def records(
    text: str, types: set[str], origin: str | None, reading: Reading
) -> Iterator[Record]:
    """Yield the records of *types*, and of unknown types, which may be misspelt.

    Types are in capitals. *origin* is appended to relative names. Anything that is not
    understood is a mistake.
    """
    owner: tuple[str, str | None] | None = None  # with the origin in force on its line
    for line, words in _entries(text, reading):
        first, *rest = words
        if first.startswith("$"):
            if first.upper() == "$ORIGIN" and rest:
                origin = whole_name(rest[0], origin, line, reading)
            elif first.upper() != "$TTL":
                msg = f"{shown(first)} is not followed; write its records into the file"
                reading.mistake(line, msg)
            continue
        kind, data = _type_and_data(rest, line, reading)
        if first:
            owner = first, origin
        is_number = _TYPE_NUMBER.fullmatch(kind) and kind != _MISREAD
        if not kind or (kind not in types and (kind in _KNOWN or is_number)):
            continue
        if owner is None:
            reading.mistake(line, "the first record has no owner; write one")
            continue
        name = whole_name(*owner, line, reading)
        if name is not None:
            yield Record(line, name, origin, kind, data)


def whole_name(
    text: str, origin: str | None, line: int, reading: Reading
) -> str | None:
    """Return a complete name in lower case, without the last dot.

    *origin* is appended to a relative name; if it is None, such a name is a mistake.
    """
    if text.endswith("."):
        return text[:-1].lower()
    if origin is None:
        msg = f"{shown(text)} is relative; give the zone (--origin), or write $ORIGIN"
        reading.mistake(line, msg)
        return None
    return origin if text == "@" else f"{text.lower()}.{origin}"


def _type_and_data(
    words: Sequence[str], line: int, reading: Reading
) -> tuple[str, Sequence[str]]:
    """Return the type after a TTL and a class, and the words after it."""
    at = 0
    while at < len(words) and at < 2:  # noqa: PLR2004 - in any order
        if words[at].upper() in _IN or _TTL.fullmatch(words[at]):
            pass
        elif _OTHER_CLASS.fullmatch(words[at].upper()):
            msg = f"the class {words[at]} has no pins; remove the record"
            reading.mistake(line, msg)
        else:
            break
        at += 1
    if at == len(words):
        reading.mistake(line, "a record without a type; write owner, IN, TLSA, data")
        return "", ()
    kind = words[at].upper()
    if not _TYPE.fullmatch(kind):
        msg = f"{shown(words[at])} is where a type belongs; write owner, IN, TLSA, data"
        reading.mistake(line, msg)
        return "", ()
    return kind, words[at + 1 :]


def _entries(text: str, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each entry, and the number of its first line.

    The first word is the owner; it is empty if the line begins with a blank.
    """
    first, depth = 0, 0
    words: list[str] = []
    for number, line in lines_of(text):
        if not depth:
            first = number
            words = [""] if line[:1].isspace() else []
        for match in _WORD.finditer(line):
            kind = match.lastgroup
            if kind == "bracket":
                depth += 1 if match[0] == "(" else -1
            elif kind in {"word", "quoted"}:
                words.append(match[0])
            if kind == "broken" or depth not in {0, 1} or len(words) > _MAX_WORDS:
                msg = "brackets or quotes that do not fit, or a very long record"
                reading.mistake(first, f"{msg}; correct it")
                return
        if not depth and any(words):
            yield first, words
    if depth:
        reading.mistake(first, "a bracket has no other end; add it")
