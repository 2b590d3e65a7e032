"""Pins for `ssl.SSLContext`: sockets, asyncio, and every client that takes one.

A context makes its connections with two classes of its choice, one for sockets
and one for memory buffers. `pin_context` puts its own in their place, mixed into
those it finds. OpenSSL does the handshake inside of reads and writes as well, so
overriding ``do_handshake`` is not enough; each connection is a state machine:

    PENDING ──► VERIFIED    data flows at the cost of plain ssl
       └──────► FAILED      closed; every later call raises the same error

While it is PENDING, whatever moves data first completes the handshake and the
check: no byte reaches the caller or the peer before.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pinverify.errors import PinningError, PolicyError
from pinverify.policy import PinSet, Policy

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.report import Report

__all__ = ["pin_context"]

# What moves data; of these, the ones that a class has are gated.
_MOVES_DATA = (
    "read",
    "write",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendfile",
    "sendmsg",
    "sendto",
    "unwrap",
)


def pin_context(context: ssl.SSLContext, policy: Policy | PinSet) -> ssl.SSLContext:
    """Enforce pins on every connection that *context* makes from now on.

    Called again, it swaps the policy: each handshake is decided by the policy
    that is in place at its end. Connections that are established already stay.

    A connection's decision is its attribute ``pin_report``, once it is made.

    Args:
        context: for clients or servers. Its own checks stay as they are; without
            certificate validation (``CERT_NONE``) only the leaf counts, since
            nobody has verified the rest of the chain.
        policy: what holds for the name that the client connects to. A server's
            clients have no name: give a `PinSet`.

    Returns:
        *context*.

    Raises:
        TypeError: *context* is no `ssl.SSLContext`, or makes its connections in
            a way that pins can't be enforced on.
        PolicyError: a server's context is given rules for host names.
    """
    if not isinstance(context, ssl.SSLContext):
        msg = f"expected an ssl.SSLContext, got {type(context).__name__}"
        raise TypeError(msg)
    if not isinstance(policy, Policy | PinSet):
        msg = f"expected a Policy or a PinSet, got {type(policy).__name__}"
        raise TypeError(msg)
    if _is_server(context) and not _is_for_every_peer(policy):
        msg = "a server's clients have no host name: give pin_context a PinSet"
        raise PolicyError(msg)
    rule = context.__dict__.get("_pinverify")
    if rule is None:
        rule = _Rule(policy)
        _hook(context, rule)
        context.__dict__["_pinverify"] = rule
    rule.policy = policy
    return context


class _Rule:
    """What holds for the connections of one context; `policy` may be swapped."""

    __slots__ = ("policy",)

    def __init__(self, policy: Policy | PinSet) -> None:
        self.policy = policy

    def verify(self, host: str | None, verified_chain: list[bytes]) -> Report:
        policy = self.policy  # once: a swap must not be seen in between
        if isinstance(policy, PinSet):
            return policy.verify(verified_chain)
        return policy.verify(host, verified_chain)


def _is_server(context: ssl.SSLContext) -> bool:
    return context.protocol is ssl.PROTOCOL_TLS_SERVER


def _is_for_every_peer(policy: Policy | PinSet) -> bool:
    return isinstance(policy, PinSet) or policy.every_peer


# ---- one connection ------------------------------------------------------------


class _Pending:
    """Mixed into an SSL socket or object; its state until the check is done."""

    pin_report: Report | None = None
    _pinverify_rule: ClassVar[_Rule]
    _pinverify_settled: ClassVar[bool] = False
    _pinverify_verified_class: ClassVar[type]
    _pinverify_error: PinningError | None = None
    _pinverify_verifying = False

    if TYPE_CHECKING:  # from the class that this one is mixed into
        context: Any
        server_hostname: str | None
        server_side: bool

    @property
    def _sslobj(self) -> Any:  # noqa: ANN401 - a C object without a type
        return self.__dict__.get("_sslobj")

    @_sslobj.setter
    def _sslobj(self, sslobj: Any) -> None:  # noqa: ANN401
        """Note whether OpenSSL will verify the chain.

        That is fixed at this moment, when the C object is made. The context may
        be told otherwise later, without effect on this connection.
        """
        self.__dict__["_sslobj"] = sslobj
        if sslobj is not None:
            self._pinverify_verifying = sslobj.context.verify_mode != ssl.CERT_NONE

    def do_handshake(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Do the handshake, then decide about the peer."""
        self._pinverify_raise_again()
        super().do_handshake(*args, **kwargs)  # type: ignore[misc]
        if not self._pinverify_settled:
            self._pinverify_decide()

    def verify_client_post_handshake(self) -> NoReturn:
        """Refuse: a certificate that comes later would come after the decision."""
        msg = "pins are checked in the handshake; post-handshake authentication is off"
        raise PinningError.of(msg)

    def _pinverify_settle(self) -> None:
        """Before data moves: let the handshake and the check be done."""
        self._pinverify_raise_again()
        if not self._pinverify_settled:
            self.do_handshake()

    def _pinverify_raise_again(self) -> None:
        error = self._pinverify_error
        if error is not None:
            raise error.with_traceback(None)

    def _pinverify_decide(self) -> None:
        try:
            report = self._pinverify_rule_in_force().verify(
                None if self.server_side else self.server_hostname,
                self._pinverify_chain(),
            )
        except PinningError as error:
            self._pinverify_fail(error)
        except Exception as cause:  # noqa: BLE001 - whatever it is: fail closed
            failure = PinningError.of(f"the peer could not be checked: {cause!r}")
            failure.__cause__ = cause
            self._pinverify_fail(failure)
        else:
            self.pin_report = report
            self.__class__ = self._pinverify_verified_class

    def _pinverify_rule_in_force(self) -> _Rule:
        """Return the rule of the context in use, which SNI may have selected."""
        selected: _Rule | None = self.context.__dict__.get("_pinverify")
        return selected or self._pinverify_rule

    def _pinverify_chain(self) -> list[bytes]:
        """Return the verified chain, leaf first; else the leaf; else nothing.

        A chain that OpenSSL built without verifying it (CERT_NONE) ends at a CA
        that a forged leaf merely names. A resumed session has no chain.
        """
        leaf = self._sslobj.getpeercert(True)  # noqa: FBT003 - OpenSSL's order
        if leaf is None:
            return []
        if self._pinverify_verifying and self.context.verify_mode != ssl.CERT_NONE:
            chain = self._sslobj.get_verified_chain()
            if chain:
                return [cert.public_bytes(_ENCODING_DER) for cert in chain]
        return [leaf]

    def _pinverify_fail(self, error: PinningError) -> NoReturn:
        self._pinverify_error = error
        self.pin_report = error.report
        self._pinverify_shut()
        raise error

    def _pinverify_shut(self) -> None:
        raise NotImplementedError


_ENCODING_DER = 2  # _ssl.ENCODING_DER, on every version


class _PendingSocket(_Pending):
    """The state of an SSL socket."""

    def connect(self, addr: Any) -> None:  # noqa: ANN401
        """Connect, unless the check has failed."""
        self._pinverify_raise_again()
        super().connect(addr)  # type: ignore[misc]

    def connect_ex(self, addr: Any) -> int:  # noqa: ANN401
        """Connect, unless the check has failed."""
        self._pinverify_raise_again()
        rc: int = super().connect_ex(addr)  # type: ignore[misc]
        return rc

    def _pinverify_settle(self) -> None:
        if self._sslobj is None and self._pinverify_error is None:
            if "_connected" not in self.__dict__:
                return  # ssl itself looks for data sent in clear: CVE-2023-40217
            # After a failed connect() ssl would go on in clear.
            msg = "TLS is not established; nothing is sent or received in clear"
            raise OSError(errno.ENOTCONN, msg)
        super()._pinverify_settle()

    def _pinverify_shut(self) -> None:
        connection: Any = self
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # also what makefile() keeps open
        with contextlib.suppress(OSError):
            connection.close()


class _PendingObject(_Pending):
    """The state of an SSL object, which reads and writes memory buffers."""

    _pinverify_outgoing: ssl.MemoryBIO

    @classmethod
    def _create(cls, incoming: Any, outgoing: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self: Any = super()._create(incoming, outgoing, *args, **kwargs)  # type: ignore[misc]
        self._pinverify_outgoing = outgoing
        return self

    def _pinverify_shut(self) -> None:
        # What waits there would end the handshake, or show a client certificate.
        self._pinverify_outgoing.read()


# ---- the two classes of a context ------------------------------------------------


def _hook(context: ssl.SSLContext, rule: _Rule) -> None:
    """Make *context* use our classes, and see that it does."""
    before = dict(context.__dict__)
    context.sslsocket_class = _checked(_PendingSocket, context.sslsocket_class, rule)
    context.sslobject_class = _checked(_PendingObject, context.sslobject_class, rule)
    try:
        _see_that_it_works(context)
    except BaseException:
        context.__dict__.clear()
        context.__dict__.update(before)
        raise
    # A TLS 1.2 peer could show another certificate after the check.
    context.options |= ssl.OP_NO_RENEGOTIATION


def _checked(pending: type[_Pending], base: type, rule: _Rule) -> Any:  # noqa: ANN401
    """Return *base* with the check; once VERIFIED, its methods are those of *base*."""
    moves_data = [name for name in _MOVES_DATA if hasattr(base, name)]
    gates = {name: _gate(getattr(base, name)) for name in moves_data}
    checked = type(
        f"Pinned{base.__name__}", (pending, base), {**gates, "_pinverify_rule": rule}
    )
    open_gates: dict[str, Any] = {name: getattr(base, name) for name in moves_data}
    # A plain attribute in place of the property: the instance's own comes first.
    open_gates |= {"_sslobj": None, "_pinverify_settled": True}
    checked._pinverify_verified_class = type(  # type: ignore[attr-defined]  # noqa: SLF001
        f"Verified{base.__name__}", (checked,), open_gates
    )
    return checked


def _gate(base_method: Callable[..., Any]) -> Callable[..., Any]:
    """Return *base_method*, after the check."""

    def method(self: _Pending, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self._pinverify_settle()
        return base_method(self, *args, **kwargs)

    method.__name__ = base_method.__name__
    method.__doc__ = base_method.__doc__
    return method


def _see_that_it_works(context: ssl.SSLContext) -> None:
    """Make one connection of each class, without a peer, and look at it.

    Some contexts make their connections with another context's classes; pins
    would be set there and never checked.
    """
    server = _is_server(context)
    name = None if server else "localhost"
    with socket.socket() as plain:
        made = (
            context.wrap_bio(
                ssl.MemoryBIO(),
                ssl.MemoryBIO(),
                server_side=server,
                server_hostname=name,
            ),
            context.wrap_socket(
                plain,
                server_side=server,
                server_hostname=name,
                do_handshake_on_connect=False,
            ),
        )
        made[1].close()
    if not all(isinstance(connection, _Pending) for connection in made):
        msg = (
            f"{type(context).__module__}.{type(context).__name__} does not make its "
            "connections with its sslsocket_class and sslobject_class, so pins "
            "can't be enforced on it; pin an ssl.SSLContext"
        )
        raise TypeError(msg)
