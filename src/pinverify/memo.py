"""What was seen in full, verified handshakes: the evidence for resumed ones.

A resumed session has no chain, and `ca` pins need one. The first handshake of the
session showed it, and a memo keeps that. The evidence must be of the same context,
the same peer and the same leaf; without it, a `ca` pin is not met.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pinverify.core import _columns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["Memo"]

_CHAINS_MAX = 1024


class Memo:
    """The chains of one context's full handshakes; the oldest makes room.

    A peer mostly shows the chain that it showed before. The TLS library's objects
    are compared then, which costs less than their bytes once more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chains: dict[tuple[Hashable, bytes], _columns.Chain] = {}
        self.latest: dict[Hashable, tuple[Sequence[Any], _columns.Chain]] = {}
        """Of each peer: its latest chain, as the library's objects and in DER."""

    def chain(
        self,
        peer: Hashable,
        certs: Sequence[Any],
        to_der: Callable[[Any], bytes],
    ) -> _columns.Chain:
        """Return a verified chain in DER, and keep it.

        Args:
            peer: whose it is: a host, for instance.
            certs: one or more objects of the TLS library, leaf first. Two of them
                are equal only if all that is signed in them is the same.
            to_der: gives the DER of one.
        """
        latest = self.latest.get(peer)
        if latest is not None and latest[0] == certs:
            return latest[1]
        chain = _columns.chain([to_der(cert) for cert in certs])
        with self._lock:
            while len(self._chains) >= _CHAINS_MAX:
                oldest = next(iter(self._chains))
                del self._chains[oldest]
                self.latest.pop(oldest[0], None)
            self._chains[peer, _tail(chain.certs[0])] = chain
            self.latest[peer] = certs, chain
        return chain

    def recall(self, peer: Hashable, leaf: bytes) -> _columns.Chain | None:
        """Return the chain that *leaf* had in a full handshake, None if unknown."""
        chain = self._chains.get((peer, _tail(leaf)))
        return chain if chain is not None and chain.certs[0] == leaf else None


def _tail(leaf: bytes) -> bytes:
    """Return the end of a certificate, its signature: enough of it for a key."""
    return leaf[-32:]
