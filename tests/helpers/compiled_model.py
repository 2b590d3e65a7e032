"""A reader of compiled policies in plain Python, to test which ones open.

It is written from csrc/pinverify_compile.h, section 1. For any bytes it says what is
wrong with them, or which policy they are; `assert_opens_iff_well_formed` compares that
with C.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import hashlib
import itertools
import random
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import policy_model as model
from pinverify import Policy, PolicyError
from pinverify._core import ffi, lib
from pinverify.core._policies import OpenPolicy
from policy_model import ModelPin, ModelPinSet, ModelPolicy

__all__ = [
    "CLIENTS",
    "HEADER",
    "NONE",
    "SMALL",
    "Parts",
    "PinSetRow",
    "RuleRow",
    "as_opened",
    "assert_opens_iff_well_formed",
    "bucket_of",
    "canonical_order",
    "digest_of",
    "fault",
    "hash_of",
    "key_of",
    "large",
    "meaning",
    "put_together",
    "random_policy",
    "redigested",
    "siphash",
    "small",
    "spki",
    "status_of",
    "tag_of",
    "taken_apart",
]

# ---- the layout, as the header describes it ----------------------------------


HEADER = struct.Struct("<8s32sQIIIIQQIIII16s16s")
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

    magic: bytes = b"pinvpol2"
    digest: bytes | None = None
    size: int | None = None
    flags: int = 0
    num_rules: int | None = None
    num_buckets: int | None = None
    num_pinsets: int | None = None
    num_rows: int | None = None
    names_len: int | None = None
    blocked: list[tuple[int, int]] = field(default_factory=lambda: [(0, 0)] * 2)
    key: bytes = bytes(16)
    reserved: bytes = bytes(16)
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
        parts.key,
        parts.reserved,
    )
    blob = redigested(header + contents)
    return blob if parts.digest is None else blob[:8] + parts.digest + blob[40:]


def redigested(blob: bytes) -> bytes:
    """Make the digest right again, as who damages a policy on purpose would."""
    return blob[:8] + digest_of(blob) + blob[40:]


def digest_of(blob: bytes) -> bytes:
    """Return the digest of a compiled policy."""
    blocks = [blob[at : at + 4096] for at in range(128, len(blob), 4096)]
    return digest_of_pieces(hashlib.sha256(blob[40:128]).digest(), blocks)


def digest_of_pieces(digest: bytes, pieces: Sequence[bytes]) -> bytes:
    """Return the digest of many pieces, 256 at a time, that begins as *digest*."""
    for at in range(0, len(pieces), 256):
        hashes = [hashlib.sha256(piece).digest() for piece in pieces[at : at + 256]]
        digest = hashlib.sha256(digest + b"".join(hashes)).digest()
    return digest


def taken_apart(blob: bytes) -> Parts:
    """Read a compiled policy whose sections fill its bytes."""
    (
        magic, digest, size, flags, num_rules, num_buckets, num_pinsets, num_rows,
        names_len, spki_at, num_spki, cert_at, num_cert, key, reserved,
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
        names_len, [(spki_at, num_spki), (cert_at, num_cert)], key, reserved, pins,
        pinsets, rules, buckets, blob[at : at + names_len], blob[at + names_len :],
    )  # fmt: skip


def siphash(key: bytes, message: bytes) -> int:
    """Return SipHash-1-3 (Aumasson and Bernstein, SipHash, 2)."""
    k0, k1 = struct.unpack("<QQ", key)
    v: list[int] = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    padded = message + bytes(7 - len(message) % 8) + bytes([len(message) % 256])
    for word in struct.unpack(f"<{len(padded) // 8}Q", padded):
        v[3] ^= word
        _sip_round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(3):
        _sip_round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _sip_round(v: list[int]) -> None:
    steps = (0, 1, 13, 32), (2, 3, 16, 0), (2, 1, 17, 32), (0, 3, 21, 0)
    for a, b, left, half in steps:
        v[a] = (v[a] + v[b]) % (1 << 64)
        v[b] = _rotated(v[b], left) ^ v[a]
        v[a] = _rotated(v[a], half)


def _rotated(value: int, num: int) -> int:
    return (value << num | value >> (64 - num)) % (1 << 64)


def hash_of(key: bytes, name: bytes) -> int:
    """Return the hash of a name, from its last byte to its first."""
    return siphash(key, name[::-1])


def tag_of(key: bytes, name: bytes) -> int:
    """Return the tag that a rule has."""
    return hash_of(key, name) >> 32


def bucket_of(key: bytes, name: bytes, shape: int, num_buckets: int) -> int:
    """Return the bucket of a rule in the index."""
    return (hash_of(key, name) ^ shape) & (num_buckets - 1)


def key_of(patterns: Iterable[bytes], number: int = 0) -> bytes:
    """Return the key of that number that the compiler tries for these patterns."""
    seed = digest_of_pieces(bytes(32), sorted(patterns))
    return hashlib.sha256(seed + struct.pack("<Q", number)).digest()[:16]


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
    return blob[:8] == b"pinvpol2"


def _size_is_good(blob: bytes) -> bool:
    return len(blob) >= 128 and int.from_bytes(blob[40:48], "little") == len(blob)


def _digest_is_good(blob: bytes) -> bool:
    return digest_of(blob) == blob[8:40]


def _sections_fill(blob: bytes) -> bool:
    values = struct.unpack_from("<IIIQQ", blob, 52)
    num_rules, num_buckets, num_pinsets, num_rows, names_len = values
    if num_buckets not in {1 << i for i in range(32)}:
        return False
    end = HEADER.size + 32 * num_rows + 80 * num_pinsets + 16 * num_rules
    end += 4 * (num_buckets + 1) + names_len
    return end + -end % 8 == len(blob) and not any(blob[end:])


def _header_is_good(parts: Parts) -> bool:
    known = parts.flags <= 3 and (parts.flags < 2 or len(parts.pinsets) > 0)
    blocked = all(_run_is_good(run, parts.pins) for run in parts.blocked)
    return known and blocked and not any(parts.reserved)


def _pinsets_are_good(parts: Parts) -> bool:
    return all(_pinset_is_good(pinset, parts.pins) for pinset in parts.pinsets)


def _buckets_are_good(parts: Parts) -> bool:
    starts = parts.buckets
    ends = starts[0], starts[-1]
    lengths = [b - a for a, b in itertools.pairwise(starts)]
    return ends == (0, len(parts.rules)) and min(lengths) >= 0 and max(lengths) <= 16


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
        tag = tag_of(parts.key, name)
        bucket = bucket_of(parts.key, name, rule.shape, len(parts.buckets) - 1)
        good = (
            rule.name_at == name_at
            and len(name) == rule.name_len
            and rule.shape in {0, 1, 2}
            and not any(rule.zero)
            and model.canonical(text) == text
            and (rule.shape == 0 or not model.is_address(text))
            and (rule.shape != 2 or text.count(".") < 16)
            and (rule.pinset == NONE or rule.pinset < len(parts.pinsets))
            and rule.tag == tag
            and parts.buckets[bucket] <= i < parts.buckets[bucket + 1]
        )
        if not good:
            return False
        name_at += rule.name_len
        keys.append((bucket, SHAPES[rule.shape].encode() + name))
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
        clients=pinsets[0] if parts.flags & 2 else None,
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


def canonical_order(policy: ModelPolicy) -> ModelPolicy:
    """Return the same policy with its pins as they are stored: sorted, each once."""

    def pins_in_order(pins: tuple[ModelPin, ...]) -> tuple[ModelPin, ...]:
        kinds = ("spki", "certificate")
        return tuple(sorted(set(pins), key=lambda p: (kinds.index(p.kind), p.digest)))

    def pinset_in_order(pinset: ModelPinSet) -> ModelPinSet:
        return replace(
            pinset,
            pins=pins_in_order(pinset.pins),
            leaf=pins_in_order(pinset.leaf),
            ca=pins_in_order(pinset.ca),
            blocked=pins_in_order(pinset.blocked),
        )

    return replace(
        policy,
        rules={
            pattern: None if pinset is None else pinset_in_order(pinset)
            for pattern, pinset in policy.rules.items()
        },
        blocked=pins_in_order(policy.blocked),
        clients=None if policy.clients is None else pinset_in_order(policy.clients),
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
    opened = OpenPolicy(blob)
    clients = _as_opened(opened, 0) if opened.has_clients else None
    rules: dict[str, ModelPinSet | None] = {}
    for i in range(opened.num_rules):
        pattern, pinset = opened.rule(i)
        rules[pattern] = None if pinset is None else _as_opened(opened, pinset)
    return ModelPolicy(
        rules, "reject" if blob[48] & 1 else "allow", _blocked(blob), clients
    )


def _as_opened(opened: OpenPolicy, index: int) -> ModelPinSet:
    fields = opened.pinset(index)
    kinds: list[Literal["spki", "certificate"]] = ["spki", "certificate"]
    pins, leaf, ca, blocked = (
        tuple(
            ModelPin(kind, digest)
            for number, kind in enumerate(kinds)
            for digest in opened.pins(
                index, one_list, number, fields.num_pins[2 * one_list + number]
            )
        )
        for one_list in range(4)
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
    opened = Policy.open(blob)
    reports = opened.evaluate_many(hosts, [[]] * len(hosts), now=NOW)
    for host, report in zip(hosts, reports, strict=True):
        model.assert_same(report, model.decide(policy, host, [], NOW_SECONDS))
    with contextlib.suppress(PolicyError):  # an expiry that no calendar has
        again = Policy(opened.rules)
        assert again.rules == opened.rules
        assert as_opened(again.compile()) == canonical_order(policy)
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
CLIENTS = ModelPolicy(
    clients=ModelPinSet(leaf=tuple(spki(i) for i in range(5)), blocked=(cert(0),))
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
