"""Policy files with nothing but pins of keys, read as columns.

Most large files are that: a name, and two pins. An object for each of them takes far
longer than the parser; columns go to the core as they are. What is anything else, or
is wrong, is left to the readers that know all of it.
"""

from __future__ import annotations

import binascii
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify import policy  # a part is imported when it is used
from pinverify.core._library import DIGEST_LEN
from pinverify.errors import PolicyError
from pinverify.files._digests import known_among

if TYPE_CHECKING:
    from typing import Literal

    from pinverify.policy import Policy

__all__ = ["Columns", "columns_of"]

_PREFIX = "sha256/"
_LEAST_PINS = 2
_TEXT_LEN = len(_PREFIX) + 44  # base64 of 32 bytes


class Columns(NamedTuple):
    """Hosts, in the order of their names, and the digests that each of them pins.

    Attributes:
        hosts: patterns, as they are written.
        pins: digests, back to back.
        ends: host i has pins ends[i] to ends[i + 1].
        unpinned: "allow" or "reject" all other hosts.
    """

    hosts: list[str]
    pins: bytes
    ends: array[int]
    unpinned: Literal["allow", "reject"]

    def policy(self) -> Policy | None:
        """Return the policy; None if a host is not as it should be written."""
        try:
            return policy.Policy.from_columns(
                self.hosts, self.pins, pin_offsets=self.ends, unpinned=self.unpinned
            )
        except PolicyError:
            return None

    def is_ordinary(self) -> bool:
        """Return True if there is nothing to tell about any rule.

        Each has two pins or more, and `known_among` knows none of them.
        """
        starts = range(0, len(self.pins), DIGEST_LEN)
        return not known_among([self.pins[at : at + DIGEST_LEN] for at in starts])


def columns_of(document: dict[str, Any]) -> Columns | None:
    """Return the columns of a policy file; None if it has anything else in it.

    Args:
        document: the tables of pinverify's own format.
    """
    if not {"version", "hosts"} <= document.keys() <= {"version", "hosts", "unpinned"}:
        return None
    tables, unpinned = document["hosts"], document.get("unpinned", "allow")
    if (
        type(document["version"]) is not int
        or document["version"] != 1
        or unpinned not in {"allow", "reject"}
        or not isinstance(tables, dict)
        or not tables
    ):
        return None
    hosts = sorted(tables)
    texts: list[str] = []
    ends = array("Q", [0])
    for host in hosts:
        table = tables[host]
        pins = table.get("pins") if type(table) is dict and len(table) == 1 else None
        # One pin alone is a matter of `lint`, a pin that is there twice of the reader.
        if (
            type(pins) is not list
            or len(pins) < _LEAST_PINS
            or len({*map(str, pins)}) < len(pins)
        ):
            return None
        texts += pins
        ends.append(len(texts))
    found = _digests(texts)
    return None if found is None else Columns(hosts, found, ends, unpinned)


def _digests(texts: list[Any]) -> bytes | None:
    """Return the digests of pins of keys; None if one is written in another way."""
    found = []
    for text in texts:
        if type(text) is not str or len(text) != _TEXT_LEN or text[:7] != _PREFIX:
            return None
        try:
            digest = binascii.a2b_base64(text[7:], strict_mode=True)
        except ValueError:
            return None
        if len(digest) != DIGEST_LEN:
            return None
        found.append(digest)
    joined = b"".join(found)
    # Bits beyond the end have to be zero: the same text comes back.
    again = (binascii.b2a_base64(digest, newline=False) for digest in found)
    if any(text[7:].encode() != each for text, each in zip(texts, again, strict=True)):
        return None
    return joined
