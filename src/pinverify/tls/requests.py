"""Pins for the https requests of a `requests.Session`, also through proxies.

    session.mount("https://", PinnedAdapter(policy))

urllib3 changes the context of a connection before each handshake: it sets the mode, and
loads authorities and the client's certificate. If all connections shared a context,
``verify=False`` of one request would affect the handshake of another, and one request's
certificate would be shown to every later server. So the adapter keeps one context for
each pair of ``verify`` and ``cert``. It makes a new one if a file behind them changes,
so that an authority that was removed from a file is no longer trusted. It keeps as many
contexts as urllib3 keeps pools, and evicts the least recently used one.
"""

from __future__ import annotations

import os
import ssl
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from requests.adapters import HTTPAdapter
from requests.exceptions import InvalidSchema
from requests.utils import DEFAULT_CA_BUNDLE_PATH, select_proxy
from urllib3.poolmanager import proxy_from_url
from urllib3.util.ssl_ import create_urllib3_context

from pinverify.tls._pin_context import pin_context
from pinverify.tls._policy_in_force import in_force
from pinverify.tls._ssl_contexts import ForkSafeLock

if TYPE_CHECKING:
    from collections.abc import Hashable

    from requests import PreparedRequest
    from urllib3.connectionpool import HTTPConnectionPool
    from urllib3.poolmanager import ProxyManager

    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import OnReport

__all__ = ["PinnedAdapter"]

if not hasattr(HTTPAdapter, "build_connection_pool_key_attributes"):
    # 2.32.2 replaces the context of an adapter by one of its own, without pins.
    _MSG = (
        "pinverify.tls.requests needs requests 2.32.3 or later: "
        "pip install --upgrade requests"
    )
    raise ImportError(_MSG)


# Arguments of requests: authorities to trust, and the client's certificate.
_Verify: TypeAlias = "bool | str"
_Cert: TypeAlias = "str | tuple[str, str] | None"

# Threads may share an adapter. No code that holds the lock waits for a peer.
_changing = ForkSafeLock()


class PinnedAdapter(HTTPAdapter):
    """Makes the pinned connections of a session, directly and through proxies.

    Mount it at ``https://``. A proxy with an https URL is checked too, by the rule of
    its own host. ``verify`` and ``cert`` mean what they mean without pins; with
    ``verify=False`` only the leaf counts, because nobody verifies the rest.
    """

    def __init__(
        self,
        policy: Policy | PinSet,
        *,
        context: ssl.SSLContext | None = None,
        on_report: OnReport | None = None,
        **pools: Any,  # noqa: ANN401 - as in HTTPAdapter
    ) -> None:
        """Keep the settings for the connections.

        Args:
            policy: the pins of each host.
            context: makes all connections, with its own authorities and its own client
                certificate: requests with ``verify`` or ``cert`` are refused, and the
                authorities of the library requests are not added. It is pinned here.
                None makes contexts as that library does.
            on_report: as in `pin_context`.
            pools: arguments of `requests.adapters.HTTPAdapter`, such as
                ``max_retries``.

        Raises:
            TypeError: *context* is not an `ssl.SSLContext` that can be pinned.
        """
        self._policy = policy
        self._on_report = on_report
        self._own = context
        if context is not None:
            pin_context(context, policy, on_report=on_report)
        self._contexts: dict[Hashable, ssl.SSLContext] = {}
        # The contexts of `_contexts`, and evicted ones that pools still use.
        self._pinned: weakref.WeakSet[ssl.SSLContext] = weakref.WeakSet()
        super().__init__(**pools)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy: each later handshake is decided by this one.

        Idle connections, which the old policy accepted, are closed. A request that has
        begun goes on.

        Args:
            policy: the pins of each host.

        Raises:
            TypeError: *policy* is neither a Policy nor a PinSet.
        """
        in_force(policy, self._on_report)  # a wrong policy changes nothing
        with _changing.lock:
            self._policy = policy
            own = [] if self._own is None else [self._own]
            for context in [*self._pinned, *own]:
                pin_context(context, policy, on_report=self._on_report)
        for manager in [self.poolmanager, *self.proxy_manager.values()]:
            manager.clear()

    def __getstate__(self) -> NoReturn:
        """Refuse to be pickled: contexts cannot be."""
        msg = (
            "a PinnedAdapter cannot be pickled or copied, nor a session that has one: "
            "mount a new one in the new session"
        )
        raise TypeError(msg)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        """Pin direct connections for which no request brings settings."""
        kwargs["ssl_context"] = self._context_for(verify=True, cert=None)
        super().init_poolmanager(*args, **kwargs)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:  # noqa: ANN401
        """Pin the connections through a proxy, and those to it."""
        if proxy.lower().startswith("https:"):
            return self._https_proxy(proxy, verify=True)
        kwargs["ssl_context"] = self._context_for(verify=True, cert=None)
        return super().proxy_manager_for(proxy, **kwargs)

    def get_connection_with_tls_context(
        self,
        request: Any,  # noqa: ANN401 - a PreparedRequest
        verify: _Verify,
        proxies: dict[str, str] | None = None,
        cert: _Cert = None,
    ) -> HTTPConnectionPool:
        """Return the pool for a request.

        Raises:
            InvalidSchema: the URL is not an https URL.
            ValueError: ``verify`` or ``cert`` cannot be obeyed.
        """
        if not request.url.lower().startswith("https:"):
            msg = (
                f"{request.url!r} has no TLS, so pins cannot be checked: mount a "
                "PinnedAdapter at https:// only"
            )
            raise InvalidSchema(msg)
        if self._own is not None and (verify is not True or cert is not None):
            msg = (
                "this PinnedAdapter has a context of its own, which no verify=, cert= "
                "or REQUESTS_CA_BUNDLE may change: load authorities and certificate "
                "into the context, or make the adapter without context=; "
                "session.trust_env = False leaves the variable out"
            )
            raise ValueError(msg)
        proxy = select_proxy(request.url, proxies) or ""
        if proxy.lower().startswith("https:"):
            host, settings = self.build_connection_pool_key_attributes(
                request, verify, cert
            )
            manager = self._https_proxy(proxy, verify=verify)
            return manager.connection_from_host(**host, pool_kwargs=settings)
        return super().get_connection_with_tls_context(
            request, verify, proxies=proxies, cert=cert
        )

    def build_connection_pool_key_attributes(
        self, request: PreparedRequest, verify: _Verify, cert: _Cert = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Put the pinned context among the settings of the pool for a request."""
        host, settings = super().build_connection_pool_key_attributes(
            request, verify, cert
        )
        settings["ssl_context"] = self._context_for(verify=verify, cert=cert)
        return host, settings

    def cert_verify(self, conn: Any, url: str, verify: _Verify, cert: _Cert) -> None:  # noqa: ANN401
        """Give the pool authorities and certificate, unless the context has them."""
        if self._own is None:
            super().cert_verify(conn, url, verify, cert)

    def _https_proxy(self, proxy: str, *, verify: _Verify) -> ProxyManager:
        """Return the manager of an https proxy, for connections with one ``verify``.

        The proxy gets no client certificate: ``cert`` is for the server behind it.
        """
        context = self._context_for(verify=verify, cert=None)
        key = proxy, verify  # never equal to a key of HTTPAdapter, which is a text
        managers: dict[Any, Any] = self.proxy_manager  # `close` closes all of them
        with _changing.lock:
            manager = managers.pop(key, None)
            if manager is None or manager.proxy_config.ssl_context is not context:
                manager = proxy_from_url(
                    proxy,
                    proxy_headers=self.proxy_headers(proxy),
                    num_pools=self._pool_connections,
                    maxsize=self._pool_maxsize,
                    block=self._pool_block,
                    ssl_context=context,
                    proxy_ssl_context=context,
                )
            managers[key] = manager
            ours = [key for key in managers if isinstance(key, tuple)]
            for oldest in ours[: -self._most()]:
                del managers[oldest]
        found: ProxyManager = manager
        return found

    def _context_for(self, *, verify: _Verify, cert: _Cert) -> ssl.SSLContext:
        if self._own is not None:
            return self._own
        # Made before the context reads the files. If a file changes in between, the
        # key of the next request differs, so that request gets a new context.
        key = verify, cert, _files_of(verify, cert)
        with _changing.lock:
            context = self._contexts.pop(key, None)
            if context is not None:
                self._contexts[key] = context  # the most recent one
                return context
        context = _new_context(verify)
        with _changing.lock:
            # Under the lock, so that a concurrent `use` does not miss this context.
            pin_context(context, self._policy, on_report=self._on_report)
            self._pinned.add(context)
            # If two threads have made a context, both get the first one.
            context = self._contexts.setdefault(key, context)
            for oldest in [*self._contexts][: -self._most()]:
                del self._contexts[oldest]
        return context

    def _most(self) -> int:
        """Return how many contexts are kept, and how many managers of proxies."""
        return max(1, int(self._pool_connections))


def _new_context(verify: _Verify) -> ssl.SSLContext:
    mode = ssl.CERT_REQUIRED if verify else ssl.CERT_NONE
    context = create_urllib3_context(cert_reqs=mode)
    if verify:  # urllib3 loads none for the proxy, requests 2.32.3 none for True
        path = _authorities(verify)
        if not Path(path).exists():
            msg = f"verify= names authorities that are not there: {path!r}"
            raise FileNotFoundError(msg)
        kind = "capath" if Path(path).is_dir() else "cafile"
        context.load_verify_locations(**{kind: path})
    return context


def _authorities(verify: Any) -> Any:  # noqa: ANN401
    """Return the path of the authorities to trust; *verify* is not False."""
    return DEFAULT_CA_BUNDLE_PATH if verify is True else verify


def _files_of(verify: _Verify, cert: _Cert) -> Hashable:
    """Return a value that changes if a file behind ``verify`` or ``cert`` changes."""
    paths = [_authorities(verify)] if verify else []
    paths += cert if isinstance(cert, tuple) else [cert] if cert else []
    for path in [*paths]:
        if Path(path).is_dir():
            paths += sorted(entry.path for entry in os.scandir(path))
    return tuple(map(_state_of, paths))


def _state_of(path: Any) -> Hashable:  # noqa: ANN401
    """Return the state of a file; None if it is missing: loading it will raise."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    # ctime, too: tools that copy or unpack a file may set its mtime to an old one.
    times = found.st_mtime_ns, found.st_ctime_ns
    return path, found.st_dev, found.st_ino, found.st_size, times
