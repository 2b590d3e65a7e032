"""Failed connections in words: the reason, and the next step."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pinverify.cli.addresses import Server

__all__ = ["connection_problem", "unverified"]

# Codes of X509_V_ERR (openssl/x509_vfy.h).
_NOT_YET_VALID, _EXPIRED = 9, 10
_SELF_SIGNED = 18
_WRONG_NAME = (62, 64)  # a host name, an IP address

_ADVICE = {
    _NOT_YET_VALID: "wait until it is valid, or set the clock of this machine",
    _EXPIRED: "renew the certificate; with the same key, its pin stays the same",
    _SELF_SIGNED: "trust it with --cafile; `pinverify pin --pem` prints it",
    **dict.fromkeys(_WRONG_NAME, "connect by a name that the certificate has"),
}
_OTHER_ADVICE = "fix the certificate, or trust its authority with --cafile"

_UNVERIFIED = {
    _NOT_YET_VALID: "a certificate of this server is not valid yet",
    _EXPIRED: "a certificate of this server has expired",
    **dict.fromkeys(_WRONG_NAME, "the certificate of this server is for other names"),
}
_OTHER_UNVERIFIED = "no trusted authority vouches for this server"


def unverified(error: ssl.SSLCertVerificationError) -> str:
    """Return a clause that says why a chain proves nothing about its server."""
    return _UNVERIFIED.get(error.verify_code, _OTHER_UNVERIFIED)


def connection_problem(server: Server, error: OSError, timeout: float) -> str:
    """Return the reason for a failed connection, and the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        why = error.verify_message.rstrip(".")
        return (
            f"the certificate of {server} is not valid: {why}; pins do not replace "
            f"validation: {_ADVICE.get(error.verify_code, _OTHER_ADVICE)}"
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or str(error)
        step = next((s for part, s in _STEPS if part in reason), "is the port right?")
        return f"no TLS with {server}: {_words(reason)}; {step}"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return f"{server} closed the connection before TLS began; {_CLOSED}"
    if isinstance(error, TimeoutError):
        unit = "second" if timeout == 1 else "seconds"
        return f"no answer from {server} in {timeout:g} {unit}; try --timeout"
    if isinstance(error, socket.gaierror):
        return f"no address for {server.host}: {error.strerror}; is the name right?"
    return f"no connection to {server}: {error.strerror or error}; is it running?"


_CLOSED = "is the port right, and does TLS begin there at once?"

# What a reason of OpenSSL contains, and the next step.
_STEPS = (
    ("PROTOCOL_VERSION", "the server has no TLS version of today: update it"),
    ("UNSUPPORTED_PROTOCOL", "the server has no TLS version of today: update it"),
    ("UNRECOGNIZED_NAME", "the server does not know this name"),
    ("WRONG_VERSION_NUMBER", "is this the right port? What answers is not TLS"),
    ("RECORD_LAYER_FAILURE", "is this the right port? What answers is not TLS"),
    ("UNEXPECTED_EOF", _CLOSED),
    ("HANDSHAKE_FAILURE", "does the server want a client certificate?"),
)


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower()
