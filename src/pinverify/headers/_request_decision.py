"""The decision about one request: its origin, its headers, its certificate.

These steps follow each other, and any exception is a rejection:

1. A watched header in another spelling is refused. To a proxy that replaces
   `Client-Cert`, `Client_Cert` is another header; to CGI, WSGI and PHP it is the same.
2. A request that does not come from the declared proxy is refused, even in report mode,
   and even without any header: somebody else's header is no evidence, and a way around
   the proxy is a mistake in the network. A declared secret is in the header with the
   certificate, if the form has a place for it. If it had a header of its own, a client
   could make the proxy remove one of the two (`Connection: NAME`), and could add a
   header where the proxy does not look: under a name with underscores, which some
   servers take for hyphens, or in a trailer, which some servers take for headers. If
   the certificate's header has no secret, requests through servers that may take
   underscores for hyphens are refused; without any secret, also `Transfer-Encoding`.
3. The header is read: at most one, in the declared form.
4. The pins decide, with the rules of evidence that all adapters have: the leaf counts,
   and a chain only if the declaration says that the proxy has verified it.

In report mode the pins refuse nobody, but steps 1 to 3 still refuse requests: those did
not come as declared, and no policy judges them.
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
    from pinverify.tls._events import OnReport
    from pinverify.tls._judge import Peer
    from pinverify.tls._policy_in_force import InForce

__all__ = ["Gate", "Request", "refusal_text"]

_CLIENT: Peer = (None, True)


class Request(NamedTuple):
    """The parts of a request that are needed to decide.

    Attributes:
        lines: name and value of each header, in the order of the request.
        address: the address of the peer, as `socket.socket.getpeername` returns it.
        unix: True if the request came through a Unix socket.
        next_step: advice if the address is not known; else empty.
        merged: why names of headers may differ from what the proxy sent; empty if they
            cannot.
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
            policy: a policy with pins for clients, or a PinSet for every client.
            proxy: the proxy whose header counts.
            on_report: called with the report of each request that is refused, or
                accepted without a match.

        Raises:
            PolicyError: *policy* has no pins for clients, or could accept no client.
            TypeError: an argument has the wrong type.
        """
        self._declared = declared(proxy)
        self._in_force = _for_clients(in_force(policy, on_report), self._declared)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy; each request is decided by exactly one policy.

        Raises:
            PolicyError: *policy* has no pins for clients, or could accept no client.
                The old policy stays.
            TypeError: *policy* is not a policy. The old policy stays.
        """
        new = in_force(policy, self._in_force.on_report)
        self._in_force = _for_clients(new, self._declared)

    def for_application(self, name: bytes, value: bytes) -> bytes | None:
        """Return what the application sees of a header's value: never the secret.

        Args:
            name: the name in lower case.
            value: the value in an accepted request.

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
        """Return the report; the request may pass only if ``report.accepted`` is true.

        The report is logged and given to `on_report`, as in all adapters.
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
        accepted[4][0] += 1  # the acceptance is final
        return report


def refusal_text(report: Report) -> str:
    """Return the line that a refused client reads. It tells nothing but the reason."""
    return f"403: the client certificate was refused: {report.reason.name}\n"


def _for_clients(in_force: InForce, declared: Declared) -> InForce:
    """Return *in_force*, if its policy can accept a client of the proxy.

    Raises:
        PolicyError: the policy would reject every client.
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
    """The certificates in the headers, with the methods that `judge` calls."""

    __slots__ = ("_address", "_certs", "_chain_counts")

    def __init__(self, address: Any) -> None:  # noqa: ANN401 - as in the module socket
        self._address = address
        self._certs: tuple[bytes, ...] = ()
        self._chain_counts = False

    def read(self, declared: Declared, request: Request) -> None:
        """Read the headers of a request.

        Raises:
            _NotAsDeclaredError: one of steps 1 to 3 above refuses the request.
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
        """Return the chain; empty if it is missing, as in a resumed session."""
        return self._certs if len(self._certs) > 1 else ()

    def to_der(self, cert: bytes) -> bytes:
        return cert

    def address(self) -> Any:  # noqa: ANN401 - as in the module socket
        return self._address

    def is_resumed(self) -> bool | None:
        return None


# ---- headers -----------------------------------------------------------------------

# Any other character than a letter or digit is a hyphen to some reader of headers.
_HYPHENATED = bytes(
    byte if chr(byte).isascii() and chr(byte).isalnum() else ord("-")
    for byte in range(256)
)


def _values(
    declared: Declared, lines: Sequence[tuple[bytes, bytes]]
) -> dict[bytes, list[bytes]]:
    """Return the values of the headers that are watched.

    Raises:
        _NotAsDeclaredError: a watched header has another spelling.
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
        _NotAsDeclaredError: the header is there more than once.
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
    """Return why the secret does not vouch for the headers, and the values without it.

    A chain that does not count needs no secret, and is not looked at.
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
        _NotAsDeclaredError: the request has the header with the secret twice.
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
    """Return what is wrong with the sender's address; empty if it is declared."""
    if declared.secret and not (declared.unix or declared.networks):
        return ""
    if request.unix:
        return "" if declared.unix else "it came through a Unix socket"
    try:
        address = ipaddress.ip_address(request.address[0])
    except (TypeError, ValueError, IndexError):  # the server does not know it
        return request.next_step or "its address is not known"
    if not _zone(address):  # a mapped address of a socket has no zone
        address = getattr(address, "ipv4_mapped", None) or address
    is_declared = any(
        address in network and _zone(network.network_address) in {"", _zone(address)}
        for network in declared.networks
    )
    return "" if is_declared else f"{address} is not one of its addresses"


def _zone(address: object) -> str:
    """Return the zone of an address (RFC 4007, 11); `address in network` ignores it."""
    return getattr(address, "scope_id", None) or ""


def _shown(name: bytes | None) -> str:
    return "" if name is None else name.decode("ascii").title()
