"""The bytes that the compiler writes: as in the header, and the same everywhere."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policy_model as model
from compiled_model import (
    CLIENTS,
    SMALL,
    as_opened,
    bucket_of,
    canonical_order,
    fault,
    key_of,
    meaning,
    put_together,
    random_policy,
    small,
    spki,
    taken_apart,
)
from examples import examples
from pinverify import UNPINNED, Pin, Policy
from policy_model import ModelPinSet, ModelPolicy

__all__: list[str] = []


# ---- what the compiler writes ------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        ModelPolicy(),
        ModelPolicy(unpinned="reject", blocked=SMALL.blocked),
        SMALL,
        CLIENTS,
        random_policy(random.Random(5), 300),  # noqa: S311
    ],
    ids=["empty", "only blocked", "small", "every peer", "random"],
)
def test_what_the_compiler_writes_is_what_the_header_describes(
    wanted: ModelPolicy,
) -> None:
    """Read byte by byte, it has no fault, and means what it was made from."""
    blob = model.policy(wanted).compile()
    assert fault(blob) is None
    assert meaning(blob) == canonical_order(wanted)
    assert as_opened(blob) == canonical_order(wanted)
    assert put_together(replace(taken_apart(blob), size=None)) == blob


@settings(max_examples=examples(60), deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_any_policy_is_what_the_header_describes(seed: int, num_rules: int) -> None:
    """The same for random ones of up to 60 rules."""
    wanted = random_policy(random.Random(seed), num_rules)  # noqa: S311
    blob = model.policy(wanted).compile()
    assert fault(blob) is None
    assert meaning(blob) == canonical_order(wanted)


def test_a_pin_that_is_given_twice_is_stored_once() -> None:
    """In one list, which is sorted: rules in another order are the same rules."""
    one, two = sorted((spki(1), spki(2)))
    pinset = ModelPinSet(pins=(two, one, two, one))
    found = meaning(model.policy(ModelPolicy({"a.example": pinset})).compile())
    assert found.rules["a.example"] == ModelPinSet(pins=(one, two))


def test_equal_pin_sets_are_stored_once() -> None:
    """A thousand hosts of one service cost a thousand rules and one PinSet."""
    pins = [Pin.spki(spki(i).digest) for i in range(3)]
    parts = taken_apart(Policy({f"h{i}.example": pins for i in range(1000)}).compile())
    assert parts.num_rules == 1000
    assert parts.num_pinsets == 1
    assert parts.num_rows == 3


def test_the_index_has_no_more_than_two_buckets_for_a_rule() -> None:
    """So its size is linear in the rules, and buckets stay short."""
    for num_rules in (0, 1, 2, 3, 4, 5, 1000):
        rules = {f"h{i}.example": UNPINNED for i in range(num_rules)}
        parts = taken_apart(Policy(rules).compile())
        assert num_rules <= len(parts.buckets) - 1 <= max(1, 2 * num_rules)
        sizes = [b - a for a, b in itertools.pairwise(parts.buckets)]
        assert max(sizes) <= 8


@pytest.mark.parametrize("num_rules", [0, 1, 2, 255, 256, 257, 1000])
def test_the_key_of_the_index_is_made_of_all_patterns(num_rules: int) -> None:
    """So nobody can choose names for a key that is known before."""
    rules = {f"{'*.' * (i % 2)}h{i}.example": UNPINNED for i in range(num_rules)}
    parts = taken_apart(Policy(rules).compile())
    assert parts.key == key_of([pattern.encode() for pattern in rules])
    other = taken_apart(Policy({**rules, "another.example": UNPINNED}).compile())
    assert other.key != parts.key


def test_names_chosen_for_the_key_of_a_policy_scatter_when_they_are_added() -> None:
    """An adversary who knows the code and the file fills a bucket with 30 names."""
    rules = {f"h{i}.example": UNPINNED for i in range(100)}
    key = taken_apart(Policy(rules).compile()).key
    many = (f"x{i}.example" for i in itertools.count())
    hits = (name for name in many if bucket_of(key, name.encode(), 0, 256) == 7)
    chosen = list(itertools.islice(hits, 30))
    parts = taken_apart(Policy(rules | dict.fromkeys(chosen, UNPINNED)).compile())
    assert len(parts.buckets) - 1 == 256
    own = [bucket_of(parts.key, name.encode(), 0, 256) for name in chosen]
    assert max(map(own.count, own)) < 6


# ---- the same bytes everywhere -----------------------------------------------


SAME = """
    import datetime as dt, hashlib
    from pinverify import UNPINNED, Pin, PinSet, Policy
    pins = [Pin.spki(hashlib.sha256(b"%d" % i).digest()) for i in range(20)]
    whole = [Pin.certificate(pin.digest) for pin in pins]
    rules = {f"h{i}.example": [pins[i % 7], whole[i % 3]] for i in range(50)}
    rules["**.example"] = PinSet(
        pins[:6], leaf=whole[:2], ca=pins[9:], blocked=whole[4:5], mode="report",
        expires=dt.datetime(2027, 1, 31, tzinfo=dt.UTC), after_expiry="reject")
    rules["*.b\\u00fccher.example"] = UNPINNED
    policy = Policy(rules, unpinned="reject", blocked=pins[3:5])
    print(policy.digest.hex())
"""
DIGEST_OF_SAME = "ea1c133824a31284a8c78c6b0de47fa167f77f523c848b8e0a4f38ea3650038a"


def digest_in_a_new_process(code: str, hash_seed: str) -> str:
    """Run code that prints a digest, under a seed for Python's hashes."""
    path = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path},
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    return done.stdout.strip()


@pytest.mark.parametrize("hash_seed", ["0", "1", "4242"])
def test_the_same_policy_compiles_to_the_same_bytes_everywhere(hash_seed: str) -> None:
    """In each process, under each hash seed, in each version of Python.

    So a digest can be reviewed, signed and compared. When the layout changes, this
    digest changes with the magic.
    """
    assert digest_in_a_new_process(SAME, hash_seed) == DIGEST_OF_SAME


def test_a_policy_compiles_to_the_same_bytes_twice() -> None:
    """In one process, too, and from the opened policy again."""
    assert model.policy(SMALL).compile() == small()
    assert Policy.open(small()).compile() == small()
    assert Policy.for_clients(
        model.pin_set(ModelPinSet(leaf=(spki(1),)))
    ).compile() == (
        Policy.for_clients(model.pin_set(ModelPinSet(leaf=(spki(1),)))).compile()
    )


def test_a_set_of_pins_compiles_to_the_same_bytes_under_every_hash_seed() -> None:
    """A PinSet takes any iterable; the order of a set differs from run to run."""
    code = """
        from pinverify import Policy
        pins = {"sha256/" + letter * 43 + "=" for letter in "AEIMQUYcgko"}
        print(Policy({"a.example": pins}).digest.hex())
    """
    assert len({digest_in_a_new_process(code, seed) for seed in "1234"}) == 1
