"""A mitmproxy addon that pins the servers behind the proxy.

    mitmdump -s mitmproxy_pins.py --set pins=pins.toml

mitmproxy ends the TLS of its clients, so the pins of an application behind it
see mitmproxy's certificate. This addon checks the real one: no request reaches a
server whose pin does not hold. Rules are looked up by the name that mitmproxy
verifies. Servers are reached over TLS or not at all: there are no pins for QUIC.

Whatever goes wrong, a connection fails. A pooled connection outlives a change of
the option. If an addon after this one makes connections itself, they have no pins.
"""
# ruff: noqa: INP001 - a script, in no package

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mitmproxy import ctx
from mitmproxy.exceptions import AddonHalt, OptionsError

from pinverify import PinningError, Policy, PolicyError, load_policy
from pinverify.pyopenssl import pin_connection

if TYPE_CHECKING:
    from mitmproxy.addonmanager import Loader
    from mitmproxy.proxy.layers.quic import QuicTlsData
    from mitmproxy.tls import TlsData

__all__ = ["addons"]

logger = logging.getLogger(__name__)


class Pins:
    """Pins every connection from the proxy to a server."""

    policy = Policy({}, unpinned="reject")  # until there is one

    def load(self, loader: Loader) -> None:
        """Add the option."""
        text = "The policy file with the pins of servers."
        loader.add_option("pins", str, "pins.toml", text)

    def configure(self, updated: set[str]) -> None:
        """Read the policy, when mitmproxy starts and when the option is changed."""
        if "pins" in updated:
            try:
                self.policy = load_policy(ctx.options.pins)
            except (OSError, PolicyError) as error:
                msg = f"pins: {error}"
                raise OptionsError(msg) from error  # type: ignore[no-untyped-call]

    def tls_start_server(self, data: TlsData) -> None:
        """Make the connection to a server, and pin it."""
        try:
            if data.ssl_conn is None:  # a script comes before what makes it
                addons: Any = ctx.master.addons
                addons.get("tlsconfig").tls_start_server(data)
            conn: Any = data.ssl_conn
            pin_connection(conn, self.policy, host=data.conn.sni)
        except Exception as error:
            # mitmproxy catches what an addon raises, and would go on without pins.
            logger.exception("a server can't be pinned")
            data.ssl_conn = None
            raise AddonHalt from error

    def tls_failed_server(self, data: TlsData) -> None:
        """Tell which pins were seen and expected: mitmproxy tells the first line."""
        error: PinningError | None = getattr(data.ssl_conn, "pin_error", None)
        if error is not None:
            logger.error("%s", error)

    def quic_start_server(self, data: QuicTlsData) -> None:
        """Refuse: QUIC is not pyOpenSSL's."""
        data.settings = None
        logger.error("there are no pins for QUIC")
        raise AddonHalt


addons = [Pins()]
