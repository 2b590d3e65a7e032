"""The errors of pinverify that need nothing else. `PinningError` needs a report."""

from __future__ import annotations

__all__ = ["DERError", "PinverifyError", "PolicyError"]


class PinverifyError(Exception):
    """Base class of all errors that pinverify raises."""


class DERError(PinverifyError, ValueError):
    """Bytes are not one strict-DER certificate; the message names the field."""


class PolicyError(PinverifyError, ValueError):
    """A pin, a host, a rule or a policy file is wrong; the message says where."""
