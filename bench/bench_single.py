"""One certificate at a time, from Python: pinverify and its competitors.

There are 64 leaves of one key type and two pins, the same for all competitors (see
peers.py). pytest-benchmark shows the time of each; the ratios that count come from
`figures`, where two competitors take turns.
"""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

import certificates
import measure
import peers
from pinverify import core

__all__ = ["KEY_TYPES", "figures"]

KEY_TYPES = ("P-256", "RSA-2048", "RSA-4096", "Ed25519")
NOBODY = bytes(32)
NUM = 64  # what takes less than a microsecond is timed in batches
WHOLE = "urllib3 assert_fingerprint"


def competitors(key_type: str) -> dict[str, peers.IsPinned]:
    """Return all of them; they pin the first leaf of that type."""
    cert = certificates.same_type(key_type)[0]
    pins = [NOBODY, core.spki_sha256(cert)]
    by_key = {name: make(pins) for name, make in peers.PEERS.items()}
    return by_key | peers.whole_certificate(cert)


def inputs(key_type: str, name: str) -> tuple[bytes, ...]:
    """Return the leaves that a competitor is asked about.

    A fingerprint of the whole certificate fits one of them only, and a refusal is an
    exception, which is slow: there it is the same leaf again and again.
    """
    leaves = certificates.same_type(key_type, NUM)
    return leaves[:1] * NUM if name == WHOLE else leaves


def figures(rounds: int = measure.ROUNDS) -> list[measure.Figure]:
    """Compare the matcher with each of the others, and with an empty hash."""
    found = []
    for key_type in KEY_TYPES:
        functions = competitors(key_type)
        matcher = functions.pop("pinverify matcher")
        nothing = measure.Task(
            "hashlib.sha256(b'').digest()",
            "for item in items: sha256(b'').digest()",
            {"items": inputs(key_type, ""), "sha256": hashlib.sha256},
        )
        tasks = [
            measure.Task.each(name, function, inputs(key_type, name))
            for name, function in functions.items()
        ]
        for theirs in (*tasks, nothing):
            ours = measure.Task.each(
                "pinverify matcher", matcher, inputs(key_type, theirs.who)
            )
            found.append(
                measure.compare(
                    "one certificate",
                    key_type,
                    ours,
                    theirs,
                    unit="certificate",
                    units=NUM,
                    rounds=rounds,
                )
            )
    found.append(_call_that_does_nothing(rounds))
    return found


def _call_that_does_nothing(rounds: int) -> measure.Figure:
    """Time the shortest call from Python into C that takes a certificate."""
    names = {"items": inputs("P-256", ""), "sha256": hashlib.sha256}
    return measure.compare(
        "a call that does nothing",
        "",
        measure.Task("callable()", "for item in items: callable(item)", names),
        measure.Task(
            "hashlib.sha256(b'').digest()",
            "for item in items: sha256(b'').digest()",
            names,
        ),
        unit="call",
        units=NUM,
        rounds=rounds,
    )


@pytest.mark.parametrize("name", [*peers.PEERS, WHOLE])
@pytest.mark.parametrize("key_type", KEY_TYPES)
def test_64_certificates_one_by_one(benchmark: Any, key_type: str, name: str) -> None:  # noqa: ANN401
    """Each competitor finds the pinned leaf, and no other."""
    functions = competitors(key_type)
    if name not in functions:
        pytest.skip(f"{name} is not installed")
    is_pinned = functions[name]
    first, *others = certificates.same_type(key_type, NUM)
    assert peers.is_pinned_by(is_pinned, first)
    assert not any(peers.is_pinned_by(is_pinned, other) for other in others)
    benchmark.group = f"64 certificates one by one, {key_type}"
    leaves = inputs(key_type, name)
    benchmark(lambda: [is_pinned(leaf) for leaf in leaves])


def test_the_figures_are_ratios() -> None:
    """One round of each comparison, for `make bench`."""
    found = figures(rounds=1)
    assert len(found) >= len(KEY_TYPES) * (len(peers.PEERS) - 1)
    assert all(figure.ratio.median > 0 for figure in found)
