"""Pins for client certificates that a proxy passes in a header.

A proxy that ends TLS shows the application no connection, only a header with the
certificate of the client. `PinnedASGI` and `PinnedWSGI` let a request pass to the
application if the key in it is pinned, and answer 403 otherwise.

    proxy = Proxy("nginx", peers=["10.0.0.7"])
    app = PinnedASGI(app, PinSet(leaf=[…]), proxy)

Anybody can write a header. So nothing is believed that is not declared: the form of
the header, and the proxy that it comes from. docs/behind-a-proxy.md has the limits, and
a recipe for each proxy.
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
