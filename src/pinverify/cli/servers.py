"""Connect to servers that a user names, read their chains, and explain failures."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.cli.output import NoAnswerError
from pinverify.cli.starttls import PROTOCOLS, NoStartTLSError, begin_tls
from pinverify.core._hosts import canonical
from pinverify.errors import PolicyError
from pinverify.tls._connect import HTTPS_PORT, split_address
from pinverify.tls._ssl_connections import der

if TYPE_CHECKING:
    from pinverify.cli.shared_options import Way

__all__ = [
    "Server",
    "Shown",
    "chain_of",
    "connect",
    "connection_problem",
    "context_for",
    "default_port",
    "look_at",
    "trusting",
    "unverified",
    "verified_chain",
]


def default_port(way: Way) -> int:
    """Return the port of servers that are written without one."""
    return HTTPS_PORT if way.starttls is None else PROTOCOLS[way.starttls].port


class Server(NamedTuple):
    """A server.

    Attributes:
        host: the name to ask for, to verify and to look up in rules.
        port: its port.
        place: the host and port to connect to; they differ from *host* and *port* with
            `--connect` or `--servername`.
    """

    host: str
    port: int
    place: tuple[str, int]

    @classmethod
    def parse(cls, text: str, way: Way) -> Server:
        """Read ``host``, ``host:port`` or ``https://host``.

        Raises:
            PolicyError: *text* is none of these.
        """
        if way.starttls is not None and "://" in text:
            msg = f"{text!r} with --starttls: write host or host:port"
            raise PolicyError(msg)
        host, port = split_address(text, default_port(way))
        return cls.named(canonical(host), port, way)

    @classmethod
    def named(cls, host: str, port: int, way: Way) -> Server:
        """Return a server with this canonical host, reached as *way* says.

        Raises:
            PolicyError: the name or the place in *way* is not valid.
        """
        place = host, port
        if way.connect is not None:
            other, number = split_address(way.connect, port)
            place = canonical(other), number
        if way.servername is not None:
            host = canonical(way.servername)
        return cls(host, port, place)

    def __str__(self) -> str:
        """Return ``host:port``, and the place if it is another."""
        written = _written(self.host, self.port)
        if self.place == (self.host, self.port):
            return written
        return f"{written} at {_written(*self.place)}"


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# ---- connections -------------------------------------------------------------


class Shown(NamedTuple):
    """The certificates that a server showed.

    Attributes:
        verified: the chain that OpenSSL verified, leaf first; empty if it did not.
        sent: the chain as the server sent it, of which only the leaf is proven.
        problem: why the chain was not verified; empty if it was.
        unverified: the same reason, worded as a clause about the server.
    """

    verified: list[bytes]
    sent: list[bytes]
    problem: str = ""
    unverified: str = ""


def context_for(way: Way) -> ssl.SSLContext:
    """Return a context with the authorities and the client certificate of the options.

    Raises:
        PolicyError: one of the files does not have what the option says.
    """
    context = trusting(way.cafile)
    _show_certificate(context, way)
    return context


def trusting(cafile: str | None) -> ssl.SSLContext:
    """Return a context that trusts the system's authorities, or those of a file.

    Raises:
        PolicyError: the file has no PEM certificates.
    """
    try:
        return ssl.create_default_context(cafile=cafile)
    except ssl.SSLError:
        msg = f"{cafile}: no certificates; --cafile takes PEM certificates to trust"
        raise PolicyError(msg) from None


def _show_certificate(context: ssl.SSLContext, way: Way) -> None:
    """Load the certificate of the client, if there is one, into a context."""
    if way.cert is None:
        return
    file = way.key or way.cert

    def no_password() -> str:
        msg = (
            f"{file}: the key is encrypted; write it in clear to a file that nobody "
            f"else can read: openssl pkey -in {file} -out KEY.pem"
        )
        raise PolicyError(msg)

    try:
        context.load_cert_chain(way.cert, way.key, password=no_password)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            msg = f"{file}: not the key of the certificate in {way.cert}"
        else:
            msg = (
                f"{way.cert}: no PEM certificate with a PEM key; --cert takes a "
                "certificate, and --key its key if that is in another file"
            )
        raise PolicyError(msg) from None


def connect(server: Server, context: ssl.SSLContext, way: Way) -> ssl.SSLSocket:
    """Connect to a server with a context, and check the context's pins, if it has any.

    Raises:
        OSError: there is no connection, or the certificate or the key of the server is
            refused.
    """
    plain = socket.create_connection(server.place, way.timeout)
    try:
        if way.starttls is not None:
            begin_tls(plain, way.starttls, way.timeout)
            plain.settimeout(way.timeout)
        return context.wrap_socket(plain, server_hostname=server.host)
    except BaseException:
        plain.close()
        raise


def look_at(server: Server, context: ssl.SSLContext, way: Way) -> Shown:
    """Get a server's chain; if that is not valid, connect again without verifying.

    Raises:
        OSError: there is no connection.
    """
    try:
        with connect(server, context, way) as tls:
            return Shown(verified_chain(tls), _chain_as_sent(tls))
    except ssl.SSLCertVerificationError as error:
        problem, clause = error.verify_message, unverified(error)
    blind = ssl.create_default_context()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    _show_certificate(blind, way)
    with connect(server, blind, way) as tls:
        return Shown([], _chain_as_sent(tls), problem, clause)


def chain_of(server: Server, context: ssl.SSLContext, way: Way) -> list[bytes]:
    """Return the chain of a server that a context verifies, leaf first.

    Raises:
        NoAnswerError: there is no connection, or no valid certificate.
    """
    try:
        with connect(server, context, way) as tls:
            return verified_chain(tls)
    except OSError as error:
        raise NoAnswerError(connection_problem(server, error, way)) from error


# The methods of both functions below are private before Python 3.13.


def verified_chain(tls: ssl.SSLSocket) -> list[bytes]:
    """Return the chain that OpenSSL built, leaf first.

    The context of *tls* must verify. With a context that does not verify, OpenSSL
    builds a chain for a forged leaf, too.
    """
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return _der(inner.get_verified_chain())


def _chain_as_sent(tls: ssl.SSLSocket) -> list[bytes]:
    inner: Any = tls._sslobj  # type: ignore[attr-defined]  # noqa: SLF001
    return _der(inner.get_unverified_chain())


def _der(chain: list[Any] | None) -> list[bytes]:
    return [der(cert) for cert in chain or ()]


# ---- problems ----------------------------------------------------------------

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


# Parts of OpenSSL's reasons, each with the next step. For CLEAR, ENDED and CLIENT, the
# step depends on how the server was reached.
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
    """Return the text of a next step, which may depend on how a server was reached."""
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
