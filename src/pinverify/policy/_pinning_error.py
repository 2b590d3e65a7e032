"""`PinningError`, raised for a rejected peer, and the search for a wrapped one."""

from __future__ import annotations

import ssl
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pinverify.errors import PinverifyError
from pinverify.policy._message import (
    LINES_MAX,
    headline_from,
    headline_of,
    rejection_text,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.policy._message import Judged
    from pinverify.policy._report import Report

__all__ = ["PinningError", "find_pinning_error", "text_behind"]

# X509_V_ERR_APPLICATION_VERIFICATION: a check beyond OpenSSL's own said no.
_VERIFY_CODE = 50


class PinningError(PinverifyError, ssl.SSLCertVerificationError):
    """Raised when a peer is rejected: do not use the connection.

    It is an `ssl.SSLCertVerificationError`, so code that handles a failed certificate
    check handles it too. It has the attributes of OpenSSL's errors: ``errno`` 1,
    ``library``, ``reason``, ``verify_code`` and ``verify_message``.

    Its text has at most 40 lines, and is built when somebody asks for it; so are
    ``args``, ``strerror`` and ``verify_message``.

    Attributes:
        report: the decision.
    """

    __module__ = "pinverify"

    # A refused stranger costs little: __init__ stores two values in slots, and does
    # not call that of OSError.
    __slots__ = ("_text", "report")

    report: Report
    errno = ssl.SSLErrorNumber.SSL_ERROR_SSL
    library = "PINVERIFY"
    reason = "PINNING_FAILED"
    verify_code = _VERIFY_CODE

    def __init__(self, report: Report, text: Judged | Callable[[], str] | str) -> None:
        """Keep the report, and what the text is made of.

        Args:
            report: a rejection.
            text: the evidence that was judged, from which the text is made when it is
                needed; or the text for people, or a function that returns it. Only the
                headline becomes an argument: libraries search the arguments for words
                of OpenSSL, and the rest of the text has subjects that the peer has
                chosen.
        """
        self.report = report
        self._text = text

    @cached_property
    def strerror(self) -> str:  # type: ignore[override]  # can be set, too
        """The first line."""
        text = self._text
        if isinstance(text, str):
            return text.partition("\n")[0]
        if isinstance(text, tuple):
            return headline_from(self.report, text[1])
        return headline_of(self.report)

    @cached_property
    def verify_message(self) -> str:  # type: ignore[override]
        """The first line."""
        return self.strerror

    @cached_property
    def args(self) -> tuple[Any, ...]:  # type: ignore[override]
        """The number of OpenSSL's errors, and the first line."""
        return (self.errno, self.strerror)

    def __repr__(self) -> str:
        """Return the class and the arguments."""
        return f"{type(self).__name__}{self.args!r}"

    def __str__(self) -> str:
        """Return the whole text."""
        text = self._text
        if isinstance(text, tuple):
            text = rejection_text(self.report, *text)
        elif not isinstance(text, str):
            text = text()
        lines = text.splitlines()
        if len(lines) > LINES_MAX:
            text = "\n".join([*lines[: LINES_MAX - 1], "  …"])
        self._text = text
        return text

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the report and the text, without the chain."""
        return (type(self), (self.report, str(self)), self.__dict__)


def text_behind(error: PinningError) -> Judged | Callable[[], str] | str:
    """Return the text of an error, or what it will be made of."""
    return error._text  # noqa: SLF001 - of the same file


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
