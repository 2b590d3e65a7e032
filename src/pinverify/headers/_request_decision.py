"""The decision about one request: where it comes from, what it brings, who may pass.

In this order, and any exception is a rejection:

1. A header that is watched, in another spelling, is refused. `Client_Cert` is another
   header to a proxy that replaces `Client-Cert`, and the same one to CGI, WSGI, PHP.
2. A request that does not come from the declared proxy is refused, in report mode too,
   and also without any header: a header of somebody else's is no evidence, and a way
   around the proxy is a mistake in the network. A declared secret stands in the header
   with the certificate, because a client may have the proxy remove one of two headers
   (`Connection: NAME`), and add the other one where the proxy does not look: with
   underscores, which some servers take for hyphens, or in a trailer, which some servers
   take for headers. Without a declared secret whatever can bring these is refused.
3. The header is read, at most one and in the declared form.
4. The pins decide, with the rules of evidence that all adapters have: the leaf counts,
   and a chain only if the declaration says that the proxy has verified it.

In report mode the pins refuse nobody, but steps 1 to 3 still do: they find requests
that did not come as declared, which no policy judges.
"""

from __future__ import annotations

import hmac
import ipaddress
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.errors import PolicyError
from pinverify.headers._declared_proxy import TRANSFER_ENCODING, declared
from pinverify.headers._forms import VALUE_MAX, read_leaf
from pinverify.headers._rfc9440 import FormError, byte_sequences, secrets_of_list
from pinverify.tls._judge import (
    announce,
    judge,
    refusal,
    rejection,
    report_of_accepted,
)
from pinverify.tls._memo import Memo
from pinverify.tls._policy_in_force import in_force

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pinverify.headers._declared_proxy import Declared, Proxy
    from pinverify.headers._forms import WithSecret
    from pinverify.policy import PinSet, Policy, Report
    from pinverify.tls._judge import Peer
    from pinverify.tls._notices import OnReport
    from pinverify.tls._policy_in_force import InForce

__all__ = ["Gate", "Request", "refusal_text"]

_CLIENT: Peer = (None, True)


class Request(NamedTuple):
    """The parts of a request that are needed to decide.

    Attributes:
        lines: name and value of each header, in the order of the request.
        address: of the peer that sent it, as `socket.socket.getpeername` returns it.
        unix: True if it came through a Unix socket.
        next_step: to be said where the address is not known, or empty.
        merged: why names of headers may be others than the proxy sent, or empty.
    """

    lines: Sequence[tuple[bytes, bytes]]
    address: Any
    unix: bool
    next_step: str = ""
    merged: str = ""


class Gate:
    """Decides about requests by the certificate that a declared proxy passes."""

    def __init__(
        self, policy: Policy | PinSet, proxy: Proxy, on_report: OnReport | None = None
    ) -> None:
        """Check the arguments.

        Args:
            policy: with pins for clients; a PinSet is for every client.
            proxy: whose header counts.
            on_report: is called with the report of each request that is refused, or
                accepted without a match.

        Raises:
            PolicyError: *policy* has no pins for clients, or could accept none.
            TypeError: an argument has the wrong type.
        """
        self._declared = declared(proxy)
        self._in_force = _for_clients(in_force(policy, on_report), self._declared)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy; each request is decided by exactly one.

        Raises:
            PolicyError: *policy* has no pins for clients, or could accept none. The
                old one stays.
            TypeError: it is no policy. The old one stays.
        """
        new = in_force(policy, self._in_force.on_report)
        self._in_force = _for_clients(new, self._declared)

    def for_application(self, name: bytes, value: bytes) -> bytes | None:
        """Return the value of a header that the application sees: never the secret.

        Args:
            name: in lower case.
            value: as it came in an accepted request.

        Returns:
            the value, or None if the application does not see the header.
        """
        declared = self._declared
        if name == declared.secret_name:
            return None
        if declared.secret_inside is not None:
            if name == declared.leaf:
                return declared.secret_inside.split(value)[1]
            if name == declared.chain:
                return secrets_of_list(value)[1]
        return value

    def decide(self, request: Request) -> Report:
        """Return the report: let the request pass only if it says ``accepted``.

        It is logged and reported, as those of all adapters are.
        """
        in_force = self._in_force
        shown = _Passed(request.address)
        try:
            try:
                shown.read(self._declared, request)
            except _NotAsDeclaredError as fault:
                raise rejection(in_force, None, str(fault)) from None
            # A memo of its own: no other request is evidence for this one.
            accepted = judge(in_force, Memo(leaves_max=0), _CLIENT, shown)
            report = report_of_accepted(accepted, _CLIENT, shown)
        except Exception as cause:  # noqa: BLE001 - any error: fail closed
            error = refusal(cause, in_force, _CLIENT, shown)
            announce(error, cause, in_force)
            return error.report
        accepted[4][0] += 1  # it is final
        return report


def refusal_text(report: Report) -> str:
    """Return the line that a refused client reads. It tells nothing but the reason."""
    return f"403: the client certificate was refused: {report.reason.name}\n"


def _for_clients(in_force: InForce, declared: Declared) -> InForce:
    """Return a policy that can accept a client of the proxy.

    Raises:
        PolicyError: it would lock out everybody.
    """
    if not in_force.policy.has_clients:
        msg = (
            "the policy has no pins for clients: add [clients] to its file; in Python "
            "give a PinSet, or a policy with Rules(clients=PinSet(…))"
        )
        raise PolicyError(msg)
    if in_force.handle.pinset(0).has_ca and not declared.chain_counts:
        msg = (
            "the policy has ca pins, which match nothing where only the leaf counts: "
            "pin the leaf; or, if the proxy passes the chain that it verified, declare "
            "verified_chain"
        )
        raise PolicyError(msg)
    return in_force


class _NotAsDeclaredError(Exception):
    """Raised for a request that the declared proxy cannot have sent."""


class _Passed:
    """The certificates that a header brings, as `judge` asks for them."""

    __slots__ = ("_address", "_certs", "_chain_counts")

    def __init__(self, address: Any) -> None:  # noqa: ANN401 - as in the module socket
        self._address = address
        self._certs: tuple[bytes, ...] = ()
        self._chain_counts = False

    def read(self, declared: Declared, request: Request) -> None:
        """Read the headers of a request.

        Raises:
            _NotAsDeclaredError: see the beginning of this file.
        """
        values = _values(declared, request.lines)
        leaf = _only(values, declared.leaf)
        chain = _only(values, declared.chain)
        place = declared.secret_inside
        if place is None:
            why = _no_secret(declared, request, values)
        else:
            why, leaf, chain = _without_secret(declared, place, leaf, chain)
        why = why or _other_address(declared, request)
        if why:
            msg = f"the request does not come from the declared proxy: {why}"
            raise _NotAsDeclaredError(msg)
        if leaf is None:
            if chain is not None:
                msg = f"{_shown(declared.chain)} came without {_shown(declared.leaf)}"
                raise _NotAsDeclaredError(msg)
            return
        try:
            self._certs = (read_leaf(declared.form, leaf),)
        except FormError as error:
            msg = f"{_shown(declared.leaf)}: {error}"
            raise _NotAsDeclaredError(msg) from None
        self._chain_counts = declared.chain_counts
        if chain is not None and declared.chain_counts:
            try:
                self._certs += tuple(_certs_above(chain))
            except FormError as error:
                msg = f"{_shown(declared.chain)}: {error}"
                raise _NotAsDeclaredError(msg) from None

    def leaf(self) -> bytes | None:
        return self._certs[0] if self._certs else None

    def is_verified(self) -> bool:
        return self._chain_counts

    def doubt(self) -> str:
        return ""

    def verified_chain(self) -> Sequence[bytes]:
        """Return the chain; as in a resumed session, it may be missing."""
        return self._certs if len(self._certs) > 1 else ()

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        return self._address

    def is_resumed(self) -> bool | None:
        return None


# ---- headers -----------------------------------------------------------------------

# All that is no letter or digit looks like a hyphen to some reader of headers.
_HYPHENATED = bytes(
    byte if chr(byte).isascii() and chr(byte).isalnum() else ord("-")
    for byte in range(256)
)


def _values(
    declared: Declared, lines: Sequence[tuple[bytes, bytes]]
) -> dict[bytes, list[bytes]]:
    """Return the values of the headers that are watched.

    Raises:
        _NotAsDeclaredError: one of them is there in another spelling.
    """
    values: dict[bytes, list[bytes]] = {}
    for name, value in lines:
        plain = name.translate(_HYPHENATED).strip(b"-").lower()
        if plain in declared.watched:
            if name.lower() != plain:
                msg = f"a header is spelt almost as {_shown(plain)}"
                raise _NotAsDeclaredError(msg)
            values.setdefault(plain, []).append(value)
    return values


def _only(values: dict[bytes, list[bytes]], name: bytes | None) -> bytes | None:
    """Return the value of a header, or None if it is not there.

    Raises:
        _NotAsDeclaredError: it is there twice.
    """
    found = [] if name is None else values.get(name, [])
    if len(found) > 1:
        msg = f"{_shown(name)} came {len(found)} times"
        raise _NotAsDeclaredError(msg)
    return found[0] if found else None


def _certs_above(value: bytes) -> list[bytes]:
    if len(value) > VALUE_MAX:
        msg = f"it has more than {VALUE_MAX:,} bytes"
        raise FormError(msg)
    return byte_sequences(value)


def _without_secret(
    declared: Declared, place: WithSecret, leaf: bytes | None, chain: bytes | None
) -> tuple[str, bytes | None, bytes | None]:
    """Return why the secret in headers does not vouch for them, and these without it.

    A chain that does not count needs none, and is not looked at.
    """
    if leaf is None:
        return f"{_shown(declared.leaf)} is missing, and the secret with it", None, None
    secret, rest = place.split(leaf)
    if not hmac.compare_digest(secret, declared.secret):
        why = f"no secret, or another one; let the proxy write {place.shown}"
        return f"{_shown(declared.leaf)} has {why}", None, None
    if chain is not None and declared.chain_counts:
        secrets, chain = secrets_of_list(chain)
        same = [hmac.compare_digest(one, declared.secret) for one in secrets]
        if not all(same):
            why = f"needs the secret in each member; let the proxy write {place.shown}"
            return f"{_shown(declared.chain)} {why}", None, None
    return "", rest or None, chain


def _no_secret(
    declared: Declared, request: Request, values: dict[bytes, list[bytes]]
) -> str:
    """Return why the certificate header cannot be trusted; empty if it can.

    Raises:
        _NotAsDeclaredError: the request has the secret twice.
    """
    if request.merged:
        return request.merged
    if not declared.secret:
        if TRANSFER_ENCODING not in values:
            return ""
        return (
            "it has Transfer-Encoding, and a client may have written its trailer; "
            "declare a secret, or let the proxy send Content-Length"
        )
    given = _only(values, declared.secret_name) or b""
    if hmac.compare_digest(given, declared.secret):
        return ""
    wrong = "has another value" if given else "is missing"
    return f"{_shown(declared.secret_name)} {wrong}"


def _other_address(declared: Declared, request: Request) -> str:
    """Return what is not as declared about the sender's address; or empty."""
    if declared.secret and not (declared.unix or declared.networks):
        return ""
    if request.unix:
        return "" if declared.unix else "it came through a Unix socket"
    try:
        address = ipaddress.ip_address(request.address[0])
    except (TypeError, ValueError, IndexError):  # no address that this server knows
        return request.next_step or "its address is not known"
    if not _zone(address):  # no mapped address of a socket has one
        address = getattr(address, "ipv4_mapped", None) or address
    is_declared = any(
        address in network and _zone(network.network_address) in {"", _zone(address)}
        for network in declared.networks
    )
    return "" if is_declared else f"{address} is not one of its addresses"


def _zone(address: object) -> str:
    """Return the link that an address is of (RFC 4007, 11); `ipaddress` ignores it."""
    return getattr(address, "scope_id", None) or ""


def _shown(name: bytes | None) -> str:
    return "" if name is None else name.decode("ascii").title()
