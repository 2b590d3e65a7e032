"""Any text, any bytes, for the parsers in Python, for a given time.

Each gives a value that survives being written and read again, or refuses with the
package's own error. Hypothesis makes the inputs, and makes a failing one small.

    python tests/fuzz/fuzz_parsers.py --seconds 60
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import corpora  # the path above leads to it
from pinverify import Pin, Policy, core
from pinverify.core._hosts import canonical_host
from pinverify.errors import DERError, PolicyError
from pinverify.formats import toml
from test_formats import PATTERNS, SPELT_PINS, edited_examples

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []

T = TypeVar("T")

NUM_RUNS: Counter[str] = Counter()

# Words that the spellings of pins and hosts are made of.
WORDS = st.sampled_from(
    [
        *("sha256/", "sha256//", "pin-sha256=", "cert-sha256:", '"', "=", ":", "/"),
        *("SHA256 Fingerprint=", "A" * 43, "A" * 44, "00" * 32, "AB:" * 31 + "AB"),
        *("*.", "**.", ".", "..", "xn--", "a", "b-", "_x", "0x1", "127", "::", "%e"),
        *("\u00fc", "\u3002", "\u2460", "\ud800", "\0", " ", "\n", "\u202e", "\u00df"),
    ]
)
TEXTS = st.lists(WORDS | st.text(max_size=8), max_size=8).map("".join)


def a_pin(text: str) -> None:
    """A pin is read again from how it is written, and its digest was in the text."""
    try:
        pin = Pin.parse(text)
    except ValueError:
        return
    NUM_RUNS["pins"] += 1
    assert Pin.parse(str(pin)) == pin


def a_host(text: str) -> None:
    """A canonical host is its own canonical form, and a rule for it finds it."""
    try:
        host = canonical_host(text)
    except (PolicyError, ValueError):
        return
    NUM_RUNS["hosts"] += 1
    assert canonical_host(host) == host
    assert host == host.lower()
    assert host.isascii()


def a_rule(text: str) -> None:
    """A pattern that makes a policy makes one that opens again, the same."""
    try:
        policy = Policy({text: [Pin.spki(bytes(32))]})
    except (PolicyError, ValueError):
        return
    NUM_RUNS["patterns"] += 1
    assert Policy.open(policy.compile()) == policy


def a_file(text: str) -> None:
    """A policy file is a policy, or wrong in a way that has words."""
    try:
        policy = Policy(toml.loads(text, "pins.toml"))
    except PolicyError as error:
        message = str(error)
    else:
        NUM_RUNS["files"] += 1
        assert Policy.open(policy.compile()) == policy
        return
    assert message.startswith("pins.toml: ")
    assert message.isprintable()


def a_certificate(der: bytes) -> None:
    """The key is a slice of the certificate, or the bytes are refused."""
    try:
        spki = core.spki(der)
    except DERError:
        return
    NUM_RUNS["certificates"] += 1
    assert spki in der


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """Draw a certificate with some bytes changed, inserted or removed."""
    der = bytearray(draw(st.sampled_from(corpora.inputs())).der)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der)))
        der[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(der)


def run(check: Callable[[T], None], inputs: st.SearchStrategy[T]) -> None:
    """Give a check some hundreds of inputs, other ones each time."""

    def counted(value: T) -> None:
        NUM_RUNS["inputs"] += 1
        check(value)

    settings(
        max_examples=500,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )(given(inputs)(counted))()


def main() -> None:
    """Run until the time is over."""
    parser = argparse.ArgumentParser(description="Fuzz the parsers in Python.")
    parser.add_argument("--seconds", type=float, default=60)
    end = time.monotonic() + parser.parse_args().seconds
    while time.monotonic() < end:
        run(a_pin, TEXTS | SPELT_PINS.map(lambda spelt: spelt[1]))
        run(a_host, TEXTS | PATTERNS)
        run(a_rule, TEXTS | PATTERNS)
        run(a_file, edited_examples() | TEXTS)
        run(a_certificate, edited() | st.binary(max_size=64))
    counts = ", ".join(f"{number} {what}" for what, number in NUM_RUNS.items())
    print(counts)  # noqa: T201 - it is what was asked for


if __name__ == "__main__":
    main()
