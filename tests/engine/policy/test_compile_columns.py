"""Policies compiled from columns: by Policy.from_columns, and by the C function."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiled_model import fault
from pinverify import Pin, Policy, PolicyError, Rules
from pinverify._core import ffi, lib
from pinverify.core._policies import PINSET_LEN
from pinverify.policy._compiled import PinTable, lay_out_pinsets
from policy_samples import ABSENT

__all__: list[str] = []


def digest(number: int) -> bytes:
    """Return one of many pins."""
    return hashlib.sha256(b"%d" % number).digest()


def offsets_of(items: Sequence[Any]) -> array[int]:
    """Return where each item begins and ends."""
    return array("I", accumulate(map(len, items), initial=0))


def by_rules(rules: Mapping[str, Sequence[bytes]], **options: Any) -> Policy:  # noqa: ANN401
    """Compile the same rules as objects."""
    pinned = {host: [Pin.spki(pin) for pin in pins] for host, pins in rules.items()}
    return Policy(Rules(pinned, **options))


# ---- Policy.from_columns ---------------------------------------------------------


@pytest.mark.parametrize("num_pins", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("blocked", [[], [ABSENT], [Pin.spki(digest(0))]])
def test_columns_give_the_bytes_of_rules(num_pins: int, blocked: list[Pin]) -> None:
    """As many pins for each host; hosts of one service share them; in any order."""
    hosts = sorted(f"h{i}.example" for i in range(40))
    lists = [[digest(i % 30 + j) for j in range(num_pins)] for i in range(40)]
    pins = b"".join(map(b"".join, lists))
    expected = by_rules(dict(zip(hosts, lists, strict=True)), blocked=blocked)
    data = "".join(hosts).encode()
    for policy in (
        Policy.from_columns(hosts, pins, blocked=blocked),
        Policy.from_columns(data, pins, offsets=offsets_of(hosts), blocked=blocked),
        Policy.from_columns(
            hosts, bytearray(pins), pin_offsets=offsets_of(lists), blocked=blocked
        ),
    ):
        assert policy == expected
        assert policy.compile() == expected.compile()


@pytest.mark.parametrize("num_pins", [1, 2, 4, 5])
def test_pin_sets_that_are_alike_lie_as_others_do(num_pins: int) -> None:
    """They are laid out at once; beside another one, each by itself."""
    alike = [b"".join(digest(9 * i + j) for j in range(num_pins)) for i in range(7)]
    table, tables = PinTable(), PinTable()
    fast = bytes(lay_out_pinsets(alike, table))
    slow = bytes(lay_out_pinsets([*alike, digest(99) * 7], tables))
    assert fast == slow[: len(fast)]
    assert table.data == tables.data[: len(table.data)]
    assert len(fast) == PINSET_LEN * len(alike)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_random_columns_give_the_bytes_of_rules(seed: int, num_hosts: int) -> None:
    """Patterns in any spelling, pins in any number, given twice, or shared."""
    choose = random.Random(seed)  # noqa: S311
    rules = {
        f"{choose.choice(['', '*.', '**.'])}h{i}.example": [
            digest(choose.randrange(12)) for _ in range(choose.randint(1, 12))
        ]
        for i in choose.sample(range(99), num_hosts)
    }
    hosts = sorted(rules)
    lists = [rules[host] for host in hosts]
    spelt = [choose.choice([host, host.upper(), host + "."]) for host in hosts]
    policy = Policy.from_columns(
        spelt,
        b"".join(map(b"".join, lists)),
        pin_offsets=offsets_of(lists),
        unpinned="reject",
    )
    assert policy.compile() == by_rules(rules, unpinned="reject").compile()
    assert fault(policy.compile()) is None


def test_hosts_of_columns_are_canonicalised() -> None:
    """U-labels, addresses, capital letters: the order is that of the result."""
    hosts = ["*.b\u00fccher.Example.", "10.0.0.1", "1:0:3:4:5:6:7:8", "EXAMPLE"]
    canonical = ["*.xn--bcher-kva.example", "10.0.0.1", "1:0:3:4:5:6:7:8", "example"]
    policy = Policy.from_columns(hosts, digest(1) * 4)
    assert policy == by_rules({host: [digest(1)] for host in canonical})
    shorter = Policy.from_columns(["1::3:4:5:6:7:8"], digest(1))
    assert shorter == by_rules({"1:0:3:4:5:6:7:8": [digest(1)]})


def test_no_row_is_a_policy_without_rules() -> None:
    """An empty table is nothing special."""
    for policy in (
        Policy.from_columns([], b""),
        Policy.from_columns(b"", b"", offsets=[0], pin_offsets=[0]),
    ):
        assert policy == Policy({})


@pytest.mark.parametrize(
    ("hosts", "message"),
    [
        (["a", "b", "b"], r"hosts, row 2: 'b' is in row 1 already; keep one row"),
        (["a", "B", "b."], r"hosts, row 2: 'b' is in row 1 already"),
        (["b", "a", "c"], r"hosts, row 1: 'a' is not behind 'b', .* sort the rows"),
        (["a", "a.b", "a-b"], r"hosts, row 2: 'a-b' is not behind 'a\.b'"),
        (["a", "*.b", "c"], r"hosts, row 1: '\*\.b' is not behind 'a'"),
        (
            ["a", "b_", "c..d"],
            r"row 2: 'c\.\.d' is not a pattern: .*empty label",
        ),
        (["a:1", "b", "c"], r"hosts, row 0: 'a:1' is not a pattern: .* without a port"),
        (["*.1.2.3.4", "b", "c"], r"hosts, row 0: .* takes no wildcard; remove '\*\.'"),
        (["", "b", "c"], r"hosts, row 0: '' is not a pattern"),
        (["a", "b", "\u0661"], r"hosts, row 2: .* digit that is not ASCII"),
    ],
)
def test_a_bad_row_is_named(hosts: list[str], message: str) -> None:
    """With what is wrong, and the next step."""
    with pytest.raises(PolicyError, match=message):
        Policy.from_columns(hosts, digest(1) * 3)
    encoded = [host.encode() for host in hosts]
    with pytest.raises(PolicyError, match=message):
        Policy.from_columns(
            b"".join(encoded), digest(1) * 3, offsets=offsets_of(encoded)
        )


@pytest.mark.parametrize("hosts", ["ab", "a.example"])
def test_a_text_is_no_list_of_hosts(hosts: str) -> None:
    """Its letters would be pinned, and the host that is meant would not."""
    with pytest.raises(TypeError, match=r"hosts are a list of texts, .* write \['a"):
        Policy.from_columns(hosts, digest(1) * len(hosts))


@pytest.mark.parametrize("pins", ["sha256/AAAA", [digest(1)], (digest(1),)])
def test_pins_of_columns_are_bytes(pins: Any) -> None:  # noqa: ANN401
    """The message says what to do with pins that are objects or text."""
    with pytest.raises(TypeError, match=r"digests of 32 bytes back to back, .* join"):
        Policy.from_columns(["a.example"], pins)


@pytest.mark.parametrize("num", [1, 2, 3])
def test_hosts_without_any_pin_are_named(num: int) -> None:
    """Also where it is one host alone."""
    with pytest.raises(PolicyError, match="hosts, row 0: there is no pin; add one"):
        Policy.from_columns(["a", "b", "c"][:num], b"")


def test_a_buffer_of_hosts_is_ascii() -> None:
    """The message has the A-label to write."""
    host = "b\u00fccher.example".encode()
    with pytest.raises(PolicyError, match=r"row 0: .* write 'xn--bcher-kva\.example'"):
        Policy.from_columns(host, digest(1), offsets=[0, len(host)])


def test_pins_are_as_many_as_the_rows_say() -> None:
    """Whole pins, some for each host, and all of them somebody's."""
    pins = digest(1) + digest(2) + digest(3)
    make: Any = Policy.from_columns
    for wrong, message in (
        (pins[:-1], "pins have 32 bytes each, got 95 bytes"),
        (pins, r"3 pins for 2 hosts: .* pin_offsets"),
        (b"", "row 0: there is no pin"),
    ):
        with pytest.raises(PolicyError, match=message):
            make(["a", "b"], wrong)
    for num in (0, 33):  # a byte less for each would be whole pins, too
        hosts = [f"h{i:02}" for i in range(num)]
        with pytest.raises(PolicyError, match=rf"{num + 1} pins for {num} hosts"):
            make(hosts, digest(1) * (num + 1))
    with pytest.raises(PolicyError, match="row 1: there is no pin; add one"):
        make(["a", "b"], pins, pin_offsets=[0, 3, 3])
    for offsets in ([0, 3], [0, 1, 2, 3], [0, 2, 1], [0, 1, 4], [2, 1, 3]):
        with pytest.raises(ValueError, match="pin_offsets"):
            make(["a", "b"], pins, pin_offsets=offsets)
    with pytest.raises(ValueError, match="offsets descend, or exceed"):
        make(b"ab", pins[:64], offsets=[0, 1, 3])
    with pytest.raises(TypeError, match="give offsets as well"):
        make(b"ab", pins[:64])
    with pytest.raises(PolicyError, match="unpinned: expected 'allow' or 'reject'"):
        make(["a"], pins[:32], unpinned="maybe")


# ---- pv_policy_compile -----------------------------------------------------------


class Source:
    """A pv_policy_source of patterns that are all unpinned, and its buffers."""

    def __init__(
        self, patterns: Sequence[bytes], offsets: list[int] | None = None
    ) -> None:
        """Lay out the columns."""
        data = b"".join(patterns)
        ends = offsets or list(accumulate(map(len, patterns), initial=0))
        num = len(ends) - 1
        self._kept = (
            ffi.from_buffer(data),
            ffi.new("uint64_t[]", ends),
            ffi.new("uint32_t[]", [lib.PV_UNPINNED] * max(num, 1)),
        )
        at, positions, pinset_of = self._kept
        self.handle = ffi.new("pv_policy_source *")
        self.handle.patterns = (at, len(data), (positions, 8, num))
        self.handle.pinset_of = pinset_of

    def compile(self, length: int | None = None) -> tuple[int, int, bytes]:
        """Return the status, the row, and what is written."""
        if length is None:
            length = lib.pv_policy_compiled_len(self.handle)
        out = ffi.new("uint8_t[]", b"\xff" * length)
        row = ffi.new("size_t *", 77)
        status = lib.pv_policy_compile(out, length, row, self.handle)
        return status, row[0], bytes(ffi.buffer(out))[:length]


@pytest.mark.parametrize(
    ("patterns", "status", "row"),
    [
        ([b"a", b"A"], "PATTERN", 1),
        ([b"a."], "PATTERN", 0),
        ([b"*.10.0.0.1"], "PATTERN", 0),
        ([b"**.::1"], "PATTERN", 0),
        ([b"*."], "PATTERN", 0),
        ([b"*.*.a"], "PATTERN", 0),
        ([b"a" * 64], "PATTERN", 0),
        ([b"a." * 126 + b"ab"], "PATTERN", 0),
        ([b"a." * 300], "PATTERN", 0),
        ([b"::0"], "PATTERN", 0),
        ([b"a", b"a"], "ORDER", 1),
        ([b"a", b"ab", b"aa"], "ORDER", 2),
        ([b"ab", b"a"], "ORDER", 1),
    ],
)
def test_the_c_compiler_checks_patterns(
    patterns: list[bytes], status: str, row: int
) -> None:
    """It says which is wrong, and leaves nothing that looks like a policy."""
    expected = getattr(lib, f"PV_ERR_POLICY_{status}")
    source = Source(patterns)
    length = lib.pv_policy_compiled_len(source.handle)
    assert source.compile() == (expected, row, bytes(length))


def test_the_c_compiler_checks_columns_and_sizes() -> None:
    """Whatever the numbers say, it writes where it may."""
    good = Source([b"a", b"b"])
    length = lib.pv_policy_compiled_len(good.handle)
    for wrong in (0, 1, length - 8, length + 8):
        assert good.compile(wrong) == (lib.PV_ERR_ARGUMENT, 0, bytes(wrong))
    for offsets in ([0, 2, 1], [0, 1, 3], [1, 0, 2], [0, 1, 2**64 - 1]):
        source = Source([b"a", b"b"], offsets)
        assert lib.pv_policy_compiled_len(source.handle) == 0
        assert source.compile(length) == (lib.PV_ERR_ARGUMENT, 0, bytes(length))
    good.handle.num_rows = 2**64 - 1
    assert lib.pv_policy_compiled_len(good.handle) == 0
    good.handle.num_rows = 0
    good.handle.patterns.offsets.num = 2**31
    good.handle.patterns.offsets.at = ffi.NULL
    good.handle.patterns.offsets.width = 3
    assert lib.pv_policy_compiled_len(good.handle) == 0


def test_offsets_may_begin_anywhere_in_the_data() -> None:
    """Bytes before and behind them are not read."""
    whole, part = Source([b"a", b"b.c"]), Source([b"xxa", b"b.cyy"], [2, 3, 6])
    assert whole.compile() == part.compile()
    assert whole.compile()[0] == lib.PV_OK


def test_canonical_patterns_are_written_one_behind_the_other() -> None:
    """And on failure nothing can be read by the offsets."""
    given = [b"*.A.example.", b"::0", b"B", b"1::3:4:5:6:7:8"]
    data, ends = b"".join(given), list(accumulate(map(len, given), initial=0))
    column = ffi.new("pv_column *")
    at, positions = ffi.from_buffer(data), ffi.new("uint64_t[]", ends)
    out = ffi.new("uint8_t[]", len(data) + len(given))
    out_offsets = ffi.new("uint64_t[]", len(ends))
    row = ffi.new("size_t *", 77)
    column[0] = (at, len(data), (positions, 8, len(given)))
    status = lib.pv_patterns_canonical(out, len(out), out_offsets, row, column)
    assert (status, row[0]) == (lib.PV_OK, 0)
    written = bytes(ffi.buffer(out))
    assert [
        written[out_offsets[i] : out_offsets[i + 1]] for i in range(len(given))
    ] == [b"*.a.example", b"::", b"b", b"1:0:3:4:5:6:7:8"]
    for too_few in range(out_offsets[len(given)]):
        status = lib.pv_patterns_canonical(out, too_few, out_offsets, row, column)
        assert (status, row[0]) == (lib.PV_ERR_ARGUMENT, 0)
        assert list(out_offsets) == [0] * len(ends)
    positions[1] += 1  # "*.A.example.:"
    status = lib.pv_patterns_canonical(out, len(out), out_offsets, row, column)
    assert (status, row[0]) == (lib.PV_ERR_POLICY_PATTERN, 0)
    assert list(out_offsets) == [0] * len(ends)
    positions[4] += 1
    status = lib.pv_patterns_canonical(out, len(out), out_offsets, row, column)
    assert (status, row[0]) == (lib.PV_ERR_ARGUMENT, 0)


@pytest.mark.parametrize(
    ("section", "status"), [("buckets", "POLICY_BUCKETS"), ("rules", "ARGUMENT")]
)
def test_names_that_change_meanwhile_are_refused(section: str, status: str) -> None:
    """Another thread could change them; here they lie where the output is written.

    In the buckets they are zeroed, so most are equal and in one bucket. In the rules,
    each rule that is placed changes others, so some places are never filled.
    """
    names = [b"nn%02d.ab" % i for i in range(33)]
    source = Source(names)
    length = lib.pv_policy_compiled_len(source.handle)
    out = ffi.new("uint8_t[]", length)
    at = out + {"rules": 128, "buckets": 128 + 16 * len(names)}[section]
    data = b"".join(names)
    ffi.memmove(at, data, len(data))
    source.handle.patterns.data = at
    row = ffi.new("size_t *", 77)
    found = lib.pv_policy_compile(out, length, row, source.handle)
    assert (found, row[0]) == (getattr(lib, f"PV_ERR_{status}"), 0)
    assert bytes(ffi.buffer(out)) == bytes(length)
