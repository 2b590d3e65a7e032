"""Pins on TLS connections: contexts, sockets, and the adapters of other libraries.

`pin_context` works for every client and server that makes its connections with an
`ssl.SSLContext`. The module `pinverify.tls.pyopenssl` is for pyOpenSSL,
`pinverify.tls.twisted` for Twisted, `pinverify.tls.requests` for sessions of requests,
and `pinverify.tls.compat` for programs that already check fingerprints with urllib3 or
aiohttp. Importing this package imports none of these libraries.
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily

if TYPE_CHECKING:
    from pinverify.tls._connect import check, create_connection, wrap_socket
    from pinverify.tls._pin_context import pin_context
    from pinverify.tls._process_wide import Installed, install, uninstall
    from pinverify.tls._report_of import report_of

__all__ = [
    "Installed",
    "check",
    "create_connection",
    "install",
    "pin_context",
    "report_of",
    "uninstall",
    "wrap_socket",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_connect": "check create_connection wrap_socket",
            "_pin_context": "pin_context",
            "_process_wide": "Installed install uninstall",
            "_report_of": "report_of",
        },
    )
