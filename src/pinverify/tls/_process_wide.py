"""Pins for a whole process, for libraries that create their own context."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

from pinverify.tls._in_force import ContextRule, in_force, installed
from pinverify.tls._pin_context import set_classes

if TYPE_CHECKING:
    from pinverify.policy import PinSet, Policy
    from pinverify.tls._notices import OnReport

__all__ = ["install", "uninstall"]


def install(policy: Policy | PinSet, *, on_report: OnReport | None = None) -> None:
    """Enforce pins on every client connection of this process. Use it with care.

    It is for libraries that create their own `ssl.SSLContext` and accept none. It
    changes `ssl.SSLContext` for all code, until `uninstall`; a second call replaces
    the policy. A context that is itself pinned keeps its own policy. Connections of
    servers are not checked.

    Args:
        policy: preferably rules for the hosts that matter, because all other hosts
            are checked against it as well.
        on_report: as in `pin_context`.
    """
    checked = in_force(policy, on_report)
    if installed:
        installed[0].in_force = checked
        return
    rule = ContextRule(checked, servers=False)
    for owner in ssl.SSLContext.__mro__:
        if "sslsocket_class" in vars(owner):
            _changed.append((owner, dict(vars(owner))))
            installed.append(rule)
            set_classes(owner, rule)  # the class, for all its instances
            return
    msg = "ssl.SSLContext has no sslsocket_class: it was replaced by something else"
    raise TypeError(msg)


def uninstall() -> None:
    """Undo `install`. Established connections are not affected."""
    installed.clear()
    while _changed:
        owner, before = _changed.pop()
        for name in ("sslsocket_class", "sslobject_class"):
            setattr(owner, name, before[name])


_changed: list[tuple[Any, dict[str, Any]]] = []
"""The class that `install` has changed, and its attributes before the change."""
