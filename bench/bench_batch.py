"""Time for many certificates from Python: in one call, in a loop, on two threads.

The certificates are a thousand leaves, with types of keys as common as on the web.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import certificates
import measure
from pinverify import core

__all__ = ["figures"]

THREADED = 40  # batches for each thread: some milliseconds


class Batches:
    """The same certificates in both forms that the core reads, and as DER alone."""

    def __init__(self, num: int = 1000) -> None:
        """Lay them out."""
        self.certs = list(certificates.web(num))
        self.num = num
        self.buffer = b"".join(self.certs)
        self.offsets = array("Q", accumulate(map(len, self.certs), initial=0))

    def contiguous(self) -> bytes:
        """Return the digests; one buffer, and offsets."""
        return core.spki_sha256_many(self.buffer, self.offsets)[0]

    def from_list(self) -> bytes:
        """Return the digests; a list of byte strings."""
        return core.spki_sha256_many(self.certs)[0]

    def by_cryptography(self) -> bytes:
        """Return the digests; the loop of cryptography's users."""
        load, sha256 = x509.load_der_x509_certificate, hashlib.sha256
        der, spki = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        return b"".join(
            [
                sha256(load(cert).public_key().public_bytes(der, spki)).digest()
                for cert in self.certs
            ]
        )


WAYS: dict[str, Callable[[Batches], bytes]] = {
    "pinverify, contiguous": Batches.contiguous,
    "pinverify, list[bytes]": Batches.from_list,
    "cryptography": Batches.by_cryptography,
}


def _on_threads(pool: ThreadPoolExecutor, task: Callable[[], object], num: int) -> None:
    def some() -> None:
        for _ in range(THREADED):
            task()

    for done in [pool.submit(some) for _ in range(num)]:
        done.result()


def figures(rounds: int = measure.ROUNDS) -> list[measure.Figure]:
    """Compare both forms with the loop, and two threads with one."""
    batches = Batches()
    loop = measure.Task.call("cryptography", batches.by_cryptography)
    found = [
        measure.compare(
            "batch from Python",
            case,
            measure.Task.call("pinverify", way),
            loop,
            unit="certificate",
            units=batches.num,
            rounds=rounds,
        )
        for case, way in (
            ("contiguous", batches.contiguous),
            ("list[bytes]", batches.from_list),
        )
    ]
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(2) as two:

        def twice_on_one() -> None:
            _on_threads(one, batches.contiguous, 1)
            _on_threads(one, batches.contiguous, 1)

        found.append(
            measure.compare(
                "two threads from Python",
                "contiguous",
                measure.Task.call(
                    "two threads", _on_threads, two, batches.contiguous, 2
                ),
                measure.Task.call("one thread", twice_on_one),
                unit="certificate",
                units=2 * THREADED * batches.num,
                rounds=rounds,
                wall_clock=True,
            )
        )
    return found


@pytest.mark.parametrize("name", WAYS)
def test_1000_certificates_of_the_web(benchmark: Any, name: str) -> None:  # noqa: ANN401
    """All ways give the digests that the walk and hashlib give, one by one."""
    batches = Batches(1000 if benchmark.enabled else 100)
    benchmark.group = "1,000 certificates of the web"
    digests = benchmark(WAYS[name], batches)
    wanted = [hashlib.sha256(core.spki(cert)).digest() for cert in batches.certs]
    assert digests == b"".join(wanted)


def test_the_figures_of_batches_are_ratios() -> None:
    """One round of each comparison, for `make bench`."""
    assert all(figure.ratio.median > 0 for figure in figures(rounds=1))
