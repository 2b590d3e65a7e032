"""The base class of all errors, and two of them; `PinningError` is in `policy`."""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["DERError", "Kind", "PinverifyError", "PolicyError"]

Kind: TypeAlias = Literal[
    "", "syntax", "pin", "host", "expiry", "key", "twice", "digest"
]
"""The kinds of mistakes in policies that `lint` gives codes of their own."""


class PinverifyError(Exception):
    """Base class of all errors that pinverify raises."""

    __module__ = "pinverify"


class DERError(PinverifyError, ValueError):
    """Raised for bytes that are not strict DER; the message names the field."""

    __module__ = "pinverify"


class PolicyError(PinverifyError, ValueError):
    """Raised for a wrong pin, host, rule or policy; the message says where.

    Attributes:
        kind: of the mistake, as docs/lint.md lists them; empty for others, and for
            mistakes of several kinds together.
    """

    __module__ = "pinverify"

    def __init__(self, *args: object, kind: Kind = "") -> None:
        """Take the message."""
        super().__init__(*args)
        self.kind: Kind = kind
