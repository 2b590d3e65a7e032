"""The errors of pinverify, and how to find one in another library's wrapping."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pinverify.report import Report

__all__ = [
    "DERError",
    "PinningError",
    "PinverifyError",
    "PolicyError",
    "find_pinning_error",
]

# X509_V_ERR_APPLICATION_VERIFICATION: a check beyond OpenSSL's own said no.
_VERIFY_CODE = 50


class PinverifyError(Exception):
    """What every error of this package is."""


class DERError(PinverifyError, ValueError):
    """Bytes are not one strict-DER certificate; the message names the field."""


class PolicyError(PinverifyError, ValueError):
    """A pin, a host, a rule or a policy file is wrong; the message says where."""


class PinningError(PinverifyError, ssl.SSLCertVerificationError):
    """A peer is rejected: the connection is not to be used.

    It is an `ssl.SSLCertVerificationError`, so what handles a failed certificate
    check today handles this. Its attributes are set as OpenSSL's errors have
    them: ``errno`` 1, ``library``, ``reason``, ``verify_code`` and
    ``verify_message``.

    Attributes:
        report: the decision, or None if something failed before there was one.
    """

    report: Report | None

    def __init__(
        self, errno: int, message: str, *, report: Report | None = None
    ) -> None:
        """Keep *message*, which a person will read, and the *report* behind it.

        Only its first line becomes an argument: libraries look for words of
        OpenSSL's in those, and the rest has the subjects that a peer has chosen.
        """
        headline = message.partition("\n")[0]
        super().__init__(errno, headline)
        self.report = report
        self._message = message
        self.library = "PINVERIFY"
        self.reason = "PINNING_FAILED"
        self.verify_code = _VERIFY_CODE
        self.verify_message = headline

    @classmethod
    def of(cls, message: str, report: Report | None = None) -> Self:
        """Make the error with the number that ssl's errors of this kind have."""
        return cls(ssl.SSLErrorNumber.SSL_ERROR_SSL, message, report=report)

    def __str__(self) -> str:
        """Return the whole message."""
        return self._message


def find_pinning_error(error: BaseException | None) -> PinningError | None:
    """Find the `PinningError` that a client library has wrapped, if there is one.

    Looked through are ``__cause__``, ``__context__``, ``reason`` (urllib, urllib3),
    ``os_error`` (aiohttp), ``args``, ``exceptions`` (groups) and the values of
    ``reasons`` (Twisted), to any depth.

    Args:
        error: what a client library raised.
    """
    seen: set[int] = set()
    waiting: list[object] = [error]
    while waiting:
        candidate = waiting.pop(0)
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        if isinstance(candidate, PinningError):
            return candidate
        seen.add(id(candidate))
        waiting.extend(_wrapped(candidate))
    return None


def _wrapped(error: BaseException) -> Iterator[object]:
    """Yield whatever may be the error inside *error*, nearest first."""
    for name in ("reason", "os_error", "__cause__", "__context__"):
        yield getattr(error, name, None)
    for name in ("args", "exceptions", "reasons"):
        several = getattr(error, name, ())
        if isinstance(several, list | tuple):
            for one in several:
                yield getattr(one, "value", one)
