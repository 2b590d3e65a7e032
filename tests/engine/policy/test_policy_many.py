"""Decisions about many peers: columns, and reports that are made when asked for.

`MANY_PEERS=1000000 make test TESTS=tests/engine/policy/test_policy_many.py` takes a
million peers instead of some thousands.
"""

from __future__ import annotations

import gc
import hashlib
import itertools
import os
import pickle
import random
import subprocess
import sys
import threading
import tracemalloc
import weakref
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from optional import client_library
from pinverify import UNPINNED, Pin, PinSet, Policy, Reason, Report, Reports, _core
from pinverify.core import _arrow
from pki import Pki, example_pki
from policy_samples import ABSENT, NOON

__all__: list[str] = []

NUM_PEERS = int(os.environ.get("MANY_PEERS", "20000"))
NUM_HOSTS = max(100, NUM_PEERS // 100)
MOST_BYTES_A_CHAIN = 120

NONE = 2**32 - 1
"""In a column: no rule, or no certificate."""

COLUMNS = ("accepted", "reasons", "rules", "depths", "matched", "spkis")


# ---- peers -------------------------------------------------------------------


class Peers(NamedTuple):
    """Hosts and chains in lists, and the same in buffers with offsets."""

    policy: Policy
    hosts: list[str]
    chains: list[list[bytes]]

    def in_columns(self) -> dict[str, Any]:
        """Return the arguments of `evaluate_many`; read-only buffers, as of Arrow."""
        certs = [cert for chain in self.chains for cert in chain]
        return {
            "hosts": "".join(self.hosts).encode(),
            "chains": b"".join(certs),
            "host_offsets": ends(self.hosts),
            "offsets": ends(certs),
            "chain_offsets": ends(self.chains),
        }


def ends(items: Sequence[Sequence[Any]]) -> memoryview:
    """Return the offsets of items that lie back to back."""
    offsets = array("Q", itertools.accumulate(map(len, items), initial=0))
    return memoryview(offsets.tobytes()).cast("Q")


def some_peers(num: int, num_hosts: int) -> Peers:
    """Return peers with chains of two.

    One in a hundred has a malformed certificate, one in a thousand has no rule.
    """
    pki = example_pki()
    rng = random.Random(1)  # noqa: S311 - an order, no key
    hosts = [f"host{i}.example{i % 7}.com" for i in range(num_hosts)]
    pins = [pki.server.pin], [pki.ca.pin], [ABSENT]
    rules = {host: PinSet(pins[i % 3]) for i, host in enumerate(hosts)}
    good = pki.server.chain_der[:2]
    bad = [good[0][:-1], good[1]], [good[0], good[1] + b"\0"]
    return Peers(
        Policy(rules, unpinned="reject"),
        [
            "other.example.org" if i % 1000 == 999 else rng.choice(hosts)
            for i in range(num)
        ],
        [bad[rng.randrange(2)] if i % 100 == 99 else good for i in range(num)],
    )


def column_of(reports: Reports, name: str) -> list[Any]:
    """Return a column as a list with one value for each peer."""
    column: memoryview = getattr(reports, name)
    if name == "accepted":
        return [column[i // 8] >> i % 8 & 1 == 1 for i in range(len(reports))]
    if name == "matched":
        return [bytes(column[32 * i : 32 * i + 32]) for i in range(len(reports))]
    return [None if number == NONE else number for number in column.tolist()]


def check_column(ours: Sequence[object], theirs: Sequence[object]) -> None:
    """Compare two columns, and show the first rows where they differ."""
    rows = enumerate(zip(ours, theirs, strict=True))
    differ = (
        f"row {row}: {one} and {other}" for row, (one, other) in rows if one != other
    )
    assert list(itertools.islice(differ, 3)) == []


def check_columns(reports: Reports, each: Sequence[Report]) -> None:
    """Compare the columns with reports that were made one by one."""
    check_column(column_of(reports, "accepted"), [one.accepted for one in each])
    check_column(column_of(reports, "reasons"), [one.reason for one in each])
    check_column(column_of(reports, "depths"), [one.depth for one in each])
    digests_matched = [one.matched.digest if one.matched else bytes(32) for one in each]
    check_column(column_of(reports, "matched"), digests_matched)
    have_no_rule = [rule is None for rule in column_of(reports, "rules")]
    check_column(have_no_rule, [one.rule is None for one in each])
    offsets = reports.chain_offsets or range(len(each) + 1)
    for one, (first, last) in zip(each, itertools.pairwise(offsets), strict=True):
        digests = b"".join(pin.digest for pin in one.chain)
        assert bytes(reports.spkis[32 * first : 32 * last]) == digests.ljust(
            32 * (last - first), b"\0"
        )


# ---- each answer -------------------------------------------------------------


def test_each_answer_is_that_of_evaluate() -> None:
    """In columns and in lists, row by row, for more chains than are hashed at once."""
    peers = some_peers(NUM_PEERS, NUM_HOSTS)
    reports = peers.policy.evaluate_many(**peers.in_columns(), now=NOON)
    assert len(reports) == NUM_PEERS
    known: dict[tuple[str, int], Report] = {}
    rows = list(zip(peers.hosts, peers.chains, strict=True))
    for host, chain in rows:
        if (host, id(chain)) not in known:
            known[host, id(chain)] = peers.policy.evaluate(host, chain, now=NOON)
    each = [known[host, id(chain)] for host, chain in rows]
    check_columns(reports, each)
    reasons = {Reason(number) for number in reports.reasons}
    assert reasons == {
        Reason.MATCH,
        Reason.MISMATCH,
        Reason.MALFORMED,
        Reason.NOT_PINNED,
    }
    listed = peers.policy.evaluate_many(peers.hosts, peers.chains, now=NOON)
    threaded = peers.policy.evaluate_many(**peers.in_columns(), now=NOON, threads=3)
    for name in COLUMNS:
        column = bytes(getattr(reports, name))
        assert bytes(getattr(listed, name)) == column
        assert bytes(getattr(threaded, name)) == column
    for i in range(0, NUM_PEERS, 97):
        assert reports[i] == listed[i] == threaded[i] == each[i]


def sample_policy(pki: Pki) -> Policy:
    """Return a policy with a rule for each way to decide."""
    server = pki.server.pin
    return Policy(
        {
            "leaf.example": PinSet(leaf=[server]),
            "*.ca.example": PinSet(ca=[pki.ca.pin]),
            "**.any.example": [pki.root.pin, ABSENT],
            "watched.example": PinSet([ABSENT], mode="report"),
            "blocked.example": PinSet([server], blocked=[pki.ca.pin]),
            "free.example": UNPINNED,
            "expired.example": PinSet([server], expires=NOON, after_expiry="reject"),
        },
        unpinned="allow",
        blocked=[pki.impostor.pin],
    )


HOSTS: list[str | bytes | None] = [
    "leaf.example",
    "LEAF.example.",
    b"a.ca.example",
    "ca.example",
    "x.y.any.example",
    "watched.example",
    "blocked.example",
    "free.example",
    "expired.example",
    "faß.example",
    "a..b",
    "",
    b"\xff",
    None,
    "127.0.0.1",
]


def certificates() -> list[bytes]:
    """Return certificates of a chain, others, and bytes that are none."""
    pki = example_pki()
    chain = [*pki.server.chain_der, pki.root.der, pki.impostor.der, pki.client.der]
    return [*chain, b"", b"?", pki.server.der[:-1], pki.ca.der + b"\0"]


chains = st.lists(st.sampled_from(certificates()), max_size=4)
peers_of_all_kinds = st.lists(st.tuples(st.sampled_from(HOSTS), chains), max_size=30)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(peers_of_all_kinds, st.integers(0, 300), st.integers(1, 3))
def test_any_peers_in_any_order(
    peers: list[tuple[str | bytes | None, list[bytes]]], before: int, threads: int
) -> None:
    """Behind any number of others, each gets what it gets alone."""
    policy = sample_policy(example_pki())
    rows = [("leaf.example", [example_pki().server.der])] * before + peers
    hosts, ders = [host for host, _ in rows], [chain for _, chain in rows]
    each = [policy.evaluate(host, chain, now=NOON) for host, chain in rows]
    listed = policy.evaluate_many(hosts, ders, now=NOON, threads=threads)
    assert listed == each
    check_columns(listed, each)
    names = [
        b"" if h is None else h.encode() if isinstance(h, str) else h for h in hosts
    ]
    certs = [cert for chain in ders for cert in chain]
    columns = policy.evaluate_many(
        b"".join(names),
        b"".join(certs),
        host_offsets=ends(names),
        offsets=ends(certs),
        chain_offsets=ends(ders),
        now=NOON,
        threads=threads,
    )
    # In a buffer a name is ASCII, and an empty one is none.
    each = [
        policy.evaluate(name or None, chain, now=NOON)
        for name, chain in zip(names, ders, strict=True)
    ]
    assert columns == each
    mixed = policy.evaluate_many(
        names, b"".join(certs), offsets=ends(certs), chain_offsets=ends(ders), now=NOON
    )
    assert [one.reason for one in mixed] == [
        policy.evaluate(name, chain, now=NOON).reason
        for name, chain in zip(names, ders, strict=True)
    ]


def test_a_wildcard_is_no_rule_for_its_own_name(pki: Pki) -> None:
    """It has the hash of that name, and with few rules it is in the same bucket."""
    found: list[Report] = []
    for i in range(64):
        name = f"www{i}.example.com"
        policy = Policy({f"*.{name}": PinSet(pins=[pki.server.pin])})
        hosts = [name, f"a.{name}"]
        found += policy.evaluate_many(hosts, [[pki.server.der]] * 2)
    reasons = [report.reason for report in found]
    assert reasons == [Reason.NOT_PINNED, Reason.MATCH] * 64


def test_chains_longer_than_what_is_hashed_at_once(pki: Pki) -> None:
    """Their keys are hashed in several pieces, which end anywhere in a chain."""
    policy = Policy({"a": PinSet(ca=[pki.ca.pin])})
    filler = [pki.server.der]
    chains = [filler * 300 + [pki.ca.der], [], filler * 255, [*filler * 520, b"?"]] * 3
    reports = policy.evaluate_many(["a"] * len(chains), chains, now=NOON)
    assert reports == [policy.evaluate("a", chain, now=NOON) for chain in chains]
    assert [report.depth for report in reports[:4]] == [300, None, None, 520]


def test_whole_certificates_are_pinned_and_blocked(pki: Pki) -> None:
    """Their digests are computed only where a rule asks for them."""
    server, ca = (
        Pin.certificate(hashlib.sha256(one.der).digest())
        for one in (pki.server, pki.ca)
    )
    rules = {"a": PinSet([server]), "b": PinSet(leaf=[server], blocked=[ca])}
    policy = Policy(rules)
    chain = pki.server.chain_der
    hosts, chains = ["a", "b", "b"] * 99, [chain, chain, chain[:1]] * 99
    reports = policy.evaluate_many(hosts, chains, now=NOON)
    alone = (
        policy.evaluate(*peer, now=NOON) for peer in zip("abb", chains, strict=False)
    )
    assert reports == [*alone] * 99
    assert [report.matched for report in reports[:3]] == [server, ca, server]


# ---- a sequence --------------------------------------------------------------


def few(pki: Pki) -> tuple[Reports, tuple[Report, ...]]:
    """Return reports of some peers, and the same one by one."""
    policy = sample_policy(pki)
    rows = [(host, pki.server.chain_der) for host in HOSTS]
    reports = policy.evaluate_many(*map(list, zip(*rows, strict=True)), now=NOON)
    return reports, tuple(policy.evaluate(*row, now=NOON) for row in rows)


def test_reports_are_a_sequence(pki: Pki) -> None:
    """They behave as the tuple of them does."""
    reports, each = few(pki)
    assert isinstance(reports, Sequence)
    assert len(reports) == len(each)
    assert (reports[0], reports[-1]) == (each[0], each[-1])
    assert reports[3:7] == each[3:7]
    assert reports[::-2] == each[::-2]
    assert tuple(reports) == each
    assert tuple(reversed(reports)) == each[::-1]
    assert each[4] in reports
    assert reports.index(each[4]) == each.index(each[4])
    assert reports.count(each[4]) == each.count(each[4])
    for index in (len(each), -len(each) - 1):
        with pytest.raises(IndexError):
            reports[index]
    none = Policy({}).evaluate_many([], [])
    assert none == () == none[:]
    assert bytes(none.accepted) == bytes(none.spkis) == b""


def test_reports_are_equal_to_the_same_in_a_list_or_a_tuple(pki: Pki) -> None:
    """It does not matter which of the two made them one by one."""
    reports, each = few(pki)
    assert reports == each == reports
    assert reports == list(each)
    assert reports == few(pki)[0]
    assert reports != each[:-1]
    assert reports != (*each[:-1], each[0])
    assert reports != "reports"
    assert hash(reports) == hash(few(pki)[0])
    accepted = sum(report.accepted for report in each)
    assert repr(reports) == f"<Reports {len(each)} peers, {accepted} accepted>"


def test_a_report_of_many_is_one_like_any_other(pki: Pki) -> None:
    """It is equal in all that it says, and in what is pickled of it."""
    reports, each = few(pki)
    for report, other in zip(reports, each, strict=True):
        assert repr(report) == repr(other)
        assert hash(report) == hash(other)
        assert pickle.loads(pickle.dumps(report)) == other  # noqa: S301


def test_reports_survive_pickling_without_their_policy(pki: Pki) -> None:
    """A worker process can return them; columns of any input."""
    reports, each = few(pki)
    copy = pickle.loads(pickle.dumps(reports))  # noqa: S301
    assert copy == reports == each
    assert bytes(copy.accepted) == bytes(reports.accepted)
    peers = some_peers(50, 9)
    columns = peers.policy.evaluate_many(**peers.in_columns(), now=NOON)
    assert pickle.loads(pickle.dumps(columns)) == columns  # noqa: S301
    leaves = Policy.for_clients(PinSet([pki.client.pin])).evaluate_many(
        None, pki.client.der, offsets=[0, len(pki.client.der)]
    )
    copy = pickle.loads(pickle.dumps(leaves))  # noqa: S301
    assert copy == leaves
    assert copy.chain_offsets is None


def test_columns_cannot_be_written(pki: Pki) -> None:
    """A report would change."""
    reports, _ = few(pki)
    for name in COLUMNS:
        column: memoryview = getattr(reports, name)
        assert column.readonly
        assert column.c_contiguous
    assert reports.chain_offsets is not None
    assert reports.chain_offsets.readonly


def test_reports_do_not_change_with_what_they_were_made_of(pki: Pki) -> None:
    """Of buffers that can be written, a copy is kept; and of lists."""
    policy = sample_policy(pki)
    hosts, chains = ["leaf.example", "a..b"], [pki.server.chain_der[:1], []]
    listed = policy.evaluate_many(hosts, chains, now=NOON)
    each = [
        policy.evaluate(*peer, now=NOON) for peer in zip(hosts, chains, strict=True)
    ]
    data, names = bytearray(pki.server.der), bytearray(b"leaf.examplea..b")
    at, chain_at = array("I", [0, len(data)]), array("Q", [0, 1, 1])
    host_at = [0, 12, 16]
    columns = policy.evaluate_many(
        names,
        data,
        host_offsets=host_at,
        offsets=at,
        chain_offsets=chain_at,
        now=NOON,
    )
    hosts[:] = ["free.example"] * 2
    chains[0].clear()
    data[:] = bytes(len(data))
    names[:] = bytes(len(names))
    at[:], chain_at[:], host_at[:] = at[:1] * 2, chain_at[:1] * 3, [0] * 3
    assert listed == columns == each


# ---- what is refused ---------------------------------------------------------


def test_an_error_names_the_peer(pki: Pki) -> None:
    """In a thousand peers it says which has the wrong type."""
    policy = Policy({"a": [pki.server.pin]})
    chain = [pki.server.der]
    hosts: list[Any] = ["a"] * 999
    chains: list[Any] = [chain] * 999
    wrong_host, wrong_chain, wrong_cert = hosts.copy(), chains.copy(), chains.copy()
    wrong_host[700] = 7
    wrong_chain[701] = pki.server.der
    wrong_cert[702] = [pki.server.der, "text"]
    for args, message in (
        ((wrong_host, chains), "peer 700: a host is text, got int"),
        ((hosts, wrong_chain), r"peer 701: a chain is a list .* write \[certificate\]"),
        ((hosts, wrong_cert), "peer 702: expected bytes, got str"),
    ):
        with pytest.raises(TypeError, match=message):
            policy.evaluate_many(*args)
    with pytest.raises(TypeError, match="peer 1: a host is text, got int"):
        policy.evaluate_many(["a", anything(7)], pki.server.der, offsets=[0, 0, 0])


def anything(value: object) -> Any:  # noqa: ANN401 - of a wrong type
    """Return a value that no annotation allows."""
    return value


NO_CHAINS = {"chain_offsets": [0]}


def test_arguments_that_do_not_fit_are_refused(pki: Pki) -> None:
    """The error says what to give instead."""
    policy, der = Policy({"a": [pki.server.pin]}), pki.server.der
    calls: list[tuple[type[Exception], str, tuple[Any, ...], dict[str, Any]]] = [
        (TypeError, "list of hosts; .* give host_offsets", ("a", [[der]]), {}),
        (TypeError, "list of hosts; .* give host_offsets", (b"a", [[der]]), {}),
        (TypeError, "one buffer, got list", (["a"], [[der]]), {"host_offsets": [0, 1]}),
        (TypeError, "list of chains; .* give offsets", (["a"], der), {}),
        (ValueError, "2 hosts and 1 chains", (["a", "b"], [[der]]), {}),
        (ValueError, "2 hosts and 1 ch", (b"ab", [[der]]), {"host_offsets": [0, 1, 2]}),
        (ValueError, "descend, or exceed", (b"a", [[der]]), {"host_offsets": [0, 2]}),
        (ValueError, "descend, or exceed", ([], der), {"offsets": [1, 0]} | NO_CHAINS),
        (ValueError, "expected 1 or more, got 0", (["a"], [[der]]), {"threads": 0}),
    ]
    for error, message, args, options in calls:
        with pytest.raises(error, match=message):
            policy.evaluate_many(*args, **options)


def test_chains_that_another_thread_changes_are_noticed(pki: Pki) -> None:
    """The keys of one peer would be told as those of another."""
    policy = Policy({"a": [pki.server.pin]})
    rows = [[pki.server.der] for _ in range(300)]

    class Rows(list[list[bytes]]):
        def __getitem__(self, index: Any) -> Any:  # noqa: ANN401
            rows[299].append(pki.server.der)
            return super().__getitem__(index)

    with pytest.raises(ValueError, match="another thread changed the chains"):
        policy.evaluate_many(["a"] * 300, Rows(rows))


# ---- memory and threads ------------------------------------------------------


def traced(call: Callable[[], object]) -> tuple[float, float]:
    """Return the bytes for each chain that a call keeps, and that it takes at most."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        answer = call()
        kept, peak = tracemalloc.get_traced_memory()
        del answer
    finally:
        tracemalloc.stop()
    return (kept - before) / NUM_PEERS, (peak - before) / NUM_PEERS


def test_a_chain_of_two_takes_no_more_than_120_bytes() -> None:
    """From buffers at any moment; from lists, but for one part of them, too."""
    peers = some_peers(NUM_PEERS, NUM_HOSTS)
    evaluate_many = peers.policy.evaluate_many
    columns = peers.in_columns()
    evaluate_many(**columns, now=NOON)  # what is made once
    kept, most = traced(lambda: evaluate_many(**columns, now=NOON))
    assert kept <= most <= MOST_BYTES_A_CHAIN + 8192 / NUM_PEERS
    part = 256 * (200 + 2 * sum(map(len, peers.chains[0])))
    kept, most = traced(lambda: evaluate_many(peers.hosts, peers.chains, now=NOON))
    assert kept <= MOST_BYTES_A_CHAIN + 8192 / NUM_PEERS
    assert most <= MOST_BYTES_A_CHAIN + part / NUM_PEERS


# ---- Arrow -------------------------------------------------------------------


def check_arrow(reports: Reports) -> None:
    """Compare what Arrow reads with the columns."""
    arrow: Any = client_library("pyarrow")
    table = arrow.record_batch(reports)
    table.validate(full=True)
    assert arrow.schema(reports) == table.schema
    column = {name: table.column(name).to_pylist() for name in table.schema.names}
    assert column["accepted"] == column_of(reports, "accepted")
    assert column["reason"] == list(reports.reasons)
    assert column["rule"] == list(reports.rules)
    assert column["depth"] == list(reports.depths)
    assert column["matched"] == column_of(reports, "matched")
    spkis = bytes(reports.spkis)
    offsets = reports.chain_offsets or range(len(reports) + 1)
    assert [b"".join(chain) for chain in column["spkis"]] == [
        spkis[32 * first : 32 * last] for first, last in itertools.pairwise(offsets)
    ]


def test_arrow_reads_the_columns(pki: Pki) -> None:
    """From lists, from buffers of each width, from leaves, and from nobody."""
    policy, ders = sample_policy(pki), pki.server.chain_der
    check_arrow(few(pki)[0])
    peers = some_peers(1000, 10)
    for code in "IQ":
        columns = peers.in_columns()
        columns["chain_offsets"] = array(code, columns["chain_offsets"])
        check_arrow(peers.policy.evaluate_many(**columns, now=NOON))
    check_arrow(
        policy.evaluate_many(None, b"".join(ders), offsets=ends(ders), now=NOON)
    )
    check_arrow(policy.evaluate_many([], []))


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Return references to all owners that are made, which are gone when freed."""
    made: list[weakref.ref[Any]] = []

    class Owner(list[object]):
        def __init__(self) -> None:
            super().__init__()
            made.append(weakref.ref(self))

    monkeypatch.setattr(_arrow, "Owner", Owner)
    return made


def alive(owners: list[weakref.ref[Any]]) -> int:
    """Return how many owners are still kept."""
    gc.collect()
    return sum(owner() is not None for owner in owners)


@pytest.mark.parametrize("own", [_core.own_schema, _core.own_array])
def test_arrow_structs_are_not_made_of_anything_else(own: Callable[..., Any]) -> None:
    """Arguments of other types are refused."""
    for wrong in ((), ("address", None, True), (0, None)):
        with pytest.raises(TypeError):
            own(*wrong)


def test_arrow_keeps_what_it_was_given_until_it_lets_go(
    pki: Pki, owners: list[weakref.ref[Any]]
) -> None:
    """Whole, a column alone, or nothing but a capsule that nobody reads."""
    arrow: Any = client_library("pyarrow")
    reports = few(pki)[0]
    expected = column_of(reports, "matched")
    capsules: Any = reports.__arrow_c_array__()
    assert alive(owners) == 2
    del capsules
    assert alive(owners) == 0
    table = arrow.record_batch(reports)
    del reports
    matched = table.column("matched")
    del table
    assert alive(owners) == 1
    assert matched.to_pylist() == expected
    del matched
    assert alive(owners) == 0
    schema = few(pki)[0].__arrow_c_schema__()
    assert alive(owners) == 1
    del schema
    assert alive(owners) == 0


def test_arrow_may_let_go_in_another_thread(
    pki: Pki, owners: list[weakref.ref[Any]]
) -> None:
    """Arrow frees columns wherever the last of its threads has done with them."""
    arrow: Any = client_library("pyarrow")
    tables = [arrow.record_batch(few(pki)[0]) for _ in range(20)]
    assert alive(owners) == 20
    threads = [threading.Thread(target=tables.pop) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert alive(owners) == 0


def test_a_read_only_view_of_changing_offsets_is_copied(pki: Pki) -> None:
    """The memory behind it can still change, and Arrow must not see that."""
    ders, offsets = pki.server.chain_der, array("i", [0, 1, 2])
    reports = sample_policy(pki).evaluate_many(
        None,
        b"".join(ders),
        offsets=ends(ders),
        chain_offsets=memoryview(offsets).toreadonly(),
        now=NOON,
    )
    assert reports.chain_offsets is not None
    before = list(reports.chain_offsets)
    offsets[1] = 2**26
    assert list(reports.chain_offsets) == before == [0, 1, 2]


def interrupted(number: int) -> list[BaseException]:
    """Export to Arrow, with a Ctrl-C at one of the lines, in a traceback that stays."""
    reports = Policy.for_clients(PinSet([ABSENT])).evaluate_many(None, [[b"x"]])
    lines = 0

    def trace(frame: Any, event: str, _: object) -> Any:  # noqa: ANN401
        nonlocal lines
        if frame.f_code.co_name != "_array":
            return None
        if event == "line":
            lines += 1
            if lines == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        reports.__arrow_c_array__()
    except KeyboardInterrupt as error:
        error.args = (error,)  # a circle, for the garbage collector
        return [error]
    finally:
        sys.settrace(before)
    return []


def test_an_interrupt_leaves_nothing_that_the_collector_stumbles_over() -> None:
    """A view that cffi still held could be released first, which ends the process."""
    number = 1
    gc.freeze()  # what all tests before have made need not be searched each time
    try:
        while interrupted(number):
            gc.collect()
            number += 1
    finally:
        gc.unfreeze()
    assert number > 10


AT_EXIT = """
import sys, pyarrow
from pinverify import Policy
sys.kept = pyarrow.record_batch(Policy({}).evaluate_many(["a"], [[b"?"]]))
sys.capsules = Policy({}).evaluate_many(["a"], [[b"?"]]).__arrow_c_array__()
"""


def test_a_process_may_end_with_columns_in_arrow() -> None:
    """They are freed when little of Python is left."""
    client_library("pyarrow")
    done = subprocess.run(
        [sys.executable, "-c", AT_EXIT], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
