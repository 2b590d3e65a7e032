"""`PinningError`, raised for a rejected peer, and the search for a wrapped one."""

from __future__ import annotations

import ssl
from collections import deque
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pinverify.errors import PinverifyError
from pinverify.policy._message import (
    LINES_MAX,
    headline_from,
    headline_of,
    rejection_text,
)
from pinverify.policy._printable import shortened
from pinverify.policy._report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pinverify.policy._message import Judged

__all__ = ["PinningError", "find_pinning_error", "text_behind"]

# X509_V_ERR_APPLICATION_VERIFICATION: a check beyond OpenSSL's own said no.
_VERIFY_CODE = 50

_WHY_MAX = 1000
_NO_POLICY = bytes(32)  # in place of the digest of a policy


class PinningError(PinverifyError, ssl.SSLCertVerificationError):
    """Raised when a peer is rejected: do not use the connection.

    It is an `ssl.SSLCertVerificationError`, so code that handles a failed certificate
    check handles it too. It has the attributes of OpenSSL's errors: ``errno`` 1,
    ``library``, ``reason``, ``verify_code`` and ``verify_message``.

    Its text has at most 40 lines, and is built when somebody asks for it; so are
    ``args``, ``strerror`` and ``verify_message``.

    Some libraries make an error anew, of its text or its arguments:
    ``type(error)(str(error))``. Such a copy is a rejection, too; its report knows no
    more than that, and `find_pinning_error` finds the original if it is there.

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

    def __init__(
        self,
        report: Report | str | int,
        text: Judged | Callable[[], str] | str | None = None,
    ) -> None:
        """Keep the report, and what the text is made of.

        Some libraries make an exception anew from its text alone, as ldap3 does. Such a
        copy has the text, and a report that only says `Reason.NOT_CHECKED`.

        Args:
            report: a rejection; or the text or the number of an error that a library
                makes anew.
            text: the evidence that was judged, from which the text is made when it is
                needed; or the text for people, or a function that returns it. Only the
                headline becomes an argument: libraries search the arguments for words
                of OpenSSL, and the rest of the text has subjects that the peer has
                chosen.
        """
        if isinstance(report, Report):
            self.report = report
            self._text = "" if text is None else text
        else:
            self._text = str(report if text is None else text)
            self.report = _made_anew(self._text)

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


def _made_anew(text: str) -> Report:
    """Return the report of an error whose own report is lost."""
    why = shortened(text.partition("\n")[0], _WHY_MAX)
    return Report.not_checked(None, _NO_POLICY, why)


def text_behind(error: PinningError) -> Judged | Callable[[], str] | str:
    """Return the text of an error, or what it will be made of."""
    return error._text  # noqa: SLF001 - of the same file


def find_pinning_error(error: BaseException | None) -> PinningError | None:
    """Find the `PinningError` that a client library has wrapped, or return None.

    The search covers ``__cause__``, ``__context__``, ``reason`` (urllib, urllib3),
    ``os_error`` (aiohttp), ``inner_exception`` (azure-core), ``args``, ``exceptions``
    (groups), ``errors`` (a list or a dict) and the values of ``reasons`` (Twisted), to
    any depth. An error with the report of a policy is preferred to one that a library
    has made anew (ldap3).

    Args:
        error: the exception of a client library.
    """
    seen: set[int] = set()
    waiting: deque[object] = deque([error])
    made_anew = None
    while waiting:
        candidate = waiting.popleft()
        if not isinstance(candidate, BaseException) or id(candidate) in seen:
            continue
        if isinstance(candidate, PinningError):
            if candidate.report.digest != _NO_POLICY:
                return candidate
            made_anew = made_anew or candidate
        seen.add(id(candidate))
        waiting.extend(_wrapped(candidate))
    return made_anew


def _wrapped(error: BaseException) -> Iterator[object]:
    """Yield every object that may be the error inside *error*, nearest first."""
    for name in ("reason", "os_error", "inner_exception", "__cause__", "__context__"):
        yield getattr(error, name, None)
    for name in ("args", "exceptions", "errors", "reasons"):
        several = getattr(error, name, ())
        if isinstance(several, dict):
            several = [*several.values()]
        if isinstance(several, list | tuple):
            for one in several:
                yield getattr(one, "value", one)
