"""Access to the C objects of `ssl`: certificates, verify mode, options.

The public attributes of ssl convert numbers to enums at each access, and a handshake
reads several. These functions read the C attributes instead.
"""

from __future__ import annotations

import _ssl
import ssl
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CERT_NONE",
    "C_OPTIONS",
    "C_VERIFY_MODE",
    "NO_RENEGOTIATION",
    "CObject",
    "Channel",
    "Connection",
    "Context",
    "Session",
    "ShownBySSL",
    "der",
    "inner_context",
    "is_context",
    "is_kept",
    "is_server",
    "refuse_tickets",
    "refuse_wrong_session",
    "verifies",
]

# ssl has no types for these: classes of C, and of gevent and truststore.
Context: TypeAlias = Any
Connection: TypeAlias = Any
CObject: TypeAlias = Any
Session: TypeAlias = Any
Channel: TypeAlias = Any
"""A socket, or a buffer in memory."""

_ENCODING_DER = 2  # _ssl.ENCODING_DER, on every version


def der(cert: Any) -> bytes:  # noqa: ANN401
    der: bytes = cert.public_bytes(_ENCODING_DER)
    return der


# The C attributes give plain numbers, without the cost of enums. In a class of ours, a
# descriptor is a plain attribute, which costs half as much as a call of __get__.
C_VERIFY_MODE: Any = _ssl._SSLContext.verify_mode  # noqa: SLF001
C_OPTIONS: Any = _ssl._SSLContext.options  # noqa: SLF001
_get_verify_mode: Any = C_VERIFY_MODE.__get__
_get_options: Any = C_OPTIONS.__get__
_set_options: Any = C_OPTIONS.__set__
_num_tickets: Any = _ssl._SSLContext.num_tickets.__get__  # type: ignore[attr-defined] # noqa: SLF001
NO_RENEGOTIATION = int(ssl.OP_NO_RENEGOTIATION)
_NO_TICKET = int(ssl.OP_NO_TICKET)
CERT_NONE = int(ssl.CERT_NONE)


def verifies(context: Context) -> bool:
    """Return True if OpenSSL verifies chains, so that more than the leaf counts."""
    return bool(_get_verify_mode(context) != CERT_NONE)


def refuse_tickets(context: Context) -> None:
    """Let a server give no tickets and take none; call it before each connection.

    In TLS 1.3 nobody can resume then. In TLS 1.2 the sessions stay that OpenSSL keeps
    in the memory of this process, because Python cannot turn these off.
    """
    options = _get_options(context)
    if not options & _NO_TICKET:
        _set_options(context, options | _NO_TICKET)
    if _num_tickets(context) and is_server(context):  # others have no such setting
        context.num_tickets = 0


def is_kept(sslobj: CObject, created_with: Context) -> bool:
    """Return True if the memory of this process may keep the session of a server.

    In TLS 1.3 that is so under OP_NO_TICKET, where a ticket is but a number. Sessions
    from before num_tickets was set to 0 are resumed even so.
    """
    if sslobj.version() != "TLSv1.3":
        return True
    numbers = _get_options(created_with) & _NO_TICKET
    return bool(numbers and (_num_tickets(created_with) or sslobj.session_reused))


def refuse_wrong_session(context: Context, session: Session) -> None:
    """Raise as ssl does if *session* is no session of a context."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    _ssl._SSLContext._wrap_bio(context, incoming, outgoing, False, session=session)  # type: ignore[attr-defined] # noqa: SLF001, FBT003


def is_context(context: object) -> bool:
    """Return True for a context of ssl, including subclasses and replacements."""
    # Not ssl.SSLContext, which truststore and gevent replace.
    return isinstance(context, _ssl._SSLContext)  # noqa: SLF001


def inner_context(context: Context) -> Context:
    """Return the context that makes the connections; truststore's is a wrapper."""
    inner = context.__dict__.get("_ctx")
    return inner if is_context(inner) else context


def is_server(context: Context) -> bool:
    """Return True if a context is for servers only."""
    return getattr(context, "protocol", None) is ssl.PROTOCOL_TLS_SERVER


class ShownBySSL:
    """The certificates that a C object of ssl shows after its handshake.

    Attributes:
        raw: the C object.
        created_with: the context that has created it.
        noted: what raised a `doubt` then, or an empty text.
    """

    __slots__ = ("created_with", "noted", "raw")

    raw: Any
    created_with: Any
    noted: str

    def leaf(self) -> bytes | None:
        der: bytes | None = self.raw.getpeercert(True)  # noqa: FBT003
        return der

    def is_verified(self) -> bool:
        """Return True if the chain is verified, whichever context decides.

        The context that a callback for SNI has selected must verify chains as well.
        """
        if self.noted:
            return False
        context = self.raw.context
        return context is self.created_with or verifies(context)

    def doubt(self) -> str:
        """Return why the chain is not verified; empty if it is."""
        if self.is_verified():
            return ""
        return self.noted or (
            "OpenSSL did not verify this chain: verify_mode is CERT_NONE in the "
            "context that the SNI callback selected"
        )

    def verified_chain(self) -> Sequence[Any]:
        return self.raw.get_verified_chain() or ()

    def to_der(self, cert: Any) -> bytes:  # noqa: ANN401
        return der(cert)

    def address(self) -> Any:  # noqa: ANN401
        # The C object knows its socket, unless that is gone. An SSL object has none.
        connection = self.raw.owner
        try:
            return connection.getpeername()
        except (AttributeError, OSError):
            return None

    def is_resumed(self) -> bool:
        resumed: bool = self.raw.session_reused
        return resumed
