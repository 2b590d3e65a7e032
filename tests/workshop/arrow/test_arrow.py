"""Columns of Arrow: each row gets the answer it gets alone; wrong data are refused.

The arrays are made by hand here. `test_clients_arrow.py` has those of libraries.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
import weakref
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arrow_arrays import STRINGS, Chunks, Given, lists, strings, values
from pinverify import (
    UNPINNED,
    Pin,
    PinKind,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    _core,
    arrow,
    core,
)
from pinverify._core import ffi, lib
from pinverify.arrow import _read
from pinverify.core._arrow import ArrowColumn
from pinverify.errors import DERError
from pki import Pki, example_pki
from policy_samples import ABSENT, NOON, SECOND

__all__: list[str] = []


@functools.cache
def certificates() -> list[bytes]:
    """Return certificates, and bytes that are none, short and long."""
    pki = example_pki()
    good = [*pki.server.chain_der, pki.root.der, pki.client.der]
    return [*good, b"", b"?", b"not a certificate", good[0][:-1], good[1] + b"\0"]


@functools.cache
def digest(der: bytes) -> bytes | None:
    """Return what the core says of one certificate; None: malformed."""
    try:
        return core.spki_sha256(der)
    except DERError:
        return None


# ---- the rows ----------------------------------------------------------------

rows_of_certs = st.lists(st.none() | st.sampled_from(certificates()), max_size=40)
KINDS = [kind for kind in STRINGS if "u" not in kind.lower()]


@st.composite
def cuts(draw: st.DrawFn, num: int) -> tuple[int, int]:
    """Draw the bounds of a slice of some rows."""
    first = draw(st.integers(0, num))
    return first, draw(st.integers(first, num))


def check_keys(found: arrow.KeyColumn, rows: Sequence[bytes | None]) -> None:
    """Compare the digests of a column with those of each row alone."""
    assert len(found) == len(rows)
    assert values(found) == [None if row is None else digest(row) for row in rows]
    assert values(found.malformed) == [
        None if row is None else digest(row) is None for row in rows
    ]


def check_matches(found: arrow.KeyColumn, rows: Sequence[bytes | None]) -> None:
    """Compare the matches of the server's pin in a column with each row alone."""
    pin = digest(example_pki().server.der)
    assert values(found) == [
        None if row is None else digest(row) == pin for row in rows
    ]
    assert values(found.malformed) == [
        None if row is None else digest(row) is None for row in rows
    ]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows_of_certs, st.data())
def test_each_row_gets_its_digest(
    kind: str, rows: list[bytes | None], data: st.DataObject
) -> None:
    """In each layout, with nulls, and in each slice."""
    column, pins = strings(rows, kind), [example_pki().server.pin]
    cut = data.draw(cuts(len(rows)))
    check_keys(arrow.spki_sha256(Given(column, *cut)), rows[slice(*cut)])
    check_matches(arrow.is_pinned(Given(column, *cut), pins), rows[slice(*cut)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("first", range(18))
def test_a_slice_begins_where_it_begins(kind: str, first: int) -> None:
    """At each bit of two bytes of a bitmap, and in front of each certificate."""
    rows = [None if i % 5 == 1 else certificates()[i % 9] for i in range(27)]
    column = strings(rows, kind)
    check_keys(arrow.spki_sha256(Given(column, first)), rows[first:])
    check_keys(arrow.spki_sha256(Given(column, 3, first)), rows[3:first])


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows_of_certs, st.data())
def test_a_chunked_column_is_its_arrays_one_after_the_other(
    kind: str, rows: list[bytes | None], data: st.DataObject
) -> None:
    """Of any lengths, empty ones and none at all included."""
    column, pins = strings(rows, kind), [str(example_pki().server.pin)]
    pieces = data.draw(st.lists(cuts(len(rows)), max_size=5))
    expected = [row for cut in pieces for row in rows[slice(*cut)]]

    def chunked() -> Chunks:
        return Chunks(column, [Given(column, *cut) for cut in pieces])

    check_keys(arrow.spki_sha256(chunked()), expected)
    check_matches(arrow.is_pinned(chunked(), pins), expected)


def test_views_of_each_length() -> None:
    """Strings of up to 12 bytes are in the view itself, longer ones in buffers."""
    rows = [bytes(range(1, num + 1)) for num in range(20)]
    (found,) = _read.read(Given(strings(rows, "vu")), "hosts", "hosts")
    assert found.strings.texts() == [row.decode() for row in rows]


def test_a_column_of_one_width(pki: Pki) -> None:
    """Certificates of one length need no offsets."""
    der = pki.server.der
    rows = [der, None, bytes(len(der)), der, der]
    column = strings(rows, f"w:{len(der)}")
    for first in range(5):
        check_keys(arrow.spki_sha256(Given(column, first)), rows[first:])
    check_keys(arrow.spki_sha256(Given(strings([b"", b""], "w:0"))), [b"", b""])


def test_more_rows_than_are_hashed_at_once() -> None:
    """A null and a malformed certificate among a thousand stay where they are."""
    rows: list[bytes | None] = [certificates()[i % 4] for i in range(1000)]
    rows[300], rows[700] = None, b"?"
    for kind in ("z", "vz"):
        column = strings(rows, kind)
        check_keys(arrow.spki_sha256(Given(column)), rows)
        halves = [Given(column, 0, 333), Given(column, 333)]
        check_keys(arrow.spki_sha256(Chunks(column, halves)), rows)


def test_is_pinned_takes_pins_of_keys_only(pki: Pki) -> None:
    """A hash of a whole certificate is no hash of its key: no row would ever match."""
    column = Given(strings([pki.server.der], "z"))
    whole = Pin.from_certificate(pki.server.der, kind=PinKind.CERTIFICATE)
    with pytest.raises(PolicyError, match="expected pins of keys, got cert-sha256:"):
        arrow.is_pinned(column, [whole])
    with pytest.raises(PolicyError, match="pins: not a"):
        arrow.is_pinned(column, ["sha256/AAAA"])
    assert values(arrow.is_pinned(column, [])) == [False]


# ---- verdicts ----------------------------------------------------------------


def policy() -> Policy:
    """Return a policy with a rule for each way to decide."""
    pki = example_pki()
    rules = Rules(
        {
            "leaf.example": PinSet(leaf=[pki.server.pin]),
            "*.ca.example": PinSet(ca=[pki.ca.pin]),
            "watched.example": PinSet([ABSENT], mode="report"),
            "blocked.example": PinSet([pki.server.pin], blocked=[pki.ca.pin]),
            "free.example": UNPINNED,
        },
        clients=PinSet([pki.client.pin]),
        unpinned="reject",
    )
    return Policy(rules)


HOSTS = [
    *(b"leaf.example", b"LEAF.example.", b"a.ca.example", b"watched.example"),
    *(b"blocked.example", b"free.example", b"other.example", b"a..b", b"", b"\xff"),
]

peers = st.lists(
    st.tuples(
        st.none() | st.sampled_from(HOSTS),
        st.none() | st.lists(st.sampled_from(certificates()), max_size=3),
    ),
    max_size=30,
)


def verdict(host: bytes | None, chain: Sequence[bytes] | None) -> dict[str, Any]:
    """Return the fields that a policy alone gives for a row."""
    names = ("accepted", "reason", "rule", "depth", "matched")
    if host is None or chain is None:
        return dict.fromkeys(names)
    alone = policy().evaluate_many([host or None], [chain], now=NOON)
    one, rule = alone[0], alone.rules[0]
    fields = (
        *(one.accepted, one.reason, None if rule == 2**32 - 1 else rule, one.depth),
        one.matched.digest if one.matched else None,
    )
    return dict(zip(names, fields, strict=True))


@pytest.mark.parametrize("of_host", STRINGS)
@pytest.mark.parametrize("of_cert", KINDS)
@pytest.mark.parametrize("of_list", ["+l", "+L"])
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(peers, st.data())
def test_each_peer_gets_what_it_gets_alone(
    of_host: str,
    of_cert: str,
    of_list: str,
    rows: list[tuple[bytes | None, list[bytes] | None]],
    data: st.DataObject,
) -> None:
    """In each layout of hosts and of chains, with nulls, in each slice."""
    hosts = strings([host for host, _ in rows], of_host)
    chains = lists([chain for _, chain in rows], of_list, of_cert)
    cut = data.draw(cuts(len(rows)))
    found = arrow.verdicts(
        policy(),
        Given(hosts, *cut),
        Given(chains, *cut),
        now=NOON,
        threads=data.draw(st.integers(1, 2)),
    )
    assert values(found) == [verdict(*row) for row in rows[slice(*cut)]]


@pytest.mark.parametrize("first", range(10))
def test_verdicts_of_a_slice(first: int) -> None:
    """Of each host with each chain, from each row on, and in each layout of lists."""
    chains = [[], *([der] for der in certificates()), certificates()[:3], None]
    rows = [(host, chain) for host in [*HOSTS, None] for chain in chains]
    for of_list, of_cert in (("+l", "z"), ("+L", "vz")):
        hosts = Given(strings([host for host, _ in rows], "u"), first)
        found = arrow.verdicts(
            policy(),
            hosts,
            Given(lists([chain for _, chain in rows], of_list, of_cert), first),
            now=NOON,
        )
        assert values(found) == [verdict(*row) for row in rows[first:]]


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(peers, st.lists(st.integers(0, 30)), st.lists(st.integers(0, 30)))
def test_hosts_and_chains_may_be_chunked_each_in_its_way(
    rows: list[tuple[bytes | None, list[bytes] | None]],
    cuts_of_hosts: list[int],
    cuts_of_chains: list[int],
) -> None:
    """A row is a row, in whatever arrays its host and its chain are."""
    hosts = strings([host for host, _ in rows], "u")
    certs = lists([chain for _, chain in rows], "+l", "z")
    found = arrow.verdicts(
        policy(), cut_up(hosts, cuts_of_hosts), cut_up(certs, cuts_of_chains), now=NOON
    )
    assert values(found) == [verdict(*row) for row in rows]


def cut_up(column: ArrowColumn, cuts: Sequence[int]) -> Chunks:
    """Return a column as a chunked array that is cut at some rows."""
    ends = [*sorted(min(cut, column.length) for cut in cuts), column.length]
    starts = [0, *ends[:-1]]
    arrays = [Given(column, *cut) for cut in zip(starts, ends, strict=True)]
    return Chunks(column, arrays)


def test_leaf_certificates_alone_and_peers_without_names(pki: Pki) -> None:
    """Each certificate is a chain, and a PinSet decides about all peers."""
    rows = [pki.server.der, None, pki.client.der, b"?"]
    certs = strings(rows, "z")
    hosts = strings([b"leaf.example", b"leaf.example", None, b"leaf.example"], "u")
    found = arrow.verdicts(policy(), Given(hosts), Given(certs), now=NOON)
    assert values(found) == [
        verdict(b"leaf.example", [pki.server.der]),
        verdict(None, None),
        verdict(None, None),
        verdict(b"leaf.example", [b"?"]),
    ]
    found = arrow.verdicts(PinSet([pki.client.pin]), None, Given(certs))
    accepted = [row["accepted"] for row in values(found)]
    assert accepted == [False, None, True, False]
    found = arrow.verdicts(policy(), None, Given(certs))
    assert [row["accepted"] for row in values(found)] == accepted


def test_each_peer_needs_a_host_and_a_chain(pki: Pki) -> None:
    """Whichever column is the longer one, and by whole arrays or not."""
    one, three = (strings([pki.server.der] * num, "z") for num in (1, 3))
    hosts = [strings([b"a"] * num, "u") for num in (1, 3)]
    for few, many, message in (
        (Given(hosts[0]), Given(three), "1 hosts and 3 chains"),
        (Given(hosts[1]), Given(one), "3 hosts and 1 chains"),
        (Chunks(hosts[0], [Given(hosts[0])] * 0), Given(one), "0 hosts and 1 chains"),
        (
            Given(hosts[0]),
            Chunks(one, [Given(one), Given(three)]),
            "1 hosts and 4 chains",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            arrow.verdicts(policy(), few, many)
    with pytest.raises(ValueError, match="threads: expected 1 or more, got 0"):
        arrow.verdicts(policy(), Given(hosts[0]), Given(one), threads=0)
    with pytest.raises(TypeError, match="expected a Policy or a PinSet, got dict"):
        arrow.verdicts({}, Given(hosts[0]), Given(one))  # type: ignore[arg-type]


def test_verdicts_are_those_of_the_moment_that_is_given(pki: Pki) -> None:
    """Of pins that had not expired then, or have expired since; each second counts."""
    pins = [pki.server.pin]
    rules = {
        "lapses.example": PinSet(pins, expires=NOON, after_expiry="reject"),
        "opens.example": PinSet([ABSENT], expires=NOON, after_expiry="allow"),
    }
    expiring = Policy(rules)
    hosts, chains = [*rules], [[pki.server.der]] * 2
    columns = strings([host.encode() for host in hosts], "u"), lists(chains, "+l", "z")
    seen = []
    for moment in (NOON - SECOND, NOON, NOON + SECOND, None):
        found = values(arrow.verdicts(expiring, *map(Given, columns), now=moment))
        alone = expiring.evaluate_many(hosts, chains, now=moment)
        assert [row["accepted"] for row in found] == [one.accepted for one in alone]
        assert [row["reason"] for row in found] == [one.reason for one in alone]
        seen.append([row["accepted"] for row in found])
    assert seen == [[True, False], *[[False, True]] * 3]


# ---- copies ------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "width"), [("z", 4), ("Z", 8)])
def test_data_and_offsets_are_read_where_they_are(kind: str, width: int) -> None:
    """Of binary and large_binary the core reads the producer's own buffers."""
    column = strings(certificates(), kind)
    structs = Given(column, 2, 7)
    offsets, data = structs.structs.array.buffers[1], structs.structs.array.buffers[2]
    (rows,) = _read.read(structs, "column", "certificates")
    handle = rows.strings.handle
    assert handle.data == ffi.cast("uint8_t *", data)
    assert handle.offsets.at == ffi.cast("char *", offsets) + 2 * width
    assert handle.offsets.width == width
    part = rows.part(1, 3)
    assert part.strings.handle.data == handle.data
    assert part.strings.handle.offsets.at == ffi.cast("char *", offsets) + 3 * width


@pytest.mark.parametrize("of_list", ["+l", "+L"])
@pytest.mark.parametrize("of_cert", ["z", "Z"])
def test_chains_are_read_where_they_are(of_list: str, of_cert: str) -> None:
    """The lists, the offsets of the certificates, and the certificates."""
    chains = [certificates()[:2], [], certificates()[2:5]]
    given_one = Given(lists(chains, of_list, of_cert))
    one = given_one.structs.array
    child = one.children[0]
    (rows,) = _read.read(given_one, "chains", "chains")
    handle = rows.strings.handle
    assert handle.data == ffi.cast("uint8_t *", child.buffers[2])
    assert handle.offsets.at == child.buffers[1]
    assert rows.lists is not None
    assert rows.lists.part(0, rows.num)[0] == one.buffers[1]


def test_certificates_of_one_width_are_read_where_they_are(pki: Pki) -> None:
    """Only the offsets are made, since there are none."""
    width = len(pki.server.der)
    given_one = Given(strings([pki.server.der] * 5, f"w:{width}"), 2)
    (rows,) = _read.read(given_one, "column", "certificates")
    data = ffi.cast("uint8_t *", given_one.structs.array.buffers[1])
    assert rows.strings.handle.data == data + 2 * width


def test_views_are_copied_once_and_nothing_else_of_their_buffers() -> None:
    """The strings of the rows, back to back: none of a null row or another slice."""
    wanted = [certificates()[i % 9] for i in range(30)]
    rows = [None if i % 5 == 1 else row for i, row in enumerate(wanted)]
    (found,) = _read.read(Given(strings(rows, "vz"), 4, 20), "a", "certificates")
    there = [row for row in rows[4:20] if row is not None]
    assert found.strings.data_len == sum(map(len, there))


def test_an_answer_is_handed_over_without_a_copy() -> None:
    """Twice the same buffers, as an array and as a stream of one array."""
    found = arrow.spki_sha256(Given(strings(certificates(), "z")))
    ((_, one), (_, other)) = (found.__arrow_c_array__() for _ in range(2))
    (first,) = _read.read(found, "column", "certificates")
    structs = [
        ffi.cast("struct ArrowArray *", _core.arrow_address(capsule, "arrow_array"))
        for capsule in (one, other)
    ]
    assert structs[0].buffers[1] == structs[1].buffers[1] == first.strings.handle.data
    stream = Stream(found.__arrow_c_stream__())
    (again,) = _read.read(stream, "column", "certificates")
    assert again.strings.handle.data == first.strings.handle.data
    assert again.valid == first.valid


def test_a_stream_lets_go() -> None:
    """Of what makes its arrays, whether anybody reads them or not."""
    column = strings(certificates(), "z")

    def making() -> object:
        return Given(column).capsules[0]

    for read_it in (False, True):
        made = [lambda of_type: making() if of_type else None]
        reference = weakref.ref(made[0])
        capsule = _core.arrow_stream(made.pop())
        if read_it:
            assert len(arrow.spki_sha256(Stream(capsule))) == 0
        assert reference() is not None
        del capsule
        gc.collect()
        assert reference() is None


class Stream:
    """A stream that somebody else has made."""

    def __init__(self, capsule: object) -> None:
        """Keep the capsule."""
        self._capsule = capsule

    def __arrow_c_stream__(self) -> object:
        """Return it."""
        return self._capsule


# ---- what is refused ---------------------------------------------------------

NULL = ffi.NULL
OF_SCHEMA = {
    "schema.release": (NULL, "the schema has been released"),
    "schema.format": (NULL, "the schema has been released"),
    "schema.dictionary": (ffi.new("struct ArrowSchema *"), "dictionary-encoded"),
}
OF_ARRAY: list[tuple[str, Any, str]] = [
    ("array.release", NULL, "the array has been released"),
    ("array.length", -1, "a length or an offset is negative"),
    ("array.offset", -1, "a length or an offset is negative"),
    ("array.length", 2**62, "the array is too long"),
    ("array.offset", 2**63 - 1, "the array is too long"),
    ("array.null_count", -2, "the number of nulls is wrong"),
    ("array.null_count", 6, "the number of nulls is wrong"),
    ("array.n_buffers", 2, "the number of buffers is wrong"),
    ("array.n_buffers", -1, "the number of buffers is wrong"),
    ("array.buffers", NULL, "the number of buffers is wrong"),
    ("array.n_children", 1, "the number of children is wrong"),
    ("array.buffers[0]", NULL, "there are nulls, but no bitmap says where"),
    ("array.buffers[1]", NULL, "a buffer is missing"),
    ("array.buffers[2]", NULL, "a buffer is missing"),
    ("array.dictionary", ffi.new("struct ArrowArray *"), "has no dictionary, but"),
]


@pytest.mark.parametrize("kind", ["z", "Z"])
@pytest.mark.parametrize("lie", OF_ARRAY, ids=lambda lie: f"{lie[0]}={lie[1]}")
def test_an_array_that_lies_is_refused(lie: tuple[str, Any, str], kind: str) -> None:
    """Its numbers and pointers are looked at before anything that they lead to."""
    path, value, message = lie
    rows = [*certificates()[:4], None]
    structs = Given(strings(rows, kind))
    structs.structs.array.null_count = 1
    with (
        structs.lie(path, value),
        pytest.raises(ValueError, match="column: .*" + message),
    ):
        arrow.spki_sha256(structs)
    check_keys(arrow.spki_sha256(structs), rows)


@pytest.mark.parametrize("path", OF_SCHEMA)
def test_a_schema_that_lies_is_refused(path: str) -> None:
    """Its type has to be there, and to be one of bytes."""
    value, message = OF_SCHEMA[path]
    structs = Given(strings(certificates(), "z"))
    with (
        structs.lie(path, value),
        pytest.raises((TypeError, ValueError), match="column: .*" + message),
    ):
        arrow.spki_sha256(structs)


@pytest.mark.parametrize("kind", ["z", "Z"])
@pytest.mark.parametrize(
    "wrong", [[0, 2, 1, 3], [0, -1, 2, 3], [-1, 0, 1, 2], [2, 0, 0, 1]]
)
def test_offsets_that_descend_are_refused(kind: str, wrong: list[int]) -> None:
    """The first, the last, and those in between, of certificates and of lists."""
    offsets = array("q" if kind == "Z" else "i", wrong)
    wrong_one = Given(ArrowColumn("", kind, 3, [offsets, b"123"]))
    with pytest.raises(ValueError, match="offsets descend"):
        arrow.spki_sha256(wrong_one)
    with pytest.raises(ValueError, match="offsets descend"):
        arrow.is_pinned(wrong_one, [ABSENT])
    with pytest.raises(ValueError, match="offsets descend"):
        arrow.verdicts(policy(), None, wrong_one)
    child = strings([b"1", b"2", b"3"], "z")
    of_list = "+L" if kind == "Z" else "+l"
    with pytest.raises(ValueError, match="offsets descend"):
        arrow.verdicts(
            policy(), None, Given(ArrowColumn("", of_list, 3, [offsets], [child]))
        )


OF_VIEWS = [
    (0, -1, "a negative length"),
    (2, 2, "no such buffer"),
    (2, -1, "a negative number of a buffer"),
    (3, -1, "before its buffer"),
    (3, 1, "behind its buffer"),
    (0, 2**31 - 1, "longer than its buffer"),
]


@pytest.mark.parametrize(("field", "value"), [lie[:2] for lie in OF_VIEWS], ids=str)
def test_views_out_of_their_buffers_are_refused(field: int, value: int) -> None:
    """Their buffers have lengths, so that each view is checked, but for null rows."""
    der = certificates()[0]
    views = array("i", [len(der), 0, 0, 0])
    views[field] = value
    column = ArrowColumn("", "vz", 1, [views, der, b"", array("q", [len(der), 0])])
    with pytest.raises(ValueError, match="a view is not inside of its buffer"):
        arrow.spki_sha256(Given(column))
    check_keys(arrow.spki_sha256(Given(column._replace(valid=b"\0"))), [None])


def test_buffers_of_views_that_lie_are_refused() -> None:
    """A negative length, a length for a buffer that is missing, and no lengths."""
    der = certificates()[0]
    views = array("i", [len(der), 0, 0, 0])
    for length in (-1, -(2**63), len(der) - 1):
        column = ArrowColumn("", "vz", 1, [views, der, array("q", [length])])
        with pytest.raises(ValueError, match="a view is not inside of its buffer"):
            arrow.spki_sha256(Given(column))
    structs = Given(ArrowColumn("", "vz", 1, [views, der, array("q", [len(der)])]))
    for path, message in (
        ("array.buffers[2]", "a view is not inside of its buffer"),
        ("array.buffers[1]", "a buffer is missing"),
        ("array.buffers[3]", "a buffer is missing"),
    ):
        with structs.lie(path, NULL), pytest.raises(ValueError, match=message):
            arrow.spki_sha256(structs)
    check_keys(arrow.spki_sha256(structs), [der])


def test_views_that_grow_meanwhile_are_not_written_out_of_bounds() -> None:
    """Another thread must not change them; if one does, the room is enough for none."""
    views = array("i", [3, 0, 0, 0])
    offsets, struct = ffi.new("uint64_t[2]"), ffi.new("arrow_views *")
    struct.at, struct.num = ffi.from_buffer(views), 1
    assert lib.arrow_views_len(struct) == 3
    for length, copied in ((2, 0), (3, 1)):
        room = bytearray(length)
        out = ffi.from_buffer(room)
        assert lib.arrow_views_copy(out, length, offsets, struct) == copied
    assert list(offsets) == [0, 3]


def test_lists_that_lie_are_refused() -> None:
    """A child that is missing, of another type, too short, or with a null."""
    rows = [certificates()[:2], certificates()[2:4]]
    structs = Given(lists(rows, "+l", "z"))
    released = ffi.new("struct ArrowArray *")
    for path, value, message in (
        ("array.n_children", 0, "the number of children is wrong"),
        ("array.children", NULL, "a child is missing"),
        ("array.children[0]", NULL, "a child is missing"),
        ("array.children[0]", released, "the array has been released"),
        ("array.children[0].length", 3, "a list ends behind the last certificate"),
        ("schema.n_children", 2, "the number of children is wrong"),
        ("schema.children", NULL, "a child is missing"),
    ):
        with structs.lie(path, value), pytest.raises(ValueError, match=message):
            arrow.verdicts(policy(), None, structs)
    child = strings([b"a", None, b"c"], "z")
    column = ArrowColumn("", "+l", 2, [array("i", [0, 1, 3])], [child])
    with pytest.raises(ValueError, match="chains: a null in a list; drop it, or make"):
        arrow.verdicts(policy(), None, Given(column))
    # A slice has no part in it.
    found = arrow.verdicts(policy(), None, Given(column, 0, 1))
    assert [row["accepted"] for row in values(found)] == [False]


@pytest.mark.parametrize("kind", ["i", "+s", "+l", "+vl", "w:", "w:-1", "w:?", "\xff"])
def test_other_types_are_refused(kind: str) -> None:
    """The error names the type."""
    column = ArrowColumn("", kind, 1, [bytes(8)])
    message = r"column: (expected binary.*got the Arrow type '|no width in ')"
    with pytest.raises((TypeError, ValueError), match=message):
        arrow.spki_sha256(Given(column))
    lists_of_it = ArrowColumn("", "+l", 1, [array("i", [0, 1])], [column])
    message = r"chains: (expected lists|no width)"
    with pytest.raises((TypeError, ValueError), match=message):
        arrow.verdicts(policy(), None, Given(lists_of_it))
    message = r"hosts: (expected texts|no width)"
    with pytest.raises((TypeError, ValueError), match=message):
        arrow.verdicts(policy(), Given(column), Given(column))


def test_a_text_is_no_certificate(pki: Pki) -> None:
    """A column of texts has PEM, or base64: none of its rows could be read."""
    texts = Given(strings([pki.server.der], "u"))
    with pytest.raises(TypeError, match=r"column: .* certificates are DER"):
        arrow.spki_sha256(texts)


def anything(value: object) -> Any:  # noqa: ANN401 - of a wrong type
    """Return a value that no annotation allows."""
    return value


def test_what_is_no_column_is_refused(pki: Pki) -> None:
    """The error says how to make one."""
    der = pki.server.der
    for wrong in ([der], der, None, 7):
        with pytest.raises(
            TypeError, match=r"column: expected an Arrow column, .* got"
        ):
            arrow.spki_sha256(wrong)

    class Wrong:
        def __arrow_c_array__(self) -> object:
            return ("no", "capsules")

    with pytest.raises(TypeError, match="expected a capsule called arrow_schema"):
        arrow.spki_sha256(Wrong())
    for arguments in ((), (None,), (None, None)):
        with pytest.raises(TypeError):
            anything(_core.arrow_address)(*arguments)
    structs = Given(strings([der], "z"))
    structs.capsules = structs.capsules[::-1]
    with pytest.raises(TypeError, match="expected a capsule called arrow_schema"):
        arrow.spki_sha256(structs)


def test_a_stream_that_fails_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its type, in its first array, or in a later one; and if it was released."""
    told: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    column = strings(certificates(), "z")

    def failing(num: int) -> Stream:
        results = iter([Given(column).capsules[0], Given(column).capsules[1]][:num])

        def make(_: bool) -> object:  # noqa: FBT001 - C calls it
            for capsule in results:
                return capsule
            raise OSError(5, "no more")

        return Stream(_core.arrow_stream(make))

    for num in range(3):
        with pytest.raises(ValueError, match="column: the stream failed: pinverify"):
            arrow.spki_sha256(failing(num))
    assert len(told) == 3
    # A capsule of another kind is no array.
    kind = Given(column)
    mixed = Stream(_core.arrow_stream(lambda _: kind.capsules[0]))
    with pytest.raises(ValueError, match="column: the stream failed"):
        arrow.spki_sha256(mixed)
    capsule = Chunks(column, []).__arrow_c_stream__()
    stream = ffi.cast(
        "struct ArrowArrayStream *", _core.arrow_address(capsule, "arrow_array_stream")
    )
    stream.release(stream)
    with pytest.raises(ValueError, match="column: the stream has been released"):
        arrow.spki_sha256(Stream(capsule))


# Numbers that can be known to be wrong, and those that stay in the buffers.
NUMBERS = st.integers(-(2**63), 60) | st.integers(2**58, 2**63 - 1)
FIELDS = ("length", "offset", "null_count", "n_buffers", "n_children")
POSITIONS = st.integers(-(2**31), 1000)
NUM_ROWS = 130


@functools.cache
def roomy(kind: str) -> ArrowColumn:
    """Return a column of a type, with room behind the rows that are told of."""
    rows = [certificates()[i % 9] for i in range(NUM_ROWS)]
    if kind == "+l":
        return lists([rows[i : i + 1] for i in range(NUM_ROWS)], kind, "z")
    return strings(rows, kind)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(["z", "Z", "vz", "+l"]),
    st.lists(st.tuples(st.sampled_from(FIELDS), NUMBERS), max_size=2),
    st.lists(st.tuples(st.integers(0, 70), POSITIONS), max_size=2),
    st.none() | st.integers(0, 2),
)
def test_any_numbers_give_an_error_or_an_answer(
    kind: str,
    fields: list[tuple[str, int]],
    positions: list[tuple[int, int]],
    missing: int | None,
) -> None:
    """In any field, in any offset or view, and with any pointer missing."""
    column = roomy(kind)
    numbers = array("q" if kind == "Z" else "i", bytes(memoryview(column.buffers[0])))
    for i, value in positions:
        numbers[i] = value
    given_one = Given(column._replace(buffers=[numbers, *column.buffers[1:]]), 20, 60)
    with contextlib.ExitStack() as lies:
        for name, value in fields:
            few = kind == "vz" and name == "n_buffers" and value > len(column.buffers)
            if not few:  # more pointers than there are cannot be told from others
                lies.enter_context(given_one.lie(f"array.{name}", value))
        if missing is not None and missing <= len(column.buffers):
            lies.enter_context(given_one.lie(f"array.buffers[{missing}]", NULL))
        try:
            found = arrow.verdicts(policy(), None, given_one)
        except (TypeError, ValueError) as error:
            assert str(error).startswith(("chains: ", "offsets descend"))  # noqa: PT017
        else:
            assert len(found) == given_one.structs.array.length
