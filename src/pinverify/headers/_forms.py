"""Forms in which proxies pass a client's certificate, each read strictly.

What a proxy sends was observed where the proxy could be run (nginx, HAProxy, Apache,
Caddy, Envoy), else read in its source or manual (Traefik, AWS). A value is decoded
once, by the form that is declared; no form is guessed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias, get_args

from pinverify.core._keys import sha256
from pinverify.headers._rfc9440 import (
    FormError,
    byte_sequence,
    exact_base64,
    secret_of_item,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FORMS", "VALUE_MAX", "Form", "FormOfHeader", "WithSecret", "read_leaf"]

Form: TypeAlias = Literal[
    "rfc9440", "nginx", "envoy", "haproxy", "apache", "traefik", "caddy", "alb"
]
"""The name of a form: the standard, or the proxy that uses the form."""

VALUE_MAX = 65_536  # bytes of a header; servers read less, and chains need less

_PRINTABLE = re.compile(rb"[ -~]+")


class WithSecret(NamedTuple):
    """The place of a secret in the header with the certificate.

    Attributes:
        shown: the form of the value, for messages.
        split: returns the text in the secret's place, and the value without that text.
    """

    shown: str
    split: Callable[[bytes], tuple[bytes, bytes]]


class FormOfHeader(NamedTuple):
    """A form of the header with the certificate.

    Attributes:
        header: the name of the header, unless another one is declared.
        read: returns the DER of the leaf, or raises `FormError`.
        with_secret: the place of a secret in the header; None if the proxy can write
            only the certificate there, so that a secret needs a header of its own.
    """

    header: str
    read: Callable[[bytes], bytes]
    with_secret: WithSecret | None


def read_leaf(form: Form, value: bytes) -> bytes:
    """Return the certificate of the client in DER, without checking that it is one.

    Args:
        form: the declared form.
        value: the value of the header.

    Raises:
        FormError: the value is not in this form.
    """
    if len(value) > VALUE_MAX:
        msg = f"it has more than {VALUE_MAX:,} bytes"
        raise FormError(msg)
    if _PRINTABLE.fullmatch(value) is None:
        msg = "it is empty, or has bytes that are not printable ASCII"
        raise FormError(msg)
    return FORMS[form].read(value)


# ---- PEM ---------------------------------------------------------------------------

# Only the last line may be shorter (RFC 7468, 2): base64 has only one split into lines.
_PEM = rb"-----BEGIN CERTIFICATE-----%b"
_PEM += rb"((?:[A-Za-z0-9+/]{64}%b)*[A-Za-z0-9+/=]{1,64}%b)-----END CERTIFICATE-----%b?"
_LINES = re.compile(_PEM % (rb"\n", rb"\n", rb"\n", rb"\n"))
_BLANKS = re.compile(_PEM % (rb" ", rb" ", rb" ", rb" "))


def _one_pem(text: bytes, shape: re.Pattern[bytes]) -> bytes:
    """Return the one certificate of a PEM text (RFC 7468) that has nothing else."""
    found = shape.fullmatch(text)
    if found is None:
        msg = "it is not the PEM of exactly one certificate"
        raise FormError(msg)
    return exact_base64(b"".join(found[1].split()))


# The patterns never backtrack, because repeats are possessive. They list the characters
# that proxies do not escape; nginx and Envoy write all others as %XX.
_ESCAPED = re.compile(rb"(?:[A-Za-z0-9._~-]++|%[0-9A-F]{2})++")
_ESCAPE = re.compile(rb"%([0-9A-F]{2})")
_ESCAPED_BY_ALB = re.compile(rb"(?:[A-Za-z0-9._~+/=-]++|%[0-9A-F]{2})++")


def _escaped_pem(value: bytes, shape: re.Pattern[bytes]) -> bytes:
    """Return the certificate of a percent-encoded PEM text (RFC 3986, 2.1)."""
    if shape.fullmatch(value) is None:
        msg = "it is not percent-encoded as this proxy does"
        raise FormError(msg)
    text = _ESCAPE.sub(lambda found: bytes.fromhex(found[1].decode()), value)
    return _one_pem(text, _LINES)


def _nginx(value: bytes) -> bytes:
    """Read ``$ssl_client_escaped_cert``."""
    return _escaped_pem(value, _ESCAPED)


def _alb(value: bytes) -> bytes:
    """Read what AWS calls PEM in URL encoding, with ``+/=`` as safe characters."""
    return _escaped_pem(value, _ESCAPED_BY_ALB)


def _apache(value: bytes) -> bytes:
    """Read ``%{SSL_CLIENT_CERT}s``: PEM, with a blank for the end of each line."""
    return _one_pem(value, _BLANKS)


# ---- base64 ------------------------------------------------------------------------


def _first_of_several(value: bytes) -> bytes:
    """Read the leaf of Traefik's list; the others are unverified."""
    leaf, *others = map(exact_base64, value.split(b","))
    del others  # decoded, because a list that is wrong anywhere is not Traefik's
    return leaf


# ---- Envoy -------------------------------------------------------------------------

_PAIR = re.compile(rb'([A-Za-z]+)=(?:"((?:[^"\\]++|\\.)*+)"|([^",;]*))')


def _envoy(value: bytes) -> bytes:
    """Read an element of ``x-forwarded-client-cert`` with the key ``Cert``.

    Several elements, one for each proxy on the way, are refused: the first comes from
    a proxy that is not declared. The chain is ignored: Envoy passes it as the client
    sent it.
    """
    pairs: dict[bytes, bytes] = {}
    at = 0
    while at < len(value):
        found = _PAIR.match(value, at)
        if found is None or value[found.end() : found.end() + 1] not in {b"", b";"}:
            msg = "it is not one element of Envoy's header, key=value;key=value"
            raise FormError(msg)
        key = found[1].lower()
        text = found[3] if found[2] is None else found[2]
        if key in pairs and key in {b"hash", b"cert", b"chain"}:
            msg = f"it has the key {found[1].decode()} twice"
            raise FormError(msg)
        pairs[key] = text
        at = found.end() + 1
    if not pairs.get(b"cert"):
        msg = "it has no key Cert; set_current_client_cert_details needs cert: true"
        raise FormError(msg)
    leaf = _escaped_pem(pairs[b"cert"], _ESCAPED)
    digest = sha256(leaf).hex().encode()
    if pairs.get(b"hash", digest) != digest:
        msg = "its Hash is not that of its Cert"
        raise FormError(msg)
    return leaf


# ---- secrets -----------------------------------------------------------------------


def _secret_before(value: bytes) -> tuple[bytes, bytes]:
    """Divide a value at its first blank.

    For a client without a certificate, a proxy writes the secret and a blank. HTTP
    drops that blank at the end of the value, so the secret is all of the value.
    """
    secret, _, rest = value.partition(b" ")
    return secret, rest


_BEFORE = WithSecret("SECRET CERTIFICATE", _secret_before)
_PARAMETER = WithSecret(':BASE64:;secret="SECRET"', secret_of_item)

FORMS: dict[Form, FormOfHeader] = {
    "rfc9440": FormOfHeader("Client-Cert", byte_sequence, _PARAMETER),
    "nginx": FormOfHeader("X-SSL-Client-Cert", _nginx, _BEFORE),
    "envoy": FormOfHeader("X-Forwarded-Client-Cert", _envoy, None),
    "haproxy": FormOfHeader("X-SSL-Client-DER", exact_base64, _BEFORE),
    "apache": FormOfHeader("X-SSL-Client-Cert", _apache, _BEFORE),
    "traefik": FormOfHeader("X-Forwarded-Tls-Client-Cert", _first_of_several, None),
    "caddy": FormOfHeader("X-Client-Cert", exact_base64, _BEFORE),
    "alb": FormOfHeader("X-Amzn-Mtls-Clientcert-Leaf", _alb, None),
}
"""The forms by name; `Form` has the same names."""

assert FORMS.keys() == set(get_args(Form))  # noqa: S101 - of this file
