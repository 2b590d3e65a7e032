"""Failed connections in words: the reason, and the next step."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from pinverify.cli.starttls import PROTOCOLS, NoStartTLSError

if TYPE_CHECKING:
    from pinverify.cli.addresses import Server
    from pinverify.cli.way import Way

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

_UNVERIFIED = {
    _NOT_YET_VALID: "a certificate of this server is not valid yet",
    _EXPIRED: "a certificate of this server has expired",
    **dict.fromkeys(_WRONG_NAME, "the certificate of this server is for other names"),
}
_OTHER_UNVERIFIED = "no trusted authority vouches for this server"


def unverified(error: ssl.SSLCertVerificationError) -> str:
    """Return a clause that says why a chain proves nothing about its server."""
    return _UNVERIFIED.get(error.verify_code, _OTHER_UNVERIFIED)


def connection_problem(server: Server, error: OSError, way: Way) -> str:
    """Return the reason for a failed connection, and the next step."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _invalid(server, error, way)
    if isinstance(error, ssl.SSLError | ConnectionResetError | BrokenPipeError):
        return _no_tls(server, error, way)
    if isinstance(error, NoStartTLSError):
        return f"no STARTTLS: {server} {error}; is it {way.starttls}, with TLS set up?"
    if isinstance(error, TimeoutError):
        unit = "second" if way.timeout == 1 else "seconds"
        step = "try --timeout"
        if way.starttls is not None:
            step += ", or leave --starttls out if TLS begins at once there"
        return f"no answer from {server} in {way.timeout:g} {unit}; {step}"
    if isinstance(error, socket.gaierror):
        host, _ = server.place
        return f"no address for {host}: {error.strerror}; is the name right?"
    return f"no connection to {server}: {error.strerror or error}; is it running?"


def _invalid(server: Server, error: ssl.SSLCertVerificationError, way: Way) -> str:
    advice = _ADVICE.get(error.verify_code, "")
    if not advice:
        advice = "let the server send its whole chain, or trust its authority: --cafile"
        if way.cafile is not None:
            advice += f", which now is {way.cafile}"
    return (
        f"the certificate of {server} is not valid: {error.verify_message.rstrip('.')};"
        f" pins do not replace validation: {advice}"
    )


# Parts of a reason of OpenSSL, and the next step; CLEAR, ENDED and CLIENT depend on how
# the server was reached.
_CLEAR, _ENDED, _CLIENT = "what answers is not TLS", "it ended", "it wants a client"
_UPDATE = "the server has no TLS version that is allowed today; update it"
_STEPS = {
    "PROTOCOL_VERSION": _UPDATE,
    "UNSUPPORTED_PROTOCOL": _UPDATE,
    "UNRECOGNIZED_NAME": "the server does not know this name; try --servername",
    "HANDSHAKE_FAILURE": _CLIENT,
    "CERTIFICATE_REQUIRED": _CLIENT,
    "ALERT_UNKNOWN_CA": _CLIENT,
    "ALERT_BAD_CERTIFICATE": _CLIENT,
    "ALERT_CERTIFICATE_": _CLIENT,
    "WRONG_VERSION_NUMBER": _CLEAR,
    "RECORD_LAYER_FAILURE": _CLEAR,
    "PACKET_LENGTH_TOO_LONG": _CLEAR,
    "UNEXPECTED_EOF": _ENDED,
}


def _no_tls(server: Server, error: OSError, way: Way) -> str:
    """Return the reason for a handshake that failed or never began."""
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    step = _ENDED
    if isinstance(error, ssl.SSLError):
        found = (step for part, step in _STEPS.items() if part in reason)
        step = next(found, "is this the right port?")
    words = reason.replace("_", " ").lower()
    return f"no TLS with {server}: {words}; {_advice(step, server, way)}"


def _advice(step: str, server: Server, way: Way) -> str:
    """Return the next step, where it depends on how a server was reached."""
    _, port = server.place
    known = (n for n, p in PROTOCOLS.items() if port in {p.port, *p.other_ports})
    protocol = next(known, "")
    if step in {_CLEAR, _ENDED} and way.starttls is not None:
        advice = f"does it really begin TLS as {way.starttls} does?"
    elif step in {_CLEAR, _ENDED} and protocol:
        advice = f"TLS begins later there: add --starttls {protocol}"
    elif step in {_CLEAR, _ENDED}:
        advice = "is this the right port? If TLS begins later there, add --starttls"
        if step == _ENDED and way.cert is None:
            advice += "; if it wants the certificate of a client, --cert"
    elif step == _CLIENT and way.cert is not None:
        advice = f"does it accept the certificate in {way.cert}?"
    elif step == _CLIENT:
        advice = "if it wants the certificate of a client, add --cert"
    else:
        advice = step
    return advice
