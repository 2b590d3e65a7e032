"""The declaration of a proxy: the header that it writes, and what identifies it.

`_request_decision` compares each request with the declaration.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from pinverify.headers._forms import FORMS, FormOfHeader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.headers._forms import Form, WithSecret

__all__ = ["TRANSFER_ENCODING", "UNIX", "Declared", "Proxy", "declared"]

UNIX = "unix"
"""An item of `Proxy.peers`: whoever connects through a Unix socket."""

_Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"

TRANSFER_ENCODING = b"transfer-encoding"
"""The header of a request that may have a trailer."""

# Only letters, digits and hyphens: some servers take other characters for hyphens.
_NAME = re.compile(r"[A-Za-z0-9]+(?:-[A-Za-z0-9]+)*")
_CHAIN = "Client-Cert-Chain"
_SECRET_HEADER = "X-Pinverify-Secret"  # noqa: S105 - a name
# Printable, but no blank, quote, backslash or comma (RFC 8941, 3.1 and 3.3.3).
_SECRET = re.compile(r"[!#-+\--\[\]-~]+")
_SECRET_MIN = 16  # characters
_SECRET_MAX = 1024


class Declared(NamedTuple):
    """A declaration, made ready for decisions.

    Attributes:
        form: the form of the header with the certificate.
        leaf: name of that header, in lower case.
        chain: name of the header with a chain, or None if the form has none.
        chain_counts: True if the proxy has verified that chain.
        secret: the secret; empty if none is declared.
        secret_inside: how the secret is written in the header with the certificate;
            None if the secret has a header of its own, or no secret is declared.
        secret_name: name of the header with the secret, which no application sees; None
            without a secret. If *secret_inside* is not None, only older recipes write
            this header.
        unix: True if the proxy connects through a Unix socket.
        networks: addresses of the proxy.
        watched: names that a request must not have in any other spelling.
    """

    form: Form
    leaf: bytes
    chain: bytes | None
    chain_counts: bool
    secret: bytes
    secret_inside: WithSecret | None
    secret_name: bytes | None
    unix: bool
    networks: tuple[_Network, ...]
    watched: frozenset[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxy:
    """Declaration of the proxy whose header counts.

    At least one of *peers* and *secret* is needed, since a header by itself proves
    nothing. If both are given, a request must satisfy both. Without a secret, requests
    with ``Transfer-Encoding`` are refused: any client can write the trailer of a
    chunked request, and some servers take it for headers of the proxy.

    Attributes:
        form: the form of the header; see `Form`.
        peers: addresses or networks that the proxy connects from, such as "10.0.0.7"
            or "fd00::/64"; or "unix", if it connects through a Unix socket. Names are
            not looked up.
        secret: a text of 16 to 1,024 printable characters that the proxy writes into
            the header with the certificate, so that neither counts without the other.
            The value is then ``SECRET CERTIFICATE``, with one blank between them, or
            ``:BASE64:;secret="SECRET"`` in the form rfc9440. The secret is compared in
            constant time, and no application sees it.
        header: the header with the certificate; None for the usual one of *form*.
        secret_header: the header with the secret, for the forms envoy, traefik and alb,
            whose header has no place for a secret; None for ``X-Pinverify-Secret``. The
            proxy must send this header wherever it sends the certificate, and nowhere
            else.
        verified_chain: the header with the chain above the leaf, a list of byte
            sequences like ``Client-Cert-Chain`` in RFC 9440, 2.3. Each sequence has the
            secret, if one is declared: ``:…:;secret="SECRET", :…:;secret="SECRET"``.
            Name this header only if the proxy's manual says that the header has the
            chain that the proxy *verified*, and never the chain that the client sent.
            If None, only the leaf counts, and `ca` pins are an error.

    Raises:
        ValueError: *peers* and *secret* are both missing, or a value is wrong; the
            message names it.
        TypeError: a value has the wrong type.
    """

    __module__ = "pinverify.headers"

    form: Form = field(kw_only=False)
    peers: Sequence[str] = ()
    secret: str | None = field(default=None, repr=False)
    header: str | None = None
    secret_header: str | None = None
    verified_chain: str | None = None
    _declared: Declared = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check all fields."""
        if isinstance(self.peers, str):
            msg = f"peers: expected a list, got text; write peers=[{self.peers!r}]"
            raise TypeError(msg)
        # Keep a copy: an iterator gives its items only once.
        object.__setattr__(self, "peers", tuple(self.peers))
        object.__setattr__(self, "_declared", _checked(self))


def declared(proxy: Proxy) -> Declared:
    """Return a declaration, made ready for decisions.

    Raises:
        TypeError: *proxy* is not a Proxy.
    """
    if not isinstance(proxy, Proxy):
        msg = f"expected a Proxy, got {type(proxy).__name__}; write Proxy('nginx', …)"
        raise TypeError(msg)
    return proxy._declared  # noqa: SLF001 - of the same file


def _checked(proxy: Proxy) -> Declared:
    if proxy.form not in FORMS:
        msg = f"form: expected one of {', '.join(FORMS)}, got {proxy.form!r}"
        raise ValueError(msg)
    if not proxy.peers and proxy.secret is None:
        msg = (
            "nothing tells the proxy from anybody else: declare its addresses "
            "(peers), a Unix socket (peers=['unix']), or a secret that it sends"
        )
        raise ValueError(msg)
    if proxy.verified_chain is not None and proxy.form != "rfc9440":
        msg = "verified_chain: only the form rfc9440 has a header for it"
        raise ValueError(msg)
    secret = _checked_secret(proxy.secret)
    form = FORMS[proxy.form]
    leaf = _name(proxy.header or form.header)
    chain = None
    if proxy.form == "rfc9440":
        chain = _name(proxy.verified_chain or _CHAIN)
    secret_name = _name_of_secret(proxy, form)
    names = [leaf] if chain is None else [leaf, chain]
    names.append(secret_name or TRANSFER_ENCODING)
    if len(set(names)) < len(names):
        msg = "header, secret_header, verified_chain: each needs a name of its own"
        raise ValueError(msg)
    return Declared(
        proxy.form,
        leaf,
        chain,
        proxy.verified_chain is not None,
        secret,
        form.with_secret if secret else None,
        secret_name,
        UNIX in proxy.peers,
        tuple(_network(peer) for peer in proxy.peers if peer != UNIX),
        frozenset(names),
    )


def _name_of_secret(proxy: Proxy, form: FormOfHeader) -> bytes | None:
    """Return the header that no application sees; None without a secret.

    Raises:
        ValueError: the declared header would not be read, or its name is wrong.
    """
    if proxy.secret_header is not None and form.with_secret is not None:
        msg = (
            "secret_header: in this form the secret stands in the header with the "
            f"certificate: let the proxy write {proxy.header or form.header}: "
            f"{form.with_secret.shown}"
        )
        raise ValueError(msg)
    return (
        None if proxy.secret is None else _name(proxy.secret_header or _SECRET_HEADER)
    )


def _name(text: str) -> bytes:
    if _NAME.fullmatch(text) is None:
        msg = (
            f"{text!r} is not a name of a header here: letters and digits, with single "
            "hyphens between them"
        )
        raise ValueError(msg)
    return text.lower().encode("ascii")


def _checked_secret(secret: str | None) -> bytes:
    """Return the secret in bytes; no message shows it."""
    if secret is None:
        return b""
    if not isinstance(secret, str):
        msg = f"secret: expected text, got {type(secret).__name__}"
        raise TypeError(msg)
    fits = _SECRET_MIN <= len(secret) <= _SECRET_MAX
    if not fits or _SECRET.fullmatch(secret) is None:
        msg = (
            f"secret: expected {_SECRET_MIN} to {_SECRET_MAX} printable ASCII "
            "characters without blanks, commas, quotes and backslashes; `openssl rand "
            "-hex 32` prints one"
        )
        raise ValueError(msg)
    return secret.encode("ascii")


def _instead_of(text: str) -> str:
    """Return what to write instead of a text that is not a network."""
    try:
        return f"write {ipaddress.ip_network(text, strict=False)}"
    except ValueError:
        return f"expected an address, a network or {UNIX!r} (names are not looked up)"


def _network(text: str) -> _Network:
    if not isinstance(text, str):  # b"unix" has four bytes, as an IPv4 address has
        msg = f"peers: expected text, got {type(text).__name__}"
        raise TypeError(msg)
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        msg = f"peers: {error}; {_instead_of(text)}"
        raise ValueError(msg) from None
    if network.prefixlen == 0:
        msg = f"peers: {text} is everybody; declare a secret alone if you mean that"
        raise ValueError(msg)
    return network
