"""The compiled policy: what opens means what its bytes say, and nothing else opens.

A reader in plain Python stands first. It is written from csrc/pinverify.h, section 5,
and says of any bytes what is wrong with them, or what policy they are. Then:

* what the compiler writes is that policy, byte by byte as the header describes it;
* a policy that is damaged anywhere, cut or extended does not open;
* one that is damaged and has its digest made right again, as an attacker would, opens
  only where the reader finds no fault either, and is then the policy that it reads.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import itertools
import mmap
import os
import random
import struct
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import policy_model as model
from pinverify import UNPINNED, Pin, Policy, PolicyError, Reason, core
from pinverify._core import ffi, lib
from pki import Pki
from policy_model import ModelPin, ModelPinSet, ModelPolicy

__all__: list[str] = []

# ---- the layout, as the header describes it ----------------------------------

HEADER = struct.Struct("<8s32sQIIIIQQIIII32s")
PINSET = struct.Struct("<BB6sq16I")
RULE = struct.Struct("<IIIBB2s")
NONE = 0xFFFFFFFF
SHAPES = ("", "*.", "**.")


@dataclass
class RuleRow:
    """One entry of the rules section."""

    name_at: int
    tag: int
    pinset: int
    name_len: int
    shape: int
    zero: bytes = bytes(2)


@dataclass
class PinSetRow:
    """One entry of the pinsets section. A run is (first row, number of pins)."""

    mode: int = 0
    after_expiry: int = 0
    zero: bytes = bytes(6)
    expires: int = 0
    runs: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * 8)


@dataclass
class Parts:
    """A compiled policy, taken apart. What is None, `put_together` computes."""

    magic: bytes = b"pinvpol1"
    digest: bytes | None = None
    size: int | None = None
    flags: int = 0
    num_rules: int | None = None
    num_buckets: int | None = None
    num_pinsets: int | None = None
    num_rows: int | None = None
    names_len: int | None = None
    blocked: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * 2)
    reserved: bytes = bytes(32)
    pins: bytes = b""
    pinsets: list[PinSetRow] = field(default_factory=list)
    rules: list[RuleRow] = field(default_factory=list)
    buckets: list[int] = field(default_factory=lambda: [0, 0])
    names: bytes = b""
    filler: bytes | None = None


def _either(value: int | None, computed: int) -> int:
    return computed if value is None else value


def put_together(parts: Parts) -> bytes:
    """Return the bytes of a compiled policy, with the right digest."""
    contents = parts.pins
    for p in parts.pinsets:
        runs = itertools.chain.from_iterable(p.runs)
        contents += PINSET.pack(p.mode, p.after_expiry, p.zero, p.expires, *runs)
    for r in parts.rules:
        contents += RULE.pack(r.name_at, r.tag, r.pinset, r.name_len, r.shape, r.zero)
    contents += struct.pack(f"<{len(parts.buckets)}I", *parts.buckets) + parts.names
    filler = parts.filler
    if filler is None:
        filler = bytes(-(HEADER.size + len(contents)) % 8)
    contents += filler
    header = HEADER.pack(
        parts.magic,
        bytes(32),
        _either(parts.size, HEADER.size + len(contents)),
        parts.flags,
        _either(parts.num_rules, len(parts.rules)),
        _either(parts.num_buckets, len(parts.buckets) - 1),
        _either(parts.num_pinsets, len(parts.pinsets)),
        _either(parts.num_rows, len(parts.pins) // 32),
        _either(parts.names_len, len(parts.names)),
        *itertools.chain.from_iterable(parts.blocked),
        parts.reserved,
    )
    blob = redigested(header + contents)
    return blob if parts.digest is None else blob[:8] + parts.digest + blob[40:]


def redigested(blob: bytes) -> bytes:
    """Make the digest right again, as who damages a policy on purpose would."""
    return blob[:8] + hashlib.sha256(blob[40:]).digest() + blob[40:]


def taken_apart(blob: bytes) -> Parts:
    """Read a compiled policy whose sections fill its bytes."""
    (
        magic, digest, size, flags, num_rules, num_buckets, num_pinsets, num_rows,
        names_len, spki_at, num_spki, cert_at, num_cert, reserved,
    ) = HEADER.unpack_from(blob)  # fmt: skip
    at = HEADER.size
    pins = blob[at : at + 32 * num_rows]
    at += 32 * num_rows
    pinsets = []
    for _ in range(num_pinsets):
        mode, after_expiry, zero, expires, *runs = PINSET.unpack_from(blob, at)
        pairs = list(zip(runs[::2], runs[1::2], strict=True))
        pinsets.append(PinSetRow(mode, after_expiry, zero, expires, pairs))
        at += PINSET.size
    rules = []
    for _ in range(num_rules):
        rules.append(RuleRow(*RULE.unpack_from(blob, at)))
        at += RULE.size
    buckets = list(struct.unpack_from(f"<{num_buckets + 1}I", blob, at))
    at += 4 * (num_buckets + 1)
    return Parts(
        magic, digest, size, flags, num_rules, num_buckets, num_pinsets, num_rows,
        names_len, [(spki_at, num_spki), (cert_at, num_cert)], reserved, pins,
        pinsets, rules, buckets, blob[at : at + names_len], blob[at + names_len :],
    )  # fmt: skip


def fnv1a(name: bytes) -> int:
    """Return FNV-1a of 64 bits, from the last byte to the first."""
    value = 0xCBF29CE484222325
    for byte in reversed(name):
        value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return value


def bucket_of(name: bytes, num_buckets: int) -> int:
    """Return where the rules of a name stand in the index."""
    value = fnv1a(name)
    return (value ^ value >> 32) & (num_buckets - 1)


def pins_of_run(pins: bytes, run: tuple[int, int]) -> list[bytes]:
    """Return the pins of a run, and behind them what fills its last block."""
    first, num_pins = run
    if num_pins <= 4:
        return [
            pins[32 * row : 32 * row + 32] for row in range(first, first + num_pins)
        ]
    found = []
    for block in range(first, first + num_pins, 8):
        planes = pins[32 * block : 32 * block + 256]
        found += [
            b"".join(planes[64 * p + 8 * i : 64 * p + 8 * i + 8] for p in range(4))
            for i in range(8)
        ]
    return found


# ---- what is wrong with bytes, and what policy they are ----------------------


def fault(blob: bytes) -> str | None:
    """Return the name of the first status that fits, None if nothing is wrong."""
    for status, frame_is_good in _FRAME_CHECKS:
        if not frame_is_good(blob):
            return status
    parts = taken_apart(blob)
    checks = (status for status, is_good in _PARTS_CHECKS if not is_good(parts))
    return next(checks, None)


def _magic_is_good(blob: bytes) -> bool:
    return blob[:8] == b"pinvpol1"


def _size_is_good(blob: bytes) -> bool:
    return len(blob) >= 128 and int.from_bytes(blob[40:48], "little") == len(blob)


def _digest_is_good(blob: bytes) -> bool:
    return hashlib.sha256(blob[40:]).digest() == blob[8:40]


def _sections_fill(blob: bytes) -> bool:
    values = struct.unpack_from("<IIIQQ", blob, 52)
    num_rules, num_buckets, num_pinsets, num_rows, names_len = values
    if num_buckets not in {1 << i for i in range(32)}:
        return False
    end = HEADER.size + 32 * num_rows + 80 * num_pinsets + 16 * num_rules
    end += 4 * (num_buckets + 1) + names_len
    return end + -end % 8 == len(blob) and not any(blob[end:])


def _header_is_good(parts: Parts) -> bool:
    if parts.flags == 2:
        one_for_all = not parts.rules and len(parts.pinsets) == 1
    else:
        one_for_all = parts.flags in {0, 1}
    blocked = all(_run_is_good(run, parts.pins) for run in parts.blocked)
    return one_for_all and blocked and not any(parts.reserved)


def _pinsets_are_good(parts: Parts) -> bool:
    return all(_pinset_is_good(pinset, parts.pins) for pinset in parts.pinsets)


def _buckets_are_good(parts: Parts) -> bool:
    starts = parts.buckets
    ends = starts[0], starts[-1]
    return ends == (0, len(parts.rules)) and starts == sorted(starts)


def _run_is_good(run: tuple[int, int], pins: bytes) -> bool:
    first, num_pins = run
    num_rows = num_pins if num_pins <= 4 else num_pins + -num_pins % 8
    if num_pins == 0:
        return first == 0
    if first + num_rows > len(pins) // 32:
        return False
    found = pins_of_run(pins, run)
    return set(found[num_pins:]) <= {found[num_pins - 1]}


def _pinset_is_good(pinset: PinSetRow, pins: bytes) -> bool:
    return (
        pinset.mode in {0, 1}
        and pinset.after_expiry in {0, 1, 2}
        and (pinset.expires == 0 or pinset.after_expiry != 0)
        and not any(pinset.zero)
        and all(_run_is_good(run, pins) for run in pinset.runs)
        and any(num_pins for _, num_pins in pinset.runs[:6])
    )


def _rules_are_good(parts: Parts) -> bool:
    name_at = 0
    keys = []
    for i, rule in enumerate(parts.rules):
        name = parts.names[name_at : name_at + rule.name_len]
        text = name.decode("latin-1")
        bucket = bucket_of(name, len(parts.buckets) - 1)
        good = (
            rule.name_at == name_at
            and len(name) == rule.name_len
            and rule.shape in {0, 1, 2}
            and not any(rule.zero)
            and model.canonical(text) == text
            and (rule.shape == 0 or not model.is_address(text))
            and (rule.pinset == NONE or rule.pinset < len(parts.pinsets))
            and rule.tag == fnv1a(name) >> 32
            and parts.buckets[bucket] <= i < parts.buckets[bucket + 1]
        )
        if not good:
            return False
        name_at += rule.name_len
        keys.append((bucket, rule.tag, name, rule.shape))
    return name_at == len(parts.names) and sorted(set(keys)) == keys


_FRAME_CHECKS = (
    ("MAGIC", _magic_is_good),
    ("SIZE", _size_is_good),
    ("DIGEST", _digest_is_good),
    ("HEADER", _sections_fill),
)
_PARTS_CHECKS = (
    ("HEADER", _header_is_good),
    ("PINSET", _pinsets_are_good),
    ("BUCKETS", _buckets_are_good),
    ("RULE", _rules_are_good),
)


def meaning(blob: bytes) -> ModelPolicy:
    """Return the policy that well-formed bytes are."""
    parts = taken_apart(blob)
    pinsets = [_pinset_meaning(pinset, parts.pins) for pinset in parts.pinsets]
    rules: dict[str, ModelPinSet | None] = {}
    for rule in parts.rules:
        name = parts.names[rule.name_at : rule.name_at + rule.name_len]
        pinset = None if rule.pinset == NONE else pinsets[rule.pinset]
        rules[SHAPES[rule.shape] + name.decode("ascii")] = pinset
    return ModelPolicy(
        rules=rules,
        unpinned="reject" if parts.flags & 1 else "allow",
        blocked=_pins_meaning(parts.blocked, parts.pins),
        every_peer=pinsets[0] if parts.flags & 2 else None,
    )


def _pins_meaning(runs: list[tuple[int, int]], pins: bytes) -> tuple[ModelPin, ...]:
    spki, certificate = (pins_of_run(pins, run)[: run[1]] for run in runs)
    return tuple(
        [ModelPin("spki", digest) for digest in spki]
        + [ModelPin("certificate", digest) for digest in certificate]
    )


def _pinset_meaning(pinset: PinSetRow, pins: bytes) -> ModelPinSet:
    after: list[Literal["allow", "reject"] | None] = [None, "allow", "reject"]
    return ModelPinSet(
        pins=_pins_meaning(pinset.runs[0:2], pins),
        leaf=_pins_meaning(pinset.runs[2:4], pins),
        ca=_pins_meaning(pinset.runs[4:6], pins),
        blocked=_pins_meaning(pinset.runs[6:8], pins),
        mode="report" if pinset.mode else "enforce",
        expires=pinset.expires if pinset.after_expiry else None,
        after_expiry=after[pinset.after_expiry],
    )


# ---- what the C core makes of them -------------------------------------------


def status_of(blob: bytes) -> str | None:
    """Return the status with which the C core refuses bytes, None if it opens them."""
    out = ffi.new("pv_policy *", {"num_rules": 7})
    status = lib.pv_policy_open(out, ffi.from_buffer(blob), len(blob))
    if status == lib.PV_OK:
        return None
    assert not any(bytes(ffi.buffer(out))), "a view that is not to be used is zero"
    return STATUSES[status]


STATUSES = {
    getattr(lib, name): name.removeprefix("PV_ERR_POLICY_")
    for name in dir(lib)
    if name.startswith("PV_ERR_POLICY_")
}


def as_opened(blob: bytes) -> ModelPolicy:
    """Return the policy that the C core reads in bytes that it opens."""
    opened = core.OpenPolicy(blob)
    every_peer = _as_opened(opened.pinset(0)) if opened.every_peer else None
    rules: dict[str, ModelPinSet | None] = {}
    for i in range(opened.num_rules):
        pattern, pinset = opened.rule(i)
        rules[pattern] = None if pinset is None else _as_opened(opened.pinset(pinset))
    return ModelPolicy(
        rules, "reject" if blob[48] & 1 else "allow", _blocked(blob), every_peer
    )


def _as_opened(fields: core.PinSetFields) -> ModelPinSet:
    pins, leaf, ca, blocked = (
        tuple(
            [ModelPin("spki", digest) for digest in fields.runs[i]]
            + [ModelPin("certificate", digest) for digest in fields.runs[i + 1]]
        )
        for i in (0, 2, 4, 6)
    )
    after: Literal["allow", "reject"] = "reject" if fields.expired_rejects else "allow"
    return ModelPinSet(
        pins,
        leaf,
        ca,
        blocked,
        mode="report" if fields.mode else "enforce",
        expires=fields.expires,
        after_expiry=None if fields.expires is None else after,
    )


def _blocked(blob: bytes) -> tuple[ModelPin, ...]:
    """Read the policy-wide blocked pins with pv_policy_pin."""
    opened = ffi.new("pv_policy *")
    assert lib.pv_policy_open(opened, ffi.from_buffer(blob), len(blob)) == lib.PV_OK
    out = ffi.new("uint8_t[32]")
    found: list[ModelPin] = []
    kinds: list[Literal["spki", "certificate"]] = ["spki", "certificate"]
    for number, kind in enumerate(kinds):
        place = (lib.PV_UNPINNED, lib.PV_LIST_BLOCKED, number)
        for i in itertools.count():
            if lib.pv_policy_pin(out, opened, *place, i) != lib.PV_OK:
                break
            found.append(ModelPin(kind, bytes(ffi.buffer(out))))
    return tuple(found)


def assert_opens_iff_well_formed(blob: bytes) -> bool:
    """Compare the C core with the reader; return whether the bytes open."""
    wrong = fault(blob)
    assert (status_of(blob) is None) == (wrong is None), (wrong, status_of(blob))
    if wrong is not None:
        return False
    policy = meaning(blob)
    assert as_opened(blob) == policy
    hosts = ["a.example", "x.a.example", "10.0.0.1", "c", "no.rule"]
    reports = Policy.open(blob).evaluate_many(hosts, [[]] * len(hosts), now=NOW)
    for host, report in zip(hosts, reports, strict=True):
        model.assert_same(report, model.decide(policy, host, [], NOW_SECONDS))
    return True


NOW_SECONDS = 1_767_268_800
NOW = dt.datetime.fromtimestamp(NOW_SECONDS, dt.UTC)


# ---- a small policy with everything in it ------------------------------------


def spki(number: int) -> ModelPin:
    """Return one of many pins."""
    return ModelPin("spki", hashlib.sha256(b"key %d" % number).digest())


def cert(number: int) -> ModelPin:
    """Return one of many certificate pins."""
    return ModelPin("certificate", hashlib.sha256(b"cert %d" % number).digest())


SMALL = ModelPolicy(
    rules={
        "a.example": ModelPinSet(pins=(spki(1), spki(2))),
        "*.a.example": ModelPinSet(
            leaf=(spki(3),),
            ca=(spki(5), cert(4)),
            mode="report",
            expires=1_800_000_000,
            after_expiry="allow",
        ),
        "**.a.example": ModelPinSet(
            pins=(*(spki(i) for i in range(6)), cert(6)), blocked=(spki(7), cert(8))
        ),
        "**.b.example": ModelPinSet(
            ca=tuple(cert(i) for i in range(9)),
            leaf=(cert(1),),
            expires=-1,
            after_expiry="reject",
        ),
        "free.b.example": None,
        "*.free.b.example": None,
        "10.0.0.1": ModelPinSet(pins=(spki(1), spki(2))),
        "2001:db8::1": ModelPinSet(pins=(cert(1),)),
    },
    unpinned="reject",
    blocked=(spki(9), cert(10), cert(11)),
)
EVERY_PEER = ModelPolicy(
    every_peer=ModelPinSet(leaf=tuple(spki(i) for i in range(5)), blocked=(cert(0),))
)


@functools.cache
def small() -> bytes:
    """Return SMALL, compiled by pinverify."""
    return model.policy(SMALL).compile()


@functools.cache
def large() -> bytes:
    """Return a policy of 2,000 rules with 40 PinSets, compiled by pinverify."""
    return model.policy(random_policy(random.Random(4), 2_000)).compile()  # noqa: S311


def random_policy(choose: random.Random, num_rules: int) -> ModelPolicy:
    """Return a policy with many rules, some of them wildcards over others."""
    pinsets: list[ModelPinSet | None] = [None]
    for _ in range(40):
        lists = [
            tuple(
                choose.sample([spki(i) for i in range(50)], choose.choice((0, 1, 3, 7)))
                + choose.sample([cert(i) for i in range(50)], choose.choice((0, 0, 9)))
            )
            for _ in range(4)
        ]
        pins, leaf, ca, blocked = lists
        if pins or leaf or ca:
            pinsets.append(ModelPinSet(pins, leaf, ca, blocked))
    patterns: set[str] = set()
    while len(patterns) < num_rules:
        labels = [choose.choice("abcdefgh") for _ in range(choose.randrange(1, 7))]
        patterns.add(choose.choice(SHAPES) + ".".join([*labels, "example"]))
    rules = {pattern: choose.choice(pinsets) for pattern in sorted(patterns)}
    return ModelPolicy(rules, blocked=tuple(spki(i) for i in range(60, 80)))


# ---- what the compiler writes ------------------------------------------------


@pytest.mark.parametrize(
    "wanted",
    [
        ModelPolicy(),
        ModelPolicy(unpinned="reject", blocked=SMALL.blocked),
        SMALL,
        EVERY_PEER,
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
    assert meaning(blob) == wanted
    assert as_opened(blob) == wanted
    assert put_together(replace(taken_apart(blob), size=None)) == blob


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 60))
def test_any_policy_is_what_the_header_describes(seed: int, num_rules: int) -> None:
    """The same for random ones of up to 60 rules."""
    wanted = random_policy(random.Random(seed), num_rules)  # noqa: S311
    blob = model.policy(wanted).compile()
    assert fault(blob) is None
    assert meaning(blob) == wanted


def test_a_pin_that_is_given_twice_is_stored_once() -> None:
    """In one list; the order of the others stays."""
    one, two = spki(1), spki(2)
    pinset = ModelPinSet(pins=(two, one, two, one))
    found = meaning(model.policy(ModelPolicy({"a.example": pinset})).compile())
    assert found.rules["a.example"] == ModelPinSet(pins=(two, one))


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
DIGEST_OF_SAME = "dd45d91ba1b8b966d031725aff072839eabe71185b32d51eba391981da5d0a9f"


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
    assert model.pin_set(ModelPinSet(leaf=(spki(1),))).compile() == (
        model.pin_set(ModelPinSet(leaf=(spki(1),))).compile()
    )


def test_a_set_of_pins_compiles_to_the_same_bytes_under_every_hash_seed() -> None:
    """A PinSet takes any iterable; the order of a set differs from run to run."""
    code = """
        from pinverify import Policy
        pins = {"sha256/" + letter * 43 + "=" for letter in "AEIMQUYcgko"}
        print(Policy({"a.example": pins}).digest.hex())
    """
    assert len({digest_in_a_new_process(code, seed) for seed in "1234"}) == 1


# ---- damage without a new digest ---------------------------------------------


def test_a_flipped_bit_is_refused_wherever_it_is() -> None:
    """Each bit of each byte of a small policy, and each byte inverted."""
    blob = bytearray(small())
    opened = ffi.new("pv_policy *")
    at = ffi.from_buffer(blob)
    for i in range(len(blob)):
        for mask in (*(1 << bit for bit in range(8)), 0xFF):
            blob[i] ^= mask
            assert lib.pv_policy_open(opened, at, len(blob)) != lib.PV_OK, (i, mask)
            assert opened.bytes == ffi.NULL
            blob[i] ^= mask
    assert lib.pv_policy_open(opened, at, len(blob)) == lib.PV_OK


def test_a_byte_of_any_other_value_is_refused_wherever_it_is() -> None:
    """By Policy.open, as a PolicyError, one random value for each byte."""
    choose = random.Random(6)  # noqa: S311
    for blob in (small(), model.policy(EVERY_PEER).compile()):
        for i in range(len(blob)):
            value = bytes([blob[i] ^ choose.randrange(1, 256)])
            with pytest.raises(PolicyError, match="not a compiled policy: it"):
                Policy.open(blob[:i] + value + blob[i + 1 :])


def test_every_truncation_is_refused() -> None:
    """From nothing to all but the last byte."""
    for blob in (small(), model.policy(EVERY_PEER).compile()):
        for length in range(len(blob)):
            with pytest.raises(PolicyError, match="not a compiled policy: it"):
                Policy.open(blob[:length])


def test_every_appended_byte_is_refused() -> None:
    """One or many, of any value, and another whole policy."""
    blob = small()
    tails = [bytes([value]) for value in range(256)]
    tails += [bytes(num) for num in range(2, 65)]
    tails += [b"\xff" * 8, b"\r\n", blob, blob[40:], bytes(1 << 20)]
    for tail in tails:
        with pytest.raises(PolicyError, match="truncated, or bytes were appended"):
            Policy.open(blob + tail)
    for head in (b"\0", b"\n", b"\xef\xbb\xbf", blob[:8]):
        with pytest.raises(PolicyError):
            Policy.open(head + blob)


def test_damage_anywhere_in_a_large_policy_is_refused() -> None:
    """Random places: bytes changed, cut off, put in, taken out, swapped."""
    blob, choose = large(), random.Random(7)  # noqa: S311
    for _ in range(300):
        i, j = sorted(choose.sample(range(len(blob)), 2))
        mask = choose.randrange(1, 256)
        damaged = [
            blob[:i] + bytes([blob[i] ^ mask]) + blob[i + 1 :],
            blob[:i],
            blob[:i] + blob[i + 1 :],
            blob[:i] + bytes([mask]) + blob[i:],
            blob[:i] + blob[j:] + blob[i:j],
        ]
        for other in damaged:
            if other != blob:
                assert status_of(other) is not None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 128))
def test_random_bytes_never_open(noise: bytes, header_len: int) -> None:
    """Alone, behind the beginning of a real policy, and in its middle."""
    head = small()[:header_len]
    for blob in (noise, b"pinvpol1" + noise, head + noise, head + noise + small()):
        if blob != small():
            assert status_of(blob) is not None
            assert fault(blob) is not None


# ---- damage with the right digest --------------------------------------------


def field_at(parts: Parts, at: int) -> str:
    """Return the name of the field that byte *at* of a compiled policy is in."""
    fields = [
        ("magic", 8), ("digest", 32), ("size", 8), ("flags", 4), ("num_rules", 4),
        ("num_buckets", 4), ("num_pinsets", 4), ("num_rows", 8), ("names_len", 8),
        ("blocked runs", 16), ("reserved", 32), ("pins", len(parts.pins)),
    ]  # fmt: skip
    pinset = [("mode", 1), ("after_expiry", 1), ("pinset zero", 6), ("expires", 8)]
    fields += [*pinset, ("runs", 64)] * len(parts.pinsets)
    rule = [("name_at", 4), ("tag", 4), ("pinset index", 4), ("name_len", 1)]
    fields += [*rule, ("shape", 1), ("rule zero", 2)] * len(parts.rules)
    fields += [("buckets", 4 * len(parts.buckets)), ("names", len(parts.names))]
    for name, length in fields:
        if at < length:
            return name
        at -= length
    return "filler"


# Where a changed bit can give another policy that is well-formed. It is harmless: what
# the bytes say is decided, every read stays inside them, and the digest, by which the
# policy is known, is another one.
HARMLESS = {
    "flags": "hosts without pins: allowed or rejected",
    "blocked runs": "another run, inside the pins",
    "pins": "another pin",
    "mode": "enforced or reported",
    "after_expiry": "allow or reject",
    "expires": "another time",
    "runs": "another run, inside the pins",
    "pinset index": "another PinSet that there is, or unpinned",
    "shape": "another wildcard, in the same order",
}


def test_a_flipped_bit_with_the_right_digest_opens_only_where_it_is_harmless() -> None:
    """Each bit after the digest: the C core and the reader agree about all of them.

    In the fields of HARMLESS some bits give another policy; in every other field no
    bit does.
    """
    blob = small()
    parts = taken_apart(blob)
    names = {field_at(parts, i) for i in range(40, len(blob))}
    opened = set()
    for i in range(40, len(blob)):
        for bit in range(8):
            changed = bytes([blob[i] ^ 1 << bit])
            damaged = redigested(blob[:i] + changed + blob[i + 1 :])
            if assert_opens_iff_well_formed(damaged):
                opened.add(field_at(parts, i))
    assert opened == set(HARMLESS)
    assert opened < names


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_damage_with_the_right_digest_opens_only_if_it_is_well_formed(
    data: st.DataObject,
) -> None:
    """Several changes at once, of numbers to other likely numbers, in both policies."""
    every_peer = model.policy(EVERY_PEER).compile()
    blob = bytearray(data.draw(st.sampled_from([small(), every_peer])))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(10, len(blob) // 4 - 1)) * 4
        likely = st.sampled_from([0, 1, 2, 3, 4, 5, 8, 16, 24, 32, NONE, 1 << 31])
        value = data.draw(likely | st.integers(0, NONE))
        blob[at : at + 4] = value.to_bytes(4, "little")
    if data.draw(st.booleans()):
        blob[40:48] = len(blob).to_bytes(8, "little")
    assert_opens_iff_well_formed(redigested(bytes(blob)))


def test_damage_in_a_large_policy_with_the_right_digest() -> None:
    """Random bits of 2,000 rules: the same agreement."""
    blob, choose = large(), random.Random(8)  # noqa: S311
    sections = HEADER.size + len(taken_apart(blob).pins)
    for _ in range(40):
        i = choose.randrange(sections, len(blob))
        changed = bytes([blob[i] ^ 1 << choose.randrange(8)])
        damaged = redigested(blob[:i] + changed + blob[i + 1 :])
        assert (status_of(damaged) is None) == (fault(damaged) is None)


# ---- each promise of the header, one by one ----------------------------------

PINS = b"".join(spki(i).digest for i in range(4))
SIX = core.pack_pins(b"".join(spki(i).digest for i in range(6)))


def pinset_row(*runs: tuple[int, int], **fields: int) -> PinSetRow:
    """Return a PinSet with these runs, the others empty."""
    row = PinSetRow(runs=[*runs, *[(0, 0)] * (8 - len(runs))])
    for name, value in fields.items():
        setattr(row, name, value)
    return row


def indexed(
    *rules: tuple[bytes, int, int], num_buckets: int = 1, in_order: bool = True
) -> Parts:
    """Return a policy with these rules: name, shape, PinSet; all else is right."""

    def key(rule: tuple[bytes, int, int]) -> tuple[int, int, bytes, int]:
        name, shape, _ = rule
        return bucket_of(name, num_buckets), fnv1a(name) >> 32, name, shape

    parts = Parts(pins=PINS, pinsets=[pinset_row((0, 1)), pinset_row((1, 3))])
    parts.buckets = [0] * (num_buckets + 1)
    for name, shape, pinset in sorted(rules, key=key) if in_order else rules:
        at = len(parts.names)
        tag = fnv1a(name) >> 32
        parts.rules.append(RuleRow(at, tag, pinset, len(name) % 256, shape))
        parts.names += name
        for bucket in range(bucket_of(name, num_buckets) + 1, num_buckets + 1):
            parts.buckets[bucket] += 1
    return parts


def base() -> Parts:
    """Return a policy of three rules and two PinSets."""
    return indexed((b"a.example", 0, 0), (b"b.example", 1, 1), (b"c", 2, NONE))


def test_the_parts_that_the_next_tests_damage_are_good() -> None:
    """Otherwise those would show nothing."""
    assert assert_opens_iff_well_formed(put_together(base()))
    every_peer = Parts(flags=2, pins=PINS, pinsets=[pinset_row((0, 1))])
    assert assert_opens_iff_well_formed(put_together(every_peer))


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
    parts.names = parts.names[:-1]
    parts.rules[-1].name_len -= 1
    blob = put_together(parts)
    assert blob[-1] == 0
    parts.filler = bytes(len(blob) % 8) + b"\1"


def _shared_name(parts: Parts) -> None:
    """Let two rules have their name at one place; as many bytes are unused."""
    shared = indexed((b"a.example", 0, 0), (b"a.example", 1, 0))
    shared.rules[1].name_at = 0
    vars(parts).update(vars(shared))


REFUSED: dict[str, tuple[str, Callable[[Parts], None]]] = {
    # the frame
    "another magic": ("MAGIC", _set(magic=b"pinvpol2")),
    "another digest": ("DIGEST", _set(digest=bytes(32))),
    "a size that is one too small": ("SIZE", _set(size=len(put_together(base())) - 1)),
    "a size that is one too large": ("SIZE", _set(size=len(put_together(base())) + 1)),
    "a size of 0": ("SIZE", _set(size=0)),
    "a size of 2^64 - 1": ("SIZE", _set(size=2**64 - 1)),
    # the header
    **{f"flag {bit}": ("HEADER", _set(flags=1 << bit)) for bit in range(1, 32)},
    "both flags": ("HEADER", _set(flags=3)),
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
            _set(reserved=bytes(i) + b"\1" + bytes(31 - i)),
        )
        for i in range(32)
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


def test_rules_in_a_bucket_ascend_by_tag_name_and_shape_and_none_is_there_twice() -> (
    None
):
    """So a look-up has one answer, and equal policies have equal bytes.

    The two long names have the same tag.
    """
    one, other = b"h382662.example", b"h470954.example"
    assert fnv1a(one) >> 32 == fnv1a(other) >> 32
    good = [
        [(one, 0, 0), (other, 0, 0)],
        [(one, 0, 0), (one, 1, 0), (one, 2, 0)],
        [(one, 2, 0), (other, 0, 0)],
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
    assert assert_opens_iff_well_formed(put_together(parts))
    num_in_order = 0
    for bucket in range(1, 8):
        for step in (-1, 1):
            moved = replace(parts, buckets=list(parts.buckets))
            moved.buckets[bucket] += step
            blob = put_together(moved)
            assert status_of(blob) in {"RULE", "BUCKETS"}
            assert not assert_opens_iff_well_formed(blob)
            num_in_order += status_of(blob) == "RULE" and all(
                a.tag < b.tag
                for start, end in itertools.pairwise(moved.buckets)
                for a, b in itertools.pairwise(moved.rules[start:end])
            )
    assert num_in_order > 0  # nothing else is wrong with those


@pytest.mark.parametrize(
    "parts",
    [
        Parts(flags=2),
        Parts(flags=2, pins=PINS, pinsets=[pinset_row((0, 1)), pinset_row((1, 1))]),
        replace(base(), flags=2),
        replace(indexed((b"a", 0, 0)), flags=2),
        replace(indexed((b"a", 0, 0)), flags=2, pinsets=[pinset_row((0, 1))]),
        Parts(flags=3, pins=PINS, pinsets=[pinset_row((0, 1))]),
    ],
    ids=[
        "no PinSet",
        "two PinSets",
        "rules and two PinSets",
        "a rule and two PinSets",
        "a rule and one PinSet",
        "rejects what is unpinned",
    ],
)
def test_one_pin_set_for_every_peer_has_no_rules_beside_it(parts: Parts) -> None:
    """There would be two answers to who decides."""
    assert status_of(put_together(parts)) == "HEADER"
    assert fault(put_together(parts)) == "HEADER"


def test_what_the_header_leaves_open_opens_and_is_what_it_says() -> None:
    """Bytes that the compiler would not write, and that have one meaning all the same.

    Pins given twice, runs that are shared or overlap, rows and PinSets that nothing
    uses, more or fewer buckets than rules, pins blocked beside one PinSet for all.
    """
    twice = pinset_row((0, 2), (0, 2), (1, 3), (1, 3))
    rules = [(b"h%d.example" % i, i % 3, i % 2) for i in range(30)]
    for parts in (
        Parts(pins=PINS * 2, pinsets=[twice]),
        replace(base(), pins=PINS + SIX + PINS),
        replace(base(), pinsets=[*base().pinsets, twice, twice]),
        indexed(*rules, num_buckets=1),
        indexed(*rules, num_buckets=1024),
        Parts(pins=SIX, pinsets=[pinset_row((0, 6), (0, 8), (1, 1), (7, 1))]),
        Parts(flags=2, pins=PINS, pinsets=[twice], blocked=[(0, 1), (3, 1)]),
    ):
        assert assert_opens_iff_well_formed(put_together(parts))


# ---- where a policy is opened from -------------------------------------------


def test_bytes_that_can_change_are_copied() -> None:
    """What the caller does with a bytearray afterwards has no effect."""
    for source in (bytearray(small()), memoryview(bytearray(small()))):
        policy = Policy.open(source)  # type: ignore[arg-type]
        before = policy.evaluate("a.example", [])
        view = memoryview(source)
        view[:] = bytes(len(view))
        assert policy.evaluate("a.example", []) == before
        assert policy.compile() == small()
        assert policy.digest == small()[8:40]


def test_a_policy_opens_from_a_path(tmp_path: Path) -> None:
    """As text or as a Path; the file is read, and may go afterwards."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    policies = [Policy.open(source) for source in (path, str(path))]
    path.unlink()
    for policy in policies:
        assert policy == Policy.open(small())
        assert policy.compile() == small()
    with pytest.raises(FileNotFoundError):
        Policy.open(path)
    with pytest.raises(IsADirectoryError):
        Policy.open(tmp_path)
    path.touch()
    with pytest.raises(PolicyError, match="not a compiled policy"):
        Policy.open(path)


@contextmanager
def mapped(path: Path, access: int) -> Iterator[mmap.mmap]:
    """Map a file."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0, access=access) as data:
        yield data


def test_a_read_only_map_is_used_where_it_lies(tmp_path: Path) -> None:
    """It can't be closed under the policy, and a replaced file changes nothing."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    with mapped(path, mmap.ACCESS_READ) as data:
        policy = Policy.open(data)
        with pytest.raises(BufferError):
            data.close()
        report = policy.evaluate("a.example", [])
        assert report.pattern == "a.example"
        newer = tmp_path / "newer.bin"
        newer.write_bytes(model.policy(EVERY_PEER).compile())
        newer.replace(path)
        assert policy.evaluate("a.example", []) == report
        assert policy.compile() == small()
        assert Policy.open(path).every_peer
        del policy  # so that the map can be closed


@pytest.mark.parametrize("access", [mmap.ACCESS_WRITE, mmap.ACCESS_COPY])
def test_a_map_that_can_be_written_is_refused(tmp_path: Path, access: int) -> None:
    """Its bytes could change after they were checked. The message says what to do."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small())
    with mapped(path, access) as data:
        with pytest.raises(PolicyError, match=r"access=mmap\.ACCESS_READ"):
            Policy.open(data)
        assert Policy.open(bytes(data)).compile() == small()


def test_a_damaged_map_is_refused(tmp_path: Path) -> None:
    """It is checked like any other bytes."""
    path = tmp_path / "policy.bin"
    path.write_bytes(small() + b"\0")
    with (
        mapped(path, mmap.ACCESS_READ) as data,
        pytest.raises(PolicyError, match="appended"),
    ):
        Policy.open(data)


def test_an_opened_policy_keeps_its_bytes_alive() -> None:
    """Nobody else has to hold them."""
    policies = [Policy.open(bytes(bytearray(small()))) for _ in range(50)]
    noise = [bytes(len(small())) for _ in range(50)]
    assert all(policy.compile() == small() for policy in policies)
    assert len(noise) == 50


# ---- a million hosts ---------------------------------------------------------

NUM_HOSTS = 1_000_000


class ManyHosts(Mapping[str, list[Pin]]):
    """Rules for many hosts, 3 pins each, made when they are asked for."""

    def __init__(self, num_hosts: int, first: list[Pin]) -> None:
        """Take the number of hosts, and the pins of host 0."""
        self._num_hosts = num_hosts
        self._first = first

    def __getitem__(self, host: str) -> list[Pin]:
        number = int(host.removeprefix("host").partition(".")[0])
        if number == 0:
            return self._first
        digests = hashlib.shake_128(host.encode()).digest(96)
        return [Pin.spki(digests[at : at + 32]) for at in (0, 32, 64)]

    def __iter__(self) -> Iterator[str]:
        return (f"host{i}.shop{i % 977}.example" for i in range(self._num_hosts))

    def __len__(self) -> int:
        return self._num_hosts


def test_a_million_hosts_with_3_pins_each_compile_open_from_a_map_and_answer(
    tmp_path: Path, pki: Pki
) -> None:
    """Each host that is asked for has its own pins, and no other has any."""
    path = tmp_path / "policy.bin"
    first = [Pin.parse(pki.server.pin), *(Pin.spki(bytes([i]) * 32) for i in (1, 2))]
    rules = ManyHosts(NUM_HOSTS, first)
    path.write_bytes(Policy(rules).compile())
    with mapped(path, mmap.ACCESS_READ) as data:
        policy = Policy.open(data)
        assert len(policy) == NUM_HOSTS
        assert len(data) / NUM_HOSTS < 250  # bytes per host
        asked = list(itertools.islice(rules, 0, NUM_HOSTS, 499))
        chain = pki.server.chain_der
        for host, report in zip(
            asked, policy.evaluate_many(asked, [chain] * len(asked)), strict=True
        ):
            assert report.pattern == host
            expected = Reason.MATCH if host == asked[0] else Reason.MISMATCH
            assert report.reason is expected
        others = [f"x{host}" for host in asked] + [f"a.{host}" for host in asked]
        for report in policy.evaluate_many(others, [[]] * len(others)):
            assert report.reason is Reason.NOT_PINNED
        opened = core.OpenPolicy(data)
        for host in asked[:200]:
            rule = opened.find(host)
            assert rule is not None
            pattern, pinset = opened.rule(rule)
            assert pattern == host
            assert pinset is not None
            assert opened.pinset(pinset).runs[0] == tuple(
                pin.digest for pin in rules[host]
            )
        damaged = bytearray(data)
        for at in (100, len(damaged) // 2, len(damaged) - 1):
            damaged[at] ^= 1
            assert status_of(bytes(damaged)) == "DIGEST"
            damaged[at] ^= 1
        del policy, opened
