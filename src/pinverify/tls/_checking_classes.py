"""Classes of connections with the check mixed in: of ssl, or of an application.

`_connections` has the mixins. A connection has a class with a mixin from its creation
on. Once it is VERIFIED, it gets another one, which knows the report and leaves all else
to the original class: so its data flows as fast as without pins, and what somebody
patches into ssl later is in force.

No class means that a connection is VERIFIED. A connection that somebody makes with the
class of a VERIFIED one begins PENDING, like any other.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.tls._in_force import ContextRule

__all__ = ["class_beside", "class_with_the_check", "verified_class"]

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


class _Checking(type):
    """Metaclass of the classes with the check.

    A connection goes on to be an instance of the class that it was created with, which
    is the `sslsocket_class` or `sslobject_class` of its context, once it is VERIFIED.
    """

    def __instancecheck__(cls, instance: object) -> bool:
        return super().__instancecheck__(instance) or _was(type(instance), cls)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return super().__subclasscheck__(subclass) or _was(subclass, cls)


def _was(kind: type, cls: type) -> bool:
    """Return True if connections of the class *kind* were PENDING as a *cls*."""
    pending = getattr(kind, "_pinverify_pending", None)
    return pending is not None and cls in pending.__mro__


def _new_class(name: str, bases: tuple[type, ...], own: dict[str, Any]) -> Any:  # noqa: ANN401
    """Return a new class, of a metaclass that fits that of its last base."""
    kind = type(bases[-1])
    if not issubclass(kind, _Checking):
        kind = _Checking if kind is type else type("Checking", (_Checking, kind), {})
    return kind(name, bases, own)


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
    found = vars(found).get("_pinverify_pending", found)
    if getattr(found, "_pinverify_settled", False):
        raise _derived(found)
    own: dict[str, Any] = {"_pinverify_rule": rule}
    if "_pinverify_base" in vars(found):  # a class of ours
        if found._pinverify_rule is rule:  # noqa: SLF001
            return found
        found = found._pinverify_base  # noqa: SLF001
    elif issubclass(found, mixin):  # an application's subclass of one
        return _new_class(f"Pinned{found.__name__}", (found,), own)
    own["_pinverify_base"] = found
    for name in _MOVES_DATA:
        if hasattr(found, name):
            own[name] = _gate(found, name)
    return _new_class(f"Pinned{found.__name__}", (mixin, found), own)


def _derived(found: type) -> TypeError:
    return TypeError(
        f"{found.__module__}.{found.__qualname__} is a subclass of the class of a "
        "connection that has been checked; derive it from ssl's class"
    )


def _gate(base: Any, name: str) -> Callable[..., Any]:  # noqa: ANN401
    """Return the method *name* of the class *base* with the check in front of it."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        self._pinverify_settle()
        try:
            return getattr(base, name)(self, *args, **kwargs)  # as it is now
        except ssl.SSLError as error:
            if name == "read":  # this one was bound before the handshake
                self._pinverify_explain(error)
            raise

    method.__name__ = name
    method.__doc__ = getattr(base, name).__doc__
    return method


# ---- after the check -----------------------------------------------------------


def verified_class(pending: Any) -> Any:  # noqa: ANN401
    """Return the class of a VERIFIED connection that had the class *pending*.

    It is a subclass of the original class and of none with the check. If *pending* is
    an application's subclass of a class with the check, then its methods rely on that
    one by ``super()``: it is a subclass of *pending*, whose gates let all data pass.
    """
    made: Any = vars(pending).get("_pinverify_verified_class")
    if made is not None:
        return made

    def create(cls: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        if vars(cls).get("_pinverify_pending", cls) is not pending:
            raise _derived(cls)
        return pending._create(*args, **kwargs)  # noqa: SLF001

    base = pending._pinverify_base  # noqa: SLF001
    own: dict[str, Any] = {
        "_pinverify_rule": pending._pinverify_rule,  # noqa: SLF001
        "_pinverify_pending": pending,
        "_pinverify_settled": True,
        "_pinverify_settle": _nothing_to_do,
        "_create": classmethod(create),
    }
    bases: tuple[type, ...]
    if "_pinverify_base" in vars(pending):
        own["_pinverify_base"] = base
        bases = pending._pinverify_checked, base  # noqa: SLF001
    else:
        own["_sslobj"] = None  # hides the property; each connection has its own
        bases = (pending,)
    name = f"Verified{pending.__name__.removeprefix('Pinned')}"
    made = pending._pinverify_verified_class = _new_class(name, bases, own)  # noqa: SLF001
    return made


def class_beside(verified: Any, mixin: type) -> Any:  # noqa: ANN401
    """Return the class of a VERIFIED connection with a mixin in front of it."""
    made = vars(verified).get("_pinverify_beside")
    if made is None:
        own = {"_pinverify_pending": verified._pinverify_pending}  # noqa: SLF001
        made = _new_class(verified.__name__, (mixin, verified), own)
        verified._pinverify_beside = made  # noqa: SLF001
    return made


def _nothing_to_do(_connection: object) -> None:
    """No-op: a VERIFIED connection has nothing left to check."""
