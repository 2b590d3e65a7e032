"""Lint: mistakes in policies, each with a code; docs/lint.md has the examples."""

from __future__ import annotations

import base64
import datetime as dt
import os
import random
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

import pinverify
from cli_runs import answer, run
from other_systems import MOMENTS, pool, small_rules
from pinverify import (
    UNPINNED,
    Finding,
    Pin,
    PinSet,
    PolicyError,
    PolicyWarning,
    Rules,
    diff,
    lint,
)
from pinverify.errors import Kind
from pinverify.files._digests import (
    EXAMPLE_OF,
    NOTHING_HASHED,
    is_placeholder,
    known_among,
)
from pinverify.review._lint import CHECKS, LEVELS, OF_READERS, each_rule, serious
from pinverify.review._lint.operators import INTERMEDIATES, ROOTS
from places import ROOT
from policy_samples import ABSENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from pinverify.policy import Unpinned

__all__: list[str] = []

PAGE = ROOT / "docs" / "lint.md"
NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
GOOD, BACKUP, THIRD = (
    Pin.spki(random.Random(seed).randbytes(32))  # noqa: S311 - the same each time
    for seed in (1, 2, 3)
)
FORMATS = {"toml": "toml", "xml": "android", "zone": "tlsa"}
HOST = "api.bakery.internal"


def codes(rules: Rules, now: dt.datetime = NOW) -> list[str]:
    """Return the codes of the findings."""
    return [finding.code for finding in lint(rules, now=now)]


# ---- the page --------------------------------------------------------------------


class Section(NamedTuple):
    """One section of the page: a code, its level and title, and its examples."""

    code: str
    title: str
    level: str
    blocks: list[tuple[str, str]]


def sections(page: str) -> list[Section]:
    """Return the sections about codes."""
    form = r"### (PV\d+): ([^\n]*)\n\nLevel: (\w+)\.\n(.*?)(?=\n##|\Z)"
    return [
        Section(code, title, level, re.findall(r"```(\w+)\n(.*?)```", body, re.DOTALL))
        for code, title, level, body in re.findall(form, page, re.DOTALL)
    ]


SECTIONS = sections(PAGE.read_text(encoding="utf-8"))
ALONE = [one for one in SECTIONS if not one.code.startswith("PV6")]
OF_RULES = [one for one in SECTIONS if one.code in CHECKS and CHECKS[one.code].of_rule]


def loaded(block: tuple[str, str], folder: Path) -> Rules:
    """Return the rules of an example, read without a look at their sense."""
    language, text = block
    file = folder / "pins"
    file.write_text(text, encoding="utf-8")
    with warnings.catch_warnings(action="ignore", category=PolicyWarning):
        return pinverify.load_rules(file, format=FORMATS[language])


def test_the_page_has_a_section_for_each_code() -> None:
    """Code, level and title are those of the table, in its order."""
    assert [(one.code, one.title, one.level) for one in SECTIONS] == [
        (check.code, check.title, check.level) for check in CHECKS.values()
    ]
    assert {len(one.blocks) for one in SECTIONS} == {2}


@pytest.mark.parametrize("section", OF_RULES, ids=lambda one: one.code)
def test_the_first_example_has_this_mistake_and_no_other(
    section: Section, tmp_path: Path
) -> None:
    """The text says where it is, what it is, and after a semicolon the next step."""
    found = lint(loaded(section.blocks[0], tmp_path), now=NOW)
    assert {(one.code, one.level) for one in found} == {(section.code, section.level)}
    for finding in found:
        assert "; " in finding.text
        assert finding.place.startswith(str(tmp_path / "pins"))


@pytest.mark.parametrize("section", ALONE, ids=lambda one: one.code)
def test_the_second_example_is_sound(section: Section, tmp_path: Path) -> None:
    """There is nothing to find in it, not even a hint; these are more than ten."""
    assert lint(loaded(section.blocks[1], tmp_path), now=NOW) == []
    assert len(ALONE) > 10


@pytest.mark.parametrize("code", [code for code in CHECKS if code.startswith("PV1")])
def test_the_command_tells_what_readers_tell(code: str, tmp_path: Path) -> None:
    """The examples of the page for mistakes and notices of readers."""
    (section,) = [one for one in SECTIONS if one.code == code]
    language, text = section.blocks[0]
    file = tmp_path / "pins"
    file.write_text(text, encoding="utf-8")
    shown = answer("lint", file, "--format", FORMATS[language])
    assert {one["code"] for one in shown["findings"]} == {code}


def test_every_kind_of_mistake_has_a_code() -> None:
    """One each, so that readers cannot tell a kind that lint does not know."""
    kinds = get_args(Kind)
    assert sorted(OF_READERS) == sorted(kinds)
    assert all(row.level == "error" for row in OF_READERS.values())


def test_planted_sections_are_seen() -> None:
    """The reader of the page finds sections and blocks, and only where they are."""
    page = (
        "### PV1: a b\n\nLevel: hint.\nText.\n\n```toml\nx\n```\n\n## Pins\n\n### b\n"
    )
    assert sections(page) == [Section("PV1", "a b", "hint", [("toml", "x\n")])]


def test_the_python_of_the_page_prints_what_it_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The example at its top."""
    text = PAGE.read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "<page>", "exec"), {})  # noqa: S102 - our own text
    assert capsys.readouterr().out == shown


# ---- digests ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "A" * 43 + "=",
        "B" * 42 + "A=",
        "ABCDEF" * 7 + "A=",
        "AAAAeJFIEmx2Y01oXXXXXXXXXXmmSFZhBXXXXXXXXXU=",
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopo=",
        "yourpinyourpinyourpinyourpinyourpinyourpin0=",
    ],
)
def test_typed_pins_are_placeholders(text: str) -> None:
    """As they stand in repositories."""
    assert is_placeholder(Pin.spki(text).digest)


@pytest.mark.parametrize("character", ["A", "Q", "z", "9", "+", "/"])
@pytest.mark.parametrize("at", [0, 1, 17, 33])
def test_a_character_that_is_repeated_was_typed(character: str, at: int) -> None:
    """Eight times; seven times may be chance, as it is in one of a thousand million."""
    text = str(THIRD).removeprefix("sha256/").replace(character, "u")

    def with_run(length: int) -> str:
        run = text[:at] + character * length + text[at + length :]
        return run[:42] + "A="

    assert is_placeholder(Pin.spki(with_run(8)).digest)
    assert not is_placeholder(Pin.spki(with_run(7)).digest)


@pytest.mark.parametrize(
    "digest",
    [
        bytes(range(32)),
        bytes(range(224, 256)),
        b"\xff" * 32,
        b"\xde\xad" * 16,
        bytes(1 + number**2 % 23 for number in range(32)),
    ],
)
def test_typed_bytes_are_placeholders(digest: bytes) -> None:
    """Bytes that count, repeat something short, or are few different ones."""
    assert is_placeholder(digest)


def test_a_hash_of_nothing_is_known() -> None:
    """A pipe whose first command failed gives that of no bytes, or of a line end."""
    empty = base64.b64decode("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
    assert NOTHING_HASHED[empty] == "nothing"
    assert not is_placeholder(empty)
    rules = Rules({HOST: [Pin.spki(empty), BACKUP]})
    assert codes(rules) == ["PV201"]


def false_alarms(num: int, seed: int) -> list[bytes]:
    """Return the random digests that a check of digests takes for a mistake."""
    numbers = random.Random(seed)  # noqa: S311 - the same each time
    drawn = (numbers.randbytes(32) for _ in range(num))
    checks = (is_placeholder, NOTHING_HASHED.get, EXAMPLE_OF.get)
    return [digest for digest in drawn if any(check(digest) for check in checks)]


def test_known_digests_are_found_among_many() -> None:
    """Wherever they stand; they are looked at many at a time."""
    numbers = random.Random(4)  # noqa: S311 - the same each time
    drawn = [numbers.randbytes(32) for _ in range(2500)]
    assert known_among(drawn) == set()
    counting, few = bytes(range(5, 37)), bytes(i % 16 for i in range(32))
    again = bytes.fromhex("0123456789ab") * 2 + drawn[0][:20]
    example = base64.b64decode("afwiKY3RxoMmLkuRW1l7QsPZTJPwDS2pdDROQjXw8ig=")
    planted = [counting, few, again, example, Pin.parse(ABSENT).digest]
    for digest, at in zip(planted, (0, 1023, 1024, 2047, 2499), strict=True):
        drawn[at] = digest
    assert known_among(drawn) == set(planted)


def test_random_digests_give_no_alarm() -> None:
    """Of 10,000 none, so that nobody learns to pass over alarms."""
    assert false_alarms(10_000, 1) == []


@pytest.mark.slow
def test_many_random_digests_give_no_alarm() -> None:
    """Of 200,000 none, and other ones each time."""
    seed = int.from_bytes(os.urandom(8))
    assert false_alarms(200_000, seed) == [], seed


# ---- rules -----------------------------------------------------------------------


def test_findings_come_worst_first_and_name_their_rule() -> None:
    """Where the place is known, it is named; else the pattern."""
    rules = Rules(
        {"*.bakery.internal": [GOOD], HOST: [ABSENT, BACKUP]},
        clients=PinSet([GOOD]),
        blocked=[ABSENT],
        origins={HOST: "pins.toml: line 7"},
    )
    found = lint(rules, now=NOW)
    assert [one.level for one in found] == sorted(
        [one.level for one in found], key=LEVELS.index
    )
    told = {(one.code, one.pattern, one.where) for one in found}
    assert told == {
        ("PV202", "policy", "policy"),
        ("PV202", HOST, f"pins.toml: line 7: {HOST}"),
        ("PV204", "*.bakery.internal", "*.bakery.internal"),
        ("PV204", "clients", "clients"),
        ("PV206", HOST, f"pins.toml: line 7: {HOST}"),
        ("PV303", "*.bakery.internal", "*.bakery.internal"),
    }
    (first, *_) = [one for one in found if one.pattern == HOST]
    assert str(first).startswith(f"pins.toml: line 7: {HOST}: error PV202: pins: ")


def test_a_pattern_is_named_once() -> None:
    """A place in TOML names it already."""
    finding = Finding("PV204", "warning", "x.org", 'a.toml: [hosts."x.org"]', "t; s")
    assert str(finding) == 'a.toml: [hosts."x.org"]: warning PV204: t; s'


@pytest.mark.parametrize("name", ["pins", "leaf", "ca"])
def test_every_list_needs_a_backup(name: str) -> None:
    """A list is hit by its own pins only; a pin that is written twice is one."""
    lists: dict[str, Any] = {"pins": [GOOD, BACKUP], name: [GOOD, str(GOOD)]}
    (finding,) = lint(Rules({HOST: PinSet(**lists)}), now=NOW)
    assert (finding.code, finding.text.partition(":")[0]) == ("PV204", name)


def test_nobody_is_locked_out_by_report_mode() -> None:
    """One pin is enough there, and so it is when the pins have ended."""
    expires = NOW + dt.timedelta(days=300)
    report = PinSet([GOOD], mode="report", expires=expires, after_expiry="reject")
    assert codes(Rules({HOST: report})) == []
    ended = PinSet([GOOD], expires=NOW, after_expiry="allow")
    assert codes(Rules({HOST: ended})) == ["PV401"]


@pytest.mark.parametrize(
    ("days", "found"), [(-1, ["PV401"]), (0, ["PV401"]), (29, ["PV402"]), (30, [])]
)
def test_an_expiry_is_told_thirty_days_before(days: int, found: list[str]) -> None:
    """And as an error from the moment on at which the pins stop applying."""
    expires = NOW + dt.timedelta(days=days)
    pinset = PinSet([GOOD, BACKUP], expires=expires, after_expiry="allow")
    assert codes(Rules({HOST: pinset})) == found


@pytest.mark.parametrize(
    ("after_expiry", "mode", "then"),
    [
        ("allow", "enforce", "accepted"),
        ("reject", "enforce", "rejected"),
        ("reject", "report", "accepted"),
    ],
)
def test_an_expired_rule_says_what_it_does(
    after_expiry: Any,  # noqa: ANN401 - Literal
    mode: Any,  # noqa: ANN401 - Literal
    then: str,
) -> None:
    """It accepts everybody, or nobody; so it does before it has expired."""
    pinset = PinSet([GOOD, BACKUP], mode=mode, expires=NOW, after_expiry=after_expiry)
    for now in (NOW, NOW - dt.timedelta(days=1)):
        (one,) = lint(Rules({HOST: pinset}), now=now)
        assert f"every peer is {then}" in one.text


def test_pins_that_are_blocked_for_all_hosts_count() -> None:
    """In the rule or in the policy: such a key is never accepted."""
    rules = Rules({HOST: PinSet(leaf=[GOOD, BACKUP], blocked=[GOOD])}, blocked=[BACKUP])
    assert codes(rules) == ["PV205"]
    assert codes(Rules({HOST: [GOOD, BACKUP]}, blocked=[THIRD])) == []


@pytest.mark.parametrize(
    ("pattern", "is_suffix"),
    [
        ("*.com", True),
        ("**.co.uk", True),
        ("**.com.br", True),
        ("**.co.zw", True),
        ("**.com.gt", True),
        ("**.bakery.co.uk", False),
        ("**.go.com", False),
        ("**.bakery.internal", False),
        ("**.internal", False),
        ("**.example", False),
        ("co.uk", False),
    ],
)
def test_only_wildcards_below_public_suffixes_are_told(
    pattern: str,
    is_suffix: bool,  # noqa: FBT001 - a row of a table
) -> None:
    """A name below one belongs to somebody, and so do those of private networks."""
    assert ("PV301" in codes(Rules({pattern: [GOOD, BACKUP]}))) == is_suffix


@pytest.mark.parametrize(
    ("name", "provider"),
    [
        ("api.stripe.com", "Stripe"),
        ("x.s3.amazonaws.com", "Amazon"),
        ("camera.ddns.net", "No-IP"),
        ("bakery.blogspot.com", "Google"),
        ("stripe.co", ""),
    ],
)
def test_providers_are_named(name: str, provider: str) -> None:
    """At any depth below the name that they own."""
    found = lint(Rules({name: [GOOD, BACKUP]}), now=NOW)
    assert [one.code for one in found] == (["PV302"] if provider else [])
    assert all(f"is run by {provider}," in one.text for one in found)


@pytest.mark.parametrize(
    ("label", "is_mixed"),
    [
        ("\N{CYRILLIC SMALL LETTER A}pi", True),
        ("bücher", False),
        ("почта", False),
        ("\N{GREEK SMALL LETTER ALPHA}pi", True),
        ("例え", False),
    ],
)
def test_letters_of_several_scripts_are_told(
    label: str,
    is_mixed: bool,  # noqa: FBT001 - a row of a table
) -> None:
    """Only where they look alike; a name in one script is what it looks like."""
    rules = Rules({f"{label}.bakery.internal": [GOOD, BACKUP]})
    assert codes(rules) == (["PV304"] if is_mixed else [])


@pytest.mark.parametrize(
    ("host", "is_told"),
    [
        ("api.example.com", False),
        ("a.b.test", False),
        ("localhost", False),
        ("192.0.2.7", False),
        ("2001:db8::1", False),
        ("api.bakery.internal", True),
        ("myexample.com", True),
        ("192.0.20.7", True),
    ],
)
def test_examples_are_for_hosts_that_are_examples(
    host: str,
    is_told: bool,  # noqa: FBT001 - a row of a table
) -> None:
    """Names of RFC 2606 and addresses of RFC 5737 and 3849 are nobody's."""
    example = Pin.spki("K5hbrfG6yCk/a5LowKzBE5vFpey7+Xpicdzw1PbGivY=")
    assert codes(Rules({host: [example, BACKUP]})) == (["PV203"] if is_told else [])


PINNED = PinSet([GOOD, BACKUP])
OTHER = PinSet([GOOD, THIRD])


@pytest.mark.parametrize(
    ("hosts", "useless"),
    [
        ({"**.x.org": PINNED, "a.x.org": PINNED}, {"a.x.org"}),
        ({"**.x.org": PINNED, "*.x.org": PINNED}, {"*.x.org"}),
        ({"**.x.org": PINNED, "**.a.x.org": PINNED}, {"**.a.x.org"}),
        ({"**.x.org": PINNED, "a.x.org": OTHER}, set()),
        ({"**.x.org": PINNED, "**.a.x.org": OTHER, "b.a.x.org": PINNED}, set()),
        ({"a.x.org": UNPINNED}, {"a.x.org"}),
        ({"**.x.org": PINNED, "a.x.org": UNPINNED}, set()),
        # At a.x.org the rule *.x.org goes before, so **.a.x.org has an effect there.
        ({"**.x.org": PINNED, "*.x.org": OTHER, "**.a.x.org": PINNED}, set()),
        (
            {
                "**.x.org": PINNED,
                "*.x.org": OTHER,
                "**.a.x.org": PINNED,
                "a.x.org": OTHER,
            },
            {"**.a.x.org"},
        ),
        ({"192.0.2.1": UNPINNED}, {"192.0.2.1"}),
    ],
)
def test_a_rule_without_effect_is_found(hosts: Any, useless: set[str]) -> None:  # noqa: ANN401
    """One may be removed, and every decision stays as it was."""
    found = [one for one in lint(Rules(hosts), now=NOW) if one.code == "PV501"]
    assert {one.pattern for one in found} == useless


def test_the_last_rule_for_hosts_keeps_clients_from_them() -> None:
    """Without a rule for hosts, the pins of clients are for every peer."""
    exempt: dict[str, Any] = {"a.x.org": UNPINNED}
    assert codes(Rules(exempt)) == ["PV501"]
    assert codes(Rules(exempt, clients=PINNED)) == []


@given(small_rules(), st.sampled_from(MOMENTS))
def test_a_rule_without_effect_can_be_removed(rules: Rules, now: dt.datetime) -> None:
    """In random rules, too: no decision changes. And nothing else goes wrong."""
    chain = [pool()[0].der, pool()[1].der]
    for finding in lint(rules, now=now, chains={"a.x.org": chain}, authorities=chain):
        event(finding.code)
        if finding.code == "PV501":
            hosts = {p: rules.hosts[p] for p in rules.hosts if p != finding.pattern}
            fewer = Rules(
                hosts,
                unpinned=rules.unpinned,
                blocked=rules.blocked,
                clients=rules.clients,
            )
            assert diff(rules, fewer, now=now) == []


def hiding(hosts: Any) -> set[str]:  # noqa: ANN401 - rules
    """Return the patterns whose rules hide one that enforces."""
    found = lint(Rules(hosts), now=NOW)
    return {one.pattern for one in found if one.code == "PV503"}


def test_no_pattern_is_advised_that_is_refused() -> None:
    """Behind ``**.`` are at most 16 labels."""
    for num, advice in ((16, "write **.a."), (17, "itself has no rule; if it should")):
        name = ".".join("a" * num)
        found = lint(Rules({f"*.{name}": PINNED}))
        assert advice in next(one.text for one in found if one.code == "PV303")


def test_report_mode_hides_a_rule_that_enforces() -> None:
    """Only where a wider rule would enforce; the nearest one counts."""
    report = PinSet([GOOD], mode="report")
    hosts: dict[str, Any] = {"**.x.org": PINNED, "a.x.org": report}
    assert hiding(hosts) == {"a.x.org"}
    assert hiding({**hosts, "*.x.org": report}) == {"*.x.org"}
    assert hiding({"a.x.org": report}) == set()


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        (pinverify.Policy({HOST: PINNED}), "got Policy; of a Policy give its rules"),
        ("pins.toml", r"got str; a policy file is read by load_rules\(path\)"),
        (Path("pins.toml"), r"a policy file is read by load_rules\(path\)"),
        (b"pinvpol2", r"got bytes; those of a compiled policy are Policy\.open\("),
        ({HOST: [GOOD]}, r"got dict; write Rules\(\{…\}\)"),
        (PINNED, r"got PinSet; write Rules\(\{'api\.example\.com': PinSet"),
        (None, r"got NoneType; make them by Rules\(\{…\}\), or read them by"),
    ],
)
def test_something_else_than_rules_is_refused(given: Any, advice: str) -> None:  # noqa: ANN401
    """By all functions that take rules, with the next step."""
    calls: list[Callable[[Any], object]] = [
        lint,
        pinverify.dump_rules,
        lambda rules: diff(rules, Rules()),
        lambda rules: diff(Rules(), rules),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=advice):
            call(given)


def test_wrong_arguments_are_refused() -> None:
    """With the next step, and before anything is compared."""
    rules = Rules({HOST: PINNED})
    anything: Any
    with pytest.raises(PolicyError, match="timezone"):
        lint(rules, now=dt.datetime(2026, 1, 1))  # noqa: DTZ001
    with pytest.raises(TypeError, match="datetime"):
        lint(rules, now="today")  # type: ignore[arg-type]
    for anything in (None, [b"cert"], "cert"):
        with pytest.raises(TypeError, match="chains are a mapping of hosts"):
            lint(rules, chains=anything)
    for anything in (None, b"cert", "cert"):
        with pytest.raises(TypeError, match=r"leaf first; write \[certificate\]"):
            lint(rules, chains={HOST: anything})
    for anything in (None, 7):
        with pytest.raises(TypeError, match="a host is text, got"):
            lint(rules, chains={anything: []})
    for anything in (None, 7, b"cert", "cert", ["cert"], [b"-----BEGIN CERT"]):
        with pytest.raises(TypeError, match="authorities are a list of DER"):
            lint(rules, authorities=anything)
    assert lint(rules) == []


def rules_with_traits(seed: int) -> Rules:
    """Return a few rules that have any traits, as they are drawn."""
    draw = random.Random(seed)  # noqa: S311 - the same each time
    roots, intermediates = ROOTS["Amazon"], INTERMEDIATES["Let's Encrypt"]
    known = [*roots.values(), *intermediates.values(), ABSENT.removeprefix("sha256/")]
    pins = [GOOD, BACKUP, THIRD, Pin.certificate(b"\xb1" + bytes(range(2, 33)))]
    pins += map(Pin.spki, draw.sample(known, 2))

    def some(least: int = 0) -> list[Pin]:
        return draw.sample(pins, draw.choice([least, least, 1, 2, 3]))

    def pinset() -> PinSet:
        ends = draw.choice([None, None, NOW - dt.timedelta(1), NOW + dt.timedelta(1)])
        return PinSet(
            some(least=1),
            leaf=some(),
            ca=some(),
            blocked=some(),
            mode=draw.choice(["enforce", "enforce", "report"]),
            expires=ends,
            after_expiry=None if ends is None else draw.choice(["allow", "reject"]),
        )

    names = ["bakery.internal", "a.bakery.internal", "co.uk", "xn--pple-43d.org"]
    names += ["a.googleapis.com", "github.io"]
    others: list[PinSet | Unpinned] = [UNPINNED, PinSet([GOOD])]
    hosts: dict[str, PinSet | Unpinned] = {}
    for _ in range(5):
        pattern = draw.choice(["", "*.", "**."]) + draw.choice(names)
        hosts[pattern] = draw.choice([*others, PinSet([GOOD, BACKUP]), pinset()])
    return Rules(hosts, blocked=some(), clients=draw.choice([None, pinset()]))


def test_a_check_finds_nothing_where_its_traits_are_missing() -> None:
    """So nothing is missed when it is not asked."""
    found = dict.fromkeys(CHECKS, 0)
    for rules in map(rules_with_traits, range(400)):
        for rule in each_rule(rules, NOW):
            for code, check in CHECKS.items():
                texts = list(check.of_rule(rule)) if check.of_rule else []
                assert not texts or check.needs & rule.traits, (code, rule)
                found[code] += len(texts)
    never = {code for code, num in found.items() if num == 0 and CHECKS[code].of_rule}
    assert never == {"PV201", "PV203"}  # beside the pins that are drawn


def test_who_reads_a_file_is_told_all_but_the_hints() -> None:
    """Rules that nothing can be told about are passed over, and no others."""
    for rules in map(rules_with_traits, range(100)):
        found, num = serious(rules, "", 1000)
        told = [one for one in lint(rules) if one.level != "hint"]
        assert found == told
        assert num == len(told)


# ---- reading ---------------------------------------------------------------------


def written(folder: Path, *rules: str) -> Path:
    """Return a policy file with rules; each is a pattern, and what it holds."""
    file = folder / "pins.toml"
    file.write_text("version = 1\n[hosts]\n" + "\n".join(rules), encoding="utf-8")
    return file


@pytest.mark.parametrize("load", [pinverify.load_rules, pinverify.load_policy])
def test_reading_warns_of_errors_and_warnings(load: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """Not of hints, and at the line of the caller."""
    file = written(tmp_path, f'"*.x.org" = ["{ABSENT}"]')
    with pytest.warns(PolicyWarning) as caught:
        load(file)
    told = [str(one.message) for one in caught]
    assert [re.findall(r"PV\d+", text) for text in told] == [["PV202"], ["PV204"]]
    assert {Path(one.filename).name for one in caught} == {"test_lint.py"}


def test_a_finding_about_the_whole_policy_names_its_file(tmp_path: Path) -> None:
    """So does one about clients, and about a compiled policy, which knows no places."""
    file = tmp_path / "pins.pvpol"
    rules = Rules({HOST: PINNED}, blocked=[ABSENT], clients=PinSet([GOOD]))
    file.write_bytes(pinverify.Policy(rules).compile())
    with pytest.warns(PolicyWarning) as caught:
        pinverify.load_rules(file, format="compiled")
    told = [str(one.message).partition(" PV")[0] for one in caught]
    assert told == [f"{file}: error", f"{file}: clients: warning"]


def test_reading_a_sound_file_is_silent(tmp_path: Path) -> None:
    """A hint is for who asks."""
    file = written(tmp_path, f'"*.x.org" = ["{GOOD}", "{BACKUP}"]')
    assert codes(pinverify.load_rules(file)) == ["PV303"]


def test_reading_warns_twenty_times_at_most(tmp_path: Path) -> None:
    """The worst first, wherever it is; and the last line counts the others."""
    rules = [f'"h{i}.x.org" = ["{GOOD}"]' for i in range(1000)]
    file = written(tmp_path, *rules, f'"z.x.org" = ["{ABSENT}", "{GOOD}"]')
    with pytest.warns(PolicyWarning) as caught:
        pinverify.load_rules(file)
    assert len(caught) == 21
    assert "error PV202" in str(caught[0].message)
    assert str(caught[-1].message) == f"{file}: … and 981 more"


# ---- the command -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "code", "text", "phrase"),
    [
        (
            "toml",
            "PV104",
            '"x.org" = ["sha1/AAAAAAAAAAAAAAAAAAAAAAAAAAA="]',
            "can be forged",
        ),
        ("toml", "PV105", f'"https://x.org/" = ["{GOOD}"]', "only the host"),
        ("toml", "PV105", f'"x.org:443" = ["{GOOD}"]', "without a port"),
        ("toml", "PV105", f'"w*.x.org" = ["{GOOD}"]', "a wildcard is"),
        (
            "toml",
            "PV106",
            f'"x.org" = {{pins=["{GOOD}"], expires="2026/8/10", after_expiry="allow"}}',
            "expected a date-time",
        ),
        ("toml", "PV107", f'"x.org" = {{ pin = ["{GOOD}"] }}', "did you mean 'pins'"),
        (
            "okhttp",
            "PV104",
            f'CertificatePinner.Builder().add("x.org", "{GOOD}")'.replace(
                "sha256/", "sha256/sha256/", 1
            ),
            "before",
        ),
        (
            "okhttp",
            "PV104",
            f'CertificatePinner.Builder().add("x.org", "{str(GOOD).rstrip("=")}")',
            "padding is wrong",
        ),
        (
            "okhttp",
            "PV104",
            'CertificatePinner.Builder().add("x.org", "sha256/' + "B" * 43 + '=")',
            "last character",
        ),
        (
            "okhttp",
            "PV104",
            'CertificatePinner.Builder().add("x.org", "sha256/' + "A" * 27 + '=")',
            "20 bytes",
        ),
        (
            "okhttp",
            "PV105",
            f'CertificatePinner.Builder().add("https://x.org", "{GOOD}")',
            "only the host",
        ),
    ],
)
def test_mistakes_that_readers_know_get_a_code(
    name: str, code: str, text: str, phrase: str, tmp_path: Path
) -> None:
    """In the form of all findings, with the line where the reader knows it."""
    file = tmp_path / "pins"
    whole = f"version = 1\n[hosts]\n{text}\n" if name == "toml" else f"\n{text}\n"
    file.write_text(whole, encoding="utf-8")
    done = run("lint", file, "--format", name)
    assert done.code == 1
    assert done.err == ""
    first, count = done.out.splitlines()
    assert first.startswith(f"{file}: ")
    assert f": error {code}: " in first
    assert phrase in first
    assert count == "1 error"
    if name == "okhttp":
        shown = answer("lint", file, "--format", name)
        assert shown["findings"][0]["line"] == 2


def test_the_exit_code_tells_errors_and_if_asked_warnings(tmp_path: Path) -> None:
    """Hints never count."""
    hint = written(tmp_path, f'"*.x.org" = ["{GOOD}", "{BACKUP}"]')
    assert run("lint", hint, "--strict").code == 0
    warning = written(tmp_path, f'"x.org" = ["{GOOD}"]')
    assert run("lint", warning).code == 0
    assert run("lint", warning, "--strict").code == 1
    error = written(tmp_path, f'"x.org" = ["{ABSENT}", "{GOOD}"]')
    assert run("lint", error).code == 1
    assert run("lint", tmp_path / "absent").code == 2


def test_findings_are_counted(tmp_path: Path) -> None:
    """One and several; or that there are none."""
    file = written(
        tmp_path,
        f'"x.org" = ["{ABSENT}"]',
        f'"y.org" = ["{ABSENT}"]',
        f'"*.z.org" = ["{GOOD}", "{BACKUP}"]',
    )
    assert run("lint", file).out.splitlines()[-1] == "2 errors, 2 warnings, 1 hint"
    sound = written(tmp_path, f'"x.org" = ["{GOOD}", "{BACKUP}"]')
    assert run("lint", sound).out == "no findings\n"


def test_json_has_all_of_a_finding(tmp_path: Path) -> None:
    """A line where the reader knows it, else null."""
    file = tmp_path / "Pins.kt"
    file.write_text(
        f'CertificatePinner.Builder()\n\n.add("x.org", "{ABSENT}")', encoding="utf-8"
    )
    shown = answer("lint", file, "--format", "okhttp")
    assert shown["counts"] == {"errors": 1, "warnings": 1, "hints": 0}
    first = shown["findings"][0]
    assert {key: first[key] for key in ("code", "level", "pattern", "line")} == {
        "code": "PV202",
        "level": "error",
        "pattern": "x.org",
        "line": 3,
    }
    in_toml = answer("lint", written(tmp_path, f'"x.org" = ["{GOOD}"]'))
    assert in_toml["findings"][0]["line"] is None


def test_sarif_names_rules_files_and_lines(tmp_path: Path) -> None:
    """As code hosts read it: version 2.1.0, a rule for each code, a result for each."""
    file = tmp_path / "Pins.kt"
    file.write_text(
        f'CertificatePinner.Builder()\n\n.add("*.x.org", "{ABSENT}")', encoding="utf-8"
    )
    log = answer("lint", file, "--format", "okhttp", "--sarif")
    assert log["version"] == "2.1.0"
    (one,) = log["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["PV202", "PV204", "PV303"]
    levels = {result["ruleId"]: result["level"] for result in one["results"]}
    assert levels == {"PV202": "error", "PV204": "warning", "PV303": "note"}
    place = one["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"] == {"uri": file.as_posix()}
    assert place["region"] == {"startLine": 3}


def test_compile_warns_and_compiles(tmp_path: Path) -> None:
    """The policy is what its author wrote; hints are not told."""
    file = written(tmp_path, f'"*.x.org" = ["{ABSENT}"]')
    done = run("compile", file, "-o", tmp_path / "pins.pvpol")
    assert done.code == 0
    told = done.err.splitlines()
    assert [re.findall(r"PV\d+", text) for text in told] == [["PV202"], ["PV204"]]
    assert all(line.startswith("pinverify: warning: ") for line in told)
    shown = answer("lint", tmp_path / "pins.pvpol", "--format", "compiled")
    assert [one["code"] for one in shown["findings"]] == ["PV202", "PV204", "PV303"]


def test_a_compiled_policy_is_not_taken_for_toml(tmp_path: Path) -> None:
    """The format is never guessed, but named in the next step."""
    file = tmp_path / "pins.pvpol"
    file.write_bytes(pinverify.Policy({"x.org": [GOOD, BACKUP]}).compile())
    done = run("lint", file)
    assert (done.code, done.out) == (2, "")
    assert "add --format compiled" in done.err
