"""Decisions about many peers, compared with hashing the same certificates.

The peers have 1,000 hosts, or 10, or 10,000. Each host has its own PinSet, which
matches. Its chain is a leaf, or a leaf and a certificate in the place of a CA, with
types of keys as common as on the web.
"""

from __future__ import annotations

import random
import tracemalloc
from array import array
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import pytest

import certificates
import measure
from pinverify import Pin, PinSet, Policy, Reports, arrow, core
from pinverify.core._arrow import ArrowColumn

__all__ = ["ARROW", "BUFFERS", "LISTS", "MEMORY", "figures", "memory"]

ARROW = "many peers from columns of Arrow"
BUFFERS = "many peers from buffers"
LISTS = "many peers from lists"

MEMORY = "bytes/chain of two"

NUM_PEERS, NUM_HOSTS = 100_000, 1000
QUICK_PEERS = 1000


class Case(NamedTuple):
    """Columns of the peers."""

    length: int
    """Of each chain."""
    num_hosts: int = NUM_HOSTS


CASES = {
    "leaf alone": Case(1),
    "chain of two": Case(2),
    "leaf alone, 10 hosts": Case(1, 10),
    "leaf alone, 10,000 hosts": Case(1, 10_000),
}


def _offsets(items: Sequence[Sequence[Any]]) -> memoryview:
    ends = array("Q", accumulate(map(len, items), initial=0))
    return memoryview(ends.tobytes()).cast("Q")  # read-only, as those of Arrow


class Peers:
    """The same peers in all forms that a policy reads, and their certificates."""

    def __init__(self, case: Case, num: int = NUM_PEERS) -> None:
        """Lay out *num* peers; without a peer for each host, there are fewer hosts."""
        length, num_hosts = case.length, min(case.num_hosts, num)
        web = certificates.web(num_hosts + 1)
        chains = [list(web[i : i + length]) for i in range(num_hosts)]
        names = [f"www{i}.example{i % 50}.com" for i in range(num_hosts)]
        backup = Pin.spki(bytes(32))
        self.policy = Policy(
            {
                name: PinSet([Pin.from_certificate(chain[-1]), backup])
                for name, chain in zip(names, chains, strict=True)
            }
        )
        order = random.Random(1).choices(range(num_hosts), k=num)  # noqa: S311
        self.num = num
        self.hosts = [names[i] for i in order]
        self.chains = [chains[i] for i in order]
        certs = [cert for chain in self.chains for cert in chain]
        self.names = "".join(self.hosts).encode()
        self.name_offsets = _offsets(self.hosts)
        self.certs, self.offsets = b"".join(certs), _offsets(certs)
        self.chain_offsets = None if length == 1 else _offsets(self.chains)
        self.arrow_hosts = arrow.Column(
            ArrowColumn("", "U", num, [self.name_offsets, self.names])
        )
        column = ArrowColumn("", "Z", len(certs), [self.offsets, self.certs])
        if self.chain_offsets is not None:
            column = ArrowColumn("", "+L", num, [self.chain_offsets], [column])
        self.arrow_chains = arrow.Column(column)

    def from_buffers(self) -> Reports:
        """Decide about all of them; columns in, columns out."""
        return self.policy.evaluate_many(
            self.names,
            self.certs,
            host_offsets=self.name_offsets,
            offsets=self.offsets,
            chain_offsets=self.chain_offsets,
        )

    def from_arrow(self) -> arrow.Column:
        """Decide about all of them; columns of another library in, a column out."""
        return arrow.verdicts(self.policy, self.arrow_hosts, self.arrow_chains)

    def from_lists(self) -> Reports:
        """Decide about all of them; lists of str and of bytes."""
        return self.policy.evaluate_many(self.hosts, self.chains)

    def digests(self) -> bytes:
        """Hash the keys of the same certificates, and decide nothing."""
        return core.spki_sha256_many(self.certs, self.offsets)[0]


WAYS: dict[str, Callable[[Peers], object]] = {
    ARROW: Peers.from_arrow,
    BUFFERS: Peers.from_buffers,
    LISTS: Peers.from_lists,
    "their keys alone": Peers.digests,
}


def figures(rounds: int = measure.ROUNDS, num: int = NUM_PEERS) -> list[measure.Figure]:
    """Compare each form with the hashing alone."""
    found = []
    for name_of_case, case in CASES.items():
        peers = Peers(case, num)
        ways: tuple[tuple[str, str, Callable[[], object]], ...] = (
            (BUFFERS, "evaluate_many", peers.from_buffers),
            (LISTS, "evaluate_many", peers.from_lists),
            (ARROW, "arrow.verdicts", peers.from_arrow),
        )
        for bench, name, way in ways:
            found.append(
                measure.compare(
                    bench,
                    name_of_case,
                    measure.Task.call(name, way),
                    measure.Task.call("spki_sha256_many", peers.digests),
                    unit="peer",
                    units=num,
                    rounds=rounds,
                )
            )
    return found


def memory(num: int = NUM_PEERS) -> dict[str, float]:
    """Return the most bytes that a decision takes for each chain of two, by name."""
    peers = Peers(CASES["chain of two"], num)
    peers.from_buffers()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        peers.from_buffers()
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return {MEMORY: (most - before) / num}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("way", WAYS)
def test_many_peers(benchmark: Any, way: str, case: str) -> None:  # noqa: ANN401
    """Every peer is accepted, in each form."""
    peers = Peers(CASES[case], NUM_PEERS if benchmark.enabled else QUICK_PEERS)
    benchmark.group = f"many peers, {case}"
    found = benchmark(WAYS[way], peers)
    if isinstance(found, Reports):
        assert all(report.accepted for report in found[:: peers.num // 100])
        assert int.from_bytes(found.accepted, "little").bit_count() == peers.num
        assert bytes(found.spkis) == peers.digests()
    elif isinstance(found, arrow.Column):
        assert len(found) == peers.num
    else:
        assert found == bytes(peers.from_lists().spkis)


def test_the_figures_of_many_peers_are_ratios() -> None:
    """One round of each comparison, for `make bench`."""
    found = figures(rounds=1, num=QUICK_PEERS)
    assert [figure.bench for figure in found] == [BUFFERS, LISTS, ARROW] * len(CASES)
    assert all(figure.ratio.median > 0 for figure in found)
    assert 0 < memory(QUICK_PEERS)[MEMORY] < 1000


def main() -> None:
    """Print the figures."""
    lines = [
        "| time by that of `spki_sha256_many` | | lower and upper quartile |",
        "|---|---|---|",
    ]
    for figure in figures():
        ratio = figure.ratio.inverse()
        spread = f"{ratio.low:.2f} to {ratio.high:.2f}"
        lines.append(
            f"| {figure.bench}, {figure.case} | {ratio.median:.2f} | {spread} |"
        )
    print("\n".join(lines))  # noqa: T201
    print(f"\n{memory()[MEMORY]:.1f} bytes for each chain of two")  # noqa: T201


if __name__ == "__main__":
    main()
