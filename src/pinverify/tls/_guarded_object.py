"""The C object behind a PENDING connection, which moves data only after the check."""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["GuardedObject"]


class GuardedObject:
    """A C object that completes the handshake and the check before it moves data."""

    __slots__ = ("_connection", "_raw")

    def __init__(self, connection: Any, raw: Any) -> None:  # noqa: ANN401
        self._connection = weakref.ref(connection)
        self._raw = raw

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        if name in _C_MOVES_DATA:
            connection = self._connection()
            if connection is None:
                msg = "the connection is gone"
                raise ValueError(msg)
            connection._pinverify_settle()  # noqa: SLF001
        return getattr(self._raw, name)

    def do_handshake(self) -> None:
        self._raw.do_handshake()

    @property
    def context(self) -> Any:  # noqa: ANN401
        return self._raw.context

    @context.setter
    def context(self, context: Any) -> None:  # noqa: ANN401
        self._raw.context = context

    @property
    def session(self) -> Any:  # noqa: ANN401
        return self._raw.session

    @session.setter
    def session(self, session: Any) -> None:  # noqa: ANN401
        self._raw.session = session


_C_MOVES_DATA = ("read", "write", "shutdown", "sendfile")
