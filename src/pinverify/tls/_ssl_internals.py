"""Access to the C objects of `ssl`: certificates, verify mode, options.

The public attributes of ssl convert numbers to enums at each access, and a handshake
reads several. These functions read the C attributes instead.
"""

from __future__ import annotations

import _ssl
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "ShownBySSL",
    "der",
    "inner_context",
    "is_context",
    "is_server",
    "refuse_renegotiation",
    "verifies",
]

_ENCODING_DER = 2  # _ssl.ENCODING_DER, on every version


def der(cert: Any) -> bytes:  # noqa: ANN401
    der: bytes = cert.public_bytes(_ENCODING_DER)
    return der


# The C attributes give plain numbers, without the cost of enums.
_verify_mode: Any = _ssl._SSLContext.verify_mode.__get__  # type: ignore[attr-defined] # noqa: SLF001
_options: Any = _ssl._SSLContext.options.__get__  # type: ignore[attr-defined] # noqa: SLF001
_set_options: Any = _ssl._SSLContext.options.__set__  # type: ignore[attr-defined] # noqa: SLF001
_NO_RENEGOTIATION = int(ssl.OP_NO_RENEGOTIATION)
_CERT_NONE = int(ssl.CERT_NONE)


def verifies(context: Any) -> bool:  # noqa: ANN401
    """Return True if OpenSSL verifies chains, so that more than the leaf counts."""
    return bool(_verify_mode(context) != _CERT_NONE)


def refuse_renegotiation(context: Any) -> None:  # noqa: ANN401
    """Disable renegotiation: a TLS 1.2 peer could show another certificate in it."""
    options = _options(context)
    if not options & _NO_RENEGOTIATION:
        _set_options(context, options | _NO_RENEGOTIATION)


def is_context(context: object) -> bool:
    """Return True for a context of ssl, including subclasses and replacements."""
    # Not ssl.SSLContext, which truststore and gevent replace.
    return isinstance(context, _ssl._SSLContext)  # noqa: SLF001


def inner_context(context: Any) -> Any:  # noqa: ANN401
    """Return the context that makes the connections; truststore's is a wrapper."""
    inner = context.__dict__.get("_ctx")
    return inner if is_context(inner) else context


def is_server(context: Any) -> bool:  # noqa: ANN401
    """Return True if a context is for servers only."""
    return getattr(context, "protocol", None) is ssl.PROTOCOL_TLS_SERVER


class ShownBySSL:
    """The certificates that a C object of ssl shows after its handshake."""

    __slots__ = ("_sslobj", "_verifying")

    def __init__(self, sslobj: Any, *, verifying: bool) -> None:  # noqa: ANN401
        """Keep the object; *verifying* is true if it was created to verify chains."""
        self._sslobj = sslobj
        self._verifying = verifying

    def leaf(self) -> bytes | None:
        der: bytes | None = self._sslobj.getpeercert(True)  # noqa: FBT003
        return der

    def is_verified(self) -> bool:
        return self._verifying and verifies(self._sslobj.context)

    def verified_chain(self) -> Sequence[Any]:
        return self._sslobj.get_verified_chain() or ()

    def to_der(self, cert: Any) -> bytes:  # noqa: ANN401
        return der(cert)
