"""Each promise of the header about a compiled policy, one by one."""

from __future__ import annotations

import hashlib
import itertools
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import pytest

from compiled_model import (
    NONE,
    Parts,
    PinSetRow,
    RuleRow,
    assert_opens_iff_well_formed,
    bucket_of,
    fault,
    hash_of,
    put_together,
    siphash,
    spki,
    status_of,
    tag_of,
    taken_apart,
)
from pinverify import PinSet, Policy, PolicyError
from pinverify.core._keys import pack
from policy_samples import ABSENT, HOST, NOON

__all__: list[str] = []


PINS = b"".join(spki(i).digest for i in range(4))
SIX = pack(b"".join(spki(i).digest for i in range(6)))


def pinset_row(*runs: tuple[int, int], **fields: int) -> PinSetRow:
    """Return a PinSet with these runs, the others empty."""
    row = PinSetRow(runs=[*runs, *[(0, 0)] * (8 - len(runs))])
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def indexed(
    *rules: tuple[bytes, int, int],
    num_buckets: int = 1,
    in_order: bool = True,
    key: bytes = bytes(16),
) -> Parts:
    """Return a policy with these rules: name, shape, PinSet; all else is right."""

    def place(rule: tuple[bytes, int, int]) -> tuple[int, bytes]:
        name, shape, _ = rule
        return bucket_of(key, name, shape, num_buckets), b"*" * shape + b"." + name

    parts = Parts(key=key, pins=PINS, pinsets=[pinset_row((0, 1)), pinset_row((1, 3))])
    parts.buckets = [0] * (num_buckets + 1)
    for name, shape, pinset in sorted(rules, key=place) if in_order else rules:
        at = len(parts.names)
        bucket, _ = place((name, shape, pinset))
        tag = tag_of(key, name)
        parts.rules.append(RuleRow(at, tag, pinset, len(name) % 256, shape))
        parts.names += name
        for after in range(bucket + 1, num_buckets + 1):
            parts.buckets[after] += 1
    return parts


def base() -> Parts:
    """Return a policy of three rules and two PinSets."""
    return indexed((b"a.example", 0, 0), (b"b.example", 1, 1), (b"c", 2, NONE))


def test_the_parts_that_the_next_tests_damage_are_good() -> None:
    """Otherwise those would show nothing."""
    assert assert_opens_iff_well_formed(put_together(base()))
    clients = Parts(flags=2, pins=PINS, pinsets=[pinset_row((0, 1))])
    assert assert_opens_iff_well_formed(put_together(clients))


HOSTS_OF_NO_RULE = [
    (b"A.example", 0, "upper case"),
    (b"a.example.", 0, "a trailing dot"),
    (b"a..example", 0, "an empty label"),
    (b".example", 2, "a dot first"),
    (b"", 0, "no name at all"),
    (b"", 2, "stars over everything"),
    (b"*.example", 0, "a star in the name"),
    (b"a\0.example", 0, "NUL"),
    (b"b\xc3\xbccher.example", 0, "UTF-8"),
    (b"a" * 64, 0, "a label of 64"),
    (b"a." * 126 + b"bc", 0, "254 bytes"),
    (b"1.2.3", 0, "a number at the end"),
    (b"01.2.3.4", 0, "a leading zero"),
    (b"3.4", 2, "a part of an address"),
    (b"10.0.0.1", 1, "a star over an address"),
    (b"10.0.0.1", 2, "two stars over an address"),
    (b"::1", 1, "a star over an IPv6 address"),
    (b"::1", 2, "two stars over an IPv6 address"),
    (b"0:0:0:0:0:0:0:1", 0, "a long IPv6 address"),
    (b"::A", 0, "an IPv6 address in upper case"),
    (b"::1.2.3.4", 0, "an IPv6 address with a dotted quad"),
    (b"[::1]", 0, "brackets"),
    (b"a.example:443", 0, "a port"),
]


@pytest.mark.parametrize(
    ("name", "shape"),
    [(name, shape) for name, shape, _ in HOSTS_OF_NO_RULE],
    ids=[why for _, _, why in HOSTS_OF_NO_RULE],
)
def test_a_rule_whose_name_is_not_canonical_is_refused(name: bytes, shape: int) -> None:
    """No look-up would find it, or one would find it that should not."""
    for others in ([], [(b"a.example", 0, 0), (b"z", 2, NONE)]):
        blob = put_together(indexed((name, shape, 0), *others))
        assert status_of(blob) == "RULE"
        assert not assert_opens_iff_well_formed(blob)


def test_two_stars_stand_before_at_most_16_labels() -> None:
    """No look-up would find the others; one star stands before any name."""
    for num in (1, 15, 16, 17, 18, 127):
        name = b".".join([b"a"] * num)
        for shape in (0, 1, 2):
            blob = put_together(indexed((name, shape, 0)))
            assert assert_opens_iff_well_formed(blob) == (num <= 16 or shape != 2)


def test_the_longest_name_of_a_rule_has_253_bytes() -> None:
    """The length of a name is one byte: 253 pass, and no sum wraps around."""
    longest = b"a." * 126 + b"b"
    assert assert_opens_iff_well_formed(put_together(indexed((longest, 0, 0))))
    for length in (254, 255, 256, 257):
        name = (b"a." * 128)[: length - 1] + b"b"
        assert status_of(put_together(indexed((name, 0, 0)))) == "RULE"


RULE_FIELDS: dict[str, dict[str, object]] = {
    "another tag": {"tag": 0},
    "shape 3, every peer": {"shape": 3},
    "shape 255": {"shape": 255},
    "a byte 14 that is not zero": {"zero": b"\1\0"},
    "a byte 15 that is not zero": {"zero": b"\0\1"},
    "a PinSet past the last": {"pinset": 2},
    "a PinSet far past the last": {"pinset": NONE - 1},
    "a name that begins elsewhere": {"name_at": 5},
    "a name far outside": {"name_at": NONE},
    "a name too short": {"name_len": 0},
    "a name too long": {"name_len": 255},
}


def _set(**fields: object) -> Callable[[Parts], None]:
    def damage(parts: Parts) -> None:
        for name, value in fields.items():
            setattr(parts, name, value)

    return damage


def _rule(index: int, **fields: object) -> Callable[[Parts], None]:
    def damage(parts: Parts) -> None:
        for name, value in fields.items():
            setattr(parts.rules[index], name, value)

    return damage


def _pinset(**fields: object) -> Callable[[Parts], None]:
    def damage(parts: Parts) -> None:
        for name, value in fields.items():
            setattr(parts.pinsets[1], name, value)

    return damage


def _run(first: int, num_pins: int) -> Callable[[Parts], None]:
    def damage(parts: Parts) -> None:
        parts.pinsets[1].runs[3] = (first, num_pins)

    return damage


def _filler(row: int, byte: int) -> Callable[[Parts], None]:
    """Let one byte differ in what fills the block of six pins."""

    def damage(parts: Parts) -> None:
        packed = bytearray(SIX)
        packed[64 * (byte // 8) + 8 * row + byte % 8] ^= 1
        parts.pins += bytes(packed)
        parts.pinsets[1].runs[3] = (4, 6)

    return damage


def _block_across_sections(parts: Parts) -> None:
    """Let seven rows be there of a block of eight; the rest of it is the PinSet.

    Its two runs are equal, so the eighth pin of the block would repeat the seventh.
    """
    parts.pins = bytes(7 * 32)
    parts.pinsets[0] = pinset_row((0, 7), (0, 7))


def _blocked_filler(parts: Parts) -> None:
    parts.pins += SIX[:-1] + b"\0"
    parts.blocked[0] = (4, 6)


def _names(names: bytes, *offsets: int) -> Callable[[Parts], None]:
    def damage(parts: Parts) -> None:
        parts.names = names
        for rule, at in zip(parts.rules, offsets, strict=True):
            rule.name_at = at

    return damage


def _gap(parts: Parts) -> None:
    """Put a byte between two names."""
    parts.names = (
        parts.names[: parts.rules[1].name_at]
        + b"x"
        + parts.names[parts.rules[1].name_at :]
    )
    for rule in parts.rules[1:]:
        rule.name_at += 1


def _swap(one: int, other: int) -> Callable[[Parts], None]:
    """Let two rules change places, with their names, in one bucket."""

    def damage(parts: Parts) -> None:
        rules, names = parts.rules, parts.names
        texts = [names[r.name_at : r.name_at + r.name_len] for r in rules]
        rules[one], rules[other] = rules[other], rules[one]
        texts[one], texts[other] = texts[other], texts[one]
        ends = itertools.accumulate(map(len, texts), initial=0)
        for rule, at in zip(rules, ends, strict=False):
            rule.name_at = at
        parts.names = b"".join(texts)

    return damage


def _padding(parts: Parts) -> None:
    """Let the last byte differ of those that fill the bytes up to 8."""
    filler = taken_apart(put_together(parts)).filler
    assert filler
    parts.filler = filler[:-1] + b"\1"


def _shared_name(parts: Parts) -> None:
    """Let two rules have their name at one place; as many bytes are unused."""
    shared = indexed((b"a.example", 0, 0), (b"a.example", 1, 0))
    shared.rules[1].name_at = 0
    vars(parts).update(vars(shared))


def _overlapping_names(parts: Parts) -> None:
    """Let the second name lie in the first, and no byte be unused behind them."""
    first, second = b"a.example", b"example"
    for i in itertools.count():
        third = b"host%d.example" % i
        found = indexed((first, 0, 0), (second, 0, 0), (third, 0, 0))
        if found.names == first + second + third:
            found.rules[1].name_at = len(first) - len(second)
            found.rules[2].name_at = len(first)
            found.names = first + third
            vars(parts).update(vars(found))
            return


REFUSED: dict[str, tuple[str, Callable[[Parts], None]]] = {
    # the frame
    "another magic": ("MAGIC", _set(magic=b"pinvpok2")),
    "the version before": ("MAGIC", _set(magic=b"pinvpol1")),
    "a later version": ("MAGIC", _set(magic=b"pinvpol3")),
    "another digest": ("DIGEST", _set(digest=bytes(32))),
    "a size that is one too small": ("SIZE", _set(size=len(put_together(base())) - 1)),
    "a size that is one too large": ("SIZE", _set(size=len(put_together(base())) + 1)),
    "a size of 0": ("SIZE", _set(size=0)),
    "a size of 2^64 - 1": ("SIZE", _set(size=2**64 - 1)),
    # the header
    **{f"flag {bit}": ("HEADER", _set(flags=1 << bit)) for bit in range(2, 32)},
    "an unknown flag beside the others": ("HEADER", _set(flags=7)),
    "a rule too few": ("HEADER", _set(num_rules=2)),
    "a rule too many": ("HEADER", _set(num_rules=4)),
    "2^32 - 1 rules": ("HEADER", _set(num_rules=NONE)),
    "a PinSet too few": ("HEADER", _set(num_pinsets=1)),
    "a PinSet too many": ("HEADER", _set(num_pinsets=3)),
    "2^32 - 1 PinSets": ("HEADER", _set(num_pinsets=NONE)),
    "a row too few": ("HEADER", _set(num_rows=3)),
    "a row too many": ("HEADER", _set(num_rows=5)),
    "2^64 - 1 rows": ("HEADER", _set(num_rows=2**64 - 1)),
    "2^59 rows too many, which are 2^64 bytes": ("HEADER", _set(num_rows=4 + 2**59)),
    "2^58 rows too many": ("HEADER", _set(num_rows=4 + 2**58)),
    "8 bytes of names too few": ("HEADER", _set(names_len=len(base().names) - 8)),
    "8 bytes of names too many": ("HEADER", _set(names_len=len(base().names) + 8)),
    "2^64 - 1 bytes of names": ("HEADER", _set(names_len=2**64 - 1)),
    "names that wrap around": ("HEADER", _set(names_len=2**64 - 8)),
    "no bucket": ("HEADER", _set(num_buckets=0)),
    "no bucket, and none there": ("HEADER", _set(num_buckets=0, buckets=[0])),
    "three buckets": ("HEADER", _set(buckets=[0, 3, 3, 3])),
    "a bucket too many": ("BUCKETS", _set(num_buckets=2)),
    "2^31 buckets": ("HEADER", _set(num_buckets=1 << 31)),
    "2^32 - 1 buckets": ("HEADER", _set(num_buckets=NONE)),
    **{
        f"reserved byte {i}": (
            "HEADER",
            _set(reserved=bytes(i) + b"\1" + bytes(15 - i)),
        )
        for i in range(16)
    },
    "a blocked run past the rows": ("HEADER", _set(blocked=[(0, 5), (0, 0)])),
    "a blocked run that ends past them": ("HEADER", _set(blocked=[(0, 0), (3, 2)])),
    "a blocked run that begins past them": ("HEADER", _set(blocked=[(5, 1), (0, 0)])),
    "an empty blocked run that is not zero": ("HEADER", _set(blocked=[(1, 0), (0, 0)])),
    "2^32 - 1 blocked pins": ("HEADER", _set(blocked=[(0, NONE), (0, 0)])),
    "filler of blocked pins that differs": ("HEADER", _blocked_filler),
    "8 zero bytes at the end": ("HEADER", _set(filler=bytes(8))),
    "the end not filled up to 8": ("HEADER", _set(filler=b"")),
    "a last byte that is not zero": ("HEADER", _padding),
    # PinSets
    "mode 2": ("PINSET", _pinset(mode=2)),
    "mode 255": ("PINSET", _pinset(mode=255)),
    "after_expiry 3": ("PINSET", _pinset(after_expiry=3)),
    "after_expiry 255": ("PINSET", _pinset(after_expiry=255)),
    "a time without expiry": ("PINSET", _pinset(expires=1)),
    "a time before 1970 without expiry": ("PINSET", _pinset(expires=-1)),
    **{
        f"PinSet byte {2 + i}": (
            "PINSET",
            _pinset(zero=bytes(i) + b"\1" + bytes(5 - i)),
        )
        for i in range(6)
    },
    "no pin": ("PINSET", _pinset(runs=[(0, 0)] * 8)),
    "blocked pins alone": ("PINSET", _pinset(runs=[(0, 0)] * 6 + [(0, 1)] * 2)),
    "a run past the rows": ("PINSET", _run(0, 5)),
    "a run that ends past the rows": ("PINSET", _run(3, 2)),
    "a run that begins at the end": ("PINSET", _run(4, 1)),
    "a run that begins past the end": ("PINSET", _run(NONE, 1)),
    "a run that wraps around": ("PINSET", _run(NONE, 2)),
    "2^32 - 1 pins": ("PINSET", _run(0, NONE)),
    "2^32 - 1 pins from the last row on": ("PINSET", _run(NONE, NONE)),
    "an empty run that is not zero": ("PINSET", _run(1, 0)),
    "a block of which 4 rows are there": ("PINSET", _run(0, 6)),
    "a block that ends in the next section": ("PINSET", _block_across_sections),
    **{
        f"filler {row} that differs in byte {byte}": ("PINSET", _filler(row, byte))
        for row in (6, 7)
        for byte in range(32)
    },
    # the index
    "a first bucket that is not 0": ("BUCKETS", _set(buckets=[1, 3])),
    "a last bucket too small": ("BUCKETS", _set(buckets=[0, 2])),
    "a last bucket too large": ("BUCKETS", _set(buckets=[0, 4])),
    "a last bucket of 2^32 - 1": ("BUCKETS", _set(buckets=[0, NONE])),
    "buckets that descend": ("BUCKETS", _set(buckets=[0, 3, 2, 3, 3])),
    "buckets past the end": ("BUCKETS", _set(buckets=[0, 4, 4, 4, 3])),
    # rules
    **{
        f"rule {i}: {what}": ("RULE", _rule(i, **fields))
        for i in range(3)
        for what, fields in RULE_FIELDS.items()
    },
    "a gap between names": ("RULE", _gap),
    "two rules with one name in memory": ("RULE", _shared_name),
    "a name in the one before it, and no byte unused": ("RULE", _overlapping_names),
    "a byte after the last name": ("RULE", lambda p: _set(names=p.names + b"x")(p)),
    "8 bytes after the last name": (
        "RULE",
        lambda p: _set(names=p.names + b"exampleX")(p),
    ),
    "a byte of the last name missing": (
        "RULE",
        lambda p: _set(names=p.names[:-1])(p),
    ),
    "the first two rules swapped": ("RULE", _swap(0, 1)),
    "the last two rules swapped": ("RULE", _swap(1, 2)),
    "the outer two rules swapped": ("RULE", _swap(0, 2)),
}


@pytest.mark.parametrize(("status", "damage"), REFUSED.values(), ids=REFUSED)
def test_each_field_out_of_range_is_refused_for_its_part(
    status: str, damage: Callable[[Parts], None]
) -> None:
    """The digest is right: what protects is that open checks each field."""
    parts = base()
    damage(parts)
    blob = put_together(parts)
    assert status_of(blob) == status
    assert fault(blob) == status
    with pytest.raises(PolicyError, match="not a compiled policy: "):
        Policy.open(blob)


def test_rules_in_a_bucket_ascend_by_pattern_and_none_is_there_twice() -> None:
    """So a look-up has one answer, and equal policies have equal bytes."""
    one, other = b"h498192.example", b"h722392.example"
    good = [
        [(one, 0, 0), (other, 0, 0)],
        [(b"h", 0, 0), (b"h-a", 0, 0), (b"h.a", 0, 0), (b"ha", 0, 0)],
        [(one, 2, 0), (one, 1, 0), (one, 0, 0)],
        [(other, 2, 0), (other, 1, 0), (one, 0, 0)],
        [(one, 2, 0), (other, 2, 0), (one, 1, 0), (other, 1, 0)],
        [(b"z", 1, 0), (b"--", 0, 0)],
    ]
    for rules in good:
        assert assert_opens_iff_well_formed(put_together(indexed(*rules)))
        for wrong in (rules[::-1], [*rules, rules[-1]], [rules[0], *rules]):
            blob = put_together(indexed(*wrong, in_order=False))
            assert status_of(blob) == "RULE"
            assert fault(blob) == "RULE"
    # The same pattern with two PinSets: which one should hold?
    blob = put_together(indexed((one, 0, 0), (one, 0, 1), in_order=False))
    assert status_of(blob) == "RULE"


def test_a_rule_in_another_bucket_than_its_own_is_refused() -> None:
    """It would not be found, and a wider rule would decide in its place."""
    names = [hashlib.sha256(b"%d" % i).hexdigest()[:9].encode() for i in range(12)]
    parts = indexed(*[(name + b".example", 0, 0) for name in names], num_buckets=8)
    names_of = [parts.names[r.name_at : r.name_at + r.name_len] for r in parts.rules]
    assert assert_opens_iff_well_formed(put_together(parts))
    num_in_order = 0
    for bucket in range(1, 8):
        for step in (-1, 1):
            moved = replace(parts, buckets=list(parts.buckets))
            moved.buckets[bucket] += step
            blob = put_together(moved)
            assert status_of(blob) in {"RULE", "BUCKETS"}
            assert not assert_opens_iff_well_formed(blob)
            ascending = all(
                names_of[start:end] == sorted(names_of[start:end])
                for start, end in itertools.pairwise(moved.buckets)
            )
            num_in_order += status_of(blob) == "RULE" and ascending
    assert num_in_order > 0  # nothing else is wrong with those


def test_two_names_with_the_same_tag_in_one_bucket_are_told_apart() -> None:
    """The index compares names, not only hashes and lengths: anybody can make those."""
    one, other = b"h498192.example", b"h722392.example"
    assert tag_of(bytes(16), one) == tag_of(bytes(16), other)
    for names in ([one, other], [one], [other]):
        blob = put_together(indexed(*[(name, 0, 0) for name in names]))
        policy = Policy.open(blob)
        for name in (one, other):
            expected = name.decode() if name in names else None
            assert policy.evaluate(name, []).rule == expected


@pytest.mark.parametrize("num_buckets", [1, 2, 4])
def test_a_bucket_has_at_most_16_rules(num_buckets: int) -> None:
    """So a look-up compares few tags, whoever made the bytes, and by whatever key."""
    key = b"any key will do!"
    names = [b"h%d.example" % i for i in range(200)]
    full = [n for n in names if bucket_of(key, n, 0, num_buckets) == num_buckets - 1]
    for num_rules in (15, 16, 17, 18):
        rules = [(name, 0, 0) for name in full[:num_rules]]
        parts = indexed(*rules, num_buckets=num_buckets, key=key)
        blob = put_together(parts)
        assert len(parts.rules) == num_rules
        assert status_of(blob) == (None if num_rules <= 16 else "BUCKETS")
        assert assert_opens_iff_well_formed(blob) == (num_rules <= 16)


def test_names_are_hashed_by_siphash_1_3() -> None:
    """The model of these tests agrees with the hash of Python, which has its own."""
    if sys.hash_info.algorithm != "siphash13":
        pytest.skip("this Python has another hash")
    code = "print(*[hash(bytes(range(i, 2 * i))) for i in range(1, 100)])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "0"},  # a key of zeros
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
    )
    for i, theirs in enumerate(map(int, done.stdout.split()), start=1):
        assert siphash(bytes(16), bytes(range(i, 2 * i))) == theirs % (1 << 64)
    assert hash_of(bytes(16), b"abc") == siphash(bytes(16), b"cba")


@pytest.mark.parametrize("length", [*range(1, 26), 63, 64, 65, 252, 253])
def test_a_name_of_any_length_has_its_hash(length: int) -> None:
    """Whole words and what is left of them; under a key in which each byte counts."""
    name = (b"abcdefghi." * 26)[: length - 1] + b"z"
    keys = [bytes(range(16)), *(bytes(i) + b"\1" + bytes(15 - i) for i in range(16))]
    assert len({hash_of(key, name) for key in keys}) == len(keys)
    for key in keys:
        assert assert_opens_iff_well_formed(
            put_together(indexed((name, 0, 0), (b"b", 1, 0), num_buckets=4, key=key))
        )


@pytest.mark.parametrize("flags", [2, 3])
def test_pins_of_clients_are_pin_set_0_so_there_is_one(flags: int) -> None:
    """Rules may stand beside them, and other PinSets."""
    assert status_of(put_together(Parts(flags=flags))) == "HEADER"
    assert fault(put_together(Parts(flags=flags))) == "HEADER"
    one, two = pinset_row((0, 1)), pinset_row((1, 1))
    for parts in (
        Parts(flags=flags, pins=PINS, pinsets=[one]),
        Parts(flags=flags, pins=PINS, pinsets=[one, two]),
        replace(base(), flags=flags),
        replace(indexed((b"a", 0, 0)), flags=flags),
        replace(indexed((b"a", 0, 0)), flags=flags, pinsets=[one]),
    ):
        assert assert_opens_iff_well_formed(put_together(parts))


def test_what_the_header_leaves_open_opens_and_is_what_it_says() -> None:
    """Bytes that the compiler would not write, and that have one meaning all the same.

    Pins given twice, runs that are shared or overlap, rows and PinSets that nothing
    uses, more or fewer buckets than rules, pins blocked beside those of clients.
    """
    twice = pinset_row((0, 2), (0, 2), (1, 3), (1, 3))
    rules = [(b"h%d.example" % i, i % 3, i % 2) for i in range(30)]
    for parts in (
        Parts(pins=PINS * 2, pinsets=[twice]),
        replace(base(), pins=PINS + SIX + PINS),
        replace(base(), pinsets=[*base().pinsets, twice, twice]),
        indexed(*rules, num_buckets=8),
        indexed(*rules, num_buckets=1024),
        Parts(pins=SIX, pinsets=[pinset_row((0, 6), (0, 8), (1, 1), (7, 1))]),
        Parts(flags=2, pins=PINS, pinsets=[twice], blocked=[(0, 1), (3, 1)]),
    ):
        assert assert_opens_iff_well_formed(put_together(parts))


def test_an_expiry_that_no_calendar_has_is_an_error_with_a_next_step() -> None:
    """Another program may compile one. The policy decides; its rules can't be shown."""
    pinset = PinSet([ABSENT], expires=NOON, after_expiry="allow")
    parts = taken_apart(Policy({HOST: pinset}).compile())
    for seconds in (2**62, -(2**62), 2**63 - 1, -(2**63), 10**12):
        row = replace(parts.pinsets[0], expires=seconds)
        foreign = replace(parts, digest=None, pinsets=[row])
        policy = Policy.open(put_together(foreign))
        assert policy.evaluate(HOST, []).host == HOST
        with pytest.raises(PolicyError, match=rf"'{HOST}': expires: .* compile the"):
            _ = policy.rules


def test_pin_sets_that_share_rows_share_their_list() -> None:
    """Rules take no more memory than the pins of the policy, however many use them."""
    num = 500
    pins = pack(b"".join(spki(i).digest for i in range(num)))
    rows = [pinset_row((0, num), expires=i, after_expiry=1) for i in range(num)]
    rules = [(b"h%03d.example" % i, 0, i) for i in range(num)]
    parts = replace(indexed(*rules, num_buckets=256), pins=pins, pinsets=rows)
    policy = Policy.open(put_together(parts))
    values = policy.rules.hosts.values()
    lists = [value.pins for value in values if isinstance(value, PinSet)]
    assert len(lists) == num
    assert {id(found) for found in lists} == {id(lists[0])}
    assert {pin.digest for pin in lists[0]} == {spki(i).digest for i in range(num)}


def test_rules_with_lists_that_overlap_are_not_read() -> None:
    """They would take far more memory than the policy, which decides all the same."""
    rules = ((b"a", 0, 0), (b"b", 0, 1), (b"c", 0, 2))
    parts = replace(
        indexed(*rules), pinsets=[pinset_row(run) for run in ((0, 3), (1, 3), (3, 1))]
    )
    policy = Policy.open(put_together(parts))
    assert policy.evaluate("a", []).host == "a"
    with pytest.raises(PolicyError, match=r"lists of pins overlap .* compile the"):
        _ = policy.rules


def sharing(num: int) -> Policy:
    """Return a policy of PinSets with the same pins of keys, and a certificate each."""
    keys = pack(b"".join(spki(i).digest for i in range(num)))
    rows = len(keys) // 32
    pins = keys + b"".join(spki(num + i).digest for i in range(num))
    pinsets = [pinset_row((0, num), (rows + i, 1)) for i in range(num)]
    rules = [(b"h%04d.example" % i, 0, i) for i in range(num)]
    parts = replace(indexed(*rules, num_buckets=2048), pins=pins, pinsets=pinsets)
    return Policy.open(put_together(parts))


def test_lists_with_the_same_keys_and_other_certificates_share_pins() -> None:
    """So that a pin takes memory once, however many lists have it."""
    values = sharing(40).rules.hosts.values()
    lists = [value.pins for value in values if isinstance(value, PinSet)]
    assert [len(pins) for pins in lists] == [41] * 40
    assert len({id(pin) for pins in lists for pin in pins}) == 80


def test_lists_that_share_too_many_pins_are_not_read() -> None:
    """A file of 300 kB would take 20 MB, and one of 3 MB a hundred times as much."""
    policy = sharing(1600)
    tracemalloc.start()
    with pytest.raises(PolicyError, match=r"lists share very many pins.* compile"):
        _ = policy.rules
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000
    assert policy.evaluate("h0001.example", []).host == "h0001.example"


def test_pins_in_another_order_are_the_same_rules() -> None:
    """And another policy by its digest, as the page says."""
    turned = b"".join(spki(i).digest for i in (3, 2, 1, 0))
    policies = [
        Policy.open(
            put_together(
                replace(indexed((b"a", 0, 0)), pins=pins, pinsets=[pinset_row((0, 4))])
            )
        )
        for pins in (PINS, turned)
    ]
    assert policies[0].rules == policies[1].rules
    assert policies[0].digest != policies[1].digest
    assert policies[0] != policies[1]
