"""The policy that is in force: for one connection, one context, or the process.

Replacing a policy replaces one tuple, so each handshake is decided by exactly one
policy: the one that it reads at its end.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, NamedTuple

from pinverify.policy._policy import as_policy, handle_of
from pinverify.tls._events import logger
from pinverify.tls._memo import Memo

if TYPE_CHECKING:
    from pinverify.core._policies import OpenPolicy
    from pinverify.policy import PinSet, Policy
    from pinverify.tls._events import Cell, OnReport

__all__ = ["ContextRule", "InForce", "in_force", "installed"]


class InForce(NamedTuple):
    """A policy, its handle in the core, and the settings and counts that go with it.

    Attributes:
        on_report: the callback of the application.
        cells: the counts of names that this policy has accepted, kept by `_events`.
        rejects_nameless: under `install`, True if a server without a name is rejected.
    """

    policy: Policy
    handle: OpenPolicy
    on_report: OnReport | None
    cells: dict[object, Cell]
    rejects_nameless: bool = False


def in_force(policy: Policy | PinSet, on_report: OnReport | None) -> InForce:
    """Return the checked arguments of `pin_context` and similar functions.

    Raises:
        TypeError: *policy* is neither a Policy nor a PinSet, or *on_report* is not
            callable, or is a coroutine function or a generator function.
    """
    policy = as_policy(policy)
    if on_report is not None:
        _refuse_what_does_not_run(on_report)
    logger()  # handshakes may need it, but must import nothing
    return InForce(policy, handle_of(policy), on_report, {})


def _refuse_what_does_not_run(on_report: OnReport) -> None:
    """Refuse what is not callable, or only runs when somebody uses its result."""
    if not callable(on_report):
        msg = f"on_report: expected a function, got {on_report!r}"
        raise TypeError(msg)
    import inspect  # noqa: PLC0415 - large, and most contexts have no callback

    function: Any = on_report
    while isinstance(function, functools.partial):
        function = function.func
    for code in function, type(function).__call__:
        if (
            inspect.iscoroutinefunction(code)
            or inspect.isgeneratorfunction(code)
            or inspect.isasyncgenfunction(code)
        ):
            msg = (
                f"on_report: {on_report!r} would never run, because nobody awaits its "
                "result; pass a plain function, which may create a task or fill a queue"
            )
            raise TypeError(msg)


class ContextRule:
    """The pins of one context, and the chains that its connections have shown.

    Attributes:
        in_force: None if connections are not checked.
        servers: True if server-side connections are checked.
        memo: the chains of full handshakes, as the evidence for resumed sessions.
        memo_of_latest: a memo for handshakes that nobody can resume: they must not
            evict the evidence of others.
        classes: for each class of connections, its subclass with the check.
        ready: classes of connections that have the check of this rule.
    """

    __slots__ = ("classes", "in_force", "memo", "memo_of_latest", "ready", "servers")

    def __init__(self, in_force: InForce | None, *, servers: bool = True) -> None:
        self.in_force = in_force
        self.memo = Memo()
        self.memo_of_latest = Memo(leaves_max=0)
        self.classes: dict[type, type] = {}
        self.ready: set[type] = set()
        self.servers = servers


installed: list[ContextRule] = []
"""The rule of the process while `install` is in effect, else empty."""
