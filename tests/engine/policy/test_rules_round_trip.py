"""Any rules come back the same from bytes, maps, pickles and their repr."""

from __future__ import annotations

import dataclasses
import datetime as dt
import mmap
import pickle
import tempfile
from pathlib import Path
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from examples import examples
from pinverify import UNPINNED, Pin, PinKind, PinSet, Policy, PolicyError, Rules
from pinverify.core._hosts import covering
from pinverify.policy import Unpinned

__all__: list[str] = []

UNTIMED = settings(deadline=None, max_examples=examples(100))

# ---- any rules ---------------------------------------------------------------

LABELS = st.sampled_from(["a", "b", "www", "api", "xn--bcher-kva", "_x", "0x", "1-2"])
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join).map(lambda n: n + ".org")
PATTERNS = st.one_of(
    NAMES,
    NAMES.map(lambda name: "*." + name),
    NAMES.map(lambda name: "**." + name),
    st.ip_addresses().map(str),
    st.sampled_from(
        ["org", "*.org", "**.org", "shop", "EXAMPLE.org.", "bücher.example"]
    ),
)
PINS = st.builds(
    Pin,
    st.sampled_from(PinKind),
    st.integers(0, 40).map(lambda number: bytes([number]) * 32)
    | st.binary(min_size=32, max_size=32),
)
PIN_LISTS = st.lists(PINS, max_size=3) | st.lists(PINS, min_size=5, max_size=20)
ZONES = st.one_of(
    st.timezones(),
    st.timedeltas(
        dt.timedelta(hours=-23, minutes=-59), dt.timedelta(hours=23, minutes=59)
    ).map(dt.timezone),
)
MOMENTS = st.datetimes(timezones=ZONES) | st.sampled_from(
    [
        dt.datetime.min.replace(tzinfo=dt.timezone(dt.timedelta(hours=14))),
        dt.datetime.max.replace(tzinfo=dt.timezone(dt.timedelta(hours=-12))),
        dt.datetime.min.replace(tzinfo=dt.UTC),
        dt.datetime.max.replace(tzinfo=dt.UTC),
    ]
)


@st.composite
def pin_sets(draw: st.DrawFn) -> PinSet:
    """Draw any PinSet."""
    lists = [draw(PIN_LISTS) for _ in range(4)]
    if not any(lists[:3]):
        lists[draw(st.integers(0, 2))] = [draw(PINS)]
    expires = draw(st.none() | MOMENTS)
    choices = [None] if expires is None else ["allow", "reject"]
    after: Any = draw(st.sampled_from(choices))
    mode: Any = draw(st.sampled_from(["enforce", "report"]))
    return PinSet(*lists, mode=mode, expires=expires, after_expiry=after)


def _canonical(pattern: str) -> str:
    return next(iter(Rules({pattern: UNPINNED}).hosts))


@st.composite
def any_rules(draw: st.DrawFn) -> Rules:
    """Draw any rules: for hosts, for clients, for both."""
    given_hosts = draw(
        st.dictionaries(PATTERNS, pin_sets() | st.just(UNPINNED), max_size=8)
    )
    hosts = {_canonical(pattern): value for pattern, value in given_hosts.items()}
    return Rules(
        hosts,
        unpinned=draw(st.sampled_from(["allow", "reject"])),
        blocked=draw(PIN_LISTS),
        clients=draw(st.none() | pin_sets()),
    )


# ---- laws --------------------------------------------------------------------


@UNTIMED
@given(any_rules())
@example(Rules())
@example(Rules(unpinned="reject"))
def test_rules_survive_compiling_writing_mapping_and_pickling(rules: Rules) -> None:
    """So anybody can read what a compiled policy says, wherever it comes from."""
    policy = Policy(rules)
    assert policy.rules == rules
    assert hash(policy.rules) == hash(rules)
    compiled = policy.compile()
    assert Policy.open(compiled).rules == rules
    assert Policy(policy.rules).compile() == compiled
    assert pickle.loads(pickle.dumps(policy)).rules == rules  # noqa: S301  (ours)
    assert pickle.loads(pickle.dumps(rules)) == rules  # noqa: S301  (ours)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "pins.pvpol")
        path.write_bytes(compiled)
        assert Policy.open(path).rules == rules
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        mapped = Policy.open(data)
        assert mapped.rules == rules
        del mapped
        data.close()


@UNTIMED
@given(any_rules(), st.randoms())
def test_rules_in_another_order_are_the_same_policy(
    rules: Rules, random: Random
) -> None:
    """A digest names what is decided, not how it was written down."""

    def shuffled(pins: tuple[Pin, ...]) -> list[Pin]:
        return random.sample([*pins, *pins], 2 * len(pins))

    def reordered(value: PinSet | Unpinned) -> PinSet | Unpinned:
        if not isinstance(value, PinSet):
            return value
        names = ("pins", "leaf", "ca", "blocked")
        lists: dict[str, Any] = {name: shuffled(getattr(value, name)) for name in names}
        return dataclasses.replace(value, **lists)

    hosts = {pattern: reordered(value) for pattern, value in rules.hosts.items()}
    other = Rules(
        dict(random.sample(list(hosts.items()), len(hosts))),
        unpinned=rules.unpinned,
        blocked=shuffled(rules.blocked),
        clients=rules.clients,
    )
    assert other == rules
    assert hash(other) == hash(rules)
    assert Policy(other).compile() == Policy(rules).compile()


@UNTIMED
@given(any_rules())
def test_the_repr_of_rules_makes_equal_rules(rules: Rules) -> None:
    """A person reads it in a traceback, and can paste it."""
    names = {"Rules": Rules, "PinSet": PinSet, "UNPINNED": UNPINNED, "datetime": dt}
    assert eval(repr(rules), names) == rules  # noqa: S307  (ours)


@UNTIMED
@given(any_rules(), NAMES | st.ip_addresses().map(str) | st.just("org"), st.randoms())
def test_the_deciding_rule_is_the_one_of_the_core(
    rules: Rules, host: str, random: Random
) -> None:
    """Whoever explains a decision by the rules explains the decision that is made."""
    named = [pattern.lstrip("*.") for pattern in rules.hosts]
    hosts = [host, *named, *(f"x.{name}" for name in named if ":" not in name)]
    host = random.choice(hosts)
    try:
        found = rules.deciding(host)
    except PolicyError:
        assert Policy(rules).evaluate(host, []).reason.name in {
            "BAD_HOST",
            "NO_CERTIFICATE",
        }
        return
    if rules.hosts or rules.clients is None:
        assert Policy(rules).evaluate(host, []).rule == (found and found[0])
    if found is not None:
        assert rules.hosts[found[0]] == found[1]


@UNTIMED
@given(st.sets(PATTERNS, max_size=8).map(sorted), NAMES)
def test_patterns_that_cover_a_host_come_in_the_order_of_the_core(
    patterns: list[str], host: str
) -> None:
    """Not only the first: without the rules before it, each of them decides."""
    parent = host.partition(".")[2]
    texts = {*patterns, host, f"**.{host}", f"*.{parent}", f"**.{parent}"}
    given_patterns = set(map(_canonical, texts))
    left = dict.fromkeys(given_patterns, UNPINNED)
    expected = []
    while (rule := Policy(left).evaluate(host, []).rule) is not None:
        expected.append(rule)
        del left[rule]
    assert [p for p in covering(host) if p in given_patterns] == expected


@UNTIMED
@given(NAMES, PATTERNS, st.sampled_from(["", "*.", "**."]), st.integers(0, 5))
def test_a_pattern_covers_another_if_the_core_finds_it_for_all_its_hosts(
    name: str, other: str, wildcard: str, start: int
) -> None:
    """For a wildcard there is no one host to ask about: two tell it from exact ones."""
    if end := name.split(".")[start:]:
        other = wildcard + ".".join(end)
    other = _canonical(other)
    one_label = [f"{label}.{name}" for label in ("this", "that")]
    any_labels = [name, f"more.this.{name}", *one_label]
    alone = Policy({other: UNPINNED})
    for pattern, hosts in ((f"*.{name}", one_label), (f"**.{name}", any_labels)):
        matches_all = all(alone.evaluate(host, []).rule == other for host in hosts)
        assert (other in covering(pattern)) == matches_all
