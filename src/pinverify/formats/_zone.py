"""Zone files (RFC 1035, 5): the records of one, with owners that are complete names.

    $ORIGIN example.com.
    _443._tcp.www  3600 IN TLSA 3 1 1 ( 0123…
                                        cdef )

Nothing is followed out of the file, and nothing is generated: $INCLUDE and $GENERATE
are refused, because a record that they add might be one that counts.
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
_MISREAD = "TYPE5"  # a CNAME, whose data would be a name in hex
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
        origin: the name that relative names of its data end with, or None.
        type: in capitals.
        data: the words behind the type.
    """

    line: int
    owner: str
    origin: str | None
    type: str
    data: Sequence[str]


def records(
    text: str, types: set[str], origin: str | None, reading: Reading
) -> Iterator[Record]:
    """Yield the records of these types, and of types that nobody knows.

    One of those may be one of these that is misspelt. What is not understood is noted.

    Args:
        text: a zone file, or a part of one.
        types: in capitals.
        origin: the name that relative ones end with, or None.
        reading: collects the mistakes.
    """
    owner: tuple[str, str | None] | None = None  # with the origin of its own line
    for line, words in _entries(text, reading):
        where = f"line {line}"
        first, *rest = words
        if first.startswith("$"):
            if first.upper() == "$ORIGIN" and rest:
                origin = whole_name(rest[0], origin, where, reading)
            elif first.upper() != "$TTL":
                msg = f"{shown(first)} is not followed; write its records into the file"
                reading.mistake(where, msg)
            continue
        kind, data = _type_and_data(rest, where, reading)
        if first:
            owner = first, origin
        if not kind or (kind not in types and _is_known(kind)):
            continue
        if owner is None:
            reading.mistake(where, "the first record has no owner; write one")
            continue
        name = whole_name(*owner, where, reading)
        if name is not None:
            yield Record(line, name, origin, kind, data)


def whole_name(
    text: str, origin: str | None, where: str, reading: Reading
) -> str | None:
    """Return a complete name in lower case, without the last dot.

    Args:
        text: a name: relative, or with a dot at the end.
        origin: the name that relative ones end with, or None.
        where: its place.
        reading: collects the mistakes.
    """
    if text.endswith("."):
        return text[:-1].lower()
    if origin is None:
        msg = f"{shown(text)} is relative; give the zone (--origin), or write $ORIGIN"
        reading.mistake(where, msg)
        return None
    return origin if text == "@" else f"{text.lower()}.{origin}"


def _type_and_data(
    words: Sequence[str], where: str, reading: Reading
) -> tuple[str, Sequence[str]]:
    """Return the type behind a TTL and a class, and what follows."""
    at = 0
    while at < len(words) and at < 2:  # noqa: PLR2004 - in any order
        if words[at].upper() in _IN or _TTL.fullmatch(words[at]):
            pass
        elif _OTHER_CLASS.fullmatch(words[at].upper()):
            msg = f"the class {words[at]} has no pins; remove the record"
            reading.mistake(where, msg)
        else:
            break
        at += 1
    if at == len(words):
        reading.mistake(where, "a record without a type; write owner, IN, TLSA, data")
        return "", ()
    kind = words[at].upper()
    if not _TYPE.fullmatch(kind):
        msg = f"{shown(words[at])} is where a type belongs; write owner, IN, TLSA, data"
        reading.mistake(where, msg)
        return "", ()
    return kind, words[at + 1 :]


def _is_known(kind: str) -> bool:
    """Return whether a type has this name or number, and means what it says."""
    if kind in _KNOWN:
        return True
    return _TYPE_NUMBER.fullmatch(kind) is not None and kind != _MISREAD


def _entries(text: str, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """Yield the words of each entry, and the number of its first line.

    The first word is the owner, and empty where the line begins with a blank.
    """
    first, depth = 0, 0
    words: list[str] = []
    for number, line in lines_of(text):
        if not depth:
            first = number
            words = [""] if line[:1].isspace() else []
        depth = _add_words(line, words, depth)
        if depth not in {0, 1}:
            msg = (
                "brackets or quotes that do not fit, or a very long record; correct it"
            )
            reading.mistake(f"line {first}", msg)
            return
        if not depth and any(words):
            yield first, words
    if depth:
        reading.mistake(f"line {first}", "a bracket has no other end; add it")


def _add_words(line: str, words: list[str], depth: int) -> int:
    """Add the words of a line, and return the number of brackets that are open.

    The number is -1 if the line is not understood.
    """
    for match in _WORD.finditer(line):
        kind = match.lastgroup
        if kind == "bracket":
            depth += 1 if match[0] == "(" else -1
        elif kind in {"word", "quoted"}:
            words.append(match[0])
        if kind == "broken" or depth not in {0, 1} or len(words) > _MAX_WORDS:
            return -1
    return depth
