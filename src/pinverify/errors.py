"""The base class of all errors, and two of them; `PinningError` is in `policy`."""

from __future__ import annotations

__all__ = ["DERError", "PinverifyError", "PolicyError"]


class PinverifyError(Exception):
    """Base class of all errors that pinverify raises."""

    __module__ = "pinverify"


class DERError(PinverifyError, ValueError):
    """Raised for bytes that are not strict DER; the message names the field."""

    __module__ = "pinverify"


class PolicyError(PinverifyError, ValueError):
    """Raised for a wrong pin, host, rule or policy; the message says where."""

    __module__ = "pinverify"
