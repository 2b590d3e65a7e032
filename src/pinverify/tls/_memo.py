"""The chains of full, verified handshakes: the evidence for resumed sessions.

`pinverify.tls._judge` says when they are needed. A server's TLS library keeps up to
20,480 sessions in memory, and a client may resume any of them. So the memo must know at
least as many leaves. It stays small: a leaf is shown again, so its hash is enough, and
many leaves share one copy of the certificates above.

There is no lock: in the child of a fork, a lock that another thread held would stay
locked for ever. Each step on a dictionary is atomic, and in whatever order several
threads take their steps, the memo has only evidence that was shown.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from pinverify.core._keys import Chain, chain, sha256

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

__all__ = ["Memo", "leaf_of", "note_session"]

_LEAVES_MAX = 24_576  # more than OpenSSL's SSL_SESSION_CACHE_MAX_SIZE_DEFAULT
_ISSUERS_MAX = 1024  # different chains above these leaves
_LATEST_MAX = 1024  # peers
_SESSIONS_MAX = 1024  # of clients


class _Issuers:
    """The certificates above a leaf."""

    __slots__ = ("__weakref__", "certs")

    def __init__(self, certs: tuple[bytes, ...]) -> None:
        self.certs = certs


class Memo:
    """The chains of one context's full handshakes; the oldest is evicted.

    A peer usually shows the same chain as before. So the TLS library's objects are
    compared first, which costs less than encoding them again.
    """

    def __init__(self, leaves_max: int = _LEAVES_MAX) -> None:
        self.leaves_max = leaves_max  # 0: nobody can resume, only `latest` is kept
        self._issuers: OrderedDict[tuple[bytes, ...], _Issuers] = OrderedDict()
        # By peer and hash of the leaf. The references are weak: only `_issuers`, which
        # is bounded, keeps issuers alive.
        self._leaves: OrderedDict[tuple[Hashable, bytes], weakref.ref[_Issuers]] = (
            OrderedDict()
        )
        # Each peer's latest chain, as the library's objects and in DER.
        self.latest: OrderedDict[Hashable, tuple[Sequence[Any], Chain]] = OrderedDict()

    def remember(
        self, peer: Hashable, certs: Sequence[Any], to_der: Callable[[Any], bytes]
    ) -> Chain:
        """Return a verified chain in DER, and keep it.

        *certs* are objects of the TLS library, leaf first. Two of them are equal only
        if their signed parts are the same.
        """
        latest = self.latest.get(peer)
        if latest is not None and latest[0] == certs:
            return latest[1]
        shown = chain([to_der(cert) for cert in certs])
        if self.leaves_max:
            above = tuple(shown.certs[1:])
            issuers = self._issuers.get(above) or _Issuers(above)
            _put(self._issuers, above, issuers, _ISSUERS_MAX)
            key = peer, sha256(shown.certs[0])
            _put(self._leaves, key, weakref.ref(issuers), self.leaves_max)
        _put(self.latest, peer, (certs, shown), _LATEST_MAX)
        return shown

    def recall(self, peer: Hashable, leaf: bytes) -> Chain | None:
        """Return the chain that *leaf* had in a full handshake, or None."""
        latest = self.latest.get(peer)
        if latest is not None and latest[1].certs[0] == leaf:
            return latest[1]
        entry = self._leaves.get((peer, sha256(leaf)))
        issuers = None if entry is None else entry()
        return None if issuers is None else chain([leaf, *issuers.certs])


def _put(kept: OrderedDict[Any, Any], key: Hashable, value: object, most: int) -> None:
    """Make *key* the most recent one, and evict the oldest beyond *most*."""
    kept[key] = value
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)


_sessions: OrderedDict[bytes, bytes] = OrderedDict()  # of clients: the leaf by id


def note_session(session: Any, leaf: bytes) -> None:  # noqa: ANN401 - of ssl
    """Note the leaf of a session that an application may offer again.

    The note only helps to decide what to offer. A session that is resumed is judged by
    the leaf that the TLS library shows then.
    """
    if session.id:  # empty in TLS 1.3 before a ticket has come
        _put(_sessions, session.id, leaf, _SESSIONS_MAX)


def leaf_of(session: Any) -> bytes | None:  # noqa: ANN401 - of ssl
    """Return the leaf of a session, or None if it was not noted."""
    return _sessions.get(session.id)
