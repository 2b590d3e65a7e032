"""A lock of a module that works in the child of a fork."""

from __future__ import annotations

import os
import threading

__all__ = ["ForkSafeLock"]


class ForkSafeLock:
    """The holder of a lock, for the lifetime of the process.

    If another thread holds the lock during a fork, then nobody releases it in the
    child, where that thread does not exist. So the child gets a new one.

    Attributes:
        lock: use it in a `with` statement. It is re-entrant.
    """

    def __init__(self) -> None:
        """Make the lock, and have it replaced after each fork."""
        self._renew()
        if hasattr(os, "register_at_fork"):  # Windows has no fork
            os.register_at_fork(after_in_child=self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()
