"""Pins for Twisted's TLS clients: endpoints, `startTLS`, and `twisted.web`'s Agent.

    agent = Agent(reactor, PinnedPolicyForHTTPS(policy))
    endpoint = wrapClientTLS(PinnedConnectionCreator("api.example.com", policy), …)

These classes make their connections themselves. Connections made with Twisted's
`optionsForClientTLS` cannot be pinned: each gets a verify callback of its own, which
replaces the one of the context and calls no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from OpenSSL import SSL
from service_identity.hazmat import DNS_ID, IPAddress_ID, verify_service_identity
from service_identity.pyopenssl import extract_patterns
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, platformTrust
from twisted.python.failure import Failure
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer  # type: ignore[import-untyped]

from pinverify.core._hosts import canonical, is_address
from pinverify.tls.pyopenssl import PinnedConnections

if TYPE_CHECKING:
    from OpenSSL import crypto
    from twisted.protocols.tls import TLSMemoryBIOProtocol

    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import OnReport

__all__ = ["PinnedConnectionCreator", "PinnedPolicyForHTTPS"]


@implementer(IOpenSSLClientConnectionCreator)
class PinnedConnectionCreator:
    """Makes a client's connections to one host, as `optionsForClientTLS` does.

    The certificate must be valid and for the host, and the pins must match.
    """

    def __init__(
        self,
        hostname: str | bytes,
        policy: Policy | PinSet,
        *,
        options: CertificateOptions | None = None,
        on_report: OnReport | None = None,
    ) -> None:
        """Keep the settings for the connections.

        Args:
            hostname: a host name or an IP address, to verify and to look up.
            policy: the pins.
            options: the authorities to trust (``trustRoot=…``), the client certificate
                to send, and so on. None trusts the platform's authorities.
            on_report: as in `pinverify.tls.pyopenssl.pin_connection`.

        Raises:
            PolicyError: *hostname* is not a host.
            TypeError: as in `pinverify.pin_context`.
        """
        self._pins = PinnedConnections(policy, on_report=on_report)
        self._host = canonical(hostname)
        self._options = _options(options)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet. The old one stays.
        """
        self._pins.use(policy)

    def clientConnectionForTLS(  # noqa: N802 - Twisted's name
        self,
        tlsProtocol: TLSMemoryBIOProtocol,  # noqa: N803
    ) -> SSL.Connection:
        """Create a connection that has not done its handshake yet."""
        conn = self._options.clientConnectionForTLS(tlsProtocol)
        address = is_address(self._host)
        if not address:  # RFC 6066, 3: SNI has no addresses
            conn.set_tlsext_host_name(self._host.encode("ascii"))
        expected = (IPAddress_ID if address else DNS_ID)(self._host)

        def is_for_host(
            _: SSL.Connection, cert: crypto.X509, __: int, depth: int, ok: int
        ) -> bool:
            if not ok or depth > 0:
                return bool(ok)
            try:
                verify_service_identity(extract_patterns(cert), [expected], [])
            except Exception:  # noqa: BLE001 - any error: fail closed
                tlsProtocol.failVerification(Failure())  # type: ignore[no-untyped-call]
                return False
            return True

        # Always, whatever the options say; Twisted offers no choice either.
        mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
        conn.set_verify(mode)
        return self._pins.pin(conn, host=self._host, callback=is_for_host)


@implementer(IPolicyForHTTPS)
class PinnedPolicyForHTTPS:
    """Pins for the https requests of `twisted.web.client.Agent`.

    A rejected server ends a request with `ResponseNeverReceived`, in which
    `pinverify.find_pinning_error` finds the `PinningError`.
    """

    def __init__(
        self,
        policy: Policy | PinSet,
        *,
        options: CertificateOptions | None = None,
        on_report: OnReport | None = None,
    ) -> None:
        """Keep the settings for the connections.

        Args:
            policy: the pins of each host.
            options: as in `PinnedConnectionCreator`, for all hosts.
            on_report: as in `pinverify.tls.pyopenssl.pin_connection`.

        Raises:
            TypeError: as in `pinverify.pin_context`.
        """
        self._pins = PinnedConnections(policy, on_report=on_report)
        self._options = _options(options)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        Idle connections of the Agent's pool stay open.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet. The old one stays.
        """
        self._pins.use(policy)

    def creatorForNetloc(  # noqa: N802 - Twisted's name
        self, hostname: bytes, port: int
    ) -> PinnedConnectionCreator:
        """Return the creator of the connections to a host.

        Raises:
            PolicyError: *hostname* is not a host.
        """
        del port  # rules hold for all ports
        policy = self._pins.in_force.policy
        creator = PinnedConnectionCreator(hostname, policy, options=self._options)
        creator._pins = self._pins  # noqa: SLF001 - so that `use` reaches it
        return creator


def _options(options: CertificateOptions | None) -> CertificateOptions:
    if options is not None:
        return options
    trust = platformTrust()  # type: ignore[no-untyped-call]
    return CertificateOptions(trustRoot=trust)
