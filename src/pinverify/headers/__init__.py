"""Pins for client certificates that a proxy passes in a header.

Behind a proxy that ends TLS, an application sees no TLS connection, only a header with
the certificate of the client. `PinnedASGI` and `PinnedWSGI` let a request pass to the
application if the certificate's key is pinned, and answer 403 otherwise.

    proxy = Proxy("nginx", peers=["10.0.0.7"])
    app = PinnedASGI(app, PinSet(leaf=[…]), proxy)

Anybody can write a header. So a header counts only in the form that is declared, and
only from the proxy that is declared. docs/behind-a-proxy.md has the limits, and a
recipe for each proxy.
"""

from typing import TYPE_CHECKING

from pinverify._lazy import lazily

if TYPE_CHECKING:
    from pinverify.headers._asgi import PinnedASGI
    from pinverify.headers._declared_proxy import Proxy
    from pinverify.headers._forms import Form
    from pinverify.headers._wsgi import PinnedWSGI

__all__ = ["Form", "PinnedASGI", "PinnedWSGI", "Proxy"]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "_asgi": "PinnedASGI",
            "_declared_proxy": "Proxy",
            "_forms": "Form",
            "_wsgi": "PinnedWSGI",
        },
    )
