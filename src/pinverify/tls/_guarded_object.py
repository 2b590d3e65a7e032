"""The C object behind a PENDING connection, which moves data only after the check."""

from __future__ import annotations

import threading
import weakref
from typing import Any

__all__ = ["GuardedObject"]


class GuardedObject:
    """A C object that completes the handshake and the check before it moves data.

    It takes the place of the C object in the connection until that is VERIFIED, so it
    guards too what a class of an application, or another class that somebody gives the
    connection, does around the gates.

    Two threads in one handshake corrupt the memory of OpenSSL, and an application may
    well have a thread that reads and another one that writes. So one thread at a time
    has the turn, for the handshake and the decision. The others wait, and then find the
    connection VERIFIED or FAILED. The thread that has the turn cannot have it again: a
    callback for SNI that reads or writes its connection gets a ValueError.

    Attributes:
        raw: the C object.
        turn: the lock of the thread that has the turn.
        turn_of: that thread, or None.
    """

    __slots__ = ("_connection", "_kind", "_runs", "raw", "turn", "turn_of")

    def __init__(self, connection: Any, raw: Any) -> None:  # noqa: ANN401
        self._connection = weakref.ref(connection)
        self._kind = type(connection)
        self._runs = False
        self.raw = raw
        self.turn = threading.RLock()  # so that no interrupt locks its own thread out
        self.turn_of: int | None = None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name in _C_MOVES_DATA:
            self._pending()._pinverify_settle()  # noqa: SLF001
        return getattr(self.raw, name)

    def _pending(self) -> Any:  # noqa: ANN401
        """Return the connection, of the class that it is PENDING with."""
        connection = self._connection()
        if connection is None:
            msg = "the connection is gone"
            raise ValueError(msg)
        if type(connection) is not self._kind:
            connection.__class__ = self._kind
        return connection

    def do_handshake(self) -> None:
        """Do the handshake for the thread that has the turn."""
        if self._runs or self.turn_of != threading.get_ident():
            self._pending()._pinverify_handshake()  # noqa: SLF001
            return
        self._runs = True
        try:
            self.raw.do_handshake()
        finally:
            self._runs = False

    @property
    def context(self) -> Any:  # noqa: ANN401
        return self.raw.context

    @context.setter
    def context(self, context: Any) -> None:  # noqa: ANN401
        self.raw.context = context

    @property
    def session(self) -> Any:  # noqa: ANN401
        return self.raw.session

    @session.setter
    def session(self, session: Any) -> None:  # noqa: ANN401
        self.raw.session = session


_C_MOVES_DATA = ("read", "write", "shutdown", "sendfile")
