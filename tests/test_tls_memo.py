"""The evidence for resumed sessions: what is kept, found again, and forgotten."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from pinverify.core._columns import chain as as_chain
from pinverify.tls._memo import _CHAINS_MAX, Memo

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
    """The end of a certificate only finds the entry; the whole must be the same."""
    memo = Memo()
    end = bytes(32)
    memo.remember("a", certs([b"one" + end]), Cert.to_der)
    assert memo.recall("a", b"two" + end) is None
    memo.remember("a", certs([b"two" + end]), Cert.to_der)
    assert memo.recall("a", b"one" + end) is None


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


def test_the_oldest_makes_room_and_comes_back() -> None:
    """There is a bound; what was forgotten is kept again in its next handshake."""
    memo = Memo()
    for number in range(_CHAINS_MAX + 1):
        memo.remember(number, certs(CHAIN), Cert.to_der)
    assert memo.recall(0, CHAIN[0]) is None
    assert memo.recall(1, CHAIN[0]) is not None
    assert len(memo.latest) == _CHAINS_MAX
    memo.remember(0, certs(CHAIN), Cert.to_der)
    assert memo.recall(0, CHAIN[0]) is not None
    assert memo.recall(1, CHAIN[0]) is None
    assert len(memo.latest) == _CHAINS_MAX


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
