"""pinverify's own JSON: the same tables as in TOML, and nothing is guessed."""

from __future__ import annotations

import datetime as dt
import json
import re

import pytest
from hypothesis import given, settings

from examples import examples
from pinverify import UNPINNED, PinSet, PolicyError, Rules, dump_rules
from pinverify.formats import _json
from pinverify.formats._policy_reading import Given
from policy_samples import ABSENT, OTHER
from test_rules_round_trip import any_rules

__all__: list[str] = []


def loads(text: str) -> Rules:
    """Read JSON."""
    return _json.loads(text.encode("utf-8", "surrogatepass"), Given("pins.json")).rules


def with_hosts(hosts: str) -> str:
    """Return a policy with some hosts."""
    return f'{{"version": 1, "hosts": {{{hosts}}}}}'


@settings(deadline=None, max_examples=examples(100))
@given(any_rules())
def test_rules_survive_json(rules: Rules) -> None:
    """A file that is written can be read, and means the same."""
    if not (rules.hosts or rules.blocked or rules.clients):
        with pytest.raises(PolicyError, match="no rules to write"):
            dump_rules(rules, format="json")
        return
    dumped = dump_rules(rules, format="json")
    assert dumped.losses == ()
    assert loads(str(dumped.text)) == rules
    assert str(dumped.text).isascii()


def test_the_tables_are_those_of_toml() -> None:
    """Every key of the policy file, with a time in a text."""
    text = f"""{{
        "version": 1, "unpinned": "reject", "blocked": ["{OTHER}"],
        "hosts": {{
            "x.org": ["{ABSENT}"],
            "bücher.example": {{"leaf": ["{ABSENT}"], "ca": ["{OTHER}"],
                "mode": "report", "expires": "2030-01-01T01:00:00+01:00",
                "after_expiry": "reject"}},
            "y.org": {{"unpinned": true}}
        }},
        "clients": {{"ca": ["{OTHER}"], "expires": "2030-01-01T00:00:00Z",
            "after_expiry": "allow"}}
    }}"""
    new_year = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
    rules = loads(text)
    assert rules == Rules(
        {
            "x.org": [ABSENT],
            "xn--bcher-kva.example": PinSet(
                leaf=[ABSENT],
                ca=[OTHER],
                mode="report",
                expires=new_year,
                after_expiry="reject",
            ),
            "y.org": UNPINNED,
        },
        unpinned="reject",
        blocked=[OTHER],
        clients=PinSet(ca=[OTHER], expires=new_year, after_expiry="allow"),
    )
    assert rules.origins["x.org"] == 'pins.json: [hosts."x.org"]'


PINS = f'"x.org": ["{ABSENT}"]'
MISTAKES = {
    "": "not JSON",
    "[]": "expected an object",
    "{": "line 1: not JSON",
    '{"version": 1,}': "no comma behind the last value",
    '{"version": 1, // x\n "hosts": {}}': "line 1: not JSON",
    '{"a": NaN': "line 1: not JSON: Expecting ',' delimiter",
    '{"a": {"b": 1, "b": 2}} x': "line 1: not JSON: Extra data",
    f"[NaN, {'1' * 5000}]": "a number has thousands of digits",
    '{"version": NaN}': "NaN is no value of JSON",
    '{"version": -Infinity}': "-Infinity is no value of JSON",
    f'{{"version": {"1" * 5000}}}': "a number has thousands of digits",
    '{"version": 2}': "reads version 1 only",
    '{"version": 1.0}': "version: expected 1, got a float",
    '{"version": 1}': "there is no host",
    with_hosts(f"{PINS}, {PINS}"): "the key 'x.org' is there twice",
    f'{{"version": 1, "hosts": {{}}, "hosts": {{{PINS}}}}}': "'hosts' is there twice",
    with_hosts(f'{PINS}, "X.org": ["{ABSENT}"]'): "are one pattern",
    with_hosts('"x.org": null'): "or a table, got null",
    with_hosts('"x.org": {"pins": null}'): "pins: expected a list of pins",
    with_hosts('"x.org": ["\\ud800"]'): "has half of a surrogate pair",
    with_hosts(f'"x\\udc00.org": ["{ABSENT}"]'): "has half of a surrogate pair",
    with_hosts(f'"x.org": {{"pins": ["{ABSENT}"], "expires": "2030-01-01"}}'): (
        "'2030-01-01' is not a time, as 2027"
    ),
    with_hosts(f'"x.org": {{"pins": ["{ABSENT}"], "expires": "soon"}}'): (
        "expires: 'soon' is not a time"
    ),
    with_hosts(
        f'"x.org": {{"pins": ["{ABSENT}"], "expires": "2030-01-01T00:00:00"}}'
    ): ("has no timezone"),
    with_hosts(f'"x.org": {{"pins": ["{ABSENT}"], "expires": 5}}'): (
        "expires: expected a date-time"
    ),
    with_hosts(f'"x.org": {{"pins": ["{ABSENT}"], "pin": []}}'): "did you mean 'pins'?",
    "[" * 100_000: "this is no policy",
    "[" * 3000: "not JSON",  # how deep a parser goes depends on the Python
    "[" + "[]," * 100_000 + "[]]": "this is no policy",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: text[:40])
def test_mistakes_are_explained(text: str) -> None:
    """Each begins with the name of the file."""
    with pytest.raises(PolicyError, match=re.escape(MISTAKES[text])) as caught:
        loads(text)
    for line in str(caught.value).split("\n"):
        assert line.startswith("pins.json: ")
        assert line.isprintable()


def test_a_pair_of_surrogates_is_a_character() -> None:
    """JSON writes characters beyond the first plane so; half of a pair is none."""
    with pytest.raises(PolicyError, match="is not a U-label"):
        loads(with_hosts(f'"\\ud83d\\ude00.org": ["{ABSENT}"]'))


def test_a_byte_order_mark_is_left_out() -> None:
    """Editors on Windows write it."""
    assert loads("\ufeff" + with_hosts(PINS)) == Rules({"x.org": [ABSENT]})


def test_ten_thousand_hosts_are_read() -> None:
    """The bound on small values is no bound on policies, also without blanks."""
    hosts = {
        f"h{number}.x": {"ca": [ABSENT]} | {"mode": "report"}
        for number in range(10_000)
    }
    text = json.dumps({"version": 1, "hosts": hosts}, separators=(",", ":"))
    assert len(loads(text).hosts) == 10_000
