"""`PinningError`, raised for a rejected peer, and the search for a wrapped one."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from pinverify.errors import PinverifyError
from pinverify.policy._message import LINES_MAX, headline_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.policy._report import Report

__all__ = ["PinningError", "find_pinning_error"]

# X509_V_ERR_APPLICATION_VERIFICATION: a check beyond OpenSSL's own said no.
_VERIFY_CODE = 50


class PinningError(PinverifyError, ssl.SSLCertVerificationError):
    """Raised when a peer is rejected: do not use the connection.

    It is an `ssl.SSLCertVerificationError`, so code that handles a failed certificate
    check handles it too. It has the attributes of OpenSSL's errors: ``errno`` 1,
    ``library``, ``reason``, ``verify_code`` and ``verify_message``.

    Its text has at most 40 lines, and is built when somebody asks for it.

    Attributes:
        report: the decision.
    """

    report: Report

    def __init__(
        self,
        report: Report,
        text: Callable[[], str] | str,
        *,
        headline: str | None = None,
    ) -> None:
        """Keep the report and the text.

        Args:
            report: a rejection.
            text: the text for people, or a function that returns it, which is called
                when the text is needed.
            headline: the first line; None takes it from *text*, or from *report* if
                *text* is a function. Only the headline becomes an argument: libraries
                search the arguments for words of OpenSSL, and the rest of the text has
                subjects that the peer has chosen.
        """
        if headline is None:
            if isinstance(text, str):
                headline = text.partition("\n")[0]
            else:
                headline = headline_of(report)
        super().__init__(ssl.SSLErrorNumber.SSL_ERROR_SSL, headline)
        self.report = report
        self._text = text
        self.library = "PINVERIFY"
        self.reason = "PINNING_FAILED"
        self.verify_code = _VERIFY_CODE
        self.verify_message = headline

    def __str__(self) -> str:
        """Return the whole text."""
        text = self._text
        if not isinstance(text, str):
            text = text()
        lines = text.splitlines()
        if len(lines) > LINES_MAX:
            text = "\n".join([*lines[: LINES_MAX - 1], "  …"])
        self._text = text
        return text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the report and the text, without the chain."""
        return (type(self), (self.report, str(self)), self.__dict__)


def find_pinning_error(error: BaseException | None) -> PinningError | None:
    """Find the `PinningError` that a client library has wrapped, or return None.

    The search covers ``__cause__``, ``__context__``, ``reason`` (urllib, urllib3),
    ``os_error`` (aiohttp), ``args``, ``exceptions`` (groups) and the values of
    ``reasons`` (Twisted), to any depth.

    Args:
        error: the exception of a client library.
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
    """Yield every object that may be the error inside *error*, nearest first."""
    for name in ("reason", "os_error", "__cause__", "__context__"):
        yield getattr(error, name, None)
    for name in ("args", "exceptions", "reasons"):
        several = getattr(error, name, ())
        if isinstance(several, list | tuple):
            for one in several:
                yield getattr(one, "value", one)
