"""Rules and PinSets as plain values: canonical, and equal if they say the same."""

from __future__ import annotations

import dataclasses
import datetime as dt
import pickle
from typing import Any

import pytest

from pinverify import UNPINNED, PinSet, Policy, PolicyError, Rules
from pinverify.files import toml
from policy_samples import ABSENT, HOST, NOON, OTHER

__all__: list[str] = []


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


def test_only_a_name_has_a_deciding_rule() -> None:
    """None is a peer without a name elsewhere; here it has no rule to return."""
    rules: Any = Rules({HOST: [ABSENT]})
    with pytest.raises(TypeError, match="for peers without a name see clients"):
        rules.deciding(None)


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
    assert rules not in (Rules({HOST: [OTHER]}), {HOST: [ABSENT]})
    assert Policy(rules).rules.origins == {}
    assert pickle.loads(pickle.dumps(rules)).origins == rules.origins  # noqa: S301
    with pytest.raises(
        PolicyError, match=r"origins: there is no rule for 'b\.example'"
    ):
        Rules({HOST: [ABSENT]}, origins={"b.example": "here"})
