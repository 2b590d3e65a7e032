"""A mitmproxy addon that pins the servers behind the proxy.

    mitmdump -s mitmproxy_pins.py --set pins=pins.toml

mitmproxy terminates the TLS of its clients, so an application behind it sees
mitmproxy's certificate and cannot check its pins. This addon checks the server's
own certificate: no request reaches a server whose pins do not match. The rule is
looked up by the name that mitmproxy verifies. QUIC is refused: it cannot be pinned.

If anything goes wrong, the connection fails. A pooled connection outlives a change
of the option. Connections that a later addon makes by itself are not pinned.
"""
# ruff: noqa: INP001 - a script, in no package

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx
from mitmproxy.exceptions import AddonHalt, OptionsError

from pinverify import PinningError, Policy, PolicyError, load_policy
from pinverify.tls.pyopenssl import pin_connection

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.proxy.layers.quic import QuicTlsData
    from mitmproxy.tls import TlsData

__all__ = ["addons"]

logger = logging.getLogger(__name__)


class Pins:
    """Pins every connection from the proxy to a server."""

    policy = Policy({}, unpinned="reject")  # until one is loaded

    def load(self, loader: Loader) -> None:
        """Add the option."""
        text = "The policy file with the pins of the servers."
        loader.add_option("pins", str, "pins.toml", text)

    def configure(self, updated: set[str]) -> None:
        """Read the policy when mitmproxy starts and when the option changes."""
        if "pins" in updated:
            try:
                self.policy = load_policy(ctx.options.pins)
            except (OSError, PolicyError) as error:
                msg = f"pins: {error}"
                raise OptionsError(msg) from error  # type: ignore[no-untyped-call]

    def tls_start_server(self, data: TlsData) -> None:
        """Create the connection to a server, and pin it."""
        try:
            if data.ssl_conn is None:  # scripts run before the addon that creates it
                addons: Any = ctx.master.addons
                addons.get("tlsconfig").tls_start_server(data)
            conn: Any = data.ssl_conn
            pin_connection(conn, self.policy, host=data.conn.sni)
        except Exception as error:
            # mitmproxy catches exceptions of addons, and would continue without pins.
            logger.exception("cannot pin a connection to a server")
            data.ssl_conn = None
            raise AddonHalt from error

    def tls_failed_server(self, data: TlsData) -> None:
        """Log the pins seen and expected; mitmproxy logs only the first line."""
        error: PinningError | None = getattr(data.ssl_conn, "pin_error", None)
        if error is not None:
            logger.error("%s", error)

    def quic_start_server(self, data: QuicTlsData) -> None:
        """Refuse QUIC: it does not use pyOpenSSL."""
        data.settings = None
        logger.error("QUIC cannot be pinned")
        raise AddonHalt


addons = [Pins()]
