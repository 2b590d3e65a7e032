"""Pins on TLS connections: contexts, sockets, and the adapters of other libraries.

`pin_context` works for every client and server that makes its connections with an
`ssl.SSLContext`. The module `pinverify.tls.pyopenssl` is for pyOpenSSL,
`pinverify.tls.twisted` for Twisted, `pinverify.tls.requests` for sessions of requests,
and `pinverify.tls.compat` for programs that already check fingerprints with urllib3 or
aiohttp. Importing this package imports none of these libraries.
"""

from pinverify.tls._connect import check, create_connection, wrap_socket
from pinverify.tls._pin_context import pin_context
from pinverify.tls._process_wide import install, uninstall
from pinverify.tls._report_of import report_of

__all__ = [
    "check",
    "create_connection",
    "install",
    "pin_context",
    "report_of",
    "uninstall",
    "wrap_socket",
]
