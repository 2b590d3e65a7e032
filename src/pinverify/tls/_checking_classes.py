"""Classes of connections with the check mixed in: of ssl, or of an application.

`_connections` has the mixins. A connection has a class with a mixin from its creation
on. Once it is VERIFIED, it gets a subclass of that class in which the methods of the
mixin are those of the original class again, so its data flows as fast as without pins.
What an application's class defines stays in force in both states.
"""

from __future__ import annotations

from inspect import getattr_static
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.tls._in_force import ContextRule

__all__ = ["class_with_the_check", "verified_class"]

# Methods that move data; those that a class has are gated.
_MOVES_DATA = (
    "read",
    "write",
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "recvmsg",
    "recvmsg_into",
    "send",
    "sendall",
    "sendfile",
    "sendmsg",
    "sendto",
    "unwrap",
)


def class_with_the_check(mixin: type, found: Any, rule: ContextRule) -> Any:  # noqa: ANN401
    """Return the class *found* with the check.

    Args:
        mixin: a mixin for a PENDING connection.
        found: a class of connections. If it has a mixin already, that is kept, and
            only the rule is replaced.
        rule: the rule of the class.

    Raises:
        TypeError: *found* is a subclass of the class of a VERIFIED connection.
    """
    own: dict[str, Any] = {"_pinverify_rule": rule}
    if "_pinverify_base" in vars(found):  # a class of ours
        found = vars(found)["_pinverify_base"]
    elif issubclass(found, mixin):  # an application's subclass of one
        if getattr(found, "_pinverify_settled", False):
            msg = (
                f"{found.__module__}.{found.__qualname__} is a subclass of the class "
                "of a connection that has been checked; derive it from ssl's class"
            )
            raise TypeError(msg)
        return type(f"Pinned{found.__name__}", (found,), own)
    own["_pinverify_base"] = found
    own["_pinverify_mixins"] = mixin.__mro__[:-1]
    for name in _MOVES_DATA:
        if hasattr(found, name):
            own[name] = _gate(getattr(found, name))
    made: Any = type(f"Pinned{found.__name__}", (mixin, found), own)
    if found.__module__ == "ssl":  # other classes may do anything
        made._pinverify_short_way = made, verified_class(made), rule  # noqa: SLF001
    return made


def _gate(base_method: Callable[..., Any]) -> Callable[..., Any]:
    """Return *base_method* with the check in front of it."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self._pinverify_settle()
        return base_method(self, *args, **kwargs)

    method.__name__ = base_method.__name__
    method.__doc__ = base_method.__doc__
    return method


# ---- after the check -----------------------------------------------------------

# Kept after verification: the report, and what bound methods that were looked up while
# PENDING still use.
_KEPT_WHEN_VERIFIED = (
    "pin_report",
    "verify_client_post_handshake",
)


def verified_class(pending: Any) -> Any:  # noqa: ANN401
    """Return the class of a VERIFIED connection that had the class *pending*."""
    known = vars(pending).get("_pinverify_verified_class")
    if known is not None:
        return known
    base = pending._pinverify_base  # noqa: SLF001
    own: dict[str, Any] = {
        "_pinverify_base": base,
        "_pinverify_settled": True,
        "_pinverify_settle": _nothing_to_do,
        "_sslobj": None,  # hides the property; each connection has its own
    }
    for name in _replaced_by_the_check(pending):
        original = getattr_static(base, name, None)
        if original is not None:
            own[name] = original
    made = type(f"Verified{pending.__name__.removeprefix('Pinned')}", (pending,), own)
    pending._pinverify_verified_class = made  # noqa: SLF001
    return made


def _replaced_by_the_check(pending: Any) -> list[str]:  # noqa: ANN401
    """Return the attributes that a class has of the check, not of the application."""
    ours = [
        cls
        for cls in pending.__mro__
        if cls in pending._pinverify_mixins or "_pinverify_rule" in vars(cls)  # noqa: SLF001
    ]
    return [
        name
        for name in {name for cls in ours for name in vars(cls)}
        if not name.startswith(("__", "_pinverify"))
        and name != "_sslobj"
        and name not in _KEPT_WHEN_VERIFIED
        and next(cls for cls in pending.__mro__ if name in vars(cls)) in ours
    ]


def _nothing_to_do(_connection: object) -> None:
    """No-op: a VERIFIED connection has nothing left to check."""
