"""Rules: plain values that survive compiling, files, maps, pickles and TOML."""

from __future__ import annotations

import dataclasses
import datetime as dt
import mmap
import pickle
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compiled_model import put_together, taken_apart
from pinverify import (
    UNPINNED,
    Pin,
    PinKind,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    load_policy,
    load_rules,
)
from pinverify.formats import toml
from pinverify.policy import Unpinned
from pinverify.policy._compiled import compile_rules
from pki import Pki
from policy_samples import ABSENT, HOST, NOON, OTHER

__all__: list[str] = []

UNTIMED = settings(deadline=None, max_examples=100)

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
def test_rules_survive_toml(rules: Rules) -> None:
    """A file that is written can be read, and means the same."""
    if not (rules.hosts or rules.blocked or rules.clients):
        with pytest.raises(PolicyError, match="no rules to write"):
            toml.dumps(rules)
        return
    text = toml.dumps(rules)
    assert toml.loads(text) == rules
    assert toml.dumps(toml.loads(text)) == text


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


# ---- values ------------------------------------------------------------------


def test_rules_are_canonical_from_the_beginning() -> None:
    """Equal rules are equal however they are spelt."""
    tokyo = dt.timezone(dt.timedelta(hours=9))
    noon = NOON.astimezone(tokyo).replace(microsecond=5)
    one = Rules({"*.bücher.EXAMPLE.": [OTHER, ABSENT, OTHER]})
    assert dict(one.hosts) == {"*.xn--bcher-kva.example": PinSet([ABSENT, OTHER])}
    pinset = PinSet([OTHER, ABSENT], expires=noon, after_expiry="allow")
    assert [str(pin) for pin in pinset.pins] == [ABSENT, OTHER]
    assert pinset.expires == NOON
    assert pinset.expires is not None
    assert pinset.expires.tzinfo is dt.UTC
    with pytest.raises(PolicyError, match="are one pattern; keep one"):
        Rules({"A.example": UNPINNED, "a.example.": UNPINNED})


def test_rules_cannot_be_changed() -> None:
    """Threads share them, and a digest stays right."""
    rules: Any = Rules({HOST: [ABSENT]})
    with pytest.raises(AttributeError):
        rules.unpinned = "reject"
    for mapping in (rules.hosts, rules.origins):
        with pytest.raises(TypeError):
            mapping["a.example"] = UNPINNED
    given_hosts = {HOST: [ABSENT]}
    rules = Rules(given_hosts)
    given_hosts["a.example"] = [OTHER]
    assert list(rules.hosts) == [HOST]


def test_a_pin_set_is_a_plain_value() -> None:
    """Tools for dataclasses see its attributes and nothing else."""
    names = ["pins", "leaf", "ca", "blocked", "mode", "expires", "after_expiry"]
    assert [field.name for field in dataclasses.fields(PinSet)] == names
    pinset = PinSet([ABSENT], mode="report")
    assert list(dataclasses.asdict(pinset)) == names
    assert dataclasses.replace(pinset, mode="enforce") == PinSet([ABSENT])
    assert repr(pinset) == f"PinSet(pins=[{ABSENT!r}], mode='report')"
    assert not hasattr(pinset, "__dict__")
    positional: Any = PinSet
    with pytest.raises(TypeError):
        positional([ABSENT], (), (), (), "report")


def test_where_rules_were_written_is_known_and_does_not_count() -> None:
    """Messages name the place; rules are compared by what they say."""
    text = 'version = 1\n[hosts."API.example.com"]\npins = ["' + ABSENT + '"]\n'
    rules = toml.loads(text, "pins.toml")
    assert rules.origins == {HOST: 'pins.toml: [hosts."API.example.com"]'}
    assert rules == Rules({HOST: [ABSENT]})
    assert Policy(rules).rules.origins == {}
    assert pickle.loads(pickle.dumps(rules)).origins == rules.origins  # noqa: S301
    with pytest.raises(
        PolicyError, match=r"origins: there is no rule for 'b\.example'"
    ):
        Rules({HOST: [ABSENT]}, origins={"b.example": "here"})


def test_a_policy_is_made_of_rules_and_of_nothing_else() -> None:
    """Each error names the next step."""
    make: Any = Policy
    for wrong, advice in (
        (PinSet([ABSENT]), r"Policy\.for_clients\(PinSet"),
        ([ABSENT], r"write \{'api\.example\.com': \["),
        ("pins.toml", r"load_policy\(path\)"),
        (b"pinvpol1", r"Policy\.open"),
        (None, r"got NoneType; write \{"),
        (Policy({}), r"got Policy; write \{"),
    ):
        with pytest.raises(TypeError, match=advice):
            make(wrong)
    for options in ({"unpinned": "reject"}, {"blocked": [ABSENT]}):
        with pytest.raises(TypeError, match="give these to Rules"):
            make(Rules(), **options)
    clients: Any = Policy.for_clients
    with pytest.raises(TypeError, match=r"got list; write PinSet"):
        clients([ABSENT])
    rules: Any = Rules
    with pytest.raises(TypeError, match=r"clients: .* write PinSet"):
        rules(clients=[ABSENT])


def test_clients_stand_beside_hosts(pki: Pki) -> None:
    """A gateway has one policy for both of its sides."""
    rules = Rules({HOST: [pki.server.pin]}, clients=PinSet(leaf=[pki.client.pin]))
    policy = Policy(rules)
    assert policy.verify(HOST, pki.server.chain_der).rule == HOST
    report = policy.verify(None, pki.client.chain_der)
    assert (report.host, report.rule) == (None, None)
    for host, chain, reason in (
        (HOST, pki.client.chain_der, "MISMATCH"),
        (None, pki.server.chain_der, "MISMATCH"),
        ("", pki.client.chain_der, "BAD_HOST"),
        (b"", pki.client.chain_der, "BAD_HOST"),
        ("a..b", pki.client.chain_der, "BAD_HOST"),
        ("fa\u00df.de", pki.client.chain_der, "BAD_HOST"),
    ):
        report = policy.evaluate(host, chain)
        assert (report.accepted, report.reason.name) == (False, reason)
        assert policy.evaluate_many([host], [chain]) == [report]
    # Without rules for hosts, the pins of clients are for every peer.
    everybody = Policy(Rules(clients=PinSet(leaf=[pki.client.pin])))
    for name in (HOST, None, "", "a..b", "fa\u00df.de"):
        report = everybody.verify(name, pki.client.chain_der)
        assert (report.host, report.rule) == (None, None)


def test_the_policy_of_clients_is_that_of_their_rules() -> None:
    """The short form, and the long one."""
    pinset = PinSet(leaf=[ABSENT])
    policy = Policy.for_clients(pinset)
    assert policy == Policy(Rules(clients=pinset))
    assert policy.has_clients
    assert policy.rules.clients == pinset
    assert not Policy({HOST: pinset}).has_clients


def test_an_expiry_that_no_calendar_has_is_an_error_with_a_next_step() -> None:
    """Another program may compile one. The policy decides; its rules can't be shown."""
    pinset = PinSet([ABSENT], expires=NOON, after_expiry="allow")
    parts = taken_apart(Policy({HOST: pinset}).compile())
    for seconds in (2**62, -(2**62), 2**63 - 1, -(2**63), 10**12):
        row = dataclasses.replace(parts.pinsets[0], expires=seconds)
        foreign = dataclasses.replace(parts, digest=None, pinsets=[row])
        policy = Policy.open(put_together(foreign))
        assert policy.evaluate(HOST, []).host == HOST
        with pytest.raises(PolicyError, match=rf"'{HOST}': expires: .* compile the"):
            _ = policy.rules


# ---- clients in a file -------------------------------------------------------


def test_clients_stand_in_a_file_of_their_own_table(tmp_path: Path) -> None:
    """With the keys of a host, or as a list; without hosts, too."""
    path = tmp_path / "pins.toml"
    expected = Rules(clients=PinSet([ABSENT]))
    for text in (f'[clients]\npins = ["{ABSENT}"]', f'clients = ["{ABSENT}"]'):
        path.write_text(f"version = 1\n{text}\n", encoding="utf-8")
        assert load_rules(path) == expected
        assert load_policy(path) == Policy(expected)
    path.write_text(
        f'version = 1\n[clients]\nca = ["{ABSENT}"]\nmode = "report"\n', "utf-8"
    )
    assert load_rules(path).clients == PinSet(ca=[ABSENT], mode="report")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "[clients]\n",
            "[clients]: pins: there is no pin in pins, leaf or ca; add one",
        ),
        ("[clients]\nunpinned = true", "[clients]: unpinned is for hosts; leave"),
        ("[clients]\npin = []", "[clients]: unknown key 'pin'; did you mean 'pins'?"),
        ("clients = 3", "clients: expected a table, as in [clients], got an integer"),
        ("clients = ['x']", "[clients]: pins: not a SHA-256 pin: 'x'"),
        ("[client]\npins = []", "unknown key 'client'; did you mean 'clients'?"),
        (
            "[clients]\nexpires = 2030-01-01",
            "[clients]: expires: 2030-01-01 has no timezone; add Z",
        ),
    ],
)
def test_wrong_clients_are_an_error_that_says_where(text: str, words: str) -> None:
    """As for hosts."""
    with pytest.raises(PolicyError) as caught:
        toml.loads(f"version = 1\n{text}\n", "pins.toml")
    assert str(caught.value).startswith(f"pins.toml: {words}")


def test_a_file_is_compiled_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compiling is most of the work of a large file."""
    compiled: list[Rules] = []

    def counting(rules: Rules) -> bytes:
        compiled.append(rules)
        return compile_rules(rules)

    monkeypatch.setattr("pinverify.policy._policy.compile_rules", counting)
    path = tmp_path / "pins.toml"
    path.write_text(f'version = 1\n[hosts]\n"{HOST}" = ["{ABSENT}"]\n', "utf-8")
    policy = load_policy(path)
    assert compiled == [policy.rules]
    path.write_text('version = 1\nblocked = ["x"]\n[hosts]\n"a..b" = ["y"]\n', "utf-8")
    with pytest.raises(
        PolicyError, match=r"pins\.toml: blocked: not a SHA-256 pin: 'x'"
    ):
        load_policy(path)
