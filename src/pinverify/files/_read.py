"""Files that are read: never more bytes than a policy can have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pinverify.errors import PolicyError
from pinverify.files import toml
from pinverify.files._columns import Columns, columns_of
from pinverify.files._tables import rules_of

if TYPE_CHECKING:
    from pinverify.policy import Policy, Rules

__all__ = ["MAX_BYTES", "bytes_of", "check_size", "policy_or_rules", "text_of"]

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
