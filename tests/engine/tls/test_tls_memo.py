"""The evidence for resumed sessions: what is kept, found again, and forgotten."""

from __future__ import annotations

import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from pinverify.core._keys import chain as as_chain
from pinverify.tls._memo import _ISSUERS_MAX, _LATEST_MAX, _LEAVES_MAX, Memo

__all__: list[str] = []

CHAIN = [b"leaf with its signature", b"intermediate", b"root"]


class Cert:
    """An object of a TLS library: equal to another one of the same bytes."""

    exported: ClassVar[Counter[bytes]] = Counter()

    def __init__(self, der: bytes) -> None:
        self.der = der

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cert) and other.der == self.der

    def __hash__(self) -> int:
        return hash(self.der)

    def to_der(self) -> bytes:
        self.exported[self.der] += 1
        return self.der


def certs(chain: list[bytes]) -> list[Cert]:
    """Return new objects, as each handshake makes them."""
    return [Cert(der) for der in chain]


def test_a_chain_is_found_by_its_peer_and_leaf() -> None:
    """Nobody else's chain, and no other leaf's, is evidence."""
    memo = Memo()
    memo.remember("a", certs(CHAIN), Cert.to_der)
    assert memo.recall("a", CHAIN[0]) == as_chain(CHAIN)
    assert memo.recall("b", CHAIN[0]) is None
    assert memo.recall(None, CHAIN[0]) is None
    assert memo.recall("a", b"another leaf") is None


def test_a_leaf_with_the_same_end_is_another_leaf() -> None:
    """The whole leaf must be the same, also if it is not the latest."""
    memo = Memo()
    end = bytes(32)
    memo.remember("a", certs([b"one" + end, b"authority"]), Cert.to_der)
    assert memo.recall("a", b"two" + end) is None
    memo.remember("a", certs([b"two" + end]), Cert.to_der)
    assert memo.recall("a", b"one" + end) == as_chain([b"one" + end, b"authority"])
    assert memo.recall("a", b"none" + end) is None


def test_the_same_chain_is_exported_once() -> None:
    """Equal objects stand for equal bytes; one that differs is exported again."""
    memo = Memo()
    Cert.exported.clear()
    first = memo.remember("a", certs(CHAIN), Cert.to_der)
    assert memo.remember("a", certs(CHAIN), Cert.to_der) is first
    assert set(Cert.exported.values()) == {1}
    for place in range(len(CHAIN)):
        other = [*CHAIN]
        other[place] += b"!"
        assert memo.remember("a", certs(other), Cert.to_der).certs == other
    assert memo.remember("a", certs(CHAIN[:2]), Cert.to_der).certs == CHAIN[:2]
    assert memo.remember("b", certs(CHAIN), Cert.to_der).certs == CHAIN


def leaf(number: int) -> bytes:
    """Return a leaf of its own for each number."""
    return b"leaf %d" % number


def show(memo: Memo, number: int, *issuers: bytes) -> None:
    """Let the only peer show the leaf *number*, below *issuers*."""
    memo.remember(None, certs([leaf(number), *issuers]), Cert.to_der)


def test_a_memo_knows_more_leaves_than_a_server_keeps_sessions() -> None:
    """OpenSSL keeps up to 20,480; the memo knows all of their leaves.

    A client that shows its leaf again belongs to the most recent ones.
    """
    sessions = 20_480
    memo = Memo()
    show(memo, 0, *CHAIN[1:])
    for number in range(1, sessions):
        show(memo, number, *CHAIN[1:])
    show(memo, 0, *CHAIN[1:])
    for number in range(sessions, 2 * sessions - 1):
        show(memo, number, *CHAIN[1:])
    for number in (0, *range(sessions, 2 * sessions - 1)):
        known = memo.recall(None, leaf(number))
        assert known is not None
        assert known == as_chain([leaf(number), *CHAIN[1:]])


def test_the_oldest_leaf_makes_room_and_comes_back() -> None:
    """There is a bound; what was forgotten is kept again in its next handshake."""
    memo = Memo()
    for number in range(_LEAVES_MAX + 1):
        show(memo, number, *CHAIN[1:])
    assert memo.recall(None, leaf(0)) is None
    assert memo.recall(None, leaf(1)) is not None
    assert len(memo._leaves) == _LEAVES_MAX  # noqa: SLF001
    show(memo, 0, *CHAIN[1:])
    assert memo.recall(None, leaf(0)) is not None
    assert memo.recall(None, leaf(1)) is None
    assert len(memo._leaves) == _LEAVES_MAX  # noqa: SLF001


def test_the_oldest_issuers_make_room() -> None:
    """Many issuers do not fill the memory either; those in use stay."""
    memo = Memo()
    show(memo, -1, *CHAIN[1:])
    for number in range(_ISSUERS_MAX):
        show(memo, number, b"issuer %d" % number)
        if number == _ISSUERS_MAX // 2:
            show(memo, -2, *CHAIN[1:])
    assert len(memo._issuers) == _ISSUERS_MAX  # noqa: SLF001
    assert memo.recall(None, leaf(0)) is None
    for number in (-1, -2):
        assert memo.recall(None, leaf(number)) == as_chain([leaf(number), *CHAIN[1:]])


def test_the_chains_of_many_hosts_are_kept_once() -> None:
    """There is a bound on the objects of the library that are kept."""
    memo = Memo()
    for number in range(_LATEST_MAX + 1):
        memo.remember(number, certs(CHAIN), Cert.to_der)
    assert len(memo.latest) == _LATEST_MAX
    assert len(memo._issuers) == 1  # noqa: SLF001
    assert memo.recall(0, CHAIN[0]) == as_chain(CHAIN)


def test_a_latest_chain_is_evidence_although_its_leaf_was_evicted() -> None:
    """A chain that is shown again and again is not entered again each time."""
    memo = Memo()
    memo.remember("a", certs(CHAIN), Cert.to_der)
    for number in range(_LEAVES_MAX):
        show(memo, number, *CHAIN[1:])
    assert memo.remember("a", certs(CHAIN), Cert.to_der).certs == CHAIN
    assert memo.recall("a", CHAIN[0]) == as_chain(CHAIN)


def test_where_nobody_resumes_only_the_latest_chain_is_kept() -> None:
    """Handshakes that cannot be resumed leave nothing behind."""
    memo = Memo(leaves_max=0)
    show(memo, 0, *CHAIN[1:])
    show(memo, 1, *CHAIN[1:])
    assert memo.recall(None, leaf(0)) is None
    assert memo.recall(None, leaf(1)) is not None


def test_threads_leave_only_evidence_that_was_shown() -> None:
    """There is no lock, so each thread meets half of what the others do."""
    memo = Memo(leaves_max=64)

    def show_many(first: int) -> int:
        found = 0
        for number in range(first, first + 4000):
            show(memo, number % 100, b"issuer %d" % (number % 100))
            other = (number * 7) % 100
            known = memo.recall(None, leaf(other))
            found += known is not None
            if known is not None:
                assert known.certs == [leaf(other), b"issuer %d" % other]
        return found

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(show_many, range(8)))
    finally:
        sys.setswitchinterval(before)
    assert len(memo._leaves) <= 64  # noqa: SLF001


@given(
    st.lists(st.tuples(st.integers(0, 3), st.lists(st.binary(max_size=2), min_size=1)))
)
def test_whatever_was_seen_a_chain_is_the_one_that_was_shown(
    shown: list[tuple[int, list[bytes]]],
) -> None:
    """`chain` returns what it was given; the latest of a leaf is recalled."""
    memo = Memo()
    latest: dict[tuple[int, bytes], list[bytes]] = {}
    for peer, chain in shown:
        assert memo.remember(peer, certs(chain), Cert.to_der).certs == chain
        latest[peer, chain[0]] = chain
        for (other, leaf), seen in latest.items():
            recalled = memo.recall(other, leaf)
            assert recalled is not None
            assert recalled.certs == seen
