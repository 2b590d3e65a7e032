"""The part that ASGI and WSGI middleware share: an application and its gate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from pinverify.headers._request_decision import Gate

if TYPE_CHECKING:
    from pinverify.headers._declared_proxy import Proxy
    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import OnReport

__all__ = ["Middleware"]

_App = TypeVar("_App")


class Middleware(Generic[_App]):
    """An application that only pinned clients reach."""

    def __init__(
        self,
        app: _App,
        policy: Policy | PinSet,
        proxy: Proxy,
        *,
        on_report: OnReport | None = None,
    ) -> None:
        """Pin the clients of an application.

        Args:
            app: the application.
            policy: a policy with pins for clients, or a PinSet for every client.
            proxy: the proxy whose header counts.
            on_report: called with the report of each request that is refused, or
                accepted without a match, as in `pinverify.pin_context`. If it raises,
                the request is refused.

        Raises:
            PolicyError: *policy* has no pins for clients, or has `ca` pins while only
                the leaf counts.
            TypeError: an argument has the wrong type.
        """
        self._app = app
        self._gate = Gate(policy, proxy, on_report)

    def use(self, policy: Policy | PinSet) -> None:
        """Replace the policy, for all requests that come from now on.

        Raises:
            PolicyError: as in the constructor. The old policy stays.
            TypeError: *policy* is not a policy. The old policy stays.
        """
        self._gate.use(policy)
