"""pinverify's own format: what is written can be read, and means the same."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from pinverify import PinSet, Policy, PolicyError, Rules
from pinverify.formats import toml
from policy_samples import ABSENT
from test_rules_round_trip import UNTIMED, any_rules

__all__: list[str] = []


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


def test_what_is_written_for_a_host_of_one_label_is_read() -> None:
    """A table with the single key ca is refused there, so another key is written."""
    rules = Rules({"shop": PinSet(ca=[ABSENT])})
    assert toml.loads(toml.dumps(rules)) == rules


def test_only_rules_are_written() -> None:
    """A policy has its rules as an attribute; the error says so."""
    policy: Any = Policy({"a.example": [ABSENT]})
    with pytest.raises(TypeError, match="of a Policy write its rules"):
        toml.dumps(policy)
    assert toml.loads(toml.dumps(policy.rules)) == policy.rules
