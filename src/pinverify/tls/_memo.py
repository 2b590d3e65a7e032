"""The chains of full, verified handshakes: the evidence for resumed sessions.

A resumed session has no chain, and `ca` pins need one. The first handshake of the
session showed it, and a memo keeps it. The evidence must come from the same context,
the same peer and the same leaf.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from pinverify.core._columns import Chain, chain

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["Memo"]

_CHAINS_MAX = 1024


class Memo:
    """The chains of one context's full handshakes; the oldest is evicted.

    A peer usually shows the same chain as before. So the TLS library's objects are
    compared first, which costs less than encoding them again.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._chains: dict[tuple[Hashable, bytes], Chain] = {}
        self.latest: dict[Hashable, tuple[Sequence[Any], Chain]] = {}
        """Each peer's latest chain, as the library's objects and in DER."""

    def remember(
        self,
        peer: Hashable,
        certs: Sequence[Any],
        to_der: Callable[[Any], bytes],
    ) -> Chain:
        """Return a verified chain in DER, and keep it.

        Args:
            peer: the host and the side of the peer.
            certs: one or more objects of the TLS library, leaf first. Two objects are
                equal only if their signed parts are the same.
            to_der: returns the DER of an object.
        """
        latest = self.latest.get(peer)
        if latest is not None and latest[0] == certs:
            return latest[1]
        shown = chain([to_der(cert) for cert in certs])
        with self._lock:
            while len(self._chains) >= _CHAINS_MAX:
                oldest = next(iter(self._chains))
                del self._chains[oldest]
                self.latest.pop(oldest[0], None)
            self._chains[peer, _tail(shown.certs[0])] = shown
            self.latest[peer] = certs, shown
        return shown

    def recall(self, peer: Hashable, leaf: bytes) -> Chain | None:
        """Return the chain that *leaf* had in a full handshake, or None."""
        known = self._chains.get((peer, _tail(leaf)))
        return known if known is not None and known.certs[0] == leaf else None


def _tail(leaf: bytes) -> bytes:
    """Return the end of a certificate: part of its signature, enough for a key."""
    return leaf[-32:]
