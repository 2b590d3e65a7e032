"""Files that are read: their bytes, and the shortest way from these to a policy."""

from __future__ import annotations

import binascii
from array import array
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify import policy  # a part is imported when it is used
from pinverify.core._library import DIGEST_LEN
from pinverify.errors import PolicyError
from pinverify.files import toml
from pinverify.files._digests import known_among
from pinverify.files._policy_tables import rules_of

if TYPE_CHECKING:
    from typing import Literal

    from pinverify.policy import Policy, Rules

__all__ = [
    "MAX_BYTES",
    "Columns",
    "bytes_of",
    "check_size",
    "columns_of",
    "policy_or_rules",
    "text_of",
]

MAX_BYTES = 2**30
"""The most that is read of a policy file: a million hosts are welcome."""


def bytes_of(name: str, max_bytes: int, kind: str) -> bytes:
    """Return the contents of a file.

    Args:
        name: its path.
        max_bytes: the most that it may have.
        kind: its format, for the message.

    Raises:
        PolicyError: it is larger.
        OSError: it cannot be read.
    """
    with Path(name).open("rb") as file:
        data = file.read(max_bytes + 1)
    check_size(data, name, max_bytes, kind)
    return data


def check_size(data: bytes, name: str, max_bytes: int, kind: str) -> None:
    """Refuse more bytes than a policy can have.

    Raises:
        PolicyError: there are more.
    """
    if len(data) > max_bytes:
        msg = (
            f"{name}: more than {max_bytes:,} bytes; no {kind} file of a "
            "policy is so large: is it another file?"
        )
        raise PolicyError(msg)


def text_of(data: bytes, name: str) -> str:
    """Return the text of a policy file.

    Raises:
        PolicyError: it is not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")  # keep line ends
    except UnicodeDecodeError as error:
        msg = (
            f"{name}: not UTF-8 at byte {error.start}; save a toml file as "
            "UTF-8; the format of a compiled policy is `compiled`"
        )
        raise PolicyError(msg, kind="syntax") from None


def policy_or_rules(data: bytes, name: str) -> Policy | Rules:
    """Return the policy of a file about which there is nothing to tell, or its rules.

    Raises:
        PolicyError: it has mistakes.
    """
    text = text_of(data, name)
    read = toml.read(text, name, lambda *each: columns_of(each[0]) or rules_of(*each))
    if not isinstance(read, Columns):
        return read
    found = read.policy() if read.is_ordinary() else None
    return found or toml.loads(text, name)


# ---- nothing but pins of keys ------------------------------------------------

# Most large files are that: a name, and two pins. An object for each of them takes far
# longer than the parser; columns go to the core as they are. What is anything else, or
# is wrong, is left to the readers that know all of it.

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
