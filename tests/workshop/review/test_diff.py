"""The difference of two policies agrees with a comparison of all their decisions."""

from __future__ import annotations

import datetime as dt
import hashlib
import itertools
import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

import policy_model as model
from cli_runs import answer, assert_no_answer, on_terminal, run
from examples import examples
from other_systems import HOSTS, LONG, NAMES
from pinverify import (
    UNPINNED,
    Pin,
    PinSet,
    Policy,
    PolicyError,
    Rules,
    diff,
    dump_rules,
)
from pinverify.review._diff import _Both
from policy_model import Cert, ModelPin, ModelPinSet, ModelPolicy
from policy_samples import NOON, NOW

__all__: list[str] = []

# ---- every chain over three pins ---------------------------------------------------

KEYS = [ModelPin("spki", bytes([number]) * 32) for number in (1, 2)]
WHOLE = b"a certificate that is pinned"
PINS = [*KEYS, ModelPin("certificate", hashlib.sha256(WHOLE).digest())]
OTHER_KEY = bytes([9]) * 32
OTHER = b"a certificate that is not"
MALFORMED = Cert(b"no certificate", None)


def _certificates() -> list[Cert]:
    """Return a certificate for each pin alone."""
    alone = [Cert(OTHER, key.digest) for key in KEYS]
    return [*alone, Cert(WHOLE, OTHER_KEY)]


def _chains() -> list[list[Cert]]:
    """Return chains with each leaf, and above it certificates with each set of pins."""
    keys = [*(key.digest for key in KEYS), OTHER_KEY]
    leaves = [Cert(der, key) for key in keys for der in (WHOLE, OTHER)]
    sets = [
        list(some)
        for length in range(4)
        for some in itertools.combinations(_certificates(), length)
    ]
    whole = [[leaf, *above] for leaf in leaves for above in sets]
    damaged = [[*chain, MALFORMED] for chain in whole]
    return [[], [MALFORMED], *whole, *damaged]


CHAINS = _chains()


def accepted(policy: ModelPolicy, host: str | None, now: int) -> set[int]:
    """Return the chains that a policy accepts, by their numbers."""
    return {
        number
        for number, chain in enumerate(CHAINS)
        if model.decide(policy, host, chain, now).accepted
    }


def compared(
    old: ModelPolicy, new: ModelPolicy, host: str | None, now: int
) -> str | None:
    """Return the direction that all decisions about a host have."""
    before, after = accepted(old, host, now), accepted(new, host, now)
    if before == after:
        return None
    if after < before:
        return "narrower"
    return "wider" if before < after else "both"


# ---- the same, by diff ---------------------------------------------------------------


def region(patterns: set[str], host: str | None) -> tuple[str, str]:
    """Return the scope and the name of the region that a host is in."""
    if host is None:
        return "clients", ""
    if model.canonical(host) is None:
        return "no-host", ""
    own = {model.shape(p)[1] for p in patterns if p.startswith("**.")}
    found = model.find(patterns | own, host)
    if found is None:
        return "others", ""
    wildcard, name = model.shape(found)
    return {"": "host", "*.": "one-label", "**.": "below"}[wildcard], name


def told(
    old: ModelPolicy, new: ModelPolicy, host: str | None, now: int, at: int
) -> str | None:
    """Return the direction that diff tells for a host at a time."""
    rules = model.policy(old).rules, model.policy(new).rules
    start = dt.datetime.fromtimestamp(now, dt.UTC)
    moment = dt.datetime.fromtimestamp(at, dt.UTC)
    where = region({*old.rules, *new.rules}, host)
    found = [
        change
        for change in diff(*rules, now=start)
        if (change.scope, change.name) == where
        and (change.since or start) <= moment
        and (change.until is None or moment < change.until)
    ]
    assert len(found) < 2
    return found[0].direction if found else None


def _lists() -> st.SearchStrategy[tuple[ModelPin, ...]]:
    return st.lists(st.sampled_from(PINS), max_size=3, unique=True).map(tuple)


@st.composite
def _pin_sets(draw: st.DrawFn) -> ModelPinSet:
    pins, leaf, ca = draw(_lists()), draw(_lists()), draw(_lists())
    if not (pins or leaf or ca):
        pins = (PINS[0],)
    expires = draw(st.sampled_from([None, None, NOW - 1, NOW + 5, NOW + 10]))
    return ModelPinSet(
        pins=pins,
        leaf=leaf,
        ca=ca,
        blocked=draw(st.just(()) | st.just(()) | _lists()),
        mode=draw(st.sampled_from(["enforce", "enforce", "enforce", "report"])),
        expires=expires,
        after_expiry=(
            None if expires is None else draw(st.sampled_from(["allow", "reject"]))
        ),
    )


PATTERNS = [shape + name for name in NAMES for shape in ("", "*.", "**.")]


@st.composite
def _policies(draw: st.DrawFn) -> ModelPolicy:
    rules = draw(
        st.dictionaries(
            st.sampled_from(PATTERNS), st.none() | _pin_sets() | _pin_sets(), max_size=4
        )
    )
    return ModelPolicy(
        rules=rules,
        unpinned=draw(st.sampled_from(["allow", "allow", "reject"])),
        blocked=draw(st.just(()) | st.just(()) | _lists()),
        clients=draw(st.none() | st.none() | _pin_sets()),
    )


@st.composite
def _pairs(draw: st.DrawFn) -> tuple[ModelPolicy, ModelPolicy]:
    """Draw two policies; the second one often has rules of the first."""
    old, new = draw(_policies()), draw(_policies())
    kept = draw(st.sampled_from(["nothing", "rules", "defaults"]))
    if kept == "rules":
        new = ModelPolicy({**old.rules, **new.rules}, old.unpinned, old.blocked)
    elif kept == "defaults":
        new = ModelPolicy(new.rules, old.unpinned, old.blocked, old.clients)
    return old, new


def _agrees(
    pair: tuple[ModelPolicy, ModelPolicy], hosts: list[str | None], at: int
) -> None:
    """Fail unless diff tells what all decisions tell."""
    for host in hosts:
        expected = compared(*pair, host, at)
        event(str(expected))
        assert told(*pair, host, NOW, at) == expected, (host, at)


_HOSTS = st.lists(
    st.sampled_from([*HOSTS, None, "..", "192.0.2.1"]),
    min_size=2,
    max_size=2,
    unique=True,
)
_TIMES = st.sampled_from([NOW, NOW + 4, NOW + 5, NOW + 7, NOW + 10, NOW + 99])


@settings(max_examples=examples(60))
@given(_pairs(), _HOSTS, _TIMES)
def test_a_difference_is_one_of_decisions(
    pair: tuple[ModelPolicy, ModelPolicy], hosts: list[str | None], at: int
) -> None:
    """For random policies, hosts and times: every chain over three pins is decided."""
    _agrees(pair, hosts, at)


@pytest.mark.slow
@settings(LONG)
@given(_pairs(), _HOSTS, _TIMES)
def test_many_differences_are_those_of_decisions(
    pair: tuple[ModelPolicy, ModelPolicy], hosts: list[str | None], at: int
) -> None:
    """The long form.

    `POLICIES=10000 make slow TESTS=tests/workshop/review/test_diff.py` runs it.
    """
    _agrees(pair, hosts, at)


# ---- examples ------------------------------------------------------------------------

A, B, C = (Pin.spki(bytes([number]) * 32) for number in (1, 2, 3))
DAY = dt.timedelta(days=1)


def changes(old: Rules, new: Rules) -> list[tuple[str, str, str]]:
    """Return scope, name and direction of each change."""
    return [change[:3] for change in diff(old, new, now=NOON)]


def test_the_order_of_words_is_no_difference() -> None:
    """Nor is a rule that says what a wider one says."""
    old = Rules({"**.x.org": [A, B]})
    assert diff(old, Rules({"**.x.org": [B, A], "a.x.org": [A, B]}), now=NOON) == []
    assert diff(old, old) == []


def test_a_pin_more_is_wider_and_one_less_narrower() -> None:
    """In a blocked list it is the other way round."""
    one, two = Rules({"x.org": [A]}), Rules({"x.org": [A, B]})
    assert changes(one, two) == [("host", "x.org", "wider")]
    assert changes(two, one) == [("host", "x.org", "narrower")]
    blocked = Rules({"x.org": PinSet([A], blocked=[C])})
    assert changes(one, blocked) == [("host", "x.org", "narrower")]
    assert changes(one, Rules({"x.org": [B]})) == [("host", "x.org", "both")]


def test_what_is_above_the_leaf_counts_by_itself() -> None:
    """A list for authorities, and a blocked key that the leaf cannot have."""
    one, two = (Rules({"x.org": PinSet(ca=pins)}) for pins in ([A], [A, B]))
    assert changes(one, two) == [("host", "x.org", "wider")]
    assert changes(two, one) == [("host", "x.org", "narrower")]
    leaf = Rules({"x.org": PinSet(leaf=[A])})
    blocked = Rules({"x.org": PinSet(leaf=[A], blocked=[C])})
    assert changes(leaf, blocked) == [("host", "x.org", "narrower")]
    assert changes(blocked, leaf) == [("host", "x.org", "wider")]


def test_lists_are_compared_by_what_they_accept() -> None:
    """A leaf list with a blocked key is the list without it."""
    both = Rules({"x.org": PinSet(leaf=[A, B], blocked=[B])})
    alone = Rules({"x.org": PinSet(leaf=[A], blocked=[B])})
    assert changes(both, alone) == []
    for name in ("pins", "ca"):
        lists: dict[str, Any] = {name: [A, B], "blocked": [B]}
        fewer: dict[str, Any] = {name: [A], "blocked": [B]}
        old = Rules({"x.org": PinSet(**lists)})
        assert changes(old, Rules({"x.org": PinSet(**fewer)})) == []
    anywhere = Rules({"x.org": [A]})
    assert changes(Rules({"x.org": PinSet(leaf=[A])}), anywhere) == [
        ("host", "x.org", "wider")
    ]
    at_both = Rules({"x.org": PinSet([A], leaf=[A])})
    assert changes(Rules({"x.org": PinSet(leaf=[A])}), at_both) == []


def test_a_pinned_certificate_may_have_any_key() -> None:
    """A key that is blocked may be in it or not, so the pin is taken to count."""
    whole = Pin.certificate(bytes(32))
    both = Rules({"x.org": PinSet([A, whole], blocked=[B])})
    assert changes(both, Rules({"x.org": PinSet([A], blocked=[B])})) == [
        ("host", "x.org", "narrower")
    ]


def test_modes_and_blocked_keys_of_all_hosts_count() -> None:
    """A rule in report mode accepts everybody, and a blocked key nobody has."""
    one = Rules({"x.org": [A]})
    report = Rules({"x.org": PinSet([A], mode="report")})
    assert changes(one, report) == [("host", "x.org", "wider")]
    assert changes(one, Rules({"x.org": [A]}, blocked=[C])) == [
        ("host", "x.org", "narrower"),
        ("others", "", "narrower"),
    ]
    assert changes(report, Rules({"x.org": report.hosts["x.org"]}, blocked=[C])) == [
        ("others", "", "narrower")
    ]


def test_a_pin_that_both_block_tells_lists_apart() -> None:
    """It helps nobody: a rule that has it in addition accepts no more."""
    old = Rules({"x.org": [A]}, blocked=[C])
    assert changes(old, Rules({"x.org": [A, C]}, blocked=[C])) == []


def test_very_many_blocked_pins_are_not_compared_for_each_host() -> None:
    """One that a policy alone blocks stands for all that no rule names."""
    many = [Pin.spki(hashlib.sha256(bytes(i)).digest()) for i in range(999)]
    both = _Both.of(Rules(blocked=[*many, A]), Rules(blocked=[A, C]))
    old, new = both.blocked_for(PinSet([many[7]]), PinSet([A]), UNPINNED, None)
    assert len(old) == 3
    assert {many[7], Pin.parse(str(A))} < old
    assert new == {Pin.parse(str(pin)) for pin in (A, C)}


def test_long_changes_are_cut(tmp_path: Path) -> None:
    """`show` prints all of a policy."""
    pins = [str(Pin.spki(bytes([i]) * 32)) for i in range(50)]
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    for file, listed in zip(files, (pins[:1], pins), strict=True):
        document = {"version": 1, "hosts": {"x.org": {"pins": listed}}}
        file.write_text(json.dumps(document), encoding="utf-8")
    done = run("diff", *files, "--format", "json")
    assert done.out.count("+ pins") == 40
    assert "+ … and 9 more; `pinverify show` has all" in done.out


def test_each_region_is_told() -> None:
    """A name, one label more, everything below, all others, and clients."""
    old = Rules({"**.x.org": [A]}, clients=PinSet([A]))
    new = Rules({"x.org": [A], "*.x.org": [A]}, unpinned="reject")
    assert changes(old, new) == [
        ("below", "x.org", "narrower"),
        ("others", "", "narrower"),
        ("clients", "", "narrower"),
    ]


def test_clients_alone_are_for_every_peer() -> None:
    """Also for one whose name is no host; beside hosts they are not."""
    old = Rules(clients=PinSet([A]))
    new = Rules({"x.org": [A]}, clients=PinSet([A]))
    assert changes(old, new) == [
        ("others", "", "wider"),
        ("no-host", "", "narrower"),
    ]


def test_an_expiry_changes_what_is_accepted_later() -> None:
    """A change holds from one moment to another; the past does not count."""

    def until(days: int) -> Rules:
        expires = NOON + days * DAY
        return Rules({"x.org": PinSet([A], expires=expires, after_expiry="allow")})

    (change,) = diff(until(1), until(3), now=NOON)
    assert (change.direction, change.since, change.until) == (
        "narrower",
        NOON + DAY,
        NOON + 3 * DAY,
    )
    assert diff(until(1), until(3), now=NOON + 3 * DAY) == []
    (change,) = diff(Rules({"x.org": [A]}), until(1), now=NOON)
    assert (change.direction, change.since, change.until) == ("wider", NOON + DAY, None)
    (change,) = diff(Rules({"x.org": [A]}), until(-1), now=NOON)
    assert (change.direction, change.since, change.until) == ("wider", None, None)


def test_a_change_names_the_rules_that_decide() -> None:
    """In each policy; None where no rule does."""
    (change,) = diff(Rules({}, blocked=[C]), Rules({"x.org": [A]}, blocked=[C]))
    assert (change.old, change.new) == (None, "x.org")
    old = Rules({"**.org": [A]})
    first = diff(old, Rules({"**.org": [A], "x.org": UNPINNED}))[0]
    assert (first.old, first.new) == ("**.org", "x.org")


def test_wrong_arguments_are_refused() -> None:
    """With the next step."""
    rules = Rules({"x.org": [A]})
    with pytest.raises(TypeError, match="of a Policy give its rules"):
        diff(Policy(rules), rules)  # type: ignore[arg-type]
    with pytest.raises(PolicyError, match="timezone"):
        diff(rules, rules, now=dt.datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(TypeError, match="datetime"):
        diff(rules, rules, now="today")  # type: ignore[arg-type]


# ---- the commands --------------------------------------------------------------------


def written(folder: Path, rules: Rules, name: str) -> Path:
    """Write rules to a policy file."""
    file = folder / f"{name}.toml"
    file.write_text(str(dump_rules(rules).text), encoding="utf-8")
    return file


def test_the_exit_code_tells_the_direction(tmp_path: Path) -> None:
    """0 is equal, 1 narrower, 3 wider or other; as for a conversion."""
    one = written(tmp_path, Rules({"x.org": [A]}), "one")
    two = written(tmp_path, Rules({"x.org": [A, B]}), "two")
    other = written(tmp_path, Rules({"x.org": [C]}), "other")
    assert run("diff", one, one).code == 0
    assert run("diff", two, one).code == 1
    assert run("diff", one, two).code == 3
    assert run("diff", one, other).code == 3
    assert run("diff", one, two).err == ""
    assert_no_answer(run("diff", one, one, "--to", "json"), "one.toml")
    assert run("diff", one, tmp_path / "absent").code == 2


def test_each_period_is_shown_for_all_its_names(tmp_path: Path) -> None:
    """A change of the names below a host is not lost behind a later one."""
    expires = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    old = Rules({"**.x.org": PinSet([A], expires=expires, after_expiry="allow")})
    new = Rules({"**.x.org": PinSet([A, B])})
    done = run("diff", written(tmp_path, old, "old"), written(tmp_path, new, "new"))
    titles = [line for line in done.out.splitlines() if "  accepts " in line]
    assert titles == [
        "**.x.org  accepts more, until 2040-01-01 00:00:00Z",
        "**.x.org  accepts less, from 2040-01-01 00:00:00Z on",
    ]


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ("allow", ["- pins over, everybody is accepted", f"+ pins {B}"]),
        ("reject", ["- pins over, everybody is rejected", f"+ pins {B}"]),
    ],
)
def test_a_rule_that_is_over_is_one_line(
    tmp_path: Path, after: Literal["allow", "reject"], words: list[str]
) -> None:
    """Its pins were told for the time before, and decide nothing any more."""
    expires = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    old = Rules({"x.org": PinSet([A], expires=expires, after_expiry=after)})
    new = Rules({"x.org": PinSet([B])})
    done = run("diff", written(tmp_path, old, "old"), written(tmp_path, new, "new"))
    *_, last, _ = done.out.split("\n\n")
    assert last.splitlines()[1:] == words


def test_a_difference_is_shown_by_its_lines(tmp_path: Path) -> None:
    """Of the rules that decide, and of those for all hosts; without equal lines."""
    expires = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    old = Rules({"**.x.org": PinSet([A, B], expires=expires, after_expiry="allow")})
    new = Rules({"**.x.org": PinSet([A, C], mode="report")}, blocked=[B])
    done = run("diff", written(tmp_path, old, "old"), written(tmp_path, new, "new"))
    assert done.out.splitlines() == [
        "**.x.org  accepts more, until 2040-01-01 00:00:00Z",
        f"- pins    {B}",
        "- until   2040-01-01 00:00:00Z, then accepted",
        f"+ pins    {C}",
        "+ mode    report",
        f"+ blocked {B}",
        "",
        "all other hosts  accepts less",
        f"+ blocked {B}",
        "",
        "wider and narrower: the new policy accepts other peers",
    ]


@pytest.mark.parametrize(
    ("old", "new", "titles"),
    [
        ({"**.x.org": [A]}, {"**.x.org": [B]}, ["**.x.org"]),
        ({"**.x.org": [A]}, {"**.x.org": [A], "x.org": [B]}, ["x.org"]),
        ({"**.x.org": [A], "x.org": [A]}, {"x.org": [A]}, ["below x.org"]),
        ({"*.x.org": [A]}, {"*.x.org": [B]}, ["*.x.org"]),
        ({"*.x.org": [A], "**.x.org": [C]}, {"**.x.org": [C]}, ["*.x.org"]),
    ],
)
def test_regions_have_titles(
    old: Any,  # noqa: ANN401 - rules
    new: Any,  # noqa: ANN401 - rules
    titles: list[str],
    tmp_path: Path,
) -> None:
    """A name and all names below are one, if they change in the same way."""
    done = run(
        "diff",
        written(tmp_path, Rules(old), "old"),
        written(tmp_path, Rules(new), "new"),
    )
    assert re.findall(r"(?m)^(\S.*)  accepts", done.out) == titles


def test_the_difference_in_json_is_that_of_python(tmp_path: Path) -> None:
    """Moments are text, in UTC."""
    expires = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    ended = PinSet([A], expires=expires, after_expiry="allow")
    old = written(tmp_path, Rules({"x.org": [A]}), "old")
    new = written(tmp_path, Rules({"x.org": ended}), "new")
    assert answer("diff", old, new) == {
        "changes": [
            {
                "scope": "host",
                "name": "x.org",
                "direction": "wider",
                "since": "2040-01-01 00:00:00Z",
                "until": None,
                "old": "x.org",
                "new": "x.org",
            }
        ]
    }


def test_files_of_two_formats_are_compared(tmp_path: Path) -> None:
    """Each copy of the pins of one client is to say the same."""
    own = written(tmp_path, Rules({"x.org": PinSet(leaf=[A, B])}), "own")
    curl = tmp_path / "pins.txt"
    texts = [str(pin).replace("/", "//", 1) for pin in (A, B)]
    curl.write_text(";".join(texts), encoding="ascii")
    done = run("diff", own, curl, "--to", "curl", "--host", "x.org")
    assert (done.code, done.err) == (0, "")


def test_show_prints_every_rule(tmp_path: Path) -> None:
    """Domains together; what is usual is left out."""
    expires = dt.datetime(2040, 1, 1, tzinfo=dt.UTC)
    rules = Rules(
        {
            "b.x.org": UNPINNED,
            "**.x.org": PinSet(leaf=[A], ca=[B, C], mode="report"),
            "x.org": PinSet([A], expires=expires, after_expiry="reject"),
            "a.com": PinSet([A], blocked=[C]),
            "2001:db8::1": [A],
        },
        clients=PinSet([B]),
        unpinned="reject",
        blocked=[C],
    )
    file = written(tmp_path, rules, "pins")
    done = run("show", file)
    assert (done.code, done.err) == (0, "")
    digest = Policy(rules).digest.hex()
    assert done.out.splitlines() == [
        *("hosts without a rule", "          rejected", f"  blocked {C}", ""),
        *("clients", f"  pins {B}", ""),
        *("2001:db8::1", f"  pins {A}", ""),
        *("a.com", f"  pins    {A}", f"  blocked {C}", ""),
        *("x.org", f"  pins  {A}", "  until 2040-01-01 00:00:00Z, then rejected", ""),
        *("**.x.org", f"  leaf {A}"),
        *(f"  ca   {min(B, C)}", f"       {max(B, C)}", "  mode report", ""),
        *("b.x.org", "  no pins", ""),
        f"5 rules and clients, digest {digest}",
    ]
    compiled = tmp_path / "pins.pvpol"
    compiled.write_bytes(Policy(rules).compile())
    assert run("show", compiled, "--format", "compiled").out == done.out
    shown = answer("show", file)
    assert (shown["policy"], shown["digest"]) == (str(file), digest)
    again = tmp_path / "again.json"
    again.write_text(json.dumps(shown["rules"]), encoding="utf-8")
    assert run("diff", file, again, "--to", "json").code == 0


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_a_terminal_of_any_width_shows_a_pin_in_one_line(
    columns: int, tmp_path: Path
) -> None:
    """It can be copied."""
    rules = Rules({"**.x.org": PinSet(leaf=[A, B])})
    file = written(tmp_path, rules, "pins")
    other = written(tmp_path, Rules({"**.x.org": PinSet(leaf=[A, C])}), "other")
    for command in (("show", file), ("diff", file, other)):
        _, shown = on_terminal(*command, columns=columns, NO_COLOR="1")
        lines = [re.sub(r"\x1b\[[0-9;?]*\w", "", line) for line in shown.splitlines()]
        assert any(line.endswith(str(B)) for line in lines)
        assert all(len(line.rstrip()) <= columns for line in lines if "sha256" in line)
