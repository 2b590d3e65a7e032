"""Fuzzing of the parsers in Python with any text and any bytes, for a given time.

Each parser gives a value that survives being written and read again, or refuses with
the package's own error. Hypothesis makes the inputs, and shrinks a failing one.

    python tests/fuzz/fuzz_parsers.py --seconds 60
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.extend(
    str(Path(__file__).resolve().parent.parent / folder)
    for folder in ("engine/files", "helpers", "workshop/ct", "workshop/formats")
)

import corpora  # the paths above lead to it
from other_systems import dump
from pinverify import Pin, PinSet, Policy, Rules, core, ct
from pinverify.core._hosts import canonical_host
from pinverify.errors import DERError, PolicyError
from pinverify.files import toml
from pinverify.formats._format_table import FORMATS
from policy_samples import ABSENT, NOON, OTHER
from test_ct import entries, tile
from test_formats_hostile import PIECES, STARTS, STRANGE, whole
from test_policy_files import PATTERNS, SPELT_PINS, edited_examples

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
        told = str(error).split("\n")
    else:
        NUM_RUNS["files"] += 1
        assert Policy.open(policy.compile()) == policy
        return
    assert told[0].startswith("pins.toml: ")
    assert all(line.isprintable() for line in told)


def a_file_of_a_format(drawn: tuple[str, bytes]) -> None:
    """A file of any system is rules, which any policy keeps, or wrong in words."""
    name, data = drawn
    told_by_caller = whole(name, data)
    if name == "chromium":
        told_by_caller = told_by_caller._replace(beside=(f"A\n{ABSENT}\n".encode(),))
    try:
        loaded = FORMATS[name].reader(data, told_by_caller)
    except PolicyError as error:
        told = str(error).split("\n")
        assert told[0].startswith("file: ")
    else:
        NUM_RUNS[f"files of {name}"] += 1
        told = list(loaded.notices)
        policy = Policy(loaded.rules)
        assert policy.rules == loaded.rules
        assert Policy.open(policy.compile()) == policy
    assert all(line.isprintable() for line in told)


def a_certificate(der: bytes) -> None:
    """The key is a slice of the certificate, or the bytes are refused."""
    try:
        spki = core.spki(der)
    except DERError:
        return
    NUM_RUNS["certificates"] += 1
    assert spki in der


def a_tile(parts: tuple[bytes, bytes]) -> None:
    """Entries in front of what is changed are read, and no other error is raised."""
    good, rest = parts
    num = len(ct.read_tile(good))
    try:
        found = ct.read_tile(good + rest)
    except ct.CTError as error:
        found = error.entries
    NUM_RUNS["entries"] += len(found)
    assert tuple(found)[:num] == tuple(ct.read_tile(good))
    text = base64.b64encode(rest).decode()
    rows = [{"leaf_input": text, "extra_data": text}]
    with contextlib.suppress(ct.CTError):
        ct.read_get_entries(json.dumps({"entries": rows}))


@st.composite
def tiles(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """Draw a tile, and bytes behind it: another one that is edited, or any."""
    some = entries()[: draw(st.integers(1, 3))]
    rest = bytearray(draw(st.just(tile(entries()[3:])) | st.binary(max_size=99)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(rest)))
        rest[at : at + draw(st.integers(0, 40))] = draw(st.binary(max_size=4))
    return tile(some), bytes(rest)


@st.composite
def edited(draw: st.DrawFn) -> bytes:
    """Draw a certificate with some bytes changed, inserted or removed."""
    der = bytearray(draw(st.sampled_from(corpora.inputs())).der)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(der)))
        der[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=2))
    return bytes(der)


# Files that are right: fuzzing begins at them.
_RULES = (
    Rules({"x.org": PinSet(leaf=[ABSENT, OTHER])}),
    Rules({"x.org": PinSet(ca=[ABSENT, OTHER])}),
    Rules({"**.x.org": [ABSENT, OTHER], "a.x.org": [ABSENT, OTHER]}),
)
_CHROMIUM = """{
 "pinsets": [{"name": "one", "static_spki_hashes": ["A"]}],
 "entries": [{"name": "x.org", "pins": "one", "include_subdomains": true}]
}"""


# Of formats that are only read.
_READ_ONLY = {"chromium": _CHROMIUM}


def right_files(name: str) -> list[bytes]:
    """Return files of a format."""
    found = [_READ_ONLY[name].encode()] if name in _READ_ONLY else []
    for rules in _RULES if FORMATS[name].writes else ():
        host = None if FORMATS[name].host_to_write == "says" else "x.org"
        dumped = dump(rules, name, host=host, now=NOON)
        if dumped is not None:
            text = dumped.text
            found.append(text if isinstance(text, bytes) else text.encode())
    return found


RIGHT = {name: right_files(name) for name in STRANGE}
PARTS = [*PIECES.values(), *STARTS.values(), ABSENT, ABSENT[7:], "x.org", "\0", "\n"]


@st.composite
def files_of_formats(draw: st.DrawFn) -> tuple[str, bytes]:
    """Draw a format, and a file of it: a right one that is edited, or any words."""
    name = draw(st.sampled_from(STRANGE))
    words = st.lists(st.sampled_from(PARTS) | st.text(max_size=4), max_size=8)
    data = bytearray(draw(st.sampled_from(RIGHT[name])))
    if draw(st.sampled_from([True] + 4 * [False])):
        data.clear()
    for _ in range(draw(st.integers(0, 3))):
        at, end = draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))
        if draw(st.booleans()):
            end = min(at + draw(st.integers(0, 2)), len(data))
        part = draw(
            words.map(lambda found: "".join(found).encode("utf-8", "surrogatepass"))
            | st.binary(max_size=2)
            | st.just(bytes(data[min(at, end) : max(at, end)]))
        )
        data[at : max(at, end)] = part
    return name, bytes(data)


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
        run(a_file_of_a_format, files_of_formats())
        run(a_tile, tiles())
        run(a_certificate, edited() | st.binary(max_size=64))
    counts = ", ".join(f"{number} {what}" for what, number in NUM_RUNS.items())
    print(counts)  # noqa: T201 - it is what was asked for


if __name__ == "__main__":
    main()
